/* model_shapes.h — tables of make_model.c: which tensors an architecture has, which sizes a named shape has, which
 * element types a mix gives them.
 *
 * To add an architecture: a row of ARCHS that lists groups of tensors (add a group when none fits) and, where it needs
 * sizes of its own, extra keys. To add a shape: a row of SHAPES. Nothing else.
 * Names of tensors and keys follow llama.cpp's GGUF conventions (gguf-py/gguf/constants.py); sizes are those of the
 * models' published configurations.  Included by make_model.c alone.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TOOLS_MODEL_SHAPES_H
#define ILAB_TOOLS_MODEL_SHAPES_H

#include "tensor/tensor.h"

/* ---- tensors ----
 * dims: one letter a dimension, the contiguous one first (a weight [out, in] is "in out"):
 *   C width   V vocabulary   T context   Q heads × D   K KV heads × D   D head dimension   S Q + 2 K   R rotary pairs
 *   F feed-forward width   G 2 F   E experts   X an expert's feed-forward width   Y the shared expert's   2 two */
enum fill { FILL_WEIGHT, FILL_NORM, FILL_BIAS, FILL_ONE };
enum { KEEP_F32 = 1 /* never quantised: routers, tables of positions */ };
struct tensor_row { const char *name, *dims; enum fill fill; int flags; };

#define GROUP(name) static const struct tensor_row name[]
#define END { NULL, NULL, FILL_ONE, 0 }
GROUP(EMBEDDING) = { { "token_embd.weight", "CV", FILL_WEIGHT, 0 }, END };
GROUP(EMBEDDING_NORM) = { { "token_embd_norm.weight", "C", FILL_NORM, 0 }, END };
GROUP(EMBEDDING_NORM_BIAS) = { { "token_embd_norm.bias", "C", FILL_BIAS, 0 }, END };
GROUP(POSITIONS) = { { "position_embd.weight", "CT", FILL_WEIGHT, KEEP_F32 }, END };
GROUP(TOKEN_TYPES) = { { "token_types.weight", "C2", FILL_WEIGHT, KEEP_F32 }, END };
GROUP(ROPE_FACTORS) = { { "rope_freqs.weight", "R", FILL_ONE, 0 }, END };
GROUP(LONG_FACTORS) = { { "rope_factors_long.weight", "R", FILL_ONE, 0 }, { "rope_factors_short.weight", "R", FILL_ONE, 0 }, END };
GROUP(OUTPUT_NORM) = { { "output_norm.weight", "C", FILL_NORM, 0 }, END };
GROUP(OUTPUT_NORM_BIAS) = { { "output_norm.bias", "C", FILL_BIAS, 0 }, END };
GROUP(OUTPUT) = { { "output.weight", "CV", FILL_WEIGHT, 0 }, END }; /* left out when the shape is tied */

GROUP(PRE_NORMS) = { { "attn_norm.weight", "C", FILL_NORM, 0 }, { "ffn_norm.weight", "C", FILL_NORM, 0 }, END };
GROUP(PRE_NORMS_BIAS) = { { "attn_norm.bias", "C", FILL_BIAS, 0 }, { "ffn_norm.bias", "C", FILL_BIAS, 0 }, END };
GROUP(POST_NORMS) = { { "post_attention_norm.weight", "C", FILL_NORM, 0 }, { "post_ffw_norm.weight", "C", FILL_NORM, 0 }, END };
GROUP(OUT_NORMS) = { { "attn_output_norm.weight", "C", FILL_NORM, 0 }, { "attn_output_norm.bias", "C", FILL_BIAS, 0 },
                     { "layer_output_norm.weight", "C", FILL_NORM, 0 }, { "layer_output_norm.bias", "C", FILL_BIAS, 0 }, END };
GROUP(ATTENTION) = { { "attn_q.weight", "CQ", FILL_WEIGHT, 0 }, { "attn_k.weight", "CK", FILL_WEIGHT, 0 },
                     { "attn_v.weight", "CK", FILL_WEIGHT, 0 }, { "attn_output.weight", "QC", FILL_WEIGHT, 0 }, END };
