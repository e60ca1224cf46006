/* model.c — opening, making and releasing models; their identity; walking tensors.
 *
 * A model opened for inference points into the mapped file; MODEL_PACK adds F32 panels, MODEL_TRAINABLE replaces
 * every weight by an F32 copy inside one block (`params`), whose order is that of model_each_tensor.
 * Opening reads headers only: no weight is touched before it is used (MODEL_PACK and MODEL_TRAINABLE read all).
 * Not thread-safe: model_rope_reserve (rope.c) and model_hash change the model and belong before it is shared.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

#include <math.h>
#include <string.h>

/* ---- weights ---- */

/* The one order of tensors; fn may change type and data of a tensor, the views of it follow. */
int model_each_tensor(struct model *m, model_tensor_fn *fn, void *ud, ilab_err *e)
{
    int rc;
    for (int i = 0; i < m->n_weight; i++) {
        struct weight *w = &m->weight[i];
        const void *data = w->t.data;
        if (!weight_is_parameter(w)) continue;
        if ((rc = fn(ud, w->t.name, &w->t, w->t.n_dim == 1, e))) return rc;
        if (w->t.data != data) weight_bind(m, i);
    }
    return 0;
}

/* ---- F32 copies and panels ---- */

struct carve { float *at; size_t n; int copy; };
static int count_params(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e)
{
    (void)name, (void)is_norm, (void)e;
    ((struct carve *)ud)->n += (size_t)tensor_elems(t);
    return 0;
}
static int move_params(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e)
{
    (void)name, (void)is_norm, (void)e;
    struct carve *c = ud;
    if (c->copy)
        for (int64_t r = 0; r < tensor_rows(t); r++) tensor_row_f32(t, r, c->at + r * t->dim[0]);
    t->data = c->at;
    t->type = QT_F32;
    t->row_bytes = (size_t)t->dim[0] * sizeof(float);
    t->n_bytes = t->row_bytes * (size_t)tensor_rows(t);
    c->at += tensor_elems(t);
    return 0;
}

static int make_trainable(struct model *m, int copy, ilab_err *e)
{
    struct carve c = { .copy = copy };
    model_each_tensor(m, count_params, &c, NULL);
    const size_t room = mem_available(); /* 0: the system does not tell; else it promises more than it has */
    if (room && c.n * sizeof(float) > room) {
        char need[32], left[32];
        format_bytes(need, sizeof need, (double)c.n * sizeof(float));
        format_bytes(left, sizeof left, (double)room);
        return err_set(e, ILAB_E_NOMEM, "all weights in F32 take %s, and two to four times that in training; %s of memory are free: train an adapter (--pipeline lora), or a smaller model", need, left);
    }
    m->params = mem_aligned(c.n * sizeof(float));
    if (!m->params) return err_set(e, ILAB_E_NOMEM, "no memory for %zu F32 parameters", c.n);
    m->n_params = c.n;
    c.at = m->params;
    model_each_tensor(m, move_params, &c, NULL);
    return 0;
}

static int pack_linear(struct model *m, struct linear *l, struct gemm_ctx *gc, ilab_err *e)
{
    size_t n = gemm_packed_floats(l->w.dim[1], l->w.dim[0]);
    l->packed = arena_alloc(&m->mem, n * sizeof(float), 64);
    if (!l->packed) return err_set(e, ILAB_E_NOMEM, "no memory for F32 panels of '%s'", l->w.name);
    gemm_pack(gc, l->packed, &l->w);
    return 0;
}

/* Experts stay as they are: few tokens use one. */
static int pack_all(struct model *m, struct gemm_ctx *gc, ilab_err *e)
{
    int rc;
    for (int l = 0; l < m->hp.n_layer; l++)
        for (int k = 0; k < LIN_COUNT + EXPERT_COUNT; k++) {
            struct linear *x = k < LIN_COUNT ? &m->layer[l].lin[k] : &m->layer[l].shared[k - LIN_COUNT];
            if (x->w.dim[0] && (rc = pack_linear(m, x, gc, e))) return rc;
        }
    if (m->hp.encoder) return 0;
    if ((rc = pack_linear(m, &m->output, gc, e))) return rc;
    if (m->hp.tied) m->embedding.packed = m->output.packed;
    return 0;
}

/* ---- life ---- */

/* A model whose fields see the tensors of g (NULL: headers without data). */
static int model_alloc(struct model **out, const struct hparams *hp, const struct arch *a, const struct gguf *g, ilab_err *e)
{
    int n, rc = weights_list(g, a, hp, NULL, &n, e);
    if (rc) return rc;
    struct model *m = mem_calloc(1, sizeof *m);
    if (!m) goto fail;
    m->hp = *hp;
    m->arch = a;
    arena_init(&m->mem, SIZE_MAX);
    m->layer = arena_alloc(&m->mem, (size_t)hp->n_layer * sizeof *m->layer, 64);
    m->weight = arena_alloc(&m->mem, (size_t)n * sizeof *m->weight, 64);
    if (!m->layer || !m->weight) goto fail;
    for (int l = 0; l < hp->n_layer && hp->n_expert; l++)
        for (int k = 0; k < EXPERT_COUNT; k++)
            if (!(m->layer[l].expert[k] = arena_alloc(&m->mem, (size_t)hp->n_expert * sizeof(struct tensor), 64))) goto fail;
    weights_list(g, a, hp, m->weight, &m->n_weight, NULL);
    arch_layers(g, a, hp, m->layer);
    for (int i = 0; i < n; i++) weight_bind(m, i);
    *out = m;
    return 0;
fail:
    model_free(m);
    return err_set(e, ILAB_E_NOMEM, "no memory for a model of %d layers", hp->n_layer);
}

