/*
 * The file systems that every container has, and those that the caller wants besides.
 *
 * Targets are found by the path walker below the container's root and used by descriptor: what a
 * stranger put there, or swaps meanwhile, cannot lead out.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "libcommon/runtime/mnt.h"
#include "libcommon/runtime/private.h"

enum { LINKS_MAX = 40 };
#define CGROUP2_MAGIC 0x63677270
#define DATA_SIZE     "size=65536k"

static bool wanted_at(const struct setup *s, const char *target)
{
	for (size_t i = 0; i < s->c->mounts_n; i++)
		if (!strcmp(s->c->mounts[i].target, target))
			return true;
	return false;
}

int mounts_top_dir(struct setup *s, const char *name)
{
	struct stat st;

	if (!mkdirat(s->root, name, 0755))
		return 0;
	if (errno != EEXIST && errno != EROFS)
		return err_set(s->e, -errno, "cannot make /%s: %s", name, err_word(-errno));
	if (fstatat(s->root, name, &st, AT_SYMLINK_NOFOLLOW))
		return err_set(s->e, -errno, "the root has no /%s and is read-only", name);
	if (!S_ISDIR(st.st_mode))
		return err_set(s->e, E_UNSAFE_PATH,
			       "/%s of the root is a %s instead of a directory", name,
			       S_ISLNK(st.st_mode) ? "symbolic link" : "file");
	return 0;
}

static int top(struct setup *s, struct mnt *m, int r, const char *name, int *out)
{
	if (!r)
		r = mounts_top_dir(s, name);
	if (!r)
		r = mnt_attach(m, s->root, name, out);
	return r ? err_set(s->e, r, "cannot mount /%s: %s", name, err_word(r)) : 0;
}

static int mount_proc(struct setup *s)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	const unsigned attrs = MNT_NOSUID | MNT_NODEV | MNT_NOEXEC;
	int r = mnt_fs(&m, "proc", NULL, attrs);

	/* Who shares the host's process ids in a user namespace sees them through the host's mount.
	 */
	if (r == -EPERM && !(s->c->ns & NS_PID))
		r = mnt_bind(&m, AT_FDCWD, "/proc", true, true, attrs);
	if (r == -EPERM)
		return err_set(s->e, r,
			       "cannot mount /proc: not permitted; parts of the present /proc are "
			       "covered, as in a container, and a new one would show them");
	return top(s, &m, r, "proc", &s->proc);
}

static int mount_sys(struct setup *s)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	const unsigned attrs = MNT_RDONLY | MNT_NOSUID | MNT_NODEV | MNT_NOEXEC;
	int r = mnt_fs(&m, "sysfs", NULL, attrs);

	if (r == -EPERM)
		r = mnt_bind(&m, AT_FDCWD, "/sys", true, true, attrs);
	/* Early in boot there may be none to bind, and a container without /sys is better than
	 * none. */
	if (r == -ENOENT || r == -ENODEV)
		return 0;
	return top(s, &m, r, "sys", &s->sys);
}

static int mount_cgroup(struct setup *s)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	struct statfs fs;
	int r;

	if (s->sys < 0 || statfs("/sys/fs/cgroup", &fs) || fs.f_type != CGROUP2_MAGIC)
		return 0;
	r = mnt_fs(&m, "cgroup2", NULL, MNT_RDONLY | MNT_NOSUID | MNT_NODEV | MNT_NOEXEC);
	if (!r)
		r = mnt_attach(&m, s->sys, "fs/cgroup", NULL);
	/* Without it a program cannot see its limits, no more. */
	return r == -EPERM || r == -EBUSY || r == -ENOENT ? 0 : r;
}

static const char pts_options[] = "newinstance,ptmxmode=0666,mode=0620";

static int fs_in_dev(struct setup *s, const char *name, const char *fstype, const char *options,
		     unsigned attrs)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	int r = mnt_fs(&m, fstype, options, attrs);

	return r ? r : mnt_attach(&m, s->dev, name, NULL);
}

