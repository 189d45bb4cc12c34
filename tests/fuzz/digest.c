/* Digests: what is accepted is exactly its own text. */
#include "libcommon/oci.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[DIGEST_TEXT_MAX];
	struct digest d;

	if (digest_parse(span_of(data, size), &d) == 0 &&
	    !span_is(span_of(data, size), digest_text(&d, text)))
		abort();
	return 0;
}
