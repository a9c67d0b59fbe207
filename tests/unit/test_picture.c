/* SPDX-License-Identifier: MIT
 *
 * Pictures from within: every orientation, the size of hostile grids, noise that has to fit.
 */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "picture_private.h"

static struct nifti grid_of(int64_t nx, int64_t ny, int64_t nz)
{
    struct nifti grid = {.dim = {nx, ny, nz}, .nvol = 1, .oriented = true};

    for (int i = 0; i < 3; i++)
        grid.affine[i][i] = 3;
    return grid;
}

/* All 48 ways to store a volume: the same voxel of the patient is found in each. */
static void test_every_orientation(void **state)
{
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                     {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    static const int64_t size[3] = {5, 6, 7}, at[3] = {1, 2, 6};

    (void)state;
    for (int i = 0; i < 48; i++) {
        struct nifti grid = grid_of(1, 1, 1);
        int64_t index[3], backward[3];
        struct layout l;

        memset(grid.affine, 0, sizeof grid.affine);
        for (int to = 0; to < 3; to++) {
            int axis = orders[i / 8][to];

            backward[to] = i >> to & 1;
            grid.dim[axis] = size[to];
            grid.affine[to][axis] = backward[to] ? -2 : 2;
            grid.affine[(to + 1) % 3][axis] = 0.5; /* a little oblique */
            index[axis] = backward[to] ? size[to] - 1 - at[to] : at[to];
        }
        picture_layout(&grid, NULL, &l);
        for (int to = 0; to < 3; to++) {
            assert_int_equal(l.axis[to], orders[i / 8][to]);
            assert_int_equal(l.backward[to], backward[to]);
            assert_int_equal(l.dim[to], size[to]);
        }
        assert_int_equal(picture_voxel(&l, &grid, at),
                         (index[2] * grid.dim[1] + index[1]) * grid.dim[0] + index[0]);
    }
}

static void assert_inside(const struct layout *l, const struct box *b)
{
    assert_true(b->x >= 0 && b->y >= 0 && b->w >= 1 && b->h >= 1);
    assert_true(b->x + b->w <= l->width && b->y + b->h <= l->height);
}

static void test_any_grid_has_a_layout(void **state)
{
    static const int64_t sizes[] = {1, 2, 47, 49, 300, 2000, 32767, INT64_C(2000000000)};
    static const double zooms[] = {1, 1e-30, 1e30, 0, NAN, INFINITY};
    enum { NSIZES = sizeof sizes / sizeof *sizes, NZOOMS = sizeof zooms / sizeof *zooms };

    (void)state;
    for (size_t i = 0; i < NSIZES * NSIZES * NSIZES * NZOOMS; i++) {
        struct nifti grid = grid_of(sizes[i % NSIZES], sizes[i / NSIZES % NSIZES],
                                    sizes[i / NSIZES / NSIZES % NSIZES]);
        struct layout l;

        grid.affine[0][0] = zooms[i / NSIZES / NSIZES / NSIZES];
        picture_layout(&grid, NULL, &l);
        assert_uint_in_range(l.width, 100, 1800);
        assert_uint_in_range(l.height, 100, 2400);
        assert_inside(&l, &l.bar);
        assert_true(l.nslices >= 1 && picture_slice(&l, 0) >= 0 &&
                    picture_slice(&l, l.nslices - 1) < l.dim[SUPERIOR]);
        for (int k = 0; k < l.nslices; k++) {
            struct box b = picture_tile(&l, k);

            assert_inside(&l, &b);
        }
    }
}

/* Few slices are shown all, many are thinned evenly. */
static void test_which_slices(void **state)
{
    struct nifti few = grid_of(64, 64, 30), many = grid_of(91, 109, 91);
    struct layout l;

    (void)state;
    picture_layout(&few, NULL, &l);
    assert_int_equal(l.nslices, 30);
    assert_int_equal(l.slice_step, 1);
    assert_int_equal(l.tile_w, 3 * 64);
    picture_layout(&many, NULL, &l);
    assert_int_equal(l.nslices, 30);
    assert_int_equal(l.slice_step, 3);
    assert_int_equal(picture_slice(&l, 0), 1);
    assert_int_equal(l.tile_w, 2 * 91);
    assert_int_equal(l.tile_h, 2 * 109);
}

/* The head fills the slices from `bottom` to below `top`, but for a stray voxel in each of the others. */
static void test_no_air(void **state)
{
    enum { NX = 20, NY = 20, NZ = 60, NVOX = NX * NY * NZ };
    static uint8_t mask[NVOX];
    struct nifti grid = grid_of(NX, NY, NZ);
    struct layout all, l;

    (void)state;
    picture_layout(&grid, NULL, &all);
    for (int backward = 0; backward < 2; backward++)
        for (int bottom = 0; bottom < NZ; bottom += 7)
            for (int top = bottom + 1; top <= NZ; top += 5) {
                grid.affine[2][2] = backward ? -3 : 3;
                memset(mask, 0, NVOX);
                for (int up = 0; up < NZ; up++) {
                    int k = backward ? NZ - 1 - up : up;

                    memset(mask + k * NX * NY, 1, up >= bottom && up < top ? NX * NY : 1);
                }
                picture_layout(&grid, mask, &l);
                assert_true(picture_slice(&l, 0) - bottom < l.slice_step &&
                            picture_slice(&l, 0) >= bottom);
                assert_true(picture_slice(&l, l.nslices - 1) < top);
                assert_true(l.nslices == (top - bottom) / l.slice_step);
                assert_true(l.nslices <= all.nslices && l.tile_w == all.tile_w);
                assert_true(l.pixel_nbytes <= all.pixel_nbytes);
                assert_true(l.width <= all.width && l.height <= all.height);
            }
    memset(mask, 0, NVOX);
    picture_layout(&grid, mask, &l);
    assert_int_equal(l.nslices, all.nslices);
}

static void assert_is_png(const unsigned char *png, uint64_t nbytes)
{
    assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);
    assert_memory_equal(png + nbytes - 8, "IEND\xae\x42\x60\x82", 8);
}

