/* One entry of a layer or a tree, as a line for people in the manner of tar tvf, or of JSON. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "libcommon/cli.h"

static const char letters[] = {
	[TAR_FILE] = '-',  [TAR_HARDLINK] = 'h', [TAR_SYMLINK] = 'l', [TAR_CHAR] = 'c',
	[TAR_BLOCK] = 'b', [TAR_DIR] = 'd',	 [TAR_FIFO] = 'p',
};
static const char *const words[] = {
	[TAR_FILE] = "file",	    [TAR_HARDLINK] = "hardlink",  [TAR_SYMLINK] = "symlink",
	[TAR_CHAR] = "char device", [TAR_BLOCK] = "block device", [TAR_DIR] = "directory",
	[TAR_FIFO] = "fifo",
};

static void put_mode(struct buf *b, const struct cli_entry *e)
{
	char text[] = "rwxrwxrwx";
	bool x[3];

	for (int i = 0; i < 9; i++)
		if (!(e->mode & (0400 >> i)))
			text[i] = '-';
	for (int i = 0; i < 3; i++) {
		x[i] = text[2 + 3 * i] == 'x';
		if (e->mode & (04000 >> i))
			text[2 + 3 * i] = "sst"[i] - (x[i] ? 0 : 32);
	}
	buf_addc(b, letters[e->type]);
	buf_adds(b, text);
}

/* False for a year that nobody can write. */
static bool put_time(struct buf *b, struct tar_time t, const char *format)
{
	time_t sec = (time_t)t.sec;
	struct tm tm;
	char text[64];

	if (sec != t.sec || !gmtime_r(&sec, &tm) || !strftime(text, sizeof(text), format, &tm))
		return false;
	buf_adds(b, text);
	return true;
}

static void put_digest(struct buf *b, const unsigned char *sha256)
{
	char text[65] = "-";

	if (sha256)
		num_to_hex(sha256, 32, text);
	buf_addf(b, " %-64s", text);
}

void cli_entry_line(struct buf *b, const struct cli_entry *e, bool digests)
{
	char owner[48], size[32];

	put_mode(b, e);
	snprintf(owner, sizeof(owner), "%llu/%llu", (unsigned long long)e->uid,
		 (unsigned long long)e->gid);
	if (e->type == TAR_CHAR || e->type == TAR_BLOCK)
		snprintf(size, sizeof(size), "%u,%u", e->dev_major, e->dev_minor);
	else
		snprintf(size, sizeof(size), "%llu", (unsigned long long)e->size);
	buf_addf(b, " %s %*s ", owner, (int)MAX(18 - (int)strlen(owner), 1), size);
	if (!put_time(b, e->mtime, "%Y-%m-%d %H:%M:%S"))
		buf_addf(b, "@%lld", (long long)e->mtime.sec);
	if (digests)
		put_digest(b, e->sha256);
	buf_addc(b, ' ');
	buf_add_quoted(b, e->name.n ? e->name : SPAN("."), SIZE_MAX);
	if (e->type == TAR_DIR)
		buf_addc(b, '/');
	if (e->type == TAR_SYMLINK || e->type == TAR_HARDLINK) {
		buf_adds(b, e->type == TAR_SYMLINK ? " -> " : " link to ");
		buf_add_quoted(b, e->link, SIZE_MAX);
	}
	buf_addc(b, '\n');
}

/* JSON has no bytes: what is no text is said in base64, too. */
static void put_bytes(struct json_out *o, const char *key, struct span s)
{
	_cleanup_(buf_release) struct buf b64 = BUF_INIT, name = BUF_INIT;

	json_key(o, key);
	json_put_str(o, s);
	if (utf8_valid(s))
		return;
	buf_addf(&name, "%s_base64", key);
	base64_encode(s, &b64);
	json_key(o, buf_str(&name));
	json_put_str(o, buf_span(&b64));
}

static void put_number(struct json_out *o, const char *key, uint64_t v)
{
	json_key(o, key);
	json_put_i64(o, (int64_t)MIN(v, (uint64_t)INT64_MAX));
}

static void put_xattrs(struct json_out *o, const char *key, const struct tar_xattr *x, size_t n)
{
	if (!n)
		return;
	json_key(o, key);
	json_begin(o, '{');
	for (size_t i = 0; i < n; i++) {
		_cleanup_(buf_release) struct buf b64 = BUF_INIT;

		base64_encode(x[i].value, &b64);
		json_key_span(o, x[i].name);
		json_put_str(o, buf_span(&b64));
	}
	json_end(o, '}');
}

static void put_json_time(struct json_out *o, struct tar_time t)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_key(o, "mtime");
	if (!put_time(&b, t, "%Y-%m-%dT%H:%M:%S")) {
		json_put_i64(o, t.sec);
		return;
	}
	if (t.nsec)
		buf_addf(&b, ".%09u", t.nsec);
	buf_addc(&b, 'Z');
	json_put_str(o, buf_span(&b));
}

void cli_entry_json(struct json_out *o, const struct cli_entry *e)
{
	char mode[8], hex[7 + 65] = "sha256:";

	json_key(o, "type");
	json_put_str(o, span_str(words[e->type]));
	put_bytes(o, "name", e->name.n ? e->name : SPAN("."));
	snprintf(mode, sizeof(mode), "%04o", e->mode);
	json_key(o, "mode");
	json_put_str(o, span_str(mode));
	put_number(o, "uid", e->uid);
	put_number(o, "gid", e->gid);
	put_number(o, "size", e->size);
	put_json_time(o, e->mtime);
	if (e->type == TAR_SYMLINK || e->type == TAR_HARDLINK)
		put_bytes(o, "link", e->link);
	if (e->type == TAR_CHAR || e->type == TAR_BLOCK) {
		put_number(o, "major", e->dev_major);
		put_number(o, "minor", e->dev_minor);
	}
	put_xattrs(o, "xattrs", e->xattrs, e->xattrs_n);
	put_xattrs(o, "acls", e->acls, e->acls_n);
	if (!e->sha256)
		return;
	num_to_hex(e->sha256, 32, hex + 7);
	json_key(o, "digest");
	json_put_str(o, span_str(hex));
}
