/* Which compressor, at which level. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/codec/compress.h"

static const struct compressor *compressor_of(enum compression kind)
{
	return kind == COMPRESSION_GZIP	  ? &compressor_gzip
	       : kind == COMPRESSION_ZSTD ? compressor_zstd
					  : NULL;
}

int compression_check(const struct compression_choice *c, struct err *e)
{
	const struct compressor *k = compressor_of(c->kind);

	if (c->kind == COMPRESSION_NONE)
		return c->level ? err_set(e, E_USAGE, "no compression has no levels") : 0;
	if (!k)
		return err_set(e, E_UNSUPPORTED, "this build does not compress with zstd");
	if (c->level && (c->level < k->level_min || c->level > k->level_max))
		return err_set(e, E_USAGE, "level %d is not one of %d to %d", c->level,
			       k->level_min, k->level_max);
	return 0;
}

struct sink *sink_compress(struct sink *below, const struct compression_choice *c, unsigned threads)
{
	const struct compressor *k = compressor_of(c->kind);

	if (!k)
		return below;
	return sink_parallel(below, &k->ops,
			     (void *)(intptr_t)(c->level ? c->level : k->level_usual), threads);
}

bool is_zeros(struct span s)
{
	uint64_t any = 0, w[8];

	for (; s.n >= sizeof(w) && !any; s = span_tail(s, sizeof(w))) {
		memcpy(w, s.p, sizeof(w));
		any = w[0] | w[1] | w[2] | w[3] | w[4] | w[5] | w[6] | w[7];
	}
	while (s.n && !any)
		any = s.p[--s.n];
	return !any;
}

size_t zeros_copy(const struct zeros_made *z, unsigned char *out)
{
	if (z->n)
		memcpy(out, z->p, z->n);
	return z->n;
}

void zeros_keep(struct zeros_made *z, struct span made)
{
	z->p = xmemdup(made.p, made.n);
	z->n = made.n;
}
