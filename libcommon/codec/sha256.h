/*
 * The compression function of SHA-256, in as many makes as there are kinds of processors.
 */
#ifndef OCIBOX_CODEC_SHA256_H
#define OCIBOX_CODEC_SHA256_H

#include <stddef.h>
#include <stdint.h>

/* Takes n blocks of 64 bytes at p (of any alignment) into h. */
typedef void sha256_blocks_fn(uint32_t h[8], const unsigned char *p, size_t n);

/* This processor's own instructions for it and their name, or NULL where it has none. */
sha256_blocks_fn *sha256_hardware(const char **name);

#endif
