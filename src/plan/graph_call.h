/* SPDX-License-Identifier: MIT
 *
 * What a TASK_COMMAND runs: the program, and where the files come from that it names. Pure data;
 * part of the graph.
 */
#ifndef DERIVFS_GRAPH_CALL_H
#define DERIVFS_GRAPH_CALL_H

#include "graph.h"
#include "program.h"

/* One of the command's files. */
struct command_input {
    char *source;        /* path in the dataset; NULL: it is computed */
    struct source_id id; /* of the source */
    size_t first_dep;    /* computed: deps[first_dep .. first_dep + ndeps) of the task, one after */
    size_t ndeps;        /* the other, */
    const struct expr *e; /* behind a head for `nvol` volumes of this series; NULL: they have */
    int64_t nvol;         /* all of the file */
    const struct output_framing *framing; /* how they lie in the file */
};

struct command_call {
    const struct recipe *recipe; /* borrowed from the graph's table */
    struct program program;
    struct command_input *inputs; /* [ninputs] as in recipe->command->files */
    size_t ninputs;
};

#endif
