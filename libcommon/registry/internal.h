/*
 * What the files of the registry layer share: URLs, the HTTP/1.1 machine, TLS, connections, challenges, tokens, mirrors.
 */
#ifndef OCIBOX_REGISTRY_INTERNAL_H
#define OCIBOX_REGISTRY_INTERNAL_H

#include "libcommon/registry.h"

/* ---- challenge.c: what a 401 or 429 says (RFC 9110 11.6.1, 10.2.3; distribution-spec token authentication) ----------------- */
enum challenge_scheme { CHALLENGE_NONE, CHALLENGE_BASIC, CHALLENGE_BEARER }; /* the higher one is preferred */
struct challenge {
	enum challenge_scheme scheme;
	char *realm, *service, *scope, *error; /* unquoted; NULL where absent; no control bytes in them */
};
void challenge_release(struct challenge *c);
/*
 * One WWW-Authenticate field value, which may hold several challenges. The best of them replaces *c where it is better than what *c holds
 * (so the lines of one response are fed in turn into a zeroed *c). Names of schemes and parameters in any case; tokens or quoted strings;
 * unknown schemes and parameters are passed over. A Bearer challenge without a realm is no challenge. At most 8 KiB. 0, or E_PROTOCOL
 * where it does not parse (then *c is as it was).
 */
int challenge_parse(struct span value, struct challenge *c);
/* Retry-After: seconds, or one of the three date forms of RFC 9110 5.6.7; now in seconds since the epoch. Seconds to wait (0 for the past; at
 * most 2^31), or -1 where it does not parse. */
int64_t retry_after_parse(struct span value, int64_t now);

/* ---- mirrors.c ---------------------------------------------------------------------------------------------------------------------- */
struct mirror {
	bool plain_http;  /* it was written with http:// */
	char *domain;     /* "mirror.example:5000" */
	char *repository; /* PREFIX replaced by MIRROR[/PATH]: "cache/library/debian" */
};
/* The mirrors of a repository of a registry ("docker.io", "library/debian"), in the order to ask; the longest PREFIX wins, at a "/" only. *only:
 * never ask the origin. The array and its strings are the caller's: mirror_list_free. */
void mirrors_find(const struct mirrors *m, const char *domain, const char *repository, struct mirror **out, size_t *n, bool *only);
void mirror_list_free(struct mirror *v, size_t n);

#endif
