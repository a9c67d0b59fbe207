/* SPDX-License-Identifier: MIT
 *
 * Commands: a program run on copies of its inputs, and what it writes as the result.
 *
 *     TMPDIR/derivfs-command-XXXXXX/     (program_dir.c)
 *         tsnr.nii        a copy, read-only: the cache's own file is never handed out
 *         (stdout)        a nameless file
 *         report.txt      what the program writes, where it is told {out}
 *     /the/dataset/...    runs and other sources, by their paths
 *
 * Copied inputs are named relative to the directory the program runs in, so that their names in
 * what it writes are the same each time. Sources are checked when the program has ended: the result
 * counts only if none has changed since the task was planned, nor the program itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "compute_private.h"
#include "fd.h"
#include "graph_call.h"

/* One run of a command. */
struct execution {
    const struct work *k;
    const struct command_call *call;
    const struct command *command;
    struct program_dir dir;
    int stdout_fd;      /* -1: {out} is written instead */
    char **files;       /* [call->ninputs] paths as the program is told */
    char **runs;        /* [g->nruns] */
    unsigned char *buf; /* [TASK_BUFFER_NBYTES] */
};

static int system_error(const struct execution *x, const char *what, int code, struct error *err)
{
    return error_set(err, code == ENOMEM ? ENOMEM : EIO, "%s: %s: %s", x->k->t->label, what,
                     strerrordesc_np(code));
}

/* The path of a file of the dataset. */
static char *source_path(const struct execution *x, const char *path)
{
    char *all;

    return asprintf(&all, "%s/%s", x->k->c->dataset, path) < 0 ? NULL : all;
}

/* ---- inputs ---- */

static int write_input(const struct execution *x, int fd, const void *bytes, size_t nbytes,
                       struct error *err)
{
    int ret = fd_write(fd, bytes, nbytes);

    return ret < 0 ? system_error(x, "writing an input", -ret, err) : 0;
}

/* `framing`: the result is a part of a series, the last one if `final`; NULL: it is the file. */
static int copy_blob(struct execution *x, const struct blob *b,
                     const struct output_framing *framing, bool final, int fd, struct error *err)
{
    uint64_t total = framing ? framing->part_nbytes(blob_nbytes(b)) : blob_nbytes(b);
    int ret = 0;

    for (uint64_t off = 0; off < total && ret == 0; off += TASK_BUFFER_NBYTES) {
        size_t n = total - off < TASK_BUFFER_NBYTES ? (size_t)(total - off) : TASK_BUFFER_NBYTES;

        ret = work_go_on(x->k, err);
        if (ret == 0)
            ret = framing ? framing->read(b, final, off, x->buf, n, err)
                          : blob_read(b, off, x->buf, n, err);
        if (ret == 0)
            ret = write_input(x, fd, x->buf, n, err);
    }
    return ret;
}

/* A series' parts lack the header and the trailer. */
static int copy_series(struct execution *x, const struct command_input *in, int fd,
                       struct error *err)
{
    unsigned char header[NIFTI_DERIVED_NBYTES], framed[sizeof header + OUTPUT_FRAME_NBYTES];
    char *origin = graph_origin(in->e);
    uint64_t total = sizeof header;
    uint32_t crc;
    int ret;

    if (!origin)
        return error_set(err, ENOMEM, "%s: out of memory", x->k->t->label);
    nifti_derive(&x->k->g->runs[0]->nifti, in->nvol, origin, header);
    free(origin);
    crc = (uint32_t)crc32(0, header, sizeof header);
    in->framing->header(header, sizeof header, framed);
    ret = write_input(x, fd, framed, in->framing->before_nbytes + sizeof header, err);
    for (size_t i = 0; i < in->ndeps && ret == 0; i++) {
        const struct blob *part = x->k->inputs[in->first_dep + i];

        ret = copy_blob(x, part, in->framing, i + 1 == in->ndeps, fd, err);
        if (ret == 0 && in->framing->trailer)
            ret = output_sum(part, &crc, err);
        total += blob_nbytes(part);
    }
    if (ret < 0 || !in->framing->trailer)
        return ret;
    in->framing->trailer(framed, crc, total);
    return write_input(x, fd, framed, in->framing->trailer_nbytes, err);
}

