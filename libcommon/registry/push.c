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

enum { MOUNTS_MAX = 3, SCOPES_MAX = 16, SPOOLED_MAX = 64 };

/* ---- a crew: threads that do jobs up to n - 1, in their order ---- */

struct crew {
	int (*work)(void *arg, size_t i, struct err *e);
	void *arg;
	size_t next, n;
	unsigned members; /* threads, and one for who waits */
	int fault;
	struct err err;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

static void *crew_member(void *arg)
{
	struct crew *c = arg;

	pthread_mutex_lock(&c->lock);
	while (!c->fault && c->next < c->n) {
		size_t i = c->next++;
		struct err e = { 0 };

		pthread_mutex_unlock(&c->lock);
		int r = c->work(c->arg, i, &e);
		pthread_mutex_lock(&c->lock);
		if (r < 0 && !c->fault) {
			c->fault = r;
			c->err = e;
		}
	}
	bool last = --c->members == 0;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	if (last)
		free(c);
	return NULL;
}

static struct crew *crew_start(unsigned jobs, size_t first, size_t n,
			       int (*work)(void *arg, size_t i, struct err *e), void *arg)
{
	struct crew *c = xcalloc(1, sizeof(*c));

	*c = (struct crew){ .work = work, .arg = arg, .next = first, .n = n, .members = 1 };
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	pthread_mutex_lock(&c->lock);
	for (size_t i = first; i - first < jobs && i < n; i++) {
		pthread_t thread;

		if (thread_start(&thread, crew_member, c) < 0)
			break;
		pthread_detach(thread);
		c->members++;
	}
	pthread_mutex_unlock(&c->lock);
	return c;
}

static bool crew_failed(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	bool failed = c->fault;
	pthread_mutex_unlock(&c->lock);
	return failed;
}

/* Until all is done, or one has failed: the others are not waited for. */
static int crew_wait(struct crew *c, struct err *e)
{
	pthread_mutex_lock(&c->lock);
	if (c->members == 1 && c->next < c->n) {
		/* no thread to be had: then here */
		c->members++;
		pthread_mutex_unlock(&c->lock);
		crew_member(c);
		pthread_mutex_lock(&c->lock);
	}
	while (c->members > 1 && !c->fault)
		pthread_cond_wait(&c->changed, &c->lock);
	int fault = c->fault;
	if (fault)
		err_set(e, fault, "%s", c->err.text);
	bool last = --c->members == 0;
	pthread_mutex_unlock(&c->lock);
	if (last)
		free(c);
	return fault;
}

/* ---- the plan ---- */

/* Repositories of this registry that a layer is known to be in: containerd writes them down. */
static void note_sources(struct push_blob *b, const struct json *descriptor, const char *key)
{
	struct span list = { 0 }, name;

	json_str(json_get(json_get(descriptor, "annotations"), key), &list);
	while (b->from.n < MOUNTS_MAX && span_cut(&list, ',', &name))
		if (span_trim(name).n)
			strs_take(&b->from, span_dup(span_trim(name)));
}

static char *base_repository(const struct json *manifest, const char *domain)
{
	const char *name = json_cstr(
		json_get(json_get(manifest, "annotations"), "org.opencontainers.image.base.name"));
	struct reference ref;
	char *repository = NULL;

	if (!name || reference_parse(name, &ref, NULL) < 0)
		return NULL;
	if (!strcmp(ref.domain, domain))
		repository = steal_ptr(&ref.repository);
	reference_release(&ref);
	return repository;
}

static int plan_blob(struct push *p, const struct descriptor *d, bool layer, struct push_blob **out,
		     struct err *e)
{
	char text[DIGEST_TEXT_MAX];

