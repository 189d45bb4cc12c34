/*
 * Who the program is: user and groups, environment, directory, limits, capabilities.
 */
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/runtime/private.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* setgroups and the like take 32-bit ids under names of their own on older 32-bit machines. */
#ifdef SYS_setgroups32
enum {
	NR_SETGROUPS = SYS_setgroups32,
	NR_SETRESGID = SYS_setresgid32,
	NR_SETRESUID = SYS_setresuid32
};
#else
enum { NR_SETGROUPS = SYS_setgroups, NR_SETRESGID = SYS_setresgid, NR_SETRESUID = SYS_setresuid };
#endif

static void add_env(struct strs *env, const char *name, const char *value)
{
	if (!strs_get_env(env, name))
		strs_take(env, xasprintf("%s=%s", name, value));
}

int process_identity(struct setup *s)
{
	const struct container *c = s->c;
	int r;

	s->user = c->user;
	if (c->user_spec) {
		r = user_lookup(s->root, c->user_spec, &s->user, s->e);
		if (r)
			return err_set(s->e, r, "user %s: %s", quoted_str(c->user_spec),
				       err_word(r));
	}
	for (const char *const *v = c->envp; v && *v; v++)
		strs_add(&s->env, *v);
	if (!c->default_env)
		return 0;
	if (!strs_get_env(&s->env, "PATH"))
		strs_add(&s->env, DEFAULT_PATH);
	add_env(&s->env, "HOME", s->user.home ? s->user.home : "/");
	if (c->hostname)
		add_env(&s->env, "HOSTNAME", c->hostname);
	if (c->tty)
		add_env(&s->env, "TERM", "xterm");
	return 0;
}

int process_cwd(struct setup *s)
{
	const char *path = s->c->cwd ? s->c->cwd : "/";
	_cleanup_(fd_closep) int fd = -1;
	char now[PATH_MAX];
	int r = 0;

	if (strcmp(path, "/")) {
		fd = walk_open(s->root, path, O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
		if (fd == -ENOENT)
			fd = walk_mkdirs(s->root, path, 0755);
		r = fd < 0 ? fd : fchdir(fd) ? -errno : 0;
	}
	/* The kernel says "(unreachable)" of a directory outside the root. */
	if (!r && (syscall(SYS_getcwd, now, sizeof(now)) < 0 || *now != '/'))
		r = E_UNSAFE_PATH;
	return r ? err_set(s->e, r, "working directory %s: %s", quoted_str(path), err_word(r)) : 0;
}

int process_limits(const struct container *c, struct err *e)
{
	for (size_t i = 0; i < c->rlimits_n; i++) {
		const struct container_rlimit *want = &c->rlimits[i];
		struct rlimit now, set = { .rlim_cur = want->soft, .rlim_max = want->hard };

		if (want->soft == UINT64_MAX)
			set.rlim_cur = RLIM_INFINITY;
		if (want->hard == UINT64_MAX)
			set.rlim_max = RLIM_INFINITY;
		if (!setrlimit(want->resource, &set))
			continue;
		if (errno != EPERM || getrlimit(want->resource, &now))
			return err_set(e, -errno, "cannot set resource limit %d: %s",
				       want->resource, err_word(-errno));
		/* It cannot be raised: as far as it goes. */
		set.rlim_max = MIN(set.rlim_max, now.rlim_max);
		set.rlim_cur = MIN(set.rlim_cur, set.rlim_max);
		if (setrlimit(want->resource, &set))
			return err_set(e, -errno, "cannot set resource limit %d: %s",
				       want->resource, err_word(-errno));
	}
	return 0;
}

static int set_ids(struct setup *s)
{
	const struct user *u = &s->user;
	bool single = (s->c->ns & NS_USER) && s->c->id_maps.single;
	int r = 0;

	/* With a single id the kernel forbids it: dropping a group might open what the group is
	 * kept out of. */
	if (!single && syscall(NR_SETGROUPS, u->groups_n, u->groups_n ? u->groups : NULL))
		r = -errno;
	if (!r && syscall(NR_SETRESGID, u->gid, u->gid, u->gid))
		r = -errno;
	if (!r && syscall(NR_SETRESUID, u->uid, u->uid, u->uid))
		r = -errno;
	if (r == -EINVAL)
		return err_set(
			s->e, r,
			single ? "user %u:%u does not exist in the container: only root is mapped, for "
				 "want of subordinate ids (see /etc/subuid, newuidmap(1))"
			       : "user %u:%u or a group of it is not mapped into the user namespace",
			u->uid, u->gid);
	return r ? err_set(s->e, r, "cannot become %u:%u: %s", u->uid, u->gid, err_word(r)) : 0;
}

/* Everything that can be given, for the moment between the change of ids and the end. */
static const struct cap_sets all = { .effective = UINT64_MAX, .permitted = UINT64_MAX };

int process_drop(struct setup *s)
{
	const struct container *c = s->c;
	struct cap_sets sets = { .bounding = c->caps };
	bool filtered = CFG_SECCOMP && c->seccomp == SECCOMP_DEFAULT;
	int r;

	if (!s->user.uid)
		sets.effective = sets.permitted = c->caps;
	if (c->cap_sets)
		sets = *c->cap_sets;
	r = caps_bound(sets.bounding);
	if (!r && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))
		r = -errno;
	if (r)
		return err_set(s->e, r, "cannot drop capabilities: %s", err_word(r));
	r = set_ids(s);
	if (!r && c->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		r = err_set(s->e, -errno, "no_new_privs: %s", err_word(-errno));
	/* Without no_new_privs only CAP_SYS_ADMIN may load a filter. */
	if (!r && filtered && !c->no_new_privs) {
		r = caps_set(&all);
		if (!r)
			r = filter_load(sets.bounding, s->e);
	}
	if (!r) {
		r = caps_set(&sets);
		if (r)
			err_set(s->e, r, "cannot set capabilities: %s", err_word(r));
	}
	if (!r && filtered && c->no_new_privs)
		r = filter_load(sets.bounding, s->e);
	return r;
}
