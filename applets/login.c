/*
 * login - check a password with a registry, and keep it
 *
 * config:
 *   default y
 *   select REGISTRY
 *
 * usage: login [OPTION]... REGISTRY[/PATH]
 *
 * Asks REGISTRY whether it takes the user name and password, and writes them where pull and push
 * look for them (as podman, skopeo and buildah do, too). With a PATH they are for the repositories
 * below it. What is not given is asked for on the terminal.
 *
 * The file is --authfile, else $REGISTRY_AUTH_FILE, else $DOCKER_CONFIG/config.json, else
 * $XDG_RUNTIME_DIR/containers/auth.json (without that variable /run/containers/UID/auth.json), as
 * podman has it. It is readable by its owner alone, and what else is in it stays. Where it names a
 * credential helper (credHelpers, credsStore), that one is given the password instead.
 *
 * options:
 *   -u, --username NAME         the user name
 *   --password-stdin            read the password from standard input
 *   -p, --password PASSWORD     the password; others on this machine can see it
 *
 * registry:
 *   --authfile FILE             write this file
 *   --creds-fd N                read USER:PASSWORD from descriptor N
 *   --auth-trace                tell which credential goes where, without the secret
 *   --cacert FILE               trust the CAs in this PEM file instead of the system's
 *   --cert-dir DIR              trust the *.crt files in DIR, too
 *   --tls-verify=false          do not check certificates
 *   --plain-http                speak HTTP without TLS, also to hosts that are not this one
 *
 * limits:
 *   --retries N                 further tries of a request that failed (default: 5)
 *   --deadline TIME             give up after this time (default: none)
 *
 * exit status:
 *   0    the registry takes them, and they are kept
 *   64   usage
 *   65   the file for them is no JSON object
 *   66   the registry knows of no such thing, or the file has no name
 *   69   the registry cannot be reached
 *   71   the system refuses what is needed
 *   73   the file cannot be created
 *   74   reading or writing failed
 *   75   over the deadline; try later
 *   76   the registry breaks the protocol
 *   77   the registry does not take them, the helper fails, or the file is not ours to write
 *
 * examples:
 *   login -u me --password-stdin reg.example <secret
 *   login --creds-fd 3 reg.example/team 3<pair
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "libcommon/cli.h"
#include "libcommon/registry.h"

enum { OPT_STDIN = CLI_OPT, PAIR_MAX = 64 << 10 };

static const struct option long_options[] = {
	{ "username", required_argument, NULL, 'u' },
	{ "password", required_argument, NULL, 'p' },
	{ "password-stdin", no_argument, NULL, OPT_STDIN },
	CLI_REGISTRY_OPTIONS,
	CLI_COMMON_OPTIONS,
};

static int terminal = -1;
static struct termios shown;

/* A signal ends us only when the terminal shows again what is typed. */
static void on_signal(int signo)
{
	tcsetattr(terminal, TCSAFLUSH, &shown);
	raise(signo);
}

/* Reads to the end (or, from a terminal, one line), without the line's end. */
static void read_line(int fd, bool line, struct buf *out)
{
	size_t begin = out->n;
	char c;

	/* so that it never moves and leaves a copy behind */
	buf_reserve(out, PAIR_MAX);
	while (out->n - begin < PAIR_MAX - 1) {
		ssize_t n = read(fd, &c, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || (line && c == '\n'))
			break;
		buf_addc(out, c);
	}
	while (out->n > begin && (out->p[out->n - 1] == '\n' || out->p[out->n - 1] == '\r'))
		out->n--;
}

