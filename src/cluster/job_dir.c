/* SPDX-License-Identifier: MIT
 *
 * A file is written under a temporary name and renamed, so that no node sees half of one.
 *
 *     N.state:    running|ended DONE_BYTES SECONDS NODE
 *                 ok TASK
 *                 failed TASK REASON
 */
#include "job_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fd.h"
#include "grow.h"
#include "text.h"

static int failed(struct error *err, const char *what, const char *path)
{
    return error_set(err, errno, "%s: cannot %s: %s", path, what, strerror(errno));
}

int job_dir_make(const char *parent, char **out, struct error *err)
{
    if (mkdir(parent, 0700) < 0 && errno != EEXIST)
        return failed(err, "make a directory for jobs", parent);
    *out = join_path(parent, "job-XXXXXX");
    if (*out && mkdtemp(*out))
        return 0;
    free(*out);
    return failed(err, "make a directory for a job", parent);
}

static int write_all(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode), ret;

    if (fd < 0)
        return -errno;
    ret = fd_write(fd, text, strlen(text));
    if (close(fd) < 0 && ret == 0)
        ret = -errno;
    return ret;
}

static int write_file(const char *dir, const char *name, const char *text, mode_t mode,
                      struct error *err)
{
    char *path = join_path(dir, name), *temporary = NULL;
    int ret = path && asprintf(&temporary, "%s.new", path) >= 0 ? 0 : -ENOMEM;

    if (ret == 0)
        ret = write_all(temporary, text, mode);
    if (ret == 0 && rename(temporary, path) < 0)
        ret = -errno;
    if (ret < 0)
        error_set(err, -ret, "%s/%s: cannot write: %s", dir, name, strerror(-ret));
    free(path);
    free(temporary);
    return ret;
}

int job_dir_write(const char *dir, const char *name, const char *text, struct error *err)
{
    return write_file(dir, name, text, 0600, err);
}

/* Print `word` so that sh(1) takes it as it is. */
static void print_quoted(FILE *f, const char *word)
{
    fputc('\'', f);
    for (; *word; word++)
        if (*word == '\'')
            fputs("'\\''", f);
        else
            fputc(*word, f);
    fputs("' ", f);
}

int job_dir_write_script(const char *dir, char *const *worker, struct error *err)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    int ret;

    if (!f)
        return error_set(err, ENOMEM, "%s: out of memory", dir);
    fputs("#!/bin/sh\nexec ", f);
    for (; *worker; worker++)
        print_quoted(f, *worker);
    print_quoted(f, dir);
    fputs("\"${1:-${SLURM_ARRAY_TASK_ID:-${PBS_ARRAY_INDEX:-${SGE_TASK_ID:-1}}}}\"\n", f);
    text = text_end(f, &text);
    ret = text ? write_file(dir, "script", text, 0700, err)
               : error_set(err, ENOMEM, "%s: out of memory", dir);
    free(text);
    return ret;
}

int job_dir_copy_recipes(const char *dir, const char *from, struct error *err)
{
    FILE *f = fopen(from, "re");
    char *text = NULL;
    size_t cap = 0;
    int ret = 0;

    if (!f)
        return errno == ENOENT ? job_dir_write(dir, "recipes.ini", "", err)
                               : failed(err, "open", from);
    if (getdelim(&text, &cap, '\0', f) < 0 && ferror(f))
        ret = failed(err, "read", from);
    else
        ret = job_dir_write(dir, "recipes.ini", text && *text ? text : "", err);
    free(text);
    fclose(f);
    return ret;
}

/* Call `fn` with each name in a directory, but "." and "..". */
static void each_name(const char *dir, void (*fn)(const char *path))
{
    DIR *d = opendir(dir);
    struct dirent *entry;

    while (d && (entry = readdir(d))) {
        char *path = entry->d_name[0] == '.' ? NULL : join_path(dir, entry->d_name);

        if (path)
            fn(path);
        free(path);
    }
    if (d)
        closedir(d);
}

static void remove_file(const char *path)
{
    (void)unlink(path);
}

void job_dir_remove(const char *dir)
{
    each_name(dir, remove_file);
    (void)rmdir(dir);
}

/* ---- reading ---- */

static FILE *open_file(const char *dir, unsigned n, const char *ending)
{
    char *path;
    FILE *f;

    if (asprintf(&path, "%s/%u.%s", dir, n, ending) < 0)
        return NULL;
    f = fopen(path, "re");
    free(path);
    return f;
}

/* The next line without its newline: NULL after the last. */
static char *next_line(FILE *f, char **line, size_t *cap)
{
    ssize_t n = getline(line, cap, f);

    if (n <= 0)
        return NULL;
    if ((*line)[n - 1] == '\n')
        (*line)[n - 1] = '\0';
    return *line;
}

