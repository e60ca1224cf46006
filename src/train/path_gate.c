/* path_gate.c — which path a run takes: the gradient of every faster path is measured against the exact one on the run's own first samples.
 *
 * Two measures, both over the adapters of a layer as one vector (cosine, ratio of lengths). On identical inputs: a few layers get the
 * exact pass's input and output gradient, and run alone; that is the error one layer makes. End to end: a whole step. The fastest path
 * (the last row of PATHS) that passes both is taken. While this is measured the adapter's B, which starts as zero and would
 * hide half of the gradients, holds small noise. What is measured depends on model, data and seed, and on the memory where little is
 * allowed (then fewer tokens are measured), not on times.  SPDX-License-Identifier: Apache-2.0 */
#include "train/plan.h"
#include "train/tape.h"

#include <math.h>
#include <string.h>

enum { GATE_LEAST = 48, GATE_MOST = 512 /* tokens */ };
static const double GATE_FLOPS = 4e12 /* of one pass, about */, TELL_SECONDS = 3, KEEP_BYTES = 256e6;
static const float GATE_NOISE = 1e-3f;
const double PATH_LAYER_COSINE = 0.999, PATH_END_COSINE = 0.995;

struct gate {
    struct tape *t;
    const struct batch *b;
    const struct targets *y;
    const struct loss_opts *o;
    struct path_report *r;
    int *layer;                  /* [n_param] of a parameter, -1: of none */
    float *exact;                /* [n_params] the exact gradient */
    float *dx[PATH_PROBES];      /* [T,C] gradients of the probed layers' outputs */
};

/* ---- comparing ---- */

static void zero_layer(const struct gate *q, int layer)
{
    for (int i = 0; i < q->t->n_param; i++)
        if (q->layer[i] == layer) memset(q->t->param[i].g, 0, q->t->param[i].n * sizeof(float));
}

static struct path_figure compare_layer(const struct gate *q, int layer)
{
    double dot = 0, a2 = 0, b2 = 0;
    for (int i = 0; i < q->t->n_param; i++) {
        const struct param *p = &q->t->param[i];
        const float *want = q->exact + (p->g - q->t->grad);
        for (size_t k = 0; q->layer[i] == layer && k < p->n; k++) {
            dot += (double)p->g[k] * (double)want[k];
            a2 += (double)p->g[k] * (double)p->g[k];
            b2 += (double)want[k] * (double)want[k];
        }
    }
    const double both = sqrt(a2) * sqrt(b2);
    return (struct path_figure){ both > 0 ? dot / both : a2 == b2, b2 > 0 ? sqrt(a2 / b2) : 1 };
}

/* The figure that is further from 1; NaN is furthest. */
static void keep_worst(struct path_figure *worst, int *at, struct path_figure f, int layer)
{
    if (!(f.cosine < worst->cosine) && f.cosine == f.cosine) return;
    *worst = f;
    *at = layer;
}

/* ---- passes ---- */

static int exact_pass(struct gate *q)
{
    struct tape *t = q->t;
    double loss = 0, weight = 0;
    const size_t bytes = (size_t)q->b->n_row * (size_t)t->m->hp.n_embd * sizeof(float);
    const enum gemm_act act = t->m->act;
    tape_set_path(t, &PATHS[0]);
    t->m->act = PATHS[0].forward;
    tape_zero_grad(t);
    layers_forward(t, q->b, 1);
    memset(t->dx, 0, bytes);
    loss_run(t, q->y, 0, q->y->n, 0, q->o, 1.0f / (float)q->y->n, 1, &loss, &weight);
    for (int l = t->m->hp.n_layer - 1; l >= t->lowest; l--) {
        for (int i = 0; i < q->r->n_probe; i++)
            if (q->r->probe[i] == l) memcpy(q->dx[i], t->dx, bytes);
        layer_restore(t, q->b, l);
        layer_backward(t, q->b, l);
    }
    t->m->act = act;
    memcpy(q->exact, t->grad, t->n_params * sizeof(float));
    return isfinite(loss);
}

