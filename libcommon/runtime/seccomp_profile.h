/*
 * The default filter of system calls, as rules, and computed from them by libseccomp.
 */
#ifndef OCIBOX_SECCOMP_PROFILE_H
#define OCIBOX_SECCOMP_PROFILE_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

enum { SECCOMP_PROGRAM_MAX = 4096 }; /* instructions, as many as the kernel takes */
enum seccomp_machine {
	SECCOMP_X86_64,
	SECCOMP_AARCH64,
	SECCOMP_RISCV64,
	SECCOMP_ARM,
	SECCOMP_MACHINES
};
/* The capabilities that rules depend on; the others do not change the program. */
uint64_t seccomp_relevant_caps(void);
/* The program for a machine (with the older ones that its processors run, too) and capabilities;
 * its length or -errno. */
int seccomp_compute(enum seccomp_machine machine, uint64_t caps, struct sock_filter *out);
/* The same answers, by libseccomp's own tree: larger, for comparison. */
int seccomp_compute_plain(enum seccomp_machine machine, uint64_t caps, struct sock_filter *out);
int seccomp_compute_here(uint64_t caps, struct sock_filter *out);

#endif
