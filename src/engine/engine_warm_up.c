/* SPDX-License-Identifier: MIT
 *
 * Memory that is touched before anybody reads (pages.h says what that saves).
 *
 * It is touched a moment after the start: whoever mounts and looks at once would have to wait for
 * it. Who reads before that touches what he needs himself. Failing to start a thread for it is no
 * failure.
 */
#include <errno.h>
#include <time.h>

#include "engine_private.h"
#include "pages.h"
#include "thread.h"

/* About what one run takes that two threads inflate; only where it is a small part of what may be
 * used. */
enum { KEPT_NBYTES = 40 << 20, KEPT_PARTS = 24 };

enum { MOMENT_NS = 200000000, SECOND_NS = 1000000000 };

static void *warm_up_main(void *arg)
{
    struct warm_up *w = arg;
    struct timespec at;
    int ret;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += MOMENT_NS;
    at.tv_sec += at.tv_nsec / SECOND_NS;
    at.tv_nsec %= SECOND_NS;
    do
        ret = sem_clockwait(&w->stop, CLOCK_MONOTONIC, &at);
    while (ret < 0 && errno == EINTR);
    if (ret < 0 && errno == ETIMEDOUT)
        pages_touch();
    return NULL;
}

void warm_up_start(struct engine *e)
{
    struct warm_up *w = &e->warm_up;

    if (e->config.memory_nbytes / KEPT_PARTS < KEPT_NBYTES)
        return;
    pages_set_aside(KEPT_NBYTES);
    if (sem_init(&w->stop, 0, 0) < 0)
        return;
    w->started = thread_start(&w->thread, warm_up_main, w) == 0;
    if (!w->started)
        sem_destroy(&w->stop);
}

void warm_up_stop(struct engine *e)
{
    struct warm_up *w = &e->warm_up;

    if (!w->started)
        return;
    sem_post(&w->stop);
    pthread_join(w->thread, NULL);
    sem_destroy(&w->stop);
    w->started = false;
}
