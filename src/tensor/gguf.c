/* gguf.c — reading one GGUF file (versions 2 and 3, little-endian) as views into a map of it.
 *
 * Invariants:
 *  (1) Every byte is read through take(), which compares with what is left; every count is compared with its cap and
 *      with the least number of bytes that many items need, before memory is allocated for it.
 *  (2) After gguf_open succeeds, all views (keys, strings, arrays, tensor data) lie inside the file, keys and tensor
 *      names are unique, every tensor's rows are whole blocks, its bytes are all there and no other tensor's.
 *  (3) Tensor data is aligned to at least 8 bytes, because file, offsets and alignment are.
 *
 * A file that shrinks while it is mapped reads as zeros (base, map_guard.c): counts and offsets were copied before, so all
 * stays in bounds; gguf_check tells. Split models and opening are in gguf_split.c.
 * Format: gguf_format.h.  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/gguf_format.h"

#include <math.h>
#include <stdlib.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read as they lie in the file");
_Static_assert(GGUF_MAX_NAME < sizeof(((struct tensor *)0)->name), "names end with NUL");

static const char *const KIND_NAME[GGUF_N_KIND] = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64",
};

enum { MIN_PAIR_BYTES = 8 + 1 + 4 + 1, MIN_INFO_BYTES = 8 + 1 + 4 + 8 + 4 + 8 };

/* Cursor. `what` and `of` name the item that is read, for messages. */
struct reader { struct gguf *g; size_t at; const char *what; struct sv of; ilab_err *e; };

/* Printable start of a name from the file. */
static const char *printable(char out[64], struct sv s) {
    size_t n = s.n < 60 ? s.n : 60;
    for (size_t i = 0; i < n; i++)
        out[i] = s.p[i] >= ' ' && s.p[i] < 127 ? s.p[i] : '?';
    memcpy(out + n, s.n > n ? "..." : "", s.n > n ? 4 : 1);
    return out;
}

static int __attribute__((format(printf, 3, 4))) fail(const struct reader *r, int code, const char *fmt, ...) {
    char msg[400], of[64];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    if (r->of.p)
        return err_set(r->e, code, "'%s': byte %zu: %s '%s': %s", r->g->name, r->at, r->what, printable(of, r->of), msg);
    return err_set(r->e, code, "'%s': byte %zu: %s: %s", r->g->name, r->at, r->what, msg);
}

/* ---- the cursor ---- */

/* The next n bytes; NULL, with the message set, when the file ends before. */
static const uint8_t *take(struct reader *r, uint64_t n) {
    const uint8_t *p = r->g->p + r->at;
    if (n > r->g->n - r->at) {
        fail(r, ILAB_E_FORMAT, "the file ends here: %llu bytes needed, %zu left", (unsigned long long)n, r->g->n - r->at);
        return NULL;
    }
    r->at += (size_t)n;
    return p;
}

static int take_u32(struct reader *r, uint32_t *v) {
    const uint8_t *p = take(r, sizeof *v);
    if (!p)
        return ILAB_E_FORMAT;
    memcpy(v, p, sizeof *v);
    return 0;
}

static int take_u64(struct reader *r, uint64_t *v) {
    const uint8_t *p = take(r, sizeof *v);
    if (!p)
        return ILAB_E_FORMAT;
    memcpy(v, p, sizeof *v);
    return 0;
}

static int take_str(struct reader *r, uint64_t max, struct sv *s) {
    uint64_t n;
    if (take_u64(r, &n))
        return ILAB_E_FORMAT;
    if (n > max)
        return fail(r, ILAB_E_LIMIT, "string of %llu bytes; at most %llu are allowed", (unsigned long long)n,
                    (unsigned long long)max);
    const uint8_t *p = take(r, n);
    if (!p)
        return ILAB_E_FORMAT;
    *s = (struct sv){ (const char *)p, (size_t)n };
    return 0;
}

/* A count that must be at most `max` and leave min_bytes of file for each item. */
static int take_count(struct reader *r, const char *items, uint64_t max, uint64_t min_bytes, uint64_t *n) {
    if (take_u64(r, n))
        return ILAB_E_FORMAT;
    if (*n > max)
        return fail(r, ILAB_E_LIMIT, "%llu %s; at most %llu are allowed", (unsigned long long)*n, items, (unsigned long long)max);
    if (*n > (r->g->n - r->at) / min_bytes)
        return fail(r, ILAB_E_FORMAT, "%llu %s do not fit into the %zu bytes left", (unsigned long long)*n, items, r->g->n - r->at);
    return 0;
}