	*out = NULL;
	if (layer && descriptor_is_nondistributable(d)) {
		p->foreign_n++;
		return 0;
	}
	for (size_t i = 0; i < p->blobs_n; i++) {
		if (!digest_eq(&p->blobs[i].d->digest, &d->digest))
			continue;
		*out = &p->blobs[i];
		if (p->blobs[i].d->size == d->size)
			return 0;
		return err_set(e, E_SIZE, "%s has two sizes, %llu and %llu",
			       digest_text(&d->digest, text),
			       (unsigned long long)p->blobs[i].d->size,
			       (unsigned long long)d->size);
	}
	if (!(p->blobs_n & (p->blobs_n - 1)))
		p->blobs =
			xrealloc(p->blobs, (p->blobs_n ? 2 * p->blobs_n : 1) * sizeof(*p->blobs));
	*out = &p->blobs[p->blobs_n++];
	**out = (struct push_blob){ .d = d, .fd = -1 };
	p->layers_n += layer;
	return 0;
}

static int plan_manifest(struct push *p, const struct document *m, const char *domain,
			 struct err *e)
{
	_cleanup_(json_freep) struct json *doc = NULL;
	_cleanup_(freep) char *key = xasprintf("containerd.io/distribution.source.%s", domain);
	int r = json_parse(buf_span(&m->raw), NULL, &doc, e);
	if (r < 0)
		return r;
	_cleanup_(freep) char *base = base_repository(doc, domain);
	struct push_blob *b;

