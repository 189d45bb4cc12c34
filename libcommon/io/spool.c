/* Where things wait that come too early: unlinked files on a disk. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "libcommon/io.h"

int spool_dir(void)
{
	const char *dir = getenv("TMPDIR");
	if (dir && *dir)
		return dir_open(AT_FDCWD, dir);
	int fd = dir_open(AT_FDCWD, "/var/tmp");
	return fd >= 0 ? fd : dir_open(AT_FDCWD, "/tmp");
}

bool spool_dir_is_disk(void)
{
	enum { TMPFS = 0x01021994, RAMFS = (int)0x858458f6 };
	_cleanup_(fd_closep) int fd = spool_dir();
	struct statfs fs;
	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return false;
	return (int)fs.f_type != TMPFS && (int)fs.f_type != RAMFS;
}

int spool_open(void)
{
	_cleanup_(fd_closep) int dir = spool_dir();
	if (dir == -ENOENT || dir == -ENOTDIR)
		return E_TMPDIR;
	return dir < 0 ? dir : tmp_unlinked(dir);
}
