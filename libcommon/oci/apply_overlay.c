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

int overlay_parent(struct apply *a, struct span path)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	buf_add_span(&text, path);
	if (!path.n)
		return fcntl(a->rootfd, F_DUPFD_CLOEXEC, 3);
	int fd = a->dotdot
			 ? -ELOOP
			 : sys_openat2(a->rootfd, buf_str(&text), O_PATH | O_DIRECTORY | O_CLOEXEC,
				       0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (fd >= 0)
		return fd;
	_cleanup_(view_release) struct view v = { 0 };
	int r = view_open(&v, a);
	if (r == 0)
		r = view_walk(&v, &text);
	if (r < 0)
		return r;
	if (!span_eq(buf_span(&v.canon), path)) {
		buf_clear(&a->parent_canon);
		buf_add_span(&a->parent_canon, v.canon.n ? buf_span(&v.canon) : SPAN("."));
	}
	return steal_fd(&v.fd[0]);
}

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

/* Remembers that this layer holds a name only for a link's sake. */
static int note_copied(struct apply *a, int fd, const char *name)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	a->some_copied = true;
	return made_add(&a->copied, a->rootfd, made_key(&a->copied, st.st_ino, span_str(name)));
}

/* 1: the name stands in directory ino of this layer, but is not this layer's. */
static int is_copied(struct apply *a, ino_t ino, const char *name)
{
	int r = a->some_copied ? made_has(&a->copied, made_key(&a->copied, ino, span_str(name)))
			       : 0;
	if (r == 1)
		r = made_has(&a->made, made_key(&a->made, ino, span_str(name))) == 0;
	return r;
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
	if (which > 0) {
		r = copy_up_name(&v, v.fd[which], *name, &st);
		if (r == 0)
			r = note_copied(a, v.fd[0], *name);
	}
	t->fd = steal_fd(&v.fd[0]);
	return r;
}

/* Takes away what means nothing below an opaque directory: whiteouts, which the kernel would show
 * where nothing is merged, and copies. */
static int drop_hidden(struct apply *a, int fd)
{
	struct stat dir;
	DIR *d = fdopendir(fd);
	if (!d) {
		int r = -errno;
		fd_close(fd);
		return r;
	}
	int r = fstat(dirfd(d), &dir) < 0 ? -errno : 0;
	for (struct dirent *e; r == 0 && (e = readdir(d));) {
		struct stat st;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (!S_ISDIR(st.st_mode)) {
			int copied = is_copied(a, dir.st_ino, e->d_name);
			r = MIN(copied, 0);
			if ((copied > 0 || apply_is_whiteout(&st)) &&
			    unlinkat(dirfd(d), e->d_name, 0) < 0)
				r = -errno;
			continue;
		}
		int below = openat(dirfd(d), e->d_name,
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = below < 0 ? -errno : drop_hidden(a, below);
	}
	closedir(d);
	return r;
}

/* overlayfs looks at no mark of the root itself: every name below is hidden by its own. */
static int hide_roots_below(struct apply *a)
{
	_cleanup_(view_release) struct view v = { 0 };
	int r = view_open(&v, a);
	for (size_t i = 1; r == 0 && i < v.n; i++) {
		DIR *d = fdopendir(fcntl(v.fd[i], F_DUPFD_CLOEXEC, 3));
		if (!d)
			return -errno;
		rewinddir(d);
		for (struct dirent *e; r == 0 && (e = readdir(d));)
			if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
				r = overlay_whiteout(a, e->d_name);
		closedir(d);
	}
	return r;
}

int overlay_set_opaque(struct apply *a, int fd)
{
	struct stat st, root;
	int r = 0;
	if (a->lowers_n == 0)
		return 0;
	if (fstat(fd, &st) < 0 || fstat(a->rootfd, &root) < 0)
		return apply_fail_errno(a, "fstat");
	if (st.st_ino == root.st_ino)
		return hide_roots_below(a);
	if (fsetxattr(fd, overlay_opaque_name(a), "y", 1, 0) < 0)
		return apply_fail_errno(a, "cannot mark the directory opaque");
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = copy < 0 ? -errno : drop_hidden(a, copy);
	return r < 0 ? apply_fail(a, r, NULL) : 0;
}

/* True where the layers below show name in the present parent. */
static int shown_below(struct apply *a, const char *name)
{
	_cleanup_(view_release) struct view v = { 0 };
	_cleanup_(buf_release) struct buf path = BUF_INIT;
	struct stat st;
	buf_add(&path, a->path.p, a->base ? a->base - 1 : 0);
	int r = view_open(&v, a);
	if (r == 0)
		r = view_walk(&v, &path);
	if (r == 0)
		r = view_look(&v, name, 1, &st);
	return r == -ENOENT ? 0 : r < 0 ? r : 1;
}

int overlay_whiteout(struct apply *a, const char *name)
{
	struct stat st;
	int r = a->lowers_n ? shown_below(a, name) : 0;
	if (r < 0)
		return apply_fail(a, r, NULL);
	if (r == 0)
		return 0;
	r = is_copied(a, a->parent->ino, name);
	if (r == 1 && unlinkat(a->parent->fd, name, 0) < 0 && errno != ENOENT)
		r = -errno;
	if (r < 0)
		return apply_fail(a, r, NULL);
	if (mknodat(a->parent->fd, name, S_IFCHR | 0000, makedev(0, 0)) == 0)
		return 0;
	if (errno != EEXIST || fstatat(a->parent->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return apply_fail_errno(a, "cannot make the whiteout");
	if (!S_ISDIR(st.st_mode))
		return 0;
	_cleanup_(fd_closep) int fd =
		openat(a->parent->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? apply_fail_errno(a, "cannot open the directory")
		      : overlay_set_opaque(a, fd);
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
