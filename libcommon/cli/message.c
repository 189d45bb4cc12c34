/* Messages and the end of the process. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/cli.h"

const char *applet_name = "ocibox";
bool cli_quiet, cli_debug, cli_chain_loader;

/* One write a message, so that the lines of several processes on one terminal stay whole. */
static void message(const char *kind, const char *fmt, va_list ap)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	buf_addf(&b, "%s: %s", applet_name, kind);
	buf_vaddf(&b, fmt, ap);
	buf_addc(&b, '\n');
	fd_write_all(STDERR_FILENO, b.p, b.n);
}

void say(const char *fmt, ...)
{
	if (cli_quiet)
		return;
	va_list ap;
	va_start(ap, fmt);
	message("", fmt, ap);
	va_end(ap);
}

void warn(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	message("warning: ", fmt, ap);
	va_end(ap);
}

void debug(const char *fmt, ...)
{
	if (!cli_debug)
		return;
	va_list ap;
	va_start(ap, fmt);
	message("debug: ", fmt, ap);
	va_end(ap);
}

void die(int status, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	message("", fmt, ap);
	va_end(ap);
	exit(cli_chain_loader ? 125 : status);
}

/* What a user can do about it, where that is known. */
static const char *advice(int code)
{
	switch (code) {
	case -EMFILE:
		return " (raise ulimit -n)";
	case -ENOSPC:
		return " (free some room)";
	default:
		return "";
	}
}

static _noreturn_ void die_as(int status, const char *what, int code, const struct err *e)
{
	const char *text = e && e->code && e->text[0] ? e->text : err_word(code);

	die(status, "%s%s%s%s", what ? what : "", what ? ": " : "", text, advice(code));
}

void die_err(const char *what, int code, const struct err *e)
{
	die_as(exit_status(code), what, code, e);
}

void die_output(const char *what, int code, const struct err *e)
{
	int status = exit_status(code);

	die_as(status == 66 ? 73 : status, what, code, e);
}

static int errno_status(int code)
{
	switch (code) {
	case -ENOENT:
	case -ENOTDIR:
	case -EISDIR:
		return 66;
	case -EEXIST:
	case -ENOTEMPTY:
	case -ENOSPC:
	case -EDQUOT:
	case -EROFS:
		return 73;
	case -EIO:
	case -EPIPE:
	case -EFBIG:
		return 74;
	case -EACCES:
	case -EPERM:
		return 77;
	case -ECONNREFUSED:
	case -ECONNRESET:
	case -ETIMEDOUT:
	case -EHOSTUNREACH:
	case -ENETUNREACH:
		return 69;
	default:
		return 71;
	}
}

int exit_status(int code)
{
	switch (code) {
	case E_USAGE:
		return 64;
	case E_FORMAT:
	case E_TRUNCATED:
	case E_DIGEST:
	case E_SIZE:
	case E_TOOBIG:
	case E_UNSAFE_PATH:
	case E_UNSUPPORTED:
		return 65;
	case E_NOT_FOUND:
	case E_EMPTY:
		return 66;
	case E_UNAVAILABLE:
		return 69;
	case E_EXISTS:
	case E_TMPDIR:
		return 73;
	case E_IO:
		return 74;
	case E_TRY_LATER:
		return 75;
	case E_PROTOCOL:
		return 76;
	case E_AUTH:
		return 77;
	default:
		return errno_status(code);
	}
}
