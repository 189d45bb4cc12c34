/*
 * An image, whole, into a repository: first it is asked which blobs are there, and tried to have
 * others mounted; what is left goes up, several at a time; then the documents, each after all that it
 * names; the tags last.
 *
 * Blobs of a layout or a file are read where they are. Of a pipe those that are needed are put into
 * unlinked files, verified on the way, because a broken upload needs them again.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libcommon/registry/push.h"

enum { MOUNT_TRIES = 3, SCOPES_MAX = 16, SPOOLED_MAX = 64 };

struct item {
	const struct push_blob *b;
	struct upload u;
	struct meter *m;
	bool there;
	bool ready; /* its bytes are on disk */
};

struct push_run {
	struct pushing common;
	struct registry *r;
	const struct push *p;
	const struct push_options *o;
	struct push_stats *stats;
	struct item *items;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct strs denied; /* repositories that nothing can be mounted from */
	uint64_t waiting;   /* bytes on disk */
	size_t waiting_n;   /* and descriptors */
};

/* A connection, a password or a full disk would be as bad for any other blob. */
static bool is_about_blob(int code)
{
	return code != E_UNAVAILABLE && code != E_AUTH && code != E_TRY_LATER && code <= E_USAGE;
}

static int blob_fault(const struct item *it, int code, const struct err *why, struct err *e)
{
	char text[DIGEST_TEXT_MAX];

	if (it->m)
		it->m->state = METER_FAILED;
	if (!is_about_blob(code))
		return err_set(e, code, "%s", why->text[0] ? why->text : err_word(code));
	return err_set(e, code, "blob %s: %s", digest_text(&it->b->d->digest, text),
		       why->text[0] ? why->text : err_word(code));
}

static bool is_denied(struct push_run *run, const char *from)
{
	bool found = false;

	pthread_mutex_lock(&run->lock);
	for (size_t i = 0; !found && i < run->denied.n; i++)
		found = !strcmp(run->denied.v[i], from);
	pthread_mutex_unlock(&run->lock);
	return found;
}

static int try_mount(struct push_run *run, struct item *it, const char *from, struct err *e)
{
	bool denied;
	int r = upload_mount(&it->u, from, &denied, e);

	if (denied) {
		pthread_mutex_lock(&run->lock);
		strs_add(&run->denied, from);
		pthread_mutex_unlock(&run->lock);
	}
	return r;
}

static int try_mounts(struct push_run *run, struct item *it, struct err *e)
{
	const char *own = run->r->endpoints[0].repository;
	const char *const *more = run->o->mount_from;
	int r = 0;

	for (size_t i = 0, tries = 0; !r && tries < MOUNT_TRIES; i++) {
		const char *from = i < it->b->from.n ? it->b->from.v[i] : NULL;

		if (!from)
			from = more ? more[i - it->b->from.n] : NULL;
		if (!from)
			break;
		if (!strcmp(from, own) || is_denied(run, from))
			continue;
		tries++;
		r = try_mount(run, it, from, e);
	}
	return r;
}

/* Whether it is there, or can be mounted. */
static int check(void *arg, size_t i, struct err *e)
{
	struct push_run *run = arg;
	struct item *it = &run->items[i];
	struct err why = { 0 };
	int r = upload_exists(&it->u, &why);

	if (r > 0)
		run->stats->exist++;
	if (!r) {
		r = try_mounts(run, it, &why);
		if (r > 0)
			run->stats->mounted++;
	}
	if (r < 0)
		return blob_fault(it, r, &why, e);
	it->there = r > 0;
	if (it->there) {
		it->m->done = it->b->d->size;
		it->m->state = METER_EXISTS;
	}
	return 0;
}

static int bytes_of(struct push_run *run, struct item *it, struct err *e)
{
	if (it->b->fd >= 0) {
		it->u.fd = it->b->fd;
		return 0;
	}
	if (image_random_access(run->p->img))
		return image_blob_file(run->p->img, it->b->d, &it->u.fd, &it->u.offset, e);
	pthread_mutex_lock(&run->lock);
	while (!it->ready)
		pthread_cond_wait(&run->changed, &run->lock);
	pthread_mutex_unlock(&run->lock);
	return 0;
}

