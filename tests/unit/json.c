/* JSON: what is read and refused, limits, order, and what is written; base64. */
#include <time.h>

#include "libcommon/codec.h"
#include "tests/unit/tap.h"

static int parse(const char *text, struct json **doc, struct err *e)
{
	static struct err unused;

	err_clear(e ? e : &unused);
	return json_parse(span_str(text), NULL, doc, e ? e : &unused);
}

static void reading(void)
{
	_cleanup_(json_freep) struct json *doc = NULL;
	struct span s = { 0 }, key;
	const struct json *v;
	void *it = NULL;
	char order[64] = "";
	int64_t n = 0;

	is_num(parse(" {\"z\":1, \"a\":[true,null,\"x\\u00e9\"], \"m\":{\"b\":-9223372036854775808}, \"k\":\"\"} \n", &doc,
		     NULL), 0, "a document");
	ok(json_i64(json_get(doc, "z"), &n) && n == 1, "an integer");
	ok(json_i64(json_get(json_get(doc, "m"), "b"), &n) && n == INT64_MIN, "the least integer");
	is_num(json_len(json_get(doc, "a")), 3, "length of an array");
	ok(json_bool(json_at(json_get(doc, "a"), 0), false), "true");
	ok(json_is_null(json_at(json_get(doc, "a"), 1)), "null");
	is_str(json_cstr(json_at(json_get(doc, "a"), 2)), "x\xc3\xa9", "a string");
	ok(json_str(json_get(doc, "k"), &s) && !s.n, "an empty string");
	ok(!json_get(doc, "no") && !json_get(NULL, "a") && !json_get(json_get(doc, "a"), "a") && !json_at(doc, 0) &&
	   !json_at(json_get(doc, "a"), 3) && !json_cstr(json_get(doc, "z")) && !json_i64(json_get(doc, "k"), &n) &&
	   json_bool(json_get(doc, "z"), true) && !json_bool(NULL, false) && !json_len(json_get(doc, "z")),
	   "what is missing or of another type gives nothing");
	while (json_next(doc, &it, &key, &v))
		strncat(order, (const char *)key.p, key.n);
	is_str(order, "zamk", "members come in the order of the document");
}

static void many_members_in_order(void)
{
	struct json_out o = { 0 };
	_cleanup_(json_freep) struct json *doc = NULL;
	const struct json *v;
	struct span key;
	void *it = NULL;
	bool right = true;
	int64_t n, want = 0;

	json_begin(&o, '{');
	for (int i = 0; i < 5000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "%x-%d", (unsigned)i * 2654435761u, i);
		json_key(&o, name);
		json_put_i64(&o, i);
	}
	json_end(&o, '}');
	is_num(json_parse(buf_span(&o.b), NULL, &doc, NULL), 0, "5000 members");
	while (json_next(doc, &it, &key, &v))
		right = right && json_i64(v, &n) && n == want++;
	ok(right && want == 5000, "in order");
	json_out_release(&o);
}

static void refused(void)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{ "", "nothing" },
		{ "{", "half an object" },
		{ "{} {}", "two documents" },
		{ "{}x", "garbage behind the document" },
		{ "{\"a\":1,\"a\":2}", "T74 a duplicate key" },
		{ "{\"x\":[{\"a\":1,\"b\":2,\"\\u0061\":2}]}", "T74 a duplicate key in disguise" },
		{ "{\"a\":\"\xff\"}", "T74 invalid UTF-8" },
		{ "{\"a\":\"\xc0\xaf\"}", "T74 overlong UTF-8" },
		{ "{\"a\":\"\\ud800\"}", "T74 half a surrogate pair" },
		{ "{\"a\":\"x\\u0000\"}", "T74 a NUL in a string" },
		{ "{\"a\\u0000b\":1}", "T74 a NUL in a key" },
		{ "{\"a\":9223372036854775808}", "T74 an integer that is too large" },
		{ "{\"a\":1e999}", "T74 a huge number" },
		{ "{\"a\":01}", "a leading zero" },
		{ "{\"a\":.5}", "no digit before the point" },
		{ "{\"a\":NaN}", "NaN" },
		{ "{'a':1}", "single quotes" },
		{ "{\"a\":1,}", "a comma too many" },
		{ "[1 2]", "a comma too few" },
		{ "\xef\xbb\xbf{}", "a byte order mark" },
		{ "{\"a\":\"\n\"}", "a newline in a string" },
	};
	struct json *doc;
	struct err e = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		ok(parse(bad[i].text, &doc, &e) == E_FORMAT && !doc && e.text[0], "refused: %s", bad[i].why);
	parse("{\n \"a\": 1,\n \"a\": 2}", &doc, &e);
	ok(strstr(e.text, "line 3, column 4: duplicate object key"), "the text says where and what");
}

static int limited(char open, char close, size_t n, const char *inner, bool nested, struct err *e)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct json *doc = NULL;

	if (!nested)
		buf_addc(&b, '[');
	for (size_t i = 0; i < n; i++) {
		if (!nested && i)
			buf_addc(&b, ',');
		buf_addc(&b, open);
		if (nested && open == '{' && i + 1 < n)
			buf_adds(&b, "\"k\":");
		buf_adds(&b, inner);
		if (!nested)
			buf_addc(&b, close);
	}
	for (size_t i = 0; nested && i < n; i++)
		buf_addc(&b, close);
	if (!nested)
		buf_addc(&b, ']');
	err_clear(e);
	int r = json_parse(buf_span(&b), NULL, &doc, e);
	json_free(doc);
	return r;
}

