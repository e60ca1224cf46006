/* arch.c — the table of architectures; metadata → hparams.
 *
 * Everything that this program cannot compute is refused here by name, before memory is spent: unknown architectures, keys that
 * would change the maths and that the row does not read, values out of range. tensors.c does the same for tensors.
 * To add an architecture: a row of ARCHS. Kinds that exist need nothing else (docs/ARCHITECTURE.md, "Adding things").
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

#include <math.h>
#include <string.h>

enum { MAX_LAYER = 1024, MAX_HEAD = 1024, MAX_WIDTH = 1 << 17, MAX_FF = 1 << 20, MAX_VOCAB = 1 << 21, MAX_CONTEXT = 1 << 24,
       MAX_EXPERT = 1024, MAX_EXPERT_USED = 64 };
#define MAX_SCALE 1e6f

/* ---- the table ---- */

#define ENDS [W_EMBEDDING] = USE_ALWAYS, [W_OUTPUT_NORM] = USE_ALWAYS, [W_OUTPUT] = USE_MAYBE
#define ROPE_FACTORS [W_ROPE_FREQS] = USE_MAYBE, [W_ROPE_LONG] = USE_MAYBE, [W_ROPE_SHORT] = USE_MAYBE
#define PRE_NORMS [W_ATTN_NORM] = USE_ALWAYS, [W_FFN_NORM] = USE_ALWAYS
#define POST_NORMS [W_ATTN_POST_NORM] = USE_ALWAYS, [W_FFN_POST_NORM] = USE_ALWAYS
#define ATTENTION [W_QKV] = USE_MAYBE, [W_Q] = USE_ALWAYS, [W_K] = USE_ALWAYS, [W_V] = USE_ALWAYS, [W_O] = USE_ALWAYS /* q, k, v, or qkv */
#define QKV_BIAS(use) [W_QKV_BIAS] = USE_MAYBE, [W_Q_BIAS] = use, [W_K_BIAS] = use, [W_V_BIAS] = use
#define DENSE_FFN [W_GATE] = USE_DENSE, [W_UP] = USE_DENSE, [W_DOWN] = USE_DENSE
#define DENSE_BIAS [W_GATE_BIAS] = USE_DENSE_MAYBE, [W_UP_BIAS] = USE_DENSE_MAYBE, [W_DOWN_BIAS] = USE_DENSE_MAYBE
#define EXPERTS [W_ROUTER] = USE_EXPERTS, [W_GATE_EXPERTS] = USE_EXPERTS, [W_UP_EXPERTS] = USE_EXPERTS, [W_DOWN_EXPERTS] = USE_EXPERTS
#define SHARED_EXPERT [W_GATE_SHARED] = USE_SHARED, [W_UP_SHARED] = USE_SHARED, [W_DOWN_SHARED] = USE_SHARED
#define LLAMA ENDS, ROPE_FACTORS, PRE_NORMS, ATTENTION, QKV_BIAS(USE_MAYBE), [W_O_BIAS] = USE_MAYBE, DENSE_FFN, DENSE_BIAS, EXPERTS, SHARED_EXPERT
#define ENCODER [W_EMBEDDING] = USE_ALWAYS, [W_TOKEN_TYPES] = USE_MAYBE, [W_EMBEDDING_NORM] = USE_ALWAYS, [W_EMBEDDING_NORM_BIAS] = USE_ALWAYS, \
                ATTENTION, [W_ATTN_OUT_NORM] = USE_ALWAYS, [W_ATTN_OUT_NORM_BIAS] = USE_ALWAYS, \
                [W_LAYER_OUT_NORM] = USE_ALWAYS, [W_LAYER_OUT_NORM_BIAS] = USE_ALWAYS

