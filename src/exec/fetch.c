/* SPDX-License-Identifier: MIT
 *
 * Running `git-annex get` in the repository that a file belongs to.
 *
 *     git-annex get --json-progress --key=KEY
 *         |-- stdout: a line of JSON for each step  -> progress; in the last one, why not
 *         '-- stderr: what git and its helpers say  -> the sentence
 *
 * It is asked for the key, not for the name: names are not ours, and may begin with a dash or mean
 * something to git. Variables that tell git of another repository are left out; nobody can be asked
 * for a password. What git-annex says is not believed: the content is there when it is there.
 * The repository's own configuration decides what is run to transfer a file, as it does when its
 * owner types the command.
 */
#include "fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "program.h"
#include "utf8.h"

/* How long git-annex may take to put its things in order when it is interrupted. */
enum { GRACE_MS = 2000 };

enum { LINE_MAX_NBYTES = 16 * 1024, NOTE_MAX = 300 };

/* What git-annex has said so far. */
struct talk {
    const struct task_control *ctl;
    int fd; /* its stdout */
    size_t n;
    char line[LINE_MAX_NBYTES]; /* [n] the last, unfinished one */
    bool too_long;              /* of which the beginning is lost */
    char note[NOTE_MAX];        /* why it did not work, if it did not */
};

/* Where a program runs. */
struct place {
    int rootfd; /* of the dataset */
    int dirfd;
    bool
        is_named; /* git is told that this is a repository's .git, and does not find it by itself */
};

/* ---- what git-annex says ---- */

/* Append the parts of a note that is told as one line. */
static void add_note(struct talk *talk, const char *text)
{
    size_t at = strlen(talk->note);

    for (; text && *text && at + 4 < sizeof talk->note; text++)
        if (*text != '\n')
            talk->note[at++] = *text;
        else if (at > 0 && text[1] && text[1] != '\n')
            at += (size_t)snprintf(talk->note + at, 4, " / ");
    talk->note[at] = '\0';
    utf8_clean(talk->note);
}

static void take_line(struct talk *talk)
{
    json_t *line = json_loadb(talk->line, talk->n, 0, NULL);
    const json_t *done = json_object_get(line, "byte-progress");

    if (json_is_integer(done) && json_integer_value(done) > 0)
        task_progress(talk->ctl, (uint64_t)json_integer_value(done));
    if (json_is_false(json_object_get(line, "success"))) {
        talk->note[0] = '\0';
        add_note(talk, json_string_value(json_object_get(line, "note")));
    }
    json_decref(line);
}

static void take_bytes(struct talk *talk, const char *bytes, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i++) {
        if (bytes[i] == '\n') {
            if (!talk->too_long)
                take_line(talk);
            talk->n = 0;
            talk->too_long = false;
        } else if (talk->n == sizeof talk->line) {
            talk->too_long = true;
        } else {
            talk->line[talk->n++] = bytes[i];
        }
    }
}

/* Hear what there is to hear, without waiting; a bounded number of times. */
static void listen_to(struct talk *talk)
{
    char bytes[4096];
    ssize_t n = 1;

    for (int i = 0; i < 64 && (n > 0 || errno == EINTR); i++) {
        n = read(talk->fd, bytes, sizeof bytes);
        if (n > 0)
            take_bytes(talk, bytes, (size_t)n);
    }
}

/* Asked many times a second, so this is also where its progress is heard. */
static bool is_cancelled(const void *ctx)
{
    struct talk *talk = *(struct talk *const *)ctx;

    listen_to(talk);
    return task_cancelled(talk->ctl);
}

/* ---- running it ---- */

/* Run a program in the repository. */
static int run_at(const struct place *at, char *const *argv, int out_fd, struct talk *talk,
                  struct error *err)
{
    /* what tells git of a repository other than the one it is in (git rev-parse --local-env-vars)
     */
    static const char *const without[] = {"GIT_ALTERNATE_OBJECT_DIRECTORIES",
                                          "GIT_CONFIG",
                                          "GIT_CONFIG_PARAMETERS",
                                          "GIT_CONFIG_COUNT",
                                          "GIT_OBJECT_DIRECTORY",
                                          "GIT_DIR",
                                          "GIT_WORK_TREE",
                                          "GIT_IMPLICIT_WORK_TREE",
                                          "GIT_GRAFT_FILE",
                                          "GIT_INDEX_FILE",
                                          "GIT_NO_REPLACE_OBJECTS",
                                          "GIT_REPLACE_REF_BASE",
                                          "GIT_PREFIX",
                                          "GIT_INTERNAL_SUPER_PREFIX",
                                          "GIT_SHALLOW_FILE",
                                          "GIT_COMMON_DIR",
                                          "GIT_NAMESPACE",
                                          NULL};
    char *env[] = {"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS_REQUIRE=never",
                   at->is_named ? "GIT_DIR=." : NULL, NULL};
    struct program program;
    int ret = program_find(argv[0], at->rootfd, &program, err);

