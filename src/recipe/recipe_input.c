/* SPDX-License-Identifier: MIT
 *
 * The inputs of a recipes file: a section with "file" is the expression file(...) (expr.h).
 *
 *     [gm]
 *     file = anat/label-GM_probseg.nii.gz anat/label-GM_mask.nii.gz
 *     kind = mask
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recipe_private.h"
#include "text.h"

static const char blanks[] = " \t";

const char *recipe_section_expr(const struct recipe_section *section)
{
    return section->input ? section->input : section->values[KEY_EXPR].text;
}

static int add_patterns(struct recipe_file *file, struct recipe_section *s, struct input *in)
{
    const struct recipe_value *value = &s->values[KEY_FILE];
    const char *at = value->text + strspn(value->text, blanks);
    struct error err;

    while (*at) {
        size_t n = strcspn(at, blanks);
        int ret = input_add_pattern(in, at, n, &err);

        if (ret < 0)
            return ret == -ENOMEM
                       ? ret
                       : recipe_section_problem(file, s, value, (size_t)(at - value->text) + 1,
                                                "%s", err.text);
        at += n + strspn(at + n, blanks);
    }
    return in->npatterns > 0
               ? 0
               : recipe_section_problem(file, s, NULL, 0, "'%s' has an empty file", s->name);
}

static int read_keys(struct recipe_file *file, struct recipe_section *s, struct input *in)
{
    const struct recipe_value *kind = &s->values[KEY_KIND], *join = &s->values[KEY_JOIN];

    in->kind =
        kind->text ? input_kind_find(kind->text, strlen(kind->text)) : input_default_kind(in);
    if (in->kind == INPUT_NKINDS)
        return recipe_section_problem(file, s, kind, 1, "kind is image, mask or labels, not '%s'",
                                      kind->text);
    if (!join->text)
        return 0;
    in->join = input_join_find(join->text, strlen(join->text));
    if (in->join == INPUT_NJOINS)
        return recipe_section_problem(file, s, join, 1, "join is all or any, not '%s'", join->text);
    return in->kind == INPUT_MASK
               ? 0
               : recipe_section_problem(file, s, join, 1,
                                        "only masks are joined: join needs kind = mask");
}

int recipe_input_check(struct recipe_file *file, struct recipe_section *s)
{
    const struct recipe_value *value = &s->values[KEY_FILE];
    struct input *in;
    int ret;

    if (!value->text && s->values[KEY_KIND].text)
        return recipe_section_problem(file, s, &s->values[KEY_KIND], 1,
                                      "only a section with file = ... has this key");
    if (!value->text)
        return 0;
    if (s->values[KEY_EXPR].text)
        return recipe_section_problem(file, s, value, 1, "'%s' has an expr, too", s->name);
    in = input_new();
    ret = in ? add_patterns(file, s, in) : -ENOMEM;
    if (ret == 0 && !s->broken)
        ret = read_keys(file, s, in);
    if (ret == 0 && !s->broken)
        s->input = input_text(in);
    if (ret == 0 && !s->broken && !s->input)
        ret = -ENOMEM;
    input_put(in);
    return ret;
}
