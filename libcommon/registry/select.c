/*
 * From a reference to documents: the choice among platforms, nested indexes, and the list of blobs
 * that go along.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/push.h"

enum {
	SELECT_DEPTH_MAX = 4, /* an index in an index in an index */
	SELECT_DOCS_MAX = 4096,
	SELECT_BYTES_MAX = 32 << 20, /* of all documents */
};

struct walk {
	struct registry *r;
	const struct selection_options *o;
	struct selection *s;
	struct err *e;
	uint64_t bytes;
	unsigned char key[16]; /* of the set of digests, which a stranger chooses */
};

static void document_free(struct document *d)
{
	if (d)
		document_release(d);
	free(d);
}

static void document_freep(struct document **d)
{
	document_free(*d);
}

void selection_release(struct selection *s)
{
	for (size_t i = 0; i < s->docs_n; i++)
		document_free(s->docs[i]);
	for (size_t i = 0; i < s->blobs_n; i++)
		descriptor_release(&s->blobs[i]);
	if (s->top)
		descriptor_release(s->top);
	free(s->top);
	free(s->docs);
	free(s->blobs);
	*s = (struct selection){ 0 };
}

static bool is_index_type(const char *type)
{
	return !strcmp(type, MEDIA_OCI_INDEX) || !strcmp(type, MEDIA_DOCKER_LIST);
}

static bool is_manifest_type(const char *type)
{
	return !strcmp(type, MEDIA_OCI_MANIFEST) || !strcmp(type, MEDIA_DOCKER_MANIFEST);
}

/* A document that an index names: its bytes, size and type are what the index said. */
static int get_child(struct walk *w, const struct descriptor *d, struct document **out)
{
	_cleanup_(document_freep) struct document *doc = xcalloc(1, sizeof(*doc));
	char text[DIGEST_TEXT_MAX];

	digest_text(&d->digest, text);
	if (d->size > DOC_MANIFEST_MAX)
		return err_set(
			w->e, E_TOOBIG,
			"%s: the index gives it %llu bytes, more than the %d MiB of a manifest",
			text, (unsigned long long)d->size, DOC_MANIFEST_MAX >> 20);
	int r = registry_get_document(w->r, text, doc, w->e);
	if (r < 0)
		return r;
	if (doc->raw.n != d->size)
		return err_set(w->e, E_SIZE, "%s: has %zu bytes, the index says %llu", text,
			       doc->raw.n, (unsigned long long)d->size);
	if (*d->media_type && is_index_type(d->media_type) != (doc->kind == DOC_INDEX))
		return err_set(w->e, E_FORMAT, "%s: is %s, the index says %s", text,
			       quoted_str(doc->media_type), quoted_str(d->media_type));
	*out = steal_ptr(&doc);
	return 0;
}

static const struct document *have_doc(const struct walk *w, const struct digest *d)
{
	for (size_t i = 0; i < w->s->docs_n; i++)
		if (digest_eq(&w->s->docs[i]->digest, d))
			return w->s->docs[i];
	return NULL;
}

static int add_doc(struct walk *w, struct document **doc)
{
	w->bytes += (*doc)->raw.n;
	if (w->s->docs_n == SELECT_DOCS_MAX)
		return err_set(w->e, E_TOOBIG, "the index names more than %d documents",
			       SELECT_DOCS_MAX);
	if (w->bytes > SELECT_BYTES_MAX)
		return err_set(w->e, E_TOOBIG, "the index names more than %d MiB of documents",
			       SELECT_BYTES_MAX >> 20);
	w->s->docs = xrealloc(w->s->docs, (w->s->docs_n + 1) * sizeof(*w->s->docs));
	w->s->docs[w->s->docs_n++] = steal_ptr(doc);
	return 0;
}

static int too_deep(struct walk *w)
{
	return err_set(w->e, E_TOOBIG, "more than %d indexes inside each other", SELECT_DEPTH_MAX);
}

