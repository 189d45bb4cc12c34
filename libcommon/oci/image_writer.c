/*
 * Image streams, written: a tar of a layout in the order in which a reader wants it, the same bytes
 *for the same image.
 *
 *	oci-layout  index.json  manifest.json  blobs/  blobs/sha256/  the index and manifests  the
 *blobs  end blocks
 *
 * manifest.json is what docker load reads; all else is the OCI layout. Names of the image are full
 *references, which docker, podman, containerd and skopeo all tag correctly.
 */
#include "libcommon/oci.h"
#include "libcommon/oci/oci_private.h"

#include <stdlib.h>
#include <string.h>

struct image_writer {
	struct sink *out;
	struct digest *written;
	size_t written_n, written_cap;
	uint64_t blob_end; /* the offset at which the blob under way is whole */
};

static int out_failed(const struct image_writer *w, struct err *e)
{
	return w->out->err ? err_set(e, w->out->err, "writing the image stream: %s",
				     err_word(w->out->err))
			   : 0;
}

static int put_header(struct image_writer *w, const char *name, enum tar_type type, uint64_t size,
		      struct err *e)
{
	const struct tar_entry entry = {
		.type = type,
		.name = span_str(name),
		.mode = type == TAR_DIR ? 0755 : 0644,
		.size = size,
	};
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int r = tar_header(&b, &entry, e);

	if (r < 0)
		return r;
	sink_write(w->out, buf_span(&b));
	return out_failed(w, e);
}

static int put_padding(struct image_writer *w, uint64_t size, struct err *e)
{
	sink_write(w->out, span_of(tar_zeros, tar_padding(size)));
	return out_failed(w, e);
}

static int put_file(struct image_writer *w, const char *name, struct span bytes, struct err *e)
{
	int r = put_header(w, name, TAR_FILE, bytes.n, e);

	if (r < 0)
		return r;
	sink_write(w->out, bytes);
	return put_padding(w, bytes.n, e);
}

static const char *blob_name(const struct digest *d, char out[DIGEST_TEXT_MAX + 8])
{
	memcpy(out, "blobs/", 6);
	digest_text(d, out + 6);
	*strchr(out, ':') = '/';
	return out;
}

bool image_writer_has(const struct image_writer *w, const struct digest *d)
{
	for (size_t i = 0; i < w->written_n; i++)
		if (digest_eq(&w->written[i], d))
			return true;
	return false;
}

static void note(struct image_writer *w, const struct digest *d)
{
	if (w->written_n == w->written_cap) {
		w->written_cap = w->written_cap ? 2 * w->written_cap : 32;
		w->written = xrealloc(w->written, w->written_cap * sizeof(*w->written));
	}
	w->written[w->written_n++] = *d;
}

/*
 * The names for index.json and manifest.json: tagged is "HOST/REPOSITORY:TAG" or NULL, full has a
 * digest where there is one. A reference without a tag names an image for containerd only; the
 * others would take the digest for a part of the name.
 */
static int names_of(const char *ref_name, char **tagged, char **full, struct err *e)
{
	struct reference ref;
	int r;

	*tagged = *full = NULL;
	if (!ref_name)
		return 0;
	r = reference_parse(ref_name, &ref, e);
	if (r < 0)
		return r;
	if (ref.tag)
		*tagged = xasprintf("%s/%s:%s", ref.domain, ref.repository, ref.tag);
	*full = *tagged ? xstrdup(*tagged) : reference_text(&ref);
	reference_release(&ref);
	return 0;
}

static int put_index(struct image_writer *w, const struct document *top, const char *tagged,
		     const char *full, struct err *e)
{
	_cleanup_(json_out_release) struct json_out o = { 0 };
	const struct descriptor d = {
		.media_type = top->media_type,
		.digest = top->digest,
		.size = top->raw.n,
	};

	document_begin(&o, MEDIA_OCI_INDEX);
	json_key(&o, "manifests");
	json_begin(&o, '[');
	descriptor_write(&o, &d, tagged, full);
	json_end(&o, ']');
	json_end(&o, '}');
	return put_file(w, "index.json", buf_span(&o.b), e);
}

static int put_docker_manifest(struct image_writer *w, const struct document *m, const char *tagged,
			       struct err *e)
{
	_cleanup_(json_out_release) struct json_out o = { 0 };
	char name[DIGEST_TEXT_MAX + 8];

	json_begin(&o, '[');
	json_begin(&o, '{');
	json_key(&o, "Config");
	json_put_str(&o, span_str(blob_name(&m->config.digest, name)));
	json_key(&o, "RepoTags");
	if (tagged) {
		json_begin(&o, '[');
		json_put_str(&o, span_str(tagged));
		json_end(&o, ']');
	} else {
		json_put_null(&o);
	}
	json_key(&o, "Layers");
	json_begin(&o, '[');
	for (size_t i = 0; i < m->layers_n; i++)
		json_put_str(&o, span_str(blob_name(&m->layers[i].digest, name)));
	json_end(&o, ']');
	json_end(&o, '}');
	json_end(&o, ']');
	return put_file(w, "manifest.json", buf_span(&o.b), e);
}

