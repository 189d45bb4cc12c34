/* What the two files of the image stream's reader share: the archive as an image (image_archive.c), and its members (archive_members.c). */
#ifndef OCIBOX_OCI_ARCHIVE_H
#define OCIBOX_OCI_ARCHIVE_H

#include <string.h>

#include "libcommon/oci/image.h"

/* A blob that can be read at any time: in the file, or in the spool. */
struct member {
	struct digest digest;
	uint64_t offset, size;
};

struct archive {
	struct image img;
	struct stream *src;
	struct tar *tar;
	struct err tar_err; /* the texts of tar and of what it stands on */
	int fd;		    /* the file, or the spool; -1 where there is none yet */
	bool streaming;
	bool at_end;
	uint64_t base; /* where the archive begins in the file */
	uint64_t spooled, spool_max;
	struct member *members;
	size_t members_n, members_cap;
	struct buf index;
	bool has_index, is_docker_archive;
	struct set64 unwanted; /* keys of documents that were not chosen */
	bool resolved;	       /* the manifest is known */
	struct set64 wanted;   /* then: keys of what it names */
	struct set64 passed;   /* keys of blobs that nobody will ask for */
};

/* The first bytes of a digest name it among honest ones; who makes two alike only spoils his own image. */
static inline uint64_t archive_key(const struct digest *d)
{
	uint64_t key;

	memcpy(&key, d->v, sizeof(key));
	return key;
}

/* Where it can be read at any time, or NULL. */
const struct member *archive_find(const struct archive *a, const struct digest *d);
/* Puts the present member by, the blob d of size bytes. */
int archive_spool(struct archive *a, const struct digest *d, uint64_t size, struct err *e);
/*
 * Goes on to the next member and puts it where it belongs. 1: it is the blob *stop, unread, of
 * *size bytes; 0: another; or E_NOT_FOUND without a text at the end.
 */
int archive_advance(struct archive *a, const struct digest *stop, uint64_t *size, struct err *e);
/* Says what tar, or the stream below it, found wrong; returns code. */
int archive_failed(struct archive *a, int code, struct err *e);

#endif
