/*
 * Where credentials come from, and in which order. Sources are read once, when they are opened;
 * what is wrong with one is told only when the search comes to it.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libcommon/registry/credentials.h"

enum { AUTH_FILE_MAX = 4 << 20, CREDS_FD_MAX = 64 << 10, SOURCES_MAX = 8 };

struct source {
	char *name; /* as messages have it: the path, or the variable */
	struct buf text;
	struct err fault;
};
struct credentials {
	struct buf pair; /* of creds_fd */
	char *pair_domain;
	struct source sources[SOURCES_MAX];
	size_t n;
};

void str_wipe(char *s)
{
	if (!s)
		return;
	explicit_bzero(s, strlen(s));
	free(s);
}

void buf_wipe(struct buf *b)
{
	if (b->p)
		explicit_bzero(b->p, b->cap);
	buf_release(b);
}

void credential_release(struct credential *c)
{
	free(c->username);
	str_wipe(c->password);
	str_wipe(c->identity_token);
	str_wipe(c->registry_token);
	free(c->source);
	*c = (struct credential){ 0 };
}

void credentials_close(struct credentials *c)
{
	if (!c)
		return;
	buf_wipe(&c->pair);
	free(c->pair_domain);
	for (size_t i = 0; i < c->n; i++) {
		buf_wipe(&c->sources[i].text);
		free(c->sources[i].name);
	}
	free(c);
}

static void credentials_closep(struct credentials **c)
{
	credentials_close(*c);
}

static struct source *add_source(struct credentials *c, char *name)
{
	struct source *s = &c->sources[c->n++];

	s->name = name;
	return s;
}

/* Reads all of fd without leaving copies behind, as a growing buffer would. */
static int read_secret(int fd, size_t max, struct buf *out)
{
	unsigned char part[4096];
	ssize_t n;

	while ((n = fd_read_full(fd, part, sizeof(part))) > 0) {
		if (out->n + (size_t)n > max) {
			n = E_TOOBIG;
			break;
		}
		if (out->cap - out->n <= (size_t)n) {
			struct buf larger = BUF_INIT;

			buf_reserve(&larger, 2 * out->n + sizeof(part));
			buf_add_span(&larger, buf_span(out));
			buf_wipe(out);
			*out = larger;
		}
		buf_add(out, part, (size_t)n);
	}
	explicit_bzero(part, sizeof(part));
	return n < 0 ? (int)n : 0;
}

