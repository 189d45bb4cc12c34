/*
 * io: streams, sinks, threads, files, the path walker, spools, child processes, counters.
 *
 * Sees base. It alone makes threads and files.
 */
#ifndef OCIBOX_IO_H
#define OCIBOX_IO_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "libcommon/base.h"

/* ---- stream: bytes that are pulled ---------------------------------------------------------------------------------------------
 *
 * The reader looks at a window (peek) and drops what it used (skip). A stream stands on another: fd, TLS, HTTP
 * body, hashing pass-through, inflate, tar member. Closing the top closes all below (a stream owns the one it stands on, except
 * where a constructor says "view"). Errors are sticky: after one, every window is empty and err holds it: read on, check once.
 *
 * To make a kind of stream, embed struct stream as the first member and set ops. fill() is called only when the
 * window is empty, and either sets s->pos/s->end to at least one byte, or leaves them equal and sets s->eof, or s->err.
 * Windows may be up to STREAM_WINDOW bytes and more; they stay valid until the next fill or close.
 */
enum { STREAM_WINDOW = 256 * 1024 };

struct stream;
struct stream_ops {
	void (*fill)(struct stream *s);
	void (*close)(struct stream *s); /* releases what s owns, s itself included; may be NULL */
	/* Optional: drops up to n bytes beyond the (empty) window without making them visible (lseek); returns how many it dropped. */
	uint64_t (*drop)(struct stream *s, uint64_t n);
	/* Optional: instead of fill, up to n bytes (at least one; 0 at the end, having set eof or err) straight into the caller's memory, so that a
	 * read-ahead ring costs no copy. Called only while the window is empty. */
	size_t (*pull)(struct stream *s, unsigned char *buf, size_t n);
};
struct stream {
	const unsigned char *pos, *end; /* the window */
	const struct stream_ops *ops;
	uint64_t offset;                /* bytes skipped so far */
	int err;                        /* sticky: 0, -errno or E_ */
	bool eof;
};

/* The window; empty at the end or after an error. Blocks until there is at least one byte. */
static inline struct span stream_peek(struct stream *s);
/* Drops n bytes of the window; n is at most its length. */
static inline void stream_skip(struct stream *s, size_t n)
{
	if (n) /* the empty window may be NULL */
		s->pos += n;
	s->offset += n;
}
struct span stream_fill(struct stream *s); /* slow half of peek */
static inline struct span stream_peek(struct stream *s)
{
	if (s->pos != s->end)
		return (struct span){ s->pos, (size_t)(s->end - s->pos) };
	return stream_fill(s);
}
/* Up to n bytes (at least one) into buf by the shortest way: pull where the stream has it; 0 at the end or after an error. */
size_t stream_pull(struct stream *s, void *buf, size_t n);
/* Copies up to n bytes; fewer only at the end. The count, or the sticky error. */
ssize_t stream_read(struct stream *s, void *buf, size_t n);
/* Exactly n bytes, else E_TRUNCATED (also where nothing is left) or the sticky error. */
int stream_read_exact(struct stream *s, void *buf, size_t n);
/* Drops n bytes; E_TRUNCATED when there are fewer. */
int stream_discard(struct stream *s, uint64_t n);
/* Drops all; 0 or the sticky error. */
int stream_drain(struct stream *s);
/* Appends everything to b; E_TOOBIG when it is more than max. */
int stream_read_all(struct stream *s, size_t max, struct buf *b);
/* 0, or the sticky error. */
static inline int stream_error(const struct stream *s)
{
	return s->err;
}
void stream_fail(struct stream *s, int code); /* for implementors: empties the window, sets the error once */
void stream_close(struct stream *s);          /* NULL is fine */
void stream_closep(struct stream **s);

