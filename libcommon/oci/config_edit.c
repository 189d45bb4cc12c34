/*
 * An image config that is changed (image-spec config.md; docker's additions to it).
 *
 * What an edit does is what the Dockerfile instruction of the same name does. All that no edit
 * names is kept, known or not, in what is written as in what is read.
 */
#include "libcommon/oci/config_edit.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

struct config_edit {
	struct json *doc;    /* the whole */
	struct json *config; /* its member "config" */
	bool cmd_set;
	bool windows;
	struct digest before; /* of what it was, canonical */
};

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

/* ---- members ---- */

/* The member, made where it is missing or null; kind is '{' or '['. */
static int collection(struct config_edit *c, const char *key, char kind, struct json **out,
		      struct err *e)
{
	const struct json *v = json_get(c->config, key);

	if (!v || json_is_null(v))
		json_set(c->config, key, json_new(kind));
	else if (kind == '{' ? !json_is_object(v) : !json_is_array(v))
		return err_set(e, E_FORMAT, "%s of the image config is no %s", key,
			       kind == '{' ? "object" : "array");
	*out = json_edit(c->config, key);
	return 0;
}

/* A collection that became empty is as good as none. */
static void drop_empty(struct config_edit *c, const char *key)
{
	if (!json_len(json_get(c->config, key)))
		json_unset(c->config, key);
}

/* NAME=VALUE; *value is NULL where there is no "=". */
static int split(struct span s, char **name, struct span *value, struct err *e)
{
	size_t eq = span_find(s, '=');

	if (!eq || !s.n)
		return err_set(e, E_USAGE, "%s has no name", quoted(s));
	*name = span_dup(span_of(s.p, eq));
	*value = eq < s.n ? span_tail(s, eq + 1) : span_of(NULL, 0);
	return 0;
}

static int needs_value(struct span s, struct err *e)
{
	return err_set(e, E_USAGE, "%s is no NAME=VALUE", quoted(s));
}

static bool is_env(const struct json *item, const char *name)
{
	struct span s = { 0 };
	size_t n = strlen(name);

	return json_str(item, &s) && span_starts(s, name) && (s.n == n || s.p[n] == '=');
}

static int set_env(struct config_edit *c, struct span value, struct err *e)
{
	_cleanup_(freep) char *name = NULL;
	struct span text = { 0 };
	struct json *env;
	size_t at;
	int r = split(value, &name, &text, e);

	if (r == 0 && !text.p)
		r = needs_value(value, e);
	if (r == 0)
		r = collection(c, "Env", '[', &env, e);
	if (r < 0)
		return r;
	for (at = 0; at < json_len(env) && !is_env(json_at(env, at), name); at++)
		;
	/* Of the same name twice many programs take the last: there is only one then. */
	for (size_t i = json_len(env); i-- > at + 1;)
		if (is_env(json_at(env, i), name))
			json_unset_at(env, i);
	if (at < json_len(env))
		json_set_at(env, at, json_new_str(value));
	else
		json_append(env, json_new_str(value));
	return 0;
}

static int unset_env(struct config_edit *c, struct span value, struct err *e)
{
	_cleanup_(freep) char *name = span_dup(value);
	struct json *env;
	int r = collection(c, "Env", '[', &env, e);

	if (r == 0 && (!value.n || strchr(name, '=')))
		r = err_set(e, E_USAGE, "%s is no NAME", quoted(value));
	if (r < 0)
		return r;
	for (size_t i = json_len(env); i--;)
		if (is_env(json_at(env, i), name))
			json_unset_at(env, i);
	drop_empty(c, "Env");
	return 0;
}

/* An array is taken as it is; a text is given to the shell. An empty array is none. */
static int set_command(struct config_edit *c, const char *key, struct span value, struct err *e)
{
	const struct json *shell;
	struct json *argv = NULL;
	int r = value_strings(value, &argv, e);

	if (r < 0)
		return r;
	if (r == 0 && !span_trim(value).n)
		return err_set(e, E_USAGE, "the command is empty");
	if (r > 0) {
		json_set(c->config, key, argv);
		drop_empty(c, key);
		return 0;
	}
	shell = json_get(c->config, "Shell");
	if (json_len(shell)) {
		argv = json_clone(shell);
	} else {
		static const char *const sh[] = { "/bin/sh", "-c" }, *cmd[] = { "cmd", "/S", "/C" };

		argv = json_new('[');
		for (size_t i = 0; i < (c->windows ? ARRAY_LEN(cmd) : ARRAY_LEN(sh)); i++)
			json_append(argv, json_new_str(span_str((c->windows ? cmd : sh)[i])));
	}
	json_append(argv, json_new_str(value));
	json_set(c->config, key, argv);
	return 0;
}

