/* What applets count of the bytes that go through them. */
#include <unistd.h>

#include "libcommon/cli.h"

void cli_stats(const struct blob_stats *s)
{
	const struct {
		const char *name;
		uint64_t n;
	} all[] = {
		{ "read", s->read },	     { "hashed", s->hashed },
		{ "inflated", s->inflated }, { "compressed", s->compressed },
		{ "spooled", s->spooled },   { "sent", s->sent },
	};
	_cleanup_(json_out_release) struct json_out o = { 0 };

	json_begin(&o, '{');
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		json_key(&o, all[i].name);
		json_put_i64(&o, (int64_t)all[i].n);
	}
	json_end(&o, '}');
	dprintf(STDERR_FILENO, "%s: stats: %s\n", applet_name, buf_str(&o.b));
}
