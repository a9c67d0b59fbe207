/* SPDX-License-Identifier: MIT
 *
 * The state of one derived file, and the texts of `.derivfs`.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cluster.h"
#include "engine_private.h"
#include "filesystem.h"
#include "human.h"
#include "json_text.h"
#include "monotonic.h"
#include "text.h"
#include "utf8.h"

/* Print a line with the characters escaped that a terminal would obey. */
PRINTF_LIKE(2, 3) static void put_line(FILE *f, const char *fmt, ...)
{
    char *shown;
    va_list args;

    va_start(args, fmt);
    shown = utf8_vshown(fmt, args);
    va_end(args);
    fputs(shown ? shown : "(out of memory)\n", f);
    free(shown);
}

const char *derived_state_name(enum derived_state state)
{
    static const char *const names[] = {"virtual", "computing", "cached", "failed"};

    return names[state];
}

/* Add up the parts of a file: those in the cache, and the progress of the others. */
static int add_up_parts(const struct store *s, struct sched *sched, const struct derived *d,
                        struct derived_status *out)
{
    struct parts parts;
    size_t ncached = 0;
    double percent = 0;

    if (joined_is_cached(s, d, &out->key)) {
        out->state = STATE_CACHED;
        out->percent = 100;
        return 0;
    }
    derived_parts(d, &parts);
    for (size_t i = 0; i < parts.n; i++) {
        uint64_t done, work;
        struct key key;
        int ret = store_key(s, d, i, &key, &out->error);

        if (ret < 0)
            return ret;
        if (i == 0)
            out->key = key;
        if (cache_has(s->cache, &key)) {
            ncached++;
            percent += 100;
        } else if (sched && sched_progress(sched, &key, &done, &work)) {
            out->state = STATE_COMPUTING;
            percent += work > 0 ? 100.0 * (double)done / (double)work : 0;
        }
    }
    out->percent = percent / (double)parts.n;
    if (ncached == parts.n)
        out->state = STATE_CACHED;
    return 0;
}

void engine_derived_status(struct engine *e, const struct derived *d, const char *path,
                           struct derived_status *out)
{
    *out = (struct derived_status){.state = STATE_VIRTUAL};
    if (engine_must_fetch(e, d)) {
        if (fetch_progress(&e->workers, &e->tree, d, &out->percent))
            out->state = STATE_COMPUTING;
        else if (errlog_find(e->errors, path, &out->error))
            out->state = STATE_FAILED;
    } else if (add_up_parts(&e->store, e->workers.sched, d, out) < 0 ||
               (out->state == STATE_VIRTUAL && errlog_find(e->errors, path, &out->error)))
        out->state = STATE_FAILED;
}

static const char *layout_name(enum engine_layout layout)
{
    return layout == LAYOUT_BESIDE ? "beside" : "derivatives";
}

static const char *state_of(const struct sched_task_info *t)
{
    return t->helping ? "helping" : t->running ? "running" : "queued";
}

/* No tasks if `s` is NULL; with `c` also where they are. */
static json_t *tasks_json(struct sched *s, struct cluster *c)
{
    char place[CLUSTER_PLACE_MAX];
    json_t *list = json_array();
    struct sched_task_info *tasks = NULL;
    size_t n = s ? sched_snapshot(s, &tasks) : 0;

    for (size_t i = 0; i < n; i++) {
        const struct sched_task_info *t = &tasks[i];

        json_t *line = json_pack("{s:o, s:s*, s:s, s:I, s:I, s:i}", "task", utf8_json(t->label),
                                 "key", t->helping ? NULL : t->key.hex, "state", state_of(t),
                                 "done_bytes", (json_int_t)t->done_nbytes, "work_bytes",
                                 (json_int_t)t->work_nbytes, "waiters", (int)t->waiters);

        if (c && cluster_find(c, t->key.hex, place))
            json_object_set_new(line, "where", utf8_json(place));
        else if (t->running)
            json_object_set_new(line, "thread", json_integer(t->thread));
        json_array_append_new(list, line);
    }
    free(tasks);
    return list;
}

/* Seconds for the rest of a request's work at its rate so far; negative: not known yet. */
static double seconds_left(const struct engine_request *r)
{
    enum { MIN_S = 1 };

    if (r->rate <= 0 || r->seconds < MIN_S)
        return -1;
    return (double)(r->work_nbytes - r->done_nbytes) / r->rate;
}

static double percent_of(const struct engine_request *r)
{
    return r->work_nbytes > 0 ? 100.0 * (double)r->done_nbytes / (double)r->work_nbytes : 0;
}

