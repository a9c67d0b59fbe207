/* SPDX-License-Identifier: MIT
 *
 * The text of inputs: patterns and file names. Reads no directory.
 */
#include "input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "text.h"

const char *const input_kind_names[INPUT_NKINDS] = {
    [INPUT_IMAGE] = "image",
    [INPUT_MASK] = "mask",
    [INPUT_LABELS] = "labels",
};

static const char *const join_names[INPUT_NJOINS] = {[INPUT_ALL] = "all", [INPUT_ANY] = "any"};

/* ASCII whatever the locale. */
static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Letters and digits; of a label also "+", which joins words. */
static bool is_word(const char *text, bool label)
{
    for (const char *c = text; *c; c++)
        if (!is_alnum(*c) && !(label && *c == '+'))
            return false;
    return *text != '\0';
}

static bool is_nifti_ending(const char *ending)
{
    return strcmp(ending, "nii") == 0 || strcmp(ending, "nii.gz") == 0 ||
           strcmp(ending, "nii.zst") == 0;
}

static bool add_entity(struct input_name *out, char *part)
{
    char *label = strchr(part, '-');

    if (!label || out->nentities == INPUT_ENTITIES_MAX)
        return false;
    *label++ = '\0';
    if (!is_word(part, false) || !is_word(label, true) || input_name_label(out, part))
        return false;
    out->entity[out->nentities].key = part;
    out->entity[out->nentities++].label = label;
    return true;
}

bool input_name_parse(const char *name, struct input_name *out)
{
    char *rest = out->text, *part, *dot;
    size_t nbytes = strlen(name);

    out->nentities = 0;
    if (nbytes >= INPUT_NAME_MAX)
        return false;
    memcpy(out->text, name, nbytes + 1);
    dot = strchr(out->text, '.');
    if (!dot || !dot[1])
        return false;
    *dot = '\0';
    out->ending = dot + 1;
    out->nifti = is_nifti_ending(out->ending);
    while ((part = strsep(&rest, "_")) && rest)
        if (!add_entity(out, part))
            return false;
    out->suffix = part;
    return is_word(part, false);
}

const char *input_name_label(const struct input_name *name, const char *key)
{
    for (size_t i = 0; i < name->nentities; i++)
        if (strcmp(name->entity[i].key, key) == 0)
            return name->entity[i].label;
    return NULL;
}

const char *input_pattern_file(const char *pattern)
{
    const char *slash = strchr(pattern, '/');

    return slash ? slash + 1 : pattern;
}

static int check_pattern(const char *pattern, struct error *err)
{
    const char *file = input_pattern_file(pattern);
    struct input_name name;

    for (const char *c = pattern; c + 1 < file; c++)
        if (!is_alnum(*c))
            return error_set(err, EINVAL, "the directory of an input is a datatype, such as anat/");
    if (file == pattern + 1 || !input_name_parse(file, &name))
        return error_set(err, EINVAL,
                         "an input is [DATATYPE/][KEY-LABEL_]...SUFFIX.ENDING, such as "
                         "desc-brain_mask.nii.gz");
    return name.nifti ? 0
                      : error_set(err, EINVAL,
                                  "an input ends with .nii, .nii.gz or .nii.zst (one stands for "
                                  "all of them)");
}

int input_add_pattern(struct input *in, const char *pattern, size_t nbytes, struct error *err)
{
    char *copy = GROW(in->patterns, in->npatterns) < 0 ? NULL : strndup(pattern, nbytes);
    int ret = copy ? check_pattern(copy, err) : error_set(err, ENOMEM, "out of memory");

    if (ret < 0)
        free(copy);
    else
        in->patterns[in->npatterns++] = copy;
    return ret;
}

enum input_kind input_default_kind(const struct input *in)
{
    struct input_name name;

    if (!input_name_parse(input_pattern_file(in->patterns[0]), &name))
        return INPUT_IMAGE;
    if (strcmp(name.suffix, "mask") == 0)
        return INPUT_MASK;
    return strcmp(name.suffix, "dseg") == 0 ? INPUT_LABELS : INPUT_IMAGE;
}

static size_t find(const char *const *names, size_t n, const char *name, size_t nbytes)
{
    size_t i = 0;

    while (i < n && !text_is(names[i], name, nbytes))
        i++;
    return i;
}

enum input_kind input_kind_find(const char *name, size_t nbytes)
{
    return (enum input_kind)find(input_kind_names, INPUT_NKINDS, name, nbytes);
}

enum input_join input_join_find(const char *name, size_t nbytes)
{
    return (enum input_join)find(join_names, INPUT_NJOINS, name, nbytes);
}

bool input_equal(const struct input *a, const struct input *b)
{
    bool equal = a->npatterns == b->npatterns && a->kind == b->kind && a->join == b->join;

    for (size_t i = 0; equal && i < a->npatterns; i++)
        equal = strcmp(a->patterns[i], b->patterns[i]) == 0;
    return equal;
}

void input_print(FILE *f, const struct input *in)
{
    fputs("file(", f);
    for (size_t i = 0; i < in->npatterns; i++)
        fprintf(f, "\"%s\", ", in->patterns[i]);
    fprintf(f, "kind=%s", input_kind_names[in->kind]);
    if (in->join != INPUT_ALL)
        fprintf(f, ", join=%s", join_names[in->join]);
    fputc(')', f);
}

char *input_text(const struct input *in)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    if (!f)
        return NULL;
    input_print(f, in);
    return text_end(f, &text);
}

const char *input_title(const struct input *in)
{
    return in->name ? in->name : in->patterns[0];
}

struct input *input_new(void)
{
    struct input *in = calloc(1, sizeof *in);

    if (in)
        atomic_init(&in->refs, 1);
    return in;
}

struct input *input_get(struct input *in)
{
    atomic_fetch_add_explicit(&in->refs, 1, memory_order_relaxed);
    return in;
}

void input_put(struct input *in)
{
    if (!in || atomic_fetch_sub_explicit(&in->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < in->npatterns; i++)
        free(in->patterns[i]);
    free(in->patterns);
    free(in->name);
    free(in);
}
