/* Threads that do jobs up to n - 1, in their order. */
#include <stdlib.h>
#include <time.h>

#include "libcommon/registry/push.h"

struct crew {
	int (*work)(void *arg, size_t i, struct err *e);
	void *arg;
	size_t next, n;
	unsigned members; /* threads, and one for who waits */
	int fault;
	struct err err;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

static void *crew_member(void *arg)
{
	struct crew *c = arg;

	pthread_mutex_lock(&c->lock);
	while (!c->fault && c->next < c->n) {
		size_t i = c->next++;
		struct err e = { 0 };

		pthread_mutex_unlock(&c->lock);
		int r = c->work(c->arg, i, &e);
		pthread_mutex_lock(&c->lock);
		if (r < 0 && !c->fault) {
			c->fault = r;
			c->err = e;
		}
	}
	bool last = --c->members == 0;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	if (last)
		free(c);
	return NULL;
}

struct crew *crew_start(unsigned jobs, size_t first, size_t n,
			int (*work)(void *arg, size_t i, struct err *e), void *arg)
{
	struct crew *c = xcalloc(1, sizeof(*c));

	*c = (struct crew){ .work = work, .arg = arg, .next = first, .n = n, .members = 1 };
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	pthread_mutex_lock(&c->lock);
	for (size_t i = first; i - first < jobs && i < n; i++) {
		pthread_t thread;

		if (thread_start(&thread, crew_member, c) < 0)
			break;
		pthread_detach(thread);
		c->members++;
	}
	pthread_mutex_unlock(&c->lock);
	return c;
}

bool crew_failed(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	bool failed = c->fault;
	pthread_mutex_unlock(&c->lock);
	return failed;
}

int crew_wait(struct crew *c, unsigned most_ms, struct err *e)
{
	struct timespec until = { 0 };
	int over = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += most_ms / 1000;
	pthread_mutex_lock(&c->lock);
	if (c->members == 1 && c->next < c->n) {
		/* no thread to be had: then here */
		c->members++;
		pthread_mutex_unlock(&c->lock);
		crew_member(c);
		pthread_mutex_lock(&c->lock);
	}
	while (c->members > 1 && !c->fault && !over)
		over = most_ms ? pthread_cond_timedwait(&c->changed, &c->lock, &until)
			       : pthread_cond_wait(&c->changed, &c->lock);
	int fault = c->fault ? c->fault : over ? -ETIMEDOUT : 0;
	if (fault && e)
		err_set(e, fault, "%s", c->err.text);
	bool last = --c->members == 0;
	pthread_mutex_unlock(&c->lock);
	if (last)
		free(c);
	return fault;
}
