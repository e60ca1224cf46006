/* tiny_model.h — a llama small enough for finite differences, filled with hash noise; used by test_model and test_backward.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef TINY_MODEL_H
#define TINY_MODEL_H

#include "model/model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static inline void ok(int rc, const ilab_err *e)
{
    if (rc) print_error("%s\n", e->msg);
    assert_int_equal(rc, 0);
}

/* Uniform in [-1, 1): the same bits as noise() of tests/check/torch_step.py. */
static inline double noise(uint32_t salt, uint32_t i)
{
    uint32_t h = i * 2654435761u + salt * 40503u + 12345u;
    h = (h ^ h >> 16) * 0x45D9F3Bu;
    h = (h ^ h >> 15) * 0x2C1B3C6Du;
    h ^= h >> 16;
    return (double)(h >> 8) / 8388608.0 - 1.0;
}

struct tiny_fill { uint32_t salt; };
static inline int tiny_fill_tensor(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e)
{
    (void)e;
    struct tiny_fill *f = ud;
    const double amp = is_norm ? 0.2 : !strcmp(name, "token_embd.weight") || !strcmp(name, "output.weight") ? 0.5 : 0.3;
    for (int64_t i = 0; i < tensor_elems(t); i++)
        ((float *)t->data)[i] = (float)(is_norm + amp * noise(f->salt, (uint32_t)i));
    f->salt++;
    return 0;
}

static inline struct hparams tiny_hparams(int n_ff, int n_vocab, int tied)
{
    return (struct hparams){ .n_layer = 2, .n_embd = 32, .n_head = 4, .n_kv_head = 2, .head_dim = 8, .n_ff = n_ff, .n_vocab = n_vocab,
                             .n_ctx = 64, .rope_dim = 8, .norm_eps = 1e-5f, .rope_base = 10000.0f, .tied = tied };
}

static inline struct model *tiny_model(const struct hparams *hp)
{
    ilab_err e = { 0 };
    struct model *m;
    struct tiny_fill f = { 0 };
    ok(model_new(&m, hp, 1, &e), &e);
    ok(model_each_tensor(m, tiny_fill_tensor, &f, &e), &e);
    return m;
}

/* All linear layers of `which`, with A and B filled. */
static inline struct adapter *tiny_adapter(const struct model *m, int rank, unsigned which, int first_layer)
{
    ilab_err e = { 0 };
    struct adapter *a;
    ok(adapter_new(&a, m, rank, 4.0f, which, first_layer, 7, &e), &e);
    for (int i = 0; i < a->n_layer * ADAPT_COUNT; i++) {
        struct lora *l = &a->lora[i];
        const int kind = i % ADAPT_COUNT, salt = 100 + 2 * (kind < LIN_COUNT ? i / ADAPT_COUNT * LIN_COUNT + kind : 1000 + i);
        for (int j = 0; l->on && l->a_of == kind && j < l->n_matrix * rank * l->n_in; j++) l->a[j] = (float)(0.2 * noise((uint32_t)salt, (uint32_t)j));
        for (int j = 0; l->on && j < l->n_matrix * rank * l->n_out; j++) l->b[j] = (float)(0.2 * noise((uint32_t)salt + 1, (uint32_t)j));
    }
    return a;
}

/* First position whose row counts as given text (struct batch, n_prompt). */
static int sequence_given_from = INT32_MAX;
/* Logits of all rows of one sequence, in one call or row by row (as decoding does). */
static inline void sequence_logits(struct gemm_ctx *g, struct model *m, const struct adapter *ad, const int32_t *id, int n, int step, float *logits)
{
    const struct hparams *hp = &m->hp;
    ilab_err e = { 0 };
    const struct attn_shape shape = layer_attn_shape(m, 0, QT_F32);
    const size_t page = (size_t)hp->n_layer * attn_page_bytes(&shape);
    const int n_page = (n + KERN_PANEL - 1) / KERN_PANEL;
    struct arena arena;
    arena_init(&arena, SIZE_MAX);
    void **pages = arena_alloc(&arena, (size_t)n_page * sizeof *pages, 64);
    for (int i = 0; i < n_page; i++) pages[i] = arena_alloc(&arena, page, 64);
    struct layer_acts a;
    layer_acts_plan(&a, hp, n, ad ? ad->rank : 0, &arena);
    float *y = arena_alloc(&arena, (size_t)n * (size_t)hp->n_embd * sizeof(float), 64);
    float *norm = arena_alloc(&arena, (size_t)n * (size_t)hp->n_embd * sizeof(float), 64), *inv = arena_alloc(&arena, (size_t)n * sizeof(float), 64);
    int32_t *row = arena_alloc(&arena, (size_t)n * sizeof *row, 64);
    ok(model_rope_reserve(m, n, &e), &e);
    for (int i = 0; i < n; i++) row[i] = i;
    for (int p = 0; p < n; p += step) {
        const int k = n - p < step ? n - p : step;
        struct segment seg = { 0, k, p, pages };
        const int from = sequence_given_from > p ? sequence_given_from : p;
        struct batch b = { k, id + p, 1, &seg, QT_F32, 0, from < p + k ? p + k - from : 0 };
        embed_rows(gemm_kern(g), m, &b, 0, k, a.x);
        for (int l = 0; l < hp->n_layer; l++) {
            layer_forward(g, m, ad, l, l, &b, &a, y);
            memcpy(a.x, y, (size_t)k * (size_t)hp->n_embd * sizeof(float));
        }
        output_logits(g, m, y, row, k, norm, inv, logits + (size_t)p * (size_t)hp->n_vocab);
    }
    arena_release(&arena);
}

#endif
