/*
 * mkmanifest - make an image of a base, layers and configuration
 *
 * config:
 *   default y
 *   select COMPRESS
 *
 * usage: mkmanifest [-b IMAGE] [--layer FILE]... [OPTION]...
 *
 * Writes an image to standard output as an image stream, or into an OCI image layout with -o: the
 * layers of IMAGE as they are, those of the files on top of them, and the config of IMAGE with the
 * changes that the options ask for. With --layer and without -b the image is made from nothing.
 *
 * IMAGE is an image stream in a file, an image layout (DIR, DIR:TAG, DIR@DIGEST), or - for an image
 * stream on standard input, which is the default where neither -b nor --layer is given. A FILE is a
 * layer: a tar, plain or compressed with gzip or zstd, and - is standard input, too. Only one thing
 * can be read from there.
 *
 * What is checked: base layers pass untouched, against their digests, and are not inflated. New
 * layers are read to their end and inflated once for their diff_ids. One from a pipe waits in an
 * unlinked file.
 *
 * The new image has no name but the one that -t gives it; the name of IMAGE stays its own. Where
 * IMAGE had a full name, the annotations org.opencontainers.image.base.name and .digest tell of it.
 * An image that nothing changes keeps its digest.
 *
 * Changes of the config are made in the order given, as the Dockerfile instructions of these names
 * make them.
 *
 * options:
 *   -b, --base IMAGE            the image to begin with
 *   --layer FILE                put this layer on top; may be given again for the next one
 *   --layer-digestfile FILE     what mklayer said of the last --layer (--digestfile), which is checked:
 *                               a file while it is copied, instead of being read before
 *   --platform OS/ARCH[/VARIANT]
 *                               choose this platform of IMAGE; from nothing: the platform of the
 *                               image (default: that of this machine)
 *   --rebase OLD NEW            the lowest layers of IMAGE, which must be those of the image OLD, are
 *                               replaced by those of the image NEW. History follows; the config stays
 *                               that of IMAGE, so what it took over from OLD is not changed
 *   --squash[=all|new]          make one layer of all, or of those on top of IMAGE (with --rebase: of
 *                               NEW), as tar and gzip of our own: with what later layers delete or
 *                               replace left out. Of all: the history begins anew. Of the new: a
 *                               hard link to a file below is refused; the names below are read only
 *                               where a layer names a file without its directories, which may be
 *                               links there (so IMAGE from a pipe is kept in a file first)
 *   --format oci|docker         media types (default: as IMAGE has them, else oci). docker's have
 *                               neither annotations nor zstd
 *   --created TIME              SECONDS or @SECONDS since 1970, 2024-05-06T07:08:09+02:00 or ...Z, or
 *                               2024-05-06[ 07:08[:09]] in UTC (default: $SOURCE_DATE_EPOCH, else a
 *                               changed image has none)
 *   --history TEXT              the history says that TEXT made the new layer (default: ocibox
 *                               mkmanifest); given again, the next one. Without a new layer a changed
 *                               config gets an entry that stands for no layer
 *   --unset-history             drop the history, which is optional
 *   --annotation NAME=VALUE     annotate the manifest
 *   --unset-annotation NAME     take an annotation away
 *   --no-base-annotations       do not say what IMAGE was
 *   -o, --output LAYOUT[:TAG]   write into an image layout, under TAG (default: that of -t)
 *   -t, --tag NAME              full name of the image, for who reads the stream
 *   --digestfile FILE           write the digest of the manifest
 *   --sync                      with -o: make it last through a power failure
 *   --stats                     tell how many bytes were read, hashed, inflated, spooled and sent
 *
 * changes of the config:
 *   --env NAME=VALUE            set a variable
 *   --cmd JSON|STRING           an array of strings, or a command for the shell
 *   --entrypoint JSON|STRING    the same; a Cmd of IMAGE goes, unless --cmd is given, too
 *   --shell JSON                the shell of the commands that follow (default: /bin/sh -c)
 *   --workdir DIR               relative to the former one
 *   --user USER[:GROUP]
 *   --label NAME=VALUE
 *   --expose PORT[-PORT][/PROTO]
 *                               tcp, udp or sctp (default: tcp)
 *   --volume JSON|PATH          an array of paths, or one
 *   --stop-signal SIGNAL
 *   --healthcheck "[OPTION]... CMD COMMAND"|NONE
 *                               OPTIONs as --interval=30s, --timeout, --start-period,
 *                               --start-interval, --retries=3
 *   --onbuild INSTRUCTION       add a trigger
 *   --author TEXT
 *   --unset-env NAME            take away a variable
 *   --unset-label NAME
 *   --unset-expose PORT[-PORT][/PROTO]
 *   --unset-volume PATH
 *   --unset-cmd
 *   --unset-entrypoint
 *   --unset-shell
 *   --unset-workdir
 *   --unset-user
 *   --unset-stop-signal
 *   --unset-healthcheck
 *   --unset-onbuild             all triggers
 *   --unset-author
 *
 * limits:
 *   --spool-max SIZE            most bytes that wait in TMPDIR (default: 64G)
 *   --max-size SIZE             most bytes of a new layer when it is inflated (default: 1024G)
 *
 * environment:
 *   SOURCE_DATE_EPOCH           see --created
 *   TMPDIR                      where waits what comes through a pipe (default: /var/tmp)
 *
 * exit status:
 *   0    all went well
 *   64   usage
 *   65   bad data, or a wrong digest
 *   66   no such image or platform, or empty input
 *   73   the layout cannot be created or has no room
 *   74   reading or writing failed
 *
 * examples:
 *   tar -c hello | mkmanifest --layer - --cmd '["/hello"]' -t hello:1 | podman load
 *   pull debian:12 | mkmanifest --label build=7 | push reg.example/debian:7
 *   mklayer work | mkmanifest -b base.tar --layer - -o images:app
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/cli.h"

enum {
	OPT_LAYER = CLI_OPT,
	OPT_LAYER_DIGESTFILE,
	OPT_PLATFORM,
	OPT_REBASE,
	OPT_SQUASH,
	OPT_FORMAT,
	OPT_CREATED,
	OPT_HISTORY,
	OPT_UNSET_HISTORY,
	OPT_ANNOTATION,
	OPT_UNSET_ANNOTATION,
	OPT_NO_BASE_ANNOTATIONS,
	OPT_SPOOL_MAX,
	OPT_MAX_SIZE,
};

static const struct option options[] = {
	{ "base", required_argument, NULL, 'b' },
	{ "layer", required_argument, NULL, OPT_LAYER },
	{ "layer-digestfile", required_argument, NULL, OPT_LAYER_DIGESTFILE },
	{ "platform", required_argument, NULL, OPT_PLATFORM },
	{ "rebase", required_argument, NULL, OPT_REBASE },
	{ "squash", optional_argument, NULL, OPT_SQUASH },
	{ "format", required_argument, NULL, OPT_FORMAT },
	{ "created", required_argument, NULL, OPT_CREATED },
	{ "history", required_argument, NULL, OPT_HISTORY },
	{ "unset-history", no_argument, NULL, OPT_UNSET_HISTORY },
	{ "annotation", required_argument, NULL, OPT_ANNOTATION },
	{ "unset-annotation", required_argument, NULL, OPT_UNSET_ANNOTATION },
	{ "no-base-annotations", no_argument, NULL, OPT_NO_BASE_ANNOTATIONS },
	CLI_OUTPUT_OPTIONS,
	{ "spool-max", required_argument, NULL, OPT_SPOOL_MAX },
	{ "max-size", required_argument, NULL, OPT_MAX_SIZE },
	CLI_CONFIG_OPTIONS,
	CLI_COMMON_OPTIONS,
};

static struct compose_options how = { .base_annotations = true };
static const char *base, *old_base, *new_base;
static struct strs layers, said, history;
static struct config_changes changes;
static struct json *annotations;
static struct image_options image_options = { .verify = true };
static struct layer_limits limits = {
	.decompress = { .max_output = MIB(1024) << 10 },
	.tar = { .max_entries = 20000000, .max_name = 4095 },
	.spool_max = MIB(1024) << 6,
};
static struct image_output output;
static int64_t epoch = -1; /* SOURCE_DATE_EPOCH */

