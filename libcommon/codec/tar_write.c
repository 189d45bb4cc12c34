/* Headers of tar as we write them: ustar, and PAX records, sorted by key, for what ustar cannot say. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/codec/tar.h"

const unsigned char tar_zeros[1024];

size_t tar_padding(uint64_t size)
{
	return (size_t)(-size & (TAR_BLOCK_SIZE - 1));
}

/* ---- PAX records ---- */

static unsigned digits_of(size_t n)
{
	unsigned d = 1;

	while (n >= 10) {
		n /= 10;
		d++;
	}
	return d;
}

/* The length at the front counts its own digits. */
static void add_record(struct buf *b, struct span key, struct span value)
{
	size_t body = 1 + key.n + 1 + value.n + 1, len = body + digits_of(body);

	if (digits_of(len) != len - body)
		len = body + digits_of(len);
	buf_addf(b, "%zu ", len);
	buf_add_span(b, key);
	buf_addc(b, '=');
	buf_add_span(b, value);
	buf_addc(b, '\n');
}

struct record {
	struct span key, value;
};

static int by_key(const void *a, const void *b)
{
	return span_cmp(((const struct record *)a)->key, ((const struct record *)b)->key);
}

struct records {
	struct record *v;
	size_t n;
	char **owned; /* keys and values that were made here */
	size_t owned_n;
};

static void records_release(struct records *r)
{
	for (size_t i = 0; i < r->owned_n; i++)
		free(r->owned[i]);
	free(r->owned);
	free(r->v);
}

static void add(struct records *r, struct span key, struct span value)
{
	r->v[r->n++] = (struct record){ key, value };
}

static struct span own(struct records *r, char *text)
{
	r->owned[r->owned_n++] = text;
	return span_str(text);
}

static void add_number(struct records *r, const char *key, uint64_t v)
{
	add(r, span_str(key), own(r, xasprintf("%" PRIu64, v)));
}

/* Seconds, and a fraction without zeros at its end. Below zero the fraction goes the other way. */
static void add_time(struct records *r, const char *key, struct tar_time t)
{
	bool negative = t.sec < 0;
	uint64_t sec = negative ? -(uint64_t)t.sec : (uint64_t)t.sec;
	uint32_t nsec = t.nsec;
	char *text;

	if (negative && nsec) {
		sec--;
		nsec = 1000000000 - nsec;
	}
	text = nsec ? xasprintf("%s%" PRIu64 ".%09" PRIu32, negative ? "-" : "", sec, nsec)
		    : xasprintf("%s%" PRIu64, negative ? "-" : "", sec);
	for (size_t n = strlen(text); nsec && text[n - 1] == '0'; n--)
		text[n - 1] = 0;
	add(r, span_str(key), own(r, text));
}

/* ---- ustar ---- */

static const uint64_t octal7 = 07777777, octal11 = 077777777777;

/* Digits and a NUL; what does not fit is said by PAX and stands here as 0. */
static void put_octal(unsigned char *p, size_t n, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%0*" PRIo64, (int)n - 1, v);
	memcpy(p, text, n);
}

static void put_text(unsigned char *p, size_t n, struct span s)
{
	if (s.n)
		memcpy(p, s.p, MIN(s.n, n));
}

/* Where a name can be cut into prefix and name: the slash, 0 where no cut is needed, SIZE_MAX where none will do. */
static size_t name_cut(struct span name)
{
	if (name.n <= 100)
		return 0;
	for (size_t i = name.n - 101; i < name.n - 1 && i <= 155; i++)
		if (i && name.p[i] == '/')
			return i;
	return SIZE_MAX;
}

