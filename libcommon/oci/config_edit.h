/* A config that is changed: the document (config_edit.c), its members (config_members.c), their values (config_values.c). */
#ifndef OCIBOX_OCI_CONFIG_EDIT_H
#define OCIBOX_OCI_CONFIG_EDIT_H

#include "libcommon/oci.h"

struct config_edit {
	struct json *doc;    /* the whole */
	struct json *config; /* its member "config" */
	bool cmd_set;
	bool windows;
	struct digest before; /* of what it was, canonical */
};

/* 1 and an array of strings in *out; 0 where s is no JSON array; E_USAGE for an array of other things. */
int value_strings(struct span s, struct json **out, struct err *e);
/* The canonical name of a signal ("SIGTERM", "SIGRTMIN+3", "9"). */
int value_signal(struct span s, char **out, struct err *e);
/* "80/tcp" of 80, 80/udp of 80/UDP, and the last port of a range. */
struct ports {
	unsigned first, last;
	char proto[8];
};
int value_ports(struct span s, struct ports *out, struct err *e);
int value_user(struct span s, struct err *e);
/* path below former, without ".", ".." and double slashes. */
char *value_workdir(struct span former, struct span path);
/* The member Healthcheck. */
int value_healthcheck(struct span s, struct json **out, struct err *e);

#endif
