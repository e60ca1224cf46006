/* gguf_write.c — writing GGUF version 3.
 *
 * Pairs are kept as the bytes that will be in the file, tensors as descriptions; gguf_write computes all offsets and
 * then streams one tensor at a time, so the memory needed is that of the largest one that `fill` makes, or of a range of
 * rows where `rows` makes them.
 * The gguf_put functions cannot report: their first failure is kept and returned by gguf_write.
 * Format: gguf_format.h.  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/gguf_format.h"

struct pair { char *key; size_t n_key; uint8_t *p; size_t n, cap; }; /* p: kind and value */
struct outgoing { struct tensor t; gguf_fill_fn *fill; gguf_rows_fn *rows; void *ud; char *name; };

struct gguf_writer {
    struct pair *pair;
    size_t n_pair, cap_pair;
    struct outgoing *tensor;
    size_t n_tensor, cap_tensor;
    struct name_index pair_index, tensor_index;
    ilab_err failed; /* code 0: none */
};

struct gguf_writer *gguf_writer_new(void) {
    struct gguf_writer *w = xcalloc(1, sizeof *w);
    gguf_put_u32(w, GGUF_KEY_ALIGN, GGUF_DEFAULT_ALIGN);
    return w;
}

void gguf_writer_free(struct gguf_writer *w) {
    if (!w)
        return;
    for (size_t i = 0; i < w->n_pair; i++) {
        mem_free(w->pair[i].key);
        mem_free(w->pair[i].p);
    }
    for (size_t i = 0; i < w->n_tensor; i++)
        mem_free(w->tensor[i].name);
    mem_free(w->pair);
    mem_free(w->tensor);
    name_index_release(&w->pair_index);
    name_index_release(&w->tensor_index);
    mem_free(w);
}

/* ---- pairs ---- */

static void keep_failure(struct gguf_writer *w, int code, const char *what, struct sv key) {
    if (!w->failed.code)
        err_set(&w->failed, code, "key '%.*s': %s", (int)(key.n < 100 ? key.n : 100), key.p, what);
}

static void append(struct gguf_writer *w, struct pair *p, const void *bytes, size_t n) {
    if (!p || !n || w->failed.code)
        return;
    if (mem_grow((void **)&p->p, &p->cap, p->n + n, 1)) {
        keep_failure(w, ILAB_E_NOMEM, "no memory", (struct sv){ p->key, p->n_key });
        return;
    }
    memcpy(p->p + p->n, bytes, n);
    p->n += n;
}

static void append_u32(struct gguf_writer *w, struct pair *p, uint32_t v) {
    append(w, p, &v, sizeof v);
}

static void append_u64(struct gguf_writer *w, struct pair *p, uint64_t v) {
    append(w, p, &v, sizeof v);
}

static void append_str(struct gguf_writer *w, struct pair *p, struct sv s) {
    if (p && s.n > GGUF_MAX_STR)
        keep_failure(w, ILAB_E_LIMIT, "the string is too long", (struct sv){ p->key, p->n_key });
    append_u64(w, p, s.n);
    append(w, p, s.p, s.n);
}

/* The pair to put a value of this kind into: a new one, or the emptied one of the same key. NULL after a failure. */
static struct pair *start_pair(struct gguf_writer *w, struct sv key, enum gguf_kind kind) {
    struct pair *p = NULL;
    if (w->failed.code)
        return NULL;
    int32_t i = name_index_find(&w->pair_index, key);
    if (i >= 0) {
        p = &w->pair[i];
        p->n = 0;
    } else {
        if (!key.n || key.n > GGUF_MAX_KEY || w->n_pair >= GGUF_MAX_KV) {
            keep_failure(w, ILAB_E_LIMIT, w->n_pair >= GGUF_MAX_KV ? "too many keys" : "its length is not allowed", key);
            return NULL;
        }
        char *copy = mem_strndup(key.p, key.n);
        if (!copy || mem_grow((void **)&w->pair, &w->cap_pair, w->n_pair + 1, sizeof *w->pair) ||
            name_index_add(&w->pair_index, (struct sv){ copy, key.n }, (int32_t)w->n_pair)) {
            mem_free(copy);
            keep_failure(w, ILAB_E_NOMEM, "no memory", key);
            return NULL;
        }
        p = &w->pair[w->n_pair++];
        *p = (struct pair){ .key = copy, .n_key = key.n };
    }
    append_u32(w, p, kind);
    return p;
}

static void put_scalar(struct gguf_writer *w, struct sv key, enum gguf_kind kind, const void *v) {
    append(w, start_pair(w, key, kind), v, GGUF_KIND_BYTES[kind]);
}

