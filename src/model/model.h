/* model.h — front header of layer 3 `model`: architectures as rows, weights bound to names, the forward maths.
 *
 * A model is immutable while it is used for inference; adapters lie beside it. For full training its weights
 * are an F32 copy that the trainer owns through model_params.  The maths with shapes: docs/MODEL.md.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_MODEL_H
#define ILAB_MODEL_H

#include "base/base.h"
#include "kern/kern.h"
#include "tensor/tensor.h"
#include "text/text.h"

/* ---- what an architecture does (docs/MODEL.md has the formulas); a zero is what llama does ---- */
enum norm_kind { NORM_RMS, NORM_LAYER };
enum norm_place { NORM_PRE /* before attention and feed-forward */, NORM_PRE_POST /* and after, before the residual sum */,
                  NORM_POST /* only after, before the sum */, NORM_SUM /* only after, of the sum */ };
enum rope_kind { ROPE_PAIRS /* (2i, 2i+1) */, ROPE_HALVES /* (i, i + rope_dim/2) */, ROPE_NONE };
enum rope_scaling { ROPE_SCALING_NONE, ROPE_SCALING_LINEAR, ROPE_SCALING_YARN, ROPE_SCALING_LONGROPE };
enum qk_norm { QK_NORM_NONE, QK_NORM_HEAD /* each head */, QK_NORM_WIDE /* all heads as one row */ };
enum activation { ACT_SILU, ACT_GELU };
enum pooling { POOLING_NONE, POOLING_MEAN, POOLING_CLS, POOLING_LAST };    /* numbers as in <arch>.pooling_type */
struct hparams {
    int n_layer, n_embd, n_head, n_kv_head, head_dim, n_ff, n_vocab, n_ctx; /* n_ctx: context_length of the file */
    int rope_dim;
    float norm_eps, rope_base;
    int tied;                                   /* no output.weight */
    /* kinds: the row of the architecture sets them */
    int norm, norm_place, qk_norm, activation, rope;
    int plain_ffn;                              /* no gate: act(up) instead of act(gate)·up */
    int encoder;                                /* every position sees all others; no output matrix */
    int sqrt_embedding_scale;                   /* embedding_scale is sqrt(C) */
    int wide_scale_layers;                      /* with so many layers attn_scale is 1/sqrt(C/H) */
    int own_window_rope;                        /* layers with a window have rope_base_window and no scaling */
    int expert_norm;                            /* weights of the chosen experts add up to 1 */
    /* numbers: keys of the file */
    float embedding_scale, residual_scale, logit_scale;  /* 0: 1. Logits are divided by the last */
    float attn_scale, attn_softcap, final_softcap;       /* 0: 1/sqrt(D); none; none */
    int window, window_period;                  /* 0: none; layers with (l+1) % period = 0 see everything, 0: all have the window */
    int rope_skip;                              /* layers with (l+1) % rope_skip = 0 have no rotary embedding; 0: all have */
    float rope_base_window;
    int rope_scaling, rope_n_ctx;               /* context length before scaling */
    float rope_factor, rope_attn_factor, yarn_beta_fast, yarn_beta_slow;
    int n_expert, n_expert_used, n_ff_expert, n_ff_shared;
    float expert_scale;                         /* of the experts' weights; 0: 1 */
    int pooling;
};
enum linear_kind { LIN_Q, LIN_K, LIN_V, LIN_O, LIN_GATE, LIN_UP, LIN_DOWN, LIN_COUNT };
enum expert_part { EXPERT_GATE, EXPERT_UP, EXPERT_DOWN, EXPERT_COUNT };
/* What an adapter may change in a layer: its linear layers, and in a mixture of experts these. */
enum adapted_kind { ADAPT_ROUTER = LIN_COUNT, ADAPT_EXPERTS /* + enum expert_part: each of the experts */, ADAPT_SHARED = ADAPT_EXPERTS + EXPERT_COUNT,
                    ADAPT_COUNT = ADAPT_SHARED + EXPERT_COUNT };
