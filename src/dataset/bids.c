/* SPDX-License-Identifier: MIT
 *
 * File names.
 *
 *     sub-01_ses-test_task-rest_bold.nii.gz
 *     `----'  entity: key "sub", value "01"
 *     `--------------------------' the entities as written
 *                                `--' suffix
 *     `-----------------------------' stem
 *
 *     sub-01_task-eyes_open_run1_bold.nii.gz      nearly: sub, task-eyes, run-1; rest "open"
 *     ep2d_run02_e1.nii.gz                        free: run-02, echo-1; rest "ep2d_run#"
 *
 * A name is cut up in place in the struct's own copy, so parsing allocates nothing and costs some
 * passes. What breaks a rule is never guessed at: it stays in `rest`, where it tells names apart.
 */
#include "bids.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "codec.h"

/* ASCII whatever the locale: what counts as a run must not depend on the user's environment. */
#define DIGITS "0123456789"
#define WORD DIGITS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LABEL WORD "+" /* the value of an entity; the standard lets a "+" join words */

static bool is_all(const char *text, const char *characters)
{
    return *text && text[strspn(text, characters)] == '\0';
}

static bool is_run_suffix(const char *text, size_t nbytes)
{
    return (nbytes == 4 && memcmp(text, "bold", 4) == 0) ||
           (nbytes == 3 && memcmp(text, "cbv", 3) == 0);
}

static bool add_entity(struct bids_name *out, const char *key, const char *value)
{
    if (out->nentities == BIDS_ENTITIES_MAX || bids_value(out, key))
        return false;
    out->entity[out->nentities++] = (struct bids_entity){.key = key, .value = value};
    return true;
}

static void add_rest(struct bids_name *out, const char *part)
{
    size_t used = strlen(out->rest);

    /* fits: the parts are those of a text of this size */
    snprintf(out->rest + used, sizeof out->rest - used, "%s%s", used > 0 ? "_" : "", part);
}

/* The number in "run1", "run-01" or "e2" after one of these words, or NULL. */
static char *number_after(char *part, const char *const *words)
{
    for (; *words; words++) {
        size_t nbytes = strlen(*words);
        char *number = part + nbytes;

        if (strncasecmp(part, *words, nbytes) != 0)
            continue;
        number += *number == '-';
        if (is_all(number, DIGITS))
            return number;
    }
    return NULL;
}

static const char *const run_words[] = {"run", NULL};
static const char *const echo_words[] = {"echo", "e", NULL};

/* ---- BIDS ---- */

static void note_bad(struct bids_name *out, const char *what)
{
    out->form = BIDS_NEARLY;
    if (!out->bad)
        out->bad = what;
}

/* One part between the first and the suffix. An entity with a bad label is still one, but a run
 * that is no number might be a stage of processing: it must not be joined with the others. */
static void take_part(struct bids_name *out, char *part)
{
    char *value = strchr(part, '-'), *number;

    if (value) {
        *value = '\0';
        if (is_all(part, WORD) && value[1] &&
            !(strcmp(part, "run") == 0 && !is_all(value + 1, LABEL)) &&
            add_entity(out, part, value + 1)) {
            if (!is_all(value + 1, LABEL))
                note_bad(out, value + 1);
            return;
        }
        *value = '-';
    }
    note_bad(out, part);
    if (!value && (number = number_after(part, run_words)) && add_entity(out, "run", number))
        return;
    if (!value && (number = number_after(part, echo_words)) && add_entity(out, "echo", number))
        return;
    add_rest(out, part);
}

/* Cut "bold.dtseries" after "bold". */
static bool cut_suffix(struct bids_name *out, char *part)
{
    char *dot = strchr(part, '.');

    if (dot && is_run_suffix(part, (size_t)(dot - part))) {
        *dot = '\0';
        out->cifti = true;
    }
    out->suffix = part;
    return is_all(part, WORD);
}

static bool cut_up(struct bids_name *out)
{
    char *rest = out->text, *part = strsep(&rest, "_");

    out->form = BIDS_PROPER;
    if (!rest || strncmp(part, "sub-", 4) != 0 || !part[4])
        return false;
    for (; rest; part = strsep(&rest, "_"))
        take_part(out, part);
    return cut_suffix(out, part) && (out->form == BIDS_PROPER || bids_has_run_suffix(out));
}