static void checksum(unsigned char *b)
{
	unsigned sum = 0;
	char text[8];

	memset(b + H_CHECKSUM, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
		sum += b[i];
	snprintf(text, sizeof(text), "%06o", sum);
	memcpy(b + H_CHECKSUM, text, 7);
}

static void start_block(unsigned char *b, char type)
{
	memset(b, 0, TAR_BLOCK_SIZE);
	b[H_TYPE] = (unsigned char)type;
	memcpy(b + H_MAGIC, "ustar\00000", 8);
}

/* The header of the records: of fixed contents but for the size and the last part of the entry's name. */
static void add_pax(struct buf *out, struct span name, struct records *r)
{
	static const char front[] = "PaxHeaders.0/";
	unsigned char b[TAR_BLOCK_SIZE];
	_cleanup_(buf_release) struct buf area = BUF_INIT;

	qsort(r->v, r->n, sizeof(*r->v), by_key);
	for (size_t i = 0; i < r->n; i++)
		add_record(&area, r->v[i].key, r->v[i].value);
	start_block(b, 'x');
	size_t slash = span_rfind(name, '/');
	if (slash < name.n)
		name = span_tail(name, slash + 1);
	name.n = MIN(name.n, 100 - strlen(front));
	put_text(b, 100, span_str(front));
	put_text(b + strlen(front), name.n, name);
	put_octal(b + H_MODE, 8, 0644);
	put_octal(b + H_UID, 8, 0);
	put_octal(b + H_GID, 8, 0);
	put_octal(b + H_SIZE, 12, area.n);
	put_octal(b + H_MTIME, 12, 0);
	put_octal(b + H_MAJOR, 8, 0);
	put_octal(b + H_MINOR, 8, 0);
	checksum(b);
	buf_add(out, b, sizeof(b));
	buf_add_span(out, buf_span(&area));
	buf_add(out, tar_zeros, tar_padding(area.n));
}

static uint64_t fit(struct records *r, const char *key, uint64_t v, uint64_t max)
{
	if (v <= max)
		return v;
	add_number(r, key, v);
	return 0;
}

static int add_xattrs(struct records *r, const struct tar_entry *e, struct err *err)
{
	for (size_t i = 0; i < e->xattrs_n + e->acls_n; i++) {
		bool acl = i >= e->xattrs_n;
		const struct tar_xattr *x = acl ? &e->acls[i - e->xattrs_n] : &e->xattrs[i];
		if (!x->name.n || span_find(x->name, '=') < x->name.n ||
		    span_find(x->name, 0) < x->name.n)
			return err_set(err, E_UNSUPPORTED,
				       "%s: tar cannot hold the extended attribute %s",
				       quoted(e->name), quoted(x->name));
		add(r,
		    acl ? x->name
			: own(r, xasprintf("SCHILY.xattr.%.*s", (int)x->name.n,
					   (const char *)x->name.p)),
		    x->value);
	}
	return 0;
}

/* A directory's name ends in a slash. */
static struct span full_name(struct records *r, const struct tar_entry *e)
{
	if (e->type != TAR_DIR || span_ends(e->name, "/"))
		return e->name;
	return own(r, xasprintf("%.*s/", (int)e->name.n, (const char *)e->name.p));
}

static void put_names(unsigned char *b, struct span name, const struct tar_entry *e,
		      struct records *r)
{
	size_t cut = name_cut(name);

	if (cut == SIZE_MAX) {
		add(r, SPAN("path"), name);
		put_text(b + H_NAME, 100, name);
	} else {
		put_text(b + H_PREFIX, 155, span_of(name.p, cut));
		put_text(b + H_NAME, 100, span_tail(name, cut ? cut + 1 : 0));
	}
	if (e->link.n > 100)
		add(r, SPAN("linkpath"), e->link);
	put_text(b + H_LINK, 100, e->link);
	if (e->uname.n > 31)
		add(r, SPAN("uname"), e->uname);
	else
		put_text(b + H_UNAME, 31, e->uname);
	if (e->gname.n > 31)
		add(r, SPAN("gname"), e->gname);
	else
		put_text(b + H_GNAME, 31, e->gname);
	if ((cut == SIZE_MAX && !utf8_valid(name)) || (e->link.n > 100 && !utf8_valid(e->link)))
		add(r, SPAN("hdrcharset"), SPAN("BINARY"));
}

int tar_header(struct buf *out, const struct tar_entry *e, struct err *err)
{
	static const char types[] = {
		[TAR_FILE] = '0',  [TAR_HARDLINK] = '1', [TAR_SYMLINK] = '2', [TAR_CHAR] = '3',
		[TAR_BLOCK] = '4', [TAR_DIR] = '5',	 [TAR_FIFO] = '6',
	};
	size_t most = 12 + e->xattrs_n + e->acls_n;
	_cleanup_(records_release) struct records r = {
		.v = xcalloc(most, sizeof(*r.v)),
		.owned = xcalloc(most, sizeof(*r.owned)),
	};
	unsigned char b[TAR_BLOCK_SIZE];
	struct span name = full_name(&r, e);
	bool time_fits = e->mtime.sec >= 0 && (uint64_t)e->mtime.sec <= octal11 && !e->mtime.nsec;

	if (e->dev_major > octal7 || e->dev_minor > octal7)
		return err_set(err, E_UNSUPPORTED, "%s: tar cannot hold the device number %u:%u",
			       quoted(name), e->dev_major, e->dev_minor);
	int bad = add_xattrs(&r, e, err);
	if (bad)
		return bad;
	start_block(b, types[e->type]);
	put_names(b, name, e, &r);
	put_octal(b + H_MODE, 8, e->mode & 07777);
	put_octal(b + H_UID, 8, fit(&r, "uid", e->uid, octal7));
	put_octal(b + H_GID, 8, fit(&r, "gid", e->gid, octal7));
	put_octal(b + H_SIZE, 12, fit(&r, "size", e->type == TAR_FILE ? e->size : 0, octal11));
	put_octal(b + H_MTIME, 12, time_fits ? (uint64_t)e->mtime.sec : 0);
	if (!time_fits)
		add_time(&r, "mtime", e->mtime);
	if (e->has_atime)
		add_time(&r, "atime", e->atime);
	put_octal(b + H_MAJOR, 8, e->dev_major);
	put_octal(b + H_MINOR, 8, e->dev_minor);
	checksum(b);
	if (r.n)
		add_pax(out, name, &r);
	buf_add(out, b, sizeof(b));
	return 0;
}
