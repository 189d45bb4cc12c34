/*
 * inspect - tell what is in an image
 *
 * config:
 *   default y
 *
 * usage: inspect [OPTION]... [IMAGE]
 *
 * Writes JSON for jq(1) to standard output: a summary with the names that skopeo inspect gives its
 * members, or what an option asks for. IMAGE is a file that holds an image stream, an OCI image
 * layout (LAYOUT, LAYOUT:TAG or LAYOUT@DIGEST), or "-", the default: an image stream on standard
 * input, which is read to its end.
 *
 * Of an index for several platforms the image for --platform is shown, or the one for this machine;
 * --index and --raw show the index itself.
 *
 * options:
 *   --manifest                  the manifest
 *   --config                    the image config
 *   --index                     the index
 *   --layers                    the layers: Digest, Size, MIMEType, DiffID, ChainID, and Created and
 *                               CreatedBy of the step that made them
 *   --files                     what is in each layer, in the manner of tar tvf; names with control
 *                               bytes are escaped
 *   --raw                       the bytes as they are: of the index or manifest that IMAGE names, or
 *                               with --platform, --manifest, --config, --index of that
 *   --verify                    read and check everything: sizes, digests, diff_ids, counts,
 *                               platforms; of an index all images
 *   --platform OS/ARCH[/VARIANT]
 *                               choose this platform (default: that of this machine)
 *   --stats                     tell on standard error how many bytes of blobs were read, hashed and
 *                               inflated, as JSON
 *
 * files:
 *   --merged                    all layers as one tree, as unpack would make it
 *   --digests                   with the SHA-256 of each file's contents
 *   --json                      as JSON Lines
 *
 * limits:
 *   --max-size SIZE             bytes of all files together (default: 1024G)
 *   --max-file-size SIZE        bytes of one file (default: 256G)
 *   --max-entries N             entries of all layers together (default: 20000000)
 *   --max-ratio N               uncompressed bytes per compressed one (default: 2000)
 *   --max-depth N               with --merged: components of a name (default: 2048)
 *   --max-name N                bytes of a name or link target (default: 4095)
 *   --max-zstd-window SIZE      zstd windows (default and most: 128M)
 *   --spool-max SIZE            blobs that wait in TMPDIR for their turn in a stream (default: 64G)
 *
 * exit status:
 *   0    all went well
 *   64   wrong usage
 *   65   bad, truncated or over-budget data, wrong digest
 *   66   image not found, empty standard input
 *   73   no room for what is written
 *   74   reading or writing failed
 *   77   a permission is missing
 *
 * examples:
 *   pull debian:12 | inspect | jq -r .Digest
 *   inspect --files --digests layout:app
 *   inspect --verify image.tar && push image.tar reg.example/app:1
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/cli.h"

enum what { SUMMARY, MANIFEST, CONFIG, INDEX, LAYERS, FILES, VERIFY };

enum {
	OPT_MANIFEST = CLI_OPT,
	OPT_CONFIG,
	OPT_INDEX,
	OPT_LAYERS,
	OPT_FILES,
	OPT_VERIFY,
	OPT_RAW,
	OPT_PLATFORM,
	OPT_MERGED,
	OPT_DIGESTS,
	OPT_JSON,
	OPT_STATS,
	OPT_SPOOL_MAX,
};

static const struct option options[] = {
	{ "manifest", no_argument, NULL, OPT_MANIFEST },
	{ "config", no_argument, NULL, OPT_CONFIG },
	{ "index", no_argument, NULL, OPT_INDEX },
	{ "layers", no_argument, NULL, OPT_LAYERS },
	{ "files", no_argument, NULL, OPT_FILES },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "raw", no_argument, NULL, OPT_RAW },
	{ "platform", required_argument, NULL, OPT_PLATFORM },
	{ "merged", no_argument, NULL, OPT_MERGED },
	{ "digests", no_argument, NULL, OPT_DIGESTS },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "stats", no_argument, NULL, OPT_STATS },
	{ "max-size", required_argument, NULL, CLI_APPLY_MAX_SIZE },
	{ "max-file-size", required_argument, NULL, CLI_APPLY_MAX_FILE_SIZE },
	{ "max-entries", required_argument, NULL, CLI_APPLY_MAX_ENTRIES },
	{ "max-ratio", required_argument, NULL, CLI_APPLY_MAX_RATIO },
	{ "max-depth", required_argument, NULL, CLI_APPLY_MAX_DEPTH },
	{ "max-name", required_argument, NULL, CLI_APPLY_MAX_NAME },
	{ "max-zstd-window", required_argument, NULL, CLI_APPLY_MAX_ZSTD_WINDOW },
	{ "spool-max", required_argument, NULL, OPT_SPOOL_MAX },
	CLI_COMMON_OPTIONS,
};

struct inspect {
	enum what what;
	bool raw, merged, digests, json, stats;
	const char *operand;
	struct image_options how;
	struct apply_options limits;
	struct layers_size listed;
	struct image *img;
	struct sink *out;
	struct err e;
};

static _noreturn_ void fail(struct inspect *in, int r)
{
	/* what came before the fault is worth seeing */
	sink_flush(in->out);
	die_err(in->operand ? in->operand : "standard input", r, &in->e);
}

