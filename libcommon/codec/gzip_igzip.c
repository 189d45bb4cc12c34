/* Inflating by ISA-L's igzip. */
#include <igzip_lib.h>
#include <stdlib.h>

#include "libcommon/codec/inflate.h"

/* scripts/igzip_glue.c */
uint32_t crc32_gzip_refl(uint32_t crc, const unsigned char *p, uint64_t len);

uint32_t gzip_crc32(struct span data)
{
	return crc32_gzip_refl(0, data.p, data.n);
}

struct inflater {
	struct inflate_state state;
};

struct inflater *inflater_new(void)
{
	struct inflater *i =
		xmalloc(sizeof(*i)); /* 85 KB, which the library sets as it needs them */

	isal_inflate_init(&i->state);
	i->state.crc_flag = ISAL_GZIP_NO_HDR;
	return i;
}

void inflater_free(struct inflater *i)
{
	free(i);
}

void inflater_reset(struct inflater *i)
{
	isal_inflate_reset(&i->state);
}

int inflater_run(struct inflater *i, struct span *in, struct inflater_out *out)
{
	struct inflate_state *s = &i->state;
	uint32_t in_n = (uint32_t)MIN(in->n, MIB(1024)), out_n = (uint32_t)MIN(out->n, MIB(1024));

	s->next_in = (uint8_t *)in->p;
	s->avail_in = in_n;
	s->next_out = out->p;
	s->avail_out = out_n;
	if (isal_inflate(s) < 0)
		return E_FORMAT;
	*in = span_tail(*in, in_n - s->avail_in);
	out->p += out_n - s->avail_out;
	out->n -= out_n - s->avail_out;
	return s->block_state == ISAL_BLOCK_FINISH;
}

uint32_t inflater_crc(const struct inflater *i)
{
	return i->state.crc;
}

size_t inflater_leftover(const struct inflater *i, unsigned char out[8])
{
	uint64_t bits = i->state.read_in >> (i->state.read_in_length % 8);
	size_t n = i->state.read_in_length / 8;

	for (size_t k = 0; k < n; k++)
		out[k] = bits >> (8 * k);
	return n;
}