enum { ADAPT_DEFAULT = (1 << ADAPT_COUNT) - 1 - (1 << ADAPT_ROUTER) };      /* bits: everything but the router */
extern const char *const LINEAR_NAME[ADAPT_COUNT];                          /* "attn_q" … as in GGUF: blk.N.<name>.weight */

struct linear { struct tensor w; /* dim = {in, out}; may be rows of a fused tensor */ float *packed; /* panels or NULL */ const float *bias; };
enum layer_rope { LAYER_ROPE, LAYER_ROPE_WINDOW /* m->rope_window */, LAYER_ROPE_NONE };
/* Pointers to weights that an architecture lacks are NULL, linears have dim[0] = 0. */
struct layer {
    struct linear lin[LIN_COUNT];
    const float *attn_norm, *ffn_norm;          /* [C] */
    const float *attn_norm_bias, *ffn_norm_bias;
    const float *attn_post_norm, *attn_post_norm_bias, *ffn_post_norm, *ffn_post_norm_bias; /* [C] */
    const float *q_norm, *k_norm;               /* [D], or [H·D] and [Hkv·D] */
    struct linear router;                       /* [E, C] */
    struct tensor expert_all[EXPERT_COUNT];     /* {in, out, E} */
    struct tensor *expert[EXPERT_COUNT];        /* [E] views of it */
    struct linear shared[EXPERT_COUNT];         /* the expert that every token uses */
    const float *shared_gate;                   /* [C] its sigmoid gate, or NULL */
    int window, rope;                           /* 0: none; enum layer_rope */
};
struct arch;                                                                /* a row of ARCHS[] in arch.c */
struct weight { struct tensor t; int kind, layer; };                        /* a tensor of the file; kind: a row of tensors.c */
struct model {
    struct hparams hp;
    const struct arch *arch;
    char name[128];
    struct layer *layer;           /* [n_layer] */
    struct linear embedding;       /* [V, C]; packed when it is also the output */
    struct linear output;          /* the embedding when tied */
    const float *output_norm, *output_norm_bias; /* [C] */
    struct tensor positions;       /* learned positions {C, n} or data NULL */
    struct tensor token_types;     /* {C, n}: row 0 is added to every token; or data NULL */
    const float *embedding_norm, *embedding_norm_bias;
    struct weight *weight; int n_weight; /* every tensor in the order of model_each_tensor; fields above are views of them */
    float *rope_cos_sin;           /* [rope_n_pos][rope_dim]: ROPE_PAIRS (cos, sin) a pair, ROPE_HALVES all cos, all sin; model_rope_reserve */
    float *rope_window;            /* the same for layers with a window, when they have their own */
    int rope_n_pos, rope_is_long;
    struct gguf *gguf;             /* NULL for a model made from a configuration */
    float *params; size_t n_params;/* MODEL_TRAINABLE: all weights as one F32 block */
    struct arena mem;
    const float *rope_factor;      /* [rope_dim/2] divisors of the rotary frequencies (tensor rope_freqs), or NULL */
    const float *rope_long, *rope_short; /* the same beyond rope_n_ctx positions, and within */
    enum gemm_act act;             /* how activations enter products with quantised weights; set by the owner before use */
    char *path;                    /* file it came from, or NULL */
    char hash[65];                 /* SHA-256 of the file: identity for adapters and servers; computed by model_hash on demand */
};
enum { MODEL_PACK = 1 /* keep F32 panels of all linear layers (fast for small models) */, MODEL_TRAINABLE = 2 /* F32 copies, not packed */ };
/* Takes ownership of g on success. Every tensor's presence and shape is checked. */
int model_open_gguf(struct model **out, struct gguf *g, int flags, struct gemm_ctx *gc, ilab_err *e);
int model_supported(const struct gguf *g, ilab_err *e);  /* architecture and features, by metadata alone: else an error that names what is not */
int model_open(struct model **out, const char *path, int flags, struct gemm_ctx *gc, ilab_err *e);
/* Fresh weights: normal, std 0.02 (output projections 0.02/sqrt(2·n_layer)), norms 1. MODEL_TRAINABLE. */
int model_new(struct model **out, const struct hparams *hp, uint64_t seed, ilab_err *e);
void model_free(struct model *m);
void model_let_go(const struct model *m);                                    /* the mapped file leaves memory; what is needed again is read again */
const char *model_hash(struct model *m, ilab_err *e);                       /* NULL on error */
/* Architecture, size, tensor types, context, memory: what `ilab model info` prints, as JSON. */
json_t *model_info(const struct model *m);
/* Tables for positions below n_pos, and whether the model has so many. Beyond hp.rope_n_ctx LongRoPE's other factors hold for
 * all positions, so reserve a sequence's whole length before its first token. */
