/*
 * What the files of the registry layer share: URLs, the HTTP/1.1 machine, TLS, connections,
 * challenges, tokens, mirrors.
 */
#ifndef OCIBOX_REGISTRY_INTERNAL_H
#define OCIBOX_REGISTRY_INTERNAL_H

#include "libcommon/registry.h"

/* ---- url.c: http and https URLs (RFC 3986), strictly ---- */
struct origin {
	bool https;
	uint16_t port;
	char host[256]; /* lower case; an IPv6 address without its brackets */
};
struct url {
	struct origin origin;
	char *target; /* path and query, begins with "/"; no blanks or control bytes */
};
enum { ORIGIN_TEXT_MAX = 256 + 24 };
void url_release(struct url *u);
void url_copy(struct url *to, const struct url *from);
/* An absolute URL; E_PROTOCOL with a text that names what is wrong. User information in it is
 * refused, a fragment dropped. */
int url_parse(struct span s, struct url *out, struct err *e);
/* A Location or the like, relative to base or absolute. */
int url_join(const struct url *base, struct span ref, struct url *out, struct err *e);
/* HOST[:PORT] or [V6][:PORT], the port being https's or http's where it is not given. */
int origin_parse(struct span authority, bool https, struct origin *out, struct err *e);
bool origin_eq(const struct origin *a, const struct origin *b);
char *origin_text(const struct origin *o,
		  char out[ORIGIN_TEXT_MAX]); /* "https://host:8443"; returns out */
char *origin_authority(const struct origin *o,
		       char out[ORIGIN_TEXT_MAX]); /* "host:8443", for Host */
/* For traces and messages: without the query, which may hold signatures. One of 4 thread-local
 * buffers, quoted. */
const char *url_brief(const struct url *u);
/* Appends s as a query's value, percent-encoded. */
void url_add_escaped(struct buf *b, struct span s);

/* ---- origin.c: who may be talked to, and who may see a secret (T60, T63, T66) ---- */
enum addr_class { ADDR_PUBLIC, ADDR_LOOPBACK, ADDR_FORBIDDEN };
struct sockaddr;
/* Link-local, metadata services, multicast and the like are forbidden to whoever a stranger names.
 * Embedded IPv4 addresses count. */
enum addr_class addr_classify(const struct sockaddr *sa);
bool host_is_loopback(
	const char *host); /* "localhost", "*.localhost", 127.0.0.0/8, ::1 as written */
/* The same host, one being a subdomain of the other, or both of one registrable domain that is not
 * a well-known one of many tenants. */
bool hosts_related(const char *a, const char *b);
/* A host that a registry at home names: not at a forbidden address, not loopback unless home is.
 * For what is written; dial looks at what names resolve to. */
int origin_check_named(const struct origin *home, const struct origin *o, struct err *e);
/* Whether the realm of a challenge from registry may be asked for a token: 1 with the registry's
 * credentials, 0 only without them, or E_AUTH with a text. */
int realm_check(const struct origin *registry, const struct url *realm, struct err *e);

/* ---- http.c: HTTP/1.1 messages (RFC 9112), a machine fed with bytes ---- */
enum { HTTP_HEAD_MAX = 64 << 10 };
enum http_framing { HTTP_NO_BODY, HTTP_LENGTH, HTTP_CHUNKED, HTTP_TO_CLOSE };
struct http_response {
	struct buf head; /* the status line and fields of the final response, each line ended by a
			    NUL */
	unsigned status;
	bool complete;	 /* the head is there: what follows is about the body */
	bool keep_alive; /* the connection may serve another request after the body */
	enum http_framing framing;
	uint64_t left; /* HTTP_LENGTH: bytes of the body to come; HTTP_CHUNKED: of the chunk */
	/* private */
	bool to_head, tunnel, cr, http10;
	unsigned chunk_state, line_n, interim;
	size_t line; /* where the present line begins in head */
	size_t seen; /* bytes of all heads and of trailers */
};
/* method tells whether a body follows: "HEAD" has none, and after "CONNECT" a 2xx opens a tunnel.
 */
