/*
 * Artifacts: files in the clothes of an image, such as signatures and bills of material, that may
 * name a manifest which they are about.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/registry.h"

#define MEDIA_EMPTY "application/vnd.oci.empty.v1+json"

static const char empty[] = "{}";

static void put_descriptor(struct json_out *o, const char *type, const struct digest *digest,
			   uint64_t size)
{
	char text[DIGEST_TEXT_MAX];

	json_key(o, "mediaType");
	json_put_str(o, span_str(type));
	json_key(o, "digest");
	json_put_str(o, span_str(digest_text(digest, text)));
	json_key(o, "size");
	json_put_i64(o, (int64_t)size);
}

static void put_empty(struct json_out *o)
{
	struct digest d = digest_of(HASH_SHA256, span_str(empty));

	json_begin(o, '{');
	put_descriptor(o, MEDIA_EMPTY, &d, sizeof(empty) - 1);
	json_key(o, "data");
	json_put_str(o, SPAN("e30="));
	json_end(o, '}');
}

static int put_file(struct json_out *o, const struct artifact_file *f, struct err *e)
{
	struct digest d = { .alg = HASH_SHA256 };
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return -errno;
	struct stream *s =
		stream_hash(stream_from_file(f->fd, 0, (uint64_t)st.st_size), HASH_SHA256);
	int r = stream_drain(s);
	stream_hash_final(s, d.v);
	stream_close(s);
	if (r < 0)
		return err_set(e, r, "%s: %s", f->title ? quoted_str(f->title) : "a file",
			       err_word(r));
	json_begin(o, '{');
	put_descriptor(o, f->type, &d, (uint64_t)st.st_size);
	if (f->title && !utf8_valid(span_str(f->title)))
		return err_set(e, E_USAGE, "%s: a title must be UTF-8: rename the file",
			       quoted_str(f->title));
	if (f->title) {
		json_key(o, "annotations");
		json_begin(o, '{');
		json_key(o, "org.opencontainers.image.title");
		json_put_str(o, span_str(f->title));
		json_end(o, '}');
	}
	json_end(o, '}');
	return 0;
}

static int put_annotations(struct json_out *o, const char *const *list, struct err *e)
{
	json_key(o, "annotations");
	json_begin(o, '{');
	for (; *list; list++) {
		struct span value = span_str(*list), key;
		const char *const *later = list + 1;

		if (!utf8_valid(value))
			return err_set(e, E_USAGE, "an annotation must be UTF-8: %s",
				       quoted_str(*list));
		span_cut(&value, '=', &key);
		while (*later && strncmp(*later, *list, key.n + 1))
			later++;
		if (*later)
			continue;
		json_key_span(o, key);
		json_put_str(o, value);
	}
	json_end(o, '}');
	return 0;
}

int artifact_document(const struct artifact *a, struct document *out, struct err *e)
{
	_cleanup_(json_out_release) struct json_out o = { 0 };
	int r = 0;

	document_begin(&o, MEDIA_OCI_MANIFEST);
	json_key(&o, "artifactType");
	json_put_str(&o, span_str(a->type));
	json_key(&o, "config");
	put_empty(&o);
	json_key(&o, "layers");
	json_begin(&o, '[');
	for (size_t i = 0; !r && i < a->files_n; i++)
		r = put_file(&o, &a->files[i], e);
	if (r < 0)
		return r;
	if (!a->files_n)
		put_empty(&o);
	json_end(&o, ']');
	if (a->subject) {
		json_key(&o, "subject");
		json_begin(&o, '{');
		put_descriptor(&o, a->subject->media_type, &a->subject->digest, a->subject->raw.n);
		json_end(&o, '}');
	}
	if (a->annotations && *a->annotations)
		r = put_annotations(&o, a->annotations, e);
	if (r < 0)
		return r;
	json_end(&o, '}');
	return document_parse(&o.b, NULL, out, e);
}

static int empty_file(void)
{
	int fd = spool_open();

	if (fd < 0)
		return fd;
	int r = fd_write_all(fd, empty, sizeof(empty) - 1);
	if (r < 0)
		fd_close(fd);
	return r < 0 ? r : fd;
}

int artifact_plan(const struct artifact *a, struct push *p, struct err *e)
{
	const struct document *doc = p->docs[0];

	for (size_t i = 0; i < p->blobs_n; i++) {
		struct push_blob *b = &p->blobs[i];

		for (size_t k = 0; k < a->files_n && b->fd < 0; k++)
			if (digest_eq(&doc->layers[k].digest, &b->d->digest))
				b->fd = dup(a->files[k].fd);
		if (b->fd < 0)
			b->fd = empty_file();
		if (b->fd < 0)
			return err_set(e, b->fd, "a temporary file in TMPDIR: %s", err_word(b->fd));
	}
	return 0;
}
