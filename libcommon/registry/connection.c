/* One connection: made directly or by a proxy, with TLS or without; its bytes, and how long they may take. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "libcommon/registry/internal.h"

enum {
	SEND_MS = 60000,
	RECEIVE_SIZE = STREAM_WINDOW,
	RATE_WINDOW_MS = 30000,
	LOOPBACK_STALL_MS = 5000
};

unsigned network_head_ms = 120000;

void connection_close(struct connection *c)
{
	if (!c)
		return;
	tls_close(c->tls);
	fd_close(c->fd);
	free(c->buf);
	free(c);
}

/* ---- sending ---- */

/* Accounts for the time spent waiting for the peer; only that counts, a slow reader is none of its
 * fault. */
static int rate_check(struct connection *c, struct err *e)
{
	uint64_t need = c->net->min_rate;

	if (!c->measured || !need || c->wait_ms < RATE_WINDOW_MS)
		return 0;
	if (c->wait_bytes * 1000 / c->wait_ms < need)
		return err_set(e, E_TRY_LATER, "the server %s less than %llu bytes a second",
			       c->sending ? "takes" : "sends", (unsigned long long)need);
	c->wait_ms = c->wait_bytes = 0;
	return 0;
}

int connection_answered(struct connection *c, struct err *e)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	struct http_response *res = c->answer;

	if (c->in.pos == c->in.end && poll(&p, 1, 0) <= 0)
		return 0;
	/* the last words of TLS may be sent in the midst of this */
	if (!res)
		return E_ANSWERED;
	c->answer = NULL;
	struct span w = stream_peek(&c->in);
	c->answer = res;
	ssize_t used = w.n ? http_response_head(res, w, e) : 0;
	if (used < 0)
		return (int)used;
	stream_skip(&c->in, (size_t)used);
	return w.n && res->interim && !res->complete && !res->head.n && !res->cr ? 0 : E_ANSWERED;
}

/* Until the peer takes bytes. */
static int wait_writable(struct connection *c, struct err *e)
{
	struct pollfd p = { .fd = c->fd, .events = (short)(POLLOUT | (c->sending ? POLLIN : 0)) };
	unsigned ms = network_time(c->net, SEND_MS);
	uint64_t begin = clock_ms();

	if (ms == 0)
		return network_over(e);
	int n = poll(&p, 1, (int)ms);
	c->wait_ms += clock_ms() - begin;
	if (n == 0 && network_time(c->net, SEND_MS) > 0)
		return err_set(e, -ETIMEDOUT, "sending: the peer takes nothing");
	return n > 0 && p.revents & POLLIN ? connection_answered(c, e) : 0;
}

static int send_all(struct connection *c, struct span data, size_t *sent, struct err *e)
{
	int r = 0;

	*sent = 0;
	while (!r && *sent < data.n) {
		ssize_t n = send(c->fd, data.p + *sent, data.n - *sent, MSG_NOSIGNAL);

		if (n >= 0) {
			*sent += (size_t)n;
			c->wait_bytes += (uint64_t)n;
		} else if (errno == EAGAIN) {
			r = wait_writable(c, e);
			if (!r)
				r = rate_check(c, e);
		} else if (errno != EINTR) {
			return err_set(e, -errno, "sending: %s", strerror(errno));
		}
	}
	return r;
}

static int tls_send_pending(struct connection *c, struct err *e)
{
	for (;;) {
		struct span out = tls_pending(c->tls);
		size_t sent;
		int r;

		if (out.n == 0)
			return 0;
		r = send_all(c, out, &sent, e);
		tls_sent(c->tls, sent);
		if (r < 0)
			return r;
	}
}

