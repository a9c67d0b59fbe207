/* SPDX-License-Identifier: MIT
 *
 * derivctl view: a derived image in an installed viewer, or in a page in the browser.
 *
 *     compute, with a bar --> in a mount? -- yes --> its path there
 *                                  '-------- no ---> a copy in a temporary directory
 *     $DERIVFS_VIEWER, else the first of `viewers` where there is a display, else the page
 *
 * The page reads a series of a mount by itself, in parts, so that only these are computed.
 */
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ctl.h"
#include "ending.h"
#include "page.h"
#include "program.h"
#include "text.h"

/* Programs that open a NIfTI file, in order of preference. */
static const struct {
    const char *program, *command; /* the command line before the path */
} viewers[] = {
    {"mrview", "mrview"},      {"fsleyes", "fsleyes"},   {"freeview", "freeview"},
    {"itksnap", "itksnap -g"}, {"mricrogl", "mricrogl"}, {"mricron", "mricron"},
};

/* The value of $DERIVFS_VIEWER that asks for the page. */
static const char page_name[] = "niivue";

static bool has_display(void)
{
    return getenv("DISPLAY") || getenv("WAYLAND_DISPLAY");
}

/* ---- programs ---- */

/* Is there a program of that name in PATH? */
static bool is_program(const char *name)
{
    struct program program;

    if (program_find(name, -1, &program, NULL) < 0)
        return false;
    program_clear(&program);
    return true;
}

/* The command that shows an image, or NULL: the page. */
static const char *find_viewer(const struct ctl *ctl)
{
    const char *chosen = getenv("DERIVFS_VIEWER");

    if (ctl->no_open)
        return NULL;
    if (chosen && *chosen)
        return strcmp(chosen, page_name) == 0 ? NULL : chosen;
    for (size_t i = 0; has_display() && i < sizeof viewers / sizeof *viewers; i++)
        if (is_program(viewers[i].program))
            return viewers[i].command;
    return NULL;
}

/* Is it one of the viewers above, which open a window, perhaps with a directory and options? */
static bool needs_display(const char *command)
{
    size_t end = strcspn(command, " \t"), start = end;

    while (start > 0 && command[start - 1] != '/')
        start--;
    for (size_t i = 0; i < sizeof viewers / sizeof *viewers; i++)
        if (text_is(viewers[i].program, command + start, end - start))
            return true;
    return false;
}

/* Start "COMMAND ARGUMENT"; the shell splits the command, like $EDITOR. -1: fork failed. */
static pid_t start(const char *command, const char *argument)
{
    pid_t pid = fork();
    char *script;

    if (pid == 0) {
        if (asprintf(&script, "%s \"$1\"", command) >= 0)
            execl("/bin/sh", "sh", "-c", script, "sh", argument, (char *)NULL);
        _exit(127);
    }
    return pid;
}

/* Wait for the viewer's end; Ctrl-C is for the viewer. A path that begins with a dash would be an
 * option to it. */
static int run_viewer(const char *asked, const char *command, const char *path)
{
    struct ending ending;
    char *from_here = NULL;
    int status;
    pid_t pid;

    if (*path == '-' && asprintf(&from_here, "./%s", path) < 0)
        return ctl_say("%s: view: out of memory", asked);
    pid = start(command, from_here ? from_here : path);
    free(from_here);
    if (pid < 0)
        return ctl_say("%s: view: cannot start %s: %s", asked, command, strerror(errno));
    ending_catch(&ending);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        if (ending_signal() && ending_signal() != SIGINT)
            kill(pid, ending_signal());
    ending_release(&ending);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return CTL_OK;
    if (WIFSIGNALED(status))
        return ctl_say("%s: view: %s: killed by signal %d", asked, command, WTERMSIG(status));
    return ctl_say("%s: view: %s: exit status %d%s", asked, command, WEXITSTATUS(status),
                   WEXITSTATUS(status) == 127 ? " (no such program? see $DERIVFS_VIEWER)" : "");
}

/* ---- the page ---- */

/* Find NiiVue's script: $DERIVFS_NIIVUE, beside the installed program, or in the source tree that
 * the program was built in. */
static bool find_niivue(char out[PATH_MAX])
{
    static const char *const places[] = {
        "../" DERIVFS_DATADIR "/derivfs/niivue.umd.js",
        "../../contrib/viewer/node_modules/@niivue/niivue/dist/niivue.umd.js",
    };
    const char *chosen = getenv("DERIVFS_NIIVUE");
    char self[PATH_MAX];
    ssize_t n;

    if (chosen && *chosen)
        return snprintf(out, PATH_MAX, "%s", chosen) < PATH_MAX && access(out, R_OK) == 0;
    n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return false;
    self[n] = '\0';
    dirname(self);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (snprintf(out, PATH_MAX, "%s/%s", self, places[i]) < PATH_MAX && access(out, R_OK) == 0)
            return true;
    return false;
}

