/* The programs that are part of the binary. */
#ifndef OCIBOX_SECCOMP_BUILTIN_H
#define OCIBOX_SECCOMP_BUILTIN_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Half the size of the instructions themselves: each is jt, jf, and the positions of its code and
 * its constant (SECCOMP_PACK), for few of either are distinct.
 */
struct seccomp_program {
	uint64_t caps; /* of those that rules depend on */
	int n;
	const uint32_t *packed;
};
#define SECCOMP_PACK(jt, jf, code, k) \
	((uint32_t)(jt) | (uint32_t)(jf) << 8 | (uint32_t)(code) << 16 | (uint32_t)(k) << 19)
#define SECCOMP_CODES	  8
#define SECCOMP_CONSTANTS 8192

size_t filter_built_in(const struct seccomp_program **out);
void filter_unpack(const struct seccomp_program *p, struct sock_filter *out); /* p->n of them */

#endif
