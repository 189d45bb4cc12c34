/* What the values of Dockerfile instructions mean that end in an image config. */
#include "libcommon/oci/config_edit.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { SIGNAL_MAX = 64, RT_SIGNALS = 30, PORT_MAX = 65535 };

int value_strings(struct span s, struct json **out, struct err *e)
{
	_cleanup_(json_freep) struct json *doc = NULL;

	s = span_trim(s);
	if (!s.n || s.p[0] != '[' || json_parse(s, NULL, &doc, NULL) < 0 || !json_is_array(doc))
		return 0;
	for (size_t i = 0; i < json_len(doc); i++)
		if (!json_is_string(json_at(doc, i)))
			return err_set(e, E_USAGE, "%s is an array of other things than strings",
				       quoted(s));
	*out = steal_ptr(&doc);
	return 1;
}

/* ---- signals ---- */

/* "RTMIN", "RTMIN+3", "RTMAX-2" */
static bool is_realtime(struct span s)
{
	bool min = span_starts(s, "RTMIN");
	uint64_t n;

	if (!min && !span_starts(s, "RTMAX"))
		return false;
	s = span_tail(s, 5);
	return !s.n ||
	       (s.p[0] == (min ? '+' : '-') && num_u64(span_tail(s, 1), RT_SIGNALS, &n) == 0);
}

static bool is_signal(struct span s)
{
	static const char names[] =
		" ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT "
		"SEGV STKFLT STOP SYS TERM TRAP TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU "
		"XFSZ ";
	char word[16];

	if (is_realtime(s))
		return true;
	if (!s.n || s.n > sizeof(word) - 3 || span_find(s, ' ') < s.n)
		return false;
	snprintf(word, sizeof(word), " %.*s ", (int)s.n, (const char *)s.p);
	return strstr(names, word);
}

int value_signal(struct span s, char **out, struct err *e)
{
	_cleanup_(freep) char *upper = span_dup(s);
	struct span name;
	uint64_t n;

	for (char *p = upper; *p; p++)
		*p = (char)toupper((unsigned char)*p);
	name = span_str(upper);
	if (num_u64(name, SIGNAL_MAX, &n) == 0 && n) {
		*out = xasprintf("%u", (unsigned)n);
		return 0;
	}
	if (span_starts(name, "SIG"))
		name = span_tail(name, 3);
	if (!is_signal(name))
		return err_set(e, E_USAGE, "%s is no signal", quoted(s));
	*out = xasprintf("SIG%.*s", (int)name.n, (const char *)name.p);
	return 0;
}

/* ---- ports ---- */

static bool port(struct span s, unsigned *out)
{
	uint64_t n;

	if (num_u64(s, PORT_MAX, &n) < 0 || !n)
		return false;
	*out = (unsigned)n;
	return true;
}

int value_ports(struct span s, struct ports *out, struct err *e)
{
	static const char *const protos[] = { "tcp", "udp", "sctp" };
	size_t slash = span_find(s, '/');
	struct span range = span_of(s.p, slash), proto = span_tail(s, MIN(slash + 1, s.n));
	size_t dash = span_find(range, '-');
	bool known = slash == s.n;

	snprintf(out->proto, sizeof(out->proto), "tcp");
	for (size_t i = 0; !known && i < ARRAY_LEN(protos); i++) {
		if (!span_is_nocase(proto, protos[i]))
			continue;
		snprintf(out->proto, sizeof(out->proto), "%s", protos[i]);
		known = true;
	}
	if (!known || !port(span_of(range.p, dash), &out->first))
		return err_set(e, E_USAGE, "%s is no PORT[/tcp|udp|sctp]", quoted(s));
	out->last = out->first;
	if (dash < range.n &&
	    (!port(span_tail(range, dash + 1), &out->last) || out->last < out->first))
		return err_set(e, E_USAGE, "%s is no range of ports", quoted(s));
	return 0;
}

/* ---- users ---- */

static bool user_part_ok(struct span s)
{
	bool digits = true;
	uint64_t n;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
		digits &= isdigit(s.p[i]) != 0;
	}
	/* what overflows in somebody's parser becomes root there */
	return s.n && (!digits || num_u64(s, UINT32_MAX - 1, &n) == 0);
}

int value_user(struct span s, struct err *e)
{
	size_t colon = span_find(s, ':');
	struct span group = span_tail(s, MIN(colon + 1, s.n));

	if (!user_part_ok(span_of(s.p, colon)) ||
	    (colon < s.n && (!user_part_ok(group) || span_find(group, ':') < group.n)))
		return err_set(e, E_USAGE,
			       "%s is no USER[:GROUP], of names or of numbers up to 2^32 - 2",
			       quoted(s));
	return 0;
}

/* ---- paths ---- */

char *value_workdir(struct span former, struct span path)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	struct span parts[] = { path.n && path.p[0] == '/' ? SPAN("") : former, path }, name;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		while (span_cut(&parts[i], '/', &name)) {
			if (!name.n || span_is(name, "."))
				continue;
			if (span_is(name, "..")) {
				out.n = out.n ? span_rfind(buf_span(&out), '/') : 0;
				continue;
			}
			buf_addc(&out, '/');
			buf_add_span(&out, name);
		}
	}
	if (!out.n)
		buf_addc(&out, '/');
	return buf_steal_str(&out);
}

