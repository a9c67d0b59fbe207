/* SPDX-License-Identifier: MIT
 *
 * BIDS names: the parts that a name is cut into, joined again, are the name.
 */
#include "bids.h"
#include "codec.h"
#include "fuzz.h"

static void check_parts(const char *name, const struct bids_name *b)
{
    char joined[2 * BIDS_NAME_MAX] = "";
    size_t n = 0;

    assert_true(b->nentities >= 1 && b->nentities <= BIDS_ENTITIES_MAX);
    for (size_t i = 0; i < b->nentities; i++) {
        const struct bids_entity *each = &b->entity[i];
        assert_true(each->key[0] != '\0' && each->value[0] != '\0');
        assert_ptr_equal(bids_value(b, each->key), each->value);
        n += (size_t)snprintf(joined + n, sizeof joined - n, "%s%s-%s", i > 0 ? "_" : "", each->key,
                              each->value);
    }
    assert_string_equal(joined, b->entities);
    assert_string_equal(b->entity[0].key, "sub");
    n += (size_t)snprintf(joined + n, sizeof joined - n, "_%s", b->suffix);
    assert_string_equal(joined, b->stem);
    snprintf(joined + n, sizeof joined - n, "%s", b->codec->ending);
    assert_string_equal(joined, name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    char *name = fuzz_text(data, nbytes);
    struct bids_name b, again;
    bool is_bids = bids_parse(name, &b);

    assert_int_equal(is_bids, b.form != BIDS_FREE);
    assert_true((b.form == BIDS_NEARLY) == (b.bad != NULL));
    if (b.form == BIDS_PROPER && !b.cifti) {
        check_parts(name, &b);
    } else if (is_bids) {
        assert_true(b.nentities >= 1 && bids_has_run_suffix(&b));
        assert_string_equal(b.entity[0].key, "sub");
    } else {
        assert_true(b.nentities <= 3 && b.suffix[0] == '\0' && !bids_has_run_suffix(&b));
        assert_string_equal(b.stem, b.entities);
    }
    assert_int_equal(strncmp(name, b.stem, strlen(b.stem)), 0);
    assert_true(!is_bids || bids_is_nifti_name(name));
    assert_int_equal(bids_parse(name, &again), is_bids);
    assert_true(bids_same_group(&b, &again) && bids_same_run(&b, &again));
    assert_int_equal(bids_compare(name, name), 0);
    free(name);
    return 0;
}
