/*
 * Directories as overlayfs merges them: names of the topmost count, whiteouts and opaque marks hide what is below. A single plain directory is the
 * case of one. Walked by descriptors, of which only so many are open at once; no link is ever followed.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "libcommon/oci/diff.h"

enum { OPEN_MAX_AT_ONCE = 256 };

static const int dir_flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

int tree_fail(struct tree *t, int code, const char *name, const char *what)
{
	return err_set(t->e, code, "%s%s%s: %s%s%s", quoted(buf_span(&t->path)),
		       t->path.n && name ? "/" : "",
		       name	   ? quoted_str(name)
		       : t->path.n ? ""
				   : ".",
		       what ? what : "", what ? ": " : "", err_word(code));
}

/* The mark of an overlay's directory fd, or of name in it: 1, its value of one letter in *value; 0: there is none. */
static int find_mark(const struct tree *t, int fd, const char *name, const char *mark, char *value)
{
	if (overlay_mark(fd, name, t->marks == MARKS_USER ? MARKS_USER : MARKS_TRUSTED, mark,
			 value))
		return 1;
	if (t->marks != MARKS_EITHER || !overlay_mark(fd, name, MARKS_USER, mark, value))
		return 0;
	return err_set(
		t->e, E_UNSUPPORTED,
		"%s%s%s: it has the attribute user.overlay.%s: say --userxattr where overlayfs was mounted with userxattr, "
		"or --userxattr=false where a program has set it",
		quoted(buf_span(&t->path)), t->path.n && name ? "/" : "",
		name	    ? quoted_str(name)
		: t->path.n ? ""
			    : ".",
		mark);
}

static struct tree_slot *slot(const struct tree *t, size_t level, unsigned i)
{
	return &t->slots[level * t->n + i];
}

static struct tree_slot *here(const struct tree *t)
{
	return slot(t, t->depth - 1, 0);
}

static void push(struct tree *t)
{
	if (t->depth == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 8;
		t->slots = xrealloc(t->slots, t->cap * t->n * sizeof(*t->slots));
		t->paths = xrealloc(t->paths, t->cap * sizeof(*t->paths));
	}
	t->paths[t->depth++] = t->path.n;
	for (unsigned i = 0; i < t->n; i++)
		here(t)[i] = (struct tree_slot){ .fd = TREE_ABSENT };
}

static void shut(struct tree *t, struct tree_slot *s, int as)
{
	if (s->fd < 0)
		return;
	fd_close(s->fd);
	s->fd = as;
	t->open_n--;
}

/* Takes fd for directory i of the present level. */
static int fill(struct tree *t, unsigned i, int fd)
{
	struct tree_slot *s = &here(t)[i];
	struct stat st;
	char value;

	s->fd = fd;
	t->open_n++;
	if (fstat(fd, &st) < 0)
		return -errno;
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	if (t->marks == MARKS_NONE)
		return 0;
	int r = find_mark(t, fd, NULL, "opaque", &value);
	s->opaque = r > 0 && value == 'y';
	if (r >= 0)
		r = find_mark(t, fd, NULL, "redirect", &value);
	if (r > 0)
		r = err_set(
			t->e, E_UNSUPPORTED,
			"%s: overlayfs has its contents under another name (mount with redirect_dir=off, or give the "
			"mounted tree without --upper)",
			quoted(buf_span(&t->path)));
	return r;
}

int tree_open(struct tree *t, const int *roots, unsigned n, struct err *e)
{
	t->n = n;
	t->e = e;
	push(t);
	for (unsigned i = 0; i < n; i++) {
		int fd = openat(roots[i], ".", dir_flags);
		int r = fd < 0 ? -errno : fill(t, i, fd);
		if (r < 0)
			return tree_fail(t, r, NULL, NULL);
		/* Of the root overlayfs looks at no mark. */
		here(t)[i].opaque = false;
	}
	t->oldest = 1;
	return 0;
}

