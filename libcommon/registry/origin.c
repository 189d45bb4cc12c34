/*
 * Who may be talked to, and who may see a secret. A registry names other hosts (redirects, realms);
 * whom it names gets nothing that was given to the registry, unless the name shows that both are
 * the same operator's.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "libcommon/registry/internal.h"

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static enum addr_class classify_v4(uint32_t a)
{
	static const struct {
		uint32_t net, mask;
		enum addr_class class;
	} rules[] = {
		{ 0x7f000000, 0xff000000, ADDR_LOOPBACK },
		{ 0x00000000, 0xff000000,
		  ADDR_LOOPBACK }, /* "this host": connecting there reaches us */
		{ 0xa9fe0000, 0xffff0000,
		  ADDR_FORBIDDEN }, /* link-local; 169.254.169.254 and its like */
		{ 0x646464c8, 0xffffffff,
		  ADDR_FORBIDDEN }, /* 100.100.100.200, a cloud's metadata */
		{ 0xc00000c0, 0xffffffff, ADDR_FORBIDDEN }, /* 192.0.0.192, another's */
		{ 0xa83f8110, 0xffffffff, ADDR_FORBIDDEN }, /* 168.63.129.16, another's */
		{ 0xe0000000, 0xe0000000, ADDR_FORBIDDEN }, /* multicast, reserved, broadcast */
	};

	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		if ((a & rules[i].mask) == rules[i].net)
			return rules[i].class;
	return ADDR_PUBLIC;
}

static enum addr_class classify_v6(const unsigned char a[16])
{
	static const unsigned char zero[15],
		nat64[12] = { 0, 0x64, 0xff, 0x9b }, mapped[12] = { [10] = 0xff, [11] = 0xff },
		metadata[16] = { 0xfd, 0x00, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54 };

	if (memcmp(a, zero, 15) == 0 && a[15] <= 1)
		return ADDR_LOOPBACK;
	if ((a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || a[0] == 0xff || memcmp(a, metadata, 16) == 0)
		return ADDR_FORBIDDEN;
	if (memcmp(a, mapped, 12) == 0 || memcmp(a, nat64, 12) == 0 || memcmp(a, zero, 12) == 0)
		return classify_v4(be32(a + 12));
	if (a[0] == 0x20 && a[1] == 0x02)
		return classify_v4(be32(a + 2));
	return ADDR_PUBLIC;
}

enum addr_class addr_classify(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		return classify_v4(ntohl(in.sin_addr.s_addr));
	}
	if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		return classify_v6(in6.sin6_addr.s6_addr);
	}
	return ADDR_FORBIDDEN;
}

static bool ends_in_label(const char *host, const char *suffix)
{
	size_t n = strlen(host), m = strlen(suffix);

	return n > m && host[n - m - 1] == '.' && strcmp(host + n - m, suffix) == 0;
}

/* The class of a host that is written as an address; -1 for a name. */
static int literal_class(const char *host)
{
	struct in_addr v4;
	struct in6_addr v6;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return (int)classify_v4(ntohl(v4.s_addr));
	if (inet_pton(AF_INET6, host, &v6) == 1)
		return (int)classify_v6(v6.s6_addr);
	return -1;
}

bool host_is_loopback(const char *host)
{
	if (strcmp(host, "localhost") == 0 || ends_in_label(host, "localhost"))
		return true;
	return strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0 &&
	       literal_class(host) == ADDR_LOOPBACK;
}

/*
 * Second-level names under which country domains register, and domains below which strangers get
 * names of their own: there is no list of public suffixes here.
 */
