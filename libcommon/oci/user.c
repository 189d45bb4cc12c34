/*
 * Users of a tree: what "User" of an image means by the tree's own etc/passwd and etc/group.
 *
 * A name is looked up first, even one of digits; else a number is strictly decimal and at most 2^32
 * - 2, so that nothing odd
 * ("+0", "0x0", "-1", "4294967296") ever becomes root. The files may be anything that an image can
 * hold: only regular ones of bounded size are read.
 */
#include "libcommon/oci.h"
#include "libcommon/oci/oci_private.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILE_MAX = 1 << 20 };
#define ID_MAX (UINT32_MAX - 1)

static const char passwd_path[] = "etc/passwd", group_path[] = "etc/group";

/* ---- the files ---- */

/* Looked at before it is opened: opening a device already does something. */
static int open_regular(int rootfd, const char *path)
{
	_cleanup_(fd_closep) int look = walk_open(rootfd, path, O_PATH | O_CLOEXEC, 0), fd = -1;
	struct stat a, b;

	if (look < 0)
		return look;
	if (fstat(look, &a) < 0)
		return -errno;
	if (!S_ISREG(a.st_mode))
		return E_UNSUPPORTED;
	fd = walk_open(rootfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return fd;
	if (fstat(fd, &b) < 0)
		return -errno;
	if (a.st_ino != b.st_ino || a.st_dev != b.st_dev)
		return E_UNSUPPORTED;
	return steal_fd(&fd);
}

/* A file that is not there is empty. */
static int read_file(int rootfd, const char *path, struct buf *out, struct err *e)
{
	_cleanup_(fd_closep) int fd = open_regular(rootfd, path);
	int r = fd;

	if (fd == -ENOENT || fd == -ENOTDIR)
		return 0;
	if (fd == E_UNSUPPORTED)
		return err_set(e, E_FORMAT, "the image's /%s is no regular file", path);
	if (fd >= 0)
		r = fd_read_all(fd, FILE_MAX, out);
	if (r == E_TOOBIG)
		return err_set(e, r, "the image's /%s is larger than %d bytes", path, FILE_MAX);
	if (r < 0)
		return err_set(e, r, "the image's /%s: %s", path, err_word(r));
	return 0;
}

/* The next line of text that has at least n fields; more than n leaves the rest in the last. */
static bool next_entry(struct span *text, struct span *fields, size_t n)
{
	struct span line;

	while (span_cut(text, '\n', &line)) {
		size_t i = 0;

		if (!line.n || line.p[0] == '#' || line.p[0] == ':')
			continue;
		while (i + 1 < n) {
			size_t colon = span_find(line, ':');

			if (colon == line.n)
				break;
			fields[i++] = span_of(line.p, colon);
			line = span_tail(line, colon + 1);
		}
		fields[i] = line;
		if (i + 1 == n)
			return true;
	}
	return false;
}

static bool parse_id(struct span s, uint32_t *out)
{
	uint64_t v;

	if (num_u64(s, ID_MAX, &v) < 0)
		return false;
	*out = (uint32_t)v;
	return true;
}

static bool all_digits(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

/* ---- passwd ---- */

enum { PW_NAME, PW_PASSWORD, PW_UID, PW_GID, PW_GECOS, PW_HOME, PW_N };

static int take_entry(const struct span f[PW_N], struct user *u, struct err *e)
{
	struct span home = f[PW_HOME];

	if (!parse_id(f[PW_UID], &u->uid) || !parse_id(f[PW_GID], &u->gid))
		return err_set(e, E_FORMAT,
			       "the entry of user %s in the image's /%s has no valid ids",
			       quoted(f[PW_NAME]), passwd_path);
	home.n = span_find(home, ':');
	u->name = span_dup(f[PW_NAME]);
	if (home.n && home.p[0] == '/') {
		freep(&u->home);
		u->home = span_dup(home);
	}
	return 0;
}

static int find_user(struct span passwd, struct span who, struct user *u, struct err *e)
{
	struct span f[PW_N], text = passwd;
	uint32_t id;

	while (next_entry(&text, f, PW_N))
		if (span_eq(f[PW_NAME], who))
			return take_entry(f, u, e);
	if (!parse_id(who, &u->uid)) {
		if (all_digits(who))
			return err_set(e, E_FORMAT, "user id %s is out of range", quoted(who));
		return err_set(e, E_NOT_FOUND, "no user %s in the image's /%s", quoted(who),
			       passwd_path);
	}
	for (text = passwd; next_entry(&text, f, PW_N);)
		if (parse_id(f[PW_UID], &id) && id == u->uid)
			return take_entry(f, u, e);
	return 0;
}

/* ---- group ---- */

enum { GR_NAME, GR_PASSWORD, GR_GID, GR_MEMBERS, GR_N };

static int find_group(struct span group, struct span which, uint32_t *gid, struct err *e)
{
	struct span f[GR_N];

	for (struct span text = group; next_entry(&text, f, GR_N);) {
		if (!span_eq(f[GR_NAME], which))
			continue;
		if (parse_id(f[GR_GID], gid))
			return 0;
		return err_set(e, E_FORMAT, "group %s in the image's /%s has no valid id",
			       quoted(which), group_path);
	}
	if (parse_id(which, gid))
		return 0;
	if (all_digits(which))
		return err_set(e, E_FORMAT, "group id %s is out of range", quoted(which));
	return err_set(e, E_NOT_FOUND, "no group %s in the image's /%s", quoted(which), group_path);
}

static bool is_member(struct span members, const char *name)
{
	struct span m;

	while (span_cut(&members, ',', &m))
		if (span_is(m, name))
			return true;
	return false;
}

static bool has_gid(const struct user *u, uint32_t gid)
{
	for (size_t i = 0; i < u->groups_n; i++)
		if (u->groups[i] == gid)
			return true;
	return false;
}

/* The groups that list the user: all of them, as leaving one out may grant what it is denied. */
static int find_memberships(struct span group, struct user *u, struct err *e)
{
	struct span f[GR_N];
	uint32_t gid;

	if (!u->name)
		return 0;
	for (struct span text = group; next_entry(&text, f, GR_N);) {
		if (!is_member(f[GR_MEMBERS], u->name))
			continue;
		if (!parse_id(f[GR_GID], &gid))
			return err_set(e, E_FORMAT, "group %s in the image's /%s has no valid id",
				       quoted(f[GR_NAME]), group_path);
		if (has_gid(u, gid))
			continue;
		if (u->groups_n == ARRAY_LEN(u->groups))
			return err_set(e, E_TOOBIG, "user %s is in more than %zu groups",
				       quoted_str(u->name), ARRAY_LEN(u->groups));
		u->groups[u->groups_n++] = gid;
	}
	return 0;
}

/* ---- both ---- */

static int find(struct span passwd, struct span group, struct span spec, struct user *u,
		struct err *e)
{
	size_t colon = span_find(spec, ':');
	struct span who = span_of(spec.p, colon);
	int r;

	if (colon < spec.n && (!who.n || colon + 1 == spec.n))
		return err_set(e, E_FORMAT, "user %s: USER:GROUP lacks a part", quoted(spec));
	r = find_user(passwd, who.n ? who : SPAN("0"), u, e);
	if (r < 0)
		return r;
	/* who names a group gets that one only, as docker has it */
	if (colon < spec.n)
		return find_group(group, span_tail(spec, colon + 1), &u->gid, e);
	return find_memberships(group, u, e);
}

int user_find(struct span passwd, struct span group, const char *spec, struct user *out,
	      struct err *e)
{
	struct user u = { .home = xstrdup("/") };
	int r = find(passwd, group, span_str(spec), &u, e);

	memset(out, 0, sizeof(*out));
	if (r < 0) {
		user_release(&u);
		return r;
	}
	*out = u;
	return 0;
}

int user_lookup(int rootfd, const char *spec, struct user *out, struct err *e)
{
	_cleanup_(buf_release) struct buf passwd = BUF_INIT, group = BUF_INIT;
	int r;

	memset(out, 0, sizeof(*out));
	r = read_file(rootfd, passwd_path, &passwd, e);
	if (r == 0)
		r = read_file(rootfd, group_path, &group, e);
	return r < 0 ? r : user_find(buf_span(&passwd), buf_span(&group), spec, out, e);
}

void user_release(struct user *u)
{
	freep(&u->home);
	freep(&u->name);
	memset(u, 0, sizeof(*u));
}
