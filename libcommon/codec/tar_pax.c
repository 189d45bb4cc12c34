/* Extended headers of POSIX.1-2017 pax: records "LENGTH KEY=VALUE\n", local (x) and global (g). */
#include <string.h>

#include "libcommon/codec/base64.h"
#include "libcommon/codec/tar.h"

/* [-]SECONDS[.FRACTION], digits beyond the nanosecond dropped, downwards. */
static int parse_time(struct span s, struct tar_time *out)
{
	bool negative = s.n && s.p[0] == '-';
	uint64_t sec;
	uint32_t nsec = 0;

	s = span_tail(s, negative);
	size_t dot = span_find(s, '.');
	if (num_u64(span_of(s.p, dot), INT64_MAX - 1, &sec))
		return E_FORMAT;
	struct span fraction = span_tail(s, dot + 1);
	for (size_t i = 0; i < MAX(fraction.n, (size_t)9); i++) {
		unsigned char c = i < fraction.n ? fraction.p[i] : '0';
		if (c < '0' || c > '9')
			return E_FORMAT;
		if (i < 9)
			nsec = nsec * 10 + (c - '0');
	}
	out->sec = negative ? -(int64_t)sec : (int64_t)sec;
	out->nsec = nsec;
	if (negative && nsec) {
		out->sec--;
		out->nsec = 1000000000 - nsec;
	}
	return 0;
}

static int xattr_set(struct tar *t, struct xattr_list *l, struct span name, struct span value)
{
	if (!name.n)
		return tar_fail(t, E_FORMAT, "PAX: extended attribute without a name");
	for (size_t i = 0; i < l->n; i++) {
		if (span_eq(l->v[i].name, name)) {
			l->v[i].value = value;
			return 0;
		}
	}
	if (l->n == TAR_XATTRS_MAX)
		return tar_fail(t, E_TOOBIG, "PAX: more than %d extended attributes",
				TAR_XATTRS_MAX);
	if (l->n == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 8;
		l->v = xrealloc(l->v, l->cap * sizeof(*l->v));
	}
	l->v[l->n++] = (struct tar_xattr){ name, value };
	return 0;
}

/* libarchive writes names with %XX and values in base64: both become shorter, in place. */
static int libarchive_xattr(struct tar *t, struct tar_pax *p, struct span name, struct span value)
{
	unsigned char *out = (unsigned char *)name.p;
	size_t n = 0;

	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = name.p[i];
		if (c == '%') {
			unsigned char two[2] = { 0 };
			for (size_t k = 0; k < 2 && i + 1 + k < name.n; k++) {
				unsigned char d = name.p[i + 1 + k];
				two[k] = d >= 'A' && d <= 'F' ? d + 'a' - 'A' : d;
			}
			if (num_hex(span_of(two, 2), &c, 1) || !c)
				return tar_fail(t, E_FORMAT,
						"PAX: bad name of an extended attribute");
			i += 2;
		}
		out[n++] = c;
	}
	out[n] = 0;
	ssize_t len = base64_decode_to(value, (unsigned char *)value.p);
	if (len < 0)
		return tar_fail(t, E_FORMAT, "PAX: bad base64 of an extended attribute");
	((unsigned char *)value.p)[len] = 0;
	return xattr_set(t, &p->xattrs, span_of(out, n), span_of(value.p, (size_t)len));
}

enum kind { TEXT, NUMBER, TIME };
static const struct key {
	const char *name;
	enum kind kind;
	unsigned field; /* 0: only checked */
	size_t at;
	uint64_t max;
	bool local_only; /* of each entry its own: a global one would make all entries one */
} keys[] = {
	{ "mtime", TIME, PAX_MTIME, offsetof(struct tar_pax, mtime), 0, false },
	{ "path", TEXT, PAX_PATH, offsetof(struct tar_pax, path), 0, true },
	{ "linkpath", TEXT, PAX_LINK, offsetof(struct tar_pax, link), 0, true },
	{ "size", NUMBER, PAX_SIZE, offsetof(struct tar_pax, size), INT64_MAX, true },
	{ "uid", NUMBER, PAX_UID, offsetof(struct tar_pax, uid), UINT32_MAX - 1, false },
	{ "gid", NUMBER, PAX_GID, offsetof(struct tar_pax, gid), UINT32_MAX - 1, false },
	{ "uname", TEXT, PAX_UNAME, offsetof(struct tar_pax, uname), 0, false },
	{ "gname", TEXT, PAX_GNAME, offsetof(struct tar_pax, gname), 0, false },
	{ "atime", TIME, PAX_ATIME, offsetof(struct tar_pax, atime), 0, false },
	{ "GNU.sparse.major", NUMBER, PAX_SPARSE_MAJOR, offsetof(struct tar_pax, sparse_major),
	  INT64_MAX, true },
	{ "GNU.sparse.minor", NUMBER, PAX_SPARSE_MINOR, offsetof(struct tar_pax, sparse_minor),
	  INT64_MAX, true },
	{ "GNU.sparse.name", TEXT, PAX_SPARSE_NAME, offsetof(struct tar_pax, sparse_name), 0,
	  true },
	{ "GNU.sparse.realsize", NUMBER, PAX_SPARSE_SIZE, offsetof(struct tar_pax, sparse_size),
	  INT64_MAX, true },
	{ "GNU.sparse.size", NUMBER, PAX_SPARSE_SIZE, offsetof(struct tar_pax, sparse_size),
	  INT64_MAX, true },
	{ "GNU.sparse.map", TEXT, PAX_SPARSE_MAP, offsetof(struct tar_pax, sparse_map), 0, true },
};

