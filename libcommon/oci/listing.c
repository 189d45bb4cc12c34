/* The merged listing of an image's layers: from its layers to a tree, and from there to entries. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/oci/listing.h"

enum { MEMORY = 8 << 20 };

/* ---- filled ---- */

int listing_new(const struct listing_options *o, struct listing **out, struct err *e)
{
	_cleanup_(listing_closep) struct listing *l = xcalloc(1, sizeof(*l));

	l->o = *o;
	l->spool = l->extras.fd = -1;
	pages_init(&l->pages, o->memory ? o->memory : MEMORY);
	nametree_init(&l->names, &l->pages);
	if (o->contents)
		l->spool = spool_open();
	if (o->contents && l->spool < 0)
		return err_set(e, l->spool, "a temporary file in TMPDIR for the contents: %s",
			       err_word(l->spool));
	inode_new(l);
	*inode_at(l, ROOT_INODE, true) =
		(struct inode){ .type = TAR_DIR, .mode = 0755, .nlink = 1, .implied = IMPLIED };
	*out = steal_ptr(&l);
	return 0;
}

int listing_add(struct listing *l, struct stream *archive, struct err *e)
{
	_cleanup_(tar_closep) struct tar *t = tar_open(archive, &l->o.tar, e);
	const struct tar_entry *entry;
	int r;

	l->e = e;
	l->has_parent = false;
	for (l->entry = 0; (r = tar_next(t, &entry)) > 0; l->entry++) {
		r = listing_put(l, entry, t);
		if (r < 0)
			break;
	}
	l->layer++;
	l->e = NULL;
	return r;
}

int listing_done(struct listing *l, struct err *e)
{
	/* what was never written behind the last byte reads as zeros, too */
	if (l->o.contents && ftruncate(l->spool, (off_t)l->spooled) < 0)
		return err_set(e, -errno, "a temporary file in TMPDIR for the contents: %s",
			       err_word(-errno));
	return 0;
}

static int add_layer(struct listing *l, struct image *img, size_t i, struct err *e)
{
	const struct document *m = image_manifest(img);
	const struct digest *diff_id = &image_config(img)->diff_ids[i];
	char text[DIGEST_TEXT_MAX];
	struct stream *s = NULL;
	int r = layer_open(img, &m->layers[i], diff_id, &l->o.decompress, l->o.one_thread, &s, e);

	if (r == 0)
		r = layer_end(img, s, diff_id, listing_add(l, s, e), e);
	if (r < 0) {
		err_set(e, r, "%s", err_word(r));
		err_prefix(e, "layer %zu of %zu (%.19s)", i + 1, m->layers_n,
			   digest_text(&m->layers[i].digest, text));
	}
	return r;
}

int listing_open(struct image *img, const struct listing_options *o, struct listing **out,
		 struct err *e)
{
	_cleanup_(listing_closep) struct listing *l = NULL;
	const struct document *m = image_manifest(img);
	const struct config *c = image_config(img);
	int r;

	if (!c)
		return err_set(e, E_UNSUPPORTED, "it is an artifact, not a container image");
	if (c->diff_ids_n != m->layers_n)
		return err_set(e, E_FORMAT, "the manifest has %zu layers, the config %zu diff_ids",
			       m->layers_n, c->diff_ids_n);
	r = listing_new(o, &l, e);
	for (size_t i = 0; r == 0 && i < m->layers_n; i++)
		r = add_layer(l, img, i, e);
	if (r == 0)
		r = listing_done(l, e);
	if (r < 0)
		return r;
	*out = steal_ptr(&l);
	return 0;
}

void listing_close(struct listing *l)
{
	if (!l)
		return;
	pages_release(&l->pages);
	free(l->inode_pages);
	listing_close(l->below);
	extras_release(&l->extras);
	buf_release(&l->name.path);
	buf_release(&l->parent_path);
	buf_release(&l->xattrs);
	fd_close(l->spool);
	free(l->levels);
	buf_release(&l->path);
	buf_release(&l->extra);
	buf_release(&l->first);
	free(l->xattrs_out);
	free(l);
}

void listing_closep(struct listing **l)
{
	listing_close(*l);
}

/* ---- read ---- */

static int out_failed(int r, struct err *e)
{
	return err_set(e, r, "a temporary file in TMPDIR for the listing: %s", err_word(r));
}

/* The first of a file's names; it is remembered where it is this one. */
static int show_first_name(struct listing *l, uint32_t inode, struct err *e)
{
	uint64_t at = l->inode_out.first;
	int r;

	if (l->inode_out.type != TAR_FILE || l->inode_out.nlink < 2)
		return 0;
	if (!at) {
		r = extras_add_text(&l->extras, buf_span(&l->path), &at);
		inode_at(l, inode, true)->first = at + 1;
		return r < 0 ? out_failed(r, e) : 0;
	}
	r = extras_text(&l->extras, at - 1, &l->first);
	if (r < 0)
		return out_failed(r, e);
	if (!span_eq(buf_span(&l->first), buf_span(&l->path)))
		l->entry_out.first_name = buf_span(&l->first);
	return 0;
}