static json_t *results_json(struct engine *e)
{
    json_t *list = json_array();
    struct engine_request *requests;
    size_t n = engine_requests(e, &requests);

    for (size_t i = 0; i < n; i++) {
        const struct engine_request *r = &requests[i];
        json_t *line = json_pack("{s:o, s:s, s:f, s:I, s:I, s:f, s:f, s:i}", "path",
                                 utf8_json(r->path), "key", r->key.hex, "percent", percent_of(r),
                                 "done_bytes", (json_int_t)r->done_nbytes, "work_bytes",
                                 (json_int_t)r->work_nbytes, "seconds", r->seconds,
                                 "bytes_per_second", r->rate, "requests", (int)r->waiting);

        if (seconds_left(r) >= 0)
            json_object_set_new(line, "seconds_left", json_real(seconds_left(r)));
        json_array_append_new(list, line);
    }
    engine_requests_free(requests, n);
    return list;
}

/* The cache's figures, with entries counted within the last COUNT_AGAIN_NS, and published by this
 * engine since. After evictions they are counted again, but not more often than RECENT_NS. */
static int count_cache(struct engine *e, struct cache_stats *out, struct error *err)
{
    static const int64_t COUNT_AGAIN_NS = 10000000000, RECENT_NS = 1000000000;
    struct cache_stats last, now = cache_counters(e->store.cache);
    int64_t now_ns = monotonic_ns(), age_ns;
    int ret;

    pthread_mutex_lock(&e->count.lock);
    last = e->count.last;
    age_ns = e->count.last_ns ? now_ns - e->count.last_ns : INT64_MAX;
    pthread_mutex_unlock(&e->count.lock);
    if (age_ns < RECENT_NS ||
        (age_ns < COUNT_AGAIN_NS && last.evicted == now.evicted && last.corrupt == now.corrupt)) {
        now.entries = last.entries + now.published - last.published;
        now.nbytes = last.nbytes + now.published_nbytes - last.published_nbytes;
        *out = now;
        return 0;
    }
    ret = cache_stats(e->store.cache, out, err);
    if (ret < 0)
        return ret;
    pthread_mutex_lock(&e->count.lock);
    e->count.last = *out;
    e->count.last_ns = now_ns;
    pthread_mutex_unlock(&e->count.lock);
    return 0;
}

static json_t *cache_json(struct engine *e)
{
    struct cache_stats stats;
    struct error err;

    if (count_cache(e, &stats, &err) < 0)
        return json_pack("{s:o, s:o}", "dir", utf8_json(e->config.cache_dir), "error",
                         utf8_json(err.text));
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "dir",
                     utf8_json(e->config.cache_dir), "entries", (json_int_t)stats.entries, "bytes",
                     (json_int_t)stats.nbytes, "max_bytes", (json_int_t)stats.max_nbytes, "hits",
                     (json_int_t)stats.hits, "misses", (json_int_t)stats.misses, "published",
                     (json_int_t)stats.published, "evicted", (json_int_t)stats.evicted, "corrupt",
                     (json_int_t)stats.corrupt);
}

static void add_cache_from(json_t *root, const struct engine_config *config)
{
    json_t *dirs = json_array(), *owners = json_array();

    for (size_t i = 0; i < config->ncache_from; i++)
        json_array_append_new(dirs, utf8_json(config->cache_from[i]));
    for (size_t i = 0; i < config->ncache_owners; i++)
        json_array_append_new(owners, json_integer(config->cache_owners[i]));
    json_object_set_new(root, "cache_from", dirs);
    json_object_set_new(root, "cache_from_owner", owners);
}

static void add_error(void *ctx, const struct errlog_entry *e)
{
    json_array_append_new(ctx, json_pack("{s:o, s:o, s:I, s:I}", "path", utf8_json(e->path),
                                         "error", utf8_json(e->text), "time", (json_int_t)e->last,
                                         "count", (json_int_t)e->count));
}

