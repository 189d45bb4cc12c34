/* Digests, references, platforms: the names by which people and documents call images. */
#include "libcommon/oci.h"
#include "tests/unit/tap.h"

#include <stdlib.h>

#define HEX_A "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
#define HEX_B "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"

static void test_digest(void)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {
		{ "sha256:" HEX_A, 0 },
		{ "sha512:" HEX_A HEX_B, 0 },
		{ "", E_FORMAT },
		{ "sha256", E_FORMAT },
		{ "sha256:", E_FORMAT },
		{ HEX_A, E_FORMAT },
		{ "sha256:../../x", E_FORMAT },
		{ "sha256:../../../../../../../../../../../../../../../../../../../etc/passwd",
		  E_FORMAT },
		{ "sha256:CA978112CA1BBDCAFAC231B39A23DC4DA786EFF8147C4E72B9807785AFEE48BB",
		  E_FORMAT },
		{ "SHA256:" HEX_A, E_FORMAT },
		{ "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48b",
		  E_FORMAT },
		{ "sha256:" HEX_A "0", E_FORMAT },
		{ "sha256:" HEX_A "/", E_FORMAT },
		{ " sha256:" HEX_A, E_FORMAT },
		{ "sha512:" HEX_A, E_FORMAT },
		{ "md5:d41d8cd98f00b204e9800998ecf8427e", E_UNSUPPORTED },
		{ "blake3:" HEX_A, E_UNSUPPORTED },
		{ "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564", E_UNSUPPORTED },
		{ "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
		  E_UNSUPPORTED },
		{ "a..b:00", E_FORMAT },
		{ "md5:../x", E_FORMAT },
		{ ":" HEX_A, E_FORMAT },
	};
	struct digest d, e;
	char text[DIGEST_TEXT_MAX];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok(digest_parse(span_str(cases[i].text), &d) == cases[i].want,
		   "T68 digest \"%s\" is %s", cases[i].text,
		   cases[i].want ? "refused" : "accepted");
	ok(digest_parse(span_of("sha256:" HEX_A "\0", 72), &d) == E_FORMAT, "T68 a NUL at the end");
	d = digest_of(HASH_SHA256, SPAN("a"));
	is_str(digest_text(&d, text), "sha256:" HEX_A, "digest of bytes");
	ok(digest_parse(span_str(text), &e) == 0 && digest_eq(&d, &e), "text and back");
	e = digest_of(HASH_SHA256, SPAN("b"));
	ok(!digest_eq(&d, &e), "others differ");
	e = digest_of(HASH_SHA512, SPAN("a"));
	memcpy(e.v, d.v, 32);
	ok(!digest_eq(&d, &e), "and those of another algorithm");
}

static void test_chain_id(void)
{
	struct digest a = digest_of(HASH_SHA256, SPAN("a")), b = digest_of(HASH_SHA256, SPAN("b"));
	struct digest c = chain_id_next(NULL, &a);
	char text[DIGEST_TEXT_MAX];

	ok(digest_eq(&c, &a), "the first chain id is the diff_id");
	c = chain_id_next(&a, &b);
	is_str(digest_text(&c, text),
	       "sha256:51c0c8ace48498d6f5fee6b0592cc06f2da0f3cbe09c5a34a97dce85c3889676",
	       "the next is of both texts");
}

static void good_reference(const char *in, const char *want)
{
	struct reference ref;
	struct err e = { 0 };
	int r = reference_parse(in, &ref, &e);
	char *text = r == 0 ? reference_text(&ref) : xstrdup(e.text);

	is_str(text, want, in);
	free(text);
	reference_release(&ref);
}

static void bad_reference(const char *in, const char *says)
{
	struct reference ref;
	struct err e = { 0 };
	int r = reference_parse(in, &ref, &e);

	ok(r == E_USAGE && strstr(e.text, says), "\"%.60s\" is refused: %s", in, says);
	if (r == 0 || !strstr(e.text, says))
		diag("%d %s", r, e.text);
	reference_release(&ref);
}

