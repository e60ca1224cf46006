/* test_backward.c — gradients of a training pass.
 *
 * Oracles: PyTorch in float64 (tests/golden/tiny_step.txt), and a forward pass in double written here, differentiated
 * numerically. Then: the same bits for any number of threads and any cut into micro-batches; a quantised frozen base
 * gives the very gradients of its dequantised copy.  SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tiny_model.h"
#include "train/tape.h"

enum { MAX_ROW = 64 };
static int32_t IDS[MAX_ROW], ROWS[MAX_ROW], LABELS[MAX_ROW];
static float WEIGHTS[MAX_ROW];
static struct soft_label SOFT[MAX_ROW];
static const struct soft_label *SOFT_PTR[MAX_ROW];
static const int ALL_LINEAR = (1 << LIN_COUNT) - 1;

/* The batch of torch_step.py, continued for more segments. */
static struct targets make_batch(const int *seg_rows, int n_seg, int n_vocab, struct segment *seg, struct batch *b, int soft)
{
    struct targets y = { 0, ROWS, LABELS, soft ? SOFT_PTR : NULL, WEIGHTS };
    *b = (struct batch){ 0, IDS, n_seg, seg };
    for (int s = 0; s < n_seg; s++) {
        seg[s] = (struct segment){ b->n_row, seg_rows[s], 0, NULL };
        for (int i = 0; i < seg_rows[s]; i++) {
            const int row = b->n_row++;
            IDS[row] = (7 * row * row + 3) % n_vocab;
            if (row % 3 == 1) continue;
            const int k = y.n++;
            ROWS[k] = row;
            LABELS[k] = (5 * row + 1) % n_vocab;
            WEIGHTS[k] = 0.5f + (float)(row % 4) * 0.25f;
            SOFT[k] = (struct soft_label){ .n = row % 2 ? 0 : 3 };
            for (int j = 0; j < 3; j++) {
                SOFT[k].id[j] = (11 * row + 2 + j) % n_vocab;
                SOFT[k].logp[j] = (float)log((double[]){ 0.5, 0.2, 0.1 }[j]);
            }
            SOFT_PTR[k] = row % 2 ? NULL : &SOFT[k];
        }
    }
    return y;
}

struct run { double loss, weight; float *grad; size_t n; struct param *p; int n_p; struct tape *t; struct pool *pool; struct gemm_ctx *g; };
static struct run run_start_with(struct model *m, struct adapter *ad, int threads, int max_row, int max_target, const struct tape_opts *o)
{
    struct run r = { 0 };
    ilab_err e = { 0 };
    r.pool = pool_new(threads);
    r.g = gemm_ctx_new(kern_get(cpu_detect()), r.pool);
    ok(tape_new_with(&r.t, r.g, m, ad, max_row, max_target, o, &e), &e);
    r.n_p = tape_params(r.t, &r.p);
    for (int i = 0; i < r.n_p; i++) r.n += r.p[i].n;
    tape_zero_grad(r.t);
    return r;
}
static struct run run_start(struct model *m, struct adapter *ad, int threads, int max_row, int max_target)
{
    return run_start_with(m, ad, threads, max_row, max_target, NULL);
}
static void run_add(struct run *r, const struct batch *b, const struct targets *y, float mix, float scale)
{
    ilab_err e = { 0 };
    ok(tape_step(r->t, b, y, &(struct loss_opts){ mix }, scale, 1, &r->loss, &r->weight, &e), &e);
}
/* Copies the gradients and lets the rest go. */
static void run_finish(struct run *r)
{
    tape_finish_grad(r->t);
    r->grad = test_malloc(r->n * sizeof(float));
    size_t at = 0;
    for (int i = 0; i < r->n_p; at += r->p[i++].n) memcpy(r->grad + at, r->p[i].g, r->p[i].n * sizeof(float));
    tape_free(r->t);
    gemm_ctx_free(r->g);
    pool_free(r->pool);
}

