/* The programs that are part of the binary. */
#ifndef OCIBOX_SECCOMP_BUILTIN_H
#define OCIBOX_SECCOMP_BUILTIN_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

struct seccomp_program {
	uint64_t caps; /* of those that rules depend on */
	int n;
	const struct sock_filter *code;
};
size_t filter_built_in(const struct seccomp_program **out);

#endif
