/*
 * One blob on its way to a registry: a session is opened (POST), the bytes go in one piece (PUT), or
 * in chunks (PATCH) where that is wished or the registry refuses the whole. What breaks goes on from
 * where the registry says that it stands.
 *
 * The bytes are hashed as they are sent, and the session is closed only when they are those of the
 * descriptor: of a piece that closes it the last bytes are held back until that is known.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/push.h"

enum {
	PROGRESS = 1 << 20,	/* so much earns the full number of retries again */
	CHUNK_FIRST = 32 << 20, /* where one piece is refused */
	CHUNK_LEAST = 64 << 10,
};

/* What comes next. */
enum { GO_ON = 1, AGAIN = 2, DONE = 3 };

static void path_of(const struct upload *u, const char *what, struct buf *b)
{
	buf_addf(b, "/v2/%s/blobs/%s", u->p->repository, what);
}

/* The registry does not know it any more. */
static void session_drop(struct upload *u)
{
	session_forget(&u->common->sessions, u->s);
	u->s = NULL;
	u->pos = 0;
}

/* It is taken back when all is done, so that nothing waits for it now. */
static void session_leave(struct upload *u)
{
	u->s = NULL;
	u->pos = 0;
}

/* Each answer may name another URL for the next request. */
static int take_location(struct upload *u, const struct exchange *x, struct err *e)
{
	struct span location = http_response_field(&x->res, "Location", 0);
	struct url next = { 0 };

	if (!location.p)
		return u->s ? 0 : err_set(e, E_PROTOCOL, "an upload was opened without a Location");

	int r = url_join(&x->url, location, &next, e);
	if (r < 0)
		return err_prefix(e, "the Location of an upload"), r;
	r = redirect_check(u->r, &u->p->origin, &x->url, &next, e);
	if (r < 0) {
		url_release(&next);
		return err_prefix(e, "the Location of an upload"), r;
	}
	u->s = session_move(&u->common->sessions, u->s, &next);
	return 0;
}

bool upload_range(struct span s, uint64_t *end)
{
	uint64_t first, last;
	struct span part;

	if (!s.p)
		return false;
	if (span_starts(s, "bytes="))
		s = span_tail(s, 6);
	if (!span_cut(&s, '-', &part) || num_u64(span_trim(part), 0, &first) < 0 || !s.p ||
	    num_u64(span_trim(s), INT64_MAX - 1, &last) < 0)
		return false;
	*end = last + 1;
	return true;
}

static bool range_end(const struct exchange *x, uint64_t *end)
{
	return upload_range(http_response_field(&x->res, "Range", 0), end);
}

/* ---- existence and mounts ---- */

int upload_exists(struct upload *u, struct err *e)
{
	static const unsigned answers[] = { 400, 403, 404, 405, 410, 501, 0 };
	const struct http_request q = { .method = "HEAD", .accept = "*/*" };
	_cleanup_(buf_release) struct buf path = BUF_INIT;
	_cleanup_(exchange_closep) struct exchange *x = NULL;
	char text[DIGEST_TEXT_MAX];
	unsigned attempts = u->r->retries;
	uint64_t size;

	path_of(u, digest_text(&u->d->digest, text), &path);
	int r = request_send(u->r, u->p, buf_str(&path), &q, answers, &attempts, &x, e);
	if (r < 0)
		return r;
	if (x->res.status / 100 != 2)
		return 0;
	/* a registry that gives another size has something else */
	struct span length = http_response_field(&x->res, "Content-Length", 0);
	return !length.p || num_u64(length, INT64_MAX, &size) < 0 || size == u->d->size || !size;
}

static int session_open(struct upload *u, const char *query, const unsigned *answers,
			struct exchange **out, struct err *e)
{
	const struct http_request q = { .method = "POST", .home_only = true, .body = SPAN("") };
	_cleanup_(buf_release) struct buf path = BUF_INIT;
	_cleanup_(exchange_closep) struct exchange *x = NULL;
	uint64_t least = 0;

