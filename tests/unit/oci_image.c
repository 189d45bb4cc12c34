/*
 * Opened images: streams in any order, files, layouts; the writer; and archives that lie.
 *
 * With arguments it is a tool for the shell suites:
 *	oci_image pack [--platform P] LAYOUT TAG NAME >STREAM	writes an image of a layout as a
 *stream named NAME oci_image store [--platform P] LAYOUT TAG <STREAM	puts the image of a stream
 *into a layout
 */
#include "libcommon/oci.h"
#include "tests/unit/tap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the tool ---- */

static int fail(const char *what, int r, const struct err *e)
{
	fprintf(stderr, "oci_image: %s: %d %s\n", what, r, e->text);
	return 1;
}

static int write_blobs(struct image *img, struct image_writer *w, struct err *e)
{
	const struct document *m = image_manifest(img);

	for (size_t i = 0; i <= m->layers_n; i++) {
		const struct descriptor *d = i ? &m->layers[i - 1] : &m->config;
		struct stream *s = NULL;
		int r;

		if (image_writer_has(w, &d->digest))
			continue;
		r = image_blob(img, d, &s, e);
		if (r == 0)
			r = image_writer_blob(w, d, s, e);
		stream_close(s);
		if (r < 0)
			return r;
	}
	return 0;
}

static int write_image(struct image *img, const char *name, struct sink *out, struct err *e)
{
	const struct document *m = image_manifest(img);
	const struct image_writer_options o = {
		.ref_name = name, .docs = &m, .docs_n = 1, .manifest = m
	};
	struct image_writer *w;
	int r = image_writer_open(out, &o, &w, e);

	if (r < 0)
		return r;
	r = write_blobs(img, w, e);
	if (r < 0) {
		image_writer_close(w, false, NULL);
		return r;
	}
	return image_writer_close(w, true, e);
}

static int store_blob(struct image *img, const struct layout *l, const struct descriptor *d,
		      struct err *e)
{
	_cleanup_(stream_closep) struct stream *s = NULL;
	int fd, r;

	if (layout_has_blob(l, d))
		return 0;
	r = image_blob(img, d, &s, e);
	if (r == 0)
		r = layout_partial_open(l, &d->digest, &fd, e);
	if (r < 0)
		return r;
	for (struct span w = stream_peek(s); w.n && r == 0; w = stream_peek(s)) {
		r = fd_write_all(fd, w.p, w.n);
		stream_skip(s, w.n);
	}
	if (r == 0)
		r = stream_error(s);
	if (r < 0) {
		layout_partial_discard(l, &d->digest, fd);
		return r;
	}
	return layout_partial_commit(l, &d->digest, fd, false, e);
}

static int store_image(struct image *img, const char *path, const char *tag, struct err *e)
{
	const struct document *m = image_manifest(img);
	struct descriptor top = { .media_type = m->media_type,
				  .digest = m->digest,
				  .size = m->raw.n };
	struct layout l;
	int r = layout_open(path, true, &l, e);

	if (r < 0)
		return r;
	r = store_blob(img, &l, &m->config, e);
	for (size_t i = 0; r == 0 && i < m->layers_n; i++)
		r = store_blob(img, &l, &m->layers[i], e);
	if (r == 0)
		r = image_finish(img, e);
	if (r == 0)
		r = layout_write_blob(&l, &m->digest, buf_span(&m->raw), false, e);
	if (r == 0)
		r = layout_set_tag(&l, tag, &top, false, e);
	layout_close(&l);
	return r;
}

