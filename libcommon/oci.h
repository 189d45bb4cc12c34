/*
 * oci: the nouns of the OCI image-spec and distribution-spec, the documents, layouts, image streams, and layers applied to a tree.
 *
 * Sees codec, io, base. It alone writes layers into a rootfs and reads a rootfs into layers.
 */
#ifndef OCIBOX_OCI_H
#define OCIBOX_OCI_H

#include "libcommon/codec.h"

/* ---- digest (image-spec descriptor.md, "Digests"): sha256 with 64 and sha512 with 128 lower-case hex digits; nothing else -------- */
enum { DIGEST_TEXT_MAX = 7 + 128 + 1 };
struct digest {
	enum hash_alg alg;
	unsigned char v[HASH_MAX];
};
int digest_parse(struct span s, struct digest *out); /* 0 or E_FORMAT (E_UNSUPPORTED for another algorithm) */
char *digest_text(const struct digest *d, char out[DIGEST_TEXT_MAX]); /* "sha256:…"; returns out */
const char *digest_alg_name(enum hash_alg alg);                        /* "sha256" */
bool digest_eq(const struct digest *a, const struct digest *b);
struct digest digest_of(enum hash_alg alg, struct span bytes);

/* ---- reference: [HOST[:PORT]/]PATH[:TAG][@DIGEST] as docker's "distribution/reference" has it ----------------------------------- */
struct reference {
	char *domain;      /* "docker.io", "localhost:5000", "[::1]:5000" */
	char *repository;  /* "library/debian" */
	char *tag;         /* NULL where there is none */
	bool has_digest;
	struct digest digest;
};
/* Normalised: docker.io and library/ put in, tag "latest" where neither tag nor digest is given. E_USAGE with a text that names what is
 * wrong. An optional "docker://" in front is accepted. */
int reference_parse(const char *s, struct reference *out, struct err *e);
void reference_release(struct reference *r);
/* "docker.io/library/debian:12", with "@sha256:…" where it has one. malloc'd. */
char *reference_text(const struct reference *r);
bool tag_valid(struct span s); /* [A-Za-z0-9_][A-Za-z0-9._-]{0,127} */

/* ---- platform (image-spec image-index.md) ---------------------------------------------------------------------------------------------- */
struct platform {
	char os[32], arch[32], variant[32]; /* "" where unknown */
};
int platform_parse(const char *s, struct platform *out, struct err *e); /* OS/ARCH[/VARIANT]; aliases (x86_64, aarch64, armhf…) normalised */
void platform_host(struct platform *out); /* linux and this processor, its variant asked (amd64 v1..v4, arm v5..v8) */
void platform_generic(struct platform *out); /* the same for any processor of this architecture: of an image that is made here from nothing */
char *platform_text(const struct platform *p, char out[100]);
/* How well have serves want: 0 not at all, more is better. "unknown/unknown" serves nobody. A variant of have may be lower than the
 * wanted one where the architecture is upward compatible. */
int platform_match(const struct platform *want, const struct platform *have);

/* ---- descriptor and documents ------------------------------------------------------------------------------------------------------------ */
#define MEDIA_OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define MEDIA_OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_OCI_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_OCI_LAYER "application/vnd.oci.image.layer.v1.tar"
#define MEDIA_DOCKER_LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_DOCKER_CONFIG "application/vnd.docker.container.image.v1+json"
#define MEDIA_DOCKER_LAYER "application/vnd.docker.image.rootfs.diff.tar.gzip"

struct descriptor {
	char *media_type; /* never NULL; "" where the document had none */
	struct digest digest;
	uint64_t size;
	bool has_platform;
	struct platform platform;
	char *ref_name;      /* annotation org.opencontainers.image.ref.name, or NULL */
	char *image_name;    /* annotation io.containerd.image.name (a full reference), or NULL */
	char *artifact_type; /* or NULL */
};
bool media_type_valid(struct span s); /* printable, without what would end it in a header or in JSON */
int descriptor_from_json(const struct json *v, struct descriptor *out, struct err *e); /* size 0..2^63-1, digest checked (T68, T72) */
void descriptor_release(struct descriptor *d);
void descriptor_copy(struct descriptor *to, const struct descriptor *from);
/* Of a layer, from its media type; COMPRESSION_UNKNOWN for a type that is no layer of ours. The caller may still look at the magic. */
enum compression descriptor_compression(const struct descriptor *d);
bool descriptor_is_nondistributable(const struct descriptor *d);
bool descriptor_is_image_config(const struct descriptor *d); /* else the manifest is some artifact's */

