/*
 * One file of credentials (containers-auth.json(5), docker's config.json), and the helpers that it
 * names.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>

#include "libcommon/registry/credentials.h"

#define DOCKER_HUB     "docker.io"
#define DOCKER_HUB_KEY "https://index.docker.io/v1/"

enum { HELPER_OUTPUT_MAX = 256 << 10, HELPER_NAME_MAX = 64 };

/* Strings of a parsed document that held a secret: overwritten before they are freed. */
static void json_wipe(const struct json *v)
{
	struct span s, key;
	const struct json *member;

	if (json_str(v, &s)) {
		if (s.n)
			explicit_bzero((void *)(uintptr_t)s.p, s.n);
		return;
	}
	for (size_t i = 0; json_is_array(v) && i < json_len(v); i++)
		json_wipe(json_at(v, i));
	if (json_is_object(v))
		for (void *it = NULL; json_next(v, &it, &key, &member);)
			json_wipe(member);
}

static void json_wipep(struct json **doc)
{
	json_wipe(*doc);
	json_free(*doc);
}

/* ---- which key is for whom ---- */

static bool is_docker_hub(struct span host)
{
	return span_is_nocase(host, DOCKER_HUB) || span_is_nocase(host, "index.docker.io") ||
	       span_is_nocase(host, "registry-1.docker.io");
}

/* A key may be a URL, end in slashes, or name the API's version: all of it stands for the host
 * alone. */
static void key_split(struct span key, struct span *host, struct span *path)
{
	if (span_starts(key, "https://"))
		key = span_tail(key, 8);
	else if (span_starts(key, "http://"))
		key = span_tail(key, 7);
	while (span_ends(key, "/"))
		key.n--;
	size_t slash = span_find(key, '/');
	*host = span_of(key.p, slash);
	*path = span_tail(key, slash + 1);
	if (span_is(*path, "v1") || span_is(*path, "v2"))
		path->n = 0;
}

size_t credentials_key_covers(struct span key, const char *domain, const char *repository)
{
	struct span host, path;
	struct span wanted = span_str(domain);

	key_split(key, &host, &path);
	if (!host.n ||
	    !(span_is_nocase(host, domain) || (is_docker_hub(host) && is_docker_hub(wanted))))
		return 0;
	if (path.n) {
		struct span whole = span_str(repository),
			    head = span_of(whole.p, MIN(path.n, whole.n));

		if (!span_eq(head, path) || (whole.n > path.n && whole.p[path.n] != '/'))
			return 0;
	}
	/* of keys that say the same, the plain one wins */
	return 2 + 2 * path.n + (key.p == host.p && key.n == host.n + (path.n ? 1 + path.n : 0));
}

/* ---- entries ---- */

/* Bytes that a header or a token request can carry: no controls. */
static bool printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

static bool visible_ascii(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= 0x20 || s.p[i] >= 0x7f)
			return false;
	return s.n > 0;
}

int credential_from_pair(struct span pair, struct credential *c)
{
	size_t colon = span_find(pair, ':');

	if (!colon || colon == pair.n || !printable(pair))
		return E_FORMAT;
	c->username = span_dup(span_of(pair.p, colon));
	c->password = span_dup(span_tail(pair, colon + 1));
	return 0;
}

static bool has_text(const struct json *entry, const char *key)
{
	struct span s;

	return json_str(json_get(entry, key), &s) && s.n;
}

static bool entry_has_secret(const struct json *entry)
{
	return has_text(entry, "auth") || has_text(entry, "identitytoken") ||
	       has_text(entry, "registrytoken") ||
	       (has_text(entry, "username") && has_text(entry, "password"));
}

static int decode_auth(struct span text, struct credential *c)
{
	struct buf pair = BUF_INIT;

	buf_reserve(&pair, text.n + 4); /* so that it never moves */
	int r = base64_decode(span_trim(text), &pair);
	while (!r && pair.n && !pair.p[pair.n - 1])
		pair.n--;
	if (!r)
		r = credential_from_pair(buf_span(&pair), c);
	buf_wipe(&pair);
	return r;
}

