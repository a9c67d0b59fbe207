/* SPDX-License-Identifier: MIT
 *
 * The texts that a copy of the derivative dataset needs besides images and tables.
 */
#include <errno.h>

#include "description.h"
#include "engine_private.h"
#include "sidecar.h"

char *engine_sidecar(const struct derived *d)
{
    return sidecar_text(d, DESCRIPTION_RAW);
}

const char *engine_description(struct engine *e, size_t i, const char *raw, char **text)
{
    const char *name = description_name(i);
    struct recipe_table *table = name ? recipes_get(e->tree.recipes) : NULL;

    *text = NULL;
    if (name && description_text(name, dataset_path(e->tree.dataset), raw, table, text, NULL) < 0)
        *text = NULL;
    recipe_table_put(table);
    return name;
}
