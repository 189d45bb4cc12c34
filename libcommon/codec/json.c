/* JSON documents, read by jansson within limits that are checked before it sees them. */
#include "libcommon/codec.h"
#include "libcommon/codec/json_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
/* Macros of the library; ours are functions on our own type. */
#undef json_is_object
#undef json_is_array
#undef json_is_string
#undef json_is_null

static const json_t *value(const struct json *v)
{
	return (const json_t *)v;
}

static const struct json *wrap(const json_t *v)
{
	return (const struct json *)v;
}

/* ---- limits ---- */

/* What the library's values take, measured, besides the bytes of strings. */
enum { COST_STRING = 52, COST_KEY = 84, COST_CONTAINER = 124, COST_OTHER = 24 };
/* The text and what becomes of it: a process of ours takes some 3 MiB besides, and 16 MiB in all. */
enum { MEMORY_MAX = 12800 * 1024 };

struct counter {
	struct span text;
	size_t i, values;
	unsigned depth, deepest;
	size_t memory, longest; /* bytes; the longest string is held once more while it is read */
};

/* Past a string, whose first quote has been read. */
static void pass_string(struct counter *c)
{
	size_t begin = c->i;
	while (c->i < c->text.n) {
		unsigned char b = c->text.p[c->i++];
		if (b == '"')
			break;
		if (b == '\\')
			c->i++;
	}
	c->memory += COST_STRING + c->i - begin;
	c->longest = MAX(c->longest, c->i - begin);
}

/*
 * Counts what a parser would make of the text, well-formed or not, and stops as soon as it is too much: a value costs the library hundreds of
 * times the bytes that it takes to write, so a small document can be a large tree.
 */
static void count(struct counter *c, size_t max_values, unsigned max_depth)
{
	bool in_word = false;

	while (c->i < c->text.n && c->values <= max_values && c->deepest <= max_depth) {
		unsigned char b = c->text.p[c->i++];
		bool word = false;
		switch (b) {
		case '"':
			c->values++;
			pass_string(c);
			break;
		case '{':
		case '[':
			c->values++;
			c->memory += COST_CONTAINER;
			c->depth++;
			c->deepest = MAX(c->deepest, c->depth);
			break;
		case '}':
		case ']':
			c->depth -= c->depth > 0;
			break;
		case ':':
			/* What stood before it was a key. */
			c->values -= c->values > 0;
			c->memory += COST_KEY - COST_STRING;
			break;
		case ',':
		case ' ':
		case '\t':
		case '\r':
		case '\n':
			break;
		default:
			c->values += !in_word;
			c->memory += in_word ? 0 : COST_OTHER;
			word = true;
		}
		in_word = word;
	}
}

/*
 * The library would read a key for its tables from a device, which is not there in a jail or early in boot, and else take the clock. Threads that do
 * this at the same time do no harm: the first one counts.
 */
static void seed_tables(void)
{
	static _Atomic bool done;
	size_t seed;

	if (atomic_load_explicit(&done, memory_order_acquire))
		return;
	if (!random_bytes(&seed, sizeof(seed)))
		json_object_seed(seed | 1);
	atomic_store_explicit(&done, true, memory_order_release);
}

