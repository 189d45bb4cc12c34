/*
 * A TLS 1.2 client on BearSSL's engine.
 *
 * Records are decrypted where they were received: the engine's input buffer is pointed at each
 * whole record in turn, so the bytes of a record are neither received one header at a time nor
 * copied. At the boundary of two records the engine keeps nothing in that buffer.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/tls.h"

enum { RECORD_MAX = 16384 + 2048 };

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
	t->verifier.vtable = &tls_verifier;
	t->verifier.tls = t;
	br_ssl_engine_set_x509(eng, &t->verifier.vtable);
	/* the input buffer proper is where each record lies; see tls_receive */
	br_ssl_engine_set_buffers_bidi(eng, t->no_record, BR_SSL_BUFSIZE_INPUT, t->out,
				       sizeof(t->out));
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
	int r = tls_host_find(trust, o, verify, &t->host, e);

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
	if (client_certificate)
		tls_show_certificate(t);
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
		return err_set(
			e, t->heard ? -EBADMSG : E_NOT_TLS,
			t->heard ? "a malformed TLS record"
				 : "the server does not speak TLS (--plain-http does without)");
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
