/* The parts of compose.c and join.c: media types of the two formats, and what is written (manifest_write.c). */
#ifndef OCIBOX_OCI_COMPOSE_H
#define OCIBOX_OCI_COMPOSE_H

#include "libcommon/oci.h"

/* The layer's media type in the other format, or the same: E_UNSUPPORTED where the format has none. */
int layer_media_type(const char *type, bool docker, const char **out, struct err *e);
const char *layer_media_type_of(enum compression c,
				bool docker); /* NULL: docker's format has no zstd */
bool manifest_is_docker(const struct document *m);

struct manifest_parts {
	bool docker;
	const struct json *base;	/* the manifest whose other members are kept, or NULL */
	const struct json *config;	/* its descriptor */
	const struct json *layers;	/* an array of descriptors */
	const struct json *annotations; /* an object, or NULL */
};
/* Canonical: members in the order of the specification, annotations sorted. E_TOOBIG. */
int manifest_write(const struct manifest_parts *p, struct buf *out, struct err *e);
/* A descriptor of mediaType, digest and size alone. */
struct json *descriptor_to_json(const char *type, const struct digest *digest, uint64_t size);
/* Canonical: members in one order, annotations sorted. */
void descriptor_put(struct json_out *o, const struct json *d);

#endif
