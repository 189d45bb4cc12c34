/* The tree of a listing: inodes, names, and what goes away. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/oci/listing.h"

uint32_t inode_new(struct listing *l)
{
	if (l->inodes_n % INODES_PER_PAGE == 0) {
		uint32_t page = l->inodes_n / INODES_PER_PAGE;

		if (!(page & (page - 1)))
			l->inode_pages = xrealloc(l->inode_pages, (page ? 2 * (size_t)page : 1) *
									  sizeof(*l->inode_pages));
		l->inode_pages[page] = page_new(&l->pages);
	}
	return l->inodes_n++;
}

struct inode *inode_at(struct listing *l, uint32_t inode, bool write)
{
	uint32_t page = l->inode_pages[inode / INODES_PER_PAGE];
	struct inode *all = (struct inode *)(void *)page_at(&l->pages, page, write);

	return &all[inode % INODES_PER_PAGE];
}

/* ---- names ---- */

bool listing_look(struct listing *l, uint32_t dir, struct span name, struct name_value *v)
{
	struct name_key k;

	name_key(&k, dir, NAME_ENTRY, name);
	return nametree_get(&l->names, &k, v);
}

void listing_link(struct listing *l, uint32_t dir, struct span name, uint32_t inode, uint32_t layer)
{
	struct name_key k;

	name_key(&k, dir, NAME_ENTRY, name);
	nametree_put(&l->names, &k, (struct name_value){ .inode = inode, .layer = layer });
}

/* A directory that is being emptied: *key is the last name in it that was looked at. */
struct doomed {
	struct name_key key;
	uint32_t dir;
	bool mine; /* it stays, whatever happens to what is in it */
};

struct doom {
	struct doomed *v;
	size_t n, cap;
};

static void doom_push(struct doom *d, uint32_t dir, bool mine)
{
	if (d->n == d->cap) {
		d->cap = d->cap ? 2 * d->cap : 8;
		d->v = xrealloc(d->v, d->cap * sizeof(*d->v));
	}
	struct doomed *x = &d->v[d->n++];
	x->dir = dir;
	x->mine = mine;
	name_key(&x->key, dir, NAME_WHITEOUT, span_of("", 0));
}

/* What goes may be on the way to the parent that is remembered. */
static void unlink_name(struct listing *l, const struct name_key *k, uint32_t inode)
{
	struct inode *n = inode_at(l, inode, true);

	if (n->type == TAR_DIR || n->type == TAR_SYMLINK)
		l->has_parent = false;
	n->nlink -= n->nlink > 0;
	nametree_remove(&l->names, k);
}

static bool is_empty(struct listing *l, uint32_t dir)
{
	struct name_key k;
	struct name_value v;

	name_key(&k, dir, NAME_WHITEOUT, span_of("", 0));
	return !nametree_next(&l->names, &k, &v) || name_key_dir(&k) != dir;
}

/* The name k leads to v: it goes, or what is in it is looked at first. */
static void meet(struct listing *l, struct doom *d, const struct name_key *k, struct name_value v,
		 bool any_layer)
{
	bool mine = !any_layer && v.layer == l->layer;

	if (name_key_kind(k) == NAME_WHITEOUT)
		nametree_remove(&l->names, k);
	else if (inode_at(l, v.inode, false)->type == TAR_DIR)
		doom_push(d, v.inode, mine);
	else if (!mine)
		unlink_name(l, k, v.inode);
}

static void run(struct listing *l, struct doom *d, size_t bottom, bool any_layer)
{
	while (d->n > bottom && !l->pages.err) {
		struct doomed *x = &d->v[d->n - 1];
		struct name_key k = x->key;
		struct name_value v;

		if (nametree_next(&l->names, &k, &v) && name_key_dir(&k) == x->dir) {
			x->key = k;
			meet(l, d, &k, v, any_layer);
			continue;
		}
		bool mine = x->mine, gone = !mine && is_empty(l, x->dir);
		uint32_t dir = x->dir;
		d->n--;
		if (gone && d->n)
			unlink_name(l, &d->v[d->n - 1].key, dir);
	}
}

void listing_drop_inside(struct listing *l, uint32_t dir, bool any_layer)
{
	struct doom d = { 0 };

	doom_push(&d, dir, true);
	run(l, &d, 0, any_layer);
	free(d.v);
}

void listing_drop(struct listing *l, uint32_t dir, struct span name, bool any_layer)
{
	struct doom d = { 0 };
	struct name_key k;
	struct name_value v;

	name_key(&k, dir, NAME_ENTRY, name);
	if (!nametree_get(&l->names, &k, &v))
		return;
	/* what holds it is no part of it */
	doom_push(&d, dir, true);
	d.v[0].key = k;
	meet(l, &d, &k, v, any_layer);
	run(l, &d, 1, any_layer);
	free(d.v);
}
