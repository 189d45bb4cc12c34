/*
 * Manifests and indexes sent, and the list of what refers to one by its "subject": kept by the
 * registry, or, where that does not know of subjects, by its clients in an index under the tag
 * ALG-HEX (distribution-spec, "Referrers Tag Schema").
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/push.h"

enum { NOTE_TRIES = 8, PAUSE_MS = 150, PAUSE_MAX_MS = 10000 };
enum { LIST_BYTES_MAX = 32 << 20, PAGE_COST = 16 << 10 };

int registry_put_document(struct registry *r, const struct document *doc, const char *name,
			  const char *if_match, bool *knows_subject, struct err *e)
{
	static const unsigned answers[] = { 412, 0 };
	struct endpoint *p = &r->endpoints[0];
	const struct http_request q = {
		.method = "PUT",
		.content_type = doc->media_type,
		.body = buf_span(&doc->raw),
		.if_match = if_match,
		.home_only = true,
		.patient = true,
	};
	_cleanup_(freep) char *path = xasprintf("/v2/%s/manifests/%s", p->repository, name);
	_cleanup_(exchange_closep) struct exchange *x = NULL;
	unsigned attempts = r->retries;
	struct digest stated;

	int ret = request_send(r, p, path, &q, if_match ? answers : NULL, &attempts, &x, e);
	if (ret < 0)
		return ret;
	if (x->res.status == 412)
		return -EAGAIN;
	struct span value = http_response_field(&x->res, "Docker-Content-Digest", 0);
	if (value.p && digest_parse(value, &stated) == 0 && stated.alg == doc->digest.alg &&
	    !digest_eq(&stated, &doc->digest))
		return err_set(e, E_PROTOCOL, "the registry keeps it under another digest: %s",
			       quoted(value));
	if (knows_subject)
		*knows_subject =
			!doc->has_subject || http_response_field(&x->res, "OCI-Subject", 0).p;
	return 0;
}

/* ---- the index under the fall-back tag ---- */

/* A tag has room for 128 characters. */
static char *fallback_tag(const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	digest_text(d, text);
	*strchr(text, ':') = '-';
	return xasprintf("%.*s", (int)strlen(digest_alg_name(d->alg)) + 1 + 64, text);
}

static bool lists(const struct json *index, const char *digest)
{
	const struct json *list = json_get(index, "manifests");

	for (size_t i = 0; i < json_len(list); i++) {
		const char *d = json_cstr(json_get(json_at(list, i), "digest"));

		if (d && !strcmp(d, digest))
			return true;
	}
	return false;
}

static void put_referrer(struct json_out *o, const struct document *doc, const struct json *json)
{
	const struct json *annotations = json_get(json, "annotations");
	const char *type = json_cstr(json_get(json, "artifactType"));
	char text[DIGEST_TEXT_MAX];

	if (!type || !*type)
		type = doc->kind == DOC_MANIFEST ? doc->config.media_type : NULL;
	json_begin(o, '{');
	json_key(o, "mediaType");
	json_put_str(o, span_str(doc->media_type));
	json_key(o, "digest");
	json_put_str(o, span_str(digest_text(&doc->digest, text)));
	json_key(o, "size");
	json_put_i64(o, (int64_t)doc->raw.n);
	if (type && *type) {
		json_key(o, "artifactType");
		json_put_str(o, span_str(type));
	}
	if (json_len(annotations)) {
		json_key(o, "annotations");
		json_put(o, annotations);
	}
	json_end(o, '}');
}

/* What the index holds stays, members that we do not know, too. */
static void put_index(struct json_out *o, const struct json *old, const struct document *doc,
		      const struct json *json)
{
	const struct json *list = json_get(old, "manifests"), *val;
	struct span key;

	document_begin(o, MEDIA_OCI_INDEX);
	json_key(o, "manifests");
	json_begin(o, '[');
	for (size_t i = 0; i < json_len(list); i++)
		json_put(o, json_at(list, i));
	put_referrer(o, doc, json);
	json_end(o, ']');
	for (void *it = NULL; old && json_next(old, &it, &key, &val);) {
		if (span_is(key, "schemaVersion") || span_is(key, "mediaType") ||
		    span_is(key, "manifests"))
			continue;
		json_key_span(o, key);
		json_put(o, val);
	}
	json_end(o, '}');
}

