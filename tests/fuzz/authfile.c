/* Auth files. Helpers are not run: no such program is on the PATH. */
#include <stdlib.h>

#include "libcommon/registry/credentials.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct credential c = { 0 };
	struct err e = { 0 };

	setenv("PATH", "/nonexistent", 1);
	int r = credentials_file_find("F", span_of(data, size), "reg.example", "a/b", 10000, &c, &e);
	if (r == 1 && (!c.username || !c.password || !c.source))
		__builtin_trap();
	if (r < 0 && !*e.text)
		__builtin_trap();
	credential_release(&c);
	return 0;
}
