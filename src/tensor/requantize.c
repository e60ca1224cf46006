/* requantize.c — a GGUF file written anew with other element types.
 *
 * The writer asks for one range of rows after the other; a range is cut into pieces of PIECE elements, which the threads of the
 * pool turn into F32 and into the new type. So memory is a range of output and a piece per thread, whatever the model's size,
 * and the bytes are the same for any number of threads. Sources that hold NaN or infinities are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tensor/qtype_impl.h"

#include <stdatomic.h>
#include <string.h>

enum { PIECE = 1 << 15, QUANTIZATION_VERSION = 2 /* of ggml's blocks: general.quantization_version */ };

struct job {
    const struct gguf *g;
    struct requantize *how;
    float *scratch;        /* PIECE floats a thread */
    int64_t done, total;   /* elements, for progress */
};

struct item { struct job *job; const struct tensor *t; int type; };

/* One range of rows on its way. */
struct range { const struct item *item; const uint8_t *from; uint8_t *to; int64_t n; _Atomic int bad; };

static const uint8_t *at_element(const void *p, const struct qtype_info *q, int64_t i) {
    return (const uint8_t *)p + (size_t)(i / q->elems) * (size_t)q->bytes;
}

static void convert_piece(void *ud, int i_task, int i_thread) {
    struct range *r = ud;
    const struct qtype_info *from = qtype_known(r->item->t->type), *to = qtype_known(r->item->type);
    int64_t first = (int64_t)i_task * PIECE, n = r->n - first < PIECE ? r->n - first : PIECE;
    const uint8_t *x = at_element(r->from, from, first);
    uint8_t *y = r->to + (at_element(r->to, to, first) - r->to);
    if (qtype_check_rows(r->item->t->type, x, n) >= 0) {
        atomic_store(&r->bad, 1);
    } else if (from == to) {
        memcpy(y, x, (size_t)(n / from->elems) * (size_t)from->bytes);
    } else {
        float *f = r->item->job->scratch + (size_t)i_thread * PIECE;
        from->dequantize(f, x, n);
        to->quantize(y, f, n);
    }
}

static int convert_rows(void *ud, void *buf, int64_t row, int64_t n, ilab_err *e) {
    const struct item *it = ud;
    const struct tensor *t = it->t;
    struct job *j = it->job;
    struct range r = { .item = it, .from = (const uint8_t *)t->data + (size_t)row * t->row_bytes, .to = buf, .n = n * t->dim[0] };
    pool_run(j->how->pool, convert_piece, &r, (int)((r.n + PIECE - 1) / PIECE));
    int rc = gguf_check(j->g, e);
    if (!rc && atomic_load(&r.bad))
        rc = tensor_check_values(t, j->how->pool, e);
    file_map_drop(gguf_shard_map(j->g, t->shard), r.from, (size_t)n * t->row_bytes);
    j->done += r.n;
    if (!rc && j->how->progress && j->how->progress(j->how->ud, t->name, j->done, j->total))
        rc = err_set(e, ILAB_E_CANCEL, "stopped at tensor '%s'", t->name);
    return rc;
}

static int is_quantised(int type) {
    const struct qtype_info *q = qtype_info(type);
    return q && q->elems > 1;
}

static void put_keys(struct gguf_writer *w, const struct gguf *g, int mix) {
    for (int i = 0; i < gguf_n_kv(g); i++)
        if (!sv_starts(gguf_kv_at(g, i)->key, "split."))
            gguf_put_kv(w, gguf_kv_at(g, i));
    gguf_put_u32(w, "general.file_type", mix_file_type(mix));
    gguf_put_u32(w, "general.quantization_version", QUANTIZATION_VERSION);
}

static int write_all(struct job *j, struct gguf_writer *w, struct item *items, int mix, const char *out, ilab_err *e) {
    struct mix_model m;
    int rc = 0;
    mix_model_of(&m, j->g);
    put_keys(w, j->g, mix);
    for (int i = 0; !rc && i < gguf_n_tensor(j->g); i++) {
        const struct tensor *t = gguf_tensor_at(j->g, i);
        struct requantize *how = j->how;
        items[i] = (struct item){ j, t, mix_type(mix, how->pure, &m, t->name, t->type, t->n_dim, t->dim) };
        const struct qtype_info *q = qtype_known(items[i].type);
        how->n_tensor++;
        how->n_changed += items[i].type != t->type;
        how->n_lossy_source += items[i].type != t->type && is_quantised(t->type);
        how->bytes_in += t->n_bytes;
        how->bytes_out += (uint64_t)(tensor_elems(t) / q->elems) * (uint64_t)q->bytes;
        j->total += tensor_elems(t);
        rc = gguf_add_tensor_rows(w, t->name, items[i].type, t->n_dim, t->dim, convert_rows, &items[i], e);
    }
    return rc ? rc : gguf_write(w, out, e);
}

int gguf_requantize_from(const struct gguf *g, const char *out, struct requantize *how, ilab_err *e) {
    struct job j = { .g = g, .how = how };
    int mix = mix_by_name(how->mix);
    how->bytes_in = how->bytes_out = 0;
    how->n_tensor = how->n_changed = how->n_lossy_source = 0;
    if (mix < 0)
        return err_set(e, ILAB_E_INVALID, "unknown type or mix '%s'", how->mix);
    struct item *items = mem_calloc((size_t)gguf_n_tensor(g) + 1, sizeof *items);
    j.scratch = mem_aligned((size_t)pool_threads(how->pool) * PIECE * sizeof(float));
    int rc;
    if (items && j.scratch) {
        struct gguf_writer *w = gguf_writer_new();
        rc = write_all(&j, w, items, mix, out, e);
        gguf_writer_free(w);
    } else {
        rc = err_set(e, ILAB_E_NOMEM, "no memory to write '%s'", out);
    }
    mem_free(items);
    mem_free(j.scratch);
    return rc;
}

int gguf_requantize(const char *in, const char *out, struct requantize *how, ilab_err *e) {
    struct gguf *g = NULL;
    if (mix_by_name(how->mix) < 0)
        return err_set(e, ILAB_E_INVALID, "unknown type or mix '%s'", how->mix);
    int rc = gguf_open(&g, in, e);
    if (rc)
        return rc;
    rc = gguf_requantize_from(g, out, how, e);
    gguf_close(g);
    return rc;
}
