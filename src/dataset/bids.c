/* SPDX-License-Identifier: MIT
 *
 * BIDS file names.
 *
 *     sub-01_ses-test_task-rest_bold.nii.gz
 *     `----'  entity: key "sub", value "01"
 *     `--------------------------' the entities as written
 *                                `--' suffix
 *     `-----------------------------' stem
 *
 * A name is cut up in place in the struct's own copy, so parsing allocates nothing and costs one
 * pass. A name that breaks a rule anywhere is no BIDS name at all: guessing what its author meant
 * could join runs that do not belong together.
 */
#include "bids.h"

#include <string.h>

#include "codec.h"

/* ASCII whatever the locale: what counts as a run must not depend on the user's environment. */
static bool is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!is_alphanumeric(*c))
            return false;
    return *text != '\0';
}

/* The value of an entity; the standard lets a "+" join words. */
static bool is_label(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!is_alphanumeric(*c) && *c != '+')
            return false;
    return *text != '\0';
}

static bool add_entity(struct bids_name *out, char *part)
{
    char *value = strchr(part, '-');
    if (!value || out->nentities == BIDS_ENTITIES_MAX)
        return false;
    *value++ = '\0';
    if (!is_word(part) || !is_label(value) || bids_value(out, part))
        return false;
    out->entity[out->nentities++] = (struct bids_entity){.key = part, .value = value};
    return true;
}

static bool cut_up(struct bids_name *out)
{
    char *rest = out->text;
    char *part = strsep(&rest, "_");
    for (; rest; part = strsep(&rest, "_"))
        if (!add_entity(out, part))
            return false;
    if (out->nentities == 0 || strcmp(out->entity[0].key, "sub") != 0 || !is_word(part))
        return false;
    out->suffix = part;
    return true;
}

bool bids_is_nifti_name(const char *name)
{
    size_t stem_nbytes;
    return codec_of_name(name, &stem_nbytes);
}

bool bids_parse(const char *name, struct bids_name *out)
{
    memset(out, 0, sizeof *out);
    out->suffix = "";
    size_t nbytes = 0;
    out->codec = codec_of_name(name, &nbytes);
    bool fits = nbytes < BIDS_NAME_MAX;
    if (!fits)
        nbytes = BIDS_NAME_MAX - 1;
    memcpy(out->text, name, nbytes);
    memcpy(out->stem, name, nbytes);
    memcpy(out->entities, name, nbytes);

    if (!fits || !cut_up(out)) {
        out->nentities = 0;
        return false;
    }
    out->entities[nbytes - strlen(out->suffix) - 1] = '\0';
    return true;
}

const char *bids_value(const struct bids_name *name, const char *key)
{
    for (size_t i = 0; i < name->nentities; i++)
        if (strcmp(name->entity[i].key, key) == 0)
            return name->entity[i].value;
    return NULL;
}

bool bids_names_run(const struct bids_name *name)
{
    if (strcmp(name->suffix, "bold") != 0 && strcmp(name->suffix, "cbv") != 0)
        return false;
    const char *part = bids_value(name, "part");
    return !part || strcmp(part, "mag") == 0;
}

bool bids_joins_over(const char *key)
{
    return strcmp(key, "task") == 0 || strcmp(key, "run") == 0;
}

static size_t count_telling(const struct bids_name *name)
{
    size_t count = 0;
    for (size_t i = 0; i < name->nentities; i++)
        count += !bids_joins_over(name->entity[i].key);
    return count;
}

bool bids_same_group(const struct bids_name *a, const struct bids_name *b)
{
    if (strcmp(a->suffix, b->suffix) != 0 || count_telling(a) != count_telling(b))
        return false;
    for (size_t i = 0; i < a->nentities; i++) {
        if (bids_joins_over(a->entity[i].key))
            continue;
        const char *value = bids_value(b, a->entity[i].key);
        if (!value || strcmp(value, a->entity[i].value) != 0)
            return false;
    }
    return true;
}
