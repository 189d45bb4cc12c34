/*
 * The difference of two trees as a layer, format 1 (design section 5).
 *
 * One walk, depth first, over the tree after, with the tree before at its side. A directory is written when something of it changed or when an entry
 * below it is written: tools that unpack a layer by itself would have to guess what it is like. Whiteouts come before its entries.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/oci/diff.h"

enum { NAMES_MEMORY = 6 << 20 };

static bool excluded(const struct diff *d, size_t dir, const char *name)
{
	_cleanup_(buf_release) struct buf path = BUF_INIT;

	buf_add(&path, d->path.p, dir);
	if (dir)
		buf_addc(&path, '/');
	buf_adds(&path, name);
	return globs_exclude(d->o->exclude, buf_span(&path));
}

/* ---- whiteouts ---- */

static int put_whiteout(struct diff *d, const char *name)
{
	if (excluded(d, d->level[d->depth - 1].path, name))
		return 0;
	/* That of ".wh..opq" would hide all that the directory holds below. */
	if (strncmp(name, ".wh.", 4) == 0)
		return err_set(d->e, E_UNSUPPORTED,
			       "%s%s%s: no layer can say that a file of such a name is gone",
			       quoted(buf_span(&d->path)), d->path.n ? "/" : "", quoted_str(name));
	return diff_put_mark(d, ".wh.", name);
}

static bool is_there(int r, enum name_kind kind)
{
	return r > 0 && kind == NAME_ENTRY;
}

/* 1: a device that could not be made where the tree after was, so that it does not tell that somebody removed it. */
static int never_was(struct diff *d, const char *name)
{
	struct stat st;
	int r = d->o->no_devices ? d->before->ops->look(d->before, name, &st) : 0;

	return r > 0 ? S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode) : r;
}

/* Both directories' names side by side: those that are gone. */
static int put_gone(struct diff *d, struct names *after)
{
	_cleanup_(names_release) struct names before = { 0 };
	enum name_kind ours = NAME_ENTRY, theirs;
	const char *a = NULL, *b;
	int more, r = names_open(&before, d->before->ops->names(d->before), false);

	more = r < 0 ? r : names_next(after, &a, &ours);
	while (r >= 0 && more >= 0 && (r = names_next(&before, &b, &theirs)) > 0) {
		while (more > 0 && strcmp(a, b) < 0)
			more = names_next(after, &a, &ours);
		if (more < 0 || theirs == NAME_SOCKET)
			continue;
		if (is_there(more, ours) && !strcmp(a, b))
			continue;
		r = never_was(d, b);
		if (r == 0)
			r = put_whiteout(d, b);
	}
	if (r < 0 || more < 0)
		return r < 0 ? r : more;
	return names_rewind(after);
}

/* Of an upper directory: what it says is gone, if it was there. */
static int put_said(struct diff *d, struct names *after)
{
	enum name_kind kind;
	const char *name;
	struct stat st;
	int r;

	while ((r = names_next(after, &name, &kind)) > 0) {
		if (kind == NAME_ENTRY || (kind == NAME_SOCKET && !d->before))
			continue;
		if (d->before)
			r = d->before->ops->look(d->before, name, &st);
		/* No layer holds sockets: there is none below that could be said to be gone. */
		if (r > 0 && !(d->before && S_ISSOCK(st.st_mode)))
			r = put_whiteout(d, name);
		if (r < 0)
			return r;
	}
	return r < 0 ? r : names_rewind(after);
}

static int put_whiteouts(struct diff *d, struct diff_level *l, bool marked)
{
	bool present = d->before && d->before->ops->present(d->before);

	if (d->upper && !d->before) {
		int r = marked ? diff_put_mark(d, ".wh.", ".wh..opq") : 0;
		return r < 0 ? r : put_said(d, &l->names);
	}
	if (!present)
		return 0;
	return d->upper && !l->opaque ? put_said(d, &l->names) : put_gone(d, &l->names);
}

/* ---- the walk ---- */

