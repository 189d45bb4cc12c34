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

/* Lines are made of digits, not by printf: there may be millions. */
static char *put_text(char *p, const char *s, size_t n)
{
	while (n--)
		*p++ = *s++;
	return p;
}

static char *put_digits(char *p, uint64_t v, int least)
{
	char digits[24];
	int n = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10) || n < least);
	while (n)
		*p++ = digits[--n];
	return p;
}

static char *put_mode(char *p, const struct tar_entry *e)
{
	*p++ = letters[e->type];
	for (int i = 0; i < 9; i++) {
		bool set = e->mode & (0400 >> i),
		     special = i % 3 == 2 && (e->mode & (04000 >> i / 3));

		*p = set ? "rwx"[i % 3] : '-';
		if (special)
			*p = (char)("sst"[i / 3] - (set ? 0 : 32));
		p++;
	}
	return p;
}

/* NULL for a year of more than four digits. */
static char *put_time(char *p, struct tar_time t, char between)
{
	time_t sec = (time_t)t.sec;
	struct tm tm;

	if (sec != t.sec || !gmtime_r(&sec, &tm) || tm.tm_year < -1900 || tm.tm_year > 8099)
		return NULL;
	const int v[] = { tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
			  tm.tm_hour,	     tm.tm_min,	    tm.tm_sec };
	for (int i = 0; i < 6; i++) {
		p = put_digits(p, (uint64_t)v[i], i ? 2 : 4);
		if (i < 5)
			*p++ = (char[]){ '-', '-', between, ':', ':' }[i];
	}
	return p;
}

static char *put_seconds(char *p, int64_t sec)
{
	*p++ = '@';
	if (sec < 0)
		*p++ = '-';
	return put_digits(p, sec < 0 ? -(uint64_t)sec : (uint64_t)sec, 1);
}

/* Owner and size in 19 columns, more where they need it. */
static char *put_owner_and_size(char *p, const struct tar_entry *e)
{
	char size[48], *s = size, *start = p;

	p = put_digits(p, e->uid, 1);
	*p++ = '/';
	p = put_digits(p, e->gid, 1);
	if (e->type == TAR_CHAR || e->type == TAR_BLOCK) {
		s = put_digits(s, e->dev_major, 1);
		*s++ = ',';
		s = put_digits(s, e->dev_minor, 1);
	} else {
		s = put_digits(s, e->size, 1);
	}
	do
		*p++ = ' ';
	while (p - start + (s - size) < 19);
	return put_text(p, size, (size_t)(s - size));
}

void cli_entry_line(struct buf *b, const struct tar_entry *e, const unsigned char *sha256,
		    bool digests)
{
	char line[256], *p = put_mode(line, e), *t;

	*p++ = ' ';
	p = put_owner_and_size(p, e);
	*p++ = ' ';
	t = put_time(p, e->mtime, ' ');
	p = t ? t : put_seconds(p, e->mtime.sec);
	*p++ = ' ';
	if (digests && sha256) {
		num_to_hex(sha256, 32, p);
		p += 64;
		*p++ = ' ';
	} else if (digests) {
		p = put_text(p, "-                               ", 32);
		p = put_text(p, "                                 ", 33);
	}
	buf_add(b, line, (size_t)(p - line));
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
	char text[64], *p = put_time(text, t, 'T');

	json_key(o, "mtime");
	if (!p) {
		json_put_i64(o, t.sec);
		return;
	}
	if (t.nsec) {
		*p++ = '.';
		p = put_digits(p, t.nsec, 9);
	}
	*p++ = 'Z';
	json_put_str(o, span_of(text, (size_t)(p - text)));
}

void cli_entry_json(struct json_out *o, const struct tar_entry *e, const unsigned char *sha256)
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
	if (!sha256)
		return;
	num_to_hex(sha256, 32, hex + 7);
	json_key(o, "digest");
	json_put_str(o, span_str(hex));
}
