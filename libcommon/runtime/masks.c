/*
 * Paths that a program must not read, or not write (runtime-spec config-linux.md, "Masked Paths",
 * "Readonly Paths"), although it is root inside: what they show or change is the host's.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/runtime/mnt.h"
#include "libcommon/runtime/private.h"

/* Below our own /proc and /sys no link leads astray; elsewhere the walker finds the place. */
static int locate(const struct setup *s, const char *path, int *dirfd, const char **name, int *own)
{
	static const struct {
		const char *prefix;
		size_t n;
	} known[] = { { "/proc/", 6 }, { "/sys/", 5 } };
	const int fds[] = { s->proc, s->sys };
	struct span last;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(known); i++) {
		if (strncmp(path, known[i].prefix, known[i].n) || !path[known[i].n])
			continue;
		*dirfd = fds[i];
		*name = path + known[i].n;
		return fds[i] < 0 ? -ENOENT : 0;
	}
	r = walk_parent(s->root, path, own, &last);
	*dirfd = *own;
	*name = (const char *)last.p;
	return r ? r : (*name)[last.n] ? -EINVAL : 0;
}

static int cover_dir(struct setup *s, int dirfd, const char *name)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	int r;

	if (s->empty >= 0)
		r = mnt_bind(&m, s->empty, "", false, false, 0);
	else
		r = mnt_fs(&m, "tmpfs", "mode=755,size=0,nr_inodes=1",
			   MNT_RDONLY | MNT_NOSUID | MNT_NODEV | MNT_NOEXEC);
	return r ? r : mnt_attach(&m, dirfd, name, s->empty >= 0 ? NULL : &s->empty);
}

static int cover_file(struct setup *s, int dirfd, const char *name)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	int r = mnt_bind(&m, s->dev, "null", false, false, 0);

	return r ? r : mnt_attach(&m, dirfd, name, NULL);
}

static int mask(struct setup *s, const char *path)
{
	_cleanup_(fd_closep) int own = -1;
	const char *name;
	struct stat st;
	int dirfd;
	int r = locate(s, path, &dirfd, &name, &own);

	if (!r && fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		r = -errno;
	if (!r)
		r = S_ISDIR(st.st_mode) ? cover_dir(s, dirfd, name) : cover_file(s, dirfd, name);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	return r ? err_set(s->e, r, "cannot mask %s: %s", quoted_str(path), err_word(r)) : 0;
}

static int make_readonly(struct setup *s, const char *path)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	_cleanup_(fd_closep) int own = -1;
	const char *name;
	int dirfd;
	int r = locate(s, path, &dirfd, &name, &own);

	if (!r)
		r = mnt_bind(&m, dirfd, name, false, true, MNT_RDONLY);
	if (!r)
		r = mnt_attach(&m, dirfd, name, NULL);
	if (r == -ENOENT || r == -ENOTDIR)
		return 0;
	return r ? err_set(s->e, r, "cannot make %s read-only: %s", quoted_str(path), err_word(r))
		 : 0;
}

/* Bare metal only: one directory a processor. */
static int mask_thermal(struct setup *s)
{
	char path[80];
	int r = 0;

	for (unsigned cpu = 0; !r; cpu++) {
		snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%u/thermal_throttle", cpu);
		if (s->sys < 0 || faccessat(s->sys, path + 5, F_OK, AT_SYMLINK_NOFOLLOW))
			return 0;
		r = mask(s, path);
	}
	return r;
}

static bool is_below_sys(const char *path)
{
	return !strncmp(path, "/sys/", 5);
}

int masks_apply(struct setup *s, bool below_sys)
{
	const char *const *masked = s->c->masked ? s->c->masked : oci_masked_paths;
	const char *const *fixed = s->c->readonly_paths ? s->c->readonly_paths : oci_readonly_paths;
	int r = 0;

	for (size_t i = 0; !r && masked[i]; i++)
		if (is_below_sys(masked[i]) == below_sys)
			r = mask(s, masked[i]);
	for (; !r && *fixed; fixed++)
		if (is_below_sys(*fixed) == below_sys)
			r = make_readonly(s, *fixed);
	return r || !below_sys || !masked[0] ? r : mask_thermal(s);
}
