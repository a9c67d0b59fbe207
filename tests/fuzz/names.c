/* SPDX-License-Identifier: MIT
 *
 * Virtual names: any text as a path in a small data set, and as a name in its directories. What is
 * found lies within the data set, and a derived file is called as it was asked for.
 *
 * The first byte chooses the layout.
 */
#include "derived.h"
#include "engine.h"
#include "fuzz.h"
#include "images.h"
#include "scratch.h"

static struct scratch scratch;
static struct engine *engines[2]; /* by enum engine_layout */
static ino_t secret_ino;          /* of a file that is not in the data set */

static const char recipes[] = "[clean]\nparam n = 0\nexpr = detrend(drop(bold, n), 2)\n"
                              "[snr-2.txt]\ncommand = cat {tsnr.nii}\n"
                              "[each]\nexpr = bold - mean(bold)\nscope = run\n";

static void remove_all(void)
{
    engine_close(engines[0]);
    engine_close(engines[1]);
    scratch_remove(&scratch);
}

static void write_run(const char *name)
{
    nifti_1_header h = image_n1();
    unsigned char bytes[IMAGE_NBYTES] = {0};

    memcpy(bytes, &h, sizeof h);
    scratch_write(&scratch, name, bytes, sizeof bytes);
}

static void make_dataset(void)
{
    struct stat st;

    scratch_make(&scratch);
    scratch_mkdir(&scratch, "data");
    scratch_mkdir(&scratch, "data/sub-01");
    scratch_mkdir(&scratch, "data/sub-01/func");
    write_run("data/sub-01/func/sub-01_task-rest_run-1_bold.nii");
    write_run("data/sub-01/func/sub-01_task-rest_run-2_bold.nii");
    scratch_text(&scratch, "data/sub-01/func/sub-01_task-rest_run-3_bold.nii", "broken");
    scratch_text(&scratch, "data/participants.tsv", "participant_id\nsub-01\n");
    scratch_text(&scratch, "recipes.ini", recipes);
    scratch_text(&scratch, "secret", "secret");
    scratch_link(&scratch, "../secret", "data/out");
    scratch_link(&scratch, "..", "data/up");
    assert_int_equal(stat(scratch_at(&scratch, "secret"), &st), 0);
    secret_ino = st.st_ino;
}

static struct engine *open_engine(enum engine_layout layout)
{
    struct engine_config config = {.dataset = scratch_at(&scratch, "data"),
                                   .cache_dir = scratch_at(&scratch, "cache"),
                                   .nthreads = 1,
                                   .memory_nbytes = 64 << 20,
                                   .recipes = scratch_at(&scratch, "recipes.ini"),
                                   .layout = layout};
    struct error err = {0};
    struct engine *e;

    if (engine_open(&config, &e, &err) < 0)
        fail_msg("%s", err.text);
    return e;
}

/* What was looked up in `dir` as `name`, or at the path `name` where `dir` is NULL. */
static void check_entry(struct engine *e, const char *dir, const char *name, int ret,
                        struct entry *entry, const struct error *err)
{
    char *dot;

    if (ret < 0) {
        assert_int_equal(err->code, -ret);
        assert_true(err->text[0] != '\0');
        return;
    }
    assert_true(entry->st.st_ino != secret_ino || entry->kind != ENTRY_SOURCE);
    if (entry->kind == ENTRY_DERIVED) {
        const char *slash = dir ? NULL : strrchr(name, '/');
        assert_string_equal(entry->derived->name, slash ? slash + 1 : name);
        (void)engine_derived_nbytes(e, entry->derived);
        if (dir && engine_dot(e, entry->derived, name, NULL, &dot, NULL) == 0)
            free(dot);
    }
    entry_clear(entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    static const char *const dirs[] = {"", "sub-01/func", "derivatives/derivfs/sub-01/func"};
    struct entry entry;
    struct error err;

    if (nbytes < 1)
        return 0;
    if (!engines[0]) {
        make_dataset();
        engines[0] = open_engine(LAYOUT_BESIDE);
        engines[1] = open_engine(LAYOUT_DERIVATIVES);
        atexit(remove_all);
    }
    struct engine *e = engines[data[0] & 1];
    char *name = fuzz_text(data + 1, nbytes - 1);
    err.code = 0;
    check_entry(e, NULL, name, engine_lookup_path(e, name, &entry, &err), &entry, &err);
    bool is_name = name[0] && !strchr(name, '/') && strcmp(name, ".") && strcmp(name, "..");
    for (size_t i = 0; is_name && i < 3; i++) {
        err.code = 0;
        check_entry(e, dirs[i], name,
                    engine_lookup(e, &(struct dir){.path = dirs[i]}, name, &entry, &err), &entry,
                    &err);
    }
    free(name);
    return 0;
}