GROUP(QKV_BIAS) = { { "attn_q.bias", "Q", FILL_BIAS, 0 }, { "attn_k.bias", "K", FILL_BIAS, 0 }, { "attn_v.bias", "K", FILL_BIAS, 0 }, END };
GROUP(QK_HEAD_NORM) = { { "attn_q_norm.weight", "D", FILL_NORM, 0 }, { "attn_k_norm.weight", "D", FILL_NORM, 0 }, END };
GROUP(QK_WIDE_NORM) = { { "attn_q_norm.weight", "Q", FILL_NORM, 0 }, { "attn_k_norm.weight", "K", FILL_NORM, 0 }, END };
GROUP(FUSED_ATTENTION) = { { "attn_qkv.weight", "CS", FILL_WEIGHT, 0 }, { "attn_output.weight", "QC", FILL_WEIGHT, 0 }, END };
GROUP(FUSED_BIAS) = { { "attn_qkv.bias", "S", FILL_BIAS, 0 }, END };
GROUP(OUTPUT_BIAS) = { { "attn_output.bias", "C", FILL_BIAS, 0 }, END };
GROUP(GATED_FFN) = { { "ffn_gate.weight", "CF", FILL_WEIGHT, 0 }, { "ffn_up.weight", "CF", FILL_WEIGHT, 0 },
                     { "ffn_down.weight", "FC", FILL_WEIGHT, 0 }, END };
GROUP(FUSED_FFN) = { { "ffn_up.weight", "CG", FILL_WEIGHT, 0 }, { "ffn_down.weight", "FC", FILL_WEIGHT, 0 }, END };
GROUP(PLAIN_FFN) = { { "ffn_up.weight", "CF", FILL_WEIGHT, 0 }, { "ffn_down.weight", "FC", FILL_WEIGHT, 0 }, END };
GROUP(PLAIN_FFN_BIAS) = { { "ffn_up.bias", "F", FILL_BIAS, 0 }, { "ffn_down.bias", "C", FILL_BIAS, 0 }, END };
GROUP(GATED_FFN_BIAS) = { { "ffn_gate.bias", "F", FILL_BIAS, 0 }, { "ffn_up.bias", "F", FILL_BIAS, 0 }, { "ffn_down.bias", "C", FILL_BIAS, 0 }, END };
GROUP(EXPERTS) = { { "ffn_gate_inp.weight", "CE", FILL_WEIGHT, KEEP_F32 }, { "ffn_gate_exps.weight", "CXE", FILL_WEIGHT, 0 },
                   { "ffn_up_exps.weight", "CXE", FILL_WEIGHT, 0 }, { "ffn_down_exps.weight", "XCE", FILL_WEIGHT, 0 }, END };
GROUP(SHARED_EXPERT) = { { "ffn_gate_shexp.weight", "CY", FILL_WEIGHT, 0 }, { "ffn_up_shexp.weight", "CY", FILL_WEIGHT, 0 },
                         { "ffn_down_shexp.weight", "YC", FILL_WEIGHT, 0 }, END };
GROUP(SHARED_GATE) = { { "ffn_gate_inp_shexp.weight", "C", FILL_WEIGHT, KEEP_F32 }, END };

