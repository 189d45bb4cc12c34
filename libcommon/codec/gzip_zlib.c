/* Inflating by zlib. */
#include <stdlib.h>
#include <zlib.h>

#include "libcommon/codec/inflate.h"

uint32_t gzip_crc32(struct span data)
{
	return (uint32_t)crc32_z(0, data.p, data.n);
}

struct inflater {
	z_stream z;
	uLong crc;
};

static void *allocate(void *arg, unsigned n, unsigned size)
{
	return xcalloc(n, size);
}

static void release(void *arg, void *p)
{
	free(p);
}

struct inflater *inflater_new(void)
{
	struct inflater *i = xcalloc(1, sizeof(*i));

	i->z.zalloc = allocate;
	i->z.zfree = release;
	inflateInit2(&i->z,
		     -15); /* fails for want of memory only, and then allocate() does not return */
	return i;
}

void inflater_free(struct inflater *i)
{
	if (i)
		inflateEnd(&i->z);
	free(i);
}

void inflater_reset(struct inflater *i)
{
	inflateReset(&i->z);
	i->crc = 0;
}

int inflater_run(struct inflater *i, struct span *in, struct inflater_out *out)
{
	unsigned in_n = (unsigned)MIN(in->n, MIB(1024)), out_n = (unsigned)MIN(out->n, MIB(1024));

	i->z.next_in = (unsigned char *)in->p;
	i->z.avail_in = in_n;
	i->z.next_out = out->p;
	i->z.avail_out = out_n;
	int r = inflate(&i->z, Z_NO_FLUSH);
	if (r != Z_OK && r != Z_STREAM_END && r != Z_BUF_ERROR)
		return E_FORMAT;
	i->crc = crc32(i->crc, out->p, out_n - i->z.avail_out);
	*in = span_tail(*in, in_n - i->z.avail_in);
	out->p += out_n - i->z.avail_out;
	out->n -= out_n - i->z.avail_out;
	return r == Z_STREAM_END;
}

uint32_t inflater_crc(const struct inflater *i)
{
	return (uint32_t)i->crc;
}

size_t inflater_leftover(const struct inflater *i, unsigned char out[8])
{
	return 0;
}
