/*
 * pull - fetch an image from a registry
 *
 * config:
 *   default y
 *   select REGISTRY
 *
 * usage: pull [OPTION]... REFERENCE
 * usage: pull [OPTION]... -o LAYOUT[:TAG] REFERENCE
 *
 * Writes the image that REFERENCE names to standard output as an image stream, or into an OCI image
 * layout with -o. Every byte is checked against its digest; a stream in which a blob is wrong ends
 * early, and into a layout nothing wrong gets.
 *
 * REFERENCE is [HOST[:PORT]/]PATH[:TAG][@DIGEST] with the usual defaults: alpine is
 * docker.io/library/alpine:latest. A digest that is given is enforced.
 *
 * Credentials are taken from the first of these that has an entry for the repository: --creds-fd,
 * --authfile, $REGISTRY_AUTH_FILE, $DOCKER_AUTH_CONFIG, $DOCKER_CONFIG/config.json,
 * $XDG_RUNTIME_DIR/containers/auth.json (or /run/containers/UID/auth.json) and
 * ~/.docker/config.json. In place of a file, a directory with a .dockerconfigjson serves, too. In a
 * file the entry with the longest path wins; credential helpers are asked as docker does, and one
 * that fails ends the pull.
 *
 * options:
 *   -o, --output LAYOUT[:TAG]   write into an image layout, under TAG (default: the reference's).
 *                               Blobs that it holds already are not fetched, and a pull that was
 *                               ended goes on where it was
 *   --platform OS/ARCH[/VARIANT]
 *                               choose this platform (default: that of this machine)
 *   --all-platforms             take an index with everything that it names
 *   --referrers[=TYPE]          take what refers to it in its place, such as signatures and bills of
 *                               material (of this artifact type): an index of them, and all that
 *                               they name. With --platform, what refers to that image of an index
 *   --jobs N                    fetch N blobs at a time (default: 4)
 *   --digestfile FILE           write the digest of the manifest or index that was taken
 *   --verify                    with -o: read and check blobs that the layout holds already
 *   --sync                      with -o: make it last through a power failure
 *   --progress auto|plain|json|none
 *                               auto: draw on standard error if that is a terminal
 *   --progress-fd N             write progress as JSON Lines to descriptor N
 *
 * registry:
 *   --authfile FILE             credentials in the format of containers-auth.json(5)
 *   --creds-fd N                read USER:PASSWORD from descriptor N, for REFERENCE's registry only
 *   --auth-trace                tell which credential goes where, without the secret
 *   --cacert FILE               trust the CAs in this PEM file instead of the system's
 *   --cert-dir DIR              trust the *.crt files in DIR, too
 *   --tls-verify=false          do not check certificates
 *   --plain-http                speak HTTP without TLS, also to hosts that are not this one
 *   --registries FILE           mirrors; a line is PREFIX MIRROR[/PATH]... [only]
 *
 * limits:
 *   --spool-max SIZE            most bytes that wait in TMPDIR for their turn in the stream
 *                               (default: 256M; 0 where TMPDIR is missing or in memory)
 *   --max-referrers N           most referrers that are taken (default: 1000)
 *   --max-referrers-size SIZE   most bytes that they have together (default: 1G)
 *   --retries N                 further tries of a request that failed (default: 5)
 *   --deadline TIME             give up after this time (default: none)
 *   --min-rate SIZE             give up a transfer that is slower per second (default: 1k; 0: none)
 *
 * environment:
 *   HTTPS_PROXY, HTTP_PROXY, NO_PROXY
 *                               proxies, as curl has them
 *   SSL_CERT_FILE               trusted CAs
 *   TMPDIR                      where blobs wait that come too early (default: /var/tmp)
 *
 * exit status:
 *   0    all went well
 *   64   usage
 *   65   bad data, or a wrong digest
 *   66   no such image, tag or platform
 *   69   the registry cannot be reached
 *   71   the system refuses what is needed
 *   73   the layout cannot be created or has no room
 *   74   reading or writing failed
 *   75   over the deadline or a rate; try later
 *   76   the registry breaks the protocol
 *   77   access denied, by the registry or to a file
 *
 * examples:
 *   pull debian:12 | unpack rootfs
 *   pull --platform linux/arm64 -o images:app reg.example/app:1
 *   pull --creds-fd 3 reg.example/app:1 3<secret | podman load
 *   pull --referrers=application/spdx+json -o sboms reg.example/app:1
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/cli.h"
#include "libcommon/registry.h"
#include "libcommon/runtime.h"

struct pull {
	const char *reference_arg, *output, *registries, *platform;
	const char *tag; /* of output, or NULL */
	char *layout;	 /* its path */
	struct reference reference;
	struct registry_cli cli;
	struct selection_options selection;
	struct fetch_options fetch;
	bool spool_given;

	struct registry *r;
	struct selection sel;
	struct meter *meters;
};

