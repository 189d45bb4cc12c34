/*
 * JSON documents (RFC 8259), read within limits. What parsers differ in is refused: a key twice,
 * half a surrogate pair, a NUL, bytes that are no UTF-8. Numbers are their text: whoever needs one
 * says what range it may have, and what nobody looks at passes as it came.
 */
#include "libcommon/codec/json.h"

#include <string.h>

struct parser {
	struct span text;
	size_t i, values, max_values;
	unsigned depth, max_depth;
	bool borrow;
	struct buf plain; /* a string with escapes, without */
	struct err *e;
};

/* Of the line, the bytes that were read. */
static int fail(const struct parser *p, const char *what)
{
	size_t line = 1, begin = 0;

	for (size_t i = 0; i < p->i; i++) {
		if (p->text.p[i] != '\n')
			continue;
		line++;
		begin = i + 1;
	}
	return err_set(p->e, E_FORMAT, "JSON: line %zu, column %zu: %s", line, p->i - begin, what);
}

/* The byte that comes, or 0, which is none of JSON's. */
static unsigned char next(const struct parser *p)
{
	return p->i < p->text.n ? p->text.p[p->i] : 0;
}

static unsigned char next_token(struct parser *p)
{
	for (;; p->i++) {
		unsigned char c = next(p);

		if (c != ' ' && c != '\t' && c != '\r' && c != '\n')
			return c;
	}
}

static bool accept(struct parser *p, unsigned char c)
{
	bool it_is = next_token(p) == c;

	p->i += it_is;
	return it_is;
}

/* ---- strings ---- */

static int hex4(struct parser *p, unsigned *out)
{
	*out = 0;
	for (unsigned i = 0; i < 4; i++) {
		unsigned char c = next(p), lower = c | 0x20;

		if (c >= '0' && c <= '9')
			*out = *out << 4 | (c - '0');
		else if (lower >= 'a' && lower <= 'f')
			*out = *out << 4 | (lower - 'a' + 10);
		else
			return fail(p, "no four hexadecimal digits behind \\u");
		p->i++;
	}
	return 0;
}

static void add_utf8(struct buf *b, unsigned c)
{
	unsigned shift = c < 0x80 ? 0 : c < 0x800 ? 6 : c < 0x10000 ? 12 : 18;
	static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };

	buf_addc(b, (char)(lead[shift / 6] | c >> shift));
	while (shift) {
		shift -= 6;
		buf_addc(b, (char)(0x80 | (c >> shift & 0x3f)));
	}
}

static int unicode_escape(struct parser *p)
{
	unsigned c, low;
	int r = hex4(p, &c);

	if (r < 0)
		return r;
	if (!c)
		return fail(p, "a NUL in a string");
	if (c >= 0xd800 && c < 0xe000) {
		if (c >= 0xdc00 || next(p) != '\\' || p->text.n - p->i < 2 ||
		    p->text.p[p->i + 1] != 'u')
			return fail(p, "half a surrogate pair");
		p->i += 2;
		r = hex4(p, &low);
		if (r < 0)
			return r;
		if (low < 0xdc00 || low >= 0xe000)
			return fail(p, "half a surrogate pair");
		c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
	}
	add_utf8(&p->plain, c);
	return 0;
}

static int escape(struct parser *p)
{
	static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	unsigned char c = next(p);
	const char *at = c ? strchr(names, c) : NULL;

	if (!at && c != 'u')
		return fail(p, "an unknown escape");
	p->i++;
	if (c == 'u')
		return unicode_escape(p);
	buf_addc(&p->plain, bytes[at - names]);
	return 0;
}

/* Up to the quote that ends it; the first has been read. *plain: it is in p->plain. */
static int read_string(struct parser *p, struct span *out, bool *plain)
{
	size_t run = p->i;
	int r = 0;

	buf_clear(&p->plain);
	*plain = false;
	for (unsigned char c; r == 0 && (c = next(p)) != '"';) {
		if (c < 0x20)
			return fail(p, p->i < p->text.n ? "a control character in a string"
							: "it ends within a string");
		p->i++;
		if (c != '\\')
			continue;
		buf_add(&p->plain, p->text.p + run, p->i - 1 - run);
		*plain = true;
		r = escape(p);
		run = p->i;
	}
	if (r < 0)
		return r;
	*out = span_of(p->text.p + run, p->i - run);
	p->i++;
	if (*plain) {
		buf_add_span(&p->plain, *out);
		*out = buf_span(&p->plain);
	}
	return utf8_valid(*out) ? 0 : fail(p, "a string that is no UTF-8");
}

/* ---- numbers and words ---- */