enum document_kind { DOC_INDEX, DOC_MANIFEST };
enum { DOC_MANIFEST_MAX = 4 << 20, DOC_CONFIG_MAX = 8 << 20 };
/* An index or a manifest, with its raw bytes: digests are of what was received. */
struct document {
	enum document_kind kind;
	struct buf raw;
	struct digest digest;
	char *media_type;
	struct descriptor config;    /* manifest */
	struct descriptor *layers;   /* manifest */
	size_t layers_n;
	struct descriptor *manifests; /* index */
	size_t manifests_n;
	bool has_subject;
	struct descriptor subject;
};
/* Takes the bytes of *raw. media_type is what the carrier said (Content-Type, descriptor) or NULL: it must agree with the document's own and
 * with its structure; a document with both "manifests" and "layers"/"config" is refused (T71). schemaVersion 1 is E_UNSUPPORTED. */
int document_parse(struct buf *raw, const char *media_type, struct document *out, struct err *e);
/* The members that an index or a manifest begins with, written: schemaVersion and mediaType. */
void document_begin(struct json_out *o, const char *media_type);
void document_release(struct document *d);
/* Which of an index's manifests serves want: its position, or E_NOT_FOUND with a text that lists what there is. */
int document_choose(const struct document *index, const struct platform *want, size_t *pos, struct err *e);

/* The image config (image-spec config.md). Unknown members are kept in json. */
struct config {
	struct buf raw;
	struct json *json;
	struct platform platform;
	struct digest *diff_ids;
	size_t diff_ids_n;
};
int config_parse(struct buf *raw, struct config *out, struct err *e); /* takes the bytes of *raw */
void config_release(struct config *c);
/* Do they belong together: as many diff_ids as layers, and (where listed is not NULL) the platform that the index said (T75)? */
int config_check(const struct config *c, const struct document *manifest, const struct platform *listed, struct err *e);
struct digest chain_id_next(const struct digest *parent, const struct digest *diff_id); /* parent NULL: the first (config.md, "Layer ChainID") */

/* ---- an image config, changed as the Dockerfile instruction of the same name would ----------------------------------------------- */
enum config_member {
	EDIT_ENV,         /* NAME=VALUE; unset: NAME */
	EDIT_CMD,         /* JSON array of strings, else a command for the shell */
	EDIT_ENTRYPOINT,  /* the same; takes away the Cmd that was not set by this edit */
	EDIT_WORKDIR,     /* relative to the former */
	EDIT_USER,
	EDIT_LABEL,       /* NAME=VALUE; unset: NAME */
	EDIT_EXPOSE,      /* PORT[-PORT][/PROTO] */
	EDIT_VOLUME,      /* JSON array of strings, else one path */
	EDIT_STOP_SIGNAL,
	EDIT_HEALTHCHECK, /* [--interval=…] CMD …, or NONE */
	EDIT_SHELL,       /* JSON array of strings */
	EDIT_ONBUILD,     /* unset: all */
	EDIT_AUTHOR,
	EDIT_N,
};
struct config_edit;
/* A copy of base's contents; base NULL: of an image for this platform, without layers. E_FORMAT where base is no object in a place that matters. */
int config_edit_open(const struct config *base, const struct platform *platform, struct config_edit **c, struct err *e);
void config_edit_close(struct config_edit *c);
void config_edit_closep(struct config_edit **c);
/* E_USAGE with a text that says what is wrong with value; E_FORMAT where the member that is there is of a wrong type. */
int config_edit(struct config_edit *c, enum config_member m, const char *value, struct err *e);
/* Takes a member away, or of a collection what value names; what is not there is no error. */
int config_unset(struct config_edit *c, enum config_member m, const char *value, struct err *e);
/* Would it say something else than at first? */
bool config_edit_changed(const struct config_edit *c);
/* The whole document, for what no instruction changes: created, rootfs, history. */
struct json *config_edit_json(struct config_edit *c);
/* Canonical: known members in the order of the specification, maps sorted, others behind them as they were. E_TOOBIG over DOC_CONFIG_MAX. */
int config_edit_write(const struct config_edit *c, struct buf *out, struct err *e);
/* RFC 3339, or seconds since 1970: as RFC 3339 in UTC. E_USAGE. malloc'd in *out. */
int time_canonical(const char *s, char **out, struct err *e);
int time_seconds(const char *s, int64_t *out, struct err *e); /* the same, rounded down to a second */