enum {
	OPT_PLATFORM = CLI_OPT,
	OPT_ALL,
	OPT_REFERRERS,
	OPT_MAX_REFERRERS,
	OPT_MAX_REFERRERS_SIZE,
	OPT_VERIFY,
	OPT_SYNC,
	OPT_REGISTRIES,
	OPT_SPOOL_MAX,
};

static const struct option long_options[] = {
	{ "output", required_argument, NULL, 'o' },
	{ "platform", required_argument, NULL, OPT_PLATFORM },
	{ "all-platforms", no_argument, NULL, OPT_ALL },
	{ "referrers", optional_argument, NULL, OPT_REFERRERS },
	{ "max-referrers", required_argument, NULL, OPT_MAX_REFERRERS },
	{ "max-referrers-size", required_argument, NULL, OPT_MAX_REFERRERS_SIZE },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "sync", no_argument, NULL, OPT_SYNC },
	{ "registries", required_argument, NULL, OPT_REGISTRIES },
	{ "spool-max", required_argument, NULL, OPT_SPOOL_MAX },
	CLI_TRANSFER_OPTIONS,
	CLI_REGISTRY_OPTIONS,
	CLI_COMMON_OPTIONS,
};

static _noreturn_ void fail(struct pull *p, int code, const struct err *e)
{
	cli_registry_fail(&p->cli, p->reference_arg, code, e);
}

/* What an image says of its own platform. An index was chosen from by its word, so that a config
 * that says otherwise is only told. */
static int check_platform(void *arg, struct buf *raw, struct err *e)
{
	const struct pull *p = arg;
	_cleanup_(config_release) struct config config = { 0 };
	const char *type = p->sel.manifest->config.media_type;
	char have[100], want[100];

	if (strcmp(type, MEDIA_OCI_CONFIG) && strcmp(type, MEDIA_DOCKER_CONFIG))
		return 0;
	int r = config_parse(raw, &config, e);
	if (r < 0)
		return r;
	if (!*config.platform.arch || platform_match(&p->selection.want, &config.platform))
		return 0;
	platform_text(&config.platform, have);
	platform_text(&p->selection.want, want);
	if (p->platform && !p->sel.has_platform && !p->selection.all_platforms)
		return err_set(e, E_NOT_FOUND, "the image is for %s, not %s", have, want);
	warn("%s: its config says that it is for %s, not %s", p->reference_arg, have, want);
	return 0;
}

static void parse_options(struct pull *p, int argc, char **argv)
{
	int opt;

	*p = (struct pull){
		.fetch = { .spool_max = MIB(256) },
		.selection = { .max_referrers = 1000, .max_referrers_size = MIB(1024) },
	};
	cli_registry_init(&p->cli);
	platform_host(&p->selection.want);
	/* clang-format off */
	while ((opt = cli_getopt(argc, argv, "o:", long_options)) != -1) {
		switch (opt) {
		case 'o': p->output = optarg; break;
		case OPT_PLATFORM: p->selection.want = cli_platform(p->platform = optarg); break;
		case OPT_ALL: p->selection.all_platforms = true; break;
		case OPT_REFERRERS:
			p->selection.referrers = true;
			p->selection.referrers_type = optarg;
			break;
		case OPT_MAX_REFERRERS:
			p->selection.max_referrers = cli_number("--max-referrers", optarg, 65536);
			break;
		case OPT_MAX_REFERRERS_SIZE:
			p->selection.max_referrers_size = cli_size("--max-referrers-size", optarg);
			break;
		case OPT_VERIFY: p->fetch.verify = true; break;
		case OPT_SYNC: p->fetch.sync = true; break;
		case OPT_REGISTRIES: p->registries = optarg; break;
		case OPT_SPOOL_MAX:
			p->fetch.spool_max = cli_size("--spool-max", optarg);
			p->spool_given = true;
			break;
		default: cli_registry_option(&p->cli, opt);
		}
	}
	/* clang-format on */
	if (argc - optind != 1)
		die(64, optind < argc ? "more than one reference (try --help)"
				      : "no reference (try --help)");
	p->reference_arg = argv[optind];
	cli_registry_check(&p->cli);
	if (p->output)
		cli_layout_operand(p->output, &p->layout, &p->tag);
	if (!p->spool_given && !spool_dir_is_disk())
		p->fetch.spool_max = 0;
	p->selection.choose = p->platform;
	p->fetch.jobs = p->cli.jobs;
	p->fetch.deadline_ms = p->cli.registry.deadline_ms;
	p->fetch.check_config = check_platform;
	p->fetch.check_arg = p;
}