static void bytes_done(struct push_run *run, struct item *it)
{
	if (it->b->fd < 0)
		fd_close(it->u.fd);
	if (!it->ready)
		return;
	pthread_mutex_lock(&run->lock);
	run->waiting -= it->b->d->size;
	run->waiting_n--;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
}

static int send(void *arg, size_t i, struct err *e)
{
	struct push_run *run = arg;
	struct item *it = &run->items[i];
	struct err why = { 0 };

	if (it->there)
		return 0;
	int r = bytes_of(run, it, &why);
	it->m->state = METER_RUNNING;
	if (!r)
		r = upload_send(&it->u, &why);
	if (r < 0)
		return blob_fault(it, r, &why, e);
	it->m->state = METER_DONE;
	bytes_done(run, it);
	return 0;
}

/* ---- a pipe's blobs ---- */

static int spool_blob(struct push_run *run, struct item *it, struct jobs *jobs, struct err *e)
{
	_cleanup_(fd_closep) int fd = spool_open();
	_cleanup_(stream_closep) struct stream *s = NULL;
	uint64_t at = 0;

	if (fd < 0)
		return err_set(e, fd, "a temporary file in TMPDIR: %s", err_word(fd));
	int r = image_blob(run->p->img, it->b->d, &s, e);
	while (!r) {
		struct span w = stream_peek(s);

		if (!w.n)
			break;
		r = fd_pwrite_all(fd, w.p, w.n, at);
		if (r < 0)
			return err_set(e, r, "writing a temporary file in TMPDIR: %s", err_word(r));
		at += w.n;
		stream_skip(s, w.n);
		run->stats->read += w.n;
		run->stats->spooled += w.n;
		if (jobs_failed(jobs))
			return 0;
	}
	if (!r)
		r = stream_error(s);
	if (r < 0)
		return r;
	run->stats->hashed += at;
	it->u.fd = steal_fd(&fd);
	it->u.verified = true;
	pthread_mutex_lock(&run->lock);
	it->ready = true;
	run->waiting += at;
	run->waiting_n++;
	pthread_cond_broadcast(&run->changed);
	pthread_mutex_unlock(&run->lock);
	return 0;
}

/* Until there is room for one more, or nothing is there at all. */
static void wait_for_room(struct push_run *run, uint64_t size, struct jobs *jobs)
{
	bool full = true;

	while (full && !jobs_failed(jobs)) {
		struct timespec t;

		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_sec++;
		pthread_mutex_lock(&run->lock);
		full = run->waiting_n &&
		       (run->waiting + size > run->o->spool_max || run->waiting_n == SPOOLED_MAX);
		if (full)
			pthread_cond_timedwait(&run->changed, &run->lock, &t);
		pthread_mutex_unlock(&run->lock);
	}
}

static int spool_all(struct push_run *run, struct jobs *jobs, struct err *e)
{
	struct image *img = run->p->img;
	int r = 0;

	for (size_t i = 0; i < run->p->blobs_n; i++)
		if (run->items[i].there)
			image_pass_over(img, &run->items[i].b->d->digest);
	for (size_t i = 0; !r && i < run->p->blobs_n && !jobs_failed(jobs); i++) {
		struct item *it = &run->items[i];
		struct err why = { 0 };

		if (it->there)
			continue;
		wait_for_room(run, it->b->d->size, jobs);
		r = spool_blob(run, it, jobs, &why);
		if (r < 0)
			r = blob_fault(it, r, &why, e);
	}
	return r;
}

/* ---- all of it ---- */

static int send_blobs(struct push_run *run, struct err *e)
{
	const struct push *p = run->p;
	bool pipe = p->img && !image_random_access(p->img);
	size_t n = p->blobs_n;
	struct jobs *jobs;
	int r = n ? check(run, 0, e) : 0;

	/* the first has found out how the registry wants to be spoken to */
	if (!r && n > 1) {
		jobs_start(&jobs, run->o->jobs, 1, n, check, run);
		r = jobs_wait(jobs, 0, e);
	}
	if (r < 0)
		return r;
	jobs_start(&jobs, run->o->jobs, 0, n, send, run);
	if (pipe)
		r = spool_all(run, jobs, e);
	return r < 0 ? r : jobs_wait(jobs, 0, e);
}

static int put_one(struct push_run *run, const struct document *doc, const char *name,
		   struct err *e)
{
	bool known = true;
	struct err why = { 0 };
	int r = registry_put_document(run->r, doc, name, NULL, &known, &why);

