/* JSON, written: no white space, members in the order in which they come, the same bytes every time. */
#include <inttypes.h>

#include "libcommon/codec/json_out.h"

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
	static const char escapes[32] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'
	};

	buf_addc(b, '"');
	while (s.n) {
		size_t run = 0;
		while (run < s.n && s.p[run] >= 0x20 && s.p[run] < 0x80 && s.p[run] != '"' &&
		       s.p[run] != '\\')
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