	path_of(u, "uploads/", &path);
	buf_adds(&path, query);
	session_leave(u);
	int r = request_send(u->r, u->p, buf_str(&path), &q, answers, &u->attempts, &x, e);
	if (r < 0)
		return r;
	if (x->res.status == 202) {
		struct span min = http_response_field(&x->res, "OCI-Chunk-Min-Length", 0);

		r = take_location(u, x, e);
		if (min.p && num_u64(min, UINT32_MAX, &least) == 0)
			u->min_chunk = least;
	}
	if (r < 0)
		return r;
	*out = steal_ptr(&x);
	return 0;
}

int upload_mount(struct upload *u, const char *from, bool *denied, struct err *e)
{
	static const unsigned answers[] = { 400, 401, 403, 404, 405, 501, 0 };
	_cleanup_(buf_release) struct buf query = BUF_INIT;
	_cleanup_(exchange_closep) struct exchange *x = NULL;
	char text[DIGEST_TEXT_MAX];

	u->attempts = u->r->retries;
	buf_adds(&query, "?mount=");
	url_add_escaped(&query, span_str(digest_text(&u->d->digest, text)));
	buf_adds(&query, "&from=");
	url_add_escaped(&query, span_str(from));
	int r = session_open(u, buf_str(&query), answers, &x, e);
	/* who may not have a blob from there may send it all the same */
	*denied = r == E_AUTH || (!r && x->res.status / 100 == 4 && x->res.status != 404);
	if (r < 0)
		return r == E_AUTH ? 0 : r;
	return x->res.status == 201;
}

/* ---- the bytes ---- */

/* Hashes what was not hashed before, and with the last of it knows whether all is right. */
static int look(void *arg, uint64_t at, struct span piece)
{
	struct upload *u = arg;
	unsigned char seen[HASH_MAX];

	if (u->common->stop)
		return -ECANCELED;
	at += u->pos;
	u->stats->read += piece.n;
	if (u->m)
		atomic_store_explicit(&u->m->done, at, memory_order_relaxed);
	if (u->verified || (u->d->size && at + piece.n <= u->hashed_to))
		return 0;
	piece = span_tail(piece, (size_t)(u->hashed_to - at));
	hash_update(&u->hash, piece);
	u->hashed_to += piece.n;
	u->stats->hashed += piece.n;
	if (u->hashed_to < u->d->size)
		return 0;
	hash_final(&u->hash, seen);
	if (memcmp(seen, u->d->digest.v, hash_size(u->d->digest.alg)))
		return E_DIGEST;
	u->verified = true;
	return 0;
}

/* The bytes from u->pos up to end, to the session's URL or one made of it. */
static int send_piece(struct upload *u, const char *method, const struct url *to, uint64_t end,
		      struct http_body *body, struct exchange **x, struct err *e)
{
	*body = (struct http_body){
		.fd = u->fd,
		.offset = u->offset + u->pos,
		.length = end - u->pos,
		.look = look,
		.arg = u,
	};
	const struct http_request q = {
		.method = method,
		.content_type = "application/octet-stream",
		.file = body,
		.ranged = *method == 'P' && method[1] == 'A',
		.first = u->pos,
		.home_only = true,
		.patient = true,
	};
	struct err why = { 0 };

	int r = request_url(u->r, u->p, to, &q, x, &why);
	if (body->fault == E_DIGEST)
		return err_set(e, E_DIGEST, "its bytes do not hash to it");
	if (body->fault)
		return err_set(e, body->fault, "reading it: %s", err_word(body->fault));
	return r < 0 ? err_set(e, r, "%s", why.text) : r;
}

static void closing_url(const struct upload *u, struct url *out)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	char text[DIGEST_TEXT_MAX];

	buf_adds(&b, u->s->at.target);
	buf_addc(&b, strchr(u->s->at.target, '?') ? '&' : '?');
	buf_adds(&b, "digest=");
	url_add_escaped(&b, span_str(digest_text(&u->d->digest, text)));
	out->origin = u->s->at.origin;
	out->target = buf_steal_str(&b);
}

