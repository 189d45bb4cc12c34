/* What the parts of config.json share. */
#ifndef OCIBOX_OCI_BUNDLE_H
#define OCIBOX_OCI_BUNDLE_H

#include "libcommon/oci.h"

struct bundle {
	struct json_out o;
	const struct config *config;
	const struct json *image; /* the member "config" of the image config, or NULL */
	const struct bundle_options *options;
	int rootfd;
	struct user user;
	bool userns;
};

/* A member of the image config's "config": *out is NULL where it is missing or null; any other type
 * but the wanted is an error. */
int bundle_get(const struct bundle *b, const char *key, bool (*is)(const struct json *),
	       const struct json **out, struct err *e);
int bundle_get_text(const struct bundle *b, const char *key, struct span *out, struct err *e);
/* The keys of an object, sorted: the same bytes for the same set. malloc'd. */
struct span *bundle_sorted_keys(const struct json *v, size_t *n);

void bundle_put_member(struct json_out *o, const char *key, const char *value);
void bundle_put_strings(struct json_out *o, const char *key, const char *const *list);
int bundle_put_mounts(struct bundle *b, struct err *e);
int bundle_put_annotations(struct bundle *b, struct err *e);
void bundle_put_linux(struct bundle *b);

#endif
