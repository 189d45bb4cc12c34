/* Owners, modes, extended attributes and times of what was made. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"

#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#endif
#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

void apply_count_name(struct apply *a, uint64_t *counter, struct span name)
{
	++*counter;
	if (!a->st.first_failed[0])
		snprintf(a->st.first_failed, sizeof(a->st.first_failed), "%s", quoted(name));
}

void apply_count(struct apply *a, uint64_t *counter)
{
	apply_count_name(a, counter, buf_span(&a->path));
}

uint32_t apply_mode(struct apply *a, const struct tar_entry *e)
{
	if (a->o.clear_setid && (e->mode & 06000) && e->type != TAR_SYMLINK) {
		apply_count(a, &a->st.setid_cleared);
		return e->mode & 01777;
	}
	return e->mode & 07777;
}

int apply_owner(struct apply *a, const struct node *n, uint64_t uid, uint64_t gid)
{
	int r = n->fd >= 0
			? fchown(n->fd, (uid_t)uid, (gid_t)gid)
			: fchownat(n->dirfd, n->name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW);
	if (r == 0)
		return 0;
	if (a->o.ignore_owner) {
		apply_count(a, &a->st.owners_failed);
		return 0;
	}
	r = -errno;
	return err_set(
		a->e, r,
		"%s: cannot give it to %llu:%llu: %s (--no-same-owner, --ignore-failed=owner)",
		quoted(buf_span(&a->path)), (unsigned long long)uid, (unsigned long long)gid,
		r == -EINVAL ? "that id has no mapping in this user namespace" : err_word(r));
}

void apply_timespec(const struct tar_entry *e, struct timespec ts[2])
{
	const struct tar_time *at = e->has_atime ? &e->atime : &e->mtime;
	ts[0] = (struct timespec){ .tv_sec = (time_t)at->sec, .tv_nsec = (long)at->nsec };
	ts[1] = (struct timespec){ .tv_sec = (time_t)e->mtime.sec, .tv_nsec = (long)e->mtime.nsec };
}

int apply_times(struct apply *a, const struct node *n, const struct tar_entry *e)
{
	struct timespec ts[2];
	apply_timespec(e, ts);
	int r = n->fd >= 0 ? futimens(n->fd, ts)
			   : utimensat(n->dirfd, n->name, ts, AT_SYMLINK_NOFOLLOW);
	return r < 0 ? apply_fail_errno(a, "cannot set its time") : 0;
}

/* linux/xattr.h */
struct xattr_args {
	uint64_t value;
	uint32_t size, flags;
};

/* Of a symlink or device node: without /proc only from the directory that holds it. */
static int xattr_set_by_name(const struct node *n, const char *name, struct span value)
{
	struct xattr_args args = { .value = (uint64_t)(uintptr_t)value.p,
				   .size = (uint32_t)value.n };
	if (syscall(SYS_setxattrat, n->dirfd, n->name, AT_SYMLINK_NOFOLLOW, name, &args,
		    sizeof(args)) == 0)
		return 0;
	if (errno != ENOSYS && errno != EPERM)
		return -errno;
	/* The working directory is the process's; nothing else of ours looks at it. */
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_mutex_lock(&lock);
	_cleanup_(fd_closep) int before = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r = before < 0 || fchdir(n->dirfd) < 0 ||
				lsetxattr(n->name, name, value.p, value.n, 0) < 0
			? -errno
			: 0;
	if (before >= 0 && fchdir(before) < 0 && r == 0)
		r = -errno;
	pthread_mutex_unlock(&lock);
	return r;
}

int xattr_set(const struct node *n, const char *name, struct span value)
{
	if (n->fd < 0)
		return xattr_set_by_name(n, name, value);
	return fsetxattr(n->fd, name, value.p, value.n, 0) < 0 ? -errno : 0;
}

static bool is_overlays_own(struct span name)
{
	return span_starts(name, "trusted.overlay.") || span_starts(name, "user.overlay.");
}

/*
 * A file capability as it stands in an image: version 2, or 3, whose user namespace is that of
 * whoever made the image: it becomes 2, and the kernel makes it one of our namespace.
 */
static int capability_value(struct span in, unsigned char out[20], struct span *value)
{
	if (in.n != 20 && in.n != 24)
		return E_FORMAT;
	if (in.p[3] != (in.n == 20 ? 2 : 3))
		return E_FORMAT;
	memcpy(out, in.p, 20);
	out[3] = 2;
	*value = span_of(out, 20);
	return 0;
}

static int xattr_failed(struct apply *a, int r, struct span name)
{
	if (a->o.ignore_xattr) {
		apply_count(a, &a->st.xattrs_failed);
		return 0;
	}
	const char *why = r == -EOPNOTSUPP ? "the file system has none of the kind"
			  : r == E_FORMAT  ? "malformed value"
					   : err_word(r);
	return err_set(a->e, r, "%s: cannot set %s: %s (--no-xattrs, --ignore-failed=xattr)",
		       quoted(buf_span(&a->path)), quoted(name), why);
}

/* The permissions that an ACL's entry of that tag gives; 7 where there is none. */
static unsigned acl_perm(struct span acl, unsigned tag)
{
	for (size_t i = 4; i + 8 <= acl.n; i += 8)
		if (acl.p[i] == tag && acl.p[i + 1] == 0)
			return acl.p[i + 2] & 7;
	return 7;
}

