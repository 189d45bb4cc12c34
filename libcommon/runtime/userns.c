/*
 * Entering a user namespace with a map of ids (user_namespaces(7)).
 *
 * A namespace's maps are written once, by a process with CAP_SETUID and CAP_SETGID in the namespace
 * above, or, for the single id of the caller, by itself. So a child that stays outside writes them
 * (root) or has newuidmap and newgidmap do it (an ordinary user with subordinate ids).
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/runtime/private.h"

int userns_refused(struct err *e, int code)
{
	switch (code) {
	case -EPERM:
	case -EACCES:
		return err_set(
			e, -EPERM,
			"user namespaces are forbidden here; the administrator can allow them "
			"(sysctl kernel.unprivileged_userns_clone=1, or "
			"kernel.apparmor_restrict_unprivileged_userns=0; not possible in a chroot)");
	case -ENOSPC:
	case -EUSERS:
		return err_set(
			e, -EPERM,
			"no more user namespaces are allowed (sysctl user.max_user_namespaces)");
	case -EINVAL:
	case -ENOSYS:
		return err_set(e, -EPERM, "this kernel has no user namespaces (CONFIG_USER_NS)");
	default:
		return err_set(e, code, "cannot make a user namespace: %s", err_word(code));
	}
}

/* Opens a file of /proc/PID for writing; refuses what is not the kernel's procfs. */
static int proc_write(pid_t pid, const char *file, const char *text, size_t n)
{
	_cleanup_(fd_closep) int fd = -1;
	struct statfs fs;
	char path[64];

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	else
		snprintf(path, sizeof(path), "/proc/self/%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) || fs.f_type != PROC_SUPER_MAGIC)
		return -ENOENT;
	return write(fd, text, n) == (ssize_t)n ? 0 : -errno;
}

static int write_map(pid_t pid, const char *file, const struct id_map_entry *map, size_t n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	id_map_text(map, n, ' ', &b);
	return proc_write(pid, file, (const char *)b.p, b.n);
}

/* newuidmap PID INSIDE OUTSIDE COUNT … */
static int run_mapper(const char *program, pid_t pid, const struct id_map_entry *map, size_t n,
		      struct err *e)
{
	char text[ID_MAP_MAX * 3 + 1][16];
	const char *argv[ID_MAP_MAX * 3 + 3];
	struct spawn sp = { .argv = argv, .timeout_ms = 20000, .quiet = false };
	size_t k = 0;
	int status, r;

	argv[0] = program;
	snprintf(text[k++], sizeof(text[0]), "%d", (int)pid);
	for (size_t i = 0; i < n; i++) {
		snprintf(text[k++], sizeof(text[0]), "%u", map[i].inside);
		snprintf(text[k++], sizeof(text[0]), "%u", map[i].outside);
		snprintf(text[k++], sizeof(text[0]), "%u", map[i].count);
	}
	for (size_t i = 0; i < k; i++)
		argv[i + 1] = text[i];
	argv[k + 1] = NULL;
	r = spawn_run(&sp, NULL, &status);
	if (r < 0)
		return err_set(e, r, "cannot run %s: %s", program, err_word(r));
	if (status)
		return err_set(
			e, -EPERM,
			"%s refused the subordinate ids of /etc/sub%cid (is it setuid root?)",
			program, program[3]);
	return 0;
}

int userns_write_maps(pid_t pid, const struct id_maps *m, struct err *e)
{
	int r;

	if (geteuid() && !m->single) {
		r = run_mapper("newuidmap", pid, m->uid, m->uid_n, e);
		return r ? r : run_mapper("newgidmap", pid, m->gid, m->gid_n, e);
	}
	r = m->single ? proc_write(pid, "setgroups", "deny", 4) : 0;
	if (!r || r == -ENOENT)
		r = write_map(pid, "uid_map", m->uid, m->uid_n);
	if (!r)
		r = write_map(pid, "gid_map", m->gid, m->gid_n);
	if (r == -ENOENT)
		return err_set(e, r, "/proc is not mounted, and id maps are written there");
	return r ? err_set(e, r, "cannot write the id maps: %s", err_word(r)) : 0;
}

/* The child outside: waits for a byte that says "unshared", writes the maps, answers with its
 * struct err. */
static _noreturn_ void helper(int fd, pid_t pid, const struct id_maps *m)
{
	struct err e = { 0 };
	char go;

	if (fd_read_full(fd, &go, 1) != 1)
		_exit(1);
	userns_write_maps(pid, m, &e);
	fd_write_all(fd, &e, sizeof(e));
	_exit(0);
}

static int enter_with_helper(const struct id_maps *m, struct err *e)
{
	_cleanup_(fd_closep) int ours = -1;
	_cleanup_(fd_closep) int theirs = -1;
	struct err answer;
	pid_t self = getpid(), child;
	int sv[2], r = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv))
		return err_set(e, -errno, "socketpair: %s", err_word(-errno));
	ours = sv[0];
	theirs = sv[1];
	child = fork();
	if (child < 0)
		return err_set(e, -errno, "cannot fork: %s", err_word(-errno));
	if (!child) {
		fd_close(ours);
		helper(theirs, self, m);
	}
	fd_close(steal_fd(&theirs));
	if (unshare(CLONE_NEWUSER))
		r = userns_refused(e, -errno);
	else if (fd_write_all(ours, "", 1) ||
		 fd_read_full(ours, &answer, sizeof(answer)) != (ssize_t)sizeof(answer))
		r = err_set(e, -ECHILD, "the process that writes the id maps died");
	else if (answer.code)
		r = err_set(e, answer.code, "%s", answer.text);
	fd_close(steal_fd(&ours));
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}

int userns_enter(const struct id_maps *m, struct err *e)
{
	int r;

	if (m->single) {
		if (unshare(CLONE_NEWUSER))
			return userns_refused(e, -errno);
		r = userns_write_maps(0, m, e);
	} else {
		r = enter_with_helper(m, e);
	}
	/* An ordinary user's process is dumpable still, but its new owner is root inside: nothing
	 * else to set. */
	if (!r && !(caps_effective() & 1))
		return userns_refused(e, -EPERM);
	return r;
}

bool privileged(void)
{
	/* CHOWN, DAC_OVERRIDE, FOWNER, FSETID, SETGID, SETUID */
	const uint64_t need = 0x1 | 0x2 | 0x8 | 0x10 | 0x40 | 0x80;
	struct id_map_entry map[ID_MAP_MAX];
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	uint64_t ids = 0;
	int n;

	if (geteuid() || (caps_effective() & need) != need)
		return false;
	/* No /proc: an early boot, where nothing is mapped away. More lines than we read: not a
	 * single id. */
	if (file_read(AT_FDCWD, "/proc/self/uid_map", true, 64 << 10, &b))
		return true;
	n = id_map_parse(buf_span(&b), map, ARRAY_LEN(map));
	for (int i = 0; i < n; i++)
		ids += map[i].count;
	return n < 0 || ids > 1;
}

bool sees_trusted_xattrs(void)
{
	const uint64_t sys_admin = 1 << 21;
	struct stat st;

	/* linux/nsfs.h: USER_NS_INIT_INO. No /proc: an early boot. */
	return (caps_effective() & sys_admin) &&
	       (stat("/proc/self/ns/user", &st) < 0 || st.st_ino == 0xeffffffd);
}