const struct arch ARCHS[] = {
    { .name = "llama", /* Llama 1, 2, 3, Mistral, Mixtral, SmolLM2 … */
      .preset = { .expert_norm = 1 }, .reads = READ_ATTN_SCALE | READ_WINDOW | READ_EXPERTS, .use = { LLAMA } },
    { .name = "granite", .preset = { .expert_norm = 1 },
      .reads = READ_SCALES | READ_ATTN_SCALE | READ_EXPERTS | READ_SHARED | READ_ROPE_SWITCH, .use = { LLAMA } },
    { .name = "granitemoe", .preset = { .expert_norm = 1 },
      .reads = READ_SCALES | READ_ATTN_SCALE | READ_EXPERTS | READ_SHARED | READ_ROPE_SWITCH, .use = { LLAMA } },
    { .name = "qwen2", .preset = { .rope = ROPE_HALVES }, .use = { ENDS, PRE_NORMS, ATTENTION, QKV_BIAS(USE_ALWAYS), DENSE_FFN } },
    { .name = "qwen2moe", .preset = { .rope = ROPE_HALVES }, .reads = READ_EXPERTS | READ_SHARED | READ_FF_IS_SUM | READ_SHARED_IS_FF,
      .use = { ENDS, PRE_NORMS, ATTENTION, QKV_BIAS(USE_ALWAYS), EXPERTS, SHARED_EXPERT, [W_SHARED_ROUTER] = USE_SHARED } },
    { .name = "qwen3", .preset = { .rope = ROPE_HALVES, .qk_norm = QK_NORM_HEAD },
      .use = { ENDS, PRE_NORMS, ATTENTION, QKV_BIAS(USE_MAYBE), [W_Q_NORM_HEAD] = USE_ALWAYS, [W_K_NORM_HEAD] = USE_ALWAYS, DENSE_FFN } },
    { .name = "qwen3moe", .preset = { .rope = ROPE_HALVES, .qk_norm = QK_NORM_HEAD, .expert_norm = 1 }, .reads = READ_EXPERTS | READ_FF_IS_SUM,
      .use = { ENDS, PRE_NORMS, ATTENTION, [W_Q_NORM_HEAD] = USE_ALWAYS, [W_K_NORM_HEAD] = USE_ALWAYS, EXPERTS } },
    { .name = "phi3", .preset = { .rope = ROPE_HALVES }, .reads = READ_WINDOW,
      .use = { ENDS, ROPE_FACTORS, PRE_NORMS, ATTENTION, QKV_BIAS(USE_MAYBE), [W_GATE_UP] = USE_ALWAYS, [W_DOWN] = USE_ALWAYS } },
    { .name = "gemma", .preset = { .rope = ROPE_HALVES, .activation = ACT_GELU, .sqrt_embedding_scale = 1 },
      .use = { ENDS, PRE_NORMS, ATTENTION, DENSE_FFN } },
    { .name = "gemma2",
      .preset = { .rope = ROPE_HALVES, .norm_place = NORM_PRE_POST, .activation = ACT_GELU, .sqrt_embedding_scale = 1, .attn_softcap = 50,
                  .final_softcap = 30, .window = 4096, .window_period = 2, .wide_scale_layers = 46 /* the 27B model */ },
      .reads = READ_WINDOW | READ_SOFTCAP, .use = { ENDS, PRE_NORMS, POST_NORMS, ATTENTION, DENSE_FFN } },
    { .name = "gemma3",
      .preset = { .rope = ROPE_HALVES, .norm_place = NORM_PRE_POST, .activation = ACT_GELU, .sqrt_embedding_scale = 1, .qk_norm = QK_NORM_HEAD,
                  .window_period = 6, .own_window_rope = 1, .rope_base_window = 10000, .wide_scale_layers = 62 /* the 27B model */ },
      .reads = READ_WINDOW | READ_SOFTCAP,
      .use = { ENDS, PRE_NORMS, POST_NORMS, ATTENTION, [W_Q_NORM_HEAD] = USE_ALWAYS, [W_K_NORM_HEAD] = USE_ALWAYS, DENSE_FFN } },
    { .name = "smollm3", .preset = { .rope_skip = 4 }, .reads = READ_ATTN_SCALE,
      .use = { ENDS, PRE_NORMS, ATTENTION, QKV_BIAS(USE_MAYBE), [W_O_BIAS] = USE_MAYBE, DENSE_FFN, DENSE_BIAS } },
    { .name = "olmo2", .preset = { .rope = ROPE_HALVES, .norm_place = NORM_POST, .qk_norm = QK_NORM_WIDE, .window_period = 4, .own_window_rope = 1 },
      .reads = READ_WINDOW,
      .use = { ENDS, POST_NORMS, ATTENTION, [W_Q_NORM_WIDE] = USE_ALWAYS, [W_K_NORM_WIDE] = USE_ALWAYS, DENSE_FFN } },
    { .name = "gpt2", .preset = { .norm = NORM_LAYER, .rope = ROPE_NONE, .activation = ACT_GELU, .plain_ffn = 1 },
      .use = { ENDS, [W_POSITIONS] = USE_ALWAYS, PRE_NORMS, ATTENTION, QKV_BIAS(USE_ALWAYS), [W_O_BIAS] = USE_ALWAYS, [W_UP] = USE_ALWAYS,
               [W_UP_BIAS] = USE_ALWAYS, [W_DOWN] = USE_ALWAYS, [W_DOWN_BIAS] = USE_ALWAYS, [W_ATTN_NORM_BIAS] = USE_ALWAYS,
               [W_FFN_NORM_BIAS] = USE_ALWAYS, [W_OUTPUT_NORM_BIAS] = USE_ALWAYS } },
    { .name = "bert", .preset = { .norm = NORM_LAYER, .norm_place = NORM_SUM, .rope = ROPE_NONE, .activation = ACT_GELU, .plain_ffn = 1, .encoder = 1 },
      .use = { ENCODER, [W_POSITIONS] = USE_ALWAYS, QKV_BIAS(USE_ALWAYS), [W_O_BIAS] = USE_ALWAYS, [W_UP] = USE_ALWAYS, [W_UP_BIAS] = USE_ALWAYS,
               [W_DOWN] = USE_ALWAYS, [W_DOWN_BIAS] = USE_ALWAYS } },
    { .name = "nomic-bert", .preset = { .norm = NORM_LAYER, .norm_place = NORM_SUM, .rope = ROPE_HALVES, .encoder = 1 },
      .use = { ENCODER, QKV_BIAS(USE_MAYBE), [W_O_BIAS] = USE_MAYBE, DENSE_FFN } },
};
const int N_ARCHS = (int)ARRAY_LEN(ARCHS);

