/* A composed image, written: its config, then its layers, each from where it is. */
#include "libcommon/oci.h"

static int write_base_layer(const struct composed_layer *l, struct image_target *t, struct err *e)
{
	_cleanup_(stream_closep) struct stream *s = NULL;
	int r = image_blob(l->from, &l->d, &s, e);

	if (r == 0)
		r = image_target_blob(t, &l->d, s, e);
	t->stats->read += l->d.size;
	t->stats->hashed += l->d.size;
	return r;
}

/* A stream need not keep what will not be asked for. */
static void pass_over(const struct compose_options *o, const struct composition *c,
		      const struct image_target *t)
{
	for (size_t i = 0; o->old_base && i < image_manifest(o->old_base)->layers_n; i++) {
		const struct descriptor *d = &image_manifest(o->base)->layers[i];
		bool used = false;

		for (size_t k = 0; k < c->layers_n; k++)
			used |= c->layers[k].from == o->base &&
				digest_eq(&c->layers[k].d.digest, &d->digest);
		if (!used)
			image_pass_over(o->base, &d->digest);
	}
	for (size_t i = 0; i < c->layers_n; i++)
		if (c->layers[i].from && image_target_has(t, &c->layers[i].d))
			image_pass_over(c->layers[i].from, &c->layers[i].d.digest);
}

int compose_write(const struct compose_options *o, const struct composition *c,
		  const struct layer_limits *lim, struct image_target *t, struct err *e)
{
	_cleanup_(stream_closep) struct stream *config = stream_from_span(buf_span(&c->config));
	struct image *images[] = { o->base, o->old_base, o->new_base };
	int r = image_target_blob(t, &c->manifest.config, config, e);

	pass_over(o, c, t);
	for (size_t i = 0; r == 0 && i < c->layers_n; i++) {
		const struct composed_layer *l = &c->layers[i];

		if (l->file)
			r = layer_file_write(l->file, &l->d, lim, t, e);
		else if (!image_target_has(t, &l->d))
			r = write_base_layer(l, t, e);
		if (r < 0)
			err_prefix(e, "layer %zu of %zu", i + 1, c->layers_n);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_LEN(images); i++)
		if (images[i])
			r = image_finish(images[i], e);
	return r;
}
