/*
 * New layers: read once to know what they are, and checked again while they are copied.
 *
 * A thread reads, hashes and puts by what comes; this one inflates, hashes that, and walks over the
 * tar. A layer without its end blocks is what a writer leaves that was killed, however whole its
 * compressed form looks.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/oci.h"

enum { HELD_BACK = 512 };

/*
 * Passes src through, hashes it, and writes it into out (or not: NULL). The last bytes stay here
 * until tap_release(): nothing is whole before it is found good.
 */
struct tap {
	struct stream s;
	struct stream *src;
	struct sink *out;
	size_t lent;
	uint64_t n, max;
	struct hash hash;
	size_t held_n;
	unsigned char held[HELD_BACK];
};

static void hold(struct tap *t, struct span w)
{
	size_t pass = t->held_n + w.n > HELD_BACK ? t->held_n + w.n - HELD_BACK : 0;
	size_t old = MIN(pass, t->held_n);

	sink_write(t->out, span_of(t->held, old));
	memmove(t->held, t->held + old, t->held_n - old);
	t->held_n -= old;
	sink_write(t->out, span_of(w.p, pass - old));
	w = span_tail(w, pass - old);
	memcpy(t->held + t->held_n, w.p, w.n);
	t->held_n += w.n;
}

static void tap_fill(struct stream *s)
{
	struct tap *t = (struct tap *)s;
	struct span w;

	stream_skip(t->src, t->lent);
	w = stream_peek(t->src);
	t->lent = w.n;
	if (!w.n) {
		if (t->src->err)
			stream_fail(s, t->src->err);
		s->eof = true;
		return;
	}
	t->n += w.n;
	if (t->n > t->max) {
		stream_fail(s, E_SIZE);
		return;
	}
	hash_update(&t->hash, w);
	if (t->out)
		hold(t, w);
	if (t->out && t->out->err) {
		stream_fail(s, t->out->err);
		return;
	}
	s->pos = w.p;
	s->end = w.p + w.n;
}

static int tap_release(struct tap *t)
{
	if (!t->out)
		return 0;
	sink_write(t->out, span_of(t->held, t->held_n));
	return sink_flush(t->out);
}

static void tap_close(struct stream *s)
{
	stream_close(((struct tap *)s)->src);
	freep(&s);
}

static const struct stream_ops tap_ops = { .fill = tap_fill, .close = tap_close };

static struct tap *tap_open(struct stream *src, struct sink *out, uint64_t max)
{
	struct tap *t = xcalloc(1, sizeof(*t));

	t->s.ops = &tap_ops;
	t->src = src;
	t->out = out;
	t->max = max;
	hash_init(&t->hash, HASH_SHA256);
	return t;
}

/* ---- measured ---- */

/* A layer may hold any names, but who gives an image for one made a mistake. */
static bool is_image_stream(struct tar *t, const struct tar_entry *e)
{
	static const char key[] = "\"imageLayoutVersion\"";
	struct span w = span_of(NULL, 0);

	if (e->type == TAR_FILE && span_is(e->name, "oci-layout") && e->size < 1024)
		w = stream_peek(tar_data(t));
	return w.n && memmem(w.p, MIN(w.n, (size_t)e->size), key, sizeof(key) - 1);
}

/* 0 at the end of a whole tar. */
static int walk(struct stream *inflated, const struct layer_limits *lim, struct err *e)
{
	_cleanup_(tar_closep) struct tar *tar = NULL;
	const struct tar_entry *entry;
	int r;

	tar = tar_open(inflated, &lim->tar, e);
	r = tar_next(tar, &entry);
	if (r > 0 && is_image_stream(tar, entry))
		return err_set(e, E_UNSUPPORTED, "it is an image, not a layer (-b takes one)");
	while (r > 0)
		r = tar_next(tar, &entry);
	if (r == 0 && !tar_has_end(tar))
		r = err_set(e, E_TRUNCATED,
			    "the tar has no end (did the command before the pipe fail?)");
	return r;
}

static int compression_of(struct stream *src, enum compression *c, struct err *e)
{
	struct span w = stream_peek(src);

	if (stream_error(src))
		return err_set(e, stream_error(src), "%s", err_word(stream_error(src)));
	if (!w.n)
		return err_set(e, E_EMPTY, "it is empty (did the command before the pipe fail?)");
	*c = compression_from_magic(w);
	if (*c == COMPRESSION_UNKNOWN)
		return err_set(e, E_UNSUPPORTED,
			       "compressed by bzip2 or xz; a layer is gzip, zstd or a plain tar");
	return 0;
}