int apply_acl_failed(struct apply *a, const struct node *n, int r, struct span acl,
		     const char *name)
{
	enum { TAG_GROUP_OBJ = 4 };
	struct stat st;
	if (r != -EINVAL || a->o.same_owner)
		return xattr_failed(a, r, span_str(name));
	/* Ids that do not exist where all is the caller's: left out as owners are, and the group
	 * gets no more than it had. */
	apply_count(a, &a->st.xattrs_failed);
	unsigned group = acl_perm(acl, TAG_GROUP_OBJ);
	if (strcmp(name, "system.posix_acl_access") != 0 || n->fd < 0 || fstat(n->fd, &st) < 0 ||
	    !(st.st_mode & 070 & ~(group << 3)))
		return 0;
	return fchmod(n->fd, st.st_mode & 07777 & ~(070 & ~(group << 3))) < 0
		       ? apply_fail_errno(a, "cannot set its mode")
		       : 0;
}

static int put_xattr(struct apply *a, const struct node *n, const struct tar_xattr *x)
{
	unsigned char capability[20];
	struct span value = x->value;
	char name[256];
	int r = 0;
	if (x->name.n >= sizeof(name))
		return xattr_failed(a, -ERANGE, x->name);
	memcpy(name, x->name.p, x->name.n);
	name[x->name.n] = '\0';
	if (span_is(x->name, "security.capability"))
		r = capability_value(x->value, capability, &value);
	if (r == 0)
		r = xattr_set(n, name, value);
	if (r < 0 && span_starts(x->name, "system.posix_acl_"))
		return apply_acl_failed(a, n, r, value, name);
	return r < 0 ? xattr_failed(a, r, x->name) : 0;
}

/* Also keeps the one ACL that has to wait: what a directory hands to its children. */
static int put_default_acl(struct apply *a, const struct node *n, struct span value)
{
	struct stat st;
	if (fstat(n->fd, &st) < 0)
		return apply_fail_errno(a, "fstat");
	return apply_note_acl(a, st.st_ino, value);
}

static int put_acl(struct apply *a, const struct node *n, const struct tar_xattr *x, bool dir)
{
	bool dflt = span_is(x->name, "SCHILY.acl.default");
	if (!dflt && !span_is(x->name, "SCHILY.acl.access"))
		return xattr_failed(a, E_UNSUPPORTED, x->name);
	_cleanup_(buf_release) struct buf value = BUF_INIT;
	struct err why = { 0 };
	/* Names are looked up in the tree's files. */
	int r = writer_drain(a);
	if (r < 0)
		return r;
	r = acl_from_text(a->rootfd, x->value, &value, &why);
	if (r < 0 && a->o.ignore_xattr) {
		apply_count(a, &a->st.xattrs_failed);
		return 0;
	}
	if (r < 0)
		return err_set(a->e, r, "%s: ACL %s: %s (--no-xattrs, --ignore-failed=xattr)",
			       quoted(buf_span(&a->path)), quoted(x->value), why.text);
	if (dflt && !dir)
		return xattr_failed(a, E_FORMAT, x->name);
	if (dflt)
		return put_default_acl(a, n, buf_span(&value));
	r = xattr_set(n, "system.posix_acl_access", buf_span(&value));
	return r < 0 ? apply_acl_failed(a, n, r, buf_span(&value), "system.posix_acl_access") : 0;
}

int apply_xattrs(struct apply *a, const struct node *n, const struct tar_entry *e, bool dir)
{
	if (!a->o.xattrs)
		return 0;
	int r = 0;
	for (size_t i = 0; i < e->xattrs_n && r == 0; i++) {
		const struct tar_xattr *x = &e->xattrs[i];
		if (is_overlays_own(x->name))
			apply_count(a, &a->st.overlay_xattrs_dropped);
		else if (dir && span_is(x->name, "system.posix_acl_default"))
			r = put_default_acl(a, n, x->value);
		else
			r = put_xattr(a, n, x);
	}
	for (size_t i = 0; i < e->acls_n && r == 0; i++)
		r = put_acl(a, n, &e->acls[i], dir);
	return r;
}

static bool carries(const struct tar_entry *e, struct span name)
{
	for (size_t i = 0; i < e->xattrs_n; i++)
		if (span_eq(e->xattrs[i].name, name))
			return true;
	return false;
}

int apply_clear_xattrs(struct apply *a, int fd, const struct tar_entry *e)
{
	if (!a->o.xattrs)
		return 0;
	ssize_t n = flistxattr(fd, NULL, 0);
	if (n <= 0)
		return 0;
	_cleanup_(freep) char *names = xmalloc((size_t)n);
	n = flistxattr(fd, names, (size_t)n);
	for (char *name = names; n > 0 && name < names + n; name += strlen(name) + 1) {
		struct span s = span_str(name);
		if (is_overlays_own(s) || span_is(s, "security.selinux") || carries(e, s))
			continue;
		if (fremovexattr(fd, name) < 0 && errno != ENODATA && !a->o.ignore_xattr)
			return apply_fail_errno(a, "cannot remove an xattr of the layer below");
	}
	return 0;
}
