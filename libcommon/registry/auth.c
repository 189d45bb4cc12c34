/*
 * Authorization. Nothing is offered before it is asked for; what is offered belongs to one origin; a token is fetched by
 * one of the threads that need it, and renewed before it ends.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/auth.h"

enum { CHALLENGES_MAX = 8 };

void secret_free(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

void secret_buf_release(struct buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->cap);
	buf_release(b);
}

struct auth *auth_open(struct network *n, struct credentials *c)
{
	struct auth *a = xcalloc(1, sizeof(*a));

	a->net = n;
	a->credentials = c;
	pthread_mutex_init(&a->lock, NULL);
	pthread_mutex_init(&a->look_up, NULL);
	return a;
}

void auth_close(struct auth *a)
{
	if (!a)
		return;
	while (a->entries) {
		struct auth_entry *en = a->entries;

		a->entries = en->next;
		challenge_release(&en->challenge);
		secret_free(en->value);
		free(en->domain);
		free(en->repository);
		pthread_mutex_destroy(&en->lock);
		free(en);
	}
	pthread_mutex_destroy(&a->lock);
	pthread_mutex_destroy(&a->look_up);
	strs_release(&a->others);
	free(a->push);
	free(a);
}

void auth_want_push(struct auth *a, const char *repository)
{
	a->push = xstrdup(repository);
}

void auth_want_pull(struct auth *a, const char *other_repository)
{
	_cleanup_(freep) char *scope = xasprintf("repository:%s:pull", other_repository);

	for (size_t i = 0; i < a->others.n; i++)
		if (!strcmp(a->others.v[i], scope))
			return;
	strs_take(&a->others, steal_ptr(&scope));
}

static struct auth_entry *entry_of(struct auth *a, const struct auth_target *t)
{
	char authority[ORIGIN_TEXT_MAX];
	const char *domain = t->domain ? t->domain : origin_authority(t->origin, authority);
	struct auth_entry *en;

	pthread_mutex_lock(&a->lock);
	for (en = a->entries; en; en = en->next)
		if (origin_eq(&en->origin, t->origin) && strcmp(en->domain, domain) == 0 &&
		    strcmp(en->repository, t->repository) == 0)
			break;
	if (!en) {
		en = xcalloc(1, sizeof(*en));
		en->origin = *t->origin;
		en->domain = xstrdup(domain);
		en->repository = xstrdup(t->repository);
		pthread_mutex_init(&en->lock, NULL);
		en->next = a->entries;
		a->entries = en;
	}
	pthread_mutex_unlock(&a->lock);
	return en;
}

/* ---- credentials ---- */

int auth_look_up(struct auth *a, const char *domain, const char *repository, struct credential *c,
		 struct err *e)
{
	int r = 0;

	memset(c, 0, sizeof(*c));
	if (a->credentials) {
		pthread_mutex_lock(&a->look_up);
		unsigned ms = network_time(a->net, CREDENTIAL_HELPER_MS);
		r = ms ? credentials_find(a->credentials, domain, repository, ms, c, e)
		       : E_TRY_LATER;
		pthread_mutex_unlock(&a->look_up);
	}
	if (r < 0 && network_time(a->net, 1) == 0)
		return network_over(e);
	if (r < 0)
		return r;
	network_trace(a->net, a->net->trace_auth, "auth: %s%s%s: %s%s", domain,
		      *repository ? "/" : "", repository, r ? "credentials from " : "anonymous: ",
		      c->source ? c->source : "no credentials");
	if (!r)
		credential_release(c);
	return r;
}

void auth_basic(const struct credential *c, struct buf *out)
{
	_cleanup_(secret_buf_release) struct buf pair = BUF_INIT;

	buf_reserve(&pair, strlen(c->username) + strlen(c->password) + 2);
	buf_reserve(out, (strlen(c->username) + strlen(c->password)) * 2 + 16);
	buf_adds(&pair, c->username);
	buf_addc(&pair, ':');
	buf_adds(&pair, c->password);
	buf_adds(out, "Basic ");
	base64_encode(buf_span(&pair), out);
}