bool job_dir_read_state(const char *dir, unsigned n, struct job_state *out, job_result_fn *result,
                        void *ctx)
{
    FILE *f = open_file(dir, n, "state");
    char *line = NULL, word[8];
    size_t cap = 0, task;
    bool ok;
    int at;

    *out = (struct job_state){.ended = false};
    if (!f)
        return false;
    ok = next_line(f, &line, &cap) && sscanf(line, "%7s %" SCNu64 " %lf %63s", word,
                                             &out->done_nbytes, &out->seconds, out->node) == 4;
    out->ended = ok && strcmp(word, "ended") == 0;
    while (ok && next_line(f, &line, &cap))
        if (sscanf(line, "%7s %zu%n", word, &task, &at) == 2)
            result(ctx, task, strcmp(word, "ok") == 0 ? NULL : line + at + (line[at] == ' '));
    free(line);
    fclose(f);
    return ok;
}

static void ignore_result(void *ctx, size_t task, const char *failure)
{
    (void)ctx;
    (void)task;
    (void)failure;
}

static bool has_tasks(const char *dir, unsigned n)
{
    FILE *f = open_file(dir, n, "tasks");

    if (f)
        fclose(f);
    return f;
}

/* Has each worker said that it has ended? */
static bool is_over(const char *dir)
{
    struct job_state state;
    unsigned n = 1;

    while (job_dir_read_state(dir, n, &state, ignore_result, NULL) && state.ended)
        n++;
    return n > 1 && !has_tasks(dir, n);
}

/* Each new state is a change of the directory. */
static void remove_old(const char *dir)
{
    enum { HOUR_S = 3600, WEEK_S = 7 * 24 * HOUR_S };
    struct stat st;
    time_t age_s;

    if (lstat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
        return;
    age_s = time(NULL) - st.st_mtime;
    if (age_s > WEEK_S || (age_s > HOUR_S && is_over(dir)))
        job_dir_remove(dir);
}

void job_dir_sweep(const char *parent)
{
    each_name(parent, remove_old);
}

int job_dir_read_tasks(const char *dir, unsigned n, struct job_task **tasks, size_t *ntasks,
                       struct error *err)
{
    FILE *f = open_file(dir, n, "tasks");
    char *line = NULL, *rest;
    size_t cap = 0;
    int ret = 0;

    *tasks = NULL;
    *ntasks = 0;
    if (!f)
        return failed(err, "open N.tasks", dir);
    while (ret == 0 && next_line(f, &line, &cap)) {
        struct job_task task = {.off = strtoull(line, &rest, 10)};

        task.work_nbytes = strtoull(rest, &rest, 10);
        task.name_at = strtoull(rest, &rest, 10);
        if (*rest != ' ' || task.name_at > strlen(rest + 1))
            ret = error_set(err, EINVAL, "%s/%u.tasks: not a list of tasks", dir, n);
        else if (GROW(*tasks, *ntasks) < 0 || !(task.path = strdup(rest + 1)))
            ret = error_set(err, ENOMEM, "%s: out of memory", dir);
        else
            (*tasks)[(*ntasks)++] = task;
    }
    free(line);
    fclose(f);
    if (ret < 0)
        job_tasks_free(*tasks, *ntasks);
    return ret;
}

void job_tasks_free(struct job_task *tasks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(tasks[i].path);
    free(tasks);
}

int job_dir_read_settings(const char *dir,
                          int (*set)(void *ctx, const char *name, const char *value,
                                     struct error *err),
                          void *ctx, struct error *err)
{
    char *path = join_path(dir, "settings"), *line = NULL, *value;
    FILE *f = path ? fopen(path, "re") : NULL;
    size_t cap = 0;
    int ret = f ? 0 : failed(err, "open", path ? path : dir);

    while (ret == 0 && next_line(f, &line, &cap)) {
        value = strchr(line, '=');
        if (value)
            *value++ = '\0';
        ret = value ? set(ctx, line, value, err)
                    : error_set(err, EINVAL, "%s: not NAME=VALUE: %s", path, line);
    }
    if (f)
        fclose(f);
    free(line);
    free(path);
    return ret;
}

int job_dir_write_state(const char *dir, unsigned n, const struct job_state *state,
                        const char *results, struct error *err)
{
    char name[32], *text;
    int ret;

    snprintf(name, sizeof name, "%u.state", n);
    if (asprintf(&text, "%s %" PRIu64 " %.3f %s\n%s", state->ended ? "ended" : "running",
                 state->done_nbytes, state->seconds, state->node, results) < 0)
        return error_set(err, ENOMEM, "%s: out of memory", dir);
    ret = job_dir_write(dir, name, text, err);
    free(text);
    return ret;
}
