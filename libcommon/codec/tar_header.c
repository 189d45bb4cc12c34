/* Header blocks of tar: numbers, checksums, fields. */
#include <string.h>

#include "libcommon/codec/tar.h"

static uint64_t word(const unsigned char *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* The sum of a block's bytes, eight at a time in lanes of 16 bits (which 128 bytes of 255 do not overflow). */
static uint32_t sum_bytes(const unsigned char *p)
{
	const uint64_t low = 0x00ff00ff00ff00ff;
	uint64_t sum = 0;

	for (int i = 0; i < TAR_BLOCK_SIZE; i += 8)
		sum += (word(p + i) & low) + (word(p + i) >> 8 & low);
	return (uint32_t)((sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32 & 0xffff) +
			  (sum >> 48));
}

/* Some old writers summed signed characters. */
static int32_t sum_signed(const unsigned char *p)
{
	int32_t sum = 0;

	for (int i = 0; i < TAR_BLOCK_SIZE; i++)
		sum += (signed char)p[i];
	return sum;
}

int tar_block_kind(const unsigned char *b)
{
	uint32_t sum = sum_bytes(b), field = 8 * ' ';
	int32_t field_signed = 8 * ' ';
	int64_t want;

	if (!sum)
		return BLOCK_ZERO;
	if ((b[H_CHECKSUM] & 0x80) || tar_number(b + H_CHECKSUM, 8, &want))
		return BLOCK_BAD;
	/* The field itself counts as blanks. */
	for (int i = 0; i < 8; i++) {
		field -= b[H_CHECKSUM + i];
		field_signed -= (signed char)b[H_CHECKSUM + i];
	}
	if (want == (int64_t)(uint32_t)(sum + field) || want == sum_signed(b) + field_signed)
		return BLOCK_HEADER;
	return BLOCK_BAD;
}

enum tar_format tar_block_format(const unsigned char *b)
{
	if (!memcmp(b + H_MAGIC, "ustar", 6))
		return memcmp(b + H_STAR_MAGIC, "tar", 4) ? FORMAT_USTAR : FORMAT_STAR;
	return memcmp(b + H_MAGIC, "ustar  ", 8) ? FORMAT_V7 : FORMAT_GNU;
}

/* Two's complement, big-endian, behind the bit that marks it. */
static int base256(const unsigned char *p, size_t n, int64_t *out)
{
	unsigned char inverse = p[0] & 0x40 ? 0xff : 0;
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = p[i] ^ inverse;
		if (i == 0)
			c &= 0x7f;
		if (v >> 56)
			return E_FORMAT;
		v = v << 8 | c;
	}
	if (v >> 63)
		return E_FORMAT;
	*out = inverse ? ~(int64_t)v : (int64_t)v;
	return 0;
}

int tar_number(const unsigned char *p, size_t n, int64_t *out)
{
	uint64_t v = 0;
	size_t i = 0;

	if (p[0] & 0x80)
		return base256(p, n, out);
	while (i < n && p[i] == ' ')
		i++;
	size_t first = i;
	/* At most 12 digits: no overflow. */
	for (; i < n && p[i] >= '0' && p[i] <= '7'; i++)
		v = v << 3 | (p[i] - '0');
	bool digits = i > first;
	while (i < n && p[i] == ' ')
		i++;
	if (i < n && p[i])
		return E_FORMAT;
	/* Behind the NUL of a number may be what was there before; of an empty field some readers would take it. */
	for (; i < n && !digits; i++)
		if (p[i] && p[i] != ' ')
			return E_FORMAT;
	*out = (int64_t)v;
	return 0;
}

/* A text field, which ends at a NUL or is full. out has room for one more; n is a constant, so that the copy is a few moves. */
static inline __attribute__((always_inline)) struct span text(const unsigned char *p, size_t n,
							      unsigned char *out)
{
	memcpy(out, p, n);
	out[n] = 0;
	return span_of(out, strlen((char *)out));
}

/*
 * The part of a name that a header keeps apart. GNU headers have none, but writers of Go before 1.8 put it there all the same, where GNU has
 * times: what is no number there, and is text, is theirs. Images of those days are still about.
 */