/* ---- values ---- */

union scalar { uint64_t u; int64_t i; double f; };

static union scalar scalar_load(enum gguf_kind kind, const uint8_t *p) {
    union scalar v = { .u = 0 };
    float f;
    memcpy(&v.u, p, GGUF_KIND_BYTES[kind]);
    switch (kind) {
    case GGUF_I8: v.i = (int8_t)v.u; break;
    case GGUF_I16: v.i = (int16_t)v.u; break;
    case GGUF_I32: v.i = (int32_t)v.u; break;
    case GGUF_F32: memcpy(&f, p, sizeof f); v.f = f; break;
    default: break;
    }
    return v;
}

static int read_kind(struct reader *r, enum gguf_kind *kind) {
    uint32_t k;
    if (take_u32(r, &k))
        return ILAB_E_FORMAT;
    if (k >= GGUF_N_KIND)
        return fail(r, ILAB_E_FORMAT, "unknown value type %u", k);
    *kind = (enum gguf_kind)k;
    return 0;
}

static int read_array(struct reader *r, struct gguf_array *a) {
    if (read_kind(r, &a->kind))
        return ILAB_E_FORMAT;
    if (a->kind == GGUF_ARR)
        return fail(r, ILAB_E_FORMAT, "arrays of arrays are not supported");
    int is_str = a->kind == GGUF_STR, rc;
    uint64_t n, elem_bytes = is_str ? 8 : GGUF_KIND_BYTES[a->kind]; /* of a string: at least its length */
    if ((rc = take_count(r, "array elements", GGUF_MAX_ARRAY, elem_bytes, &n)))
        return rc;
    if (!is_str) {
        if (!(a->p = take(r, n * elem_bytes)))
            return ILAB_E_FORMAT;
        for (uint64_t i = 0; a->kind == GGUF_BOOL && i < n; i++)
            if (a->p[i] > 1)
                return fail(r, ILAB_E_FORMAT, "element %llu is no bool", (unsigned long long)i);
        a->n = n;
        return 0;
    }
    a->p = r->g->p + r->at;
    a->str = mem_calloc(n ? n : 1, sizeof *a->str);
    if (!a->str)
        return fail(r, ILAB_E_NOMEM, "no memory for %llu strings", (unsigned long long)n);
    for (a->n = 0; a->n < n; a->n++)
        if ((rc = take_str(r, GGUF_MAX_STR, &a->str[a->n])))
            return rc;
    return 0;
}

static int read_value(struct reader *r, struct gguf_kv *kv) {
    if (read_kind(r, &kv->kind))
        return ILAB_E_FORMAT;
    if (kv->kind == GGUF_STR)
        return take_str(r, GGUF_MAX_STR, &kv->s);
    if (kv->kind == GGUF_ARR)
        return read_array(r, &kv->arr);
    const uint8_t *p = take(r, GGUF_KIND_BYTES[kv->kind]);
    if (!p)
        return ILAB_E_FORMAT;
    if (kv->kind == GGUF_BOOL && *p > 1)
        return fail(r, ILAB_E_FORMAT, "%u is no bool", *p);
    union scalar v = scalar_load(kv->kind, p);
    memcpy(&kv->v, &v, sizeof v);
    return 0;
}

static int read_pairs(struct reader *r, uint64_t n) {
    struct gguf *g = r->g;
    int rc = 0;
    g->kv = mem_calloc(n ? n : 1, sizeof *g->kv);
    if (!g->kv)
        return fail(r, ILAB_E_NOMEM, "no memory for %llu keys", (unsigned long long)n);
    for (uint64_t i = 0; !rc && i < n; i++) {
        struct gguf_kv *kv = &g->kv[g->n_kv];
        r->what = "key";
        r->of = (struct sv){ 0 };
        size_t start = r->at;
        if ((rc = take_str(r, GGUF_MAX_KEY, &kv->key)))
            break;
        r->of = kv->key;
        if (!kv->key.n)
            return fail(r, ILAB_E_FORMAT, "empty name");
        g->n_kv++;
        rc = name_index_add(&g->kv_index, kv->key, g->n_kv - 1);
        if (rc == ILAB_E_INVALID)
            return r->at = start, fail(r, ILAB_E_FORMAT, "occurs twice");
        if (rc)
            return fail(r, ILAB_E_NOMEM, "no memory");
        rc = read_value(r, kv);
    }
    r->of = (struct sv){ 0 };
    return rc;
}

