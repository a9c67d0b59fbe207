/* SPDX-License-Identifier: MIT
 *
 * The content of the drawing: statements of DOT with HTML-like labels, and their looks.
 *
 * Colours are tints of Okabe and Ito's, which the colour-blind can distinguish; a word in the node
 * and its outline (dashed: to do, thick: running or failed) give its state too.
 */
#include "dot_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "array_desc.h"
#include "human.h"
#include "passes.h"
#include "text.h"
#include "utf8.h"

/* Characters in a line of a node, and lines of one text. */
enum { LINE_NCHARS = 44, LINES_MAX = 4 };

#define RUN_LOOKS "[shape=note, style=filled, fillcolor=\"#d3e6f5\", color=\"#0072b2\""
#define SMALL "<font point-size=\"9.5\" color=\"#404040\">"

struct looks {
    const char *fill, *line, *style;
    double width;
};

static const struct looks looks_of[] = {
    [TASK_TO_DO] = {"#ffffff", "#777777", "filled,rounded,dashed", 1},
    [TASK_QUEUED] = {"#f4f0d0", "#8a7d00", "filled,rounded", 1},
    [TASK_RUNNING] = {"#fddc9c", "#e69f00", "filled,rounded", 2.5},
    [TASK_CACHED] = {"#c4e8db", "#009e73", "filled,rounded", 1},
    [TASK_FAILED] = {"#f7cbb2", "#d55e00", "filled,rounded", 2.5},
};

/* ---- text ---- */

/* One character of a file name or an expression; returns its bytes. */
static size_t write_char(FILE *f, const char *c)
{
    size_t n = utf8_clean_nbytes(c);

    if (*c == '&')
        fputs("&amp;", f);
    else if (*c == '<')
        fputs("&lt;", f);
    else if (*c == '>')
        fputs("&gt;", f);
    else if (*c == '"')
        fputs("&quot;", f);
    else if (n == 0)
        fputc('?', f);
    else
        fwrite(c, 1, n, f);
    return n > 0 ? n : 1;
}

/* Bytes of `text` that go onto the next line: up to the last place where it may break. */
static size_t line_nbytes(const char *text)
{
    size_t at = 0, best = 0;

    for (size_t nchars = 0; nchars < LINE_NCHARS; nchars++) {
        size_t n = utf8_char_nbytes(text + at);

        if (!text[at])
            return at;
        if (nchars > LINE_NCHARS / 2 && strchr(" _,/", text[at]))
            best = at + 1;
        at += n > 0 ? n : 1;
    }
    return best > 0 && text[at] ? best : at;
}

/* `text` in lines, cut with "…" where it is too long. */
static void write_lines(FILE *f, const char *text)
{
    for (int line = 0; *text; line++) {
        size_t n = line_nbytes(text);

        if (line == LINES_MAX) {
            fputs(" …", f);
            return;
        }
        if (line > 0)
            fputs("<br/>", f);
        for (size_t at = 0; at < n;)
            at += write_char(f, text + at);
        text += n;
    }
}

static void write_text(FILE *f, const char *text)
{
    while (*text)
        text += write_char(f, text);
}

static void write_array(FILE *f, const struct array_desc *n)
{
    char *text = array_desc_text(n, false);

    fprintf(f, "<br/>" SMALL "%s</font>", text ? text : "?");
    free(text);
}

/* ---- statements ---- */

static void write_legend(FILE *f)
{
    for (enum task_state state = 0; state <= TASK_FAILED; state++)
        fprintf(f, "<font color=\"%s\">%s</font> " SMALL "%s</font>   ", looks_of[state].line,
                state == TASK_TO_DO ? "□" : "■", task_state_name(state));
}

void dot_write_head(FILE *f, const struct dot_request *q)
{
    const struct recipe *recipe = q->graphs[0]->recipe;

    fputs("digraph \"", f);
    write_text(f, base_name(q->path));
    fputs("\" {\n"
          "  graph [rankdir=LR, ranksep=0.55, nodesep=0.14, pad=0.2, bgcolor=white,\n"
          "    fontname=\"Helvetica,Arial,sans-serif\", fontsize=12, labelloc=t, labeljust=l,\n"
          "    label=<<font point-size=\"16\"><b>",
          f);
    write_text(f, q->path);
    fputs("</b></font><br align=\"left\"/>", f);
    write_text(f, recipe->name);
    fputs(" = ", f);
    write_text(f, recipe->text);
    fputs("<br align=\"left\"/>", f);
    write_legend(f);
    fputs("<br align=\"left\"/>>];\n"
          "  node [shape=box, fontname=\"Helvetica,Arial,sans-serif\", fontsize=11,\n"
          "    margin=\"0.13,0.07\", height=0.3];\n"
          "  edge [color=\"#666666\", arrowsize=0.6];\n",
          f);
}

