/* SPDX-License-Identifier: MIT
 *
 * BIDS names: what is one, how it is cut up, and which names belong together.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bids.h"
#include "codec.h"

static void nifti_names(void **state)
{
    (void)state;
    assert_true(bids_is_nifti_name("a.nii"));
    assert_true(bids_is_nifti_name("a.nii.gz"));
    assert_true(bids_is_nifti_name(".nii.nii"));
    assert_false(bids_is_nifti_name(".nii"));
    assert_false(bids_is_nifti_name(".nii.gz"));
    assert_false(bids_is_nifti_name("a.NII"));
    assert_false(bids_is_nifti_name("a.nii.bz2"));
    assert_false(bids_is_nifti_name("a.gz"));
    assert_false(bids_is_nifti_name("nii"));
    assert_false(bids_is_nifti_name(""));
}

static void name_is_cut_up(void **state)
{
    (void)state;
    struct bids_name name;
    assert_true(bids_parse("sub-01_ses-test_task-rest_run-1_bold.nii.gz", &name));
    assert_int_equal(name.nentities, 4);
    assert_string_equal(name.entity[0].key, "sub");
    assert_string_equal(name.entity[0].value, "01");
    assert_string_equal(name.entity[3].key, "run");
    assert_string_equal(name.entity[3].value, "1");
    assert_string_equal(name.suffix, "bold");
    assert_string_equal(name.stem, "sub-01_ses-test_task-rest_run-1_bold");
    assert_string_equal(name.entities, "sub-01_ses-test_task-rest_run-1");
    assert_ptr_equal(name.codec, &codec_gzip);
    assert_string_equal(bids_value(&name, "task"), "rest");
    assert_null(bids_value(&name, "tas"));
    assert_null(bids_value(&name, "echo"));

    assert_true(bids_parse("sub-01_bold.nii", &name));
    assert_string_equal(name.entities, "sub-01");
    assert_ptr_equal(name.codec, &codec_plain);
    assert_true(bids_parse("sub-01_space-MNI+2_bold.nii", &name));
    assert_string_equal(bids_value(&name, "space"), "MNI+2");
}

static void names_that_are_not_bids(void **state)
{
    (void)state;
    static const char *const names[] = {
        "rest.nii",
        "sub-01.nii",                     /* no suffix */
        "task-rest_sub-01_bold.nii",      /* sub is not first */
        "Sub-01_bold.nii",                /* case counts */
        "sub-_bold.nii",                  /* no label */
        "sub-01_-rest_bold.nii",          /* no key */
        "sub-01__bold.nii",               /* nothing between */
        "_sub-01_bold.nii",               /* */
        "sub-01_bold_.nii",               /* no suffix */
        "sub-01_rest_bold.nii",           /* no dash */
        "sub-01_task-a-b_bold.nii",       /* two dashes */
        "sub-01_task-a_task-b_bold.nii",  /* repeated key */
        "sub-01_task-r\xc3\xa9_bold.nii", /* not ASCII */
        "sub-01_bo.ld.nii",               /* suffix with a dot */
        "sub-01_ta+sk-x_bold.nii",        /* + in a key */
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct bids_name name;
        if (bids_parse(names[i], &name))
            fail_msg("%s taken for a BIDS name", names[i]);
        assert_int_equal(name.nentities, 0);
        assert_string_equal(name.suffix, "");
        assert_int_equal(strlen(name.stem), strlen(names[i]) - strlen(".nii"));
        assert_memory_equal(name.stem, names[i], strlen(name.stem));
        assert_string_equal(name.entities, name.stem);
    }
}

static void names_at_the_limits(void **state)
{
    (void)state;
    struct bids_name name;
    char text[1024];

    /* the longest name that a file system allows */
    memset(text, 'x', sizeof text);
    memcpy(text, "sub-", 4);
    strcpy(text + 255 - strlen("_bold.nii"), "_bold.nii");
    assert_true(bids_parse(text, &name));
    assert_string_equal(name.suffix, "bold");
    assert_int_equal(strlen(name.stem), 251);

    memset(text, 'x', sizeof text);
    memcpy(text, "sub-", 4);
    strcpy(text + 1000, "_bold.nii");
    assert_false(bids_parse(text, &name));
    assert_int_equal(strlen(name.stem), BIDS_NAME_MAX - 1);

    /* as many entities as fit, and one more */
    for (int extra = 0; extra < 2; extra++) {
        strcpy(text, "sub-1");
        for (int i = 1; i < BIDS_ENTITIES_MAX + extra; i++)
            sprintf(text + strlen(text), "_k%d-1", i);
        strcat(text, "_bold.nii");
        assert_int_equal(bids_parse(text, &name), extra == 0);
        assert_int_equal(name.nentities, extra ? 0 : BIDS_ENTITIES_MAX);
    }
}

static void runs_are_bold_and_cbv(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool run;
    } cases[] = {
        {"sub-01_bold.nii", true},
        {"sub-01_cbv.nii.gz", true},
        {"sub-01_part-mag_bold.nii", true},
        {"sub-01_part-phase_bold.nii", false},
        {"sub-01_part-phase_cbv.nii", false},
        {"sub-01_part-real_bold.nii", false},
        {"sub-01_part-imag_bold.nii", false},
        {"sub-01_acq-phase_bold.nii", true},
        {"sub-01_sbref.nii", false},
        {"sub-01_T1w.nii", false},
        {"sub-01_boldmap.nii", false},
        {"sub-01_BOLD.nii", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bids_name name;
        assert_true(bids_parse(cases[i].name, &name));
        if (bids_names_run(&name) != cases[i].run)
            fail_msg("%s: wrong", cases[i].name);
    }
}

static bool same_group(const char *a, const char *b)
{
    struct bids_name x, y;
    bids_parse(a, &x);
    bids_parse(b, &y);
    bool same = bids_same_group(&x, &y);
    assert_int_equal(same, bids_same_group(&y, &x));
    return same;
}

static void task_and_run_do_not_part(void **state)
{
    (void)state;
    assert_true(same_group("sub-01_task-a_bold.nii", "sub-01_task-b_run-2_bold.nii.gz"));
    assert_true(same_group("sub-01_task-a_bold.nii", "sub-01_bold.nii"));
    assert_true(same_group("sub-01_acq-x_dir-AP_bold.nii", "sub-01_dir-AP_acq-x_bold.nii"));
    assert_true(same_group("one.nii", "two.nii"));
    assert_false(same_group("sub-01_task-a_bold.nii", "sub-01_task-a_cbv.nii"));
    assert_false(same_group("sub-01_echo-1_bold.nii", "sub-01_echo-2_bold.nii"));
    assert_false(same_group("sub-01_echo-1_bold.nii", "sub-01_bold.nii"));
    assert_false(same_group("sub-01_echo-1_bold.nii", "sub-01_acq-1_bold.nii"));
    assert_false(same_group("sub-01_echo-1_bold.nii", "sub-01_echo-01_bold.nii"));
    assert_false(same_group("sub-01_bold.nii", "other.nii"));
    assert_true(bids_joins_over("task"));
    assert_true(bids_joins_over("run"));
    assert_false(bids_joins_over("sub"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nifti_names),
        cmocka_unit_test(name_is_cut_up),
        cmocka_unit_test(names_that_are_not_bids),
        cmocka_unit_test(names_at_the_limits),
        cmocka_unit_test(runs_are_bold_and_cbv),
        cmocka_unit_test(task_and_run_do_not_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
