/*
 * logout - forget the password for a registry
 *
 * config:
 *   default y
 *   select REGISTRY
 *
 * usage: logout [OPTION]... REGISTRY[/PATH]
 * usage: logout --all [OPTION]...
 *
 * Removes what login has written, from the same file, or has the credential helper that the file
 * names forget it.
 *
 * bash has a command of its own by this name: there, say "ocibox logout" or "env logout".
 *
 * options:
 *   -a, --all                   forget all that the file knows of
 *   --authfile FILE             the file (default: the one that login writes)
 *
 * exit status:
 *   0    it is forgotten
 *   64   usage
 *   65   the file is no JSON object
 *   66   there was nothing to forget
 *   71   the system refuses what is needed
 *   73   the file cannot be replaced for want of room
 *   74   reading or writing failed
 *   77   the helper fails, or the file is not ours to write
 *
 * examples:
 *   logout reg.example
 */
#include <stdlib.h>

#include "libcommon/cli.h"
#include "libcommon/registry.h"

enum { OPT_AUTHFILE = CLI_OPT };

static const struct option long_options[] = {
	{ "all", no_argument, NULL, 'a' },
	{ "authfile", required_argument, NULL, OPT_AUTHFILE },
	CLI_COMMON_OPTIONS,
};

int logout_main(int argc, char **argv)
{
	const char *file = NULL, *key = NULL;
	_cleanup_(freep) char *helper = NULL;
	bool all = false;
	struct reference ref;
	struct err e = { 0 };
	int opt;

	while ((opt = cli_getopt(argc, argv, "a", long_options)) != -1) {
		if (opt == 'a')
			all = true;
		else
			file = optarg;
	}
	if (argc - optind != !all)
		die(64, all ? "--all and a registry (try --help)"
			    : "one registry, please (try --help)");
	if (!all)
		key = cli_registry_key(argv[optind], &ref);
	_cleanup_(freep) char *path = file ? xstrdup(file) : credentials_default_file();
	int r = credentials_edit(path, key, (struct span){ 0 }, &helper, &e);
	if (r == -ENOENT || r == 0)
		die(66, "%s: nothing in %s to forget", key ? key : "--all", quoted_str(path));
	if (r < 0)
		die_err(NULL, r, &e);
	say("%s: forgotten", key ? key : "all");
	return 0;
}
