/*
 * mklayer - make a layer of a directory, or of what changed in it
 *
 * config:
 *   default y
 *   select IDMAP
 *   select COMPRESS
 *
 * usage: mklayer [OPTION]... DIR
 * usage: mklayer --lower LOWER [OPTION]... DIR
 * usage: mklayer --lower-image IMAGE [OPTION]... DIR
 * usage: mklayer --upper [--lower LOWER] [OPTION]... DIR
 *
 * Writes DIR as a layer to standard output. With --lower or --lower-image only what differs from
 * the tree before, with whiteouts for what is gone. The same tree gives the same bytes, whatever the machine.
 *
 * What is equal before and after is left out: type, mode, owner, time (to the second), extended
 * attributes, contents, and which names are links to one file. Values that an option sets are not
 * compared. A directory is in the layer when something of it changed or something below it is in
 * the layer. If one name of a file is in the layer, all its names in DIR are.
 *
 * Sockets are left out, and so is the file that the layer is written to. A name that begins with
 * .wh. is an error, and so is a file that changes while it is read; what was written then is no
 * whole archive.
 *
 * options:
 *   --lower DIR[:DIR]...        the tree before: a directory, or several, topmost first, merged as
 *                               overlayfs does it; "\" in front of a ":" that is part of a name
 *   --lower-image IMAGE         the tree before: what the layers of an image hold, which need not be
 *                               unpacked; IMAGE as for unpack, "-" is standard input
 *   --platform OS/ARCH[/VARIANT]
 *                               choose this platform of IMAGE (default: that of this machine)
 *   --upper                     DIR is the upper directory of an overlayfs mount over the tree
 *                               before; the layer is the one that comparing the mounted tree
 *                               gives. Without a tree before whiteouts and opaque directories
 *                               are written as they stand, which is not that layer
 *   --userxattr[=false]         overlayfs was mounted with the option userxattr, and its marks are
 *                               user.overlay.* attributes; else trusted.overlay.*, and the others
 *                               are some program's own. Default: as root trusted.overlay.*, with an
 *                               error for a mark of the other kind; elsewhere userxattr
 *   --compression-format gzip|zstd|none
 *                               (default: gzip)
 *   --compression-level N       1 to 9 for gzip (default: 6), 1 to 4 for zstd (default: 3)
 *   --exclude GLOB              leave out matching names, at any depth unless GLOB begins with /
 *                               (may be repeated)
 *   --owner ID, --group ID      owner and group of all entries, as numbers: names are looked up
 *                               nowhere (of tar's NAME:ID, ID counts)
 *   --mtime TIME                time of all entries: SECONDS or @SECONDS since 1970,
 *                               2024-05-06T07:08:09+02:00 or ...Z, or 2024-05-06[ 07:08[:09]] in UTC
 *   --prefix DIR                put DIR in front of all names, and look there in the tree before
 *   --map                       as an ordinary user: see ids as they are inside the user
 *                               namespace that unpack works in; device nodes, which unpack
 *                               leaves out there, are not told to be gone. Owners that are not
 *                               in it come out as 65534
 *   --digestfile FILE           write media type, digest, size and diff_id as JSON
 *   --stats                     tell how many bytes were read, hashed and compressed
 *
 * environment:
 *   SOURCE_DATE_EPOCH           times after this, in seconds since 1970, become it
 *   TMPDIR                      where waits what is too much for memory (default: /var/tmp)
 *
 * exit status:
 *   0    all went well
 *   64   wrong usage
 *   65   something in DIR that a layer cannot hold, or a bad IMAGE
 *   66   DIR or what stands for the tree before is not there
 *   73   a file cannot be created, or has no room
 *   74   reading or writing failed
 *   75   a file changed while it was read
 *   77   a permission is missing
 *
 * examples:
 *   mklayer --owner 0 --group 0 --prefix srv/app build > app.tar.gz
 *   mklayer --map --lower "$(unpack -l layout layers)" --upper upper > change.tar.gz
 */