/* ---- PyTorch ---- */

static void compare_with_torch(const char *kind, struct run *r)
{
    FILE *f = fopen("tests/golden/tiny_step.txt", "r");
    char line[256], word[64];
    double want, worst = 0;
    int n_seen = 0;
    assert_non_null(f);
    while (fscanf(f, "%63s", word) == 1) {
        if (word[0] == '#') {
            assert_non_null(fgets(line, sizeof line, f));
        } else if (!strcmp(word, "loss")) {
            assert_int_equal(fscanf(f, "%63s %lf", word, &want), 2);
            if (!strcmp(word, kind)) assert_true(fabs(r->loss - want) <= 1e-5 * fabs(want));
        } else {
            int n, mine = -1;
            assert_int_equal(fscanf(f, "%63s %255s %d", word, line, &n), 3);
            for (int i = 0; i < r->n_p; i++)
                if (!strcmp(word, kind) && !strcmp(r->p[i].name, line)) mine = i;
            double d2 = 0, w2 = 0;
            for (int i = 0; i < n; i++) {
                assert_int_equal(fscanf(f, "%lf", &want), 1);
                if (mine < 0) continue;
                assert_int_equal(r->p[mine].n, n);
                d2 += (want - (double)r->p[mine].g[i]) * (want - (double)r->p[mine].g[i]);
                w2 += want * want;
            }
            if (mine < 0) continue;
            n_seen++;
            if (sqrt(d2 / w2) > worst) worst = sqrt(d2 / w2);
            if (sqrt(d2 / w2) > 1e-3) fail_msg("%s: relative error %g", line, sqrt(d2 / w2));
        }
    }
    fclose(f);
    assert_int_equal(n_seen, r->n_p);
    print_message("worst relative error of a gradient against PyTorch, %s: %.2g\n", kind, worst);
}

static void test_gradients_equal_pytorch(void **state)
{
    (void)state;
    const struct hparams hp = tiny_hparams(48, 40, 1);
    const int rows[2] = { 20, 7 };
    struct segment seg[2];
    struct batch b;
    struct targets y = make_batch(rows, 2, hp.n_vocab, seg, &b, 1);
    for (int lora = 0; lora < 2; lora++) {
        struct model *m = tiny_model(&hp);
        struct adapter *ad = lora ? tiny_adapter(m, 2, (unsigned)ALL_LINEAR, 0) : NULL;
        struct run r = run_start(m, ad, 2, MAX_ROW, 5);
        y.soft = lora ? SOFT_PTR : NULL;
        run_add(&r, &b, &y, 0.4f, 1.0f);
        tape_finish_grad(r.t);
        compare_with_torch(lora ? "lora" : "full", &r);
        run_finish(&r);
        test_free(r.grad);
        adapter_free(ad);
        model_free(m);
    }
}

/* ---- a forward pass in double ---- */