static size_t prefix_length(const unsigned char *b, enum tar_format format)
{
	const unsigned char *p = b + H_PREFIX;
	size_t max = format == FORMAT_STAR ? 131 : 155, n = 0;
	int64_t number;

	if (format == FORMAT_V7 || !p[0])
		return 0;
	if (format == FORMAT_GNU && !tar_number(p, 12, &number) && !tar_number(p + 12, 12, &number))
		return 0;
	while (n < max && p[n] && (format != FORMAT_GNU || (p[n] >= ' ' && p[n] < 0x7f)))
		n++;
	if (format == FORMAT_GNU && n < max && p[n])
		return 0;
	return n;
}

static void header_name(struct tar *t, enum tar_format format)
{
	size_t prefix = prefix_length(t->block, format);
	struct span s;

	memcpy(t->name, t->block + H_PREFIX, prefix);
	if (prefix)
		t->name[prefix++] = '/';
	s = text(t->block + H_NAME, 100, t->name + prefix);
	t->entry.name = span_of(t->name, prefix + s.n);
}

static int number(struct tar *t, const char *what, size_t at, size_t n, uint64_t max, uint64_t *out)
{
	int64_t v = 0;

	if (tar_number(t->block + at, n, &v))
		return tar_fail(t, E_FORMAT, "%s is no number", what);
	if (v < 0 || (uint64_t)v > max)
		return tar_fail(t, E_FORMAT, "%s is out of range", what);
	*out = (uint64_t)v;
	return 0;
}

static int decode_numbers(struct tar *t, unsigned has)
{
	struct tar_entry *e = &t->entry;
	const struct tar_pax *p = &t->local;
	uint64_t mode;
	int r;

	r = number(t, "mode", H_MODE, 8, INT64_MAX, &mode);
	if (r)
		return r;
	e->mode = mode & 07777;
	/* What PAX says is asked first: the field may not be able to hold it. */
	e->uid = p->uid;
	e->gid = p->gid;
	e->size = p->size;
	e->mtime = p->mtime;
	r = has & PAX_UID ? 0 : number(t, "uid", H_UID, 8, UINT32_MAX - 1, &e->uid);
	if (!r && !(has & PAX_GID))
		r = number(t, "gid", H_GID, 8, UINT32_MAX - 1, &e->gid);
	if (!r && !(has & PAX_SIZE))
		r = number(t, "size", H_SIZE, 12, INT64_MAX, &e->size);
	if (!r && !(has & PAX_MTIME)) {
		e->mtime.nsec = 0;
		if (tar_number(t->block + H_MTIME, 12, &e->mtime.sec))
			r = tar_fail(t, E_FORMAT, "mtime is no number");
	}
	e->has_atime = has & PAX_ATIME;
	e->atime = p->atime;
	return r;
}

static int decode_device(struct tar *t, enum tar_format format)
{
	uint64_t major = 0, minor = 0;
	int r = 0;

	t->entry.dev_major = t->entry.dev_minor = 0;
	if (t->entry.type != TAR_CHAR && t->entry.type != TAR_BLOCK)
		return 0;
	if (format == FORMAT_V7)
		return tar_fail(t, E_FORMAT, "device without a number");
	r = number(t, "device major", H_MAJOR, 8, UINT32_MAX, &major);
	if (!r)
		r = number(t, "device minor", H_MINOR, 8, UINT32_MAX, &minor);
	t->entry.dev_major = (uint32_t)major;
	t->entry.dev_minor = (uint32_t)minor;
	return r;
}

static int decode_type(struct tar *t, enum tar_format format)
{
	static const enum tar_type types[] = {
		['0'] = TAR_FILE,  ['1'] = TAR_HARDLINK, ['2'] = TAR_SYMLINK, ['3'] = TAR_CHAR,
		['4'] = TAR_BLOCK, ['5'] = TAR_DIR,	 ['6'] = TAR_FIFO,    ['7'] = TAR_FILE,
	};
	unsigned char flag = t->block[H_TYPE];
	struct span name = t->entry.name;

	if (flag >= '0' && flag <= '7') {
		t->entry.type = types[flag];
	} else if (flag == 0) {
		/* V7 told a directory by the end of its name. */
		t->entry.type = name.n && name.p[name.n - 1] == '/' ? TAR_DIR : TAR_FILE;
	} else if (flag == 'S' && format == FORMAT_GNU) {
		t->entry.type = TAR_FILE;
	} else {
		return tar_fail(t, E_UNSUPPORTED, "%s: entry of type %s", quoted(name),
				quoted(span_of(&flag, 1)));
	}
	return 0;
}

