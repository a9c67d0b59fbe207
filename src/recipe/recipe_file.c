/* SPDX-License-Identifier: MIT
 *
 * A recipes file to sections and keys, with inih.
 *
 *     file -- line by line --> inih -- key and value --> section
 *               |                         |
 *               +---- line number --------+---> problems with line, column and caret
 *
 * inih reports neither the place of a value, nor the start of a section, nor invalid lines but the
 * first; and it cuts long lines and names. So it gets the file line by line: its callback belongs to
 * the last line, and a line without a callback is invalid. This file reads headings itself, and
 * replaces a line too long for inih by an empty one. Blanks, comments, continuations and the rules
 * for "=" are inih's own.
 */
#include "recipe_private.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fd.h"
#include "grow.h"
#include "text.h"
#include "time_ns.h"

enum {
    FILE_MAX_NBYTES = 256 << 10,
    NAME_MAX_NBYTES = 64, /* leaves room in a file name for the run's entities */
    PROBLEMS_MAX = 100,
};

/* State of the reading by inih. */
struct reader {
    struct recipe_file *file;
    const char *next; /* the line to hand out next */
    const char *line; /* the line handed out last: [nbytes], as in the file */
    size_t nbytes;
    size_t number;               /* of that line, 1-based */
    bool wants_key;              /* that line should be a key or go on with one */
    struct recipe_section *into; /* NULL: before the first heading, or after a bad one */
    bool headed;                 /* a heading was seen */
    bool after_key;              /* an indented line goes on with a key's value */
    struct recipe_value *value;  /* of that key; NULL: of no interest */
    int ret;                     /* the first failure */
};

static size_t blank_nbytes(const char *s, size_t nbytes)
{
    size_t n = 0;
    while (n < nbytes && isspace((unsigned char)s[n]))
        n++;
    return n;
}

/* The line numbered `number`, without its end. */
static const char *line_of(const struct recipe_file *file, size_t number, size_t *nbytes)
{
    const char *s = file->text;
    while (--number > 0 && strchr(s, '\n'))
        s = strchr(s, '\n') + 1;
    *nbytes = strcspn(s, "\r\n");
    return s;
}

/* The line and a caret under `column`: tabs stay, and a character of several bytes is one blank. */
static void print_line(FILE *out, const char *line, size_t nbytes, size_t column)
{
    fwrite(line, 1, nbytes, out);
    fputc('\n', out);
    for (size_t i = 0; i + 1 < column; i++) {
        unsigned char c = i < nbytes ? (unsigned char)line[i] : ' ';
        if (c == '\t')
            fputc('\t', out);
        else if ((c & 0xc0) != 0x80)
            fputc(' ', out);
    }
    fputc('^', out);
}

static int add_problem(struct recipe_file *file, size_t line, size_t column, const char *fmt,
                       va_list args)
{
    if (file->nproblems > PROBLEMS_MAX)
        return 0;
    if (file->nproblems == PROBLEMS_MAX)
        fmt = "there are more mistakes, which are not shown";
    if (GROW(file->problems, file->nproblems) < 0)
        return -ENOMEM;
    char *text = NULL;
    size_t nbytes = 0, line_nbytes;
    const char *source = line_of(file, line, &line_nbytes);
    FILE *out = open_memstream(&text, &nbytes);
    if (!out)
        return -ENOMEM;
    fprintf(out, "%s:%zu:%zu: ", file->path, line, column);
    vfprintf(out, fmt, args);
    fputc('\n', out);
    print_line(out, source, line_nbytes, column);
    text = text_end(out, &text);
    if (!text)
        return -ENOMEM;
    file->problems[file->nproblems++] = text;
    return 0;
}

int recipe_file_problem(struct recipe_file *file, size_t line, size_t column, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int ret = add_problem(file, line, column, fmt, args);
    va_end(args);
    return ret;
}

