/* safetensors_write.c — writing safetensors: one file, or shards with an index.
 *
 * Tensors are described first; writing streams them one at a time, so the memory needed is that of the largest one.
 * Each file appears complete or not at all, the index last: a folder with an index has all its shards. The header ends in
 * spaces so that data starts at a multiple of 8. Format: safetensors.c.  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"
#include "text/text.h"

#include <string.h>

struct outgoing { char *name; int type, n_dim; int64_t dim[SAFETENSORS_MAX_DIMS]; size_t n_bytes; const void *data; gguf_fill_fn *fill; void *ud; int shard; };
struct safetensors_writer { struct outgoing *tensor; size_t n, cap; };

enum { HEADER_ALIGN = 8 };

struct safetensors_writer *safetensors_writer_new(void) { return xcalloc(1, sizeof(struct safetensors_writer)); }

void safetensors_writer_free(struct safetensors_writer *w)
{
    if (!w) return;
    for (size_t i = 0; i < w->n; i++) mem_free(w->tensor[i].name);
    mem_free(w->tensor);
    mem_free(w);
}

int safetensors_add(struct safetensors_writer *w, const char *name, int type, int n_dim, const int64_t *dim, const void *data, gguf_fill_fn *fill, void *ud,
                    ilab_err *e)
{
    struct outgoing t = { .type = type, .n_dim = n_dim, .data = data, .fill = fill, .ud = ud };
    const size_t n_name = strlen(name);
    if (!n_name || n_name > SAFETENSORS_MAX_NAME || n_dim < 0 || n_dim > SAFETENSORS_MAX_DIMS || (!data && !fill) || w->n >= SAFETENSORS_MAX_TENSORS)
        return err_set(e, ILAB_E_INVALID, "tensor '%.100s' cannot be written: its name, number of dimensions or source is wrong", name);
    if (type != QT_F32 && type != QT_F16 && type != QT_BF16)
        return err_set(e, ILAB_E_INVALID, "tensor '%s': safetensors are written as F32, F16 or BF16", name);
    t.n_bytes = type == QT_F32 ? 4 : 2;
    for (int i = 0; i < n_dim; i++) {
        t.dim[i] = dim[i];
        if (dim[i] < 0 || MUL_OVERFLOWS(t.n_bytes, (size_t)dim[i], &t.n_bytes) || t.n_bytes > INT64_MAX / 8)
            return err_set(e, ILAB_E_LIMIT, "tensor '%s' is too big", name);
    }
    t.name = mem_strndup(name, n_name);
    if (!t.name || mem_grow((void **)&w->tensor, &w->cap, w->n + 1, sizeof *w->tensor)) {
        mem_free(t.name);
        return err_set(e, ILAB_E_NOMEM, "tensor '%s': no memory", name);
    }
    w->tensor[w->n++] = t;
    return 0;
}

uint64_t safetensors_writer_bytes(const struct safetensors_writer *w)
{
    uint64_t n = 0;
    for (size_t i = 0; i < w->n; i++) n += w->tensor[i].n_bytes;
    return n;
}

/* A tensor goes into the shard that is open unless that would pass the limit. Returns the number of shards. */
static int plan(struct safetensors_writer *w, uint64_t shard_bytes)
{
    uint64_t used = 0;
    int shard = 0;
    for (size_t i = 0; i < w->n; i++) {
        if (used && shard_bytes && used + w->tensor[i].n_bytes > shard_bytes) {
            shard++;
            used = 0;
        }
        w->tensor[i].shard = shard;
        used += w->tensor[i].n_bytes;
    }
    return shard + 1;
}

static void add_header(struct sb *b, const struct safetensors_writer *w, int shard)
{
    uint64_t at = 0;
    sb_addc(b, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = 0; i < w->n; i++) {
        const struct outgoing *t = &w->tensor[i];
        if (t->shard != shard) continue;
        sb_addc(b, ",");
        sb_add_json_str(b, sv_of(t->name));
        sb_addf(b, ":{\"dtype\":\"%s\",\"shape\":[", t->type == QT_F32 ? "F32" : t->type == QT_F16 ? "F16" : "BF16");
        for (int k = 0; k < t->n_dim; k++) sb_addf(b, "%s%lld", k ? "," : "", (long long)t->dim[k]);
        sb_addf(b, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)at, (unsigned long long)(at + t->n_bytes));
        at += t->n_bytes;
    }
    sb_addc(b, "}");
    while ((8 + b->n) % HEADER_ALIGN && !b->failed) sb_addch(b, ' ');
}