int layer_file_compare(const struct layer_file *is, const struct layer_file *said, struct err *e)
{
	char a[DIGEST_TEXT_MAX], b[DIGEST_TEXT_MAX];

	if (is->size != said->size)
		return err_set(e, E_SIZE, "it has %llu bytes, not %llu as was said",
			       (unsigned long long)is->size, (unsigned long long)said->size);
	if (!digest_eq(&is->digest, &said->digest))
		return err_set(e, E_DIGEST, "its digest is %s, not %s as was said",
			       digest_text(&is->digest, a), digest_text(&said->digest, b));
	if (!digest_eq(&is->diff_id, &said->diff_id))
		return err_set(e, E_DIGEST, "its diff_id is %s, not %s as was said",
			       digest_text(&is->diff_id, a), digest_text(&said->diff_id, b));
	if (is->compression != said->compression)
		return err_set(e, E_FORMAT, "it is compressed in another way than was said");
	return 0;
}

/*
 * All of src, which it owns, through a tap into out (or NULL): digest, diff_id, size and
 * compression in *is, compared with what was said (or NULL) before the last bytes go out.
 */
static int measure(struct stream *src, struct sink *out, uint64_t max,
		   const struct layer_file *said, const struct layer_limits *lim,
		   struct layer_file *is, struct blob_stats *stats, struct err *e)
{
	_cleanup_(stream_closep) struct stream *s = src;
	enum compression c = COMPRESSION_NONE;
	struct tap *tap;
	int r = compression_of(src, &c, e);

	if (r < 0)
		return r;
	tap = tap_open(src, out, max);
	s = stream_readahead(&tap->s, 0);
	s = stream_hash(stream_decompress(s, c, &lim->decompress, e), HASH_SHA256);
	r = walk(s, lim, e);
	/* garbage behind the end of a compressed stream is found here */
	if (r == 0)
		r = stream_drain(s);
	if (r < 0)
		return err_set(e, r, "%s", err_word(r));
	is->compression = c;
	is->size = tap->n;
	is->digest.alg = is->diff_id.alg = HASH_SHA256;
	hash_final(&tap->hash, is->digest.v);
	stream_hash_final(s, is->diff_id.v);
	stats->read += tap->n;
	stats->hashed += tap->n + s->offset;
	stats->inflated += c == COMPRESSION_NONE ? 0 : s->offset;
	r = said ? layer_file_compare(is, said, e) : 0;
	if (r == 0)
		r = tap_release(tap);
	return r < 0 ? err_set(e, r, "%s", err_word(r)) : 0;
}

/* What cannot be written breaks the reading off, too: it is not the layer then that is cut off. */
static int blame_sink(const struct sink *out, const char *doing, int r, struct err *e)
{
	if (r == 0 || !out->err)
		return r;
	err_clear(e);
	return err_set(e, out->err, "%s: %s", doing, err_word(out->err));
}

/* ---- opened ---- */

static int spool(struct layer_file *l, const struct layer_limits *lim, struct blob_stats *stats,
		 struct err *e)
{
	_cleanup_(fd_closep) int pipe = l->fd;
	_cleanup_(sink_closep) struct sink *out = NULL;
	uint64_t max = lim->spool_max ? lim->spool_max : UINT64_MAX;
	int r;

	l->fd = spool_open();
	if (l->fd < 0) {
		r = l->fd;
		return err_set(e, r, "a temporary file in TMPDIR: %s", err_word(r));
	}
	out = sink_from_fd(l->fd, false);
	r = measure(stream_from_fd(pipe, false), out, max, NULL, lim, l, stats, e);
	r = blame_sink(out, "writing a temporary file in TMPDIR", r, e);
	if (r == E_SIZE) {
		err_clear(e);
		return err_set(e, E_TOOBIG, "more than %llu bytes through a pipe (--spool-max)",
			       (unsigned long long)max);
	}
	l->offset = 0;
	l->spooled = l->measured = true;
	stats->spooled += l->size;
	return r;
}

