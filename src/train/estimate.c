/* estimate.c — what a run will need: memory by buffer from the same plan that allocates, time from real steps on copies.
 *
 * One step to warm up (it brings weights and buffers into memory; what it takes longer counts once), then two, or as many as a second
 * holds. Layers below the lowest adapted one have their own pace: where hidden states are kept, they are computed in the first epoch only.
 * The gate and the buffers are timed as they are made, validation counts as forward passes, and where much will be written, the disk is tried.
 * The machine's peak is measured, not looked up: the product's own tile kernel on operands that stay in L1, all threads at once.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/plan.h"
#include "train/tape.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum { PEAK_K = 128, PEAK_ROWS = 16, LEAST_STEPS = 2 /* after the first */, MOST_STEPS = 40, TRIED_BYTES = 1 << 25, MERGE_BYTES = 1 << 25, LARGE_BYTES = 200000000 /* a step takes seconds */ };
static const double PEAK_SECONDS = 0.02, LEAST_SECONDS = 2 /* of measuring, where steps are short */, MERGE_SECONDS = 0.05 /* of trying */;

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
struct measured {
    struct packing *p; struct tape *tape; struct optim *optim; float *kept;
    struct clock clock;
    struct clock_bin first;
    struct pace rest, below, forward;  /* the other steps: all, and the layers below; a pass without gradient */
    double flops /* of rest */, seconds, joules, before;
};

/* A global batch as the run would do it; backward 0: forward only. */
static int one_step(struct measured *s, const struct model *m, const struct adapter *ad, const struct train_opts *o, int i_batch, int backward, struct pace *all, struct pace *below, ilab_err *e) {
    const int n_micro = packing_n_micro(s->p, 0, i_batch);
    float scale = (float)(1.0 / packing_weight(s->p, 0, i_batch));
    double sum = 0, weight = 0, begin = now_seconds(), below_begin = tape_below_seconds(s->tape);
    int64_t end[SPANS_MAX], first_row;
    const int n_span = packing_spans(s->p, 0, i_batch, end, &first_row);
    *all = *below = (struct pace){ 0 };
    tape_spans(s->tape, n_span, end, first_row);
    tape_zero_grad(s->tape);
    for (int k = 0; k < n_micro; k++) {
        struct batch b;
        struct targets y;
        double squares = 0;
        packing_micro(s->p, 0, i_batch, k, &b, &y);
        int rc = tape_step(s->tape, &b, &y, &o->loss, scale, backward, &sum, &weight, e);
        if (rc)
            return rc;
        for (int j = 0; j < b.n_seg; j++)
            squares += segment_squares(&b.seg[j]);
        all->work += run_flops(m, ad, b.n_row, squares, y.n) + s->clock.micro;
        below->work += b.n_row * s->clock.row_below;
    }
    if (backward) {
        tape_finish_grad(s->tape);
        optim_step(s->optim, 0);
    }
    all->seconds = now_seconds() - begin;
    below->seconds = tape_below_seconds(s->tape) - below_begin;
    return 0;
}

/* The batch whose micro-batch has the most rows, and among those the most targets: it needs the most memory. */
static int largest_batch(struct packing *p) {
    double most = -1;
    int at = 0;
    for (int i = 0, n = packing_n_batches(p, 0); i < n; i++)
        for (int k = 0; k < packing_n_micro(p, 0, i); k++) {
            struct batch b;
            struct targets y;
            packing_micro(p, 0, i, k, &b, &y);
            const double size = b.n_row + 1e-6 * y.n;
            at = size > most ? i : at;
            most = size > most ? size : most;
        }
    return at;
}

