/*
 * Manifests and indexes sent, and the list of what refers to one by its "subject": kept by the
 * registry, or, where that does not know of subjects, by its clients in an index under the tag
 * ALG-HEX (distribution-spec, "Referrers Tag Schema").
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/push.h"

enum { NOTE_TRIES = 4 };

int registry_put_document(struct registry *r, const struct document *doc, const char *name,
			  bool *knows_subject, struct err *e)
{
	struct endpoint *p = &r->endpoints[0];
	const struct http_request q = {
		.method = "PUT",
		.content_type = doc->media_type,
		.body = buf_span(&doc->raw),
		.home_only = true,
		.patient = true,
	};
	_cleanup_(freep) char *path = xasprintf("/v2/%s/manifests/%s", p->repository, name);
	_cleanup_(exchange_closep) struct exchange *x = NULL;
	unsigned attempts = r->retries;
	struct digest stated;

	int ret = request_send(r, p, path, &q, NULL, &attempts, &x, e);
	if (ret < 0)
		return ret;
	struct span value = http_response_field(&x->res, "Docker-Content-Digest", 0);
	if (value.p && digest_parse(value, &stated) == 0 && stated.alg == doc->digest.alg &&
	    !digest_eq(&stated, &doc->digest))
		return err_set(e, E_PROTOCOL, "the registry keeps it under another digest: %s",
			       quoted(value));
	if (knows_subject)
		*knows_subject = !doc->has_subject ||
				 http_response_field(&x->res, "OCI-Subject", 0).p;
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

	json_begin(o, '{');
	json_key(o, "schemaVersion");
	json_put_i64(o, 2);
	json_key(o, "mediaType");
	json_put_str(o, SPAN(MEDIA_OCI_INDEX));
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

static int write_index(struct registry *r, const char *tag, const struct json *old,
		       const struct document *doc, struct err *e)
{
	_cleanup_(json_out_release) struct json_out o = { 0 };
	_cleanup_(json_freep) struct json *json = NULL;
	_cleanup_(document_release) struct document index = { 0 };
	int ret = json_parse(buf_span(&doc->raw), NULL, &json, e);

	if (ret < 0)
		return ret;
	put_index(&o, old, doc, json);
	ret = document_parse(&o.b, MEDIA_OCI_INDEX, &index, e);
	return ret < 0 ? ret : registry_put_document(r, &index, tag, NULL, e);
}

int referrers_note(struct registry *r, const struct document *doc, struct err *e)
{
	_cleanup_(freep) char *tag = fallback_tag(&doc->subject.digest);
	char text[DIGEST_TEXT_MAX];

	digest_text(&doc->digest, text);
	/* who writes at the same time may win: so it is read again */
	for (unsigned n = 0; n < NOTE_TRIES; n++) {
		_cleanup_(document_release) struct document index = { 0 };
		_cleanup_(json_freep) struct json *old = NULL;
		struct err why = { 0 };
		int ret = registry_get_document(r, tag, &index, &why);

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
		if (!ret && n)
			ret = request_backoff(r, n, NULL, e);
		if (!ret)
			ret = write_index(r, tag, old, doc, e);
		if (ret < 0)
			return ret;
	}
	return err_set(e, E_TRY_LATER, "others keep writing the index of referrers %s", tag);
}
