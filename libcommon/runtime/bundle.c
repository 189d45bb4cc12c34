/*
 * config.json of a bundle (runtime-spec config.md): root, process, and what surrounds them.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "libcommon/runtime/bundle.h"

enum { CONFIG_MAX = 4 << 20, ID_MAX_ = 0xfffffffe, RLIMITS_MAX = 64 };

/* false, null, "" and what holds nothing else asks for nothing. */
static bool is_empty(const struct json *v)
{
	struct span s;
	int64_t n;

	if (json_is_array(v) || json_is_object(v))
		return !json_len(v);
	if (json_str(v, &s))
		return !s.n;
	return !json_i64(v, &n) && !json_bool(v, false);
}

int bundle_members(struct loaded_bundle *b, const struct json *v, const char *where,
		   const struct member *list, size_t n, struct err *e)
{
	const struct json *val;
	struct span key;

	if (v && !json_is_object(v))
		return err_set(e, E_FORMAT, "%s is not an object", where);
	for (void *it = NULL; v && json_next(v, &it, &key, &val);) {
		enum member_rule rule = MEMBER_LEFT_OUT;

		for (size_t i = 0; i < n; i++)
			if (span_is(key, list[i].name))
				rule = list[i].rule;
		if (rule == MEMBER_DONE || is_empty(val))
			continue;
		if (rule == MEMBER_REFUSED)
			return err_set(e, E_UNSUPPORTED, "%s.%s is not supported", where,
				       quoted(key));
		strs_take(&b->warnings,
			  xasprintf("%s.%s is not supported and left out", where, quoted(key)));
	}
	return 0;
}

int bundle_number(const struct json *v, const char *key, uint64_t max, uint64_t dflt, uint64_t *out,
		  struct err *e)
{
	const struct json *m = json_get(v, key);
	int64_t n;

	*out = dflt;
	if (!m)
		return 0;
	if (!json_i64(m, &n) || n < 0 || (uint64_t)n > max)
		return err_set(e, E_FORMAT, "%s is not a number of 0 to %llu", key,
			       (unsigned long long)max);
	*out = (uint64_t)n;
	return 0;
}

int bundle_strings(const struct json *v, const char *key, struct strs *out, struct err *e)
{
	const struct json *list = json_get(v, key);

	if (list && !json_is_array(list))
		return err_set(e, E_FORMAT, "%s is not a list of strings", key);
	for (size_t i = 0; i < json_len(list); i++) {
		const char *s = json_cstr(json_at(list, i));

		if (!s)
			return err_set(e, E_FORMAT, "%s is not a list of strings", key);
		strs_add(out, s);
	}
	return 0;
}

const char *bundle_keep(struct loaded_bundle *b, char *text)
{
	strs_take(&b->texts, text);
	return text;
}

/* ---- process ---- */

static int read_user(struct loaded_bundle *b, const struct json *v, struct err *e)
{
	static const struct member list[] = { { "uid", MEMBER_DONE },
					      { "gid", MEMBER_DONE },
					      { "umask", MEMBER_DONE },
					      { "additionalGids", MEMBER_DONE },
					      { "username", MEMBER_DONE } };
	const struct json *groups = json_get(v, "additionalGids");
	struct user *u = &b->c.user;
	uint64_t uid, gid, mask;
	int r = bundle_members(b, v, "process.user", list, ARRAY_LEN(list), e);

	if (!r)
		r = bundle_number(v, "uid", ID_MAX_, 0, &uid, e);
	if (!r)
		r = bundle_number(v, "gid", ID_MAX_, 0, &gid, e);
	if (!r)
		r = bundle_number(v, "umask", 0777, 022, &mask, e);
	if (r)
		return r;
	u->uid = (uint32_t)uid;
	u->gid = (uint32_t)gid;
	b->c.has_umask = true;
	b->c.umask = (uint32_t)mask;
	if ((groups && !json_is_array(groups)) || json_len(groups) > ARRAY_LEN(u->groups))
		return err_set(e, E_FORMAT,
			       "process.user.additionalGids is not a list of at most %zu ids",
			       ARRAY_LEN(u->groups));
	for (size_t i = 0; i < json_len(groups); i++) {
		int64_t id;

		if (!json_i64(json_at(groups, i), &id) || id < 0 || id > ID_MAX_)
			return err_set(e, E_FORMAT,
				       "process.user.additionalGids has what is no group id");
		u->groups[u->groups_n++] = (uint32_t)id;
	}
	return 0;
}