static size_t digits(struct parser *p)
{
	size_t from = p->i;

	while (next(p) >= '0' && next(p) <= '9')
		p->i++;
	return p->i - from;
}

static int read_number(struct parser *p, struct json **out)
{
	size_t from = p->i;
	bool good;

	p->i += next(p) == '-';
	if (next(p) == '0') {
		p->i++;
		good = true;
	} else {
		good = digits(p);
	}
	if (good && next(p) == '.') {
		p->i++;
		good = digits(p);
	}
	if (good && (next(p) | 0x20) == 'e') {
		p->i++;
		p->i += next(p) == '+' || next(p) == '-';
		good = digits(p);
	}
	if (!good)
		return fail(p, "no value");
	*out = json_of_text(JSON_NUMBER, span_of(p->text.p + from, p->i - from), p->borrow);
	return 0;
}

static int read_word(struct parser *p, struct json **out)
{
	static const char *const words[] = {
		[JSON_NULL] = "null", [JSON_FALSE] = "false", [JSON_TRUE] = "true"
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (!span_starts(span_tail(p->text, p->i), words[i]))
			continue;
		p->i += strlen(words[i]);
		*out = json_literal((enum json_type)i);
		return 0;
	}
	return read_number(p, out);
}

/* ---- containers ---- */

static int read_value(struct parser *p, struct json **out);

static int read_item(struct parser *p, struct json *array)
{
	struct json *val = NULL;
	int r = read_value(p, &val);

	if (val)
		json_add_item(array, val);
	return r;
}

static int read_member(struct parser *p, struct json *object)
{
	struct json *val = NULL;
	struct span key;
	bool plain;
	int r;

	if (!accept(p, '"'))
		return fail(p, "no key");
	r = read_string(p, &key, &plain);
	if (r < 0)
		return r;
	if (json_has(object, key))
		return fail(p, "duplicate object key");
	/* whose text the next string will overwrite */
	json_add_member(object, key, p->borrow && !plain, json_new_null());
	if (!accept(p, ':'))
		return fail(p, "no colon behind a key");
	r = read_value(p, &val);
	if (val)
		object->members->v[object->n - 1].val = val;
	return r;
}

static int read_container(struct parser *p, char kind, struct json **out)
{
	unsigned char end = kind == '{' ? '}' : ']';
	struct json *v = *out = json_container(kind);
	int r = 0;

	p->i++;
	if (++p->depth > p->max_depth)
		return err_set(p->e, E_TOOBIG, "JSON nested more than %u deep", p->max_depth);
	for (bool more = !accept(p, end); r == 0 && more;) {
		r = kind == '{' ? read_member(p, v) : read_item(p, v);
		if (r == 0 && !accept(p, ',')) {
			more = false;
			if (!accept(p, end))
				r = fail(p, kind == '{' ? "no comma or } behind a member"
							: "no comma or ] behind an item");
		}
	}
	p->depth--;
	json_shrink(v);
	return r;
}

/* *out is the caller's to free, whatever is returned. */
static int read_value(struct parser *p, struct json **out)
{
	unsigned char c = next_token(p);
	struct span s;
	bool plain;
	int r;

	if (++p->values > p->max_values)
		return err_set(p->e, E_TOOBIG, "JSON of more than %zu values", p->max_values);
	if (c == '{' || c == '[')
		return read_container(p, (char)c, out);
	if (c != '"')
		return read_word(p, out);
	p->i++;
	r = read_string(p, &s, &plain);
	if (r == 0)
		*out = json_of_text(JSON_STRING, s, p->borrow && !plain);
	return r;
}

int json_parse(struct span text, const struct json_limits *lim, struct json **doc, struct err *e)
{
	static const struct json_limits none;
	size_t max_bytes;

	*doc = NULL;
	if (!lim)
		lim = &none;
	max_bytes = MIN(lim->max_bytes ? lim->max_bytes : MIB(4), (size_t)JSON_SIZE_MAX);
	if (text.n > max_bytes)
		return err_set(e, E_TOOBIG, "JSON of more than %zu bytes", max_bytes);
	struct parser p = {
		.text = text,
		.max_values = lim->max_values ? lim->max_values : 100000,
		.max_depth = lim->max_depth ? lim->max_depth : 64,
		.borrow = lim->borrow,
		.e = e,
	};
	int r = read_value(&p, doc);
	if (r == 0 && (next_token(&p), p.i < text.n))
		r = fail(&p, "something behind the document");
	buf_release(&p.plain);
	if (r < 0) {
		json_free(*doc);
		*doc = NULL;
	}
	return r;
}