/* One layer forward and back from the exact pass's input and output gradient. */
static void probe_layer(struct gate *q, const struct path *p, int i)
{
    struct tape *t = q->t;
    const int layer = q->r->probe[i];
    const enum gemm_act act = t->m->act;
    tape_set_path(t, p);
    t->m->act = p->forward;
    zero_layer(q, layer);
    layer_forward(t->g, t->m, t->ad, layer, 0, q->b, tape_acts(t, layer), t->x_out);
    t->work_layer = t->redo_layer = layer;
    memcpy(t->dx, q->dx[i], (size_t)q->b->n_row * (size_t)t->m->hp.n_embd * sizeof(float));
    layer_backward(t, q->b, layer);
    t->m->act = act;
}

static int end_to_end(struct gate *q, struct path_row *row, ilab_err *e)
{
    double loss = 0, weight = 0, begin = now_seconds();
    tape_set_path(q->t, row->path);
    tape_zero_grad(q->t);
    int rc = tape_step(q->t, q->b, q->y, q->o, 1.0f / (float)q->y->n, 1, &loss, &weight, e);
    row->seconds = now_seconds() - begin;
    row->end = (struct path_figure){ 2, 1 };
    for (int l = q->t->lowest; l < q->t->m->hp.n_layer; l++) keep_worst(&row->end, &row->end_layer, compare_layer(q, l), l);
    return rc;
}

static int measure(struct gate *q, ilab_err *e)
{
    struct path_report *r = q->r;
    struct tape *t = q->t;
    const double begin = now_seconds();
    r->chosen = &PATHS[0];
    if (!exact_pass(q)) return 0; /* a loss that is no number: the run's first step says why */
    r->row[0] = (struct path_row){ .path = &PATHS[0], .seconds = now_seconds() - begin, .worst = { 1, 1 }, .end = { 1, 1 } };
    for (int p = 0; p < N_PATH; p++)
        for (int i = 0; i < r->n_probe; i++) r->row[p].layer[i] = (struct path_figure){ 1, 1 };
    for (int p = 1; p < N_PATH; p++) {
        r->row[p].path = &PATHS[p];
        r->row[p].worst = (struct path_figure){ 2, 1 };
        for (int i = 0; i < r->n_probe; i++) {
            probe_layer(q, &PATHS[p], i);
            r->row[p].layer[i] = compare_layer(q, r->probe[i]);
            keep_worst(&r->row[p].worst, &r->row[p].worst_layer, r->row[p].layer[i], r->probe[i]);
        }
    }
    int rc = 0;
    for (int p = 1; !rc && p < N_PATH; p++) {
        if (signal_pending()) return err_set(e, ILAB_E_CANCEL, "stopped while gradients were measured; nothing was trained yet");
        rc = end_to_end(q, &r->row[p], e);
    }
    r->n_row = N_PATH;
    for (int p = 1; p < N_PATH; p++) {
        r->row[p].passed = r->row[p].worst.cosine >= PATH_LAYER_COSINE && r->row[p].end.cosine >= PATH_END_COSINE;
        if (r->row[p].passed) r->chosen = &PATHS[p];
    }
    r->row[0].passed = 1;
    r->tokens = q->b->n_row;
    tape_set_path(t, r->chosen);
    return rc;
}

int path_measure(struct tape *t, const struct batch *b, const struct targets *y, const struct loss_opts *o, struct path_report *r, ilab_err *e)
{
    const int n_layer = t->m->hp.n_layer, n = n_layer - t->lowest;
    struct gate q = { t, b, y, o, r };
    *r = (struct path_report){ 0 };
    if (!t->ad || y->n < 1 || b->n_row > t->max_row) return err_set(e, ILAB_E_INVALID, "paths are measured for adapters, on rows that fit the pass");
    r->n_probe = n < PATH_PROBES ? n : PATH_PROBES;
    for (int i = 0; i < r->n_probe; i++) r->probe[i] = r->n_probe < 2 ? t->lowest : t->lowest + i * (n - 1) / (r->n_probe - 1);
    const size_t rows = (size_t)b->n_row * (size_t)t->m->hp.n_embd * sizeof(float);
    int rc = 0;
    q.exact = mem_alloc(t->n_params * sizeof(float));
    q.layer = mem_alloc((size_t)t->n_param * sizeof *q.layer);
    for (int i = 0; i < r->n_probe; i++)
        if (!(q.dx[i] = mem_alloc(rows))) rc = ILAB_E_NOMEM;
    if (rc || !q.exact || !q.layer) rc = err_set(e, ILAB_E_NOMEM, "no memory to measure gradients; --precision exact needs none");
    for (int i = 0; !rc && i < t->n_param; i++)
        if (sscanf(t->param[i].name, "blk.%d.", &q.layer[i]) != 1) q.layer[i] = -1;
    if (!rc) {
        /* Segments need pages: those of the tape. */
        struct segment seg[GATE_MOST];
        struct batch own = *b;
        int n_page = 0;
        for (int s = 0; s < b->n_seg && s < GATE_MOST; s++) {
            seg[s] = b->seg[s];
            seg[s].page = t->page + n_page;
            n_page += (seg[s].n_row + KERN_PANEL - 1) / KERN_PANEL;
        }
        own.seg = seg;
        q.b = &own;
        rc = b->n_seg > GATE_MOST || n_page > t->n_page ? err_set(e, ILAB_E_LIMIT, "too many samples to measure gradients with") : measure(&q, e);
    }
    for (int i = 0; i < r->n_probe; i++) mem_free(q.dx[i]);
    mem_free(q.exact);
    mem_free(q.layer);
    return rc;
}

