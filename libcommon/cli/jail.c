/* The door that applets close which read images. */
#include <fcntl.h>
#include <stdlib.h>

#include "libcommon/cli.h"

void cli_jail(int write_below)
{
	const char *tmp = getenv("TMPDIR");
	const char *const places[] = { tmp && *tmp ? tmp : "/var/tmp",
				       tmp && *tmp ? NULL : "/tmp" };
	int fd[3];
	struct jail_options j = { .write_below = fd };

	if (write_below >= 0)
		fd[j.write_below_n++] = write_below;
	size_t own = j.write_below_n;
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		int dir = places[i] ? dir_open(AT_FDCWD, places[i]) : -1;

		if (dir >= 0)
			fd[j.write_below_n++] = dir;
	}
	int r = jail(&j);
	if (r < 0)
		die_err("the jail", r, NULL);
	while (j.write_below_n > own)
		fd_close(fd[--j.write_below_n]);
}
