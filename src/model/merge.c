/* merge.c — writing a model, with or without an adapter folded in: W' = W + scale · B A (Hu et al. 2021, §4.1).
 *
 * Tensors are made and written one at a time, so the memory is that of one tensor. Matrices get the wanted element
 * type (F16 where its blocks do not divide the row); vectors, routers, tables of positions and types stay F32.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

#include <string.h>

/* llama.h, enum llama_ftype: the number that stands for "mostly <type>". */
static const struct { int type; uint32_t file_type; } FILE_TYPES[] = {
    { QT_F32, 0 }, { QT_F16, 1 }, { QT_Q4_0, 2 }, { QT_Q4_1, 3 }, { QT_Q8_0, 7 }, { QT_Q5_0, 8 }, { QT_Q4_K, 14 }, { QT_Q6_K, 18 }, { QT_BF16, 32 },
};

/* An adapted matrix may be some rows of a fused tensor. */
struct part { const struct lora *lora; int64_t row0, rows; };
struct out_tensor { struct tensor t; struct part part[3]; int n_part, rank; float scale; int type; };
struct merge { struct gguf_writer *w; const struct adapter *a; int type; struct out_tensor *v; int n; };

static const struct part *part_of(const struct out_tensor *o, int64_t row)
{
    for (int i = 0; i < o->n_part; i++)
        if (o->part[i].lora->on && row >= o->part[i].row0 && row < o->part[i].row0 + o->part[i].rows) return &o->part[i];
    return NULL;
}

static int fill_tensor(void *ud, void *buf, size_t n_bytes, ilab_err *e)
{
    const struct out_tensor *o = ud;
    const struct qtype_info *q = qtype_info(o->type);
    const int64_t in = o->t.dim[0], rows = tensor_rows(&o->t);
    const size_t row_bytes = (size_t)(in / q->elems) * (size_t)q->bytes;
    const struct kern *k = kern_get(cpu_detect());
    if (row_bytes * (size_t)rows != n_bytes) return err_set(e, ILAB_E_INVALID, "tensor '%s' changed its size", o->t.name);
    float *x = mem_aligned((size_t)in * sizeof(float));
    if (!x) return err_set(e, ILAB_E_NOMEM, "no memory to write '%s'", o->t.name);
    for (int64_t r = 0; r < rows; r++) {
        const struct part *p = part_of(o, r);
        tensor_row_f32(&o->t, r, x);
        for (int i = 0; p && i < o->rank; i++) k->axpy(x, o->scale * p->lora->b[(r - p->row0) * o->rank + i], p->lora->a + i * in, in);
        uint8_t *to = (uint8_t *)buf + (size_t)r * row_bytes;
        if (o->type == QT_F32) memcpy(to, x, row_bytes);
        else q->quantize(to, x, in);
    }
    mem_free(x);
    return 0;
}

static int add_tensor(struct merge *g, const struct model *m, const struct weight *w, ilab_err *e)
{
    const struct qtype_info *q = qtype_info(g->type);
    struct out_tensor *o = &g->v[g->n++];
    *o = (struct out_tensor){ .t = w->t, .type = weight_keeps_f32(w) ? QT_F32 : w->t.dim[0] % q->elems ? QT_F16 : g->type };
    if (g->a) {
        int kind[3];
        int64_t row0[3];
        o->rank = g->a->rank;
        o->scale = g->a->scale;
        o->n_part = weight_linears(&m->hp, w, kind, row0);
        for (int i = 0; i < o->n_part; i++) {
            const struct lora *l = &g->a->lora[w->layer * LIN_COUNT + kind[i]];
            o->part[i] = (struct part){ l, row0[i], l->n_out };
        }
    }
    return gguf_add_tensor(g->w, w->t.name, o->type, w->t.n_dim, w->t.dim, NULL, fill_tensor, o, e);
}

static int merge_into(struct merge *g, struct model *m, const char *path, void (*more_keys)(void *, struct gguf_writer *), void *ud, ilab_err *e)
{
    int rc, of_type = 0;
    if (m->gguf) {
        for (int i = 0; i < gguf_n_kv(m->gguf); i++) {
            const struct gguf_kv *kv = gguf_kv_at(m->gguf, i);
            if (!sv_eq_c(kv->key, "general.file_type")) gguf_put_kv(g->w, kv);
        }
    } else {
        model_put_gguf(m, g->w);
    }
    for (size_t i = 0; i < ARRAY_LEN(FILE_TYPES); i++)
        if (FILE_TYPES[i].type == g->type) of_type = (int)FILE_TYPES[i].file_type;
    gguf_put_u32(g->w, "general.file_type", (uint32_t)of_type);
    if (more_keys) more_keys(ud, g->w);
    for (int i = 0; i < m->n_weight; i++)
        if ((rc = add_tensor(g, m, &m->weight[i], e))) return rc;
    return gguf_write(g->w, path, e);
}

int model_write(struct model *m, const struct adapter *a, int type, const char *path,
                void (*more_keys)(void *ud, struct gguf_writer *w), void *ud, ilab_err *e)
{
    const struct qtype_info *q = qtype_info(type);
    if (!q || !q->quantize) return err_set(e, ILAB_E_INVALID, "cannot write element type %d", type);
    if (a && a->n_layer != m->hp.n_layer) return err_set(e, ILAB_E_INVALID, "adapter has %d layers, the model %d", a->n_layer, m->hp.n_layer);
    struct merge g = { .w = gguf_writer_new(), .a = a, .type = type };
    g.v = mem_calloc((size_t)m->n_weight, sizeof *g.v);
    int rc = g.w && g.v ? merge_into(&g, m, path, more_keys, ud, e) : err_set(e, ILAB_E_NOMEM, "no memory to write '%s'", path);
    mem_free(g.v);
    if (g.w) gguf_writer_free(g.w);
    return rc;
}
