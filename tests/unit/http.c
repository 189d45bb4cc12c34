/* HTTP/1.1 responses: the head, the framing of bodies, and all that must be refused. */
#include <stdlib.h>

#include "libcommon/registry/internal.h"
#include "tests/unit/tap.h"

/* Feeds text in pieces of step bytes; the body goes to *body. The code of the first fault, or how
 * the body ended. */
static int feed(const char *method, struct span text, size_t step, struct http_response *r,
		struct buf *body, size_t *rest, struct err *e)
{
	size_t at = 0;

	http_response_init(r, method);
	while (at < text.n && !r->complete) {
		ssize_t used =
			http_response_head(r, span_of(text.p + at, MIN(step, text.n - at)), e);

		if (used < 0)
			return (int)used;
		at += (size_t)used;
	}
	if (!r->complete)
		return E_TRUNCATED;
	for (;;) {
		size_t skip, data, n = MIN(step, text.n - at);
		int ret = http_response_body(r, span_of(text.p + at, n), &skip, &data, e);

		if (ret < 0)
			return ret;
		if (skip + data > n)
			return -ERANGE;
		buf_add(body, text.p + at + skip, data);
		at += skip + data;
		*rest = text.n - at;
		if (ret == 0)
			return 0;
		if (n == 0)
			return http_response_end(r);
	}
}

/* The same result whatever the pieces are. */
static void good(const char *name, const char *method, const char *text, unsigned status,
		 const char *want, bool keep, size_t rest_want)
{
	bool same = true;

	for (size_t step = 1; step < strlen(text) + 2; step++) {
		_cleanup_(http_response_release) struct http_response r;
		_cleanup_(buf_release) struct buf body = BUF_INIT;
		struct err e = { 0 };
		size_t rest = 0;
		int ret = feed(method, span_str(text), step, &r, &body, &rest, &e);

		if (ret != 0 || r.status != status || !span_is(buf_span(&body), want) ||
		    r.keep_alive != keep || rest != rest_want) {
			printf("# step %zu: %d %s status %u body \"%s\" keep %d rest %zu\n", step,
			       ret, e.text, r.status, buf_str(&body), r.keep_alive, rest);
			same = false;
			break;
		}
	}
	ok(same, "%s", name);
}

static void bad_span(const char *name, struct span text, int code)
{
	bool same = true;

	for (size_t step = 1; step < MIN(text.n + 2, (size_t)200); step++) {
		_cleanup_(http_response_release) struct http_response r;
		_cleanup_(buf_release) struct buf body = BUF_INIT;
		struct err e = { 0 };
		size_t rest;
		int ret = feed("GET", text, step, &r, &body, &rest, &e);

		if (ret != code || (code == E_PROTOCOL && !e.text[0])) {
			printf("# step %zu: %d %s\n", step, ret, e.text);
			same = false;
			break;
		}
	}
	ok(same, "%s", name);
}

static void bad(const char *name, const char *text)
{
	bad_span(name, span_str(text), E_PROTOCOL);
}

