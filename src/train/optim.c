/* optim.c — AdamW over fixed blocks, and the schedules of the learning rate.
 *
 * Parameters are cut into blocks of BLOCK elements once; threads take whole blocks. The gradient's norm is the sum of the blocks'
 * sums in block order, in double. So a step's result does not depend on the number of threads.
 * Adafactor is another file (optim_adafactor.c). AdamW: Loshchilov, Hutter 2019 (decoupled decay). WSD: Hu et al. 2024 (MiniCPM): constant rate, then a short decay, so that a run
 * can be lengthened from its constant part.  SPDX-License-Identifier: Apache-2.0 */
#include "train/optim_adafactor.h"
#include "train/run.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 1 << 15 };

struct block { int i_param; size_t at /* in the param */, moment; int n; double squares; };
struct optim {
    struct gemm_ctx *g;
    struct optim_opts opts;
    const struct param *param;
    struct block *block; int n_block;
    float *m, *v; size_t n;                  /* one block of 2 n floats */
    uint16_t *m16;                           /* OPTIM_BF16: the same block holds 2 n halves, and nothing else */
    struct adafactor *adafactor;            /* instead of m and v */
    int64_t step;
    float g_scale, lr_t, eps_t, lr_decay;   /* of the step that runs */
};

float schedule_lr(const struct schedule_opts *s, float lr, int64_t step) {
    if (step < s->warmup_steps)
        return (float)((double)lr * (double)(step + 1) / (double)s->warmup_steps);
    if (s->kind == SCHEDULE_CONSTANT || s->total_steps <= s->warmup_steps)
        return lr;
    double begin = (double)s->warmup_steps, end = (double)s->total_steps;
    if (s->kind == SCHEDULE_WSD) {
        double decay = floor(end * (1.0 - (double)s->decay_share));
        begin = decay > begin ? decay : begin;
    }
    double x = end > begin ? ((double)step - begin) / (end - begin) : 0;
    x = x < 0 ? 0 : x > 1 ? 1 : x;
    double low = (double)s->final_share, share = s->kind == SCHEDULE_COSINE
        ? low + (1 - low) * 0.5 * (1 + cos(x * 3.14159265358979323846)) : 1 - (1 - low) * x;
    return (float)((double)lr * share);
}

static size_t moment_bytes(const struct optim_opts *o, size_t n) { return 2 * n * (o->storage == OPTIM_BF16 ? sizeof(uint16_t) : sizeof(float)); }
static size_t blocks_of(size_t n) { return (n + BLOCK - 1) / BLOCK; }

size_t optim_bytes(const struct param *p, int n_param, const struct optim_opts *o) {
    size_t n = 0, n_block = 0;
    for (int i = 0; i < n_param; i++) {
        n += p[i].n;
        n_block += blocks_of(p[i].n);
    }
    return n_block * sizeof(struct block) + (o->kind == OPTIM_ADAFACTOR ? adafactor_bytes(p, n_param) : moment_bytes(o, n));
}

int optim_new(struct optim **out, struct gemm_ctx *g, const struct param *p, int n_param, const struct optim_opts *o, ilab_err *e) {
    *out = NULL;
    /* A second moment that shrinks by less than half of BF16's last digit a step would never shrink. */
    if (o->storage == OPTIM_BF16 && (o->kind != OPTIM_ADAMW || o->beta2 > 0.99f))
        return err_set(e, ILAB_E_INVALID, "moments in BF16 are AdamW's, with beta2 of at most 0.99");
    struct optim *op = mem_calloc(1, sizeof *op);
    if (!op)
        return err_set(e, ILAB_E_NOMEM, "no memory for the optimiser");
    op->g = g;
    op->opts = *o;
    op->param = p;
    size_t n_block = 0;
    for (int i = 0; i < n_param; i++) {
        op->n += p[i].n;
        n_block += blocks_of(p[i].n);
    }
    op->block = n_block <= INT32_MAX ? mem_calloc(n_block ? n_block : 1, sizeof *op->block) : NULL;
    op->m = o->kind == OPTIM_ADAFACTOR ? NULL : mem_aligned(moment_bytes(o, op->n));
    if (op->block && o->kind == OPTIM_ADAFACTOR)
        (void)adafactor_new(&op->adafactor, g, p, n_param, NULL);
    if (!op->block || (!op->m && !op->adafactor)) {
        size_t n = op->n;
        optim_free(op);
        return err_set(e, ILAB_E_NOMEM, "no memory for the moments of %zu parameters", n);
    }
    op->v = op->m && o->storage == OPTIM_F32 ? op->m + op->n : NULL;
    op->m16 = o->storage == OPTIM_BF16 ? (uint16_t *)op->m : NULL;
    size_t moment = 0;
    for (int i = 0; i < n_param; i++)
        for (size_t at = 0; at < p[i].n; at += BLOCK) {
            int n = (int)(p[i].n - at < BLOCK ? p[i].n - at : BLOCK);
            op->block[op->n_block++] = (struct block){ .i_param = i, .at = at, .moment = moment, .n = n };
            moment += (size_t)n;
        }
    *out = op;
    return 0;
}

