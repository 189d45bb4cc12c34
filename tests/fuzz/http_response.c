/* An HTTP response in two different partitions of its bytes: both must tell the same. The first
 * byte chooses method and step. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/internal.h"

static int feed(const char *method, struct span text, size_t step, struct http_response *r,
		struct buf *body, struct err *e)
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
	http_response_field(r, "WWW-Authenticate", 1);
	for (;;) {
		size_t skip, data, n = MIN(step, text.n - at);
		int ret = http_response_body(r, span_of(text.p + at, n), &skip, &data, e);

		if (ret < 0)
			return ret;
		if (skip + data > n)
			abort();
		buf_add(body, text.p + at + skip, data);
		at += skip + data;
		if (ret == 0)
			return 0;
		if (n == 0)
			return http_response_end(r);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const methods[] = { "GET", "HEAD", "CONNECT", "GET" };
	struct http_response a, b;
	struct buf body_a = BUF_INIT, body_b = BUF_INIT;
	struct err e = { 0 }, f = { 0 };
	struct span text;
	int ra, rb;

	if (size == 0)
		return 0;
	text = span_of(data + 1, size - 1);
	ra = feed(methods[data[0] & 3], text, SIZE_MAX, &a, &body_a, &e);
	rb = feed(methods[data[0] & 3], text, 1 + (data[0] >> 2), &b, &body_b, &f);
	if (ra != rb || a.status != b.status || a.keep_alive != b.keep_alive ||
	    (ra == 0 && !span_eq(buf_span(&body_a), buf_span(&body_b))))
		abort();
	http_response_release(&a);
	http_response_release(&b);
	buf_release(&body_a);
	buf_release(&body_b);
	return 0;
}