/* Whether the registry keeps it under the digest that was meant. */
static int closed(struct upload *u, const struct exchange *x, struct err *e)
{
	struct span value = http_response_field(&x->res, "Docker-Content-Digest", 0);
	struct digest stated;

	if (value.p && digest_parse(value, &stated) == 0 && stated.alg == u->d->digest.alg &&
	    !digest_eq(&stated, &u->d->digest))
		return err_set(e, E_PROTOCOL, "the registry keeps it under another digest: %s",
			       quoted(value));
	return DONE;
}

/* How far the registry is after a PATCH. */
static int moved_to(struct upload *u, const struct exchange *x, uint64_t end, struct err *e)
{
	uint64_t there = end, was = u->pos;
	int r = take_location(u, x, e);

	if (r < 0)
		return r;
	if (range_end(x, &there) && there > end)
		return err_set(e, E_PROTOCOL,
			       "the registry says that it has %llu bytes, of %llu that were sent",
			       (unsigned long long)there, (unsigned long long)end);
	if (there <= was || (there == 1 && end > 1)) {
		err_set(e, E_PROTOCOL, "the registry takes nothing of what is sent");
		return AGAIN;
	}
	u->pos = there;
	return GO_ON;
}

/* ---- what an answer means ---- */

/* What one blob has found out is good for all of the push. */
static void learn(struct upload *u, unsigned status)
{
	struct pushing *c = u->common;
	uint64_t most = c->most;

	if (status != 413)
		c->in_chunks = true;
	while (status == 413 && (!most || u->chunk < most) &&
	       !atomic_compare_exchange_weak(&c->most, &most, u->chunk))
		;
}

static void apply_learned(struct upload *u)
{
	uint64_t most = u->common->most;

	if (!u->chunk && (u->common->in_chunks || (most && u->d->size > most)))
		u->chunk = CHUNK_FIRST;
	if (most && u->chunk > most)
		u->chunk = most;
}

static int smaller_chunks(struct upload *u, unsigned status)
{
	uint64_t least = MAX(u->min_chunk, (uint64_t)CHUNK_LEAST);

	if (!u->chunk)
		u->chunk = MAX((uint64_t)CHUNK_FIRST, least);
	else if (status == 413 && u->chunk / 2 >= least)
		u->chunk /= 2;
	else
		return 0;
	while (u->chunk >= u->d->size && u->chunk / 2 >= least)
		u->chunk /= 2;
	learn(u, status);
	session_leave(u);
	return GO_ON;
}

/* A refusal: 0 where there is no way around it. */
static int way_around(struct upload *u, unsigned status)
{
	switch (status) {
	case 413:
		return smaller_chunks(u, status);
	case 416:
		return AGAIN;
	case 404:
		/* it knows no such session (any more) */
		return AGAIN;
	case 400:
	case 405:
	case 411:
	case 501:
		if (u->chunk || u->tried_chunks)
			return 0;
		u->tried_chunks = true;
		return smaller_chunks(u, status);
	default:
		return 0;
	}
}

/* Sends the next piece, or closes the session. GO_ON, AGAIN after a fault that e words, DONE. */
static int step(struct upload *u, unsigned *status, struct exchange **out, struct err *e)
{
	bool whole = !u->chunk && !u->pos, last = !whole && u->pos == u->d->size;
	uint64_t size = u->d->size, end = whole || last ? size : MIN(size, u->pos + u->chunk);
	_cleanup_(exchange_closep) struct exchange *x = NULL;
	_cleanup_(url_release) struct url to = { 0 };
	struct http_body body;

	if (!whole && !last && !u->chunk)
		end = size;
	if (whole || last)
		closing_url(u, &to);
	int r = send_piece(u, whole || last ? "PUT" : "PATCH", whole || last ? &to : &u->s->at, end,
			   &body, &x, e);
	if (r < 0)
		return body.fault || !(fault_is_transient(r, 0) || r == E_PROTOCOL) ? r : AGAIN;
	*status = x->res.status;
	if (x->res.status / 100 == 2 && body.sent < body.length) {
		/* it may have the blob from elsewhere, or the answer is wrong */
		*status = 404;
		err_set(e, E_PROTOCOL, "the registry takes a blob before it was sent");
		return AGAIN;
	}
	if (x->res.status / 100 == 2)
		return whole || last ? closed(u, x, e) : moved_to(u, x, end, e);
	*out = steal_ptr(&x);
	r = way_around(u, *status);
	if (r == GO_ON)
		return r;
	int code = exchange_fault(*out, NULL, e);
	if (r == AGAIN || fault_is_transient(code, *status))
		return AGAIN;
	return code;
}

