/*
 * Just enough of X.509 to choose what is shown to the validator, and to word its verdicts. Whether
 * a certificate is good is BearSSL's to say.
 */
#ifndef OCIBOX_REGISTRY_X509_H
#define OCIBOX_REGISTRY_X509_H

#include "libcommon/base.h"

struct cert {
	struct span der;	     /* all of it, borrowed like the rest */
	struct span issuer, subject; /* names, as encoded */
	int64_t not_before, not_after;
	struct span alt_names; /* the contents of GeneralNames; p is NULL where there are none */
	bool name_constraints;
	bool other_use; /* its extended key usage names others than servers only */
};
/* 0 or E_FORMAT. */
int cert_parse(struct span der, struct cert *out);
/* The common name (or else the organisation) of a name, quoted; "?" for none. */
const char *cert_name_text(struct span name);
/* What the certificate is for, "a.example, *.b.example, 192.0.2.1", for a message. */
void cert_hosts_text(const struct cert *c, struct buf *out);
/* Whether an iPAddress of it is this address (4 or 16 bytes). */
bool cert_has_address(const struct cert *c, struct span address);
/* Cuts the next "-----BEGIN LABEL-----" block off *text; *label and *body are borrowed. false when
 * there is none. */
bool pem_next(struct span *text, struct span *label, struct span *body);
/* The bytes of a block's body; 0 or E_FORMAT. */
int pem_decode(struct span body, struct buf *out);

/* ---- verdict.c: why a chain is refused, in words ---- */
enum verdict {
	VERDICT_MALFORMED,
	VERDICT_DATES,
	VERDICT_OTHER_HOST,
	VERDICT_OTHER_USE,
	VERDICT_UNKNOWN_CA,
	VERDICT_NAME_CONSTRAINTS,
	VERDICT_EXTENSION,
	VERDICT_NO_CA,
	VERDICT_SIGNATURE,
	VERDICT_WEAK_KEY,
	VERDICT_UNSUPPORTED,
};
struct verdict_facts {
	const struct cert *certs; /* as sent; the first is the server's */
	unsigned n;
	int64_t now;
	bool any_cas;	  /* some CA is known at all */
	bool constrained; /* one that fits was passed over for its name constraints */
};
/* Sets E_UNAVAILABLE. */
int verdict_word(enum verdict v, const struct verdict_facts *f, struct err *e);

#endif