/* From a descriptor, which it owns when own_fd; reads of STREAM_WINDOW; enlarges a pipe to 1 MiB where allowed. */
struct stream *stream_from_fd(int fd, bool own_fd);
/* From length bytes at offset of a file, by pread: the descriptor's position is neither used nor moved; never owns fd. */
struct stream *stream_from_file(int fd, uint64_t offset, uint64_t length);
struct stream *stream_from_span(struct span s); /* borrowed bytes must outlive it */
struct stream *stream_from_buf(struct buf *b);  /* takes the bytes; b becomes empty */
/* Exactly length bytes of src: E_TRUNCATED if src ends earlier. With own it owns src. */
struct stream *stream_limit(struct stream *src, uint64_t length, bool own);
/* Moves all below src to a thread of its own, with a ring of windows bytes in `ring` (rounded up; 0: 1 MiB); at
 * most one wake-up per window. Owns src. Where no thread can be had it is src itself. */
struct stream *stream_readahead(struct stream *src, size_t ring);

/* ---- chores: windows of a pipeline that are looked at once each and in order, by a thread that would have to wait otherwise ---------------
 *
 * Whoever owns the memory of a chore's windows posts them and settles before he uses it again; nobody is woken for one. */
enum { CHORE_WINDOWS = 8 }; /* that may be open at a time */
struct crew;
struct chore;
typedef void look_fn(void *arg, struct span w);
struct crew *crew_new(look_fn *look);
void crew_freep(struct crew **c); /* after all that uses it */
struct chore *crew_chore(struct crew *c, void *arg); /* NULL: it has two already */
bool crew_help(struct crew *c); /* looks at what is pending; false: nothing was */
struct crew *chore_crew(const struct chore *ch);
void chore_post(struct chore *ch, struct span w);
void chore_settle(struct chore *ch, unsigned open); /* returns when at most so many are open, having looked itself if need be */

/* As stream_readahead, each window being posted to ch. The thread is started at once, or, with later, by the first fill that finds
 * *later true; until then and where no thread can be had the caller does all. */
struct stream *stream_readahead_chore(struct stream *src, struct chore *ch, const atomic_bool *later);

/* ---- sink: bytes that are pushed ------------------------------------------------------------------------------------------------- */
struct sink;
struct sink_ops {
	void (*write)(struct sink *s, struct span data); /* sets s->err on failure */
	void (*flush)(struct sink *s);
	void (*close)(struct sink *s);
};
struct sink {
	const struct sink_ops *ops;
	uint64_t offset; /* bytes taken so far */
	int err;         /* sticky */
};
void sink_write(struct sink *s, struct span data);
int sink_flush(struct sink *s);  /* 0, or the sticky error */
void sink_close(struct sink *s); /* flushes; NULL is fine */
void sink_closep(struct sink **s);
/* Small writes are gathered, large ones go straight through. */
struct sink *sink_from_fd(int fd, bool own_fd);
/* Pulls src dry into s; 0, or the first error of either. */
int sink_copy(struct sink *s, struct stream *src);

/* ---- parallel: pieces of what is pushed, changed on several processors, in order -------------------------------------------------- */
struct parallel_ops {
	size_t block;                /* bytes of a piece; the last one is shorter */
	size_t out_max;              /* the most that a piece becomes */
	void *(*open)(void *arg);    /* what one thread needs for its work */
	size_t (*work)(void *state, struct span in, unsigned char *out); /* pure; how many bytes it became, 0 where it failed */
	void (*close)(void *state);
};
/* Owns below. Memory for threads + 2 pieces. Where no thread can be had, or threads is 0, all is done by the writer's own. A flush ends the present piece:
 * only the end of the data is the place for it. */
struct sink *sink_parallel(struct sink *below, const struct parallel_ops *ops, void *arg, unsigned threads);

/* ---- threads ------------------------------------------------------------------------------------------------------------------------- */
/* Starts fn(arg) with a small stack (256 KiB) and all signals blocked; 0 or -errno. */
int thread_start(pthread_t *t, void *(*fn)(void *), void *arg);
unsigned cpu_count(void); /* processors that this process may use, at least 1 */

