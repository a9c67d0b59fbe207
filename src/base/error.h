/* SPDX-License-Identifier: MIT
 *
 * Errors are values: an errno code and one sentence that names file, operation and reason.
 *
 * A function that can fail returns 0 or a negative errno and takes `struct error *err` last.
 * The function that detects the failure calls error_set(); its callers add context with
 * error_wrap(); only mount/ turns an error into a printed line or a reply to the kernel.
 * A struct error is plain memory owned by the caller; it may be copied and needs no release.
 * Thread rule: no shared state.
 */
#ifndef DERIVFS_ERROR_H
#define DERIVFS_ERROR_H

#include <stdbool.h>
#include <stddef.h>

#define NODISCARD __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt_index, args_index) __attribute__((format(printf, fmt_index, args_index)))

enum { ERROR_TEXT_MAX = 1024 };

struct error {
    int code;                  /* positive errno; 0 means no error */
    bool fault;                /* the system failed, which says nothing about what it was asked for:
                                  it may succeed the next time */
    char text[ERROR_TEXT_MAX]; /* one sentence without a final newline; cut with "..." if longer */
};

/* Replace the code and text of `err`, which may be NULL. Returns -code. */
int error_set(struct error *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* The same for a fault. */
int error_fault(struct error *err, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Put "CONTEXT: " before the text of `err`. Returns -err->code; with err NULL returns `ret`. */
int error_wrap(struct error *err, int ret, const char *fmt, ...) PRINTF_LIKE(3, 4);

#ifdef __clang_analyzer__
/* The analyser reads one file at a time, and must know that these return a failure. */
#define error_set(...) (error_set(__VA_ARGS__), -1)
#define error_fault(...) (error_fault(__VA_ARGS__), -1)
#define error_wrap(...) (error_wrap(__VA_ARGS__), -1)
#endif

#endif
