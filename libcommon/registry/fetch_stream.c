/*
 * Blobs handed out in order, while later ones arrive.
 *
 * The blob that the reader is at flows straight from the network. Threads fetch those behind it
 * into unlinked files, until spool_max bytes lie there; a thread whose blob becomes the reader's
 * hands over its open stream, so that the reader takes first what lies on the disk and then the
 * network's bytes again. Nothing waits in memory, and nobody waits for room that only a later
 * blob's reader could make.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/registry/fetch.h"

enum { PUNCH_EVERY = 4 << 20 };

enum slot_state {
	SLOT_WAITING,
	SLOT_SPOOLING, /* a thread is at it: src and at are its own */
	SLOT_HANDED,   /* all of it is the reader's */
};

struct slot {
	const struct descriptor *d;
	struct meter *m;
	enum slot_state state;
	struct stream *src; /* the network's bytes from spooled on; NULL after its end */
	int fault;	    /* of opening src, or of src at its end */
	struct err err;	    /* what src says */
	int spool;	    /* -1: none */
	uint64_t spooled;   /* bytes in it, under the lock */
};

struct fetch {
	struct registry *r;
	uint64_t spool_max;
	size_t n, current, next; /* blobs; the reader's; the first that nobody has begun */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t spooled; /* bytes of all spools that were not read */
	bool opened;	  /* fetch_next was called */
	bool stop;
	unsigned threads;
	pthread_t *thread;
	struct slot slots[];
};

int fetch_fault(const struct descriptor *d, int code, const struct err *why, struct err *e)
{
	const char *text = why->code && *why->text ? why->text : err_word(code);
	char digest[DIGEST_TEXT_MAX];

	digest_text(&d->digest, digest);
	if (code == E_NOT_FOUND && descriptor_is_nondistributable(d))
		return err_set(
			e, code,
			"%s: is a foreign layer that the registry does not hold, and its urls are not followed (%s)",
			digest, text);
	return err_set(e, code, "%s: %s", digest, text);
}

static void count_done(struct slot *slot, uint64_t n)
{
	atomic_fetch_add_explicit(&slot->m->done, n, memory_order_relaxed);
}

static void slot_open(struct fetch *f, struct slot *slot)
{
	atomic_store(&slot->m->state, METER_RUNNING);
	int r = registry_get_blob(f->r, slot->d, 0, &slot->src, &slot->err);
	if (r < 0) {
		slot->fault = r;
		slot->src = NULL;
	}
}

/* The network's stream is at its end: what it says stays. */
static void slot_end(struct slot *slot)
{
	slot->fault = stream_error(slot->src);
	stream_close(steal_ptr(&slot->src));
}

/* ---- threads ---- */

/* Whether n more bytes may go into the slot's spool, after waiting for room. False when the reader
 * has come to it. */
static bool wait_for_room(struct fetch *f, const struct slot *slot, size_t n)
{
	bool room;

	pthread_mutex_lock(&f->lock);
	while (!f->stop && &f->slots[f->current] != slot &&
	       n > f->spool_max - MIN(f->spooled, f->spool_max))
		pthread_cond_wait(&f->changed, &f->lock);
	room = !f->stop && &f->slots[f->current] != slot;
	if (room)
		f->spooled += n;
	pthread_mutex_unlock(&f->lock);
	return room;
}

/* No room on the disk is the same as no room in the budget: what came stays in the stream until the
 * reader wants it. */
static void no_more_room(struct fetch *f, size_t n)
{
	pthread_mutex_lock(&f->lock);
	f->spooled -= n;
	f->spool_max = 0;
	pthread_mutex_unlock(&f->lock);
}

static void spool_blob(struct fetch *f, struct slot *slot)
{
	slot_open(f, slot);
	if (slot->src)
		slot->spool = spool_open();
	while (slot->src) {
		struct span w = stream_peek(slot->src);

		if (!w.n) {
			slot_end(slot);
			break;
		}
		if (!wait_for_room(f, slot, w.n))
			break;
		if (slot->spool < 0 || fd_pwrite_all(slot->spool, w.p, w.n, slot->spooled) < 0) {
			no_more_room(f, w.n);
			continue;
		}
		stream_skip(slot->src, w.n);
		count_done(slot, w.n);
		pthread_mutex_lock(&f->lock);
		slot->spooled += w.n;
		if (&f->slots[f->current] == slot)
			pthread_cond_broadcast(&f->changed);
		pthread_mutex_unlock(&f->lock);
	}
	pthread_mutex_lock(&f->lock);
	slot->state = SLOT_HANDED;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
}

static void *work(void *arg)
{
	struct fetch *f = arg;

	for (;;) {
		struct slot *slot = NULL;

		pthread_mutex_lock(&f->lock);
		if (!f->stop && f->next < f->n) {
			slot = &f->slots[f->next++];
			slot->state = SLOT_SPOOLING;
		}
		pthread_mutex_unlock(&f->lock);
		if (!slot)
			return NULL;
		spool_blob(f, slot);
	}
}

/* ---- the reader ---- */

struct reader {
	struct stream s;
	struct fetch *f;
	struct slot *slot;
	struct err *e;
	uint64_t at;	    /* bytes of the spool that were read */
	uint64_t punched;   /* bytes of it that were given back to the file system */
	unsigned char *mem; /* a window of the spool; NULL until there is one */
	size_t borrowed;    /* the length of the window that is src's */
};

/* How many bytes of the spool are there beyond at; waits while its thread is at work and there are
 * none. */
