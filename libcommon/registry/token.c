/* Tokens: from a realm that a registry names, for the credentials that may go there. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/auth.h"

enum {
	TOKEN_REPLY_MAX = 256 << 10,
	TOKEN_TRIES = 3,
	EXPIRES_DEFAULT_S = 60,
	EXPIRES_NEVER_S = 1 << 30
};

/* What may be sent to a realm: the registry's credentials where the realm is the registry's, else
 * those that the user has for the realm. */
static int look_up_for_realm(struct auth *a, struct auth_entry *en, const struct auth_target *t,
			     const struct url *realm, struct credential *c, struct err *e)
{
	int related = realm_check(t->origin, realm, e);
	char authority[ORIGIN_TEXT_MAX];
	int r;

	if (related < 0)
		return related;
	if (t->anonymous) {
		memset(c, 0, sizeof(*c));
		return 0;
	}
	r = auth_look_up(a, en->domain, en->repository, c, e);
	en->bare = r == 0;
	/* a registry token does not go to the realm at all */
	if (r > 0 && c->registry_token)
		return r;
	if (r > 0 && related)
		network_trace(a->net, a->net->trace_auth, "auth: %s: they go to %s", en->domain,
			      url_brief(realm));
	if (r <= 0 || related)
		return r;
	credential_release(c);
	r = auth_look_up(a, origin_authority(&realm->origin, authority), "", c, e);
	if (r < 0 || (r > 0 && !c->registry_token))
		return r;
	credential_release(c);
	return err_set(e, E_AUTH,
		       "its token realm %s is another site: credentials for %s are not sent there",
		       url_brief(realm), en->domain);
}

/* ---- what is asked for ---- */

static void add_parameter(struct buf *b, char sep, const char *key, struct span value)
{
	buf_addc(b, sep);
	buf_adds(b, key);
	buf_addc(b, '=');
	url_add_escaped(b, value);
}

/* Whether a part of a challenge's scope is asked for already. */
static bool scope_covered(const struct auth *a, const struct strs *scopes, struct span part)
{
	size_t n = strlen(a->push) + 12;

	for (size_t i = 0; i < scopes->n; i++)
		if (span_is(part, scopes->v[i]))
			return true;
	return part.n > n && span_starts(part, "repository:") &&
	       span_eq(span_of(part.p + 11, n - 12), span_str(a->push)) && part.p[n - 1] == ':' &&
	       (span_is(span_tail(part, n), "pull") || span_is(span_tail(part, n), "push") ||
		span_is(span_tail(part, n), "push,pull"));
}

/* The scope that the challenge asks for, or reading the repository; where it is pushed to, one
 * token that serves for all that will be asked. */
static void scopes_of(const struct auth *a, const struct auth_entry *en, struct strs *out)
{
	struct span asked = span_str(en->challenge.scope), part;

	if (!a->push || strcmp(en->repository, a->push)) {
		if (asked.n)
			strs_add(out, en->challenge.scope);
		else if (*en->repository)
			strs_take(out, xasprintf("repository:%s:pull", en->repository));
		return;
	}
	strs_take(out, xasprintf("repository:%s:pull,push", a->push));
	if (a->alone)
		return;
	for (size_t i = 0; i < a->others.n; i++)
		strs_add(out, a->others.v[i]);
	while (span_cut(&asked, ' ', &part))
		if (part.n && !scope_covered(a, out, part))
			strs_take(out, span_dup(part));
}

/* Whether more is asked for than pushing takes. */
static bool asks_for_more(const struct auth *a, const struct auth_entry *en)
{
	_cleanup_(strs_release) struct strs scopes = { 0 };

	scopes_of(a, en, &scopes);
	return a->push && scopes.n > 1;
}

/* RFC 6750: the token goes into a header, so it may hold nothing that ends one. */
static bool token_valid(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
			return false;
	return s.n > 0;
}

