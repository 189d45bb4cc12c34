/* The headers of format 1: read back by ourselves, by GNU tar and by bsdtar, and the same bytes for ever. */
#include "libcommon/codec.h"
#include "tests/unit/chopped.h"
#include "tests/unit/tap.h"
#include "tests/unit/tool.h"

#define S(s) { (const unsigned char *)(s), sizeof(s) - 1 }
#define N10 "nnnnnnnnnn"
#define N50 N10 N10 N10 N10 N10
#define N150 N50 N50 N50

static const struct tar_xattr xattrs[] = { { S("user.z"), S("last\n=") }, { S("security.capability"), S("\1\0\0\2") } };
/* Records of 99 and 100 bytes are not: their length has a digit more. */
static const struct tar_xattr edges[] = { { S("user.a"), S(N50 N10 N10 "nnnnnn") }, { S("user.b"), S(N50 N10 N10 "nnnnnnn") } };
static const struct tar_xattr acls[] = { { S("SCHILY.acl.access"), S("user::rw-,group::r--") } };

static const struct {
	const char *what;
	struct tar_entry e;
	unsigned blocks; /* of the header */
} cases[] = {
	{ "a file", { .type = TAR_FILE, .name = S("f"), .mode = 04755, .uid = 1, .gid = 2, .mtime = { 1, 0 }, .size = 5 }, 1 },
	{ "a directory", { .type = TAR_DIR, .name = S("d"), .mode = 01777 }, 1 },
	{ "a symlink", { .type = TAR_SYMLINK, .name = S("s"), .link = S("../t"), .mode = 0777 }, 1 },
	{ "a hard link", { .type = TAR_HARDLINK, .name = S("h"), .link = S("f"), .mode = 0644 }, 1 },
	{ "a device", { .type = TAR_CHAR, .name = S("c"), .mode = 0600, .dev_major = 4, .dev_minor = 2097151 }, 1 },
	{ "a block device", { .type = TAR_BLOCK, .name = S("b"), .mode = 0600, .dev_major = 8 }, 1 },
	{ "a fifo", { .type = TAR_FIFO, .name = S("p"), .mode = 0600 }, 1 },
	{ "users", { .type = TAR_FILE, .name = S("u"), .uname = S("user"), .gname = S("group") }, 1 },
	{ "100 bytes of name", { .type = TAR_FILE, .name = S(N50 N50) }, 1 },
	{ "101 bytes without a slash", { .type = TAR_FILE, .name = S(N50 N50 "x") }, 3 },
	{ "99 bytes of directory", { .type = TAR_DIR, .name = S(N50 "nnnnnnnnn" N10 N10 N10 N10) }, 1 },
	{ "100 bytes of directory", { .type = TAR_DIR, .name = S(N50 N50) }, 3 },
	{ "155 + 100", { .type = TAR_FILE, .name = S(N150 "ppppp/" N50 N50) }, 1 },
	{ "156 + 100", { .type = TAR_FILE, .name = S(N150 "pppppp/" N50 N50) }, 3 },
	{ "a slash in front only", { .type = TAR_FILE, .name = S("/" N50 N50) }, 3 },
	{ "cut at the first slash that will do", { .type = TAR_FILE, .name = S("a/" N50 "/b/" N50 "/c") }, 1 },
	{ "a long target", { .type = TAR_SYMLINK, .name = S("l"), .link = S(N150) }, 3 },
	{ "bytes above ASCII", { .type = TAR_FILE, .name = S("caf\xc3\xa9 \xff") }, 1 },
	{ "a long name of bytes", { .type = TAR_FILE, .name = S(N150 "\xff") }, 3 },
	{ "large ids", { .type = TAR_FILE, .name = S("i"), .uid = 4294967294, .gid = 2097152 }, 3 },
	{ "the largest small ids", { .type = TAR_FILE, .name = S("i"), .uid = 2097151, .gid = 2097151 }, 1 },
	{ "before 1970", { .type = TAR_FILE, .name = S("t"), .mtime = { -2, 750000000 } }, 3 },
	{ "a part of a second", { .type = TAR_FILE, .name = S("t"), .mtime = { 5, 1 }, .has_atime = true, .atime = { -1, 0 } }, 3 },
	{ "just before 1970", { .type = TAR_FILE, .name = S("t"), .mtime = { -1, 500000000 } }, 3 },
	{ "far in the future", { .type = TAR_FILE, .name = S("t"), .mtime = { 8589934592, 0 } }, 3 },
	{ "extended attributes", { .type = TAR_FILE, .name = S("x"), .xattrs = xattrs, .xattrs_n = 2, .acls = acls, .acls_n = 1 }, 3 },
	{ "records at the edge", { .type = TAR_FILE, .name = S("x"), .xattrs = edges, .xattrs_n = 2 }, 3 },
};

static struct tar_entry entry_of(size_t i)
{
	struct tar_entry e = cases[i].e;

	if (!e.link.p)
		e.link = SPAN("");
	if (!e.uname.p)
		e.uname = e.gname = SPAN("");
	return e;
}

static bool same_xattrs(const struct tar_xattr *a, size_t a_n, const struct tar_xattr *b, size_t b_n)
{
	size_t found = 0;

	for (size_t i = 0; i < a_n; i++)
		for (size_t k = 0; k < b_n; k++)
			found += span_eq(a[i].name, b[k].name) && span_eq(a[i].value, b[k].value);
	return a_n == b_n && found == a_n;
}

