/* SPDX-License-Identifier: MIT
 *
 * Cache entries: any bytes as the two files of an entry. A lookup gives the payload's bytes exactly
 * where the meta is what would be written for them, and removes the entry everywhere else.
 *
 * The input is the meta up to the first NUL, and the payload behind it. In the meta "$$$$$$$$$$$$$$$$"
 * stands for the payload's checksum.
 */
#include <inttypes.h>

#include <xxhash.h>

#include "cache.h"
#include "fuzz.h"
#include "scratch.h"

enum { LABEL_MAX = 256 };

static struct scratch scratch;
static struct key key;
static char payload_name[128], meta_name[128 + 8];

static void remove_scratch(void)
{
    scratch_remove(&scratch);
}

static void make_scratch(void)
{
    struct key_builder *b = key_begin("fuzz", 1);
    char dir[64];

    assert_non_null(b);
    key_end(b, &key);
    scratch_make(&scratch);
    atexit(remove_scratch);
    snprintf(dir, sizeof dir, "v1/objects/%.2s", key.hex);
    snprintf(payload_name, sizeof payload_name, "%s/%s", dir, key.hex);
    snprintf(meta_name, sizeof meta_name, "%s.meta", payload_name);
    scratch_mkdir(&scratch, "v1");
    scratch_mkdir(&scratch, "v1/objects");
    scratch_mkdir(&scratch, dir);
}

static void put_checksum(char *meta, uint64_t sum)
{
    char *place = strstr(meta, "$$$$$$$$$$$$$$$$"), hex[17];

    if (!place)
        return;
    snprintf(hex, sizeof hex, "%016" PRIx64, sum);
    memcpy(place, hex, 16);
}

/* Is the meta what would be written for this payload, at any time and with any label? */
static bool is_right(const char *meta, size_t nbytes, uint64_t sum)
{
    const char *time = strstr(meta, "\ntime "), *label = strstr(meta, "\nlabel ");
    char head[256];

    if (!time || !label)
        return false;
    snprintf(head, sizeof head,
             "derivfs-cache 1\nlength %zu\nxxh3 %016" PRIx64 "\ntime %" PRId64 "\nlabel ", nbytes,
             sum, (int64_t)strtoll(time + 6, NULL, 10));
    label = meta + strlen(head);
    return strncmp(meta, head, strlen(head)) == 0 && strcspn(label, "\n") < LABEL_MAX &&
           strcmp(label + strcspn(label, "\n"), "\n") == 0;
}

static bool is_there(const char *name)
{
    return access(scratch_at(&scratch, name), F_OK) == 0;
}

static void check_lookup(const void *payload, size_t nbytes, bool right)
{
    struct cache_config config = {.dir = scratch.path, .max_nbytes = 1 << 30};
    struct cache *c;
    struct blob *b;

    assert_int_equal(cache_open(&config, &c, NULL), 0);
    int ret = cache_lookup(c, &key, &b);
    assert_int_equal(ret, right ? 0 : -ENOENT);
    assert_int_equal(is_there(payload_name), right);
    assert_int_equal(is_there(meta_name), right);
    if (ret == 0) {
        unsigned char *got = malloc(nbytes > 0 ? nbytes : 1);
        assert_non_null(got);
        assert_int_equal(blob_nbytes(b), nbytes);
        assert_int_equal(blob_read(b, 0, got, nbytes, NULL), 0);
        assert_memory_equal(got, payload, nbytes);
        free(got);
        blob_put(b);
    }
    cache_close(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    char *meta = fuzz_text(data, nbytes);
    size_t nmeta = strlen(meta), skip = nmeta < nbytes ? nmeta + 1 : nmeta;
    uint64_t sum = XXH3_64bits(data + skip, nbytes - skip);

    if (scratch.path[0] == '\0')
        make_scratch();
    put_checksum(meta, sum);
    scratch_write(&scratch, payload_name, data + skip, nbytes - skip);
    scratch_write(&scratch, meta_name, meta, nmeta);
    check_lookup(data + skip, nbytes - skip, is_right(meta, nbytes - skip, sum));
    free(meta);
    return 0;
}