static void count_names(struct diff *d, size_t i)
{
	size_t now = names_memory(&d->level[i].names);

	d->memory += now - d->level[i].memory;
	d->level[i].memory = now;
}

/* Large directories within each other: names that are wanted last are let go first. */
static void bound_names(struct diff *d)
{
	count_names(d, d->depth - 1);
	if (d->memory <= NAMES_MEMORY)
		return;
	for (size_t i = 0; i + 1 < d->depth && d->memory > NAMES_MEMORY / 2; i++) {
		names_park(&d->level[i].names);
		count_names(d, i);
	}
}

static int begin_directory(struct diff *d, const struct stat *st, bool written)
{
	if (d->depth)
		count_names(d, d->depth - 1);
	if (d->depth == d->cap) {
		d->cap = d->cap ? 2 * d->cap : 8;
		d->level = xrealloc(d->level, d->cap * sizeof(*d->level));
	}
	struct diff_level *l = &d->level[d->depth++];
	bool inside = d->depth > 1 && l[-1].opaque, marked = d->upper && tree_opaque(&d->after);
	*l = (struct diff_level){
		.st = *st, .path = d->path.n, .written = written, .opaque = inside || marked
	};
	int r = names_open(&l->names, tree_names(&d->after), d->upper);
	if (r >= 0 && d->pass == WRITE)
		r = put_whiteouts(d, l, marked && !inside);
	bound_names(d);
	return r;
}

static void end_directory(struct diff *d)
{
	struct diff_level *l = &d->level[--d->depth];

	d->memory -= l->memory;
	names_release(&l->names);
}

static int visit_directory(struct diff *d, int dirfd, const char *name, const struct stat *st)
{
	int changed = d->pass != WRITE ? 0 : diff_changed(d, dirfd, name, st, -1);
	int r = changed;

	if (changed > 0)
		r = diff_put_entry(d, dirfd, name, st, -1);
	if (r >= 0)
		r = tree_enter(&d->after, name);
	if (r == 0)
		return diff_fail(d, E_TRY_LATER, "it is no directory any more");
	if (r >= 0 && d->before)
		r = d->before->ops->enter(d->before, name);
	return r < 0 ? r : begin_directory(d, st, changed > 0);
}

static int visit_file(struct diff *d, int dirfd, const char *name, struct stat *st)
{
	if (d->pass != WRITE)
		return d->pass == SURVEY ? diff_survey_file(d, dirfd, name, st)
					 : diff_refuse_unseen(d, st);
	_cleanup_(fd_closep) int fd = diff_open_file(d, dirfd, name, st);
	int r = fd < 0 ? fd : diff_file_changed(d, dirfd, name, st, fd);
	return r > 0 ? diff_put_entry(d, dirfd, name, st, fd) : r;
}

/* As in "mklayer . > layer": it grows while it is read. */
static bool is_output(const struct diff *d, const struct stat *st)
{
	const struct stat *o = d->o->output;

	if (!o || !S_ISREG(st->st_mode) || o->st_ino != st->st_ino || o->st_dev != st->st_dev)
		return false;
	snprintf(d->stats->output, sizeof(d->stats->output), "%s", quoted(buf_span(&d->path)));
	return true;
}

static int skip_socket(struct diff *d)
{
	if (!d->stats->sockets++)
		snprintf(d->stats->first_socket, sizeof(d->stats->first_socket), "%s",
			 quoted(buf_span(&d->path)));
	return 0;
}

