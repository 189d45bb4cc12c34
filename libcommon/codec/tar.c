/* The tar reader: from entry to entry, over any stream. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/codec/tar.h"

int tar_fail(struct tar *t, int code, const char *fmt, ...)
{
	char text[sizeof(((struct err *)0)->text) - 80];
	va_list ap;

	if (t->failed)
		return t->failed;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_set(t->err, code, "tar: at byte %llu: %s",
		(unsigned long long)(t->src->offset - t->start), text);
	t->failed = code;
	return code;
}

struct tar *tar_open(struct stream *src, const struct tar_limits *lim, struct err *e)
{
	struct tar *t = xcalloc(1, sizeof(*t));

	t->src = src;
	t->err = e;
	t->start = src->offset;
	if (lim)
		t->lim = *lim;
	if (!t->lim.max_name)
		t->lim.max_name = 4096 * 4;
	if (!t->lim.max_pax)
		t->lim.max_pax = MIB(1);
	if (!t->lim.max_sparse)
		t->lim.max_sparse = 65536;
	if (!t->lim.max_padding)
		t->lim.max_padding = MIB(64);
	return t;
}

void tar_close(struct tar *t)
{
	if (!t)
		return;
	while (t->globals) {
		struct tar_global *next = t->globals->next;
		free(t->globals);
		t->globals = next;
	}
	free(t->local.xattrs.v);
	free(t->local.acls.v);
	free(t->global.xattrs.v);
	free(t->global.acls.v);
	free(t->regions);
	buf_release(&t->area);
	buf_release(&t->long_name);
	buf_release(&t->long_link);
	free(t);
}

void tar_closep(struct tar **t)
{
	tar_close(*t);
}

/* ---- blocks ---- */

/* The next block as t->block: 1, 0 at a clean end, or an error. */
static int next_block(struct tar *t)
{
	struct span w = stream_peek(t->src);
	ssize_t n;

	if (w.n >= TAR_BLOCK_SIZE) {
		t->block = w.p;
		stream_skip(t->src, TAR_BLOCK_SIZE);
		return 1;
	}
	t->block = t->buffer;
	n = stream_read(t->src, t->buffer, TAR_BLOCK_SIZE);
	if (n < 0)
		return tar_fail(t, (int)n, "reading failed");
	if (n && n < TAR_BLOCK_SIZE)
		return tar_fail(t, E_TRUNCATED, "cut off in a header");
	return n > 0;
}

/* What follows the end blocks is read, so that who hashes below sees it, but means nothing. */
static int drain(struct tar *t)
{
	uint64_t n = 0;

	for (struct span w = stream_peek(t->src); w.n; w = stream_peek(t->src)) {
		n += w.n;
		if (n > t->lim.max_padding)
			return tar_fail(t, E_TOOBIG,
					"more than %llu bytes behind the end of the archive",
					(unsigned long long)t->lim.max_padding);
		stream_skip(t->src, w.n);
	}
	if (t->src->err)
		return tar_fail(t, t->src->err, "reading failed behind the end of the archive");
	t->ended = true;
	return 0;
}

/* At a block of zeros: it ends the archive with another one, or with the end of the input. */
static int end_blocks(struct tar *t)
{
	int r = next_block(t);

	if (r < 0)
		return r;
	t->end_seen = true;
	if (r && tar_block_kind(t->block) != BLOCK_ZERO)
		return tar_fail(t, E_FORMAT, "a lone block of zeros");
	return drain(t);
}

/* ---- headers that say something of the next entry ---- */

/* The contents of such a header into out, which has room; and past its padding. */
static int meta_read(struct tar *t, unsigned char *out, size_t n)
{
	int r = stream_read_exact(t->src, out, n);

	if (!r)
		r = stream_discard(t->src, tar_padding(n));
	return r ? tar_fail(t, r, "cut off in an extended header") : 0;
}

