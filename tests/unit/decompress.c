/* gzip and zstd: members and frames, checks, budgets, every way to cut them. */
#include "libcommon/codec.h"
#include "tests/unit/chopped.h"
#include "tests/unit/tap.h"
#include "tests/unit/tool.h"

static struct buf text; /* some MB that compress */

static int expand(struct span in, enum compression c, const struct decompress_limits *lim, size_t window, size_t pull,
		  struct buf *out, struct err *e)
{
	static struct err unused;

	buf_clear(out);
	err_clear(e ? e : &unused);
	return drink(stream_decompress(chopped_open(in, window, 0), c, lim, e ? e : &unused), pull, out);
}

/* All of in gives want whatever the windows; every truncation is told. */
static void round_trip(const char *what, struct span in, struct span want, enum compression c)
{
	static const size_t windows[] = { 1, 3, 100, 4096, 65536, SIZE_MAX };
	static const size_t pulls[] = { 0, 1000, 100000, 262144 };
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	bool whole = true, cut = true;

	for (size_t i = 0; i < ARRAY_LEN(windows) * ARRAY_LEN(pulls); i++) {
		size_t window = windows[i / ARRAY_LEN(pulls)];
		/* The libraries move their history at each call. */
		if (window < 100 && in.n > 1000)
			continue;
		whole = whole && !expand(in, c, NULL, window, pulls[i % ARRAY_LEN(pulls)], &out, NULL) &&
			span_eq(buf_span(&out), want);
	}
	ok(whole, "%s: all of it, whatever the windows", what);
	for (size_t n = 0; n < in.n; n += n < 64 || n + 64 > in.n ? 1 : in.n / 23 + 1)
		cut = cut && expand(span_of(in.p, n), c, NULL, SIZE_MAX, 0, &out, NULL) == E_TRUNCATED;
	ok(cut, "T14 %s: every truncation is told", what);
}

static void gzip_by_tool(void)
{
	static const char *const levels[][4] = { { "gzip", "-nc1", "@" }, { "gzip", "-nc6", "@" }, { "gzip", "-nc9", "@" } };

	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		_cleanup_(buf_release) struct buf gz = BUF_INIT;
		int status;
		if (by_tool(levels[i], buf_span(&text), &gz, &status))
			round_trip(levels[i][1], buf_span(&gz), buf_span(&text), COMPRESSION_GZIP);
		else
			skip("no gzip");
	}
}

/* "hello\n" by gzip -n; and with all optional parts of a header, its checksum too. */
static const unsigned char hello[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\xe7\x02\x00"
				     "\x20\x30\x3a\x36\x06\x00\x00\x00";
static const unsigned char optional[] = "\x1f\x8b\x08\x1e\x00\x00\x00\x00\x00\x03"
					"\x03\x00xyz" "name\0" "comment\0" "\xa4\xbb"
					"\xcb\x48\xcd\xc9\xc9\xe7\x02\x00\x20\x30\x3a\x36\x06\x00\x00\x00";
#define BYTES(a) span_of(a, sizeof(a) - 1)

static void add(struct buf *b, struct span s)
{
	buf_add_span(b, s);
}

static int gzip_result(const struct buf *gz, struct err *e)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	int r = expand(buf_span(gz), COMPRESSION_GZIP, NULL, 5, 0, &out, e), whole;

	whole = expand(buf_span(gz), COMPRESSION_GZIP, NULL, SIZE_MAX, KIB(256), &out, e);
	return r == whole ? r : -EBADMSG;
}

