/* TCP connections: all addresses of a host, both families in turn, the next one started when the
 * last is slow. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "libcommon/registry/internal.h"

enum { RACE_MAX = 8, HEAD_START_MS = 250, CONNECT_MS = 30000 };

struct race {
	struct pollfd fds[RACE_MAX];
	unsigned n;
	int fault; /* of the last that failed */
};

static int race_won(struct race *r, unsigned i)
{
	int fd = r->fds[i].fd, one = 1;

	for (unsigned j = 0; j < r->n; j++)
		if (j != i)
			fd_close(r->fds[j].fd);
	r->n = 0;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static void race_drop(struct race *r, unsigned i, int fault)
{
	fd_close(r->fds[i].fd);
	r->fds[i] = r->fds[--r->n];
	r->fault = fault;
}

static void race_close(struct race *r)
{
	while (r->n)
		fd_close(r->fds[--r->n].fd);
}

/* Waits up to ms for one to connect: its descriptor, -EAGAIN when all are still at it, or the fault
 * of the last that failed. */
static int race_wait(struct race *r, unsigned ms)
{
	uint64_t end = clock_ms() + ms;

	while (r->n) {
		uint64_t now = clock_ms();

		if (now >= end || poll(r->fds, r->n, (int)(end - now)) == 0)
			return -EAGAIN;
		for (unsigned i = 0; i < r->n; i++) {
			int fault = 0;
			socklen_t n = sizeof(fault);

			if (!r->fds[i].revents)
				continue;
			if (getsockopt(r->fds[i].fd, SOL_SOCKET, SO_ERROR, &fault, &n) < 0)
				fault = errno;
			if (fault == 0)
				return race_won(r, i);
			race_drop(r, i, -fault);
			return r->fault;
		}
	}
	return r->fault;
}

static int race_start(struct race *r, const struct addrinfo *a)
{
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return r->fault = -errno;
	if (connect(fd, a->ai_addr, a->ai_addrlen) < 0 && errno != EINPROGRESS) {
		r->fault = -errno;
		fd_close(fd);
		return r->fault;
	}
	r->fds[r->n++] = (struct pollfd){ .fd = fd, .events = POLLOUT };
	return 0;
}

static bool addr_allowed(const struct addrinfo *a, unsigned flags)
{
	enum addr_class class = addr_classify(a->ai_addr);

	if (flags & NET_GIVEN)
		return true;
	return class == ADDR_PUBLIC || (class == ADDR_LOOPBACK && (flags & NET_LOOPBACK_OK));
}

/* The next address to try: families take turns, in the order of the resolver. */
static const struct addrinfo *next_addr(const struct addrinfo *all, uint64_t *tried,
					int last_family)
{
	const struct addrinfo *first = NULL;
	unsigned i = 0, first_i = 0;

	for (const struct addrinfo *a = all; a && i < 64; a = a->ai_next, i++) {
		if (*tried & (uint64_t)1 << i)
			continue;
		if (a->ai_family != last_family) {
			*tried |= (uint64_t)1 << i;
			return a;
		}
		if (!first) {
			first = a;
			first_i = i;
		}
	}
	if (first)
		*tried |= (uint64_t)1 << first_i;
	return first;
}

/* The address that served this origin last, so that a dead one costs its head start only once. */
static const struct addrinfo *last_addr(struct network *n, const struct origin *o,
					const struct addrinfo *all, uint64_t *tried)
{
	const struct addrinfo *found = NULL;
	unsigned i = 0;

	pthread_mutex_lock(&n->lock);
	for (const struct addrinfo *a = all; a && i < 64 && !found; a = a->ai_next, i++)
		if (n->last_addr_n && a->ai_addrlen == n->last_addr_n &&
		    origin_eq(&n->last_origin, o) &&
		    memcmp(a->ai_addr, n->last_addr, n->last_addr_n) == 0) {
			found = a;
			*tried |= (uint64_t)1 << i;
		}
	pthread_mutex_unlock(&n->lock);
	return found;
}

static void keep_last_addr(struct network *n, const struct origin *o, int fd)
{
	struct sockaddr_storage sa = { 0 };
	socklen_t len = sizeof(sa);

	if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0 || len > sizeof(n->last_addr))
		return;
	pthread_mutex_lock(&n->lock);
	n->last_origin = *o;
	memcpy(n->last_addr, &sa, len);
	n->last_addr_n = len;
	pthread_mutex_unlock(&n->lock);
}

static int race_run(struct network *n, const struct origin *o, const struct addrinfo *all,
		    unsigned flags, struct err *e)
{
	struct race r = { .fault = -ENOENT };
	uint64_t tried = 0, end = clock_ms() + network_time(n, CONNECT_MS);
	const struct addrinfo *last = last_addr(n, o, all, &tried);
	int family = 0, fd = -EAGAIN;
	bool more = true, refused = false;

	while (more || r.n) {
		const struct addrinfo *a = last;
		uint64_t now;

		if (!a && more && r.n < RACE_MAX)
			a = next_addr(all, &tried, family);
		last = NULL;

		more = more && (a || r.n == RACE_MAX);
		if (a && !addr_allowed(a, flags)) {
			refused = true;
			continue;
		}
		if (a) {
			family = a->ai_family;
			if (race_start(&r, a) < 0)
				continue;
		}
		now = clock_ms();
		if (now >= end) {
			r.fault = -ETIMEDOUT;
			break;
		}
		fd = race_wait(&r, more ? (unsigned)MIN(end - now, HEAD_START_MS)
					: (unsigned)(end - now));
		if (fd >= 0) {
			keep_last_addr(n, o, fd);
			return fd;
		}
	}
	race_close(&r);
	if (refused && r.fault == -ENOENT)
		return err_set(e, E_AUTH, "its address is one that no other host may send us to");
	return r.fault;
}

int dial(struct network *n, const struct origin *o, unsigned flags, struct err *e)
{
	struct addrinfo *all;
	char text[ORIGIN_TEXT_MAX];
	int fd;

	if (network_time(n, CONNECT_MS) == 0)
		return network_over(e);
	fd = resolve(n, o, &all, e);
	if (fd < 0)
		return fd;
	fd = race_run(n, o, all, flags, e);
	freeaddrinfo(all);
	if (fd >= 0)
		return fd;
	if (fd > -10000)
		return err_set(e, fd, "connecting to %s: %s", origin_authority(o, text),
			       strerror(-fd));
	return err_prefix(e, "connecting to %s", origin_authority(o, text));
}
