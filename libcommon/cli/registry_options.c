/* What the applets that talk to a registry share: options, and opening the repository. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/cli.h"

static void trace(void *arg, const char *line)
{
	dprintf(STDERR_FILENO, "%s: %s\n", applet_name, line);
}

void cli_registry_init(struct registry_cli *c)
{
	*c = (struct registry_cli){
		.creds = { .creds_fd = -1 },
		.registry = { .tls_verify = true, .retries = 5, .min_rate = 1024, .trace = trace },
		.jobs = 4,
		.progress_fd = STDERR_FILENO,
		.digestfile = { .fd = -1, .dir = -1 },
	};
}

/* Not shown where it is none: others have --creds USER:PASSWORD, which getopt takes for this. */
static int descriptor(const char *value)
{
	uint64_t fd;

	if (num_u64(span_str(value), INT32_MAX, &fd) < 0)
		die(64, "--creds-fd: not the number of a descriptor (as --creds-fd 3 with 3<FILE)");
	return (int)fd;
}

/* Said at once, and not when the first connection wants it. */
static void need_path(const char *option, const char *path)
{
	int r = path && access(path, R_OK) < 0 ? -errno : 0;

	if (r < 0)
		die(exit_status(r), "%s %s: %s", option, quoted_str(path), err_word(r));
}

bool cli_registry_option(struct registry_cli *c, int opt)
{
	struct registry_options *o = &c->registry;

	/* clang-format off */
	switch (opt) {
	case CLI_OPT_REGISTRY: c->creds.authfile = optarg; break;
	case CLI_OPT_REGISTRY + 1: c->creds.creds_fd = descriptor(optarg); break;
	case CLI_OPT_REGISTRY + 2: o->trace_auth = true; break;
	case CLI_OPT_REGISTRY + 3: o->cacert = optarg; break;
	case CLI_OPT_REGISTRY + 4: o->cert_dir = optarg; break;
	case CLI_OPT_REGISTRY + 5: o->tls_verify = cli_bool("--tls-verify", optarg); break;
	case CLI_OPT_REGISTRY + 6: o->plain_http = true; break;
	case CLI_OPT_REGISTRY + 7: o->retries = (unsigned)cli_number("--retries", optarg, 1000); break;
	case CLI_OPT_REGISTRY + 8: o->deadline_ms = cli_duration_ms("--deadline", optarg); break;
	case CLI_OPT_TRANSFER: c->jobs = (unsigned)cli_number("--jobs", optarg, 64); break;
	case CLI_OPT_TRANSFER + 1: c->digestfile.path = optarg; break;
	case CLI_OPT_TRANSFER + 2: c->progress_mode = cli_progress_mode(optarg); break;
	case CLI_OPT_TRANSFER + 3:
		c->progress_fd = (int)cli_number("--progress-fd", optarg, INT32_MAX);
		c->progress_mode = PROGRESS_JSON;
		break;
	case CLI_OPT_TRANSFER + 4: o->min_rate = cli_size("--min-rate", optarg); break;
	default: return false;
	}
	/* clang-format on */
	return true;
}

void cli_registry_check(struct registry_cli *c)
{
	if (!c->jobs)
		die(64, "--jobs: 0 is too few");
	if (fcntl(c->progress_fd, F_GETFD) < 0)
		die(64, "--progress-fd: descriptor %d is not open", c->progress_fd);
	need_path("--cacert", c->registry.cacert);
	need_path("--cert-dir", c->registry.cert_dir);
	cli_digestfile_open(&c->digestfile, c->digestfile.path);
	c->registry.trace_requests = cli_debug;
}

void cli_registry_credentials(struct registry_cli *c, const char *domain)
{
	struct err e = { 0 };

	c->creds.creds_domain = domain;
	int r = credentials_open(&c->creds, &c->registry.credentials, &e);
	if (r < 0)
		die_err(NULL, r, &e);
}

void cli_registry_jail(struct registry_cli *c, int dir, bool spool)
{
	if (!credentials_have_helpers(c->registry.credentials))
		cli_jail((int[]){ c->digestfile.dir, dir }, 2,
			 CLI_JAIL_NETWORK | (spool ? CLI_JAIL_SPOOL : 0));
}

void cli_registry_begin(struct registry_cli *c, struct meter *meters, size_t n)
{
	if (CFG_PROGRESS)
		c->progress = progress_start(c->progress_mode, c->progress_fd, meters, n);
}

void cli_registry_end(struct registry_cli *c)
{
	if (CFG_PROGRESS)
		progress_stop(steal_ptr(&c->progress));
}

void cli_registry_fail(struct registry_cli *c, const char *what, int code, const struct err *e)
{
	cli_registry_end(c);
	die_err(what, code, e);
}

void cli_meter_name(struct meter *m, const struct descriptor *d)
{
	char text[DIGEST_TEXT_MAX];

	snprintf(m->name, sizeof(m->name), "%.*s", 19, digest_text(&d->digest, text));
	m->total = d->size;
}

const char *cli_registry_key(const char *arg, struct reference *ref)
{
	struct span s = span_str(arg);
	struct err e = { 0 };

	if (span_starts(s, "https://"))
		s = span_tail(s, 8);
	else if (span_starts(s, "http://"))
		s = span_tail(s, 7);
	while (span_ends(s, "/"))
		s.n--;
	char *key = span_dup(s);
	size_t slash = span_find(s, '/');
	_cleanup_(freep) char *probe = xasprintf("%s%s", key, slash < s.n ? "" : "/x");
	int r = reference_parse(probe, ref, &e);
	/* what has no dot and no port would stand for a path of docker.io */
	bool hub = !r && !strcmp(ref->domain, "docker.io") && strncmp(key, "docker.io", 9) &&
		   strncmp(key, "index.docker.io", 15);
	if (r < 0 || hub || ref->has_digest ||
	    (slash < s.n && span_find(span_tail(s, slash), ':') < s.n - slash))
		die(64, "%s is not REGISTRY[/PATH]", quoted_str(arg));
	free(ref->repository);
	ref->repository = xstrdup("");
	return key;
}
