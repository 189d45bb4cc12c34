/* WWW-Authenticate and Retry-After, as a stranger sends them. */
#include "libcommon/registry/internal.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct challenge c = { 0 };

	int r = challenge_parse(span_of(data, size), &c);
	if ((r && c.scheme) || (c.scheme == CHALLENGE_BEARER && !c.realm))
		__builtin_trap();
	challenge_release(&c);
	int64_t wait = retry_after_parse(span_of(data, size), 1700000000);
	if (wait < -1 || wait > INT64_C(1) << 31)
		__builtin_trap();
	return 0;
}
