/* Layouts on disk: made, locked, named in, cleaned; by several at once. */
#include "libcommon/oci.h"
#include "libcommon/oci/oci_private.h"
#include "tests/unit/tap.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char top[] = "/tmp/oci_layout.XXXXXX";

static const char *in_top(const char *name)
{
	static char path[4][200];
	static int i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", top, name);
	return path[i];
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	fputs(text, f);
	fclose(f);
}

static const char *read_text(const char *path)
{
	static struct buf b;

	buf_clear(&b);
	if (file_read(AT_FDCWD, path, false, 1 << 20, &b) < 0)
		return "unreadable";
	return buf_str(&b);
}

static struct descriptor blob(const char *text)
{
	return (struct descriptor){ .media_type = (char *)MEDIA_OCI_MANIFEST,
				    .digest = digest_of(HASH_SHA256, span_str(text)),
				    .size = strlen(text) };
}

static void test_open(void)
{
	struct layout l;
	struct err e = { 0 };
	mode_t old = umask(077);

	is_num(layout_open(in_top("none"), false, &l, NULL), E_NOT_FOUND, "no directory");
	is_num(layout_open(top, false, &l, NULL), E_NOT_FOUND, "a directory that is no layout");
	is_num(layout_open(in_top("none/deeper"), true, &l, NULL), -ENOENT, "no parent");
	is_num(layout_open(in_top("l"), true, &l, NULL), 0, "made");
	layout_close(&l);
	is_str(read_text(in_top("l/oci-layout")), LAYOUT_FILE, "with its file oci-layout");
	is_str(read_text(in_top("l/index.json")), LAYOUT_EMPTY_INDEX, "and an empty index");

	struct stat st;

	ok(stat(in_top("l/blobs"), &st) == 0 && (st.st_mode & 0777) == 0700,
	   "T18 the umask is respected");
	umask(old);
	is_num(layout_open(in_top("l"), false, &l, NULL), 0, "opened again");
	layout_close(&l);
	is_num(layout_open(in_top("l"), true, &l, NULL), 0, "and when it is there already");
	layout_close(&l);

	mkdir(in_top("other"), 0755);
	write_file(in_top("other/file"), "x");
	is_num(layout_open(in_top("other"), true, &l, &e), E_EXISTS,
	       "a directory that holds something else");
	ok(strstr(e.text, "holds file"), "is named");
	mkdir(in_top("broken"), 0755);
	mkdir(in_top("broken/blobs"), 0755);
	write_file(in_top("broken/.oci-layout.abc"), "");
	is_num(layout_open(in_top("broken"), true, &l, NULL), 0,
	       "one whose making was broken off is finished");
	layout_close(&l);

	mkdir(in_top("v2"), 0755);
	write_file(in_top("v2/oci-layout"), "{\"imageLayoutVersion\":\"2.0.0\"}");
	is_num(layout_open(in_top("v2"), false, &l, NULL), E_UNSUPPORTED, "another version");
	is_num(layout_open(in_top("v2"), true, &l, NULL), E_UNSUPPORTED, "is not overwritten");
	write_file(in_top("v2/oci-layout"), "{}");
	is_num(layout_open(in_top("v2"), false, &l, NULL), E_FORMAT, "no version");
	unlink(in_top("v2/oci-layout"));
	ok(mkfifo(in_top("v2/oci-layout"), 0644) == 0 &&
		   layout_open(in_top("v2"), false, &l, NULL) < 0,
	   "oci-layout a fifo");
}