int model_rope_reserve(struct model *m, int n_pos, ilab_err *e);
/* 0, or ILAB_E_INVALID with what has no backward pass yet. all_weights: not only an adapter. */
int model_trainable(const struct model *m, int all_weights, ilab_err *e);
/* Walks all weight tensors of the model in file order (names of GGUF). */
typedef int model_tensor_fn(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e);
int model_each_tensor(struct model *m, model_tensor_fn *fn, void *ud, ilab_err *e);
/* Writes the keys of architecture and hparams (<arch>.* and general.*) for a new file. */
void model_put_gguf(const struct model *m, struct gguf_writer *w);

/* ---- adapters (adapter.c): LoRA (Hu et al. 2021), y += scale · (x Aᵀ) Bᵀ ---- */
/* Parts of a fused matrix (q, k and v; gate and up) share one A, so that a file can hold them as one: a_of is then the first part that is on. */
struct lora {
    int on, rank, n_in, n_out;
    int n_matrix;                   /* experts E, else 1: A is [E, R, in], B [E, out, R] */
    int a_of;                       /* the kind whose A this is; its own number where nothing is shared */
    float scale, *a /* [R, in] */, *b /* [out, R] */;
};
/* Dropout in front of A, while a training pass runs (lora_drop.c): x [n,in] is room for what is left; NULL: none. */
struct lora_drop { float p; uint64_t seed /* and step, mixed */; int64_t row0 /* of the batch in the global batch */; float *x; };
struct adapter {
    int rank;                       /* the largest */
    float alpha, scale;             /* scale = alpha / rank, rsLoRA alpha / sqrt(rank) */
    int rslora;                     /* Kalajdzievski 2023 */
    float dropout;                  /* in training; 0: none */
    struct lora_drop drop;          /* the trainer's */
    int n_layer;
    struct lora *lora;              /* [n_layer][ADAPT_COUNT] */
    char base_hash[65];
    float *params; size_t n_params; /* all A and B as one block, layer by layer, kind by kind, A before B */
};
/* which: bit i on = kind i adapted (of enum linear_kind and enum adapted_kind; what the model lacks is left out). A is normal(0, 1/sqrt(in)), B zero. */
int adapter_new(struct adapter **out, const struct model *m, int rank, float alpha, unsigned which, int first_layer,
                uint64_t seed, ilab_err *e);
void adapter_set_rslora(struct adapter *a);                                 /* the scale becomes alpha / sqrt(rank) */
void adapter_free(struct adapter *a);
/* GGUF as llama.cpp reads it: general.type adapter, adapter.type lora, adapter.lora.alpha, <tensor>.lora_a / .lora_b;
 * ilab.base_hash refuses another base. F32 (exact). */
int adapter_write(const struct adapter *a, const struct model *m, const char *path, ilab_err *e);
int adapter_open(struct adapter **out, const char *path, struct model *m, ilab_err *e); /* such a file, or a folder of PEFT's */
/* A folder as PEFT and vLLM read it: adapter_model.safetensors and adapter_config.json, names of the model's Hugging Face family, rows of q
 * and k in its order. ILAB_E_INVALID names what PEFT has no module for (experts that the family keeps in one tensor). */
