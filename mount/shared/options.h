/* SPDX-License-Identifier: MIT
 *
 * The command-line options of derivfs and derivctl, and their defaults.
 */
#ifndef DERIVFS_OPTIONS_H
#define DERIVFS_OPTIONS_H

#include <stdbool.h>
#include <sys/types.h>

#include "engine.h"

struct fuse_args;
struct option;

/* Options that take a value. Those before OPTION_NSHARED are derivctl's too. */
enum option_id {
    OPTION_CACHE_DIR,
    OPTION_CACHE_SIZE,
    OPTION_CACHE_FROM,
    OPTION_CACHE_FROM_OWNER,
    OPTION_THREADS,
    OPTION_MEMORY,
    OPTION_RECIPES,
    OPTION_LAYOUT,
    OPTION_ANNEX,
    OPTION_TRUST_IDS,
    OPTION_JOIN,
    OPTION_ENGINE,
    OPTION_SUBMIT_ABOVE,
    OPTION_SUBMIT_JOBS,
    OPTION_NSHARED,
    OPTION_XATTR = OPTION_NSHARED,
    OPTION_LOG_LEVEL,
    OPTION_NTEXTS,
};

extern const char *const option_names[OPTION_NTEXTS];

/* Of OPTION_CACHE_FROM and OPTION_CACHE_FROM_OWNER, each. */
enum { OPTION_NVALUES_MAX = 16 };

/* All strings are owned; NULL where not given. */
struct options {
    char *dataset, *mountpoint; /* absolute */
    char *text[OPTION_NTEXTS];  /* values as given, by enum option_id; several: a line each */
    char *cache_from[OPTION_NVALUES_MAX];
    uid_t cache_owners[OPTION_NVALUES_MAX];
    char *engines;         /* path of the settings file of batch systems */
    char *worker[3];       /* "derivctl", "work", NULL */
    char *worker_settings; /* where an engine is given: the options that decide about results */
    int show_help, show_version, xattr, shared, nosymfollow;
    unsigned max_read; /* FUSE's option, which stays; 0: not given */
    enum log_level log_level;
    struct engine_config engine; /* points into the strings above */
};

/* Move derivfs' own options and the two paths from `args` to `out`; FUSE's options stay. Drops the
 * options that only mount(8) and fstab understand. EINVAL with a sentence. */
int options_parse(struct fuse_args *args, struct options *out, struct error *err) NODISCARD;
void options_free(struct options *o);

/* Replace the value of an option, or add one where an option may have several. -ENOMEM. */
int options_set(struct options *o, enum option_id option, const char *value) NODISCARD;

/* Copy the values of `from`, to be resolved separately. -ENOMEM: free *out all the same. */
int options_copy(const struct options *from, struct options *out) NODISCARD;

/* Fill `engine`, `xattr` and `log_level` from values and defaults. EINVAL with a sentence. */
int options_resolve(struct options *o, struct error *err) NODISCARD;

/* In argv[argc] spell options like these long ones [up to a name that is NULL]: those of others may
 * be written with "-" or "_". */
void options_spell(int argc, char **argv, const struct option *longs);
/* Take over a line NAME=VALUE of `worker_settings`. EINVAL: no such option. */
int options_take_setting(struct options *o, const char *name, const char *value,
                         struct error *err) NODISCARD;

/* The part of --help that lists derivfs' own options. */
extern const char options_help[];

#endif