static void test_blobs(const struct layout *l)
{
	struct descriptor d = blob("hello");
	char text[DIGEST_TEXT_MAX], path[300];
	struct err e = { 0 };
	int fd;

	ok(!layout_has_blob(l, &d), "no blob");
	is_num(layout_blob_open(l, &d, NULL), E_NOT_FOUND, "cannot be opened");
	is_num(layout_write_blob(l, &d.digest, SPAN("hello"), true, NULL), 0, "written");
	ok(layout_has_blob(l, &d), "there");
	fd = layout_blob_open(l, &d, NULL);
	ok(fd >= 0, "and opened");
	fd_close(fd);
	d.size = 6;
	ok(!layout_has_blob(l, &d), "T72 not by another size");
	is_num(layout_blob_open(l, &d, &e), E_SIZE, "T72 nor opened");
	ok(strstr(e.text, "has 5 bytes but its descriptor says 6"), "T72 which is told");

	d = blob("link");
	digest_text(&d.digest, text);
	snprintf(path, sizeof(path), "%s/l/blobs/sha256/%s", top, text + 7);
	ok(symlink("/etc/passwd", path) == 0 && layout_blob_open(l, &d, NULL) < 0,
	   "a link is no blob");
	unlink(path);
	ok(mkfifo(path, 0644) == 0 && layout_blob_open(l, &d, NULL) == E_FORMAT, "nor is a fifo");
	unlink(path);

	d.digest = digest_of(HASH_SHA512, SPAN("long"));
	d.size = 4;
	is_num(layout_write_blob(l, &d.digest, SPAN("long"), false, NULL), 0, "sha512");
	ok(layout_has_blob(l, &d), "is there too");
}

static void test_partials(const struct layout *l)
{
	struct descriptor d = blob("partial");
	char buf[16] = "";
	int fd, fd2;

	is_num(layout_partial_open(l, &d.digest, &fd, NULL), 0, "a partial");
	fd_write_all(fd, "part", 4);
	is_num(layout_partial_open(l, &d.digest, &fd2, NULL), E_EXISTS, "is locked");
	fd_close(fd);
	is_num(layout_partial_open(l, &d.digest, &fd, NULL), 0, "and found again");
	ok(fd_pread_full(fd, buf, sizeof(buf), 0) == 4 && !memcmp(buf, "part", 4),
	   "with what it held");
	fd_pwrite_all(fd, "ial", 3, 4);
	ok(!layout_has_blob(l, &d), "it is no blob yet");
	is_num(layout_partial_commit(l, &d.digest, fd, true, NULL), 0, "committed");
	ok(layout_has_blob(l, &d), "now it is");
	is_num(layout_partial_open(l, &d.digest, &fd, NULL), 0, "another partial of the same");
	is_num(lseek(fd, 0, SEEK_END), 0, "is empty");
	layout_partial_discard(l, &d.digest, fd);
	ok(layout_has_blob(l, &d), "discarded without touching the blob");
}

/*
 * Who opens a partial while another commits it must not get what is a blob by then: he would write
 * into it.
 */
static void test_partial_race(const struct layout *l)
{
	enum { PROCESSES = 3, ROUNDS = 2000 };
	struct descriptor d = blob("race");
	pid_t pid[PROCESSES];
	int bad = 0;

	for (int i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		if (pid[i])
			continue;
		for (int n = 0; n < ROUNDS; n++) {
			struct stat st;
			int fd;

			if (layout_partial_open(l, &d.digest, &fd, NULL) < 0)
				continue;
			if (fstat(fd, &st) < 0 || st.st_size > 0)
				_exit(1);
			fd_write_all(fd, "race", 4);
			layout_partial_commit(l, &d.digest, fd, false, NULL);
		}
		_exit(0);
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status;

		waitpid(pid[i], &status, 0);
		bad += status != 0;
	}
	is_num(bad, 0, "a partial that another process commits meanwhile is not taken for one");
	ok(layout_has_blob(l, &d), "and the blob is whole");
}

/* A partial of name, aged. */
static void make_old(const char *path, int age)
{
	struct timespec t[2] = { { .tv_sec = time(NULL) - age }, { .tv_sec = time(NULL) - age } };

	write_file(path, "x");
	utimensat(AT_FDCWD, path, t, 0);
}