int connection_write(struct connection *c, struct span data, struct err *e)
{
	size_t n;
	int r;

	if (!c->tls)
		return send_all(c, data, &n, e);
	while (data.n) {
		n = tls_write(c->tls, data);
		data = span_tail(data, n);
		tls_flush(c->tls);
		if (n == 0 && tls_pending(c->tls).n == 0)
			return err_set(e, -EPIPE, "sending: the TLS connection is closed");
		r = tls_send_pending(c, e);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- receiving ---- */

/* Until the head of an answer is there each byte may be waited for, but not all of them for ever:
 * what is left of that time. */
static unsigned head_time(const struct connection *c, unsigned ms)
{
	unsigned most = c->patient ? c->stall_ms : network_head_ms;

	if (c->measured)
		return ms;
	return c->wait_ms >= most ? 0 : (unsigned)MIN((uint64_t)ms, most - c->wait_ms);
}

static int wait_readable(struct connection *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	uint64_t begin = clock_ms(), end = begin + c->stall_ms;

	for (;;) {
		uint64_t now = clock_ms();
		unsigned ms = network_time(c->net, (unsigned)(end > now ? end - now : 0));
		int r;

		if (now >= end)
			return err_set(&c->err, -ETIMEDOUT, "nothing came for %u s",
				       c->stall_ms / 1000);
		if (ms == 0)
			return network_over(&c->err);
		ms = head_time(c, ms);
		if (ms == 0)
			return err_set(&c->err, E_TRY_LATER,
				       "the server takes longer than %u s to answer",
				       (c->patient ? c->stall_ms : network_head_ms) / 1000);
		if (c->measured && c->net->min_rate && c->wait_ms < RATE_WINDOW_MS)
			ms = (unsigned)MIN((uint64_t)ms, RATE_WINDOW_MS - c->wait_ms);
		r = poll(&p, 1, (int)ms);
		c->wait_ms += clock_ms() - now;
		if (r > 0)
			return 0;
		r = rate_check(c, &c->err);
		if (r < 0)
			return r;
	}
}

/* Bytes received, 0 at the end, or an error. */
static ssize_t receive(struct connection *c, unsigned char *buf, size_t size)
{
	for (;;) {
		ssize_t n = recv(c->fd, buf, size, 0);
		int r;

		if (n > 0) {
			c->net->stats.received += (uint64_t)n;
			c->wait_bytes += (uint64_t)n;
			r = rate_check(c, &c->err);
			return r < 0 ? r : n;
		}
		if (n == 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return err_set(&c->err, -errno, "receiving: %s", strerror(errno));
		r = wait_readable(c);
		if (r < 0)
			return r;
	}
}

static void plain_fill(struct stream *s)
{
	struct connection *c = container_of(s, struct connection, in);
	ssize_t n = receive(c, c->buf, RECEIVE_SIZE);

	if (n < 0)
		stream_fail(s, (int)n);
	else if (n == 0)
		s->eof = true;
	s->pos = c->buf;
	s->end = c->buf + (n > 0 ? n : 0);
}

static size_t plain_pull(struct stream *s, unsigned char *buf, size_t size)
{
	struct connection *c = container_of(s, struct connection, in);
	ssize_t n = receive(c, buf, size);

	if (n < 0)
		stream_fail(s, (int)n);
	else if (n == 0)
		s->eof = true;
	return n > 0 ? (size_t)n : 0;
}

/* Room for a record behind what has come of it. */
static void make_room(struct connection *c)
{
	if (c->lo == c->hi) {
		c->lo = c->hi = 0;
	} else if (RECEIVE_SIZE - c->lo < TLS_IN_MAX) {
		memmove(c->buf, c->buf + c->lo, c->hi - c->lo);
		c->hi -= c->lo;
		c->lo = 0;
	}
}

/* One step of TLS: sends what must be sent, takes one record, receiving bytes where one is not
 * whole yet. As tls_receive. */
static int tls_step(struct connection *c, struct span *data, struct err *e)
{
	size_t used;
	ssize_t n;
	/* of a body that the peer answered early the rest is not wanted */
	int r = c->sending ? 0 : tls_send_pending(c, e);

	if (r < 0)
		return r;
	r = tls_receive(c->tls, c->buf + c->lo, c->hi - c->lo, &used, data, e);
	c->lo += used;
	if (r <= 0) {
		/* the alert that tells the peer why */
		tls_send_pending(c, NULL);
		return r;
	}
	if (used)
		return 1;
	make_room(c);
	n = receive(c, c->buf + c->hi, RECEIVE_SIZE - c->hi);
	if (n < 0)
		return (int)n;
	c->hi += (size_t)n;
	/* whether an end without close_notify cuts something off is for the HTTP framing to say */
	c->cut = n == 0;
	return n > 0;
}

static void tls_fill(struct stream *s)
{
	struct connection *c = container_of(s, struct connection, in);
	struct span data = { 0 };
	int r;

	do {
		r = tls_step(c, &data, &c->err);
	} while (r > 0 && data.n == 0);
	if (r < 0) {
		stream_fail(s, r);
		return;
	}
	s->eof = r == 0;
	if (data.n) {
		s->pos = data.p;
		s->end = data.p + data.n;
	}
}

static const struct stream_ops plain_ops = { .fill = plain_fill, .pull = plain_pull };
static const struct stream_ops tls_ops = { .fill = tls_fill };

/* ---- opening ---- */

static int handshake(struct connection *c, struct err *e)
{
	uint64_t begin = clock_ms();
	char text[ORIGIN_TEXT_MAX];
	struct span data;
	int r = tls_open(c->net->trust, &c->origin, !(c->flags & NET_ANY_CERTIFICATE),
			 c->flags & NET_GIVEN, &c->tls, e);

	if (r < 0)
		return r;
	for (;;) {
		/* of a resumed session ours is the last word, and nothing comes after it */
		r = tls_send_pending(c, &c->err);
		if (r == 0 && tls_ready(c->tls))
			break;
		if (r == 0)
			r = tls_step(c, &data, &c->err);
		if (r == 0)
			r = err_set(&c->err, -ECONNRESET,
				    "the connection was closed during the TLS handshake");
		/* a plain HTTP server may take our hello for the beginning of a request, and wait
		 * for the rest */
		if (r == -ETIMEDOUT && host_is_loopback(c->origin.host))
			r = E_NOT_TLS;
		if (r < 0) {
			err_set(e, r, "%s: %s", origin_authority(&c->origin, text), c->err.text);
			return r;
		}
	}
	network_trace(c->net, c->net->trace_requests, "tls: %s: %s (%llu ms)",
		      origin_authority(&c->origin, text), tls_describe(c->tls),
		      (unsigned long long)(clock_ms() - begin));
	return 0;
}

/* Asks a proxy for a tunnel to the origin. */
static int tunnel(struct connection *c, const struct proxy *p, struct err *e)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(http_response_release) struct http_response res;
	char name[ORIGIN_TEXT_MAX], via[ORIGIN_TEXT_MAX];
	const char *colon = strchr(c->origin.host, ':');
	int r;

	origin_authority(&p->origin, via);
	snprintf(name, sizeof(name), colon ? "[%s]:%u" : "%s:%u", c->origin.host, c->origin.port);
	buf_addf(&b, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: ocibox\r\n", name, name);
	if (p->authorization)
		buf_addf(&b, "Proxy-Authorization: %s\r\n", p->authorization);
	buf_adds(&b, "\r\n");
	http_response_init(&res, "CONNECT");
	r = connection_write(c, buf_span(&b), e);
	while (r == 0 && !res.complete) {
		struct span w = stream_peek(&c->in);
		ssize_t used;

		if (w.n == 0)
			return err_set(e, c->in.err ? c->in.err : -ECONNRESET, "proxy %s: %s", via,
				       c->in.err ? c->err.text : "it closed the connection");
		used = http_response_head(&res, w, e);
		if (used < 0) {
			err_prefix(e, "proxy %s", via);
			return (int)used;
		}
		stream_skip(&c->in, (size_t)used);
	}
	if (r < 0)
		return r;
	if (res.status / 100 != 2)
		return err_set(e, res.status == 407 ? E_AUTH : E_UNAVAILABLE,
			       "the proxy %s opens no tunnel to %s (HTTP %u)", via, name,
			       res.status);
	if (c->in.pos != c->in.end)
		return err_set(e, E_PROTOCOL, "the proxy %s sends bytes before the tunnel stands",
			       via);
	network_trace(c->net, c->net->trace_requests, "proxy: tunnel through %s to %s", via, name);
	return 0;
}

int connection_open(struct network *n, const struct origin *o, unsigned flags,
		    struct connection **out, struct err *e)
{
	const struct proxy *p = proxy_for(&n->proxies, o);
	struct connection *c = xcalloc(1, sizeof(*c));
	int r;

	c->net = n;
	c->origin = *o;
	c->flags = flags;
	c->stall_ms = host_is_loopback(o->host) ? LOOPBACK_STALL_MS : 60000;
	c->in.ops = &plain_ops;
	c->fd = p ? dial(n, &p->origin, NET_GIVEN, e) : dial(n, o, flags, e);
	if (c->fd < 0) {
		r = c->fd;
		c->fd = -1;
		connection_close(c);
		return p ? err_prefix(e, "proxy") : r;
	}
	c->buf = xmalloc(RECEIVE_SIZE);
	c->via_proxy = p && !o->https;
	c->proxy_authorization = c->via_proxy ? p->authorization : NULL;
	r = p && o->https ? tunnel(c, p, e) : 0;
	if (r == 0 && o->https) {
		r = handshake(c, e);
		c->in.ops = &tls_ops;
	}
	if (r < 0) {
		connection_close(c);
		return r;
	}
	*out = c;
	return 0;
}
