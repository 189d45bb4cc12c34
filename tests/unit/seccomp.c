/* The default filters of all machines: the compact ones answer as libseccomp's own. */
#include <linux/audit.h>
#include <stdlib.h>

#include "libcommon/runtime.h"
#include "libcommon/runtime/seccomp_compact.h"
#include "libcommon/runtime/seccomp_profile.h"
#include "libcommon/runtime/seccomp_variants.h"
#include "tests/unit/tap.h"

#define ERRNO(n) (SECCOMP_RET_ERRNO | (n))

static struct sock_filter compact[SECCOMP_PROGRAM_MAX], full[SECCOMP_PROGRAM_MAX];

static unsigned differ_at(int compact_n, int full_n, uint32_t arch, uint32_t nr)
{
	static const uint64_t values[] = { 0,		8,
					   40,		0x20000,
					   0x20008,	0x5401,
					   0x5412,	0x541c,
					   0xffffffff,	0x100000028,
					   0x7e020000,	0x10000000,
					   0x1200011,	0xffffffffffffffff,
					   0x100005412, 0xffffffff0000541c };
	unsigned bad = 0;

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		for (size_t k = 0; k < 2; k++) {
			struct seccomp_data d = { .nr = (int)nr, .arch = arch };

			d.args[k] = values[i];
			bad += seccomp_answer(compact, compact_n, &d, true) !=
			       seccomp_answer(full, full_n, &d, true);
		}
	}
	return bad;
}

static void same_answers(enum seccomp_machine m, uint64_t caps)
{
	static const uint32_t archs[] = {
		AUDIT_ARCH_X86_64, AUDIT_ARCH_I386,    AUDIT_ARCH_AARCH64,
		AUDIT_ARCH_ARM,	   AUDIT_ARCH_RISCV64, AUDIT_ARCH_PPC64LE
	};
	static const uint32_t bases[] = { 0,	      0x40000000, 0x000f0000,
					  0x000effc0, 0x7fffff00, 0xfffffd00 };
	int n = seccomp_compute(m, caps, compact), full_n = seccomp_compute_plain(m, caps, full);
	unsigned bad = 0;

	for (size_t a = 0; a < ARRAY_LEN(archs); a++)
		for (size_t b = 0; b < ARRAY_LEN(bases); b++)
			for (uint32_t i = 0; i < 0x240; i++)
				bad += differ_at(n, full_n, archs[a], bases[b] + i);
	ok(n > 0 && full_n > n && !bad,
	   "machine %d, capabilities %#llx: %d instead of %d instructions, %u answers differ",
	   (int)m, (unsigned long long)caps, n, full_n, bad);
}

static uint32_t answer(int n, int nr, uint64_t arg0, uint64_t arg1)
{
	struct seccomp_data d = { .nr = nr, .arch = AUDIT_ARCH_X86_64, .args = { arg0, arg1 } };

	return seccomp_answer(compact, n, &d, true);
}

static void profile(void)
{
	int n = seccomp_compute(SECCOMP_X86_64, CAPS_DEFAULT, compact);
	struct seccomp_data none = { .nr = 0, .arch = AUDIT_ARCH_X86_64 };

	is_num(answer(n, 0, 0, 0), SECCOMP_RET_ALLOW, "read");
	is_num(answer(n, 165, 0, 0), ERRNO(EPERM), "mount");
	is_num(answer(n, 161, 0, 0), SECCOMP_RET_ALLOW, "chroot, by its capability");
	is_num(answer(n, 56, 0x1200011, 0), SECCOMP_RET_ALLOW, "clone");
	is_num(answer(n, 56, 0x10000000, 0), ERRNO(EPERM), "clone of a user namespace");
	is_num(answer(n, 435, 0, 0), ERRNO(ENOSYS), "clone3");
	is_num(answer(n, 41, 2, 0), SECCOMP_RET_ALLOW, "socket");
	is_num(answer(n, 41, 40, 0), ERRNO(EPERM), "socket of vsock");
	is_num(answer(n, 135, 8, 0), SECCOMP_RET_ALLOW, "personality 8");
	is_num(answer(n, 135, 0x40000, 0), ERRNO(EPERM), "personality without randomisation");
	is_num(answer(n, 16, 0, 0x5401), SECCOMP_RET_ALLOW, "ioctl");
	is_num(answer(n, 16, 0, 0x5412), ERRNO(EPERM), "T54 TIOCSTI");
	is_num(answer(n, 16, 0, 0xff00005412), ERRNO(EPERM), "T54 TIOCSTI with high bits");
	is_num(answer(n, 16, 0, 0x10000541c), ERRNO(EPERM), "T54 TIOCLINUX with high bits");
	is_num(answer(n, 900, 0, 0), ERRNO(ENOSYS), "a call of the future");
	is_num(answer(n, 0x40000000, 0, 0), SECCOMP_RET_ALLOW, "read of x32");
	is_num(answer(n, 0x40000000 + 514, 0, 0x5412), ERRNO(EPERM), "T54 TIOCSTI of x32");
	is_num(seccomp_answer(compact, n, &none, false), SECCOMP_RET_ALLOW,
	       "read does not look at arguments");
	none.nr = 16;
	is_num(seccomp_answer(compact, n, &none, false), SECCOMP_ARGUMENTS, "ioctl does");
	n = seccomp_compute(SECCOMP_X86_64, 0, compact);
	is_num(answer(n, 161, 0, 0), ERRNO(EPERM), "chroot without its capability");
	n = seccomp_compute(SECCOMP_X86_64, ~0ULL, compact);
	is_num(answer(n, 165, 0, 0), SECCOMP_RET_ALLOW, "mount with all capabilities");
	is_num(answer(n, 56, 0x10000000, 0), SECCOMP_RET_ALLOW,
	       "clone of a user namespace with all");
	is_num(answer(n, 16, 0, 0x5412), ERRNO(EPERM), "T54 TIOCSTI with all");
}

int main(void)
{
	if (!CFG_SECCOMP_COMPUTE) {
		printf("1..0 # skip no libseccomp in this configuration\n");
		return 0;
	}
	for (int m = 0; m < SECCOMP_MACHINES; m++) {
		for (size_t i = 0; i < ARRAY_LEN(seccomp_variants); i++)
			same_answers((enum seccomp_machine)m, seccomp_variants[i]);
		same_answers((enum seccomp_machine)m, 1ULL << 2 | 1ULL << 23);
	}
	profile();
	return done_testing();
}