static int known_record(struct tar *t, struct tar_pax *p, const struct key *k, struct span value,
			bool global)
{
	void *to = (char *)p + k->at;
	int r = 0;

	if (global && k->local_only)
		return tar_fail(t, E_FORMAT, "PAX: a global \"%s\"", k->name);
	/* An empty value takes back what was said before. */
	if (!value.n) {
		p->has &= ~k->field;
		return 0;
	}
	if (k->kind == NUMBER)
		r = num_u64(value, k->max, to);
	else if (k->kind == TIME)
		r = parse_time(value, to);
	else if (memchr(value.p, 0, value.n))
		r = E_FORMAT;
	else
		*(struct span *)to = value;
	if (r)
		return tar_fail(t, E_FORMAT, "PAX: bad %s %s", k->name, quoted(value));
	p->has |= k->field;
	return 0;
}

/* Sparse version 0.0 repeats a pair of keys for every region. */
static int sparse_record(struct tar *t, struct tar_pax *p, struct span key, struct span value,
			 bool global)
{
	bool offset = span_is(key, "GNU.sparse.offset");
	uint64_t v;

	if (global)
		return tar_fail(t, E_FORMAT, "PAX: a global sparse map");
	if (num_u64(value, INT64_MAX, &v))
		return tar_fail(t, E_FORMAT, "PAX: bad %s", quoted(key));
	p->has |= PAX_SPARSE_OTHER;
	if (!offset && !span_is(key, "GNU.sparse.numbytes"))
		return 0; /* numblocks, which the regions themselves say */
	if (offset == t->offset_pending)
		return tar_fail(t, E_FORMAT, "PAX: sparse offsets and lengths do not pair");
	t->offset_pending = offset;
	if (offset)
		return tar_region_add(t, v, 0);
	t->regions[t->regions_n - 1].length = v;
	return 0;
}

static int record(struct tar *t, struct tar_pax *p, struct span key, struct span value, bool global)
{
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (key.p[0] == (unsigned char)keys[i].name[0] && span_is(key, keys[i].name))
			return known_record(t, p, &keys[i], value, global);
	if (span_starts(key, "SCHILY.xattr."))
		return xattr_set(t, &p->xattrs, span_tail(key, strlen("SCHILY.xattr.")), value);
	if (span_starts(key, "SCHILY.acl."))
		return xattr_set(t, &p->acls, key, value);
	if (span_starts(key, "LIBARCHIVE.xattr."))
		return libarchive_xattr(t, p, span_tail(key, strlen("LIBARCHIVE.xattr.")), value);
	if (span_starts(key, "GNU.sparse."))
		return sparse_record(t, p, key, value, global);
	/* star's way to say sparse: taken for a plain file it would be another. */
	if (span_is(key, "SCHILY.realsize"))
		return tar_fail(t, E_UNSUPPORTED, "PAX: a sparse file in star's format");
	return 0;
}

int tar_pax_parse(struct tar *t, unsigned char *area, size_t n, struct tar_pax *p, bool global)
{
	while (n) {
		size_t i = 0, len = 0;
		while (i < n && i < 9 && area[i] >= '0' && area[i] <= '9')
			len = len * 10 + (area[i++] - '0');
		/* Digits, a blank, a key, "=", a value, and a newline where the length says. */
		if (!i || i == n || area[i] != ' ' || len > n || len < i + 3 ||
		    area[len - 1] != '\n')
			return tar_fail(t, E_FORMAT, "PAX: bad record");
		unsigned char *key = area + i + 1, *end = area + len - 1;
		unsigned char *equals = memchr(key, '=', (size_t)(end - key));
		if (!equals || equals == key || memchr(key, 0, (size_t)(equals - key)))
			return tar_fail(t, E_FORMAT, "PAX: bad record");
		*equals = *end = 0;
		int r = record(t, p, span_of(key, (size_t)(equals - key)),
			       span_of(equals + 1, (size_t)(end - equals - 1)), global);
		if (r)
			return r;
		area += len;
		n -= len;
	}
	return 0;
}

static void list_copy(struct xattr_list *to, const struct xattr_list *from)
{
	if (from->n > to->cap) {
		to->cap = from->n;
		to->v = xrealloc(to->v, to->cap * sizeof(*to->v));
	}
	if (from->n)
		memcpy(to->v, from->v, from->n * sizeof(*to->v));
	to->n = from->n;
}

void tar_pax_reset(struct tar *t)
{
	struct tar_pax *l = &t->local;

	if (t->globals) {
		struct xattr_list xattrs = l->xattrs, acls = l->acls;
		list_copy(&xattrs, &t->global.xattrs);
		list_copy(&acls, &t->global.acls);
		*l = t->global;
		l->xattrs = xattrs;
		l->acls = acls;
	} else {
		l->has = 0;
		l->xattrs.n = l->acls.n = 0;
	}
	t->regions_n = 0;
	t->offset_pending = false;
	t->has_local = t->has_long_name = t->has_long_link = false;
}
