/* Where the names of a listing lead: as apply_path.c and apply_view.c have it, without files. */
#include <string.h>

#include "libcommon/oci/listing.h"

enum { LINKS_MAX = 40 };

int listing_fail(struct listing *l, int code, const char *what)
{
	return err_set(l->e, code, "%s: %s", l->name.path.n ? quoted(buf_span(&l->name.path)) : "/",
		       what ? what : err_word(code));
}

struct trip {
	struct listing *l;
	struct span path;
	uint32_t at;
	unsigned links;
	enum implied make;
	struct buf rest;
	/* the directories below that those on the way are merged with, int64_t; -1: none */
	struct buf under;
};

static void trip_release(struct trip *t)
{
	buf_release(&t->rest);
	buf_release(&t->under);
}

static int64_t under(const struct trip *t)
{
	int64_t dir = -1;

	if (t->under.n)
		memcpy(&dir, t->under.p + t->under.n - sizeof(dir), sizeof(dir));
	return dir;
}

/* Into directory `to`, which is merged with dir below, or with none. */
static void enter(struct trip *t, uint32_t to, int64_t dir)
{
	t->at = to;
	if (inode_at(t->l, to, false)->opaque)
		dir = -1;
	if (t->l->below)
		buf_add(&t->under, &dir, sizeof(dir));
}

static void enter_root(struct trip *t)
{
	t->under.n = 0;
	enter(t, ROOT_INODE, ROOT_INODE);
}

/* What is called name in the present directory of the layers below, NULL: nothing. *inode of a directory, else -1. */
static const struct inode *look_below(struct trip *t, struct span name, int64_t *inode)
{
	int64_t dir = under(t);
	struct name_value v;

	*inode = -1;
	if (dir < 0 || !listing_look(t->l->below, (uint32_t)dir, name, &v))
		return NULL;
	const struct inode *n = inode_at(t->l->below, v.inode, false);
	if (n->type == TAR_DIR)
		*inode = v.inode;
	return n;
}

/* Of the present entry, which implies it. */
static void imply(struct listing *l, uint32_t dir, enum implied how)
{
	struct inode *n = inode_at(l, dir, true);

	n->sec = l->te->mtime.sec;
	n->nsec = l->te->mtime.nsec;
	n->layer = l->layer;
	n->entry = l->entry;
	n->implied = how;
}

/* The link's target comes before what is left of the way. */
static int follow(struct trip *t, struct listing *l, const struct inode *n, struct span behind)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t length = n->link_n;
	int r;

	if (++t->links > LINKS_MAX)
		return -ELOOP;
	buf_reserve(&b, length + 1 + behind.n);
	r = extras_read(&l->extras, n->extra, b.p, length);
	if (r < 0)
		return r;
	b.n = length;
	if (length && b.p[0] == '/')
		enter_root(t);
	buf_addc(&b, '/');
	buf_add_span(&b, behind);
	buf_release(&t->rest);
	t->rest = b;
	b = BUF_INIT;
	return 1;
}

/* The layers below are read when a name depends on them; the way is gone once more from its begin then. */
static int read_below(struct trip *t)
{
	int r = t->l->o.below(t->l->o.below_arg, &t->l->below, t->l->e);

	if (r < 0)
		return r;
	buf_clear(&t->rest);
	buf_add_span(&t->rest, t->path);
	t->links = 0;
	enter_root(t);
	return 1;
}

/* Where it is known that there is no such directory below, the entry that implies one makes it. */
static enum implied implied_by(const struct trip *t, const struct inode *was)
{
	return !t->make					   ? IMPLIED_BY_WHITEOUT
	       : t->make == IMPLIED && t->l->below && !was ? IMPLIED_NOT
							   : t->make;
}

/* A directory that no entry has made yet. 1: it is a link below, as of step(). */
static int make_implied(struct trip *t, struct span name, struct span behind)
{
	struct listing *l = t->l;
	struct name_key k;
	struct name_value v;
	const struct inode *was = NULL;
	int64_t dir_below = -1;
	bool whiteout;

	name_key(&k, t->at, NAME_WHITEOUT, name);
	whiteout = l->o.upon && nametree_get(&l->names, &k, &v);
	if (!whiteout && l->o.below && !l->below)
		return read_below(t);
	if (!whiteout)
		was = look_below(t, name, &dir_below);
	if (was && was->type == TAR_SYMLINK)
		return follow(t, l->below, was, behind);
	if (was && dir_below < 0)
		return -ENOTDIR;
	/* there is nothing that another could hide */
	if ((!t->make && !was) || (whiteout && t->make == IMPLIED_BY_WHITEOUT))
		return -ENOENT;
	uint32_t dir = inode_new(l);
	struct inode *n = inode_at(l, dir, true);

	n->type = TAR_DIR;
	n->mode = 0755;
	n->nlink = 1;
	n->up = t->at;
	imply(l, dir, implied_by(t, was));
	/* Where a whiteout stood nothing below is to be seen, which needs a directory to say. */
	if (whiteout) {
		nametree_remove(&l->names, &k);
		n = inode_at(l, dir, true);
		n->implied = IMPLIED_NOT;
		n->opaque = true;
	}
	listing_link(l, t->at, name, dir, LAYER_NONE);
	enter(t, dir, dir_below);
	return 0;
}

