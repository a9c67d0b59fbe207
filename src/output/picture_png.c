/* SPDX-License-Identifier: MIT
 *
 * The file: 256 colours of a palette, texts, and padding to the size that is known beforehand.
 *
 *     signature  IHDR  sRGB  PLTE  tRNS  iTXt...  IDAT  fiLl (zeros)  IEND
 *
 * The size is a bound for the compressed pixels; a chunk of zeros, private, ancillary and safe to
 * copy, fills the rest, and readers skip it (PNG specification, 4.7 and 14). If a picture exceeds
 * the bound, it is written with half as many colours, and so on, until it fits.
 */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "picture_private.h"
#include "utf8.h"

enum {
    CHUNK_NBYTES = 12,     /* of a chunk without its data */
    IDAT_NBYTES = 1 << 20, /* of data in one chunk */
    /* signature, IHDR, sRGB, PLTE, tRNS, the padding's frame and IEND */
    FRAME_NBYTES = 8 + 25 + 13 + CHUNK_NBYTES + 3 * COLOUR_N + 13 + CHUNK_NBYTES + CHUNK_NBYTES,
};

/* The output of libpng; bytes without room are only counted. */
struct sink {
    unsigned char *bytes; /* [room] */
    size_t room, nbytes;
    struct error *err; /* of libpng */
};

uint64_t picture_png_nbytes(const struct layout *l)
{
    return FRAME_NBYTES + PNG_TEXTS_NBYTES + l->pixel_nbytes +
           CHUNK_NBYTES * (l->pixel_nbytes / IDAT_NBYTES + 1);
}

static void sink_write(png_structp png, png_bytep data, size_t nbytes)
{
    struct sink *s = png_get_io_ptr(png);

    if (s->nbytes + nbytes <= s->room)
        memcpy(s->bytes + s->nbytes, data, nbytes);
    s->nbytes += nbytes;
}

static void sink_flush(png_structp png)
{
    (void)png;
}

static void failed(png_structp png, png_const_charp reason)
{
    struct sink *s = png_get_error_ptr(png);

    error_set(s->err, EIO, "libpng: %s", reason);
    png_longjmp(png, 1);
}

static void warned(png_structp png, png_const_charp reason)
{
    (void)png;
    (void)reason;
}

/* ---- parts of the file ---- */

static void write_palette(png_structp png, png_infop info)
{
    static const png_byte alpha[] = {[COLOUR_CLEAR] = 0};
    unsigned char rgb[COLOUR_N][3];
    png_color palette[COLOUR_N];

    picture_palette(rgb);
    for (int i = 0; i < COLOUR_N; i++)
        palette[i] = (png_color){rgb[i][0], rgb[i][1], rgb[i][2]};
    png_set_sRGB_gAMA_and_cHRM(png, info, PNG_sRGB_INTENT_RELATIVE);
    png_set_PLTE(png, info, palette, COLOUR_N);
    png_set_tRNS(png, info, alpha, sizeof alpha, NULL);
}

static void write_texts(png_structp png, png_infop info, const struct png_text *texts)
{
    for (; texts->keyword; texts++) {
        char text[PNG_TEXT_MAX + 1];
        png_text one = {.compression = PNG_ITXT_COMPRESSION_NONE, .text = text};

        one.itxt_length = utf8_fit(texts->text, PNG_TEXT_MAX);
        memcpy(text, texts->text, one.itxt_length);
        text[one.itxt_length] = '\0';
        one.key = (png_charp)texts->keyword;
        png_set_text(png, info, &one, 1); /* copies */
    }
}

/* Uses every `coarse`-th colour of the map and of the greys. */
static void write_rows(png_structp png, const struct layout *l, const unsigned char *canvas,
                       int coarse, unsigned char *row)
{
    for (int y = 0; y < l->height; y++) {
        const unsigned char *from = canvas + (size_t)y * l->width;

        for (int x = 0; x < l->width; x++) {
            int first = from[x] >= COLOUR_FIRST ? COLOUR_FIRST : COLOUR_PAPER;

            row[x] = from[x];
            if (from[x] >= COLOUR_PAPER)
                row[x] = (unsigned char)(from[x] - (from[x] - first) % coarse);
        }
        png_write_row(png, row);
    }
}

static void write_padding(png_structp png, const struct sink *s)
{
    static const unsigned char zeros[4096];
    size_t left = s->room - s->nbytes - 2 * CHUNK_NBYTES; /* this chunk's frame and IEND */

    png_write_chunk_start(png, (png_const_bytep) "fiLl", (png_uint_32)left);
    while (left > 0) {
        size_t n = left < sizeof zeros ? left : sizeof zeros;

        png_write_chunk_data(png, zeros, n);
        left -= n;
    }
    png_write_chunk_end(png);
}

/* Returns 1 if it has no room. On a failure libpng returns to setjmp(). */
static int write_file(png_structp png, png_infop info, const struct layout *l,
                      const unsigned char *canvas, int coarse, const struct png_text *texts,
                      unsigned char *row)
{
    struct sink *s = png_get_io_ptr(png);

    if (setjmp(png_jmpbuf(png)) != 0)
        return -EIO;
    png_set_compression_buffer_size(png, IDAT_NBYTES);
    /* After the filters, repeated pixels and rows are runs of zeros, and voxels are noise: looking for
     * more than runs takes 50 times as long and saves a tenth. */
    png_set_compression_strategy(png, Z_RLE);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_SUB | PNG_FILTER_UP);
    png_set_IHDR(png, info, (png_uint_32)l->width, (png_uint_32)l->height, 8,
                 PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    write_palette(png, info);
    write_texts(png, info, texts);
    png_write_info(png, info);
    write_rows(png, l, canvas, coarse, row);
    if (s->nbytes + 2 * CHUNK_NBYTES > s->room)
        return 1;
    write_padding(png, s);
    png_write_end(png, NULL);
    return 0;
}

static int encode(const struct layout *l, const unsigned char *canvas, int coarse,
                  const struct png_text *texts, struct sink *s)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, s, failed, warned);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    unsigned char *row = malloc((size_t)l->width);
    int ret;

    if (info && row) {
        png_set_write_fn(png, s, sink_write, sink_flush);
        ret = write_file(png, info, l, canvas, coarse, texts, row);
    } else {
        ret = error_set(s->err, ENOMEM, "picture: out of memory");
    }
    png_destroy_write_struct(&png, &info);
    free(row);
    return ret;
}

int picture_png(const struct layout *l, const unsigned char *canvas, const struct png_text *texts,
                unsigned char **png, struct error *err)
{
    struct sink s = {.room = picture_png_nbytes(l), .err = err};
    int ret = 1;

    s.bytes = malloc(s.room);
    if (!s.bytes)
        return error_set(err, ENOMEM, "picture: out of memory");
    for (int coarse = 1; ret == 1 && coarse <= COLOUR_N; coarse *= 2) {
        s.nbytes = 0;
        ret = encode(l, canvas, coarse, texts, &s);
    }
    if (ret == 0 && s.nbytes == s.room) {
        *png = s.bytes;
        return 0;
    }
    free(s.bytes);
    return ret < 0 ? ret : error_set(err, EIO, "picture: the file exceeds its known size");
}
