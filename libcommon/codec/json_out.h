#ifndef OCIBOX_CODEC_JSON_OUT_H
#define OCIBOX_CODEC_JSON_OUT_H

#include "libcommon/codec.h"

/* Before every value: a comma where one stands before it. */
void json_out_separate(struct json_out *o);

#endif
