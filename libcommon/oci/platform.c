/* Platforms: OS/ARCH[/VARIANT] as image-index.md and GOOS/GOARCH have it, their aliases, and which
 * serves which. */
#include "libcommon/oci.h"
#include "libcommon/oci/oci_private.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* What uname(1), Debian and people call the same processors. */
static const struct {
	const char *alias, *arch, *variant;
} aliases[] = {
	{ "x86_64", "amd64", NULL },	{ "x86-64", "amd64", NULL },
	{ "i386", "386", "" },		{ "i486", "386", "" },
	{ "i586", "386", "" },		{ "i686", "386", "" },
	{ "aarch64", "arm64", NULL },	{ "armhf", "arm", "v7" },
	{ "armel", "arm", "v6" },	{ "armv5", "arm", "v5" },
	{ "armv6", "arm", "v6" },	{ "armv6l", "arm", "v6" },
	{ "armv7", "arm", "v7" },	{ "armv7l", "arm", "v7" },
	{ "armv8l", "arm", "v8" },	{ "powerpc64le", "ppc64le", NULL },
	{ "ppc64el", "ppc64le", NULL }, { "mips64el", "mips64le", NULL },
	{ "mipsel", "mipsle", NULL },	{ "loongarch64", "loong64", NULL },
};

static bool part_valid(struct span s)
{
	if (!s.n || s.n >= sizeof(((struct platform *)0)->os))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		if (!isalnum(c) && (i == 0 || !c || !strchr("._-+", c)))
			return false;
	}
	return true;
}

static void set_part(char *out, size_t size, const char *s)
{
	size_t n = strlen(s);

	n = MIN(n, size - 1);
	memcpy(out, s, n);
	memset(out + n, 0, size - n);
}

static void lower_part(char *out, size_t size, struct span s)
{
	size_t n = MIN(s.n, size - 1);

	for (size_t i = 0; i < n; i++)
		out[i] = (char)tolower(s.p[i]);
	out[n] = 0;
}

/* amd64/v1 and arm64/v8 are the architectures themselves; arm without a variant is v7, as everybody
 * builds it. */
static void normalise(struct platform *p)
{
	if (!strcmp(p->os, "macos"))
		set_part(p->os, sizeof(p->os), "darwin");
	for (size_t i = 0; i < ARRAY_LEN(aliases); i++) {
		if (strcmp(p->arch, aliases[i].alias))
			continue;
		set_part(p->arch, sizeof(p->arch), aliases[i].arch);
		if (aliases[i].variant && !p->variant[0])
			set_part(p->variant, sizeof(p->variant), aliases[i].variant);
		break;
	}
	/* "7" and "v7" are the same */
	if (isdigit((unsigned char)p->variant[0]) && strlen(p->variant) + 1 < sizeof(p->variant)) {
		memmove(p->variant + 1, p->variant, strlen(p->variant) + 1);
		p->variant[0] = 'v';
	}
	if (!strcmp(p->arch, "amd64") && !strcmp(p->variant, "v1"))
		set_part(p->variant, sizeof(p->variant), "");
	if (!strcmp(p->arch, "arm64") && !strcmp(p->variant, "v8"))
		set_part(p->variant, sizeof(p->variant), "");
	if (!strcmp(p->arch, "arm") && !p->variant[0])
		set_part(p->variant, sizeof(p->variant), "v7");
}

bool platform_from_parts(struct span os, struct span arch, struct span variant,
			 struct platform *out)
{
	memset(out, 0, sizeof(*out));
	if (!part_valid(os) || !part_valid(arch) || (variant.n && !part_valid(variant)))
		return false;
	lower_part(out->os, sizeof(out->os), os);
	lower_part(out->arch, sizeof(out->arch), arch);
	lower_part(out->variant, sizeof(out->variant), variant);
	normalise(out);
	return true;
}

int platform_parse(const char *s, struct platform *out, struct err *e)
{
	struct span rest = span_str(s), parts[3] = { 0 };
	size_t n = 0;
	bool whole = rest.n && rest.p[rest.n - 1] != '/';

	while (n < ARRAY_LEN(parts) && span_cut(&rest, '/', &parts[n]))
		n++;
	if (!whole || n < 2 || rest.n || (n == 3 && !parts[2].n) ||
	    !platform_from_parts(parts[0], parts[1], parts[2], out))
		return err_set(e, E_USAGE,
			       "%s is no platform: OS/ARCH[/VARIANT], such as linux/amd64 or "
			       "linux/arm/v7",
			       s[0] ? quoted_str(s) : "\"\"");
	return 0;
}

char *platform_text(const struct platform *p, char out[100])
{
	const char *os = p->os[0] ? p->os : "unknown", *arch = p->arch[0] ? p->arch : "unknown";

	snprintf(out, 100, p->variant[0] ? "%s/%s/%s" : "%s/%s", os, arch, p->variant);
	return out;
}

/*
 * Where each variant runs what was built for a lower one: their order, from "vN[.M]"; -1 for
 * another spelling. base is what no variant means there.
 */
static bool upward_compatible(const char *arch, const char **base)
{
	if (!strcmp(arch, "amd64"))
		*base = "v1";
	else if (!strcmp(arch, "arm64"))
		*base = "v8";
	else if (!strcmp(arch, "arm"))
		*base = "v7";
	else
		return false;
	return true;
}

static int variant_rank(const char *v)
{
	struct span s = span_str(v), major;
	uint64_t a, b = 0;

	if (s.n < 2 || s.p[0] != 'v')
		return -1;
	s = span_tail(s, 1);
	if (!span_cut(&s, '.', &major) || num_u64(major, 99, &a) < 0)
		return -1;
	if (s.n && num_u64(s, 99, &b) < 0)
		return -1;
	return (int)(a * 100 + b);
}

int platform_match(const struct platform *want, const struct platform *have)
{
	const char *base = NULL;

	if (!have->os[0] || !have->arch[0] || !strcmp(have->os, "unknown") ||
	    !strcmp(have->arch, "unknown"))
		return 0;
	if (strcmp(want->os, have->os) || strcmp(want->arch, have->arch))
		return 0;
	if (upward_compatible(want->arch, &base)) {
		int w = variant_rank(want->variant[0] ? want->variant : base);
		int h = variant_rank(have->variant[0] ? have->variant : base);

		if (w >= 0 && h >= 0)
			return h <= w ? 1 + h : 0;
	}
	if (!strcmp(want->variant, have->variant))
		return 20000;
	return have->variant[0] ? 0 : 1;
}
