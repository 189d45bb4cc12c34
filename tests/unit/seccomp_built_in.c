/*
 * The default filters that are built in are what the library in the binary computes, which has a smaller table of
 * system calls than the one that made them.
 */
#include "libcommon/runtime.h"
#include "libcommon/runtime/seccomp_builtin.h"
#include "libcommon/runtime/seccomp_profile.h"
#include "libcommon/runtime/seccomp_variants.h"
#include "tests/unit/tap.h"

static struct sock_filter compact[SECCOMP_PROGRAM_MAX], full[SECCOMP_PROGRAM_MAX];

static void built_in_is_fresh(void)
{
	const struct seccomp_program *p;
	size_t n = filter_built_in(&p);

	is_num((long long)n, (long long)ARRAY_LEN(seccomp_variants),
	       "as many programs as variants");
	for (size_t i = 0; i < n; i++) {
		int fresh = seccomp_compute_here(seccomp_variants[i], compact);

		filter_unpack(&p[i], full);
		ok(p[i].caps == (seccomp_variants[i] & seccomp_relevant_caps()),
		   "program %zu is for its capabilities", i);
		ok(fresh == p[i].n && !memcmp(compact, full, (size_t)fresh * sizeof(*compact)),
		   "and what is computed now");
	}
}

int main(void)
{
	if (!CFG_SECCOMP_COMPUTE) {
		printf("1..0 # skip no libseccomp in this configuration\n");
		return 0;
	}
	built_in_is_fresh();
	return done_testing();
}
