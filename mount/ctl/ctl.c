/* SPDX-License-Identifier: MIT
 *
 * derivctl: command line and dispatch. To add a command: one row of the table.
 */
#include "ctl.h"

#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json_text.h"
#include "suggest.h"
#include "utf8.h"

static const struct {
    const char *name, *operands, *help;
    int (*run)(const struct ctl *ctl);
} commands[] = {
    {"list", "[PATH]", "derived files, with state, shape and runs", ctl_list},
    {"explain", "PATH", "expression, array, sources, tasks, cache key, state", ctl_explain},
    {"graph", "PATH [-o FILE]", "the task graph: DOT, or .dot, .svg, .png by FILE", ctl_graph},
    {"compute", "PATH... [-o OUT] | -r DIR... [NAME...]",
     "compute without a mount, into the same cache", ctl_compute},
    {"view", "PATH", "show a derived image in a viewer or a browser", ctl_view},
    {"run", "DATASET [OPTION...] -- COMMAND...",
     "run a program that sees the files, without a mount", ctl_run},
    {"status", "[MOUNTPOINT] [--watch]", "running tasks, queue, use of memory and cache",
     ctl_status},
    {"cache", "info|verify|prune|clear", "maintain the cache directory", ctl_cache},
};

enum { NCOMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *f)
{
    fprintf(f, "usage: derivctl COMMAND [options] ...\n\n");
    for (int i = 0; i < NCOMMANDS; i++)
        fprintf(f, "    %-7s %-35s %s\n", commands[i].name, commands[i].operands, commands[i].help);
    fprintf(f, "\nPATH is a path in a mount, or the same path under the dataset when nothing is\n"
               "mounted.\n\n"
               "    --json                 machine-readable output (list, explain, status, cache)\n"
               "    --watch                print again every second (status)\n"
               "    --no-open              serve the page and print its address (view)\n"
               "    -o FILE                write the result to FILE (compute, graph)\n"
               "    -r                     a directory with its subdirectories (compute)\n"
               "    --cache_dir=DIR --cache_size=SIZE --threads=N --memory=SIZE --recipes=FILE\n"
               "    --layout=LAYOUT --annex=CHOICE --trust_ids=LIST --join=CHOICE\n"
               "    --cache_from=DIR --cache_from_owner=USER\n"
               "                           as for derivfs; default: those of the mount\n"
               "    -h, --help             this text\n"
               "    -V, --version          the version\n");
}

static int usage(void)
{
    print_help(stderr);
    return CTL_USAGE;
}

/* The words after `run` are for derivfs and for another program. */
static bool parses_itself(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], "run") == 0;
}

static int say_unknown(const char *command)
{
    struct suggestion guess = {.word = command};

    for (int i = 0; i < NCOMMANDS; i++)
        suggestion_try(&guess, commands[i].name);
    ctl_say("%s: no such command%s%s%s", command, guess.best ? " (did you mean " : "",
            guess.best ? guess.best : "", guess.best ? "?)" : "");
    free(guess.best);
    return usage();
}

/* Returns -1 to go on, else the exit status. */
static int parse(struct ctl *ctl, int argc, char **argv)
{
    enum { FIRST_SHARED = 256, NFLAGS = 5 };
    struct option longs[NFLAGS + OPTION_NSHARED + 1] = {
        {"json", no_argument, NULL, 'j'},    {"watch", no_argument, NULL, 'w'},
        {"no-open", no_argument, NULL, 'n'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
    };
    int option;

    for (int i = 0; i < OPTION_NSHARED; i++)
        longs[NFLAGS + i] =
            (struct option){option_names[i], required_argument, NULL, FIRST_SHARED + i};
    while ((option = getopt_long(argc, argv, "ho:rV", longs, NULL)) != -1) {
        if (option >= FIRST_SHARED) {
            if (options_set(&ctl->options, (enum option_id)(option - FIRST_SHARED), optarg) < 0)
                return ctl_say("out of memory");
        } else if (option == 'j') {
            ctl->json = true;
        } else if (option == 'w') {
            ctl->watch = true;
        } else if (option == 'o') {
            ctl->out = optarg;
        } else if (option == 'n') {
            ctl->no_open = true;
        } else if (option == 'r') {
            ctl->recursive = true;
        } else if (option == 'h') {
            print_help(stdout);
            return CTL_OK;
        } else if (option == 'V') {
            printf("%s\n", DERIVFS_VERSION_TEXT);
            return CTL_OK;
        } else {
            return usage();
        }
    }
    return -1;
}

/* Prints nothing if memory runs out. */
static void print_shown(FILE *f, const char *before, const char *fmt, va_list args,
                        const char *behind)
{
    char *shown = utf8_vshown(fmt, args);

    if (shown)
        fprintf(f, "%s%s%s", before, shown, behind);
    free(shown);
}

int ctl_say(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print_shown(stderr, "derivctl: ", fmt, args, "\n");
    va_end(args);
    return CTL_FAILED;
}

void ctl_print(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print_shown(stdout, "", fmt, args, "");
    va_end(args);
}

void ctl_print_json(json_t *value)
{
    char *text = json_text(value);

    if (text)
        fputs(text, stdout);
    free(text);
    json_decref(value);
}

int main(int argc, char **argv)
{
    struct ctl ctl = {.json = false};
    int ret;

    signal(SIGCHLD, SIG_DFL); /* if it were ignored, waitpid() would not return exit statuses */
    ret = parses_itself(argc, argv) ? -1 : parse(&ctl, argc, argv);
    if (ret < 0 && optind == argc)
        ret = usage();
    for (int i = 0; ret < 0 && i < NCOMMANDS; i++)
        if (strcmp(argv[optind], commands[i].name) == 0) {
            ctl.npaths = argc - optind - 1;
            ctl.paths = argv + optind + 1;
            ret = commands[i].run(&ctl);
            if (ret == CTL_USAGE)
                fprintf(stderr, "usage: derivctl %s %s\n", commands[i].name, commands[i].operands);
        }
    if (ret < 0) {
        ret = say_unknown(argv[optind]);
    }
    options_free(&ctl.options);
    if (fflush(stdout) != 0)
        ret = ctl_say("cannot write to standard output: %s", strerror(errno));
    return ret;
}
