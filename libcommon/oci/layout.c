/* Image layouts on disk (image-spec image-layout.md): the directory and its blobs. */
#include "libcommon/oci.h"
#include "libcommon/oci/oci_private.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

enum { LAYOUT_FILE_MAX = 4096, BLOB_PATH_MAX = 160, STALE_SECONDS = 24 * 3600 };

#define PARTIAL ".partial-"

/* "sha256/HEX" or "sha256/.partial-HEX", below blobs/ */
static const char *blob_path(const struct digest *d, const char *prefix, char out[BLOB_PATH_MAX])
{
	int n = snprintf(out, BLOB_PATH_MAX, "%s/%s", digest_alg_name(d->alg), prefix);

	num_to_hex(d->v, hash_size(d->alg), out + n);
	return out;
}

int layout_file_check(struct span text, struct err *e)
{
	const struct json_limits lim = { .max_bytes = LAYOUT_FILE_MAX };
	_cleanup_(json_freep) struct json *doc = NULL;
	struct span version;
	int r = json_parse(text, &lim, &doc, e);

	if (r < 0)
		return err_prefix(e, "oci-layout"), r;
	if (!json_str(json_get(doc, "imageLayoutVersion"), &version))
		return err_set(e, E_FORMAT, "oci-layout has no imageLayoutVersion");
	if (!span_is(version, "1.0.0"))
		return err_set(e, E_UNSUPPORTED, "image layout of version %s; only 1.0.0 is known",
			       quoted(version));
	return 0;
}

static int check(int dirfd, struct err *e)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	int r = file_read(dirfd, "oci-layout", false, LAYOUT_FILE_MAX, &text);

	if (r == -ENOENT)
		return err_set(e, E_NOT_FOUND, "not an image layout (it has no file oci-layout)");
	if (r < 0)
		return err_set(e, r, "oci-layout: %s", err_word(r));
	return layout_file_check(buf_span(&text), e);
}

/* May a layout be made here? In a directory that is empty, or where making one was broken off. */
static int check_empty(int dirfd, struct err *e)
{
	int fd = dir_open(dirfd, ".");
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	int r = 0;

	if (!dir) {
		r = -errno;
		fd_close(fd);
		return err_set(e, r, "%s", err_word(r));
	}
	for (struct dirent *d; r == 0 && (d = readdir(dir));) {
		const char *n = d->d_name;

		if (n[0] == '.' || !strcmp(n, "blobs") || !strcmp(n, "index.json"))
			continue;
		r = err_set(e, E_EXISTS, "the directory is no image layout and holds %s",
			    quoted_str(n));
	}
	closedir(dir);
	return r;
}

