/* tar: archives built by hand, by GNU tar and by bsdtar; hostile ones; our own headers, read by ourselves and by both. */
#include <fcntl.h>
#include <unistd.h>

#include "libcommon/codec.h"
#include "tests/unit/chopped.h"
#include "tests/unit/tap.h"

/* ---- archives by hand ---- */

static void field(unsigned char *b, size_t at, size_t n, const char *fmt, unsigned long long v)
{
	char s[32];
	snprintf(s, sizeof(s), fmt, (int)n - 1, v);
	memcpy(b + at, s, n);
}

static void seal(unsigned char *b)
{
	unsigned sum = 0;

	memset(b + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += b[i];
	field(b, 148, 7, "%0*llo", sum);
}

/* A ustar header; the caller may change it and seal it again. */
static unsigned char *header(struct buf *a, char type, const char *name, uint64_t size)
{
	buf_reserve(a, 512);
	unsigned char *b = a->p + a->n;

	memset(b, 0, 512);
	memcpy(b, name, strlen(name));
	field(b, 100, 8, "%0*llo", 0644);
	field(b, 108, 8, "%0*llo", 1);
	field(b, 116, 8, "%0*llo", 2);
	field(b, 124, 12, "%0*llo", size);
	field(b, 136, 12, "%0*llo", 1000000000);
	b[156] = (unsigned char)type;
	if (type == '1' || type == '2')
		memcpy(b + 157, "target", 6);
	memcpy(b + 257, "ustar\00000", 8);
	seal(b);
	a->n += 512;
	return b;
}

static void contents(struct buf *a, struct span s)
{
	buf_add_span(a, s);
	buf_add(a, tar_zeros, tar_padding(s.n));
}

static void end(struct buf *a)
{
	buf_add(a, tar_zeros, 1024);
}

static void meta(struct buf *a, char type, struct span s)
{
	header(a, type, "meta", s.n);
	contents(a, s);
}

static void pax_record(struct buf *b, const char *key, struct span value)
{
	size_t body = strlen(key) + value.n + 3, n = body + 1;
	char digits[24];

	while ((size_t)snprintf(digits, sizeof(digits), "%zu", n) + body != n)
		n++;
	buf_addf(b, "%zu %s=", n, key);
	buf_add_span(b, value);
	buf_addc(b, '\n');
}

/* An x (or g) header of one record. */
static void pax1(struct buf *a, char type, const char *key, struct span value)
{
	_cleanup_(buf_release) struct buf r = BUF_INIT;

	pax_record(&r, key, value);
	meta(a, type, buf_span(&r));
}

/* ---- what a reader makes of an archive: a line an entry, contents hashed ---- */

static int read_to_text(struct span a, size_t window, const struct tar_limits *lim, bool skip_contents, struct buf *out,
			struct err *e)
{
	_cleanup_(stream_closep) struct stream *src = chopped_open(a, window, 0);
	_cleanup_(tar_closep) struct tar *t = tar_open(src, lim, e);
	const struct tar_entry *n;
	int r;

	buf_clear(out);
	err_clear(e);
	while ((r = tar_next(t, &n)) > 0) {
		struct hash h;
		unsigned char v[HASH_MAX];
		char hex[2 * HASH_MAX + 1] = "-";
		uint64_t got = 0;
		if (!skip_contents) {
			hash_init(&h, HASH_SHA256);
			for (struct span w = stream_peek(tar_data(t)); w.n; w = stream_peek(tar_data(t))) {
				hash_update(&h, w);
				got += w.n;
				stream_skip(tar_data(t), w.n);
			}
			hash_final(&h, v);
			num_to_hex(v, 4, hex);
			if (got != n->size && !stream_error(tar_data(t)))
				return -EBADMSG;
		}
		if (n->name.p[n->name.n] || n->link.p[n->link.n])
			return -EBADMSG;
		buf_addf(out, "%c %s|%s %o %llu:%llu %s:%s %lld.%09u %llu %s", "f12cbdp"[n->type], n->name.p, n->link.p, n->mode,
			 (unsigned long long)n->uid, (unsigned long long)n->gid, n->uname.p, n->gname.p, (long long)n->mtime.sec,
			 n->mtime.nsec, (unsigned long long)n->size, hex);
		if (n->type == TAR_CHAR || n->type == TAR_BLOCK)
			buf_addf(out, " %u,%u", n->dev_major, n->dev_minor);
		for (size_t i = 0; i < n->xattrs_n; i++)
			buf_addf(out, " %s=%s", n->xattrs[i].name.p, quoted(n->xattrs[i].value));
		for (size_t i = 0; i < n->acls_n; i++)
			buf_addf(out, " %s=%s", n->acls[i].name.p, quoted(n->acls[i].value));
		buf_addc(out, '\n');
	}
	const struct tar_entry *again;
	return tar_next(t, &again) == r ? r : -EBADMSG;
}

static struct err fault;

/* The same by large and by small windows. */
static int entries(const struct buf *a, const struct tar_limits *lim, struct buf *out)
{
	static const size_t windows[] = { 1, 100, 512, 513, 5000 };
	_cleanup_(buf_release) struct buf other = BUF_INIT;
	struct err e;
	int r = read_to_text(buf_span(a), SIZE_MAX, lim, false, out, &fault);

	for (size_t i = 0; i < ARRAY_LEN(windows); i++)
		if (read_to_text(buf_span(a), windows[i], lim, false, &other, &e) != r || !span_eq(buf_span(out), buf_span(&other)))
			return -EBADMSG;
	if (!r && (read_to_text(buf_span(a), 700, lim, true, &other, &e) || (out->n && !other.n)))
		return -EBADMSG;
	return r;
}

static void gives(struct buf *a, const char *want, const char *what)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	int r = entries(a, NULL, &out);

	if (!is_num(r, 0, what))
		diag("%s", fault.text);
	is_str(buf_str(&out), want, what);
	buf_clear(a);
}

