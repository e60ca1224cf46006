/* states.c — hidden states below the adapter, one block a sample, in memory or in a file.
 *
 * Layers below the lowest adapted one never change, so what they make of a sample is the same in every epoch, bit for bit: rows
 * depend on their own sample alone. They are kept as F32, exactly.
 *
 * The file: "ILABSTAT", SHA-256 of the key in hex, u64 hash of each sample's block (0: not there), then the blocks. A block is
 * believed only when its hash agrees, so a run that was killed leaves nothing wrong behind, and nothing has to be synced.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/states.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct states {
    size_t n, *at;                     /* [n + 1] floats in front of a sample's block */
    uint64_t *hash;                    /* [n]; in memory 1: there */
    float *mem;                        /* NULL: on the disk */
    int fd, failed;
    off_t blocks;                      /* where they begin in the file */
};

static const char MAGIC[8] = "ILABSTAT";
enum { HEAD = 8 + 64 };

static int read_all(int fd, void *p, size_t n, off_t at) {
    for (uint8_t *to = p; n;) {
        ssize_t k = pread(fd, to, n, at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return ILAB_E_IO;
        to += k, n -= (size_t)k, at += k;
    }
    return 0;
}

static int write_all(int fd, const void *p, size_t n, off_t at) {
    for (const uint8_t *from = p; n;) {
        ssize_t k = pwrite(fd, from, n, at);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return ILAB_E_IO;
        from += k, n -= (size_t)k, at += k;
    }
    return 0;
}

static int open_file(struct states *s, const char *path, const char *key, ilab_err *e) {
    char head[HEAD], want[HEAD + 1];
    struct sha256 sha;
    sha256_init(&sha);
    sha256_add(&sha, key, strlen(key));
    memcpy(want, MAGIC, sizeof MAGIC);
    sha256_hex(&sha, want + sizeof MAGIC);
    s->blocks = (off_t)(HEAD + s->n * sizeof *s->hash);
    s->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->fd < 0)
        return err_errno(e, errno, "cannot open '%s'", path);
    if (!read_all(s->fd, head, HEAD, 0) && !memcmp(head, want, HEAD) && !read_all(s->fd, s->hash, s->n * sizeof *s->hash, HEAD))
        return 0;
    memset(s->hash, 0, s->n * sizeof *s->hash);
    if (ftruncate(s->fd, 0) || write_all(s->fd, want, HEAD, 0) || write_all(s->fd, s->hash, s->n * sizeof *s->hash, HEAD))
        return err_errno(e, errno, "cannot write '%s'", path);
    return 0;
}

int states_new(struct states **out, const struct dataset *d, const struct dataset *val, int n_embd, const char *path, const char *key, ilab_err *e) {
    *out = NULL;
    struct states *s = mem_calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ILAB_E_NOMEM, "no memory for hidden states");
    s->fd = -1;
    s->n = d->n + (val ? val->n : 0);
    s->at = mem_calloc(s->n + 1, sizeof *s->at);
    s->hash = mem_calloc(s->n + 1, sizeof *s->hash);
    int rc = s->at && s->hash ? 0 : ILAB_E_NOMEM;
    for (size_t i = 0; !rc && i < s->n; i++) {
        const struct sample *v = i < d->n ? &d->v[i] : &val->v[i - d->n];
        s->at[i + 1] = s->at[i] + (size_t)sample_n_row(v) * (size_t)n_embd;
    }
    if (!rc && !path && !(s->mem = mem_alloc(s->at[s->n] * sizeof *s->mem)))
        rc = ILAB_E_NOMEM;
    if (rc)
        err_set(e, rc, "no memory for hidden states; --cache-states off does without");
    else if (path)
        rc = open_file(s, path, key, e);
    if (rc)
        states_free(s);
    else
        *out = s;
    return rc;
}

void states_free(struct states *s) {
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    mem_free(s->mem);
    mem_free(s->hash);
    mem_free(s->at);
    mem_free(s);
}

static uint64_t hash_of(const float *p, size_t n) {
    uint64_t h = hash64(p, n * sizeof *p, 1);
    return h ? h : 1;
}

int states_get(struct states *s, uint32_t sample, float *to) {
    const size_t at = s->at[sample], n = s->at[sample + 1] - at;
    if (!s->hash[sample])
        return 0;
    if (s->mem) {
        memcpy(to, s->mem + at, n * sizeof *to);
        return 1;
    }
    return !read_all(s->fd, to, n * sizeof *to, s->blocks + (off_t)(at * sizeof *to)) && hash_of(to, n) == s->hash[sample];
}

double states_missing(const struct states *s, size_t n) {
    size_t missing = 0;
    for (size_t i = 0; i < n; i++)
        missing += s->hash[i] ? 0 : s->at[i + 1] - s->at[i];
    return s->at[n] ? (double)missing / (double)s->at[n] : 0;
}

void states_put(struct states *s, uint32_t sample, const float *from) {
    const size_t at = s->at[sample], n = s->at[sample + 1] - at;
    if (s->mem) {
        memcpy(s->mem + at, from, n * sizeof *from);
        s->hash[sample] = 1;
        return;
    }
    const uint64_t h = hash_of(from, n);
    if (s->failed)
        return;
    if (write_all(s->fd, from, n * sizeof *from, s->blocks + (off_t)(at * sizeof *from)) ||
        write_all(s->fd, &h, sizeof h, (off_t)(HEAD + sample * sizeof h))) {
        s->failed = 1;
        log_warn("hidden states can no longer be kept on the disk (is it full?); the training goes on without them");
        return;
    }
    s->hash[sample] = h;
}
