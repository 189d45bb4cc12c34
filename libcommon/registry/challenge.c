/*
 * What a 401, 429 or 503 says: WWW-Authenticate (RFC 9110 11.6.1) and Retry-After (RFC
 * 9110 10.2.3).
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/internal.h"

enum { CHALLENGE_MAX = 8192, CHALLENGE_PARAMS_MAX = 64 };

void challenge_release(struct challenge *c)
{
	free(c->realm);
	free(c->service);
	free(c->scope);
	free(c->error);
	*c = (struct challenge){ 0 };
}

/* tchar of RFC 9110 5.6.2 */
static bool is_token_char(unsigned char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

static void skip_blanks(struct span *s)
{
	while (s->n && (*s->p == ' ' || *s->p == '\t'))
		*s = span_tail(*s, 1);
}

static struct span take_token(struct span *s)
{
	size_t n = 0;

	while (n < s->n && is_token_char(s->p[n]))
		n++;
	struct span token = span_of(s->p, n);
	*s = span_tail(*s, n);
	return token;
}

/* The text of a quoted-string, whose opening quote is next in s. */
static int take_quoted(struct span *s, struct buf *out)
{
	for (size_t i = 1; i < s->n; i++) {
		unsigned char c = s->p[i];

		if (c == '"') {
			*s = span_tail(*s, i + 1);
			return 0;
		}
		if (c == '\\' && ++i == s->n)
			break;
		c = s->p[i];
		if (c < 0x20 || c == 0x7f)
			break;
		buf_addc(out, (char)c);
	}
	return E_PROTOCOL;
}

/* token68 of RFC 9110 11.2, which stands in place of parameters: "Negotiate dG9rZW4=". */
static bool take_token68(struct span *s)
{
	size_t n = 0;

	while (n < s->n && (is_token_char(s->p[n]) || s->p[n] == '/'))
		n++;
	while (n < s->n && s->p[n] == '=')
		n++;
	struct span rest = span_tail(*s, n);
	skip_blanks(&rest);
	if (!n || (rest.n && *rest.p != ','))
		return false;
	*s = rest;
	return true;
}

static char **param_slot(struct challenge *c, struct span name)
{
	if (span_is_nocase(name, "realm"))
		return &c->realm;
	if (span_is_nocase(name, "service"))
		return &c->service;
	if (span_is_nocase(name, "scope"))
		return &c->scope;
	if (span_is_nocase(name, "error"))
		return &c->error;
	return NULL;
}

/* The value of one parameter, after its "=". The same name twice would leave it to us which one
 * holds. */
static int take_value(struct span *s, struct span name, struct challenge *c)
{
	_cleanup_(buf_release) struct buf value = BUF_INIT;
	char **slot = param_slot(c, name);

	skip_blanks(s);
	if (s->n && *s->p == '"') {
		if (take_quoted(s, &value))
			return E_PROTOCOL;
	} else {
		struct span token = take_token(s);

		if (!token.n)
			return E_PROTOCOL;
		buf_add_span(&value, token);
	}
	if (!slot)
		return 0;
	if (*slot)
		return E_PROTOCOL;
	*slot = xstrdup(buf_str(&value));
	return 0;
}

/* The parameters of a challenge: up to the end, or to a token that no "=" follows, which is the
 * next scheme. */
static int take_params(struct span *s, struct challenge *c)
{
	bool first = true;

	for (int n = 0; n < CHALLENGE_PARAMS_MAX; n++) {
		bool comma = first;

		skip_blanks(s);
		while (s->n && *s->p == ',') {
			comma = true;
			*s = span_tail(*s, 1);
			skip_blanks(s);
		}
		if (!s->n)
			return 0;
		struct span rest = *s, name = take_token(&rest);
		skip_blanks(&rest);
		if (!name.n || !comma)
			return E_PROTOCOL;
		if (!rest.n || *rest.p != '=')
			return 0;
		rest = span_tail(rest, 1);
		*s = rest;
		if (take_value(s, name, c))
			return E_PROTOCOL;
		first = false;
	}
	return E_PROTOCOL;
}

/* One challenge of the list; *found stays CHALLENGE_NONE for a scheme that we do not speak. */
static int take_challenge(struct span *s, struct challenge *found)
{
	struct span scheme = take_token(s);

	if (!scheme.n || (s->n && *s->p != ' ' && *s->p != '\t' && *s->p != ','))
		return E_PROTOCOL;
	if (span_is_nocase(scheme, "basic"))
		found->scheme = CHALLENGE_BASIC;
	else if (span_is_nocase(scheme, "bearer"))
		found->scheme = CHALLENGE_BEARER;
	skip_blanks(s);
	if (!s->n || *s->p == ',')
		return 0;

	struct span rest = *s, name = take_token(&rest);
	skip_blanks(&rest);
	/* "name=" with something behind it is a parameter; "abc=" and "abc" alone are a token68 */
	bool param = name.n && rest.n > 1 && *rest.p == '=' && rest.p[1] != '=' && rest.p[1] != ',';
	if (!param)
		return take_token68(s) ? 0 : E_PROTOCOL;
	return take_params(s, found);
}

int challenge_parse(struct span value, struct challenge *c)
{
	_cleanup_(challenge_release) struct challenge best = { 0 };
	struct span s = value;

	if (s.n > CHALLENGE_MAX)
		return E_PROTOCOL;
	for (;;) {
		_cleanup_(challenge_release) struct challenge found = { 0 };

		skip_blanks(&s);
		while (s.n && *s.p == ',') {
			s = span_tail(s, 1);
			skip_blanks(&s);
		}
		if (!s.n)
			break;
		if (take_challenge(&s, &found))
			return E_PROTOCOL;
		if (found.scheme == CHALLENGE_BEARER && (!found.realm || !*found.realm))
			continue;
		if (found.scheme > best.scheme) {
			struct challenge worse = best;

			best = found;
			found = worse;
		}
	}
	if (best.scheme > c->scheme) {
		struct challenge worse = *c;

		*c = best;
		best = worse;
	}
	return 0;
}

/* ---- Retry-After ---- */

/* Days from 1970-01-01 to a day of the Gregorian calendar. */
static int64_t days_from_civil(int64_t y, unsigned month, unsigned day)
{
	y -= month <= 2;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year = y - era * 400;
	int64_t days = (153 * (int64_t)(month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + year * 365 + year / 4 - year / 100 + days - 719468;
}

struct date {
	uint64_t year, month, day, hour, minute, second;
};

static bool take_digits(struct span *s, size_t n, uint64_t *out)
{
	if (s->n < n || num_u64(span_of(s->p, n), 9999, out))
		return false;
	*s = span_tail(*s, n);
	return true;
}

static bool take_text(struct span *s, const char *text)
{
	if (!span_starts(*s, text))
		return false;
	*s = span_tail(*s, strlen(text));
	return true;
}

static bool take_month(struct span *s, uint64_t *out)
{
	static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

	for (uint64_t i = 0; i < 12; i++) {
		if (s->n >= 3 && !memcmp(s->p, names + i * 3, 3)) {
			*s = span_tail(*s, 3);
			*out = i + 1;
			return true;
		}
	}
	return false;
}

static bool take_clock(struct span *s, struct date *d)
{
	return take_digits(s, 2, &d->hour) && take_text(s, ":") && take_digits(s, 2, &d->minute) &&
	       take_text(s, ":") && take_digits(s, 2, &d->second);
}

/* "06 Nov 1994 08:49:37 GMT" */
static bool date_imf(struct span s, struct date *d)
{
	return take_digits(&s, 2, &d->day) && take_text(&s, " ") && take_month(&s, &d->month) &&
	       take_text(&s, " ") && take_digits(&s, 4, &d->year) && take_text(&s, " ") &&
	       take_clock(&s, d) && span_is(s, " GMT");
}

/* "06-Nov-94 08:49:37 GMT": two digits mean the year that is at most 50 years ahead */
static bool date_rfc850(struct span s, struct date *d, int64_t now)
{
	if (!(take_digits(&s, 2, &d->day) && take_text(&s, "-") && take_month(&s, &d->month) &&
	      take_text(&s, "-") && take_digits(&s, 2, &d->year) && take_text(&s, " ") &&
	      take_clock(&s, d) && span_is(s, " GMT")))
		return false;
	uint64_t this_year = now > 0 ? 1970 + (uint64_t)now / 31556952 : 1970;
	d->year += this_year / 100 * 100;
	if (d->year > this_year + 50)
		d->year -= 100;
	return true;
}

/* "Nov  6 08:49:37 1994" */
static bool date_asctime(struct span s, struct date *d)
{
	return take_month(&s, &d->month) && take_text(&s, " ") &&
	       (take_text(&s, " ") ? take_digits(&s, 1, &d->day) : take_digits(&s, 2, &d->day)) &&
	       take_text(&s, " ") && take_clock(&s, d) && take_text(&s, " ") &&
	       take_digits(&s, 4, &d->year) && !s.n;
}

static bool date_parse(struct span s, struct date *d, int64_t now)
{
	size_t comma = span_find(s, ',');
	struct span head = span_of(s.p, MIN(comma, s.n));

	for (size_t i = 0; i < head.n && head.p[i] != ' '; i++)
		if ((head.p[i] | 0x20) < 'a' || (head.p[i] | 0x20) > 'z')
			return false;
	if (comma < s.n) {
		struct span rest = span_tail(s, comma + 1);

		return take_text(&rest, " ") && (date_imf(rest, d) || date_rfc850(rest, d, now));
	}
	return s.n > 4 && s.p[3] == ' ' && date_asctime(span_tail(s, 4), d);
}

int64_t retry_after_parse(struct span value, int64_t now)
{
	static const int64_t most = INT64_C(1) << 31;
	struct span s = span_trim(value);
	struct date d = { 0 };
	uint64_t seconds;

	int r = num_u64(s, UINT64_MAX, &seconds);
	if (!r || r == -ERANGE)
		return r || seconds > (uint64_t)most ? most : (int64_t)seconds;
	if (!date_parse(s, &d, now) || d.day < 1 || d.day > 31 || d.hour > 23 || d.minute > 59 ||
	    d.second > 60)
		return -1;
	int64_t at = days_from_civil((int64_t)d.year, (unsigned)d.month, (unsigned)d.day) * 86400 +
		     (int64_t)(d.hour * 3600 + d.minute * 60 + d.second);
	if (at <= now)
		return 0;
	return at - now > most ? most : at - now;
}
