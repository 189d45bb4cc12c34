/* Chores: windows of a pipeline that are looked at once each and in order, by whichever of its threads would have to wait otherwise. */
#include <stdlib.h>

#include "libcommon/io.h"

enum { CHORES = 2 };

struct chore {
	struct crew *crew;
	void *arg;
	unsigned posted, looked; /* windows, ever */
	bool busy;		 /* a thread is at window `looked` */
	struct span window[CHORE_WINDOWS];
};

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t looked;
	unsigned waiting;
	look_fn *look;
	size_t n;
	struct chore chore[CHORES];
};

struct crew *crew_new(look_fn *look)
{
	struct crew *c = xcalloc(1, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->looked, NULL);
	c->look = look;
	return c;
}

void crew_freep(struct crew **c)
{
	if (!*c)
		return;
	pthread_cond_destroy(&(*c)->looked);
	pthread_mutex_destroy(&(*c)->lock);
	free(*c);
}

struct chore *crew_chore(struct crew *c, void *arg)
{
	pthread_mutex_lock(&c->lock);
	struct chore *ch = c->n < CHORES ? &c->chore[c->n++] : NULL;
	pthread_mutex_unlock(&c->lock);
	if (ch) {
		ch->crew = c;
		ch->arg = arg;
	}
	return ch;
}

static bool is_pending(const struct chore *ch)
{
	return !ch->busy && ch->looked != ch->posted;
}

/* Looks at the oldest window that is pending; the lock is held, and let go meanwhile. */
static void work(struct chore *ch)
{
	struct crew *c = ch->crew;
	struct span w = ch->window[ch->looked % CHORE_WINDOWS];
	ch->busy = true;
	pthread_mutex_unlock(&c->lock);
	c->look(ch->arg, w);
	pthread_mutex_lock(&c->lock);
	ch->busy = false;
	ch->looked++;
	if (c->waiting)
		pthread_cond_broadcast(&c->looked);
}

bool crew_help(struct crew *c)
{
	bool did = false;
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < c->n && !did; i++) {
		did = is_pending(&c->chore[i]);
		if (did)
			work(&c->chore[i]);
	}
	pthread_mutex_unlock(&c->lock);
	return did;
}

struct crew *chore_crew(const struct chore *ch)
{
	return ch->crew;
}

void chore_post(struct chore *ch, struct span w)
{
	struct crew *c = ch->crew;
	pthread_mutex_lock(&c->lock);
	ch->window[ch->posted++ % CHORE_WINDOWS] = w;
	pthread_mutex_unlock(&c->lock);
}

void chore_settle(struct chore *ch, unsigned open)
{
	struct crew *c = ch->crew;
	pthread_mutex_lock(&c->lock);
	while (ch->posted - ch->looked > open) {
		if (is_pending(ch)) {
			work(ch);
			continue;
		}
		c->waiting++;
		pthread_cond_wait(&c->looked, &c->lock);
		c->waiting--;
	}
	pthread_mutex_unlock(&c->lock);
}
