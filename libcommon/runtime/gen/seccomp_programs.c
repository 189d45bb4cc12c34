/*
 * Runs while ocibox is built: writes the programs for one machine as C.
 *
 *	generate x86_64|aarch64|riscv64|arm >seccomp_programs.h
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/runtime/seccomp_builtin.h"
#include "libcommon/runtime/seccomp_profile.h"
#include "libcommon/runtime/seccomp_variants.h"

static const char *const names[] = { "x86_64", "aarch64", "riscv64", "arm" };

static uint32_t codes[SECCOMP_CODES], constants[SECCOMP_CONSTANTS];
static size_t codes_n, constants_n;

/* The position of value among the n of list, to which it is added where it is new. */
static uint32_t position(uint32_t *list, size_t *n, size_t max, uint32_t value)
{
	size_t i = 0;

	while (i < *n && list[i] != value)
		i++;
	if (i == max) {
		fprintf(stderr, "the packing of seccomp programs is too small\n");
		exit(70);
	}
	if (i == *n)
		list[(*n)++] = value;
	return (uint32_t)i;
}

static void put_program(size_t number, const struct sock_filter *p, int n)
{
	printf("static const uint32_t program_%zu[] = {\n", number);
	for (int i = 0; i < n; i++)
		printf("%uu,%s",
		       SECCOMP_PACK(p[i].jt, p[i].jf,
				    position(codes, &codes_n, SECCOMP_CODES, p[i].code),
				    position(constants, &constants_n, SECCOMP_CONSTANTS, p[i].k)),
		       i % 8 == 7 ? "\n" : "");
	printf("};\n");
}

static void put_list(const char *type, const char *name, const uint32_t *list, size_t n)
{
	printf("static const %s %s[] = {\n", type, name);
	for (size_t i = 0; i < n; i++)
		printf("%uu,%s", list[i], i % 8 == 7 ? "\n" : "");
	printf("};\n");
}

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
		length[i] = seccomp_compute((enum seccomp_machine)machine, seccomp_variants[i],
					    program);
		if (length[i] < 0) {
			fprintf(stderr, "libseccomp: %s\n", strerror(-length[i]));
			return 70;
		}
		put_program(i, program, length[i]);
	}
	put_list("unsigned short", "seccomp_codes", codes, codes_n);
	put_list("uint32_t", "seccomp_constants", constants, constants_n);
	printf("#define SECCOMP_THIS_MACHINE %d\n#define SECCOMP_RELEVANT_CAPS 0x%llxULL\n",
	       machine, (unsigned long long)relevant);
	printf("static const struct seccomp_program seccomp_programs[] = {\n");
	for (size_t i = 0; i < n; i++)
		printf("{ 0x%llxULL, %d, program_%zu },\n",
		       (unsigned long long)(seccomp_variants[i] & relevant), length[i], i);
	printf("};\n");
	return 0;
}
