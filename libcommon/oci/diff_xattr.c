/* Extended attributes as they go into a layer: sorted, those of overlayfs and of this host left out, file capabilities of version 2. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libcommon/oci/diff.h"

#ifndef SYS_getxattrat
#define SYS_getxattrat 464
#endif
#ifndef SYS_listxattrat
#define SYS_listxattrat 465
#endif

enum { LIST_MAX = 64 << 10, VALUE_MAX = 64 << 10 };

/* linux/xattr.h */
struct xattr_args {
	uint64_t value;
	uint32_t size, flags;
};

/* The working directory is the process's; nothing else of ours looks at it meanwhile. */
static pthread_mutex_t cwd_lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t from_within(int dirfd, const char *file, const char *name, char *out, size_t n)
{
	pthread_mutex_lock(&cwd_lock);
	_cleanup_(fd_closep) int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ssize_t r = before < 0 || fchdir(dirfd) < 0 ? -1
		    : name			    ? lgetxattr(file, name, out, n)
						    : llistxattr(file, out, n);
	if (r < 0)
		r = -errno;
	if (before >= 0 && fchdir(before) < 0 && r >= 0)
		r = -errno;
	pthread_mutex_unlock(&cwd_lock);
	return r;
}

static ssize_t read_one(int dirfd, const char *file, const char *name, void *out, size_t n)
{
	struct xattr_args args = { .value = (uint64_t)(uintptr_t)out, .size = (uint32_t)n };
	ssize_t r;

	if (!file) {
		r = fgetxattr(dirfd, name, out, n);
		return r < 0 ? -errno : r;
	}
	r = syscall(SYS_getxattrat, dirfd, file, AT_SYMLINK_NOFOLLOW, name, &args, sizeof(args));
	if (r < 0 && (errno == ENOSYS || errno == EPERM))
		return from_within(dirfd, file, name, out, n);
	return r < 0 ? -errno : r;
}

static ssize_t list(int dirfd, const char *file, char *out, size_t n)
{
	ssize_t r;

	if (!file) {
		r = flistxattr(dirfd, out, n);
		return r < 0 ? -errno : r;
	}
	r = syscall(SYS_listxattrat, dirfd, file, AT_SYMLINK_NOFOLLOW, out, n);
	if (r < 0 && (errno == ENOSYS || errno == EPERM))
		return from_within(dirfd, file, NULL, out, n);
	return r < 0 ? -errno : r;
}

bool overlay_mark(int dirfd, const char *name, enum overlay_marks kind, const char *mark,
		  char *value)
{
	char full[64];

	snprintf(full, sizeof(full), "%s.overlay.%s", kind == MARKS_USER ? "user" : "trusted",
		 mark);
	ssize_t r = read_one(dirfd, name, full, value, 1);
	if (r != 1)
		*value = '\0';
	return r >= 0 || r == -ERANGE;
}

/* What is overlayfs's, this host's or this file system's is no part of the tree. */
static bool wanted(struct span name)
{
	if (span_starts(name, "trusted.overlay.") || span_starts(name, "user.overlay."))
		return false;
	if (span_is(name, "security.selinux") || span_is(name, "security.evm"))
		return false;
	if (span_starts(name, "system."))
		return span_starts(name, "system.posix_acl_");
	return span_starts(name, "user.") || span_starts(name, "security.") ||
	       span_starts(name, "trusted.");
}

/* Version 3 names the root of the user namespace that it counts in: if that is ours, it says what version 2 does. */
static int capability(const char *path, unsigned char *v, size_t *n, struct err *e)
{
	uint32_t root;

	if (*n == 20 && v[3] == 2)
		return 0;
	if (*n != 24 || v[3] != 3)
		return err_set(e, E_UNSUPPORTED,
			       "%s: its security.capability is of no version that a layer may hold",
			       quoted_str(path));
	root = v[20] | (uint32_t)v[21] << 8 | (uint32_t)v[22] << 16 | (uint32_t)v[23] << 24;
	if (root)
		return err_set(
			e, E_UNSUPPORTED,
			"%s: its security.capability belongs to another user namespace, whose root is %u here",
			quoted_str(path), root);
	v[3] = 2;
	*n = 20;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return span_cmp(((const struct tar_xattr *)a)->name, ((const struct tar_xattr *)b)->name);
}

