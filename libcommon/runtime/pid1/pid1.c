/*
 * The program that is pid 1 of a container: a page of code without a library, in a file of its own.
 *
 *	LABEL --init|--init-tty|--exec|--exec-tty PROGRAM [ARG...]
 *
 * With --init it starts PROGRAM (searched in PATH) in a new session, passes signals on, reaps what
 *is left to it, and ends as PROGRAM ended, 128+n for a signal. With --exec it becomes PROGRAM. It
 *exists so that nothing inside a container ever runs from ocibox's own file, to which /proc/PID/exe
 *would be a road.
 */
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/unistd.h>
#include <linux/errno.h>
#include <linux/sched.h>
#include <linux/wait.h>

#include "libcommon/runtime/pid1/syscall.h"

enum { SIGSET_BYTES = 8, PATH_BYTES = 4096 };

typedef unsigned long long sigset;

static unsigned long length(const char *s)
{
	unsigned long n = 0;

	while (s[n])
		n++;
	return n;
}

static int same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static void say(const char *s)
{
	sys(__NR_write, 2, (long)s, (long)length(s), 0, 0);
}

__attribute__((noreturn)) static void end(long status)
{
	for (;;)
		sys(__NR_exit_group, status, 0, 0, 0, 0);
}

__attribute__((noreturn)) static void cannot(const char *label, const char *program, long error)
{
	say(label);
	say(": ");
	say(program);
	say(error == -ENOENT || error == -ENOTDIR ? ": not found\n"
	    : error == -EACCES || error == -EPERM ? ": permission denied\n"
	    : error == -ENOEXEC ? ": not an executable of this machine, or a script without #!\n"
	    : error == -E2BIG	? ": arguments and environment are too long\n"
				: ": cannot be executed\n");
	end(error == -ENOENT || error == -ENOTDIR ? 127 : 126);
}

static long exec_in(const char *dir, unsigned long n, const char *name, char **argv, char **envp)
{
	char path[PATH_BYTES];
	unsigned long k = 0, len = length(name);

	if (n + len + 2 > sizeof(path))
		return -ENAMETOOLONG;
	for (unsigned long i = 0; i < n; i++)
		path[k++] = dir[i];
	if (n)
		path[k++] = '/';
	for (unsigned long i = 0; i <= len; i++)
		path[k++] = name[i];
	return sys(__NR_execve, (long)path, (long)argv, (long)envp, 0, 0);
}

__attribute__((noreturn)) static void execute(const char *label, char **argv, char **envp)
{
	const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
	long error = -ENOENT, r;

	for (const char *p = argv[0]; *p; p++)
		if (*p == '/')
			cannot(label, argv[0],
			       sys(__NR_execve, (long)argv[0], (long)argv, (long)envp, 0, 0));
	for (char **e = envp; *e; e++)
		if ((*e)[0] == 'P' && (*e)[1] == 'A' && (*e)[2] == 'T' && (*e)[3] == 'H' &&
		    (*e)[4] == '=')
			path = *e + 5;
	while (argv[0][0]) {
		unsigned long n = 0;

		while (path[n] && path[n] != ':')
			n++;
		r = exec_in(path, n, argv[0], argv, envp);
		if (r != -ENOENT && r != -ENOTDIR) {
			error = r;
			if (r != -EACCES)
				break;
		}
		if (!path[n])
			break;
		path += n + 1;
	}
	cannot(label, argv[0], error);
}

/* Until it executes, it borrows pid 1's memory, so nothing may be left changed: it is a function of
 * its own that never returns. The program's own session; with a terminal, that is the session's.
 * All signals as they were before we came. */
__attribute__((noreturn, noinline)) static void program(int tty, const char *label, char **argv,
							char **envp)
{
	sigset none = 0;

	sys(__NR_setsid, 0, 0, 0, 0, 0);
	if (tty)
		sys(__NR_ioctl, 0, TIOCSCTTY, 0, 0, 0);
	sys(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, (long)&none, 0, SIGSET_BYTES, 0);
	execute(label, argv, envp);
}

static void reap(long child)
{
	for (;;) {
		int status = 0;
		long pid = sys(__NR_wait4, -1, (long)&status, WNOHANG, 0, 0);

		if (pid == -EINTR)
			continue;
		if (pid == child)
			end(status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
		if (pid <= 0)
			return;
	}
}

/* What a terminal sends goes to the whole group of the program, the rest to the program alone. */
static void pass_on(long child, long sig)
{
	int group = sig == SIGINT || sig == SIGQUIT || sig == SIGHUP || sig == SIGTSTP ||
		    sig == SIGCONT || sig == SIGWINCH;

	if (sig == SIGTSTP)
		sig = SIGSTOP;
	if (!group || sys(__NR_kill, -child, sig, 0, 0, 0) < 0)
		sys(__NR_kill, child, sig, 0, 0, 0);
}

__attribute__((noreturn, used)) void pid1_main(long *sp)
{
	long argc = sp[0], child;
	char **argv = (char **)(sp + 1);
	char **envp = argv + argc + 1;
	int init, tty;
	sigset all = ~0ULL;

	if (argc < 3)
		end(125);
	init = same(argv[1], "--init") || same(argv[1], "--init-tty");
	tty = same(argv[1], "--init-tty") || same(argv[1], "--exec-tty");
	if (!init)
		program(tty, argv[0], argv + 2, envp);
	sys(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, (long)&all, 0, SIGSET_BYTES, 0);
	child = sys(__NR_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0);
	if (!child)
		program(tty, argv[0], argv + 2, envp);
	if (child < 0) {
		say(argv[0]);
		say(": cannot fork\n");
		end(125);
	}
	/* Orphans' output would keep a pipe's reader waiting for us: what we hold open, we let go.
	 */
	for (long fd = 0; fd < 3; fd++)
		sys(__NR_close, fd, 0, 0, 0, 0);
	for (;;) {
		long sig = sys(__NR_rt_sigtimedwait, (long)&all, 0, 0, SIGSET_BYTES, 0);

		if (sig == SIGCHLD)
			reap(child);
		else if (sig > 0)
			pass_on(child, sig);
	}
}
