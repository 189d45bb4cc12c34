/*
 * Indexes and manifests (image-spec image-index.md, manifest.md; docker's schema 2). What a
 * document is must be the same by its carrier's word, its own mediaType and its structure, and by
 * the eyes of parsers that ignore the case of names: one that is a manifest for one tool and an
 * index for the next names two images under one digest.
 */
#include "libcommon/oci.h"
#include "libcommon/oci/oci_private.h"

#include <stdlib.h>
#include <string.h>

/* An index.json may hold the tags of years; layers beyond some hundred cannot even be mounted. */
enum { LAYERS_MAX = 4096, MANIFESTS_MAX = 65536 };

static const char *const kind_names[] = { [DOC_INDEX] = "index", [DOC_MANIFEST] = "manifest" };

static const struct {
	const char *type;
	enum document_kind kind;
} media_types[] = {
	{ MEDIA_OCI_INDEX, DOC_INDEX },
	{ MEDIA_DOCKER_LIST, DOC_INDEX },
	{ MEDIA_OCI_MANIFEST, DOC_MANIFEST },
	{ MEDIA_DOCKER_MANIFEST, DOC_MANIFEST },
};

/* Carriers that know nothing say one of these. */
static bool is_generic(struct span type)
{
	static const char *const generic[] = { "application/json", "text/plain",
					       "application/octet-stream", "binary/octet-stream" };

	for (size_t i = 0; i < ARRAY_LEN(generic); i++)
		if (span_is_nocase(type, generic[i]))
			return true;
	return !type.n;
}

static int schema1(struct err *e)
{
	return err_set(
		e, E_UNSUPPORTED,
		"a docker schema 1 manifest: this format of before 2016 is not supported; push "
		"the image again with a newer tool");
}

/* The kind that a media type says; an error for a type that is neither. */
static int kind_of_type(struct span type, enum document_kind *kind, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(media_types); i++) {
		if (span_is(type, media_types[i].type)) {
			*kind = media_types[i].kind;
			return 0;
		}
	}
	if (span_starts(type, "application/vnd.docker.distribution.manifest.v1+"))
		return schema1(e);
	return err_set(e, E_UNSUPPORTED, "media type %s is neither an image index nor a manifest",
		       quoted(type));
}

int json_check_case(const struct json *v, const char *const *names, size_t n, struct err *e)
{
	const struct json *val;
	struct span key;

	for (void *it = 0; json_next(v, &it, &key, &val);)
		for (size_t i = 0; i < n; i++)
			if (span_is_nocase(key, names[i]) && !span_is(key, names[i]))
				return err_set(e, E_FORMAT,
					       "the member %s would be \"%s\" to other tools",
					       quoted(key), names[i]);
	return 0;
}

/* One of the names that decide what a document is. */
enum { M_SCHEMA, M_TYPE, M_MANIFESTS, M_CONFIG, M_LAYERS, M_FSLAYERS, M_HISTORY, M_SUBJECT, M_N };
static const char *const decisive[M_N] = {
	[M_SCHEMA] = "schemaVersion", [M_TYPE] = "mediaType",  [M_MANIFESTS] = "manifests",
	[M_CONFIG] = "config",	      [M_LAYERS] = "layers",   [M_FSLAYERS] = "fsLayers",
	[M_HISTORY] = "history",      [M_SUBJECT] = "subject",
};

static int read_members(const struct json *doc, const struct json *m[M_N], struct err *e)
{
	if (!json_is_object(doc))
		return err_set(e, E_FORMAT, "the document is no JSON object");
	for (size_t i = 0; i < M_N; i++)
		m[i] = json_get(doc, decisive[i]);
	return json_check_case(doc, decisive, M_N, e);
}