static int decode_names(struct tar *t, enum tar_format format, unsigned has)
{
	struct tar_entry *e = &t->entry;
	const struct tar_pax *p = &t->local;

	header_name(t, format);
	e->link = text(t->block + H_LINK, 100, t->link);
	if (t->has_long_name)
		e->name = buf_span(&t->long_name);
	if (t->has_long_link)
		e->link = buf_span(&t->long_link);
	/* No writer says it twice, and readers differ in which of the two they take. */
	if (((has & PAX_PATH) && t->has_long_name && !span_eq(p->path, e->name)) ||
	    ((has & PAX_LINK) && t->has_long_link && !span_eq(p->link, e->link)))
		return tar_fail(t, E_FORMAT, "%s: GNU and PAX give different names",
				quoted(e->name));
	if (has & PAX_PATH)
		e->name = p->path;
	if (has & PAX_LINK)
		e->link = p->link;
	if (has & PAX_SPARSE_NAME)
		e->name = p->sparse_name;
	e->uname = e->gname = span_of("", 0);
	if (format != FORMAT_V7) {
		e->uname = text(t->block + H_UNAME, 32, t->uname);
		e->gname = text(t->block + H_GNAME, 32, t->gname);
	}
	if (has & PAX_UNAME)
		e->uname = p->uname;
	if (has & PAX_GNAME)
		e->gname = p->gname;
	return 0;
}

/* Names as the type has them: directories without slashes at the end, links with a target. */
static int check_names(struct tar *t)
{
	struct tar_entry *e = &t->entry;

	if (e->name.n > t->lim.max_name || e->link.n > t->lim.max_name)
		return tar_fail(t, E_TOOBIG, "a name of more than %zu bytes (--max-name)",
				t->lim.max_name);
	if (e->type == TAR_DIR) {
		/* The memory is ours; the slash itself stays a name, and so does the root without one. */
		while (e->name.n > 1 && e->name.p[e->name.n - 1] == '/')
			((unsigned char *)e->name.p)[--e->name.n] = 0;
		if (!e->name.n)
			e->name = SPAN(".");
	}
	if (!e->name.n)
		return tar_fail(t, E_FORMAT, "entry without a name");
	if (e->type != TAR_HARDLINK && e->type != TAR_SYMLINK)
		e->link = span_of("", 0);
	else if (!e->link.n)
		return tar_fail(t, E_FORMAT, "%s: link without a target", quoted(e->name));
	return 0;
}

/*
 * Only files have contents. A size in the header of a hard link is that of the file it names, by some writers, and all readers pass it over; where
 * PAX says it, or another type has it, readers differ, and one archive would be two.
 */
static int check_size(struct tar *t, unsigned has)
{
	struct tar_entry *e = &t->entry;

	if (e->type != TAR_FILE) {
		if (e->size && (e->type != TAR_HARDLINK || (has & PAX_SIZE)))
			return tar_fail(t, E_FORMAT, "%s: contents of what is no file",
					quoted(e->name));
		if (has & PAX_SPARSE)
			return tar_fail(t, E_FORMAT, "%s: a sparse map of what is no file",
					quoted(e->name));
		e->size = 0;
	}
	if (t->lim.max_size && e->size > t->lim.max_size)
		return tar_fail(t, E_TOOBIG, "%s: larger than %llu bytes (--max-file-size)",
				quoted(e->name), (unsigned long long)t->lim.max_size);
	return 0;
}

int tar_decode(struct tar *t)
{
	enum tar_format format = tar_block_format(t->block);
	unsigned has = t->local.has;
	struct tar_entry *e = &t->entry;
	int r;

	r = decode_names(t, format, has);
	if (!r)
		r = decode_type(t, format);
	if (!r)
		r = decode_numbers(t, has);
	if (!r)
		r = decode_device(t, format);
	if (!r)
		r = check_names(t);
	if (!r)
		r = check_size(t, has);
	e->xattrs = t->local.xattrs.v;
	e->xattrs_n = t->local.xattrs.n;
	e->acls = t->local.acls.v;
	e->acls_n = t->local.acls.n;
	e->sparse = false;
	return r;
}
