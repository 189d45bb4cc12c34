/* The standard streams of a filter. */
#include <unistd.h>

#include "libcommon/cli.h"

void cli_need_stdout_not_tty(void)
{
	if (isatty(STDOUT_FILENO))
		die(64,
		    "refusing to write an archive to a terminal (use a pipe, a file, or see --help)");
}

struct stream *cli_stdin(void)
{
	if (isatty(STDIN_FILENO))
		die(64,
		    "refusing to read an archive from a terminal (use a pipe, a file, or see --help)");
	struct stream *s = stream_from_fd(STDIN_FILENO, false);
	struct span w = stream_peek(s);
	if (!w.n && stream_error(s))
		die_err("standard input", stream_error(s), NULL);
	if (!w.n)
		die(66, "standard input is empty (did the command before the pipe fail?)");
	return s;
}