static int decide_kind(const struct json *m[M_N], struct span carrier, struct document *out,
		       struct err *e)
{
	bool index = m[M_MANIFESTS], manifest = m[M_CONFIG] || m[M_LAYERS];
	bool old = m[M_FSLAYERS] || m[M_HISTORY];
	struct span own = { 0 }, type;
	enum document_kind said;
	int64_t version = 0;
	int r;

	json_i64(m[M_SCHEMA], &version);
	if (m[M_TYPE] && !json_str(m[M_TYPE], &own))
		return err_set(e, E_FORMAT, "the mediaType of the document is no string");
	if (index + manifest + old > 1)
		return err_set(e, E_FORMAT,
			       "the document is ambiguous: it has members of an index and of a "
			       "manifest");
	if (version == 1 || old)
		return schema1(e);
	if (version != 2)
		return err_set(e, E_FORMAT, "the document's schemaVersion is not 2");
	if (!index && !manifest)
		return err_set(e, E_FORMAT,
			       "the document is neither an image index nor a manifest");
	if (is_generic(carrier))
		carrier.n = 0;
	if (own.n && carrier.n && !span_eq(own, carrier))
		return err_set(e, E_FORMAT, "the document says that it is %s but came as %s",
			       quoted(own), quoted(carrier));
	out->kind = index ? DOC_INDEX : DOC_MANIFEST;
	type = own.n ? own : carrier;
	if (!type.n)
		return 0;
	r = kind_of_type(type, &said, e);
	if (r < 0)
		return r;
	if (said != out->kind)
		return err_set(e, E_FORMAT, "the document is named a%s %s but is built as a%s %s",
			       said == DOC_INDEX ? "n" : "", kind_names[said], index ? "n" : "",
			       kind_names[out->kind]);
	out->media_type = span_dup(type);
	return 0;
}

static int read_descriptors(const struct json *v, const char *what, size_t max,
			    struct descriptor **out, size_t *n, struct err *e)
{
	size_t len = json_len(v);

	/* an empty slice is null to Go's encoder */
	if (!v || (!json_is_array(v) && !json_is_null(v)))
		return err_set(e, E_FORMAT, "the document's \"%s\" is no array", what);
	if (len > max)
		return err_set(e, E_TOOBIG, "the document lists %zu %s; at most %zu are read", len,
			       what, max);
	if (json_is_null(v) || !len)
		return 0;
	*out = xcalloc(len, sizeof(**out));
	for (size_t i = 0; i < len; i++) {
		int r = descriptor_from_json(json_at(v, i), &(*out)[i], e);

		if (r < 0)
			return err_prefix(e, "%s[%zu]", what, i), r;
		++*n;
	}
	return 0;
}

static int read_manifest(const struct json *m[M_N], struct document *out, struct err *e)
{
	int r;

	if (!m[M_CONFIG])
		return err_set(e, E_FORMAT, "the manifest has no config");
	r = descriptor_from_json(m[M_CONFIG], &out->config, e);
	if (r < 0)
		return err_prefix(e, "config"), r;
	r = read_descriptors(m[M_LAYERS], "layers", LAYERS_MAX, &out->layers, &out->layers_n, e);
	if (r < 0)
		return r;
	if (!out->media_type) {
		bool docker = !strcmp(out->config.media_type, MEDIA_DOCKER_CONFIG);

		out->media_type = xstrdup(docker ? MEDIA_DOCKER_MANIFEST : MEDIA_OCI_MANIFEST);
	}
	return 0;
}

static int parse(struct document *out, const char *media_type, const struct json *doc,
		 struct err *e)
{
	const struct json *m[M_N] = { 0 };
	struct span carrier = span_str(media_type);
	int r = read_members(doc, m, e);

