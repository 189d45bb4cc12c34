/*
 * The file that pid 1 runs from: a copy in memory that can neither be written nor replaced (T40).
 */
#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/runtime/mnt.h"
#include "libcommon/runtime/private.h"

static const unsigned char image[] = {
#include "pid1.h"
};

enum { MEMFD_EXEC = 0x10 };

static int in_memfd(void)
{
	_cleanup_(fd_closep) int fd =
		memfd_create("pid1", MFD_CLOEXEC | MFD_ALLOW_SEALING | MEMFD_EXEC);
	int r;

	/* Before Linux 6.3 the flag is unknown, and what it says is the default. */
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create("pid1", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, image, sizeof(image));
	if (!r && fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE))
		r = -errno;
	return r ? r : steal_fd(&fd);
}

/* Where executable memory files are forbidden (vm.memfd_noexec): a file on a tmpfs of its own,
 * which turns read-only and hangs in the container's /dev only as long as old kernels need that to
 * write to it. */
static int in_tmpfs(struct setup *s)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	_cleanup_(fd_closep) int root = -1;
	_cleanup_(fd_closep) int fd = -1;
	int r = mkdirat(s->dev, ".pid1", 0700) ? -errno : 0;

	if (!r)
		r = mnt_fs(&m, "tmpfs", "mode=755,size=64k", MNT_NOSUID | MNT_NODEV);
	if (!r)
		r = mnt_attach(&m, s->dev, ".pid1", &root);
	if (r)
		return r;
	fd = openat(root, "pid1", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0555);
	if (fd < 0)
		return -errno;
	r = fd_write_all(fd, image, sizeof(image));
	fd_close(steal_fd(&fd));
	if (!r)
		r = mnt_set(root, MNT_RDONLY, false);
	if (r)
		return r;
	fd = openat(root, "pid1", O_PATH | O_CLOEXEC);
	if (fd < 0 || fchdir(root) || umount2(".", MNT_DETACH) || chdir("/") ||
	    unlinkat(s->dev, ".pid1", AT_REMOVEDIR))
		return -errno;
	return steal_fd(&fd);
}

int pid1_open(struct setup *s)
{
	int fd = in_memfd();

	if (fd < 0)
		fd = in_tmpfs(s);
	return fd < 0 ? err_set(s->e, fd, "cannot prepare pid 1: %s", err_word(fd)) : fd;
}
