/*
 * An image in an image stream: a tar of a layout, its members in any order.
 *
 * In a regular file the members are found first and then read in place. What comes through a pipe
 * is read once: in the order in which image_writer writes it, each blob is handed on as it passes.
 * A blob that comes before it is wanted, or that the manifest names twice, waits in an unlinked
 * file; before the manifest is known that may be any blob.
 */
#include "libcommon/oci/image.h"
#include "libcommon/oci/oci_private.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ENTRIES_MAX = 200000, MEMBERS_MAX = 65536, OCI_LAYOUT_MAX = 4096 };
#define SPOOL_MAX_DEFAULT (MIB(1) << 16) /* 64 GiB */

/* A blob that can be read at any time: in the file, or in the spool. */
struct member {
	struct digest digest;
	uint64_t offset, size;
};

struct archive {
	struct image img;
	struct stream *src;
	struct tar *tar;
	struct err tar_err; /* the texts of tar and of what it stands on */
	int fd;		    /* the file, or the spool; -1 where there is none yet */
	bool streaming;
	bool at_end;
	uint64_t base; /* where the archive begins in the file */
	uint64_t spooled, spool_max;
	struct member *members;
	size_t members_n, members_cap;
	struct buf index;
	bool has_index, is_docker_archive;
	struct set64 unwanted; /* keys of documents that were not chosen */
	bool resolved;	       /* the manifest is known */
	struct set64 wanted;   /* then: keys of what it names */
	struct set64 passed;   /* keys of blobs that nobody will ask for */
};

/* The first bytes of a digest name it among honest ones; who makes two alike only spoils his own
 * image. */
static uint64_t key_of(const struct digest *d)
{
	uint64_t key;

	memcpy(&key, d->v, sizeof(key));
	return key;
}

static const struct member *find(const struct archive *a, const struct digest *d)
{
	for (size_t i = 0; i < a->members_n; i++)
		if (digest_eq(&a->members[i].digest, d))
			return &a->members[i];
	return NULL;
}

static int add_member(struct archive *a, const struct digest *d, uint64_t offset, uint64_t size,
		      struct err *e)
{
	if (a->members_n == MEMBERS_MAX)
		return err_set(e, E_TOOBIG, "the image stream has more than %d blobs", MEMBERS_MAX);
	if (a->members_n == a->members_cap) {
		a->members_cap = a->members_cap ? 2 * a->members_cap : 64;
		a->members = xrealloc(a->members, a->members_cap * sizeof(*a->members));
	}
	a->members[a->members_n++] = (struct member){ *d, offset, size };
	return 0;
}

/* ---- members ---- */

enum member_kind { MEMBER_OTHER, MEMBER_LAYOUT, MEMBER_INDEX, MEMBER_DOCKER, MEMBER_BLOB };

static enum member_kind classify(const struct tar_entry *entry, struct digest *digest)
{
	struct span name = entry->name;
	char text[DIGEST_TEXT_MAX];

	if (entry->type != TAR_FILE || entry->sparse)
		return MEMBER_OTHER;
	while (span_starts(name, "./") || span_starts(name, "/"))
		name = span_tail(name, name.p[0] == '.' ? 2 : 1);
	if (span_is(name, "oci-layout"))
		return MEMBER_LAYOUT;
	if (span_is(name, "index.json"))
		return MEMBER_INDEX;
	if (span_is(name, "manifest.json"))
		return MEMBER_DOCKER;
	if (!span_starts(name, "blobs/"))
		return MEMBER_OTHER;
	name = span_tail(name, 6);
	if (name.n >= sizeof(text) || span_find(name, ':') < name.n)
		return MEMBER_OTHER;
	memcpy(text, name.p, name.n);
	if (span_find(name, '/') < name.n)
		text[span_find(name, '/')] = ':';
	return digest_parse(span_of(text, name.n), digest) == 0 ? MEMBER_BLOB : MEMBER_OTHER;
}

/* What tar, or the stream below it, found wrong. */
static int tar_failed(struct archive *a, int code, struct err *e)
{
	return err_set(e, code, "the image stream: %s",
		       a->tar_err.text[0] ? a->tar_err.text : err_word(code));
}

static int read_small(struct archive *a, const char *what, uint64_t size, uint64_t max,
		      struct buf *out, struct err *e)
{
	int r;

	if (size > max)
		return err_set(e, E_TOOBIG, "%s of %llu bytes; at most %llu are read", what,
			       (unsigned long long)size, (unsigned long long)max);
	r = stream_read_all(tar_data(a->tar), max, out);
	return r < 0 ? tar_failed(a, r, e) : 0;
}

