/*
 * Progress: meters drawn on a terminal, told in plain lines, or written as JSON Lines, by a thread
 * of its own.
 *
 * On a terminal what has ended stays as a line above; below it is redrawn what is under way, never
 * more lines than fit. The cursor rests below what was drawn, so that a process that is killed
 * leaves the terminal as it should be.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "libcommon/cli.h"

enum {
	DRAW_MS = 125,	/* between two redraws of a terminal */
	JSON_MS = 500,	/* between two reports of a meter under way */
	RATE_MS = 3000, /* the time over which a rate is taken */
	NAME_COLUMNS = 19,
	BAR_MIN = 8,
	BAR_MAX = 30,
};

/* What was last told of a meter. */
struct seen {
	int state;
	uint64_t told; /* done, in the last JSON line */
	uint64_t rate; /* bytes/s, smoothed */
	uint64_t rate_at, rate_done, began;
};

struct progress {
	enum progress_mode mode;
	int fd;
	struct meter *meters;
	size_t n;
	struct seen *seen;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool stop;
	unsigned lines; /* drawn below the ones that stay */
	struct buf out;
};

/* ---- figures ---- */

static uint64_t meter_done(const struct meter *m)
{
	return atomic_load_explicit(&m->done, memory_order_relaxed);
}

static uint64_t meter_total(const struct meter *m)
{
	return atomic_load_explicit(&m->total, memory_order_relaxed);
}

static void update_rate(struct seen *s, uint64_t done, uint64_t now)
{
	if (!s->began) {
		s->began = s->rate_at = now;
		s->rate_done = done; /* what an earlier run had fetched was not fetched now */
		return;
	}
	uint64_t ms = now - s->rate_at;
	if (ms < DRAW_MS || done < s->rate_done)
		return;
	uint64_t rate = (done - s->rate_done) * 1000 / ms;
	uint64_t weight = MIN(ms, (uint64_t)RATE_MS);
	s->rate = s->rate ? (s->rate * (RATE_MS - weight) + rate * weight) / RATE_MS : rate;
	s->rate_at = now;
	s->rate_done = done;
}

static void add_duration(struct buf *b, uint64_t seconds)
{
	if (seconds < 60)
		buf_addf(b, "%us", (unsigned)seconds);
	else if (seconds < 3600)
		buf_addf(b, "%um%02us", (unsigned)(seconds / 60), (unsigned)(seconds % 60));
	else
		buf_addf(b, "%uh%02um", (unsigned)MIN(seconds / 3600, (uint64_t)999),
			 (unsigned)(seconds / 60 % 60));
}

/* ---- the terminal ---- */

static void terminal_size(int fd, unsigned *columns, unsigned *rows)
{
	struct winsize ws = { 0 };

	*columns = 80;
	*rows = 24;
	if (ioctl(fd, TIOCGWINSZ, &ws) == 0) {
		*columns = ws.ws_col ? ws.ws_col : 80;
		*rows = ws.ws_row ? ws.ws_row : 24;
	}
}

/* One line, cut so that it never wraps: the last column stays free, because some terminals wrap
 * after it. */
static void put_line(struct progress *p, struct buf *line, unsigned columns)
{
	buf_add(&p->out, line->p, MIN(line->n, (size_t)(columns > 1 ? columns - 1 : 1)));
	buf_adds(&p->out, "\033[K\n");
	buf_clear(line);
}

static void add_bar(struct buf *b, unsigned width, uint64_t done, uint64_t total)
{
	unsigned inner = width - 2;
	unsigned full = total ? (unsigned)((double)MIN(done, total) / (double)total * inner) : 0;

	buf_addc(b, '[');
	for (unsigned i = 0; i < inner; i++)
		buf_addc(b, i < full ? '=' : i == full ? '>' : ' ');
	buf_adds(b, "] ");
}

