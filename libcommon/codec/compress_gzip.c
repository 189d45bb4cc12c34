/*
 * gzip (RFC 1952) by libdeflate: one member a piece.
 *
 * What comes out depends on the library's version, which is therefore part of the format's number, and not on the processor: its variants for
 * some processors find the same matches.
 */
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/codec/compress.h"
#include "libcommon/codec/inflate.h"

enum { BLOCK = 1 << 20 };

struct gzip_worker {
	struct libdeflate_compressor *c;
	int level;
	struct zeros_made zeros;
};

static void *gzip_open(void *arg)
{
	struct gzip_worker *w = xcalloc(1, sizeof(*w));

	w->level = (int)(intptr_t)arg;
	w->c = libdeflate_alloc_compressor(w->level);
	return w;
}

static void put_le32(unsigned char *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(v >> (8 * i));
}

/* No name, no time, no system; the byte that tells of the level as the library would set it. */
static size_t member(struct gzip_worker *w, struct span in, unsigned char *out)
{
	unsigned char *p = out;
	size_t n;

	memcpy(p, "\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
	p[8] = w->level < 2 ? 4 : w->level > 7 ? 2 : 0;
	p += 10;
	n = libdeflate_deflate_compress(w->c, in.p, in.n, p, compressor_gzip.ops.out_max - 18);
	if (!n)
		return 0;
	p += n;
	put_le32(p, gzip_crc32(in));
	put_le32(p + 4, (uint32_t)in.n);
	return n + 18;
}

static size_t gzip_work(void *state, struct span in, unsigned char *out)
{
	struct gzip_worker *w = state;
	bool zeros = in.n == BLOCK && is_zeros(in);
	size_t n = zeros ? zeros_copy(&w->zeros, out) : 0;

	if (n || !w->c)
		return n;
	n = member(w, in, out);
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
	.ops = { .block = BLOCK,
		 .out_max = BLOCK + BLOCK / 512 + 4096,
		 .open = gzip_open,
		 .work = gzip_work,
		 .close = gzip_close },
	.level_min = 1,
	.level_max = 9,
	.level_usual = 6,
};