/* Asks the registry where the session stands; it is dropped where that cannot be said. AGAIN: the
 * registry could not be asked just now, and may know later. */
static int session_ask(struct upload *u)
{
	const struct http_request q = { .method = "GET", .home_only = true };
	_cleanup_(exchange_closep) struct exchange *x = NULL;
	struct err ignored = { 0 };
	uint64_t end = 0;

	int r = request_url(u->r, u->p, &u->s->at, &q, &x, &ignored);
	if (u->attempts && fault_is_transient(r, x ? x->res.status : 0))
		return AGAIN;
	if (r < 0 || x->res.status / 100 != 2 || take_location(u, x, &ignored) < 0 ||
	    !range_end(x, &end) || end <= 1 || end > u->hashed_to || end > u->d->size) {
		session_drop(u);
		return 0;
	}
	u->pos = end;
	network_trace(&u->r->net, u->r->net.trace_requests, "upload: goes on at byte %llu",
		      (unsigned long long)end);
	return 0;
}

/* After a fault. The session may have been closed, and only the answer lost. */
static int mend(struct upload *u, struct exchange *x, unsigned status, const struct err *fault,
		struct err *e)
{
	bool maybe_done = u->hashed_to == u->d->size && u->verified;
	int r = AGAIN;

	if (u->pos >= u->last_fault + PROGRESS) {
		u->attempts = u->r->retries;
		u->faults = 0;
	}
	/* The farthest one: bytes that are sent again after a lost session are no progress. */
	u->last_fault = MAX(u->last_fault, u->pos);
	if (!u->attempts)
		return err_set(e, fault_final(fault->code), "%s", fault->text);
	while (r == AGAIN) {
		struct err wait = { 0 };

		u->attempts--;
		r = request_backoff(u->r, u->faults++, x, &wait);
		if (r < 0)
			return err_set(e, r, "%s; %s", fault->text, wait.text);
		x = NULL;
		r = u->s ? session_ask(u) : 0;
	}
	if (!u->s && (maybe_done || status == 404))
		return upload_exists(u, e) == 1 ? DONE : 0;
	return 0;
}

static int open_plain(struct upload *u, struct err *e)
{
	struct exchange *x = NULL;
	int r = session_open(u, "", NULL, &x, e);

	exchange_close(x);
	if (!r && !u->s)
		r = err_set(e, E_PROTOCOL, "the registry opened no upload");
	return r;
}

int upload_send(struct upload *u, struct err *e)
{
	int r = 0;

	u->attempts = u->r->retries;
	hash_init(&u->hash, u->d->digest.alg);
	if (u->verified)
		u->hashed_to = u->d->size;
	/* an empty one has no piece to look at */
	if (!u->d->size && look(u, 0, SPAN("")))
		r = err_set(e, E_DIGEST, "its bytes do not hash to it");
	apply_learned(u);
	while (r >= 0) {
		struct err fault = { 0 };
		struct exchange *x = NULL;
		unsigned status = 0;

		if (u->common->stop)
			r = -ECANCELED;
		else if (!u->s)
			r = open_plain(u, e);
		if (r < 0)
			break;
		if (u->chunk && u->chunk < u->min_chunk)
			u->chunk = u->min_chunk;
		r = step(u, &status, &x, &fault);
		if (r == AGAIN) {
			err_set(&fault, E_UNAVAILABLE, "the upload broke");
			r = mend(u, x, status, &fault, e);
		} else if (r < 0) {
			err_set(e, r, "%s", fault.text[0] ? fault.text : err_word(r));
		}
		exchange_close(x);
		if (r == DONE)
			break;
	}
	if (r < 0)
		return r;
	session_drop(u);
	if (u->m)
		atomic_store_explicit(&u->m->done, u->d->size, memory_order_relaxed);
	return 0;
}