/* ---- architectures ---- */
enum { MAX_GROUPS = 12, MAX_EXTRA = 8 };
struct extra { const char *key; /* "tokenizer." and "general." stand as they are, others get the architecture in front */ enum gguf_kind kind; double v; const char *text; };
struct arch_row {
    const char *name, *general; /* the row's name; general.architecture (NULL: the same) */
    const char *eps_key;        /* which norm epsilon it reads */
    const struct tensor_row *root[MAX_GROUPS], *block[MAX_GROUPS]; /* NULL-ended; block: named blk.N. */
    struct extra extra[MAX_EXTRA];
};
#define RMS "attention.layer_norm_rms_epsilon"
#define LAYER "attention.layer_norm_epsilon"
static const struct arch_row ARCHS[] = {
    { "llama", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, ATTENTION, GATED_FFN }, { { 0 } } },
    { "llama3", "llama", RMS, { EMBEDDING, ROPE_FACTORS, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, ATTENTION, GATED_FFN }, { { 0 } } },
    { "llama-bias", "llama", RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT },
      { PRE_NORMS, FUSED_ATTENTION, FUSED_BIAS, OUTPUT_BIAS, GATED_FFN, GATED_FFN_BIAS }, { { 0 } } },
    { "mixtral", "llama", RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, ATTENTION, EXPERTS }, { { 0 } } },
    { "granite", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, ATTENTION, GATED_FFN },
      { { "attention.scale", GGUF_F32, 0.15 }, { "embedding_scale", GGUF_F32, 12 }, { "residual_scale", GGUF_F32, 0.22 },
        { "logit_scale", GGUF_F32, 8 } } },
    { "granitemoe", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, ATTENTION, EXPERTS },
      { { "attention.scale", GGUF_F32, 0.15 }, { "embedding_scale", GGUF_F32, 12 }, { "residual_scale", GGUF_F32, 0.22 },
        { "logit_scale", GGUF_F32, 6 } } },
    { "granitemoe-shared", "granitemoe", RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, ATTENTION, EXPERTS, SHARED_EXPERT },
      { { "embedding_scale", GGUF_F32, 12 }, { "residual_scale", GGUF_F32, 0.22 }, { "logit_scale", GGUF_F32, 6 } } },
    { "qwen2", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, ATTENTION, QKV_BIAS, GATED_FFN }, { { 0 } } },
    { "qwen2moe", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, ATTENTION, QKV_BIAS, EXPERTS, SHARED_EXPERT, SHARED_GATE }, { { 0 } } },
    { "qwen3", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, ATTENTION, QK_HEAD_NORM, GATED_FFN }, { { 0 } } },
    { "qwen3moe", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, ATTENTION, QK_HEAD_NORM, EXPERTS }, { { 0 } } },
    { "phi3", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, FUSED_ATTENTION, FUSED_FFN }, { { 0 } } },
    { "phi3-long", "phi3", RMS, { EMBEDDING, LONG_FACTORS, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, FUSED_ATTENTION, FUSED_FFN },
      { { "rope.scaling.attn_factor", GGUF_F32, 1.19 } } },
    { "gemma", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, ATTENTION, GATED_FFN }, { { 0 } } },
    { "gemma2", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, POST_NORMS, ATTENTION, GATED_FFN },
      { { "attn_logit_softcapping", GGUF_F32, 50 }, { "final_logit_softcapping", GGUF_F32, 30 }, { "attention.sliding_window", GGUF_U32, 16 } } },
    { "gemma3", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, POST_NORMS, ATTENTION, QK_HEAD_NORM, GATED_FFN },
      { { "attention.sliding_window", GGUF_U32, 16 } } },
    { "smollm3", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { PRE_NORMS, ATTENTION, GATED_FFN }, { { 0 } } },
    { "olmo2", NULL, RMS, { EMBEDDING, OUTPUT_NORM, OUTPUT }, { POST_NORMS, ATTENTION, QK_WIDE_NORM, GATED_FFN }, { { 0 } } },
    { "gpt2", NULL, LAYER, { EMBEDDING, POSITIONS, OUTPUT_NORM, OUTPUT_NORM_BIAS, OUTPUT },
      { PRE_NORMS, PRE_NORMS_BIAS, FUSED_ATTENTION, FUSED_BIAS, OUTPUT_BIAS, PLAIN_FFN, PLAIN_FFN_BIAS }, { { 0 } } },
    { "bert", NULL, LAYER, { EMBEDDING, POSITIONS, TOKEN_TYPES, EMBEDDING_NORM, EMBEDDING_NORM_BIAS },
      { ATTENTION, QKV_BIAS, OUTPUT_BIAS, OUT_NORMS, PLAIN_FFN, PLAIN_FFN_BIAS },
      { { "attention.causal", GGUF_BOOL, 0 }, { "pooling_type", GGUF_U32, 2 /* the first token's */ }, { "tokenizer.ggml.token_type_count", GGUF_U32, 2 } } },
    { "nomic-bert", NULL, LAYER, { EMBEDDING, TOKEN_TYPES, EMBEDDING_NORM, EMBEDDING_NORM_BIAS }, { FUSED_ATTENTION, OUT_NORMS, GATED_FFN },
      { { "attention.causal", GGUF_BOOL, 0 }, { "pooling_type", GGUF_U32, 1 /* mean */ }, { "tokenizer.ggml.token_type_count", GGUF_U32, 2 } } },
};

