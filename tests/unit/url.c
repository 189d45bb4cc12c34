/* URLs, who may be talked to, who may see a secret, and proxies. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "libcommon/registry/internal.h"
#include "tests/unit/tap.h"

static void parses(const char *text, const char *origin, const char *target)
{
	_cleanup_(url_release) struct url u = { 0 };
	char name[ORIGIN_TEXT_MAX];
	struct err e = { 0 };
	int r = url_parse(span_str(text), &u, &e);

	ok(r == 0 && strcmp(origin_text(&u.origin, name), origin) == 0 &&
		   strcmp(u.target, target) == 0,
	   "%s", text);
	if (r < 0)
		printf("# %s\n", e.text);
}

static void refused(struct span text, const char *name)
{
	_cleanup_(url_release) struct url u = { 0 };
	struct err e = { 0 };

	ok(url_parse(text, &u, &e) == E_PROTOCOL && e.text[0], "refused: %s", name);
}

static void joins(const char *base, const char *ref, const char *want)
{
	_cleanup_(url_release) struct url b = { 0 }, u = { 0 };
	_cleanup_(buf_release) struct buf got = BUF_INIT;
	char name[ORIGIN_TEXT_MAX];
	struct err e = { 0 };

	url_parse(span_str(base), &b, &e);
	if (url_join(&b, span_str(ref), &u, &e) == 0)
		buf_addf(&got, "%s%s", origin_text(&u.origin, name), u.target);
	if (!ok(strcmp(buf_str(&got), want) == 0, "join \"%s\"", ref))
		printf("# got \"%s\"\n", buf_str(&got));
}

static void urls(void)
{
	parses("https://reg.example/v2/", "https://reg.example", "/v2/");
	parses("HTTPS://Reg.EXAMPLE:443/V2", "https://reg.example", "/V2");
	parses("https://reg.example:8443?a=b", "https://reg.example:8443", "/?a=b");
	parses("http://[::0001]:80/x#frag", "http://[::1]", "/x");
	parses("http://127.0.0.1:5000", "http://127.0.0.1:5000", "/");
	parses("https://h/\xc3\xa9", "https://h", "/%C3%A9");
	parses("https://h:/x", "https://h", "/x");
	refused(SPAN("ftp://h/"), "ftp");
	refused(SPAN("https:/h/"), "one slash");
	refused(SPAN("/v2/"), "no scheme");
	refused(SPAN("https://user@h/"), "T60 a user");
	refused(SPAN("https://user:password@h/"), "T60 a user and a password");
	refused(SPAN("https://reg.example\\@evil.example/"), "T60 a backslash before a user");
	refused(SPAN("https://h\\evil/"), "a backslash");
	refused(SPAN("https://h/a b"), "a blank");
	refused(SPAN("https://h/a\r\nX: y"), "a line break");
	refused(SPAN("https://h/a\0b"), "a NUL");
	refused(SPAN("https:///x"), "no host");
	refused(SPAN("https://.x/"), "an empty label");
	refused(SPAN("https://a..b/"), "an empty label in the middle");
	refused(SPAN("https://%68/"), "an encoded host");
	refused(SPAN("https://h:0/"), "port 0");
	refused(SPAN("https://h:65536/"), "port 65536");
	refused(SPAN("https://h:1:2/"), "two ports");
	refused(SPAN("https://[::1/"), "an open bracket");
	refused(SPAN("https://[::1]x/"), "text after an address");
	refused(SPAN("https://[fe80::1%25eth0]/"), "a zone");
	refused(SPAN("https://\xd0\xb0.example/"), "a host beyond ASCII");
}

static void joining(void)
{
	const char *base = "https://reg.example:8443/v2/a/b?c=d";

	joins(base, "https://cdn.example/x?y=z", "https://cdn.example/x?y=z");
	joins(base, "//cdn.example/x", "https://cdn.example/x");
	joins(base, "/x/y", "https://reg.example:8443/x/y");
	joins(base, "x", "https://reg.example:8443/v2/a/x");
	joins(base, "../x/./y", "https://reg.example:8443/v2/x/y");
	joins(base, "../../../../x", "https://reg.example:8443/x");
	joins(base, "..", "https://reg.example:8443/v2/");
	joins(base, "?e=f", "https://reg.example:8443/v2/a/b?e=f");
	joins(base, "", "https://reg.example:8443/v2/a/b?c=d");
	joins(base, "#x", "https://reg.example:8443/v2/a/b?c=d");
	joins(base, "/x?a=/../b", "https://reg.example:8443/x?a=/../b");
	joins(base, "javascript:alert(1)", "");
	joins(base, "file:///etc/passwd", "");
	joins(base, "//u:p@cdn.example/x", "");
	joins(base, "/a b", "");
}

static enum addr_class class_of(const char *text)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return addr_classify((struct sockaddr *)&v4);
	inet_pton(AF_INET6, text, &v6.sin6_addr);
	return addr_classify((struct sockaddr *)&v6);
}

static void addresses(void)
{
	static const char *const forbidden[] = { "169.254.169.254",
						 "169.254.0.1",
						 "100.100.100.200",
						 "192.0.0.192",
						 "168.63.129.16",
						 "224.0.0.1",
						 "255.255.255.255",
						 "fe80::1",
						 "febf::1",
						 "ff02::1",
						 "fd00:ec2::254",
						 "::ffff:169.254.169.254",
						 "64:ff9b::a9fe:a9fe",
						 "2002:a9fe:a9fe::" };
	static const char *const loopback[] = {
		"127.0.0.1", "127.255.0.1",	 "0.0.0.0",	    "0.1.2.3",	    "::1",
		"::",	     "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"
	};
	static const char *const fine[] = { "10.0.0.1",	     "192.168.1.1", "100.64.0.1",
					    "93.184.216.34", "2001:db8::1", "fd00::1",
					    "fec0::1" };

	for (size_t i = 0; i < ARRAY_LEN(forbidden); i++)
		ok(class_of(forbidden[i]) == ADDR_FORBIDDEN, "T60 %s is forbidden", forbidden[i]);
	for (size_t i = 0; i < ARRAY_LEN(loopback); i++)
		ok(class_of(loopback[i]) == ADDR_LOOPBACK, "T60 %s is loopback", loopback[i]);
	for (size_t i = 0; i < ARRAY_LEN(fine); i++)
		ok(class_of(fine[i]) == ADDR_PUBLIC, "%s may be asked", fine[i]);
	ok(host_is_loopback("localhost") && host_is_loopback("a.localhost") &&
		   host_is_loopback("127.1.2.3") && host_is_loopback("::1"),
	   "loopback");
	ok(!host_is_loopback("localhost.evil.example") && !host_is_loopback("xlocalhost") &&
		   !host_is_loopback("127.0.0.1.evil.example") && !host_is_loopback("0.0.0.0"),
	   "not loopback");
}

static int check(const char *registry, const char *realm)
{
	_cleanup_(url_release) struct url a = { 0 }, b = { 0 };
	struct err e = { 0 };

	if (url_parse(span_str(registry), &a, &e) < 0)
		return -EINVAL;
	if (url_parse(span_str(realm), &b, &e) < 0)
		return e.code;
	return realm_check(&a.origin, &b, &e);
}

/* The matrix of T60: 1 with the registry's credentials, 0 without, or refused. */
static void realms(void)
{
	static const struct {
		const char *registry, *realm;
		int want;
	} t[] = {
		{ "https://reg.example/", "https://reg.example/token", 1 },
		{ "https://reg.example/", "https://reg.example:8443/token", 1 },
		{ "https://reg.example/", "https://auth.reg.example/token", 1 },
		{ "https://registry.corp.example/", "https://git.corp.example/jwt/auth", 1 },
		{ "https://registry.gitlab.com/", "https://gitlab.com/jwt/auth", 1 },
		{ "https://registry-1.docker.io/", "https://auth.docker.io/token", 1 },
		{ "https://registry-1.docker.io/", "https://auth.docker.io.evil.example/token", 0 },
		{ "https://reg.example.co.uk/", "https://auth.example.co.uk/token", 1 },
		{ "https://reg.example.co.uk/", "https://evil.co.uk/token", 0 },
		{ "https://reg.example/", "https://evil.example/token", 0 },
		{ "https://reg.example.org/", "https://evil.org/token", 0 },
		{ "https://reg.example/", "https://reg.example.evil.org/token", 0 },
		{ "https://reg.example/", "https://xreg.example/token", 0 },
		{ "https://good.azurecr.io/", "https://evil.azurecr.io/oauth2/token", 0 },
		{ "https://good.azurecr.io/", "https://good.azurecr.io/oauth2/token", 1 },
		{ "https://good.azurecr.io/", "https://good.azurecr.io.evil.org/oauth2/token", 0 },
		{ "https://a.s3.amazonaws.com/", "https://b.s3.amazonaws.com/", 0 },
		{ "https://10.0.0.1/", "https://10.0.0.1:8443/token", 1 },
		{ "https://10.0.0.1/", "https://10.0.0.2/token", 0 },
		{ "https://reg/", "https://auth/token", 0 },
		{ "http://127.0.0.1:5000/", "http://127.0.0.1:5001/token", 1 },
		{ "http://127.0.0.1:5000/", "http://localhost:5001/token", 1 },
		{ "https://localhost:5000/", "http://localhost:5001/token", E_AUTH },
		{ "https://reg.example/", "http://reg.example/token", E_AUTH },
		{ "https://reg.example/", "https://127.0.0.1/token", E_AUTH },
		{ "https://reg.example/", "https://localhost/token", E_AUTH },
		{ "https://reg.example/", "https://[::1]/token", E_AUTH },
		{ "https://reg.example/", "https://0.0.0.0/token", E_AUTH },
		{ "https://reg.example/", "https://169.254.169.254/token", E_AUTH },
		{ "https://reg.example/", "https://[fd00:ec2::254]/token", E_AUTH },
		{ "https://reg.example/", "https://[::ffff:169.254.169.254]/token", E_AUTH },
		{ "https://reg.example/", "https://100.100.100.200/token", E_AUTH },
		{ "https://reg.example/", "https://user:x@reg.example/token", E_PROTOCOL },
		{ "https://reg.example/", "file:///etc/passwd", E_PROTOCOL },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		ok(check(t[i].registry, t[i].realm) == t[i].want, "T60 T66 the realm %s of %s",
		   t[i].realm, t[i].registry);
}

static bool no_proxy(const char *list, const char *url)
{
	_cleanup_(url_release) struct url u = { 0 };
	struct err e = { 0 };

	return url_parse(span_str(url), &u, &e) == 0 && no_proxy_matches(list, &u.origin);
}

static void proxies(void)
{
	struct proxies p;
	struct err e = { 0 };
	_cleanup_(url_release) struct url https = { 0 }, http = { 0 }, local = { 0 };

	ok(no_proxy("*", "https://h/") && no_proxy("a, h", "https://h/") &&
		   no_proxy(".example", "https://a.example/") &&
		   no_proxy("example", "https://a.example/") &&
		   no_proxy("*.example", "https://a.example/") && no_proxy(".h", "https://h/"),
	   "NO_PROXY: names");
	ok(!no_proxy("", "https://h/") && !no_proxy("xample", "https://example/") &&
		   !no_proxy("a.example", "https://example/"),
	   "other names");
	ok(no_proxy("h:8443", "https://h:8443/") && !no_proxy("h:8443", "https://h/"),
	   "NO_PROXY: ports");
	ok(no_proxy("10.0.0.0/8", "https://10.1.2.3/") &&
		   !no_proxy("10.0.0.0/8", "https://11.1.2.3/") &&
		   no_proxy("192.168.1.128/25", "https://192.168.1.200/") &&
		   !no_proxy("192.168.1.128/25", "https://192.168.1.100/") &&
		   no_proxy("0.0.0.0/0", "https://1.2.3.4/") &&
		   no_proxy("2001:db8::/32", "https://[2001:db8::1]/") &&
		   !no_proxy("2001:db8::/32", "https://10.0.0.1/") &&
		   !no_proxy("10.0.0.0/33", "https://10.0.0.1/"),
	   "NO_PROXY: networks");
	ok(no_proxy("[2001:db8::1]:443", "https://[2001:db8::1]/") &&
		   no_proxy("2001:db8::1", "https://[2001:db8::1]/"),
	   "NO_PROXY: IPv6");

	url_parse(span_str("https://reg.example/"), &https, &e);
	url_parse(span_str("http://reg.example/"), &http, &e);
	url_parse(span_str("http://localhost:5000/"), &local, &e);
	setenv("HTTPS_PROXY", "http://us%65r:p%40ss@proxy.example:3128/", 1);
	setenv("http_proxy", "lower.example", 1);
	setenv("HTTP_PROXY", "upper.example", 1);
	unsetenv("https_proxy");
	unsetenv("NO_PROXY");
	unsetenv("no_proxy");
	is_num(proxies_from_env(&p, &e), 0, "proxies of the environment");
	ok(proxy_for(&p, &https.origin) &&
		   strcmp(proxy_for(&p, &https.origin)->origin.host, "proxy.example") == 0 &&
		   proxy_for(&p, &https.origin)->origin.port == 3128,
	   "HTTPS_PROXY");
	is_str(proxy_for(&p, &https.origin)->authorization, "Basic dXNlcjpwQHNz",
	       "its user and password");
	is_str(proxy_for(&p, &http.origin)->origin.host, "lower.example",
	       "the lower-case name wins");
	ok(!proxy_for(&p, &local.origin), "no proxy to this host");
	proxies_release(&p);
	unsetenv("http_proxy");
	setenv("REQUEST_METHOD", "GET", 1);
	is_num(proxies_from_env(&p, &e), 0, "in a CGI program");
	ok(!proxy_for(&p, &http.origin), "HTTP_PROXY is the client's, and not used");
	proxies_release(&p);
	setenv("HTTPS_PROXY", "https://proxy.example", 1);
	is_num(proxies_from_env(&p, &e), E_UNSUPPORTED, "a proxy by https is refused");
}

int main(void)
{
	urls();
	joining();
	addresses();
	realms();
	proxies();
	return done_testing();
}
