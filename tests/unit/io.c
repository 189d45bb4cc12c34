/* io: streams, read-ahead, the walker with and without openat2, trees, files, child processes. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "libcommon/io.h"
#include "tests/unit/tap.h"

static char scratch[] = "/tmp/ocibox-unit-XXXXXX";
static int dir;

static void put(const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0)
		abort();
	close(fd);
}

static bool reads(int fd, const char *want)
{
	char got[100] = "";
	ssize_t n = fd < 0 ? -1 : fd_pread_full(fd, got, sizeof(got) - 1, 0);
	fd_close(fd);
	return n == (ssize_t)strlen(want) && memcmp(got, want, strlen(want)) == 0;
}

/* ---- streams ---- */

/* A source whose bytes follow from their position, in windows of odd sizes, with a fault at the end if wanted. */
struct source {
	struct stream s;
	uint64_t made, total;
	int fault;
	unsigned char w[70000];
};

static void source_fill(struct stream *s)
{
	struct source *src = (struct source *)s;
	size_t n = (size_t)MIN(src->total - src->made, (uint64_t)(src->made % 69999 + 1));
	for (size_t i = 0; i < n; i++)
		src->w[i] = (unsigned char)((src->made + i) * 2654435761u >> 13);
	src->made += n;
	s->pos = src->w;
	s->end = src->w + n;
	if (n)
		return;
	if (src->fault)
		stream_fail(s, src->fault);
	else
		s->eof = true;
}

static void source_close(struct stream *s)
{
	free(s);
}

static struct stream *source(uint64_t total, int fault)
{
	static const struct stream_ops ops = { .fill = source_fill, .close = source_close };
	struct source *src = xcalloc(1, sizeof(*src));
	src->s.ops = &ops;
	src->total = total;
	src->fault = fault;
	return &src->s;
}

static uint64_t checksum(struct stream *s)
{
	uint64_t sum = 14695981039346656037u;
	for (struct span w = stream_peek(s); w.n; w = stream_peek(s)) {
		size_t use = MIN(w.n, (size_t)777);
		for (size_t i = 0; i < use; i++)
			sum = (sum ^ w.p[i]) * 1099511628211u;
		stream_skip(s, use);
	}
	return sum;
}

static void streams(void)
{
	struct stream *plain = source(3000000, 0), *ahead = stream_readahead(source(3000000, 0), 0);
	uint64_t want = checksum(plain);
	ok(checksum(ahead) == want && ahead->offset == 3000000 && !stream_error(ahead), "read-ahead gives the same bytes");
	stream_close(plain);
	stream_close(ahead);

	struct stream *faulty = stream_readahead(source(100000, E_DIGEST), 0);
	checksum(faulty);
	ok(faulty->offset == 100000 && stream_error(faulty) == E_DIGEST, "an error comes after the bytes before it, through a thread");
	ok(stream_peek(faulty).n == 0 && stream_error(faulty) == E_DIGEST, "and sticks");
	stream_close(faulty);

	struct stream *left = stream_readahead(source(50000000, 0), 0);
	stream_peek(left);
	stream_close(left);
	ok(true, "closing before the end does not hang");

	struct stream *part = stream_limit(source(100, 0), 40, true);
	unsigned char b[100];
	ok(stream_read(part, b, sizeof(b)) == 40 && !stream_error(part), "a limit ends where it should");
	stream_close(part);
	part = stream_limit(source(100, 0), 140, true);
	ok(stream_read(part, b, 100) == 100 && stream_read(part, b, 1) == E_TRUNCATED, "a source that is too short is truncated");
	stream_close(part);
	part = stream_from_span(SPAN("hello"));
	ok(stream_discard(part, 2) == 0 && stream_read_exact(part, b, 3) == 0 && memcmp(b, "llo", 3) == 0, "discard, then read");
	ok(stream_discard(part, 1) == E_TRUNCATED, "discarding beyond the end");
	stream_close(part);
	struct buf all = BUF_INIT;
	part = source(5000, 0);
	ok(stream_read_all(part, 4999, &all) == E_TOOBIG, "read_all is bounded");
	stream_close(part);
	buf_release(&all);
}

/* ---- chores ---- */

struct looked {
	uint64_t sum, n;
};

static void look(void *arg, struct span w)
{
	struct looked *l = arg;
	for (size_t i = 0; i < w.n; i++)
		l->sum = l->sum * 31 + w.p[i];
	l->n += w.n;
}

