/*
 * An image composed of a base, new layers and a config that was edited.
 *
 * Layers of a base pass as they are. What nothing changes stays byte for byte: the config where only
 * annotations change, the whole where nothing does. Descriptors, diff_ids and the entries of the
 * history that stand for layers are as many, or it is an error.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/oci/compose.h"

#define BASE_NAME   "org.opencontainers.image.base.name"
#define BASE_DIGEST "org.opencontainers.image.base.digest"
#define CREATED_BY  "ocibox mkmanifest"

struct work {
	const struct compose_options *o;
	struct composition *out;
	struct err *e;
	bool draft; /* of an image whose layers are still to be squashed */
	bool docker;
	struct json *base;    /* the base's manifest, or NULL */
	struct json *old_new; /* that of the new base, or NULL */
	struct json *layers;  /* descriptors */
	struct json *diff_ids;
	struct json *history; /* or NULL: there is none */
	struct json *annotations;
	struct json *config; /* its descriptor */
};

static void work_release(struct work *w)
{
	json_free(w->base);
	json_free(w->old_new);
	json_free(w->layers);
	json_free(w->diff_ids);
	json_free(w->history);
	json_free(w->annotations);
	json_free(w->config);
}

/* ---- layers ---- */

static void add_layer(struct work *w, const struct composed_layer *l, const struct digest *diff_id)
{
	struct composition *c = w->out;
	char text[DIGEST_TEXT_MAX];

	c->layers = xrealloc(c->layers, (c->layers_n + 1) * sizeof(*c->layers));
	c->layers[c->layers_n] = *l;
	c->layers[c->layers_n++].diff_id = *diff_id;
	json_append(w->diff_ids, json_new_str(span_str(digest_text(diff_id, text))));
}

/* Layers from first on of an image whose manifest is doc. */
static int add_image_layers(struct work *w, struct image *img, const struct json *doc, size_t first)
{
	const struct document *m = image_manifest(img);

	for (size_t i = first; i < m->layers_n; i++) {
		struct composed_layer l = { .from = img };
		struct json *d = json_clone(json_at(json_get(doc, "layers"), i));
		const char *type = m->layers[i].media_type;
		int r = 0;

		if (w->o->format != IMAGE_FORMAT_KEEP || img != w->o->base)
			r = layer_media_type(m->layers[i].media_type, w->docker, &type, w->e);
		if (r == 0 && strcmp(type, m->layers[i].media_type))
			json_set(d, "mediaType", json_new_str(span_str(type)));
		json_append(w->layers, d);
		if (r < 0)
			return r;
		descriptor_copy(&l.d, &m->layers[i]);
		add_layer(w, &l, &image_config(img)->diff_ids[i]);
	}
	return 0;
}

static int add_new_layer(struct work *w, const struct layer_file *f)
{
	const char *type = layer_media_type_of(f->compression, w->docker);
	struct composed_layer l = { .file = f };

	if (!type)
		return err_set(w->e, E_UNSUPPORTED,
			       "docker's format has no layers that are compressed with zstd "
			       "(--format oci has)");
	l.d = (struct descriptor){ .media_type = xstrdup(type),
				   .digest = f->digest,
				   .size = f->size };
	json_append(w->layers, descriptor_to_json(type, &f->digest, f->size));
	add_layer(w, &l, &f->diff_id);
	return 0;
}

/* The layers of the old base are the lowest ones of the image, by what they hold. */
static int check_rebase(const struct work *w)
{
	const struct config *c = image_config(w->o->base), *old = image_config(w->o->old_base);
	bool same = old->diff_ids_n <= c->diff_ids_n;

	for (size_t i = 0; same && i < old->diff_ids_n; i++)
		same = digest_eq(&old->diff_ids[i], &c->diff_ids[i]);
	if (!same)
		return err_set(w->e, E_FORMAT,
			       "the image is not made on top of the old base: their lowest layers "
			       "differ");
	return 0;
}

