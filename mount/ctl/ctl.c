/* SPDX-License-Identifier: MIT
 *
 * derivctl: command line and dispatch. To add a command: one row of the table.
 */
#include "ctl.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "grow.h"
#include "suggest.h"
#include "text.h"

enum {
    TAKES_JSON = 1,
    TAKES_WATCH = 2,
    TAKES_NO_OPEN = 4,
    TAKES_OUT = 8,
    TAKES_RECURSIVE = 16,
    TAKES_EXPORT = 32,
    TAKES_WITH = 64,
    TAKES_ANY = ~0,
};

static const struct command {
    const char *name, *operands, *help;
    int (*run)(const struct ctl *ctl);
    unsigned takes;    /* options beside those of derivfs */
    const char *about; /* for the command's own help */
} commands[] = {
    {"list", "[PATH]", "derived files, with state, shape and runs", ctl_list,
     TAKES_JSON | TAKES_RECURSIVE,
     "Lists the derived files of a directory, or one of them; then the files that are not used,\n"
     "and why. With -r, also those of all directories below.\n"},
    {"explain", "PATH", "expression, array, sources, tasks, cache key, state", ctl_explain,
     TAKES_JSON,
     "Shows how a derived file is computed, and of a file of the dataset why it is no run.\n"},
    {"graph", "PATH [-o FILE]", "the task graph: DOT, or .dot, .svg, .png by FILE", ctl_graph,
     TAKES_OUT, "Prints the tasks of a derived file in Graphviz's language, or draws them.\n"},
    {"compute", "PATH... [-o OUT] | -r DIR... [NAME...]",
     "compute without a mount, into the same cache", ctl_compute,
     TAKES_OUT | TAKES_RECURSIVE | TAKES_WITH,
     "Computes files, or all that `list` shows of directories. The results stay in the cache.\n"
     "With -r, also in all directories below; NAME, as tsnr.nii, chooses files of each group and\n"
     "run.\n\n"
     "    derivctl compute study/sub-01/func/tsnr.nii -o tsnr.nii.gz\n"
     "    derivctl compute study/sub-01/func study/sub-02/func\n"
     "    derivctl compute -r study tsnr.nii\n"
     "    derivctl compute study/group_tsnr.tsv -o -\n"},
    {"export", "DATASET DEST", "write a BIDS derivative dataset", ctl_export, TAKES_EXPORT,
     "Writes the images of all runs and groups, their sidecars and the tables as files of a BIDS\n"
     "derivative dataset. Run again, it writes only what has changed.\n\n"
     "    derivctl export study study/derivatives/tsnr\n"
     "    derivctl export study out --recipe=tsnr --participant-label=01,02\n"},
    {"recipes", "[PATH]", "the recipes in force: formulas, parameters, origin", ctl_recipes,
     TAKES_JSON, "Lists the recipes of a mount, or those that the options and defaults give.\n"},
    {"report", "DATASET -o DIR", "a page with numbers and pictures of all runs", ctl_report,
     TAKES_OUT | TAKES_WITH,
     "Computes the tSNR of each run, and writes into DIR a page that shows which runs stand out, "
     "its\n"
     "pictures, and the group table. The same command continues after an interruption.\n\n"
     "    derivctl report study -o report\n"},
    {"view", "PATH", "show a derived image in a viewer or a browser", ctl_view, TAKES_NO_OPEN,
     "Computes an image and shows it in $DERIVFS_VIEWER, an installed viewer or a browser.\n"},
    {"run", "DATASET [OPTION...] -- COMMAND...",
     "run a program that sees the files, without a mount", ctl_run, TAKES_ANY, ""},
    {"status", "[MOUNTPOINT] [--watch]", "running tasks, queue, use of memory and cache",
     ctl_status, TAKES_JSON | TAKES_WATCH, "Shows what the mounts of this machine are doing.\n"},
    {"work", "JOBDIR N", "compute an element of a job that engine=NAME has submitted", ctl_work, 0,
     "The script of a job calls it on its node. What it has to say is in JOBDIR.\n"},
    {"cache", "info|verify|prune|clear", "maintain the cache directory", ctl_cache, TAKES_JSON,
     "info: its size. verify: compare all entries with their checksums. prune: shrink it to\n"
     "cache_size. clear: remove all entries. To take another directory: --cache_dir.\n"},
};

