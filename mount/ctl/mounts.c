/* SPDX-License-Identifier: MIT
 *
 *     question_begin: fork -- child: open, read, write into a pipe
 *     question_wait:  poll the pipe until it ends
 *
 * The child sends an errno first. A process in a request to a daemon that has read it and does not
 * answer ignores SIGKILL: so nobody waits for the child, and init reaps it.
 */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fd.h"
#include "grow.h"
#include "monotonic.h"

enum { PIECE_NBYTES = 64 << 10, ANSWER_MAX_NBYTES = 256 << 20 };

/* ---- mountinfo ---- */

/* Blanks, tabs, newlines and backslashes are \ooo there. */
static void unescape(char *text)
{
    char *to = text;

    for (const char *at = text; *at; at++) {
        bool octal = at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' &&
                     at[2] <= '7' && at[3] >= '0' && at[3] <= '7';
        unsigned byte = (at[1] & 7U) << 6 | (octal ? (at[2] & 7U) << 3 | (at[3] & 7U) : 0);

        *to++ = octal ? (char)(byte & 0xff) : *at;
        at += octal ? 3 : 0;
    }
    *to = '\0';
}

/* "user_id=N", which the kernel prints itself, in the options of the file system. */
static bool find_owner(char *options, uid_t *out)
{
    static const char name[] = "user_id=";
    char *rest = NULL;

    for (char *one = strtok_r(options, ",", &rest); one; one = strtok_r(NULL, ",", &rest))
        if (strncmp(one, name, sizeof name - 1) == 0) {
            *out = (uid_t)strtoul(one + sizeof name - 1, NULL, 10);
            return true;
        }
    return false;
}

/* Take a line apart: "36 35 98:0 /root /mnt rw,noatime master:1 - TYPE SOURCE rw,user_id=0".
 * out->dir is borrowed. False: it is no such line. */
static bool parse_line(char *line, struct mount_point *out, bool *is_derivfs)
{
    char *tail = strstr(line, " - "), *words[5], *rest = NULL;

    if (!tail)
        return false;
    *tail = '\0';
    for (int i = 0; i < 5; i++)
        if (!(words[i] = strtok_r(i == 0 ? line : NULL, " ", &rest)))
            return false;
    *out = (struct mount_point){.id = strtoull(words[0], NULL, 10), .dir = words[4]};
    unescape(out->dir);
    for (int i = 0; i < 3; i++)
        if (!(words[i] = strtok_r(i == 0 ? tail + 3 : NULL, " \n", &rest)))
            return false;
    *is_derivfs = strcmp(words[0], "fuse.derivfs") == 0;
    if (*is_derivfs && find_owner(words[2], &out->owner))
        out->believed = out->owner == 0 || out->owner == geteuid();
    return true;
}

/* Called with each mount; out->dir is borrowed. Negative: stop. */
typedef int mount_fn(void *ctx, const struct mount_point *m, bool is_derivfs);

static int each_mount(mount_fn *fn, void *ctx, struct error *err)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    struct mount_point m;
    char *line = NULL;
    size_t room = 0;
    bool is_derivfs;
    int ret = 0;

    if (!f)
        return error_set(err, errno, "/proc/self/mountinfo: %s", strerror(errno));
    while (ret == 0 && getline(&line, &room, f) > 0)
        if (parse_line(line, &m, &is_derivfs))
            ret = fn(ctx, &m, is_derivfs);
    free(line);
    fclose(f);
    return ret < 0 ? error_set(err, -ret, "%s", strerror(-ret)) : 0;
}

static int append(void *ctx, const struct mount_point *m, bool is_derivfs)
{
    struct mount_list *list = ctx;
    struct mount_point copy = *m;

    if (!is_derivfs)
        return 0;
    copy.dir = strdup(m->dir);
    if (!copy.dir || GROW(list->mounts, list->n) < 0) {
        free(copy.dir);
        return -ENOMEM;
    }
    list->mounts[list->n++] = copy;
    return 0;
}

