/* SPDX-License-Identifier: MIT
 *
 * Finding programs and running them: how they end, what they get, and that nothing is left.
 */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "program.h"
#include "scratch.h"

struct world {
    struct scratch scratch;
    struct program_dir dir; /* where programs run */
    int out;                /* takes their stdout */
};

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);

    scratch_make(&w->scratch);
    setenv("TMPDIR", w->scratch.path, 1);
    assert_int_equal(program_dir_make(&w->dir), 0);
    w->out = open(scratch_at(&w->scratch, "out"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(w->out >= 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    close(w->out);
    program_dir_remove(&w->dir);
    unsetenv("TMPDIR");
    scratch_remove(&w->scratch);
    free(w);
    return 0;
}

static bool never(const void *ctx)
{
    (void)ctx;
    return false;
}

static bool is_there(const void *ctx)
{
    return access(ctx, F_OK) == 0;
}

/* Run a script; `limits` has what differs from the usual. */
static int run_limited(struct world *w, const char *script, struct program_run limits,
                       struct error *err)
{
    char *argv[] = {"prog", "-c", (char *)script, NULL}, *env[] = {"EXTRA=1", NULL};

    limits.path = "/bin/sh";
    limits.argv = argv;
    limits.env = env;
    limits.dir = w->dir.path;
    if (limits.out_fd == 0)
        limits.out_fd = w->out;
    if (limits.timeout_s == 0)
        limits.timeout_s = 60;
    if (!limits.cancelled)
        limits.cancelled = never;
    *err = (struct error){.code = 0};
    return program_run(&limits, err);
}

static int run(struct world *w, const char *script, struct error *err)
{
    return run_limited(w, script, (struct program_run){.out_fd = 0}, err);
}

static void check_output(struct world *w, const char *script, const char *expected)
{
    char got[1024] = "";
    struct error err;

    assert_int_equal(ftruncate(w->out, 0), 0);
    assert_int_equal(lseek(w->out, 0, SEEK_SET), 0);
    if (run(w, script, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(pread(w->out, got, sizeof got - 1, 0) >= 0);
    assert_string_equal(got, expected);
}

static void test_output_and_surroundings(void **state)
{
    struct world *w = *state;
    char expected[SCRATCH_PATH_MAX];

    check_output(w, "echo hello; echo bad >&2", "hello\n");
    check_output(w, "cat; echo end", "end\n"); /* no stdin */
    check_output(w, "echo $LC_ALL $EXTRA", "C 1\n");
    snprintf(expected, sizeof expected, "%s\n%s\n", w->dir.path, w->dir.path);
    check_output(w, "pwd; echo $TMPDIR", expected);
    check_output(w, "tty -s || echo none", "none\n");
    /* its own session and group */
    check_output(w, "set -- $(cat /proc/$$/stat); [ $1 = $5 ] && [ $1 = $6 ] && echo leads",
                 "leads\n");
}

static void test_no_descriptor_is_passed_on(void **state)
{
    struct world *w = *state;
    int leaky = dup(w->out); /* not close-on-exec */

    assert_true(leaky >= 3);
    /* 3 is the directory itself; a shell with a pipeline would have ends of the pipe now and then */
    check_output(w, "exec ls /proc/self/fd", "0\n1\n2\n3\n");
    close(leaky);
}

static void test_signals_are_as_new(void **state)
{
    struct world *w = *state;
    sigset_t all, before;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    signal(SIGPIPE, SIG_IGN);
    /* of itself: a shell that waits for sed blocks all of them now and then */
    check_output(w, "exec sed -n 's/^Sig\\(Blk\\|Ign\\):\\t*//p' /proc/self/status",
                 "0000000000000000\n0000000000000000\n");
    signal(SIGPIPE, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

static void check_failure(struct world *w, const char *script, const char *expected)
{
    struct error err;

    assert_int_equal(run(w, script, &err), -EIO);
    assert_string_equal(err.text, expected);
}

static void test_failures_are_told(void **state)
{
    struct world *w = *state;

    check_failure(w, "exit 3", "prog ended with status 3");
    check_failure(w, "echo one >&2; echo two >&2; exit 1", "prog ended with status 1: one / two");
    check_failure(w, "for i in 1 2 3 4 5 6 7; do echo $i >&2; done; exit 1",
                  "prog ended with status 1: 3 / 4 / 5 / 6 / 7");
    check_failure(w, "kill -SEGV $$", "prog was ended by signal 11 (Segmentation fault)");
}

static void test_only_the_tail_of_much_stderr_is_kept(void **state)
{
    struct world *w = *state;
    struct error err;

    assert_int_equal(
        run(w, "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo; echo last >&2; exit 1", &err),
        -EIO);
    assert_non_null(strstr(err.text, "xlast"));
    assert_true(strlen(err.text) < 700);
}

static void test_stdout_may_join_stderr(void **state)
{
    struct world *w = *state;
    struct error err;

    assert_int_equal(run_limited(w, "echo said; exit 1", (struct program_run){.out_fd = -1}, &err),
                     -EIO);
    assert_string_equal(err.text, "prog ended with status 1: said");
}

static void test_large_output(void **state)
{
    struct world *w = *state;
    struct error err;
    struct stat st;

    assert_int_equal(run(w, "head -c 50000000 /dev/zero", &err), 0);
    assert_int_equal(fstat(w->out, &st), 0);
    assert_int_equal(st.st_size, 50000000);
}

static void test_not_a_program(void **state)
{
    struct world *w = *state;
    char *argv[] = {"thing", NULL}, *env[] = {NULL};
    struct program_run how = {.argv = argv,
                              .env = env,
                              .dir = w->dir.path,
                              .out_fd = w->out,
                              .timeout_s = 9,
                              .cancelled = never};
    struct error err;

    scratch_text(&w->scratch, "thing", "\177ELF");
    assert_int_equal(chmod(scratch_at(&w->scratch, "thing"), 0755), 0);
    how.path = scratch_at(&w->scratch, "thing");
    assert_int_equal(program_run(&how, &err), -EIO);
    assert_string_equal(err.text, "thing cannot be started: Exec format error");
}

/* No process of the group is left: its number is in the file `name` of the directory. */
static void check_group_is_gone(struct world *w, const char *name)
{
    char path[2 * SCRATCH_PATH_MAX], text[32] = "";
    int fd;
    pid_t pid;

    snprintf(path, sizeof path, "%s/%s", w->dir.path, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    pid = (pid_t)strtol(text, NULL, 10);
    assert_true(pid > 1);
    /* an orphan that was killed is a zombie until init has seen it */
    for (int i = 0; i < 1000 && kill(-pid, 0) == 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    assert_int_equal(kill(-pid, 0), -1);
    assert_int_equal(errno, ESRCH);
}

static void test_time_limit(void **state)
{
    struct world *w = *state;
    struct error err;

    assert_int_equal(
        run_limited(w, "echo $$ >leader; trap '' TERM INT; echo so far >&2; sleep 100 & sleep 100",
                    (struct program_run){.timeout_s = 1}, &err),
        -EIO);
    assert_string_equal(err.text, "prog took longer than its timeout of 1 s: so far");
    check_group_is_gone(w, "leader");
}

static void test_cancelling_kills_the_group(void **state)
{
    struct world *w = *state;
    char ready[2 * SCRATCH_PATH_MAX];
    struct error err;

    snprintf(ready, sizeof ready, "%s/ready", w->dir.path);
    assert_int_equal(run_limited(w, "echo $$ >leader; sleep 100 & touch ready; sleep 100",
                                 (struct program_run){.cancelled = is_there, .ctx = ready}, &err),
                     -ECANCELED);
    check_group_is_gone(w, "leader");
}

static void test_what_a_program_leaves_running_is_killed(void **state)
{
    struct world *w = *state;
    struct error err;

    assert_int_equal(run(w, "echo $$ >leader; sleep 100 &", &err), 0);
    check_group_is_gone(w, "leader");
}

static void test_memory_limit(void **state)
{
    struct world *w = *state;
    struct error err;

    assert_int_equal(
        run_limited(w, "ulimit -v", (struct program_run){.memory_nbytes = 64 << 20}, &err), 0);
    check_output(w, "ulimit -v", "unlimited\n");
    assert_int_equal(run_limited(w, "head -c 200M /dev/zero | tail >/dev/null || exit 9",
                                 (struct program_run){.memory_nbytes = 64 << 20}, &err),
                     -EIO);
}

static size_t count_descriptors(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void test_no_descriptor_is_left(void **state)
{
    struct world *w = *state;
    size_t before = count_descriptors();
    struct error err;

    assert_int_equal(run(w, "true", &err), 0);
    assert_int_equal(run(w, "exit 1", &err), -EIO);
    assert_int_equal(count_descriptors(), before);
}

static void test_directories_are_removed_whatever_is_in_them(void **state)
{
    struct world *w = *state;
    struct program_dir dir, before = w->dir;
    struct error err;
    struct stat st;
    char *copy;

    assert_int_equal(program_dir_make(&dir), 0);
    assert_int_equal(stat(dir.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    scratch_text(&w->scratch, "outside", "x");
    w->dir = dir;
    assert_int_equal(run(w,
                         "mkdir -p a/b/c; touch a/b/f .h; ln -s ../outside l; ln -s .. up; "
                         "mkfifo p; chmod 0 a/b; chmod 0 a",
                         &err),
                     0);
    w->dir = before;
    copy = strdup(dir.path);
    program_dir_remove(&dir);
    program_dir_remove(&dir);
    assert_int_equal(access(copy, F_OK), -1);
    free(copy);
    assert_int_equal(access(scratch_at(&w->scratch, "outside"), F_OK), 0);
}

static void test_what_was_left_behind_is_swept(void **state)
{
    struct world *w = *state;
    const char *left = scratch_at(&w->scratch, "derivfs-command-aB3xYz");
    char *path = strdup(left);
    struct error err;

    assert_int_equal(mkdir(path, 0700), 0);
    scratch_text(&w->scratch, "derivfs-command-aB3xYz/tsnr.nii", "x");
    assert_int_equal(mkdir(scratch_at(&w->scratch, "derivfs-command-other-name"), 0700), 0);
    scratch_text(&w->scratch, "derivfs-command-aafile", "x");
    assert_int_equal(symlink("/usr", scratch_at(&w->scratch, "derivfs-command-aalink")), 0);
    program_dirs_sweep();
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(scratch_at(&w->scratch, "derivfs-command-other-name"), F_OK), 0);
    assert_int_equal(access(scratch_at(&w->scratch, "derivfs-command-aafile"), F_OK), 0);
    assert_int_equal(access(scratch_at(&w->scratch, "derivfs-command-aalink"), F_OK), 0);
    assert_int_equal(run(w, "pwd", &err), 0); /* that of somebody who is alive */
    free(path);
}

static void test_finding(void **state)
{
    struct world *w = *state;
    struct program p;
    struct error err;
    char path[3 * SCRATCH_PATH_MAX];

    scratch_mkdir(&w->scratch, "bin");
    scratch_mkdir(&w->scratch, "bin2");
    scratch_text(&w->scratch, "bin/tool", "no program");
    scratch_text(&w->scratch, "bin2/tool", "#!/bin/sh\n");
    assert_int_equal(chmod(scratch_at(&w->scratch, "bin/tool"), 0644), 0);
    assert_int_equal(chmod(scratch_at(&w->scratch, "bin2/tool"), 0755), 0);
    snprintf(path, sizeof path, ":.:bin2:%s/bin:%s/bin2:%s", w->scratch.path, w->scratch.path,
             getenv("PATH"));
    setenv("PATH", path, 1);
    assert_int_equal(program_find("tool", -1, &p, &err), 0);
    assert_string_equal(p.path, scratch_at(&w->scratch, "bin2/tool"));
    assert_true(program_is_still(&p));
    scratch_text(&w->scratch, "bin2/tool", "#!/bin/sh\ntrue\n");
    assert_false(program_is_still(&p));
    program_clear(&p);

    assert_int_equal(program_find("no-such-tool", -1, &p, &err), -ENOENT);
    assert_string_equal(err.text, "program no-such-tool: not found");
    assert_int_equal(program_find(scratch_at(&w->scratch, "bin/tool"), -1, &p, &err), -EACCES);
    assert_int_equal(program_find(scratch_at(&w->scratch, "bin2"), -1, &p, &err), -EACCES);
}

static void test_nothing_in_the_forbidden_directory_is_found(void **state)
{
    struct world *w = *state;
    struct program p;
    struct error err;
    int fd;

    scratch_mkdir(&w->scratch, "data");
    scratch_mkdir(&w->scratch, "data/code");
    scratch_text(&w->scratch, "data/code/tool", "#!/bin/sh\n");
    assert_int_equal(chmod(scratch_at(&w->scratch, "data/code/tool"), 0755), 0);
    scratch_link(&w->scratch, "data/code/tool", "link");
    scratch_link(&w->scratch, "data", "alias");
    fd = open(scratch_at(&w->scratch, "data"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(program_find(scratch_at(&w->scratch, "data/code/tool"), fd, &p, &err), -EPERM);
    assert_int_equal(program_find(scratch_at(&w->scratch, "alias/code/tool"), fd, &p, &err),
                     -EPERM);
    assert_int_equal(program_find(scratch_at(&w->scratch, "link"), fd, &p, &err), -EPERM);
    assert_int_equal(program_find("sh", fd, &p, &err), 0);
    program_clear(&p);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_output_and_surroundings),
        TEST(test_no_descriptor_is_passed_on),
        TEST(test_signals_are_as_new),
        TEST(test_failures_are_told),
        TEST(test_only_the_tail_of_much_stderr_is_kept),
        TEST(test_stdout_may_join_stderr),
        TEST(test_large_output),
        TEST(test_not_a_program),
        TEST(test_time_limit),
        TEST(test_cancelling_kills_the_group),
        TEST(test_what_a_program_leaves_running_is_killed),
        TEST(test_memory_limit),
        TEST(test_no_descriptor_is_left),
        TEST(test_directories_are_removed_whatever_is_in_them),
        TEST(test_what_was_left_behind_is_swept),
        TEST(test_finding),
        TEST(test_nothing_in_the_forbidden_directory_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
