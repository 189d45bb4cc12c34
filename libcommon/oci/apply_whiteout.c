/*
 * Whiteouts (image-spec layer.md, "Whiteouts"): they act on what the layers below hold, never on
 * what their own layer made, whatever the order of its entries.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"

#define PREFIX ".wh."
#define OPAQUE ".wh..wh..opq"

static int bad_marker(struct apply *a, const char *why)
{
	return apply_fail(a, E_FORMAT, why);
}

int apply_marker(struct apply *a, enum marker *m)
{
	struct span path = buf_span(&a->path), part;
	struct span base = span_tail(path, a->base),
		    rest = span_of(path.p, a->base ? a->base - 1 : 0);
	*m = MARKER_NONE;
	/* aufs kept its own files beside the root's: /.wh..wh.plnk, /.wh..wh.aufs, … */
	if (span_starts(path, PREFIX PREFIX) && !span_is(path, OPAQUE)) {
		*m = MARKER_IGNORED;
		return 0;
	}
	if (memmem(path.p, path.n, PREFIX, 4) == NULL)
		return 0;
	while (rest.n && span_cut(&rest, '/', &part))
		if (span_starts(part, PREFIX))
			return bad_marker(a, "a whiteout is no directory for other entries");
	if (!span_starts(base, PREFIX))
		return 0;
	*m = MARKER_WHITEOUT;
	if (span_is(base, OPAQUE))
		*m = MARKER_OPAQUE;
	else if (span_starts(base, PREFIX PREFIX))
		*m = MARKER_IGNORED;
	else if (base.n == 4 || span_is(base, PREFIX ".") || span_is(base, PREFIX ".."))
		return bad_marker(a, "a whiteout that names nothing");
	return 0;
}

static int fail_removal(struct apply *a, int r)
{
	return err_set(a->e, r, "%s: cannot remove what the layer below holds: %s",
		       quoted(buf_span(&a->path)), err_word(r));
}

/* One name in the directory fd (inode ino): goes unless this layer made it, and as far as this
 * layer made nothing inside. */
static int remove_lower_entry(struct apply *a, int fd, ino_t ino, const char *name,
			      unsigned char type)
{
	int mine = made_has(&a->made, made_key(&a->made, ino, span_str(name)));
	if (mine < 0)
		return fail_removal(a, mine);
	if (type == DT_UNKNOWN) {
		struct stat st;
		if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 0 : fail_removal(a, -errno);
		type = S_ISDIR(st.st_mode) ? DT_DIR : DT_REG;
	}
	if (type != DT_DIR)
		return !mine && unlinkat(fd, name, 0) < 0 && errno != ENOENT
			       ? fail_removal(a, -errno)
			       : 0;
	if (!mine && unlinkat(fd, name, AT_REMOVEDIR) == 0)
		return 0;
	_cleanup_(fd_closep) int below =
		openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (below < 0)
		return fail_removal(a, -errno);
	int r = apply_remove_lower_all(a, below);
	/* Not empty: something of this layer lives in it. */
	if (r == 0 && !mine && unlinkat(fd, name, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY &&
	    errno != EEXIST && errno != ENOENT)
		r = fail_removal(a, -errno);
	return r;
}

struct names {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

int apply_remove_lower_all(struct apply *a, int fd)
{
	_Alignas(uint64_t) char block[2048];
	struct stat st;
	if (fstat(fd, &st) < 0)
		return fail_removal(a, -errno);
	for (;;) {
		long n = syscall(SYS_getdents64, fd, block, sizeof(block));
		if (n < 0)
			return fail_removal(a, -errno);
		if (n == 0)
			return 0;
		for (long at = 0; at < n;) {
			const struct names *d = (const void *)(block + at);
			at += d->reclen;
			if (strcmp(d->name, ".") == 0 || strcmp(d->name, "..") == 0)
				continue;
			int r = remove_lower_entry(a, fd, st.st_ino, d->name, d->type);
			if (r < 0)
				return r;
		}
	}
}

int apply_remove_lower(struct apply *a, int fd, ino_t ino, const char *name)
{
	struct stat st;
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail_removal(a, -errno);
	a->parent_stale |= S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode);
	return remove_lower_entry(a, fd, ino, name, S_ISDIR(st.st_mode) ? DT_DIR : DT_REG);
}

int apply_whiteout(struct apply *a)
{
	const char *name = apply_base(a) + 4;
	int r;
	a->st.whiteouts++;
	if (a->form != APPLY_MERGED)
		return overlay_whiteout(a, name);
	r = a->layer == 0 ? 0 : apply_parent_if_there(a);
	return r <= 0 ? r : apply_remove_lower(a, a->parent->fd, a->parent->ino, name);
}

int apply_opaque(struct apply *a)
{
	a->st.whiteouts++;
	if (a->form != APPLY_MERGED)
		return overlay_opaque(a);
	int r = a->layer == 0 ? 0 : apply_parent_if_there(a);
	if (r <= 0)
		return r;
	_cleanup_(fd_closep) int fd =
		openat(a->parent->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail_removal(a, -errno);
	a->parent_stale = true;
	return apply_remove_lower_all(a, fd);
}
