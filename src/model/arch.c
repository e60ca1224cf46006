/* arch.c — the architecture table; metadata → hparams; which tensors a file must hold.
 *
 * Everything that this program cannot compute is refused here by name, before memory is spent: unknown architectures,
 * mixtures of experts, scaled rotary embeddings, biases and any other tensor that no row mentions.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

#include <string.h>

enum { MAX_LAYER = 1024, MAX_HEAD = 1024, MAX_WIDTH = 1 << 17, MAX_FF = 1 << 20, MAX_VOCAB = 1 << 21, MAX_CONTEXT = 1 << 24 };

static const struct refused_key LLAMA_REFUSED[] = {
    { "expert_count", REFUSE_NONZERO },        { "expert_used_count", REFUSE_NONZERO },
    { "attention.sliding_window", REFUSE_NONZERO }, { "attention.scale", REFUSE_NONZERO },
    { "attention.clamp_kqv", REFUSE_NONZERO }, { "attention.max_alibi_bias", REFUSE_NONZERO },
    { "attn_logit_softcapping", REFUSE_NONZERO }, { "final_logit_softcapping", REFUSE_NONZERO },
    { "logit_scale", REFUSE_NOT_ONE },         { "residual_scale", REFUSE_NOT_ONE },
    { "embedding_scale", REFUSE_NOT_ONE },     { "rope.scale_linear", REFUSE_NOT_ONE },
    { "rope.scaling.type", REFUSE_TEXT },      { "attention.causal", REFUSE_FALSE },
    { "use_parallel_residual", REFUSE_NONZERO },
};
const struct arch ARCHS[] = {
    { .name = "llama", .embedding = "token_embd.weight", .output = "output.weight", .output_norm = "output_norm.weight",
      .rope_factors = "rope_freqs.weight", .attn_norm = "attn_norm", .ffn_norm = "ffn_norm",
      .refused = LLAMA_REFUSED, .n_refused = (int)ARRAY_LEN(LLAMA_REFUSED) },
};
const int N_ARCHS = (int)ARRAY_LEN(ARCHS);
const char *const LINEAR_NAME[LIN_COUNT] = { "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down" };

const struct arch *arch_named(struct sv name)
{
    for (int i = 0; i < N_ARCHS; i++)
        if (sv_eq_c(name, ARCHS[i].name)) return &ARCHS[i];
    return NULL;
}

void block_tensor_name(char out[128], int layer, const char *what)
{
    snprintf(out, 128, "blk.%d.%s.weight", layer, what);
}

void linear_dims(const struct hparams *hp, int kind, int64_t dim[2])
{
    int64_t c = hp->n_embd, q = (int64_t)hp->n_head * hp->head_dim, kv = (int64_t)hp->n_kv_head * hp->head_dim, f = hp->n_ff;
    const int64_t in[LIN_COUNT] = { c, c, c, q, c, c, f }, out[LIN_COUNT] = { q, kv, kv, c, f, f, c };
    dim[0] = in[kind];
    dim[1] = out[kind];
}

/* ---- metadata ---- */

struct hparam_key { const char *suffix; size_t offset; int64_t lo, hi; int required; };
#define HP(field) offsetof(struct hparams, field)
static const struct hparam_key HPARAM_KEYS[] = { /* optional ones keep the value that default_hparams gave */
    { "context_length", HP(n_ctx), 1, MAX_CONTEXT, 1 },
    { "embedding_length", HP(n_embd), 1, MAX_WIDTH, 1 },
    { "block_count", HP(n_layer), 1, MAX_LAYER, 1 },
    { "feed_forward_length", HP(n_ff), 1, MAX_FF, 1 },
    { "attention.head_count", HP(n_head), 1, MAX_HEAD, 1 },
    { "attention.head_count_kv", HP(n_kv_head), 1, MAX_HEAD, 0 },
    { "attention.key_length", HP(head_dim), 1, MAX_WIDTH, 0 },
    { "rope.dimension_count", HP(rope_dim), 1, MAX_WIDTH, 0 },
};

