/* Whether an entry differs from what was there before. What an option sets is not compared; times are, to the second that a layer keeps. */
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
	if (!o->has_mtime && a->st_mtim.tv_sec != b->st_mtim.tv_sec)
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
	int r = n < 0 ? diff_fail(d, -errno, NULL) : d->before->ops->target(d->before, name, &before);

	return r < 0 ? r : span_eq(span_of(target, (size_t)n), buf_span(&before));
}

static int same_xattrs(struct diff *d, int dirfd, const char *name, int fd)
{
	_cleanup_(xattrs_release) struct xattrs after = { 0 };
	_cleanup_(xattrs_release) struct xattrs before = { 0 };
	int r = xattrs_read(fd >= 0 ? fd : dirfd, fd >= 0 ? NULL : name, buf_str(&d->path), &after, d->e);

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
