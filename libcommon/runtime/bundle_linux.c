/*
 * config.json of a bundle: namespaces, id maps and paths (runtime-spec config-linux.md), and mounts
 * (config.md).
 */
#include <string.h>

#include "libcommon/runtime/bundle.h"

enum { ID_MAX_ = 0xfffffffe, MOUNTS_MAX = 1024 };

static const struct {
	const char *type;
	unsigned ns;
} namespaces[] = {
	{ "pid", NS_PID }, { "network", NS_NET }, { "mount", NS_MOUNT },   { "ipc", NS_IPC },
	{ "uts", NS_UTS }, { "user", NS_USER },	  { "cgroup", NS_CGROUP },
};

static int read_namespaces(struct loaded_bundle *b, const struct json *v, struct err *e)
{
	if (v && !json_is_array(v))
		return err_set(e, E_FORMAT, "linux.namespaces is not a list");
	for (size_t i = 0; i < json_len(v); i++) {
		struct span type = { 0 }, path = { 0 };
		size_t k = 0;

		json_str(json_get(json_at(v, i), "type"), &type);
		json_str(json_get(json_at(v, i), "path"), &path);
		while (k < ARRAY_LEN(namespaces) && !span_is(type, namespaces[k].type))
			k++;
		if (k == ARRAY_LEN(namespaces))
			return err_set(e, E_UNSUPPORTED, "linux.namespaces: %s is not supported",
				       quoted(type));
		if (path.n)
			return err_set(e, E_UNSUPPORTED,
				       "linux.namespaces: joining a %s namespace by its "
				       "path is not supported",
				       namespaces[k].type);
		if (b->c.ns & namespaces[k].ns)
			return err_set(e, E_FORMAT, "linux.namespaces has %s twice",
				       namespaces[k].type);
		b->c.ns |= namespaces[k].ns;
	}
	if (!(b->c.ns & NS_MOUNT))
		return err_set(e, E_UNSUPPORTED, "linux.namespaces has no mount namespace");
	return 0;
}

static int read_map(const struct json *v, const char *where, struct id_map_entry *map, size_t *n,
		    struct err *e)
{
	if (v && (!json_is_array(v) || json_len(v) > ID_MAP_MAX))
		return err_set(e, E_FORMAT, "%s is not a list of at most %d", where, ID_MAP_MAX);
	for (size_t i = 0; i < json_len(v); i++) {
		const struct json *one = json_at(v, i);
		uint64_t inside, outside, count;
		int r = bundle_number(one, "containerID", ID_MAX_, 0, &inside, e);

		if (!r)
			r = bundle_number(one, "hostID", ID_MAX_, 0, &outside, e);
		if (!r)
			r = bundle_number(one, "size", UINT32_MAX, 0, &count, e);
		if (!r && !count)
			r = err_set(e, E_FORMAT, "size is 0");
		if (r)
			return err_prefix(e, "%s", where);
		map[(*n)++] = (struct id_map_entry){ (uint32_t)inside, (uint32_t)outside,
						     (uint32_t)count };
	}
	return 0;
}

/* The rule that runtimes write by default: no device but the standard ones. It holds without
 * cgroups too, as nothing is mounted with devices but those. */
static bool denies_devices_only(const struct json *resources)
{
	const struct json *devices = json_get(resources, "devices");
	const struct json *rule = json_at(devices, 0);
	struct span access = { 0 };

	json_str(json_get(rule, "access"), &access);
	return json_len(resources) == 1 && json_len(devices) == 1 && json_len(rule) == 2 &&
	       !json_bool(json_get(rule, "allow"), true) && span_is(access, "rwm");
}

static int read_propagation(const struct json *v, struct err *e)
{
	struct span s;

	if (!v)
		return 0;
	if (!json_str(v, &s))
		return err_set(e, E_FORMAT, "linux.rootfsPropagation is not a string");
	if (!s.n || span_is(s, "private") || span_is(s, "rprivate"))
		return 0;
	return err_set(e, E_UNSUPPORTED, "linux.rootfsPropagation: only private is supported");
}

static const char *const *list_of(struct strs *s)
{
	static const char *const none[] = { NULL };

	return s->v ? (const char *const *)s->v : none;
}

