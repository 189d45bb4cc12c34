/* Where CAs and client certificates come from: files, read once and only when a certificate is to
 * be judged. */
#ifndef OCIBOX_REGISTRY_TRUST_H
#define OCIBOX_REGISTRY_TRUST_H

#include "libcommon/registry/internal.h"

struct tls_host; /* what tls.c knows of one origin */
struct trust {
	pthread_mutex_t lock;
	char *cacert, *cert_dir;
	bool loaded;
	struct buf cas; /* PEM: those for every host */
	struct tls_host *hosts;
};
/* PEM text of the CAs for every host. Called with the lock held. */
int trust_load(struct trust *t, struct err *e);
/* What certs.d/HOST[:PORT] (or --cert-dir) adds for one host: PEM of CAs, and of the client's chain
 * and key where both are there. */
int trust_load_host(const struct trust *t, const struct origin *o, struct buf *cas,
		    struct buf *chain, struct buf *key, struct err *e);
void tls_hosts_free(struct tls_host *h);

#endif
