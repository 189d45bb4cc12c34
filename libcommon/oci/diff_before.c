/* The tree before, from directories. */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/oci/diff.h"

struct before_tree {
	struct before b;
	struct tree t;
	unsigned char ours[65536], theirs[65536];
};

static struct tree *tree_of(struct before *b)
{
	return &((struct before_tree *)b)->t;
}

static int dir_enter(struct before *b, const char *name)
{
	return tree_enter(tree_of(b), name);
}

static void dir_leave(struct before *b)
{
	tree_leave(tree_of(b));
}

static bool dir_present(struct before *b)
{
	return tree_present(tree_of(b));
}

static struct names_source dir_names(struct before *b)
{
	return tree_names(tree_of(b));
}

static int dir_look(struct before *b, const char *name, struct stat *st)
{
	return tree_look(tree_of(b), name, st);
}

/* The descriptor of the directory that holds the name. */
static int holder(struct tree *t, const char *name)
{
	struct stat st;
	int r = tree_look(t, name, &st);

	return r < 0 ? r : r ? tree_dirfd(t, t->which) : -ENOENT;
}

/* Of the tree before: code is negative. */
static int raced(struct tree *t, int code, const char *name)
{
	return is_raced(-code)
		       ? tree_fail(t, E_TRY_LATER, name, "it was replaced while it was read")
		       : tree_fail(t, code, name, NULL);
}

static int dir_target(struct before *b, const char *name, struct buf *out)
{
	struct tree *t = tree_of(b);
	int fd = holder(t, name);
	char text[PATH_MAX];
	ssize_t n = fd < 0 ? fd : readlinkat(fd, name, text, sizeof(text));

	if (n < 0)
		return raced(t, fd < 0 ? fd : -errno, name);
	buf_add(out, text, (size_t)n);
	return 0;
}

static int dir_xattrs(struct before *b, const char *name, struct xattrs *x)
{
	struct tree *t = tree_of(b);
	int fd = holder(t, name);

	return fd < 0 ? raced(t, fd, name) : xattrs_read(fd, name, name, x, b->e);
}

/* libc's memcmp, which is to say which is less, looks at each byte. */
static bool same_bytes(const unsigned char *a, const unsigned char *b, size_t n)
{
	uint64_t differ = 0, x[4], y[4];

	for (; n >= sizeof(x) && !differ; n -= sizeof(x), a += sizeof(x), b += sizeof(x)) {
		memcpy(x, a, sizeof(x));
		memcpy(y, b, sizeof(y));
		differ = (x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]);
	}
	return !differ && !memcmp(a, b, n);
}

static int dir_same(struct before *b, const char *name, int ours, uint64_t size)
{
	struct before_tree *bt = (struct before_tree *)b;
	int fd = holder(&bt->t, name);
	_cleanup_(fd_closep) int theirs =
		fd < 0 ? -1 : openat(fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat a, z;

	if (theirs < 0)
		return raced(&bt->t, fd < 0 ? fd : -errno, name);
	int r = tree_check_file(&bt->t, theirs, name);
	if (r < 0)
		return r;
	if (fstat(ours, &a) == 0 && fstat(theirs, &z) == 0 && a.st_dev == z.st_dev &&
	    a.st_ino == z.st_ino)
		return 1;
	for (uint64_t at = 0; at < size;) {
		ssize_t x = fd_pread_full(ours, bt->ours, sizeof(bt->ours), at);
		ssize_t y = fd_pread_full(theirs, bt->theirs, sizeof(bt->theirs), at);
		if (x < 0 || y < 0)
			return tree_fail(&bt->t, x < 0 ? (int)x : (int)y, name, NULL);
		b->read += (uint64_t)x + (uint64_t)y;
		if (x != y || !same_bytes(bt->ours, bt->theirs, (size_t)x))
			return 0;
		if (!x)
			break;
		at += (uint64_t)x;
	}
	return 1;
}

static struct tree *dir_dirs(struct before *b)
{
	return tree_of(b);
}

static void dir_close(struct before *b)
{
	tree_release(tree_of(b));
	free(b);
}

static const struct before_ops dir_ops = {
	.enter = dir_enter,
	.leave = dir_leave,
	.present = dir_present,
	.names = dir_names,
	.look = dir_look,
	.target = dir_target,
	.xattrs = dir_xattrs,
	.same = dir_same,
	.dirs = dir_dirs,
	.close = dir_close,
};

int before_from_dirs(const int *dirs, size_t n, enum overlay_marks marks, struct before **out,
		     struct err *e)
{
	struct before_tree *bt = xcalloc(1, sizeof(*bt));
	int r;

	bt->b.ops = &dir_ops;
	bt->b.e = e;
	bt->t.marks = marks;
	r = tree_open(&bt->t, dirs, (unsigned)n, e);
	if (r < 0) {
		before_close(&bt->b);
		return r;
	}
	*out = &bt->b;
	return 0;
}

void before_close(struct before *b)
{
	if (b)
		b->ops->close(b);
}
