/* The parts of apply that a tree does not show: bookkeeping that spills, names, markers, ACLs,
 * holes. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"
#include "tests/unit/tap.h"

static char top[] = "/tmp/obt-apply.XXXXXX";

static void spills(void)
{
	struct spill s = { .fd = -1 };
	int dir = dir_open(AT_FDCWD, top);
	unsigned char block[1000];
	bool good = true;
	for (unsigned i = 0; i < 300; i++) {
		memset(block, (int)i, sizeof(block));
		good &= spill_add(&s, dir, block, sizeof(block)) == 0;
	}
	good &= spill_flush(&s) == 0;
	ok(good && s.fd >= 0, "300,000 bytes spill");
	is_num((long long)spill_size(&s), 300000, "and are counted");
	struct spill_view v = { .s = &s };
	for (unsigned i = 300; i-- > 0;) {
		good &= spill_view_read(&v, i * 1000 + 7, block, 900) == 0;
		good &= block[0] == (unsigned char)i && block[899] == (unsigned char)i;
	}
	ok(good, "read backwards through a window");
	ok(spill_view_read(&v, 299999, block, 2) == E_IO, "nothing is behind the end");
	buf_release(&v.window);
	spill_release(&s);
	fd_close(dir);
}

static void made_sets(void)
{
	enum { N = 700000 };
	struct made m = { 0 };
	int dir = dir_open(AT_FDCWD, top);
	bool good = made_open(&m) == 0;
	for (uint64_t i = 0; i < N; i++)
		good &= made_add(&m, dir, i * 0x9e3779b97f4a7c15u) == 0;
	ok(good, "700,000 names are noted");
	ok(m.runs_n >= 3, "most of them in a file");
	ok(m.recent.cap * 8 <= MIB(4), "4 MiB of memory at most");
	for (uint64_t i = 0; i < N; i += 997)
		good &= made_has(&m, i * 0x9e3779b97f4a7c15u) == 1 &&
			made_has(&m, i * 0x9e3779b97f4a7c15u + 1) == 0;
	ok(good, "what was noted is found, nothing else");
	made_clear(&m);
	ok(made_has(&m, 0x9e3779b97f4a7c15u) == 0, "nothing after the next layer began");
	m.runs_n = MADE_RUNS;
	int r = 0;
	for (uint64_t i = 1; i <= MADE_RECENT_MAX && r == 0; i++)
		r = made_add(&m, dir, i);
	is_num(r, E_TOOBIG, "there is an end");
	ok(MADE_MAX >= 20000000, "beyond what --max-entries lets pass");
	m.runs_n = 0;
	made_release(&m);
	fd_close(dir);
}

static void names(void)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "a/b", "a/b" },
		{ "/a//b/", "a/b" },
		{ "./a/./b", "a/b" },
		{ "", "" },
		{ "/", "" },
		{ "./", "" },
		{ "..", "" },
		{ "../../x", "x" },
		{ "/../x", "x" },
		{ "a/..", "" },
		{ "a/../b", "a/../b" },
		{ "a/b/../..", "" },
		{ "a/b/..", "a" },
		{ "a/../../x", "a/../../x" },
		{ "..a/b..", "..a/b.." },
	};
	struct err e = { 0 };
	struct apply a = { .e = &e };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int r = apply_name(&a, span_str(cases[i].in));
		tap_ok(__FILE__, __LINE__, r == 0 && span_is(buf_span(&a.path), cases[i].out),
		       "T02 name \"%s\" is \"%s\"", cases[i].in, cases[i].out);
	}
	a.o.max_depth = 3;
	is_num(apply_name(&a, SPAN("a/b/c/d")), E_TOOBIG, "T81 too deep");
	ok(strstr(e.text, "--max-depth"), "the option is named");
	buf_release(&a.path);
}

static void markers(void)
{
	static const struct {
		const char *name;
		int want;
	} cases[] = {
		{ "a/.wh.b", MARKER_WHITEOUT },
		{ ".wh.b", MARKER_WHITEOUT },
		{ "a/.wh..wh..opq", MARKER_OPAQUE },
		{ ".wh..wh..opq", MARKER_OPAQUE },
		{ ".wh..wh.plnk", MARKER_IGNORED },
		{ ".wh..wh.plnk/12.34", MARKER_IGNORED },
		{ "a/.wh..wh.x", MARKER_IGNORED },
		{ "a/.wh", MARKER_NONE },
		{ "a/x.wh.b", MARKER_NONE },
		{ "a.wh./b", MARKER_NONE },
		{ "a/.wh.", E_FORMAT },
		{ ".wh..", E_FORMAT },
		{ "a/.wh...", E_FORMAT },
		{ "a/.wh.b/c", E_FORMAT },
		{ "a/.wh....", MARKER_WHITEOUT },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct err e = { 0 };
		struct apply a = { .e = &e };
		enum marker m = MARKER_NONE;
		apply_name(&a, span_str(cases[i].name));
		int r = apply_marker(&a, &m);
		tap_ok(__FILE__, __LINE__, (r < 0 ? r : (int)m) == cases[i].want, "T15 marker %s",
		       cases[i].name);
		buf_release(&a.path);
	}
}

static void acls(void)
{
	int dir = dir_open(AT_FDCWD, top);
	struct buf b = BUF_INIT;
	struct err e = { 0 };
	int r = acl_from_text(
		dir, SPAN("user::rwx,other::---,user:7:r-x,group::r--,u:lisa:rw-:3,mask::rwx #x\n"),
		&b, &e);
	static const unsigned char want[] = {
		2,  0, 0, 0, 1,	  0,   7,   0,	 255, 255, 255, 255, 2,	  0,   6,   0,	 3,   0,
		0,  0, 2, 0, 5,	  0,   7,   0,	 0,   0,   4,	0,   4,	  0,   255, 255, 255, 255,
		16, 0, 7, 0, 255, 255, 255, 255, 32,  0,   0,	0,   255, 255, 255, 255,
	};
	ok(r == 0 && b.n == sizeof(want) && memcmp(b.p, want, b.n) == 0,
	   "an ACL in the kernel's form, sorted");
	static const char *const bad[] = {
		"", "user", "user:::zz", "nobody::rwx", "user:x:rwx", "mask::", "user:4294967295:r"
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&e);
		ok(acl_from_text(dir, span_str(bad[i]), &b, &e) < 0 && e.text[0], "refused: \"%s\"",
		   bad[i]);
	}
	buf_release(&b);
	fd_close(dir);
}

/* A source whose windows end anywhere. */
struct chopped {
	struct stream s;
	const unsigned char *p;
	size_t n, step;
};