static void refused(struct buf *a, int code, const char *text, const char *what)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT;

	is_num(entries(a, NULL, &out), code, what);
	if (!ok(strstr(fault.text, text), "%s: \"%s\"", what, text))
		diag("%s", fault.text);
	buf_clear(a);
}

#define HELLO "5891b5b5"  /* the first bytes of the SHA-256 of "hello\n" */
#define EMPTY "e3b0c442"

static void plain_types(void)
{
	struct buf a = BUF_INIT;
	unsigned char *b;

	header(&a, '0', "file", 6);
	contents(&a, SPAN("hello\n"));
	header(&a, '1', "hard", 0);
	header(&a, '2', "soft", 0);
	b = header(&a, '3', "char", 0);
	field(b, 329, 8, "%0*llo", 5);
	field(b, 337, 8, "%0*llo", 300);
	seal(b);
	header(&a, '4', "block", 0);
	header(&a, '5', "dir//", 0);
	header(&a, '6', "fifo", 0);
	header(&a, '7', "contiguous", 0);
	header(&a, '5', "./", 0);
	header(&a, '5', "/", 0);
	end(&a);
	gives(&a,
	      "f file| 644 1:2 : 1000000000.000000000 6 " HELLO "\n"
	      "1 hard|target 644 1:2 : 1000000000.000000000 0 " EMPTY "\n"
	      "2 soft|target 644 1:2 : 1000000000.000000000 0 " EMPTY "\n"
	      "c char| 644 1:2 : 1000000000.000000000 0 " EMPTY " 5,300\n"
	      "b block| 644 1:2 : 1000000000.000000000 0 " EMPTY " 0,0\n"
	      "d dir| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n"
	      "p fifo| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n"
	      "f contiguous| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n"
	      "d .| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n"
	      "d /| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n", "all types");
	buf_release(&a);
}

static void formats(void)
{
	struct buf a = BUF_INIT;
	unsigned char *b;

	/* V7: no magic; a directory by its slash; what lies in the prefix is nobody's. */
	b = header(&a, 0, "v7dir/", 0);
	memset(b + 257, 0, 255);
	memcpy(b + 345, "prefix", 6);
	seal(b);
	b = header(&a, 0, "v7file", 6);
	memset(b + 257, 0, 255);
	seal(b);
	contents(&a, SPAN("hello\n"));
	/* ustar's prefix, both fields full. */
	b = header(&a, '0', "x", 0);
	memset(b, 'n', 100);
	memset(b + 345, 'p', 155);
	memcpy(b + 265, "user", 4);
	memcpy(b + 297, "group", 5);
	seal(b);
	/* GNU has times where the prefix would be; and what Go wrote there before 1.8. */
	b = header(&a, '0', "gnu", 0);
	memcpy(b + 257, "ustar  ", 8);
	memcpy(b + 345, "13012345671", 12);
	seal(b);
	b = header(&a, '0', "name", 0);
	memcpy(b + 257, "ustar  ", 8);
	memcpy(b + 345, "old/go", 6);
	seal(b);
	/* star's prefix is shorter, its times follow. */
	b = header(&a, '0', "star", 0);
	memset(b + 345, 's', 131);
	memcpy(b + 476, "13012345671", 12);
	memcpy(b + 508, "tar", 4);
	seal(b);
	/* A sum of signed characters. */
	b = header(&a, '0', "sum-\xe9", 0);
	int sum = 0;
	memset(b + 148, ' ', 8);
	for (int i = 0; i < 512; i++)
		sum += (signed char)b[i];
	field(b, 148, 7, "%0*llo", (unsigned)sum);
	end(&a);

	_cleanup_(buf_release) struct buf out = BUF_INIT;
	is_num(entries(&a, NULL, &out), 0, "V7, ustar, GNU, old Go's GNU, star");
	char *text = (char *)buf_str(&out), *line;
	static const char *const want[] = {
		"d v7dir| ", "f v7file| ",
		"f pppppppppp",
		"f gnu| ", "f old/go/name| ", ("f ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss"
		"sssssssssssssssssssssssssssss/star| "), "f sum-\xe9| ",
	};
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		line = strsep(&text, "\n");
		ok(line && !strncmp(line, want[i], strlen(want[i])), "%.12s", want[i]);
	}
	buf_release(&a);
}