struct ref { const struct model *m; const struct adapter *ad; const double *w, *l; };
static double *ref_copy(const float *p, size_t n)
{
    double *d = test_malloc((n ? n : 1) * sizeof *d);
    for (size_t i = 0; i < n; i++) d[i] = (double)p[i];
    return d;
}
static void ref_linear(const struct ref *r, int layer, int kind, const double *x, double *y)
{
    const struct tensor *t = &r->m->layer[layer].lin[kind].w;
    const double *w = r->w + ((const float *)t->data - r->m->params);
    const struct lora *lo = r->ad ? &r->ad->lora[layer * ADAPT_COUNT + kind] : NULL;
    for (int o = 0; o < t->dim[1]; o++) {
        y[o] = 0;
        for (int i = 0; i < t->dim[0]; i++) y[o] += w[o * t->dim[0] + i] * x[i];
    }
    for (int j = 0; lo && lo->on && j < r->ad->rank; j++) {
        const double *a = r->l + (lo->a - r->ad->params) + j * lo->n_in, *b = r->l + (lo->b - r->ad->params);
        double h = 0;
        for (int i = 0; i < lo->n_in; i++) h += a[i] * x[i];
        for (int o = 0; o < lo->n_out; o++) y[o] += (double)r->ad->alpha / r->ad->rank * h * b[o * r->ad->rank + j];
    }
}
static void ref_norm(const struct ref *r, const float *w, const double *x, double *y)
{
    double s = 0;
    for (int i = 0; i < r->m->hp.n_embd; i++) s += x[i] * x[i];
    s = 1 / sqrt(s / r->m->hp.n_embd + (double)r->m->hp.norm_eps);
    for (int i = 0; i < r->m->hp.n_embd; i++) y[i] = x[i] * s * r->w[w - r->m->params + i];
}
static void ref_rope(const struct hparams *hp, double *x, int heads, int pos)
{
    for (int h = 0; h < heads; h++)
        for (int i = 0; i < hp->head_dim / 2; i++) {
            double t = pos * pow((double)hp->rope_base, -2.0 * i / hp->head_dim), *p = x + h * hp->head_dim + 2 * i, a = p[0], b = p[1];
            p[0] = a * cos(t) - b * sin(t);
            p[1] = a * sin(t) + b * cos(t);
        }
}
static void ref_attention(const struct hparams *hp, const double *q, double (*k)[64], double (*v)[64], int pos, double *out)
{
    for (int h = 0; h < hp->n_head; h++) {
        const int g = h / (hp->n_head / hp->n_kv_head) * hp->head_dim, d = hp->head_dim;
        double s[MAX_ROW], sum = 0;
        for (int p = 0; p <= pos; p++) {
            s[p] = 0;
            for (int i = 0; i < d; i++) s[p] += q[h * d + i] * k[p][g + i];
            sum += s[p] = exp(s[p] / sqrt(d));
        }
        for (int i = 0; i < d; i++) {
            out[h * d + i] = 0;
            for (int p = 0; p <= pos; p++) out[h * d + i] += s[p] / sum * v[p][g + i];
        }
    }
}
static double ref_row_loss(const double *z, int n, int label, const struct soft_label *s, double mix)
{
    double sum = 0, kl = 0, q_sum = 0, p_sum = 0;
    for (int i = 0; i < n; i++) sum += exp(z[i]);
    const double ce = log(sum) - z[label];
    if (!s || !s->n || mix == 0) return ce;
    for (int k = 0; k < s->n; k++) {
        double q = exp((double)s->logp[k]), p = exp(z[s->id[k]]) / sum;
        kl += q * log(q / p);
        q_sum += q;
        p_sum += p;
    }
    if (q_sum < 1) kl += (1 - q_sum) * log((1 - q_sum) / (1 - p_sum));
    return (1 - mix) * ce + mix * kl;
}
static double ref_loss(const struct ref *r, const struct batch *b, const struct targets *y, double mix)
{
    const struct hparams *hp = &r->m->hp;
    static double x[MAX_ROW][64], h[64], q[64], k[MAX_ROW][64], v[MAX_ROW][64], att[64], o[64], gate[128], up[128];
    double loss = 0;
    int target = 0;
    for (int s = 0; s < b->n_seg; s++) {
        const int n = b->seg[s].n_row, row0 = b->seg[s].row0, c = hp->n_embd;
        for (int i = 0; i < n; i++)
            memcpy(x[i], r->w + ((const float *)r->m->embedding.w.data - r->m->params) + b->id[row0 + i] * c, (size_t)c * sizeof(double));
        for (int l = 0; l < hp->n_layer; l++) {
            for (int i = 0; i < n; i++) { /* keys and values of earlier rows are there already */
                ref_norm(r, r->m->layer[l].attn_norm, x[i], h);
                ref_linear(r, l, LIN_Q, h, q);
                ref_linear(r, l, LIN_K, h, k[i]);
                ref_linear(r, l, LIN_V, h, v[i]);
                ref_rope(hp, q, hp->n_head, i);
                ref_rope(hp, k[i], hp->n_kv_head, i);
                ref_attention(hp, q, k, v, i, att);
                ref_linear(r, l, LIN_O, att, o);
                for (int j = 0; j < c; j++) x[i][j] += o[j];
                ref_norm(r, r->m->layer[l].ffn_norm, x[i], h);
                ref_linear(r, l, LIN_GATE, h, gate);
                ref_linear(r, l, LIN_UP, h, up);
                for (int j = 0; j < hp->n_ff; j++) gate[j] = gate[j] / (1 + exp(-gate[j])) * up[j];
                ref_linear(r, l, LIN_DOWN, gate, o);
                for (int j = 0; j < c; j++) x[i][j] += o[j];
            }
        }
        for (; target < y->n && y->row[target] < row0 + n; target++) {
            static double z[1 << 15];
            const double *w = r->w + ((const float *)r->m->output.w.data - r->m->params);
            ref_norm(r, r->m->output_norm, x[y->row[target] - row0], h);
            for (int t = 0; t < hp->n_vocab; t++) {
                z[t] = 0;
                for (int j = 0; j < c; j++) z[t] += w[t * c + j] * h[j];
            }
            loss += (double)y->weight[target] * ref_row_loss(z, hp->n_vocab, y->label[target], y->soft ? y->soft[target] : NULL, mix);
        }
    }
    return loss;
}