static void test_clean(const struct layout *l)
{
	struct descriptor d = blob("held");
	char text[DIGEST_TEXT_MAX], name[200];
	int fd;

	digest_text(&d.digest, text);
	make_old(in_top("l/blobs/sha256/.partial-aa"), 90000);
	make_old(in_top("l/blobs/sha256/.partial-bb"), 60);
	make_old(in_top("l/.index.json.abcdefgh27"), 0);
	make_old(in_top("l/.oci-layout.abcdefgh27"), -60);
	make_old(in_top("l/.mine"), 90000);
	make_old(in_top("l/.index.json.swp"), 90000);
	snprintf(name, sizeof(name), "l/blobs/sha256/.%s.abcdef", text + 7);
	make_old(in_top(name), 90000);
	layout_partial_open(l, &d.digest, &fd, NULL);

	struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };

	futimens(fd, old);
	layout_clean(l);
	ok(access(in_top("l/blobs/sha256/.partial-aa"), F_OK) < 0, "an old partial is removed");
	ok(access(in_top("l/blobs/sha256/.partial-bb"), F_OK) == 0, "a young one is not");
	ok(access(in_top("l/.index.json.abcdefgh27"), F_OK) < 0, "nor kept is a temporary file of the index, of any age");
	ok(access(in_top("l/.oci-layout.abcdefgh27"), F_OK) < 0, "or of the layout");
	ok(access(in_top(name), F_OK) < 0, "of a blob too");
	ok(access(in_top("l/.mine"), F_OK) == 0, "what is not ours stays");
	ok(access(in_top("l/.index.json.swp"), F_OK) == 0, "what an editor keeps beside the index, too");
	unlink(in_top("l/.index.json.swp"));
	snprintf(name, sizeof(name), "l/blobs/sha256/.partial-%s", text + 7);
	ok(access(in_top(name), F_OK) == 0, "as does one that is held");
	layout_partial_discard(l, &d.digest, fd);
	unlink(in_top("l/blobs/sha256/.partial-bb"));
}

#define A "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
#define B "sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
#define ENTRY(digest, more) \
	"{\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"digest\":\"" digest "\",\"size\":1" more "}"
#define NAME(tag) ",\"annotations\":{\"org.opencontainers.image.ref.name\":\"" tag "\"}"

