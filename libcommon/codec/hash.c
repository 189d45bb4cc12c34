/*
 * SHA-256 and SHA-512: framing of messages into blocks here, the blocks by the processor's own
 * instructions or by BearSSL.
 */
#include <bearssl_hash.h>
#include <string.h>

#include "libcommon/codec.h"
#include "libcommon/codec/sha256.h"

bool hash_portable;

_Static_assert(sizeof(br_sha512_context) <= sizeof(((struct hash *)0)->u.space),
	       "struct hash has no room for the library's SHA-512");

static void portable_blocks(uint32_t h[8], const unsigned char *p, size_t n)
{
	br_sha256_context ctx;
	unsigned char state[32];

	for (int i = 0; i < 8; i++)
		for (int j = 0; j < 4; j++)
			state[4 * i + j] = h[i] >> (24 - 8 * j);
	br_sha256_init(&ctx);
	br_sha256_set_state(&ctx, state, 0);
	br_sha256_update(&ctx, p, 64 * n);
	br_sha256_state(&ctx, state);
	for (int i = 0; i < 8; i++)
		h[i] = (uint32_t)state[4 * i] << 24 | (uint32_t)state[4 * i + 1] << 16 |
		       (uint32_t)state[4 * i + 2] << 8 | state[4 * i + 3];
}

/* The processor is asked once; threads that ask at the same time find the same. */
static sha256_blocks_fn *hardware(const char **name)
{
	static _Atomic(sha256_blocks_fn *) found;
	static _Atomic(const char *) found_name;
	static _Atomic bool asked;

	if (!atomic_load_explicit(&asked, memory_order_acquire)) {
		const char *n = NULL;
		sha256_blocks_fn *f = sha256_hardware(&n);
		atomic_store_explicit(&found, f, memory_order_relaxed);
		atomic_store_explicit(&found_name, n, memory_order_relaxed);
		atomic_store_explicit(&asked, true, memory_order_release);
	}
	if (name)
		*name = atomic_load_explicit(&found_name, memory_order_relaxed);
	return atomic_load_explicit(&found, memory_order_relaxed);
}

static void sha256_blocks(uint32_t h[8], const unsigned char *p, size_t n)
{
	sha256_blocks_fn *f = hash_portable ? NULL : hardware(NULL);

	(f ? f : portable_blocks)(h, p, n);
}

const char *hash_implementation(void)
{
	const char *name = "bearssl";

	if (!hash_portable && hardware(NULL))
		hardware(&name);
	return name;
}

static void sha256_init(struct hash *h)
{
	static const uint32_t start[8] = {
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
		0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	};

	memcpy(h->u.s256.h, start, sizeof(start));
	h->u.s256.n = 0;
}

static void sha256_update(struct hash *h, struct span data)
{
	size_t have = h->u.s256.n % 64, whole;

	h->u.s256.n += data.n;
	if (have) {
		size_t n = MIN(64 - have, data.n);
		memcpy(h->u.s256.block + have, data.p, n);
		data = span_tail(data, n);
		if (have + n < 64)
			return;
		sha256_blocks(h->u.s256.h, h->u.s256.block, 1);
	}
	whole = data.n / 64;
	if (whole)
		sha256_blocks(h->u.s256.h, data.p, whole);
	if (data.n % 64)
		memcpy(h->u.s256.block, data.p + 64 * whole, data.n % 64);
}

static void sha256_final(struct hash *h, unsigned char *out)
{
	size_t have = h->u.s256.n % 64;
	uint64_t bits = h->u.s256.n * 8;
	unsigned char *block = h->u.s256.block;

	block[have++] = 0x80;
	if (have > 56) {
		memset(block + have, 0, 64 - have);
		sha256_blocks(h->u.s256.h, block, 1);
		have = 0;
	}
	memset(block + have, 0, 56 - have);
	for (int i = 0; i < 8; i++)
		block[56 + i] = bits >> (56 - 8 * i);
	sha256_blocks(h->u.s256.h, block, 1);
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < 4; j++)
			out[4 * i + j] = h->u.s256.h[i] >> (24 - 8 * j);
}

void hash_init(struct hash *h, enum hash_alg alg)
{
	h->alg = alg;
	if (alg == HASH_SHA512)
		br_sha512_init((br_sha512_context *)h->u.space);
	else
		sha256_init(h);
}

void hash_update(struct hash *h, struct span data)
{
	if (!data.n)
		return;
	if (h->alg == HASH_SHA512)
		br_sha512_update((br_sha512_context *)h->u.space, data.p, data.n);
	else
		sha256_update(h, data);
}

size_t hash_final(struct hash *h, unsigned char out[HASH_MAX])
{
	if (h->alg == HASH_SHA512)
		br_sha512_out((br_sha512_context *)h->u.space, out);
	else
		sha256_final(h, out);
	return hash_size(h->alg);
}

size_t hash_size(enum hash_alg alg)
{
	return alg == HASH_SHA512 ? 64 : 32;
}

void hash_once(enum hash_alg alg, struct span data, unsigned char out[HASH_MAX])
{
	struct hash h;

	hash_init(&h, alg);
	hash_update(&h, data);
	hash_final(&h, out);
}

void hash_look(void *hash, struct span w)
{
	hash_update(hash, w);
}
