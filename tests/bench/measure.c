/*
 * measure OUT CMD [ARG...]: runs CMD and appends "WALL_US USER_US SYS_US MAXRSS_KB STATUS" to OUT: of the whole tree of
 * processes that were waited for; memory is that of the largest one. Small and static, so that its own memory, which
 * the kernel counts for what it executes, does not show.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long us(struct timeval t)
{
	return t.tv_sec * 1000000LL + t.tv_usec;
}

int main(int argc, char **argv)
{
	struct timespec a, b;
	struct rusage ru;
	char line[128];
	int status, fd;
	pid_t pid;

	if (argc < 3)
		return 64;
	fd = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0) {
		perror(argv[1]);
		return 73;
	}
	clock_gettime(CLOCK_MONOTONIC, &a);
	pid = vfork();
	if (!pid) {
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (pid < 0 || wait4(pid, &status, 0, &ru) != pid) {
		perror("measure");
		return 71;
	}
	clock_gettime(CLOCK_MONOTONIC, &b);
	status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	int n = snprintf(line, sizeof(line), "%lld %lld %lld %ld %d\n",
			 (b.tv_sec - a.tv_sec) * 1000000LL + (b.tv_nsec - a.tv_nsec) / 1000, us(ru.ru_utime),
			 us(ru.ru_stime), ru.ru_maxrss, status);
	return write(fd, line, n) == n ? status : 74;
}
