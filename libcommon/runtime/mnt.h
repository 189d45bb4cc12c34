/*
 * Mounts as objects: made detached, attached to a descriptor, so that no path is walked twice.
 *
 * On kernels before 5.12 (no mount_setattr), and where a filter hides the new calls, a struct mnt
 * only remembers what to mount, and mnt_attach does it by mount(2) on the descriptor's name in
 * /proc/self/fd.
 */
#ifndef OCIBOX_RUNTIME_MNT_H
#define OCIBOX_RUNTIME_MNT_H

#include "libcommon/base.h"

enum { /* linux/mount.h, which cannot be included beside sys/mount.h everywhere */
       MNT_RDONLY = 0x1,
       MNT_NOSUID = 0x2,
       MNT_NODEV = 0x4,
       MNT_NOEXEC = 0x8,
};
struct mnt {
	int fd; /* the detached mount; classic: what is to be bound, or -1 */
	bool bind, recursive;
	unsigned attrs;	 /* MNT_ */
	char fstype[16]; /* classic */
	char *data;	 /* classic: its options */
};
#define MNT_INIT ((struct mnt){ .fd = -1 })
void mnt_release(struct mnt *m);
/* A new file system; options is "key=value,flag", values without commas. */
int mnt_fs(struct mnt *m, const char *fstype, const char *options, unsigned attrs);
/* The same by steps, for options that hold anything: descriptor of a configuration or -errno; 0 or
 * -errno. Not on old kernels. */
int mnt_fs_open(const char *fstype);
int mnt_fs_set(int fs, const char *key, const char *value);
int mnt_fs_make(struct mnt *m, int fs, unsigned attrs);
/* What stands at path below dirfd ("" dirfd itself; a last link is followed only with follow), with
 * all below it where recursive. */
int mnt_bind(struct mnt *m, int dirfd, const char *path, bool follow, bool recursive,
	     unsigned attrs);
/* Attaches it over name in dirfd (a link is not followed). *out, where asked, becomes an O_PATH
 * descriptor of what is mounted. */
int mnt_attach(struct mnt *m, int dirfd, const char *name, int *out);
/* Sets attributes of an attached mount whose root fd is. */
int mnt_set(int fd, unsigned attrs, bool recursive);
/* What is mounted over "/": "/" itself names what lies below. */
#define MNT_OVER_ROOT "/.."
bool mnt_is_classic(void);
/* Tests force mount(2). */
extern bool mnt_classic;

#endif