static void numbers(void)
{
	static const struct {
		const char *bytes; /* of the uid's field */
		long long want;    /* -1: refused */
	} uids[] = {
		{ "0001750\0", 1000 }, { "001750 \0", 1000 }, { "   1750 ", 1000 }, { "1750\0\0\0\0", 1000 }, { "00001750", 1000 },
		{ "\0\0\0\0\0\0\0\0", 0 }, { "        ", 0 }, { "1750\0abc", 1000 }, { "1750 abc", -1 }, { "175a\0\0\0\0", -1 },
		{ "1758\0\0\0\0", -1 }, { "-1\0\0\0\0\0\0", -1 }, { "\0" "1750\0\0", -1 }, { "+1750\0\0", -1 }, { "0x10\0\0\0", -1 },
		{ "\x80\0\0\0\0\0\x03\xe8", 1000 }, { "\x80\0\0\0\xff\xff\xff\xfe", 4294967294 }, { "\x80\0\0\0\xff\xff\xff\xff", -1 },
		{ "\x80\0\0\1\0\0\0\0", -1 }, { "\xff\xff\xff\xff\xff\xff\xff\xff", -1 }, { "\xbf\xff\xff\xff\xff\xff\xff\xff", -1 },
		{ "17 50\0\0\0", -1 },
	};
	struct buf a = BUF_INIT, out = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(uids); i++) {
		char want[64];
		unsigned char *b = header(&a, '0', "f", 0);
		memcpy(b + 108, uids[i].bytes, 8);
		seal(b);
		end(&a);
		int r = entries(&a, NULL, &out);
		snprintf(want, sizeof(want), " 644 %lld:2 ", uids[i].want);
		ok(uids[i].want < 0 ? r == E_FORMAT : !r && strstr(buf_str(&out), want), "T11 uid %s", quoted(span_of(uids[i].bytes, 8)));
		buf_clear(&a);
	}
	/* A size of base-256, the largest octal one, negative ones, and one past 2^63. */
	unsigned char *b = header(&a, '0', "f", 0);
	memcpy(b + 124, "\x80\0\0\0\0\0\0\0\0\0\0\6", 12);
	seal(b);
	contents(&a, SPAN("hello\n"));
	end(&a);
	gives(&a, "f f| 644 1:2 : 1000000000.000000000 6 " HELLO "\n", "T11 a base-256 size");
	b = header(&a, '0', "f", 0);
	memset(b + 124, 0xff, 12);
	seal(b);
	refused(&a, E_FORMAT, "size is out of range", "T11 a negative size");
	b = header(&a, '0', "f", 0);
	memcpy(b + 124, "\x80\0\0\0\x80\0\0\0\0\0\0\0", 12);
	seal(b);
	refused(&a, E_FORMAT, "size is no number", "T11 a size of 2^63");
	b = header(&a, '0', "f", 0);
	memcpy(b + 124, "\x80\0\1\0\0\0\0\0\0\0\0\6", 12);
	seal(b);
	refused(&a, E_FORMAT, "size is no number", "T11 a size of 2^72 and 6");
	b = header(&a, '0', "f", 0);
	memcpy(b + 124, "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", 12);
	seal(b);
	refused(&a, E_TRUNCATED, "cut off in the contents of f", "T11 a size of 2^63 - 1 does not wrap");
	b = header(&a, '0', "f", 0);
	memcpy(b + 136, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12);
	seal(b);
	end(&a);
	gives(&a, "f f| 644 1:2 : -2.000000000 0 " EMPTY "\n", "a time before 1970");
	buf_release(&a);
	buf_release(&out);
}

