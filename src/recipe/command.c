/* SPDX-License-Identifier: MIT
 *
 * The word splitter, and the expansion of words.
 *
 * One pass over the text with one character of state, the open quote. Without a shell, quotes and
 * backslashes are removed; for a shell the text stays and only braces are replaced, by variables:
 * `{tsnr.nii}` becomes "$derivfs_1" (without the quotes where it is quoted already) and `{runs}`
 * becomes "$@". Where the guess about quotes is wrong, as in a here document, the shell may split a
 * path, but never runs a part of it.
 */
#include "command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grow.h"
#include "text.h"

static const char blanks[] = " \t\n";

struct parser {
    const char *text, *at;
    struct command *c;
    char quote; /* the open quote, or 0 */
    char *run;  /* [nrun] plain bytes of the current piece; room for all of the text */
    size_t nrun;
    bool in_word; /* a word has begun, perhaps an empty one */
    struct error *err;
};

static int out_of_memory(struct parser *p)
{
    return error_set(p->err, ENOMEM, "out of memory");
}

static int begin_word(struct parser *p)
{
    if (p->in_word)
        return 0;
    if (GROW(p->c->words, p->c->nwords) < 0)
        return out_of_memory(p);
    p->c->words[p->c->nwords++] = (struct command_word){.npieces = 0};
    p->in_word = true;
    return 0;
}

static int add_piece(struct parser *p, struct command_piece piece)
{
    struct command_word *w = &p->c->words[p->c->nwords - 1];

    if (GROW(w->pieces, w->npieces) < 0)
        return out_of_memory(p);
    w->pieces[w->npieces++] = piece;
    return 0;
}

/* End the run of plain bytes. */
static int end_run(struct parser *p)
{
    struct command_piece piece = {.kind = PIECE_TEXT};
    int ret;

    if (p->nrun == 0)
        return 0;
    piece.text = strndup(p->run, p->nrun);
    p->nrun = 0;
    ret = piece.text ? add_piece(p, piece) : out_of_memory(p);
    if (ret < 0)
        free(piece.text);
    return ret;
}

static int end_word(struct parser *p)
{
    int ret = p->in_word ? end_run(p) : 0;

    p->in_word = false;
    return ret;
}

static int plain(struct parser *p, char byte)
{
    int ret = begin_word(p);

    p->run[p->nrun++] = byte;
    return ret;
}

/* The file called name[nbytes], added if it is new. */
static int find_file(struct parser *p, const char *name, size_t nbytes, size_t *index)
{
    struct command *c = p->c;
    struct command_file file = {.column = (size_t)(p->at - p->text) + 1};

    for (*index = 0; *index < c->nfiles; ++*index)
        if (text_is(c->files[*index].name, name, nbytes))
            return 0;
    file.name = GROW(c->files, c->nfiles) < 0 ? NULL : strndup(name, nbytes);
    if (!file.name)
        return out_of_memory(p);
    c->files[c->nfiles++] = file;
    return 0;
}

/* `{runs}` must be a word of its own. */
static int check_runs(struct parser *p, const char *end)
{
    bool starts = p->at == p->text || strchr(blanks, p->at[-1]);
    bool ends = end[1] == '\0' || strchr(blanks, end[1]);

    if (p->quote || (!p->c->shell && !(starts && ends)))
        return error_set(p->err, EINVAL,
                         "{runs} stands for several words and cannot be part of one");
    p->c->uses_runs = true;
    return 0;
}

/* `at` is at a "{" that begins a placeholder. */
static int placeholder(struct parser *p)
{
    const char *name = p->at + 1, *end = strchr(name, '}');
    size_t nbytes = end ? (size_t)(end - name) : 0;
    struct command_piece piece = {.kind = PIECE_FILE, .quoted = p->quote == '"'};
    int ret = 0;

    if (!end)
        return error_set(p->err, EINVAL, "this '{' has no '}': quote it to take it literally");
    if (nbytes == 0 || memchr(name, '/', nbytes) || memchr(name, '{', nbytes) || *name == '.')
        return error_set(p->err, EINVAL,
                         "'{%.*s}' does not name a file of the same directory: put it into "
                         "single quotes to take it literally",
                         (int)nbytes, name);
    if (text_is("runs", name, nbytes)) {
        piece.kind = PIECE_RUNS;
        ret = check_runs(p, end);
    } else if (text_is("out", name, nbytes)) {
        piece.kind = PIECE_OUT;
        p->c->uses_out = true;
    } else {
        ret = find_file(p, name, nbytes, &piece.file);
    }
    if (ret == 0)
        ret = begin_word(p);
    if (ret == 0)
        ret = end_run(p);
    if (ret == 0)
        ret = add_piece(p, piece);
    p->at = ret == 0 ? end + 1 : p->at;
    return ret;
}