/* What is below the squashed layer, and that. */
static int collect_squashed(struct work *w)
{
	const struct compose_options *o = w->o;
	int r = 0;

	if (o->squash == IMAGE_SQUASH_NEW && o->new_base)
		r = add_image_layers(w, o->new_base, w->old_new, 0);
	else if (o->squash == IMAGE_SQUASH_NEW && o->base)
		r = add_image_layers(w, o->base, w->base, 0);
	w->out->squash_from = w->out->layers_n;
	return r < 0 ? r : add_new_layer(w, o->squashed);
}

/* All that there are. */
static int collect_layers(struct work *w)
{
	const struct compose_options *o = w->o;
	size_t old = 0;
	int r = o->old_base ? check_rebase(w) : 0;

	if (r == 0 && o->old_base) {
		old = image_config(o->old_base)->diff_ids_n;
		r = add_image_layers(w, o->new_base, w->old_new, 0);
		w->out->squash_from = w->out->layers_n;
	}
	if (r == 0 && o->base)
		r = add_image_layers(w, o->base, w->base, old);
	if (!o->old_base)
		w->out->squash_from = w->out->layers_n;
	if (o->squash == IMAGE_SQUASH_ALL)
		w->out->squash_from = 0;
	for (size_t i = 0; r == 0 && i < o->layers_n; i++)
		r = add_new_layer(w, &o->layers[i]);
	return r;
}

static int check_count(const struct work *w)
{
	const struct compose_options *o = w->o;

	if (w->out->layers_n > IMAGE_LAYERS_MAX && !w->draft && (o->layers_n || o->old_base))
		return err_set(
			w->e, E_TOOBIG,
			"the image would have %zu layers; container engines mount at most %d",
			w->out->layers_n, IMAGE_LAYERS_MAX);
	return 0;
}

/* ---- history ---- */

static bool is_layer_entry(const struct json *entry)
{
	return !json_bool(json_get(entry, "empty_layer"), false);
}

static size_t layer_entries(const struct json *history, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += is_layer_entry(json_at(history, i));
	return found;
}

static const struct json *history_of(const struct image *img)
{
	const struct json *h = json_get(image_config(img)->json, "history");

	return json_len(h) ? h : NULL;
}

/* May an image say where its layers come from, and does it say so for as many as it has? */
static int check_history(struct work *w, struct image *img, const char *who, bool *any)
{
	size_t layers = image_manifest(img)->layers_n, said;
	const struct json *h = history_of(img);

	*any = h || !layers;
	said = layer_entries(h, json_len(h));
	if (h && said != layers)
		return err_set(w->e, E_FORMAT,
			       "the history of %s tells of %zu layers, but it has %zu "
			       "(--unset-history)",
			       who, said, layers);
	return 0;
}

static void append_history(struct work *w, const struct json *h, size_t from)
{
	for (size_t i = from; i < json_len(h); i++)
		json_append(w->history, json_share(json_at(h, i)));
}

/* How many entries of an image's history are its old base's. */
static size_t entries_of_base(const struct json *h, const struct json *old, size_t layers)
{
	size_t n = json_len(old), found = 0;

	if (n <= json_len(h) && layer_entries(h, n) == layers)
		return n;
	for (n = 0; found < layers && n < json_len(h); n++)
		found += is_layer_entry(json_at(h, n));
	return n;
}

static void add_entry(struct work *w, size_t i, bool empty)
{
	const struct compose_options *o = w->o;
	const char *text = o->history_n ? o->history[MIN(i, o->history_n - 1)] : CREATED_BY;
	struct json *entry = json_new('{');

	if (o->created)
		json_set(entry, "created", json_new_str(span_str(o->created)));
	json_set(entry, "created_by", json_new_str(span_str(text)));
	if (empty)
		json_set(entry, "empty_layer", json_new_bool(true));
	json_append(w->history, entry);
}

