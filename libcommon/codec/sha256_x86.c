/*
 * SHA-256 by the SHA extensions of x86-64.
 *
 * sha256rnds2 does two rounds on a state kept as two vectors, ABEF and CDGH; what bounds the speed is
 * the chain of 32 of them, so everything else (the message schedule of the rounds to come) is put
 * between them and has no part in that chain.
 */
#include <cpuid.h>
#include <immintrin.h>

#include "libcommon/codec/sha256.h"
#include "libcommon/codec/sha256_constants.h"

/* Rounds 4i..4i+3 with the four schedule words w. */
#define ROUNDS(i, w)                                                                             \
	do {                                                                                     \
		__m128i wk_ = _mm_add_epi32(w, _mm_load_si128((const __m128i *)sha256_k + (i))); \
		cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk_);                                   \
		abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(wk_, 0x0e));          \
	} while (0)

/* The next four words into w0, from the sixteen before: w0 (oldest), w1, w2, w3. */
#define SCHEDULE(w0, w1, w2, w3)    \
	(w0 = _mm_sha256msg2_epu32( \
		 _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4)), w3))

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

__attribute__((target("sha,ssse3,sse4.1"))) static void blocks(uint32_t h[8],
							       const unsigned char *p, size_t n)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bULL, 0x0405060700010203ULL);
	/* h holds A..H; the vectors want (high to low) A B E F and C D G H. */
	__m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)h), 0xb1);
	__m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(h + 4)), 0x1b);
	__m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
	__m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

	for (; n; n--, p += 64) {
		const __m128i abef_before = abef, cdgh_before = cdgh;
		__m128i w0 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)p), swap);
		__m128i w1 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 16)), swap);
		__m128i w2 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 32)), swap);
		__m128i w3 = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(p + 48)), swap);

		FOUR(0);
		FOUR(4);
		FOUR(8);
		ROUNDS(12, w0);
		ROUNDS(13, w1);
		ROUNDS(14, w2);
		ROUNDS(15, w3);
		abef = _mm_add_epi32(abef, abef_before);
		cdgh = _mm_add_epi32(cdgh, cdgh_before);
	}
	__m128i feba = _mm_shuffle_epi32(abef, 0x1b);
	__m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)h, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(h + 4), _mm_alignr_epi8(dchg, feba, 8));
}

sha256_blocks_fn *sha256_hardware(const char **name)
{
	unsigned a, b, c, d;

	/* Leaf 1: SSSE3 and SSE4.1; leaf 7: SHA. */
	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
		return NULL;
	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_SHA))
		return NULL;
	*name = "sha-ni";
	return blocks;
}
