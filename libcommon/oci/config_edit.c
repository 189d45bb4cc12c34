/*
 * An image config that is changed (image-spec config.md; docker's additions to it).
 *
 * What an edit does is what the Dockerfile instruction of the same name does. All that no edit
 * names is kept, known or not, in what is written as in what is read.
 */
#include "libcommon/oci/config_edit.h"

#include <stdlib.h>
#include <string.h>

static const char *const top_order[] = {
	"created",     "author",  "architecture", "os",	    "os.version",
	"os.features", "variant", "config",	  "rootfs", "history",
};
static const char *const config_order[] = {
	"User",	  "ExposedPorts", "Env",	 "Entrypoint",	"Cmd",	   "Volumes", "WorkingDir",
	"Labels", "StopSignal",	  "StopTimeout", "Healthcheck", "OnBuild", "Shell",   "ArgsEscaped",
};

/* ---- written ---- */

static bool put_map(struct json_out *o, struct span key, const struct json *v)
{
	bool map = json_is_object(v) && (span_is(key, "ExposedPorts") || span_is(key, "Volumes") ||
					 span_is(key, "Labels"));

	if (map)
		json_put_sorted(o, v);
	return map;
}

static bool put_member(struct json_out *o, struct span key, const struct json *v)
{
	static const char *const rootfs[] = { "type", "diff_ids" };
	static const char *const entry[] = { "created", "created_by", "author", "comment",
					     "empty_layer" };

	if (span_is(key, "config") && json_is_object(v)) {
		json_put_ordered(o, v, config_order, ARRAY_LEN(config_order), put_map);
	} else if (span_is(key, "rootfs") && json_is_object(v)) {
		json_put_ordered(o, v, rootfs, ARRAY_LEN(rootfs), NULL);
	} else if (span_is(key, "history") && json_is_array(v)) {
		json_begin(o, '[');
		for (size_t i = 0; i < json_len(v); i++)
			json_put_ordered(o, json_at(v, i), entry, ARRAY_LEN(entry), NULL);
		json_end(o, ']');
	} else {
		return false;
	}
	return true;
}

static void write_doc(const struct json *doc, struct buf *out)
{
	_cleanup_(json_out_release) struct json_out o = { 0 };

	json_put_ordered(&o, doc, top_order, ARRAY_LEN(top_order), put_member);
	buf_add_span(out, buf_span(&o.b));
}

int config_edit_write(const struct config_edit *c, struct buf *out, struct err *e)
{
	write_doc(c->doc, out);
	if (out->n > DOC_CONFIG_MAX)
		return err_set(e, E_TOOBIG, "the image config would have %zu bytes; at most %d",
			       out->n, DOC_CONFIG_MAX);
	return 0;
}

bool config_edit_changed(const struct config_edit *c)
{
	_cleanup_(buf_release) struct buf now = BUF_INIT;
	struct digest now_is;

	write_doc(c->doc, &now);
	now_is = digest_of(HASH_SHA256, buf_span(&now));
	return !digest_eq(&now_is, &c->before);
}

struct json *config_edit_json(struct config_edit *c)
{
	return c->doc;
}

/* ---- opened ---- */

static void set_str(struct json *object, const char *key, const char *s)
{
	if (*s)
		json_set(object, key, json_new_str(span_str(s)));
}

static struct json *new_doc(const struct platform *p)
{
	struct json *doc = json_new('{'), *rootfs = json_new('{');

	set_str(doc, "architecture", p->arch);
	set_str(doc, "os", p->os);
	set_str(doc, "variant", p->variant);
	set_str(rootfs, "type", "layers");
	json_set(rootfs, "diff_ids", json_new('['));
	json_set(doc, "rootfs", rootfs);
	return doc;
}

static int check_history(const struct json *doc, struct err *e)
{
	const struct json *h = json_get(doc, "history");

	if (h && !json_is_array(h) && !json_is_null(h))
		return err_set(e, E_FORMAT, "the history of the image config is no array");
	for (size_t i = 0; i < json_len(h); i++)
		if (!json_is_object(json_at(h, i)))
			return err_set(e, E_FORMAT,
				       "the history of the image config has an entry that is no "
				       "object");
	return 0;
}

int config_edit_open(const struct config *base, const struct platform *platform,
		     struct config_edit **out, struct err *e)
{
	_cleanup_(config_edit_closep) struct config_edit *c = xcalloc(1, sizeof(*c));
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	const struct json *config;
	int r;

	c->doc = base ? json_clone(base->json) : new_doc(platform);
	r = check_history(c->doc, e);
	if (r < 0)
		return r;
	config = json_get(c->doc, "config");
	if (!config || json_is_null(config))
		json_set(c->doc, "config", json_new('{'));
	else if (!json_is_object(config))
		return err_set(e, E_FORMAT,
			       "the member \"config\" of the image config is no object");
	c->config = json_edit(c->doc, "config");
	c->windows = !strcmp(base ? base->platform.os : platform->os, "windows");
	write_doc(c->doc, &text);
	c->before = digest_of(HASH_SHA256, buf_span(&text));
	*out = steal_ptr(&c);
	return 0;
}

void config_edit_close(struct config_edit *c)
{
	if (!c)
		return;
	json_free(c->doc);
	free(c);
}

void config_edit_closep(struct config_edit **c)
{
	config_edit_close(*c);
}
