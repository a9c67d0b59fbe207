/* SPDX-License-Identifier: MIT
 *
 * Groups: which runs are joined, in which order, and what the groups are called. The runs are made
 * up, no file is needed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "group.h"

/* A made-up run: its name, its grid, its state. */
struct spec {
    const char *name;
    int nz;       /* a 4x4xnz image */
    double shift; /* mm in x of the affine */
    enum run_state state;
};

enum { SPECS_MAX = 16 };

static struct run *make_run(const struct spec *spec)
{
    struct run *run = calloc(1, sizeof *run);
    assert_non_null(run);
    atomic_init(&run->refs, 1);
    assert_true(asprintf(&run->path, "sub-01/func/%s", spec->name) > 0);
    run->state = spec->state;
    if (spec->state == RUN_OK) {
        run->nifti.dim[0] = run->nifti.dim[1] = 4;
        run->nifti.dim[2] = spec->nz;
        run->nifti.nvol = 5;
        for (int i = 0; i < 3; i++)
            run->nifti.affine[i][i] = 3;
        run->nifti.affine[0][3] = spec->shift;
    }
    return run;
}

/* Form groups of `specs` and compare with lines of "PREFIX: NAME NAME ..."; a name that is the
 * group's first has a "*" after it, one that is its bad run a "!". A line of runs that are not joined
 * begins with "apart ", one of a group that is refused with "refused ". */
static void assert_groups(const struct spec *specs, size_t n, bool join_all, const char *expected)
{
    struct run *runs[SPECS_MAX];
    for (size_t i = 0; i < n; i++)
        runs[i] = make_run(&specs[i]);
    struct group *groups;
    size_t ngroups, njoined;
    struct error err = {0};
    assert_int_equal(groups_form(runs, n, join_all, &groups, &ngroups, &njoined, &err), 0);

    char text[4096] = "";
    for (size_t g = 0; g < ngroups; g++) {
        sprintf(text + strlen(text), "%s%s%s:", g >= njoined ? "apart " : "",
                groups[g].refusal ? "refused " : "", groups[g].prefix);
        for (size_t r = 0; r < groups[g].nruns; r++) {
            const struct run *run = groups[g].runs[r];
            sprintf(text + strlen(text), " %s%s%s", strrchr(run->path, '/') + 1,
                    run == groups[g].first ? "*" : "", run == groups[g].bad ? "!" : "");
        }
        strcat(text, "\n");
    }
    assert_string_equal(text, expected);

    /* the groups hold references of their own, and give all of them back */
    groups_free(groups, ngroups);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(atomic_load(&runs[i]->refs), 1);
        run_put(runs[i]);
    }
}

#define GROUPS(expected, ...)                                                                      \
    do {                                                                                           \
        const struct spec specs[] = {__VA_ARGS__};                                                 \
        assert_groups(specs, sizeof specs / sizeof *specs, false, expected);                       \
    } while (0)

static void no_runs_no_groups(void **state)
{
    (void)state;
    struct group *groups = (struct group *)1;
    size_t ngroups = 1, njoined = 1;
    struct error err = {0};
    assert_int_equal(groups_form(NULL, 0, false, &groups, &ngroups, &njoined, &err), 0);
    assert_null(groups);
    assert_int_equal(njoined, 0);
    assert_int_equal(ngroups, 0);
    groups_free(groups, ngroups);
}

static void one_session_is_one_group(void **state)
{
    (void)state;
    GROUPS(": sub-01_task-a_bold.nii* sub-01_task-b_run-1_bold.nii sub-01_task-b_run-2_bold.nii\n",
           {"sub-01_task-a_bold.nii", 4, 0, RUN_OK}, {"sub-01_task-b_run-1_bold.nii", 4, 0, RUN_OK},
           {"sub-01_task-b_run-2_bold.nii", 4, 0, RUN_OK});
    GROUPS(": run1.nii* run2.nii.gz\n", {"run1.nii", 4, 0, RUN_OK}, {"run2.nii.gz", 4, 0, RUN_OK});
}

