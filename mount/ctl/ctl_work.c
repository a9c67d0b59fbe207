/* SPDX-License-Identifier: MIT
 *
 * derivctl work: what an element of a job does on its node. cluster/job_dir.h has the files.
 *
 * A window of tasks waits for the engine. The state is written when a task has ended, and every few
 * seconds, so that who reads it sees progress.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#include "ctl.h"
#include "job_dir.h"
#include "monotonic.h"
#include "text.h"

enum { WINDOW = 64, SAY_S = 5 };

struct work;

struct slot {
    struct work *work;
    size_t task;
    struct reader *reader; /* NULL: free */
    struct wait *wait;
    bool ended;         /* guarded by work->lock */
    struct error error; /* likewise; code 0: none */
};

struct work {
    const char *dir;
    unsigned number;
    struct options options;
    char *session; /* the submitter's */
    struct engine *engine;
    struct job_task *tasks; /* [ntasks] */
    size_t ntasks, next;
    struct slot slots[WINDOW];
    size_t nbusy, nfailed;
    pthread_mutex_t lock;
    sem_t woken;
    char *results; /* the lines of N.state after the first */
    size_t results_size;
    FILE *results_file; /* an open_memstream() of it */
    uint64_t done_nbytes;
    int64_t began_ns, said_ns;
    struct utsname node;
};

/* ---- saying ---- */

static void say(struct work *w, bool ended)
{
    struct job_state state = {.ended = ended, .done_nbytes = w->done_nbytes};
    struct error err;

    w->said_ns = monotonic_ns();
    state.seconds = (double)(w->said_ns - w->began_ns) / 1e9;
    snprintf(state.node, sizeof state.node, "%.63s", w->node.nodename);
    for (size_t i = 0; i < WINDOW; i++)
        if (w->slots[i].reader)
            state.done_nbytes += (uint64_t)((double)w->tasks[w->slots[i].task].work_nbytes *
                                            reader_wait_progress(w->slots[i].wait));
    fflush(w->results_file);
    if (job_dir_write_state(w->dir, w->number, &state, w->results, &err) < 0)
        ctl_say("%s", err.text);
}

/* The task has ended: err NULL or why it failed. */
static void note_result(struct work *w, size_t task, const struct error *err)
{
    if (!err) {
        fprintf(w->results_file, "ok %zu\n", task);
        return;
    }
    w->nfailed++;
    ctl_say("%s: %s", w->tasks[task].path, err->text);
    fprintf(w->results_file, "failed %zu ", task);
    for (const char *c = err->text; *c; c++)
        fputc(*c == '\n' ? ' ' : *c, w->results_file);
    fputc('\n', w->results_file);
}

/* ---- working ---- */

static void answered(void *arg, struct wait *wait, const struct error *err)
{
    struct slot *s = arg;

    (void)wait;
    pthread_mutex_lock(&s->work->lock);
    s->ended = true;
    if (err)
        s->error = *err;
    pthread_mutex_unlock(&s->work->lock);
    sem_post(&s->work->woken);
}

static int begin_task(struct work *w, struct slot *s, size_t task, struct error *err)
{
    const struct job_task *t = &w->tasks[task];
    char *dir = strndup(t->path, t->name_at > 0 ? t->name_at - 1 : 0);
    int ret;

    if (!dir)
        return error_set(err, ENOMEM, "out of memory");
    *s = (struct slot){.work = w, .task = task};
    ret = reader_open(w->engine, &(struct dir){.path = dir}, t->path + t->name_at, &s->reader, err);
    free(dir);
    if (ret < 0)
        return ret;
    s->wait = reader_wait_new(s->reader, t->off, 1);
    if (s->wait)
        return 0;
    reader_close(s->reader);
    s->reader = NULL;
    return error_set(err, ENOMEM, "out of memory");
}

/* Start tasks in free slots. */
static void start_tasks(struct work *w)
{
    struct error err;

    for (size_t i = 0; i < WINDOW && w->next < w->ntasks; i++) {
        struct slot *s = &w->slots[i];

        if (s->reader)
            continue;
        while (w->next < w->ntasks && begin_task(w, s, w->next, &err) < 0)
            note_result(w, w->next++, &err);
        if (!s->reader)
            return;
        w->next++;
        w->nbusy++;
        wait_start(s->wait, answered, s);
    }
}

