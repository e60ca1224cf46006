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

struct hparams {
    int n_layer, n_embd, n_head, n_kv_head, head_dim, n_ff, n_vocab, n_ctx; /* n_ctx: context_length of the file */
    int rope_dim;
    float norm_eps, rope_base;
    int tied;                                                               /* no output.weight */
};
enum linear_kind { LIN_Q, LIN_K, LIN_V, LIN_O, LIN_GATE, LIN_UP, LIN_DOWN, LIN_COUNT };
extern const char *const LINEAR_NAME[LIN_COUNT];                            /* "attn_q" … as in GGUF: blk.N.<name>.weight */

struct linear { struct tensor w; /* dim = {in, out} */ float *packed; /* panels or NULL */ };
struct layer { struct linear lin[LIN_COUNT]; const float *attn_norm, *ffn_norm; /* [C] */ };
struct arch;                                                                /* a row of ARCHS[] in arch.c */
struct model {
    struct hparams hp;
    const struct arch *arch;
    char name[128];
    struct layer *layer;           /* [n_layer] */
    struct linear embedding;       /* [V, C]; packed when it is also the output */
    struct linear output;          /* the embedding when tied */
    const float *output_norm;      /* [C] */
    float *rope_cos_sin;           /* [rope_n_pos][rope_dim/2][2], grown by model_rope_reserve */
    int rope_n_pos;
    struct gguf *gguf;             /* NULL for a model made from a configuration */
    float *params; size_t n_params;/* MODEL_TRAINABLE: all weights as one F32 block */
    struct arena mem;
    const float *rope_factor;      /* [rope_dim/2] divisors of the rotary frequencies (tensor rope_freqs), or NULL */
    char *path;                    /* file it came from, or NULL */
    char hash[65];                 /* SHA-256 of the file: identity for adapters and servers; computed by model_hash on demand */
};
enum { MODEL_PACK = 1 /* keep F32 panels of all linear layers (fast for small models) */, MODEL_TRAINABLE = 2 /* F32 copies, not packed */ };
/* Takes ownership of g on success. Every tensor's presence and shape is checked. */
int model_open_gguf(struct model **out, struct gguf *g, int flags, struct gemm_ctx *gc, ilab_err *e);
int model_open(struct model **out, const char *path, int flags, struct gemm_ctx *gc, ilab_err *e);
/* Fresh weights: normal, std 0.02 (output projections 0.02/sqrt(2·n_layer)), norms 1. MODEL_TRAINABLE. */
int model_new(struct model **out, const struct hparams *hp, uint64_t seed, ilab_err *e);
void model_free(struct model *m);
const char *model_hash(struct model *m, ilab_err *e);                       /* NULL on error */
/* Architecture, size, tensor types, context, memory: what `ilab model info` prints, as JSON. */
json_t *model_info(const struct model *m);
int model_rope_reserve(struct model *m, int n_pos, ilab_err *e);
/* Walks all weight tensors of the model in file order (names of GGUF). */
typedef int model_tensor_fn(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e);
int model_each_tensor(struct model *m, model_tensor_fn *fn, void *ud, ilab_err *e);
/* Writes arch and hparams keys (llama.* and general.*) for a new file. */
void model_put_gguf(const struct model *m, struct gguf_writer *w);

/* ---- adapters (adapter.c): LoRA (Hu et al. 2021), y += scale · (x Aᵀ) Bᵀ ---- */
struct lora { int on; float *a /* [R, in] */, *b /* [out, R] */; int n_in, n_out; };
struct adapter {
    int rank; float alpha, scale;   /* scale = alpha / rank */
    int n_layer;
    struct lora *lora;              /* [n_layer][LIN_COUNT] */
    char base_hash[65];
    float *params; size_t n_params; /* all A and B as one block, in file order */
};
/* which: bit i on = linear kind i adapted. A is normal(0, 1/sqrt(in)), B zero. */
int adapter_new(struct adapter **out, const struct model *m, int rank, float alpha, unsigned which, int first_layer,
                uint64_t seed, ilab_err *e);
void adapter_free(struct adapter *a);
/* GGUF as llama.cpp reads it: general.type adapter, adapter.type lora, adapter.lora.alpha, <tensor>.lora_a / .lora_b;
 * ilab.base_hash refuses another base. F32 (exact). */
int adapter_write(const struct adapter *a, const struct model *m, const char *path, ilab_err *e);
int adapter_open(struct adapter **out, const char *path, struct model *m, ilab_err *e);
/* Writes base + adapter as one GGUF with linear weights of `type` (QT_F16, QT_F32, …); one tensor at a time. */
int model_write(struct model *m, const struct adapter *a /* NULL */, int type, const char *path,
                void (*more_keys)(void *ud, struct gguf_writer *w), void *ud, ilab_err *e);

/* ---- forward (forward.c) ---- */
/* Rows of a batch belong to segments: consecutive rows of one sequence at consecutive positions. */
struct segment { int row0, n_row, pos0; float *const *page; /* KV pages of the sequence; see kern.h */ };
struct batch { int n_row; const int32_t *id; int n_seg; const struct segment *seg; };
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
    float *lora_h[LIN_COUNT]; /* [T,R] scale · x Aᵀ */
    struct attn_item *item;   /* [T] room for one item a segment */
};
void layer_acts_plan(struct layer_acts *a, const struct hparams *hp, int n_row, int rank, struct arena *mem);
/* Calls fn for blocks of rows on the pool; fn may only write what belongs to its rows. Few rows run here, at once. */
typedef void rows_fn(void *ud, int row0, int row1);
void rows_run(struct pool *pool, rows_fn *fn, void *ud, int n_row);
/* y (may not alias a->x) = layer(a->x). Keys and values of the rows are stored in the segments' pages
 * (kv_layer = layer, or 0 when pages hold one layer), then attention reads the pages. */
void layer_forward(struct gemm_ctx *g, const struct model *m, const struct adapter *ad, int layer, int kv_layer,
                   const struct batch *b, struct layer_acts *a, float *y);
void linear_forward(struct gemm_ctx *g, const struct linear *l, const struct lora *lo, int rank, float scale,
                    const float *x /* [T,in] */, int n_row, float *y /* [T,out] */, float *h /* [T,R] or NULL without adapter */);
void embed_rows(const struct model *m, const int32_t *id, int n_row, float *x /* [T,C] */);
/* logits[i] = output(rmsnorm(x[row[i]])) for n chosen rows; norm and inv_rms: scratch [n,C], [n]. */
void output_logits(struct gemm_ctx *g, const struct model *m, const float *x, const int32_t *row, int n,
                   float *norm, float *inv_rms, float *logits /* [n,V] */);

#endif