static void token_store(struct auth_entry *en, struct span token, uint64_t expires)
{
	secret_free(en->value);
	en->value = xmalloc(token.n + 8);
	memcpy(en->value, "Bearer ", 7);
	memcpy(en->value + 7, token.p, token.n);
	en->value[7 + token.n] = 0;
	en->born = clock_ms();
	/* some seconds early, so that it lasts for the request that carries it */
	en->renew_at = en->born + expires * 1000 - MIN(expires * 250, 10000);
	en->generation++;
	en->accepted = false;
}

static int token_take(struct auth_entry *en, struct span reply, const struct url *realm,
		      struct err *e)
{
	_cleanup_(json_freep) struct json *doc = NULL;
	const struct json_limits lim = { .max_bytes = TOKEN_REPLY_MAX,
					 .max_values = 1000,
					 .max_depth = 16 };
	struct span token = { 0 };
	int64_t expires = EXPIRES_DEFAULT_S;
	int r = json_parse(reply, &lim, &doc, e);

	if (r < 0) {
		err_prefix(e, "the reply of %s", url_brief(realm));
		return r;
	}
	if ((!json_str(json_get(doc, "token"), &token) || token.n == 0) &&
	    !json_str(json_get(doc, "access_token"), &token))
		return err_set(e, E_PROTOCOL, "%s replies without a token", url_brief(realm));
	if (!token_valid(token))
		return err_set(e, E_PROTOCOL, "%s replies with a malformed token",
			       url_brief(realm));
	if (!json_i64(json_get(doc, "expires_in"), &expires) || expires <= 0)
		expires = EXPIRES_DEFAULT_S;
	expires = MIN(expires, 86400);
	token_store(en, token, (uint64_t)expires);
	return 0;
}

struct refusal {
	unsigned status;
	int64_t retry_after;
};

/* One request for a token. *no: of an error response. */
static int token_ask(struct auth *a, struct auth_entry *en, const struct http_request *q,
		     const struct url *u, unsigned flags, struct refusal *no, struct err *e)
{
	_cleanup_(exchange_closep) struct exchange *x = NULL;
	_cleanup_(secret_buf_release) struct buf reply = BUF_INIT;
	int r = exchange_open(a->net, q, u, flags, &x, e);

	if (r < 0)
		return r;
	if (x->res.status / 100 == 3)
		return err_set(e, E_AUTH,
			       "the token realm %s redirects, which is not followed (HTTP %u)",
			       url_brief(u), x->res.status);
	if (x->res.status / 100 != 2) {
		*no = (struct refusal){ x->res.status, exchange_retry_after(x) };
		r = exchange_fault(x, NULL, e);
		err_prefix(e, "token realm %s", url_brief(u));
		return r == E_NOT_FOUND ? E_AUTH : r;
	}
	buf_reserve(&reply, 16 << 10);
	r = stream_read_all(&x->body, TOKEN_REPLY_MAX, &reply);
	if (r < 0)
		return err_set(e, r, "the reply of %s: %s", url_brief(u),
			       x->err.text[0] ? x->err.text : err_word(r));
	return token_take(en, buf_span(&reply), u, e);
}

static int token_ask_retrying(struct auth *a, struct auth_entry *en, const struct http_request *q,
			      const struct url *u, unsigned flags, struct err *e)
{
	for (unsigned n = 0;; n++) {
		struct err fault = { 0 }, wait = { 0 };
		struct refusal no = { 0 };
		int r = token_ask(a, en, q, u, flags, &no, &fault);

		if (r == 0)
			return 0;
		if (n + 1 == TOKEN_TRIES || !fault_is_transient(r, no.status))
			return err_set(e, fault_final(r), "%s", fault.text);
		r = network_backoff(a->net, n, no.retry_after, &wait);
		if (r < 0)
			return err_set(e, r, "%s; %s", fault.text, wait.text);
	}
}

