/* Names of a layer's entries. */
#include "libcommon/oci/entry_name.h"

#include <string.h>

#define PREFIX ".wh."
#define OPAQUE ".wh..wh..opq"

static int fail(const struct entry_name *n, int code, const char *what, struct err *e)
{
	return err_set(e, code, "%s: %s", n->path.n ? quoted(buf_span(&n->path)) : "/",
		       what ? what : err_word(code));
}

/* Appends the components of name without ".", with ".." cut off at the root. */
static int clean(struct entry_name *n, struct span name, bool lexical, unsigned max, struct err *e)
{
	unsigned depth = 0;
	size_t real = 0; /* components that are no ".." */
	struct span part;
	if (!max)
		max = 4096;
	buf_clear(&n->path);
	n->base = 0;
	n->dotdot = false;
	while (span_cut(&name, '/', &part)) {
		if (part.n == 0 || span_is(part, "."))
			continue;
		if (span_is(part, "..")) {
			if (!real)
				continue;
			if (lexical) {
				n->path.n = n->base ? n->base - 1 : 0;
				size_t slash = span_rfind(buf_span(&n->path), '/');
				n->base = slash == n->path.n ? 0 : slash + 1;
				real--;
				depth--;
				continue;
			}
			n->dotdot = true;
		} else {
			real++;
		}
		if (part.n > 255 + (span_starts(part, PREFIX) ? sizeof(PREFIX) - 1 : 0))
			return fail(n, -ENAMETOOLONG, NULL, e);
		if (++depth > max)
			return err_set(e, E_TOOBIG,
				       "%s…: more than %u directories deep (--max-depth)",
				       quoted(buf_span(&n->path)), max);
		if (n->path.n)
			buf_addc(&n->path, '/');
		n->base = n->path.n;
		buf_add_span(&n->path, part);
	}
	buf_str(&n->path);
	return 0;
}

int entry_name_set(struct entry_name *n, struct span name, unsigned max_depth, struct err *e)
{
	int r = clean(n, name, false, max_depth, e);
	if (r < 0 || !n->dotdot)
		return r;
	/* "a/.." names no entry of its own: it is what it says. */
	return span_is(span_tail(buf_span(&n->path), n->base), "..")
		       ? clean(n, name, true, max_depth, e)
		       : 0;
}

int entry_name_lexical(struct entry_name *n, struct span name, unsigned max_depth, struct err *e)
{
	return clean(n, name, true, max_depth, e);
}

const char *entry_name_base(const struct entry_name *n)
{
	return n->path.n ? (const char *)n->path.p + n->base : "";
}

struct span entry_name_parent(const struct entry_name *n)
{
	return span_of(n->path.p, n->base ? n->base - 1 : 0);
}

int entry_name_marker(const struct entry_name *n, enum marker *m, struct err *e)
{
	struct span path = buf_span(&n->path), part;
	struct span base = span_tail(path, n->base), rest = entry_name_parent(n);
	*m = MARKER_NONE;
	/* aufs kept its own files beside the root's: /.wh..wh.plnk, /.wh..wh.aufs, … */
	if (span_starts(path, PREFIX PREFIX) && !span_is(path, OPAQUE)) {
		*m = MARKER_IGNORED;
		return 0;
	}
	if (memmem(path.p, path.n, PREFIX, 4) == NULL)
		return 0;
	while (rest.n && span_cut(&rest, '/', &part))
		if (span_starts(part, PREFIX))
			return fail(n, E_FORMAT, "a whiteout is no directory for other entries", e);
	if (!span_starts(base, PREFIX))
		return 0;
	*m = MARKER_WHITEOUT;
	if (span_is(base, OPAQUE))
		*m = MARKER_OPAQUE;
	else if (span_starts(base, PREFIX PREFIX))
		*m = MARKER_IGNORED;
	else if (base.n == 4 || span_is(base, PREFIX ".") || span_is(base, PREFIX ".."))
		return fail(n, E_FORMAT, "a whiteout that names nothing", e);
	return 0;
}