/* "NAME  [====>    ]  12.3 MB/45.6 MB  10.1 MB/s  3s", as much of it as fits. */
static void running_line(struct buf *line, const char *name, uint64_t done, uint64_t total,
			 uint64_t rate, unsigned columns)
{
	char have[16], all[16], speed[16];
	_cleanup_(buf_release) struct buf size = BUF_INIT, flow = BUF_INIT;
	unsigned room = columns > 1 ? columns - 1 : 1;

	buf_addf(&size, "%s", num_human(done, have));
	if (total)
		buf_addf(&size, "/%s", num_human(total, all));
	if (rate) {
		buf_addf(&flow, "  %s/s", num_human(rate, speed));
		if (total > done) {
			buf_adds(&flow, "  ");
			add_duration(&flow, (total - done + rate - 1) / rate);
		}
	}
	/* the name gives way last, the bar first; the figures stand in columns of their own */
	unsigned figures = 19, flows = 20, name_room = NAME_COLUMNS;
	if (room < name_room + 2 + size.n)
		name_room = room > size.n + 2 ? room - 2 - (unsigned)size.n : 0;
	if (name_room)
		buf_addf(line, "%-*.*s  ", (int)name_room, (int)name_room, name);
	int bar = (int)room - (int)(name_room + 2 + 1 + figures + flows);
	if (bar >= BAR_MIN && total)
		add_bar(line, (unsigned)MIN(bar, (int)BAR_MAX), done, total);
	buf_addf(line, "%*s", room >= name_room + 2 + figures + flows ? (int)figures : 0,
		 buf_str(&size));
	if (line->n + flow.n <= room)
		buf_add_span(line, buf_span(&flow));
}

static void ended_line(struct buf *line, const struct meter *m, int state)
{
	char size[16];
	const char *what = state == METER_DONE	   ? "fetched"
			   : state == METER_EXISTS ? "already there"
						   : "failed";

	num_human(meter_done(m), size);
	buf_addf(line, "%-*s  %s  %s", NAME_COLUMNS, m->name, size, what);
}

struct totals {
	uint64_t done, total, rate;
	unsigned running, waiting;
};

/* Lines of what has ended since the last time; the figures of the rest. */
static struct totals draw_ended(struct progress *p, struct buf *line, unsigned columns,
				uint64_t now)
{
	struct totals t = { 0 };

	for (size_t i = 0; i < p->n; i++) {
		const struct meter *m = &p->meters[i];
		struct seen *s = &p->seen[i];
		int state = atomic_load_explicit(&m->state, memory_order_relaxed);

		t.total += meter_total(m);
		t.done += meter_done(m);
		t.waiting += state == METER_WAITING;
		if (state == METER_RUNNING) {
			update_rate(s, meter_done(m), now);
			t.running++;
			t.rate += s->rate;
		} else if (state != METER_WAITING && state != s->state) {
			ended_line(line, m, state);
			put_line(p, line, columns);
		}
		s->state = state;
	}
	return t;
}

/* A job in the background does not draw over what its user does in the meantime. */
static bool in_background(int fd)
{
	pid_t group = tcgetpgrp(fd);

	return group > 0 && group != getpgrp();
}

static void draw_terminal(struct progress *p, uint64_t now, bool last)
{
	_cleanup_(buf_release) struct buf line = BUF_INIT;
	unsigned columns, rows;

	if (!last && in_background(p->fd))
		return;

	terminal_size(p->fd, &columns, &rows);
	buf_clear(&p->out);
	if (p->lines)
		buf_addf(&p->out, "\033[%uA", p->lines);
	buf_adds(&p->out, "\r");
	struct totals t = draw_ended(p, &line, columns, now);

	p->lines = 0;
	unsigned room = rows > 3 ? rows - 2 : 1;
	for (size_t i = 0; !last && i < p->n && p->lines + 1 < room; i++) {
		const struct meter *m = &p->meters[i];

		if (p->seen[i].state != METER_RUNNING)
			continue;
		running_line(&line, m->name, meter_done(m), meter_total(m), p->seen[i].rate,
			     columns);
		put_line(p, &line, columns);
		p->lines++;
	}
	if (!last && p->n > 1 && t.running) {
		char name[32];

		snprintf(name, sizeof(name), t.waiting ? "in all (%u to come)" : "in all",
			 t.waiting);
		running_line(&line, name, t.done, t.total, t.rate, columns);
		put_line(p, &line, columns);
		p->lines++;
	}
	buf_adds(&p->out, "\033[J");
	fd_write_all(p->fd, p->out.p, p->out.n);
}

