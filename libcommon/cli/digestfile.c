/* A file that a script asks what was made. */
#include <fcntl.h>
#include <string.h>

#include "libcommon/cli.h"

int cli_open_parent(const char *path)
{
	_cleanup_(freep) char *dir = xstrdup(path);
	char *slash;

	for (size_t n = strlen(dir); n > 1 && dir[n - 1] == '/'; n--)
		dir[n - 1] = '\0';
	slash = strrchr(dir, '/');
	/* "/name" is in "/". */
	if (slash)
		slash[slash == dir] = '\0';
	return dir_open(AT_FDCWD, slash ? dir : ".");
}

void cli_digestfile_open(struct digestfile *f, const char *path)
{
	struct stat st;
	int r;

	*f = (struct digestfile){ path, -1, -1 };
	if (!path)
		return;
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		r = f->fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	else
		r = f->dir = cli_open_parent(path);
	if (r == -1)
		r = -errno;
	if (r < 0)
		die_output(quoted_str(path), r, NULL);
}

void cli_digestfile_write(struct digestfile *f, struct span text)
{
	if (!f->path)
		return;
	const char *slash = strrchr(f->path, '/');
	int r = f->fd >= 0 ? fd_write_all(f->fd, text.p, text.n)
			   : file_replace(f->dir, slash ? slash + 1 : f->path, text, 0644, false);
	if (r < 0)
		die_err(quoted_str(f->path), r, NULL);
}

void cli_digestfile_digest(struct digestfile *f, const struct digest *d)
{
	_cleanup_(buf_release) struct buf line = BUF_INIT;
	char text[DIGEST_TEXT_MAX];

	buf_addf(&line, "%s\n", digest_text(d, text));
	cli_digestfile_write(f, buf_span(&line));
}
