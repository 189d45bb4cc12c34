/*
 * Loading the default filter: the program that was computed when the binary was built, or, for
 * other capabilities, one that is computed now.
 */
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/runtime/private.h"
#include "libcommon/runtime/seccomp_profile.h"
#include "libcommon/runtime/seccomp_builtin.h"
#include "seccomp_programs.h"

size_t filter_built_in(const struct seccomp_program **out)
{
	*out = seccomp_programs;
	return ARRAY_LEN(seccomp_programs);
}

void filter_unpack(const struct seccomp_program *p, struct sock_filter *out)
{
	for (int i = 0; i < p->n; i++) {
		uint32_t v = p->packed[i];

		out[i] = (struct sock_filter){ .code = seccomp_codes[v >> 16 & (SECCOMP_CODES - 1)],
					       .jt = (unsigned char)v,
					       .jf = (unsigned char)(v >> 8),
					       .k = seccomp_constants[v >> 19] };
	}
}

static int load(const struct sock_filter *program, int n, struct err *e)
{
	const struct sock_fprog p = { (unsigned short)n, (struct sock_filter *)program };

	if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p))
		return 0;
	if (errno == ENOSYS || errno == EINVAL)
		return err_set(e, -ENOSYS,
			       "this kernel has no system call filters (CONFIG_SECCOMP_FILTER); "
			       "--security-opt seccomp=unconfined does without");
	return err_set(e, -errno, "cannot load the filter of system calls: %s", err_word(-errno));
}

int filter_load(uint64_t caps, struct err *e)
{
	struct sock_filter *program = NULL;
	int n = -ENOENT, r;

	for (size_t i = 0; i < ARRAY_LEN(seccomp_programs) && n < 0; i++)
		if (seccomp_programs[i].caps == (caps & SECCOMP_RELEVANT_CAPS)) {
			n = seccomp_programs[i].n;
			program = xcalloc((size_t)n, sizeof(*program));
			filter_unpack(&seccomp_programs[i], program);
		}
	if (n < 0 && CFG_SECCOMP_COMPUTE) {
		program = xcalloc(SECCOMP_PROGRAM_MAX, sizeof(*program));
		n = seccomp_compute_here(caps, program);
	}
	if (n >= 0)
		r = load(program, n, e);
	else if (CFG_SECCOMP_COMPUTE)
		r = err_set(e, n, "cannot compute the filter of system calls: %s", err_word(n));
	else
		r = err_set(e, E_UNSUPPORTED,
			    "no filter of system calls for this set of capabilities was "
			    "built in; add ALL, SYS_ADMIN or SYS_PTRACE only, or use "
			    "--security-opt seccomp=unconfined");
	freep(&program);
	return r;
}
