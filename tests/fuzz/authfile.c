/* Auth files, and the answers of credential helpers: what stands behind the first zero byte is what the helper says. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/io.h"
#include "libcommon/registry/credentials.h"

static struct span helper_says;

/* In place of the library's: processes that are started by chance would make the time of a run a matter of luck. */
int spawn_run(const struct spawn *sp, struct buf *out, int *status)
{
	if (!helper_says.p)
		return -ENOENT;
	if (helper_says.n > sp->output_max)
		return E_TOOBIG;
	if (out)
		buf_add(out, helper_says.p, helper_says.n);
	*status = 0;
	return 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	const unsigned char *zero = size ? memchr(data, 0, size) : NULL;
	size_t n = zero ? (size_t)(zero - data) : size;
	struct credential c = { 0 };
	struct err e = { 0 };

	helper_says = zero ? span_of(zero + 1, size - n - 1) : (struct span){ 0 };
	int r = credentials_file_find("F", span_of(data, n), "reg.example", "a/b", 10000, &c, &e);
	if (r == 1 && (!c.username || !c.password || !c.source))
		__builtin_trap();
	if (r < 0 && !*e.text)
		__builtin_trap();
	credential_release(&c);
	return 0;
}
