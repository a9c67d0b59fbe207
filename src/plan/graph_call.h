/* SPDX-License-Identifier: MIT
 *
 * The call of a TASK_COMMAND: the program, and the sources of its files. Pure data; part of the
 * graph.
 */
#ifndef DERIVFS_GRAPH_CALL_H
#define DERIVFS_GRAPH_CALL_H

#include "graph.h"
#include "program.h"

/* One of the command's files. */
struct command_input {
    char *source;         /* path in the dataset; NULL: it is computed */
    struct source_id id;  /* of the source, and where that holds for this mount only, */
    struct key content;   /* if it is not "", what the source has (file_content_key) */
    size_t first_dep;     /* computed: by deps[first_dep .. first_dep + ndeps) of the task, in */
    size_t ndeps;         /* this order, */
    const struct expr *e; /* behind a header for `nvol` volumes of this series; NULL: the tasks */
    int64_t nvol;         /* give the whole file */
    const struct output_framing *framing; /* the layout in the file */
};

struct command_call {
    const struct recipe *recipe; /* borrowed from the graph's table */
    struct program program;
    struct command_input *inputs; /* [ninputs] as in recipe->command->files */
    size_t ninputs;
};

#endif
