/* SPDX-License-Identifier: MIT
 *
 * The palette, and the colour map.
 *
 * The map resembles viridis (S. van der Walt and N. Smith, 2015; dedicated to the public domain as
 * CC0): it goes through five of its colours, a quarter apart, along the polynomial through them in
 * Oklab (B. Ottosson, "A perceptual color space for image processing", 2020), where lightness
 * grows almost evenly. So equal steps of the value look alike, in grey and to the colour-blind
 * too.
 */
#include <math.h>

#include "picture_private.h"

enum { NANCHORS = 5 };

static double to_linear(int c)
{
    double x = c / 255.0;

    return x <= 0.04045 ? x / 12.92 : pow((x + 0.055) / 1.055, 2.4);
}

static unsigned char from_linear(double x)
{
    x = fmin(fmax(x, 0), 1);
    x = x <= 0.0031308 ? 12.92 * x : 1.055 * pow(x, 1 / 2.4) - 0.055;
    return (unsigned char)lround(255 * x);
}

static void to_oklab(const unsigned char rgb[3], double lab[3])
{
    double r = to_linear(rgb[0]), g = to_linear(rgb[1]), b = to_linear(rgb[2]);
    double l = cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
    double m = cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
    double s = cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);

    lab[0] = 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s;
    lab[1] = 1.9779984951 * l - 2.4285922050 * m + 0.4505937099 * s;
    lab[2] = 0.0259040371 * l + 0.7827717662 * m - 0.8086757660 * s;
}

static void from_oklab(const double lab[3], unsigned char rgb[3])
{
    double l = pow(lab[0] + 0.3963377774 * lab[1] + 0.2158037573 * lab[2], 3);
    double m = pow(lab[0] - 0.1055613458 * lab[1] - 0.0638541728 * lab[2], 3);
    double s = pow(lab[0] - 0.0894841775 * lab[1] - 1.2914855480 * lab[2], 3);

    rgb[0] = from_linear(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
    rgb[1] = from_linear(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
    rgb[2] = from_linear(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s);
}

/* Lagrange's polynomial through the anchors, at t from 0 to 1. */
static void colour_at(double anchors[NANCHORS][3], double t, unsigned char rgb[3])
{
    double lab[3] = {0};

    for (int i = 0; i < NANCHORS; i++) {
        double weight = 1;

        for (int j = 0; j < NANCHORS; j++)
            if (j != i)
                weight *= (t * (NANCHORS - 1) - j) / (i - j);
        for (int c = 0; c < 3; c++)
            lab[c] += weight * anchors[i][c];
    }
    from_oklab(lab, rgb);
}

void picture_palette(unsigned char rgb[COLOUR_N][3])
{
    static const unsigned char viridis[NANCHORS][3] = {
        {0x44, 0x01, 0x54}, {0x3b, 0x52, 0x8b}, {0x21, 0x91, 0x8c},
        {0x5e, 0xc9, 0x62}, {0xfd, 0xe7, 0x25},
    };
    static const unsigned char ink[3] = {0x1c, 0x1f, 0x24};
    double anchors[NANCHORS][3];

    for (int i = 0; i < NANCHORS; i++)
        to_oklab(viridis[i], anchors[i]);
    for (int i = 0; i < 3; i++)
        rgb[COLOUR_CLEAR][i] = 255; /* paper, for viewers without transparency */
    for (int i = 0; i < COLOUR_NGREYS; i++)
        for (int c = 0; c < 3; c++)
            rgb[COLOUR_PAPER + i][c] =
                (unsigned char)(255 - (255 - ink[c]) * i / (COLOUR_NGREYS - 1));
    for (int i = 0; i < COLOUR_NMAP; i++)
        colour_at(anchors, i / (COLOUR_NMAP - 1.0), rgb[COLOUR_FIRST + i]);
}

unsigned char picture_colour(double value, double low, double high)
{
    /* halves: the difference of two huge numbers may be infinite */
    double t = (value / 2 - low / 2) / (high / 2 - low / 2);

    if (isnan(value))
        return COLOUR_CLEAR;
    if (isinf(value))
        t = value > 0;
    t = fmin(fmax(t, 0), 1);
    return (unsigned char)(COLOUR_FIRST + lround(t * (COLOUR_NMAP - 1)));
}