static int in_dev(struct setup *s, const char *name, const char *fstype, const char *options,
		  unsigned attrs)
{
	int r = mkdirat(s->dev, name, 0755) ? -errno : fs_in_dev(s, name, fstype, options, attrs);

	/* Root of a user namespace that came from others: the group may not exist in it. */
	if (r == -EINVAL && !strcmp(fstype, "devpts") && options != pts_options)
		r = fs_in_dev(s, name, fstype, pts_options, attrs);
	if ((r == -ENODEV || r == -EPERM) && !strcmp(fstype, "mqueue"))
		return 0;
	return r ? err_set(s->e, r, "cannot mount /dev/%s: %s", name, err_word(r)) : 0;
}

/* Terminals belong to group tty, which is 5 everywhere, where there is such an id. */
static bool has_gid(const struct container *c, uint32_t gid)
{
	if (!(c->ns & NS_USER))
		return true;
	for (size_t i = 0; i < c->id_maps.gid_n; i++)
		if (gid - c->id_maps.gid[i].inside < c->id_maps.gid[i].count)
			return true;
	return false;
}

static int mount_dev(struct setup *s)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	const char *pts =
		has_gid(s->c, 5) ? "newinstance,ptmxmode=0666,mode=0620,gid=5" : pts_options;
	const unsigned attrs = MNT_NOSUID | MNT_NOEXEC;
	int r = mnt_fs(&m, "tmpfs", "mode=755," DATA_SIZE, MNT_NOSUID);

	r = top(s, &m, r, "dev", &s->dev);
	if (!r)
		r = devices_make(s);
	/* The nodes are mounts of their own; another that somebody makes here does not work. */
	if (!r)
		r = mnt_set(s->dev, MNT_NOSUID | MNT_NODEV, false);
	if (!r && !wanted_at(s, "/dev/pts"))
		r = in_dev(s, "pts", "devpts", pts, attrs);
	if (!r && !wanted_at(s, "/dev/shm"))
		r = in_dev(s, "shm", "tmpfs", "mode=1777," DATA_SIZE, attrs | MNT_NODEV);
	if (!r && !wanted_at(s, "/dev/mqueue"))
		r = in_dev(s, "mqueue", "mqueue", NULL, attrs | MNT_NODEV);
	return r;
}

int mounts_standard(struct setup *s)
{
	int r = mount_proc(s);

	setup_step(s, "mount /proc");
	if (!r)
		r = mount_dev(s);
	setup_step(s, "mount /dev");
	return r;
}

int mounts_sys(struct setup *s)
{
	int r = mount_sys(s);

	if (!r)
		r = mount_cgroup(s);
	setup_step(s, "mount /sys");
	return r;
}

/* The directory and the last name of what path means inside, links followed; the rest of the path
 * is made where it is missing. */
static int find_target(int root, const char *path, int *dirfd, char name[NAME_MAX + 1])
{
	_cleanup_(freep) char *now = xstrdup(path);
	int r;

	for (int i = 0; i < LINKS_MAX; i++) {
		_cleanup_(fd_closep) int dir = -1;
		char link[PATH_MAX];
		char *next, *slash;
		struct span last;
		ssize_t n;

		r = walk_parent(root, now, &dir, &last);
		if (r == -ENOENT) {
			_cleanup_(freep) char *up = xstrdup(now);
			_cleanup_(fd_closep) int made = -1;

			slash = strrchr(up, '/');
			while (slash && !slash[1] && slash > up) {
				*slash = '\0';
				slash = strrchr(up, '/');
			}
			if (slash)
				*slash = '\0';
			made = walk_mkdirs(root, up, 0755);
			r = made < 0 ? made : walk_parent(root, now, &dir, &last);
		}
		if (r)
			return r;
		if (last.n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, last.p, last.n);
		name[last.n] = '\0';
		n = readlinkat(dir, name, link, sizeof(link) - 1);
		if (n < 0) {
			*dirfd = steal_fd(&dir);
			return 0;
		}
		link[n] = '\0';
		next = *link == '/' ? xstrdup(link)
				    : xasprintf("%.*s%s", (int)((char *)last.p - now), now, link);
		freep(&now);
		now = next;
	}
	return -ELOOP;
}

static int make_target(int dirfd, const char *name, bool directory)
{
	_cleanup_(fd_closep) int fd = -1;

	if (!strcmp(name, "."))
		return -EBUSY;
	if (directory)
		return mkdirat(dirfd, name, 0755) && errno != EEXIST && errno != EROFS ? -errno : 0;
	if (!faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW))
		return 0;
	fd = openat(dirfd, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
	return fd < 0 && errno != EEXIST ? -errno : 0;
}

