/* SPDX-License-Identifier: MIT
 *
 * Written from front to back into memory. Reads one picture at a time. The table is complete without
 * the script; style and script are files of this folder (embed.py).
 */
#include "report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "columns.h"
#include "headmask.h"
#include "html.h"
#include "human.h"
#include "peers.h"
#include "picture_private.h"
#include "text.h"

#define INSIDE_NBYTES (UINT64_C(20) << 20)

/* report.css and report.js */
extern const char report_css[], report_js[];

struct page {
    const struct report *about;
    const struct report_source *source;
    struct columns columns;
    struct peers peers;
    bool inside;      /* the pictures are in the page */
    double low, high; /* of the thumbnails' colours */
    FILE *f;
};

/* ---- verdicts ---- */

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

/* ---- one scale for all thumbnails ---- */

enum end { LOW_END, HIGH_END };

/* The lowest 5th or the highest 95th percentile of the runs, outliers left out. `values` has room for
 * one of each run. */
static double end_of_scale(const struct report *r, enum end end, double *values)
{
    double found = NAN;
    struct spread s;
    size_t n = 0;

    for (size_t i = 0; i < r->nrows; i++) {
        double value = end == LOW_END ? r->rows[i].numbers.p05 : r->rows[i].numbers.p95;

        if (r->rows[i].has_numbers && isfinite(value))
            values[n++] = value;
    }
    s = outliers_spread(values, n);
    for (size_t i = 0; i < r->nrows; i++) {
        double value = end == LOW_END ? r->rows[i].numbers.p05 : r->rows[i].numbers.p95;

        if (r->rows[i].has_numbers && value >= s.low && value <= s.high)
            found = end == LOW_END ? fmin(found, value) : fmax(found, value);
    }
    return found;
}

static int find_scale(struct page *p, struct error *err)
{
    double *values = malloc((p->about->nrows + 1) * sizeof *values);

    if (!values)
        return error_set(err, ENOMEM, "page: out of memory");
    p->low = end_of_scale(p->about, LOW_END, values);
    p->high = end_of_scale(p->about, HIGH_END, values);
    free(values);
    if (p->low >= 0 && p->low <= p->high / 2) /* as in pictures */
        p->low = 0;
    if (!(p->low < p->high))
        p->high = p->low + 1;
    return 0;
}

static void print_scale(const struct page *p)
{
    enum { NSTOPS = 9 };
    unsigned char rgb[COLOUR_N][3];

    if (!isfinite(p->low) || !isfinite(p->high))
        return;
    picture_palette(rgb);
    fprintf(p->f,
            "<p class=\"scale\">Thumbnails: %s %s <i style=\"background: linear-gradient(90deg",
            p->about->measure, human_number(p->low, TABLE_DIGITS).text);
    for (int i = 0; i < NSTOPS; i++) {
        const unsigned char *c = rgb[picture_colour(i, 0, NSTOPS - 1)];

        fprintf(p->f, ", #%02x%02x%02x", c[0], c[1], c[2]);
    }
    fprintf(p->f, ")\"></i> %s\n", human_number(p->high, TABLE_DIGITS).text);
}

/* ---- rows ---- */

static int print_thumb(const struct page *p, size_t i, struct error *err)
{
    float values[THUMB_W_MAX * THUMB_H_MAX];
    struct thumb_size size;
    unsigned char *png;
    size_t nbytes;
    int ret;

    fputs("<td class=\"p\">", p->f);
    if (!p->source->thumb(p->source->ctx, i, values, &size))
        return 0;
    ret = thumb_png(values, size, p->low, p->high, &png, &nbytes, err);
    if (ret < 0)
        return ret;
    fprintf(p->f,
            "<button><img loading=\"lazy\" width=\"%d\" height=\"%d\" alt=\"Slices of the %s of ",
            size.w, size.h, p->about->measure);
    html_text(p->f, p->about->rows[i].path);
    fputs("\" src=\"data:image/png;base64,", p->f);
    html_base64(p->f, png, nbytes);
    fputs("\"></button>", p->f);
    free(png);
    return 0;
}