int bundle_linux(struct loaded_bundle *b, const struct json *v, struct err *e)
{
	static const struct member list[] = {
		{ "namespaces", MEMBER_DONE },	   { "uidMappings", MEMBER_DONE },
		{ "gidMappings", MEMBER_DONE },	   { "maskedPaths", MEMBER_DONE },
		{ "readonlyPaths", MEMBER_DONE },  { "rootfsPropagation", MEMBER_DONE },
		{ "resources", MEMBER_DONE },	   { "devices", MEMBER_REFUSED },
		{ "sysctl", MEMBER_REFUSED },	   { "mountLabel", MEMBER_REFUSED },
		{ "personality", MEMBER_REFUSED }, { "timeOffsets", MEMBER_REFUSED },
		{ "netDevices", MEMBER_REFUSED },  { "seccomp", MEMBER_DONE },
	};
	struct id_maps *m = &b->c.id_maps;
	const struct json *resources = json_get(v, "resources");
	int r;

	if (!v)
		return err_set(e, E_UNSUPPORTED, "there is no linux: this is no bundle for Linux");
	r = bundle_members(b, v, "linux", list, ARRAY_LEN(list), e);
	if (!r)
		r = read_namespaces(b, json_get(v, "namespaces"), e);
	if (!r)
		r = read_map(json_get(v, "uidMappings"), "linux.uidMappings", m->uid, &m->uid_n, e);
	if (!r)
		r = read_map(json_get(v, "gidMappings"), "linux.gidMappings", m->gid, &m->gid_n, e);
	if (!r && (m->uid_n || m->gid_n) && !(b->c.ns & NS_USER))
		r = err_set(e, E_FORMAT, "linux has id mappings, but no user namespace");
	if (!r && !m->uid_n != !m->gid_n)
		r = err_set(e, E_FORMAT, "linux.%s is missing",
			    m->uid_n ? "gidMappings" : "uidMappings");
	if (!r)
		r = read_propagation(json_get(v, "rootfsPropagation"), e);
	if (!r)
		r = bundle_strings(v, "maskedPaths", &b->masked, e);
	if (!r)
		r = bundle_strings(v, "readonlyPaths", &b->readonly_paths, e);
	if (r)
		return r;
	b->has_user_ns = b->c.ns & NS_USER;
	b->c.masked = list_of(&b->masked);
	b->c.readonly_paths = list_of(&b->readonly_paths);
	if (json_len(json_get(v, "seccomp")))
		strs_add(&b->warnings, "linux.seccomp is not read: the default filter is in force");
	if (json_len(resources) && !denies_devices_only(resources))
		strs_add(&b->warnings, "linux.resources is not applied (limits are cgset's)");
	return 0;
}

/* ---- mounts ---- */

