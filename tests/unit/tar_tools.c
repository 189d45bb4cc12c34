/* Archives of one tree by GNU tar and bsdtar, in every format that they have: the same entries and contents. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/codec.h"
#include "tests/unit/tap.h"

#define N10 "nnnnnnnnnn"
#define N90 N10 N10 N10 N10 N10 N10 N10 N10 N10

static char scratch[] = "/tmp/ocibox-unit-XXXXXX";
static int dir;
static bool holes; /* the file system has them */

static void put(const char *name, const char *text, off_t at)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	if (fd < 0 || pwrite(fd, text, strlen(text), at) < 0)
		abort();
	close(fd);
}

static void make_tree(void)
{
	static const struct timespec times[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
	static const char *const names[] = { "t/a", "t/empty", "t/h", "t/sparse", "t/d/" N90 };

	if (!mkdtemp(scratch) || (dir = open(scratch, O_DIRECTORY | O_CLOEXEC)) < 0)
		abort();
	mkdirat(dir, "t", 0755);
	mkdirat(dir, "t/d", 0750);
	put("t/a", "hello\n", 0);
	put("t/empty", "", 0);
	put("t/sparse", "x", 0);
	put("t/sparse", "y", 300000);
	put("t/sparse", "z", 700000);
	put("t/d/" N90, "n", 0);
	struct stat st;
	holes = !fstatat(dir, "t/sparse", &st, 0) && st.st_blocks * 512 < st.st_size;
	linkat(dir, "t/a", dir, "t/h", 0);
	symlinkat("a", dir, "t/s");
	symlinkat(N90, dir, "t/sl");
	mkfifoat(dir, "t/p", 0600);
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		utimensat(dir, names[i], times, 0);
}

/* A line an entry, in the order of names, which is that of the archive. */
static const char want[] =
	"d t| 755 0 -\n"
	"f t/a| 640 6 5891b5b5\n"
	"d t/d| 750 0 -\n"
	"f t/d/" N90 "| 640 1 1b16b1df\n"
	"f t/empty| 640 0 e3b0c442\n"
	"1 t/h|t/a 640 0 -\n"
	"p t/p| 600 0 -\n"
	"2 t/s|a 777 0 -\n"
	"2 t/sl|" N90 " 777 0 -\n"
	"f t/sparse| 640 700001 ae1fd4b3\n";

static int list(const struct buf *a, struct buf *out, bool *sparse)
{
	_cleanup_(stream_closep) struct stream *src = stream_from_span(buf_span(a));
	struct err e = { 0 };
	_cleanup_(tar_closep) struct tar *t = tar_open(src, NULL, &e);
	const struct tar_entry *n;
	int r;

	while ((r = tar_next(t, &n)) > 0) {
		char hex[9] = "-";
		unsigned char v[HASH_MAX];
		if (n->type == TAR_FILE) {
			struct stream *s = stream_hash(stream_limit(tar_data(t), n->size, false), HASH_SHA256);
			stream_drain(s);
			stream_hash_final(s, v);
			stream_close(s);
			num_to_hex(v, 4, hex);
			if (n->mtime.sec != 1000000000)
				return -EBADMSG;
		}
		*sparse = *sparse || n->sparse;
		buf_addf(out, "%c %s|%s %o %llu %s\n", "f12cbdp"[n->type], n->name.p, n->link.p, n->mode, (unsigned long long)n->size, hex);
	}
	if (r)
		diag("%s", e.text);
	return r;
}

static void archive_by(const char *const *argv, bool sparse)
{
	struct spawn sp = { .argv = argv, .output_max = MIB(8), .quiet = true };
	_cleanup_(buf_release) struct buf a = BUF_INIT, out = BUF_INIT;
	bool was_sparse = false;
	int status = 0;

	if (spawn_run(&sp, &a, &status) < 0 || status) {
		skip(argv[0]);
		return;
	}
	int r = list(&a, &out, &was_sparse);
	if (!ok(!r && span_is(buf_span(&out), want) && was_sparse == (sparse && holes), "%s %s %s", argv[0], argv[1], argv[2]))
		diag("%d\n%s", r, buf_str(&out));
}

int main(void)
{
	static const char *const gnu[] = { "--format=gnu", "--format=oldgnu", "--format=ustar", "--format=posix" };
	static const char *const sparse[] = { "--format=gnu", "--format=oldgnu", "--sparse-version=0.0", "--sparse-version=0.1",
					      "--sparse-version=1.0" };
	static const char *const bsd[] = { "--format=pax", "--format=ustar", "--format=gnutar" };

	make_tree();
	/* V7 has no type for a fifo. */
	for (size_t i = 0; i < ARRAY_LEN(gnu); i++) {
		const char *argv[] = { "tar", gnu[i], "--sort=name", "--numeric-owner", "-C", scratch, "-cf", "-", "t", NULL };
		archive_by(argv, false);
	}
	for (size_t i = 0; i < ARRAY_LEN(sparse); i++) {
		const char *argv[] = { "tar", sparse[i], i < 2 ? "--sort=name" : "--format=posix", "-S", "--sort=name", "-C", scratch,
				       "-cf", "-", "t", NULL };
		archive_by(argv, true);
	}
	for (size_t i = 0; i < ARRAY_LEN(bsd); i++) {
		const char *argv[] = { "bsdtar", bsd[i], "-n", "-C", scratch, "-cf", "-", "t", "t/a", "t/d", "t/d/" N90, "t/empty", "t/h", "t/p",
				       "t/s", "t/sl", "t/sparse", NULL };
		archive_by(argv, i == 0);
	}
	close(dir);
	tree_remove(AT_FDCWD, scratch);
	return done_testing();
}