enum { NCOMMANDS = sizeof commands / sizeof *commands };

static const struct {
    unsigned takes; /* the commands that take it; 0: all */
    const char *help;
} option_lines[] = {
    {TAKES_JSON, "    --json                 machine-readable output (list, explain, recipes, "
                 "status, cache)\n"},
    {TAKES_WATCH, "    --watch                print again every second (status)\n"},
    {TAKES_NO_OPEN, "    --no-open              serve the page and print its address (view)\n"},
    {TAKES_OUT, "    -o FILE                write the result to FILE (compute, graph), or files\n"
                "                           to the directory FILE (report)\n"},
    {TAKES_RECURSIVE,
     "    -r                     a directory with its subdirectories (compute, list)\n"},
    {TAKES_WITH, "    --with=LIST            join participants, scans: columns of the dataset's "
                 "tables (report,\n"
                 "                           compute -o TABLE)\n"},
    {TAKES_EXPORT,
     "    --recipe=NAME          only this recipe, with parameters or without (export; may be\n"
     "                           given more than once, as the next two)\n"
     "    --participant-label=LABEL --session-label=LABEL\n"
     "                           only these participants and sessions, and no tables (export)\n"
     "    --level=LEVEL          participant: only images; group: only tables (export)\n"},
    {0, "    --cache_dir=DIR --cache_size=SIZE --threads=N --memory=SIZE --recipes=FILE\n"
        "    --engine=NAME --submit_above=SECONDS --submit_jobs=N\n"
        "    --layout=LAYOUT --annex=CHOICE --trust_ids=LIST --join=CHOICE\n"
        "    --cache_from=DIR --cache_from_owner=USER\n"
        "                           as for derivfs; default: those of the mount\n"
        "    -h, --help             this text; of a command: derivctl COMMAND --help\n"
        "    -V, --version          the version\n"},
};

static const char path_help[] = "PATH is a path in a mount, or the same path under the dataset "
                                "when nothing is\nmounted.\n\n";

/* The options of one command, or with NULL all. */
static void print_options(FILE *f, const struct command *c)
{
    for (size_t i = 0; i < sizeof option_lines / sizeof *option_lines; i++)
        if (!c || option_lines[i].takes == 0 || (option_lines[i].takes & c->takes))
            fputs(option_lines[i].help, f);
}

static void print_help(FILE *f, const struct command *c)
{
    fprintf(f, "usage: derivctl %s %s\n\n", c ? c->name : "COMMAND",
            c ? c->operands : "[options] ...");
    if (c)
        fprintf(f, "%s\n", c->about);
    for (int i = 0; !c && i < NCOMMANDS; i++)
        fprintf(f, "    %-7s %-38s %s\n", commands[i].name, commands[i].operands, commands[i].help);
    if (!c || strstr(c->operands, "PATH"))
        fprintf(f, "%s%s", c ? "" : "\n", path_help);
    print_options(f, c);
}

static int usage(void)
{
    fprintf(stderr, "usage: derivctl COMMAND [options] ... (derivctl --help lists the commands)\n");
    return CTL_USAGE;
}

/* NULL after a message. */
static const struct command *find_command(const char *name)
{
    struct suggestion guess = {.word = name};

    for (int i = 0; i < NCOMMANDS; i++) {
        if (strcmp(name, commands[i].name) == 0) {
            free(guess.best);
            return &commands[i];
        }
        suggestion_try(&guess, commands[i].name);
    }
    ctl_say("%s: no such command%s%s%s", name, guess.best ? " (did you mean " : "",
            guess.best ? guess.best : "", guess.best ? "?)" : "");
    free(guess.best);
    return NULL;
}

