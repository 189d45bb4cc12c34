/* What a bundle asks of Linux: mounts, id maps, namespaces, masked paths. */
#include "libcommon/oci/bundle.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static void put_mount(struct bundle *b, const char *dst, const char *type, const char *src,
		      const char *const *options)
{
	json_begin(&b->o, '{');
	bundle_put_member(&b->o, "destination", dst);
	bundle_put_member(&b->o, "type", type);
	bundle_put_member(&b->o, "source", src);
	bundle_put_strings(&b->o, "options", options);
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
 * A volume is a place for data in the container's own tree. What would lie over the mounts that the
 * container needs to be one is left out: images for systemd name /sys/fs/cgroup.
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

/* Memory with the mode and owner of the directory that it hides, so that the image's user may write
 * there. */
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

int bundle_put_mounts(struct bundle *b, struct err *e)
{
	_cleanup_(freep) struct span *keys = NULL;
	const struct json *volumes;
	size_t n = 0;
	int r = bundle_get(b, "Volumes", json_is_object, &volumes, e);

	json_key(&b->o, "mounts");
	json_begin(&b->o, '[');
	put_standard_mounts(b);
	if (volumes)
		keys = bundle_sorted_keys(volumes, &n);
	for (size_t i = 0; i < n; i++)
		if (volume_valid(keys[i]))
			put_volume(b, keys[i]);
	json_end(&b->o, ']');
	return r;
}

/* ---- linux ---- */

static void put_id_map(struct json_out *o, const char *key, const struct id_map_entry *map,
		       size_t n)
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
		bundle_put_member(&b->o, "type", i < ARRAY_LEN(types) ? types[i] : "user");
		json_end(&b->o, '}');
	}
	json_end(&b->o, ']');
}

void bundle_put_linux(struct bundle *b)
{
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
		bundle_put_member(&b->o, "access", "rwm");
		json_end(&b->o, '}');
		json_end(&b->o, ']');
		json_end(&b->o, '}');
	}
	put_namespaces(b);
	bundle_put_strings(&b->o, "maskedPaths", oci_masked_paths);
	bundle_put_strings(&b->o, "readonlyPaths", oci_readonly_paths);
	json_end(&b->o, '}');
}