static int copy_input(struct execution *x, const struct command_input *in, const char *name,
                      struct error *err)
{
    int fd = openat(x->dir.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    int ret;

    if (fd < 0)
        return system_error(x, "making an input", errno, err);
    ret = in->e ? copy_series(x, in, fd, err)
                : copy_blob(x, x->k->inputs[in->first_dep], NULL, true, fd, err);
    close(fd);
    return ret;
}

static int prepare_inputs(struct execution *x, struct error *err)
{
    int ret = 0;

    for (size_t i = 0; i < x->call->ninputs && ret == 0; i++) {
        const struct command_input *in = &x->call->inputs[i];
        const char *name = x->command->files[i].name;

        x->files[i] = in->source ? source_path(x, in->source) : strdup(name);
        if (!x->files[i])
            ret = error_set(err, ENOMEM, "%s: out of memory", x->k->t->label);
        else if (!in->source)
            ret = copy_input(x, in, name, err);
    }
    for (size_t i = 0; x->command->uses_runs && i < x->k->g->nruns && ret == 0; i++) {
        x->runs[i] = source_path(x, x->k->g->runs[i]->path);
        if (!x->runs[i])
            ret = error_set(err, ENOMEM, "%s: out of memory", x->k->t->label);
    }
    return ret;
}

/* Is all as it was when the task was planned? */
static int check_sources(const struct execution *x, struct error *err)
{
    const struct graph *g = x->k->g;
    int rootfd = x->k->c->rootfd;
    struct source_id now;

    for (size_t i = 0; x->command->uses_runs && i < g->nruns; i++)
        if (!source_is_still(rootfd, -1, g->runs[i]->path, &g->runs[i]->id) &&
            !run_still_has(rootfd, g->runs[i], NULL, &now))
            return error_set(err, ESTALE, "%s: changed meanwhile", g->runs[i]->path);
    for (size_t i = 0; i < x->call->ninputs; i++) {
        const struct command_input *in = &x->call->inputs[i];

        if (in->source && !source_is_still(rootfd, -1, in->source, &in->id))
            return error_set(err, ESTALE, "%s: changed meanwhile", in->source);
    }
    if (!program_is_still(&x->call->program))
        return error_set(err, ESTALE, "%s: changed meanwhile", x->call->program.path);
    return 0;
}

/* ---- running ---- */

static bool is_cancelled(const void *ctx)
{
    const struct work *k = ctx;

    return task_cancelled(k->ctl);
}

static int run_program(struct execution *x, struct error *err)
{
    struct command_paths paths = {
        .files = (const char *const *)x->files,
        .runs = (const char *const *)x->runs,
        .nruns = x->command->uses_runs ? x->k->g->nruns : 0,
        .out = x->call->recipe->name,
    };
    struct command_line line;
    int ret = command_expand(x->command, &paths, &line, err);

    if (ret < 0)
        return ret;
    ret = program_run(
        &(struct program_run){
            .path = x->call->program.path,
            .argv = line.argv,
            .env = line.env,
            .dir = x->dir.path,
            .out_fd = x->stdout_fd,
            .timeout_s = x->command->timeout_s,
            .memory_nbytes = x->command->memory_nbytes,
            .cancelled = is_cancelled,
            .ctx = x->k,
        },
        err);
    command_line_free(&line);
    if (ret < 0 && err->code != ECANCELED)
        error_wrap(err, ret, "%s", x->k->t->label);
    return ret;
}

/* The file with the result: stdout's, or what was written as {out}. Returns a descriptor. */
static int open_result(const struct execution *x, uint64_t *nbytes, struct error *err)
{
    const char *name = x->call->recipe->name;
    struct stat st;
    int fd = x->stdout_fd >= 0
                 ? fcntl(x->stdout_fd, F_DUPFD_CLOEXEC, 3)
                 : openat(x->dir.fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 && x->stdout_fd < 0 && (errno == ENOENT || errno == ELOOP))
        return error_set(err, EIO, "%s: the program has not written {out}", x->k->t->label);
    if (fd < 0 || fstat(fd, &st) < 0) {
        system_error(x, "reading the result", errno, err);
        if (fd >= 0)
            close(fd);
        return -err->code;
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(err, EIO, "%s: what the program has written as {out} is no file",
                         x->k->t->label);
    }
    *nbytes = (uint64_t)st.st_size;
    return fd;
}

static int read_result(struct execution *x, int fd, uint64_t nbytes, struct cache_writer *w,
                       struct error *err)
{
    uint64_t off = 0;
    int ret = 0;

