/* SPDX-License-Identifier: MIT
 *
 * Tree to canonical text, for keys and sidecars: an operator inside another one (or before a
 * subscript) is always in parentheses, so no reader needs the precedences. Equal trees give equal
 * bytes in any locale.
 */
#include "expr_priv.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>

#include "text.h"

static void print_node(FILE *out, const struct expr *e);

/* Shortest digits that read back as the same number; whole numbers without an exponent. */
static void print_number(FILE *out, double number)
{
    if (number == floor(number) && number < 1e15) {
        fprintf(out, "%.0f", number);
        return;
    }
    char text[32];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    fputs(text, out);
}

static void print_operand(FILE *out, const struct expr *e)
{
    enum expr_form form = expr_table[e->op].form;
    bool enclose = form == FORM_INFIX || form == FORM_PREFIX;
    fputs(enclose ? "(" : "", out);
    print_node(out, e);
    fputs(enclose ? ")" : "", out);
}

static void print_function(FILE *out, const struct expr *e, const struct expr_info *info)
{
    fprintf(out, "%s(", info->name);
    for (size_t i = 0; i < e->nargs; i++) {
        fputs(i > 0 ? ", " : "", out);
        print_node(out, e->args[i]);
    }
    bool unwritten = info->param == PARAM_KEYWORD && e->number == 0;
    if (info->param != PARAM_NONE && !unwritten) {
        fputs(", ", out);
        if (info->param == PARAM_KEYWORD)
            fprintf(out, "%s=", info->param_name);
        print_number(out, e->number);
    }
    fputc(')', out);
}

static void print_subscript(FILE *out, const struct expr *e)
{
    print_operand(out, e->args[0]);
    fputs("[..., ", out);
    if (e->has_start)
        fprintf(out, "%" PRId64, e->start);
    if (e->op == EXPR_SLICE)
        fputc(':', out);
    if (e->has_stop)
        fprintf(out, "%" PRId64, e->stop);
    fputc(']', out);
}

static void print_node(FILE *out, const struct expr *e)
{
    const struct expr_info *info = &expr_table[e->op];
    switch (info->form) {
    case FORM_LEAF:
        if (e->op == EXPR_NUMBER)
            print_number(out, e->number);
        else
            fputs(info->name, out);
        break;
    case FORM_PREFIX:
        fputs(info->name, out);
        print_operand(out, e->args[0]);
        break;
    case FORM_INFIX:
        print_operand(out, e->args[0]);
        fprintf(out, " %s ", info->name);
        print_operand(out, e->args[1]);
        break;
    case FORM_FUNCTION:
        print_function(out, e, info);
        break;
    case FORM_SUBSCRIPT:
        print_subscript(out, e);
        break;
    }
}

char *expr_print(const struct expr *e)
{
    locale_t c_locale = newlocale(LC_ALL_MASK, "C", NULL);
    if (!c_locale)
        return NULL;
    locale_t before = uselocale(c_locale);
    char *text = NULL;
    size_t nbytes = 0;
    FILE *out = open_memstream(&text, &nbytes);
    if (out) {
        print_node(out, e);
        text = text_end(out, &text);
    }
    uselocale(before);
    freelocale(c_locale);
    return text;
}
