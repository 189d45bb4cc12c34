/* Manifests, written: canonical JSON in one of two formats, OCI's and docker's. */
#include <string.h>

#include "libcommon/oci/compose.h"

/* The same layer in both formats, by its kind of compression. */
static const struct {
	const char *oci, *docker;
	enum compression compression;
} layer_types[] = {
	{ MEDIA_OCI_LAYER, "application/vnd.docker.image.rootfs.diff.tar", COMPRESSION_NONE },
	{ MEDIA_OCI_LAYER "+gzip", MEDIA_DOCKER_LAYER, COMPRESSION_GZIP },
	{ MEDIA_OCI_LAYER "+zstd", NULL, COMPRESSION_ZSTD },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
	  "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", COMPRESSION_UNKNOWN },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar",
	  "application/vnd.docker.image.rootfs.foreign.diff.tar", COMPRESSION_UNKNOWN },
};

const char *layer_media_type_of(enum compression c, bool docker)
{
	for (size_t i = 0; i < ARRAY_LEN(layer_types); i++)
		if (layer_types[i].compression == c)
			return docker ? layer_types[i].docker : layer_types[i].oci;
	return NULL;
}

int layer_media_type(const char *type, bool docker, const char **out, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(layer_types); i++) {
		const char *d = layer_types[i].docker;

		if (strcmp(type, layer_types[i].oci) && (!d || strcmp(type, d)))
			continue;
		*out = docker ? d : layer_types[i].oci;
		if (*out)
			return 0;
	}
	return err_set(e, E_UNSUPPORTED, "%s has no layers of type %s%s",
		       docker ? "docker's format" : "OCI's format", quoted_str(type),
		       docker ? " (--format oci has)" : "");
}

bool manifest_is_docker(const struct document *m)
{
	return !strcmp(m->media_type, MEDIA_DOCKER_MANIFEST);
}

struct json *descriptor_to_json(const char *type, const struct digest *digest, uint64_t size)
{
	struct json *d = json_new('{');
	char text[DIGEST_TEXT_MAX];

	json_set(d, "mediaType", json_new_str(span_str(type)));
	json_set(d, "digest", json_new_str(span_str(digest_text(digest, text))));
	json_set(d, "size", json_new_i64((int64_t)size));
	return d;
}

static bool put_annotations(struct json_out *o, struct span key, const struct json *v)
{
	bool map = span_is(key, "annotations") && json_is_object(v);

	if (map)
		json_put_sorted(o, v);
	return map;
}

void descriptor_put(struct json_out *o, const struct json *d)
{
	static const char *const order[] = { "mediaType",   "digest", "size",	  "urls",
					     "annotations", "data",   "platform", "artifactType" };

	json_put_ordered(o, d, order, ARRAY_LEN(order), put_annotations);
}

/* Members of the base by these names, or (rest) all that are not among those that are written
 * anyway. */
static void put_kept(struct json_out *o, const struct json *base, const char *only)
{
	static const char *const ours[] = { "schemaVersion", "mediaType", "artifactType", "config",
					    "layers",	     "subject",	  "annotations" };
	const struct json *val;
	struct span key;

	for (void *it = NULL; json_next(base, &it, &key, &val);) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_LEN(ours); i++)
			known |= span_is(key, ours[i]);
		if (only ? !span_is(key, only) : known)
			continue;
		json_key_span(o, key);
		json_put(o, val);
	}
}

int manifest_write(const struct manifest_parts *p, struct buf *out, struct err *e)
{
	_cleanup_(json_out_release) struct json_out o = { 0 };

	document_begin(&o, p->docker ? MEDIA_DOCKER_MANIFEST : MEDIA_OCI_MANIFEST);
	if (!p->docker)
		put_kept(&o, p->base, "artifactType");
	json_key(&o, "config");
	descriptor_put(&o, p->config);
	json_key(&o, "layers");
	json_begin(&o, '[');
	for (size_t i = 0; i < json_len(p->layers); i++)
		descriptor_put(&o, json_at(p->layers, i));
	json_end(&o, ']');
	if (!p->docker) {
		put_kept(&o, p->base, "subject");
		if (json_len(p->annotations)) {
			json_key(&o, "annotations");
			json_put_sorted(&o, p->annotations);
		}
	}
	put_kept(&o, p->base, NULL);
	json_end(&o, '}');
	if (o.b.n > DOC_MANIFEST_MAX)
		return err_set(e, E_TOOBIG, "the manifest would have %zu bytes; at most %d", o.b.n,
			       DOC_MANIFEST_MAX);
	buf_add_span(out, buf_span(&o.b));
	return 0;
}
