/*
 * A blob as a stream that heals itself. Whatever cuts it, the rest is asked for at the registry's
 * own URL again (with a fresh redirect and, where it is time, a fresh token), from the byte that is
 * needed next. Bytes are handed on as they come; who wants them verified stands a stream_verify on
 * top.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/internal.h"

/* So much progress earns the full number of retries again. */
enum { PROGRESS = 1 << 20 };

struct blob {
	struct stream s;
	struct registry *r;
	struct endpoint *p; /* that is asked at present */
	char digest[DIGEST_TEXT_MAX];
	uint64_t size;
	uint64_t at;	     /* of the blob, behind what was handed on */
	uint64_t last_fault; /* where it was then */
	size_t shown;	     /* bytes of x's window that are in ours */
	char *etag;	     /* a strong one, of the first response */
	bool no_ranges;	     /* the server cannot do them */
	unsigned attempts, faults;
	struct exchange *x;
	struct err *e;
};

static char *strong_etag(const struct exchange *x)
{
	struct span value = http_response_field(&x->res, "ETag", 0);

	return value.n >= 2 && value.n <= 256 && value.p[0] == '"' && value.p[value.n - 1] == '"'
		       ? span_dup(value)
		       : NULL;
}

/* "bytes FIRST-LAST/TOTAL" */
static int content_range(struct span value, uint64_t *first, uint64_t *total)
{
	struct span s = value, part;

	if (s.n < 6 || !span_is_nocase(span_of(s.p, 6), "bytes "))
		return E_PROTOCOL;
	s = span_trim(span_tail(s, 6));
	if (!span_cut(&s, '-', &part) || num_u64(part, INT64_MAX, first) < 0)
		return E_PROTOCOL;
	if (!span_cut(&s, '/', &part) || !s.p)
		return E_PROTOCOL;
	if (span_is(s, "*"))
		*total = UINT64_MAX;
	else if (num_u64(s, INT64_MAX, total) < 0)
		return E_PROTOCOL;
	return 0;
}

static int size_fault(const struct blob *b, uint64_t got, struct err *e)
{
	return err_set(e, E_SIZE,
		       "blob %.19s: the registry has %llu bytes, its descriptor says %llu",
		       b->digest, (unsigned long long)got, (unsigned long long)b->size);
}

/* Whether the response holds the blob from b->at on, or all of it (then *skip). */
static int response_check(struct blob *b, const struct exchange *x, uint64_t *skip, struct err *e)
{
	struct span range = http_response_field(&x->res, "Content-Range", 0);
	_cleanup_(freep) char *etag = strong_etag(x);
	uint64_t first, total;

	*skip = 0;
	if (x->res.status == 206) {
		if (b->at == 0)
			return err_set(e, E_PROTOCOL,
				       "blob %.19s: a part came where all was asked for",
				       b->digest);
		if (!range.p || content_range(range, &first, &total) < 0 || first != b->at)
			return err_set(e, E_PROTOCOL,
				       "blob %.19s: another part came than was asked for: \"%s\"",
				       b->digest, quoted(range));
		if (total != UINT64_MAX && total != b->size)
			return size_fault(b, total, e);
		if (b->etag && etag && strcmp(b->etag, etag) != 0)
			return err_set(e, E_PROTOCOL, "blob %.19s: it has another ETag now",
				       b->digest);
	} else {
		*skip = b->at;
		if (x->res.framing == HTTP_LENGTH && x->res.left != b->size)
			return size_fault(b, x->res.left, e);
	}
	if (!b->etag)
		b->etag = steal_ptr(&etag);
	return 0;
}

/* Asks one endpoint for the rest. */
static int blob_ask(struct blob *b, bool ranged, struct exchange **out, uint64_t *skip,
		    struct err *e)
{
	_cleanup_(freep) char *path = xasprintf("/v2/%s/blobs/%s", b->p->repository, b->digest);
	struct http_request q = {
		.method = "GET", .accept = "*/*", .from = ranged ? b->at : 0, .if_range = b->etag
	};
	_cleanup_(exchange_closep) struct exchange *x = NULL;
	int r = request_get(b->r, b->p, path, &q, &b->attempts, &x, e);

	if (r < 0)
		return r;
	r = response_check(b, x, skip, e);
	if (r == 0)
		*out = steal_ptr(&x);
	return r;
}

/*
 * Where a server cannot do ranges, or shows by its ETag that this is another copy of the blob, all
 * of it is asked for and what is known passed over: the digest says that it is the same.
 */
static int blob_ask_range(struct blob *b, struct exchange **out, uint64_t *skip, struct err *e)
{
	struct err fault = { 0 };
	int r = blob_ask(b, b->at > 0 && !b->no_ranges, out, skip, &fault);

	if (r == E_PROTOCOL && b->at > 0 && !b->no_ranges) {
		network_trace(&b->r->net, b->r->net.trace_requests,
			      "blob: %s; asking for all of it", fault.text);
		b->no_ranges = true;
		free(steal_ptr(&b->etag));
		return blob_ask(b, false, out, skip, e);
	}
	return r < 0 ? err_set(e, r, "%s", fault.text) : 0;
}

/* Leaves this endpoint for the next one that lives; false where it is the last. */
static bool blob_next(struct blob *b, const struct err *why)
{
	if (endpoint_is_last(b->r, b->p))
		return false;
	endpoint_give_up(b->r, b->p, why);
	do {
		b->p++;
	} while (b->p->dead && !endpoint_is_last(b->r, b->p));
	b->attempts = endpoint_retries(b->r, b->p);
	b->faults = 0;
	b->no_ranges = false;
	free(steal_ptr(&b->etag));
	return true;
}

