/* SPDX-License-Identifier: MIT
 *
 * Identifying sources: links, git-annex, and everything that is no file to read.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "scratch.h"
#include "source.h"

#define HASH_KEY "SHA256E-s7--0123456789abcdef.nii.gz"
#define WORM_KEY "WORM-s7-m1700000000--bold.nii.gz"
#define OBJECTS ".git/annex/objects/"

static struct scratch dir; /* the dataset is "ds" in it, so that something lies outside */
static int rootfd;

static int setup(void **state)
{
    (void)state;
    scratch_make(&dir);
    scratch_mkdir(&dir, "ds");
    scratch_mkdir(&dir, "ds/sub");
    rootfd = open(scratch_at(&dir, "ds"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    return rootfd < 0;
}

static int teardown(void **state)
{
    (void)state;
    scratch_remove(&dir);
    return close(rootfd);
}

/* Put the object of `key` into the dataset's annex: seven bytes, unless told otherwise. */
static void annex_object(const char *key, const char *content)
{
    static const char *const dirs[] = {"ds/.git", "ds/.git/annex", "ds/.git/annex/objects"};
    char path[256];

    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++)
        if (access(scratch_at(&dir, dirs[i]), F_OK) != 0)
            scratch_mkdir(&dir, dirs[i]);
    snprintf(path, sizeof path, "ds/" OBJECTS "%s", key);
    if (access(scratch_at(&dir, path), F_OK) != 0)
        scratch_mkdir(&dir, path);
    snprintf(path, sizeof path, "ds/" OBJECTS "%s/%s", key, key);
    scratch_text(&dir, path, content);
}

static struct source_id identified(const char *path)
{
    struct source_id id;
    struct error err;

    if (source_identify(rootfd, -1, path, &id, &err) < 0)
        fail_msg("%s", err.text);
    return id;
}

static void fails(const char *path, int code, const char *why)
{
    struct source_id id;
    struct source *s;
    struct error err = {0};

    assert_int_equal(source_identify(rootfd, -1, path, &id, &err), -code);
    assert_int_equal(err.code, code);
    assert_memory_equal(err.text, path, strlen(path));
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
    assert_int_equal(source_open(rootfd, path, NULL, &s, &err), -code);
}

static struct key key_of(const struct source_id *id)
{
    struct key_builder *b = key_begin("test", 1);
    struct key key;

    assert_non_null(b);
    source_id_add_to_key(id, b);
    key_end(b, &key);
    return key;
}

static void a_file_is_told_by_its_inode(void **state)
{
    struct stat st;
    struct key key, other;

    (void)state;
    scratch_text(&dir, "ds/plain", "content");
    scratch_set_mtime(&dir, "ds/plain", 1000);
    assert_int_equal(stat(scratch_at(&dir, "ds/plain"), &st), 0);
    struct source_id id = identified("plain"), again = identified("plain");
    assert_int_equal(id.ino, st.st_ino);
    assert_true(id.fs.hex[0] && id.lasting); /* $TMPDIR is on a file system with real times */
    assert_int_equal(id.size, 7);
    assert_int_equal(id.mtime_ns, 1000000000000);
    assert_int_equal(id.ctime_ns, st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec);
    assert_int_equal(id.mode, st.st_mode);
    assert_int_equal(id.uid, st.st_uid);
    assert_int_equal(id.gid, st.st_gid);
    assert_string_equal(id.annex_key, "");
    assert_true(source_id_equal(&id, &again));

    scratch_set_mtime(&dir, "ds/plain", 1001);
    again = identified("plain");
    assert_false(source_id_equal(&id, &again));
    key = key_of(&id);
    other = key_of(&again);
    assert_false(key_equal(&key, &other));

    scratch_text(&dir, "ds/new", "content");
    scratch_set_mtime(&dir, "ds/new", 1001);
    scratch_rename(&dir, "ds/new", "ds/plain");
    id = identified("plain");
    assert_false(source_id_equal(&id, &again));
}

static void each_field_counts(void **state)
{
    static const struct source_id base = {
        .fs = {"1"}, .ino = 2, .size = 3, .mtime_ns = 4, .ctime_ns = 5, .mode = S_IFREG | 0444};
    struct key base_key = key_of(&base), key;

    (void)state;
    for (int field = 0; field < 5; field++) {
        struct source_id id = base;
        id.fs.hex[0] = field == 0 ? '2' : id.fs.hex[0];
        id.ino += field == 1;
        id.size += field == 2;
        id.mtime_ns += field == 3;
        id.ctime_ns += field == 4;
        assert_false(source_id_equal(&base, &id));
        key = key_of(&id);
        assert_false(key_equal(&key, &base_key));
    }
}

static void what_is_no_file(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    alarm(20); /* a FIFO that blocks ends the test */
    fails("nowhere", ENOENT, "no such file");
    fails("sub/nowhere", ENOENT, "no such file");
    fails("sub", EISDIR, "is a directory");
    scratch_text(&dir, "ds/flat", "");
    fails("flat/x", ENOTDIR, "cannot open: Not a directory");

    assert_int_equal(mkfifo(scratch_at(&dir, "ds/fifo.nii"), 0644), 0);
    fails("fifo.nii", EINVAL, "not a regular file");
    assert_true(sock >= 0);
    assert_int_equal(fchdir(rootfd), 0);
    strcpy(address.sun_path, "socket");
    assert_int_equal(bind(sock, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(close(sock), 0);
    fails("socket", EINVAL, "not a regular file");
    alarm(0);
}

static void unreadable_files(void **state)
{
    uid_t me = geteuid();

    (void)state;
    scratch_text(&dir, "ds/secret", "x");
    assert_int_equal(chmod(scratch_at(&dir, "ds/secret"), 0), 0);
    assert_int_equal(chmod(dir.path, 0755), 0);
    if (me == 0) /* root may read everything */
        assert_int_equal(seteuid(65534), 0);
    fails("secret", EACCES, "cannot open: Permission denied");
    if (me == 0)
        assert_int_equal(seteuid(0), 0);
}

static void links_stay_inside(void **state)
{
    (void)state;
    scratch_text(&dir, "outside", "x");
    scratch_text(&dir, "ds/inside", "x");
    scratch_link(&dir, "../inside", "ds/sub/good");
    scratch_link(&dir, "../../outside", "ds/sub/relative");
    scratch_link(&dir, scratch_at(&dir, "ds/inside"), "ds/absolute");
    scratch_link(&dir, "/proc/self/exe", "ds/magic");
    scratch_link(&dir, "circle", "ds/circle");
    scratch_link(&dir, "not/there", "ds/dangling");
    scratch_link(&dir, "../dangling", "ds/sub/chain");

    assert_int_equal(identified("sub/good").ino, identified("inside").ino);
    fails("sub/relative", EXDEV, "a link leads out of the dataset");
    fails("absolute", EXDEV, "a link leads out of the dataset");
    fails("magic", EXDEV, "a link leads out of the dataset");
    fails("../outside", EXDEV, "leads out of the dataset");
    fails("circle", ELOOP, "too many levels of links");
    fails("dangling", ENOENT, "the link's target does not exist");
    fails("sub/chain", ENOENT, "the link's target does not exist");
}

static void an_annex_key_is_noted_and_proves_nothing(void **state)
{
    (void)state;
    annex_object(HASH_KEY, "content");
    scratch_link(&dir, "../" OBJECTS HASH_KEY "/" HASH_KEY, "ds/sub/annexed");
    scratch_link(&dir, "sub", "ds/dirlink");
    struct source_id id = identified("sub/annexed");
    assert_string_equal(id.annex_key, HASH_KEY);
    assert_string_equal(identified("dirlink/annexed").annex_key, HASH_KEY);

    /* fetched again: another inode, another time, the same bytes */
    annex_object(HASH_KEY "x", "content");
    scratch_rename(&dir, "ds/" OBJECTS HASH_KEY "x/" HASH_KEY "x",
                   "ds/" OBJECTS HASH_KEY "/" HASH_KEY);
    struct source_id again = identified("sub/annexed");
    assert_int_not_equal(id.ino, again.ino);
    assert_string_equal(again.annex_key, HASH_KEY);
    assert_false(source_id_equal(&id, &again));
    struct key key = key_of(&id), other = key_of(&again);
    assert_false(key_equal(&key, &other));
}

static void linked_to_while_reading(void **state)
{
    char bytes[7];
    struct source *s;
    struct error err = {0};

    (void)state;
    annex_object(HASH_KEY, "content");
    scratch_link(&dir, OBJECTS HASH_KEY "/" HASH_KEY, "ds/refetched");
    assert_int_equal(source_open(rootfd, "refetched", NULL, &s, &err), 0);
    assert_int_equal(source_read(s, bytes, sizeof bytes, &err), 0);
    assert_int_equal(
        link(scratch_at(&dir, "ds/" OBJECTS HASH_KEY "/" HASH_KEY), scratch_at(&dir, "clone")),
        0); /* another clone shares it: its new ctime might be that of a new content */
    assert_int_equal(source_finish(s, &err), -ESTALE);
    source_close(s);
}

static void keys_that_are_no_hash(void **state)
{
    static const char *const keys[] = {WORM_KEY, "URL--http&c%%x%y", "XSHA1-s7--abc"};

    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char path[256];
        annex_object(keys[i], "content");
        snprintf(path, sizeof path, OBJECTS "%s/%s", keys[i], keys[i]);
        assert_string_equal(identified(path).annex_key, "");
    }
    annex_object("MD5E-s7--abc.nii", "content");
    assert_string_equal(identified(OBJECTS "MD5E-s7--abc.nii/MD5E-s7--abc.nii").annex_key,
                        "MD5E-s7--abc.nii");
    annex_object("SHA1--abc", "any length");
    assert_string_equal(identified(OBJECTS "SHA1--abc/SHA1--abc").annex_key, "SHA1--abc");

    /* named like keys, but at places that are no annex's, or not well formed */
    scratch_text(&dir, "ds/" HASH_KEY, "content");
    assert_string_equal(identified(HASH_KEY).annex_key, "");
    annex_object("SHA1-sX--abc", "content");
    assert_string_equal(identified(OBJECTS "SHA1-sX--abc/SHA1-sX--abc").annex_key, "");
    scratch_text(&dir, "ds/" OBJECTS "SHA1-s7--flat", "content");
    assert_string_equal(identified(OBJECTS "SHA1-s7--flat").annex_key, "");
}

static void corrupt_annex_objects(void **state)
{
    (void)state;
    annex_object("SHA256-s8--corrupt", "content");
    fails(OBJECTS "SHA256-s8--corrupt/SHA256-s8--corrupt", EIO,
          "corrupt git-annex object: 7 bytes, its key says 8");
    annex_object("SHA256-s99999999999999999999--x", "content"); /* a number beyond int64 */
    assert_string_equal(
        identified(OBJECTS "SHA256-s99999999999999999999--x/SHA256-s99999999999999999999--x")
            .annex_key,
        "");
}

static void absent_annex_content(void **state)
{
    (void)state;
    scratch_link(&dir, "../" OBJECTS "xx/yy/SHA1-s1--gone/SHA1-s1--gone", "ds/sub/gone.nii");
    scratch_link(&dir, "sub/gone.nii", "ds/chained.nii");
    scratch_link(&dir, "sub", "ds/through");
    fails("sub/gone.nii", ENODATA, "content is not here (git annex get sub/gone.nii)");
    fails("chained.nii", ENODATA, "content is not here");
    fails("through/gone.nii", ENODATA, "content is not here");

    scratch_text(&dir, "ds/pointer.nii", "/annex/objects/SHA1-s1--gone\n");
    fails("pointer.nii", ENODATA, "content is not here (git annex get pointer.nii)");
    scratch_text(&dir, "ds/nearly.nii", "/annex/object");
    assert_int_equal(identified("nearly.nii").size, 13);
    scratch_text(&dir, "ds/similar.nii", "/annex/objectX/SHA1-s1--gone\n");
    assert_int_equal(identified("similar.nii").size, 29);

    char large[32 * 1024] = "/annex/objects/"; /* larger than git-annex takes for a pointer */
    scratch_write(&dir, "ds/large.nii", large, sizeof large);
    assert_int_equal(identified("large.nii").size, sizeof large);
    scratch_write(&dir, "ds/large.nii", large, sizeof large - 1);
    fails("large.nii", ENODATA, "content is not here");
}

/* None of all this has left a descriptor open. */
static void nothing_is_leaked(void **state)
{
    int before = dup(rootfd);
    struct source_id id;
    struct source *s;

    (void)state;
    assert_int_equal(close(before), 0);
    assert_int_equal(source_identify(rootfd, -1, "sub", &id, NULL), -EISDIR);
    assert_int_equal(source_identify(rootfd, -1, "sub/gone.nii", &id, NULL), -ENODATA);
    assert_int_equal(source_identify(rootfd, -1, "pointer.nii", &id, NULL), -ENODATA);
    assert_int_equal(source_identify(rootfd, -1, "inside", &id, NULL), 0);
    id.ino++;
    assert_int_equal(
        source_open(rootfd, "inside", &(struct source_options){.expect = &id}, &s, NULL), -ESTALE);
    int after = dup(rootfd);
    assert_int_equal(after, before);
    assert_int_equal(close(after), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_told_by_its_inode),
        cmocka_unit_test(each_field_counts),
        cmocka_unit_test(what_is_no_file),
        cmocka_unit_test(unreadable_files),
        cmocka_unit_test(links_stay_inside),
        cmocka_unit_test(an_annex_key_is_noted_and_proves_nothing),
        cmocka_unit_test(linked_to_while_reading),
        cmocka_unit_test(keys_that_are_no_hash),
        cmocka_unit_test(corrupt_annex_objects),
        cmocka_unit_test(absent_annex_content),
        cmocka_unit_test(nothing_is_leaked),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
