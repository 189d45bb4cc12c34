/* One layer: from its blob to the bytes of its archive. */
#include "libcommon/oci/image.h"

int layer_open(struct image *img, const struct descriptor *d, const struct digest *diff_id,
	       const struct decompress_limits *lim, bool one_thread, struct stream **out,
	       struct err *e)
{
	enum compression c = descriptor_compression(d), magic;
	struct stream *s = NULL;
	int r;

	if (c == COMPRESSION_UNKNOWN)
		return err_set(e, E_UNSUPPORTED, "media type %s is no layer that can be read",
			       quoted_str(d->media_type));
	r = image_blob(img, d, &s, e);
	if (r < 0)
		return r;
	/* Some writers name one and write the other. */
	magic = compression_from_magic(stream_peek(s));
	if (magic != COMPRESSION_UNKNOWN && magic != COMPRESSION_NONE)
		c = magic;
	if (!one_thread && c != COMPRESSION_NONE)
		s = stream_readahead(s, 0);
	s = stream_decompress(s, c, lim, e);
	if (!one_thread)
		s = stream_readahead(s, 0);
	img->inflated = c != COMPRESSION_NONE;
	*out = stream_hash(s, diff_id ? diff_id->alg : HASH_SHA256);
	return 0;
}

int layer_end(struct image *img, struct stream *src, const struct digest *diff_id, int r,
	      struct err *e)
{
	_cleanup_(stream_closep) struct stream *s = src;
	char wanted[DIGEST_TEXT_MAX], got[DIGEST_TEXT_MAX];

	if (r == 0)
		r = stream_drain(s);
	if (img) {
		img->stats.hashed += s->offset;
		img->stats.inflated += img->inflated ? s->offset : 0;
	}
	/* What is wrong with the blob matters, not where in the archive it showed. */
	if (r < 0 && r == stream_error(s) && (r == E_DIGEST || r == E_SIZE))
		err_clear(e);
	if (r < 0)
		return err_set(e, r, "%s", err_word(r)), r;
	if (!diff_id)
		return 0;
	struct digest d = { .alg = diff_id->alg };
	stream_hash_final(s, d.v);
	if (!digest_eq(&d, diff_id))
		return err_set(e, E_DIGEST,
			       "the uncompressed layer hashes to %s, its diff_id is %s",
			       digest_text(&d, got), digest_text(diff_id, wanted));
	return 0;
}
