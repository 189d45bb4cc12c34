/* The tree before, from the layers of an image, which are not unpacked. */
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "libcommon/oci/diff.h"

struct before_listing {
	struct before b;
	struct listing *l;
	int64_t *dirs; /* inodes of the directories down to the present one; -1: there is none */
	size_t depth, cap;
	unsigned char buffer[65536];
};

static struct before_listing *of(struct before *b)
{
	return (struct before_listing *)b;
}

static void push(struct before_listing *bl, int64_t dir)
{
	if (bl->depth == bl->cap) {
		bl->cap = bl->cap ? 2 * bl->cap : 16;
		bl->dirs = xrealloc(bl->dirs, bl->cap * sizeof(*bl->dirs));
	}
	bl->dirs[bl->depth++] = dir;
}

static int find(struct before *b, const char *name, const struct listing_entry **e)
{
	struct before_listing *bl = of(b);
	int64_t dir = bl->dirs[bl->depth - 1];

	return dir < 0 ? 0
		       : listing_find(bl->l, (uint32_t)dir,
				      span_str(strcmp(name, ".") == 0 ? "" : name), e, b->e);
}

/* Of what look() said that it is there. */
static int found(struct before *b, const char *name, const struct listing_entry **e)
{
	int r = find(b, name, e);

	return r ? MIN(r, 0) : err_set(b->e, -ENOENT, "%s: not in the image", quoted_str(name));
}

static int image_enter(struct before *b, const char *name)
{
	const struct listing_entry *e;
	int r = find(b, name, &e);

	if (r < 0)
		return r;
	push(of(b), r && e->type == TAR_DIR ? (int64_t)e->inode : -1);
	return r && e->type == TAR_DIR;
}

static void image_leave(struct before *b)
{
	of(b)->depth--;
}

static bool image_present(struct before *b)
{
	return of(b)->dirs[of(b)->depth - 1] >= 0;
}

static int list(void *arg, struct names *n)
{
	struct before_listing *bl = arg;
	_cleanup_(buf_release) struct buf name = BUF_INIT;
	int64_t dir = bl->dirs[bl->depth - 1];
	int r = 0;

	while (dir >= 0 && (r = listing_name_after(bl->l, (uint32_t)dir, &name, bl->b.e)) > 0)
		names_add(n, buf_str(&name), 0, NAME_ENTRY);
	return r;
}

static struct names_source image_names(struct before *b)
{
	return (struct names_source){ list, b };
}

static int image_look(struct before *b, const char *name, struct stat *st)
{
	static const mode_t types[] = {
		[TAR_FILE] = S_IFREG,  [TAR_SYMLINK] = S_IFLNK, [TAR_CHAR] = S_IFCHR,
		[TAR_BLOCK] = S_IFBLK, [TAR_DIR] = S_IFDIR,	[TAR_FIFO] = S_IFIFO,
	};
	const struct listing_entry *e;
	int r = find(b, name, &e);

	if (r <= 0)
		return r;
	*st = (struct stat){
		.st_mode = types[e->type] | (e->type == TAR_SYMLINK ? 0777 : e->mode),
		.st_uid = e->uid,
		.st_gid = e->gid,
		.st_size = (off_t)e->size,
		.st_rdev = makedev(e->dev_major, e->dev_minor),
		.st_ino = e->inode,
		.st_nlink = e->nlink,
		.st_mtim = { .tv_sec = (time_t)e->mtime.sec,
			     .tv_nsec = e->implied ? TIME_UNKNOWN : 0 },
	};
	return 1;
}

static int image_target(struct before *b, const char *name, struct buf *out)
{
	const struct listing_entry *e;
	int r = found(b, name, &e);

	if (r == 0)
		buf_add_span(out, e->link);
	return r;
}

static int image_xattrs(struct before *b, const char *name, struct xattrs *x)
{
	const struct listing_entry *e;
	int r = found(b, name, &e);

	for (size_t i = 0; r == 0 && i < e->xattrs_n; i++)
		xattrs_add(x, e->xattrs[i].name, e->xattrs[i].value);
	xattrs_done(x);
	return r;
}

static int image_same(struct before *b, const char *name, int fd, uint64_t size)
{
	struct before_listing *bl = of(b);
	const struct listing_entry *e;
	unsigned char digest[HASH_MAX];
	struct hash h;
	int r = found(b, name, &e);

	hash_init(&h, HASH_SHA256);
	for (uint64_t at = 0; r == 0 && at < size;) {
		ssize_t n = fd_pread_full(fd, bl->buffer, sizeof(bl->buffer), at);
		if (n <= 0)
			return n < 0 ? err_set(b->e, (int)n, "%s: %s", quoted_str(name),
					       err_word((int)n))
				     : 0;
		hash_update(&h, span_of(bl->buffer, (size_t)n));
		at += (uint64_t)n;
		b->read += (uint64_t)n;
		b->hashed += (uint64_t)n;
	}
	hash_final(&h, digest);
	return r < 0 ? r : e->sha256 && memcmp(digest, e->sha256, 32) == 0;
}

static int image_linked(struct before *b,
			int (*shown)(struct diff *d, struct span path, const struct stat *st),
			struct diff *d)
{
	struct listing *l = of(b)->l;
	const struct listing_entry *e;
	int r;

	listing_rewind(l);
	while ((r = listing_next(l, &e, b->e)) > 0) {
		if (e->type != TAR_FILE || e->nlink < 2)
			continue;
		r = shown(d, e->path, &(struct stat){ .st_ino = e->inode, .st_nlink = e->nlink });
		if (r < 0)
			break;
	}
	return r;
}

static void layers_close(struct before *b)
{
	free(of(b)->dirs);
	listing_close(of(b)->l);
	free(b);
}

static const struct before_ops image_ops = {
	.enter = image_enter,
	.leave = image_leave,
	.present = image_present,
	.names = image_names,
	.look = image_look,
	.target = image_target,
	.xattrs = image_xattrs,
	.same = image_same,
	.linked = image_linked,
	.close = layers_close,
};

struct before *before_from_listing(struct listing *l, struct err *e)
{
	struct before_listing *bl = xcalloc(1, sizeof(*bl));

	bl->b.ops = &image_ops;
	bl->b.e = e;
	bl->l = l;
	push(bl, 0);
	return &bl->b;
}
