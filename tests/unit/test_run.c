/* SPDX-License-Identifier: MIT
 *
 * Runs: what a file in the dataset is taken for, and the sentence where it is broken.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "images.h"
#include "root.h"
#include "run.h"

static void (*before_read)(
    void); /* called once, before the pread(2) that follows `nskipped` more */
static int nskipped;

ssize_t pread(int fd, void *buf, size_t nbytes, off_t off)
{
    void (*hook)(void) = nskipped == 0 ? before_read : NULL;

    if (before_read && nskipped > 0)
        nskipped--;
    if (hook) {
        before_read = NULL;
        hook();
    }
    return syscall(SYS_pread64, fd, buf, nbytes, off);
}

/* Write a file of `nbytes` that starts with `header`; the rest is zero. */
static void write_image(const char *name, const void *header, size_t header_nbytes, size_t nbytes)
{
    unsigned char *file = calloc(1, nbytes);

    assert_non_null(file);
    memcpy(file, header, header_nbytes < nbytes ? header_nbytes : nbytes);
    scratch_write(&dir, name, file, nbytes);
    free(file);
}

static void write_gzip(const char *name, const void *bytes, size_t nbytes)
{
    unsigned char stored[4096];

    scratch_write(&dir, name, stored, image_gzip(bytes, nbytes, stored, sizeof stored));
}

static struct run *probe(const char *path, enum run_state want)
{
    struct run *run = run_probe(rootfd, -1, path, NULL, NULL);

    assert_non_null(run);
    assert_string_equal(run->path, path);
    if (run->state != want)
        fail_msg("%s: state %d: %s", path, run->state, run->error.text);
    assert_true(run_is_current(rootfd, -1, run));
    return run;
}

static void is(const char *path, enum run_state want)
{
    run_put(probe(path, want));
}

static void broken(const char *path, int code, const char *why)
{
    struct run *run = probe(path, RUN_BROKEN);

    assert_int_equal(run->error.code, code);
    assert_memory_equal(run->error.text, path, strlen(path));
    if (!strstr(run->error.text, why))
        fail_msg("\"%s\" does not say \"%s\"", run->error.text, why);
    run_put(run);
}

static void runs(void **state)
{
    nifti_1_header n1 = image_n1(), swapped1 = n1;
    nifti_2_header n2 = image_n2();

    (void)state;
    nifti_swap_as_nifti1(&swapped1);
    write_image("plain.nii", &n1, sizeof n1, IMAGE_NBYTES);
    write_image("swapped.nii", &swapped1, sizeof swapped1, IMAGE_NBYTES);
    write_image("two.nii", &n2, sizeof n2, IMAGE_NBYTES + 192);
    write_gzip("packed.nii.gz", &n1, sizeof n1);
    is("swapped.nii", RUN_OK);
    is("two.nii", RUN_OK);
    is("packed.nii.gz", RUN_OK); /* how long it is will show when it is read */

    struct run *run = probe("plain.nii", RUN_OK);
    assert_int_equal(run->nifti.nvol, 5);
    assert_int_equal(run->id.size, IMAGE_NBYTES);
    assert_int_equal(run->error.code, 0);
    run_put(run);
}

static void rewrite(void)
{
    nifti_1_header n1 = image_n1();

    n1.dim[4] = 4;
    write_image("rewritten.nii", &n1, sizeof n1, IMAGE_NBYTES + 1);
}

/* Into the same file, while its header is read: that must not be taken for the old version's. */
static void header_and_identity_are_of_one_version(void **state)
{
    nifti_1_header n1 = image_n1();

    (void)state;
    write_image("rewritten.nii", &n1, sizeof n1, IMAGE_NBYTES);
    before_read = rewrite;
    nskipped = 3; /* is it a pointer of git-annex, twice; which codec */

    struct run *run = probe("rewritten.nii", RUN_OK);
    assert_null(before_read);
    assert_int_equal(run->nifti.nvol, 4);
    run_put(run);
}