/* The value is at the end of the arena, which still grows: places in it until all are there. */
static void note(struct xattrs *x, size_t value, const char *name)
{
	if (x->n == x->cap) {
		x->cap = x->cap ? 2 * x->cap : 4;
		x->v = xrealloc(x->v, x->cap * sizeof(*x->v));
	}
	x->v[x->n++] = (struct tar_xattr){ { NULL, x->arena.n }, { NULL, value } };
	buf_add(&x->arena, name, strlen(name) + 1);
}

void xattrs_add(struct xattrs *x, struct span name, struct span value)
{
	_cleanup_(freep) char *text = span_dup(name);

	if (!wanted(name))
		return;
	buf_add_span(&x->arena, value);
	note(x, value.n, text);
}

static int add(int dirfd, const char *file, const char *path, const char *name, struct xattrs *x,
	       struct err *e)
{
	size_t at = x->arena.n, n;
	ssize_t r;

	buf_reserve(&x->arena, VALUE_MAX);
	r = read_one(dirfd, file, name, x->arena.p + at, VALUE_MAX);
	if (r == -ENODATA)
		return 0;
	if (r == -EOVERFLOW)
		return err_set(e, E_UNSUPPORTED,
			       "%s: its %s belongs to a user namespace that is not mapped here",
			       quoted_str(path), quoted_str(name));
	if (r < 0)
		return err_set(e, (int)r, "%s: cannot read its %s: %s", quoted_str(path),
			       quoted_str(name), err_word((int)r));
	n = (size_t)r;
	if (strcmp(name, "security.capability") == 0) {
		int bad = capability(path, x->arena.p + at, &n, e);
		if (bad)
			return bad;
	}
	x->arena.n += n;
	note(x, n, name);
	return 0;
}

void xattrs_done(struct xattrs *x)
{
	for (size_t i = 0; i < x->n; i++) {
		size_t name = x->v[i].name.n, value = x->v[i].value.n;
		x->v[i].name = span_str((const char *)x->arena.p + name);
		x->v[i].value = span_of(x->arena.p + name - value, value);
	}
	if (x->n > 1)
		qsort(x->v, x->n, sizeof(*x->v), by_name);
}

int xattrs_read(int dirfd, const char *name, const char *path, struct xattrs *x, struct err *e)
{
	char few[512];
	_cleanup_(freep) char *many = NULL;
	char *names = few;
	ssize_t n = list(dirfd, name, few, sizeof(few));

	x->n = 0;
	buf_clear(&x->arena);
	if (n == -ERANGE) {
		names = many = xmalloc(LIST_MAX);
		n = list(dirfd, name, many, LIST_MAX);
	}
	if (n == -EOPNOTSUPP)
		return 0;
	if (n < 0)
		return err_set(e, (int)n, "%s: cannot list its extended attributes: %s",
			       quoted_str(path), err_word((int)n));
	for (char *p = names; p < names + n; p += strlen(p) + 1) {
		int r = wanted(span_str(p)) ? add(dirfd, name, path, p, x, e) : 0;
		if (r < 0)
			return r;
	}
	xattrs_done(x);
	return 0;
}

bool xattrs_equal(const struct xattrs *a, const struct xattrs *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!span_eq(a->v[i].name, b->v[i].name) || !span_eq(a->v[i].value, b->v[i].value))
			return false;
	return true;
}

void xattrs_release(struct xattrs *x)
{
	buf_release(&x->arena);
	free(x->v);
	*x = (struct xattrs){ 0 };
}