/* ---- lines ---- */

static void tell_plain(struct progress *p)
{
	buf_clear(&p->out);
	for (size_t i = 0; i < p->n; i++) {
		int state = atomic_load_explicit(&p->meters[i].state, memory_order_relaxed);

		if (state != p->seen[i].state && state > METER_RUNNING) {
			buf_addf(&p->out, "%s: ", applet_name);
			ended_line(&p->out, &p->meters[i], state);
			buf_addc(&p->out, '\n');
		}
		p->seen[i].state = state;
	}
	if (p->out.n)
		fd_write_all(p->fd, p->out.p, p->out.n);
}

static void put_json(struct progress *p, const struct meter *m, int state, uint64_t rate)
{
	static const char *const names[] = { "waiting", "running", "done", "exists", "failed" };
	struct json_out o = { 0 };

	json_begin(&o, '{');
	json_key(&o, "id");
	json_put_str(&o, span_str(m->name));
	json_key(&o, "state");
	json_put_str(&o, span_str(names[state]));
	json_key(&o, "done");
	json_put_i64(&o, (int64_t)meter_done(m));
	json_key(&o, "total");
	json_put_i64(&o, (int64_t)meter_total(m));
	if (state == METER_RUNNING) {
		json_key(&o, "rate");
		json_put_i64(&o, (int64_t)rate);
	}
	json_end(&o, '}');
	buf_add_span(&p->out, buf_span(&o.b));
	buf_addc(&p->out, '\n');
	json_out_release(&o);
}

static void tell_json(struct progress *p, uint64_t now)
{
	buf_clear(&p->out);
	for (size_t i = 0; i < p->n; i++) {
		const struct meter *m = &p->meters[i];
		struct seen *s = &p->seen[i];
		int state = atomic_load_explicit(&m->state, memory_order_relaxed);

		if (state == METER_RUNNING)
			update_rate(s, meter_done(m), now);
		if (state == s->state && (state != METER_RUNNING || meter_done(m) == s->told))
			continue;
		put_json(p, m, state, s->rate);
		s->state = state;
		s->told = meter_done(m);
	}
	if (p->out.n)
		fd_write_all(p->fd, p->out.p, p->out.n);
}

/* ---- the thread ---- */

static void tell(struct progress *p, bool last)
{
	uint64_t now = clock_ms();

	if (p->mode == PROGRESS_JSON)
		tell_json(p, now);
	else if (p->mode == PROGRESS_PLAIN)
		tell_plain(p);
	else
		draw_terminal(p, now, last);
}

static void *draw(void *arg)
{
	struct progress *p = arg;
	long ms = p->mode == PROGRESS_JSON ? JSON_MS : DRAW_MS;

	pthread_mutex_lock(&p->lock);
	while (!p->stop) {
		struct timespec until;

		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += ms * 1000000;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		while (!p->stop && pthread_cond_timedwait(&p->wake, &p->lock, &until) != ETIMEDOUT)
			;
		if (!p->stop)
			tell(p, false);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct progress *progress_start(enum progress_mode mode, int fd, struct meter *meters, size_t n)
{
	pthread_condattr_t monotonic;

	if (mode == PROGRESS_NONE || !n || (mode == PROGRESS_AUTO && !isatty(fd)))
		return NULL;
	/* lines of --debug would be drawn over */
	if (mode == PROGRESS_AUTO && cli_debug)
		mode = PROGRESS_PLAIN;
	struct progress *p = xcalloc(1, sizeof(*p));
	*p = (struct progress){ .mode = mode, .fd = fd, .meters = meters, .n = n };
	p->seen = xcalloc(n, sizeof(*p->seen));
	pthread_mutex_init(&p->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&p->wake, &monotonic);
	if (thread_start(&p->thread, draw, p) < 0) {
		free(p->seen);
		free(p);
		return NULL;
	}
	return p;
}

void progress_stop(struct progress *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
	pthread_join(p->thread, NULL);
	tell(p, true);
	buf_release(&p->out);
	free(p->seen);
	free(p);
}