static void chopped_fill(struct stream *s)
{
	struct chopped *c = (struct chopped *)s;
	size_t n = MIN(c->n, c->step);
	s->eof = n == 0;
	s->pos = c->p;
	s->end = c->p + n;
	c->p += n;
	c->n -= n;
}

static const struct stream_ops chopped_ops = { .fill = chopped_fill };

static void holes(void)
{
	enum { SIZE = 900001 };
	static unsigned char data[SIZE], back[SIZE];
	static const size_t steps[] = { 1000, 4096, 65536, 100000, 262144, SIZE };
	int dir = dir_open(AT_FDCWD, top);
	memset(data, 'x', 70000);
	data[400000] = 'y';
	data[655359] = 'z';
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct chopped c = {
			.s.ops = &chopped_ops, .p = data, .n = SIZE, .step = steps[i]
		};
		int fd = tmp_unlinked(dir);
		struct stat st;
		ok(file_copy(fd, &c.s, SIZE, true) == 0 && fstat(fd, &st) == 0 &&
			   st.st_size == SIZE && fd_pread_full(fd, back, SIZE, 0) == SIZE &&
			   memcmp(data, back, SIZE) == 0,
		   "a file with holes from windows of %zu bytes", steps[i]);
		ok(st.st_blocks * 512 <= 5 * 65536, "has holes");
		fd_close(fd);
	}
	fd_close(dir);
}

int main(void)
{
	if (!mkdtemp(top))
		return 1;
	spills();
	made_sets();
	names();
	markers();
	acls();
	holes();
	rmdir(top);
	return done_testing();
}
