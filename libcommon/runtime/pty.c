/*
 * A terminal of the container's own (pty(7)): its devpts makes it, the process outside carries the
 * bytes.
 *
 * While it runs, the terminal outside is in raw mode. It is set back at the end, and by a small
 * process that waits for ours to die, if it dies by SIGKILL.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "libcommon/runtime/mnt.h"
#include "libcommon/runtime/private.h"

enum { CHUNK = 16384, CTRL_D = 4, CTRL_D_MS = 250, ROOM = 4096, DRAIN_MS = 500 };

union fd_message {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int))];
};

static int send_fd(int channel, int fd)
{
	union fd_message u = { 0 };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	return sendmsg(channel, &m, MSG_NOSIGNAL) == 1 ? 0 : -errno;
}

int pty_receive(int channel)
{
	union fd_message u = { 0 };
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr m = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)
	};
	struct cmsghdr *c;
	ssize_t n;
	int fd;

	do
		n = recvmsg(channel, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	c = n == 1 ? CMSG_FIRSTHDR(&m) : NULL;
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)))
		return n < 0 ? -errno : -ECONNRESET;
	memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* Its own /dev is a tmpfs of ours, so these names mean what they say. */
int pty_open(struct setup *s)
{
	_cleanup_(mnt_release) struct mnt m = MNT_INIT;
	_cleanup_(fd_closep) int master = openat(s->dev, "pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct winsize size;
	int unlock = 0, r = 0;
	unsigned n;
	char name[32];

	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) || ioctl(master, TIOCGPTN, &n))
		return err_set(s->e, -errno, "cannot make a terminal: %s", err_word(-errno));
	if (!ioctl(STDIN_FILENO, TIOCGWINSZ, &size))
		ioctl(master, TIOCSWINSZ, &size);
	snprintf(name, sizeof(name), "pts/%u", n);
	s->console = openat(s->dev, name, O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	if (s->console < 0)
		r = -errno;
	if (!r && s->user.uid)
		r = fchown(s->console, s->user.uid, (gid_t)-1) ? -errno : 0;
	if (!r)
		r = mnt_bind(&m, s->dev, name, false, false, 0);
	if (!r && mknodat(s->dev, "console", S_IFREG | 0600, 0))
		r = -errno;
	if (!r)
		r = mnt_attach(&m, s->dev, "console", NULL);
	if (!r)
		r = send_fd(s->channel, master);
	return r ? err_set(s->e, r, "cannot make a terminal: %s", err_word(r)) : 0;
}

int pty_take(struct setup *s)
{
	for (int fd = 0; fd < 3; fd++)
		if (dup2(s->console, fd) < 0)
			return err_set(s->e, -errno, "terminal: %s", err_word(-errno));
	return 0;
}

/* ---- outside -----------------------------------------------------------------------------------
 */

/* Waits for our death with the terminal's settings in hand. Ends by itself when we close our end
 * after having set them back. */
static int guard_start(const struct termios *saved)
{
	int p[2];
	pid_t pid;
	char byte;

	if (pipe2(p, O_CLOEXEC))
		return -1;
	pid = fork();
	if (!pid) {
		/* All signals are blocked, SIGTTOU too: it may write to the terminal from the
		 * background. */
		close(p[1]);
		setpgid(0, 0);
		if (fd_read_full(p[0], &byte, 1) <= 0)
			tcsetattr(STDIN_FILENO, TCSANOW, saved);
		_exit(0);
	}
	close(p[0]);
	if (pid < 0) {
		close(p[1]);
		return -1;
	}
	return p[1];
}

static void make_raw(const struct termios *saved)
{
	struct termios raw = *saved;

	cfmakeraw(&raw);
	tcsetattr(STDIN_FILENO, TCSANOW, &raw);
}

/* What was read from one side and not yet taken by the other. */
struct pipe_buf {
	char data[CHUNK];
	size_t pos, n;
	bool eof;
};

static void take(struct pipe_buf *b, int fd)
{
	ssize_t n = read(fd, b->data, sizeof(b->data));

	if (n > 0) {
		b->pos = 0;
		b->n = (size_t)n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		b->eof = true;
	}
}

static void give(struct pipe_buf *b, int fd, size_t most)
{
	ssize_t n = write(fd, b->data + b->pos, MIN(b->n, most));

	if (n > 0) {
		b->pos += (size_t)n;
		b->n -= (size_t)n;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		b->n = 0;
		b->eof = true;
	}
}

/* Standard output. A write that blocks would block our signals, too, and the descriptor is shared with
 * whoever started us, so O_NONBLOCK is not ours to set: it is opened anew. Where that fails, what
 * poll(2) promises is written: a page to a pipe, to a terminal not even two bytes. */
struct outlet {
	int fd;
	size_t most;
	bool ours;
};

static struct outlet outlet_open(void)
{
	struct outlet out = { .fd = STDOUT_FILENO, .most = ROOM };
	bool tty = isatty(STDOUT_FILENO);
	struct stat st;
	int fd;

	if (!tty && (fstat(STDOUT_FILENO, &st) || !S_ISFIFO(st.st_mode)))
		return out;
	fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd >= 0)
		return (struct outlet){ .fd = fd, .most = CHUNK, .ours = true };
	out.most = tty ? 1 : ROOM;
	return out;
}

