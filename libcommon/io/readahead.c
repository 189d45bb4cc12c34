/*
 * A stream whose source runs on a thread of its own, with a ring of windows between.
 *
 * The producer fills whole windows straight into the ring; the consumer sees one window at a time. Each side takes the lock once a window and wakes
 * the other only where it sleeps. Where the source runs slow (a pipe, a socket) the consumer sees what there is of the window that is being filled.
 * Before either sleeps it helps with the chores of its crew. Without a thread the consumer fills one window at a time.
 *
 * Closing does not wait for a source that stays silent: the producer is cancelled. Cancellation is off in it but where it waits for input: here, for
 * another read-ahead below, and in stream_from_fd. Nothing is half done there, so what is below can be closed as ever.
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
	size_t partial; /* bytes of the window being filled, slot filled % slots_n, that the consumer may see */
	size_t shown; /* bytes of slot emptied % slots_n that it has seen */
	bool started;
	const atomic_bool *later;
	struct chore *chore; /* or NULL */
	bool done, stop, reader_waits, writer_waits;
	int src_err;
	unsigned char *ring;
	struct slot slot[];
};

/* For who would have to wait; lets go of the lock meanwhile. True where there was something to do. */
static bool helped(struct readahead *r)
{
	pthread_mutex_unlock(&r->lock);
	bool did = crew_help(chore_crew(r->chore));
	pthread_mutex_lock(&r->lock);
	return did;
}

/* Waits for a free slot; NULL when the consumer is gone. */
static struct slot *slot_to_fill(struct readahead *r)
{
	bool idle = false;
	pthread_mutex_lock(&r->lock);
	while (!r->stop && r->filled - r->emptied == r->slots_n) {
		if (r->chore && !idle) {
			idle = !helped(r);
			continue;
		}
		r->writer_waits = true;
		pthread_cond_wait(&r->changed, &r->lock);
		r->writer_waits = false;
		idle = false;
	}
	struct slot *slot = r->stop ? NULL : &r->slot[r->filled % r->slots_n];
	pthread_mutex_unlock(&r->lock);
	if (slot && r->chore)
		chore_settle(r->chore, r->slots_n - 1);
	return slot;
}

static void hand_over(struct readahead *r, bool filled, bool done)
{
	const struct slot *slot = &r->slot[r->filled % r->slots_n];
	if (filled && r->chore)
		chore_post(r->chore, span_of(slot->p, slot->n));
	pthread_mutex_lock(&r->lock);
	r->filled += filled;
	r->partial = 0;
	if (done) {
		r->done = true;
		r->src_err = r->src->err;
	}
	bool wake = r->reader_waits;
	pthread_mutex_unlock(&r->lock);
	if (wake)
		pthread_cond_signal(&r->changed);
}

/* false when the consumer is gone. */
static bool show_part(struct readahead *r, size_t n)
{
	pthread_mutex_lock(&r->lock);
	r->partial = n;
	bool wake = r->reader_waits, stop = r->stop;
	pthread_mutex_unlock(&r->lock);
	if (wake)
		pthread_cond_signal(&r->changed);
	return !stop;
}

/* One window; false at the end, or when the consumer is gone. */
static bool produce_one(struct readahead *r)
{
	struct slot *slot = slot_to_fill(r);
	bool done = false;
	if (!slot)
		return false;
	slot->n = 0;
	while (slot->n < STREAM_WINDOW) {
		size_t got = stream_pull(r->src, slot->p + slot->n, STREAM_WINDOW - slot->n);
		slot->n += got;
		done = got == 0;
		if (done || (slot->n < STREAM_WINDOW && (!r->started || !show_part(r, slot->n))))
			break;
	}
	hand_over(r, slot->n > 0, done);
	return !done;
}

static void *produce(void *arg)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	while (produce_one(arg))
		;
	return NULL;
}

static bool start(struct readahead *r)
{
	r->started = true;
	if (thread_start(&r->thread, produce, r) < 0)
		r->started = false;
	return r->started;
}

