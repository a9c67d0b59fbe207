/* SPDX-License-Identifier: MIT
 *
 * Facts as files:
 *
 *     ROOT/v1/secret           16 random bytes, mode 0600
 *     ROOT/v1/names/KEY        magic, XXH3 of the rest, the rest: what KEY is known to be
 *
 * KEY is a hash of the kind of the fact and of what it is about. A file is complete when it gets its
 * name, by link(2): whoever is first stays. Only the secret is synced, before the first fact about a
 * content: a damaged file goes when it is met. One that is used tells so by its time, at most once a
 * day, so that others can go (disk_sweep_headers() in cache_disk.h).
 *
 * Facts of caches that are only read come second, and are never copied. Those about contents mean
 * something only under the secret that they were hashed with; under another one they are not found.
 */
#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <xxhash.h>

#include "fd.h"

enum { FACT_MAX_NBYTES = 1024, USED_S = 24 * 3600, VERSION = 1 };
static const uint64_t MAGIC = 0x316d616e736676; /* 'vfsnam1' */

struct names {
    char *root; /* NULL: nothing is kept */
    struct names_from from;
    pthread_mutex_t lock;
    bool has_secret;           /* guarded by lock */
    bool secret_is_safe;       /* on the disk; guarded by lock */
    struct hash_secret secret; /* set once */
};

struct fact_head {
    uint64_t magic, xxh3;
};

struct names *names_new(const char *root, const struct names_from *from)
{
    struct names *n = calloc(1, sizeof *n);

    if (!n)
        return NULL;
    n->from = *from;
    n->root = root ? strdup(root) : NULL;
    if (root && !n->root) {
        free(n);
        return NULL;
    }
    pthread_mutex_init(&n->lock, NULL);
    return n;
}

void names_free(struct names *n)
{
    if (!n)
        return;
    pthread_mutex_destroy(&n->lock);
    free(n->root);
    free(n);
}

/* ---- files ---- */

/* A new file `path` with these bytes, unless there is one. False: it could not be made. */
static bool make_file(const char *path, const void *bytes, size_t nbytes)
{
    char *temp = NULL;
    int fd = asprintf(&temp, "%s.XXXXXX", path) < 0 ? -1 : mkostemp(temp, O_CLOEXEC);
    bool made = false;

    if (fd >= 0) {
        made = fd_write(fd, bytes, nbytes) == 0;
        made = close(fd) == 0 && made && (link(temp, path) == 0 || errno == EEXIST);
        unlink(temp);
    }
    free(temp);
    return made;
}

