/* Owned bytes and vectors of strings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/base.h"

void buf_release(struct buf *b)
{
	free(b->p);
	*b = BUF_INIT;
}

void buf_reserve(struct buf *b, size_t more)
{
	size_t need;
	if (__builtin_add_overflow(b->n, more, &need) || __builtin_add_overflow(need, 1, &need))
		need = SIZE_MAX; /* xrealloc reports it */
	if (need <= b->cap)
		return;
	size_t cap = MAX(b->cap, (size_t)64);
	while (cap < need && cap < SIZE_MAX / 2)
		cap += cap / 2;
	cap = MAX(cap, need);
	b->p = xrealloc(b->p, cap);
	b->cap = cap;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	buf_reserve(b, n);
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_add_span(struct buf *b, struct span s)
{
	buf_add(b, s.p, s.n);
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		return;
	buf_reserve(b, (size_t)n);
	vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, ap);
	b->n += (size_t)n;
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

void buf_clear(struct buf *b)
{
	b->n = 0;
}

struct span buf_span(const struct buf *b)
{
	return (struct span){ b->p, b->n };
}

const char *buf_str(struct buf *b)
{
	buf_reserve(b, 0);
	b->p[b->n] = '\0';
	return (const char *)b->p;
}

char *buf_steal_str(struct buf *b)
{
	buf_str(b);
	char *s = (char *)b->p;
	*b = BUF_INIT;
	return s;
}

void strs_release(struct strs *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i]);
	free(s->v);
	*s = (struct strs){ 0 };
}

void strs_take(struct strs *s, char *str)
{
	if (s->n + 2 > s->cap) {
		s->cap = s->cap ? s->cap * 2 : 16;
		s->v = xrealloc(s->v, s->cap * sizeof(*s->v));
	}
	s->v[s->n++] = str;
	s->v[s->n] = NULL;
}

void strs_add(struct strs *s, const char *str)
{
	strs_take(s, xstrdup(str));
}

static size_t name_length(const char *name_value)
{
	return strcspn(name_value, "=");
}

static char **env_slot(const struct strs *s, const char *name, size_t n)
{
	for (size_t i = 0; i < s->n; i++)
		if (name_length(s->v[i]) == n && memcmp(s->v[i], name, n) == 0)
			return &s->v[i];
	return NULL;
}

void strs_set_env(struct strs *s, const char *name_value)
{
	char **slot = env_slot(s, name_value, name_length(name_value));
	if (!slot) {
		strs_add(s, name_value);
		return;
	}
	char *copy = xstrdup(name_value);
	free(*slot);
	*slot = copy;
}

const char *strs_get_env(const struct strs *s, const char *name)
{
	char **slot = env_slot(s, name, strlen(name));
	if (!slot)
		return NULL;
	const char *eq = strchr(*slot, '=');
	return eq ? eq + 1 : "";
}
