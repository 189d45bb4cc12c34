/* What the decompressing streams share. */
#ifndef OCIBOX_CODEC_DECOMPRESS_H
#define OCIBOX_CODEC_DECOMPRESS_H

#include "libcommon/codec.h"

/*
 * A stream that makes its bytes from those of another. The kinds differ in produce(): up to n bytes into out; 0 where eof or an error
 * was set. Each runs the library once at the least and gives what came of it, so that nothing waits for a full window.
 */
struct decompressor {
	struct stream s;
	struct stream *src;
	struct decompress_limits lim;
	struct err *e;
	uint64_t made, src_start;
	unsigned char *window; /* made by the first reader that wants one */
	bool full;             /* the last output was filled to the brim: there may be more without more input */
	size_t (*produce)(struct decompressor *d, unsigned char *out, size_t n);
	void (*release)(struct decompressor *d);
};
extern const struct stream_ops decompressor_ops;
/* Ends d with code; the text goes to d->e. 0, as produce() wants it. */
size_t decompressor_fail(struct decompressor *d, int code, const char *text);
/* The input at hand: waits for more only where there can be no output without. */
struct span decompressor_input(struct decompressor *d);

struct decompressor *gzip_open(void);
struct decompressor *zstd_open(const struct decompress_limits *lim);

#endif