/* What every container has anyway, in the same way. */
static bool is_standard(struct span target, struct span type, struct span source)
{
	static const struct {
		const char *target, *type;
	} known[] = {
		{ "/proc", "proc" },
		{ "/dev", "tmpfs" },
		{ "/dev/pts", "devpts" },
		{ "/dev/mqueue", "mqueue" },
		{ "/sys", "sysfs" },
		{ "/sys/fs/cgroup", "cgroup" },
		{ "/sys/fs/cgroup", "cgroup2" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (span_is(target, known[i].target) && span_is(type, known[i].type))
			return true;
	/* What rootless configurations have instead. */
	return (span_is(target, "/sys") || span_is(target, "/sys/fs/cgroup")) &&
	       span_eq(target, source);
}

static int mount_number(struct span value, bool octal, uint32_t *out)
{
	uint64_t n;
	int r = octal ? num_octal(value, 07777, &n) : num_u64(value, ID_MAX_, &n);

	if (!r)
		*out = (uint32_t)n;
	return r;
}

/* 0, or E_FORMAT for a bad value, or 1 for what is not known. */
static int mount_option(struct container_mount *m, struct span o)
{
	static const struct {
		const char *name;
		size_t offset;
		bool value;
	} flags[] = {
		{ "ro", offsetof(struct container_mount, read_only), true },
		{ "rro", offsetof(struct container_mount, read_only), true },
		{ "rw", offsetof(struct container_mount, read_only), false },
		{ "nosuid", offsetof(struct container_mount, nosuid), true },
		{ "suid", offsetof(struct container_mount, nosuid), false },
		{ "nodev", offsetof(struct container_mount, dev), false },
		{ "dev", offsetof(struct container_mount, dev), true },
		{ "noexec", offsetof(struct container_mount, noexec), true },
		{ "exec", offsetof(struct container_mount, noexec), false },
		{ "rbind", offsetof(struct container_mount, recursive), true },
	};
	/* Our mounts are private, and access times are the file system's affair. */
	static const char *const nothing[] = { "bind",	     "private",	 "rprivate",
					       "relatime",   "noatime",	 "strictatime",
					       "nodiratime", "defaults", NULL };

	for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
		if (span_is(o, flags[i].name)) {
			*(bool *)((char *)m + flags[i].offset) = flags[i].value;
			return 0;
		}
	}
	for (const char *const *n = nothing; *n; n++)
		if (span_is(o, *n))
			return 0;
	if (m->kind == CM_TMPFS && span_starts(o, "size="))
		return num_size(span_tail(o, 5), &m->size) ? E_FORMAT : 0;
	if (m->kind == CM_TMPFS && span_starts(o, "mode=")) {
		m->has_mode = true;
		return mount_number(span_tail(o, 5), true, &m->mode) ? E_FORMAT : 0;
	}
	if (m->kind == CM_TMPFS && span_starts(o, "uid="))
		return mount_number(span_tail(o, 4), false, &m->uid) ? E_FORMAT : 0;
	if (m->kind == CM_TMPFS && span_starts(o, "gid="))
		return mount_number(span_tail(o, 4), false, &m->gid) ? E_FORMAT : 0;
	return 1;
}

static bool has_option(const struct json *options, const char *name)
{
	struct span s;

	for (size_t i = 0; i < json_len(options); i++)
		if (json_str(json_at(options, i), &s) && span_is(s, name))
			return true;
	return false;
}

static int mount_options(struct container_mount *m, const struct json *options, struct err *e)
{
	struct span o;

	for (size_t i = 0; i < json_len(options); i++) {
		int r = json_str(json_at(options, i), &o) ? mount_option(m, o) : E_FORMAT;

		if (r < 0)
			return err_set(e, r, "bad option %s", quoted(o));
		if (r > 0)
			return err_set(e, E_UNSUPPORTED, "option %s is not supported", quoted(o));
	}
	return 0;
}

static int read_mount(struct loaded_bundle *b, const struct json *v, const char *dir, struct err *e)
{
	static const struct member list[] = {
		{ "destination", MEMBER_DONE },	   { "type", MEMBER_DONE },
		{ "source", MEMBER_DONE },	   { "options", MEMBER_DONE },
		{ "uidMappings", MEMBER_REFUSED }, { "gidMappings", MEMBER_REFUSED }
	};
	const struct json *options = json_get(v, "options");
	const char *target = json_cstr(json_get(v, "destination"));
	const char *source = json_cstr(json_get(v, "source"));
	struct span type = { 0 };
	struct container_mount *m = &b->mounts[b->c.mounts_n];
	int r = bundle_members(b, v, "mounts", list, ARRAY_LEN(list), e);

	json_str(json_get(v, "type"), &type);
	if (r)
		return r;
	if (!target || *target != '/')
		return err_set(e, E_FORMAT, "destination is not an absolute path");
	if (options && !json_is_array(options))
		return err_set(e, E_FORMAT, "%s: options is not a list", quoted_str(target));
	if (is_standard(span_str(target), type, span_str(source))) {
		/* Ours is stricter elsewhere, but only /sys is read-only. */
		if (strncmp(target, "/sys", 4) && has_option(options, "ro"))
			return err_set(e, E_UNSUPPORTED, "%s: option ro is not supported",
				       quoted_str(target));
		return 0;
	}
	*m = (struct container_mount){ .target = target };
	if (has_option(options, "bind") || has_option(options, "rbind") || span_is(type, "bind"))
		m->kind = CM_BIND;
	else if (span_is(type, "tmpfs"))
		m->kind = CM_TMPFS;
	else
		return err_set(e, E_UNSUPPORTED, "%s: type %s is not supported", quoted_str(target),
			       quoted(type));
	if (m->kind == CM_BIND && (!source || !*source))
		return err_set(e, E_FORMAT, "%s: source is missing", quoted_str(target));
	if (m->kind == CM_BIND)
		m->source =
			*source == '/' ? source : bundle_keep(b, xasprintf("%s/%s", dir, source));
	r = mount_options(m, options, e);
	if (r)
		return err_prefix(e, "%s", quoted_str(target));
	b->c.mounts_n++;
	return 0;
}

int bundle_mounts(struct loaded_bundle *b, const struct json *v, const char *dir, struct err *e)
{
	if (v && (!json_is_array(v) || json_len(v) > MOUNTS_MAX))
		return err_set(e, E_FORMAT, "mounts is not a list of at most %d", MOUNTS_MAX);
	b->mounts = xcalloc(json_len(v) + 1, sizeof(*b->mounts));
	b->c.mounts = b->mounts;
	for (size_t i = 0; i < json_len(v); i++)
		if (read_mount(b, json_at(v, i), dir, e))
			return err_prefix(e, "mounts");
	return 0;
}
