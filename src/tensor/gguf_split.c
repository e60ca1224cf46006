/* gguf_split.c — opening GGUF files: one, the files of a split model as one, or bytes in memory.
 *
 * A split model is name-00001-of-00003.gguf and so on. Each file is a whole GGUF file with some of the tensors and three
 * keys: split.no (from 0), split.count, split.tensors.count (of all files). All other keys count in the first file only.
 * Invariant after opening: file i says that it is number i of the same count, no tensor occurs twice, and all together
 * hold as many tensors as the first one says. So a file that is its own successor (a link) is found out by its number.
 * Source: llama.cpp, tools/gguf-split.  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/gguf_format.h"

enum { MAX_SHARDS = 1024, SUFFIX_BYTES = sizeof "-00001-of-00001.gguf" - 1 };

/* Where files come from: a path whose number is changed, or bytes. */
struct source { const char *path; const struct sv *part; int n_part; };

static struct gguf *new_named(const char *name, ilab_err *e) {
    struct gguf *g = mem_calloc(1, sizeof *g);
    if (g && !(g->name = mem_strndup(name, strlen(name)))) {
        mem_free(g);
        g = NULL;
    }
    if (!g)
        err_set(e, ILAB_E_NOMEM, "cannot open '%s': no memory", name);
    return g;
}

/* Opens one file as it stands; bytes when `part` is not NULL. */
static int open_one(struct gguf **out, const char *name, const struct sv *part, ilab_err *e) {
    *out = NULL;
    if (part && (uintptr_t)part->p % GGUF_MIN_ALIGN)
        return err_set(e, ILAB_E_INVALID, "cannot open '%s': its bytes are not aligned to %d", name, GGUF_MIN_ALIGN);
    struct gguf *g = new_named(name, e);
    if (!g)
        return ILAB_E_NOMEM;
    int rc = part ? 0 : file_map_open(&g->map, name, e);
    if (rc) {
        g->map = (struct file_map){ 0 };
    } else {
        g->p = part ? (const uint8_t *)part->p : g->map.p;
        g->n = part ? part->n : g->map.n;
        rc = gguf_read(g, e);
        ilab_err changed;
        if (gguf_check(g, &changed)) { /* then whatever was found wrong is no news */
            rc = changed.code;
            if (e)
                *e = changed;
        }
    }
    if (rc)
        gguf_close(g);
    else
        *out = g;
    return rc;
}

/* ---- split models ---- */

/* Does the name end as that of a file of n does? */
static int is_named_split(const char *path, int n) {
    char end[24];
    size_t len = strlen(path);
    snprintf(end, sizeof end, "-of-%05d.gguf", n);
    return len >= SUFFIX_BYTES && sv_ends(sv_of(path), end) && path[len - SUFFIX_BYTES] == '-';
}

/* Path of file i of the same model; NULL: no memory. */
static char *sibling(const char *path, int i) {
    size_t len = strlen(path);
    char *out = mem_strndup(path, len);
    for (int k = 5, v = i + 1; out && k >= 1; k--, v /= 10)
        out[len - SUFFIX_BYTES + (size_t)k] = (char)('0' + v % 10);
    return out;
}

/* The three keys; files without them are whole (n 1). total -1: not said. */
static int read_split(const struct gguf *g, int64_t *no, int64_t *n, int64_t *total, ilab_err *e) {
    int rc = 0;
    *no = 0, *n = 1, *total = -1;
    if (!gguf_find(g, "split.count"))
        return 0;
    if ((rc = gguf_get_int(g, "split.count", 0, 65535, n, e)))
        return rc;
    if (*n > MAX_SHARDS)
        return err_set(e, ILAB_E_LIMIT, "'%s': key 'split.count': %lld files; at most %d are allowed", g->name, (long long)*n, MAX_SHARDS);
    if (*n <= 1) { /* 0: some writers' word for not split */
        *n = 1;
        return 0;
    }
    if ((rc = gguf_get_int(g, "split.no", 0, *n - 1, no, e)))
        return rc;
    if (gguf_find(g, "split.tensors.count"))
        rc = gguf_get_int(g, "split.tensors.count", 0, GGUF_MAX_TENSORS, total, e);
    return rc;
}

