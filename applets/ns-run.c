/*
 * ns-run - run a program in a root file system of its own, isolated
 *
 * config:
 *   default y
 *   select CONTAINER
 *
 * usage: ns-run [OPTION]... ROOTFS [--] PROGRAM [ARG]...
 * usage: ns-run [OPTION]... -b BUNDLE [--] [PROGRAM [ARG]...]
 * usage: ns-run [OPTION]... --overlay LOWER[:LOWER]... [--] PROGRAM [ARG]...
 * usage: ns-run --map [--] PROGRAM [ARG]...
 *
 * Runs PROGRAM in new namespaces (pid, mount, host name, ipc, network, cgroup, and user where the caller is not root) with
 * ROOTFS as its root, docker's default capabilities and system calls, and ends as it ends.
 *
 * The program's environment is made of PATH, HOME, HOSTNAME and, with --tty, TERM, the bundle's variables, and what --env and
 * --env-file say; nothing else of the caller's goes in. With --map it is the caller's.
 *
 * options:
 *   -b, --bundle BUNDLE     run an OCI runtime bundle
 *   --overlay LOWER[:LOWER]...
 *                           the root is these directories, topmost first, which stay as they are
 *   --upper DIR             keep the changes in DIR/diff (default: a tmpfs that is forgotten)
 *   --map                   only map ids, as unpack does: PROGRAM runs as root of the same files
 *   --read-only             mount the root read-only
 *   -v, --volume SRC:DST[:ro]
 *                           bind SRC, a file or directory of the host, at DST
 *   --tmpfs DST[:size=SIZE,mode=OCTAL,exec]
 *                           mount an empty tmpfs at DST
 *   -e, --env NAME[=VALUE]  set a variable; without a value: as the caller has it
 *   --env-file FILE         the same from the lines of FILE
 *   --unsetenv-all          start from an empty environment
 *   -w, --workdir DIR       start in DIR, which is made where it is missing
 *   -u, --user USER[:GROUP] run as this user of the root's /etc/passwd, or as these ids
 *   --hostname NAME         name of the host (default: ns-run)
 *   -t, --tty               give it a terminal of its own
 *   --timeout DURATION      end it by SIGTERM after DURATION (10, 2.5s, 3m), SIGKILL 10 s later
 *   --cap-add CAP           give a capability, or ALL
 *   --cap-drop CAP          take a capability, or ALL, before any is given
 *   --security-opt seccomp=unconfined
 *                           allow all system calls
 *   --security-opt no-new-privileges=false
 *                           let setuid programs and file capabilities work
 *   --userns                a user namespace for root, too
 *   --network MODE          host: the caller's network; none (default): loopback only
 *   --share-net             the same as --network=host
 *   --share-pid             see the processes of the host
 *   --share-ipc             share System V and POSIX message queues and semaphores
 *   --share-uts             share the host name
 *   --share-cgroup          see the cgroups of the host
 *   --no-init               run PROGRAM itself as process 1
 *   --step-times            tell how long each step of the start took
 *
 * environment:
 *   OCIBOX_NET              DEV:INO of a network namespace that is kept if it is the present one
 *   OCIBOX_HOSTS, OCIBOX_RESOLV_CONF
 *                           files to bind over /etc/hosts and /etc/resolv.conf then
 *
 * exit status:
 *   124  the time was up
 *   125  ns-run itself failed
 *   126  PROGRAM cannot be executed
 *   127  PROGRAM was not found
 *   else that of PROGRAM, 128+N where signal N ended it
 *
 * examples:
 *   ns-run rootfs sh
 *   ns-run -v "$PWD:/src:ro" --workdir /src rootfs make -C /src
 *   ns-run -b app
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/cli.h"

enum {
	OPT_OVERLAY = CLI_OPT,
	OPT_UPPER,
	OPT_MAP,
	OPT_READ_ONLY,
	OPT_UNSETENV,
	OPT_HOSTNAME,
	OPT_TIMEOUT,
	OPT_USERNS,
	OPT_SHARE_NET,
	OPT_SHARE_PID,
	OPT_SHARE_IPC,
	OPT_SHARE_UTS,
	OPT_SHARE_CGROUP,
	OPT_NO_INIT,
	OPT_TIMES,
};
static const char letters[] = "+b:v:e:w:u:t";
static const struct option options[] = { { "bundle", required_argument, NULL, 'b' },
					 { "overlay", required_argument, NULL, OPT_OVERLAY },
					 { "upper", required_argument, NULL, OPT_UPPER },
					 { "map", no_argument, NULL, OPT_MAP },
					 { "read-only", no_argument, NULL, OPT_READ_ONLY },
					 { "unsetenv-all", no_argument, NULL, OPT_UNSETENV },
					 { "workdir", required_argument, NULL, 'w' },
					 { "user", required_argument, NULL, 'u' },
					 { "hostname", required_argument, NULL, OPT_HOSTNAME },
					 { "tty", no_argument, NULL, 't' },
					 { "timeout", required_argument, NULL, OPT_TIMEOUT },
					 { "userns", no_argument, NULL, OPT_USERNS },
					 { "share-net", no_argument, NULL, OPT_SHARE_NET },
					 { "share-pid", no_argument, NULL, OPT_SHARE_PID },
					 { "share-ipc", no_argument, NULL, OPT_SHARE_IPC },
					 { "share-uts", no_argument, NULL, OPT_SHARE_UTS },
					 { "share-cgroup", no_argument, NULL, OPT_SHARE_CGROUP },
					 { "no-init", no_argument, NULL, OPT_NO_INIT },
					 { "step-times", no_argument, NULL, OPT_TIMES },
					 CLI_RUN_OPTIONS,
					 CLI_COMMON_OPTIONS };

struct job {
	struct container c;
	struct run_options run;
	const char *bundle_path;
	struct loaded_bundle bundle;
	struct strs env, lowers;
	struct container_times times;
	bool map, userns, unset_env;
};

static void one_option(struct job *j, int opt)
{
	static const unsigned share[] = { NS_NET, NS_PID, NS_IPC, NS_UTS, NS_CGROUP };
	struct container *c = &j->c;

	switch (opt) {
	case 'b':
		break; /* find_bundle() took it */
	case 'w':
		c->cwd = optarg;
		break;
	case 'u':
		c->user_spec = optarg;
		break;
	case 't':
		c->tty = true;
		break;
	case OPT_OVERLAY:
		overlay_list_parse(optarg, &j->lowers);
		if (!j->lowers.n)
			die(64, "--overlay needs a directory");
		c->lowers = (const char *const *)j->lowers.v;
		break;
	case OPT_UPPER:
		c->upper = optarg;
		break;
	case OPT_MAP:
		j->map = true;
		break;
	case OPT_READ_ONLY:
		c->read_only = true;
		break;
	case OPT_UNSETENV:
		j->unset_env = true;
		break;
	case OPT_HOSTNAME:
		c->hostname = optarg;
		break;
	case OPT_TIMEOUT:
		c->timeout_ms = (unsigned)MIN(cli_duration_ms("--timeout", optarg), UINT32_MAX);
		break;
	case OPT_USERNS:
		j->userns = true;
		break;
	case OPT_SHARE_NET:
		j->run.network_none = false; /* fall through */
	case OPT_SHARE_PID:
	case OPT_SHARE_IPC:
	case OPT_SHARE_UTS:
	case OPT_SHARE_CGROUP:
		c->ns &= ~share[opt - OPT_SHARE_NET];
		break;
	case OPT_NO_INIT:
		c->init = false;
		break;
	case OPT_TIMES:
		c->step_times = true;
		break;
	default:
		cli_run_option(&j->run, opt);
	}
}