/* The file, or the .dockerconfigjson of a directory, as Kubernetes mounts a secret of that type. */
static int open_source(const char *path, char **name)
{
	_cleanup_(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	*name = xstrdup(path);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
		return steal_fd(&fd);
	free(*name);
	*name = xasprintf("%s/.dockerconfigjson", path);
	int inner = openat(fd, ".dockerconfigjson", O_RDONLY | O_CLOEXEC);
	return inner < 0 ? -errno : inner;
}

/*
 * required: the user named it, so it has to be there. The usual places may be missing, or be
 * somebody else's (HOME after su). Returns whether there was something.
 */
static bool add_file(struct credentials *c, const char *path, bool required)
{
	char *name;
	_cleanup_(fd_closep) int fd = open_source(path, &name);

	if (fd < 0 && !required && (fd == -ENOENT || fd == -ENOTDIR || fd == -EACCES)) {
		free(name);
		return false;
	}
	struct source *s = add_source(c, name);
	int r = fd < 0 ? fd : read_secret(fd, AUTH_FILE_MAX, &s->text);
	if (r == -ENOENT)
		r = E_NOT_FOUND;
	if (r < 0)
		err_set(&s->fault, r, "%s: %s", quoted_str(s->name), err_word(fd < 0 ? fd : r));
	return true;
}

static void add_usual_places(struct credentials *c)
{
	const char *home = getenv("HOME"), *run = getenv("XDG_RUNTIME_DIR"),
		   *docker = getenv("DOCKER_CONFIG");
	_cleanup_(freep) char *path = NULL;

	if (docker && *docker) {
		path = xasprintf("%s/config.json", docker);
		if (!add_file(c, path, false)) {
			free(path);
			path = xasprintf("%s/.dockerconfigjson", docker);
			add_file(c, path, false);
		}
		free(path);
	}
	if (run && *run)
		path = xasprintf("%s/containers/auth.json", run);
	else
		path = xasprintf("/run/containers/%u/auth.json", (unsigned)getuid());
	add_file(c, path, false);
	if (home && *home) {
		free(path);
		path = xasprintf("%s/.docker/config.json", home);
		add_file(c, path, false);
	}
}

static int read_pair(struct credentials *c, const struct credentials_options *o, struct err *e)
{
	_cleanup_(credential_release) struct credential check = { 0 };
	int r = 0;

	if (o->pair.p) {
		buf_reserve(&c->pair, o->pair.n);
		buf_add_span(&c->pair, o->pair);
	} else {
		r = read_secret(o->creds_fd, CREDS_FD_MAX, &c->pair);
	}

	if (r < 0)
		return err_set(e, r, "credentials from descriptor %d: %s", o->creds_fd,
			       err_word(r));
	while (c->pair.n && (c->pair.p[c->pair.n - 1] == '\n' || c->pair.p[c->pair.n - 1] == '\r'))
		c->pair.n--;
	if (credential_from_pair(buf_span(&c->pair), &check) && o->pair.p)
		return err_set(e, E_USAGE, "a user name or password that no request can carry");
	if (!check.username)
		return err_set(e, E_USAGE,
			       "credentials from descriptor %d are not of the form USER:PASSWORD",
			       o->creds_fd);
	c->pair_domain = xstrdup(o->creds_domain);
	return 0;
}

int credentials_open(const struct credentials_options *o, struct credentials **out, struct err *e)
{
	_cleanup_(credentials_closep) struct credentials *c = xcalloc(1, sizeof(*c));
	const char *file = getenv("REGISTRY_AUTH_FILE"), *text = getenv("DOCKER_AUTH_CONFIG");

	if (o->creds_fd >= 0 || o->pair.p) {
		int r = read_pair(c, o, e);

		if (r < 0)
			return r;
	}
	if (o->authfile) {
		add_file(c, o->authfile, true);
		struct err *fault = &c->sources[c->n - 1].fault;

		/* said on the command line: told at once, whether or not it is needed */
		if (fault->code)
			return err_set(e, fault->code, "%s", fault->text);
	}
	if (file && *file)
		add_file(c, file, true);
	if (text && *text) {
		struct source *s = add_source(c, xstrdup("DOCKER_AUTH_CONFIG"));

		buf_adds(&s->text, text);
	}
	add_usual_places(c);
	*out = steal_ptr(&c);
	return 0;
}

bool credentials_have_helpers(const struct credentials *c)
{
	for (size_t i = 0; i < c->n; i++)
		if (credentials_file_has_helpers(buf_span(&c->sources[i].text)))
			return true;
	return false;
}

/* For --auth-trace where there is none. */
static char *searched(const struct credentials *c)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!c->n)
		return xstrdup("there is no file of credentials");
	buf_adds(&b, "no entry in ");
	for (size_t i = 0; i < c->n; i++)
		buf_addf(&b, "%s%s", i ? ", " : "", quoted_str(c->sources[i].name));
	return buf_steal_str(&b);
}

int credentials_find(struct credentials *c, const char *domain, const char *repository, unsigned ms,
		     struct credential *out, struct err *e)
{
	*out = (struct credential){ 0 };
	if (c->pair_domain && !strcmp(c->pair_domain, domain)) {
		out->source = xstrdup("--creds-fd");
		return credential_from_pair(buf_span(&c->pair), out) ? E_USAGE : 1;
	}
	for (size_t i = 0; i < c->n; i++) {
		const struct source *s = &c->sources[i];

		if (s->fault.code)
			return err_set(e, s->fault.code, "%s", s->fault.text);
		if (!span_trim(buf_span(&s->text)).n)
			continue;
		int r = credentials_file_find(s->name, buf_span(&s->text), domain, repository, ms,
					      out, e);
		if (r < 0)
			credential_release(out);
		if (r)
			return r;
	}
	out->source = searched(c);
	return 0;
}