static unsigned attrs_of(const struct container_mount *w)
{
	return (w->read_only ? MNT_RDONLY : 0) | (w->nosuid ? MNT_NOSUID : 0) |
	       (w->dev ? 0 : MNT_NODEV) | (w->noexec ? MNT_NOEXEC : 0);
}

static int make_bind(const struct container_mount *w, struct mnt *m, bool *directory)
{
	unsigned attrs = attrs_of(w);
	struct stat st;
	int r = mnt_bind(m, AT_FDCWD, w->source, true, w->recursive, 0);

	if (!r && fstatat(m->fd, "", &st, AT_EMPTY_PATH))
		r = -errno;
	if (r)
		return r;
	*directory = S_ISDIR(st.st_mode);
	if (S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode))
		attrs &= ~(unsigned)MNT_NODEV;
	m->attrs = attrs;
	return mnt_is_classic() || !attrs ? 0 : mnt_set(m->fd, attrs, m->recursive);
}

static int make_wanted(const struct container_mount *w, struct mnt *m, bool *directory)
{
	char options[96];
	int n;

	*directory = true;
	switch (w->kind) {
	case CM_BIND:
		return make_bind(w, m, directory);
	case CM_TMPFS:
		n = snprintf(options, sizeof(options), "mode=%o,uid=%u,gid=%u",
			     w->has_mode ? w->mode : 01777, w->uid, w->gid);
		if (w->size)
			snprintf(options + n, sizeof(options) - (size_t)n, ",size=%llu",
				 (unsigned long long)w->size);
		return mnt_fs(m, "tmpfs", options, attrs_of(w));
	case CM_MQUEUE:
		return mnt_fs(m, "mqueue", NULL, attrs_of(w));
	case CM_PROC:
		return mnt_fs(m, "proc", NULL, attrs_of(w));
	case CM_SYSFS:
		return mnt_fs(m, "sysfs", NULL, attrs_of(w));
	case CM_CGROUP:
		return mnt_fs(m, "cgroup2", NULL, attrs_of(w));
	case CM_DEVPTS:
		return mnt_fs(m, "devpts", pts_options, attrs_of(w));
	}
	return -EINVAL;
}

static int mount_one(struct setup *s, const struct container_mount *w)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	_cleanup_(fd_closep) int dir = -1;
	char name[NAME_MAX + 1];
	bool directory;
	int r = make_wanted(w, &m, &directory);

	if (r && w->optional)
		return 0;
	if (r)
		return err_set(s->e, r, "cannot mount %s at %s: %s",
			       quoted_str(w->kind == CM_BIND ? w->source : "it"),
			       quoted_str(w->target), err_word(r));
	r = find_target(s->root, w->target, &dir, name);
	if (!r)
		r = make_target(dir, name, directory);
	if (!r)
		r = mnt_attach(&m, dir, name, NULL);
	return r ? err_set(s->e, r, "cannot mount at %s: %s", quoted_str(w->target), err_word(r))
		 : 0;
}

/* Below /dev nothing is but what we made, so that nothing leads elsewhere. */
bool mounts_want_sys(const struct setup *s)
{
	const struct container *c = s->c;

	for (size_t i = 0; i < c->mounts_n; i++) {
		const char *target = c->mounts[i].target;

		if (c->mounts[i].kind != CM_TMPFS || strncmp(target, "/dev/", 5) ||
		    strstr(target, ".."))
			return true;
	}
	return c->hosts || c->resolv_conf;
}

int mounts_wanted(struct setup *s)
{
	const struct container *c = s->c;
	const struct container_mount net[] = {
		{ .kind = CM_BIND, .source = c->hosts, .target = "/etc/hosts" },
		{ .kind = CM_BIND, .source = c->resolv_conf, .target = "/etc/resolv.conf" },
	};
	int r = 0;

	for (size_t i = 0; !r && i < c->mounts_n; i++)
		r = mount_one(s, &c->mounts[i]);
	for (size_t i = 0; !r && i < ARRAY_LEN(net); i++)
		r = net[i].source && !wanted_at(s, net[i].target) ? mount_one(s, &net[i]) : 0;
	return r;
}