static int meta_size(struct tar *t, uint64_t max, const char *what, size_t *out)
{
	int64_t size;

	if (tar_number(t->block + H_SIZE, 12, &size) || size < 0)
		return tar_fail(t, E_FORMAT, "size is no number");
	if ((uint64_t)size > max)
		return tar_fail(t, E_TOOBIG, "%s of more than %llu bytes%s", what,
				(unsigned long long)max,
				max == t->lim.max_name + 1 ? " (--max-name)" : "");
	*out = (size_t)size;
	return 0;
}

static int read_local(struct tar *t)
{
	size_t n;
	int r = meta_size(t, t->lim.max_pax, "a PAX header", &n);

	if (r)
		return r;
	if (t->has_local)
		return tar_fail(t, E_FORMAT, "two PAX headers for one entry");
	t->has_local = true;
	buf_clear(&t->area);
	buf_reserve(&t->area, n);
	r = meta_read(t, t->area.p, n);
	return r ? r : tar_pax_parse(t, t->area.p, n, &t->local, false);
}

static int read_global(struct tar *t)
{
	struct tar_global *g;
	size_t n;
	int r;

	/* They stay, so empty ones count, too. */
	t->globals_bytes += TAR_BLOCK_SIZE;
	r = meta_size(t, t->lim.max_pax - MIN(t->lim.max_pax, t->globals_bytes),
		      "global PAX headers", &n);
	if (r)
		return r;
	if (t->globals_bytes > t->lim.max_pax)
		return tar_fail(t, E_TOOBIG, "global PAX headers of more than %zu bytes",
				t->lim.max_pax);
	/* One between an entry and its own headers would have to undo what those said. */
	if (t->has_local || t->has_long_name || t->has_long_link)
		return tar_fail(t, E_FORMAT, "a global PAX header within an entry");
	g = xmalloc(sizeof(*g) + n + 1);
	g->next = t->globals;
	t->globals = g;
	t->globals_bytes += n;
	r = meta_read(t, g->area, n);
	if (!r)
		r = tar_pax_parse(t, g->area, n, &t->global, true);
	tar_pax_reset(t);
	return r;
}

static int read_long(struct tar *t, struct buf *out, bool *has)
{
	size_t n, len;
	int r = meta_size(t, t->lim.max_name + 1, "a name", &n);

	if (r)
		return r;
	if (*has)
		return tar_fail(t, E_FORMAT, "two long names for one entry");
	buf_clear(out);
	buf_reserve(out, n);
	r = meta_read(t, out->p, n);
	if (r)
		return r;
	len = strnlen((const char *)out->p, n);
	for (size_t i = len; i < n; i++)
		if (out->p[i])
			return tar_fail(t, E_FORMAT, "a long name with a NUL in it");
	out->n = len;
	out->p[len] = 0;
	*has = true;
	return 0;
}

/* ---- entries ---- */

/* Past what was not read of the entry before. */
static int finish_entry(struct tar *t)
{
	uint64_t left;
	int r;

	stream_skip(t->src, t->lent);
	left = t->left - t->lent + t->padding;
	t->left = t->padding = t->lent = 0;
	t->data.pos = t->data.end = NULL;
	t->data.eof = true;
	if (!left)
		return 0;
	r = stream_discard(t->src, left);
	return r ? tar_fail(t, r, "cut off in the contents of %s", quoted(t->entry.name)) : 0;
}

static void lent_back(struct tar *t)
{
	stream_skip(t->src, t->lent);
	t->left -= t->lent;
	t->lent = 0;
}

static void cut_off(struct tar *t)
{
	stream_fail(&t->data, tar_fail(t, t->src->err ? t->src->err : E_TRUNCATED,
				       "cut off in the contents of %s", quoted(t->entry.name)));
}

static void plain_fill(struct stream *s)
{
	struct tar *t = (struct tar *)s;

	lent_back(t);
	if (!t->left) {
		s->eof = true;
		return;
	}
	struct span w = stream_peek(t->src);
	if (!w.n) {
		cut_off(t);
		return;
	}
	t->lent = (size_t)MIN((uint64_t)w.n, t->left);
	s->pos = w.p;
	s->end = w.p + t->lent;
}

