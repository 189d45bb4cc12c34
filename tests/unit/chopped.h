/*
 * A stream of given bytes in windows of a given size, each in memory of its own so that the sanitizers see a reader that
 * goes beyond it or uses it for too long.
 */
#ifndef CHOPPED_H
#define CHOPPED_H

#include <stdlib.h>
#include <string.h>

#include "libcommon/io.h"

struct chopped {
	struct stream s;
	struct span rest;
	size_t window;
	int fault; /* after the last byte; 0: the end */
	unsigned char *now;
};

static void chopped_fill(struct stream *s)
{
	struct chopped *c = (struct chopped *)s;
	size_t n = MIN(c->window, c->rest.n);

	free(c->now);
	c->now = NULL;
	s->pos = s->end = NULL;
	if (!n) {
		if (c->fault)
			stream_fail(s, c->fault);
		else
			s->eof = true;
		return;
	}
	c->now = xmemdup(c->rest.p, n);
	c->rest = span_tail(c->rest, n);
	s->pos = c->now;
	s->end = c->now + n;
}

static void chopped_close(struct stream *s)
{
	free(((struct chopped *)s)->now);
	free(s);
}

static const struct stream_ops chopped_ops = { .fill = chopped_fill, .close = chopped_close };

__attribute__((unused)) static struct stream *chopped_open(struct span bytes, size_t window, int fault)
{
	struct chopped *c = xcalloc(1, sizeof(*c));

	c->s.ops = &chopped_ops;
	c->rest = bytes;
	c->window = window;
	c->fault = fault;
	return &c->s;
}

/* What a stream gives, read by windows or by pulls of n bytes; 0 or its error. Closes it. */
__attribute__((unused)) static int drink(struct stream *s, size_t n, struct buf *out)
{
	int r;

	if (!n) {
		r = stream_read_all(s, SIZE_MAX / 2, out);
	} else {
		size_t got;
		do {
			buf_reserve(out, n);
			got = stream_pull(s, out->p + out->n, n);
			out->n += got;
		} while (got);
		r = stream_error(s);
	}
	stream_close(s);
	return r;
}

#endif
