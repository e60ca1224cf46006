/* checkpoint.c — the state of a run in one file, written atomically, two generations kept.
 *
 * Layout (little-endian): "ILABCKPT", u32 version, u32 bytes of settings, settings text, u32 bytes of the state, struct run_state,
 * u64 number of weights, u64 number of the optimiser's floats, weights (in the order of the params), the optimiser's floats,
 * i64 optimiser step, u64 hash over all before it. A file is believed only when the hash agrees; nothing is copied before that.
 * There is a whole newest file at every moment: a new one is written beside it, and takes its place when it is on the disk; the one
 * that it replaces stays as the generation before.  SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char MAGIC[8] = "ILABCKPT";
enum { CHECKPOINT_VERSION = 2, SETTINGS_MAX = 1 << 20, PIECE = CHECKPOINT_BUFFER };

/* The hash is chained over pieces of PIECE bytes of the file, wherever the parts begin. */
struct writer { struct file_out o; uint64_t hash; uint8_t *piece; size_t n; };

static void put(struct writer *w, const void *p, size_t n) {
    const uint8_t *from = p;
    while (n) {
        size_t k = n < PIECE - w->n ? n : PIECE - w->n;
        memcpy(w->piece + w->n, from, k);
        w->n += k;
        from += k;
        n -= k;
        if (w->n == PIECE) {
            w->hash = hash64(w->piece, w->n, w->hash);
            file_put(&w->o, w->piece, w->n);
            w->n = 0;
        }
    }
}

static uint64_t hash_of(const uint8_t *p, size_t n) {
    uint64_t h = 0;
    for (size_t at = 0; at < n; at += PIECE)
        h = hash64(p + at, n - at < PIECE ? n - at : PIECE, h);
    return h;
}

int checkpoint_write(const char *path, const char *settings, const struct run_state *s, const struct param *p, int n_param,
                     struct optim *o, ilab_err *e) {
    struct writer w = { .hash = 0 };
    struct optim_view view = optim_view(o);
    uint32_t version = CHECKPOINT_VERSION, n_settings = (uint32_t)strlen(settings), n_state = sizeof *s;
    uint64_t n = 0, n_optim = view.n;
    for (int i = 0; i < n_param; i++)
        n += p[i].n;
    if (!(w.piece = mem_alloc(PIECE)))
        return err_set(e, ILAB_E_NOMEM, "no memory to write '%s'", path);
    int rc = file_create(&w.o, path, e);
    if (rc) {
        mem_free(w.piece);
        return rc;
    }
    put(&w, MAGIC, sizeof MAGIC);
    put(&w, &version, sizeof version);
    put(&w, &n_settings, sizeof n_settings);
    put(&w, settings, n_settings);
    put(&w, &n_state, sizeof n_state);
    put(&w, s, sizeof *s);
    put(&w, &n, sizeof n);
    put(&w, &n_optim, sizeof n_optim);
    for (int i = 0; i < n_param; i++)
        put(&w, p[i].w, p[i].n * sizeof(float));
    put(&w, view.state, view.n * sizeof(float));
    put(&w, view.step, sizeof *view.step);
    uint64_t hash = w.n ? hash64(w.piece, w.n, w.hash) : w.hash;
    file_put(&w.o, w.piece, w.n);
    file_put(&w.o, &hash, sizeof hash);
    mem_free(w.piece);
    return file_commit(&w.o, e);
}

int checkpoint_replace(const char *next, const char *path, const char *previous, ilab_err *e) {
    unlink(previous);
    if (link(path, previous) && errno != ENOENT)
        (void)rename(path, previous);                 /* a file system without links: for a moment only `previous` is there */
    return rename(next, path) ? err_errno(e, errno, "cannot rename '%s'", next) : 0;
}

struct cursor { const uint8_t *p, *end; };