static void gzip_framing(void)
{
	_cleanup_(buf_release) struct buf gz = BUF_INIT;
	struct err e = { 0 };

	round_trip("hello", BYTES(hello), SPAN("hello\n"), COMPRESSION_GZIP);
	round_trip("all optional parts", BYTES(optional), SPAN("hello\n"), COMPRESSION_GZIP);

	add(&gz, BYTES(hello));
	gz.p[20] ^= 1;
	is_num(gzip_result(&gz, &e), E_FORMAT, "a wrong CRC is told");
	is_str(e.text, "gzip: bad checksum", "its text");
	gz.p[20] ^= 1;
	gz.p[22] ^= 1;
	is_num(gzip_result(&gz, &e), E_FORMAT, "a wrong length is told");
	is_str(e.text, "gzip: bad length", "its text");
	gz.p[22] ^= 1;
	for (int i = 0; i < 4; i++) {
		unsigned char was = gz.p[i];
		gz.p[i] = i < 3 ? was + 1 : 0x20;
		ok(gzip_result(&gz, &e) == E_FORMAT, "byte %d of the header is checked", i);
		gz.p[i] = was;
	}
	add(&gz, SPAN("\0"));
	is_num(gzip_result(&gz, &e), E_FORMAT, "T76 a NUL behind the last member is refused");
	is_str(e.text, "gzip: garbage after the last member", "its text");
	gz.n--;
	add(&gz, SPAN("\x1f"));
	is_num(gzip_result(&gz, &e), E_TRUNCATED, "T14 half a magic behind the last member is a truncation");
	buf_clear(&gz);
	add(&gz, BYTES(optional));
	gz.p[28] ^= 1;
	is_num(gzip_result(&gz, &e), E_FORMAT, "a wrong header checksum is told");
	is_str(e.text, "gzip: bad header checksum", "its text");

	buf_clear(&gz);
	add(&gz, span_of("\x1f\x8b\x08\x08\0\0\0\0\0\0", 10));
	for (int i = 0; i < 70000; i++)
		buf_addc(&gz, 'n');
	is_num(gzip_result(&gz, &e), E_TOOBIG, "T13 an endless name in a header is refused");
}

static void gzip_members(void)
{
	_cleanup_(buf_release) struct buf gz = BUF_INIT, want = BUF_INIT, out = BUF_INIT;

	for (int i = 0; i < 1000; i++) {
		add(&gz, i % 2 ? BYTES(hello) : BYTES(optional));
		buf_adds(&want, "hello\n");
	}
	for (size_t w = 1; w < 100000; w *= 10)
		ok(!expand(buf_span(&gz), COMPRESSION_GZIP, NULL, w, 0, &out, NULL) &&
		   span_eq(buf_span(&out), buf_span(&want)), "T76 1000 members are read, windows of %zu", w);
}

/* Deflate that never ends a member, or says nothing for long: an end, or an error, but no hang. */
static void gzip_garbage(void)
{
	_cleanup_(buf_release) struct buf gz = BUF_INIT;
	unsigned seed = 1;
	bool told = true;

	for (int round = 0; round < 300; round++) {
		buf_clear(&gz);
		add(&gz, span_of(hello, 10));
		for (int i = 0; i < 3000; i++)
			buf_addc(&gz, (char)((seed = seed * 1103515245 + 12345) >> 16));
		int r = gzip_result(&gz, NULL);
		told = told && (r == E_FORMAT || r == E_TRUNCATED);
	}
	ok(told, "T14 random bytes end with an error");
	buf_clear(&gz);
	add(&gz, span_of(hello, 10));
	for (int i = 0; i < 400000; i++) /* empty stored blocks */
		add(&gz, span_of("\0\0\0\xff\xff", 5));
	is_num(gzip_result(&gz, NULL), E_TRUNCATED, "T14 blocks without contents end with the input");
}

static void zstd_by_tool(void)
{
	static const char *const levels[][6] = {
		{ "zstd", "-1", "-qc", "--check", "@" }, { "zstd", "-9", "-qc", "--no-check", "@" }, { "zstd", "-19", "-qc", "--long", "@" },
	};

	for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
		_cleanup_(buf_release) struct buf z = BUF_INIT;
		int status;
		if (!CFG_ZSTD || !by_tool(levels[i], buf_span(&text), &z, &status))
			skip("no zstd");
		else
			round_trip(levels[i][1], buf_span(&z), buf_span(&text), COMPRESSION_ZSTD);
	}
}

/* A frame that holds "hello\n" raw, with a window; the format is RFC 8878's section 3. */
static void add_frame(struct buf *b, unsigned char window_descriptor)
{
	add(b, SPAN("\x28\xb5\x2f\xfd\x00"));
	buf_addc(b, (char)window_descriptor);
	add(b, SPAN("\x31\x00\x00hello\n")); /* the last block, raw, of 6 bytes */
}