/* ---- jobs: the same work on many things, several at a time ---------------------------------------------------------------------------
 *
 * A job returns 0 or more, or an error with a text in *e. After the first error no job is begun; those that are under way go on, and nobody waits for
 * them: what jobs were given must then stay until the process ends. */
struct jobs;
typedef int job_fn(void *arg, size_t i, struct err *e);
/* Begins job(arg, i) for i from first to n - 1, in this order, on at most so many threads. *out is set before the first of them runs. */
void jobs_start(struct jobs **out, unsigned threads, size_t first, size_t n, job_fn *job, void *arg);
/* From within a job that is not at its end yet: counts as what it returns. */
void jobs_fail(struct jobs *j, int fault, const struct err *e);
bool jobs_failed(const struct jobs *j); /* from within a job, or before jobs_wait */
/* Once, by who has started them: until all are done, one has failed, or most_ms are over (0: no such end; -ETIMEDOUT is as a failure). Where no
 * thread can be had they are done here. Frees *j; 0, or the first error, which goes to *e (may be NULL). */
int jobs_wait(struct jobs *j, unsigned most_ms, struct err *e);

/* ---- descriptors ------------------------------------------------------------------------------------------------------------------------ */
void fd_close(int fd); /* -1 is fine; keeps errno */
void fd_closep(int *fd);
int fd_write_all(int fd, const void *p, size_t n);                  /* 0 or -errno; EINTR and short writes handled */
int fd_pwrite_all(int fd, const void *p, size_t n, uint64_t offset);
ssize_t fd_read_full(int fd, void *p, size_t n);                    /* the count (short only at the end) or -errno */
ssize_t fd_pread_full(int fd, void *p, size_t n, uint64_t offset);
int fd_read_all(int fd, size_t max, struct buf *b);                 /* appends; E_TOOBIG */
/* Opens below dirfd without following a last symlink, non-blocking at open, regular files only; E_UNSUPPORTED for another
 * type, E_TOOBIG over max. For files that the user named himself use follow. */
int file_read(int dirfd, const char *path, bool follow, size_t max, struct buf *b);
/* Write a temporary sibling, (fsync when sync,) rename over name: readers see the old or the new. */
int file_replace(int dirfd, const char *name, struct span contents, mode_t mode, bool sync);
int fd_lock(int fd, bool exclusive, bool wait); /* flock: 0, -EWOULDBLOCK, -errno */
int dir_open(int dirfd, const char *path);      /* O_DIRECTORY|O_CLOEXEC: fd or -errno */
/* Sends all dirty data of the file system below fd to the disk. */
int fd_sync_fs(int fd);

/* ---- the path walker ------------------------------------------------------------------------------------------------------------------------
 *
 * What an image or a container names is opened below a descriptor, as chroot would resolve it, never leaving
 * rootfd, never through magic links (openat2 RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS; component by component with
 * O_NOFOLLOW on kernels without it). path is relative or absolute; ".." stops at the root.
 */
/* Follows links in all components, the last too unless O_NOFOLLOW is in flags. fd or -errno (-ELOOP, -ENOENT, …). */
int walk_open(int rootfd, const char *path, int flags, mode_t mode);
/* The directory that holds the last component: an O_PATH|O_DIRECTORY descriptor. *name points into path (its last
 * component, never "", "." or ".."; for the root itself *name is "."). Slashes at the end of path are not part of the name. */
int walk_parent(int rootfd, const char *path, int *dirfd, struct span *name);
/* Makes the directories of path that are missing, with mode, and opens the last; links are followed inside the root. */
int walk_mkdirs(int rootfd, const char *path, mode_t mode);
/* Tests force the fall-back on a kernel that has openat2. */
extern bool walk_without_openat2;

