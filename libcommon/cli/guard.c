/* Work in a child, so that its ends of all kinds can be cleaned up after. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "libcommon/cli.h"

static _noreturn_ void end_by_signal(int signo)
{
	sigset_t set;
	signal(signo, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, signo);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	raise(signo);
	exit(128 + signo);
}

struct watch {
	sigset_t set;
	void (*undo)(void *arg);
	void *arg;
};

static void *wait_for_signal(void *arg)
{
	struct watch *w = arg;
	int signo;

	while ((signo = sigwaitinfo(&w->set, NULL)) < 0)
		;
	/* the next one does not wait for us */
	pthread_sigmask(SIG_UNBLOCK, &w->set, NULL);
	w->undo(w->arg);
	end_by_signal(signo);
}

void cli_on_signal(void (*undo)(void *arg), void *arg)
{
	struct watch *w = xcalloc(1, sizeof(*w));
	pthread_t thread;

	*w = (struct watch){ .undo = undo, .arg = arg };
	guard_signals(&w->set);
	pthread_sigmask(SIG_BLOCK, &w->set, NULL);
	if (thread_start(&thread, wait_for_signal, w) == 0)
		pthread_detach(thread);
	else
		pthread_sigmask(SIG_UNBLOCK, &w->set, NULL);
}

bool cli_guarded(void (*undo)(void *arg), void *arg)
{
	int status = 0, signo = 0;
	int r = guard_fork(&status, &signo);
	if (r == 1)
		return false;
	if (r == 0 && !signo && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	undo(arg);
	if (r < 0)
		die_err("fork", r, NULL);
	if (!signo && WIFEXITED(status))
		exit(WEXITSTATUS(status));
	end_by_signal(signo ? signo : WTERMSIG(status));
}
