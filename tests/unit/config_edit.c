/* Image configs that are edited: every member, what is refused, canonical form; times. */
#include "libcommon/oci.h"
#include "tests/unit/tap.h"

#include <stdlib.h>

enum { UNSET = 64 };

/* Applies (member, value) pairs to "config" of a base, or to nothing where it is NULL; the result's member "config". */
struct step {
	int m;
	const char *value;
};

static int apply(struct config_edit *c, const struct step *steps, size_t n, struct err *e)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < n; i++) {
		enum config_member m = (enum config_member)(steps[i].m % UNSET);

		r = steps[i].m < UNSET ? config_edit(c, m, steps[i].value, e) :
					 config_unset(c, m, steps[i].value, e);
	}
	return r;
}

static struct config_edit *open_edit(const char *base, struct config *config)
{
	static const struct platform linux_amd64 = { .os = "linux", .arch = "amd64" };
	struct buf raw = BUF_INIT;
	struct config_edit *c = NULL;
	struct err e = { 0 };

	memset(config, 0, sizeof(*config));
	if (base)
		buf_addf(&raw, "{\"rootfs\":{\"type\":\"layers\"},\"config\":%s}", base);
	if ((base && config_parse(&raw, config, &e) < 0) ||
	    config_edit_open(base ? config : NULL, &linux_amd64, &c, &e) < 0)
		diag("%s", e.text);
	return c;
}

static void edit_n(const char *base, const struct step *steps, size_t n, const char *want, const char *name)
{
	struct config config;
	_cleanup_(config_edit_closep) struct config_edit *c = open_edit(base, &config);
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	_cleanup_(json_freep) struct json *doc = NULL;
	struct json_out o = { 0 };
	struct err e = { 0 };
	int r = c ? apply(c, steps, n, &e) : -1;

	if (r == 0)
		r = config_edit_write(c, &out, &e);
	if (r == 0)
		r = json_parse(buf_span(&out), NULL, &doc, &e);
	if (r == 0)
		json_put(&o, json_get(doc, "config"));
	is_str(r ? e.text : buf_str(&o.b), want, name);
	json_out_release(&o);
	if (base)
		config_release(&config);
}
#define edit(base, want, name, ...) \
	edit_n(base, (const struct step[]){ __VA_ARGS__ }, sizeof((const struct step[]){ __VA_ARGS__ }) / sizeof(struct step), want, name)

static void commands(void)
{
	edit(NULL, "{\"Cmd\":[\"/a\",\"b c\"]}", "cmd: an array", { EDIT_CMD, " [\"/a\", \"b c\"] " });
	edit(NULL, "{\"Cmd\":[\"/bin/sh\",\"-c\",\"a b\"]}", "cmd: a text", { EDIT_CMD, "a b" });
	edit(NULL, "{\"Cmd\":[\"/bin/sh\",\"-c\",\"[ -f x ] && y\"]}", "cmd: a text that begins like an array",
	     { EDIT_CMD, "[ -f x ] && y" });
	edit(NULL, "[1] is an array of other things than strings", "cmd: an array of numbers", { EDIT_CMD, "[1]" });
	edit(NULL, "the command is empty", "cmd: nothing", { EDIT_CMD, " " });
	edit("{\"Cmd\":[\"x\"]}", "{}", "cmd: an empty array is none", { EDIT_CMD, "[]" });
	edit(NULL, "{\"Cmd\":[\"/bin/bash\",\"-ec\",\"x\"],\"Shell\":[\"/bin/bash\",\"-ec\"]}", "cmd: by another shell",
	     { EDIT_SHELL, "[\"/bin/bash\",\"-ec\"]" }, { EDIT_CMD, "x" });
	edit(NULL, "{\"Cmd\":[\"/bin/sh\",\"-c\",\"x\"],\"Shell\":[\"/bin/bash\",\"-ec\"]}", "cmd: a shell that comes later",
	     { EDIT_CMD, "x" }, { EDIT_SHELL, "[\"/bin/bash\",\"-ec\"]" });
	edit("{\"Entrypoint\":[\"e\"],\"Cmd\":[\"x\"]}", "{\"Entrypoint\":[\"n\"]}", "entrypoint: the base's cmd goes",
	     { EDIT_ENTRYPOINT, "[\"n\"]" });
	edit("{\"Cmd\":[\"x\"]}", "{\"Entrypoint\":[\"n\"],\"Cmd\":[\"y\"]}", "entrypoint: a new cmd before it stays",
	     { EDIT_CMD, "[\"y\"]" }, { EDIT_ENTRYPOINT, "[\"n\"]" });
	edit("{\"Cmd\":[\"x\"]}", "{\"Entrypoint\":[\"n\"],\"Cmd\":[\"y\"]}", "entrypoint: a new cmd after it stays",
	     { EDIT_ENTRYPOINT, "[\"n\"]" }, { EDIT_CMD, "[\"y\"]" });
	edit("{\"Entrypoint\":[\"e\"],\"Cmd\":[\"x\"]}", "{}", "both taken away", { UNSET + EDIT_CMD, NULL },
	     { UNSET + EDIT_ENTRYPOINT, NULL });
	edit(NULL, "/bin/sh is no JSON array of strings, such as [\"/bin/bash\",\"-c\"]", "shell: a text",
	     { EDIT_SHELL, "/bin/sh" });
	edit(NULL, "[] is no JSON array of strings, such as [\"/bin/bash\",\"-c\"]", "shell: empty", { EDIT_SHELL, "[]" });
}

