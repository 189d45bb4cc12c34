/*
 * The floor of a container's start: what a plain C program takes to do what ns-run does, and no more.
 *
 *	floor bare ROOTFS PROG [ARG...]         the namespaces, pivot_root, /proc, execve
 *	floor full FILTER ROOTFS PROG [ARG...]  the same mounts as ns-run's default, the filter, capabilities, hostname
 *	floor dump PID FILE                     writes the seccomp filter that PID runs under (needs CAP_SYS_ADMIN)
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif
#define CAPS 0x00000000a80425fbULL
#define CHECK(x) do { if ((x) < 0) { perror(#x); _exit(125); } } while (0)

static struct sock_filter filter[4096];
static struct sock_fprog prog = { 0, filter };

static void lo_up(void)
{
	struct ifreq r = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(ioctl(s, SIOCSIFFLAGS, &r));
	close(s);
}

static void dev_nodes(void)
{
	static const struct { const char *path; int minor, major; } node[] = {
		{ "dev/null", 3, 1 }, { "dev/zero", 5, 1 }, { "dev/full", 7, 1 },
		{ "dev/random", 8, 1 }, { "dev/urandom", 9, 1 }, { "dev/tty", 0, 5 },
	};
	CHECK(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
	/* devices work in these mounts alone */
	for (size_t i = 0; i < sizeof(node) / sizeof(node[0]); i++) {
		CHECK(mknod(node[i].path, S_IFCHR | 0666, makedev(node[i].major, node[i].minor)));
		CHECK(mount(node[i].path, node[i].path, NULL, MS_BIND, NULL));
	}
	CHECK(mount(NULL, "dev", NULL, MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV, NULL));
	CHECK(mkdir("dev/pts", 0755));
	CHECK(mkdir("dev/shm", 01777));
	CHECK(mkdir("dev/mqueue", 0755));
	CHECK(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
	CHECK(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k"));
	CHECK(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL));
	CHECK(symlink("pts/ptmx", "dev/ptmx"));
	CHECK(symlink("/proc/self/fd", "dev/fd"));
	CHECK(symlink("/proc/self/fd/0", "dev/stdin"));
	CHECK(symlink("/proc/self/fd/1", "dev/stdout"));
	CHECK(symlink("/proc/self/fd/2", "dev/stderr"));
}

static void mask(void)
{
	static const char *const masked[] = { "proc/acpi", "proc/asound", "proc/kcore", "proc/keys", "proc/latency_stats",
		"proc/timer_list", "proc/timer_stats", "proc/sched_debug", "proc/scsi", "sys/firmware",
		"sys/devices/virtual/powercap", "proc/interrupts" };
	static const char *const readonly[] = { "proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger" };
	struct stat st;

	for (size_t i = 0; i < sizeof(masked) / sizeof(*masked); i++) {
		if (stat(masked[i], &st))
			continue;
		if (S_ISDIR(st.st_mode))
			CHECK(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "size=0k"));
		else
			CHECK(mount("dev/null", masked[i], NULL, MS_BIND, NULL));
	}
	for (size_t i = 0; i < sizeof(readonly) / sizeof(*readonly); i++) {
		if (stat(readonly[i], &st))
			continue;
		CHECK(mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL));
		CHECK(mount(NULL, readonly[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL));
	}
}

static void drop(void)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = { 0 };

	for (int i = 0; i < 64 && prctl(PR_CAPBSET_READ, i) >= 0; i++)
		if (!(CAPS >> i & 1))
			CHECK(prctl(PR_CAPBSET_DROP, i));
	d[0].effective = d[0].permitted = (uint32_t)CAPS;
	d[1].effective = d[1].permitted = (uint32_t)(CAPS >> 32);
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(syscall(SYS_capset, &h, d));
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog));
}

static void child(const char *root, int full, char **argv)
{
	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK(mount(root, root, NULL, MS_BIND | MS_REC, NULL));
	CHECK(chdir(root));
	if (full)
		CHECK(mount(NULL, ".", NULL, MS_BIND | MS_REMOUNT | MS_NODEV, NULL));
	CHECK(mount("proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL));
	if (full) {
		dev_nodes();
		CHECK(mount("sysfs", "sys", "sysfs", MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL));
		mask();
		CHECK(sethostname("floor", 5));
		lo_up();
	}
	CHECK(syscall(SYS_pivot_root, ".", "."));
	CHECK(umount2(".", MNT_DETACH));
	CHECK(chdir("/"));
	if (full) {
		setsid();
		CHECK(syscall(SYS_close_range, 3, ~0U, 4));
		drop();
	}
	char *env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL };
	execve(argv[0], argv, env);
	_exit(127);
}

static int dump(pid_t pid, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644), st;
	CHECK(ptrace(PTRACE_SEIZE, pid, 0, 0));
	CHECK(ptrace(PTRACE_INTERRUPT, pid, 0, 0));
	CHECK(waitpid(pid, &st, __WALL));
	long n = ptrace(0x420c /* PTRACE_SECCOMP_GET_FILTER */, pid, 0, filter);
	CHECK(n);
	CHECK(write(fd, filter, n * sizeof(*filter)));
	return 0;
}

int main(int argc, char **argv)
{
	struct clone_args a = { .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET |
					 CLONE_NEWCGROUP | CLONE_VFORK, .exit_signal = SIGCHLD };
	int st, full = argc > 1 && !strcmp(argv[1], "full");

	if (argc == 4 && !strcmp(argv[1], "dump"))
		return dump(atoi(argv[2]), argv[3]);
	if (argc < 4 + full)
		return 64;
	if (full) {
		int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
		ssize_t n = read(fd, filter, sizeof(filter));
		CHECK(n);
		prog.len = n / sizeof(*filter);
	}
	long pid = syscall(SYS_clone3, &a, sizeof(a));
	CHECK(pid);
	if (!pid)
		child(argv[2 + full], full, argv + 3 + full);
	CHECK(waitpid(pid, &st, 0));
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}
