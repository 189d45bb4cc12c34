/*
 * Which ids an ordinary user may have inside a user namespace.
 */
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "libcommon/runtime/private.h"

enum { SUBID_FILE_MAX = 16 << 20, PROC_MAP_MAX = 64 << 10 };

void id_map_text(const struct id_map_entry *map, size_t n, char sep, struct buf *out)
{
	for (size_t i = 0; i < n; i++)
		buf_addf(out, "%u%c%u%c%u%c", map[i].inside, sep, map[i].outside, sep, map[i].count,
			 sep == ' ' ? '\n' : sep);
}

/* 0 where [start, start + count) stays below the reserved id 2^32 - 1. */
static int range_check(uint64_t start, uint64_t count)
{
	return count > 0 && start + count <= UINT32_MAX ? 0 : E_FORMAT;
}

void id_map_add_ranges(struct span text, const char *name, uint32_t id, struct id_map_entry *map,
		       size_t *n, size_t max)
{
	struct span line;
	uint32_t inside = 0;
	char number[16];

	for (size_t i = 0; i < *n; i++)
		inside = MAX(inside, map[i].inside + map[i].count);
	snprintf(number, sizeof(number), "%u", id);
	while (*n < max && span_cut(&text, '\n', &line)) {
		struct span owner, first, rest = span_trim(line);
		uint64_t start, count;

		if (!span_cut(&rest, ':', &owner) || !span_cut(&rest, ':', &first))
			continue;
		if (!span_is(owner, number) && !(name && span_is(owner, name)))
			continue;
		if (num_u64(first, UINT32_MAX, &start) || num_u64(rest, UINT32_MAX, &count))
			continue;
		if (range_check(start, count) || range_check(inside, count))
			continue;
		map[(*n)++] = (struct id_map_entry){ inside, (uint32_t)start, (uint32_t)count };
		inside += (uint32_t)count;
	}
}

int id_map_parse(struct span text, struct id_map_entry *map, size_t max)
{
	struct span line;
	size_t n = 0;

	while (span_cut(&text, '\n', &line)) {
		uint64_t v[3];
		size_t k = 0;
		struct span word;

		while (span_cut(&line, ' ', &word)) {
			if (!word.n)
				continue;
			if (k == 3 || num_u64(word, UINT32_MAX, &v[k++]))
				return E_FORMAT;
		}
		if (!k)
			continue;
		if (k != 3 || n == max)
			return E_FORMAT;
		map[n++] = (struct id_map_entry){ (uint32_t)v[0], (uint32_t)v[1], (uint32_t)v[2] };
	}
	return (int)n;
}

/* The ids that exist where we are, each mapped to itself. */
static size_t identity(const char *path, struct id_map_entry *map)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int n = -1;

	if (!file_read(AT_FDCWD, path, true, PROC_MAP_MAX, &b))
		n = id_map_parse(buf_span(&b), map, ID_MAP_MAX);
	if (n <= 0) {
		map[0] = (struct id_map_entry){ 0, 0, UINT32_MAX };
		return 1;
	}
	for (int i = 0; i < n; i++)
		map[i].outside = map[i].inside;
	return (size_t)n;
}

static bool in_path(const char *program)
{
	struct span rest = span_str(getenv("PATH")), dir;

	if (!rest.n)
		rest = SPAN("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	while (span_cut(&rest, ':', &dir)) {
		_cleanup_(freep) char *path =
			xasprintf("%.*s/%s", (int)MIN(dir.n, 4096), (const char *)dir.p, program);

		if (dir.n && !access(path, X_OK))
			return true;
	}
	return false;
}

static void add_file(const char *path, const char *name, uint32_t id, struct id_map_entry *map,
		     size_t *n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!file_read(AT_FDCWD, path, true, SUBID_FILE_MAX, &b))
		id_map_add_ranges(buf_span(&b), name, id, map, n, ID_MAP_MAX);
}

int id_maps_for_caller(struct id_maps *out, struct err *e)
{
	uid_t uid = geteuid();
	struct passwd *pw;

	(void)e;
	*out = (struct id_maps){ .uid_n = 1, .gid_n = 1 };
	if (!uid) {
		out->uid_n = identity("/proc/self/uid_map", out->uid);
		out->gid_n = identity("/proc/self/gid_map", out->gid);
		return 0;
	}
	out->uid[0] = (struct id_map_entry){ 0, uid, 1 };
	out->gid[0] = (struct id_map_entry){ 0, getegid(), 1 };
	if (in_path("newuidmap") && in_path("newgidmap")) {
		pw = getpwuid(uid);
		add_file("/etc/subuid", pw ? pw->pw_name : NULL, uid, out->uid, &out->uid_n);
		add_file("/etc/subgid", pw ? pw->pw_name : NULL, uid, out->gid, &out->gid_n);
	}
	if (out->uid_n == 1 || out->gid_n == 1) {
		out->uid_n = out->gid_n = 1;
		out->single = true;
	}
	return 0;
}