static void start_progress(struct pull *p)
{
	size_t n = p->sel.blobs_n;

	p->fetch.meters = p->meters = xcalloc(n ? n : 1, sizeof(*p->meters));
	for (size_t i = 0; i < n; i++)
		cli_meter_name(&p->meters[i], &p->sel.blobs[i]);
	cli_registry_begin(&p->cli, p->meters, n);
}

/* A layout that is yet to be made needs the directory that it will be in. */
static void close_door(struct pull *p)
{
	_cleanup_(fd_closep) int fd = p->layout ? dir_open(AT_FDCWD, p->layout) : -1;

	if (p->layout && fd < 0)
		fd = cli_open_parent(p->layout);
	cli_registry_jail(&p->cli, fd, !p->layout && p->fetch.spool_max);
}

static void write_stream(struct pull *p)
{
	_cleanup_(sink_closep) struct sink *out = sink_from_fd(STDOUT_FILENO, false);
	_cleanup_(freep) char *name = NULL;
	struct err e = { 0 };

	start_progress(p);
	/* the referrers are not what the tag names */
	if (p->reference.tag && !p->selection.referrers)
		name = xasprintf("%s/%s:%s", p->reference.domain, p->reference.repository,
				 p->reference.tag);
	int r = fetch_image_to_stream(p->r, &p->sel, out, name, &p->fetch, &e);
	if (r < 0)
		fail(p, r, &e);
}

static void write_layout(struct pull *p)
{
	_cleanup_(layout_close) struct layout l = { 0 };
	struct err e = { 0 };

	int r = layout_open(p->layout, true, &l, &e);
	if (r < 0)
		die_output(quoted_str(p->layout), r, &e);
	cli_registry_jail(&p->cli, l.dirfd, false);
	start_progress(p);
	layout_clean(&l);
	r = fetch_image_to_layout(p->r, &p->sel, &l,
				  p->tag || p->selection.referrers ? p->tag : p->reference.tag,
				  &p->fetch, &e);
	if (r < 0)
		fail(p, r, &e);
}

/* ---- all of it ---- */

static void summary(const struct pull *p, uint64_t began)
{
	char digest[DIGEST_TEXT_MAX], size[16], there[48] = "";
	uint64_t bytes = 0, ms = clock_ms() - began;
	size_t had = 0, layers = p->sel.layers_n;

	for (size_t i = 0; i < p->sel.blobs_n; i++) {
		bytes += p->sel.blobs[i].size;
		had += p->meters[i].state == METER_EXISTS;
	}
	if (p->sel.dropped)
		warn("%s: %zu listed as referrers are gone, or refer to something else",
		     p->reference_arg, p->sel.dropped);
	if (had)
		snprintf(there, sizeof(there), " (%zu already there)", had);
	say("%s: %s %zu layer%s, %s in %u.%u s%s", p->reference_arg,
	    digest_text(&p->sel.top->digest, digest), layers, layers == 1 ? "" : "s",
	    num_human(bytes, size), (unsigned)(ms / 1000), (unsigned)(ms % 1000 / 100), there);
}

int pull_main(int argc, char **argv)
{
	uint64_t began = clock_ms();
	struct pull p;
	struct err e = { 0 };

	parse_options(&p, argc, argv);
	int r = reference_parse(p.reference_arg, &p.reference, &e);
	if (r < 0)
		die_err(NULL, r, &e);
	if (!p.output)
		cli_need_stdout_not_tty();
	cli_registry_credentials(&p.cli, p.reference.domain);
	if (p.registries)
		r = mirrors_open(p.registries, &p.cli.registry.mirrors, &e);
	if (r < 0)
		die_err(NULL, r, &e);
	close_door(&p);
	r = registry_open(&p.reference, &p.cli.registry, &p.r, &e);
	if (!r)
		r = registry_select(p.r, &p.reference, &p.selection, &p.sel, &e);
	if (r < 0)
		fail(&p, r, &e);
	if (p.output)
		write_layout(&p);
	else
		write_stream(&p);
	cli_registry_end(&p.cli);
	cli_digestfile_digest(&p.cli.digestfile, &p.sel.top->digest);
	summary(&p, began);
	registry_close(p.r);
	credentials_close(p.cli.registry.credentials);
	mirrors_close(p.cli.registry.mirrors);
	return 0;
}
