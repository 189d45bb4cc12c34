/* The path walker: what an image or a container names is resolved below a descriptor, as chroot would. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/io.h"

bool walk_without_openat2;

enum { LINKS_MAX = 40, EAGAIN_MAX = 1000 };

/* The fall-back's state: where we are as a list of names without links below the root, and what is still to be walked. */
struct walk {
	int root;
	int at;		  /* descriptor of the directory reached, or -1: the root */
	struct buf trail; /* "a/b/c" reached, without links or dots */
	struct buf rest;  /* still to walk */
	unsigned links;
};

static void walk_release(struct walk *w)
{
	fd_close(w->at);
	buf_release(&w->trail);
	buf_release(&w->rest);
}

static int walk_at(const struct walk *w)
{
	return w->at < 0 ? w->root : w->at;
}

static int enter(struct walk *w, const char *name)
{
	int fd = openat(walk_at(w), name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	fd_close(w->at);
	w->at = fd;
	return 0;
}

/* Goes to the parent by walking the trail again from the root: ".." of a directory that is moved meanwhile could lead out. */
static int leave(struct walk *w)
{
	struct span trail = buf_span(&w->trail);
	size_t slash = span_rfind(trail, '/');
	w->trail.n = slash == trail.n ? 0 : slash;
	fd_close(w->at);
	w->at = -1;
	struct span rest = buf_span(&w->trail), part;
	while (rest.n && span_cut(&rest, '/', &part)) {
		_cleanup_(freep) char *name = span_dup(part);
		int r = enter(w, name);
		if (r < 0)
			return r;
	}
	return 0;
}

static int follow(struct walk *w, const char *name)
{
	char target[PATH_MAX];
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	ssize_t n = readlinkat(walk_at(w), name, target, sizeof(target));
	if (n < 0)
		return -errno;
	if ((size_t)n == sizeof(target))
		return -ENAMETOOLONG;
	if (target[0] == '/') {
		fd_close(w->at);
		w->at = -1;
		buf_clear(&w->trail);
	}
	struct buf rest = BUF_INIT;
	buf_add(&rest, target, (size_t)n);
	if (w->rest.n) {
		buf_addc(&rest, '/');
		buf_add_span(&rest, buf_span(&w->rest));
	}
	buf_release(&w->rest);
	w->rest = rest;
	return 0;
}

/* Cuts the next name off w->rest; NULL at the end. *last: only slashes are left behind it. */
static char *next_name(struct walk *w, bool *last)
{
	struct span rest = buf_span(&w->rest);
	while (rest.n && rest.p[0] == '/')
		rest = span_tail(rest, 1);
	if (!rest.n)
		return NULL;
	size_t n = span_find(rest, '/');
	char *name = span_dup(span_of(rest.p, n));
	rest = span_tail(rest, n);
	size_t slashes = 0;
	while (slashes < rest.n && rest.p[slashes] == '/')
		slashes++;
	*last = slashes == rest.n;
	struct buf left = BUF_INIT;
	buf_add_span(&left, rest);
	buf_release(&w->rest);
	w->rest = left;
	return name;
}

static bool is_link(const struct walk *w, const char *name)
{
	struct stat st;
	return fstatat(walk_at(w), name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

static int open_last(struct walk *w, const char *name, int flags, mode_t mode)
{
	int fd = openat(walk_at(w), name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
	return fd < 0 ? -errno : fd;
}

/* 1 with *fd at the end, 0 to go on, or an error. */
static int step(struct walk *w, const char *name, bool last, int flags, mode_t mode, int *fd)
{
	if (strcmp(name, ".") == 0)
		return 0;
	if (strcmp(name, "..") == 0)
		return w->trail.n ? leave(w) : 0;
	bool slash_behind = last && w->rest.n;
	if (is_link(w, name) && !(last && (flags & O_NOFOLLOW) && !slash_behind))
		return follow(w, name);
	if (last && !slash_behind) {
		*fd = open_last(w, name, flags, mode);
		return *fd < 0 ? *fd : 1;
	}
	int r = enter(w, name);
	if (r < 0)
		return r;
	if (w->trail.n)
		buf_addc(&w->trail, '/');
	buf_adds(&w->trail, name);
	return 0;
}

static int walk_by_component(int rootfd, const char *path, int flags, mode_t mode)
{
	_cleanup_(walk_release) struct walk w = { .root = rootfd, .at = -1 };
	buf_adds(&w.rest, path);
	for (;;) {
		bool last = false;
		_cleanup_(freep) char *name = next_name(&w, &last);
		if (!name)
			return open_last(&w, ".", flags & ~(O_CREAT | O_EXCL), mode);
		int fd = -1;
		int r = step(&w, name, last, flags, mode, &fd);
		if (r < 0)
			return r;
		if (r == 1)
			return fd;
	}
}

int walk_open(int rootfd, const char *path, int flags, mode_t mode)
{
	static atomic_bool missing;
	if (!*path)
		path = ".";
	if (!(flags & (O_CREAT | O_TMPFILE)))
		mode = 0;
	if (!walk_without_openat2 && !atomic_load_explicit(&missing, memory_order_relaxed)) {
		int fd = -EAGAIN;
		/* EAGAIN: something was renamed while ".." was resolved. */
		for (int i = 0; fd == -EAGAIN && i < EAGAIN_MAX; i++)
			fd = sys_openat2(rootfd, path, (uint64_t)(unsigned)(flags | O_CLOEXEC),
					 mode & 07777, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
		if (fd != -ENOSYS && fd != -EPERM)
			return fd;
		/* Old container runtimes answer EPERM to system calls that they do not know. */
		if (fd == -ENOSYS)
			atomic_store_explicit(&missing, true, memory_order_relaxed);
	}
	return walk_by_component(rootfd, path, flags, mode);
}

int walk_parent(int rootfd, const char *path, int *dirfd, struct span *name)
{
	struct span p = span_str(path);
	while (p.n && p.p[p.n - 1] == '/')
		p.n--;
	size_t slash = span_rfind(p, '/');
	struct span last = slash == p.n ? p : span_tail(p, slash + 1);
	bool whole = last.n == 0 || span_is(last, ".") || span_is(last, "..");
	struct span parent = whole ? p : slash == p.n ? span_of("", 0) : span_of(p.p, slash);
	_cleanup_(freep) char *text = span_dup(parent);
	int fd = walk_open(rootfd, *text ? text : ".", O_PATH | O_DIRECTORY, 0);
	if (fd < 0)
		return fd;
	*dirfd = fd;
	*name = whole ? SPAN(".") : last;
	return 0;
}

int walk_mkdirs(int rootfd, const char *path, mode_t mode)
{
	int fd = walk_open(rootfd, path, O_PATH | O_DIRECTORY, 0);
	if (fd != -ENOENT)
		return fd;
	_cleanup_(fd_closep) int parent = -1;
	struct span name;
	/* Makes the parents first: the text in front of the last name. */
	struct span p = span_str(path);
	while (p.n && p.p[p.n - 1] == '/')
		p.n--;
	size_t slash = span_rfind(p, '/');
	if (slash < p.n && slash > 0) {
		_cleanup_(freep) char *above = span_dup(span_of(p.p, slash));
		parent = walk_mkdirs(rootfd, above, mode);
		name = span_tail(p, slash + 1);
		if (parent < 0)
			return parent;
	} else {
		int r = walk_parent(rootfd, path, &parent, &name);
		if (r < 0)
			return r;
	}
	_cleanup_(freep) char *last = span_dup(name);
	if (mkdirat(parent, last, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = walk_open(rootfd, path, O_PATH | O_DIRECTORY, 0);
	return fd;
}
