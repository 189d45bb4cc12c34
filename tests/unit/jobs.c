/* Numbered jobs on several threads. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/io.h"
#include "tests/unit/tap.h"

enum { N = 1000 };

struct run {
	atomic_uint done[N];
	atomic_uint began, ended;
	size_t bad;
	struct jobs *jobs;
	atomic_bool go;
};

static int count(void *arg, size_t i, struct err *e)
{
	struct run *run = arg;

	run->began++;
	if (i == run->bad)
		return err_set(e, E_FORMAT, "number %zu", i);
	run->done[i]++;
	return 1;
}

/* Says that it has failed, and goes on until it is let go. */
static int linger(void *arg, size_t i, struct err *e)
{
	struct run *run = arg;
	struct err why = { 0 };

	if (i > 0)
		return 0;
	err_set(&why, E_IO, "early");
	jobs_fail(run->jobs, E_IO, &why);
	while (!run->go)
		usleep(1000);
	run->ended++;
	return err_set(e, E_FORMAT, "late");
}

/* Ends when it is let go. */
static int endless(void *arg, size_t i, struct err *e)
{
	struct run *run = arg;

	(void)i;
	(void)e;
	while (!run->go)
		usleep(1000);
	run->ended++;
	return 0;
}

static bool each_once(const struct run *run, size_t first, size_t n)
{
	for (size_t i = 0; i < N; i++)
		if (run->done[i] != (i >= first && i < n))
			return false;
	return true;
}

static int all(struct run *run, unsigned threads, size_t first, size_t n, struct err *e)
{
	memset(run->done, 0, sizeof(run->done));
	run->began = 0;
	jobs_start(&run->jobs, threads, first, n, count, run);
	return jobs_wait(run->jobs, 0, e);
}

int main(void)
{
	static struct run run;
	struct err e = { 0 };

	run.bad = N;
	ok(all(&run, 4, 0, N, &e) == 0 && each_once(&run, 0, N), "each is done once");
	ok(all(&run, 4, 7, 9, &e) == 0 && each_once(&run, 7, 9), "from the first that is asked for");
	ok(all(&run, 4, 3, 3, &e) == 0 && !run.began, "none");
	ok(all(&run, 0, 0, N, &e) == 0 && each_once(&run, 0, N), "without a thread they are done by who waits");
	run.bad = 5;
	ok(all(&run, 1, 0, N, &e) == E_FORMAT && !strcmp(e.text, "number 5"), "an error and its text");
	ok(each_once(&run, 0, 5) && run.began == 6, "nothing is begun after it");
	err_clear(&e);
	ok(all(&run, 1, 0, N, NULL) == E_FORMAT, "who waits need not ask for the text");

	jobs_start(&run.jobs, 2, 0, 2, linger, &run);
	ok(jobs_wait(run.jobs, 0, &e) == E_IO && !strcmp(e.text, "early") && !run.ended,
	   "what a job says of itself counts before its end, which nobody waits for");
	run.go = true;
	while (!run.ended)
		usleep(1000);

	run.go = false;
	run.ended = 0;
	uint64_t began = clock_ms();
	jobs_start(&run.jobs, 1, 0, 1, endless, &run);
	ok(jobs_wait(run.jobs, 250, NULL) == -ETIMEDOUT && !run.ended, "who waits may have enough of it");
	uint64_t took = clock_ms() - began;
	ok(took >= 250, "not before its time: %llu ms", (unsigned long long)took);
	run.go = true;
	while (!run.ended)
		usleep(1000);
	return done_testing();
}
