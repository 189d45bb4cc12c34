/* Mounts by the calls of Linux 5.2 and 5.12, or by mount(2). */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/io.h"
#include "libcommon/runtime/mnt.h"

/* The same numbers on every architecture. */
enum {
	NR_OPEN_TREE = 428,
	NR_MOVE_MOUNT = 429,
	NR_FSOPEN = 430,
	NR_FSCONFIG = 431,
	NR_FSMOUNT = 432,
	NR_MOUNT_SETATTR = 442,
	OPEN_TREE_CLONE_ = 1,
	AT_RECURSIVE_ = 0x8000,
	MOVE_F_EMPTY = 0x4,
	FSCONFIG_FLAG = 0,
	FSCONFIG_STRING = 1,
	FSCONFIG_CREATE = 6,
};
struct attr {
	uint64_t set, clr, propagation, userns_fd;
};

bool mnt_classic;

bool mnt_is_classic(void)
{
	static int known = -1;

	if (mnt_classic)
		return true;
	if (known < 0)
		known = syscall(NR_MOUNT_SETATTR, -1, "", 0, NULL, 0) < 0 &&
			(errno == ENOSYS || errno == EPERM);
	return known;
}

void mnt_release(struct mnt *m)
{
	fd_close(m->fd);
	freep(&m->data);
	*m = MNT_INIT;
}

int mnt_fs_open(const char *fstype)
{
	int fs = (int)syscall(NR_FSOPEN, fstype, 1 /* FSOPEN_CLOEXEC */);

	return fs < 0 ? -errno : fs;
}

int mnt_fs_set(int fs, const char *key, const char *value)
{
	int kind = value ? FSCONFIG_STRING : FSCONFIG_FLAG;

	return syscall(NR_FSCONFIG, fs, kind, key, value, 0) < 0 ? -errno : 0;
}

int mnt_fs_make(struct mnt *m, int fs, unsigned attrs)
{
	if (syscall(NR_FSCONFIG, fs, FSCONFIG_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	*m = (struct mnt){ .fd = (int)syscall(NR_FSMOUNT, fs, 1 /* FSMOUNT_CLOEXEC */, attrs) };
	return m->fd < 0 ? -errno : 0;
}

static int config_options(int fs, const char *options)
{
	struct span rest = span_str(options), one;

	while (span_cut(&rest, ',', &one)) {
		char text[256];
		char *value;
		int r;

		if (!one.n)
			continue;
		if (one.n >= sizeof(text))
			return -ENAMETOOLONG;
		memcpy(text, one.p, one.n);
		text[one.n] = '\0';
		value = strchr(text, '=');
		if (value)
			*value++ = '\0';
		r = mnt_fs_set(fs, text, value);
		if (r)
			return r;
	}
	return 0;
}

int mnt_fs(struct mnt *m, const char *fstype, const char *options, unsigned attrs)
{
	_cleanup_(fd_closep) int fs = -1;
	int r;

	*m = (struct mnt){ .fd = -1, .attrs = attrs };
	if (mnt_is_classic()) {
		snprintf(m->fstype, sizeof(m->fstype), "%s", fstype);
		m->data = xstrdup(options ? options : "");
		return 0;
	}
	fs = mnt_fs_open(fstype);
	if (fs < 0)
		return fs;
	r = mnt_fs_set(fs, "source", fstype);
	if (!r)
		r = config_options(fs, options);
	return r ? r : mnt_fs_make(m, fs, attrs);
}

static int set_attr(int fd, unsigned attrs, bool recursive, uint64_t propagation)
{
	struct attr a = { .set = attrs, .propagation = propagation };

	return syscall(NR_MOUNT_SETATTR, fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE_ : 0),
		       &a, sizeof(a)) < 0
		       ? -errno
		       : 0;
}

int mnt_bind(struct mnt *m, int dirfd, const char *path, bool follow, bool recursive,
	     unsigned attrs)
{
	unsigned flags = OPEN_TREE_CLONE_ | O_CLOEXEC | (follow ? 0 : AT_SYMLINK_NOFOLLOW) |
			 (*path ? 0 : AT_EMPTY_PATH);

	*m = (struct mnt){ .fd = -1, .bind = true, .recursive = recursive, .attrs = attrs };
	if (mnt_is_classic()) {
		m->fd = *path ? openat(dirfd, path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW))
			      : fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
		return m->fd < 0 ? -errno : 0;
	}
	m->fd = (int)syscall(NR_OPEN_TREE, dirfd, path, flags | (recursive ? AT_RECURSIVE_ : 0));
	/* In a user namespace, mounts below that came from above cannot be left out. */
	if (m->fd < 0 && errno == EINVAL && !recursive) {
		m->recursive = true;
		m->fd = (int)syscall(NR_OPEN_TREE, dirfd, path, flags | AT_RECURSIVE_);
	}
	if (m->fd < 0)
		return -errno;
	return attrs ? set_attr(m->fd, attrs, m->recursive, 0) : 0;
}

static unsigned long ms_flags(unsigned attrs)
{
	return (attrs & MNT_RDONLY ? MS_RDONLY : 0) | (attrs & MNT_NOSUID ? MS_NOSUID : 0) |
	       (attrs & MNT_NODEV ? MS_NODEV : 0) | (attrs & MNT_NOEXEC ? MS_NOEXEC : 0);
}

/* Flags of a mount that came from above cannot be dropped: what is set stays. */
static int remount(const char *name, unsigned attrs)
{
	struct statvfs v;
	unsigned long flags = ms_flags(attrs);

	if (statvfs(name, &v))
		return -errno;
	flags |= v.f_flag &
		 (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME);
#ifdef ST_RELATIME
	flags |= v.f_flag & ST_RELATIME ? MS_RELATIME : 0;
#endif
	return mount(NULL, name, NULL, MS_REMOUNT | MS_BIND | flags, NULL) ? -errno : 0;
}

static int attach_classic(struct mnt *m, int dirfd, const char *name, int *out)
{
	_cleanup_(fd_closep) int target = -1;
	_cleanup_(fd_closep) int top = -1;
	char from[32], to[32];
	int r = 0;

	target = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return -errno;
	snprintf(to, sizeof(to), "/proc/self/fd/%d", target);
	snprintf(from, sizeof(from), "/proc/self/fd/%d", m->fd);
	if (m->bind)
		r = mount(from, to, NULL, MS_BIND | (m->recursive ? MS_REC : 0), NULL);
	else
		r = mount(m->fstype, to, m->fstype, ms_flags(m->attrs), m->data);
	if (r)
		return -errno;
	/* The descriptor stands below the new mount; the name leads on top of it. */
	top = openat(dirfd, strcmp(name, "/") ? name : MNT_OVER_ROOT,
		     O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (top < 0)
		return -errno;
	if (m->bind && m->attrs) {
		snprintf(to, sizeof(to), "/proc/self/fd/%d", top);
		r = remount(to, m->attrs);
	}
	if (!r && out)
		*out = steal_fd(&top);
	return r;
}

int mnt_attach(struct mnt *m, int dirfd, const char *name, int *out)
{
	if (mnt_is_classic())
		return attach_classic(m, dirfd, name, out);
	if (syscall(NR_MOVE_MOUNT, m->fd, "", dirfd, name, MOVE_F_EMPTY) < 0)
		return -errno;
	if (out)
		*out = steal_fd(&m->fd);
	return 0;
}

int mnt_set(int fd, unsigned attrs, bool recursive)
{
	char name[32];

	if (!mnt_is_classic())
		return set_attr(fd, attrs, recursive, 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return remount(name, attrs);
}
