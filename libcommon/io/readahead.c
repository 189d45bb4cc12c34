/*
 * A stream whose source runs on a thread of its own, with a ring of windows between.
 *
 * The producer fills whole windows straight into the ring; the consumer sees one window at a time. Each side takes the lock once a window and wakes
 * the other only where it sleeps. The producer hands a part-filled window over when the source runs slow (a pipe, a socket) only if the consumer waits.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "libcommon/io.h"

struct slot {
	unsigned char *p;
	size_t n;
};

struct readahead {
	struct stream s;
	struct stream *src;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned slots_n;
	unsigned filled;  /* windows handed over, ever */
	unsigned emptied; /* windows given back, ever */
	bool showing;     /* the consumer's window is slot emptied % slots_n */
	bool done, stop, reader_waits, writer_waits;
	int src_err;
	unsigned char *ring;
	struct slot slot[];
};

/* Waits for a free slot; NULL when the consumer is gone. */
static struct slot *slot_to_fill(struct readahead *r)
{
	pthread_mutex_lock(&r->lock);
	while (!r->stop && r->filled - r->emptied == r->slots_n) {
		r->writer_waits = true;
		pthread_cond_wait(&r->changed, &r->lock);
	}
	r->writer_waits = false;
	struct slot *slot = r->stop ? NULL : &r->slot[r->filled % r->slots_n];
	pthread_mutex_unlock(&r->lock);
	return slot;
}

static void hand_over(struct readahead *r, bool filled, bool done)
{
	pthread_mutex_lock(&r->lock);
	r->filled += filled;
	if (done) {
		r->done = true;
		r->src_err = r->src->err;
	}
	bool wake = r->reader_waits;
	pthread_mutex_unlock(&r->lock);
	if (wake)
		pthread_cond_signal(&r->changed);
}

static bool reader_is_starved(struct readahead *r)
{
	pthread_mutex_lock(&r->lock);
	bool starved = r->reader_waits || r->stop;
	pthread_mutex_unlock(&r->lock);
	return starved;
}

static void *produce(void *arg)
{
	struct readahead *r = arg;
	for (bool done = false; !done;) {
		struct slot *slot = slot_to_fill(r);
		if (!slot)
			return NULL;
		slot->n = 0;
		while (slot->n < STREAM_WINDOW) {
			size_t got = stream_pull(r->src, slot->p + slot->n, STREAM_WINDOW - slot->n);
			slot->n += got;
			done = got == 0;
			if (done || (slot->n < STREAM_WINDOW && reader_is_starved(r)))
				break;
		}
		hand_over(r, slot->n > 0, done);
	}
	return NULL;
}

static void readahead_fill(struct stream *s)
{
	struct readahead *r = (struct readahead *)s;
	pthread_mutex_lock(&r->lock);
	if (r->showing)
		r->emptied++;
	bool wake = r->showing && r->writer_waits;
	r->showing = false;
	if (wake)
		pthread_cond_signal(&r->changed);
	while (r->filled == r->emptied && !r->done) {
		r->reader_waits = true;
		pthread_cond_wait(&r->changed, &r->lock);
	}
	r->reader_waits = false;
	r->showing = r->filled != r->emptied;
	pthread_mutex_unlock(&r->lock);
	if (r->showing) {
		struct slot *slot = &r->slot[r->emptied % r->slots_n];
		s->pos = slot->p;
		s->end = slot->p + slot->n;
	} else if (r->src_err) {
		stream_fail(s, r->src_err);
	} else {
		s->eof = true;
	}
}

static void readahead_close(struct stream *s)
{
	struct readahead *r = (struct readahead *)s;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_mutex_unlock(&r->lock);
	pthread_cond_signal(&r->changed);
	pthread_join(r->thread, NULL);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	stream_close(r->src);
	munmap(r->ring, (size_t)r->slots_n * STREAM_WINDOW);
	free(r);
}

static const struct stream_ops readahead_ops = { .fill = readahead_fill, .close = readahead_close };

struct stream *stream_readahead(struct stream *src, size_t ring)
{
	unsigned n = (unsigned)MAX((ring ? ring : (size_t)MIB(1)) / STREAM_WINDOW, (size_t)2);
	size_t bytes = (size_t)n * STREAM_WINDOW;
	unsigned char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return src;
	struct readahead *r = xcalloc(1, sizeof(*r) + n * sizeof(r->slot[0]));
	r->s.ops = &readahead_ops;
	r->src = src;
	r->slots_n = n;
	r->ring = memory;
	for (unsigned i = 0; i < n; i++)
		r->slot[i].p = memory + (size_t)i * STREAM_WINDOW;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	if (thread_start(&r->thread, produce, r) < 0) {
		munmap(memory, bytes);
		free(r);
		return src;
	}
	return &r->s;
}
