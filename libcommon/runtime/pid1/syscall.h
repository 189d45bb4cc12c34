/*
 * The first instruction of a program without a library, and its system calls.
 */
#ifndef OCIBOX_PID1_SYSCALL_H
#define OCIBOX_PID1_SYSCALL_H

#include "libcommon/runtime/rawsys.h"

__attribute__((noreturn)) void pid1_main(long *sp);

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall pid1_main\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x30, #0\n\tmov x0, sp\n\tand sp, x0, #-16\n\tb pid1_main\n");
#elif defined(__riscv)
__asm__(".globl _start\n_start:\n\tmv a0, sp\n\tandi sp, sp, -16\n\ttail pid1_main\n");
#elif defined(__arm__)
__asm__(".globl _start\n.type _start, %function\n_start:\n\tmov r0, sp\n\tbic sp, sp, #7\n\tb pid1_main\n");
#endif

#endif
