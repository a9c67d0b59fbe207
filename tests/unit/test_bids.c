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
        "sub-01.nii",                  /* no suffix */
        "task-rest_sub-01_bold.nii",   /* sub is not first */
        "Sub-01_bold.nii",             /* case counts */
        "sub-_bold.nii",               /* no label */
        "_sub-01_bold.nii",            /* */
        "sub-01_bold_.nii",            /* no suffix */
        "sub-01_bo.ld.nii",            /* suffix with a dot */
        "sub-01_rest_T1w.nii",         /* no dash, and no name of a run */
        "sub-01_task-a_bold_mcf.nii",  /* the suffix is not the last */
        "sub-01_task-a-b_boldref.nii", /* two dashes, and no name of a run */
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct bids_name name;
        if (bids_parse(names[i], &name))
            fail_msg("%s taken for a BIDS name", names[i]);
        assert_int_equal(name.form, BIDS_FREE);
        assert_int_equal(name.nentities, 0);
        assert_string_equal(name.suffix, "");
        assert_int_equal(strlen(name.stem), strlen(names[i]) - strlen(".nii"));
        assert_memory_equal(name.stem, names[i], strlen(name.stem));
        assert_string_equal(name.entities, name.stem);
        assert_string_equal(name.rest, name.stem);
    }
}

/* "KEY=VALUE ... rest" */
static void describe(const char *file, char *text)
{
    struct bids_name name;

    bids_parse(file, &name);
    *text = '\0';
    for (size_t i = 0; i < name.nentities; i++)
        sprintf(text + strlen(text), "%s=%s ", name.entity[i].key, name.entity[i].value);
    sprintf(text + strlen(text), "%s", name.rest);
}

/* A name with one bad label keeps its good entities. */
static void nearly_bids_names(void **state)
{
    static const struct {
        const char *name, *bad, *parts;
    } cases[] = {
        {"sub-01_task-n-back_echo-2_bold.nii", "n-back", "sub=01 task=n-back echo=2 "},
        {"sub-02_task-eyes_open_part-phase_bold.nii", "open", "sub=02 task=eyes part=phase open"},
        {"sub-02_ses-2019-03-04_task-a_cbv.nii", "2019-03-04", "sub=02 ses=2019-03-04 task=a "},
        {"sub-02_ses-2019_03_04_task-a_bold.nii", "03", "sub=02 ses=2019 task=a 03_04"},
        {"sub-01_run1_bold.nii.gz", "run1", "sub=01 run=1 "},
        {"sub-01_rest_run-2_e3_bold.nii", "rest", "sub=01 run=2 echo=3 rest"},
        {"sub-01_run-1-smooth_bold.nii", "run-1-smooth", "sub=01 run-1-smooth"},
        {"sub-01_-rest_bold.nii", "-rest", "sub=01 -rest"},
        {"sub-01__bold.nii", "", "sub=01 "},
        {"sub-01_task-a_task-b_bold.nii", "task-b", "sub=01 task=a task-b"},
        {"sub-01_task-r\xc3\xa9_bold.nii", "r\xc3\xa9", "sub=01 task=r\xc3\xa9 "},
        {"sub-01_ta+sk-x_bold.nii", "ta+sk-x", "sub=01 ta+sk-x"},
    };
    struct bids_name name;
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_true(bids_parse(cases[i].name, &name));
        assert_int_equal(name.form, BIDS_NEARLY);
        assert_string_equal(name.bad, cases[i].bad);
        assert_true(bids_has_run_suffix(&name));
        describe(cases[i].name, text);
        assert_string_equal(text, cases[i].parts);
    }
    assert_string_equal(name.entities, "sub-01_ta+sk-x");
    assert_true(bids_parse("sub-01_space-fsLR_bold.dtseries.nii", &name));
    assert_true(name.cifti);
    assert_string_equal(name.suffix, "bold");
}