/* A bundle says how things are before the options change them, wherever its option stands. */
static const char *find_bundle(int argc, char **argv)
{
	const char *path = NULL;
	int opt;

	while ((opt = cli_getopt(argc, argv, letters, options)) != -1)
		if (opt == 'b')
			path = optarg;
	optind = 0;
	return path;
}

static void start_from_bundle(struct job *j)
{
	struct err e = { 0 };
	int r = bundle_load(j->bundle_path, &j->bundle, &e);

	if (r)
		die_err(j->bundle_path, r, &e);
	for (size_t i = 0; i < j->bundle.warnings.n; i++)
		warn("%s: %s", quoted_str(j->bundle_path), j->bundle.warnings.v[i]);
	j->c = j->bundle.c;
	j->c.tty = j->bundle.terminal && isatty(STDIN_FILENO);
	for (size_t i = 0; i < j->c.mounts_n; i++)
		cli_run_mount(&j->run, &j->c.mounts[i]);
}

static void take_env(struct job *j)
{
	if (!j->unset_env)
		for (const char *const *v = j->c.envp; v && *v; v++)
			strs_add(&j->env, *v);
	for (size_t i = 0; i < j->run.env.n; i++)
		strs_set_env(&j->env, j->run.env.v[i]);
	j->c.envp = (const char *const *)j->env.v;
	if (j->unset_env)
		j->c.default_env = false;
}