/* What is typed before the prompt stands there is thrown away, so that nothing is typed that shows. */
static void ask(const char *what, bool hidden, struct buf *out)
{
	static const int ending[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	const struct sigaction end = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };
	struct sigaction before[ARRAY_LEN(ending)];
	struct termios now;

	terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
	if (terminal < 0)
		die(64, "no %s, and no terminal to ask on (try --help)", what);
	hidden = hidden && tcgetattr(terminal, &shown) == 0;
	for (size_t i = 0; hidden && i < ARRAY_LEN(ending); i++) {
		sigaction(ending[i], NULL, &before[i]);
		if (before[i].sa_handler != SIG_IGN)
			sigaction(ending[i], &end, NULL);
	}
	if (hidden) {
		now = shown;
		now.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(terminal, TCSAFLUSH, &now);
	}
	dprintf(terminal, "%s: ", what);
	read_line(terminal, true, out);
	if (hidden) {
		tcsetattr(terminal, TCSAFLUSH, &shown);
		dprintf(terminal, "\n");
	}
	for (size_t i = 0; hidden && i < ARRAY_LEN(ending); i++)
		sigaction(ending[i], &before[i], NULL);
	fd_close(steal_fd(&terminal));
}

/* The pair of --creds-fd, or put together of what was given and what is asked for. */
static void read_pair(const struct registry_cli *cli, const char *user, const char *password,
		      bool from_stdin, struct buf *pair)
{
	buf_reserve(pair, 2 * PAIR_MAX);
	if (cli->creds.creds_fd >= 0) {
		read_line(cli->creds.creds_fd, false, pair);
		if (span_find(buf_span(pair), ':') == pair->n)
			die(64, "--creds-fd: descriptor %d does not give USER:PASSWORD",
			    cli->creds.creds_fd);
		return;
	}
	if (user)
		buf_adds(pair, user);
	else
		ask("user name", false, pair);
	if (!pair->n || span_find(buf_span(pair), ':') < pair->n)
		die(64, "a user name that is empty or has a colon in it");
	buf_addc(pair, ':');
	if (password)
		buf_adds(pair, password);
	else if (from_stdin)
		read_line(STDIN_FILENO, false, pair);
	else
		ask("password", true, pair);
}

static void check(struct registry_cli *cli, const struct reference *ref, const char *name)
{
	struct registry *r = NULL;
	struct err e = { 0 };

	cli_registry_credentials(cli, ref->domain);
	int code = registry_open(ref, &cli->registry, &r, &e);
	if (!code)
		code = registry_check_login(r, &e);
	if (code < 0)
		die_err(span_starts(span_str(e.text), name) ? NULL : name, code, &e);
	if (!code)
		warn("%s asks for no password: it was not checked", name);
	registry_close(r);
	credentials_close(cli->registry.credentials);
}

int login_main(int argc, char **argv)
{
	const char *user = NULL, *password = NULL, *key;
	bool from_stdin = false;
	struct registry_cli cli;
	struct reference ref;
	struct buf pair = BUF_INIT;
	struct err e = { 0 };
	_cleanup_(freep) char *helper = NULL;
	int opt;

	cli_registry_init(&cli);
	while ((opt = cli_getopt(argc, argv, "u:p:", long_options)) != -1) {
		if (opt == 'u')
			user = optarg;
		else if (opt == 'p')
			password = optarg;
		else if (opt == OPT_STDIN)
			from_stdin = true;
		else
			cli_registry_option(&cli, opt);
	}
	if (argc - optind != 1)
		die(64, "one registry, please (try --help)");
	if ((password != NULL) + from_stdin + (cli.creds.creds_fd >= 0) > 1)
		die(64, "one of --password, --password-stdin and --creds-fd");
	if (user && cli.creds.creds_fd >= 0)
		die(64, "--creds-fd gives the user name, too: no --username with it");
	if (password)
		warn("others on this machine can see a password that stands on the command line: "
		     "use --password-stdin");
	cli_registry_check(&cli);
	key = cli_registry_key(argv[optind], &ref);

	_cleanup_(freep) char *file =
		cli.creds.authfile ? xstrdup(cli.creds.authfile) : credentials_default_file();
	read_pair(&cli, user, password, from_stdin, &pair);
	cli.creds = (struct credentials_options){ .creds_fd = -1, .pair = buf_span(&pair) };
	check(&cli, &ref, key);
	int r = credentials_edit(file, key, buf_span(&pair), &helper, &e);
	explicit_bzero(pair.p, pair.n);
	if (r < 0)
		die_err(NULL, r, &e);
	if (helper)
		say("%s: kept by %s", key, helper);
	else
		say("%s: kept in %s", key, quoted_str(file));
	return 0;
}
