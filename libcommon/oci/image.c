/* Which image of an index.json, which of its platforms: the same for all carriers. */
#include "libcommon/oci/image.h"

#include <stdlib.h>
#include <string.h>

enum {
	NESTING_MAX = 8,
	LISTED_MAX = 16,
	LIST_BYTES_MAX = 300,
	DOCS_MAX = 4096,
	DOCS_BYTES_MAX = 32 << 20,
};

int image_check_bytes(struct span bytes, const struct descriptor *d, struct err *e)
{
	char text[DIGEST_TEXT_MAX];
	struct digest got = digest_of(d->digest.alg, bytes);

	digest_text(&d->digest, text);
	if (bytes.n != d->size)
		return err_set(e, E_SIZE, "%s has %zu bytes but its descriptor says %llu", text,
			       bytes.n, (unsigned long long)d->size);
	if (!digest_eq(&got, &d->digest))
		return err_set(e, E_DIGEST, "the bytes of %s do not hash to it", text);
	return 0;
}

int image_parse_index(struct buf *raw, struct document *index, struct err *e)
{
	int r = document_parse(raw, NULL, index, e);

	if (r < 0)
		return err_prefix(e, "index.json"), r;
	if (index->kind == DOC_INDEX)
		return 0;
	document_release(index);
	return err_set(e, E_FORMAT, "index.json is a manifest, not an index");
}

/* ---- choice in index.json ---- */

static bool is_named(const struct descriptor *d, const char *tag)
{
	return (d->ref_name && !strcmp(d->ref_name, tag)) ||
	       (d->image_name && !strcmp(d->image_name, tag));
}

static const char *name_of(const struct descriptor *d)
{
	return d->image_name ? d->image_name : d->ref_name ? d->ref_name : "";
}

static void list_names(const struct document *index, struct buf *out)
{
	size_t shown = 0;

	for (size_t i = 0; i < index->manifests_n && shown < LISTED_MAX && out->n < LIST_BYTES_MAX;
	     i++) {
		const struct descriptor *d = &index->manifests[i];
		char text[DIGEST_TEXT_MAX];

		buf_adds(out, shown++ ? ", " : "");
		if (d->ref_name)
			buf_add_quoted(out, span_str(d->ref_name), 128);
		else
			buf_adds(out, digest_text(&d->digest, text));
	}
	if (index->manifests_n > shown)
		buf_adds(out, ", ...");
}

static int none_chosen(const struct document *index, const struct image_options *o, struct err *e)
{
	_cleanup_(buf_release) struct buf names = BUF_INIT;
	char text[DIGEST_TEXT_MAX];

	if (!index->manifests_n)
		return err_set(e, E_NOT_FOUND, "index.json names no image");
	list_names(index, &names);
	if (o->digest)
		return err_set(e, E_NOT_FOUND, "no image %s; there are: %s",
			       digest_text(o->digest, text), buf_str(&names));
	if (o->tag)
		return err_set(e, E_NOT_FOUND, "no image is named %s; there are: %s",
			       quoted_str(o->tag), buf_str(&names));
	return err_set(e, E_NOT_FOUND, "there are several images, name one: %s", buf_str(&names));
}

/* One image under one digest, or one under one name for several platforms? */
static bool is_one_image(const struct descriptor *const *c, size_t n, bool *platforms)
{
	bool same_digest = true, same_name = true;

	*platforms = true;
	for (size_t i = 0; i < n; i++) {
		same_digest &= digest_eq(&c[i]->digest, &c[0]->digest);
		same_name &= !strcmp(name_of(c[i]), name_of(c[0]));
		*platforms &= c[i]->has_platform;
	}
	if (same_digest)
		*platforms = false;
	return same_digest || (same_name && *platforms);
}

static int choose_platform(const struct descriptor *const *c, size_t n, const struct platform *want,
			   const struct descriptor **out, struct err *e)
{
	/* borrows the descriptors */
	struct document part = { .kind = DOC_INDEX, .manifests_n = n };
	_cleanup_(freep) struct descriptor *list = xcalloc(n, sizeof(*list));
	size_t pos = 0;
	int r;

	for (size_t i = 0; i < n; i++)
		list[i] = *c[i];
	part.manifests = list;
	r = document_choose(&part, want, &pos, e);
	*out = c[pos];
	return r;
}

