/* What all streams share, and the plainest kinds. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/io.h"

struct span stream_fill(struct stream *s)
{
	if (s->err || s->eof)
		return (struct span){ 0 };
	s->ops->fill(s);
	return (struct span){ s->pos, (size_t)(s->end - s->pos) };
}

void stream_fail(struct stream *s, int code)
{
	if (!s->err)
		s->err = code;
	s->pos = s->end = NULL;
}

size_t stream_pull(struct stream *s, void *buf, size_t n)
{
	if (s->pos == s->end && s->ops->pull) {
		if (s->err || s->eof || n == 0)
			return 0;
		size_t got = s->ops->pull(s, buf, n);
		s->offset += got;
		return got;
	}
	struct span w = stream_peek(s);
	w.n = MIN(w.n, n);
	if (w.n)
		memcpy(buf, w.p, w.n);
	stream_skip(s, w.n);
	return w.n;
}

ssize_t stream_read(struct stream *s, void *buf, size_t n)
{
	size_t have = 0;
	while (have < n) {
		size_t got = stream_pull(s, (char *)buf + have, n - have);
		if (!got)
			break;
		have += got;
	}
	return s->err && have < n ? s->err : (ssize_t)have;
}

int stream_read_exact(struct stream *s, void *buf, size_t n)
{
	ssize_t got = stream_read(s, buf, n);
	if (got < 0)
		return (int)got;
	return (size_t)got == n ? 0 : E_TRUNCATED;
}

int stream_discard(struct stream *s, uint64_t n)
{
	while (n) {
		if (s->pos == s->end && s->ops->drop && !s->err && !s->eof) {
			uint64_t dropped = s->ops->drop(s, n);
			s->offset += dropped;
			n -= dropped;
			if (dropped)
				continue;
		}
		struct span w = stream_peek(s);
		if (!w.n)
			return s->err ? s->err : E_TRUNCATED;
		size_t take = (size_t)MIN((uint64_t)w.n, n);
		stream_skip(s, take);
		n -= take;
	}
	return 0;
}

int stream_drain(struct stream *s)
{
	for (struct span w = stream_peek(s); w.n; w = stream_peek(s))
		stream_skip(s, w.n);
	return s->err;
}

int stream_read_all(struct stream *s, size_t max, struct buf *b)
{
	size_t start = b->n;
	for (struct span w = stream_peek(s); w.n; w = stream_peek(s)) {
		if (w.n > max - (b->n - start))
			return E_TOOBIG;
		buf_add_span(b, w);
		stream_skip(s, w.n);
	}
	return s->err;
}

void stream_close(struct stream *s)
{
	if (s && s->ops->close)
		s->ops->close(s);
}

void stream_closep(struct stream **s)
{
	stream_close(*s);
}

/* ---- bytes in memory ---- */

struct memory_stream {
	struct stream s;
	struct span bytes;
	struct buf owned;
};

static void memory_fill(struct stream *s)
{
	struct memory_stream *m = (struct memory_stream *)s;
	s->pos = m->bytes.p;
	s->end = m->bytes.n ? m->bytes.p + m->bytes.n : m->bytes.p;
	s->eof = m->bytes.n == 0;
	m->bytes = (struct span){ 0 };
}

static void memory_close(struct stream *s)
{
	struct memory_stream *m = (struct memory_stream *)s;
	buf_release(&m->owned);
	free(m);
}

static const struct stream_ops memory_ops = { .fill = memory_fill, .close = memory_close };

struct stream *stream_from_span(struct span bytes)
{
	struct memory_stream *m = xcalloc(1, sizeof(*m));
	m->s.ops = &memory_ops;
	m->bytes = bytes;
	return &m->s;
}

struct stream *stream_from_buf(struct buf *b)
{
	struct memory_stream *m = (struct memory_stream *)stream_from_span(buf_span(b));
	m->owned = *b;
	*b = BUF_INIT;
	return &m->s;
}

/* ---- a stretch of another stream ---- */

struct limit_stream {
	struct stream s;
	struct stream *src;
	uint64_t left; /* not yet taken from src */
	size_t shown;  /* of src's window, in our window */
	bool own;
};

static void limit_settle(struct limit_stream *l)
{
	stream_skip(l->src, l->shown);
	l->shown = 0;
}

static void limit_ended(struct limit_stream *l)
{
	if (l->left)
		stream_fail(&l->s, l->src->err ? l->src->err : E_TRUNCATED);
	else
		l->s.eof = true;
}

static void limit_fill(struct stream *s)
{
	struct limit_stream *l = (struct limit_stream *)s;
	limit_settle(l);
	struct span w = { 0 };
	if (l->left)
		w = stream_peek(l->src);
	if (!w.n) {
		limit_ended(l);
		return;
	}
	l->shown = (size_t)MIN((uint64_t)w.n, l->left);
	l->left -= l->shown;
	s->pos = w.p;
	s->end = w.p + l->shown;
}

static size_t limit_pull(struct stream *s, unsigned char *buf, size_t n)
{
	struct limit_stream *l = (struct limit_stream *)s;
	limit_settle(l);
	size_t got = l->left ? stream_pull(l->src, buf, (size_t)MIN((uint64_t)n, l->left)) : 0;
	l->left -= got;
	if (!got)
		limit_ended(l);
	return got;
}

static uint64_t limit_drop(struct stream *s, uint64_t n)
{
	struct limit_stream *l = (struct limit_stream *)s;
	limit_settle(l);
	n = MIN(n, l->left);
	uint64_t before = l->src->offset;
	stream_discard(l->src, n);
	uint64_t dropped = l->src->offset - before;
	l->left -= dropped;
	return dropped;
}

static void limit_close(struct stream *s)
{
	struct limit_stream *l = (struct limit_stream *)s;
	limit_settle(l);
	if (l->own)
		stream_close(l->src);
	free(l);
}

static const struct stream_ops limit_ops = {
	.fill = limit_fill, .close = limit_close, .drop = limit_drop, .pull = limit_pull
};

struct stream *stream_limit(struct stream *src, uint64_t length, bool own)
{
	struct limit_stream *l = xcalloc(1, sizeof(*l));
	l->s.ops = &limit_ops;
	l->src = src;
	l->left = length;
	l->own = own;
	return &l->s;
}
