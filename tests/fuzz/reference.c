/* References: what is accepted reads the same when it is written out, and is no path (a tag may hold "..", but no part is that). */
#include "libcommon/oci.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *in = xstrndup((const char *)data, size), *text = NULL, *again = NULL;
	struct reference ref, ref2;
	struct err e = { 0 };

	if (reference_parse(in, &ref, &e) < 0) {
		if (e.code != E_USAGE || !e.text[0] || !utf8_valid(span_str(e.text)))
			abort();
		return 0;
	}
	text = reference_text(&ref);
	if (reference_parse(text, &ref2, NULL) < 0)
		abort();
	again = reference_text(&ref2);
	if (strcmp(text, again) || strpbrk(text, " \t\n\\\"'`$;&|<>") || strstr(text, "/.") || strstr(text, "./"))
		abort();
	reference_release(&ref);
	reference_release(&ref2);
	return 0;
}
