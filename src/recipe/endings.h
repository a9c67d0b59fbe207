/* SPDX-License-Identifier: MIT
 *
 * The endings of the files of an expression's recipe, RECIPE.nii and so on: a row for each output
 * format, output_NAME (output.h), in the order of listings. The numbers of an image (numbers.h) have
 * a slash in their ending: no file of the mount has it, only the engine uses it.
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
