/* System calls newer than the headers we may be built with. */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/base.h"

/* The same numbers on every architecture since the tables were unified (Linux 5.1). */
enum { NR_CLOSE_RANGE = 436, NR_OPENAT2 = 437, NR_FCHMODAT2 = 452 };

struct how {
	uint64_t flags, mode, resolve;
};

int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct how how = { flags, mode, resolve };
	long fd = syscall(NR_OPENAT2, dirfd, path, &how, sizeof(how));
	return fd < 0 ? -errno : (int)fd;
}

int sys_fchmodat2(int dirfd, const char *path, mode_t mode, int flags)
{
	return syscall(NR_FCHMODAT2, dirfd, path, mode, flags) < 0 ? -errno : 0;
}

static void close_one(int fd, unsigned flags)
{
	if (flags & CLOSE_RANGE_CLOEXEC)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	else
		close(fd);
}

int sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	if (syscall(NR_CLOSE_RANGE, first, last, flags) == 0)
		return 0;
	if (errno != ENOSYS && errno != EPERM && errno != EINVAL)
		return -errno;
	struct rlimit limit;
	unsigned most = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < (1u << 20)
				? (unsigned)limit.rlim_max
				: 1u << 20;
	for (unsigned fd = first; fd <= MIN(last, most); fd++)
		close_one((int)fd, flags);
	return 0;
}
