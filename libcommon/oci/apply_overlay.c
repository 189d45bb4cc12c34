/*
 * Layers as overlayfs wants them: one directory a layer, whiteouts as character devices 0:0, opaque
 * directories by an xattr. What such a directory must hold depends on what is seen below it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"

static int copy_up_file(struct view *v, int from, const char *name, const struct stat *st)
{
	struct apply *a = v->a;
	_cleanup_(fd_closep) int in =
		openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_(fd_closep) int out =
		in < 0 ? -1
		       : openat(v->fd[0], name,
				O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (in < 0 || out < 0)
		return -errno;
	_cleanup_(stream_closep) struct stream *src =
		stream_from_file(in, 0, (uint64_t)st->st_size);
	int r = file_copy(out, src, (uint64_t)st->st_size, true);
	if (r < 0)
		return r;
	if (a->o.same_owner && fchown(out, st->st_uid, st->st_gid) < 0 && !a->o.ignore_owner)
		return -errno;
	if (fchmod(out, st->st_mode & 07777) < 0)
		return -errno;
	r = overlay_copy_xattrs(a, in, out, span_of("", 0), 0);
	if (r == 0 && futimens(out, (struct timespec[2]){ st->st_atim, st->st_mtim }) < 0)
		r = -errno;
	return r;
}

static int copy_up_name(struct view *v, int from, const char *name, const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n;
	int to = v->fd[0];
	if (S_ISREG(st->st_mode))
		return copy_up_file(v, from, name, st);
	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(from, name, target, sizeof(target) - 1);
		if (n < 0)
			return -errno;
		target[n] = '\0';
		if (symlinkat(target, to, name) < 0)
			return -errno;
	} else if (!S_ISFIFO(st->st_mode) || mknodat(to, name, st->st_mode, 0) < 0) {
		return S_ISFIFO(st->st_mode) ? -errno
					     : 0; /* what may not be linked is refused later */
	}
	if (v->a->o.same_owner &&
	    fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 &&
	    !v->a->o.ignore_owner)
		return -errno;
	return utimensat(to, name, (struct timespec[2]){ st->st_atim, st->st_mtim },
			 AT_SYMLINK_NOFOLLOW) < 0
		       ? -errno
		       : 0;
}

int overlay_link_target(struct apply *a, struct target *t)
{
	_cleanup_(view_release) struct view v = { 0 };
	_cleanup_(buf_release) struct buf above = BUF_INIT;
	struct buf *text = &t->text;
	const char **name = &t->name;
	struct stat st;
	while (text->n && text->p[text->n - 1] == '/')
		text->n--;
	size_t slash = span_rfind(buf_span(text), '/');
	if (slash != text->n)
		buf_add(&above, text->p, slash);
	*name = buf_str(text) + (slash == text->n ? 0 : slash + 1);
	if (!**name || strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0) {
		*name = ".";
		t->fd = fcntl(a->rootfd, F_DUPFD_CLOEXEC, 3);
		return t->fd < 0 ? -errno : 0;
	}
	int r = view_open(&v, a);
	if (r == 0)
		r = view_walk(&v, &above);
	int which = r < 0 ? r : view_look(&v, *name, 0, &st);
	if (which < 0)
		return which;
	/* Not marked as made by this layer: whiteouts see it as what it was. */
	if (which > 0)
		r = copy_up_name(&v, v.fd[which], *name, &st);
	t->fd = steal_fd(&v.fd[0]);
	return r;
}

int overlay_mark_opaque(struct apply *a, int fd)
{
	if (a->lowers_n == 0 || fsetxattr(fd, overlay_opaque_name(a), "y", 1, 0) == 0)
		return 0;
	return apply_fail_errno(a, "cannot mark the directory opaque");
}

/*
 * Hides name, which the layers below show, in the present parent. What of it stands in this layer
 * without being made by it (whiteouts, copies, implied parents) goes first; a directory that
 * remains is made opaque.
 */
