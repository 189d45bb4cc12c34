/*
 * Bookkeeping of bounded memory: bytes that spill to a file without a name, and the set of names
 * that one layer made.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"

int spill_flush(struct spill *s)
{
	if (s->fd < 0 || !s->tail.n)
		return 0;
	int r = fd_pwrite_all(s->fd, s->tail.p, s->tail.n, s->on_disk);
	if (r < 0)
		return r;
	s->on_disk += s->tail.n;
	buf_clear(&s->tail);
	return 0;
}

int spill_add(struct spill *s, int dirfd, const void *p, size_t n)
{
	if (s->tail.n && s->tail.n + n > SPILL_BUFFER) {
		if (s->fd < 0) {
			s->fd = tmp_unlinked(dirfd);
			if (s->fd < 0)
				return s->fd;
		}
		int r = spill_flush(s);
		if (r < 0)
			return r;
	}
	buf_add(&s->tail, p, n);
	return 0;
}

int spill_read(const struct spill *s, uint64_t at, void *p, size_t n)
{
	if (s->fd < 0) {
		if (at > s->tail.n || n > s->tail.n - at)
			return E_IO;
		memcpy(p, s->tail.p + at, n);
		return 0;
	}
	ssize_t got = fd_pread_full(s->fd, p, n, at);
	if (got < 0)
		return (int)got;
	return (size_t)got == n ? 0 : E_IO;
}

int spill_view_read(struct spill_view *v, uint64_t at, void *p, size_t n)
{
	const struct spill *s = v->s;
	if (s->fd < 0 || n > SPILL_BUFFER / 2)
		return spill_read(s, at, p, n);
	if (at < v->at || at + n > v->at + v->window.n) {
		/* The half before may be what is asked for next, backwards. */
		uint64_t half = SPILL_BUFFER / 2, from = at / half * half;
		buf_clear(&v->window);
		buf_reserve(&v->window, SPILL_BUFFER);
		ssize_t got = fd_pread_full(s->fd, v->window.p, SPILL_BUFFER, from);
		if (got < 0)
			return (int)got;
		v->at = from;
		v->window.n = (size_t)got;
		if (at + n > v->at + v->window.n)
			return E_IO;
	}
	memcpy(p, v->window.p + (at - v->at), n);
	return 0;
}

uint64_t spill_size(const struct spill *s)
{
	return s->on_disk + s->tail.n;
}

void spill_release(struct spill *s)
{
	buf_release(&s->tail);
	fd_close(s->fd);
	s->fd = -1;
	s->on_disk = 0;
}

int made_open(struct made *m)
{
	m->runs.fd = -1;
	return random_bytes(m->key, sizeof(m->key));
}

uint64_t made_key(const struct made *m, ino_t parent, struct span name)
{
	unsigned char text[8 + 256];
	uint64_t ino = parent;
	size_t n = MIN(name.n, sizeof(text) - 8);
	memcpy(text, &ino, 8);
	memcpy(text + 8, name.p, n);
	return siphash(m->key, text, 8 + n);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return (x > y) - (x < y);
}

/* Sorts the set in place and appends it to the runs. */
static int spill_recent(struct made *m, int dirfd)
{
	struct set64 *s = &m->recent;
	size_t n = 0;
	if (m->runs_n == MADE_RUNS)
		return E_TOOBIG;
	for (size_t i = 0; i < s->cap; i++)
		if (s->v[i])
			s->v[n++] = s->v[i];
	qsort(s->v, n, sizeof(s->v[0]), by_value);
	int r = 0;
	for (size_t at = 0; at < n && r == 0; at += SPILL_BUFFER / 8)
		r = spill_add(&m->runs, dirfd, s->v + at,
			      MIN(n - at, (size_t)SPILL_BUFFER / 8) * 8);
	if (r == 0)
		r = spill_flush(&m->runs);
	m->run_end[m->runs_n++] = spill_size(&m->runs) / 8;
	bool zero = s->has_zero;
	set64_clear(s);
	s->has_zero = zero;
	return r;
}

int made_add(struct made *m, int dirfd, uint64_t key)
{
	set64_add(&m->recent, key);
	return m->recent.n >= MADE_RECENT_MAX ? spill_recent(m, dirfd) : 0;
}

static int run_has(const struct spill *s, uint64_t low, uint64_t high, uint64_t key)
{
	while (low < high) {
		uint64_t middle = low + (high - low) / 2, v;
		int r = spill_read(s, middle * 8, &v, sizeof(v));
		if (r < 0)
			return r;
		if (v == key)
			return 1;
		if (v < key)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

int made_has(const struct made *m, uint64_t key)
{
	if (set64_has(&m->recent, key))
		return 1;
	for (size_t i = 0; i < m->runs_n; i++) {
		int r = run_has(&m->runs, i ? m->run_end[i - 1] : 0, m->run_end[i], key);
		if (r)
			return r;
	}
	return 0;
}

void made_clear(struct made *m)
{
	set64_clear(&m->recent);
	spill_release(&m->runs);
	m->runs_n = 0;
}

void made_release(struct made *m)
{
	set64_release(&m->recent);
	spill_release(&m->runs);
}
