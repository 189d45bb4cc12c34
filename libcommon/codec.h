/*
 * codec: hashes, gzip, zstd, tar, JSON. Pure transforms: no files, no threads, no clocks.
 *
 * Sees io (for struct stream) and base. Every parser here takes untrusted bytes and has a fuzz target.
 */
#ifndef OCIBOX_CODEC_H
#define OCIBOX_CODEC_H

#include "libcommon/io.h"

/* ---- hashes: SHA-256 and SHA-512 (FIPS 180-4) ---------------------------------------------------------------------------------------
 * SHA-256 runs on the SHA extensions of x86-64 and ARMv8 where the processor has them (asked once), else on BearSSL's code. */
enum hash_alg { HASH_SHA256, HASH_SHA512 };
enum { HASH_MAX = 64 };
struct hash {
	enum hash_alg alg;
	union {
		struct {
			uint32_t h[8];
			uint64_t n;
			unsigned char block[64];
		} s256;
		uint64_t space[32]; /* room for the library's SHA-512 context */
	} u;
};
void hash_init(struct hash *h, enum hash_alg alg);
void hash_update(struct hash *h, struct span data);
size_t hash_final(struct hash *h, unsigned char out[HASH_MAX]); /* the digest's length: 32 or 64 */
size_t hash_size(enum hash_alg alg);
void hash_once(enum hash_alg alg, struct span data, unsigned char out[HASH_MAX]);
const char *hash_implementation(void); /* "sha-ni", "armv8", "bearssl" */
extern bool hash_portable; /* tests set it to force the fall-back */

/* A pass-through that hashes each window once; read the digest with stream_hash_final after the end. Owns src. The digest of the
 * bytes pulled so far from below, which at the end of the stream is all of it. */
struct stream *stream_hash(struct stream *src, enum hash_alg alg);
size_t stream_hash_final(struct stream *s, unsigned char out[HASH_MAX]);

/*
 * A pass-through that lets exactly size bytes pass which hash to want[hash_size(alg)]: E_TRUNCATED when src ends earlier, E_SIZE when
 * it goes on, E_DIGEST. The last 512 bytes are held back until the digest is known to match. Owns src.
 */
struct stream *stream_verify(struct stream *src, enum hash_alg alg, const unsigned char *want, uint64_t size);
/* From now on the hashing is a chore of c, which must outlive s; nothing happens where s is of another kind. */
void stream_verify_share(struct stream *s, struct crew *c);
/* What makes a crew one that hashes: the argument of its chores is a struct hash. */
void hash_look(void *hash, struct span w);

/* ---- decompression -------------------------------------------------------------------------------------------------------------------------- */
enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD, COMPRESSION_UNKNOWN };
struct decompress_limits {
	uint64_t max_output;      /* bytes; 0: none. E_TOOBIG */
	uint64_t max_ratio;       /* output per input, checked after the first 1 MiB of output; 0: none. E_TOOBIG */
	uint64_t max_zstd_window; /* bytes; 0: 128 MiB, which is also the most */
};
enum compression compression_from_magic(struct span first_bytes);
/*
 * The uncompressed bytes of src. gzip (RFC 1952): all concatenated members, checksums and lengths checked, garbage after the last
 * refused (E_FORMAT; zero padding too). zstd (RFC 8878): all frames, skippable frames passed over, E_UNSUPPORTED where not built in.
 * COMPRESSION_NONE passes through. Truncation is E_TRUNCATED. Owns src. The texts of E_TOOBIG go to *e, which must live as long.
 */
struct stream *stream_decompress(struct stream *src, enum compression c, const struct decompress_limits *lim, struct err *e);

/* ---- compression, format 1 (design section 5): the same bytes on every machine -----------------------------------------------------
 *
 * gzip: members of 1 MiB each, by libdeflate; header without name and time. zstd: frames of 2 MiB each with checksum and size. Each piece stands alone,
 * so that they can be made on all processors (io.h, sink_parallel). */
