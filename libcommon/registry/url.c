/*
 * URLs: only http and https, with a host name or an address as it is written in RFC 3986; what is
 * odd is refused, because two readers that disagree about the host of a URL are how a secret gets
 * to the wrong one.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/internal.h"

enum { URL_MAX = 16 << 10 };

void url_release(struct url *u)
{
	free(u->target);
	u->target = NULL;
}

void url_copy(struct url *to, const struct url *from)
{
	to->origin = from->origin;
	to->target = xstrdup(from->target);
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(unsigned char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int host_bad(struct span s, struct err *e)
{
	return err_set(e, E_PROTOCOL, "not a host name or address: \"%s\"", quoted(s));
}

static int host_copy(struct span host, struct origin *out, struct err *e)
{
	bool label = false;

	if (host.n == 0 || host.n > 253)
		return host_bad(host, e);
	for (size_t i = 0; i < host.n; i++) {
		unsigned char c = host.p[i];

		if (c == '.') {
			if (!label)
				return host_bad(host, e);
			label = false;
		} else if (is_alnum(c) || c == '-' || c == '_') {
			label = true;
		} else {
			return host_bad(host, e);
		}
		out->host[i] = (char)(c >= 'A' && c <= 'Z' ? c + 32 : c);
	}
	out->host[host.n] = 0;
	return 0;
}

static int host_copy_v6(struct span host, struct origin *out, struct err *e)
{
	struct in6_addr a;
	char text[INET6_ADDRSTRLEN];

	if (host.n >= sizeof(text))
		return host_bad(host, e);
	memcpy(text, host.p, host.n);
	text[host.n] = 0;
	if (inet_pton(AF_INET6, text, &a) != 1 ||
	    !inet_ntop(AF_INET6, &a, out->host, sizeof(out->host)))
		return host_bad(host, e);
	return 0;
}

int origin_parse(struct span authority, bool https, struct origin *out, struct err *e)
{
	struct span host = authority, port = { 0 };
	uint64_t number = https ? 443 : 80;
	int r;

	memset(out, 0, sizeof(*out));
	out->https = https;
	if (span_find(authority, '@') < authority.n)
		return err_set(e, E_PROTOCOL, "user information in a URL is refused");
	if (authority.n && authority.p[0] == '[') {
		size_t close = span_find(authority, ']');

		if (close == authority.n)
			return host_bad(authority, e);
		host = span_of(authority.p + 1, close - 1);
		port = span_tail(authority, close + 1);
		if (port.n && port.p[0] != ':')
			return host_bad(authority, e);
		port = span_tail(port, port.n ? 1 : 0);
		r = host_copy_v6(host, out, e);
	} else {
		size_t colon = span_find(authority, ':');

		host = span_of(authority.p, colon);
		if (colon < authority.n)
			port = span_tail(authority, colon + 1);
		r = host_copy(host, out, e);
	}
	if (r < 0)
		return r;
	if (port.n && (num_u64(port, 65535, &number) < 0 || number == 0))
		return err_set(e, E_PROTOCOL, "not a port: \"%s\"", quoted(port));
	out->port = (uint16_t)number;
	return 0;
}

/* The path and query, blanks and control bytes refused, bytes over 0x7f percent-encoded, a fragment
 * left out. */
static int target_add(struct buf *b, struct span s, struct err *e)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		if (c == '#')
			break;
		if (c <= ' ' || c == 0x7f || c == '\\')
			return err_set(e, E_PROTOCOL,
				       "a URL holds a blank, a backslash or a control byte");
		if (c > 0x7f)
			buf_addf(b, "%%%02X", c);
		else
			buf_addc(b, (char)c);
	}
	return 0;
}

/* Bytes of "http:" or "https:" in front of s, and which of the two; 0 for none. */
static size_t scheme_length(struct span s, bool *https)
{
	*https = s.n >= 6 && span_is_nocase(span_of(s.p, 6), "https:");
	if (*https)
		return 6;
	return s.n >= 5 && span_is_nocase(span_of(s.p, 5), "http:") ? 5 : 0;
}

static bool has_scheme(struct span s)
{
	size_t n = 0;

	while (n < s.n && (is_alnum(s.p[n]) || s.p[n] == '+' || s.p[n] == '-' || s.p[n] == '.'))
		n++;
	return n > 0 && n < s.n && s.p[n] == ':' && !is_digit(s.p[0]);
}