/* Tensors of file `i` become tensors of the whole. */
static int adopt(struct gguf *g, struct gguf *file, int i, ilab_err *e) {
    if (file->n_tensor > GGUF_MAX_TENSORS - g->n_tensor)
        return err_set(e, ILAB_E_LIMIT, "'%s': more than %d tensors", g->name, GGUF_MAX_TENSORS);
    struct tensor *all = mem_realloc(g->tensor, ((size_t)g->n_tensor + (size_t)file->n_tensor + 1) * sizeof *all);
    if (!all)
        return err_set(e, ILAB_E_NOMEM, "cannot open '%s': no memory for its tensors", file->name);
    g->tensor = all;
    for (int k = 0; k < file->n_tensor; k++) {
        struct tensor *t = &all[g->n_tensor];
        *t = file->tensor[k];
        t->shard = i;
        int rc = name_index_add(&g->tensor_index, sv_of(file->tensor[k].name), g->n_tensor); /* the file keeps the name */
        if (rc == ILAB_E_INVALID)
            return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s' is also in an earlier file of the model", file->name, t->name);
        if (rc)
            return err_set(e, ILAB_E_NOMEM, "cannot open '%s': no memory for its tensors", file->name);
        g->n_tensor++;
    }
    return 0;
}

static int open_more(struct gguf *g, const struct source *src, int i, int n, ilab_err *e) {
    struct gguf *file = NULL;
    int64_t no = 0, count = 0, total = 0;
    char *path = src->path ? sibling(src->path, i) : NULL;
    const char *name = path ? path : g->name;
    int rc = path || !src->path ? open_one(&file, name, src->path ? NULL : &src->part[i], e)
                                : err_set(e, ILAB_E_NOMEM, "cannot open '%s': no memory", g->name);
    if (rc == ILAB_E_NOTFOUND)
        err_set(e, rc, "'%s' is missing: the model is split into %d files, and this is number %d; put all of them into one folder",
                name, n, i + 1);
    if (!rc)
        rc = read_split(file, &no, &count, &total, e);
    if (!rc && (count != n || no != i))
        rc = err_set(e, ILAB_E_FORMAT, "'%s' should be file %d of %d of the split model, but says that it is %lld of %lld", name,
                     i + 1, n, (long long)no + 1, (long long)count);
    if (!rc)
        rc = adopt(g, file, i, e);
    if (file) /* also after a failure: the index may hold its names already */
        g->more[g->n_more++] = file;
    mem_free(path);
    return rc;
}

static int open_all(struct gguf *g, const struct source *src, ilab_err *e) {
    int64_t no, n, total;
    int rc = read_split(g, &no, &n, &total, e);
    if (rc)
        return rc;
    if (!src->path && n != src->n_part)
        return err_set(e, ILAB_E_FORMAT, "'%s': split into %lld files; %d are given", g->name, (long long)n, src->n_part);
    if (n <= 1)
        return 0;
    if (src->path && !is_named_split(src->path, (int)n))
        return err_set(e, ILAB_E_FORMAT, "'%s' is file %lld of %lld of a split model; their names must end in -%05lld-of-%05lld.gguf",
                       g->name, (long long)no + 1, (long long)n, (long long)no + 1, (long long)n);
    char *first = src->path ? sibling(src->path, 0) : NULL;
    if (src->path && !first)
        rc = err_set(e, ILAB_E_NOMEM, "cannot open '%s': no memory", g->name);
    else if (no != 0)
        rc = err_set(e, ILAB_E_INVALID, "'%s' is file %lld of %lld of a split model; open the first one%s%s%s", g->name,
                     (long long)no + 1, (long long)n, first ? ", '" : "", first ? first : "", first ? "'" : "");
    else if (first && strcmp(first, src->path) != 0)
        rc = err_set(e, ILAB_E_FORMAT, "'%s' says that it is file 1 of %lld of a split model, which should be '%s'", g->name,
                     (long long)n, first);
    mem_free(first);
    if (rc)
        return rc;
    g->more = mem_calloc((size_t)n, sizeof(struct gguf *));
    if (!g->more)
        return err_set(e, ILAB_E_NOMEM, "cannot open '%s': no memory", g->name);
    for (int i = 1; !rc && i < n; i++)
        rc = open_more(g, src, i, (int)n, e);
    if (!rc && total >= 0 && total != g->n_tensor)
        rc = err_set(e, ILAB_E_FORMAT, "'%s': the %lld files of the split model hold %d tensors, not %lld", g->name, (long long)n,
                     g->n_tensor, (long long)total);
    return rc;
}

