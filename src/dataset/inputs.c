/* SPDX-License-Identifier: MIT
 *
 * Names are compared first; only the file that is chosen is looked at. Costs a look at each directory
 * on the way and at one file for each run.
 */
#include "inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fd.h"
#include "grow.h"
#include "text.h"

/* One input of one run. */
struct search {
    struct finder *finder;
    enum scan_freshness freshness;
    const struct input *input;
    const struct run *run;
    const char *dir;      /* of the run */
    struct bids_name own; /* the run's name */
    FILE *looked;         /* the directories looked into; text, once it is ended */
    char *text;
    size_t text_nbytes;
};

static int out_of_memory(struct error *err, const struct input *in)
{
    return error_set(err, ENOMEM, "%s: out of memory", input_title(in));
}

/* ---- names ---- */

/* In which grid an image is. */
static const char *const grid_keys[] = {"space", "cohort", "res", "den", "hemi"};

static bool is_same_ending(const struct input_name *a, const struct input_name *b)
{
    return a->nifti ? b->nifti : strcmp(a->ending, b->ending) == 0;
}

/* The entities that the file has beside those of the pattern; -1: it does not fit. */
static int count_matches(const struct search *s, const struct input_name *pattern,
                         const struct input_name *file)
{
    bool other_space = input_name_label(pattern, grid_keys[0]) != NULL;
    int n = 0;

    if (strcmp(file->suffix, pattern->suffix) != 0 || !is_same_ending(pattern, file))
        return -1;
    for (size_t i = 0; i < pattern->nentities; i++)
        if (!bids_same_label(pattern->entity[i].key, pattern->entity[i].label,
                             input_name_label(file, pattern->entity[i].key)))
            return -1;
    for (size_t i = 0; i < file->nentities; i++) {
        const char *key = file->entity[i].key;

        if (input_name_label(pattern, key))
            continue;
        if (!bids_same_label(key, file->entity[i].label, bids_value(&s->own, key)))
            return -1;
        n++;
    }
    /* in a space of its own the pattern has a resolution of its own, too */
    for (size_t i = 0; !other_space && i < sizeof grid_keys / sizeof *grid_keys; i++)
        if (!input_name_label(pattern, grid_keys[i]) && bids_value(&s->own, grid_keys[i]) &&
            !input_name_label(file, grid_keys[i]))
            return -1;
    return n;
}

/* Do they differ in nothing but their endings? Then *preferred is the one that counts. */
static bool are_twins(const char *a, const char *b, const char **preferred)
{
    size_t na, nb;
    const struct codec *of_a = codec_of_name(a, &na), *of_b = codec_of_name(b, &nb);
    size_t i = 0;

    if (na != nb || memcmp(a, b, na) != 0)
        return false;
    while (codec_at(i) != of_a && codec_at(i) != of_b)
        i++;
    *preferred = codec_at(i) == of_a ? a : b;
    return true;
}

/* Find the name in a folder: borrowed from it; NULL: none. EINVAL: two fit equally well. */
static int choose(const struct search *s, const struct folder *folder, const char *dir,
                  const struct input_name *pattern, const char **out, struct error *err)
{
    struct input_name name;
    const char *tie = NULL;
    int best = -1;

    *out = NULL;
    for (size_t i = 0; i < folder->n; i++) {
        const char *file = folder->names[i];
        int n = strstr(file, pattern->suffix) && input_name_parse(file, &name)
                    ? count_matches(s, pattern, &name)
                    : -1;

        if (n < 0 || n < best || (n == best && are_twins(*out, file, out)))
            continue;
        tie = n == best ? *out : NULL;
        best = n;
        *out = file;
    }
    if (!tie)
        return 0;
    return error_set(err, EINVAL, "%s: %s%s%s and %s fit %s equally well: name one more entity",
                     input_title(s->input), dir, *dir ? "/" : "", tie, *out,
                     base_name(s->run->path));
}

/* ---- directories ---- */

static bool is_entity_dir(const char *name)
{
    return strncmp(name, "sub-", 4) == 0 || strncmp(name, "ses-", 4) == 0;
}

/* The directory above, in place; false: there is none, or it is that of all subjects. */
static bool go_up(char *dir)
{
    char *slash = strrchr(dir, '/');

    if (!*dir || strncmp(base_name(dir), "sub-", 4) == 0)
        return false;
    *(slash ? slash : dir) = '\0';
    return true;
}

/* Look for the pattern in one directory. *path is malloced; NULL: it is not there. */
static int look_into(struct search *s, const char *dir, const struct input_name *pattern,
                     char **path, struct error *err)
{
    struct folder *folder;
    const char *name;
    int ret = finder_names(s->finder, dir, s->freshness, &folder, err);

    if (ret < 0)
        return ret;
    fprintf(s->looked, "%s%s", ftell(s->looked) > 0 ? ", " : "", *dir ? dir : ".");
    ret = choose(s, folder, dir, pattern, &name, err);
    if (ret == 0 && name) {
        *path = join_path(dir, name);
        ret = *path ? 0 : out_of_memory(err, s->input);
    }
    folder_put(folder);
    return ret;
}