struct compression_choice {
	enum compression kind;
	int level; /* 0: the usual one */
};
enum { FORMAT_VERSION = 1 };
/* E_UNSUPPORTED where it is not built in, E_USAGE where there is no such level: with a text. */
int compression_check(const struct compression_choice *c, struct err *e);
/* Compresses what is pushed, on that many threads, and pushes it into below, which it owns. Flush it once, at the end. COMPRESSION_NONE is below itself. */
struct sink *sink_compress(struct sink *below, const struct compression_choice *c, unsigned threads);
/* A pass-through that hashes. Owns below. */
struct sink *sink_hash(struct sink *below, enum hash_alg alg);
size_t sink_hash_final(struct sink *s, unsigned char out[HASH_MAX]); /* of what was pushed so far */

/* ---- tar reader ------------------------------------------------------------------------------------------------------------------------------
 * POSIX.1-2017 pax interchange (ustar, x and g records), GNU (L, K, sparse S and GNU.sparse.* 0.0, 0.1, 1.0, base-256), V7.
 * Where PAX and the header disagree PAX wins. A field that does not parse is E_FORMAT; nothing is guessed. */
enum tar_type {
	TAR_FILE,
	TAR_HARDLINK,
	TAR_SYMLINK,
	TAR_CHAR,
	TAR_BLOCK,
	TAR_DIR,
	TAR_FIFO,
};
struct tar_xattr {
	struct span name;  /* "user.x", "security.capability", or "SCHILY.acl.access" forms as tar_entry.acls */
	struct span value;
};
struct tar_time {
	int64_t sec;
	uint32_t nsec;
};
/* Valid until the next tar_next. Names are as in the archive (not cleaned), without NUL, NUL-terminated behind their end. */
struct tar_entry {
	enum tar_type type;
	struct span name;      /* without the trailing slashes of a directory's */
	struct span link;      /* of hard and symbolic links */
	uint32_t mode;         /* 07777 bits */
	uint64_t uid, gid;     /* at most 2^32 - 2 */
	struct span uname, gname;
	struct tar_time mtime;
	bool has_atime;
	struct tar_time atime;
	uint64_t size;         /* of the contents, sparse ones expanded; 0 for all but TAR_FILE */
	uint32_t dev_major, dev_minor;
	const struct tar_xattr *xattrs; /* SCHILY.xattr.* and LIBARCHIVE.xattr.* (decoded) */
	size_t xattrs_n;
	const struct tar_xattr *acls;   /* name: SCHILY.acl.access, SCHILY.acl.default; value: its text form */
	size_t acls_n;
	bool sparse;
	uint64_t offset;       /* of the entry's first header block in the archive */
};
struct tar_limits {
	uint64_t max_entries;    /* 0: none */
	size_t max_name;         /* bytes of a name or link target; 0: 4096 * 4 */
	size_t max_pax;          /* bytes of one PAX record area; 0: 1 MiB */
	size_t max_sparse;       /* regions of one sparse map; 0: 65536 */
	uint64_t max_size;       /* apparent size of one file; 0: none */
	uint64_t max_padding;    /* bytes after the end blocks; 0: 64 MiB */
};
struct tar;
/* A reader on src, which it does not own. e gets the texts. */
struct tar *tar_open(struct stream *src, const struct tar_limits *lim, struct err *e);
/* 1 with *entry set, 0 at the end (the end blocks seen, or clean end of file at a header where nothing is missing), or an error. What was
 * not read of the entry before is skipped. At the end src has been read dry (what follows the end blocks is bounded and ignored). */
int tar_next(struct tar *t, const struct tar_entry **entry);
/* The contents of the present entry: a view, closed by nobody, ends where the entry ends; holes of sparse files come as zeros. */
struct stream *tar_data(struct tar *t);
/* For a reader of raw archives (image streams in regular files): the offset of the present entry's contents in the archive. */
uint64_t tar_data_offset(const struct tar *t);
/* After the end: were there end blocks? A writer that was killed between two entries leaves none. */
bool tar_has_end(const struct tar *t);
void tar_close(struct tar *t);
void tar_closep(struct tar **t);

/* ---- tar writer: headers of format 1 (design section 5); the caller writes contents and padding ------------------------------ */
/* Appends the header blocks of e (PAX records sorted by key only where ustar cannot say it). E_UNSUPPORTED with a text when
 * even PAX cannot say it (an xattr's name with "=" or NUL). */
