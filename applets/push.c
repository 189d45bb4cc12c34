/*
 * push - send an image to a registry
 *
 * config:
 *   default y
 *   select REGISTRY
 *
 * usage: push [OPTION]... [IMAGE] REFERENCE
 * usage: push --artifact-type TYPE [--subject DIGEST] [OPTION]... REFERENCE [FILE[:TYPE]]...
 *
 * Sends what IMAGE names (- or nothing: the image stream on standard input; a file that holds one;
 * a layout as DIR, DIR:TAG or DIR@DIGEST), an index with all that it names, and writes the digest
 * to standard output. What the registry has is not sent, and what another of its repositories is
 * known to have is mounted from there. The tag comes last: until then nothing is visible.
 *
 * Every byte is checked against its digest before the upload of its blob is closed. An upload that
 * breaks goes on where it was. Blobs that come through a pipe wait in TMPDIR until they are sent.
 *
 * With --artifact-type the FILEs become an artifact, such as a signature or a bill of material,
 * that refers to the manifest --subject, which is in the same repository; pull --referrers finds
 * it. It gets no tag unless REFERENCE names one. A file's name without its directory becomes its
 * title. Where there is no file of the name FILE:TYPE, TYPE is its media type. A registry that does
 * not list referrers has an index of them under a tag, which is written over what was read; two who
 * do that at once to a registry without conditional writes look again, and one may be told to.
 *
 * Credentials are looked for as by pull; login writes them.
 *
 * options:
 *   --additional-tag TAG        give it this tag, too; may be repeated
 *   --mount-from REPOSITORY     a repository of the same registry that may have some of the blobs;
 *                               may be repeated
 *   --platform OS/ARCH[/VARIANT]
 *                               of an index send only the image of this platform
 *   --chunk-size SIZE           send blobs in requests of this size, at least 64k (default: in one,
 *                               or in chunks where the registry refuses that)
 *   --jobs N                    send N blobs at a time (default: 4)
 *   --digestfile FILE           write the digest to FILE, too
 *   --stats                     tell on standard error how many bytes were read, hashed and so on
 *   --progress auto|plain|json|none
 *                               auto: draw on standard error if that is a terminal
 *   --progress-fd N             write progress as JSON Lines to descriptor N
 *
 * artifacts:
 *   --artifact-type TYPE        the media type that tells what it is
 *   --subject DIGEST            the manifest or index that it is about
 *   --annotation KEY=VALUE      of the artifact's manifest; may be repeated
 *
 * registry:
 *   --authfile FILE             credentials in the format of containers-auth.json(5)
 *   --creds-fd N                read USER:PASSWORD from descriptor N, for REFERENCE's registry only
 *   --auth-trace                tell which credential goes where, without the secret
 *   --cacert FILE               trust the CAs in this PEM file instead of the system's
 *   --cert-dir DIR              trust the *.crt files in DIR, too
 *   --tls-verify=false          do not check certificates
 *   --plain-http                speak HTTP without TLS, also to hosts that are not this one
 *
 * limits:
 *   --spool-max SIZE            most bytes that wait in TMPDIR; one blob always may (default: 2G)
 *   --retries N                 further tries of a request that failed (default: 5)
 *   --deadline TIME             give up after this time (default: none)
 *   --min-rate SIZE             give up a transfer that is slower per second (default: 1k; 0: none)
 *
 * environment:
 *   HTTPS_PROXY, HTTP_PROXY, NO_PROXY
 *                               proxies, as curl has them
 *   SSL_CERT_FILE               trusted CAs
 *   TMPDIR                      where a pipe's blobs wait (default: /var/tmp)
 *
 * exit status:
 *   0    all went well
 *   64   usage
 *   65   bad data, or a wrong digest
 *   66   no such image, or standard input is empty
 *   69   the registry cannot be reached
 *   71   the system refuses what is needed
 *   73   the digest's file cannot be created, or TMPDIR has no room
 *   74   reading or writing failed
 *   75   over the deadline or a rate; try later
 *   76   the registry breaks the protocol
 *   77   access denied, by the registry or to a file
 *
 * examples:
 *   push images:app reg.example/app:1
 *   cat app.tar | push --mount-from team/base reg.example/app:2
 *   push --artifact-type application/spdx+json --subject sha256:... reg.example/app sbom.json
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/cli.h"
#include "libcommon/registry.h"

struct push_cli {
	const char *image_arg, *reference_arg, *subject_arg;
	char **files;
	size_t files_n;
	struct reference reference;
	struct registry_cli cli;
	struct image_options image;
	struct push_options push;
	struct strs tags, mount_from, annotations;
	struct artifact artifact;
	bool stats_wanted;

	struct registry *r;
	struct image *img;
	struct document artifact_doc, subject_doc;
	const struct document *docs[1];
	struct push plan;
	struct push_stats stats;
	struct meter *meters;
};

enum { CHUNK_MIN = 64 << 10 };

enum {
	OPT_TAG = CLI_OPT,
	OPT_MOUNT_FROM,
	OPT_PLATFORM,
	OPT_CHUNK_SIZE,
	OPT_STATS,
	OPT_ARTIFACT_TYPE,
	OPT_SUBJECT,
	OPT_ANNOTATION,
	OPT_SPOOL_MAX,
};

static const struct option long_options[] = {
	{ "additional-tag", required_argument, NULL, OPT_TAG },
	{ "mount-from", required_argument, NULL, OPT_MOUNT_FROM },
	{ "platform", required_argument, NULL, OPT_PLATFORM },
	{ "chunk-size", required_argument, NULL, OPT_CHUNK_SIZE },
	{ "stats", no_argument, NULL, OPT_STATS },
	{ "artifact-type", required_argument, NULL, OPT_ARTIFACT_TYPE },
	{ "subject", required_argument, NULL, OPT_SUBJECT },
	{ "annotation", required_argument, NULL, OPT_ANNOTATION },
	{ "spool-max", required_argument, NULL, OPT_SPOOL_MAX },
	CLI_TRANSFER_OPTIONS,
	CLI_REGISTRY_OPTIONS,
	CLI_COMMON_OPTIONS,
};

static _noreturn_ void fail(struct push_cli *p, int code, const struct err *e)
{
	cli_registry_fail(&p->cli, p->reference_arg, code, e);
}

/* ---- the command line ---- */