int hparams_check(const struct hparams *hp, ilab_err *e)
{
    const struct { const char *what; int v, hi; } range[] = {
        { "layers", hp->n_layer, MAX_LAYER }, { "width", hp->n_embd, MAX_WIDTH }, { "heads", hp->n_head, MAX_HEAD },
        { "KV heads", hp->n_kv_head, MAX_HEAD }, { "head dimension", hp->head_dim, MAX_WIDTH },
        { "feed-forward width", hp->n_ff, MAX_FF }, { "vocabulary", hp->n_vocab, MAX_VOCAB },
        { "context length", hp->n_ctx, MAX_CONTEXT }, { "rotary dimension", hp->rope_dim, MAX_WIDTH },
    };
    for (size_t i = 0; i < ARRAY_LEN(range); i++)
        if (range[i].v < 1 || range[i].v > range[i].hi)
            return err_set(e, ILAB_E_LIMIT, "model %s is %d, must be 1 to %d", range[i].what, range[i].v, range[i].hi);
    if (hp->n_head % hp->n_kv_head)
        return err_set(e, ILAB_E_FORMAT, "%d attention heads cannot be shared by %d KV heads", hp->n_head, hp->n_kv_head);
    if ((int64_t)hp->n_head * hp->head_dim > MAX_WIDTH)
        return err_set(e, ILAB_E_LIMIT, "%d heads of dimension %d are too wide", hp->n_head, hp->head_dim);
    if (hp->rope_dim > hp->head_dim || hp->rope_dim % 2)
        return err_set(e, ILAB_E_FORMAT, "rotary dimension %d must be even and at most the head dimension %d", hp->rope_dim, hp->head_dim);
    if (!(hp->norm_eps >= 0 && hp->norm_eps < 1) || !(hp->rope_base > 0 && hp->rope_base < 1e12f))
        return err_set(e, ILAB_E_FORMAT, "model norm epsilon %g or rotary base %g is out of range", (double)hp->norm_eps, (double)hp->rope_base);
    return 0;
}

/* A pair that would change the maths in a way that this program does not implement. */
static int check_refused(const struct gguf *g, const struct arch *a, ilab_err *e)
{
    for (int i = 0; i < a->n_refused; i++) {
        char key[160];
        snprintf(key, sizeof key, "%s.%s", a->name, a->refused[i].suffix);
        const struct gguf_kv *kv = gguf_find(g, key);
        if (!kv) continue;
        double v = 0;
        switch (kv->kind) {
        case GGUF_F32: case GGUF_F64: v = kv->v.f; break;
        case GGUF_I8: case GGUF_I16: case GGUF_I32: case GGUF_I64: v = (double)kv->v.i; break;
        case GGUF_STR: case GGUF_ARR: break;
        default: v = (double)kv->v.u;
        }
        int bad;
        switch (a->refused[i].how) {
        case REFUSE_NONZERO: bad = kv->kind == GGUF_STR || kv->kind == GGUF_ARR || v != 0; break;
        case REFUSE_NOT_ONE: bad = v != 1 && v != 0; break;
        case REFUSE_FALSE: bad = v == 0; break;
        default: bad = kv->kind != GGUF_STR || !sv_eq_c(kv->s, "none");
        }
        if (!bad) continue;
        if (kv->kind == GGUF_STR) return err_set(e, ILAB_E_FORMAT, "unsupported model feature: %s is '%.*s'", key, SV_ARG(kv->s));
        return err_set(e, ILAB_E_FORMAT, "unsupported model feature: %s is %g", key, v);
    }
    return 0;
}

