/*
 * Names of a tree of files: a B+ tree on pages. Leaves are chained. Nothing is merged when names go:
 * a leaf may be empty.
 *
 * A page: the head, the offsets of its cells in the order of their keys, and from the other end the
 * cells: an inner one is the page below and the least key there, a leaf's is value and key.
 */
#include "libcommon/oci/name_tree.h"

#include <string.h>

struct head {
	uint32_t
		next; /* leaf: the one behind it, 0: none; inner: the page of what is less than the first cell */
	uint16_t n;	/* cells */
	uint16_t low;	/* where the lowest cell begins; 0: PAGE_BYTES */
	uint16_t waste; /* bytes of removed cells */
	uint16_t inner;
};
enum { CELL_HEAD = 10, HEAD = sizeof(struct head), DEPTH_MAX = 24 };

static struct head *head_of(unsigned char *page)
{
	return (struct head *)(void *)page;
}

static uint16_t *slots(unsigned char *page)
{
	return (uint16_t *)(void *)(page + HEAD);
}

/* Cells lie at even offsets only: what is in them is copied. */
static void cell_read(const unsigned char *page, unsigned at, struct name_value *v,
		      struct span *key)
{
	uint16_t n;

	memcpy(&v->inode, page + at, 4);
	memcpy(&v->layer, page + at + 4, 4);
	memcpy(&n, page + at + 8, 2);
	*key = span_of(page + at + CELL_HEAD, n);
}

static struct span key_span(const struct name_key *k)
{
	return span_of(k->b, k->n);
}

void name_key(struct name_key *k, uint32_t dir, enum name_kind kind, struct span name)
{
	for (int i = 0; i < 4; i++)
		k->b[i] = (unsigned char)(dir >> (24 - 8 * i));
	k->b[4] = (unsigned char)kind;
	name.n = MIN(name.n, (size_t)NAME_MAX_BYTES);
	if (name.n)
		memcpy(k->b + 5, name.p, name.n);
	k->n = 5 + name.n;
}

uint32_t name_key_dir(const struct name_key *k)
{
	return (uint32_t)k->b[0] << 24 | (uint32_t)k->b[1] << 16 | (uint32_t)k->b[2] << 8 | k->b[3];
}

enum name_kind name_key_kind(const struct name_key *k)
{
	return k->b[4] ? NAME_ENTRY : NAME_WHITEOUT;
}

struct span name_key_name(const struct name_key *k)
{
	return span_of(k->b + 5, k->n - 5);
}

void nametree_init(struct name_tree *t, struct pages *p)
{
	*t = (struct name_tree){ .p = p, .root = page_new(p) };
}