/* ---- health checks ---- */

/* One "1.5h" from the front of *s, added to *ns; as Go's time.ParseDuration has it. */
static bool duration_part(struct span *s, int64_t *ns)
{
	static const struct {
		const char *name;
		int64_t ns;
	} units[] = {
		{ "ns", 1 },
		{ "us", 1000 },
		{ "\xc2\xb5s", 1000 },
		{ "ms", 1000000 },
		{ "s", 1000000000 },
		{ "m", 60000000000 },
		{ "h", 3600000000000 },
	};
	int64_t whole = 0, fraction = 0, scale = 1, part;
	size_t i = 0, digits = 0;

	for (; i < s->n && isdigit(s->p[i]) && whole < INT32_MAX; i++, digits++)
		whole = 10 * whole + s->p[i] - '0';
	if (i < s->n && s->p[i] == '.')
		for (i++; i < s->n && isdigit(s->p[i]) && scale < 1000000; i++, digits++) {
			fraction = 10 * fraction + s->p[i] - '0';
			scale *= 10;
		}
	*s = span_tail(*s, i);
	for (i = 0; digits && i < ARRAY_LEN(units); i++) {
		if (!span_starts(*s, units[i].name))
			continue;
		*s = span_tail(*s, strlen(units[i].name));
		return !__builtin_mul_overflow(whole, units[i].ns, &part) &&
		       !__builtin_add_overflow(part,
					       fraction * (units[i].ns / scale) +
						       fraction * (units[i].ns % scale) / scale,
					       &part) &&
		       !__builtin_add_overflow(*ns, part, ns);
	}
	return false;
}

static int put_duration(struct json *check, const char *key, struct span s, struct err *e)
{
	struct span rest = s;
	int64_t ns = 0;
	bool good = span_is(s, "0");

	while (!good && duration_part(&rest, &ns))
		good = !rest.n;
	if (!good || (ns && ns < 1000000))
		return err_set(e, E_USAGE, "%s is no duration of at least 1ms, such as 1m30s",
			       quoted(s));
	if (ns)
		json_set(check, key, json_new_i64(ns));
	return 0;
}

static int put_retries(struct json *check, struct span s, struct err *e)
{
	uint64_t n;

	if (num_u64(s, INT32_MAX, &n) < 0)
		return err_set(e, E_USAGE, "%s is no number of retries", quoted(s));
	if (n)
		json_set(check, "Retries", json_new_i64((int64_t)n));
	return 0;
}

/* One "--interval=30s". */
static int put_flag(struct json *check, struct span flag, struct err *e)
{
	static const struct {
		const char *flag, *key;
	} times[] = {
		{ "--interval", "Interval" },
		{ "--timeout", "Timeout" },
		{ "--start-period", "StartPeriod" },
		{ "--start-interval", "StartInterval" },
	};
	size_t eq = span_find(flag, '=');
	struct span name = span_of(flag.p, eq), value = span_tail(flag, MIN(eq + 1, flag.n));

	for (size_t i = 0; i < ARRAY_LEN(times); i++)
		if (span_is(name, times[i].flag))
			return put_duration(check, times[i].key, value, e);
	if (span_is(name, "--retries"))
		return put_retries(check, value, e);
	return err_set(e, E_USAGE, "a health check has no option %s", quoted(name));
}

static struct span first_word(struct span *s)
{
	struct span word = *s = span_trim(*s);

	for (word.n = 0; word.n < s->n && !isspace(s->p[word.n]);)
		word.n++;
	*s = span_trim(span_tail(*s, word.n));
	return word;
}

/* ["CMD", …] of an array, ["CMD-SHELL", "…"] of a text, ["NONE"] */
static int put_test(struct json *check, struct span kind, struct span command, struct err *e)
{
	struct json *test = json_new('['), *argv = NULL;
	int r = 0;

	json_set(check, "Test", test);
	if (span_is_nocase(kind, "NONE")) {
		json_append(test, json_new_str(SPAN("NONE")));
		return command.n ? err_set(e, E_USAGE, "nothing can follow NONE") : 0;
	}
	if (!span_is_nocase(kind, "CMD") || !command.n)
		return err_set(e, E_USAGE, "a health check is NONE or [OPTION]... CMD COMMAND");
	r = value_strings(command, &argv, e);
	json_append(test, json_new_str(r ? SPAN("CMD") : SPAN("CMD-SHELL")));
	if (r == 0)
		json_append(test, json_new_str(command));
	for (size_t i = 0; i < json_len(argv); i++)
		json_append(test, json_clone(json_at(argv, i)));
	if (r > 0 && !json_len(argv))
		r = err_set(e, E_USAGE, "the command of the health check is empty");
	json_free(argv);
	return MIN(r, 0);
}

int value_healthcheck(struct span s, struct json **out, struct err *e)
{
	_cleanup_(json_freep) struct json *check = json_new('{');
	struct span word = first_word(&s);
	int r = 0;

	for (; r == 0 && span_starts(word, "--"); word = first_word(&s))
		r = put_flag(check, word, e);
	if (r == 0)
		r = put_test(check, word, s, e);
	if (r == 0)
		*out = steal_ptr(&check);
	return r;
}
