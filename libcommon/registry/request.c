/* A request as the user means it: redirects followed, challenges answered, passing faults tried again.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/internal.h"

enum { REDIRECTS_MAX = 10, CHALLENGES_MAX = 3 };

bool fault_is_transient(int code, unsigned status)
{
	if (status)
		return status == 408 || status == 429 ||
		       (status >= 500 && status != 501 && status != 505);
	return (code < 0 && code > -10000) || code == E_TRUNCATED;
}

int request_backoff(struct registry *r, unsigned n, struct exchange *x, struct err *e)
{
	return network_backoff(&r->net, n, x ? exchange_retry_after(x) : 0, e);
}

/* ---- one hop ---- */

static struct auth_target target_of(const struct endpoint *p, const struct origin *home,
				    const struct url *u, unsigned *flags)
{
	bool same_host = strcmp(u->origin.host, home->host) == 0;
	bool same = origin_eq(&u->origin, home);

	*flags = same_host ? p->flags : host_is_loopback(home->host) ? NET_LOOPBACK_OK : 0;
	return (struct auth_target){
		.origin = &u->origin,
		.domain = same ? p->domain : NULL,
		.repository = same ? p->repository : "",
		.flags = *flags,
	};
}

/* Sends q to u, answering 401s as long as there is something to answer. */
static int hop(struct registry *r, struct endpoint *p, const struct origin *home,
	       const struct url *u, const struct http_request *template, struct exchange **out,
	       struct err *e)
{
	unsigned flags, generation;
	struct auth_target t = target_of(p, home, u, &flags);

	/* where a Location leads is nobody that the user has named (T62) */
	if (template->home_only && !t.domain)
		return exchange_open(&r->net, template, u, flags, out, e);
	for (unsigned i = 0;; i++) {
		_cleanup_(buf_release) struct buf authorization = BUF_INIT;
		struct http_request q = *template;
		struct exchange *x = NULL;
		int ret = auth_header(r->auth, &t, &authorization, &generation, e);

		if (ret < 0)
			return ret;
		if (authorization.n)
			q.authorization = buf_str(&authorization);
		ret = exchange_open(&r->net, &q, u, flags, &x, e);
		if (authorization.n)
			explicit_bzero(authorization.p, authorization.n);
		if (ret < 0)
			return ret;
		if (x->res.status != 401 && authorization.n)
			auth_accepted(r->auth, &t, generation);
		if (x->res.status != 401 || i == CHALLENGES_MAX) {
			x->bare = x->res.status == 401 && auth_is_bare(r->auth, &t);
			*out = x;
			return 0;
		}
		ret = auth_challenged(r->auth, &t, &x->res, generation, e);
		if (ret == 0) {
			x->bare = auth_is_bare(r->auth, &t);
			*out = x;
			return 0;
		}
		exchange_close(x);
		if (ret < 0)
			return ret;
	}
}

/* ---- redirects ---- */

int redirect_check(struct registry *r, const struct origin *home, const struct url *from,
		   const struct url *to, struct err *e)
{
	if (from->origin.https && !to->origin.https)
		return err_set(e, E_PROTOCOL, "it redirects from https to http, to %s",
			       url_brief(to));
	if (!to->origin.https && !r->plain_http && !host_is_loopback(to->origin.host))
		return err_set(e, E_PROTOCOL, "it redirects to plain http, to %s", url_brief(to));
	return origin_check_named(home, &to->origin, e);
}

/* What changes something is sent elsewhere only where that keeps the method and the body. */
static bool is_redirect(unsigned status, const char *method)
{
	if (status == 307 || status == 308)
		return true;
	return (status == 301 || status == 302 || status == 303) &&
	       (!strcmp(method, "GET") || !strcmp(method, "HEAD"));
}

static int follow(struct registry *r, struct endpoint *p, const struct origin *home,
		  const struct url *start, const struct http_request *q, struct exchange **out,
		  struct err *e)
{
	_cleanup_(url_release) struct url u = { 0 };

	url_copy(&u, start);

	for (unsigned i = 0; i <= REDIRECTS_MAX; i++) {
		struct url next = { 0 };
		struct exchange *x = NULL;
		struct span location;
		int ret = hop(r, p, home, &u, q, &x, e);

		if (ret < 0)
			return ret;
		location = http_response_field(&x->res, "Location", 0);
		if (!is_redirect(x->res.status, q->method) || !location.p) {
			*out = x;
			return 0;
		}
		ret = url_join(&u, location, &next, e);
		if (ret < 0)
			err_prefix(e, "redirect");
		else
			ret = redirect_check(r, home, &u, &next, e);
		exchange_close(x);
		if (ret < 0) {
			url_release(&next);
			return ret;
		}
		url_release(&u);
		u = next;
	}
	return err_set(e, E_PROTOCOL, "more than %d redirects", REDIRECTS_MAX);
}

