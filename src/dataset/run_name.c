/* SPDX-License-Identifier: MIT
 *
 * What a run is called in keys.
 *
 *     known attributes ------------------------------------> the name recorded for them
 *     a fingerprint that some content has -- hash all -----> the name recorded for the content
 *     else ------------------------------------------------> its own; recorded when it was read
 *
 * So results belong to contents, and not even a copy's first reader has to know that it is one before
 * the file is read. The first two lines give names that are right for ever: attributes are recorded
 * only where they last, and after the content was hashed.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "annex_digest.h"
#include "run.h"

/* From here on the run has this name, unless more is known of it already. */
static void settle(struct run *run, enum run_named named, const struct key *name)
{
    struct naming *n = &run->naming;

    pthread_mutex_lock(&n->lock);
    if (named > n->named) {
        n->named = named;
        n->name = *name;
    }
    pthread_mutex_unlock(&n->lock);
}

enum run_named run_named(struct run *run)
{
    enum run_named named;

    pthread_mutex_lock(&run->naming.lock);
    named = run->naming.named;
    pthread_mutex_unlock(&run->naming.lock);
    return named;
}

/* Without memory for a hash, the attributes as they are. */
static void name_after_attributes(const struct source_id *id, struct key *out)
{
    if (!source_id_name(id, out))
        snprintf(out->hex, sizeof out->hex, "%.8s%08x%016llx%08x", id->fs.hex, (unsigned)id->ino,
                 (unsigned long long)id->ctime_ns, (unsigned)id->size);
}

static struct key name_of(struct run *run)
{
    struct named known;
    struct key own, name;

    if (run_named(run) == NAMED_NOT) {
        name_after_attributes(&run->id, &own);
        if (run->names && run->id.lasting && names_of_attributes(run->names, &own, &known))
            settle(run, NAMED_CONTENT, &known.name);
        else
            settle(run, NAMED_ATTRIBUTES, &own);
    }
    pthread_mutex_lock(&run->naming.lock);
    name = run->naming.name;
    pthread_mutex_unlock(&run->naming.lock);
    return name;
}

void run_add_to_key(struct run *run, struct key_builder *b)
{
    struct key name = name_of(run);

    key_add_key(b, "source", &name);
}

bool run_is_checked(struct run *run)
{
    bool checked;

    (void)name_of(run);
    pthread_mutex_lock(&run->naming.lock);
    checked = run->naming.checked || run->naming.named >= NAMED_CONTENT;
    pthread_mutex_unlock(&run->naming.lock);
    return checked;
}

void run_note_checked(struct run *run)
{
    pthread_mutex_lock(&run->naming.lock);
    run->naming.checked = true;
    pthread_mutex_unlock(&run->naming.lock);
}

/* What keys of its parts have; the same for as long as the run is. */
static void parts_of(struct run *run, const struct key *name, char out[SESSION_HEX])
{
    struct naming *n = &run->naming;
    struct named known;

    memcpy(known.parts, filesystem_session(), SESSION_HEX);
    if (run->names && !names_of_attributes(run->names, name, &known))
        memcpy(known.parts, filesystem_session(), SESSION_HEX);
    pthread_mutex_lock(&n->lock);
    if (!n->parts[0])
        memcpy(n->parts, known.parts, SESSION_HEX);
    memcpy(out, n->parts, SESSION_HEX);
    pthread_mutex_unlock(&n->lock);
}

void run_add_part_to_key(struct run *run, struct key_builder *b)
{
    struct key name = name_of(run);
    char parts[SESSION_HEX];

    key_add_key(b, "source", &name);
    if (run->codec->plain)
        return;
    parts_of(run, &name, parts);
    key_add(b, "session", parts, sizeof parts);
}

bool run_may_have_name(struct run *run)
{
    bool unknown;

    (void)name_of(run);
    pthread_mutex_lock(&run->naming.lock);
    unknown = run->naming.named == NAMED_ATTRIBUTES && !run->naming.looked;
    pthread_mutex_unlock(&run->naming.lock);
    return unknown && run->names && names_know_size(run->names, run->id.size);
}

