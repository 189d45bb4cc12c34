/*
 * The mirrors file: which registries to ask in place of one, in which order.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "libcommon/registry/internal.h"

enum { MIRRORS_FILE_MAX = 1 << 20, MIRRORS_RULES_MAX = 4096, MIRRORS_PER_RULE_MAX = 32 };

struct rule {
	char *prefix;		/* "docker.io", "docker.io/library" */
	struct mirror *mirrors; /* repository: what stands in place of prefix after the mirror's
				   domain, "" for nothing */
	size_t n;
	bool only;
};
struct mirrors {
	struct rule *rules;
	size_t n;
};

void mirror_list_free(struct mirror *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].domain);
		free(v[i].repository);
	}
	free(v);
}

void mirrors_close(struct mirrors *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++) {
		free(m->rules[i].prefix);
		mirror_list_free(m->rules[i].mirrors, m->rules[i].n);
	}
	free(m->rules);
	free(m);
}

static void mirrors_closep(struct mirrors **m)
{
	mirrors_close(*m);
}

/* HOST[:PORT][/PATH]: no scheme, no user, no empty or dotted component, lower case in the path. */
static bool location_valid(struct span s)
{
	struct span rest = s, part;
	bool host = true;

	if (!s.n || span_ends(s, "/"))
		return false;
	while (span_cut(&rest, '/', &part)) {
		if (!part.n || span_is(part, ".") || span_is(part, ".."))
			return false;
		for (size_t i = 0; i < part.n; i++) {
			unsigned char c = part.p[i];

			if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
			    c == '-' || c == '_')
				continue;
			if (host && ((c >= 'A' && c <= 'Z') || c == ':' || c == '[' || c == ']'))
				continue;
			return false;
		}
		host = false;
	}
	return true;
}

static bool next_word(struct span *line, struct span *word)
{
	*line = span_trim(*line);
	if (!line->n)
		return false;
	size_t n = 0;
	while (n < line->n && line->p[n] != ' ' && line->p[n] != '\t')
		n++;
	*word = span_of(line->p, n);
	*line = span_tail(*line, n);
	return true;
}

static int add_mirror(struct rule *rule, struct span word, struct err *e)
{
	struct mirror m = { 0 };

	if (span_starts(word, "http://")) {
		m.plain_http = true;
		word = span_tail(word, 7);
	} else if (span_starts(word, "https://")) {
		word = span_tail(word, 8);
	}
	if (span_ends(word, "/"))
		word.n--;
	if (!location_valid(word))
		return err_set(e, E_FORMAT,
			       "\"%s\" is no mirror (wanted: [http://]HOST[:PORT][/PATH])",
			       quoted(word));
	if (rule->n == MIRRORS_PER_RULE_MAX)
		return err_set(e, E_TOOBIG, "more than %d mirrors in one rule",
			       MIRRORS_PER_RULE_MAX);
	size_t slash = span_find(word, '/');
	m.domain = span_dup(span_of(word.p, slash));
	m.repository = slash < word.n ? span_dup(span_tail(word, slash + 1)) : xstrdup("");
	rule->mirrors = xrealloc(rule->mirrors, (rule->n + 1) * sizeof(*rule->mirrors));
	rule->mirrors[rule->n++] = m;
	return 0;
}

static int parse_line(struct mirrors *m, struct span line, struct err *e)
{
	struct span word;

	line = span_of(line.p, span_find(line, '#'));
	if (!next_word(&line, &word))
		return 0;
	if (m->n == MIRRORS_RULES_MAX)
		return err_set(e, E_TOOBIG, "more than %d rules", MIRRORS_RULES_MAX);
	if (!location_valid(word))
		return err_set(e, E_FORMAT,
			       "\"%s\" is no registry or prefix (wanted: HOST[:PORT][/PATH])",
			       quoted(word));
	m->rules = xrealloc(m->rules, (m->n + 1) * sizeof(*m->rules));
	struct rule *rule = &m->rules[m->n++];
	*rule = (struct rule){ .prefix = span_dup(word) };
	while (next_word(&line, &word)) {
		if (rule->only)
			return err_set(e, E_FORMAT, "\"only\" must be the last word of its line");
		if (span_is(word, "only"))
			rule->only = true;
		else if (add_mirror(rule, word, e))
			return E_FORMAT;
	}
	if (!rule->n)
		return err_set(e, E_FORMAT, "no mirror for \"%s\"", quoted_str(rule->prefix));
	return 0;
}

int mirrors_open(const char *path, struct mirrors **out, struct err *e)
{
	_cleanup_(mirrors_closep) struct mirrors *m = xcalloc(1, sizeof(*m));
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct span rest, line;

	if (fd < 0)
		return err_set(e, -errno, "%s: %s", quoted_str(path), strerror(errno));
	int r = fd_read_all(fd, MIRRORS_FILE_MAX, &text);
	if (r < 0)
		return err_set(e, r, "%s: %s", quoted_str(path), err_word(r));
	rest = buf_span(&text);
	for (size_t number = 1; span_cut(&rest, '\n', &line); number++) {
		struct err why = { 0 };

		r = parse_line(m, line, &why);
		if (r < 0)
			return err_set(e, r, "%s: line %zu: %s", quoted_str(path), number,
				       why.text);
	}
	*out = steal_ptr(&m);
	return 0;
}

/* Where domain/repository begins with prefix at a "/": what follows of the repository, without that
 * slash. */
static bool prefix_covers(const char *prefix, const char *domain, const char *repository,
			  const char **rest)
{
	size_t n = strlen(domain);

	if (strncasecmp(prefix, domain, n) || (prefix[n] && prefix[n] != '/'))
		return false;
	if (!prefix[n]) {
		*rest = repository;
		return true;
	}
	const char *path = prefix + n + 1;
	n = strlen(path);
	if (strncmp(path, repository, n) || (repository[n] && repository[n] != '/'))
		return false;
	*rest = repository[n] ? repository + n + 1 : repository + n;
	return true;
}

void mirrors_find(const struct mirrors *m, const char *domain, const char *repository,
		  struct mirror **out, size_t *n, bool *only)
{
	const struct rule *best = NULL;
	const char *rest = NULL;

	*out = NULL;
	*n = 0;
	*only = false;
	for (size_t i = 0; m && i < m->n; i++) {
		const struct rule *rule = &m->rules[i];
		const char *after;

		if (!prefix_covers(rule->prefix, domain, repository, &after))
			continue;
		if (best && strlen(best->prefix) >= strlen(rule->prefix))
			continue;
		best = rule;
		rest = after;
	}
	if (!best)
		return;
	*out = xcalloc(best->n, sizeof(**out));
	*only = best->only;
	for (size_t i = 0; i < best->n; i++) {
		const struct mirror *from = &best->mirrors[i];
		bool both = *from->repository && *rest;

		/* the rule is for exactly this repository, and this mirror names none */
		if (!*from->repository && !*rest)
			continue;
		(*out)[(*n)++] = (struct mirror){
			.plain_http = from->plain_http,
			.domain = xstrdup(from->domain),
			.repository = xasprintf("%s%s%s", from->repository, both ? "/" : "", rest),
		};
	}
}
