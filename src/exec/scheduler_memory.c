/* SPDX-License-Identifier: MIT
 *
 * What starts when memory is short.
 *
 * A task needs memory while it runs. The head of the queue waits until that fits the budget, and
 * nothing overtakes it: a large task is not starved by small ones. The budget tells when memory held
 * by others (pieces of running tasks, results that are being read) comes back. Where nothing runs the
 * head starts all the same, for that may take as long as a reader likes.
 *
 * Where the disk does not take a result, it stays in memory for as long as somebody holds it. If
 * there is no room, the task fails, and goes back to the queue to run again when there is:
 *
 *     run -- no room --> queue, now for memory and room -- taken --> run, the room is the result's
 *
 * So nobody waits with a worker or with memory of his own, but with his inputs, which may be in memory
 * too. Where nothing runs, what holds the memory is
 *
 *     inputs of this job                    they and the task alone are too much: ENOMEM
 *     inputs of jobs that wait behind it    its job goes beyond the limit: it is the earliest one, and
 *                                           when it is done, memory comes back
 *     results that programs read            it waits, and what needs no room goes on
 *
 * One job at a time goes beyond the limit: it begins where what is in use is within the limit, and
 * goes on, since alone it fits. So what is in use stays below twice the limit, and of flights that
 * wait one can always go on, unless readers keep their results and take no end of time: then ENOMEM
 * after a while, for a program may wait for this result before it lets go of others.
 */
#include "scheduler_private.h"

#include <errno.h>

#include "monotonic.h"

enum { WAITS_MAX = 3 }; /* of a flight; a command's result may be larger each time */

static const int64_t PATIENCE_NS = 30000000000;

void task_wants_room(const struct task_control *ctl, size_t nbytes)
{
    ctl->flight->wanted_nbytes = nbytes;
}

bool task_take_room(const struct task_control *ctl, size_t nbytes)
{
    struct flight *f = ctl->flight;

    if (nbytes == 0 || f->room_nbytes < nbytes)
        return false;
    f->room_nbytes = 0; /* what is more than that is given back with the task's memory */
    f->charged_nbytes -= nbytes;
    return true;
}

/* In memory, of the inputs of the job's flights that wait: those of others count as well if they
 * have joined one of them. */
static size_t held_by_job(const struct sched *s, uint64_t rank)
{
    const struct flight *f;
    size_t sum = 0;

    DL_FOREACH(s->flights, f)
    for (size_t i = 0; f->rank == rank && i < f->ndeps; i++)
        if (f->inputs[i] && blob_fd(f->inputs[i]) < 0)
            sum += blob_nbytes(f->inputs[i]);
    return sum;
}

/* Nothing runs, and what the head needs for its task and its result cannot be had. */
static bool take_room(struct sched *s, struct flight *f, size_t nbytes)
{
    size_t limit = budget_limit(s->config.budget);
    int64_t now = monotonic_ns();

    if (held_by_job(s, f->rank) > limit - nbytes) {
        f->refused = true;
    } else if (budget_used(s->config.budget) <= limit || f->rank == s->beyond_job) {
        budget_force(s->config.budget, nbytes);
        f->charged_nbytes = nbytes;
        s->beyond_job = f->rank;
    } else if (s->starving_ns == 0) {
        s->starving_ns = now;
        return false;
    } else if (now < memory_deadline(s)) {
        return false;
    } else {
        f->refused = true;
    }
    s->starving_ns = 0;
    return true;
}

/* Take the flight's memory. True as well if that can never be had. */
static bool take(struct sched *s, struct flight *f)
{
    size_t limit = budget_limit(s->config.budget), nbytes = f->task->mem_nbytes + f->room_nbytes;

    if (f->task->mem_nbytes > limit)
        return true;
    if (budget_take_awaited(s->config.budget, nbytes)) {
        s->starving_ns = 0;
    } else if (s->stats.running > 0) {
        s->starving_ns = 0;
        return false;
    } else if (f->room_nbytes > 0) {
        return take_room(s, f, nbytes);
    } else {
        budget_force(s->config.budget, nbytes);
    }
    f->charged_nbytes = nbytes;
    return true;
}

struct flight *memory_next(struct sched *s)
{
    struct flight *f = s->queue;

    if (!f || take(s, f))
        return f;
    if (s->stats.running > 0)
        return NULL;
    DL_FOREACH2(s->queue, f, queue_next)
    if (f->room_nbytes == 0 && take(s, f))
        return f;
    return NULL;
}

bool flight_memory_fails(const struct sched *s, const struct flight *f, struct error *err)
{
    size_t limit = budget_limit(s->config.budget);

    if (f->refused)
        error_set(err, ENOMEM,
                  "%s: its result needs %zu bytes of memory, and results that are in use leave too "
                  "little of %zu bytes",
                  f->task->label, f->room_nbytes, limit);
    else if (f->task->mem_nbytes > limit)
        error_set(err, ENOMEM,
                  "%s: needs %zu bytes of memory, and the limit is %zu bytes: raise the "
                  "option memory",
                  f->task->label, f->task->mem_nbytes, limit);
    else
        return false;
    return true;
}

bool flight_waits_for_room(struct sched *s, struct flight *f, int ret)
{
    size_t limit = budget_limit(s->config.budget), wanted = f->wanted_nbytes;

    f->wanted_nbytes = 0;
    if (ret != -ENOMEM || wanted == 0 || f->doomed || f->refused || f->nwaits == WAITS_MAX ||
        wanted > limit || f->task->mem_nbytes > limit - wanted)
        return false;
    f->nwaits++;
    f->room_nbytes = wanted;
    atomic_store(&f->done_nbytes, 0);
    flight_make_ready(s, f);
    return true;
}

void memory_came_back(struct sched *s)
{
    s->starving_ns = 0;
}

int64_t memory_deadline(const struct sched *s)
{
    int64_t patience = s->config.patience_ns ? s->config.patience_ns : PATIENCE_NS;

    return s->starving_ns ? s->starving_ns + patience : INT64_MAX;
}
