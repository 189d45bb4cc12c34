/*
 * The parts of diff by themselves: names in order within bounds, which groups of hard links changed, trees as overlayfs merges them, and what
 * diff_write does with an output that fails. Whole layers are compared in tests/mklayer*.t.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "libcommon/oci/diff.h"
#include "tests/unit/tap.h"

static char scratch[] = "/tmp/ocibox-unit-XXXXXX";
static int dir;

/* ---- names ---- */
enum { MANY = 300000 }; /* of 16 bytes and more: several times what is kept at once */
static unsigned lists;
static int list_fails;

/* In an order of its own; each fifth is whited out above, each seventh is below too. */
static int list_many(void *arg, struct names *n)
{
	(void)arg;
	lists++;
	for (unsigned i = 0; i < MANY; i++) {
		char name[40];
		unsigned v = (unsigned)((uint64_t)i * 7919 % MANY);
		snprintf(name, sizeof(name), "a-name-that-is-%06u", v);
		names_add(n, name, 0, v % 5 ? NAME_ENTRY : NAME_WHITEOUT);
		if (v % 7 == 0)
			names_add(n, name, 1, NAME_ENTRY);
	}
	return list_fails;
}

static bool next_is(struct names *n, unsigned want, enum name_kind want_kind)
{
	char text[40];
	const char *name;
	enum name_kind kind;

	snprintf(text, sizeof(text), "a-name-that-is-%06u", want);
	return names_next(n, &name, &kind) == 1 && !strcmp(name, text) && kind == want_kind;
}

static void test_names(void)
{
	struct names n;
	const char *name;
	enum name_kind kind;
	bool good = true;

	ok(names_open(&n, (struct names_source){ list_many, NULL }, true) == 0, "many names");
	for (unsigned i = 0; i < MANY / 2; i++)
		good &= next_is(&n, i, i % 5 ? NAME_ENTRY : NAME_WHITEOUT);
	ok(good, "in order, each once, the upper one's kind");
	ok(n.arena.cap + n.cap * sizeof(*n.v) < 16 << 20, "of which so many are kept: %zu bytes", n.arena.cap + n.cap * sizeof(*n.v));
	ok(names_rewind(&n) == 0 && next_is(&n, 0, NAME_WHITEOUT) && next_is(&n, 1, NAME_ENTRY), "and once more from the first");
	names_release(&n);
	lists = 0;
	names_open(&n, (struct names_source){ list_many, NULL }, false);
	good = true;
	for (unsigned i = 0; i < MANY; i++) {
		if (i % 5)
			good &= next_is(&n, i, NAME_ENTRY);
		if (i % 20000 == 7) {
			names_park(&n);
			good &= names_memory(&n) == 0;
		}
	}
	ok(good && names_next(&n, &name, &kind) == 0 && names_next(&n, &name, &kind) == 0, "without those that are hidden, to the end");
	ok(lists > 1, "the directory was read %u times", lists);
	names_release(&n);
	list_fails = -EIO;
	is_num(names_open(&n, (struct names_source){ list_many, NULL }, false), -EIO, "a directory that cannot be read");
	names_release(&n);
}

/* ---- hard links ---- */
struct seen {
	unsigned ino, was; /* 0: it was not, or was something else */
	unsigned was_nlink;
};

static const struct {
	const char *what;
	struct seen names[5];
	const char *changed; /* inodes, a letter each */
	const char *unseen;
	bool all; /* names that show through are told: those of which ino is was */
} cases[] = {
	{ "as it was", { { 1, 9, 2 }, { 1, 9, 2 } }, "", "" },
	{ "a name more", { { 1, 9, 1 }, { 1 } }, "b", "" },
	{ "a name less, or one that was not looked at", { { 1, 9, 2 } }, "", "b" },
	{ "joined from two", { { 1, 8, 1 }, { 1, 9, 1 } }, "b", "" },
	{ "came apart", { { 1, 9, 2 }, { 2, 9, 2 } }, "bc", "" },
	{ "came apart, and one is not seen", { { 1, 9, 3 }, { 2, 9, 3 } }, "bc", "bc" },
	{ "one of them changed: the other stays", { { 1, 9, 2 }, { 2 } }, "c", "b" },
	{ "a name shows through", { { 1, 9, 2 }, { 9, 9, 2 } }, "b", "b", true },
	{ "the others of three are gone", { { 1, 9, 3 }, { 8, 8, 2 } }, "", "", true },
	{ "two groups", { { 1, 9, 2 }, { 2, 8, 2 }, { 1, 9, 2 }, { 2, 8, 2 } }, "", "" },
};