    while (off < nbytes && ret == 0) {
        size_t most =
            nbytes - off < TASK_BUFFER_NBYTES ? (size_t)(nbytes - off) : (size_t)TASK_BUFFER_NBYTES;
        ssize_t n = fd_pread(fd, x->buf, most, off);

        if (n < 0)
            return system_error(x, "reading the result", (int)-n, err);
        if (n == 0) /* somebody that the program left behind */
            return error_set(err, EIO, "%s: the result got shorter", x->k->t->label);
        ret = cache_write(w, x->buf, (size_t)n, err);
        off += (uint64_t)n;
    }
    return ret;
}

static int store_result(struct execution *x, struct blob **out, struct error *err)
{
    const struct task *t = x->k->t;
    struct cache_writer *w;
    uint64_t nbytes = 0;
    int fd = open_result(x, &nbytes, err), ret;

    if (fd < 0)
        return fd;
    ret = work_begin(x->k, &t->key, nbytes, &w, err);
    if (ret == 0) {
        ret = read_result(x, fd, nbytes, w, err);
        if (ret == 0)
            ret = cache_computed_from(w, x->k->inputs, t->ndeps, x->k->c->helpers, err);
        if (ret < 0)
            cache_abort(w);
        else
            ret = cache_commit(w, out, err);
    }
    close(fd);
    if (ret == -ENOMEM)
        task_wants_room(x->k->ctl, (size_t)nbytes);
    return ret;
}

/* ---- the whole ---- */

/* A file without a name in the directory, which goes with its descriptor. */
static int open_nameless(const struct execution *x)
{
    static const char name[] = ".stdout";
    int fd = openat(x->dir.fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
        return fd;
    fd = openat(x->dir.fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)unlinkat(x->dir.fd, name, 0);
    return fd;
}

static int open_execution(struct execution *x, struct error *err)
{
    int ret;

    x->dir.fd = x->stdout_fd = -1;
    x->files = calloc(x->call->ninputs + 1, sizeof *x->files);
    x->runs = calloc(x->k->g->nruns + 1, sizeof *x->runs);
    x->buf = malloc(TASK_BUFFER_NBYTES);
    if (!x->files || !x->runs || !x->buf)
        return error_set(err, ENOMEM, "%s: out of memory", x->k->t->label);
    ret = program_dir_make(&x->dir);
    if (ret < 0)
        return system_error(x, "making a temporary directory", -ret, err);
    if (!x->command->uses_out)
        x->stdout_fd = open_nameless(x);
    if (!x->command->uses_out && x->stdout_fd < 0)
        return system_error(x, "making a temporary file", errno, err);
    return 0;
}

static void close_execution(struct execution *x)
{
    for (size_t i = 0; x->files && i < x->call->ninputs; i++)
        free(x->files[i]);
    for (size_t i = 0; x->runs && i < x->k->g->nruns; i++)
        free(x->runs[i]);
    free(x->files);
    free(x->runs);
    free(x->buf);
    if (x->stdout_fd >= 0)
        close(x->stdout_fd);
    program_dir_remove(&x->dir);
}

int compute_command(const struct work *k, struct blob **out, struct error *err)
{
    struct execution x = {.k = k, .call = k->t->call, .command = k->t->call->recipe->command};
    int ret = open_execution(&x, err);

    if (ret == 0)
        ret = prepare_inputs(&x, err);
    if (ret == 0)
        ret = run_program(&x, err);
    /* a source that has changed explains a failure too */
    if ((ret == 0 || err->code == EIO) && check_sources(&x, err) < 0)
        ret = -ESTALE;
    if (ret == 0)
        ret = store_result(&x, out, err);
    close_execution(&x);
    return ret;
}
