/* The annotations of a bundle: what the image config says of the image, and its labels. */
#include "libcommon/oci/bundle.h"

#include <stdlib.h>

struct annotation {
	struct span key, value;
};

/*
 * Runtimes take orders from annotations (which handler to start, properties of systemd units,
 * hooks' output, virtual machines): a label of an image is no way to give any (T73).
 */
static bool is_order(struct span key)
{
	static const char *const prefixes[] = { "run.oci.",
						"org.systemd.property.",
						"org.criu.",
						"io.katacontainers.",
						"io.kubernetes.",
						"io.podman.annotations.",
						"com.github.containers." };

	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (span_starts(key, prefixes[i]))
			return true;
	return !key.n;
}

static int compare_annotations(const void *a, const void *b)
{
	return span_cmp(((const struct annotation *)a)->key, ((const struct annotation *)b)->key);
}

static void add_text(struct annotation *list, size_t *n, const char *key, struct span value)
{
	if (value.n)
		list[(*n)++] = (struct annotation){ span_str(key), value };
}

static void add_root_text(struct annotation *list, size_t *n, const char *key,
			  const struct bundle *b, const char *member)
{
	struct span s = { 0 };

	if (json_str(json_get(b->config->json, member), &s))
		add_text(list, n, key, s);
}

static void join_keys(const struct json *v, struct buf *out)
{
	size_t n;
	_cleanup_(freep) struct span *keys = bundle_sorted_keys(v, &n);

	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(out, ',');
		buf_add_span(out, keys[i]);
	}
}

static void join_strings(const struct json *v, struct buf *out)
{
	struct span s;

	for (size_t i = 0; i < json_len(v) && json_is_array(v); i++) {
		if (!json_str(json_at(v, i), &s))
			continue;
		if (out->n)
			buf_addc(out, ',');
		buf_add_span(out, s);
	}
}

/* Sorted; of two with one key the later one, which is the image's own label, wins. */
static void put_sorted(struct json_out *o, struct annotation *list, size_t implied, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < implied; i++) {
		bool hidden = false;

		for (size_t j = implied; j < n && !hidden; j++)
			hidden = span_eq(list[i].key, list[j].key);
		if (!hidden)
			list[kept++] = list[i];
	}
	for (size_t i = implied; i < n; i++)
		list[kept++] = list[i];
	qsort(list, kept, sizeof(*list), compare_annotations);
	json_begin(o, '{');
	for (size_t i = 0; i < kept; i++) {
		json_key_span(o, list[i].key);
		json_put_str(o, list[i].value);
	}
	json_end(o, '}');
}

int bundle_put_annotations(struct bundle *b, struct err *e)
{
	enum { IMPLIED_MAX = 10 };
	_cleanup_(buf_release) struct buf ports = BUF_INIT, features = BUF_INIT;
	_cleanup_(freep) struct annotation *list = NULL;
	const struct json *labels, *exposed, *val;
	struct span stop, key, value;
	size_t n = 0, implied;
	int r = bundle_get(b, "Labels", json_is_object, &labels, e);

	if (r == 0)
		r = bundle_get(b, "ExposedPorts", json_is_object, &exposed, e);
	if (r == 0)
		r = bundle_get_text(b, "StopSignal", &stop, e);
	if (r < 0)
		return r;
	list = xcalloc(IMPLIED_MAX + json_len(labels), sizeof(*list));
	add_root_text(list, &n, "org.opencontainers.image.os", b, "os");
	add_root_text(list, &n, "org.opencontainers.image.architecture", b, "architecture");
	add_root_text(list, &n, "org.opencontainers.image.variant", b, "variant");
	add_root_text(list, &n, "org.opencontainers.image.os.version", b, "os.version");
	join_strings(json_get(b->config->json, "os.features"), &features);
	add_text(list, &n, "org.opencontainers.image.os.features", buf_span(&features));
	add_root_text(list, &n, "org.opencontainers.image.author", b, "author");
	add_root_text(list, &n, "org.opencontainers.image.created", b, "created");
	add_text(list, &n, "org.opencontainers.image.stopSignal", stop);
	if (exposed)
		join_keys(exposed, &ports);
	add_text(list, &n, "org.opencontainers.image.exposedPorts", buf_span(&ports));
	implied = n;
	for (void *it = 0; labels && json_next(labels, &it, &key, &val);) {
		if (!json_str(val, &value))
			return err_set(e, E_FORMAT, "Labels in the image config are no strings");
		if (!is_order(key))
			list[n++] = (struct annotation){ key, value };
	}
	json_key(&b->o, "annotations");
	put_sorted(&b->o, list, implied, n);
	return 0;
}
