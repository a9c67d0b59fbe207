/* SPDX-License-Identifier: MIT
 *
 * Checkpoints as bytes: refused, or in order and the same after they are packed and unpacked again.
 */
#include "checkpoints.h"
#include "fuzz.h"

static void check_same(const struct checkpoints *a, const struct checkpoints *b)
{
    assert_int_equal(checkpoints_count(a), checkpoints_count(b));
    for (size_t i = 0; i < checkpoints_count(a); i++) {
        const struct checkpoint *p = checkpoints_at(a, i), *q = checkpoints_at(b, i);

        assert_true(p->in_bit == q->in_bit && p->out_off == q->out_off);
        assert_true(p->member_off == q->member_off && p->crc == q->crc);
        assert_memory_equal(p->window, q->window, CHECKPOINT_WINDOW);
        assert_ptr_equal(checkpoints_find(a, p->out_off), p);
        assert_ptr_equal(checkpoints_find_bit(a, p->in_bit), p);
        if (i > 0)
            assert_true(p[-1].in_bit < p->in_bit && p[-1].out_off < p->out_off);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    struct checkpoints *c, *again;
    unsigned char *bytes;
    size_t n;

    if (checkpoints_unpack(data, nbytes, NULL, &c, NULL) < 0)
        return 0;
    assert_int_equal(checkpoints_pack(c, &bytes, &n, NULL), 0);
    assert_int_equal(checkpoints_unpack(bytes, n, NULL, &again, NULL), 0);
    check_same(c, again);
    free(bytes);
    checkpoints_put(c);
    checkpoints_put(again);
    return 0;
}
