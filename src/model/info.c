/* info.c — what `ilab model info` prints, as JSON; what can be trained.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

struct info_walk { size_t params, bytes; int count[QT_COUNT]; };
static int count_tensor(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e)
{
    (void)name, (void)is_norm, (void)e;
    struct info_walk *w = ud;
    w->params += (size_t)tensor_elems(t);
    w->bytes += t->n_bytes;
    if (t->type >= 0 && t->type < QT_COUNT) w->count[t->type]++;
    return 0;
}

/* Parameters that one token uses: all but the experts that it did not choose. */
static size_t active_params(const struct model *m, size_t all)
{
    for (int l = 0; l < m->hp.n_layer && m->hp.n_expert; l++)
        for (int k = 0; k < EXPERT_COUNT; k++)
            all -= (size_t)tensor_elems(&m->layer[l].expert_all[k]) / (size_t)m->hp.n_expert * (size_t)(m->hp.n_expert - m->hp.n_expert_used);
    return all;
}

json_t *model_info(const struct model *m)
{
    static const char *const NORM[] = { "RMSNorm", "LayerNorm" }, *const PLACE[] = { "before", "before and after", "after", "after the sum" },
        *const ACT[] = { "SiLU", "GELU" }, *const ROPE[] = { "pairs", "halves", "none" }, *const SCALING[] = { "none", "linear", "yarn", "longrope" },
        *const QK_NORM[] = { "none", "per head", "whole width" }, *const POOLING[] = { "none", "mean", "first", "last" };
    const struct hparams *hp = &m->hp;
    struct info_walk w = { 0 };
    model_each_tensor((struct model *)m, count_tensor, &w, NULL); /* the callback changes nothing */
    const struct { const char *key; int64_t v; int always; } num[] = {
        { "parameters", (int64_t)w.params, 1 }, { "active_parameters", hp->n_expert ? (int64_t)active_params(m, w.params) : 0, 0 },
        { "file_bytes", m->gguf ? (int64_t)gguf_file_bytes(m->gguf) : 0, 1 }, { "tensor_bytes", (int64_t)w.bytes, 1 },
        { "context_length", hp->n_ctx, 1 }, { "layers", hp->n_layer, 1 }, { "embedding_length", hp->n_embd, 1 },
        { "feed_forward_length", hp->n_ff, 1 }, { "heads", hp->n_head, 1 }, { "kv_heads", hp->n_kv_head, 1 }, { "head_dim", hp->head_dim, 1 },
        { "vocabulary", hp->n_vocab, 1 }, { "experts", hp->n_expert, 0 }, { "experts_used", hp->n_expert_used, 0 },
        { "expert_feed_forward_length", hp->n_ff_expert, 0 }, { "shared_feed_forward_length", hp->n_ff_shared, 0 },
        { "sliding_window", hp->window, 0 }, { "sliding_window_period", hp->window ? hp->window_period : 0, 0 },
        { "no_rope_period", hp->rope_skip, 0 }, { "learned_positions", m->positions.data ? m->positions.dim[1] : 0, 0 },
        { "kv_bytes_per_token", (int64_t)hp->n_layer * 2 * hp->n_kv_head * hp->head_dim * (int64_t)sizeof(float), 1 },
        { "packed_bytes", (int64_t)(w.params * sizeof(float)), 1 },
    };
    const struct { const char *key; float v; int always; } real[] = {
        { "rope_base", hp->rope_base, hp->rope != ROPE_NONE }, { "rope_base_window", hp->own_window_rope ? hp->rope_base_window : 0, 0 },
        { "rope_factor", hp->rope_scaling ? hp->rope_factor : 0, 0 }, { "norm_eps", hp->norm_eps, 1 },
        { "embedding_scale", hp->embedding_scale, 0 }, { "residual_scale", hp->residual_scale, 0 }, { "attention_scale", hp->attn_scale, 0 },
        { "logit_scale", hp->logit_scale, 0 }, { "attention_softcap", hp->attn_softcap, 0 }, { "final_softcap", hp->final_softcap, 0 },
    };
    const struct { const char *key, *v; int show; } text[] = {
        { "norm", NORM[hp->norm], hp->norm != 0 }, { "norm_place", PLACE[hp->norm_place], hp->norm_place != 0 },
        { "activation", ACT[hp->activation], hp->activation != 0 }, { "rope", ROPE[hp->rope], hp->rope != 0 },
        { "rope_scaling", SCALING[hp->rope_scaling], hp->rope_scaling != 0 }, { "qk_norm", QK_NORM[hp->qk_norm], hp->qk_norm != 0 },
        { "pooling", POOLING[hp->pooling], hp->pooling != 0 },
    };
    json_t *o = json_object(), *types = json_object();
    json_object_set_new(o, "architecture", json_string(m->arch->name));
    json_object_set_new(o, "name", json_string(m->name));
    for (size_t i = 0; i < ARRAY_LEN(num); i++)
        if (num[i].always || num[i].v) json_object_set_new(o, num[i].key, json_integer(num[i].v));
    for (size_t i = 0; i < ARRAY_LEN(real); i++)
        if (real[i].always || real[i].v != 0) json_object_set_new(o, real[i].key, json_real((double)real[i].v));
    for (size_t i = 0; i < ARRAY_LEN(text); i++)
        if (text[i].show) json_object_set_new(o, text[i].key, json_string(text[i].v));
    json_object_set_new(o, "tied_output", json_boolean(hp->tied));
    json_object_set_new(o, "trainable", json_boolean(!model_trainable(m, 0, NULL)));
    for (int i = 0; i < QT_COUNT; i++)
        if (w.count[i]) json_object_set_new(types, qtype_info(i)->name, json_integer(w.count[i]));
    json_object_set_new(o, "tensor_types", types);
    return o;
}

int model_trainable(const struct model *m, int all_weights, ilab_err *e)
{
    const struct hparams *hp = &m->hp;
    int bias = 0, adapted = 0;
    for (int k = 0; k < LIN_COUNT; k++) {
        bias |= m->layer[0].lin[k].bias != NULL;
        adapted |= m->layer[0].lin[k].w.dim[0] != 0;
    }
    int n_param = 0;
    for (int i = 0; i < m->n_weight; i++) n_param += weight_is_parameter(&m->weight[i]);
    const struct { int yes; const char *what; } lacks[] = { /* what src/train/backward.c cannot do */
        { hp->encoder, "an encoder has no next token to predict (train a decoder instead)" },
        { all_weights && hp->n_expert > 0, "mixtures of experts (train an adapter instead)" },
        { all_weights && hp->norm == NORM_LAYER, "LayerNorm (train an adapter instead)" },
        { all_weights && hp->norm_place != NORM_PRE, "norms behind a block (train an adapter instead)" },
        { all_weights && hp->qk_norm != QK_NORM_NONE, "norms of queries and keys (train an adapter instead)" },
        { all_weights && m->positions.data != NULL, "learned positions (train an adapter instead)" }, { !adapted, "this layout of weights" },
        { all_weights && bias, "biases (train an adapter instead)" },
        { all_weights && n_param != 2 + !hp->tied + hp->n_layer * (LIN_COUNT + 2), "fused matrices (train an adapter instead)" },
    };
    for (size_t i = 0; i < ARRAY_LEN(lacks); i++)
        if (lacks[i].yes)
            return err_set(e, ILAB_E_INVALID, "training of the architecture '%s' is not supported: %s", m->arch->name, lacks[i].what);
    return 0;
}
