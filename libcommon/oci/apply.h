/*
 * What the files of apply share: a run of layers into one directory.
 *
 * Names of the archive become (open parent, last component); everything is done by that descriptor
 * and that one name, and no last component is ever followed.
 */
#ifndef OCIBOX_OCI_APPLY_H
#define OCIBOX_OCI_APPLY_H

#include "libcommon/oci.h"
#include "libcommon/oci/entry_name.h"

/* ---- bytes kept in memory up to a bound, then in a file without a name below the tree
 * ------------------------------ */
enum { SPILL_BUFFER = 64 * 1024 };
struct spill {
	struct buf tail;  /* what is not in the file yet */
	uint64_t on_disk; /* bytes in the file */
	int fd;		  /* -1 while all is in memory */
};
int spill_add(struct spill *s, int dirfd, const void *p,
	      size_t n);	  /* dirfd: where the file is made */
int spill_flush(struct spill *s); /* after this all is in the file, if there is one */
int spill_read(const struct spill *s, uint64_t at, void *p,
	       size_t n); /* after spill_flush; E_IO behind the end */
/* The same through a window, for reading one after the other. */
struct spill_view {
	const struct spill *s;
	struct buf window;
	uint64_t at;
};
int spill_view_read(struct spill_view *v, uint64_t at, void *p, size_t n);
uint64_t spill_size(const struct spill *s);
void spill_release(struct spill *s);

/* ---- what this layer made: names by (inode of the parent, last component)
 * -------------------------------------------- */
enum {
	MADE_RECENT_MAX = 192 * 1024, /* in memory: with the set's load 2 to 4 MiB */
	MADE_RUNS = 128,
	MADE_MAX = MADE_RECENT_MAX * MADE_RUNS, /* more than --max-entries lets pass, if it is not raised */
};
struct made {
	unsigned char key[16]; /* random: an image cannot choose names that collide */
	struct set64 recent;
	struct spill runs;	     /* sorted runs of keys that did not fit */
	uint64_t run_end[MADE_RUNS]; /* in keys */
	size_t runs_n;
};
int made_open(struct made *m);
uint64_t made_key(const struct made *m, ino_t parent, struct span name);
int made_add(struct made *m, int dirfd, uint64_t key);
int made_has(const struct made *m, uint64_t key); /* 1, 0 or an error */
void made_clear(struct made *m);		  /* for the next layer */
void made_release(struct made *m);

/* ---- an open directory into which entries go
 * ------------------------------------------------------------------------------ */
struct parent {
	int fd;	       /* -1: free */
	unsigned refs; /* the cache's own and those of batches under way */
	ino_t ino;
	bool own_gid; /* what is made here gets our group */
};

/* ---- a second thread that writes small files
 * ---------------------------------------------------------------------------------- */
enum {
	BATCH_FILES = 64,
	BATCH_BYTES = 256 * 1024,
	BATCH_PARENTS = 16,
	BATCHES = 4,
	BATCH_FILE_MAX = 64 * 1024, /* larger files are written by the main thread */
};
struct writer;

struct apply {
	int rootfd;
	enum apply_form form;
	struct apply_options o;
	struct err *e;
	struct apply_stats st;
	unsigned layer; /* how many are done */
	uid_t euid;
	gid_t egid;

	union {
		struct entry_name name; /* of the present entry */
		struct {
			struct buf path;
			size_t base;
			bool dotdot;
		};
	};
	struct tar_time implied_mtime;

	/* the last parent */
	struct parent *parent;
	bool parent_stale; /* a directory or symlink went away: its path may lead elsewhere */
	struct buf parent_path;
	struct buf parent_canon; /* where that leads without links, if elsewhere; "."
				    is the root */
	struct parent parents[BATCHES * BATCH_PARENTS + 4];

	struct spill dirs; /* struct dir_record and names, in the order in which they came */
	bool some_modes;   /* a record says that a mode comes last */
	struct made made;
	struct writer *writer;
	unsigned small_run; /* small files in a row: time for a second writer */

	/* overlay forms */
	const int *lowers; /* topmost first */
	size_t lowers_n;
	int (*lowers_wait)(void *arg, struct err *e); /* before they are looked at */
	void *lowers_arg;

