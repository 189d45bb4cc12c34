/* base: numbers, quoting, globs, key sets, spans. */
#include "libcommon/base.h"
#include "tests/unit/tap.h"

static int parse(const char *s, uint64_t max)
{
	uint64_t v = 0;
	int r = num_u64(span_str(s), max, &v);
	return r < 0 ? r : (int)v;
}

/* T50: nothing but digits is a number; nothing wraps to 0. */
static void numbers(void)
{
	static const char *const bad[] = { "", "-1", "+0", " 0", "0 ", "0x0", "1e3", "12a", "\xd9\xa1" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ok(parse(bad[i], 1000) == -EINVAL, "T50 '%s' is no number", quoted_str(bad[i]));
	is_num(parse("007", 1000), 7, "leading zeros are decimal");
	is_num(parse("1001", 1000), -ERANGE, "over the maximum");
	is_num(parse("18446744073709551616", UINT64_MAX), -ERANGE, "T50 2^64 does not wrap");
	uint64_t v;
	ok(num_u64(SPAN("18446744073709551615"), UINT64_MAX, &v) == 0 && v == UINT64_MAX, "2^64 - 1");
	ok(num_octal(SPAN("0755"), 07777, &v) == 0 && v == 0755, "octal");
	ok(num_octal(SPAN("8"), 07777, &v) == -EINVAL, "8 is not octal");
	unsigned char b[2];
	ok(num_hex(SPAN("0aff"), b, 2) == 0 && b[0] == 0x0a && b[1] == 0xff, "hex");
	ok(num_hex(SPAN("0AFF"), b, 2) == -EINVAL && num_hex(SPAN("0af"), b, 2) == -EINVAL, "upper case and odd length are no digest");
}

static void is_size(const char *s, long long want)
{
	uint64_t v = 0;
	int r = num_size(span_str(s), &v);
	is_num(r < 0 ? r : (long long)v, want, s);
}

static void sizes(void)
{
	is_size("512", 512);
	is_size("64k", 65536);
	is_size("1.5K", 1536);
	is_size("16MiB", 16 << 20);
	is_size("2g", 2LL << 30);
	is_size("2GB", 2LL << 30);
	is_size("3x", -EINVAL);
	is_size("k", -EINVAL);
	is_size("1.", -EINVAL);
	is_size("20000000000g", -ERANGE);
	uint64_t v;
	ok(num_duration_ms(SPAN("2.5s"), &v) == 0 && v == 2500, "2.5s");
	ok(num_duration_ms(SPAN("500ms"), &v) == 0 && v == 500, "500ms");
	ok(num_duration_ms(SPAN("3"), &v) == 0 && v == 3000, "a bare number is seconds");
	ok(num_duration_ms(SPAN("1 h"), &v) == -EINVAL, "blank inside");
	char h[16];
	is_str(num_human(999, h), "999 B", "human bytes");
	is_str(num_human(1500000, h), "1.5 MB", "human megabytes");
	is_str(num_human(378700000, h), "379 MB", "human large");
}

static void quoting(void)
{
	is_str(quoted_str("a\033[2Jb\n"), "a\\x1b[2Jb\\x0a", "control bytes cannot drive a terminal");
	is_str(quoted_str("gr\xc3\xbc\xc3\x9f"), "gr\xc3\xbc\xc3\x9f", "UTF-8 stays readable");
	is_str(quoted_str("\xc2\x9b" "31m"), "\\xc2\\x9b31m", "C1 controls in UTF-8 are quoted");
	is_str(quoted_str("x\xe2\x80\xae" "gpj"), "x\\xe2\\x80\\xaegpj", "marks that turn the direction are quoted");
	is_str(quoted_str("\xff\xc0\xaf"), "\\xff\\xc0\\xaf", "what is no UTF-8 is quoted");
	is_str(quoted_str("a\\b"), "a\\\\b", "backslash is doubled");
	ok(utf8_valid(SPAN("\xf0\x9f\x90\xb3")), "four bytes");
	ok(!utf8_valid(SPAN("\xed\xa0\x80")) && !utf8_valid(SPAN("\xf4\x90\x80\x80")) && !utf8_valid(SPAN("\xe0\x80\xaf")),
	   "surrogates, beyond U+10FFFF, overlong are refused");
	char long_name[2000];
	memset(long_name, 'a', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	ok(strlen(quoted_str(long_name)) < 512 && strstr(quoted_str(long_name), "..."), "long names are cut");
}

static void globs(void)
{
	ok(glob_excludes("*.o", SPAN("a/b.o")), "a star crosses directories");
	ok(glob_excludes("b", SPAN("a/b")) && !glob_excludes("b", SPAN("a/bc")), "matches a trailing part that begins at a slash");
	ok(glob_excludes("usr/share/doc", SPAN("usr/share/doc")) && glob_excludes("/usr", SPAN("usr")), "a leading slash is the root");
	ok(glob_excludes("./a/b", SPAN("a/b")) && !glob_excludes("./b", SPAN("a/b")) && !glob_excludes("/b", SPAN("a/b")),
	   "what begins at the root matches nothing below");
	ok(glob_excludes("[a-c]?", SPAN("bx")) && !glob_excludes("[!a-c]?", SPAN("bx")), "classes");
	ok(glob_excludes("a\\*", SPAN("a*")) && !glob_excludes("a\\*", SPAN("ab")), "escapes");
	const char *const globs[] = { "x", "b/c", NULL };
	ok(globs_exclude(globs, SPAN("a/b/c/d")) && globs_exclude(globs, SPAN("x")) && !globs_exclude(globs, SPAN("a/b/d")) &&
		   !globs_exclude(NULL, SPAN("x")),
	   "what lies in an excluded directory is excluded, too");
	ok(glob_excludes("[", SPAN("[")), "a class without an end is a letter");
	char text[4000];
	memset(text, 'a', sizeof(text));
	ok(!glob_excludes("*a*a*a*a*a*a*a*a*b", span_of(text, sizeof(text))), "many stars end soon");
}

static void key_sets(void)
{
	struct set64 s = { 0 };
	for (uint64_t i = 0; i < 5000; i++)
		set64_add(&s, i * i);
	bool all = true;
	for (uint64_t i = 0; i < 5000; i++)
		all &= set64_has(&s, i * i);
	ok(all, "all keys are found, 0 too");
	ok(!set64_has(&s, 2) && !set64_has(&s, UINT64_MAX), "others are not");
	ok(!set64_add(&s, 49), "a second time is not new");
	set64_clear(&s);
	ok(!set64_has(&s, 0) && !set64_has(&s, 49), "empty after clear");
	set64_release(&s);
	unsigned char key[16], in[15];
	for (unsigned i = 0; i < 16; i++)
		key[i] = (unsigned char)i;
	for (unsigned i = 0; i < 15; i++)
		in[i] = (unsigned char)i;
	ok(siphash(key, in, 15) == 0xa129ca6149be45e5u, "the vector of the SipHash paper");
}

static void spans(void)
{
	struct span rest = SPAN("a::b"), part;
	int n = 0;
	while (span_cut(&rest, ':', &part))
		n++;
	is_num(n, 3, "an empty part counts");
	ok(span_is(span_trim(SPAN(" \tx y\r\n")), "x y"), "trim");
	ok(span_cmp(SPAN("a"), SPAN("ab")) < 0 && span_cmp(SPAN("b"), SPAN("ab")) > 0 && span_cmp(SPAN(""), SPAN("")) == 0, "compare");
	ok(span_rfind(SPAN("a/b/c"), '/') == 3 && span_rfind(SPAN("abc"), '/') == 3, "last position");
	struct strs env = { 0 };
	strs_set_env(&env, "A=1");
	strs_set_env(&env, "AB=2");
	strs_set_env(&env, "A=3");
	ok(env.n == 2 && strcmp(strs_get_env(&env, "A"), "3") == 0 && !strs_get_env(&env, "B"), "environment entries are replaced by name");
	strs_release(&env);
	struct err e = { 0 };
	err_set(&e, E_FORMAT, "entry %d", 7);
	err_set(&e, E_DIGEST, "later");
	err_prefix(&e, "layer 2");
	ok(e.code == E_FORMAT && strcmp(e.text, "layer 2: entry 7") == 0, "the first fault wins");
}

int main(void)
{
	numbers();
	sizes();
	quoting();
	globs();
	key_sets();
	spans();
	return done_testing();
}