static void choose(struct inspect *in, enum what what)
{
	if (in->what != SUMMARY && in->what != what)
		die(64,
		    "only one of --manifest, --config, --index, --layers, --files and --verify");
	in->what = what;
}

static void parse_options(struct inspect *in, int argc, char **argv)
{
	in->limits = cli_apply_defaults;
	for (int opt; (opt = cli_getopt(argc, argv, "", options)) != -1;) {
		switch (opt) {
		case OPT_RAW:
			in->raw = true;
			break;
		case OPT_PLATFORM:
			in->how.want = cli_platform(optarg);
			break;
		case OPT_MERGED:
			in->merged = true;
			break;
		case OPT_DIGESTS:
			in->digests = true;
			break;
		case OPT_JSON:
			in->json = true;
			break;
		case OPT_STATS:
			in->stats = true;
			break;
		case OPT_SPOOL_MAX:
			in->how.spool_max = MAX(cli_size("--spool-max", optarg), UINT64_C(1));
			break;
		default:
			if (!cli_apply_option(opt, optarg, &in->limits))
				choose(in, (enum what)(opt - OPT_MANIFEST + MANIFEST));
		}
	}
	if (argc - optind > 1)
		die(64, "too many operands (try --help)");
	in->operand = argv[optind];
	if (in->operand && !strcmp(in->operand, "-"))
		in->operand = NULL;
	if (in->what != FILES && (in->merged || in->digests || in->json))
		die(64, "--merged, --digests and --json go with --files");
	if (in->raw && in->what > INDEX)
		die(64, "--raw goes with --manifest, --config and --index");
	if (in->what == INDEX && in->how.want.os[0])
		die(64, "an index has no --platform");
}

static void put_raw(struct inspect *in, struct span bytes)
{
	sink_write(in->out, bytes);
}

static void put_json(struct inspect *in, struct json_out *o)
{
	buf_addc(&o->b, '\n');
	sink_write(in->out, buf_span(&o->b));
	buf_clear(&o->b);
	o->comma = false;
}

static void put_value(struct inspect *in, const struct json *doc)
{
	_cleanup_(json_out_release) struct json_out o = { 0 };

	json_put(&o, doc);
	put_json(in, &o);
}

/* A document: its bytes, or written anew without white space. */
static void put_document(struct inspect *in, struct span bytes)
{
	_cleanup_(json_freep) struct json *doc = NULL;
	const struct json_limits lim = { .max_bytes = DOC_MANIFEST_MAX };

	if (in->raw) {
		put_raw(in, bytes);
		return;
	}
	int r = json_parse(bytes, &lim, &doc, &in->e);
	if (r < 0)
		fail(in, r);
	put_value(in, doc);
}