char *engine_status_json(struct engine *e)
{
    struct sched_stats s;
    json_t *root, *errors = json_array();
    char *text;

    sched_stats(e->workers.sched, &s);
    errlog_visit(e->errors, add_error, errors);
    root = json_pack(
        "{s:s, s:o, s:s, s:o, s:i, s:I, s:I, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:o, "
        "s:o, s:o, s:o}",
        "version", DERIVFS_VERSION, "dataset", utf8_json(dataset_path(e->tree.dataset)), "layout",
        layout_name(e->tree.layout), "recipes",
        recipes_exist(e->tree.recipes) ? utf8_json(e->config.recipes) : json_null(), "threads",
        (int)e->config.nthreads, "memory_bytes", (json_int_t)budget_limit(e->workers.budget),
        "memory_used_bytes", (json_int_t)budget_used(e->workers.budget), "tasks_running",
        (int)s.running, "tasks_queued", (int)s.queued, "requests", (int)s.jobs, "tasks_done",
        (json_int_t)s.tasks_done, "tasks_failed", (json_int_t)s.tasks_failed, "tasks_cancelled",
        (json_int_t)s.tasks_cancelled, "uptime_seconds", (json_int_t)(time(NULL) - e->start_s),
        "results", results_json(e), "tasks", tasks_json(e->workers.sched, NULL), "errors", errors,
        "cache", cache_json(e));
    if (!root)
        return NULL;
    json_object_set_new(root, "annex", json_string(e->tree.annex_get ? "get" : "no"));
    json_object_set_new(root, "trust_ids",
                        e->config.trust_ids ? utf8_json(e->config.trust_ids) : json_null());
    json_object_set_new(root, "session", json_string(filesystem_session()));
    json_object_set_new(root, "join", json_string(e->config.join_all ? "all" : "alike"));
    add_cache_from(root, &e->config);
    json_object_set_new(root, "fetches", tasks_json(e->workers.fetcher, NULL));
    json_object_set_new(root, "elsewhere", tasks_json(e->workers.elsewhere, e->workers.cluster));
    text = json_text(root);
    json_decref(root);
    return text;
}

/* A line for each file that is waited for. Its path comes last, where a narrow terminal cuts it. */
static void print_results(FILE *f, struct engine *e)
{
    enum { WIDTH = 20 };
    struct engine_request *requests;
    size_t n = engine_requests(e, &requests);

    for (size_t i = 0; i < n; i++) {
        const struct engine_request *r = &requests[i];
        int filled = (int)(percent_of(r) * WIDTH / 100);

        fprintf(f, "  [%.*s%*s] %3.0f %%", filled, "####################", WIDTH - filled, "",
                floor(percent_of(r)));
        if (r->rate > 0)
            fprintf(f, "  %s/s", human_nbytes((uint64_t)r->rate).text);
        if (seconds_left(r) >= 0)
            fprintf(f, "  %s left", human_span((int64_t)(seconds_left(r) * 1e9)).text);
        if (r->waiting > 1)
            put_line(f, "  %s (%u requests)\n", r->path, r->waiting);
        else
            put_line(f, "  %s\n", r->path);
    }
    engine_requests_free(requests, n);
}

/* Running tasks in the order of their threads, then the others in theirs. */
static int by_thread(const void *a, const void *b)
{
    const struct sched_task_info *x = a, *y = b;

    if (x->running != y->running)
        return x->running ? -1 : 1;
    return x->running ? (x->thread > y->thread) - (x->thread < y->thread) : 0;
}

/* No tasks if `s` is NULL. `role`: the first word of a line. */
static void print_tasks(FILE *f, struct sched *s, const char *role)
{
    enum { QUEUED_MAX = 20 };
    struct sched_task_info *tasks = NULL;
    size_t n = s ? sched_snapshot(s, &tasks) : 0, nqueued = 0;

    if (n > 0)
        qsort(tasks, n, sizeof *tasks, by_thread); /* glibc's is stable: it merges */
    for (size_t i = 0; i < n; i++) {
        const struct sched_task_info *t = &tasks[i];

        if (t->running && t->work_nbytes > 0)
            put_line(f, "  %s %u: %s, %.0f %%\n", role, t->thread, t->label,
                     100.0 * (double)t->done_nbytes / (double)t->work_nbytes);
        else if (t->running)
            put_line(f, "  %s %u: %s\n", role, t->thread, t->label);
        else if (nqueued++ < QUEUED_MAX)
            put_line(f, "  queued: %s\n", t->label);
    }
    if (nqueued > QUEUED_MAX)
        fprintf(f, "  and %zu more\n", nqueued - QUEUED_MAX);
    free(tasks);
}

static void print_elsewhere(FILE *f, const struct workers *w)
{
    char place[CLUSTER_PLACE_MAX];
    struct sched_task_info *tasks = NULL;
    size_t n = w->elsewhere ? sched_snapshot(w->elsewhere, &tasks) : 0;
    struct cluster_stats s;

    if (w->cluster) {
        cluster_stats(w->cluster, &s);
        fprintf(f, "elsewhere: %u results wanted, %u jobs, %" PRIu64 " since the start\n",
                s.norders, s.nelements, s.nsubmitted);
    }
    for (size_t i = 0; i < n; i++)
        if (cluster_find(w->cluster, tasks[i].key.hex, place))
            put_line(f, "  %s: %s, %.0f %%\n", place, tasks[i].label,
                     tasks[i].work_nbytes > 0
                         ? 100.0 * (double)tasks[i].done_nbytes / (double)tasks[i].work_nbytes
                         : 0);
    free(tasks);
}

