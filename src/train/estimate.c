/* estimate.c — what a run will need: memory by buffer from the same plan that allocates, time from two real steps on copies
 * (more where they are short). The first one also brings weights and buffers into memory; it counts once.
 *
 * The machine's peak is measured, not looked up: the product's own tile kernel on operands that stay in L1, all threads at once.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/plan.h"

#include <string.h>

enum { PEAK_K = 128, PEAK_ROWS = 16, LEAST_STEPS = 2, MOST_STEPS = 40 };
static const double PEAK_SECONDS = 0.02, LEAST_SECONDS = 1 /* of measuring, where steps are short */, WRITE_BYTES_A_SECOND = 4e8;

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

/* What measuring holds, and what it gave. */
struct measured { struct packing *p; struct tape *tape; struct optim *optim; float *kept; double first, first_work, rest, rest_work, rows, seconds, joules; };

/* One step as the run would do it; *rows, *work. */
static int one_step(struct measured *s, const struct model *m, const struct adapter *ad, const struct train_opts *o, int i_batch, double *rows, double *work, ilab_err *e) {
    float scale = (float)(1.0 / packing_weight(s->p, 0, i_batch));
    double sum = 0, weight = 0;
    *rows = *work = 0;
    int64_t end[SPANS_MAX], first_row;
    const int n_span = packing_spans(s->p, 0, i_batch, tape_span_count(ad), end, &first_row);
    tape_spans(s->tape, n_span, end, first_row);
    tape_zero_grad(s->tape);
    for (int k = 0; k < packing_n_micro(s->p, 0, i_batch); k++) {
        struct batch b;
        struct targets y;
        double squares = 0;
        packing_micro(s->p, 0, i_batch, k, &b, &y);
        int rc = tape_step(s->tape, &b, &y, &o->loss, scale, 1, &sum, &weight, e);
        if (rc)
            return rc;
        for (int j = 0; j < b.n_seg; j++)
            squares += segment_squares(&b.seg[j]);
        *rows += b.n_row;
        *work += run_flops(m, ad, b.n_row, squares, y.n);
    }
    tape_finish_grad(s->tape);
    optim_step(s->optim, 0);
    return 0;
}

static int measure(struct measured *s, const struct model *m, const struct adapter *ad, const struct train_opts *o, ilab_err *e) {
    const int n_batch = packing_n_batches(s->p, 0);
    double joules = 0;
    const int reports = !energy_joules(&joules);
    const double begin = now_seconds();
    for (int i = 0; i < MOST_STEPS && (i < LEAST_STEPS || s->first + s->rest < LEAST_SECONDS); i++) {
        double rows, work, t0 = now_seconds();
        if (signal_pending())
            return err_set(e, ILAB_E_CANCEL, "stopped");
        int rc = one_step(s, m, ad, o, i % n_batch, &rows, &work, e);
        if (rc)
            return rc;
        *(i ? &s->rest : &s->first) += now_seconds() - t0;
        *(i ? &s->rest_work : &s->first_work) += work;
        s->rows += rows;
    }
    s->seconds = now_seconds() - begin;
    if (reports && !energy_joules(&s->joules))
        s->joules -= joules;
    return 0;
}

/* Work of all steps: epochs of equal size, the part below the adapter only once where its result is kept. */
static double work_total(const struct model *m, const struct adapter *ad, const struct epoch_rows *r, double targets, const struct train_plan *p, double epochs) {
    const double all = run_flops(m, ad, r->rows, r->squares, targets), below = p->states == STATES_OFF ? 0 : work_below(m, ad, r->rows, r->squares);
    return epochs * all - (epochs > 1 ? (epochs - 1) * below : 0);
}