	r = plan_blob(p, &m->config, false, &b, e);
	for (size_t i = 0; !r && i < m->layers_n; i++) {
		r = plan_blob(p, &m->layers[i], true, &b, e);
		if (r < 0 || !b)
			continue;
		note_sources(b, json_at(json_get(doc, "layers"), i), key);
		if (base && b->from.n < MOUNTS_MAX)
			strs_add(&b->from, base);
	}
	return r;
}

int push_plan(struct push *p, const char *domain, struct err *e)
{
	int r = 0;

	for (size_t i = 0; !r && i < p->docs_n; i++)
		if (p->docs[i]->kind == DOC_MANIFEST)
			r = plan_manifest(p, p->docs[i], domain, e);
	return r;
}

void push_release(struct push *p)
{
	for (size_t i = 0; i < p->blobs_n; i++) {
		strs_release(&p->blobs[i].from);
		fd_close(p->blobs[i].fd);
	}
	free(p->blobs);
}

/* ---- the run ---- */

struct item {
	const struct push_blob *b;
	struct upload u;
	struct meter *m;
	bool there;
	bool ready; /* its bytes are on disk */
};

struct run {
	struct registry *r;
	const struct push *p;
	const struct push_options *o;
	struct push_stats *stats;
	struct item *items;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t waiting; /* bytes on disk */
	size_t waiting_n; /* and descriptors */
};

static int blob_fault(const struct item *it, int code, const struct err *why, struct err *e)
{
	char text[DIGEST_TEXT_MAX];

	if (it->m)
		it->m->state = METER_FAILED;
	return err_set(e, code, "blob %s: %s", digest_text(&it->b->d->digest, text),
		       why->text[0] ? why->text : err_word(code));
}

static int try_mounts(struct run *run, struct item *it, struct err *e)
{
	const char *own = run->r->endpoints[0].repository;
	const char *const *more = run->o->mount_from;
	int r = 0;

	for (size_t i = 0, tries = 0; !r && tries < MOUNTS_MAX; i++) {
		const char *from = i < it->b->from.n ? it->b->from.v[i] : NULL;

		if (!from)
			from = more ? more[i - it->b->from.n] : NULL;
		if (!from)
			break;
		if (!strcmp(from, own))
			continue;
		tries++;
		r = upload_mount(&it->u, from, e);
	}
	return r;
}

/* Whether it is there, or can be mounted. */
static int check(void *arg, size_t i, struct err *e)
{
	struct run *run = arg;
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

static int bytes_of(struct run *run, struct item *it, struct err *e)
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

static void bytes_done(struct run *run, struct item *it)
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
	struct run *run = arg;
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

static int spool_blob(struct run *run, struct item *it, struct crew *crew, struct err *e)
{
	_cleanup_(fd_closep) int fd = spool_open();
	_cleanup_(stream_closep) struct stream *s = NULL;
	uint64_t at = 0;

	if (fd < 0)
		return err_set(e, fd, "a temporary file: %s", err_word(fd));
	int r = image_blob(run->p->img, it->b->d, &s, e);
	while (!r) {
		struct span w = stream_peek(s);

		if (!w.n)
			break;
		r = fd_pwrite_all(fd, w.p, w.n, at);
		if (r < 0)
			return err_set(e, r, "writing a temporary file: %s", err_word(r));
		at += w.n;
		stream_skip(s, w.n);
		run->stats->read += w.n;
		run->stats->spooled += w.n;
		if (crew_failed(crew))
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
static void wait_for_room(struct run *run, uint64_t size, struct crew *crew)
{
	bool full = true;

	while (full && !crew_failed(crew)) {
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

static int spool_all(struct run *run, struct crew *crew, struct err *e)
{
	struct image *img = run->p->img;
	int r = 0;

	for (size_t i = 0; i < run->p->blobs_n; i++)
		if (run->items[i].there)
			image_pass_over(img, &run->items[i].b->d->digest);
	for (size_t i = 0; !r && i < run->p->blobs_n && !crew_failed(crew); i++) {
		struct item *it = &run->items[i];
		struct err why = { 0 };

		if (it->there)
			continue;
		wait_for_room(run, it->b->d->size, crew);
		r = spool_blob(run, it, crew, &why);
		if (r < 0)
			r = blob_fault(it, r, &why, e);
	}
	return r;
}

/* ---- all of it ---- */

static int send_blobs(struct run *run, struct err *e)
{
	const struct push *p = run->p;
	bool pipe = p->img && !image_random_access(p->img);
	size_t n = p->blobs_n;
	int r = n ? check(run, 0, e) : 0;

	/* the first has found out how the registry wants to be spoken to */
	if (!r && n > 1)
		r = crew_wait(crew_start(run->o->jobs, 1, n, check, run), e);
	if (r < 0)
		return r;
	struct crew *crew = crew_start(run->o->jobs, 0, n, send, run);
	if (pipe)
		r = spool_all(run, crew, e);
	return r < 0 ? r : crew_wait(crew, e);
}

static int put_one(struct run *run, const struct document *doc, const char *name, struct err *e)
{
	bool known = true;
	struct err why = { 0 };
	int r = registry_put_document(run->r, doc, name, &known, &why);

	if (!r && !known)
		r = referrers_note(run->r, doc, &why);
	return r < 0 ? err_set(e, r, "%s %s: %s", doc->kind == DOC_INDEX ? "index" : "manifest",
			       name, why.text[0] ? why.text : err_word(r))
		     : 0;
}

/* What is named comes before what names it, which may be several. */
static int put_whole(struct run *run, size_t i, bool *done, struct err *e)
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

static int put_documents(struct run *run, struct err *e)
{
	const struct push *p = run->p;
	_cleanup_(freep) bool *done = xcalloc(p->docs_n, sizeof(*done));
	int r = put_whole(run, 0, done, e);

	for (size_t i = 0; !r && run->o->tags[i]; i++)
		r = put_one(run, p->docs[0], run->o->tags[i], e);
	return r;
}

static void want_scopes(struct run *run)
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

int push_run(struct registry *r, const struct push *p, const struct push_options *o,
	     struct push_stats *stats, struct err *e)
{
	struct run *run = xcalloc(1, sizeof(*run));

	*run = (struct run){ .r = r, .p = p, .o = o, .stats = stats };
	pthread_mutex_init(&run->lock, NULL);
	pthread_cond_init(&run->changed, NULL);
	run->items = xcalloc(p->blobs_n + 1, sizeof(*run->items));
	for (size_t i = 0; i < p->blobs_n; i++) {
		run->items[i].b = &p->blobs[i];
		run->items[i].m = &o->meters[i];
		run->items[i].u = (struct upload){
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
	want_scopes(run);
	int code = send_blobs(run, e);
	/* a stream is read to its end before its image becomes visible: it may yet be cut */
	if (!code && p->img)
		code = image_finish(p->img, e);
	if (!code)
		code = put_documents(run, e);
	if (code < 0)
		return code;
	for (size_t i = 0; i < p->blobs_n; i++)
		upload_release(&run->items[i].u);
	free(run->items);
	free(run);
	return 0;
}
