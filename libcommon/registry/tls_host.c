/*
 * What is known of one origin: the CAs that its chain names, our certificate for it, its last session.
 *
 * CAs are skimmed for the names that a server's chain asks for; only those are decoded.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/tls.h"

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

/* ---- CAs ---- */

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

int tls_anchors_find(struct tls *t, struct err *e)
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

/* ---- our certificate ---- */

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

int tls_host_find(struct trust *trust, const struct origin *o, bool verify, struct tls_host **out,
		  struct err *e)
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

void tls_show_certificate(struct tls *t)
{
	struct tls_host *h = t->host;

	if (h->chain_n == 0)
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
