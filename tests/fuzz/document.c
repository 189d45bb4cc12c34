/* Manifests, indexes and image configs: what is accepted is of one kind and within its bounds. */
#include "libcommon/oci.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void document(struct span in, const char *type)
{
	struct platform want;
	struct document doc;
	struct buf raw = BUF_INIT;
	size_t pos = SIZE_MAX;

	buf_add_span(&raw, in);
	if (document_parse(&raw, type, &doc, NULL) < 0)
		return;
	if (doc.kind == DOC_INDEX ? doc.layers_n || doc.config.media_type
				  : doc.manifests_n || !doc.config.media_type)
		abort();
	for (size_t i = 0; i < doc.layers_n; i++)
		if (doc.layers[i].size > INT64_MAX || !doc.layers[i].media_type)
			abort();
	platform_host(&want);
	if (doc.kind == DOC_INDEX && document_choose(&doc, &want, &pos, NULL) == 0 &&
	    pos >= doc.manifests_n)
		abort();
	document_release(&doc);
}

/* A tree without users. */
static int empty_dir(void)
{
	char path[] = "/tmp/ocibox-fuzz.XXXXXX";
	static int fd = -1;

	if (fd < 0 && mkdtemp(path)) {
		fd = dir_open(AT_FDCWD, path);
		rmdir(path);
	}
	return fd;
}

static void config(struct span in)
{
	struct bundle_options o = { 0 };
	struct config c;
	struct buf raw = BUF_INIT, out = BUF_INIT;
	struct json *doc = NULL;

	buf_add_span(&raw, in);
	if (config_parse(&raw, &c, NULL) < 0)
		return;
	if (bundle_config(&c, empty_dir(), &o, &out, NULL) == 0 &&
	    json_parse(buf_span(&out), NULL, &doc, NULL) < 0)
		abort();
	json_free(doc);
	buf_release(&out);
	config_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	document(span_of(data, size), NULL);
	document(span_of(data, size), MEDIA_OCI_INDEX);
	config(span_of(data, size));
	return 0;
}