static void no_runs(void **state)
{
    nifti_1_header n1 = image_n1();

    (void)state;
    n1.dim[0] = 3;
    write_image("anat.nii", &n1, sizeof n1, IMAGE_NBYTES);
    n1 = image_n1();
    n1.dim[4] = 1;
    write_image("one.nii", &n1, sizeof n1, IMAGE_NBYTES);
    n1 = image_n1();
    n1.datatype = DT_COMPLEX64;
    n1.bitpix = 64;
    write_image("complex.nii", &n1, sizeof n1, 2000);
    n1.datatype = DT_RGB24;
    n1.bitpix = 24;
    write_image("rgb.nii", &n1, sizeof n1, 2000);
    scratch_mkdir(&dir, "directory.nii.gz");
    is("anat.nii", RUN_NOT);
    is("one.nii", RUN_NOT);
    is("complex.nii", RUN_NOT);
    is("rgb.nii", RUN_NOT);
    is("directory.nii.gz", RUN_NOT);
}

static void broken_runs(void **state)
{
    nifti_1_header n1 = image_n1();

    (void)state;
    scratch_write(&dir, "zero.nii", "", 0);
    write_gzip("zero.nii.gz", "", 0);
    write_gzip("cut_header.nii.gz", &n1, 100);
    scratch_text(&dir, "garbage.nii.gz", "This is a text file with nothing in it.");
    write_image("short.nii", &n1, sizeof n1, IMAGE_NBYTES - 1);
    n1.vox_offset = 1e6F;
    write_image("offset.nii", &n1, sizeof n1, IMAGE_NBYTES);
    n1 = image_n1();
    n1.dim[3] = -2;
    write_image("negative.nii", &n1, sizeof n1, IMAGE_NBYTES);
    scratch_write(&dir, "magic_only.nii.gz", "\x1f\x8b", 2);
    scratch_link(&dir, "no/such/file", "dangling.nii.gz");
    assert_int_equal(mkfifo(scratch_at(&dir, "fifo.nii"), 0644), 0);

    scratch_text(&dir, "lfs.nii.gz",
                 "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n");
    scratch_text(&dir, "text.nii.gz", "../../.git/annex/objects/a/b/MD5E-s9--x/MD5E-s9--x");
    broken("lfs.nii.gz", EIO, "a Git LFS pointer: its content is not here (git lfs pull)");
    broken("text.nii.gz", EIO, "a link of git-annex that became a text");
    broken("zero.nii", EIO, "the file is empty");
    broken("zero.nii.gz", EIO, "the file is empty");
    broken("cut_header.nii.gz", EIO, "100 bytes are too few for a header");
    broken("garbage.nii.gz", EIO, "not NIfTI");
    broken("short.nii", EIO, "the file has 591 bytes, its header promises 592");
    broken("offset.nii", EIO, "the file has 592 bytes, its header promises 1000240");
    broken("negative.nii", EIO, "dimension 3 is -2");
    broken("magic_only.nii.gz", EIO, "gzip data ends early");
    broken("dangling.nii.gz", ENOENT, "the link's target does not exist");
    broken("fifo.nii", EINVAL, "not a regular file");
    broken("missing.nii", ENOENT, "no such file");
}

static void absent_runs(void **state)
{
    struct run *run;

    (void)state;
    scratch_link(&dir, ".git/annex/objects/a/b/SHA1-s9--x/SHA1-s9--x", "locked.nii.gz");
    scratch_text(&dir, "unlocked.nii.gz", "/annex/objects/SHA1-s9--x\n");
    is("locked.nii.gz", RUN_ABSENT);
    run = probe("unlocked.nii.gz", RUN_ABSENT);
    assert_int_equal(run->error.code, ENODATA);
    assert_string_equal(run->error.text, "unlocked.nii.gz: content is not here "
                                         "(git annex get unlocked.nii.gz)");

    /* it arrives */
    nifti_1_header n1 = image_n1();
    write_gzip("unlocked.nii.gz", &n1, sizeof n1);
    assert_false(run_is_current(rootfd, -1, run));
    run_put(run);
    is("unlocked.nii.gz", RUN_OK);
}