static int look_for_name(struct run *run, bool was_settled, struct source *s, struct error *err)
{
    struct content_id content;
    struct key name;
    int ret = source_read_content(s, false, &content, err);

    if (ret < 0 || !names_know_fingerprint(run->names, &content))
        return ret;
    ret = source_read_content(s, true, &content, err);
    if (ret < 0 || !names_of_content(run->names, &content, &name))
        return ret;
    if (run->id.lasting && was_settled) {
        struct named known = {.name = name};
        struct key own;

        if (source_id_name(&run->id, &own))
            names_add_attributes(run->names, &own, &known);
    }
    settle(run, NAMED_CONTENT, &name);
    return 0;
}

int run_find_name(int rootfd, struct run *run, const struct cancel_token *cancel, struct error *err)
{
    struct source_options options = {.expect = &run->id, .secret = names_secret(run->names)};
    bool was_settled = source_is_settled(&run->id);
    struct source *s;
    int ret;

    if (!options.secret)
        return 0;
    ret = source_open(rootfd, run->path, &options, &s, err);
    if (ret < 0)
        return ret == -ENOMEM ? ret : 0;
    source_set_cancel(s, cancel);
    ret = look_for_name(run, was_settled, s, err);
    source_close(s);
    if (ret == -ENOMEM || ret == -ECANCELED)
        return ret;
    pthread_mutex_lock(&run->naming.lock);
    run->naming.looked = true;
    pthread_mutex_unlock(&run->naming.lock);
    return 0;
}

/* Where the run lies, on a file system whose names last: its directory and its name there. malloced, or
 * NULL. */
static char *place_of(int rootfd, const struct run *run)
{
    const char *slash = strrchr(run->path, '/'), *name = slash ? slash + 1 : run->path;
    char *dir = strndup(run->path, (size_t)(name - run->path)), *place = NULL;
    struct stat st;

    if (dir && run->names && run->id.lasting && fstatat(rootfd, *dir ? dir : ".", &st, 0) == 0 &&
        asprintf(&place, "%.*s %llu %s", KEY_HEX, run->id.fs.hex, (unsigned long long)st.st_ino,
                 name) < 0)
        place = NULL;
    free(dir);
    return place;
}

enum run_standing run_standing(int rootfd, struct run *run)
{
    char *place;
    bool known;

    (void)name_of(run);
    if (run_named(run) >= NAMED_CONTENT)
        return RUN_KNOWN;
    if (!run->id.lasting)
        return RUN_UNPROVEN;
    place = place_of(rootfd, run);
    known = place && names_know_place(run->names, place);
    free(place);
    return known ? RUN_CHANGED : RUN_UNREAD;
}

static void note_place(int rootfd, const struct run *run)
{
    char *place = place_of(rootfd, run);

    if (place)
        names_add_place(run->names, place);
    free(place);
}

const struct hash_secret *run_hash_secret(struct run *run)
{
    return run->names && run_named(run) < NAMED_CONTENT ? names_secret(run->names) : NULL;
}

/* Wait until no change of the file can leave its attributes as they are: a moment, or not at all. */
static bool become_settled(const struct run *run)
{
    static const struct timespec moment = {.tv_nsec = 5000000};

    for (int i = 0; i < 5 && !source_is_settled(&run->id); i++)
        nanosleep(&moment, NULL);
    return source_is_settled(&run->id);
}

/* Has the file, now that it is settled, the content that it had when it was read? */
static bool still_has(int rootfd, const struct run *run, const struct content_id *content)
{
    struct source_options options = {.expect = &run->id, .secret = names_secret(run->names)};
    struct content_id now;
    struct source *s;
    bool same;

    if (!become_settled(run) || source_open(rootfd, run->path, &options, &s, NULL) < 0)
        return false;
    same = source_read_content(s, true, &now, NULL) == 0 &&
           memcmp(now.hash, content->hash, sizeof now.hash) == 0;
    source_close(s);
    return same;
}

/* All of the file at `path`, if it is `id`. */
static bool hash_file(struct names *names, int rootfd, const char *path, const struct source_id *id,
                      struct content_id *out)
{
    struct source_options options = {.expect = id, .secret = names ? names_secret(names) : NULL};
    struct source *s;
    bool hashed;

