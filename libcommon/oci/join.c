/*
 * Images of several platforms, joined into one index.
 *
 * The descriptors of an index that is joined are taken as they are, with their annotations and what
 * belongs to other manifests (attestations). Manifests and blobs stay byte for byte.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/oci/compose.h"
#include "libcommon/oci/oci_private.h"

enum { JOINED_MAX = 4096 };

/* A config that had to be read to know its platform. */
struct config_kept {
	struct digest digest;
	struct buf raw;
};

struct joined {
	struct image *img;
	const struct document *doc;
	size_t source;	     /* which of the images that were added */
	char *platform;	     /* for comparison; NULL: it has none, or is for none */
	struct json *listed; /* its descriptor */
};

struct join {
	struct joined *v;
	size_t n;
	struct config_kept *configs;
	size_t configs_n;
	struct image **images;
	const char **names;
	size_t images_n;
	struct json *annotations;
	struct document index;
	const struct document **docs;
};

void join_open(struct join **out)
{
	*out = xcalloc(1, sizeof(**out));
	(*out)->annotations = json_new('{');
}

void join_close(struct join *j)
{
	for (size_t i = 0; i < j->n; i++) {
		free(j->v[i].platform);
		json_free(j->v[i].listed);
	}
	for (size_t i = 0; i < j->configs_n; i++)
		buf_release(&j->configs[i].raw);
	json_free(j->annotations);
	document_release(&j->index);
	free(j->v);
	free(j->configs);
	free(j->images);
	free(j->names);
	free(j->docs);
	free(j);
}

/* ---- platforms ---- */

static const struct config_kept *kept(const struct join *j, const struct digest *d)
{
	for (size_t i = 0; i < j->configs_n; i++)
		if (digest_eq(&j->configs[i].digest, d))
			return &j->configs[i];
	return NULL;
}

/* On a stream it comes once: it is kept for when it is to be written. */
static int keep_config(struct join *j, struct image *img, const struct document *m, struct err *e)
{
	_cleanup_(stream_closep) struct stream *s = NULL;
	int r;

	if (kept(j, &m->config.digest))
		return 0;
	if (m->config.size > DOC_CONFIG_MAX)
		return err_set(e, E_TOOBIG, "an image config of %llu bytes; at most %d are read",
			       (unsigned long long)m->config.size, DOC_CONFIG_MAX);
	r = image_blob(img, &m->config, &s, e);
	if (r < 0)
		return r;
	j->configs = xrealloc(j->configs, (j->configs_n + 1) * sizeof(*j->configs));
	struct config_kept *c = &j->configs[j->configs_n++];
	*c = (struct config_kept){ .digest = m->config.digest };
	r = stream_read_all(s, DOC_CONFIG_MAX, &c->raw);
	return r < 0 ? err_set(e, r, "the image config: %s", err_word(r)) : 0;
}

/* Members of a config that an index says of a platform, too. */
static struct json *platform_of(const struct config *c)
{
	static const char *const members[] = { "architecture", "os", "os.version", "os.features",
					       "variant" };
	struct json *p = json_new('{');

	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		const struct json *v = json_get(c->json, members[i]);

		if (v && !json_is_null(v))
			json_set(p, members[i], json_clone(v));
	}
	return p;
}

/* What the config of an image says, for an index that does not, or for none. */
static int platform_from_config(struct join *j, struct image *img, const struct document *m,
				struct json *listed, struct err *e)
{
	_cleanup_(config_release) struct config c = { 0 };
	_cleanup_(buf_release) struct buf raw = BUF_INIT;
	int r = keep_config(j, img, m, e);

	if (r < 0)
		return r;
	buf_add_span(&raw, buf_span(&kept(j, &m->config.digest)->raw));
	r = config_parse(&raw, &c, e);
	if (r == 0)
		r = config_check(&c, m, NULL, e);
	if (r == 0 && !c.platform.os[0])
		r = err_set(e, E_UNSUPPORTED, "its config names no platform");
	if (r == 0)
		json_set(listed, "platform", platform_of(&c));
	return r;
}

