/* The sink of several threads: pieces in order, whatever finishes first; errors of what is below and of the work; ends in the middle. */
#include <stdlib.h>
#include <unistd.h>

#include "libcommon/codec.h"
#include "tests/unit/tap.h"

enum { BLOCK = 1000 };

/* ---- what is below ---- */
struct keep {
	struct sink s;
	struct buf got;
	size_t fails_after; /* bytes; SIZE_MAX: never */
	bool flushed;
	bool *closed;
};

static void keep_write(struct sink *s, struct span data)
{
	struct keep *k = (struct keep *)s;

	if (k->got.n + data.n > k->fails_after)
		s->err = -ENOSPC;
	else
		buf_add_span(&k->got, data);
}

static void keep_flush(struct sink *s)
{
	((struct keep *)s)->flushed = true;
}

static void keep_close(struct sink *s)
{
	*((struct keep *)s)->closed = true;
}

static const struct sink_ops keep_ops = { keep_write, keep_flush, keep_close };

/* ---- the work: each byte turned, the length in front; pieces take as long as their first byte says ---- */
static atomic_int opened, closed_states, at_work, most_at_work;
static int bad_piece = -1;
static bool meets; /* the first piece is at work until there is another */

static void *work_open(void *arg)
{
	(void)arg;
	atomic_fetch_add(&opened, 1);
	return &opened;
}

static size_t work(void *state, struct span in, unsigned char *out)
{
	int now = atomic_fetch_add(&at_work, 1) + 1;

	if (now > atomic_load(&most_at_work))
		atomic_store(&most_at_work, now);
	(void)state;
	for (unsigned i = 0; meets && atomic_load(&most_at_work) < 2 && i < 60000; i++)
		usleep(1000);
	usleep((useconds_t)(in.p[0] % 7) * 300);
	memcpy(out, &in.n, sizeof(in.n));
	for (size_t i = 0; i < in.n; i++)
		out[sizeof(in.n) + i] = in.p[i] ^ 0x5a;
	atomic_fetch_sub(&at_work, 1);
	return in.p[0] == bad_piece ? 0 : sizeof(in.n) + in.n;
}

static void work_close(void *state)
{
	(void)state;
	atomic_fetch_add(&closed_states, 1);
}

static const struct parallel_ops ops = { BLOCK, BLOCK + sizeof(size_t), work_open, work, work_close };

/* The byte at i: the first one of each piece is the piece's number. */
static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i % BLOCK ? i * 31 >> 3 : i / BLOCK);
}

/* Writes total bytes in pushes of odd sizes; the error, if there is one. */
static int push(struct sink *s, size_t total)
{
	unsigned char w[2500];

	for (size_t at = 0, n; at < total; at += n) {
		n = MIN(total - at, 1 + at * 7 % sizeof(w));
		for (size_t i = 0; i < n; i++)
			w[i] = byte_at(at + i);
		sink_write(s, span_of(w, n));
	}
	return s->err;
}

static bool in_order(const struct buf *got, size_t total)
{
	size_t at = 0;

	for (size_t i = 0; i < got->n;) {
		size_t n;
		memcpy(&n, got->p + i, sizeof(n));
		i += sizeof(n);
		if (n != MIN(total - at, (size_t)BLOCK))
			return false;
		for (size_t k = 0; k < n; k++)
			if ((got->p[i + k] ^ 0x5a) != byte_at(at + k))
				return false;
		i += n;
		at += n;
	}
	return at == total;
}

static void fresh(struct keep *k, bool *gone)
{
	*k = (struct keep){ .s.ops = &keep_ops, .fails_after = SIZE_MAX, .closed = gone };
	*gone = false;
}

static struct sink *begin(struct keep *k, bool *gone, unsigned threads)
{
	fresh(k, gone);
	atomic_store(&opened, 0);
	atomic_store(&closed_states, 0);
	atomic_store(&most_at_work, 0);
	return sink_parallel(&k->s, &ops, NULL, threads);
}

static void end(struct sink *s, struct keep *k)
{
	sink_close(s);
	buf_release(&k->got);
}

