/* A bundle's config.json: what is read points into what is kept, whatever it says. */
#include <string.h>

#include "libcommon/runtime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct loaded_bundle b;
	struct err e = { 0 };
	size_t sum = 0;

	if (!bundle_parse(span_of(data, n), "/dir", &b, &e)) {
		sum += strlen(b.c.rootfs) + strlen(b.c.cwd);
		for (size_t i = 0; i < b.c.mounts_n; i++)
			sum += strlen(b.c.mounts[i].target) +
			       (b.c.mounts[i].source ? strlen(b.c.mounts[i].source) : 0);
		for (size_t i = 0; i < b.c.rlimits_n; i++)
			sum += (size_t)b.c.rlimits[i].resource;
		if (b.c.user.groups_n > ARRAY_LEN(b.c.user.groups) ||
		    b.c.id_maps.uid_n > ID_MAP_MAX || sum == SIZE_MAX)
			__builtin_trap();
	}
	bundle_unload(&b);
	return 0;
}
