/*
 * An image in an image stream: a tar of a layout, its members in any order.
 *
 * In a regular file the members are found first and then read in place. What comes through a pipe
 * is read once: in the order in which image_writer writes it, each blob is handed on as it passes.
 * A blob that comes before it is wanted, or that the manifest names twice, waits in an unlinked
 * file; before the manifest is known that may be any blob.
 */
#include "libcommon/oci/archive.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENTRIES_MAX = 200000 };
#define SPOOL_MAX_DEFAULT (MIB(1) << 16) /* 64 GiB */

static int size_differs(const struct descriptor *d, uint64_t size, struct err *e)
{
	char text[DIGEST_TEXT_MAX];

	if (size == d->size)
		return 0;
	return err_set(e, E_SIZE, "blob %s has %llu bytes but its descriptor says %llu",
		       digest_text(&d->digest, text), (unsigned long long)size,
		       (unsigned long long)d->size);
}

/* Where in the file or spool d is, or (streaming) at the present member: then *m is NULL. */
static int locate(struct archive *a, const struct descriptor *d, const struct member **m,
		  struct err *e)
{
	char text[DIGEST_TEXT_MAX];
	uint64_t size = 0;
	int r = 0;

	*m = archive_find(a, &d->digest);
	if (*m)
		return size_differs(d, (*m)->size, e);
	while (a->streaming && r == 0)
		r = archive_advance(a, &d->digest, &size, e);
	if (r == 1)
		return size_differs(d, size, e);
	if (r < 0 && r != E_NOT_FOUND)
		return r;
	digest_text(&d->digest, text);
	if (a->streaming)
		return err_set(
			e, E_TRUNCATED,
			"the image stream ends without blob %s (did the command before the pipe "
			"fail?)",
			text);
	return err_set(e, E_NOT_FOUND, "the image stream has no blob %s", text);
}

static void want_blobs(struct archive *a, const struct document *m)
{
	set64_add(&a->wanted, archive_key(&m->config.digest));
	for (size_t i = 0; i < m->layers_n; i++)
		set64_add(&a->wanted, archive_key(&m->layers[i].digest));
}

/* From the manifest on only what it names is worth keeping. */
static void note_manifest(struct archive *a)
{
	if (a->resolved || !a->img.manifest.media_type)
		return;
	a->resolved = true;
	want_blobs(a, &a->img.manifest);
}

/* The same of a whole image, of which all documents are known when its first blob is asked for. */
static void note_documents(struct archive *a)
{
	for (size_t i = 0; !a->resolved && i < a->img.docs_n; i++)
		if (a->img.docs[i]->kind == DOC_MANIFEST)
			want_blobs(a, a->img.docs[i]);
	a->resolved |= a->img.whole;
}

static int archive_load(struct image *img, const struct descriptor *d, struct buf *out,
			struct err *e)
{
	struct archive *a = container_of(img, struct archive, img);
	_cleanup_(stream_closep) struct stream *s = NULL;
	const struct member *m;
	int r;

	note_manifest(a);
	r = locate(a, d, &m, e);
	if (r < 0)
		return r;
	if (m)
		s = stream_from_file(a->fd, m->offset, m->size);
	r = stream_read_all(m ? s : tar_data(a->tar), d->size, out);
	if (r < 0)
		return archive_failed(a, r, e);
	return image_check_bytes(buf_span(out), d, e);
}

/* Will it be asked for more than once? */
static bool comes_again(const struct archive *a, const struct digest *d)
{
	size_t n = 0;

	for (size_t i = 0; i < a->img.manifest.layers_n; i++)
		n += digest_eq(&a->img.manifest.layers[i].digest, d);
	/* who takes an index whole takes a layer once, but needs the config of each image */
	for (size_t i = 0; i < a->img.docs_n; i++)
		n += a->img.docs[i]->kind == DOC_MANIFEST &&
		     digest_eq(&a->img.docs[i]->config.digest, d);
	return n > 1;
}

static int archive_blob(struct image *img, const struct descriptor *d, struct stream **out,
			struct err *e)
{
	struct archive *a = container_of(img, struct archive, img);
	const struct digest *want = &d->digest;
	const struct member *m;
	struct stream *s;
	int r;

	/* it has passed already, but who copies the image asks for it in its turn */
	if (a->img.has_config && digest_eq(want, &a->img.manifest.config.digest)) {
		s = stream_from_span(buf_span(&a->img.config.raw));
		*out = stream_verify(s, want->alg, want->v, d->size);
		return 0;
	}
	note_manifest(a);
	note_documents(a);
	r = locate(a, d, &m, e);
	if (r == 0 && !m && comes_again(a, want)) {
		r = archive_spool(a, want, d->size, e);
		m = archive_find(a, want);
	}
	if (r < 0)
		return r;
	s = m ? stream_from_file(a->fd, m->offset, m->size)
	      : stream_limit(tar_data(a->tar), d->size, false);
	*out = stream_verify(s, want->alg, want->v, d->size);
	return 0;
}

static int archive_file(struct image *img, const struct descriptor *d, int *fd, uint64_t *offset,
			struct err *e)
{
	struct archive *a = container_of(img, struct archive, img);
	const struct member *m;
	int r = locate(a, d, &m, e);

