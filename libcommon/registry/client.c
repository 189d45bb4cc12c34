/* The distribution-spec, read side: one repository of a registry and of its mirrors; manifests.
 * Blobs are in blob.c. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/internal.h"

enum { MIRROR_RETRIES = 1 };

static int endpoint_init(struct registry *r, struct endpoint *p, const char *domain,
			 const char *repository, bool plain_http, bool any_certificate,
			 struct err *e)
{
	bool docker = strcmp(domain, "docker.io") == 0 || strcmp(domain, "index.docker.io") == 0;
	const char *colon = strrchr(domain, ':');
	int ret;

	memset(p, 0, sizeof(*p));
	pthread_mutex_init(&p->lock, NULL);
	p->domain = xstrdup(domain);
	p->repository = xstrdup(repository);
	p->has_port = colon && !strchr(colon, ']');
	ret = origin_parse(span_str(docker ? "registry-1.docker.io" : domain), !plain_http,
			   &p->origin, e);
	if (ret < 0)
		return ret;
	p->flags = NET_GIVEN | (any_certificate ? NET_ANY_CERTIFICATE : 0);
	if (host_is_loopback(p->origin.host)) {
		p->flags |= NET_LOOPBACK_OK;
		p->probe = CFG_TLS && !plain_http;
		if (!CFG_TLS) {
			p->origin.https = false;
			p->origin.port = p->has_port ? p->origin.port : 80;
		}
	}
	if (p->origin.https && !CFG_TLS)
		return err_set(
			e, E_UNSUPPORTED,
			"built without TLS: only registries that speak plain HTTP can be reached (--plain-http)");
	return 0;
}

static int endpoints_init(struct registry *r, const struct reference *ref,
			  const struct registry_options *o, struct err *e)
{
	struct mirror *mirrors = NULL;
	bool only = false;
	size_t n = 0;
	int ret = 0;

	if (o->mirrors)
		mirrors_find(o->mirrors, ref->domain, ref->repository, &mirrors, &n, &only);
	r->endpoints = xcalloc(n + 1, sizeof(*r->endpoints));
	for (size_t i = 0; i < n && ret == 0; i++) {
		const struct mirror *m = &mirrors[i];

		ret = endpoint_init(r, &r->endpoints[r->endpoints_n++], m->domain, m->repository,
				    m->plain_http, !o->tls_verify, e);
	}
	mirror_list_free(mirrors, n);
	if (ret == 0 && (!only || n == 0))
		ret = endpoint_init(r, &r->endpoints[r->endpoints_n++], ref->domain,
				    ref->repository, o->plain_http, !o->tls_verify, e);
	return ret;
}

int registry_open(const struct reference *ref, const struct registry_options *o,
		  struct registry **out, struct err *e)
{
	struct registry *r = xcalloc(1, sizeof(*r));
	int ret = network_open(&r->net, o, e);

	r->retries = o->retries;
	r->plain_http = o->plain_http;
	r->tls_first = o->cacert || o->cert_dir || !o->tls_verify;
	r->auth = auth_open(&r->net, o->credentials);
	if (ret == 0)
		ret = endpoints_init(r, ref, o, e);
	if (ret < 0) {
		registry_close(r);
		return ret;
	}
	*out = r;
	return 0;
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->endpoints_n; i++) {
		free(r->endpoints[i].domain);
		free(r->endpoints[i].repository);
		pthread_mutex_destroy(&r->endpoints[i].lock);
	}
	free(r->endpoints);
	auth_close(r->auth);
	network_close(&r->net);
	free(r);
}

const struct registry_stats *registry_stats(const struct registry *r)
{
	return &r->net.stats;
}

bool endpoint_is_last(const struct registry *r, const struct endpoint *p)
{
	return p == &r->endpoints[r->endpoints_n - 1];
}

unsigned endpoint_retries(const struct registry *r, const struct endpoint *p)
{
	return endpoint_is_last(r, p) ? r->retries : MIN(r->retries, (unsigned)MIRROR_RETRIES);
}

void endpoint_give_up(struct registry *r, struct endpoint *p, const struct err *why)
{
	network_trace(&r->net, r->net.trace_requests, "mirror: %s: %s", p->domain, why->text);
	/* a mirror that lacks one thing may have the next */
	if (why->code == E_UNAVAILABLE || why->code == E_AUTH)
		p->dead = true;
}

/* ---- manifests ---- */

/* What the carrier says of the type; nothing where it says nothing in particular. */
static char *content_type(const struct exchange *x)
{
	struct span value = http_response_field(&x->res, "Content-Type", 0);

	value.n = span_find(value, ';');
	value = span_trim(value);
	if (value.n == 0 || span_is_nocase(value, "application/json") ||
	    span_is_nocase(value, "text/plain") ||
	    span_is_nocase(value, "application/octet-stream"))
		return NULL;
	return span_dup(value);
}

