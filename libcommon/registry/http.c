/*
 * HTTP/1.1 messages. A response is parsed strictly: one reader of a byte stream and the next must
 * not disagree where a message ends, so whatever leaves that open (both lengths, odd transfer
 * codings, folded lines, bare CR or LF) breaks the protocol.
 */
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/internal.h"

enum { INTERIM_MAX = 16, CHUNK_LINE_MAX = 4096 };

enum chunk_state {
	CHUNK_SIZE,
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_TRAILER,
	CHUNK_TRAILER_LF,
	CHUNK_LAST_LF,
	CHUNK_OVER,
};

void http_response_init(struct http_response *r, const char *method)
{
	memset(r, 0, sizeof(*r));
	r->to_head = strcmp(method, "HEAD") == 0;
	r->tunnel = strcmp(method, "CONNECT") == 0;
}

void http_response_release(struct http_response *r)
{
	buf_release(&r->head);
}

static bool is_token(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

static int broken(struct err *e, const char *what)
{
	return err_set(e, E_PROTOCOL, "HTTP response: %s", what);
}

static int status_line(struct http_response *r, struct span line, struct err *e)
{
	uint64_t status;

	if (line.n < 12 || !span_starts(line, "HTTP/"))
		return broken(e, "this is not HTTP");
	if (!span_starts(line, "HTTP/1.") || line.p[7] < '0' || line.p[7] > '9' || line.p[8] != ' ')
		return err_set(e, E_PROTOCOL, "HTTP response: not version 1: \"%s\"",
			       quoted(span_of(line.p, 8)));
	r->http10 = line.p[7] == '0';
	if (num_u64(span_of(line.p + 9, 3), 599, &status) < 0 || status < 100 ||
	    (line.n > 12 && line.p[12] != ' '))
		return err_set(e, E_PROTOCOL, "HTTP response: not a status: \"%s\"", quoted(line));
	r->status = (unsigned)status;
	return 0;
}

static int field_line(struct span line, struct err *e)
{
	size_t colon = span_find(line, ':');

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return broken(e, "a folded field line");
	if (colon == 0 || colon == line.n)
		return err_set(e, E_PROTOCOL, "HTTP response: not a field: \"%s\"", quoted(line));
	for (size_t i = 0; i < colon; i++)
		if (!is_token(line.p[i]))
			return err_set(e, E_PROTOCOL, "HTTP response: not a field: \"%s\"",
				       quoted(line));
	return 0;
}

struct span http_response_field(const struct http_response *r, const char *name, unsigned nth)
{
	size_t at = 0;

	while (at < r->head.n) {
		struct span line = span_str((const char *)r->head.p + at);
		size_t colon = span_find(line, ':');

		at += line.n + 1;
		if (colon < line.n && span_is_nocase(span_of(line.p, colon), name) && nth-- == 0)
			return span_trim(span_tail(line, colon + 1));
	}
	return (struct span){ NULL, 0 };
}

static bool list_has(const struct http_response *r, const char *name, const char *word)
{
	for (unsigned i = 0;; i++) {
		struct span value = http_response_field(r, name, i), part;

		if (!value.p)
			return false;
		while (span_cut(&value, ',', &part))
			if (span_is_nocase(span_trim(part), word))
				return true;
	}
}

/* Content-Length: one number, or the same again. */
static int content_length(struct http_response *r, struct err *e)
{
	bool found = false;

	for (unsigned i = 0;; i++) {
		struct span value = http_response_field(r, "Content-Length", i), part;
		uint64_t n;

		if (!value.p)
			break;
		while (span_cut(&value, ',', &part)) {
			if (num_u64(span_trim(part), INT64_MAX, &n) < 0)
				return broken(e, "Content-Length is no number");
			if (found && n != r->left)
				return broken(e, "two values of Content-Length");
			found = true;
			r->left = n;
		}
	}
	return found;
}

static int framing(struct http_response *r, struct err *e)
{
	struct span coding = http_response_field(r, "Transfer-Encoding", 0);
	int length = content_length(r, e);

	if (length < 0)
		return length;
	r->keep_alive = !r->http10 && !list_has(r, "Connection", "close");
	if (r->to_head || r->status == 204 || r->status == 304 || (r->tunnel && r->status < 300)) {
		r->framing = HTTP_NO_BODY;
		r->left = 0;
		return 0;
	}
	if (coding.p) {
		if (length || r->http10 || http_response_field(r, "Transfer-Encoding", 1).p)
			return broken(e, "Transfer-Encoding where it must not be");
		if (!span_is_nocase(coding, "chunked"))
			return err_set(e, E_PROTOCOL,
				       "HTTP response: transfer coding \"%s\" is not known",
				       quoted(coding));
		r->framing = HTTP_CHUNKED;
		return 0;
	}
	if (length) {
		r->framing = HTTP_LENGTH;
		return 0;
	}
	r->framing = HTTP_TO_CLOSE;
	r->keep_alive = false;
	return 0;
}

/* The blank line: the head is there, unless it was an interim one. */
static int head_ends(struct http_response *r, struct err *e)
{
	if (r->status >= 200) {
		r->complete = true;
		return framing(r, e);
	}
	if (r->status == 101)
		return broken(e, "it switches protocols unasked");
	if (++r->interim > INTERIM_MAX)
		return broken(e, "too many interim responses");
	r->status = 0;
	buf_clear(&r->head);
	r->line = 0;
	return 0;
}

static int line_ends(struct http_response *r, struct err *e)
{
	struct span line = span_tail(buf_span(&r->head), r->line);
	int ret;

	if (line.n == 0)
		return r->status ? head_ends(r, e) : broken(e, "it begins with an empty line");
	ret = r->status ? field_line(line, e) : status_line(r, line, e);
	buf_addc(&r->head, 0);
	r->line = r->head.n;
	return ret;
}

ssize_t http_response_head(struct http_response *r, struct span in, struct err *e)
{
	for (size_t i = 0; i < in.n && !r->complete; i++) {
		unsigned char c = in.p[i];
		int ret = 0;

		if (++r->seen > HTTP_HEAD_MAX)
			return err_set(e, E_PROTOCOL,
				       "HTTP response: the head is larger than %d bytes",
				       HTTP_HEAD_MAX);
		if (r->cr) {
			r->cr = false;
			ret = c == '\n' ? line_ends(r, e) : broken(e, "a bare CR in the head");
		} else if (c == '\r') {
			r->cr = true;
		} else if ((c < ' ' && c != '\t') || c == 0x7f) {
			/* the first bytes tell that something else than HTTP is spoken */
			ret = broken(e,
				     r->status ? "a control byte in the head" : "this is not HTTP");
		} else {
			buf_addc(&r->head, (char)c);
			if (!r->status && r->head.n <= 5 &&
			    c != (unsigned char)"HTTP/"[r->head.n - 1])
				ret = broken(e, "this is not HTTP");
		}
		if (ret < 0)
			return ret;
		if (r->complete)
			return (ssize_t)i + 1;
	}
	return r->complete ? 0 : (ssize_t)in.n;
}

static int hex_value(unsigned char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int chunk_size(struct http_response *r, unsigned char c, struct err *e)
{
	int v = hex_value(c);

	if (v >= 0) {
		if (++r->line_n > 15)
			return broken(e, "a chunk's size is out of range");
		r->left = r->left << 4 | (unsigned)v;
		return 0;
	}
	if (r->line_n == 0 || (c != '\r' && c != ';' && c != ' ' && c != '\t'))
		return broken(e, "a chunk's size is no number");
	r->chunk_state = c == '\r' ? CHUNK_SIZE_LF : CHUNK_EXTENSION;
	return 0;
}

/* One byte of framing. */
static int chunk_byte(struct http_response *r, unsigned char c, struct err *e)
{
	switch ((enum chunk_state)r->chunk_state) {
	case CHUNK_SIZE:
		return chunk_size(r, c, e);
	case CHUNK_EXTENSION:
		if (++r->line_n > CHUNK_LINE_MAX)
			return broken(e, "a chunk's line is too long");
		if (c == '\r')
			r->chunk_state = CHUNK_SIZE_LF;
		else if ((c < ' ' && c != '\t') || c == 0x7f)
			return broken(e, "a control byte in a chunk's line");
		return 0;
	case CHUNK_SIZE_LF:
		r->chunk_state = r->left ? CHUNK_DATA : CHUNK_TRAILER;
		r->line_n = 0;
		return c == '\n' ? 0 : broken(e, "a chunk's line does not end in CR LF");
	case CHUNK_DATA_CR:
		r->chunk_state = CHUNK_DATA_LF;
		return c == '\r' ? 0 : broken(e, "a chunk does not end where it should");
	case CHUNK_DATA_LF:
		r->chunk_state = CHUNK_SIZE;
		r->line_n = 0;
		return c == '\n' ? 0 : broken(e, "a chunk does not end where it should");
	case CHUNK_TRAILER:
		if (++r->seen > HTTP_HEAD_MAX)
			return broken(e, "the trailers are too long");
		if (c == '\r')
			r->chunk_state = r->line_n ? CHUNK_TRAILER_LF : CHUNK_LAST_LF;
		else if ((c < ' ' && c != '\t') || c == 0x7f)
			return broken(e, "a control byte in a trailer");
		r->line_n = 1;
		return 0;
	case CHUNK_TRAILER_LF:
		r->chunk_state = CHUNK_TRAILER;
		r->line_n = 0;
		return c == '\n' ? 0 : broken(e, "a trailer does not end in CR LF");
	case CHUNK_LAST_LF:
		r->chunk_state = CHUNK_OVER;
		return c == '\n' ? 0 : broken(e, "the last chunk does not end in CR LF");
	case CHUNK_DATA:
	case CHUNK_OVER:
		break;
	}
	return 0;
}

static int chunked_body(struct http_response *r, struct span in, size_t *skip, size_t *data,
			struct err *e)
{
	size_t i = 0;

	while (i < in.n && r->chunk_state != CHUNK_DATA && r->chunk_state != CHUNK_OVER) {
		int ret = chunk_byte(r, in.p[i++], e);

		if (ret < 0)
			return ret;
	}
	*skip = i;
	if (r->chunk_state == CHUNK_OVER)
		return 0;
	if (r->chunk_state == CHUNK_DATA) {
		*data = (size_t)MIN(r->left, in.n - i);
		r->left -= *data;
		if (r->left == 0)
			r->chunk_state = CHUNK_DATA_CR;
	}
	return 1;
}

int http_response_body(struct http_response *r, struct span in, size_t *skip, size_t *data,
		       struct err *e)
{
	*skip = *data = 0;
	switch (r->framing) {
	case HTTP_NO_BODY:
		return 0;
	case HTTP_LENGTH:
		if (r->left == 0)
			return 0;
		*data = (size_t)MIN(r->left, in.n);
		r->left -= *data;
		return 1;
	case HTTP_CHUNKED:
		return chunked_body(r, in, skip, data, e);
	case HTTP_TO_CLOSE:
		*data = in.n;
		return 1;
	}
	return 0;
}

int http_response_end(const struct http_response *r)
{
	bool whole = r->complete && (r->framing == HTTP_TO_CLOSE || r->framing == HTTP_NO_BODY ||
				     (r->framing == HTTP_LENGTH && r->left == 0) ||
				     (r->framing == HTTP_CHUNKED && r->chunk_state == CHUNK_OVER));

	return whole ? 0 : E_TRUNCATED;
}

static void field_add(struct buf *b, const char *name, const char *value)
{
	if (!value)
		return;
	buf_adds(b, name);
	buf_adds(b, ": ");
	buf_adds(b, value);
	buf_adds(b, "\r\n");
}

void http_request_write(struct buf *b, const struct http_request *q, const struct url *u,
			bool absolute, const char *proxy_authorization)
{
	char text[ORIGIN_TEXT_MAX];

	buf_adds(b, q->method);
	buf_addc(b, ' ');
	if (absolute)
		buf_adds(b, origin_text(&u->origin, text));
	buf_adds(b, u->target);
	buf_adds(b, " HTTP/1.1\r\n");
	field_add(b, "Host", origin_authority(&u->origin, text));
	field_add(b, "User-Agent", "ocibox");
	field_add(b, "Accept", q->accept);
	/* the bytes of a blob are hashed as they come: no coding on top of them */
	field_add(b, "Accept-Encoding", "identity");
	field_add(b, "Authorization", q->authorization);
	field_add(b, "Proxy-Authorization", proxy_authorization);
	if (q->from)
		buf_addf(b, "Range: bytes=%llu-\r\n", (unsigned long long)q->from);
	field_add(b, "If-Range", q->from ? q->if_range : NULL);
	if (q->if_match)
		field_add(b, *q->if_match ? "If-Match" : "If-None-Match",
			  *q->if_match ? q->if_match : "*");
	field_add(b, "Content-Type", q->content_type);
	if (q->ranged && q->file->length)
		buf_addf(b, "Content-Range: %llu-%llu\r\n", (unsigned long long)q->first,
			 (unsigned long long)(q->first + q->file->length - 1));
	if (q->file || q->body.p)
		buf_addf(b, "Content-Length: %llu\r\n",
			 (unsigned long long)(q->file ? q->file->length : q->body.n));
	buf_adds(b, "\r\n");
	buf_add_span(b, q->body);
}