/* The text that `print` writes: malloced. NULL: out of memory. */
static char *printed(struct engine *e, int (*print)(FILE *f, struct engine *e))
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);
    int ret = f ? print(f, e) : -ENOMEM;

    text = f ? text_end(f, &text) : NULL;
    if (ret == 0)
        return text;
    free(text);
    return NULL;
}

static int print_status(FILE *f, struct engine *e)
{
    struct cache_stats cache = {.entries = 0};
    struct sched_stats s;

    sched_stats(e->workers.sched, &s);
    put_line(f, "%s, layout %s\n", dataset_path(e->tree.dataset), layout_name(e->tree.layout));
    fprintf(f, "threads: %u, %u busy; tasks: %u queued; requests waiting: %u\n", s.nthreads,
            s.running + s.helping, s.queued, s.jobs);
    fprintf(f, "compute buffers: %.1f of %.1f MiB\n",
            (double)budget_used(e->workers.budget) / 0x1p20,
            (double)budget_limit(e->workers.budget) / 0x1p20);
    if (count_cache(e, &cache, NULL) == 0)
        put_line(f, "cache: %s, %" PRIu64 " entries, %.1f of %.1f MiB\n", e->config.cache_dir,
                 cache.entries, (double)cache.nbytes / 0x1p20, (double)cache.max_nbytes / 0x1p20);
    print_results(f, e);
    print_tasks(f, e->workers.sched, "thread");
    print_tasks(f, e->workers.fetcher, "fetch");
    print_elsewhere(f, &e->workers);
    return 0;
}

char *engine_status_text(struct engine *e)
{
    return printed(e, print_status);
}

struct metric {
    const char *name, *help;
    uint64_t value;
};

static void print_metrics(FILE *f, const struct metric *m, size_t n, bool counters_only)
{
    for (size_t i = 0; i < n; i++) {
        bool counter = strstr(m[i].name, "_total");

        if (counter || !counters_only)
            fprintf(f, "# HELP derivfs_%s %s\n# TYPE derivfs_%s %s\nderivfs_%s %" PRIu64 "\n",
                    m[i].name, m[i].help, m[i].name, counter ? "counter" : "gauge", m[i].name,
                    m[i].value);
    }
}

static void print_all(FILE *f, struct engine *e, const struct cache_stats *cache,
                      bool counters_only)
{
    struct sched_stats s;

    sched_stats(e->workers.sched, &s);
    const struct metric all[] = {
        {"tasks_running", "Tasks on a worker thread now.", s.running},
        {"threads_helping", "Worker threads that help with other tasks now.", s.helping},
        {"tasks_queued", "Tasks that wait for a thread, for inputs or for memory.", s.queued},
        {"requests_waiting", "Reads that wait for a result.", s.jobs},
        {"tasks_done_total", "Tasks that succeeded.", s.tasks_done},
        {"tasks_found_total", "Of these, tasks whose results were cached already.", s.tasks_found},
        {"tasks_failed_total", "Tasks that failed.", s.tasks_failed},
        {"tasks_cancelled_total", "Tasks cancelled because no request was left.",
         s.tasks_cancelled},
        {"tasks_joined_total", "Tasks asked for while in flight already.", s.tasks_joined},
        {"pieces_done_total", "Pieces of tasks that helper threads have run.", s.pieces_done},
        {"memory_used_bytes", "Compute buffers in use.", budget_used(e->workers.budget)},
        {"cache_bytes", "Size of the cache on disk.", cache->nbytes},
        {"cache_entries", "Entries in the cache.", cache->entries},
        {"cache_hits_total", "Results found in the cache.", cache->hits},
        {"cache_misses_total", "Results not found in the cache.", cache->misses},
        {"cache_published_total", "Results put into the cache.", cache->published},
        {"cache_evicted_total", "Results removed for space.", cache->evicted},
        {"cache_corrupt_total", "Damaged entries found.", cache->corrupt},
    };
    print_metrics(f, all, sizeof all / sizeof *all, counters_only);
}

