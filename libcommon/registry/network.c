/* What all connections of a registry share, and those that are kept for the next request to the same origin. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libcommon/registry/internal.h"

enum { IDLE_MAX = 8, BACKOFF_MS = 250, BACKOFF_MAX_MS = 30000, RETRY_AFTER_MAX_S = 300 };

int network_open(struct network *n, const struct registry_options *o, struct err *e)
{
	memset(n, 0, sizeof(*n));
	pthread_mutex_init(&n->lock, NULL);
	n->deadline = o->deadline_ms ? clock_ms() + o->deadline_ms : 0;
	n->min_rate = o->min_rate;
	n->trace = o->trace;
	n->trace_arg = o->trace_arg;
	n->trace_requests = o->trace_requests;
	n->trace_auth = o->trace_auth;
	n->trust = trust_open(o->cacert, o->cert_dir);
	return proxies_from_env(&n->proxies, e);
}

void network_close(struct network *n)
{
	while (n->idle) {
		struct connection *c = n->idle;

		n->idle = c->next;
		connection_close(c);
	}
	proxies_release(&n->proxies);
	trust_close(n->trust);
	pthread_mutex_destroy(&n->lock);
}

void network_trace(struct network *n, bool on, const char *fmt, ...)
{
	char line[2048];
	va_list ap;

	if (!on || !n->trace)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	n->trace(n->trace_arg, line);
}

unsigned network_time(const struct network *n, unsigned ms)
{
	uint64_t now, end = n->deadline;

	if (!end)
		return ms;
	now = clock_ms();
	return now >= end ? 0 : (unsigned)MIN((uint64_t)ms, end - now);
}

int network_over(struct err *e)
{
	return err_set(e, E_TRY_LATER, "the deadline is over");
}

int network_sleep(const struct network *n, uint64_t ms, struct err *e)
{
	struct timespec t = { .tv_sec = (time_t)(ms / 1000),
			      .tv_nsec = (long)(ms % 1000) * 1000000 };

	uint64_t over = n->deadline;

	if (over && clock_ms() + ms >= over)
		return network_over(e);
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
	return 0;
}

int network_backoff(struct network *n, unsigned nth, int64_t asked, struct err *e)
{
	uint64_t ms = MIN((uint64_t)BACKOFF_MS << MIN(nth, 16u), (uint64_t)BACKOFF_MAX_MS);
	uint32_t noise = 0;

	if (asked > RETRY_AFTER_MAX_S)
		return err_set(e, E_TRY_LATER, "the server asks to come again in %lld s",
			       (long long)asked);
	random_bytes(&noise, sizeof(noise));
	ms = ms / 2 + noise % (ms / 2 + 1);
	ms = MAX(ms, (uint64_t)asked * 1000);
	n->stats.retries++;
	network_trace(n, n->trace_requests, "http: next try in %llu ms", (unsigned long long)ms);
	return network_sleep(n, ms, e);
}

/* ---- keeping ---- */

static struct connection *take_idle(struct network *n, const struct origin *o, unsigned flags)
{
	struct connection *c, **at;

	pthread_mutex_lock(&n->lock);
	for (at = &n->idle; (c = *at); at = &c->next) {
		if (c->flags != flags || !origin_eq(&c->origin, o))
			continue;
		*at = c->next;
		n->idle_n--;
		break;
	}
	pthread_mutex_unlock(&n->lock);
	return c;
}

/* A kept connection on which something came meanwhile was closed, or is no longer in step. */
static bool is_quiet(const struct connection *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	return c->lo == c->hi && poll(&p, 1, 0) == 0;
}

int connection_get(struct network *n, const struct origin *o, unsigned flags,
		   struct connection **out, struct err *e)
{
	bool fresh = flags & NET_FRESH;
	struct connection *c;

	flags &= ~(unsigned)NET_FRESH;
	while (!fresh && (c = take_idle(n, o, flags))) {
		if (is_quiet(c)) {
			c->reused = true;
			c->measured = c->patient = false;
			c->wait_ms = 0;
			*out = c;
			return 0;
		}
		connection_close(c);
	}
	return connection_open(n, o, flags, out, e);
}

void connection_put(struct connection *c, bool reusable)
{
	struct network *n = c->net;

	if (reusable && c->in.pos == c->in.end && !c->in.err && !c->in.eof) {
		pthread_mutex_lock(&n->lock);
		if (n->idle_n < IDLE_MAX) {
			c->next = n->idle;
			n->idle = c;
			n->idle_n++;
			c = NULL;
		}
		pthread_mutex_unlock(&n->lock);
	}
	connection_close(c);
}
