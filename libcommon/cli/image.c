/* IMAGE operands: "-", a file that holds an image stream, or a layout as DIR, DIR:TAG or
 * DIR@DIGEST. */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcommon/cli.h"

/* What the user named, taken apart. */
struct operand {
	char *path;
	char *tag;
	struct digest digest;
	bool has_digest;
};

/* The digest behind the last "@", else the tag behind the first ":", as skopeo has it. */
static void split(const char *text, struct operand *op)
{
	struct span s = span_str(text);
	size_t at = span_rfind(s, '@'), colon;

	memset(op, 0, sizeof(*op));
	if (at < s.n && digest_parse(span_tail(s, at + 1), &op->digest) == 0) {
		op->has_digest = true;
		s.n = at;
	}
	colon = span_find(s, ':');
	if (!op->has_digest && colon < s.n)
		op->tag = span_dup(span_tail(s, colon + 1));
	op->path = span_dup(span_of(s.p, op->has_digest ? s.n : colon));
}

/* What others write in front of a name, skopeo above all. */
static const char *hint(const char *text)
{
	if (strstr(text, "://"))
		return " (pull fetches one from a registry)";
	if (!strncmp(text, "oci:", 4) || !strncmp(text, "oci-archive:", 12))
		return " (write its name without what stands before the first colon)";
	return "";
}

/* A name that has no meaning taken apart may be the plain name of a file, such as "app:1.tar". */
static void name_file(const char *text, struct operand *op, struct stat *st)
{
	split(text, op);
	if (stat(op->path, st) == 0)
		return;

	int code = -errno;

	if ((!op->tag && !op->has_digest) || stat(text, st) < 0)
		die(exit_status(code), "%s: %s%s", text,
		    code == -ENOENT ? "no such image file or layout" : err_word(code), hint(text));
	freep(&op->tag);
	freep(&op->path);
	*op = (struct operand){ .path = xstrdup(text) };
}

/* What can be read only once, unless it is to be read again. */
static int open_stream(struct stream *s, const struct image_options *o, struct image **img,
		       struct err *e)
{
	if (!o->again)
		return image_open_stream(s, o, img, e);

	const uint64_t most = o->spool_max ? o->spool_max : MIB(1) << 16;
	_cleanup_(fd_closep) int fd = spool_open();
	int r = MIN(fd, 0), fault;

	if (r == 0) {
		_cleanup_(sink_closep) struct sink *out = sink_from_fd(fd, false);
		for (struct span w; !out->err && out->offset <= most && (w = stream_peek(s)).n;
		     stream_skip(s, w.n))
			sink_write(out, w);
		r = out->offset > most ? E_TOOBIG : sink_flush(out);
	}
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	fault = stream_error(s);
	stream_close(s);
	if (r < 0)
		return err_set(e, r, "a temporary file in TMPDIR for the image: %s%s", err_word(r),
			       r == E_TOOBIG ? " (--spool-max)" : "");
	return fault < 0 ? fault : image_open_file(steal_fd(&fd), o, img, e);
}

/* Redirected from a file it can be read in any order; a pipe cannot. */
static int open_stdin(const struct image_options *o, struct image **img, struct err *e)
{
	struct stat st;

	if (fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
		int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);

		if (fd >= 0)
			return image_open_file(fd, o, img, e);
	}
	return open_stream(cli_stdin(), o, img, e);
}

static int open_path(const struct operand *op, bool is_dir, const struct image_options *o,
		     struct image **img, struct err *e)
{
	struct image_options with = *o;
	struct stat st;
	int fd;

	if (op->tag)
		with.tag = op->tag;
	if (op->has_digest)
		with.digest = &op->digest;
	if (is_dir)
		return image_open_layout(op->path, &with, img, e);
	fd = open(op->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	/* a named pipe, /dev/fd/N of a shell's <(…) */
	if (!S_ISREG(st.st_mode))
		return open_stream(stream_from_fd(fd, true), &with, img, e);
	return image_open_file(fd, &with, img, e);
}

void cli_image_open(const char *text, const struct image_options *o, struct image **img)
{
	struct err e = { 0 };
	struct operand op;
	struct stat st;
	int r;

	if (!text || !strcmp(text, "-")) {
		r = open_stdin(o, img, &e);
		if (r < 0)
			die_err("standard input", r, &e);
		return;
	}
	name_file(text, &op, &st);
	r = open_path(&op, S_ISDIR(st.st_mode), o, img, &e);
	if (r < 0)
		die_err(text, r, &e);
	freep(&op.path);
	freep(&op.tag);
}
