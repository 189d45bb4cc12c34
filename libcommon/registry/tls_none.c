/* In place of tls.c where TLS is not built in: no connection gets so far. */
#include <stdlib.h>

#include "libcommon/registry/internal.h"

struct trust *trust_open(const char *cacert, const char *cert_dir)
{
	return NULL;
}

void trust_close(struct trust *t)
{
}

int tls_open(struct trust *trust, const struct origin *o, bool verify, bool client_certificate,
	     struct tls **out, struct err *e)
{
	*out = NULL;
	return err_set(e, E_UNSUPPORTED, "%s: built without TLS: https cannot be spoken", o->host);
}

void tls_close(struct tls *t)
{
}

struct span tls_pending(struct tls *t)
{
	return (struct span){ 0 };
}

void tls_sent(struct tls *t, size_t n)
{
}

int tls_receive(struct tls *t, unsigned char *in, size_t n, size_t *used, struct span *data,
		struct err *e)
{
	*used = 0;
	return E_UNSUPPORTED;
}

size_t tls_write(struct tls *t, struct span data)
{
	return 0;
}

void tls_flush(struct tls *t)
{
}

bool tls_ready(struct tls *t)
{
	return false;
}

const char *tls_describe(const struct tls *t)
{
	return "";
}