static void fill(struct train_estimate *out, const struct measured *s, const struct model *m, const struct adapter *ad, const struct dataset *d,
                 const struct train_plan *p, const struct train_opts *o, struct gemm_ctx *g) {
    const size_t n_param = ad ? ad->n_params : m->n_params;
    out->steps = run_total_steps(s->p, o);
    const double epochs = (double)out->steps / packing_n_batches(s->p, 0);
    const struct epoch_rows rows = packing_epoch_rows(s->p, 0);
    out->tokens = (int64_t)(epochs * rows.rows);
    out->sample_tokens = (double)packing_n_rows(s->p);
    out->share_saved = out->sample_tokens - rows.rows;
    if (s->seconds <= 0)
        return;
    /* The first step is slower than the others by what it reads and touches; when it is not, that was noise. */
    const double slow = s->first / s->first_work, steady = s->rest / s->rest_work, a_work = slow < steady ? (s->first + s->rest) / (s->first_work + s->rest_work) : steady;
    const double work = work_total(m, ad, &rows, work_of(d).targets, p, epochs), seconds = work * a_work + (slow > steady ? s->first - s->first_work * steady : 0);
    const double save = 3.0 * sizeof(float) * (double)n_param / WRITE_BYTES_A_SECOND, saves = o->checkpoint_seconds > 0 ? seconds / o->checkpoint_seconds + 1 : 1;
    out->seconds_total = seconds + save * saves;
    out->tokens_per_s = (double)out->tokens / seconds;
    const double peak = measure_peak(g);
    out->share_of_peak = peak > 0 ? 1 / a_work / peak : 0;
    out->joules = s->joules > 0 ? s->joules / s->seconds * out->seconds_total : 0;
    /* Measured; but the steps had neither the hidden states of all samples, nor the run a copy of the weights. */
    const size_t kept = s->kept ? n_param * sizeof(float) : 0, measured = mem_peak_rss();
    out->peak_rss_bytes = (measured > kept ? measured - kept : 0) + (p->states == STATES_RAM ? p->states_bytes : 0);
}

int train_estimate(struct gemm_ctx *g, struct model *m, const struct tokenizer *t, const struct dataset *d, const struct train_opts *o,
                   struct train_estimate *out, ilab_err *e) {
    (void)t;
    struct adapter *ad = NULL;
    struct measured s = { 0 };
    struct train_plan plan = { 0 };
    *out = (struct train_estimate){ 0 };
    if (o->full && !m->params)
        return err_set(e, ILAB_E_INVALID, "model '%s' was not opened for training of all weights", m->name);
    int rc = o->full ? 0 : train_adapter(&ad, m, o, e);
    if (!rc)
        rc = plan_make(&plan, g, m, ad, d, NULL, o, e);
    if (!rc)
        rc = packing_new(&s.p, d, plan.batch, plan.micro, o->seed, e);
    if (!rc)
        rc = packing_share(s.p, plan.share.mode, plan.share.unit, e);
    if (rc)
        goto done;
    const size_t n_param = ad ? ad->n_params : m->n_params;
    memcpy(out->row, plan.row, sizeof plan.row);
    out->n_row = plan.n_row;
    out->peak_rss_bytes = out->total_bytes = plan.total;
    out->micro_tokens = plan.micro;
    out->recomputed_layers = plan.tape.recompute > 1 ? plan.tape.recompute - 1 : 0;
    out->states = plan.states;
    out->streams = plan.file_budget > 0;
    struct sb words;
    sb_init(&words, sizeof out->choices - 1);
    plan_describe(&plan, &words);
    snprintf(out->choices, sizeof out->choices, "%s", words.p ? words.p : "");
    sb_release(&words);
    plan_warn(&plan, m);
    if (plan.total <= mem_available() + mem_rss(NULL, NULL) || !mem_available()) { /* else measuring would fail: the caller says so */
        if (o->full && !(s.kept = mem_alloc(n_param * sizeof(float))))
            rc = err_set(e, ILAB_E_NOMEM, "no memory for a copy of the weights");
        if (!rc && s.kept)
            memcpy(s.kept, m->params, n_param * sizeof(float));
        if (!rc)
            rc = model_rope_reserve(m, plan.longest, e);
        if (!rc)
            rc = plan_open(&plan, m, e);
        if (!rc)
            rc = path_decide(g, m, ad, d, o, NULL, 0, &plan, &out->paths, e);
        if (!rc)
            rc = tape_new_with(&s.tape, g, m, ad, plan.max_row, plan.max_target, &plan.tape, e);
        if (!rc)
            tape_set_path(s.tape, out->paths.chosen);
        if (!rc) {
            struct param *param;
            int n = tape_params(s.tape, &param);
            rc = optim_new(&s.optim, g, param, n, &o->optim, e);
        }
        if (!rc)
            rc = measure(&s, m, ad, o, e);
    }
    if (!rc)
        fill(out, &s, m, ad, d, &plan, o, g);
    if (s.kept)
        memcpy(m->params, s.kept, n_param * sizeof(float));
done:
    mem_free(s.kept);
    optim_free(s.optim);
    tape_free(s.tape);
    plan_close(&plan);
    packing_free(s.p);
    adapter_free(ad);
    return rc;
}