static uint64_t spool_ready(struct reader *rd)
{
	struct fetch *f = rd->f;

	pthread_mutex_lock(&f->lock);
	while (rd->slot->state == SLOT_SPOOLING && rd->slot->spooled == rd->at)
		pthread_cond_wait(&f->changed, &f->lock);
	uint64_t n = rd->slot->spooled - rd->at;
	pthread_mutex_unlock(&f->lock);
	return n;
}

/* What was read makes room for the threads, and on the disk. */
static void spool_give_back(struct reader *rd, size_t n)
{
	pthread_mutex_lock(&rd->f->lock);
	rd->f->spooled -= n;
	pthread_cond_broadcast(&rd->f->changed);
	pthread_mutex_unlock(&rd->f->lock);
	rd->at += n;
	if (rd->at - rd->punched < PUNCH_EVERY)
		return;
	if (!fallocate(rd->slot->spool, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		       (off_t)rd->punched, (off_t)(rd->at - rd->punched)))
		rd->punched = rd->at;
}

static void fill_from_spool(struct reader *rd, uint64_t ready)
{
	if (!rd->mem)
		rd->mem = xmalloc(STREAM_WINDOW);
	ssize_t n = fd_pread_full(rd->slot->spool, rd->mem, MIN(ready, STREAM_WINDOW), rd->at);
	if (n <= 0) {
		int r = n < 0 ? (int)n : E_IO;

		err_set(rd->e, r, "reading the spool in TMPDIR: %s", err_word(r));
		stream_fail(&rd->s, r);
		return;
	}
	rd->s.pos = rd->mem;
	rd->s.end = rd->mem + n;
	spool_give_back(rd, (size_t)n);
}

static void reader_end(struct reader *rd)
{
	struct slot *slot = rd->slot;

	if (!slot->fault) {
		rd->s.eof = true;
		atomic_store(&slot->m->state, METER_DONE);
		return;
	}
	atomic_store(&slot->m->state, METER_FAILED);
	fetch_fault(slot->d, slot->fault, &slot->err, rd->e);
	stream_fail(&rd->s, slot->fault);
}

static void reader_fill(struct stream *s)
{
	struct reader *rd = container_of(s, struct reader, s);
	struct slot *slot = rd->slot;

	if (rd->borrowed) {
		stream_skip(slot->src, rd->borrowed);
		count_done(slot, rd->borrowed);
		rd->borrowed = 0;
	}
	uint64_t ready = spool_ready(rd);
	if (ready) {
		fill_from_spool(rd, ready);
		return;
	}
	/* from here on the slot is ours alone */
	if (rd->mem) {
		free(rd->mem);
		rd->mem = NULL;
	}
	if (slot->src) {
		struct span w = stream_peek(slot->src);

		if (w.n) {
			s->pos = w.p;
			s->end = w.p + w.n;
			rd->borrowed = w.n;
			return;
		}
		slot_end(slot);
	}
	reader_end(rd);
}

static void reader_close(struct stream *s)
{
	struct reader *rd = container_of(s, struct reader, s);
	struct fetch *f = rd->f;

	/* closed early: its thread hands it over at the next window */
	pthread_mutex_lock(&f->lock);
	while (rd->slot->state == SLOT_SPOOLING)
		pthread_cond_wait(&f->changed, &f->lock);
	pthread_mutex_unlock(&f->lock);
	stream_close(steal_ptr(&rd->slot->src));
	fd_close(steal_fd(&rd->slot->spool));
	free(rd->mem);
	free(rd);
}

/* Makes the next blob the reader's, and begins it where no thread has. */
static struct slot *advance(struct fetch *f)
{
	pthread_mutex_lock(&f->lock);
	f->current += f->opened;
	f->opened = true;
	struct slot *slot = &f->slots[f->current];
	bool mine = slot->state == SLOT_WAITING;
	if (mine) {
		slot->state = SLOT_HANDED;
		f->next = MAX(f->next, f->current + 1);
	}
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	if (mine)
		slot_open(f, slot);
	return slot;
}

int fetch_next(struct fetch *f, struct stream **out, struct err *e)
{
	static const struct stream_ops ops = { .fill = reader_fill, .close = reader_close };
	struct reader *rd = xcalloc(1, sizeof(*rd));

	rd->s.ops = &ops;
	rd->f = f;
	rd->e = e;
	rd->slot = advance(f);
	const struct descriptor *d = rd->slot->d;
	*out = stream_verify(&rd->s, d->digest.alg, d->digest.v, d->size);
	return 0;
}

struct fetch *fetch_open(struct registry *r, const struct descriptor *blobs, size_t n,
			 const struct fetch_options *o)
{
	struct fetch *f = xcalloc(1, sizeof(*f) + n * sizeof(f->slots[0]));
	size_t threads = o->spool_max && o->jobs > 1 ? MIN(o->jobs - 1, n > 1 ? n - 1 : 0) : 0;

	f->r = r;
	f->n = n;
	f->next = 1; /* the first is the reader's */
	f->spool_max = o->spool_max;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->changed, NULL);
	for (size_t i = 0; i < n; i++) {
		f->slots[i].d = &blobs[i];
		f->slots[i].m = &o->meters[i];
		f->slots[i].spool = -1;
	}
	f->thread = xcalloc(threads ? threads : 1, sizeof(*f->thread));
	while (f->threads < threads && thread_start(&f->thread[f->threads], work, f) == 0)
		f->threads++;
	return f;
}

void fetch_close(struct fetch *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	for (unsigned i = 0; i < f->threads; i++)
		pthread_join(f->thread[i], NULL);
	for (size_t i = 0; i < f->n; i++) {
		stream_close(f->slots[i].src);
		fd_close(f->slots[i].spool);
	}
	pthread_mutex_destroy(&f->lock);
	pthread_cond_destroy(&f->changed);
	free(f->thread);
	free(f);
}