static bool same(const struct tar_entry *a, const struct tar_entry *b)
{
	return a->type == b->type && span_eq(a->name, b->name) && span_eq(a->link, b->link) && a->mode == b->mode &&
	       a->uid == b->uid && a->gid == b->gid && span_eq(a->uname, b->uname) && span_eq(a->gname, b->gname) &&
	       a->mtime.sec == b->mtime.sec && a->mtime.nsec == b->mtime.nsec && a->has_atime == b->has_atime &&
	       (!a->has_atime || (a->atime.sec == b->atime.sec && a->atime.nsec == b->atime.nsec)) && a->size == b->size &&
	       a->dev_major == b->dev_major && a->dev_minor == b->dev_minor &&
	       same_xattrs(a->xattrs, a->xattrs_n, b->xattrs, b->xattrs_n) && same_xattrs(a->acls, a->acls_n, b->acls, b->acls_n);
}

static struct buf archive;

static void write_all(void)
{
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tar_entry entry = entry_of(i);
		size_t before = archive.n;
		ok(!tar_header(&archive, &entry, &e) && (archive.n - before) / 512 == cases[i].blocks, "%s: %u blocks",
		   cases[i].what, cases[i].blocks);
		for (size_t k = 0; k < entry.size; k++)
			buf_addc(&archive, 'x');
		buf_add(&archive, tar_zeros, tar_padding(entry.size));
	}
	buf_add(&archive, tar_zeros, sizeof(tar_zeros));
}

static void read_back(void)
{
	struct err e = { 0 };
	_cleanup_(stream_closep) struct stream *src = chopped_open(buf_span(&archive), 1000, 0);
	_cleanup_(tar_closep) struct tar *t = tar_open(src, NULL, &e);
	const struct tar_entry *n;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct tar_entry want = entry_of(i);
		ok(tar_next(t, &n) == 1 && same(&want, n), "%s: read back", cases[i].what);
	}
	is_num(tar_next(t, &n), 0, "and no more");
}

static size_t lines(const struct buf *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n; i++)
		n += b->p[i] == '\n';
	return n;
}

/* What another reader lists: a name a line, in order; bsdtar writes odd bytes in a way of its own. */
static void read_by(const char *const *argv, bool exactly)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT, want = BUF_INIT;
	int status;

	if (!by_tool(argv, buf_span(&archive), &out, &status)) {
		skip("it is not here");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		buf_add_span(&want, cases[i].e.name);
		buf_adds(&want, cases[i].e.type == TAR_DIR ? "/\n" : "\n");
	}
	is_num(status, 0, argv[0]);
	if (!exactly)
		is_num(lines(&out), lines(&want), "it reads as many names");
	else
		is_str(buf_str(&out), buf_str(&want), "it reads the same names");
}

static void cannot_say(void)
{
	static const struct tar_xattr bad[] = { { S("user.a=b"), S("") }, { S("user.a\0b"), S("") }, { S(""), S("v") } };
	struct buf out = BUF_INIT;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct tar_entry x = { .type = TAR_FILE, .name = S("f"), .xattrs = &bad[i], .xattrs_n = 1 };
		err_clear(&e);
		ok(tar_header(&out, &x, &e) == E_UNSUPPORTED && e.text[0] && !out.n, "%s: refused", quoted(bad[i].name));
	}
	struct tar_entry device = { .type = TAR_CHAR, .name = S("c"), .dev_minor = 2097152 };
	err_clear(&e);
	ok(tar_header(&out, &device, &e) == E_UNSUPPORTED && !out.n, "a device number that is too large");
}

/* Sizes that need no file to be tried. */
static void sizes(void)
{
	static const uint64_t sizes[] = { 0, 1, 511, 512, 8589934591, 8589934592, INT64_MAX };

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		struct tar_entry e = { .type = TAR_FILE, .name = S("f"), .size = sizes[i] };
		struct buf b = BUF_INIT;
		struct err err = { 0 };
		const struct tar_entry *n;
		tar_header(&b, &e, &err);
		struct stream *src = stream_from_buf(&b);
		struct tar *t = tar_open(src, NULL, &err);
		ok(tar_next(t, &n) == 1 && n->size == sizes[i] && (sizes[i] + tar_padding(sizes[i])) % 512 == 0, "a size of %llu",
		   (unsigned long long)sizes[i]);
		tar_close(t);
		stream_close(src);
	}
}

int main(void)
{
	static const char *const gnu[] = { "tar", "-tPf", "@", "--quoting-style=literal", NULL };
	static const char *const bsd[] = { "bsdtar", "-tPf", "@", NULL };
	unsigned char v[HASH_MAX];
	char hex[2 * HASH_MAX + 1];

	write_all();
	read_back();
	read_by(gnu, true);
	read_by(bsd, false);
	hash_once(HASH_SHA256, buf_span(&archive), v);
	num_to_hex(v, 32, hex);
	is_str(hex, "38f117bfb4e9887271cc8d5e9cd8e466f33a1333c1773d05c79915a37c41d55f", "format 1 is what it was");
	cannot_say();
	sizes();
	buf_release(&archive);
	return done_testing();
}
