/* SPDX-License-Identifier: MIT
 *
 * A command's output is read to its end, or until it takes too long. The processes that `sh` starts
 * go on: they have a session of their own.
 */
#include "batch_system.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "monotonic.h"
#include "text.h"
#include "utf8.h"

static const struct preset {
    const char *name, *submit, *poll, *cancel;
} presets[] = {
    {"slurm",
     "id=$(sbatch --parsable --requeue --job-name=derivfs --array=1-\"$JOBS\" "
     "--cpus-per-task=\"$THREADS\" --mem=\"${MEMORY_MB}M\" --output=\"$JOBDIR/%a.log\" "
     "$OPTIONS \"$JOBDIR/script\") && echo \"${id%%;*}\"",
     /* of a job that has been forgotten, nothing is left to say */
     "out=$(squeue --noheader --array --states=all --jobs=\"$ID\" --format='%K %T' 2>&1) || "
     "case $out in *'Invalid job id'*) exit 0 ;; *) echo \"$out\" >&2; exit 1 ;; esac; "
     "printf '%s\\n' \"$out\"",
     "scancel \"$ID\""},
    {"pbs",
     /* an array has at least two elements */
     "array=; [ \"$JOBS\" = 1 ] || array=\"-J 1-$JOBS\"; "
     "qsub -N derivfs $array -r y -j oe -o \"$JOBDIR/\" "
     "-l select=1:ncpus=\"$THREADS\":mem=\"${MEMORY_MB}mb\" $OPTIONS \"$JOBDIR/script\"",
     "out=$(qstat -x -t \"$ID\" 2>&1) || case $out in *\"Unknown Job\"*) exit 0 ;; "
     "*) echo \"$out\" >&2; exit 1 ;; esac; "
     "printf '%s\\n' \"$out\" | awk '$1 ~ /^[0-9]+(\\[[0-9]+\\])?[.]/ { n = 1; "
     "if (match($1, /\\[[0-9]+\\]/)) n = substr($1, RSTART + 1, RLENGTH - 2); "
     "print n, $5 == \"F\" || $5 == \"X\" ? \"ENDED\" : $5 }'",
     "qdel \"$ID\""},
    {"sge",
     "id=$(qsub -terse -N derivfs -t 1-\"$JOBS\" -r y -cwd -j y -o \"$JOBDIR/\\$TASK_ID.log\" "
     "$OPTIONS \"$JOBDIR/script\") && echo \"${id%%.*}\"",
     "out=$(qstat -g d -u '*') || exit 1; "
     "printf '%s\\n' \"$out\" | awk -v id=\"$ID\" '$1 == id { print $NF, $5 }'",
     "qdel \"$ID\""},
    {"sh",
     "i=0; while [ $i -lt \"$JOBS\" ]; do i=$((i + 1)); "
     "setsid \"$JOBDIR/script\" $i >\"$JOBDIR/$i.log\" 2>&1 </dev/null & "
     "echo $! >\"$JOBDIR/$i.pid\"; done; echo sh",
     "i=0; for file in \"$JOBDIR\"/*.pid; do read -r pid <\"$file\"; n=${file##*/}; "
     "! kill -0 \"$pid\" 2>/dev/null || echo \"${n%.pid} RUNNING\"; done",
     "for file in \"$JOBDIR\"/*.pid; do read -r pid <\"$file\"; kill -s TERM -- \"-$pid\"; done"},
};

/* ---- which one ---- */

enum { KEY_SUBMIT, KEY_POLL, KEY_CANCEL, KEY_OPTIONS, NKEYS };

static const char *const keys[NKEYS] = {"submit", "poll", "cancel", "options"};

struct search {
    const char *name;
    char **values[NKEYS]; /* of the result */
    bool given[NKEYS];    /* in the settings file */
    bool found, failed;
    FILE *file;
    int number, too_long; /* lines: the latest, and the first that is too long */
};

static void replace(struct search *s, char **text, const char *value)
{
    free(*text);
    *text = strdup(value);
    s->failed = s->failed || !*text;
}