/* ---- image layout (image-spec image-layout.md) ---------------------------------------------------------------------------------------- */
struct layout {
	int dirfd;      /* the layout's directory */
	int blobs;      /* its blobs/ */
};
/* Opens; with create makes what is missing (directories 0755 under the umask), else E_NOT_FOUND where it is no layout. */
int layout_open(const char *path, bool create, struct layout *l, struct err *e);
void layout_close(struct layout *l);
/* A blob's descriptor: fd or E_NOT_FOUND, E_SIZE where the file's size is not d->size. */
int layout_blob_open(const struct layout *l, const struct descriptor *d, struct err *e);
bool layout_has_blob(const struct layout *l, const struct descriptor *d); /* by size */
/* A partial blob that survives a kill: "blobs/ALG/.partial-HEX", created if needed and locked (E_EXISTS when another process is at it). */
int layout_partial_open(const struct layout *l, const struct digest *d, int *fd, struct err *e);
int layout_partial_commit(const struct layout *l, const struct digest *d, int fd, bool sync, struct err *e); /* rename to its name; closes fd */
void layout_partial_discard(const struct layout *l, const struct digest *d, int fd);                         /* unlink and close */
int layout_write_blob(const struct layout *l, const struct digest *d, struct span bytes, bool sync, struct err *e);
/* What image-spec's annotations.md lets a name in a layout be made of; other tools look no other one up. */
bool layout_name_valid(struct span s);
/* Names document in index.json: read-modify-rename under a lock. tag NULL: no name (an entry of the same digest is enough). Another entry of the same
 * tag loses its place; all else, unknown members too, is kept. */
int layout_set_tag(const struct layout *l, const char *tag, const struct descriptor *d, bool sync, struct err *e);
/* Removes what runs that were killed have left: partials that nobody holds and that are older than a day; of index.json and oci-layout at once. Waits for
 * who is writing these. */
void layout_clean(const struct layout *l);

/* What went through a process, for --stats. */
struct blob_stats {
	uint64_t read, hashed, inflated, compressed, spooled, sent;
};

/* ---- image: an opened IMAGE operand, from a stream, a stream file or a layout --------------------------------------------------- */
struct image;
struct image_options {
	struct platform want;     /* os "" : the host's, where there is a choice; a lone manifest of any platform is accepted then */
	const char *tag;          /* name in index.json, or NULL */
	const struct digest *digest; /* of the image, or NULL; it wins over tag */
	bool again;               /* blobs are asked for more than once: what cannot give them is no image to begin with (cli keeps it in a file) */
	bool verify;              /* hash what comes from a layout's disk too; a stream is always verified */
	bool whole;               /* no choice by platform: an index with all documents that it names, nested ones too */
	bool top_only;            /* no choice by platform: the document that index.json names, and no other; as of a whole image */
	uint64_t spool_max;       /* bytes that may wait on disk; 0: 64 GiB */
};
/* tag or digest select; neither: the only image of index.json, else E_NOT_FOUND that lists the names. Owns src. */
int image_open_stream(struct stream *src, const struct image_options *o, struct image **out, struct err *e);
/* A regular file that holds a stream from its present position on: members are read in place, nothing is spooled. Owns fd. */
int image_open_file(int fd, const struct image_options *o, struct image **out, struct err *e);
int image_open_layout(const char *path, const struct image_options *o, struct image **out, struct err *e);
void image_close(struct image *img);
void image_closep(struct image **img);
const struct document *image_manifest(const struct image *img); /* after choice by platform; NULL of a whole image */
const struct config *image_config(const struct image *img); /* NULL where the manifest is some artifact's (no image config), or of a whole image */
/* Of a whole image: the top first, then those that it names, depth first; each once. */
const struct document *const *image_documents(const struct image *img, size_t *n);
const struct digest *image_digest(const struct image *img);  /* of what index.json names: an index, or the manifest */
const char *image_ref_name(const struct image *img); /* full reference name, or NULL */
/* True where blobs can be opened in any order and from several threads (layout, file). */
bool image_random_access(const struct image *img);
/* The bytes of a layer or config, verified as they pass (size, digest: stream_verify). On a stream: ask in the manifest's order; each once. The
 * caller closes the stream before it asks for the next. */
