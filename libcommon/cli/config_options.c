/* Options that change an image: its config, each as the Dockerfile instruction of its name, and annotations. */
#include <string.h>

#include "libcommon/cli.h"

bool cli_config_option(struct config_changes *c, const struct option *table, int opt)
{
	if (opt < CLI_OPT_CONFIG_SET || opt >= CLI_OPT_CONFIG_UNSET + EDIT_N)
		return false;
	while (table->val != opt)
		table++;
	c->v = xrealloc(c->v, (c->n + 1) * sizeof(*c->v));
	c->v[c->n++] = (struct config_change){ table, optarg };
	return true;
}

/* E_USAGE dies; another error is returned. */
static int change(const struct config_change *ch, struct config_edit *c, struct err *e)
{
	int opt = ch->option->val;
	int r = opt < CLI_OPT_CONFIG_UNSET
			? config_edit(c, (enum config_member)(opt - CLI_OPT_CONFIG_SET), ch->value,
				      e)
			: config_unset(c, (enum config_member)(opt - CLI_OPT_CONFIG_UNSET),
				       ch->value, e);

	if (r == E_USAGE)
		die(64, "--%s: %s", ch->option->name, e->text);
	return r;
}

void cli_config_check(const struct config_changes *c)
{
	_cleanup_(config_edit_closep) struct config_edit *dry = NULL;

	config_edit_open(NULL, &(struct platform){ .os = "linux" }, &dry, NULL);
	for (size_t i = 0; i < c->n; i++)
		change(&c->v[i], dry, &(struct err){ 0 });
}

void cli_config_apply(const struct config_changes *c, struct config_edit *to, const char *what)
{
	for (size_t i = 0; i < c->n; i++) {
		struct err e = { 0 };
		int r = change(&c->v[i], to, &e);

		if (r < 0)
			die_err(what, r, &e);
	}
}

/* NAME=VALUE, or a NAME that goes. */
static void annotate(struct json **all, const char *text, bool set)
{
	struct span s = span_str(text);
	size_t eq = span_find(s, '=');

	if (!*all)
		*all = json_new('{');
	if (!utf8_valid(s) || !eq || !s.n || (eq < s.n) != set)
		die(64, "--%sannotation: %s is no NAME%s", set ? "" : "unset-", quoted(s),
		    set ? "=VALUE" : "");

	_cleanup_(freep) char *key = xstrndup(text, eq);

	json_set(*all, key, set ? json_new_str(span_tail(s, eq + 1)) : json_new_null());
}

void cli_annotation(struct json **all, const char *value)
{
	annotate(all, value, true);
}

void cli_unset_annotation(struct json **all, const char *value)
{
	annotate(all, value, false);
}
