/* Servers that are slow: byte by byte, each just in time. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcommon/registry/internal.h"
#include "tests/unit/tap.h"

/* Says first, then n times drop, one every 20 ms, to whoever connects. */
static pid_t drip(const char *first, size_t first_n, char drop, unsigned n, const char *last,
		  uint16_t *port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 5) < 0 ||
	    getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
		exit(1);
	*port = ntohs(sa.sin_port);
	fflush(stdout);
	pid_t child = fork();
	if (child) {
		close(fd);
		return child;
	}
	alarm(60);
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
	child = drip(http, sizeof(http) - 1, 'a', 3000, "", &port);
	is_num(ask(false, port, &e), E_TRY_LATER, "a head that drips is given up");
	ok(strstr(e.text, "takes longer than 1 s to answer"), "which is said: %s", e.text);
	end(child);

	err_clear(&e);
	if (CFG_TLS) {
		child = drip(tls, sizeof(tls) - 1, 0, 3000, "", &port);
		is_num(ask(true, port, &e), E_TRY_LATER, "a TLS handshake that drips is given up");
		ok(strstr(e.text, "takes longer than 1 s to answer"), "which is said: %s", e.text);
		end(child);
	}
	ok(clock_ms() - began < 30000, "in time");
	return done_testing();
}
