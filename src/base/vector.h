/* SPDX-License-Identifier: MIT
 *
 * Loops compiled for several instruction sets (AVX2, AVX-512; NEON, which every ARM has); the
 * loader picks one.
 *
 * All give the same results, to the bit: tests/kernel_sets compares those of the kernels.
 * Contraction to fused multiply-add is off, because it would make results depend on the machine.
 * The sanitizers do not support functions resolved so early.
 */
#ifndef DERIVFS_VECTOR_H
#define DERIVFS_VECTOR_H

#include <stddef.h>

#include "error.h"

/* Memory for such loops, aligned to a cache line, its content undefined. NULL: out of memory. Thread
 * rule: any thread. */
void *vector_alloc(size_t nbytes) NODISCARD;
/* What vector_alloc() has given; NULL is allowed. */
void vector_free(void *p);

#define VECTOR_O3 optimize("O3", "fp-contract=off", "no-trapping-math")
#if defined(__clang__) || !defined(__GNUC__) || defined(VECTOR_PLAIN)
#define VECTOR_LOOP
#elif defined(VECTOR_CPU) /* one set, for the test that compares them */
#define VECTOR_LOOP __attribute__((VECTOR_O3, target("arch=" VECTOR_CPU)))
#elif defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) &&               \
    !defined(__SANITIZE_THREAD__)
#define VECTOR_LOOP                                                                                \
    __attribute__((VECTOR_O3, target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define VECTOR_LOOP __attribute__((VECTOR_O3))
#endif

#endif