/* One read-ahead on the other, each with a chore; the reader reads slowly at times, so that both sides have to wait. */
static void chores(const char *how, const atomic_bool *later, atomic_bool *set)
{
	enum { BYTES = 20000000 };
	struct looked plain = { 0 }, lower = { 0 }, upper = { 0 };
	for (struct stream *s = source(BYTES, 0); s;) {
		struct span w = stream_peek(s);
		look(&plain, w);
		stream_skip(s, w.n);
		if (!w.n) {
			stream_close(s);
			s = NULL;
		}
	}
	struct crew *crew = crew_new(look);
	struct stream *s = stream_readahead_chore(source(BYTES, 0), crew_chore(crew, &lower), later);
	s = stream_readahead_chore(s, crew_chore(crew, &upper), later);
	ok(!crew_chore(crew, NULL), "a crew has two chores");
	for (struct span w = stream_peek(s); w.n; w = stream_peek(s)) {
		if (s->offset / 5000000 % 2)
			usleep(300);
		if (set && s->offset > BYTES / 2)
			atomic_store(set, true);
		stream_skip(s, w.n);
	}
	ok(s->offset == BYTES && !stream_error(s), "%s: all bytes come", how);
	ok(upper.n == BYTES && upper.sum == plain.sum, "%s: each window is looked at once and in order", how);
	ok(lower.n == BYTES && lower.sum == plain.sum, "%s: by both chores", how);
	stream_close(s);
	s = stream_readahead_chore(source(BYTES, E_DIGEST), NULL, later);
	checksum(s);
	ok(s->offset == BYTES && stream_error(s) == E_DIGEST, "%s: an error comes through", how);
	stream_close(s);
	crew_freep(&crew);
}

static void all_chores(void)
{
	static const atomic_bool never;
	atomic_bool now = false;
	chores("threads", NULL, NULL);
	chores("no thread", &never, NULL);
	chores("a thread later", &now, &now);
}

static void descriptors(void)
{
	put("numbers", "0123456789");
	int fd = openat(dir, "numbers", O_RDONLY | O_CLOEXEC);
	struct stream *s = stream_from_file(fd, 2, 6);
	char b[10] = "";
	ok(stream_discard(s, 2) == 0 && stream_read_exact(s, b, 4) == 0 && strcmp(b, "4567") == 0, "a stretch of a file");
	ok(stream_peek(s).n == 0 && s->eof, "ends at its length");
	stream_close(s);
	s = stream_from_file(fd, 5, 20);
	ok(stream_drain(s) == E_TRUNCATED, "a file that is too short is truncated");
	stream_close(s);
	close(fd);
	int p[2];
	ok(pipe(p) == 0, "pipe");
	struct sink *out = sink_from_fd(p[1], true);
	struct stream *in = stream_readahead(stream_from_fd(p[0], true), 0);
	sink_write(out, SPAN("one "));
	struct stream *src = source(300000, 0);
	is_num(sink_copy(out, src), 0, "copies a stream into a sink");
	stream_close(src);
	sink_close(out);
	ok(stream_read_exact(in, b, 4) == 0 && memcmp(b, "one ", 4) == 0, "gathered bytes come first");
	src = source(300000, 0);
	ok(checksum(in) == checksum(src), "then the rest through the pipe");
	stream_close(src);
	stream_close(in);
	/* a writer that neither writes nor closes */
	for (unsigned layers = 1; layers <= 3; layers++) {
		ok(pipe(p) == 0 && write(p[1], "some", 4) == 4, "a pipe with a few bytes");
		in = stream_from_fd(p[0], true);
		for (unsigned i = 0; i < layers; i++)
			in = stream_readahead(stream_limit(in, 1000000, true), 0);
		alarm(120);
		usleep(20000);
		ok(stream_read_exact(in, b, 4) == 0, "which come through %u threads", layers);
		stream_close(in);
		alarm(0);
		ok(true, "closing does not wait for more");
		close(p[1]);
	}
}

/* ---- the walker (T01, T02) ---- */

static void walker(const char *how)
{
	ok(reads(walk_open(dir, "root/plain/file", O_RDONLY, 0), "inside"), "%s: a plain path", how);
	ok(reads(walk_open(dir, "/root/plain//./file", O_RDONLY, 0), "inside"), "%s: slashes and dots", how);
	int root = dir_open(dir, "root");
	ok(reads(walk_open(root, "../../../plain/file", O_RDONLY, 0), "inside"), "%s: T02 dot-dot stops at the root", how);
	ok(reads(walk_open(root, "abs/file", O_RDONLY, 0), "inside"), "%s: T01 an absolute link stays in the root", how);
	ok(reads(walk_open(root, "rel/file", O_RDONLY, 0), "inside"), "%s: T01 a link that climbs stays in the root", how);
	ok(walk_open(root, "out/secret", O_RDONLY, 0) == -ENOENT, "%s: T01 a link to a place outside leads nowhere", how);
	ok(walk_open(root, "loop/x", O_RDONLY, 0) == -ELOOP, "%s: loops end", how);
	ok(walk_open(root, "abs", O_RDONLY | O_NOFOLLOW, 0) == -ELOOP, "%s: the last link is not followed with O_NOFOLLOW", how);
	ok(walk_open(root, "plain/file/x", O_RDONLY, 0) == -ENOTDIR, "%s: a file is no directory", how);
	int fd = walk_open(root, "plain/new", O_WRONLY | O_CREAT | O_EXCL, 0640);
	ok(fd >= 0 && faccessat(dir, "root/plain/new", F_OK, 0) == 0, "%s: creates", how);
	fd_close(fd);
	unlinkat(dir, "root/plain/new", 0);
	struct span name;
	fd = -1;
	ok(walk_parent(root, "abs/x//", &fd, &name) == 0 && span_is(name, "x"), "%s: parent and name", how);
	fd_close(fd);
	ok(walk_parent(root, "/", &fd, &name) == 0 && span_is(name, "."), "%s: the root's name is a dot", how);
	fd_close(fd);
	fd = walk_mkdirs(root, "abs/a/b/c", 0755);
	ok(fd >= 0 && faccessat(dir, "root/plain/a/b/c", F_OK, 0) == 0, "%s: makes directories through a link inside", how);
	fd_close(fd);
	tree_remove(root, "plain/a");
	fd_close(root);
}

