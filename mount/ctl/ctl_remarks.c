/* SPDX-License-Identifier: MIT
 *
 * What derivctl says of files that are not used, and of doubts about those that are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "utf8.h"

const char *ctl_remark_title(enum remark_kind kind)
{
    switch (kind) {
    case REMARK_OMITTED:
    case REMARK_EXPECTED:
        return "not used";
    case REMARK_APART:
        return "not joined";
    case REMARK_REFUSED:
        return "error";
    case REMARK_DOUBT:
    case REMARK_NAME:
        return "warning";
    case REMARK_RULE:
        return "note";
    }
    return "";
}

bool target_is_dir(const struct target *t)
{
    struct entry entry;

    if (engine_lookup_path(t->engine, t->path, &entry, NULL) < 0)
        return false;
    entry_clear(&entry);
    return S_ISDIR(entry.st.st_mode);
}

int ctl_check_dir(const struct target *t)
{
    return target_is_dir(t) ? CTL_OK : ctl_say("%s: look up: no such directory", t->asked);
}

/* The remarks on one path, or with `only` NULL all of a directory. */
struct choice {
    const char *only;
    json_t *all; /* NULL: print them */
    size_t n;
};

/* A remark_fn. */
static int show(void *ctx, const struct remark *r)
{
    struct choice *c = ctx;

    /* what joining means is said of the file that is joined */
    if (r->kind == REMARK_RULE || (c->only && strcmp(c->only, r->path) != 0))
        return 0;
    c->n++;
    if (c->all)
        json_array_append_new(
            c->all, json_pack("{s:o, s:s, s:n, s:I, s:[], s:o}", "path", utf8_json(r->path),
                              "state", ctl_remark_title(r->kind), "shape", "bytes", (json_int_t)0,
                              "sources", "reason", utf8_json(r->text)));
    else
        ctl_print("%-10s %s: %s\n", ctl_remark_title(r->kind), r->path, r->text);
    return 0;
}

/* A remark_fn: what may be why a name is missing. */
static int say(void *ctx, const struct remark *r)
{
    (void)ctx;
    if (r->kind == REMARK_OMITTED || r->kind == REMARK_APART || r->kind == REMARK_REFUSED)
        ctl_say("%s: %s: %s", ctl_remark_title(r->kind), r->path, r->text);
    return 0;
}

/* The directory that `t` means or is in: malloced. */
static char *dir_of(const struct target *t)
{
    const char *name;
    char *dir;

    if (target_is_dir(t))
        return strdup(t->path);
    return split_path(t->path, &dir, &name) < 0 ? NULL : dir;
}

static void say_sight(const struct target *t, const char *dir, bool below)
{
    struct sight sight;
    char *text;

    if (engine_look(t->engine, dir, below, &sight, NULL) < 0 || sight.nruns > 0)
        return;
    text = sight_text(&sight);
    ctl_say("%s: no runs: %s%s",
            *dir        ? dir
            : !*t->path ? t->asked
                        : t->options.dataset,
            text ? text : "", !below && sight.nsubdirs > 0 ? "; not into its subdirectories" : "");
    free(text);
}

size_t ctl_show_remarks(const struct target *t, json_t *all, bool sight)
{
    struct choice choice = {.all = all};
    char *dir = dir_of(t);
    bool is_dir = target_is_dir(t);

    choice.only = is_dir ? NULL : t->path;
    if (dir)
        engine_remarks(t->engine, dir, show, &choice, NULL); /* no runs can be here */
    if (dir && is_dir && sight)
        say_sight(t, dir, false);
    free(dir);
    return choice.n;
}

void ctl_say_why_missing(const struct target *t, bool below)
{
    char *dir = dir_of(t);

    if (!dir)
        return;
    if (!below)
        engine_remarks(t->engine, dir, say, NULL, NULL);
    say_sight(t, dir, below);
    free(dir);
}
