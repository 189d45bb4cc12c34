/* Capabilities, id maps, mounts and environment as people write them, overlay's escapes, bundles.
 */
#include <stdlib.h>

#include "libcommon/runtime/private.h"
#include "tests/unit/tap.h"

static void caps(void)
{
	uint64_t m = 0;

	ok(!cap_from_name("CAP_CHOWN", &m) && m == 1, "CAP_CHOWN");
	ok(!cap_from_name("net_admin", &m) && m == 1 << 12, "net_admin");
	ok(!cap_from_name("All", &m) && m == 0x1ffffffffff, "All");
	ok(cap_from_name("CAP_", &m) == E_USAGE, "CAP_ alone");
	ok(cap_from_name("", &m) == E_USAGE, "nothing");
	is_str(cap_name(40), "CAP_CHECKPOINT_RESTORE", "the last");
	ok(!cap_name(41), "and none behind it");
	m = 0;
	for (unsigned i = 0; i < 41; i++) {
		uint64_t one = 0;

		if (CAPS_DEFAULT >> i & 1)
			m += !cap_from_name(cap_name(i), &one) && one == 1ULL << i;
	}
	is_num((long long)m, 14, "the default set has fourteen");
}

static void id_maps(void)
{
	static const char subuid[] = "other:100000:65536\n"
				     "# comment\n"
				     "user:200000:65536\n"
				     "1000:300000:10\n"
				     "10000:1:1\n"
				     "user:4294967290:100\n"
				     "user:400000:0\n"
				     "user:x:1\n"
				     "user:1\n"
				     "user:+1:1\n";
	struct id_map_entry map[4] = { { 0, 1000, 1 } };
	struct buf b = BUF_INIT;
	size_t n = 1;

	id_map_add_ranges(span_str(subuid), "user", 1000, map, &n, 4);
	is_num((long long)n, 3, "ranges by name and by number, none that overflows or is empty");
	id_map_text(map, n, ' ', &b);
	is_str(buf_str(&b), "0 1000 1\n1 200000 65536\n65537 300000 10\n", "follow one another");
	n = 1;
	id_map_add_ranges(span_str(subuid), NULL, 1000, map, &n, 4);
	is_num((long long)n, 2, "without a name, by number");
	n = 1;
	id_map_add_ranges(span_str("user:1:1\nuser:2:1\nuser:3:1\nuser:4:1\n"), "user", 7, map, &n,
			  4);
	is_num((long long)n, 4, "no more than there is room for");
	buf_release(&b);
	is_num(id_map_parse(span_str("         0          0 4294967295\n"), map, 4), 1,
	       "the kernel's text");
	is_num(map[0].count, UINT32_MAX, "and its count");
	is_num(id_map_parse(span_str("0 1\n"), map, 4), E_FORMAT, "a short line");
	is_num(id_map_parse(span_str("0 1 2 3\n"), map, 4), E_FORMAT, "a long line");
	is_num(id_map_parse(span_str("a b c\n"), map, 4), E_FORMAT, "letters");
	is_num(id_map_parse(span_str(""), map, 4), 0, "nothing");
}

static int volume(const char *text, struct container_mount *m)
{
	static char *spec;
	struct err e = { 0 };

	free(spec);
	spec = xstrdup(text);
	return volume_parse(spec, m, &e);
}

static int tmpfs(const char *text, struct container_mount *m)
{
	static char *spec;
	struct err e = { 0 };

	free(spec);
	spec = xstrdup(text);
	return tmpfs_parse(spec, m, &e);
}

static void mounts(void)
{
	static const char *const bad[] = { "",	  "x",	   ":",	   "x:",     ":/y",	 "x:y",
					   "x:/", "x:/..", "x:/.", "x:/y:z", "x:/y:ro,z" };
	struct container_mount m;

	ok(!volume("/a:/b", &m) && !m.read_only && m.recursive && !m.dev, "SRC:DST");
	is_str(m.source, "/a", "source");
	is_str(m.target, "/b", "target");
	ok(!volume("a:/b:ro,noexec,bind,dev", &m) && m.read_only && m.noexec && !m.recursive &&
		   m.dev,
	   "options");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		is_num(volume(bad[i], &m), E_USAGE, bad[i]);
	ok(!tmpfs("/t", &m) && m.noexec && m.nosuid && !m.size, "a tmpfs");
	ok(!tmpfs("/t:size=64k,mode=700,exec", &m) && m.size == 65536 && m.mode == 0700 &&
		   !m.noexec,
	   "its options");
	is_num(tmpfs("/t:size=-1", &m), E_USAGE, "a bad size");
	is_num(tmpfs("/t:mode=8", &m), E_USAGE, "a bad mode");
	is_num(tmpfs("t", &m), E_USAGE, "a relative target");
}