static int open_file(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

/* ---- the secret ---- */

/* One that a crash has cut off goes. */
static bool read_secret(const char *path, unsigned char key[HASH_KEY_NBYTES])
{
    int fd = open_file(path);
    ssize_t got = fd < 0 ? -1 : fd_pread(fd, key, HASH_KEY_NBYTES, 0);

    if (fd >= 0)
        close(fd);
    if (got >= 0 && got != HASH_KEY_NBYTES)
        unlink(path);
    return got == HASH_KEY_NBYTES;
}

static bool find_their_secret(const struct names *n, unsigned char key[HASH_KEY_NBYTES])
{
    for (size_t i = 0; i < n->from.n; i++)
        if (n->from.read(n->from.ctx, i, NULL, "secret", key, HASH_KEY_NBYTES) == HASH_KEY_NBYTES)
            return true;
    return false;
}

static bool find_secret(const struct names *n, unsigned char key[HASH_KEY_NBYTES])
{
    unsigned char fresh[HASH_KEY_NBYTES];
    char *path = NULL;
    bool found, theirs;

    if (!n->root)
        return find_their_secret(n, key);
    if (asprintf(&path, "%s/v1/secret", n->root) < 0)
        return false;
    found = read_secret(path, key);
    theirs = !found && find_their_secret(n, fresh);
    if (theirs || (!found && getentropy(fresh, sizeof fresh) == 0))
        found = make_file(path, fresh, sizeof fresh) && read_secret(path, key);
    if (!found && theirs) /* it cannot be kept here, but finds what is kept there */
        memcpy(key, fresh, sizeof fresh);
    free(path);
    return found || theirs;
}

const struct hash_secret *names_secret(struct names *n)
{
    unsigned char key[HASH_KEY_NBYTES];
    bool has;

    pthread_mutex_lock(&n->lock);
    has = n->has_secret;
    pthread_mutex_unlock(&n->lock);
    if (has)
        return &n->secret;
    if (!find_secret(n, key))
        return NULL;
    pthread_mutex_lock(&n->lock);
    if (!n->has_secret)
        keyed_hash()->secret(key, &n->secret);
    n->has_secret = true;
    pthread_mutex_unlock(&n->lock);
    return &n->secret;
}

/* A first read does not wait for the disk; what is kept under the secret does. */
static bool secure_secret(struct names *n)
{
    char *path = NULL;
    int fd;
    bool safe;

    pthread_mutex_lock(&n->lock);
    safe = !n->root || n->secret_is_safe;
    pthread_mutex_unlock(&n->lock);
    if (safe || asprintf(&path, "%s/v1/secret", n->root) < 0)
        return safe;
    fd = open_file(path);
    free(path);
    if (fd < 0)
        return false;
    safe = fsync(fd) == 0;
    close(fd);
    pthread_mutex_lock(&n->lock);
    n->secret_is_safe = safe;
    pthread_mutex_unlock(&n->lock);
    return safe;
}

/* ---- facts ---- */

/* The key of the fact of this kind about subject[nbytes]. False: out of memory. */
static bool key_of(const char *kind, const void *subject, size_t nbytes, struct key *out)
{
    struct key_builder *b = key_begin(kind, VERSION);

    if (!b)
        return false;
    key_add(b, "of", subject, nbytes);
    key_end(b, out);
    return true;
}

/* Its path in the own cache. malloced; NULL: out of memory. */
static char *path_of(const struct names *n, const struct key *key)
{
    char *path = NULL;

    return asprintf(&path, "%s/v1/names/%s", n->root, key->hex) < 0 ? NULL : path;
}

/* buf[n] was read from a file, or n is -errno. -ENOENT: it is no sound fact of out_nbytes. */
static int parse_fact(const unsigned char *buf, ssize_t n, void *out, size_t out_nbytes)
{
    struct fact_head head;

    if (n < 0)
        return (int)n;
    if ((size_t)n != sizeof head + out_nbytes)
        return -ENOENT;
    memcpy(&head, buf, sizeof head);
    if (head.magic != MAGIC || head.xxh3 != XXH3_64bits(buf + sizeof head, out_nbytes))
        return -ENOENT;
    memcpy(out, buf + sizeof head, out_nbytes);
    return 0;
}

static void note_use(int fd)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && llabs((long long)time(NULL) - st.st_mtim.tv_sec) > USED_S)
        (void)futimens(fd, NULL); /* refused: it looks older than it is */
}

/* -ENOENT: there is no sound fact; other codes: it cannot be read. */
static int look_here(const struct names *n, const struct key *key, void *out, size_t out_nbytes)
{
    unsigned char buf[FACT_MAX_NBYTES];
    char *path = n->root ? path_of(n, key) : NULL;
    int fd = path ? open_file(path) : -1;
    int ret = !n->root ? -ENOENT : !path ? -ENOMEM : fd < 0 ? -errno : 0;

    if (ret == 0) {
        ret = parse_fact(buf, fd_pread(fd, buf, sizeof buf, 0), out, out_nbytes);
        if (ret == 0)
            note_use(fd);
        else if (ret == -ENOENT)
            unlink(path);
        close(fd);
    }
    free(path);
    return ret;
}

static int look_there(const struct names *n, size_t which, const struct key *key, void *out,
                      size_t out_nbytes)
{
    unsigned char buf[FACT_MAX_NBYTES];
    char name[KEY_HEX + 1];

    snprintf(name, sizeof name, "%.*s", KEY_HEX, key->hex);
    return parse_fact(buf, n->from.read(n->from.ctx, which, "names", name, buf, sizeof buf), out,
                      out_nbytes);
}

/* -ENOENT: nobody has a sound fact; other codes: somebody's cannot be read. */
static int look(const struct names *n, const char *kind, const void *subject, size_t nbytes,
                void *out, size_t out_nbytes)
{
    struct key key;
    int ret = key_of(kind, subject, nbytes, &key) ? 0 : -ENOMEM;
    int fault = 0;

    if (ret < 0)
        return ret;
    ret = look_here(n, &key, out, out_nbytes);
    for (size_t i = 0; ret < 0 && i < n->from.n; i++) {
        fault = resolve_is_fault(ret) ? ret : fault;
        ret = look_there(n, i, &key, out, out_nbytes);
    }
    return ret < 0 && fault < 0 ? fault : ret;
}

static bool find(const struct names *n, const char *kind, const void *subject, size_t nbytes,
                 void *out, size_t out_nbytes)
{
    return look(n, kind, subject, nbytes, out, out_nbytes) == 0;
}