	if (r < 0)
		return r;
	*offset = m->offset;
	*fd = fcntl(a->fd, F_DUPFD_CLOEXEC, 3);
	return *fd < 0 ? -errno : 0;
}

static void archive_pass_over(struct image *img, const struct digest *d)
{
	set64_add(&container_of(img, struct archive, img)->passed, archive_key(d));
}

static int archive_finish(struct image *img, struct err *e)
{
	struct archive *a = container_of(img, struct archive, img);
	const struct tar_entry *entry;
	int r = 1;

	while (a->streaming && !a->at_end && r > 0) {
		r = tar_next(a->tar, &entry);
		a->at_end = r == 0;
	}
	return r < 0 ? archive_failed(a, r, e) : 0;
}

static void archive_unwanted(struct image *img, const struct descriptor *d, size_t n, size_t but)
{
	struct archive *a = container_of(img, struct archive, img);

	for (size_t i = 0; i < n; i++)
		if (i != but && !digest_eq(&d[i].digest, &d[but].digest))
			set64_add(&a->unwanted, archive_key(&d[i].digest));
}

static void archive_close(struct image *img)
{
	struct archive *a = container_of(img, struct archive, img);

	tar_close(a->tar);
	stream_close(a->src);
	fd_close(a->fd);
	free(a->members);
	buf_release(&a->index);
	set64_release(&a->unwanted);
	set64_release(&a->wanted);
	set64_release(&a->passed);
	free(a);
}

static const struct image_ops stream_ops = {
	.load = archive_load,
	.blob = archive_blob,
	.finish = archive_finish,
	.close = archive_close,
	.unwanted = archive_unwanted,
	.pass_over = archive_pass_over,
};

static const struct image_ops file_ops = {
	.load = archive_load,
	.blob = archive_blob,
	.file = archive_file,
	.close = archive_close,
	.random_access = true,
};

/* ---- opening ---- */

static int check_magic(struct stream *src, struct err *e)
{
	struct span w = stream_peek(src);

	if (stream_error(src))
		return err_set(e, stream_error(src), "the image stream: %s",
			       err_word(stream_error(src)));
	if (!w.n)
		return err_set(e, E_EMPTY, "the image stream is empty");
	switch (compression_from_magic(w)) {
	case COMPRESSION_GZIP:
		return err_set(e, E_FORMAT,
			       "the image stream is compressed: put \"gzip -dc\" before it");
	case COMPRESSION_ZSTD:
		return err_set(e, E_FORMAT,
			       "the image stream is compressed: put \"zstd -dc\" before it");
	case COMPRESSION_UNKNOWN:
		return err_set(e, E_FORMAT,
			       "the image stream is compressed by bzip2 or xz: put \"xz -dc\" or "
			       "\"bzip2 -dc\" before it");
	default:
		return 0;
	}
}

static int no_index(const struct archive *a, struct err *e)
{
	if (a->is_docker_archive)
		return err_set(e, E_UNSUPPORTED,
			       "an archive of docker before version 25 (manifest.json without "
			       "index.json): convert it with skopeo copy docker-archive:FILE "
			       "oci-archive:FILE");
	return err_set(e, E_FORMAT, "not an image stream: it has no index.json");
}

static int resolve(struct archive *a, const struct image_options *o, struct err *e)
{
	_cleanup_(document_release) struct document index = { 0 };
	int r = 0;

	/* of a file all members are looked up, of a stream only those before index.json */
	while (r == 0 && !(a->streaming && a->has_index))
		r = archive_advance(a, NULL, NULL, e);
	if (r < 0 && !a->at_end)
		return r;
	if (!a->has_index)
		return no_index(a, e);
	r = image_parse_index(&a->index, &index, e);
	return r < 0 ? r : image_resolve(&a->img, &index, o, e);
}

static int open_archive(struct archive *a, const struct image_options *o, struct image **out,
			struct err *e)
{
	const struct tar_limits lim = { .max_entries = ENTRIES_MAX };
	_cleanup_(image_closep) struct image *img = &a->img;
	int r = check_magic(a->src, e);

	if (r < 0)
		return r;
	a->tar = tar_open(a->src, &lim, &a->tar_err);
	r = resolve(a, o, e);
	if (r < 0)
		return r;
	*out = steal_ptr(&img);
	return 0;
}

int image_open_stream(struct stream *src, const struct image_options *o, struct image **out,
		      struct err *e)
{
	struct archive *a = xcalloc(1, sizeof(*a));

	a->img.ops = &stream_ops;
	a->src = src;
	a->fd = -1;
	a->streaming = true;
	a->spool_max = o->spool_max ? o->spool_max : SPOOL_MAX_DEFAULT;
	return open_archive(a, o, out, e);
}

int image_open_file(int fd, const struct image_options *o, struct image **out, struct err *e)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	struct archive *a;
	struct stat st;

	if (at < 0 || fstat(fd, &st) < 0) {
		int r = -errno;

		fd_close(fd);
		return err_set(e, r, "%s", err_word(r));
	}
	a = xcalloc(1, sizeof(*a));
	a->img.ops = &file_ops;
	a->base = (uint64_t)at;
	a->fd = fd;
	a->src = stream_from_file(fd, a->base, st.st_size > at ? (uint64_t)(st.st_size - at) : 0);
	return open_archive(a, o, out, e);
}
