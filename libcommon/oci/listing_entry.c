/* What each kind of entry does to the tree of a listing: as apply_file.c, apply_dirs.c and
 * apply_whiteout.c have it. */
#include <string.h>

#include "libcommon/oci/listing.h"

enum { HOLE = 64 * 1024 };

static struct span base_of(const struct listing *l)
{
	return span_str(entry_name_base(&l->name));
}

/* ---- contents ---- */

static bool is_zero(struct span s)
{
	return s.p[0] == 0 && memcmp(s.p, s.p + 1, s.n - 1) == 0;
}

/* What is never written of the file reads as zeros. */
static int keep(struct listing *l, struct span w)
{
	while (w.n) {
		size_t n = MIN(w.n, (size_t)(HOLE - l->spooled % HOLE));
		struct span part = span_of(w.p, n);
		int r = 0;

		if (!is_zero(part))
			r = fd_pwrite_all(l->spool, part.p, part.n, l->spooled);
		if (r < 0)
			return err_set(l->e, r, "a temporary file in TMPDIR for the contents: %s",
				       err_word(r));
		l->spooled += n;
		w = span_tail(w, n);
	}
	return 0;
}

static int take_contents(struct listing *l, struct inode *n, struct tar *t)
{
	struct stream *data = tar_data(t);
	unsigned char sum[HASH_MAX];
	struct hash h;
	int r = 0;

	n->size = l->te->size;
	n->contents = l->spooled;
	if (!l->o.digests && !l->o.contents)
		return 0;
	hash_init(&h, HASH_SHA256);
	for (struct span w = stream_peek(data); w.n && r == 0; w = stream_peek(data)) {
		if (l->o.digests)
			hash_update(&h, w);
		if (l->o.contents)
			r = keep(l, w);
		stream_skip(data, w.n);
	}
	if (r == 0)
		r = stream_error(data);
	hash_final(&h, sum);
	memcpy(n->sha256, sum, sizeof(n->sha256));
	n->has_digest = l->o.digests;
	return r;
}

/* ---- entries ---- */

/* The name leads to a new inode, whatever it led to. */
static uint32_t put_new(struct listing *l, uint32_t dir, const struct inode *n)
{
	struct name_key k;
	struct name_value v;
	uint32_t inode = inode_new(l);
	struct inode *to = inode_at(l, inode, true);

	*to = *n;
	to->nlink = 1;
	to->up = dir;
	listing_drop(l, dir, base_of(l), true);
	name_key(&k, dir, NAME_WHITEOUT, base_of(l));
	if (l->o.upon && nametree_get(&l->names, &k, &v)) {
		nametree_remove(&l->names, &k);
		inode_at(l, inode, true)->opaque = n->type == TAR_DIR;
	}
	listing_link(l, dir, base_of(l), inode, l->layer);
	return inode;
}

static int put_file(struct listing *l, uint32_t dir, struct tar *t)
{
	struct inode n = { 0 };
	int r;

	if (l->o.max_total && l->te->size > l->o.max_total - MIN(l->o.max_total, l->bytes))
		return err_set(l->e, E_TOOBIG,
			       "%s: the image holds more than %llu bytes (--max-size)",
			       quoted(buf_span(&l->name.path)), (unsigned long long)l->o.max_total);
	l->bytes += l->te->size;
	r = listing_meta(l, &n);
	if (r == 0)
		r = take_contents(l, &n, t);
	if (r == 0)
		put_new(l, dir, &n);
	return r;
}

static int put_dir(struct listing *l, uint32_t dir)
{
	struct name_value v;
	struct inode n = { 0 };
	bool there = listing_look(l, dir, base_of(l), &v), was_file = false;
	int r;

	if (there && inode_at(l, v.inode, false)->type == TAR_DIR) {
		r = listing_meta(l, inode_at(l, v.inode, true));
		if (r == 0)
			listing_link(l, dir, base_of(l), v.inode, l->layer);
		return r;
	}
	was_file = there;
	r = listing_meta(l, &n);
	/* what that hid stays hidden */
	n.opaque = l->o.upon && was_file;
	if (r == 0)
		put_new(l, dir, &n);
	return r;
}

static int link_fail(struct listing *l, int code, const char *why)
{
	return err_set(l->e, code, "%s: hard link to %s: %s", quoted(buf_span(&l->name.path)),
		       quoted(l->te->link), why ? why : err_word(code));
}

static int put_hardlink(struct listing *l, uint32_t dir)
{
	struct name_value v;
	uint32_t target = 0;
	int r = listing_target(l, l->te->link, &target);

	if ((r == -ENOENT || r == -ENOTDIR) && l->o.upon)
		return link_fail(l, E_UNSUPPORTED,
				 "that lies in a layer below, which is not read; to squash all "
				 "layers reads it, too");
	if (r == -ENOENT || r == -ENOTDIR)
		return link_fail(l, E_FORMAT, "there is no such file");
	if (r < 0 && r != -EISDIR)
		return link_fail(l, r, NULL);
	uint8_t type = r < 0 ? TAR_DIR : inode_at(l, target, false)->type;
	if (type == TAR_DIR)
		return link_fail(l, E_UNSAFE_PATH, "it is a directory");
	if (type == TAR_CHAR || type == TAR_BLOCK)
		return link_fail(l, E_UNSAFE_PATH, "it is a device");
	bool there = listing_look(l, dir, base_of(l), &v);
	if (!there || v.inode != target) {
		inode_at(l, target, true)->nlink++;
		if (there)
			listing_drop(l, dir, base_of(l), true);
		if (inode_at(l, target, false)->nlink == 1)
			return link_fail(l, E_FORMAT, "there is no such file");
	}
	if (l->o.upon) {
		struct name_key k;

		name_key(&k, dir, NAME_WHITEOUT, base_of(l));
		nametree_remove(&l->names, &k);
	}
	listing_link(l, dir, base_of(l), target, l->layer);
	return 0;
}

