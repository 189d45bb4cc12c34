/*
 * Names of one inode: the group that each file with several names belongs to, and whether the group is as it was.
 *
 * It is when each of its names is what it was, and all were names of one inode. Groups that were one and are none of them otherwise changed came
 * apart, which is a change of all of them. What is written has an inode of its own then: other names that the old one had may stay as they are.
 *
 * There may be as many groups as files: their table is one of pages, and the names that were written first are appended to a file.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/oci/diff.h"

enum { MEMORY = 3 << 20 };

struct link_group {
	uint64_t ino;
	union {
		uint64_t was_ino; /* of the inode before, which all the names have in common */
		/* when that is settled: where the first name written is, + 1; 0: none yet */
		uint64_t first;
	} u;
	uint32_t dev, was_dev; /* places in devs, + 1; dev is 0 where nothing is */
	uint32_t was_nlink;
	uint32_t names : 29;
	bool has_was : 1, changed : 1, unseen : 1;
};
enum { PER_PAGE = PAGE_BYTES / sizeof(struct link_group) };
_Static_assert(PAGE_BYTES % sizeof(struct link_group) == 0, "no group is on two pages");

static struct link_group *group_at(struct links *l, uint32_t i, bool write)
{
	return (struct link_group *)(void *)page_at(&l->pages, i / PER_PAGE, write) + i % PER_PAGE;
}

/* Devices are few, and mostly the one that it was the time before. */
static uint32_t dev_at(struct links *l, uint64_t dev)
{
	if (l->dev && l->devs[l->dev - 1] == dev)
		return l->dev;
	for (l->dev = 0; l->dev < l->devs_n; l->dev++)
		if (l->devs[l->dev] == dev)
			return ++l->dev;
	if (!(l->devs_n & (l->devs_n - 1)))
		l->devs = xrealloc(l->devs,
				   (l->devs_n ? 2 * (size_t)l->devs_n : 1) * sizeof(*l->devs));
	l->devs[l->devs_n++] = dev;
	return l->dev = l->devs_n;
}

/* Where the group is, or would be. Stays there until some other pages were asked for. */
static struct link_group *probe(struct links *l, uint32_t dev, uint64_t ino)
{
	uint64_t h = (ino * UINT64_C(0x9e3779b97f4a7c15)) ^ (dev * UINT64_C(0xc2b2ae3d27d4eb4f));

	h ^= h >> 29;
	for (uint32_t i = h & (l->cap - 1);; i = (i + 1) & (l->cap - 1)) {
		struct link_group *g = group_at(l, i, true);
		if (!g->dev || (g->ino == ino && g->dev == dev))
			return g;
	}
}

static void table_new(struct links *l, uint32_t cap)
{
	pages_init(&l->pages, MEMORY);
	l->cap = cap;
	for (uint32_t i = 0; i < cap; i += PER_PAGE)
		page_new(&l->pages);
}

/* In the order of the old table, which goes through the new one at two places, each from its begin to its end. */
static void grow(struct links *l)
{
	struct pages old = l->pages;
	uint32_t n = l->cap;

	table_new(l, 2 * n);
	for (uint32_t i = 0; i < n && !old.err; i++) {
		struct link_group *g =
			(struct link_group *)(void *)page_at(&old, i / PER_PAGE, false) +
			i % PER_PAGE;
		if (g->dev)
			*probe(l, g->dev, g->ino) = *g;
	}
	if (!l->pages.err)
		l->pages.err = old.err;
	pages_release(&old);
}

static struct link_group *get(struct links *l, uint32_t dev, uint64_t ino)
{
	if (!l->cap) {
		l->names.fd = -1;
		table_new(l, PER_PAGE);
	} else if (l->n >= l->cap / 4 * 3 && l->cap <= UINT32_MAX / 2 && !l->pages.err) {
		grow(l);
	}
	struct link_group *g = probe(l, dev, ino);
	if (!g->dev) {
		*g = (struct link_group){ .dev = dev, .ino = ino };
		l->n++;
	}
	return g;
}

int links_survey(struct links *l, const struct stat *st, const struct stat *was)
{
	uint32_t was_dev = was ? dev_at(l, was->st_dev) : 0;
	struct link_group *g = get(l, dev_at(l, st->st_dev), st->st_ino);

	g->names++;
	g->unseen |= st == was;
	if (!was || (g->has_was && (g->was_dev != was_dev || g->u.was_ino != was->st_ino))) {
		g->changed = true;
		return l->pages.err;
	}
	g->has_was = true;
	g->was_dev = was_dev;
	g->u.was_ino = was->st_ino;
	g->was_nlink = (uint32_t)was->st_nlink;
	return l->pages.err;
}

int links_resolve(struct links *l, bool all)
{
	_cleanup_(links_release) struct links was = { 0 };
	bool more = false;

	for (uint32_t i = 0; i < l->cap; i++) {
		const struct link_group *g = group_at(l, i, false);
		if (!g->dev || g->changed)
			continue;
		struct link_group *w = get(&was, g->was_dev, g->u.was_ino);
		w->names++;
		w->was_nlink += g->names;
		w->unseen |= g->unseen;
	}
	for (uint32_t i = 0; i < l->cap; i++) {
		struct link_group *g = group_at(l, i, true);
		if (g->dev && !g->changed) {
			const struct link_group *w = get(&was, g->was_dev, g->u.was_ino);
			g->changed = w->names > 1;
			g->unseen = all ? g->changed && w->unseen : g->was_nlink > w->was_nlink;
			more |= g->unseen;
		}
		g->u.first = 0;
	}
	return l->pages.err ? l->pages.err : was.pages.err ? was.pages.err : more;
}

int links_find(struct links *l, const struct stat *st, struct links_found *out)
{
	const struct link_group *g = l->cap ? probe(l, dev_at(l, st->st_dev), st->st_ino) : NULL;

	if (!g || !g->names)
		return l->pages.err;
	*out = (struct links_found){ .changed = g->changed, .unseen = g->unseen };
	return 1;
}

int links_first(struct links *l, const struct stat *st, struct span name, struct buf *first)
{
	struct link_group *g = get(l, dev_at(l, st->st_dev), st->st_ino);
	uint64_t at = 0;
	int r = l->pages.err;

	if (r == 0 && g->u.first) {
		r = extras_text(&l->names, g->u.first - 1, first);
		return r < 0 ? r : 1;
	}
	if (r == 0)
		r = extras_add_text(&l->names, name, &at);
	g->u.first = at + 1;
	return r;
}

void links_release(struct links *l)
{
	if (l->cap) {
		pages_release(&l->pages);
		extras_release(&l->names);
	}
	free(l->devs);
	*l = (struct links){ 0 };
}