/* The largest batch, which comes first, is the one to warm up. forward: there are validations. */
static int measure(struct measured *s, const struct model *m, const struct adapter *ad, const struct train_opts *o, int forward, ilab_err *e) {
    const int n_batch = packing_n_batches(s->p, 0), largest = largest_batch(s->p);
    struct pace all, below;
    double joules = 0;
    struct progress line; /* steps of a large model take minutes */
    progress_start(&line, "measuring", LEAST_STEPS + 1, 0);
    line.after = m->gguf && gguf_file_bytes(m->gguf) > LARGE_BYTES ? 0 : 2;
    line.quiet = o->comm && o->comm->rank > 0;
    progress_at(&line, 0, "steps");
    const int reports = !energy_joules(&joules);
    const double begin = now_seconds();
    for (int i = 0; i < MOST_STEPS && (i <= LEAST_STEPS || s->rest.seconds < LEAST_SECONDS); i++) {
        int rc = signal_pending() ? err_set(e, ILAB_E_CANCEL, "stopped") : one_step(s, m, ad, o, i ? (i - 1) % n_batch : largest, 1, &all, &below, e);
        line.total = i < LEAST_STEPS ? line.total : i + 1;
        progress_at(&line, i + 1, "steps");
        if (rc) {
            progress_clear(&line);
            return rc;
        }
        if (!i) {
            s->first = (struct clock_bin){ below, { all.work - below.work, all.seconds - below.seconds } };
            continue;
        }
        s->flops += all.work - packing_n_micro(s->p, 0, (i - 1) % n_batch) * s->clock.micro;
        s->rest.work += all.work, s->rest.seconds += all.seconds;
        s->below.work += below.work, s->below.seconds += below.seconds;
    }
    progress_clear(&line);
    /* All the others together: of so few, none is left out. */
    clock_step(&s->clock, s->rest, s->below);
    s->seconds = now_seconds() - begin;
    if (reports && !energy_joules(&s->joules))
        s->joules -= joules;
    int rc = forward ? one_step(s, m, ad, o, 0, 0, &s->forward, &below, e) : 0;
    s->forward.work /= ad ? 2 : 3;
    return rc;
}

/* Steps, validation, checkpoints, the files of the result, and what the caller does with it. */
static double loop_seconds(struct measured *s, const struct dataset *val, const struct train_plan *p, const struct train_opts *o, double epochs, int64_t steps) {
    struct clock *c = &s->clock;
    const int64_t every = o->val_steps > 0 ? o->val_steps : steps / 10 + 1;
    const double late = s->first.rest.seconds + s->first.below.seconds - clock_seconds(c, s->first.rest.work, s->first.below.work), computed = p->states == STATES_OFF || epochs < 1 ? epochs : 1;
    if (s->forward.work > 0) /* as if one had been seen */
        clock_validated(c, pace_seconds(&s->forward, c->val_work));
    /* before the first step, every so often, and after the last */
    return (late > 0 ? late : 0) + clock_left(c, epochs, computed, (double)steps, val ? (int)(1 + steps / every + (steps % every != 0)) : 0);
}

/* How fast the disk of a folder (or of what is there of it) takes bytes for good. */
static double disk_rate(const char *dir) {
    char *parent = mem_strndup(dir, strlen(dir)), *path = NULL, *piece = mem_calloc(1, TRIED_BYTES / 16);
    while (parent && *parent && file_exists(parent) != 2) {
        char *slash = strrchr(parent, '/');
        *(!slash ? parent : slash == parent ? slash + 1 : slash) = 0;
    }
    struct file_out f;
    double rate = WRITE_BYTES_A_SECOND;
    if (parent && piece && (path = path_join(*parent ? parent : ".", ".ilab-disk-rate")) && !file_create(&f, path, NULL)) {
        const double begin = now_seconds();
        for (int i = 0; i < 16; i++)
            file_put(&f, piece, TRIED_BYTES / 16);
        if (!file_commit(&f, NULL))
            rate = TRIED_BYTES / (now_seconds() - begin + 1e-6);
        unlink(path);
    }
    mem_free(piece);
    mem_free(path);
    mem_free(parent);
    return rate;
}

