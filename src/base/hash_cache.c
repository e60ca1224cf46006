/* hash_cache.c — the SHA-256 of a large file, remembered between runs.
 *
 * A model's identity is the hash of its file; reading gigabytes for it at each start would take longer than many commands do.
 * A note in the user's cache folder is named by what changes when a file is written or replaced: device, inode, size, times of
 * change (ctime cannot be set back by a program). A note is a convenience: any failure with it means that the hash is computed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct identity { uint64_t dev, ino, size, mtime_s, mtime_ns, ctime_s, ctime_ns; };

static int identity_of(const char *path, struct identity *id)
{
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode)) return -1;
    *id = (struct identity){ (uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
                             (uint64_t)st.st_mtim.tv_nsec, (uint64_t)st.st_ctim.tv_sec, (uint64_t)st.st_ctim.tv_nsec };
    return 0;
}

/* NULL: nowhere to keep notes. */
static char *note_path(const struct identity *id, int make)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if ((!cache || *cache != '/') && (!home || *home != '/')) return NULL;
    char *base = cache && *cache == '/' ? path_join(cache, "ilab/sha256") : path_join(home, ".cache/ilab/sha256");
    if (!base) return NULL;
    char name[24];
    snprintf(name, sizeof name, "%016" PRIx64, hash64(id, sizeof *id, 1));
    char *path = make && dir_make(base, NULL) ? NULL : path_join(base, name);
    mem_free(base);
    return path;
}

static int note_read(const char *path, char out[65])
{
    char *text;
    size_t n;
    if (!path || file_read(path, 128, &text, &n, NULL)) return -1;
    int good = n == 64;
    for (size_t i = 0; i < n && good; i++) good = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    if (good) memcpy(out, text, 64), out[64] = 0;
    mem_free(text);
    return good ? 0 : -1;
}

int sha256_file_cached(const char *path, uint64_t min_bytes, char out[65], ilab_err *e)
{
    struct identity before, after;
    if (identity_of(path, &before) || before.size < min_bytes) return sha256_file(path, out, e);
    char *note = note_path(&before, 0);
    const int known = note_read(note, out) == 0;
    mem_free(note);
    if (known) return 0;
    int rc = sha256_file(path, out, e);
    if (rc || identity_of(path, &after) || memcmp(&before, &after, sizeof before) != 0) return rc;
    if ((note = note_path(&after, 1))) (void)file_write(note, out, 64, NULL);
    mem_free(note);
    return 0;
}