static void zstd_framing(void)
{
	static const struct decompress_limits mib8 = { .max_zstd_window = 8 << 20 };
	_cleanup_(buf_release) struct buf z = BUF_INIT, want = BUF_INIT, out = BUF_INIT;
	struct err e = { 0 };

	if (!CFG_ZSTD) {
		add_frame(&z, 0);
		is_num(expand(buf_span(&z), COMPRESSION_ZSTD, NULL, 5, 0, &out, &e), E_UNSUPPORTED, "zstd is off");
		is_str(e.text, "zstd is not built into this binary", "its text");
		return;
	}
	for (int i = 0; i < 100; i++) {
		add(&z, SPAN("\x5a\x2a\x4d\x18\x05\x00\x00\x00" "12345"));
		add_frame(&z, 0);
		buf_adds(&want, "hello\n");
	}
	add(&z, SPAN("\x50\x2a\x4d\x18\x00\x00\x00\x00"));
	for (size_t w = 1; w < 10000; w *= 7)
		ok(!expand(buf_span(&z), COMPRESSION_ZSTD, NULL, w, 0, &out, NULL) &&
		   span_eq(buf_span(&out), buf_span(&want)), "T76 frames and skippable frames, windows of %zu", w);
	buf_adds(&z, "x");
	is_num(expand(buf_span(&z), COMPRESSION_ZSTD, NULL, SIZE_MAX, 0, &out, &e), E_FORMAT,
	       "T76 a byte behind the last frame");
	buf_adds(&z, "yzw");
	is_num(expand(buf_span(&z), COMPRESSION_ZSTD, NULL, 3, 0, &out, &e), E_FORMAT, "T76 garbage behind the last frame");
	is_str(e.text, "zstd: garbage after the last frame", "its text");
	buf_clear(&z);
	add(&z, SPAN("nonsense"));
	is_num(expand(buf_span(&z), COMPRESSION_ZSTD, NULL, 3, 0, &out, &e), E_FORMAT, "no zstd at all");
	is_num(expand(SPAN(""), COMPRESSION_ZSTD, NULL, 3, 0, &out, &e), E_TRUNCATED, "T14 nothing at all");

	/* exponent << 3: 1 KiB << exponent */
	for (int exponent = 0; exponent < 22; exponent++) {
		buf_clear(&z);
		add_frame(&z, (unsigned char)(exponent << 3));
		int r = expand(buf_span(&z), COMPRESSION_ZSTD, NULL, 100, 0, &out, &e);
		int r8 = expand(buf_span(&z), COMPRESSION_ZSTD, &mib8, 100, 0, &out, NULL);
		ok(r == (exponent <= 17 ? 0 : E_TOOBIG) && r8 == (exponent <= 13 ? 0 : E_TOOBIG),
		   "T81 a window of %llu KiB is within 128 MiB, 8 MiB, or refused", 1ull << exponent);
	}
	is_str(e.text, "zstd: window larger than 134217728 bytes (--max-zstd-window)", "the text names the budget");
	buf_clear(&z);
	add_frame(&z, 13 << 3 | 1);
	is_num(expand(buf_span(&z), COMPRESSION_ZSTD, &mib8, 100, 0, &out, NULL), E_TOOBIG, "T81 an eighth more than 8 MiB");
	buf_clear(&z);
	add(&z, SPAN("\x28\xb5\x2f\xfd\x01\x00\x07\x31\x00\x00hello\n"));
	is_num(expand(buf_span(&z), COMPRESSION_ZSTD, NULL, 100, 0, &out, NULL), E_UNSUPPORTED, "a dictionary is asked for");
}