static void environment(void)
{
	static const char *const caller[] = { "A=1", "AB=2", NULL };
	struct strs env = { 0 };
	struct err e = { 0 };

	ok(!env_add("X=y=z", caller, &env, &e) && !env_add("A", caller, &env, &e) &&
		   !env_add("C", caller, &env, &e),
	   "variables");
	is_num((long long)env.n, 2, "one that the caller has not is none");
	is_str(env.v[0], "X=y=z", "with a value");
	is_str(env.v[1], "A=1", "with the caller's");
	is_num(env_add("=x", caller, &env, &e), E_USAGE, "no name");
	ok(!env_add_file(SPAN("# c\n\n \tX=2\r\nAB\n"), caller, &env, &e), "a file");
	is_str(strs_get_env(&env, "X"), "2", "goes over what was");
	is_num(env_add_file(SPAN("ok=1\n=bad\n"), caller, &env, &e), E_FORMAT, "a bad line");
	is_str(e.text, "=x is neither NAME=VALUE nor NAME", "the first fault counts");
	strs_release(&env);
}

static void overlay(void)
{
	struct buf b = BUF_INIT;

	overlay_escape("/a:b\\c,d", &b);
	is_str(buf_str(&b), "/a\\:b\\\\c\\,d", "lowerdir's escapes");
	buf_release(&b);
}

#define HEAD \
	"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"process\":{\"args\":[\"x\"],\"cwd\":\"/\""
#define TAIL "},\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"pid\"}]}"
#define LINUX(ns, more) "},\"linux\":{\"namespaces\":[{\"type\":\"mount\"}" ns "]" more "}"
#define MAP "[{\"containerID\":0,\"hostID\":1000,\"size\":1}]"
#define MOUNT(dst, type, options) \
	",\"mounts\":[{\"destination\":\"" dst "\",\"type\":\"" type "\",\"options\":" options "}]}"

static void bundles(void)
{
	static const struct {
		const char *text;
		int want;
	} cases[] = {
		{ HEAD TAIL "}", 0 },
		{ HEAD ",\"user\":{\"uid\":1,\"additionalGids\":[1,2]}" TAIL "}", 0 },
		{ HEAD ",\"user\":{\"additionalGids\":[-1]}" TAIL "}", E_FORMAT },
		{ HEAD ",\"user\":[]" TAIL "}", E_FORMAT },
		{ HEAD ",\"capabilities\":[]" TAIL "}", E_FORMAT },
		{ HEAD ",\"capabilities\":{\"bounding\":{}}" TAIL "}", E_FORMAT },
		{ HEAD TAIL ",\"mounts\":[{\"destination\":\"/x\",\"type\":\"bind\"}]}", E_FORMAT },
		{ HEAD TAIL ",\"mounts\":[1]}", E_FORMAT },
		{ HEAD TAIL ",\"hostname\":\"h\"}", E_FORMAT },
		/* twice the same namespace; maps that would not be in force */
		{ HEAD LINUX(",{\"type\":\"pid\"},{\"type\":\"pid\"}", "") "}", E_FORMAT },
		{ HEAD LINUX("", ",\"uidMappings\":" MAP ",\"gidMappings\":" MAP) "}", E_FORMAT },
		{ HEAD LINUX(",{\"type\":\"user\"}", ",\"uidMappings\":" MAP) "}", E_FORMAT },
		{ HEAD LINUX(",{\"type\":\"user\"}", ",\"gidMappings\":" MAP) "}", E_FORMAT },
		{ HEAD LINUX(",{\"type\":\"user\"}",
			     ",\"uidMappings\":" MAP ",\"gidMappings\":" MAP) "}", 0 },
		{ HEAD LINUX("", ",\"rootfsPropagation\":1") "}", E_FORMAT },
		/* what every container has, but not as it is asked for */
		{ HEAD TAIL MOUNT("/proc", "proc", "[\"nosuid\",\"nodev\"]"), 0 },
		{ HEAD TAIL MOUNT("/proc", "proc", "[\"nosuid\",\"ro\"]"), E_UNSUPPORTED },
		{ HEAD TAIL MOUNT("/dev", "tmpfs", "[\"ro\"]"), E_UNSUPPORTED },
		{ HEAD TAIL MOUNT("/sys", "sysfs", "[\"ro\"]"), 0 },
		{ HEAD TAIL MOUNT("/proc", "proc", "{}"), E_FORMAT },
		{ "{}", E_UNSUPPORTED },
		{ "[]", E_FORMAT },
		{ "", E_FORMAT },
	};
	struct loaded_bundle b0;
	struct err e0 = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct loaded_bundle b;
		struct err e = { 0 };
		int r = bundle_parse(span_str(cases[i].text), "/dir", &b, &e);

		ok(cases[i].want ? r < 0 : !r, "bundle %zu: %d %s", i, r, e.text);
		if (!i)
			is_str(b.c.rootfs, "/dir/r", "its root");
		bundle_unload(&b);
	}
	ok(!bundle_parse(SPAN(HEAD TAIL MOUNT("/t", "tmpfs", "[\"mode=0\"]")), "/dir", &b0, &e0) &&
		   b0.c.mounts[0].has_mode && !b0.c.mounts[0].mode,
	   "a tmpfs that nobody may enter");
	bundle_unload(&b0);
}

int main(void)
{
	caps();
	id_maps();
	mounts();
	environment();
	overlay();
	bundles();
	return done_testing();
}