static void add(const struct names *n, const char *kind, const void *subject, size_t nbytes,
                const void *what, size_t what_nbytes)
{
    unsigned char buf[FACT_MAX_NBYTES];
    struct fact_head head = {MAGIC, XXH3_64bits(what, what_nbytes)};
    char *path, *dir = NULL;
    struct key key;

    if (!n->root || !key_of(kind, subject, nbytes, &key) ||
        look_here(n, &key, buf, what_nbytes) == 0)
        return;
    path = path_of(n, &key);
    if (path) {
        memcpy(buf, &head, sizeof head);
        memcpy(buf + sizeof head, what, what_nbytes);
        if (!make_file(path, buf, sizeof head + what_nbytes) &&
            asprintf(&dir, "%s/v1/names", n->root) >= 0 && mkdir(dir, 0700) == 0)
            (void)make_file(path, buf, sizeof head + what_nbytes);
    }
    free(dir);
    free(path);
}

/* ---- kinds of facts ---- */

/* On disk, a name has no NUL. */
static bool find_name(const struct names *n, const char *kind, const void *subject, size_t nbytes,
                      struct key *name)
{
    struct key found = {.hex = ""};

    if (!find(n, kind, subject, nbytes, found.hex, KEY_HEX))
        return false;
    *name = found;
    return true;
}

bool names_of_attributes(const struct names *n, const struct key *own, struct named *out)
{
    char found[KEY_HEX + SESSION_HEX];

    if (!find(n, "attributes", own->hex, KEY_HEX, found, sizeof found))
        return false;
    *out = (struct named){.parts = ""};
    memcpy(out->name.hex, found, KEY_HEX);
    memcpy(out->parts, found + KEY_HEX, SESSION_HEX);
    return true;
}

void names_add_attributes(const struct names *n, const struct key *own, const struct named *what)
{
    char fact[KEY_HEX + SESSION_HEX];

    memcpy(fact, what->name.hex, KEY_HEX);
    memcpy(fact + KEY_HEX, what->parts, SESSION_HEX);
    add(n, "attributes", own->hex, KEY_HEX, fact, sizeof fact);
}

bool names_know_place(const struct names *n, const char *place)
{
    char none;

    return find(n, "place", place, strlen(place), &none, 0);
}

void names_add_place(const struct names *n, const char *place)
{
    add(n, "place", place, strlen(place), "", 0);
}

bool names_know_size(const struct names *n, uint64_t nbytes)
{
    char none;

    return find(n, "size", &nbytes, sizeof nbytes, &none, 0);
}

bool names_know_fingerprint(const struct names *n, const struct content_id *id)
{
    char none;

    return find(n, "fingerprint", id->fingerprint, HASH_NBYTES, &none, 0);
}

bool names_of_content(const struct names *n, const struct content_id *id, struct key *name)
{
    return find_name(n, "content", id->hash, HASH_NBYTES, name);
}

/* The name first: what is found through the others has one. */
void names_add_content(struct names *n, const struct content_id *id, const struct key *name)
{
    if (!secure_secret(n))
        return;
    add(n, "content", id->hash, HASH_NBYTES, name->hex, KEY_HEX);
    add(n, "fingerprint", id->fingerprint, HASH_NBYTES, "", 0);
    add(n, "size", &id->nbytes, sizeof id->nbytes, "", 0);
}

struct annex_fact {
    char name[KEY_HEX];
    uint64_t codec, reading_nbytes, header_nbytes;
    unsigned char header[NIFTI_HEADER_NBYTES];
};

_Static_assert(sizeof(struct annex_fact) + sizeof(struct fact_head) <= FACT_MAX_NBYTES, "it fits");

int names_of_annex(const struct names *n, const char *annex_key, struct annexed *out)
{
    struct annex_fact fact;
    int ret = look(n, "annex", annex_key, strlen(annex_key), &fact, sizeof fact);

    if (ret < 0)
        return ret == -ENOENT || resolve_is_fault(ret) ? ret : -ENOENT;
    if (fact.header_nbytes > sizeof fact.header)
        return -ENOENT;
    *out = (struct annexed){.header = {.nbytes = (size_t)fact.header_nbytes,
                                       .codec = codec_with_id((unsigned)fact.codec),
                                       .reading_nbytes = (size_t)fact.reading_nbytes}};
    memcpy(out->name.hex, fact.name, KEY_HEX);
    memcpy(out->header.bytes, fact.header, sizeof fact.header);
    return out->header.codec ? 0 : -ENOENT; /* else a later version's */
}

void names_add_annex(const struct names *n, const char *annex_key, const struct annexed *what)
{
    struct annex_fact fact;

    memset(&fact, 0, sizeof fact);
    memcpy(fact.name, what->name.hex, KEY_HEX);
    fact.codec = what->header.codec->id;
    fact.reading_nbytes = what->header.reading_nbytes;
    fact.header_nbytes = what->header.nbytes;
    memcpy(fact.header, what->header.bytes, sizeof fact.header);
    add(n, "annex", annex_key, strlen(annex_key), &fact, sizeof fact);
}
