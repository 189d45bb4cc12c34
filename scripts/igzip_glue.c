/*
 * What the trimmed igzip needs in place of ISA-L's own dispatchers, which would pull in every
 * checksum and every compressor: the gzip CRC by carry-less multiplication where the processor has
 * it. What only zlib's container and ISA-L's own reader of headers use is never called.
 *
 * And the tables of deflate's fixed codes, made by the first block that has them instead of linked in: 42 KB.
 */
#include <cpuid.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "igzip_lib.h"

uint32_t crc32_gzip_refl(uint32_t crc, const unsigned char *p, uint64_t len);
uint32_t crc32_gzip_refl_base(uint32_t crc, const unsigned char *p, uint64_t len);
uint32_t crc32_gzip_refl_by8(uint32_t crc, const unsigned char *p, uint64_t len);
uint32_t isal_adler32_bam1(uint32_t adler, const unsigned char *p, uint64_t len);
/* igzip's own under this name (scripts/deps): it takes as long as to inflate 10 KB, which must not be had for each 10
 * bits of input. */
int make_static_header(struct inflate_state *state);
int setup_static_header(struct inflate_state *state);

/* Not by __builtin_cpu_supports(), which asks for everything at the start of every program: in a
 * virtual machine each question goes to the host. */
static int has_pclmul(void)
{
	static atomic_int known = -1;
	int has = atomic_load_explicit(&known, memory_order_relaxed);
	unsigned a, b, c, d;

	if (has < 0) {
		has = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_PCLMUL) && (c & bit_SSE4_1);
		atomic_store_explicit(&known, has, memory_order_relaxed);
	}
	return has;
}

uint32_t crc32_gzip_refl(uint32_t crc, const unsigned char *p, uint64_t len)
{
	if (has_pclmul())
		return crc32_gzip_refl_by8(crc, p, len);
	return crc32_gzip_refl_base(crc, p, len);
}

uint32_t isal_adler32_bam1(uint32_t adler, const unsigned char *p, uint64_t len)
{
	__builtin_trap();
}

void isal_gzip_header_init(struct isal_gzip_header *h)
{
	memset(h, 0, sizeof(*h));
}

void isal_zlib_header_init(struct isal_zlib_header *h)
{
	memset(h, 0, sizeof(*h));
}

int setup_static_header(struct inflate_state *state)
{
	static struct inflate_huff_code_large lit;
	static struct inflate_huff_code_small dist;
	static atomic_int known; /* 1: a thread copies them; 2: they are there */
	int none = 0;

	if (state->hist_bits)
		return make_static_header(state);
	if (atomic_load_explicit(&known, memory_order_acquire) == 2) {
		memcpy(&state->lit_huff_code, &lit, sizeof(lit));
		memcpy(&state->dist_huff_code, &dist, sizeof(dist));
		state->block_state = ISAL_BLOCK_CODED;
		return 0;
	}
	make_static_header(state);
	if (atomic_compare_exchange_strong(&known, &none, 1)) {
		memcpy(&lit, &state->lit_huff_code, sizeof(lit));
		memcpy(&dist, &state->dist_huff_code, sizeof(dist));
		atomic_store_explicit(&known, 2, memory_order_release);
	}
	return 0;
}
