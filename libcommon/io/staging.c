/* A directory that appears whole or not at all. */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libcommon/io.h"

#ifndef STATX_ATTR_MOUNT_ROOT
#define STATX_ATTR_MOUNT_ROOT 0x2000
#endif

#define INSIDE	  ".ocibox-staging"
#define ROOT	  "root"  /* inside the hidden directory: the tree */
#define NAMES	  "names" /* the names that are moved up, once the tree is whole */
#define NAMES_NEW "names.new"
enum { LINKS_MAX = 40, LOCK_WAIT_MS = 5000 };

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

static DIR *open_list(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		fd_close(fd);
	return d;
}

static bool is_dot(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* 1 when dir holds nothing but `but` (and a file system's own empty lost+found), 0, or an error. */
static int holds_only(int dirfd, const char *but)
{
	_cleanup_(closedirp) DIR *d = open_list(dirfd);
	if (!d)
		return -errno;
	for (struct dirent *e; (e = readdir(d));) {
		if (is_dot(e->d_name) || strcmp(e->d_name, but) == 0)
			continue;
		struct stat st;
		if (strcmp(e->d_name, "lost+found") == 0 &&
		    fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISDIR(st.st_mode) && st.st_nlink == 2 && st.st_uid == 0)
			continue;
		return 0;
	}
	return 1;
}

/* Where the last component of path is a link: where it leads. Without slashes at the end. */
static int resolve_last(const char *path, struct buf *out)
{
	buf_adds(out, path);
	for (int i = 0; i < LINKS_MAX; i++) {
		char target[PATH_MAX];
		while (out->n > 1 && out->p[out->n - 1] == '/')
			out->n--;
		ssize_t n = readlink(buf_str(out), target, sizeof(target));
		if (n < 0)
			return 0;
		if (n == sizeof(target))
			return -ENAMETOOLONG;
		size_t slash = span_rfind(buf_span(out), '/');
		out->n = target[0] == '/' || slash == out->n ? 0 : slash + 1;
		buf_add(out, target, (size_t)n);
	}
	return -ELOOP;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

static bool is_mount_point(int dirfd, const struct stat *st)
{
	struct stat above;
	struct statx sx;
	if (fstatat(dirfd, "..", &above, 0) < 0 || above.st_dev != st->st_dev ||
	    same_file(&above, st))
		return true;
	return statx(dirfd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx) == 0 &&
	       (sx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT & sx.stx_attributes);
}

/* True where DIR (open) cannot be replaced by a rename in its parent. */
static bool must_stay(int dirfd, int parent)
{
	struct stat dir, here, above;
	if (fstat(dirfd, &dir) < 0 || fstat(parent, &above) < 0)
		return true;
	if (is_mount_point(dirfd, &dir) || (stat(".", &here) == 0 && same_file(&dir, &here)))
		return true;
	if ((above.st_mode & S_ISVTX) && geteuid() != 0 && dir.st_uid != geteuid() &&
	    above.st_uid != geteuid())
		return true;
	/* A run that filled it was killed. */
	return fstatat(dirfd, INSIDE, &here, AT_SYMLINK_NOFOLLOW) == 0;
}

static char *sibling_name(const char *name)
{
	static const unsigned char key[16] = "ocibox staging";
	if (strlen(name) < 200)
		return xasprintf(".%s.ocibox", name);
	return xasprintf(".%.150s-%016llx.ocibox", name,
			 (unsigned long long)siphash(key, name, strlen(name)));
}

static int busy(struct err *e, const char *path)
{
	return err_set(e, E_EXISTS, "%s: another process is filling it", quoted_str(path));
}

/* A run that was killed a moment ago may still be letting go: on a busy machine that takes its time. */
static int lock_soon(int fd)
{
	int r = fd_lock(fd, true, false);
	for (int ms = 0; r == -EWOULDBLOCK && ms < LOCK_WAIT_MS; ms += 20) {
		poll(NULL, 0, 20);
		r = fd_lock(fd, true, false);
	}
	return r;
}

/* Opens (makes) the hidden directory and locks it: ours alone, 0700, whatever the parent hands
 * down. 1: gone meanwhile, try again. */
static int open_hidden(struct staging *s, const char *path, struct err *e)
{
	struct stat st, now;
	if (mkdirat(s->holder, s->hidden, 0700) < 0 && errno != EEXIST)
		return -errno;
	s->lock = openat(s->holder, s->hidden, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->lock < 0)
		return errno == ENOENT ? 1
				       : err_set(e, E_EXISTS, "%s is in the way: %s",
						 quoted_str(s->hidden), err_word(-errno));
	if (fstat(s->lock, &st) < 0)
		return -errno;
	/* Also what a run left that had given the root of the tree to its owner. */
	if (st.st_uid != geteuid() && geteuid() == 0 && lock_soon(s->lock) == 0 &&
	    tree_remove(s->holder, s->hidden) == 0) {
		fd_close(steal_fd(&s->lock));
		return 1;
	}
	if (st.st_uid != geteuid())
		return err_set(e, E_EXISTS, "%s is in the way: it belongs to another user",
			       quoted_str(s->hidden));
	int r = lock_soon(s->lock);
	if (r == -EWOULDBLOCK)
		return busy(e, path);
	if (r < 0)
		return r;
	if (fstatat(s->holder, s->hidden, &now, AT_SYMLINK_NOFOLLOW) < 0 || !same_file(&st, &now)) {
		fd_close(steal_fd(&s->lock));
		return 1;
	}
	fremovexattr(s->lock, "system.posix_acl_default");
	fremovexattr(s->lock, "system.posix_acl_access");
	if (st.st_gid != getegid() && fchown(s->lock, (uid_t)-1, getegid()) < 0 && errno != EPERM)
		return -errno;
	return fchmod(s->lock, 0700) < 0 ? -errno : 0;
}

/* The names that an interrupted move may have brought into DIR go again. */
static int take_back_moved(const struct staging *s)
{
	_cleanup_(fd_closep) int fd = openat(s->lock, NAMES, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	_cleanup_(stream_closep) struct stream *in = stream_from_fd(fd, false);
	char name[NAME_MAX + 1];
	for (size_t n = 0;; n++) {
		ssize_t got = stream_read(in, name + n, 1);
		if (got <= 0)
			return (int)got;
		if (name[n] == '\0') {
			int r = n && !is_dot(name) ? tree_remove(s->holder, name) : 0;
			if (r < 0)
				return r;
			n = (size_t)-1;
		} else if (n == NAME_MAX || name[n] == '/') {
			return -EINVAL;
		}
	}
}

static int start_hidden(struct staging *s, const char *path, struct err *e)
{
	int r;
	do
		r = open_hidden(s, path, e);
	while (r == 1);
	if (r < 0)
		return r;
	r = s->inside ? take_back_moved(s) : 0;
	if (r == 0)
		r = tree_empty(s->lock);
	if (r < 0)
		return err_set(e, r, "%s: cannot empty what an interrupted run left: %s",
			       quoted_str(s->hidden), err_word(r));
	return 0;
}

static int open_inside(struct staging *s, const char *path, struct err *e)
{
	struct stat st;
	bool leftover = fstatat(s->holder, INSIDE, &st, AT_SYMLINK_NOFOLLOW) == 0;
	s->inside = true;
	s->hidden = xstrdup(INSIDE);
	int only = leftover ? 1 : holds_only(s->holder, INSIDE);
	int r = only == 1 ? start_hidden(s, path, e) : only;
	if (only == 1 && r == 0 && leftover) {
		only = holds_only(s->holder, INSIDE);
		if (only == 0)
			unlinkat(s->holder, INSIDE, AT_REMOVEDIR);
	}
	if (only == 0)
		return err_set(e, E_EXISTS, "%s is not empty", quoted_str(path));
	if (r < 0)
		return err_set(e, r, "%s: %s", quoted_str(path), err_word(r));
	if (mkdirat(s->lock, ROOT, 0700) < 0)
		return err_set(e, -errno, "%s: %s", quoted_str(path), err_word(-errno));
	s->fd = dir_open(s->lock, ROOT);
	return s->fd < 0 ? err_set(e, s->fd, "%s: %s", quoted_str(path), err_word(s->fd)) : 0;
}

static int open_sibling(struct staging *s, const char *path, struct err *e)
{
	s->hidden = sibling_name(s->name);
	int r = start_hidden(s, path, e);
	if (r < 0)
		return r;
	s->fd = fcntl(s->lock, F_DUPFD_CLOEXEC, 3);
	return s->fd < 0 ? -errno : 0;
}

static bool forbidden(int r)
{
	return r == -EACCES || r == -EPERM || r == -EROFS;
}

static int open_staging(const char *path, struct staging *s, struct err *e)
{
	_cleanup_(buf_release) struct buf real = BUF_INIT;
	_cleanup_(fd_closep) int dir = -1;
	int r = resolve_last(path, &real);
	if (r < 0)
		return err_set(e, r, "%s: %s", quoted_str(path), err_word(r));
	dir = dir_open(AT_FDCWD, buf_str(&real));
	if (dir < 0 && dir != -ENOENT)
		return err_set(e, dir == -ENOTDIR ? E_EXISTS : dir, "%s: %s", quoted_str(path),
			       dir == -ENOTDIR ? "it is there and no directory" : err_word(dir));
	size_t slash = span_rfind(buf_span(&real), '/');
	bool has_slash = slash != real.n;
	_cleanup_(freep) char *name =
		span_dup(has_slash ? span_tail(buf_span(&real), slash + 1) : buf_span(&real));
	if (has_slash)
		real.n = MAX(slash, (size_t)1);
	int parent = dir_open(AT_FDCWD, has_slash ? buf_str(&real) : ".");
	if (parent < 0 && dir < 0)
		return err_set(e, parent, "%s: its parent directory: %s", quoted_str(path),
			       err_word(parent));
	s->holder = parent;
	bool stay = dir >= 0 && (parent < 0 || !*name || is_dot(name) || must_stay(dir, parent));
	if (!stay && dir >= 0 && (r = holds_only(dir, "")) != 1)
		return r == 0 ? err_set(e, E_EXISTS, "%s is not empty", quoted_str(path))
			      : err_set(e, r, "%s: %s", quoted_str(path), err_word(r));
	if (!stay) {
		s->name = steal_ptr(&name);
		r = open_sibling(s, path, e);
		if (!forbidden(r) || dir < 0 || (e && e->code))
			return r < 0 ? err_set(e, r, "%s: cannot make a directory beside it: %s",
					       quoted_str(path), err_word(r))
				     : r;
		freep(&s->name);
		freep(&s->hidden);
		s->name = s->hidden = NULL;
	}
	fd_close(s->holder);
	s->holder = steal_fd(&dir);
	return open_inside(s, path, e);
}

int staging_open(const char *path, struct staging *s, struct err *e)
{
	*s = (struct staging){ .fd = -1, .holder = -1, .lock = -1 };
	int r = *path ? open_staging(path, s, e)
		      : err_set(e, E_USAGE, "the name of the directory is empty");
	if (r < 0)
		staging_close(s);
	return r;
}

void staging_close(struct staging *s)
{
	fd_close(s->fd);
	fd_close(s->lock);
	fd_close(s->holder);
	free(s->name);
	free(s->hidden);
	*s = (struct staging){ .fd = -1, .holder = -1, .lock = -1 };
}

void staging_discard(struct staging *s)
{
	struct stat ours, there;
	if (s->lock < 0 || fstat(s->lock, &ours) < 0 ||
	    fstatat(s->holder, s->hidden, &there, AT_SYMLINK_NOFOLLOW) < 0 ||
	    !same_file(&ours, &there))
		return;
	if (s->inside)
		take_back_moved(s);
	if (tree_empty(s->lock) == 0)
		unlinkat(s->holder, s->hidden, AT_REMOVEDIR);
}

/* ---- filled from inside: the names are written down, then moved up
 * ---------------------------------------------------------- */

static int write_names(const struct staging *s, bool sync)
{
	_cleanup_(fd_closep) int fd = openat(
		s->lock, NAMES_NEW, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	_cleanup_(closedirp) DIR *d = fd < 0 ? NULL : open_list(s->fd);
	if (!d)
		return -errno;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int r = 0;
	for (struct dirent *e; r == 0 && (e = readdir(d));) {
		if (is_dot(e->d_name))
			continue;
		if (strcmp(e->d_name, s->hidden) == 0)
			return -EEXIST;
		buf_add(&b, e->d_name, strlen(e->d_name) + 1);
		if (b.n > 60000) {
			r = fd_write_all(fd, b.p, b.n);
			buf_clear(&b);
		}
	}
	if (r == 0)
		r = fd_write_all(fd, b.p, b.n);
	if (r == 0 && sync && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(s->lock, NAMES_NEW, s->lock, NAMES) < 0)
		r = -errno;
	return r;
}

/* A directory changes its ".." when it moves, which asks for the right to write it. */
static int move_read_only(const struct staging *s, const char *name)
{
	struct stat st;
	_cleanup_(fd_closep) int fd =
		openat(s->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || fchmod(fd, (st.st_mode & 07777) | 0700) < 0)
		return -EACCES;
	int r = renameat(s->fd, name, s->holder, name) < 0 ? -errno : 0;
	return fchmod(fd, st.st_mode & 07777) < 0 && r == 0 ? -errno : r;
}

static int move_one(const struct staging *s, const char *name)
{
	if (strcmp(name, "lost+found") == 0)
		unlinkat(s->holder, name, AT_REMOVEDIR);
	if (renameat(s->fd, name, s->holder, name) == 0)
		return 0;
	return errno == EACCES ? move_read_only(s, name) : -errno;
}

static int move_all(const struct staging *s)
{
	_cleanup_(closedirp) DIR *d = open_list(s->fd);
	if (!d)
		return -errno;
	for (bool again = true; again;) {
		again = false;
		rewinddir(d);
		for (struct dirent *e; (e = readdir(d));) {
			if (is_dot(e->d_name))
				continue;
			int r = move_one(s, e->d_name);
			if (r < 0)
				return r;
			again = true;
		}
	}
	return 0;
}

static void copy_xattrs(int from, int to)
{
	char names[4096], value[4096];
	ssize_t n = flistxattr(from, names, sizeof(names));
	for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		ssize_t size = fgetxattr(from, name, value, sizeof(value));
		if (size >= 0)
			fsetxattr(to, name, value, (size_t)size, 0);
	}
}

/* As far as DIR is ours: a mount point or another user's directory may keep its own. */
static void copy_attributes(int from, int to)
{
	struct stat st, have;
	if (fstat(from, &st) < 0 || fstat(to, &have) < 0)
		return;
	if ((st.st_uid == have.st_uid && st.st_gid == have.st_gid) ||
	    fchown(to, st.st_uid, st.st_gid) == 0)
		fchmod(to, st.st_mode & 07777);
	copy_xattrs(from, to);
	futimens(to, (struct timespec[2]){ st.st_atim, st.st_mtim });
}

static int commit_inside(struct staging *s, bool sync, struct err *e)
{
	struct stat st, still;
	if (fstat(s->fd, &st) < 0)
		return -errno;
	/* What was put there meanwhile is not ours to replace, nor, once its name is written down, to take away. */
	int r = holds_only(s->holder, s->hidden);
	if (r == 0)
		return err_set(e, E_EXISTS, "the directory was filled by another meanwhile");
	if (r > 0)
		r = write_names(s, sync);
	if (r == -EEXIST)
		return err_set(e, E_EXISTS,
			       "the tree holds %s, which is the name of our own directory",
			       quoted_str(s->hidden));
	if (r == 0)
		r = move_all(s);
	if (r < 0)
		return err_set(e, r, "moving the tree to its place: %s", err_word(r));
	futimens(s->fd, (struct timespec[2]){ st.st_atim, st.st_mtim });
	if (unlinkat(s->lock, ROOT, AT_REMOVEDIR) < 0 || unlinkat(s->lock, NAMES, 0) < 0 ||
	    unlinkat(s->holder, s->hidden, AT_REMOVEDIR) < 0)
		return err_set(e, -errno, "removing the hidden directory: %s", err_word(-errno));
	if (fstat(s->fd, &still) == 0)
		copy_attributes(s->fd, s->holder);
	return 0;
}

int staging_commit(struct staging *s, bool sync, struct err *e)
{
	int r = sync ? fd_sync_fs(s->fd) : 0;
	if (r < 0)
		return err_set(e, r, "sync: %s", err_word(r));
	if (s->inside)
		r = commit_inside(s, sync, e);
	else if (renameat(s->holder, s->hidden, s->holder, s->name) < 0)
		r = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR
			    ? err_set(e, E_EXISTS, "%s was filled by another meanwhile",
				      quoted_str(s->name))
			    : err_set(e, -errno, "%s: %s", quoted_str(s->name), err_word(-errno));
	if (r == 0 && sync && fsync(s->holder) < 0)
		r = err_set(e, -errno, "sync: %s", err_word(-errno));
	return r;
}