/* More than are kept in memory, through both passes. */
static void test_many_links(void)
{
	enum { GROUPS = 200000 };
	_cleanup_(buf_release) struct buf first = BUF_INIT;
	struct links l = { 0 };
	struct links_found g = { 0 };
	char path[20];
	bool good = true;

	for (unsigned i = 0; i < 2 * GROUPS; i++) {
		struct stat st = { .st_dev = i % 3, .st_ino = i % GROUPS }, was = { .st_dev = 7, .st_ino = st.st_ino, .st_nlink = 2 };
		st.st_dev = st.st_ino % 3;
		good &= links_survey(&l, &st, i % 1000 == 5 ? NULL : &was) == 0;
	}
	is_num(links_resolve(&l, false), 0, "200,000 groups");
	for (unsigned i = 0; i < GROUPS; i++) {
		struct stat st = { .st_dev = i % 3, .st_ino = i };
		good &= links_find(&l, &st, &g) == 1 && g.changed == (i % 1000 == 5) && !g.unseen;
		snprintf(path, sizeof(path), "p%u", i);
		good &= links_first(&l, &st, span_str(path), &first) == 0;
	}
	ok(good, "each changed or not");
	for (unsigned i = 0; i < GROUPS; i++) {
		struct stat st = { .st_dev = i % 3, .st_ino = i };
		snprintf(path, sizeof(path), "p%u", i);
		good &= links_first(&l, &st, span_str("other"), &first) == 1 && span_is(buf_span(&first), path);
	}
	ok(good, "each with its first name");
	is_num(links_find(&l, &(struct stat){ .st_dev = 3, .st_ino = 3 }, &g), 0, "and no other");
	links_release(&l);
}

static void test_links(void)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct links l = { 0 };
		char changed[10] = "", unseen[10] = "";
		for (const struct seen *s = cases[i].names; s < cases[i].names + 5 && s->ino; s++) {
			struct stat st = { .st_dev = 5, .st_ino = s->ino }, was = { .st_dev = 6, .st_ino = s->was, .st_nlink = s->was_nlink };
			links_survey(&l, s->was == s->ino ? &was : &st, s->was ? &was : NULL);
		}
		bool more = links_resolve(&l, cases[i].all);
		for (unsigned ino = 1; ino < 5; ino++) {
			struct links_found g = { 0 };
			links_find(&l, &(struct stat){ .st_dev = 5, .st_ino = ino }, &g);
			if (g.changed)
				changed[strlen(changed)] = (char)('a' + ino);
			if (g.unseen)
				unseen[strlen(unseen)] = (char)('a' + ino);
		}
		is_str(changed, cases[i].changed, cases[i].what);
		is_str(unseen, cases[i].unseen, "  whose names were not all seen");
		ok(more == (*unseen != 0), "  told");
		links_release(&l);
	}

	test_many_links();
}

/* ---- trees ---- */
static void put(const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || fd_write_all(fd, text, strlen(text)) < 0)
		abort();
	close(fd);
}

static void put_dir(const char *name)
{
	if (mkdirat(dir, name, 0755) < 0)
		abort();
}

static bool mark(const char *name, const char *attribute, const char *value)
{
	char full[100];

	snprintf(full, sizeof(full), "%s/%s", scratch, name);
	return setxattr(full, attribute, value, strlen(value), 0) == 0;
}

