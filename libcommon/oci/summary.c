/* What there is to tell of an image, in JSON: its summary, with the names that skopeo inspect gives its members, and its layers. */
#include <string.h>

#include "libcommon/oci.h"

static void put_digest(struct json_out *o, const char *key, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];

	json_key(o, key);
	json_put_str(o, span_str(digest_text(d, text)));
}

static void put_name(struct json_out *o, const char *ref_name)
{
	struct reference ref;
	_cleanup_(freep) char *name = NULL;

	if (!ref_name || reference_parse(ref_name, &ref, NULL) < 0)
		return;
	name = xasprintf("%s/%s", ref.domain, ref.repository);
	json_key(o, "Name");
	json_put_str(o, span_str(name));
	if (ref.tag) {
		json_key(o, "Tag");
		json_put_str(o, span_str(ref.tag));
	}
	reference_release(&ref);
}

/* A member of v under another name; dflt is JSON, NULL: left out where there is none. */
static void put_member(struct json_out *o, const char *key, const struct json *v, const char *from,
		       const char *dflt)
{
	v = json_get(v, from);
	if ((!v || json_is_null(v)) && !dflt)
		return;
	json_key(o, key);
	if (v)
		json_put(o, v);
	else if (*dflt)
		json_put_str(o, span_str(dflt));
	else
		json_put_null(o);
}

static void put_layers_data(struct json_out *o, const struct document *m, const struct json *doc)
{
	json_key(o, "Layers");
	json_begin(o, '[');
	for (size_t i = 0; i < m->layers_n; i++) {
		char text[DIGEST_TEXT_MAX];

		json_put_str(o, span_str(digest_text(&m->layers[i].digest, text)));
	}
	json_end(o, ']');
	json_key(o, "LayersData");
	json_begin(o, '[');
	for (size_t i = 0; i < m->layers_n; i++) {
		const struct descriptor *d = &m->layers[i];

		json_begin(o, '{');
		json_key(o, "MIMEType");
		json_put_str(o, span_str(d->media_type));
		put_digest(o, "Digest", &d->digest);
		json_key(o, "Size");
		json_put_i64(o, (int64_t)d->size);
		put_member(o, "Annotations", json_at(json_get(doc, "layers"), i), "annotations",
			   "");
		json_end(o, '}');
	}
	json_end(o, ']');
}

static void put_sizes(struct json_out *o, const struct document *m)
{
	uint64_t size = 0;

	for (size_t i = 0; i < m->layers_n; i++)
		size += m->layers[i].size;
	json_key(o, "Size");
	json_put_i64(o, (int64_t)size);
}

int image_summary(const struct image *img, struct json_out *o, struct err *e)
{
	static const char *const run[] = { "User",	   "Entrypoint", "Cmd",	      "WorkingDir",
					   "ExposedPorts", "Volumes",	 "StopSignal" };
	_cleanup_(json_freep) struct json *doc = NULL;
	const struct document *m = image_manifest(img);
	const struct config *c = image_config(img);
	const struct json *config = c ? c->json : NULL, *inner = json_get(config, "config");
	const struct json_limits lim = { .max_bytes = DOC_MANIFEST_MAX };
	int r = json_parse(buf_span(&m->raw), &lim, &doc, e);

	if (r < 0)
		return r;
	json_begin(o, '{');
	put_name(o, image_ref_name(img));
	put_digest(o, "Digest", image_digest(img));
	json_key(o, "RepoTags");
	json_begin(o, '[');
	json_end(o, ']');
	put_member(o, "Created", config, "created", "");
	json_key(o, "DockerVersion");
	json_put_str(o, span_str(json_cstr(json_get(config, "docker_version"))));
	put_member(o, "Labels", inner, "Labels", "");
	put_member(o, "Architecture", config, "architecture", "");
	put_member(o, "Variant", config, "variant", NULL);
	put_member(o, "Os", config, "os", "");
	put_layers_data(o, m, doc);
	put_member(o, "Env", inner, "Env", "");
	put_sizes(o, m);
	json_key(o, "MediaType");
	json_put_str(o, span_str(m->media_type));
	put_digest(o, "ManifestDigest", &m->digest);
	put_digest(o, "ConfigDigest", &m->config.digest);
	put_member(o, "ArtifactType", doc, "artifactType", NULL);
	put_member(o, "Annotations", doc, "annotations", NULL);
	put_member(o, "Subject", doc, "subject", NULL);
	for (size_t i = 0; i < ARRAY_LEN(run); i++)
		put_member(o, run[i], inner, run[i], NULL);
	json_end(o, '}');
	return 0;
}

/* The next step of the history that made a layer. */
static const struct json *next_step(const struct json *history, size_t *at)
{
	while (*at < json_len(history)) {
		const struct json *step = json_at(history, (*at)++);

		if (!json_bool(json_get(step, "empty_layer"), false))
			return step;
	}
	return NULL;
}

int image_layers(const struct image *img, struct json_out *o, struct err *e)
{
	const struct document *m = image_manifest(img);
	const struct config *c = image_config(img);
	const struct json *history = c ? json_get(c->json, "history") : NULL;
	struct digest chain;
	size_t at = 0;

	if (!c)
		return err_set(e, E_UNSUPPORTED,
			       "it is an artifact, not a container image: see --manifest");
	json_begin(o, '[');
	for (size_t i = 0; i < m->layers_n; i++) {
		const struct json *step = next_step(history, &at);

		chain = chain_id_next(i ? &chain : NULL, &c->diff_ids[i]);
		json_begin(o, '{');
		put_digest(o, "Digest", &m->layers[i].digest);
		json_key(o, "Size");
		json_put_i64(o, (int64_t)m->layers[i].size);
		json_key(o, "MIMEType");
		json_put_str(o, span_str(m->layers[i].media_type));
		put_digest(o, "DiffID", &c->diff_ids[i]);
		put_digest(o, "ChainID", &chain);
		put_member(o, "Created", step, "created", NULL);
		put_member(o, "CreatedBy", step, "created_by", NULL);
		put_member(o, "Comment", step, "comment", NULL);
		json_end(o, '}');
	}
	json_end(o, ']');
	return 0;
}