/* ---- tensors ---- */

/* The part of a tensor's description that follows its name, with all sizes checked; *offset into the data. */
static int read_shape(struct reader *r, struct tensor *t, uint64_t align, uint64_t *offset) {
    uint32_t n_dim, type;
    int64_t rows = 1;
    if (take_u32(r, &n_dim))
        return ILAB_E_FORMAT;
    if (n_dim < 1 || n_dim > GGUF_MAX_DIMS)
        return fail(r, ILAB_E_FORMAT, "%u dimensions; 1 to %d are allowed", n_dim, GGUF_MAX_DIMS);
    t->n_dim = (int)n_dim;
    for (uint32_t i = 0; i < GGUF_MAX_DIMS; i++) {
        uint64_t d = 1;
        if (i < n_dim && take_u64(r, &d))
            return ILAB_E_FORMAT;
        if (d < 1 || d > INT64_MAX || (i > 0 && MUL_OVERFLOWS(rows, (int64_t)d, &rows)))
            return fail(r, ILAB_E_FORMAT, "dimension %u is %llu", i, (unsigned long long)d);
        t->dim[i] = (int64_t)d;
    }
    if (take_u32(r, &type) || take_u64(r, offset))
        return ILAB_E_FORMAT;
    const struct qtype_info *info = qtype_known(type < QT_COUNT ? (int)type : -1);
    if (!info)
        return fail(r, ILAB_E_FORMAT, "element type %u (%s) is not supported; get the model in another one, Q4_K_M say", type,
                    qtype_name(type));
    if (t->dim[0] % info->elems)
        return fail(r, ILAB_E_FORMAT, "rows of %lld elements are no whole blocks of %s (%d)", (long long)t->dim[0],
                    info->name, info->elems);
    t->type = (int)type;
    if (MUL_OVERFLOWS((size_t)(t->dim[0] / info->elems), (size_t)info->bytes, &t->row_bytes) ||
        MUL_OVERFLOWS(t->row_bytes, (size_t)rows, &t->n_bytes) ||
        (!r->g->lent && t->n_bytes > r->g->n))
        return fail(r, ILAB_E_FORMAT, "%lld rows of %lld elements are more than the file holds", (long long)rows,
                    (long long)t->dim[0]);
    if (*offset % align)
        return fail(r, ILAB_E_FORMAT, "offset %llu is not a multiple of %llu", (unsigned long long)*offset,
                    (unsigned long long)align);
    return 0;
}

struct span { uint64_t at, end; const struct tensor *t; };