static int tool(int argc, char **argv)
{
	struct image_options o = { .verify = true };
	struct err e = { 0 };
	struct image *img;
	const char *verb = argv[1];
	int r = -EINVAL;

	if (argc > 3 && !strcmp(argv[2], "--platform")) {
		if (platform_parse(argv[3], &o.want, &e) < 0)
			return fail("platform", r, &e);
		argv += 2;
		argc -= 2;
	}
	if (!strcmp(verb, "pack") && argc == 5) {
		struct sink *out = sink_from_fd(STDOUT_FILENO, false);

		o.tag = argv[3];
		r = image_open_layout(argv[2], &o, &img, &e);
		if (r == 0)
			r = write_image(img, argv[4], out, &e);
		sink_close(out);
	} else if (!strcmp(verb, "store") && argc == 4) {
		r = image_open_stream(stream_from_fd(STDIN_FILENO, false), &o, &img, &e);
		if (r == 0)
			r = store_image(img, argv[2], argv[3], &e);
	}
	if (r < 0)
		return fail(verb, r, &e);
	image_close(img);
	return 0;
}

/* ---- archives made by hand ---- */

static char top_dir[] = "/tmp/oci_image.XXXXXX";

static void add_typed(struct buf *tar, enum tar_type type, const char *name, struct span bytes,
		      uint64_t size)
{
	const struct tar_entry entry = { .type = type,
					 .name = span_str(name),
					 .link = span_str("x"),
					 .mode = 0644,
					 .size = type == TAR_FILE ? size : 0 };

	tar_header(tar, &entry, NULL);
	if (type != TAR_FILE)
		return;
	buf_add_span(tar, bytes);
	buf_add(tar, tar_zeros, tar_padding(bytes.n));
}

static void add(struct buf *tar, const char *name, const char *text)
{
	add_typed(tar, TAR_FILE, name, span_str(text), strlen(text));
}

static const char *blob_path(const char *text)
{
	static char path[4][150];
	static int i;
	char digest[DIGEST_TEXT_MAX];
	struct digest d = digest_of(HASH_SHA256, span_str(text));

	i = (i + 1) % 4;
	digest_text(&d, digest);
	snprintf(path[i], sizeof(path[i]), "blobs/sha256/%s", digest + 7);
	return path[i];
}

static void add_blob(struct buf *tar, const char *text)
{
	add(tar, blob_path(text), text);
}

static void end(struct buf *tar)
{
	buf_add(tar, tar_zeros, sizeof(tar_zeros));
}

static void add_descriptor(struct buf *b, const char *type, const char *text, const char *more)
{
	char digest[DIGEST_TEXT_MAX];
	struct digest d = digest_of(HASH_SHA256, span_str(text));

	buf_addf(b, "{\"mediaType\":\"%s\",\"digest\":\"%s\",\"size\":%zu%s}", type,
		 digest_text(&d, digest), strlen(text), more);
}

/* An image of text layers. */
struct image_parts {
	char *config, *manifest, *layer[3];
	size_t layers_n;
};

static struct image_parts parts(const char *arch, const char *l0, const char *l1, const char *l2)
{
	struct image_parts p = { .layer = { (char *)l0, (char *)l1, (char *)l2 },
				 .layers_n = l2 ? 3 : 2 };
	struct buf c = BUF_INIT, m = BUF_INIT;

	buf_addf(
		&c,
		"{\"os\":\"linux\",\"architecture\":\"%s\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[",
		arch);
	for (size_t i = 0; i < p.layers_n; i++) {
		char digest[DIGEST_TEXT_MAX];
		struct digest d = digest_of(HASH_SHA256, span_str(p.layer[i]));

		buf_addf(&c, "%s\"%s\"", i ? "," : "", digest_text(&d, digest));
	}
	buf_adds(&c, "]}}");
	p.config = buf_steal_str(&c);
	buf_adds(&m, "{\"schemaVersion\":2,\"config\":");
	add_descriptor(&m, MEDIA_OCI_CONFIG, p.config, "");
	buf_adds(&m, ",\"layers\":[");
	for (size_t i = 0; i < p.layers_n; i++) {
		buf_adds(&m, i ? "," : "");
		add_descriptor(&m, MEDIA_OCI_LAYER, p.layer[i], "");
	}
	buf_adds(&m, "]}");
	p.manifest = buf_steal_str(&m);
	return p;
}

static void parts_release(struct image_parts *p)
{
	free(p->config);
	free(p->manifest);
}

#define PLATFORM(arch) ",\"platform\":{\"os\":\"linux\",\"architecture\":\"" arch "\"}"
#define REF(name)      ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" name "\"}"

