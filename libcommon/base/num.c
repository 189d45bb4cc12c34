/* Numbers: the whole text must be one, and nothing else. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "libcommon/base.h"

static int num_base(struct span s, unsigned base, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	if (s.n == 0)
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)s.p[i] - '0';
		if (digit >= base)
			return -EINVAL;
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit, &v))
			return -ERANGE;
	}
	if (v > max)
		return -ERANGE;
	*out = v;
	return 0;
}

int num_u64(struct span s, uint64_t max, uint64_t *out)
{
	return num_base(s, 10, max, out);
}

int num_octal(struct span s, uint64_t max, uint64_t *out)
{
	return num_base(s, 8, max, out);
}

static int hex_digit(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int num_hex(struct span s, unsigned char *out, size_t n)
{
	if (s.n != 2 * n)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(s.p[2 * i]), low = hex_digit(s.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return -EINVAL;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return 0;
}

void num_to_hex(const unsigned char *p, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[p[i] >> 4];
		out[2 * i + 1] = digits[p[i] & 15];
	}
	out[2 * n] = '\0';
}

/* Splits "123unit" or "1.5unit" into thousandths and the unit. */
static int split_unit(struct span s, uint64_t *thousandths, struct span *unit)
{
	size_t digits = 0;
	while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9')
		digits++;
	uint64_t whole, fraction = 0;
	int r = num_u64(span_of(s.p, digits), UINT64_MAX / 1000 - 1, &whole);
	if (r < 0)
		return r;
	size_t at = digits;
	if (at < s.n && s.p[at] == '.') {
		uint64_t scale = 100;
		for (at++; at < s.n && s.p[at] >= '0' && s.p[at] <= '9'; at++, scale /= 10)
			fraction += (uint64_t)(s.p[at] - '0') * scale;
		if (at == digits + 1)
			return -EINVAL;
	}
	*thousandths = whole * 1000 + fraction;
	*unit = span_tail(s, at);
	return 0;
}

static int scale(uint64_t thousandths, uint64_t unit, uint64_t *out)
{
	uint64_t whole, part = thousandths % 1000 * unit / 1000; /* units are 2^50 at most */
	if (__builtin_mul_overflow(thousandths / 1000, unit, &whole) ||
	    __builtin_add_overflow(whole, part, out))
		return -ERANGE;
	return 0;
}

int num_size(struct span s, uint64_t *out)
{
	static const char letters[] = "kmgtp";
	uint64_t thousandths;
	struct span unit;
	int r = split_unit(s, &thousandths, &unit);
	if (r < 0)
		return r;
	unsigned shift = 0;
	if (unit.n && !span_is_nocase(unit, "b")) {
		const char *letter = strchr(letters, unit.p[0] | 0x20);
		struct span rest = span_tail(unit, 1);
		if (!letter ||
		    !(rest.n == 0 || span_is_nocase(rest, "b") || span_is_nocase(rest, "ib")))
			return -EINVAL;
		shift = 10 * (unsigned)(letter - letters + 1);
	}
	return scale(thousandths, (uint64_t)1 << shift, out);
}

int num_duration_ms(struct span s, uint64_t *out)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "", 1000 },   { "s", 1000 },	{ "ms", 1 },
		      { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 } };
	uint64_t thousandths;
	struct span unit;
	int r = split_unit(s, &thousandths, &unit);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (span_is(unit, units[i].unit))
			return scale(thousandths, units[i].ms, out);
	return -EINVAL;
}

char *num_human(uint64_t bytes, char *out)
{
	static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
	double v = (double)bytes;
	size_t i = 0;
	while (v >= 999.5 && i + 1 < ARRAY_LEN(units)) {
		v /= 1000;
		i++;
	}
	snprintf(out, 16, i == 0 || v >= 99.95 ? "%.0f %s" : "%.1f %s", v, units[i]);
	return out;
}

static uint64_t clock_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t clock_ms(void)
{
	return clock_ns() / 1000000;
}

uint64_t clock_us(void)
{
	return clock_ns() / 1000;
}