static void add_tag(struct push_cli *p, const char *tag)
{
	if (!tag_valid(span_str(tag)))
		die(64, "--additional-tag: \"%s\" is no tag", quoted_str(tag));
	strs_add(&p->tags, tag);
}

/* A repository of the registry that is pushed to, whose name may stand before it. */
static void add_mount(struct push_cli *p, const char *name)
{
	struct err e = { 0 };
	struct reference ref;
	struct span host = span_str(p->reference.domain), s = span_str(name);

	if (s.n > host.n && s.p[host.n] == '/' && span_eq(span_of(s.p, host.n), host))
		s = span_tail(s, host.n + 1);
	_cleanup_(freep) char *text = xasprintf("%s/%.*s", p->reference.domain, (int)s.n, s.p);
	int r = reference_parse(text, &ref, &e);
	if (r < 0)
		die_err("--mount-from", r, &e);
	strs_add(&p->mount_from, ref.repository);
	reference_release(&ref);
}

static void parse_reference(struct push_cli *p, bool artifact)
{
	struct err e = { 0 };
	struct strs more = p->tags;
	int r = reference_parse(p->reference_arg, &p->reference, &e);

	if (r < 0)
		die_err(NULL, r, &e);
	p->tags = (struct strs){ 0 };
	/* an artifact is not to become "latest" unasked */
	bool named = p->reference.tag && (strcmp(p->reference.tag, "latest") ||
					  span_ends(span_str(p->reference_arg), ":latest"));
	if (p->reference.tag && (named || !artifact))
		strs_add(&p->tags, p->reference.tag);
	for (size_t i = 0; i < more.n; i++)
		strs_add(&p->tags, more.v[i]);
	strs_release(&more);
}

/* A lone operand is a REFERENCE; where that is no name of one, or nothing comes in, it was meant as IMAGE. */
static void refuse_lone_image(const char *operand)
{
	_cleanup_(freep) char *path = xstrdup(operand);
	struct stat st, in;

	path[strcspn(path, ":@")] = '\0';
	if (stat(operand, &st) < 0 && stat(path, &st) < 0)
		return;
	if (*path == '.' || *path == '/' || (fstat(STDIN_FILENO, &in) == 0 && S_ISCHR(in.st_mode)))
		die(64, "%s is here: to which REFERENCE shall it go? (push IMAGE REFERENCE)",
		    quoted_str(operand));
}

static void parse_operands(struct push_cli *p, int argc, char **argv)
{
	int n = argc - optind;
	bool artifact = p->artifact.type;

	if (!artifact && (p->subject_arg || p->annotations.n))
		die(64, "--subject and --annotation are for artifacts: give --artifact-type, too");
	if (artifact && !p->image.whole)
		die(64, "--platform is for images, not for artifacts");
	if (n < 1)
		die(64, "no reference (try --help)");
	if (!artifact && n > 2)
		die(64, "more than an image and a reference (try --help)");
	if (artifact) {
		p->files = argv + optind + 1;
		p->files_n = (size_t)n - 1;
	} else if (n == 2) {
		p->image_arg = argv[optind];
	} else {
		refuse_lone_image(argv[optind]);
	}
	p->reference_arg = argv[artifact ? optind : argc - 1];
	parse_reference(p, artifact);
}

