/* A process that waits for one that does the work, so that whatever ends the work can be cleaned up
 * after. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/io.h"

static sigset_t mask_before;
static bool held;

/* Those that are ignored (nohup, a background job of a script) stay so: blocked, they would be delivered. */
void guard_signals(sigset_t *set)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	struct sigaction now;
	sigemptyset(set);
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		if (sigaction(signals[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
			sigaddset(set, signals[i]);
}

static int wait_child(pid_t child, int *status)
{
	while (waitpid(child, status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static void hold(sigset_t *set)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	guard_signals(set);
	sigaddset(set, SIGCHLD);
	/* One that ignores its children cannot wait for them. */
	sigaction(SIGCHLD, &dfl, NULL);
	sigprocmask(SIG_BLOCK, set, held ? NULL : &mask_before);
	held = true;
}

void guard_hold(void)
{
	sigset_t set;
	hold(&set);
}

static void let_go(void)
{
	sigprocmask(SIG_SETMASK, &mask_before, NULL);
	held = false;
}

int guard_fork(int *status, int *signo)
{
	sigset_t set;
	pid_t self = getpid();
	hold(&set);
	pid_t child = fork();
	if (child < 0) {
		int r = -errno;
		let_go();
		return r;
	}
	if (child == 0) {
		let_go();
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != self)
			_exit(71);
		return 1;
	}
	*signo = 0;
	for (;;) {
		int s = sigwaitinfo(&set, NULL);
		if (s < 0)
			continue;
		if (s != SIGCHLD) {
			*signo = s;
			kill(child, SIGKILL);
			return wait_child(child, status);
		}
		pid_t got = waitpid(child, status, WNOHANG);
		if (got == child)
			return 0;
		if (got < 0 && errno != EINTR)
			return -errno;
	}
}