/* Of a free name only what is beyond doubt is taken. */
static void free_names(void **state)
{
    static const struct {
        const char *name, *parts;
    } cases[] = {
        {"a.nii", "a"},
        {"run1.nii.gz", "run=1 run#"},
        {"func_01.nii.gz", "run=01 func_#"},
        {"r0.nii", "run=0 r#"},
        {"pb03.s1.r02.scale.nii", "run=02 pb03.s1.r#.scale"},
        {"filter2.nii", "filter2"},
        {"01_func_run-2_clean.nii", "run=2 01_func_run-#_clean"},
        {"func_2_run_10.nii", "run=10 func_2_run_#"},
        {"s03_Run 4.nii", "run=4 s03_Run #"},
        {"ep2d_bold_e2.nii", "echo=2 ep2d_bold"},
        {"ep2d_bold_5_e2_ph.nii", "part=phase echo=2 run=5 ep2d_bold_#"},
        {"ep2d_bold_5_real.nii", "part=real run=5 ep2d_bold_#"},
        {"ep2d_bold_5_imaginary.nii", "part=imag run=5 ep2d_bold_#"},
        {"task-rest_part-phase_bold.nii", "part=phase task-rest_part-phase_bold"},
        {"beta_0001.nii", "beta_0001"},
        {"cope3.nii", "cope3"},
        {"func_1_MoCo.nii", "run=1 func_#_MoCo"},
        {"e1.nii", "e1"},
        {"echo_2.nii", "echo_2"},
    };
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        describe(cases[i].name, text);
        assert_string_equal(text, cases[i].parts);
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

    /* as many entities as fit, and one more, which is in the rest */
    for (int extra = 0; extra < 2; extra++) {
        strcpy(text, "sub-1");
        for (int i = 1; i < BIDS_ENTITIES_MAX + extra; i++)
            sprintf(text + strlen(text), "_k%d-1", i);
        strcat(text, "_bold.nii");
        assert_true(bids_parse(text, &name));
        assert_int_equal(name.form, extra ? BIDS_NEARLY : BIDS_PROPER);
        assert_int_equal(name.nentities, BIDS_ENTITIES_MAX);
        assert_string_equal(name.rest, extra ? "k32-1" : "");
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
        if ((bids_has_run_suffix(&name) && !bids_is_part(&name)) != cases[i].run)
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
    assert_true(same_group("sub-01_echo-1_bold.nii", "sub-01_echo-01_bold.nii"));
    assert_false(same_group("sub-01_acq-1_bold.nii", "sub-01_acq-01_bold.nii"));
    assert_false(same_group("sub-01_task-a_open_bold.nii", "sub-01_task-a_closed_bold.nii"));
    assert_true(same_group("func_run1_e2.nii", "func_run2_e2.nii"));
    assert_false(same_group("func_run1_e1.nii", "func_run1_e2.nii"));
    assert_false(same_group("sub-01_bold.nii", "other.nii"));
    assert_true(bids_joins_over("task"));
    assert_true(bids_joins_over("run"));
    assert_false(bids_joins_over("sub"));
}

static bool same_run(const char *a, const char *b)
{
    struct bids_name x, y;
    bids_parse(a, &x);
    bids_parse(b, &y);
    return bids_same_run(&x, &y);
}

static void indices_are_numbers(void **state)
{
    static const char *const order[] = {
        "sub-01_task-B_run-9_bold.nii.gz",
        "sub-01_task-B_run-010_bold.nii",
        "sub-01_task-B_run-11_bold.nii",
        "sub-01_task-a10_bold.nii",
        "sub-01_task-a9_echo-2_bold.nii",
        "sub-01_task-a9_echo-10_bold.nii",
        "sub-1_run1_bold.nii",
        "sub-1_run10_bold.nii",
    };

    (void)state;
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        for (size_t k = 0; k < sizeof order / sizeof *order; k++)
            assert_int_equal(bids_compare(order[i], order[k]) < 0, i < k);
    assert_true(bids_compare("run2.nii", "run10.nii") < 0);
    assert_true(bids_compare("run2.nii", "run02.nii") != 0);
    assert_true(bids_compare("run.nii", "run1.nii") < 0);

    assert_true(same_run("sub-01_run-1_bold.nii", "sub-01_run-01_bold.nii"));
    assert_true(same_run("sub-01_acq-x_task-a_bold.nii", "sub-01_task-a_acq-x_bold.nii"));
    assert_true(same_run("run1.nii", "run01.nii"));
    assert_false(same_run("sub-01_run-1_bold.nii", "sub-01_run-2_bold.nii"));
    assert_false(same_run("sub-01_run-1_bold.nii", "sub-01_bold.nii"));
    assert_false(same_run("sub-01_task-a_bold.nii", "sub-01_task-b_bold.nii"));
    assert_false(same_run("run1.nii", "scan1.nii"));
}

static void names_in_other_formats(void **state)
{
    (void)state;
    assert_true(bids_names_other_format("sub-01_hemi-L_space-fsaverage_bold.func.gii"));
    assert_true(bids_names_other_format("sub-01_task-a_bold.img"));
    assert_true(bids_names_other_format("sub-01_cbv.nii.bz2"));
    assert_false(bids_names_other_format("sub-01_task-a_bold.json"));
    assert_false(bids_names_other_format("sub-01_task-a_bold.nii"));
    assert_false(bids_names_other_format("sub-01_task-a_boldref.img"));
    assert_false(bids_names_other_format("func_bold.img"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nifti_names),
        cmocka_unit_test(name_is_cut_up),
        cmocka_unit_test(names_that_are_not_bids),
        cmocka_unit_test(nearly_bids_names),
        cmocka_unit_test(free_names),
        cmocka_unit_test(indices_are_numbers),
        cmocka_unit_test(names_in_other_formats),
        cmocka_unit_test(names_at_the_limits),
        cmocka_unit_test(runs_are_bold_and_cbv),
        cmocka_unit_test(task_and_run_do_not_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