/* The same beside the run: in DIR/DATATYPE. */
static int look_beside(struct search *s, const char *dir, const char *datatype, size_t nbytes,
                       const struct input_name *pattern, char **path, struct error *err)
{
    char *beside;
    int ret;

    if (asprintf(&beside, "%s%s%.*s", dir, *dir ? "/" : "", (int)nbytes, datatype) < 0)
        return out_of_memory(err, s->input);
    ret = look_into(s, beside, pattern, path, err);
    free(beside);
    return ret;
}

static int search_pattern(struct search *s, const char *text, char **path, struct error *err)
{
    const char *file = input_pattern_file(text);
    size_t datatype = file > text ? (size_t)(file - text) - 1 : 0;
    char *dir = strdup(s->dir);
    struct input_name pattern;
    int ret = dir ? 0 : out_of_memory(err, s->input);
    bool more = ret == 0 && input_name_parse(file, &pattern);

    if (more && datatype > 0 && !is_entity_dir(base_name(dir)))
        go_up(dir); /* out of the run's own datatype */
    while (more && ret == 0 && !*path) {
        if (datatype > 0)
            ret = look_beside(s, dir, text, datatype, &pattern, path, err);
        if (ret == 0 && !*path)
            ret = look_into(s, dir, &pattern, path, err);
        more = go_up(dir);
    }
    free(dir);
    return ret;
}

static void print_patterns(FILE *f, const struct input *in)
{
    for (size_t i = 0; i < in->npatterns; i++) {
        const char *pattern = in->patterns[i], *end = strstr(pattern, ".nii");

        fprintf(f, "%s%.*s.nii[.gz]", i > 0 ? " or " : "", (int)(end - pattern), pattern);
    }
}

static int none_found(struct search *s, struct error *err)
{
    char *patterns = NULL;
    size_t nbytes;
    FILE *f = open_memstream(&patterns, &nbytes);

    if (f) {
        print_patterns(f, s->input);
        patterns = text_end(f, &patterns);
    }
    if (!patterns)
        return out_of_memory(err, s->input);
    error_set(err, ENOENT, "%s: no file %s for %s; looked in %s", input_title(s->input), patterns,
              base_name(s->run->path), s->text);
    free(patterns);
    return -ENOENT;
}

/* ---- files ---- */

/* Can the file be used as the image of this run? Its sentence names it. */
static int check_file(const struct search *s, const struct run *file, struct error *err)
{
    const struct nifti *h = &file->nifti, *grid = &s->run->nifti;
    const char *title = input_title(s->input), *path = file->path;

    if (file->state == RUN_OK)
        return error_set(err, EINVAL, "%s: %s has %lld volumes, and %s has one", title, path,
                         (long long)h->nvol, input_kind_names[s->input->kind]);
    if (file->state != RUN_NOT)
        return file->error.fault
                   ? error_fault(err, file->error.code, "%s: %s", title, file->error.text)
                   : error_set(err, file->error.code, "%s: %s", title, file->error.text);
    if (file->error.code) /* no file */
        return error_set(err, EINVAL, "%s: %s", title, file->error.text);
    if (!h->real || h->nvol != 1 || h->content == NIFTI_CIFTI || h->content == NIFTI_WARP)
        return error_set(err, EINVAL, "%s: %s is %s", title, path, nifti_content_text(h->content));
    if (!nifti_same_shape(h, grid))
        return error_set(err, EINVAL,
                         "%s: %s (%lldx%lldx%lld) is on another grid than %s (%lldx%lldx%lld); "
                         "nothing is resampled",
                         title, path, (long long)h->dim[0], (long long)h->dim[1],
                         (long long)h->dim[2], base_name(s->run->path), (long long)grid->dim[0],
                         (long long)grid->dim[1], (long long)grid->dim[2]);
    if (!nifti_same_grid(h, grid))
        return error_set(err, EINVAL,
                         "%s: %s is on another grid than %s: their affines differ; nothing is "
                         "resampled",
                         title, path, base_name(s->run->path));
    return file->codec->plain && !file->absent ? run_check_length(file, err) : 0;
}

/* Restrict the rights to those who may search directory `path`. */
static void restrict_to(int rootfd, const char *path, struct rights *r)
{
    int fd = resolve_beneath(rootfd, path, O_PATH | O_DIRECTORY);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        r->mode = 0;
    } else {
        rights_apply_acl(fd, "", &st);
        rights_restrict(r, RIGHT_SEARCH, st.st_mode, st.st_uid, st.st_gid);
    }
    if (fd >= 0)
        close(fd);
}

static bool is_above(const char *dir, size_t nbytes, const char *path)
{
    return strncmp(dir, path, nbytes) == 0 && (path[nbytes] == '/' || path[nbytes] == '\0');
}

