/*
 * A sink that cuts what it is given into pieces of one size and changes them on several threads; what they become goes on in order.
 *
 * The pieces stand in a ring: the writer fills one while the workers are at others, and hands on what is done whenever the ring is full.
 * So memory is that of the ring, and nothing about the result depends on the threads.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/io.h"

enum { WORKERS_MAX = 64 };

struct piece {
	unsigned char *in, *out;
	size_t n, out_n;
	bool done;
};

struct parallel {
	struct sink s;
	struct sink *below;
	const struct parallel_ops *ops;
	void *arg;
	void *own; /* the state of the writer's thread, where there are no others */
	pthread_mutex_t lock;
	pthread_cond_t work, done;
	bool stop;
	unsigned filled;  /* pieces handed to the workers, ever */
	unsigned taken;	  /* by them */
	unsigned emptied; /* pieces gone on below */
	unsigned pieces_n, threads_n;
	pthread_t threads[WORKERS_MAX];
	struct piece piece[];
};

static struct piece *piece_at(struct parallel *p, unsigned i)
{
	return &p->piece[i % p->pieces_n];
}

static void change(struct parallel *p, void *state, struct piece *piece)
{
	piece->out_n = p->ops->work(state, span_of(piece->in, piece->n), piece->out);
}

static void *worker(void *arg)
{
	struct parallel *p = arg;
	void *state = p->ops->open(p->arg);

	pthread_mutex_lock(&p->lock);
	for (;;) {
		while (!p->stop && p->taken == p->filled)
			pthread_cond_wait(&p->work, &p->lock);
		if (p->stop)
			break;
		struct piece *piece = piece_at(p, p->taken++);
		pthread_mutex_unlock(&p->lock);
		change(p, state, piece);
		pthread_mutex_lock(&p->lock);
		piece->done = true;
		if (piece == piece_at(p, p->emptied))
			pthread_cond_signal(&p->done);
	}
	pthread_mutex_unlock(&p->lock);
	p->ops->close(state);
	return NULL;
}

/* The oldest piece goes on below. */
static void hand_on(struct parallel *p)
{
	struct piece *piece = piece_at(p, p->emptied);

	if (p->threads_n) {
		pthread_mutex_lock(&p->lock);
		while (!piece->done)
			pthread_cond_wait(&p->done, &p->lock);
		pthread_mutex_unlock(&p->lock);
	} else {
		if (!p->own)
			p->own = p->ops->open(p->arg);
		change(p, p->own, piece);
	}
	sink_write(p->below, span_of(piece->out, piece->out_n));
	if (!p->s.err)
		p->s.err = piece->out_n ? p->below->err : E_IO;
	/* Workers look which piece is the oldest. */
	pthread_mutex_lock(&p->lock);
	piece->done = false;
	piece->n = 0;
	p->emptied++;
	pthread_mutex_unlock(&p->lock);
}

static void submit(struct parallel *p)
{
	pthread_mutex_lock(&p->lock);
	p->filled++;
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->lock);
	if (p->filled - p->emptied == p->pieces_n)
		hand_on(p);
}

static void parallel_write(struct sink *s, struct span data)
{
	struct parallel *p = (struct parallel *)s;

	while (data.n && !s->err) {
		struct piece *piece = piece_at(p, p->filled);
		size_t n = MIN(data.n, p->ops->block - piece->n);
		memcpy(piece->in + piece->n, data.p, n);
		piece->n += n;
		data = span_tail(data, n);
		if (piece->n == p->ops->block)
			submit(p);
	}
}

/* Ends the present piece, so that the bytes before and after are never in one. */
static void parallel_flush(struct sink *s)
{
	struct parallel *p = (struct parallel *)s;

	if (piece_at(p, p->filled)->n)
		submit(p);
	while (!s->err && p->emptied != p->filled)
		hand_on(p);
	if (!s->err)
		s->err = sink_flush(p->below);
}

static void parallel_close(struct sink *s)
{
	struct parallel *p = (struct parallel *)s;

	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->threads_n; i++)
		pthread_join(p->threads[i], NULL);
	if (p->own)
		p->ops->close(p->own);
	for (unsigned i = 0; i < p->pieces_n; i++) {
		free(p->piece[i].in);
		free(p->piece[i].out);
	}
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->done);
	pthread_mutex_destroy(&p->lock);
	sink_close(p->below);
	free(p);
}

static const struct sink_ops parallel_ops = { .write = parallel_write,
					      .flush = parallel_flush,
					      .close = parallel_close };

struct sink *sink_parallel(struct sink *below, const struct parallel_ops *ops, void *arg,
			   unsigned threads)
{
	threads = MIN(threads, (unsigned)WORKERS_MAX);
	unsigned pieces = threads ? threads + 2 : 1;
	struct parallel *p = xcalloc(1, sizeof(*p) + pieces * sizeof(p->piece[0]));

	p->s.ops = &parallel_ops;
	p->below = below;
	p->ops = ops;
	p->arg = arg;
	p->pieces_n = pieces;
	for (unsigned i = 0; i < pieces; i++) {
		p->piece[i].in = xmalloc(ops->block);
		p->piece[i].out = xmalloc(ops->out_max);
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->done, NULL);
	while (p->threads_n < threads && thread_start(&p->threads[p->threads_n], worker, p) == 0)
		p->threads_n++;
	return &p->s;
}
