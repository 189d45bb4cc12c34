/* The members of an image config, set and taken away as the Dockerfile instruction of the same name would. */
#include "libcommon/oci/config_edit.h"

#include <ctype.h>
#include <string.h>

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
