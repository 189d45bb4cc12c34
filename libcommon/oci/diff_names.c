/*
 * The names of a directory in the order of their bytes, within bounded memory: where they are too many, the least of them are kept, and the
 * directory is read again for those that follow.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/oci/diff.h"

enum { ARENA_MAX = 4 << 20 };

static const char *name_at(const struct names *n, const struct name_ref *r)
{
	return (const char *)n->arena.p + r->at;
}

static int by_name(const void *a, const void *b, void *arg)
{
	const struct names *n = arg;
	const struct name_ref *x = a, *y = b;
	int c = strcmp(name_at(n, x), name_at(n, y));

	return c ? c : (x->order > y->order) - (x->order < y->order);
}

static void sort(struct names *n)
{
	if (n->n > 1)
		qsort_r(n->v, n->n, sizeof(*n->v), by_name, n);
}

/* Drops the greater half of what there is. */
static void halve(struct names *n)
{
	struct buf kept = BUF_INIT;
	size_t half;

	sort(n);
	half = n->n / 2;
	while (half < n->n && !strcmp(name_at(n, &n->v[half]), name_at(n, &n->v[half - 1])))
		half++;
	free(n->upto);
	n->upto = xstrdup(name_at(n, &n->v[half - 1]));
	for (size_t i = 0; i < half; i++) {
		const char *name = name_at(n, &n->v[i]);
		n->v[i].at = (uint32_t)kept.n;
		buf_add(&kept, name, strlen(name) + 1);
	}
	n->n = half;
	buf_release(&n->arena);
	n->arena = kept;
}

void names_add(struct names *n, const char *name, unsigned order, enum name_kind kind)
{
	if ((n->above && strcmp(name, n->above) <= 0) || (n->upto && strcmp(name, n->upto) > 0))
		return;
	if (n->n == n->cap) {
		n->cap = n->cap ? 2 * n->cap : 32;
		n->v = xrealloc(n->v, n->cap * sizeof(*n->v));
	}
	n->v[n->n++] = (struct name_ref){ (uint32_t)n->arena.n, (uint16_t)order, (uint16_t)kind };
	buf_add(&n->arena, name, strlen(name) + 1);
	if (n->arena.n + n->n * sizeof(*n->v) > n->limit && n->n > 2)
		halve(n);
}

static int read_chunk(struct names *n)
{
	int r;

	n->n = n->pos = 0;
	buf_clear(&n->arena);
	r = n->src.list(n->src.arg, n);
	sort(n);
	return r;
}

int names_open(struct names *n, struct names_source src, bool keep_whiteouts)
{
	*n = (struct names){ .src = src, .keep_whiteouts = keep_whiteouts, .limit = ARENA_MAX };
	return read_chunk(n);
}

/* The next chunk, if there is one. */
static int go_on(struct names *n)
{
	if (!n->upto)
		return 0;
	free(n->above);
	n->above = steal_ptr(&n->upto);
	int r = read_chunk(n);
	return r < 0 ? r : 1;
}

int names_next(struct names *n, const char **name, enum name_kind *kind)
{
	for (;;) {
		if (n->pos == n->n) {
			int r = go_on(n);
			if (r <= 0)
				return r;
			continue;
		}
		const struct name_ref *first = &n->v[n->pos++];
		*name = name_at(n, first);
		while (n->pos < n->n && !strcmp(name_at(n, &n->v[n->pos]), *name))
			n->pos++;
		*kind = first->kind;
		if (*kind != NAME_WHITEOUT || n->keep_whiteouts)
			return 1;
	}
}

int names_rewind(struct names *n)
{
	n->pos = 0;
	if (!n->above)
		return 0;
	free(steal_ptr(&n->above));
	free(steal_ptr(&n->upto));
	return read_chunk(n);
}

size_t names_memory(const struct names *n)
{
	return n->arena.cap + n->cap * sizeof(*n->v);
}

void names_park(struct names *n)
{
	bool more = n->pos < n->n || n->upto;
	char *last = more && n->pos ? xstrdup(name_at(n, &n->v[n->pos - 1])) : NULL;

	if (more && !last)
		return;
	free(n->upto);
	n->upto = last;
	buf_release(&n->arena);
	free(steal_ptr(&n->v));
	n->n = n->pos = n->cap = 0;
}

void names_release(struct names *n)
{
	buf_release(&n->arena);
	free(n->v);
	free(n->above);
	free(n->upto);
	*n = (struct names){ 0 };
}
