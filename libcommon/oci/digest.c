/* Digests (image-spec descriptor.md) and chain ids (config.md). */
#include "libcommon/oci.h"

#include <stdio.h>
#include <string.h>

static const char *const names[] = { [HASH_SHA256] = "sha256", [HASH_SHA512] = "sha512" };

const char *digest_alg_name(enum hash_alg alg)
{
	return names[alg];
}

static bool is_lower_alnum(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* algorithm := component ([+._-] component)*; component := [a-z0-9]+ */
static bool algorithm_valid(struct span s)
{
	bool after_separator = true;

	for (size_t i = 0; i < s.n; i++) {
		bool separator = s.p[i] && strchr("+._-", s.p[i]);

		if (!separator && !is_lower_alnum(s.p[i]))
			return false;
		if (separator && after_separator)
			return false;
		after_separator = separator;
	}
	return !after_separator;
}

static bool encoded_valid(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = s.p[i];

		if (!is_lower_alnum(c) && !(c >= 'A' && c <= 'Z') && !(c && strchr("=_-", c)))
			return false;
	}
	return s.n > 0;
}

int digest_parse(struct span s, struct digest *out)
{
	size_t colon = span_find(s, ':');

	if (colon == s.n)
		return E_FORMAT;

	struct span alg = span_of(s.p, colon), hex = span_tail(s, colon + 1);

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct digest d = { .alg = (enum hash_alg)i };

		if (!span_is(alg, names[i]))
			continue;
		if (num_hex(hex, d.v, hash_size(d.alg)) < 0)
			return E_FORMAT;
		*out = d;
		return 0;
	}
	return algorithm_valid(alg) && encoded_valid(hex) ? E_UNSUPPORTED : E_FORMAT;
}

char *digest_text(const struct digest *d, char out[DIGEST_TEXT_MAX])
{
	size_t n = strlen(names[d->alg]);

	memcpy(out, names[d->alg], n);
	out[n] = ':';
	num_to_hex(d->v, hash_size(d->alg), out + n + 1);
	return out;
}

bool digest_eq(const struct digest *a, const struct digest *b)
{
	return a->alg == b->alg && !memcmp(a->v, b->v, hash_size(a->alg));
}

struct digest digest_of(enum hash_alg alg, struct span bytes)
{
	struct digest d = { .alg = alg };

	hash_once(alg, bytes, d.v);
	return d;
}

struct digest chain_id_next(const struct digest *parent, const struct digest *diff_id)
{
	char text[2 * DIGEST_TEXT_MAX];

	if (!parent)
		return *diff_id;
	digest_text(parent, text);

	size_t n = strlen(text);

	text[n] = ' ';
	digest_text(diff_id, text + n + 1);
	return digest_of(HASH_SHA256, span_str(text));
}