static void pax(void)
{
	struct buf a = BUF_INIT, r = BUF_INIT;

	pax_record(&r, "path", SPAN("a/long name"));
	pax_record(&r, "size", SPAN("6"));
	pax_record(&r, "uid", SPAN("4294967294"));
	pax_record(&r, "gid", SPAN("0"));
	pax_record(&r, "uname", SPAN("u"));
	pax_record(&r, "gname", SPAN("g"));
	pax_record(&r, "mtime", SPAN("1.5"));
	pax_record(&r, "comment", SPAN("x=y\nz"));
	pax_record(&r, "SCHILY.xattr.user.k", SPAN("v\0w"));
	pax_record(&r, "SCHILY.xattr.user.empty", SPAN(""));
	pax_record(&r, "SCHILY.acl.access", SPAN("user::rwx"));
	pax_record(&r, "LIBARCHIVE.xattr.user.%41%3D", SPAN("aGk"));
	meta(&a, 'x', buf_span(&r));
	header(&a, '0', "short", 0); /* T11: its size says 0, PAX says 6 */
	contents(&a, SPAN("hello\n"));
	header(&a, '0', "next", 0);
	end(&a);
	gives(&a,
	      "f a/long name| 644 4294967294:0 u:g 1.500000000 6 " HELLO " user.k=v\\x00w user.empty= user.A==hi SCHILY.acl.access=user::rwx\n"
	      "f next| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n", "T11 PAX wins, and holds for one entry");

	pax1(&a, 'x', "size", SPAN("0"));
	header(&a, '0', "f", 512); /* the inverse: what the header calls contents is an entry */
	header(&a, '0', "g", 0);
	end(&a);
	gives(&a, "f f| 644 1:2 : 1000000000.000000000 0 " EMPTY "\nf g| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n",
	      "T11 PAX says 0");

	buf_clear(&r);
	pax_record(&r, "path", SPAN("one"));
	pax_record(&r, "path", SPAN("two"));
	pax_record(&r, "mtime", SPAN("7"));
	pax_record(&r, "mtime", SPAN(""));
	meta(&a, 'x', buf_span(&r));
	header(&a, '0', "f", 0);
	end(&a);
	gives(&a, "f two| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n",
	      "T11 of duplicate keys the last holds, an empty one takes back");

	pax1(&a, 'g', "uid", SPAN("7"));
	pax1(&a, 'g', "mtime", SPAN("-1.25"));
	header(&a, '0', "f", 0);
	pax1(&a, 'x', "uid", SPAN("8"));
	header(&a, '0', "g", 0);
	pax1(&a, 'g', "uid", SPAN(""));
	header(&a, '0', "h", 0);
	end(&a);
	gives(&a,
	      "f f| 644 7:2 : -2.750000000 0 " EMPTY "\nf g| 644 8:2 : -2.750000000 0 " EMPTY "\nf h| 644 1:2 : -2.750000000 0 " EMPTY "\n",
	      "T11 global PAX headers hold until they are taken back");
	buf_release(&a);
	buf_release(&r);
}

