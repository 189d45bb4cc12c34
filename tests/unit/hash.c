/* SHA-256 and SHA-512 by each implementation, and the streams that hash: stream_hash, stream_verify. */
#include "libcommon/codec.h"
#include "tests/unit/chopped.h"
#include "tests/unit/tap.h"

static unsigned char data[200000];

static const char *hex(enum hash_alg alg, struct span s)
{
	static char text[2 * HASH_MAX + 1];
	unsigned char v[HASH_MAX];

	hash_once(alg, s, v);
	num_to_hex(v, hash_size(alg), text);
	return text;
}

/* FIPS 180-4's examples, and a million of "a". */
static void vectors(void)
{
	_cleanup_(buf_release) struct buf a = BUF_INIT;
	struct span two = SPAN("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq");

	is_str(hex(HASH_SHA256, SPAN("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	       "sha256 of nothing");
	is_str(hex(HASH_SHA256, SPAN("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
	       "sha256 of abc");
	is_str(hex(HASH_SHA256, two), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
	       "sha256 of two blocks");
	for (int i = 0; i < 1000000; i++)
		buf_addc(&a, 'a');
	is_str(hex(HASH_SHA256, buf_span(&a)), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
	       "sha256 of a million a");
	is_str(hex(HASH_SHA512, SPAN("abc")),
	       "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
	       "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
	       "sha512 of abc");
}

/* All lengths around the block's edges, all alignments, all ways to cut: one implementation against the other. */
static void against_each_other(void)
{
	bool same = true, cuts = true;

	for (size_t n = 0; n < 300; n++) {
		unsigned char a[HASH_MAX], b[HASH_MAX];
		struct span s = span_of(data + n % 17, n);
		struct hash h;

		hash_portable = true;
		hash_once(HASH_SHA256, s, a);
		hash_portable = false;
		hash_once(HASH_SHA256, s, b);
		same = same && !memcmp(a, b, 32);
		for (size_t cut = 0; cut <= n; cut += 13) {
			hash_init(&h, HASH_SHA256);
			hash_update(&h, span_of(s.p, cut));
			hash_update(&h, span_tail(s, cut));
			cuts = cuts && hash_final(&h, a) == 32 && !memcmp(a, b, 32);
		}
	}
	ok(same, "%s and the portable code agree", hash_implementation());
	ok(cuts, "a message may come in pieces");
}

static void hashing_stream(void)
{
	for (size_t window = 1; window < sizeof(data); window = window * 37 + 1) {
		_cleanup_(buf_release) struct buf got = BUF_INIT;
		unsigned char a[HASH_MAX], b[HASH_MAX];
		struct stream *s = stream_hash(chopped_open(span_of(data, sizeof(data)), window, 0), HASH_SHA256);

		int r = stream_read_all(s, sizeof(data), &got);
		stream_hash_final(s, a);
		stream_close(s);
		hash_once(HASH_SHA256, span_of(data, sizeof(data)), b);
		ok(!r && got.n == sizeof(data) && !memcmp(a, b, 32), "stream_hash, windows of %zu", window);
	}
	_cleanup_(buf_release) struct buf got = BUF_INIT;
	is_num(drink(stream_hash(chopped_open(SPAN("abc"), 2, -EIO), HASH_SHA512), 0, &got), -EIO,
	       "stream_hash passes an error on");
}

struct verdict {
	int r;
	size_t passed;
};

static struct verdict verify(struct span s, uint64_t size, size_t window, size_t pull, bool spoil,
			      bool shared)
{
	_cleanup_(buf_release) struct buf got = BUF_INIT;
	_cleanup_(crew_freep) struct crew *crew = crew_new(hash_look);
	unsigned char want[HASH_MAX];
	enum hash_alg alg = window % 2 ? HASH_SHA256 : HASH_SHA512;

	hash_once(alg, span_of(s.p, MIN(s.n, size)), want);
	want[hash_size(alg) - 1] ^= spoil;
	struct stream *v = stream_verify(chopped_open(s, window, 0), alg, want, size);
	if (shared) {
		/* as who looks at the first bytes before he knows what to do with the rest */
		stream_peek(v);
		stream_verify_share(v, crew);
	}
	int r = drink(v, pull, &got);
	if (memcmp(got.p ? got.p : (void *)"", s.p, got.n))
		r = -EBADMSG;
	return (struct verdict){ r, got.n };
}

static void verifying_stream(bool shared)
{
	const char *how = shared ? ", hashing as a crew's chore" : "";
	static const size_t sizes[] = { 0, 1, 511, 512, 513, 1024, 65536, 70001 };
	static const size_t windows[] = { 1, 100, 511, 512, 4096, 100000 };
	static const size_t pulls[] = { 0, 1, 700, 100000 };
	bool whole = true, bad = true, cut = true, more = true;

	for (size_t i = 0; i < ARRAY_LEN(sizes) * ARRAY_LEN(windows) * ARRAY_LEN(pulls); i++) {
		size_t n = sizes[i % ARRAY_LEN(sizes)], pull = pulls[i / ARRAY_LEN(sizes) / ARRAY_LEN(windows)];
		size_t w = windows[i / ARRAY_LEN(sizes) % ARRAY_LEN(windows)], open = n > 512 ? n - 512 : 0;
		struct span s = span_of(data, n);

		struct verdict v = verify(s, n, w, pull, false, shared);
		whole = whole && v.r == 0 && v.passed == n;
		v = verify(s, n, w, pull, true, shared);
		bad = bad && v.r == E_DIGEST && v.passed == open;
		v = verify(s, n + 1, w, pull, false, shared);
		cut = cut && v.r == E_TRUNCATED && v.passed <= n && v.passed + 512 >= n;
		v = verify(span_of(data, n + 1), n, w, pull, false, shared);
		more = more && v.r == E_SIZE && v.passed == open;
	}
	ok(whole, "stream_verify passes what is right%s", how);
	ok(bad, "stream_verify holds the last 512 bytes back when the digest is wrong%s", how);
	ok(cut, "stream_verify tells what is too short%s", how);
	ok(more, "stream_verify tells what is too long, and holds back%s", how);
}

int main(void)
{
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 7 + (i >> 8));
	vectors();
	hash_portable = true;
	is_str(hash_implementation(), "bearssl", "the fall-back is asked for");
	vectors();
	hash_portable = false;
	against_each_other();
	hashing_stream();
	verifying_stream(false);
	verifying_stream(true);
	return done_testing();
}
