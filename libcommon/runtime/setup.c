/*
 * What the first process in the container does, in order, until it becomes pid 1's program.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/runtime/mnt.h"
#include "libcommon/runtime/private.h"

void setup_step(struct setup *s, const char *name)
{
	struct container_times *t = &s->sh->times;
	uint64_t now;

	if (!s->c->step_times || t->n == ARRAY_LEN(t->step))
		return;
	now = clock_us();
	t->step[t->n].name = name;
	t->step[t->n++].us = (uint32_t)(now - s->last_us);
	s->last_us = now;
}

/* In a new user namespace we are nobody until the maps are written; then root, without the caller's
 * groups. */
static int become_root(struct setup *s)
{
	char go;

	if (!(s->c->ns & NS_USER))
		return 0;
	if (fd_read_full(s->sync, &go, 1) != 1)
		_exit(125);
	/* Some kernels let anybody make the namespace and give no power in it. */
	if (!(caps_effective() >> 21 & 1))
		return userns_refused(s->e, -EPERM);
	if (syscall(SYS_setresgid, 0, 0, 0) || syscall(SYS_setresuid, 0, 0, 0))
		return err_set(s->e, -errno, "cannot become root of the user namespace: %s",
			       err_word(-errno));
	return 0;
}

/* The user's files may be on what is wanted. */
static int who(struct setup *s)
{
	int r = mounts_wanted(s);

	setup_step(s, "mount what is wanted");
	if (!r)
		r = process_identity(s);
	setup_step(s, "look the user up");
	return r;
}

static int make_world(struct setup *s)
{
	const struct container *c = s->c;
	const bool early = !mounts_want_sys(s);
	int r;

	umask(0);
	if (c->hostname && sethostname(c->hostname, strlen(c->hostname)))
		return err_set(s->e, -errno, "cannot set the host name: %s", err_word(-errno));
	r = rootfs_attach(s);
	setup_step(s, "attach the root");
	if (!r)
		r = mounts_standard(s);
	if (!r)
		r = masks_apply(s, false);
	setup_step(s, "mask paths of /proc");
	if (!r) {
		s->pid1 = pid1_open(s);
		r = s->pid1 < 0 ? s->pid1 : 0;
	}
	setup_step(s, "prepare pid 1");
	/* Anything but the network first, as the process outside is still making that. */
	if (!r && early)
		r = who(s);
	if (!r)
		r = net_join(s);
	setup_step(s, "join the network namespace");
	if (!r)
		r = mounts_sys(s);
	if (!r)
		r = masks_apply(s, true);
	setup_step(s, "mount /sys");
	if (!r && !early)
		r = who(s);
	return r;
}

/* If the process outside died before this was set, its pipe tells. */
static void die_with_parent(const struct setup *s)
{
	struct pollfd p = { .fd = s->sync };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (poll(&p, 1, 0) > 0 && p.revents & POLLHUP)
		_exit(125);
}

static int finish_root(struct setup *s)
{
	const struct container *c = s->c;
	int r = rootfs_enter(s);

	setup_step(s, "enter the root");
	if (!r && c->tty)
		r = pty_open(s);
	if (!r)
		r = process_cwd(s);
	if (!r && c->read_only) {
		r = mnt_set(s->root, MNT_RDONLY | MNT_NODEV, false);
		if (r)
			err_set(s->e, r, "cannot make the root read-only: %s", err_word(r));
	}
	setup_step(s, "terminal, directory");
	return r;
}

static int execute(struct setup *s)
{
	const struct container *c = s->c;
	static const char *const modes[] = { "--exec", "--exec-tty", "--init", "--init-tty" };
	struct strs argv = { 0 };
	static char *const no_env[] = { NULL };

	strs_add(&argv, c->label ? c->label : "ns-run");
	strs_add(&argv, modes[c->init * 2 + c->tty]);
	for (const char *const *a = c->argv; *a; a++)
		strs_add(&argv, *a);
	/* Only standard descriptors go on (T41). */
	sys_close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	die_with_parent(s);
	setup_step(s, "until exec");
	syscall(SYS_execveat, s->pid1, "", argv.v, s->env.v ? s->env.v : no_env, AT_EMPTY_PATH);
	return err_set(s->e, -errno, "cannot start pid 1: %s", err_word(-errno));
}

int setup_run(struct setup *s)
{
	const struct container *c = s->c;
	int r = become_root(s);

	setup_step(s, "namespaces");
	if (!r)
		r = make_world(s);
	if (!r)
		r = finish_root(s);
	if (!r && c->tty)
		r = pty_take(s);
	if (r)
		return r;
	/* A session keyring of its own: the caller's keys stay outside. Kernels without keys, and
	 * full quotas, are no reason to stop. */
	syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
	if (c->ns & NS_NET)
		r = net_up(s);
	setup_step(s, "keys, loopback up");
	if (!r)
		r = process_limits(c, s->e);
	umask(c->has_umask ? c->umask : 022);
	if (!r)
		r = process_drop(s);
	setup_step(s, "limits, ids, capabilities, filter");
	return r ? r : execute(s);
}