static void bad_pax(void)
{
	static const struct {
		struct span area;
		const char *text;
	} bad[] = {
		{ SPAN("9 path=a\n"), NULL }, /* the control: right */
		{ SPAN("8 path=a\n"), "bad record" }, { SPAN("11 path=a\n"), "bad record" }, { SPAN("99 path=a\n"), "bad record" },
		{ SPAN("path=a\n"), "bad record" }, { SPAN("9path=aa\n"), "bad record" }, { SPAN("-9 path=a\n"), "bad record" },
		{ SPAN("0 path=a\n"), "bad record" }, { SPAN("3 \n"), "bad record" }, { SPAN("6 =ab\n"), "bad record" },
		{ SPAN("7 path\n"), "bad record" }, { SPAN("9 path=ab"), "bad record" }, { SPAN("9 path=a\n\0"), "bad record" },
		{ SPAN("99999999999999999999 path=a\n"), "bad record" }, { SPAN("9 pa\0h=a\n"), "bad record" },
		{ SPAN("9 path=\0\n"), "bad path" }, { SPAN("14 linkpath=\0\n"), "bad linkpath" },
		{ SPAN("11 size=-1\n"), "bad size" }, { SPAN("9 size=x\n"), "bad size" }, { SPAN("11 size=1 \n"), "bad size" },
		{ SPAN("28 size=9223372036854775808\n"), "bad size" }, { SPAN("18 uid=4294967295\n"), "bad uid" },
		{ SPAN("11 mtime=.\n"), "bad mtime" }, { SPAN("13 mtime=1.x\n"), "bad mtime" }, { SPAN("13 mtime=--1\n"), "bad mtime" },
		{ SPAN("19 SCHILY.xattr.=v\n"), "without a name" }, { SPAN("26 LIBARCHIVE.xattr.a=b!c\n"), "bad base64" },
		{ SPAN("27 LIBARCHIVE.xattr.%0g=Zg\n"), "bad name" }, { SPAN("27 LIBARCHIVE.xattr.%00=Zg\n"), "bad name" },
		{ SPAN("24 LIBARCHIVE.xattr.%=Z\n"), "bad name" }, { SPAN("22 SCHILY.realsize=12\n"), "star" },
	};
	struct buf a = BUF_INIT, out = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		meta(&a, 'x', bad[i].area);
		header(&a, '0', "f", 0);
		end(&a);
		int r = entries(&a, NULL, &out);
		if (!ok(bad[i].text ? (r == E_FORMAT || r == E_UNSUPPORTED) && strstr(fault.text, bad[i].text) : !r,
			"T11 PAX %s", quoted(bad[i].area)))
			diag("%d %s", r, fault.text);
		buf_clear(&a);
	}
	static const char *const not_global[] = { "path", "linkpath", "size", "GNU.sparse.name", "GNU.sparse.map", "GNU.sparse.offset" };
	for (size_t i = 0; i < ARRAY_LEN(not_global); i++) {
		pax1(&a, 'g', not_global[i], SPAN("1"));
		header(&a, '0', "f", 0);
		end(&a);
		refused(&a, E_FORMAT, "a global", "T11 a global PAX header that names entries");
	}
	pax1(&a, 'x', "path", SPAN("p"));
	pax1(&a, 'x', "path", SPAN("p"));
	refused(&a, E_FORMAT, "two PAX headers", "T11 two PAX headers for one entry");
	pax1(&a, 'x', "path", SPAN("p"));
	pax1(&a, 'g', "uid", SPAN("1"));
	refused(&a, E_FORMAT, "within an entry", "T11 a global header within an entry");
	pax1(&a, 'x', "path", SPAN("p"));
	refused(&a, E_TRUNCATED, "without an entry", "T14 a PAX header and no entry");
	pax1(&a, 'x', "path", SPAN("p"));
	end(&a);
	refused(&a, E_FORMAT, "without an entry", "T11 a PAX header and the end");
	buf_release(&a);
	buf_release(&out);
}

static void gnu_long(void)
{
	struct buf a = BUF_INIT, name = BUF_INIT;

	for (int i = 0; i < 300; i++)
		buf_addc(&name, 'n');
	buf_addc(&name, 0);
	meta(&a, 'L', buf_span(&name));
	meta(&a, 'K', SPAN("a long target\0"));
	header(&a, '2', "short", 0);
	header(&a, '2', "next", 0);
	end(&a);
	_cleanup_(buf_release) struct buf want = BUF_INIT;
	buf_addf(&want, "2 %s|a long target 644 1:2 : 1000000000.000000000 0 " EMPTY "\n", name.p);
	buf_adds(&want, "2 next|target 644 1:2 : 1000000000.000000000 0 " EMPTY "\n");
	gives(&a, buf_str(&want), "GNU long names and links");

	meta(&a, 'L', SPAN("one\0"));
	meta(&a, 'L', SPAN("two\0"));
	refused(&a, E_FORMAT, "two long names", "T11 a chain of GNU long names");
	meta(&a, 'L', SPAN("one\0two\0"));
	refused(&a, E_FORMAT, "a NUL in it", "T11 a NUL in a GNU long name");
	meta(&a, 'L', SPAN("one\0"));
	pax1(&a, 'x', "path", SPAN("two"));
	header(&a, '0', "f", 0);
	refused(&a, E_FORMAT, "different names", "T11 GNU and PAX disagree");
	meta(&a, 'K', SPAN("one\0"));
	pax1(&a, 'x', "linkpath", SPAN("two"));
	header(&a, '1', "f", 0);
	refused(&a, E_FORMAT, "different names", "T11 GNU and PAX disagree on a link");
	meta(&a, 'L', SPAN("same\0"));
	pax1(&a, 'x', "path", SPAN("same"));
	header(&a, '0', "f", 0);
	end(&a);
	gives(&a, "f same| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n", "GNU and PAX agree");
	buf_release(&a);
	buf_release(&name);
}

