/*
 * mkindex - join images of several platforms into one index
 *
 * config:
 *   default y
 *
 * usage: mkindex [OPTION]... IMAGE...
 *
 * Writes an index that names the IMAGEs, with all that is in them, to standard output as an image
 * stream, or into an OCI image layout with -o. An IMAGE is a file that holds an image stream, an
 * OCI image layout (LAYOUT, LAYOUT:TAG or LAYOUT@DIGEST), or "-": an image stream on standard input,
 * at most once.
 *
 * Two images for one platform are refused. An IMAGE that is itself an index gives its manifests,
 * with their annotations and attestations. What several images share is written once. Manifests,
 * configs and layers stay byte for byte.
 *
 * options:
 *   -o, --output LAYOUT[:TAG]   write into an image layout, under TAG (default: that of --tag)
 *   -t, --tag NAME              the name of the image
 *   --annotation NAME=VALUE     an annotation of the index (may be repeated)
 *   --digestfile FILE           write the digest of the index
 *   --sync                      with -o: make it last through a power failure
 *   --spool-max SIZE            most bytes that wait in TMPDIR for their turn in the stream
 *                               (default: 64G)
 *   --stats                     tell on standard error what was read and written, as JSON
 *
 * exit status:
 *   0    all went well
 *   64   wrong usage
 *   65   bad or truncated data, wrong digest
 *   66   image not found, empty standard input
 *   73   two images for one platform
 *
 * examples:
 *   mkindex amd64.tar arm64.tar -t reg.example/app:1 | push reg.example/app:1
 *   pull reg.example/app:arm64 | mkindex -o images:app images:app-amd64 -
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/cli.h"

enum { OPT_ANNOTATION = CLI_OPT, OPT_DIGESTFILE, OPT_SYNC, OPT_SPOOL_MAX, OPT_STATS };

static const struct option options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "tag", required_argument, NULL, 't' },
	{ "annotation", required_argument, NULL, OPT_ANNOTATION },
	{ "digestfile", required_argument, NULL, OPT_DIGESTFILE },
	{ "sync", no_argument, NULL, OPT_SYNC },
	{ "spool-max", required_argument, NULL, OPT_SPOOL_MAX },
	{ "stats", no_argument, NULL, OPT_STATS },
	CLI_COMMON_OPTIONS,
};

static struct json *annotations;
static const char *tag;
static char *layout_path, *name;
static struct digestfile digestfile;
static bool sync_disk, tell_stats;
static struct image_options image_options = { .whole = true, .verify = true };
static struct blob_stats stats;

static void set_output(const char *value)
{
	size_t colon = span_find(span_str(value), ':');

	layout_path = xstrndup(value, colon);
	tag = value[colon] ? value + colon + 1 : NULL;
	if (tag && !layout_name_valid(span_str(tag)))
		die(64, "--output: \"%s\" is no name for an image in a layout", quoted_str(tag));
}

static void set_name(const char *value)
{
	struct reference ref;
	struct err e = { 0 };

	if (reference_parse(value, &ref, &e) < 0)
		die(64, "--tag: %s", e.text);
	if (ref.has_digest)
		die(64, "--tag: %s has a digest, which nobody can choose", quoted_str(value));
	name = xasprintf("%s/%s:%s", ref.domain, ref.repository, ref.tag);
	reference_release(&ref);
}

static void annotate(const char *text)
{
	struct span s = span_str(text);
	size_t eq = span_find(s, '=');

	if (!utf8_valid(s) || !eq || eq == s.n)
		die(64, "--annotation: %s is no NAME=VALUE", quoted(s));
	_cleanup_(freep) char *key = xstrndup(text, eq);
	json_set(annotations, key, json_new_str(span_tail(s, eq + 1)));
}

static void parse_options(int argc, char **argv)
{
	size_t in = 0;

	annotations = json_new('{');
	for (int opt; (opt = cli_getopt(argc, argv, "o:t:", options)) != -1;) {
		switch (opt) {
		case 'o':
			set_output(optarg);
			break;
		case 't':
			set_name(optarg);
			break;
		case OPT_ANNOTATION:
			annotate(optarg);
			break;
		case OPT_DIGESTFILE:
			digestfile.path = optarg;
			break;
		case OPT_SYNC:
			sync_disk = true;
			break;
		case OPT_SPOOL_MAX:
			image_options.spool_max = MAX(cli_size("--spool-max", optarg), UINT64_C(1));
			break;
		case OPT_STATS:
			tell_stats = true;
			break;
		}
	}
	if (optind == argc)
		die(64, "IMAGE is missing (try --help)");
	for (int i = optind; i < argc; i++)
		in += !strcmp(argv[i], "-");
	if (in > 1)
		die(64, "standard input can be read only once (- stands for it)");
}

/* Writes only where something is to be written. */
static void close_door(void)
{
	int fd = layout_path ? dir_open(AT_FDCWD, layout_path) : -1;

	/* a layout that is yet to be made needs the directory that it will be in */
	if (layout_path && fd < 0)
		fd = cli_open_parent(layout_path);
	cli_jail((int[]){ digestfile.dir, fd }, 2);
	fd_close(fd);
}

