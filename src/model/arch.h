/* arch.h — inside of layer 3 `model`: the table of architectures and the table of tensors.
 *
 * An architecture is a row: its name (and the prefix of its keys), the kinds that are not in the file, the keys it reads, and
 * which rows of the table of tensors its files hold. Code outside arch.c sees features, never names.
 * Names follow llama.cpp's GGUF conventions (gguf-py/gguf/constants.py, src/llama-arch.cpp).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_MODEL_ARCH_H
#define ILAB_MODEL_ARCH_H

#include "model/model.h"

#include <math.h>

/* Rows of the table of tensors, in the order of model_each_tensor. */
enum weight_kind {
    W_EMBEDDING, W_POSITIONS, W_TOKEN_TYPES, W_EMBEDDING_NORM, W_EMBEDDING_NORM_BIAS, W_ROPE_FREQS, W_ROPE_LONG, W_ROPE_SHORT,
    W_BLOCK, /* from here to W_BLOCK_END: once a layer */
    W_ATTN_NORM = W_BLOCK, W_ATTN_NORM_BIAS, W_QKV, W_QKV_BIAS, W_Q, W_Q_BIAS, W_K, W_K_BIAS, W_V, W_V_BIAS,
    W_Q_NORM_HEAD, W_K_NORM_HEAD, W_Q_NORM_WIDE, W_K_NORM_WIDE, W_O, W_O_BIAS, W_ATTN_POST_NORM,
    W_ATTN_OUT_NORM, W_ATTN_OUT_NORM_BIAS, W_FFN_NORM, W_FFN_NORM_BIAS, W_GATE_UP, W_GATE, W_GATE_BIAS, W_UP, W_UP_BIAS, W_DOWN, W_DOWN_BIAS,
    W_ROUTER, W_GATE_EXPERTS, W_UP_EXPERTS, W_DOWN_EXPERTS, W_SHARED_ROUTER, W_GATE_SHARED, W_UP_SHARED, W_DOWN_SHARED,
    W_FFN_POST_NORM, W_LAYER_OUT_NORM, W_LAYER_OUT_NORM_BIAS,
    W_BLOCK_END,
    W_OUTPUT_NORM = W_BLOCK_END, W_OUTPUT_NORM_BIAS, W_OUTPUT,
    W_COUNT
};
enum weight_use {
    USE_NEVER, USE_ALWAYS, USE_MAYBE,
    USE_DENSE, USE_DENSE_MAYBE, /* in models without experts */
    USE_EXPERTS,                /* in models with experts */
    USE_SHARED                  /* in models with a shared expert */
};
/* Keys that not every architecture has; a file of another one that holds such a key (not 0, not 1) is refused by name. */
enum {
    READ_SCALES = 1, READ_ATTN_SCALE = 2, READ_SOFTCAP = 4, READ_WINDOW = 8, READ_EXPERTS = 16, READ_SHARED = 32,
    READ_FF_IS_SUM = 64,     /* without a key of its own an expert's width is feed_forward_length / expert_used_count, not all of it */
    READ_SHARED_IS_FF = 128, /* … and the shared expert's is feed_forward_length */
    READ_ROPE_SWITCH = 256   /* rope.scaling.finetuned = false: no rotary embedding */
};
struct arch {
    const char *name;                       /* general.architecture and the prefix of its keys */
    struct hparams preset;                  /* kinds, and numbers where the file has no key */
    unsigned reads;
    uint8_t use[W_COUNT];
};
extern const struct arch ARCHS[];
extern const int N_ARCHS;

const struct arch *arch_named(struct sv name);                              /* NULL: none */
/* Reads and checks hparams; spends no memory. */
int arch_read_hparams(const struct gguf *g, const struct arch **arch, struct hparams *hp, ilab_err *e);
int hparams_check(const struct hparams *hp, ilab_err *e);
/* window and rope of each layer; g NULL: a model without a file. */
void arch_layers(const struct gguf *g, const struct arch *a, const struct hparams *hp, struct layer *layer);

/* ---- tensors.c ---- */
/* Checks that the file (NULL: a model without one) holds exactly the tensors of the row in their shapes, and lists them in out
 * (NULL: only counts). Spends no memory. */
int weights_list(const struct gguf *g, const struct arch *a, const struct hparams *hp, struct weight *out, int *n, ilab_err *e);
/* Sets the fields of the model that weight i is seen through. */
void weight_bind(struct model *m, int i);
/* Never quantised: vectors, routers, tables of positions and types. */
int weight_keeps_f32(const struct weight *w);
int weight_is_parameter(const struct weight *w);                            /* not a constant of the rotary embedding */
/* What of a layer an adapter can change lies in this tensor as rows: kind[i] (enum linear_kind, adapted_kind) begins at row row0[i];
 * returns their number (≤ 3). */
int weight_adapted(const struct hparams *hp, const struct weight *w, int kind[3], int64_t row0[3]);
/* The matrix {in, out} or the experts' matrices {in, out, E}; NULL: this layer has none. */
const struct tensor *adapted_tensor(const struct model *m, int layer, int kind);
/* dim of a linear layer as {in, out}. */
void linear_dims(const struct hparams *hp, int kind, int64_t dim[2]);
/* The name of a block's tensor: blk.<layer>.<what>.weight */
void block_tensor_name(char out[128], int layer, const char *what);

/* ---- adapter.c, for the readers and writers of adapter files ---- */
enum { MAX_RANK = 4096 };
/* plan[n_layer · ADAPT_COUNT]: on, rank, scale and a_of count; matrices are found in m. A and B are not set. */
int adapter_alloc(struct adapter **out, const struct model *m, float alpha, int rslora, const struct lora *plan, ilab_err *e);
/* Sets a_of of what is on and lies in one tensor of the model, so that the parts share an A. */
void adapter_share_fused(const struct model *m, struct lora *plan);
static inline float lora_scale(float alpha, int rank, int rslora) /* alpha 0 means unscaled, as in llama.cpp */
{
    return alpha == 0 ? 1.0f : alpha / (rslora ? sqrtf((float)rank) : (float)rank);
}

#endif
