/* Text for people: what a stranger chose must not be able to drive a terminal. */
#include <stdio.h>
#include <string.h>

#include "libcommon/base.h"

/* Length of the well-formed UTF-8 sequence at p (RFC 3629), or 0. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
	if (p[0] < 0x80)
		return 1;
	size_t len = p[0] >= 0xc2 && p[0] < 0xe0    ? 2
		     : (p[0] & 0xf0) == 0xe0	    ? 3
		     : p[0] >= 0xf0 && p[0] <= 0xf4 ? 4
						    : 0;
	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xf0 && p[1] < 0x90);
	bool surrogate = p[0] == 0xed && p[1] >= 0xa0;
	bool beyond = p[0] == 0xf4 && p[1] >= 0x90;
	return overlong || surrogate || beyond ? 0 : len;
}

bool utf8_valid(struct span s)
{
	while (s.n) {
		size_t len = utf8_length(s.p, s.n);
		if (!len)
			return false;
		s = span_tail(s, len);
	}
	return true;
}

/* C0, DEL and the C1 controls, which terminals obey in their UTF-8 form too; and the marks that turn the direction of text. */
static bool is_control(const unsigned char *p, size_t len)
{
	if (len == 1)
		return p[0] < 0x20 || p[0] == 0x7f;
	if (len == 2)
		return p[0] == 0xc2 && p[1] < 0xa0;
	return len == 3 && p[0] == 0xe2 &&
	       ((p[1] == 0x80 && p[2] >= 0xaa && p[2] <= 0xae) ||
		(p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9));
}

void buf_add_quoted(struct buf *b, struct span s, size_t max)
{
	size_t start = b->n;
	while (s.n) {
		if (b->n - start >= max) {
			buf_adds(b, "...");
			return;
		}
		size_t run = 0, most = MIN(s.n, max - (b->n - start));
		while (run < most && s.p[run] >= 0x20 && s.p[run] < 0x7f && s.p[run] != '\\')
			run++;
		if (run) {
			buf_add(b, s.p, run);
			s = span_tail(s, run);
			continue;
		}
		size_t len = utf8_length(s.p, s.n);
		if (len == 0 || is_control(s.p, len)) {
			len = MAX(len, (size_t)1);
			for (size_t i = 0; i < len; i++)
				buf_addf(b, "\\x%02x", s.p[i]);
		} else if (s.p[0] == '\\') {
			buf_adds(b, "\\\\");
		} else {
			buf_add(b, s.p, len);
		}
		s = span_tail(s, len);
	}
}

const char *quoted(struct span s)
{
	enum { SLOTS = 8, SIZE = 512 };
	static _Thread_local char slots[SLOTS][SIZE];
	static _Thread_local unsigned next;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	buf_add_quoted(&b, s, SIZE - 32);
	char *slot = slots[next++ % SLOTS];
	snprintf(slot, SIZE, "%s", buf_str(&b));
	return slot;
}

const char *quoted_str(const char *s)
{
	return quoted(span_str(s));
}
