/* Removing trees, and names and files that are temporary. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "libcommon/io.h"

/* Directories held open at once; what lies deeper is first moved up to the top, so that any depth can be removed. */
enum { DEPTH_MAX = 48 };

struct removal {
	int top;
	bool moved; /* something was moved up into top: read it again */
};

static int empty_directory(struct removal *rm, int fd, unsigned depth);

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* xdev: what is mounted there may be a stranger's, bound into the tree, and is not entered. */
static int open_directory(int dirfd, const char *name, bool xdev)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = xdev ? -ENOSYS : sys_openat2(dirfd, name, flags, 0, RESOLVE_NO_XDEV);
	if (fd == -EXDEV)
		return -EBUSY;
	/* Old kernels, and old container runtimes. */
	if (fd != -ENOSYS && fd != -EPERM)
		return fd;
	fd = openat(dirfd, name, flags);
	return fd < 0 ? -errno : fd;
}

/* Opens a directory of ours that may lack permissions, lending them to itself. */
static int open_for_removal(int dirfd, const char *name, bool xdev)
{
	int fd = open_directory(dirfd, name, xdev);
	if (fd == -EACCES && sys_fchmodat2(dirfd, name, 0700, AT_SYMLINK_NOFOLLOW) == 0)
		fd = open_directory(dirfd, name, xdev);
	return fd;
}

static int remove_directory(struct removal *rm, int dirfd, const char *name, unsigned depth)
{
	if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (depth >= DEPTH_MAX) {
		char up[64];
		tmp_name(".remove-", up, sizeof(up));
		rm->moved = true;
		return renameat(dirfd, name, rm->top, up) < 0 ? -errno : 0;
	}
	_cleanup_(fd_closep) int fd = open_for_removal(dirfd, name, false);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	struct stat st;
	if (fstat(fd, &st) == 0 && (st.st_mode & 0300) != 0300)
		fchmod(fd, 0700);
	int r = empty_directory(rm, fd, depth + 1);
	if (r < 0)
		return r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

static int remove_entry(struct removal *rm, int dirfd, const char *name, unsigned depth,
			bool known_directory)
{
	if (!known_directory) {
		if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
			return 0;
		if (errno != EISDIR && errno != EPERM)
			return -errno;
		int saved = errno;
		struct stat st;
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 0 : -errno;
		if (!S_ISDIR(st.st_mode))
			return -saved;
	}
	return remove_directory(rm, dirfd, name, depth);
}

static int empty_directory(struct removal *rm, int fd, unsigned depth)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	_cleanup_(closedirp) DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		int r = -errno;
		fd_close(copy);
		return r;
	}
	/* File systems may skip names when a directory shrinks under its reader: read again until nothing is left. */
	for (bool again = true; again;) {
		again = false;
		rewinddir(d);
		for (struct dirent *e; (e = readdir(d));) {
			if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
				continue;
			int r = remove_entry(rm, fd, e->d_name, depth, e->d_type == DT_DIR);
			if (r < 0)
				return r;
			again = true;
		}
	}
	return 0;
}

int tree_empty(int dirfd)
{
	struct removal rm = { .top = dirfd };
	int r;
	do {
		rm.moved = false;
		r = empty_directory(&rm, dirfd, 0);
	} while (r == 0 && rm.moved);
	return r;
}

int tree_remove(int dirfd, const char *name)
{
	struct stat st;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode))
		return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
	_cleanup_(fd_closep) int fd = open_for_removal(dirfd, name, true);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	if ((st.st_mode & 0300) != 0300)
		fchmod(fd, 0700);
	int r = tree_empty(fd);
	if (r < 0)
		return r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

void tmp_name(const char *prefix, char *out, size_t n)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
	unsigned char r[10];
	char tail[sizeof(r) + 1];
	random_bytes(r, sizeof(r));
	for (size_t i = 0; i < sizeof(r); i++)
		tail[i] = letters[r[i] & 31];
	tail[sizeof(r)] = '\0';
	snprintf(out, n, "%s%s", prefix, tail);
}

int tmp_unlinked(int dirfd)
{
	int fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	for (int tries = 0; tries < 100; tries++) {
		char name[64];
		tmp_name(".tmp-", name, sizeof(name));
		fd = openat(dirfd, name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0) {
			unlinkat(dirfd, name, 0);
			return fd;
		}
		if (errno != EEXIST)
			break;
	}
	return -errno;
}
