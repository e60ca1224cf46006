/* tape.h — inside of layer 4 `train`: what tape.c, backward.c and loss.c share.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TRAIN_TAPE_H
#define ILAB_TRAIN_TAPE_H

#include "train/train.h"

enum {
    LOSS_CHUNK = 256 /* target rows that have logits at the same time, at most */, LOSS_CHUNK_LEAST = 32, LOSS_FLOATS = 1 << 24 /* their logits, about */,
    VOCAB_PART = 8192 /* tokens whose exponentials are summed together: part of the order of accumulation (loss.c) */
};

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
    struct states *states; const uint32_t *sample, *part_sample; uint32_t sample0; /* tape_set_states */
    int32_t *miss_id; struct segment *miss_seg; int *miss; /* [T] segments whose states are not kept */
    int64_t rows_kept;               /* rows that did not have to be computed below `lowest` */
    double below_seconds;            /* spent there */
    float *x_out;                    /* [T,C] output of the last layer */
    float *page_mem; void **page; int n_page;
    void **tree_page;                /* page lists of segments that go on from a shared beginning: its pages, then their own */
    struct segment *seg;             /* [T] the part of the batch that is worked on */
    /* Gradients of activations, for one layer at a time. */
    float *dx;                       /* [T,C] residual stream */
    float *dnorm;                    /* [T,C] */
    float *dact, *dgate, *dup;       /* [T,F]; of experts [max_row,F] */
    float *datt, *dq;                /* [T,H·D] */
    float *dk, *dv;                  /* [T,Hkv·D] */
    float *dq_raw, *dk_raw;          /* before the norms of q and k; NULL without */
    float *dh;                       /* [T,R] */
    float *drop_x, *drop_dx;         /* [T or max_row, widest in] what dropout leaves of x, and its gradient; NULL without */
    int drop_on; uint64_t drop_seed; /* tape_dropout */
    int64_t rows_seen, row0, first_row; /* rows of the batch in earlier calls of tape_step, before the part at hand, of other processes */
    int n_span; int64_t span_end[SPANS_MAX]; /* tape_spans */
    int layer;                       /* whose backward pass runs */
    /* Mixtures of experts (backward_moe.c); max_row: experts_max_row. */
    struct {
        float *x, *dy;               /* [max_row,C] the rows of some experts */
        float *act;                  /* [max_row,F] */
        float *dx;                   /* [T·U,C] by sorted place */
        float *share;                /* [T·U] weight times its gradient, by sorted place */
        float *dprob;                /* [T,E] of the router's logits */
        float *dopen;                /* [T] of the shared expert's gate, before its sigmoid */
    } moe;
    /* Loss. */
    int n_part, held;                /* parts of the vocabulary; tokens that have logits at the same time: all, or VOCAB_PART */
    int32_t *row;                    /* [chunk] */
    float *logits;                   /* [chunk,held] */
    float *capped;                   /* [chunk,held] a copy of capped logits; NULL without a cap */
    struct vocab_part *part;         /* [chunk,n_part] */
    struct row_known *known;         /* [chunk] */
    float *out_norm, *out_inv_rms, *dout_norm; /* [chunk,C], [chunk], [chunk,C] */
    double *row_loss;                /* [chunk] */
    float *tell;                     /* tape_tell_losses */
    /* Parameters' gradients: one block, laid out as the block of the parameters. */
    const float *params;             /* m->params or ad->params */
    size_t n_params;
    float *grad, *span_grad[SPANS_MAX]; /* of each span; the first is grad, where they add up */
    float *lookup_grad;              /* [V,C] tied full training: see tape_finish_grad */
    struct param *param; int n_param;
};

/* For the next tape_step: hidden states below the adapter are taken from s, or computed and given to it. sample0 + sample[i]: segment i's
 * number there. */
