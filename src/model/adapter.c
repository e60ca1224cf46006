/* adapter.c — LoRA adapters: making them. Files: adapter_file.c (GGUF), adapter_peft.c (PEFT).
 *
 * All A and B lie in one block in layer, kind, A, B order; parts of a fused tensor share the first part's A, their B follow each
 * other: so the block holds the fused matrices of a file as they are. Ranks and scales belong to the matrix, since files of other
 * programs mix them.  SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

#include <string.h>

int adapter_alloc(struct adapter **out, const struct model *m, float alpha, int rslora, const struct lora *plan, ilab_err *e)
{
    const int n = m->hp.n_layer * ADAPT_COUNT;
    struct adapter *a = mem_calloc(1, sizeof *a);
    if (a) a->lora = mem_calloc((size_t)n, sizeof *a->lora);
    if (!a || !a->lora) goto fail;
    a->alpha = alpha;
    a->rslora = rslora;
    a->n_layer = m->hp.n_layer;
    for (int i = 0; i < n; i++) {
        struct lora *l = &a->lora[i];
        const struct tensor *t = adapted_tensor(m, i / ADAPT_COUNT, i % ADAPT_COUNT);
        if (!plan[i].on) continue;
        *l = plan[i];
        l->n_in = (int)t->dim[0];
        l->n_out = (int)t->dim[1];
        l->n_matrix = t->n_dim > 2 ? (int)t->dim[2] : 1;
        a->rank = a->rank < l->rank ? l->rank : a->rank;
        a->n_params += (size_t)l->n_matrix * (size_t)l->rank * (size_t)((l->a_of == i % ADAPT_COUNT ? l->n_in : 0) + l->n_out);
    }
    a->scale = lora_scale(alpha, a->rank, rslora);
    a->params = mem_aligned(a->n_params * sizeof(float));
    if (!a->params) goto fail;
    float *at = a->params;
    for (int i = 0; i < n; i++) {
        struct lora *l = &a->lora[i];
        const size_t row = (size_t)l->n_matrix * (size_t)l->rank;
        if (!l->on) continue;
        const int own = l->a_of == i % ADAPT_COUNT;
        l->a = own ? at : a->lora[i - i % ADAPT_COUNT + l->a_of].a;
        l->b = own ? at + row * (size_t)l->n_in : at;
        at = l->b + row * (size_t)l->n_out;
    }
    *out = a;
    return 0;
fail:
    adapter_free(a);
    return err_set(e, ILAB_E_NOMEM, "no memory for an adapter");
}

void adapter_share_fused(const struct model *m, struct lora *plan)
{
    for (int i = 0; i < m->n_weight; i++) {
        int kind[3], first = -1;
        int64_t row0[3];
        const int n = weight_adapted(&m->hp, &m->weight[i], kind, row0);
        struct lora *l = plan + (size_t)m->weight[i].layer * ADAPT_COUNT;
        for (int k = 0; k < n; k++) {
            if (!l[kind[k]].on) continue;
            if (first < 0) first = kind[k];
            l[kind[k]].a_of = first;
        }
    }
}

int adapter_new(struct adapter **out, const struct model *m, int rank, float alpha, unsigned which, int first_layer,
                uint64_t seed, ilab_err *e)
{
    const int n = m->hp.n_layer * ADAPT_COUNT;
    int n_on = 0;
    *out = NULL;
    if (rank < 1 || rank > MAX_RANK) return err_set(e, ILAB_E_INVALID, "adapter rank %d, must be 1 to %d", rank, MAX_RANK);
    if (!isfinite(alpha) || alpha < 0) return err_set(e, ILAB_E_INVALID, "adapter alpha %g must not be negative", (double)alpha);
    if (first_layer < 0 || first_layer >= m->hp.n_layer)
        return err_set(e, ILAB_E_INVALID, "first adapted layer %d, the model has layers 0 to %d", first_layer, m->hp.n_layer - 1);
    struct lora *plan = mem_calloc((size_t)n, sizeof *plan);
    if (!plan) return err_set(e, ILAB_E_NOMEM, "no memory for an adapter");
    for (int i = first_layer * ADAPT_COUNT; i < n; i++) { /* what a layer lacks (a gate, a dense feed-forward) is left out */
        const int on = ((which >> (i % ADAPT_COUNT)) & 1) && adapted_tensor(m, i / ADAPT_COUNT, i % ADAPT_COUNT);
        plan[i] = (struct lora){ .on = on, .rank = rank, .a_of = i % ADAPT_COUNT, .scale = lora_scale(alpha, rank, 0) };
        n_on += on;
    }
    adapter_share_fused(m, plan);
    int rc = n_on ? adapter_alloc(out, m, alpha, 0, plan, e)
                  : err_set(e, ILAB_E_INVALID, "adapter changes no linear layer: the model '%s' has none of those that are wanted", m->arch->name);
    mem_free(plan);
    if (rc) return rc;
    struct rng r;
    rng_seed(&r, seed);
    for (int i = 0; i < n; i++) { /* B stays zero: the first step starts from the base model */
        struct lora *l = &(*out)->lora[i];
        if (!l->on || l->a_of != i % ADAPT_COUNT) continue;
        for (int64_t j = 0; j < (int64_t)l->n_matrix * rank * l->n_in; j++) l->a[j] = (float)(rng_normal(&r) / sqrt((double)l->n_in));
    }
    memcpy((*out)->base_hash, m->hash, sizeof m->hash);
    return 0;
}

void adapter_set_rslora(struct adapter *a)
{
    a->rslora = 1;
    a->scale = lora_scale(a->alpha, a->rank, 1);
    for (int i = 0; i < a->n_layer * ADAPT_COUNT; i++) a->lora[i].scale = a->lora[i].on ? lora_scale(a->alpha, a->lora[i].rank, 1) : 0;
}

void adapter_free(struct adapter *a)
{
    if (!a) return;
    mem_free(a->params);
    mem_free(a->lora);
    mem_free(a);
}