/* ---- free names ---- */

static const char *const part_names[][2] = {
    {"ph", "phase"}, {"phase", "phase"}, {"real", "real"}, {"imag", "imag"}, {"imaginary", "imag"},
};

/* Is it an ending of dcm2niix, or an entity, for an echo or a part of a complex image? */
static bool take_ending(struct bids_name *out, char *part)
{
    char *number = number_after(part, echo_words);

    if (number)
        return add_entity(out, "echo", number);
    for (size_t i = 0; i < sizeof part_names / sizeof *part_names; i++)
        if (strcasecmp(part, part_names[i][0]) == 0)
            return add_entity(out, "part", part_names[i][1]);
    return false;
}

/* Words before the number of a run. "run" is always one; the others only if no "run" is there. */
static const char *const numbered[] = {"run",  "func", "bold", "fmri", "epi",
                                       "rest", "scan", "task", "r",    NULL};

/* The number that follows a word ending in `word`, with at most one separator between; NULL: none.
 * A single letter must be the whole word, as in AFNI's pb03.s1.r02. The last one counts. */
static char *find_number(char *text, const char *word)
{
    size_t nbytes = strlen(word);
    char *found = NULL;

    for (char *c = text; *c; c++) {
        char *number = c + nbytes;

        if (strncasecmp(c, word, nbytes) != 0 ||
            (nbytes == 1 && c > text && isalnum((unsigned char)c[-1])))
            continue;
        number += *number == '-' || *number == '_' || *number == '.' || *number == ' ';
        if (*number >= '0' && *number <= '9')
            found = number;
    }
    return found;
}

/* Move the run number to the entities; `rest` has "#" in its place. The digits stay in `text`. */
static void take_run_number(struct bids_name *out)
{
    char *number = NULL, *end;

    for (size_t i = 0; numbered[i] && !number; i++)
        number = find_number(out->text, numbered[i]);
    if (!number) {
        add_rest(out, out->text);
        return;
    }
    end = number + strspn(number, DIGITS);
    memcpy(out->rest, out->text, (size_t)(number - out->text));
    strcat(out->rest, "#");
    strcat(out->rest, end);
    *end = '\0';
    add_entity(out, "run", number);
}

/* Cut the endings off, the last first, then look for the number of a run. */
static void cut_free(struct bids_name *out)
{
    static const char *const parts[] = {"phase", "real", "imag"};
    char *end, *part = strstr(out->text, "part-");

    for (size_t i = 0; part && i < sizeof parts / sizeof *parts; i++)
        if (strncmp(part + 5, parts[i], strlen(parts[i])) == 0)
            add_entity(out, "part", parts[i]);

    while ((end = strrchr(out->text, '_')) && end > out->text && take_ending(out, end + 1))
        *end = '\0';
    take_run_number(out);
}

/* ---- names ---- */

bool bids_is_nifti_name(const char *name)
{
    size_t stem_nbytes;
    return codec_of_name(name, &stem_nbytes);
}

bool bids_names_other_format(const char *name)
{
    static const char *const endings[] = {".gii",  ".img",     ".img.gz", ".mgh",
                                          ".mgz",  ".nii.bz2", ".nii.xz", ".nii.lz4",
                                          ".HEAD", ".mif",     ".nrrd"};
    const char *suffix = strrchr(name, '_'), *dot = suffix ? strchr(suffix, '.') : NULL;
    size_t nbytes = strlen(name);

    if (!dot || strncmp(name, "sub-", 4) != 0 ||
        !is_run_suffix(suffix + 1, (size_t)(dot - suffix) - 1))
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t ending = strlen(endings[i]);

        if (nbytes > ending && strcmp(name + nbytes - ending, endings[i]) == 0)
            return true;
    }
    return false;
}

static void copy_stem(struct bids_name *out, const char *name, size_t nbytes)
{
    memset(out, 0, sizeof *out);
    out->suffix = "";
    memcpy(out->text, name, nbytes);
    memcpy(out->stem, name, nbytes);
    memcpy(out->entities, name, nbytes);
}