/* An indented line continues the value. */
static void extend(struct search *s, char **text, const char *value)
{
    char *longer;

    if (asprintf(&longer, "%s\n%s", *text, value) < 0) {
        s->failed = true;
        return;
    }
    free(*text);
    *text = longer;
}

/* Called for each line of a key; 0 ends the reading with an error. */
static int take_key(void *ctx, const char *section, const char *key, const char *value)
{
    struct search *s = ctx;
    int i = 0;

    while (i < NKEYS && strcmp(key, keys[i]) != 0)
        i++;
    if (i == NKEYS)
        return 0;
    if (strcmp(section, s->name) != 0)
        return 1;
    s->found = true;
    if (s->given[i])
        extend(s, s->values[i], value);
    else
        replace(s, s->values[i], value);
    s->given[i] = true;
    return 1;
}

/* inih's fgets(), which notes a line that does not fit. */
static char *read_line(char *buf, int room, void *stream)
{
    struct search *s = stream;
    char *line = fgets(buf, room, s->file);

    if (line && !strchr(line, '\n') && !feof(s->file) && s->too_long == 0)
        s->too_long = s->number + 1;
    s->number++;
    return line;
}

static void take_preset(struct search *s)
{
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (strcmp(presets[i].name, s->name) == 0) {
            s->found = true;
            replace(s, s->values[KEY_SUBMIT], presets[i].submit);
            replace(s, s->values[KEY_POLL], presets[i].poll);
            replace(s, s->values[KEY_CANCEL], presets[i].cancel);
        }
    replace(s, s->values[KEY_OPTIONS], "");
}

static int read_settings(struct search *s, const char *settings, struct error *err)
{
    int line;

    s->file = settings ? fopen(settings, "re") : NULL;
    if (!s->file)
        return !settings || errno == ENOENT
                   ? 0
                   : error_set(err, errno, "%s: cannot open: %s", settings, strerror(errno));
    line = ini_parse_stream(read_line, s, take_key, s);
    fclose(s->file);
    if (s->too_long)
        return error_set(err, EINVAL,
                         "%s:%d: this line is too long: go on in the next one, indented", settings,
                         s->too_long);
    return line == 0 ? 0
                     : error_set(err, EINVAL,
                                 "%s:%d: not a setting of a batch system (a section [NAME] has the "
                                 "keys submit, poll, cancel and options)",
                                 settings, line);
}

int batch_system_find(const char *name, const char *settings, struct batch_system *out,
                      struct error *err)
{
    struct search s = {.name = name,
                       .values = {&out->submit, &out->poll, &out->cancel, &out->options}};
    int ret;

    *out = (struct batch_system){.name = strdup(name)};
    take_preset(&s);
    ret = read_settings(&s, settings, err);
    if (ret == 0 && (s.failed || !out->name))
        ret = error_set(err, ENOMEM, "engine=%s: out of memory", name);
    if (ret == 0 && !s.found)
        ret = error_set(err, EINVAL,
                        "engine=%s: no such batch system (slurm, pbs, sge, sh, or a section of %s)",
                        name, settings ? settings : "engines.ini");
    if (ret == 0 && (!out->submit || !out->poll || !out->cancel))
        ret = error_set(err, EINVAL, "engine=%s: submit, poll or cancel is missing in %s", name,
                        settings);
    if (ret < 0)
        batch_system_clear(out);
    return ret;
}

void batch_system_clear(struct batch_system *b)
{
    free(b->name);
    free(b->submit);
    free(b->poll);
    free(b->cancel);
    free(b->options);
    *b = (struct batch_system){.name = NULL};
}

/* ---- commands ---- */

enum { ENV_MAX = 8 };

struct variables {
    char *text[ENV_MAX]; /* [n], "NAME=VALUE" */
    size_t n;
    bool failed;
};

PRINTF_LIKE(2, 3) static void add(struct variables *v, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    if (vasprintf(&v->text[v->n], fmt, args) >= 0)
        v->n++;
    else
        v->failed = true;
    va_end(args);
}