/* Seconds of a thread to unpack weights, add an adapter, and round them to a type: tried on rows of the largest matrix. */
static double merge_pace(const struct model *m, const struct qtype_info *q, const struct kern *k, int rank) {
    const struct tensor *t = NULL;
    for (int i = 0; i < m->n_weight; i++)
        if (m->weight[i].layer >= 0 && m->weight[i].t.n_dim > 1 && m->weight[i].t.dim[0] % q->elems == 0 && (!t || m->weight[i].t.n_bytes > t->n_bytes))
            t = &m->weight[i].t;
    if (!t)
        return 0;
    const int64_t n = t->dim[0];
    float *x = mem_aligned(2 * (size_t)n * sizeof *x);
    uint8_t *to = mem_aligned((size_t)(n / q->elems) * (size_t)q->bytes);
    int64_t rows = 0;
    const double begin = now_seconds();
    double spent = 0;
    for (; x && to && spent < MERGE_SECONDS && rows < t->dim[1]; rows++, spent = now_seconds() - begin) {
        tensor_row_f32(t, rows, x);
        memcpy(x + n, x, (size_t)n * sizeof *x);
        for (int i = 0; i < rank; i++)
            k->axpy(x, 1e-9f, x + n, n);
        q->quantize(to, x, n);
    }
    mem_free(x);
    mem_free(to);
    return rows ? spent / ((double)rows * (double)n) : 0;
}

double train_merge_seconds(const struct model *m, int mix, struct gemm_ctx *g, int rank, double *bytes) {
    const struct qtype_info *q = qtype_info(mix_base_type(mix));
    struct pool *pool = gemm_pool(g);
    double n = 0;
    for (int i = 0; i < m->n_weight; i++)
        n += (double)tensor_elems(&m->weight[i].t);
    *bytes = n * (double)q->bytes / (double)q->elems;
    return n * merge_pace(m, q, gemm_kern(g), rank) / (pool ? pool_threads(pool) : 1);
}

static void fill(struct train_estimate *out, struct measured *s, const struct model *m, const struct adapter *ad, const struct dataset *val,
                 const struct train_plan *p, const struct train_opts *o, struct gemm_ctx *g) {
    const size_t n_param = ad ? ad->n_params : m->n_params;
    out->steps = run_total_steps(s->p, o);
    const double epochs = (double)out->steps / packing_n_batches(s->p, 0);
    const struct epoch_rows rows = packing_epoch_rows(s->p, 0);
    out->tokens = (int64_t)(epochs * rows.rows);
    out->sample_tokens = (double)packing_n_rows(s->p);
    out->share_saved = out->sample_tokens - rows.rows;
    if (s->rest.seconds <= 0)
        return;
    struct clock *c = &s->clock;
    const double computed = p->states == STATES_OFF || epochs < 1 ? epochs : 1;
    /* Each of several processes measures whole steps at the same time as the others; in the run they share every step. */
    const double n_process = o->comm ? o->comm->size : 1, steps = clock_seconds(c, epochs * (c->epoch_work - c->epoch_below), computed * c->epoch_below);
    out->tokens_per_s = n_process * (double)out->tokens / steps;
    const double loop = loop_seconds(s, val, p, o, epochs, out->steps) - steps * (1 - 1 / n_process);
    out->seconds_before = s->before;
    out->seconds_total = s->before + loop;
    const double peak = measure_peak(g);
    out->share_of_peak = peak > 0 ? s->flops / s->rest.seconds / peak : 0;
    out->joules = s->joules > 0 ? s->joules / s->seconds * out->seconds_total : 0;
    /* Measured; but the steps had neither the hidden states of all samples nor a checkpoint's buffer, and the run has no copy of the weights. */
    const size_t kept = s->kept ? n_param * sizeof(float) : 0, measured = mem_peak_rss();
    out->peak_rss_bytes = (measured > kept ? measured - kept : 0) + CHECKPOINT_BUFFER + (p->states == STATES_RAM ? p->states_bytes : 0);
}

