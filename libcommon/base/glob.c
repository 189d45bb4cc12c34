/* tar's globs for --exclude. */
#include <string.h>

#include "libcommon/base.h"

/* Matches c against the class that begins behind "["; *end is set behind "]". A class without an end is the letter "[" itself. */
static bool class_matches(const char *p, unsigned char c, const char **end)
{
	bool negated = *p == '!' || *p == '^';
	const char *q = p + negated;
	bool found = false;
	for (const char *first = q; *q && (*q != ']' || q == first);) {
		unsigned char low = (unsigned char)*q++, high = low;
		if (q[0] == '-' && q[1] && q[1] != ']') {
			high = (unsigned char)q[1];
			q += 2;
		}
		found |= c >= low && c <= high;
	}
	if (*q != ']') {
		*end = p;
		return c == '[';
	}
	*end = q + 1;
	return found != negated;
}

/* Iterative, with one point to go back to: the last star. Linear memory, at most pattern times text steps. */
static bool glob_whole(const char *pattern, struct span text)
{
	const char *p = pattern, *star = NULL;
	size_t at = 0, star_at = 0;
	for (;;) {
		if (*p == '*') {
			star = ++p;
			star_at = at;
			continue;
		}
		if (at == text.n) {
			if (!*p)
				return true;
			return false;
		}
		const char *next = p + 1;
		bool match = false;
		if (*p == '?')
			match = true;
		else if (*p == '[')
			match = class_matches(p + 1, text.p[at], &next);
		else if (*p == '\\' && p[1])
			match = (unsigned char)*next++ == text.p[at];
		else
			match = *p && (unsigned char)*p == text.p[at];
		if (match) {
			p = next;
			at++;
		} else if (star) {
			p = star;
			at = ++star_at;
		} else {
			return false;
		}
	}
}

bool glob_excludes(const char *pattern, struct span path)
{
	const char *given = pattern;

	while (*pattern == '/' || (pattern[0] == '.' && pattern[1] == '/'))
		pattern++;
	if (glob_whole(pattern, path))
		return true;
	for (size_t i = 0; pattern == given && i < path.n; i++)
		if (path.p[i] == '/' && glob_whole(pattern, span_tail(path, i + 1)))
			return true;
	return false;
}

bool globs_exclude(const char *const *patterns, struct span path)
{
	for (; patterns && *patterns; patterns++)
		for (size_t i = 1; i <= path.n; i++)
			if ((i == path.n || path.p[i] == '/') &&
			    glob_excludes(*patterns, span_of(path.p, i)))
				return true;
	return false;
}
