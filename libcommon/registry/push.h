/*
 * What the files of the way to a registry share: one blob's upload, and an image's.
 */
#ifndef OCIBOX_REGISTRY_PUSH_H
#define OCIBOX_REGISTRY_PUSH_H

#include "libcommon/registry/internal.h"

/* ---- session.c: uploads that the registry holds open ---- */
struct session {
	struct url at; /* where the next request goes; written by its upload's thread alone */
	struct session *next;
};
struct sessions {
	struct registry *r;
	pthread_mutex_t lock;
	struct session *first;
};
void sessions_init(struct sessions *s, struct registry *r);
/* Takes *to; s may be NULL: then it is a new one. */
struct session *session_move(struct sessions *all, struct session *s, struct url *to);
void session_forget(struct sessions *all, struct session *s);
/* Asks the registry to forget them all, within two seconds; nothing else is asked of it after that.
 * < 0: threads are still at it. */
int sessions_cancel(struct sessions *all);
void sessions_release(struct sessions *s);

/* ---- upload.c: one blob ---- */
struct pushing { /* what the uploads of one push share */
	struct sessions sessions;
	_Atomic bool stop;
	_Atomic bool in_chunks; /* the registry takes no blob in one request */
	_Atomic uint64_t most;	/* bytes that it takes in one, as far as that is known; or 0 */
};
struct upload {
	struct pushing *common;
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
	struct session *s; /* or NULL */
	uint64_t pos;	   /* how much the registry has of it */
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
 * be open now. *denied: that repository is not for us. */
int upload_mount(struct upload *u, const char *from, bool *denied, struct err *e);
/* "0-LAST" of a Range field: bytes that are there, or false. Of "0-0" it cannot be said whether there
 * is one or none. */
bool upload_range(struct span s, uint64_t *end);
/* Sends it, going on where it was cut. On failure nothing of it is visible. */
int upload_send(struct upload *u, struct err *e);

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
struct referrers { /* as they are listed: at most max, those of type alone where it is given */
	const char *type;
	size_t max, n;
	struct referrer *v;
	uint64_t bytes;
};
/* One page of a list, or the index under the fall-back tag. */
int referrers_add(struct referrers *l, struct span text, struct err *e);
/* That index with one more, doc: of what it held (or NULL) everything stays. */
int referrers_with(const struct json *old, const struct document *doc, struct document *out,
		   struct err *e);
/* PUT of a manifest or index. *knows_subject: it will be listed as a referrer. if_match: an ETag, or
 * "" for nothing, that must be there now, else -EAGAIN; or NULL. */
int registry_put_document(struct registry *r, const struct document *doc, const char *name,
			  const char *if_match, bool *knows_subject, struct err *e);

#endif
