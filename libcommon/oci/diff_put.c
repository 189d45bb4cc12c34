/* Entries of the archive. */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "libcommon/oci/diff.h"

static unsigned char zeros[32768]; /* not const: 32 KB less in the binary */

int diff_fail(struct diff *d, int code, const char *what)
{
	return err_set(d->e, code, "%s: %s%s%s", d->path.n ? quoted(buf_span(&d->path)) : ".",
		       what ? what : "", what ? ": " : "", err_word(code));
}

bool is_raced(int error)
{
	return error == ENOENT || error == ELOOP || error == ENOTDIR || error == EINVAL ||
	       error == ENXIO;
}

int diff_raced(struct diff *d, int error)
{
	return is_raced(error) ? diff_fail(d, E_TRY_LATER, "it was replaced while it was read")
			       : diff_fail(d, -error, NULL);
}

static enum tar_type type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return TAR_DIR;
	case S_IFLNK:
		return TAR_SYMLINK;
	case S_IFCHR:
		return TAR_CHAR;
	case S_IFBLK:
		return TAR_BLOCK;
	case S_IFIFO:
		return TAR_FIFO;
	default:
		return TAR_FILE;
	}
}

/* The name in the layer of what is at path from the directory on. */
static void layer_name(const struct diff *d, struct span path, struct buf *out)
{
	buf_clear(out);
	if (d->o->prefix)
		buf_adds(out, d->o->prefix);
	if (out->n && path.n)
		buf_addc(out, '/');
	buf_add_span(out, path);
	if (!out->n)
		buf_addc(out, '.');
	buf_str(out);
}

static int put_header(struct diff *d, const struct tar_entry *e)
{
	buf_clear(&d->header);
	int r = tar_header(&d->header, e, d->e);
	if (r < 0)
		return r;
	sink_write(d->out, buf_span(&d->header));
	d->stats->entries++;
	return d->out->err;
}

static void fill_metadata(const struct diff *d, const struct stat *st, struct tar_entry *e)
{
	const struct diff_options *o = d->o;

	e->type = type_of(st->st_mode);
	e->mode = st->st_mode & 07777;
	e->uid = o->has_uid ? o->uid : st->st_uid;
	e->gid = o->has_gid ? o->gid : st->st_gid;
	e->mtime.sec = o->has_mtime ? o->mtime : st->st_mtim.tv_sec;
	if (o->has_clamp && e->mtime.sec > o->clamp)
		e->mtime.sec = o->clamp;
	if (e->type == TAR_CHAR || e->type == TAR_BLOCK) {
		e->dev_major = major(st->st_rdev);
		e->dev_minor = minor(st->st_rdev);
	}
}

static int put_zeros(struct diff *d, uint64_t n)
{
	while (n && !d->out->err) {
		size_t part = (size_t)MIN(n, (uint64_t)sizeof(zeros));
		sink_write(d->out, span_of(zeros, part));
		n -= part;
	}
	return d->out->err;
}

static int put_range(struct diff *d, int fd, uint64_t from, uint64_t to)
{
	while (from < to && !d->out->err) {
		size_t want = (size_t)MIN(to - from, (uint64_t)DIFF_BUFFER);
		ssize_t n = fd_pread_full(fd, d->buffer, want, from);
		if (n < 0)
			return diff_fail(d, (int)n, NULL);
		if ((size_t)n < want)
			return diff_fail(d, E_TRY_LATER, "it became shorter while it was read");
		sink_write(d->out, span_of(d->buffer, want));
		d->stats->read += want;
		from += want;
	}
	return d->out->err;
}

/* Holes are asked for only where there must be some. */
static int put_contents(struct diff *d, int fd, const struct stat *st)
{
	uint64_t size = (uint64_t)st->st_size, at = 0;
	bool holes = (uint64_t)st->st_blocks * 512 < size;
	int r = 0;

	while (at < size && r == 0) {
		off_t data = holes ? lseek(fd, (off_t)at, SEEK_DATA) : (off_t)at;
		if (data < 0 && errno == ENXIO)
			data = (off_t)size;
		if (data < (off_t)at)
			data = (off_t)at;
		data = MIN(data, (off_t)size);
		off_t end = holes ? lseek(fd, data, SEEK_HOLE) : (off_t)size;
		if (end <= data || end > (off_t)size)
			end = (off_t)size;
		r = put_zeros(d, (uint64_t)data - at);
		if (r == 0)
			r = put_range(d, fd, (uint64_t)data, (uint64_t)end);
		at = (uint64_t)end;
	}
	if (r == 0) {
		sink_write(d->out, span_of(zeros, tar_padding(size)));
		r = d->out->err;
	}
	d->stats->bytes += size;
	return r;
}

