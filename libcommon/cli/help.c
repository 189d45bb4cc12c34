/* The help texts: all in one piece, with a form feed behind each, in the order of the applets. */
#include <string.h>

#include "libcommon/cli.h"

struct span cli_help(struct buf *room)
{
	struct span all = span_of(applets_help, applets_help_n), text = { 0 };

	if (CFG_HELP_PACKED) {
		_cleanup_(stream_closep) struct stream *s =
			stream_decompress(stream_from_span(all), COMPRESSION_GZIP, NULL, NULL);
		int r = stream_read_all(s, MIB(1), room);

		if (r < 0)
			die_err("--help", r, NULL);
		all = span_of(room->p, room->n);
	}
	for (size_t i = 0; i < applets_n && span_cut(&all, '\f', &text); i++)
		if (strcmp(applets[i].name, applet_name) == 0)
			return text;
	return SPAN("");
}
