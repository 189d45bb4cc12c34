/* base64 (RFC 4648, section 4). Padding may be left out, as some writers do; line breaks are passed over. */
#include "libcommon/codec.h"
#include "libcommon/codec/base64.h"

static int digit(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t base64_decode_to(struct span s, unsigned char *out)
{
	uint32_t bits = 0;
	size_t digits = 0, padding = 0, n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];
		int d = digit(c);
		if (c == '\n' || c == '\r')
			continue;
		if (c == '=') {
			padding++;
			continue;
		}
		if (d < 0 || padding)
			return E_FORMAT;
		bits = bits << 6 | (uint32_t)d;
		digits++;
		if (digits % 4 != 1)
			out[n++] = bits >> (6 - 2 * ((digits - 1) % 4));
	}
	/* One digit says no byte; padding fills up four or is not there; the bits that it leaves over are 0. */
	if (digits % 4 == 1 || (padding && (padding > 2 || (digits + padding) % 4)))
		return E_FORMAT;
	if ((digits % 4 == 2 && (bits & 0xf)) || (digits % 4 == 3 && (bits & 3)))
		return E_FORMAT;
	return (ssize_t)n;
}

int base64_decode(struct span s, struct buf *out)
{
	buf_reserve(out, s.n / 4 * 3 + 3);
	ssize_t n = base64_decode_to(s, out->p + out->n);

	if (n < 0)
		return (int)n;
	out->n += (size_t)n;
	return 0;
}

void base64_encode(struct span s, struct buf *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	buf_reserve(out, s.n / 3 * 4 + 4);
	for (size_t i = 0; i < s.n; i += 3) {
		size_t n = MIN(s.n - i, (size_t)3);
		uint32_t v = (uint32_t)s.p[i] << 16;
		if (n > 1)
			v |= (uint32_t)s.p[i + 1] << 8;
		if (n > 2)
			v |= s.p[i + 2];
		for (size_t k = 0; k < 4; k++)
			buf_addc(out, k <= n ? digits[v >> (18 - 6 * k) & 63] : '=');
	}
}
