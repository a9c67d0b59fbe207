/* SPDX-License-Identifier: MIT
 *
 * Line by line; each is compared with all rows. Costs lines times rows comparisons.
 */
#include "joined.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The next cell of a line, which ends at a tab; NULL: there is none. */
static char *next_cell(char **line)
{
    return strsep(line, "\t");
}

/* The next line, without "\r"; NULL: there is none. */
static char *next_line(char **text)
{
    char *line = strsep(text, "\n");
    size_t n = line ? strlen(line) : 0;

    if (n > 0 && line[n - 1] == '\r')
        line[n - 1] = '\0';
    return line;
}

/* Has the name another meaning in our tables? */
static bool is_taken(const char *name, const char *recipe)
{
    static const char *const ours[] = {"bids_name", "size_t", "filename", "reason", "sub", "ses",
                                       "task",      "acq",    "ce",       "rec",    "dir", "run",
                                       "echo",      "part",   "space",    "res",    "desc"};

    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcmp(ours[i], name) == 0)
            return true;
    return strncmp(name, recipe, strlen(recipe)) == 0;
}

/* The index of the column, which is added if it is new; JOINED_MAX: there are too many. -ENOMEM. */
static int find_column(struct joined *j, const char *name, const char *source, const char *recipe)
{
    bool taken = is_taken(name, recipe);
    char *full;

    if (asprintf(&full, "%s%s%s", taken ? source : "", taken ? "_" : "", name) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < j->n; i++)
        if (strcmp(j->name[i], full) == 0) {
            free(full);
            return (int)i;
        }
    if (j->n == JOINED_MAX) {
        free(full);
        return JOINED_MAX;
    }
    j->cells[j->n] = calloc(j->nrows + 1, sizeof **j->cells);
    if (!j->cells[j->n]) {
        free(full);
        return -ENOMEM;
    }
    j->name[j->n] = full;
    return (int)j->n++;
}

/* Read the line of names: column[i] of our columns for each of theirs, -1 for the key. Returns their
 * number. */
static int read_names(struct joined *j, char *line, const char *source, const char *key,
                      const char *recipe, int column[JOINED_MAX], struct error *err)
{
    int n = 0;
    bool found = false;

    for (char *name; n < JOINED_MAX && (name = next_cell(&line)); n++) {
        bool is_key = !found && strcmp(name, key) == 0;

        found = found || is_key;
        column[n] = is_key ? -1 : find_column(j, name, source, recipe);
        if (column[n] == -ENOMEM)
            return error_set(err, ENOMEM, "%s: out of memory", source);
    }
    return found ? n : error_set(err, EINVAL, "%s: has no column %s", source, key);
}

static int set_cell(struct joined *j, int column, size_t row, const char *text)
{
    char **cell = &j->cells[column][row];

    if (*cell || !*text || strcmp(text, "n/a") == 0) /* the first line counts */
        return 0;
    *cell = strdup(text);
    return *cell ? 0 : -ENOMEM;
}

static int read_line(struct joined *j, char *line, const int *column, int n,
                     const char *const *keys)
{
    char *cells[JOINED_MAX] = {NULL};
    const char *key = NULL;
    int ret = 0;

    for (int i = 0; i < n && (cells[i] = next_cell(&line)); i++)
        key = column[i] < 0 ? cells[i] : key;
    for (size_t row = 0; key && row < j->nrows && ret == 0; row++) {
        if (!keys[row] || strcmp(keys[row], key) != 0)
            continue;
        for (int i = 0; i < n && cells[i] && ret == 0; i++)
            if (column[i] >= 0 && column[i] < JOINED_MAX)
                ret = set_cell(j, column[i], row, cells[i]);
    }
    return ret;
}

int joined_add(struct joined *j, const char *text, const char *source, const char *key,
               const char *recipe, const char *const *keys, struct error *err)
{
    static const char mark[] = "\xef\xbb\xbf"; /* a byte order mark, as Excel writes */
    char *copy = strdup(strncmp(text, mark, strlen(mark)) == 0 ? text + strlen(mark) : text);
    char *rest = copy, *line;
    int column[JOINED_MAX], n;

    if (!copy)
        return error_set(err, ENOMEM, "%s: out of memory", source);
    n = read_names(j, next_line(&rest), source, key, recipe, column, err);
    while (n >= 0 && (line = next_line(&rest)))
        if (read_line(j, line, column, n, keys) < 0)
            n = error_set(err, ENOMEM, "%s: out of memory", source);
    free(copy);
    return n < 0 ? n : 0;
}

void joined_clear(struct joined *j)
{
    for (size_t i = 0; i < j->n; i++) {
        for (size_t row = 0; row < j->nrows; row++)
            free(j->cells[i][row]);
        free(j->cells[i]);
        free(j->name[i]);
    }
    j->n = 0;
}
