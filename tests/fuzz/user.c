/* passwd, group and the user looked up in them, parted by a line of "%%". Nothing but a 0 that is
 * written there is root. */
#include "libcommon/oci.h"
#include "libcommon/oci/oci_private.h"

#include <stdlib.h>
#include <string.h>

static struct span cut(struct span *rest)
{
	unsigned char *at = memmem(rest->p, rest->n, "%%\n", 3);
	struct span part = *rest;

	if (!at) {
		*rest = span_tail(*rest, rest->n);
		return part;
	}
	part.n = (size_t)(at - rest->p);
	*rest = span_tail(*rest, part.n + 3);
	return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_of(data, size), spec = cut(&rest), passwd = cut(&rest),
		    group = rest;
	_cleanup_(freep) char *text = span_dup(spec);
	struct user u;

	if (user_find(passwd, group, text, &u, NULL) < 0)
		return 0;
	if (!u.home || u.home[0] != '/' || u.uid == UINT32_MAX || u.gid == UINT32_MAX ||
	    u.groups_n > ARRAY_LEN(u.groups))
		abort();
	if (u.uid == 0 && text[0] && !memchr(text, '0', strlen(text)) &&
	    !memmem(passwd.p, passwd.n, ":0:", 3) && !memmem(passwd.p, passwd.n, ":00", 3))
		abort();
	user_release(&u);
	return 0;
}