void dot_write_run(FILE *f, size_t id, const struct run *run)
{
    struct array_desc n = array_desc_of_run(run);

    fprintf(f, "  n%zu " RUN_LOOKS ", tooltip=\"", id);
    write_text(f, run->path);
    fputs("\", label=<", f);
    write_lines(f, base_name(run->path));
    write_array(f, &n);
    fprintf(f, "<br/>" SMALL "%s</font>>];\n", human_nbytes(run->id.size).text);
}

static void write_looks(FILE *f, size_t id, enum task_state state)
{
    const struct looks *looks = &looks_of[state];

    fprintf(f, "  n%zu [style=\"%s\", fillcolor=\"%s\", color=\"%s\", penwidth=%g", id,
            looks->style, looks->fill, looks->line, looks->width);
}

/* "cached · 3.8 MiB · 0.2 s", "running 43 % · 3.8 MiB" */
static void write_status(FILE *f, const struct dot_node *n)
{
    fprintf(f, "<br/>" SMALL "%s", task_state_name(n->status.state));
    if (n->status.state == TASK_RUNNING && n->status.percent >= 0)
        fprintf(f, " %.0f %%", n->status.percent);
    if (n->task->kind != TASK_COMMAND) /* whose size only the result tells */
        fprintf(f, " · %s", human_nbytes(n->task->result_nbytes).text);
    if (n->status.took_ns > 0)
        fprintf(f, " · %s", human_span(n->status.took_ns).text);
    fputs("</font>", f);
}

/* "volumes 4 to 172", where a task reads a part of one run. */
static void write_range(FILE *f, const struct task *t)
{
    const struct stream *s = t->streams;

    for (size_t i = 0; t->nstreams == 1 && i < s->nleaves; i++) {
        const struct stream_leaf *leaf = &s->leaves[i];

        if (leaf->kind != LEAF_SAMPLE || t->kind == TASK_CHUNK ||
            (leaf->vol0 == 0 && s->nvol == leaf->run->nifti.nvol))
            continue;
        fprintf(f, "<br/>" SMALL "volumes %" PRId64 " to %" PRId64 " of the run</font>", leaf->vol0,
                leaf->vol0 + s->nvol - 1);
        return;
    }
}

void dot_write_task(FILE *f, size_t id, const struct dot_node *n, const struct dot_request *q)
{
    struct array_desc array = array_desc_of_task(n->g, n->task);
    char *words = task_words(n->task);

    write_looks(f, id, n->status.state);
    fprintf(f, ", tooltip=\"%s ", n->task->key.hex);
    write_text(f, n->task->label);
    fputs("\", label=<", f);
    write_lines(f, words ? words : "?");
    if (n->task->kind == TASK_CHUNK && n->is_root && q->part_nvol > 0)
        fprintf(f, "<br/>" SMALL "volumes from %" PRId64 " on</font>",
                (int64_t)n->part * q->part_nvol);
    write_range(f, n->task);
    write_array(f, &array);
    write_status(f, n);
    fputs(">];\n", f);
    free(words);
}

/* The state of many: that which needs attention most. */
static enum task_state state_of_many(const struct dot_fold *fold)
{
    static const enum task_state order[] = {TASK_FAILED, TASK_RUNNING, TASK_QUEUED, TASK_TO_DO};

    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        if (fold->nstate[order[i]] > 0)
            return order[i];
    return TASK_CACHED;
}

void dot_write_fold(FILE *f, size_t id, const struct dot_fold *fold, const struct dot_node *like)
{
    size_t n = fold->n - fold->ndrawn, nshown = 0;
    char *words = like->run ? NULL : task_words(like->task);

    if (like->run) {
        fprintf(f, "  n%zu " RUN_LOOKS ", peripheries=2, label=<%zu more runs>];\n", id, n);
        return;
    }
    write_looks(f, id, state_of_many(fold));
    fprintf(f, ", peripheries=2, label=<%zu more: ", n);
    write_lines(f, words ? words : "?");
    fputs("<br/>" SMALL, f);
    for (enum task_state state = 0; state <= TASK_FAILED; state++)
        if (fold->nstate[state] > 0)
            fprintf(f, "%s%zu %s", nshown++ > 0 ? " · " : "", fold->nstate[state],
                    task_state_name(state));
    fputs("</font>>];\n", f);
    free(words);
}

void dot_write_file(FILE *f, size_t id, const struct dot_request *q)
{
    fprintf(f,
            "  n%zu [shape=note, style=filled, fillcolor=\"%s\", color=\"%s\", penwidth=2, "
            "label=<<b>",
            id, q->error ? looks_of[TASK_FAILED].fill : "#eeeeee",
            q->error ? looks_of[TASK_FAILED].line : "#333333");
    write_lines(f, base_name(q->path));
    fprintf(f, "</b><br/>" SMALL "%s", q->array);
    if (q->nbytes > 0)
        fprintf(f, "<br/>%s", human_nbytes(q->nbytes).text);
    if (q->nparts > q->ngraphs)
        fprintf(f, "<br/>made of %zu chunks, of which %zu are looked at", q->nparts, q->ngraphs);
    if (q->error) {
        fputs("<br/>", f);
        write_lines(f, q->error);
    }
    fputs("</font>>];\n", f);
}