static void noticing_changes(void **state)
{
    nifti_1_header n1 = image_n1();
    struct run *run;

    (void)state;
    write_image("r.nii", &n1, sizeof n1, IMAGE_NBYTES);
    scratch_set_mtime(&dir, "r.nii", 1000);
    run = probe("r.nii", RUN_OK);
    scratch_set_mtime(&dir, "r.nii", 2000);
    assert_false(run_is_current(rootfd, -1, run));
    run_put(run);

    run = probe("r.nii", RUN_OK);
    scratch_unlink(&dir, "r.nii");
    assert_false(run_is_current(rootfd, -1, run));
    run_put(run);

    run = probe("r.nii", RUN_BROKEN); /* missing, until it is there again */
    write_image("r.nii", &n1, sizeof n1, 400);
    assert_false(run_is_current(rootfd, -1, run));
    run_put(run);

    run = probe("r.nii", RUN_BROKEN); /* too short, until it is repaired */
    write_image("r.nii", &n1, sizeof n1, IMAGE_NBYTES);
    assert_false(run_is_current(rootfd, -1, run));
    run_put(run);
    is("r.nii", RUN_OK);
}

/* The same inode under a name of its own, where its attributes tell what it is, and through a link
 * into the annex, where its key does: what is known of the one must not be taken for the other. */
static void hard_link_of_an_object(void **state)
{
    static const char key[] = "SHA256E-s4000--ab.nii",
                      target[] = ".git/annex/objects/X/1/SHA256E-s4000--ab.nii";
    nifti_1_header h = image_n1();
    struct header_bytes header = {.codec = &codec_plain, .nbytes = sizeof h};
    struct header_page *page = header_page_open(dir.path, &(struct key){"here"}, 1);
    char object[128];
    struct source_id id;
    struct source *s;
    struct error err;

    (void)state;
    scratch_mkdir(&dir, ".git");
    scratch_mkdir(&dir, ".git/annex");
    scratch_mkdir(&dir, ".git/annex/objects");
    scratch_mkdir(&dir, ".git/annex/objects/X");
    scratch_mkdir(&dir, ".git/annex/objects/X/1");
    scratch_mkdir(&dir, target);
    snprintf(object, sizeof object, "%s/%s", target, key);
    write_image(object, &h, sizeof h, 4000);
    assert_int_equal(link(scratch_at(&dir, object), scratch_at(&dir, "own.nii")), 0);
    assert_int_equal(symlink(object, scratch_at(&dir, "linked.nii")), 0);
    memcpy(header.bytes, &h, sizeof h);
    assert_int_equal(source_identify(rootfd, -1, "own.nii", &id, &err), 0);
    header_page_add(page, &id, &header);

    const char *names[] = {"own.nii", "linked.nii", "linked.nii"};
    for (size_t i = 0; i < 3; i++) {
        struct run *run = run_probe(rootfd, -1, names[i], page, NULL);

        assert_string_equal(run->id.annex_key, i > 0 ? key : "");
        assert_int_equal(
            source_open(rootfd, names[i], &(struct source_options){.expect = &run->id}, &s, &err),
            0);
        source_close(s);
        run_put(run);
    }
    header_page_close(page, 0);
}

/* Which would hold whoever lists the directory for as long as it lasts. */
static void header_behind_nothing(void **state)
{
    static unsigned char stored[4 << 20] = {0x1f, 0x8b, 8};

    (void)state;
    for (size_t i = 10; i + 5 <= sizeof stored; i += 5) /* empty blocks */
        memcpy(stored + i, "\0\0\0\xff\xff", 5);
    scratch_write(&dir, "blocks.nii.gz", stored, sizeof stored);
    broken("blocks.nii.gz", EIO, "none in the first 1024 KiB");
    memset(stored, 0, sizeof stored);
    assert_int_equal(image_gzip("", 0, stored, sizeof stored), 20);
    scratch_write(&dir, "padding.nii.gz", stored, sizeof stored);
    broken("padding.nii.gz", EIO, "none in the first 1024 KiB");
}

static void references(void **state)
{
    nifti_1_header n1 = image_n1();

    (void)state;
    write_image("shared.nii", &n1, sizeof n1, IMAGE_NBYTES);
    struct run *run = probe("shared.nii", RUN_OK);
    assert_ptr_equal(run_get(run), run);
    run_put(run);
    assert_string_equal(run->path, "shared.nii");
    run_put(run);
    run_put(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs),
        cmocka_unit_test(header_and_identity_are_of_one_version),
        cmocka_unit_test(no_runs),
        cmocka_unit_test(broken_runs),
        cmocka_unit_test(absent_runs),
        cmocka_unit_test(noticing_changes),
        cmocka_unit_test(hard_link_of_an_object),
        cmocka_unit_test(header_behind_nothing),
        cmocka_unit_test(references),
    };

    return cmocka_run_group_tests(tests, open_root, close_root);
}
