/*
 * config.json of an OCI runtime bundle, from an image config (image-spec conversion.md;
 * runtime-spec config.md). The same image and user database give the same bytes.
 */
#include "libcommon/oci/bundle.h"

#include <stdlib.h>

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ---- members of the image config ---- */

int bundle_get(const struct bundle *b, const char *key, bool (*is)(const struct json *),
	       const struct json **out, struct err *e)
{
	const struct json *v = json_get(b->image, key);

	*out = NULL;
	if (!v || json_is_null(v))
		return 0;
	if (!is(v))
		return err_set(e, E_FORMAT, "%s in the image config is of a wrong type", key);
	*out = v;
	return 0;
}

int bundle_get_text(const struct bundle *b, const char *key, struct span *out, struct err *e)
{
	const struct json *v;
	int r = bundle_get(b, key, json_is_string, &v, e);

	*out = (struct span){ 0 };
	if (v)
		json_str(v, out);
	return r;
}

static int compare_spans(const void *a, const void *b)
{
	return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

struct span *bundle_sorted_keys(const struct json *v, size_t *n)
{
	struct span *keys = xcalloc(json_len(v) + 1, sizeof(*keys));
	const struct json *val;

	*n = 0;
	for (void *it = 0; json_next(v, &it, &keys[*n], &val);)
		++*n;
	qsort(keys, *n, sizeof(*keys), compare_spans);
	return keys;
}

void bundle_put_member(struct json_out *o, const char *key, const char *value)
{
	json_key(o, key);
	json_put_str(o, span_str(value));
}

void bundle_put_strings(struct json_out *o, const char *key, const char *const *list)
{
	json_key(o, key);
	json_begin(o, '[');
	for (; *list; list++)
		json_put_str(o, span_str(*list));
	json_end(o, ']');
}

/* ---- process ---- */

static void put_user(struct bundle *b)
{
	struct json_out *o = &b->o;

	json_key(o, "user");
	json_begin(o, '{');
	json_key(o, "uid");
	json_put_i64(o, b->user.uid);
	json_key(o, "gid");
	json_put_i64(o, b->user.gid);
	if (b->user.groups_n) {
		json_key(o, "additionalGids");
		json_begin(o, '[');
		for (size_t i = 0; i < b->user.groups_n; i++)
			json_put_i64(o, b->user.groups[i]);
		json_end(o, ']');
	}
	json_end(o, '}');
}

static int put_words(struct bundle *b, const char *key, size_t *n, struct err *e)
{
	const struct json *list;
	struct span word;
	int r = bundle_get(b, key, json_is_array, &list, e);

	for (size_t i = 0; r == 0 && i < json_len(list); i++) {
		if (!json_str(json_at(list, i), &word))
			return err_set(e, E_FORMAT, "%s in the image config is no list of strings",
				       key);
		json_put_str(&b->o, word);
		++*n;
	}
	return r;
}

static int put_args(struct bundle *b, struct err *e)
{
	size_t n = 0;
	int r;

	json_key(&b->o, "args");
	json_begin(&b->o, '[');
	r = put_words(b, "Entrypoint", &n, e);
	if (r == 0)
		r = put_words(b, "Cmd", &n, e);
	if (!n)
		json_put_str(&b->o, SPAN("sh"));
	json_end(&b->o, ']');
	return r;
}

/* What is no NAME=VALUE is none to the runtimes either. */
static int put_env(struct bundle *b, struct err *e)
{
	bool has_path = false, has_home = false;
	const struct json *list;
	struct span word;
	int r = bundle_get(b, "Env", json_is_array, &list, e);

	json_key(&b->o, "env");
	json_begin(&b->o, '[');
	for (size_t i = 0; r == 0 && i < json_len(list); i++) {
		if (!json_str(json_at(list, i), &word))
			return err_set(e, E_FORMAT,
				       "Env in the image config is no list of strings");
		if (span_find(word, '=') == word.n || word.p[0] == '=')
			continue;
		has_path |= span_starts(word, "PATH=");
		has_home |= span_starts(word, "HOME=");
		json_put_str(&b->o, word);
	}
	if (!has_path)
		json_put_str(&b->o, SPAN(DEFAULT_PATH));
	if (!has_home) {
		_cleanup_(freep) char *home = xasprintf("HOME=%s", b->user.home);

		json_put_str(&b->o, span_str(home));
	}
	json_end(&b->o, ']');
	return r;
}

static int put_cwd(struct bundle *b, struct err *e)
{
	_cleanup_(buf_release) struct buf cwd = BUF_INIT;
	struct span dir;
	int r = bundle_get_text(b, "WorkingDir", &dir, e);

	if (!dir.n || dir.p[0] != '/')
		buf_addc(&cwd, '/');
	buf_add_span(&cwd, dir);
	json_key(&b->o, "cwd");
	json_put_str(&b->o, buf_span(&cwd));
	return r;
}

/* docker's default set. One who is not root may regain them by a setuid program, but does not start
 * with them. */
static void put_capabilities(struct bundle *b)
{
	static const char *const caps[] = {
		"CAP_AUDIT_WRITE",
		"CAP_CHOWN",
		"CAP_DAC_OVERRIDE",
		"CAP_FOWNER",
		"CAP_FSETID",
		"CAP_KILL",
		"CAP_MKNOD",
		"CAP_NET_BIND_SERVICE",
		"CAP_NET_RAW",
		"CAP_SETFCAP",
		"CAP_SETGID",
		"CAP_SETPCAP",
		"CAP_SETUID",
		"CAP_SYS_CHROOT",
		NULL,
	};
	static const char *const none[] = { NULL };
	const char *const *held = b->user.uid == 0 ? caps : none;

	json_key(&b->o, "capabilities");
	json_begin(&b->o, '{');
	bundle_put_strings(&b->o, "bounding", caps);
	bundle_put_strings(&b->o, "effective", held);
	bundle_put_strings(&b->o, "inheritable", none);
	bundle_put_strings(&b->o, "permitted", held);
	bundle_put_strings(&b->o, "ambient", none);
	json_end(&b->o, '}');
}

static int put_process(struct bundle *b, struct err *e)
{
	int r;

	json_key(&b->o, "process");
	json_begin(&b->o, '{');
	json_key(&b->o, "terminal");
	json_put_bool(&b->o, false);
	put_user(b);
	r = put_args(b, e);
	if (r == 0)
		r = put_env(b, e);
	if (r == 0)
		r = put_cwd(b, e);
	put_capabilities(b);
	json_key(&b->o, "noNewPrivileges");
	json_put_bool(&b->o, true);
	json_end(&b->o, '}');
	return r;
}

/* ---- the whole ---- */

static int look_up_user(struct bundle *b, struct err *e)
{
	_cleanup_(freep) char *spec = NULL;
	struct span text;
	int r = bundle_get_text(b, "User", &text, e);

	if (r < 0)
		return r;
	spec = span_dup(text);
	return user_lookup(b->rootfd, spec, &b->user, e);
}

static int put_all(struct bundle *b, struct err *e)
{
	struct json_out *o = &b->o;
	int r;

	json_begin(o, '{');
	bundle_put_member(o, "ociVersion", "1.0.2");
	r = put_process(b, e);
	json_key(o, "root");
	json_begin(o, '{');
	bundle_put_member(o, "path", "rootfs");
	json_end(o, '}');
	bundle_put_member(o, "hostname", "ocibox");
	if (r == 0)
		r = bundle_put_mounts(b, e);
	if (r == 0)
		r = bundle_put_annotations(b, e);
	bundle_put_linux(b);
	json_end(o, '}');
	return r;
}

int bundle_config(const struct config *c, int rootfd, const struct bundle_options *options,
		  struct buf *out, struct err *e)
{
	struct bundle b = {
		.config = c,
		.image = json_get(c->json, "config"),
		.options = options,
		.rootfd = rootfd,
		.userns = options->uid_map_n > 0,
	};
	int r = look_up_user(&b, e);

	if (r == 0)
		r = put_all(&b, e);
	if (r == 0)
		buf_add_span(out, buf_span(&b.o.b));
	json_out_release(&b.o);
	user_release(&b.user);
	return r;
}