int tree_check_file(struct tree *t, int fd, const char *name)
{
	char value;
	int r = t->marks == MARKS_NONE ? 0 : find_mark(t, fd, NULL, "metacopy", &value);

	if (r <= 0)
		return r;
	return err_set(
		t->e, E_UNSUPPORTED,
		"%s%s%s: overlayfs holds only its metadata here (mount with metacopy=off, or give the mounted tree "
		"without --upper)",
		quoted(buf_span(&t->path)), t->path.n ? "/" : "", quoted_str(name));
}

int tree_check_links(struct tree *t, int fd, const char *name)
{
	char value;
	int r = t->marks == MARKS_NONE || t->which ? 0 : find_mark(t, fd, NULL, "nlink", &value);

	if (r <= 0)
		return r;
	return err_set(
		t->e, E_UNSUPPORTED,
		"%s%s%s: overlayfs keeps hard links of it in its index (mount with index=off, or give the "
		"mounted tree without --upper)",
		quoted(buf_span(&t->path)), t->path.n ? "/" : "", quoted_str(name));
}

void tree_release(struct tree *t)
{
	for (size_t i = 0; i < t->depth * t->n; i++)
		shut(t, &t->slots[i], TREE_ABSENT);
	free(t->slots);
	free(t->paths);
	buf_release(&t->path);
}

/* Descriptors of the directories farthest above are given up first; the root's and the present one's stay. */
static void give_up(struct tree *t)
{
	while (t->open_n > OPEN_MAX_AT_ONCE && t->oldest < t->depth - 1) {
		for (unsigned i = 0; i < t->n; i++)
			shut(t, slot(t, t->oldest, i), TREE_CLOSED);
		t->oldest++;
	}
}

