/*
 * Blobs into an image layout: several at a time, each into a partial file that a later run goes on
 * with.
 *
 * A window of the receive buffer is hashed and written where it lies. What a partial holds is
 * hashed again from the disk before it is gone on with. Where a whole that was put together of
 * parts is wrong, it is fetched once more from the start.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/registry/fetch.h"

enum { WAIT_FOR_OTHER_MS = 100, READAHEAD_MIN = 4 << 20 };

struct run {
	struct registry *r;
	const struct layout *l;
	const struct descriptor *blobs;
	struct fetch_options o;
	uint64_t give_up_at; /* clock_ms, or 0 */
	struct jobs *jobs;
	_Atomic unsigned readers;
};

static void meter_state(struct meter *m, int state)
{
	atomic_store_explicit(&m->state, state, memory_order_relaxed);
}

static void meter_done(struct meter *m, uint64_t done)
{
	atomic_store_explicit(&m->done, done, memory_order_relaxed);
}

/* ---- one blob ---- */

struct transfer {
	struct run *run;
	const struct descriptor *d;
	struct meter *m;
	struct hash hash;
	uint64_t at; /* bytes that are in the file and in the hash */
};

/* The stream's bytes into the hash and, unless fd is -1, into the file. 0, E_SIZE, the stream's
 * error, or -ECANCELED. */
static int take_stream(struct transfer *t, struct stream *s, int fd)
{
	for (;;) {
		struct span w = stream_peek(s);

		if (!w.n)
			return stream_error(s);
		if (w.n > t->d->size - t->at)
			return E_SIZE;
		hash_update(&t->hash, w);
		int r = fd >= 0 ? fd_pwrite_all(fd, w.p, w.n, t->at) : 0;
		if (r < 0)
			return r;
		t->at += w.n;
		meter_done(t->m, t->at);
		stream_skip(s, w.n);
		if (jobs_failed(t->run->jobs))
			return -ECANCELED;
	}
}

static int hash_file(struct transfer *t, int fd, uint64_t size)
{
	_cleanup_(stream_closep) struct stream *s = stream_from_file(fd, 0, size);

	return take_stream(t, s, -1);
}

static int check_digest(struct transfer *t)
{
	struct hash h = t->hash;
	unsigned char seen[HASH_MAX];

	if (t->at != t->d->size)
		return E_TRUNCATED;
	size_t n = hash_final(&h, seen);
	return memcmp(seen, t->d->digest.v, n) ? E_DIGEST : 0;
}

static void transfer_restart(struct transfer *t)
{
	hash_init(&t->hash, t->d->digest.alg);
	t->at = 0;
	meter_done(t->m, 0);
}

/* Receiving on a thread of its own pays for as many blobs as there are processors. */
static bool take_reader(struct run *run)
{
	if (atomic_fetch_add(&run->readers, 1) < cpu_count())
		return true;
	atomic_fetch_sub(&run->readers, 1);
	return false;
}

/* A fault of our own is told before the stream is closed, which waits for the server's next byte. */
static void tell_local_fault(struct transfer *t, const struct stream *s, int fault)
{
	struct err why = { 0 }, e = { 0 };

	if (fault >= 0 || fault <= -10000 || fault == -ECANCELED || !s || stream_error(s))
		return;
	fetch_fault(t->d, fault, &why, &e);
	jobs_fail(t->run->jobs, fault, &e);
}

/* Hashes what the partial holds, then fetches the rest. */
static int transfer(struct transfer *t, int fd, uint64_t have, struct err *e)
{
	_cleanup_(stream_closep) struct stream *s = NULL;

	transfer_restart(t);
	int r = have ? hash_file(t, fd, have) : 0;
	if (!r && t->at < t->d->size) {
		r = registry_get_blob(t->run->r, t->d, t->at, &s, e);
		bool ahead = !r && t->d->size - t->at >= READAHEAD_MIN && take_reader(t->run);
		if (ahead)
			s = stream_readahead(s, 0);
		if (!r)
			r = take_stream(t, s, fd);
		tell_local_fault(t, s, r);
		if (ahead)
			atomic_fetch_sub(&t->run->readers, 1);
	}
	return r ? r : check_digest(t);
}

/* Fills the partial and gives it its name. Bytes that are wrong are removed; those that are merely
 * too few stay. */
