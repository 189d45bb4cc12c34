/* What the files of libcommon/oci share among themselves. */
#ifndef OCIBOX_OCI_PRIVATE_H
#define OCIBOX_OCI_PRIVATE_H

#include "libcommon/oci.h"

/* Normalised from the members of a JSON platform; false (and nothing set) where they are no platform. */
bool platform_from_parts(struct span os, struct span arch, struct span variant, struct platform *out);

#endif