int mounts_read(struct mount_list *out, struct error *err)
{
    int ret;

    *out = (struct mount_list){.mounts = NULL};
    ret = each_mount(append, out, err);
    if (ret < 0)
        mounts_free(out);
    return ret;
}

void mounts_free(struct mount_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free(list->mounts[i].dir);
    free(list->mounts);
    *list = (struct mount_list){.mounts = NULL};
}

struct search {
    const char *path;
    struct mount_point best; /* dir NULL: none */
    bool is_derivfs;
};

static int compare(void *ctx, const struct mount_point *m, bool is_derivfs)
{
    struct search *s = ctx;
    size_t n = strlen(m->dir);
    bool shows = strcmp(m->dir, "/") == 0 ||
                 (strncmp(s->path, m->dir, n) == 0 && (s->path[n] == '/' || s->path[n] == '\0'));
    char *dir;

    if (!shows || (s->best.dir && n < strlen(s->best.dir)))
        return 0;
    dir = strdup(m->dir);
    if (!dir)
        return -ENOMEM;
    free(s->best.dir);
    s->best = *m;
    s->best.dir = dir;
    s->is_derivfs = is_derivfs;
    return 0;
}

int mount_of(const char *path, struct mount_point *out, struct error *err)
{
    struct search s = {.path = path};
    int ret = each_mount(compare, &s, err);

    *out = s.best;
    if (ret == 0 && s.is_derivfs && s.best.believed)
        return 0;
    if (ret == 0 && s.is_derivfs)
        ret = error_set(err, EPERM,
                        "user %u has mounted this derivfs, and derivctl believes only mounts of "
                        "root and your own (name the file in the dataset instead)",
                        s.best.owner);
    free(out->dir);
    out->dir = NULL;
    return ret;
}

/* ---- questions ---- */

int64_t question_now_ms(void)
{
    return monotonic_ns() / 1000000;
}

/* What the child does: writes the answer to `fd`, and returns 0 or a positive errno before. */
typedef int answer_fn(const void *ctx, int fd);

static int begin(answer_fn *fn, const void *ctx, struct question *out, struct error *err)
{
    int fds[2], code;

    *out = (struct question){.fd = -1};
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_set(err, errno, "pipe: %s", strerror(errno));
    out->child = fork();
    if (out->child == 0) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
        signal(SIGPIPE, SIG_DFL);
        code = fn(ctx, fds[1]);
        if (code != 0)
            code = fd_write(fds[1], &code, sizeof code);
        _exit(0);
    }
    code = errno;
    close(fds[1]);
    out->fd = fds[0];
    if (out->child > 0)
        return 0;
    close(fds[0]);
    return error_set(err, code, "fork: %s", strerror(code));
}

/* More of the answer. 1: it is complete. */
static int take_piece(struct question *q)
{
    char *text = realloc(q->text, q->nbytes + PIECE_NBYTES + 1);
    ssize_t n;

    if (!text)
        return -ENOMEM;
    q->text = text;
    n = read(q->fd, text + q->nbytes, PIECE_NBYTES);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    q->nbytes += (size_t)n;
    text[q->nbytes] = '\0';
    return n == 0 ? 1 : q->nbytes > ANSWER_MAX_NBYTES ? -EFBIG : 0;
}

/* The answer is complete: take the errno from its front. */
static int check_answer(struct question *q)
{
    int code;

    if (q->nbytes < sizeof code)
        return -EIO;
    memcpy(&code, q->text, sizeof code);
    q->nbytes -= sizeof code;
    memmove(q->text, q->text + sizeof code, q->nbytes + 1);
    return -code;
}

/* 0, or -errno: of the child, or -ETIMEDOUT. */
static int wait_for(struct question *q, int64_t end_ms)
{
    int ret = 0;

    while (ret == 0) {
        struct pollfd fd = {.fd = q->fd, .events = POLLIN};
        int64_t left_ms = end_ms - question_now_ms();

        ret = poll(&fd, 1, left_ms > 0 ? (int)left_ms : 0);
        if (ret == 0)
            return -ETIMEDOUT;
        ret = ret > 0 ? take_piece(q) : errno == EINTR ? 0 : -errno;
    }
    return ret < 0 ? ret : check_answer(q);
}