static const struct config *need_config(struct inspect *in)
{
	const struct config *c = image_config(in->img);

	if (!c)
		fail(in, err_set(&in->e, E_UNSUPPORTED,
				 "it is an artifact, not a container image: see --manifest"));
	return c;
}

/* The summary, or the layers. */
static void put_told(struct inspect *in,
		     int (*tell)(const struct image *img, struct json_out *o, struct err *e))
{
	_cleanup_(json_out_release) struct json_out o = { 0 };
	int r = tell(in->img, &o, &in->e);

	if (r < 0)
		fail(in, r);
	put_json(in, &o);
}

/* ---- files ---- */

static void put_entry(struct inspect *in, struct json_out *o, const struct tar_entry *e,
		      const unsigned char *sha256)
{
	if (in->json) {
		cli_entry_json(o, e, sha256);
		json_end(o, '}');
		put_json(in, o);
	} else {
		cli_entry_line(&o->b, e, sha256, in->digests);
		sink_write(in->out, buf_span(&o->b));
		buf_clear(&o->b);
	}
}

static int hash_data(struct tar *t, unsigned char sum[HASH_MAX])
{
	struct stream *data = tar_data(t);
	struct hash h;

	hash_init(&h, HASH_SHA256);
	for (struct span w = stream_peek(data); w.n; w = stream_peek(data)) {
		hash_update(&h, w);
		stream_skip(data, w.n);
	}
	hash_final(&h, sum);
	return stream_error(data);
}

static struct listing_options listing_options(const struct inspect *in)
{
	return (struct listing_options){
		.digests = in->digests,
		.tar = in->limits.tar,
		.decompress = in->limits.decompress,
		.max_entries = in->limits.max_entries,
		.max_total = in->limits.max_total,
		.max_depth = in->limits.max_depth,
	};
}

static int list_layer(struct inspect *in, size_t layer, struct stream *s)
{
	const struct listing_options most = listing_options(in);
	_cleanup_(tar_closep) struct tar *t = tar_open(s, &in->limits.tar, &in->e);
	_cleanup_(json_out_release) struct json_out o = { 0 };
	const struct tar_entry *e;
	unsigned char sum[HASH_MAX];
	int r;

	while ((r = tar_next(t, &e)) > 0) {
		bool hashed = in->digests && e->type == TAR_FILE;

		r = layers_size_add(&in->listed, e, &most, &in->e);
		if (r < 0)
			return r;
		if (in->json) {
			json_begin(&o, '{');
			json_key(&o, "layer");
			json_put_i64(&o, (int64_t)layer);
		}
		r = hashed ? hash_data(t, sum) : 0;
		if (r < 0)
			return r;
		put_entry(in, &o, e, hashed ? sum : NULL);
	}
	return r;
}

static void put_files(struct inspect *in)
{
	const struct document *m = image_manifest(in->img);
	const struct config *c = image_config(in->img);

	for (size_t i = 0; i < m->layers_n; i++) {
		const struct digest *diff_id = c && i < c->diff_ids_n ? &c->diff_ids[i] : NULL;
		struct stream *s = NULL;
		char text[DIGEST_TEXT_MAX], line[DIGEST_TEXT_MAX + 8];

		int r = layer_open(in->img, &m->layers[i], diff_id, &in->limits.decompress, false,
				   &s, &in->e);
		digest_text(&m->layers[i].digest, text);
		snprintf(line, sizeof(line), "%s%s:\n", i ? "\n" : "", text);
		if (r == 0 && !in->json)
			sink_write(in->out, span_str(line));
		if (r == 0)
			r = layer_end(in->img, s, diff_id, list_layer(in, i, s), &in->e);
		if (r < 0) {
			err_set(&in->e, r, "%s", err_word(r));
			err_prefix(&in->e, "layer %zu of %zu (%.19s)", i + 1, m->layers_n, text);
			fail(in, r);
		}
	}
}