#include <ctype.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/cli.h"
#include "libcommon/runtime.h"

enum {
	OPT_LOWER = CLI_OPT,
	OPT_LOWER_IMAGE,
	OPT_PLATFORM,
	OPT_UPPER,
	OPT_USERXATTR,
	OPT_FORMAT,
	OPT_LEVEL,
	OPT_EXCLUDE,
	OPT_OWNER,
	OPT_GROUP,
	OPT_MTIME,
	OPT_PREFIX,
	OPT_MAP,
	OPT_DIGESTFILE,
	OPT_STATS,
};

static const struct option options[] = {
	{ "lower", required_argument, NULL, OPT_LOWER },
	{ "lower-image", required_argument, NULL, OPT_LOWER_IMAGE },
	{ "platform", required_argument, NULL, OPT_PLATFORM },
	{ "upper", no_argument, NULL, OPT_UPPER },
	{ "userxattr", optional_argument, NULL, OPT_USERXATTR },
	{ "compression-format", required_argument, NULL, OPT_FORMAT },
	{ "compression-level", required_argument, NULL, OPT_LEVEL },
	{ "exclude", required_argument, NULL, OPT_EXCLUDE },
	{ "owner", required_argument, NULL, OPT_OWNER },
	{ "group", required_argument, NULL, OPT_GROUP },
	{ "mtime", required_argument, NULL, OPT_MTIME },
	{ "prefix", required_argument, NULL, OPT_PREFIX },
	{ "map", no_argument, NULL, OPT_MAP },
	{ "digestfile", required_argument, NULL, OPT_DIGESTFILE },
	{ "stats", no_argument, NULL, OPT_STATS },
	CLI_COMMON_OPTIONS,
};

static const char *lower, *lower_image, *dir, *digest_path;
static struct image_options image_options = { .verify = true };
static bool upper, map, stats;
static struct compression_choice compression = { .kind = COMPRESSION_GZIP };
static struct strs excludes;
static struct diff_options how;
static enum overlay_marks marks;

static enum compression format_of(const char *value)
{
	static const char *const names[] = { "none", "gzip", "zstd" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(value, names[i]) == 0)
			return (enum compression)i;
	die(64, "--compression-format: %s is not one of gzip, zstd, none", quoted_str(value));
}

static int64_t any_time(const char *value)
{
	struct err e = { 0 };
	int64_t t;

	if (time_seconds(value, &t, &e) < 0)
		die(64, "--mtime: %s", e.text);
	return t;
}

/* ID, or NAME:ID as tar has it, whose name no layer holds. "1:2" is somebody's owner and group. */
static uint32_t id_of(const char *option, const char *value)
{
	const char *colon = isdigit((unsigned char)*value) ? NULL : strchr(value, ':');
	const char *id = colon ? colon + 1 : value;

	id += *id == '+';
	if (!*id || strspn(id, "0123456789") < strlen(id))
		die(64,
		    "%s: %s is no number, and a layer has no names of users and groups (that of root is 0)",
		    option, quoted_str(value));
	return (uint32_t)cli_number(option, id, UINT32_MAX - 1);
}

/* As names in a layer are: no slash in front or at the end, no empty part, no dots. */
static const char *clean_prefix(const char *value)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct span rest = span_str(value), part;

	while (rest.n && span_cut(&rest, '/', &part)) {
		if (!part.n || span_is(part, "."))
			continue;
		if (span_is(part, "..") || span_starts(part, ".wh."))
			die(64, "--prefix: %s is no place in a layer", quoted_str(value));
		if (b.n)
			buf_addc(&b, '/');
		buf_add_span(&b, part);
	}
	return b.n ? buf_steal_str(&b) : NULL;
}

