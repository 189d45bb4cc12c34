/* gzip: the same by whole windows and by parts, within the budget (T14, T81). */
#include "libcommon/codec.h"
#include "tests/unit/chopped.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

#ifndef FUZZ_COMPRESSION
#define FUZZ_COMPRESSION COMPRESSION_GZIP
#endif

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct decompress_limits lim = { .max_output = MIB(2), .max_zstd_window = MIB(8) };
	_cleanup_(buf_release) struct buf a = BUF_INIT, b = BUF_INIT;
	struct err e = { 0 };

	if (size < 2)
		return 0;
	struct span in = span_of(data + 2, size - 2);
	int whole = drink(stream_decompress(chopped_open(in, SIZE_MAX, 0), FUZZ_COMPRESSION, &lim, &e), 0, &a);
	if (whole && !e.text[0])
		__builtin_trap();
	int parts = drink(stream_decompress(chopped_open(in, data[0] * 9u + 1, 0), FUZZ_COMPRESSION, &lim, &e),
			  data[1] * 1025u, &b);
	if (a.n > MIB(2) || b.n > MIB(2) || !whole != !parts || (!whole && !span_eq(buf_span(&a), buf_span(&b))))
		__builtin_trap();
	return 0;
}