static int run_page(const struct ctl *ctl, const struct target *t, const struct found *f,
                    const char *path)
{
    struct derived_info info = derived_info(f->derived);
    struct page_about about = {f->path, info.description, info.unit};
    char niivue[PATH_MAX];
    struct error err;
    struct page *p;

    if (!find_niivue(niivue))
        return ctl_say("%s: view: found neither a viewer nor NiiVue: set DERIVFS_VIEWER to a "
                       "program, or run contrib/setup view to get NiiVue and install again, or set "
                       "DERIVFS_NIIVUE to its niivue.umd.js",
                       t->asked);
    if (page_open(path, &about, niivue, &p, &err) < 0)
        return ctl_say("%s: view: %s", t->asked, err.text);
    printf("%s\n", page_url(p));
    fflush(stdout);
    if (!ctl->no_open && has_display() && is_program("xdg-open"))
        (void)start("xdg-open", page_ticket_url(p)); /* may run as long as the browser */
    else
        ctl_say("open it in a browser on this machine; Ctrl-C ends it");
    page_wait(p);
    page_close(p);
    return CTL_OK;
}

/* ---- the image ---- */

/* `f` is at `path`. */
static int show(const struct ctl *ctl, const struct target *t, const struct found *f,
                const char *path)
{
    const char *viewer = find_viewer(ctl);

    return viewer ? run_viewer(t->asked, viewer, path) : run_page(ctl, t, f, path);
}

/* Compute to a file with the image's name in a new directory, show it, remove both. */
static int show_copy(const struct ctl *ctl, const struct target *t, const struct found_list *list)
{
    const char *tmp = getenv("TMPDIR"), *name = derived_info(list->files[0].derived).name;
    char dir[PATH_MAX], file[PATH_MAX];
    struct ending ending;
    int ret;

    ending_catch(&ending); /* as long as the directory exists */
    if (snprintf(dir, sizeof dir, "%s/derivctl-view.XXXXXX", tmp && *tmp ? tmp : "/tmp") >=
            (int)sizeof dir ||
        !mkdtemp(dir)) {
        ret = ctl_say("%s: view: cannot make a directory for a copy (see $TMPDIR)", t->asked);
    } else {
        if (snprintf(file, sizeof file, "%s/%s", dir, name) >= (int)sizeof file)
            ret = ctl_say("%s: view: the copy's name is too long", t->asked);
        else
            ret = ctl_compute_list(t, list, file);
        if (ret == CTL_OK && !ending_signal())
            ret = show(ctl, t, &list->files[0], file);
        unlink(file);
        rmdir(dir);
    }
    ending_release(&ending);
    return ret;
}

/* Of a series, the page takes the .nii: it is read in parts. *out may be `list`; else it is to be
 * freed. */
static int find_plain(const struct target *t, const struct found_list *list, struct found_list *out)
{
    const char *path = list->files[0].path;
    size_t n = strlen(path);
    struct derived_info info = derived_info(list->files[0].derived);
    struct entry entry;
    struct error err;
    char *plain;

    *out = *list;
    if (info.ndim != 4 || n < 3 || strcmp(path + n - 3, ".gz") != 0)
        return CTL_OK;
    plain = strndup(path, n - 3);
    if (!plain || engine_lookup_path(t->engine, plain, &entry, &err) < 0) {
        ctl_say("%s: view: %s", t->asked, plain ? err.text : "out of memory");
        free(plain);
        return CTL_FAILED;
    }
    *out = (struct found_list){.files = malloc(sizeof *out->files), .n = 1};
    if (!out->files) {
        derived_put(entry.derived);
        free(plain);
        return ctl_say("%s: view: out of memory", t->asked);
    }
    out->files[0] = (struct found){entry.derived, plain};
    return CTL_OK;
}

/* In a mount. */
static int show_there(const struct ctl *ctl, const struct target *t, const struct found_list *list)
{
    bool in_parts = !find_viewer(ctl) && derived_info(list->files[0].derived).ndim == 4;
    size_t n = strlen(t->asked);
    char *path = strdup(t->asked);
    int ret = CTL_OK;

    if (!path)
        return ctl_say("%s: view: out of memory", t->asked);
    if (in_parts && n > 3 && strcmp(path + n - 3, ".gz") == 0)
        path[n - 3] = '\0';
    if (!in_parts)
        ret = ctl_compute_list(t, list, NULL);
    if (ret == CTL_OK)
        ret = show(ctl, t, &list->files[0], path);
    free(path);
    return ret;
}

static int view_file(const struct ctl *ctl, const struct target *t, const struct found_list *list)
{
    const char *viewer = find_viewer(ctl);
    struct found_list plain;
    int ret;

    if (list->n != 1 || !derived_is_image(list->files[0].derived))
        return ctl_say("%s: view: takes one derived image, .nii or .nii.gz", t->asked);
    if (viewer && needs_display(viewer) && !has_display())
        return ctl_say(
            "%s: view: %s needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is "
            "set: log in with ssh -X, or set DERIVFS_VIEWER=%s for a page in the browser",
            t->asked, viewer, page_name);
    plain = *list;
    ret = viewer ? CTL_OK : find_plain(t, list, &plain);
    if (ret == CTL_OK)
        ret = t->status ? show_there(ctl, t, &plain) : show_copy(ctl, t, &plain);
    if (plain.files != list->files)
        found_free(&plain);
    if (ret != CTL_OK) /* interrupted while computing; a signal may also end the viewer */
        ending_raise(ending_signal());
    return ret;
}

int ctl_view(const struct ctl *ctl)
{
    return ctl->npaths == 1 ? ctl_with_files(ctl, ctl->paths[0], view_file) : CTL_USAGE;
}