struct relay {
	const struct outside *o;
	struct outlet to;
	struct pipe_buf in, out;
	struct termios saved;
	bool raw;
	bool told; /* to end, by a signal or by the time */
	int guard;
	uint64_t ctrl_d_due;
};

static bool is_end(int sig)
{
	return sig == SIGTERM || sig == SIGINT || sig == SIGHUP || sig == SIGQUIT;
}

static void on_signals(struct relay *r, int sfd)
{
	struct signalfd_siginfo si;
	struct winsize size;

	while (read(sfd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		int sig = (int)si.ssi_signo;

		if (sig == SIGWINCH) {
			/* The kernel tells the program itself. */
			if (!ioctl(STDIN_FILENO, TIOCGWINSZ, &size))
				ioctl(r->o->master, TIOCSWINSZ, &size);
			continue;
		}
		if (sig == SIGTSTP && r->raw)
			tcsetattr(STDIN_FILENO, TCSANOW, &r->saved);
		r->told |= is_end(sig);
		outside_signal(r->o, sig);
		if (sig == SIGCONT && r->raw)
			make_raw(&r->saved);
	}
}

/* The end of a file or pipe is what a person says by Ctrl-D; and again, as a file that ended stays
 * so: a program that was just changing the terminal's mode has lost the first. */
static int say_end(struct relay *r, int timeout)
{
	uint64_t now = clock_ms();

	if (!r->in.eof)
		return timeout;
	if (!r->in.n && now >= r->ctrl_d_due) {
		r->in.data[0] = CTRL_D;
		r->in.pos = 0;
		r->in.n = 1;
		r->ctrl_d_due = now + CTRL_D_MS;
	}
	return timeout < 0 ? CTRL_D_MS : MIN(timeout, CTRL_D_MS);
}

static void relay_turn(struct relay *r, int sfd, int timeout)
{
	int wait = say_end(r, timeout);
	bool in_full = r->in.n, out_full = r->out.n;
	struct pollfd p[] = {
		{ .fd = sfd, .events = POLLIN },
		{ .fd = in_full || r->in.eof ? -1 : STDIN_FILENO, .events = POLLIN },
		{ .fd = r->out.eof && !in_full ? -1 : r->o->master,
		  .events = (short)((in_full ? POLLOUT : 0) |
				    (out_full || r->out.eof ? 0 : POLLIN)) },
		{ .fd = out_full ? r->to.fd : -1, .events = POLLOUT },
	};

	if (poll(p, ARRAY_LEN(p), wait) <= 0)
		return;
	if (p[0].revents)
		on_signals(r, sfd);
	if (p[1].revents)
		take(&r->in, STDIN_FILENO);
	if (p[2].revents & POLLOUT)
		give(&r->in, r->o->master, ROOM);
	if (p[2].revents & (POLLIN | POLLHUP | POLLERR) && !out_full)
		take(&r->out, r->o->master);
	if (p[3].revents)
		give(&r->out, r->to.fd, r->to.most);
}

/* What the program wrote last is still in the pty. Who told us to end does not wait for a reader that
 * takes nothing. */
static void drain(struct relay *r, int sfd)
{
	struct signalfd_siginfo si;

	fcntl(r->o->master, F_SETFL, O_NONBLOCK);
	for (;;) {
		while (r->out.n) {
			struct pollfd p[] = {
				{ .fd = sfd, .events = POLLIN },
				{ .fd = r->to.fd, .events = POLLOUT },
			};

			if (poll(p, ARRAY_LEN(p), r->told ? DRAIN_MS : -1) <= 0)
				return;
			/* The program is no more: nothing is passed on. */
			while (p[0].revents && read(sfd, &si, sizeof(si)) == (ssize_t)sizeof(si))
				r->told |= is_end((int)si.ssi_signo);
			if (p[1].revents)
				give(&r->out, r->to.fd, r->to.most);
		}
		take(&r->out, r->o->master);
		if (!r->out.n)
			return;
	}
}

int pty_relay(const struct outside *o)
{
	struct relay *r = xcalloc(1, sizeof(*r));
	_cleanup_(fd_closep) int sfd = outside_signal_fd();
	struct timer t = { 0 };
	int status;

	r->o = o;
	r->guard = -1;
	r->to = outlet_open();
	fcntl(o->master, F_SETFL, O_NONBLOCK);
	if (!tcgetattr(STDIN_FILENO, &r->saved)) {
		r->raw = true;
		r->guard = guard_start(&r->saved);
		make_raw(&r->saved);
	}
	while ((status = outside_ended(o)) == -EAGAIN)
		relay_turn(r, sfd, outside_timer(&t, o));
	r->told |= t.fired;
	drain(r, sfd);
	if (r->raw) {
		tcsetattr(STDIN_FILENO, TCSANOW, &r->saved);
		if (r->guard >= 0)
			fd_write_all(r->guard, "", 1);
		fd_close(r->guard);
	}
	if (r->to.ours)
		close(r->to.fd);
	freep(&r);
	return outside_status(&t, status);
}
