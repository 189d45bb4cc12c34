/* Whether an entry differs from what was there before. What an option sets is not compared; times are, to the second that a layer keeps. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/oci/diff.h"

static bool same_metadata(const struct diff_options *o, const struct stat *a, const struct stat *b)
{
	if (a->st_mode != b->st_mode)
		return false;
	if ((!o->has_uid && a->st_uid != b->st_uid) || (!o->has_gid && a->st_gid != b->st_gid))
		return false;
	if (!o->has_mtime && b->st_mtim.tv_nsec != TIME_UNKNOWN &&
	    a->st_mtim.tv_sec != b->st_mtim.tv_sec)
		return false;
	if ((S_ISCHR(a->st_mode) || S_ISBLK(a->st_mode)) && a->st_rdev != b->st_rdev)
		return false;
	return !S_ISREG(a->st_mode) || a->st_size == b->st_size;
}

static int same_target(struct diff *d, int dirfd, const char *name)
{
	_cleanup_(buf_release) struct buf before = BUF_INIT;
	char target[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target));
	int r = n < 0 ? diff_raced(d, errno) : d->before->ops->target(d->before, name, &before);

	return r < 0 ? r : span_eq(span_of(target, (size_t)n), buf_span(&before));
}

static int same_xattrs(struct diff *d, int dirfd, const char *name, int fd)
{
	_cleanup_(xattrs_release) struct xattrs after = { 0 };
	_cleanup_(xattrs_release) struct xattrs before = { 0 };
	int r = xattrs_read(fd >= 0 ? fd : dirfd, fd >= 0 ? NULL : name, buf_str(&d->path), &after,
			    d->e);

	if (r == 0)
		r = d->before->ops->xattrs(d->before, name, &before);
	return r < 0 ? r : xattrs_equal(&after, &before);
}

int diff_changed(struct diff *d, int dirfd, const char *name, const struct stat *st, int fd)
{
	struct stat was;
	int same;

	if (!d->before || !d->before->ops->present(d->before))
		return 1;
	same = d->before->ops->look(d->before, name, &was);
	if (same > 0 && was.st_dev == st->st_dev && was.st_ino == st->st_ino)
		return 0;
	if (same > 0)
		same = same_metadata(d->o, st, &was);
	if (same > 0 && S_ISLNK(st->st_mode))
		same = same_target(d, dirfd, name);
	if (same > 0)
		same = same_xattrs(d, dirfd, name, fd);
	if (same > 0 && S_ISREG(st->st_mode))
		same = d->before->ops->same(d->before, name, fd, (uint64_t)st->st_size);
	return same < 0 ? same : !same;
}

int diff_open_file(struct diff *d, int dirfd, const char *name, struct stat *st)
{
	_cleanup_(fd_closep) int fd =
		openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ino_t ino = st->st_ino;
	dev_t dev = st->st_dev;

	if (fd < 0 || fstat(fd, st) < 0)
		return diff_raced(d, errno);
	if (!S_ISREG(st->st_mode) || st->st_ino != ino || st->st_dev != dev)
		return diff_raced(d, ENOENT);
	int r = tree_check_file(&d->after, fd, name);
	if (r == 0 && st->st_nlink > 1)
		r = tree_check_links(&d->after, fd, name);
	return r < 0 ? r : steal_fd(&fd);
}

int diff_links_fail(struct diff *d, int code)
{
	return err_set(d->e, code, "a temporary file for hard links: %s", err_word(code));
}

int diff_file_changed(struct diff *d, int dirfd, const char *name, const struct stat *st, int fd)
{
	struct links_found group;
	int r = d->before ? links_find(&d->links, st, &group) : 0;

	if (r < 0)
		return diff_links_fail(d, r);
	return r ? group.changed : diff_changed(d, dirfd, name, st, fd);
}

int diff_refuse_unseen(struct diff *d, const struct stat *st)
{
	struct links_found group;
	int r = links_find(&d->links, st, &group);

	if (r < 0)
		return diff_links_fail(d, r);
	if (!r || !group.unseen)
		return 0;
	return diff_fail(
		d, E_UNSUPPORTED,
		"overlayfs parted it from other names of the same file, which would have to be in the layer (compare with "
		"--lower, or give the mounted tree without --upper)");
}

int diff_survey_file(struct diff *d, int dirfd, const char *name, const struct stat *st)
{
	struct stat was, now = *st;
	int r = d->before->ops->present(d->before) ? d->before->ops->look(d->before, name, &was)
						   : 0;
	bool file = r > 0 && S_ISREG(was.st_mode);

	if (r < 0 || (st->st_nlink < 2 && !(file && was.st_nlink > 1)))
		return r;
	if (file) {
		_cleanup_(fd_closep) int fd = diff_open_file(d, dirfd, name, &now);
		r = fd < 0 ? fd : diff_changed(d, dirfd, name, &now, fd);
	}
	if (r < 0)
		return r;
	r = links_survey(&d->links, st, file && r == 0 ? &was : NULL);
	return r < 0 ? diff_links_fail(d, r) : 0;
}
