/* One request and its response, whose body is a stream on the connection's window: nothing is
 * copied. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libcommon/registry/internal.h"

enum {
	HEAD_STALL_MS = 60000,
	PATIENCE_MS = 600000,
	DRAIN_MAX = 64 << 10,
	PULL_MIN = 32 << 10,
	SEND_PIECE = 256 << 10,
};

unsigned network_stall_ms = 30000;

/* ---- the body ---- */

/* Drops from the connection what the body's window showed. */
static void body_settle(struct exchange *x)
{
	if (x->used)
		stream_skip(&x->c->in, x->used);
	x->used = 0;
}

static void body_ends(struct exchange *x)
{
	x->over = true;
	x->body.eof = true;
}

static void body_fill(struct stream *s)
{
	struct exchange *x = container_of(s, struct exchange, body);
	struct stream *in = &x->c->in;

	body_settle(x);
	for (;;) {
		struct span w = span_of(in->pos, (size_t)(in->end - in->pos));
		size_t skip, data;
		int r = http_response_body(&x->res, w, &skip, &data, &x->err);

		if (r < 0) {
			stream_fail(s, r);
			return;
		}
		if (data) {
			s->pos = w.p + skip;
			s->end = s->pos + data;
			x->used = skip + data;
			return;
		}
		if (skip)
			stream_skip(in, skip);
		if (r == 0) {
			body_ends(x);
			return;
		}
		if (stream_peek(in).n)
			continue;
		r = in->err ? in->err : http_response_end(&x->res);
		/* where only the end of the connection ends the body, anybody on the way can do that */
		if (r == 0 && x->res.framing == HTTP_TO_CLOSE && x->c->cut)
			r = E_TRUNCATED;
		if (r == 0) {
			body_ends(x);
			return;
		}
		err_set(&x->err, r, "%s",
			in->err ? x->c->err.text
				: "the connection was closed in the middle of the body");
		stream_fail(s, r);
		return;
	}
}

/* Large pieces of a body of known length go from the socket to the reader's memory. */
static size_t body_pull(struct stream *s, unsigned char *buf, size_t n)
{
	struct exchange *x = container_of(s, struct exchange, body);
	struct stream *in = &x->c->in;
	struct span w;

	body_settle(x);
	if (in->pos == in->end && in->ops->pull && x->res.framing == HTTP_LENGTH &&
	    x->res.left >= PULL_MIN && n >= PULL_MIN) {
		size_t got = stream_pull(in, buf, (size_t)MIN((uint64_t)n, x->res.left));

		x->res.left -= got;
		if (got)
			return got;
	}
	body_fill(s);
	w = span_of(s->pos, MIN(n, (size_t)(s->end - s->pos)));
	if (w.n == 0)
		return 0;
	memcpy(buf, w.p, w.n);
	s->pos += w.n;
	return w.n;
}

static const struct stream_ops body_ops = { .fill = body_fill, .pull = body_pull };

/* ---- request and head ---- */

static int read_head(struct connection *c, struct http_response *res, bool patient, struct err *e)
{
	c->stall_ms = patient ? PATIENCE_MS : HEAD_STALL_MS;
	c->patient = patient;
	c->measured = false;
	while (!res->complete) {
		struct span w = stream_peek(&c->in);
		ssize_t used;

		if (w.n == 0)
			return err_set(e, c->in.err ? c->in.err : -ECONNRESET, "%s",
				       c->in.err ? c->err.text
						 : "the connection was closed before an answer");
		used = http_response_head(res, w, e);
		if (used < 0)
			return (int)used;
		stream_skip(&c->in, (size_t)used);
	}
	c->stall_ms = network_stall_ms;
	c->measured = true;
	c->wait_ms = c->wait_bytes = 0;
	return 0;
}

static int send_file(struct connection *c, struct http_body *f, struct http_response *res,
		     struct err *e)
{
	_cleanup_(freep) unsigned char *piece = xmalloc(SEND_PIECE);
	int r = 0;

