/* SPDX-License-Identifier: MIT
 *
 * derivctl graph: the task graph as a text or a picture. Computes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "render.h"
#include "sink.h"

static void status_of(void *ctx, const struct key *key, struct task_status *out)
{
    target_task_status(ctx, key, out);
}

/* The format that the ending of the file name means; NULL: unknown. */
static const char *format_of(const char *out)
{
    static const char *const formats[] = {"dot", "svg", "png"};
    const char *dot = out ? strrchr(out, '.') : ".dot";

    for (size_t i = 0; dot && i < sizeof formats / sizeof *formats; i++)
        if (strcmp(dot + 1, formats[i]) == 0)
            return formats[i];
    return NULL;
}

static int write_out(const char *out, const char *bytes, size_t nbytes)
{
    struct error err;
    int ret = 0;

    if (out)
        ret = sink_put(out, bytes, nbytes, &err);
    else if (fwrite(bytes, 1, nbytes, stdout) != nbytes)
        ret = error_set(&err, errno, "standard output: write: %s", strerror(errno));
    return ret == 0 ? CTL_OK : ctl_say("%s", err.text);
}

static int draw(const struct ctl *ctl, const struct target *t, const struct found *f)
{
    const char *format = format_of(ctl->out);
    struct derived_status status;
    struct dot_view view = {.status = status_of, .ctx = (void *)t};
    struct error err;
    char *text = NULL, *picture = NULL;
    size_t nbytes;
    int ret;

    target_status(t, f->derived, f->path, &status);
    view.error = status.state == STATE_FAILED ? status.error.text : NULL;
    ret = engine_dot(t->engine, f->derived, f->path, &view, &text, &err);
    if (ret == 0 && strcmp(format, "dot") != 0)
        ret = render(text, format, &picture, &nbytes, &err);
    if (ret < 0)
        ret = ctl_say("%s: graph: %s", t->asked, err.text);
    else if (picture)
        ret = write_out(ctl->out, picture, nbytes);
    else
        ret = write_out(ctl->out, text, strlen(text));
    free(picture);
    free(text);
    return ret;
}

static int draw_file(const struct ctl *ctl, const struct target *t, const struct found_list *list)
{
    if (list->n == 1 && strcmp(list->files[0].path, t->path) == 0)
        return draw(ctl, t, &list->files[0]);
    return ctl_say("%s: graph: not a derived file: name one of those that list shows", t->asked);
}

int ctl_graph(const struct ctl *ctl)
{
    if (ctl->npaths != 1)
        return CTL_USAGE;
    if (!format_of(ctl->out)) {
        ctl_say("%s: graph: the name must end in .dot, .svg or .png", ctl->out);
        return CTL_USAGE;
    }
    return ctl_with_files(ctl, ctl->paths[0], draw_file);
}
