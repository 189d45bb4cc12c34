/*
 * What credentials.c and credentials_file.c share: from a source's text to the credential for one
 * repository.
 */
#ifndef OCIBOX_REGISTRY_CREDENTIALS_H
#define OCIBOX_REGISTRY_CREDENTIALS_H

#include "libcommon/registry.h"

/* Overwrites before it frees. */
void buf_wipe(struct buf *b);
void str_wipe(char *s); /* NULL is fine */

/* "USER:PASSWORD" into c. E_FORMAT where there is no ":" or a byte that no header and no form can
 * carry. */
int credential_from_pair(struct span pair, struct credential *c);

/*
 * Looks in the text of a containers-auth.json(5) or docker config.json, called name in messages. 1
 * found, 0 no entry for this repository, or an error. May run a helper, for ms at most.
 */
int credentials_file_find(const char *name, struct span text, const char *domain,
			  const char *repository, unsigned ms, struct credential *out,
			  struct err *e);

/* How well a key of "auths" or "credHelpers" covers the repository: 0 not at all, more for a longer
 * path. */
size_t credentials_key_covers(struct span key, const char *domain, const char *repository);

/* Whether two keys are for the same. */
bool credentials_same_key(struct span a, struct span b);
/* The helper that a file's document names for key, or NULL; *everything: it is the credsStore. */
const char *credentials_helper_of(const struct json *doc, const char *key, bool *everything);
/* docker-credential-NAME store (with a pair) or erase, for key. */
int credential_helper_put(const char *name, const char *key, struct span pair, struct err *e);

/* Whether it names helpers; true where it does not parse. */
bool credentials_file_has_helpers(struct span text);

/* Asks docker-credential-NAME for server. 1, 0 where it has none, or an error. */
int credential_helper_get(const char *name, const char *server, unsigned ms,
			  struct credential *out, struct err *e);

#endif
