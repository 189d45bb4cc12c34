/* The index.json of a layout: read, and changed under a lock with all kept that is not ours. */
#include "libcommon/oci.h"
#include "libcommon/oci/oci_private.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES_MAX = 512 };

#define REF_NAME "org.opencontainers.image.ref.name"

void descriptor_write(struct json_out *o, const struct descriptor *d, const char *ref_name,
		      const char *image_name)
{
	char text[DIGEST_TEXT_MAX];

	json_begin(o, '{');
	json_key(o, "mediaType");
	json_put_str(o, span_str(d->media_type));
	json_key(o, "digest");
	json_put_str(o, span_str(digest_text(&d->digest, text)));
	json_key(o, "size");
	json_put_i64(o, (int64_t)d->size);
	if (ref_name || image_name) {
		json_key(o, "annotations");
		json_begin(o, '{');
		if (image_name) {
			json_key(o, "io.containerd.image.name");
			json_put_str(o, span_str(image_name));
		}
		if (ref_name) {
			json_key(o, REF_NAME);
			json_put_str(o, span_str(ref_name));
		}
		json_end(o, '}');
	}
	if (d->has_platform && d->platform.os[0]) {
		json_key(o, "platform");
		json_begin(o, '{');
		json_key(o, "architecture");
		json_put_str(o, span_str(d->platform.arch));
		json_key(o, "os");
		json_put_str(o, span_str(d->platform.os));
		if (d->platform.variant[0]) {
			json_key(o, "variant");
			json_put_str(o, span_str(d->platform.variant));
		}
		json_end(o, '}');
	}
	json_end(o, '}');
}

int layout_read_index(const struct layout *l, struct buf *out, struct err *e)
{
	int r = file_read(l->dirfd, "index.json", false, DOC_MANIFEST_MAX, out);

	if (r == -ENOENT)
		return err_set(e, E_FORMAT, "the image layout has no index.json");
	if (r == E_TOOBIG)
		return err_set(e, r, "index.json is larger than %d bytes", DOC_MANIFEST_MAX);
	if (r < 0)
		return err_set(e, r, "index.json: %s", err_word(r));
	return 0;
}

static bool has_name(const struct json *entry, const char *tag)
{
	struct span name;

	return json_str(json_get(json_get(entry, "annotations"), REF_NAME), &name) &&
	       span_is(name, tag);
}

static bool has_digest(const struct json *entry, const struct digest *d)
{
	char text[DIGEST_TEXT_MAX];
	struct span s;

	return json_str(json_get(entry, "digest"), &s) && span_is(s, digest_text(d, text));
}

/* The entries of old but those that lose their name to d, then d. True where anything changed. */
static bool put_manifests(struct json_out *o, const struct json *old, const char *tag,
			  const struct descriptor *d)
{
	bool present = false, changed = false;

	json_begin(o, '[');
	for (size_t i = 0; i < json_len(old); i++) {
		const struct json *entry = json_at(old, i);
		bool same = has_digest(entry, &d->digest), named = tag && has_name(entry, tag);

		if (named && (!same || present)) {
			changed = true;
			continue;
		}
		if (same && (!tag || named))
			present = true;
		json_put(o, entry);
	}
	if (!present) {
		descriptor_write(o, d, tag, NULL);
		changed = true;
	}
	json_end(o, ']');
	return changed;
}

static int rewrite(const struct json *doc, const char *tag, const struct descriptor *d,
		   struct json_out *o, bool *changed, struct err *e)
{
	const struct json *list = json_get(doc, "manifests"), *val;
	struct span key;

	if (!json_is_object(doc) || (list && !json_is_array(list) && !json_is_null(list)))
		return err_set(e, E_FORMAT, "index.json is no image index");
	json_begin(o, '{');
	for (void *it = 0; json_next(doc, &it, &key, &val);) {
		json_key_span(o, key);
		if (span_is(key, "manifests"))
			*changed = put_manifests(o, val, tag, d);
		else
			json_put(o, val);
	}
	if (!list) {
		json_key(o, "manifests");
		*changed = put_manifests(o, NULL, tag, d);
	}
	json_end(o, '}');
	return 0;
}

bool layout_name_valid(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i] | 0x20;

		if (!(c >= 'a' && c <= 'z') && !(s.p[i] >= '0' && s.p[i] <= '9') &&
		    (i == 0 || !s.p[i] || !strchr("-._:@+/", s.p[i])))
			return false;
	}
	return s.n > 0 && s.n <= NAME_BYTES_MAX;
}

/* Without it there is no layout: it may have been made a moment ago. */
static int sync_layout_file(int dirfd)
{
	_cleanup_(fd_closep) int fd =
		openat(dirfd, "oci-layout", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int layout_set_tag(const struct layout *l, const char *tag, const struct descriptor *d, bool sync,
		   struct err *e)
{
	const struct json_limits lim = { .max_bytes = DOC_MANIFEST_MAX };
	_cleanup_(fd_closep) int lock = layout_lock(l->dirfd);
	_cleanup_(buf_release) struct buf old = BUF_INIT;
	_cleanup_(json_freep) struct json *doc = NULL;
	_cleanup_(json_out_release) struct json_out o = { 0 };
	bool changed = false;
	int r;

	if (tag && !layout_name_valid(span_str(tag)))
		return err_set(e, E_USAGE, "%s is no name for an image in a layout",
			       quoted_str(tag));
	if (lock < 0)
		return err_set(e, lock, "locking the image layout: %s", err_word(lock));
	r = layout_read_index(l, &old, e);
	if (r < 0)
		return r;
	r = json_parse(buf_span(&old), &lim, &doc, e);
	if (r < 0)
		return err_prefix(e, "index.json"), r;
	r = rewrite(doc, tag, d, &o, &changed, e);
	if (r < 0 || !changed)
		return r;
	if (o.b.n > DOC_MANIFEST_MAX)
		return err_set(e, E_TOOBIG, "index.json would be larger than %d bytes",
			       DOC_MANIFEST_MAX);
	r = sync ? sync_layout_file(l->dirfd) : 0;
	if (r == 0)
		r = file_replace(l->dirfd, "index.json", buf_span(&o.b), 0644, sync);
	if (r < 0)
		return err_set(e, r, "writing index.json of the layout: %s", err_word(r));
	return 0;
}