int json_parse(struct span text, const struct json_limits *lim, struct json **doc, struct err *e)
{
	static const struct json_limits none;
	json_error_t error;

	*doc = NULL;
	if (!lim)
		lim = &none;
	size_t max_bytes = lim->max_bytes ? lim->max_bytes : MIB(4);
	size_t max_values = lim->max_values ? lim->max_values : 100000;
	unsigned max_depth = lim->max_depth ? lim->max_depth : 64;
	if (text.n > max_bytes)
		return err_set(e, E_TOOBIG, "JSON of more than %zu bytes", max_bytes);
	struct counter c = { .text = text };
	count(&c, max_values, max_depth);
	if (c.values > max_values)
		return err_set(e, E_TOOBIG, "JSON of more than %zu values", max_values);
	if (c.deepest > max_depth)
		return err_set(e, E_TOOBIG, "JSON nested more than %u deep", max_depth);
	if (text.n + c.memory + c.longest > MEMORY_MAX)
		return err_set(e, E_TOOBIG, "JSON that would take more than %d KiB of memory",
			       MEMORY_MAX / 1024);
	seed_tables();
	*doc = (struct json *)json_loadb((const char *)(text.n ? text.p : (void *)""), text.n,
					 JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (*doc)
		return 0;
	if (json_error_code(&error) == json_error_out_of_memory)
		return -ENOMEM;
	return err_set(e, E_FORMAT, "JSON: line %d, column %d: %s", error.line, error.column,
		       quoted_str(error.text));
}

void json_free(struct json *doc)
{
	json_decref((json_t *)doc);
}

void json_freep(struct json **doc)
{
	json_free(*doc);
}

/* ---- look-ups ---- */

const struct json *json_get(const struct json *v, const char *key)
{
	return wrap(json_object_get(value(v), key));
}

bool json_is_object(const struct json *v)
{
	return v && json_typeof(value(v)) == JSON_OBJECT;
}

bool json_is_array(const struct json *v)
{
	return v && json_typeof(value(v)) == JSON_ARRAY;
}

bool json_is_string(const struct json *v)
{
	return v && json_typeof(value(v)) == JSON_STRING;
}

bool json_is_null(const struct json *v)
{
	return v && json_typeof(value(v)) == JSON_NULL;
}

bool json_str(const struct json *v, struct span *out)
{
	if (!json_is_string(v))
		return false;
	*out = span_of(json_string_value(value(v)), json_string_length(value(v)));
	return true;
}

const char *json_cstr(const struct json *v)
{
	return json_is_string(v) ? json_string_value(value(v)) : NULL;
}

bool json_i64(const struct json *v, int64_t *out)
{
	if (!v || json_typeof(value(v)) != JSON_INTEGER)
		return false;
	*out = json_integer_value(value(v));
	return true;
}

bool json_bool(const struct json *v, bool dflt)
{
	if (v && json_typeof(value(v)) == JSON_TRUE)
		return true;
	return v && json_typeof(value(v)) == JSON_FALSE ? false : dflt;
}

size_t json_len(const struct json *v)
{
	return json_is_array(v)	   ? json_array_size(value(v))
	       : json_is_object(v) ? json_object_size(value(v))
				   : 0;
}

const struct json *json_at(const struct json *v, size_t i)
{
	return json_is_array(v) ? wrap(json_array_get(value(v), i)) : NULL;
}

bool json_next(const struct json *v, void **it, struct span *key, const struct json **val)
{
	json_t *object = (json_t *)value(v);

	if (!json_is_object(v))
		return false;
	*it = *it ? json_object_iter_next(object, *it) : json_object_iter(object);
	if (!*it)
		return false;
	*key = span_of(json_object_iter_key(*it), json_object_iter_key_len(*it));
	*val = wrap(json_object_iter_value(*it));
	return true;
}

/* ---- values that are changed ---- */

static json_t *changed(struct json *v)
{
	return (json_t *)v;
}

/* The library's only reason to fail here is want of memory. */
static struct json *made(json_t *v)
{
	if (!v)
		xmalloc(SIZE_MAX);
	return (struct json *)v;
}

struct json *json_clone(const struct json *v)
{
	return made(json_deep_copy(value(v)));
}

struct json *json_share(const struct json *v)
{
	return (struct json *)json_incref((json_t *)value(v));
}

struct json *json_edit(struct json *object, const char *key)
{
	return (struct json *)json_object_get(changed(object), key);
}

struct json *json_new(char kind)
{
	seed_tables();
	return made(kind == '{' ? json_object() : json_array());
}

struct json *json_new_str(struct span s)
{
	if (!utf8_valid(s) || span_find(s, '\0') < s.n)
		return NULL;
	return made(json_stringn((const char *)(s.n ? s.p : (void *)""), s.n));
}

struct json *json_new_i64(int64_t n)
{
	return made(json_integer(n));
}

struct json *json_new_bool(bool b)
{
	return made(json_boolean(b));
}

struct json *json_new_null(void)
{
	return made(json_null());
}

static json_t *or_null(struct json *val)
{
	return val ? changed(val) : json_null();
}

void json_set(struct json *object, const char *key, struct json *val)
{
	if (json_object_set_new(changed(object), key, or_null(val)) < 0)
		made(NULL);
}

void json_unset(struct json *object, const char *key)
{
	json_object_del(changed(object), key);
}

void json_append(struct json *array, struct json *val)
{
	if (json_array_append_new(changed(array), or_null(val)) < 0)
		made(NULL);
}

void json_set_at(struct json *array, size_t i, struct json *val)
{
	if (json_array_set_new(changed(array), i, or_null(val)) < 0)
		made(NULL);
}

void json_unset_at(struct json *array, size_t i)
{
	json_array_remove(changed(array), i);
}

/* ---- a parsed value, written again ---- */

/* Such that it is read again as what it is: a number with a fraction, to the last bit. */
static void put_real(struct json_out *o, double d)
{
	char text[32];

	snprintf(text, sizeof(text), "%.17g", d);
	json_out_separate(o);
	buf_adds(&o->b, text);
	if (!strpbrk(text, ".e"))
		buf_adds(&o->b, ".0");
}

static void put_object(struct json_out *o, const struct json *v)
{
	void *it = NULL;
	struct span key;
	const struct json *member;

	json_begin(o, '{');
	while (json_next(v, &it, &key, &member)) {
		json_key_span(o, key);
		json_put(o, member);
	}
	json_end(o, '}');
}

void json_put(struct json_out *o, const struct json *v)
{
	struct span s = { 0 };

	switch (v ? json_typeof(value(v)) : JSON_NULL) {
	case JSON_OBJECT:
		put_object(o, v);
		break;
	case JSON_ARRAY:
		json_begin(o, '[');
		for (size_t i = 0; i < json_len(v); i++)
			json_put(o, json_at(v, i));
		json_end(o, ']');
		break;
	case JSON_STRING:
		json_str(v, &s);
		json_put_str(o, s);
		break;
	case JSON_INTEGER:
		json_put_i64(o, json_integer_value(value(v)));
		break;
	case JSON_REAL:
		put_real(o, json_real_value(value(v)));
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		json_put_bool(o, json_bool(v, false));
		break;
	case JSON_NULL:
		json_put_null(o);
		break;
	}
}

static int by_bytes(const void *a, const void *b)
{
	return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

void json_put_sorted(struct json_out *o, const struct json *v)
{
	_cleanup_(freep) struct span *keys = xcalloc(json_len(v) + 1, sizeof(*keys));
	const struct json *member;
	size_t n = 0;

	for (void *it = NULL; json_next(v, &it, &keys[n], &member);)
		n++;
	qsort(keys, n, sizeof(*keys), by_bytes);
	json_begin(o, '{');
	for (size_t i = 0; i < n; i++) {
		json_key_span(o, keys[i]);
		json_put(o, wrap(json_object_getn(value(v), (const char *)keys[i].p, keys[i].n)));
	}
	json_end(o, '}');
}

static bool is_among(struct span key, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (span_is(key, names[i]))
			return true;
	return false;
}

void json_put_ordered(struct json_out *o, const struct json *v, const char *const *names, size_t n,
		      bool (*put)(struct json_out *o, struct span key, const struct json *v))
{
	const struct json *member;
	struct span key;

	json_begin(o, '{');
	for (size_t i = 0; i < n; i++) {
		member = json_get(v, names[i]);
		if (!member)
			continue;
		json_key(o, names[i]);
		if (!put || !put(o, span_str(names[i]), member))
			json_put(o, member);
	}
	for (void *it = NULL; json_next(v, &it, &key, &member);) {
		if (is_among(key, names, n))
			continue;
		json_key_span(o, key);
		if (!put || !put(o, key, member))
			json_put(o, member);
	}
	json_end(o, '}');
}
