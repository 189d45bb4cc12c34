/*
 * Pages of memory, as many as are asked for, of which a bounded number stay in memory: the others
 * lie in an unlinked file. And bytes that are only appended, likewise.
 */
#ifndef OCIBOX_OCI_PAGES_H
#define OCIBOX_OCI_PAGES_H

#include "libcommon/oci.h"

enum { PAGE_BYTES = 4096, PAGES_PINNED = 16 };

/* Errors are sticky: after one, pages are zero and err says it. */
struct pages {
	int err;
	int fd; /* -1: all are in memory */
	uint32_t n;
	uint32_t *frame_of; /* by page: its frame + 1, 0 where it is in the file */
	size_t cap;
	struct frame *frames;
	size_t frames_n, frames_max, hand;
	uint64_t asked; /* how often a page was asked for */
	unsigned char *scratch;
};
void pages_init(struct pages *p, size_t memory);
void pages_release(struct pages *p);
uint32_t page_new(struct pages *p); /* zeroed; the first is page 0 */
/* Its bytes, which stay where they are until PAGES_PINNED others were asked for. */
unsigned char *page_at(struct pages *p, uint32_t page, bool write);

/* Bytes that are appended: in memory up to a bound, then in an unlinked file. */
struct extras {
	struct buf tail;
	uint64_t on_disk;
	int fd; /* -1 at first */
};
int extras_add(struct extras *x, struct span bytes, uint64_t *at);
int extras_read(const struct extras *x, uint64_t at, void *p, size_t n);
/* With its length, so that it is known where it begins alone. */
int extras_add_text(struct extras *x, struct span text, uint64_t *at);
int extras_text(const struct extras *x, uint64_t at, struct buf *out);
void extras_release(struct extras *x);

#endif
