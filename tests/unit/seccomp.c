/* The filters that were computed while building are those that libseccomp computes now. */
#include <stdlib.h>

#include "libcommon/base.h"
#include "libcommon/runtime/seccomp_builtin.h"
#include "libcommon/runtime/seccomp_profile.h"
#include "libcommon/runtime/seccomp_variants.h"
#include "tap.h"

int main(void)
{
	static struct sock_filter fresh[SECCOMP_PROGRAM_MAX], built[SECCOMP_PROGRAM_MAX];
	const struct seccomp_program *programs;
	size_t n = filter_built_in(&programs);

	is_num(n, ARRAY_LEN(seccomp_variants), "a program for each set of capabilities");
	for (size_t i = 0; i < n; i++) {
		uint64_t caps = seccomp_variants[i];
		int length = seccomp_compute_here(caps, fresh);

		ok(programs[i].caps == (caps & seccomp_relevant_caps()), "set %zu: for its capabilities", i);
		is_num(programs[i].n, length, "as long as a fresh one");
		filter_unpack(&programs[i], built);
		ok(length > 0 && !memcmp(built, fresh, (size_t)length * sizeof(*built)), "and the same");
	}
	return done_testing();
}
