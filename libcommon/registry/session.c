/*
 * Uploads that a registry holds open for us. Those that come to no end are taken back: a registry keeps what was sent of
 * them for days.
 */
#include <stdlib.h>

#include "libcommon/registry/push.h"

enum { CANCEL_MS = 1500, CANCEL_JOBS = 4 };

void sessions_init(struct sessions *s, struct registry *r)
{
	*s = (struct sessions){ .r = r };
	pthread_mutex_init(&s->lock, NULL);
}

struct session *session_move(struct sessions *all, struct session *s, struct url *to)
{
	pthread_mutex_lock(&all->lock);
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->next = all->first;
		all->first = s;
	}
	url_release(&s->at);
	s->at = *to;
	pthread_mutex_unlock(&all->lock);
	return s;
}

void session_forget(struct sessions *all, struct session *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&all->lock);
	struct session **at = &all->first;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	pthread_mutex_unlock(&all->lock);
	url_release(&s->at);
	free(s);
}

struct ending {
	struct sessions *all;
	struct url v[];
};

static int cancel(void *arg, size_t i, struct err *e)
{
	const struct http_request q = { .method = "DELETE", .home_only = true, .body = SPAN("") };
	struct ending *en = arg;
	struct registry *r = en->all->r;
	struct exchange *x = NULL;

	if (request_url(r, &r->endpoints[0], &en->v[i], &q, &x, e) == 0)
		exchange_close(x);
	return 0;
}

int sessions_cancel(struct sessions *all)
{
	struct ending *en;
	struct session *s;
	struct jobs *jobs;
	size_t n = 0;

	pthread_mutex_lock(&all->lock);
	for (s = all->first; s; s = s->next)
		n++;
	en = xcalloc(1, sizeof(*en) + n * sizeof(en->v[0]));
	en->all = all;
	for (s = all->first, n = 0; s; s = s->next)
		url_copy(&en->v[n++], &s->at);
	pthread_mutex_unlock(&all->lock);
	if (!n) {
		free(en);
		return 0;
	}
	all->r->net.deadline = clock_ms() + CANCEL_MS;
	jobs_start(&jobs, CANCEL_JOBS, 0, n, cancel, en);
	return jobs_wait(jobs, CANCEL_MS + 500, NULL);
}

void sessions_release(struct sessions *s)
{
	while (s->first)
		session_forget(s, s->first);
	pthread_mutex_destroy(&s->lock);
}
