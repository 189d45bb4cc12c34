/* What the files of the listing share: a tree of names and inodes on pages. */
#ifndef OCIBOX_OCI_LISTING_H
#define OCIBOX_OCI_LISTING_H

#include "libcommon/oci/entry_name.h"
#include "libcommon/oci/name_tree.h"

enum { ROOT_INODE = 0, LAYER_NONE = UINT32_MAX };

struct inode {
	uint64_t size;
	int64_t sec;
	uint64_t entry;
	uint64_t extra;	   /* where in the extras the link's target and then the xattrs are */
	uint64_t contents; /* where in the spool */
	uint32_t nsec;
	uint32_t mode, uid, gid;
	uint32_t dev_major, dev_minor;
	uint32_t nlink;
	uint32_t up;		   /* of a directory: the one above */
	uint32_t link_n, xattrs_n; /* bytes */
	uint32_t layer;
	uint8_t type;
	uint8_t implied; /* enum implied */
	bool opaque, has_digest;
	unsigned char sha256[32];
	uint64_t first; /* where in the extras the first name is, + 1; 0: not known yet */
};
/* A directory that no entry names: it stands on the way to an entry, or to a whiteout alone. */
enum implied { IMPLIED_NOT, IMPLIED, IMPLIED_BY_WHITEOUT };
enum { INODES_PER_PAGE = PAGE_BYTES / 128 };
_Static_assert(sizeof(struct inode) == 128, "so that they fill pages");

struct listing_level {
	uint32_t dir;
	size_t path_n; /* of its path */
};

struct listing {
	struct listing_options o;
	struct listing *below; /* once it is known */
	struct err *e; /* while it is filled */
	struct pages pages;
	struct name_tree names;
	uint32_t *inode_pages;
	uint32_t inodes_n;
	struct extras extras;

	/* the layer that is being applied */
	uint32_t layer;
	uint64_t entry; /* of the layer */
	uint64_t entries, bytes;
	struct entry_name name;
	const struct tar_entry *te;
	struct buf parent_path; /* the last parent, as its name was written */
	uint32_t parent;
	bool has_parent;
	struct buf xattrs; /* as they are kept */

	int spool;
	uint64_t spooled;

	/* the entry that came last */
	struct listing_level *levels;
	size_t levels_n, levels_cap;
	bool begun, descend;
	uint32_t down_to; /* the directory to descend into */
	struct name_key at;
	struct buf path, extra, first;
	struct listing_entry entry_out;
	struct inode inode_out;
	struct tar_xattr *xattrs_out;
	size_t xattrs_cap;
};

/* Says what is wrong at the present entry. */
int listing_fail(struct listing *l, int code, const char *what);

/* ---- listing_tree.c ---- */
uint32_t inode_new(struct listing *l);
/* Its record; stays where it is until PAGES_PINNED other pages were asked for. */
struct inode *inode_at(struct listing *l, uint32_t inode, bool write);
/* The entry name in dir. False where there is none. */
bool listing_look(struct listing *l, uint32_t dir, struct span name, struct name_value *v);
void listing_link(struct listing *l, uint32_t dir, struct span name, uint32_t inode,
		  uint32_t layer);
/* Removes name in dir with all that is in it: of any layer, or but what this layer made. */
void listing_drop(struct listing *l, uint32_t dir, struct span name, bool any_layer);
void listing_drop_inside(struct listing *l, uint32_t dir, bool any_layer);

/* ---- listing_path.c ---- */
/*
 * The directory that the present entry is in: it, with those on the way, is made where it is missing,
 * unless make is IMPLIED_NOT: -ENOENT. -ENOTDIR, -ELOOP. May change the name by its "..".
 */
int listing_parent(struct listing *l, enum implied make, uint32_t *dir);
/* The inode of a hard link's target. -ENOENT, -ENOTDIR, -ELOOP; -EISDIR. */
int listing_target(struct listing *l, struct span text, uint32_t *inode);

/* ---- listing_meta.c ---- */
/* What the present entry says of itself into *n; l->xattrs too. */
int listing_meta(struct listing *l, struct inode *n);
/* Of bytes as listing_meta() made them. */
size_t listing_xattrs(struct listing *l, struct span bytes);

/* ---- listing_entry.c ---- */
int listing_put(struct listing *l, const struct tar_entry *e, struct tar *t);

#endif