/* ---- options ---- */

/* Options that have a long name only. */
enum { LONG_RECIPE = 256, LONG_PARTICIPANT, LONG_SESSION, LONG_LEVEL, LONG_WITH, LONG_SHARED };

/* By the bits of TAKES_: */
static const char *const option_names_of[] = {
    "--json", "--watch", "--no-open", "-o", "-r", "an option of export", "--with"};

/* What of the command line is not in struct ctl. */
struct parsed {
    bool help;
    unsigned takes; /* of the options that were given */
};

/* Append the words between commas; of labels without "sub-" or "ses-". -ENOMEM. */
static int add_words(struct words *w, const char *list, const char *prefix)
{
    while (*list) {
        size_t nbytes = prefix ? strcspn(list, ",") : strlen(list), n = prefix ? strlen(prefix) : 0;
        size_t skip = n > 0 && strncmp(list, prefix, n) == 0 ? n : 0;
        char *word = nbytes > skip ? strndup(list + skip, nbytes - skip) : NULL;

        if (nbytes > skip && (!word || GROW(w->at, w->n) < 0)) {
            free(word);
            return -ENOMEM;
        }
        if (word)
            w->at[w->n++] = word;
        list += nbytes + (list[nbytes] == ',');
    }
    return 0;
}

static int set_level(struct ctl *ctl, const char *level)
{
    if (strcmp(level, "participant") != 0 && strcmp(level, "group") != 0) {
        ctl_say("--level=%s: expected participant or group", level);
        return CTL_USAGE;
    }
    ctl->level = *level == 'p' ? LEVEL_PARTICIPANT : LEVEL_GROUP;
    return -1;
}

/* "participants,scans". As take_value(). */
static int set_with(struct ctl *ctl, const char *list)
{
    static const char *const tables[] = {"participants", "scans"}; /* of enum table_with */
    const char *at = list;
    bool known = true;

    for (size_t n; known; at += n + 1) {
        n = strcspn(at, ",");
        known = false;
        for (unsigned i = 0; i < sizeof tables / sizeof *tables; i++)
            if (text_is(tables[i], at, n)) {
                ctl->with |= 1U << i;
                known = true;
            }
        if (known && !at[n])
            return -1;
    }
    ctl_say("--with=%s: takes participants, scans, or both with a comma between", list);
    return CTL_USAGE;
}

/* An option with a value. Returns -1 to go on, else the exit status. */
static int take_value(struct ctl *ctl, int option, const char *value)
{
    int ret = 0;

    if (option >= LONG_SHARED)
        ret = options_set(&ctl->options, (enum option_id)(option - LONG_SHARED), value);
    else if (option == LONG_RECIPE)
        ret = add_words(&ctl->recipes, value, NULL); /* parameters have commas */
    else if (option == LONG_PARTICIPANT)
        ret = add_words(&ctl->participants, value, "sub-");
    else if (option == LONG_SESSION)
        ret = add_words(&ctl->sessions, value, "ses-");
    else if (option == LONG_WITH)
        return set_with(ctl, value);
    else
        return set_level(ctl, value);
    return ret < 0 ? ctl_say("out of memory") : -1;
}

static int take_option(struct ctl *ctl, struct parsed *p, int option, const char *value)
{
    static const struct {
        int option;
        unsigned takes;
    } rules[] = {{'j', TAKES_JSON},
                 {'w', TAKES_WATCH},
                 {'n', TAKES_NO_OPEN},
                 {'o', TAKES_OUT},
                 {'r', TAKES_RECURSIVE},
                 {LONG_RECIPE, TAKES_EXPORT},
                 {LONG_LEVEL, TAKES_EXPORT},
                 {LONG_PARTICIPANT, TAKES_EXPORT},
                 {LONG_SESSION, TAKES_EXPORT},
                 {LONG_WITH, TAKES_WITH}};

    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].option == option)
            p->takes |= rules[i].takes;
    ctl->json = ctl->json || option == 'j';
    ctl->watch = ctl->watch || option == 'w';
    ctl->no_open = ctl->no_open || option == 'n';
    ctl->recursive = ctl->recursive || option == 'r';
    p->help = p->help || option == 'h';
    if (option == 'o')
        ctl->out = value;
    if (option == 'V') {
        printf("%s\n", DERIVFS_VERSION_TEXT);
        return CTL_OK;
    }
    if (option == '?')
        return usage();
    return option >= LONG_RECIPE ? take_value(ctl, option, value) : -1;
}

