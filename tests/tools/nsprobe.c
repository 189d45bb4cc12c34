/*
 * Looks at a container from inside, and plays the attacker. Built static by the suites.
 *
 *	nsprobe tiocsti          what the ioctls that type into a terminal answer, also with bits above 32
 *	nsprobe exchange A B     swaps two names for ever
 *	nsprobe overwrite FILE   opens FILE for writing, again and again for a second
 *	nsprobe climb            the old way out of a chroot: chroot below the working directory, then ".." to the end; lists what is there
 *	nsprobe without pidfd_open|setns CMD...    runs CMD where this call is refused, as an old kernel does
 *	nsprobe clone3|vsock|keyctl|newcall    what the calls answer
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

static void say(const char *what, long r)
{
	printf("%s: %s\n", what, r < 0 ? strerrorname_np(errno) : "ok");
}

static void tiocsti(void)
{
	static const unsigned long cmd[] = { 0x5412, 0x541c, 0x100005412, 0xffffffff0000541c, 0x5401 };
	char c[64] = "x";

	for (size_t i = 0; i < sizeof(cmd) / sizeof(cmd[0]); i++) {
		char name[32];

		snprintf(name, sizeof(name), "%#lx", cmd[i]);
		say(name, syscall(SYS_ioctl, 0, cmd[i], c));
	}
}

static int overwrite(const char *path)
{
	time_t end = time(NULL) + 2;

	while (time(NULL) < end) {
		int fd = open(path, O_WRONLY | O_TRUNC);

		if (fd >= 0 && write(fd, "owned", 5) == 5) {
			puts("written");
			return 0;
		}
		if (fd >= 0)
			close(fd);
	}
	say("open", -1);
	return 1;
}

static int climb(void)
{
	DIR *d;

	mkdir("/tmp/climb", 0700);
	if (chroot("/tmp/climb"))
		return 1;
	for (int i = 0; i < 100; i++)
		if (chdir(".."))
			return 1;
	if (chroot(".") || !(d = opendir("/")))
		return 1;
	for (struct dirent *e; (e = readdir(d));)
		puts(e->d_name);
	return 0;
}

static int without(const char *call, char **cmd)
{
	int setns = !strcmp(call, "setns");
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, setns ? SYS_setns : SYS_pidfd_open, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (setns ? EINVAL : ENOSYS)),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = { sizeof(f) / sizeof(f[0]), f };

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &p)) {
		perror("seccomp");
		return 1;
	}
	execvp(*cmd, cmd);
	return 127;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	char cl[88] = { 0 };

	if (!strcmp(what, "tiocsti"))
		tiocsti();
	else if (!strcmp(what, "overwrite"))
		return overwrite(argv[2]);
	else if (!strcmp(what, "climb"))
		return climb();
	else if (!strcmp(what, "without"))
		return without(argv[2], argv + 3);
	else if (!strcmp(what, "clone3"))
		say("clone3", syscall(SYS_clone3, cl, (size_t)1));
	else if (!strcmp(what, "vsock"))
		say("vsock", socket(40, SOCK_STREAM, 0));
	else if (!strcmp(what, "keyctl"))
		say("keyctl", syscall(SYS_keyctl, 0, 0, 0));
	else if (!strcmp(what, "newcall"))
		say("newcall", syscall(1500));
	else if (!strcmp(what, "exchange"))
		for (;;)
			syscall(SYS_renameat2, AT_FDCWD, argv[2], AT_FDCWD, argv[3], 2);
	else
		return 64;
	return 0;
}