/* Who can read the run's directory need not be able to reach the file: directories on the way to it
 * count that are not on the way to the run. */
static int rights_of_file(const struct search *s, const struct run *file, struct rights *out)
{
    char *path = strdup(file->path);

    if (!path)
        return -ENOMEM;
    *out = (struct rights){file->id.mode & 0444, file->id.uid, file->id.gid};
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (!is_above(path, strlen(path), s->dir))
            restrict_to(finder_rootfd(s->finder), path, out);
        *slash = '/';
    }
    free(path);
    return 0;
}

/* ---- inputs ---- */

static int search_patterns(struct search *s, char **path, struct error *err)
{
    int ret = 0;

    s->looked = open_memstream(&s->text, &s->text_nbytes);
    if (!s->looked)
        return out_of_memory(err, s->input);
    for (size_t i = 0; ret == 0 && !*path && i < s->input->npatterns; i++)
        ret = search_pattern(s, s->input->patterns[i], path, err);
    s->text = text_end(s->looked, &s->text);
    if (ret == 0 && !*path)
        ret = s->text ? none_found(s, err) : out_of_memory(err, s->input);
    return ret;
}

/* Find the file of one run. -ENOENT: there is none. *looked is malloced. */
static int find_one(struct search *s, struct run **out, struct rights *rights, char **looked,
                    struct error *err)
{
    char *path = NULL;
    int ret;

    bids_parse(base_name(s->run->path), &s->own);
    ret = search_patterns(s, &path, err);
    *looked = s->text;
    if (ret == 0) {
        *out = finder_file(s->finder, path, s->freshness);
        if (!*out || rights_of_file(s, *out, rights) < 0)
            ret = out_of_memory(err, s->input);
    }
    free(path);
    if (ret == 0)
        ret = check_file(s, *out, err);
    return ret == -ENOENT && *out ? -EIO : ret; /* removed meanwhile */
}

/* All runs need the same image, but may have masks of their own. */
static void compare_files(struct found_input *found)
{
    const struct run *first = NULL;

    for (size_t i = 0; i < found->nruns && found->input->kind != INPUT_MASK; i++) {
        const struct run *file = found->files[i];

        if (file && first && strcmp(file->path, first->path) != 0) {
            error_set(&found->error, EINVAL,
                      "%s: the runs of this group have different files (%s, %s): read the runs' "
                      "own files",
                      input_title(found->input), first->path, file->path);
            return;
        }
        first = file ? file : first;
    }
}

static int find_all(struct finder *f, const char *dir, struct run *const *runs,
                    enum scan_freshness freshness, struct found_input *found)
{
    size_t nsought = 0, nnone = 0;

    for (size_t i = 0; i < found->nruns; i++) {
        struct search s = {
            .finder = f, .freshness = freshness, .input = found->input, .run = runs[i], .dir = dir};
        struct error err;
        int ret;

        if (runs[i]->state != RUN_OK)
            continue;
        nsought++;
        ret = find_one(&s, &found->files[i], &found->rights[i], &found->looked[i], &err);
        if (ret == -ENOMEM)
            return ret;
        if (ret == -ENOENT)
            nnone++;
        /* that none is there may be expected: any other error is told first */
        if (ret < 0 && (found->error.code == 0 || found->error.code == ENOENT))
            found->error = err;
    }
    found->absent = nnone == nsought;
    if (found->error.code == 0)
        compare_files(found);
    return 0;
}

static void found_clear(struct found_input *found)
{
    for (size_t i = 0; found->files && i < found->nruns; i++)
        run_put(found->files[i]);
    for (size_t i = 0; found->looked && i < found->nruns; i++)
        free(found->looked[i]);
    free(found->looked);
    free(found->files);
    free(found->rights);
    input_put(found->input);
}

int inputs_find(struct finder *f, const char *dir, struct input *in, struct run *const *runs,
                size_t nruns, enum scan_freshness freshness, struct input_set *set)
{
    struct found_input found = {.input = in, .nruns = nruns};
    int ret = 0;

    if (inputs_get(set, in))
        return 0;
    input_get(in);
    found.files = calloc(nruns + 1, sizeof(struct run *));
    found.rights = calloc(nruns + 1, sizeof *found.rights);
    found.looked = calloc(nruns + 1, sizeof(char *));
    if (!found.files || !found.rights || !found.looked || GROW(set->list, set->n) < 0)
        ret = -ENOMEM;
    if (ret == 0)
        ret = find_all(f, dir, runs, freshness, &found);
    if (ret < 0)
        found_clear(&found);
    else
        set->list[set->n++] = found;
    return ret;
}

const struct found_input *inputs_get(const struct input_set *set, const struct input *in)
{
    for (size_t i = 0; i < set->n; i++)
        if (input_equal(set->list[i].input, in))
            return &set->list[i];
    return NULL;
}

void inputs_clear(struct input_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        found_clear(&set->list[i]);
    free(set->list);
    *set = (struct input_set){.n = 0};
}