/* The attribute with the place of the picture, or with the picture. */
static int print_picture(const struct page *p, size_t i, struct error *err)
{
    const struct report_picture *picture = &p->about->pictures[i];
    struct blob *b;
    int ret;

    if (!picture->path)
        return 0;
    if (!p->inside) {
        fprintf(p->f, " data-p=\"%s", p->about->beside);
        html_path(p->f, picture->path);
        fputc('"', p->f);
        return 0;
    }
    b = p->source->picture(p->source->ctx, i);
    if (!b)
        return 0;
    fputs(" data-p=\"data:image/png;base64,", p->f);
    ret = html_blob(p->f, b, err);
    fputc('"', p->f);
    blob_put(b);
    return ret;
}

static void print_number(FILE *f, double number, int digits)
{
    if (isnan(number))
        fputs("<td class=\"n\" data-v=\"\">n/a", f);
    else
        fprintf(f, "<td class=\"n\" data-v=\"%.9g\">%s", number, human_number(number, digits).text);
}

static void print_names(const struct page *p, size_t i)
{
    const struct table_row *row = &p->about->rows[i];
    char *dir = strndup(row->path, (size_t)(base_name(row->path) - row->path));
    char cell[BIDS_NAME_MAX];

    fputs("<th scope=\"row\">", p->f);
    html_text(p->f, base_name(row->path));
    if (dir && *dir) {
        fputs("<small>", p->f);
        html_text(p->f, dir);
        fputs("</small>", p->f);
    }
    free(dir);
    for (size_t k = 0; k < p->columns.n; k++) {
        const char *value = columns_cell(&p->columns, k, row->path, cell);

        fputs("<td>", p->f);
        html_text(p->f, value ? value : "");
    }
    for (size_t k = 0; k < p->about->joined->n; k++) {
        fputs("<td>", p->f);
        html_text(p->f, p->about->joined->cells[k][i] ? p->about->joined->cells[k][i] : "");
    }
}

static void print_state(const struct page *p, size_t i)
{
    const struct table_row *row = &p->about->rows[i];
    const char *state = p->about->states[i];
    const char *shown = strcmp(state, "virtual") == 0   ? "not computed"
                        : strcmp(state, "omitted") == 0 ? "not used"
                        : strcmp(state, "cached") != 0  ? state
                        : row->has_numbers              ? "computed"
                                                        : "computed, not measured";

    fprintf(p->f, "<td class=\"%s\" data-v=\"%s\">%s", state, shown, shown);
    if (row->reason) {
        fputs("<small>", p->f);
        html_text(p->f, row->reason);
        fputs("</small>", p->f);
    }
    fputc('\n', p->f);
}

static int print_row(const struct page *p, size_t i, struct error *err)
{
    enum { WHOLE = 15 }; /* digits of a count */
    static const struct numbers none = {NAN, NAN, NAN, NAN, NAN};
    const struct table_row *row = &p->about->rows[i];
    const struct numbers *n = row->has_numbers ? &row->numbers : &none;
    enum verdict verdict = verdict_of(p, i);
    int ret;

    fputs("<tr", p->f);
    if (!row->omitted)
        fprintf(p->f, " data-g=\"%zu\"", p->peers.of[i]);
    ret = print_picture(p, i, err);
    fputs(">", p->f);
    if (ret == 0)
        ret = print_thumb(p, i, err);
    print_names(p, i);
    print_number(p->f, row->nvol > 0 ? (double)row->nvol : NAN, WHOLE);
    print_number(p->f, n->median, TABLE_DIGITS);
    print_number(p->f, row->has_numbers ? outliers_z(&group_of(p, i)->spread, n->median) : NAN,
                 TABLE_Z_DIGITS);
    fprintf(p->f, "<td%s>%s", is_marked(verdict) ? " class=\"mark\"" : "", verdict_name(verdict));
    print_number(p->f, n->mean, TABLE_DIGITS);
    print_number(p->f, n->p05, TABLE_DIGITS);
    print_number(p->f, n->p95, TABLE_DIGITS);
    print_state(p, i);
    return ret;
}

/* ---- above the table ---- */

static size_t count(const struct report *r, const char *state)
{
    size_t n = 0;

    for (size_t i = 0; i < r->nrows; i++)
        n += strcmp(r->states[i], state) == 0;
    return n;
}

