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