static void collections(void)
{
	edit("{\"Env\":[\"A=1\",\"AB=2\",\"C=3\"]}", "{\"Env\":[\"A=x=y\",\"AB=2\",\"C=3\",\"D=\"]}", "env: replaced in its place, or last",
	     { EDIT_ENV, "A=x=y" }, { EDIT_ENV, "D=" });
	edit("{\"Env\":[\"A=1\",\"AB=2\",\"A=3\",\"A\"]}", "{\"Env\":[\"A=4\",\"AB=2\"]}", "env: one of a name that stood there more than once",
	     { EDIT_ENV, "A=4" });
	edit("{\"Env\":[\"A=1\",\"AB=2\",\"A=3\"]}", "{\"Env\":[\"AB=2\"]}", "env: taken away wherever it is",
	     { UNSET + EDIT_ENV, "A" }, { UNSET + EDIT_ENV, "Z" });
	edit("{\"Env\":[\"A=1\"]}", "{}", "env: the last one", { UNSET + EDIT_ENV, "A" });
	edit("{}", "{}", "env: none was there", { UNSET + EDIT_ENV, "A" });
	edit(NULL, "A is no NAME=VALUE", "env: no value", { EDIT_ENV, "A" });
	edit(NULL, "=x has no name", "env: no name", { EDIT_ENV, "=x" });
	edit(NULL, "A=b is no NAME", "env: taken away by more than a name", { UNSET + EDIT_ENV, "A=b" });
	edit("{\"Env\":null}", "{\"Env\":[\"A=1\"]}", "env: was null", { EDIT_ENV, "A=1" });
	edit("{\"Env\":\"A\"}", "Env of the image config is no array", "env: was a string", { EDIT_ENV, "A=1" });
	edit("{\"Labels\":{\"z\":\"1\",\"b\":\"2\"}}", "{\"Labels\":{\"a\":\"\",\"b\":\"x=y\",\"z\":\"1\"}}", "label: sorted",
	     { EDIT_LABEL, "b=x=y" }, { EDIT_LABEL, "a=" });
	edit("{\"Labels\":{\"a\":\"1\"}}", "{}", "label: taken away", { UNSET + EDIT_LABEL, "a" });
	edit(NULL, "a is no NAME=VALUE", "label: no value", { EDIT_LABEL, "a" });
	edit("{\"Labels\":[]}", "Labels of the image config is no object", "label: was an array", { EDIT_LABEL, "a=b" });
	edit(NULL, "{\"ExposedPorts\":{\"53/udp\":{},\"80/tcp\":{},\"81/tcp\":{},\"9/sctp\":{}}}", "expose",
	     { EDIT_EXPOSE, "80-81" }, { EDIT_EXPOSE, "53/UDP" }, { EDIT_EXPOSE, "9/sctp" }, { EDIT_EXPOSE, "80/tcp" });
	edit("{\"ExposedPorts\":{\"80\":{},\"81/tcp\":{},\"82/udp\":{}}}", "{\"ExposedPorts\":{\"82/udp\":{}}}", "expose: taken away",
	     { UNSET + EDIT_EXPOSE, "80" }, { UNSET + EDIT_EXPOSE, "81" }, { UNSET + EDIT_EXPOSE, "82" });
	static const char *const bad_ports[] = { "", "0", "65536", "80/", "80/icmp", "x", "-1", "90-80", "80-", "+80", "80/tcp/x", " 80" };
	for (size_t i = 0; i < ARRAY_LEN(bad_ports); i++) {
		struct config config;
		_cleanup_(config_edit_closep) struct config_edit *c = open_edit(NULL, &config);

		is_num(config_edit(c, EDIT_EXPOSE, bad_ports[i], NULL), E_USAGE, "no port");
	}
	edit(NULL, "{\"Volumes\":{\"/a\":{},\"/b c\":{}}}", "volume", { EDIT_VOLUME, "/b c" }, { EDIT_VOLUME, "[\"/a\"]" });
	edit("{\"Volumes\":{\"/a\":{}}}", "{}", "volume: taken away", { UNSET + EDIT_VOLUME, "/a" });
	edit(NULL, "a is no absolute path", "volume: relative", { EDIT_VOLUME, "a" });
	edit(NULL, " is no absolute path", "volume: empty in an array", { EDIT_VOLUME, "[\"/x\",\"\"]" });
	edit(NULL, "{\"OnBuild\":[\"RUN a\",\"COPY . /\"]}", "onbuild: added", { EDIT_ONBUILD, "RUN a" }, { EDIT_ONBUILD, " COPY . / " });
	edit("{\"OnBuild\":[\"RUN a\"]}", "{}", "onbuild: taken away", { UNSET + EDIT_ONBUILD, NULL });
	edit(NULL, "onbuild run x is no instruction that can be a trigger", "onbuild: of itself", { EDIT_ONBUILD, "onbuild run x" });
	edit(NULL, "FROM x is no instruction that can be a trigger", "onbuild: FROM", { EDIT_ONBUILD, "FROM x" });
	edit(NULL, "RUN is no instruction that can be a trigger", "onbuild: a word", { EDIT_ONBUILD, "RUN" });
}

