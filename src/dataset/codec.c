/* SPDX-License-Identifier: MIT
 *
 * The table of codecs.
 */
#include "codec.h"

#include <string.h>

static const struct codec *const codecs[] = {&codec_plain, &codec_gzip, &codec_zstd, NULL};

const struct codec *codec_at(size_t i)
{
    return codecs[i];
}

const struct codec *codec_of_name(const char *name, size_t *stem_nbytes)
{
    size_t name_nbytes = strlen(name);

    for (const struct codec *const *c = codecs; *c; c++) {
        size_t nbytes = strlen((*c)->ending);

        if (name_nbytes > nbytes && strcmp(name + name_nbytes - nbytes, (*c)->ending) == 0) {
            *stem_nbytes = name_nbytes - nbytes;
            return *c;
        }
    }
    return NULL;
}

const struct codec *codec_of_bytes(const unsigned char *bytes, size_t nbytes)
{
    uint32_t start = 0;

    for (size_t i = 0; i < nbytes && i < CODEC_MAGIC_NBYTES; i++)
        start |= (uint32_t)bytes[i] << 8 * i;
    for (const struct codec *const *c = codecs; *c; c++)
        for (size_t m = 0; m < CODEC_MAGICS_MAX && (*c)->magic[m].mask != 0; m++)
            if ((start & (*c)->magic[m].mask) == (*c)->magic[m].value)
                return *c;
    return &codec_plain;
}

const struct codec *codec_with_id(unsigned id)
{
    for (const struct codec *const *c = codecs; *c; c++)
        if ((*c)->id == id)
            return *c;
    return NULL;
}