static void write_stream(struct join *j, const struct document *const *docs, size_t n)
{
	_cleanup_(sink_closep) struct sink *out = sink_from_fd(STDOUT_FILENO, false);
	const struct image_writer_options o = { .ref_name = name, .docs = docs, .docs_n = n };
	struct image_target t = { .stats = &stats };
	struct err e = { 0 };
	int r = image_writer_open(out, &o, &t.writer, &e);

	if (r == 0)
		r = join_write(j, &t, &e);
	if (r == 0)
		r = image_writer_close(t.writer, true, &e);
	if (r < 0)
		die_err(NULL, r, &e);
}

/* Manifests after their blobs, the index after its manifests, the name last. */
static void write_layout(struct join *j, const struct document *const *docs, size_t n)
{
	const struct descriptor d = { .media_type = docs[0]->media_type,
				      .digest = docs[0]->digest,
				      .size = docs[0]->raw.n };
	struct layout l;
	struct image_target t = { .layout = &l, .sync = sync_disk, .stats = &stats };
	struct err e = { 0 };
	int r = layout_open(layout_path, true, &l, &e);

	if (r < 0)
		die_err(layout_path, r, &e);
	layout_clean(&l);
	if (!tag && name)
		tag = strrchr(name, ':') + 1;
	r = join_write(j, &t, &e);
	for (size_t i = n; r == 0 && i-- > 0;)
		r = layout_write_blob(&l, &docs[i]->digest, buf_span(&docs[i]->raw), sync_disk, &e);
	if (r == 0)
		r = layout_set_tag(&l, tag, &d, sync_disk, &e);
	if (r < 0)
		die_err(NULL, r, &e);
	layout_close(&l);
}

int mkindex_main(int argc, char **argv)
{
	const struct document *const *docs;
	char text[DIGEST_TEXT_MAX];
	struct err e = { 0 };
	struct join *j;
	size_t n, images_n = 0;

	parse_options(argc, argv);
	if (!layout_path)
		cli_need_stdout_not_tty();
	cli_digestfile_open(&digestfile, digestfile.path);
	close_door();
	join_open(&j);
	struct image **images = xcalloc((size_t)argc, sizeof(struct image *));
	for (int i = optind; i < argc; i++) {
		const char *called = strcmp(argv[i], "-") ? argv[i] : "standard input";
		struct image **img = &images[images_n++];

		cli_image_open(argv[i], &image_options, img);
		int r = join_add(j, *img, called, &e);
		if (r < 0)
			die_err(called, r, &e);
	}
	int r = join_finish(j, annotations, &e);
	if (r < 0)
		die_err(NULL, r, &e);
	docs = join_documents(j, &n);
	(layout_path ? write_layout : write_stream)(j, docs, n);
	cli_digestfile_digest(&digestfile, &docs[0]->digest);
	say("%s %zu manifest%s", digest_text(&docs[0]->digest, text), n - 1, n == 2 ? "" : "s");
	if (tell_stats)
		cli_stats(&stats);
	join_close(j);
	for (size_t i = 0; i < images_n; i++)
		image_close(images[i]);
	free(images);
	json_free(annotations);
	freep(&layout_path);
	freep(&name);
	return 0;
}
