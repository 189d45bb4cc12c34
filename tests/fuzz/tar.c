/*
 * Archives. The first byte chooses the size of windows and whether contents are read; whatever the choice, the entries
 * are the same (T11). With its highest bit the checksums of all headers are put right first, which a fuzzer does not guess.
 */
#include <stdio.h>

#include "libcommon/codec.h"
#include "tests/unit/chopped.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static int walk(struct span in, size_t window, int mode, struct hash *h)
{
	_cleanup_(stream_closep) struct stream *src = chopped_open(in, window, 0);
	struct tar_limits lim = { .max_sparse = 1000, .max_size = MIB(1), .max_padding = KIB(64) };
	struct err e = { 0 };
	_cleanup_(tar_closep) struct tar *t = tar_open(src, &lim, &e);
	const struct tar_entry *n;
	unsigned char bytes[100];
	int r;

	while ((r = tar_next(t, &n)) > 0) {
		if (n->name.p[n->name.n] || n->link.p[n->link.n] || !n->name.n || n->size > MIB(1))
			__builtin_trap();
		hash_update(h, n->name);
		hash_update(h, n->link);
		hash_update(h, span_of(&n->size, sizeof(n->size)));
		hash_update(h, span_of(&n->mtime.sec, sizeof(n->mtime.sec)));
		for (size_t i = 0; i < n->xattrs_n; i++) {
			hash_update(h, n->xattrs[i].name);
			hash_update(h, n->xattrs[i].value);
		}
		if (mode == 0) {
			stream_drain(tar_data(t));
			if (!stream_error(tar_data(t)) && tar_data(t)->offset != n->size)
				__builtin_trap();
		} else if (mode == 1) {
			stream_read(tar_data(t), bytes, sizeof(bytes));
			stream_discard(tar_data(t), n->size / 2);
		}
	}
	if (r < 0 && !e.text[0])
		__builtin_trap();
	return r;
}

static void seal_all(struct buf *b)
{
	for (size_t at = 0; at + 512 <= b->n; at += 512) {
		unsigned char *h = b->p + at;
		unsigned sum = 0;
		char text[8];
		if (memcmp(h + 257, "ustar", 5))
			continue;
		memset(h + 148, ' ', 8);
		for (size_t i = 0; i < 512; i++)
			sum += h[i];
		snprintf(text, sizeof(text), "%06o", sum);
		memcpy(h + 148, text, 7);
	}
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	_cleanup_(buf_release) struct buf sealed = BUF_INIT;
	unsigned char a[HASH_MAX], b[HASH_MAX];
	struct hash h;

	if (!size)
		return 0;
	buf_add(&sealed, data + 1, size - 1);
	if (data[0] & 0x80)
		seal_all(&sealed);
	struct span in = buf_span(&sealed);
	hash_init(&h, HASH_SHA256);
	int whole = walk(in, SIZE_MAX, data[0] % 3, &h);
	hash_final(&h, a);
	hash_init(&h, HASH_SHA256);
	int parts = walk(in, data[0] % 128 * 11u + 1, data[0] / 3 % 3, &h);
	hash_final(&h, b);
	if (whole != parts || memcmp(a, b, 32))
		__builtin_trap();
	return 0;
}