/* One component. 1: it was a link, and the rest has been written anew. */
static int step(struct trip *t, struct span name, struct span behind)
{
	struct name_value v;
	const struct inode *n;
	int64_t below;

	if (span_is(name, "."))
		return 0;
	if (span_is(name, "..")) {
		t->at = inode_at(t->l, t->at, false)->up;
		if (t->under.n > sizeof(int64_t))
			t->under.n -= sizeof(int64_t);
		return 0;
	}
	if (name.n > NAME_MAX_BYTES)
		return -ENAMETOOLONG;
	if (!listing_look(t->l, t->at, name, &v))
		return make_implied(t, name, behind);
	n = inode_at(t->l, v.inode, false);
	if (n->type == TAR_SYMLINK)
		return follow(t, t->l, n, behind);
	if (n->type != TAR_DIR)
		return -ENOTDIR;
	const struct inode *was = look_below(t, name, &below);
	enter(t, v.inode, below);
	if (n->implied == IMPLIED_BY_WHITEOUT && t->make == IMPLIED)
		imply(t->l, t->at, implied_by(t, was));
	return 0;
}

static int travel(struct listing *l, struct span path, enum implied make, uint32_t *dir)
{
	_cleanup_(trip_release) struct trip t = { .l = l, .path = path, .make = make };
	struct span left, part;

	enter_root(&t);
	buf_add_span(&t.rest, path);
	left = buf_span(&t.rest);
	while (left.n) {
		if (!span_cut(&left, '/', &part) || !part.n)
			continue;
		int r = step(&t, part, left);
		/* what pages say that could not be read means nothing */
		int fault = l->pages.err || !l->below ? l->pages.err : l->below->pages.err;
		if (fault || r < 0)
			return fault ? fault : r;
		if (r)
			left = buf_span(&t.rest);
	}
	*dir = t.at;
	return 0;
}

/* "a/../x" where there is no a: the name says where it belongs. Elsewhere ".." is what chroot has. */
static int settle_dotdot(struct listing *l)
{
	uint32_t dir;
	int r = travel(l, entry_name_parent(&l->name), IMPLIED_NOT, &dir);

	l->has_parent = false;
	if (r != -ENOENT)
		return r < 0 ? l->e->code : 0;
	_cleanup_(freep) char *name = span_dup(buf_span(&l->name.path));
	return entry_name_lexical(&l->name, span_str(name), l->o.max_depth, l->e);
}

int listing_parent(struct listing *l, enum implied make, uint32_t *dir)
{
	int r = l->name.dotdot ? settle_dotdot(l) : 0;

	if (r < 0)
		return r;
	struct span parent = entry_name_parent(&l->name);
	if (l->has_parent && span_eq(parent, buf_span(&l->parent_path))) {
		*dir = l->parent;
		return 0;
	}
	r = travel(l, parent, make, dir);
	if (r < 0)
		return r;
	buf_clear(&l->parent_path);
	buf_add_span(&l->parent_path, parent);
	l->parent = *dir;
	l->has_parent = true;
	return 0;
}

int listing_target(struct listing *l, struct span text, uint32_t *inode)
{
	struct name_value v;
	uint32_t dir;

	while (text.n && text.p[text.n - 1] == '/')
		text.n--;
	size_t slash = span_rfind(text, '/');
	struct span last = slash == text.n ? text : span_tail(text, slash + 1);
	if (!last.n || span_is(last, ".") || span_is(last, "..")) {
		int r = travel(l, text, IMPLIED_NOT, &dir);

		return r < 0 ? r : -EISDIR;
	}
	int r = travel(l, slash == text.n ? span_of("", 0) : span_of(text.p, slash), IMPLIED_NOT,
		       &dir);
	if (r < 0)
		return r;
	if (!listing_look(l, dir, last, &v))
		return -ENOENT;
	*inode = v.inode;
	return 0;
}
