/*
 * What the files of the runtime share among themselves.
 */
#ifndef OCIBOX_RUNTIME_PRIVATE_H
#define OCIBOX_RUNTIME_PRIVATE_H

#include "libcommon/runtime.h"

/* ---- idmap.c ---------------------------------------------------------------------------------- */
/* The text that the kernel and newuidmap's arguments have: "inside outside count\n" each. */
void id_map_text(const struct id_map_entry *map, size_t n, char sep, struct buf *out);
/* Ranges of name (or of its number id) in the text of an /etc/subuid; *n grows. */
void id_map_add_ranges(struct span text, const char *name, uint32_t id, struct id_map_entry *map,
		       size_t *n, size_t max);
/* The lines of a /proc/PID/uid_map; the count, or E_FORMAT. */
int id_map_parse(struct span text, struct id_map_entry *map, size_t max);

/* ---- userns.c --------------------------------------------------------------------------------- */
/* Why the kernel may have refused a user namespace, into *e; returns code. */
int userns_refused(struct err *e, int code);
/* Writes the maps of the process pid, whose user namespace is new, from outside of it. */
int userns_write_maps(pid_t pid, const struct id_maps *m, struct err *e);

/* ---- caps.c ----------------------------------------------------------------------------------- */
/* The capabilities in effect, as bits; 0 where they cannot be read. */
uint64_t caps_effective(void);

#endif