/* The next n bytes, or NULL past the end. */
static const uint8_t *take(struct cursor *c, size_t n) {
    if ((size_t)(c->end - c->p) < n)
        return NULL;
    const uint8_t *p = c->p;
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

static int damaged(const char *path, ilab_err *e) { return err_set(e, ILAB_E_FORMAT, "'%s' is damaged", path); }

/* Opens the file, proves its hash, and reads all before the weights. */
static int open_checked(struct file_map *map, const char *path, struct cursor *c, struct sv *settings, struct run_state *s, ilab_err *e) {
    char magic[8];
    uint32_t version, n = 0, n_state;
    uint64_t hash;
    int rc = file_map_open(map, path, e);
    if (rc)
        return rc;
    *c = (struct cursor){ .p = map->p, .end = map->p + map->n };
    if (take_value(c, magic, sizeof magic) || memcmp(magic, MAGIC, sizeof MAGIC) != 0 || take_value(c, &version, sizeof version))
        rc = err_set(e, ILAB_E_FORMAT, "'%s' is no checkpoint", path);
    else if (version != CHECKPOINT_VERSION)
        rc = err_set(e, ILAB_E_INVALID, "'%s' has checkpoint format %u, this program reads %d: finish the run with the version of ilab that began it", path, version, CHECKPOINT_VERSION);
    else if (map->n < 64 + sizeof hash)
        rc = damaged(path, e);
    if (!rc) {
        c->end -= sizeof hash;
        memcpy(&hash, c->end, sizeof hash);
        if (hash != hash_of(map->p, map->n - sizeof hash))
            rc = damaged(path, e);
    }
    if (!rc && (take_value(c, &n, sizeof n) || n > SETTINGS_MAX || !(settings->p = (const char *)take(c, n)) ||
                take_value(c, &n_state, sizeof n_state) || n_state != sizeof *s || take_value(c, s, sizeof *s)))
        rc = damaged(path, e);
    settings->n = n;
    if (rc)
        file_map_close(map);
    return rc;
}

int checkpoint_peek(const char *path, char **settings, struct run_state *s, ilab_err *e) {
    struct file_map map;
    struct cursor c;
    struct sv text = { NULL, 0 };
    *settings = NULL;
    if (file_exists(path) != 1)
        return err_set(e, ILAB_E_NOTFOUND, "no checkpoint '%s'", path);
    int rc = open_checked(&map, path, &c, &text, s, e);
    if (rc)
        return rc;
    if (!(*settings = mem_strndup(text.p, text.n)))
        rc = err_set(e, ILAB_E_NOMEM, "no memory to read '%s'", path);
    file_map_close(&map);
    return rc;
}

int checkpoint_read(const char *path, struct run_state *s, const struct param *p, int n_param, struct optim *o, ilab_err *e) {
    struct file_map map;
    struct optim_view view = optim_view(o);
    struct cursor c;
    struct sv text = { NULL, 0 };
    struct run_state read;
    int rc = open_checked(&map, path, &c, &text, &read, e);
    if (rc)
        return rc;
    uint64_t n = 0, n_optim = 0, want = 0;
    for (int i = 0; i < n_param; i++)
        want += p[i].n;
    if (take_value(&c, &n, sizeof n) || take_value(&c, &n_optim, sizeof n_optim))
        rc = damaged(path, e);
    else if (n != want || n_optim != view.n)
        rc = err_set(e, ILAB_E_INVALID, "'%s' holds %llu parameters, this run trains %llu", path, (unsigned long long)n, (unsigned long long)want);
    else if ((size_t)(c.end - c.p) != (n + n_optim) * sizeof(float) + sizeof *view.step)
        rc = damaged(path, e);
    if (!rc) {
        for (int i = 0; i < n_param; i++)
            memcpy(p[i].w, take(&c, p[i].n * sizeof(float)), p[i].n * sizeof(float));
        memcpy(view.state, take(&c, view.n * sizeof(float)), view.n * sizeof(float));
        take_value(&c, view.step, sizeof *view.step);
        *s = read;
    }
    file_map_close(&map);
    return rc;
}
