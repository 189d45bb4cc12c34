/* SHA-256 by the cryptographic extension of ARMv8 (aarch64). */
#include <arm_neon.h>
#include <sys/auxv.h>

#include "libcommon/codec/sha256.h"
#include "libcommon/codec/sha256_constants.h"

#ifndef HWCAP_SHA2
#define HWCAP_SHA2 (1 << 6)
#endif

/* Rounds 4i..4i+3 with the four schedule words w. */
#define ROUNDS(i, w)                                                          \
	do {                                                                  \
		uint32x4_t wk_ = vaddq_u32(w, vld1q_u32(sha256_k + 4 * (i))); \
		uint32x4_t abcd_ = abcd;                                      \
		abcd = vsha256hq_u32(abcd, efgh, wk_);                        \
		efgh = vsha256h2q_u32(efgh, abcd_, wk_);                      \
	} while (0)

/* The next four words into w0, from the sixteen before: w0 (oldest), w1, w2, w3. */
#define SCHEDULE(w0, w1, w2, w3) (w0 = vsha256su1q_u32(vsha256su0q_u32(w0, w1), w2, w3))

#define FOUR(i)                           \
	do {                              \
		ROUNDS(i, w0);            \
		SCHEDULE(w0, w1, w2, w3); \
		ROUNDS((i) + 1, w1);      \
		SCHEDULE(w1, w2, w3, w0); \
		ROUNDS((i) + 2, w2);      \
		SCHEDULE(w2, w3, w0, w1); \
		ROUNDS((i) + 3, w3);      \
		SCHEDULE(w3, w0, w1, w2); \
	} while (0)

__attribute__((target("+crypto"))) static void blocks(uint32_t h[8], const unsigned char *p,
						      size_t n)
{
	uint32x4_t abcd = vld1q_u32(h), efgh = vld1q_u32(h + 4);

	for (; n; n--, p += 64) {
		const uint32x4_t abcd_before = abcd, efgh_before = efgh;
		uint32x4_t w0 = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p)));
		uint32x4_t w1 = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p + 16)));
		uint32x4_t w2 = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p + 32)));
		uint32x4_t w3 = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(p + 48)));

		FOUR(0);
		FOUR(4);
		FOUR(8);
		ROUNDS(12, w0);
		ROUNDS(13, w1);
		ROUNDS(14, w2);
		ROUNDS(15, w3);
		abcd = vaddq_u32(abcd, abcd_before);
		efgh = vaddq_u32(efgh, efgh_before);
	}
	vst1q_u32(h, abcd);
	vst1q_u32(h + 4, efgh);
}

sha256_blocks_fn *sha256_hardware(const char **name)
{
	if (!(getauxval(AT_HWCAP) & HWCAP_SHA2))
		return NULL;
	*name = "armv8";
	return blocks;
}