/* Walks down to a directory once more. */
static int open_again(struct tree *t, size_t level, unsigned which)
{
	struct tree_slot *s = slot(t, level, which);
	_cleanup_(fd_closep) int fd =
		openat(slot(t, 0, which)->fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct span rest = span_of(t->path.p, t->paths[level]), part;
	struct stat st;

	while (fd >= 0 && rest.n && span_cut(&rest, '/', &part)) {
		_cleanup_(freep) char *name = span_dup(part);
		int next =
			openat(fd, name,
			       rest.n ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : dir_flags);
		int saved = errno;
		fd_close(fd);
		fd = next;
		errno = saved;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return tree_fail(t, -errno, NULL, NULL);
	if (st.st_dev != s->dev || st.st_ino != s->ino)
		return tree_fail(t, E_TRY_LATER, NULL, "moved while it was read");
	s->fd = steal_fd(&fd);
	t->open_n++;
	t->oldest = MIN(t->oldest, level);
	return s->fd;
}

int tree_dirfd(struct tree *t, unsigned which)
{
	int fd = here(t)[which].fd;

	return fd == TREE_CLOSED ? open_again(t, t->depth - 1, which) : fd;
}

int tree_topfd(struct tree *t, size_t level)
{
	for (unsigned i = 0; i < t->n; i++) {
		int fd = slot(t, level, i)->fd;
		if (fd != TREE_ABSENT)
			return fd == TREE_CLOSED ? open_again(t, level, i) : fd;
	}
	return -ENOENT;
}

bool tree_present(const struct tree *t)
{
	for (unsigned i = 0; i < t->n; i++)
		if (here(t)[i].fd != TREE_ABSENT)
			return true;
	return false;
}

bool tree_opaque(const struct tree *t)
{
	return here(t)[0].opaque;
}

/* 1, 0 */
static int is_whiteout(const struct tree *t, int dirfd, const char *name, const struct stat *st)
{
	char value;

	if (t->marks == MARKS_NONE)
		return 0;
	if (S_ISCHR(st->st_mode))
		return st->st_rdev == 0;
	return S_ISREG(st->st_mode) && st->st_size == 0
		       ? find_mark(t, dirfd, name, "whiteout", &value)
		       : 0;
}

int tree_look(struct tree *t, const char *name, struct stat *st)
{
	for (unsigned i = 0; i < t->n; i++) {
		int fd = tree_dirfd(t, i);
		if (fd == TREE_ABSENT)
			continue;
		if (fd < 0)
			return fd;
		if (fstatat(fd, name, st, AT_SYMLINK_NOFOLLOW) < 0) {
			if (errno == ENOENT)
				continue;
			return tree_fail(t, -errno, name, NULL);
		}
		t->which = i;
		int gone = is_whiteout(t, fd, name, st);
		return gone < 0 ? gone : !gone;
	}
	return 0;
}

int tree_enter(struct tree *t, const char *name)
{
	size_t from = t->depth - 1;
	bool any = false;
	int r = 0;

	for (unsigned i = 0; i < t->n; i++)
		if (slot(t, from, i)->fd == TREE_CLOSED && (r = open_again(t, from, i)) < 0)
			return r;
	if (t->path.n)
		buf_addc(&t->path, '/');
	buf_adds(&t->path, name);
	push(t);
	for (unsigned i = 0; i < t->n; i++) {
		int above = slot(t, from, i)->fd;
		if (above == TREE_ABSENT)
			continue;
		int fd = openat(above, name, dir_flags);
		if (fd < 0 && errno == ENOENT)
			continue;
		/* Something else: it hides what is below it. */
		if (fd < 0 && (errno == ENOTDIR || errno == ELOOP))
			break;
		r = fd < 0 ? -errno : fill(t, i, fd);
		if (r < 0)
			return tree_fail(t, r, NULL, NULL);
		any = true;
		if (here(t)[i].opaque)
			break;
	}
	give_up(t);
	return any;
}

void tree_leave(struct tree *t)
{
	for (unsigned i = 0; i < t->n; i++)
		shut(t, &here(t)[i], TREE_ABSENT);
	t->depth--;
	t->path.n = t->paths[t->depth - 1];
	t->oldest = MIN(t->oldest, MAX(t->depth, (size_t)1));
}

struct entry64 {
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

/* An enum name_kind */
static int kind_of(const struct tree *t, int fd, const struct entry64 *e)
{
	struct stat st;
	bool maybe = t->marks != MARKS_NONE && (e->type == DT_CHR || e->type == DT_REG);

	if (e->type == DT_SOCK)
		return NAME_SOCKET;
	if (!maybe && e->type != DT_UNKNOWN)
		return NAME_ENTRY;
	if (fstatat(fd, e->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return NAME_ENTRY;
	if (S_ISSOCK(st.st_mode))
		return NAME_SOCKET;
	int gone = is_whiteout(t, fd, e->name, &st);
	return gone < 0 ? gone : gone ? NAME_WHITEOUT : NAME_ENTRY;
}

static int list_one(struct tree *t, unsigned which, int fd, struct names *n)
{
	_Alignas(8) char space[32768];

	if (lseek(fd, 0, SEEK_SET) < 0)
		return tree_fail(t, -errno, NULL, NULL);
	for (;;) {
		long got = syscall(SYS_getdents64, fd, space, sizeof(space));
		if (got < 0)
			return tree_fail(t, -errno, NULL, "cannot list it");
		if (!got)
			return 0;
		for (long at = 0; at < got;) {
			const struct entry64 *e =
				(const struct entry64 *)(const void *)(space + at);
			at += e->reclen;
			if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
				continue;
			int kind = kind_of(t, fd, e);
			if (kind < 0)
				return kind;
			names_add(n, e->name, which, (enum name_kind)kind);
		}
	}
}

static int list(void *arg, struct names *n)
{
	struct tree *t = arg;

	for (unsigned i = 0; i < (t->first_only ? 1 : t->n); i++) {
		int fd = tree_dirfd(t, i);
		int r = fd == TREE_ABSENT ? 0 : fd < 0 ? fd : list_one(t, i, fd, n);
		if (r < 0)
			return r;
	}
	return 0;
}

struct names_source tree_names(struct tree *t)
{
	return (struct names_source){ list, t };
}
