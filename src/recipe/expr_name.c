/* SPDX-License-Identifier: MIT
 *
 * The meaning of a name in an expression, and the errors of unknown names and cycles. Only an
 * unknown name costs a search for a similar one.
 */
#include "expr_private.h"

#include <errno.h>
#include <string.h>

#include "text.h"

const char *parser_recipe(const struct parser *p, const char *name, size_t nbytes)
{
    return p->names->lookup ? p->names->lookup(p->names->ctx, name, nbytes) : NULL;
}

const struct expr_param *parser_param(const struct parser *p, const char *name, size_t nbytes)
{
    for (size_t i = 0; i < p->params.n; i++)
        if (text_is(p->params.list[i].name, name, nbytes))
            return &p->params.list[i];
    return NULL;
}

bool expr_is_coordinate(const char *name, size_t nbytes)
{
    const struct expr_info *info = expr_info_find(FORM_LEAF, name, nbytes);
    return info && info->kind == EXPR_KIND_COORDINATE;
}

/* file() has arguments of its own. */
static bool is_function(const char *name, size_t nbytes)
{
    return expr_info_find(FORM_FUNCTION, name, nbytes) ||
           text_is(expr_table[EXPR_FILE].name, name, nbytes);
}

/* Is the name known, as a function or (`call` false) alone? */
static bool is_known(const struct parser *p, const char *name, size_t nbytes, bool call)
{
    return call ? is_function(name, nbytes)
                : expr_info_find(FORM_LEAF, name, nbytes) == &expr_table[EXPR_BOLD] ||
                      parser_param(p, name, nbytes) || parser_recipe(p, name, nbytes) != NULL;
}

static bool try_guess(const struct parser *p, char *guess, size_t nbytes, bool call)
{
    guess[nbytes] = '\0';
    return is_known(p, guess, nbytes, call);
}

/* Find a known name one typo away: two letters swapped, one too many, one missing, one wrong. It
 * tries names, because only the lookup knows the recipes. */
static bool guess_name(const struct parser *p, const struct token *t, bool call, char *guess)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
    size_t n = t->nbytes;
    if (n < 2 || n >= TOKEN_SHOWN_MAX)
        return false;
    for (size_t i = 0; i <= n; i++) {
        const char *rest = t->text + i;
        memcpy(guess, t->text, i);
        if (i + 2 <= n) {
            guess[i] = rest[1];
            guess[i + 1] = rest[0];
            memcpy(guess + i + 2, rest + 2, n - i - 2);
            if (try_guess(p, guess, n, call))
                return true;
        }
        if (i < n) {
            memcpy(guess + i, rest + 1, n - i - 1);
            if (try_guess(p, guess, n - 1, call))
                return true;
        }
        for (const char *c = letters; *c; c++) {
            guess[i] = *c;
            memcpy(guess + i + 1, rest, n - i);
            if (try_guess(p, guess, n + 1, call))
                return true;
            if (i == n)
                continue;
            memcpy(guess + i + 1, rest + 1, n - i - 1);
            if (try_guess(p, guess, n, call))
                return true;
        }
    }
    return false;
}

int parser_unknown(struct parser *p, const struct token *t, bool call)
{
    const char *what = call ? "function" : "name";
    char guess[TOKEN_SHOWN_MAX + 2];
    if (!call && is_function(t->text, t->nbytes))
        return expr_fail(p->err, t->column, EINVAL, "'%.*s' is a function: write %.*s(...)",
                         token_shown(t), t->text, token_shown(t), t->text);
    if (call && is_known(p, t->text, t->nbytes, false))
        return expr_fail(p->err, t->column, EINVAL, "'%.*s' is not a function: write it without ()",
                         token_shown(t), t->text);
    if (guess_name(p, t, call, guess))
        return expr_fail(p->err, t->column, ENOENT, "unknown %s '%.*s' (did you mean '%s'?)", what,
                         token_shown(t), t->text, guess);
    return expr_fail(p->err, t->column, ENOENT, "unknown %s '%.*s'", what, token_shown(t), t->text);
}

static bool same_name(const struct inclusion *i, const struct token *t)
{
    return i->nbytes == t->nbytes && memcmp(i->name, t->text, t->nbytes) == 0;
}

/* "a -> b -> " from the recipe called like `t` inwards. */
static void write_path(const struct inclusion *i, const struct token *t, char *path, size_t room)
{
    if (!same_name(i, t))
        write_path(i->outer, t, path, room);
    size_t used = strlen(path);
    if (used + i->nbytes + sizeof(" -> ") <= room) {
        memcpy(path + used, i->name, i->nbytes);
        memcpy(path + used + i->nbytes, " -> ", sizeof(" -> "));
    }
}

int parser_check_cycle(struct parser *p, const struct token *t)
{
    const struct inclusion *i = p->inclusion;
    while (i && !same_name(i, t))
        i = i->outer;
    if (!i)
        return 0;
    char path[ERROR_TEXT_MAX / 2] = "";
    write_path(p->inclusion, t, path, sizeof(path));
    return expr_fail(p->err, t->column, ELOOP, "recipes form a cycle: %s%.*s", path, token_shown(t),
                     t->text);
}