static void put_merged(struct inspect *in)
{
	_cleanup_(listing_closep) struct listing *l = NULL;
	_cleanup_(json_out_release) struct json_out o = { 0 };
	const struct listing_options how = listing_options(in);
	const struct listing_entry *e;
	int r = listing_open(in->img, &how, &l, &in->e);

	if (r < 0)
		fail(in, r);
	while ((r = listing_next(l, &e, &in->e)) > 0) {
		/* in JSON the number of the inode says what is a link */
		const struct tar_entry t = listing_tar_entry(e, !in->json);

		if (in->json) {
			json_begin(&o, '{');
			json_key(&o, "layer");
			json_put_i64(&o, (int64_t)e->layer);
			json_key(&o, "inode");
			json_put_i64(&o, e->inode);
			json_key(&o, "links");
			json_put_i64(&o, e->nlink);
		}
		put_entry(in, &o, &t, e->sha256);
	}
	if (r < 0)
		fail(in, r);
}

/* ---- verified ---- */

static void put_count(struct json_out *o, const char *key, uint64_t n)
{
	json_key(o, key);
	json_put_i64(o, (int64_t)n);
}

static void verify(struct inspect *in)
{
	_cleanup_(json_out_release) struct json_out o = { 0 };
	const struct listing_options how = listing_options(in);
	struct verify_stats st = { 0 };
	char text[DIGEST_TEXT_MAX];
	int r = image_verify(in->img, &how, &st, &in->e);

	/* here what is missing is a fault of the image */
	if (r < 0 && exit_status(r) == 66)
		in->e.code = r = E_TRUNCATED;
	if (r < 0)
		fail(in, r);
	json_begin(&o, '{');
	json_key(&o, "Digest");
	json_put_str(&o, span_str(digest_text(image_digest(in->img), text)));
	put_count(&o, "Manifests", st.manifests);
	put_count(&o, "Layers", st.layers);
	put_count(&o, "Blobs", st.blobs);
	put_count(&o, "Bytes", st.bytes);
	put_count(&o, "Unpacked", st.unpacked);
	put_count(&o, "Entries", st.entries);
	json_end(&o, '}');
	put_json(in, &o);
}

static void put_top(struct inspect *in)
{
	size_t n;
	const struct document *top = image_documents(in->img, &n)[0];

	if (in->what == INDEX && top->kind != DOC_INDEX)
		fail(in, err_set(&in->e, E_NOT_FOUND, "it is no index, but a single image"));
	put_document(in, buf_span(&top->raw));
}

static void put(struct inspect *in)
{
	switch (in->what) {
	case SUMMARY:
		if (in->raw)
			put_document(in, buf_span(&image_manifest(in->img)->raw));
		else
			put_told(in, image_summary);
		break;
	case MANIFEST:
		put_document(in, buf_span(&image_manifest(in->img)->raw));
		break;
	case CONFIG:
		if (in->raw)
			put_raw(in, buf_span(&need_config(in)->raw));
		else
			put_value(in, need_config(in)->json);
		break;
	case LAYERS:
		put_told(in, image_layers);
		break;
	case FILES:
		(in->merged ? put_merged : put_files)(in);
		break;
	case INDEX:
	case VERIFY:
		break;
	}
}

int inspect_main(int argc, char **argv)
{
	struct inspect in = { .how = { .verify = true } };

	parse_options(&in, argc, argv);
	bool whole = in.what == VERIFY && !in.how.want.os[0];
	bool top = in.what == INDEX || (in.what == SUMMARY && in.raw && !in.how.want.os[0]);
	in.how.whole = whole;
	in.how.top_only = top;
	cli_jail(NULL, 0, CLI_JAIL_SPOOL);
	cli_image_open(in.operand, &in.how, &in.img);
	in.out = sink_from_fd(STDOUT_FILENO, false);
	if (top)
		put_top(&in);
	else if (in.what == VERIFY)
		verify(&in);
	else
		put(&in);
	int r = image_finish(in.img, &in.e);
	if (r < 0)
		fail(&in, r);
	r = sink_flush(in.out);
	if (r < 0)
		die_err("standard output", r, NULL);
	if (in.stats)
		cli_stats(image_stats(in.img));
	sink_close(in.out);
	image_close(in.img);
	return 0;
}
