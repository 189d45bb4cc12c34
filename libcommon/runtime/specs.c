/*
 * What people write on a command line about mounts and the environment, as docker and podman spell
 * it.
 */
#include <string.h>

#include "libcommon/runtime/private.h"

/* A path inside is absolute and not the root itself. */
static int check_target(const char *target, struct err *e)
{
	if (*target != '/' || !target[strspn(target, "/.")])
		return err_set(e, E_USAGE, "%s is not an absolute path below /",
			       quoted_str(target));
	return 0;
}

static int bind_option(struct span o, struct container_mount *m)
{
	if (span_is(o, "ro"))
		m->read_only = true;
	else if (span_is(o, "rw"))
		m->read_only = false;
	else if (span_is(o, "bind") || span_is(o, "rbind") || span_is(o, "private") ||
		 span_is(o, "rprivate"))
		m->recursive = !span_is(o, "bind");
	else if (span_is(o, "nosuid"))
		m->nosuid = true;
	else if (span_is(o, "dev") || span_is(o, "nodev"))
		m->dev = span_is(o, "dev");
	else if (span_is(o, "noexec"))
		m->noexec = true;
	else
		return E_USAGE;
	return 0;
}

int volume_parse(char *spec, struct container_mount *m, struct err *e)
{
	char *target = strchr(spec, ':');
	char *options = target ? strchr(target + 1, ':') : NULL;
	struct span rest, one;

	if (!target || target == spec)
		return err_set(e, E_USAGE, "%s is not SRC:DST[:OPTIONS]", quoted_str(spec));
	*target++ = '\0';
	if (options)
		*options++ = '\0';
	*m = (struct container_mount){
		.kind = CM_BIND, .source = spec, .target = target, .recursive = true
	};
	rest = span_str(options);
	while (span_cut(&rest, ',', &one))
		if (bind_option(one, m))
			return err_set(e, E_USAGE,
				       "unknown option %s of a volume (ro, rw, bind, rbind, "
				       "nosuid, dev, noexec)",
				       quoted(one));
	return check_target(target, e);
}

int tmpfs_parse(char *spec, struct container_mount *m, struct err *e)
{
	char *options = strchr(spec, ':');
	struct span rest, one;
	int r = 0;

	if (options)
		*options++ = '\0';
	*m = (struct container_mount){
		.kind = CM_TMPFS, .target = spec, .nosuid = true, .noexec = true
	};
	rest = span_str(options);
	while (!r && span_cut(&rest, ',', &one)) {
		uint64_t mode;

		if (span_starts(one, "size=")) {
			r = num_size(span_tail(one, 5), &m->size);
		} else if (span_starts(one, "mode=")) {
			r = num_octal(span_tail(one, 5), 07777, &mode);
			m->mode = (uint32_t)mode;
			m->has_mode = !r;
		} else if (span_is(one, "exec")) {
			m->noexec = false;
		} else if (span_is(one, "ro")) {
			m->read_only = true;
		} else if (!span_is(one, "rw") && !span_is(one, "noexec") &&
			   !span_is(one, "nosuid") && !span_is(one, "nodev")) {
			r = E_USAGE;
		}
		if (r)
			return err_set(e, E_USAGE,
				       "option %s of a tmpfs (size=SIZE, mode=OCTAL, exec, ro)",
				       quoted(one));
	}
	return check_target(spec, e);
}

static int env_line(struct span line, const char *const *caller, struct strs *env)
{
	size_t eq = span_find(line, '=');
	_cleanup_(freep) char *text = span_dup(line);

	if (!eq || memchr(line.p, '\0', line.n))
		return E_USAGE;
	if (eq < line.n) {
		strs_set_env(env, text);
		return 0;
	}
	/* A name alone: the caller's value, where it has one. */
	for (; *caller; caller++) {
		if (!strncmp(*caller, text, line.n) && (*caller)[line.n] == '=') {
			strs_set_env(env, *caller);
			return 0;
		}
	}
	return 0;
}

int env_add(const char *word, const char *const *caller, struct strs *env, struct err *e)
{
	if (env_line(span_str(word), caller, env))
		return err_set(e, E_USAGE, "%s is neither NAME=VALUE nor NAME", quoted_str(word));
	return 0;
}

int env_add_file(struct span text, const char *const *caller, struct strs *env, struct err *e)
{
	struct span line;
	unsigned n = 0;

	while (span_cut(&text, '\n', &line)) {
		n++;
		while (line.n && (*line.p == ' ' || *line.p == '\t'))
			line = span_tail(line, 1);
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (!line.n || *line.p == '#')
			continue;
		if (env_line(line, caller, env))
			return err_set(e, E_FORMAT, "line %u is neither NAME=VALUE nor NAME", n);
	}
	return 0;
}

void overlay_list_parse(const char *list, struct strs *out)
{
	struct span rest = span_str(list);

	while (rest.n) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		for (; rest.n && *rest.p != ':'; rest = span_tail(rest, 1)) {
			if (*rest.p == '\\' && rest.n > 1)
				rest = span_tail(rest, 1);
			buf_addc(&b, (char)*rest.p);
		}
		if (b.n)
			strs_take(out, buf_steal_str(&b));
		rest = span_tail(rest, MIN(rest.n, 1));
	}
}