int image_blob(struct image *img, const struct descriptor *d, struct stream **out, struct err *e);
/* With random access: the file that holds a blob's d->size bytes, from *offset on; nothing of them is checked. *fd is the caller's. */
int image_blob_file(struct image *img, const struct descriptor *d, int *fd, uint64_t *offset, struct err *e);
void image_pass_over(struct image *img, const struct digest *d); /* this blob will not be asked for: a stream need not keep it */
/* Bytes of blobs asked for and documents, so far: read, hashed (of what is verified), and of layers inflated. */
const struct blob_stats *image_stats(const struct image *img);
/* After the last blob: reads a stream to its end so that the writer before the pipe is not killed; 0 or E_TRUNCATED … */
int image_finish(struct image *img, struct err *e);

/* ---- image stream, written (design section 1): a tar of a layout in streaming order ------------------------------------------ */
struct image_writer;
struct image_writer_options {
	const char *ref_name;             /* full name of the reference, or NULL */
	const struct document *const *docs; /* the top index or manifest first, then those it names that go along, depth first */
	size_t docs_n;
	const struct document *manifest;  /* for manifest.json (docker load): the one chosen; NULL: the first of docs */
};
/* Writes oci-layout, index.json, manifest.json and the documents to out (which it does not own). */
int image_writer_open(struct sink *out, const struct image_writer_options *o, struct image_writer **w, struct err *e);
/* One blob, pulled from src (a verified stream, so that a bad blob ends early and never whole). Blobs that were already written are passed
 * over: then src may be NULL. */
bool image_writer_has(const struct image_writer *w, const struct digest *d);
int image_writer_blob(struct image_writer *w, const struct descriptor *d, struct stream *src, struct err *e);
/* The same by who pushes the bytes of d into *out himself, and those that decide whether it is good last. */
int image_writer_begin(struct image_writer *w, const struct descriptor *d, struct sink **out, struct err *e);
int image_writer_end(struct image_writer *w, const struct descriptor *d, struct err *e);
int image_writer_close(struct image_writer *w, bool complete, struct err *e); /* the end blocks only where complete */

/* ---- image target: a stream or a layout that is being written ---------------------------------------------------------------- */
struct image_target {
	struct image_writer *writer;  /* either */
	const struct layout *layout;  /* or */
	bool sync;
	struct blob_stats *stats;
	/* the blob under way */
	struct sink *sink;
	int fd;
};
bool image_target_has(const struct image_target *t, const struct descriptor *d);
/* One that it has not yet: who has begun pushes the bytes into *out, and ends with what came of that (0, or an error: then nothing stays). */
int image_target_begin(struct image_target *t, const struct descriptor *d, struct sink **out, struct err *e);
int image_target_end(struct image_target *t, const struct descriptor *d, int r, struct err *e);
/* A whole blob from a verified stream. */
int image_target_blob(struct image_target *t, const struct descriptor *d, struct stream *src, struct err *e);

/* ---- layer file: a new layer, in a file or from a pipe ---------------------------------------------------------------------------- */
struct layer_file {
	int fd;              /* a regular file, or an unlinked one of ours */
	uint64_t offset, size;
	bool spooled;        /* ours: nobody else can change it */
	bool measured;       /* the bytes have been read; else all this is only said */
	struct digest digest, diff_id; /* sha256 */
	enum compression compression;
};
struct layer_limits {
	struct decompress_limits decompress;
	struct tar_limits tar;
	uint64_t spool_max;  /* bytes of one layer that comes through a pipe; 0: none */
};
/* Takes fd. What comes from a pipe is spooled and measured on the way, a regular file is measured unless said (NULL: nothing) tells what it is; then
 * what is said is only compared with the file's size. A layer is a whole tar with its end: E_FORMAT, E_TRUNCATED, E_UNSUPPORTED. */
int layer_file_open(int fd, const struct layer_file *said, const struct layer_limits *lim, struct layer_file *out, struct blob_stats *stats,
		    struct err *e);
void layer_file_close(struct layer_file *l);
int layer_file_compare(const struct layer_file *is, const struct layer_file *said, struct err *e); /* E_SIZE, E_DIGEST, E_FORMAT */
/* What mklayer --digestfile writes. */
int layer_file_parse(struct span json, struct layer_file *out, struct err *e);
/* Into a target, checked as it goes: digest, size, and what was only said, too. */
int layer_file_write(const struct layer_file *l, const struct descriptor *d, const struct layer_limits *lim, struct image_target *t,
		     struct err *e);

