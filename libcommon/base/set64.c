/* A set of 64-bit keys, SipHash, and random bytes. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <unistd.h>

#include "libcommon/base.h"

void set64_release(struct set64 *s)
{
	free(s->v);
	*s = (struct set64){ 0 };
}

static size_t slot_of(const struct set64 *s, uint64_t key)
{
	size_t i = (size_t)((key * 0x9e3779b97f4a7c15u) >> 20) & (s->cap - 1);
	while (s->v[i] && s->v[i] != key)
		i = (i + 1) & (s->cap - 1);
	return i;
}

bool set64_has(const struct set64 *s, uint64_t key)
{
	if (key == 0)
		return s->has_zero;
	return s->cap && s->v[slot_of(s, key)] == key;
}

static void grow(struct set64 *s)
{
	struct set64 bigger = { .cap = s->cap ? s->cap * 2 : 1024,
				.n = s->n,
				.has_zero = s->has_zero };
	bigger.v = xcalloc(bigger.cap, sizeof(*bigger.v));
	for (size_t i = 0; i < s->cap; i++)
		if (s->v[i])
			bigger.v[slot_of(&bigger, s->v[i])] = s->v[i];
	free(s->v);
	*s = bigger;
}

bool set64_add(struct set64 *s, uint64_t key)
{
	if (key == 0) {
		bool fresh = !s->has_zero;
		s->has_zero = true;
		return fresh;
	}
	if (s->n + 1 > s->cap / 4 * 3)
		grow(s);
	size_t i = slot_of(s, key);
	if (s->v[i] == key)
		return false;
	s->v[i] = key;
	s->n++;
	return true;
}

void set64_clear(struct set64 *s)
{
	if (s->cap)
		memset(s->v, 0, s->cap * sizeof(*s->v));
	s->n = 0;
	s->has_zero = false;
}

static uint64_t load64(const unsigned char *p)
{
	uint64_t v = 0;
	for (int i = 7; i >= 0; i--)
		v = v << 8 | p[i];
	return v;
}

static uint64_t rotl(uint64_t x, int b)
{
	return x << b | x >> (64 - b);
}

static void sip_rounds(uint64_t v[4], int n)
{
	while (n-- > 0) {
		v[0] += v[1];
		v[1] = rotl(v[1], 13) ^ v[0];
		v[0] = rotl(v[0], 32);
		v[2] += v[3];
		v[3] = rotl(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotl(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotl(v[1], 17) ^ v[2];
		v[2] = rotl(v[2], 32);
	}
}

uint64_t siphash(const unsigned char key[16], const void *data, size_t n)
{
	const unsigned char *p = data;
	uint64_t k0 = load64(key), k1 = load64(key + 8);
	uint64_t v[4] = { k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
			  k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u };
	uint64_t last = (uint64_t)n << 56;
	size_t whole = n & ~(size_t)7;
	for (size_t i = 0; i < whole; i += 8) {
		uint64_t m = load64(p + i);
		v[3] ^= m;
		sip_rounds(v, 2);
		v[0] ^= m;
	}
	for (size_t i = whole; i < n; i++)
		last |= (uint64_t)p[i] << (8 * (i - whole));
	v[3] ^= last;
	sip_rounds(v, 2);
	v[0] ^= last;
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Early in boot, without entropy or devices: good enough for hash keys, which is all that asks here then. */
static void weak_bytes(unsigned char *p, size_t n)
{
	unsigned char key[16] = { 0 };
	const void *at_random = (const void *)getauxval(AT_RANDOM);
	if (at_random)
		memcpy(key, at_random, sizeof(key));
	for (size_t i = 0; i < n; i += 8) {
		uint64_t in[3] = { clock_us(), (uint64_t)getpid(), i };
		uint64_t v = siphash(key, in, sizeof(in));
		memcpy(p + i, &v, MIN(n - i, sizeof(v)));
	}
}

int random_bytes(void *out, size_t n)
{
	unsigned char *p = out;
	size_t have = 0;
	while (have < n) {
		ssize_t r = getrandom(p + have, n - have, GRND_NONBLOCK);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			break;
		have += (size_t)r;
	}
	if (have == n)
		return 0;
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	ssize_t r = fd < 0 ? -1 : read(fd, p + have, n - have);
	if (fd >= 0)
		close(fd);
	if (r == (ssize_t)(n - have))
		return 0;
	weak_bytes(p + have, n - have);
	return 0;
}
