/*
 * config.json of an OCI runtime bundle, from an image config (image-spec conversion.md; runtime-spec config.md). The same image
 * and user database give the same bytes.
 */
#include "libcommon/oci.h"
#include "libcommon/oci/oci_private.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct bundle {
	struct json_out o;
	const struct config *config;
	const struct json *image; /* the member "config" of the image config, or NULL */
	const struct bundle_options *options;
	int rootfd;
	struct user user;
	bool userns;
};

/* ---- members of the image config ---- */

/* *out is NULL where it is missing or null; any other type but the wanted is an error. */
static int get(const struct bundle *b, const char *key, bool (*is)(const struct json *),
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

static int get_text(const struct bundle *b, const char *key, struct span *out, struct err *e)
{
	const struct json *v;
	int r = get(b, key, json_is_string, &v, e);

	*out = (struct span){ 0 };
	if (v)
		json_str(v, out);
	return r;
}

static void put_member(struct json_out *o, const char *key, const char *value)
{
	json_key(o, key);
	json_put_str(o, span_str(value));
}

static void put_strings(struct json_out *o, const char *key, const char *const *list)
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
	int r = get(b, key, json_is_array, &list, e);

	for (size_t i = 0; r == 0 && i < json_len(list); i++) {
		if (!json_str(json_at(list, i), &word))
			return err_set(e, E_FORMAT, "%s in the image config is no list of strings", key);
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
	int r = get(b, "Env", json_is_array, &list, e);

	json_key(&b->o, "env");
	json_begin(&b->o, '[');
	for (size_t i = 0; r == 0 && i < json_len(list); i++) {
		if (!json_str(json_at(list, i), &word))
			return err_set(e, E_FORMAT, "Env in the image config is no list of strings");
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
	int r = get_text(b, "WorkingDir", &dir, e);

	if (!dir.n || dir.p[0] != '/')
		buf_addc(&cwd, '/');
	buf_add_span(&cwd, dir);
	json_key(&b->o, "cwd");
	json_put_str(&b->o, buf_span(&cwd));
	return r;
}

/* docker's default set. One who is not root may regain them by a setuid program, but does not start with them. */
static void put_capabilities(struct bundle *b)
{
	static const char *const caps[] = {
		"CAP_AUDIT_WRITE", "CAP_CHOWN",	 "CAP_DAC_OVERRIDE",	 "CAP_FOWNER", "CAP_FSETID",
		"CAP_KILL",	   "CAP_MKNOD",	 "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP",
		"CAP_SETGID",	   "CAP_SETPCAP", "CAP_SETUID",		 "CAP_SYS_CHROOT", NULL,
	};
	static const char *const none[] = { NULL };
	const char *const *held = b->user.uid == 0 ? caps : none;

	json_key(&b->o, "capabilities");
	json_begin(&b->o, '{');
	put_strings(&b->o, "bounding", caps);
	put_strings(&b->o, "effective", held);
	put_strings(&b->o, "inheritable", none);
	put_strings(&b->o, "permitted", held);
	put_strings(&b->o, "ambient", none);
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

/* ---- mounts ---- */

static void put_mount(struct bundle *b, const char *dst, const char *type, const char *src,
		      const char *const *options)
{
	json_begin(&b->o, '{');
	put_member(&b->o, "destination", dst);
	put_member(&b->o, "type", type);
	put_member(&b->o, "source", src);
	put_strings(&b->o, "options", options);
	json_end(&b->o, '}');
}

#define OPTIONS(...) ((const char *const[]){ __VA_ARGS__, NULL })

static bool is_mapped(const struct id_map_entry *map, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (id >= map[i].inside && id - map[i].inside < map[i].count)
			return true;
	return false;
}

static void put_standard_mounts(struct bundle *b)
{
	const struct bundle_options *bo = b->options;
	/* the group of terminals: only where the map has it */
	bool tty_group = !b->userns || is_mapped(bo->gid_map, bo->gid_map_n, 5);

	put_mount(b, "/proc", "proc", "proc", OPTIONS("nosuid", "noexec", "nodev"));
	put_mount(b, "/dev", "tmpfs", "tmpfs",
		  OPTIONS("nosuid", "strictatime", "mode=755", "size=65536k"));
	put_mount(b, "/dev/pts", "devpts", "devpts",
		  OPTIONS("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620",
			  tty_group ? "gid=5" : NULL));
	put_mount(b, "/dev/shm", "tmpfs", "shm",
		  OPTIONS("nosuid", "noexec", "nodev", "mode=1777", "size=65536k"));
	put_mount(b, "/dev/mqueue", "mqueue", "mqueue", OPTIONS("nosuid", "noexec", "nodev"));
	put_mount(b, "/sys", "sysfs", "sysfs", OPTIONS("nosuid", "noexec", "nodev", "ro"));
	if (!b->userns)
		put_mount(b, "/sys/fs/cgroup", "cgroup", "cgroup",
			  OPTIONS("nosuid", "noexec", "nodev", "relatime", "ro"));
}

static bool is_below(struct span path, const char *dir)
{
	struct span rest = span_tail(path, MIN(strlen(dir), path.n));

	return span_starts(path, dir) && (!rest.n || rest.p[0] == '/');
}

/*
 * A volume is a place for data in the container's own tree. What would lie over the mounts that the container needs to be one
 * is left out: images for systemd name /sys/fs/cgroup.
 */
static bool volume_valid(struct span path)
{
	struct span rest = path, part;
	size_t parts = 0;

	if (!path.n || path.p[0] != '/' || is_below(path, "/proc") || is_below(path, "/sys") ||
	    is_below(path, "/dev"))
		return false;
	while (span_cut(&rest, '/', &part)) {
		if (span_is(part, "..") || span_is(part, "."))
			return false;
		/* "//proc" */
		if (!part.n && parts)
			return false;
		parts++;
	}
	return path.n > 1;
}

static int compare_spans(const void *a, const void *b)
{
	return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

/* The keys of an object, sorted: the same bytes for the same set. */
static struct span *sorted_keys(const struct json *v, size_t *n)
{
	struct span *keys = xcalloc(json_len(v) + 1, sizeof(*keys));
	const struct json *val;

	*n = 0;
	for (void *it = 0; json_next(v, &it, &keys[*n], &val);)
		++*n;
	qsort(keys, *n, sizeof(*keys), compare_spans);
	return keys;
}

/* Memory with the mode and owner of the directory that it hides, so that the image's user may write there. */
static void put_volume(struct bundle *b, struct span path)
{
	_cleanup_(freep) char *dst = span_dup(path), *owner = NULL, *group = NULL;
	_cleanup_(fd_closep) int fd =
		walk_open(b->rootfd, dst, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	char mode[16] = "mode=755";
	struct stat st = { 0 };

	if (fd >= 0 && fstat(fd, &st) == 0)
		snprintf(mode, sizeof(mode), "mode=%o", st.st_mode & 07777);
	owner = xasprintf("uid=%u", st.st_uid);
	group = xasprintf("gid=%u", st.st_gid);
	put_mount(b, dst, "tmpfs", "tmpfs", OPTIONS("nosuid", "nodev", mode, owner, group));
}

static int put_mounts(struct bundle *b, struct err *e)
{
	_cleanup_(freep) struct span *keys = NULL;
	const struct json *volumes;
	size_t n = 0;
	int r = get(b, "Volumes", json_is_object, &volumes, e);

	json_key(&b->o, "mounts");
	json_begin(&b->o, '[');
	put_standard_mounts(b);
	if (volumes)
		keys = sorted_keys(volumes, &n);
	for (size_t i = 0; i < n; i++)
		if (volume_valid(keys[i]))
			put_volume(b, keys[i]);
	json_end(&b->o, ']');
	return r;
}

/* ---- annotations ---- */

struct annotation {
	struct span key, value;
};

/*
 * Runtimes take orders from annotations (which handler to start, properties of systemd units, hooks' output, virtual machines):
 * a label of an image is no way to give any (T73).
 */
static bool is_order(struct span key)
{
	static const char *const prefixes[] = { "run.oci.",	     "org.systemd.property.",
						"org.criu.",	     "io.katacontainers.",
						"io.kubernetes.",    "io.podman.annotations.",
						"com.github.containers." };

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (span_starts(key, prefixes[i]))
			return true;
	return !key.n;
}

static int compare_annotations(const void *a, const void *b)
{
	return span_cmp(((const struct annotation *)a)->key, ((const struct annotation *)b)->key);
}

static void add_text(struct annotation *list, size_t *n, const char *key, struct span value)
{
	if (value.n)
		list[(*n)++] = (struct annotation){ span_str(key), value };
}

static void add_root_text(struct annotation *list, size_t *n, const char *key,
			  const struct bundle *b, const char *member)
{
	struct span s = { 0 };

	if (json_str(json_get(b->config->json, member), &s))
		add_text(list, n, key, s);
}

static void join_keys(const struct json *v, struct buf *out)
{
	size_t n;
	_cleanup_(freep) struct span *keys = sorted_keys(v, &n);

	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(out, ',');
		buf_add_span(out, keys[i]);
	}
}

/* Sorted; of two with one key the later one, which is the image's own label, wins. */
static void put_sorted(struct json_out *o, struct annotation *list, size_t implied, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < implied; i++) {
		bool hidden = false;

		for (size_t j = implied; j < n && !hidden; j++)
			hidden = span_eq(list[i].key, list[j].key);
		if (!hidden)
			list[kept++] = list[i];
	}
	for (size_t i = implied; i < n; i++)
		list[kept++] = list[i];
	qsort(list, kept, sizeof(*list), compare_annotations);
	json_begin(o, '{');
	for (size_t i = 0; i < kept; i++) {
		json_key_span(o, list[i].key);
		json_put_str(o, list[i].value);
	}
	json_end(o, '}');
}

static int put_annotations(struct bundle *b, struct err *e)
{
	enum { IMPLIED_MAX = 8 };
	_cleanup_(buf_release) struct buf ports = BUF_INIT;
	_cleanup_(freep) struct annotation *list = NULL;
	const struct json *labels, *exposed, *val;
	struct span stop, key, value;
	size_t n = 0, implied;
	int r = get(b, "Labels", json_is_object, &labels, e);

	if (r == 0)
		r = get(b, "ExposedPorts", json_is_object, &exposed, e);
	if (r == 0)
		r = get_text(b, "StopSignal", &stop, e);
	if (r < 0)
		return r;
	list = xcalloc(IMPLIED_MAX + json_len(labels), sizeof(*list));
	add_root_text(list, &n, "org.opencontainers.image.os", b, "os");
	add_root_text(list, &n, "org.opencontainers.image.architecture", b, "architecture");
	add_root_text(list, &n, "org.opencontainers.image.variant", b, "variant");
	add_root_text(list, &n, "org.opencontainers.image.author", b, "author");
	add_root_text(list, &n, "org.opencontainers.image.created", b, "created");
	add_text(list, &n, "org.opencontainers.image.stopSignal", stop);
	if (exposed)
		join_keys(exposed, &ports);
	add_text(list, &n, "org.opencontainers.image.exposedPorts", buf_span(&ports));
	implied = n;
	for (void *it = 0; labels && json_next(labels, &it, &key, &val);) {
		if (!json_str(val, &value))
			return err_set(e, E_FORMAT, "Labels in the image config are no strings");
		if (!is_order(key))
			list[n++] = (struct annotation){ key, value };
	}
	json_key(&b->o, "annotations");
	put_sorted(&b->o, list, implied, n);
	return 0;
}

/* ---- linux ---- */

static void put_id_map(struct json_out *o, const char *key, const struct id_map_entry *map, size_t n)
{
	json_key(o, key);
	json_begin(o, '[');
	for (size_t i = 0; i < n; i++) {
		json_begin(o, '{');
		json_key(o, "containerID");
		json_put_i64(o, map[i].inside);
		json_key(o, "hostID");
		json_put_i64(o, map[i].outside);
		json_key(o, "size");
		json_put_i64(o, map[i].count);
		json_end(o, '}');
	}
	json_end(o, ']');
}

static void put_namespaces(struct bundle *b)
{
	static const char *const types[] = { "pid", "network", "ipc", "uts", "mount", "cgroup" };

	json_key(&b->o, "namespaces");
	json_begin(&b->o, '[');
	for (size_t i = 0; i < ARRAY_LEN(types) + b->userns; i++) {
		json_begin(&b->o, '{');
		put_member(&b->o, "type", i < ARRAY_LEN(types) ? types[i] : "user");
		json_end(&b->o, '}');
	}
	json_end(&b->o, ']');
}

static void put_linux(struct bundle *b)
{
	static const char *const masked[] = {
		"/proc/acpi",	    "/proc/asound",	 "/proc/interrupts",  "/proc/kcore",
		"/proc/keys",	    "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi",
		"/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
		"/sys/firmware",    NULL,
	};
	static const char *const read_only[] = { "/proc/bus", "/proc/fs",	      "/proc/irq",
						 "/proc/sys", "/proc/sysrq-trigger", NULL };
	const struct bundle_options *bo = b->options;

	json_key(&b->o, "linux");
	json_begin(&b->o, '{');
	if (b->userns) {
		put_id_map(&b->o, "uidMappings", bo->uid_map, bo->uid_map_n);
		put_id_map(&b->o, "gidMappings", bo->gid_map, bo->gid_map_n);
	} else {
		json_key(&b->o, "resources");
		json_begin(&b->o, '{');
		json_key(&b->o, "devices");
		json_begin(&b->o, '[');
		json_begin(&b->o, '{');
		json_key(&b->o, "allow");
		json_put_bool(&b->o, false);
		put_member(&b->o, "access", "rwm");
		json_end(&b->o, '}');
		json_end(&b->o, ']');
		json_end(&b->o, '}');
	}
	put_namespaces(b);
	put_strings(&b->o, "maskedPaths", masked);
	put_strings(&b->o, "readonlyPaths", read_only);
	json_end(&b->o, '}');
}

/* ---- the whole ---- */

static int look_up_user(struct bundle *b, struct err *e)
{
	_cleanup_(freep) char *spec = NULL;
	struct span text;
	int r = get_text(b, "User", &text, e);

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
	put_member(o, "ociVersion", "1.0.2");
	r = put_process(b, e);
	json_key(o, "root");
	json_begin(o, '{');
	put_member(o, "path", "rootfs");
	json_end(o, '}');
	put_member(o, "hostname", "ocibox");
	if (r == 0)
		r = put_mounts(b, e);
	if (r == 0)
		r = put_annotations(b, e);
	put_linux(b);
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