/* How many runs are not measured, or have no picture, though nothing has failed? */
static size_t count_missing(const struct report *r)
{
    size_t n = 0;

    for (size_t i = 0; i < r->nrows; i++)
        n += !r->rows[i].omitted && strcmp(r->states[i], "failed") != 0 &&
             (!r->rows[i].has_numbers || !r->pictures[i].path);
    return n;
}

static void print_counts(const struct page *p)
{
    const struct report *r = p->about;
    size_t nfailed = count(r, "failed"), nomitted = count(r, "omitted");

    fprintf(p->f,
            "<p>Runs: %zu, of which %zu computed, %zu computing, <span%s>%zu failed</span>, "
            "%zu not computed",
            r->nrows - nomitted, count(r, "cached"), count(r, "computing"),
            nfailed > 0 ? " class=\"failed\"" : "", nfailed, count(r, "virtual"));
    if (nomitted > 0)
        fprintf(p->f, "; %zu file%s", nomitted,
                nomitted == 1 ? " that might be taken for a run is none"
                              : "s that might be taken for runs are none");
    fputs(".\n", p->f);
}

static void print_marks(const struct page *p)
{
    size_t nclear = 0, ndoubt = 0;

    for (size_t i = 0; i < p->about->nrows; i++) {
        enum verdict v = verdict_of(p, i);

        nclear += v == VERDICT_LOW || v == VERDICT_HIGH;
        ndoubt += v == VERDICT_DOUBT_LOW || v == VERDICT_DOUBT_HIGH;
    }
    fprintf(p->f,
            "<p>Marked: <span class=\"mark\">low or high: %zu</span>, low? or high?: %zu.\n"
            "<details><summary>How runs are compared</summary>\n"
            "<p>The number of a run is the median of its %s over the head: what is brighter "
            "than " HEADMASK_DEFINITION ". "
            "Compared with each other are " PEERS_DEFINITION ". A group of fewer than %d is not "
            "judged.\n<p>Two rules: is the median " OUTLIERS_FENCES "? Is its robust z, " OUTLIERS_Z
            ", beyond " OUTLIERS_Z_LIMIT
            "? Runs are marked low or high if both say so, and low? or high? if one does. A "
            "median within " OUTLIERS_TENTH " of that of the group is never marked.\n</details>\n",
            nclear, ndoubt, p->about->measure, OUTLIERS_MIN);
}

static void print_command(const struct page *p)
{
    size_t nmissing = count_missing(p->about);

    if (nmissing == 0)
        return;
    fprintf(p->f,
            "<p>Of %zu run%s numbers or picture are missing here. This page computes nothing. One "
            "command computes all of them, and writes page, tables and pictures; it continues "
            "where it was interrupted:\n<p><code>",
            nmissing, nmissing == 1 ? "" : "s");
    html_text(p->f, p->about->command);
    fputs("</code>\n", p->f);
}

static void print_head(const struct page *p)
{
    const struct report *r = p->about;

    fprintf(p->f, "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>%s of ",
            r->measure);
    html_text(p->f, base_name(r->dataset));
    fprintf(p->f,
            "</title>\n<meta name=\"viewport\" content=\"width=device-width\">\n"
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
            "img-src data: 'self' file:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n"
            "<style>\n%s</style>\n<h1>%s of ",
            report_css, r->measure);
    html_text(p->f, r->dataset);
    fputs("</h1>\n", p->f);
    print_counts(p);
    print_command(p);
    print_marks(p);
}

static void print_group(const struct page *p, size_t k)
{
    const struct peer_group *g = &p->peers.groups[k];
    const struct spread *s = &g->spread;

    fprintf(p->f, "<div class=\"group\" data-g=\"%zu\"", k);
    if (s->n >= OUTLIERS_MIN)
        fprintf(p->f, " data-median=\"%.9g\" data-low=\"%.9g\" data-high=\"%.9g\"", s->median,
                s->low, s->high);
    fputs("><h3>", p->f);
    html_text(p->f, g->name);
    fprintf(p->f, " <small>%zu with a median", s->n);
    if (s->n < OUTLIERS_MIN)
        fprintf(p->f, ", fewer than %d: not judged", OUTLIERS_MIN);
    else
        fprintf(p->f, "; median %s, MAD %s, fences %s and %s",
                human_number(s->median, TABLE_DIGITS).text, human_number(s->mad, 2).text,
                human_number(s->low, TABLE_DIGITS).text, human_number(s->high, TABLE_DIGITS).text);
    fputs("</small></h3></div>\n", p->f);
}