/* Merging holds what the run holds anyway and a tensor's piece; its loss, a model's file and a pass over it (streamed where that would be more than the run's). */
static size_t end_bytes(const struct model *m, const struct adapter *ad, const struct train_plan *p, const struct train_opts *o) {
    struct plan_row row[16];
    size_t sum = MERGE_BYTES;
    if (!ad || o->after.bytes <= 0)
        return 0;
    for (int i = 0; i < p->n_row && i < 3; i++) /* adapter, samples, program */
        sum += p->row[i].bytes;
    if (o->after.measures) {
        const struct tape_opts how = mean_loss_opts(m);
        const int rows = p->longest > MEAN_LOSS_ROWS ? p->longest : MEAN_LOSS_ROWS;
        for (int n = tape_plan_with(m, ad, rows, rows, &how, row, ARRAY_LEN(row)); n--;)
            sum += row[n].bytes;
        sum += (size_t)(o->after.bytes > (double)p->file_bytes ? o->after.bytes : (double)p->file_bytes);
    }
    return sum < p->total ? sum : p->total;
}

int train_estimate(struct gemm_ctx *g, struct model *m, const struct dataset *d, const struct dataset *val, const struct train_opts *o,
                   struct train_estimate *out, ilab_err *e) {
    struct adapter *ad = NULL;
    struct measured s = { 0 };
    struct train_plan plan = { 0 };
    *out = (struct train_estimate){ 0 };
    if (o->full && !m->params)
        return err_set(e, ILAB_E_INVALID, "model '%s' was not opened for training of all weights", m->name);
    /* A run begins with it. The second time it takes what it will take then: that of a large file is remembered. */
    if (m->gguf && !model_hash(m, e))
        return ILAB_E_IO;
    m->hash[0] = 0;
    const double begin = now_seconds();
    if (m->gguf && !model_hash(m, e))
        return ILAB_E_IO;
    int rc = o->full ? 0 : train_adapter(&ad, m, o, e);
    if (!rc)
        rc = plan_make(&plan, g, m, ad, d, val, o, e);
    if (!rc)
        rc = packing_new(&s.p, d, plan.batch, plan.micro, o->seed, e);
    if (!rc)
        rc = packing_share(s.p, plan.share.mode, plan.share.unit, e);
    if (!rc)
        rc = packing_split(s.p, 0, 1, tape_span_count(ad), run_cost(m, ad), e);
    if (rc)
        goto done;
    const struct data_work v = work_of(val);
    if (o->out_dir && (double)(ad ? ad->n_params : m->n_params) * 3 * sizeof(float) + o->after.bytes > 4.0 * TRIED_BYTES)
        out->bytes_per_s = disk_rate(o->out_dir);
    clock_plan(&s.clock, m, ad, d, val, packing_epoch_rows(s.p, 0), (struct epoch_rows){ .rows = v.rows, .squares = v.squares, .micros = ceil(v.rows / plan.micro) }, o, out->bytes_per_s > 0 ? out->bytes_per_s : WRITE_BYTES_A_SECOND);
    s.clock.keeps_states = plan.states != STATES_OFF;
    const size_t n_param = ad ? ad->n_params : m->n_params;
    memcpy(out->row, plan.row, sizeof plan.row);
    out->n_row = plan.n_row;
    out->peak_rss_bytes = out->total_bytes = plan.total;
    out->micro_tokens = plan.micro;
    out->recomputed_layers = plan.tape.recompute > 1 ? plan.tape.recompute - 1 : 0;
    out->states = plan.states;
    out->streams = plan.file_budget > 0;
    out->end_bytes = end_bytes(m, ad, &plan, o);
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
        s.before = now_seconds() - begin;
        if (!rc)
            rc = measure(&s, m, ad, o, val != NULL, e);
    }
    if (!rc)
        fill(out, &s, m, ad, val, &plan, o, g);
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
