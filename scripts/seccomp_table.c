/*
 * libseccomp's table of system calls for the binary itself, in the place of the library's syscalls.perf.c
 * and with the same functions: of its 18 architectures those alone that the machine's kernel runs, two
 * bytes a number, without the kernels' versions, which nothing here asks for. 11 KB in place of 94.
 *
 * It becomes a part of the library and is, as that, under the LGPL, version 2.1; the library's other files are
 * as they were. Written in November 2026.
 *
 * seccomp_table.h is made by scripts/deps of the library's own list, syscalls.csv, sorted by name:
 *	CALL(name's offset among all names, name, number on x86, x86_64, x32, arm, aarch64, riscv64)
 */
#include <stdint.h>
#include <string.h>

#include "syscalls.h"

#if defined(__x86_64__)
#define COLUMNS(x86, x86_64, x32, arm, aarch64, riscv64) x86_64, x86, x32
static const int columns[] = { SYSTBL_OFFSET(x86_64), SYSTBL_OFFSET(x86), SYSTBL_OFFSET(x32) };
#elif defined(__aarch64__)
#define COLUMNS(x86, x86_64, x32, arm, aarch64, riscv64) aarch64, arm
static const int columns[] = { SYSTBL_OFFSET(aarch64), SYSTBL_OFFSET(arm) };
#elif defined(__riscv)
#define COLUMNS(x86, x86_64, x32, arm, aarch64, riscv64) riscv64
static const int columns[] = { SYSTBL_OFFSET(riscv64) };
#elif defined(__arm__)
#define COLUMNS(x86, x86_64, x32, arm, aarch64, riscv64) arm
static const int columns[] = { SYSTBL_OFFSET(arm) };
#else
#error "no table of system calls for this machine"
#endif

enum {
	COLUMNS_N = sizeof(columns) / sizeof(columns[0]),
	/* ARM's private calls are too high for two bytes, and are kept above all others; below 0 are the library's
	 * pseudo numbers, down to about -10300. */
	ARM_PRIVATE = 0x0f0000,
	ARM_PACKED = 0x7000
};
#define PACK(n) ((n) < ARM_PRIVATE ? (n) : (n) - ARM_PRIVATE + ARM_PACKED)

#define CALL(offset, name, ...) name "\0"
static const char names[] =
#include "seccomp_table.h"
	;
#undef CALL

#define CALL(offset, name, ...) offset,
static const uint16_t offsets[] = {
#include "seccomp_table.h"
};
#undef CALL

#define CALL(offset, name, x86, x86_64, x32, arm, aarch64, riscv64) \
	{ COLUMNS(PACK(x86), PACK(x86_64), PACK(x32), PACK(arm), PACK(aarch64), PACK(riscv64)) },
static const int16_t numbers[][COLUMNS_N] = {
#include "seccomp_table.h"
};
#undef CALL

enum { CALLS_N = sizeof(offsets) / sizeof(offsets[0]) };

static int column(int offset)
{
	int c = 0;

	while (c < COLUMNS_N && columns[c] != offset)
		c++;
	return c;
}

static int unpack(int n)
{
	return n < ARM_PACKED ? n : n - ARM_PACKED + ARM_PRIVATE;
}

int syscall_resolve_name(const char *name, int offset)
{
	int c = column(offset), from = 0, to = CALLS_N;

	while (c < COLUMNS_N && from < to) {
		int i = (from + to) / 2, d = strcmp(name, names + offsets[i]);

		if (d == 0)
			return unpack(numbers[i][c]);
		if (d < 0)
			to = i;
		else
			from = i + 1;
	}
	return __NR_SCMP_ERROR;
}

const char *syscall_resolve_num(int num, int offset)
{
	int c = column(offset);

	for (int i = 0; c < COLUMNS_N && i < CALLS_N; i++)
		if (unpack(numbers[i][c]) == num)
			return names + offsets[i];
	return NULL;
}

/* Of use with SCMP_FLTATR_CTL_KVERMAX alone, which nobody sets. */
enum scmp_kver syscall_resolve_name_kver(const char *name, int offset_kver)
{
	return __SCMP_KV_NULL;
}

enum scmp_kver syscall_resolve_num_kver(int num, int offset_arch, int offset_kver)
{
	return __SCMP_KV_NULL;
}

/* The library's own tests use it. */
const struct arch_syscall_def *syscall_iterate(unsigned int spot, int offset)
{
	static const struct arch_syscall_def none = { NULL, __NR_SCMP_ERROR };

	return &none;
}
