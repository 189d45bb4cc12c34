/* X.509 and PEM, skimmed: bounded, no recursion, nothing is decided here. */
#include <arpa/inet.h>
#include <string.h>

#include "libcommon/registry/x509.h"

enum {
	DER_BOOLEAN = 0x01,
	DER_INTEGER = 0x02,
	DER_OCTETS = 0x04,
	DER_OID = 0x06,
	DER_UTC_TIME = 0x17,
	DER_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
	DER_VERSION = 0xa0,
	DER_EXTENSIONS = 0xa3,
	NAME_DNS = 0x82,
	NAME_ADDRESS = 0x87,
};

/* Cuts one element off *in: its tag, its contents, and all of it. */
static bool der_next(struct span *in, unsigned *tag, struct span *value, struct span *whole)
{
	struct span s = *in;
	size_t head = 2, n;

	if (s.n < 2 || (s.p[0] & 0x1f) == 0x1f)
		return false;
	n = s.p[1];
	if (n & 0x80) {
		size_t bytes = n & 0x7f;

		if (bytes == 0 || bytes > 3 || s.n < 2 + bytes)
			return false;
		n = 0;
		for (size_t i = 0; i < bytes; i++)
			n = n << 8 | s.p[2 + i];
		head += bytes;
	}
	if (n > s.n - head)
		return false;
	*tag = s.p[0];
	*value = span_of(s.p + head, n);
	*whole = span_of(s.p, head + n);
	*in = span_tail(s, head + n);
	return true;
}

/* The same where only one tag will do. */
static bool der_take(struct span *in, unsigned want, struct span *value, struct span *whole)
{
	unsigned tag;

	return der_next(in, &tag, value, whole) && tag == want;
}