static void walkers(void)
{
	mkdirat(dir, "root", 0755);
	mkdirat(dir, "root/plain", 0755);
	put("root/plain/file", "inside");
	put("secret", "outside");
	ok(symlinkat("/plain", dir, "root/abs") == 0 && symlinkat("../../plain", dir, "root/rel") == 0, "links");
	ok(symlinkat(scratch, dir, "root/out") == 0 && symlinkat("loop", dir, "root/loop") == 0, "more links");
	walker("openat2");
	walk_without_openat2 = true;
	walker("by component");
	walk_without_openat2 = false;
}

static void trees(void)
{
	int at = dir_open(dir, ".");
	int made = 0;
	for (; made < 600; made++) {
		if (mkdirat(at, "d", 0700) < 0)
			break;
		int next = dir_open(at, "d");
		fd_close(at);
		at = next;
	}
	fd_close(at);
	is_num(made, 600, "a deep tree");
	put("keep", "x");
	ok(symlinkat("../keep", dir, "d/link") == 0, "with a link out of it");
	is_num(tree_remove(dir, "d"), 0, "is removed");
	ok(faccessat(dir, "d", F_OK, 0) < 0 && faccessat(dir, "keep", F_OK, 0) == 0, "wholly, and nothing that its links name");
	is_num(tree_remove(dir, "no such"), 0, "what is not there is removed already");
	is_num(file_replace(dir, "keep", SPAN("new"), 0600, true), 0, "file_replace");
	ok(reads(openat(dir, "keep", O_RDONLY), "new"), "replaces");
	struct buf b = BUF_INIT;
	ok(symlinkat("keep", dir, "alias") == 0 && file_read(dir, "alias", false, 100, &b) < 0, "file_read does not follow unasked");
	ok(mkfifoat(dir, "fifo", 0600) == 0 && file_read(dir, "fifo", false, 100, &b) == E_UNSUPPORTED, "T51 a fifo neither hangs nor is read");
	ok(file_read(dir, "keep", false, 2, &b) == E_TOOBIG, "and is bounded");
	buf_release(&b);
	int fd = tmp_unlinked(dir);
	ok(fd >= 0 && fd_write_all(fd, "x", 1) == 0, "a file without a name");
	fd_close(fd);
}

static void children(void)
{
	struct buf out = BUF_INIT;
	int status = -1;
	const char *const cat[] = { "cat", NULL };
	struct spawn sp = { .argv = cat, .input = SPAN("over"), .output_max = 100 };
	ok(spawn_run(&sp, &out, &status) == 0 && status == 0 && span_is(buf_span(&out), "over"), "input goes in, output comes out");
	const char *const none[] = { "no-such-program-of-ocibox", NULL };
	sp = (struct spawn){ .argv = none };
	is_num(spawn_run(&sp, NULL, &status), -ENOENT, "a missing program is told apart");
	const char *const sleeper[] = { "sleep", "100", NULL };
	sp = (struct spawn){ .argv = sleeper, .timeout_ms = 100 };
	is_num(spawn_run(&sp, NULL, &status), -ETIMEDOUT, "a child that hangs is killed");
	const char *const talker[] = { "sh", "-c", "yes", NULL };
	sp = (struct spawn){ .argv = talker, .output_max = 1000, .timeout_ms = 60000 };
	is_num(spawn_run(&sp, NULL, &status), E_TOOBIG, "T83 a child that talks without end is killed");
	int leak = open("/dev/null", O_RDONLY);
	const char *const lister[] = { "sh", "-c", "for f in 3 4 5 6 7 8 9; do [ -e /proc/self/fd/$f ] && echo $f; done; exit 3", NULL };
	buf_clear(&out);
	sp = (struct spawn){ .argv = lister, .output_max = 1000 };
	ok(spawn_run(&sp, &out, &status) == 0 && status == 3 << 8 && out.n == 0, "T41 no descriptor leaks into a child");
	close(leak);
	buf_release(&out);
}

int main(void)
{
	if (!mkdtemp(scratch))
		return 99;
	dir = dir_open(AT_FDCWD, scratch);
	streams();
	all_chores();
	descriptors();
	walkers();
	trees();
	children();
	tree_remove(AT_FDCWD, scratch);
	return done_testing();
}
