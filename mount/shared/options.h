/* SPDX-License-Identifier: MIT
 *
 * Options: what derivfs and derivctl are told on the command line, and the defaults.
 */
#ifndef DERIVFS_OPTIONS_H
#define DERIVFS_OPTIONS_H

#include <stdbool.h>

#include "engine.h"

struct fuse_args;

/* Filled by options_parse(); all strings are owned. */
struct options {
    char *dataset, *mountpoint; /* absolute; NULL where not given */
    char *cache_dir, *cache_size, *threads, *memory, *recipes, *layout, *annex, *xattr_text,
        *log_level_text;
    int show_help, show_version, xattr;
    enum log_level log_level;
    struct engine_config engine; /* points into the strings above */
};

/* Take derivfs' own options and the two paths out of `args`; FUSE's options stay in it. Options
 * that only mount(8) and fstab understand are dropped. EINVAL with a sentence. */
int options_parse(struct fuse_args *args, struct options *out, struct error *err) NODISCARD;
void options_free(struct options *o);

/* A copy of the texts of `from`, to be resolved on its own. ENOMEM. */
int options_copy(const struct options *from, struct options *out) NODISCARD;

/* Fill `engine` from the texts, with defaults for what was not given. EINVAL with a sentence. */
int options_resolve(struct options *o, struct error *err) NODISCARD;

/* The part of --help that lists derivfs' own options. */
extern const char options_help[];

#endif