static void differing_entities_are_the_prefix(void **state)
{
    (void)state;
    GROUPS("echo-1_: sub-01_task-a_echo-1_bold.nii* sub-01_task-b_echo-1_bold.nii\n"
           "echo-2_: sub-01_task-a_echo-2_bold.nii*\n",
           {"sub-01_task-a_echo-1_bold.nii", 4, 0, RUN_OK},
           {"sub-01_task-a_echo-2_bold.nii", 4, 0, RUN_OK},
           {"sub-01_task-b_echo-1_bold.nii", 4, 0, RUN_OK});
    /* several, in the order of each file's name; one that only some have */
    GROUPS("acq-x_echo-1_: sub-01_acq-x_task-a_echo-1_bold.nii*\n"
           "acq-y_: sub-01_acq-y_task-a_bold.nii*\n"
           "echo-2_acq-x_: sub-01_echo-2_acq-x_bold.nii*\n",
           {"sub-01_acq-x_task-a_echo-1_bold.nii", 4, 0, RUN_OK},
           {"sub-01_acq-y_task-a_bold.nii", 4, 0, RUN_OK},
           {"sub-01_echo-2_acq-x_bold.nii", 4, 0, RUN_OK});
    /* the group without the entity keeps the plain name, whichever comes first */
    GROUPS("space-T1w_: sub-01_space-T1w_bold.nii*\n"
           ": sub-01_task-a_bold.nii*\n",
           {"sub-01_space-T1w_bold.nii", 4, 0, RUN_OK}, {"sub-01_task-a_bold.nii", 4, 0, RUN_OK});
    /* even subjects may share a directory */
    GROUPS("sub-01_: sub-01_bold.nii*\nsub-02_: sub-02_bold.nii*\n",
           {"sub-01_bold.nii", 4, 0, RUN_OK}, {"sub-02_bold.nii", 4, 0, RUN_OK});
}

static void suffix_tells_apart(void **state)
{
    (void)state;
    GROUPS("bold_: sub-01_task-a_bold.nii*\ncbv_: sub-01_task-a_cbv.nii*\n",
           {"sub-01_task-a_bold.nii", 4, 0, RUN_OK}, {"sub-01_task-a_cbv.nii", 4, 0, RUN_OK});
    /* only those that collide get it */
    GROUPS("echo-1_bold_: sub-01_echo-1_bold.nii*\n"
           "echo-1_cbv_: sub-01_echo-1_cbv.nii*\n"
           "echo-2_: sub-01_echo-2_bold.nii*\n",
           {"sub-01_echo-1_bold.nii", 4, 0, RUN_OK}, {"sub-01_echo-1_cbv.nii", 4, 0, RUN_OK},
           {"sub-01_echo-2_bold.nii", 4, 0, RUN_OK});
}

static void shape_tells_apart(void **state)
{
    (void)state;
    GROUPS("shape-4x4x4_: run1.nii* run3.nii\nshape-4x4x5_: run2.nii*\n",
           {"run1.nii", 4, 0, RUN_OK}, {"run2.nii", 5, 0, RUN_OK}, {"run3.nii", 4, 0, RUN_OK});
    GROUPS("bold_shape-4x4x4_: sub-01_task-a_bold.nii*\n"
           "cbv_: sub-01_task-a_cbv.nii*\n"
           "bold_shape-4x4x5_: sub-01_task-b_bold.nii*\n",
           {"sub-01_task-a_bold.nii", 4, 0, RUN_OK}, {"sub-01_task-a_cbv.nii", 4, 0, RUN_OK},
           {"sub-01_task-b_bold.nii", 5, 0, RUN_OK});
}