/* ---- shapes ---- */
struct shape {
    const char *name, *arch, *title;
    int n_layer, n_embd, n_head, n_kv_head, head_dim /* 0: width / heads */, n_ff, n_vocab, n_ctx;
    float rope_base;                                 /* 0: no rotary embedding */
    int n_expert, n_used, expert_ff, shared_ff;      /* 0: none */
    int tied;
    int vary;  /* norms near 1 and biases near 0 instead of exactly that: wrong use of them shows */
    struct extra extra[MAX_EXTRA];
};
#define SMALL(name, arch, ...) { name, arch, "small, random" /* no family in it: llama.cpp acts on some */, __VA_ARGS__ }
static const struct shape SHAPES[] = {
    { "7b", "llama", "Mistral 7B shape, random", 32, 4096, 32, 8, 0, 14336, 32000, 32768, 10000, 0, 0, 0, 0, 0, 0, { { 0 } } },
    { "1.1b", "llama", "TinyLlama 1.1B shape, random", 22, 2048, 32, 4, 0, 5632, 32000, 2048, 10000, 0, 0, 0, 0, 0, 0, { { 0 } } },
    { "135m", "llama", "SmolLM2 135M shape, random", 30, 576, 9, 3, 0, 1536, 49152, 8192, 100000, 0, 0, 0, 0, 1, 0, { { 0 } } },
    { "mixtral8l", "mixtral", "8 layers of Mixtral 8x7B shape, random", 8, 4096, 32, 8, 0, 14336, 32000, 32768, 1e6f, 8, 2, 0, 0, 0, 0, { { 0 } } },
    { "mixtral2l", "mixtral", "2 layers of Mixtral 8x7B shape, random", 2, 4096, 32, 8, 0, 14336, 32000, 32768, 1e6f, 8, 2, 0, 0, 0, 0, { { 0 } } },
    /* small ones: widths that every element type divides, layers enough for every pattern of layers */
    /*                            L    C   H KV   D    F    V    T      rope  E  U    X    Y tied vary */
    SMALL("llama-s", "llama",     3, 256,  8, 4,  0, 512, 512, 256,    1e4f, 0, 0,   0,   0, 0, 1, { { 0 } }),
    SMALL("llama1-s", "llama",    3, 256,  8, 8,  0, 768, 512, 256,    1e4f, 0, 0,   0,   0, 0, 1, { { 0 } }),
    SMALL("llama3-s", "llama3",   3, 256,  8, 2,  0, 512, 512, 256,    5e5f, 0, 0,   0,   0, 1, 1, { { 0 } }),
    SMALL("mistral-s", "llama",   3, 256,  8, 2,  0, 512, 512, 256,    1e6f, 0, 0,   0,   0, 0, 1, { { "attention.sliding_window", GGUF_U32, 128 } }),
    SMALL("linear-s", "llama",    3, 256,  8, 2,  0, 512, 512, 256,    1e4f, 0, 0,   0,   0, 0, 1, { { "rope.scaling.factor", GGUF_F32, 4 } }),
    SMALL("yarn-s", "llama",      3, 256,  8, 2,  0, 512, 512, 256,    1e4f, 0, 0,   0,   0, 0, 1,
          { { "rope.scaling.type", GGUF_STR, 0, "yarn" }, { "rope.scaling.factor", GGUF_F32, 4 }, { "rope.scaling.original_context_length", GGUF_U32, 64 } }),
    SMALL("bias-s", "llama-bias", 3, 256,  8, 2,  0, 512, 512, 256,    1e4f, 0, 0,   0,   0, 0, 1, { { 0 } }),
    SMALL("mixtral-s", "mixtral", 3, 256,  8, 2,  0, 512, 512, 256,    1e6f, 8, 2,   0,   0, 0, 1, { { 0 } }),
    SMALL("granite-s", "granite", 3, 256,  8, 2,  0, 512, 512, 256,    1e4f, 0, 0,   0,   0, 1, 1, { { 0 } }),
    SMALL("granitemoe-s", "granitemoe", 3, 256, 8, 2, 0, 256, 512, 256, 1e4f, 8, 4,  0,   0, 1, 1, { { 0 } }),
    SMALL("granitemoe-shared-s", "granitemoe-shared", 3, 256, 8, 2, 0, 256, 512, 256, 1e4f, 8, 4, 0, 128, 1, 1, { { 0 } }),
    SMALL("qwen2-s", "qwen2",     3, 256,  4, 2,  0, 512, 512, 256,    1e6f, 0, 0,   0,   0, 1, 1, { { 0 } }),
    SMALL("qwen2moe-s", "qwen2moe", 3, 256, 4, 2, 0, 512, 512, 256,    1e6f, 8, 4, 256, 512, 0, 1, { { 0 } }),
    SMALL("qwen3-s", "qwen3",     3, 256,  4, 2, 128, 512, 512, 256,   1e6f, 0, 0,   0,   0, 1, 1, { { 0 } }),
    SMALL("qwen3moe-s", "qwen3moe", 3, 256, 4, 2, 128, 512, 512, 256,  1e6f, 8, 4, 256,   0, 0, 1, { { 0 } }),
    SMALL("phi3-s", "phi3",       3, 256,  8, 4,  0, 512, 512, 256,    1e4f, 0, 0,   0,   0, 0, 1, { { "rope.scaling.original_context_length", GGUF_U32, 256 }, { "rope.dimension_count", GGUF_U32, 24 } }),
    SMALL("phi3-long-s", "phi3-long", 3, 256, 8, 4, 0, 512, 512, 256,  1e4f, 0, 0,   0,   0, 0, 1, { { "rope.scaling.original_context_length", GGUF_U32, 128 } }),
    SMALL("gemma-s", "gemma",     3, 256,  4, 1, 128, 512, 512, 256,   1e4f, 0, 0,   0,   0, 1, 1, { { 0 } }),
    SMALL("gemma2-s", "gemma2",   4, 256,  4, 2, 128, 512, 512, 256,   1e4f, 0, 0,   0,   0, 1, 1, { { 0 } }),
    SMALL("gemma3-s", "gemma3",   7, 256,  4, 2, 128, 512, 512, 256,   1e6f, 0, 0,   0,   0, 1, 1, { { 0 } }),
    SMALL("smollm3-s", "smollm3", 5, 256,  8, 2,  0, 512, 512, 256,    5e6f, 0, 0,   0,   0, 1, 1, { { 0 } }),
    SMALL("olmo2-s", "olmo2",     3, 256,  8, 4,  0, 512, 512, 256,    5e5f, 0, 0,   0,   0, 0, 1, { { 0 } }),
    SMALL("olmo3-s", "olmo2",     5, 256,  8, 4,  0, 512, 512, 256,    5e5f, 0, 0,   0,   0, 0, 1,
          { { "attention.sliding_window", GGUF_U32, 16 }, { "rope.scaling.type", GGUF_STR, 0, "yarn" }, { "rope.scaling.factor", GGUF_F32, 8 },
            { "rope.scaling.original_context_length", GGUF_U32, 32 } }),
    SMALL("gpt2-s", "gpt2",       3, 256,  4, 4,  0, 1024, 512, 256,      0, 0, 0,   0,   0, 1, 1, { { 0 } }),
    SMALL("bert-s", "bert",       3, 256,  4, 4,  0, 1024, 512, 256,      0, 0, 0,   0,   0, 1, 1, { { 0 } }),
    SMALL("nomic-bert-s", "nomic-bert", 3, 256, 4, 4, 0, 512, 512, 256, 1e3f, 0, 0,  0,   0, 1, 1, { { 0 } }),
};