/* The pixels of noise fit; those of a smaller promise fit with fewer colours. */
static void test_noise_fits(void **state)
{
    struct nifti grid = grid_of(64, 64, 30);
    const struct png_text texts[] = {{"Title", "noise"}, {NULL, NULL}};
    struct layout l;
    struct error err;
    unsigned char *canvas, *png;
    uint32_t noise = 1;

    (void)state;
    picture_layout(&grid, NULL, &l);
    l.height = 100; /* all the compressor's effort on noise, for so many rows */
    canvas = malloc((size_t)l.width * (size_t)l.height);
    assert_non_null(canvas);
    for (size_t i = 0; i < (size_t)l.width * (size_t)l.height; i++) {
        noise = noise * 1664525 + 1013904223;
        canvas[i] = (unsigned char)(COLOUR_FIRST + (noise >> 24) % COLOUR_NMAP);
    }
    for (int divisor = 1; divisor <= 16; divisor *= 16) {
        l.pixel_nbytes = (uint64_t)l.width * (uint64_t)l.height / divisor;
        assert_int_equal(picture_png(&l, canvas, texts, &png, &err), 0);
        assert_is_png(png, picture_png_nbytes(&l));
        free(png);
    }
    /* with two colours in no order too: it is said, and nothing is overrun */
    for (size_t i = 0; i < (size_t)l.width * (size_t)l.height; i++)
        canvas[i] = canvas[i] & 1 ? COLOUR_CLEAR : COLOUR_FIRST;
    l.pixel_nbytes = 10;
    assert_int_equal(picture_png(&l, canvas, texts, &png, &err), -EIO);
    free(canvas);
}

static void test_colours(void **state)
{
    unsigned char rgb[COLOUR_N][3];

    (void)state;
    picture_palette(rgb);
    assert_memory_equal(rgb[COLOUR_FIRST], "\x44\x01\x54", 3);
    assert_memory_equal(rgb[COLOUR_N - 1], "\xfd\xe7\x25", 3);
    for (int i = COLOUR_FIRST + 1; i < COLOUR_N; i++) {
        double before = 0.2126 * rgb[i - 1][0] + 0.7152 * rgb[i - 1][1] + 0.0722 * rgb[i - 1][2];
        double now = 0.2126 * rgb[i][0] + 0.7152 * rgb[i][1] + 0.0722 * rgb[i][2];

        assert_true(now > before - 0.1); /* lighter and lighter, but for rounding */
    }
    assert_int_equal(picture_colour(NAN, 0, 1), COLOUR_CLEAR);
    assert_int_equal(picture_colour(INFINITY, 0, 1), COLOUR_N - 1);
    assert_int_equal(picture_colour(-INFINITY, 0, 1), COLOUR_FIRST);
    assert_int_equal(picture_colour(2, 0, 1), COLOUR_N - 1);
    assert_int_equal(picture_colour(0, -1e308, 1e308), COLOUR_FIRST + (COLOUR_NMAP - 1) / 2);
}

/* Texts of any length and in any script; a mask without any voxel. */
static void test_long_texts(void **state)
{
    struct nifti grid = grid_of(3, 2, 2);
    float image[12] = {1, 2, 3, 4};
    uint8_t mask[12] = {0};
    char text[6001] = "";
    struct error err;
    unsigned char *png;

    (void)state;
    for (size_t i = 0; i < 2000; i++)
        strcat(text + 3 * i, "\xe2\x82\xac");
    struct caption caption = {text, text, text, text, "a.u.", text, text};
    struct picture_input in = {&grid, image, mask, 0, &caption};

    assert_int_equal(picture_make(&in, &png, &err), 0);
    assert_is_png(png, picture_nbytes(&grid));
    free(png);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_orientation), cmocka_unit_test(test_any_grid_has_a_layout),
        cmocka_unit_test(test_which_slices),      cmocka_unit_test(test_no_air),
        cmocka_unit_test(test_noise_fits),        cmocka_unit_test(test_colours),
        cmocka_unit_test(test_long_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
