/* SPDX-License-Identifier: MIT
 *
 * Results: their keys and sizes, and the parts of a 4-D file that are joined.
 *
 *     read to the end -- closed -- all parts in the cache? -- join_task, on its own thread
 *     opened -- the whole in the cache? -- then it is the result of one part
 *
 * The key of the whole consists of the key of the checksum over all volumes (TASK_CHECKSUM), which
 * names the values, and the header. Formats that convert parts (.nii.gz) read the parts as before.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine_private.h"
#include "graph_call.h"
#include "join.h"

int store_key(const struct store *s, const struct derived *d, size_t part, struct key *out,
              struct error *err)
{
    struct graph *g;
    int ret = derived_plan(d, derived_part(d, part), s->memory_nbytes, &g, err);

    if (ret < 0)
        return ret;
    *out = graph_root(g)->key;
    graph_put(g);
    return 0;
}

bool task_reads(const struct task *t, const struct run *run)
{
    bool found = t->call && t->call->recipe->command->uses_runs;

    for (size_t i = 0; i < t->nstreams && !found; i++)
        for (size_t k = 0; k < t->streams[i].nleaves && !found; k++)
            found = t->streams[i].leaves[k].run == run;
    return found;
}

bool store_reads(const struct store *s, const struct graph *g, const struct run *run)
{
    for (size_t i = 0; i < g->ntasks; i++) {
        const struct task *t = &g->tasks[i];

        if (task_reads(t, run) && graph_need(g, t) == NEED_RUN && !cache_has(s->cache, &t->key))
            return true;
    }
    return false;
}

static bool is_cached(void *ctx, const struct key *key)
{
    return cache_has(ctx, key);
}

struct graph *store_cut(const struct store *s, struct graph *g)
{
    return graph_cut(g, is_cached, s->cache);
}

bool store_knows_nbytes(const struct store *s, const struct derived *d, uint64_t *nbytes)
{
    *nbytes = d->nbytes;
    if (!d->recipe->command || !d->key.hex[0] || d->format->kind == OUTPUT_DRAWING)
        return d->nbytes > 0;
    *nbytes = 0;
    return sizes_find(s->sizes, &d->key, nbytes) || cache_size_of(s->cache, &d->key, nbytes);
}

uint64_t engine_derived_nbytes(struct engine *e, const struct derived *d)
{
    uint64_t nbytes;

    return store_knows_nbytes(&e->store, d, &nbytes) ? nbytes : 0;
}

/* ---- joined parts ---- */

int joiner_open(struct workers *w, struct cache *cache, struct error *err)
{
    struct sched_config config = {
        .nthreads = 1, .budget = w->budget, .run = join_task, .ctx = cache};

    return sched_new(&config, &w->joiner, err);
}

/* Header and key of the whole; false if the file cannot be joined. */
static bool key_of_whole(const struct store *s, const struct derived *d, struct file_header *header,
                         struct key *out)
{
    struct key_builder *b;
    struct parts parts;
    struct key values;

    /* a 4-D .nii: its bytes are the header and the results unchanged */
    if (d->error.code != 0 || !recipe_is_series(d->recipe) || d->format->kind != OUTPUT_IMAGE ||
        derived_header(d, header, NULL) < 0)
        return false;
    derived_parts(d, &parts);
    if (store_key(s, d, parts.n, &values, NULL) < 0)
        return false;
    b = task_begin_key(TASK_JOIN);
    if (b) {
        key_add(b, "head", header->bytes, header->nbytes); /* the word is part of the key */
        key_add_key(b, "values", &values);
        key_end(b, out);
    }
    return b != NULL;
}

struct blob *joined_lookup(const struct store *s, const struct derived *d)
{
    struct blob *whole;
    struct file_header header;
    struct key key;

    if (!key_of_whole(s, d, &header, &key) || cache_lookup(s->cache, &key, &whole) < 0)
        return NULL;
    return whole;
}

bool joined_is_cached(const struct store *s, const struct derived *d, struct key *key)
{
    struct file_header header;

    return key_of_whole(s, d, &header, key) && cache_has(s->cache, key);
}

/* The keys of the parts if all of them are cached, else NULL. */
static struct join_pieces *find_pieces(const struct store *s, const struct derived *d,
                                       const struct file_header *header)
{
    struct join_pieces *p;
    struct parts parts;

    derived_parts(d, &parts);
    p = malloc(sizeof *p + parts.n * sizeof p->parts[0]);
    if (!p)
        return NULL;
    p->header_nbytes = header->nbytes;
    memcpy(p->header, header->bytes, header->nbytes);
    for (p->nparts = 0; p->nparts < parts.n; p->nparts++) {
        struct key *key = &p->parts[p->nparts];

        if (store_key(s, d, p->nparts, key, NULL) < 0 || !cache_has(s->cache, key))
            break;
    }
    if (p->nparts == parts.n)
        return p;
    free(p);
    return NULL;
}

/* The next open of the file finds the whole. */
static void joined(void *arg, struct blob *result, const struct error *err)
{
    if (!result && err->code != ECANCELED)
        errlog_write(arg, LOG_LEVEL_DEBUG, "%s; the file stays in parts", err->text);
}

void joined_start(const struct workers *w, const struct store *s, struct errlog *errors,
                  const struct derived *d)
{
    struct join_pieces *pieces;
    struct error err;
    struct graph *g;
    struct file_header header;
    struct key key;
    uint64_t job_id;

    if (!w->joiner || !cache_keeps(s->cache, d->nbytes) || !key_of_whole(s, d, &header, &key) ||
        cache_has(s->cache, &key))
        return;
    pieces = find_pieces(s, d, &header);
    if (!pieces || plan_join(&key, d->name, pieces, d->nbytes, &g, &err) < 0)
        return;
    /* fails while the daemon ends: then a later reader joins the parts */
    if (sched_submit(w->joiner, g, joined, errors, &job_id, &err) < 0)
        errlog_write(errors, LOG_LEVEL_DEBUG, "%s", err.text);
    graph_put(g);
}