/* Four elements of every trained tensor against central differences. */
static void check_differences_with(struct model *m, struct adapter *ad, float mix, const struct tape_opts *o)
{
    const int rows[3] = { 5, 1, 4 };
    struct segment seg[3];
    struct batch b;
    struct targets y = make_batch(rows, 3, m->hp.n_vocab, seg, &b, 1);
    struct run r = run_start_with(m, ad, 1, MAX_ROW, MAX_ROW, o);
    run_add(&r, &b, &y, mix, 0.5f);
    tape_finish_grad(r.t);
    double *w = ref_copy(m->params, m->n_params), *l = ref_copy(ad ? ad->params : NULL, ad ? ad->n_params : 0);
    struct ref ref = { m, ad, w, l };
    assert_true(fabs(ref_loss(&ref, &b, &y, (double)mix) - r.loss) < 1e-5 * r.loss);
    for (int i = 0; i < r.n_p; i++) {
        const struct param *p = &r.p[i];
        double *at = ad ? l + (p->w - ad->params) : w + (p->w - m->params), largest = 0;
        for (size_t k = 0; k < p->n; k++)
            if (fabs((double)p->g[k]) > largest) largest = fabs((double)p->g[k]);
        for (size_t k = 0; k < 4; k++) {
            double *one = at + k * (p->n - 1) / 3, keep = *one, eps = 1e-4, up, down;
            *one = keep + eps;
            up = ref_loss(&ref, &b, &y, (double)mix);
            *one = keep - eps;
            down = ref_loss(&ref, &b, &y, (double)mix);
            *one = keep;
            double want = 0.5 * (up - down) / (2 * eps), got = (double)p->g[k * (p->n - 1) / 3];
            if (fabs(want - got) > 1e-4 * largest + 1e-7) fail_msg("%s [%zu]: %g, expected %g (largest %g)", p->name, k * (p->n - 1) / 3, got, want, largest);
        }
    }
    run_finish(&r);
    test_free(r.grad);
    test_free(w);
    test_free(l);
}

static void check_differences(struct model *m, struct adapter *ad, float mix) { check_differences_with(m, ad, mix, NULL); }

