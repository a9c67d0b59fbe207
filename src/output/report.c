/* SPDX-License-Identifier: MIT
 *
 * Written from front to back into memory. Reads one picture at a time and writes it as base64.
 * Leaves out pictures after PICTURES_NBYTES, so that browsers can show the page of a large
 * dataset.
 */
#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "endings.h"
#include "headmask.h"
#include "human.h"
#include "peers.h"
#include "text.h"
#include "utf8.h"

#define PICTURES_NBYTES (UINT64_C(64) << 20)

struct page {
    const struct report *about;
    struct peers peers;
    FILE *f;
    uint64_t room_nbytes;
};

static const char head[] =
    "<meta name=\"viewport\" content=\"width=device-width\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
    "<style>\n"
    ":root { color-scheme: light dark; --line: #8885; --mark: #b45309; --bad: #b91c1c }\n"
    "@media (prefers-color-scheme: dark) { :root { --mark: #fbbf24; --bad: #f87171 } }\n"
    "body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; "
    "padding: 0 1rem }\n"
    "h1 { font-size: 1.4rem; overflow-wrap: anywhere }\n"
    "p { max-width: 46rem }\n"
    "table { border-collapse: collapse; width: 100% }\n"
    "th, td { padding: .4rem .6rem; border-bottom: 1px solid var(--line); text-align: left; "
    "vertical-align: top }\n"
    "thead th { position: sticky; top: 0; background: Canvas }\n"
    "tbody th { font-weight: 600; min-width: 17rem; overflow-wrap: anywhere }\n"
    ".n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }\n"
    ".mark { color: var(--mark); font-weight: 600 }\n"
    ".failed, .omitted { color: var(--bad); max-width: 20rem }\n"
    "small { display: block; font-weight: 400; opacity: .75; overflow-wrap: anywhere }\n"
    "button { font: inherit; font-weight: 600; color: inherit; background: none; border: 0; "
    "padding: 0; cursor: pointer }\n"
    "[aria-sort=ascending] button::after { content: ' \\25B2' }\n"
    "[aria-sort=descending] button::after { content: ' \\25BC' }\n"
    "img { width: 15rem; height: 6.5rem; object-fit: cover; display: block; border-radius: 4px }\n"
    "td:has(img) { width: 15rem; padding-right: 0 }\n"
    "[aria-expanded=true] img { width: min(60rem, 60vw); height: auto }\n"
    "</style>\n";

static const char script[] =
    "<script>\n"
    "'use strict';\n"
    "const rows = document.querySelector('tbody');\n"
    "const value = (row, i) => row.cells[i].dataset.v ?? row.cells[i].textContent;\n"
    "for (const button of document.querySelectorAll('thead button')) {\n"
    "  button.onclick = () => {\n"
    "    const head = button.parentElement, i = head.cellIndex;\n"
    "    const up = head.getAttribute('aria-sort') !== 'ascending';\n"
    "    document.querySelector('[aria-sort]')?.removeAttribute('aria-sort');\n"
    "    head.setAttribute('aria-sort', up ? 'ascending' : 'descending');\n"
    "    const number = head.classList.contains('n');\n"
    "    rows.append(...[...rows.rows].sort((a, b) => {\n"
    "      const x = value(a, i), y = value(b, i);\n"
    "      if (number && (x === '' || y === '')) return (x === '') - (y === '');\n"
    "      return (number ? x - y : x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);\n"
    "    }));\n"
    "  };\n"
    "}\n"
    "for (const button of rows.querySelectorAll('button'))\n"
    "  button.onclick = () => button.setAttribute('aria-expanded',\n"
    "    button.getAttribute('aria-expanded') !== 'true');\n"
    "</script>\n";

/* ---- pieces ---- */

/* Any bytes, as text or within quotes. */
static void print_text(FILE *f, const char *text)
{
    for (size_t n; *text; text += n > 0 ? n : 1) {
        n = utf8_clean_nbytes(text);
        switch (n > 0 ? *text : '?') {
        case '&':
            fputs("&amp;", f);
            break;
        case '<':
            fputs("&lt;", f);
            break;
        case '>':
            fputs("&gt;", f);
            break;
        case '"':
            fputs("&quot;", f);
            break;
        default:
            fwrite(n > 0 ? text : "?", 1, n > 0 ? n : 1, f);
        }
    }
}