static void affine_tells_apart(void **state)
{
    (void)state;
    GROUPS("affine-1_: run1.nii* run3.nii\naffine-2_: run2.nii*\n", {"run1.nii", 4, 0, RUN_OK},
           {"run2.nii", 4, 10, RUN_OK}, {"run3.nii", 4, 0.0005, RUN_OK});
    GROUPS("shape-4x4x4_affine-1_: a.nii*\n"
           "shape-4x4x5_: b.nii*\n"
           "shape-4x4x4_affine-2_: c.nii*\n",
           {"a.nii", 4, 0, RUN_OK}, {"b.nii", 5, 0, RUN_OK}, {"c.nii", 4, 10, RUN_OK});
}

/* a ~ b and b ~ c but not a ~ c: judged by the run that opened the group */
static void nearly_equal_grids_do_not_chain(void **state)
{
    (void)state;
    GROUPS("affine-1_: run1.nii* run2.nii\naffine-2_: run3.nii*\n", {"run1.nii", 4, 0, RUN_OK},
           {"run2.nii", 4, 0.0008, RUN_OK}, {"run3.nii", 4, 0.0016, RUN_OK});
}

static void unreadable_runs_belong_to_every_group(void **state)
{
    (void)state;
    GROUPS(": sub-01_task-a_bold.nii! sub-01_task-b_bold.nii* sub-01_task-c_bold.nii\n",
           {"sub-01_task-a_bold.nii", 0, 0, RUN_ABSENT}, {"sub-01_task-b_bold.nii", 4, 0, RUN_OK},
           {"sub-01_task-c_bold.nii", 0, 0, RUN_BROKEN});
    /* two grids, and both begin with the unreadable run */
    GROUPS("shape-4x4x5_: sub-01_task-a_bold.nii! sub-01_task-b_bold.nii*\n"
           "shape-4x4x4_: sub-01_task-a_bold.nii! sub-01_task-c_bold.nii*\n",
           {"sub-01_task-a_bold.nii", 0, 0, RUN_BROKEN}, {"sub-01_task-b_bold.nii", 5, 0, RUN_OK},
           {"sub-01_task-c_bold.nii", 4, 0, RUN_OK});
}

static void unreadable_runs_alone_make_a_group(void **state)
{
    (void)state;
    GROUPS(": sub-01_task-a_bold.nii! sub-01_task-b_bold.nii\n",
           {"sub-01_task-a_bold.nii", 0, 0, RUN_ABSENT},
           {"sub-01_task-b_bold.nii", 0, 0, RUN_BROKEN});
    GROUPS("echo-1_: sub-01_task-a_echo-1_bold.nii*\n"
           "echo-2_: sub-01_task-a_echo-2_bold.nii! sub-01_task-b_echo-2_bold.nii\n",
           {"sub-01_task-a_echo-1_bold.nii", 4, 0, RUN_OK},
           {"sub-01_task-a_echo-2_bold.nii", 0, 0, RUN_BROKEN},
           {"sub-01_task-b_echo-2_bold.nii", 0, 0, RUN_BROKEN});
    /* without a grid there is no shape to name */
    GROUPS("bold_: sub-01_bold.nii!\ncbv_shape-4x4x4_: sub-01_cbv.nii*\n"
           "cbv_shape-4x4x5_: sub-01_run-1_cbv.nii*\n",
           {"sub-01_bold.nii", 0, 0, RUN_BROKEN}, {"sub-01_cbv.nii", 4, 0, RUN_OK},
           {"sub-01_run-1_cbv.nii", 5, 0, RUN_OK});
}

static void indices_are_numbers(void **state)
{
    (void)state;
    GROUPS("echo-02_: sub-01_run-2_echo-2_bold.nii* sub-01_run-10_echo-02_bold.nii\n"
           "echo-10_: sub-01_run-10_echo-10_bold.nii*\n",
           {"sub-01_run-10_echo-02_bold.nii", 4, 0, RUN_OK},
           {"sub-01_run-10_echo-10_bold.nii", 4, 0, RUN_OK},
           {"sub-01_run-2_echo-2_bold.nii", 4, 0, RUN_OK});
    GROUPS("refused : sub-01_run-01_bold.nii* sub-01_run-1_bold.nii sub-01_run-2_bold.nii\n",
           {"sub-01_run-01_bold.nii", 4, 0, RUN_OK}, {"sub-01_run-1_bold.nii", 4, 0, RUN_OK},
           {"sub-01_run-2_bold.nii", 4, 0, RUN_OK});
}