/* ---- mixes ----
 * llama.cpp's rule for its "M" types (llama_tensor_get_type): `more` for attn_v and ffn_down in the first and last eighth
 * of the layers and every third between, `output` for the output matrix (or the embedding that serves as it), `fused` for
 * fused q k v; models of exactly 8 experts keep `expert_kv` for k and v and `expert_out` behind attention. */
struct mix { const char *name; int base, more, output, fused, expert_kv, expert_out; };
enum { Q5_K = 13, Q5_1 = 7 }; /* numbers of ggml's enum */
static const struct mix MIXES[] = {
    { "Q4_K_M", QT_Q4_K, QT_Q6_K, QT_Q6_K, Q5_K, QT_Q8_0, Q5_K },
    { "Q5_K_M", Q5_K, QT_Q6_K, QT_Q6_K, QT_Q6_K, QT_Q8_0, Q5_K },
};
/* What a row length that the type's block does not divide is stored in instead (llama.cpp: the same). */
struct fallback { int type, instead; };
static const struct fallback FALLBACKS[] = { { QT_Q4_K, QT_Q5_0 }, { Q5_K, Q5_1 }, { QT_Q6_K, QT_Q8_0 }, { 10 /* Q2_K */, 20 /* IQ4_NL */ },
                                             { 11 /* Q3_K */, 20 }, { 23 /* IQ4_XS */, 20 } };
/* general.file_type, only for display */
struct file_type { const char *name; int number; };
static const struct file_type FILE_TYPES[] = { { "F32", 0 }, { "F16", 1 }, { "Q4_0", 2 }, { "Q4_1", 3 }, { "Q8_0", 7 }, { "Q5_0", 8 }, { "Q5_1", 9 },
    { "Q2_K", 10 }, { "Q3_K", 12 }, { "Q4_K", 14 }, { "Q4_K_M", 15 }, { "Q5_K", 16 }, { "Q5_K_M", 17 }, { "Q6_K", 18 }, { "IQ4_NL", 25 },
    { "IQ4_XS", 30 }, { "BF16", 32 }, { "MXFP4", 38 } };

#endif
