/* Credentials checked with a registry, and kept in a file or by a helper that it names. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/registry/credentials.h"
#include "libcommon/registry/internal.h"

enum { AUTH_FILE_MAX = 4 << 20 };

int registry_check_login(struct registry *r, struct err *e)
{
	struct endpoint *p = &r->endpoints[0];
	const struct http_request q = { .method = "GET", .home_only = true };
	_cleanup_(exchange_closep) struct exchange *x = NULL;
	unsigned attempts = r->retries;
	int ret = request_send(r, p, "/v2/", &q, NULL, &attempts, &x, e);

	return ret < 0 ? ret : x->authorized;
}

char *credentials_default_file(void)
{
	const char *file = getenv("REGISTRY_AUTH_FILE"), *docker = getenv("DOCKER_CONFIG"),
		   *run = getenv("XDG_RUNTIME_DIR");

	if (file && *file)
		return xstrdup(file);
	if (docker && *docker)
		return xasprintf("%s/config.json", docker);
	if (run && *run)
		return xasprintf("%s/containers/auth.json", run);
	return xasprintf("/run/containers/%u/auth.json", (unsigned)getuid());
}

/* ---- the file ---- */

struct edit {
	const char *key; /* NULL: all */
	struct span pair;
	const struct json *doc;
	bool by_helper, empty_entry;
	int changed;
};

static void put_entry(struct json_out *o, const struct edit *ed)
{
	_cleanup_(buf_wipe) struct buf text = BUF_INIT;

	json_key(o, ed->key);
	json_begin(o, '{');
	if (!ed->empty_entry) {
		buf_reserve(&text, 2 * ed->pair.n + 8);
		base64_encode(ed->pair, &text);
		json_key(o, "auth");
		json_put_str(o, buf_span(&text));
	}
	json_end(o, '}');
}

/* All other entries stay as they are. */
static void put_auths(struct json_out *o, const struct json *auths, struct edit *ed)
{
	const struct json *value;
	struct span key;

	json_key(o, "auths");
	json_begin(o, '{');
	for (void *it = NULL; json_is_object(auths) && json_next(auths, &it, &key, &value);) {
		if (!ed->key || credentials_same_key(key, span_str(ed->key))) {
			ed->changed += !ed->pair.p;
			continue;
		}
		json_key_span(o, key);
		json_put(o, value);
	}
	if (ed->pair.p && (!ed->by_helper || ed->empty_entry))
		put_entry(o, ed);
	ed->changed += ed->pair.p != NULL;
	json_end(o, '}');
}

static void put_file(struct json_out *o, struct edit *ed)
{
	const struct json *value;
	struct span key;
	bool seen = false;

	json_begin(o, '{');
	for (void *it = NULL; ed->doc && json_next(ed->doc, &it, &key, &value);) {
		if (span_is(key, "auths")) {
			put_auths(o, value, ed);
			seen = true;
			continue;
		}
		json_key_span(o, key);
		json_put(o, value);
	}
	if (!seen)
		put_auths(o, NULL, ed);
	json_end(o, '}');
	buf_addc(&o->b, '\n');
}

/* What helpers keep: of one key, or of all that the file knows of. */
static int edit_helpers(struct edit *ed, char **helper, struct err *e)
{
	const char *name =
		ed->key ? credentials_helper_of(ed->doc, ed->key, &ed->empty_entry) : NULL;
	const struct json *list = json_get(ed->doc, "credHelpers"), *value;
	struct span key;
	int r = 0;

	if (name) {
		ed->by_helper = true;
		*helper = xasprintf("docker-credential-%s", name);
		r = credential_helper_put(name, ed->key, ed->pair, e);
		if (!ed->pair.p && r > 0 && !ed->empty_entry)
			ed->changed++;
	}
	for (void *it = NULL;
	     !ed->key && json_is_object(list) && json_next(list, &it, &key, &value);) {
		_cleanup_(freep) char *k = span_dup(key);

		if (!json_cstr(value))
			continue;
		r = credential_helper_put(json_cstr(value), k, ed->pair, e);
		if (r < 0)
			break;
		ed->changed += r;
	}
	list = json_get(ed->doc, "auths");
	const char *store = json_cstr(json_get(ed->doc, "credsStore"));
	for (void *it = NULL; r >= 0 && !ed->key && store && *store && json_is_object(list) &&
			      json_next(list, &it, &key, &value);) {
		_cleanup_(freep) char *k = span_dup(key);

		r = credential_helper_put(store, k, ed->pair, e);
	}
	return r < 0 ? r : 0;
}

static int edit_text(struct span text, struct edit *ed, char **helper, struct json_out *o,
		     struct err *e)
{
	_cleanup_(json_freep) struct json *doc = NULL;
	int r = 0;

	if (span_trim(text).n) {
		r = json_parse(text, NULL, &doc, e);
		if (!r && !json_is_object(doc))
			r = err_set(e, E_FORMAT, "it is no JSON object");
	}
	ed->doc = doc;
	if (!r)
		r = edit_helpers(ed, helper, e);
	if (!r) {
		/* so that it never moves and leaves a copy behind */
		buf_reserve(&o->b, 8 * (text.n + ed->pair.n) + 4096);
		put_file(o, ed);
	}
	return r;
}

static void make_parents(const char *path)
{
	_cleanup_(freep) char *dir = xstrdup(path);

	for (char *s = strchr(dir + 1, '/'); s; s = strchr(s + 1, '/')) {
		*s = '\0';
		mkdir(dir, 0700);
		*s = '/';
	}
}

int credentials_edit(const char *path, const char *key, struct span pair, char **helper,
		     struct err *e)
{
	struct edit ed = { .key = key, .pair = pair };
	_cleanup_(buf_wipe) struct buf text = BUF_INIT;
	struct json_out o = { 0 };

	if (!*path)
		return err_set(e, -ENOENT, "the file for credentials has no name");
	if (pair.p)
		make_parents(path);
	/* a link to it stays one */
	char *real = realpath(path, NULL);
	_cleanup_(freep) char *name = real ? real : xstrdup(path);
	char *slash = strrchr(name, '/');
	_cleanup_(freep) char *dir =
		slash ? xstrndup(name, (size_t)(slash - name) + 1) : xstrdup(".");
	_cleanup_(fd_closep) int fd = dir_open(AT_FDCWD, dir);
	if (fd < 0)
		return err_set(e, fd, "%s: %s", quoted_str(path), err_word(fd));
	const char *base = slash ? slash + 1 : name;
	int r = fd_lock(fd, true, true);
	if (!r)
		r = file_read(fd, base, false, AUTH_FILE_MAX, &text);
	if (r == -ENOENT)
		r = 0;
	if (r < 0)
		return err_set(e, r, "%s: %s", quoted_str(path), err_word(r));
	r = edit_text(buf_span(&text), &ed, helper, &o, e);
	if (r < 0)
		err_prefix(e, "%s", quoted_str(path));
	else if (ed.changed)
		r = file_replace(fd, base, buf_span(&o.b), 0600, true);
	buf_wipe(&o.b);
	if (r < 0)
		return err_set(e, r, "%s: %s", quoted_str(path), err_word(r));
	return ed.changed;
}
