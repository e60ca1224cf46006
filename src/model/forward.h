/* forward.h — what the files of the forward pass share. Private to `model`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_MODEL_FORWARD_H
#define ILAB_MODEL_FORWARD_H

#include "model/model.h"

/* One layer over one batch. */
struct layer_job {
    struct gemm_ctx *g;
    const struct kern *k;
    const struct model *m;
    const struct layer *w;
    const struct adapter *ad;
    const struct lora *lo;       /* [ADAPT_COUNT] of this layer, or NULL */
    const struct batch *b;
    const struct layer_acts *a;
    float *y;                    /* [T,C] the layer's output; NULL: not wanted */
    int layer, kv_layer;
};

/* Products that share their input x, on all threads at once; adapters after them, in order: of parts that share an A the first comes first. */
struct product { const struct linear *w; float *y; int load, kind; };
void products_run(const struct layer_job *j, const struct product *p, int n, const float *x);
static inline struct product layer_product(const struct layer_job *j, int kind, float *y, int load)
{
    return (struct product){ &j->w->lin[kind], y, load, kind };
}
/* y += (scale · x Aᵀ) Bᵀ, nothing where the kind is not adapted. */
void lora_inner(const struct layer_job *j, int kind, const float *x); /* the bracket alone, which is kept in a->lora_h */
void lora_add(const struct layer_job *j, int kind, const float *x, float *y);
struct tensor f32_matrix(const float *data, int64_t rows, int64_t cols);
void norm_row(const struct kern *k, const struct hparams *hp, float *y, float *inv_rms, const float *x, const float *w, const float *bias, int n);
/* Does the output of a block go straight into the residual sum (as the starting value of its last product)? */
static inline int adds_directly(const struct hparams *hp)
{
    return (hp->norm_place == NORM_PRE || hp->norm_place == NORM_SUM) && (hp->residual_scale == 0 || hp->residual_scale == 1);
}
static inline int normed_before(const struct hparams *hp) { return hp->norm_place == NORM_PRE || hp->norm_place == NORM_PRE_POST; }
/* out = x + scale·norm(branch + bias), or, when the block has added itself already, norm(out): the end of a block. inv_rms (NULL allowed): of the norm. */
struct block_end { const float *x; float *out, *branch; const float *bias, *norm, *norm_bias; float *inv_rms; };
void block_end(const struct layer_job *j, const struct block_end *s);

void attention_block(const struct layer_job *j);                       /* a->x → a->x_mid */
void feed_forward_block(const struct layer_job *j);                    /* a->x_mid → y */
/* gate and up of n rows → act (may be gate), with biases (or NULL). */
void activate(const struct kern *k, const struct hparams *hp, float *act, float *gate, float *up, const float *gate_bias, const float *up_bias,
              int n_row, int width);
/* out (+)= the experts' weighted sum; load 0: overwrites. */
void experts_forward(const struct layer_job *j, const float *x, float *out, int load);
void experts_plan(struct moe_acts *a, const struct hparams *hp, int n_row, int rank, int keep, struct arena *mem);

#endif