/* Leaves w->history NULL where the layers below have none: it could not agree with their number. */
static int make_history(struct work *w)
{
	const struct compose_options *o = w->o;
	bool any = true, any_new = true;
	size_t skip = 0;
	int r = 0;

	if (o->no_history)
		return 0;
	if (o->squash == IMAGE_SQUASH_ALL) {
		w->history = json_new('[');
		return 0;
	}
	if (o->base)
		r = check_history(w, o->base, "the base", &any);
	if (r == 0 && o->new_base)
		r = check_history(w, o->new_base, "the new base", &any_new);
	if (r < 0 || !any || !any_new)
		return r;
	w->history = json_new('[');
	if (o->old_base) {
		append_history(w, history_of(o->new_base), 0);
		skip = entries_of_base(history_of(o->base), history_of(o->old_base),
				       image_manifest(o->old_base)->layers_n);
	}
	if (o->base && !(o->squashed && o->old_base))
		append_history(w, history_of(o->base), skip);
	return 0;
}

/* ---- config ---- */

static void finish_config(struct work *w)
{
	const struct compose_options *o = w->o;
	struct json *doc = config_edit_json(o->config);
	size_t made = o->squashed ? 1 : o->layers_n;

	if (w->history) {
		for (size_t i = 0; i < made; i++)
			add_entry(w, i, false);
		if (!made && !o->old_base)
			add_entry(w, 0, true);
		json_set(doc, "history", steal_ptr(&w->history));
	} else {
		json_unset(doc, "history");
		w->out->history_dropped = o->history_n && !o->no_history;
	}
	if (o->created)
		json_set(doc, "created", json_new_str(span_str(o->created)));
	else
		json_unset(doc, "created");
}

/* The base's bytes where nothing changed, else new ones; and the descriptor in either format. */
static int make_config(struct work *w, bool *changed)
{
	const struct compose_options *o = w->o;
	const char *type = w->docker ? MEDIA_DOCKER_CONFIG : MEDIA_OCI_CONFIG;
	struct json *rootfs = json_edit(config_edit_json(o->config), "rootfs");
	struct digest digest;
	int r = make_history(w);

	if (r < 0)
		return r;
	json_set(rootfs, "diff_ids", steal_ptr(&w->diff_ids));
	*changed = !o->base || config_edit_changed(o->config) || o->layers_n || o->squashed ||
		   o->created_given || o->history_n || (o->no_history && history_of(o->base));
	if (!*changed) {
		buf_add_span(&w->out->config, buf_span(&image_config(o->base)->raw));
		w->config = json_clone(json_get(w->base, "config"));
		if (o->format != IMAGE_FORMAT_KEEP)
			json_set(w->config, "mediaType", json_new_str(span_str(type)));
		return 0;
	}
	finish_config(w);
	r = config_edit_write(o->config, &w->out->config, w->e);
	digest = digest_of(HASH_SHA256, buf_span(&w->out->config));
	w->config = descriptor_to_json(type, &digest, w->out->config.n);
	return r;
}

/* ---- annotations ---- */

static void set_text(struct json *object, const char *key, const char *text)
{
	json_set(object, key, json_new_str(span_str(text)));
}

/* Where the layers below come from, unless the user says something of that himself. */
static void add_base_annotations(struct work *w)
{
	struct image *from = w->o->new_base ? w->o->new_base : w->o->base;
	const char *name = from ? image_ref_name(from) : NULL;
	char text[DIGEST_TEXT_MAX];

	/* nothing of it is left that another could share */
	if (w->o->squashed && !w->out->squash_from) {
		json_unset(w->annotations, BASE_NAME);
		json_unset(w->annotations, BASE_DIGEST);
		return;
	}
	if (!w->o->base_annotations || w->docker || !name ||
	    json_get(w->o->annotations, BASE_NAME) || json_get(w->o->annotations, BASE_DIGEST))
		return;
	set_text(w->annotations, BASE_NAME, name);
	set_text(w->annotations, BASE_DIGEST, digest_text(&image_manifest(from)->digest, text));
}

