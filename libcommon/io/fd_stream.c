/* Streams and sinks on descriptors. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "libcommon/io.h"

#ifndef F_SETPIPE_SZ
#define F_SETPIPE_SZ 1031
#endif

struct fd_stream {
	struct stream s;
	int fd;
	bool own;
	bool positioned; /* a stretch of a file, by pread */
	uint64_t at, left;
	unsigned char *buf;
};

/* A read that may last for ever, and that closing a read-ahead stream ends. */
static ssize_t read_patiently(int fd, unsigned char *buf, size_t n)
{
	int state;
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
	ssize_t r = read(fd, buf, n);
	pthread_setcancelstate(state, NULL);
	return r;
}

static size_t fd_read_some(struct fd_stream *f, unsigned char *buf, size_t n)
{
	if (f->positioned)
		n = (size_t)MIN((uint64_t)n, f->left);
	if (!n) {
		f->s.eof = true;
		return 0;
	}
	ssize_t r;
	do
		r = f->positioned ? pread(f->fd, buf, n, (off_t)f->at)
				  : read_patiently(f->fd, buf, n);
	while (r < 0 && errno == EINTR);
	if (r < 0) {
		stream_fail(&f->s, -errno);
		return 0;
	}
	if (r == 0) {
		if (f->positioned)
			stream_fail(&f->s, E_TRUNCATED);
		else
			f->s.eof = true;
		return 0;
	}
	f->at += (uint64_t)r;
	f->left -= (uint64_t)r;
	return (size_t)r;
}

static void fd_fill(struct stream *s)
{
	struct fd_stream *f = (struct fd_stream *)s;
	if (!f->buf)
		f->buf = xmalloc(STREAM_WINDOW);
	size_t n = fd_read_some(f, f->buf, STREAM_WINDOW);
	s->pos = f->buf;
	s->end = f->buf + n;
}

static size_t fd_pull(struct stream *s, unsigned char *buf, size_t n)
{
	/* A small request (a tar header) must not become a system call of its own. */
	if (n < STREAM_WINDOW / 4) {
		struct span w = stream_fill(s);
		w.n = MIN(w.n, n);
		if (w.n)
			memcpy(buf, w.p, w.n);
		s->pos += w.n;
		return w.n;
	}
	return fd_read_some((struct fd_stream *)s, buf, n);
}

static uint64_t fd_drop(struct stream *s, uint64_t n)
{
	struct fd_stream *f = (struct fd_stream *)s;
	if (!f->positioned)
		return 0;
	n = MIN(n, f->left);
	f->at += n;
	f->left -= n;
	return n;
}

static void fd_stream_close(struct stream *s)
{
	struct fd_stream *f = (struct fd_stream *)s;
	if (f->own)
		fd_close(f->fd);
	free(f->buf);
	free(f);
}

static const struct stream_ops fd_ops = {
	.fill = fd_fill, .close = fd_stream_close, .drop = fd_drop, .pull = fd_pull
};

struct stream *stream_from_fd(int fd, bool own)
{
	struct fd_stream *f = xcalloc(1, sizeof(*f));
	f->s.ops = &fd_ops;
	f->fd = fd;
	f->own = own;
	fcntl(fd, F_SETPIPE_SZ,
	      1 << 20); /* fails where fd is no pipe, or where the user has his share: then as it is */
	return &f->s;
}

struct stream *stream_from_file(int fd, uint64_t offset, uint64_t length)
{
	struct fd_stream *f = xcalloc(1, sizeof(*f));
	f->s.ops = &fd_ops;
	f->fd = fd;
	f->positioned = true;
	f->at = offset;
	f->left = length;
	return &f->s;
}

/* ---- sinks ---- */

void sink_write(struct sink *s, struct span data)
{
	if (s->err || !data.n)
		return;
	s->offset += data.n;
	s->ops->write(s, data);
}

int sink_flush(struct sink *s)
{
	if (!s->err && s->ops->flush)
		s->ops->flush(s);
	return s->err;
}

void sink_close(struct sink *s)
{
	if (!s)
		return;
	sink_flush(s);
	s->ops->close(s);
}

void sink_closep(struct sink **s)
{
	sink_close(*s);
}

int sink_copy(struct sink *s, struct stream *src)
{
	for (struct span w = stream_peek(src); w.n && !s->err; w = stream_peek(src)) {
		sink_write(s, w);
		stream_skip(src, w.n);
	}
	return s->err ? s->err : src->err;
}

enum { GATHER = 64 * 1024 };

struct fd_sink {
	struct sink s;
	int fd;
	bool own;
	size_t n;
	unsigned char buf[GATHER];
};

/* What was gathered, then data, in one system call where the kernel takes it. */
static void fd_sink_out(struct fd_sink *f, struct span data)
{
	struct iovec iov[2] = { { f->buf, f->n }, { (void *)data.p, data.n } };
	int first = f->n ? 0 : 1;
	f->n = 0;
	while (first < 2) {
		ssize_t r = writev(f->fd, iov + first, 2 - first);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			f->s.err = -errno;
			return;
		}
		size_t n = (size_t)r;
		while (first < 2 && n >= iov[first].iov_len)
			n -= iov[first++].iov_len;
		if (first < 2) {
			iov[first].iov_base = (char *)iov[first].iov_base + n;
			iov[first].iov_len -= n;
		}
	}
}

static void fd_sink_write(struct sink *s, struct span data)
{
	struct fd_sink *f = (struct fd_sink *)s;
	if (data.n < GATHER - f->n) {
		memcpy(f->buf + f->n, data.p, data.n);
		f->n += data.n;
		return;
	}
	fd_sink_out(f, data);
}

static void fd_sink_flush(struct sink *s)
{
	fd_sink_out((struct fd_sink *)s, (struct span){ 0 });
}

static void fd_sink_close(struct sink *s)
{
	struct fd_sink *f = (struct fd_sink *)s;
	if (f->own)
		fd_close(f->fd);
	free(f);
}

static const struct sink_ops fd_sink_ops = { .write = fd_sink_write,
					     .flush = fd_sink_flush,
					     .close = fd_sink_close };

struct sink *sink_from_fd(int fd, bool own)
{
	struct fd_sink *f = xmalloc(sizeof(*f));
	f->s = (struct sink){ .ops = &fd_sink_ops };
	f->fd = fd;
	f->own = own;
	f->n = 0;
	fcntl(fd, F_SETPIPE_SZ, 1 << 20);
	return &f->s;
}