struct states;
void tape_set_states(struct tape *t, struct states *s, const uint32_t *sample, uint32_t sample0);
int64_t tape_rows_kept(const struct tape *t);
double tape_below_seconds(const struct tape *t);                    /* of all forward passes below the lowest adapted layer, so far */
/* The next tape_step writes each target's cross-entropy to loss[0 … y->n), −1 where another token was likelier. */
void tape_tell_losses(struct tape *t, float *loss);

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
/* One layer's way back. */
struct layer_back {
    struct tape *t;
    const struct batch *b;
    const struct layer *w;
    const struct layer_acts *a;
    const struct lora *lo;           /* [ADAPT_COUNT] of the layer; NULL in full training */
    int layer, n_row;
};
/* dx (+= when load) = dy W (+ LoRA's share); dx NULL: not wanted. Adds the gradients of what is trained of this matrix. lo, kind:
 * its adapter (NULL: none); parts that share an A must be given in order, one after the other. */
void linear_backward(struct tape *t, const struct tensor *w, const struct lora *lo, int kind, const float *x, const float *h,
                     const float *dy, int n_row, float *dx, int load);
/* The same of matrix `expert` of an adapter of experts; h and the rows are that expert's; row: theirs in the batch. */
void expert_backward(struct tape *t, const struct tensor *w, const struct lora *lo, int expert, const int32_t *row, const float *x, const float *h,
                     const float *dy, int n_row, float *dx, int load);
void kind_backward(const struct layer_back *l, int kind, const float *x, const float *dy, float *dx, int load); /* of layer.lin */
/* Is one of the kinds first … last trained? */
int kinds_trained(const struct layer_back *l, int first, int last);
/* t->dx: in, the gradient of the layer's output; out, of its input (when anything below is trained). */
void layer_backward(struct tape *t, const struct batch *b, int layer);
/* From t->dx, the gradient at x_out, down to the lowest layer that is trained (and to the embedding). */
void layers_backward(struct tape *t, const struct batch *b);
void pool_tasks(struct pool *p, pool_task_fn *fn, void *ud, int n);

/* ---- backward_norm.c ---- */
/* dw[c] += Σ_i dy[i,c]·x[row(i),c]·inv_rms[i], i ascending; row NULL: row(i) = i. */
void gain_backward(struct tape *t, float *dw, const float *dy, const float *x, const int32_t *row, const float *inv_rms, int n);
/* dx += through a norm of one row of C numbers. */
void norm_row_backward(const struct tape *t, float *dx, const float *dy, const float *x, const float *w, float inv_rms);
/* t->dx += t->dnorm, through the norm before a block where there is one. */
void input_norm_backward(const struct layer_back *l, const float *w, const float *x, const float *inv_rms);
/* The gradient of a block's output, from t->dx: scaled, and through the norm behind the block; in t->dnorm where that is not t->dx itself. */
const float *branch_gradient(const struct layer_back *l, const float *w, const float *branch, const float *inv_rms);

/* ---- backward_attn.c, backward_ffn.c, backward_moe.c: dy, the gradient of the block's output; t->dnorm: out, that of its input ---- */
void attention_backward(const struct layer_back *l, const float *dy, int want_qkv, int want_input);
void feed_forward_backward(const struct layer_back *l, const float *dy, int want_input);
/* Everything but t->dnorm, for which dy may be needed until here; then experts_input. */
void experts_backward(const struct layer_back *l, const float *x, const float *dy, int want_input);
void experts_input(const struct layer_back *l);                    /* t->dnorm = */
void moe_carve(struct tape *t, struct arena *a);
/* gate and up → their gradients from that of act, n_row rows. */
void activation_backward(const struct tape *t, float *dgate, float *dup, const float *dact, const float *gate, const float *up, int64_t n);

/* ---- loss.c ---- */
struct vocab_part { double rest /* mass beside the soft label's ids, before share */, share /* of all mass */; float z_max, p_max /* 1/Σ exp(z − z_max) */; int top; };
struct row_known { double q_rest, p_rest, on_top; float z_label, z_top[SOFT_TOP]; };
/* Loss and, when backward, t->dx (which must be zero) for targets [first, first + n) of y, whose rows count from row_base. */
void loss_run(struct tape *t, const struct targets *y, int first, int n, int row_base, const struct loss_opts *o, float scale,
              int backward, double *loss_sum, double *weight_sum);

#endif
