/* The door that applets close which read images. */
#include <stdlib.h>

#include "libcommon/cli.h"

void cli_jail(const int *write_below, size_t n, unsigned allow)
{
	_cleanup_(freep) int *fd = xcalloc(n + 1, sizeof(*fd));
	struct jail_options j = { .write_below = fd, .allow_network = allow & CLI_JAIL_NETWORK };
	int tmp = allow & CLI_JAIL_SPOOL ? spool_dir() : -1;

	for (size_t i = 0; i < n; i++)
		if (write_below[i] >= 0)
			fd[j.write_below_n++] = write_below[i];
	if (tmp >= 0)
		fd[j.write_below_n++] = tmp;
	int r = jail(&j);
	if (r < 0)
		die_err("the jail", r, NULL);
	fd_close(tmp);
}
