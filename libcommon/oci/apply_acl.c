/*
 * POSIX ACLs as star and GNU tar write them (SCHILY.acl.*, text) into the kernel's form
 * (linux/posix_acl_xattr.h).
 *
 * "user::rwx,user:lisa:r-x:1001,group::r-x,mask::r-x,other::---": the number behind an entry, where
 * it has one, is the id; else the name is a number, or it is looked up in the tree.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/oci.h"
#include "libcommon/oci/apply.h"

enum {
	TAG_USER_OBJ = 1,
	TAG_USER = 2,
	TAG_GROUP_OBJ = 4,
	TAG_GROUP = 8,
	TAG_MASK = 16,
	TAG_OTHER = 32
};
enum { ACL_MAX = 8000 }; /* entries that fit an xattr of 64 KiB */

struct acl_entry {
	uint16_t tag, perm;
	uint32_t id;
};

static bool is_tag(struct span s, const char *word)
{
	return span_is(s, word) || (s.n == 1 && s.p[0] == (unsigned char)word[0]);
}

static int parse_perm(struct span s, uint16_t *perm)
{
	*perm = 0;
	for (size_t i = 0; i < s.n; i++) {
		switch (s.p[i]) {
		case 'r':
			*perm |= 4;
			break;
		case 'w':
			*perm |= 2;
			break;
		case 'x':
			*perm |= 1;
			break;
		case '-':
			break;
		default:
			return E_FORMAT;
		}
	}
	return s.n ? 0 : E_FORMAT;
}

static int look_up(int rootfd, bool group, struct span who, uint32_t *id, struct err *e)
{
	_cleanup_(freep) char *name = span_dup(who);
	_cleanup_(freep) char *spec = group ? xasprintf("0:%s", name) : xstrdup(name);
	struct user u = { 0 };
	struct err ignored = { 0 };
	int r = user_lookup(rootfd, spec, &u, &ignored);
	*id = group ? u.gid : u.uid;
	user_release(&u);
	return r < 0 ? err_set(e, E_UNSUPPORTED, "no %s %s in the tree", group ? "group" : "user",
			       quoted(who))
		     : 0;
}

static int parse_entry(int rootfd, struct span text, struct acl_entry *out, struct err *e)
{
	struct span f[4] = { 0 }, rest = text;
	size_t n = 0;
	while (n < 4 && span_cut(&rest, ':', &f[n]))
		n++;
	f[2] = span_trim(f[2]);
	uint64_t id;
	bool user = is_tag(f[0], "user"), group = is_tag(f[0], "group");
	/* "mask:rwx" for "mask::rwx" */
	if (n == 2 && !user && !group) {
		f[2] = f[1];
		f[1].n = 0;
		n = 3;
	}
	if (n < 3 || parse_perm(f[2], &out->perm) < 0)
		return err_set(e, E_FORMAT, "malformed entry %s", quoted(text));
	out->id = UINT32_MAX;
	if (user || group)
		out->tag = user	    ? (f[1].n ? TAG_USER : TAG_USER_OBJ)
			   : f[1].n ? TAG_GROUP
				    : TAG_GROUP_OBJ;
	else if (is_tag(f[0], "mask"))
		out->tag = TAG_MASK;
	else if (is_tag(f[0], "other"))
		out->tag = TAG_OTHER;
	else
		return err_set(e, E_FORMAT, "malformed entry %s", quoted(text));
	if (!f[1].n)
		return 0;
	if (num_u64(n > 3 ? span_trim(f[3]) : f[1], UINT32_MAX - 1, &id) == 0 ||
	    num_u64(f[1], UINT32_MAX - 1, &id) == 0) {
		out->id = (uint32_t)id;
		return 0;
	}
	return look_up(rootfd, group, f[1], &out->id, e);
}

static int by_tag_and_id(const void *a, const void *b)
{
	const struct acl_entry *x = a, *y = b;
	if (x->tag != y->tag)
		return x->tag < y->tag ? -1 : 1;
	return (x->id > y->id) - (x->id < y->id);
}

static void put_le(struct buf *b, uint32_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		buf_addc(b, (char)(v >> (8 * i)));
}

int acl_from_text(int rootfd, struct span text, struct buf *out, struct err *e)
{
	_cleanup_(buf_release) struct buf list = BUF_INIT;
	size_t n = 0;
	while (text.n) {
		size_t end = 0;
		while (end < text.n && text.p[end] != ',' && text.p[end] != '\n')
			end++;
		struct span line = span_of(text.p, end);
		text = span_tail(text, MIN(end + 1, text.n));
		line = span_trim(span_of(line.p, span_find(line, '#')));
		if (!line.n)
			continue;
		struct acl_entry en;
		int r = parse_entry(rootfd, line, &en, e);
		if (r < 0)
			return r;
		if (++n > ACL_MAX)
			return err_set(e, E_TOOBIG, "more than %d entries", ACL_MAX);
		buf_add(&list, &en, sizeof(en));
	}
	if (!n)
		return err_set(e, E_FORMAT, "it is empty");
	struct acl_entry *v = (struct acl_entry *)(void *)list.p;
	qsort(v, n, sizeof(*v), by_tag_and_id);
	put_le(out, 2, 4);
	for (size_t i = 0; i < n; i++) {
		put_le(out, v[i].tag, 2);
		put_le(out, v[i].perm, 2);
		put_le(out, v[i].id, 4);
	}
	return 0;
}
