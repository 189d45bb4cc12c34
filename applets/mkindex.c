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
 *   73   two images for one platform, or the layout cannot be created or has no room
 *   74   reading or writing failed
 *   77   a permission is missing
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

enum { OPT_ANNOTATION = CLI_OPT, OPT_SPOOL_MAX };

static const struct option options[] = {
	{ "annotation", required_argument, NULL, OPT_ANNOTATION },
	{ "spool-max", required_argument, NULL, OPT_SPOOL_MAX },
	CLI_OUTPUT_OPTIONS,
	CLI_COMMON_OPTIONS,
};

static struct json *annotations;
static struct image_output output;
static struct image_options image_options = { .whole = true, .verify = true };

static void parse_options(int argc, char **argv)
{
	size_t in = 0;

	for (int opt; (opt = cli_getopt(argc, argv, "o:t:", options)) != -1;) {
		if (cli_output_option(&output, opt))
			continue;
		if (opt == OPT_ANNOTATION)
			cli_annotation(&annotations, optarg);
		else
			image_options.spool_max = MAX(cli_size("--spool-max", optarg), UINT64_C(1));
	}
	if (optind == argc)
		die(64, "IMAGE is missing (try --help)");
	for (int i = optind; i < argc; i++)
		in += !strcmp(argv[i], "-");
	if (in > 1)
		die(64, "standard input can be read only once (- stands for it)");
}

static int write_blobs(void *j, struct image_target *t, struct err *e)
{
	return join_write(j, t, e);
}

int mkindex_main(int argc, char **argv)
{
	const struct document *const *docs;
	char text[DIGEST_TEXT_MAX];
	struct err e = { 0 };
	struct join *j;
	size_t n, images_n = 0;

	parse_options(argc, argv);
	cli_output_open(&output);
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
	cli_output_write(&output, docs, n, write_blobs, j);
	say("%s %zu manifest%s", digest_text(&docs[0]->digest, text), n - 1, n == 2 ? "" : "s");
	cli_output_close(&output);
	join_close(j);
	for (size_t i = 0; i < images_n; i++)
		image_close(images[i]);
	free(images);
	json_free(annotations);
	return 0;
}
