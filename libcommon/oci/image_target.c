/* Where the blobs of an image go: an image stream, or a layout in which each appears whole. */
#include <time.h>
#include <unistd.h>

#include "libcommon/oci.h"

enum { WAIT_FOR_OTHER_MS = 50 };

bool image_target_has(const struct image_target *t, const struct descriptor *d)
{
	return t->writer ? image_writer_has(t->writer, &d->digest) : layout_has_blob(t->layout, d);
}

/* The partial, once no other process is at it. */
static int open_partial(const struct image_target *t, const struct descriptor *d, int *fd,
			struct err *e)
{
	const struct timespec nap = { .tv_nsec = WAIT_FOR_OTHER_MS * 1000000L };

	for (;;) {
		struct err why = { 0 };
		int r = layout_partial_open(t->layout, &d->digest, fd, &why);

		if (r == 0)
			return 0;
		if (r != E_EXISTS)
			return err_set(e, r, "%s", why.text);
		nanosleep(&nap, NULL);
	}
}

int image_target_begin(struct image_target *t, const struct descriptor *d, struct sink **out,
		       struct err *e)
{
	int r;

	if (t->writer)
		return image_writer_begin(t->writer, d, out, e);
	r = open_partial(t, d, &t->fd, e);
	if (r < 0)
		return r;
	if (ftruncate(t->fd, 0) < 0) {
		r = -errno;
		fd_close(steal_fd(&t->fd));
		return err_set(e, r, "a file for a blob: %s", err_word(r));
	}
	*out = t->sink = sink_from_fd(t->fd, false);
	return 0;
}

int image_target_end(struct image_target *t, const struct descriptor *d, int r, struct err *e)
{
	if (t->writer) {
		if (r == 0)
			r = image_writer_end(t->writer, d, e);
	} else {
		int w = sink_flush(t->sink);

		if (r == 0 && w == 0 && t->sink->offset != d->size)
			r = err_set(e, E_SIZE, "a blob has not the size that its descriptor says");
		sink_close(steal_ptr(&t->sink));
		if (w < 0)
			r = err_set(e, w, "writing into the layout: %s", err_word(w));
		if (r < 0)
			layout_partial_discard(t->layout, &d->digest, steal_fd(&t->fd));
		else
			r = layout_partial_commit(t->layout, &d->digest, steal_fd(&t->fd), t->sync,
						  e);
	}
	if (r == 0)
		t->stats->sent += d->size;
	return r;
}

int image_target_blob(struct image_target *t, const struct descriptor *d, struct stream *src,
		      struct err *e)
{
	char text[DIGEST_TEXT_MAX];
	struct sink *out;
	int r;

	if (image_target_has(t, d))
		return 0;
	r = image_target_begin(t, d, &out, e);
	if (r < 0)
		return r;
	for (struct span w = stream_peek(src); w.n && !out->err; w = stream_peek(src)) {
		sink_write(out, w);
		stream_skip(src, w.n);
	}
	r = stream_error(src);
	if (r < 0)
		err_set(e, r, "blob %s: %s", digest_text(&d->digest, text), err_word(r));
	return image_target_end(t, d, r, e);
}