static int put_tensor(struct file_out *o, const struct outgoing *t, ilab_err *e)
{
    void *made = NULL;
    int rc = 0;
    if (!t->data && t->n_bytes) {
        made = mem_aligned(t->n_bytes);
        if (!made) return err_set(e, ILAB_E_NOMEM, "tensor '%s': no memory for %zu bytes", t->name, t->n_bytes);
        rc = t->fill(t->ud, made, t->n_bytes, e);
    }
    if (!rc) file_put(o, made ? made : t->data, t->n_bytes);
    mem_free(made);
    return rc;
}

static int write_shard(const struct safetensors_writer *w, int shard, const char *path, ilab_err *e)
{
    struct file_out o;
    struct sb header;
    sb_init(&header, SAFETENSORS_MAX_HEADER);
    add_header(&header, w, shard);
    int rc = header.failed ? err_set(e, ILAB_E_LIMIT, "cannot write '%s': no memory for its header, or too many tensors", path) : file_create(&o, path, e);
    if (rc) {
        sb_release(&header);
        return rc;
    }
    const uint64_t n = header.n;
    file_put(&o, &n, sizeof n);
    file_put(&o, header.p, header.n);
    sb_release(&header);
    for (size_t i = 0; !rc && !o.failed && i < w->n; i++)
        if (w->tensor[i].shard == shard) rc = put_tensor(&o, &w->tensor[i], e);
    if (rc) file_abandon(&o);
    else rc = file_commit(&o, e);
    return rc;
}

static void shard_name(char out[64], int shard, int n)
{
    if (n == 1) snprintf(out, 64, "model.safetensors");
    else snprintf(out, 64, "model-%05d-of-%05d.safetensors", shard + 1, n);
}

static int write_index(const struct safetensors_writer *w, int n_shard, const char *path, ilab_err *e)
{
    struct sb b;
    char file[64];
    sb_init(&b, SAFETENSORS_MAX_HEADER);
    sb_addf(&b, "{\n  \"metadata\": {\n    \"total_size\": %llu\n  },\n  \"weight_map\": {", (unsigned long long)safetensors_writer_bytes(w));
    for (size_t i = 0; i < w->n; i++) {
        shard_name(file, w->tensor[i].shard, n_shard);
        sb_addf(&b, "%s\n    ", i ? "," : "");
        sb_add_json_str(&b, sv_of(w->tensor[i].name));
        sb_addf(&b, ": \"%s\"", file);
    }
    sb_addc(&b, "\n  }\n}\n");
    const int rc = b.failed ? err_set(e, ILAB_E_NOMEM, "cannot write '%s': no memory", path) : file_write(path, b.p, b.n, e);
    sb_release(&b);
    return rc;
}

int safetensors_write(struct safetensors_writer *w, const char *path, ilab_err *e)
{
    plan(w, 0);
    return write_shard(w, 0, path, e);
}

int safetensors_write_dir(struct safetensors_writer *w, const char *dir, uint64_t shard_bytes, ilab_err *e)
{
    const int n = plan(w, shard_bytes);
    const uint64_t needed = safetensors_writer_bytes(w), room = disk_free(dir);
    if (n > SAFETENSORS_MAX_SHARDS) return err_set(e, ILAB_E_LIMIT, "%d shards, at most %d: allow larger ones", n, SAFETENSORS_MAX_SHARDS);
    if (room && room < needed) { /* 0: not known */
        char a[32], b[32];
        format_bytes(a, sizeof a, (double)needed);
        format_bytes(b, sizeof b, (double)room);
        return err_set(e, ILAB_E_IO, "cannot write '%s': it needs %s of disk space, %s are free", dir, a, b);
    }
    int rc = dir_make(dir, e);
    for (int i = 0; !rc && i < n; i++) {
        char file[64];
        shard_name(file, i, n);
        char *path = path_join(dir, file);
        rc = write_shard(w, i, path, e);
        mem_free(path);
    }
    if (!rc && n > 1) {
        char *path = path_join(dir, "model.safetensors.index.json");
        rc = write_index(w, n, path, e);
        mem_free(path);
    }
    return rc;
}