int adapter_write_peft(const struct adapter *a, const struct model *m, const char *dir, ilab_err *e);
int adapter_is_dir(const char *path);                                       /* a folder with an adapter_config.json */
/* Writes base + adapter as one GGUF with linear weights of `type` (QT_F16, QT_F32, …); one tensor at a time. */
int model_write(struct model *m, const struct adapter *a /* NULL */, int type, const char *path,
                void (*more_keys)(void *ud, struct gguf_writer *w), void *ud, ilab_err *e);

/* The same with the types of a mix (mix_by_name: "Q8_0", "Q4_K_M" …), rows shared out over the pool (NULL: alone). ILAB_E_CANCEL
 * after an interrupt. */
int model_write_mix(struct model *m, const struct adapter *a, int mix, struct pool *pool, const char *path,
                    void (*more_keys)(void *ud, struct gguf_writer *w), void *ud, ilab_err *e);

/* ---- forward (forward.c, forward_attn.c, forward_ffn.c, moe.c) ---- */
/* Rows of a batch belong to segments: consecutive rows of one sequence at consecutive positions. */
struct segment { int row0, n_row, pos0; void *const *page; /* KV pages of the sequence; see kern.h */ };
struct batch { int n_row; const int32_t *id; int n_seg; const struct segment *seg;
               int kv_type; /* element type of the pages; 0: F32 */ size_t kv_step; /* attn_seq.step of the pages; 0: packed */
               int n_prompt; /* the last rows are text that was given, not generated: gemm.n_wide of their products in the layers */ };
/* A mixture of experts: rows of the batch sorted by expert. E experts, U of them a token. */
struct moe_acts {
    float *prob;                 /* [T,E] router, softmax */
    int32_t *expert;             /* [T,U] best first */
    float *weight;               /* [T,U] */
    int32_t *row, *slot;         /* [T·U] row of the batch at a sorted place; [T,U] place of a choice */
    int32_t *first, *count;      /* [E+1] first place of an expert; [E] */
    int32_t *iota;               /* [max_row] 0, 1, 2 … */
    float *gate, *up;            /* [max_row, F of an expert] some experts at a time; training keeps all: [T·U, F], by sorted place */
    float *act;                  /* [max_row, F] act(gate)·up; inference: gate */
    float *down;                 /* [T·U, C] */
    struct gemm *job;            /* [2·E] */
    struct tensor *lora;         /* [E] headers of the experts' A or B; NULL without an adapter */
    int max_row, kept;
};
int experts_max_row(const struct hparams *hp, int n_row);                    /* moe_acts.max_row */
/* Buffers of one layer's forward; the trainer keeps one a layer, inference uses one for all. T = n_row, R = rank. */
struct layer_acts {
    float *x;        /* [T,C] input of the layer   */
    float *norm1;    /* [T,C] */
    float *inv_rms1; /* [T]   */
    float *q;        /* [T,H·D]   after RoPE */
    float *k, *v;    /* [T,Hkv·D] k after RoPE */
    float *att;      /* [T,H·D]   */
    float *x_mid;    /* [T,C] after attention */
    float *norm2;    /* [T,C] */
    float *inv_rms2; /* [T]   */
    float *gate, *up, *act; /* [T,F] act = silu(gate)·up */
    float *q_raw, *k_raw; /* as q and k, before their norms; NULL: not kept */
    float *q_inv, *k_inv; /* [T,H], [T,Hkv] inverse RMS of these norms */
    float *branch;   /* [T,C] output of a block that is scaled or normalised before it is added; NULL when no layer does */
    float *attn_branch, *ffn_branch; /* training with norms behind a block: what they get; else both are branch */
    float *inv_post1, *inv_post2;    /* [T] inverse RMS of these norms; NULL: not kept */
    float *lora_h[ADAPT_COUNT]; /* [T,R] scale · x Aᵀ; of experts [T·U,R], by sorted place */
    struct moe_acts moe;
    struct attn_item *item;   /* [T] room for one item a segment */
};
void layer_acts_plan(struct layer_acts *a, const struct hparams *hp, int n_row, int rank, struct arena *mem);
/* The same for inference: buffers whose content only a backward pass needs share memory (x_mid is x where it can be, …). */
void layer_acts_plan_forward(struct layer_acts *a, const struct hparams *hp, int n_row, int rank, struct arena *mem);
/* Calls fn for blocks of rows on the pool; fn may only write what belongs to its rows. Few rows run here, at once. */
typedef void rows_fn(void *ud, int row0, int row1);
void rows_run(struct pool *pool, rows_fn *fn, void *ud, int n_row);
/* y = layer(a->x); y may be a->x where nobody needs that any more. y NULL (layer_can_redo only): the activations are wanted, not the
 * result. Keys and values of the rows are stored in the segments' pages
 * (kv_layer = layer, or 0 when pages hold one layer), then attention reads the pages. */
