/* Where an applet that makes images puts them: an image stream on standard output, or a layout. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/cli.h"

void cli_layout_operand(const char *value, char **layout, const char **tag)
{
	size_t colon = span_find(span_str(value), ':');

	*layout = xstrndup(value, colon);
	*tag = value[colon] ? value + colon + 1 : NULL;
	if (*tag && !layout_name_valid(span_str(*tag)))
		die(64, "--output: \"%s\" is no name for an image in a layout", quoted_str(*tag));
}

static void set_name(struct image_output *o, const char *value)
{
	struct reference ref;
	struct err e = { 0 };

	if (reference_parse(value, &ref, &e) < 0)
		die(64, "--tag: %s", e.text);
	if (ref.has_digest)
		die(64, "--tag: %s has a digest, which nobody can choose", quoted_str(value));
	free(o->name);
	o->name = xasprintf("%s/%s:%s", ref.domain, ref.repository, ref.tag);
	reference_release(&ref);
}

bool cli_output_option(struct image_output *o, int opt)
{
	switch (opt) {
	case 'o':
		free(o->layout);
		cli_layout_operand(optarg, &o->layout, &o->tag);
		return true;
	case 't':
		set_name(o, optarg);
		return true;
	case CLI_OPT_OUTPUT:
		o->digestfile.path = optarg;
		return true;
	case CLI_OPT_OUTPUT + 1:
		o->sync = true;
		return true;
	case CLI_OPT_OUTPUT + 2:
		o->tell_stats = true;
		return true;
	default:
		return false;
	}
}

void cli_output_open(struct image_output *o)
{
	if (!o->layout)
		cli_need_stdout_not_tty();
	cli_digestfile_open(&o->digestfile, o->digestfile.path);

	int fd = o->layout ? dir_open(AT_FDCWD, o->layout) : -1;
	/* a layout that is yet to be made needs the directory that it will be in */
	if (o->layout && fd < 0)
		fd = cli_open_parent(o->layout);
	cli_jail((int[]){ o->digestfile.dir, fd }, 2, CLI_JAIL_SPOOL);
	fd_close(fd);
}

static int write_stream(struct image_output *o, const struct document *const *docs, size_t n,
			image_blobs_fn *blobs, void *arg, struct err *e)
{
	_cleanup_(sink_closep) struct sink *out = sink_from_fd(STDOUT_FILENO, false);
	const struct image_writer_options wo = { .ref_name = o->name, .docs = docs, .docs_n = n };
	struct image_target t = { .stats = &o->stats };
	int r = image_writer_open(out, &wo, &t.writer, e);

	if (r == 0)
		r = blobs(arg, &t, e);
	if (r == 0)
		r = image_writer_close(t.writer, true, e);
	/* here, before what the sink still holds makes the archive look whole */
	if (r < 0)
		die_err(NULL, r, e);
	return 0;
}

/* Manifests after their blobs, the index after its manifests, the name last. */
static int write_layout(struct image_output *o, const struct document *const *docs, size_t n,
			image_blobs_fn *blobs, void *arg, struct err *e)
{
	const struct descriptor top = { .media_type = docs[0]->media_type,
					.digest = docs[0]->digest,
					.size = docs[0]->raw.n };
	const char *tag = o->tag ? o->tag : o->name ? strrchr(o->name, ':') + 1 : NULL;
	struct layout l;
	struct image_target t = { .layout = &l, .sync = o->sync, .stats = &o->stats };
	int r = layout_open(o->layout, true, &l, e);

	if (r < 0)
		die_output(quoted_str(o->layout), r, e);
	layout_clean(&l);
	r = blobs(arg, &t, e);
	for (size_t i = n; r == 0 && i-- > 0;) {
		const struct descriptor d = { .digest = docs[i]->digest, .size = docs[i]->raw.n };

		if (!layout_has_blob(&l, &d))
			r = layout_write_blob(&l, &d.digest, buf_span(&docs[i]->raw), o->sync, e);
	}
	if (r == 0)
		r = layout_set_tag(&l, tag, &top, o->sync, e);
	layout_close(&l);
	return r;
}

void cli_output_write(struct image_output *o, const struct document *const *docs, size_t n,
		      image_blobs_fn *blobs, void *arg)
{
	struct err e = { 0 };
	int r = (o->layout ? write_layout : write_stream)(o, docs, n, blobs, arg, &e);

	if (r < 0)
		die_err(NULL, r, &e);
	cli_digestfile_digest(&o->digestfile, &docs[0]->digest);
}

void cli_output_close(struct image_output *o)
{
	if (o->tell_stats)
		cli_stats(&o->stats);
	freep(&o->layout);
	freep(&o->name);
}
