/* tape.h — inside of layer 4 `train`: what tape.c, backward.c and loss.c share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TRAIN_TAPE_H
#define ILAB_TRAIN_TAPE_H

#include "train/train.h"

enum { LOSS_CHUNK = 256 /* target rows that have logits at the same time, at most */, LOSS_CHUNK_LEAST = 32, LOSS_FLOATS = 1 << 24 /* their logits, about */ };

struct tape {
    struct gemm_ctx *g;
    struct model *m;
    struct adapter *ad;              /* NULL: full training */
    int max_row, chunk, rank;
    int lowest;                      /* lowest adapted layer; 0 in full training */
    struct tape_opts o;
    const struct path *path;         /* how products with frozen weights are computed; a row of PATHS */
    struct arena mem;
    /* Activations of the layers from `lowest` on. The first o.recompute of them own their x alone: the rest is `work`, which the
     * others use for what layer_redo makes again when o.lean. */
    struct layer_acts *slot; int n_slot;
    struct layer_acts work;
    int work_layer, redo_layer;      /* whose activations work holds; whose norms. -1: nobody's */
    struct layer_acts below;         /* layers below `lowest` never run backward: they run in place here */
    float *x_out;                    /* [T,C] output of the last layer */
    float *page_mem; void **page; int n_page;
    struct segment *seg;             /* [T] the part of the batch that is worked on */
    /* Gradients of activations, for one layer at a time. */
    float *dx;                       /* [T,C] residual stream */
    float *dnorm;                    /* [T,C] */
    float *dact, *dgate, *dup;       /* [T,F] */
    float *datt, *dq;                /* [T,H·D] */
    float *dk, *dv;                  /* [T,Hkv·D] */
    float *dq_raw, *dk_raw;          /* before the norms of q and k; NULL without */
    float *dh;                       /* [T,R] */
    /* Loss. */
    int32_t *row;                    /* [chunk] */
    float *logits;                   /* [chunk,V] */
    float *out_norm, *out_inv_rms, *dout_norm; /* [chunk,C], [chunk], [chunk,C] */
    double *row_loss;                /* [chunk] */
    /* Parameters' gradients: one block, laid out as the block of the parameters. */
    const float *params;             /* m->params or ad->params */
    size_t n_params;
    float *grad;
    float *lookup_grad;              /* [V,C] tied full training: see tape_finish_grad */
    struct param *param; int n_param;
};

/* ---- recompute.c ---- */
void carve_activations(struct tape *t, struct arena *a);
/* Embedding and all layers, up to t->x_out. backward: activations of the trained layers are kept as t->o says. */
void layers_forward(struct tape *t, const struct batch *b, int backward);
/* The activations of a trained layer, complete; from the top layer downwards. */
void layer_restore(struct tape *t, const struct batch *b, int layer);

/* The gradient of a trained weight. */
static inline float *tape_grad(const struct tape *t, const float *w) { return t->grad + (w - t->params); }
static inline struct layer_acts *tape_acts(const struct tape *t, int layer)
{
    return t->slot + (layer - t->lowest);
}
static inline int tape_full(const struct tape *t) { return !t->ad; }

/* ---- backward.c ---- */
/* dx (+= when load) = dy W (+ LoRA's share); dx NULL: not wanted. Adds the gradients of what is trained of this layer. */
void linear_backward(struct tape *t, const struct linear *l, const struct lora *lo, const float *x, const float *h,
                     const float *dy, int n_row, float *dx, int load);
/* dw[c] += Σ_i dy[i,c]·x[row(i),c]·inv_rms[i], i ascending; row NULL: row(i) = i. */
void gain_backward(struct tape *t, float *dw, const float *dy, const float *x, const int32_t *row, const float *inv_rms, int n);
/* From t->dx, the gradient at x_out, down to the lowest layer that is trained (and to the embedding). */
void layers_backward(struct tape *t, const struct batch *b);

/* ---- loss.c ---- */
/* Loss and, when backward, t->dx (which must be zero) for targets [first, first + n) of y, whose rows count from row_base. */
void loss_run(struct tape *t, const struct targets *y, int first, int n, int row_base, const struct loss_opts *o, float scale,
              int backward, double *loss_sum, double *weight_sum);

#endif
