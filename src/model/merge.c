/* merge.c — writing a model, with or without an adapter folded in: W' = W + scale · B A (Hu et al. 2021, §4.1).
 *
 * Tensors are made and written one at a time, so the memory is that of one tensor. Matrices get the wanted element
 * type (F16 where its blocks do not divide the row) or that of a mix; vectors, routers, tables of positions and types stay F32.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

#include <stdatomic.h>
#include <string.h>

/* llama.h, enum llama_ftype: the number that stands for "mostly <type>". */
static const struct { int type; uint32_t file_type; } FILE_TYPES[] = {
    { QT_F32, 0 }, { QT_F16, 1 }, { QT_Q4_0, 2 }, { QT_Q4_1, 3 }, { QT_Q8_0, 7 }, { QT_Q5_0, 8 }, { QT_Q4_K, 14 }, { QT_Q6_K, 18 }, { QT_BF16, 32 },
};

/* An adapted matrix may be some rows of a fused tensor. */
struct part { const struct lora *lora; int64_t row0, rows; };
struct merge;
struct out_tensor { const struct merge *of; struct tensor t; struct part part[3]; int n_part, type; };
struct merge {
    struct gguf_writer *w; const struct adapter *a; struct model *m; struct pool *pool;
    int type, mix;                             /* mix ≥ 0: its rules choose each tensor's type */
    struct mix_model shape;
    struct out_tensor *v; int n;
};
struct range { const struct out_tensor *o; uint8_t *to; int64_t row0; _Atomic int no_memory; };

static const struct part *part_of(const struct out_tensor *o, int64_t row)
{
    for (int i = 0; i < o->n_part; i++)
        if (o->part[i].lora->on && row >= o->part[i].row0 && row < o->part[i].row0 + o->part[i].rows) return &o->part[i];
    return NULL;
}

/* Rows i0 … i1 of a range, each by itself. */
static void merge_rows(void *ud, int i0, int i1)
{
    struct range *j = ud;
    const struct out_tensor *o = j->o;
    const struct qtype_info *q = qtype_info(o->type);
    const int64_t in = o->t.dim[0], rows = j->row0 + i1;
    const size_t row_bytes = (size_t)(in / q->elems) * (size_t)q->bytes;
    const struct kern *k = kern_get(cpu_detect());
    float *x = mem_aligned((size_t)in * sizeof(float));
    if (!x) { atomic_store(&j->no_memory, 1); return; }
    for (int64_t r = j->row0 + i0; r < rows; r++) {
        const struct part *p = part_of(o, r);
        tensor_row_f32(&o->t, r, x);
        const struct lora *l = p ? p->lora : NULL;
        const float *a = l ? l->a + (r - p->row0) / l->n_out * l->rank * in : NULL; /* the expert's */
        for (int i = 0; l && i < l->rank; i++) k->axpy(x, l->scale * l->b[(r - p->row0) * l->rank + i], a + i * in, in);
        uint8_t *to = j->to + (size_t)(r - j->row0) * row_bytes;
        if (o->type == QT_F32) memcpy(to, x, row_bytes);
        else q->quantize(to, x, in);
    }
    mem_free(x);
}

static int fill_rows(void *ud, void *buf, int64_t row, int64_t n, ilab_err *e)
{
    const struct out_tensor *o = ud;
    const struct model *m = o->of->m;
    struct range j = { .o = o, .to = buf, .row0 = row };
    rows_run(o->of->pool, merge_rows, &j, (int)n);
    if (m->gguf) file_map_drop(gguf_shard_map(m->gguf, o->t.shard), (const uint8_t *)o->t.data + (size_t)row * o->t.row_bytes, (size_t)n * o->t.row_bytes);
    if (atomic_load(&j.no_memory)) return err_set(e, ILAB_E_NOMEM, "no memory to write '%s'", o->t.name);
    if (signal_pending()) return err_set(e, ILAB_E_CANCEL, "stopped at tensor '%s'; nothing was written", o->t.name);
    return m->gguf ? gguf_check(m->gguf, e) : 0;
}

