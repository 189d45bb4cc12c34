/*
 * Judging a server's certificates: the chain is put in order before it is validated, as servers often send it out of order
 * or cross-signed; the validator alone decides.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libcommon/registry/tls.h"

enum { CHAIN_BYTES_MAX = 128 << 10, PATHS_MAX = 16, UNIX_EPOCH_DAY = 719528 };

/* ---- the chain as it is sent ---- */

static struct verifier *verifier_of(const br_x509_class *const *ctx)
{
	return (struct verifier *)(uintptr_t)ctx;
}

static void chain_start(const br_x509_class **ctx, const char *server_name)
{
	struct verifier *v = verifier_of(ctx);

	buf_clear(&v->bytes);
	v->n = v->paths = v->verdict = 0;
	v->too_big = v->constrained = false;
	v->unfit = VERDICT_MALFORMED;
	v->key = NULL;
}

static void chain_cert_start(const br_x509_class **ctx, uint32_t length)
{
	struct verifier *v = verifier_of(ctx);

	if (v->n == CHAIN_MAX || length > CHAIN_BYTES_MAX - v->bytes.n)
		v->too_big = true;
}

static void chain_cert_append(const br_x509_class **ctx, const unsigned char *p, size_t n)
{
	struct verifier *v = verifier_of(ctx);

	if (!v->too_big)
		buf_add(&v->bytes, p, n);
}

static void chain_cert_end(const br_x509_class **ctx)
{
	struct verifier *v = verifier_of(ctx);

	if (!v->too_big)
		v->ends[v->n++] = v->bytes.n;
}

static bool chain_parse(struct verifier *v)
{
	size_t at = 0;

	for (unsigned i = 0; i < v->n; i++) {
		if (cert_parse(span_of(v->bytes.p + at, v->ends[i] - at), &v->certs[i]) < 0)
			return false;
		at = v->ends[i];
	}
	return v->n > 0;
}

/* ---- paths ---- */

/* Has BearSSL judge one path. */
static unsigned path_validate(struct tls *t, const unsigned *path, unsigned n)
{
	struct verifier *v = &t->verifier;
	br_x509_minimal_context *m = &v->minimal;
	int64_t now = (int64_t)time(NULL);

	br_x509_minimal_init(m, &br_sha256_vtable, v->anchors, v->anchors_n);
	br_x509_minimal_set_rsa(m, br_ssl_engine_get_rsavrfy(&t->cc.eng));
	br_x509_minimal_set_ecdsa(m, br_ssl_engine_get_ec(&t->cc.eng),
				  br_ssl_engine_get_ecdsa(&t->cc.eng));
	br_x509_minimal_set_hash(m, br_sha256_ID, &br_sha256_vtable);
	br_x509_minimal_set_hash(m, br_sha384_ID, &br_sha384_vtable);
	br_x509_minimal_set_hash(m, br_sha512_ID, &br_sha512_vtable);
	br_x509_minimal_set_time(m, (uint32_t)(now / 86400 + UNIX_EPOCH_DAY),
				 (uint32_t)(now % 86400));
	m->vtable->start_chain(&m->vtable, t->server_name[0] ? t->server_name : NULL);
	for (unsigned i = 0; i < n; i++) {
		const struct cert *c = &v->certs[path[i]];

		m->vtable->start_cert(&m->vtable, (uint32_t)c->der.n);
		m->vtable->append(&m->vtable, c->der.p, c->der.n);
		m->vtable->end_cert(&m->vtable);
	}
	return m->vtable->end_chain(&m->vtable);
}

/* What BearSSL does not look at: constraints on names, uses, and a name that is in the subject alone. */
static enum verdict path_unfit(const struct tls *t, const unsigned *path, unsigned n)
{
	const struct verifier *v = &t->verifier;

	for (unsigned i = 0; i < n; i++)
		if (v->certs[path[i]].name_constraints)
			return VERDICT_NAME_CONSTRAINTS;
	for (unsigned i = 0; i < n; i++)
		if (v->certs[path[i]].other_use)
			return VERDICT_OTHER_USE;
	return t->server_name[0] && !v->certs[0].alt_names.p ? VERDICT_OTHER_HOST
							     : VERDICT_MALFORMED;
}

/* Tries the path, and what it becomes with each certificate that may have issued its last. True
 * once one is valid. */
