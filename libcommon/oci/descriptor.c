/* Descriptors (image-spec descriptor.md) and the media types of layers. */
#include "libcommon/oci.h"
#include "libcommon/oci/oci_private.h"

#include <string.h>

enum { MEDIA_TYPE_MAX = 255, NAME_MAX_BYTES = 1024 };

#define OCI_NONDIST    "application/vnd.oci.image.layer.nondistributable.v1.tar"
#define DOCKER_DIFF    "application/vnd.docker.image.rootfs.diff.tar"
#define DOCKER_FOREIGN "application/vnd.docker.image.rootfs.foreign.diff.tar"

bool media_type_valid(struct span s)
{
	if (!s.n || s.n > MEDIA_TYPE_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("\"\\;,", s.p[i]))
			return false;
	return true;
}

static struct span member(const struct json *v, const char *key)
{
	struct span s = { 0 };

	json_str(json_get(v, key), &s);
	return s;
}

/* Of a wrong type where it is there at all? */
static bool not_a_string(const struct json *v, const char *key)
{
	const struct json *m = json_get(v, key);

	return m && !json_is_string(m) && !json_is_null(m);
}

static char *annotation(const struct json *v, const char *key)
{
	struct span s = member(json_get(v, "annotations"), key);

	return s.n && s.n <= NAME_MAX_BYTES ? span_dup(s) : NULL;
}

static int read_digest(const struct json *v, struct digest *out, struct err *e)
{
	struct span text = member(v, "digest");

	if (!text.n)
		return err_set(e, E_FORMAT, "a descriptor has no digest");

	int r = digest_parse(text, out);

	if (r == E_UNSUPPORTED)
		return err_set(e, r, "digest %s: only sha256 and sha512 are known", quoted(text));
	if (r < 0)
		return err_set(e, r, "%s is no digest", quoted(text));
	return 0;
}

static int read_size(const struct json *v, uint64_t *out, struct err *e)
{
	const struct json *m = json_get(v, "size");
	int64_t size;

	if (!m)
		return err_set(e, E_FORMAT, "a descriptor has no size");
	if (!json_i64(m, &size) || size < 0)
		return err_set(e, E_FORMAT, "the size in a descriptor is no number of bytes");
	*out = (uint64_t)size;
	return 0;
}

static void read_platform(const struct json *v, struct descriptor *out)
{
	const struct json *p = json_get(v, "platform");

	if (!json_is_object(p))
		return;
	out->has_platform = true;
	/* what is no platform serves nobody, but does not spoil its neighbours */
	if (!platform_from_parts(member(p, "os"), member(p, "architecture"), member(p, "variant"),
				 &out->platform))
		platform_from_parts(SPAN("unknown"), SPAN("unknown"), SPAN(""), &out->platform);
}

int descriptor_from_json(const struct json *v, struct descriptor *out, struct err *e)
{
	static const char *const names[] = { "mediaType", "digest", "size", "platform",
					     "annotations" };
	struct descriptor d = { 0 };
	struct span type = member(v, "mediaType"), artifact = member(v, "artifactType");
	int r;

	memset(out, 0, sizeof(*out));
	if (!json_is_object(v))
		return err_set(e, E_FORMAT, "a descriptor is no JSON object");
	r = json_check_case(v, names, ARRAY_LEN(names), e);
	if (r < 0)
		return r;
	if (not_a_string(v, "mediaType") || (type.n && !media_type_valid(type)))
		return err_set(e, E_FORMAT, "the mediaType of a descriptor is none");
	r = read_digest(v, &d.digest, e);
	if (r == 0)
		r = read_size(v, &d.size, e);
	if (r < 0)
		return r;
	read_platform(v, &d);
	d.media_type = span_dup(type);
	d.ref_name = annotation(v, "org.opencontainers.image.ref.name");
	d.image_name = annotation(v, "io.containerd.image.name");
	if (artifact.n && media_type_valid(artifact))
		d.artifact_type = span_dup(artifact);
	*out = d;
	return 0;
}

void descriptor_release(struct descriptor *d)
{
	freep(&d->media_type);
	freep(&d->ref_name);
	freep(&d->image_name);
	freep(&d->artifact_type);
	memset(d, 0, sizeof(*d));
}

static char *dup_or_null(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

void descriptor_copy(struct descriptor *to, const struct descriptor *from)
{
	*to = *from;
	to->media_type = xstrdup(from->media_type ? from->media_type : "");
	to->ref_name = dup_or_null(from->ref_name);
	to->image_name = dup_or_null(from->image_name);
	to->artifact_type = dup_or_null(from->artifact_type);
}

enum compression descriptor_compression(const struct descriptor *d)
{
	static const char *const bases[] = { MEDIA_OCI_LAYER, OCI_NONDIST, DOCKER_DIFF,
					     DOCKER_FOREIGN };
	struct span type = span_str(d->media_type);

	for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
		if (!span_starts(type, bases[i]))
			continue;

		struct span rest = span_tail(type, strlen(bases[i]));

		if (!rest.n)
			return COMPRESSION_NONE;
		/* OCI has +gzip, docker .gzip */
		if (rest.p[0] != '+' && rest.p[0] != '.')
			continue;
		rest = span_tail(rest, 1);
		if (span_is(rest, "gzip"))
			return COMPRESSION_GZIP;
		if (span_is(rest, "zstd"))
			return COMPRESSION_ZSTD;
	}
	return COMPRESSION_UNKNOWN;
}

bool descriptor_is_nondistributable(const struct descriptor *d)
{
	struct span type = span_str(d->media_type);

	return span_starts(type, OCI_NONDIST) || span_starts(type, DOCKER_FOREIGN);
}

bool descriptor_is_image_config(const struct descriptor *d)
{
	struct span type = span_str(d->media_type);

	return !type.n || span_is(type, MEDIA_OCI_CONFIG) || span_is(type, MEDIA_DOCKER_CONFIG);
}
