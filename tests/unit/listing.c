/*
 * Listings and what is squashed from them: the tree of names against a sorted list; random layers, of which one layer makes the same
 * tree, also where only the upper ones are squashed; and many entries in little memory. What unpack makes of the same layers is
 * compared in tests/listing.t. And the layers below, which are read when a name asks for them: mkmanifest-squash.t has more.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/oci/listing.h"
#include "tests/unit/tap.h"

static uint64_t state;

static unsigned below(unsigned n)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % n;
}

/* ---- names ---- */

enum { NAMES = 6000 };
static struct name_key keys[NAMES];
static bool there[NAMES];

static int by_key(const void *a, const void *b)
{
	const struct name_key *x = a, *y = b;

	return span_cmp(span_of(x->b, x->n), span_of(y->b, y->n));
}

static void make_keys(void)
{
	for (size_t i = 0; i < NAMES; i++) {
		char name[NAME_MAX_BYTES];
		size_t n = 5 + below(below(8) ? 12 : NAME_MAX_BYTES - 5);
		for (size_t k = 0; k < n; k++)
			name[k] = (char)('a' + below(3));
		/* each once */
		memcpy(name, (unsigned char[]){ (unsigned char)(i >> 8), (unsigned char)i }, 2);
		name_key(&keys[i], below(5), NAME_ENTRY, span_of(name, n));
	}
}

static bool same_order(struct name_tree *t)
{
	struct name_key k;
	struct name_value v;
	size_t i = 0;

	name_key(&k, 0, NAME_WHITEOUT, span_of("", 0));
	while (nametree_next(t, &k, &v)) {
		while (i < NAMES && !there[i])
			i++;
		if (i == NAMES || by_key(&k, &keys[i]) || v.inode != i)
			return false;
		i++;
	}
	while (i < NAMES && !there[i])
		i++;
	return i == NAMES;
}

static void test_names(void)
{
	struct pages p;
	struct name_tree t;
	struct name_value v;
	bool good = true;

	state = 1;
	make_keys();
	qsort(keys, NAMES, sizeof(keys[0]), by_key);
	pages_init(&p, 1);
	nametree_init(&t, &p);
	for (size_t i = 0; i < (size_t)NAMES * 4; i++) {
		unsigned k = below(NAMES);
		if (below(3)) {
			nametree_put(&t, &keys[k], (struct name_value){ .inode = k });
			there[k] = true;
		} else {
			nametree_remove(&t, &keys[k]);
			there[k] = false;
		}
		k = below(NAMES);
		good &= nametree_get(&t, &keys[k], &v) == there[k];
	}
	ok(good, "names are there that were put, and no others");
	ok(same_order(&t), "and in their order");
	ok(p.fd >= 0, "most of them in a file");
	is_num(p.err, 0, "without an error");
	pages_release(&p);
}

/* ---- layers ---- */

enum { LAYERS_MAX = 5 };

static void put(struct buf *b, const struct tar_entry *e, struct span data)
{
	struct tar_entry t = *e;

	t.size = e->type == TAR_FILE ? data.n : 0;
	if (tar_header(b, &t, NULL) < 0)
		abort();
	buf_add_span(b, data);
	buf_add(b, tar_zeros, tar_padding(data.n));
}

/* kind: in percent */
static void put_one(struct buf *b, const char *dir, unsigned kind, unsigned number, bool symlinks)
{
	static const char *const targets[] = { "a", "b", "/a", "../b", "a/b", "." };
	static const struct tar_xattr xattr = { { (const unsigned char *)"user.k", 6 }, { (const unsigned char *)"v", 1 } };
	char name[64], data[1000];
	struct tar_entry e = { .mode = below(2) ? 0644 : 0755, .uid = below(3), .mtime = { 1000 + number, 0 } };

	e.xattrs = &xattr;
	e.xattrs_n = below(8) == 0;
	snprintf(name, sizeof(name), "%s%c", dir, "abxyz"[below(5)]);
	snprintf(data, sizeof(data), "%u", number);
	e.name = span_str(name);
	e.type = kind < 40 ? TAR_FILE : kind < 65 ? TAR_DIR : kind < 70 && symlinks ? TAR_SYMLINK : kind < 74 ? TAR_HARDLINK : TAR_FIFO;
	if (kind >= 83)
		snprintf(name, sizeof(name), "%s.wh.%s", dir, kind < 95 ? (const char *[]){ "a", "b", "x", "y", "z" }[below(5)] : ".wh..opq");
	e.name = span_str(name);
	if (kind >= 83)
		e = (struct tar_entry){ .name = e.name };
	if (e.type == TAR_SYMLINK)
		e.link = span_str(targets[below(ARRAY_LEN(targets))]);
	if (e.type == TAR_HARDLINK)
		e.link = span_str((const char *[]){ "x", "y", "a/x", "b/y", "a/b/x" }[below(5)]);
	put(b, &e, e.type == TAR_FILE && kind < 83 ? span_str(data) : span_of("", 0));
}