    if (ret < 0)
        return ret;
    ret = program_run(
        &(struct program_run){
            .path = program.path,
            .argv = argv,
            .env = env,
            .dirfd = at->dirfd,
            .without = without,
            .out_fd = out_fd,
            .grace_ms = GRACE_MS,
            .cancelled = is_cancelled,
            .ctx = &talk,
        },
        err);
    program_clear(&program);
    return ret;
}

/* With its stdout ending in a pipe that the talk hears. */
static int run_heard(const struct place *at, char *const *argv, struct talk *talk,
                     struct error *err)
{
    int fds[2], ret;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe: %s", strerrordesc_np(errno));
    talk->fd = fds[0];
    if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
        ret = error_set(err, errno, "pipe: %s", strerrordesc_np(errno));
    else
        ret = run_at(at, argv, fds[1], talk, err);
    close(fds[1]);
    if (ret < 0 && ret != -ECANCELED)
        listen_to(talk);
    close(fds[0]);
    return ret;
}

/* Did it come? */
static int check_here(int rootfd, const char *path, struct error *err)
{
    struct annex_content still;
    int ret = annex_find_absent(rootfd, path, &still, NULL);

    if (ret == 0) {
        annex_content_clear(&still);
        return error_set(err, EIO, "git-annex says that it has got it, but it has not come");
    }
    return ret == -ENOENT ? 0 : error_set(err, -ret, "%s", strerrordesc_np(-ret));
}

static int get(const struct place *at, const struct annex_content *c, struct talk *talk,
               struct error *err)
{
    char key[sizeof "--key=" + ANNEX_KEY_MAX];
    char *argv[] = {"git-annex", "get", "--json-progress", key, NULL};
    int ret;

    if (check_here(at->rootfd, c->path, NULL) == 0) /* it came since it was missed */
        return 0;
    snprintf(key, sizeof key, "--key=%s", c->key.text);
    ret = run_heard(at, argv, talk, err);
    return ret < 0 ? ret : check_here(at->rootfd, c->path, err);
}

/* git-annex sets a fresh clone up by itself, at any command; but two of them must not do so at the
 * same time. */
static int prepare(const struct place *at, struct talk *talk, struct error *err)
{
    char *is_set_up[] = {"git", "config", "annex.uuid", NULL};
    char *set_up[] = {"git-annex", "info", "--fast", "--json", NULL};
    int ret = run_heard(at, is_set_up, talk, err);

    return ret == -EIO ? run_heard(at, set_up, talk, err) : ret;
}

/* git does not run what the configuration of somebody else's repository says, unless it is told
 * that this is the repository. So before it is told, let it find the repository by itself. */
static int check_owner(const struct place *at, struct talk *talk, struct error *err)
{
    char *find[] = {"git", "rev-parse", "--git-dir", NULL};

    return run_heard(at, find, talk, err);
}

static int work_at(int rootfd, const struct annex_content *c, struct talk *talk, struct error *err)
{
    struct place at = {.rootfd = rootfd};
    int ret = 0;

    at.dirfd = resolve_beneath(rootfd, c->dir, O_PATH | O_DIRECTORY);
    if (at.dirfd < 0)
        return error_set(err, -at.dirfd, "%s: %s", c->dir, strerrordesc_np(-at.dirfd));
    if (c->is_git_dir)
        ret = check_owner(&at, talk, err);
    at.is_named = c->is_git_dir;
    if (ret == 0)
        ret = *c->key.text ? get(&at, c, talk, err) : prepare(&at, talk, err);
    close(at.dirfd);
    return ret;
}

int fetch_task(void *ctx, const struct graph *g, const struct task *t, struct blob *const *inputs,
               const struct task_control *ctl, struct blob **out, struct error *err)
{
    struct talk *talk = calloc(1, sizeof *talk);
    struct error why;
    int ret = 0;

    (void)g;
    (void)inputs;
    if (!talk)
        return error_set(err, ENOMEM, "%s: out of memory", t->label);
    talk->ctl = ctl;
    if (t->content)
        ret = work_at(*(const int *)ctx, t->content, talk, &why);
    if (ret == -ECANCELED)
        error_set(err, ECANCELED, "%s: cancelled", t->label);
    else if (ret < 0)
        ret = error_set(err, ENODATA, "%s: content is not here, and cannot be fetched: %s%s%s",
                        t->content->path, talk->note, *talk->note ? "; " : "", why.text);
    free(talk);
    if (ret < 0)
        return ret;
    *out = blob_from_memory(NULL, 0, NULL);
    return *out ? 0 : error_set(err, ENOMEM, "%s: out of memory", t->label);
}
