/*
 * Names to addresses, in bounded time. The C library's resolver has no deadline of its own and cannot be interrupted, so
 * it runs in a thread, which is left to itself when the time is over.
 */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "libcommon/registry/internal.h"

unsigned network_resolve_ms = 15000;

struct lookup {
	char host[256], port[8];
	pthread_mutex_t lock;
	pthread_cond_t over;
	unsigned users; /* who asked, and the thread: the last one frees it */
	bool done;
	int fault, sys; /* of getaddrinfo, and errno */
	struct addrinfo *found;
};

static void lookup_drop(struct lookup *l)
{
	pthread_mutex_lock(&l->lock);
	bool last = --l->users == 0;
	pthread_mutex_unlock(&l->lock);
	if (!last)
		return;
	if (l->found)
		freeaddrinfo(l->found);
	pthread_cond_destroy(&l->over);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void lookup_dropp(struct lookup **l)
{
	lookup_drop(*l);
}

static struct lookup *lookup_new(const struct origin *o)
{
	struct lookup *l = xcalloc(1, sizeof(*l));
	pthread_condattr_t attr;

	snprintf(l->host, sizeof(l->host), "%s", o->host);
	snprintf(l->port, sizeof(l->port), "%u", o->port);
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->over, &attr);
	pthread_condattr_destroy(&attr);
	l->users = 1;
	return l;
}

static int ask(struct lookup *l, int flags, struct addrinfo **found)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags };
	int r = getaddrinfo(l->host, l->port, &hints, found);

	if (r)
		*found = NULL;
	return r;
}

static void *run(void *arg)
{
	struct lookup *l = arg;
	struct addrinfo *found;
	int r = ask(l, 0, &found), sys = errno;

	pthread_mutex_lock(&l->lock);
	l->fault = r;
	l->sys = sys;
	l->found = found;
	l->done = true;
	pthread_cond_signal(&l->over);
	pthread_mutex_unlock(&l->lock);
	lookup_drop(l);
	return NULL;
}

/* Whether it was over within ms. */
static bool lookup_wait(struct lookup *l, unsigned ms)
{
	struct timespec end;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += (long)(ms % 1000) * 1000000;
	end.tv_sec += (time_t)(ms / 1000) + end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	pthread_mutex_lock(&l->lock);
	while (!l->done && r == 0)
		r = pthread_cond_timedwait(&l->over, &l->lock, &end);
	bool done = l->done;
	pthread_mutex_unlock(&l->lock);
	return done;
}

static int word_fault(const struct lookup *l, struct err *e)
{
	if (l->fault == EAI_AGAIN)
		return err_set(e, -EAGAIN, "the name %s cannot be resolved at present", l->host);
	if (l->fault == EAI_SYSTEM && l->sys != ENOENT)
		return err_set(e, E_UNAVAILABLE, "the name %s cannot be resolved: %s", l->host,
			       strerror(l->sys));
	return err_set(e, E_UNAVAILABLE, "there is no host named %s", l->host);
}

int resolve(const struct network *n, const struct origin *o, struct addrinfo **out, struct err *e)
{
	_cleanup_(lookup_dropp) struct lookup *l = lookup_new(o);
	unsigned ms = network_time(n, network_resolve_ms);
	pthread_t thread;

	/* an address as it is written needs nobody */
	if (ask(l, AI_NUMERICHOST, out) == 0)
		return 0;
	l->users = 2;
	if (thread_start(&thread, run, l) == 0)
		pthread_detach(thread);
	else
		run(l);
	if (!lookup_wait(l, ms)) {
		if (network_time(n, 1) == 0)
			return err_set(e, E_TRY_LATER,
				       "the deadline is over: no answer of DNS about %s", l->host);
		return err_set(e, -ETIMEDOUT,
			       "the name %s cannot be resolved: no answer of DNS within %u s",
			       l->host, network_resolve_ms / 1000);
	}
	*out = steal_ptr(&l->found);
	return *out ? 0 : word_fault(l, e);
}