static void set_option(int opt)
{
	switch (opt) {
	case OPT_LOWER:
		lower = optarg;
		break;
	case OPT_LOWER_IMAGE:
		lower_image = optarg;
		break;
	case OPT_PLATFORM:
		image_options.want = cli_platform(optarg);
		break;
	case OPT_UPPER:
		upper = true;
		break;
	case OPT_USERXATTR:
		marks = cli_bool("--userxattr", optarg) ? MARKS_USER : MARKS_TRUSTED;
		break;
	case OPT_FORMAT:
		compression.kind = format_of(optarg);
		break;
	case OPT_LEVEL:
		compression.level = (int)cli_number("--compression-level", optarg, INT_MAX);
		if (!compression.level)
			die(64,
			    "--compression-level: 0 is no level (--compression-format none does not compress)");
		break;
	case OPT_EXCLUDE:
		strs_add(&excludes, optarg);
		break;
	case OPT_OWNER:
		how.has_uid = true;
		how.uid = id_of("--owner", optarg);
		break;
	case OPT_GROUP:
		how.has_gid = true;
		how.gid = id_of("--group", optarg);
		break;
	case OPT_MTIME:
		how.has_mtime = true;
		how.mtime = any_time(optarg);
		break;
	case OPT_PREFIX:
		how.prefix = clean_prefix(optarg);
		break;
	case OPT_MAP:
		map = true;
		break;
	case OPT_DIGESTFILE:
		digest_path = optarg;
		break;
	case OPT_STATS:
		stats = true;
		break;
	}
}

static void parse_options(int argc, char **argv)
{
	const char *epoch = getenv("SOURCE_DATE_EPOCH");
	struct err e = { 0 };

	for (int opt; (opt = cli_getopt(argc, argv, "", options)) != -1;)
		set_option(opt);
	if (argc - optind != 1)
		die(64, "%s (try --help)", argc == optind ? "DIR is missing" : "too many operands");
	dir = argv[optind];
	if (lower && lower_image)
		die(64, "only one of --lower and --lower-image");
	if (image_options.want.os[0] && !lower_image)
		die(64, "--platform goes with --lower-image");
	how.exclude = (const char *const *)excludes.v;
	if (epoch && *epoch) {
		how.has_clamp = true;
		how.clamp = (int64_t)cli_number("SOURCE_DATE_EPOCH", epoch, INT64_MAX);
	}
	int r = compression_check(&compression, &e);
	if (r < 0)
		die_err(r == E_USAGE ? "--compression-level" : "--compression-format", E_USAGE, &e);
}

static void enter_map(void)
{
	struct id_maps maps;
	struct err e = { 0 };

	if (!map || privileged())
		return;
	int r = id_maps_for_caller(&maps, &e);
	if (r == 0)
		r = userns_enter(&maps, &e);
	if (r < 0)
		die_err("--map", r, &e);
	how.no_devices = true;
}

/* The directories of a list as mount takes it for lowerdir. */
static struct before *open_lower(struct err *e)
{
	int dirs[500];
	size_t n = 0;
	struct before *b = NULL;

	for (const char *p = lower; *p || p == lower;) {
		_cleanup_(buf_release) struct buf name = BUF_INIT;
		for (; *p && *p != ':'; p++) {
			p += p[0] == '\\' && p[1];
			buf_addc(&name, *p);
		}
		p += *p == ':';
		if (n == ARRAY_LEN(dirs))
			die(64, "--lower: more than %zu directories", ARRAY_LEN(dirs));
		dirs[n] = dir_open(AT_FDCWD, buf_str(&name));
		if (dirs[n] < 0)
			die_err(quoted_str(buf_str(&name)), dirs[n], NULL);
		n++;
	}
	int r = before_from_dirs(dirs, n, upper || n > 1 ? marks : MARKS_NONE, &b, e);
	if (r < 0)
		die_err("--lower", r, e);
	while (n)
		fd_close(dirs[--n]);
	return b;
}

