/* Names of an archive, cleaned, and the open directories into which they lead. */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"

enum { LINKS_MAX = 40 };

int apply_fail(struct apply *a, int code, const char *what)
{
	const char *name = a->path.n ? quoted(buf_span(&a->path)) : "/";
	return err_set(a->e, code, "%s: %s", name, what ? what : err_word(code));
}

int apply_fail_errno(struct apply *a, const char *what)
{
	int code = -errno;
	const char *name = a->path.n ? quoted(buf_span(&a->path)) : "/";
	return err_set(a->e, code, "%s: %s: %s", name, what, err_word(code));
}

/* Appends the components of name without ".", with ".." cut off at the root; lexical: ".." takes
 * away what is before it. */
static int clean(struct apply *a, struct span name, bool lexical)
{
	unsigned depth = 0, max = a->o.max_depth ? a->o.max_depth : 4096;
	size_t real = 0; /* components that are no ".." */
	struct span part;
	buf_clear(&a->path);
	a->base = 0;
	a->dotdot = false;
	while (span_cut(&name, '/', &part)) {
		if (part.n == 0 || span_is(part, "."))
			continue;
		if (span_is(part, "..")) {
			if (!real)
				continue;
			if (lexical) {
				a->path.n = a->base ? a->base - 1 : 0;
				size_t slash = span_rfind(buf_span(&a->path), '/');
				a->base = slash == a->path.n ? 0 : slash + 1;
				real--;
				depth--;
				continue;
			}
			a->dotdot = true;
		} else {
			real++;
		}
		if (part.n > 255)
			return apply_fail(a, -ENAMETOOLONG, NULL);
		if (++depth > max)
			return err_set(a->e, E_TOOBIG,
				       "%s…: more than %u directories deep (--max-depth)",
				       quoted(buf_span(&a->path)), max);
		if (a->path.n)
			buf_addc(&a->path, '/');
		a->base = a->path.n;
		buf_add_span(&a->path, part);
	}
	buf_str(&a->path);
	return 0;
}

int apply_name(struct apply *a, struct span name)
{
	struct span last = name;
	int r = clean(a, name, false);
	if (r < 0 || !a->dotdot)
		return r;
	/* "a/.." names no entry of its own: it is what it says. */
	last = span_tail(buf_span(&a->path), a->base);
	return span_is(last, "..") ? clean(a, name, true) : 0;
}

const char *apply_base(const struct apply *a)
{
	return a->path.n ? (const char *)a->path.p + a->base : "";
}

static struct span parent_of(const struct apply *a)
{
	return span_of(a->path.p, a->base ? a->base - 1 : 0);
}

void parent_unref(struct parent *p)
{
	if (p && --p->refs == 0)
		fd_close(steal_fd(&p->fd));
}

void apply_forget(struct apply *a)
{
	parent_unref(a->parent);
	a->parent = NULL;
}

static void remember(struct apply *a, int fd, const struct stat *st, struct span path)
{
	apply_forget(a);
	struct parent *p = a->parents;
	while (p->refs)
		p++;
	/* A directory of another group, or with setgid, may hand that group to what is made in it.
	 */
	*p = (struct parent){
		.fd = fd, .refs = 1, .ino = st->st_ino, .own_gid = st->st_gid == a->egid
	};
	a->parent = p;
	a->parent_stale = false;
	buf_clear(&a->parent_path);
	buf_add_span(&a->parent_path, path);
}

void apply_enter(struct apply *a, int fd, const struct stat *st)
{
	buf_clear(&a->parent_canon);
	if (a->path.n == 0 || !a->dotdot)
		remember(a, fd, st, buf_span(&a->path));
	else
		fd_close(fd);
}

static int make_parents(struct apply *a, struct span path, unsigned links);

/* What stands in a missing directory's place is a link to what does not exist: that is made. */
static int make_link_target(struct apply *a, int at, const char *name, struct span path,
			    unsigned links)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(at, name, target, sizeof(target));
	if (n < 0)
		return errno == EINVAL ? -ENOTDIR : -errno;
	if (n == sizeof(target) || links >= LINKS_MAX)
		return -ELOOP;
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	size_t slash = span_rfind(path, '/');
	if (target[0] != '/' && slash != path.n)
		buf_add(&text, path.p, slash + 1);
	buf_add(&text, target, (size_t)n);
	return make_parents(a, buf_span(&text), links + 1);
}

/* A directory that no entry announced: 0755, ours, with the time of the entry that needs it. */
static int make_implied(struct apply *a, int at, const char *name, struct span path, unsigned links)
{
	if (mkdirat(at, name, 0755) < 0)
		return errno == EEXIST ? make_link_target(a, at, name, path, links) : -errno;
	_cleanup_(fd_closep) int fd =
		openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	int r = apply_note_dir(a, path,
			       &(struct dir_note){ .ino = st.st_ino, .mtime = a->implied_mtime });
	if (r < 0)
		return r;
	a->st.dirs++;
	return steal_fd(&fd);
}