static void test_reference(void)
{
	static const char at[] = "@sha256:" HEX_A;
	char long_name[400], long_tag[200], want[500];

	good_reference("debian", "docker.io/library/debian:latest");
	good_reference("debian:12", "docker.io/library/debian:12");
	good_reference("a", "docker.io/library/a:latest");
	good_reference("user/app", "docker.io/user/app:latest");
	good_reference("docker.io/debian", "docker.io/library/debian:latest");
	good_reference("index.docker.io/debian:1", "docker.io/library/debian:1");
	good_reference("docker.io/user/app:1", "docker.io/user/app:1");
	good_reference("docker://quay.io/a/b:c", "quay.io/a/b:c");
	good_reference("localhost/app", "localhost/app:latest");
	good_reference("localhost:5000", "docker.io/library/localhost:5000");
	good_reference("localhost:5000/app:1", "localhost:5000/app:1");
	good_reference("reg.example/a/b/c", "reg.example/a/b/c:latest");
	good_reference("Reg/app", "Reg/app:latest");
	good_reference("[::1]:5000/app", "[::1]:5000/app:latest");
	good_reference("[fd00:1::2]/app:x", "[fd00:1::2]/app:x");
	good_reference("127.0.0.1:80/a", "127.0.0.1:80/a:latest");
	good_reference("xn--n3h.example/a", "xn--n3h.example/a:latest");
	good_reference("a__b/c--d/e.f_g:T_1.2-x", "docker.io/a__b/c--d/e.f_g:T_1.2-x");
	good_reference("debian@sha256:" HEX_A, "docker.io/library/debian@sha256:" HEX_A);
	good_reference("debian:12@sha256:" HEX_A, "docker.io/library/debian:12@sha256:" HEX_A);
	good_reference("r.io/a@sha512:" HEX_A HEX_B, "r.io/a@sha512:" HEX_A HEX_B);
	/* 63 digits are a name */
	good_reference(
		&HEX_A[1],
		"docker.io/library/a978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb:latest");

	bad_reference("", "empty");
	bad_reference("docker://", "empty");
	bad_reference(HEX_A, "image id");
	bad_reference("https://r.io/a", "scheme");
	bad_reference("Debian", "lower-case");
	bad_reference("user/App:1", "lower-case");
	bad_reference("r.io/", "not a reference");
	bad_reference("/a", "not a reference");
	bad_reference("r.io//a", "not a reference");
	bad_reference("a//b", "not a reference");
	bad_reference("a/", "not a reference");
	bad_reference("-a", "not a reference");
	bad_reference("a-", "not a reference");
	bad_reference("a..b", "not a reference");
	bad_reference("a___b", "not a reference");
	bad_reference("a._b", "not a reference");
	bad_reference("r.io/a b", "not a reference");
	bad_reference("r.io/../a", "not a reference");
	bad_reference("debian:", "no tag");
	bad_reference("debian:.x", "no tag");
	bad_reference("debian:-x", "no tag");
	bad_reference("debian:a/b", "no registry");
	bad_reference("debian:12:13", "not a reference");
	bad_reference("r.io:0/a", "no registry");
	bad_reference("r.io:99999/a", "no registry");
	bad_reference("r.io:/a", "no registry");
	bad_reference("-r.io/a", "no registry");
	bad_reference("r..io/a", "no registry");
	bad_reference("r.io./a", "no registry");
	bad_reference(".io/a", "no registry");
	bad_reference("[::1/a", "no registry");
	bad_reference("[fe80::1%25eth0]/a", "no registry");
	bad_reference("[]:1/a", "no registry");
	bad_reference("u:p@r.io/a", "no digest");
	bad_reference("debian@sha256:12", "no digest");
	bad_reference("debian@md5:d41d8cd98f00b204e9800998ecf8427e", "only sha256");
	bad_reference(at, "not a reference");

	memset(long_name, 'a', sizeof(long_name));
	long_name[247] = 0;
	snprintf(want, sizeof(want), "docker.io/library/%s:latest", long_name);
	good_reference(long_name, want);
	long_name[247] = 'a';
	long_name[248] = 0;
	bad_reference(long_name, "longer than 255");
	snprintf(long_tag, sizeof(long_tag), "a:%0128d", 0);
	snprintf(want, sizeof(want), "docker.io/library/%s", long_tag);
	good_reference(long_tag, want);
	snprintf(long_tag, sizeof(long_tag), "a:%0129d", 0);
	bad_reference(long_tag, "longer than 128");
}

static void platform_is(const char *in, const char *want)
{
	struct platform p;
	struct err e = { 0 };
	char text[100];

	if (platform_parse(in, &p, &e) < 0)
		ok(!want && e.code == E_USAGE, "platform \"%s\" is refused", in);
	else
		is_str(platform_text(&p, text), want, in);
}

