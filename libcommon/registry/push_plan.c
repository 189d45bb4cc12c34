/* What an image's documents name, each blob once, and where else it may be found. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/push.h"

enum { MOUNTS_MAX = 3 };

/* Repositories of this registry that a layer is known to be in: containerd writes them down. */
static void note_sources(struct push_blob *b, const struct json *descriptor, const char *key)
{
	struct span list = { 0 }, name;

	json_str(json_get(json_get(descriptor, "annotations"), key), &list);
	while (b->from.n < MOUNTS_MAX && span_cut(&list, ',', &name))
		if (span_trim(name).n)
			strs_take(&b->from, span_dup(span_trim(name)));
}

static char *base_repository(const struct json *manifest, const char *domain)
{
	const char *name = json_cstr(
		json_get(json_get(manifest, "annotations"), "org.opencontainers.image.base.name"));
	struct reference ref;
	char *repository = NULL;

	if (!name || reference_parse(name, &ref, NULL) < 0)
		return NULL;
	if (!strcmp(ref.domain, domain))
		repository = steal_ptr(&ref.repository);
	reference_release(&ref);
	return repository;
}

/* Where the blobs are, by digest: numbers from 1 on in a table that is at most half full. */
struct places {
	struct push *p;
	size_t *v, mask;
	unsigned char key[16]; /* the digests are a stranger's choice */
};

static size_t *place_of(const struct places *l, const struct digest *d)
{
	size_t i = (size_t)siphash(l->key, d->v, hash_size(d->alg)) & l->mask;

	while (l->v[i] && !digest_eq(&l->p->blobs[l->v[i] - 1].d->digest, d))
		i = (i + 1) & l->mask;
	return &l->v[i];
}

static int plan_blob(const struct places *l, const struct descriptor *d, bool layer,
		     struct push_blob **out, struct err *e)
{
	struct push *p = l->p;
	char text[DIGEST_TEXT_MAX];

	*out = NULL;
	if (layer && descriptor_is_nondistributable(d)) {
		p->foreign_n++;
		return 0;
	}
	size_t *at = place_of(l, &d->digest);
	if (*at) {
		*out = &p->blobs[*at - 1];
		if ((*out)->d->size == d->size)
			return 0;
		return err_set(e, E_SIZE, "%s has two sizes, %llu and %llu",
			       digest_text(&d->digest, text), (unsigned long long)(*out)->d->size,
			       (unsigned long long)d->size);
	}
	*out = &p->blobs[p->blobs_n++];
	**out = (struct push_blob){ .d = d, .fd = -1 };
	*at = p->blobs_n;
	p->layers_n += layer;
	return 0;
}

static int plan_manifest(const struct places *l, const struct document *m, const char *domain,
			 struct err *e)
{
	_cleanup_(json_freep) struct json *doc = NULL;
	_cleanup_(freep) char *key = xasprintf("containerd.io/distribution.source.%s", domain);
	int r = json_parse(buf_span(&m->raw), NULL, &doc, e);
	if (r < 0)
		return r;
	_cleanup_(freep) char *base = base_repository(doc, domain);
	struct push_blob *b;

	r = plan_blob(l, &m->config, false, &b, e);
	for (size_t i = 0; !r && i < m->layers_n; i++) {
		r = plan_blob(l, &m->layers[i], true, &b, e);
		if (r < 0 || !b)
			continue;
		note_sources(b, json_at(json_get(doc, "layers"), i), key);
		if (base && b->from.n < MOUNTS_MAX)
			strs_add(&b->from, base);
	}
	return r;
}

int push_plan(struct push *p, const char *domain, struct err *e)
{
	struct places l = { .p = p, .mask = 1 };
	size_t n = 0;
	int r = random_bytes(l.key, sizeof(l.key));

	for (size_t i = 0; i < p->docs_n; i++)
		if (p->docs[i]->kind == DOC_MANIFEST)
			n += 1 + p->docs[i]->layers_n;
	while (l.mask < 2 * n)
		l.mask = 2 * l.mask + 1;
	l.v = xcalloc(l.mask + 1, sizeof(*l.v));
	p->blobs = xcalloc(n, sizeof(*p->blobs));
	for (size_t i = 0; !r && i < p->docs_n; i++)
		if (p->docs[i]->kind == DOC_MANIFEST)
			r = plan_manifest(&l, p->docs[i], domain, e);
	free(l.v);
	return r;
}

void push_release(struct push *p)
{
	for (size_t i = 0; i < p->blobs_n; i++) {
		strs_release(&p->blobs[i].from);
		fd_close(p->blobs[i].fd);
	}
	free(p->blobs);
}
