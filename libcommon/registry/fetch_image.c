/*
 * A selection, whole: written as an image stream, or put into a layout.
 */
#include "libcommon/registry/fetch.h"

static int blob_fault(const struct descriptor *d, int code, struct err *e)
{
	struct err nothing = { 0 };

	return e->code ? code : fetch_fault(d, code, &nothing, e);
}

/* The config comes first and is small, so that it is looked at whole before it goes out. */
static int check_stream_config(struct stream **s, const struct fetch_options *o, struct err *e)
{
	_cleanup_(buf_release) struct buf raw = BUF_INIT, copy = BUF_INIT;

	int r = stream_read_all(*s, DOC_CONFIG_MAX, &raw);
	if (r < 0)
		return r;
	buf_add_span(&copy, buf_span(&raw));
	r = o->check_config(o->check_arg, &copy, e);
	stream_close(*s);
	*s = stream_from_buf(&raw);
	return r;
}

static int write_blobs(struct fetch *f, const struct selection *sel, struct image_writer *w,
		       const struct fetch_options *o, struct err *e)
{
	for (size_t i = 0; i < sel->blobs_n; i++) {
		_cleanup_(stream_closep) struct stream *s = NULL;

		int r = fetch_next(f, &s, e);
		if (!r && !i && sel->manifest && o->check_config) {
			r = check_stream_config(&s, o, e);
			if (r < 0 && e->code)
				return r;
		}
		if (!r)
			r = image_writer_blob(w, &sel->blobs[i], s, e);
		if (r < 0) {
			/* to close it could mean to wait for the server's next byte */
			steal_ptr(&s);
			return blob_fault(&sel->blobs[i], r, e);
		}
	}
	return 0;
}

int fetch_image_to_stream(struct registry *r, const struct selection *sel, struct sink *out,
			  const char *name, const struct fetch_options *o, struct err *e)
{
	const struct image_writer_options wo = {
		.ref_name = name,
		.docs = (const struct document *const *)sel->docs,
		.docs_n = sel->docs_n,
		.manifest = sel->manifest,
	};
	struct image_writer *w;

	int code = image_writer_open(out, &wo, &w, e);
	if (code < 0)
		return code;
	struct fetch *f = fetch_open(r, sel->blobs, sel->blobs_n, o);
	code = write_blobs(f, sel, w, o, e);
	if (code < 0)
		return code;
	fetch_close(f);
	code = image_writer_close(w, true, e);
	return code ? code : sink_flush(out);
}

static int check_layout_config(const struct selection *sel, const struct layout *l,
			       const struct fetch_options *o, struct err *e)
{
	_cleanup_(buf_release) struct buf raw = BUF_INIT;
	_cleanup_(fd_closep) int fd = layout_blob_open(l, &sel->blobs[0], e);

	int r = fd < 0 ? fd : fd_read_all(fd, DOC_CONFIG_MAX, &raw);
	return r ? r : o->check_config(o->check_arg, &raw, e);
}

int fetch_image_to_layout(struct registry *r, const struct selection *sel, const struct layout *l,
			  const char *tag, const struct fetch_options *o, struct err *e)
{
	/* the config alone first: it may say that this is not the image that was wanted */
	size_t first = sel->manifest && o->check_config ? 1 : 0;
	struct fetch_options rest = *o;
	int code = 0;

	if (first)
		code = fetch_to_layout(r, l, sel->blobs, 1, o, e);
	if (first && !code)
		code = check_layout_config(sel, l, o, e);
	rest.meters += first;
	if (!code)
		code = fetch_to_layout(r, l, sel->blobs + first, sel->blobs_n - first, &rest, e);
	for (size_t i = sel->docs_n; !code && i > 0; i--)
		code = layout_write_blob(l, &sel->docs[i - 1]->digest,
					 buf_span(&sel->docs[i - 1]->raw), o->sync, e);
	return code ? code : layout_set_tag(l, tag, sel->top, o->sync, e);
}