/* Passes over what is known of a response that begins at the start. */
static int blob_pass_over(struct blob *b, uint64_t skip, struct err *e)
{
	struct exchange *x;
	int r = stream_discard(&b->x->body, skip);

	if (r == 0)
		return 0;
	x = steal_ptr(&b->x);
	err_set(e, r, "%s", x->err.text[0] ? x->err.text : err_word(r));
	exchange_close(x);
	return r;
}

/* The rest of the blob from this endpoint, or else from the next. */
static int blob_open(struct blob *b, struct err *e)
{
	for (;;) {
		struct err fault = { 0 };
		uint64_t skip = 0;
		int r = blob_ask_range(b, &b->x, &skip, &fault);

		if (r == 0)
			r = blob_pass_over(b, skip, &fault);
		if (r == 0)
			return 0;
		if (fault_is_transient(r, 0) && b->attempts > 0) {
			b->attempts--;
			r = request_backoff(b->r, b->faults++, NULL, e);
			if (r < 0)
				return r;
			continue;
		}
		fault.code = fault_is_transient(r, 0) ? E_UNAVAILABLE : r;
		if (!blob_next(b, &fault))
			return err_set(e, fault.code, "%s", fault.text);
	}
}

/* The body ended or failed before all was there. */
static int blob_heal(struct blob *b)
{
	struct exchange *x = steal_ptr(&b->x);
	int code = x->body.err ? x->body.err : E_TRUNCATED;
	struct err fault = { 0 };
	bool transient;

	err_set(&fault, code, "blob %.19s: %s after %llu bytes", b->digest,
		x->err.text[0] ? x->err.text : "it ends", (unsigned long long)b->at);
	exchange_close(x);
	network_trace(&b->r->net, b->r->net.trace_requests, "blob: %s", fault.text);
	if (b->at - b->last_fault >= PROGRESS) {
		b->attempts = endpoint_retries(b->r, b->p);
		b->faults = 0;
	}
	b->last_fault = b->at;
	/* framing that breaks in the middle was damaged on the way, as often as not */
	transient = fault_is_transient(code, 0) || code == E_PROTOCOL;
	if (transient && b->attempts > 0) {
		int r;

		b->attempts--;
		r = request_backoff(b->r, b->faults++, NULL, b->e);
		if (r < 0) {
			err_prefix(b->e, "%s", fault.text);
			return r;
		}
	} else {
		fault.code = transient && code != E_PROTOCOL ? E_UNAVAILABLE : code;
		if (!blob_next(b, &fault))
			return err_set(b->e, fault.code, "%s%s", fault.text,
				       transient ? ", and no more tries" : "");
	}
	return blob_open(b, b->e);
}

/* The window of the body, healing it where it must be; empty at the end or after an error. */
static struct span blob_window(struct blob *b)
{
	for (;;) {
		struct span w;
		int r;

		w = stream_peek(&b->x->body);
		if (w.n)
			return w;
		if (b->at >= b->size) {
			b->s.eof = true;
			return w;
		}
		r = blob_heal(b);
		if (r < 0) {
			stream_fail(&b->s, r);
			return w;
		}
	}
}

static void blob_settle(struct blob *b)
{
	if (b->shown)
		stream_skip(&b->x->body, b->shown);
	b->shown = 0;
}

static void blob_fill(struct stream *s)
{
	struct blob *b = container_of(s, struct blob, s);
	struct span w;

	blob_settle(b);
	w = blob_window(b);
	if (w.n == 0)
		return;
	s->pos = w.p;
	s->end = w.p + w.n;
	b->shown = w.n;
	b->at += w.n;
}

static size_t blob_pull(struct stream *s, unsigned char *buf, size_t n)
{
	struct blob *b = container_of(s, struct blob, s);
	size_t got;

	blob_settle(b);
	got = stream_pull(&b->x->body, buf, n);
	if (!got) {
		struct span w = blob_window(b);

		got = MIN(n, w.n);
		if (got) {
			memcpy(buf, w.p, got);
			stream_skip(&b->x->body, got);
		}
	}
	b->at += got;
	return got;
}

static void blob_close(struct stream *s)
{
	struct blob *b = container_of(s, struct blob, s);

	if (b->x)
		blob_settle(b);
	exchange_close(b->x);
	free(b->etag);
	free(b);
}

static const struct stream_ops blob_ops = { .fill = blob_fill,
					    .pull = blob_pull,
					    .close = blob_close };

int registry_get_blob(struct registry *r, const struct descriptor *d, uint64_t offset,
		      struct stream **out, struct err *e)
{
	struct blob *b;
	int ret = 0;

	if (offset > d->size)
		return err_set(e, E_SIZE, "a blob of %llu bytes cannot go on at %llu",
			       (unsigned long long)d->size, (unsigned long long)offset);
	b = xcalloc(1, sizeof(*b));
	b->s.ops = &blob_ops;
	b->r = r;
	b->e = e;
	b->size = d->size;
	b->at = b->last_fault = offset;
	digest_text(&d->digest, b->digest);
	b->p = r->endpoints;
	while (b->p->dead && !endpoint_is_last(r, b->p))
		b->p++;
	b->attempts = endpoint_retries(r, b->p);
	if (offset == d->size && offset > 0)
		b->s.eof = true;
	else
		ret = blob_open(b, e);
	if (ret < 0) {
		blob_close(&b->s);
		return ret;
	}
	*out = &b->s;
	return 0;
}