extern char **environ;

/* The environment with the variables first: the first of a name counts. NULL: out of memory. */
static char **environment(const struct variables *v)
{
    size_t n = 0;
    char **all;

    while (environ && environ[n])
        n++;
    all = calloc(v->n + n + 1, sizeof *all);
    for (size_t i = 0; all && i < v->n; i++)
        all[i] = v->text[i];
    for (size_t i = 0; all && i < n; i++)
        all[v->n + i] = environ[i];
    return all;
}

/* Start it with its outputs in fds[1] and fds[2]. Signals are as at the start of a program. */
static int start(const char *command, char **env, const int fds[3], pid_t *pid)
{
    char *const argv[] = {"sh", "-c", (char *)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    int ret;

    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    ret = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    for (int i = 1; i <= 2 && ret == 0; i++)
        ret = posix_spawn_file_actions_adddup2(&actions, fds[i], i);
    if (ret == 0)
        ret = posix_spawn(pid, "/bin/sh", &actions, &attributes, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return ret;
}

/* An output of the command. */
struct heard {
    int fd; /* the end to read; -1: at its end */
    char *text;
    size_t size;
    FILE *file; /* an open_memstream() of `text` */
};

static void hear_some(struct heard *h)
{
    char buf[4096];
    ssize_t n = read(h->fd, buf, sizeof buf);

    if (n > 0 && h->file)
        fwrite(buf, 1, (size_t)n, h->file);
    if (n == 0 || (n < 0 && errno != EINTR)) {
        close(h->fd);
        h->fd = -1;
    }
}

/* Read both to their ends, or until `end_ns`. */
static void hear_all(struct heard h[2], int64_t end_ns)
{
    while ((h[0].fd >= 0 || h[1].fd >= 0) && monotonic_ns() < end_ns) {
        struct pollfd p[2] = {{.fd = h[0].fd, .events = POLLIN}, {.fd = h[1].fd, .events = POLLIN}};

        if (poll(p, 2, 1000) <= 0)
            continue;
        for (int i = 0; i < 2; i++)
            if (p[i].revents)
                hear_some(&h[i]);
    }
    for (int i = 0; i < 2; i++) {
        if (h[i].fd >= 0)
            close(h[i].fd);
        if (h[i].file)
            h[i].text = text_end(h[i].file, &h[i].text);
    }
}

/* The status of waitpid(2); the command is killed if it has not ended by then. */
static int wait_for(pid_t pid, int64_t end_ns)
{
    const struct timespec step = {.tv_nsec = 5000000};
    int status = -1;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (monotonic_ns() > end_ns)
            kill(pid, SIGKILL);
        nanosleep(&step, NULL);
    }
    return status;
}

/* Run it, and read its two outputs. Returns the status of waitpid(2), or -errno. */
static int run_heard(const char *command, char **env, struct heard h[2])
{
    int64_t end_ns = monotonic_ns() + BATCH_TIMEOUT_S * INT64_C(1000000000);
    int out[2], both[3] = {-1, -1, -1}, ret = 0;
    pid_t pid = 0;

    for (int i = 0; i < 2; i++) {
        h[i] = (struct heard){.fd = -1};
        if (ret == 0 && pipe2(out, O_CLOEXEC) == 0) {
            h[i].fd = out[0];
            both[i + 1] = out[1];
            h[i].file = open_memstream(&h[i].text, &h[i].size);
        } else {
            ret = -errno;
        }
    }
    if (ret == 0)
        ret = -start(command, env, both, &pid);
    for (int i = 1; i <= 2; i++)
        if (both[i] >= 0)
            close(both[i]);
    hear_all(h, ret == 0 ? end_ns : 0);
    return ret == 0 ? wait_for(pid, end_ns) : ret;
}

/* The text as one line for people. */
static const char *in_one_line(char *text)
{
    for (char *c = text; c && *c; c++)
        if (*c == '\n')
            *c = c[1] ? ';' : '\0';
    if (text)
        utf8_clean(text);
    return text && *text ? text : "it said nothing";
}

/* Run the command. *out is what it has printed on standard output, malloced. */
static int run(const struct batch_system *b, const char *what, const char *command,
               struct variables *v, char **out, struct error *err)
{
    char **env = environment(v);
    struct heard h[2] = {{.fd = -1}, {.fd = -1}};
    int status = env && !v->failed ? run_heard(command, env, h) : -ENOMEM, ret = 0;

    if (status < 0)
        ret = error_set(err, EIO, "engine=%s: %s: %s", b->name, what, strerror(-status));
    else if (status != 0 || !h[0].text)
        ret = error_set(err, EIO, "engine=%s: %s failed: %.300s", b->name, what,
                        in_one_line(h[1].text && *h[1].text ? h[1].text : h[0].text));
    *out = ret == 0 ? h[0].text : NULL;
    if (ret < 0)
        free(h[0].text);
    free(h[1].text);
    free(env);
    for (size_t i = 0; i < v->n; i++)
        free(v->text[i]);
    return ret;
}

int batch_submit(const struct batch_system *b, const struct batch_request *q, char id[BATCH_ID_MAX],
                 struct error *err)
{
    struct variables v = {.n = 0};
    char *out;
    size_t n;

    add(&v, "JOBDIR=%s", q->jobdir);
    add(&v, "JOBS=%u", q->njobs);
    add(&v, "THREADS=%u", q->nthreads);
    /* `memory` is that of buffers: a program has more */
    add(&v, "MEMORY_MB=%zu", (q->memory_nbytes >> 20) + (q->memory_nbytes >> 23) + 256);
    add(&v, "OPTIONS=%s", b->options);
    if (run(b, "submit", b->submit, &v, &out, err) < 0)
        return -err->code;
    /* the last line: what a site's wrapper says comes before */
    n = strlen(out);
    while (n > 0 && strchr(" \n\t", out[n - 1]))
        out[--n] = '\0';
    while (n > 0 && !strchr(" \n\t", out[n - 1]))
        n--;
    snprintf(id, BATCH_ID_MAX, "%s", out + n);
    free(out);
    utf8_clean(id);
    return *id ? 0 : error_set(err, EIO, "engine=%s: submit printed no job id", b->name);
}

int batch_poll(const struct batch_system *b, const char *jobdir, const char *id, unsigned njobs,
               char (*states)[BATCH_STATE_MAX], struct error *err)
{
    struct variables v = {.n = 0};
    char *out, *rest, *line;

    add(&v, "JOBDIR=%s", jobdir);
    add(&v, "ID=%s", id);
    memset(states, 0, njobs * sizeof *states);
    if (run(b, "poll", b->poll, &v, &out, err) < 0)
        return -err->code;
    for (line = strtok_r(out, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        unsigned element;
        char state[BATCH_STATE_MAX];

        if (sscanf(line, "%u %23s", &element, state) == 2 && element >= 1 && element <= njobs)
            memcpy(states[element - 1], state, sizeof state);
    }
    free(out);
    return 0;
}

void batch_cancel_jobs(const struct batch_system *b, const char *jobdir, const char *id)
{
    struct variables v = {.n = 0};
    struct error err;
    char *out;

    add(&v, "JOBDIR=%s", jobdir);
    add(&v, "ID=%s", id);
    if (run(b, "cancel", b->cancel, &v, &out, &err) == 0)
        free(out);
}

bool batch_state_is_over(const char *state)
{
    /* squeue(1), and ENDED of the other presets */
    static const char *const over[] = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE",
                                       "FAILED",    "NODE_FAIL", "TIMEOUT",   "OUT_OF_MEMORY",
                                       "PREEMPTED", "REVOKED",   "ENDED"};

    for (size_t i = 0; i < sizeof over / sizeof *over; i++)
        if (strcmp(state, over[i]) == 0)
            return true;
    return false;
}