static void parse_options(struct push_cli *p, int argc, char **argv)
{
	struct strs mounts = { 0 };
	int opt;

	*p = (struct push_cli){ .image.whole = true, .push.spool_max = MIB(2048) };
	cli_registry_init(&p->cli);
	/* clang-format off */
	while ((opt = cli_getopt(argc, argv, "", long_options)) != -1) {
		switch (opt) {
		case OPT_TAG: add_tag(p, optarg); break;
		case OPT_MOUNT_FROM: strs_add(&mounts, optarg); break;
		case OPT_PLATFORM:
			p->image.want = cli_platform(optarg);
			p->image.whole = false;
			break;
		case OPT_CHUNK_SIZE:
			p->push.chunk = cli_size("--chunk-size", optarg);
			if (p->push.chunk < CHUNK_MIN)
				die(64, "--chunk-size: %s: at least 64k", quoted_str(optarg));
			break;
		case OPT_STATS: p->stats_wanted = true; break;
		case OPT_ARTIFACT_TYPE: p->artifact.type = optarg; break;
		case OPT_SUBJECT: p->subject_arg = optarg; break;
		case OPT_ANNOTATION:
			if (span_find(span_str(optarg), '=') - 1 >= strlen(optarg) - 1)
				die(64, "--annotation: %s is not KEY=VALUE", quoted_str(optarg));
			strs_add(&p->annotations, optarg);
			break;
		case OPT_SPOOL_MAX: p->push.spool_max = cli_size("--spool-max", optarg); break;
		default: cli_registry_option(&p->cli, opt);
		}
	}
	/* clang-format on */
	parse_operands(p, argc, argv);
	for (size_t i = 0; i < mounts.n; i++)
		add_mount(p, mounts.v[i]);
	strs_release(&mounts);
	cli_registry_check(&p->cli);
	if (p->cli.creds.creds_fd == STDIN_FILENO && !p->artifact.type &&
	    (!p->image_arg || !strcmp(p->image_arg, "-")))
		die(64, "standard input can be read only once: for --creds-fd or for the image");
	p->push.jobs = p->cli.jobs;
	p->push.mount_from = (const char *const *)p->mount_from.v;
}

/* ---- what is sent ---- */

/* What the reference says that it is, before anything is sent. */
static void check_digest(struct push_cli *p)
{
	const struct digest *is = &p->plan.docs[0]->digest;
	char text[DIGEST_TEXT_MAX];
	struct err e = { 0 };

	if (!p->reference.has_digest || digest_eq(&p->reference.digest, is))
		return;
	err_set(&e, E_DIGEST, "the %s is %s", p->artifact.type ? "artifact" : "image",
		digest_text(is, text));
	fail(p, E_DIGEST, &e);
}

static void open_image(struct push_cli *p)
{
	size_t n;

	cli_image_open(p->image_arg, &p->image, &p->img);
	p->plan.img = p->img;
	p->plan.docs = image_documents(p->img, &n);
	p->plan.docs_n = n;
	if (!p->image.whole) {
		p->docs[0] = image_manifest(p->img);
		p->plan.docs = p->docs;
		p->plan.docs_n = 1;
	}
	check_digest(p);
}

static bool is_media_type(const char *s)
{
	const char *slash = strchr(s, '/');

	return slash && slash > s && slash[1] && media_type_valid(span_str(s));
}