static bool path_try(struct tls *t, unsigned *path, unsigned n)
{
	struct verifier *v = &t->verifier;
	const struct cert *last = &v->certs[path[n - 1]];
	bool longer = false;
	unsigned verdict;

	for (unsigned i = 1; i < v->n && v->paths < PATHS_MAX; i++) {
		bool used = false;

		for (unsigned j = 0; j < n; j++)
			used = used || path[j] == i;
		if (used || !span_eq(v->certs[i].subject, last->issuer))
			continue;
		path[n] = i;
		longer = true;
		if (path_try(t, path, n + 1))
			return true;
	}
	/* BearSSL stops at the first anchor on its way, so only whole paths need be shown to it */
	if (longer || v->paths++ >= PATHS_MAX)
		return false;
	verdict = path_validate(t, path, n);
	if (verdict == 0 || verdict == BR_ERR_X509_CRITICAL_EXTENSION) {
		v->unfit = path_unfit(t, path, n);
		if (v->unfit != VERDICT_MALFORMED)
			verdict = BR_ERR_X509_CRITICAL_EXTENSION;
	}
	if (v->paths == 1 || (v->verdict == BR_ERR_X509_NOT_TRUSTED && verdict))
		v->verdict = verdict;
	return verdict == 0;
}

/* Without verification only the key counts. */
static unsigned chain_accept(struct verifier *v)
{
	br_x509_decoder_init(&v->decoder, NULL, NULL);
	br_x509_decoder_push(&v->decoder, v->certs[0].der.p, v->certs[0].der.n);
	v->key = br_x509_decoder_get_pkey(&v->decoder);
	return v->key ? 0 : BR_ERR_X509_UNSUPPORTED;
}

/* ---- the verdict ---- */

static enum verdict verdict_from_bearssl(unsigned code)
{
	switch (code) {
	case BR_ERR_X509_EXPIRED:
		return VERDICT_DATES;
	case BR_ERR_X509_BAD_SERVER_NAME:
		return VERDICT_OTHER_HOST;
	case BR_ERR_X509_NOT_TRUSTED:
		return VERDICT_UNKNOWN_CA;
	case BR_ERR_X509_CRITICAL_EXTENSION:
		return VERDICT_EXTENSION;
	case BR_ERR_X509_NOT_CA:
		return VERDICT_NO_CA;
	case BR_ERR_X509_BAD_SIGNATURE:
		return VERDICT_SIGNATURE;
	case BR_ERR_X509_WEAK_PUBLIC_KEY:
		return VERDICT_WEAK_KEY;
	case BR_ERR_X509_UNSUPPORTED:
		return VERDICT_UNSUPPORTED;
	default:
		return VERDICT_MALFORMED;
	}
}

/* Words the verdict; what BearSSL is told. */
static unsigned refuse(struct tls *t, enum verdict v)
{
	const struct verdict_facts facts = {
		.certs = t->verifier.certs,
		.n = t->verifier.n,
		.now = (int64_t)time(NULL),
		.any_cas = t->verifier.any_cas,
		.constrained = t->verifier.constrained,
	};

	verdict_word(v, &facts, &t->err);
	return BR_ERR_X509_NOT_TRUSTED;
}

static unsigned chain_end(const br_x509_class **ctx)
{
	struct verifier *v = verifier_of(ctx);
	struct tls *t = v->tls;
	unsigned path[CHAIN_MAX] = { 0 };

	if (v->too_big || !chain_parse(v))
		return refuse(t, VERDICT_MALFORMED);
	if (!t->verify)
		return chain_accept(v);
	if (tls_anchors_find(t, &t->err) < 0)
		return BR_ERR_X509_NOT_TRUSTED;
	if (!path_try(t, path, 1))
		return refuse(t, v->unfit != VERDICT_MALFORMED ? v->unfit
							       : verdict_from_bearssl(v->verdict));
	if (t->address_n && !cert_has_address(&v->certs[0], span_of(t->address, t->address_n)))
		return refuse(t, VERDICT_OTHER_HOST);
	v->key = v->minimal.vtable->get_pkey(&v->minimal.vtable, NULL);
	return 0;
}

static const br_x509_pkey *chain_key(const br_x509_class *const *ctx, unsigned *usages)
{
	struct verifier *v = verifier_of(ctx);

	if (usages && v->key) {
		*usages = BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN;
		if (v->tls->verify)
			v->minimal.vtable->get_pkey(&v->minimal.vtable, usages);
	}
	return v->key;
}

const br_x509_class tls_verifier = {
	sizeof(struct verifier), chain_start, chain_cert_start, chain_cert_append,
	chain_cert_end,		 chain_end,   chain_key,
};
