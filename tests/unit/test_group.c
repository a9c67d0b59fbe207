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
 * group's first has a "*" after it, one that is its bad run a "!". */
static void assert_groups(const struct spec *specs, size_t n, const char *expected)
{
    struct run *runs[SPECS_MAX];
    for (size_t i = 0; i < n; i++)
        runs[i] = make_run(&specs[i]);
    struct group *groups;
    size_t ngroups;
    struct error err = {0};
    assert_int_equal(groups_form(runs, n, &groups, &ngroups, &err), 0);

    char text[4096] = "";
    for (size_t g = 0; g < ngroups; g++) {
        sprintf(text + strlen(text), "%s:", groups[g].prefix);
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
        assert_groups(specs, sizeof specs / sizeof *specs, expected);                              \
    } while (0)

static void no_runs_no_groups(void **state)
{
    (void)state;
    struct group *groups = (struct group *)1;
    size_t ngroups = 1;
    struct error err = {0};
    assert_int_equal(groups_form(NULL, 0, &groups, &ngroups, &err), 0);
    assert_null(groups);
    assert_int_equal(ngroups, 0);
    groups_free(groups, ngroups);
}

static void one_session_is_one_group(void **state)
{
    (void)state;
    GROUPS(": sub-01_task-a_bold.nii* sub-01_task-b_run-1_bold.nii sub-01_task-b_run-2_bold.nii\n",
           {"sub-01_task-a_bold.nii", 4, 0, RUN_OK}, {"sub-01_task-b_run-1_bold.nii", 4, 0, RUN_OK},
           {"sub-01_task-b_run-2_bold.nii", 4, 0, RUN_OK});
    GROUPS(": a.nii* b.nii.gz\n", {"a.nii", 4, 0, RUN_OK}, {"b.nii.gz", 4, 0, RUN_OK});
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
    GROUPS("shape-4x4x4_: a.nii* c.nii\nshape-4x4x5_: b.nii*\n", {"a.nii", 4, 0, RUN_OK},
           {"b.nii", 5, 0, RUN_OK}, {"c.nii", 4, 0, RUN_OK});
    GROUPS("bold_shape-4x4x4_: sub-01_task-a_bold.nii*\n"
           "cbv_: sub-01_task-a_cbv.nii*\n"
           "bold_shape-4x4x5_: sub-01_task-b_bold.nii*\n",
           {"sub-01_task-a_bold.nii", 4, 0, RUN_OK}, {"sub-01_task-a_cbv.nii", 4, 0, RUN_OK},
           {"sub-01_task-b_bold.nii", 5, 0, RUN_OK});
}

static void affine_tells_apart(void **state)
{
    (void)state;
    GROUPS("affine-1_: a.nii* c.nii\naffine-2_: b.nii*\n", {"a.nii", 4, 0, RUN_OK},
           {"b.nii", 4, 10, RUN_OK}, {"c.nii", 4, 0.0005, RUN_OK});
    GROUPS("shape-4x4x4_affine-1_: a.nii*\n"
           "shape-4x4x5_: b.nii*\n"
           "shape-4x4x4_affine-2_: c.nii*\n",
           {"a.nii", 4, 0, RUN_OK}, {"b.nii", 5, 0, RUN_OK}, {"c.nii", 4, 10, RUN_OK});
}

/* a ~ b and b ~ c but not a ~ c: judged by the run that opened the group */
static void nearly_equal_grids_do_not_chain(void **state)
{
    (void)state;
    GROUPS("affine-1_: a.nii* b.nii\naffine-2_: c.nii*\n", {"a.nii", 4, 0, RUN_OK},
           {"b.nii", 4, 0.0008, RUN_OK}, {"c.nii", 4, 0.0016, RUN_OK});
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
        cmocka_unit_test(unreadable_runs_belong_to_every_group),
        cmocka_unit_test(unreadable_runs_alone_make_a_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