/* ---- an image composed of a base, new layers and a config -------------------------------------------------------------------------- */
enum image_format { IMAGE_FORMAT_KEEP, IMAGE_FORMAT_OCI, IMAGE_FORMAT_DOCKER };
enum image_squash { IMAGE_SQUASH_NONE, IMAGE_SQUASH_NEW, IMAGE_SQUASH_ALL };
enum { IMAGE_LAYERS_MAX = 127 }; /* more cannot be mounted by engines */
struct compose_options {
	struct image *base;                /* NULL: from nothing */
	struct image *old_base, *new_base; /* of base: the layers that go and those that come; or NULL */
	struct config_edit *config;        /* of base's, or a new one; diff_ids, history and created are put in */
	const struct layer_file *layers;   /* new ones, bottom first */
	size_t layers_n;
	const char *created;               /* RFC 3339, or NULL: left out */
	bool created_given;                /* a change by itself */
	const char *const *history;        /* created_by of each new layer, the last one for all that follow */
	size_t history_n;
	bool no_history;
	const struct json *annotations;    /* of the manifest: an object of strings, null takes one away; or NULL */
	bool base_annotations;             /* write where the base came from, if that is known */
	enum image_format format;
	enum image_squash squash;          /* the layers on top of the base, or all, become one: compose_squashed() */
	const struct layer_file *squashed; /* it; NULL at first */
};
struct composition {
	struct document manifest;
	struct buf config;
	struct composed_layer {
		struct descriptor d;
		struct digest diff_id;
		struct image *from;            /* or */
		const struct layer_file *file;
	} *layers;
	size_t layers_n;
	size_t squash_from;                /* the first layer to be squashed */
	bool unchanged;                    /* byte for byte the base */
	bool converted;                    /* the base has the other format */
	bool history_dropped;              /* history was given, but the base has none */
	size_t annotations_dropped;        /* docker's manifests have none */
};
int compose(const struct compose_options *o, struct composition *out, struct err *e);
void composition_release(struct composition *c);
/* The config and the layers, each once; images are read to their end. The documents are the caller's to write. */
int compose_write(const struct compose_options *o, const struct composition *c, const struct layer_limits *lim, struct image_target *t,
		  struct err *e);

/* ---- images of several platforms, joined into one index ---------------------------------------------------------------------------------- */
struct join;
void join_open(struct join **out);
/* One more, opened whole; it must live as long. name: what the user calls it. An index gives its manifests. E_EXISTS where a platform is there already,
 * E_UNSUPPORTED where it has none. */
int join_add(struct join *j, struct image *img, const char *name, struct err *e);
/* The index: canonical; annotations (an object, or NULL) go over those of indexes that were joined. */
int join_finish(struct join *j, const struct json *annotations, struct err *e);
const struct document *const *join_documents(const struct join *j, size_t *n); /* the index, and the manifests */
/* Configs and layers, each once; images are read to their end. */
int join_write(struct join *j, struct image_target *t, struct err *e);
void join_close(struct join *j);

/* ---- layers applied to a tree (image-spec layer.md, "Applying Changesets") ------------------------------------------------------ */
struct apply_options {
	bool same_owner, xattrs, devices, sparse; /* what to keep; sparse: aligned runs of zeros become holes */
	bool ignore_xattr, ignore_device, ignore_owner; /* a failure is counted instead of an error */
	bool clear_setid;                   /* no chown possible: setuid and setgid bits cleared and counted */
	bool drop_devices;                  /* unprivileged: device nodes left out and counted */
	bool defer_modes;                   /* no CAP_DAC_OVERRIDE: modes of directories are set last */
	const char *const *exclude;         /* NULL-terminated globs, or NULL */
	struct tar_limits tar;
	struct decompress_limits decompress;
	uint64_t max_total;                 /* bytes of contents written by all layers; 0: none */
	uint64_t max_entries;               /* of all layers; 0: none */
	unsigned max_depth;                 /* components of a path; 0: 4096 */
	bool one_thread;                    /* no helper threads */
	const atomic_bool *more_threads;    /* NULL, or: one_thread until this is set */
	bool from_file;                     /* reading a blob never waits for somebody else */
	const atomic_bool *stop;            /* NULL, or: another thread asks to give up (-ECANCELED) */
};
/* What was left out or changed, for the applet to tell. */
struct apply_stats {
	uint64_t entries, bytes, files, dirs, links, whiteouts;
	uint64_t devices_dropped, xattrs_failed, owners_failed, devices_failed, setid_cleared, excluded, overlay_xattrs_dropped;
	char first_failed[256]; /* the first name among those, quoted */
};
enum apply_form {
	APPLY_MERGED,          /* whiteouts delete */
	APPLY_OVERLAY_TRUSTED, /* one directory a layer: char 0:0, trusted.overlay.opaque */
	APPLY_OVERLAY_USER,    /* one directory a layer: char 0:0, user.overlay.opaque */
};
struct apply;
/* A run of layers into the directory rootfd (which must be empty at first). e must outlive it. */
int apply_open(int rootfd, enum apply_form form, const struct apply_options *o, struct apply **out, struct err *e);
/* For the overlay forms: the directories of the layers below, topmost first, from which implied parents and link targets are copied. Before they are
 * looked at first, wait(arg, e) is called (NULL: they are whole already). */
