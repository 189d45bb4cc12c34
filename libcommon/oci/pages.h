/*
 * Pages of memory, as many as are asked for, of which a bounded number stay in memory: the others
 * lie in an unlinked file. And on them a tree of directory entries and a table of inodes.
 */
#ifndef OCIBOX_OCI_PAGES_H
#define OCIBOX_OCI_PAGES_H

#include "libcommon/oci.h"

enum { PAGE_BYTES = 4096, PAGES_PINNED = 16 };

/* Errors are sticky: after one, pages are zero and err says it. */
struct pages {
	int err;
	int fd; /* -1: all are in memory */
	uint32_t n;
	uint32_t *frame_of; /* by page: its frame + 1, 0 where it is in the file */
	size_t cap;
	struct frame *frames;
	size_t frames_n, frames_max, hand;
	uint64_t asked; /* how often a page was asked for */
	unsigned char *scratch;
};
void pages_init(struct pages *p, size_t memory);
void pages_release(struct pages *p);
uint32_t page_new(struct pages *p); /* zeroed; the first is page 0 */
/* Its bytes, which stay where they are until PAGES_PINNED others were asked for. */
unsigned char *page_at(struct pages *p, uint32_t page, bool write);

/* ---- names: (directory, kind, name) leads to an inode, in the order of the bytes of that ---- */
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
