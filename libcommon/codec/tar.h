/*
 * The parts of the tar reader: blocks (tar_header.c), PAX records (tar_pax.c), sparse maps and their
 * contents (tar_sparse.c), and what leads from entry to entry (tar.c).
 */
#ifndef OCIBOX_CODEC_TAR_H
#define OCIBOX_CODEC_TAR_H

#include "libcommon/codec.h"

enum { TAR_BLOCK_SIZE = 512, TAR_XATTRS_MAX = 1024 };

/* Where the fields of a header are. */
enum {
	H_NAME = 0, H_MODE = 100, H_UID = 108, H_GID = 116, H_SIZE = 124, H_MTIME = 136, H_CHECKSUM = 148,
	H_TYPE = 156, H_LINK = 157, H_MAGIC = 257, H_UNAME = 265, H_GNAME = 297, H_MAJOR = 329, H_MINOR = 337,
	H_PREFIX = 345, H_GNU_ATIME = 345, H_GNU_SPARSE = 386, H_GNU_EXTENDED = 482, H_GNU_REALSIZE = 483,
	H_STAR_MAGIC = 508,
};

enum tar_format { FORMAT_V7, FORMAT_USTAR, FORMAT_STAR, FORMAT_GNU };

struct xattr_list {
	struct tar_xattr *v;
	size_t n, cap;
};

/* What the records of a PAX header say. The spans are in the memory of the header they came from. */
struct tar_pax {
	unsigned has; /* bits of enum pax_field */
	struct span path, link, uname, gname;
	uint64_t size, uid, gid;
	struct tar_time mtime, atime;
	uint64_t sparse_major, sparse_minor, sparse_size;
	struct span sparse_name, sparse_map;
	struct xattr_list xattrs, acls;
};
enum pax_field {
	PAX_PATH = 1 << 0, PAX_LINK = 1 << 1, PAX_UNAME = 1 << 2, PAX_GNAME = 1 << 3, PAX_SIZE = 1 << 4,
	PAX_UID = 1 << 5, PAX_GID = 1 << 6, PAX_MTIME = 1 << 7, PAX_ATIME = 1 << 8,
	PAX_SPARSE_MAJOR = 1 << 9, PAX_SPARSE_MINOR = 1 << 10, PAX_SPARSE_SIZE = 1 << 11,
	PAX_SPARSE_NAME = 1 << 12, PAX_SPARSE_MAP = 1 << 13,
	PAX_SPARSE_OTHER = 1 << 14, /* GNU.sparse.offset and its like of version 0.0 */
};
#define PAX_SPARSE (PAX_SPARSE_MAJOR | PAX_SPARSE_MINOR | PAX_SPARSE_SIZE | PAX_SPARSE_NAME | PAX_SPARSE_MAP | PAX_SPARSE_OTHER)

struct tar_region {
	uint64_t offset, length;
};

/* The area of a global header: what it says holds until the end. */
struct tar_global {
	struct tar_global *next;
	unsigned char area[];
};

struct tar {
	struct stream data; /* the view of the present entry's contents */
	struct stream *src;
	struct tar_limits lim;
	struct err *err;
	int failed;         /* sticky */
	bool ended;
	bool end_seen;      /* and there were end blocks */
	uint64_t start;     /* src->offset of the archive's first byte */
	uint64_t entries;
	struct tar_entry entry;

	uint64_t left;      /* bytes of the entry that src has not given up yet, those lent included */
	size_t padding;     /* that follows them */
	size_t lent;        /* bytes of src's window that data's reader has */
	uint64_t data_offset;

	uint64_t at;        /* of a sparse file: how much of it data's reader was shown */
	struct tar_region *regions;
	size_t regions_n, regions_cap, region;
	bool offset_pending; /* version 0.0: an offset waits for its length */

	bool has_local, has_long_name, has_long_link;
	struct tar_pax local, global;
	struct buf area, long_name, long_link;
	struct tar_global *globals;
	size_t globals_bytes;

	const unsigned char *block; /* the header: in src's window, or in buffer; until the next read of src */
	unsigned char buffer[TAR_BLOCK_SIZE];
	unsigned char name[257], link[101], uname[33], gname[33];
};

/* Sets the sticky error, with a text that begins with where in the archive it is. Returns code. */
int tar_fail(struct tar *t, int code, const char *fmt, ...) _printf_(3, 4);

/* ---- tar_header.c ---- */
enum { BLOCK_BAD, BLOCK_ZERO, BLOCK_HEADER };
int tar_block_kind(const unsigned char *block);
enum tar_format tar_block_format(const unsigned char *block);
/* A number field: octal, or base-256 where its first bit is set. Empty is 0. E_FORMAT. */
int tar_number(const unsigned char *p, size_t n, int64_t *out);
/* The entry as the header block and the PAX records say it; size is that of the contents in the archive. */
int tar_decode(struct tar *t);

/* ---- tar_pax.c ---- */
/* Takes the records of area (which it cuts with NULs) into p. */
int tar_pax_parse(struct tar *t, unsigned char *area, size_t n, struct tar_pax *p, bool global);
void tar_pax_reset(struct tar *t); /* local becomes what global says */

/* ---- tar_sparse.c ---- */
int tar_region_add(struct tar *t, uint64_t offset, uint64_t length);
/* Reads the maps that come with the header; then entry.size is the expanded one. */
int tar_sparse_gnu(struct tar *t);
int tar_sparse_pax(struct tar *t);
extern const struct stream_ops tar_sparse_ops;

#endif
