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
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/cli.h"
#include "libcommon/runtime.h"

enum {
	OPT_OVERLAY = CLI_OPT, OPT_UPPER, OPT_MAP, OPT_READ_ONLY, OPT_TMPFS, OPT_ENV_FILE, OPT_UNSETENV,
	OPT_HOSTNAME, OPT_TIMEOUT, OPT_CAP_ADD, OPT_CAP_DROP, OPT_SECURITY, OPT_USERNS, OPT_NETWORK,
	OPT_SHARE_NET, OPT_SHARE_PID, OPT_SHARE_IPC, OPT_SHARE_UTS, OPT_SHARE_CGROUP, OPT_NO_INIT, OPT_TIMES,
};
static const struct option options[] = {
	{ "bundle", required_argument, NULL, 'b' },
	{ "overlay", required_argument, NULL, OPT_OVERLAY },
	{ "upper", required_argument, NULL, OPT_UPPER },
	{ "map", no_argument, NULL, OPT_MAP },
	{ "read-only", no_argument, NULL, OPT_READ_ONLY },
	{ "volume", required_argument, NULL, 'v' },
	{ "tmpfs", required_argument, NULL, OPT_TMPFS },
	{ "env", required_argument, NULL, 'e' },
	{ "env-file", required_argument, NULL, OPT_ENV_FILE },
	{ "unsetenv-all", no_argument, NULL, OPT_UNSETENV },
	{ "workdir", required_argument, NULL, 'w' },
	{ "user", required_argument, NULL, 'u' },
	{ "hostname", required_argument, NULL, OPT_HOSTNAME },
	{ "tty", no_argument, NULL, 't' },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "cap-add", required_argument, NULL, OPT_CAP_ADD },
	{ "cap-drop", required_argument, NULL, OPT_CAP_DROP },
	{ "security-opt", required_argument, NULL, OPT_SECURITY },
	{ "userns", no_argument, NULL, OPT_USERNS },
	{ "network", required_argument, NULL, OPT_NETWORK },
	{ "share-net", no_argument, NULL, OPT_SHARE_NET },
	{ "share-pid", no_argument, NULL, OPT_SHARE_PID },
	{ "share-ipc", no_argument, NULL, OPT_SHARE_IPC },
	{ "share-uts", no_argument, NULL, OPT_SHARE_UTS },
	{ "share-cgroup", no_argument, NULL, OPT_SHARE_CGROUP },
	{ "no-init", no_argument, NULL, OPT_NO_INIT },
	{ "step-times", no_argument, NULL, OPT_TIMES },
	CLI_COMMON_OPTIONS
};

struct job {
	struct container c;
	const char *bundle_path;
	struct loaded_bundle bundle;
	struct container_mount *mounts;
	size_t mounts_n;
	struct strs env, env_options, lowers;
	struct container_times times;
	uint64_t cap_add, cap_drop;
	bool map, userns, unset_env;
};

extern char **environ;

static void add_mount(struct job *j, const char *option, const char *value,
		      int (*parse)(char *, struct container_mount *, struct err *))
{
	struct err e = { 0 };

	j->mounts = xrealloc(j->mounts, (j->mounts_n + 1) * sizeof(*j->mounts));
	if (parse(xstrdup(value), &j->mounts[j->mounts_n++], &e))
		die(64, "%s %s: %s", option, quoted_str(value), e.text);
}

static void add_env_file(struct job *j, const char *path)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct err e = { 0 };
	int r = file_read(AT_FDCWD, path, true, MIB(1), &b);

	if (!r)
		r = env_add_file(buf_span(&b), (const char *const *)environ, &j->env_options, &e);
	if (r)
		die_err(path, r, &e);
}

static void security_option(struct container *c, const char *value)
{
	if (!strcmp(value, "seccomp=unconfined"))
		c->seccomp = SECCOMP_UNCONFINED;
	else if (!strcmp(value, "no-new-privileges") || !strcmp(value, "no-new-privileges=true"))
		c->no_new_privs = true;
	else if (!strcmp(value, "no-new-privileges=false"))
		c->no_new_privs = false;
	else
		die(64, "--security-opt %s: not one of seccomp=unconfined, no-new-privileges[=false]",
		    quoted_str(value));
}

