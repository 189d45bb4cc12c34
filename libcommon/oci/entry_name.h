/* Names of a layer's entries: cleaned, and what they mean. */
#ifndef OCIBOX_OCI_ENTRY_NAME_H
#define OCIBOX_OCI_ENTRY_NAME_H

#include "libcommon/base.h"

/* Without leading or double slashes and dots. */
struct entry_name {
	struct buf path;
	size_t base; /* where the last component begins; path.n 0: the root */
	bool dotdot; /* has ".." inside */
};
/* max_depth 0: 4096. E_TOOBIG, -ENAMETOOLONG. */
int entry_name_set(struct entry_name *n, struct span name, unsigned max_depth, struct err *e);
/* The same with all ".." taken by the letter: each takes away what is before it. */
int entry_name_lexical(struct entry_name *n, struct span name, unsigned max_depth, struct err *e);
const char *entry_name_base(const struct entry_name *n); /* NUL-terminated, "" for the root */
struct span entry_name_parent(const struct entry_name *n);

enum marker { MARKER_NONE, MARKER_WHITEOUT, MARKER_OPAQUE, MARKER_IGNORED };
/* E_FORMAT for names that may not be. */
int entry_name_marker(const struct entry_name *n, enum marker *m, struct err *e);

#endif