static bool uses_sha512(const struct document *d)
{
	bool any = d->digest.alg == HASH_SHA512;

	if (d->kind == DOC_MANIFEST)
		any |= d->config.digest.alg == HASH_SHA512;
	for (size_t i = 0; i < d->layers_n; i++)
		any |= d->layers[i].digest.alg == HASH_SHA512;
	return any;
}

static int put_dirs(struct image_writer *w, const struct image_writer_options *o, struct err *e)
{
	bool sha512 = false;
	int r = put_header(w, "blobs", TAR_DIR, 0, e);

	if (r == 0)
		r = put_header(w, "blobs/sha256", TAR_DIR, 0, e);
	for (size_t i = 0; i < o->docs_n; i++)
		sha512 |= uses_sha512(o->docs[i]);
	if (r == 0 && sha512)
		r = put_header(w, "blobs/sha512", TAR_DIR, 0, e);
	return r;
}

/*
 * docker load knows one platform only: the chosen one, else the first that an index names, which is
 * the same one on every machine.
 */
static const struct document *docker_choice(const struct image_writer_options *o)
{
	if (o->manifest)
		return o->manifest;
	for (size_t i = 0; i < o->docs_n; i++)
		if (o->docs[i]->kind == DOC_MANIFEST &&
		    descriptor_is_image_config(&o->docs[i]->config))
			return o->docs[i];
	return NULL;
}

static int put_head(struct image_writer *w, const struct image_writer_options *o, struct err *e)
{
	_cleanup_(freep) char *tagged = NULL, *full = NULL;
	const struct document *docker = docker_choice(o);
	char name[DIGEST_TEXT_MAX + 8];
	int r = names_of(o->ref_name, &tagged, &full, e);

	if (r == 0)
		r = put_file(w, "oci-layout", SPAN(LAYOUT_FILE), e);
	if (r == 0)
		r = put_index(w, o->docs[0], tagged, full, e);
	if (r == 0 && docker)
		r = put_docker_manifest(w, docker, tagged, e);
	if (r == 0)
		r = put_dirs(w, o, e);
	for (size_t i = 0; r == 0 && i < o->docs_n; i++) {
		const struct document *d = o->docs[i];

		if (image_writer_has(w, &d->digest))
			continue;
		r = put_file(w, blob_name(&d->digest, name), buf_span(&d->raw), e);
		note(w, &d->digest);
	}
	return r;
}

int image_writer_open(struct sink *out, const struct image_writer_options *o,
		      struct image_writer **res, struct err *e)
{
	struct image_writer *w = xcalloc(1, sizeof(*w));
	int r;

	w->out = out;
	r = put_head(w, o, e);
	if (r < 0) {
		image_writer_close(w, false, NULL);
		return r;
	}
	*res = w;
	return 0;
}

int image_writer_begin(struct image_writer *w, const struct descriptor *d, struct sink **out,
		       struct err *e)
{
	char name[DIGEST_TEXT_MAX + 8];
	int r = put_header(w, blob_name(&d->digest, name), TAR_FILE, d->size, e);

	w->blob_end = w->out->offset + d->size;
	*out = w->out;
	return r;
}

int image_writer_end(struct image_writer *w, const struct descriptor *d, struct err *e)
{
	char text[DIGEST_TEXT_MAX];
	int r = out_failed(w, e);

	if (r == 0 && w->out->offset != w->blob_end)
		r = err_set(e, w->out->offset < w->blob_end ? E_TRUNCATED : E_SIZE,
			    "blob %s has not the size that its descriptor says",
			    digest_text(&d->digest, text));
	if (r == 0)
		r = put_padding(w, d->size, e);
	if (r == 0)
		note(w, &d->digest);
	return r;
}

/* The bytes go from the window of src straight into the sink. */
static int copy(struct image_writer *w, const struct descriptor *d, struct stream *src,
		struct err *e)
{
	char text[DIGEST_TEXT_MAX];
	uint64_t left = d->size;
	int r = 0;

	for (struct span s = stream_peek(src); s.n && !w->out->err; s = stream_peek(src)) {
		if (s.n > left)
			return err_set(e, E_SIZE, "blob %s has more bytes than its descriptor says",
				       digest_text(&d->digest, text));
		sink_write(w->out, s);
		stream_skip(src, s.n);
		left -= s.n;
	}
	r = out_failed(w, e);
	if (r == 0)
		r = stream_error(src);
	if (r == 0 && left)
		r = E_TRUNCATED;
	if (r < 0)
		return err_set(e, r, "blob %s: %s", digest_text(&d->digest, text), err_word(r));
	return 0;
}

int image_writer_blob(struct image_writer *w, const struct descriptor *d, struct stream *src,
		      struct err *e)
{
	struct sink *out;
	int r;

	if (image_writer_has(w, &d->digest))
		return 0;
	r = image_writer_begin(w, d, &out, e);
	if (r == 0)
		r = copy(w, d, src, e);
	return r < 0 ? r : image_writer_end(w, d, e);
}

int image_writer_close(struct image_writer *w, bool complete, struct err *e)
{
	int r;

	if (complete)
		sink_write(w->out, span_of(tar_zeros, sizeof(tar_zeros)));
	sink_flush(w->out);
	r = out_failed(w, e);
	free(w->written);
	free(w);
	return r;
}