static int visit(struct diff *d, const char *name)
{
	struct stat st;
	int r;

	if (strncmp(name, ".wh.", 4) == 0)
		return err_set(
			d->e, E_UNSUPPORTED,
			"%s: in a layer a name that begins with .wh. says that another file is gone",
			quoted(buf_span(&d->path)));
	r = tree_look(&d->after, name, &st);
	if (r == 0)
		return diff_fail(d, E_TRY_LATER, "it was removed while the directory was read");
	int dirfd = r < 0 ? r : tree_dirfd(&d->after, d->after.which);
	if (dirfd < 0)
		return dirfd;
	if (S_ISDIR(st.st_mode))
		return visit_directory(d, dirfd, name, &st);
	if (is_output(d, &st))
		return 0;
	if (S_ISREG(st.st_mode))
		return visit_file(d, dirfd, name, &st);
	if (d->pass != WRITE)
		return 0;
	if (S_ISSOCK(st.st_mode))
		return skip_socket(d);
	if (S_ISCHR(st.st_mode) && st.st_rdev == 0)
		return err_set(
			d->e, E_UNSUPPORTED,
			"%s: a device 0:0 is overlayfs's word for a file that is gone (--upper)",
			quoted(buf_span(&d->path)));
	r = diff_changed(d, dirfd, name, &st, -1);
	return r > 0 ? diff_put_entry(d, dirfd, name, &st, -1) : r;
}

static int walk(struct diff *d)
{
	int r = 0;

	while (d->depth && r >= 0) {
		struct diff_level *l = &d->level[d->depth - 1];
		enum name_kind kind;
		const char *name;
		d->path.n = l->path;
		r = names_next(&l->names, &name, &kind);
		if (r > 0) {
			if (kind == NAME_WHITEOUT || excluded(d, l->path, name))
				continue;
			if (d->path.n)
				buf_addc(&d->path, '/');
			buf_adds(&d->path, name);
			r = visit(d, name);
		} else if (r == 0) {
			end_directory(d);
			if (!d->depth)
				break;
			tree_leave(&d->after);
			if (d->before)
				d->before->ops->leave(d->before);
		}
	}
	return r;
}

/* To where the prefix is in the tree before. */
static int enter_prefix(struct diff *d)
{
	struct span rest = span_str(d->o->prefix), part;
	int r = 0;

	while (d->before && r >= 0 && rest.n && span_cut(&rest, '/', &part)) {
		_cleanup_(freep) char *name = span_dup(part);
		r = d->before->ops->enter(d->before, name);
	}
	return MIN(r, 0);
}

static int look_at_links(struct diff *d, const struct stat *st, int pass)
{
	int r;

	d->pass = pass;
	r = begin_directory(d, st, true);
	if (r >= 0)
		r = walk(d);
	d->pass = WRITE;
	return r;
}

