/* SPDX-License-Identifier: MIT
 *
 * Text to tokens: numbers, names, and the longest symbol that fits. Operators are those of the table
 * of the language. A token points into the text; nothing is allocated.
 */
#include "expr_private.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static const char *const punctuation[] = {"...", "(", ")", "[", "]", ",", ":", "="};

/* ASCII whatever the locale. */
#define DIGITS "0123456789"
#define NAME_START "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define NAME NAME_START DIGITS

bool token_is(const struct token *t, const char *symbol)
{
    return t->kind == TOKEN_SYMBOL && text_is(symbol, t->text, t->nbytes);
}

int token_shown(const struct token *t)
{
    return t->nbytes < TOKEN_SHOWN_MAX ? (int)t->nbytes : TOKEN_SHOWN_MAX;
}

static size_t space_end(const struct lexer *lex)
{
    return lex->pos + strspn(lex->text + lex->pos, " \t\r\n");
}

bool lexer_before_equals(const struct lexer *lex)
{
    const char *s = lex->text + space_end(lex);
    return s[0] == '=' && s[1] != '=';
}

bool lexer_is_whole(double number)
{
    return number == floor(number) && fabs(number) <= 9007199254740992.0; /* 2**53 */
}

bool lexer_before_call(const struct lexer *lex)
{
    return lex->text[space_end(lex)] == '(';
}

/* Bytes of the number at `s`: digits, a point, digits, an exponent. */
static size_t number_nbytes(const char *s, bool *whole)
{
    size_t n = strspn(s, DIGITS);
    *whole = true;
    if (s[n] == '.' && strncmp(s + n, "...", 3) != 0) {
        *whole = false;
        n += 1 + strspn(s + n + 1, DIGITS);
    }
    if (s[n] == 'e' || s[n] == 'E') {
        size_t sign = s[n + 1] == '+' || s[n + 1] == '-';
        size_t exponent = strspn(s + n + 1 + sign, DIGITS);
        if (exponent > 0) {
            *whole = false;
            n += 1 + sign + exponent;
        }
    }
    return n;
}

static int lex_number(struct token *t, struct expr_error *err)
{
    t->kind = TOKEN_NUMBER;
    t->nbytes = number_nbytes(t->text, &t->whole);
    const char *next = t->text + t->nbytes;
    if (strspn(next, NAME) > 0 || (*next == '.' && strspn(next + 1, DIGITS) > 0)) {
        t->nbytes += strspn(next, NAME ".");
        return expr_fail(err, t->column, EINVAL, "'%.*s' is not a number", token_shown(t), t->text);
    }
    t->number = strtod(t->text, NULL);
    if (!isfinite(t->number))
        return expr_fail(err, t->column, EINVAL, "this number is too large");
    t->whole = t->whole && lexer_is_whole(t->number);
    return 0;
}

static size_t symbol_nbytes(const char *s)
{
    size_t longest = 0;
    for (size_t i = 0; i < EXPR_NOPS; i++) {
        const struct expr_info *info = &expr_table[i];
        if ((info->form == FORM_INFIX || info->form == FORM_PREFIX) && text_starts(s, info->name) &&
            strlen(info->name) > longest)
            longest = strlen(info->name);
    }
    for (size_t i = 0; i < sizeof(punctuation) / sizeof(punctuation[0]); i++)
        if (text_starts(s, punctuation[i]) && strlen(punctuation[i]) > longest)
            longest = strlen(punctuation[i]);
    return longest;
}

static int bad_character(const struct token *t, struct expr_error *err)
{
    unsigned char c = (unsigned char)*t->text;
    if (c == '^')
        return expr_fail(err, t->column, EINVAL, "unexpected '^' (a power is written **)");
    if (c > ' ' && c < 0x7f)
        return expr_fail(err, t->column, EINVAL, "unexpected '%c'", c);
    return expr_fail(err, t->column, EINVAL, "unexpected character (byte 0x%02X)", c);
}

/* A text in quotation marks, which it cannot contain; the token is what is between them. */
static int lex_string(struct token *t, struct expr_error *err)
{
    t->kind = TOKEN_STRING;
    t->text++;
    t->nbytes = strcspn(t->text, "\"");
    if (t->text[t->nbytes] != '"')
        return expr_fail(err, t->column, EINVAL, "this text has no end: '\"' is missing");
    return 0;
}

int lexer_next(struct lexer *lex, struct token *out, struct expr_error *err)
{
    lex->pos = space_end(lex);
    const char *s = lex->text + lex->pos;
    *out = (struct token){.kind = TOKEN_END, .text = s, .column = lex->pos + 1};
    if (*s == '\0')
        return 0;
    if (strspn(s + (*s == '.'), DIGITS) > 0) {
        int ret = lex_number(out, err);
        if (ret < 0)
            return ret;
    } else if (*s == '"') {
        int ret = lex_string(out, err);
        if (ret < 0)
            return ret;
        lex->pos += 2;
    } else if (strspn(s, NAME_START) > 0) {
        out->kind = TOKEN_NAME;
        out->nbytes = strspn(s, NAME);
    } else {
        out->kind = TOKEN_SYMBOL;
        out->nbytes = symbol_nbytes(s);
        if (out->nbytes == 0)
            return bad_character(out, err);
    }
    lex->pos += out->nbytes;
    return 0;
}

bool expr_read_number(const char *text, size_t nbytes, double *out)
{
    enum { LONGEST = 64 };
    char copy[LONGEST + 1];
    bool whole;
    if (nbytes == 0 || nbytes > LONGEST)
        return false;
    memcpy(copy, text, nbytes);
    copy[nbytes] = '\0';
    const char *digit = copy + (*copy == '-' || *copy == '+');
    if (strspn(digit + (*digit == '.'), DIGITS) == 0)
        return false;
    if (digit[number_nbytes(digit, &whole)] != '\0')
        return false;
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", NULL);
    if (!c_locale)
        return false;
    *out = strtod_l(copy, NULL, c_locale);
    freelocale(c_locale);
    *out += 0; /* no negative zero: equal values are to be one task */
    return isfinite(*out);
}

bool expr_is_param_name(const char *name, size_t nbytes)
{
    if (nbytes == 0 || nbytes > TOKEN_SHOWN_MAX || memchr(DIGITS, *name, sizeof DIGITS - 1))
        return false;
    for (size_t i = 0; i < nbytes; i++)
        if (!memchr(NAME, name[i], sizeof NAME - 1))
            return false;
    return expr_info_find(FORM_LEAF, name, nbytes) != &expr_table[EXPR_BOLD];
}
