/* Descriptors and whole files. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/io.h"

void fd_close(int fd)
{
	if (fd < 0)
		return;
	int saved = errno;
	close(fd);
	errno = saved;
}

void fd_closep(int *fd)
{
	fd_close(*fd);
}

int fd_write_all(int fd, const void *p, size_t n)
{
	for (const char *q = p; n;) {
		ssize_t r = write(fd, q, n);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		q += r;
		n -= (size_t)r;
	}
	return 0;
}

int fd_pwrite_all(int fd, const void *p, size_t n, uint64_t offset)
{
	for (const char *q = p; n;) {
		ssize_t r = pwrite(fd, q, n, (off_t)offset);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		q += r;
		n -= (size_t)r;
		offset += (uint64_t)r;
	}
	return 0;
}

ssize_t fd_read_full(int fd, void *p, size_t n)
{
	size_t have = 0;
	while (have < n) {
		ssize_t r = read(fd, (char *)p + have, n - have);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		have += (size_t)r;
	}
	return (ssize_t)have;
}

ssize_t fd_pread_full(int fd, void *p, size_t n, uint64_t offset)
{
	size_t have = 0;
	while (have < n) {
		ssize_t r = pread(fd, (char *)p + have, n - have, (off_t)(offset + have));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			break;
		have += (size_t)r;
	}
	return (ssize_t)have;
}

int fd_read_all(int fd, size_t max, struct buf *b)
{
	size_t start = b->n;
	/* Most are small, and memory that was never touched costs more than copying them. */
	char small[2048];
	for (;;) {
		size_t room = b->cap > b->n ? b->cap - b->n - 1 : 0;
		bool direct = room >= sizeof(small);
		ssize_t r = direct ? read(fd, b->p + b->n, room) : read(fd, small, sizeof(small));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return 0;
		if (direct)
			b->n += (size_t)r;
		else
			buf_add(b, small, (size_t)r);
		if (b->n - start > max)
			return E_TOOBIG;
		if ((size_t)r >= sizeof(small))
			buf_reserve(b, MIN(b->n * 2, (size_t)256 << 10));
	}
}

int file_read(int dirfd, const char *path, bool follow, size_t max, struct buf *b)
{
	_cleanup_(fd_closep) int fd =
		openat(dirfd, path,
		       O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (follow ? 0 : O_NOFOLLOW));
	if (fd < 0)
		return -errno;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode) && !follow)
		return E_UNSUPPORTED;
	if (!S_ISREG(
		    st.st_mode)) /* what the user named himself may be a pipe of his shell: wait for its bytes */
		fcntl(fd, F_SETFL, 0);
	return fd_read_all(fd, max, b);
}

int file_replace(int dirfd, const char *name, struct span contents, mode_t mode, bool sync)
{
	char tmp[300], prefix[290];
	snprintf(prefix, sizeof(prefix), ".%.250s.", name);
	int fd = -EEXIST;
	for (int tries = 0; fd == -EEXIST && tries < 100; tries++) {
		tmp_name(prefix, tmp, sizeof(tmp));
		fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
		if (fd < 0)
			fd = -errno;
	}
	if (fd < 0)
		return fd;
	int r = fd_write_all(fd, contents.p, contents.n);
	if (r == 0 && sync && fsync(fd) < 0)
		r = -errno;
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		unlinkat(dirfd, tmp, 0);
	else if (sync && fsync(dirfd) < 0)
		r = -errno;
	return r;
}

int fd_lock(int fd, bool exclusive, bool wait)
{
	int op = (exclusive ? LOCK_EX : LOCK_SH) | (wait ? 0 : LOCK_NB);
	while (flock(fd, op) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int dir_open(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int fd_sync_fs(int fd)
{
	return syncfs(fd) < 0 ? -errno : 0;
}
