#ifndef OCIBOX_CODEC_BASE64_H
#define OCIBOX_CODEC_BASE64_H

#include "libcommon/base.h"

/* The length written to out (3 bytes for 4 of s at the most; out may be s itself), or E_FORMAT. */
ssize_t base64_decode_to(struct span s, unsigned char *out);

#endif