/* By GET with Basic or without credentials (distribution's token specification). */
static int token_get(struct auth *a, struct auth_entry *en, const struct url *realm, unsigned flags,
		     const struct credential *c, struct err *e)
{
	_cleanup_(buf_release) struct buf target = BUF_INIT;
	_cleanup_(strs_release) struct strs scopes = { 0 };
	_cleanup_(secret_buf_release) struct buf basic = BUF_INIT;
	struct url u = { .origin = realm->origin };
	struct http_request q = { .method = "GET" };
	struct span text = span_str(realm->target);
	char sep = span_find(text, '?') < text.n ? '&' : '?';

	scopes_of(a, en, &scopes);
	buf_add_span(&target, text);
	if (en->challenge.service) {
		add_parameter(&target, sep, "service", span_str(en->challenge.service));
		sep = '&';
	}
	for (size_t i = 0; i < scopes.n; i++, sep = '&')
		add_parameter(&target, sep, "scope", span_str(scopes.v[i]));
	if (c) {
		auth_basic(c, &basic);
		q.authorization = buf_str(&basic);
	}
	u.target = (char *)buf_str(&target);
	return token_ask_retrying(a, en, &q, &u, flags, e);
}

/* By POST with a refresh token (distribution's OAuth2 token specification). */
static int token_post(struct auth *a, struct auth_entry *en, const struct url *realm,
		      unsigned flags, const struct credential *c, struct err *e)
{
	_cleanup_(buf_release) struct buf scope = BUF_INIT;
	_cleanup_(strs_release) struct strs scopes = { 0 };
	_cleanup_(secret_buf_release) struct buf form = BUF_INIT;
	struct http_request q = { .method = "POST",
				  .content_type = "application/x-www-form-urlencoded" };

	scopes_of(a, en, &scopes);
	for (size_t i = 0; i < scopes.n; i++)
		buf_addf(&scope, "%s%s", i ? " " : "", scopes.v[i]);
	buf_reserve(&form, 3 * strlen(c->identity_token) + 64);
	/* the secret first, so that it never moves and leaves a copy behind */
	buf_adds(&form, "grant_type=refresh_token&client_id=ocibox");
	add_parameter(&form, '&', "refresh_token", span_str(c->identity_token));
	if (en->challenge.service)
		add_parameter(&form, '&', "service", span_str(en->challenge.service));
	if (scope.n)
		add_parameter(&form, '&', "scope", buf_span(&scope));
	q.body = buf_span(&form);
	return token_ask_retrying(a, en, &q, realm, flags, e);
}

static int token_request(struct auth *a, struct auth_entry *en, const struct url *realm,
			 unsigned flags, const struct credential *c, struct err *e)
{
	for (;;) {
		bool more = asks_for_more(a, en);
		struct err fault = { 0 };
		int r = c && c->identity_token ? token_post(a, en, realm, flags, c, &fault)
					       : token_get(a, en, realm, flags, c, &fault);

		/* who may not read what could be mounted may push all the same */
		if ((r != E_AUTH && r != E_PROTOCOL) || !more)
			return r < 0 ? err_set(e, r, "%s", fault.text) : r;
		a->alone = true;
	}
}

int token_fetch(struct auth *a, struct auth_entry *en, const struct auth_target *t, struct err *e)
{
	_cleanup_(url_release) struct url realm = { 0 };
	struct credential c;
	unsigned flags;
	int r = url_parse(span_str(en->challenge.realm), &realm, e);

	if (r < 0) {
		err_prefix(e, "its token realm");
		return E_AUTH;
	}
	flags = t->flags & NET_LOOPBACK_OK;
	if (strcmp(realm.origin.host, t->origin->host) == 0)
		flags = t->flags;
	r = look_up_for_realm(a, en, t, &realm, &c, e);
	if (r < 0)
		return r;
	if (r > 0 && c.registry_token) {
		token_store(en, span_str(c.registry_token), EXPIRES_NEVER_S);
		credential_release(&c);
		return 0;
	}
	r = token_request(a, en, &realm, flags, r ? &c : NULL, e);
	credential_release(&c);
	if (r == 0)
		network_trace(a->net, a->net->trace_auth, "auth: %s/%s: token from %s for %llu s",
			      en->domain, en->repository, url_brief(&realm),
			      (unsigned long long)(en->renew_at - en->born) / 1000);
	return r;
}