static struct before *open_lower_image(struct err *e)
{
	const struct apply_options *d = &cli_apply_defaults;
	const struct listing_options o = {
		.digests = true,
		.tar = d->tar,
		.decompress = d->decompress,
		.max_entries = d->max_entries,
		.max_total = d->max_total,
		.max_depth = d->max_depth,
	};
	struct listing *l = NULL;
	struct image *img;

	cli_image_open(lower_image, &image_options, &img);
	int r = listing_open(img, &o, &l, e);
	if (r < 0)
		die_err(quoted_str(lower_image), r, e);
	image_close(img);
	return before_from_listing(l, e);
}

static void write_digestfile(struct digestfile *f, const struct digest *digest, uint64_t size,
			     const struct digest *diff_id)
{
	static const char *const types[] = { MEDIA_OCI_LAYER, MEDIA_OCI_LAYER "+gzip",
					     MEDIA_OCI_LAYER "+zstd" };
	_cleanup_(json_out_release) struct json_out j = { 0 };
	char text[DIGEST_TEXT_MAX];

	json_begin(&j, '{');
	json_key(&j, "mediaType");
	json_put_str(&j, span_str(types[compression.kind]));
	json_key(&j, "digest");
	json_put_str(&j, span_str(digest_text(digest, text)));
	json_key(&j, "size");
	json_put_i64(&j, (int64_t)size);
	json_key(&j, "diffID");
	json_put_str(&j, span_str(digest_text(diff_id, text)));
	json_end(&j, '}');
	buf_addc(&j.b, '\n');
	cli_digestfile_write(f, buf_span(&j.b));
}

static void tell(const struct diff_stats *s, uint64_t plain, uint64_t made)
{
	if (s->output[0])
		say("the layer itself left out: %s", s->output);
	if (s->sockets == 1)
		say("socket left out: %s", s->first_socket);
	else if (s->sockets)
		say("%llu sockets left out, the first: %s", (unsigned long long)s->sockets,
		    s->first_socket);
	if (stats)
		cli_stats(&(struct blob_stats){
			.read = s->read,
			.hashed = plain + made + s->hashed,
			.compressed = compression.kind == COMPRESSION_NONE ? 0 : plain,
			.sent = made,
		});
}

int mklayer_main(int argc, char **argv)
{
	struct digestfile digests;
	struct stat output;
	struct diff_stats s = { 0 };
	struct err e = { 0 };
	struct digest digest = { .alg = HASH_SHA256 }, diff_id = { .alg = HASH_SHA256 };

	parse_options(argc, argv);
	cli_need_stdout_not_tty();
	if (fstat(STDOUT_FILENO, &output) == 0)
		how.output = &output;
	cli_digestfile_open(&digests, digest_path);
	enter_map();
	if (marks == MARKS_NONE)
		marks = sees_trusted_xattrs() ? MARKS_EITHER : MARKS_USER;
	how.marks = marks;
	int fd = dir_open(AT_FDCWD, dir);
	if (fd < 0)
		die_err(quoted_str(dir), fd, NULL);
	struct before *before = lower ? open_lower(&e) : NULL;
	cli_jail(&digests.dir, 1, CLI_JAIL_SPOOL);
	if (lower_image)
		before = open_lower_image(&e);
	struct sink *made = sink_hash(sink_from_fd(STDOUT_FILENO, false), HASH_SHA256);
	struct sink *plain = sink_hash(sink_compress(made, &compression, cpu_count()), HASH_SHA256);
	int r = diff_write(fd, upper ? DIFF_UPPER : DIFF_TREE, before, &how, plain, &s, &e);
	/* a tree that is no layer is told as that, also where its end could not be written */
	if (r < 0)
		die_err(plain->err == r ? "standard output" : dir, r, plain->err == r ? NULL : &e);
	sink_hash_final(made, digest.v);
	sink_hash_final(plain, diff_id.v);
	tell(&s, plain->offset, made->offset);
	write_digestfile(&digests, &digest, made->offset, &diff_id);
	sink_close(plain);
	before_close(before);
	return 0;
}
