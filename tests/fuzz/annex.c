/* SPDX-License-Identifier: MIT
 *
 * git-annex keys and pointers: a text as an object's path, as a pointer file and as a link's target.
 * A key that is found is part of the text, and its size is written in it.
 */
#include <fcntl.h>

#include "annex.h"
#include "fuzz.h"
#include "scratch.h"

static struct scratch scratch;
static int root = -1;

static void remove_scratch(void)
{
    scratch_remove(&scratch);
}

static void make_scratch(void)
{
    scratch_make(&scratch);
    atexit(remove_scratch);
    scratch_mkdir(&scratch, ".git");
    scratch_mkdir(&scratch, "sub");
    root = open(scratch.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(root >= 0);
}

static void check_key(const char *text, const struct annex_key *key)
{
    char size[32];

    assert_true(key->text[0] != '\0' && strstr(text, key->text));
    assert_non_null(strstr(key->text, "--"));
    assert_true(key->size >= -1);
    snprintf(size, sizeof size, "%lld", (long long)key->size);
    if (key->size >= 0)
        assert_non_null(strstr(key->text, size));
}

static void check_place(const char *text)
{
    struct annex_key key;
    int64_t nbytes = -2;
    mode_t mode = annex_object_place(text, &nbytes);

    assert_true(mode == 0 || mode == S_IFDIR || (mode == S_IFREG && nbytes >= -1));
    if (annex_key_of_object(text, &key)) {
        check_key(text, &key);
        assert_string_equal(strrchr(text, '/') + 1, key.text);
    }
}

/* The file sub/run, which has the text or points to it. */
static void check_file(const char *text)
{
    struct annex_content content = {0};
    struct error err = {0};
    int ret = annex_find_absent(root, "sub/run", &content, &err);

    if (ret == 0) {
        check_key(text, &content.key);
        assert_true(content.path && content.dir);
        annex_content_clear(&content);
    }
    assert_true(ret == 0 || err.text[0] != '\0' || ret == -ENOENT);
    enum annex_absence absence;
    assert_true(annex_explain_absence(root, "sub/run", &absence) <= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    char *text = fuzz_text(data, nbytes);

    if (root < 0)
        make_scratch();
    check_place(text);
    scratch_write(&scratch, "sub/run", data, nbytes);
    check_file(text);
    scratch_unlink(&scratch, "sub/run");
    if (symlink(text, scratch_at(&scratch, "sub/run")) == 0) { /* not "", nor too long */
        check_file(text);
        scratch_unlink(&scratch, "sub/run");
    }
    free(text);
    return 0;
}