void layer_forward(struct gemm_ctx *g, const struct model *m, const struct adapter *ad, int layer, int kv_layer,
                   const struct batch *b, struct layer_acts *a, float *y);
struct attn_shape layer_attn_shape(const struct model *m, int layer, int kv_type);
/* The row of the rotary table for a layer and position; NULL: not rotated. */
const float *layer_rope_row(const struct model *m, int layer, int pos);
/* Input of layer 0 for rows row0 … row1 of the batch: tokens, learned positions, token type, scale, norm. */
void embed_rows(const struct kern *k, const struct model *m, const struct batch *b, int row0, int row1, float *x /* [T,C] */);
/* logits[i] = output(norm(x[row[i]])) for n chosen rows, scaled and capped; norm and inv_rms: scratch [n,C], [n]. */
void output_logits(struct gemm_ctx *g, const struct model *m, const float *x, const int32_t *row, int n,
                   float *norm, float *inv_rms, float *logits /* [n,V] */);
/* The same in parts of the vocabulary: the norms once, then logits [n,n_token] of the tokens from `first` on (a multiple of 256). */
void output_norms(struct gemm_ctx *g, const struct model *m, const float *x, const int32_t *row, int n, float *norm, float *inv_rms);
void output_part_logits(struct gemm_ctx *g, const struct model *m, const float *norm, int n, int first, int n_token, float *logits);
struct linear output_part(const struct model *m, int first, int n_token);    /* those rows of the output matrix, a view */
struct tensor row_view(const struct tensor *t, int64_t row0, int64_t rows);   /* rows of a matrix as they lie */

/* y[r] = x[r] (or x[x_row[r]]) with some numbers 0 and the others divided by 1 − p, for rows of n numbers; y may be x. what: the matrix
 * (kind: whose A it is; matrix: the expert); row[r] is the row of the batch that row r belongs to, NULL: r itself. */
struct lora_dropped { int layer, kind, matrix; const int32_t *row; };
void lora_drop(struct gemm_ctx *g, const struct lora_drop *d, struct lora_dropped what, const float *x, const int32_t *x_row, float *y, int n_row, int64_t n);

/* ---- training on less memory (forward.c) ---- */
/* As layer_acts_plan, but norm1, norm2 and act are those of `common`: layer_redo makes them again from the rest, bit for bit. */
int layer_can_redo(const struct hparams *hp);   /* 0: not for this architecture, use layer_acts_plan */
void layer_acts_plan_lean(struct layer_acts *a, const struct hparams *hp, int n_row, int rank, struct arena *mem, const struct layer_acts *common);
void layer_redo(struct gemm_ctx *g, const struct model *m, int layer, int n_row, struct layer_acts *a);

