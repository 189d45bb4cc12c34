/* The platform that this process runs on. */
#include "libcommon/oci.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#if defined(__x86_64__)

#include <cpuid.h>

static uint64_t xcr0(void)
{
	uint32_t lo, hi;

	__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (uint64_t)hi << 32 | lo;
}

enum {
	/* leaf 1, ecx */
	SSE3 = 1u << 0,
	SSSE3 = 1u << 9,
	FMA = 1u << 12,
	CX16 = 1u << 13,
	SSE41 = 1u << 19,
	SSE42 = 1u << 20,
	MOVBE = 1u << 22,
	POPCNT = 1u << 23,
	OSXSAVE = 1u << 27,
	AVX = 1u << 28,
	F16C = 1u << 29,
	/* leaf 7, ebx */
	BMI1 = 1u << 3,
	AVX2 = 1u << 5,
	BMI2 = 1u << 8,
	AVX512F = 1u << 16,
	AVX512DQ = 1u << 17,
	AVX512CD = 1u << 28,
	AVX512BW = 1u << 30,
	/* leaf 0x80000001, ecx */
	LAHF = 1u << 0,
	LZCNT = 1u << 5,
};
#define AVX512VL (1u << 31)

static bool all(unsigned have, unsigned want)
{
	return (have & want) == want;
}

/* The levels of the x86-64 psABI. What the kernel does not save at a switch does not count. */
static int host_level(void)
{
	unsigned a, b, c1, d, b7 = 0, c7, c81;

	if (!__get_cpuid(1, &a, &b, &c1, &d) || !__get_cpuid(0x80000001, &a, &b, &c81, &d))
		return 1;
	if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d))
		b7 = 0;
	if (!all(c1, SSE3 | SSSE3 | CX16 | SSE41 | SSE42 | POPCNT) || !all(c81, LAHF))
		return 1;
	if (!all(c1, FMA | MOVBE | OSXSAVE | AVX | F16C) || !all(c81, LZCNT) ||
	    !all(b7, BMI1 | AVX2 | BMI2) || (xcr0() & 0x6) != 0x6)
		return 2;
	if (!all(b7, AVX512F | AVX512DQ | AVX512CD | AVX512BW | AVX512VL) ||
	    (xcr0() & 0xe6) != 0xe6)
		return 3;
	return 4;
}

static void host_arch(struct platform *p)
{
	int level = host_level();

	snprintf(p->arch, sizeof(p->arch), "amd64");
	if (level > 1)
		snprintf(p->variant, sizeof(p->variant), "v%d", level);
}

#elif defined(__arm__)

/* "armv7l", "armv6l", "armv5tel"; a 64-bit kernel says "aarch64" or "armv8l" */
static void host_arch(struct platform *p)
{
	struct utsname u;
	char version = '7';

	snprintf(p->arch, sizeof(p->arch), "arm");
	if (uname(&u) == 0) {
		if (!strncmp(u.machine, "armv", 4) && u.machine[4] >= '5' && u.machine[4] <= '8')
			version = u.machine[4];
		else if (!strcmp(u.machine, "aarch64"))
			version = '8';
	}
	snprintf(p->variant, sizeof(p->variant), "v%c", version);
}

#else

static void host_arch(struct platform *p)
{
#if defined(__aarch64__)
	snprintf(p->arch, sizeof(p->arch), "arm64");
#elif defined(__i386__)
	snprintf(p->arch, sizeof(p->arch), "386");
#elif defined(__riscv) && __riscv_xlen == 64
	snprintf(p->arch, sizeof(p->arch), "riscv64");
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
	snprintf(p->arch, sizeof(p->arch), "ppc64le");
#elif defined(__s390x__)
	snprintf(p->arch, sizeof(p->arch), "s390x");
#elif defined(__loongarch64)
	snprintf(p->arch, sizeof(p->arch), "loong64");
#else
	struct utsname u;

	if (uname(&u) == 0)
		snprintf(p->arch, sizeof(p->arch), "%.31s", u.machine);
#endif
}

#endif

void platform_host(struct platform *out)
{
	memset(out, 0, sizeof(*out));
	snprintf(out->os, sizeof(out->os), "linux");
	host_arch(out);
}

void platform_generic(struct platform *out)
{
	platform_host(out);
	if (strcmp(out->arch, "arm"))
		out->variant[0] = '\0';
	else if (out->variant[1] > '7')
		out->variant[1] = '7';
}
