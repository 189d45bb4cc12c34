/* Borrowed bytes. */
#include <string.h>
#include <strings.h>

#include "libcommon/base.h"

struct span span_of(const void *p, size_t n)
{
	return (struct span){ p, n };
}

struct span span_str(const char *s)
{
	return (struct span){ (const unsigned char *)s, s ? strlen(s) : 0 };
}

bool span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool span_is(struct span a, const char *s)
{
	return span_eq(a, span_str(s));
}

bool span_is_nocase(struct span a, const char *s)
{
	return a.n == strlen(s) && (a.n == 0 || strncasecmp((const char *)a.p, s, a.n) == 0);
}

bool span_starts(struct span a, const char *prefix)
{
	size_t n = strlen(prefix);
	return a.n >= n && (n == 0 || memcmp(a.p, prefix, n) == 0);
}

bool span_ends(struct span a, const char *suffix)
{
	size_t n = strlen(suffix);
	return a.n >= n && (n == 0 || memcmp(a.p + a.n - n, suffix, n) == 0);
}

int span_cmp(struct span a, struct span b)
{
	size_t n = MIN(a.n, b.n);
	int c = n ? memcmp(a.p, b.p, n) : 0;
	return c ? c : (a.n > b.n) - (a.n < b.n);
}

static bool is_blank(unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span span_trim(struct span a)
{
	while (a.n && is_blank(a.p[0])) {
		a.p++;
		a.n--;
	}
	while (a.n && is_blank(a.p[a.n - 1]))
		a.n--;
	return a;
}

struct span span_tail(struct span a, size_t from)
{
	from = MIN(from, a.n);
	return (struct span){ a.p ? a.p + from : NULL, a.n - from };
}

size_t span_find(struct span a, char c)
{
	const unsigned char *q = a.n ? memchr(a.p, c, a.n) : NULL;
	return q ? (size_t)(q - a.p) : a.n;
}

size_t span_rfind(struct span a, char c)
{
	for (size_t i = a.n; i > 0; i--)
		if (a.p[i - 1] == (unsigned char)c)
			return i - 1;
	return a.n;
}

bool span_cut(struct span *rest, char sep, struct span *part)
{
	if (!rest->p)
		return false;
	size_t at = span_find(*rest, sep);
	*part = (struct span){ rest->p, at };
	if (at == rest->n)
		*rest = (struct span){ NULL, 0 };
	else
		*rest = span_tail(*rest, at + 1);
	return true;
}

char *span_dup(struct span a)
{
	char *s = xmalloc(a.n + 1);
	if (a.n)
		memcpy(s, a.p, a.n);
	s[a.n] = '\0';
	return s;
}