void http_response_init(struct http_response *r, const char *method);
void http_response_release(struct http_response *r);
/* Feeds bytes of the head. Bytes used (all of them until complete is set), or E_PROTOCOL with a
 * text. Interim responses are passed over. */
ssize_t http_response_head(struct http_response *r, struct span in, struct err *e);
/* Feeds the window that follows the head. 1: *skip bytes of framing, then *data bytes of body (0:
 * more input is needed); 0: the body has ended after *skip bytes; or E_PROTOCOL. The caller drops
 * skip + data bytes. */
int http_response_body(struct http_response *r, struct span in, size_t *skip, size_t *data,
		       struct err *e);
/* The input has ended: 0 where that ends the body (HTTP_TO_CLOSE), else E_TRUNCATED. */
int http_response_end(const struct http_response *r);
/* The value of the nth field (0 the first) of that name; p is NULL where there is none. */
struct span http_response_field(const struct http_response *r, const char *name, unsigned nth);

/* A request's body that is read from a file while it is sent. */
struct http_body {
	int fd;
	uint64_t offset, length; /* in the file */
	/* Sees each piece, at bytes from the body's start, before it is sent; an error ends the
	 * request. */
	int (*look)(void *arg, uint64_t at, struct span piece);
	void *arg;
	int fault; /* what look or reading the file returned: none of the server's */
	uint64_t sent; /* of it: less than length where the server answered early */
};
struct http_request {
	const char *method;
	const char *accept;	   /* or NULL, as all that follow */
	const char *authorization; /* secret */
	const char *content_type;  /* with body */
	struct span body;
	struct http_body *file; /* in its place */
	bool ranged;		/* Content-Range of the file's bytes, which begin at: */
	uint64_t first;
	uint64_t from; /* > 0: Range: bytes=FROM- */
	const char *if_range;
	const char *if_match; /* only over what has this ETag; "": only where there is nothing */
	bool home_only; /* credentials are for the registry's own origin, and asked for nowhere else
			 */
	bool patient;	/* the answer may take minutes */
};
/* The head of a request for u, and its body unless that is in a file. absolute: the absolute form, for a proxy, with
 * proxy_authorization (or NULL). */
void http_request_write(struct buf *b, const struct http_request *q, const struct url *u,
			bool absolute, const char *proxy_authorization);

/* ---- proxy.c: HTTPS_PROXY, HTTP_PROXY, NO_PROXY ---- */
struct proxy {
	struct origin origin;
	char *authorization; /* "Basic …" for the proxy alone, or NULL */
};
struct proxies {
	struct proxy *https, *http;
	char *none;
};
int proxies_from_env(struct proxies *p, struct err *e);
void proxies_release(struct proxies *p);
const struct proxy *proxy_for(const struct proxies *p,
			      const struct origin *o); /* NULL: go directly */
bool no_proxy_matches(const char *list, const struct origin *o);

/* ---- tls.c: a TLS 1.2 client, fed with bytes ---- */
enum { E_NOT_TLS = -10100 }; /* the peer's first bytes are no TLS record */
struct trust; /* CAs, client certificates, sessions: shared by all connections and threads of a
		 registry */
struct trust *trust_open(const char *cacert, const char *cert_dir);
void trust_close(struct trust *t);
struct tls;
/* verify false: any certificate will do. client_certificate: ours may be shown, where one is kept
 * for o and the server asks. 0, or an error for CA files or client keys that cannot be read. */
int tls_open(struct trust *trust, const struct origin *o, bool verify, bool client_certificate,
	     struct tls **out, struct err *e);
void tls_close(struct tls *t);
enum { TLS_IN_MAX = 64 << 10 }; /* a buffer for incoming bytes holds at least that */
/* What is to be sent; tls_sent tells how much was. */
struct span tls_pending(struct tls *t);
void tls_sent(struct tls *t, size_t n);
/*
 * One record of the bytes received; they are decrypted in place. *used bytes were taken; *data is
 * the plaintext, inside in, valid until the next call. 1: go on (with no *used: more bytes are
 * needed, and whatever is pending must be sent), 0: the peer closed, or an error.
 */