static int fill_partial(struct transfer *t, int *fd, struct err *e)
{
	const struct fetch_options *o = &t->run->o;
	struct stat st;

	if (fstat(*fd, &st) < 0)
		return -errno;
	uint64_t have = (uint64_t)st.st_size;
	if (have > t->d->size && ftruncate(*fd, 0) < 0)
		return -errno;
	if (have > t->d->size)
		have = 0;
	uint64_t retries = registry_stats(t->run->r)->retries;
	int r = transfer(t, *fd, have, e);
	/* put together of parts: one of them may be to blame */
	if ((have || registry_stats(t->run->r)->retries != retries) &&
	    (r == E_DIGEST || r == E_SIZE)) {
		err_clear(e);
		r = ftruncate(*fd, 0) < 0 ? -errno : transfer(t, *fd, 0, e);
	}
	if (!r)
		return layout_partial_commit(t->run->l, &t->d->digest, steal_fd(fd), o->sync, e);
	if (r == E_DIGEST || r == E_SIZE)
		layout_partial_discard(t->run->l, &t->d->digest, steal_fd(fd));
	return r;
}

/* Whether the layout holds the blob, its bytes read where that was asked for. 1, 0, or an error. */
static int is_there(struct transfer *t)
{
	struct err ignored = { 0 };

	if (!layout_has_blob(t->run->l, t->d))
		return 0;
	if (!t->run->o.verify)
		return 1;
	_cleanup_(fd_closep) int fd = layout_blob_open(t->run->l, t->d, &ignored);
	if (fd < 0)
		return 0;
	transfer_restart(t);
	int r = hash_file(t, fd, t->d->size);
	if (!r)
		r = check_digest(t);
	if (r == E_DIGEST || r == E_TRUNCATED || r == -EIO)
		return 0;
	return r < 0 ? r : 1;
}

/* The partial, once no other process is at it: *fd, or -1 where that one has made the blob
 * meanwhile. */
static int wait_for_partial(struct transfer *t, int *fd, struct err *e)
{
	struct timespec nap = { .tv_nsec = WAIT_FOR_OTHER_MS * 1000000L };
	bool waited = false;

	for (;; waited = true) {
		struct err why = { 0 };

		int r = layout_partial_open(t->run->l, &t->d->digest, fd, &why);
		if (r != E_EXISTS && r < 0)
			return err_set(e, r, "%s", why.text);
		if (!r && (!waited || !layout_has_blob(t->run->l, t->d)))
			return 0;
		if (!r) {
			layout_partial_discard(t->run->l, &t->d->digest, *fd);
			*fd = -1;
			return 0;
		}
		if (jobs_failed(t->run->jobs))
			return -ECANCELED;
		if (t->run->give_up_at && clock_ms() > t->run->give_up_at)
			return err_set(e, E_TRY_LATER, "another process is still fetching it");
		nanosleep(&nap, NULL);
	}
}

static int fetch_blob(struct transfer *t, struct err *e)
{
	_cleanup_(fd_closep) int fd = -1;
	int r = is_there(t);

	if (r > 0) {
		meter_done(t->m, t->d->size);
		meter_state(t->m, METER_EXISTS);
	}
	if (r)
		return r < 0 ? r : 0;
	meter_state(t->m, METER_RUNNING);
	r = wait_for_partial(t, &fd, e);
	if (!r && fd >= 0)
		r = fill_partial(t, &fd, e);
	else if (!r)
		meter_done(t->m, t->d->size);
	meter_state(t->m, r < 0 ? METER_FAILED : METER_DONE);
	return r;
}

/* ---- many ---- */

static int fetch_nth(void *arg, size_t i, struct err *e)
{
	struct run *run = arg;
	struct transfer t = { .run = run, .d = &run->blobs[i], .m = &run->o.meters[i] };
	struct err why = { 0 };

	int r = fetch_blob(&t, &why);
	return r < 0 ? fetch_fault(t.d, r, &why, e) : r;
}

int fetch_to_layout(struct registry *r, const struct layout *l, const struct descriptor *blobs,
		    size_t n, const struct fetch_options *o, struct err *e)
{
	struct run *run = xcalloc(1, sizeof(*run));

	*run = (struct run){ .r = r, .l = l, .blobs = blobs, .o = *o };
	run->give_up_at = o->deadline_ms ? clock_ms() + o->deadline_ms : 0;
	jobs_start(&run->jobs, o->jobs, 0, n, fetch_nth, run);
	int fault = jobs_wait(run->jobs, 0, e);
	/* else it is still needed */
	if (!fault)
		free(run);
	return fault;
}
