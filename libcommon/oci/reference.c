/*
 * References as people write them: the grammar and the defaults of docker's
 *"distribution/reference".
 *
 *	reference      := name [ ":" tag ] [ "@" digest ]
 *	name           := [domain "/"] path-component ["/" path-component]*
 *	domain         := host [":" port]
 *	host           := domain-component ["." domain-component]* | "[" IPv6address "]"
 *	path-component := alpha-numeric [separator alpha-numeric]*
 *	separator      := "." | "_" | "__" | "-"+
 */
#include "libcommon/oci.h"

#include <string.h>

enum { DOMAIN_MAX = 255, REPOSITORY_MAX = 255, TAG_MAX = 128 };

static bool is_lower_alnum(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_upper(unsigned char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_alnum(unsigned char c)
{
	return is_lower_alnum(c) || is_upper(c);
}

bool tag_valid(struct span s)
{
	if (!s.n || s.n > TAG_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		if (!is_alnum(c) && c != '_' && (i == 0 || (c != '.' && c != '-')))
			return false;
	}
	return true;
}

/* The length of the separator at the front of s, 0 where there is none. */
static size_t separator(struct span s)
{
	size_t n = 0;

	if (!s.n)
		return 0;
	if (s.p[0] == '.')
		return 1;
	if (s.p[0] == '_')
		return s.n > 1 && s.p[1] == '_' ? 2 : 1;
	while (n < s.n && s.p[n] == '-')
		n++;
	return n;
}

static bool path_component_valid(struct span s)
{
	for (;;) {
		size_t n = 0;

		while (n < s.n && is_lower_alnum(s.p[n]))
			n++;
		if (!n)
			return false;
		s = span_tail(s, n);
		if (!s.n)
			return true;
		n = separator(s);
		if (!n)
			return false;
		s = span_tail(s, n);
	}
}

static bool repository_valid(struct span s)
{
	struct span part;

	if (!s.n)
		return false;
	while (span_cut(&s, '/', &part))
		if (!path_component_valid(part))
			return false;
	return true;
}

static bool port_valid(struct span s)
{
	uint64_t port;

	return s.n && num_u64(s, 65535, &port) == 0 && port > 0;
}

static bool domain_component_valid(struct span s)
{
	if (!s.n || !is_alnum(s.p[0]) || !is_alnum(s.p[s.n - 1]))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '-')
			return false;
	return true;
}

static bool ipv6_valid(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f') && !(c >= 'A' && c <= 'F') &&
		    c != ':')
			return false;
	}
	return s.n >= 2 && span_find(s, ':') < s.n;
}

static bool domain_valid(struct span s)
{
	struct span host = s, part;

	if (!s.n || s.n > DOMAIN_MAX)
		return false;
	if (s.p[0] == '[') {
		size_t end = span_find(s, ']');
		struct span rest;

		if (end == s.n || !ipv6_valid(span_of(s.p + 1, end - 1)))
			return false;
		rest = span_tail(s, end + 1);
		return !rest.n || (rest.p[0] == ':' && port_valid(span_tail(rest, 1)));
	}
	host.n = span_find(s, ':');
	if (host.n < s.n && !port_valid(span_tail(s, host.n + 1)))
		return false;
	if (!host.n || host.p[host.n - 1] == '.')
		return false;
	while (span_cut(&host, '.', &part))
		if (!domain_component_valid(part))
			return false;
	return true;
}

static bool has_upper(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_upper(s.p[i]))
			return true;
	return false;
}

/* Is what stands before the first slash a registry, or the first part of a repository on docker.io?
 */
static bool looks_like_domain(struct span s)
{
	return span_is(s, "localhost") || span_find(s, '.') < s.n || span_find(s, ':') < s.n ||
	       has_upper(s);
}

static bool is_image_id(struct span s)
{
	unsigned char id[32];

	return s.n == 64 && num_hex(s, id, sizeof(id)) == 0;
}

static int split_digest(struct span *rest, const char *whole, struct reference *out, struct err *e)
{
	size_t at = span_find(*rest, '@');

	if (at == rest->n)
		return 0;

	int r = digest_parse(span_tail(*rest, at + 1), &out->digest);

	if (r == E_UNSUPPORTED)
		return err_set(e, E_USAGE, "%s: only sha256 and sha512 digests are known",
			       quoted_str(whole));
	if (r < 0)
		return err_set(e, E_USAGE,
			       "%s: what follows the @ is no digest (sha256: and 64 lower-case "
			       "hex digits)",
			       quoted_str(whole));
	out->has_digest = true;
	rest->n = at;
	return 0;
}