static int open_regular(struct layer_file *l, uint64_t size, const struct layer_file *said,
			const struct layer_limits *lim, struct blob_stats *stats, struct err *e)
{
	off_t at = lseek(l->fd, 0, SEEK_CUR);

	if (at < 0)
		return err_set(e, -errno, "%s", err_word(-errno));
	l->offset = (uint64_t)at;
	l->size = size > l->offset ? size - l->offset : 0;
	if (!said) {
		l->measured = true;
		return measure(stream_from_file(l->fd, l->offset, l->size), NULL, l->size, NULL,
			       lim, l, stats, e);
	}
	if (l->size != said->size)
		return layer_file_compare(l, said, e);
	l->digest = said->digest;
	l->diff_id = said->diff_id;
	l->compression = said->compression;
	return 0;
}

int layer_file_open(int fd, const struct layer_file *said, const struct layer_limits *lim,
		    struct layer_file *out, struct blob_stats *stats, struct err *e)
{
	struct layer_file l = { .fd = fd };
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		r = err_set(e, -errno, "%s", err_word(-errno));
	else if (S_ISDIR(st.st_mode))
		r = err_set(e, E_USAGE, "it is a directory (mklayer makes a layer of one)");
	else if (S_ISREG(st.st_mode))
		r = open_regular(&l, (uint64_t)st.st_size, said, lim, stats, e);
	else
		r = spool(&l, lim, stats, e);
	if (r < 0)
		layer_file_close(&l);
	*out = l;
	return r;
}

void layer_file_close(struct layer_file *l)
{
	fd_close(steal_fd(&l->fd));
}

/* ---- written ---- */

int layer_file_write(const struct layer_file *l, const struct descriptor *d,
		     const struct layer_limits *lim, struct image_target *t, struct err *e)
{
	_cleanup_(stream_closep) struct stream *s = stream_from_file(l->fd, l->offset, l->size);
	struct layer_file is = { .fd = -1 };
	struct sink *out;
	int r;

	if (image_target_has(t, d) && l->measured)
		return 0;
	if (l->measured) {
		t->stats->read += l->size;
		t->stats->hashed += l->spooled ? 0 : l->size;
		if (!l->spooled)
			s = stream_verify(s, l->digest.alg, l->digest.v, l->size);
		return image_target_blob(t, d, s, e);
	}
	/* also where it is there already: what was said goes into the config */
	if (image_target_has(t, d))
		return measure(steal_ptr(&s), NULL, l->size, l, lim, &is, t->stats, e);
	r = image_target_begin(t, d, &out, e);
	if (r < 0)
		return r;
	r = measure(steal_ptr(&s), out, l->size, l, lim, &is, t->stats, e);
	r = blame_sink(out, "writing", r, e);
	return image_target_end(t, d, r, e);
}

/* ---- said ---- */

static int read_digest(const struct json *doc, const char *key, struct digest *out, struct err *e)
{
	struct span s = { 0 };

	if (!json_str(json_get(doc, key), &s) || digest_parse(s, out) < 0 ||
	    out->alg != HASH_SHA256)
		return err_set(e, E_FORMAT, "its %s is no sha256 digest", key);
	return 0;
}

int layer_file_parse(struct span json, struct layer_file *out, struct err *e)
{
	const struct json_limits few = { .max_bytes = KIB(64), .max_values = 1000 };
	_cleanup_(json_freep) struct json *doc = NULL;
	struct descriptor d = { 0 };
	struct span type = { 0 };
	int64_t size = -1;
	int r = json_parse(json, &few, &doc, e);

	*out = (struct layer_file){ .fd = -1 };
	if (r == 0)
		r = read_digest(doc, "digest", &out->digest, e);
	if (r == 0)
		r = read_digest(doc, "diffID", &out->diff_id, e);
	if (r == 0 && (!json_i64(json_get(doc, "size"), &size) || size < 0))
		r = err_set(e, E_FORMAT, "its size is no number of bytes");
	if (r == 0 && !json_str(json_get(doc, "mediaType"), &type))
		r = err_set(e, E_FORMAT, "it has no mediaType");
	if (r < 0)
		return r;
	out->size = (uint64_t)size;
	d.media_type = span_dup(type);
	out->compression = descriptor_compression(&d);
	descriptor_release(&d);
	if (out->compression == COMPRESSION_UNKNOWN)
		return err_set(e, E_UNSUPPORTED, "media type %s is no layer", quoted(type));
	return 0;
}