/* ---- options ---- */

/* How messages call an input. */
static const char *called(const char *input)
{
	return !strcmp(input, "-") ? "standard input" : input;
}

static void set_created(const char *option, const char *value)
{
	struct err e = { 0 };
	char *text;
	int r = time_canonical(value, &text, &e);

	if (r < 0)
		die(64, "%s: %s", option, e.text);
	how.created = text;
}

static void set_format(const char *value)
{
	if (!strcmp(value, "oci"))
		how.format = IMAGE_FORMAT_OCI;
	else if (!strcmp(value, "docker"))
		how.format = IMAGE_FORMAT_DOCKER;
	else
		die(64, "--format: %s is neither oci nor docker", quoted_str(value));
}

static void set_squash(const char *value)
{
	if (!value || !strcmp(value, "all"))
		how.squash = IMAGE_SQUASH_ALL;
	else if (!strcmp(value, "new"))
		how.squash = IMAGE_SQUASH_NEW;
	else
		die(64, "--squash: %s is neither all nor new", quoted_str(value));
}

static void set_layer_digestfile(const char *value)
{
	if (!layers.n)
		die(64, "--layer-digestfile must follow the --layer that it tells of");
	freep(&said.v[layers.n - 1]);
	said.v[layers.n - 1] = xstrdup(value);
}