/* FILE where there is one of that name, else FILE:TYPE. */
static void open_file(char *arg, struct artifact_file *f)
{
	char *colon = strrchr(arg, ':'), *slash;
	struct stat st;

	f->type = "application/octet-stream";
	if (colon && is_media_type(colon + 1) && access(arg, F_OK) < 0) {
		*colon = '\0';
		f->type = colon + 1;
	}
	f->fd = open(arg, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (f->fd < 0 || fstat(f->fd, &st) < 0)
		die_err(quoted_str(arg), -errno, NULL);
	if (!S_ISREG(st.st_mode))
		die(66, "%s: not a regular file", quoted_str(arg));
	slash = strrchr(arg, '/');
	f->title = slash ? slash + 1 : arg;
}

static void open_artifact(struct push_cli *p)
{
	struct artifact_file *files = xcalloc(p->files_n + 1, sizeof(*files));
	struct err e = { 0 };
	int r = 0;

	if (!is_media_type(p->artifact.type))
		die(64, "--artifact-type: %s is no media type", quoted_str(p->artifact.type));
	for (size_t i = 0; i < p->files_n; i++)
		open_file(p->files[i], &files[i]);
	p->artifact.files = files;
	p->artifact.files_n = p->files_n;
	p->artifact.annotations = (const char *const *)p->annotations.v;
	if (p->subject_arg) {
		struct digest d;

		if (digest_parse(span_str(p->subject_arg), &d) < 0 &&
		    !tag_valid(span_str(p->subject_arg)))
			die(64, "--subject: %s is no digest", quoted_str(p->subject_arg));
		r = registry_get_document(p->r, p->subject_arg, &p->subject_doc, &e);
		if (r < 0) {
			err_prefix(&e, "--subject %s", quoted_str(p->subject_arg));
			fail(p, r, &e);
		}
		p->artifact.subject = &p->subject_doc;
	}
	r = artifact_document(&p->artifact, &p->artifact_doc, &e);
	if (r < 0)
		fail(p, r, &e);
	p->docs[0] = &p->artifact_doc;
	p->plan.docs = p->docs;
	p->plan.docs_n = 1;
	check_digest(p);
}

static void on_signal(void *arg)
{
	push_abandon(&((struct push_cli *)arg)->plan);
}

static void send_all(struct push_cli *p)
{
	struct err e = { 0 };
	int r = push_plan(&p->plan, p->reference.domain, &e);

	if (!r && p->artifact.type)
		r = artifact_plan(&p->artifact, &p->plan, &e);
	if (r < 0)
		fail(p, r, &e);
	p->push.tags = p->tags.v ? (const char *const *)p->tags.v : (const char *const[]){ NULL };
	p->push.meters = p->meters = xcalloc(p->plan.blobs_n + 1, sizeof(*p->meters));
	for (size_t i = 0; i < p->plan.blobs_n; i++)
		cli_meter_name(&p->meters[i], p->plan.blobs[i].d);
	cli_registry_begin(&p->cli, p->meters, p->plan.blobs_n);
	cli_on_signal(on_signal, p);
	r = push_run(p->r, &p->plan, &p->push, &p->stats, &e);
	if (r < 0)
		fail(p, r, &e);
	cli_registry_end(&p->cli);
}

static void summary(const struct push_cli *p, uint64_t began)
{
	_cleanup_(buf_release) struct buf more = BUF_INIT;
	const struct push_stats *s = &p->stats;
	uint64_t ms = clock_ms() - began, sent = registry_stats(p->r)->sent;
	size_t layers = p->plan.layers_n;
	char size[16];

	if (s->exist)
		buf_addf(&more, ", %llu already there", (unsigned long long)s->exist);
	if (s->mounted)
		buf_addf(&more, ", %llu mounted", (unsigned long long)s->mounted);
	if (p->plan.foreign_n)
		buf_addf(&more, ", %zu not for distribution left out", p->plan.foreign_n);
	say("%s: %zu layer%s, %s sent in %u.%u s%s", p->reference_arg, layers,
	    layers == 1 ? "" : "s", num_human(sent, size), (unsigned)(ms / 1000),
	    (unsigned)(ms % 1000 / 100), buf_str(&more));
	if (p->stats_wanted)
		cli_stats(&(struct blob_stats){ .read = s->read,
						.hashed = s->hashed,
						.spooled = s->spooled,
						.sent = sent });
}

int push_main(int argc, char **argv)
{
	uint64_t began = clock_ms();
	char text[DIGEST_TEXT_MAX];
	struct push_cli p;
	struct err e = { 0 };

	parse_options(&p, argc, argv);
	if (!p.artifact.type)
		open_image(&p);
	cli_registry_credentials(&p.cli, p.reference.domain);
	cli_registry_jail(&p.cli, -1, !p.img || !image_random_access(p.img));
	int r = registry_open(&p.reference, &p.cli.registry, &p.r, &e);
	if (r < 0)
		fail(&p, r, &e);
	if (p.artifact.type)
		open_artifact(&p);
	send_all(&p);

	const struct digest *digest = &p.plan.docs[0]->digest;
	cli_digestfile_digest(&p.cli.digestfile, digest);
	if (dprintf(STDOUT_FILENO, "%s\n", digest_text(digest, text)) < 0)
		die_err("standard output", -errno, NULL);
	summary(&p, began);
	push_release(&p.plan);
	registry_close(p.r);
	credentials_close(p.cli.registry.credentials);
	image_close(p.img);
	return 0;
}
