/* SPDX-License-Identifier: MIT
 *
 * Letters and lines.
 *
 * cairo draws them as coverage (a surface of 8 bits), which selects a grey between paper and ink
 * for each pixel of paper; colours of the map stay. A title that is too long is written smaller, then in two lines;
 * other texts that are too long end in an ellipsis.
 * The rendering of glyphs is fixed here, not by the user's desktop settings; fontconfig chooses
 * the font for "DejaVu Sans".
 */
#include <cairo.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "dynload.h"
#include "headmask.h"
#include "human.h"
#include "picture_private.h"
#include "table.h"
#include "utf8.h"

enum { TEXT_NBYTES = 2048 };

/* The functions of cairo, which is loaded with the first picture (dynload.h). */
#define CAIRO_FUNCTIONS(F)                                                                         \
    F(text_extents)                                                                                \
    F(select_font_face)                                                                            \
    F(set_font_size)                                                                               \
    F(set_source_rgba)                                                                             \
    F(move_to)                                                                                     \
    F(show_text)                                                                                   \
    F(set_line_width)                                                                              \
    F(line_to)                                                                                     \
    F(stroke)                                                                                      \
    F(image_surface_get_data)                                                                      \
    F(image_surface_get_stride)                                                                    \
    F(image_surface_create)                                                                        \
    F(create)                                                                                      \
    F(font_options_create)                                                                         \
    F(surface_destroy)                                                                             \
    F(font_options_set_antialias)                                                                  \
    F(font_options_set_hint_style)                                                                 \
    F(font_options_set_hint_metrics)                                                               \
    F(set_font_options)                                                                            \
    F(font_options_destroy)                                                                        \
    F(surface_flush)                                                                               \
    F(get_target)                                                                                  \
    F(status)                                                                                      \
    F(destroy)                                                                                     \
    F(status_to_string)

#define NAME(f) "cairo_" #f,
#define MEMBER(f) typeof(cairo_##f) *f;

static const char *const cairo_names[] = {CAIRO_FUNCTIONS(NAME)};

enum { CAIRO_N = sizeof cairo_names / sizeof cairo_names[0] };

union cairo {
    struct {
        CAIRO_FUNCTIONS(MEMBER)
    };
    void *all[CAIRO_N];
};

struct pen {
    union cairo cairo;
    cairo_t *cr;
};

enum align { LEFT, CENTRE, RIGHT_END };

struct style {
    double size; /* pixels */
    bool bold;
    double grey; /* 1: ink, 0: paper */
};

static const struct style title_style = {21, true, 1}, plain_style = {14, false, 1},
                          small_style = {12.5, false, 0.75}, figure_style = {30, true, 1},
                          slice_style = {11, false, 0.75}, side_style = {13, true, 1},
                          bar_style = {12, false, 1};

/* ---- numbers ---- */

/* "−12.35": with a real minus. */
static const char *number_text(double value, int digits, char out[64])
{
    snprintf(out, 64, "%s%s", value < 0 ? "\u2212" : "", human_number(fabs(value), digits).text);
    return out;
}

/* The tick of the bar at `value`, where ticks are `step` apart. */
static const char *tick_text(double value, double step, char out[64])
{
    int decimals = step < 1 ? (int)ceil(-log10(step) - 1e-9) : 0;

    if (fabs(value) < step / 2)
        return strcpy(out, "0");
    if (decimals > 4 || fabs(value) >= 1e6)
        snprintf(out, 64, "%s%.4g", value < 0 ? "\u2212" : "", fabs(value));
    else
        snprintf(out, 64, "%s%.*f", value < 0 ? "\u2212" : "", decimals, fabs(value));
    return out;
}

/* 1, 2 or 5 times a power of ten: four to ten of them make up `range`. */
static double tick_step(double range)
{
    double power = pow(10, floor(log10(range / 4)));
    double times = range / 4 / power;

    return power * (times < 2 ? 1 : times < 5 ? 2 : 5);
}

/* ---- letters ---- */

static double width_of(const struct pen *p, const char *text)
{
    cairo_text_extents_t extents;

    p->cairo.text_extents(p->cr, text, &extents);
    return extents.x_advance;
}

