/* Without the encoder of zstd. */
#include "libcommon/codec/compress.h"

const struct compressor *const compressor_zstd = NULL;
