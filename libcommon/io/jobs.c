/* Threads that do numbered jobs, in their order. */
#include <stdlib.h>
#include <time.h>

#include "libcommon/io.h"

struct jobs {
	job_fn *job;
	void *arg;
	size_t next, n;
	unsigned members; /* threads, and one for who waits */
	_Atomic int fault;
	struct err err;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

static void fail(struct jobs *j, int fault, const struct err *e)
{
	if (j->fault)
		return;
	j->fault = fault;
	j->err = *e;
	pthread_cond_broadcast(&j->changed);
}

/* Lets go of j, which the last one frees. Called with the lock held. */
static void leave(struct jobs *j)
{
	bool last = --j->members == 0;

	pthread_cond_broadcast(&j->changed);
	pthread_mutex_unlock(&j->lock);
	if (last)
		free(j);
}

static void *work(void *arg)
{
	struct jobs *j = arg;

	pthread_mutex_lock(&j->lock);
	while (!j->fault && j->next < j->n) {
		size_t i = j->next++;
		struct err e = { 0 };

		pthread_mutex_unlock(&j->lock);
		int r = j->job(j->arg, i, &e);
		pthread_mutex_lock(&j->lock);
		if (r < 0)
			fail(j, r, &e);
	}
	leave(j);
	return NULL;
}

void jobs_start(struct jobs **out, unsigned threads, size_t first, size_t n, job_fn *job, void *arg)
{
	struct jobs *j = xcalloc(1, sizeof(*j));
	pthread_condattr_t monotonic;

	*j = (struct jobs){ .job = job, .arg = arg, .next = first, .n = n, .members = 1 };
	pthread_mutex_init(&j->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&j->changed, &monotonic);
	pthread_condattr_destroy(&monotonic);
	*out = j;
	pthread_mutex_lock(&j->lock);
	for (size_t i = first; i - first < threads && i < n; i++) {
		pthread_t thread;

		if (thread_start(&thread, work, j) < 0)
			break;
		pthread_detach(thread);
		j->members++;
	}
	pthread_mutex_unlock(&j->lock);
}

void jobs_fail(struct jobs *j, int fault, const struct err *e)
{
	pthread_mutex_lock(&j->lock);
	fail(j, fault, e);
	pthread_mutex_unlock(&j->lock);
}

bool jobs_failed(const struct jobs *j)
{
	return atomic_load_explicit(&j->fault, memory_order_relaxed);
}

int jobs_wait(struct jobs *j, unsigned most_ms, struct err *e)
{
	uint64_t end = clock_ms() + most_ms;
	struct timespec until = { .tv_sec = (time_t)(end / 1000),
				  .tv_nsec = (long)(end % 1000) * 1000000 };
	int over = 0;

	pthread_mutex_lock(&j->lock);
	if (j->members == 1 && j->next < j->n) {
		/* no thread to be had: then here */
		j->members++;
		pthread_mutex_unlock(&j->lock);
		work(j);
		pthread_mutex_lock(&j->lock);
	}
	while (j->members > 1 && !j->fault && !over)
		over = most_ms ? pthread_cond_timedwait(&j->changed, &j->lock, &until)
			       : pthread_cond_wait(&j->changed, &j->lock);
	int fault = j->fault ? j->fault : over ? -ETIMEDOUT : 0;
	if (fault && e)
		err_set(e, fault, "%s", j->err.text);
	leave(j);
	return fault;
}
