/*
 * A TLS 1.2 client on BearSSL's engine; the only file that knows BearSSL's TLS and X.509.
 *
 * Records are decrypted where they were received: the engine's input buffer is pointed at each
 * whole record in turn, so the bytes of a record are neither received one header at a time nor
 * copied. At the boundary of two records the engine keeps nothing in that buffer.
 *
 * CAs are skimmed for the names that a server's chain asks for; only those are decoded. The chain
 * is put in order before it is validated, as servers often send it out of order; the validator
 * alone decides.
 */
#include <arpa/inet.h>
#include <bearssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "libcommon/registry/trust.h"
#include "libcommon/registry/x509.h"

enum {
	CHAIN_MAX = 10,
	CHAIN_BYTES_MAX = 128 << 10,
	PATHS_MAX = 16,
	ANCHORS_MAX = 64,
	NAMES_MAX = 64,
	UNIX_EPOCH_DAY = 719528,
	RECORD_MAX = 16384 + 2048,
};

/* ---- what is known of one origin ---- */

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
	bool path_constrained; /* by a CA of the chain */
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

static void anchor_free(struct anchor *a)
{
	buf_release(&a->dn);
	buf_release(&a->key);
	free(a);
}

void tls_hosts_free(struct tls_host *h)
{
	while (h) {
		struct tls_host *next = h->next;

		for (unsigned i = 0; i < h->anchors_n; i++)
			anchor_free(h->anchors[i]);
		for (unsigned i = 0; i < h->names_n; i++)
			buf_release(&h->names[i]);
		for (unsigned i = 0; i < h->chain_n; i++)
			buf_release(&h->chain_der[i]);
		buf_release(&h->cas);
		explicit_bzero(&h->key, sizeof(h->key));
		explicit_bzero(&h->session, sizeof(h->session));
		free(h);
		h = next;
	}
}

/* ---- anchors ---- */

static void append_to_buf(void *b, const void *p, size_t n)
{
	buf_add(b, p, n);
}

/* Decodes a CA: its name and key; NULL where BearSSL cannot use it. */
static struct anchor *anchor_from_cert(const struct cert *c)
{
	struct anchor *a = xcalloc(1, sizeof(*a));
	br_x509_decoder_context dc;
	const br_x509_pkey *k;

	br_x509_decoder_init(&dc, append_to_buf, &a->dn);
	br_x509_decoder_push(&dc, c->der.p, c->der.n);
	k = br_x509_decoder_get_pkey(&dc);
	if (!k) {
		anchor_free(a);
		return NULL;
	}
	a->name_constraints = c->name_constraints;
	a->ta.flags = br_x509_decoder_isCA(&dc) ? BR_X509_TA_CA : 0;
	a->ta.pkey = *k;
	if (k->key_type == BR_KEYTYPE_RSA) {
		buf_add(&a->key, k->key.rsa.n, k->key.rsa.nlen);
		buf_add(&a->key, k->key.rsa.e, k->key.rsa.elen);
		a->ta.pkey.key.rsa.n = a->key.p;
		a->ta.pkey.key.rsa.e = a->key.p + k->key.rsa.nlen;
	} else {
		buf_add(&a->key, k->key.ec.q, k->key.ec.qlen);
		a->ta.pkey.key.ec.q = a->key.p;
	}
	a->ta.dn.data = a->dn.p;
	a->ta.dn.len = a->dn.n;
	return a;
}

static bool name_known(const struct tls_host *h, struct span name)
{
	for (unsigned i = 0; i < h->names_n; i++)
		if (span_eq(buf_span(&h->names[i]), name))
			return true;
	return false;
}

/* Takes from PEM text the CAs whose names are among h->names[from...]. */
static void anchors_scan(struct tls_host *h, struct span pem, unsigned from)
{
	_cleanup_(buf_release) struct buf der = BUF_INIT;
	struct span label, body;

	while (pem_next(&pem, &label, &body)) {
		struct cert c;
		bool wanted = false;
		struct anchor *a;

		buf_clear(&der);
		if (!(span_is(label, "CERTIFICATE") || span_is(label, "TRUSTED CERTIFICATE") ||
		      span_is(label, "X509 CERTIFICATE")) ||
		    pem_decode(body, &der) < 0 || cert_parse(buf_span(&der), &c) < 0)
			continue;
		h->any_cas = true;
		for (unsigned i = from; i < h->names_n && !wanted; i++)
			wanted = span_eq(buf_span(&h->names[i]), c.subject);
		if (!wanted || h->anchors_n == ANCHORS_MAX)
			continue;
		a = anchor_from_cert(&c);
		if (a)
			h->anchors[h->anchors_n++] = a;
	}
}

