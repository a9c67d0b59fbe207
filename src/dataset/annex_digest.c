/* SPDX-License-Identifier: MIT
 *
 * The hashes of git-annex by nettle and libb2. (Skein, and the parallel BLAKE2s and BLAKE2b, are in
 * neither, or not in these lengths: such keys prove nothing.)
 *
 *     SHA256E-s123--0123456789abcdef....nii.gz     BACKEND[E]-FIELDS--HEX[.ending]
 */
#include "annex_digest.h"

#include <blake2.h>
#include <nettle/md5.h>
#include <nettle/nettle-meta.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST_MAX_NBYTES = 64 };

struct annex_digest {
    const struct nettle_hash *hash; /* NULL: BLAKE2b */
    blake2b_state blake;
    size_t nbytes;                      /* of the digest */
    char wanted[2 * DIGEST_MAX_NBYTES]; /* hex */
    _Alignas(16) unsigned char state[]; /* of `hash` */
};

struct backend {
    const char *name;
    const struct nettle_hash *hash;
    size_t nbytes;
};

/* By the key's first word, with or without the E of those that keep the file's ending. */
static bool find_backend(const char *key, struct backend *out)
{
    const struct backend backends[] = {
        {"MD5", &nettle_md5, 16},           {"SHA1", &nettle_sha1, 20},
        {"SHA224", &nettle_sha224, 28},     {"SHA256", &nettle_sha256, 32},
        {"SHA384", &nettle_sha384, 48},     {"SHA512", &nettle_sha512, 64},
        {"SHA3_224", &nettle_sha3_224, 28}, {"SHA3_256", &nettle_sha3_256, 32},
        {"SHA3_384", &nettle_sha3_384, 48}, {"SHA3_512", &nettle_sha3_512, 64},
        {"BLAKE2B160", NULL, 20},           {"BLAKE2B224", NULL, 28},
        {"BLAKE2B256", NULL, 32},           {"BLAKE2B384", NULL, 48},
        {"BLAKE2B512", NULL, 64},
    };
    size_t n = strcspn(key, "-");

    if (n > 0 && key[n - 1] == 'E')
        n--;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++)
        if (strlen(backends[i].name) == n && strncmp(backends[i].name, key, n) == 0) {
            *out = backends[i];
            return true;
        }
    return false;
}

struct annex_digest *annex_digest_new(const char *annex_key)
{
    const char *hex = strstr(annex_key, "--");
    struct annex_digest *d;
    struct backend backend;

    if (!hex || !find_backend(annex_key, &backend) || strcspn(hex + 2, ".") != 2 * backend.nbytes)
        return NULL;
    d = calloc(1, sizeof *d + (backend.hash ? backend.hash->context_size : 0));
    if (!d)
        return NULL;
    d->hash = backend.hash;
    d->nbytes = backend.nbytes;
    memcpy(d->wanted, hex + 2, 2 * d->nbytes);
    if (d->hash)
        d->hash->init(d->state);
    else
        blake2b_init(&d->blake, d->nbytes);
    return d;
}

void annex_digest_add(struct annex_digest *d, const void *bytes, size_t nbytes)
{
    if (d->hash)
        d->hash->update(d->state, nbytes, bytes);
    else
        blake2b_update(&d->blake, bytes, nbytes);
}

bool annex_digest_end(struct annex_digest *d)
{
    unsigned char digest[DIGEST_MAX_NBYTES];
    char hex[2 * DIGEST_MAX_NBYTES + 1];
    bool same;

    if (!d)
        return false;
    if (d->hash)
        d->hash->digest(d->state, d->nbytes, digest);
    else
        blake2b_final(&d->blake, digest, d->nbytes);
    for (size_t i = 0; i < d->nbytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    same = memcmp(hex, d->wanted, 2 * d->nbytes) == 0;
    free(d);
    return same;
}