void question_end(struct question *q)
{
    if (q->fd >= 0) {
        close(q->fd);
        kill(q->child, SIGKILL);
        (void)waitpid(q->child, NULL, WNOHANG);
    }
    free(q->text);
    *q = (struct question){.fd = -1};
}

/* ---- files of .derivfs ---- */

struct control {
    const struct mount_point *mount;
    const char *name;
};

/* Of this mount, and not of what has been mounted there since? */
static bool is_of_mount(int fd, const struct mount_point *m)
{
    struct statx st;

    return statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) == 0 && (st.stx_mask & STATX_MNT_ID) &&
           st.stx_mnt_id == m->id;
}

static int read_control(const void *ctx, int out)
{
    static char piece[PIECE_NBYTES];
    const struct control *c = ctx;
    int none = 0, dirfd, fd;
    ssize_t n;

    dirfd = open(c->mount->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return errno;
    if (!is_of_mount(dirfd, c->mount))
        return ENOENT;
    snprintf(piece, sizeof piece, ".derivfs/%s", c->name);
    fd = openat(dirfd, piece, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno;
    if (fd_write(out, &none, sizeof none) < 0)
        return 0;
    while ((n = fd_read(fd, piece, sizeof piece)) > 0)
        if (fd_write(out, piece, (size_t)n) < 0)
            break;
    return 0;
}

int question_begin(const struct mount_point *m, const char *name, struct question *out,
                   struct error *err)
{
    const struct control control = {m, name};

    return begin(read_control, &control, out, err);
}

int question_wait(struct question *q, int64_t end_ms, struct error *err)
{
    int ret = wait_for(q, end_ms);

    switch (-ret) {
    case 0:
        return 0;
    case ETIMEDOUT:
        return error_set(err, ETIMEDOUT,
                         "no answer (is its daemon stopped, or the dataset not reachable?)");
    case EACCES:
        return error_set(err, EACCES, "only its owner may see it");
    case ENOENT:
        return error_set(err, ENOENT, "no derivfs is mounted there");
    default:
        return error_set(err, -ret, "%s", strerror(-ret));
    }
}

json_t *question_json(const struct question *q, const char *name, struct error *err)
{
    json_error_t why;
    json_t *value = json_loadb(q->text, q->nbytes, 0, &why);

    if (!value)
        error_set(err, EIO, "cannot read .derivfs/%s: %s", name, why.text);
    return value;
}

json_t *mount_json(const struct mount_point *m, const char *name, struct error *err)
{
    struct question q;
    json_t *value = NULL;

    if (question_begin(m, name, &q, err) < 0)
        return NULL;
    if (question_wait(&q, question_now_ms() + MOUNT_PATIENCE_MS, err) == 0)
        value = question_json(&q, name, err);
    question_end(&q);
    return value;
}

/* ---- paths ---- */

static int resolve(const void *path, int out)
{
    char *real = realpath(path, NULL);
    int code = real ? 0 : errno;

    if (real && (fd_write(out, &code, sizeof code) < 0 || fd_write(out, real, strlen(real)) < 0))
        _exit(1); /* nobody listens */
    return code;
}

char *mount_realpath(const char *path, struct error *err)
{
    struct question q;
    char *real = NULL;
    int ret = begin(resolve, path, &q, err);

    if (ret < 0)
        return NULL;
    ret = wait_for(&q, question_now_ms() + MOUNT_PATIENCE_MS);
    if (ret == 0) {
        real = q.text;
        q.text = NULL;
    } else if (ret == -ETIMEDOUT) {
        error_set(err, ETIMEDOUT, "no answer within %d s: is a mount on the way stuck?",
                  MOUNT_PATIENCE_MS / 1000);
    } else {
        error_set(err, -ret, "%s", strerror(-ret));
    }
    question_end(&q);
    return real;
}