static void make_layer(struct buf *b, bool symlinks)
{
	static const char *const dirs[] = { "", "a/", "b/", "a/b/", "b/a/", "a/", "b/", "a/", "z/" };

	/* what a whiteout does to a directory that its own layer implies depends on which came first: here whiteouts do */
	for (unsigned i = 0, n = symlinks ? 0 : below(4); i < n; i++)
		put_one(b, dirs[below(ARRAY_LEN(dirs))], 83 + below(17), below(100000), symlinks);
	for (unsigned i = 0, n = 1 + below(10); i < n; i++)
		put_one(b, dirs[below(ARRAY_LEN(dirs))], below(symlinks ? 100 : 83), below(100000), symlinks);
	buf_add(b, tar_zeros, sizeof(tar_zeros));
}

struct layers {
	struct buf v[LAYERS_MAX];
	size_t n;
};

static struct listing *list(const struct buf *v, size_t n, bool upon, int *r)
{
	const struct listing_options o = { .digests = true, .contents = true, .upon = upon, .memory = 1 };
	struct listing *l = NULL;

	*r = listing_new(&o, &l, NULL);
	for (size_t i = 0; i < n && *r == 0; i++) {
		struct stream *s = stream_from_span(buf_span(&v[i]));
		struct err e = { 0 };
		*r = listing_add(l, s, &e);
		stream_close(s);
	}
	if (*r == 0)
		*r = listing_done(l, NULL);
	if (*r < 0)
		listing_close(steal_ptr(&l));
	return l;
}

static void show(struct listing *l, struct buf *out, bool times)
{
	const struct listing_entry *e;
	char hex[65];

	while (listing_next(l, &e, NULL) > 0) {
		/* The time of what no entry made depends on which one needed it first; format 1 keeps the links of regular files only. */
		buf_addf(out, "%s type %d mode %o uid %u time %lld size %llu nlink %u ", (const char *)e->path.p, e->type, e->mode,
			 e->uid, e->type == TAR_DIR && !times ? -1 : (long long)e->mtime.sec, (unsigned long long)e->size, e->type == TAR_FILE ? e->nlink : 1);
		buf_add_span(out, e->link);
		buf_adds(out, " first ");
		buf_add_span(out, e->first_name);
		for (size_t i = 0; i < e->xattrs_n; i++)
			buf_add_span(out, e->xattrs[i].name);
		if (e->sha256 && e->type == TAR_FILE) {
			num_to_hex(e->sha256, 32, hex);
			buf_addf(out, " %s", hex);
		}
		if (e->whiteout || e->opaque)
			buf_adds(out, " hides");
		buf_addc(out, '\n');
	}
}

struct memory_sink {
	struct sink s;
	struct buf *b;
};

static void memory_write(struct sink *s, struct span data)
{
	buf_add_span(((struct memory_sink *)s)->b, data);
}

static const struct sink_ops memory_ops = { .write = memory_write };

static int squash(const struct buf *v, size_t n, bool upon, struct buf *out)
{
	struct memory_sink m = { .s.ops = &memory_ops, .b = out };
	int r;
	struct listing *l = list(v, n, upon, &r);

	if (r == 0)
		r = squash_write(l, &(struct squash_options){ 0 }, &m.s, NULL);
	listing_close(l);
	return r;
}

static void whole_tree(const struct buf *v, size_t n, struct buf *out, int *r, bool times)
{
	struct listing *l = list(v, n, false, r);

	if (*r == 0)
		show(l, out, times);
	listing_close(l);
}