static void ends(void)
{
	struct buf a = BUF_INIT, out = BUF_INIT;

	gives(&a, "", "nothing at all is an empty archive");
	end(&a);
	gives(&a, "", "end blocks only");
	header(&a, '0', "f", 0);
	gives(&a, "f f| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n", "no end blocks");
	header(&a, '0', "f", 0);
	buf_add(&a, tar_zeros, 512);
	gives(&a, "f f| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n", "one end block");
	end(&a);
	header(&a, '0', "behind", 0);
	buf_adds(&a, "and more");
	gives(&a, "", "what follows the end blocks is ignored");
	buf_add(&a, tar_zeros, 512);
	header(&a, '0', "f", 0);
	refused(&a, E_FORMAT, "a lone block of zeros", "T11 a lone block of zeros hides nothing");
	buf_add(&a, tar_zeros, 700);
	refused(&a, E_TRUNCATED, "cut off in a header", "T14 a block and a half of zeros");
	buf_adds(&a, "this is no archive");
	refused(&a, E_TRUNCATED, "cut off", "text");
	for (int i = 0; i < 100; i++)
		buf_adds(&a, "this is no archive");
	refused(&a, E_FORMAT, "this is no tar archive", "more text");
	header(&a, '0', "f", 0);
	for (int i = 0; i < 100; i++)
		buf_adds(&a, "this is no archive");
	refused(&a, E_FORMAT, "bad header checksum", "an entry and text");

	/* T14: all the places where an archive can be cut. */
	bool told = true;
	size_t clean = 0;
	pax1(&a, 'x', "comment", SPAN("c"));
	header(&a, '0', "f", 600);
	contents(&a, span_of(tar_zeros, 600));
	header(&a, '0', "g", 0);
	end(&a);
	for (size_t n = 0; n < a.n; n++) {
		int r = read_to_text(span_of(a.p, n), 1000, NULL, n % 2, &out, &fault);
		/* Between entries nothing is missing. */
		bool whole = n == 0 || n == 1536 + 1024 || n == 1536 + 1024 + 512 || n == 1536 + 1024 + 1024;
		clean += !r;
		told = told && r == (whole ? 0 : E_TRUNCATED);
	}
	ok(told && clean == 4, "T14 every truncation is told");
	buf_release(&a);
	buf_release(&out);
}

static void odd_types(void)
{
	struct buf a = BUF_INIT;
	static const char contents_of[] = "23456";

	for (size_t i = 0; contents_of[i]; i++) {
		header(&a, contents_of[i], "d", 512);
		header(&a, '0', "hidden", 0);
		end(&a);
		refused(&a, E_FORMAT, "contents of what is no file", "T11 contents of what is no file");
	}
	header(&a, '1', "hard", 512);
	header(&a, '0', "next", 0);
	end(&a);
	gives(&a, "1 hard|target 644 1:2 : 1000000000.000000000 0 " EMPTY "\nf next| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n",
	      "T11 the size of a hard link is its file's");
	pax1(&a, 'x', "size", SPAN("512"));
	header(&a, '1', "hard", 0);
	refused(&a, E_FORMAT, "contents of what is no file", "T11 PAX contents of a hard link");
	for (const char *t = "89ADMNVXEz"; *t; t++) {
		header(&a, *t, "odd", 0);
		refused(&a, E_UNSUPPORTED, "entry of type", "an unknown type");
	}
	header(&a, '0', "", 0);
	refused(&a, E_FORMAT, "entry without a name", "no name");
	unsigned char *b = header(&a, '2', "link", 0);
	memset(b + 157, 0, 100);
	seal(b);
	refused(&a, E_FORMAT, "link without a target", "no target");
	buf_release(&a);
}