void apply_set_lowers(struct apply *a, const int *lowers, size_t n, int (*wait)(void *arg, struct err *e), void *arg);
/* One layer: blob is the compressed stream, which it owns; checked against *diff_id where that is not NULL; the diff_id seen goes to *seen. */
int apply_layer(struct apply *a, struct stream *blob, enum compression c, const struct digest *diff_id, struct digest *seen);
/* Directory times and modes, last. Then the tree is whole. */
int apply_finish(struct apply *a);
const struct apply_stats *apply_stats(const struct apply *a);
void apply_close(struct apply *a);
void apply_closep(struct apply **a);

/* All layers of an image into the empty directory rootfd. */
int unpack_merged(struct image *img, int rootfd, const struct apply_options *o, struct apply_stats *stats, struct err *e);
/* Each layer as store/sha256-<chain_id>, those that are missing; their names, topmost first, are added to names. Each appears by rename under a
 * lock; two at once where the image has random access. max_total and max_entries count for each layer. */
int unpack_layers(struct image *img, int store, enum apply_form form, const struct apply_options *o, bool sync, struct strs *names,
		  struct apply_stats *stats, struct err *e);
void layers_clean(int store); /* removes partial layers that no process is at */
/* The form that we may write below dirfd: trusted for the system's root, else user. */
enum apply_form overlay_form(int dirfd);

/* ---- one layer of an image, uncompressed ----------------------------------------------------------------------------------------------- */
/* The archive in the layer d. On a stream: in the manifest's order. Reading, inflating and hashing have threads of their own unless one_thread.
 * e must live as long as *out. diff_id may be NULL. */
int layer_open(struct image *img, const struct descriptor *d, const struct digest *diff_id, const struct decompress_limits *lim,
	       bool one_thread, struct stream **out, struct err *e);
/* Reads what is left of s, which it closes, and checks size, digest and diff_id. img: that it was opened from, or NULL. r: what went wrong before, or 0; it is what is returned then. */
int layer_end(struct image *img, struct stream *s, const struct digest *diff_id, int r, struct err *e);

/* JSON for people and jq: a summary with the members of skopeo inspect and more; and the layers, with diff_ids and what made them. */
int image_summary(const struct image *img, struct json_out *o, struct err *e);
int image_layers(const struct image *img, struct json_out *o, struct err *e);
struct listing_options;
/* What image_verify() has seen. */
struct verify_stats {
	uint64_t manifests, layers, blobs; /* blobs: each once */
	uint64_t bytes, unpacked, entries;
};
/* Reads all of an image, whole or of one platform, and checks sizes, digests, diff_ids, counts, platforms, and that the layers are archives. */
int image_verify(struct image *img, const struct listing_options *o, struct verify_stats *st, struct err *e);
/* What layers that are read one after the other hold together. */
struct layers_size {
	uint64_t entries, bytes;
};
/* One entry more: E_TOOBIG where that is beyond o's max_entries or max_total. */
int layers_size_add(struct layers_size *n, const struct tar_entry *entry, const struct listing_options *o, struct err *e);

/* ---- listing: what an image's layers hold together, without unpacking them ---------------------------------------------------------
 *
 * The tree that unpack would make, by the same rules: names cleaned, whiteouts and opaque directories applied, links in names followed. Memory is
 * bounded: what does not fit goes to an unlinked file. */