static void values(void)
{
	edit("{\"WorkingDir\":\"/a/b\"}", "{\"WorkingDir\":\"/a/c/d\"}", "workdir: relative, cleaned", { EDIT_WORKDIR, "..//c/./d/" });
	edit(NULL, "{\"WorkingDir\":\"/\"}", "workdir: never above the root", { EDIT_WORKDIR, "../../.." });
	edit(NULL, "{\"WorkingDir\":\"/x/y\"}", "workdir: step by step", { EDIT_WORKDIR, "x" }, { EDIT_WORKDIR, "y" });
	edit("{\"WorkingDir\":\"/a\"}", "{}", "workdir: taken away", { UNSET + EDIT_WORKDIR, NULL });
	edit(NULL, "the directory is empty", "workdir: empty", { EDIT_WORKDIR, "" });
	edit(NULL, "{\"User\":\"a:0\"}", "user", { EDIT_USER, "1" }, { EDIT_USER, "a:0" });
	static const char *const bad_users[] = { "", ":", "a:", ":b", "a b", "a:b:c", "4294967295", "4294967296", "0:99999999999999999999", "a\n" };
	for (size_t i = 0; i < ARRAY_LEN(bad_users); i++) {
		struct config config;
		_cleanup_(config_edit_closep) struct config_edit *c = open_edit(NULL, &config);

		is_num(config_edit(c, EDIT_USER, bad_users[i], NULL), E_USAGE, "T50 no user");
	}
	static const char *const signals[] = { "SIGTERM", "SIGTERM", "int", "SIGINT", "9", "9", "rtmin+3", "SIGRTMIN+3",
					       "SIGRTMAX-14", "SIGRTMAX-14", "RTMIN", "SIGRTMIN" };
	for (size_t i = 0; i < ARRAY_LEN(signals); i += 2) {
		_cleanup_(freep) char *want = xasprintf("{\"StopSignal\":\"%s\"}", signals[i + 1]);

		edit(NULL, want, signals[i], { EDIT_STOP_SIGNAL, signals[i] });
	}
	static const char *const bad_signals[] = { "", "0", "65", "SIG", "SIGNONE", "TERM ", "RTMIN-1", "RTMIN+31", "RTMAX+1", "ERM" };
	for (size_t i = 0; i < ARRAY_LEN(bad_signals); i++) {
		struct config config;
		_cleanup_(config_edit_closep) struct config_edit *c = open_edit(NULL, &config);

		is_num(config_edit(c, EDIT_STOP_SIGNAL, bad_signals[i], NULL), E_USAGE, "no signal");
	}
	edit(NULL, "\\xff=1 is no UTF-8", "T74 no UTF-8", { EDIT_ENV, "\xff=1" });
}