static struct pair *start_array(struct gguf_writer *w, struct sv key, enum gguf_kind kind, uint64_t n) {
    struct pair *p = start_pair(w, key, GGUF_ARR);
    if (p && n > GGUF_MAX_ARRAY) {
        keep_failure(w, ILAB_E_LIMIT, "the array is too long", key);
        return NULL;
    }
    append_u32(w, p, kind);
    append_u64(w, p, n);
    return p;
}

static void put_array(struct gguf_writer *w, struct sv key, enum gguf_kind kind, const void *v, uint64_t n) {
    struct pair *p = start_array(w, key, kind, n);
    if (p)
        append(w, p, v, (size_t)n * GGUF_KIND_BYTES[kind]);
}

static void put_str_array(struct gguf_writer *w, struct sv key, const struct sv *v, uint64_t n) {
    struct pair *p = start_array(w, key, GGUF_STR, n);
    for (uint64_t i = 0; p && i < n; i++)
        append_str(w, p, v[i]);
}

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v) {
    put_scalar(w, sv_of(key), GGUF_U32, &v);
}

void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v) {
    put_scalar(w, sv_of(key), GGUF_U64, &v);
}

void gguf_put_f32(struct gguf_writer *w, const char *key, float v) {
    put_scalar(w, sv_of(key), GGUF_F32, &v);
}

void gguf_put_bool(struct gguf_writer *w, const char *key, int v) {
    uint8_t b = v != 0;
    put_scalar(w, sv_of(key), GGUF_BOOL, &b);
}

void gguf_put_str(struct gguf_writer *w, const char *key, struct sv v) {
    append_str(w, start_pair(w, sv_of(key), GGUF_STR), v);
}

void gguf_put_str_array(struct gguf_writer *w, const char *key, const struct sv *v, uint64_t n) {
    put_str_array(w, sv_of(key), v, n);
}

void gguf_put_i32_array(struct gguf_writer *w, const char *key, const int32_t *v, uint64_t n) {
    put_array(w, sv_of(key), GGUF_I32, v, n);
}

void gguf_put_f32_array(struct gguf_writer *w, const char *key, const float *v, uint64_t n) {
    put_array(w, sv_of(key), GGUF_F32, v, n);
}

void gguf_put_kv(struct gguf_writer *w, const struct gguf_kv *kv) {
    float f = (float)kv->v.f;
    if (sv_eq_c(kv->key, GGUF_KEY_ALIGN))
        return; /* about the other file */
    if (kv->kind == GGUF_STR)
        append_str(w, start_pair(w, kv->key, GGUF_STR), kv->s);
    else if (kv->kind == GGUF_ARR && kv->arr.kind == GGUF_STR)
        put_str_array(w, kv->key, kv->arr.str, kv->arr.n);
    else if (kv->kind == GGUF_ARR)
        put_array(w, kv->key, kv->arr.kind, kv->arr.p, kv->arr.n);
    else
        put_scalar(w, kv->key, kv->kind, kv->kind == GGUF_F32 ? (const void *)&f : &kv->v); /* little-endian: low bytes first */
}

/* ---- tensors ---- */

static int describe(struct tensor *t, const char *name, int type, int n_dim, const int64_t *dim, ilab_err *e) {
    const struct qtype_info *info = qtype_known(type);
    int64_t rows = 1;
    size_t n_name = strlen(name);
    if (!n_name || n_name > GGUF_MAX_NAME)
        return err_set(e, ILAB_E_INVALID, "tensor name '%.100s' must have 1 to %d bytes", name, GGUF_MAX_NAME);
    if (!info)
        return err_set(e, ILAB_E_INVALID, "tensor '%s': element type %d is not supported", name, type);
    if (n_dim < 1 || n_dim > GGUF_MAX_DIMS)
        return err_set(e, ILAB_E_INVALID, "tensor '%s': %d dimensions; 1 to %d are allowed", name, n_dim, GGUF_MAX_DIMS);
    *t = (struct tensor){ .type = type, .n_dim = n_dim, .dim = { 1, 1, 1, 1 } };
    memcpy(t->name, name, n_name + 1);
    for (int i = 0; i < n_dim; i++) {
        if (dim[i] < 1 || (i > 0 && MUL_OVERFLOWS(rows, dim[i], &rows)))
            return err_set(e, ILAB_E_INVALID, "tensor '%s': dimension %d is %lld", name, i, (long long)dim[i]);
        t->dim[i] = dim[i];
    }
    if (dim[0] % info->elems)
        return err_set(e, ILAB_E_INVALID, "tensor '%s': rows of %lld elements are no whole blocks of %s (%d)", name,
                       (long long)dim[0],
                       info->name, info->elems);
    if (MUL_OVERFLOWS((size_t)(dim[0] / info->elems), (size_t)info->bytes, &t->row_bytes) ||
        MUL_OVERFLOWS(t->row_bytes, (size_t)rows, &t->n_bytes) || t->n_bytes > INT64_MAX / 2)
        return err_set(e, ILAB_E_LIMIT, "tensor '%s' is too big", name);
    return 0;
}