static int set_cmd(struct config_edit *c, struct span value, struct err *e)
{
	c->cmd_set = true;
	return set_command(c, "Cmd", value, e);
}

static int set_entrypoint(struct config_edit *c, struct span value, struct err *e)
{
	if (!c->cmd_set)
		json_unset(c->config, "Cmd");
	return set_command(c, "Entrypoint", value, e);
}

static int set_workdir(struct config_edit *c, struct span value, struct err *e)
{
	_cleanup_(freep) char *path = NULL;
	struct span former = { 0 };

	if (!value.n)
		return err_set(e, E_USAGE, "the directory is empty");
	json_str(json_get(c->config, "WorkingDir"), &former);
	path = c->windows ? span_dup(value) : value_workdir(former, value);
	json_set(c->config, "WorkingDir", json_new_str(span_str(path)));
	return 0;
}

static int set_user(struct config_edit *c, struct span value, struct err *e)
{
	int r = c->windows ? 0 : value_user(value, e);

	if (r == 0)
		json_set(c->config, "User", json_new_str(value));
	return r;
}

static int set_label(struct config_edit *c, struct span value, struct err *e)
{
	_cleanup_(freep) char *name = NULL;
	struct span text = { 0 };
	struct json *labels;
	int r = split(value, &name, &text, e);

	if (r == 0 && !text.p)
		r = needs_value(value, e);
	if (r == 0)
		r = collection(c, "Labels", '{', &labels, e);
	if (r == 0)
		json_set(labels, name, json_new_str(text));
	return r;
}

static int unset_from(struct config_edit *c, const char *key, const char *name, struct err *e)
{
	struct json *map;
	int r = collection(c, key, '{', &map, e);

	if (r < 0)
		return r;
	json_unset(map, name);
	drop_empty(c, key);
	return 0;
}

static int unset_label(struct config_edit *c, struct span value, struct err *e)
{
	_cleanup_(freep) char *name = span_dup(value);

	return unset_from(c, "Labels", name, e);
}

static int set_expose(struct config_edit *c, struct span value, struct err *e)
{
	struct ports p;
	struct json *map;
	int r = value_ports(value, &p, e);

	if (r == 0)
		r = collection(c, "ExposedPorts", '{', &map, e);
	for (unsigned n = p.first; r == 0 && n <= p.last; n++) {
		_cleanup_(freep) char *name = xasprintf("%u/%s", n, p.proto);

		json_set(map, name, json_new('{'));
	}
	return r;
}

static int unset_expose(struct config_edit *c, struct span value, struct err *e)
{
	struct ports p, is;
	struct json *map, *left;
	const struct json *val;
	struct span key;
	int r = value_ports(value, &p, e);

	if (r == 0)
		r = collection(c, "ExposedPorts", '{', &map, e);
	if (r < 0)
		return r;
	left = json_new('{');
	for (void *it = NULL; json_next(map, &it, &key, &val);) {
		_cleanup_(freep) char *name = span_dup(key);

		/* 80/tcp is "80" for some tools */
		if (value_ports(key, &is, NULL) < 0 || strcmp(is.proto, p.proto) ||
		    is.first < p.first || is.last > p.last)
			json_set(left, name, json_share(val));
	}
	json_set(c->config, "ExposedPorts", left);
	drop_empty(c, "ExposedPorts");
	return 0;
}

static int add_volume(struct config_edit *c, struct span path, struct err *e)
{
	_cleanup_(freep) char *name = span_dup(path);
	struct json *map;
	int r;

	if (!path.n || (path.p[0] != '/' && !c->windows))
		return err_set(e, E_USAGE, "%s is no absolute path", quoted(path));
	r = collection(c, "Volumes", '{', &map, e);
	if (r == 0)
		json_set(map, name, json_new('{'));
	return r;
}

static int set_volume(struct config_edit *c, struct span value, struct err *e)
{
	_cleanup_(json_freep) struct json *list = NULL;
	struct span path = { 0 };
	int r = value_strings(value, &list, e);

	if (r == 0)
		return add_volume(c, value, e);
	for (size_t i = 0; r > 0 && i < json_len(list); i++) {
		json_str(json_at(list, i), &path);
		if (add_volume(c, path, e) < 0)
			r = E_USAGE;
	}
	return MIN(r, 0);
}

