/* The halves of the bundle reader. */
#ifndef OCIBOX_RUNTIME_BUNDLE_H
#define OCIBOX_RUNTIME_BUNDLE_H

#include "libcommon/runtime.h"

/* What a reader does with members that it does not know or does not do. */
enum member_rule {
	MEMBER_DONE,	 /* it is read elsewhere, or data */
	MEMBER_REFUSED,	 /* the container would not be what was asked for: an error, unless it is
			    empty */
	MEMBER_LEFT_OUT, /* a warning, unless it is empty; also for names that are not in the list
			  */
};
struct member {
	const char *name;
	enum member_rule rule;
};
/* Looks at all members of object v, which messages call where. */
int bundle_members(struct loaded_bundle *b, const struct json *v, const char *where,
		   const struct member *list, size_t n, struct err *e);
/* An id or count: 0 to max, or E_FORMAT that names it. A missing one is dflt. */
int bundle_number(const struct json *v, const char *key, uint64_t max, uint64_t dflt, uint64_t *out,
		  struct err *e);
/* Appends the strings of an array; another type is E_FORMAT. */
int bundle_strings(const struct json *v, const char *key, struct strs *out, struct err *e);
/* Keeps a text as long as b lives. */
const char *bundle_keep(struct loaded_bundle *b, char *text);
int bundle_linux(struct loaded_bundle *b, const struct json *v, struct err *e);
int bundle_mounts(struct loaded_bundle *b, const struct json *v, const char *dir, struct err *e);

#endif
