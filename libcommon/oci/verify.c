/* All that an image says of itself, checked by reading it. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/oci/oci_private.h"

/* A blob that has been read. */
struct seen {
	struct digest digest, diff_id;
	uint64_t size;
	bool is_layer;
};

struct verify {
	struct image *img;
	const struct listing_options *o;
	struct verify_stats *st;
	struct err *e;
	struct seen *seen;
	size_t seen_n;
	struct layers_size size;
};

int layers_size_add(struct layers_size *n, const struct tar_entry *entry,
		    const struct listing_options *o, struct err *e)
{
	uint64_t more = entry->type == TAR_FILE ? entry->size : 0;

	if (o->max_entries && n->entries >= o->max_entries)
		return err_set(e, E_TOOBIG, "%s: more than %llu entries (--max-entries)",
			       quoted(entry->name), (unsigned long long)o->max_entries);
	if (o->max_total && more > o->max_total - MIN(o->max_total, n->bytes))
		return err_set(e, E_TOOBIG, "%s: the files have more than %llu bytes (--max-size)",
			       quoted(entry->name), (unsigned long long)o->max_total);
	n->entries++;
	n->bytes += more;
	return 0;
}

static struct seen *find(struct verify *v, const struct digest *d)
{
	for (size_t i = 0; i < v->seen_n; i++)
		if (digest_eq(&v->seen[i].digest, d))
			return &v->seen[i];
	return NULL;
}

static struct seen *note(struct verify *v, const struct descriptor *d)
{
	if (!(v->seen_n & (v->seen_n - 1)))
		v->seen = xrealloc(v->seen, (v->seen_n ? 2 * v->seen_n : 1) * sizeof(*v->seen));
	struct seen *s = &v->seen[v->seen_n++];
	*s = (struct seen){ .digest = d->digest, .size = d->size };
	v->st->blobs++;
	v->st->bytes += d->size;
	return s;
}

/* Under one digest there is one size. */
static int same_size(struct verify *v, const struct seen *s, const struct descriptor *d)
{
	char text[DIGEST_TEXT_MAX];

	if (s->size == d->size)
		return 0;
	return err_set(v->e, E_SIZE, "%s has two sizes: %llu and %llu",
		       digest_text(&d->digest, text), (unsigned long long)s->size,
		       (unsigned long long)d->size);
}

/* Any blob that is no layer. */
static int read_blob(struct verify *v, const struct descriptor *d, struct buf *out)
{
	_cleanup_(stream_closep) struct stream *s = NULL;
	int r = image_blob(v->img, d, &s, v->e);

	if (r == 0)
		r = out ? stream_read_all(s, DOC_CONFIG_MAX, out) : stream_drain(s);
	return r;
}

static int check_blob(struct verify *v, const struct descriptor *d)
{
	const struct seen *s = find(v, &d->digest);

	if (s)
		return same_size(v, s, d);
	int r = read_blob(v, d, NULL);
	if (r == 0)
		note(v, d);
	return r;
}

static int read_archive(struct verify *v, struct stream *s)
{
	_cleanup_(tar_closep) struct tar *t = tar_open(s, &v->o->tar, v->e);
	const struct tar_entry *entry;
	int r;

	while ((r = tar_next(t, &entry)) > 0) {
		r = layers_size_add(&v->size, entry, v->o, v->e);
		if (r < 0)
			break;
		v->st->entries++;
	}
	return r;
}

static int check_layer(struct verify *v, const struct descriptor *d, const struct digest *diff_id)
{
	const struct seen *s = find(v, &d->digest);
	struct stream *archive = NULL;
	int r;

	if (s && s->is_layer && !digest_eq(&s->diff_id, diff_id))
		return err_set(v->e, E_DIGEST,
			       "another image of the index gives it another diff_id");
	if (s)
		return same_size(v, s, d);
	r = layer_open(v->img, d, diff_id, &v->o->decompress, v->o->one_thread, &archive, v->e);
	if (r < 0)
		return r;
	r = read_archive(v, archive);
	if (r == 0)
		r = stream_drain(archive);
	v->st->unpacked += archive->offset;
	r = layer_end(v->img, archive, diff_id, r, v->e);
	if (r < 0)
		return r;
	struct seen *now = note(v, d);
	now->is_layer = true;
	now->diff_id = *diff_id;
	return 0;
}

