/* The layers of a composed image, made one. */
#include "libcommon/oci.h"

static int open_file(const struct layer_file *f, const struct listing_options *lo,
		     struct blob_stats *stats, struct stream **out, struct err *e)
{
	struct stream *s = stream_from_file(f->fd, f->offset, f->size);

	if (!f->spooled) {
		s = stream_verify(s, f->digest.alg, f->digest.v, f->size);
		stats->hashed += f->size;
	}
	s = stream_decompress(stream_readahead(s, 0), f->compression, &lo->decompress, e);
	*out = stream_hash(s, HASH_SHA256);
	return 0;
}

static int add(struct listing *l, const struct composed_layer *c, const struct listing_options *lo,
	       struct blob_stats *stats, struct err *e)
{
	struct stream *s = NULL;
	uint64_t plain;
	int r = c->file ? open_file(c->file, lo, stats, &s, e)
			: layer_open(c->from, &c->d, &c->diff_id, &lo->decompress, lo->one_thread,
				     &s, e);

	if (r < 0)
		return r;
	stats->read += c->d.size;
	stats->hashed += c->file ? 0 : c->d.size;
	r = listing_add(l, s, e);
	plain = s->offset;
	stats->hashed += plain;
	stats->inflated += descriptor_compression(&c->d) == COMPRESSION_NONE ? 0 : plain;
	return layer_end(c->from, s, &c->diff_id, r, e);
}

struct squashing {
	const struct composition *c;
	const struct listing_options *limits;
	struct blob_stats *stats;
	bool told; /* of which layer a fault is: those below are read while one above is */
};

static int add_all(struct listing *l, struct squashing *s, const struct listing_options *lo,
		   size_t from, size_t to, struct err *e)
{
	int r = 0;

	for (size_t i = from; r == 0 && i < to; i++) {
		r = add(l, &s->c->layers[i], lo, s->stats, e);
		err_set(r < 0 ? e : NULL, r, "%s", err_word(r));
		if (r < 0 && !s->told)
			err_prefix(e, "layer %zu of %zu", i + 1, s->c->layers_n);
		s->told |= r < 0;
	}
	return r;
}

/* The names of what is not squashed. */
static int list_below(void *arg, struct listing **out, struct err *e)
{
	struct squashing *s = arg;
	struct listing_options lo = *s->limits;

	lo.memory = MIB(3);
	int r = listing_new(&lo, out, e);
	return r < 0 ? r : add_all(*out, s, &lo, 0, s->c->squash_from, e);
}

static int squash(const struct composition *c, const struct listing_options *limits,
		  const struct squash_options *so, struct layer_file *out, struct blob_stats *stats,
		  struct err *e)
{
	_cleanup_(listing_closep) struct listing *l = NULL;
	struct squashing s = { c, limits, stats, false };
	struct listing_options lo = *limits;

	lo.upon = c->squash_from > 0;
	lo.contents = true;
	lo.below = lo.upon ? list_below : NULL;
	lo.below_arg = &s;
	int r = listing_new(&lo, &l, e);
	if (r == 0)
		r = add_all(l, &s, &lo, c->squash_from, c->layers_n, e);
	if (r == 0)
		r = listing_done(l, e);
	return r < 0 ? r : squash_layer(l, so, out, stats, e);
}

int compose_squashed(struct compose_options *o, const struct listing_options *lo,
		     const struct squash_options *so, struct layer_file *squashed,
		     struct composition *c, struct blob_stats *stats, struct err *e)
{
	bool any = c->layers_n > c->squash_from;
	int r = any ? squash(c, lo, so, squashed, stats, e) : 0;

	composition_release(c);
	if (any)
		o->squashed = squashed;
	else
		o->squash = IMAGE_SQUASH_NONE;
	return r < 0 ? r : compose(o, c, e);
}
