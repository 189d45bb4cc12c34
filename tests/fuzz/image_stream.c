/* Image streams: any bytes, read as a pipe would give them. */
#include "libcommon/oci.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct image_options o = { .spool_max = 1 << 20 };
	_cleanup_(image_closep) struct image *img = NULL;
	const struct document *m;

	if (image_open_stream(stream_from_span(span_of(data, size)), &o, &img, NULL) < 0)
		return 0;
	m = image_manifest(img);
	for (size_t i = 0; i < m->layers_n; i++) {
		_cleanup_(stream_closep) struct stream *s = NULL;

		if (image_blob(img, &m->layers[i], &s, NULL) < 0)
			return 0;
		stream_drain(s);
	}
	image_finish(img, NULL);
	return 0;
}