static int make_annotations(struct work *w, bool *changed)
{
	const struct json *old = json_get(w->base, "annotations"), *val;
	struct span key, a, b;

	*changed = false;
	if (old && !json_is_object(old) && !json_is_null(old))
		return err_set(w->e, E_FORMAT, "the annotations of the manifest are no object");
	w->annotations = json_is_object(old) ? json_clone(old) : json_new('{');
	for (void *it = NULL; json_next(w->o->annotations, &it, &key, &val);) {
		_cleanup_(freep) char *name = span_dup(key);
		const struct json *was = json_get(w->annotations, name);

		if (json_is_null(val)) {
			*changed |= was != NULL;
			json_unset(w->annotations, name);
			continue;
		}
		if (w->docker)
			return err_set(w->e, E_USAGE,
				       "docker's manifests have no annotations (--format oci has)");
		*changed |= !json_str(was, &a) || !json_str(val, &b) || !span_eq(a, b);
		json_set(w->annotations, name, json_clone(val));
	}
	return 0;
}

/* ---- all of it ---- */

static int parse_manifest(struct image *img, struct json **out, struct err *e)
{
	const struct document *m = image_manifest(img);

	if (!image_config(img))
		return err_set(e, E_UNSUPPORTED, "it is an artifact, not a container image");
	return json_parse(buf_span(&m->raw), &(struct json_limits){ .max_bytes = DOC_MANIFEST_MAX },
			  out, e);
}

static int write_manifest(struct work *w)
{
	const struct manifest_parts p = {
		.docker = w->docker,
		.base = w->base,
		.config = w->config,
		.layers = w->layers,
		.annotations = w->annotations,
	};
	_cleanup_(buf_release) struct buf raw = BUF_INIT;
	int r = manifest_write(&p, &raw, w->e);

	return r < 0 ? r : document_parse(&raw, NULL, &w->out->manifest, w->e);
}

static int copy_manifest(struct work *w)
{
	const struct document *m = image_manifest(w->o->base);
	_cleanup_(buf_release) struct buf raw = BUF_INIT;
	int r;

	buf_add_span(&raw, buf_span(&m->raw));
	r = document_parse(&raw, m->media_type, &w->out->manifest, w->e);
	w->out->manifest.digest = m->digest;
	w->out->unchanged = true;
	return r;
}

static int run(struct work *w)
{
	const struct compose_options *o = w->o;
	bool was_docker = false, config_changed = false, annotations_changed = false;
	int r = 0;

	if (o->base)
		r = parse_manifest(o->base, &w->base, w->e);
	if (r == 0 && o->new_base)
		r = parse_manifest(o->new_base, &w->old_new, w->e);
	if (r == 0 && o->old_base && !image_config(o->old_base))
		r = err_set(w->e, E_UNSUPPORTED, "the old base is an artifact");
	if (r < 0)
		return r;
	was_docker = o->base && manifest_is_docker(image_manifest(o->base));
	w->docker = o->format == IMAGE_FORMAT_KEEP ? was_docker : o->format == IMAGE_FORMAT_DOCKER;
	w->draft = o->squash && !o->squashed;
	/* which may have layers that docker's format has none of */
	w->docker &= !w->draft;
	w->layers = json_new('[');
	w->diff_ids = json_new('[');
	r = o->squashed ? collect_squashed(w) : collect_layers(w);
	if (r == 0)
		r = check_count(w);
	if (r == 0)
		r = make_config(w, &config_changed);
	if (r == 0)
		r = make_annotations(w, &annotations_changed);
	if (r < 0)
		return r;
	w->out->converted = o->base && was_docker != w->docker;
	if (!config_changed && !annotations_changed && !w->out->converted)
		return copy_manifest(w);
	add_base_annotations(w);
	w->out->annotations_dropped = w->docker ? json_len(w->annotations) : 0;
	return write_manifest(w);
}

int compose(const struct compose_options *o, struct composition *out, struct err *e)
{
	struct work w = { .o = o, .out = out, .e = e };
	int r;

	memset(out, 0, sizeof(*out));
	r = run(&w);
	work_release(&w);
	if (r < 0)
		composition_release(out);
	return r;
}

void composition_release(struct composition *c)
{
	for (size_t i = 0; i < c->layers_n; i++)
		descriptor_release(&c->layers[i].d);
	free(c->layers);
	document_release(&c->manifest);
	buf_release(&c->config);
	memset(c, 0, sizeof(*c));
}