static int open_source(struct gguf **out, const struct source *src, const char *name, ilab_err *e) {
    struct gguf *g = NULL;
    *out = NULL;
    int rc = open_one(&g, name, src->path ? NULL : &src->part[0], e);
    if (!rc)
        rc = open_all(g, src, e);
    if (rc)
        gguf_close(g);
    else
        *out = g;
    return rc;
}

int gguf_open(struct gguf **out, const char *path, ilab_err *e) {
    return open_source(out, &(struct source){ .path = path }, path, e);
}

int gguf_open_parts(struct gguf **out, const struct sv *part, int n_part, const char *name, ilab_err *e) {
    *out = NULL;
    if (n_part < 1)
        return err_set(e, ILAB_E_INVALID, "cannot open '%s': it has no parts", name);
    return open_source(out, &(struct source){ .part = part, .n_part = n_part }, name, e);
}

int gguf_open_memory(struct gguf **out, const void *p, size_t n, const char *name, ilab_err *e) {
    return gguf_open_parts(out, &(struct sv){ p, n }, 1, name, e);
}

/* ---- the files behind a model ---- */

static const struct gguf *shard(const struct gguf *g, int i) {
    return i > 0 && i <= g->n_more ? g->more[i - 1] : g;
}

int gguf_n_shard(const struct gguf *g) {
    return 1 + g->n_more;
}

const struct file_map *gguf_shard_map(const struct gguf *g, int i) {
    return &shard(g, i)->map;
}

const char *gguf_shard_path(const struct gguf *g, int i) {
    return shard(g, i)->name;
}

int gguf_check(const struct gguf *g, ilab_err *e) {
    int rc = file_map_check(&g->map, g->name, e);
    for (int i = 0; !rc && i < g->n_more; i++)
        rc = file_map_check(&g->more[i]->map, g->more[i]->name, e);
    if (!rc && g->check)
        rc = g->check(g->owner, e);
    return rc;
}

/* ---- heads without a file ---- */

int gguf_open_head(struct gguf **out, uint8_t *head, size_t n, const void *const *data, const char *name, ilab_err *e) {
    *out = NULL;
    struct gguf *g = new_named(name, e);
    if (!g)
        return ILAB_E_NOMEM;
    g->p = head;
    g->n = n;
    g->lent = data;
    int rc = gguf_read(g, e);
    if (rc) {
        gguf_close(g);
        return rc;
    }
    g->lent = NULL;
    g->head = head;
    for (int i = 0; i < g->n_tensor; i++)
        g->n += g->tensor[i].n_bytes;
    *out = g;
    return 0;
}

void gguf_own(struct gguf *g, void *owner, void (*release)(void *owner), int (*check)(void *owner, ilab_err *e)) {
    g->owner = owner;
    g->release = release;
    g->check = check;
}

int gguf_is_file(const struct gguf *g) {
    return !g->head;
}

void gguf_close(struct gguf *g) {
    if (!g)
        return;
    for (int i = 0; i < g->n_kv; i++)
        mem_free(g->kv[i].arr.str);
    mem_free(g->kv);
    mem_free(g->tensor);
    name_index_release(&g->kv_index);
    name_index_release(&g->tensor_index);
    for (int i = 0; i < g->n_more; i++)
        gguf_close(g->more[i]);
    mem_free(g->more);
    if (g->map.p)
        file_map_close(&g->map);
    mem_free(g->head);
    if (g->release)
        g->release(g->owner);
    mem_free(g->name);
    mem_free(g);
}
