/* What auth.c and token.c share: how each origin wants to be asked, and what it is offered. */
#ifndef OCIBOX_REGISTRY_AUTH_H
#define OCIBOX_REGISTRY_AUTH_H

#include "libcommon/registry/internal.h"

struct auth_entry {
	struct auth_entry *next;
	struct origin origin;
	char *domain, *repository;
	pthread_mutex_t lock;
	struct challenge challenge; /* how it wants to be asked */
	char *value;		    /* of Authorization, or NULL */
	uint64_t born, renew_at;    /* clock_ms, of a token */
	unsigned generation;
	bool accepted; /* the server took the value of this generation */
	bool bare;     /* credentials were looked for, and there are none */
};

struct auth {
	struct network *net;
	struct credentials *credentials;
	pthread_mutex_t lock;
	pthread_mutex_t look_up; /* helpers run one at a time */
	struct auth_entry *entries;
	char *push;	    /* the repository that tokens are for pushing to, or NULL */
	struct strs others; /* scopes that go along: what is mounted from */
	_Atomic bool alone; /* the realm refused them */
};

/* Overwritten before they are freed. */
void secret_free(char *s);
void secret_buf_release(struct buf *b);
/* The credentials for a repository of a domain: 1 found, 0 none. What was found where is for --auth-trace. */
int auth_look_up(struct auth *a, const char *domain, const char *repository, struct credential *c,
		 struct err *e);
/* Appends "Basic …". */
void auth_basic(const struct credential *c, struct buf *out);

/* ---- token.c ---- */
/* Fetches a token that answers en->challenge, as en->value. With en's lock held. */
int token_fetch(struct auth *a, struct auth_entry *en, const struct auth_target *t, struct err *e);

#endif