    if (!options.secret || source_open(rootfd, path, &options, &s, NULL) < 0)
        return false;
    hashed = source_read_content(s, true, out, NULL) == 0;
    source_close(s);
    return hashed;
}

static bool is_linked(struct run *run, const struct source_id *now)
{
    bool known;

    pthread_mutex_lock(&run->naming.lock);
    known = run->naming.linked.size > 0 && source_id_equal(&run->naming.linked, now);
    pthread_mutex_unlock(&run->naming.lock);
    return known;
}

bool run_still_has(int rootfd, struct run *run, const struct content_id *content,
                   struct source_id *now)
{
    struct key own = name_of(run), name;
    struct content_id found;
    bool same;

    if (source_identify(rootfd, -1, run->path, now, NULL) < 0 ||
        !source_id_differs_in_ctime(&run->id, now))
        return false;
    if (is_linked(run, now))
        return true;
    if (!hash_file(run->names, rootfd, run->path, now, &found))
        return false;
    same = content ? memcmp(found.hash, content->hash, sizeof found.hash) == 0
                   : run_named(run) == NAMED_CONTENT &&
                         names_of_content(run->names, &found, &name) && key_equal(&name, &own);
    if (same) {
        pthread_mutex_lock(&run->naming.lock);
        run->naming.linked = *now;
        pthread_mutex_unlock(&run->naming.lock);
    }
    return same;
}

bool file_content_key(struct names *names, int rootfd, const char *path, const struct source_id *id,
                      struct key *out)
{
    struct content_id content;
    struct key_builder *b;

    if (!hash_file(names, rootfd, path, id, &content))
        return false;
    b = key_begin("file content", 1);
    if (!b)
        return false;
    key_add(b, "hash", content.hash, sizeof content.hash);
    key_end(b, out);
    return true;
}

/* ---- git-annex keys ---- */

static int digest(struct source *s, struct annex_digest *d, struct error *err)
{
    unsigned char *buf = malloc(CONTENT_BLOCK_NBYTES);
    size_t got = 1;
    int ret = buf ? 0 : error_set(err, ENOMEM, "out of memory");

    for (uint64_t off = 0; ret == 0 && got > 0; off += got) {
        ret = source_read_stored(s, off, buf, CONTENT_BLOCK_NBYTES, &got, err);
        if (ret == 0)
            annex_digest_add(d, buf, got);
    }
    free(buf);
    return ret;
}

/* Is the content what the key says? */
static bool keeps_its_claim(struct run *run, struct source *s)
{
    struct annex_digest *d = annex_digest_new(run->id.annex_key);
    bool read = d && digest(s, d, NULL) == 0 && source_check(s, NULL) == 0;

    return annex_digest_end(d) && read;
}

static void verify_annex_key(int rootfd, struct run *run)
{
    struct source_options options = {.expect = &run->id};
    struct annexed known = {.name = name_of(run)};
    struct source *s;

    if (names_of_annex(run->names, run->id.annex_key, &known) == 0 ||
        source_open(rootfd, run->path, &options, &s, NULL) < 0)
        return;
    known = (struct annexed){.name = name_of(run), .header = {.codec = source_codec(s)}};
    if (source_read_some(s, known.header.bytes, sizeof known.header.bytes, &known.header.nbytes,
                         NULL) == 0) {
        known.header.reading_nbytes = run->reading_nbytes;
        if (keeps_its_claim(run, s))
            names_add_annex(run->names, run->id.annex_key, &known);
    }
    source_close(s);
}

void run_learn(int rootfd, struct run *run, const struct content_id *content, bool was_settled)
{
    struct named named = {.name = name_of(run)};
    struct key *name = &named.name, known;

    if (!was_settled && !still_has(rootfd, run, content))
        return;
    if (!names_of_content(run->names, content, &known))
        names_add_content(run->names, content, name);
    parts_of(run, name, named.parts);
    names_add_attributes(run->names, name, &named); /* and nobody has to hash it again */
    note_place(rootfd, run);
    settle(run, NAMED_CONTENT, name);
    if (run->id.annex_key[0])
        verify_annex_key(rootfd, run);
}
