/*
 * The parts of diff, which reads a tree into a layer (format 1): directories as overlayfs merges them (diff_tree.c), their names in order
 * (diff_names.c), extended attributes (diff_xattr.c), the tree before (diff_before.c), what differs (diff_compare.c), hard links (diff_links.c),
 * entries of the archive (diff_put.c), and the walk (diff.c).
 */
#ifndef OCIBOX_OCI_DIFF_H
#define OCIBOX_OCI_DIFF_H

#include <sys/stat.h>

#include "libcommon/oci.h"
#include "libcommon/oci/pages.h"

/* ---- names: those of one directory, each once, by their bytes ---- */
enum name_kind { NAME_ENTRY, NAME_WHITEOUT, NAME_SOCKET };
struct names;
struct names_source {
	int (*list)(void *arg, struct names *n); /* calls names_add for each; asked again and again for directories that are too large */
	void *arg;
};
struct name_ref {
	uint32_t at; /* in the arena */
	uint16_t order;
	uint16_t kind;
};
struct names {
	struct names_source src;
	struct buf arena;
	struct name_ref *v;
	size_t n, cap, pos;
	size_t limit;       /* of the arena */
	char *above, *upto; /* what the present chunk holds: names after `above`, up to `upto`; NULL: no bound */
	bool keep_whiteouts;
};
/* keep_whiteouts: they are told and hide nothing; else a name that a whiteout hides is not there. */
int names_open(struct names *n, struct names_source src, bool keep_whiteouts);
int names_next(struct names *n, const char **name, enum name_kind *kind); /* 1, or 0 at the end */
int names_rewind(struct names *n);
void names_release(struct names *n);
size_t names_memory(const struct names *n);
/* Gives it back: the directory is read again for the names that follow. */
void names_park(struct names *n);
/* For list(). order: of two of the same name the lower one counts. */
void names_add(struct names *n, const char *name, unsigned order, enum name_kind kind);

/* ---- tree: a directory, or several as overlayfs merges them, topmost first; walked from directory to directory ---- */
struct tree_slot {
	int fd; /* TREE_ABSENT, TREE_CLOSED: opened again by its path when it is needed */
	bool opaque;
	dev_t dev;
	ino_t ino;
};
enum { TREE_ABSENT = -1, TREE_CLOSED = -2 };
struct tree {
	const char *label; /* which of the trees, in messages */
	unsigned n;
	enum overlay_marks marks; /* but for MARKS_NONE whiteouts and opaque marks mean what they mean there */
	bool first_only;   /* names of the first directory only */
	struct tree_slot *slots; /* n a level */
	size_t *paths;           /* a level's length of path */
	size_t depth, cap;       /* levels; the present one is depth - 1 */
	size_t oldest;           /* level that may have open descriptors, but the root */
	unsigned open_n;
	struct buf path;         /* of the present directory: "a/b" */
	unsigned which;          /* the directory that tree_look found the name in */
	struct err *e;
};
/* Takes copies of the descriptors. */
int tree_open(struct tree *t, const int *roots, unsigned n, struct err *e);
/* Refuses a file of which overlayfs keeps the contents elsewhere. */
int tree_check_file(struct tree *t, int fd, const char *name);
/* Refuses a file of the topmost directory that may have names which are not shown there. */
int tree_check_links(struct tree *t, int fd, const char *name);
void tree_release(struct tree *t);
int tree_look(struct tree *t, const char *name, struct stat *st); /* 1, 0: not there */
/* Into directory name: 1; or 0, it is none, and the present one is then empty. Each is left again. */
int tree_enter(struct tree *t, const char *name);
void tree_leave(struct tree *t);
bool tree_present(const struct tree *t);
bool tree_opaque(const struct tree *t); /* the first directory's own hides what is below */
int tree_dirfd(struct tree *t, unsigned which);
int tree_topfd(struct tree *t, size_t level); /* the directory of that level whose metadata count */
struct names_source tree_names(struct tree *t);
int tree_fail(struct tree *t, int code, const char *name, const char *what);

/* ---- extended attributes that belong into a layer, by name ---- */
struct xattrs {
	struct buf arena;
	struct tar_xattr *v;
	size_t n, cap;
};
void xattrs_release(struct xattrs *x);
/* Of name in dirfd (never followed), or of fd where name is NULL. path is for messages. */
int xattrs_read(int dirfd, const char *name, const char *path, struct xattrs *x, struct err *e);
bool xattrs_equal(const struct xattrs *a, const struct xattrs *b);
/* Overlayfs's mark of that kind (MARKS_TRUSTED or MARKS_USER), of name in dirfd or of dirfd: there? A value of one letter goes to *value, else 0. */
bool overlay_mark(int dirfd, const char *name, enum overlay_marks kind, const char *mark, char *value);

/* One by one, then sorted. What does not belong into a layer is left out. */
void xattrs_add(struct xattrs *x, struct span name, struct span value);
void xattrs_done(struct xattrs *x);