void model_free(struct model *m)
{
    if (!m) return;
    if (m->gguf) gguf_close(m->gguf);
    arena_release(&m->mem);
    mem_free(m->params);
    mem_free(m->rope_cos_sin);
    mem_free(m->rope_window);
    mem_free(m->path);
    mem_free(m);
}

int model_supported(const struct gguf *g, ilab_err *e)
{
    const struct arch *a;
    struct hparams hp;
    return arch_read_hparams(g, &a, &hp, e);
}

int model_open_gguf(struct model **out, struct gguf *g, int flags, struct gemm_ctx *gc, ilab_err *e)
{
    const struct arch *a;
    struct hparams hp;
    struct model *m;
    int rc;
    *out = NULL;
    if ((rc = arch_read_hparams(g, &a, &hp, e)) || (rc = model_alloc(&m, &hp, a, g, e))) return rc;
    struct sv name;
    if (!gguf_get_str(g, "general.name", &name, NULL)) snprintf(m->name, sizeof m->name, "%.*s", SV_ARG(name));
    rc = flags & MODEL_TRAINABLE ? make_trainable(m, 1, e) : flags & MODEL_PACK ? pack_all(m, gc, e) : 0;
    if (!rc) rc = model_rope_reserve(m, hp.n_ctx < 512 ? hp.n_ctx : 512, e);
    if (rc) { /* g stays the caller's */
        model_free(m);
        return rc;
    }
    m->gguf = g;
    *out = m;
    return 0;
}

int model_open(struct model **out, const char *path, int flags, struct gemm_ctx *gc, ilab_err *e)
{
    struct gguf *g;
    *out = NULL;
    int rc = model_gguf_open(&g, path, e);
    if (rc) return rc;
    if ((rc = model_open_gguf(out, g, flags, gc, e))) {
        gguf_close(g);
        return err_name_file(e, path), rc;
    }
    (*out)->path = mem_strndup(path, strlen(path));
    return 0;
}

static void fill_normal(const struct tensor *t, struct rng *r, double std)
{
    float *w = (float *)t->data; /* inside m->params, which the model owns */
    for (int64_t i = 0; i < tensor_elems(t); i++) w[i] = (float)(std * rng_normal(r));
}

int model_new(struct model **out, const struct hparams *hp, uint64_t seed, ilab_err *e)
{
    *out = NULL;
    struct model *m;
    int rc = hparams_check(hp, e);
    if (rc || (rc = model_alloc(&m, hp, &ARCHS[0], NULL, e))) return rc;
    if ((rc = make_trainable(m, 0, e)) || (rc = model_rope_reserve(m, hp->n_ctx < 512 ? hp->n_ctx : 512, e))) {
        model_free(m);
        return rc;
    }
    struct rng r;
    rng_seed(&r, seed);
    const double std = 0.02, std_residual = 0.02 / sqrt(2.0 * hp->n_layer); /* GPT-2 (Radford et al. 2019) §2.3 */
    fill_normal(&m->embedding.w, &r, std);
    for (int l = 0; l < hp->n_layer; l++) {
        for (int k = 0; k < LIN_COUNT; k++)
            fill_normal(&m->layer[l].lin[k].w, &r, k == LIN_O || k == LIN_DOWN ? std_residual : std);
        for (int i = 0; i < hp->n_embd; i++)
            ((float *)m->layer[l].attn_norm)[i] = ((float *)m->layer[l].ffn_norm)[i] = 1.0f;
    }
    for (int i = 0; i < hp->n_embd; i++) ((float *)m->output_norm)[i] = 1.0f;
    if (!hp->tied) fill_normal(&m->output.w, &r, std);
    *out = m;
    return 0;
}

void model_let_go(const struct model *m)
{
    for (int i = 0; m->gguf && i < gguf_n_tensor(m->gguf); i++) {
        const struct tensor *t = gguf_tensor_at(m->gguf, i);
        file_map_drop(gguf_shard_map(m->gguf, t->shard), t->data, t->n_bytes);
    }
}

/* ---- identity ---- */

enum { HASH_WORTH_KEEPING = 64 << 20 /* bytes of a file that take a noticeable time */ };

struct hash_walk { struct sha256 s; };
static int hash_tensor(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e)
{
    (void)is_norm, (void)e;
    struct hash_walk *w = ud;
    sha256_add(&w->s, name, strlen(name));
    sha256_add(&w->s, t->dim, sizeof t->dim);
    sha256_add(&w->s, t->data, t->n_bytes);
    return 0;
}

const char *model_hash(struct model *m, ilab_err *e)
{
    if (m->gguf && m->hash[0]) return m->hash;
    const int one_file = m->gguf && gguf_is_file(m->gguf) && gguf_n_shard(m->gguf) == 1;
    if (m->path && one_file) return sha256_file_cached(m->path, HASH_WORTH_KEEPING, m->hash, e) ? NULL : m->hash;
    struct hash_walk w;
    sha256_init(&w.s);
    if (m->gguf && !one_file) { /* several files, or a directory: names, shapes and weights, in whatever files they lie */
        for (int i = 0; i < gguf_n_tensor(m->gguf); i++) {
            struct tensor t = *gguf_tensor_at(m->gguf, i);
            hash_tensor(&w, t.name, &t, 0, NULL);
        }
    } else if (m->gguf) { /* the very bytes of the file, which lies in memory: its first key starts at byte 32 (gguf.md: magic,
                    * version, two counts, the key's length) and all views point into the file */
        sha256_add(&w.s, gguf_kv_at(m->gguf, 0)->key.p - 32, gguf_file_bytes(m->gguf));
    } else {       /* without a file: the weights as they are now */
        model_each_tensor(m, hash_tensor, &w, NULL);
    }
    sha256_hex(&w.s, m->hash);
    return m->hash;
}