void optim_free(struct optim *o) {
    if (!o)
        return;
    mem_free(o->block);
    mem_free(o->m);
    adafactor_free(o->adafactor);
    mem_free(o);
}

struct optim_view optim_view(struct optim *o) {
    if (o->adafactor) {
        struct optim_view view = { .step = &o->step };
        view.state = adafactor_state(o->adafactor, &view.n);
        return view;
    }
    return (struct optim_view){ .state = o->m, .n = moment_bytes(&o->opts, o->n) / sizeof(float), .step = &o->step };
}

static void squares_task(void *ud, int i, int i_thread) {
    (void)i_thread;
    struct optim *o = ud;
    struct block *b = &o->block[i];
    b->squares = gemm_kern(o->g)->sum_squares(o->param[b->i_param].g + b->at, b->n);
}

/* The moments of a block as F32 for a moment; an element's bits do not depend on the pieces. */
static void update_halves(const struct optim *o, const struct block *b, const struct param *p) {
    enum { PIECE = 1024 };
    const struct qtype_info *q = qtype_info(QT_BF16);
    float m[PIECE], v[PIECE];
    for (int at = 0; at < b->n; at += PIECE) {
        const int n = b->n - at < PIECE ? b->n - at : PIECE;
        uint16_t *m16 = o->m16 + b->moment + at, *v16 = m16 + o->n;
        const size_t w = b->at + (size_t)at;
        q->dequantize(m, m16, n);
        q->dequantize(v, v16, n);
        gemm_kern(o->g)->adamw(p->w + w, m, v, p->g + w, n, o->g_scale, o->lr_t, o->opts.beta1, o->opts.beta2, o->eps_t, p->decay ? o->lr_decay : 0.0f);
        q->quantize(m16, m, n);
        q->quantize(v16, v, n);
    }
}

static void update_task(void *ud, int i, int i_thread) {
    (void)i_thread;
    struct optim *o = ud;
    const struct block *b = &o->block[i];
    const struct param *p = &o->param[b->i_param];
    if (o->m16) {
        update_halves(o, b, p);
        return;
    }
    gemm_kern(o->g)->adamw(p->w + b->at, o->m + b->moment, o->v + b->moment, p->g + b->at, b->n, o->g_scale, o->lr_t,
                           o->opts.beta1, o->opts.beta2, o->eps_t, p->decay ? o->lr_decay : 0.0f);
}

double optim_step(struct optim *o, float lr) {
    pool_run(gemm_pool(o->g), squares_task, o, o->n_block);
    double sum = 0;
    for (int i = 0; i < o->n_block; i++)
        sum += o->block[i].squares;
    double norm = sqrt(sum);
    if (!isfinite(norm))
        return norm;                     /* nothing good can come of it: weights and moments stay as they are */
    o->step++;
    double c1 = 1 - pow((double)o->opts.beta1, (double)o->step), c2 = 1 - pow((double)o->opts.beta2, (double)o->step);
    float clip = o->opts.clip_norm;
    o->g_scale = clip > 0 && norm > (double)clip ? (float)((double)clip / norm) : 1.0f;
    o->lr_t = (float)((double)lr * sqrt(c2) / c1);
    o->eps_t = (float)((double)o->opts.eps * sqrt(c2));
    o->lr_decay = lr * o->opts.weight_decay;
    if (o->adafactor)
        adafactor_step(o->adafactor, o->g_scale, lr, o->lr_decay, o->step);
    else
        pool_run(gemm_pool(o->g), update_task, o, o->n_block);
    return norm;
}