static int open_dir(const char *name)
{
	return openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The names of the present directory, with a blank between them. */
static void names_of(struct tree *t, char out[200])
{
	struct names n;
	const char *name;
	enum name_kind kind;

	*out = '\0';
	int r = names_open(&n, tree_names(t), false);
	while (r >= 0 && (r = names_next(&n, &name, &kind)) > 0)
		snprintf(out + strlen(out), 200 - strlen(out), "%s ", name);
	if (r < 0)
		snprintf(out, 200, "error %d", r);
	names_release(&n);
}

static void test_trees(void)
{
	static const char *const made[] = { "up", "low", "up/d", "low/d", "up/opaque", "low/opaque", "up/file-below", "low/only" };
	struct err e = { 0 };
	struct stat st;
	char all[200];

	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		put_dir(made[i]);
	static const char *const files[] = { "up/d/both", "low/d/both", "low/d/gone", "up/d/gone", "low/d/stays", "up/opaque/new", "low/opaque/old",
					     "low/file-below", "low/only/f" };
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		put(files[i], strcmp(files[i], "up/d/gone") == 0 ? "" : files[i]);
	if (!mark("up/opaque", "user.overlay.opaque", "y") || !mark("up/d/gone", "user.overlay.whiteout", "")) {
		skip("no user extended attributes here");
		return;
	}
	int roots[] = { open_dir("up"), open_dir("low") };
	for (enum overlay_marks m = MARKS_TRUSTED; m <= MARKS_EITHER; m++) {
		struct tree t = { .marks = m };
		ok(tree_open(&t, roots, 2, &e) == 0, "two directories, marks %d", m);
		names_of(&t, all);
		is_str(all, "d file-below only opaque ", "merged");
		ok(tree_look(&t, "file-below", &st) == 1 && S_ISDIR(st.st_mode) && t.which == 0, "the upper one counts");
		ok(tree_enter(&t, "file-below") == 1 && tree_dirfd(&t, 1) == TREE_ABSENT, "a directory over a file is one alone");
		tree_leave(&t);
		ok(tree_enter(&t, "only") == 1 && tree_dirfd(&t, 0) == TREE_ABSENT && tree_look(&t, "f", &st) == 1, "one that is below only");
		tree_leave(&t);
		ok(tree_enter(&t, "d") == 1, "one of both");
		names_of(&t, all);
		int gone = tree_look(&t, "gone", &st);
		if (m == MARKS_USER) {
			is_str(all, "both stays ", "what is whited out is not there");
			is_num(gone, 0, "nor found");
		} else if (m == MARKS_TRUSTED) {
			is_str(all, "both gone stays ", "T16 another kind of mark is none");
			is_num(gone, 1, "it is found");
		} else {
			ok(!strncmp(all, "error", 5) && gone == E_UNSUPPORTED, "T16 nobody knows what it means");
			ok(strstr(e.text, "d/gone") && strstr(e.text, "--userxattr"), "by name, with advice");
		}
		ok(tree_look(&t, "both", &st) == 1 && st.st_size == 9, "a file of both is the upper one");
		tree_leave(&t);
		e = (struct err){ 0 };
		int r = tree_enter(&t, "opaque");
		is_num(r, m == MARKS_EITHER ? E_UNSUPPORTED : 1, "T17 one that is opaque");
		if (r == 1) {
			names_of(&t, all);
			is_str(all, m == MARKS_USER ? "new " : "new old ", "and hides what is below, or not");
		}
		tree_leave(&t);
		is_num(tree_enter(&t, "nothing"), 0, "one that is not there");
		tree_leave(&t);
		tree_release(&t);
	}
	close(roots[0]);
	close(roots[1]);
}

/* ---- an output that fails ---- */
struct narrow {
	struct sink s;
	uint64_t room;
};

static void narrow_write(struct sink *s, struct span data)
{
	if (s->offset + data.n > ((struct narrow *)s)->room)
		s->err = -ENOSPC;
}

static void narrow_flush(struct sink *s)
{
	(void)s;
}

static void test_output(void)
{
	static const struct sink_ops ops = { .write = narrow_write, .flush = narrow_flush };
	const struct diff_options o = { .prefix = "p" };
	bool good = true;
	uint64_t whole = 0;

	int fd = open_dir("low");
	for (uint64_t room = 0; room < 20000; room += 511) {
		struct narrow n = { .s.ops = &ops, .room = room };
		struct diff_stats stats = { 0 };
		struct err e = { 0 };
		int r = diff_write(fd, DIFF_TREE, NULL, &o, &n.s, &stats, &e);
		if (r == 0)
			whole = n.s.offset;
		good &= whole ? r == 0 && n.s.offset == whole && room >= whole && stats.entries == 10 : r == -ENOSPC && n.s.err == -ENOSPC;
	}
	ok(good && whole && whole % 512 == 0, "its error, wherever it comes");
	close(fd);
}

int main(void)
{
	if (!mkdtemp(scratch))
		abort();
	dir = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	test_names();
	test_links();
	test_trees();
	test_output();
	tree_remove(AT_FDCWD, scratch);
	return done_testing();
}
