/* JSON values: looked up, made and changed. */
#include "libcommon/codec/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Members beyond these are found by a table. */
enum { FEW = 16 };

/* ---- values ---- */

struct json *json_literal(enum json_type type)
{
	static struct json literals[] = {
		[JSON_NULL] = { .refs = UINT32_MAX, .type = JSON_NULL },
		[JSON_FALSE] = { .refs = UINT32_MAX, .type = JSON_FALSE },
		[JSON_TRUE] = { .refs = UINT32_MAX, .type = JSON_TRUE },
	};

	return &literals[type];
}

struct json *json_of_text(enum json_type type, struct span s, bool borrow)
{
	if (s.n > JSON_SIZE_MAX)
		s.n = JSON_SIZE_MAX;
	struct json *v = xcalloc(1, sizeof(*v) + (borrow ? 0 : s.n + 1));

	v->refs = 1;
	v->type = type;
	v->n = (uint32_t)s.n;
	v->text = borrow ? (const char *)s.p : (char *)(v + 1);
	if (!borrow && s.n)
		memcpy(v + 1, s.p, s.n);
	return v;
}

struct json *json_container(char kind)
{
	struct json *v = xcalloc(1, sizeof(*v));

	v->refs = 1;
	v->type = kind == '{' ? JSON_OBJECT : JSON_ARRAY;
	return v;
}

static void free_member(struct json_member *m)
{
	if (m->own_key)
		free((char *)m->key);
	json_free(m->val);
}

void json_free(struct json *v)
{
	if (!v || v->refs == UINT32_MAX || --v->refs)
		return;
	if (v->type == JSON_ARRAY) {
		for (size_t i = 0; i < v->n; i++)
			json_free(v->items[i]);
		free(v->items);
	} else if (v->type == JSON_OBJECT && v->members) {
		for (size_t i = 0; i < v->n; i++)
			free_member(&v->members->v[i]);
		free(v->members->table);
		free(v->members);
	} else if (v->own_text) {
		free((char *)v->text);
	}
	free(v);
}

void json_freep(struct json **doc)
{
	json_free(*doc);
}

struct json *json_share(const struct json *shared)
{
	struct json *v = (struct json *)shared;

	if (v->refs != UINT32_MAX)
		v->refs++;
	return v;
}

/* ---- members ---- */

/* Strangers choose the keys: under a secret of ours they cannot make them meet. */
struct json_table {
	unsigned char secret[16];
	size_t mask;
	uint32_t at[]; /* where a member is + 1, or 0 */
};

static struct span key_of(const struct json_member *m)
{
	return span_of(m->key, m->n);
}

/* The slot that has key, or the free one for it. */
static uint32_t *slot(const struct json_members *m, struct span key)
{
	struct json_table *t = m->table;
	size_t i = siphash(t->secret, key.p, key.n) & t->mask;

	while (t->at[i] && !span_eq(key_of(&m->v[t->at[i] - 1]), key))
		i = (i + 1) & t->mask;
	return &t->at[i];
}

static void make_table(struct json_members *m, size_t n)
{
	size_t slots = 4 * FEW;

	while (slots < 2 * n)
		slots *= 2;
	m->table = xcalloc(1, sizeof(*m->table) + slots * sizeof(m->table->at[0]));
	m->table->mask = slots - 1;
	random_bytes(m->table->secret, sizeof(m->table->secret));
	for (size_t i = 0; i < n; i++)
		*slot(m, key_of(&m->v[i])) = (uint32_t)i + 1;
}

static void drop_table(struct json_members *m)
{
	free(m->table);
	m->table = NULL;
}

static struct json_member *find(const struct json *v, struct span key)
{
	struct json_members *m;

	if (!json_is_object(v) || !v->n)
		return NULL;
	m = v->members;
	if (v->n <= FEW) {
		for (size_t i = 0; i < v->n; i++)
			if (span_eq(key_of(&m->v[i]), key))
				return &m->v[i];
		return NULL;
	}
	if (!m->table)
		make_table(m, v->n);
	uint32_t at = *slot(m, key);
	return at ? &m->v[at - 1] : NULL;
}

bool json_has(const struct json *object, struct span key)
{
	return find(object, key);
}

static void resize(struct json *v, size_t cap)
{
	bool had = v->items;

	if (v->type == JSON_OBJECT) {
		v->members =
			xrealloc(v->members, sizeof(*v->members) + cap * sizeof(v->members->v[0]));
		if (!had)
			*v->members = (struct json_members){ 0 };
	} else {
		v->items = xrealloc(v->items, cap * sizeof(v->items[0]));
	}
	v->cap = (uint32_t)cap;
}

static void grow(struct json *v)
{
	if (v->n == v->cap)
		resize(v, v->cap ? v->cap + v->cap / 2 + 1 : 3);
}

void json_shrink(struct json *v)
{
	/* most are not looked into */
	if (v->type == JSON_OBJECT && v->members)
		drop_table(v->members);
	if (v->n < v->cap)
		resize(v, v->n);
}

void json_add_item(struct json *array, struct json *val)
{
	grow(array);
	array->items[array->n++] = val;
}

void json_add_member(struct json *object, struct span key, bool borrow, struct json *val)
{
	grow(object);
	struct json_members *m = object->members;
	m->v[object->n] = (struct json_member){
		.key = borrow ? (const char *)key.p : span_dup(key),
		.n = (uint32_t)key.n,
		.own_key = !borrow,
		.val = val,
	};
	if (m->table && 2 * ((size_t)object->n + 1) <= m->table->mask)
		*slot(m, key) = object->n + 1u;
	else
		drop_table(m);
	object->n++;
}

/* ---- look-ups ---- */