static const char second_level[] = " co com net org ac gov edu gob gouv go or ne nom mil ";
static const char tenants[] =
	" azurecr.io azurecr.cn azurecr.us azurewebsites.net azure.com windows.net cloudapp.net"
	" azurecontainerapps.io azurefd.net azureedge.net trafficmanager.net amazonaws.com"
	" amazonaws.com.cn awsapprunner.com on.aws cloudfront.net elasticbeanstalk.com pkg.dev gcr.io"
	" run.app appspot.com web.app firebaseapp.com googleapis.com googleusercontent.com"
	" cloudfunctions.net github.io githubusercontent.com github.dev gitlab.io cloudflare.net"
	" workers.dev pages.dev r2.dev trycloudflare.com fly.dev fly.io herokuapp.com vercel.app"
	" netlify.app onrender.com render.com railway.app ngrok.io ngrok.app ngrok.dev ngrok-free.app"
	" digitaloceanspaces.com ondigitalocean.app linodeobjects.com oraclecloud.com ocir.io"
	" aliyuncs.com myqcloud.com tencentcr.com myhuaweicloud.com appdomain.cloud scw.cloud ovh.net"
	" hetzner.cloud your-server.de openshiftapps.com jfrog.io cloudsmith.io duckdns.org dyndns.org"
	" no-ip.org nip.io sslip.io ";

/* Whether a list of words in blanks has this one. */
static bool has_word(const char *list, struct span word)
{
	struct span rest = span_str(list), part;

	while (span_cut(&rest, ' ', &part))
		if (part.n && span_eq(part, word))
			return true;
	return false;
}

/* Where the label before p begins; NULL where p is the first. */
static const char *label_before(const char *host, const char *p)
{
	if (p == host)
		return NULL;
	for (p--; p > host && p[-1] != '.'; p--)
		;
	return p;
}

/* The last labels of a host under which one operator registers names; NULL where there is none. */
static const char *registrable(const char *host)
{
	const char *last = strrchr(host, '.'), *p;

	if (!last || literal_class(host) >= 0)
		return NULL;
	p = label_before(host, last + 1);
	if (p && strlen(last + 1) == 2 && has_word(second_level, span_of(p, (size_t)(last - p))))
		p = label_before(host, p);
	for (const char *q = p; q; q = label_before(host, q))
		if (has_word(tenants, span_str(q)))
			return NULL;
	return p;
}

bool hosts_related(const char *a, const char *b)
{
	const char *ra, *rb;

	if (strcmp(a, b) == 0)
		return true;
	if (literal_class(a) >= 0 || literal_class(b) >= 0)
		return false;
	ra = registrable(a);
	rb = registrable(b);
	return ra && rb && strcmp(ra, rb) == 0;
}

/* Realms of registries whose own are elsewhere. */
static bool realm_is_known(const char *registry, const char *realm)
{
	static const char *const known[][2] = {
		{ "registry-1.docker.io", "auth.docker.io" },
		{ "docker.io", "auth.docker.io" },
		{ "index.docker.io", "auth.docker.io" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (strcmp(registry, known[i][0]) == 0 && strcmp(realm, known[i][1]) == 0)
			return true;
	return false;
}

int origin_check_named(const struct origin *home, const struct origin *o, struct err *e)
{
	int class = literal_class(o->host);
	char text[ORIGIN_TEXT_MAX];

	if (class == ADDR_FORBIDDEN)
		return err_set(e, E_AUTH,
			       "it sends us to %s, a link-local, metadata or multicast address",
			       origin_text(o, text));
	if ((class == ADDR_LOOPBACK || host_is_loopback(o->host)) && !host_is_loopback(home->host))
		return err_set(e, E_AUTH, "it sends us to %s, on this host", origin_text(o, text));
	return 0;
}

int realm_check(const struct origin *registry, const struct url *realm, struct err *e)
{
	const struct origin *o = &realm->origin;

	if (origin_check_named(registry, o, e) < 0)
		return err_prefix(e, "its token realm");
	if (!o->https && registry->https)
		return err_set(e, E_AUTH, "its token realm %s is not https", url_brief(realm));
	if (host_is_loopback(o->host) && host_is_loopback(registry->host))
		return 1;
	return hosts_related(registry->host, o->host) || realm_is_known(registry->host, o->host);
}