/* What no entry made and nothing is in any more is not made by the squashed layers: above a base it would change what is there. */
static void without_empty(struct buf *b)
{
	struct span rest = buf_span(b), line, next;
	struct buf out = { 0 };

	while (span_cut(&rest, '\n', &line)) {
		struct span copy = rest, name = span_of(line.p, span_find(line, ' '));
		bool implied = memmem(line.p, line.n, "type 5 mode 755 uid 0 ", 22) != NULL;
		span_cut(&copy, '\n', &next);
		bool empty = !next.p || next.n <= name.n || memcmp(next.p, name.p, name.n) || next.p[name.n] != '/';
		if (implied && empty && name.n)
			continue;
		buf_add_span(&out, line);
		buf_addc(&out, '\n');
	}
	buf_release(b);
	*b = out;
}

/* 1: compared, 0: these layers have no tree, -1: it differs. */
static int one_seed(unsigned seed, bool upper)
{
	struct layers ls = { .n = 2 + below(LAYERS_MAX - 1) };
	struct buf all = { 0 }, again = { 0 }, squashed = { 0 }, twice = { 0 }, stacked[LAYERS_MAX] = { 0 };
	size_t base = upper ? 1 + below((unsigned)ls.n - 1) : 0;
	int r, result = 0;

	ls.n = MIN(ls.n, (size_t)LAYERS_MAX);
	for (size_t i = 0; i < ls.n; i++)
		make_layer(&ls.v[i], !upper);
	whole_tree(ls.v, ls.n, &all, &r, !upper);
	if (r == 0)
		r = squash(ls.v + base, ls.n - base, upper, &squashed);
	if (r == 0) {
		memcpy(stacked, ls.v, base * sizeof(stacked[0]));
		stacked[base] = squashed;
		whole_tree(stacked, base + 1, &again, &r, !upper);
		for (int i = 0; upper && i < 4; i++) {
			without_empty(&all);
			without_empty(&again);
		}
		result = r == 0 && span_eq(buf_span(&all), buf_span(&again)) ? 1 : -1;
		if (result > 0 && (squash(&squashed, 1, upper, &twice) < 0 || !span_eq(buf_span(&squashed), buf_span(&twice))))
			result = -1;
		if (result < 0)
			printf("# seed %u: %d\n# want %s\n# have %s\n", seed, r, buf_str(&all), buf_str(&again));
	}
	for (size_t i = 0; i < ls.n; i++)
		buf_release(&ls.v[i]);
	buf_release(&all);
	buf_release(&again);
	buf_release(&squashed);
	buf_release(&twice);
	return result;
}

static void test_random(bool upper)
{
	const char *seeds = getenv("LISTING_UNIT_SEEDS");
	unsigned n = seeds ? (unsigned)atoi(seeds) : 1000, good = 0, bad = 0;

	for (unsigned seed = 0; seed < n && bad < 3; seed++) {
		state = seed * 7919u + upper;
		int r = one_seed(seed, upper);
		good += r > 0;
		bad += r < 0;
	}
	ok(!bad, "%s of %u random images, squashed, make the same tree, and the same bytes again", upper ? "the upper layers" : "the layers",
	   n);
	ok(good >= n / 20, "%u of them are well formed", good);
}

/* ---- many ---- */