	c->sending = c->measured = true;
	c->answer = res;
	c->wait_ms = c->wait_bytes = 0;
	f->fault = 0;
	f->sent = 0;
	for (uint64_t at = 0; !r && at < f->length;) {
		size_t n = (size_t)MIN(f->length - at, (uint64_t)SEND_PIECE);
		ssize_t got = fd_pread_full(f->fd, piece, n, f->offset + at);

		if (got < (ssize_t)n)
			f->fault = got < 0 ? (int)got : E_TRUNCATED;
		else if (f->look)
			f->fault = f->look(f->arg, at, span_of(piece, n));
		if (f->fault)
			return err_set(e, f->fault, "%s", err_word(f->fault));
		r = connection_answered(c, e);
		if (!r)
			r = connection_write(c, span_of(piece, n), e);
		if (r < 0)
			return r;
		at += n;
		f->sent = at;
		c->net->stats.sent += n;
	}
	if (!r)
		c->sending = false;
	c->wait_ms = c->wait_bytes = 0;
	return r;
}

static int send_and_read(struct connection *c, const struct http_request *q, const struct url *u,
			 struct http_response *res, struct err *e)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int r;

	http_request_write(&b, q, u, c->via_proxy, c->proxy_authorization);
	http_response_init(res, q->method);
	r = connection_write(c, buf_span(&b), e);
	/* the buffer held secrets */
	explicit_bzero(b.p, b.n);
	if (r == 0 && q->file)
		r = send_file(c, q->file, res, e);
	if (r == 0)
		return read_head(c, res, q->patient, e);
	/* a server that refuses early may have said why */
	if (r == -EPIPE || r == -ECONNRESET || r == E_ANSWERED) {
		struct err late = { 0 };
		int answer = read_head(c, res, false, &late);

		res->keep_alive = false;
		if (answer == 0)
			return 0;
		if (r == E_ANSWERED)
			r = err_set(e, answer, "%s", late.text);
	}
	return r;
}

int exchange_open(struct network *n, const struct http_request *q, const struct url *u,
		  unsigned flags, struct exchange **out, struct err *e)
{
	struct exchange *x = NULL;
	uint64_t begin = clock_ms();
	int r;

	for (;;) {
		struct err fault = { 0 };
		struct connection *c;
		bool stale;

		r = connection_get(n, &u->origin, flags, &c, e);
		if (r < 0)
			break;
		x = xcalloc(1, sizeof(*x));
		x->c = c;
		n->stats.requests++;
		r = send_and_read(c, q, u, &x->res, &fault);
		if (r == 0)
			break;
		/* the server closed a kept connection just when we took it; of a large body it may
		 * have taken a part, and who sends it asks how much */
		stale = c->reused && x->res.seen == 0 && r != -ETIMEDOUT && r != E_TRY_LATER &&
			!q->file;
		http_response_release(&x->res);
		connection_put(c, false);
		free(x);
		if (!stale) {
			char text[ORIGIN_TEXT_MAX];

			err_set(e, r, "%s: %s", origin_authority(&u->origin, text), fault.text);
			break;
		}
		flags |= NET_FRESH;
	}
	if (r < 0) {
		network_trace(n, n->trace_requests, "http: %s %s -> %s", q->method, url_brief(u),
			      e ? e->text : err_word(r));
		return r;
	}
	network_trace(n, n->trace_requests, "http: %s %s%s -> %u (%llu ms%s)", q->method,
		      url_brief(u), q->authorization ? " with authorization" : "", x->res.status,
		      (unsigned long long)(clock_ms() - begin),
		      x->c->reused ? ", kept connection" : "");
	url_copy(&x->url, u);
	x->authorized = q->authorization != NULL;
	x->body.ops = &body_ops;
	*out = x;
	return 0;
}