static void limits(void)
{
	struct buf a = BUF_INIT, big = BUF_INIT, out = BUF_INIT;
	struct tar_limits lim = { .max_entries = 3 };

	for (int i = 0; i < 4; i++)
		header(&a, '0', "f", 0);
	is_num(entries(&a, &lim, &out), E_TOOBIG, "T81 one entry too many");
	ok(strstr(fault.text, "more than 3 entries"), "T81 the text names the budget");
	lim.max_entries = 4;
	is_num(entries(&a, &lim, &out), 0, "T81 as many as may be");
	buf_clear(&a);

	header(&a, '0', "f", 6);
	contents(&a, SPAN("hello\n"));
	end(&a);
	lim = (struct tar_limits){ .max_size = 6 };
	is_num(entries(&a, &lim, &out), 0, "T81 a file as large as may be");
	lim.max_size = 5;
	is_num(entries(&a, &lim, &out), E_TOOBIG, "T81 a byte more");
	buf_clear(&a);

	header(&a, 'x', "x", MIB(1) + 1);
	refused(&a, E_TOOBIG, "a PAX header of more than 1048576 bytes", "T13 a huge PAX header");
	header(&a, 'x', "x", 0777777777777);
	refused(&a, E_TOOBIG, "a PAX header of more than", "T13 the hugest PAX header");
	header(&a, 'L', "x", 16386);
	refused(&a, E_TOOBIG, "a name of more than 16385 bytes", "T13 a huge GNU name");
	for (int i = 0; i < 16385; i++)
		buf_addc(&big, 'x');
	pax1(&a, 'x', "path", buf_span(&big));
	header(&a, '0', "f", 0);
	refused(&a, E_TOOBIG, "a name of more than 16384 bytes", "T13 a huge PAX name");
	pax1(&a, 'x', "linkpath", buf_span(&big));
	header(&a, '2', "f", 0);
	refused(&a, E_TOOBIG, "a name of more than 16384 bytes", "T13 a huge PAX target");
	for (int i = 0; i < 3000; i++)
		meta(&a, 'g', SPAN(""));
	refused(&a, E_TOOBIG, "global PAX headers", "T13 global headers without end");
	buf_clear(&big);
	for (int i = 0; i < 1025; i++) {
		char key[40];
		snprintf(key, sizeof(key), "SCHILY.xattr.user.%d", i);
		pax_record(&big, key, SPAN("v"));
	}
	meta(&a, 'x', buf_span(&big));
	refused(&a, E_TOOBIG, "more than 1024 extended attributes", "T13 too many extended attributes");

	end(&a);
	lim = (struct tar_limits){ .max_padding = 5000 };
	for (int i = 0; i < 10; i++)
		buf_add(&a, tar_zeros, 500);
	is_num(entries(&a, &lim, &out), 0, "T13 blocks of zeros at the end");
	buf_addc(&a, 0);
	is_num(entries(&a, &lim, &out), E_TOOBIG, "T13 and more than may be");
	buf_release(&a);
	buf_release(&big);
	buf_release(&out);
}

/* ---- sparse ---- */

