/* The members of an image stream: found, told apart, and put by where they come before they are wanted. */
#include "libcommon/oci/archive.h"
#include "libcommon/oci/oci_private.h"

#include <string.h>

enum { MEMBERS_MAX = 65536, OCI_LAYOUT_MAX = 4096 };

const struct member *archive_find(const struct archive *a, const struct digest *d)
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

int archive_failed(struct archive *a, int code, struct err *e)
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
	return r < 0 ? archive_failed(a, r, e) : 0;
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

int archive_spool(struct archive *a, const struct digest *d, uint64_t size, struct err *e)
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
		return archive_failed(a, r, e);
	if (r < 0)
		return err_set(e, r, "writing a temporary file in TMPDIR: %s", err_word(r));
	r = add_member(a, d, a->spooled, size, e);
	a->spooled += size;
	return r;
}

static int meet_blob(struct archive *a, const struct digest *d, uint64_t size, struct err *e)
{
	uint64_t key = archive_key(d);

	if (!a->streaming) {
		/* of two with one name the first counts: both must hash to it */
		return add_member(a, d, a->base + tar_data_offset(a->tar), size, e);
	}
	if (a->resolved ? !set64_has(&a->wanted, key) : set64_has(&a->unwanted, key))
		return 0;
	if (set64_has(&a->passed, key))
		return 0;
	return archive_find(a, d) ? 0 : archive_spool(a, d, size, e);
}

int archive_advance(struct archive *a, const struct digest *stop, uint64_t *size, struct err *e)
{
	const struct tar_entry *entry;
	struct digest d;
	int r = a->at_end ? 0 : tar_next(a->tar, &entry);

	if (r < 0)
		return archive_failed(a, r, e);
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
