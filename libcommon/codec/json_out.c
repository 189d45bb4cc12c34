/* JSON, written: no white space, members in the order in which they come, the same bytes every time. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/codec/json.h"

void json_out_release(struct json_out *o)
{
	buf_release(&o->b);
	o->comma = false;
}

void json_out_separate(struct json_out *o)
{
	if (o->comma)
		buf_addc(&o->b, ',');
	o->comma = true;
}

void json_begin(struct json_out *o, char open)
{
	json_out_separate(o);
	buf_addc(&o->b, open);
	o->comma = false;
}

void json_end(struct json_out *o, char close)
{
	buf_addc(&o->b, close);
	o->comma = true;
}

/* The length of the UTF-8 sequence at the front of s, or 0. */
static size_t utf8_length(struct span s)
{
	for (size_t n = 1; n <= 4 && n <= s.n; n++)
		if (utf8_valid(span_of(s.p, n)))
			return n;
	return 0;
}

static void put_string(struct buf *b, struct span s)
{
	static const char escapes[32] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r' };

	buf_addc(b, '"');
	while (s.n) {
		size_t run = 0;
		while (run < s.n && s.p[run] >= 0x20 && s.p[run] < 0x80 && s.p[run] != '"' && s.p[run] != '\\')
			run++;
		buf_add(b, s.p, run);
		s = span_tail(s, run);
		if (!s.n)
			break;
		unsigned char c = *s.p;
		size_t n = c < 0x80 ? 1 : utf8_length(s);
		if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else if (c < 0x20 && escapes[c])
			buf_addf(b, "\\%c", escapes[c]);
		else if (c < 0x20)
			buf_addf(b, "\\u%04x", c);
		else if (n)
			buf_add(b, s.p, n);
		else
			buf_adds(b, "\xef\xbf\xbd"); /* U+FFFD for each byte that is no UTF-8 */
		s = span_tail(s, n ? n : 1);
	}
	buf_addc(b, '"');
}

void json_key_span(struct json_out *o, struct span key)
{
	json_out_separate(o);
	put_string(&o->b, key);
	buf_addc(&o->b, ':');
	o->comma = false;
}

void json_key(struct json_out *o, const char *key)
{
	json_key_span(o, span_str(key));
}

void json_put_str(struct json_out *o, struct span s)
{
	json_out_separate(o);
	put_string(&o->b, s);
}

void json_put_i64(struct json_out *o, int64_t v)
{
	json_out_separate(o);
	buf_addf(&o->b, "%" PRId64, v);
}

void json_put_bool(struct json_out *o, bool v)
{
	json_out_separate(o);
	buf_adds(&o->b, v ? "true" : "false");
}

void json_put_null(struct json_out *o)
{
	json_out_separate(o);
	buf_adds(&o->b, "null");
}

/* ---- a value, written again ---- */

typedef bool put_fn(struct json_out *o, struct span key, const struct json *v);

static void put_member(struct json_out *o, const struct json_member *m, put_fn *put)
{
	struct span key = span_of(m->key, m->n);

	json_key_span(o, key);
	if (!put || !put(o, key, m->val))
		json_put(o, m->val);
}

void json_put(struct json_out *o, const struct json *v)
{
	switch (v ? v->type : JSON_NULL) {
	case JSON_OBJECT:
		json_begin(o, '{');
		for (size_t i = 0; i < v->n; i++)
			put_member(o, &v->members->v[i], NULL);
		json_end(o, '}');
		break;
	case JSON_ARRAY:
		json_begin(o, '[');
		for (size_t i = 0; i < v->n; i++)
			json_put(o, v->items[i]);
		json_end(o, ']');
		break;
	case JSON_STRING:
		json_put_str(o, span_of(v->text, v->n));
		break;
	case JSON_NUMBER:
		json_out_separate(o);
		buf_add(&o->b, v->text, v->n);
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		json_put_bool(o, v->type == JSON_TRUE);
		break;
	default:
		json_put_null(o);
	}
}

static int by_key(const void *a, const void *b)
{
	const struct json_member *x = *(const struct json_member *const *)a;
	const struct json_member *y = *(const struct json_member *const *)b;

	return span_cmp(span_of(x->key, x->n), span_of(y->key, y->n));
}

void json_put_sorted(struct json_out *o, const struct json *v)
{
	size_t n = json_is_object(v) ? v->n : 0;
	_cleanup_(freep) const struct json_member **all = xcalloc(n + 1, sizeof(*all));

	for (size_t i = 0; i < n; i++)
		all[i] = &v->members->v[i];
	qsort(all, n, sizeof(*all), by_key);
	json_begin(o, '{');
	for (size_t i = 0; i < n; i++)
		put_member(o, all[i], NULL);
	json_end(o, '}');
}

static bool is_among(struct span key, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (span_is(key, names[i]))
			return true;
	return false;
}

void json_put_ordered(struct json_out *o, const struct json *v, const char *const *names, size_t n,
		      put_fn *put)
{
	const struct json_member *m = json_len(v) && json_is_object(v) ? v->members->v : NULL;

	json_begin(o, '{');
	for (size_t i = 0; i < n; i++) {
		struct json_member named = { names[i], (uint32_t)strlen(names[i]), false,
					     (struct json *)json_get(v, names[i]) };

		if (named.val)
			put_member(o, &named, put);
	}
	for (size_t i = 0; m && i < v->n; i++)
		if (!is_among(span_of(m[i].key, m[i].n), names, n))
			put_member(o, &m[i], put);
	json_end(o, '}');
}
