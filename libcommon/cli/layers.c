/* What applets that apply layers share: options, their defaults, and the telling of what was left
 * out. */
#include "libcommon/cli.h"

const struct apply_options cli_apply_defaults = {
	.same_owner = true,
	.xattrs = true,
	.devices = true,
	.sparse = true,
	.max_total = MIB(1024) << 10,
	.max_entries = 20000000,
	.max_depth = 2048,
	.tar = { .max_size = MIB(1024) << 8, .max_name = 4095 },
	.decompress = { .max_ratio = 2000 },
};

static void ignore_failed(const char *list, struct apply_options *o)
{
	struct span rest = span_str(list), word;
	while (span_cut(&rest, ',', &word)) {
		if (span_is(word, "xattr"))
			o->ignore_xattr = true;
		else if (span_is(word, "device"))
			o->ignore_device = true;
		else if (span_is(word, "owner"))
			o->ignore_owner = true;
		else
			die(64, "--ignore-failed: %s is none of xattr, device, owner",
			    quoted(word));
	}
}

bool cli_apply_option(int opt, const char *value, struct apply_options *o)
{
	switch (opt) {
	case CLI_APPLY_NO_SAME_OWNER:
		o->same_owner = false;
		return true;
	case CLI_APPLY_NO_XATTRS:
		o->xattrs = false;
		return true;
	case CLI_APPLY_NO_DEVICES:
		o->devices = false;
		return true;
	case CLI_APPLY_IGNORE_FAILED:
		ignore_failed(value, o);
		return true;
	case CLI_APPLY_MAX_SIZE:
		o->max_total = cli_size("--max-size", value);
		return true;
	case CLI_APPLY_MAX_FILE_SIZE:
		o->tar.max_size = cli_size("--max-file-size", value);
		return true;
	case CLI_APPLY_MAX_ENTRIES:
		o->max_entries = cli_number("--max-entries", value, UINT64_MAX);
		return true;
	case CLI_APPLY_MAX_RATIO:
		o->decompress.max_ratio = cli_number("--max-ratio", value, UINT64_MAX);
		return true;
	case CLI_APPLY_MAX_DEPTH:
		o->max_depth = (unsigned)cli_number("--max-depth", value, UINT32_MAX);
		return true;
	case CLI_APPLY_MAX_NAME:
		o->tar.max_name = cli_number("--max-name", value, MIB(1));
		return true;
	case CLI_APPLY_MAX_ZSTD_WINDOW:
		o->decompress.max_zstd_window = cli_size("--max-zstd-window", value);
		return true;
	default:
		return false;
	}
}

static void tell_count(uint64_t n, const char *what)
{
	if (n)
		say("%llu %s", (unsigned long long)n, what);
}

void cli_apply_tell(const struct apply_stats *s)
{
	tell_count(s->devices_dropped, "device nodes left out");
	tell_count(s->devices_failed, "device nodes could not be made");
	tell_count(s->setid_cleared, "files without their setuid and setgid bits");
	tell_count(s->owners_failed, "files without their owner");
	tell_count(s->xattrs_failed, "extended attributes left out");
	tell_count(s->overlay_xattrs_dropped,
		   "of overlayfs's own attributes and whiteouts dropped");
	if (s->first_failed[0])
		say("the first of them: %s", s->first_failed);
	debug("%llu entries: %llu files (%llu bytes), %llu directories, %llu links, %llu whiteouts, "
	      "%llu excluded",
	      (unsigned long long)s->entries, (unsigned long long)s->files,
	      (unsigned long long)s->bytes, (unsigned long long)s->dirs,
	      (unsigned long long)s->links, (unsigned long long)s->whiteouts,
	      (unsigned long long)s->excluded);
}
