/* Bytes that are appended, and read where they lie. */
#include <string.h>

#include "libcommon/oci/pages.h"

enum { EXTRAS_BUFFER = 256 * 1024 };

int extras_add(struct extras *x, struct span bytes, uint64_t *at)
{
	if (x->tail.n && x->tail.n + bytes.n > EXTRAS_BUFFER) {
		if (x->fd < 0)
			x->fd = spool_open();
		if (x->fd < 0)
			return x->fd;
		int r = fd_pwrite_all(x->fd, x->tail.p, x->tail.n, x->on_disk);
		if (r < 0)
			return r;
		x->on_disk += x->tail.n;
		buf_clear(&x->tail);
	}
	*at = x->on_disk + x->tail.n;
	buf_add_span(&x->tail, bytes);
	return 0;
}

int extras_read(const struct extras *x, uint64_t at, void *p, size_t n)
{
	if (!n)
		return 0;
	if (at >= x->on_disk) {
		if (at - x->on_disk + n > x->tail.n)
			return E_IO;
		memcpy(p, x->tail.p + (at - x->on_disk), n);
		return 0;
	}
	ssize_t r = fd_pread_full(x->fd, p, n, at);
	return r < 0 ? (int)r : (size_t)r == n ? 0 : E_IO;
}

int extras_add_text(struct extras *x, struct span text, uint64_t *at)
{
	_cleanup_(buf_release) struct buf both = BUF_INIT;
	uint32_t n = (uint32_t)text.n;

	buf_add(&both, &n, sizeof(n));
	buf_add_span(&both, text);
	return extras_add(x, buf_span(&both), at);
}

int extras_text(const struct extras *x, uint64_t at, struct buf *out)
{
	uint32_t n;
	int r = extras_read(x, at, &n, sizeof(n));

	buf_clear(out);
	if (r < 0)
		return r;
	buf_reserve(out, n);
	r = extras_read(x, at + sizeof(n), out->p, n);
	out->n = r < 0 ? 0 : n;
	return r;
}

void extras_release(struct extras *x)
{
	buf_release(&x->tail);
	fd_close(x->fd);
	x->fd = -1;
}
