/*
 * config.json of a bundle.
 *
 * With arguments it is a tool for the shell suites:
 *	oci_bundle CONFIG ROOTFS [UID GID [SUBID COUNT]] >config.json
 * where UID and GID are what 0 is mapped to, SUBID what 1 to COUNT are.
 */
#include "libcommon/oci.h"
#include "tests/unit/tap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int bundle(const char *text, int rootfd, const struct bundle_options *o, struct buf *out,
		  struct err *e)
{
	struct buf raw = BUF_INIT;
	struct config c;
	int r;

	buf_adds(&raw, text);
	r = config_parse(&raw, &c, e);
	if (r < 0)
		return r;
	r = bundle_config(&c, rootfd, o, out, e);
	config_release(&c);
	return r;
}

static int tool(int argc, char **argv)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT, out = BUF_INIT;
	struct id_map_entry uids[2] = { { 0, 0, 1 } }, gids[2] = { { 0, 0, 1 } };
	struct bundle_options o = { .uid_map = uids, .gid_map = gids };
	struct err e = { 0 };
	int rootfd = dir_open(AT_FDCWD, argv[2]), r;

	if (argc > 4) {
		uids[0].outside = (uint32_t)atol(argv[3]);
		gids[0].outside = (uint32_t)atol(argv[4]);
		o.uid_map_n = o.gid_map_n = 1;
	}
	if (argc > 6) {
		uids[1] = gids[1] = (struct id_map_entry){ 1, (uint32_t)atol(argv[5]),
							   (uint32_t)atol(argv[6]) };
		o.uid_map_n = o.gid_map_n = 2;
	}
	r = file_read(AT_FDCWD, argv[1], true, 8 << 20, &text);
	if (r == 0)
		r = bundle(buf_str(&text), rootfd, &o, &out, &e);
	if (r < 0) {
		fprintf(stderr, "oci_bundle: %d %s\n", r, e.text);
		return 1;
	}
	return fd_write_all(STDOUT_FILENO, out.p, out.n) < 0;
}

/* ---- tests ---- */

static char top[] = "/tmp/oci_bundle.XXXXXX";
static int rootfd;
static bool owned; /* could data/ be given away? */

#define ROOTFS "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]}"

/* The config.json of an image with these members in its "config", parsed; NULL where that fails. */
static struct json *make(const char *members, const struct bundle_options *o, struct err *e)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT, out = BUF_INIT;
	struct bundle_options none = { 0 };
	struct json *doc = NULL;

	buf_addf(
		&text,
		"{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v6\",\"author\":\"A\",\"created\":\"2020\",\"os.version\":\"7\",\"os.features\":[\"f\",\"g\"],"
		"\"config\":{%s}," ROOTFS "}",
		members);
	if (bundle(buf_str(&text), rootfd, o ? o : &none, &out, e) < 0)
		return NULL;
	json_parse(buf_span(&out), NULL, &doc, NULL);
	return doc;
}

/* The value at a path of members ("process.args"), written. */
static const char *at(const struct json *doc, const char *path)
{
	static struct json_out o;
	struct span rest = span_str(path), part;

	while (span_cut(&rest, '/', &part)) {
		char *key = span_dup(part);

		doc = json_get(doc, key);
		free(key);
	}
	json_out_release(&o);
	o = (struct json_out){ 0 };
	if (!doc)
		return "none";
	json_put(&o, doc);
	return buf_str(&o.b);
}

static void is_at(const char *members, const char *path, const char *want, const char *name)
{
	struct err e = { 0 };
	struct json *doc = make(members, NULL, &e);

	is_str(doc ? at(doc, path) : e.text, want, name);
	json_free(doc);
}

static void refused(const char *members, const char *says)
{
	struct err e = { 0 };
	struct json *doc = make(members, NULL, &e);

	ok(!doc && strstr(e.text, says), "refused: %s", members);
	json_free(doc);
}