static int two_digits(const unsigned char *p)
{
	return p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9'
		       ? -1
		       : (p[0] - '0') * 10 + p[1] - '0';
}

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar. */
static int64_t days_from_date(int64_t year, int month, int day)
{
	int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool time_parse(struct span *in, int64_t *out)
{
	struct span v, whole;
	unsigned tag;
	int64_t year;
	int part[6];

	if (!der_next(in, &tag, &v, &whole))
		return false;
	if (tag == DER_UTC_TIME && v.n == 13) {
		year = two_digits(v.p);
		year += year < 50 ? 2000 : 1900;
		v = span_tail(v, 2);
	} else if (tag == DER_TIME && v.n == 15) {
		year = two_digits(v.p) * 100 + two_digits(v.p + 2);
		v = span_tail(v, 4);
	} else {
		return false;
	}
	for (int i = 0; i < 5; i++)
		if ((part[i] = two_digits(v.p + 2 * i)) < 0)
			return false;
	if (part[0] < 1 || part[0] > 12 || part[1] < 1 || part[1] > 31 || v.p[10] != 'Z')
		return false;
	*out = days_from_date(year, part[0], part[1]) * 86400 + part[2] * 3600 + part[3] * 60 +
	       part[4];
	return true;
}

/* Whether servers, or any use, are among the extended key usages. */
static bool serves(struct span list)
{
	struct span uses, oid, whole;

	if (!der_take(&list, DER_SEQUENCE, &uses, &whole))
		return false;
	while (der_take(&uses, DER_OID, &oid, &whole))
		if (span_eq(oid, SPAN("\x2b\x06\x01\x05\x05\x07\x03\x01")) ||
		    span_eq(oid, SPAN("\x55\x1d\x25\x00")))
			return true;
	return false;
}

static bool extension_parse(struct span in, struct cert *out)
{
	struct span oid, v, whole;
	unsigned tag;

	if (!der_take(&in, DER_OID, &oid, &whole) || !der_next(&in, &tag, &v, &whole))
		return false;
	if (tag == DER_BOOLEAN && !der_next(&in, &tag, &v, &whole))
		return false;
	if (tag != DER_OCTETS)
		return false;
	if (span_eq(oid, SPAN("\x55\x1d\x11")))
		return der_take(&v, DER_SEQUENCE, &out->alt_names, &whole);
	if (span_eq(oid, SPAN("\x55\x1d\x1e")))
		out->name_constraints = true;
	if (span_eq(oid, SPAN("\x55\x1d\x25")))
		out->other_use = !serves(v);
	return true;
}

static bool extensions_parse(struct span in, struct cert *out)
{
	struct span list, v, whole;

	if (!der_take(&in, DER_SEQUENCE, &list, &whole))
		return false;
	while (list.n)
		if (!der_take(&list, DER_SEQUENCE, &v, &whole) || !extension_parse(v, out))
			return false;
	return true;
}

int cert_parse(struct span der, struct cert *out)
{
	struct span rest = der, tbs, v, whole;
	unsigned tag;

	memset(out, 0, sizeof(*out));
	if (!der_take(&rest, DER_SEQUENCE, &v, &out->der) ||
	    !der_take(&v, DER_SEQUENCE, &tbs, &whole))
		return E_FORMAT;
	if (tbs.n && tbs.p[0] == DER_VERSION && !der_next(&tbs, &tag, &v, &whole))
		return E_FORMAT;
	if (!der_take(&tbs, DER_INTEGER, &v, &whole) || !der_take(&tbs, DER_SEQUENCE, &v, &whole) ||
	    !der_take(&tbs, DER_SEQUENCE, &v, &out->issuer) ||
	    !der_take(&tbs, DER_SEQUENCE, &v, &whole) || !time_parse(&v, &out->not_before) ||
	    !time_parse(&v, &out->not_after) || !der_take(&tbs, DER_SEQUENCE, &v, &out->subject) ||
	    !der_take(&tbs, DER_SEQUENCE, &v, &whole))
		return E_FORMAT;
	while (tbs.n) {
		if (!der_next(&tbs, &tag, &v, &whole))
			return E_FORMAT;
		if (tag == DER_EXTENSIONS && !extensions_parse(v, out))
			return E_FORMAT;
	}
	return 0;
}

/* The value of the first attribute of that type in a name. */
static struct span name_attribute(struct span name, struct span type)
{
	struct span rdns, set, pair, oid, v, whole;
	unsigned tag;

	if (!der_take(&name, DER_SEQUENCE, &rdns, &whole))
		return (struct span){ 0 };
	while (der_take(&rdns, DER_SET, &set, &whole))
		while (der_take(&set, DER_SEQUENCE, &pair, &whole))
			if (der_take(&pair, DER_OID, &oid, &whole) && span_eq(oid, type) &&
			    der_next(&pair, &tag, &v, &whole))
				return v;
	return (struct span){ 0 };
}

const char *cert_name_text(struct span name)
{
	struct span v = name_attribute(name, SPAN("\x55\x04\x03"));

	if (!v.n)
		v = name_attribute(name, SPAN("\x55\x04\x0a"));
	return v.n ? quoted(span_of(v.p, MIN(v.n, (size_t)100))) : "?";
}

void cert_hosts_text(const struct cert *c, struct buf *out)
{
	struct span rest = c->alt_names, v, whole;
	char text[INET6_ADDRSTRLEN];
	unsigned tag, n = 0;

	while (n < 8 && der_next(&rest, &tag, &v, &whole)) {
		bool address = tag == NAME_ADDRESS && (v.n == 4 || v.n == 16);

		if (!address && tag != NAME_DNS)
			continue;
		if (n++)
			buf_adds(out, ", ");
		if (address)
			buf_adds(out,
				 inet_ntop(v.n == 4 ? AF_INET : AF_INET6, v.p, text, sizeof(text)));
		else
			buf_add_quoted(out, v, 64);
	}
	if (n == 0)
		buf_adds(out, cert_name_text(c->subject));
	else if (rest.n)
		buf_adds(out, ", ...");
}

bool cert_has_address(const struct cert *c, struct span address)
{
	struct span rest = c->alt_names, v, whole;
	unsigned tag;

	while (der_next(&rest, &tag, &v, &whole))
		if (tag == NAME_ADDRESS && span_eq(v, address))
			return true;
	return false;
}

/* Position of needle, or s.n. */
static size_t find_text(struct span s, const char *needle)
{
	const unsigned char *q = s.n ? memmem(s.p, s.n, needle, strlen(needle)) : NULL;

	return q ? (size_t)(q - s.p) : s.n;
}

bool pem_next(struct span *text, struct span *label, struct span *body)
{
	for (;;) {
		size_t at = find_text(*text, "-----BEGIN ");

		if (at == text->n)
			return false;
		*text = span_tail(*text, at + 11);
		at = find_text(*text, "-----");
		*label = span_of(text->p, at);
		*text = span_tail(*text, at + 5);
		at = find_text(*text, "-----");
		*body = span_of(text->p, at);
		*text = span_tail(*text, at);
		/* one that is not ended before the next begins is none */
		if (!span_starts(*text, "-----END "))
			continue;
		*text = span_tail(*text, 9);
		if (label->n < 64)
			return true;
	}
}

int pem_decode(struct span body, struct buf *out)
{
	uint32_t word = 0;
	unsigned bits = 0;
	size_t i;

	buf_reserve(out, body.n / 4 * 3 + 3);
	for (i = 0; i < body.n && body.p[i] != '='; i++) {
		unsigned char c = body.p[i];
		unsigned v;

		if (c >= 'A' && c <= 'Z')
			v = c - 'A';
		else if (c >= 'a' && c <= 'z')
			v = c - 'a' + 26;
		else if (c >= '0' && c <= '9')
			v = c - '0' + 52;
		else if (c == '+' || c == '/')
			v = c == '+' ? 62 : 63;
		else if (c == '\n' || c == '\r' || c == ' ' || c == '\t')
			continue;
		else
			return E_FORMAT;
		word = word << 6 | v;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out->p[out->n++] = (unsigned char)(word >> bits);
		}
	}
	for (; i < body.n; i++)
		if (!strchr("=\r\n \t", body.p[i]) || !body.p[i])
			return E_FORMAT;
	return bits < 6 ? 0 : E_FORMAT;
}
