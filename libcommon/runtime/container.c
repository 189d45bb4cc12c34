/*
 * container_run(): a process in new namespaces that makes its world and becomes pid 1, and one
 * outside that waits for it.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/runtime/private.h"
#include "libcommon/runtime/rawsys.h"

static const struct {
	unsigned ns;
	unsigned long flag;
} flags[] = {
	{ NS_USER, CLONE_NEWUSER },	{ NS_PID, CLONE_NEWPID }, { NS_MOUNT, CLONE_NEWNS },
	{ NS_UTS, CLONE_NEWUTS },	{ NS_IPC, CLONE_NEWIPC }, { NS_NET, CLONE_NEWNET },
	{ NS_CGROUP, CLONE_NEWCGROUP },
};

static unsigned long clone_flags(unsigned ns)
{
	unsigned long f = CLONE_NEWNS;

	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		f |= ns & flags[i].ns ? flags[i].flag : 0;
	return f;
}

/* Standard descriptors that are closed would be given to files of ours. */
static void fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd < 3);
	fd_close(fd);
}

static int refused(const struct container *c, int r, struct err *e)
{
	if (c->ns & NS_USER)
		return userns_refused(e, r);
	return err_set(e, r, "cannot make the namespaces: %s%s", err_word(r),
		       r == -EPERM ? " (--userns makes them as an ordinary user would)" : "");
}

enum { STACK_BYTES = 256 << 10 };

struct inside {
	const struct container *c;
	struct shared *sh;
	int *sync, *channel;
	int gone[2]; /* its end tells that our memory is no longer used */
	int outside;
	unsigned long rest; /* namespaces that it makes itself */
};

/* An older kernel has no cgroup namespaces. */
static int make_namespaces(unsigned long ns)
{
	if (!unshare((int)ns))
		return 0;
	if (errno != EINVAL || !(ns & CLONE_NEWCGROUP))
		return -errno;
	return unshare((int)(ns & ~(unsigned long)CLONE_NEWCGROUP)) ? -errno : 0;
}

static int inside(void *arg)
{
	const struct inside *in = arg;
	const struct container *c = in->c;
	struct setup s = {
		.c = c,
		.sh = in->sh,
		.e = &in->sh->e,
		.last_us = c->step_times ? clock_us() : 0,
		.sync = in->sync[0],
		.channel = in->channel[1],
		.outside = in->outside,
		.root = -1,
		.proc = -1,
		.dev = -1,
		.sys = -1,
		.empty = -1,
		.console = -1,
		.pid1 = -1,
	};
	int r = in->rest ? make_namespaces(in->rest) : 0;

	if (r) {
		refused(c, r, s.e);
		_exit(125);
	}
	fd_close(in->sync[1]);
	fd_close(in->channel[0]);
	fd_close(in->gone[0]);
	r = setup_run(&s);
	err_set(s.e, r, "%s", err_word(r));
	_exit(125);
}

/* Neither errno nor anything else of libc is ours before the end: see start(). */
static void network_for(int sync, int gone[2])
{
	char c;

	sys(SYS_close, steal_fd(&gone[1]), 0, 0, 0, 0);
	net_make_outside(sync);
	while (sys(SYS_read, gone[0], (long)&c, 1, 0, 0) == -EINTR)
		;
}

/*
 * Where we and it need not both write to memory before it executes pid 1, it borrows ours until
 * then, as vfork(2) does: copying what a process has, page by page as they are written to, costs a
 * tenth of a start. While it does, we sleep, or make its network by system calls alone.
 */
static pid_t start(const struct container *c, struct shared *sh, int sync[2], int channel[2])
{
	struct inside in = { c, sh, sync, channel, { -1, -1 }, -1, 0 };
	unsigned long ns = clone_flags(c->ns), f = ns | SIGCHLD;
	char *stack =
		mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t pid;

	if (stack == MAP_FAILED)
		return -errno;

	if (!(c->ns & NS_USER))
		f |= CLONE_VM | CLONE_VFORK;
	if (!(c->ns & NS_USER) && c->ns & NS_NET)
		in.outside = (int)syscall(NR_PIDFD_OPEN, getpid(), 0);
	if (in.outside >= 0 && pipe2(in.gone, O_CLOEXEC))
		return -errno;
	if (in.outside >= 0) {
		f = (ns & CLONE_NEWPID) | SIGCHLD | CLONE_VM;
		in.rest = ns & ~(unsigned long)(CLONE_NEWPID | CLONE_NEWNET);
	}
	pid = clone(inside, stack + STACK_BYTES, (int)f, &in);
	/* An older kernel without this kind of namespace. */
	if (pid < 0 && errno == EINVAL && (f & CLONE_NEWCGROUP))
		pid = clone(inside, stack + STACK_BYTES, (int)(f & ~(unsigned long)CLONE_NEWCGROUP),
			    &in);
	if (pid < 0)
		pid = -errno;
	else if (in.outside >= 0)
		network_for(sync[1], in.gone);
	fd_close(in.outside);
	fd_close(in.gone[0]);
	fd_close(in.gone[1]);
	return pid;
}

/* The maps are ours to write; the process inside waits for them. */
static int let_go(const struct container *c, pid_t child, int sync, struct err *e)
{
	int r = 0;

	if (c->ns & NS_USER) {
		r = userns_write_maps(child, &c->id_maps, e);
		if (!r)
			r = fd_write_all(sync, "", 1);
	}
	return r;
}

static int wait_for_it(const struct container *c, pid_t child, int channel)
{
	struct outside o = { .c = c, .child = child, .master = -1 };
	int status;

	if (!c->tty)
		return outside_wait(&o);
	o.master = pty_receive(channel);
	status = o.master < 0 ? outside_wait(&o) : pty_relay(&o);
	fd_close(o.master);
	return status;
}

int container_run(const struct container *c, struct err *e)
{
	int sync[2] = { -1, -1 }, channel[2] = { -1, -1 };
	struct shared *sh;
	pid_t child;
	int r;

	fill_standard_fds();
	sh = mmap(NULL, sizeof(*sh), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (sh == MAP_FAILED || pipe2(sync, O_CLOEXEC) ||
	    (c->tty && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel)))
		return err_set(e, -errno, "cannot start: %s", err_word(-errno));
	outside_block_signals();
	child = start(c, sh, sync, channel);
	fd_close(sync[0]);
	fd_close(channel[1]);
	r = child < 0 ? refused(c, child, e) : let_go(c, child, sync[1], e);
	if (r && child > 0) {
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	if (!r)
		r = wait_for_it(c, child, channel[0]);
	fd_close(sync[1]);
	fd_close(channel[0]);
	if (r >= 0 && sh->e.code)
		r = err_set(e, sh->e.code, "%s", sh->e.text);
	if (c->step_times && c->times)
		*c->times = sh->times;
	munmap(sh, sizeof(*sh));
	return r;
}
