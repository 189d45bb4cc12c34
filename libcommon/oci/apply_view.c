/*
 * The merged view: names looked up through this layer and the layers below as the kernel will merge
 * them: topmost first, ended by whiteouts, opaque directories and what is no directory.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"

enum { LINKS_MAX = 40, XATTR_MAX = 64 * 1024 };

bool apply_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

const char *overlay_opaque_name(const struct apply *a)
{
	return a->form == APPLY_OVERLAY_TRUSTED ? "trusted.overlay.opaque" : "user.overlay.opaque";
}

static bool is_opaque(const struct apply *a, int fd)
{
	char v[4];
	return fgetxattr(fd, overlay_opaque_name(a), v, sizeof(v)) == 1 && v[0] == 'y';
}

static void view_clear(struct view *v)
{
	for (size_t i = 0; i < v->n; i++)
		fd_close(v->fd[i]);
}

void view_release(struct view *v)
{
	view_clear(v);
	free(v->fd);
	buf_release(&v->canon);
}

static int view_root(struct view *v)
{
	view_clear(v);
	buf_clear(&v->canon);
	for (size_t i = 0; i < v->n; i++) {
		v->fd[i] = fcntl(i ? v->a->lowers[i - 1] : v->a->rootfd, F_DUPFD_CLOEXEC, 3);
		if (v->fd[i] < 0)
			return -errno;
	}
	return 0;
}

int view_open(struct view *v, struct apply *a)
{
	int r = a->lowers_n && a->lowers_wait ? a->lowers_wait(a->lowers_arg, a->e) : 0;
	if (r < 0)
		return r;
	*v = (struct view){ .a = a, .n = a->lowers_n + 1 };
	v->fd = xcalloc(v->n, sizeof(*v->fd));
	for (size_t i = 0; i < v->n; i++)
		v->fd[i] = -1;
	return view_root(v);
}

/* The first part from `from` on that shows name; -ENOENT also where a whiteout hides it. */
int view_look(const struct view *v, const char *name, size_t from, struct stat *st)
{
	for (size_t i = from; i < v->n; i++) {
		if (v->fd[i] < 0)
			continue;
		if (fstatat(v->fd[i], name, st, AT_SYMLINK_NOFOLLOW) == 0)
			return apply_is_whiteout(st) ? -ENOENT : (int)i;
		if (errno != ENOENT)
			return -errno;
	}
	return -ENOENT;
}

/* Goes down into directory name. */
static int view_enter(struct view *v, const char *name)
{
	bool hidden = false;
	for (size_t i = 0; i < v->n; i++) {
		int above = v->fd[i];
		v->fd[i] = -1;
		if (above < 0)
			continue;
		struct stat st;
		if (!hidden && fstatat(above, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
			if (S_ISDIR(st.st_mode))
				v->fd[i] = openat(above, name,
						  O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			hidden = v->fd[i] < 0 || (v->n > 1 && is_opaque(v->a, v->fd[i]));
		}
		fd_close(above);
	}
	if (v->canon.n)
		buf_addc(&v->canon, '/');
	buf_adds(&v->canon, name);
	return 0;
}

int overlay_copy_xattrs(struct apply *a, int from, int to, struct span path, ino_t ino)
{
	ssize_t n = flistxattr(from, NULL, 0);
	if (n <= 0 || !a->o.xattrs)
		return 0;
	_cleanup_(freep) char *names = xmalloc((size_t)n);
	_cleanup_(freep) char *value = xmalloc(XATTR_MAX);
	n = flistxattr(from, names, (size_t)n);
	for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		struct span s = span_str(name);
		if (span_starts(s, "trusted.overlay.") || span_starts(s, "user.overlay.") ||
		    span_is(s, "security.selinux"))
			continue;
		ssize_t size = fgetxattr(from, name, value, XATTR_MAX);
		if (size < 0)
			continue;
		int r;
		if (span_is(s, "system.posix_acl_default"))
			r = apply_note_acl_at(a, path, ino, span_of(value, (size_t)size));
		else
			r = fsetxattr(to, name, value, (size_t)size, 0) < 0 && !a->o.ignore_xattr
				    ? -errno
				    : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

struct tar_time overlay_mtime(const struct stat *st)
{
	return (struct tar_time){ .sec = st->st_mtim.tv_sec,
				  .nsec = (uint32_t)st->st_mtim.tv_nsec };
}

/* Makes the directory, which has just been entered, in this layer too: like the one below, or a new
 * one. */
static int copy_up_dir(struct view *v, int above, const char *name)
{
	struct apply *a = v->a;
	struct stat st = { .st_mode = S_IFDIR | 0755, .st_uid = a->euid, .st_gid = a->egid }, mine;
	struct dir_note note = { .mtime = a->implied_mtime };
	size_t below = 1;
	while (below < v->n && v->fd[below] < 0)
		below++;
	if (below < v->n) {
		if (fstat(v->fd[below], &st) < 0)
			return -errno;
		note.mtime = overlay_mtime(&st);
	}
	if (mkdirat(above, name, 0700) < 0)
		return -errno;
	int fd = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &mine) < 0)
		return -errno;
	v->fd[0] = fd;
	note.ino = mine.st_ino;
	int r = apply_note_dir(a, buf_span(&v->canon), &note);
	if (r < 0)
		return r;
	if ((st.st_uid != mine.st_uid || st.st_gid != mine.st_gid) &&
	    fchown(fd, st.st_uid, st.st_gid) < 0 && !a->o.ignore_owner)
		return -errno;
	if (fchmod(fd, st.st_mode & 07777) < 0)
		return -errno;
	a->st.dirs++;
	return below < v->n
		       ? overlay_copy_xattrs(a, v->fd[below], fd, buf_span(&v->canon), mine.st_ino)
		       : 0;
}

static int view_up(struct view *v)
{
	_cleanup_(buf_release) struct buf above = BUF_INIT;
	size_t slash = span_rfind(buf_span(&v->canon), '/');
	buf_add(&above, v->canon.p, slash == v->canon.n ? 0 : slash);
	int r = view_root(v);
	return r < 0 ? r : view_walk(v, &above);
}

static int view_follow(struct view *v, int fd, const char *name, struct span behind,
		       struct buf *rest)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(fd, name, target, sizeof(target));
	if (++v->links > LINKS_MAX)
		return -ELOOP;
	if (n <= 0 || n == sizeof(target))
		return n < 0 ? -errno : -ENOENT;
	struct buf b = BUF_INIT;
	buf_add(&b, target, (size_t)n);
	buf_addc(&b, '/');
	buf_add_span(&b, behind);
	buf_release(rest);
	*rest = b;
	return target[0] == '/' ? view_root(v) : 0;
}

