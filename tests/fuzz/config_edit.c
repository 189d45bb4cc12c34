/* Configs that are edited: what comes out is JSON that is read again, and the values mean nothing but themselves. */
#include "libcommon/oci.h"

#include <stdlib.h>
#include <string.h>

static void check(const struct config_edit *c)
{
	struct buf out = BUF_INIT, again = BUF_INIT;
	struct config_edit *second;
	struct config config;

	if (config_edit_write(c, &out, NULL) < 0)
		abort();
	buf_add_span(&again, buf_span(&out));
	if (config_parse(&again, &config, NULL) < 0 || config_edit_open(&config, NULL, &second, NULL) < 0)
		abort();
	/* canonical is a fixed point */
	if (config_edit_changed(second) || config_edit_write(second, &again, NULL) < 0 ||
	    !span_eq(buf_span(&again), buf_span(&out)))
		abort();
	config_edit_close(second);
	config_release(&config);
	buf_release(&out);
	buf_release(&again);
}

/* The first line is a config; of each further one the first byte says what to do with the rest. */
static void edit(struct span in)
{
	struct buf raw = BUF_INIT;
	struct config_edit *c;
	struct config config;
	struct span line = { 0 };

	span_cut(&in, '\n', &line);
	buf_add_span(&raw, line);
	if (config_parse(&raw, &config, NULL) < 0)
		return;
	if (config_edit_open(&config, NULL, &c, NULL) == 0) {
		while (span_cut(&in, '\n', &line)) {
			_cleanup_(freep) char *value = line.n ? span_dup(span_tail(line, 1)) : NULL;
			unsigned what = line.n ? line.p[0] % (2 * EDIT_N) : 0;

			if (!value)
				continue;
			if (what < EDIT_N)
				config_edit(c, (enum config_member)what, value, NULL);
			else
				config_unset(c, (enum config_member)(what - EDIT_N), value, NULL);
		}
		check(c);
		config_edit_close(c);
	}
	config_release(&config);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	_cleanup_(freep) char *text = span_dup(in);
	struct layer_file l;
	char *time = NULL;

	layer_file_parse(in, &l, NULL);
	time_canonical(text, &time, NULL);
	free(time);
	edit(in);
	return 0;
}
