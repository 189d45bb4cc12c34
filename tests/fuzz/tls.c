/*
 * What a TLS server sends before encryption begins: the handshake's parsers, and the gathering,
 * skimming and judging of certificates.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct origin o = { .https = true, .port = 443, .host = "localhost" };
	struct err e = { 0 };
	struct trust *trust;
	struct tls *t;
	/* records are decrypted, and so changed, in place */
	unsigned char *in;
	size_t at = 1;

	if (size == 0)
		return 0;
	in = xmemdup(data, size);
	trust = trust_open(NULL, NULL);
	if (tls_open(trust, &o, data[0] & 1, true, &t, &e) < 0)
		abort();
	for (;;) {
		struct span out = tls_pending(t), plain;
		size_t used;
		int r;

		if (out.n) {
			tls_sent(t, out.n);
			continue;
		}
		r = tls_receive(t, in + at, size - at, &used, &plain, &e);
		if (r < 0 && !e.text[0])
			abort();
		if (r <= 0 || used == 0)
			break;
		if (used > size - at || tls_ready(t))
			abort();
		at += used;
	}
	tls_close(t);
	trust_close(trust);
	free(in);
	return 0;
}