/* Upon layers that are not read: there may be something of this name. */
static void white_out(struct listing *l, uint32_t dir, struct span name)
{
	struct name_key k;

	name_key(&k, dir, NAME_WHITEOUT, name);
	nametree_put(&l->names, &k, (struct name_value){ .layer = l->layer });
}

static int put_other(struct listing *l, uint32_t dir)
{
	const struct tar_entry *e = l->te;
	struct inode n = { 0 };

	if (e->type == TAR_SYMLINK && !e->link.n)
		return listing_fail(l, E_FORMAT, "a symbolic link to nothing");
	/* A character device 0:0 is overlayfs's way to say "not here". */
	if (e->type == TAR_CHAR && !e->dev_major && !e->dev_minor) {
		listing_drop(l, dir, base_of(l), true);
		if (l->o.upon)
			white_out(l, dir, base_of(l));
		return 0;
	}
	int r = listing_meta(l, &n);
	if (r == 0)
		put_new(l, dir, &n);
	return r;
}

static int put_root(struct listing *l)
{
	if (l->te->type != TAR_DIR)
		return listing_fail(l, E_UNSAFE_PATH,
				    "the root of a layer can only be a directory");
	return listing_meta(l, inode_at(l, ROOT_INODE, true));
}

/* ---- whiteouts: they act on what the layers before this one hold, never on what their own layer
 * made, whatever the order of its entries ---- */

static void put_whiteout(struct listing *l, uint32_t dir, struct span name)
{
	struct name_value v;

	if (l->layer || l->o.upon)
		listing_drop(l, dir, name, false);
	if (!l->o.upon)
		return;
	if (!listing_look(l, dir, name, &v)) {
		white_out(l, dir, name);
		return;
	}
	struct inode *n = inode_at(l, v.inode, true);
	/* a directory that this layer has made something in stays */
	n->opaque |= n->type == TAR_DIR;
}

static int put_marker(struct listing *l, enum marker m)
{
	uint32_t dir;
	int r;

	if (m == MARKER_IGNORED || (!l->layer && !l->o.upon))
		return 0;
	r = listing_parent(l, l->o.upon ? IMPLIED_BY_WHITEOUT : IMPLIED_NOT, &dir);
	/* an entry that has the same parent implies it in its own way */
	l->has_parent &= !l->o.upon;
	/* what is there is no directory: it hides all that could be meant */
	if ((r == -ENOTDIR || r == -ENOENT) && !l->e->code)
		return 0;
	if (r < 0)
		return listing_fail(l, r, NULL);
	if (m == MARKER_WHITEOUT) {
		put_whiteout(l, dir, span_tail(base_of(l), 4));
		return 0;
	}
	if (l->layer || l->o.upon)
		listing_drop_inside(l, dir, false);
	l->has_parent = false;
	if (l->o.upon)
		inode_at(l, dir, true)->opaque = true;
	return 0;
}

static int put_entry(struct listing *l, struct tar *t)
{
	uint32_t dir = 0;
	int r = listing_parent(l, IMPLIED, &dir);

	if (r == -ENOTDIR)
		return listing_fail(l, E_FORMAT, "its parent is not a directory");
	if (r < 0)
		return l->e->code ? r : listing_fail(l, r, NULL);
	switch (l->te->type) {
	case TAR_FILE:
		return put_file(l, dir, t);
	case TAR_DIR:
		return put_dir(l, dir);
	case TAR_HARDLINK:
		return put_hardlink(l, dir);
	case TAR_SYMLINK:
	case TAR_CHAR:
	case TAR_BLOCK:
	case TAR_FIFO:
		return put_other(l, dir);
	}
	return listing_fail(l, E_FORMAT, "an entry of an unknown type");
}

int listing_put(struct listing *l, const struct tar_entry *e, struct tar *t)
{
	enum marker m = MARKER_NONE;
	int r;

	if ((l->o.max_entries && l->entries >= l->o.max_entries) || l->inodes_n > UINT32_MAX / 2)
		return err_set(l->e, E_TOOBIG,
			       "%s: the image has more than %llu entries (--max-entries)",
			       quoted(e->name), (unsigned long long)l->entries);
	l->entries++;
	l->te = e;
	r = entry_name_set(&l->name, e->name, l->o.max_depth, l->e);
	if (r < 0)
		return r;
	if (!l->name.path.n)
		return put_root(l);
	r = entry_name_marker(&l->name, &m, l->e);
	if (r == 0)
		r = m == MARKER_NONE ? put_entry(l, t) : put_marker(l, m);
	if (r == 0 && l->pages.err) {
		r = l->pages.err;
		err_set(l->e, r, "a temporary file in TMPDIR for the listing: %s", err_word(r));
	}
	return r;
}
