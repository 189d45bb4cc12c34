/* What the files of libcommon/oci share among themselves. */
#ifndef OCIBOX_OCI_PRIVATE_H
#define OCIBOX_OCI_PRIVATE_H

#include "libcommon/oci.h"

/* Normalised from the members of a JSON platform; false (and nothing set) where they are no
 * platform. */
bool platform_from_parts(struct span os, struct span arch, struct span variant,
			 struct platform *out);

/*
 * Go's parser ignores the case of names: E_FORMAT where a member differs from one of names only in
 * that, as it would mean nothing here and something there.
 */
int json_check_case(const struct json *v, const char *const *names, size_t n, struct err *e);

#define LAYOUT_FILE "{\"imageLayoutVersion\":\"1.0.0\"}"
#define LAYOUT_EMPTY_INDEX \
	"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_OCI_INDEX "\",\"manifests\":[]}"
/* The contents of a file oci-layout. */
int layout_file_check(struct span text, struct err *e);
/* Waits for the lock of the layout at dirfd: a descriptor that holds it while it is open, or
 * -errno. */
int layout_lock(int dirfd);
int layout_read_index(const struct layout *l, struct buf *out, struct err *e);
/* As an entry of an index, with the annotations that are not NULL. */
void descriptor_write(struct json_out *o, const struct descriptor *d, const char *ref_name,
		      const char *image_name);

/* user_lookup() on the bytes of the two files. */
int user_find(struct span passwd, struct span group, const char *spec, struct user *out,
	      struct err *e);

#endif