/* Cut `text`, well-formed, to the longest start that fits into `width` with an ellipsis. */
static void fit(const struct pen *p, char text[TEXT_NBYTES], double width)
{
    static const char ellipsis[] = "\u2026";
    size_t good = 0;

    if (width_of(p, text) <= width)
        return;
    for (size_t at = 0; text[at]; at += utf8_char_nbytes(text + at)) {
        char start[TEXT_NBYTES + sizeof ellipsis];

        memcpy(start, text, at);
        memcpy(start + at, ellipsis, sizeof ellipsis);
        if (width_of(p, start) > width)
            break;
        good = at;
    }
    if (good + sizeof ellipsis <= TEXT_NBYTES)
        memcpy(text + good, ellipsis, sizeof ellipsis);
}

static void use(const struct pen *p, const struct style *style)
{
    p->cairo.select_font_face(p->cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                              style->bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    p->cairo.set_font_size(p->cr, style->size);
    p->cairo.set_source_rgba(p->cr, 0, 0, 0, style->grey);
}

/* Write the text, in at most `width` pixels, aligned to x, with its baseline at y. */
static void write_text(const struct pen *p, const struct style *style, enum align align, double x,
                       double y, double width, const char *text)
{
    char shown[TEXT_NBYTES];
    size_t n = utf8_fit(text, sizeof shown - 1);

    memcpy(shown, text, n);
    shown[n] = '\0';
    use(p, style);
    fit(p, shown, width);
    if (align != LEFT)
        x -= width_of(p, shown) / (align == CENTRE ? 2 : 1);
    p->cairo.move_to(p->cr, x, y);
    p->cairo.show_text(p->cr, shown);
}

/* ---- texts ---- */

/* Where to break `text` so that the first line is at most `width` wide: behind its last word, or its
 * last character, that fits. */
static size_t break_at(const struct pen *p, const char *text, double width)
{
    char start[TEXT_NBYTES];
    size_t word = 0, good = 0;

    for (size_t at = 0; text[at]; at += utf8_char_nbytes(text + at)) {
        memcpy(start, text, at);
        start[at] = '\0';
        if (width_of(p, start) > width)
            break;
        good = at;
        word = text[at] == ' ' || text[at] == '+' ? at + 1 : word;
    }
    return word > 0 ? word : good;
}

/* Returns the lines below the first. */
static int write_title(const struct pen *p, const char *title, const struct box *b, double width)
{
    enum { SMALLEST = 14, LINE_H = 17 };
    struct style style = title_style;
    char text[TEXT_NBYTES], first[TEXT_NBYTES];
    size_t n = utf8_fit(title, sizeof text - 1);

    memcpy(text, title, n);
    text[n] = '\0';
    for (use(p, &style); style.size > SMALLEST && width_of(p, text) > width; use(p, &style))
        style.size--;
    if (width_of(p, text) <= width) {
        write_text(p, &style, LEFT, b->x, b->y + 17, width, text);
        return 0;
    }
    n = break_at(p, text, width);
    memcpy(first, text, n);
    first[n] = '\0';
    write_text(p, &style, LEFT, b->x, b->y + 11, width, first);
    write_text(p, &style, LEFT, b->x, b->y + 11 + LINE_H, width, text + n);
    return 1;
}

/* "64 × 64 × 30 voxels of 3 × 3 × 3.5 mm" */
static void size_text(const struct nifti *grid, char *out, size_t nbytes)
{
    char zoom[3][64];

    for (int i = 0; i < 3; i++) {
        double mm =
            sqrt(grid->affine[0][i] * grid->affine[0][i] + grid->affine[1][i] * grid->affine[1][i] +
                 grid->affine[2][i] * grid->affine[2][i]);

        number_text(mm, 3, zoom[i]);
    }
    snprintf(out, nbytes,
             "%" PRId64 " \u00d7 %" PRId64 " \u00d7 %" PRId64
             " voxels of %s \u00d7 %s \u00d7 %s mm",
             grid->dim[0], grid->dim[1], grid->dim[2], zoom[0], zoom[1], zoom[2]);
}

static void write_median(const struct pen *p, const struct caption *c, double right, double top,
                         double median)
{
    char text[128], number[64];

    if (isnan(median)) {
        write_text(p, &small_style, RIGHT_END, right, top + 45, 200,
                   *c->mask ? "no finite voxel in the brain" : "no finite voxel in the head");
        return;
    }
    write_text(p, &figure_style, RIGHT_END, right, top + 25, 200,
               number_text(median, TABLE_DIGITS, number));
    snprintf(text, sizeof text, "median in the %s%s%s", *c->mask ? "brain" : "head",
             *c->unit ? ", " : "", c->unit);
    write_text(p, &small_style, RIGHT_END, right, top + 45, 200, text);
}

static void write_head(const struct pen *p, const struct picture_input *in, const struct layout *l,
                       const struct figures *numbers)
{
    const struct box *b = &l->head;
    const struct caption *c = in->caption;
    double left = b->w - 210, down = b->y;
    char text[TEXT_NBYTES], size[256];

    down += 8 * write_title(p, c->title, b, left);
    snprintf(text, sizeof text, "%s%s%s", c->recipe, *c->description ? ": " : "", c->description);
    write_text(p, &plain_style, LEFT, b->x, down + 40, left, text);
    size_text(in->grid, size, sizeof size);
    snprintf(text, sizeof text, "%s  \u00b7  %s  \u00b7  %s", c->expression, c->extent, size);
    write_text(p, &small_style, LEFT, b->x, down + 60, b->w - (down > b->y ? 0 : 210), text);
    write_median(p, c, b->x + b->w, b->y, numbers->median);
}

static void write_sides(const struct pen *p, const struct layout *l, const struct nifti *grid)
{
    for (int row = 0; grid->oriented && row < l->nrows; row++) {
        struct box first = picture_tile(l, row * l->ncols);
        double y = first.y + first.h / 2.0 + 5;

        write_text(p, &side_style, CENTRE, l->mosaic.x - 11, y, 20, "R");
        write_text(p, &side_style, CENTRE, l->mosaic.x + l->mosaic.w + 11, y, 20, "L");
    }
}

static void write_slices(const struct pen *p, const struct layout *l, const struct nifti *grid)
{
    enum { NARROW = 28 }; /* labels would overlap */

    for (int i = 0; l->tile_w >= NARROW && i < l->nslices; i++) {
        struct box b = picture_tile(l, i);
        double mm = round(picture_slice_mm(l, grid, picture_slice(l, i)));
        char text[64];

        if (!grid->oriented || !isfinite(mm))
            snprintf(text, sizeof text, "%" PRId64, picture_slice(l, i));
        else
            number_text(mm, 7, text);
        write_text(p, &slice_style, CENTRE, b.x + b.w / 2.0, b.y + b.h + 12, b.w, text);
    }
}

static void write_bar(const struct pen *p, const struct picture_input *in, const struct layout *l,
                      const struct figures *numbers)
{
    const struct box *b = &l->bar;
    double low = numbers->low, range = numbers->high - low, step = tick_step(range);
    char text[64];

    write_text(p, &bar_style, LEFT, b->x, b->y - 9, 92, in->caption->recipe);
    if (*in->caption->unit)
        write_text(p, &slice_style, LEFT, b->x, b->y + b->h + 15, 92, in->caption->unit);
    if (!isfinite(range) || !(step > 0))
        return;
    p->cairo.set_line_width(p->cr, 1);
    for (int i = 0; i <= 12; i++) {
        double value = (ceil(low / step - 1e-9) + i) * step, part = (value - low) / range;
        double y = b->y + b->h - 0.5 - floor(part * (b->h - 1) + 0.5);

        if (!(part <= 1 + 1e-9))
            break;
        use(p, &bar_style);
        p->cairo.move_to(p->cr, b->x + b->w, y);
        p->cairo.line_to(p->cr, b->x + b->w + 5, y);
        p->cairo.stroke(p->cr);
        write_text(p, &bar_style, LEFT, b->x + b->w + 9, y + 4.5, 66, tick_text(value, step, text));
    }
}

static void write_foot(const struct pen *p, const struct picture_input *in, const struct layout *l,
                       const struct figures *numbers)
{
    const struct nifti *grid = in->grid;
    const char *mask = in->caption->mask;
    const struct box *b = &l->foot;
    char text[TEXT_NBYTES], every[64] = "", low[64], high[64];

    write_text(
        p, &small_style, LEFT, b->x, b->y + 13, b->w,
        grid->oriented
            ? "Radiological convention: the patient's right (R) is on the left of each slice."
            : "The header gives no orientation: which side is left is not known.");
    if (l->slice_step > 1)
        snprintf(every, sizeof every, ", %d of %" PRId64, l->nslices, l->dim[SUPERIOR]);
    snprintf(text, sizeof text,
             "Axial slices from below%s; under each %s. Transparent: not a number.", every,
             grid->oriented ? "the z of its centre in mm" : "its number");
    write_text(p, &small_style, LEFT, b->x, b->y + 32, b->w, text);
    if (isnan(numbers->low))
        snprintf(text, sizeof text, "No voxel is finite.");
    else
        snprintf(text, sizeof text,
                 "Colours from %s to %s (%s98th percentile in the %s). %s: %s, %zu voxels.",
                 number_text(numbers->low, 4, low), number_text(numbers->high, 4, high),
                 numbers->from_zero ? "" : "2nd to ", *mask ? "brain" : "head",
                 *mask ? "Brain" : "Head", *mask ? mask : HEADMASK_DEFINITION, numbers->nmask);
    write_text(p, &small_style, LEFT, b->x, b->y + 51, b->w, text);
}

/* ---- on the canvas ---- */

static void print_on(const struct pen *p, const struct layout *l, unsigned char *canvas)
{
    cairo_surface_t *surface = p->cairo.get_target(p->cr);
    const unsigned char *coverage = p->cairo.image_surface_get_data(surface);
    int stride = p->cairo.image_surface_get_stride(surface);

    for (int y = 0; y < l->height; y++)
        for (int x = 0; x < l->width; x++) {
            int grey = (coverage[(size_t)y * stride + x] * (COLOUR_NGREYS - 1) + 127) / 255;
            unsigned char *pixel = canvas + (size_t)y * l->width + x;

            if (*pixel == COLOUR_PAPER)
                *pixel = (unsigned char)(COLOUR_PAPER + grey);
        }
}

static int begin(const struct layout *l, struct pen *p, struct error *err)
{
    union cairo *c = &p->cairo;
    cairo_surface_t *surface;
    cairo_font_options_t *options;
    int ret = dynload(CAIRO_SONAME, cairo_names, c->all, CAIRO_N, err);

    if (ret < 0)
        return ret;
    surface = c->image_surface_create(CAIRO_FORMAT_A8, l->width, l->height);
    options = c->font_options_create();
    p->cr = c->create(surface);
    c->surface_destroy(surface); /* cr has it */
    c->font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    c->font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    c->font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    c->set_font_options(p->cr, options);
    c->font_options_destroy(options);
    return 0;
}

size_t picture_letter_mem_nbytes(const struct layout *l)
{
    return ((size_t)l->width + 3) / 4 * 4 * (size_t)l->height; /* cairo's rows of words */
}

int picture_letter(const struct picture_input *in, const struct layout *l,
                   const struct figures *numbers, unsigned char *canvas, struct error *err)
{
    struct pen p;
    cairo_status_t status;
    int ret = begin(l, &p, err);

    if (ret < 0)
        return ret;
    write_head(&p, in, l, numbers);
    write_sides(&p, l, in->grid);
    write_slices(&p, l, in->grid);
    write_bar(&p, in, l, numbers);
    write_foot(&p, in, l, numbers);
    p.cairo.surface_flush(p.cairo.get_target(p.cr));
    status = p.cairo.status(p.cr);
    if (status == CAIRO_STATUS_SUCCESS)
        print_on(&p, l, canvas);
    p.cairo.destroy(p.cr);
    if (status == CAIRO_STATUS_SUCCESS)
        return 0;
    return error_set(err, status == CAIRO_STATUS_NO_MEMORY ? ENOMEM : EIO, "cairo: %s",
                     p.cairo.status_to_string(status));
}