static void test_process(void)
{
	is_at("", "process/args", "[\"sh\"]", "neither Entrypoint nor Cmd");
	is_at("\"Entrypoint\":null,\"Cmd\":null", "process/args", "[\"sh\"]",
	      "null as Go writes it");
	is_at("\"Cmd\":[\"a\",\"b c\"]", "process/args", "[\"a\",\"b c\"]", "Cmd");
	is_at("\"Entrypoint\":[\"e\"],\"Cmd\":[\"a\"]", "process/args", "[\"e\",\"a\"]",
	      "Entrypoint and Cmd");
	is_at("", "process/cwd", "\"/\"", "no WorkingDir");
	is_at("\"WorkingDir\":\"/srv\"", "process/cwd", "\"/srv\"", "a WorkingDir");
	is_at("\"WorkingDir\":\"srv\"", "process/cwd", "\"/srv\"", "that is relative");
	is_at("", "process/env",
	      "[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\"HOME=/root\"]",
	      "no Env");
	is_at("\"Env\":[\"A=1\",\"PATH=/x\",\"odd\",\"=odd\",\"HOME=\"]", "process/env",
	      "[\"A=1\",\"PATH=/x\",\"HOME=\"]", "Env as it is, but what is no variable");
	is_at("", "process/user", "{\"uid\":0,\"gid\":0,\"additionalGids\":[10]}", "no User: root");
	is_at("\"User\":\"app\"", "process/user",
	      "{\"uid\":1000,\"gid\":1001,\"additionalGids\":[29]}",
	      "a User by name, with its groups");
	is_at("\"User\":\"app:29\"", "process/user", "{\"uid\":1000,\"gid\":29}", "and a group");
	is_at("\"User\":\"app\"", "process/env",
	      "[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\",\"HOME=/home/app\"]",
	      "whose home it is");
	is_at("\"User\":\"app\"", "process/capabilities/effective", "[]",
	      "T48 who is not root holds no capability");
	is_at("", "process/capabilities/inheritable", "[]", "T48 and none is inherited");
	is_at("", "process/capabilities/ambient", "[]", "T48 in either way");
	is_at("", "process/noNewPrivileges", "true", "no new privileges");
	refused("\"User\":\"nobody\"", "no user nobody");
	refused("\"User\":\"4294967296\"", "out of range");
	refused("\"User\":0", "User in the image config is of a wrong type");
	refused("\"Cmd\":\"sh -c\"", "Cmd in the image config is of a wrong type");
	refused("\"Cmd\":[1]", "no list of strings");
	refused("\"Env\":[null]", "no list of strings");
	refused("\"Labels\":{\"a\":1}", "Labels");
	refused("\"Volumes\":[\"/a\"]", "Volumes");
}

static void test_annotations(void)
{
	is_at("\"StopSignal\":\"SIGINT\",\"ExposedPorts\":{\"80/tcp\":{},\"53/udp\":{}},"
	      "\"Labels\":{\"z\":\"1\",\"a\":\"2\",\"org.opencontainers.image.author\":\"me\"}",
	      "annotations",
	      "{\"a\":\"2\",\"org.opencontainers.image.architecture\":\"arm\",\"org.opencontainers.image.author\":\"me\","
	      "\"org.opencontainers.image.created\":\"2020\",\"org.opencontainers.image.exposedPorts\":\"53/udp,80/tcp\","
	      "\"org.opencontainers.image.os\":\"linux\",\"org.opencontainers.image.os.features\":\"f,g\","
	      "\"org.opencontainers.image.os.version\":\"7\",\"org.opencontainers.image.stopSignal\":\"SIGINT\","
	      "\"org.opencontainers.image.variant\":\"v6\",\"z\":\"1\"}",
	      "annotations, sorted, labels winning");
	is_at("\"Labels\":{\"run.oci.handler\":\"krun\",\"org.systemd.property.ExecStart\":\"x\",\"org.criu.config\":\"/x\","
	      "\"io.katacontainers.config.hypervisor.path\":\"/x\",\"run.ocis\":\"fine\"}",
	      "annotations/run.ocis", "\"fine\"", "labels are annotations");
	is_at("\"Labels\":{\"run.oci.handler\":\"krun\"}", "annotations/run.oci.handler", "none",
	      "T73 but give a runtime no orders");
	is_at("\"Labels\":{\"org.systemd.property.ExecStart\":\"x\"}",
	      "annotations/org.systemd.property.ExecStart", "none", "T73 nor systemd");
}

/* How many mounts have such a destination, and the options of the last one. */
static int mounts_at(const char *members, const char *destination, char *options, size_t size)
{
	struct json *doc = make(members, NULL, NULL);
	const struct json *list = json_get(doc, "mounts");
	int n = 0;

	options[0] = 0;
	for (size_t i = 0; i < json_len(list); i++) {
		struct span s;

		if (!json_str(json_get(json_at(list, i), "destination"), &s) ||
		    !span_is(s, destination))
			continue;
		snprintf(options, size, "%s", at(json_at(list, i), "options"));
		n++;
	}
	json_free(doc);
	return n;
}