/* Down into directory name, which is there (or not) as st and which say. */
static int view_down(struct view *v, const char *name, bool is_there)
{
	if (v->look_only) {
		view_enter(v, name);
		return 0;
	}
	_cleanup_(fd_closep) int above = fcntl(v->fd[0], F_DUPFD_CLOEXEC, 3);
	struct stat st;
	bool whiteout = !is_there && fstatat(above, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (whiteout && unlinkat(above, name, 0) < 0)
		return -errno;
	view_enter(v, name);
	/* Where a whiteout stood nothing below is to be seen. */
	for (size_t i = 1; whiteout && i < v->n; i++)
		fd_close(steal_fd(&v->fd[i]));
	int r = v->fd[0] < 0 ? copy_up_dir(v, above, name) : 0;
	return r == 0 && whiteout ? overlay_mark_opaque(v->a, v->fd[0]) : r;
}

/* What waits to be written at that name takes its place before it is looked at: names that led here
 * by links are known only now. */
static int view_settle(struct view *v, const char *name)
{
	_cleanup_(buf_release) struct buf path = BUF_INIT;
	buf_add_span(&path, buf_span(&v->canon));
	if (path.n)
		buf_addc(&path, '/');
	buf_adds(&path, name);
	return writer_holds(v->a, buf_span(&path)) ? writer_drain(v->a) : 0;
}

/* One component. 1: it was a link, and *rest has been written anew. */
static int view_step(struct view *v, const char *name, struct span behind, struct buf *rest)
{
	struct stat st;
	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0)
		return v->canon.n ? view_up(v) : 0;
	int settled = view_settle(v, name);
	if (settled < 0)
		return settled;
	int which = view_look(v, name, 0, &st);
	if (which < 0 && (which != -ENOENT || v->look_only))
		return which;
	if (which >= 0 && S_ISLNK(st.st_mode)) {
		int r = view_follow(v, v->fd[which], name, behind, rest);
		return r < 0 ? r : 1;
	}
	if (which >= 0 && !S_ISDIR(st.st_mode))
		return -ENOTDIR;
	return view_down(v, name, which >= 0);
}

int view_walk(struct view *v, struct buf *rest)
{
	for (;;) {
		struct span left = buf_span(rest), part;
		while (left.n && left.p[0] == '/')
			left = span_tail(left, 1);
		if (!left.n || !span_cut(&left, '/', &part))
			return 0;
		_cleanup_(freep) char *name = span_dup(part);
		_cleanup_(buf_release) struct buf behind = BUF_INIT;
		buf_add_span(&behind, left);
		int r = view_step(v, name, buf_span(&behind), rest);
		if (r < 0)
			return r;
		if (r == 0) {
			buf_clear(rest);
			buf_add_span(rest, buf_span(&behind));
		}
	}
}

int view_parent(struct apply *a, struct span path, bool make)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	buf_add_span(&text, path);
	buf_clear(&a->parent_canon);
	if (!path.n)
		return fcntl(a->rootfd, F_DUPFD_CLOEXEC, 3);
	/* Without links in it, and all there: one call. */
	int fd = walk_without_openat2 || a->dotdot
			 ? -ELOOP
			 : sys_openat2(a->rootfd, buf_str(&text), O_PATH | O_DIRECTORY | O_CLOEXEC,
				       0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (fd >= 0)
		return fd;
	_cleanup_(view_release) struct view v = { 0 };
	int r = view_open(&v, a);
	v.look_only = !make;
	if (r == 0)
		r = view_walk(&v, &text);
	if (r < 0)
		return r;
	if (!span_eq(buf_span(&v.canon), path))
		buf_add_span(&a->parent_canon, v.canon.n ? buf_span(&v.canon) : SPAN("."));
	return v.fd[0] < 0 ? -ENOENT : steal_fd(&v.fd[0]);
}