	if (!r && !known)
		r = referrers_note(run->r, doc, &why);
	return r < 0 ? err_set(e, r, "%s %s: %s", doc->kind == DOC_INDEX ? "index" : "manifest",
			       name, why.text[0] ? why.text : err_word(r))
		     : 0;
}

/* What is named comes before what names it, which may be several. */
static int put_whole(struct push_run *run, size_t i, bool *done, struct err *e)
{
	const struct push *p = run->p;
	const struct document *doc = p->docs[i];
	char text[DIGEST_TEXT_MAX];
	int r = 0;

	done[i] = true;
	for (size_t m = 0; !r && m < doc->manifests_n; m++)
		for (size_t k = 0; !r && k < p->docs_n; k++)
			if (!done[k] && digest_eq(&p->docs[k]->digest, &doc->manifests[m].digest))
				r = put_whole(run, k, done, e);
	if (!r && (i > 0 || !run->o->tags[0]))
		r = put_one(run, doc, digest_text(&doc->digest, text), e);
	return r;
}

static int put_documents(struct push_run *run, struct err *e)
{
	const struct push *p = run->p;
	_cleanup_(freep) bool *done = xcalloc(p->docs_n, sizeof(*done));
	int r = put_whole(run, 0, done, e);

	for (size_t i = 0; !r && run->o->tags[i]; i++)
		r = put_one(run, p->docs[0], run->o->tags[i], e);
	return r;
}

static void want_scopes(struct push_run *run)
{
	const char *const *more = run->o->mount_from;
	size_t n = 0;

	auth_want_push(run->r->auth, run->r->endpoints[0].repository);
	for (; more && *more && n < SCOPES_MAX; more++, n++)
		auth_want_pull(run->r->auth, *more);
	for (size_t i = 0; i < run->p->blobs_n; i++)
		for (size_t k = 0; k < run->p->blobs[i].from.n && n < SCOPES_MAX; k++, n++)
			auth_want_pull(run->r->auth, run->p->blobs[i].from.v[k]);
}

static void run_free(struct push_run *run)
{
	sessions_release(&run->common.sessions);
	strs_release(&run->denied);
	free(run->items);
	free(run);
}

/* Held by who takes back what was begun: push_run as it fails, or push_abandon, which keeps it. */
static pthread_mutex_t ending = PTHREAD_MUTEX_INITIALIZER;

void push_abandon(struct push *p)
{
	pthread_mutex_lock(&ending);
	if (!p->run)
		return;
	p->run->common.stop = true;
	sessions_cancel(&p->run->common.sessions);
}

/* After a failure threads may still be at work, so that all stays until the process ends. */
static void run_end(struct push *p, bool failed)
{
	struct push_run *run = p->run;

	pthread_mutex_lock(&ending);
	run->common.stop = true;
	p->run = NULL;
	int r = sessions_cancel(&run->common.sessions);
	pthread_mutex_unlock(&ending);
	if (!failed && !r)
		run_free(run);
}

int push_run(struct registry *r, struct push *p, const struct push_options *o,
	     struct push_stats *stats, struct err *e)
{
	struct push_run *run = xcalloc(1, sizeof(*run));

	*run = (struct push_run){ .r = r, .p = p, .o = o, .stats = stats };
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->changed, NULL);
	sessions_init(&run->common.sessions, r);
	run->items = xcalloc(p->blobs_n + 1, sizeof(*run->items));
	for (size_t i = 0; i < p->blobs_n; i++) {
		run->items[i].b = &p->blobs[i];
		run->items[i].m = &o->meters[i];
		run->items[i].u = (struct upload){
			.common = &run->common,
			.r = r,
			.p = &r->endpoints[0],
			.d = p->blobs[i].d,
			.m = &o->meters[i],
			.stats = stats,
			.chunk = o->chunk,
			.fd = -1,
			.attempts = r->retries,
		};
	}
	pthread_mutex_lock(&ending);
	p->run = run;
	pthread_mutex_unlock(&ending);
	want_scopes(run);
	int code = send_blobs(run, e);
	/* a stream is read to its end before its image becomes visible: it may yet be cut */
	if (!code && p->img)
		code = image_finish(p->img, e);
	if (!code)
		code = put_documents(run, e);
	run_end(p, code < 0);
	return code;
}