int tar_header(struct buf *out, const struct tar_entry *e, struct err *err);
size_t tar_padding(uint64_t size); /* zero bytes after contents of that size */
extern const unsigned char tar_zeros[1024]; /* the end of an archive */

/* ---- JSON (RFC 8259), by a library, within limits ---------------------------------------------------------------------------------------- */
struct json; /* a value inside a document; borrowed, lives as long as the document */
struct json_limits {
	size_t max_bytes;   /* 0: 4 MiB */
	size_t max_values;  /* 0: 100,000; counted before anything is parsed */
	unsigned max_depth; /* 0: 64 */
};
/* Parses a whole document: UTF-8 checked, duplicate keys refused, nothing but white space after it. */
int json_parse(struct span text, const struct json_limits *lim, struct json **doc, struct err *e);
void json_free(struct json *doc);
void json_freep(struct json **doc);
/* Look-ups: a NULL v, a missing member and a wrong type all give NULL, false or the default. */
const struct json *json_get(const struct json *v, const char *key);
bool json_is_object(const struct json *v);
bool json_is_array(const struct json *v);
bool json_is_string(const struct json *v);
bool json_is_null(const struct json *v);
bool json_str(const struct json *v, struct span *out);        /* of a string; may hold no NUL (refused by the parser) */
const char *json_cstr(const struct json *v);                  /* the string, or NULL */
bool json_i64(const struct json *v, int64_t *out);
bool json_bool(const struct json *v, bool dflt);
size_t json_len(const struct json *v);                        /* of an array or object; 0 otherwise */
const struct json *json_at(const struct json *v, size_t i);   /* of an array */
/* Iterates an object in the order of the document: for (it = 0; json_next(v, &it, &key, &val); ) */
bool json_next(const struct json *v, void **it, struct span *key, const struct json **val);

/* Values that are changed: what json_clone and json_new_… give is the caller's (json_free) until it is put into another, which takes it. Members and
 * items got from such a value may be changed, too. */
struct json *json_clone(const struct json *v);       /* with all that is in it */
struct json *json_share(const struct json *v);       /* the value itself, in one more place: not to be changed */
struct json *json_edit(struct json *object, const char *key); /* a member that may be changed; NULL where there is none */
struct json *json_new(char kind);                   /* '{' or '[' */
struct json *json_new_str(struct span s);           /* UTF-8 without NUL: else NULL, which stands for null */
struct json *json_new_i64(int64_t n);
struct json *json_new_bool(bool b);
struct json *json_new_null(void);
void json_set(struct json *object, const char *key, struct json *val); /* in the place of the old value, or last */
void json_unset(struct json *object, const char *key);
void json_append(struct json *array, struct json *val);
void json_set_at(struct json *array, size_t i, struct json *val);
void json_unset_at(struct json *array, size_t i);

/* JSON writer: canonical, no white space; members in the order in which they are written. */
struct json_out {
	struct buf b;
	bool comma;
};
void json_out_release(struct json_out *o);
void json_begin(struct json_out *o, char open);              /* '{' or '[' */
void json_end(struct json_out *o, char close);               /* '}' or ']' */
void json_key(struct json_out *o, const char *key);
void json_key_span(struct json_out *o, struct span key);
void json_put_str(struct json_out *o, struct span s);
void json_put_i64(struct json_out *o, int64_t v);
void json_put_bool(struct json_out *o, bool v);
void json_put_null(struct json_out *o);
void json_put(struct json_out *o, const struct json *v);     /* a parsed value, members kept in their order */
void json_put_sorted(struct json_out *o, const struct json *v); /* an object's members by the bytes of their names */
/* First the members of these names that are there, in this order, then all others in theirs. put writes a value where it says true; NULL: none. */
void json_put_ordered(struct json_out *o, const struct json *v, const char *const *names, size_t n,
		      bool (*put)(struct json_out *o, struct span key, const struct json *v));

/* base64 (RFC 4648), as in auth files and challenges: 0 or E_FORMAT */
int base64_decode(struct span s, struct buf *out);
void base64_encode(struct span s, struct buf *out);

#endif
