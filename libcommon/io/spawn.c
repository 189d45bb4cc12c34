/* Child processes: credential helpers, newuidmap. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/io.h"

extern char **environ;

struct pipes {
	int in[2], out[2], report[2];
};

static void pipes_close(struct pipes *p)
{
	int *all[] = { p->in, p->out, p->report };
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		fd_close(all[i][0]);
		fd_close(all[i][1]);
		all[i][0] = all[i][1] = -1;
	}
}

/* The whole input is put into the pipe before the child exists, so that nobody can be made to wait, or be killed by SIGPIPE. */
static int put_input(int fd, struct span input)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	ssize_t n = input.n ? write(fd, input.p, input.n) : 0;
	if (n < 0)
		return -errno;
	return (size_t)n == input.n ? 0 : -E2BIG;
}

static int pipes_open(struct pipes *p, struct span input)
{
	*p = (struct pipes){ { -1, -1 }, { -1, -1 }, { -1, -1 } };
	if (pipe2(p->in, O_CLOEXEC) < 0 || pipe2(p->out, O_CLOEXEC) < 0 ||
	    pipe2(p->report, O_CLOEXEC) < 0)
		return -errno;
	int r = put_input(p->in[1], input);
	fd_close(p->in[1]);
	p->in[1] = -1;
	return r;
}

/* dup2 onto itself would leave the close-on-exec mark. */
static int place(int fd, int at)
{
	if (fd == at)
		return fcntl(fd, F_SETFD, 0);
	return dup2(fd, at);
}

static _noreturn_ void child(const struct spawn *sp, struct pipes *p)
{
	int null = sp->quiet ? open("/dev/null", O_WRONLY | O_CLOEXEC) : -1;
	/* Out of the way of 0-2, in case the caller runs without them. */
	int in = fcntl(p->in[0], F_DUPFD_CLOEXEC, 10), out = fcntl(p->out[1], F_DUPFD_CLOEXEC, 10);
	int report = fcntl(p->report[1], F_DUPFD_CLOEXEC, 10);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	place(in, 0);
	place(out, 1);
	if (null >= 0)
		place(null, 2);
	sys_close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
	execvpe(sp->argv[0], (char *const *)sp->argv, sp->envp ? (char *const *)sp->envp : environ);
	int code = errno;
	_exit(write(report, &code, sizeof(code)) == (ssize_t)sizeof(code) ? 127 : 126);
}

static int ms_left(uint64_t deadline)
{
	if (!deadline)
		return -1;
	uint64_t now = clock_ms();
	return now >= deadline ? 0 : (int)MIN(deadline - now, (uint64_t)1000000);
}

static int collect(int fd, size_t max, uint64_t deadline, struct buf *out)
{
	size_t total = 0;
	for (;;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int r = poll(&pfd, 1, ms_left(deadline));
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -errno;
		if (r == 0)
			return -ETIMEDOUT;
		unsigned char chunk[4096];
		ssize_t n = read(fd, chunk, sizeof(chunk));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		total += (size_t)n;
		if (total > max)
			return E_TOOBIG;
		if (out)
			buf_add(out, chunk, (size_t)n);
	}
}

static int reap(pid_t pid, uint64_t deadline, int *status)
{
	for (;;) {
		pid_t r = waitpid(pid, status, deadline ? WNOHANG : 0);
		if (r == pid)
			return 0;
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r == 0 && ms_left(deadline) == 0)
			return -ETIMEDOUT;
		if (r == 0)
			nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
}

int spawn_run(const struct spawn *sp, struct buf *out, int *status)
{
	_cleanup_(pipes_close) struct pipes p;
	int r = pipes_open(&p, sp->input);
	if (r < 0)
		return r;
	pid_t pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		child(sp, &p);
	fd_close(steal_fd(&p.out[1]));
	fd_close(steal_fd(&p.report[1]));
	uint64_t deadline = sp->timeout_ms ? clock_ms() + sp->timeout_ms : 0;
	r = collect(p.out[0], sp->output_max, deadline, out);
	if (r == 0)
		r = reap(pid, deadline, status);
	if (r < 0) {
		int ignored;
		kill(pid, SIGKILL);
		reap(pid, 0, &ignored);
		return r;
	}
	int code;
	if (fd_read_full(p.report[0], &code, sizeof(code)) == (ssize_t)sizeof(code))
		return -code;
	return 0;
}