static void test_volumes(void)
{
	char o[300];

	is_num(mounts_at("\"Volumes\":{\"/data\":{},\"/other\":{}}", "/data", o, sizeof(o)), 1,
	       "a volume");
	if (owned)
		is_str(o, "[\"nosuid\",\"nodev\",\"mode=1750\",\"uid=1000\",\"gid=29\"]",
		       "has mode and owner of its directory");
	else
		skip("not root: nothing can be given away");
	is_num(mounts_at("\"Volumes\":{\"/missing\":{}}", "/missing", o, sizeof(o)), 1,
	       "one that is not there");
	is_str(o, "[\"nosuid\",\"nodev\",\"mode=755\",\"uid=0\",\"gid=0\"]", "is root's");
	is_num(mounts_at("\"Volumes\":{\"/proc\":{}}", "/proc", o, sizeof(o)), 1,
	       "T44 nothing is laid over /proc");
	is_num(mounts_at("\"Volumes\":{\"/proc/sys\":{}}", "/proc/sys", o, sizeof(o)), 0,
	       "T44 nor in it");
	is_num(mounts_at("\"Volumes\":{\"/sys/fs/cgroup\":{}}", "/sys/fs/cgroup", o, sizeof(o)), 1,
	       "T52 nor over cgroups");
	is_num(mounts_at("\"Volumes\":{\"/a/../proc\":{}}", "/a/../proc", o, sizeof(o)), 0,
	       "T44 not by a detour");
	is_num(mounts_at("\"Volumes\":{\"//proc\":{}}", "//proc", o, sizeof(o)), 0,
	       "T44 of any kind");
	is_num(mounts_at("\"Volumes\":{\"/./dev\":{}}", "/./dev", o, sizeof(o)), 0,
	       "T43 not over /dev");
	is_num(mounts_at("\"Volumes\":{\"relative\":{}}", "relative", o, sizeof(o)), 0,
	       "no relative one");
	is_num(mounts_at("\"Volumes\":{\"/\":{}}", "/", o, sizeof(o)), 0, "and not all of it");
	is_num(mounts_at("\"Volumes\":{\"/process\":{}}", "/process", o, sizeof(o)), 1,
	       "a name that only begins so");
}

static void test_linux(void)
{
	static const struct id_map_entry map[] = { { 0, 1000, 1 }, { 1, 100000, 65536 } };
	const struct bundle_options o = {
		.uid_map = map, .gid_map = map, .uid_map_n = 2, .gid_map_n = 1
	};
	struct json *doc = make("", &o, NULL);
	char options[300];

	is_str(at(doc, "linux/uidMappings"),
	       "[{\"containerID\":0,\"hostID\":1000,\"size\":1},{\"containerID\":1,\"hostID\":100000,\"size\":65536}]",
	       "id map");
	ok(strstr(at(doc, "linux/namespaces"), "{\"type\":\"user\"}"), "in a user namespace");
	ok(!strstr(at(doc, "mounts"), "gid=5"), "no group of terminals where it is not mapped");
	json_free(doc);
	is_at("", "linux/uidMappings", "none", "none without");
	is_num(mounts_at("", "/dev/pts", options, sizeof(options)), 1, "terminals");
	ok(strstr(options, "gid=5"), "have their group");
	doc = make("", NULL, NULL);
	ok(!strstr(at(doc, "linux/namespaces"), "user"), "no user namespace");
	ok(strstr(at(doc, "linux/namespaces"), "cgroup"), "T52 but one of cgroups");
	ok(strstr(at(doc, "linux/maskedPaths"), "/sys/devices/virtual/powercap"),
	   "T47 masked paths");
	ok(strstr(at(doc, "linux/readonlyPaths"), "/proc/sys"), "T47 and read-only ones");
	json_free(doc);
}

int main(int argc, char **argv)
{
	int etc;

	if (argc > 2)
		return tool(argc, argv);
	if (!mkdtemp(top))
		return 1;
	rootfd = dir_open(AT_FDCWD, top);
	mkdirat(rootfd, "etc", 0755);
	mkdirat(rootfd, "data", 0755);
	owned = fchownat(rootfd, "data", 1000, 29, 0) == 0;
	fchmodat(rootfd, "data", 01750, 0);
	etc = dir_open(rootfd, "etc");
	file_replace(etc, "passwd",
		     SPAN("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n"),
		     0644, false);
	file_replace(etc, "group", SPAN("wheel:x:10:root\naudio:x:29:app\n"), 0644, false);
	fd_close(etc);
	test_process();
	test_annotations();
	test_volumes();
	test_linux();
	fd_close(rootfd);
	tree_remove(AT_FDCWD, top);
	return done_testing();
}