static void test_tags(const struct layout *l)
{
	struct descriptor a = blob("a"), b = blob("b");

	write_file(
		in_top("l/index.json"),
		"{\"schemaVersion\":2,\"manifests\":[" ENTRY(
			A,
			NAME("keep") ",\"x\":[1,{\"y\":null}]") "],\"annotations\":{\"z\":\"\\u00e4\"},\"other\":1.5}");
	is_num(layout_set_tag(l, "t", &a, true, NULL), 0, "a tag");
	is_str(read_text(in_top("l/index.json")),
	       "{\"schemaVersion\":2,\"manifests\":[" ENTRY(A, NAME("keep") ",\"x\":[1,{\"y\":null}]") "," ENTRY(
		       A, NAME("t")) "],\"annotations\":{\"z\":\"\xc3\xa4\"},\"other\":1.5}",
	       "is added, and what is not ours is kept");
	is_num(layout_set_tag(l, "t", &b, false, NULL), 0, "the tag moves");
	is_str(read_text(in_top("l/index.json")),
	       "{\"schemaVersion\":2,\"manifests\":[" ENTRY(A, NAME("keep") ",\"x\":[1,{\"y\":null}]") "," ENTRY(
		       B, NAME("t")) "],\"annotations\":{\"z\":\"\xc3\xa4\"},\"other\":1.5}",
	       "the old entry loses its place");
	is_num(layout_set_tag(l, NULL, &a, false, NULL), 0, "without a name");
	is_num(layout_set_tag(l, "keep", &a, false, NULL), 0, "and again the same");
	is_str(read_text(in_top("l/index.json")),
	       "{\"schemaVersion\":2,\"manifests\":[" ENTRY(A, NAME("keep") ",\"x\":[1,{\"y\":null}]") "," ENTRY(
		       B, NAME("t")) "],\"annotations\":{\"z\":\"\xc3\xa4\"},\"other\":1.5}",
	       "change nothing");
	a.has_platform = true;
	platform_parse("linux/arm/v6", &a.platform, NULL);
	write_file(in_top("l/index.json"), "{\"schemaVersion\":2,\"manifests\":null}");
	is_num(layout_set_tag(l, "p", &a, false, NULL), 0, "with a platform, into what Go wrote");
	is_str(read_text(in_top("l/index.json")),
	       "{\"schemaVersion\":2,\"manifests\":[" ENTRY(
		       A, NAME("p") ",\"platform\":{\"architecture\":\"arm\","
				    "\"os\":\"linux\",\"variant\":\"v6\"}") "]}",
	       "is written");
	is_num(layout_set_tag(l, "a b", &a, false, NULL), E_USAGE, "a name with a blank");
	is_num(layout_set_tag(l, "", &a, false, NULL), E_USAGE, "an empty one");
	is_num(layout_set_tag(l, "-a", &a, false, NULL), E_USAGE, "one that begins as an option");
	is_num(layout_set_tag(l, "r.io/a__b:1@x+y", &a, false, NULL), 0, "a long one");
	write_file(in_top("l/index.json"), "{\"schemaVersion\":2,\"manifests\":{}}");
	is_num(layout_set_tag(l, "p", &a, false, NULL), E_FORMAT, "no index");
	write_file(in_top("l/index.json"), "{");
	ok(layout_set_tag(l, "p", &a, false, NULL) < 0, "no JSON");
	is_str(read_text(in_top("l/index.json")), "{", "which is left alone");
}

/* Each of n processes names m images; none is lost. */
static void test_concurrent(void)
{
	enum { PROCESSES = 8, TAGS = 20 };
	struct layout l;
	pid_t pid[PROCESSES];
	int bad = 0, found = 0;

	for (int i = 0; i < PROCESSES; i++) {
		pid[i] = fork();
		if (pid[i])
			continue;
		for (int t = 0; t < TAGS; t++) {
			struct layout mine;
			char tag[40];
			struct descriptor d;

			snprintf(tag, sizeof(tag), "p%d-t%d", i, t);
			d = blob(tag);
			if (layout_open(in_top("many"), true, &mine, NULL) < 0 ||
			    layout_write_blob(&mine, &d.digest, span_str(tag), false, NULL) < 0 ||
			    layout_set_tag(&mine, tag, &d, false, NULL) < 0)
				_exit(1);
			layout_close(&mine);
		}
		_exit(0);
	}
	for (int i = 0; i < PROCESSES; i++) {
		int status;

		waitpid(pid[i], &status, 0);
		bad += status != 0;
	}
	is_num(bad, 0, "writers at once");

	const char *text = read_text(in_top("many/index.json"));

	for (int i = 0; i < PROCESSES; i++)
		for (int t = 0; t < TAGS; t++) {
			char tag[40];

			snprintf(tag, sizeof(tag), "\"p%d-t%d\"", i, t);
			found += strstr(text, tag) != NULL;
		}
	is_num(found, PROCESSES * TAGS, "lose no name");
	ok(layout_open(in_top("many"), false, &l, NULL) == 0, "and leave a layout");
	layout_close(&l);
}

int main(void)
{
	struct layout l;

	if (!mkdtemp(top))
		return 1;
	test_open();
	if (layout_open(in_top("l"), false, &l, NULL) == 0) {
		test_blobs(&l);
		test_partials(&l);
		test_partial_race(&l);
		test_clean(&l);
		test_tags(&l);
		layout_close(&l);
	}
	test_concurrent();
	tree_remove(AT_FDCWD, top);
	return done_testing();
}
