/*
 * Raw deflate (RFC 1951), piece by piece: what gzip.c stands on, whichever library does the work.
 */
#ifndef OCIBOX_CODEC_INFLATE_H
#define OCIBOX_CODEC_INFLATE_H

#include "libcommon/base.h"

/* The CRC-32 of RFC 1952, which both libraries have anyway. */
uint32_t gzip_crc32(struct span data);

struct inflater;
struct inflater *inflater_new(void);
void inflater_free(struct inflater *i);
/* To the start of a new member. */
void inflater_reset(struct inflater *i);

struct inflater_out {
	unsigned char *p;
	size_t n;
};
/*
 * Moves *in and *out on past what was used and made. 1 at the end of the deflate data; 0 where it wants more input or, *out being
 * full, more room; E_FORMAT. Any memory will do for *out: the history is kept inside.
 */
int inflater_run(struct inflater *i, struct span *in, struct inflater_out *out);
/* CRC-32 of what the member gave so far. */
uint32_t inflater_crc(const struct inflater *i);
/* At the end of the deflate data: whole bytes behind it that were already taken from the input. */
size_t inflater_leftover(const struct inflater *i, unsigned char out[8]);

#endif
