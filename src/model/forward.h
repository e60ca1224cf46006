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
    const struct lora *lo;       /* [LIN_COUNT] of this layer, or NULL */
    const struct batch *b;
    const struct layer_acts *a;
    float *y;                    /* [T,C] the layer's output; NULL: not wanted */
    int layer, kv_layer;
};

/* Products that share their input x, on all threads at once; adapters after them. */
struct product { const struct linear *w; const struct lora *lo; float *y; int load; float *h; };
void products_run(const struct layer_job *j, const struct product *p, int n, const float *x);
/* h = scale · x Aᵀ. */
void lora_inner(struct gemm_ctx *g, const struct lora *lo, int rank, float scale, const float *x, int n_row, float *h);
static inline struct product layer_product(const struct layer_job *j, int kind, float *y, int load)
{
    return (struct product){ &j->w->lin[kind], j->lo ? j->lo + kind : NULL, y, load, j->a->lora_h[kind] };
}
void norm_row(const struct kern *k, const struct hparams *hp, float *y, float *inv_rms, const float *x, const float *w, const float *bias, int n);
/* Does the output of a block go straight into the residual sum (as the starting value of its last product)? */
static inline int adds_directly(const struct hparams *hp)
{
    return (hp->norm_place == NORM_PRE || hp->norm_place == NORM_SUM) && (hp->residual_scale == 0 || hp->residual_scale == 1);
}
static inline int normed_before(const struct hparams *hp) { return hp->norm_place == NORM_PRE || hp->norm_place == NORM_PRE_POST; }
/* out = x + scale·norm(branch + bias), or, when the block has added itself already, norm(out): the end of a block. */
void block_end(const struct layer_job *j, const float *x, float *out, const float *bias, const float *norm, const float *norm_bias);

void attention_block(const struct layer_job *j);                       /* a->x → a->x_mid */
void feed_forward_block(const struct layer_job *j);                    /* a->x_mid → y */
/* gate and up of n rows → act (may be gate), with biases (or NULL). */
void activate(const struct kern *k, const struct hparams *hp, float *act, float *gate, float *up, const float *gate_bias, const float *up_bias,
              int n_row, int width);
/* out (+)= the experts' weighted sum; load 0: overwrites. */
void experts_forward(const struct layer_job *j, const float *x, float *out, int load);
void experts_plan(struct moe_acts *a, const struct hparams *hp, int n_row, struct arena *mem);

#endif