static int choose_top(const struct document *index, const struct image_options *o,
		      const struct platform *want, const struct descriptor **out, struct err *e)
{
	_cleanup_(freep) const struct descriptor **c =
		xcalloc(index->manifests_n + 1, sizeof(void *));
	bool platforms;
	size_t n = 0;

	for (size_t i = 0; i < index->manifests_n; i++) {
		const struct descriptor *d = &index->manifests[i];

		if (o->digest ? digest_eq(o->digest, &d->digest) : !o->tag || is_named(d, o->tag))
			c[n++] = d;
	}
	if (!n || !is_one_image(c, n, &platforms))
		return none_chosen(index, o, e);
	if (platforms && n > 1)
		return choose_platform(c, n, want, out, e);
	*out = c[0];
	return 0;
}

/* Names that an archive gives are only data: what is no reference is none (T73). */
static char *full_name(const struct descriptor *d)
{
	const char *name = name_of(d);
	struct reference ref;
	char *text;

	if (!strpbrk(name, "/:") || reference_parse(name, &ref, NULL) < 0)
		return NULL;
	text = reference_text(&ref);
	reference_release(&ref);
	return text;
}

/* ---- from there to the manifest ---- */

static int load(struct image *img, const struct descriptor *d, uint64_t max, const char *what,
		struct buf *out, struct err *e)
{
	if (d->size > max)
		return err_set(e, E_TOOBIG, "%s of %llu bytes; at most %llu are read", what,
			       (unsigned long long)d->size, (unsigned long long)max);
	img->stats.read += d->size;
	img->stats.hashed += d->size;
	return img->ops->load(img, d, out, e);
}

/* Follows indexes from *at, which becomes the manifest's descriptor, with the platform that the
 * last index said. */
static int descend(struct image *img, struct descriptor *at, const struct platform *want,
		   struct err *e)
{
	for (int depth = 0; depth <= NESTING_MAX; depth++) {
		_cleanup_(buf_release) struct buf raw = BUF_INIT;
		_cleanup_(document_release) struct document doc = { 0 };
		char text[DIGEST_TEXT_MAX];
		size_t pos = 0;
		int r = load(img, at, DOC_MANIFEST_MAX, "a manifest", &raw, e);

		if (r < 0)
			return r;
		r = document_parse(&raw, at->media_type, &doc, e);
		if (r < 0)
			return err_prefix(e, "%s", digest_text(&at->digest, text)), r;
		doc.digest = at->digest;
		if (doc.kind == DOC_MANIFEST) {
			img->manifest = doc;
			doc = (struct document){ 0 };
			return 0;
		}
		r = document_choose(&doc, want, &pos, e);
		if (r < 0)
			return r;
		if (img->ops->unwanted)
			img->ops->unwanted(img, doc.manifests, doc.manifests_n, pos);
		descriptor_release(at);
		descriptor_copy(at, &doc.manifests[pos]);
	}
	return err_set(e, E_TOOBIG, "indexes are nested more than %d deep", NESTING_MAX);
}

/* ---- all of it ---- */

static bool have_document(const struct image *img, const struct digest *d)
{
	for (size_t i = 0; i < img->docs_n; i++)
		if (digest_eq(&img->docs[i]->digest, d))
			return true;
	return false;
}

static int add_document(struct image *img, const struct descriptor *d, struct document **out,
			struct err *e)
{
	_cleanup_(buf_release) struct buf raw = BUF_INIT;
	struct document doc;
	char text[DIGEST_TEXT_MAX];
	uint64_t bytes = d->size;

	for (size_t i = 0; i < img->docs_n; i++)
		bytes += img->docs[i]->raw.n;
	if (img->docs_n == DOCS_MAX || bytes > DOCS_BYTES_MAX)
		return err_set(e, E_TOOBIG,
			       "the index names more than %d documents or %d MiB of them", DOCS_MAX,
			       DOCS_BYTES_MAX >> 20);

	int r = load(img, d, DOC_MANIFEST_MAX, "a manifest", &raw, e);
	if (r < 0)
		return r;
	r = document_parse(&raw, d->media_type, &doc, e);
	if (r < 0)
		return err_prefix(e, "%s", digest_text(&d->digest, text)), r;
	doc.digest = d->digest;
	*out = xmemdup(&doc, sizeof(doc));
	img->docs = xrealloc(img->docs, (img->docs_n + 1) * sizeof(*img->docs));
	img->docs[img->docs_n++] = *out;
	return 0;
}