static void health(void)
{
	edit(NULL, "{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"a  b || exit 1\"]}}", "a text", { EDIT_HEALTHCHECK, "CMD a  b || exit 1" });
	edit(NULL, "{\"Healthcheck\":{\"Interval\":90500000000,\"Timeout\":2000000,\"StartPeriod\":3600000000000,"
		   "\"StartInterval\":1500000,\"Retries\":3,\"Test\":[\"CMD\",\"/x\",\"-y\"]}}",
	     "all options, an array",
	     { EDIT_HEALTHCHECK, "--interval=1m30.5s --timeout=2ms --start-period=1h --start-interval=1500us --retries=3 cmd [\"/x\", \"-y\"]" });
	edit(NULL, "{\"Healthcheck\":{\"Test\":[\"NONE\"]}}", "none", { EDIT_HEALTHCHECK, " none " });
	edit("{\"Healthcheck\":{\"Test\":[\"NONE\"]}}", "{}", "taken away", { UNSET + EDIT_HEALTHCHECK, NULL });
	edit(NULL, "{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"x\"]}}", "0 is as if it were not given",
	     { EDIT_HEALTHCHECK, "--interval=0 --timeout=0s --retries=0 CMD x" });
	static const char *const bad[] = { "", "CMD", "CMD []", "NONE x", "x", "--interval=5 CMD x", "--interval=1us CMD x",
					   "--interval=-1s CMD x", "--interval= CMD x", "--interval=99999999999h CMD x", "--interval=1 s CMD x",
					   "--interval=.s CMD x", "--retries=-1 CMD x", "--nope=1 CMD x", "--interval CMD x", "CMD [1]", "--interval=5s",
					   "--interval=3000000h CMD x" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct config config;
		_cleanup_(config_edit_closep) struct config_edit *c = open_edit(NULL, &config);

		ok(config_edit(c, EDIT_HEALTHCHECK, bad[i], NULL) == E_USAGE, "refused: %s", bad[i]);
	}
}

