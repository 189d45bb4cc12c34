/*
 * base: bytes, numbers, quoting, errors, and the kernel constants that old headers lack.
 *
 * Sees nothing but libc. The only thing here that ends the process is want of memory (exit 71).
 */
#ifndef OCIBOX_BASE_H
#define OCIBOX_BASE_H

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "config.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define _printf_(f, a) __attribute__((format(printf, f, a)))
#define _unused_ __attribute__((unused))
#define _noreturn_ __attribute__((noreturn))
/* Runs fn(&variable) when the variable goes out of scope. */
#define _cleanup_(fn) __attribute__((cleanup(fn)))
/* From a pointer to a member to the struct that holds it. */
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))

/* ---- errors ------------------------------------------------------------------------------------------------------------------
 *
 * A function returns 0 (or a count) on success, -errno for a system error, or one of these.
 */
enum {
	E_USAGE = -10001,       /* the caller's words are off                          64 */
	E_FORMAT = -10002,      /* malformed document, archive or name                 65 */
	E_TRUNCATED = -10003,   /* the input ends too early                            65 */
	E_DIGEST = -10004,      /* bytes do not hash to their digest                   65 */
	E_SIZE = -10005,        /* bytes are more or fewer than the descriptor says    65 */
	E_TOOBIG = -10006,      /* a budget is exceeded; err.text names it             65 */
	E_UNSAFE_PATH = -10007, /* a name that would leave its root                    65 */
	E_UNSUPPORTED = -10008, /* well-formed, but not something that we do           65 */
	E_NOT_FOUND = -10009,   /* image, tag, platform, blob that is not there        66 */
	E_EMPTY = -10010,       /* empty input                                         66 */
	E_UNAVAILABLE = -10011, /* DNS, connection, TLS, 5xx after retries             69 */
	E_EXISTS = -10012,      /* target exists, is in use, or no room to create it   73 */
	E_TMPDIR = -10017,      /* there is no directory for temporary files           73 */
	E_IO = -10013,          /* reading or writing failed without an errno          74 */
	E_TRY_LATER = -10014,   /* 429, deadline, throughput floor                     75 */
	E_PROTOCOL = -10015,    /* the other side breaks the protocol                  76 */
	E_AUTH = -10016,        /* 401, 403, refused credentials                       77 */
};

/*
 * What went wrong, in words that the caller could not know: filled once by the function that first sees
 * the fault (the first text wins), worded by cli. Zero-initialise; owns nothing.
 */
struct err {
	int code;       /* what the function returned */
	char text[768]; /* quoted and free of secrets; "" means that the code says it all */
};

/* Records code and text in e (which may be NULL; an e that already holds a fault is left alone); returns code. */
int err_set(struct err *e, int code, const char *fmt, ...) _printf_(3, 4);
/* Puts "prefix: " before the text of e; returns e->code. */
int err_prefix(struct err *e, const char *fmt, ...) _printf_(2, 3);
void err_clear(struct err *e);
/* A few words for -errno or a domain code, such as "digest mismatch". Never NULL; static or thread-local. */
const char *err_word(int code);

/* ---- memory: never fails, ends the process with a message when there is none ---------------------------------------- */
void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) _printf_(1, 2);
void *xmemdup(const void *p, size_t n);

/* _cleanup_(freep) char *s */
void freep(void *pp);
#define steal_ptr(pp) ({ __typeof__(*(pp)) steal_ = *(pp); *(pp) = NULL; steal_; })
#define steal_fd(pp) ({ int steal_ = *(pp); *(pp) = -1; steal_; })

/* ---- span: borrowed bytes ------------------------------------------------------------------------------------------------- */
struct span {
	const unsigned char *p;
	size_t n;
};
#define SPAN(s) ((struct span){ (const unsigned char *)("" s), sizeof(s) - 1 })

struct span span_of(const void *p, size_t n);
struct span span_str(const char *s); /* NULL gives the empty span */
bool span_eq(struct span a, struct span b);
bool span_is(struct span a, const char *s);
bool span_is_nocase(struct span a, const char *s); /* ASCII */
bool span_starts(struct span a, const char *prefix);
bool span_ends(struct span a, const char *suffix);
int span_cmp(struct span a, struct span b); /* by bytes, as memcmp, shorter first */
struct span span_trim(struct span a);       /* without blanks (space, tab, CR, LF) at both ends */
struct span span_tail(struct span a, size_t from);
/* First position of c, or a.n. */
size_t span_find(struct span a, char c);
size_t span_rfind(struct span a, char c);
/* Cuts the part before the first sep off *rest (all of it where there is none); false when *rest is exhausted (p is NULL). */
bool span_cut(struct span *rest, char sep, struct span *part);
char *span_dup(struct span a); /* malloc'd and NUL-terminated */