/* Three parts of the vocabulary, one after the other: the same bits as all at once, and those are right. */
static void test_a_vocabulary_in_parts(void **state)
{
    (void)state;
    const struct tape_opts part = { .logit_parts = 1 }, few = { .logit_parts = 1, .logit_rows = 3 }, *const o[] = { NULL, &part, &few };
    const int rows[2] = { 20, 7 };
    struct segment seg[2];
    struct batch b;
    for (int kind = 0; kind < 3; kind++) { /* all weights, an adapter; capped */
        struct hparams hp = tiny_hparams(40, 20000, kind == 0);
        hp.final_softcap = kind == 2 ? 1.5f : 0;
        struct model *m = tiny_model(&hp);
        struct adapter *ad = kind ? tiny_adapter(m, 3, 1u << LIN_DOWN, 1) : NULL;
        struct targets y = make_batch(rows, 2, hp.n_vocab, seg, &b, 1);
        struct run r[ARRAY_LEN(o)];
        float tell[ARRAY_LEN(o)][MAX_ROW];
        for (size_t i = 0; i < ARRAY_LEN(o); i++) {
            r[i] = run_start_with(m, ad, i ? 2 : 1, i == 2 ? 20 : MAX_ROW, MAX_ROW, o[i]);
            if (i < 2) tape_tell_losses(r[i].t, tell[i]);
            run_add(&r[i], &b, &y, 0.4f, 0.5f);
            run_finish(&r[i]);
            assert_true(r[i].loss == r[0].loss && r[i].loss > 0);
            assert_memory_equal(r[i].grad, r[0].grad, r[0].n * sizeof(float));
        }
        assert_memory_equal(tell[0], tell[1], (size_t)y.n * sizeof(float));
        if (kind == 1) check_differences_with(m, ad, 0.3f, &part);
        for (size_t i = 0; i < ARRAY_LEN(o); i++) test_free(r[i].grad);
        adapter_free(ad);
        model_free(m);
    }
}

static void test_gradients_equal_finite_differences(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        const struct hparams hp = tiny_hparams(40, 37, tied);
        struct model *m = tiny_model(&hp);
        check_differences(m, NULL, 0.0f);
        check_differences(m, NULL, 1.0f);
        /* Everything, and the subsets at which the way down ends early. */
        const struct { unsigned which; int first; } sub[] = {
            { (unsigned)ALL_LINEAR, 0 }, { (unsigned)ALL_LINEAR, 1 }, { 1u << LIN_DOWN, 1 }, { 1u << LIN_GATE, 1 }, { 1u << LIN_UP, 0 },
            { 1u << LIN_O, 1 }, { 1u << LIN_V, 1 }, { 1u << LIN_Q | 1u << LIN_K, 0 } };
        for (size_t i = 0; i < ARRAY_LEN(sub); i++) {
            struct adapter *ad = tiny_adapter(m, 3, sub[i].which, sub[i].first);
            check_differences(m, ad, 0.3f);
            adapter_free(ad);
        }
        model_free(m);
    }
}

/* ---- bits ---- */

/* One call, against parts of `per_call` segments, on `threads` threads, with a tape of max_row rows. */
static void check_same_bits(struct model *m, struct adapter *ad, int threads, int max_row, int max_target, int per_call)
{
    const int rows[] = { 9, 17, 3, 1, 16, 6, 8 };
    enum { N = ARRAY_LEN(rows) };
    struct segment seg[N], part_seg[N];
    struct batch b;
    struct targets y = make_batch(rows, N, m->hp.n_vocab, seg, &b, 1);
    struct run one = run_start(m, ad, 1, MAX_ROW, MAX_ROW), many = run_start(m, ad, threads, max_row, max_target);
    run_add(&one, &b, &y, 0.5f, 0.1f);
    int target = 0;
    for (int s = 0; s < N; s += per_call) {
        struct batch part = { 0, IDS + seg[s].row0, 0, part_seg };
        int32_t row[MAX_ROW];
        struct targets py = { 0, row, LABELS + target, SOFT_PTR + target, WEIGHTS + target };
        for (int i = s; i < s + per_call && i < N; i++) {
            part_seg[part.n_seg++] = (struct segment){ part.n_row, rows[i], 0, NULL };
            part.n_row += rows[i];
        }
        for (; target < y.n && ROWS[target] < seg[s].row0 + part.n_row; target++) row[py.n++] = ROWS[target] - seg[s].row0;
        run_add(&many, &part, &py, 0.5f, 0.1f);
    }
    run_finish(&one);
    run_finish(&many);
    assert_int_equal(target, y.n);
    assert_memory_equal(one.grad, many.grad, one.n * sizeof(float));
    assert_true(one.loss == many.loss && one.weight == many.weight);
    test_free(one.grad);
    test_free(many.grad);
}