static void canonical(void)
{
	static const char text[] = "{\"x\":1,\"history\":[{\"empty_layer\":true,\"created_by\":\"c\",\"z\":0}],\"os\":\"linux\","
				   "\"rootfs\":{\"diff_ids\":[],\"type\":\"layers\"},\"config\":{\"Zeta\":[],\"Cmd\":null,"
				   "\"Labels\":{\"b\":\"\",\"a\":\"\"},\"User\":\"u\"},\"architecture\":\"arm\",\"created\":\"c\"}";
	static const char want[] = "{\"created\":\"c\",\"architecture\":\"arm\",\"os\":\"linux\",\"config\":{\"User\":\"u\",\"Cmd\":null,"
				   "\"Labels\":{\"a\":\"\",\"b\":\"\"},\"Zeta\":[]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[]},"
				   "\"history\":[{\"created_by\":\"c\",\"empty_layer\":true,\"z\":0}],\"x\":1}";
	struct config config;
	_cleanup_(config_edit_closep) struct config_edit *c = NULL;
	_cleanup_(buf_release) struct buf raw = BUF_INIT, out = BUF_INIT;

	buf_adds(&raw, text);
	if (!ok(config_parse(&raw, &config, NULL) == 0 && config_edit_open(&config, NULL, &c, NULL) == 0, "a config"))
		return;
	ok(!config_edit_changed(c), "nothing has changed");
	config_edit_write(c, &out, NULL);
	is_str(buf_str(&out), want, "known members in the order of the specification, others behind them");
	ok(config_edit(c, EDIT_USER, "u", NULL) == 0 && !config_edit_changed(c), "the same again is no change");
	ok(config_edit(c, EDIT_USER, "v", NULL) == 0 && config_edit_changed(c), "another is one");
	ok(config_edit(c, EDIT_AUTHOR, "a", NULL) == 0 && !strcmp(json_cstr(json_get(config_edit_json(c), "author")), "a"), "author");
	ok(config_unset(c, EDIT_AUTHOR, NULL, NULL) == 0 && !json_get(config_edit_json(c), "author"), "and none");
	config_release(&config);
}

static void limits(void)
{
	struct config config;
	_cleanup_(config_edit_closep) struct config_edit *c = open_edit(NULL, &config);
	_cleanup_(buf_release) struct buf out = BUF_INIT, label = BUF_INIT;
	struct err e = { 0 };

	for (int i = 0; i < 9; i++) {
		buf_clear(&label);
		buf_addf(&label, "%d=%*d", i, 1 << 20, i);
		config_edit(c, EDIT_LABEL, buf_str(&label), NULL);
	}
	is_num(config_edit_write(c, &out, &e), E_TOOBIG, "T80 a config of more than 8 MiB");
	ok(strstr(e.text, "the image config would have 94"), "whose size is told");
}

static void times(void)
{
	static const char *const good[] = {
		"0", "1970-01-01T00:00:00Z", "1700000000", "2023-11-14T22:13:20Z", "2024-02-29t23:59:59z", "2024-02-29T23:59:59Z",
		"2024-01-01T00:30:00+01:00", "2023-12-31T23:30:00Z", "2024-01-01T00:00:00.120-00:30", "2024-01-01T00:30:00.12Z",
		"2024-01-01T00:00:00.000Z", "2024-01-01T00:00:00Z", "253402300799", "9999-12-31T23:59:59Z",
		"2024-01-01", "2024-01-01T00:00:00Z", "2024-01-01 07:08", "2024-01-01T07:08:00Z", "2024-01-01 07:08:09", "2024-01-01T07:08:09Z",
		"2024-01-01 00:00:00Z", "2024-01-01T00:00:00Z", "@5", "1970-01-01T00:00:05Z",
	};
	static const char *const bad[] = { "", "x", "-1", "253402300800", "2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-0x",
					   "2024-01-01 07", "2024-01-01 7:08", "@", "@@5", "@-5", "2024-01-01T24:00:00Z", "2024-01-01T00:00:60Z", "2024-01-01T00:00:00.Z",
					   "2024-01-01T00:00:00Zx", "2024-01-01T00:00:00+1:00", "0000-01-01T00:00:00Z",
					   "9999-12-31T23:59:59-01:00", "2024-01-01T00:00:00.1234567890Z" };

	for (size_t i = 0; i < ARRAY_LEN(good); i += 2) {
		char *out = NULL;

		time_canonical(good[i], &out, NULL);
		is_str(out, good[i + 1], good[i]);
		free(out);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char *out = NULL;

		ok(time_canonical(bad[i], &out, NULL) == E_USAGE, "no time: %s", bad[i]);
	}
}

int main(void)
{
	commands();
	collections();
	values();
	health();
	canonical();
	limits();
	times();
	return done_testing();
}
