/* base64: what is decoded encodes to something that decodes to the same. */
#include "libcommon/codec.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct buf raw = BUF_INIT, text = BUF_INIT, again = BUF_INIT;

	if (!base64_decode(span_of(data, size), &raw)) {
		base64_encode(buf_span(&raw), &text);
		if (base64_decode(buf_span(&text), &again) || !span_eq(buf_span(&raw), buf_span(&again)))
			__builtin_trap();
	}
	buf_release(&raw);
	buf_release(&text);
	buf_release(&again);
	return 0;
}
