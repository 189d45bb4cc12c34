/* A sink that hashes what passes through it. */
#include <stdlib.h>

#include "libcommon/codec.h"

struct hash_sink {
	struct sink s;
	struct sink *below;
	struct hash hash;
};

static void hash_sink_write(struct sink *s, struct span data)
{
	struct hash_sink *h = (struct hash_sink *)s;

	hash_update(&h->hash, data);
	sink_write(h->below, data);
	s->err = h->below->err;
}

static void hash_sink_flush(struct sink *s)
{
	s->err = sink_flush(((struct hash_sink *)s)->below);
}

static void hash_sink_close(struct sink *s)
{
	sink_close(((struct hash_sink *)s)->below);
	free(s);
}

static const struct sink_ops hash_sink_ops = { .write = hash_sink_write,
					       .flush = hash_sink_flush,
					       .close = hash_sink_close };

struct sink *sink_hash(struct sink *below, enum hash_alg alg)
{
	struct hash_sink *h = xcalloc(1, sizeof(*h));

	h->s.ops = &hash_sink_ops;
	h->below = below;
	hash_init(&h->hash, alg);
	return &h->s;
}

size_t sink_hash_final(struct sink *s, unsigned char out[HASH_MAX])
{
	struct hash copy = ((struct hash_sink *)s)->hash;

	return hash_final(&copy, out);
}
