/* SPDX-License-Identifier: MIT
 *
 * The formats behind the table of output.c.
 */
#ifndef DERIVFS_OUTPUT_PRIVATE_H
#define DERIVFS_OUTPUT_PRIVATE_H

#include "output.h"

/* output_gzip.c */
uint64_t gzip_stored_nbytes(const struct nifti *grid, uint64_t image_nbytes);
int gzip_stored_write(const struct output_source *source, struct cache_writer *w,
                      struct error *err) NODISCARD;
extern const struct output_framing gzip_framing;

/* output_picture.c */
uint64_t output_picture_nbytes(const struct nifti *grid, uint64_t image_nbytes);
size_t output_picture_mem_nbytes(const struct nifti *grid);
int output_picture_write(const struct output_source *source, struct cache_writer *w,
                         struct error *err) NODISCARD;

/* output_numbers.c */
uint64_t output_numbers_nbytes(const struct nifti *grid, uint64_t image_nbytes);
size_t output_numbers_mem_nbytes(const struct nifti *grid);
int output_numbers_write(const struct output_source *source, struct cache_writer *w,
                         struct error *err) NODISCARD;

#endif