static void print_base64(FILE *f, const unsigned char *b, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        size_t left = n - i;
        unsigned group = (unsigned)b[i] << 16 | (left > 1 ? (unsigned)b[i + 1] << 8 : 0) |
                         (left > 2 ? b[i + 2] : 0);

        fputc(digits[group >> 18], f);
        fputc(digits[group >> 12 & 63], f);
        fputc(left > 1 ? digits[group >> 6 & 63] : '=', f);
        fputc(left > 2 ? digits[group & 63] : '=', f);
    }
}

static int print_blob(FILE *f, const struct blob *b, struct error *err)
{
    enum { STEP_NBYTES = 3 << 14 }; /* whole groups of three */
    uint64_t total = blob_nbytes(b);
    unsigned char *buf = malloc(STEP_NBYTES);
    int ret = buf ? 0 : error_set(err, ENOMEM, "page: out of memory");

    for (uint64_t off = 0; off < total && ret == 0; off += STEP_NBYTES) {
        size_t n = total - off < STEP_NBYTES ? (size_t)(total - off) : STEP_NBYTES;

        ret = blob_read(b, off, buf, n, err);
        if (ret == 0)
            print_base64(f, buf, n);
    }
    free(buf);
    return ret;
}

static int print_picture(struct page *p, const struct table_row *row, struct blob *b,
                         struct error *err)
{
    int ret;

    if (!b || blob_nbytes(b) > p->room_nbytes) {
        fprintf(p->f, "<td>%s", b ? "left out: the page is large" : "not drawn");
        return 0;
    }
    p->room_nbytes -= blob_nbytes(b);
    fprintf(p->f,
            "<td><button aria-expanded=\"false\"><img loading=\"lazy\" alt=\"Slices of the %s of ",
            p->about->measure);
    print_text(p->f, row->path);
    fputs("\" src=\"data:image/png;base64,", p->f);
    ret = print_blob(p->f, b, err);
    fputs("\"></button>", p->f);
    return ret;
}

static void print_number(FILE *f, bool known, double number)
{
    if (!known || !isfinite(number))
        fputs("<td class=\"n\" data-v=\"\">n/a", f);
    else
        fprintf(f, "<td class=\"n\" data-v=\"%.9g\">%s", number,
                human_number(number, TABLE_DIGITS).text);
}

/* ---- the page ---- */

/* Of the run in row `i`. */
static const struct peer_group *group_of(const struct page *p, size_t i)
{
    return &p->peers.groups[p->peers.of[i]];
}

static enum verdict verdict_of(const struct page *p, size_t i)
{
    const struct table_row *row = &p->about->rows[i];

    return row->has_numbers ? outliers_judge(&group_of(p, i)->spread, row->numbers.median)
                            : VERDICT_NONE;
}

static bool is_marked(enum verdict v)
{
    return v != VERDICT_NONE && v != VERDICT_FEW && v != VERDICT_NO;
}

static void print_row(const struct page *p, size_t i)
{
    const struct table_row *row = &p->about->rows[i];
    const struct numbers *n = &row->numbers;
    const char *state = p->about->states[i];
    enum verdict verdict = verdict_of(p, i);

    fputs("<tr><th scope=\"row\">", p->f);
    print_text(p->f, base_name(row->path));
    fputs("<small>", p->f);
    print_text(p->f, row->path);
    fputs("</small>", p->f);
    print_number(p->f, row->nvol > 0, (double)row->nvol);
    print_number(p->f, row->has_numbers, n->median);
    if (is_marked(verdict))
        fprintf(p->f, " <span class=\"mark\">%s</span>", verdict_name(verdict));
    print_number(p->f, row->has_numbers, n->mean);
    print_number(p->f, row->has_numbers, n->p05);
    print_number(p->f, row->has_numbers, n->p95);
    fprintf(p->f, "<td class=\"%s\">%s", state,
            strcmp(state, "virtual") == 0   ? "not computed"
            : strcmp(state, "omitted") == 0 ? "not used"
            : strcmp(state, "cached") != 0  ? state
            : row->has_numbers              ? "computed"
                                            : "computed, not measured");
    if (row->reason) {
        fputs("<small>", p->f);
        print_text(p->f, row->reason);
        fputs("</small>", p->f);
    }
}

static size_t count(const struct report *r, const char *state)
{
    size_t n = 0;

    for (size_t i = 0; i < r->nrows; i++)
        n += strcmp(r->states[i], state) == 0;
    return n;
}

static void print_group(FILE *f, const struct peer_group *g)
{
    const struct spread *s = &g->spread;

    fputs("<li><b>", f);
    print_text(f, g->name);
    fprintf(f, "</b>: %zu with a median", s->n);
    if (s->n < OUTLIERS_MIN)
        fprintf(f, ", fewer than %d: not judged\n", OUTLIERS_MIN);
    else
        fprintf(f, "; median %s, MAD %s, fences %s and %s\n",
                human_number(s->median, TABLE_DIGITS).text, human_number(s->mad, 2).text,
                human_number(s->low, TABLE_DIGITS).text, human_number(s->high, TABLE_DIGITS).text);
}

