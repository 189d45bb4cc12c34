/*
 * Runs while ocibox is built: writes the programs for one machine as C.
 *
 *	generate x86_64|aarch64|riscv64|arm >seccomp_programs.h
 */
#include <stdio.h>
#include <string.h>

#include "libcommon/runtime/seccomp_profile.h"
#include "libcommon/runtime/seccomp_variants.h"

static const char *const names[] = { "x86_64", "aarch64", "riscv64", "arm" };

int main(int argc, char **argv)
{
	static struct sock_filter program[SECCOMP_PROGRAM_MAX];
	const size_t n = sizeof(seccomp_variants) / sizeof(seccomp_variants[0]);
	int length[sizeof(seccomp_variants) / sizeof(seccomp_variants[0])];
	uint64_t relevant = seccomp_relevant_caps();
	int machine = 0;

	while (machine < SECCOMP_MACHINES && (argc < 2 || strcmp(names[machine], argv[1]) != 0))
		machine++;
	if (machine == SECCOMP_MACHINES)
		return 64;
	for (size_t i = 0; i < n; i++) {
		length[i] = seccomp_compute((enum seccomp_machine)machine, seccomp_variants[i], program);
		if (length[i] < 0) {
			fprintf(stderr, "libseccomp: %s\n", strerror(-length[i]));
			return 70;
		}
		printf("static const struct sock_filter program_%zu[] = {\n", i);
		for (int k = 0; k < length[i]; k++)
			printf("{%u,%u,%u,%uu},%s", program[k].code, program[k].jt, program[k].jf, program[k].k,
			       k % 8 == 7 ? "\n" : "");
		printf("};\n");
	}
	printf("#define SECCOMP_THIS_MACHINE %d\n#define SECCOMP_RELEVANT_CAPS 0x%llxULL\n", machine,
	       (unsigned long long)relevant);
	printf("static const struct seccomp_program seccomp_programs[] = {\n");
	for (size_t i = 0; i < n; i++)
		printf("{ 0x%llxULL, %d, program_%zu },\n",
		       (unsigned long long)(seccomp_variants[i] & relevant), length[i], i);
	printf("};\n");
	return 0;
}