/* A backslash and the byte that it escapes: in double quotes only a quote, a backslash and what a
 * shell expands there. */
static int backslash(struct parser *p)
{
    bool keep = p->c->shell || (p->quote && !strchr("\"\\$`", p->at[1]));
    int ret = 0;

    if (!p->at[1])
        return error_set(p->err, EINVAL, "nothing follows this backslash");
    if (keep)
        ret = plain(p, '\\');
    if (ret == 0)
        ret = plain(p, p->at[1]);
    p->at += 2;
    return ret;
}

static int quote(struct parser *p)
{
    char byte = *p->at++;
    int ret = begin_word(p);

    p->quote = p->quote ? '\0' : byte;
    if (ret == 0 && p->c->shell)
        ret = plain(p, byte);
    return ret;
}

/* In a script, "${x}" and "{ list; }" belong to the shell. */
static bool is_placeholder(const struct parser *p)
{
    if (*p->at != '{' || p->quote == '\'')
        return false;
    return !p->c->shell ||
           !((p->at > p->text && p->at[-1] == '$') || !p->at[1] || strchr(blanks, p->at[1]));
}

static int other(struct parser *p)
{
    const char *refused = p->quote ? "$`" : "$`|&;<>()";

    if (!p->c->shell && p->quote != '\'' && strchr(refused, *p->at))
        return error_set(p->err, EINVAL,
                         "'%c' needs shell = yes, or single quotes to be taken literally", *p->at);
    return plain(p, *p->at++);
}

static int step(struct parser *p)
{
    char byte = *p->at;

    if (is_placeholder(p))
        return placeholder(p);
    if (byte == '\\' && p->quote != '\'')
        return backslash(p);
    if (p->quote ? byte == p->quote : byte == '\'' || byte == '"')
        return quote(p);
    if (!p->quote && !p->c->shell && strchr(blanks, byte)) {
        p->at++;
        return end_word(p);
    }
    return other(p);
}

static int check_whole(struct parser *p)
{
    const struct command *c = p->c;

    if (p->quote)
        return error_set(p->err, EINVAL, "the quote %c is not closed", p->quote);
    p->at = p->text;
    if (c->nwords == 0 || strspn(p->text, blanks) == strlen(p->text))
        return error_set(p->err, EINVAL, "there is no command");
    if (c->shell)
        return 0;
    if (c->words[0].npieces != 1 || c->words[0].pieces[0].kind != PIECE_TEXT)
        return error_set(p->err, EINVAL, "the program cannot be one of the files");
    if (strchr(c->words[0].pieces[0].text, '/') && c->words[0].pieces[0].text[0] != '/')
        return error_set(p->err, EINVAL,
                         "a program is looked up in PATH, or named by its absolute path");
    return 0;
}

int command_parse(const char *text, bool shell, struct command **out, size_t *column,
                  struct error *err)
{
    struct parser p = {.text = text, .at = text, .err = err};
    int ret = 0;

    *column = 1;
    p.c = calloc(1, sizeof *p.c);
    p.run = malloc(strlen(text) + 1);
    if (!p.c || !p.run) {
        free(p.c);
        free(p.run);
        return out_of_memory(&p);
    }
    p.c->shell = shell;
    p.c->timeout_s = COMMAND_TIMEOUT_S;
    while (ret == 0 && *p.at)
        ret = step(&p);
    if (ret == 0)
        ret = end_word(&p);
    if (ret == 0)
        ret = check_whole(&p);
    free(p.run);
    if (ret < 0) {
        *column = (size_t)(p.at - text) + 1;
        command_free(p.c);
        return ret;
    }
    *out = p.c;
    return 0;
}

void command_free(struct command *c)
{
    for (size_t i = 0; i < c->nwords; i++) {
        for (size_t k = 0; k < c->words[i].npieces; k++)
            free(c->words[i].pieces[k].text);
        free(c->words[i].pieces);
    }
    for (size_t i = 0; i < c->nfiles; i++) {
        free(c->files[i].name);
        free(c->files[i].place);
    }
    free(c->words);
    free(c->files);
    free(c);
}