/* Sees to it that the CAs which the chain names are decoded. */
static int anchors_find(struct tls *t, struct err *e)
{
	struct verifier *v = &t->verifier;
	struct tls_host *h = t->host;
	unsigned from;
	int r;

	pthread_mutex_lock(&t->trust->lock);
	r = trust_load(t->trust, e);
	from = h->names_n;
	for (unsigned i = 0; i < v->n; i++) {
		const struct span both[] = { v->certs[i].issuer, v->certs[i].subject };

		for (unsigned j = 0; j < 2; j++)
			if (!name_known(h, both[j]) && h->names_n < NAMES_MAX) {
				buf_clear(&h->names[h->names_n]);
				buf_add_span(&h->names[h->names_n++], both[j]);
			}
	}
	if (r == 0 && from < h->names_n) {
		anchors_scan(h, buf_span(&t->trust->cas), from);
		anchors_scan(h, buf_span(&h->cas), from);
	}
	/* another thread may add to them later, but what they point to stays */
	v->anchors_n = 0;
	for (unsigned i = 0; i < h->anchors_n; i++) {
		if (h->anchors[i]->name_constraints)
			v->constrained = true;
		else
			v->anchors[v->anchors_n++] = h->anchors[i]->ta;
	}
	v->any_cas = h->any_cas;
	pthread_mutex_unlock(&t->trust->lock);
	return r;
}

/* ---- the verifier: gathers the chain, orders it, has it validated ---- */

static struct verifier *verifier_of(const br_x509_class *const *ctx)
{
	return (struct verifier *)(uintptr_t)ctx;
}

