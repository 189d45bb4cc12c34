/* Options: getopt_long with what every applet has, and values that are checked. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/cli.h"

static _noreturn_ void put_and_exit(struct span text)
{
	int r = fd_write_all(STDOUT_FILENO, text.p, text.n);
	if (r < 0)
		die_err("standard output", r, NULL);
	exit(0);
}

static _noreturn_ void version(void)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	buf_addf(&b, "%s (ocibox) %s\nfeatures: %s\n", applet_name, ocibox_version,
		 ocibox_features);
	put_and_exit(span_of(b.p, b.n));
}

static _noreturn_ void bad_option(int argc, char **argv, int opt)
{
	const char *arg = optind > 0 && optind <= argc ? argv[optind - 1] : "";
	if (opt == ':')
		die(64, "option %s needs a value (try --help)", quoted_str(arg));
	if (optopt && (optopt < CLI_OPT) && strncmp(arg, "--", 2) != 0)
		die(64, "unknown option -%c (try --help)", optopt);
	if (optopt)
		die(64, "option %s takes no value (try --help)", quoted_str(arg));
	die(64, "unknown option %s (try --help)", quoted_str(arg));
}

static _noreturn_ void help(void)
{
	_cleanup_(buf_release) struct buf room = BUF_INIT;

	put_and_exit(cli_help(&room));
}

int cli_getopt(int argc, char **argv, const char *shortopts, const struct option *longopts)
{
	char letters[128];
	bool ordered = shortopts[0] == '+';
	snprintf(letters, sizeof(letters), "%s:hq%s", ordered ? "+" : "", shortopts + ordered);
	opterr = 0;
	for (;;) {
		int opt = getopt_long(argc, argv, letters, longopts, NULL);
		switch (opt) {
		case 'h':
			help();
		case CLI_OPT_COMMON:
			version();
		case 'q':
			cli_quiet = true;
			break;
		case CLI_OPT_COMMON + 1:
			cli_debug = true;
			break;
		case '?':
		case ':':
			bad_option(argc, argv, opt);
		default:
			return opt;
		}
	}
}

static _noreturn_ void bad_value(const char *option, const char *value, const char *wanted)
{
	die(64, "%s: %s is not %s", option, quoted_str(value), wanted);
}

uint64_t cli_number(const char *option, const char *value, uint64_t max)
{
	uint64_t v;
	int r = num_u64(span_str(value), max, &v);
	if (r == -ERANGE)
		die(64, "%s: %s is over %llu", option, quoted_str(value), (unsigned long long)max);
	if (r < 0)
		bad_value(option, value, "a whole number");
	return v;
}

uint64_t cli_size(const char *option, const char *value)
{
	uint64_t v;
	if (num_size(span_str(value), &v) < 0)
		bad_value(option, value, "a size such as 512, 64k, 16M or 2G");
	return v;
}

uint64_t cli_duration_ms(const char *option, const char *value)
{
	uint64_t v;
	if (num_duration_ms(span_str(value), &v) < 0)
		bad_value(option, value, "a duration such as 10, 2.5s, 500ms, 3m or 1h");
	return v;
}

bool cli_bool(const char *option, const char *value)
{
	if (!value || strcmp(value, "true") == 0 || strcmp(value, "1") == 0)
		return true;
	if (strcmp(value, "false") == 0 || strcmp(value, "0") == 0)
		return false;
	bad_value(option, value, "true or false");
}

struct platform cli_platform(const char *value)
{
	struct platform p = { 0 };
	struct err e = { 0 };
	int r = platform_parse(value, &p, &e);
	if (r < 0)
		die_err("--platform", E_USAGE, &e);
	return p;
}

enum progress_mode cli_progress_mode(const char *value)
{
	static const char *const names[] = { "auto", "plain", "json", "none" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (!strcmp(value, names[i]))
			return (enum progress_mode)i;
	die(64, "--progress: %s is not auto, plain, json or none", quoted_str(value));
}
