/* Sparse files of tar: GNU's own header, PAX versions 0.0, 0.1 and 1.0; expanded while they are read. */
#include <string.h>

#include "libcommon/codec/tar.h"

int tar_region_add(struct tar *t, uint64_t offset, uint64_t length)
{
	if (t->regions_n == t->lim.max_sparse)
		return tar_fail(t, E_TOOBIG, "a sparse map of more than %zu regions",
				t->lim.max_sparse);
	if (t->regions_n == t->regions_cap) {
		t->regions_cap = t->regions_cap ? 2 * t->regions_cap : 64;
		t->regions = xrealloc(t->regions, t->regions_cap * sizeof(*t->regions));
	}
	t->regions[t->regions_n++] = (struct tar_region){ offset, length };
	return 0;
}

/* Regions in order, none over another, within the file, and together as long as what the archive holds. */
static int finish_map(struct tar *t, uint64_t size)
{
	uint64_t end = 0, sum = 0;

	if (t->lim.max_size && size > t->lim.max_size)
		return tar_fail(t, E_TOOBIG, "%s: larger than %llu bytes (--max-file-size)",
				quoted(t->entry.name), (unsigned long long)t->lim.max_size);
	for (size_t i = 0; i < t->regions_n; i++) {
		struct tar_region r = t->regions[i];
		if (r.offset < end || r.offset > size || r.length > size - r.offset)
			return tar_fail(t, E_FORMAT, "%s: bad sparse map", quoted(t->entry.name));
		end = r.offset + r.length;
		sum += r.length;
	}
	if (sum != t->left)
		return tar_fail(t, E_FORMAT, "%s: sparse map and size disagree",
				quoted(t->entry.name));
	t->entry.size = size;
	t->entry.sparse = true;
	t->region = 0;
	t->at = 0;
	return 0;
}

/* n places of a GNU map; *last where an empty one ends it. */
static int gnu_places(struct tar *t, const unsigned char *p, size_t n, bool *last)
{
	for (size_t i = 0; i < n && !*last; i++, p += 24) {
		int64_t offset, length;
		if (!p[0] || !p[12]) {
			*last = true;
			break;
		}
		if (tar_number(p, 12, &offset) || tar_number(p + 12, 12, &length) || offset < 0 ||
		    length < 0)
			return tar_fail(t, E_FORMAT, "%s: bad sparse map", quoted(t->entry.name));
		int r = tar_region_add(t, (uint64_t)offset, (uint64_t)length);
		if (r)
			return r;
	}
	return 0;
}

int tar_sparse_gnu(struct tar *t)
{
	bool more = t->block[H_GNU_EXTENDED], last = false;
	int64_t size;
	int r;

	if (tar_number(t->block + H_GNU_REALSIZE, 12, &size) || size < 0)
		return tar_fail(t, E_FORMAT, "%s: size is no number", quoted(t->entry.name));
	r = gnu_places(t, t->block + H_GNU_SPARSE, 4, &last);
	/* Blocks of 21 further places stand before the contents. */
	while (!r && more) {
		r = stream_read_exact(t->src, t->buffer, TAR_BLOCK_SIZE);
		if (r)
			return tar_fail(t, r, "%s: cut off in a sparse map", quoted(t->entry.name));
		r = gnu_places(t, t->buffer, 21, &last);
		more = t->buffer[504];
	}
	return r ? r : finish_map(t, (uint64_t)size);
}

/* Version 0.1: "OFFSET,LENGTH,OFFSET,LENGTH…". */
static int pax_map_record(struct tar *t)
{
	struct span rest = t->local.sparse_map, a, b;
	uint64_t offset, length;

	t->regions_n = 0;
	while (span_cut(&rest, ',', &a)) {
		if (!span_cut(&rest, ',', &b) || num_u64(a, INT64_MAX, &offset) ||
		    num_u64(b, INT64_MAX, &length))
			return tar_fail(t, E_FORMAT, "%s: bad sparse map", quoted(t->entry.name));
		int r = tar_region_add(t, offset, length);
		if (r)
			return r;
	}
	return 0;
}

/* Version 1.0: the map stands before the contents, in whole blocks: a count, then offsets and lengths, a line each. */
struct map_reader {
	struct tar *t;
	size_t i; /* in t->buffer */
};

