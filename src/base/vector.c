/* SPDX-License-Identifier: MIT
 *
 * A store of huge pages for the large buffers of all threads.
 *
 *     |==buffer==|......|=buffer=|..............      units of 64 KiB
 *                 next: the first gap that is large enough
 *
 * In pages of 4 KiB each MiB of new memory costs 256 faults: 8300 in the first tsnr of one gzip run,
 * 1100 with the store. Huge pages are dear too, in a virtual machine whose host takes unused memory
 * back: up to 5 ms each. So the store is filled from its beginning, where it is touched already. What
 * does not fit comes from malloc(3). Untouched, the store takes no memory; what was touched is kept.
 */
#include "vector.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { CACHE_LINE = 64, UNIT = 64 << 10, HUGE_PAGE = 2 << 20, STORE_NBYTES = 64 << 20 };
enum { NUNITS = STORE_NBYTES / UNIT };

/* The sanitizers watch malloc(3). */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool is_used = false;
#else
static const bool is_used = true;
#endif

static pthread_once_t once = PTHREAD_ONCE_INIT;
static unsigned char *_Atomic store; /* STORE_NBYTES; NULL: there is none. Set once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint16_t held[NUNITS]; /* units of the buffer that begins at a unit, or 0; guarded by lock */

static void open_store(void)
{
    unsigned char *p = mmap(NULL, STORE_NBYTES + HUGE_PAGE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (p == MAP_FAILED)
        return;
    p += HUGE_PAGE - (uintptr_t)p % HUGE_PAGE;
    if (madvise(p, STORE_NBYTES, MADV_HUGEPAGE) == 0)
        store = p;
}

/* NULL: there is no room. */
static void *take(size_t nbytes)
{
    size_t n = nbytes / UNIT + (nbytes % UNIT > 0), first = 0, at = 0;

    pthread_once(&once, open_store);
    if (!store || n > NUNITS)
        return NULL;
    pthread_mutex_lock(&lock);
    while (at < NUNITS && at - first < n) {
        size_t there = held[at];

        at += there > 0 ? there : 1;
        first = there > 0 ? at : first;
    }
    if (at - first == n)
        held[first] = (uint16_t)n;
    pthread_mutex_unlock(&lock);
    return at - first == n ? store + first * UNIT : NULL;
}

void *vector_alloc(size_t nbytes)
{
    void *p = is_used && nbytes >= UNIT ? take(nbytes) : NULL;

    if (p || nbytes > SIZE_MAX - CACHE_LINE)
        return p;
    return aligned_alloc(CACHE_LINE, (nbytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
}

void vector_free(void *p)
{
    uintptr_t at = (uintptr_t)p, begin = (uintptr_t)store;

    if (!store || at < begin || at >= begin + STORE_NBYTES) {
        free(p);
        return;
    }
    pthread_mutex_lock(&lock);
    held[(at - begin) / UNIT] = 0;
    pthread_mutex_unlock(&lock);
}
