/*
 * Whiteouts (image-spec layer.md, "Whiteouts"): they act on what the layers below hold, never on
 * what their own layer made, whatever the order of its entries.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"

int apply_marker(struct apply *a, enum marker *m)
{
	return entry_name_marker(&a->name, m, a->e);
}

static int fail_removal(struct apply *a, int r)
{
	return err_set(a->e, r, "%s: cannot remove what the layer below holds: %s",
		       quoted(buf_span(&a->path)), err_word(r));
}

/* A directory that is being read. On the heap: an image may nest them deeper than a stack is. */
struct level {
	struct level *above;
	int fd;
	ino_t ino;
	const char *name; /* in the directory above */
	bool mine;	  /* this layer made it */
	long n, at;	  /* bytes in block, and those of them that were looked at */
	_Alignas(uint64_t) char block[1024];
};

struct names {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

/*
 * One name in the directory l: goes unless this layer made it, and as far as this layer made
 * nothing inside. What is in a directory comes first: *below is its descriptor then.
 */
static int remove_lower_entry(struct apply *a, const struct level *l, const char *name,
			      unsigned char type, int *below, bool *mine)
{
	int made = made_has(&a->made, made_key(&a->made, l->ino, span_str(name)));
	*below = -1;
	*mine = made > 0;
	if (made < 0)
		return fail_removal(a, made);
	if (type == DT_UNKNOWN) {
		struct stat st;
		if (fstatat(l->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return errno == ENOENT ? 0 : fail_removal(a, -errno);
		type = S_ISDIR(st.st_mode) ? DT_DIR : DT_REG;
	}
	if (type != DT_DIR)
		return !made && unlinkat(l->fd, name, 0) < 0 && errno != ENOENT
			       ? fail_removal(a, -errno)
			       : 0;
	if (!made && unlinkat(l->fd, name, AT_REMOVEDIR) == 0)
		return 0;
	*below = openat(l->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return *below < 0 ? fail_removal(a, -errno) : 0;
}

/* Not empty: something of this layer lives in it. */
static int remove_lower_dir(struct apply *a, int fd, const char *name, bool mine)
{
	if (mine || unlinkat(fd, name, AT_REMOVEDIR) == 0 || errno == ENOTEMPTY ||
	    errno == EEXIST || errno == ENOENT)
		return 0;
	return fail_removal(a, -errno);
}

static struct level *level_down(struct level *above, int fd, const char *name, bool mine)
{
	struct level *l = xmalloc(sizeof(*l));
	l->above = above;
	l->fd = fd;
	l->name = name;
	l->mine = mine;
	l->ino = 0;
	l->n = l->at = 0;
	return l;
}

/* The outermost directory stays open. */
static struct level *level_up(struct level *l)
{
	struct level *above = l->above;
	if (above)
		fd_close(l->fd);
	free(l);
	return above;
}

/* Reads on; 0 at the end. */
static int level_read(struct apply *a, struct level *l)
{
	struct stat st;
	if (!l->ino) {
		if (fstat(l->fd, &st) < 0)
			return fail_removal(a, -errno);
		l->ino = st.st_ino;
	}
	l->at = 0;
	l->n = syscall(SYS_getdents64, l->fd, l->block, sizeof(l->block));
	return l->n < 0 ? fail_removal(a, -errno) : l->n > 0;
}

int apply_remove_lower_all(struct apply *a, int fd)
{
	struct level *l = level_down(NULL, fd, NULL, true);
	int r = 0;
	while (l && r >= 0) {
		r = l->at < l->n ? 1 : level_read(a, l);
		if (r == 0 && l->above)
			r = remove_lower_dir(a, l->above->fd, l->name, l->mine);
		if (r <= 0) {
			l = level_up(l);
			continue;
		}
		const struct names *d = (const void *)(l->block + l->at);
		int below;
		bool mine;
		l->at += d->reclen;
		if (strcmp(d->name, ".") == 0 || strcmp(d->name, "..") == 0)
			continue;
		r = remove_lower_entry(a, l, d->name, d->type, &below, &mine);
		if (below >= 0)
			l = level_down(l, below, d->name, mine);
	}
	while (l)
		l = level_up(l);
	return r;
}

int apply_remove_lower(struct apply *a, int fd, ino_t ino, const char *name)
{
	struct stat st;
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail_removal(a, -errno);
	a->parent_stale |= S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode);
	struct level here = { .fd = fd, .ino = ino };
	_cleanup_(fd_closep) int below = -1;
	bool mine;
	int r = remove_lower_entry(a, &here, name, S_ISDIR(st.st_mode) ? DT_DIR : DT_REG, &below,
				   &mine);
	if (r < 0 || below < 0)
		return r;
	r = apply_remove_lower_all(a, below);
	return r == 0 ? remove_lower_dir(a, fd, name, mine) : r;
}

int apply_whiteout(struct apply *a)
{
	/* links on the way to its parent change the path */
	_cleanup_(freep) char *name = xstrdup(apply_base(a) + 4);
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