static void limits(void)
{
	static char big[(4 << 20) + 2];
	struct json *doc = NULL;
	struct err e = { 0 };

	is_num(limited('[', ']', 64, "", true, &e), 0, "T74 64 arrays in each other");
	is_num(limited('[', ']', 65, "", true, &e), E_TOOBIG, "T74 65 are too many");
	is_str(e.text, "JSON nested more than 64 deep", "the text names the budget");
	is_num(limited('{', '}', 64, "", true, &e), 0, "T74 64 objects in each other");
	is_num(limited('{', '}', 65, "", true, &e), E_TOOBIG, "T74 65 are too many");
	is_num(limited('{', '}', 99999, "", false, &e), 0, "T80 100,000 values");
	is_num(limited('{', '}', 100000, "", false, &e), E_TOOBIG, "T80 one more");
	is_str(e.text, "JSON of more than 100000 values", "the text names the budget");
	is_num(limited('"', '"', 100000, "{},[]", false, &e), E_TOOBIG, "T80 as strings");
	is_num(limited('1', '2', 100000, "3", false, &e), E_TOOBIG, "T80 as numbers");
	is_num(limited('{', '}', 50000, "\"a\":1", false, &e), E_TOOBIG, "T80 with members");
	is_num(limited('{', '}', 49999, "\"a\":1", false, &e), 0, "T80 keys are no values");
	is_num(limited('"', '"', 1, "\\\\[\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{", false, &e), 0,
	       "brackets in a string are no nesting");
	err_clear(&e);
	is_num(limited('"', '"', 99000, "a string of 23 letters!", false, &e), 0, "T80 99,000 strings");
	memset(big, 'x', 39);
	big[39] = '\0';
	is_num(limited('"', '"', 99000, big, false, &e), E_TOOBIG, "T80 not if they are long");
	is_str(e.text, "JSON that would take more than 12800 KiB of memory", "the text names the budget");
	memset(big, ' ', sizeof(big));
	memcpy(big, "{}", 2);
	is_num(json_parse(span_of(big, sizeof(big) - 2), NULL, &doc, &e), 0, "T80 4 MiB");
	json_free(doc);
	is_num(json_parse(span_of(big, sizeof(big) - 1), NULL, &doc, &e), E_TOOBIG, "T80 a byte more");
	for (size_t i = 0; i + 3 <= sizeof(big); i += 3)
		memcpy(big + i, "{},", 3);
	clock_t before = clock();
	is_num(json_parse(span_of(big, 4 << 20), NULL, &doc, &e), E_TOOBIG, "T80 4 MiB of {}, are not parsed");
	ok(clock() - before < CLOCKS_PER_SEC, "and refused at once");
}

static void writing(void)
{
	static const char text[] = "{\"b\":[1,-2,[],{},null,true,false,\"q\\\"\\\\\\u0001\\n\xc3\xa9/\"],\"a\":1.5,\"\":{\"x\":\"\"}}";
	_cleanup_(json_freep) struct json *doc = NULL;
	struct json_out o = { 0 };

	is_num(parse(text, &doc, NULL), 0, "our own text is read");
	json_put(&o, doc);
	is_str(buf_str(&o.b), text, "and written as it was");
	json_out_release(&o);

	json_begin(&o, '{');
	json_key(&o, "s");
	json_put_str(&o, SPAN("a\xff\xc3z\t\x7f"));
	json_key(&o, "n");
	json_begin(&o, '[');
	json_put_i64(&o, INT64_MIN);
	json_put_bool(&o, true);
	json_put_null(&o);
	json_begin(&o, '[');
	json_end(&o, ']');
	json_end(&o, ']');
	json_end(&o, '}');
	is_str(buf_str(&o.b), "{\"s\":\"a\xef\xbf\xbd\xef\xbf\xbdz\\t\x7f\",\"n\":[-9223372036854775808,true,null,[]]}",
	       "the writer separates, escapes and mends");
	json_out_release(&o);
}

static void base64(void)
{
	static const char *const pairs[][2] = {
		{ "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
		{ "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "\xfb\xff\xfe", "+//+" },
	};
	static const char *const bad[] = { "Z", "Zg=", "Zg===", "Zm9v=", "Z===", "Zh==", "Zm9=", "Zm 9v", "Zg==Zg==", "Zm9v-", "====" };

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		struct buf b = BUF_INIT;
		struct span no_padding = span_str(pairs[i][1]);
		base64_encode(span_str(pairs[i][0]), &b);
		is_str(buf_str(&b), pairs[i][1], "base64 encoded");
		buf_clear(&b);
		ok(!base64_decode(span_str(pairs[i][1]), &b) && span_is(buf_span(&b), pairs[i][0]), "decoded");
		buf_clear(&b);
		while (span_ends(no_padding, "="))
			no_padding.n--;
		ok(!base64_decode(no_padding, &b) && span_is(buf_span(&b), pairs[i][0]), "without padding");
		buf_release(&b);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct buf b = BUF_INIT;
		ok(base64_decode(span_str(bad[i]), &b) == E_FORMAT && !b.n, "no base64: %s", bad[i]);
		buf_release(&b);
	}
}

int main(void)
{
	reading();
	many_members_in_order();
	refused();
	limits();
	writing();
	base64();
	return done_testing();
}
