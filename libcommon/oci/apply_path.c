/* Names of an archive, cleaned, and the open directories into which they lead. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"

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

int apply_name(struct apply *a, struct span name)
{
	return entry_name_set(&a->name, name, a->o.max_depth, a->e);
}

const char *apply_base(const struct apply *a)
{
	return entry_name_base(&a->name);
}

static struct span parent_of(const struct apply *a)
{
	return entry_name_parent(&a->name);
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
	remember(a, fd, st, buf_span(&a->path));
}

/* "a/../x" where there is no a: the name says where it belongs. Elsewhere ".." is what chroot has. */
static int settle_dotdot(struct apply *a)
{
	int fd = view_parent(a, parent_of(a), false);
	a->parent_stale = true;
	if (fd != -ENOENT) {
		fd_close(fd);
		return 0;
	}
	_cleanup_(freep) char *name = span_dup(buf_span(&a->path));
	return entry_name_lexical(&a->name, span_str(name), a->o.max_depth, a->e);
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

static int find_parent(struct apply *a, bool make)
{
	/* A directory on the way may be about to become a file; where ".." leads is known on the
	 * disk only. */
	int r = a->dotdot || writer_holds_above(a, parent_of(a)) ? writer_drain(a) : 0;
	if (r == 0 && a->dotdot)
		r = settle_dotdot(a);
	if (r < 0)
		return r;
	if (!is_cached(a)) {
		_cleanup_(freep) char *path = span_dup(parent_of(a));
		int fd = view_parent(a, span_str(path), make);
		if (!make && (fd == -ENOENT || fd == -ENOTDIR))
			return 0;
		r = take_parent(a, fd, span_str(path));
		if (r < 0)
			return r;
	}
	use_canon(a);
	return 1;
}

int apply_parent(struct apply *a)
{
	return MIN(find_parent(a, true), 0);
}

int apply_parent_if_there(struct apply *a)
{
	return find_parent(a, false);
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