static int put_file(struct diff *d, const struct tar_entry *e, const struct stat *st, int fd)
{
	struct stat now;
	int r = put_header(d, e);

	if (r == 0) {
		d->in_contents = true;
		r = put_contents(d, fd, st);
	}
	if (r < 0)
		return r;
	d->in_contents = false;
	if (fstat(fd, &now) < 0)
		return diff_fail(d, -errno, NULL);
	if (now.st_size != st->st_size || now.st_mtim.tv_sec != st->st_mtim.tv_sec ||
	    now.st_mtim.tv_nsec != st->st_mtim.tv_nsec)
		return diff_fail(d, E_TRY_LATER, "it changed while it was read");
	return 0;
}

/* A further name of a file that is in the layer: 1, or 0 where this is its first. */
static int put_link(struct diff *d, struct tar_entry *e, const struct stat *st)
{
	_cleanup_(buf_release) struct buf target = BUF_INIT;
	_cleanup_(buf_release) struct buf first = BUF_INIT;
	int r = links_first(&d->links, st, buf_span(&d->path), &first);

	if (r <= 0)
		return r < 0 ? diff_links_fail(d, r) : 0;
	layer_name(d, buf_span(&first), &target);
	e->type = TAR_HARDLINK;
	e->link = buf_span(&target);
	r = put_header(d, e);
	return r < 0 ? r : 1;
}

static int read_target(struct diff *d, int dirfd, const char *name, char out[PATH_MAX],
		       struct span *target)
{
	ssize_t n = readlinkat(dirfd, name, out, PATH_MAX);

	if (n < 0 || n == PATH_MAX)
		return n < 0 ? diff_raced(d, errno) : diff_fail(d, -ENAMETOOLONG, NULL);
	*target = span_of(out, (size_t)n);
	return 0;
}

static int put_at(struct diff *d, struct span path, int dirfd, const char *name,
		  const struct stat *st, int fd)
{
	_cleanup_(buf_release) struct buf full = BUF_INIT;
	_cleanup_(xattrs_release) struct xattrs x = { 0 };
	struct tar_entry e = { 0 };
	char target[PATH_MAX];
	int r = 0;

	layer_name(d, path, &full);
	e.name = buf_span(&full);
	fill_metadata(d, st, &e);
	if (e.type == TAR_FILE && st->st_nlink > 1) {
		r = put_link(d, &e, st);
		if (r)
			return MIN(r, 0);
	}
	if (e.type == TAR_SYMLINK)
		r = read_target(d, dirfd, name, target, &e.link);
	if (r == 0)
		r = xattrs_read(fd >= 0 ? fd : dirfd, fd >= 0 ? NULL : name, buf_str(&full), &x,
				d->e);
	if (r < 0)
		return r;
	e.xattrs = x.v;
	e.xattrs_n = x.n;
	if (e.type != TAR_FILE)
		return put_header(d, &e);
	e.size = (uint64_t)st->st_size;
	return put_file(d, &e, st, fd);
}

int diff_put_parents(struct diff *d)
{
	for (size_t i = 0; i < d->depth; i++) {
		struct diff_level *l = &d->level[i];
		if (l->written)
			continue;
		int fd = tree_topfd(&d->after, i);
		int r = fd < 0 ? fd : put_at(d, span_of(d->path.p, l->path), -1, NULL, &l->st, fd);
		if (r < 0)
			return r;
		l->written = true;
	}
	return 0;
}

int diff_put_entry(struct diff *d, int dirfd, const char *name, const struct stat *st, int fd)
{
	int r = diff_put_parents(d);

	return r < 0 ? r : put_at(d, buf_span(&d->path), dirfd, name, st, fd);
}

int diff_put_mark(struct diff *d, const char *front, const char *name)
{
	_cleanup_(buf_release) struct buf full = BUF_INIT;
	struct diff_level *l = &d->level[d->depth - 1];
	int r = diff_put_parents(d);

	if (r < 0)
		return r;
	layer_name(d, span_of(d->path.p, l->path), &full);
	if (span_is(buf_span(&full), "."))
		buf_clear(&full);
	else
		buf_addc(&full, '/');
	buf_adds(&full, front);
	buf_adds(&full, name);
	d->stats->whiteouts++;
	return put_header(d, &(struct tar_entry){ .type = TAR_FILE, .name = buf_span(&full) });
}