static int layer_failed(struct verify *v, const struct document *m, size_t i, int r)
{
	char text[DIGEST_TEXT_MAX];

	err_set(v->e, r, "%s", err_word(r));
	err_prefix(v->e, "layer %zu of %zu (%.19s)", i + 1, m->layers_n,
		   digest_text(&m->layers[i].digest, text));
	return r;
}

/* An artifact: its blobs are what they say, whatever that is. */
static int check_artifact(struct verify *v, const struct document *m)
{
	int r = check_blob(v, &m->config);

	for (size_t i = 0; r == 0 && i < m->layers_n; i++) {
		r = check_blob(v, &m->layers[i]);
		if (r < 0)
			return layer_failed(v, m, i, r);
	}
	return r;
}

static int read_config(struct verify *v, const struct document *m, const struct platform *listed,
		       struct config *c)
{
	_cleanup_(buf_release) struct buf raw = BUF_INIT;
	const struct config *known = image_config(v->img);
	int r = 0;

	if (m->config.size > DOC_CONFIG_MAX)
		return err_set(v->e, E_TOOBIG, "an image config of %llu bytes; at most %d are read",
			       (unsigned long long)m->config.size, DOC_CONFIG_MAX);
	if (known)
		buf_add_span(&raw, buf_span(&known->raw));
	else
		r = read_blob(v, &m->config, &raw);
	if (r == 0)
		r = config_parse(&raw, c, v->e);
	if (r == 0)
		r = config_check(c, m, listed, v->e);
	if (r == 0 && !find(v, &m->config.digest))
		note(v, &m->config);
	return r;
}

static int check_manifest(struct verify *v, const struct document *m, const struct platform *listed)
{
	_cleanup_(config_release) struct config c = { 0 };
	int r;

	v->st->manifests++;
	if (!descriptor_is_image_config(&m->config))
		return check_artifact(v, m);
	/* attestations carry a config of an image, but name no platform that there is */
	if (listed && !platform_match(listed, listed))
		listed = NULL;
	r = read_config(v, m, listed, &c);
	if (r < 0)
		return r;
	for (size_t i = 0; i < m->layers_n; i++) {
		const struct descriptor *d = &m->layers[i];

		v->st->layers++;
		/* in-toto statements stand in the place of layers */
		r = descriptor_compression(d) == COMPRESSION_UNKNOWN
			    ? check_blob(v, d)
			    : check_layer(v, d, &c.diff_ids[i]);
		if (r < 0)
			return layer_failed(v, m, i, r);
	}
	return 0;
}

/* The platform that an index gives to the document. */
static const struct platform *listed_platform(const struct document *const *docs, size_t n,
					      const struct digest *d)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < docs[i]->manifests_n; k++)
			if (digest_eq(&docs[i]->manifests[k].digest, d) &&
			    docs[i]->manifests[k].has_platform)
				return &docs[i]->manifests[k].platform;
	return NULL;
}

int image_verify(struct image *img, const struct listing_options *o, struct verify_stats *st,
		 struct err *e)
{
	struct verify v = { .img = img, .o = o, .st = st, .e = e };
	const struct document *one = image_manifest(img);
	const struct document *const *docs;
	char text[DIGEST_TEXT_MAX];
	size_t n;
	int r = one ? check_manifest(&v, one, NULL) : 0;

	docs = image_documents(img, &n);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (docs[i]->kind != DOC_MANIFEST)
			continue;
		r = check_manifest(&v, docs[i], listed_platform(docs, n, &docs[i]->digest));
		if (r < 0) {
			err_set(e, r, "%s", err_word(r));
			err_prefix(e, "manifest %.19s", digest_text(&docs[i]->digest, text));
		}
	}
	free(v.seen);
	return r == 0 ? image_finish(img, e) : r;
}
