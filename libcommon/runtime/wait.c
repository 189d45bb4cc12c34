/*
 * The process outside: passes signals and terminal stops on, keeps the time, and ends as the
 * container ends.
 */
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/runtime/private.h"

enum { KILL_AFTER_MS = 10000, STATUS_TIMEOUT = 124 };

static sigset_t waited;

void outside_block_signals(void)
{
	static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT };

	sigfillset(&waited);
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		sigdelset(&waited, own[i]);
	sigprocmask(SIG_BLOCK, &waited, NULL);
	signal(SIGCHLD, SIG_DFL);
}

int outside_ended(const struct outside *o)
{
	int status;
	pid_t pid;

	do
		pid = waitpid(o->child, &status, WNOHANG);
	while (pid < 0 && errno == EINTR);
	if (!pid)
		return -EAGAIN;
	if (pid < 0)
		return -errno;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void outside_signal(const struct outside *o, int sig)
{
	switch (sig) {
	case SIGCHLD:
	case SIGTTIN:
	case SIGTTOU:
	case SIGPIPE:
		return;
	case SIGTSTP:
		/* The program first, then we; who continues us continues it by the SIGCONT that we
		 * pass on. */
		kill(o->child, SIGTSTP);
		kill(getpid(), SIGSTOP);
		return;
	default:
		kill(o->child, sig);
	}
}

int outside_timer(struct timer *t, const struct outside *o)
{
	uint64_t now;

	if (!o->c->timeout_ms)
		return -1;
	now = clock_ms();
	if (!t->due)
		t->due = now + o->c->timeout_ms;
	if (now < t->due)
		return (int)MIN(t->due - now, 1000000000);
	kill(o->child, t->fired ? SIGKILL : SIGTERM);
	t->fired = true;
	t->due = now + KILL_AFTER_MS;
	return KILL_AFTER_MS;
}

int outside_status(const struct timer *t, int status)
{
	return t->fired ? STATUS_TIMEOUT : status;
}

int outside_wait(const struct outside *o)
{
	struct timer t = { 0 };
	int status;

	while ((status = outside_ended(o)) == -EAGAIN) {
		int ms = outside_timer(&t, o), sig;
		struct timespec ts = { ms / 1000, (long)(ms % 1000) * 1000000 };

		sig = ms < 0 ? sigwaitinfo(&waited, NULL) : sigtimedwait(&waited, NULL, &ts);
		if (sig > 0)
			outside_signal(o, sig);
	}
	return outside_status(&t, status);
}

int outside_signal_fd(void)
{
	int fd = signalfd(-1, &waited, SFD_CLOEXEC | SFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}
