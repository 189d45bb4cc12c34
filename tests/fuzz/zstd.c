/* zstd: the same by whole windows and by parts, within the budget (T14, T81). */
#define FUZZ_COMPRESSION COMPRESSION_ZSTD
#include "tests/fuzz/gzip.c"
