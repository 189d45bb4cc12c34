/*
 * registry: HTTP/1.1 exchange, TLS, proxies, credentials, and a client of the OCI distribution-spec.
 *
 * Sees oci, codec, io, base. It alone opens sockets to the network. HTTP (registry/http.c) and TLS are state machines fed with
 * bytes, so that they are tested and fuzzed without a socket.
 */
#ifndef OCIBOX_REGISTRY_H
#define OCIBOX_REGISTRY_H

#include "libcommon/oci.h"

/* ---- credentials ---------------------------------------------------------------------------------------------------------------------------------
 * Where they come from: creds_fd, authfile, REGISTRY_AUTH_FILE, DOCKER_AUTH_CONFIG, $DOCKER_CONFIG/config.json,
 * $XDG_RUNTIME_DIR/containers/auth.json (/run/containers/UID/ without that variable), ~/.docker/config.json; in place of a file a
 * Kubernetes secret directory. The first that has an entry for the repository wins. See containers-auth.json(5). */
struct credential {
	char *username;       /* "" with an identity token */
	char *password;       /* wiped on release */
	char *identity_token; /* OAuth2 refresh token, or NULL */
	char *registry_token; /* a bearer token as it is, or NULL */
	char *source;         /* for --auth-trace: file and entry or helper; never the secret */
};
void credential_release(struct credential *c);
struct credentials_options {
	int creds_fd;         /* holds USER:PASSWORD; -1: none */
	const char *creds_domain; /* the registry that those are for: nobody else gets them */
	const char *authfile; /* or NULL */
	struct span pair;     /* USER:PASSWORD in place of creds_fd */
};
struct credentials;
int credentials_open(const struct credentials_options *o, struct credentials **out, struct err *e);
void credentials_close(struct credentials *c);
/* Whether a credential may be got by running a helper. */
bool credentials_have_helpers(const struct credentials *c);
/* For the repository of a registry ("reg.example:5000", "team/app"). 1 found, 0 none (anonymous; out->source then says what was searched),
 * or an error: a file that does not parse, a helper that fails (never falling through to another registry's entry: T64). The most
 * specific path wins (T65). Safe from several threads. A helper may take ms. */
enum { CREDENTIAL_HELPER_MS = 120000 };
int credentials_find(struct credentials *c, const char *domain, const char *repository, unsigned ms, struct credential *out, struct err *e);

/* Where login writes: $REGISTRY_AUTH_FILE, $DOCKER_CONFIG/config.json, $XDG_RUNTIME_DIR/containers/auth.json or
 * /run/containers/UID/auth.json, as podman does. malloc'd. */
char *credentials_default_file(void);
/* The entry for key ("reg.example:5000", "reg.example/team") of a file is set to USER:PASSWORD, or goes (pair.p NULL; key NULL: all go). Written anew
 * under a lock, 0600, all that is not understood kept; directories are made. Where the file names a helper for it, that one keeps it, and *helper
 * is its program (malloc'd). The number of entries set or removed, or an error. */
int credentials_edit(const char *path, const char *key, struct span pair, char **helper, struct err *e);

/* ---- mirrors ----------------------------------------------------------------------------------------------------------------------------------------
 * A small file, one rule a line:  PREFIX MIRROR[/PATH]… [only]   ("#" comments). PREFIX is a registry or registry/path; the mirrors are
 * asked in order, then the origin unless the line ends in "only". http:// in front of a mirror allows plain HTTP for it. */
struct mirrors;
int mirrors_open(const char *path, struct mirrors **out, struct err *e);
void mirrors_close(struct mirrors *m);

/* ---- client --------------------------------------------------------------------------------------------------------------------------------------------- */
struct registry_options {
	const char *cacert;       /* a PEM file of CAs in place of the system's, or NULL */
	const char *cert_dir;     /* *.crt of it are added for every registry, or NULL (then certs.d/HOST:PORT/ca.crt of the usual places) */
	bool tls_verify;
	bool plain_http;          /* allow http to hosts that are not loopback, and speak it to the reference's registry */
	struct credentials *credentials; /* or NULL */
	struct mirrors *mirrors;         /* or NULL */
	unsigned retries;         /* further tries of one request; default 5 */
	uint64_t deadline_ms;     /* for everything; 0: none */
	uint64_t min_rate;        /* bytes/s over 30 s that a transfer must keep; 0: none */
	/* Called for --debug and --auth-trace with a line free of secrets, from any thread; NULL: silent. */
	void (*trace)(void *arg, const char *line);
	void *trace_arg;
	bool trace_requests, trace_auth;
};
struct registry; /* one repository of one registry (and its mirrors); used from several threads at once */
int registry_open(const struct reference *ref, const struct registry_options *o, struct registry **out, struct err *e);
void registry_close(struct registry *r);

/* GET a manifest or index by tag or "alg:hex". The bytes hash to the digest where one was given (T69), and to Docker-Content-Digest. */
int registry_get_document(struct registry *r, const char *tag_or_digest, struct document *out, struct err *e);
/*
 * A blob's bytes from offset on (0: all), unverified (stand stream_verify on it). It heals itself: a cut goes on by Range from the
 * registry's own URL. The stream is used by one thread; several may be open at once. e must outlive the stream.
 */
int registry_get_blob(struct registry *r, const struct descriptor *d, uint64_t offset, struct stream **out, struct err *e);
/* Where the transfers of r stand on the wire: bytes received, requests, retries; for the summary line. */
struct registry_stats {
	_Atomic uint64_t received, requests, retries;
	_Atomic uint64_t sent; /* bytes of requests' bodies */
};
const struct registry_stats *registry_stats(const struct registry *r);