static int show(struct listing *l, uint32_t inode, struct span path, struct err *e)
{
	struct listing_entry *out = &l->entry_out;
	struct inode *n = &l->inode_out;
	int r;

	*n = *inode_at(l, inode, false);
	buf_clear(&l->extra);
	buf_reserve(&l->extra, (size_t)n->link_n + n->xattrs_n);
	r = l->pages.err;
	if (r == 0)
		r = extras_read(&l->extras, n->extra, l->extra.p, (size_t)n->link_n + n->xattrs_n);
	if (r < 0)
		return out_failed(r, e);
	l->extra.n = (size_t)n->link_n + n->xattrs_n;
	*out = (struct listing_entry){
		.type = n->type,
		.opaque = n->opaque,
		.implied = n->implied != IMPLIED_NOT,
		.for_whiteout = n->implied == IMPLIED_BY_WHITEOUT,
		.mode = n->mode,
		.uid = n->uid,
		.gid = n->gid,
		.mtime = { .sec = n->sec, .nsec = n->nsec },
		.size = n->size,
		.link = span_of(l->extra.p, n->link_n),
		.dev_major = n->dev_major,
		.dev_minor = n->dev_minor,
		.inode = inode,
		.nlink = n->nlink,
		.sha256 = n->has_digest ? n->sha256 : NULL,
		.layer = n->layer,
		.entry = n->entry,
	};
	out->xattrs_n = listing_xattrs(l, span_tail(buf_span(&l->extra), n->link_n));
	out->xattrs = l->xattrs_out;
	out->path = path;
	return 1;
}

static void go_down(struct listing *l, uint32_t dir)
{
	if (l->levels_n == l->levels_cap) {
		l->levels_cap = l->levels_cap ? 2 * l->levels_cap : 16;
		l->levels = xrealloc(l->levels, l->levels_cap * sizeof(*l->levels));
	}
	l->levels[l->levels_n++] = (struct listing_level){ .dir = dir, .path_n = l->path.n };
	name_key(&l->at, dir, NAME_WHITEOUT, span_of("", 0));
}

/* To the directory above, behind the one that ends. */
static void go_up(struct listing *l)
{
	struct span path = span_of(l->path.p, l->levels[--l->levels_n].path_n);

	if (!l->levels_n)
		return;
	const struct listing_level *above = &l->levels[l->levels_n - 1];
	size_t from = above->path_n ? above->path_n + 1 : 0;
	name_key(&l->at, above->dir, NAME_ENTRY, span_tail(path, from));
}

static void name_path(struct listing *l)
{
	l->path.n = l->levels[l->levels_n - 1].path_n;
	if (l->path.n)
		buf_addc(&l->path, '/');
	buf_add_span(&l->path, name_key_name(&l->at));
}

/* The name at l->at, in the directory that is being listed. */
static int show_next(struct listing *l, uint32_t inode, struct err *e)
{
	name_path(l);
	buf_str(&l->path);
	if (name_key_kind(&l->at) == NAME_WHITEOUT) {
		l->entry_out =
			(struct listing_entry){ .path = buf_span(&l->path), .whiteout = true };
		return 1;
	}
	int r = show(l, inode, buf_span(&l->path), e);
	if (r < 0)
		return r;
	l->descend = l->entry_out.type == TAR_DIR;
	l->down_to = inode;
	r = show_first_name(l, inode, e);
	return r < 0 ? r : 1;
}

int listing_next(struct listing *l, const struct listing_entry **entry, struct err *e)
{
	struct name_value v = { 0 };

	*entry = &l->entry_out;
	if (!l->begun) {
		l->begun = l->descend = true;
		l->down_to = ROOT_INODE;
		buf_clear(&l->path);
		buf_str(&l->path);
		return show(l, ROOT_INODE, buf_span(&l->path), e);
	}
	if (l->descend)
		go_down(l, l->down_to);
	l->descend = false;
	while (l->levels_n && !l->pages.err) {
		uint32_t dir = l->levels[l->levels_n - 1].dir;

		if (nametree_next(&l->names, &l->at, &v) && name_key_dir(&l->at) == dir)
			return show_next(l, v.inode, e);
		go_up(l);
	}
	return l->pages.err ? out_failed(l->pages.err, e) : 0;
}

int listing_find(struct listing *l, uint32_t dir, struct span name,
		 const struct listing_entry **entry, struct err *e)
{
	struct name_value v = { .inode = dir };

	*entry = &l->entry_out;
	if (name.n && !listing_look(l, dir, name, &v))
		return l->pages.err ? out_failed(l->pages.err, e) : 0;
	return show(l, v.inode, name, e);
}

int listing_name_after(struct listing *l, uint32_t dir, struct buf *name, struct err *e)
{
	struct name_key k;
	struct name_value v;

	name_key(&k, dir, NAME_ENTRY, buf_span(name));
	buf_clear(name);
	bool found = nametree_next(&l->names, &k, &v) && name_key_dir(&k) == dir;
	if (l->pages.err)
		return out_failed(l->pages.err, e);
	if (found)
		buf_add_span(name, name_key_name(&k));
	return found;
}

void listing_rewind(struct listing *l)
{
	l->begun = l->descend = false;
	l->levels_n = 0;
}

struct tar_entry listing_tar_entry(const struct listing_entry *e, bool links)
{
	bool link = links && e->first_name.n;

	return (struct tar_entry){
		.type = link ? TAR_HARDLINK : e->type,
		.name = e->path,
		.link = link ? e->first_name : e->link,
		.mode = e->mode,
		.uid = e->uid,
		.gid = e->gid,
		.mtime = e->mtime,
		.size = e->size,
		.dev_major = e->dev_major,
		.dev_minor = e->dev_minor,
		.xattrs = e->xattrs,
		.xattrs_n = e->xattrs_n,
	};
}

bool listing_is_upon(const struct listing *l)
{
	return l->o.upon;
}

struct stream *listing_contents(struct listing *l)
{
	return stream_from_file(l->spool, l->inode_out.contents, l->inode_out.size);
}