static void capability(const char *option, const char *name, uint64_t *set)
{
	uint64_t bits;

	if (cap_from_name(name, &bits))
		die(64, "%s %s: no such capability", option, quoted_str(name));
	*set |= bits;
}

static void overlay(struct job *j, const char *list)
{
	struct span rest = span_str(list), one;

	/* "\" escapes a ":" and itself, as in what unpack -l prints. */
	while (rest.n) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		for (; rest.n && *rest.p != ':'; rest = span_tail(rest, 1)) {
			if (*rest.p == '\\' && rest.n > 1)
				rest = span_tail(rest, 1);
			buf_addc(&b, (char)*rest.p);
		}
		one = buf_span(&b);
		if (one.n)
			strs_take(&j->lowers, buf_steal_str(&b));
		rest = span_tail(rest, MIN(rest.n, 1));
	}
	if (!j->lowers.n)
		die(64, "--overlay needs a directory");
	j->c.lowers = (const char *const *)j->lowers.v;
}

static void network(struct container *c, const char *value)
{
	if (!strcmp(value, "host"))
		c->ns &= ~(unsigned)NS_NET;
	else if (!strcmp(value, "none"))
		c->ns |= NS_NET;
	else
		die(64, "--network %s: not one of host, none", quoted_str(value));
}

static void one_option(struct job *j, int opt)
{
	static const unsigned share[] = { NS_NET, NS_PID, NS_IPC, NS_UTS, NS_CGROUP };
	struct container *c = &j->c;
	struct err e = { 0 };

	switch (opt) {
	case 'b': break;
	case 'v': add_mount(j, "--volume", optarg, volume_parse); break;
	case 'w': c->cwd = optarg; break;
	case 'u': c->user_spec = optarg; break;
	case 't': c->tty = true; break;
	case 'e':
		if (env_add(optarg, (const char *const *)environ, &j->env_options, &e))
			die(64, "--env %s", e.text);
		break;
	case OPT_OVERLAY: overlay(j, optarg); break;
	case OPT_UPPER: c->upper = optarg; break;
	case OPT_MAP: j->map = true; break;
	case OPT_READ_ONLY: c->read_only = true; break;
	case OPT_TMPFS: add_mount(j, "--tmpfs", optarg, tmpfs_parse); break;
	case OPT_ENV_FILE: add_env_file(j, optarg); break;
	case OPT_UNSETENV: j->unset_env = true; break;
	case OPT_HOSTNAME: c->hostname = optarg; break;
	case OPT_TIMEOUT: c->timeout_ms = (unsigned)MIN(cli_duration_ms("--timeout", optarg), UINT32_MAX); break;
	case OPT_CAP_ADD: capability("--cap-add", optarg, &j->cap_add); break;
	case OPT_CAP_DROP: capability("--cap-drop", optarg, &j->cap_drop); break;
	case OPT_SECURITY: security_option(c, optarg); break;
	case OPT_USERNS: j->userns = true; break;
	case OPT_NETWORK: network(c, optarg); break;
	case OPT_NO_INIT: c->init = false; break;
	case OPT_TIMES: c->step_times = true; break;
	default: c->ns &= ~share[opt - OPT_SHARE_NET];
	}
}

/* The network namespace that vethup made, and told us of, is kept. */
static void keep_network(struct container *c)
{
	const char *told = getenv("OCIBOX_NET");
	struct stat st;
	char now[64];

	if (told && !stat("/proc/self/ns/net", &st)) {
		snprintf(now, sizeof(now), "%llu:%llu", (unsigned long long)st.st_dev,
			 (unsigned long long)st.st_ino);
		if (!strcmp(told, now)) {
			c->ns &= ~(unsigned)NS_NET;
			c->hosts = getenv("OCIBOX_HOSTS");
			c->resolv_conf = getenv("OCIBOX_RESOLV_CONF");
		}
	}
}

