/*
 * gzip (RFC 1952) by libdeflate: one member a piece.
 *
 * What comes out depends on the library's version, which is therefore part of the format's number, and not on the processor: its variants for
 * some processors find the same matches.
 */
#include <libdeflate.h>
#include <stdlib.h>

#include "libcommon/codec/compress.h"

enum { BLOCK = 1 << 20 };

struct gzip_worker {
	struct libdeflate_compressor *c;
	struct zeros_made zeros;
};

static void *gzip_open(void *arg)
{
	struct gzip_worker *w = xcalloc(1, sizeof(*w));

	w->c = libdeflate_alloc_compressor((int)(intptr_t)arg);
	return w;
}

static size_t gzip_work(void *state, struct span in, unsigned char *out)
{
	struct gzip_worker *w = state;
	bool zeros = in.n == BLOCK && is_zeros(in);
	size_t n = zeros ? zeros_copy(&w->zeros, out) : 0;

	if (n || !w->c)
		return n;
	n = libdeflate_gzip_compress(w->c, in.p, in.n, out, compressor_gzip.ops.out_max);
	if (zeros)
		zeros_keep(&w->zeros, span_of(out, n));
	return n;
}

static void gzip_close(void *state)
{
	struct gzip_worker *w = state;

	libdeflate_free_compressor(w->c);
	free(w->zeros.p);
	free(w);
}

/* Stored blocks, the most that it can be: 5 bytes for each 64 KiB at the least, and what is around them. */
const struct compressor compressor_gzip = {
	.ops = { .block = BLOCK, .out_max = BLOCK + BLOCK / 512 + 4096, .open = gzip_open, .work = gzip_work, .close = gzip_close },
	.level_min = 1,
	.level_max = 9,
	.level_usual = 6,
};
