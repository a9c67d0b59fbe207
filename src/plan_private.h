/* SPDX-License-Identifier: MIT
 *
 * What the planning of expressions (plan.c) and of commands (plan_command.c) share.
 */
#ifndef DERIVFS_PLAN_PRIVATE_H
#define DERIVFS_PLAN_PRIVATE_H

#include <uthash.h>

#include "graph.h"
#include "timeline.h"

struct by_key {
    struct key key;
    size_t task;
    UT_hash_handle hh;
};

struct planner {
    const struct graph_request *q;
    struct graph *g;
    struct joined_runs bold;
    struct by_key *by_key;
    size_t nvox;
    struct error *err;
};

int out_of_memory(struct planner *p);

/* Frees what it owns; `t` itself stays the caller's. */
void task_clear(struct task *t);

/* Put a task into the graph, or find the equal one that is there. Takes over what `t` owns. */
int add_task(struct planner *p, struct task *t, size_t *index) NODISCARD;
int add_dep(struct planner *p, struct task *t, size_t task) NODISCARD;

int plan_image(struct planner *p, enum task_kind kind, const struct expr *e,
               size_t *task) NODISCARD;
/* The file in another format, from the image of a TASK_IMAGE. */
int plan_output(struct planner *p, const struct output_format *format, size_t image,
                size_t *task) NODISCARD;
int plan_chunk(struct planner *p, const struct expr *x, int64_t vol0, int64_t nvol,
               size_t *task) NODISCARD;

/* plan_command.c: the recipe's program and all that it needs. */
int plan_command(struct planner *p, const struct recipe *recipe, size_t *task) NODISCARD;

#endif