static int unset_volume(struct config_edit *c, struct span value, struct err *e)
{
	_cleanup_(freep) char *name = span_dup(value);

	return unset_from(c, "Volumes", name, e);
}

static int set_stop_signal(struct config_edit *c, struct span value, struct err *e)
{
	_cleanup_(freep) char *name = NULL;
	int r = value_signal(value, &name, e);

	if (r == 0)
		json_set(c->config, "StopSignal", json_new_str(span_str(name)));
	return r;
}

static int set_healthcheck(struct config_edit *c, struct span value, struct err *e)
{
	struct json *check = NULL;
	int r = value_healthcheck(value, &check, e);

	if (r == 0)
		json_set(c->config, "Healthcheck", check);
	return r;
}

static int set_shell(struct config_edit *c, struct span value, struct err *e)
{
	struct json *argv = NULL;
	int r = value_strings(value, &argv, e);

	if (r == 0 || (r > 0 && !json_len(argv))) {
		json_free(argv);
		return err_set(e, E_USAGE,
			       "%s is no JSON array of strings, such as "
			       "[\"/bin/bash\",\"-c\"]",
			       quoted(value));
	}
	if (r > 0)
		json_set(c->config, "Shell", argv);
	return MIN(r, 0);
}

static int set_onbuild(struct config_edit *c, struct span value, struct err *e)
{
	static const char *const never[] = { "ONBUILD", "FROM", "MAINTAINER" };
	struct span word = span_trim(value);
	struct json *list;
	size_t n = 0;
	int r;

	while (n < word.n && isalpha(word.p[n]))
		n++;
	word.n = n < word.n && isspace(word.p[n]) ? n : 0;
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		if (span_is_nocase(word, never[i]))
			word.n = 0;
	if (!word.n)
		return err_set(e, E_USAGE, "%s is no instruction that can be a trigger",
			       quoted(value));
	r = collection(c, "OnBuild", '[', &list, e);
	if (r == 0)
		json_append(list, json_new_str(span_trim(value)));
	return r;
}

static int set_author(struct config_edit *c, struct span value, struct err *e)
{
	if (!value.n)
		return err_set(e, E_USAGE, "the author is empty");
	json_set(c->doc, "author", json_new_str(value));
	return 0;
}

static int unset_author(struct config_edit *c, struct span value, struct err *e)
{
	json_unset(c->doc, "author");
	return 0;
}

typedef int edit_fn(struct config_edit *c, struct span value, struct err *e);
static const struct {
	edit_fn *set, *unset;
	const char *key; /* which is taken away whole where there is no unset */
} members[EDIT_N] = {
	[EDIT_ENV] = { set_env, unset_env, "Env" },
	[EDIT_CMD] = { set_cmd, NULL, "Cmd" },
	[EDIT_ENTRYPOINT] = { set_entrypoint, NULL, "Entrypoint" },
	[EDIT_WORKDIR] = { set_workdir, NULL, "WorkingDir" },
	[EDIT_USER] = { set_user, NULL, "User" },
	[EDIT_LABEL] = { set_label, unset_label, "Labels" },
	[EDIT_EXPOSE] = { set_expose, unset_expose, "ExposedPorts" },
	[EDIT_VOLUME] = { set_volume, unset_volume, "Volumes" },
	[EDIT_STOP_SIGNAL] = { set_stop_signal, NULL, "StopSignal" },
	[EDIT_HEALTHCHECK] = { set_healthcheck, NULL, "Healthcheck" },
	[EDIT_SHELL] = { set_shell, NULL, "Shell" },
	[EDIT_ONBUILD] = { set_onbuild, NULL, "OnBuild" },
	[EDIT_AUTHOR] = { set_author, unset_author, "author" },
};

int config_edit(struct config_edit *c, enum config_member m, const char *value, struct err *e)
{
	struct span s = span_str(value);

	if (!utf8_valid(s))
		return err_set(e, E_USAGE, "%s is no UTF-8", quoted(s));
	return members[m].set(c, s, e);
}

int config_unset(struct config_edit *c, enum config_member m, const char *value, struct err *e)
{
	if (members[m].unset)
		return members[m].unset(c, span_str(value), e);
	json_unset(c->config, members[m].key);
	return 0;
}
