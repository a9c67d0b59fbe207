/* SPDX-License-Identifier: MIT
 *
 * Owner and group are those of the first source.
 */
#include "source_rights.h"

const struct rights rights_of_all = {.mode = 07777}; /* no owner yet */

void rights_add(struct rights *r, const struct rights *part)
{
    if (rights_equal(r, &rights_of_all))
        *r = (struct rights){0444, part->uid, part->gid};
    rights_restrict(r, RIGHT_READ, part->mode, part->uid, part->gid);
}

void rights_add_run(struct rights *r, const struct run *run)
{
    if (run->id.ino != 0 || run->absent)
        rights_add(r, &(struct rights){run->id.mode, run->id.uid, run->id.gid});
}

void rights_end(struct rights *r)
{
    r->mode &= 0444;
    if (!r->mode)
        *r = rights_of_owner();
}

struct rights runs_rights(const struct dir_scan *scan)
{
    struct rights r = rights_of_all;

    for (size_t i = 0; i < scan->nruns; i++)
        rights_add_run(&r, scan->runs[i].run);
    rights_end(&r);
    return r;
}