static void set_rebase(int argc, char **argv)
{
	if (optind == argc)
		die(64, "--rebase needs two values, OLD and NEW (try --help)");
	old_base = optarg;
	new_base = argv[optind++];
}

static void option(int opt, int argc, char **argv)
{
	if (cli_output_option(&output, opt) || cli_config_option(&changes, options, opt))
		return;
	/* clang-format off */
	switch (opt) {
	case 'b': base = optarg; break;
	case OPT_LAYER: strs_add(&layers, optarg); strs_add(&said, ""); break;
	case OPT_LAYER_DIGESTFILE: set_layer_digestfile(optarg); break;
	case OPT_PLATFORM: image_options.want = cli_platform(optarg); break;
	case OPT_REBASE: set_rebase(argc, argv); break;
	case OPT_SQUASH: set_squash(optarg); break;
	case OPT_FORMAT: set_format(optarg); break;
	case OPT_CREATED: set_created("--created", optarg); how.created_given = true; break;
	case OPT_HISTORY: strs_add(&history, optarg); break;
	case OPT_UNSET_HISTORY: how.no_history = true; break;
	case OPT_ANNOTATION: cli_annotation(&annotations, optarg); break;
	case OPT_UNSET_ANNOTATION: cli_unset_annotation(&annotations, optarg); break;
	case OPT_NO_BASE_ANNOTATIONS: how.base_annotations = false; break;
	case OPT_SPOOL_MAX:
		/* 0 is the library's word for none */
		limits.spool_max = image_options.spool_max = MAX(cli_size("--spool-max", optarg), UINT64_C(1));
		break;
	case OPT_MAX_SIZE: limits.decompress.max_output = MAX(cli_size("--max-size", optarg), UINT64_C(1)); break;
	}
	/* clang-format on */
}

/* Standard input is read where it was named, and once. */
static void check_stdin(void)
{
	const char *const images[] = { base, old_base, new_base };
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(images); i++)
		n += images[i] && !strcmp(images[i], "-");
	for (size_t i = 0; i < layers.n; i++)
		n += !strcmp(layers.v[i], "-");
	if (n > 1)
		die(64, "standard input can be read only once (- stands for it)");
}

static void parse_options(int argc, char **argv)
{
	const char *seconds = getenv("SOURCE_DATE_EPOCH");

	for (int opt; (opt = cli_getopt(argc, argv, "+b:o:t:", options)) != -1;)
		option(opt, argc, argv);
	if (optind < argc)
		die(64, "unexpected operand %s (try --help)", quoted_str(argv[optind]));
	if (!base && !layers.n)
		base = "-";
	if (!base && old_base)
		die(64, "--rebase needs an image to change: -b");
	check_stdin();
	if (seconds && *seconds)
		epoch = (int64_t)cli_number("SOURCE_DATE_EPOCH", seconds, INT64_C(253402300799));
	if (!how.created && epoch >= 0)
		set_created("SOURCE_DATE_EPOCH", seconds);
	if (history.n > (how.squash ? 1 : MAX(layers.n, (size_t)1)))
		die(64, "--history: %zu texts for %zu new layers", history.n,
		    how.squash ? 1 : layers.n);
	if (how.squash == IMAGE_SQUASH_NEW && !layers.n && !old_base)
		die(64, "--squash=new: there is no new layer");
	for (size_t i = 0; i < history.n; i++)
		if (!utf8_valid(span_str(history.v[i])))
			die(64, "--history: %s is no UTF-8", quoted_str(history.v[i]));
	how.history = (const char *const *)history.v;
	how.history_n = history.n;
	how.annotations = annotations;
	cli_config_check(&changes);
}

/* ---- what goes in ---- */

