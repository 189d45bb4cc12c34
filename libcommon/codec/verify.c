/* Streams that hash what passes through them. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "libcommon/codec.h"

/* ---- stream_hash ---- */

struct hash_stream {
	struct stream s;
	struct stream *src;
	size_t lent; /* bytes of src's window that our reader has */
	struct hash hash;
};

static void end_as(struct stream *s, const struct stream *src)
{
	if (src->err)
		stream_fail(s, src->err);
	else
		s->eof = true;
}

static void hash_stream_fill(struct stream *s)
{
	struct hash_stream *h = (struct hash_stream *)s;

	stream_skip(h->src, h->lent);
	struct span w = stream_peek(h->src);
	h->lent = w.n;
	if (!w.n) {
		end_as(s, h->src);
		return;
	}
	hash_update(&h->hash, w);
	s->pos = w.p;
	s->end = w.p + w.n;
}

static size_t hash_stream_pull(struct stream *s, unsigned char *out, size_t n)
{
	struct hash_stream *h = (struct hash_stream *)s;

	stream_skip(h->src, h->lent);
	h->lent = 0;
	size_t got = stream_pull(h->src, out, n);
	if (got)
		hash_update(&h->hash, span_of(out, got));
	else
		end_as(s, h->src);
	return got;
}

static void hash_stream_close(struct stream *s)
{
	stream_close(((struct hash_stream *)s)->src);
	free(s);
}

static const struct stream_ops hash_stream_ops = {
	.fill = hash_stream_fill,
	.close = hash_stream_close,
	.pull = hash_stream_pull,
};

struct stream *stream_hash(struct stream *src, enum hash_alg alg)
{
	struct hash_stream *h = xcalloc(1, sizeof(*h));

	h->s.ops = &hash_stream_ops;
	h->src = src;
	hash_init(&h->hash, alg);
	return &h->s;
}

size_t stream_hash_final(struct stream *s, unsigned char out[HASH_MAX])
{
	struct hash copy = ((struct hash_stream *)s)->hash;

	return hash_final(&copy, out);
}

/* ---- stream_verify ---- */

enum { HELD_BACK = 512, SHARED_WINDOWS = 4 };

struct verify_stream {
	struct stream s;
	struct stream *src;
	size_t lent;   /* bytes of src's window that our reader has or that we took */
	uint64_t open; /* bytes that may still pass before the digest is known */
	uint64_t left; /* bytes still to come from src */
	struct hash hash;
	unsigned char want[HASH_MAX];
	struct chore *chore; /* NULL: hashed here */
	unsigned char *ring; /* the chore's windows */
	unsigned ring_next;
	size_t held_n;
	bool verified;
	unsigned char held[HELD_BACK];
};

static void source_ended(struct verify_stream *v)
{
	stream_fail(&v->s, v->src->err ? v->src->err : E_TRUNCATED);
}

/* The last bytes are in: they pass if nothing follows them and the digest is right. */
static void verify_end(struct verify_stream *v)
{
	unsigned char got[HASH_MAX];

	if (v->chore)
		chore_settle(v->chore, 0);
	if (stream_peek(v->src).n) {
		stream_fail(&v->s, E_SIZE);
		return;
	}
	if (v->src->err) {
		stream_fail(&v->s, v->src->err);
		return;
	}
	if (memcmp(got, v->want, hash_final(&v->hash, got))) {
		stream_fail(&v->s, E_DIGEST);
		return;
	}
	v->verified = true;
	v->s.pos = v->held;
	v->s.end = v->held + v->held_n;
	v->s.eof = !v->held_n;
}

/* The next bytes, hashed or to be hashed; *lent of them are in the source's window. */
static struct span take_window(struct verify_stream *v, size_t *lent)
{
	struct span w;

	*lent = 0;
	if (v->chore) {
		chore_settle(v->chore, SHARED_WINDOWS - 1);
		w.p = v->ring + (size_t)v->ring_next * STREAM_WINDOW;
		w.n = stream_pull(v->src, (unsigned char *)w.p,
				  (size_t)MIN((uint64_t)STREAM_WINDOW, v->left));
		v->ring_next = (v->ring_next + 1) % SHARED_WINDOWS;
		if (w.n)
			chore_post(v->chore, w);
		return w;
	}
	w = stream_peek(v->src);
	w.n = (size_t)MIN((uint64_t)w.n, v->left);
	*lent = w.n;
	if (w.n)
		hash_update(&v->hash, w);
	return w;
}

static void verify_fill(struct stream *s)
{
	struct verify_stream *v = (struct verify_stream *)s;

	stream_skip(v->src, v->lent);
	v->lent = 0;
	if (v->verified) {
		s->eof = true;
		return;
	}
	while (v->left) {
		size_t lent;
		struct span w = take_window(v, &lent);
		if (!w.n) {
			source_ended(v);
			return;
		}
		v->left -= w.n;
		size_t pass = (size_t)MIN((uint64_t)w.n, v->open), hold = w.n - pass;
		if (hold) {
			memcpy(v->held + v->held_n, w.p + pass, hold);
			v->held_n += hold;
		}
		v->open -= pass;
		if (pass) {
			v->lent = lent;
			s->pos = w.p;
			s->end = w.p + pass;
			return;
		}
		stream_skip(v->src, lent);
	}
	verify_end(v);
}

static size_t verify_pull(struct stream *s, unsigned char *out, size_t n)
{
	struct verify_stream *v = (struct verify_stream *)s;

	if (!v->open || v->chore) {
		verify_fill(s);
		n = MIN(n, (size_t)(s->end - s->pos));
		if (!n)
			return 0;
		memcpy(out, s->pos, n);
		s->pos += n;
		return n;
	}
	stream_skip(v->src, v->lent);
	v->lent = 0;
	n = stream_pull(v->src, out, (size_t)MIN((uint64_t)n, v->open));
	if (!n) {
		source_ended(v);
		return 0;
	}
	hash_update(&v->hash, span_of(out, n));
	v->open -= n;
	v->left -= n;
	return n;
}

static void verify_close(struct stream *s)
{
	struct verify_stream *v = (struct verify_stream *)s;

	stream_close(v->src);
	if (v->ring)
		munmap(v->ring, (size_t)SHARED_WINDOWS * STREAM_WINDOW);
	free(v);
}

static const struct stream_ops verify_ops = { .fill = verify_fill,
					      .close = verify_close,
					      .pull = verify_pull };

struct stream *stream_verify(struct stream *src, enum hash_alg alg, const unsigned char *want,
			     uint64_t size)
{
	struct verify_stream *v = xcalloc(1, sizeof(*v));

	v->s.ops = &verify_ops;
	v->src = src;
	v->left = size;
	v->open = size > HELD_BACK ? size - HELD_BACK : 0;
	memcpy(v->want, want, hash_size(alg));
	hash_init(&v->hash, alg);
	return &v->s;
}

void stream_verify_share(struct stream *s, struct crew *c)
{
	struct verify_stream *v = (struct verify_stream *)s;

	if (s->ops != &verify_ops || v->chore)
		return;
	v->ring = mmap(NULL, (size_t)SHARED_WINDOWS * STREAM_WINDOW, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (v->ring == MAP_FAILED)
		v->ring = NULL;
	else
		v->chore = crew_chore(c, &v->hash);
}
