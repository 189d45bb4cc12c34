/* Platforms: what is accepted serves itself, and reads the same when it is written out. */
#include "libcommon/oci.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(freep) char *in = xstrndup((const char *)data, size);
	struct platform p, again;
	char text[100];

	if (platform_parse(in, &p, NULL) < 0)
		return 0;
	if (platform_parse(platform_text(&p, text), &again, NULL) < 0 ||
	    memcmp(&p, &again, sizeof(p)))
		abort();
	if (!platform_match(&p, &p) && strcmp(p.os, "unknown") && strcmp(p.arch, "unknown"))
		abort();
	return 0;
}