static void test_gradients_same_bits_for_threads_and_cuts(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        const struct hparams hp = tiny_hparams(48, 40, tied);
        struct model *m = tiny_model(&hp);
        struct adapter *ad = tiny_adapter(m, 4, (unsigned)ALL_LINEAR, tied);
        for (int lora = 0; lora < 2; lora++) {
            check_same_bits(m, lora ? ad : NULL, 2, MAX_ROW, MAX_ROW, 7);
            check_same_bits(m, lora ? ad : NULL, 1, MAX_ROW, 3, 2);
            check_same_bits(m, lora ? ad : NULL, 2, 17, 1, 1);
            check_same_bits(m, lora ? ad : NULL, 2, 20, 7, 4); /* the tape cuts by itself */
        }
        adapter_free(ad);
        model_free(m);
    }
}

static void test_gradients_through_quantised_base_equal_its_f32_copy(void **state)
{
    (void)state;
    const char *path = "/tmp/ilab_test_backward.gguf";
    const struct hparams hp = tiny_hparams(64, 64, 1);
    ilab_err e = { 0 };
    struct model *m = tiny_model(&hp), *v[3];
    struct gemm_ctx *g = gemm_ctx_new(kern_get(cpu_detect()), NULL);
    ok(model_write(m, NULL, QT_Q8_0, path, NULL, NULL, &e), &e);
    const int flags[3] = { MODEL_TRAINABLE, 0, MODEL_PACK };
    struct run r[3];
    const int rows[2] = { 12, 20 };
    struct segment seg[2];
    struct batch b;
    struct targets y = make_batch(rows, 2, hp.n_vocab, seg, &b, 0);
    for (int i = 0; i < 3; i++) {
        ok(model_open(&v[i], path, flags[i], g, &e), &e);
        struct adapter *ad = tiny_adapter(v[i], 2, (unsigned)ALL_LINEAR, 0);
        r[i] = run_start(v[i], ad, 2, MAX_ROW, MAX_ROW);
        run_add(&r[i], &b, &y, 0, 1);
        run_finish(&r[i]);
        assert_memory_equal(r[0].grad, r[i].grad, r[0].n * sizeof(float));
        adapter_free(ad);
        model_free(v[i]);
    }
    for (int i = 0; i < 3; i++) test_free(r[i].grad);
    gemm_ctx_free(g);
    model_free(m);
    unlink(path);
}

/* ---- loss only, plan, refusals ---- */

static void test_loss_only_leaves_gradients_alone(void **state)
{
    (void)state;
    const struct hparams hp = tiny_hparams(48, 40, 1);
    struct model *m = tiny_model(&hp);
    const int rows[2] = { 20, 7 };
    struct segment seg[2];
    struct batch b;
    struct targets y = make_batch(rows, 2, hp.n_vocab, seg, &b, 0);
    struct run r = run_start(m, NULL, 1, MAX_ROW, MAX_ROW);
    double loss = 0, weight = 0;
    ilab_err e = { 0 };
    ok(tape_step(r.t, &b, &y, &(struct loss_opts){ 0 }, 1, 0, &loss, &weight, &e), &e);
    run_add(&r, &b, &y, 0, 0);
    run_finish(&r);
    assert_true(loss == r.loss && weight == r.weight && loss > 0);
    for (size_t i = 0; i < r.n; i++) assert_true(r.grad[i] == 0.0f);
    test_free(r.grad);
    model_free(m);
}

