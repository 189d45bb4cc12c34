/* A run of layers into a directory: the pipeline, and what each kind of entry asks for. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/oci/apply.h"

int apply_open(int rootfd, enum apply_form form, const struct apply_options *o, struct apply **out,
	       struct err *e)
{
	struct apply *a = xcalloc(1, sizeof(*a));
	a->rootfd = rootfd;
	a->form = form;
	a->o = *o;
	a->e = e;
	a->euid = geteuid();
	a->egid = getegid();
	a->dirs.fd = -1;
	for (size_t i = 0; i < ARRAY_LEN(a->parents); i++)
		a->parents[i].fd = -1;
	int r = made_open(&a->made);
	if (r < 0) {
		free(a);
		return err_set(e, r, "random bytes: %s", err_word(r));
	}
	*out = a;
	return 0;
}

void apply_set_lowers(struct apply *a, const int *lowers, size_t n,
		      int (*wait)(void *arg, struct err *e), void *arg)
{
	a->lowers = lowers;
	a->lowers_n = n;
	a->lowers_wait = wait;
	a->lowers_arg = arg;
}

void apply_close(struct apply *a)
{
	if (!a)
		return;
	writer_stop(a);
	apply_forget(a);
	spill_release(&a->dirs);
	made_release(&a->made);
	buf_release(&a->path);
	buf_release(&a->parent_path);
	buf_release(&a->parent_canon);
	free(a);
}

void apply_closep(struct apply **a)
{
	apply_close(*a);
}

const struct apply_stats *apply_stats(const struct apply *a)
{
	return &a->st;
}

static int put_marker(struct apply *a, enum marker m)
{
	if (m == MARKER_IGNORED)
		return 0;
	int r = writer_drain(a);
	if (r < 0)
		return r;
	return m == MARKER_OPAQUE ? apply_opaque(a) : apply_whiteout(a);
}

static int put_entry(struct apply *a, const struct tar_entry *e, struct tar *t)
{
	int r = apply_parent(a);
	if (r == 0 && writer_holds(a, buf_span(&a->path)))
		r = writer_drain(a);
	if (r < 0)
		return r;
	switch (e->type) {
	case TAR_FILE:
		return apply_put_file(a, e, t);
	case TAR_DIR:
		return apply_put_dir(a, e);
	case TAR_SYMLINK:
		return apply_put_symlink(a, e);
	case TAR_HARDLINK:
		return apply_put_hardlink(a, e);
	case TAR_CHAR:
	case TAR_BLOCK:
	case TAR_FIFO:
		return apply_put_node(a, e);
	}
	return apply_fail(a, E_FORMAT, "an entry of an unknown type");
}

static int apply_entry(struct apply *a, const struct tar_entry *e, struct tar *t)
{
	enum marker m = MARKER_NONE;
	if (a->o.stop && atomic_load_explicit(a->o.stop, memory_order_relaxed))
		return -ECANCELED;
	if (a->o.max_entries && a->st.entries >= a->o.max_entries)
		return err_set(a->e, E_TOOBIG,
			       "%s: the image has more than %llu entries (--max-entries)",
			       quoted(e->name), (unsigned long long)a->o.max_entries);
	a->st.entries++;
	a->implied_mtime = e->mtime;
	int r = apply_name(a, e->name);
	if (r < 0)
		return r;
	if (!a->path.n)
		return apply_put_root(a, e);
	if (globs_exclude(a->o.exclude, buf_span(&a->path))) {
		a->st.excluded++;
		return 0;
	}
	r = apply_marker(a, &m);
	if (r < 0)
		return r;
	return m == MARKER_NONE ? put_entry(a, e, t) : put_marker(a, m);
}

static int apply_tar(struct apply *a, struct stream *src)
{
	_cleanup_(tar_closep) struct tar *t = tar_open(src, &a->o.tar, a->e);
	const struct tar_entry *e;
	int r;
	while ((r = tar_next(t, &e)) > 0) {
		r = apply_entry(a, e, t);
		if (r < 0)
			break;
	}
	int drained = writer_drain(a);
	return r < 0 ? r : drained;
}

static int check_diff_id(struct apply *a, struct stream *s, struct hash *hash,
			 const struct digest *want, struct digest *seen)
{
	char wanted[DIGEST_TEXT_MAX], got[DIGEST_TEXT_MAX];
	struct digest d = { .alg = hash->alg };
	int r = stream_drain(s);
	if (r < 0)
		return err_set(a->e, r, "%s", err_word(r));
	hash_final(hash, d.v);
	if (seen)
		*seen = d;
	if (want && !digest_eq(&d, want))
		return err_set(a->e, E_DIGEST,
			       "the uncompressed layer hashes to %s, its diff_id is %s",
			       digest_text(&d, got), digest_text(want, wanted));
	return 0;
}

/*
 * The layer's bytes, with hash as a chore of c. One thread reads and inflates, this one writes, and
 * whichever would have to wait hashes. Where there are more processors, or where the blob comes
 * from somebody who may keep us waiting, reading and hashing the blob have a thread of their own.
 */