static void test_many(void)
{
	struct buf b = { 0 };
	const struct listing_entry *e;
	char name[64];
	struct err err = { 0 };
	unsigned n = 0;
	int r;

	for (unsigned i = 0; i < 40000; i++) {
		/* not in their order */
		snprintf(name, sizeof(name), "d%u/f%05u", i * 7 % 13, i * 17 % 40000);
		put(&b, &(struct tar_entry){ .name = span_str(name), .mode = 0644, .mtime = { i, 0 } }, span_of("", 0));
	}
	buf_add(&b, tar_zeros, sizeof(tar_zeros));
	struct listing *l = list(&b, 1, false, &r);
	ok(r == 0, "40000 entries in the least of memory");
	name[0] = 0;
	bool sorted = true;
	while ((r = listing_next(l, &e, &err)) > 0) {
		if (e->type != TAR_FILE)
			continue;
		n++;
		sorted &= span_cmp(span_str(name), e->path) < 0 || span_rfind(e->path, '/') != span_rfind(span_str(name), '/');
		snprintf(name, sizeof(name), "%s", (const char *)e->path.p);
	}
	is_num(r, 0, "read to the end");
	is_num(n, 40000, "all are there");
	ok(sorted, "in their order");
	ok(listing_find(l, 0, SPAN("d3"), &e, &err) == 1 && e->type == TAR_DIR, "one of them by its name");
	uint32_t dir = e->inode;
	ok(listing_find(l, dir, SPAN("nothing"), &e, &err) == 0, "one that is not there");
	struct buf next = { 0 };
	unsigned names = 0;
	while (listing_name_after(l, dir, &next, &err) > 0)
		names++;
	ok(names > 3000 && names < 3200, "the names of one directory: %u", names);
	buf_release(&next);
	listing_close(l);
	buf_release(&b);
}

/* ---- layers below ---- */

enum fault { READABLE, UNREAD, UNREADABLE };

/* Of many names, of which most are in the file: so it is told late that it cannot be read. */
static int list_below(void *arg, struct listing **out, struct err *e)
{
	enum fault fault = *(enum fault *)arg;
	struct buf b = { 0 };
	char name[32];
	int r;

	if (fault == UNREAD) {
		*out = list(NULL, 0, false, &r);
		return err_set(e, E_DIGEST, "not read");
	}
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "d%u/f%05u", i % 13, i);
		put(&b, &(struct tar_entry){ .name = span_str(name), .mode = 0644 }, span_of("", 0));
	}
	buf_add(&b, tar_zeros, sizeof(tar_zeros));
	*out = list(&b, 1, false, &r);
	buf_release(&b);
	if (fault == UNREADABLE) {
		fd_close((*out)->pages.fd);
		(*out)->pages.fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	return r;
}

/* What becomes of a layer of links to a directory, and of a file, upon it. */
static int upon_below(enum fault fault, unsigned links, const char *name, struct err *e)
{
	struct listing_options o = { .upon = true, .memory = 1, .below = list_below, .below_arg = &fault };
	struct listing *l = NULL;
	struct buf b = { 0 };
	char at[16], to[16] = "top";

	put(&b, &(struct tar_entry){ .name = SPAN("top"), .type = TAR_DIR, .mode = 0755 }, span_of("", 0));
	for (unsigned i = 0; i < links; i++) {
		snprintf(at, sizeof(at), "l%u", i);
		put(&b, &(struct tar_entry){ .name = span_str(at), .type = TAR_SYMLINK, .link = span_str(to) }, span_of("", 0));
		memcpy(to, at, sizeof(to));
	}
	put(&b, &(struct tar_entry){ .name = span_str(name), .mode = 0644 }, span_of("", 0));
	buf_add(&b, tar_zeros, sizeof(tar_zeros));
	int r = listing_new(&o, &l, e);
	struct stream *s = stream_from_span(buf_span(&b));
	if (r == 0)
		r = listing_add(l, s, e);
	stream_close(s);
	listing_close(l);
	buf_release(&b);
	return r;
}

static void test_below(void)
{
	static const char *const names[] = { "d3/f1000/f", "d3/f1000/../f", "d3/f1000/.wh.f", "d3/f1000/../.wh.f" };
	struct err e = { 0 };

	is_num(upon_below(READABLE, 0, names[0], &e), 0, "a file in a directory below");
	is_num(upon_below(READABLE, 30, "l29/new/f", &e), 0, "links on the way are counted once");
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		e = (struct err){ 0 };
		int r = upon_below(UNREAD, 0, names[i], &e);
		ok(r == E_DIGEST && !strcmp(e.text, "not read"), "%s: layers below that cannot be read: %d, %s", names[i], r, e.text);
		e = (struct err){ 0 };
		r = upon_below(UNREADABLE, 0, names[i], &e);
		ok(r == E_IO, "%s: what was put by of them cannot be read: %d", names[i], r);
	}
}

int main(void)
{
	test_names();
	test_random(false);
	test_random(true);
	test_many();
	test_below();
	return done_testing();
}