const struct arch *arch_named(struct sv name)
{
    for (int i = 0; i < N_ARCHS; i++)
        if (sv_eq_c(name, ARCHS[i].name)) return &ARCHS[i];
    return NULL;
}

static int unknown_arch(struct sv name, ilab_err *e)
{
    struct sb known;
    sb_init(&known, 512);
    for (int i = 0; i < N_ARCHS; i++) sb_addf(&known, "%s%s", i ? ", " : "", ARCHS[i].name);
    err_set(e, ILAB_E_FORMAT, "unsupported model architecture '%.*s' (known: %s)", SV_ARG(name), known.failed ? "…" : known.p);
    sb_release(&known);
    return ILAB_E_FORMAT;
}

/* ---- keys that would change the maths ---- */

enum refusal { REFUSE_NONZERO, REFUSE_NOT_ONE /* nor 0 */ };
static const struct refused_key { const char *suffix; enum refusal how; } REFUSED[] = {
    { "attention.clamp_kqv", REFUSE_NONZERO },          { "attention.max_alibi_bias", REFUSE_NONZERO },
    { "attention.key_length_mla", REFUSE_NONZERO },     { "attention.temperature_scale", REFUSE_NONZERO },
    { "attention.shared_kv_layers", REFUSE_NONZERO },   { "use_parallel_residual", REFUSE_NONZERO },
    { "rope.scaling.yarn_log_multiplier", REFUSE_NONZERO }, { "rope.scaling.yarn_ext_factor", REFUSE_NOT_ONE },
    { "rope.scaling.yarn_attn_factor", REFUSE_NOT_ONE }, { "leading_dense_block_count", REFUSE_NONZERO },
    { "expert_gating_func", REFUSE_NOT_ONE /* 1: softmax */ }, { "expert_group_count", REFUSE_NOT_ONE },
    { "expert_chunk_feed_forward_length", REFUSE_NONZERO }, { "interleave_moe_layer_step", REFUSE_NOT_ONE },
    { "moe_every_n_layers", REFUSE_NONZERO },           { "router_logit_softcapping", REFUSE_NONZERO },
    { "ssm.conv_kernel", REFUSE_NONZERO },              { "nextn_predict_layers", REFUSE_NONZERO },
};