static int map_number(struct map_reader *m, uint64_t *out)
{
	struct tar *t = m->t;
	unsigned char digits[20];
	size_t n = 0;

	for (;;) {
		if (m->i == TAR_BLOCK_SIZE) {
			if (t->left < TAR_BLOCK_SIZE)
				break;
			int r = stream_read_exact(t->src, t->buffer, TAR_BLOCK_SIZE);
			if (r)
				return tar_fail(t, r, "%s: cut off in a sparse map",
						quoted(t->entry.name));
			t->left -= TAR_BLOCK_SIZE;
			m->i = 0;
		}
		unsigned char c = t->buffer[m->i++];
		if (c == '\n' && !num_u64(span_of(digits, n), INT64_MAX, out))
			return 0;
		if (n == sizeof(digits) || c < '0' || c > '9')
			break;
		digits[n++] = c;
	}
	return tar_fail(t, E_FORMAT, "%s: bad sparse map", quoted(t->entry.name));
}

static int pax_map_contents(struct tar *t)
{
	struct map_reader m = { t, TAR_BLOCK_SIZE };
	uint64_t count, offset, length;
	int r = map_number(&m, &count);

	t->regions_n = 0;
	for (; !r && count; count--) {
		r = map_number(&m, &offset);
		if (!r)
			r = map_number(&m, &length);
		if (!r)
			r = tar_region_add(t, offset, length);
	}
	return r;
}

int tar_sparse_pax(struct tar *t)
{
	const struct tar_pax *p = &t->local;
	bool versioned = p->has & (PAX_SPARSE_MAJOR | PAX_SPARSE_MINOR);
	uint64_t major = p->has & PAX_SPARSE_MAJOR ? p->sparse_major : 0;
	uint64_t minor = p->has & PAX_SPARSE_MINOR ? p->sparse_minor : 0;
	int r = 0;

	if (major > 1 || (major == 1 && minor) || minor > 1)
		return tar_fail(t, E_UNSUPPORTED, "%s: unknown version of a sparse map",
				quoted(t->entry.name));
	if (!(p->has & PAX_SPARSE_SIZE) || (versioned && !(p->has & PAX_SPARSE_MAJOR)) ||
	    t->offset_pending)
		return tar_fail(t, E_FORMAT, "%s: incomplete sparse map", quoted(t->entry.name));
	if (major == 1)
		r = pax_map_contents(t);
	else if (p->has & PAX_SPARSE_MAP)
		r = pax_map_record(t);
	else if (!(p->has & PAX_SPARSE_OTHER))
		r = tar_fail(t, E_FORMAT, "%s: incomplete sparse map", quoted(t->entry.name));
	return r ? r : finish_map(t, p->sparse_size);
}

/* ---- the contents, holes as zeros ---- */

static void sparse_fill(struct stream *s)
{
	static unsigned char
		zeros[64 *
		      1024]; /* never written; not const, so that the binary does not hold them */
	struct tar *t = (struct tar *)s;
	uint64_t size = t->entry.size, until = size;
	struct span w = span_of(zeros, sizeof(zeros));

	stream_skip(t->src, t->lent);
	t->left -= t->lent;
	t->lent = 0;
	if (t->at == size) {
		s->eof = true;
		return;
	}
	while (t->region < t->regions_n &&
	       t->regions[t->region].offset + t->regions[t->region].length <= t->at)
		t->region++;
	if (t->region < t->regions_n) {
		struct tar_region r = t->regions[t->region];
		until = r.offset;
		if (t->at >= r.offset) {
			until = r.offset + r.length;
			w = stream_peek(t->src);
			if (!w.n) {
				stream_fail(s, tar_fail(t, t->src->err ? t->src->err : E_TRUNCATED,
							"cut off in the contents of %s",
							quoted(t->entry.name)));
				return;
			}
			t->lent = (size_t)MIN((uint64_t)w.n, until - t->at);
		}
	}
	w.n = (size_t)MIN((uint64_t)w.n, until - t->at);
	t->at += w.n;
	s->pos = w.p;
	s->end = w.p + w.n;
}

/* Holes can be passed over at once. */
static uint64_t sparse_drop(struct stream *s, uint64_t n)
{
	struct tar *t = (struct tar *)s;
	uint64_t until = t->entry.size;

	for (size_t i = t->region; i < t->regions_n; i++) {
		if (t->regions[i].offset + t->regions[i].length > t->at) {
			until = MAX(t->regions[i].offset, t->at);
			break;
		}
	}
	n = MIN(n, until - t->at);
	t->at += n;
	return n;
}

const struct stream_ops tar_sparse_ops = { .fill = sparse_fill, .drop = sparse_drop };