static int load_all(struct image *img, const struct descriptor *d, int depth, struct err *e)
{
	struct document *doc;

	if (have_document(img, &d->digest))
		return 0;
	if (depth > NESTING_MAX)
		return err_set(e, E_TOOBIG, "indexes are nested more than %d deep", NESTING_MAX);

	int r = add_document(img, d, &doc, e);
	for (size_t i = 0; !r && i < doc->manifests_n; i++)
		r = load_all(img, &doc->manifests[i], depth + 1, e);
	return r;
}

static int load_config(struct image *img, const struct descriptor *listed,
		       const struct platform *wanted, struct err *e)
{
	_cleanup_(buf_release) struct buf raw = BUF_INIT;
	char have[100], want[100];
	int r;

	if (!descriptor_is_image_config(&img->manifest.config))
		return 0;
	r = load(img, &img->manifest.config, DOC_CONFIG_MAX, "an image config", &raw, e);
	if (r == 0)
		r = config_parse(&raw, &img->config, e);
	if (r < 0)
		return r;
	img->has_config = true;
	r = config_check(&img->config, &img->manifest,
			 listed->has_platform ? &listed->platform : NULL, e);
	if (r < 0 || !wanted->os[0] || !img->config.platform.os[0] ||
	    platform_match(wanted, &img->config.platform))
		return r;
	/* an index may say a lower variant than the config of its image */
	if (listed->has_platform && platform_match(wanted, &listed->platform))
		return 0;
	return err_set(e, E_NOT_FOUND, "the image is for %s, not for %s",
		       platform_text(&img->config.platform, have), platform_text(wanted, want));
}

int image_resolve(struct image *img, const struct document *index, const struct image_options *o,
		  struct err *e)
{
	_cleanup_(descriptor_release) struct descriptor at = { 0 };
	const struct descriptor *top = NULL;
	struct platform want = o->want;
	struct document *only;
	int r;

	if (!want.os[0])
		platform_host(&want);
	r = choose_top(index, o, &want, &top, e);
	if (r < 0)
		return r;
	if (img->ops->unwanted)
		img->ops->unwanted(img, index->manifests, index->manifests_n,
				   (size_t)(top - index->manifests));
	img->ref_name = full_name(top);
	img->top = top->digest;
	img->whole = o->whole || o->top_only;
	if (o->top_only)
		return add_document(img, top, &only, e);
	if (o->whole)
		return load_all(img, top, 0, e);
	descriptor_copy(&at, top);
	r = descend(img, &at, &want, e);
	return r < 0 ? r : load_config(img, &at, &o->want, e);
}

/* ---- what applets see ---- */

void image_close(struct image *img)
{
	if (!img)
		return;
	document_release(&img->manifest);
	if (img->has_config)
		config_release(&img->config);
	freep(&img->ref_name);
	for (size_t i = 0; i < img->docs_n; i++) {
		document_release(img->docs[i]);
		free(img->docs[i]);
	}
	free(img->docs);
	img->ops->close(img);
}

void image_closep(struct image **img)
{
	image_close(*img);
}

const struct document *image_manifest(const struct image *img)
{
	return img->whole ? NULL : &img->manifest;
}

const struct document *const *image_documents(const struct image *img, size_t *n)
{
	*n = img->docs_n;
	return (const struct document *const *)img->docs;
}

const struct config *image_config(const struct image *img)
{
	return img->has_config ? &img->config : NULL;
}

const struct digest *image_digest(const struct image *img)
{
	return &img->top;
}

const char *image_ref_name(const struct image *img)
{
	return img->ref_name;
}

bool image_random_access(const struct image *img)
{
	return img->ops->random_access;
}

int image_blob(struct image *img, const struct descriptor *d, struct stream **out, struct err *e)
{
	int r = img->ops->blob(img, d, out, e);

	/* by several threads at once, where layers are unpacked so */
	if (r == 0) {
		__atomic_fetch_add(&img->stats.read, d->size, __ATOMIC_RELAXED);
		__atomic_fetch_add(&img->stats.hashed, d->size, __ATOMIC_RELAXED);
	}
	return r;
}

const struct blob_stats *image_stats(const struct image *img)
{
	return &img->stats;
}

int image_blob_file(struct image *img, const struct descriptor *d, int *fd, uint64_t *offset,
		    struct err *e)
{
	return img->ops->file(img, d, fd, offset, e);
}

void image_pass_over(struct image *img, const struct digest *d)
{
	if (img->ops->pass_over)
		img->ops->pass_over(img, d);
}

int image_finish(struct image *img, struct err *e)
{
	return img->ops->finish ? img->ops->finish(img, e) : 0;
}