/* An index of up to two, each with more members of its descriptor. */
static char *make_index(const char *type, const char *a, const char *more_a, const char *b,
			const char *more_b)
{
	struct buf x = BUF_INIT;

	buf_adds(&x, "{\"schemaVersion\":2,\"manifests\":[");
	add_descriptor(&x, type, a, more_a);
	if (b) {
		buf_addc(&x, ',');
		add_descriptor(&x, type, b, more_b);
	}
	buf_adds(&x, "]}");
	return buf_steal_str(&x);
}

/* The whole image in the writer's order. */
static void add_image(struct buf *tar, const struct image_parts *p)
{
	add_blob(tar, p->manifest);
	add_blob(tar, p->config);
	for (size_t i = 0; i < p->layers_n; i++)
		add_blob(tar, p->layer[i]);
}

/* How an archive is handed to the reader. */
enum carrier { STREAM, FILE_AT_OFFSET };

static int open_as(enum carrier c, struct span tar, const struct image_options *o,
		   struct image **img, struct err *e)
{
	struct image_options none = { 0 };
	int fd;

	if (!o)
		o = &none;
	if (c == STREAM)
		return image_open_stream(stream_from_span(tar), o, img, e);
	fd = open(top_dir, O_TMPFILE | O_RDWR, 0600);
	fd_write_all(fd, "0123456789", 10);
	fd_write_all(fd, tar.p, tar.n);
	lseek(fd, 10, SEEK_SET);
	return image_open_file(fd, o, img, e);
}

/* Opens, reads all layers in order, finishes: 0 and their texts joined, or the first error. */
static int read_image(enum carrier c, struct span tar, const struct image_options *o,
		      struct buf *out, struct err *e)
{
	_cleanup_(image_closep) struct image *img = NULL;
	int r = open_as(c, tar, o, &img, e);

	if (r < 0)
		return r;
	for (size_t i = 0; i < image_manifest(img)->layers_n; i++) {
		_cleanup_(stream_closep) struct stream *s = NULL;

		r = image_blob(img, &image_manifest(img)->layers[i], &s, e);
		if (r == 0)
			r = stream_read_all(s, 1 << 20, out);
		if (r < 0)
			return r;
	}
	return image_finish(img, e);
}

static void reads(const struct buf *tar, const struct image_options *o, const char *want,
		  const char *name)
{
	for (enum carrier c = STREAM; c <= FILE_AT_OFFSET; c++) {
		_cleanup_(buf_release) struct buf got = BUF_INIT;
		struct err e = { 0 };
		int r = read_image(c, buf_span(tar), o, &got, &e);
		const char *text = buf_str(&got);

		ok(r == 0 && !strcmp(text, want), "%s (%s)", name, c == STREAM ? "stream" : "file");
		if (r < 0 || strcmp(text, want))
			diag("%d %s: %s", r, e.text, text);
	}
}

static void fails_as(enum carrier c, const struct buf *tar, const struct image_options *o, int code,
		     const char *says, const char *name)
{
	_cleanup_(buf_release) struct buf got = BUF_INIT;
	struct err e = { 0 };
	int r = read_image(c, buf_span(tar), o, &got, &e);

	ok(r == code && (!says || strstr(e.text, says)), "%s (%s)", name,
	   c == STREAM ? "stream" : "file");
	if (r != code || (says && !strstr(e.text, says)))
		diag("%d %s", r, e.text);
}

static void fails(const struct buf *tar, const struct image_options *o, int code, const char *says,
		  const char *name)
{
	fails_as(STREAM, tar, o, code, says, name);
	fails_as(FILE_AT_OFFSET, tar, o, code, says, name);
}

/* ---- orders ---- */

/* No spool can be had: what is read now is read without one. */
static void no_spool(bool on)
{
	setenv("TMPDIR", on ? "/nonexistent" : top_dir, 1);
}