/* ---- what requests ask ---- */

int auth_header(struct auth *a, const struct auth_target *t, struct buf *out, unsigned *generation,
		struct err *e)
{
	struct auth_entry *en = entry_of(a, t);
	int r = 0;

	pthread_mutex_lock(&en->lock);
	if (en->challenge.scheme == CHALLENGE_BEARER && en->value && clock_ms() >= en->renew_at)
		r = token_fetch(a, en, t, e);
	if (r == 0 && en->value) {
		buf_reserve(out, strlen(en->value) + 1);
		buf_adds(out, en->value);
	}
	*generation = en->generation;
	pthread_mutex_unlock(&en->lock);
	return r;
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_challenge(const struct challenge *a, const struct challenge *b)
{
	return a->scheme == b->scheme && same_text(a->realm, b->realm) &&
	       same_text(a->service, b->service) && same_text(a->scope, b->scope);
}

static int read_challenges(const struct http_response *res, struct challenge *c)
{
	for (unsigned i = 0; i < CHALLENGES_MAX; i++) {
		struct span value = http_response_field(res, "WWW-Authenticate", i);

		if (!value.p)
			break;
		challenge_parse(value, c);
	}
	return c->scheme;
}

static int answer_basic(struct auth *a, struct auth_entry *en, const struct auth_target *t,
			struct err *e)
{
	_cleanup_(secret_buf_release) struct buf value = BUF_INIT;
	char origin[ORIGIN_TEXT_MAX];
	struct credential c;
	int r;

	/* they were offered, and refused */
	if (en->value || t->anonymous)
		return 0;
	r = auth_look_up(a, en->domain, en->repository, &c, e);
	en->bare = r == 0;
	if (r <= 0)
		return r;
	if (*c.username) {
		network_trace(a->net, a->net->trace_auth, "auth: %s: they go to %s", en->domain,
			      origin_text(&en->origin, origin));
		auth_basic(&c, &value);
		en->value = xstrdup(buf_str(&value));
		en->generation++;
	} else {
		r = 0;
	}
	credential_release(&c);
	return r;
}

int auth_challenged(struct auth *a, const struct auth_target *t, const struct http_response *res,
		    unsigned generation, struct err *e)
{
	struct auth_entry *en = entry_of(a, t);
	struct challenge c = { 0 };
	int r = 0;

	pthread_mutex_lock(&en->lock);
	if (en->generation != generation) {
		r = 1;
	} else if (read_challenges(res, &c) != CHALLENGE_NONE) {
		bool same = same_challenge(&c, &en->challenge);

		if (!same) {
			challenge_release(&en->challenge);
			en->challenge = c;
			secret_free(en->value);
			en->value = NULL;
			memset(&c, 0, sizeof(c));
		}
		if (en->challenge.scheme == CHALLENGE_BASIC) {
			r = answer_basic(a, en, t, e);
		} else if (!en->value || en->accepted) {
			/* none yet, or one that served and has died since; a fresh one that is
			 * refused is not asked for again */
			r = token_fetch(a, en, t, e);
			r = r < 0 ? r : 1;
		}
	}
	challenge_release(&c);
	pthread_mutex_unlock(&en->lock);
	return r;
}

void auth_accepted(struct auth *a, const struct auth_target *t, unsigned generation)
{
	struct auth_entry *en = entry_of(a, t);

	pthread_mutex_lock(&en->lock);
	if (en->generation == generation)
		en->accepted = true;
	pthread_mutex_unlock(&en->lock);
}

bool auth_is_bare(struct auth *a, const struct auth_target *t)
{
	struct auth_entry *en = entry_of(a, t);
	bool bare;

	pthread_mutex_lock(&en->lock);
	bare = en->bare;
	pthread_mutex_unlock(&en->lock);
	return bare;
}
