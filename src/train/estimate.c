/* estimate.c — what a run will need: memory by buffer from the same plan that allocates, time from two real steps on copies.
 *
 * The machine's peak is measured, not looked up: the product's own tile kernel on operands that stay in L1, all threads at once.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

#include <string.h>

enum { PEAK_K = 128, PEAK_ROWS = 16, PEAK_STEPS = 2 };
static const double PEAK_SECONDS = 0.02;

struct peak { const struct kern *k; float *mem; size_t floats; int n_row, two; double flops[256]; };

static void peak_task(void *ud, int i, int i_thread) {
    (void)i_thread;
    struct peak *p = ud;
    float *a = p->mem + (size_t)i * p->floats, *b = a + PEAK_ROWS * PEAK_K, *b2 = b + PEAK_K * KERN_PANEL, *c = b2 + PEAK_K * KERN_PANEL;
    int n_col = p->two ? 2 * KERN_PANEL : KERN_PANEL;
    double begin = now_seconds(), spent = 0;
    int64_t n = 0;
    while (spent < PEAK_SECONDS) {
        for (int j = 0; j < 64; j++, n++)
            p->k->gemm_tile(c, 2 * KERN_PANEL, 0, a, PEAK_K, 1, b, p->two ? b2 : NULL, KERN_PANEL, p->n_row, n_col, PEAK_K);
        spent = now_seconds() - begin;
    }
    p->flops[i] = 2.0 * (double)n * p->n_row * n_col * PEAK_K / spent;
}

/* FMA rate of all threads in flop/s: the best of a few tile shapes. */
static double measure_peak(struct gemm_ctx *g) {
    struct pool *pool = gemm_pool(g);
    int n = pool ? pool_threads(pool) : 1;
    struct peak p = { .k = gemm_kern(g), .floats = PEAK_ROWS * PEAK_K + 2 * PEAK_K * KERN_PANEL + PEAK_ROWS * 2 * KERN_PANEL };
    n = n > (int)ARRAY_LEN(p.flops) ? (int)ARRAY_LEN(p.flops) : n;
    p.mem = mem_aligned((size_t)n * p.floats * sizeof(float));
    double best = 0;
    for (p.n_row = 4; p.mem && p.n_row <= 14; p.n_row++)
        for (p.two = 0; p.two < 2; p.two++) {
            double sum = 0;
            pool_run(pool, peak_task, &p, n);
            for (int i = 0; i < n; i++)
                sum += p.flops[i];
            best = sum > best ? sum : best;
        }
    mem_free(p.mem);
    return best;
}

static void add_row(struct train_estimate *out, const char *what, size_t bytes) {
    if (out->n_row < (int)ARRAY_LEN(out->row))
        out->row[out->n_row++] = (struct plan_row){ .what = what, .bytes = bytes };
    out->total_bytes += bytes;
}

/* Two steps as the run would do them; returns seconds, rows and flop. */
static int measure_steps(struct gemm_ctx *g, struct model *m, struct adapter *ad, struct packing *p, struct tape *t, struct optim *o,
                         const struct train_opts *opts, double *seconds, double *rows, double *flops, ilab_err *e) {
    double begin = now_seconds(), sum = 0, weight = 0;
    (void)g;
    *rows = *flops = 0;
    for (int i = 0; i < PEAK_STEPS && i < packing_n_batches(p, 0); i++) {
        float scale = (float)(1.0 / packing_weight(p, 0, i));
        tape_zero_grad(t);
        for (int k = 0; k < packing_n_micro(p, 0, i); k++) {
            struct batch b;
            struct targets y;
            double squares = 0;
            packing_micro(p, 0, i, k, &b, &y);
            int rc = tape_step(t, &b, &y, &opts->loss, scale, 1, &sum, &weight, e);
            if (rc)
                return rc;
            for (int j = 0; j < b.n_seg; j++)
                squares += (double)b.seg[j].n_row * b.seg[j].n_row;
            *rows += b.n_row;
            *flops += run_flops(m, ad, b.n_row, squares, y.n);
        }
        tape_finish_grad(t);
        optim_step(o, 0);
    }
    *seconds = now_seconds() - begin;
    return 0;
}

int train_estimate(struct gemm_ctx *g, struct model *m, const struct tokenizer *t, const struct dataset *d, const struct train_opts *o,
                   struct train_estimate *out, ilab_err *e) {
    (void)t;
    struct adapter *ad = NULL;
    struct packing *p = NULL;
    struct tape *tape = NULL;
    struct optim *optim = NULL;
    struct data_shape shape;
    float *kept = NULL;
    double seconds = 0, rows = 0, flops = 0;
    *out = (struct train_estimate){ 0 };
    if (o->full && !m->params)
        return err_set(e, ILAB_E_INVALID, "model '%s' was not opened for training of all weights", m->name);
    int rc = data_shape(d, m->hp.n_vocab, &shape, e);
    if (!rc && !o->full)
        rc = adapter_new(&ad, m, o->rank, o->alpha, o->which, o->first_layer, o->seed, e);
    if (!rc)
        rc = packing_new(&p, d, o->batch_tokens > shape.max_row ? o->batch_tokens : shape.max_row,
                         o->micro_tokens > shape.max_row ? o->micro_tokens : shape.max_row, o->seed, e);
    if (rc)
        goto done;
    int max_row = packing_max_row(p), max_target = shape.n_target < (size_t)max_row ? (int)shape.n_target : max_row;
    size_t n_param = ad ? ad->n_params : m->n_params;
    struct plan_row row[12];
    int n = tape_plan(m, ad, max_row, max_target, row, ARRAY_LEN(row));
    add_row(out, o->full ? "weights" : "adapter", n_param * sizeof(float));
    for (int i = 0; i < n && i < (int)ARRAY_LEN(row); i++)
        add_row(out, row[i].what, row[i].bytes);
    add_row(out, "optimiser moments", 2 * n_param * sizeof(float));
    add_row(out, "samples", d->mem.used + d->cap * sizeof *d->v);
    if (out->total_bytes > mem_available() && mem_available())
        goto plan;                               /* the caller says so; measuring would fail */
    if (o->full && !(kept = mem_alloc(n_param * sizeof(float))))
        rc = err_set(e, ILAB_E_NOMEM, "no memory for a copy of the weights");
    if (!rc && kept)
        memcpy(kept, m->params, n_param * sizeof(float));
    if (!rc)
        rc = model_rope_reserve(m, shape.max_row, e);
    if (!rc)
        rc = tape_new(&tape, g, m, ad, max_row, max_target, e);
    if (!rc) {
        struct param *param;
        int n_p = tape_params(tape, &param);
        rc = optim_new(&optim, g, param, n_p, &o->optim, e);
    }
    if (!rc)
        rc = measure_steps(g, m, ad, p, tape, optim, o, &seconds, &rows, &flops, e);
    if (kept)
        memcpy(m->params, kept, n_param * sizeof(float));
plan:
    if (!rc) {
        out->steps = run_total_steps(p, o);
        double share = (double)out->steps / packing_n_batches(p, 0);
        out->tokens = (int64_t)(share * (double)packing_n_rows(p));
        out->tokens_per_s = seconds > 0 ? rows / seconds : 0;
        out->seconds_total = out->tokens_per_s > 0 ? (double)out->tokens / out->tokens_per_s : 0;
        double peak = seconds > 0 ? measure_peak(g) : 0;
        out->share_of_peak = peak > 0 ? flops / seconds / peak : 0;
    }
done:
    mem_free(kept);
    optim_free(optim);
    tape_free(tape);
    packing_free(p);
    adapter_free(ad);
    return rc;
}