static int hide(struct apply *a, const char *name, bool shown)
{
	struct stat st;
	int r = apply_remove_lower(a, a->parent->fd, a->parent->ino, name);
	if (r < 0 || !shown)
		return r;
	if (mknodat(a->parent->fd, name, S_IFCHR | 0000, makedev(0, 0)) == 0)
		return 0;
	if (errno != EEXIST || fstatat(a->parent->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return apply_fail_errno(a, "cannot make the whiteout");
	if (!S_ISDIR(st.st_mode))
		return 0;
	_cleanup_(fd_closep) int fd =
		openat(a->parent->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? apply_fail_errno(a, "cannot open the directory")
		      : overlay_mark_opaque(a, fd);
}

/* The present entry's parent as the view shows it, nothing made: 1, or 0 where it is not there. */
static int look_at_parent(struct apply *a, struct view *v)
{
	_cleanup_(buf_release) struct buf path = BUF_INIT;
	buf_add(&path, a->path.p, a->base ? a->base - 1 : 0);
	int r = view_open(v, a);
	v->look_only = true;
	if (r == 0)
		r = view_walk(v, &path);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	return r < 0 ? apply_fail(a, r, NULL) : 1;
}

int overlay_whiteout(struct apply *a, const char *name)
{
	_cleanup_(view_release) struct view v = { 0 };
	struct stat st;
	int r = a->lowers_n ? look_at_parent(a, &v) : 0;
	if (r <= 0)
		return r;
	bool shown = view_look(&v, name, 1, &st) >= 0;
	if (v.fd[0] < 0 && !shown)
		return 0;
	r = apply_parent(a);
	return r < 0 ? r : hide(a, name, shown);
}

/* overlayfs looks at no mark of the root itself: every name below is hidden by its own. */
static int hide_all(struct apply *a, const struct view *v)
{
	int r = 0;
	for (size_t i = 1; r == 0 && i < v->n; i++) {
		int copy = openat(v->fd[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		DIR *d = copy < 0 ? NULL : fdopendir(copy);
		if (!d) {
			fd_close(copy);
			return apply_fail_errno(a, "cannot list the layer below");
		}
		for (struct dirent *e; r == 0 && (e = readdir(d));) {
			struct stat st;
			if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
				r = hide(a, e->d_name, view_look(v, e->d_name, 1, &st) >= 0);
		}
		closedir(d);
	}
	return r;
}

int overlay_opaque(struct apply *a)
{
	_cleanup_(view_release) struct view v = { 0 };
	bool shown = false;
	int r = a->lowers_n ? look_at_parent(a, &v) : 0;
	if (r <= 0)
		return r;
	for (size_t i = 1; i < v.n; i++)
		shown |= v.fd[i] >= 0;
	if (v.fd[0] < 0 && !shown)
		return 0;
	r = apply_parent(a);
	if (r < 0)
		return r;
	_cleanup_(fd_closep) int fd =
		openat(a->parent->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return apply_fail_errno(a, "cannot open the directory");
	r = apply_remove_lower_all(a, fd);
	if (r < 0 || !shown)
		return r;
	return v.canon.n ? overlay_mark_opaque(a, fd) : hide_all(a, &v);
}

int overlay_root(struct apply *a)
{
	struct stat st, mine;
	if (!a->lowers_n)
		return 0;
	int r = a->lowers_wait ? a->lowers_wait(a->lowers_arg, a->e) : 0;
	if (r < 0)
		return r;
	if (fstat(a->lowers[0], &st) < 0 || fstat(a->rootfd, &mine) < 0)
		return apply_fail_errno(a, "fstat");
	a->root_seen = true;
	a->root_mode = st.st_mode & 07777;
	a->root_uid = st.st_uid;
	a->root_gid = st.st_gid;
	r = apply_note_dir(a, span_of("", 0),
			   &(struct dir_note){ .ino = mine.st_ino, .mtime = overlay_mtime(&st) });
	if (r == 0)
		r = overlay_copy_xattrs(a, a->lowers[0], a->rootfd, span_of("", 0), mine.st_ino);
	return r < 0 ? apply_fail(a, r, NULL) : 0;
}
