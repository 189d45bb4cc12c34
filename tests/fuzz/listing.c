/* Two layers, cut where the first byte says, into one tree and out again; also without what lies below them. */
#include <stdio.h>
#include <string.h>

#include "libcommon/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct null_sink {
	struct sink s;
};

static void drop(struct sink *s, struct span data)
{
	(void)s;
	(void)data;
}

static const struct sink_ops drop_ops = { .write = drop };

/* Checksums, which a fuzzer does not guess. */
static void seal(unsigned char *p, size_t n)
{
	for (; n >= 512; p += 512, n -= 512) {
		unsigned sum = 0;
		char text[8];

		if (memcmp(p + 257, "ustar", 5))
			continue;
		memset(p + 148, ' ', 8);
		for (size_t i = 0; i < 512; i++)
			sum += p[i];
		snprintf(text, sizeof(text), "%06o", sum);
		memcpy(p + 148, text, 7);
	}
}

static void read_all(struct listing *l)
{
	const struct listing_entry *e;
	struct buf name = BUF_INIT;

	while (listing_next(l, &e, NULL) > 0)
		if (e->path.n > 4096 * 256)
			__builtin_trap();
	while (listing_name_after(l, 0, &name, NULL) > 0)
		if (listing_find(l, 0, buf_span(&name), &e, NULL) != 1)
			__builtin_trap();
	buf_release(&name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct null_sink out = { .s.ops = &drop_ops };
	struct listing_options o = { .digests = true, .memory = 1, .max_entries = 1000, .max_total = MIB(1) };
	struct listing *l = NULL;
	int r = 0;

	if (n < 2)
		return 0;
	o.upon = data[0] & 1;
	o.contents = data[0] & 2;
	o.tar.max_size = MIB(1);
	size_t cut = MIN((size_t)(data[0] >> 2) * 512 + 1, n);
	_cleanup_(freep) unsigned char *copy = xmemdup(data, n);
	seal(copy + 1, n - 1);
	struct span part[2] = { span_of(copy + 1, cut - 1), span_of(copy + cut, n - cut) };
	if (listing_new(&o, &l, NULL) < 0)
		return 0;
	for (size_t i = 0; i < 2 && r == 0; i++) {
		struct stream *s = stream_from_span(part[i]);
		struct err e = { 0 };
		r = listing_add(l, s, &e);
		stream_close(s);
	}
	if (r == 0 && listing_done(l, NULL) == 0) {
		read_all(l);
		if (o.contents)
			squash_write(l, &(struct squash_options){ 0 }, &out.s, NULL);
	}
	listing_close(l);
	return 0;
}