/* Returns whether a task has ended. */
static bool end_tasks(struct work *w)
{
    bool any = false;

    for (size_t i = 0; i < WINDOW; i++) {
        struct slot *s = &w->slots[i];
        bool ended;

        pthread_mutex_lock(&w->lock);
        ended = s->reader && s->ended;
        pthread_mutex_unlock(&w->lock);
        if (!ended)
            continue;
        note_result(w, s->task, s->error.code ? &s->error : NULL);
        w->done_nbytes += w->tasks[s->task].work_nbytes;
        wait_put(s->wait);
        reader_close(s->reader);
        s->reader = NULL;
        w->nbusy--;
        any = true;
    }
    return any;
}

static void work_on(struct work *w)
{
    struct timespec until;

    say(w, false);
    for (start_tasks(w); w->nbusy > 0; start_tasks(w)) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_sec += SAY_S;
        sem_timedwait(&w->woken, &until);
        if (end_tasks(w) || monotonic_ns() - w->said_ns >= SAY_S * INT64_C(1000000000))
            say(w, false);
    }
    say(w, true);
}

/* ---- beginning ---- */

static int take_setting(void *ctx, const char *name, const char *value, struct error *err)
{
    struct work *w = ctx;

    if (strcmp(name, "session") != 0)
        return options_take_setting(&w->options, name, value, err);
    w->session = strdup(value);
    return w->session ? 0 : error_set(err, ENOMEM, "out of memory");
}

/* The recipes are those that the submitter read. */
static int take_recipes(struct work *w, struct error *err)
{
    char *path = join_path(w->dir, "recipes.ini");
    int ret = path ? options_set(&w->options, OPTION_RECIPES, path) : -ENOMEM;

    free(path);
    return ret < 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

static int open_engine(struct work *w, struct error *err)
{
    int ret = job_dir_read_settings(w->dir, take_setting, w, err);

    if (ret == 0)
        ret = take_recipes(w, err);
    if (ret == 0)
        ret = options_resolve(&w->options, err);
    w->options.engine.session = w->session;
    if (ret == 0)
        ret = engine_open(&w->options.engine, &w->engine, err);
    if (ret == 0)
        ret = engine_start(w->engine, err);
    return ret;
}

static int begin(struct work *w, struct error *err)
{
    int ret = job_dir_read_tasks(w->dir, w->number, &w->tasks, &w->ntasks, err);

    if (ret == 0)
        ret = open_engine(w, err);
    for (size_t i = 0; ret < 0 && i < w->ntasks; i++) /* each reader hears of it */
        note_result(w, i, err);
    return ret;
}

static void finish(struct work *w)
{
    engine_close(w->engine);
    options_free(&w->options);
    free(w->session);
    job_tasks_free(w->tasks, w->ntasks);
    fclose(w->results_file);
    free(w->results);
    sem_destroy(&w->woken);
    pthread_mutex_destroy(&w->lock);
}

int ctl_work(const struct ctl *ctl)
{
    struct work w = {.began_ns = monotonic_ns()};
    struct error err;
    char *end;
    int ret;

    if (ctl->npaths != 2)
        return CTL_USAGE;
    w.dir = ctl->paths[0];
    w.number = (unsigned)strtoul(ctl->paths[1], &end, 10);
    if (*end || w.number == 0)
        return CTL_USAGE;
    w.results_file = open_memstream(&w.results, &w.results_size);
    if (!w.results_file)
        return ctl_say("%s: out of memory", w.dir);
    pthread_mutex_init(&w.lock, NULL);
    sem_init(&w.woken, 0, 0);
    uname(&w.node);
    if (begin(&w, &err) == 0)
        work_on(&w);
    else if (ctl_say("%s", err.text))
        say(&w, true);
    ret = w.nfailed > 0 ? CTL_FAILED : CTL_OK;
    finish(&w);
    return ret;
}
