/* Another program's opinion of some bytes. */
#ifndef TOOL_H
#define TOOL_H

#include <stdlib.h>
#include <unistd.h>

#include "libcommon/io.h"

/* Runs argv, "@" in it standing for a file that holds in: its standard output. False where there is no such program. */
__attribute__((unused)) static bool by_tool(const char *const *argv, struct span in, struct buf *out, int *status)
{
	char path[] = "/tmp/ocibox-unit-XXXXXX";
	const char *args[10] = { 0 };
	int fd = mkstemp(path);

	for (size_t i = 0; argv[i]; i++)
		args[i] = *argv[i] == '@' ? path : argv[i];
	if (fd < 0 || fd_write_all(fd, in.p, in.n))
		abort();
	close(fd);
	struct spawn sp = { .argv = args, .output_max = MIB(64), .quiet = true };
	int r = spawn_run(&sp, out, status);
	unlink(path);
	return r == 0;
}

#endif
