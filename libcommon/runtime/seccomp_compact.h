/*
 * A smaller program with the same answers.
 */
#ifndef OCIBOX_SECCOMP_COMPACT_H
#define OCIBOX_SECCOMP_COMPACT_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

enum { SECCOMP_ARGUMENTS = 1 }; /* no action has this number: the answer depends on arguments */
/* What program answers; with d->args unknown, SECCOMP_ARGUMENTS where it looks at them. 0xffffffff
 * for an instruction that we do not know. */
uint32_t seccomp_answer(const struct sock_filter *program, int n, const struct seccomp_data *d,
			bool args_known);
/*
 * Writes to out (room for max) what answers as full does for calls that need no arguments, on the
 * architectures audit[0..audit_n), and goes on behind its end for all others. Its length, or -1
 * where full has what we do not know, or an architecture takes more than 255 instructions.
 */
int seccomp_compact(const struct sock_filter *full, int n, const uint32_t *audit, int audit_n,
		    struct sock_filter *out, int max);

#endif
