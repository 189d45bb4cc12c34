/*
 * What the files of the way to a registry share: one blob's upload, and an image's.
 */
#ifndef OCIBOX_REGISTRY_PUSH_H
#define OCIBOX_REGISTRY_PUSH_H

#include "libcommon/registry/internal.h"

/* ---- upload.c: one blob ---- */
struct upload {
	struct registry *r;
	struct endpoint *p;
	const struct descriptor *d;
	struct meter *m;
	struct push_stats *stats;
	uint64_t chunk; /* bytes of a PATCH; 0: all in one piece */
	int fd;		/* its bytes lie in a file, from offset on */
	uint64_t offset;
	bool verified; /* they are known to be right */

	/* private */
	struct url at; /* the session: where the next request goes; target is NULL without one */
	uint64_t pos;  /* how much the registry has of it */
	uint64_t min_chunk;
	struct hash hash;
	uint64_t hashed_to;
	unsigned attempts, faults;
	uint64_t last_fault;
	bool tried_chunks;
};
/* Is the blob there? 1, 0, or an error. */
int upload_exists(struct upload *u, struct err *e);
/* Asks to take it over from another repository of the registry. 1: done; 0: no, and a session may
 * be open now. */
int upload_mount(struct upload *u, const char *from, struct err *e);
/* Sends it, going on where it was cut. On failure nothing of it is visible. */
int upload_send(struct upload *u, struct err *e);
void upload_release(struct upload *u);

/* ---- referrers.c ---- */
/* The registry has the manifest of these bytes, but did not say that it knows of subjects: the
 * index under the fall-back tag is told of it. */
int referrers_note(struct registry *r, const struct document *doc, struct err *e);
/* What refers to a digest, as the registry lists it; not more than max. */
struct referrer {
	struct descriptor d;
	char *json; /* the descriptor as it was */
};
int referrers_list(struct registry *r, const struct digest *subject, const char *type, size_t max,
		   struct referrer **out, size_t *n, struct err *e);
void referrers_free(struct referrer *v, size_t n);
/* PUT of a manifest or index. *knows_subject: it will be listed as a referrer. */
int registry_put_document(struct registry *r, const struct document *doc, const char *name,
			  bool *knows_subject, struct err *e);

#endif
