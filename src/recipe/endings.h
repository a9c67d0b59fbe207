/* SPDX-License-Identifier: MIT
 *
 * The endings of the files that an expression's recipe has, RECIPE.nii and so on: one row for each
 * output format, whose description is called output_NAME (output.h). Rows are in the order of
 * listings. The slash keeps the numbers of an image (numbers.h) from being the ending of any name
 * of the mount: only the engine itself asks for them.
 */
#ifndef DERIVFS_ENDINGS_H
#define DERIVFS_ENDINGS_H

#define OUTPUT_FORMATS(ROW)                                                                        \
    ROW(nii, ".nii")                                                                               \
    ROW(nii_gz, ".nii.gz")                                                                         \
    ROW(png, ".png")                                                                               \
    ROW(numbers, "/numbers")                                                                       \
    ROW(svg, ".svg")                                                                               \
    ROW(json, ".json")

#define ROW(name, ending) extern const char ending_##name[];
OUTPUT_FORMATS(ROW)
#undef ROW

#endif