/* Does the mounted tree show at path what lies below its upper directory t? 1, 0. */
static int shows_below(struct tree *t, struct span path)
{
	size_t depth = t->depth;
	struct span part;
	struct stat st;
	int r;

	do {
		span_cut(&path, '/', &part);
		_cleanup_(freep) char *name = span_dup(part);
		r = tree_dirfd(t, 0);
		if (r >= 0 && fstatat(r, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
			r = errno == ENOENT ? 1 : tree_fail(t, -errno, name, NULL);
			break;
		}
		/* what stands there hides what is below it, unless it is a directory that is merged with it */
		if (r >= 0)
			r = path.n ? tree_enter(t, name) : 0;
		if (r > 0 && tree_opaque(t))
			r = 0;
	} while (r > 0);
	while (t->depth > depth)
		tree_leave(t);
	return r;
}

/* A name of the tree before, st: where nobody excludes or replaced it the tree after has it, too. */
static int tell_shown(struct diff *d, struct span path, const struct stat *st)
{
	size_t n = d->o->prefix ? strlen(d->o->prefix) : 0;

	if (n) {
		if (!span_starts(path, d->o->prefix) || path.n == n || path.p[n] != '/')
			return 0;
		path = span_tail(path, n + 1);
	}
	int r = globs_exclude(d->o->exclude, path) ? 0 : shows_below(&d->after, path);
	if (r <= 0)
		return r;
	r = links_survey(&d->links, st, st);
	return r < 0 ? diff_links_fail(d, r) : 0;
}

/* 1: there are groups that are unseen. all: names that only the tree before has are asked for. */
static int survey_once(struct diff *d, const struct stat *st, bool all)
{
	int r = look_at_links(d, st, SURVEY);

	if (r >= 0 && all)
		r = d->before->ops->linked(d->before, tell_shown, d);
	if (r < 0)
		return r;
	r = links_resolve(&d->links, all);
	return r < 0 ? diff_links_fail(d, r) : r;
}

/* The tree after becomes the upper directory merged with the lower ones. */
static int merge_after(struct diff *d, struct tree *lower)
{
	_cleanup_(freep) int *dirs = xcalloc(lower->n + 1, sizeof(*dirs));
	struct tree merged = { .marks = d->after.marks };
	unsigned n = 0;
	int r;

	dirs[n++] = tree_topfd(&d->after, 0);
	for (unsigned i = 0; i < lower->n; i++) {
		int fd = tree_dirfd(lower, i);
		if (fd >= 0)
			dirs[n++] = fd;
	}
	r = tree_open(&merged, dirs, n, d->e);
	tree_release(&d->after);
	d->after = merged;
	d->upper = false;
	return r;
}

/*
 * Hard links, before anything is written: that one name of a file must be in the layer may be found out late, and then all must. An upper directory
 * does not show names that it does not hold; where they could matter the merged trees are compared. An image gives no such tree: names that show
 * through from it are found in its listing, and refused where they would have to be in the layer.
 */
static int survey(struct diff *d, const struct stat *st)
{
	int more = survey_once(d, st, false);

	if (more <= 0 || !d->upper)
		return MIN(more, 0);
	struct tree *lower = d->before->ops->dirs ? d->before->ops->dirs(d->before) : NULL;
	int r = lower ? merge_after(d, lower) : 0;
	links_release(&d->links);
	if (r == 0)
		r = survey_once(d, st, !lower);
	return r > 0 && !lower ? look_at_links(d, st, REFUSE_UNSEEN) : MIN(r, 0);
}

static int walk_all(struct diff *d)
{
	int fd = tree_topfd(&d->after, 0);
	struct stat st;
	int r = fd < 0 ? fd : fstat(fd, &st) < 0 ? diff_fail(d, -errno, NULL) : enter_prefix(d);

	if (r == 0 && d->before)
		r = survey(d, &st);
	fd = tree_topfd(&d->after, 0);
	if (r >= 0)
		r = diff_changed(d, fd, ".", &st, fd);
	bool changed = r > 0;
	if (changed)
		r = diff_put_entry(d, fd, ".", &st, fd);
	if (r >= 0)
		r = begin_directory(d, &st, changed);
	if (r >= 0)
		r = walk(d);
	if (r >= 0)
		sink_write(d->out, span_of(tar_zeros, sizeof(tar_zeros)));
	return r < 0 ? r : sink_flush(d->out);
}

/*
 * What has been written must not pass for a whole archive, and one that ends between two entries would: so it ends with an entry whose contents
 * are missing. Contents that were broken off are missing already.
 */
static void break_off(struct diff *d)
{
	struct tar_entry e = { .type = TAR_FILE, .name = SPAN(".wh..wh.failed"), .size = 1 };

	buf_clear(&d->header);
	if (!d->in_contents && tar_header(&d->header, &e, NULL) == 0)
		sink_write(d->out, buf_span(&d->header));
	sink_flush(d->out);
}

int diff_write(int dir, enum diff_form form, struct before *before, const struct diff_options *o,
	       struct sink *out, struct diff_stats *stats, struct err *e)
{
	struct diff d = { .before = before,
			  .o = o,
			  .out = out,
			  .stats = stats,
			  .e = e,
			  .upper = form == DIFF_UPPER };
	int r;

	d.buffer = xmalloc(DIFF_BUFFER);
	d.after.marks = form == DIFF_UPPER ? o->marks : MARKS_NONE;
	r = tree_open(&d.after, &dir, 1, e);
	if (r == 0)
		r = walk_all(&d);
	if (r < 0 && !out->err)
		break_off(&d);
	if (before) {
		stats->read += before->read;
		stats->hashed += before->hashed;
	}
	while (d.depth)
		end_directory(&d);
	free(d.level);
	tree_release(&d.after);
	links_release(&d.links);
	buf_release(&d.path);
	buf_release(&d.header);
	free(d.buffer);
	return r;
}