static int by_start(const void *a, const void *b) {
    const struct span *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Two tensors on the same bytes are a sign of a broken or forged file. */
static int check_overlap(struct reader *r, const uint64_t *offset) {
    const struct gguf *g = r->g;
    struct span *v = mem_calloc((size_t)g->n_tensor + 1, sizeof *v);
    int rc = 0;
    if (!v)
        return fail(r, ILAB_E_NOMEM, "no memory for %d tensors", g->n_tensor);
    for (int i = 0; i < g->n_tensor; i++)
        v[i] = (struct span){ offset[i], offset[i] + g->tensor[i].n_bytes, &g->tensor[i] };
    qsort(v, (size_t)g->n_tensor, sizeof *v, by_start);
    for (int i = 1; !rc && i < g->n_tensor; i++)
        if (v[i].at < v[i - 1].end) {
            char of[64];
            r->of = sv_of(v[i].t->name);
            rc = fail(r, ILAB_E_FORMAT, "its bytes at offset %llu are also those of tensor '%s'", (unsigned long long)v[i].at,
                      printable(of, sv_of(v[i - 1].t->name)));
        }
    mem_free(v);
    return rc;
}

static int read_tensors(struct reader *r, uint64_t n, uint64_t align) {
    struct gguf *g = r->g;
    int rc;
    g->tensor = mem_calloc(n ? n : 1, sizeof *g->tensor);
    uint64_t *offset = mem_calloc(n ? n : 1, sizeof *offset);
    if (!g->tensor || !offset) {
        rc = fail(r, ILAB_E_NOMEM, "no memory for %llu tensors", (unsigned long long)n);
        goto done;
    }
    rc = 0;
    for (uint64_t i = 0; i < n; i++) {
        struct tensor *t = &g->tensor[i];
        struct sv name;
        size_t start = r->at;
        r->what = "tensor";
        r->of = (struct sv){ 0 };
        if ((rc = take_str(r, GGUF_MAX_NAME, &name)))
            goto done;
        r->of = name;
        if (!name.n || memchr(name.p, 0, name.n)) {
            rc = fail(r, ILAB_E_FORMAT, "the name is empty or holds a NUL");
            goto done;
        }
        memcpy(t->name, name.p, name.n);
        rc = name_index_add(&g->tensor_index, name, (int32_t)i);
        if (rc) {
            r->at = start;
            rc = rc == ILAB_E_INVALID ? fail(r, ILAB_E_FORMAT, "occurs twice") : fail(r, rc, "no memory");
            goto done;
        }
        if ((rc = read_shape(r, t, align, &offset[i])))
            goto done;
    }
    uint64_t data = gguf_align(r->at, align), room = data < g->n ? g->n - data : 0;
    for (uint64_t i = 0; i < n; i++) {
        struct tensor *t = &g->tensor[i];
        if (g->lent) {
            t->data = g->lent[i];
            g->n_tensor++;
            continue;
        }
        if (offset[i] > room || t->n_bytes > room - offset[i]) {
            r->of = sv_of(t->name);
            rc = fail(r, ILAB_E_FORMAT, "its %zu bytes at offset %llu end beyond the file (%zu bytes, data from byte %llu)",
                      t->n_bytes,
                      (unsigned long long)offset[i], g->n, (unsigned long long)data);
            goto done;
        }
        t->data = g->p + data + offset[i];
        g->n_tensor++;
    }
    if (!g->lent)
        rc = check_overlap(r, offset);
done:
    mem_free(offset);
    return rc;
}

/* ---- the file ---- */

static int read_alignment(struct reader *r, uint64_t *align) {
    const struct gguf_kv *kv = gguf_find(r->g, GGUF_KEY_ALIGN);
    *align = GGUF_DEFAULT_ALIGN;
    if (!kv)
        return 0;
    r->what = "key";
    r->of = kv->key;
    if (kv->kind != GGUF_U32)
        return fail(r, ILAB_E_FORMAT, "holds a value of type %s, not u32", KIND_NAME[kv->kind]);
    if (kv->v.u < GGUF_MIN_ALIGN || kv->v.u > GGUF_MAX_ALIGN || (kv->v.u & (kv->v.u - 1)))
        return fail(r, ILAB_E_FORMAT, "%llu is no power of two from %d to %d", (unsigned long long)kv->v.u, GGUF_MIN_ALIGN,
                    GGUF_MAX_ALIGN);
    *align = kv->v.u;
    r->of = (struct sv){ 0 };
    return 0;
}

int gguf_read(struct gguf *g, ilab_err *e) {
    struct reader r = { .g = g, .what = "header", .e = e };
    uint32_t version = 0;
    uint64_t n_tensor = 0, n_kv = 0, align = GGUF_DEFAULT_ALIGN;
    int rc;
    if (g->n < 4 || memcmp(g->p, "GGUF", 4) != 0)
        return fail(&r, ILAB_E_FORMAT, "not a GGUF file (it does not begin with 'GGUF')");
    if (!take(&r, 4) || take_u32(&r, &version))
        return ILAB_E_FORMAT;
    if (version == 0x02000000 || version == 0x03000000)
        return fail(&r, ILAB_E_FORMAT, "a big-endian GGUF file; only little-endian ones are supported");
    if (version != 2 && version != 3)
        return fail(&r, ILAB_E_FORMAT, "GGUF version %u; 2 and 3 are supported (convert the model anew)", version);
    g->version = (int)version;
    if ((rc = take_count(&r, "tensors", GGUF_MAX_TENSORS, MIN_INFO_BYTES, &n_tensor)) ||
        (rc = take_count(&r, "keys", GGUF_MAX_KV, MIN_PAIR_BYTES, &n_kv)) || (rc = read_pairs(&r, n_kv)) ||
        (rc = read_alignment(&r, &align)))
        return rc;
    return read_tensors(&r, n_tensor, align);
}

/* ---- looking things up ---- */

int gguf_version(const struct gguf *g) {
    return g->version;
}

size_t gguf_file_bytes(const struct gguf *g) {
    size_t n = g->n;
    for (int i = 0; i < g->n_more; i++)
        n += g->more[i]->n;
    return n;
}

int gguf_n_kv(const struct gguf *g) {
    return g->n_kv;
}

const struct gguf_kv *gguf_kv_at(const struct gguf *g, int i) {
    return i >= 0 && i < g->n_kv ? &g->kv[i] : NULL;
}

const struct gguf_kv *gguf_find(const struct gguf *g, const char *key) {
    int32_t i = name_index_find(&g->kv_index, sv_of(key));
    return i < 0 ? NULL : &g->kv[i];
}

int gguf_n_tensor(const struct gguf *g) {
    return g->n_tensor;
}

const struct tensor *gguf_tensor_at(const struct gguf *g, int i) {
    return i >= 0 && i < g->n_tensor ? &g->tensor[i] : NULL;
}

const struct tensor *gguf_tensor(const struct gguf *g, const char *name) {
    int32_t i = name_index_find(&g->tensor_index, sv_of(name));
    return i < 0 ? NULL : &g->tensor[i];
}

static int is_int(enum gguf_kind k) {
    return k != GGUF_F32 && k != GGUF_F64 && k != GGUF_BOOL && k != GGUF_STR && k != GGUF_ARR;
}

static int is_signed(enum gguf_kind k) {
    return k == GGUF_I8 || k == GGUF_I16 || k == GGUF_I32 || k == GGUF_I64;
}

static int find_or_fail(const struct gguf *g, const char *key, const struct gguf_kv **kv, ilab_err *e) {
    *kv = gguf_find(g, key);
    return *kv ? 0 : err_set(e, ILAB_E_NOTFOUND, "'%s': key '%s' is missing", g->name, key);
}

static int wrong_kind(const struct gguf *g, const struct gguf_kv *kv, const char *key, const char *wanted, ilab_err *e) {
    return err_set(e, ILAB_E_FORMAT, "'%s': key '%s' holds a value of type %s, not %s", g->name, key, KIND_NAME[kv->kind], wanted);
}

int gguf_get_int(const struct gguf *g, const char *key, int64_t lo, int64_t hi, int64_t *out, ilab_err *e) {
    const struct gguf_kv *kv;
    int rc = find_or_fail(g, key, &kv, e);
    if (rc)
        return rc;
    if (!is_int(kv->kind))
        return wrong_kind(g, kv, key, "a whole number", e);
    int too_big = !is_signed(kv->kind) && kv->v.u > INT64_MAX;
    if (too_big || kv->v.i < lo || kv->v.i > hi) {
        char value[24];
        if (too_big)
            snprintf(value, sizeof value, "%llu", (unsigned long long)kv->v.u);
        else
            snprintf(value, sizeof value, "%lld", (long long)kv->v.i);
        return err_set(e, ILAB_E_FORMAT, "'%s': key '%s' is %s, outside %lld to %lld", g->name, key, value, (long long)lo,
                       (long long)hi);
    }
    *out = kv->v.i;
    return 0;
}

int gguf_get_f32(const struct gguf *g, const char *key, float *out, ilab_err *e) {
    const struct gguf_kv *kv;
    int rc = find_or_fail(g, key, &kv, e);
    if (rc)
        return rc;
    if (kv->kind != GGUF_F32 && kv->kind != GGUF_F64)
        return wrong_kind(g, kv, key, "a float", e);
    if (!(fabs(kv->v.f) <= 0x1.fffffep127))
        return err_set(e, ILAB_E_FORMAT, "'%s': key '%s' is %g, not a finite number", g->name, key, kv->v.f);
    *out = (float)kv->v.f;
    return 0;
}

int gguf_get_str(const struct gguf *g, const char *key, struct sv *out, ilab_err *e) {
    const struct gguf_kv *kv;
    int rc = find_or_fail(g, key, &kv, e);
    if (rc)
        return rc;
    if (kv->kind != GGUF_STR)
        return wrong_kind(g, kv, key, "a string", e);
    *out = kv->s;
    return 0;
}

int64_t gguf_array_int(const struct gguf_array *a, uint64_t i) {
    if (i >= a->n || (!is_int(a->kind) && a->kind != GGUF_BOOL))
        return 0;
    return scalar_load(a->kind, a->p + i * GGUF_KIND_BYTES[a->kind]).i;
}

double gguf_array_num(const struct gguf_array *a, uint64_t i) {
    if (i >= a->n || a->kind == GGUF_STR || a->kind == GGUF_ARR)
        return 0;
    union scalar v = scalar_load(a->kind, a->p + i * GGUF_KIND_BYTES[a->kind]);
    if (a->kind == GGUF_F32 || a->kind == GGUF_F64)
        return v.f;
    return is_signed(a->kind) ? (double)v.i : (double)v.u;
}