int tls_receive(struct tls *t, unsigned char *in, size_t n, size_t *used, struct span *data,
		struct err *e);
/* Plaintext taken for sending; 0 while the handshake lasts or what is pending was not sent. */
size_t tls_write(struct tls *t, struct span data);
void tls_flush(struct tls *t);
bool tls_ready(struct tls *t); /* the handshake is over */
const char *tls_describe(
	const struct tls *t); /* "TLS 1.2, ECDHE-RSA-AES128-GCM-SHA256", for traces */

/* ---- network.c, connection.c, resolve.c, dial.c: connections, kept for the next request to the same origin ---- */
enum {
	NET_GIVEN = 1, /* the user named this host: no look at its addresses, and it may see our
			  certificate */
	NET_LOOPBACK_OK = 2, /* the registry is loopback, so may be this one */
	NET_ANY_CERTIFICATE = 4,
	NET_FRESH = 8, /* not a kept connection */
};
struct network {
	struct trust *trust;
	struct proxies proxies;
	_Atomic uint64_t deadline; /* of clock_ms; 0: none */
	uint64_t min_rate;
	struct registry_stats stats;
	void (*trace)(void *arg, const char *line);
	void *trace_arg;
	bool trace_requests, trace_auth;
	pthread_mutex_t lock;
	struct origin last_origin; /* whose address connected last */
	unsigned char last_addr[32];
	unsigned last_addr_n;
	struct connection *idle;
	unsigned idle_n;
};
struct connection {
	struct stream in; /* what the peer sends, decrypted */
	struct network *net;
	struct origin origin;
	unsigned flags;
	int fd;
	struct tls *tls;
	bool via_proxy; /* requests in absolute form */
	bool reused;	/* a kept one: a failure before the first byte is no fault */
	const char *proxy_authorization;
	unsigned char *buf;	      /* received */
	size_t lo, hi;		      /* what of it is not yet used (TLS records) */
	uint64_t wait_ms, wait_bytes; /* since the present measure of the rate, or the request, began */
	bool cut;		      /* TLS ended without a goodbye */
	bool measured;		      /* the rate counts: a body is under way */
	bool patient;		      /* the head may take as long as one byte of it */
	bool sending;		      /* a request's body, which an early answer ends */
	struct http_response *answer; /* while sending: what has come of it */
	unsigned stall_ms;	      /* how long to wait for a byte */
	struct err err;		      /* the words of in.err */
	struct connection *next;
};
/* How long a server may be waited for from the connection, or the request on a kept one, to the end
 * of the answer's head. */
extern unsigned network_head_ms;
/* How long each byte of a body. */
extern unsigned network_stall_ms;
int network_open(struct network *n, const struct registry_options *o, struct err *e);
void network_close(struct network *n);
void network_trace(struct network *n, bool on, const char *fmt, ...) _printf_(3, 4);
/* How long at the most, in ms, something that may take ms may go on; 0 when the deadline is over.
 */
unsigned network_time(const struct network *n, unsigned ms);
int network_over(struct err *e); /* E_TRY_LATER, and says that it is */
int network_sleep(const struct network *n, uint64_t ms, struct err *e);
/* Before the try that follows fault number nth (0 the first): with jitter, and for as many seconds as the server asked for
 * (0: nothing), but not for minutes. */
int network_backoff(struct network *n, unsigned nth, int64_t asked, struct err *e);
/* A kept one, or a new one. */
int connection_get(struct network *n, const struct origin *o, unsigned flags,
		   struct connection **out, struct err *e);
int connection_open(struct network *n, const struct origin *o, unsigned flags,
		    struct connection **out, struct err *e);
void connection_close(struct connection *c); /* NULL is fine */
/* Keeps it for the next request, or closes it. */
void connection_put(struct connection *c, bool reusable);
int connection_write(struct connection *c, struct span data, struct err *e);
enum { E_ANSWERED = -10101 }; /* of connection_write while sending: the peer has begun to speak */
/* While sending: E_ANSWERED where the peer has begun to, or an error; interim answers, which some send
 * unasked, are passed over. */