static struct stream *open_layer(struct apply *a, struct stream *blob, enum compression c,
				 struct crew *crew, struct hash *hash)
{
	static const atomic_bool never;
	const atomic_bool *later = NULL;
	if (a->o.one_thread)
		later = a->o.more_threads ? a->o.more_threads : &never;
	if (c != COMPRESSION_NONE && a->o.from_file && (later || cpu_count() <= 2))
		stream_verify_share(blob, crew);
	else if (c != COMPRESSION_NONE && !later)
		blob = stream_readahead(blob, 0);
	struct stream *s = stream_decompress(blob, c, &a->o.decompress, a->e);
	struct stream *ahead = stream_readahead_chore(s, crew_chore(crew, hash), later);
	if (!ahead)
		stream_close(s);
	return ahead;
}

int apply_layer(struct apply *a, struct stream *blob, enum compression c,
		const struct digest *diff_id, struct digest *seen)
{
	_cleanup_(crew_freep) struct crew *crew = crew_new(hash_look);
	struct hash hash;
	hash_init(&hash, diff_id ? diff_id->alg : HASH_SHA256);
	_cleanup_(stream_closep) struct stream *s = open_layer(a, blob, c, crew, &hash);
	int r = s ? apply_tar(a, s) : -ENOMEM;
	if (r == 0)
		r = check_diff_id(a, s, &hash, diff_id, seen);
	/* What is wrong with the blob matters, not where in the archive it showed. */
	if (r < 0 && s && r == stream_error(s) && (r == E_DIGEST || r == E_SIZE) &&
	    span_starts(span_str(a->e->text), "tar: ")) {
		err_clear(a->e);
		err_set(a->e, r, "%s", err_word(r));
	}
	if (r < 0 && a->e->code == 0)
		err_set(a->e, r, "%s", err_word(r));
	if (a->layer)
		made_clear(&a->made);
	a->layer++;
	return r;
}

static int note_root(struct apply *a)
{
	struct stat st;
	if (fstat(a->rootfd, &st) < 0)
		return apply_fail_errno(a, "fstat");
	return apply_note_dir(a, span_of("", 0), &(struct dir_note){ .ino = st.st_ino });
}

int apply_finish(struct apply *a)
{
	int r = 0;
	writer_stop(a);
	if (a->form != APPLY_MERGED && !a->root_seen)
		r = overlay_root(a);
	if (r == 0 && !a->root_seen) {
		a->root_uid = a->euid;
		a->root_gid = a->egid;
		a->root_mode = 0755;
		/* Not the time of day: the same image gives the same tree. */
		r = note_root(a);
	}
	if (r == 0)
		r = apply_replay_dirs(a);
	if (r < 0)
		return r;
	buf_clear(&a->path);
	if ((a->root_uid != a->euid || a->root_gid != a->egid || a->o.same_owner) &&
	    apply_owner(a, &(struct node){ .fd = a->rootfd }, a->root_uid, a->root_gid) < 0)
		return a->e->code;
	return fchmod(a->rootfd, a->root_mode) < 0 ? apply_fail_errno(a, "cannot set its mode") : 0;
}
