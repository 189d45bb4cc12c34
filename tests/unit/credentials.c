/* Auth files: which entry is for whom, and the helpers' protocol. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/registry/credentials.h"
#include "tests/unit/tap.h"

static const char *found(const char *json, const char *domain, const char *repository)
{
	static char text[1024];
	struct credential c = { 0 };
	struct err e = { 0 };
	int r = credentials_file_find("F", span_str(json), domain, repository, 10000, &c, &e);

	if (r < 0)
		snprintf(text, sizeof(text), "error: %s", e.text);
	else if (!r)
		snprintf(text, sizeof(text), "none");
	else if (c.identity_token || c.registry_token)
		snprintf(text, sizeof(text), "%s %s", c.identity_token ? "identity" : "registry",
			 c.identity_token ? c.identity_token : c.registry_token);
	else
		snprintf(text, sizeof(text), "%s %s", c.username, c.password);
	credential_release(&c);
	return text;
}

/* dTpw: "u:p" */
#define ONE(key) "{\"auths\":{\"" key "\":{\"auth\":\"dTpw\"}}}"

static void keys(void)
{
	static const struct {
		const char *json, *domain, *repository, *want;
	} rows[] = {
		{ ONE("reg.example"), "reg.example", "a/b", "u p" },
		{ ONE("https://reg.example"), "reg.example", "a/b", "u p" },
		{ ONE("http://reg.example/"), "reg.example", "a/b", "u p" },
		{ ONE("https://reg.example/v1/"), "reg.example", "a/b", "u p" },
		{ ONE("reg.example/v2//"), "reg.example", "a/b", "u p" },
		{ ONE("REG.example"), "reg.example", "a/b", "u p" },
		{ ONE("reg.example:5000"), "reg.example", "a/b", "none" },
		{ ONE("reg.example"), "reg.example:5000", "a/b", "none" },
		{ ONE("reg.example"), "reg.example.evil", "a/b", "none" },
		{ ONE("reg.example.evil"), "reg.example", "a/b", "none" },
		{ ONE("user@reg.example"), "reg.example", "a/b", "none" },
		{ ONE("reg.example/a"), "reg.example", "a/b", "u p" },
		{ ONE("reg.example/a/b"), "reg.example", "a/b", "u p" },
		{ ONE("reg.example/a/b/c"), "reg.example", "a/b", "none" },
		{ ONE("reg.example/v2/a"), "reg.example", "a/b", "none" },
		{ ONE("https://index.docker.io/v1/"), "docker.io", "library/x", "u p" },
		{ ONE("docker.io"), "docker.io", "library/x", "u p" },
		{ ONE("index.docker.io"), "docker.io", "library/x", "u p" },
		{ ONE("registry-1.docker.io"), "docker.io", "library/x", "u p" },
		{ ONE("docker.io/library"), "docker.io", "library/x", "u p" },
		{ ONE("docker.io"), "hub.docker.io", "library/x", "none" },
		{ ONE(""), "reg.example", "a/b", "none" },
		{ ONE("https://"), "reg.example", "a/b", "none" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char name[256];

		snprintf(name, sizeof(name), "%s for %s/%s", rows[i].json, rows[i].domain,
			 rows[i].repository);
		is_str(found(rows[i].json, rows[i].domain, rows[i].repository), rows[i].want, name);
	}
}

static void scopes(void)
{
	static const char json[] =
		"{\"auths\":{"
		"\"reg.example\":{\"username\":\"host\",\"password\":\"0\"},"
		"\"reg.example/org-a\":{\"username\":\"a\",\"password\":\"1\"},"
		"\"https://reg.example/org-a/app\":{\"username\":\"app\",\"password\":\"2\"},"
		"\"other.example/org-a\":{\"username\":\"oa\",\"password\":\"3\"}}}";

	is_str(found(json, "reg.example", "org-a/app"), "app 2", "T65 the longest path wins");
	is_str(found(json, "reg.example", "org-a/app/x"), "app 2", "T65 for what is below it, too");
	is_str(found(json, "reg.example", "org-a/application"), "a 1", "T65 at a slash only");
	is_str(found(json, "reg.example", "org-b/app"), "host 0", "T65 else the host's");
	is_str(found(json, "other.example", "org-b/app"), "none",
	       "T65 an entry for org-a is not used for org-b");
}

static void forms(void)
{
#define ENTRY(members) "{\"auths\":{\"r\":{" members "}}}"
	static const char *const rows[][2] = {
		{ ENTRY("\"auth\":\"dTpwOnE=\""), "u p:q" },
		{ ENTRY("\"auth\":\" dTpw \\n\""), "u p" },
		{ ENTRY("\"auth\":\"dTpwAA==\""), "u p" },
		{ ENTRY("\"auth\":\"dTpw\",\"identitytoken\":\"idt\""), "identity idt" },
		{ ENTRY("\"auth\":\"!!\",\"identitytoken\":\"idt\""), "identity idt" },
		{ ENTRY("\"registrytoken\":\"rt\""), "registry rt" },
		{ ENTRY("\"username\":\"x\",\"password\":\"y:z\""), "x y:z" },
		{ ENTRY("\"auth\":\"\""), "none" },
		{ ENTRY("\"email\":\"a@b\""), "none" },
		{ ENTRY("\"auth\":\"dQ==\""), "error: F: auth of the entry \"r\" is malformed" },
		{ ENTRY("\"auth\":\"*\""), "error: F: auth of the entry \"r\" is malformed" },
		{ ENTRY("\"auth\":\"dTpwCg0=\""),
		  "error: F: auth of the entry \"r\" is malformed" },
		{ ENTRY("\"registrytoken\":\"a b\""),
		  "error: F: registrytoken of the entry \"r\" is malformed" },
		{ ENTRY("\"username\":\"a:b\",\"password\":\"c\""),
		  "error: F: username or password of the entry \"r\" is malformed" },
		{ "{}", "none" },
		{ "{\"auths\":[]}", "none" },
		{ "[]", "error: F: is not a JSON object" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		is_str(found(rows[i][0], "r", "x"), rows[i][1], rows[i][0]);
	ok(!strncmp(found("{", "r", "x"), "error: F: ", 10), "a file that does not parse");
}

static void helper(const char *dir, const char *name, const char *script)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/docker-credential-%s", dir, name);
	f = fopen(path, "w");
	if (!f)
		exit(99);
	fprintf(f, "#!/bin/sh\n%s\n", script);
	fclose(f);
	chmod(path, 0755);
}

static void helpers(void)
{
	char dir[] = "/tmp/helpersXXXXXX", path[1024];

	if (!mkdtemp(dir))
		exit(99);
	snprintf(path, sizeof(path), "%s:/usr/bin:/bin", dir);
	setenv("PATH", path, 1);
	helper(dir, "echo",
	       "s=$(cat); echo \"{\\\"ServerURL\\\":\\\"$s\\\",\\\"Username\\\":\\\"$1\\\",\\\"Secret\\\":\\\"$s\\\"}\"");
	helper(dir, "token",
	       "cat >/dev/null; echo '{\"Username\":\"<token>\",\"Secret\":\"idt\"}'");
	helper(dir, "none",
	       "cat >/dev/null; echo 'credentials not found in native keychain'; exit 1");
	helper(dir, "broken", "echo 'keyring is locked'; exit 1");
	helper(dir, "odd", "echo '{\"Username\":\"u\"}'");

#define HELPER(h)                                                                                  \
	"{\"auths\":{\"other.example\":{\"auth\":\"dTpw\"}},\"credHelpers\":{\"reg.example\":\"" h \
	"\"}}"
	static const struct {
		const char *json, *domain, *want;
	} rows[] = {
		{ HELPER("echo"), "reg.example", "get reg.example" },
		{ HELPER("token"), "reg.example", "identity idt" },
		{ HELPER("none"), "reg.example", "none" },
		{ HELPER("echo"), "other.example", "u p" },
		{ HELPER("broken"), "reg.example",
		  "error: F: docker-credential-broken failed for reg.example: keyring is locked" },
		{ HELPER("odd"), "reg.example",
		  "error: F: docker-credential-odd gave an answer that is no credential" },
		{ HELPER("missing"), "reg.example",
		  "error: F: docker-credential-missing, which holds the credentials for reg.example, is not installed" },
		{ HELPER("../../bin/sh"), "reg.example",
		  "error: F: \"../../bin/sh\" is no name of a credential helper" },
		{ HELPER("-x"), "reg.example",
		  "error: F: \"-x\" is no name of a credential helper" },
		{ HELPER(""), "reg.example", "none" },
		{ "{\"credsStore\":\"echo\"}", "docker.io", "get https://index.docker.io/v1/" },
		{ "{\"credsStore\":\"echo\"}", "reg.example:5000", "get reg.example:5000" },
		{ "{\"credsStore\":\"echo\",\"auths\":{\"https://reg.example/v1/\":{}}}",
		  "reg.example", "get https://reg.example/v1/" },
		{ "{\"credsStore\":\"broken\",\"auths\":{\"docker.io\":{\"auth\":\"dTpw\"}}}",
		  "docker.io", "u p" },
		{ "{\"credHelpers\":{\"docker.io\":\"echo\"}}", "docker.io",
		  "get https://index.docker.io/v1/" },
		{ "{\"credHelpers\":{\"reg.example\":\"echo\"},\"auths\":{\"reg.example\":{\"auth\":\"dTpw\"}}}",
		  "reg.example", "get reg.example" },
		{ "{\"credHelpers\":{\"reg.example\":\"broken\"},\"auths\":{\"reg.example/a\":{\"auth\":\"dTpw\"}}}",
		  "reg.example", "u p" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char name[512];

		snprintf(name, sizeof(name), "T64 %s for %s", rows[i].json, rows[i].domain);
		is_str(found(rows[i].json, rows[i].domain, "a/b"), rows[i].want, name);
	}
	snprintf(path, sizeof(path), "rm -r %s", dir);
	if (system(path))
		exit(99);
}

int main(void)
{
	keys();
	scopes();
	forms();
	helpers();
	return done_testing();
}