int arch_read_hparams(const struct gguf *g, const struct arch **arch, struct hparams *hp, ilab_err *e)
{
    struct sv name;
    int rc = gguf_get_str(g, "general.architecture", &name, e);
    if (rc) return rc;
    const struct arch *a = *arch = arch_named(name);
    if (!a) return err_set(e, ILAB_E_FORMAT, "unsupported model architecture '%.*s' (known: llama)", SV_ARG(name));
    if ((rc = check_refused(g, a, e))) return rc;
    *hp = (struct hparams){ 0 };
    char key[160];
    for (size_t i = 0; i < ARRAY_LEN(HPARAM_KEYS); i++) {
        const struct hparam_key *k = &HPARAM_KEYS[i];
        int64_t v;
        snprintf(key, sizeof key, "%s.%s", a->name, k->suffix);
        if (!k->required && !gguf_find(g, key)) continue;
        if ((rc = gguf_get_int(g, key, k->lo, k->hi, &v, e))) return rc;
        *(int *)((char *)hp + k->offset) = (int)v;
    }
    if (!hp->n_kv_head) hp->n_kv_head = hp->n_head;
    if (!hp->head_dim) {
        if (hp->n_embd % hp->n_head)
            return err_set(e, ILAB_E_FORMAT, "embedding length %d is no multiple of %d heads", hp->n_embd, hp->n_head);
        hp->head_dim = hp->n_embd / hp->n_head;
    }
    if (!hp->rope_dim) hp->rope_dim = hp->head_dim;
    int64_t value_dim;
    snprintf(key, sizeof key, "%s.attention.value_length", a->name);
    if (gguf_find(g, key)) {
        if ((rc = gguf_get_int(g, key, 1, MAX_WIDTH, &value_dim, e))) return rc;
        if (value_dim != hp->head_dim)
            return err_set(e, ILAB_E_FORMAT, "unsupported model feature: %s is %d but keys have %d", key, (int)value_dim, hp->head_dim);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", a->name);
    if ((rc = gguf_get_f32(g, key, &hp->norm_eps, e))) return rc;
    hp->rope_base = 10000.0f;
    snprintf(key, sizeof key, "%s.rope.freq_base", a->name);
    if (gguf_find(g, key) && (rc = gguf_get_f32(g, key, &hp->rope_base, e))) return rc;
    const struct tensor *embd = gguf_tensor(g, a->embedding);
    if (!embd || embd->n_dim != 2) return err_set(e, ILAB_E_FORMAT, "model lacks the matrix '%s'", a->embedding);
    if (embd->dim[1] > MAX_VOCAB) return err_set(e, ILAB_E_LIMIT, "vocabulary of %lld entries, at most %d", (long long)embd->dim[1], MAX_VOCAB);
    hp->n_vocab = (int)embd->dim[1];
    hp->tied = !gguf_tensor(g, a->output);
    return hparams_check(hp, e);
}

/* ---- tensors ---- */

static int check_shape(const struct tensor *t, const char *name, int64_t d0, int64_t d1, ilab_err *e)
{
    if (!t) return err_set(e, ILAB_E_FORMAT, "model lacks the tensor '%s'", name);
    int ok = d1 ? t->n_dim == 2 && t->dim[0] == d0 && t->dim[1] == d1 : t->n_dim == 1 && t->dim[0] == d0;
    if (!ok)
        return err_set(e, ILAB_E_FORMAT, "tensor '%s' has shape [%lld, %lld], expected [%lld, %lld]", name, (long long)t->dim[0],
                       (long long)(t->n_dim > 1 ? t->dim[1] : 1), (long long)d0, (long long)(d1 ? d1 : 1));
    if (!qtype_info(t->type)) return err_set(e, ILAB_E_FORMAT, "tensor '%s' has the unsupported element type %d", name, t->type);
    if (!d1 && t->type != QT_F32) return err_set(e, ILAB_E_FORMAT, "tensor '%s' is %s, only F32 is supported here", name, qtype_info(t->type)->name);
    return 0;
}

int arch_check_tensors(const struct gguf *g, const struct arch *a, const struct hparams *hp, ilab_err *e)
{
    int rc, n_known = 2 + !hp->tied + hp->n_layer * (LIN_COUNT + 2);
    int64_t c = hp->n_embd, dim[2];
    char name[128];
    if ((rc = check_shape(gguf_tensor(g, a->embedding), a->embedding, c, hp->n_vocab, e)) ||
        (rc = check_shape(gguf_tensor(g, a->output_norm), a->output_norm, c, 0, e)) ||
        (!hp->tied && (rc = check_shape(gguf_tensor(g, a->output), a->output, c, hp->n_vocab, e))))
        return rc;
    for (int l = 0; l < hp->n_layer; l++) {
        for (int k = 0; k < LIN_COUNT; k++) {
            block_tensor_name(name, l, LINEAR_NAME[k]);
            linear_dims(hp, k, dim);
            if ((rc = check_shape(gguf_tensor(g, name), name, dim[0], dim[1], e))) return rc;
        }
        const char *norm[2] = { a->attn_norm, a->ffn_norm };
        for (int k = 0; k < 2; k++) {
            block_tensor_name(name, l, norm[k]);
            if ((rc = check_shape(gguf_tensor(g, name), name, c, 0, e))) return rc;
        }
    }
    const struct tensor *rf = gguf_tensor(g, a->rope_factors);
    if (rf) {
        if ((rc = check_shape(rf, a->rope_factors, hp->rope_dim / 2, 0, e))) return rc;
        n_known++;
    }
    if (gguf_n_tensor(g) == n_known) return 0;
    /* Some tensor is beyond the table: find and name it. */
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const char *tn = gguf_tensor_at(g, i)->name;
        int known = !strcmp(tn, a->embedding) || !strcmp(tn, a->output) || !strcmp(tn, a->output_norm) || !strcmp(tn, a->rope_factors);
        for (int l = 0; l < hp->n_layer && !known; l++) {
            for (int k = 0; k < LIN_COUNT + 2 && !known; k++) {
                block_tensor_name(name, l, k < LIN_COUNT ? LINEAR_NAME[k] : k == LIN_COUNT ? a->attn_norm : a->ffn_norm);
                known = !strcmp(name, tn);
            }
        }
        if (!known) return err_set(e, ILAB_E_FORMAT, "unsupported tensor '%s' for the architecture '%s'", tn, a->name);
    }
    return err_set(e, ILAB_E_FORMAT, "model has %d tensors, expected %d", gguf_n_tensor(g), n_known);
}
