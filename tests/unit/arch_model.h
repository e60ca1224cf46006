/* arch_model.h — a tiny random model of any row of the table of architectures, as a file; used by test_model_arch and
 * test_model_train.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ARCH_MODEL_H
#define ARCH_MODEL_H

#include "model/arch.h"
#include "tests/unit/tiny_model.h"

/* Every feature of the row switched on, in sizes that no two of are equal by chance. */
static inline struct hparams arch_hparams(const struct arch *a)
{
    struct hparams hp = a->preset;
    hp.n_layer = hp.window_period > 4 ? 7 : 5;
    hp.n_embd = 64;
    hp.n_head = 4;
    hp.n_kv_head = hp.encoder || hp.plain_ffn ? 4 : 2;
    hp.head_dim = 16;
    hp.rope_dim = a->use[W_GATE_UP] ? 12 : 16;
    hp.n_ff = 96;
    hp.n_vocab = 97;
    hp.n_ctx = 64;
    hp.norm_eps = 1e-5f;
    hp.rope_base = 10000;
    hp.tied = hp.encoder || hp.activation == ACT_GELU;
    if (a->reads & READ_SCALES) hp.embedding_scale = 3, hp.residual_scale = 0.5f, hp.logit_scale = 2;
    if (a->reads & READ_ATTN_SCALE) hp.attn_scale = 0.2f;
    if (a->reads & READ_WINDOW) hp.window = 5;
    if (a->reads & READ_SOFTCAP) hp.attn_softcap = 4, hp.final_softcap = 6;
    if (hp.sqrt_embedding_scale) hp.embedding_scale = 8;
    return hp;
}

static inline void arch_add_experts(struct hparams *hp, const struct arch *a)
{
    hp->n_expert = 6;
    hp->n_expert_used = 2;
    hp->n_ff_expert = 48;
    if (a->reads & READ_SHARED) hp->n_ff_shared = 32;
}

struct arch_weights { struct weight w[512]; float *data[512]; int n; };

static inline void arch_weights_free(struct arch_weights *x)
{
    for (int i = 0; i < x->n; i++) mem_free(x->data[i]);
}

static inline void arch_weights_make(struct arch_weights *x, const struct arch *a, const struct hparams *hp, uint32_t salt)
{
    ilab_err e = { 0 };
    ok(weights_list(NULL, a, hp, NULL, &x->n, &e), &e);
    assert_true(x->n <= 512);
    ok(weights_list(NULL, a, hp, x->w, &x->n, &e), &e);
    for (int i = 0; i < x->n; i++) {
        struct tensor *t = &x->w[i].t;
        const int64_t n = tensor_elems(t), in = t->dim[0];
        const int vector = t->n_dim == 1, bias = vector && strstr(t->name, ".bias");
        if (!t->dim[t->n_dim - 1]) t->dim[t->n_dim - 1] = 2; /* token types */
        x->data[i] = mem_calloc((size_t)tensor_elems(t), sizeof(float));
        for (int64_t k = 0; k < (n ? n : 2 * in); k++)
            x->data[i][k] = (float)(vector ? (bias ? 0 : 1) + 0.3 * noise(salt + (uint32_t)i, (uint32_t)k) : 1.7 / sqrt((double)in) * noise(salt + (uint32_t)i, (uint32_t)k));
    }
}

/* Rows of q, k and v of w[i]'s layer (or their biases), one after the other. */
static inline float *arch_joined(const struct arch_weights *x, int i, int64_t *rows)
{
    const struct tensor *t = &x->w[i].t;
    float *all = mem_calloc(3 * (size_t)tensor_elems(t), sizeof *all), *to = all;
    int n = 0;
    *rows = 0;
    for (int k = i; k < x->n && n < 3; k++) { /* they follow each other, biases between */
        const struct tensor *o = &x->w[k].t;
        if (o->n_dim != t->n_dim || x->w[k].kind > W_V_BIAS) continue;
        memcpy(to, x->data[k], (size_t)tensor_elems(o) * sizeof *to);
        to += tensor_elems(o);
        *rows += o->dim[o->n_dim - 1];
        n++;
    }
    return all;
}

/* drop ≥ 0: without that tensor; fuse: q, k, v as one tensor. path NULL: a view in memory, for which x must live. */
static inline struct gguf *arch_write(const char *path, const struct arch *a, const struct hparams *hp, const struct arch_weights *x, int drop, int fuse)
{
    const struct model head = { .hp = *hp, .arch = a, .name = "tiny" };
    struct gguf_writer *w = gguf_writer_new();
    struct gguf *g = NULL;
    ilab_err e = { 0 };
    float *joined[64] = { 0 };
    int n_joined = 0;
    model_put_gguf(&head, w);
    for (int i = 0; i < x->n; i++) {
        const struct tensor *t = &x->w[i].t;
        const int kind = x->w[i].kind, q = kind == W_Q || kind == W_Q_BIAS, kv = kind == W_K || kind == W_K_BIAS || kind == W_V || kind == W_V_BIAS;
        if (i == drop || (fuse && kv)) continue;
        if (!fuse || !q) {
            ok(gguf_add_tensor(w, t->name, QT_F32, t->n_dim, t->dim, x->data[i], NULL, NULL, &e), &e);
            continue;
        }
        char name[128];
        int64_t rows;
        joined[n_joined] = arch_joined(x, i, &rows);
        const int64_t dim[2] = { t->n_dim == 2 ? hp->n_embd : rows, rows };
        snprintf(name, sizeof name, "blk.%d.attn_qkv.%s", x->w[i].layer, t->n_dim == 2 ? "weight" : "bias");
        ok(gguf_add_tensor(w, name, QT_F32, t->n_dim, dim, joined[n_joined++], NULL, NULL, &e), &e);
    }
    if (path) ok(gguf_write(w, path, &e), &e);
    else ok(gguf_from_writer(&g, w, "memory", &e), &e);
    gguf_writer_free(w);
    for (int i = 0; i < n_joined; i++) mem_free(joined[i]);
    return g;
}

static inline struct model *arch_model(const struct arch *a, const struct hparams *hp, const struct arch_weights *x)
{
    struct model *m;
    ilab_err e = { 0 };
    ok(model_open_gguf(&m, arch_write(NULL, a, hp, x, -1, 0), 0, NULL, &e), &e);
    return m;
}

#endif