static const struct gguf_kv *find_key(const struct gguf *g, const struct arch *a, const char *suffix, char key[160])
{
    snprintf(key, 160, "%s.%s", a->name, suffix);
    return gguf_find(g, key);
}

/* *bad: not a number, or one that `how` refuses. */
static double key_number(const struct gguf_kv *kv, enum refusal how, int *bad)
{
    double v = 0;
    int text = 0;
    switch (kv->kind) {
    case GGUF_F32: case GGUF_F64: v = kv->v.f; break;
    case GGUF_I8: case GGUF_I16: case GGUF_I32: case GGUF_I64: v = (double)kv->v.i; break;
    case GGUF_STR: case GGUF_ARR: text = 1; break;
    default: v = (double)kv->v.u;
    }
    *bad = text || (v != 0 && (how == REFUSE_NONZERO || v != 1));
    return v;
}

static int refuse(const struct gguf_kv *kv, const char *key, double v, ilab_err *e)
{
    if (kv->kind == GGUF_STR) return err_set(e, ILAB_E_FORMAT, "unsupported model feature: %s is '%.*s'", key, SV_ARG(kv->s));
    if (kv->kind == GGUF_ARR) return err_set(e, ILAB_E_FORMAT, "unsupported model feature: %s is a list", key);
    return err_set(e, ILAB_E_FORMAT, "unsupported model feature: %s is %g", key, v);
}

static int check_refused(const struct gguf *g, const struct arch *a, ilab_err *e)
{
    char key[160];
    for (size_t i = 0; i < ARRAY_LEN(REFUSED); i++) {
        const struct gguf_kv *kv = find_key(g, a, REFUSED[i].suffix, key);
        int bad = 0;
        double v = kv ? key_number(kv, REFUSED[i].how, &bad) : 0;
        if (bad) return refuse(kv, key, v, e);
    }
    const struct gguf_kv *causal = find_key(g, a, "attention.causal", key);
    if (causal && (causal->v.u != 0) == a->preset.encoder) return refuse(causal, key, (double)causal->v.u, e);
    return 0;
}

/* ---- metadata ---- */

