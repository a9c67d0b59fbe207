/* SPDX-License-Identifier: MIT
 *
 * NIfTI headers: refused with a sentence, or such that sizes can be computed from them, and that a
 * header derived from them is understood again, on the same grid.
 */
#include "nifti.h"
#include "fuzz.h"

static void check_sizes(const struct nifti *h)
{
    unsigned __int128 nbytes = h->sample_nbytes;

    for (int i = 0; i < 3; i++) {
        assert_true(h->dim[i] >= 1);
        nbytes *= (unsigned __int128)h->dim[i];
    }
    assert_true(h->nvol >= 1 && h->sample_nbytes >= 1);
    assert_true(nifti_nvox(h) == (int64_t)(nbytes / h->sample_nbytes));
    nbytes *= (unsigned __int128)h->nvol;
    assert_true(nbytes <= INT64_MAX - h->vox_offset && nifti_data_nbytes(h) == (uint64_t)nbytes);
    assert_true(h->vox_offset >= (h->version == 2 ? 540 : 348));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    unsigned char derived[NIFTI_DERIVED_NBYTES];
    struct nifti h, again;
    struct error err = {0};

    if (nifti_parse(data, nbytes, &h, &err) < 0) {
        assert_int_equal(err.code, EIO);
        assert_true(err.text[0] != '\0');
        return 0;
    }
    check_sizes(&h);
    nifti_derive(&h, h.nvol, "fuzz", derived);
    if (nifti_parse(derived, sizeof derived, &again, &err) < 0)
        fail_msg("the derived header: %s", err.text);
    check_sizes(&again);
    assert_true(nifti_same_shape(&h, &again));
    assert_int_equal(again.nvol, h.nvol);
    assert_true(again.real && again.sample == SAMPLE_FLOAT32 && !again.swapped);
    assert_int_equal(again.vox_offset, NIFTI_DERIVED_NBYTES);
    return 0;
}
