/* The image config (image-spec config.md). */
#include "libcommon/oci.h"
#include "libcommon/oci/oci_private.h"

#include <stdlib.h>
#include <string.h>

static struct span member(const struct json *v, const char *key)
{
	struct span s = { 0 };

	json_str(json_get(v, key), &s);
	return s;
}

static int read_diff_ids(struct config *c, struct err *e)
{
	const struct json *rootfs = json_get(c->json, "rootfs");
	const struct json *ids = json_get(rootfs, "diff_ids");

	if (!json_is_object(rootfs))
		return err_set(e, E_FORMAT, "the image config has no rootfs");
	if (!span_is(member(rootfs, "type"), "layers"))
		return err_set(e, E_FORMAT,
			       "the rootfs of the image config is not of type \"layers\"");
	/* null is what Go's encoder makes of an image without layers */
	if (ids && !json_is_array(ids) && !json_is_null(ids))
		return err_set(e, E_FORMAT, "the diff_ids of the image config are no array");
	if (!json_is_array(ids) || !json_len(ids))
		return 0;
	c->diff_ids = xcalloc(json_len(ids), sizeof(*c->diff_ids));
	for (size_t i = 0; i < json_len(ids); i++) {
		struct span text = { 0 };
		int r = E_FORMAT;

		if (json_str(json_at(ids, i), &text))
			r = digest_parse(text, &c->diff_ids[i]);
		if (r < 0)
			return err_set(e, r, "diff_ids[%zu] of the image config is no digest", i);
		c->diff_ids_n++;
	}
	return 0;
}

static int check_case(const struct config *c, struct err *e)
{
	static const char *const top[] = { "os", "architecture", "variant", "config", "rootfs" };
	static const char *const inner[] = { "User",   "Env",	     "Entrypoint",
					     "Cmd",    "WorkingDir", "Volumes",
					     "Labels", "StopSignal", "ExposedPorts" };
	static const char *const rootfs[] = { "type", "diff_ids" };
	int r = json_check_case(c->json, top, ARRAY_LEN(top), e);

	if (r == 0)
		r = json_check_case(json_get(c->json, "config"), inner, ARRAY_LEN(inner), e);
	if (r == 0)
		r = json_check_case(json_get(c->json, "rootfs"), rootfs, ARRAY_LEN(rootfs), e);
	return r < 0 ? (err_prefix(e, "image config"), r) : 0;
}

static int parse(struct config *c, struct err *e)
{
	const struct json_limits lim = { .max_bytes = DOC_CONFIG_MAX };
	int r;

	if (c->raw.n > DOC_CONFIG_MAX)
		return err_set(e, E_TOOBIG, "an image config of %zu bytes; at most %d are read",
			       c->raw.n, DOC_CONFIG_MAX);
	r = json_parse(buf_span(&c->raw), &lim, &c->json, e);
	if (r < 0)
		return err_prefix(e, "image config"), r;
	if (!json_is_object(c->json))
		return err_set(e, E_FORMAT, "the image config is no JSON object");
	r = check_case(c, e);
	if (r < 0)
		return r;
	/* empty where it says none: old docker images have no os */
	platform_from_parts(member(c->json, "os"), member(c->json, "architecture"),
			    member(c->json, "variant"), &c->platform);
	return read_diff_ids(c, e);
}

int config_parse(struct buf *raw, struct config *out, struct err *e)
{
	struct config c = { .raw = *raw };
	int r;

	*raw = BUF_INIT;
	memset(out, 0, sizeof(*out));
	r = parse(&c, e);
	if (r < 0) {
		config_release(&c);
		return r;
	}
	*out = c;
	return 0;
}

void config_release(struct config *c)
{
	json_free(c->json);
	buf_release(&c->raw);
	free(c->diff_ids);
	memset(c, 0, sizeof(*c));
}

int config_check(const struct config *c, const struct document *manifest,
		 const struct platform *listed, struct err *e)
{
	char said[100], is[100];

	if (c->diff_ids_n != manifest->layers_n)
		return err_set(e, E_FORMAT,
			       "the image config has %zu diff_ids but the manifest %zu layers",
			       c->diff_ids_n, manifest->layers_n);
	if (!listed || !listed->os[0] || !c->platform.os[0])
		return 0;
	/* configs often leave the variant out */
	if (strcmp(listed->os, c->platform.os) || strcmp(listed->arch, c->platform.arch))
		return err_set(e, E_FORMAT,
			       "the index lists the image as %s but its config says %s",
			       platform_text(listed, said), platform_text(&c->platform, is));
	return 0;
}