/* Returns -1 to go on, else the exit status. */
static int parse(struct ctl *ctl, struct parsed *p, int argc, char **argv)
{
    static const struct option own[] = {
        {"json", no_argument, NULL, 'j'},
        {"watch", no_argument, NULL, 'w'},
        {"no-open", no_argument, NULL, 'n'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {"recipe", required_argument, NULL, LONG_RECIPE},
        {"participant-label", required_argument, NULL, LONG_PARTICIPANT},
        {"session-label", required_argument, NULL, LONG_SESSION},
        {"level", required_argument, NULL, LONG_LEVEL},
        {"with", required_argument, NULL, LONG_WITH},
    };
    enum { NFLAGS = sizeof own / sizeof *own };
    struct option longs[NFLAGS + OPTION_NSHARED + 1] = {{NULL, 0, NULL, 0}};
    int option, ret = -1;

    memcpy(longs, own, sizeof own);
    for (int i = 0; i < OPTION_NSHARED; i++)
        longs[NFLAGS + i] =
            (struct option){option_names[i], required_argument, NULL, LONG_SHARED + i};
    options_spell(argc, argv, longs);
    while (ret < 0 && (option = getopt_long(argc, argv, "ho:rV", longs, NULL)) != -1) {
        ret = take_option(ctl, p, option, optarg);
    }
    return ret;
}

/* ---- commands ---- */

static int run_command(struct ctl *ctl, const struct parsed *p, int argc, char **argv)
{
    const struct command *c = find_command(argv[optind]);
    int ret;

    if (!c)
        return usage();
    if (p->help) {
        print_help(stdout, c);
        return CTL_OK;
    }
    ctl->npaths = argc - optind - 1;
    ctl->paths = argv + optind + 1;
    for (size_t i = 0; i < sizeof option_names_of / sizeof *option_names_of; i++)
        if (p->takes & ~c->takes & (1u << i)) {
            ctl_say("%s: %s is no option of this command (derivctl %s --help)", c->name,
                    option_names_of[i], c->name);
            return CTL_USAGE;
        }
    ret = c->run(ctl);
    if (ret == CTL_USAGE)
        fprintf(stderr, "usage: derivctl %s %s\n", c->name, c->operands);
    return ret;
}

/* The words after `run` are for derivfs and for another program. */
static bool parses_itself(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], "run") == 0;
}

static void free_words(struct words *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->at[i]);
    free(w->at);
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.json = false};
    struct parsed parsed = {.help = false};
    int ret;

    signal(SIGCHLD, SIG_DFL); /* if it were ignored, waitpid() would not return exit statuses */
    ret = parses_itself(argc, argv) ? -1 : parse(&ctl, &parsed, argc, argv);
    if (ret < 0 && optind < argc && strcmp(argv[optind], "help") == 0) {
        parsed.help = true;
        optind++;
    }
    if (ret < 0 && optind < argc) {
        ret = run_command(&ctl, &parsed, argc, argv);
    } else if (ret < 0) {
        print_help(parsed.help ? stdout : stderr, NULL);
        ret = parsed.help ? CTL_OK : CTL_USAGE;
    }
    options_free(&ctl.options);
    free_words(&ctl.recipes);
    free_words(&ctl.participants);
    free_words(&ctl.sessions);
    if (fflush(stdout) != 0)
        ret = ctl_say("cannot write to standard output: %s", strerror(errno));
    return ret;
}