	bool root_seen;
	uint32_t root_mode;
	uid_t root_uid;
	gid_t root_gid;
};

/* ---- apply_path.c: names and parents
 * ---------------------------------------------------------------------------------------------- */
/* The present entry: fills path, base. E_UNSAFE_PATH, E_TOOBIG, E_FORMAT. */
int apply_name(struct apply *a, struct span name);
const char *apply_base(const struct apply *a); /* NUL-terminated last component, "" for the root */
/* a->parent for the present entry; parents that are missing are made. */
int apply_parent(struct apply *a);
int apply_parent_if_there(struct apply *a); /* merged form, nothing is made: 1, or 0 */
/* The directory just made or found at the present entry's path becomes the cached parent; fd is
 * taken. */
void apply_enter(struct apply *a, int fd, const struct stat *st);
void apply_forget(struct apply *a); /* a directory or symlink went away */
/* The open parent and the last component of a hard link's target. */
struct target {
	int fd;
	bool borrowed; /* fd is that of a->parent */
	struct buf text;
	const char *name; /* points into text */
};
int apply_target(struct apply *a, struct span target, struct target *t);
void target_release(struct target *t);
void parent_unref(struct parent *p);
/* Says what failed at the present entry. */
int apply_fail(struct apply *a, int code, const char *what);
int apply_fail_errno(struct apply *a, const char *what);

/* ---- apply_meta.c: owners, modes, xattrs, times
 * -------------------------------------------------------------------------------- */
struct node {
	int fd; /* open, or -1: by dirfd and name */
	int dirfd;
	const char *name;
};
int apply_owner(struct apply *a, const struct node *n, uint64_t uid, uint64_t gid);
/* All that e carries. dir: an ACL for what will be made inside is kept for the end. */
int apply_xattrs(struct apply *a, const struct node *n, const struct tar_entry *e, bool dir);
/* Removes what e does not carry from a directory that was there before. */
int apply_clear_xattrs(struct apply *a, int fd, const struct tar_entry *e);
int apply_times(struct apply *a, const struct node *n, const struct tar_entry *e);
uint32_t apply_mode(struct apply *a,
		    const struct tar_entry *e); /* with setid bits as the options have it */
/* An ACL could not be set, for reason r: the error, or 0 where the options let it go. */
int apply_acl_failed(struct apply *a, const struct node *n, int r, struct span acl,
		     const char *name);
int xattr_set(const struct node *n, const char *name, struct span value);
/* Counts a failure that the options ignore and remembers the first. */
void apply_count(struct apply *a, uint64_t *counter);
void apply_count_name(struct apply *a, uint64_t *counter, struct span name);
struct timespec;
void apply_timespec(const struct tar_entry *e, struct timespec ts[2]);

/* ---- apply_acl.c
 * ----------------------------------------------------------------------------------------------------------------------
 */
/* SCHILY.acl.* text into the value of a system.posix_acl_* xattr; names are looked up in the tree.
 * E_FORMAT, E_UNSUPPORTED. */
int acl_from_text(int rootfd, struct span text, struct buf *out, struct err *e);

/* ---- apply_dirs.c: directories, and what is set on them last
 * -------------------------------------------------------------------- */
int apply_put_dir(struct apply *a, const struct tar_entry *e);
int apply_put_root(struct apply *a, const struct tar_entry *e);
/* What waits for the end, by the directory's path and inode number. */
struct dir_note {
	ino_t ino;
	struct tar_time mtime;
	uint32_t mode;
	bool mode_last; /* mode has been lent more than it says */
};
int apply_note_dir(struct apply *a, struct span path, const struct dir_note *d);
int apply_note_acl(struct apply *a, ino_t ino,
		   struct span value); /* of the present entry: its default ACL */
int apply_note_acl_at(struct apply *a, struct span path, ino_t ino, struct span value);
int apply_replay_dirs(struct apply *a);

/* ---- apply_file.c: files, links, nodes
 * -----------------------------------------------------------------------------------------------
 */
