/* Servers that are slow: byte by byte, each just in time, or not at all; and those that close a connection that was kept. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/registry/internal.h"
#include "tests/unit/tap.h"

/* A child, where this returns 0, that listens on *fd for ten minutes at the most. */
static pid_t fork_server(uint16_t *port, int *fd)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);

	*fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(*fd, (struct sockaddr *)&sa, len) < 0 || listen(*fd, 5) < 0 ||
	    getsockname(*fd, (struct sockaddr *)&sa, &len) < 0)
		exit(1);
	*port = ntohs(sa.sin_port);
	fflush(stdout);
	pid_t child = fork();
	if (child)
		close(*fd);
	else
		alarm(600);
	return child;
}

/* Says first, then n times drop, one every 20 ms, to whoever connects. */
static pid_t drip(const char *first, size_t first_n, char drop, unsigned n, const char *last,
		  uint16_t *port)
{
	int fd;
	pid_t child = fork_server(port, &fd);

	if (child)
		return child;
	for (;;) {
		int c = accept(fd, NULL, NULL);

		send(c, first, first_n, MSG_NOSIGNAL);
		for (unsigned i = 0; i < n && send(c, &drop, 1, MSG_NOSIGNAL) == 1; i++)
			usleep(20000);
		send(c, last, strlen(last), MSG_NOSIGNAL);
		close(c);
	}
}

static int ask(bool https, uint16_t port, struct err *e)
{
	struct registry_options o = { 0 };
	struct network net;
	struct url u = { 0 };
	struct exchange *x = NULL;
	const struct http_request q = { .method = "GET" };
	char text[64];

	snprintf(text, sizeof(text), "%s://127.0.0.1:%u/v2/", https ? "https" : "http", port);
	int r = network_open(&net, &o, e);
	if (r == 0)
		r = url_parse(span_str(text), &u, e);
	if (r == 0)
		r = exchange_open(&net, &q, &u, NET_GIVEN | NET_ANY_CERTIFICATE, &x, e);
	exchange_close(x);
	url_release(&u);
	network_close(&net);
	return r;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* Has each talk to every connection in turn, the nth. */
static pid_t serve(void (*each)(int c, unsigned nth), uint16_t *port)
{
	int fd;
	pid_t child = fork_server(port, &fd);

	if (child)
		return child;
	for (unsigned n = 0;; n++) {
		int c = accept(fd, NULL, NULL);

		each(c, n);
		close(c);
	}
}

static void say(int c, const char *text)
{
	send(c, text, strlen(text), MSG_NOSIGNAL);
}

/* The head of a request; its first byte, or 0. */
static char hear(int c)
{
	char text[4096];
	size_t n = 0;

	while (n < sizeof(text) - 1) {
		ssize_t got = recv(c, text + n, 1, 0);

		if (got <= 0)
			return 0;
		text[++n] = 0;
		if (n > 4 && !strcmp(text + n - 4, "\r\n\r\n"))
			return text[0];
	}
	return 0;
}

static void stalls(int c, unsigned nth)
{
	hear(c);
	say(c, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
	sleep(600);
}

static void closes_kept(int c, unsigned nth)
{
	hear(c);
	say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
	/* the next request is heard, and not answered */
	hear(c);
}

static int one(struct network *net, const struct http_request *q, uint16_t port, struct buf *body,
	       struct err *e)
{
	_cleanup_(url_release) struct url u = { 0 };
	_cleanup_(exchange_closep) struct exchange *x = NULL;
	char text[64];

	snprintf(text, sizeof(text), "http://127.0.0.1:%u/v2/", port);
	int r = url_parse(span_str(text), &u, e);
	if (r == 0)
		r = exchange_open(net, q, &u, NET_GIVEN, &x, e);
	if (r == 0)
		r = stream_read_all(&x->body, 1000, body);
	if (r < 0 && x)
		err_set(e, r, "%s", x->err.text);
	return r;
}

static void bodies(void)
{
	static const struct registry_options o = { 0 };
	const struct http_request get = { .method = "GET" },
				  post = { .method = "POST", .body = SPAN("abc") };
	struct network net;
	struct buf b = BUF_INIT;
	struct err e = { 0 };
	uint16_t port;
	char name[] = "/tmp/obt.network.XXXXXX";
	int fd = mkstemp(name);
	struct http_body file = { .fd = fd, .length = 3 };
	const struct http_request put = { .method = "PUT", .file = &file };

	is_num(network_stall_ms, 30000, "30 s for a byte of a body");
	network_stall_ms = 1000;
	network_open(&net, &o, &e);
	pid_t child = serve(stalls, &port);
	is_num(one(&net, &get, port, &b, &e), -ETIMEDOUT, "a body that stalls is given up");
	ok(strstr(e.text, "nothing came for 1 s"), "which is said: %s", e.text);
	end(child);
	network_close(&net);

	unlink(name);
	if (pwrite(fd, "abc", 3, 0) != 3)
		exit(1);
	const struct http_request *second[] = { &get, &post, &put };
	for (size_t i = 0; i < ARRAY_LEN(second); i++) {
		buf_clear(&b);
		err_clear(&e);
		network_open(&net, &o, &e);
		child = serve(closes_kept, &port);
		ok(one(&net, &get, port, &b, &e) == 0, "a first request: %s", e.text);
		int r = one(&net, second[i], port, &b, &e);
		if (second[i]->file)
			ok(r < 0 && net.stats.requests == 2,
			   "a large body is sent again by who knows how much of it counts");
		else
			ok(r == 0 && net.stats.requests == 3 && span_is(buf_span(&b), "okok"),
			   "%s on a kept connection that closes goes on a new one: %s",
			   second[i]->method, e.text);
		end(child);
		network_close(&net);
	}
	close(fd);
	buf_release(&b);
}

int main(void)
{
	static const char http[] = "HTTP/1.1 200 OK\r\nX-Long: ", tls[] = "\x16\x03\x03\x20";
	uint16_t port;
	struct err e = { 0 };
	uint64_t began = clock_ms();

	is_num(network_head_ms, 120000, "120 s for an answer's head");
	pid_t child = drip(http, sizeof(http) - 1, 'a', 20, "\r\nContent-Length: 0\r\n\r\n", &port);
	ok(ask(false, port, &e) == 0, "a head that comes slowly is taken: %s", e.text);
	end(child);

	network_head_ms = 1000;
	child = drip(http, sizeof(http) - 1, 'a', 30000, "", &port);
	is_num(ask(false, port, &e), E_TRY_LATER, "a head that drips is given up");
	ok(strstr(e.text, "takes longer than 1 s to answer"), "which is said: %s", e.text);
	end(child);

	err_clear(&e);
	if (CFG_TLS) {
		child = drip(tls, sizeof(tls) - 1, 0, 30000, "", &port);
		is_num(ask(true, port, &e), E_TRY_LATER, "a TLS handshake that drips is given up");
		ok(strstr(e.text, "takes longer than 1 s to answer"), "which is said: %s", e.text);
		end(child);
	}
	network_head_ms = 120000;
	bodies();
	ok(clock_ms() - began < 300000, "in time");
	return done_testing();
}
