/* Without zstd its streams are refused by name. */
#include "libcommon/codec/decompress.h"

static size_t refuse(struct decompressor *d, unsigned char *out, size_t n)
{
	return decompressor_fail(d, E_UNSUPPORTED, "zstd is not built into this binary");
}

struct decompressor *zstd_open(const struct decompress_limits *lim)
{
	struct decompressor *d = xcalloc(1, sizeof(*d));

	d->produce = refuse;
	return d;
}
