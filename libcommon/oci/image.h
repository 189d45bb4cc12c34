/* An opened image: what its three carriers (layout, stream file, stream) have in common. */
#ifndef OCIBOX_OCI_IMAGE_H
#define OCIBOX_OCI_IMAGE_H

#include "libcommon/oci.h"

struct image_ops {
	/* The bytes of a document, verified; d->size has been found to be within bounds. */
	int (*load)(struct image *img, const struct descriptor *d, struct buf *out, struct err *e);
	int (*blob)(struct image *img, const struct descriptor *d, struct stream **out,
		    struct err *e);
	int (*finish)(struct image *img, struct err *e);
	void (*close)(struct image *img); /* all but struct image's own members; frees img */
	/* Where the bytes of a blob are, in a file; NULL without random access. */
	int (*file)(struct image *img, const struct descriptor *d, int *fd, uint64_t *offset,
		    struct err *e);
	void (*pass_over)(struct image *img, const struct digest *d); /* may be NULL */
	/* Tells, before the next load, that these will not be asked for; may be NULL. */
	void (*unwanted)(struct image *img, const struct descriptor *d, size_t n, size_t but);
	bool random_access;
};

struct image {
	const struct image_ops *ops;
	struct document manifest;
	struct config config;
	bool has_config;
	char *ref_name;
	struct digest top; /* of what index.json names */
	bool whole; /* then docs are all that there are, and manifest and config are none */
	struct document **docs;
	size_t docs_n;
	struct blob_stats stats;
	bool inflated; /* the layer that was opened last */
};

/* Chooses from index.json by the options, and loads the manifest and its config. */
int image_resolve(struct image *img, const struct document *index, const struct image_options *o,
		  struct err *e);
/* Do the bytes have the size and digest of d? */
int image_check_bytes(struct span bytes, const struct descriptor *d, struct err *e);
/* index.json, whose bytes are taken. */
int image_parse_index(struct buf *raw, struct document *index, struct err *e);

#endif
