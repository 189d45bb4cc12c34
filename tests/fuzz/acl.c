/* ACLs in text form, as archives carry them. */
#include <stddef.h>
#include <stdint.h>

#include "libcommon/oci/apply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	struct err e = { 0 };

	/* No tree: names of users cannot be looked up. */
	if (acl_from_text(-1, span_of(data, size), &out, &e) == 0 && (out.n < 12 || out.n % 8 != 4))
		__builtin_trap();
	return 0;
}