/* ---- the scheme of a loopback registry ---- */

static struct origin home_of(struct endpoint *p, bool *probe)
{
	struct origin o;

	pthread_mutex_lock(&p->lock);
	o = p->origin;
	*probe = p->probe;
	pthread_mutex_unlock(&p->lock);
	return o;
}

static int follow_path(struct registry *r, struct endpoint *p, const struct origin *home,
		       const char *path, const struct http_request *q, struct exchange **out,
		       struct err *e)
{
	_cleanup_(url_release) struct url u = { .origin = *home, .target = xstrdup(path) };

	return follow(r, p, home, &u, q, out, e);
}

int request_url(struct registry *r, struct endpoint *p, const struct url *u,
		const struct http_request *q, struct exchange **out, struct err *e)
{
	bool probe;
	struct origin home = home_of(p, &probe);

	return follow(r, p, &home, u, q, out, e);
}

static void settle_scheme(struct endpoint *p, const struct origin *home)
{
	pthread_mutex_lock(&p->lock);
	p->probe = false;
	p->origin = *home;
	pthread_mutex_unlock(&p->lock);
}

/* What a server does when it is spoken to in the other protocol: it hangs up, answers in its own,
 * or says 400. */
static bool is_other_protocol(int ret, const struct exchange *x, const struct endpoint *p)
{
	if (ret == 0)
		return x->res.status == 400;
	return ret == E_NOT_TLS || ret == E_PROTOCOL || ret == -ECONNRESET || ret == -EPIPE ||
	       (ret == -ECONNREFUSED && !p->has_port);
}

/*
 * A registry on this host may speak plain HTTP or TLS. A plain request tells at once, to either
 * kind; a TLS hello may leave a plain server waiting for more. Where CAs were given TLS is what is
 * meant, and tried first.
 */
static int follow_probing(struct registry *r, struct endpoint *p, const char *path,
			  const struct http_request *q, struct exchange **out, struct err *e)
{
	struct err fault[2] = { 0 };
	struct exchange *x[2] = { 0 };
	struct origin home;
	int ret[2], chosen = 0;
	bool probe;

	home = home_of(p, &probe);
	if (!probe)
		return follow_path(r, p, &home, path, q, out, e);
	for (int i = 0; i < (CFG_TLS ? 2 : 1); i++) {
		home.https = CFG_TLS && (i == 0) == r->tls_first;
		if (!p->has_port)
			home.port = home.https ? 443 : 80;
		ret[i] = follow_path(r, p, &home, path, q, &x[i], &fault[i]);
		if (is_other_protocol(ret[i], x[i], p))
			continue;
		chosen = i;
		if (ret[i] == 0)
			settle_scheme(p, &home);
		break;
	}
	exchange_close(x[!chosen]);
	*out = x[chosen];
	if (ret[chosen] < 0)
		err_set(e, ret[chosen], "%s", fault[chosen].text);
	return ret[chosen];
}

/* ---- with retries ---- */

int fault_final(int code)
{
	return (code > -10000 && code < 0) || code == E_TRUNCATED || code == E_NOT_TLS
		       ? E_UNAVAILABLE
		       : code;
}

static bool is_among(unsigned status, const unsigned *list)
{
	while (list && *list && *list != status)
		list++;
	return list && *list;
}

int request_send(struct registry *r, struct endpoint *p, const char *path,
		 const struct http_request *q, const unsigned *others, unsigned *attempts,
		 struct exchange **out, struct err *e)
{
	for (unsigned n = 0;; n++) {
		struct err fault = { 0 };
		struct exchange *x = NULL;
		int ret = follow_probing(r, p, path, q, &x, &fault);
		bool again;

		if (ret == 0 && (x->res.status / 100 == 2 || is_among(x->res.status, others))) {
			*out = x;
			return 0;
		}
		again = fault_is_transient(ret, x ? x->res.status : 0) && *attempts > 0;
		if (x)
			ret = exchange_fault(x, x->bare ? "no credentials for it were found" : NULL,
					     &fault);
		if (again) {
			struct err wait = { 0 };

			(*attempts)--;
			ret = request_backoff(r, n, x, &wait);
			if (ret < 0)
				err_set(e, ret, "%s; %s", fault.text, wait.text);
		} else {
			err_set(e, fault_final(ret), "%s",
				fault.text[0] ? fault.text : err_word(ret));
			ret = fault_final(ret);
		}
		exchange_close(x);
		if (ret < 0)
			return ret;
	}
}

int request_get(struct registry *r, struct endpoint *p, const char *path,
		const struct http_request *q, unsigned *attempts, struct exchange **out,
		struct err *e)
{
	return request_send(r, p, path, q, NULL, attempts, out, e);
}
