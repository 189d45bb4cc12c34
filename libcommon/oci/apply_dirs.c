/* Directories; and what is set on them last, when nothing is put into them any more. */
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"

/* Followed by path_n bytes of path, value_n bytes of ACL, and the length of the whole, for reading
 * backwards. */
struct dir_record {
	uint64_t ino;
	int64_t sec;
	uint32_t nsec;
	uint32_t mode;
	uint32_t path_n;
	uint32_t value_n;
	bool mode_last, is_acl;
};
enum { VALUE_MAX = 64 * 1024 };

static int add_record(struct apply *a, const struct dir_record *rec, struct span path,
		      struct span value)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	unsigned char small[sizeof(*rec) + 512 + 4];
	uint32_t n = (uint32_t)(sizeof(*rec) + path.n + value.n + 4);
	unsigned char *p = small;
	if (n > sizeof(small)) {
		buf_reserve(&b, n);
		p = b.p;
	}
	memcpy(p, rec, sizeof(*rec));
	memcpy(p + sizeof(*rec), path.p, path.n);
	if (value.n)
		memcpy(p + sizeof(*rec) + path.n, value.p, value.n);
	memcpy(p + n - 4, &n, 4);
	return spill_add(&a->dirs, a->rootfd, p, n);
}

int apply_note_dir(struct apply *a, struct span path, const struct dir_note *d)
{
	struct dir_record rec;
	memset(&rec, 0, sizeof(rec));
	rec.ino = d->ino;
	rec.sec = d->mtime.sec;
	rec.nsec = d->mtime.nsec;
	rec.mode = d->mode;
	rec.mode_last = d->mode_last;
	rec.path_n = (uint32_t)path.n;
	a->some_modes |= d->mode_last;
	return add_record(a, &rec, path, span_of("", 0));
}

int apply_note_acl_at(struct apply *a, struct span path, ino_t ino, struct span value)
{
	struct dir_record rec;
	if (value.n > VALUE_MAX)
		return -ERANGE;
	memset(&rec, 0, sizeof(rec));
	rec.ino = ino;
	rec.is_acl = true;
	rec.path_n = (uint32_t)path.n;
	rec.value_n = (uint32_t)value.n;
	return add_record(a, &rec, path, value);
}

int apply_note_acl(struct apply *a, ino_t ino, struct span value)
{
	int r = apply_note_acl_at(a, buf_span(&a->path), ino, value);
	return r < 0 ? apply_fail(a, r, "cannot note its default ACL") : 0;
}

/* ---- a directory's entry
 * ------------------------------------------------------------------------------------------- */

