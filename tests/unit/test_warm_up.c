/* SPDX-License-Identifier: MIT
 *
 * Memory that is touched a moment after the start, where it is a small part of the limit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine_private.h"
#include "pages.h"

enum { KEPT_NBYTES = 40 << 20 };

/* Only the first start with enough memory sets some aside: it stays for the tests that follow. */
static struct engine *engine_with(size_t memory_nbytes)
{
    struct engine *e = calloc(1, sizeof *e);

    assert_non_null(e);
    e->config.memory_nbytes = memory_nbytes;
    return e;
}

static size_t resident_npages(void *memory)
{
    size_t npages = KEPT_NBYTES / (size_t)sysconf(_SC_PAGESIZE), n = 0;
    unsigned char *resident = malloc(npages);

    assert_non_null(resident);
    assert_int_equal(mincore(memory, KEPT_NBYTES, resident), 0);
    for (size_t i = 0; i < npages; i++)
        n += resident[i] & 1;
    free(resident);
    return n;
}

static void none_is_kept_where_memory_is_short(void **state)
{
    struct engine *e = engine_with((size_t)512 << 20);

    (void)state;
    warm_up_start(e);
    assert_false(e->warm_up.started);
    warm_up_stop(e);
    free(e);
}

static void it_is_stopped_before_the_moment_and_more_than_once(void **state)
{
    struct engine *e = engine_with((size_t)1 << 30);

    (void)state;
    warm_up_start(e);
    assert_true(e->warm_up.started);
    warm_up_stop(e);
    assert_false(e->warm_up.started);
    warm_up_stop(e);
    free(e);
}

static void what_is_kept_has_been_touched(void **state)
{
    struct engine *e = engine_with((size_t)1 << 30);

    (void)state;
    warm_up_start(e);
    assert_true(e->warm_up.started);
    assert_int_equal(pthread_join(e->warm_up.thread, NULL), 0);
    sem_destroy(&e->warm_up.stop);
    void *kept = pages_alloc(KEPT_NBYTES);
    assert_non_null(kept);
    assert_int_equal(resident_npages(kept), KEPT_NBYTES / (size_t)sysconf(_SC_PAGESIZE));
    pages_free(kept, KEPT_NBYTES);
    free(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_is_kept_where_memory_is_short),
        cmocka_unit_test(it_is_stopped_before_the_moment_and_more_than_once),
        cmocka_unit_test(what_is_kept_has_been_touched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
