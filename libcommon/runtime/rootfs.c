/*
 * The container's root: attached where we are, entered by pivot_root(2), and the old one let go.
 *
 * It is attached over "/": that covers nothing for us (paths start below it) and needs no directory
 * to mount on.
 */
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/runtime/mnt.h"
#include "libcommon/runtime/private.h"

enum { ATTR_MOUNT_ROOT = 0x2000 };

/* From a chroot back to the root of our mount namespace, where pivot_root(2) works: without that, a
 * program with CAP_SYS_CHROOT could walk out. */
static int leave_chroot(void)
{
	_cleanup_(fd_closep) int self = (int)syscall(NR_PIDFD_OPEN, getpid(), 0);

	if (self < 0)
		self = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	return self < 0 || setns(self, CLONE_NEWNS) ? -errno : 0;
}

/* What we mount must not come to light outside. In a chroot "/" is no mount whose propagation could
 * be changed. */
static int make_private(void)
{
	_cleanup_(fd_closep) int root = -1;
	_cleanup_(fd_closep) int here = -1;
	int r = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ? -errno : 0;

	if (r != -EINVAL)
		return r;
	root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || here < 0)
		return -errno;
	r = leave_chroot();
	if (!r)
		r = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ? -errno : 0;
	return r ? r : fchdir(root) || chroot(".") || fchdir(here) ? -errno : 0;
}

int rootfs_attach(struct setup *s)
{
	const char *path = s->c->rootfs;
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	int r = make_private();

	if (r)
		return err_set(s->e, r, "cannot make the mounts private: %s", err_word(r));
	if (s->c->lowers)
		return overlay_attach(s->c, &s->root, s->e);
	r = mnt_bind(&m, AT_FDCWD, path, true, true, MNT_NODEV);
	if (!r)
		r = mnt_attach(&m, AT_FDCWD, "/", &s->root);
	return r ? err_set(s->e, r, "%s: cannot mount the root: %s", quoted_str(path), err_word(r))
		 : 0;
}

/* Whether we are in a chroot: its root is (as good as always) no mount of its own. Where the kernel does
 * not tell, it may be one. */
static bool in_chroot(void)
{
	struct statx st;

	return statx(AT_FDCWD, "/", 0, 0, &st) || !(st.stx_attributes_mask & ATTR_MOUNT_ROOT) ||
	       !(st.stx_attributes & ATTR_MOUNT_ROOT);
}

/* The initramfs cannot be pivoted away: it stays, covered, without the file systems that were
 * mounted in it. What covers the root of all mounts is itself the end of every "..". */
static int cover_initramfs(int root)
{
	static const char *const dirs[] = { "/proc", "/sys", "/dev", "/run", "/tmp" };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		umount2(dirs[i], MNT_DETACH | UMOUNT_NOFOLLOW);
	return fchdir(root) || chroot(".") || chdir("/") ? -errno : 0;
}

static int pivot(int root)
{
	return fchdir(root) || syscall(SYS_pivot_root, ".", ".") ? -errno : 0;
}

int rootfs_enter(struct setup *s)
{
	int r = pivot(s->root);

	if (r == -EINVAL && in_chroot() && !leave_chroot())
		r = pivot(s->root);
	/* EBUSY: leaving what was no chroot led to the topmost mount, which is the new root. */
	if (r == -EINVAL || r == -EBUSY) {
		r = r == -EINVAL ? cover_initramfs(s->root) : chdir("/") ? -errno : 0;
		return r ? err_set(s->e, r, "cannot cover the old root: %s", err_word(r)) : 0;
	}
	if (r)
		return err_set(s->e, r, "cannot change the root: %s", err_word(r));
	if (umount2(".", MNT_DETACH) || chdir("/"))
		return err_set(s->e, -errno, "cannot let go of the old root: %s", err_word(-errno));
	return 0;
}
