/* What a registry says on the way up: how far an upload is (the first line), and who refers to a
 * manifest (the rest). */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/push.h"

static const char manifest[] =
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_MANIFEST "\",\"artifactType\":\"a/b\",\"config\":{"
	"\"mediaType\":\"application/vnd.oci.empty.v1+json\",\"digest\":\"sha256:"
	"44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2},\"layers\":[]}";

static void range(struct span s)
{
	uint64_t end;

	if (upload_range(s, &end) && (!end || end > INT64_MAX))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_of(data, size), first = { 0 };
	struct referrers all = { .max = 8 }, more = { .max = 9 };
	struct document doc = { 0 }, index = { 0 };
	struct buf raw = BUF_INIT;
	struct json *old = NULL;
	struct err e = { 0 };

	if (!size)
		return 0;
	span_cut(&rest, '\n', &first);
	range(first);
	int r = rest.p ? referrers_add(&all, rest, &e) : E_FORMAT;
	if (all.n > all.max)
		abort();
	buf_adds(&raw, manifest);
	if (document_parse(&raw, NULL, &doc, &e) < 0)
		abort();
	/* with one more, all are listed, in their order */
	if (!r && json_parse(rest, NULL, &old, &e) == 0 && json_is_object(old) &&
	    referrers_with(old, &doc, &index, &e) == 0) {
		if (referrers_add(&more, buf_span(&index.raw), &e) < 0 || more.n < all.n)
			abort();
		for (size_t i = 0; i < all.n; i++)
			if (strcmp(all.v[i].json, more.v[i].json))
				abort();
	}
	referrers_free(all.v, all.n);
	referrers_free(more.v, more.n);
	json_free(old);
	document_release(&index);
	document_release(&doc);
	buf_release(&raw);
	return 0;
}