struct listing;
struct listing_options {
	bool upon;           /* something unknown lies below: whiteouts and opaque marks are kept, and a hard link to a file below is refused
			      * (E_UNSUPPORTED) */
	/* (upon) Its names, asked for when one of an entry leads where no entry has made a directory: there may be a link below. The listing owns
	 * *out. NULL: as if there were none. */
	int (*below)(void *arg, struct listing **out, struct err *e);
	void *below_arg;
	bool digests;        /* SHA-256 of the contents of regular files */
	bool contents;       /* keep them (in an unlinked file), for listing_contents() */
	struct tar_limits tar;
	struct decompress_limits decompress;
	uint64_t max_entries; /* of all layers; 0: none */
	uint64_t max_total;   /* bytes of contents of all layers; 0: none */
	unsigned max_depth;   /* components of a path; 0: 4096 */
	size_t memory;        /* bytes; 0: 8 MiB */
	bool one_thread;
};
struct listing_entry {
	struct span path;     /* "usr/bin/env", NUL-terminated behind its end; "" for the root, which comes first */
	enum tar_type type;   /* never TAR_HARDLINK: all names of an inode are alike */
	bool whiteout;        /* (upon) what lies below at path is hidden; all else here means nothing */
	bool opaque;          /* (upon) a directory that hides what lies below it */
	bool implied;         /* a directory that no layer has an entry for: 0755, owned by root */
	bool for_whiteout;    /* one that only a whiteout is in */
	uint32_t mode;        /* 07777 bits; an access ACL's effect included */
	uint32_t uid, gid;
	struct tar_time mtime;
	uint64_t size;        /* of a regular file, holes included */
	struct span link;     /* target of a symbolic link */
	uint32_t dev_major, dev_minor;
	uint32_t inode;       /* names of one file have the same number */
	uint32_t nlink;       /* how many there are; 1 for directories */
	struct span first_name; /* of a regular file with several: the one that comes first; "" for that one itself */
	const struct tar_xattr *xattrs; /* by name, ACLs as system.posix_acl_*, capabilities version 2, none of overlayfs's own */
	size_t xattrs_n;
	const unsigned char *sha256; /* of a regular file's contents; NULL without digests */
	size_t layer;         /* where its entry is: layer, and which of its entries, both from 0; of what is implied: that it came with */
	uint64_t entry;
};
struct listing;
/* All layers of an image (which must then not be upon). */
int listing_open(struct image *img, const struct listing_options *o, struct listing **out, struct err *e);
/* The same, layer by layer from the bottom: the entries of an archive, whose stream the caller closes (layer_end). Ends with listing_done(). */
int listing_new(const struct listing_options *o, struct listing **out, struct err *e);
int listing_add(struct listing *l, struct stream *archive, struct err *e);
int listing_done(struct listing *l, struct err *e);
/* The next entry, valid until the next call: 1, 0 at the end, or an error. Depth first, the entries of one directory by the bytes of their names
 * (whiteouts before them). */
int listing_next(struct listing *l, const struct listing_entry **entry, struct err *e);
void listing_rewind(struct listing *l); /* from the root again */
/* It as an entry of an archive. links: a further name of a file is a hard link to its first, else it is a file, too. */
struct tar_entry listing_tar_entry(const struct listing_entry *e, bool links);
/* What is called name in the directory dir, by its inode (0 is the root; name "" is the directory itself): 1, or 0 where there is none. Its path is
 * name only, its first_name is not told, and listing_next() goes on as if nothing had been asked. */
int listing_find(struct listing *l, uint32_t dir, struct span name, const struct listing_entry **entry, struct err *e);
/* The first name in dir behind *name (empty: the first of all), which becomes it: 1, or 0 at the end. */
int listing_name_after(struct listing *l, uint32_t dir, struct buf *name, struct err *e);
/* The contents of the entry that came last, a regular file; the caller closes it. */
struct stream *listing_contents(struct listing *l);
bool listing_is_upon(const struct listing *l); /* the option */
void listing_close(struct listing *l);
void listing_closep(struct listing **l);

/* ---- squash: a listing with its contents, as one layer of format 1 ------------------------------------------------------------------- */
struct squash_options {
	bool has_clamp;
	int64_t clamp;        /* later times become it */
	struct compression_choice compression;
	unsigned threads;     /* that compress */
};
/* The archive alone, its end too. */
int squash_write(struct listing *l, const struct squash_options *o, struct sink *out, struct err *e);
/* In an unlinked file, compressed and measured. */
int squash_layer(struct listing *l, const struct squash_options *o, struct layer_file *out, struct blob_stats *stats, struct err *e);