int url_parse(struct span s, struct url *out, struct err *e)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct span rest;
	size_t n, scheme;
	bool https;
	int r;

	out->target = NULL;
	if (s.n > URL_MAX)
		return err_set(e, E_PROTOCOL, "a URL is longer than %d bytes", URL_MAX);
	scheme = scheme_length(s, &https);
	rest = span_tail(s, scheme);
	if (scheme == 0 || !span_starts(rest, "//"))
		return err_set(e, E_PROTOCOL, "not an http or https URL: \"%s\"", quoted(s));
	rest = span_tail(rest, 2);
	for (n = 0; n < rest.n && !strchr("/?#\\", rest.p[n]); n++)
		;
	r = origin_parse(span_of(rest.p, n), https, &out->origin, e);
	if (r < 0)
		return r;
	rest = span_tail(rest, n);
	if (rest.n == 0 || rest.p[0] != '/')
		buf_addc(&b, '/');
	r = target_add(&b, rest, e);
	if (r < 0)
		return r;
	out->target = buf_steal_str(&b);
	return 0;
}

/* RFC 3986, 5.2.4, on the path of a target; the query stays. */
static void remove_dot_segments(struct buf *b)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	struct span all = buf_span(b);
	size_t query = span_find(all, '?');
	struct span rest = span_of(all.p, query), part;

	rest = span_tail(rest, 1);
	while (span_cut(&rest, '/', &part)) {
		bool last = rest.p == NULL;

		if (span_is(part, "..")) {
			while (out.n && out.p[--out.n] != '/')
				;
		}
		if (span_is(part, ".") || span_is(part, "..")) {
			if (last)
				buf_addc(&out, '/');
			continue;
		}
		buf_addc(&out, '/');
		buf_add_span(&out, part);
	}
	if (out.n == 0)
		buf_addc(&out, '/');
	buf_add_span(&out, span_tail(all, query));
	buf_clear(b);
	buf_add_span(b, buf_span(&out));
}

int url_join(const struct url *base, struct span ref, struct url *out, struct err *e)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct span old = span_str(base->target);
	size_t query = span_find(old, '?');
	int r;

	out->target = NULL;
	if (has_scheme(ref))
		return url_parse(ref, out, e);
	if (ref.n + old.n > URL_MAX)
		return err_set(e, E_PROTOCOL, "a URL is longer than %d bytes", URL_MAX);
	if (span_starts(ref, "//")) {
		buf_adds(&b, base->origin.https ? "https:" : "http:");
		buf_add_span(&b, ref);
		return url_parse(buf_span(&b), out, e);
	}
	if (ref.n == 0 || ref.p[0] == '#')
		buf_add_span(&b, old);
	else if (ref.p[0] == '?')
		buf_add_span(&b, span_of(old.p, query));
	else if (ref.p[0] != '/')
		buf_add_span(&b, span_of(old.p, span_rfind(span_of(old.p, query), '/') + 1));
	r = target_add(&b, ref, e);
	if (r < 0)
		return r;
	remove_dot_segments(&b);
	out->origin = base->origin;
	out->target = buf_steal_str(&b);
	return 0;
}

bool origin_eq(const struct origin *a, const struct origin *b)
{
	return a->https == b->https && a->port == b->port && strcmp(a->host, b->host) == 0;
}

char *origin_authority(const struct origin *o, char out[ORIGIN_TEXT_MAX])
{
	bool v6 = strchr(o->host, ':') != NULL;
	int n = snprintf(out, ORIGIN_TEXT_MAX, v6 ? "[%s]" : "%s", o->host);

	if (o->port != (o->https ? 443 : 80))
		snprintf(out + n, (size_t)(ORIGIN_TEXT_MAX - n), ":%u", o->port);
	return out;
}

char *origin_text(const struct origin *o, char out[ORIGIN_TEXT_MAX])
{
	char authority[ORIGIN_TEXT_MAX];

	snprintf(out, ORIGIN_TEXT_MAX, "%s://%.264s", o->https ? "https" : "http",
		 origin_authority(o, authority));
	return out;
}

const char *url_brief(const struct url *u)
{
	static _Thread_local char ring[4][768];
	static _Thread_local unsigned at;
	char *out = ring[at++ % 4], origin[ORIGIN_TEXT_MAX];
	struct span target = span_str(u->target);
	size_t query = span_find(target, '?');

	snprintf(out, sizeof(ring[0]), "%s%.400s%s", origin_text(&u->origin, origin),
		 quoted(span_of(target.p, query)), query < target.n ? "?..." : "");
	return out;
}

void url_add_escaped(struct buf *b, struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		if (is_alnum(c) || c == '-' || c == '.' || c == '_' || c == '~')
			buf_addc(b, (char)c);
		else
			buf_addf(b, "%%%02X", c);
	}
}
