/*
 * What the files of TLS share, which are the only ones that know BearSSL's: what is kept of an origin, the verifier of a
 * server's certificates, a connection.
 */
#ifndef OCIBOX_REGISTRY_TLS_H
#define OCIBOX_REGISTRY_TLS_H

#include <bearssl.h>

#include "libcommon/registry/trust.h"
#include "libcommon/registry/x509.h"

enum {
	CHAIN_MAX = 10,
	ANCHORS_MAX = 64,
	NAMES_MAX = 64,
};

struct anchor {
	struct buf dn, key;
	br_x509_trust_anchor ta;
	bool name_constraints;
};

struct tls_host {
	struct tls_host *next;
	struct origin origin;
	bool verify, loaded, has_session, any_cas;
	struct buf cas;		     /* PEM: for this host */
	struct buf names[NAMES_MAX]; /* that CAs were looked for */
	unsigned names_n;
	struct anchor *anchors[ANCHORS_MAX];
	unsigned anchors_n;
	br_ssl_session_parameters session;
	struct buf chain_der[CHAIN_MAX]; /* the client's */
	br_x509_certificate chain[CHAIN_MAX];
	unsigned chain_n;
	br_skey_decoder_context key;
};

struct verifier {
	const br_x509_class *vtable;
	struct tls *tls;
	struct buf bytes; /* of the chain as sent */
	size_t ends[CHAIN_MAX];
	unsigned n;
	bool too_big;
	struct cert certs[CHAIN_MAX];
	br_x509_minimal_context minimal;
	br_x509_decoder_context decoder;
	br_x509_trust_anchor anchors[ANCHORS_MAX];
	unsigned paths;	       /* tried */
	unsigned verdict;      /* of the first, in BearSSL's numbers */
	enum verdict unfit;    /* what we ourselves hold against a path, or VERDICT_MALFORMED for nothing */
	const br_x509_pkey *key;
	unsigned anchors_n;
	bool any_cas;
	bool constrained; /* an anchor was passed over for its name constraints */
};

struct tls {
	br_ssl_client_context cc;
	struct verifier verifier;
	struct trust *trust;
	struct tls_host *host;
	char server_name[256]; /* "" for an address */
	unsigned char address[16];
	unsigned address_n;
	bool verify, heard, ready;
	size_t shown; /* plaintext that the caller has not dropped yet */
	struct err err;
	char describe[80];
	unsigned char no_record[8];
	unsigned char out[BR_SSL_BUFSIZE_OUTPUT];
};

/* ---- tls_host.c: what is known of one origin ---- */
int tls_host_find(struct trust *trust, const struct origin *o, bool verify, struct tls_host **out,
		  struct err *e);
/* Sees to it that the CAs which the chain names are decoded. */
int tls_anchors_find(struct tls *t, struct err *e);
/* Ours is shown where the server asks for one. */
void tls_show_certificate(struct tls *t);

/* ---- tls_verify.c: gathers the chain, orders it, has it validated ---- */
extern const br_x509_class tls_verifier;

#endif