static int take_token(const struct json *entry, const char *key, char **out)
{
	struct span s;

	if (!json_str(json_get(entry, key), &s) || !s.n)
		return 0;
	if (!visible_ascii(s))
		return E_FORMAT;
	*out = span_dup(s);
	return 0;
}

static int credential_from_entry(const struct json *entry, struct credential *c, const char **what)
{
	struct span user, password;

	*what = "identitytoken";
	if (take_token(entry, "identitytoken", &c->identity_token))
		return E_FORMAT;
	*what = "registrytoken";
	if (take_token(entry, "registrytoken", &c->registry_token))
		return E_FORMAT;
	*what = "auth";
	if (has_text(entry, "auth")) {
		struct span text;

		json_str(json_get(entry, "auth"), &text);
		int r = decode_auth(text, c);
		/* docker writes "00000000-…:" there beside an identity token, and some tools no
		 * pair at all */
		if (r && !c->identity_token && !c->registry_token)
			return r;
	} else if (json_str(json_get(entry, "username"), &user) && user.n &&
		   json_str(json_get(entry, "password"), &password)) {
		*what = "username or password";
		if (!printable(user) || !printable(password) || span_find(user, ':') < user.n)
			return E_FORMAT;
		c->username = span_dup(user);
		c->password = span_dup(password);
	}
	if (!c->username) {
		c->username = xstrdup("");
		c->password = xstrdup("");
	}
	return 0;
}

/* ---- helpers ---- */

/* It becomes part of a program's name, so it must not be a path or an option. */
static bool helper_name_valid(const char *name)
{
	size_t n = strlen(name);

	if (!n || n > HELPER_NAME_MAX || *name == '.' || *name == '-')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
			    name[i]))
			return false;
	return true;
}

static bool contains_nocase(struct span s, const char *what)
{
	size_t n = strlen(what);

	for (size_t i = 0; i + n <= s.n; i++)
		if (!strncasecmp((const char *)s.p + i, what, n))
			return true;
	return false;
}

static int helper_answer(struct span answer, struct credential *out)
{
	_cleanup_(json_wipep) struct json *doc = NULL;
	struct json_limits limits = { .max_bytes = HELPER_OUTPUT_MAX,
				      .max_values = 64,
				      .max_depth = 4 };
	struct err why = { 0 };
	struct span user, secret;

	if (json_parse(answer, &limits, &doc, &why) ||
	    !json_str(json_get(doc, "Username"), &user) ||
	    !json_str(json_get(doc, "Secret"), &secret) || !secret.n)
		return E_FORMAT;
	if (span_is(user, "<token>")) {
		if (!visible_ascii(secret))
			return E_FORMAT;
		out->identity_token = span_dup(secret);
		out->username = xstrdup("");
		out->password = xstrdup("");
		return 0;
	}
	if (!user.n || !printable(user) || !printable(secret) || span_find(user, ':') < user.n)
		return E_FORMAT;
	out->username = span_dup(user);
	out->password = span_dup(secret);
	return 0;
}

/* Runs docker-credential-NAME VERB with input. 1; 0 where it has nothing for server; or an error, worded by
 * what it says. */