/* Normalised: two that are equal are for the same machines. NULL where it is for none. */
static char *platform_key(const struct json *listed)
{
	const struct json *p = json_get(listed, "platform"), *features = json_get(p, "os.features");
	_cleanup_(json_out_release) struct json_out o = { 0 };
	const char *version = json_cstr(json_get(p, "os.version"));
	struct span os = { 0 }, arch = { 0 }, variant = { 0 };
	struct platform platform;
	char text[100];

	json_str(json_get(p, "os"), &os);
	json_str(json_get(p, "architecture"), &arch);
	json_str(json_get(p, "variant"), &variant);
	if (!platform_from_parts(os, arch, variant, &platform) ||
	    !platform_match(&platform, &platform))
		return NULL;
	if (json_len(features))
		json_put(&o, features);
	return xasprintf("%s%s%s%s", platform_text(&platform, text), version ? " " : "",
			 version ? version : "", buf_str(&o.b));
}

/* ---- what comes in ---- */

static bool have_manifest(const struct join *j, const struct digest *d)
{
	for (size_t i = 0; i < j->n; i++)
		if (digest_eq(&j->v[i].doc->digest, d))
			return true;
	return false;
}

/* Takes listed. */
static int add(struct join *j, struct image *img, const struct document *doc, struct json *listed,
	       struct err *e)
{
	struct joined x = { .img = img, .doc = doc, .source = j->images_n - 1, .listed = listed };

	x.platform = platform_key(listed);
	j->v = xrealloc(j->v, (j->n + 1) * sizeof(*j->v));
	j->v[j->n++] = x;
	if (j->n > JOINED_MAX)
		return err_set(e, E_TOOBIG, "the index would have more than %d manifests",
			       JOINED_MAX);
	/* of one index they are as its maker wanted them */
	for (size_t i = 0; x.platform && i + 1 < j->n; i++)
		if (j->v[i].platform && j->v[i].source != x.source &&
		    !strcmp(j->v[i].platform, x.platform))
			return err_set(e, E_EXISTS, "there is an image for %s already, in %s",
				       quoted_str(x.platform), j->names[j->v[i].source]);
	return 0;
}

static int add_single(struct join *j, struct image *img, const struct document *m, struct err *e)
{
	struct json *listed;
	int r;

	if (have_manifest(j, &m->digest))
		return 0;
	if (!descriptor_is_image_config(&m->config))
		return err_set(e, E_UNSUPPORTED,
			       "it is an artifact, not a container image: it has no platform");
	listed = descriptor_to_json(m->media_type, &m->digest, m->raw.n);
	r = platform_from_config(j, img, m, listed, e);
	if (r < 0) {
		json_free(listed);
		return r;
	}
	return add(j, img, m, listed, e);
}

static const struct document *find_document(struct image *img, const struct digest *d)
{
	size_t n;
	const struct document *const *docs = image_documents(img, &n);

	for (size_t i = 0; i < n; i++)
		if (digest_eq(&docs[i]->digest, d))
			return docs[i];
	return NULL;
}

/* Of two indexes that say different things the first is heard. */
static void add_annotations(struct join *j, const struct json *from)
{
	const struct json *val;
	struct span key;

	for (void *it = NULL; json_next(from, &it, &key, &val);) {
		_cleanup_(freep) char *name = span_dup(key);

		if (json_is_string(val) && !json_get(j->annotations, name))
			json_set(j->annotations, name, json_clone(val));
	}
}

static int add_index(struct join *j, struct image *img, const struct document *index,
		     struct err *e);

static int add_listed(struct join *j, struct image *img, const struct descriptor *d,
		      const struct json *listed, struct err *e)
{
	const struct document *doc = find_document(img, &d->digest);
	struct json *copy;
	int r = 0;

	if (!doc || doc->kind == DOC_INDEX)
		return doc ? add_index(j, img, doc, e) : E_NOT_FOUND;
	if (have_manifest(j, &d->digest))
		return 0;
	copy = json_clone(listed);
	if (!d->media_type[0])
		json_set(copy, "mediaType", json_new_str(span_str(doc->media_type)));
	if (!d->has_platform && !d->artifact_type && descriptor_is_image_config(&doc->config))
		r = platform_from_config(j, img, doc, copy, e);
	if (r < 0) {
		json_free(copy);
		return r;
	}
	return add(j, img, doc, copy, e);
}

static int add_index(struct join *j, struct image *img, const struct document *index, struct err *e)
{
	_cleanup_(json_freep) struct json *doc = NULL;
	const struct json *list;
	int r = json_parse(buf_span(&index->raw),
			   &(struct json_limits){ .max_bytes = DOC_MANIFEST_MAX }, &doc, e);

	add_annotations(j, json_get(doc, "annotations"));
	list = json_get(doc, "manifests");
	for (size_t i = 0; r == 0 && i < index->manifests_n; i++)
		r = add_listed(j, img, &index->manifests[i], json_at(list, i), e);
	return r;
}