struct hparam_key { const char *suffix; size_t offset; int64_t lo, hi; unsigned reads; int required; };
#define HP(field) offsetof(struct hparams, field)
static const struct hparam_key INT_KEYS[] = { /* optional ones keep the preset */
    { "context_length", HP(n_ctx), 1, MAX_CONTEXT, 0, 1 },
    { "embedding_length", HP(n_embd), 1, MAX_WIDTH, 0, 1 },
    { "block_count", HP(n_layer), 1, MAX_LAYER, 0, 1 },
    { "feed_forward_length", HP(n_ff), 1, MAX_FF, 0, 1 },
    { "attention.head_count", HP(n_head), 1, MAX_HEAD, 0, 1 },
    { "attention.head_count_kv", HP(n_kv_head), 1, MAX_HEAD, 0, 0 },
    { "attention.key_length", HP(head_dim), 1, MAX_WIDTH, 0, 0 },
    { "rope.dimension_count", HP(rope_dim), 1, MAX_WIDTH, 0, 0 },
    { "rope.scaling.original_context_length", HP(rope_n_ctx), 1, MAX_CONTEXT, 0, 0 },
    { "pooling_type", HP(pooling), 0, POOLING_LAST, 0, 0 },
    { "attention.sliding_window", HP(window), 0, MAX_CONTEXT, READ_WINDOW, 0 },
    { "expert_count", HP(n_expert), 0, MAX_EXPERT, READ_EXPERTS, 0 },
    { "expert_used_count", HP(n_expert_used), 0, MAX_EXPERT_USED, READ_EXPERTS, 0 },
    { "expert_feed_forward_length", HP(n_ff_expert), 1, MAX_FF, READ_EXPERTS, 0 },
    { "expert_shared_feed_forward_length", HP(n_ff_shared), 0, MAX_FF, READ_SHARED, 0 },
};
static const struct hparam_key FLOAT_KEYS[] = { /* lo, hi unused: all lie within 0 … their cap, checked by hparams_check */
    { "rope.freq_base", HP(rope_base), 0, 0, 0, 0 },
    { "rope.freq_base_swa", HP(rope_base_window), 0, 0, READ_WINDOW, 0 },
    { "rope.scale_linear", HP(rope_factor), 0, 0, 0, 0 },
    { "rope.scaling.factor", HP(rope_factor), 0, 0, 0, 0 },
    { "rope.scaling.attn_factor", HP(rope_attn_factor), 0, 0, 0, 0 },
    { "rope.scaling.yarn_beta_fast", HP(yarn_beta_fast), 0, 0, 0, 0 },
    { "rope.scaling.yarn_beta_slow", HP(yarn_beta_slow), 0, 0, 0, 0 },
    { "embedding_scale", HP(embedding_scale), 0, 0, READ_SCALES, 0 },
    { "residual_scale", HP(residual_scale), 0, 0, READ_SCALES, 0 },
    { "logit_scale", HP(logit_scale), 0, 0, READ_SCALES, 0 },
    { "attention.scale", HP(attn_scale), 0, 0, READ_ATTN_SCALE, 0 },
    { "attn_logit_softcapping", HP(attn_softcap), 0, 0, READ_SOFTCAP, 0 },
    { "final_logit_softcapping", HP(final_softcap), 0, 0, READ_SOFTCAP, 0 },
    { "expert_weights_scale", HP(expert_scale), 0, 0, READ_EXPERTS, 0 },
};

/* 1: the row reads this key and the file has it; 0: keep the preset; < 0: refused. */
static int wants_key(const struct gguf *g, const struct arch *a, const struct hparam_key *k, char key[160], ilab_err *e)
{
    const struct gguf_kv *kv = find_key(g, a, k->suffix, key);
    if (!kv) return k->required;
    if (!k->reads || (a->reads & k->reads)) return 1;
    int bad;
    double v = key_number(kv, REFUSE_NOT_ONE, &bad);
    return bad ? refuse(kv, key, v, e), -1 : 0;
}

static int read_keys(const struct gguf *g, const struct arch *a, struct hparams *hp, ilab_err *e)
{
    char key[160];
    int rc;
    for (size_t i = 0; i < ARRAY_LEN(INT_KEYS); i++) {
        const struct hparam_key *k = &INT_KEYS[i];
        int64_t v;
        int want = wants_key(g, a, k, key, e);
        if (want < 0) return ILAB_E_FORMAT;
        if (want && (rc = gguf_get_int(g, key, k->lo, k->hi, &v, e))) return rc;
        if (want) *(int *)((char *)hp + k->offset) = (int)v;
    }
    for (size_t i = 0; i < ARRAY_LEN(FLOAT_KEYS); i++) {
        int want = wants_key(g, a, &FLOAT_KEYS[i], key, e);
        if (want < 0) return ILAB_E_FORMAT;
        if (want && (rc = gguf_get_f32(g, key, (float *)((char *)hp + FLOAT_KEYS[i].offset), e))) return rc;
    }
    return 0;
}

