/* What an entry says of itself, as the file that it becomes would show it. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/oci/apply.h"
#include "libcommon/oci/listing.h"

#define ACL_ACCESS  "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

enum { ACL_HEAD = 4, ACL_ENTRY = 8, ACL_USER = 1, ACL_GROUP = 4, ACL_MASK = 16, ACL_OTHER = 32 };

/* One attribute, on its way to be sorted. */
struct attribute {
	struct span name;
	struct span value;
	size_t order; /* of two with one name the later counts */
};
struct attributes {
	struct attribute *v;
	size_t n;
	struct buf *owned; /* values that were made here */
	size_t owned_n;
};

static void attributes_release(struct attributes *a)
{
	for (size_t i = 0; i < a->owned_n; i++)
		buf_release(&a->owned[i]);
	free(a->owned);
	free(a->v);
}

static void add(struct attributes *a, struct span name, struct span value)
{
	a->v[a->n] = (struct attribute){ name, value, a->n };
	a->n++;
}

/*
 * An access ACL is where the kernel has the permissions of the group, too: its mask. One that says no
 * more than a mode is none. True where it stays.
 */
static bool acl_into_mode(struct span acl, uint32_t *mode)
{
	unsigned perm[ACL_OTHER + 1] = { 0 };
	bool more = false, mask = false;

	for (size_t i = ACL_HEAD; i + ACL_ENTRY <= acl.n; i += ACL_ENTRY) {
		unsigned tag = acl.p[i] | (unsigned)acl.p[i + 1] << 8;

		if (tag <= ACL_OTHER)
			perm[tag] = acl.p[i + 2] & 7;
		mask |= tag == ACL_MASK;
		more |= tag != ACL_USER && tag != ACL_GROUP && tag != ACL_OTHER;
	}
	*mode = (*mode & 07000) | perm[ACL_USER] << 6 | perm[mask ? ACL_MASK : ACL_GROUP] << 3 |
		perm[ACL_OTHER];
	return more;
}

/* Version 2 of a file capability, whatever the user namespace of who made the image. */
static int add_capability(struct listing *l, struct attributes *a, const struct tar_xattr *x)
{
	struct buf *b = &a->owned[a->owned_n++];

	if ((x->value.n != 20 && x->value.n != 24) || x->value.p[3] != (x->value.n == 20 ? 2 : 3))
		return listing_fail(l, E_FORMAT, "malformed security.capability");
	buf_add(b, x->value.p, 20);
	b->p[3] = 2;
	add(a, x->name, buf_span(b));
	return 0;
}

static int add_acl(struct listing *l, struct attributes *a, const struct tar_xattr *x)
{
	bool dflt = span_is(x->name, "SCHILY.acl.default");
	struct buf *b = &a->owned[a->owned_n++];
	struct err why = { 0 };
	int r;

	if (!dflt && !span_is(x->name, "SCHILY.acl.access"))
		return err_set(l->e, E_UNSUPPORTED, "%s: an ACL of kind %s",
			       quoted(buf_span(&l->name.path)), quoted(x->name));
	r = acl_from_text(-1, x->value, b, &why);
	if (r < 0)
		return err_set(l->e, r, "%s: ACL %s: %s", quoted(buf_span(&l->name.path)),
			       quoted(x->value), why.text);
	add(a, dflt ? SPAN(ACL_DEFAULT) : SPAN(ACL_ACCESS), buf_span(b));
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct attribute *x = a, *y = b;
	int c = span_cmp(x->name, y->name);

	return c ? c : (x->order > y->order) - (x->order < y->order);
}

static void put_size(struct buf *b, size_t n)
{
	uint32_t v = (uint32_t)n;

	buf_add(b, &v, sizeof(v));
}

/* Two lengths, name with a NUL, value. */
static void store(struct listing *l, struct attributes *a, uint32_t *mode)
{
	qsort(a->v, a->n, sizeof(*a->v), by_name);
	for (size_t i = 0; i < a->n; i++) {
		const struct attribute *x = &a->v[i];

		if (i + 1 < a->n && span_eq(x->name, a->v[i + 1].name))
			continue;
		if (span_is(x->name, ACL_ACCESS) && !acl_into_mode(x->value, mode))
			continue;
		put_size(&l->xattrs, x->name.n);
		put_size(&l->xattrs, x->value.n);
		buf_add_span(&l->xattrs, x->name);
		buf_addc(&l->xattrs, 0);
		buf_add_span(&l->xattrs, x->value);
	}
}

static int put_xattrs(struct listing *l, uint32_t *mode)
{
	const struct tar_entry *e = l->te;
	size_t most = e->xattrs_n + e->acls_n;
	int r = 0;

	buf_clear(&l->xattrs);
	if (!most)
		return 0;
	_cleanup_(attributes_release) struct attributes a = {
		.v = xcalloc(most, sizeof(*a.v)),
		.owned = xcalloc(most, sizeof(*a.owned)),
	};
	for (size_t i = 0; i < e->xattrs_n && r == 0; i++) {
		const struct tar_xattr *x = &e->xattrs[i];

		if (span_starts(x->name, "trusted.overlay.") ||
		    span_starts(x->name, "user.overlay."))
			continue;
		if (span_is(x->name, "security.capability"))
			r = add_capability(l, &a, x);
		else
			add(&a, x->name, x->value);
	}
	for (size_t i = 0; i < e->acls_n && r == 0; i++)
		r = add_acl(l, &a, &e->acls[i]);
	if (r == 0)
		store(l, &a, mode);
	return r;
}

int listing_meta(struct listing *l, struct inode *n)
{
	const struct tar_entry *e = l->te;

	n->type = (uint8_t)e->type;
	n->mode = e->type == TAR_SYMLINK ? 0777 : e->mode & 07777;
	n->uid = (uint32_t)e->uid;
	n->gid = (uint32_t)e->gid;
	n->sec = e->mtime.sec;
	n->nsec = e->mtime.nsec;
	n->dev_major = e->dev_major;
	n->dev_minor = e->dev_minor;
	n->layer = l->layer;
	n->entry = l->entry;
	n->implied = false;

	struct span link = e->type == TAR_SYMLINK ? e->link : span_of("", 0);
	int r = put_xattrs(l, &n->mode);
	n->link_n = (uint32_t)link.n;
	n->xattrs_n = (uint32_t)l->xattrs.n;
	if (r < 0 || !(link.n + l->xattrs.n))
		return r;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	buf_add_span(&b, link);
	buf_add_span(&b, buf_span(&l->xattrs));
	r = extras_add(&l->extras, buf_span(&b), &n->extra);
	return r < 0 ? err_set(l->e, r, "a temporary file in TMPDIR for the listing: %s",
			       err_word(r))
		     : 0;
}

static uint32_t get_size(const unsigned char *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

size_t listing_xattrs(struct listing *l, struct span bytes)
{
	size_t n = 0;

	while (bytes.n >= 9) {
		uint32_t name = get_size(bytes.p), value = get_size(bytes.p + 4);

		if (n == l->xattrs_cap) {
			l->xattrs_cap = l->xattrs_cap ? 2 * l->xattrs_cap : 8;
			l->xattrs_out =
				xrealloc(l->xattrs_out, l->xattrs_cap * sizeof(*l->xattrs_out));
		}
		l->xattrs_out[n++] = (struct tar_xattr){
			.name = span_of(bytes.p + 8, name),
			.value = span_of(bytes.p + 8 + name + 1, value),
		};
		bytes = span_tail(bytes, 8 + (size_t)name + 1 + value);
	}
	return n;
}
