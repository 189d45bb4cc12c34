/*
 * A root of several layers (Documentation/filesystems/overlayfs.rst): lower directories that stay
 * as they are, and an upper one, or a tmpfs, that takes the changes.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/runtime/mnt.h"
#include "libcommon/runtime/private.h"

enum { FSCONFIG_VALUE_MAX = 255, MOUNT_DATA_MAX = 4095 };

void overlay_escape(const char *path, struct buf *out)
{
	for (; *path; path++) {
		if (strchr("\\:,", *path))
			buf_addc(out, '\\');
		buf_addc(out, *path);
	}
}

/* The kernel takes values of 255 bytes; a longer path is named from inside. */
static int set_path(int fs, const char *key, const char *path)
{
	_cleanup_(fd_closep) int here = -1;
	_cleanup_(fd_closep) int there = -1;
	int r;

	if (strlen(path) <= FSCONFIG_VALUE_MAX)
		return mnt_fs_set(fs, key, path);
	here = open(".", O_PATH | O_CLOEXEC);
	there = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (here < 0 || there < 0 || fchdir(there))
		return -errno;
	r = mnt_fs_set(fs, key, ".");
	return fchdir(here) ? -errno : r;
}

/* -EINVAL from the first lower says that this kernel (before 6.7) does not know lowerdir+. */
static int attach_new(const struct container *c, int upper, int *root)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	_cleanup_(fd_closep) int fs = mnt_fs_open("overlay");
	int r = fs < 0 ? fs : 0;

	for (const char *const *l = c->lowers; !r && *l; l++)
		r = set_path(fs, "lowerdir+", *l);
	if (!r && fchdir(upper))
		r = -errno;
	if (!r)
		r = mnt_fs_set(fs, "upperdir", "diff");
	if (!r)
		r = mnt_fs_set(fs, "workdir", "work");
	if (!r && (c->ns & NS_USER))
		r = mnt_fs_set(fs, "userxattr", NULL);
	if (!r)
		r = mnt_fs_make(&m, fs, MNT_NODEV);
	return r ? r : mnt_attach(&m, AT_FDCWD, "/", root);
}

static int attach_by_string(const struct container *c, int upper, int *root, struct err *e)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, "lowerdir=");
	for (const char *const *l = c->lowers; *l; l++) {
		_cleanup_(freep) char *real = realpath(*l, NULL);

		if (!real)
			return err_set(e, -errno, "%s: %s", quoted_str(*l), err_word(-errno));
		if (l != c->lowers)
			buf_addc(&b, ':');
		overlay_escape(real, &b);
	}
	buf_adds(&b, ",upperdir=diff,workdir=work");
	if (c->ns & NS_USER)
		buf_adds(&b, ",userxattr");
	if (b.n > MOUNT_DATA_MAX)
		return err_set(e, E_TOOBIG,
			       "the names of the lower directories take more than a page, "
			       "and this kernel takes no more");
	if (fchdir(upper) || mount("overlay", "/", "overlay", MS_NODEV, buf_str(&b)))
		return -errno;
	*root = open(MNT_OVER_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return *root < 0 ? -errno : 0;
}

/* diff is the merged root: it looks like the topmost lower one. */
static int make_dirs(const struct container *c, int upper)
{
	struct stat st;

	if (mkdirat(upper, "work", 0700) && errno != EEXIST)
		return -errno;
	if (mkdirat(upper, "diff", 0755))
		return errno == EEXIST ? 0 : -errno;
	if (stat(c->lowers[0], &st))
		return -errno;
	if (fchownat(upper, "diff", st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) && errno != EPERM &&
	    errno != EINVAL)
		return -errno;
	return fchmodat(upper, "diff", st.st_mode & 07777, 0) ? -errno : 0;
}

int overlay_attach(const struct container *c, int *root, struct err *e)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	_cleanup_(fd_closep) int upper = -1;
	_cleanup_(fd_closep) int here = open(".", O_PATH | O_CLOEXEC);
	struct stat st;
	int r;

	for (const char *const *l = c->lowers; *l; l++) {
		r = stat(*l, &st) ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
		if (r)
			return err_set(e, r, "%s: %s", quoted_str(*l), err_word(r));
	}
	if (c->upper) {
		upper = dir_open(AT_FDCWD, c->upper);
		r = upper < 0 ? upper : 0;
	} else {
		r = mnt_fs(&m, "tmpfs", "mode=700", 0);
		if (!r)
			r = mnt_attach(&m, AT_FDCWD, "/", &upper);
	}
	if (!r)
		r = make_dirs(c, upper);
	if (r)
		return err_set(e, r, "%s: %s",
			       c->upper ? quoted_str(c->upper) : "tmpfs for changes", err_word(r));
	r = mnt_is_classic() ? -EINVAL : attach_new(c, upper, root);
	if (r == -EINVAL && here >= 0 && !fchdir(here))
		r = attach_by_string(c, upper, root, e);
	if (here >= 0 && fchdir(here) && !r)
		r = -errno;
	return r ? err_set(e, r, "cannot mount the overlay: %s",
			   r == -ENODEV ? "this kernel has no overlayfs" : err_word(r))
		 : 0;
}