static void print_columns(const struct page *p)
{
    static const char *const numbers[] = {"Mean", "5 %", "95 %"};
    FILE *f = p->f;

    fputs("<table>\n<thead><tr><th><th scope=\"col\" aria-sort=\"ascending\"><button>Run</button>",
          f);
    for (size_t k = 0; k < p->columns.n; k++) {
        fputs("<th scope=\"col\" data-f><button>", f);
        html_text(f, p->columns.key[k]);
        fputs("</button>", f);
    }
    for (size_t k = 0; k < p->about->joined->n; k++) {
        fputs("<th scope=\"col\" data-f><button>", f);
        html_text(f, p->about->joined->name[k]);
        fputs("</button>", f);
    }
    fputs("<th scope=\"col\" class=\"n\"><button>Volumes</button>"
          "<th scope=\"col\" class=\"n\" data-c=\"median\"><button>Median</button>"
          "<th scope=\"col\" class=\"n\"><button>z</button>"
          "<th scope=\"col\" data-c=\"verdict\" data-f><button>Outlier</button>",
          f);
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        fprintf(f, "<th scope=\"col\" class=\"n\"><button>%s</button>", numbers[k]);
    fputs("<th scope=\"col\" data-f><button>State</button>\n<tbody>\n", f);
}

/* ---- the page ---- */

static int print_page(struct page *p, struct error *err)
{
    int ret = 0;

    print_head(p);
    fputs("<h2>Equals</h2>\n<p>Each dot is a run; grey is the span between the fences. Point at a "
          "dot to see the run, click to go to its row.\n",
          p->f);
    for (size_t k = 0; k < p->peers.n; k++)
        print_group(p, k);
    fputs("<h2>Runs</h2>\n", p->f);
    print_scale(p);
    fputs("<form id=\"filter\"></form>\n", p->f);
    print_columns(p);
    for (size_t i = 0; i < p->about->nrows && ret == 0; i++)
        ret = print_row(p, i, err);
    fprintf(p->f,
            "</table>\n<div id=\"tip\" hidden></div>\n"
            "<dialog><figure><img alt=\"\"><figcaption><span></span><button data-by=\"-1\">Previous"
            "</button><button data-by=\"1\">Next</button><form method=\"dialog\"><button>Close"
            "</button></form></figcaption></figure></dialog>\n<script>\n%s</script>\n</html>\n",
            report_js);
    return ret;
}

static int prepare(struct page *p, struct error *err)
{
    const struct report *r = p->about;
    uint64_t nbytes = 0;
    int ret = peers_form(r->rows, r->nrows, &p->peers, err);

    for (size_t i = 0; i < r->nrows && ret == 0; i++) {
        nbytes += r->pictures[i].path ? r->pictures[i].nbytes : 0;
        if (columns_add(&p->columns, r->rows[i].path) < 0)
            ret = error_set(err, ENOMEM, "page: out of memory");
    }
    p->inside = nbytes <= INSIDE_NBYTES;
    return ret == 0 ? find_scale(p, err) : ret;
}

int report_html(const struct report *report, const struct report_source *source, char **out,
                struct error *err)
{
    struct page p = {.about = report, .source = source};
    char *text = NULL;
    size_t nbytes;
    int ret = prepare(&p, err);

    p.f = ret == 0 ? open_memstream(&text, &nbytes) : NULL;
    if (p.f) {
        ret = print_page(&p, err);
        text = text_end(p.f, &text);
    }
    columns_clear(&p.columns);
    peers_clear(&p.peers);
    if (ret == 0 && !text)
        ret = error_set(err, ENOMEM, "page: out of memory");
    if (ret == 0)
        *out = text;
    else
        free(text);
    return ret;
}
