/*
 * The container's network namespace, with its loopback interface up.
 *
 * The kernel takes longer over a network namespace than over all the rest of a start, so the two
 * processes share the work: the one outside makes the namespace, by moving there itself (it has no
 * use for a network), while the one inside mounts, and then joins it. In a user namespace only the
 * process inside could make one that is its own.
 */
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/runtime/private.h"
#include "libcommon/runtime/rawsys.h"

static int loopback_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	const int type = SOCK_DGRAM | SOCK_CLOEXEC;
	long fd = sys(SYS_socket, AF_INET, type, 0, 0, 0);
	long r;

	/* A kernel without IPv4 has another kind of socket that takes the same request. */
	if (fd < 0)
		fd = sys(SYS_socket, AF_UNIX, type, 0, 0, 0);
	if (fd < 0)
		return (int)fd;
	r = sys(SYS_ioctl, fd, SIOCSIFFLAGS, (long)&ifr, 0, 0);
	sys(SYS_close, fd, 0, 0, 0, 0);
	return (int)r;
}

void net_make_outside(int sync)
{
	int32_t r = (int32_t)sys(SYS_unshare, CLONE_NEWNET, 0, 0, 0, 0);

	sys(SYS_write, sync, (long)&r, sizeof(r), 0, 0);
	if (r)
		return;
	r = loopback_up();
	sys(SYS_write, sync, (long)&r, sizeof(r), 0, 0);
}

static int heard(struct setup *s)
{
	int32_t r;

	if (fd_read_full(s->sync, &r, sizeof(r)) != (ssize_t)sizeof(r))
		_exit(125);
	return r;
}

int net_join(struct setup *s)
{
	int r;

	if (s->outside < 0)
		return 0;
	r = heard(s);
	if (!r && !setns(s->outside, CLONE_NEWNET))
		return 0;
	/* Before Linux 5.8, or behind a filter, the other's namespace cannot be joined. */
	fd_close(steal_fd(&s->outside));
	return unshare(CLONE_NEWNET) ? err_set(s->e, -errno, "cannot make a network namespace: %s",
					       err_word(-errno))
				     : 0;
}

int net_up(struct setup *s)
{
	int r = s->outside < 0 ? loopback_up() : heard(s);

	return r ? err_set(s->e, r, "cannot bring the loopback interface up: %s", err_word(r)) : 0;
}
