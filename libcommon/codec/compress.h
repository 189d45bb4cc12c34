/* Compressors: one piece at a time, each to stand alone. */
#ifndef OCIBOX_CODEC_COMPRESS_H
#define OCIBOX_CODEC_COMPRESS_H

#include "libcommon/codec.h"

struct compressor {
	struct parallel_ops ops; /* arg is the level, as an intptr_t */
	int level_min, level_max, level_usual;
};
extern const struct compressor compressor_gzip;
extern const struct compressor *const compressor_zstd; /* NULL: not built in */

/* A piece of nothing but zeros, as files with holes have them by the thousand, becomes the same each time: kept by each worker. */
struct zeros_made {
	unsigned char *p;
	size_t n;
};
bool is_zeros(struct span s);
/* The bytes that it became, or 0: not known yet (then zeros_keep what comes of it). */
size_t zeros_copy(const struct zeros_made *z, unsigned char *out);
void zeros_keep(struct zeros_made *z, struct span made);

#endif
