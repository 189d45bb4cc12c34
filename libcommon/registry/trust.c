/* The files of CAs and client certificates. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcommon/registry/trust.h"

enum { PEM_MAX = 8 << 20, CERTS_D_FILES_MAX = 256, SINGLE_FILES_MAX = 1024 };

struct trust *trust_open(const char *cacert, const char *cert_dir)
{
	struct trust *t = xcalloc(1, sizeof(*t));

	pthread_mutex_init(&t->lock, NULL);
	t->cacert = cacert ? xstrdup(cacert) : NULL;
	t->cert_dir = cert_dir ? xstrdup(cert_dir) : NULL;
	return t;
}

void trust_close(struct trust *t)
{
	if (!t)
		return;
	tls_hosts_free(t->hosts);
	buf_release(&t->cas);
	pthread_mutex_destroy(&t->lock);
	free(t->cacert);
	free(t->cert_dir);
	free(t);
}

static int read_named(const char *what, const char *path, struct buf *b, struct err *e)
{
	int r = file_read(AT_FDCWD, path, true, PEM_MAX, b);

	if (r >= 0 && !memmem(b->p, b->n, "-----BEGIN ", 11))
		return err_set(e, E_FORMAT, "%s %s: no PEM certificate in it", what,
			       quoted_str(path));
	return r < 0 ? err_set(e, r, "%s %s: %s", what, quoted_str(path), err_word(r)) : 0;
}

/* A system that keeps its CAs in single files only. */
static void load_single(const char *path, struct buf *b)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	unsigned n = 0;

	while (d && n++ < SINGLE_FILES_MAX && b->n < PEM_MAX && (entry = readdir(d))) {
		struct span name = span_str(entry->d_name);

		if (!span_ends(name, ".pem") && !span_ends(name, ".crt"))
			continue;
		file_read(dirfd(d), entry->d_name, true, PEM_MAX, b);
		buf_addc(b, '\n');
	}
	if (d)
		closedir(d);
}

int trust_load(struct trust *t, struct err *e)
{
	static const char *const usual[] = {
		"/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, Arch, Gentoo */
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* Fedora, RHEL */
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem", /* SUSE */
		"/var/lib/ca-certificates/ca-bundle.pem",
		"/etc/ssl/cert.pem", /* OpenBSD, Alpine */
		"/etc/pki/tls/cacert.pem",
	};
	const char *env = getenv("SSL_CERT_FILE");
	int r = 0;

	if (t->loaded)
		return 0;
	if (t->cacert) {
		r = read_named("--cacert", t->cacert, &t->cas, e);
	} else if (env && *env) {
		r = read_named("SSL_CERT_FILE", env, &t->cas, e);
	} else {
		for (size_t i = 0; i < ARRAY_LEN(usual) && t->cas.n == 0; i++)
			if (file_read(AT_FDCWD, usual[i], true, PEM_MAX, &t->cas) < 0)
				buf_clear(&t->cas);
		if (t->cas.n == 0)
			load_single("/etc/ssl/certs", &t->cas);
	}
	t->loaded = r == 0;
	return r;
}

/* A client's certificate is NAME.cert, its key NAME.key. */
static int load_client(int dir, const char *path, const char *name, struct buf *chain,
		       struct buf *key, struct err *e)
{
	_cleanup_(freep) char *key_name = xasprintf("%.*s.key", (int)strlen(name) - 5, name);
	int r;

	if (chain->n)
		return 0;
	r = file_read(dir, name, true, PEM_MAX, chain);
	if (r < 0)
		return err_set(e, r, "%s/%s: %s", quoted_str(path), quoted_str(name), err_word(r));
	r = file_read(dir, key_name, true, PEM_MAX, key);
	if (r < 0)
		return err_set(e, r, "%s/%s: %s", quoted_str(path), quoted_str(key_name),
			       err_word(r));
	return 0;
}

static int load_dir(const char *path, struct buf *cas, struct buf *chain, struct buf *key,
		    struct err *e)
{
	DIR *d = opendir(path);
	struct dirent *entry;
	unsigned n = 0;
	int r = 0;

	if (!d)
		return -errno;
	while (r >= 0 && (entry = readdir(d)) && n < CERTS_D_FILES_MAX) {
		struct span name = span_str(entry->d_name);

		if (name.n < 5)
			continue;
		n++;
		if (span_ends(name, ".crt")) {
			r = file_read(dirfd(d), entry->d_name, true, PEM_MAX, cas);
			if (r < 0)
				err_set(e, r, "%s/%s: %s", quoted_str(path), quoted(name),
					err_word(r));
			buf_addc(cas, '\n');
		} else if (name.n > 5 && span_ends(name, ".cert")) {
			r = load_client(dirfd(d), path, entry->d_name, chain, key, e);
		}
	}
	closedir(d);
	return r < 0 ? r : 0;
}

int trust_load_host(const struct trust *t, const struct origin *o, struct buf *cas,
		    struct buf *chain, struct buf *key, struct err *e)
{
	const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");
	_cleanup_(freep) char *own = config && *config ? xstrdup(config)
				     : home	       ? xasprintf("%s/.config", home)
						       : NULL;
	char names[2][ORIGIN_TEXT_MAX];
	bool v6 = strchr(o->host, ':') != NULL;

	if (t->cert_dir) {
		int r = load_dir(t->cert_dir, cas, chain, key, e);

		return r < 0 ? err_set(e, r, "--cert-dir %s: %s", quoted_str(t->cert_dir),
				       err_word(r))
			     : 0;
	}
	snprintf(names[0], ORIGIN_TEXT_MAX, v6 ? "[%s]:%u" : "%s:%u", o->host, o->port);
	snprintf(names[1], ORIGIN_TEXT_MAX, v6 ? "[%s]" : "%s", o->host);
	for (unsigned i = 0; i < (o->port == 443 ? 2u : 1u); i++)
		for (unsigned j = own ? 0 : 1; j < 3; j++) {
			static const char *const below[] = { "containers/certs.d",
							     "/etc/containers/certs.d",
							     "/etc/docker/certs.d" };
			_cleanup_(freep) char *dir = xasprintf("%s%s%s/%s", j ? "" : own,
							       j ? "" : "/", below[j], names[i]);
			int r = load_dir(dir, cas, chain, key, e);

			if (r < 0 && r != -ENOENT && r != -ENOTDIR && r != -EACCES)
				return r;
		}
	return 0;
}