/* ---- expansion ---- */

/* Print a piece of a script: names are variables. */
static void print_for_shell(FILE *f, const struct command_piece *piece)
{
    const char *mark = piece->quoted ? "" : "\"";

    switch (piece->kind) {
    case PIECE_TEXT:
        fputs(piece->text, f);
        break;
    case PIECE_FILE:
        fprintf(f, "%s${derivfs_%zu}%s", mark, piece->file + 1, mark);
        break;
    case PIECE_RUNS:
        fputs("\"$@\"", f);
        break;
    case PIECE_OUT:
        fprintf(f, "%s${derivfs_out}%s", mark, mark);
        break;
    }
}

static void print_plain(FILE *f, const struct command_piece *piece,
                        const struct command_paths *paths)
{
    if (piece->kind == PIECE_TEXT)
        fputs(piece->text, f);
    else
        fputs(piece->kind == PIECE_FILE ? paths->files[piece->file] : paths->out, f);
}

/* One word, or all of a script. NULL: out of memory. */
static char *expand_word(const struct command *c, const struct command_word *w,
                         const struct command_paths *paths)
{
    char *text = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&text, &nbytes);

    if (!f)
        return NULL;
    for (size_t i = 0; i < w->npieces; i++)
        if (c->shell)
            print_for_shell(f, &w->pieces[i]);
        else
            print_plain(f, &w->pieces[i], paths);
    return text_end(f, &text);
}

/* A list of execve(), whose memory is there and zeroed. */
struct list {
    char **next;
    bool failed; /* out of memory */
};

/* Takes `text` over; NULL: out of memory. */
static void append(struct list *list, char *text)
{
    if (text)
        *list->next++ = text;
    else
        list->failed = true;
}

static void append_runs(struct list *list, const struct command_paths *paths)
{
    for (size_t i = 0; i < paths->nruns; i++)
        append(list, strdup(paths->runs[i]));
}

static void append_words(struct list *argv, const struct command *c,
                         const struct command_paths *paths)
{
    for (size_t i = 0; i < c->nwords; i++)
        if (c->words[i].npieces == 1 && c->words[i].pieces[0].kind == PIECE_RUNS)
            append_runs(argv, paths);
        else
            append(argv, expand_word(c, &c->words[i], paths));
}

static void append_script(struct list *argv, const struct command *c,
                          const struct command_paths *paths)
{
    append(argv, strdup("sh"));
    append(argv, strdup("-c"));
    append(argv, expand_word(c, &c->words[0], paths));
    append(argv, strdup("derivfs"));
    append_runs(argv, paths);
}

static void append_variables(struct list *env, const struct command *c,
                             const struct command_paths *paths)
{
    char *text;

    for (size_t i = 0; i < c->nfiles; i++)
        append(env, asprintf(&text, "derivfs_%zu=%s", i + 1, paths->files[i]) < 0 ? NULL : text);
    if (c->uses_out)
        append(env, asprintf(&text, "derivfs_out=%s", paths->out) < 0 ? NULL : text);
}

int command_expand(const struct command *c, const struct command_paths *paths,
                   struct command_line *out, struct error *err)
{
    enum { SHELL_WORDS = 4 };
    size_t room = SHELL_WORDS + 1 + c->nwords * (1 + paths->nruns);
    struct list argv = {.next = out->argv = calloc(room, sizeof *out->argv)};
    struct list env = {.next = out->env = calloc(c->nfiles + 2, sizeof *out->env)};

    if (argv.next && env.next && c->shell) {
        append_script(&argv, c, paths);
        append_variables(&env, c, paths);
    } else if (argv.next && env.next) {
        append_words(&argv, c, paths);
    }
    if (!argv.next || !env.next || argv.failed || env.failed) {
        command_line_free(out);
        return error_set(err, ENOMEM, "out of memory");
    }
    return 0;
}

static void free_list(char **list)
{
    for (size_t i = 0; list && list[i]; i++)
        free(list[i]);
    free(list);
}

void command_line_free(struct command_line *line)
{
    free_list(line->argv);
    free_list(line->env);
    *line = (struct command_line){.argv = NULL};
}
