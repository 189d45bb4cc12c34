/* Errors: domain codes, their words, and the record that carries a fault's text to the applet. */
#include <stdio.h>
#include <string.h>

#include "libcommon/base.h"

/* Of a text that did not fit, no part of a character stays at the end. */
static void cut(char *text, size_t n)
{
	size_t i = n;

	while (i && n - i < 3 && (text[i - 1] & 0xc0) == 0x80)
		i--;
	if (i && (text[i - 1] & 0xc0) == 0xc0 && !utf8_valid(span_of(text + i - 1, n - i + 1)))
		text[i - 1] = '\0';
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	if (!e || e->code)
		return code;
	e->code = code;
	va_list ap;
	va_start(ap, fmt);
	if (vsnprintf(e->text, sizeof(e->text), fmt, ap) >= (int)sizeof(e->text))
		cut(e->text, sizeof(e->text) - 1);
	va_end(ap);
	return code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	if (!e || !e->code)
		return e ? e->code : 0;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	buf_addf(&b, ": %s", e->text[0] ? e->text : err_word(e->code));
	size_t n = MIN(b.n, sizeof(e->text) - 1);
	memcpy(e->text, b.p, n);
	e->text[n] = '\0';
	cut(e->text, n);
	return e->code;
}

void err_clear(struct err *e)
{
	if (e)
		*e = (struct err){ 0 };
}

const char *err_word(int code)
{
	static const struct {
		int code;
		const char *word;
	} words[] = {
		{ E_USAGE, "usage error" },
		{ E_FORMAT, "malformed data" },
		{ E_TRUNCATED, "truncated data" },
		{ E_DIGEST, "digest mismatch" },
		{ E_SIZE, "wrong size" },
		{ E_TOOBIG, "over a limit" },
		{ E_UNSAFE_PATH, "unsafe path" },
		{ E_UNSUPPORTED, "not supported" },
		{ E_NOT_FOUND, "not found" },
		{ E_EMPTY, "empty input" },
		{ E_UNAVAILABLE, "not available" },
		{ E_EXISTS, "exists already" },
		{ E_TMPDIR, "there is no such directory" },
		{ E_IO, "input/output error" },
		{ E_TRY_LATER, "try again later" },
		{ E_PROTOCOL, "protocol error" },
		{ E_AUTH, "access denied" },
	};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (words[i].code == code)
			return words[i].word;
	return code < 0 && code > -4096 ? strerror(-code) : "unknown error";
}