static void test_orders(const struct image_parts *p, const char *index)
{
	_cleanup_(buf_release) struct buf tar = BUF_INIT, rev = BUF_INIT, late = BUF_INIT;

	add(&tar, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
	add(&tar, "index.json", index);
	add(&tar, "manifest.json", "[]");
	add_typed(&tar, TAR_DIR, "blobs", span_str(""), 0);
	add_image(&tar, p);
	end(&tar);
	no_spool(true);
	reads(&tar, NULL, "onetwothree", "in the writer's order nothing is spooled");

	for (size_t i = 3; i--;)
		add_blob(&rev, p->layer[i]);
	add_blob(&rev, p->config);
	add_blob(&rev, p->manifest);
	add(&rev, "./index.json", index);
	end(&rev);
	fails_as(STREAM, &rev, NULL, E_TMPDIR, "temporary file",
		 "backwards without a place to spool");
	no_spool(false);
	reads(&rev, NULL, "onetwothree", "backwards");
	fails_as(STREAM, &rev, &(struct image_options){ .spool_max = 10 }, E_TOOBIG, "--spool-max",
		 "T80 the spool has a bound");

	add(&late, "index.json", index);
	add_blob(&late, p->layer[2]);
	add_blob(&late, "of no use");
	add_blob(&late, p->manifest);
	add_blob(&late, p->layer[1]);
	add_blob(&late, "of no use either, and larger than the bound of the spool");
	add_blob(&late, p->config);
	add_blob(&late, p->layer[0]);
	reads(&late, &(struct image_options){ .spool_max = 17 }, "onetwothree",
	      "mixed; from the manifest on only what it names is kept; no end blocks");
}

static void test_twice(void)
{
	struct image_parts p = parts("amd64", "same", "same", "other");
	char *index = make_index(MEDIA_OCI_MANIFEST, p.manifest, "", NULL, NULL);
	_cleanup_(buf_release) struct buf tar = BUF_INIT;

	add(&tar, "index.json", index);
	add_blob(&tar, p.manifest);
	add_blob(&tar, p.config);
	add_blob(&tar, "same");
	add_blob(&tar, "other");
	end(&tar);
	reads(&tar, NULL, "samesameother", "a layer that the manifest names twice comes once");
	free(index);
	parts_release(&p);
}

/* ---- choice ---- */

static void choose(const struct buf *tar, const char *platform, const char *want, const char *name)
{
	struct image_options o = { 0 };

	platform_parse(platform, &o.want, NULL);
	if (want)
		reads(tar, &o, want, name);
	else
		fails(tar, &o, E_NOT_FOUND, NULL, name);
}

static void test_platforms(void)
{
	struct image_parts a = parts("amd64", "A", "a", NULL), b = parts("arm64", "B", "b", NULL);
	char *inner = make_index(MEDIA_OCI_MANIFEST, a.manifest, PLATFORM("amd64"), b.manifest,
				 PLATFORM("arm64"));
	char *index = make_index(MEDIA_OCI_INDEX, inner, "", NULL, NULL);
	char *flat = make_index(MEDIA_OCI_MANIFEST, a.manifest, PLATFORM("amd64"), b.manifest,
				PLATFORM("arm64"));
	char *lone = make_index(MEDIA_OCI_MANIFEST, b.manifest, "", NULL, NULL);
	_cleanup_(buf_release) struct buf nested = BUF_INIT, direct = BUF_INIT, one = BUF_INIT;

	add(&nested, "index.json", index);
	add_blob(&nested, inner);
	add_blob(&nested, a.manifest);
	add_blob(&nested, b.manifest);
	add_blob(&nested, a.config);
	add_blob(&nested, "A");
	add_blob(&nested, "a");
	add_blob(&nested, b.config);
	add_blob(&nested, "B");
	add_blob(&nested, "b");
	end(&nested);
	no_spool(true);
	choose(&nested, "linux/amd64", "Aa", "T75 the first platform of an index");
	choose(&nested, "linux/arm64", "Bb", "T75 the second, nothing spooled");
	choose(&nested, "linux/s390x", NULL, "T75 one that is not there");
	no_spool(false);
	add(&direct, "index.json", flat);
	add_image(&direct, &a);
	add_image(&direct, &b);
	choose(&direct, "linux/arm64", "Bb", "index.json itself as the index");
	add(&one, "index.json", lone);
	add_image(&one, &b);
	choose(&one, "linux/arm64", "Bb", "a lone image that says nothing, by its config");
	choose(&one, "linux/amd64", NULL, "T75 or not");
	reads(&one, NULL, "Bb", "and without a wish in any case");
	free(inner);
	free(index);
	free(flat);
	free(lone);
	parts_release(&a);
	parts_release(&b);
}

static void test_nesting(int depth, int code)
{
	struct image_parts a = parts("amd64", "A", "a", NULL);
	char *doc[12];
	_cleanup_(buf_release) struct buf tar = BUF_INIT;

	doc[0] = make_index(MEDIA_OCI_MANIFEST, a.manifest, "", NULL, NULL);
	for (int i = 1; i <= depth; i++)
		doc[i] = make_index(MEDIA_OCI_INDEX, doc[i - 1], "", NULL, NULL);
	add(&tar, "index.json", doc[depth]);
	for (int i = depth; i--;)
		add_blob(&tar, doc[i]);
	add_image(&tar, &a);
	if (code)
		fails(&tar, NULL, code, "nested", "T80 indexes nested too deep");
	else
		reads(&tar, NULL, "Aa", "indexes nested 8 deep");
	for (int i = 0; i <= depth; i++)
		free(doc[i]);
	parts_release(&a);
}

static void test_lies_about_platform(void)
{
	struct image_parts a = parts("arm64", "A", "a", NULL);
	char *index = make_index(MEDIA_OCI_MANIFEST, a.manifest, PLATFORM("amd64"), NULL, NULL);
	_cleanup_(buf_release) struct buf tar = BUF_INIT;

	add(&tar, "index.json", index);
	add_image(&tar, &a);
	fails(&tar, NULL, E_FORMAT,
	      "the index lists the image as linux/amd64 but its config says linux/arm64",
	      "T75 the config of another platform");
	free(index);
	parts_release(&a);
}

static void test_names(const struct image_parts *p)
{
	struct image_parts q = parts("amd64", "Q", "q", NULL);
	char *index = make_index(MEDIA_OCI_MANIFEST, p->manifest, REF("r.io/a:1"), q.manifest,
				 REF("two"));
	char *evil = make_index(MEDIA_OCI_MANIFEST, q.manifest, REF("../../etc:x"), NULL, NULL);
	_cleanup_(buf_release) struct buf tar = BUF_INIT, bad = BUF_INIT, unnamed = BUF_INIT;
	struct digest d = digest_of(HASH_SHA256, span_str(q.manifest));
	struct image *img = NULL;

	add(&tar, "index.json", index);
	add_image(&tar, p);
	add_image(&tar, &q);
	fails(&tar, NULL, E_NOT_FOUND, "there are several images, name one: r.io/a:1, two",
	      "several images");
	reads(&tar, &(struct image_options){ .tag = "two" }, "Qq", "one by its name");
	reads(&tar, &(struct image_options){ .digest = &d, .tag = "r.io/a:1" }, "Qq",
	      "one by its digest");
	char *bare = make_index(MEDIA_OCI_MANIFEST, p->manifest, "", q.manifest, "");
	add(&unnamed, "index.json", bare);
	fails(&unnamed, NULL, E_NOT_FOUND,
	      "there are several images, name one: sha256:", "several without names or platforms");
	free(bare);
	fails(&tar, &(struct image_options){ .tag = "three" }, E_NOT_FOUND,
	      "no image is named three; there are: r.io/a:1, two", "a name that is not there");
	if (ok(open_as(STREAM, buf_span(&tar), &(struct image_options){ .tag = "r.io/a:1" }, &img,
		       NULL) == 0,
	       "opened")) {
		is_str(image_ref_name(img), "r.io/a:1", "its full name is known");
		ok(!image_random_access(img), "a stream is read in order");
		image_close(img);
	}
	if (ok(open_as(FILE_AT_OFFSET, buf_span(&tar), &(struct image_options){ .tag = "two" },
		       &img, NULL) == 0,
	       "another")) {
		is_str(image_ref_name(img), NULL, "whose name is no reference");
		ok(image_random_access(img), "a file is not");
		image_close(img);
	}
	add(&bad, "index.json", evil);
	add_image(&bad, &q);
	if (ok(open_as(STREAM, buf_span(&bad), NULL, &img, NULL) == 0,
	       "an archive that names a path")) {
		is_str(image_ref_name(img), NULL, "T73 has no name");
		image_close(img);
	}
	free(index);
	free(evil);
	parts_release(&q);
}

/* ---- archives that lie ---- */

static void test_lies(const struct image_parts *p, const char *index)
{
	_cleanup_(buf_release) struct buf tar = BUF_INIT;

	add(&tar, "index.json", index);
	add(&tar, "index.json", index);
	add_image(&tar, p);
	fails_as(FILE_AT_OFFSET, &tar, NULL, E_FORMAT, "two index.json", "two index.json");
	fails_as(STREAM, &tar, NULL, E_FORMAT, "two index.json", "two index.json");

	buf_clear(&tar);
	add(&tar, "../index.json", "{}");
	add(&tar, "blobs/sha256/../../../x", "x");
	add(&tar, "blobs/sha256/short", "x");
	add(&tar, "blobs/md5/d41d8cd98f00b204e9800998ecf8427e", "x");
	add(&tar, "blobs/sha256:x/y", "x");
	add_typed(&tar, TAR_SYMLINK, "index.json", span_str(""), 0);
	add_typed(&tar, TAR_SYMLINK, blob_path(p->manifest), span_str(""), 0);
	add_typed(&tar, TAR_HARDLINK, blob_path(p->config), span_str(""), 0);
	add(&tar, "index.json", index);
	add_image(&tar, p);
	add_image(&tar, p);
	reads(&tar, NULL, "onetwothree",
	      "T68 members of other names and types, and doubles, are passed over");

	buf_clear(&tar);
	add(&tar, "index.json", index);
	add_blob(&tar, p->manifest);
	add_blob(&tar, p->config);
	add(&tar, blob_path("one"), "longer");
	fails(&tar, NULL, E_SIZE, "has 6 bytes but its descriptor says 3",
	      "T72 a blob of another size");

	buf_clear(&tar);
	add(&tar, "index.json", index);
	add_blob(&tar, p->manifest);
	add_blob(&tar, p->config);
	add(&tar, blob_path("one"), "oNe");
	fails(&tar, NULL, E_DIGEST, NULL, "other bytes in a layer");

	buf_clear(&tar);
	add(&tar, "index.json", index);
	add_blob(&tar, p->manifest);
	_cleanup_(freep) char *other = xstrdup(p->config);
	other[2] = 'X';
	add(&tar, blob_path(p->config), other);
	fails(&tar, NULL, E_DIGEST, "do not hash", "other bytes in the config");
}

static void test_incomplete(const struct image_parts *p, const char *index)
{
	_cleanup_(buf_release) struct buf tar = BUF_INIT;

	fails_as(STREAM, &tar, NULL, E_EMPTY, "empty", "nothing");
	buf_adds(&tar, "hello");
	fails(&tar, NULL, E_TRUNCATED, NULL, "no tar");
	buf_clear(&tar);
	buf_adds(&tar, "\x1f\x8b\x08");
	fails(&tar, NULL, E_FORMAT, "gzip -dc", "a compressed stream");
	buf_clear(&tar);
	add(&tar, "etc/passwd", "x");
	end(&tar);
	fails(&tar, NULL, E_FORMAT, "no index.json", "a tar of something else");
	buf_clear(&tar);
	add(&tar, "manifest.json", "[]");
	end(&tar);
	fails(&tar, NULL, E_UNSUPPORTED, "docker before version 25", "docker's old format");
	buf_clear(&tar);
	add(&tar, "oci-layout", "{\"imageLayoutVersion\":\"9\"}");
	fails(&tar, NULL, E_UNSUPPORTED, "version 9", "a layout of another version");
	buf_clear(&tar);
	add(&tar, "index.json", "{\"schemaVersion\":2,\"manifests\":[]}");
	fails(&tar, NULL, E_NOT_FOUND, "names no image", "an empty index");

	buf_clear(&tar);
	add(&tar, "index.json", index);
	add_blob(&tar, p->manifest);
	add_blob(&tar, p->config);
	add_blob(&tar, "one");
	fails_as(STREAM, &tar, NULL, E_TRUNCATED, "the command before the pipe",
		 "a stream that ends between blobs");
	fails_as(FILE_AT_OFFSET, &tar, NULL, E_NOT_FOUND, "has no blob", "a file that lacks one");
	tar.n -= 512;
	fails_as(STREAM, &tar, NULL, E_TRUNCATED, NULL, "a stream that ends in a blob");
}

static void test_large_documents(void)
{
	_cleanup_(buf_release) struct buf tar = BUF_INIT, big = BUF_INIT;
	char *index;

	while (big.n < 5 << 20)
		buf_adds(&big, "          ");
	index = make_index(MEDIA_OCI_MANIFEST, buf_str(&big), "", NULL, NULL);
	add(&tar, "index.json", index);
	add_blob(&tar, buf_str(&big));
	fails(&tar, NULL, E_TOOBIG, "a manifest of", "T80 a manifest of 5 MiB");
	buf_clear(&tar);
	add(&tar, "index.json", buf_str(&big));
	fails(&tar, NULL, E_TOOBIG, "index.json", "T80 an index.json of 5 MiB");
	free(index);
}

/* ---- the writer ---- */

struct memory_sink {
	struct sink s;
	struct buf b;
};

static void memory_write(struct sink *s, struct span data)
{
	buf_add_span(&((struct memory_sink *)s)->b, data);
}

static const struct sink_ops memory_ops = { .write = memory_write };

static int write_parts(const struct image_parts *p, const char *name, struct buf *out,
		       const char *bad)
{
	struct memory_sink sink = { .s = { .ops = &memory_ops } };
	struct document doc;
	const struct document *docs = &doc;
	struct buf raw = BUF_INIT;
	struct image_writer *w = NULL;
	int r;

	buf_adds(&raw, p->manifest);
	r = document_parse(&raw, NULL, &doc, NULL);
	if (r == 0)
		r = image_writer_open(&sink.s,
				      &(struct image_writer_options){
					      .ref_name = name, .docs = &docs, .docs_n = 1 },
				      &w, NULL);
	for (size_t i = 0; r == 0 && i <= p->layers_n; i++) {
		const struct descriptor *d = i ? &doc.layers[i - 1] : &doc.config;
		const char *text = i ? p->layer[i - 1] : p->config;
		struct stream *s;

		if (image_writer_has(w, &d->digest))
			continue;
		s = stream_from_span(span_str(bad && i == 1 ? bad : text));
		r = image_writer_blob(w, d, s, NULL);
		stream_close(s);
	}
	if (w)
		image_writer_close(w, r == 0, NULL);
	document_release(&doc);
	*out = sink.b;
	return r;
}

static void test_writer(const struct image_parts *p)
{
	_cleanup_(buf_release) struct buf a = BUF_INIT, b = BUF_INIT, c = BUF_INIT;
	struct image *img;

	is_num(write_parts(p, "debian:12", &a, NULL), 0, "written");
	is_num(a.n % 512, 0, "whole blocks");
	no_spool(true);
	reads(&a, NULL, "onetwothree", "and read again");
	no_spool(false);
	if (ok(open_as(STREAM, buf_span(&a), NULL, &img, NULL) == 0, "opened")) {
		is_str(image_ref_name(img), "docker.io/library/debian:12",
		       "the name is the full one");
		image_close(img);
	}
	write_parts(p, "debian:12", &b, NULL);
	ok(span_eq(buf_span(&a), buf_span(&b)), "the same bytes again");
	ok(memmem(a.p, a.n, "\"RepoTags\":[\"docker.io/library/debian:12\"]", 42),
	   "docker's manifest.json has it too");
	is_num(write_parts(
		       p,
		       "debian@sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
		       &c, NULL),
	       0, "a name by digest");
	ok(memmem(c.p, c.n, "\"RepoTags\":null", 15) && !memmem(c.p, c.n, "image.ref.name", 14),
	   "is no tag");
	buf_release(&c);
	is_num(write_parts(p, "Bad Name", &c, NULL), E_USAGE, "a bad name");
	buf_release(&c);
	is_num(write_parts(p, NULL, &c, "on"), E_TRUNCATED, "a blob that ends early");
	fails_as(STREAM, &c, NULL, E_TRUNCATED, NULL, "is a truncated archive");
	buf_release(&c);
	is_num(write_parts(p, NULL, &c, "ones"), E_SIZE, "a blob that goes on");
	fails_as(STREAM, &c, NULL, E_TRUNCATED, NULL, "is a truncated archive too");
}

/* ---- layouts ---- */

static void test_layout(const struct image_parts *p)
{
	_cleanup_(buf_release) struct buf tar = BUF_INIT, got = BUF_INIT;
	struct err e = { 0 };
	struct image *img = NULL;
	char path[100], file[300];

	snprintf(path, sizeof(path), "%s/layout", top_dir);
	write_parts(p, "r.io/a:1", &tar, NULL);
	if (!ok(open_as(STREAM, buf_span(&tar), NULL, &img, NULL) == 0, "a stream") ||
	    !ok(store_image(img, path, "1", &e) == 0, "stored in a layout"))
		return;
	image_close(img);
	is_num(image_open_layout(path, &(struct image_options){ .tag = "2" }, &img, &e),
	       E_NOT_FOUND, "another tag");
	is_str(e.text, "no image is named 2; there are: 1", "is not there");
	if (ok(image_open_layout(path, &(struct image_options){ 0 }, &img, NULL) == 0, "opened")) {
		struct stream *s = NULL;

		ok(image_random_access(img), "in any order");
		is_str(image_ref_name(img), NULL, "a tag is no full name");
		image_blob(img, &image_manifest(img)->layers[2], &s, NULL);
		ok(stream_read_all(s, 100, &got) == 0 && !strcmp(buf_str(&got), "three"),
		   "the last layer first");
		stream_close(s);
		image_close(img);
	}

	/* other bytes of the same size */
	snprintf(file, sizeof(file), "%s/%s", path, blob_path("two"));
	int fd = open(file, O_WRONLY);

	fd_write_all(fd, "tWo", 3);
	fd_close(fd);
	if (ok(image_open_layout(path, &(struct image_options){ .verify = true }, &img, NULL) == 0,
	       "opened to verify")) {
		struct stream *s = NULL;

		image_blob(img, &image_manifest(img)->layers[1], &s, NULL);
		is_num(stream_drain(s), E_DIGEST, "a spoiled layer is found");
		stream_close(s);
		image_close(img);
	}
	snprintf(file, sizeof(file), "%s/%s", path, blob_path(p->manifest));
	fd = open(file, O_WRONLY);
	fd_write_all(fd, " ", 1);
	fd_close(fd);
	is_num(image_open_layout(path, &(struct image_options){ 0 }, &img, NULL), E_DIGEST,
	       "a spoiled manifest always");
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return tool(argc, argv);
	if (!mkdtemp(top_dir))
		return 1;
	no_spool(false);

	struct image_parts p = parts("amd64", "one", "two", "three");
	char *index = make_index(MEDIA_OCI_MANIFEST, p.manifest, "", NULL, NULL);

	test_orders(&p, index);
	test_twice();
	test_platforms();
	test_nesting(8, 0);
	test_nesting(10, E_TOOBIG);
	test_lies_about_platform();
	test_names(&p);
	test_lies(&p, index);
	test_incomplete(&p, index);
	test_large_documents();
	test_writer(&p);
	test_layout(&p);
	free(index);
	parts_release(&p);
	tree_remove(AT_FDCWD, top_dir);
	return done_testing();
}
