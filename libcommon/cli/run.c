/* Options about a container, as docker and podman spell them. */
#include <fcntl.h>
#include <string.h>

#include "libcommon/cli.h"

extern char **environ;

void cli_run_mount(struct run_options *r, const struct container_mount *m)
{
	r->mounts = xrealloc(r->mounts, (r->mounts_n + 1) * sizeof(*r->mounts));
	r->mounts[r->mounts_n++] = *m;
}

static void add_mount(struct run_options *r, const char *option, const char *value,
		      int (*parse)(char *, struct container_mount *, struct err *))
{
	struct container_mount m;
	struct err e = { 0 };

	if (parse(xstrdup(value), &m, &e))
		die(64, "%s %s: %s", option, quoted_str(value), e.text);
	cli_run_mount(r, &m);
}

static void add_env(struct run_options *r, const char *value)
{
	struct err e = { 0 };

	if (env_add(value, (const char *const *)environ, &r->env, &e))
		die(64, "--env %s", e.text);
}

static void add_env_file(struct run_options *r, const char *path)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct err e = { 0 };
	int ret = file_read(AT_FDCWD, path, true, MIB(1), &b);

	if (!ret)
		ret = env_add_file(buf_span(&b), (const char *const *)environ, &r->env, &e);
	if (ret)
		die_err(path, ret, &e);
}

static void capability(const char *option, const char *name, uint64_t *set)
{
	uint64_t bits;

	if (cap_from_name(name, &bits))
		die(64, "%s %s: no such capability", option, quoted_str(name));
	*set |= bits;
}

static void security(struct run_options *r, const char *value)
{
	bool yes = !strcmp(value, "no-new-privileges") || !strcmp(value, "no-new-privileges=true");
	bool no = !strcmp(value, "no-new-privileges=false");

	if (yes || no) {
		r->no_new_privs = yes;
		r->new_privs = no;
	} else if (!strcmp(value, "seccomp=unconfined")) {
		r->seccomp_unconfined = true;
	} else {
		die(64,
		    "--security-opt %s: not one of seccomp=unconfined, no-new-privileges[=false]",
		    quoted_str(value));
	}
}

static void network(struct run_options *r, const char *value)
{
	r->network_host = !strcmp(value, "host");
	r->network_none = !strcmp(value, "none");
	if (!r->network_host && !r->network_none)
		die(64, "--network %s: not one of host, none", quoted_str(value));
}

bool cli_run_option(struct run_options *r, int opt)
{
	switch (opt) {
	case 'v':
		add_mount(r, "--volume", optarg, volume_parse);
		return true;
	case CLI_OPT_RUN:
		add_mount(r, "--tmpfs", optarg, tmpfs_parse);
		return true;
	case 'e':
		add_env(r, optarg);
		return true;
	case CLI_OPT_RUN + 1:
		add_env_file(r, optarg);
		return true;
	case CLI_OPT_RUN + 2:
		capability("--cap-add", optarg, &r->cap_add);
		return true;
	case CLI_OPT_RUN + 3:
		capability("--cap-drop", optarg, &r->cap_drop);
		return true;
	case CLI_OPT_RUN + 4:
		security(r, optarg);
		return true;
	case CLI_OPT_RUN + 5:
		network(r, optarg);
		return true;
	default:
		return false;
	}
}

void cli_run_apply(const struct run_options *r, struct container *c, struct cap_sets *sets)
{
	c->mounts = r->mounts;
	c->mounts_n = r->mounts_n;
	c->caps = (c->caps & ~r->cap_drop) | r->cap_add;
	if (sets) {
		sets->bounding = (sets->bounding & ~r->cap_drop) | r->cap_add;
		sets->effective = (sets->effective & ~r->cap_drop) | r->cap_add;
		sets->permitted = (sets->permitted & ~r->cap_drop) | r->cap_add;
		sets->inheritable &= ~r->cap_drop;
		sets->ambient &= ~r->cap_drop;
	}
	if (r->seccomp_unconfined)
		c->seccomp = SECCOMP_UNCONFINED;
	if (r->no_new_privs || r->new_privs)
		c->no_new_privs = r->no_new_privs;
	if (r->network_host)
		c->ns &= ~(unsigned)NS_NET;
	if (r->network_none)
		c->ns |= NS_NET;
}
