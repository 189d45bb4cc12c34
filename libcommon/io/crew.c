/*
 * Chores: windows of a pipeline that are looked at once each and in order, by whichever of its threads would have to wait otherwise.
 *
 * A thread takes all that is pending at once, one window of each chore, so that what handles two windows together (two hashes
 * whose instructions interleave) can do so.
 */
#include <stdlib.h>

#include "libcommon/io.h"

enum { CHORES = 2 };

struct chore {
	struct crew *crew;
	void *arg;
	unsigned posted, looked; /* windows, ever */
	bool busy;               /* a thread is at window `looked` */
	struct span window[CHORE_WINDOWS];
};

struct crew {
	pthread_mutex_t lock;
	pthread_cond_t looked;
	unsigned waiting;
	look_fn *look;
	look_both_fn *look_both;
	size_t n;
	struct chore chore[CHORES];
};

struct crew *crew_new(look_fn *look, look_both_fn *look_both)
{
	struct crew *c = xcalloc(1, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->looked, NULL);
	c->look = look;
	c->look_both = look_both;
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

/* Looks at what is pending; the lock is held, and let go meanwhile. False where nothing was. */
static bool work(struct crew *c)
{
	struct chore *got[CHORES];
	struct span w[CHORES];
	size_t n = 0;
	for (size_t i = 0; i < c->n; i++) {
		if (!is_pending(&c->chore[i]))
			continue;
		got[n] = &c->chore[i];
		got[n]->busy = true;
		w[n] = got[n]->window[got[n]->looked % CHORE_WINDOWS];
		n++;
	}
	if (!n)
		return false;
	pthread_mutex_unlock(&c->lock);
	if (n == 2)
		c->look_both(got[0]->arg, w[0], got[1]->arg, w[1]);
	else
		c->look(got[0]->arg, w[0]);
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < n; i++) {
		got[i]->busy = false;
		got[i]->looked++;
	}
	if (c->waiting)
		pthread_cond_broadcast(&c->looked);
	return true;
}

bool crew_help(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	bool did = work(c);
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
			work(c);
			continue;
		}
		c->waiting++;
		pthread_cond_wait(&c->looked, &c->lock);
		c->waiting--;
	}
	pthread_mutex_unlock(&c->lock);
}