static int make_dir(int dirfd, const char *name)
{
	return mkdirat(dirfd, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int make_file(int dirfd, const char *name, struct span text)
{
	if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	return file_replace(dirfd, name, text, 0644, false);
}

/* oci-layout comes last: what lacks it is no layout yet. */
static int make(int dirfd, struct err *e)
{
	_cleanup_(fd_closep) int lock = layout_lock(dirfd);
	int r = lock < 0 ? lock : 0;

	if (r == 0 && faccessat(dirfd, "oci-layout", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (r == 0) {
		r = check_empty(dirfd, e);
		if (r < 0)
			return r;
	}
	if (r == 0)
		r = make_dir(dirfd, "blobs");
	if (r == 0)
		r = make_dir(dirfd, "blobs/sha256");
	if (r == 0)
		r = make_file(dirfd, "index.json", SPAN(LAYOUT_EMPTY_INDEX));
	if (r == 0)
		r = make_file(dirfd, "oci-layout", SPAN(LAYOUT_FILE));
	if (r < 0)
		return err_set(e, r, "making the image layout: %s", err_word(r));
	return 0;
}

int layout_open(const char *path, bool create, struct layout *l, struct err *e)
{
	_cleanup_(fd_closep) int dirfd = -1;
	int blobs, r;

	l->dirfd = l->blobs = -1;
	if (create) {
		r = make_dir(AT_FDCWD, path);
		if (r < 0)
			return err_set(e, r, "%s", err_word(r));
	}
	dirfd = dir_open(AT_FDCWD, path);
	if (dirfd == -ENOENT)
		return err_set(e, E_NOT_FOUND, "no such image layout");
	if (dirfd < 0)
		return err_set(e, dirfd, "%s", err_word(dirfd));
	if (create) {
		r = make(dirfd, e);
		if (r < 0)
			return r;
	}
	r = check(dirfd, e);
	if (r < 0)
		return r;
	blobs = dir_open(dirfd, "blobs");
	if (blobs < 0)
		return err_set(e, blobs == -ENOENT ? E_FORMAT : blobs, "blobs: %s",
			       err_word(blobs));
	l->dirfd = steal_fd(&dirfd);
	l->blobs = blobs;
	return 0;
}

void layout_close(struct layout *l)
{
	fd_close(l->dirfd);
	fd_close(l->blobs);
	l->dirfd = l->blobs = -1;
}

/* A description of its own, so that threads exclude each other too; nothing is left in the layout.
 */
int layout_lock(int dirfd)
{
	_cleanup_(fd_closep) int fd = dir_open(dirfd, ".");
	int r = fd < 0 ? fd : fd_lock(fd, true, true);

	if (r == -EBADF) {
		/* NFS locks only what is open for writing */
		fd_close(fd);
		fd = openat(dirfd, ".lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		r = fd < 0 ? -errno : fd_lock(fd, true, true);
	}
	return r < 0 ? r : steal_fd(&fd);
}

int layout_blob_open(const struct layout *l, const struct descriptor *d, struct err *e)
{
	char path[BLOB_PATH_MAX], text[DIGEST_TEXT_MAX];
	struct stat st;
	_cleanup_(fd_closep) int fd =
		openat(l->blobs, blob_path(&d->digest, "", path),
		       O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

	digest_text(&d->digest, text);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return err_set(e, E_NOT_FOUND, "the image layout has no blob %s", text);
	if (fd < 0 || fstat(fd, &st) < 0) {
		int r = -errno;

		return err_set(e, r, "blob %s: %s", text, err_word(r));
	}
	if (!S_ISREG(st.st_mode))
		return err_set(e, E_FORMAT, "blob %s is no regular file", text);
	if ((uint64_t)st.st_size != d->size)
		return err_set(e, E_SIZE, "blob %s has %lld bytes but its descriptor says %llu",
			       text, (long long)st.st_size, (unsigned long long)d->size);
	return steal_fd(&fd);
}

bool layout_has_blob(const struct layout *l, const struct descriptor *d)
{
	char path[BLOB_PATH_MAX];
	struct stat st;

	return fstatat(l->blobs, blob_path(&d->digest, "", path), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && (uint64_t)st.st_size == d->size;
}

/* Does path still name what fd is? Another process may have renamed or removed it before we had the
 * lock. */
static bool still_named(int dirfd, const char *path, int fd)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && fstatat(dirfd, path, &b, AT_SYMLINK_NOFOLLOW) == 0 &&
	       a.st_ino == b.st_ino && a.st_dev == b.st_dev && S_ISREG(a.st_mode);
}

int layout_partial_open(const struct layout *l, const struct digest *d, int *out, struct err *e)
{
	char path[BLOB_PATH_MAX], text[DIGEST_TEXT_MAX];
	int r = make_dir(l->blobs, digest_alg_name(d->alg));

	blob_path(d, PARTIAL, path);
	digest_text(d, text);
	for (int tries = 0; r == 0 && tries < 100; tries++) {
		_cleanup_(fd_closep) int fd =
			openat(l->blobs, path,
			       O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);

		r = fd < 0 ? -errno : fd_lock(fd, true, false);
		if (r == -EWOULDBLOCK)
			break;
		if (r < 0 || !still_named(l->blobs, path, fd))
			continue;
		*out = steal_fd(&fd);
		return 0;
	}
	if (r == 0 || r == -EWOULDBLOCK)
		return err_set(e, E_EXISTS, "another process is fetching %s into this layout",
			       text);
	return err_set(e, r, "writing %s into the layout: %s", text, err_word(r));
}

static int sync_dir(int dirfd, const char *name)
{
	_cleanup_(fd_closep) int fd = dir_open(dirfd, name);

	if (fd < 0)
		return fd;
	return fsync(fd) < 0 ? -errno : 0;
}

int layout_partial_commit(const struct layout *l, const struct digest *d, int own_fd, bool sync,
			  struct err *e)
{
	_cleanup_(fd_closep) int fd = own_fd;
	char from[BLOB_PATH_MAX], to[BLOB_PATH_MAX], text[DIGEST_TEXT_MAX];
	int r = 0;

	blob_path(d, PARTIAL, from);
	blob_path(d, "", to);
	if (sync && fsync(fd) < 0)
		r = -errno;
	if (r == 0 && renameat(l->blobs, from, l->blobs, to) < 0)
		r = -errno;
	if (r == 0 && sync)
		r = sync_dir(l->blobs, digest_alg_name(d->alg));
	if (r < 0)
		return err_set(e, r, "blob %s: %s", digest_text(d, text), err_word(r));
	return 0;
}

void layout_partial_discard(const struct layout *l, const struct digest *d, int fd)
{
	char path[BLOB_PATH_MAX];

	unlinkat(l->blobs, blob_path(d, PARTIAL, path), 0);
	fd_close(fd);
}

/* Under the partial's name, which a later run takes over where this one is killed. */
static int write_partial(const struct layout *l, const struct digest *d, struct span bytes,
			 bool sync, struct err *e)
{
	int fd, r = layout_partial_open(l, d, &fd, e);

	if (r < 0)
		return r;
	r = ftruncate(fd, 0) < 0 ? -errno : fd_write_all(fd, bytes.p, bytes.n);
	if (r < 0) {
		layout_partial_discard(l, d, fd);
		return r;
	}
	return layout_partial_commit(l, d, fd, sync, e);
}

int layout_write_blob(const struct layout *l, const struct digest *d, struct span bytes, bool sync,
		      struct err *e)
{
	const char *alg = digest_alg_name(d->alg);
	char path[BLOB_PATH_MAX], text[DIGEST_TEXT_MAX];
	struct err why = { 0 };
	int r = write_partial(l, d, bytes, sync, &why);

	/* another process is at it: it need not be waited for */
	if (r == E_EXISTS) {
		_cleanup_(fd_closep) int dir = dir_open(l->blobs, alg);

		blob_path(d, "", path);
		r = dir < 0 ? dir : file_replace(dir, path + strlen(alg) + 1, bytes, 0644, sync);
	}
	if (r < 0)
		return err_set(e, r, "blob %s: %s", digest_text(d, text), err_word(r));
	return 0;
}

static bool is_stale(int dirfd, const char *name)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
	       st.st_mtime < time(NULL) - STALE_SECONDS;
}

static void clean_one(int dirfd, const char *name, bool ours)
{
	_cleanup_(fd_closep) int fd = -1;

	if (!ours && !is_stale(dirfd, name))
		return;
	fd = openat(dirfd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && fd_lock(fd, true, false) == 0 && still_named(dirfd, name, fd))
		unlinkat(dirfd, name, 0);
}

/* What an interrupted run leaves: partial blobs, and the temporary names of file_replace. */
static bool is_leftover(const char *name)
{
	return span_starts(span_str(name), PARTIAL) ||
	       (name[0] == '.' && strspn(name + 1, "0123456789abcdef") >= 64);
}

/* As tmp_name() has it: others, such as editors, have names of their own there. */
static bool is_leftover_of_index(const char *name)
{
	enum { PREFIX = 12, LETTERS = 10 };
	struct span s = span_str(name);

	return (span_starts(s, ".index.json.") || span_starts(s, ".oci-layout.")) &&
	       s.n == PREFIX + LETTERS &&
	       strspn(name + PREFIX, "abcdefghijklmnopqrstuvwxyz234567") == LETTERS;
}

/* Ours: nobody else is at what the index leaves. */
static void clean_dir(int dirfd, const char *path, bool ours)
{
	int fd = dir_open(dirfd, path);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		fd_close(fd);
		return;
	}
	for (struct dirent *d; (d = readdir(dir));)
		if (is_leftover(d->d_name) || is_leftover_of_index(d->d_name))
			clean_one(fd, d->d_name, ours && is_leftover_of_index(d->d_name));
	closedir(dir);
}

void layout_clean(const struct layout *l)
{
	/* who replaces the index holds the lock */
	int lock = layout_lock(l->dirfd);

	clean_dir(l->dirfd, ".", lock >= 0);
	fd_close(lock);
	for (enum hash_alg alg = HASH_SHA256; alg <= HASH_SHA512; alg++)
		clean_dir(l->blobs, digest_alg_name(alg), false);
}