/* Makes what is missing of the directories of path; the last one's descriptor. */
static int make_parents(struct apply *a, struct span path, unsigned links)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	_cleanup_(fd_closep) int at = fcntl(a->rootfd, F_DUPFD_CLOEXEC, 3);
	struct span rest = path, part;
	bool missing = false;
	while (at >= 0 && rest.p && span_cut(&rest, '/', &part)) {
		if (!part.n || span_is(part, "."))
			continue;
		if (text.n)
			buf_addc(&text, '/');
		buf_add_span(&text, part);
		/* The walker knows where ".." may lead. */
		missing = missing && !span_is(part, "..");
		int fd = missing ? -ENOENT
				 : walk_open(a->rootfd, buf_str(&text), O_PATH | O_DIRECTORY, 0);
		if (fd == -ENOENT) {
			_cleanup_(freep) char *name = span_dup(part);
			missing = true;
			fd = make_implied(a, at, name, buf_span(&text), links);
		}
		if (fd < 0)
			return fd;
		fd_close(at);
		at = fd;
	}
	return at < 0 ? -errno : steal_fd(&at);
}

static int open_merged(struct apply *a, struct span path)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	buf_add_span(&text, path);
	int fd = walk_open(a->rootfd, path.n ? buf_str(&text) : ".", O_PATH | O_DIRECTORY, 0);
	if (fd != -ENOENT)
		return fd;
	if (!a->dotdot)
		return make_parents(a, path, 0);
	/* "a/../x" where there is no a: the name says where it belongs. */
	_cleanup_(freep) char *name = span_dup(buf_span(&a->path));
	int r = clean(a, span_str(name), true);
	return r < 0 ? r : make_parents(a, parent_of(a), 0);
}

static void use_canon(struct apply *a)
{
	if (!a->parent_canon.n)
		return;
	_cleanup_(freep) char *base = xstrdup(apply_base(a));
	buf_clear(&a->path);
	buf_add_span(&a->path, buf_span(&a->parent_canon));
	if (!span_is(buf_span(&a->path), "."))
		buf_addc(&a->path, '/');
	else
		buf_clear(&a->path);
	a->base = a->path.n;
	buf_adds(&a->path, base);
	buf_str(&a->path);
	a->dotdot = false;
}

static bool is_cached(const struct apply *a)
{
	return a->parent && !a->parent_stale && span_eq(parent_of(a), buf_span(&a->parent_path));
}

static int take_parent(struct apply *a, int fd, struct span path)
{
	struct stat st;
	if (fd == -ENOTDIR)
		return apply_fail(a, E_FORMAT, "its parent is not a directory");
	if (fd < 0)
		return err_set(a->e, fd, "%s: cannot open its directory: %s",
			       quoted(buf_span(&a->path)), err_word(fd));
	if (fstat(fd, &st) < 0) {
		fd_close(fd);
		return apply_fail_errno(a, "fstat");
	}
	remember(a, fd, &st, path);
	return 0;
}

int apply_parent(struct apply *a)
{
	if (!is_cached(a)) {
		struct span path = parent_of(a);
		_cleanup_(freep) char *raw = span_dup(path);
		buf_clear(&a->parent_canon);
		int fd = a->form == APPLY_MERGED ? open_merged(a, path) : overlay_parent(a, path);
		int r = take_parent(a, fd, span_str(raw));
		if (r < 0)
			return r;
	}
	use_canon(a);
	return 0;
}

int apply_parent_if_there(struct apply *a)
{
	if (is_cached(a))
		return 1;
	_cleanup_(freep) char *path = span_dup(parent_of(a));
	int fd = walk_open(a->rootfd, path, O_PATH | O_DIRECTORY, 0);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	int r = take_parent(a, fd, span_str(path));
	return r < 0 ? r : 1;
}

void target_release(struct target *t)
{
	if (!t->borrowed)
		fd_close(t->fd);
	buf_release(&t->text);
}

/* Most links are to a neighbour: no need to walk. */
static bool is_in_parent(const struct apply *a, struct span target)
{
	struct span dir = buf_span(&a->parent_path);
	if (a->parent_stale || target.n <= dir.n ||
	    (dir.n && (target.p[dir.n] != '/' || memcmp(target.p, dir.p, dir.n) != 0)))
		return false;
	struct span last = span_tail(target, dir.n ? dir.n + 1 : 0);
	return last.n && !span_is(last, ".") && !span_is(last, "..") &&
	       span_find(last, '/') == last.n;
}

int apply_target(struct apply *a, struct span target, struct target *t)
{
	*t = (struct target){ .fd = -1 };
	buf_add_span(&t->text, target);
	if (a->form != APPLY_MERGED)
		return overlay_link_target(a, t);
	if (is_in_parent(a, target)) {
		t->fd = a->parent->fd;
		t->borrowed = true;
		t->name = buf_str(&t->text) + (a->parent_path.n ? a->parent_path.n + 1 : 0);
		return 0;
	}
	struct span last;
	int r = walk_parent(a->rootfd, buf_str(&t->text), &t->fd, &last);
	if (r < 0)
		return r;
	t->name = ".";
	if (last.p >= t->text.p && last.p < t->text.p + t->text.n) {
		/* Trailing slashes are not part of it. */
		t->text.n = (size_t)(last.p - t->text.p) + last.n;
		t->name = buf_str(&t->text) + (t->text.n - last.n);
	}
	return 0;
}