static void open_images(void)
{
	struct platform p = image_options.want;
	struct err e = { 0 };

	if (!p.os[0])
		platform_generic(&p);
	image_options.again = how.squash == IMAGE_SQUASH_NEW;
	if (base)
		cli_image_open(base, &image_options, &how.base);
	if (how.base && !image_config(how.base))
		die(65, "%s: it is an artifact, not a container image", called(base));
	if (how.base)
		image_options.want = image_config(how.base)->platform;
	if (old_base)
		cli_image_open(old_base, &image_options, &how.old_base);
	if (new_base)
		cli_image_open(new_base, &image_options, &how.new_base);
	int r = config_edit_open(how.base ? image_config(how.base) : NULL, &p, &how.config, &e);
	if (r < 0)
		die_err(base ? called(base) : NULL, r, &e);
	cli_config_apply(&changes, how.config, base ? called(base) : NULL);
}

static struct layer_file read_said(const char *path)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct layer_file l;
	struct err e = { 0 };
	int r = file_read(AT_FDCWD, path, true, KIB(64), &b);

	if (r == 0)
		r = layer_file_parse(buf_span(&b), &l, &e);
	if (r < 0)
		die_err(path, r, &e);
	return l;
}

static int open_layer(const char *path, const char *digests, struct layer_file *out, struct err *e)
{
	int fd = !strcmp(path, "-") ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
				    : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	struct layer_file tells;
	struct stat st;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (isatty(fd))
		die(64, "refusing to read a layer from a terminal");
	if (!*digests)
		return layer_file_open(fd, NULL, &limits, out, &output.stats, e);
	if (S_ISREG(st.st_mode)) {
		tells = read_said(digests);
		return layer_file_open(fd, &tells, &limits, out, &output.stats, e);
	}
	/* who writes the pipe knows only at its end */
	r = layer_file_open(fd, NULL, &limits, out, &output.stats, e);
	if (r < 0)
		return r;
	tells = read_said(digests);
	return layer_file_compare(out, &tells, e);
}

static void open_layers(void)
{
	struct layer_file *all = xcalloc(layers.n + 1, sizeof(*all));

	for (size_t i = 0; i < layers.n; i++) {
		struct err e = { 0 };
		int r = open_layer(layers.v[i], said.v[i], &all[i], &e);

		if (r < 0)
			die_err(called(layers.v[i]), r, &e);
	}
	how.layers = all;
	how.layers_n = layers.n;
}

static int squash(struct composition *c, struct err *e)
{
	static struct layer_file squashed;
	const struct apply_options *most = &cli_apply_defaults;
	const struct listing_options lo = {
		.tar = most->tar,
		.decompress = { most->decompress.max_output, most->decompress.max_ratio, 0 },
		.max_entries = most->max_entries,
		.max_total = limits.decompress.max_output,
		.max_depth = most->max_depth,
	};
	const struct squash_options so = {
		.has_clamp = epoch >= 0,
		.clamp = epoch,
		.compression.kind = COMPRESSION_GZIP,
		.threads = cpu_count(),
	};

	return compose_squashed(&how, &lo, &so, &squashed, c, &output.stats, e);
}

/* ---- what comes out ---- */

static int write_blobs(void *c, struct image_target *t, struct err *e)
{
	return compose_write(&how, c, &limits, t, e);
}

static void tell(const struct composition *c)
{
	char was[DIGEST_TEXT_MAX], is[DIGEST_TEXT_MAX];

	digest_text(&c->manifest.digest, is);
	if (c->annotations_dropped)
		warn("%zu annotation%s left out: docker's manifests have none",
		     c->annotations_dropped, c->annotations_dropped == 1 ? "" : "s");
	if (c->history_dropped)
		warn("--history: left out, as the image has layers below of which no history tells");
	if (c->converted)
		say("the base was in the other format: what was %s is now %s",
		    digest_text(&image_manifest(how.base)->digest, was), is);
	say("%s %zu layer%s%s", is, c->layers_n, c->layers_n == 1 ? "" : "s",
	    c->unchanged ? ", unchanged" : "");
}

int mkmanifest_main(int argc, char **argv)
{
	struct composition c;
	struct err e = { 0 };

	parse_options(argc, argv);
	cli_output_open(&output);
	open_images();
	open_layers();
	int r = compose(&how, &c, &e);
	if (r == 0 && how.squash)
		r = squash(&c, &e);
	if (r < 0)
		die_err(NULL, r, &e);
	cli_output_write(&output, &(const struct document *){ &c.manifest }, 1, write_blobs, &c);
	tell(&c);
	cli_output_close(&output);
	composition_release(&c);
	config_edit_close(how.config);
	image_close(how.base);
	image_close(how.old_base);
	image_close(how.new_base);
	return 0;
}