int connection_answered(struct connection *c, struct err *e);
/* The addresses of o (freeaddrinfo) within network_resolve_ms, however long the servers of DNS are silent. */
struct addrinfo;
extern unsigned network_resolve_ms;
int resolve(const struct network *n, const struct origin *o, struct addrinfo **out, struct err *e);
/* A connected TCP socket to o, non-blocking; the addresses are tried in turn, the next after 250 ms
 * or a failure. */
int dial(struct network *n, const struct origin *o, unsigned flags, struct err *e);

/* ---- exchange.c: one request and its response ---- */
struct exchange {
	struct stream body; /* of the response; embedded, not to be closed: exchange_close */
	struct connection *c;
	struct http_response res;
	struct url url;
	size_t used; /* of the connection's window: framing and body that the body's window shows */
	bool bare;   /* a 401, and there are no credentials for this origin */
	bool authorized; /* the request carried credentials, or a token */
	bool over;   /* the body has been read to its end */
	struct err err; /* the words of body.err */
};
/* Sends q to u and reads the head of the answer, whatever its status. -errno and E_ codes are
 * faults of the connection. */
int exchange_open(struct network *n, const struct http_request *q, const struct url *u,
		  unsigned flags, struct exchange **out, struct err *e);
void exchange_close(struct exchange *x);
/* The seconds that Retry-After asks for, 0 for none. */
int64_t exchange_retry_after(const struct exchange *x);
void exchange_closep(struct exchange **x);
/* The words of an error response: its JSON message (or its status' name), bounded and quoted;
 * "manifest unknown (HTTP 404)". Returns the code for the status. hint: what to add to them, or
 * NULL. */
int exchange_fault(struct exchange *x, const char *hint, struct err *e);

/* ---- auth.c, token.c: tokens and Authorization ---- */
/*
 * What is known of how an origin wants to be asked. Keyed by (origin, credential domain); within it
 * a token is keyed by (realm, service, scope). Each entry has its own lock, so that of several
 * threads one fetches the token and the others wait for it.
 */
struct auth;
struct auth *auth_open(struct network *n, struct credentials *c);
void auth_close(struct auth *a);
struct auth_target {
	const struct origin *origin;
	const char *domain;	/* whose credentials these are ("docker.io"); NULL: the origin's own
				   host and port */
	const char *repository; /* "" where it is no registry's */
	unsigned flags;		/* NET_*, for requests to a realm on the same host */
	bool anonymous;		/* never look for credentials */
};
/* Appends an Authorization value if one is known (and valid for some seconds more); *generation
 * tells which. */
int auth_header(struct auth *a, const struct auth_target *t, struct buf *out, unsigned *generation,
		struct err *e);
/* A 401 to a request of that generation: answers its challenge. 1: try again with auth_header; 0:
 * there is nothing more to offer. */
int auth_challenged(struct auth *a, const struct auth_target *t, const struct http_response *res,
		    unsigned generation, struct err *e);
/* The server took what auth_header gave. */
void auth_accepted(struct auth *a, const struct auth_target *t, unsigned generation);
/* Tokens for this repository are to be good for pushing, and for mounting from others. Before the
 * first request. */
void auth_want_push(struct auth *a, const char *repository);
void auth_want_pull(struct auth *a, const char *other_repository);
/* Whether there were no credentials to offer, when some were asked for. */
bool auth_is_bare(struct auth *a, const struct auth_target *t);

/* ---- request.c: redirects, authorization, retries ---- */
struct endpoint { /* a registry, or a mirror of it */
	struct origin origin;
	pthread_mutex_t lock; /* for the scheme of a loopback one, which is found out by asking */
	bool probe; /* a loopback one, of which it is not known whether it speaks http or https */
	bool has_port;	   /* its port was given, and is that of either scheme */
	_Atomic bool dead; /* a mirror that could not be reached */
	unsigned flags;	   /* NET_* for its own host */
	char *domain;	   /* for look-ups of credentials */
	char *repository;
};
struct registry {
	struct network net;
	struct auth *auth;
	struct endpoint *endpoints; /* mirrors first; the origin last, where it may be asked */
	size_t endpoints_n;
	unsigned retries;
	bool plain_http;
	bool tls_first; /* where a loopback registry may speak either */
};
/* GET of a path below the endpoint (redirects followed, 401 answered, faults retried) until the
 * status is a 2xx. attempts: how many further tries are left; may be shared by several calls. */
