/* Proxies, as the environment names them: HTTPS_PROXY, HTTP_PROXY, NO_PROXY and their lower-case
 * twins, which win. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/internal.h"

static void proxy_free(struct proxy *p)
{
	if (!p)
		return;
	free(p->authorization);
	free(p);
}

void proxies_release(struct proxies *p)
{
	proxy_free(p->https);
	proxy_free(p->http);
	free(p->none);
	memset(p, 0, sizeof(*p));
}

static int unescape(struct span s, struct buf *out)
{
	for (size_t i = 0; i < s.n; i++) {
		char hex[3];

		if (s.p[i] != '%') {
			buf_addc(out, (char)s.p[i]);
			continue;
		}
		if (i + 2 >= s.n)
			return -EINVAL;
		memcpy(hex, s.p + i + 1, 2);
		hex[2] = 0;
		if (strspn(hex, "0123456789abcdefABCDEF") != 2)
			return -EINVAL;
		buf_addc(out, (char)strtol(hex, NULL, 16));
		i += 2;
	}
	return 0;
}

/* [http://][USER:PASSWORD@]HOST[:PORT][/] */
static int proxy_parse(const char *name, const char *text, struct proxy **out, struct err *e)
{
	_cleanup_(buf_release) struct buf user = BUF_INIT, value = BUF_INIT;
	struct span s = span_str(text);
	struct proxy *p;
	size_t at;
	int r;

	if (span_starts(s, "https://") || span_starts(s, "socks"))
		return err_set(e, E_UNSUPPORTED,
			       "%s: only proxies that are spoken to by http:// are supported",
			       name);
	if (span_starts(s, "http://"))
		s = span_tail(s, 7);
	s.n = span_find(s, '/');
	at = span_rfind(s, '@');
	p = xcalloc(1, sizeof(*p));
	if (at < s.n) {
		r = unescape(span_of(s.p, at), &user);
		s = span_tail(s, at + 1);
		buf_adds(&value, "Basic ");
		base64_encode(buf_span(&user), &value);
		p->authorization = buf_steal_str(&value);
		if (r < 0) {
			proxy_free(p);
			return err_set(e, E_USAGE,
				       "%s: the user and password are not percent-encoded", name);
		}
	}
	r = origin_parse(s, false, &p->origin, e);
	if (r < 0) {
		proxy_free(p);
		err_prefix(e, "%s", name);
		return r;
	}
	*out = p;
	return 0;
}

static int proxy_from_env(const char *lower, const char *upper, struct proxy **out, struct err *e)
{
	const char *name = lower, *text = getenv(lower);

	/* a web server hands the client's "Proxy:" header to CGI programs as HTTP_PROXY */
	if (!text && !(strcmp(upper, "HTTP_PROXY") == 0 && getenv("REQUEST_METHOD")))
		text = getenv(name = upper);
	return text && *text ? proxy_parse(name, text, out, e) : 0;
}

int proxies_from_env(struct proxies *p, struct err *e)
{
	const char *none = getenv("no_proxy");
	int r;

	memset(p, 0, sizeof(*p));
	if (!none)
		none = getenv("NO_PROXY");
	p->none = xstrdup(none ? none : "");
	r = proxy_from_env("https_proxy", "HTTPS_PROXY", &p->https, e);
	if (r == 0)
		r = proxy_from_env("http_proxy", "HTTP_PROXY", &p->http, e);
	if (r < 0)
		proxies_release(p);
	return r;
}

/* ADDRESS/BITS, of either family. */
static bool network_holds(struct span rule, const char *host)
{
	unsigned char net[16], a[16];
	size_t slash = span_find(rule, '/');
	char text[INET6_ADDRSTRLEN];
	uint64_t bits;
	unsigned max;

	if (slash == rule.n || slash >= sizeof(text) ||
	    num_u64(span_tail(rule, slash + 1), 128, &bits) < 0)
		return false;
	memcpy(text, rule.p, slash);
	text[slash] = 0;
	if (inet_pton(AF_INET, text, net) == 1 && inet_pton(AF_INET, host, a) == 1)
		max = 32;
	else if (inet_pton(AF_INET6, text, net) == 1 && inet_pton(AF_INET6, host, a) == 1)
		max = 128;
	else
		return false;
	if (bits > max || memcmp(net, a, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || ((net[bits / 8] ^ a[bits / 8]) >> (8 - bits % 8)) == 0;
}

static bool rule_matches(struct span rule, const struct origin *o)
{
	struct span host = span_str(o->host);
	size_t colon = span_rfind(rule, ':');
	uint64_t port;

	if (span_is(rule, "*") || network_holds(rule, o->host))
		return true;
	if (rule.n && rule.p[0] == '[') {
		size_t close = span_find(rule, ']');

		if (close + 1 < rule.n && rule.p[close + 1] == ':' &&
		    (num_u64(span_tail(rule, close + 2), 65535, &port) < 0 || port != o->port))
			return false;
		return span_is_nocase(span_of(rule.p + 1, close ? close - 1 : 0), o->host);
	}
	if (colon < rule.n && span_find(rule, ':') == colon) {
		if (num_u64(span_tail(rule, colon + 1), 65535, &port) < 0 || port != o->port)
			return false;
		rule.n = colon;
	}
	if (span_starts(rule, "*."))
		rule = span_tail(rule, 1);
	if (span_is_nocase(rule, o->host) ||
	    (rule.n && rule.p[0] == '.' && span_is_nocase(span_tail(rule, 1), o->host)))
		return true;
	if (rule.n && rule.p[0] == '.')
		rule = span_tail(rule, 1);
	return rule.n && host.n > rule.n && host.p[host.n - rule.n - 1] == '.' &&
	       span_is_nocase(rule, o->host + host.n - rule.n);
}

bool no_proxy_matches(const char *list, const struct origin *o)
{
	struct span rest = span_str(list), part;

	while (span_cut(&rest, ',', &part)) {
		part = span_trim(part);
		if (part.n && rule_matches(part, o))
			return true;
	}
	return false;
}

const struct proxy *proxy_for(const struct proxies *p, const struct origin *o)
{
	const struct proxy *proxy = o->https ? p->https : p->http;

	return proxy && !host_is_loopback(o->host) && !no_proxy_matches(p->none, o) ? proxy : NULL;
}