static void chain_start(const br_x509_class **ctx, const char *server_name)
{
	struct verifier *v = verifier_of(ctx);

	buf_clear(&v->bytes);
	v->n = v->paths = v->verdict = 0;
	v->too_big = v->constrained = v->path_constrained = false;
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

static bool path_constrained(const struct verifier *v, const unsigned *path, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (v->certs[path[i]].name_constraints)
			return true;
	return false;
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
	if ((verdict == 0 || verdict == BR_ERR_X509_CRITICAL_EXTENSION) &&
	    path_constrained(v, path, n)) {
		v->path_constrained = true;
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
	if (anchors_find(t, &t->err) < 0)
		return BR_ERR_X509_NOT_TRUSTED;
	if (!path_try(t, path, 1))
		return refuse(t, v->path_constrained ? VERDICT_NAME_CONSTRAINTS
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

static const br_x509_class verifier_class = {
	sizeof(struct verifier), chain_start, chain_cert_start, chain_cert_append,
	chain_cert_end,		 chain_end,   chain_key,
};

/* ---- faults ---- */

/* What the engine died of. */
static int engine_fault(struct tls *t)
{
	int err = br_ssl_engine_last_error(&t->cc.eng);

	if (t->err.text[0])
		return t->err.code;
	switch (err) {
	case BR_ERR_OK:
		return 0;
	case BR_ERR_RECV_FATAL_ALERT + 70:
	case BR_ERR_UNSUPPORTED_VERSION:
	case BR_ERR_BAD_VERSION:
		return err_set(
			&t->err, E_UNAVAILABLE,
			"the server does not speak TLS 1.2 (only 1.3, or an old version), which is what is supported");
	case BR_ERR_RECV_FATAL_ALERT + 40:
	case BR_ERR_BAD_CIPHER_SUITE:
		return err_set(
			&t->err, E_UNAVAILABLE,
			"no cipher suite in common: the server must offer TLS 1.2 with ECDHE and AES-GCM or ChaCha20-Poly1305, and may want a client certificate");
	case BR_ERR_RECV_FATAL_ALERT + 42:
	case BR_ERR_RECV_FATAL_ALERT + 116:
	case BR_ERR_NO_CLIENT_AUTH:
		return err_set(
			&t->err, E_AUTH,
			"the server wants a client certificate (NAME.cert and NAME.key in certs.d or --cert-dir)");
	case BR_ERR_RECV_FATAL_ALERT + 112:
		return err_set(&t->err, E_UNAVAILABLE, "the server does not know this host name");
	case BR_ERR_BAD_MAC:
	case BR_ERR_BAD_LENGTH:
		return err_set(&t->err, -EBADMSG, "a TLS record was damaged on its way");
	default:
		if (err > BR_ERR_RECV_FATAL_ALERT && err < BR_ERR_RECV_FATAL_ALERT + 256)
			return err_set(&t->err, E_UNAVAILABLE, "the server ends TLS with alert %d",
				       err - BR_ERR_RECV_FATAL_ALERT);
		return err_set(&t->err, E_UNAVAILABLE, "TLS failed (BearSSL error %d)", err);
	}
}

/* ---- opening ---- */

static bool has_aes(void)
{
	return br_aes_x86ni_ctr_get_vtable() && br_ghash_pclmul_get();
}

/* ECDHE and an AEAD; the one that the processor is better at first. */
static void set_suites(br_ssl_engine_context *eng)
{
	static const uint16_t aes_first[] = {
		BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	};
	static const uint16_t chacha_first[] = {
		BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	};

	br_ssl_engine_set_suites(eng, has_aes() ? aes_first : chacha_first, ARRAY_LEN(aes_first));
}

static void set_algorithms(struct tls *t)
{
	static const char *protocols[] = { "http/1.1" };
	br_ssl_engine_context *eng = &t->cc.eng;

	br_ssl_client_zero(&t->cc);
	br_ssl_engine_set_versions(eng, BR_TLS12, BR_TLS12);
	set_suites(eng);
	br_ssl_engine_set_default_rsavrfy(eng);
	br_ssl_engine_set_default_ecdsa(eng);
	br_ssl_engine_set_hash(eng, br_sha256_ID, &br_sha256_vtable);
	br_ssl_engine_set_hash(eng, br_sha384_ID, &br_sha384_vtable);
	br_ssl_engine_set_hash(eng, br_sha512_ID, &br_sha512_vtable);
	br_ssl_engine_set_prf_sha256(eng, &br_tls12_sha256_prf);
	br_ssl_engine_set_prf_sha384(eng, &br_tls12_sha384_prf);
	br_ssl_engine_set_default_aes_gcm(eng);
	br_ssl_engine_set_default_chapol(eng);
	br_ssl_engine_set_protocol_names(eng, protocols, 1);
	br_ssl_engine_set_all_flags(eng, BR_OPT_NO_RENEGOTIATION);
	t->verifier.vtable = &verifier_class;
	t->verifier.tls = t;
	br_ssl_engine_set_x509(eng, &t->verifier.vtable);
	/* the input buffer proper is where each record lies; see tls_receive */
	br_ssl_engine_set_buffers_bidi(eng, t->no_record, BR_SSL_BUFSIZE_INPUT, t->out,
				       sizeof(t->out));
}

/* The client's chain and key, as PEM; only where a server asks for them are they shown. */
static int client_load(struct tls_host *h, struct span chain, struct span key, struct err *e)
{
	_cleanup_(buf_release) struct buf der = BUF_INIT;
	struct span label, body;

	while (h->chain_n < CHAIN_MAX && pem_next(&chain, &label, &body)) {
		struct buf *b = &h->chain_der[h->chain_n];

		if (!span_is(label, "CERTIFICATE"))
			continue;
		if (pem_decode(body, b) < 0)
			return err_set(e, E_FORMAT, "client certificate: malformed PEM");
		h->chain[h->chain_n++] = (br_x509_certificate){ .data = b->p, .data_len = b->n };
	}
	br_skey_decoder_init(&h->key);
	while (pem_next(&key, &label, &body)) {
		if (!span_ends(label, "PRIVATE KEY"))
			continue;
		if (pem_decode(body, &der) == 0)
			br_skey_decoder_push(&h->key, der.p, der.n);
		explicit_bzero(der.p, der.n);
		break;
	}
	if (h->chain_n == 0 || br_skey_decoder_last_error(&h->key) != 0)
		return err_set(
			e, E_FORMAT,
			"client certificate: its chain or key cannot be read (the key must be unencrypted PEM)");
	return 0;
}

static int host_load(struct tls_host *h, const struct trust *trust, struct err *e)
{
	_cleanup_(buf_release) struct buf chain = BUF_INIT, key = BUF_INIT;
	int r = trust_load_host(trust, &h->origin, &h->cas, &chain, &key, e);

	if (r == 0 && chain.n)
		r = client_load(h, buf_span(&chain), buf_span(&key), e);
	if (key.n)
		explicit_bzero(key.p, key.n);
	h->loaded = r == 0;
	return r;
}

static int host_find(struct trust *trust, const struct origin *o, bool verify,
		     struct tls_host **out, struct err *e)
{
	struct tls_host *h;
	int r = 0;

	pthread_mutex_lock(&trust->lock);
	for (h = trust->hosts; h; h = h->next)
		if (h->verify == verify && origin_eq(&h->origin, o))
			break;
	if (!h) {
		h = xcalloc(1, sizeof(*h));
		h->origin = *o;
		h->verify = verify;
		h->next = trust->hosts;
		trust->hosts = h;
	}
	if (!h->loaded)
		r = host_load(h, trust, e);
	pthread_mutex_unlock(&trust->lock);
	*out = h;
	return r;
}

static void set_client_certificate(struct tls *t, bool show)
{
	struct tls_host *h = t->host;

	if (!show || h->chain_n == 0)
		return;
	if (br_skey_decoder_key_type(&h->key) == BR_KEYTYPE_RSA)
		br_ssl_client_set_single_rsa(&t->cc, h->chain, h->chain_n,
					     br_skey_decoder_get_rsa(&h->key),
					     br_rsa_pkcs1_sign_get_default());
	else
		br_ssl_client_set_single_ec(&t->cc, h->chain, h->chain_n,
					    br_skey_decoder_get_ec(&h->key),
					    BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN, BR_KEYTYPE_EC,
					    br_ec_get_default(), br_ecdsa_sign_asn1_get_default());
}

static void set_name(struct tls *t, const struct origin *o)
{
	size_t n = strlen(o->host);

	if (inet_pton(AF_INET, o->host, t->address) == 1) {
		t->address_n = 4;
	} else if (inet_pton(AF_INET6, o->host, t->address) == 1) {
		t->address_n = 16;
	} else {
		/* the root's dot is no part of a certificate's names */
		snprintf(t->server_name, sizeof(t->server_name), "%.*s",
			 (int)(n && o->host[n - 1] == '.' ? n - 1 : n), o->host);
	}
}

int tls_open(struct trust *trust, const struct origin *o, bool verify, bool client_certificate,
	     struct tls **out, struct err *e)
{
	struct tls *t = xcalloc(1, sizeof(*t));
	unsigned char seed[48];
	bool resume;
	int r = host_find(trust, o, verify, &t->host, e);

	if (r == 0)
		r = random_bytes(seed, sizeof(seed));
	if (r < 0) {
		free(t);
		return err_set(e, r, "%s", err_word(r));
	}
	t->trust = trust;
	t->verify = verify;
	set_name(t, o);
	set_algorithms(t);
	set_client_certificate(t, client_certificate);
	br_ssl_engine_inject_entropy(&t->cc.eng, seed, sizeof(seed));
	explicit_bzero(seed, sizeof(seed));
	pthread_mutex_lock(&trust->lock);
	resume = t->host->has_session;
	if (resume)
		br_ssl_engine_set_session_parameters(&t->cc.eng, &t->host->session);
	pthread_mutex_unlock(&trust->lock);
	if (!br_ssl_client_reset(&t->cc, t->server_name, resume)) {
		r = engine_fault(t);
		err_set(e, r, "%s", t->err.text);
		tls_close(t);
		return r;
	}
	*out = t;
	return 0;
}

void tls_close(struct tls *t)
{
	if (!t)
		return;
	buf_release(&t->verifier.bytes);
	explicit_bzero(t, sizeof(*t));
	free(t);
}

/* ---- running ---- */

struct span tls_pending(struct tls *t)
{
	size_t n;
	unsigned char *p = br_ssl_engine_sendrec_buf(&t->cc.eng, &n);

	return span_of(p, p ? n : 0);
}

void tls_sent(struct tls *t, size_t n)
{
	if (n)
		br_ssl_engine_sendrec_ack(&t->cc.eng, n);
}

static bool is_closed(const struct tls *t)
{
	return br_ssl_engine_current_state(&t->cc.eng) & BR_SSL_CLOSED;
}

/* Whether a TLS record begins here; otherwise something else than TLS is spoken, or a record is
 * longer than may be. */
static bool record_plausible(const unsigned char *p, size_t n)
{
	return p[0] >= 20 && p[0] <= 23 && (n < 2 || p[1] == 3) &&
	       (n < 5 || (p[3] << 8 | p[4]) <= RECORD_MAX);
}

int tls_receive(struct tls *t, unsigned char *in, size_t n, size_t *used, struct span *data,
		struct err *e)
{
	br_ssl_engine_context *eng = &t->cc.eng;
	size_t record, window;

	*used = 0;
	*data = (struct span){ 0 };
	if (t->shown)
		br_ssl_engine_recvapp_ack(eng, t->shown);
	t->shown = 0;
	if (n > 0 && !record_plausible(in, n))
		return err_set(e, t->heard ? -EBADMSG : E_NOT_TLS,
			       t->heard ? "a malformed TLS record"
					: "the server does not speak TLS");
	record = n >= 5 ? 5 + (size_t)(in[3] << 8 | in[4]) : 0;
	if (n >= 5 && n >= record && !is_closed(t)) {
		/* only between two records may the buffer be another */
		if (!br_ssl_engine_recvrec_buf(eng, &window) || window != 5)
			return err_set(e, -EBADMSG, "TLS cannot go on");
		t->heard = true;
		*used = record;
		eng->ibuf = in;
		br_ssl_engine_recvrec_ack(eng, 5);
		if (record > 5 && !is_closed(t))
			br_ssl_engine_recvrec_ack(eng, record - 5);
		data->p = br_ssl_engine_recvapp_buf(eng, &window);
		if (data->p)
			t->shown = data->n = window;
	}
	if (is_closed(t)) {
		int r = engine_fault(t);

		return r ? err_set(e, r, "%s", t->err.text) : 0;
	}
	return 1;
}

size_t tls_write(struct tls *t, struct span data)
{
	size_t n;
	unsigned char *p = br_ssl_engine_sendapp_buf(&t->cc.eng, &n);

	if (!p)
		return 0;
	n = MIN(n, data.n);
	memcpy(p, data.p, n);
	br_ssl_engine_sendapp_ack(&t->cc.eng, n);
	return n;
}

void tls_flush(struct tls *t)
{
	br_ssl_engine_flush(&t->cc.eng, 0);
}

static const char *suite_name(unsigned suite)
{
	switch (suite) {
	case BR_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
		return "ECDHE-ECDSA-AES128-GCM-SHA256";
	case BR_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:
		return "ECDHE-RSA-AES128-GCM-SHA256";
	case BR_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
		return "ECDHE-ECDSA-AES256-GCM-SHA384";
	case BR_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:
		return "ECDHE-RSA-AES256-GCM-SHA384";
	case BR_TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return "ECDHE-ECDSA-CHACHA20-POLY1305";
	case BR_TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
		return "ECDHE-RSA-CHACHA20-POLY1305";
	default:
		return "?";
	}
}

/* Once the handshake is over its session is kept, for the next connection to the same origin. */
bool tls_ready(struct tls *t)
{
	br_ssl_session_parameters session;

	if (t->ready || !(br_ssl_engine_current_state(&t->cc.eng) & BR_SSL_SENDAPP))
		return t->ready;
	t->ready = true;
	br_ssl_engine_get_session_parameters(&t->cc.eng, &session);
	snprintf(t->describe, sizeof(t->describe), "TLS 1.2, %s%s",
		 suite_name(session.cipher_suite), t->verify ? "" : ", not verified");
	pthread_mutex_lock(&t->trust->lock);
	t->host->session = session;
	t->host->has_session = session.session_id_len > 0;
	pthread_mutex_unlock(&t->trust->lock);
	explicit_bzero(&session, sizeof(session));
	buf_release(&t->verifier.bytes);
	return true;
}

const char *tls_describe(const struct tls *t)
{
	return t->describe;
}
