/*
 * What the two ways of fetching blobs share.
 */
#ifndef OCIBOX_REGISTRY_FETCH_H
#define OCIBOX_REGISTRY_FETCH_H

#include "libcommon/registry.h"

/* Records in e that the blob d failed with code, as why has it. Returns code. */
int fetch_fault(const struct descriptor *d, int code, const struct err *why, struct err *e);

#endif
