/* A tree on pages: (directory, kind, name) leads to an inode, in the order of the bytes of that. */
#ifndef OCIBOX_OCI_NAME_TREE_H
#define OCIBOX_OCI_NAME_TREE_H

#include "libcommon/oci/pages.h"

enum name_kind { NAME_WHITEOUT, NAME_ENTRY };
enum { NAME_MAX_BYTES = 255, NAME_KEY_MAX = 4 + 1 + NAME_MAX_BYTES };
struct name_value {
	uint32_t inode;
	uint32_t layer; /* that made the name */
};
struct name_key {
	size_t n;
	unsigned char b[NAME_KEY_MAX];
};
struct name_tree {
	struct pages *p;
	uint32_t root;
};
void name_key(struct name_key *k, uint32_t dir, enum name_kind kind, struct span name);
uint32_t name_key_dir(const struct name_key *k);
enum name_kind name_key_kind(const struct name_key *k);
struct span name_key_name(const struct name_key *k);
void nametree_init(struct name_tree *t, struct pages *p);
bool nametree_get(struct name_tree *t, const struct name_key *k, struct name_value *out);
void nametree_put(struct name_tree *t, const struct name_key *k,
		  struct name_value v); /* new or not */
void nametree_remove(struct name_tree *t, const struct name_key *k);
/* The first key behind *k, which becomes it. False at the end. */
bool nametree_next(struct name_tree *t, struct name_key *k, struct name_value *out);

#endif