static int read_caps(struct loaded_bundle *b, const struct json *v, struct err *e)
{
	static const struct {
		const char *name;
		size_t offset;
	} sets[] = {
		{ "bounding", offsetof(struct cap_sets, bounding) },
		{ "effective", offsetof(struct cap_sets, effective) },
		{ "permitted", offsetof(struct cap_sets, permitted) },
		{ "inheritable", offsetof(struct cap_sets, inheritable) },
		{ "ambient", offsetof(struct cap_sets, ambient) },
	};

	if (v && !json_is_object(v))
		return err_set(e, E_FORMAT, "process.capabilities is not an object");
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		uint64_t *set = (uint64_t *)((char *)&b->caps + sets[i].offset), bits;
		_cleanup_(strs_release) struct strs names = { 0 };
		int r = bundle_strings(v, sets[i].name, &names, e);

		if (r)
			return err_prefix(e, "process.capabilities");
		for (size_t k = 0; k < names.n; k++) {
			/* A capability that we have never heard of cannot be given; runtimes say so
			 * and go on. */
			if (cap_from_name(names.v[k], &bits))
				strs_take(&b->warnings,
					  xasprintf("capability %s is unknown and left out",
						    quoted_str(names.v[k])));
			else
				*set |= bits;
		}
	}
	b->c.cap_sets = &b->caps;
	return 0;
}