/* Completes o, whose source of data is set. */
static int add(struct gguf_writer *w, struct outgoing o, const void *data, const char *name, int type, int n_dim, const int64_t *dim,
               ilab_err *e) {
    int rc = describe(&o.t, name, type, n_dim, dim, e);
    if (rc)
        return rc;
    o.t.data = data;
    if (!data && !o.fill && !o.rows)
        return err_set(e, ILAB_E_INVALID, "tensor '%s' has neither data nor a function that makes it", name);
    if (w->n_tensor >= GGUF_MAX_TENSORS)
        return err_set(e, ILAB_E_LIMIT, "tensor '%s': a file holds at most %d", name, GGUF_MAX_TENSORS);
    if (name_index_find(&w->tensor_index, sv_of(name)) >= 0)
        return err_set(e, ILAB_E_INVALID, "tensor '%s' is added twice", name);
    o.name = mem_strndup(name, strlen(name)); /* the index borrows it: the array of tensors moves when it grows */
    if (!o.name || mem_grow((void **)&w->tensor, &w->cap_tensor, w->n_tensor + 1, sizeof *w->tensor) ||
        name_index_add(&w->tensor_index, sv_of(o.name), (int32_t)w->n_tensor)) {
        mem_free(o.name);
        return err_set(e, ILAB_E_NOMEM, "tensor '%s': no memory", name);
    }
    w->tensor[w->n_tensor++] = o;
    return 0;
}

int gguf_add_tensor(struct gguf_writer *w, const char *name, int type, int n_dim, const int64_t *dim, const void *data,
                    gguf_fill_fn *fill, void *ud, ilab_err *e) {
    return add(w, (struct outgoing){ .fill = fill, .ud = ud }, data, name, type, n_dim, dim, e);
}

int gguf_add_tensor_rows(struct gguf_writer *w, const char *name, int type, int n_dim, const int64_t *dim, gguf_rows_fn *rows,
                         void *ud, ilab_err *e) {
    return add(w, (struct outgoing){ .rows = rows, .ud = ud }, NULL, name, type, n_dim, dim, e);
}

/* ---- the file ---- */

/* Bytes before the padding that precedes tensor data. */
static uint64_t head_bytes(const struct gguf_writer *w) {
    uint64_t n = 4 + 4 + 8 + 8;
    for (size_t i = 0; i < w->n_pair; i++)
        n += 8 + w->pair[i].n_key + w->pair[i].n;
    for (size_t i = 0; i < w->n_tensor; i++)
        n += 8 + strlen(w->tensor[i].name) + 4 + 8 * (uint64_t)w->tensor[i].t.n_dim + 4 + 8;
    return n;
}

uint64_t gguf_writer_bytes(const struct gguf_writer *w) {
    uint64_t n = gguf_align(head_bytes(w), GGUF_DEFAULT_ALIGN);
    for (size_t i = 0; i < w->n_tensor; i++)
        n += gguf_align(w->tensor[i].t.n_bytes, GGUF_DEFAULT_ALIGN);
    return n;
}

static void out_u32(struct file_out *o, uint32_t v) {
    file_put(o, &v, sizeof v);
}

static void out_u64(struct file_out *o, uint64_t v) {
    file_put(o, &v, sizeof v);
}

static void out_padding(struct file_out *o, uint64_t n) {
    static const uint8_t zero[GGUF_DEFAULT_ALIGN];
    file_put(o, zero, (size_t)(gguf_align(n, GGUF_DEFAULT_ALIGN) - n));
}

static void out_head(struct file_out *o, const struct gguf_writer *w) {
    uint64_t offset = 0;
    file_put(o, "GGUF", 4);
    out_u32(o, 3);
    out_u64(o, w->n_tensor);
    out_u64(o, w->n_pair);
    for (size_t i = 0; i < w->n_pair; i++) {
        out_u64(o, w->pair[i].n_key);
        file_put(o, w->pair[i].key, w->pair[i].n_key);
        file_put(o, w->pair[i].p, w->pair[i].n);
    }
    for (size_t i = 0; i < w->n_tensor; i++) {
        const struct tensor *t = &w->tensor[i].t;
        out_u64(o, strlen(t->name));
        file_put(o, t->name, strlen(t->name));
        out_u32(o, (uint32_t)t->n_dim);
        for (int k = 0; k < t->n_dim; k++)
            out_u64(o, (uint64_t)t->dim[k]);
        out_u32(o, (uint32_t)t->type);
        out_u64(o, offset);
        offset += gguf_align(t->n_bytes, GGUF_DEFAULT_ALIGN);
    }
    out_padding(o, head_bytes(w));
}