int request_get(struct registry *r, struct endpoint *p, const char *path,
		const struct http_request *q, unsigned *attempts, struct exchange **out,
		struct err *e);
/* The same with any method; a status in others (0-terminated, or NULL) is an answer, too. */
int request_send(struct registry *r, struct endpoint *p, const char *path,
		 const struct http_request *q, const unsigned *others, unsigned *attempts,
		 struct exchange **out, struct err *e);
/* One try, at u, which a registry named: redirects and challenges are answered, the status may be
 * any. */
int request_url(struct registry *r, struct endpoint *p, const struct url *u,
		const struct http_request *q, struct exchange **out, struct err *e);
/* Whether a registry may send us from one URL to another (a redirect, a Location). */
int redirect_check(struct registry *r, const struct origin *home, const struct url *from,
		   const struct url *to, struct err *e);
/* The code of a fault that no further try will mend. */
int fault_final(int code);
/* After fault number n of a request: waits (backoff with jitter, Retry-After where x has one); 0,
 * or an error when there is no time. */
int request_backoff(struct registry *r, unsigned n, struct exchange *x, struct err *e);
bool fault_is_transient(int code, unsigned status);
/* Endpoints in turn: mirrors get few tries, and are passed over once they could not be reached. */
bool endpoint_is_last(const struct registry *r, const struct endpoint *p);
unsigned endpoint_retries(const struct registry *r, const struct endpoint *p);
void endpoint_give_up(struct registry *r, struct endpoint *p, const struct err *why);

/* ---- client.c ---- */
/* The document under a tag, never of a mirror, and its ETag (malloc'd, or NULL). */
int registry_get_tagged(struct registry *r, const char *tag, struct document *out, char **etag,
			struct err *e);

/* ---- challenge.c: what a 401 or 429 says (RFC 9110 11.6.1, 10.2.3; distribution-spec token
 * authentication) ---- */
enum challenge_scheme {
	CHALLENGE_NONE,
	CHALLENGE_BASIC,
	CHALLENGE_BEARER
}; /* the higher one is preferred */
struct challenge {
	enum challenge_scheme scheme;
	char *realm, *service, *scope,
		*error; /* unquoted; NULL where absent; no control bytes in them */
};
void challenge_release(struct challenge *c);
/*
 * One WWW-Authenticate field value, which may hold several challenges. The best of them replaces *c
 * where it is better than what *c holds (so the lines of one response are fed in turn into a zeroed
 * *c). Names of schemes and parameters in any case; tokens or quoted strings; unknown schemes and
 * parameters are passed over. A Bearer challenge without a realm is no challenge. At most 8 KiB. 0,
 * or E_PROTOCOL where it does not parse (then *c is as it was).
 */
int challenge_parse(struct span value, struct challenge *c);
/* Retry-After: seconds, or one of the three date forms of RFC 9110 5.6.7; now in seconds since the
 * epoch. Seconds to wait (0 for the past; at most 2^31), or -1 where it does not parse. */
int64_t retry_after_parse(struct span value, int64_t now);

/* ---- mirrors.c ---- */
struct mirror {
	bool plain_http;  /* it was written with http:// */
	char *domain;	  /* "mirror.example:5000" */
	char *repository; /* PREFIX replaced by MIRROR[/PATH]: "cache/library/debian" */
};
/* The mirrors of a repository of a registry ("docker.io", "library/debian"), in the order to ask;
 * the longest PREFIX wins, at a "/" only. *only: never ask the origin. The array and its strings
 * are the caller's: mirror_list_free. */
void mirrors_find(const struct mirrors *m, const char *domain, const char *repository,
		  struct mirror **out, size_t *n, bool *only);
void mirror_list_free(struct mirror *v, size_t n);

#endif