/* Without the size of a cache that cannot be counted. */
static int print_all_metrics(FILE *f, struct engine *e)
{
    struct cache_stats cache;
    bool counted = count_cache(e, &cache, NULL) == 0;

    if (!counted)
        cache = cache_counters(e->store.cache);
    print_all(f, e, &cache, !counted);
    return 0;
}

char *engine_metrics_text(struct engine *e)
{
    return printed(e, print_all_metrics);
}

static int print_counters(FILE *f, struct engine *e)
{
    struct cache_stats cache = cache_counters(e->store.cache);

    print_all(f, e, &cache, true);
    return 0;
}

char *engine_counters_text(struct engine *e)
{
    return printed(e, print_counters);
}

static void print_error(void *ctx, const struct errlog_entry *e)
{
    char when[32];
    struct tm tm;

    gmtime_r(&e->last, &tm);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (e->count > 1)
        put_line(ctx, "%s %s: %.*s (%lu times)\n", when, e->path, (int)strcspn(e->text, "\n"),
                 e->text, e->count);
    else
        put_line(ctx, "%s %s: %.*s\n", when, e->path, (int)strcspn(e->text, "\n"), e->text);
    /* a line of a recipes file, and a caret below it */
    for (const char *line = strchr(e->text, '\n'); line; line = strchr(line + 1, '\n'))
        put_line(ctx, "%.*s\n", (int)strcspn(line + 1, "\n"), line + 1);
}

static int print_errors(FILE *f, struct engine *e)
{
    unsigned long nlost;

    recipe_table_put(recipes_get(e->tree.recipes)); /* notes new mistakes in the recipes */
    nlost = errlog_visit(e->errors, print_error, f);
    if (nlost > 0)
        fprintf(f, "%lu older remarks are not kept: derivctl list DIRECTORY shows them\n", nlost);
    return 0;
}

char *engine_errors_text(struct engine *e)
{
    return printed(e, print_errors);
}

/* Print a key of an INI file. Values joined from several lines may exceed the limit for a line:
 * break them at blanks, but not where the rest would look like a comment. */
static void print_value(FILE *f, const char *key, const char *value)
{
    enum { LINE_NBYTES = 90 };
    size_t column = (size_t)fprintf(f, "%s = ", key);

    for (const char *c = value; *c; c++) {
        size_t word = strcspn(c + 1, " ");

        if (*c == ' ' && column + word >= LINE_NBYTES && !strchr("#;[", c[1])) {
            column = (size_t)fprintf(f, "\n    ") - 1;
        } else {
            fputc(*c, f);
            column++;
        }
    }
    fputc('\n', f);
}

static void print_command(FILE *f, const struct recipe *r)
{
    const struct command *c = r->command;

    print_value(f, "command", r->text);
    fprintf(f, "scope = %s\nshell = %s\ntimeout = %u\n", c->per_run ? "run" : "group",
            c->shell ? "yes" : "no", c->timeout_s);
    if (c->memory_nbytes > 0)
        fprintf(f, "memory = %" PRIu64 "\n", c->memory_nbytes);
}

static int print_recipe(FILE *f, const struct recipe *r)
{
    fprintf(f, "[%s]\n", r->name);
    if (r->command)
        print_command(f, r);
    else
        print_value(f, "expr", r->text);
    for (size_t i = 0; i < r->nparams; i++) {
        const struct expr_param *p = &r->params[i];
        char *number = expr_print(&(struct expr){.op = EXPR_NUMBER, .number = p->value});

        if (!number)
            return -ENOMEM;
        fprintf(f, "param %s = %s\n", p->name, number);
        free(number);
    }
    if (*r->description)
        print_value(f, "description", r->description);
    print_value(f, "list", r->list ? "yes" : "no");
    if (r->join_all)
        print_value(f, "join", "all");
    return 0;
}

static int print_recipes(FILE *f, struct engine *e)
{
    struct recipe_table *table;
    int ret = 0;

    table = recipes_get(e->tree.recipes);
    for (size_t i = 0; i < table->nrecipes && ret == 0; i++) {
        fputs(i > 0 ? "\n" : "", f);
        ret = print_recipe(f, &table->recipes[i]);
    }
    recipe_table_put(table);
    return ret;
}

char *engine_recipes_text(struct engine *e)
{
    return printed(e, print_recipes);
}

char *engine_trace_json(struct engine *e)
{
    char *process = NULL, *text = NULL;

    if (asprintf(&process, "derivfs %s", dataset_path(e->tree.dataset)) >= 0)
        text = trace_json(e->workers.trace, process, e->config.nthreads);
    free(process);
    return text;
}