int referrers_with(const struct json *old, const struct document *doc, struct document *out,
		   struct err *e)
{
	_cleanup_(json_out_release) struct json_out o = { 0 };
	_cleanup_(json_freep) struct json *json = NULL;
	int ret = json_parse(buf_span(&doc->raw), NULL, &json, e);

	if (ret < 0)
		return ret;
	put_index(&o, old, doc, json);
	return document_parse(&o.b, MEDIA_OCI_INDEX, out, e);
}

static int write_index(struct registry *r, const char *tag, const struct json *old,
		       const char *if_match, const struct document *doc, struct err *e)
{
	_cleanup_(document_release) struct document index = { 0 };
	int ret = referrers_with(old, doc, &index, e);

	return ret < 0 ? ret : registry_put_document(r, &index, tag, if_match, NULL, e);
}

/* Longer where the registry, or this machine, is slow: then the others are, too. */
static int pause_a_while(struct registry *r, uint64_t began, struct err *e)
{
	uint64_t took = MIN(clock_ms() - began, (uint64_t)PAUSE_MAX_MS / 4);
	uint32_t noise = 0;

	random_bytes(&noise, sizeof(noise));
	return network_sleep(&r->net, PAUSE_MS + noise % PAUSE_MS + 4 * took, e);
}

int referrers_note(struct registry *r, const struct document *doc, struct err *e)
{
	_cleanup_(freep) char *tag = fallback_tag(&doc->subject.digest);
	char text[DIGEST_TEXT_MAX];

	digest_text(&doc->digest, text);
	/* It is written over what was read, where the registry heeds that. Where not, who read it
	 * when we did, and writes after us, wins: so it is read once more when he must be done. */
	for (unsigned n = 0; n < NOTE_TRIES; n++) {
		_cleanup_(document_release) struct document index = { 0 };
		_cleanup_(json_freep) struct json *old = NULL;
		_cleanup_(freep) char *etag = NULL;
		struct err why = { 0 };
		uint64_t began = clock_ms();
		int ret = registry_get_tagged(r, tag, &index, &etag, &why);

		if (ret < 0 && ret != E_NOT_FOUND)
			return err_set(e, ret, "the index of referrers %s: %s", tag, why.text);
		if (!ret && index.kind != DOC_INDEX)
			return err_set(e, E_FORMAT,
				       "the tag %s, where referrers are listed, is no index", tag);
		if (!ret)
			ret = json_parse(buf_span(&index.raw), NULL, &old, e);
		else
			ret = 0;
		if (!ret && lists(old, text))
			return 0;
		/* some take no condition for true */
		const char *over = n >= NOTE_TRIES / 2 ? NULL : old ? etag : "";
		if (!ret)
			ret = write_index(r, tag, old, over, doc, e);
		if (!ret || ret == -EAGAIN)
			ret = pause_a_while(r, began, e);
		if (ret < 0)
			return ret;
	}
	return err_set(e, E_TRY_LATER, "others keep writing the index of referrers %s", tag);
}

/* ---- the list ---- */

void referrers_free(struct referrer *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		descriptor_release(&v[i].d);
		free(v[i].json);
	}
	free(v);
}

static bool listed(const struct referrers *l, const struct digest *d)
{
	for (size_t i = 0; i < l->n; i++)
		if (digest_eq(&l->v[i].d.digest, d))
			return true;
	return false;
}

static int list_one(struct referrers *l, const struct json *v, struct err *e)
{
	_cleanup_(json_out_release) struct json_out o = { 0 };
	struct descriptor d;
	int r = descriptor_from_json(v, &d, e);

	if (r < 0)
		return r;
	/* who does not filter lists all */
	if (listed(l, &d.digest) ||
	    (l->type && (!d.artifact_type || strcmp(d.artifact_type, l->type)))) {
		descriptor_release(&d);
		return 0;
	}
	if (l->n == l->max) {
		descriptor_release(&d);
		return err_set(e, E_TOOBIG, "more than %zu referrers (--max-referrers)", l->max);
	}
	json_put(&o, v);
	l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
	l->v[l->n++] = (struct referrer){ d, buf_steal_str(&o.b) };
	return 0;
}