static void bodies(void)
{
	good("a body of known length", "GET",
	     "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloNEXT", 200, "hello", true, 4);
	good("an empty body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nX", 200, "", true,
	     1);
	good("the same length twice", "GET",
	     "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\ncontent-length: 2\r\n\r\nhi", 200, "hi",
	     true, 0);
	good("chunks, an extension, a trailer", "GET",
	     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\"\r\nabc\r\n0A\r\n0123456789\r\n0\r\nT: v\r\n\r\nNEXT",
	     200, "abc0123456789", true, 4);
	good("no chunk but the last", "GET",
	     "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", 200, "", true, 0);
	good("a body up to the end of the connection", "GET", "HTTP/1.1 200 OK\r\n\r\nall of it",
	     200, "all of it", false, 0);
	good("HTTP/1.0 keeps nothing alive", "GET",
	     "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", false, 0);
	good("Connection: close", "GET",
	     "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nhi", 200, "hi",
	     false, 0);
	good("HEAD has no body", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nNEXT", 200,
	     "", true, 4);
	good("204 has no body", "GET", "HTTP/1.1 204 No Content\r\n\r\nNEXT", 204, "", true, 4);
	good("304 has no body", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
	     304, "", true, 0);
	good("CONNECT opens a tunnel", "CONNECT", "HTTP/1.1 200 Connected\r\n\r\nBYTES", 200, "",
	     true, 5);
	good("CONNECT refused has a body", "CONNECT",
	     "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno", 407, "no", true, 0);
	good("interim responses are passed over", "GET",
	     "HTTP/1.1 100 Continue\r\nX: y\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	     200, "x", true, 0);
	good("no reason", "GET", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", 404, "", true, 0);
	good("a reason and values with high bytes", "GET",
	     "HTTP/1.1 200 d\xc3\xa9j\xc3\xa0\r\nX: \xff\r\nContent-Length: 0\r\n\r\n", 200, "",
	     true, 0);
}

static void smuggling(void)
{
	bad("Content-Length beside Transfer-Encoding",
	    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
	bad("two lengths",
	    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!");
	bad("two lengths in one field", "HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello!");
	bad("a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello");
	bad("a negative length (T72)", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello");
	bad("a length of 2^64 (T72)",
	    "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nhello");
	bad("a length of 2^63 (T72)",
	    "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nhello");
	bad("an empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello");
	bad("a hexadecimal length", "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello");
	bad("gzip, chunked",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n");
	bad("chunked twice",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
	bad("chunked in HTTP/1.0",
	    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
	bad("a vertical tab before chunked",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: \013chunked\r\n\r\n0\r\n\r\n");
	bad("a blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello");
	bad("a folded field", "HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 5\r\n\r\nhello");
	bad("a bare LF", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello");
	bad("a bare CR", "HTTP/1.1 200 OK\r\nX: a\rContent-Length: 5\r\n\r\nhello");
	bad_span("a NUL in a field",
		 SPAN("HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 5\r\n\r\nhello"), E_PROTOCOL);
	bad("a chunk's size too long",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\nx");
	bad("a negative chunk's size",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nx");
	bad("a chunk's size that is none",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nx");
	bad("a chunk longer than it says",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxy\r\n0\r\n\r\n");
	bad("a chunk's line that ends in LF",
	    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n");
}

static void heads(void)
{
	bad("not HTTP", "SSH-2.0-OpenSSH\r\n");
	bad("a TLS alert", "\x15\x03\x01");
	bad("HTTP/2", "HTTP/2.0 200 OK\r\n\r\n");
	bad("a status of two digits", "HTTP/1.1 20 OK\r\n\r\n");
	bad("a status of four digits", "HTTP/1.1 2000 OK\r\n\r\n");
	bad("a status over 599", "HTTP/1.1 999 OK\r\n\r\n");
	bad("an empty first line", "\r\nHTTP/1.1 200 OK\r\n\r\n");
	bad("a field without a colon", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n");
	bad("a field without a name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n");
	bad("101 unasked", "HTTP/1.1 101 Switching Protocols\r\n\r\n");
	bad_span("a head that ends early", SPAN("HTTP/1.1 200 OK\r\nContent-Len"), E_TRUNCATED);
	bad_span("a body that ends early", SPAN("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"),
		 E_TRUNCATED);
	bad_span("chunks that end early",
		 SPAN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
		 E_TRUNCATED);
	bad_span("a last chunk without its end",
		 SPAN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"), E_TRUNCATED);
}

/* Nothing grows without end (T80). */
static void bounds(void)
{
	_cleanup_(buf_release) struct buf many = BUF_INIT, interim = BUF_INIT, trailers = BUF_INIT,
					  extension = BUF_INIT;
	struct http_response r;
	struct err e = { 0 };

	buf_adds(&many, "HTTP/1.1 200 OK\r\n");
	while (many.n < HTTP_HEAD_MAX + 100)
		buf_adds(&many, "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
	bad_span("T80 a head over 64 KiB", buf_span(&many), E_PROTOCOL);
	for (int i = 0; i < 20; i++)
		buf_adds(&interim, "HTTP/1.1 100 Continue\r\n\r\n");
	bad_span("T80 too many interim responses", buf_span(&interim), E_PROTOCOL);
	buf_adds(&trailers, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
	while (trailers.n < HTTP_HEAD_MAX + 8192)
		buf_adds(&trailers, "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n");
	bad_span("T80 trailers over 64 KiB", buf_span(&trailers), E_PROTOCOL);
	buf_adds(&extension, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;");
	while (extension.n < 8192)
		buf_adds(&extension, "yyyyyyyyyyyyyyyyyyyyyyyy");
	bad_span("T80 a chunk's extension over 4 KiB", buf_span(&extension), E_PROTOCOL);

	http_response_init(&r, "GET");
	http_response_head(
		&r,
		span_str(
			"HTTP/1.1 200 OK\r\nA: 1\r\nB:\t two \r\na: 3\r\nContent-Length: 0\r\n\r\n"),
		&e);
	ok(r.complete, "a head");
	ok(span_is(http_response_field(&r, "A", 0), "1") &&
		   span_is(http_response_field(&r, "a", 1), "3"),
	   "fields of one name in turn");
	ok(span_is(http_response_field(&r, "b", 0), "two"),
	   "blanks around a value are no part of it");
	ok(!http_response_field(&r, "A", 2).p && !http_response_field(&r, "HTTP/1.1 200 OK", 0).p,
	   "no other");
	http_response_release(&r);
}

static void requests(void)
{
	_cleanup_(url_release) struct url u = { 0 };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct err e = { 0 };
	struct http_request q = { .method = "GET",
				  .accept = "a/b",
				  .authorization = "Basic eA==",
				  .from = 7,
				  .if_range = "\"e\"" };

	url_parse(span_str("http://[::1]:5000/v2/?a=b"), &u, &e);
	http_request_write(&b, &q, &u, false, NULL);
	is_str(buf_str(&b),
	       "GET /v2/?a=b HTTP/1.1\r\nHost: [::1]:5000\r\nUser-Agent: ocibox\r\nAccept: a/b\r\nAccept-Encoding: identity\r\n"
	       "Authorization: Basic eA==\r\nRange: bytes=7-\r\nIf-Range: \"e\"\r\n\r\n",
	       "a request");
	buf_clear(&b);
	q = (struct http_request){ .method = "POST", .content_type = "x/y", .body = SPAN("abc") };
	http_request_write(&b, &q, &u, true, "Basic cHJveHk=");
	is_str(buf_str(&b),
	       "POST http://[::1]:5000/v2/?a=b HTTP/1.1\r\nHost: [::1]:5000\r\nUser-Agent: ocibox\r\nAccept-Encoding: identity\r\n"
	       "Proxy-Authorization: Basic cHJveHk=\r\nContent-Type: x/y\r\nContent-Length: 3\r\n\r\nabc",
	       "a request with a body to a proxy");
}

int main(void)
{
	bodies();
	smuggling();
	heads();
	bounds();
	requests();
	return done_testing();
}