/* Without a thread, or before it: one window here. */
static void produce_here(struct readahead *r)
{
	if (r->later && atomic_load_explicit(r->later, memory_order_relaxed) && start(r))
		return;
	produce_one(r);
}

static void unlock(void *lock)
{
	pthread_mutex_unlock(lock);
}

/* Below the lock. */
static void wait_for_producer(struct readahead *r)
{
	int state;
	pthread_cleanup_push(unlock, &r->lock);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
	pthread_cond_wait(&r->changed, &r->lock);
	pthread_setcancelstate(state, NULL);
	pthread_cleanup_pop(0);
}

/* Below the lock: what there is beyond what was shown; false where there is none at present. */
static bool show_next(struct readahead *r)
{
	for (;;) {
		const struct slot *slot = &r->slot[r->emptied % r->slots_n];
		bool whole = r->filled != r->emptied;
		size_t n = whole ? slot->n : r->partial;
		if (r->shown < n) {
			r->s.pos = slot->p + r->shown;
			r->s.end = slot->p + n;
			r->shown = n;
			return true;
		}
		if (!whole)
			return false;
		r->emptied++;
		r->shown = 0;
		if (r->writer_waits)
			pthread_cond_signal(&r->changed);
	}
}

static void readahead_fill(struct stream *s)
{
	struct readahead *r = (struct readahead *)s;
	bool showing, idle = false;
	pthread_mutex_lock(&r->lock);
	while (!(showing = show_next(r)) && !r->done) {
		if (!r->started) {
			pthread_mutex_unlock(&r->lock);
			produce_here(r);
			pthread_mutex_lock(&r->lock);
			continue;
		}
		/* Helping lets go of the lock: look again. */
		if (r->chore && !idle) {
			idle = !helped(r);
			continue;
		}
		r->reader_waits = true;
		wait_for_producer(r);
		r->reader_waits = false;
		idle = false;
	}
	pthread_mutex_unlock(&r->lock);
	if (showing)
		return;
	if (r->src_err) {
		stream_fail(s, r->src_err);
		return;
	}
	if (r->chore)
		chore_settle(r->chore, 0);
	s->eof = true;
}

static void readahead_close(struct stream *s)
{
	struct readahead *r = (struct readahead *)s;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_mutex_unlock(&r->lock);
	pthread_cond_signal(&r->changed);
	if (r->started) {
		pthread_cancel(r->thread);
		pthread_join(r->thread, NULL);
	}
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->lock);
	stream_close(r->src);
	munmap(r->ring, (size_t)r->slots_n * STREAM_WINDOW);
	free(r);
}

static const struct stream_ops readahead_ops = { .fill = readahead_fill, .close = readahead_close };

static struct readahead *readahead_new(struct stream *src, unsigned slots)
{
	size_t bytes = (size_t)slots * STREAM_WINDOW;
	unsigned char *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return NULL;
	struct readahead *r = xcalloc(1, sizeof(*r) + slots * sizeof(r->slot[0]));
	r->s.ops = &readahead_ops;
	r->src = src;
	r->slots_n = slots;
	r->ring = memory;
	for (unsigned i = 0; i < slots; i++)
		r->slot[i].p = memory + (size_t)i * STREAM_WINDOW;
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->changed, NULL);
	return r;
}

struct stream *stream_readahead(struct stream *src, size_t ring)
{
	unsigned slots = (unsigned)MAX((ring ? ring : (size_t)MIB(1)) / STREAM_WINDOW, (size_t)2);
	struct readahead *r = readahead_new(src, slots);
	if (!r)
		return src;
	if (start(r))
		return &r->s;
	/* Without one it is not worth its copies. */
	r->src = NULL;
	readahead_close(&r->s);
	return src;
}

struct stream *stream_readahead_chore(struct stream *src, struct chore *ch,
				      const atomic_bool *later)
{
	struct readahead *r = readahead_new(src, MIB(1) / STREAM_WINDOW);
	if (!r)
		return NULL;
	r->chore = ch;
	r->later = later;
	if (!later)
		start(r);
	return &r->s;
}