/* Whether the registry takes our credentials: 1; 0: it asked for none; or an error. For a reference without a repository. */
int registry_check_login(struct registry *r, struct err *e);

/* ---- selection: the documents and blobs that a reference stands for -------------------------------------------------------------- */
struct selection_options {
	struct platform want; /* of an index; nested ones are searched, too */
	bool all_platforms;   /* an index whole, with all that it names */
	/* In its place an index of what refers to it (artifacts whose subject it is), and those whole: */
	bool referrers;
	bool choose;                /* to the manifest of the wanted platform, not to the index */
	const char *referrers_type; /* of this artifact type alone, or NULL */
	size_t max_referrers;
	uint64_t max_referrers_size; /* bytes of all that they name */
};
struct selection {
	struct document **docs;          /* the top first, then those that it names, depth first; each once */
	size_t docs_n;
	const struct document *manifest; /* the chosen one, or NULL where an index was taken whole */
	struct descriptor *top;          /* of docs[0] */
	bool has_platform;               /* the index said so of the manifest: */
	struct platform platform;
	struct descriptor *blobs;        /* configs and layers in the order of the manifests, each once */
	size_t blobs_n;
	size_t layers_n;                 /* how many of those are layers */
	size_t dropped;                  /* listed as referrers, but they are gone or refer to something else */
};
int registry_select(struct registry *r, const struct reference *ref, const struct selection_options *o, struct selection *out,
		    struct err *e);
void selection_release(struct selection *s);

/* ---- fetch: many blobs at once ---------------------------------------------------------------------------------------------------------------
 * Errors carry the blob's digest in their text. After an error threads may still be at work for a moment: what they were given
 * (registry, layout, blobs, meters) must then stay until the process ends. */
struct fetch_options {
	unsigned jobs;        /* downloads at a time, at least 1 */
	struct meter *meters; /* one a blob */
	uint64_t spool_max;   /* stream: bytes on disk that came too early; 0: none come */
	bool verify;          /* layout: read what it holds already */
	bool sync;            /* layout: fsync */
	uint64_t deadline_ms; /* layout: the longest wait for another process; 0: none */
	/* fetch_image_*: sees the config of the chosen manifest before a layer is handed on; may take the bytes. */
	int (*check_config)(void *arg, struct buf *raw, struct err *e);
	void *check_arg;
};
/* The whole selection as an image stream, named name (or NULL); flushed. */
int fetch_image_to_stream(struct registry *r, const struct selection *s, struct sink *out, const char *name,
			  const struct fetch_options *o, struct err *e);
/* The whole selection into a layout: blobs, documents, and last of all the tag (or NULL). */
int fetch_image_to_layout(struct registry *r, const struct selection *s, const struct layout *l, const char *tag,
			  const struct fetch_options *o, struct err *e);

/* ---- push: an image's blobs and documents to a registry ------------------------------------------------------------------------
 * After an error threads may still be at work for a moment: all that they were given must stay until the process ends. */
struct push_blob {
	const struct descriptor *d;
	struct strs from; /* repositories of the same registry that may have it */
	int fd;           /* of a file that is the blob; -1: the image has it */
};
struct push {
	struct image *img;                  /* or NULL: then all blobs have files */
	const struct document *const *docs; /* the top first, as image_documents has them */
	size_t docs_n;
	struct push_blob *blobs; /* configs and layers in the order of the manifests, each once */
	size_t blobs_n, layers_n;
	size_t foreign_n; /* layers that are not for distribution, and are left out */
	struct push_run *run;    /* private: while push_run is at work */
};
/* Lists what docs name. Repositories that an image of this registry is known to come from are noted for mounting. */
int push_plan(struct push *p, const char *domain, struct err *e);
void push_release(struct push *p); /* all but img and docs */
struct push_options {
	unsigned jobs;      /* at a time, at least 1 */
	uint64_t chunk;     /* bytes of one request; 0: as many as the registry takes */
	uint64_t spool_max; /* of an image from a pipe: bytes on disk; one blob always fits */
	struct meter *meters;           /* one a blob */
	const char *const *mount_from;  /* repositories, NULL-terminated; or NULL */
	const char *const *tags;        /* NULL-terminated; none: by digest alone */
};
struct push_stats {
	_Atomic uint64_t read, hashed, spooled, exist, mounted;
};
/* An artifact (image-spec manifest.md, "Guidelines for Artifact Usage"): an empty config, and files as layers. */
struct artifact_file {
	const char *title, *type; /* title NULL: none is written */
	int fd;                   /* of a regular file */
};
struct artifact {
	const char *type;
	const struct document *subject;   /* or NULL */
	const char *const *annotations;   /* "KEY=VALUE", NULL-terminated */
	const struct artifact_file *files;
	size_t files_n;
};
/* The manifest; plan it with p->docs = &out. Titles and annotations must be UTF-8; of two annotations of one key the last counts. */
int artifact_document(const struct artifact *a, struct document *out, struct err *e);
int artifact_plan(const struct artifact *a, struct push *p, struct err *e); /* after push_plan: gives the blobs their files */
/* Blobs, then documents, the tags last. */
int push_run(struct registry *r, struct push *p, const struct push_options *o, struct push_stats *stats, struct err *e);
/* From another thread, before it ends the process: uploads that are open at the registry are taken back, within two seconds. push_run does
 * not return then. */
void push_abandon(struct push *p);

#endif