	if (r < 0)
		return r;
	/* Content-Type may carry parameters */
	carrier.n = span_find(carrier, ';');
	r = decide_kind(m, span_trim(carrier), out, e);
	if (r < 0)
		return r;
	if (out->kind == DOC_MANIFEST)
		r = read_manifest(m, out, e);
	else
		r = read_descriptors(m[M_MANIFESTS], "manifests", MANIFESTS_MAX, &out->manifests,
				     &out->manifests_n, e);
	if (r < 0)
		return r;
	if (!out->media_type)
		out->media_type = xstrdup(MEDIA_OCI_INDEX);
	if (m[M_SUBJECT] && !json_is_null(m[M_SUBJECT])) {
		r = descriptor_from_json(m[M_SUBJECT], &out->subject, e);
		if (r < 0)
			return err_prefix(e, "subject"), r;
		out->has_subject = true;
	}
	return 0;
}

int document_parse(struct buf *raw, const char *media_type, struct document *out, struct err *e)
{
	struct document d = { .raw = *raw };
	_cleanup_(json_freep) struct json *doc = NULL;
	int r = 0;

	*raw = BUF_INIT;
	memset(out, 0, sizeof(*out));
	if (d.raw.n > DOC_MANIFEST_MAX)
		r = err_set(e, E_TOOBIG, "a manifest of %zu bytes; at most %d are read", d.raw.n,
			    DOC_MANIFEST_MAX);
	if (r == 0)
		r = json_parse(buf_span(&d.raw),
			       &(struct json_limits){ .max_bytes = DOC_MANIFEST_MAX }, &doc, e);
	if (r == 0)
		r = parse(&d, media_type, doc, e);
	if (r < 0) {
		document_release(&d);
		return r;
	}
	d.digest = digest_of(HASH_SHA256, buf_span(&d.raw));
	*out = d;
	return 0;
}

static void release_all(struct descriptor *d, size_t n)
{
	for (size_t i = 0; i < n; i++)
		descriptor_release(&d[i]);
	free(d);
}

void document_release(struct document *d)
{
	buf_release(&d->raw);
	freep(&d->media_type);
	descriptor_release(&d->config);
	descriptor_release(&d->subject);
	release_all(d->layers, d->layers_n);
	release_all(d->manifests, d->manifests_n);
	memset(d, 0, sizeof(*d));
}

/* A manifest or index that says nothing about its platform may serve anybody: its config will tell.
 */
static bool may_serve(const struct descriptor *d)
{
	enum document_kind kind;

	return !d->has_platform && !d->artifact_type &&
	       (!d->media_type[0] || kind_of_type(span_str(d->media_type), &kind, NULL) == 0);
}

static int nothing_serves(const struct document *index, const struct platform *want, struct err *e)
{
	_cleanup_(buf_release) struct buf have = BUF_INIT;
	char text[100];
	size_t shown = 0;

	for (size_t i = 0; i < index->manifests_n && shown < 16; i++) {
		const struct descriptor *d = &index->manifests[i];

		if (!d->has_platform || !platform_match(&d->platform, &d->platform))
			continue;
		buf_addf(&have, "%s%s", shown++ ? ", " : "", platform_text(&d->platform, text));
	}
	if (shown == 16)
		buf_adds(&have, ", ...");
	return err_set(e, E_NOT_FOUND, "no image for %s in the index; it has %s",
		       platform_text(want, text), shown ? buf_str(&have) : "none for any platform");
}

int document_choose(const struct document *index, const struct platform *want, size_t *pos,
		    struct err *e)
{
	int best = 0;

	for (size_t i = 0; i < index->manifests_n; i++) {
		const struct descriptor *d = &index->manifests[i];
		/* 1 loses against every platform that is said */
		int score = d->has_platform ? platform_match(want, &d->platform) : may_serve(d);

		if (d->has_platform && score)
			score++;
		if (score > best) {
			best = score;
			*pos = i;
		}
	}
	return best ? 0 : nothing_serves(index, want, e);
}

void document_begin(struct json_out *o, const char *media_type)
{
	json_begin(o, '{');
	json_key(o, "schemaVersion");
	json_put_i64(o, 2);
	json_key(o, "mediaType");
	json_put_str(o, span_str(media_type));
}
