/*
 * A tiny producer of TAP for the unit tests:
 *
 *	int main(void)
 *	{
 *		ok(f() == 0, "f of %s", what);
 *		is_num(n, 3, "count");
 *		is_str(s, "abc", "text");
 *		return done_testing();
 *	}
 */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int tap_n, tap_bad;

__attribute__((format(printf, 4, 5), unused)) static bool tap_ok(const char *file, int line, bool good,
								 const char *fmt, ...)
{
	va_list ap;

	printf("%sok %d - ", good ? "" : "not ", ++tap_n);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	if (!good) {
		printf("# at %s:%d\n", file, line);
		tap_bad++;
	}
	fflush(stdout);
	return good;
}

__attribute__((unused)) static bool tap_num(const char *file, int line, long long got, long long want,
					    const char *name)
{
	bool good = tap_ok(file, line, got == want, "%s", name);

	if (!good)
		printf("# got %lld, want %lld\n", got, want);
	return good;
}

__attribute__((unused)) static bool tap_str(const char *file, int line, const char *got, const char *want,
					    const char *name)
{
	bool same = got && want ? !strcmp(got, want) : got == want;
	bool good = tap_ok(file, line, same, "%s", name);

	if (!good)
		printf("# got  %s\n# want %s\n", got ? got : "NULL", want ? want : "NULL");
	return good;
}

#define ok(good, ...) tap_ok(__FILE__, __LINE__, (good), __VA_ARGS__)
#define is_num(got, want, name) tap_num(__FILE__, __LINE__, (long long)(got), (long long)(want), name)
#define is_str(got, want, name) tap_str(__FILE__, __LINE__, (got), (want), name)
#define skip(why) printf("ok %d # SKIP %s\n", ++tap_n, why)
#define diag(...) (printf("# " __VA_ARGS__), putchar('\n'))

/* Prints the plan; the status of main. */
__attribute__((unused)) static int done_testing(void)
{
	printf("1..%d\n", tap_n);
	return tap_bad != 0;
}

#endif
