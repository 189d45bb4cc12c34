/* An image in a layout on disk. */
#include "libcommon/oci/image.h"
#include "libcommon/oci/oci_private.h"

#include <stdlib.h>

struct layout_image {
	struct image img;
	struct layout layout;
	bool verify;
};

static int layout_load(struct image *img, const struct descriptor *d, struct buf *out,
		       struct err *e)
{
	struct layout_image *li = container_of(img, struct layout_image, img);
	_cleanup_(fd_closep) int fd = layout_blob_open(&li->layout, d, e);
	char text[DIGEST_TEXT_MAX];
	int r;

	if (fd < 0)
		return fd;
	r = fd_read_all(fd, d->size, out);
	if (r < 0)
		return err_set(e, r == E_TOOBIG ? E_SIZE : r, "blob %s: %s",
			       digest_text(&d->digest, text), err_word(r == E_TOOBIG ? E_SIZE : r));
	return image_check_bytes(buf_span(out), d, e);
}

static int layout_stream(struct image *img, const struct descriptor *d, struct stream **out,
			 struct err *e)
{
	struct layout_image *li = container_of(img, struct layout_image, img);
	int fd = layout_blob_open(&li->layout, d, e);

	if (fd < 0)
		return fd;
	*out = stream_from_fd(fd, true);
	if (li->verify)
		*out = stream_verify(*out, d->digest.alg, d->digest.v, d->size);
	return 0;
}

static int layout_file(struct image *img, const struct descriptor *d, int *fd, uint64_t *offset,
		       struct err *e)
{
	struct layout_image *li = container_of(img, struct layout_image, img);

	*offset = 0;
	*fd = layout_blob_open(&li->layout, d, e);
	return *fd < 0 ? *fd : 0;
}

static void layout_image_close(struct image *img)
{
	struct layout_image *li = container_of(img, struct layout_image, img);

	layout_close(&li->layout);
	free(li);
}

static const struct image_ops layout_ops = {
	.load = layout_load,
	.blob = layout_stream,
	.file = layout_file,
	.close = layout_image_close,
	.random_access = true,
};

int image_open_layout(const char *path, const struct image_options *o, struct image **out,
		      struct err *e)
{
	_cleanup_(image_closep) struct image *img = NULL;
	_cleanup_(document_release) struct document index = { 0 };
	_cleanup_(buf_release) struct buf raw = BUF_INIT;
	struct layout layout;
	struct layout_image *li;
	int r = layout_open(path, false, &layout, e);

	if (r < 0)
		return r;
	li = xcalloc(1, sizeof(*li));
	li->layout = layout;
	li->verify = o->verify;
	li->img.ops = &layout_ops;
	img = &li->img;
	r = layout_read_index(&li->layout, &raw, e);
	if (r == 0)
		r = image_parse_index(&raw, &index, e);
	if (r == 0)
		r = image_resolve(img, &index, o, e);
	if (r < 0)
		return r;
	*out = steal_ptr(&img);
	return 0;
}