/* Makes it, or finds it there; *found. What is no directory gives way; *replaced. */
static int make_dir(struct apply *a, const char *base, uint32_t mode, bool *found, bool *replaced)
{
	if (mkdirat(a->parent->fd, base, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return apply_fail_errno(a, "cannot make the directory");
	struct stat st;
	if (fstatat(a->parent->fd, base, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return apply_fail_errno(a, "fstat");
	if (S_ISDIR(st.st_mode)) {
		*found = true;
		return 0;
	}
	int r = apply_make_room(a, base);
	if (r < 0)
		return r;
	*replaced = true;
	return mkdirat(a->parent->fd, base, mode) < 0
		       ? apply_fail_errno(a, "cannot make the directory")
		       : 0;
}

static int dir_meta(struct apply *a, const struct node *n, const struct tar_entry *e,
		    const struct stat *st, bool found)
{
	uint32_t want = apply_mode(a, e), lent = a->o.defer_modes ? want | 0700 : want;
	bool chown = a->o.same_owner && (e->uid != st->st_uid || e->gid != st->st_gid);
	struct dir_note note = {
		.ino = st->st_ino, .mtime = e->mtime, .mode = want, .mode_last = lent != want
	};
	int r = found ? apply_clear_xattrs(a, n->fd, e) : 0;
	if (r == 0 && chown)
		r = apply_owner(a, n, e->uid, e->gid);
	if (r == 0 && ((st->st_mode & 07777) != lent || (chown && (lent & 06000))) &&
	    fchmod(n->fd, lent) < 0)
		r = apply_fail_errno(a, "cannot set its mode");
	if (r == 0) {
		r = apply_note_dir(a, buf_span(&a->path), &note);
		if (r < 0)
			apply_fail(a, r, NULL);
	}
	return r < 0 ? r : apply_xattrs(a, n, e, true);
}

int apply_put_dir(struct apply *a, const struct tar_entry *e)
{
	const char *base = apply_base(a);
	bool found = false, replaced = false;
	int r = make_dir(a, base, (e->mode & 01777) | (a->o.defer_modes ? 0700 : 0), &found,
			 &replaced);
	if (r < 0)
		return r;
	_cleanup_(fd_closep) int fd =
		openat(a->parent->fd, base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return apply_fail_errno(a, "cannot open the directory");
	r = dir_meta(a, &(struct node){ .fd = fd }, e, &st, found);
	if (r == 0 && replaced && a->form != APPLY_MERGED)
		r = overlay_mark_opaque(a, fd);
	if (r == 0)
		r = apply_mark(a, base);
	if (r < 0)
		return r;
	a->st.dirs++;
	/* With setgid it hands its new group to what is made in it. */
	if (a->o.same_owner)
		st.st_gid = (gid_t)e->gid;
	apply_enter(a, steal_fd(&fd), &st);
	return 0;
}

int apply_put_root(struct apply *a, const struct tar_entry *e)
{
	if (e->type != TAR_DIR)
		return apply_fail(a, E_UNSAFE_PATH, "the root of a layer can only be a directory");
	struct stat st;
	if (fstat(a->rootfd, &st) < 0)
		return apply_fail_errno(a, "fstat");
	/* Owner and mode come last: until then nobody else can look inside. */
	a->root_seen = true;
	a->root_mode = apply_mode(a, e);
	a->root_uid = a->o.same_owner ? (uid_t)e->uid : a->euid;
	a->root_gid = a->o.same_owner ? (gid_t)e->gid : a->egid;
	int r = apply_clear_xattrs(a, a->rootfd, e);
	if (r == 0)
		r = apply_note_dir(a, span_of("", 0),
				   &(struct dir_note){ .ino = st.st_ino, .mtime = e->mtime });
	return r < 0 ? r : apply_xattrs(a, &(struct node){ .fd = a->rootfd }, e, true);
}

/* ---- the end
 * -------------------------------------------------------------------------------------------------------------
 */

struct replay {
	struct set64 acls;  /* directories that got a default ACL */
	struct set64 modes; /* directories whose last word was seen, backwards */
	struct spill_view view;
	struct buf path;
	struct buf value;
};

static void replay_release(struct replay *rp)
{
	set64_release(&rp->acls);
	set64_release(&rp->modes);
	buf_release(&rp->view.window);
	buf_release(&rp->path);
	buf_release(&rp->value);
}

static int read_record(struct replay *rp, uint64_t at, struct dir_record *rec)
{
	int r = spill_view_read(&rp->view, at, rec, sizeof(*rec));
	if (r < 0)
		return r;
	buf_clear(&rp->path);
	buf_clear(&rp->value);
	buf_reserve(&rp->path, rec->path_n);
	buf_reserve(&rp->value, rec->value_n);
	r = spill_view_read(&rp->view, at + sizeof(*rec), rp->path.p, rec->path_n);
	if (r == 0 && rec->value_n)
		r = spill_view_read(&rp->view, at + sizeof(*rec) + rec->path_n, rp->value.p,
				    rec->value_n);
	rp->path.n = rec->path_n;
	rp->value.n = rec->value_n;
	return r;
}

/* The directory of a record, if that is what still stands there; else -1. */
static int open_recorded(struct apply *a, const struct dir_record *rec, struct replay *rp)
{
	struct stat st;
	_cleanup_(fd_closep) int fd = walk_open(a->rootfd, rec->path_n ? buf_str(&rp->path) : ".",
						O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != rec->ino)
		return -1;
	return steal_fd(&fd);
}

static int replay_fail(struct apply *a, const struct replay *rp, const char *what)
{
	int code = -errno;
	return err_set(a->e, code, "%s: %s: %s", quoted(buf_span(&rp->path)), what, err_word(code));
}

static int replay_acl(struct apply *a, struct replay *rp, int fd, uint64_t ino)
{
	set64_add(&rp->acls, ino);
	if (fsetxattr(fd, "system.posix_acl_default", rp->value.p, rp->value.n, 0) == 0)
		return 0;
	int r = -errno;
	buf_clear(&a->path);
	buf_add_span(&a->path, buf_span(&rp->path));
	return apply_acl_failed(a, &(struct node){ .fd = fd }, r, buf_span(&rp->value),
				"system.posix_acl_default");
}

static int replay_one(struct apply *a, struct replay *rp, const struct dir_record *rec)
{
	_cleanup_(fd_closep) int fd = open_recorded(a, rec, rp);
	if (fd < 0)
		return 0;
	if (rec->is_acl)
		return replay_acl(a, rp, fd, rec->ino);
	/* The entry of an upper layer says all anew. */
	if (set64_has(&rp->acls, rec->ino) && fremovexattr(fd, "system.posix_acl_default") < 0 &&
	    errno != ENODATA)
		return replay_fail(a, rp, "cannot remove the default ACL of the layer below");
	struct timespec ts = { .tv_sec = (time_t)rec->sec, .tv_nsec = rec->nsec };
	if (futimens(fd, (struct timespec[2]){ ts, ts }) < 0)
		return replay_fail(a, rp, "cannot set its time");
	return 0;
}

static int replay_forward(struct apply *a, struct replay *rp)
{
	struct dir_record rec;
	uint64_t end = spill_size(&a->dirs);
	for (uint64_t at = 0; at < end; at += sizeof(rec) + rec.path_n + rec.value_n + 4) {
		int r = read_record(rp, at, &rec);
		if (r == 0)
			r = replay_one(a, rp, &rec);
		if (r < 0)
			return err_set(a->e, r, "what was noted of directories: %s", err_word(r));
	}
	return 0;
}

static size_t depth_of(struct span path)
{
	size_t n = path.n != 0;
	for (size_t i = 0; i < path.n; i++)
		n += path.p[i] == '/';
	return n;
}

/* Through a directory of this mode its owner cannot go. */
static bool shuts(const struct dir_record *rec)
{
	return (rec->mode & 0500) != 0500;
}

/* Which of the directories whose modes were lent more are to be looked at: those that let their owner
 * through, or those at one depth that do not. */
struct modes_pass {
	size_t depth; /* 0: the first */
	size_t next;  /* then: the deepest that is less deep */
};

static bool in_pass(struct modes_pass *p, const struct dir_record *rec, size_t depth)
{
	bool is = p->depth ? shuts(rec) && depth == p->depth : !shuts(rec);
	if (shuts(rec) && (!p->depth || depth < p->depth))
		p->next = MAX(p->next, depth);
	return is;
}

/* From the last record to the first: the last word of each directory counts. */
static int replay_modes_pass(struct apply *a, struct replay *rp, struct modes_pass *p)
{
	struct dir_record rec;
	set64_clear(&rp->modes);
	for (uint64_t end = spill_size(&a->dirs); end;) {
		uint32_t n;
		int r = spill_view_read(&rp->view, end - 4, &n, 4);
		end -= n;
		if (r == 0)
			r = read_record(rp, end, &rec);
		if (r < 0)
			return err_set(a->e, r, "what was noted of directories: %s", err_word(r));
		if (rec.is_acl || !set64_add(&rp->modes, rec.ino) || !rec.mode_last ||
		    !in_pass(p, &rec, depth_of(buf_span(&rp->path))))
			continue;
		_cleanup_(fd_closep) int fd = open_recorded(a, &rec, rp);
		if (fd >= 0 && fchmod(fd, rec.mode) < 0)
			return replay_fail(a, rp, "cannot set its mode");
	}
	return 0;
}

/* Modes that were lent more. Directories that shut out even their owner come last, the deepest
 * first: their order in the layers may be any. */
static int replay_modes(struct apply *a, struct replay *rp)
{
	struct modes_pass p = { 0 };
	int r;
	do {
		p = (struct modes_pass){ .depth = p.next };
		r = replay_modes_pass(a, rp, &p);
	} while (r == 0 && p.next);
	return r;
}

int apply_replay_dirs(struct apply *a)
{
	_cleanup_(replay_release) struct replay rp = { .view.s = &a->dirs };
	int r = spill_flush(&a->dirs);
	if (r < 0)
		return err_set(a->e, r, "what was noted of directories: %s", err_word(r));
	r = replay_forward(a, &rp);
	return r == 0 && a->some_modes ? replay_modes(a, &rp) : r;
}
