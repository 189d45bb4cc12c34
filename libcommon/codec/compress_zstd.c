/*
 * Zstandard (RFC 8878) by libzstd: one frame a piece, with its size and a checksum.
 *
 * As with gzip what comes out depends on the library's version and on nothing else.
 */
#include <stdlib.h>
#include <zstd.h>

#include "libcommon/codec/compress.h"

enum { BLOCK = 2 << 20 };

struct zstd_worker {
	ZSTD_CCtx *c;
	struct zeros_made zeros;
};

static void *zstd_start(void *arg)
{
	struct zstd_worker *w = xcalloc(1, sizeof(*w));

	w->c = ZSTD_createCCtx();
	if (!w->c ||
	    ZSTD_isError(
		    ZSTD_CCtx_setParameter(w->c, ZSTD_c_compressionLevel, (int)(intptr_t)arg)) ||
	    ZSTD_isError(ZSTD_CCtx_setParameter(w->c, ZSTD_c_checksumFlag, 1))) {
		ZSTD_freeCCtx(w->c);
		w->c = NULL;
	}
	return w;
}

static size_t zstd_work(void *state, struct span in, unsigned char *out)
{
	struct zstd_worker *w = state;
	bool zeros = in.n == BLOCK && is_zeros(in);
	size_t n = zeros ? zeros_copy(&w->zeros, out) : 0;

	if (n || !w->c)
		return n;
	n = ZSTD_compress2(w->c, out, compressor_zstd->ops.out_max, in.p, in.n);
	if (ZSTD_isError(n))
		return 0;
	if (zeros)
		zeros_keep(&w->zeros, span_of(out, n));
	return n;
}

static void zstd_end(void *state)
{
	struct zstd_worker *w = state;

	ZSTD_freeCCtx(w->c);
	free(w->zeros.p);
	free(w);
}

static const struct compressor zstd = {
	.ops = { .block = BLOCK,
		 .out_max = ZSTD_COMPRESSBOUND(BLOCK),
		 .open = zstd_start,
		 .work = zstd_work,
		 .close = zstd_end },
	.level_min = 1,
	.level_max = 4,
	.level_usual = 3,
};
const struct compressor *const compressor_zstd = &zstd;