/* ---- before ---- */
struct diff;
enum { TIME_UNKNOWN = -1 }; /* nanoseconds of a time that nobody has said */
struct before_ops {
	int (*enter)(struct before *b, const char *name); /* as tree_enter; -errno, E_ */
	void (*leave)(struct before *b);
	bool (*present)(struct before *b);
	struct names_source (*names)(struct before *b);
	/* In the present directory; "." is the directory itself. */
	int (*look)(struct before *b, const char *name, struct stat *st);
	int (*target)(struct before *b, const char *name, struct buf *out); /* of a symlink */
	int (*xattrs)(struct before *b, const char *name, struct xattrs *x);
	int (*same)(struct before *b, const char *name, int fd, uint64_t size); /* contents equal those of fd: 1, 0 */
	/* The directories that it is made of, or NULL. */
	struct tree *(*dirs)(struct before *b);
	/* Where there are none: shown() of each name of a file that has several. */
	int (*linked)(struct before *b, int (*shown)(struct diff *d, struct span path, const struct stat *st), struct diff *d);
	void (*close)(struct before *b);
};
struct before {
	const struct before_ops *ops;
	struct err *e;
	uint64_t read, hashed; /* bytes of contents that were looked at */
};

/* ---- hard links: the names of one inode ---- */
struct links {
	struct pages pages; /* a table of groups */
	uint32_t n, cap;
	struct extras names;
	uint64_t *devs;
	uint32_t devs_n, dev; /* the last that was asked for, + 1 */
};
void links_release(struct links *l);
/*
 * A name of a file, which had inode was before (NULL: it differs from what was there). That inode itself, st being was: a name that shows
 * through an upper directory from below.
 */
int links_survey(struct links *l, const struct stat *st, const struct stat *was);
/* After all names: which groups changed. 1 where one is unseen. all: the names that show through were told, too. */
int links_resolve(struct links *l, bool all);
/* What the survey says of the file's group: 1; or 0: it saw none. */
struct links_found {
	bool changed;
	bool unseen; /* of the inode before there may be names that were not looked at */
};
int links_find(struct links *l, const struct stat *st, struct links_found *out);
/* The name of the file that was written first: 1; or 0: that is this one. */
int links_first(struct links *l, const struct stat *st, struct span name, struct buf *first);

/* ---- the difference ---- */
struct diff_level {
	struct stat st;
	struct names names;
	size_t path;   /* length of the path of this directory */
	size_t memory; /* of the names, as it is part of the sum */
	bool written;
	bool opaque;       /* of an upper directory: nothing of what is below shows, neither here nor in what it holds */
};
struct diff {
	struct tree after;
	struct before *before;
	const struct diff_options *o;
	struct sink *out;
	struct diff_stats *stats;
	struct err *e;
	struct buf path;   /* of the entry at hand, from DIR */
	struct buf header;
	struct links links;
	struct diff_level *level;
	size_t depth, cap;
	size_t memory;     /* of the names of all levels */
	enum { WRITE, SURVEY, REFUSE_UNSEEN } pass; /* but for WRITE nothing is written: links are looked at */
	bool in_contents;  /* of an entry, and some are still to come */
	bool upper;        /* after is an upper directory: what it does not hold is unchanged */
	unsigned char *buffer;
};
enum { DIFF_BUFFER = 256 * 1024 };

/* A fault of the entry at d->path. */
int diff_fail(struct diff *d, int code, const char *what);
/* The error of a call on what was seen there a moment ago: where it says that this is another thing now, E_TRY_LATER. */
int diff_raced(struct diff *d, int error);
bool is_raced(int error);
/* Does the present directory's name differ from before? 1, 0. dirfd holds it; fd is open where it is a regular file. */
int diff_changed(struct diff *d, int dirfd, const char *name, const struct stat *st, int fd);
/* The same of a regular file; but files with several names are as links_resolve found them. */
int diff_file_changed(struct diff *d, int dirfd, const char *name, const struct stat *st, int fd);
/* Has the file several names, or had it? Then it is compared, and told to links_survey. */
int diff_survey_file(struct diff *d, int dirfd, const char *name, const struct stat *st);
/* An error where it is of a group that is unseen. */
int diff_refuse_unseen(struct diff *d, const struct stat *st);
/* What became of d->links. */
int diff_links_fail(struct diff *d, int code);
/* The present directory's file, which was seen as st: fd, or an error. */
int diff_open_file(struct diff *d, int dirfd, const char *name, struct stat *st);

/* Writes the directories above d->path that are not written yet. */
int diff_put_parents(struct diff *d);
/* An entry that is only a name: ".wh.…" in the present directory. */
int diff_put_mark(struct diff *d, const char *front, const char *name);
/* The entry at d->path, its parents before it. fd: of a regular file or directory, else -1. */
int diff_put_entry(struct diff *d, int dirfd, const char *name, const struct stat *st, int fd);

#endif