static void drop_network_variables(void)
{
	unsetenv("OCIBOX_NET");
	unsetenv("OCIBOX_HOSTS");
	unsetenv("OCIBOX_RESOLV_CONF");
}

static void enter_map(char **argv)
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

/* A bundle says how things are before the options change them, wherever its option stands. */
static const char *find_bundle(int argc, char **argv)
{
	const char *path = NULL;
	int opt;

	while ((opt = cli_getopt(argc, argv, "+b:v:e:w:u:t", options)) != -1)
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
	for (size_t i = 0; i < j->c.mounts_n; i++) {
		j->mounts = xrealloc(j->mounts, (i + 1) * sizeof(*j->mounts));
		j->mounts[j->mounts_n++] = j->c.mounts[i];
	}
}

static void take_caps(struct job *j)
{
	struct container *c = &j->c;
	struct cap_sets *s = &j->bundle.caps;
	uint64_t *sets[] = { &c->caps, &s->bounding, &s->effective, &s->permitted };

	if (!j->bundle_path)
		c->caps = CAPS_DEFAULT;
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		*sets[i] = (*sets[i] & ~j->cap_drop) | j->cap_add;
	s->inheritable &= ~j->cap_drop;
	s->ambient &= ~j->cap_drop;
}

static void take_env(struct job *j)
{
	if (!j->unset_env)
		for (const char *const *v = j->c.envp; v && *v; v++)
			strs_add(&j->env, *v);
	for (size_t i = 0; i < j->env_options.n; i++)
		strs_set_env(&j->env, j->env_options.v[i]);
	j->c.envp = (const char *const *)j->env.v;
	if (j->unset_env)
		j->c.default_env = false;
}

static void take_maps(struct job *j)
{
	struct container *c = &j->c;
	struct err e = { 0 };
	int r;

	if (!j->userns && !geteuid() && !(c->ns & NS_USER))
		return;
	c->ns |= NS_USER;
	if (c->id_maps.uid_n && c->id_maps.gid_n) {
		c->id_maps.single = geteuid() && c->id_maps.uid_n == 1 && c->id_maps.uid[0].count == 1;
		return;
	}
	r = id_maps_for_caller(&c->id_maps, &e);
	if (r)
		die_err("user namespace", r, &e);
}

static void tell_times(const struct container_times *t)
{
	for (size_t i = 0; i < t->n; i++)
		say("%6u us  %s", t->step[i].us, t->step[i].name);
}

int ns_run_main(int argc, char **argv)
{
	struct job j = { .c = { .ns = NS_ALL & ~(unsigned)NS_USER, .hostname = "ns-run", .default_env = true,
				.user_spec = "", .no_new_privs = true, .init = true } };
	struct container *c = &j.c;
	struct err e = { 0 };
	int opt, r;

	cli_chain_loader = true;
	if (geteuid() != getuid() || getegid() != getgid())
		die(125, "refuses to run setuid or setgid");
	j.bundle_path = find_bundle(argc, argv);
	if (j.bundle_path)
		start_from_bundle(&j);
	while ((opt = cli_getopt(argc, argv, "+b:v:e:w:u:t", options)) != -1)
		one_option(&j, opt);
	argv += optind;
	if (!j.map && !j.bundle_path && !c->lowers) {
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
	if (j.map)
		enter_map(argv);
	if (!(c->ns & NS_UTS))
		c->hostname = NULL;
	c->mounts = j.mounts;
	c->mounts_n = j.mounts_n;
	take_caps(&j);
	take_env(&j);
	take_maps(&j);
	keep_network(c);
	drop_network_variables();
	c->times = &j.times;
	r = container_run(c, &e);
	if (c->step_times)
		tell_times(&j.times);
	if (r < 0)
		die_err(NULL, r, &e);
	return r;
}
