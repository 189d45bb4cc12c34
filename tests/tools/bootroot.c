/*
 * Plays a machine that has just booted into its initramfs: runs a shell whose root directory is the kernel's own first root,
 * which has no parent mount and cannot be pivoted away.
 *
 *	bootroot DIR COMMANDS    by DIR/bin/busybox; $1 is where DIR is seen from there
 *
 * Ends as the commands did, and with 77 where the kernel's first root cannot be reached (as in a container, whose manager has
 * pivoted it away). Built static by the suite.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void need(int failed, int status, const char *what)
{
	if (failed) {
		perror(what);
		exit(status);
	}
}

int main(int argc, char **argv)
{
	char base[64], shell[96];
	int tree, ns, st = 0;
	pid_t child;

	if (argc != 3)
		return 64;
	need(unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 77, "mount namespace");
	tree = (int)syscall(SYS_open_tree, AT_FDCWD, argv[1], 1 | O_CLOEXEC | AT_RECURSIVE); /* OPEN_TREE_CLONE */
	need(tree < 0, 77, "open_tree");
	ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	need(ns < 0 || umount2("/", MNT_DETACH), 77, "the root stays");
	need(setns(ns, CLONE_NEWNS), 71, "setns");
	snprintf(base, sizeof(base), "/obt.%d", (int)getpid());
	snprintf(shell, sizeof(shell), "%s/bin/busybox", base);
	need(mkdir(base, 0755), 77, base);
	if (!syscall(SYS_move_mount, tree, "", AT_FDCWD, base, 4)) { /* MOVE_MOUNT_F_EMPTY_PATH */
		child = fork();
		if (!child) {
			execle(shell, "sh", "-c", argv[2], "sh", base, (char *)NULL, (char *[]){ NULL });
			_exit(127);
		}
		need(child < 0 || waitpid(child, &st, 0) < 0, 71, "fork");
		umount2(base, MNT_DETACH);
	} else {
		st = 71 << 8;
	}
	rmdir(base);
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}