/*
 * What compose() made with o->squash: *c becomes the composition with its layers from squash_from on as one, in an unlinked file that *squashed
 * says (where there are such layers). That must live as long as *c, and o tells of it from here on. lo: limits alone.
 */
int compose_squashed(struct compose_options *o, const struct listing_options *lo, const struct squash_options *so, struct layer_file *squashed,
		     struct composition *c, struct blob_stats *stats, struct err *e);

/* ---- layers made: the difference of two trees, format 1 (design section 5) -------------------------------------------------------------- */
/* The tree before. It ends before e does. */
struct before;
/*
 * Whose extended attributes are overlayfs's word about a directory. The other kind is a program's own, which it may have set through the mount
 * to hide files or to feign that they are gone.
 */
enum overlay_marks {
	MARKS_NONE,    /* no overlay: whiteouts mean nothing either */
	MARKS_TRUSTED, /* trusted.overlay.* */
	MARKS_USER,    /* user.overlay.*: mounted with the option userxattr */
	MARKS_EITHER,  /* trusted.overlay.*, and one of the other kind is E_UNSUPPORTED: somebody has to say what it is */
};
/* A directory, or several as overlayfs merges them (topmost first). Copies the descriptors. */
int before_from_dirs(const int *dirs, size_t n, enum overlay_marks marks, struct before **out, struct err *e);
/* What an image's layers hold: a listing with digests, which it owns. */
struct before *before_from_listing(struct listing *l, struct err *e);
void before_close(struct before *b); /* NULL is fine */
struct diff_options {
	const char *const *exclude; /* globs on names from the directory on, NULL-terminated, or NULL: neither entries nor whiteouts */
	const char *prefix;         /* names in the layer begin with it, and those of the tree before; NULL: none */
	bool has_uid, has_gid, has_mtime, has_clamp; /* what is set is not compared */
	uint32_t uid, gid;
	int64_t mtime, clamp;       /* clamp: later times become it */
	enum overlay_marks marks;   /* with DIFF_UPPER */
	bool no_devices;            /* the tree after could hold none: those of the tree before are not gone */
	const struct stat *output;  /* the file that the layer is written to, which is left out, or NULL */
};
struct diff_stats {
	uint64_t entries, whiteouts, bytes; /* bytes of contents written */
	uint64_t read;                      /* of contents, those compared too */
	uint64_t hashed;                    /* for that comparison */
	uint64_t sockets;
	char first_socket[256];
	char output[256]; /* where it lies in the tree, if it does */
};
enum diff_form {
	DIFF_TREE,  /* dir is the whole tree after */
	DIFF_UPPER, /* dir is overlayfs's upper directory over before; with before NULL whiteouts and opaque marks are written as they are */
};
/* Writes the archive, its end too, to out. */
int diff_write(int dir, enum diff_form form, struct before *before, const struct diff_options *o, struct sink *out,
	       struct diff_stats *stats, struct err *e);

/* ---- the OCI runtime bundle's config.json (image-spec conversion.md; runtime-spec config.md) -------------------------------------- */
/* Looks names of User up in rootfd's etc/passwd and etc/group. Appends the JSON. rootless: with the host mapping of ids as given. */
struct id_map_entry {
	uint32_t inside, outside, count;
};
struct bundle_options {
	const struct id_map_entry *uid_map, *gid_map; /* n 0: no user namespace in config.json */
	size_t uid_map_n, gid_map_n;
};
int bundle_config(const struct config *c, int rootfd, const struct bundle_options *o, struct buf *out, struct err *e);

/* maskedPaths and readonlyPaths that a bundle gets, and a container without a bundle has; NULL-terminated. */
extern const char *const oci_masked_paths[], *const oci_readonly_paths[];

/* ---- users of a tree: etc/passwd and etc/group inside rootfd (T50, T51) ---------------------------------------------------------- */
struct user {
	uint32_t uid, gid;
	uint32_t groups[64]; /* supplementary, gid not among them unless listed */
	size_t groups_n;
	char *home;          /* malloc'd; "/" where unknown */
	char *name;          /* or NULL */
};
/* spec: "", USER, UID, USER:GROUP, UID:GID …; names first looked up, numbers strict decimal at most 2^32 - 2. "" is root. */
int user_lookup(int rootfd, const char *spec, struct user *out, struct err *e);
void user_release(struct user *u);

#endif