static int digest_check(const struct digest *want, struct span bytes, const char *whose,
			struct err *e)
{
	struct digest got = digest_of(want->alg, bytes);
	char a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];

	if (digest_eq(&got, want))
		return 0;
	return err_set(e, E_DIGEST, "the manifest hashes to %s, not to %s %s", digest_text(&got, a),
		       whose, digest_text(want, b));
}

/* The digest that the registry states must be a digest, and of these bytes. */
static int stated_digest_check(const struct exchange *x, struct span bytes, struct err *e)
{
	struct span value = http_response_field(&x->res, "Docker-Content-Digest", 0);
	struct digest stated;
	int r;

	if (!value.p)
		return 0;
	r = digest_parse(value, &stated);
	if (r == E_UNSUPPORTED)
		return 0;
	if (r < 0)
		return err_set(e, E_PROTOCOL, "the registry states a malformed digest: \"%s\"",
			       quoted(value));
	return digest_check(&stated, bytes, "what the registry states,", e);
}

static int document_read(struct exchange *x, const struct digest *want, struct document *out,
			 struct err *e)
{
	_cleanup_(buf_release) struct buf raw = BUF_INIT;
	_cleanup_(freep) char *type = content_type(x);
	int r;

	if (x->res.framing == HTTP_LENGTH && x->res.left > DOC_MANIFEST_MAX)
		return err_set(e, E_TOOBIG, "the manifest is larger than %d bytes",
			       DOC_MANIFEST_MAX);
	r = stream_read_all(&x->body, DOC_MANIFEST_MAX, &raw);
	if (r == E_TOOBIG)
		return err_set(e, r, "the manifest is larger than %d bytes", DOC_MANIFEST_MAX);
	if (r < 0)
		return err_set(e, r, "%s", x->err.text[0] ? x->err.text : err_word(r));
	if (want)
		r = digest_check(want, buf_span(&raw), "what was asked for,", e);
	if (r == 0)
		r = stated_digest_check(x, buf_span(&raw), e);
	if (r < 0)
		return r;
	r = document_parse(&raw, type, out, e);
	if (r < 0) {
		err_set(e, r, "%s", err_word(r));
		return err_prefix(e, "manifest");
	}
	if (want)
		out->digest = *want;
	return 0;
}

/* *etag, where that is wanted, is NULL where none is given that would do for If-Match. */
static int document_from(struct registry *r, struct endpoint *p, const char *what,
			 const struct digest *want, struct document *out, char **etag,
			 struct err *e)
{
	static const struct http_request q = {
		.method = "GET",
		.accept = MEDIA_OCI_INDEX ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_LIST
					  ", " MEDIA_DOCKER_MANIFEST,
	};
	_cleanup_(freep) char *path = xasprintf("/v2/%s/manifests/%s", p->repository, what);
	unsigned attempts = endpoint_retries(r, p);

	for (unsigned n = 0;; n++) {
		_cleanup_(exchange_closep) struct exchange *x = NULL;
		struct err fault = { 0 };
		int ret = request_get(r, p, path, &q, &attempts, &x, e);

		if (ret < 0)
			return ret;
		ret = document_read(x, want, out, &fault);
		struct span tag = http_response_field(&x->res, "ETag", 0);
		if (ret == 0 && etag && span_starts(tag, "\""))
			*etag = span_dup(tag);
		if (ret == 0)
			return 0;
		if (!fault_is_transient(ret, 0) || attempts == 0)
			return err_set(e, fault_is_transient(ret, 0) ? E_UNAVAILABLE : ret, "%s",
				       fault.text);
		attempts--;
		ret = request_backoff(r, n, NULL, e);
		if (ret < 0)
			return ret;
	}
}

int registry_get_document(struct registry *r, const char *tag_or_digest, struct document *out,
			  struct err *e)
{
	struct digest digest;
	bool pinned = strchr(tag_or_digest, ':') != NULL;
	int ret;

	if (pinned ? digest_parse(span_str(tag_or_digest), &digest) < 0
		   : !tag_valid(span_str(tag_or_digest)))
		return err_set(e, E_FORMAT, "not a tag or digest: \"%s\"",
			       quoted_str(tag_or_digest));
	for (size_t i = 0;; i++) {
		struct endpoint *p = &r->endpoints[i];
		struct err fault = { 0 };

		if (p->dead && !endpoint_is_last(r, p))
			continue;
		ret = document_from(r, p, tag_or_digest, pinned ? &digest : NULL, out, NULL,
				    &fault);
		if (ret == 0)
			return 0;
		if (endpoint_is_last(r, p) || ret == E_TRY_LATER)
			return err_set(e, ret, "%s", fault.text);
		endpoint_give_up(r, p, &fault);
	}
}

int registry_get_tagged(struct registry *r, const char *tag, struct document *out, char **etag,
			struct err *e)
{
	return document_from(r, &r->endpoints[0], tag, NULL, out, etag, e);
}