int recipe_section_problem(struct recipe_file *file, struct recipe_section *section,
                           const struct recipe_value *value, size_t at, const char *fmt, ...)
{
    size_t line = section->line, column = section->column;
    va_list args;
    if (value)
        recipe_value_place(value, at, &line, &column);
    section->broken = true;
    va_start(args, fmt);
    int ret = add_problem(file, line, column, fmt, args);
    va_end(args);
    return ret;
}

struct recipe_section *recipe_file_find(const struct recipe_file *file, const char *name,
                                        size_t nbytes)
{
    for (size_t i = 0; i < file->nsections; i++)
        if (text_is(file->sections[i].name, name, nbytes))
            return &file->sections[i];
    return NULL;
}

/* Record a problem of the current line; the section gives no recipe. */
static void complain(struct reader *r, size_t column, const char *reason, const char *about)
{
    int ret = recipe_file_problem(r->file, r->number, column, "%s%s%s%s", reason, about ? " '" : "",
                                  about ? about : "", about ? "'" : "");
    if (ret < 0 && r->ret == 0)
        r->ret = ret;
    if (r->into)
        r->into->broken = true;
    else
        r->file->stray = true;
}

static const char name_bytes[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
enum { NLETTERS = 52, NDIGITS = 10 };

/* May it be a name that starts with one of the first `nfirst` of these bytes? */
static bool is_name(const char *name, size_t nfirst)
{
    size_t nbytes = strlen(name);
    return nbytes > 0 && nbytes <= NAME_MAX_NBYTES && strspn(name, name_bytes) == nbytes &&
           memchr(name_bytes, *name, nfirst);
}

static bool is_command_name(const char *name)
{
    return is_name(name, NLETTERS + NDIGITS) && name[strlen(name) - 1] != '.';
}

static void check_heading(struct reader *r, const struct recipe_section *first)
{
    const char *name = r->into->name;
    size_t column = r->into->column;
    const struct recipe_builtin *builtin = recipe_builtin_find(name, strlen(name));
    if (first)
        complain(r, column, "there is already a section called", name);
    else if (r->into->command && !is_command_name(name))
        complain(r, column,
                 "a file's name has letters, digits, \".\", \"_\" and \"-\", starts with a letter "
                 "or digit and is at most 64 long, unlike",
                 name);
    else if (r->into->command)
        return;
    else if (!is_name(name, NLETTERS)) /* it has no dot: it would be a command's */
        complain(r, column,
                 "a recipe's name has letters, digits, \"_\" and \"-\", starts with a letter and "
                 "is at most 64 long, unlike",
                 name);
    else if (strcmp(name, "bold") == 0)
        complain(r, column, "a recipe cannot have the name of the data,", name);
    else if (builtin && !builtin->replaceable)
        complain(r, column, "there is a built-in recipe called", name);
}

/* The current line is "[name]"; `s` points at the "[". */
static void read_heading(struct reader *r, const char *s, size_t nbytes)
{
    r->headed = true;
    r->into = NULL;
    r->value = NULL;
    r->wants_key = false;
    const char *end = memchr(s, ']', nbytes);
    if (!end) {
        complain(r, (size_t)(s - r->line) + 1, "this heading has no ']'", NULL);
        return;
    }
    r->after_key = false;
    struct recipe_file *file = r->file;
    char *name = NULL;
    if (GROW(file->sections, file->nsections) == 0)
        name = strndup(s + 1, (size_t)(end - s) - 1);
    if (!name) {
        r->ret = -ENOMEM;
        return;
    }
    const struct recipe_section *first = recipe_file_find(file, name, strlen(name));
    r->into = &file->sections[file->nsections++];
    *r->into = (struct recipe_section){.name = name,
                                       .line = r->number,
                                       .column = (size_t)(s - r->line) + 2,
                                       .command = strchr(name, '.') != NULL};
    check_heading(r, first);
}

/* Classify the current line. */
static void note_line(struct reader *r)
{
    size_t blanks = blank_nbytes(r->line, r->nbytes);
    const char *s = r->line + blanks;
    r->wants_key = blanks < r->nbytes && *s != ';' && *s != '#';
    if (r->wants_key && *s == '[' && !(blanks > 0 && r->after_key))
        read_heading(r, s, r->nbytes - blanks);
}

/* inih's fgets(): the next line, whole or, where it does not fit, empty. */
static char *read_line(char *buf, int room, void *stream)
{
    struct reader *r = stream;
    if (r->wants_key && r->ret == 0) /* still: no key came of it */
        complain(r, blank_nbytes(r->line, r->nbytes) + 1, "this is neither [name] nor key = value",
                 NULL);
    const char *end = r->file->text + r->file->nbytes;
    r->wants_key = false;
    if (r->next >= end || r->ret < 0)
        return NULL;
    r->line = r->next;
    const char *newline = memchr(r->line, '\n', (size_t)(end - r->line));
    r->next = newline ? newline + 1 : end;
    r->nbytes = (size_t)((newline ? newline : end) - r->line);
    r->number++;
    note_line(r);
    size_t nbytes = r->nbytes;
    if (nbytes + 2 > (size_t)room) {
        if (r->wants_key) {
            r->wants_key = false;
            complain(r, 1, "this line is too long: go on in the next one, indented", NULL);
        }
        nbytes = 0;
    }
    memcpy(buf, r->line, nbytes);
    memcpy(buf + nbytes, "\n", 2);
    return buf;
}

static const struct {
    const char *name;
    bool expression, command; /* which sections have it */
} keys[RECIPE_NKEYS] = {
    [KEY_EXPR] = {"expr", true, false},
    [KEY_FILE] = {"file", true, false},
    [KEY_KIND] = {"kind", true, false},
    [KEY_JOIN] = {"join", true, true},
    [KEY_DESCRIPTION] = {"description", true, true},
    [KEY_LIST] = {"list", true, true},
    [KEY_COMMAND] = {"command", false, true},
    [KEY_SCOPE] = {"scope", false, true},
    [KEY_SHELL] = {"shell", false, true},
    [KEY_TIMEOUT] = {"timeout", false, true},
    [KEY_MEMORY] = {"memory", false, true},
};

static const char param_key[] = "param ";

/* "param NAME" begins: there is one more parameter. */
static void begin_param(struct reader *r, const char *key, size_t column)
{
    struct recipe_section *section = r->into;
    const char *name = key + strlen(param_key);
    name += strspn(name, " \t");
    if (!expr_is_param_name(name, strlen(name))) {
        complain(
            r, column,
            "a parameter's name has letters, digits and \"_\", starts with no digit and is not "
            "bold, unlike",
            name);
        return;
    }
    for (size_t i = 0; i < section->nparams; i++)
        if (strcmp(section->params[i].name, name) == 0) {
            complain(r, column, "this key is there already:", key);
            return;
        }
    char *copy = GROW(section->params, section->nparams) < 0 ? NULL : strdup(name);
    if (!copy) {
        r->ret = -ENOMEM;
        return;
    }
    section->params[section->nparams] = (struct recipe_param){.name = copy};
    r->value = &section->params[section->nparams++].value;
}

/* A key begins: find where its value goes. */
static void begin_key(struct reader *r, const char *key, size_t column)
{
    struct recipe_section *section = r->into;
    size_t k = 0;
    r->value = NULL;
    if (!section) {
        if (!r->headed)
            complain(r, column, "this is before the first [name]", NULL);
        return;
    }
    while (k < RECIPE_NKEYS && strcmp(key, keys[k].name) != 0)
        k++;
    bool is_param = strncmp(key, param_key, strlen(param_key)) == 0;
    if (k == RECIPE_NKEYS && !is_param)
        complain(r, column, "unknown key", key);
    else if (section->command && (is_param || !keys[k].command))
        complain(r, column, "a section named like a file has no", key);
    else if (is_param)
        begin_param(r, key, column);
    else if (!section->command && !keys[k].expression)
        complain(r, column, "only a section named like a file, as [x.txt], has the key", key);
    else if (section->values[k].text)
        complain(r, column, "this key is there already:", key);
    else
        r->value = &section->values[k];
}

/* Without a comment behind it: some versions of inih leave one on a line that goes on. */
static size_t value_nbytes(const char *value)
{
    size_t n = 0;
    while (value[n] && !(value[n] == ';' && n > 0 && isspace((unsigned char)value[n - 1])))
        n++;
    while (n > 0 && isspace((unsigned char)value[n - 1]))
        n--;
    return n;
}

/* Append a piece at `column` of the current line. */
static int value_add(struct reader *r, const char *text, size_t column)
{
    struct recipe_value *value = r->value;
    size_t nbytes = value_nbytes(text);
    size_t before = value->text ? strlen(value->text) : 0;
    char *whole = realloc(value->text, before + nbytes + sizeof(" "));
    if (!whole)
        return -ENOMEM;
    value->text = whole;
    if (before > 0)
        whole[before++] = ' ';
    memcpy(whole + before, text, nbytes);
    whole[before + nbytes] = '\0';
    if (GROW(value->pieces, value->npieces) < 0)
        return -ENOMEM;
    value->pieces[value->npieces++] = (struct recipe_piece){before, r->number, column};
    return 0;
}

/* inih's callback: a key, or (with the key of before) a line that goes on. */
static int take_key(void *user, const char *section, const char *key, const char *text)
{
    struct reader *r = user;
    (void)section; /* cut at 49 bytes; the heading is known from note_line() */
    if (!key || !text)
        return 1;
    size_t blanks = blank_nbytes(r->line, r->nbytes);
    size_t at = blanks;
    if (blanks == 0 || !r->after_key) {
        begin_key(r, key, blanks + 1);
        while (at < r->nbytes && r->line[at] != '=' && r->line[at] != ':')
            at++;
        at += at < r->nbytes;
        at += blank_nbytes(r->line + at, r->nbytes - at);
    }
    r->wants_key = false;
    r->after_key = true;
    int ret = r->value ? value_add(r, text, at + 1) : 0;
    if (ret < 0 && r->ret == 0)
        r->ret = ret;
    return 1;
}

void recipe_value_place(const struct recipe_value *value, size_t column, size_t *line_out,
                        size_t *column_out)
{
    size_t i = value->npieces - 1;
    while (i > 0 && value->pieces[i].start > column - 1)
        i--;
    *line_out = value->pieces[i].line;
    *column_out = value->pieces[i].column + (column - 1 - value->pieces[i].start);
}

int recipe_value_bool(const struct recipe_value *value, bool *out)
{
    static const char *const words[2][3] = {{"no", "false", "0"}, {"yes", "true", "1"}};
    *out = false;
    if (!value->text)
        return 0;
    for (size_t i = 0; i < 6; i++)
        if (strcasecmp(value->text, words[i / 3][i % 3]) == 0) {
            *out = i / 3 == 1;
            return 0;
        }
    return -EINVAL;
}

int recipe_value_join(const struct recipe_value *value, bool *all)
{
    *all = value->text && strcmp(value->text, "all") == 0;
    return !value->text || *all || strcmp(value->text, "alike") == 0 ? 0 : -EINVAL;
}

/* The file's commands are run: nobody but the user and root may have written it. */
static int check_owner(const struct stat *st, const char *path, struct error *err)
{
    if (S_ISDIR(st->st_mode))
        return error_set(err, EISDIR, "%s: cannot read recipes: is a directory", path);
    if (!S_ISREG(st->st_mode))
        return error_set(err, EINVAL, "%s: cannot read recipes: not a regular file", path);
    if (st->st_uid != geteuid() && st->st_uid != 0)
        return error_set(err, EPERM,
                         "%s: recipes refused: the file belongs to another user (copy it)", path);
    if (st->st_mode & S_IWOTH)
        return error_set(err, EPERM,
                         "%s: recipes refused: everybody may write the file (chmod o-w)", path);
    if (st->st_size > FILE_MAX_NBYTES)
        return error_set(err, EFBIG, "%s: cannot read recipes: larger than %d KiB", path,
                         FILE_MAX_NBYTES >> 10);
    return 0;
}

/* Anyone who can write the file can run programs as the user who mounts. The group's bit also
 * bounds an access list. */
static int check_commands(const struct recipe_file *file, struct error *err)
{
    if (!file->of_group)
        return 0;
    for (size_t i = 0; i < file->nsections; i++)
        if (file->sections[i].command)
            return error_set(err, EPERM,
                             "%s: recipes refused: its group may write the file, which has "
                             "commands ([%s]): chmod g-w",
                             file->path, file->sections[i].name);
    return 0;
}

static int cannot(const char *what, const char *path, int code, struct error *err)
{
    return resolve_is_fault(-code)
               ? error_fault(err, code, "%s: cannot %s: %s", path, what, strerror(code))
               : error_set(err, code, "%s: cannot %s: %s", path, what, strerror(code));
}

static int read_text(int fd, struct recipe_file *file, struct error *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return cannot("stat", file->path, errno, err);
    int ret = check_owner(&st, file->path, err);
    if (ret < 0)
        return ret;
    file->of_group = (st.st_mode & S_IWGRP) != 0;
    file->mtime_ns = time_ns(st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec);
    size_t room = (size_t)st.st_size;
    file->text = malloc(room + 1);
    if (!file->text)
        return error_set(err, ENOMEM, "%s: cannot read recipes: out of memory", file->path);
    ssize_t got = fd_read(fd, file->text, room);
    if (got < 0)
        return cannot("read", file->path, (int)-got, err);
    file->nbytes = (size_t)got;
    file->text[file->nbytes] = '\0';
    if (memchr(file->text, '\0', file->nbytes))
        return error_set(err, EINVAL, "%s: cannot read recipes: not a text file", file->path);
    static const char bom[] = "\xEF\xBB\xBF";
    if (text_starts(file->text, bom)) {
        file->nbytes -= strlen(bom);
        memmove(file->text, file->text + strlen(bom), file->nbytes + 1);
    }
    return 0;
}

int recipe_file_read(const char *path, struct recipe_file *file, struct error *err)
{
    *file = (struct recipe_file){.path = path};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return cannot("open", path, errno, err);
    int ret = read_text(fd, file, err);
    close(fd);
    if (ret < 0)
        return ret;
    struct reader reader = {.file = file, .next = file->text};
    /* inih returns the number of a line, which a problem has already. */
    int parsed = ini_parse_stream(read_line, &reader, take_key, &reader);
    if (reader.ret < 0 || parsed == -2)
        return error_set(err, ENOMEM, "%s: cannot read recipes: out of memory", path);
    return check_commands(file, err);
}

static void value_clear(struct recipe_value *value)
{
    free(value->text);
    free(value->pieces);
}

void recipe_file_clear(struct recipe_file *file)
{
    for (size_t i = 0; i < file->nsections; i++) {
        free(file->sections[i].name);
        free(file->sections[i].input);
        for (size_t k = 0; k < RECIPE_NKEYS; k++)
            value_clear(&file->sections[i].values[k]);
        if (file->sections[i].parsed)
            command_free(file->sections[i].parsed);
        for (size_t k = 0; k < file->sections[i].nparams; k++) {
            free(file->sections[i].params[k].name);
            value_clear(&file->sections[i].params[k].value);
        }
        free(file->sections[i].params);
        free(file->sections[i].numbers);
    }
    for (size_t i = 0; i < file->nproblems; i++)
        free(file->problems[i]);
    free(file->sections);
    free(file->problems);
    free(file->text);
    *file = (struct recipe_file){0};
}