/* ---- a run's choice ---- */

/* The first `most` rows of the first batch's samples; the last one may be cut, but a target stays. */
static void first_rows(struct packing *p, int most, struct batch *b, struct targets *y, struct segment *seg, int max_seg)
{
    struct batch all;
    struct targets to;
    packing_micro(p, 0, 0, 0, &all, &to);
    int n_row = all.n_row < most ? all.n_row : most, n_seg = 0, n = 0;
    if (n_row <= to.row[0]) n_row = to.row[0] + 1;
    for (int s = 0; s < all.n_seg && s < max_seg && all.seg[s].row0 < n_row; s++) {
        seg[n_seg] = all.seg[s];
        if (seg[n_seg].row0 + seg[n_seg].n_row > n_row) seg[n_seg].n_row = n_row - seg[n_seg].row0;
        n_seg++;
    }
    n_row = seg[n_seg - 1].row0 + seg[n_seg - 1].n_row;
    while (n < to.n && to.row[n] < n_row) n++;
    *b = (struct batch){ .n_row = n_row, .id = all.id, .n_seg = n_seg, .seg = seg };
    *y = to;
    y->n = n;
}

static size_t n_in_b(const struct lora *l) { return l->on ? (size_t)l->n_matrix * (size_t)l->n_out * (size_t)l->rank : 0; }

/* Small noise in B where it is all zero; 1: it was. */
static int fill_b(struct adapter *ad, uint64_t seed)
{
    const int n = ad->n_layer * ADAPT_COUNT;
    struct rng g;
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < n_in_b(&ad->lora[i]); k++)
            if (ad->lora[i].b[k] != 0) return 0;
    rng_seed(&g, seed);
    for (int i = 0; i < n; i++)
        for (size_t k = 0; k < n_in_b(&ad->lora[i]); k++) ad->lora[i].b[k] = GATE_NOISE * (float)rng_normal(&g);
    return 1;
}

static void clear_b(struct adapter *ad)
{
    for (int i = 0; i < ad->n_layer * ADAPT_COUNT; i++)
        if (ad->lora[i].on) memset(ad->lora[i].b, 0, n_in_b(&ad->lora[i]) * sizeof(float));
}

/* Says beforehand what will take a while. A pass backward makes up for one of the paths' speed. */
static void tell_time(struct gemm_ctx *g, const struct path_report *r, double flops, double weights_flops)
{
    struct machine_limits limits;
    (void)r;
    if (flops < weights_flops || limits_measure(gemm_kern(g), gemm_pool(g), &limits)) return;
    const double seconds = flops * (1 / 0.6 + 0.75 / 0.6 + 0.5 / 0.6) / (limits.fp32_gflops * 1e9);
    char text[32];
    format_duration(text, sizeof text, seconds);
    if (seconds > TELL_SECONDS) log_info("measuring the gradients of %d paths on the first samples: about %s (--precision skips it)", N_PATH, text);
}