static int read_layout_file(struct archive *a, const struct tar_entry *entry, struct err *e)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	int r = read_small(a, "oci-layout", entry->size, OCI_LAYOUT_MAX, &text, e);

	return r < 0 ? r : layout_file_check(buf_span(&text), e);
}

static int read_index(struct archive *a, const struct tar_entry *entry, struct err *e)
{
	if (a->has_index)
		return err_set(e, E_FORMAT, "the image stream has two index.json");
	a->has_index = true;
	return read_small(a, "index.json", entry->size, DOC_MANIFEST_MAX, &a->index, e);
}

static int spool_bytes(struct archive *a, struct stream *src)
{
	uint64_t at = a->spooled;

	for (struct span w = stream_peek(src); w.n; w = stream_peek(src)) {
		int r = fd_pwrite_all(a->fd, w.p, w.n, at);

		if (r < 0)
			return r;
		at += w.n;
		stream_skip(src, w.n);
	}
	return stream_error(src);
}

/* Puts the present member by. */
static int spool_member(struct archive *a, const struct digest *d, uint64_t size, struct err *e)
{
	int r;

	if (size > a->spool_max - a->spooled)
		return err_set(
			e, E_TOOBIG,
			"blobs of the image stream that come before their turn take more than "
			"%llu bytes (--spool-max)",
			(unsigned long long)a->spool_max);
	if (a->fd < 0) {
		a->fd = spool_open();
		if (a->fd < 0) {
			r = a->fd;
			return err_set(
				e, r,
				"a temporary file in TMPDIR for blobs of the image stream that come before "
				"their turn: %s",
				err_word(r));
		}
	}
	r = spool_bytes(a, tar_data(a->tar));
	if (r < 0 && stream_error(tar_data(a->tar)))
		return tar_failed(a, r, e);
	if (r < 0)
		return err_set(e, r, "writing a temporary file in TMPDIR: %s", err_word(r));
	r = add_member(a, d, a->spooled, size, e);
	a->spooled += size;
	return r;
}

static int meet_blob(struct archive *a, const struct digest *d, uint64_t size, struct err *e)
{
	uint64_t key = key_of(d);

	if (!a->streaming) {
		/* of two with one name the first counts: both must hash to it */
		return add_member(a, d, a->base + tar_data_offset(a->tar), size, e);
	}
	if (a->resolved ? !set64_has(&a->wanted, key) : set64_has(&a->unwanted, key))
		return 0;
	if (set64_has(&a->passed, key))
		return 0;
	return find(a, d) ? 0 : spool_member(a, d, size, e);
}

/*
 * Goes on to the next member and puts it where it belongs. 1: it is the blob *stop, unread, of
 * *size bytes; 0: another; or E_NOT_FOUND without a text at the end.
 */
static int advance(struct archive *a, const struct digest *stop, uint64_t *size, struct err *e)
{
	const struct tar_entry *entry;
	struct digest d;
	int r = a->at_end ? 0 : tar_next(a->tar, &entry);

	if (r < 0)
		return tar_failed(a, r, e);
	if (r == 0) {
		a->at_end = true;
		return E_NOT_FOUND;
	}
	switch (classify(entry, &d)) {
	case MEMBER_LAYOUT:
		return read_layout_file(a, entry, e);
	case MEMBER_INDEX:
		return read_index(a, entry, e);
	case MEMBER_DOCKER:
		a->is_docker_archive = true;
		return 0;
	case MEMBER_BLOB:
		if (stop && digest_eq(stop, &d)) {
			*size = entry->size;
			return 1;
		}
		return meet_blob(a, &d, entry->size, e);
	case MEMBER_OTHER:
		break;
	}
	return 0;
}

/* ---- operations ---- */

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

	*m = find(a, &d->digest);
	if (*m)
		return size_differs(d, (*m)->size, e);
	while (a->streaming && r == 0)
		r = advance(a, &d->digest, &size, e);
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
	set64_add(&a->wanted, key_of(&m->config.digest));
	for (size_t i = 0; i < m->layers_n; i++)
		set64_add(&a->wanted, key_of(&m->layers[i].digest));
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
		return tar_failed(a, r, e);
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
		r = spool_member(a, want, d->size, e);
		m = find(a, want);
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
	set64_add(&container_of(img, struct archive, img)->passed, key_of(d));
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
	return r < 0 ? tar_failed(a, r, e) : 0;
}

static void archive_unwanted(struct image *img, const struct descriptor *d, size_t n, size_t but)
{
	struct archive *a = container_of(img, struct archive, img);

	for (size_t i = 0; i < n; i++)
		if (i != but && !digest_eq(&d[i].digest, &d[but].digest))
			set64_add(&a->unwanted, key_of(&d[i].digest));
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
		r = advance(a, NULL, NULL, e);
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