/* ---- weights larger than the memory (pager.c): only advice to the kernel, results never depend on it ---- */
struct pager;
enum pager_walk { PAGER_CIRCLE /* 0 … L-1, and again: inference */, PAGER_UP /* first … L-1, then down: training */, PAGER_DOWN /* L-1 … turn, then up */ };
/* *out is NULL when everything fits into `budget` bytes. The file stays the caller's. */
int pager_new(struct pager **out, const struct gguf *g, int n_layer, double budget, ilab_err *e);
void pager_free(struct pager *p);
double pager_least(const struct gguf *g, int n_layer);  /* bytes that must be there even so: what no layer owns, and two layers */
/* Where the ways of PAGER_UP and PAGER_DOWN begin and end. NULL is fine here and below. */
void pager_way(struct pager *p, int first, int turn);
/* Around layer `layer` of a pass over n_row rows. */
void pager_enter(struct pager *p, int layer, int n_row, enum pager_walk walk);
void pager_leave(struct pager *p, int layer, int n_row, enum pager_walk walk);
/* Bytes of the layers ≥ from_layer that come from the disk each time, and the rate at which a first read went (bytes a second). */
void pager_expect(const struct pager *p, int from_layer, double *bytes, double *rate);

/* ---- embedding models (embed.c) ---- */
/* A vector [C] of length 1 for each of n_seq texts, whose ids follow each other; pooling as the file says (mean if it does
 * not). Texts are independent: alone or together, the same bits. */
int model_embed(struct gemm_ctx *g, struct model *m, const int32_t *id, const int *n_id, int n_seq, float *out /* [n_seq,C] */, ilab_err *e);
/* Without pooling: the last layer's rows of one text, [n_id,C]. */
int model_embed_tokens(struct gemm_ctx *g, struct model *m, const int32_t *id, int n_id, float *out, ilab_err *e);

/* ---- Hugging Face directories (hf*.c, weight_map.c; families are rows of hf_arch.c) ---- */
/* What gguf_open gives for a file; for a directory with config.json and safetensors, a view of it as GGUF (without tokenizer.* keys:
 * tokenizer_open_hf). The view owns its maps and what had to be reordered in memory; gguf_close releases all. */
int model_gguf_open(struct gguf **out, const char *path, ilab_err *e);
struct hf;
int hf_is_dir(const char *path);                                            /* a folder with a config.json */
/* Reads config.json, generation_config.json, modules.json and maps the weights; an unknown family, feature or tensor is named. */
int hf_open(struct hf **out, const char *dir, ilab_err *e);
int hf_open_memory(struct hf **out, struct sv config, const void *weights, size_t n, ilab_err *e); /* bytes that the caller keeps alive */
void hf_close(struct hf *h);
const char *hf_architecture(const struct hf *h);                            /* GGUF's name of it */
int hf_vocabulary(const struct hf *h);                                      /* rows of the embedding */
/* Adds keys and tensors for a file; h must live until gguf_write is through. */
struct hf_convert {
    int mix;                                                                /* mix_by_name; -1: element types as they are */
    struct pool *pool;                                                      /* NULL: one thread */
    int (*progress)(void *ud, const char *tensor, int64_t done, int64_t total); /* in elements; not 0 stops; may be NULL */
    void *ud;
};
int hf_put_gguf(struct hf *h, struct gguf_writer *w, const struct hf_convert *how, ilab_err *e);
int hf_to_gguf(struct gguf **out, struct hf *h, ilab_err *e);               /* the view; owns h on success */
int hf_shapes(struct gguf **out, struct hf *h, ilab_err *e);                /* the same at no cost, but weights may not be read */
/* What `ilab model info` shows of a file or directory, as JSON; also of one that cannot be run (describe.c). n_ctx: for the memory
 * figures; 0: the model's, at most 4096. NULL on error. */
json_t *model_describe(const char *path, int n_ctx, ilab_err *e);
/* The way back (hf_export.c): config.json, generation_config.json, tokenizer files and safetensors of about shard_bytes each
 * (0: one file) into dir; type: QT_F32, QT_F16 or QT_BF16, -1: as stored where that is one of them, else F16. */
struct hf_export { int type; uint64_t shard_bytes; struct pool *pool; int (*progress)(void *ud, const char *tensor, int64_t done, int64_t total); void *ud; };
int hf_export(const struct gguf *g, const char *dir, const struct hf_export *how, ilab_err *e);

#endif
