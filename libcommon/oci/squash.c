/* A listing, written as one layer of format 1. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/oci.h"

#define WHITEOUT ".wh."
#define OPAQUE	 ".wh..wh..opq"

struct squash {
	struct listing *l;
	const struct squash_options *o;
	struct sink *out;
	struct err *e;
	struct buf header, name;
	struct buf hider; /* the directory that hides all that lies below, if hides */
	bool hides;
};

static void squash_release(struct squash *s)
{
	buf_release(&s->header);
	buf_release(&s->name);
	buf_release(&s->hider);
}

static int out_failed(const struct squash *s)
{
	return s->out->err
		       ? err_set(s->e, s->out->err, "writing the layer: %s", err_word(s->out->err))
		       : 0;
}

static int put_header(struct squash *s, const struct tar_entry *e)
{
	buf_clear(&s->header);
	int r = tar_header(&s->header, e, s->e);
	if (r < 0)
		return r;
	sink_write(s->out, buf_span(&s->header));
	return out_failed(s);
}

/* An entry that is only a name: front before the last part of path, or (back) behind it. */
static int put_mark(struct squash *s, struct span path, const char *front, const char *back)
{
	size_t slash = back ? path.n : span_rfind(path, '/');
	size_t dir = !back && slash == path.n ? 0 : slash;

	buf_clear(&s->name);
	buf_add_span(&s->name, span_of(path.p, dir));
	if (s->name.n)
		buf_addc(&s->name, '/');
	buf_adds(&s->name, back ? back : front);
	if (!back)
		buf_add_span(&s->name, span_tail(path, dir ? dir + 1 : 0));
	return put_header(s, &(struct tar_entry){ .type = TAR_FILE, .name = buf_span(&s->name) });
}

static int put_contents(struct squash *s, uint64_t size)
{
	_cleanup_(stream_closep) struct stream *data = listing_contents(s->l);
	int r = sink_copy(s->out, data);

	if (r < 0)
		return err_set(s->e, r, "the contents of the layer: %s", err_word(r));
	sink_write(s->out, span_of(tar_zeros, tar_padding(size)));
	return out_failed(s);
}

static int put_entry(struct squash *s, const struct listing_entry *e)
{
	struct tar_entry t = listing_tar_entry(e, true);

	if (!t.name.n)
		t.name = SPAN(".");
	if (t.type == TAR_SYMLINK)
		t.mode = 0777;
	if (t.type == TAR_HARDLINK)
		t.size = t.xattrs_n = 0;
	t.mtime.nsec = 0;
	if (s->o->has_clamp && t.mtime.sec > s->o->clamp)
		t.mtime.sec = s->o->clamp;
	int r = put_header(s, &t);
	return r == 0 && t.type == TAR_FILE ? put_contents(s, e->size) : r;
}

/* Is path in the directory that hides all that lies below? */
static bool is_hidden(struct squash *s, struct span path)
{
	struct span dir = buf_span(&s->hider);

	s->hides = s->hides && (!dir.n || (path.n > dir.n && path.p[dir.n] == '/' &&
					   !memcmp(path.p, dir.p, dir.n)));
	return s->hides;
}

static int put_one(struct squash *s, const struct listing_entry *e, bool upon)
{
	bool hidden = is_hidden(s, e->path);
	int r = 0;

	if (e->whiteout)
		return hidden ? 0 : put_mark(s, e->path, WHITEOUT, NULL);
	/* what no layer says of a directory below holds on, where something below can be seen */
	if (!e->implied || !upon || (hidden && !e->for_whiteout))
		r = put_entry(s, e);
	if (r < 0 || !e->opaque || hidden)
		return r;
	s->hides = true;
	buf_clear(&s->hider);
	buf_add_span(&s->hider, e->path);
	return put_mark(s, e->path, NULL, OPAQUE);
}

int squash_write(struct listing *l, const struct squash_options *o, struct sink *out, struct err *e)
{
	_cleanup_(squash_release) struct squash s = { .l = l, .o = o, .out = out, .e = e };
	const struct listing_entry *entry;
	int r;

	listing_rewind(l);
	while ((r = listing_next(l, &entry, e)) > 0) {
		r = put_one(&s, entry, listing_is_upon(l));
		if (r < 0)
			break;
	}
	if (r < 0)
		return r;
	sink_write(out, span_of(tar_zeros, sizeof(tar_zeros)));
	sink_flush(out);
	return out_failed(&s);
}

int squash_layer(struct listing *l, const struct squash_options *o, struct layer_file *out,
		 struct blob_stats *stats, struct err *e)
{
	_cleanup_(sink_closep) struct sink *plain = NULL;
	struct layer_file f = { .spooled = true, .measured = true };
	struct sink *made;
	int r = compression_check(&o->compression, e);

	if (r < 0)
		return r;
	f.fd = spool_open();
	if (f.fd < 0)
		return err_set(e, f.fd, "a temporary file in TMPDIR for the layer: %s",
			       err_word(f.fd));
	made = sink_hash(sink_from_fd(f.fd, false), HASH_SHA256);
	plain = sink_hash(sink_compress(made, &o->compression, o->threads), HASH_SHA256);
	r = squash_write(l, o, plain, e);
	if (r < 0) {
		fd_close(f.fd);
		return r;
	}
	f.digest.alg = f.diff_id.alg = HASH_SHA256;
	sink_hash_final(made, f.digest.v);
	sink_hash_final(plain, f.diff_id.v);
	f.size = made->offset;
	f.compression = o->compression.kind;
	if (stats) {
		stats->hashed += plain->offset + made->offset;
		stats->compressed += plain->offset;
		stats->spooled += made->offset;
	}
	*out = f;
	return 0;
}
