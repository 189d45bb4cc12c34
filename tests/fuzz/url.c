/* URLs, references to URLs (behind a line break), and NO_PROXY lists (behind another). What parses
 * must parse to the same again. */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_of(data, size), first = { 0 }, second = { 0 };
	struct url u = { 0 }, v = { 0 }, w = { 0 };
	struct err e = { 0 };
	char name[ORIGIN_TEXT_MAX];

	if (size == 0)
		return 0;
	span_cut(&rest, '\n', &first);
	span_cut(&rest, '\n', &second);
	if (url_parse(first, &u, &e) == 0) {
		struct buf text = BUF_INIT;
		char *list = rest.p ? span_dup(rest) : xstrdup("");

		buf_adds(&text, origin_text(&u.origin, name));
		buf_adds(&text, u.target);
		if (url_parse(buf_span(&text), &v, &e) < 0 || !origin_eq(&u.origin, &v.origin) ||
		    strcmp(u.target, v.target) != 0)
			abort();
		if (url_join(&u, second, &w, &e) == 0) {
			if (w.target[0] != '/' || strpbrk(w.target, " \r\n\t#\\"))
				abort();
			realm_check(&u.origin, &w, NULL);
			hosts_related(u.origin.host, w.origin.host);
		}
		no_proxy_matches(list, &u.origin);
		url_brief(&u);
		free(list);
		buf_release(&text);
	}
	url_release(&u);
	url_release(&v);
	url_release(&w);
	return 0;
}