const struct json *json_get(const struct json *v, const char *key)
{
	const struct json_member *m = find(v, span_str(key));

	return m ? m->val : NULL;
}

bool json_is_object(const struct json *v)
{
	return v && v->type == JSON_OBJECT;
}

bool json_is_array(const struct json *v)
{
	return v && v->type == JSON_ARRAY;
}

bool json_is_string(const struct json *v)
{
	return v && v->type == JSON_STRING;
}

bool json_is_null(const struct json *v)
{
	return v && v->type == JSON_NULL;
}

bool json_str(const struct json *v, struct span *out)
{
	if (!json_is_string(v))
		return false;
	*out = span_of(v->text, v->n);
	return true;
}

const char *json_cstr(const struct json *v)
{
	struct json *own = (struct json *)v;

	if (!json_is_string(v))
		return NULL;
	/* what is borrowed ends with a quote */
	if (!v->own_text && v->text != (const char *)(v + 1)) {
		own->text = xstrndup(v->text, v->n);
		own->own_text = true;
	}
	return v->text;
}

bool json_i64(const struct json *v, int64_t *out)
{
	uint64_t n;

	if (!v || v->type != JSON_NUMBER)
		return false;
	struct span s = span_of(v->text, v->n);
	bool minus = span_starts(s, "-");
	if (num_u64(span_tail(s, minus), (uint64_t)INT64_MAX + minus, &n) < 0)
		return false;
	*out = minus ? (int64_t)(0 - n) : (int64_t)n;
	return true;
}

bool json_bool(const struct json *v, bool dflt)
{
	if (v && v->type == JSON_TRUE)
		return true;
	return v && v->type == JSON_FALSE ? false : dflt;
}

size_t json_len(const struct json *v)
{
	return json_is_array(v) || json_is_object(v) ? v->n : 0;
}

const struct json *json_at(const struct json *v, size_t i)
{
	return json_is_array(v) && i < v->n ? v->items[i] : NULL;
}

bool json_next(const struct json *v, void **it, struct span *key, const struct json **val)
{
	size_t i = (uintptr_t)*it;

	if (!json_is_object(v) || i >= v->n)
		return false;
	*key = key_of(&v->members->v[i]);
	*val = v->members->v[i].val;
	*it = (void *)(uintptr_t)(i + 1);
	return true;
}

/* ---- values that are changed ---- */

struct json *json_clone(const struct json *v)
{
	struct json *copy;

	if (!json_is_array(v) && !json_is_object(v))
		return v ? json_share(v) : NULL;
	copy = json_container(json_is_object(v) ? '{' : '[');
	if (v->n)
		resize(copy, v->n);
	for (size_t i = 0; i < v->n; i++) {
		if (json_is_array(v)) {
			json_add_item(copy, json_share(v->items[i]));
			continue;
		}
		struct json_member *m = &v->members->v[i];
		json_add_member(copy, key_of(m), !m->own_key, json_share(m->val));
	}
	return copy;
}

struct json *json_copy(const struct json *v)
{
	struct json *copy;

	if (!v || v->type < JSON_NUMBER)
		return v ? json_share(v) : NULL;
	if (v->type < JSON_ARRAY)
		return json_of_text(v->type, span_of(v->text, v->n), false);
	copy = json_container(json_is_object(v) ? '{' : '[');
	for (size_t i = 0; i < v->n; i++)
		if (json_is_array(v))
			json_add_item(copy, json_copy(v->items[i]));
		else
			json_add_member(copy, key_of(&v->members->v[i]), false,
					json_copy(v->members->v[i].val));
	return copy;
}

struct json *json_edit(struct json *object, const char *key)
{
	struct json_member *m = find(object, span_str(key));

	if (!m)
		return NULL;
	if (m->val->refs > 1 && json_len(m->val) + json_is_array(m->val) + json_is_object(m->val)) {
		struct json *shared = m->val;

		m->val = json_clone(shared);
		json_free(shared);
	}
	return m->val;
}

struct json *json_new(char kind)
{
	return json_container(kind);
}

struct json *json_new_str(struct span s)
{
	if (!utf8_valid(s) || span_find(s, '\0') < s.n)
		return NULL;
	return json_of_text(JSON_STRING, s, false);
}

struct json *json_new_i64(int64_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, n);
	return json_of_text(JSON_NUMBER, span_str(text), false);
}

struct json *json_new_bool(bool b)
{
	return json_literal(b ? JSON_TRUE : JSON_FALSE);
}

struct json *json_new_null(void)
{
	return json_literal(JSON_NULL);
}

static struct json *or_null(struct json *val)
{
	return val ? val : json_new_null();
}

void json_set(struct json *object, const char *key, struct json *val)
{
	struct json_member *m = find(object, span_str(key));

	if (m) {
		json_free(m->val);
		m->val = or_null(val);
	} else {
		json_add_member(object, span_str(key), false, or_null(val));
	}
}

void json_unset(struct json *object, const char *key)
{
	struct json_member *m = find(object, span_str(key)), gone;

	if (!m)
		return;
	gone = *m;
	memmove(m, m + 1, (size_t)(&object->members->v[object->n] - (m + 1)) * sizeof(*m));
	object->n--;
	drop_table(object->members);
	free_member(&gone);
}

void json_append(struct json *array, struct json *val)
{
	json_add_item(array, or_null(val));
}

void json_set_at(struct json *array, size_t i, struct json *val)
{
	json_free(array->items[i]);
	array->items[i] = or_null(val);
}

void json_unset_at(struct json *array, size_t i)
{
	json_free(array->items[i]);
	memmove(&array->items[i], &array->items[i + 1],
		(array->n - i - 1) * sizeof(array->items[0]));
	array->n--;
}
