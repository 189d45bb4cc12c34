/*
 * The machine that we are compiled for, as seccomp's audit numbers have it.
 */
#ifndef OCIBOX_RUNTIME_ARCH_H
#define OCIBOX_RUNTIME_ARCH_H

#include <linux/audit.h>

#if defined(__x86_64__)
#define ARCH_AUDIT AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH_AUDIT AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCH_AUDIT AUDIT_ARCH_RISCV64
#elif defined(__arm__)
#define ARCH_AUDIT AUDIT_ARCH_ARM
#else
#error "no seccomp constants for this machine"
#endif

#endif