static void budgets(void)
{
	static const char *const gzip[] = { "gzip", "-nc9", "@", NULL };
	struct decompress_limits lim = { .max_output = 1000 };
	_cleanup_(buf_release) struct buf zeros = BUF_INIT, gz = BUF_INIT, out = BUF_INIT;
	struct err e = { 0 };
	int status;

	is_num(expand(span_of(text.p, 1000), COMPRESSION_NONE, &lim, 300, 0, &out, &e), 0, "as much as the budget, plain");
	is_num(expand(span_of(text.p, 1001), COMPRESSION_NONE, &lim, 300, 0, &out, &e), E_TOOBIG, "one more");
	is_str(e.text, "more than 1000 bytes when decompressed (--max-size)", "the text names the budget");
	is_num(expand(SPAN("abc"), COMPRESSION_UNKNOWN, NULL, 300, 0, &out, &e), E_UNSUPPORTED, "an unknown compression");

	buf_reserve(&zeros, MIB(20));
	memset(zeros.p, 0, MIB(20));
	zeros.n = MIB(20);
	if (!by_tool(gzip, buf_span(&zeros), &gz, &status)) {
		skip("no gzip");
		return;
	}
	for (int k = 0; k < 2; k++) {
		lim = (struct decompress_limits){ .max_output = MIB(20) };
		is_num(expand(buf_span(&gz), COMPRESSION_GZIP, &lim, 5000, k * KIB(256), &out, &e), 0, "T81 a bomb within its budget");
		lim.max_output--;
		is_num(expand(buf_span(&gz), COMPRESSION_GZIP, &lim, 5000, k * KIB(256), &out, &e), E_TOOBIG, "T81 beyond it");
		ok(out.n <= lim.max_output, "T81 no more than the budget comes out");
		lim = (struct decompress_limits){ .max_ratio = 2000 };
		is_num(expand(buf_span(&gz), COMPRESSION_GZIP, &lim, 5000, k * KIB(256), &out, &e), 0, "T81 a ratio within its budget");
		lim.max_ratio = 100;
		is_num(expand(buf_span(&gz), COMPRESSION_GZIP, &lim, 5000, k * KIB(256), &out, &e), E_TOOBIG, "T81 beyond it");
		ok(out.n <= MIB(2), "T81 told early");
	}
	ok(strstr(e.text, "more than 100 times its size"), "the text names the budget");
}

static void magics(void)
{
	is_num(compression_from_magic(BYTES(hello)), COMPRESSION_GZIP, "magic of gzip");
	is_num(compression_from_magic(SPAN("\x28\xb5\x2f\xfd")), COMPRESSION_ZSTD, "magic of zstd");
	is_num(compression_from_magic(SPAN("\x5f\x2a\x4d\x18")), COMPRESSION_ZSTD, "magic of a skippable frame");
	is_num(compression_from_magic(SPAN("\xfd" "7zXZ\0\0")), COMPRESSION_UNKNOWN, "magic of xz");
	is_num(compression_from_magic(SPAN("etc/")), COMPRESSION_NONE, "no magic");
	is_num(compression_from_magic(SPAN("")), COMPRESSION_NONE, "nothing");
}

static void errors_pass(void)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	struct err e = { 0 };

	for (enum compression c = COMPRESSION_NONE; c <= COMPRESSION_ZSTD; c++) {
		struct span s = c == COMPRESSION_ZSTD ? SPAN("\x28\xb5\x2f\xfd") : BYTES(hello);
		struct decompress_limits lim = { .max_output = 100 };
		if (c == COMPRESSION_ZSTD && !CFG_ZSTD)
			continue;
		ok(drink(stream_decompress(chopped_open(span_of(s.p, 4), 2, -EIO), c, &lim, &e), 0, &out) == -EIO && !e.text[0],
		   "an error of the source is passed on as it is");
	}
}

int main(void)
{
	unsigned seed = 7;

	/* Words of different lengths over and over, and some noise, more than the libraries' windows. */
	while (text.n < KIB(600)) {
		seed = seed * 1103515245 + 12345;
		buf_addf(&text, "%.*s ", (int)(seed >> 16) % 27, "the quick brown fox jumps over");
		if (seed >> 28 == 3)
			for (int i = 0; i < 50; i++)
				buf_addc(&text, (char)((seed = seed * 1103515245 + 12345) >> 16));
	}
	gzip_by_tool();
	gzip_framing();
	gzip_members();
	gzip_garbage();
	zstd_by_tool();
	zstd_framing();
	budgets();
	magics();
	errors_pass();
	buf_release(&text);
	return done_testing();
}
