/*
 * The capability sets whose programs are computed when the binary is built: what a rule depends on,
 * as bits of CAP_ numbers.
 */
#ifndef OCIBOX_SECCOMP_VARIANTS_H
#define OCIBOX_SECCOMP_VARIANTS_H

#include <stdint.h>

#define CAP_BIT(n) (1ULL << (n))
/* chroot is all that docker's default set opens. */
static const uint64_t seccomp_variants[] = {
	CAP_BIT(18),		   /* the default set, and it with any that no rule depends on */
	0,			   /* none */
	CAP_BIT(18) | CAP_BIT(19), /* the default set and SYS_PTRACE */
	CAP_BIT(18) | CAP_BIT(21), /* the default set and SYS_ADMIN */
	~0ULL,			   /* all */
};

#endif