static int helper_run(const char *name, const char *verb, const char *server, struct span input,
		      unsigned ms, struct buf *answer, struct err *e)
{
	if (!helper_name_valid(name))
		return err_set(e, E_FORMAT, "\"%s\" is no name of a credential helper",
			       quoted_str(name));

	_cleanup_(freep) char *program = xasprintf("docker-credential-%s", name);
	const char *const argv[] = { program, verb, NULL };
	struct spawn sp = {
		.argv = argv,
		.input = input,
		.output_max = HELPER_OUTPUT_MAX,
		.timeout_ms = ms,
	};
	int status = 0;

	buf_reserve(answer, 16 << 10);
	int r = spawn_run(&sp, answer, &status);
	if (r == -ENOENT)
		return err_set(e, E_AUTH,
			       "%s, which holds the credentials for %s, is not installed", program,
			       quoted_str(server));
	if (r == -ETIMEDOUT)
		return err_set(e, E_AUTH, "%s gave no answer within %u s", program,
			       (ms + 500) / 1000);
	if (r < 0)
		return err_set(e, r, "%s: %s", program, err_word(r));
	if (status && contains_nocase(buf_span(answer), "credentials not found"))
		return 0;
	/* the answer of a helper that fails is its message, as the protocol has it */
	if (status && WIFEXITED(status))
		return err_set(e, E_AUTH, "%s failed for %s: %s", program, quoted_str(server),
			       answer->n
				       ? quoted(span_trim(span_of(answer->p, MIN(answer->n, 300u))))
				       : "it does not say why");
	if (status)
		return err_set(e, E_AUTH, "%s was killed by signal %d", program, WTERMSIG(status));
	return 1;
}

int credential_helper_get(const char *name, const char *server, unsigned ms, struct credential *out,
			  struct err *e)
{
	_cleanup_(buf_wipe) struct buf answer = BUF_INIT;
	int r = helper_run(name, "get", server, span_str(server), ms, &answer, e);

	if (r <= 0)
		return r;
	if (helper_answer(buf_span(&answer), out)) {
		credential_release(out);
		return err_set(e, E_AUTH,
			       "docker-credential-%s gave an answer that is no credential", name);
	}
	return 1;
}

/* ---- the file ---- */

struct best {
	struct span key;
	const struct json *value;
	size_t score;
};

static struct best best_of(const struct json *members, bool (*usable)(const struct json *),
			   const char *domain, const char *repository)
{
	struct best best = { 0 };
	const struct json *value;
	struct span key;

	if (!json_is_object(members))
		return best;
	for (void *it = NULL; json_next(members, &it, &key, &value);) {
		size_t score = usable(value) ? credentials_key_covers(key, domain, repository) : 0;

		if (score > best.score)
			best = (struct best){ key, value, score };
	}
	return best;
}

static bool names_helper(const struct json *v)
{
	struct span s;

	return json_str(v, &s) && s.n;
}

static bool entry_is_empty(const struct json *entry)
{
	return json_is_object(entry) && !entry_has_secret(entry);
}

/* What a helper is asked for: docker's own spelling of its registry, else the key as it was
 * written. */
static char *helper_server(struct span key, const char *domain)
{
	struct span host, path;

	if (!key.n)
		return xstrdup(strcmp(domain, DOCKER_HUB) ? domain : DOCKER_HUB_KEY);
	key_split(key, &host, &path);
	if (is_docker_hub(host) && !path.n)
		return xstrdup(DOCKER_HUB_KEY);
	return span_dup(key);
}

struct helper_call {
	const char *file, *member; /* that name it */
	const char *helper;
	struct span key;
	unsigned ms;
};

static int ask_helper(const struct helper_call *h, const char *domain, struct credential *out,
		      struct err *e)
{
	_cleanup_(freep) char *server = helper_server(h->key, domain);
	struct err why = { 0 };
	int r = credential_helper_get(h->helper, server, h->ms, out, &why);

	if (r < 0)
		return err_set(e, r, "%s: %s", quoted_str(h->file), why.text);
	if (r)
		out->source = xasprintf("docker-credential-%s for \"%s\" (%s of %s)", h->helper,
					quoted_str(server), h->member, quoted_str(h->file));
	return r;
}

bool credentials_same_key(struct span a, struct span b)
{
	struct span host[2], path[2];

	key_split(a, &host[0], &path[0]);
	key_split(b, &host[1], &path[1]);
	if (!span_eq(path[0], path[1]))
		return false;
	_cleanup_(freep) char *name = span_dup(host[1]);
	return span_is_nocase(host[0], name) || (is_docker_hub(host[0]) && is_docker_hub(host[1]));
}