/* Reads a short rest of the body, so that the connection can serve another request. */
static void drain(struct exchange *x)
{
	size_t left = DRAIN_MAX;

	x->c->stall_ms = 2000;
	if (x->res.framing == HTTP_TO_CLOSE ||
	    (x->res.framing == HTTP_LENGTH && x->res.left > DRAIN_MAX))
		return;
	for (struct span w = stream_peek(&x->body); w.n && w.n <= left; w = stream_peek(&x->body)) {
		stream_skip(&x->body, w.n);
		left -= w.n;
	}
}

void exchange_close(struct exchange *x)
{
	if (!x)
		return;
	if (!x->over && !x->body.err && x->res.keep_alive)
		drain(x);
	if (!x->body.err)
		body_settle(x);
	connection_put(x->c, x->over && x->res.keep_alive);
	http_response_release(&x->res);
	url_release(&x->url);
	free(x);
}

void exchange_closep(struct exchange **x)
{
	exchange_close(*x);
}

/* ---- error responses ---- */

int64_t exchange_retry_after(const struct exchange *x)
{
	struct span value = http_response_field(&x->res, "Retry-After", 0);
	int64_t s = value.p ? retry_after_parse(value, (int64_t)time(NULL)) : 0;

	return MAX(s, (int64_t)0);
}

static const char *status_word(unsigned status)
{
	static const struct {
		unsigned status;
		const char *word;
	} words[] = {
		{ 400, "bad request" },
		{ 401, "authentication required" },
		{ 403, "access denied" },
		{ 404, "not found" },
		{ 405, "not allowed" },
		{ 406, "not acceptable" },
		{ 408, "request timeout" },
		{ 410, "gone" },
		{ 416, "range not satisfiable" },
		{ 429, "too many requests" },
		{ 451, "unavailable for legal reasons" },
		{ 500, "internal server error" },
		{ 502, "bad gateway" },
		{ 503, "service unavailable" },
		{ 504, "gateway timeout" },
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (words[i].status == status)
			return words[i].word;
	return status < 400 ? "unexpected status" : "refused";
}

static int status_code(unsigned status)
{
	if (status == 401 || status == 403 || status == 451)
		return E_AUTH;
	if (status == 404 || status == 410)
		return E_NOT_FOUND;
	if (status == 408 || status == 429)
		return E_TRY_LATER;
	return status >= 500 ? E_UNAVAILABLE : E_PROTOCOL;
}

/* {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}, or what token servers say
 * instead. */
static struct span error_message(const struct json *doc)
{
	const struct json *first = json_at(json_get(doc, "errors"), 0);
	static const char *const keys[] = { "message", "details", "error_description", "error" };
	struct span s = { 0 };

	if (json_str(json_get(first, "message"), &s) && s.n)
		return s;
	if (json_str(json_get(first, "code"), &s) && s.n)
		return s;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (json_str(json_get(doc, keys[i]), &s) && s.n)
			return s;
	return (struct span){ 0 };
}

int exchange_fault(struct exchange *x, const char *hint, struct err *e)
{
	_cleanup_(buf_release) struct buf raw = BUF_INIT, words = BUF_INIT;
	_cleanup_(json_freep) struct json *doc = NULL;
	const struct json_limits lim = { .max_bytes = DRAIN_MAX,
					 .max_values = 2000,
					 .max_depth = 16 };
	struct err ignored = { 0 };
	unsigned status = x->res.status;
	struct span message = { 0 };

	if (stream_read_all(&x->body, DRAIN_MAX, &raw) == 0 && raw.n && raw.p[0] == '{' &&
	    json_parse(buf_span(&raw), &lim, &doc, &ignored) == 0)
		message = error_message(doc);
	/* what Go's servers say of HTTP on a port for HTTPS */
	struct span text = span_trim(buf_span(&raw));
	if (status == 400 && text.n && !strchr("{<", text.p[0]) && span_find(text, '\n') == text.n)
		message = text;
	if (message.n)
		buf_add_quoted(&words, message, 256);
	else
		buf_adds(&words, status_word(status));
	return err_set(e, status_code(status), "%s (HTTP %u)%s%s", buf_str(&words), status,
		       hint ? "; " : "", hint ? hint : "");
}
