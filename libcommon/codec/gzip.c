/*
 * The gzip format (RFC 1952) around deflate: headers and trailers of members, and nothing between or behind them.
 */
#include <string.h>

#include "libcommon/codec/decompress.h"
#include "libcommon/codec/inflate.h"

/* Names and comments are passed over; this much header is a member's at the most. */
enum { HEADER_MAX = 64 * 1024 };
enum { FHCRC = 2, FEXTRA = 4, FNAME = 8, FCOMMENT = 16, RESERVED = 0xe0 };

struct gzip {
	struct decompressor d;
	struct inflater *inflater;
	bool in_member, after_member;
	uint32_t made; /* by this member; the format counts modulo 2^32 */
};

struct header {
	struct stream *src;
	uint32_t crc;
	size_t n;
};

/* Bit by bit: headers are short. */
static void header_took(struct header *h, struct span bytes)
{
	h->n += bytes.n;
	for (size_t i = 0; i < bytes.n; i++) {
		h->crc ^= bytes.p[i];
		for (int k = 0; k < 8; k++)
			h->crc = h->crc >> 1 ^ (h->crc & 1 ? 0xedb88320 : 0);
	}
}

static int header_read(struct header *h, unsigned char *out, size_t n)
{
	int r = stream_read_exact(h->src, out, n);

	if (!r)
		header_took(h, span_of(out, n));
	return r;
}

/* Passes over n bytes, or, with to_nul, up to and with the first NUL. */
static int header_skip(struct header *h, size_t n, bool to_nul)
{
	for (bool done = !n && !to_nul; !done;) {
		struct span w = stream_peek(h->src);
		if (!w.n)
			return h->src->err ? h->src->err : E_TRUNCATED;
		if (to_nul) {
			const unsigned char *nul = memchr(w.p, 0, w.n);
			done = nul;
			w.n = nul ? (size_t)(nul - w.p) + 1 : w.n;
		} else {
			w.n = MIN(w.n, n);
			n -= w.n;
			done = !n;
		}
		if (w.n > HEADER_MAX - h->n)
			return E_TOOBIG;
		header_took(h, w);
		stream_skip(h->src, w.n);
	}
	return 0;
}

static int header_parse(struct header *h)
{
	unsigned char fixed[10], two[2];
	int r = header_read(h, fixed, sizeof(fixed));

	if (r)
		return r;
	/* Magic, and deflate as the only method; the rest (time, hints, system) says nothing about the contents. */
	if (fixed[0] != 0x1f || fixed[1] != 0x8b || fixed[2] != 8 || (fixed[3] & RESERVED))
		return E_FORMAT;
	if (fixed[3] & FEXTRA) {
		r = header_read(h, two, 2);
		if (!r)
			r = header_skip(h, two[0] | (size_t)two[1] << 8, false);
		if (r)
			return r;
	}
	for (int flag = FNAME; flag <= FCOMMENT; flag <<= 1) {
		r = fixed[3] & flag ? header_skip(h, 0, true) : 0;
		if (r)
			return r;
	}
	if (fixed[3] & FHCRC) {
		uint32_t want = ~h->crc & 0xffff;
		r = header_read(h, two, 2);
		if (r)
			return r;
		if (want != (two[0] | (uint32_t)two[1] << 8))
			return E_FORMAT;
	}
	return 0;
}

/* 1 in a new member, 0 at the clean end of all, or an error, set. */
static int member_begin(struct gzip *g)
{
	struct header h = { .src = g->d.src, .crc = ~0u };
	struct span w = stream_peek(g->d.src);

	if (!w.n && g->d.src->err)
		return stream_fail(&g->d.s, g->d.src->err), -1;
	if (!w.n && g->after_member) {
		g->d.s.eof = true;
		return 0;
	}
	if (g->after_member && w.p[0] != 0x1f)
		return decompressor_fail(&g->d, E_FORMAT, "gzip: garbage after the last member"),
		       -1;
	int r = header_parse(&h);
	if (r == E_TRUNCATED)
		decompressor_fail(&g->d, r,
				  h.n ? "gzip: cut off in a header"
				      : "gzip: cut off before a header");
	else if (r == E_FORMAT)
		decompressor_fail(&g->d, r,
				  h.n == 10 ? "gzip: not a gzip header"
					    : "gzip: bad header checksum");
	else if (r == E_TOOBIG)
		decompressor_fail(&g->d, r, "gzip: header of more than 64 KiB");
	else if (r)
		stream_fail(&g->d.s, r);
	if (r)
		return -1;
	inflater_reset(g->inflater);
	g->in_member = true;
	g->d.full = false;
	g->made = 0;
	return 1;
}

/* Checks the trailer: CRC-32 and length of what the member gave. */
static int member_end(struct gzip *g)
{
	unsigned char t[8];
	size_t n = inflater_leftover(g->inflater, t);
	int r = stream_read_exact(g->d.src, t + n, sizeof(t) - n);

	if (r == E_TRUNCATED)
		return decompressor_fail(&g->d, r, "gzip: cut off in a trailer"), -1;
	if (r)
		return stream_fail(&g->d.s, r), -1;
	uint32_t crc = t[0] | (uint32_t)t[1] << 8 | (uint32_t)t[2] << 16 | (uint32_t)t[3] << 24;
	uint32_t size = t[4] | (uint32_t)t[5] << 8 | (uint32_t)t[6] << 16 | (uint32_t)t[7] << 24;
	if (crc != inflater_crc(g->inflater))
		return decompressor_fail(&g->d, E_FORMAT, "gzip: bad checksum"), -1;
	if (size != g->made)
		return decompressor_fail(&g->d, E_FORMAT, "gzip: bad length"), -1;
	g->in_member = false;
	g->after_member = true;
	return 0;
}

static size_t gzip_produce(struct decompressor *d, unsigned char *out, size_t n)
{
	struct gzip *g = (struct gzip *)d;

	for (;;) {
		if (!g->in_member && member_begin(g) <= 0)
			return 0;
		struct span in = decompressor_input(d);
		if (!in.n && !d->full) {
			if (!d->src->err)
				return decompressor_fail(d, E_TRUNCATED,
							 "gzip: cut off in compressed data");
			stream_fail(&d->s, d->src->err);
			return 0;
		}
		size_t offered = in.n;
		struct inflater_out to = { out, n };
		int r = inflater_run(g->inflater, &in, &to);
		if (r < 0)
			return decompressor_fail(d, E_FORMAT, "gzip: bad compressed data");
		stream_skip(d->src, offered - in.n);
		g->made += (uint32_t)(n - to.n);
		if (r && member_end(g))
			return 0;
		if (to.n < n)
			return n - to.n;
		/* The library always takes or gives something; a loop here would never end. */
		if (!r && in.n == offered && !d->full)
			return decompressor_fail(d, E_FORMAT, "gzip: bad compressed data");
		d->full = false;
	}
}

static void gzip_release(struct decompressor *d)
{
	inflater_free(((struct gzip *)d)->inflater);
}

struct decompressor *gzip_open(void)
{
	struct gzip *g = xcalloc(1, sizeof(*g));

	g->inflater = inflater_new();
	g->d.produce = gzip_produce;
	g->d.release = gzip_release;
	return &g->d;
}
