/* A JSON value, shared by the files that read, change and write it. */
#ifndef OCIBOX_CODEC_JSON_H
#define OCIBOX_CODEC_JSON_H

#include "libcommon/codec.h"

enum json_type {
	JSON_NULL,
	JSON_FALSE,
	JSON_TRUE,
	JSON_NUMBER, /* its text, as it was written */
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

/*
 * What a value takes of memory is what bounds the documents that can be read: 32 bytes with the
 * allocator's own, 24 more of a member, 8 more of an item. Values may stand in several others.
 */
struct json {
	uint32_t refs;
	uint32_t n : 28;       /* bytes, items, members */
	uint32_t type : 3;     /* enum json_type */
	uint32_t own_text : 1; /* it is the value's own, apart from it */
	union {
		const char *text; /* borrowed from the document, or behind the value */
		struct json **items;
		struct json_members *members;
	};
	uint32_t cap; /* of items or members */
};

struct json_member {
	const char *key;
	uint32_t n;
	bool own_key;
	struct json *val;
};

struct json_members {
	struct json_table *table; /* of many: finds one by its key; NULL: not made yet */
	struct json_member v[];
};

enum { JSON_SIZE_MAX = (1 << 28) - 1 };

struct json *json_literal(enum json_type type);
/* A number or a string. borrow: the bytes outlive it. */
struct json *json_of_text(enum json_type type, struct span s, bool borrow);
/* The last item, or a last member of a new name: the container owns val from here. */
void json_add_item(struct json *array, struct json *val);
void json_add_member(struct json *object, struct span key, bool borrow, struct json *val);
bool json_has(const struct json *object, struct span key);
/* No more is added for now: gives back what was kept for that. */
void json_shrink(struct json *v);
struct json *json_container(char kind);

/* Before every value: a comma where one stands before it. */
void json_out_separate(struct json_out *o);

#endif