/* A bad label does not make one thing of echoes, parts or conditions. */
static void nearly_bids_names_keep_their_entities(void **state)
{
    (void)state;
    GROUPS("echo-1_: sub-01_task-n-back_echo-1_bold.nii* sub-01_task-rest_echo-1_bold.nii\n"
           "echo-2_: sub-01_task-n-back_echo-2_bold.nii*\n",
           {"sub-01_task-n-back_echo-1_bold.nii", 4, 0, RUN_OK},
           {"sub-01_task-n-back_echo-2_bold.nii", 4, 0, RUN_OK},
           {"sub-01_task-rest_echo-1_bold.nii", 4, 0, RUN_OK});
    GROUPS("closed_: sub-01_task-eyes_closed_bold.nii*\n"
           "open_: sub-01_task-eyes_open_run-1_bold.nii* sub-01_task-eyes_open_run-2_bold.nii\n",
           {"sub-01_task-eyes_closed_bold.nii", 4, 0, RUN_OK},
           {"sub-01_task-eyes_open_run-1_bold.nii", 4, 0, RUN_OK},
           {"sub-01_task-eyes_open_run-2_bold.nii", 4, 0, RUN_OK});
}

/* Without BIDS names only what differs in nothing but a run number is one thing. */
static void only_equals_are_joined(void **state)
{
    static const struct spec stages[] = {{"afunc.nii", 4, 0, RUN_OK},
                                         {"func.nii", 4, 0, RUN_OK},
                                         {"rafunc.nii", 4, 0, RUN_OK},
                                         {"wrafunc.nii", 5, 0, RUN_OK}};

    (void)state;
    assert_groups(stages, 4, false,
                  "shape-4x4x5_: wrafunc.nii*\n"
                  "apart shape-4x4x4_: afunc.nii* func.nii rafunc.nii\n");
    assert_groups(stages, 4, true,
                  "shape-4x4x4_: afunc.nii* func.nii rafunc.nii\n"
                  "shape-4x4x5_: wrafunc.nii*\n");
    GROUPS("echo-1_: rest_run1_e1.nii* rest_run2_e1.nii\necho-2_: rest_run1_e2.nii*\n",
           {"rest_run1_e1.nii", 4, 0, RUN_OK}, {"rest_run1_e2.nii", 4, 0, RUN_OK},
           {"rest_run2_e1.nii", 4, 0, RUN_OK});
    GROUPS("apart : beta_1.nii* beta_2.nii\n", {"beta_1.nii", 4, 0, RUN_OK},
           {"beta_2.nii", 4, 0, RUN_OK});
    GROUPS("apart : func_1.nii* func_2.nii rfunc_1.nii\n", {"func_1.nii", 4, 0, RUN_OK},
           {"func_2.nii", 4, 0, RUN_OK}, {"rfunc_1.nii", 4, 0, RUN_OK});
    GROUPS("refused : run01.nii* run1.nii\n", {"run01.nii", 4, 0, RUN_OK},
           {"run1.nii", 4, 0, RUN_OK});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_runs_no_groups),
        cmocka_unit_test(one_session_is_one_group),
        cmocka_unit_test(differing_entities_are_the_prefix),
        cmocka_unit_test(suffix_tells_apart),
        cmocka_unit_test(shape_tells_apart),
        cmocka_unit_test(affine_tells_apart),
        cmocka_unit_test(nearly_equal_grids_do_not_chain),
        cmocka_unit_test(indices_are_numbers),
        cmocka_unit_test(nearly_bids_names_keep_their_entities),
        cmocka_unit_test(only_equals_are_joined),
        cmocka_unit_test(unreadable_runs_belong_to_every_group),
        cmocka_unit_test(unreadable_runs_alone_make_a_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