static void test_order(void)
{
	static const unsigned threads[] = { 0, 1, 2, 5, 64, 1000 };
	static const size_t totals[] = { 0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 60 * BLOCK + 17 };
	struct keep k;
	bool gone;

	for (size_t t = 0; t < ARRAY_LEN(threads); t++) {
		bool good = true;
		for (size_t i = 0; i < ARRAY_LEN(totals); i++) {
			struct sink *s = begin(&k, &gone, threads[t]);
			meets = threads[t] > 1 && totals[i] > 2 * BLOCK;
			good &= push(s, totals[i]) == 0 && sink_flush(s) == 0 && k.flushed;
			good &= s->offset == totals[i] && in_order(&k.got, totals[i]);
			end(s, &k);
			good &= gone && atomic_load(&opened) == atomic_load(&closed_states);
		}
		meets = false;
		ok(good, "%u threads: all pieces, in order; what was opened is closed", threads[t]);
		ok(threads[t] < 2 || atomic_load(&most_at_work) > 1, "%u threads: several at work at a time", threads[t]);
	}
}

static void test_errors(void)
{
	static const unsigned threads[] = { 0, 1, 4 };
	struct keep k;
	bool gone;

	for (size_t t = 0; t < ARRAY_LEN(threads); t++) {
		struct sink *s = begin(&k, &gone, threads[t]);
		k.fails_after = 10 * BLOCK;
		is_num(push(s, 100 * BLOCK), -ENOSPC, "what is below fails: the error, while still writing");
		is_num(sink_flush(s), -ENOSPC, "and it stays");
		ok(!k.flushed && k.got.n && k.got.n <= 10 * BLOCK, "nothing more goes below");
		end(s, &k);
		ok(gone && atomic_load(&opened) == atomic_load(&closed_states), "closed after it");

		s = begin(&k, &gone, threads[t]);
		k.fails_after = 3 * BLOCK + 100;
		push(s, 3 * BLOCK + 90);
		is_num(sink_flush(s), -ENOSPC, "at the flush: the error");
		end(s, &k);

		bad_piece = 20;
		s = begin(&k, &gone, threads[t]);
		push(s, 60 * BLOCK);
		is_num(sink_flush(s), E_IO, "work that fails: the error");
		is_num(k.got.n, 20 * (BLOCK + sizeof(size_t)), "all before that piece went on, nothing from it on");
		end(s, &k);
		bad_piece = -1;
	}
}

static void test_ends(void)
{
	struct keep k;
	bool gone, good = true;

	for (unsigned i = 0; i < 30; i++) {
		struct sink *s = begin(&k, &gone, i % 5);
		push(s, i * BLOCK / 2);
		sink_close(s);
		good &= gone && atomic_load(&opened) == atomic_load(&closed_states);
		buf_release(&k.got);
	}
	ok(good, "closed with pieces at work");
}

/* What is compressed does not depend on the threads, nor on how it was pushed. */
static void test_compressed(enum compression kind, const char *name)
{
	static const unsigned threads[] = { 0, 1, 2, 8 };
	const struct compression_choice c = { .kind = kind };
	struct buf first = BUF_INIT;
	bool gone, same = true;

	if (compression_check(&c, NULL) < 0) {
		skip("not in this build");
		return;
	}
	for (size_t t = 0; t < ARRAY_LEN(threads); t++) {
		struct keep k;
		fresh(&k, &gone);
		struct sink *s = sink_compress(&k.s, &c, threads[t]);
		for (size_t at = 0; at < 5000000; at += 1 + at % 70001 + t) {
			static unsigned char w[80000];
			size_t n = MIN(1 + at % 70001 + t, 5000000 - at);
			for (size_t i = 0; i < n; i++)
				w[i] = (unsigned char)((at + i) * 2654435761u >> 21);
			sink_write(s, span_of(w, n));
		}
		sink_flush(s);
		if (!t)
			first = k.got;
		same &= k.got.n == first.n && memcmp(k.got.p, first.p, first.n) == 0;
		if (t)
			buf_release(&k.got);
		k.got = BUF_INIT;
		sink_close(s);
	}
	ok(same && first.n, "%s: the same bytes with any number of threads", name);
	buf_release(&first);
}

int main(void)
{
	test_order();
	test_errors();
	test_ends();
	test_compressed(COMPRESSION_GZIP, "gzip");
	test_compressed(COMPRESSION_ZSTD, "zstd");
	return done_testing();
}