/* The first cell whose key is not less than key; *same: is it that? */
static unsigned search(unsigned char *page, struct span key, bool *same)
{
	unsigned low = 0, high = head_of(page)->n;

	*same = false;
	while (low < high) {
		unsigned middle = (low + high) / 2;
		struct name_value v;
		struct span have;
		cell_read(page, slots(page)[middle], &v, &have);
		int c = span_cmp(have, key);
		if (c == 0) {
			*same = true;
			return middle;
		}
		if (c < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The way from the root to the leaf where key belongs. */
struct way {
	uint32_t page[DEPTH_MAX];
	unsigned n;
};

static uint32_t below(unsigned char *page, struct span key)
{
	struct name_value v;
	struct span have;
	bool same;
	unsigned at = search(page, key, &same) + same;

	if (at == 0)
		return head_of(page)->next;
	cell_read(page, slots(page)[at - 1], &v, &have);
	return v.inode;
}

static void descend(struct name_tree *t, struct span key, struct way *w)
{
	w->n = 0;
	for (uint32_t at = t->root;;) {
		unsigned char *page = page_at(t->p, at, false);

		w->page[w->n++] = at;
		if (!head_of(page)->inner || w->n == DEPTH_MAX)
			return;
		at = below(page, key);
	}
}

bool nametree_get(struct name_tree *t, const struct name_key *k, struct name_value *out)
{
	struct way w;
	struct span key;
	bool same;

	descend(t, key_span(k), &w);
	unsigned char *page = page_at(t->p, w.page[w.n - 1], false);
	unsigned at = search(page, key_span(k), &same);
	if (same)
		cell_read(page, slots(page)[at], out, &key);
	return same;
}

bool nametree_next(struct name_tree *t, struct name_key *k, struct name_value *out)
{
	struct way w;
	struct span key;
	bool same;

	descend(t, key_span(k), &w);
	unsigned char *page = page_at(t->p, w.page[w.n - 1], false);
	unsigned at = search(page, key_span(k), &same) + same;
	while (at >= head_of(page)->n) {
		uint32_t next = head_of(page)->next;

		if (!next || t->p->err)
			return false;
		page = page_at(t->p, next, false);
		at = 0;
	}
	cell_read(page, slots(page)[at], out, &key);
	memcpy(k->b, key.p, key.n);
	k->n = key.n;
	return true;
}

/* ---- changes ---- */

static void take_out(unsigned char *page, unsigned at)
{
	struct head *h = head_of(page);
	struct name_value v;
	struct span key;

	cell_read(page, slots(page)[at], &v, &key);
	h->waste = (uint16_t)(h->waste + CELL_HEAD + key.n);
	h->n--;
	memmove(slots(page) + at, slots(page) + at + 1, (h->n - at) * sizeof(uint16_t));
}

static unsigned room(unsigned char *page)
{
	const struct head *h = head_of(page);

	return (h->low ? h->low : PAGE_BYTES) - HEAD - h->n * (unsigned)sizeof(uint16_t);
}

/* There is room. */
static void put_in(unsigned char *page, unsigned at, struct span key, struct name_value v)
{
	struct head *h = head_of(page);
	uint16_t n = (uint16_t)key.n;
	unsigned low = (h->low ? h->low : PAGE_BYTES) - CELL_HEAD - n;

	memcpy(page + low, &v.inode, 4);
	memcpy(page + low + 4, &v.layer, 4);
	memcpy(page + low + 8, &n, 2);
	memcpy(page + low + CELL_HEAD, key.p, n);
	memmove(slots(page) + at + 1, slots(page) + at, (h->n - at) * sizeof(uint16_t));
	slots(page)[at] = (uint16_t)low;
	h->low = (uint16_t)low;
	h->n++;
}

/* Cells from..to of a copy, appended to page. */
static void append(unsigned char *page, const unsigned char *copy, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct name_value v;
		struct span key;
		uint16_t at;

		memcpy(&at, copy + HEAD + i * sizeof(at), sizeof(at));
		cell_read(copy, at, &v, &key);
		put_in(page, head_of(page)->n, key, v);
	}
}

static void empty(unsigned char *page)
{
	struct head *h = head_of(page);

	h->n = h->low = h->waste = 0;
}

struct split {
	bool is;
	uint32_t page;	     /* the new one, behind the old */
	struct name_key key; /* its least */
};

/*
 * Cuts the page: what is at `cut` and behind goes to a new one. Of an inner page the cell at the cut
 * goes up.
 */
static void cut_page(struct name_tree *t, uint32_t number, unsigned cut, struct split *s)
{
	unsigned char copy[PAGE_BYTES];
	struct name_value v;
	struct span key;
	uint16_t at;

	s->is = true;
	s->page = page_new(t->p);
	unsigned char *right = page_at(t->p, s->page, true), *left = page_at(t->p, number, true);
	memcpy(copy, left, sizeof(copy));
	unsigned n = head_of(left)->n;
	if (t->p->err || cut >= n)
		return;
	memcpy(&at, copy + HEAD + cut * sizeof(at), sizeof(at));
	cell_read(copy, at, &v, &key);
	memcpy(s->key.b, key.p, key.n);
	s->key.n = key.n;
	empty(left);
	append(left, copy, 0, cut);
	head_of(right)->inner = head_of(left)->inner;
	if (head_of(left)->inner) {
		head_of(right)->next = v.inode;
		append(right, copy, cut + 1, n);
	} else {
		head_of(right)->next = head_of(left)->next;
		head_of(left)->next = s->page;
		append(right, copy, cut, n);
	}
}

static void add_cell(struct name_tree *t, uint32_t number, struct span key, struct name_value v,
		     struct split *s)
{
	unsigned char *page = page_at(t->p, number, true);
	unsigned need = CELL_HEAD + (unsigned)key.n + (unsigned)sizeof(uint16_t);
	bool same;

	s->is = false;
	if (room(page) < need && head_of(page)->waste) {
		unsigned char copy[PAGE_BYTES];

		memcpy(copy, page, sizeof(copy));
		unsigned n = head_of(page)->n;
		empty(page);
		append(page, copy, 0, n);
	}
	if (room(page) < need) {
		unsigned n = head_of(page)->n, at = search(page, key, &same);

		/* Names mostly come in their order: then full pages stay behind. */
		cut_page(t, number, at == n ? n - 1 : n / 2, s);
		page = page_at(t->p, span_cmp(key, key_span(&s->key)) < 0 ? number : s->page, true);
	}
	if (room(page) >= need && !t->p->err)
		put_in(page, search(page, key, &same), key, v);
}

static void new_root(struct name_tree *t, const struct split *s)
{
	uint32_t root = page_new(t->p);
	unsigned char *page = page_at(t->p, root, true);

	if (t->p->err)
		return;
	head_of(page)->inner = 1;
	head_of(page)->next = t->root;
	put_in(page, 0, key_span(&s->key), (struct name_value){ .inode = s->page });
	t->root = root;
}

void nametree_put(struct name_tree *t, const struct name_key *k, struct name_value v)
{
	struct way w;
	struct split s;
	bool same;

	descend(t, key_span(k), &w);
	unsigned char *page = page_at(t->p, w.page[w.n - 1], true);
	unsigned at = search(page, key_span(k), &same);
	if (same) {
		memcpy(page + slots(page)[at], &v.inode, 4);
		memcpy(page + slots(page)[at] + 4, &v.layer, 4);
		return;
	}
	add_cell(t, w.page[--w.n], key_span(k), v, &s);
	while (s.is && w.n && !t->p->err) {
		struct split up = s;

		add_cell(t, w.page[--w.n], key_span(&up.key),
			 (struct name_value){ .inode = up.page }, &s);
	}
	if (s.is && !t->p->err)
		new_root(t, &s);
}

void nametree_remove(struct name_tree *t, const struct name_key *k)
{
	struct way w;
	bool same;

	descend(t, key_span(k), &w);
	unsigned char *page = page_at(t->p, w.page[w.n - 1], true);
	unsigned at = search(page, key_span(k), &same);
	if (same)
		take_out(page, at);
}