static size_t plain_pull(struct stream *s, unsigned char *buf, size_t n)
{
	struct tar *t = (struct tar *)s;

	lent_back(t);
	s->eof = !t->left;
	if (s->eof)
		return 0;
	n = stream_pull(t->src, buf, (size_t)MIN((uint64_t)n, t->left));
	t->left -= n;
	if (!n)
		cut_off(t);
	return n;
}

static uint64_t plain_drop(struct stream *s, uint64_t n)
{
	struct tar *t = (struct tar *)s;
	uint64_t before, dropped;

	lent_back(t);
	before = t->src->offset;
	stream_discard(t->src, MIN(n, t->left));
	dropped = t->src->offset - before;
	t->left -= dropped;
	return dropped;
}

static const struct stream_ops plain_ops = { .fill = plain_fill,
					     .drop = plain_drop,
					     .pull = plain_pull };

static int begin_entry(struct tar *t)
{
	bool gnu_sparse = t->block[H_TYPE] == 'S', pax_sparse = t->local.has & PAX_SPARSE;
	int r = tar_decode(t);

	if (r)
		return r;
	if (t->lim.max_entries && t->entries == t->lim.max_entries)
		return tar_fail(t, E_TOOBIG, "more than %llu entries (--max-entries)",
				(unsigned long long)t->lim.max_entries);
	t->entries++;
	t->left = t->entry.size;
	t->padding = tar_padding(t->entry.size);
	if (gnu_sparse && pax_sparse)
		r = tar_fail(t, E_FORMAT, "%s: two sparse maps", quoted(t->entry.name));
	else if (gnu_sparse)
		r = tar_sparse_gnu(t);
	else if (pax_sparse)
		r = tar_sparse_pax(t);
	t->data_offset = t->src->offset - t->start;
	t->data = (struct stream){ .ops = gnu_sparse || pax_sparse ? &tar_sparse_ops : &plain_ops };
	return r ? r : 1;
}

static bool has_meta(const struct tar *t)
{
	return t->has_local || t->has_long_name || t->has_long_link;
}

/* One header block, in t->block: 1 an entry begins, 0 go on, or an error. */
static int header(struct tar *t)
{
	switch (t->block[H_TYPE]) {
	case 'x':
		return read_local(t);
	case 'g':
		return read_global(t);
	case 'L':
		return read_long(t, &t->long_name, &t->has_long_name);
	case 'K':
		return read_long(t, &t->long_link, &t->has_long_link);
	default:
		return begin_entry(t);
	}
}

int tar_next(struct tar *t, const struct tar_entry **entry)
{
	int r = t->failed;

	if (r || t->ended)
		return r;
	r = finish_entry(t);
	if (r)
		return r;
	tar_pax_reset(t);
	do {
		if (!has_meta(t))
			t->entry.offset = t->src->offset - t->start;
		r = next_block(t);
		if (r < 0)
			return r;
		int kind = r ? tar_block_kind(t->block) : BLOCK_ZERO;
		if (kind == BLOCK_BAD)
			return tar_fail(t, E_FORMAT,
					t->src->offset - t->start > TAR_BLOCK_SIZE
						? "bad header checksum"
						: "this is no tar archive");
		if (kind == BLOCK_ZERO && has_meta(t))
			return tar_fail(t, r ? E_FORMAT : E_TRUNCATED,
					"an extended header without an entry");
		if (kind == BLOCK_ZERO) {
			t->ended = !r;
			return r ? end_blocks(t) : 0;
		}
		r = header(t);
	} while (!r);
	if (r > 0)
		*entry = &t->entry;
	return r;
}

struct stream *tar_data(struct tar *t)
{
	return &t->data;
}

bool tar_has_end(const struct tar *t)
{
	return t->ended && t->end_seen;
}

uint64_t tar_data_offset(const struct tar *t)
{
	return t->data_offset;
}
