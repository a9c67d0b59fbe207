/* SPDX-License-Identifier: MIT
 *
 * The word splitter, and putting words together again: what a program gets as its arguments.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "command.h"

static struct command *parsed(const char *text, bool shell)
{
    struct command *c = NULL;
    struct error err = {.text = ""};
    size_t column;

    if (command_parse(text, shell, &c, &column, &err) < 0)
        fail_msg("%s: column %zu: %s", text, column, err.text);
    return c;
}

/* The words that come of it, each in brackets. Files are FILE1, FILE2, ... */
static void check_words(const char *text, const char *expected)
{
    static const char *const files[] = {"FILE 1", "FILE'2", "FILE3"}, *const runs[] = {"a b", "*"};
    struct command *c = parsed(text, false);
    struct command_paths paths = {files, runs, 2, "OUT"};
    struct command_line line;
    char got[512] = "";

    assert_int_equal(command_expand(c, &paths, &line, NULL), 0);
    for (char **w = line.argv; *w; w++)
        snprintf(got + strlen(got), sizeof got - strlen(got), "[%s]", *w);
    assert_string_equal(got, expected);
    assert_null(line.env[0]);
    command_line_free(&line);
    command_free(c);
}

static void test_words(void **state)
{
    (void)state;
    check_words("a", "[a]");
    check_words("  fslstats\tx  -r \n", "[fslstats][x][-r]");
    check_words("a 'b c' \"d e\"f g\\ h", "[a][b c][d ef][g h]");
    check_words("a '' \"\"", "[a][][]");
    check_words("a 'it'\\''s'", "[a][it's]");
    check_words("a \"q\\\"r\\\\s\\t\" '\\n'", "[a][q\"r\\s\\t][\\n]");
    check_words("a '$HOME|;<>&`' \\$x \\{b}", "[a][$HOME|;<>&`][$x][{b}]");
    check_words("a * ? ~ # [x]", "[a][*][?][~][#][[x]]");
}

static void test_names_are_never_split(void **state)
{
    (void)state;
    check_words("a {x.nii} {y} {x.nii}", "[a][FILE 1][FILE'2][FILE 1]");
    check_words("a --in={x.nii}.gz \"{y} z\"", "[a][--in=FILE 1.gz][FILE'2 z]");
    check_words("a {runs} {out}", "[a][a b][*][OUT]");
    check_words("awk '{print $1}' {x}", "[awk][{print $1}][FILE 1]");
    check_words("a {runs}", "[a][a b][*]");
}

static void check_mistake(const char *text, bool shell, size_t column, const char *part)
{
    struct command *c;
    struct error err;
    size_t got;

    assert_int_equal(command_parse(text, shell, &c, &got, &err), -EINVAL);
    assert_int_equal(got, column);
    if (!strstr(err.text, part))
        fail_msg("'%s' does not say '%s'", err.text, part);
}

static void test_mistakes(void **state)
{
    (void)state;
    check_mistake("", false, 1, "no command");
    check_mistake("   ", true, 1, "no command");
    check_mistake("a 'b", false, 5, "is not closed");
    check_mistake("a \"b", true, 5, "is not closed");
    check_mistake("a \\", false, 3, "backslash");
    check_mistake("a | b", false, 3, "shell = yes");
    check_mistake("a > b", false, 3, "shell = yes");
    check_mistake("a \"$HOME\"", false, 4, "shell = yes");
    check_mistake("a {b", false, 3, "no '}'");
    check_mistake("a {}", false, 3, "does not name a file");
    check_mistake("a {../b}", false, 3, "does not name a file");
    check_mistake("a {.b}", false, 3, "does not name a file");
    check_mistake("a x{runs}", false, 4, "several words");
    check_mistake("a {runs}x", false, 3, "several words");
    check_mistake("a \"{runs}\"", true, 4, "several words");
    check_mistake("{b} c", false, 1, "cannot be one of the files");
    check_mistake("./a", false, 1, "absolute path");
}

static void test_files_are_named_once(void **state)
{
    struct command *c = parsed("a {x} {y} {x} {out}", false);

    (void)state;
    assert_int_equal(c->nfiles, 2);
    assert_string_equal(c->files[0].name, "x");
    assert_int_equal(c->files[1].column, 7);
    assert_true(c->uses_out);
    assert_false(c->uses_runs);
    command_free(c);
}

/* What the shell itself makes of a script: its output. */
static void check_script(const char *script, const char *file, const char *expected)
{
    const char *const files[] = {file, "second"}, *const runs[] = {file, "run 2"};
    struct command *c = parsed(script, true);
    struct command_paths paths = {files, runs, 2, "the out"};
    struct command_line line;
    char got[512] = "";
    int fds[2];
    ssize_t n;
    pid_t pid;

    assert_int_equal(command_expand(c, &paths, &line, NULL), 0);
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        dup2(fds[1], 1);
        execve("/bin/sh", line.argv, line.env);
        _exit(127);
    }
    close(fds[1]);
    for (size_t at = 0; (n = read(fds[0], got + at, sizeof got - 1 - at)) > 0;)
        at += (size_t)n;
    assert_int_equal(n, 0);
    close(fds[0]);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_string_equal(got, expected);
    command_line_free(&line);
    command_free(c);
}

static void test_shell(void **state)
{
    (void)state;
    check_script("echo {a}; echo \"<{b}>\"; echo '{a}'", "x", "x\n<second>\n{a}\n");
    check_script("printf '[%s]' {runs} {out}", "x", "[x][run 2][the out]");
    check_script("v=1; { echo ${v}; }; echo \\{a}", "x", "1\n{a}\n");
}

/* The names of a dataset's files are not the user's: no character of one may be run. */
static void test_no_name_is_run(void **state)
{
    static const char *const names[] = {
        "a b", "$(echo run)", "`echo run`", "'; echo run; '", "\"; echo run", "a\nb", "-n*", "\\"};
    char expected[128];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(expected, sizeof expected, "[%s]", names[i]);
        check_script("printf '[%s]' {a}", names[i], expected);
        check_script("printf '[%s]' \"{a}\"", names[i], expected);
        snprintf(expected, sizeof expected, "[%s][run 2]", names[i]);
        check_script("printf '[%s]' {runs}", names[i], expected);
    }
    check_script("cat <<END\n{a} $(printf %s \"{a}\")\nEND\n", "$(echo run)",
                 "\"$(echo run)\" $(echo run)\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),    cmocka_unit_test(test_names_are_never_split),
        cmocka_unit_test(test_mistakes), cmocka_unit_test(test_files_are_named_once),
        cmocka_unit_test(test_shell),    cmocka_unit_test(test_no_name_is_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