struct file_job {
	const struct parent *parent;
	const char *name;
	uint32_t mode;
	uint32_t uid, gid;
	struct timespec *times; /* two */
};
/* Makes the file and gives it its owner; -EEXIST where there is something. The descriptor, or
 * -errno. chown_failed: ignored failure. */
int file_create(const struct apply *a, const struct file_job *j, bool *chown_failed);
/* After the contents, since a new owner and, in a user namespace, every write takes setuid and
 * setgid away. */
int file_seal(const struct apply *a, const struct file_job *j, int fd, bool chown_failed);
int apply_put_file(struct apply *a, const struct tar_entry *e, struct tar *t);
int apply_put_symlink(struct apply *a, const struct tar_entry *e);
int apply_put_hardlink(struct apply *a, const struct tar_entry *e);
int apply_put_node(struct apply *a, const struct tar_entry *e);
/* What is at the present entry's place makes room; *was_dir, for overlays. 0 also where nothing is
 * there. */
int apply_make_room(struct apply *a, const char *name);
int apply_mark(struct apply *a, const char *name); /* this layer made name in a->parent */
/* From src to fd: aligned runs of zeros become holes. */
int file_copy(int fd, struct stream *src, uint64_t size, bool holes);

/* ---- apply_writer.c
 * ------------------------------------------------------------------------------------------------------------------------
 */
int writer_start(struct apply *a);
/* Copies the present entry into a batch; 1 taken, 0 not taken (it is to be written by the caller),
 * or an error of an earlier one. */
int writer_put(struct apply *a, const struct tar_entry *e, struct tar *t);
/* What may be this path, which has no links in it, waits to be written: drain before something else
 * is done to it. */
bool writer_holds(const struct apply *a, struct span path);
bool writer_holds_above(const struct apply *a, struct span path); /* or a beginning of it */
int writer_drain(struct apply *a); /* all is written; 0 or the first error */
void writer_stop(struct apply *a);

/* ---- apply_whiteout.c
 * ----------------------------------------------------------------------------------------------------------------------
 */
/* What the present entry's name means; E_FORMAT for names that may not be. */
int apply_marker(struct apply *a, enum marker *m);
int apply_whiteout(struct apply *a);
/* Removes name in directory fd (of inode ino), or all that is in fd, but what this layer made. */
int apply_remove_lower(struct apply *a, int fd, ino_t ino, const char *name);
int apply_remove_lower_all(struct apply *a, int fd);
int apply_opaque(struct apply *a);

/* ---- apply_view.c: this layer and those below as one tree ---- */
/* One merged directory: its parts, this layer's first; -1 where a layer has none or it is hidden.
 */
struct view {
	struct apply *a;
	int *fd;
	size_t n;
	struct buf canon; /* its path without links */
	unsigned links;
	bool look_only; /* walks make nothing */
};
int view_open(struct view *v, struct apply *a); /* at the root */
void view_release(struct view *v);
/* Goes down along rest, following links; directories that this layer lacks are made like those
 * below. */
int view_walk(struct view *v, struct buf *rest);
/* Opens directory path of this layer, making what is missing or not (-ENOENT); sets parent_canon where
 * links led elsewhere. */
int view_parent(struct apply *a, struct span path, bool make);
/* The first part from `from` on that shows name; -ENOENT also where a whiteout hides it. */
int view_look(const struct view *v, const char *name, size_t from, struct stat *st);
const char *overlay_opaque_name(const struct apply *a);
int overlay_copy_xattrs(struct apply *a, int from, int to, struct span path, ino_t ino);
struct tar_time overlay_mtime(const struct stat *st);

/* ---- apply_overlay.c: one directory a layer
 * ------------------------------------------------------------------------------------------ */
bool apply_is_whiteout(const struct stat *st);
/* Hides name in the present entry's parent. */
int overlay_whiteout(struct apply *a, const char *name);
int overlay_mark_opaque(struct apply *a, int fd);
int overlay_opaque(struct apply *a); /* the present entry's parent */
/* t->text is the target. What lies below is copied up. */
int overlay_link_target(struct apply *a, struct target *t);
int overlay_root(struct apply *a); /* a root that this layer did not mention: as below */

#endif