static const struct {
	const char *name;
	int resource;
} limits[] = {
	{ "RLIMIT_AS", RLIMIT_AS },
	{ "RLIMIT_CORE", RLIMIT_CORE },
	{ "RLIMIT_CPU", RLIMIT_CPU },
	{ "RLIMIT_DATA", RLIMIT_DATA },
	{ "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "RLIMIT_LOCKS", 10 },
	{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "RLIMIT_MSGQUEUE", 12 },
	{ "RLIMIT_NICE", 13 },
	{ "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "RLIMIT_RSS", RLIMIT_RSS },
	{ "RLIMIT_RTPRIO", 14 },
	{ "RLIMIT_RTTIME", 15 },
	{ "RLIMIT_SIGPENDING", 11 },
	{ "RLIMIT_STACK", RLIMIT_STACK },
};

static int read_rlimits(struct loaded_bundle *b, const struct json *v, struct err *e)
{
	size_t n = json_len(v);

	if (v && (!json_is_array(v) || n > RLIMITS_MAX))
		return err_set(e, E_FORMAT, "process.rlimits is not a list of at most %d",
			       RLIMITS_MAX);
	b->rlimits = xcalloc(n + 1, sizeof(*b->rlimits));
	b->c.rlimits = b->rlimits;
	for (size_t i = 0; i < n; i++) {
		const struct json *one = json_at(v, i);
		struct container_rlimit *l = &b->rlimits[i];
		struct span type = { 0 };
		size_t k = 0;
		int r;

		json_str(json_get(one, "type"), &type);
		while (k < ARRAY_LEN(limits) && !span_is(type, limits[k].name))
			k++;
		if (k == ARRAY_LEN(limits))
			return err_set(e, E_FORMAT, "process.rlimits: no such limit: %s",
				       quoted(type));
		l->resource = limits[k].resource;
		r = bundle_number(one, "soft", INT64_MAX, 0, &l->soft, e);
		if (!r)
			r = bundle_number(one, "hard", INT64_MAX, 0, &l->hard, e);
		if (r)
			return err_prefix(e, "process.rlimits");
		b->c.rlimits_n = i + 1;
	}
	return 0;
}

static int read_process(struct loaded_bundle *b, const struct json *v, struct err *e)
{
	static const struct member list[] = {
		{ "terminal", MEMBER_DONE },
		{ "user", MEMBER_DONE },
		{ "args", MEMBER_DONE },
		{ "env", MEMBER_DONE },
		{ "cwd", MEMBER_DONE },
		{ "capabilities", MEMBER_DONE },
		{ "rlimits", MEMBER_DONE },
		{ "noNewPrivileges", MEMBER_DONE },
		{ "consoleSize", MEMBER_DONE },
		{ "apparmorProfile", MEMBER_REFUSED },
		{ "selinuxLabel", MEMBER_REFUSED },
	};
	int r;

	if (!v)
		return err_set(e, E_FORMAT, "there is no process");
	r = bundle_members(b, v, "process", list, ARRAY_LEN(list), e);
	if (!r)
		r = bundle_strings(v, "args", &b->argv, e);
	if (!r)
		r = bundle_strings(v, "env", &b->env, e);
	if (!r)
		r = read_user(b, json_get(v, "user"), e);
	if (!r)
		r = read_caps(b, json_get(v, "capabilities"), e);
	if (!r)
		r = read_rlimits(b, json_get(v, "rlimits"), e);
	if (r)
		return r;
	b->terminal = json_bool(json_get(v, "terminal"), false);
	b->c.no_new_privs = json_bool(json_get(v, "noNewPrivileges"), false);
	b->c.argv = (const char *const *)b->argv.v;
	b->c.envp = (const char *const *)b->env.v;
	b->c.cwd = json_cstr(json_get(v, "cwd"));
	if (!b->c.cwd || *b->c.cwd != '/')
		return err_set(e, E_FORMAT, "process.cwd is not an absolute path");
	return 0;
}

/* ---- the whole ---- */

static int read_root(struct loaded_bundle *b, const struct json *v, const char *dir, struct err *e)
{
	static const struct member list[] = { { "path", MEMBER_DONE },
					      { "readonly", MEMBER_DONE } };
	const char *path = json_cstr(json_get(v, "path"));
	int r = bundle_members(b, v, "root", list, ARRAY_LEN(list), e);

	if (r)
		return r;
	if (!path || !*path)
		return err_set(e, E_FORMAT, "root.path is missing");
	b->c.rootfs = *path == '/' ? path : bundle_keep(b, xasprintf("%s/%s", dir, path));
	b->c.read_only = json_bool(json_get(v, "readonly"), false);
	return 0;
}

int bundle_parse(struct span text, const char *dir, struct loaded_bundle *b, struct err *e)
{
	static const struct member list[] = {
		{ "ociVersion", MEMBER_DONE },	   { "root", MEMBER_DONE },
		{ "process", MEMBER_DONE },	   { "hostname", MEMBER_DONE },
		{ "mounts", MEMBER_DONE },	   { "linux", MEMBER_DONE },
		{ "annotations", MEMBER_DONE },	   { "hooks", MEMBER_REFUSED },
		{ "domainname", MEMBER_LEFT_OUT },
	};
	const struct json_limits limits_of_json = { .max_bytes = CONFIG_MAX };
	struct span version = { 0 };
	int r;

	*b = (struct loaded_bundle){ .c = { .init = true } };
	r = json_parse(text, &limits_of_json, &b->doc, e);
	if (!r)
		r = bundle_members(b, b->doc, "config", list, ARRAY_LEN(list), e);
	if (r)
		return r;
	json_str(json_get(b->doc, "ociVersion"), &version);
	if (!span_starts(version, "1."))
		return err_set(e, E_UNSUPPORTED, "ociVersion is %s instead of 1.x",
			       quoted(version));
	r = read_root(b, json_get(b->doc, "root"), dir, e);
	if (!r)
		r = read_process(b, json_get(b->doc, "process"), e);
	if (!r)
		r = bundle_linux(b, json_get(b->doc, "linux"), e);
	if (!r)
		r = bundle_mounts(b, json_get(b->doc, "mounts"), dir, e);
	b->c.hostname = json_cstr(json_get(b->doc, "hostname"));
	if (!r && b->c.hostname && !(b->c.ns & NS_UTS))
		r = err_set(e, E_FORMAT,
			    "hostname is set, but there is no uts namespace to set it in");
	return r;
}

int bundle_load(const char *dir, struct loaded_bundle *b, struct err *e)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	_cleanup_(freep) char *path = xasprintf("%s/config.json", dir);
	int r = file_read(AT_FDCWD, path, true, CONFIG_MAX, &text);

	*b = (struct loaded_bundle){ 0 };
	if (r)
		return err_set(e, r, "config.json: %s", err_word(r));
	r = bundle_parse(buf_span(&text), dir, b, e);
	return r ? err_prefix(e, "config.json") : 0;
}

void bundle_unload(struct loaded_bundle *b)
{
	json_freep(&b->doc);
	freep(&b->mounts);
	freep(&b->rlimits);
	strs_release(&b->warnings);
	strs_release(&b->texts);
	strs_release(&b->argv);
	strs_release(&b->env);
	strs_release(&b->masked);
	strs_release(&b->readonly_paths);
	*b = (struct loaded_bundle){ 0 };
}