/* Rotary scaling: "linear" is also what a factor without a type means (llama.cpp). */
static int read_rope(const struct gguf *g, const struct arch *a, struct hparams *hp, ilab_err *e)
{
    static const struct { const char *name; int scaling; } TYPE[] = {
        { "none", ROPE_SCALING_NONE }, { "linear", ROPE_SCALING_LINEAR }, { "yarn", ROPE_SCALING_YARN }, { "longrope", ROPE_SCALING_LONGROPE } };
    char key[160];
    const struct gguf_kv *kv = find_key(g, a, "rope.scaling.type", key);
    hp->rope_scaling = ROPE_SCALING_LINEAR;
    if (kv) {
        size_t i = 0;
        while (i < ARRAY_LEN(TYPE) && !(kv->kind == GGUF_STR && sv_eq_c(kv->s, TYPE[i].name))) i++;
        if (i == ARRAY_LEN(TYPE)) return refuse(kv, key, 0, e);
        hp->rope_scaling = TYPE[i].scaling;
    }
    if (hp->rope_factor == 0 || hp->rope_scaling == ROPE_SCALING_LONGROPE) hp->rope_factor = 1;
    if (hp->rope_scaling == ROPE_SCALING_LINEAR && hp->rope_factor == 1) hp->rope_scaling = ROPE_SCALING_NONE;
    if (hp->rope_scaling == ROPE_SCALING_NONE) hp->rope_factor = 1;
    if (!hp->rope_n_ctx) hp->rope_n_ctx = hp->n_ctx;
    const struct gguf_kv *on = find_key(g, a, "rope.scaling.finetuned", key);
    if ((a->reads & READ_ROPE_SWITCH) && on && on->kind == GGUF_BOOL && !on->v.u) hp->rope = ROPE_NONE;
    return 0;
}

/* Sizes that follow from others. */
static int derive(const struct gguf *g, const struct arch *a, struct hparams *hp, ilab_err *e)
{
    char key[160];
    int rc;
    if (!hp->n_kv_head) hp->n_kv_head = hp->n_head;
    if (!hp->head_dim) {
        if (hp->n_embd % hp->n_head)
            return err_set(e, ILAB_E_FORMAT, "embedding length %d is no multiple of %d heads", hp->n_embd, hp->n_head);
        hp->head_dim = hp->n_embd / hp->n_head;
    }
    if (!hp->rope_dim) hp->rope_dim = hp->head_dim;
    if (find_key(g, a, "attention.value_length", key)) {
        int64_t value_dim;
        if ((rc = gguf_get_int(g, key, 1, MAX_WIDTH, &value_dim, e))) return rc;
        if (value_dim != hp->head_dim)
            return err_set(e, ILAB_E_FORMAT, "unsupported model feature: %s is %d but keys have %d", key, (int)value_dim, hp->head_dim);
    }
    const struct gguf_kv *pattern = find_key(g, a, "attention.sliding_window_pattern", key);
    if (pattern && hp->window && pattern->kind != GGUF_ARR) {
        int64_t period;
        if ((rc = gguf_get_int(g, key, 0, MAX_LAYER, &period, e))) return rc;
        hp->window_period = (int)period;
    } else if (pattern && hp->window && pattern->arr.n < (uint64_t)hp->n_layer) {
        return err_set(e, ILAB_E_FORMAT, "%s has fewer entries than the model layers", key);
    }
    if (hp->wide_scale_layers == hp->n_layer) hp->attn_scale = 1.0f / sqrtf((float)(hp->n_embd / hp->n_head));
    if (hp->sqrt_embedding_scale) hp->embedding_scale = sqrtf((float)hp->n_embd);
    if (hp->n_expert) {
        const int used = hp->n_expert_used;
        if (used < 1 || used > hp->n_expert)
            return err_set(e, ILAB_E_FORMAT, "%s.expert_used_count is %d of %d experts", a->name, used, hp->n_expert);
        if (!hp->n_ff_expert) hp->n_ff_expert = a->reads & READ_FF_IS_SUM ? hp->n_ff / used : hp->n_ff;
        if (!hp->n_ff_shared && (a->reads & READ_SHARED_IS_FF)) hp->n_ff_shared = hp->n_ff;
    } else {
        hp->n_expert_used = hp->n_ff_expert = hp->n_ff_shared = 0;
    }
    return 0;
}

