/*
 * Names of one inode: the group that each file with several names belongs to, and whether the group is as it was.
 *
 * It is when each of its names is what it was, and all were names of one inode. Groups that were one and are none of them otherwise changed came
 * apart, which is a change of all of them. What is written has an inode of its own then: other names that the old one had may stay as they are.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/oci/diff.h"

static struct link_group *probe(const struct links *l, uint64_t dev, uint64_t ino)
{
	uint64_t h = (ino * UINT64_C(0x9e3779b97f4a7c15)) ^ (dev * UINT64_C(0xc2b2ae3d27d4eb4f));

	h ^= h >> 29;
	for (size_t i = h & (l->cap - 1);; i = (i + 1) & (l->cap - 1)) {
		struct link_group *g = &l->v[i];
		if (!g->used || (g->ino == ino && g->dev == dev))
			return g;
	}
}

static void grow(struct links *l)
{
	struct links bigger = { .cap = l->cap ? 2 * l->cap : 64 };

	bigger.v = xcalloc(bigger.cap, sizeof(*bigger.v));
	for (size_t i = 0; i < l->cap; i++)
		if (l->v[i].used)
			*probe(&bigger, l->v[i].dev, l->v[i].ino) = l->v[i];
	free(l->v);
	l->v = bigger.v;
	l->cap = bigger.cap;
}

struct link_group *links_find(const struct links *l, const struct stat *st)
{
	struct link_group *g = l->cap ? probe(l, st->st_dev, st->st_ino) : NULL;

	return g && g->used ? g : NULL;
}

struct link_group *links_get(struct links *l, uint64_t dev, uint64_t ino)
{
	if (4 * (l->n + 1) > 3 * l->cap)
		grow(l);
	struct link_group *g = probe(l, dev, ino);
	if (!g->used) {
		*g = (struct link_group){ .dev = dev, .ino = ino, .used = true };
		l->n++;
	}
	return g;
}

void links_survey(struct links *l, const struct stat *st, const struct stat *was)
{
	struct link_group *g = links_get(l, st->st_dev, st->st_ino);

	g->names++;
	if (!was || (g->has_was && (g->was_dev != was->st_dev || g->was_ino != was->st_ino))) {
		g->changed = true;
		return;
	}
	g->has_was = true;
	g->was_dev = was->st_dev;
	g->was_ino = was->st_ino;
	g->was_nlink = (uint32_t)was->st_nlink;
}

bool links_resolve(struct links *l)
{
	_cleanup_(links_release) struct links was = { 0 };
	bool more = false;

	for (size_t i = 0; i < l->cap; i++)
		if (l->v[i].used && !l->v[i].changed) {
			struct link_group *w = links_get(&was, l->v[i].was_dev, l->v[i].was_ino);
			w->names++;
			w->was_nlink += l->v[i].names;
		}
	for (size_t i = 0; i < l->cap; i++) {
		struct link_group *g = &l->v[i];
		if (!g->used || g->changed)
			continue;
		const struct link_group *w = links_get(&was, g->was_dev, g->was_ino);
		g->changed = w->names > 1;
		g->unseen = g->was_nlink > w->was_nlink;
		more |= g->unseen;
	}
	return more;
}

const char *links_name(const struct links *l, const struct link_group *g)
{
	return g->at ? (const char *)l->arena.p + g->at : NULL;
}

void links_set_name(struct links *l, struct link_group *g, const char *path)
{
	if (!l->arena.n)
		buf_addc(&l->arena, '\0');
	g->at = (uint32_t)l->arena.n;
	buf_add(&l->arena, path, strlen(path) + 1);
}

void links_release(struct links *l)
{
	free(l->v);
	buf_release(&l->arena);
	*l = (struct links){ 0 };
}