static int out_rows(struct file_out *o, const struct outgoing *t, ilab_err *e) {
    int64_t n = tensor_rows(&t->t), at_once = (int64_t)(GGUF_WRITE_BYTES / t->t.row_bytes);
    at_once = at_once < 1 ? 1 : at_once < n ? at_once : n;
    size_t bytes = (size_t)at_once * t->t.row_bytes;
    void *buf = mem_alloc(bytes);
    int rc = 0;
    if (!buf)
        return err_set(e, ILAB_E_NOMEM, "tensor '%s': no memory for %zu bytes", t->name, bytes);
    for (int64_t row = 0; !rc && !o->failed && row < n; row += at_once) {
        int64_t m = n - row < at_once ? n - row : at_once;
        rc = t->rows(t->ud, buf, row, m, e);
        if (!rc)
            file_put(o, buf, (size_t)m * t->t.row_bytes);
    }
    if (!rc)
        out_padding(o, t->t.n_bytes);
    mem_free(buf);
    return rc;
}

static int out_tensor(struct file_out *o, const struct outgoing *t, ilab_err *e) {
    void *made = NULL;
    int rc = 0;
    if (t->rows)
        return out_rows(o, t, e);
    if (!t->t.data) {
        made = mem_aligned(t->t.n_bytes);
        if (!made)
            return err_set(e, ILAB_E_NOMEM, "tensor '%s': no memory for %zu bytes", t->name, t->t.n_bytes);
        rc = t->fill(t->ud, made, t->t.n_bytes, e);
    }
    if (!rc) {
        file_put(o, made ? made : t->t.data, t->t.n_bytes);
        out_padding(o, t->t.n_bytes);
    }
    mem_free(made);
    return rc;
}

int gguf_write(struct gguf_writer *w, const char *path, ilab_err *e) {
    struct file_out o;
    if (w->failed.code)
        return err_set(e, w->failed.code, "cannot write '%s': %s", path, w->failed.msg);
    uint64_t needed = gguf_writer_bytes(w), room = disk_free(path);
    if (room && room < needed) { /* 0: not known */
        char a[32], b[32];
        format_bytes(a, sizeof a, (double)needed);
        format_bytes(b, sizeof b, (double)room);
        return err_set(e, ILAB_E_IO, "cannot write '%s': it needs %s of disk space, %s are free", path, a, b);
    }
    int rc = file_create(&o, path, e);
    if (rc)
        return rc;
    out_head(&o, w);
    for (size_t i = 0; !rc && !o.failed && i < w->n_tensor; i++)
        rc = out_tensor(&o, &w->tensor[i], e);
    if (rc)
        file_abandon(&o);
    else
        rc = file_commit(&o, e);
    return rc;
}

/* ---- the same without a file ---- */

int gguf_from_writer(struct gguf **out, struct gguf_writer *w, const char *name, ilab_err *e) {
    *out = NULL;
    if (w->failed.code)
        return err_set(e, w->failed.code, "'%s': %s", name, w->failed.msg);
    const size_t n = (size_t)gguf_align(head_bytes(w), GGUF_DEFAULT_ALIGN);
    uint8_t *head = mem_aligned(n + 1); /* fmemopen ends what it writes with a NUL when there is room */
    const void **data = mem_calloc(w->n_tensor + 1, sizeof *data);
    FILE *f = head && data ? fmemopen(head, n + 1, "w") : NULL;
    int rc = 0;
    if (!f)
        rc = err_set(e, ILAB_E_NOMEM, "'%s': no memory for %zu bytes of metadata", name, n);
    for (size_t i = 0; !rc && i < w->n_tensor; i++)
        if (!(data[i] = w->tensor[i].t.data))
            rc = err_set(e, ILAB_E_INVALID, "'%s': the tensor '%s' lies nowhere", name, w->tensor[i].name);
    if (f) {
        struct file_out o = { .f = f };
        out_head(&o, w);
        const int bad = fclose(f) || o.failed;
        if (!rc && bad)
            rc = err_set(e, ILAB_E_NOMEM, "'%s': no memory for its metadata", name);
    }
    if (!rc)
        rc = gguf_open_head(out, head, n, data, name, e);
    if (rc)
        mem_free(head);
    mem_free(data);
    return rc;
}
