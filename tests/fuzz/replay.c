/* SPDX-License-Identifier: MIT
 *
 * Feed files to a fuzz target, without libFuzzer: those of the corpus, or one that crashed it.
 */
#include <dirent.h>

#include "fuzz.h"

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "re");
    struct stat st;

    printf("%s\n", path); /* so that a crash has its input's name before it */
    fflush(stdout);
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &st), 0);
    size_t nbytes = (size_t)st.st_size;
    uint8_t *data = malloc(nbytes > 0 ? nbytes : 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, nbytes, file), nbytes);
    assert_int_equal(LLVMFuzzerTestOneInput(data, nbytes), 0);
    free(data);
    fclose(file);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Returns how many files there are at `path`, a file or a directory of files. */
static size_t replay(const char *path)
{
    struct dirent **entries;
    int n = scandir(path, &entries, is_visible, alphasort);

    if (n < 0 && errno == ENOTDIR) {
        replay_file(path);
        return 1;
    }
    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        char *file;
        assert_true(asprintf(&file, "%s/%s", path, entries[i]->d_name) > 0);
        replay_file(file);
        free(file);
        free(entries[i]);
    }
    free(entries);
    return (size_t)n;
}

int main(int argc, char **argv)
{
    size_t n = 0;

    setenv("CMOCKA_TEST_ABORT", "1", 1); /* assertions outside of a cmocka test then abort */
    for (int i = 1; i < argc; i++)
        n += replay(argv[i]);
    printf("%zu inputs\n", n);
    return n > 0 ? 0 : 1;
}