int join_add(struct join *j, struct image *img, const char *name, struct err *e)
{
	size_t n;
	const struct document *top = image_documents(img, &n)[0];

	j->images = xrealloc(j->images, (j->images_n + 1) * sizeof(*j->images));
	j->names = xrealloc(j->names, (j->images_n + 1) * sizeof(*j->names));
	j->names[j->images_n] = name;
	j->images[j->images_n++] = img;
	return top->kind == DOC_INDEX ? add_index(j, img, top, e) : add_single(j, img, top, e);
}

/* ---- what comes out ---- */

static void write_index(const struct join *j, struct json_out *o)
{
	document_begin(o, MEDIA_OCI_INDEX);
	json_key(o, "manifests");
	json_begin(o, '[');
	for (size_t i = 0; i < j->n; i++)
		descriptor_put(o, j->v[i].listed);
	json_end(o, ']');
	if (json_len(j->annotations)) {
		json_key(o, "annotations");
		json_put_sorted(o, j->annotations);
	}
	json_end(o, '}');
}

int join_finish(struct join *j, const struct json *annotations, struct err *e)
{
	_cleanup_(json_out_release) struct json_out o = { 0 };
	_cleanup_(buf_release) struct buf raw = BUF_INIT;
	const struct json *val;
	struct span key;
	int r;

	for (void *it = NULL; json_next(annotations, &it, &key, &val);) {
		_cleanup_(freep) char *name = span_dup(key);

		json_set(j->annotations, name, json_clone(val));
	}
	write_index(j, &o);
	buf_add_span(&raw, buf_span(&o.b));
	r = document_parse(&raw, MEDIA_OCI_INDEX, &j->index, e);
	if (r < 0)
		return err_prefix(e, "the index"), r;
	j->docs = xcalloc(j->n + 1, sizeof(*j->docs));
	j->docs[0] = &j->index;
	for (size_t i = 0; i < j->n; i++)
		j->docs[i + 1] = j->v[i].doc;
	return 0;
}

const struct document *const *join_documents(const struct join *j, size_t *n)
{
	*n = j->n + 1;
	return j->docs;
}

static int put_blob(struct join *j, struct image *img, const struct descriptor *d,
		    struct image_target *t, struct err *e)
{
	_cleanup_(stream_closep) struct stream *s = NULL;
	const struct config_kept *c = kept(j, &d->digest);
	int r = 0;

	if (image_target_has(t, d))
		return 0;
	if (c)
		s = stream_from_span(buf_span(&c->raw));
	else
		r = image_blob(img, d, &s, e);
	if (r == 0)
		r = image_target_blob(t, d, s, e);
	if (r == 0) {
		t->stats->read += d->size;
		t->stats->hashed += d->size;
	}
	return r;
}

/* What the target has by now need not wait in the spool for its turn. */
static void pass_over(struct image *img, const struct document *m, const struct image_target *t)
{
	if (image_target_has(t, &m->config))
		image_pass_over(img, &m->config.digest);
	for (size_t i = 0; i < m->layers_n; i++)
		if (image_target_has(t, &m->layers[i]))
			image_pass_over(img, &m->layers[i].digest);
}

static int put_manifest(struct join *j, const struct joined *x, struct image_target *t,
			struct err *e)
{
	int r = put_blob(j, x->img, &x->doc->config, t, e);

	for (size_t i = 0; r == 0 && i < x->doc->layers_n; i++)
		r = put_blob(j, x->img, &x->doc->layers[i], t, e);
	return r;
}

int join_write(struct join *j, struct image_target *t, struct err *e)
{
	for (size_t i = 0, k = 0; i < j->images_n; i++) {
		int r = 0;

		for (size_t n = k; n < j->n && j->v[n].source == i; n++)
			pass_over(j->images[i], j->v[n].doc, t);
		for (; r == 0 && k < j->n && j->v[k].source == i; k++)
			r = put_manifest(j, &j->v[k], t, e);
		if (r == 0)
			r = image_finish(j->images[i], e);
		if (r < 0)
			return err_prefix(e, "%s", j->names[i]), r;
	}
	return 0;
}
