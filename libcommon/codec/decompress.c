/* Streams that decompress: windows and budgets; the formats are in gzip.c and zstd.c. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/codec/decompress.h"

/* Output below this is never called a bomb for its ratio: the first bytes of an archive are mostly zeros. */
static const uint64_t ratio_from = MIB(1);

size_t decompressor_fail(struct decompressor *d, int code, const char *text)
{
	err_set(d->e, code, "%s", text);
	stream_fail(&d->s, code);
	return 0;
}

struct span decompressor_input(struct decompressor *d)
{
	if (d->full)
		return span_of(d->src->pos, (size_t)(d->src->end - d->src->pos));
	return stream_peek(d->src);
}

static bool within_limits(struct decompressor *d)
{
	uint64_t in = d->src->offset - d->src_start;

	if (d->lim.max_output && d->made > d->lim.max_output) {
		err_set(d->e, E_TOOBIG,
			"more than %" PRIu64 " bytes when decompressed (--max-size)",
			d->lim.max_output);
	} else if (d->lim.max_ratio && d->made > ratio_from && d->made / d->lim.max_ratio > in) {
		err_set(d->e, E_TOOBIG,
			"more than %" PRIu64
			" times its size when decompressed (--max-ratio: %" PRIu64
			" bytes out of %" PRIu64 ")",
			d->lim.max_ratio, d->made, in);
	} else {
		return true;
	}
	stream_fail(&d->s, E_TOOBIG);
	return false;
}

static size_t pull(struct stream *s, unsigned char *out, size_t n)
{
	struct decompressor *d = (struct decompressor *)s;

	/* One byte over the budget is enough to know. */
	if (d->lim.max_output)
		n = (size_t)MIN((uint64_t)n, d->lim.max_output - d->made + 1);
	size_t got = d->produce(d, out, n);
	d->full = got == n;
	d->made += got;
	return got && within_limits(d) ? got : 0;
}

static void fill(struct stream *s)
{
	struct decompressor *d = (struct decompressor *)s;

	if (!d->window)
		d->window = xmalloc(STREAM_WINDOW);
	size_t got = pull(s, d->window, STREAM_WINDOW);
	if (!got)
		return;
	s->pos = d->window;
	s->end = d->window + got;
}

/* Readers of a few bytes get them from a window. */
static size_t pull_or_fill(struct stream *s, unsigned char *out, size_t n)
{
	if (n >= KIB(64))
		return pull(s, out, n);
	fill(s);
	n = MIN(n, (size_t)(s->end - s->pos));
	if (!n)
		return 0;
	memcpy(out, s->pos, n);
	s->pos += n;
	return n;
}

static void close_decompressor(struct stream *s)
{
	struct decompressor *d = (struct decompressor *)s;

	if (d->release)
		d->release(d);
	stream_close(d->src);
	free(d->window);
	free(d);
}

const struct stream_ops decompressor_ops = { .fill = fill,
					     .close = close_decompressor,
					     .pull = pull_or_fill };

static size_t produce_copy(struct decompressor *d, unsigned char *out, size_t n)
{
	size_t got = stream_pull(d->src, out, n);

	if (!got && d->src->err)
		stream_fail(&d->s, d->src->err);
	else if (!got)
		d->s.eof = true;
	return got;
}

static size_t produce_refusal(struct decompressor *d, unsigned char *out, size_t n)
{
	return decompressor_fail(d, E_UNSUPPORTED, "unknown compression");
}

static struct decompressor *plain_open(bool known)
{
	struct decompressor *d = xcalloc(1, sizeof(*d));

	d->produce = known ? produce_copy : produce_refusal;
	return d;
}

enum compression compression_from_magic(struct span b)
{
	if (b.n >= 2 && b.p[0] == 0x1f && b.p[1] == 0x8b)
		return COMPRESSION_GZIP;
	/* zstd frames, and the sixteen magics of skippable ones */
	if (b.n >= 4 && !memcmp(b.p, "\x28\xb5\x2f\xfd", 4))
		return COMPRESSION_ZSTD;
	if (b.n >= 4 && (b.p[0] & 0xf0) == 0x50 && !memcmp(b.p + 1, "\x2a\x4d\x18", 3))
		return COMPRESSION_ZSTD;
	/* bzip2 and xz: known, but not ours */
	if ((b.n >= 3 && !memcmp(b.p, "BZh", 3)) || (b.n >= 6 && !memcmp(b.p,
									 "\xfd"
									 "7zXZ\0",
									 6)))
		return COMPRESSION_UNKNOWN;
	return COMPRESSION_NONE;
}

struct stream *stream_decompress(struct stream *src, enum compression c,
				 const struct decompress_limits *lim, struct err *e)
{
	static const struct decompress_limits none;
	struct decompressor *d;

	if (!lim)
		lim = &none;
	if (c == COMPRESSION_NONE && !lim->max_output)
		return src;
	if (c == COMPRESSION_GZIP)
		d = gzip_open();
	else if (c == COMPRESSION_ZSTD)
		d = zstd_open(lim);
	else
		d = plain_open(c == COMPRESSION_NONE);
	d->s.ops = &decompressor_ops;
	d->src = src;
	d->src_start = src->offset;
	d->lim = *lim;
	d->e = e;
	return &d->s;
}