static void print_verdicts(const struct page *p)
{
    size_t nclear = 0, ndoubt = 0;

    for (size_t i = 0; i < p->about->nrows; i++) {
        enum verdict v = verdict_of(p, i);

        nclear += v == VERDICT_LOW || v == VERDICT_HIGH;
        ndoubt += v == VERDICT_DOUBT_LOW || v == VERDICT_DOUBT_HIGH;
    }
    fprintf(
        p->f,
        "\n<p>Compared with each other are " PEERS_DEFINITION ". Marked as <span "
        "class=\"mark\">low or high: %zu</span>, whose median is " OUTLIERS_FENCES
        ", and whose robust z, " OUTLIERS_Z ", is beyond " OUTLIERS_Z_LIMIT
        ". Marked as <span class=\"mark\">low? or high?: %zu</span>, where one of both holds. A "
        "median within " OUTLIERS_TENTH " of that of the group is never marked.\n<ul>\n",
        nclear, ndoubt);
    for (size_t i = 0; i < p->peers.n; i++)
        print_group(p->f, &p->peers.groups[i]);
    fputs("</ul>", p->f);
}

static void print_head(const struct page *p)
{
    const struct report *r = p->about;
    size_t nfailed = count(r, "failed"), nomitted = count(r, "omitted");
    FILE *f = p->f;
    char omitted[80] = "";

    if (nomitted > 0)
        snprintf(omitted, sizeof omitted, "; %zu file%s", nomitted,
                 nomitted == 1 ? " that might be taken for a run is none"
                               : "s that might be taken for runs are none");
    fprintf(f, "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>%s of ",
            r->measure);
    print_text(f, r->dataset);
    fprintf(f, "</title>\n%s<h1>%s of ", head, r->measure);
    print_text(f, r->dataset);
    fprintf(
        f,
        "</h1>\n<p>Runs: %zu, of which %zu computed, %zu computing, <span%s>%zu failed</span>, %zu "
        "not computed%s.\n"
        "<p>This page computes nothing. Reading <code>group_%s.tsv</code> computes all "
        "numbers, <code>derivctl compute -r <var>MOUNT</var> %s%s</code> all pictures; then "
        "copy it again.\n"
        "<p>Over the voxels of the head: what is brighter than " HEADMASK_DEFINITION ". ",
        r->nrows - nomitted, count(r, "cached"), count(r, "computing"),
        nfailed > 0 ? " class=\"failed\"" : "", nfailed, count(r, "virtual"), omitted, r->recipe,
        r->recipe, ending_png);
    print_verdicts(p);
    fputs("\n<p>A click on a picture enlarges it; one on the head of a column sorts.", f);
    fputs("\n<table>\n<thead><tr><th scope=\"col\" aria-sort=\"ascending\"><button>Run</button>",
          f);
    for (const char *const *name =
             (const char *const[]){"Volumes", "Median", "Mean", "5 %", "95 %", NULL};
         *name; name++)
        fprintf(f, "<th scope=\"col\" class=\"n\"><button>%s</button>", *name);
    fputs("<th scope=\"col\"><button>State</button><th scope=\"col\">Picture\n<tbody>\n", f);
}

int report_html(const struct report *report, report_picture_fn *picture, void *ctx, char **out,
                struct error *err)
{
    struct page p = {.about = report, .room_nbytes = PICTURES_NBYTES};
    char *text = NULL;
    size_t nbytes;
    int ret = peers_form(report->rows, report->nrows, &p.peers, err);

    p.f = ret == 0 ? open_memstream(&text, &nbytes) : NULL;
    if (!p.f) {
        peers_clear(&p.peers);
        return error_set(err, ENOMEM, "page: out of memory");
    }
    print_head(&p);
    for (size_t i = 0; i < report->nrows && ret == 0; i++) {
        struct blob *b = picture(ctx, i);

        print_row(&p, i);
        ret = print_picture(&p, &report->rows[i], b, err);
        fputc('\n', p.f);
        blob_put(b);
    }
    fprintf(p.f, "</table>\n%s</html>\n", script);
    text = text_end(p.f, &text);
    peers_clear(&p.peers);
    if (ret == 0 && !text)
        ret = error_set(err, ENOMEM, "page: out of memory");
    if (ret == 0)
        *out = text;
    else
        free(text);
    return ret;
}
