/* Points in time as image configs have them: RFC 3339. */
#include "libcommon/oci.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The years that RFC 3339 can say. */
#define SECONDS_MIN INT64_C(-62135596800)
#define SECONDS_MAX INT64_C(253402300799)

static char *text_of(int64_t seconds, struct span fraction)
{
	time_t t = (time_t)seconds;
	struct tm tm;
	char date[40];

	gmtime_r(&t, &tm);
	while (fraction.n && fraction.p[fraction.n - 1] == '0')
		fraction.n--;
	snprintf(date, sizeof(date), "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900,
		 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
	return xasprintf("%s%s%.*sZ", date, fraction.n ? "." : "", (int)fraction.n,
			 (const char *)fraction.p);
}

/* Numbers of fixed width by a pattern in which a digit stands for itself many digits. */
static bool scan(struct span *s, const char *pattern, int *out)
{
	for (; *pattern; pattern++) {
		if (!isdigit((unsigned char)*pattern)) {
			if (!s->n || toupper(s->p[0]) != *pattern)
				return false;
			*s = span_tail(*s, 1);
			continue;
		}
		size_t width = (size_t)(*pattern - '0');
		uint64_t n;

		if (s->n < width || num_u64(span_of(s->p, width), 9999, &n) < 0)
			return false;
		*out++ = (int)n;
		*s = span_tail(*s, width);
	}
	return true;
}

/* "Z" or "+01:30" as seconds east. */
static bool zone(struct span s, int *east)
{
	int hm[2];
	int sign;

	*east = 0;
	if (span_is_nocase(s, "Z"))
		return true;
	if (!s.n || (s.p[0] != '+' && s.p[0] != '-'))
		return false;
	sign = s.p[0] == '-' ? -1 : 1;
	s = span_tail(s, 1);
	if (!scan(&s, "2:2", hm) || s.n || hm[0] > 23 || hm[1] > 59)
		return false;
	*east = sign * (hm[0] * 3600 + hm[1] * 60);
	return true;
}

static bool rfc3339(struct span s, int64_t *seconds, struct span *fraction)
{
	int f[6], east;
	struct tm tm;

	*fraction = span_of(NULL, 0);
	if (!scan(&s, "4-2-2T2:2:2", f))
		return false;
	if (s.n && s.p[0] == '.') {
		*fraction = s = span_tail(s, 1);
		for (fraction->n = 0; fraction->n < s.n && isdigit(s.p[fraction->n]);)
			fraction->n++;
		s = span_tail(s, fraction->n);
		if (!fraction->n || fraction->n > 9)
			return false;
	}
	if (!zone(s, &east) || f[0] < 1 || f[1] < 1 || f[1] > 12 || f[2] < 1 || f[2] > 31 ||
	    f[3] > 23 || f[4] > 59 || f[5] > 59)
		return false;
	tm = (struct tm){ .tm_year = f[0] - 1900,
			  .tm_mon = f[1] - 1,
			  .tm_mday = f[2],
			  .tm_hour = f[3],
			  .tm_min = f[4],
			  .tm_sec = f[5] };
	*seconds = (int64_t)timegm(&tm) - east;
	/* the 30th of February is another day */
	return tm.tm_mday == f[2] && *seconds >= SECONDS_MIN && *seconds <= SECONDS_MAX;
}

/* text: what is missing of a time of the day, and UTC, is put there; *fraction points into it. */
static int any_time(const char *s, char text[48], int64_t *seconds, struct span *fraction,
		    struct err *e)
{
	size_t length = strlen(s);
	uint64_t n;

	*fraction = span_of(NULL, 0);
	if (num_u64(span_str(s + (*s == '@')), (uint64_t)SECONDS_MAX, &n) == 0) {
		*seconds = (int64_t)n;
		return 0;
	}
	snprintf(text, 48, "%s%s", s,
		 length == 10	? "T00:00:00Z"
		 : length == 16 ? ":00Z"
		 : length == 19 ? "Z"
				: "");
	if (length > 10 && text[10] == ' ')
		text[10] = 'T';
	if (length < 40 && rfc3339(span_str(text), seconds, fraction))
		return 0;
	return err_set(
		e, E_USAGE,
		"%s is neither a time such as 2024-05-06T07:08:09Z or 2024-05-06 nor seconds "
		"since 1970",
		quoted_str(s));
}

int time_canonical(const char *s, char **out, struct err *e)
{
	struct span fraction;
	int64_t seconds;
	char text[48];
	int r = any_time(s, text, &seconds, &fraction, e);

	if (r == 0)
		*out = text_of(seconds, fraction);
	return r;
}

int time_seconds(const char *s, int64_t *out, struct err *e)
{
	struct span fraction;
	char text[48];

	return any_time(s, text, out, &fraction, e);
}