static void take_maps(struct job *j)
{
	struct id_maps *m = &j->c.id_maps;
	struct err e = { 0 };
	int r;

	if (!j->userns && !geteuid() && !(j->c.ns & NS_USER))
		return;
	j->c.ns |= NS_USER;
	if (m->uid_n && m->gid_n) {
		m->single = geteuid() && m->uid_n == 1 && m->uid[0].count == 1;
		return;
	}
	r = id_maps_for_caller(m, &e);
	if (r)
		die_err("user namespace", r, &e);
}

/* The network namespace that vethup made, and told us of, is kept; what it told does not go on. */
static void keep_network(struct container *c)
{
	static const char *const told[] = { "OCIBOX_NET", "OCIBOX_HOSTS", "OCIBOX_RESOLV_CONF" };
	const char *net = getenv(told[0]);
	struct stat st;
	char now[64];

	if (net && !stat("/proc/self/ns/net", &st)) {
		snprintf(now, sizeof(now), "%llu:%llu", (unsigned long long)st.st_dev,
			 (unsigned long long)st.st_ino);
		if (!strcmp(net, now)) {
			c->ns &= ~(unsigned)NS_NET;
			c->hosts = getenv(told[1]);
			c->resolv_conf = getenv(told[2]);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(told); i++)
		unsetenv(told[i]);
}

static _noreturn_ void enter_map(char **argv)
{
	struct id_maps maps;
	struct err e = { 0 };
	int r = id_maps_for_caller(&maps, &e);

	if (!r && geteuid())
		r = userns_enter(&maps, &e);
	if (r)
		die_err("user namespace", r, &e);
	execvp(argv[0], argv);
	die(errno == ENOENT ? 127 : 126, "%s: %s", quoted_str(argv[0]), err_word(-errno));
}

/* Options, then the root unless something else is it, then the program unless the bundle has one. */
static void read_words(struct job *j, int argc, char **argv)
{
	struct container *c = &j->c;
	int opt;

	j->bundle_path = find_bundle(argc, argv);
	if (j->bundle_path)
		start_from_bundle(j);
	while ((opt = cli_getopt(argc, argv, letters, options)) != -1)
		one_option(j, opt);
	argv += optind;
	if (!j->map && !j->bundle_path && !c->lowers) {
		if (!*argv)
			die(64, "a root file system is missing (try --help)");
		c->rootfs = *argv++;
	}
	if (*argv && !strcmp(*argv, "--"))
		argv++;
	if (*argv)
		c->argv = (const char *const *)argv;
	if (!c->argv || !*c->argv)
		die(64, "a program to run is missing (try --help)");
	if (j->map)
		enter_map(argv);
}

int ns_run_main(int argc, char **argv)
{
	struct job j = { .c = { .ns = NS_ALL & ~(unsigned)NS_USER,
				.hostname = "ns-run",
				.default_env = true,
				.user_spec = "",
				.no_new_privs = true,
				.init = true,
				.caps = CAPS_DEFAULT } };
	struct err e = { 0 };
	int r;

	cli_chain_loader = true;
	if (geteuid() != getuid() || getegid() != getgid())
		die(125, "refuses to run setuid or setgid");
	read_words(&j, argc, argv);
	cli_run_apply(&j.run, &j.c, j.bundle_path ? &j.bundle.caps : NULL);
	if (!(j.c.ns & NS_UTS))
		j.c.hostname = NULL;
	take_env(&j);
	take_maps(&j);
	keep_network(&j.c);
	j.c.times = &j.times;
	r = container_run(&j.c, &e);
	for (size_t i = 0; i < j.times.n; i++)
		say("%6u us  %s", j.times.step[i].us, j.times.step[i].name);
	if (r < 0)
		die_err(NULL, r, &e);
	return r;
}