/* The tag stands behind the last colon, unless a slash follows: then that colon was a port's. */
static int split_tag(struct span *rest, const char *whole, struct span *tag, struct err *e)
{
	size_t colon = span_rfind(*rest, ':'), slash = span_rfind(*rest, '/');

	*tag = (struct span){ 0 };
	if (colon == rest->n || (slash < rest->n && slash > colon))
		return 0;
	*tag = span_tail(*rest, colon + 1);
	rest->n = colon;
	if (tag->n > TAG_MAX)
		return err_set(e, E_USAGE, "%s: the tag is longer than %d characters",
			       quoted_str(whole), TAG_MAX);
	if (!tag_valid(*tag))
		return err_set(e, E_USAGE,
			       "%s: %s is no tag (letters, digits, \"_\", \".\", \"-\")",
			       quoted_str(whole), tag->n ? quoted(*tag) : "\"\"");
	return 0;
}

static int check_name(struct span domain, struct span repository, const char *whole, struct err *e)
{
	if (!domain_valid(domain))
		return err_set(e, E_USAGE, "%s: %s is no registry (HOST or HOST:PORT)",
			       quoted_str(whole), quoted(domain));
	if (repository.n > REPOSITORY_MAX)
		return err_set(e, E_USAGE, "%s: the repository's name is longer than %d characters",
			       quoted_str(whole), REPOSITORY_MAX);
	if (has_upper(repository))
		return err_set(e, E_USAGE, "%s: the repository's name must be lower-case",
			       quoted_str(whole));
	if (!repository_valid(repository))
		return err_set(e, E_USAGE,
			       "%s: not a reference ([HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST])",
			       quoted_str(whole));
	return 0;
}

static int parse(const char *whole, struct span rest, struct reference *out, struct err *e)
{
	struct span tag, domain = SPAN("docker.io");
	size_t slash;
	int r;

	if (memmem(rest.p, rest.n, "://", 3))
		return err_set(e, E_USAGE,
			       "%s: a reference has no scheme: leave out what stands before the "
			       "registry's name",
			       quoted_str(whole));
	if (is_image_id(rest))
		return err_set(e, E_USAGE,
			       "%s: 64 hex digits are an image id, not a repository's name",
			       quoted_str(whole));
	r = split_digest(&rest, whole, out, e);
	if (r < 0)
		return r;
	slash = span_find(rest, '/');
	if (slash < rest.n && looks_like_domain(span_of(rest.p, slash))) {
		domain = span_of(rest.p, slash);
		rest = span_tail(rest, slash + 1);
		if (span_is(domain, "index.docker.io"))
			domain = SPAN("docker.io");
	}
	r = split_tag(&rest, whole, &tag, e);
	if (r < 0)
		return r;

	bool official = span_is(domain, "docker.io") && span_find(rest, '/') == rest.n;
	_cleanup_(buf_release) struct buf name = BUF_INIT;

	if (official && rest.n)
		buf_adds(&name, "library/");
	buf_add_span(&name, rest);
	r = check_name(domain, buf_span(&name), whole, e);
	if (r < 0)
		return r;
	out->domain = span_dup(domain);
	out->repository = buf_steal_str(&name);
	if (tag.n)
		out->tag = span_dup(tag);
	else if (!out->has_digest)
		out->tag = xstrdup("latest");
	return 0;
}

int reference_parse(const char *s, struct reference *out, struct err *e)
{
	struct reference ref = { 0 };
	struct span text = span_str(s);

	memset(out, 0, sizeof(*out));
	if (span_starts(text, "docker://"))
		text = span_tail(text, 9);
	if (!text.n)
		return err_set(e, E_USAGE, "the reference is empty");

	int r = parse(s, text, &ref, e);

	if (r < 0) {
		reference_release(&ref);
		return r;
	}
	*out = ref;
	return 0;
}

void reference_release(struct reference *r)
{
	freep(&r->domain);
	freep(&r->repository);
	freep(&r->tag);
	memset(r, 0, sizeof(*r));
}

char *reference_text(const struct reference *r)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_addf(&b, "%s/%s", r->domain, r->repository);
	if (r->tag)
		buf_addf(&b, ":%s", r->tag);
	if (r->has_digest) {
		char text[DIGEST_TEXT_MAX];

		buf_addf(&b, "@%s", digest_text(&r->digest, text));
	}
	return buf_steal_str(&b);
}