static void sparse(void)
{
	struct buf a = BUF_INIT, r = BUF_INIT, map = BUF_INIT;
	unsigned char *b;
	/* sha256 of 10 zeros, "hello\n", 4 zeros */
	static const char want[] = "f s| 644 1:2 : 1000000000.000000000 20 06d1e161\nf next| 644 1:2 : 1000000000.000000000 0 " EMPTY "\n";

	b = header(&a, 'S', "s", 6);
	memcpy(b + 257, "ustar  ", 8);
	field(b, 386, 12, "%0*llo", 10);
	field(b, 398, 12, "%0*llo", 6);
	field(b, 410, 12, "%0*llo", 20);
	field(b, 422, 12, "%0*llo", 0);
	field(b, 483, 12, "%0*llo", 20);
	seal(b);
	contents(&a, SPAN("hello\n"));
	header(&a, '0', "next", 0);
	end(&a);
	gives(&a, want, "GNU sparse");

	for (int version = 0; version < 2; version++) {
		buf_clear(&r);
		pax_record(&r, "GNU.sparse.size", SPAN("20"));
		pax_record(&r, "GNU.sparse.numblocks", SPAN("2"));
		pax_record(&r, "GNU.sparse.name", SPAN("s"));
		if (version) {
			pax_record(&r, "GNU.sparse.map", SPAN("10,6,20,0"));
		} else {
			pax_record(&r, "GNU.sparse.offset", SPAN("10"));
			pax_record(&r, "GNU.sparse.numbytes", SPAN("6"));
			pax_record(&r, "GNU.sparse.offset", SPAN("20"));
			pax_record(&r, "GNU.sparse.numbytes", SPAN("0"));
		}
		meta(&a, 'x', buf_span(&r));
		header(&a, '0', "GNUSparseFile.1/s", 6);
		contents(&a, SPAN("hello\n"));
		header(&a, '0', "next", 0);
		end(&a);
		gives(&a, want, version ? "PAX sparse 0.1" : "PAX sparse 0.0");
	}
	buf_clear(&r);
	pax_record(&r, "GNU.sparse.major", SPAN("1"));
	pax_record(&r, "GNU.sparse.minor", SPAN("0"));
	pax_record(&r, "GNU.sparse.name", SPAN("s"));
	pax_record(&r, "GNU.sparse.realsize", SPAN("20"));
	meta(&a, 'x', buf_span(&r));
	header(&a, '0', "GNUSparseFile.1/s", 518);
	contents(&a, SPAN("2\n10\n6\n20\n0\n"));
	contents(&a, SPAN("hello\n"));
	header(&a, '0', "next", 0);
	end(&a);
	gives(&a, want, "PAX sparse 1.0");

	/* T12: a map of a million regions. */
	buf_addf(&map, "1000000\n");
	for (int i = 0; i < 1000000; i++)
		buf_addf(&map, "%d\n0\n", i);
	meta(&a, 'x', buf_span(&r));
	header(&a, '0', "f", map.n + tar_padding(map.n));
	contents(&a, buf_span(&map));
	end(&a);
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	struct err e = { 0 };
	is_num(read_to_text(buf_span(&a), SIZE_MAX, NULL, false, &out, &e), E_TOOBIG, "T12 a map of a million regions");
	ok(strstr(e.text, "more than 65536 regions"), "T12 the text names the budget");
	buf_clear(&a);
	meta(&a, 'x', buf_span(&r));
	header(&a, '0', "f", 512);
	contents(&a, SPAN("99999999999999999999\n"));
	refused(&a, E_FORMAT, "bad sparse map", "T12 a count that is no number");

	static const struct {
		const char *map, *size;
		const char *text;
	} bad[] = {
		{ "10,6", "15", "bad sparse map" }, { "10,6,12,0", "20", "bad sparse map" }, { "10", "20", "bad sparse map" },
		{ "10,6,,", "20", "bad sparse map" }, { "10,-6", "20", "bad sparse map" }, { "10,7", "20", "disagree" },
		{ "10,5", "20", "disagree" }, { "9223372036854775807,6", "9223372036854775807", "bad sparse map" },
		{ "0,9223372036854775807,9223372036854775807,9223372036854775807", "9223372036854775807", "bad sparse map" },
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		buf_clear(&r);
		pax_record(&r, "GNU.sparse.size", span_str(bad[i].size));
		pax_record(&r, "GNU.sparse.map", span_str(bad[i].map));
		meta(&a, 'x', buf_span(&r));
		header(&a, '0', "f", 6);
		contents(&a, SPAN("hello\n"));
		refused(&a, E_FORMAT, bad[i].text, "T12 a bad map");
	}
	/* A huge hole is passed over, not read. */
	buf_clear(&r);
	pax_record(&r, "GNU.sparse.size", SPAN("9223372036854775807"));
	pax_record(&r, "GNU.sparse.map", SPAN("9223372036854775801,6"));
	meta(&a, 'x', buf_span(&r));
	header(&a, '0', "f", 6);
	contents(&a, SPAN("hello\n"));
	end(&a);
	is_num(read_to_text(buf_span(&a), 9, NULL, true, &out, &e), 0, "T12 a hole of 8 EiB");
	_cleanup_(stream_closep) struct stream *src = chopped_open(buf_span(&a), 100, 0);
	_cleanup_(tar_closep) struct tar *t = tar_open(src, NULL, &e);
	const struct tar_entry *n;
	unsigned char six[6];
	ok(tar_next(t, &n) == 1 && n->sparse && !stream_discard(tar_data(t), 9223372036854775801) &&
	   !stream_read_exact(tar_data(t), six, 6) && !memcmp(six, "hello\n", 6) && !stream_peek(tar_data(t)).n, "T12 is passed over at once");
	struct tar_limits lim = { .max_size = MIB(1) };
	is_num(read_to_text(buf_span(&a), SIZE_MAX, &lim, false, &out, &e), E_TOOBIG, "T81 its size has a budget");
	buf_release(&a);
	buf_release(&r);
	buf_release(&map);
}

/* ---- offsets ---- */

static void offsets(void)
{
	struct buf a = BUF_INIT;
	struct err e = { 0 };
	const struct tar_entry *n;

	buf_adds(&a, "front");
	pax1(&a, 'g', "uid", SPAN("1"));
	pax1(&a, 'x', "uid", SPAN("1"));
	header(&a, '0', "f", 6);
	contents(&a, SPAN("hello\n"));
	header(&a, '0', "g", 3);
	contents(&a, SPAN("abc"));
	_cleanup_(stream_closep) struct stream *src = chopped_open(buf_span(&a), 100, 0);
	stream_discard(src, 5);
	_cleanup_(tar_closep) struct tar *t = tar_open(src, NULL, &e);
	tar_next(t, &n);
	is_num(n->offset, 1024, "an entry begins with its own PAX header");
	is_num(tar_data_offset(t), 1024 + 1024 + 512, "its contents behind its header");
	tar_next(t, &n);
	is_num(n->offset, 1024 + 1024 + 512 + 512, "the next");
	ok(!memcmp(a.p + 5 + tar_data_offset(t), "abc", 3), "is where it says");
	buf_release(&a);
}

int main(void)
{
	plain_types();
	formats();
	numbers();
	pax();
	bad_pax();
	gnu_long();
	ends();
	odd_types();
	limits();
	sparse();
	offsets();
	return done_testing();
}