static struct tape_opts gate_opts(const struct model *m, int n_row, const struct train_plan *plan)
{
    /* A large model's activations are not all kept: this is not the time for the highest use of memory. */
    const double kept = (double)n_row * m->hp.n_layer * 4.0 * (6.0 * m->hp.n_embd + 4.0 * m->hp.n_ff);
    const int tight = kept > KEEP_BYTES || (plan && plan->tape.recompute > 0);
    return (struct tape_opts){ .recompute = tight ? m->hp.n_layer : 0, .lean = 1, .logit_rows = plan ? plan->tape.logit_rows : 0, .logit_parts = plan ? plan->tape.logit_parts : 0,
                               .pager = plan ? plan->tape.pager : NULL };
}

/* A pass, the exact gradient, the probed layers' gradients. */
static size_t gate_bytes(const struct model *m, const struct adapter *ad, int n_row, const struct train_plan *plan)
{
    const struct tape_opts opts = gate_opts(m, n_row, plan);
    struct plan_row row[16];
    size_t sum = ad->n_params * sizeof(float) + (size_t)PATH_PROBES * (size_t)n_row * (size_t)m->hp.n_embd * sizeof(float);
    for (int n = tape_plan_with(m, ad, n_row, n_row, &opts, row, ARRAY_LEN(row)); n--;) sum += row[n].bytes;
    return sum;
}

int path_choose(struct gemm_ctx *g, struct model *m, struct adapter *ad, const struct dataset *d, const struct train_opts *o,
                const struct train_plan *plan, struct path_report *r, ilab_err *e)
{
    struct packing *p = NULL;
    struct tape *t = NULL;
    struct data_shape shape;
    struct segment seg[GATE_MOST];
    struct batch b;
    struct targets y;
    *r = (struct path_report){ 0 };
    int rc = data_shape(d, m->hp.n_vocab, &shape, e);
    if (rc) return rc;
    const int longest = o->micro_tokens > shape.max_row ? o->micro_tokens : shape.max_row;
    if ((rc = packing_new(&p, d, o->batch_tokens > longest ? o->batch_tokens : longest, longest, o->seed, e))) return rc;
    const double token = run_flops(m, ad, 1, 0, 1);
    int most = (int)(GATE_FLOPS / token);
    most = most < GATE_LEAST ? GATE_LEAST : most > GATE_MOST ? GATE_MOST : most;
    while (plan && most > GATE_LEAST && gate_bytes(m, ad, most, plan) > plan_pass_bytes(plan)) most = most / 2 > GATE_LEAST ? most / 2 : GATE_LEAST;
    first_rows(p, most, &b, &y, seg, GATE_MOST);
    tell_time(g, r, token * b.n_row, 2e11);
    const struct tape_opts opts = gate_opts(m, b.n_row, plan);
    rc = model_rope_reserve(m, b.n_row, e);
    if (!rc) rc = tape_new_with(&t, g, m, ad, b.n_row, y.n, &opts, e);
    const int filled = !rc && fill_b(ad, o->seed);
    if (!rc) rc = path_measure(t, &b, &y, &o->loss, r, e);
    if (filled) clear_b(ad);
    tape_free(t);
    packing_free(p);
    return rc;
}

int path_decide(struct gemm_ctx *g, struct model *m, struct adapter *ad, const struct dataset *d, const struct train_opts *o, const char *base,
                uint64_t data_hash, const struct train_plan *plan, struct path_report *r, ilab_err *e)
{
    char stored[PATH_NAME_MAX];
    *r = (struct path_report){ .chosen = &PATHS[0] };
    if (!ad) return 0;
    if (o->precision && strcmp(o->precision, "auto")) {
        if (!(r->chosen = path_by_name(o->precision))) return err_set(e, ILAB_E_INVALID, "--precision '%s' is not known: auto, exact, mixed or fast", o->precision);
        return 0;
    }
    if (o->resume && base && run_stored(o->out_dir, base, data_hash, "precision", stored, sizeof stored) && path_by_name(stored)) {
        r->chosen = path_by_name(stored);
        return 0;
    }
    int rc = path_choose(g, m, ad, d, o, plan, r, e);
    struct sb b;
    sb_init(&b, 1 << 16);
    if (!rc) path_report_text(r, &b);
    if (!rc && b.p) log_info("training with the path '%s'\n%s", r->chosen->name, b.p);
    sb_release(&b);
    return rc;
}
