/* checkpoint.c — the state of a run in one file, written atomically.
 *
 * Layout (little-endian): "ILABCKPT", u32 version, u32 bytes of settings, settings text, struct run_state, u64 number of floats,
 * weights, first moments, second moments (each in the order of the params), i64 optimiser step, u64 hash over all before it.
 * A file is believed only when the hash agrees; weights and moments are copied after that.  SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

#include <string.h>

static const char MAGIC[8] = "ILABCKPT";
enum { CHECKPOINT_VERSION = 1, SETTINGS_MAX = 1 << 20, PIECE = 1 << 22 };

struct writer { struct file_out o; uint64_t hash; };

/* Hashed in pieces, so that reader and writer agree without having the file in one block. */
static void put(struct writer *w, const void *p, size_t n) {
    for (size_t at = 0; at < n; at += PIECE) {
        size_t k = n - at < PIECE ? n - at : PIECE;
        w->hash = hash64((const uint8_t *)p + at, k, w->hash);
    }
    file_put(&w->o, p, n);
}

int checkpoint_write(const char *path, const char *settings, const struct run_state *s, const struct param *p, int n_param,
                     struct optim *o, ilab_err *e) {
    struct writer w = { .hash = 0 };
    struct optim_view view = optim_view(o);
    uint32_t version = CHECKPOINT_VERSION, n_settings = (uint32_t)strlen(settings);
    uint64_t n = view.n;
    int rc = file_create(&w.o, path, e);
    if (rc)
        return rc;
    put(&w, MAGIC, sizeof MAGIC);
    put(&w, &version, sizeof version);
    put(&w, &n_settings, sizeof n_settings);
    put(&w, settings, n_settings);
    put(&w, s, sizeof *s);
    put(&w, &n, sizeof n);
    for (int i = 0; i < n_param; i++)
        put(&w, p[i].w, p[i].n * sizeof(float));
    put(&w, view.m, n * sizeof(float));
    put(&w, view.v, n * sizeof(float));
    put(&w, view.step, sizeof *view.step);
    uint64_t hash = w.hash;
    file_put(&w.o, &hash, sizeof hash);
    return file_commit(&w.o, e);
}

struct cursor { const uint8_t *p, *end; uint64_t hash; };

/* The next n bytes, or NULL past the end. */
static const uint8_t *take(struct cursor *c, size_t n) {
    if ((size_t)(c->end - c->p) < n)
        return NULL;
    const uint8_t *p = c->p;
    for (size_t at = 0; at < n; at += PIECE)
        c->hash = hash64(p + at, n - at < PIECE ? n - at : PIECE, c->hash);
    c->p += n;
    return p;
}

static int take_value(struct cursor *c, void *to, size_t n) {
    const uint8_t *p = take(c, n);
    if (!p)
        return ILAB_E_FORMAT;
    memcpy(to, p, n);
    return 0;
}

static int damaged(const char *path, ilab_err *e) {
    return err_set(e, ILAB_E_FORMAT, "'%s' is damaged; remove it to start anew", path);
}

static int read_head(struct cursor *c, const char *path, const char **settings, uint32_t *n_settings, struct run_state *s, ilab_err *e) {
    char magic[8];
    uint32_t version;
    if (take_value(c, magic, sizeof magic) || memcmp(magic, MAGIC, sizeof MAGIC) != 0 || take_value(c, &version, sizeof version))
        return err_set(e, ILAB_E_FORMAT, "'%s' is no checkpoint", path);
    if (version != CHECKPOINT_VERSION)
        return err_set(e, ILAB_E_FORMAT, "'%s' has checkpoint format %u, this program reads %d", path, version, CHECKPOINT_VERSION);
    if (take_value(c, n_settings, sizeof *n_settings) || *n_settings > SETTINGS_MAX ||
        !(*settings = (const char *)take(c, *n_settings)) || take_value(c, s, sizeof *s))
        return damaged(path, e);
    return 0;
}

int checkpoint_peek(const char *path, char **settings, struct run_state *s, ilab_err *e) {
    struct file_map map;
    *settings = NULL;
    if (file_exists(path) != 1)
        return err_set(e, ILAB_E_NOTFOUND, "no checkpoint '%s'", path);
    int rc = file_map_open(&map, path, e);
    if (rc)
        return rc;
    struct cursor c = { .p = map.p, .end = map.p + map.n };
    const char *text;
    uint32_t n;
    rc = read_head(&c, path, &text, &n, s, e);
    if (!rc && !(*settings = mem_strndup(text, n)))
        rc = err_set(e, ILAB_E_NOMEM, "no memory to read '%s'", path);
    file_map_close(&map);
    return rc;
}

int checkpoint_read(const char *path, struct run_state *s, const struct param *p, int n_param, struct optim *o, ilab_err *e) {
    struct file_map map;
    struct optim_view view = optim_view(o);
    int rc = file_map_open(&map, path, e);
    if (rc)
        return rc;
    struct cursor c = { .p = map.p, .end = map.p + map.n };
    const char *text;
    uint32_t n_text;
    uint64_t n = 0, hash;
    int64_t step = 0;
    const uint8_t *w = NULL, *m = NULL, *v = NULL;
    rc = read_head(&c, path, &text, &n_text, s, e);
    if (!rc && take_value(&c, &n, sizeof n))
        rc = damaged(path, e);
    if (!rc && n != view.n)
        rc = err_set(e, ILAB_E_INVALID, "'%s' holds %llu parameters, this run trains %zu", path, (unsigned long long)n, view.n);
    if (!rc) {
        /* The writer hashed each param on its own: pieces must be the same here. */
        w = c.p;
        for (int i = 0; i < n_param && !rc; i++)
            if (!take(&c, p[i].n * sizeof(float)))
                rc = damaged(path, e);
    }
    if (!rc && (!(m = take(&c, view.n * sizeof(float))) || !(v = take(&c, view.n * sizeof(float))) || take_value(&c, &step, sizeof step)))
        rc = damaged(path, e);
    if (!rc) {
        uint64_t want = c.hash;
        if (take_value(&c, &hash, sizeof hash) || hash != want)
            rc = damaged(path, e);
    }
    if (!rc) {
        for (int i = 0; i < n_param; i++) {
            memcpy(p[i].w, w, p[i].n * sizeof(float));
            w += p[i].n * sizeof(float);
        }
        memcpy(view.m, m, view.n * sizeof(float));
        memcpy(view.v, v, view.n * sizeof(float));
        *view.step = step;
    }
    file_map_close(&map);
    return rc;
}