static int match(const char *want, const char *have)
{
	struct platform w, h;

	if (platform_parse(want, &w, NULL) < 0 || platform_parse(have, &h, NULL) < 0)
		return -1;
	return platform_match(&w, &h);
}

static void test_platform(void)
{
	struct platform host, none = { 0 };

	platform_is("linux/amd64", "linux/amd64");
	platform_is("linux/amd64/v1", "linux/amd64");
	platform_is("linux/amd64/v3", "linux/amd64/v3");
	platform_is("linux/x86_64", "linux/amd64");
	platform_is("Linux/AMD64", "linux/amd64");
	platform_is("linux/arm64/v8", "linux/arm64");
	platform_is("linux/aarch64", "linux/arm64");
	platform_is("linux/arm", "linux/arm/v7");
	platform_is("linux/arm/6", "linux/arm/v6");
	platform_is("linux/armhf", "linux/arm/v7");
	platform_is("linux/armel", "linux/arm/v6");
	platform_is("linux/i686", "linux/386");
	platform_is("macos/arm64", "darwin/arm64");
	platform_is("", NULL);
	platform_is("linux", NULL);
	platform_is("linux/", NULL);
	platform_is("/amd64", NULL);
	platform_is("linux/arm/", NULL);
	platform_is("linux/arm/v7/x", NULL);
	platform_is("linux/arm/v7/", NULL);
	platform_is("linux/a b", NULL);
	platform_is("linux/../x", NULL);
	platform_is("linux/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL);

	ok(match("linux/amd64", "linux/amd64") > 0, "T75 the same platform serves");
	ok(match("linux/amd64", "linux/amd64/v1") > 0, "T75 v1 is amd64 itself");
	is_num(match("linux/amd64", "linux/amd64/v2"), 0, "T75 v2 does not serve v1");
	ok(match("linux/amd64/v3", "linux/amd64/v2") > match("linux/amd64/v3", "linux/amd64"),
	   "T75 the higher variant is better");
	is_num(match("linux/amd64/v3", "linux/amd64/v4"), 0, "T75 but not one above the wanted");
	ok(match("linux/arm/v7", "linux/arm/v6") > match("linux/arm/v7", "linux/arm/v5"),
	   "T75 arm has an order too");
	is_num(match("linux/arm/v6", "linux/arm"), 0, "T75 arm without a variant is v7");
	is_num(match("linux/arm64", "linux/arm/v7"), 0, "T75 arm does not serve arm64");
	ok(match("linux/arm64/v8.2", "linux/arm64") > 0, "T75 arm64 v8 serves v8.2");
	is_num(match("linux/arm64", "linux/arm64/v9"), 0, "T75 v9 does not serve v8");
	is_num(match("linux/amd64", "windows/amd64"), 0, "T75 another system");
	is_num(match("linux/amd64", "unknown/unknown"), 0, "T75 unknown/unknown serves nobody");
	is_num(match("unknown/unknown", "unknown/unknown"), 0, "T75 not even itself");
	ok(match("linux/ppc64le/power9", "linux/ppc64le") > 0, "no variant serves any");
	ok(match("linux/ppc64le/power9", "linux/ppc64le/power9") >
		   match("linux/ppc64le/power9", "linux/ppc64le"),
	   "the very variant is better");
	is_num(match("linux/ppc64le", "linux/ppc64le/power9"), 0, "a variant nobody asked for");
	is_num(platform_match(&none, &none), 0, "nothing serves nothing");

	platform_host(&host);
	is_str(host.os, "linux", "the host is linux");
	ok(platform_match(&host, &host) > 0, "and serves itself");
#if defined(__x86_64__)
	static const char *const levels[] = { "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4" };
	int level = 1;

	__builtin_cpu_init();
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"))
		level = 2;
	if (level == 2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
	    __builtin_cpu_supports("fma"))
		level = 3;
	if (level == 3 && __builtin_cpu_supports("avx512vl") &&
	    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
	    __builtin_cpu_supports("avx512dq"))
		level = 4;
	is_num(host.variant[0] ? host.variant[1] - '0' : 1, level, levels[level - 1]);
#endif
}

int main(void)
{
	test_digest();
	test_chain_id();
	test_reference();
	test_platform();
	return done_testing();
}