/* Takes *doc into the selection with all that it names. */
static int take_all(struct walk *w, struct document **doc, unsigned depth)
{
	const struct document *index = *doc;
	int r = add_doc(w, doc);

	if (r < 0 || index->kind != DOC_INDEX)
		return r;
	if (depth == SELECT_DEPTH_MAX)
		return too_deep(w);
	for (size_t i = 0; i < index->manifests_n; i++) {
		const struct descriptor *d = &index->manifests[i];
		_cleanup_(document_freep) struct document *child = NULL;

		if (have_doc(w, &d->digest))
			continue;
		/* an index may name what is neither index nor manifest: that goes along as a blob
		 * would, but no reader of ours knows it, so it is named instead of dropped */
		if (*d->media_type && !is_index_type(d->media_type) &&
		    !is_manifest_type(d->media_type))
			return err_set(w->e, E_UNSUPPORTED, "the index names an entry of type %s",
				       quoted_str(d->media_type));
		r = get_child(w, d, &child);
		if (!r)
			r = take_all(w, &child, depth + 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static int descend(struct walk *w, const struct document *index, unsigned depth,
		   struct document **out);

static int descend_into(struct walk *w, const struct descriptor *d, unsigned depth,
			struct document **out)
{
	_cleanup_(document_freep) struct document *child = NULL;
	int r = get_child(w, d, &child);

	if (r < 0)
		return r;
	if (child->kind == DOC_INDEX)
		return descend(w, child, depth + 1, out);
	w->s->has_platform = d->has_platform;
	w->s->platform = d->platform;
	*out = steal_ptr(&child);
	return 0;
}

/* The manifest below index that serves the wanted platform: the index's own choice, else what
 * nested indexes without a platform of their own hold, in their order. */
static int descend(struct walk *w, const struct document *index, unsigned depth,
		   struct document **out)
{
	struct err why = { 0 };
	size_t pos;

	if (depth == SELECT_DEPTH_MAX)
		return too_deep(w);
	int r = document_choose(index, &w->o->want, &pos, &why);
	if (!r)
		return descend_into(w, &index->manifests[pos], depth, out);
	for (size_t i = 0; r == E_NOT_FOUND && i < index->manifests_n; i++) {
		struct err inner = { 0 }, *outer = w->e;

		if (!is_index_type(index->manifests[i].media_type) ||
		    index->manifests[i].has_platform)
			continue;
		w->e = &inner;
		int below = descend_into(w, &index->manifests[i], depth, out);
		w->e = outer;
		if (!below)
			return 0;
		if (below != E_NOT_FOUND)
			return err_set(w->e, below, "%s", inner.text);
	}
	return err_set(w->e, r, "%s", *why.text ? why.text : err_word(r));
}

/* ---- blobs ---- */

static int add_blob(struct walk *w, struct set64 *seen, const struct descriptor *d, bool layer)
{
	struct selection *s = w->s;
	char text[DIGEST_TEXT_MAX];

	if (!layer && d->size > DOC_CONFIG_MAX)
		return err_set(w->e, E_TOOBIG, "config %s: has %llu bytes, more than %d MiB",
			       digest_text(&d->digest, text), (unsigned long long)d->size,
			       DOC_CONFIG_MAX >> 20);
	if (!set64_add(seen, siphash(w->key, d->digest.v, hash_size(d->digest.alg)))) {
		for (size_t i = 0; i < s->blobs_n; i++) {
			if (!digest_eq(&s->blobs[i].digest, &d->digest))
				continue;
			if (s->blobs[i].size == d->size)
				return 0;
			return err_set(w->e, E_SIZE, "%s: has two sizes, %llu and %llu",
				       digest_text(&d->digest, text),
				       (unsigned long long)s->blobs[i].size,
				       (unsigned long long)d->size);
		}
	}
	if (!(s->blobs_n & (s->blobs_n - 1)))
		s->blobs =
			xrealloc(s->blobs, (s->blobs_n ? 2 * s->blobs_n : 1) * sizeof(*s->blobs));
	s->blobs[s->blobs_n] = (struct descriptor){ 0 };
	descriptor_copy(&s->blobs[s->blobs_n++], d);
	s->layers_n += layer;
	return 0;
}

static int list_blobs(struct walk *w)
{
	_cleanup_(set64_release) struct set64 seen = { 0 };
	int r = random_bytes(w->key, sizeof(w->key));

	for (size_t i = 0; !r && i < w->s->docs_n; i++) {
		const struct document *m = w->s->docs[i];

		if (m->kind != DOC_MANIFEST)
			continue;
		r = add_blob(w, &seen, &m->config, false);
		for (size_t k = 0; !r && k < m->layers_n; k++)
			r = add_blob(w, &seen, &m->layers[k], true);
	}
	return r;
}

/* ---- referrers ---- */

static void put_index(const struct referrer *v, size_t n, const bool *gone, struct buf *out)
{
	const char *sep = "";

	buf_adds(out, "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":[");
	for (size_t i = 0; i < n; i++) {
		if (gone[i])
			continue;
		buf_adds(out, sep);
		buf_adds(out, v[i].json);
		sep = ",";
	}
	buf_adds(out, "]}");
}

/* Documents that are gone, or that are about something else, are no referrers, whoever lists them. */
static int get_referrers(struct walk *w, const struct digest *subject, const struct referrer *v,
			 size_t n, struct document **docs, bool *gone)
{
	for (size_t i = 0; i < n; i++) {
		struct err *e = w->e, why = { 0 };

		w->e = &why;
		int r = get_child(w, &v[i].d, &docs[i]);
		w->e = e;
		if (r < 0 && r != E_NOT_FOUND)
			return err_set(e, r, "%s", why.text);
		gone[i] = r < 0 || !docs[i]->has_subject ||
			  !digest_eq(&docs[i]->subject.digest, subject);
		w->s->dropped += gone[i];
	}
	return 0;
}

static int take_referrers(struct walk *w, const struct digest *subject, const struct referrer *v,
			  size_t n)
{
	_cleanup_(freep) struct document **docs = xcalloc(n + 1, sizeof(*docs));
	_cleanup_(freep) bool *gone = xcalloc(n + 1, sizeof(*gone));
	_cleanup_(buf_release) struct buf raw = BUF_INIT;
	_cleanup_(document_freep) struct document *index = xcalloc(1, sizeof(*index));
	char text[DIGEST_TEXT_MAX];

	int r = get_referrers(w, subject, v, n, docs, gone);
	if (!r && w->s->dropped == n)
		r = err_set(w->e, E_NOT_FOUND, "nothing%s%s refers to %s",
			    w->o->referrers_type ? " of type " : "",
			    w->o->referrers_type ? quoted_str(w->o->referrers_type) : "",
			    digest_text(subject, text));
	if (!r) {
		put_index(v, n, gone, &raw);
		r = document_parse(&raw, NULL, index, w->e);
	}
	if (!r)
		r = add_doc(w, &index);
	for (size_t i = 0; i < n; i++) {
		if (!r && !gone[i] && !have_doc(w, &docs[i]->digest))
			r = take_all(w, &docs[i], 1);
		document_free(docs[i]);
	}
	return r;
}

static int check_size(const struct walk *w)
{
	uint64_t left = w->o->max_referrers_size;

	for (size_t i = 0; i < w->s->blobs_n; i++) {
		if (w->s->blobs[i].size > left)
			return err_set(w->e, E_TOOBIG,
				       "the referrers have more than %llu bytes "
				       "(--max-referrers-size)",
				       (unsigned long long)w->o->max_referrers_size);
		left -= w->s->blobs[i].size;
	}
	return 0;
}

/* From the reference to what is referred to. */
static int find_subject(struct walk *w, const struct reference *ref, struct digest *out)
{
	_cleanup_(document_freep) struct document *top = xcalloc(1, sizeof(*top)), *chosen = NULL;
	char text[DIGEST_TEXT_MAX];

	*out = ref->digest;
	if (ref->has_digest && !w->o->choose)
		return 0;
	int r = registry_get_document(
		w->r, ref->has_digest ? digest_text(&ref->digest, text) : ref->tag, top, w->e);
	if (!r && top->kind == DOC_INDEX && w->o->choose)
		r = descend(w, top, 0, &chosen);
	if (!r)
		*out = chosen ? chosen->digest : top->digest;
	return r;
}

static int select_referrers(struct walk *w, const struct reference *ref)
{
	struct digest subject;
	struct referrer *v = NULL;
	size_t n = 0;

	int r = find_subject(w, ref, &subject);
	if (!r)
		r = referrers_list(w->r, &subject, w->o->referrers_type, w->o->max_referrers, &v,
				   &n, w->e);
	if (!r)
		r = take_referrers(w, &subject, v, n);
	referrers_free(v, n);
	w->s->has_platform = false;
	return r;
}

static int select_image(struct walk *w, const struct reference *ref)
{
	_cleanup_(document_freep) struct document *top = xcalloc(1, sizeof(*top)), *chosen = NULL;
	char text[DIGEST_TEXT_MAX];

	int r = registry_get_document(
		w->r, ref->has_digest ? digest_text(&ref->digest, text) : ref->tag, top, w->e);
	if (r < 0)
		return r;
	if (top->kind != DOC_INDEX || w->o->all_platforms)
		return take_all(w, &top, 0);
	r = descend(w, top, 0, &chosen);
	return r < 0 ? r : add_doc(w, &chosen);
}

int registry_select(struct registry *r, const struct reference *ref,
		    const struct selection_options *o, struct selection *out, struct err *e)
{
	_cleanup_(selection_release) struct selection s = { 0 };
	struct walk w = { .r = r, .o = o, .s = &s, .e = e };

	int code = o->referrers ? select_referrers(&w, ref) : select_image(&w, ref);
	if (!code)
		code = list_blobs(&w);
	if (!code && o->referrers)
		code = check_size(&w);
	if (code < 0)
		return code;
	if (s.docs[0]->kind == DOC_MANIFEST)
		s.manifest = s.docs[0];
	s.top = xcalloc(1, sizeof(*s.top));
	s.top->media_type = xstrdup(s.docs[0]->media_type);
	s.top->digest = s.docs[0]->digest;
	s.top->size = s.docs[0]->raw.n;
	s.top->has_platform = s.has_platform;
	s.top->platform = s.platform;
	*out = s;
	s = (struct selection){ 0 };
	return 0;
}
