/* Pages: a clock decides which leave the memory. */
#include "libcommon/oci/pages.h"

#include <stdlib.h>
#include <string.h>

struct frame {
	unsigned char *bytes;
	uint32_t page;
	uint64_t asked; /* when it was last */
	bool dirty, used;
};

void pages_init(struct pages *p, size_t memory)
{
	*p = (struct pages){ .fd = -1 };
	p->frames_max = MAX(memory / PAGE_BYTES, (size_t)4 * PAGES_PINNED);
	p->frames = xcalloc(p->frames_max, sizeof(*p->frames));
	p->scratch = xmalloc(PAGE_BYTES);
}

void pages_release(struct pages *p)
{
	for (size_t i = 0; i < p->frames_n; i++)
		free(p->frames[i].bytes);
	free(p->frames);
	free(p->frame_of);
	free(p->scratch);
	fd_close(p->fd);
	*p = (struct pages){ .fd = -1 };
}

static void fail(struct pages *p, int code)
{
	if (!p->err)
		p->err = code;
}

static void write_out(struct pages *p, struct frame *f)
{
	if (p->fd < 0) {
		p->fd = spool_open();
		if (p->fd < 0) {
			fail(p, p->fd);
			return;
		}
	}
	int r = fd_pwrite_all(p->fd, f->bytes, PAGE_BYTES, (uint64_t)f->page * PAGE_BYTES);
	if (r < 0)
		fail(p, r);
}

/* A frame for a page that has none. */
static struct frame *take_frame(struct pages *p)
{
	if (p->frames_n < p->frames_max) {
		struct frame *f = &p->frames[p->frames_n++];

		f->bytes = xmalloc(PAGE_BYTES);
		return f;
	}
	for (;;) {
		struct frame *f = &p->frames[p->hand];

		p->hand = (p->hand + 1) % p->frames_n;
		if (f->asked + PAGES_PINNED >= p->asked)
			continue;
		if (f->used) {
			f->used = false;
			continue;
		}
		if (f->dirty)
			write_out(p, f);
		p->frame_of[f->page] = 0;
		return f;
	}
}

static unsigned char *zeroed(struct pages *p)
{
	return memset(p->scratch, 0, PAGE_BYTES);
}

static struct frame *bring_in(struct pages *p, uint32_t page)
{
	struct frame *f = take_frame(p);

	f->page = page;
	f->dirty = false;
	p->frame_of[page] = (uint32_t)(f - p->frames) + 1;
	return f;
}

unsigned char *page_at(struct pages *p, uint32_t page, bool write)
{
	if (p->err || page >= p->n) {
		fail(p, E_IO);
		return zeroed(p);
	}
	p->asked++;
	uint32_t at = p->frame_of[page];
	struct frame *f = at ? &p->frames[at - 1] : bring_in(p, page);
	if (!at) {
		ssize_t r = fd_pread_full(p->fd, f->bytes, PAGE_BYTES, (uint64_t)page * PAGE_BYTES);

		if (r != PAGE_BYTES)
			fail(p, r < 0 ? (int)r : E_IO);
	}
	f->asked = p->asked;
	f->used = true;
	f->dirty |= write;
	return p->err ? zeroed(p) : f->bytes;
}

uint32_t page_new(struct pages *p)
{
	if (p->n == UINT32_MAX)
		fail(p, E_TOOBIG);
	if (p->err)
		return 0;
	if (p->n == p->cap) {
		p->cap = p->cap ? 2 * p->cap : 256;
		p->frame_of = xrealloc(p->frame_of, p->cap * sizeof(*p->frame_of));
	}
	p->frame_of[p->n] = 0;
	p->asked++;
	struct frame *f = bring_in(p, p->n++);
	memset(f->bytes, 0, PAGE_BYTES);
	f->asked = p->asked;
	f->used = f->dirty = true;
	return f->page;
}