int arch_read_hparams(const struct gguf *g, const struct arch **arch, struct hparams *hp, ilab_err *e)
{
    struct sv name;
    int rc = gguf_get_str(g, "general.architecture", &name, e);
    if (rc) return rc;
    const struct arch *a = *arch = arch_named(name);
    if (!a) return unknown_arch(name, e);
    *hp = a->preset;
    hp->rope_base = 10000.0f;
    if ((rc = check_refused(g, a, e)) || (rc = read_keys(g, a, hp, e)) || (rc = derive(g, a, hp, e)) || (rc = read_rope(g, a, hp, e))) return rc;
    char key[160];
    find_key(g, a, hp->norm == NORM_LAYER ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", key);
    if ((rc = gguf_get_f32(g, key, &hp->norm_eps, e))) return rc;
    const struct tensor *embd = gguf_tensor(g, "token_embd.weight");
    if (!embd || embd->n_dim != 2) return err_set(e, ILAB_E_FORMAT, "model lacks the matrix 'token_embd.weight'");
    if (embd->dim[1] > MAX_VOCAB) return err_set(e, ILAB_E_LIMIT, "vocabulary of %lld entries, at most %d", (long long)embd->dim[1], MAX_VOCAB);
    hp->n_vocab = (int)embd->dim[1];
    hp->tied = !gguf_tensor(g, "output.weight");
    return hparams_check(hp, e);
}

int hparams_check(const struct hparams *hp, ilab_err *e)
{
    const struct { const char *what; int v, lo, hi; } range[] = {
        { "layers", hp->n_layer, 1, MAX_LAYER }, { "width", hp->n_embd, 1, MAX_WIDTH }, { "heads", hp->n_head, 1, MAX_HEAD },
        { "KV heads", hp->n_kv_head, 1, MAX_HEAD }, { "head dimension", hp->head_dim, 1, MAX_WIDTH },
        { "feed-forward width", hp->n_ff, 1, MAX_FF }, { "vocabulary", hp->n_vocab, 1, MAX_VOCAB },
        { "context length", hp->n_ctx, 1, MAX_CONTEXT }, { "rotary dimension", hp->rope_dim, 1, MAX_WIDTH },
        { "experts", hp->n_expert, 0, MAX_EXPERT }, { "used experts", hp->n_expert_used, 0, MAX_EXPERT_USED },
        { "expert width", hp->n_ff_expert, hp->n_expert > 0, MAX_FF }, { "shared expert width", hp->n_ff_shared, 0, MAX_FF },
    };
    const struct { const char *what; float v, hi; } number[] = {
        { "embedding scale", hp->embedding_scale, MAX_SCALE }, { "residual scale", hp->residual_scale, MAX_SCALE },
        { "logit scale", hp->logit_scale, MAX_SCALE }, { "attention scale", hp->attn_scale, MAX_SCALE },
        { "attention softcap", hp->attn_softcap, MAX_SCALE }, { "final softcap", hp->final_softcap, MAX_SCALE },
        { "rotary factor", hp->rope_factor, MAX_SCALE }, { "rotary attention factor", hp->rope_attn_factor, MAX_SCALE },
        { "yarn_beta_fast", hp->yarn_beta_fast, MAX_SCALE }, { "yarn_beta_slow", hp->yarn_beta_slow, MAX_SCALE },
        { "expert weights scale", hp->expert_scale, MAX_SCALE }, { "rotary base", hp->rope_base, 1e12f },
        { "rotary base of windows", hp->rope_base_window, 1e12f },
    };
    for (size_t i = 0; i < ARRAY_LEN(range); i++)
        if (range[i].v < range[i].lo || range[i].v > range[i].hi)
            return err_set(e, ILAB_E_LIMIT, "model %s is %d, must be %d to %d", range[i].what, range[i].v, range[i].lo, range[i].hi);
    for (size_t i = 0; i < ARRAY_LEN(number); i++)
        if (!(number[i].v >= 0 && number[i].v <= number[i].hi))
            return err_set(e, ILAB_E_FORMAT, "model %s %g is out of range", number[i].what, (double)number[i].v);
    if (hp->n_head % hp->n_kv_head)
        return err_set(e, ILAB_E_FORMAT, "%d attention heads cannot be shared by %d KV heads", hp->n_head, hp->n_kv_head);
    if ((int64_t)hp->n_head * hp->head_dim > MAX_WIDTH)
        return err_set(e, ILAB_E_LIMIT, "%d heads of dimension %d are too wide", hp->n_head, hp->head_dim);
    if (hp->rope != ROPE_NONE && (hp->rope_dim > hp->head_dim || hp->rope_dim % 2))
        return err_set(e, ILAB_E_FORMAT, "rotary dimension %d must be even and at most the head dimension %d", hp->rope_dim, hp->head_dim);
    if (!(hp->norm_eps >= 0 && hp->norm_eps < 1) || hp->rope_base <= 0)
        return err_set(e, ILAB_E_FORMAT, "model norm epsilon %g or rotary base %g is out of range", (double)hp->norm_eps, (double)hp->rope_base);
    return 0;
}

void arch_layers(const struct gguf *g, const struct arch *a, const struct hparams *hp, struct layer *layer)
{
    char key[160];
    const struct gguf_kv *pattern = g ? find_key(g, a, "attention.sliding_window_pattern", key) : NULL;
    const int listed = pattern && pattern->kind == GGUF_ARR;
    for (int l = 0; l < hp->n_layer; l++) {
        const int local = listed ? gguf_array_int(&pattern->arr, (uint64_t)l) != 0 : !hp->window_period || (l + 1) % hp->window_period;
        layer[l].window = hp->window && local ? hp->window : 0;
        layer[l].rope = hp->rope == ROPE_NONE || (hp->rope_skip && (l + 1) % hp->rope_skip == 0) ? LAYER_ROPE_NONE
                        : layer[l].window && hp->own_window_rope ? LAYER_ROPE_WINDOW : LAYER_ROPE;
    }
}

/* ---- metadata of a new file ---- */

void model_put_gguf(const struct model *m, struct gguf_writer *w)
{
    static const char *const SCALING[] = { "none", "linear", "yarn", "longrope" };
    const struct hparams *hp = &m->hp;
    const struct arch *a = m->arch;
    char key[160];
    gguf_put_str(w, "general.architecture", sv_of(a->name));
    gguf_put_str(w, "general.type", SV("model"));
    if (m->name[0]) gguf_put_str(w, "general.name", sv_of(m->name));
    for (size_t i = 0; i < ARRAY_LEN(INT_KEYS); i++) {
        const int v = *(const int *)((const char *)hp + INT_KEYS[i].offset);
        snprintf(key, sizeof key, "%s.%s", a->name, INT_KEYS[i].suffix);
        if (v && (!INT_KEYS[i].reads || (a->reads & INT_KEYS[i].reads))) gguf_put_u32(w, key, (uint32_t)v);
    }
    for (size_t i = 0; i < ARRAY_LEN(FLOAT_KEYS); i++) {
        const float v = *(const float *)((const char *)hp + FLOAT_KEYS[i].offset);
        snprintf(key, sizeof key, "%s.%s", a->name, FLOAT_KEYS[i].suffix);
        if (FLOAT_KEYS[i].offset == HP(rope_factor) && (hp->rope_scaling == ROPE_SCALING_NONE || !strcmp(FLOAT_KEYS[i].suffix, "rope.scale_linear"))) continue;
        if (v != 0 && (!FLOAT_KEYS[i].reads || (a->reads & FLOAT_KEYS[i].reads))) gguf_put_f32(w, key, v);
    }
    const struct { const char *suffix; int v, yes; } more[] = {
        { "attention.value_length", hp->head_dim, 1 }, { "vocab_size", hp->n_vocab, 1 },
        { "attention.sliding_window_pattern", hp->window_period, hp->window && hp->window_period != a->preset.window_period },
    };
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        snprintf(key, sizeof key, "%s.%s", a->name, more[i].suffix);
        if (more[i].yes) gguf_put_u32(w, key, (uint32_t)more[i].v);
    }
    snprintf(key, sizeof key, "%s.%s", a->name, hp->norm == NORM_LAYER ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon");
    gguf_put_f32(w, key, hp->norm_eps);
    snprintf(key, sizeof key, "%s.rope.scaling.type", a->name);
    if (hp->rope_scaling) gguf_put_str(w, key, sv_of(SCALING[hp->rope_scaling]));
    snprintf(key, sizeof key, "%s.attention.causal", a->name);
    if (hp->encoder) gguf_put_bool(w, key, 0);
}
