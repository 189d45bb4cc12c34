/*
 * What the two ways of fetching blobs share.
 */
#ifndef OCIBOX_REGISTRY_FETCH_H
#define OCIBOX_REGISTRY_FETCH_H

#include "libcommon/registry.h"

/* Records in e that the blob d failed with code, as why has it. Returns code. */
int fetch_fault(const struct descriptor *d, int code, const struct err *why, struct err *e);

/* ---- fetch_stream.c and fetch_layout.c; what registry.h says of errors holds here, too ---- */
struct fetch;
/* Blobs that are handed out in order, while later ones arrive in unlinked files. */
struct fetch *fetch_open(struct registry *r, const struct descriptor *blobs, size_t n, const struct fetch_options *o);
/* The next blob, verified as it passes (stream_verify); closed by the caller before the next. e must live as long as the stream. */
int fetch_next(struct fetch *f, struct stream **out, struct err *e);
void fetch_close(struct fetch *f); /* after the last blob */
/* Blobs into a layout, in any order; those that it holds are left alone (METER_EXISTS). A partial of an earlier run is gone on with. */
int fetch_to_layout(struct registry *r, const struct layout *l, const struct descriptor *blobs, size_t n,
		    const struct fetch_options *o, struct err *e);

#endif
