/* JSON documents: what is read can be written, and is then read as the same (T74, T80). */
#include "libcommon/codec.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static bool same(const struct json *a, const struct json *b)
{
	struct json_out x = { 0 }, y = { 0 };

	json_put(&x, a);
	json_put(&y, b);
	bool eq = span_eq(buf_span(&x.b), buf_span(&y.b));
	json_out_release(&x);
	json_out_release(&y);
	return eq;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	struct json_limits lim = { .max_values = 1000 };
	struct json *doc, *again;
	struct json_out o = { 0 };
	struct err e = { 0 };

	if (json_parse(span_of(data, size), &lim, &doc, &e)) {
		if (!e.text[0] || doc)
			__builtin_trap();
		return 0;
	}
	json_put(&o, doc);
	if (json_parse(buf_span(&o.b), &lim, &again, &e) || !same(doc, again))
		__builtin_trap();
	json_out_release(&o);
	json_free(again);
	json_free(doc);
	return 0;
}