/* ---- trees and temporary names ------------------------------------------------------------------------------------------------------------ */
/* Removes name below dirfd, whatever it is, never following a link, with bounded descriptors at any depth. -ENOENT is 0. */
int tree_remove(int dirfd, const char *name);
/* The same for what is inside an open directory, which itself stays. */
int tree_empty(int dirfd);
/* A file without a name in dirfd (O_TMPFILE, else created and unlinked): fd or -errno. */
int tmp_unlinked(int dirfd);
/* Turns "prefix" into a name that does not exist yet, "prefixXXXXXX" with random letters. */
void tmp_name(const char *prefix, char *out, size_t n);

/* ---- staging: a directory that appears whole or not at all -------------------------------------------------------------------------------
 *
 * Filled in a hidden 0700 sibling of DIR and renamed; where DIR is a mount point, the working directory or in a parent that cannot be written, in a
 * hidden directory inside DIR whose entries are moved up at the end. The hidden name is the same for every run and locked while one is at work: what a
 * killed run left is emptied and used again. */
struct staging {
	int fd;       /* to be filled */
	int holder;   /* the directory that holds the hidden one: DIR's parent, or DIR */
	int lock;     /* the hidden directory */
	bool inside;  /* holder is DIR */
	char *name;   /* of DIR in holder, unless inside */
	char *hidden; /* its name in holder */
};
/* DIR must be new or empty: E_EXISTS. Links in path are followed. */
int staging_open(const char *path, struct staging *s, struct err *e);
/* DIR appears, with the mode, owner and times that s->fd has been given. */
int staging_commit(struct staging *s, bool sync, struct err *e);
void staging_discard(struct staging *s); /* removes what was staged, if it still is */
void staging_close(struct staging *s);

/* ---- guard: a process that cleans up after one that does the work ----------------------------------------------------------------------
 *
 * Forks. 1 in the child, which is killed when the parent dies. In the parent 0, when the child has ended: *status is its wait status, and *signo the
 * signal (HUP, INT, QUIT, TERM) that asked to end, on which the child was killed, or 0. -errno. Before the first thread. */
int guard_fork(int *status, int *signo);
void guard_signals(sigset_t *set); /* those that ask to end, and are not ignored */
/* Signals that ask to end wait for guard_fork: what is made before it is cleaned up, too. */
void guard_hold(void);

/* ---- spool: unlinked files under TMPDIR (else /var/tmp, /tmp) that hold what comes too early ------------------------------- */
/* True where the directory exists and is no memory file system. */
bool spool_dir_is_disk(void);
int spool_dir(void);  /* the directory itself: fd or -errno */
int spool_open(void); /* fd of an unlinked file, read and write, or -errno */

/* ---- child processes -------------------------------------------------------------------------------------------------------------------------- */
struct spawn {
	const char *const *argv;
	const char *const *envp;   /* NULL: ours */
	struct span input;         /* to its standard input */
	size_t output_max;         /* of its standard output; more is E_TOOBIG */
	unsigned timeout_ms;       /* 0: none; then it is killed and the result is -ETIMEDOUT */
	bool quiet;                /* its standard error is thrown away */
};
/* Runs argv[0] (searched in PATH), no descriptor but 0-2 passed on. Appends its output to *out (may be NULL). The wait status
 * through *status; 0, -ENOENT when there is no such program, -errno. */
int spawn_run(const struct spawn *sp, struct buf *out, int *status);

/* ---- counters of progress -------------------------------------------------------------------------------------------------------------------------- */
/* One thing under way (a blob): written by the thread that works, read by the one that draws. */
struct meter {
	char name[72];              /* a short name of the thing, such as a digest's first digits */
	_Atomic uint64_t total;     /* bytes expected; 0 unknown */
	_Atomic uint64_t done;
	_Atomic int state;          /* enum meter_state */
};
enum meter_state { METER_WAITING, METER_RUNNING, METER_DONE, METER_EXISTS, METER_FAILED };

#endif
