/* Files, links and nodes. */
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"

enum { HOLE = 64 * 1024 };

static unsigned char
	zeros[HOLE]; /* never written; not const, so that the binary does not hold them */

/* What a file gets, besides the position: written bytes not yet on disk and zeros that may become a
 * hole. */
struct copy {
	int fd;
	uint64_t at; /* position in the file */
	size_t pend; /* zeros before at, from the last multiple of HOLE on, not written */
	bool hole_last;
};

static int put(struct copy *c, const unsigned char *p, size_t n, uint64_t at)
{
	c->hole_last = false;
	return fd_pwrite_all(c->fd, p, n, at);
}

static bool all_zero(const unsigned char *p, size_t n)
{
	return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Passes one window on; bytes between from and the first candidate for a hole go out in one write.
 */
static int feed(struct copy *c, struct span w)
{
	size_t from = 0, i = 0;
	while (i < w.n) {
		size_t inside = c->at % HOLE, take = MIN(w.n - i, HOLE - inside);
		bool candidate = inside == c->pend && all_zero(w.p + i, take);
		int r = 0;
		if (candidate) {
			if (from < i)
				r = put(c, w.p + from, i - from, c->at - (i - from));
			c->pend += take;
			from = i + take;
		} else if (c->pend) {
			r = put(c, zeros, c->pend, c->at - c->pend);
			c->pend = 0;
		}
		if (r < 0)
			return r;
		c->at += take;
		i += take;
		if (c->pend == HOLE) {
			c->pend = 0;
			c->hole_last = true;
		}
	}
	return from < w.n ? put(c, w.p + from, w.n - from, c->at - (w.n - from)) : 0;
}

static int copy_with_holes(int fd, struct stream *src)
{
	struct copy c = { .fd = fd };
	for (;;) {
		struct span w = stream_peek(src);
		if (!w.n)
			break;
		int r = feed(&c, w);
		if (r < 0)
			return r;
		stream_skip(src, w.n);
	}
	int r = stream_error(src);
	if (r == 0 && c.pend)
		r = put(&c, zeros, c.pend, c.at - c.pend);
	if (r == 0 && c.hole_last && ftruncate(fd, (off_t)c.at) < 0)
		r = -errno;
	return r;
}

int file_copy(int fd, struct stream *src, uint64_t size, bool holes)
{
	if (holes && size >= HOLE)
		return copy_with_holes(fd, src);
	for (;;) {
		struct span w = stream_peek(src);
		if (!w.n)
			return stream_error(src);
		int r = fd_write_all(fd, w.p, w.n);
		if (r < 0)
			return r;
		stream_skip(src, w.n);
	}
}

static mode_t lent_mode(const struct apply *a, const struct file_job *j)
{
	return (j->mode & 0777) | (a->o.defer_modes ? 0600 : 0);
}

int file_create(const struct apply *a, const struct file_job *j, bool *chown_failed)
{
	_cleanup_(fd_closep) int fd =
		openat(j->parent->fd, j->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		       lent_mode(a, j));
	if (fd < 0)
		return -errno;
	if (a->o.same_owner && (j->uid != a->euid || j->gid != a->egid || !j->parent->own_gid) &&
	    fchown(fd, j->uid, j->gid) < 0) {
		if (!a->o.ignore_owner)
			return -errno;
		*chown_failed = true;
	}
	return steal_fd(&fd);
}

int file_seal(const struct apply *a, const struct file_job *j, int fd, bool chown_failed)
{
	/* Not setid for one who should not have it. */
	mode_t mode = chown_failed ? j->mode & 01777 : j->mode;
	return mode != lent_mode(a, j) && fchmod(fd, mode) < 0 ? -errno : 0;
}

int apply_mark(struct apply *a, const char *name)
{
	if (a->form == APPLY_MERGED ? a->layer == 0 : a->lowers_n == 0)
		return 0;
	int r = made_add(&a->made, a->rootfd, made_key(&a->made, a->parent->ino, span_str(name)));
	if (r == E_TOOBIG)
		return err_set(
			a->e, r,
			"%s: a layer above another has more than %d names: it cannot be unpacked",
			quoted(buf_span(&a->path)), MADE_MAX);
	return r < 0 ? err_set(a->e, r, "%s: noting that this layer made it: %s",
			       quoted(buf_span(&a->path)), err_word(r))
		     : 0;
}

int apply_make_room(struct apply *a, const char *name)
{
	struct stat st;
	int r = writer_drain(a);
	if (r < 0)
		return r;
	if (fstatat(a->parent->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : apply_fail_errno(a, "fstat");
	a->parent_stale |= S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode);
	if (S_ISDIR(st.st_mode)) {
		r = tree_remove(a->parent->fd, name);
		if (r < 0)
			return err_set(a->e, r, "%s: cannot remove what was there: %s",
				       quoted(buf_span(&a->path)), err_word(r));
		return 0;
	}
	if (unlinkat(a->parent->fd, name, 0) < 0 && errno != ENOENT)
		return apply_fail_errno(a, "cannot remove what was there");
	return 0;
}

static int check_budget(struct apply *a, const struct tar_entry *e)
{
	if (a->o.max_total && e->size > a->o.max_total - MIN(a->o.max_total, a->st.bytes))
		return err_set(a->e, E_TOOBIG,
			       "%s: the image unpacks to more than %llu bytes (--max-size)",
			       quoted(buf_span(&a->path)), (unsigned long long)a->o.max_total);
	a->st.bytes += e->size;
	return 0;
}

static int create_or_replace(struct apply *a, struct file_job *j)
{
	bool chown_failed = false;
	int fd = file_create(a, j, &chown_failed);
	if (fd == -EEXIST) {
		int r = apply_make_room(a, j->name);
		if (r < 0)
			return r;
		fd = file_create(a, j, &chown_failed);
	}
	if (chown_failed) {
		apply_count(a, &a->st.owners_failed);
		j->mode &= 01777;
	}
	if (fd == -EINVAL && a->o.same_owner)
		return err_set(
			a->e, fd,
			"%s: cannot give it to %u:%u: no such ids here (--no-same-owner, --ignore-failed=owner)",
			quoted(buf_span(&a->path)), j->uid, j->gid);
	return fd < 0 ? apply_fail(a, fd, NULL) : fd;
}

/* User xattrs need the right to write, which a plain owner may not have by the file's own mode. */
static int file_xattrs(struct apply *a, const struct node *n, const struct tar_entry *e,
		       mode_t mode)
{
	bool lend = a->o.defer_modes && (mode & 0600) != 0600;
	if (!a->o.xattrs || !(e->xattrs_n + e->acls_n))
		return 0;
	if (lend && fchmod(n->fd, mode | 0600) < 0)
		return apply_fail_errno(a, "cannot set its mode");
	int r = apply_xattrs(a, n, e, false);
	if (r == 0 && lend && fchmod(n->fd, mode) < 0)
		r = apply_fail_errno(a, "cannot set its mode");
	return r;
}

int apply_put_file(struct apply *a, const struct tar_entry *e, struct tar *t)
{
	int r = check_budget(a, e);
	if (r == 0)
		r = writer_put(a, e, t);
	if (r)
		return MIN(r, 0);
	struct timespec ts[2];
	struct file_job job = {
		.parent = a->parent,
		.name = apply_base(a),
		.mode = apply_mode(a, e),
		.uid = (uint32_t)e->uid,
		.gid = (uint32_t)e->gid,
	};
	_cleanup_(fd_closep) int fd = create_or_replace(a, &job);
	if (fd < 0)
		return fd;
	struct stream *data = tar_data(t);
	r = e->size ? file_copy(fd, data, e->size, a->o.sparse) : 0;
	if (r < 0)
		return stream_error(data) ? r
					  : err_set(a->e, r, "%s: cannot write: %s",
						    quoted(buf_span(&a->path)), err_word(r));
	r = file_seal(a, &job, fd, false);
	if (r < 0)
		return apply_fail(a, r, "cannot set its mode");
	r = file_xattrs(a, &(struct node){ .fd = fd }, e, job.mode);
	if (r < 0)
		return r;
	apply_timespec(e, ts);
	if (futimens(fd, ts) < 0)
		return apply_fail_errno(a, "cannot set its time");
	if (close(steal_fd(&fd)) < 0)
		return apply_fail_errno(a, "cannot write");
	a->st.files++;
	return apply_mark(a, job.name);
}

/* Owner, xattrs and time of what cannot be opened. */
static int name_meta(struct apply *a, const struct node *n, const struct tar_entry *e)
{
	int r = 0;
	if (a->o.same_owner && (e->uid != a->euid || e->gid != a->egid || !a->parent->own_gid))
		r = apply_owner(a, n, e->uid, e->gid);
	if (r == 0 && e->type != TAR_SYMLINK && (apply_mode(a, e) & 07000) &&
	    sys_fchmodat2(n->dirfd, n->name, apply_mode(a, e), AT_SYMLINK_NOFOLLOW) == -EPERM)
		r = apply_fail(a, -EPERM, "cannot set its mode");
	if (r == 0)
		r = apply_xattrs(a, n, e, false);
	return r == 0 ? apply_times(a, n, e) : r;
}

int apply_put_symlink(struct apply *a, const struct tar_entry *e)
{
	struct node n = { .fd = -1, .dirfd = a->parent->fd, .name = apply_base(a) };
	const char *target = (const char *)e->link.p;
	if (!e->link.n)
		return apply_fail(a, E_FORMAT, "a symbolic link to nothing");
	if (symlinkat(target, n.dirfd, n.name) < 0) {
		if (errno != EEXIST)
			return apply_fail_errno(a, "cannot make the symbolic link");
		int r = apply_make_room(a, n.name);
		if (r < 0)
			return r;
		n.dirfd = a->parent->fd;
		if (symlinkat(target, n.dirfd, n.name) < 0)
			return apply_fail_errno(a, "cannot make the symbolic link");
	}
	a->st.links++;
	int r = name_meta(a, &n, e);
	return r == 0 ? apply_mark(a, n.name) : r;
}

static int link_fail(struct apply *a, const struct tar_entry *e, int code, const char *why)
{
	return err_set(a->e, code, "%s: hard link to %s: %s", quoted(buf_span(&a->path)),
		       quoted(e->link), why ? why : err_word(code));
}

static int check_target(struct apply *a, const struct tar_entry *e, const struct target *t,
			struct stat *st)
{
	if (fstatat(t->fd, t->name, st, AT_SYMLINK_NOFOLLOW) < 0)
		return link_fail(a, e, E_FORMAT,
				 errno == ENOENT ? "there is no such file" : err_word(-errno));
	if (S_ISDIR(st->st_mode))
		return link_fail(a, e, E_UNSAFE_PATH, "it is a directory");
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		return link_fail(a, e, E_UNSAFE_PATH, "it is a device");
	return 0;
}

static int put_link(struct apply *a, const struct tar_entry *e, const struct target *t)
{
	struct stat target, here;
	const char *base = apply_base(a);
	int r = check_target(a, e, t, &target);
	if (r < 0)
		return r;
	a->st.links++;
	if (linkat(t->fd, t->name, a->parent->fd, base, 0) == 0)
		return apply_mark(a, base);
	if (errno != EEXIST)
		return link_fail(a, e, -errno, NULL);
	if (fstatat(a->parent->fd, base, &here, AT_SYMLINK_NOFOLLOW) == 0 &&
	    here.st_ino == target.st_ino && here.st_dev == target.st_dev)
		return apply_mark(a, base);
	r = apply_make_room(a, base);
	/* the target may have been in what made room */
	if (r == 0 && linkat(t->fd, t->name, a->parent->fd, base, 0) < 0)
		r = errno == ENOENT ? link_fail(a, e, E_FORMAT, "there is no such file")
				    : link_fail(a, e, -errno, NULL);
	return r == 0 ? apply_mark(a, base) : r;
}

int apply_put_hardlink(struct apply *a, const struct tar_entry *e)
{
	_cleanup_(target_release) struct target t = { .fd = -1 };
	int r = writer_drain(a);
	if (r < 0)
		return r;
	r = apply_target(a, e->link, &t);
	if (r == -ENOENT || r == -ENOTDIR)
		return link_fail(a, e, E_FORMAT, "there is no such file");
	return r < 0 ? link_fail(a, e, r, NULL) : put_link(a, e, &t);
}

static bool node_left_out(struct apply *a, const struct tar_entry *e)
{
	if (e->type == TAR_FIFO)
		return false;
	/* A character device 0:0 is overlayfs's way to say "not here"; no program can use one. */
	if (e->type == TAR_CHAR && e->dev_major == 0 && e->dev_minor == 0) {
		apply_count(a, &a->st.overlay_xattrs_dropped);
		return true;
	}
	if (!a->o.devices || a->o.drop_devices) {
		apply_count(a, &a->st.devices_dropped);
		return true;
	}
	return false;
}

int apply_put_node(struct apply *a, const struct tar_entry *e)
{
	struct node n = { .fd = -1, .dirfd = a->parent->fd, .name = apply_base(a) };
	mode_t kind = e->type == TAR_FIFO ? S_IFIFO : e->type == TAR_CHAR ? S_IFCHR : S_IFBLK;
	dev_t dev = e->type == TAR_FIFO ? 0 : makedev(e->dev_major, e->dev_minor);
	if (node_left_out(a, e))
		return a->form == APPLY_MERGED ? apply_make_room(a, n.name)
					       : overlay_whiteout(a, n.name);
	int r = mknodat(n.dirfd, n.name, kind | (e->mode & 0777), dev) < 0 ? -errno : 0;
	if (r == -EEXIST) {
		r = apply_make_room(a, n.name);
		if (r < 0)
			return r;
		r = mknodat(n.dirfd, n.name, kind | (e->mode & 0777), dev) < 0 ? -errno : 0;
	}
	if (r < 0 && e->type != TAR_FIFO && a->o.ignore_device) {
		apply_count(a, &a->st.devices_failed);
		return 0;
	}
	if (r < 0)
		return err_set(
			a->e, r,
			"%s: cannot make the device node: %s (--no-devices, --ignore-failed=device)",
			quoted(buf_span(&a->path)), err_word(r));
	r = name_meta(a, &n, e);
	return r == 0 ? apply_mark(a, n.name) : r;
}