static void test_plan_names_buffers_and_grows_with_rows(void **state)
{
    (void)state;
    const struct hparams hp = tiny_hparams(48, 40, 1);
    struct model *m = tiny_model(&hp);
    struct adapter *ad = tiny_adapter(m, 4, 1u << LIN_Q, 1);
    struct plan_row row[16];
    size_t total[3] = { 0 };
    const struct { const struct adapter *ad; int rows; } plan[3] = { { NULL, 64 }, { NULL, 4096 }, { ad, 64 } };
    for (int i = 0; i < 3; i++)
        for (int k = tape_plan(m, plan[i].ad, plan[i].rows, 64, row, 16); k--;) total[i] += row[k].bytes;
    assert_true(total[2] < total[0] && total[0] < total[1]);
    /* V-sized buffers are bounded by the chunk, not by the targets. */
    const int n = tape_plan(m, NULL, 4096, 4096, row, 16);
    for (int k = 0; k < n; k++)
        if (!strncmp(row[k].what, "logits", 6)) assert_true(row[k].bytes < 300 * (40 + 3 * 32 + 8) * sizeof(float));
    adapter_free(ad);
    model_free(m);
}

static void test_no_memory_is_an_error(void **state)
{
    (void)state;
    const struct hparams hp = tiny_hparams(48, 40, 1);
    struct model *m = tiny_model(&hp);
    struct gemm_ctx *g = gemm_ctx_new(kern_get(cpu_detect()), NULL);
    int rc = ILAB_E_NOMEM, refused = 0;
    for (long n = 1; rc && n < 100; n++) {
        struct tape *t;
        ilab_err e = { 0 };
        mem_fail_at = n;
        rc = tape_new(&t, g, m, NULL, 2000, 64, &e);
        mem_fail_at = -1;
        assert_true(rc ? rc == ILAB_E_NOMEM && !t && e.msg[0] : t != NULL);
        refused += rc != 0;
        tape_free(t);
    }
    assert_true(rc == 0 && refused > 1);
    gemm_ctx_free(g);
    model_free(m);
}

static void test_bad_input_is_refused(void **state)
{
    (void)state;
    const struct hparams hp = tiny_hparams(48, 40, 1);
    struct model *m = tiny_model(&hp);
    struct run r = run_start(m, NULL, 1, 16, 16);
    const int rows[1] = { 10 };
    for (int bad = 0; bad < 8; bad++) {
        struct segment seg[1];
        struct batch b;
        struct targets y = make_batch(rows, 1, hp.n_vocab, seg, &b, 1);
        ilab_err e = { 0 };
        if (bad == 1) IDS[3] = 40;
        if (bad == 2) LABELS[2] = -1;
        if (bad == 3) ROWS[1] = ROWS[0];
        if (bad == 4) ROWS[y.n - 1] = 10;
        if (bad == 5) seg[0].pos0 = 1;
        if (bad == 6) seg[0].n_row = 9;
        if (bad == 7) seg[0].n_row = b.n_row = 17;
        int rc = tape_step(r.t, &b, &y, &(struct loss_opts){ 0 }, 1, 1, &r.loss, &r.weight, &e);
        assert_int_equal(rc, bad == 0 ? 0 : bad == 7 ? ILAB_E_LIMIT : ILAB_E_INVALID);
        if (bad) assert_true(e.msg[0]);
    }
    run_finish(&r);
    test_free(r.grad);
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients_equal_pytorch),
        cmocka_unit_test(test_gradients_equal_finite_differences),
        cmocka_unit_test(test_a_vocabulary_in_parts),
        cmocka_unit_test(test_gradients_same_bits_for_threads_and_cuts),
        cmocka_unit_test(test_gradients_through_quantised_base_equal_its_f32_copy),
        cmocka_unit_test(test_loss_only_leaves_gradients_alone),
        cmocka_unit_test(test_plan_names_buffers_and_grows_with_rows),
        cmocka_unit_test(test_no_memory_is_an_error),
        cmocka_unit_test(test_bad_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