int referrers_add(struct referrers *l, struct span text, struct err *e)
{
	_cleanup_(json_freep) struct json *doc = NULL;
	int r = json_parse(text, NULL, &doc, e);
	const struct json *manifests = json_get(doc, "manifests");

	/* so that empty pages do not go on for ever, either */
	l->bytes += text.n + PAGE_COST;
	if (l->bytes > LIST_BYTES_MAX)
		return err_set(e, E_TOOBIG, "the list of referrers is larger than %d MiB",
			       LIST_BYTES_MAX >> 20);
	if (!r && !json_is_array(manifests) && !json_is_null(manifests))
		r = err_set(e, E_PROTOCOL, "the list of referrers is no index");
	for (size_t i = 0; !r && i < json_len(manifests); i++)
		r = list_one(l, json_at(manifests, i), e);
	return r;
}

/* Link: <URL>; rel="next". The path of the next page, or NULL. */
static int next_page(const struct exchange *x, char **path, struct err *e)
{
	struct span link = http_response_field(&x->res, "Link", 0);
	size_t end = span_find(link, '>');
	struct url u;

	*path = NULL;
	if (end == link.n || link.p[0] != '<' ||
	    (!span_ends(link, "rel=\"next\"") && !span_ends(link, "rel=next")))
		return 0;
	int r = url_join(&x->url, span_of(link.p + 1, end - 1), &u, e);
	if (r < 0)
		return r;
	if (!origin_eq(&u.origin, &x->url.origin))
		r = err_set(e, E_PROTOCOL, "the list of referrers goes on at another server, %s",
			    url_brief(&u));
	else
		*path = steal_ptr(&u.target);
	url_release(&u);
	return r;
}

/* 1: listed; 0: the registry has no such list. */
static int list_by_api(struct registry *r, const struct digest *subject, struct referrers *l,
		       struct err *e)
{
	static const unsigned answers[] = { 400, 404, 405, 501, 0 };
	const struct http_request q = { .method = "GET", .accept = MEDIA_OCI_INDEX };
	struct endpoint *p = &r->endpoints[r->endpoints_n - 1];
	_cleanup_(buf_release) struct buf path = BUF_INIT;
	unsigned attempts = r->retries;
	char text[DIGEST_TEXT_MAX];

	buf_addf(&path, "/v2/%s/referrers/%s", p->repository, digest_text(subject, text));
	if (l->type) {
		buf_adds(&path, "?artifactType=");
		url_add_escaped(&path, span_str(l->type));
	}
	while (path.n) {
		_cleanup_(exchange_closep) struct exchange *x = NULL;
		_cleanup_(buf_release) struct buf raw = BUF_INIT;
		_cleanup_(freep) char *next = NULL;
		int ret = request_send(r, p, buf_str(&path), &q, answers, &attempts, &x, e);

		if (ret < 0)
			return ret;
		if (x->res.status / 100 != 2)
			return 0;
		ret = stream_read_all(&x->body, DOC_MANIFEST_MAX, &raw);
		if (ret < 0)
			return err_set(e, ret, "the list of referrers: %s",
				       x->err.text[0] ? x->err.text : err_word(ret));
		ret = referrers_add(l, buf_span(&raw), e);
		if (!ret)
			ret = next_page(x, &next, e);
		if (ret < 0)
			return ret;
		buf_clear(&path);
		buf_adds(&path, next ? next : "");
	}
	return 1;
}

int referrers_list(struct registry *r, const struct digest *subject, const char *type, size_t max,
		   struct referrer **out, size_t *n, struct err *e)
{
	_cleanup_(freep) char *tag = fallback_tag(subject);
	_cleanup_(document_release) struct document index = { 0 };
	struct referrers l = { .type = type, .max = max };
	int ret = list_by_api(r, subject, &l, e);

	if (!ret) {
		struct err why = { 0 };

		ret = registry_get_document(r, tag, &index, &why);
		if (!ret)
			ret = referrers_add(&l, buf_span(&index.raw), e);
		else if (ret == E_NOT_FOUND)
			ret = 0;
		else
			err_set(e, ret, "%s", why.text);
	}
	if (ret < 0) {
		referrers_free(l.v, l.n);
		return ret;
	}
	*out = l.v;
	*n = l.n;
	return 0;
}