static int add_tensor(struct merge *g, const struct model *m, const struct weight *w, ilab_err *e)
{
    const struct qtype_info *q = qtype_info(g->type);
    struct out_tensor *o = &g->v[g->n++];
    *o = (struct out_tensor){ .of = g, .t = w->t, .type = weight_keeps_f32(w) ? QT_F32 : w->t.dim[0] % q->elems ? QT_F16 : g->type };
    if (g->mix >= 0 && o->type != QT_F32) o->type = mix_type(g->mix, 0, &g->shape, w->t.name, w->t.type, w->t.n_dim, w->t.dim);
    if (g->a) {
        int kind[3];
        int64_t row0[3];
        o->n_part = weight_adapted(&m->hp, w, kind, row0);
        for (int i = 0; i < o->n_part; i++) {
            const struct lora *l = &g->a->lora[w->layer * ADAPT_COUNT + kind[i]];
            o->part[i] = (struct part){ l, row0[i], (int64_t)l->n_out * l->n_matrix };
        }
    }
    return gguf_add_tensor_rows(g->w, w->t.name, o->type, w->t.n_dim, w->t.dim, fill_rows, o, e);
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
    gguf_put_u32(g->w, "general.file_type", g->mix >= 0 ? mix_file_type(g->mix) : (uint32_t)of_type);
    if (qtype_info(g->type)->elems > 1) gguf_put_u32(g->w, "general.quantization_version", 2);
    if (more_keys) more_keys(ud, g->w);
    for (int i = 0; i < m->n_weight; i++)
        if ((rc = add_tensor(g, m, &m->weight[i], e))) return rc;
    return gguf_write(g->w, path, e);
}

static int write_merged(struct merge *g, const char *path, void (*more_keys)(void *ud, struct gguf_writer *w), void *ud, ilab_err *e)
{
    const struct adapter *a = g->a;
    if (a && a->n_layer != g->m->hp.n_layer) return err_set(e, ILAB_E_INVALID, "adapter has %d layers, the model %d", a->n_layer, g->m->hp.n_layer);
    g->w = gguf_writer_new();
    g->v = mem_calloc((size_t)g->m->n_weight, sizeof *g->v);
    int rc = g->w && g->v ? merge_into(g, g->m, path, more_keys, ud, e) : err_set(e, ILAB_E_NOMEM, "no memory to write '%s'", path);
    mem_free(g->v);
    if (g->w) gguf_writer_free(g->w);
    return rc;
}

int model_write(struct model *m, const struct adapter *a, int type, const char *path,
                void (*more_keys)(void *ud, struct gguf_writer *w), void *ud, ilab_err *e)
{
    struct merge g = { .a = a, .m = m, .type = type, .mix = -1 };
    if (!qtype_info(type)) return err_set(e, ILAB_E_INVALID, "cannot write element type %d", type);
    return write_merged(&g, path, more_keys, ud, e);
}

int model_write_mix(struct model *m, const struct adapter *a, int mix, struct pool *pool, const char *path,
                    void (*more_keys)(void *ud, struct gguf_writer *w), void *ud, ilab_err *e)
{
    const struct hparams *hp = &m->hp;
    struct merge g = { .a = a, .m = m, .pool = pool, .mix = mix };
    if (!mix_name(mix)) return err_set(e, ILAB_E_INVALID, "there is no mix of types %d", mix);
    g.type = mix_base_type(mix);
    g.shape = (struct mix_model){ .n_layer = hp->n_layer, .n_expert = hp->n_expert, .n_gqa = hp->n_kv_head ? hp->n_head / hp->n_kv_head : 1, .has_output = !hp->tied };
    if (m->gguf) mix_model_of(&g.shape, m->gguf);
    return write_merged(&g, path, more_keys, ud, e);
}