/* ---- buf: owned bytes, growing ---------------------------------------------------------------------------------------------- */
struct buf {
	unsigned char *p;
	size_t n, cap;
};
#define BUF_INIT ((struct buf){ 0 })

void buf_release(struct buf *b);
void buf_reserve(struct buf *b, size_t more); /* room for more bytes and a NUL after b->n */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_add_span(struct buf *b, struct span s);
void buf_addf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
void buf_vaddf(struct buf *b, const char *fmt, va_list ap);
void buf_clear(struct buf *b); /* keeps the memory */
struct span buf_span(const struct buf *b);
const char *buf_str(struct buf *b);   /* NUL-terminated, valid until the next change */
char *buf_steal_str(struct buf *b);   /* NUL-terminated, the caller's to free; b becomes empty */

/* ---- strs: a NULL-terminated vector of owned strings (argv, envp) -------------------------------------------------------- */
struct strs {
	char **v; /* NULL while empty; else NULL-terminated */
	size_t n, cap;
};
void strs_release(struct strs *s);
void strs_add(struct strs *s, const char *str);
void strs_take(struct strs *s, char *str); /* s owns str from here */
/* For NAME=VALUE vectors: replaces the entry of the same NAME or appends. */
void strs_set_env(struct strs *s, const char *name_value);
const char *strs_get_env(const struct strs *s, const char *name);

/* ---- numbers: the whole text must be one; no sign, no blanks, no leading "+", "0x" ------------------------------- */
int num_u64(struct span s, uint64_t max, uint64_t *out);     /* decimal; -EINVAL, -ERANGE over max */
int num_octal(struct span s, uint64_t max, uint64_t *out);
int num_hex(struct span s, unsigned char *out, size_t n);    /* exactly 2n lower-case digits into n bytes */
void num_to_hex(const unsigned char *p, size_t n, char *out); /* 2n + 1 bytes written */
int num_size(struct span s, uint64_t *out);                  /* 512, 64k, 16M, 2G (powers of 1024, with or without B/iB) */
int num_duration_ms(struct span s, uint64_t *out);           /* 10, 2.5s, 500ms, 3m, 1h; a bare number is seconds */
/* "1.5 MB"-like figure in powers of 1000 for people, into a caller's buffer of at least 16 bytes; returns it. */
char *num_human(uint64_t bytes, char *out);

/* ---- text for people ---------------------------------------------------------------------------------------------------------- */
/* Appends s with control bytes and invalid UTF-8 as \xNN and backslash doubled, cut at max bytes with "...". */
void buf_add_quoted(struct buf *b, struct span s, size_t max);
/* The same into one of 8 thread-local buffers of 512 bytes, for use in a message. */
const char *quoted(struct span s);
const char *quoted_str(const char *s);
bool utf8_valid(struct span s);

/* ---- globs ------------------------------------------------------------------------------------------------------------------------
 * tar's --exclude: *, ?, [...]; matches the whole path or any trailing part that begins after a "/"; "*" matches "/" too. One that
 * begins with "/" or "./" matches the whole path only. */
bool glob_excludes(const char *pattern, struct span path);
/* Does any of them, up to a NULL (or none at all), match path or a directory that it is in? */
bool globs_exclude(const char *const *patterns, struct span path);

/* ---- clocks ------------------------------------------------------------------------------------------------------------------------ */
uint64_t clock_ms(void);       /* monotonic, milliseconds */
uint64_t clock_us(void);       /* monotonic, microseconds */

/* ---- a set of 64-bit keys, open addressing, no malloc per key ---------------------------------------------------------- */
struct set64 {
	uint64_t *v;
	size_t n, cap;
	bool has_zero;
};
void set64_release(struct set64 *s);
bool set64_has(const struct set64 *s, uint64_t key);
bool set64_add(struct set64 *s, uint64_t key); /* true when new */
void set64_clear(struct set64 *s);
/* SipHash-2-4 of bytes under a key of 16 bytes: for tables whose keys a stranger chooses. */
uint64_t siphash(const unsigned char key[16], const void *p, size_t n);
/* 0, or -errno: n random bytes by getrandom, /dev/urandom, or AT_RANDOM mixed with clocks early in boot. */
int random_bytes(void *p, size_t n);

/* ---- kernel interfaces newer than the headers we may be built with ------------------------------------------------------ */
int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve); /* fd or -errno */
int sys_close_range(unsigned first, unsigned last, unsigned flags);                            /* 0 or -errno; falls back to a loop */
int sys_fchmodat2(int dirfd, const char *path, mode_t mode, int flags);                        /* 0 or -errno */

#ifndef RESOLVE_NO_XDEV
#define RESOLVE_NO_XDEV 0x01
#define RESOLVE_NO_MAGICLINKS 0x02
#define RESOLVE_NO_SYMLINKS 0x04
#define RESOLVE_BENEATH 0x08
#define RESOLVE_IN_ROOT 0x10
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

#endif