bool bids_parse(const char *name, struct bids_name *out)
{
    size_t nbytes = 0;
    const struct codec *codec = codec_of_name(name, &nbytes);
    bool fits = nbytes < BIDS_NAME_MAX;

    if (!fits)
        nbytes = BIDS_NAME_MAX - 1;
    copy_stem(out, name, nbytes);
    if (fits && cut_up(out)) {
        *strrchr(out->entities, '_') = '\0';
    } else {
        copy_stem(out, name, nbytes);
        cut_free(out);
    }
    out->codec = codec;
    return out->form != BIDS_FREE;
}

const char *bids_value(const struct bids_name *name, const char *key)
{
    for (size_t i = 0; i < name->nentities; i++)
        if (strcmp(name->entity[i].key, key) == 0)
            return name->entity[i].value;
    return NULL;
}

bool bids_has_run_suffix(const struct bids_name *name)
{
    return is_run_suffix(name->suffix, strlen(name->suffix));
}

bool bids_is_part(const struct bids_name *name)
{
    const char *part = bids_value(name, "part");
    return part && strcmp(part, "mag") != 0;
}

bool bids_joins_over(const char *key)
{
    return strcmp(key, "task") == 0 || strcmp(key, "run") == 0;
}

static size_t count_telling(const struct bids_name *name)
{
    size_t count = 0;
    for (size_t i = 0; i < name->nentities; i++)
        count += !bids_joins_over(name->entity[i].key);
    return count;
}

/* Compare digits as strcmp() compares texts, without leading zeros. */
static int compare_digits(const char *a, size_t na, const char *b, size_t nb)
{
    for (; na > 1 && *a == '0'; na--)
        a++;
    for (; nb > 1 && *b == '0'; nb--)
        b++;
    return na != nb ? (na > nb) - (na < nb) : memcmp(a, b, na);
}

bool bids_same_label(const char *key, const char *a, const char *b)
{
    if (b && (strcmp(key, "run") == 0 || strcmp(key, "echo") == 0) && is_all(a, DIGITS) &&
        is_all(b, DIGITS))
        return compare_digits(a, strlen(a), b, strlen(b)) == 0;
    return b && strcmp(a, b) == 0;
}

/* Do both lack the entity, or have it with the same value? */
static bool same_value(const struct bids_name *a, const struct bids_name *b, const char *key)
{
    const char *x = bids_value(a, key), *y = bids_value(b, key);

    return x ? bids_same_label(key, x, y) : !y;
}

bool bids_same_group(const struct bids_name *a, const struct bids_name *b)
{
    if (strcmp(a->suffix, b->suffix) != 0 || count_telling(a) != count_telling(b) ||
        (*a->suffix && strcmp(a->rest, b->rest) != 0))
        return false;
    for (size_t i = 0; i < a->nentities; i++)
        if (!bids_joins_over(a->entity[i].key) && !same_value(a, b, a->entity[i].key))
            return false;
    return true;
}

bool bids_same_run(const struct bids_name *a, const struct bids_name *b)
{
    return bids_same_group(a, b) && strcmp(a->rest, b->rest) == 0 && same_value(a, b, "task") &&
           same_value(a, b, "run");
}

/* Do the digits at `at` count as a number? */
static bool counts(const char *name, const char *at)
{
    if (strncmp(name, "sub-", 4) != 0 || at - name < 5)
        return strncmp(name, "sub-", 4) != 0;
    at -= at[-1] == '-'; /* "sub-" is before it */
    return strncmp(at - 3, "run", 3) == 0 || strncmp(at - 4, "echo", 4) == 0;
}

int bids_compare(const char *a, const char *b)
{
    const char *x = a, *y = b;

    while (*x && *y) {
        size_t nx = strspn(x, DIGITS), ny = strspn(y, DIGITS);
        int order = *x == *y ? 0 : (unsigned char)*x < (unsigned char)*y ? -1 : 1;

        if (nx > 0 && ny > 0 && counts(a, x) && counts(b, y)) {
            order = compare_digits(x, nx, y, ny);
            x += nx - 1;
            y += ny - 1;
        }
        if (order)
            return order;
        x++;
        y++;
    }
    return strcmp(*x || *y ? x : a, *x || *y ? y : b);
}