const char *credentials_helper_of(const struct json *doc, const char *key, bool *everything)
{
	const struct json *helpers = json_get(doc, "credHelpers"), *value;
	struct span name;

	*everything = false;
	if (json_is_object(helpers))
		for (void *it = NULL; json_next(helpers, &it, &name, &value);)
			if (credentials_same_key(name, span_str(key)) && names_helper(value))
				return json_cstr(value);
	*everything = has_text(doc, "credsStore");
	return *everything ? json_cstr(json_get(doc, "credsStore")) : NULL;
}

int credential_helper_put(const char *name, const char *key, struct span pair, struct err *e)
{
	_cleanup_(freep) char *server = helper_server(span_str(key), key);
	_cleanup_(buf_wipe) struct buf answer = BUF_INIT;
	struct json_out o = { 0 };
	size_t colon = span_find(pair, ':');

	if (pair.p) {
		buf_reserve(&o.b, 6 * pair.n + strlen(server) + 100);
		json_begin(&o, '{');
		json_key(&o, "ServerURL");
		json_put_str(&o, span_str(server));
		json_key(&o, "Username");
		json_put_str(&o, span_of(pair.p, colon));
		json_key(&o, "Secret");
		json_put_str(&o, span_tail(pair, colon + 1));
		json_end(&o, '}');
	}
	int r = helper_run(name, pair.p ? "store" : "erase", server,
			   pair.p ? buf_span(&o.b) : span_str(server), CREDENTIAL_HELPER_MS,
			   &answer, e);
	buf_wipe(&o.b);
	return r;
}

bool credentials_file_has_helpers(struct span text)
{
	_cleanup_(json_wipep) struct json *doc = NULL;

	if (!span_trim(text).n)
		return false;
	if (json_parse(text, NULL, &doc, NULL) < 0)
		return true;
	return json_len(json_get(doc, "credHelpers")) || has_text(doc, "credsStore");
}

int credentials_file_find(const char *name, struct span text, const char *domain,
			  const char *repository, unsigned ms, struct credential *out,
			  struct err *e)
{
	_cleanup_(json_wipep) struct json *doc = NULL;
	struct err why = { 0 };

	int r = json_parse(text, NULL, &doc, &why);
	if (r < 0)
		return err_set(e, r, "%s: %s", quoted_str(name),
			       *why.text ? why.text : err_word(r));
	if (!json_is_object(doc))
		return err_set(e, E_FORMAT, "%s: is not a JSON object", quoted_str(name));

	const struct json *auths = json_get(doc, "auths");
	struct best entry = best_of(auths, entry_has_secret, domain, repository);
	struct best helper =
		best_of(json_get(doc, "credHelpers"), names_helper, domain, repository);
	const char *store = json_cstr(json_get(doc, "credsStore"));

	if (helper.score && (helper.score | 1) >= entry.score)
		return ask_helper(&(struct helper_call){ name, "credHelpers",
							 json_cstr(helper.value), helper.key, ms },
				  domain, out, e);
	if (entry.score) {
		const char *what;

		if (credential_from_entry(entry.value, out, &what))
			return err_set(e, E_FORMAT, "%s: %s of the entry \"%s\" is malformed",
				       quoted_str(name), what, quoted(entry.key));
		out->source = xasprintf("entry \"%s\" of %s", quoted(entry.key), quoted_str(name));
		return 1;
	}
	if (store && *store) {
		/* docker leaves an empty entry behind for what it gave to the store, under the key
		 * that it gave */
		struct best left = best_of(auths, entry_is_empty, domain, repository);

		return ask_helper(&(struct helper_call){ name, "credsStore", store, left.key, ms },
				  domain, out, e);
	}
	return 0;
}
