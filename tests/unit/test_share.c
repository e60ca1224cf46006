/* test_share.c — samples that begin alike and share these rows: attention's gradients, a training pass on every architecture, kept
 * states, packing.
 *
 * Oracle: the same samples as whole sequences (test_backward.c and tests/check/torch_lora.sh compare those with PyTorch). Rows must have
 * the same bits forward; gradients are the same sums in another order.  SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/arch_model.h"
#include "train/share.h"
#include "train/states.h"
#include "train/tape.h"

static struct gemm_ctx *G, *ONE;

static float *random_floats(int n, uint32_t salt)
{
    float *x = mem_calloc((size_t)n, sizeof *x);
    for (int i = 0; i < n; i++) x[i] = (float)noise(salt, (uint32_t)i);
    return x;
}

/* ---- attention ---- */

enum { H = 4, HKV = 2, D = 24, QD = H * D, KD = HKV * D, P = 48, N_END = 3, END0 = 1, END1 = 19, END2 = 70, TREE = P + END0 + END1 + END2,
       WHOLE = TREE + (N_END - 1) * P };

/* Row of the tree that row r of the whole sequences is. */
static int tree_row(int r)
{
    static const int N[N_END] = { END0, END1, END2 };
    for (int i = 0, at = P; i < N_END; r -= P + N[i], at += N[i], i++)
        if (r < P + N[i]) return r < P ? r : at + r - P;
    return -1;
}

static void fill_pages(const struct attn_shape *s, const struct attn_item *it, const float *k, const float *v)
{
    for (int i = 0; i < it->n_row; i++) attn_store(s, &it->seq, it->pos0 + i, k + (it->row0 + i) * KD, v + (it->row0 + i) * KD);
}

struct attn_run { struct attn_item item[N_END + 1]; int n_item, n_row; float *q, *k, *v, *go, *out, *dq, *dk, *dv; };
static void attn_run(struct gemm_ctx *g, const struct attn_shape *s, struct attn_run *r)
{
    assert_int_equal(attn_reserve(g, s, P + END2, 1), 0);
    for (int i = 0; i < r->n_item; i++) fill_pages(s, &r->item[i], r->k, r->v);
    attn_forward_batch(g, s, r->item, r->n_item, r->q, QD, r->out, QD);
    memset(r->dk, 0xFF, (size_t)(r->n_row * KD) * sizeof(float));
    attn_backward_batch(g, s, r->item, r->n_item, r->q, r->k, r->v, QD, KD, r->out, r->go, QD, r->dq, r->dk, r->dv);
}

static void check_attention(const struct attn_shape *s)
{
    static const int N[N_END] = { END0, END1, END2 };
    struct attn_run tree = { .n_item = N_END + 1, .n_row = TREE }, whole = { .n_item = N_END, .n_row = WHOLE };
    enum { PAGES = 16 };
    void *tree_page[N_END + 1][PAGES], *whole_page[N_END][PAGES];
    for (struct attn_run *r = &tree; r; r = r == &tree ? &whole : NULL) {
        float **buffer[] = { &r->q, &r->go, &r->out, &r->dq, &r->k, &r->v, &r->dk, &r->dv };
        for (size_t i = 0; i < ARRAY_LEN(buffer); i++) *buffer[i] = random_floats(r->n_row * (i < 4 ? QD : KD), (uint32_t)i);
    }
    for (int r = 0; r < WHOLE; r++) {
        const int t = tree_row(r);
        memcpy(whole.q + r * QD, tree.q + t * QD, QD * sizeof(float));
        memcpy(whole.k + r * KD, tree.k + t * KD, KD * sizeof(float));
        memcpy(whole.v + r * KD, tree.v + t * KD, KD * sizeof(float));
        memcpy(whole.go + r * QD, tree.go + t * QD, QD * sizeof(float));
        if (t < P && r >= P) memset(whole.go + r * QD, 0, QD * sizeof(float)); /* the beginning's own gradient: once */
    }
    for (int i = 0, at = 0; i < N_END; at += P + N[i], i++) {
        for (int k = 0; k < PAGES; k++) whole_page[i][k] = mem_aligned(attn_page_bytes(s));
        whole.item[i] = (struct attn_item){ { whole_page[i], 0, 0 }, at, P + N[i], 0 };
    }
    for (int i = 0, at = 0; i <= N_END; at += i ? N[i - 1] : P, i++) {
        for (int k = 0; k < PAGES; k++) tree_page[i][k] = i && k < P / KERN_PANEL ? tree_page[0][k] : mem_aligned(attn_page_bytes(s));
        tree.item[i] = (struct attn_item){ { tree_page[i], 0, 0 }, at, i ? N[i - 1] : P, i ? P : 0 };
    }
    attn_run(G, s, &whole);
    float *first = NULL;
    for (int threads = 2; threads >= 1; threads--) {
        attn_run(threads == 2 ? G : ONE, s, &tree);
        if (first) assert_memory_equal(first, tree.dk, TREE * KD * sizeof(float));
        else memcpy(first = mem_alloc(TREE * KD * sizeof(float)), tree.dk, TREE * KD * sizeof(float));
        double sum[2][P * KD] = { { 0 } }, worst = 0;
        for (int r = 0; r < WHOLE; r++) {
            const int t = tree_row(r);
            if (t >= P) {
                assert_memory_equal(tree.dq + t * QD, whole.dq + r * QD, QD * sizeof(float));
                assert_memory_equal(tree.dk + t * KD, whole.dk + r * KD, KD * sizeof(float));
                assert_memory_equal(tree.dv + t * KD, whole.dv + r * KD, KD * sizeof(float));
            }
            assert_memory_equal(tree.out + t * QD, whole.out + r * QD, QD * sizeof(float));
            for (int c = 0; t < P && c < KD; c++) sum[0][t * KD + c] += (double)whole.dk[r * KD + c], sum[1][t * KD + c] += (double)whole.dv[r * KD + c];
        }
        for (int i = 0; i < P * KD; i++) worst = fmax(worst, fmax(fabs(sum[0][i] - (double)tree.dk[i]), fabs(sum[1][i] - (double)tree.dv[i])));
        assert_true(worst < 2e-5);
    }
    mem_free(first);
    for (int k = 0; k < PAGES; k++) {
        for (int i = 0; i < N_END; i++) mem_free(whole_page[i][k]);
        for (int i = 0; i <= N_END; i++)
            if (!i || k >= P / KERN_PANEL) mem_free(tree_page[i][k]);
    }
    for (struct attn_run *r = &tree; r; r = r == &tree ? &whole : NULL) {
        float *buffer[] = { r->q, r->go, r->out, r->dq, r->k, r->v, r->dk, r->dv };
        for (size_t i = 0; i < ARRAY_LEN(buffer); i++) mem_free(buffer[i]);
    }
}

static void test_attention(void **state)
{
    (void)state;
    const struct attn_shape shape[] = { { H, HKV, D }, { H, HKV, D, .window = 5 }, { H, HKV, D, .window = 40, .scale = 0.3f }, { H, HKV, D, .softcap = 2 } };
    for (size_t i = 0; i < ARRAY_LEN(shape); i++) check_attention(&shape[i]);
}

/* ---- a training pass ---- */

enum { N_SAMPLE = 7, V = 97, ALL = (1 << ADAPT_COUNT) - 1, ROWS_MOST = 64 };
/* Rows of the beginnings, samples of each, rows of their ends; a tree of one is a sample alone. */
static const struct { int prefix, n, end[3]; } TREES[] = { { 32, 3, { 1, 7, 21 } }, { 0, 1, { 13 } }, { 16, 2, { 5, 9 } }, { 0, 1, { 3 } } };

/* The samples, without room for more of a token than its place says. */
static void make_samples(struct dataset *d)
{
    *d = (struct dataset){ 0 };
    for (int t = 0, s = 0; t < (int)ARRAY_LEN(TREES); t++)
        for (int i = 0; i < TREES[t].n; i++, s++) {
            int32_t id[ROWS_MOST];
            uint8_t mask[ROWS_MOST] = { 0 };
            const int n = TREES[t].prefix + TREES[t].end[i] + 1;
            for (int k = 0; k < n; k++) {
                id[k] = k < TREES[t].prefix ? (7 * k * k + 3 + 11 * t) % V : (5 * k * k + 31 * s + k) % V;
                mask[k] = k > TREES[t].prefix;
            }
            ok(dataset_add_ids(d, id, mask, n, i == 1 ? 0.5f : 1.0f, NULL), NULL);
        }
}

struct views { int32_t id[256], row[256], label[256]; float weight[256]; struct segment seg[16]; uint32_t sample[16]; struct batch b; struct targets y; };
static void lay(struct views *v, const struct dataset *d, int shared)
{
    int s = 0;
    *v = (struct views){ 0 };
    v->b = (struct batch){ 0, v->id, 0, v->seg };
    v->y = (struct targets){ 0, v->row, v->label, NULL, v->weight };
    for (size_t t = 0; t < ARRAY_LEN(TREES); t++) {
        const int common = shared ? TREES[t].prefix : 0;
        for (int i = common ? -1 : 0; i < TREES[t].n; i++) {
            const struct sample *x = &d->v[s];
            const int from = i < 0 ? 0 : common, to = i < 0 ? common : x->n - 1;
            v->sample[v->b.n_seg] = (uint32_t)s;
            v->seg[v->b.n_seg++] = (struct segment){ v->b.n_row, to - from, from, NULL };
            for (int k = from; k < to; k++, v->b.n_row++) {
                v->id[v->b.n_row] = x->id[k];
                if (!x->mask[k + 1] || i < 0) continue;
                v->row[v->y.n] = v->b.n_row, v->label[v->y.n] = x->id[k + 1], v->weight[v->y.n++] = x->weight;
            }
            s += i >= 0;
        }
    }
}

static struct param *pass(struct tape *t, const struct views *v, float *losses, double *loss, int *n)
{
    struct param *p;
    double weight = 0;
    ilab_err e = { 0 };
    *loss = 0;
    tape_zero_grad(t);
    tape_tell_losses(t, losses);
    ok(tape_step(t, &v->b, &v->y, &(struct loss_opts){ 0 }, 1, 1, loss, &weight, &e), &e);
    tape_finish_grad(t);
    *n = tape_params(t, &p);
    return p;
}

static float *gradient(const struct param *p, int n, size_t *total)
{
    size_t at = 0;
    *total = 0;
    for (int i = 0; i < n; i++) *total += p[i].n;
    float *g = mem_alloc(*total * sizeof *g);
    for (int i = 0; i < n; at += p[i++].n) memcpy(g + at, p[i].g, p[i].n * sizeof *g);
    return g;
}

/* Whole samples and trees: the same losses, bit for bit, and the same gradients; the same bits of trees on one thread, tree by tree, with layers that
 * run twice; the loss's slope along the gradient. */
static double check_pass(const char *name, struct model *m, struct adapter *ad)
{
    static struct views whole, tree;
    struct tape *t, *small;
    struct dataset d;
    ilab_err e = { 0 };
    float told[2][256] = { { 0 } };
    double loss[3], worst = 0;
    int n;
    size_t total;
    make_samples(&d);
    lay(&whole, &d, 0);
    lay(&tree, &d, 1);
    assert_true(tree.b.n_row == whole.b.n_row - 2 * 32 - 16);
    ok(tape_new(&t, G, m, ad, 64, 64, &e), &e); /* learned positions are no more */
    struct param *p = pass(t, &whole, told[0], &loss[0], &n);
    float *want = gradient(p, n, &total);
    p = pass(t, &tree, told[1], &loss[1], &n);
    float *got = gradient(p, n, &total);
    assert_true(loss[0] == loss[1]);
    assert_memory_equal(told[0], told[1], sizeof told[0]);
    size_t at = 0;
    for (int i = 0; i < n; at += p[i++].n) {
        double d2 = 0, w2 = 0;
        for (size_t k = at; k < at + p[i].n; k++) {
            d2 += ((double)got[k] - (double)want[k]) * ((double)got[k] - (double)want[k]);
            w2 += (double)want[k] * (double)want[k];
        }
        if (sqrt(d2) > 2e-5 * sqrt(w2)) fail_msg("%s, %s: relative difference %g", name, p[i].name, sqrt(d2 / w2));
        worst = fmax(worst, w2 > 0 ? sqrt(d2 / w2) : 0);
    }
    ok(tape_new_with(&small, ONE, m, ad, 61, 5, &(struct tape_opts){ .recompute = 1, .lean = 1 }, &e), &e);
    struct param *q = pass(small, &tree, NULL, &loss[2], &n);
    for (int i = 0; i < n; i++) assert_memory_equal(q[i].g, p[i].g, p[i].n * sizeof(float));
    assert_true(loss[2] == loss[1]);
    if (m->hp.n_expert_used == m->hp.n_expert) { /* elsewhere a change of the choice of experts is a jump of the loss */
        const double by = 0.002;
        double norm = 0, side[2], w = 0;
        for (size_t k = 0; k < total; k++) norm += (double)got[k] * (double)got[k];
        for (int s = 0; s < 2; s++) {
            at = 0;
            for (int i = 0; i < n; at += p[i++].n)
                for (size_t k = 0; k < p[i].n; k++) p[i].w[k] += (float)((s ? -2 : 1) * by * (double)got[at + k] / sqrt(norm));
            side[s] = 0;
            ok(tape_step(t, &tree.b, &tree.y, &(struct loss_opts){ 0 }, 1, 0, &side[s], &w, &e), &e);
        }
        const double slope = (side[0] - side[1]) / (2 * by);
        if (fabs(slope - sqrt(norm)) > 0.01 * sqrt(norm)) fail_msg("%s: slope %g, gradient %g", name, slope, sqrt(norm));
    }
    mem_free(want);
    mem_free(got);
    tape_free(small);
    tape_free(t);
    dataset_release(&d);
    return worst;
}

static void test_pass_of_every_architecture(void **state)
{
    (void)state;
    static struct arch_weights x;
    double worst = 0;
    for (int i = 0; i < N_ARCHS; i++)
        for (int experts = 0; experts < 2; experts++) {
            const struct arch *a = &ARCHS[i];
            struct hparams hp = arch_hparams(a);
            ilab_err e = { 0 };
            if (hp.encoder || (experts ? !a->use[W_ROUTER] : !(a->use[W_GATE] || a->use[W_UP] || a->use[W_GATE_UP]))) continue;
            if (!hp.rope_skip && hp.window_period < 3) hp.n_layer = 2;
            if (experts) arch_add_experts(&hp, a);
            arch_weights_make(&x, a, &hp, 9);
            struct model *m = arch_model(a, &hp, &x);
            ok(model_trainable(m, 0, &e), &e);
            struct adapter *ad = tiny_adapter(m, 3, ALL, 0);
            worst = fmax(worst, check_pass(a->name, m, ad));
            adapter_free(ad);
            model_free(m);
            arch_weights_free(&x);
        }
    print_message("adapters of all architectures: worst relative difference of a gradient %.1e\n", worst);
    struct hparams hp = tiny_hparams(48, V, 1);
    struct model *m = tiny_model(&hp);
    print_message("all weights: %.1e\n", check_pass("full", m, NULL));
    model_free(m);
}

/* States below the adapter: kept of trees for whole samples and the other way round, the same bits as without. */
static void test_states(void **state)
{
    (void)state;
    static struct views v[2];
    struct hparams hp = tiny_hparams(48, V, 1);
    hp.n_layer = 4;
    struct model *m = tiny_model(&hp);
    struct adapter *ad = tiny_adapter(m, 3, 127, 2);
    struct dataset d;
    struct tape *t;
    ilab_err e = { 0 };
    make_samples(&d);
    for (int i = 0; i < 2; i++) lay(&v[i], &d, i);
    ok(tape_new_with(&t, G, m, ad, v[0].b.n_row, v[0].y.n, &(struct tape_opts){ .keep_states = 1 }, &e), &e);
    for (int first = 0; first < 2; first++) {
        struct states *s;
        ok(states_new(&s, &d, NULL, hp.n_embd, NULL, "key", &e), &e);
        for (int k = 0; k < 3; k++) {
            const struct views *now = &v[k == 0 ? first : k - 1];
            double loss[2];
            int n;
            size_t total;
            struct param *p = pass(t, now, NULL, &loss[0], &n);
            float *want = gradient(p, n, &total);
            const int64_t kept = tape_rows_kept(t);
            tape_set_states(t, s, now->sample, 0);
            pass(t, now, NULL, &loss[1], &n);
            float *got = gradient(p, n, &total);
            assert_memory_equal(got, want, total * sizeof *got);
            assert_true(loss[0] == loss[1] && tape_rows_kept(t) - kept == (k ? now->b.n_row : 0));
            mem_free(want);
            mem_free(got);
        }
        states_free(s);
    }
    tape_free(t);
    adapter_free(ad);
    model_free(m);
    dataset_release(&d);
}

static void test_refused(void **state)
{
    (void)state;
    struct hparams hp = tiny_hparams(48, V, 1);
    struct model *m = tiny_model(&hp);
    struct tape *t;
    ilab_err e = { 0 };
    static const int32_t id[64] = { 1 }, row[1] = { 40 }, label[1] = { 2 };
    const struct segment bad[][2] = { { { 0, 20, 0, NULL }, { 20, 21, 20, NULL } }, { { 0, 16, 0, NULL }, { 16, 25, 32, NULL } }, { { 0, 16, 16, NULL }, { 16, 25, 0, NULL } } };
    double loss = 0, weight = 0;
    ok(tape_new(&t, G, m, NULL, 64, 8, &e), &e);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct batch b = { 41, id, 2, bad[i] };
        assert_int_equal(tape_step(t, &b, &(struct targets){ 1, row, label, NULL, NULL }, &(struct loss_opts){ 0 }, 1, 1, &loss, &weight, &e), ILAB_E_INVALID);
    }
    const struct segment large[2] = { { 0, 32, 0, NULL }, { 32, 33, 32, NULL } };
    static const int32_t more[65] = { 1 };
    assert_int_equal(tape_step(t, &(struct batch){ 65, more, 2, large }, &(struct targets){ 1, row, label, NULL, NULL }, &(struct loss_opts){ 0 }, 1, 1, &loss, &weight, &e), ILAB_E_LIMIT);
    tape_free(t);
    model_free(m);
}

/* ---- packing ---- */

enum { N_DATA = 240, BATCH = 600, UNIT = 256 };
/* Ten documents of 32 tokens behind a system prompt of 16, for most samples; ends of 3 to 42 tokens. */
static void make_documents(struct dataset *d)
{
    struct rng r;
    rng_seed(&r, 4);
    *d = (struct dataset){ 0 };
    for (int i = 0; i < N_DATA; i++) {
        int32_t id[128];
        uint8_t mask[128] = { 0 };
        const int document = i % 4 == 3 ? -1 - i : i % 10, n = 50 + (int)rng_below(&r, 40);
        for (int k = 0; k < n; k++) {
            id[k] = k < 16 && document >= 0 ? k : k < 48 ? 1000 * (document + 500) + k : i;
            mask[k] = k > 52 ? i % 3 != 0 || k % 2 : k == n - 1;
        }
        ok(dataset_add_ids(d, id, mask, n, 1, NULL), NULL);
    }
}

/* Whether the batch's segments are its samples, each once, with all their targets; the samples of its trees' rows are counted. */
static void check_micro(const struct dataset *d, struct packing *p, int epoch, int i, int k, int *seen, int32_t *order, int *n_order)
{
    struct batch b;
    struct targets y;
    packing_micro(p, epoch, i, k, &b, &y);
    const uint32_t *sample = packing_micro_samples(p, epoch, i, k);
    int target = 0, row = 0, root = -1;
    for (int s = 0; s < b.n_seg; row += b.seg[s++].n_row) {
        const struct segment *g = &b.seg[s];
        const struct sample *v = &d->v[sample[s]];
        if (!g->pos0) root = s;
        assert_true(g->row0 == row && (!g->pos0 || (g->pos0 == b.seg[root].n_row && g->pos0 % KERN_PANEL == 0)));
        assert_memory_equal(b.id + row, v->id + g->pos0, (size_t)g->n_row * sizeof(int32_t));
        if (g->pos0) assert_memory_equal(b.id + b.seg[root].row0, v->id, (size_t)g->pos0 * sizeof(int32_t));
        if (segment_is_shared(&b, s)) {
            assert_int_equal(sample[s], sample[s + 1]);
            continue;
        }
        seen[sample[s]]++;
        order[(*n_order)++] = (int32_t)sample[s];
        assert_int_equal(g->pos0 + g->n_row, sample_n_row(v));
        for (int j = 1; j < v->n; j++) {
            if (!v->mask[j]) continue;
            assert_true(j - 1 >= g->pos0 && y.row[target] == row + j - 1 - g->pos0 && y.label[target] == v->id[j]);
            target++;
        }
    }
    assert_true(row == b.n_row && target == y.n);
}

static void test_packing(void **state)
{
    (void)state;
    static const int MICRO[] = { BATCH, 300, UNIT };
    static int32_t order[2][3][N_DATA];
    struct dataset d;
    ilab_err e = { 0 };
    double rows[3] = { 0 };
    make_documents(&d);
    for (int mode = SHARE_MODE_BATCH; mode <= SHARE_MODE_GROUPS; mode++) {
        for (int c = 0; c < 3; c++) {
            struct packing *p, *plain;
            int n_order = 0, seen[N_DATA] = { 0 };
            ok(packing_new(&p, &d, BATCH, MICRO[c], 7, &e), &e);
            ok(packing_new(&plain, &d, BATCH, BATCH, 7, &e), &e);
            rows[SHARE_MODE_NONE] = packing_epoch_rows(plain, 1).rows;
            ok(packing_share(p, mode, UNIT, &e), &e);
            const struct epoch_rows sum = packing_epoch_rows(p, 1);
            rows[mode] = sum.rows;
            for (int i = 0; i < packing_n_batches(p, 1); i++) {
                const int from = n_order;
                for (int k = 0; k < packing_n_micro(p, 1, i); k++) check_micro(&d, p, 1, i, k, seen, order[mode - 1][c], &n_order);
                if (mode == SHARE_MODE_GROUPS) continue;
                const uint32_t *same;                          /* a step has the samples that it has without sharing */
                assert_int_equal(packing_batch_samples(plain, 1, i, &same), n_order - from);
                for (int k = from; k < n_order; k++) {
                    int found = 0;
                    for (int j = 0; j < n_order - from; j++) found += same[j] == (uint32_t)order[0][c][k];
                    assert_int_equal(found, 1);
                }
                assert_true(packing_weight(p, 1, i) == packing_weight(plain, 1, i));
            }
            for (int i = 0; i < N_DATA; i++) assert_int_equal(seen[i], 1);
            assert_memory_equal(order[mode - 1][c], order[mode - 1][0], sizeof order[0][0]);
            /* Parts of several processes are the whole. */
            int all[N_DATA] = { 0 }, n_all = 0;
            int32_t any[N_DATA];
            for (int part = 0; part < 3; part++) {
                ok(packing_split(p, part, 3, 4, (struct packing_cost){ .row = 1 }, &e), &e);
                for (int i = 0; i < packing_n_batches(p, 1); i++)
                    for (int k = 0; k < packing_n_micro(p, 1, i); k++) check_micro(&d, p, 1, i, k, all, any, &n_all);
            }
            for (int i = 0; i < N_DATA; i++) assert_int_equal(all[i], 1);
            packing_free(p);
            packing_free(plain);
        }
    }
    print_message("%.0f rows; of a step shared: %.0f, brought together: %.0f\n", rows[0], rows[1], rows[2]);
    assert_true(rows[1] < 0.85 * rows[0] && rows[2] < 0.7 * rows[0]);
    struct packing *p;
    ok(packing_new(&p, &d, BATCH, 200, 7, &e), &e);
    assert_int_equal(packing_share(p, SHARE_MODE_BATCH, UNIT, &e), ILAB_E_LIMIT);
    packing_free(p);
    dataset_release(&d);
}

/* What a run decides: nothing where nothing is alike, or where dropout would be another, unless it is asked for. */
static void test_choice(void **state)
{
    (void)state;
    struct dataset d;
    struct share_choice c;
    ilab_err e = { 0 };
    struct train_opts o = train_opts_default();
    struct sb b;
    make_documents(&d);
    ok(share_choose(&c, &d, &o, BATCH, 90, &e), &e);
    assert_true(c.mode == SHARE_MODE_BATCH && c.unit == UNIT && c.computed < c.tokens && c.grouped < c.computed && c.most > 0 && c.most <= BATCH);
    sb_init(&b, 4096);
    share_describe(&c, &b);
    assert_non_null(strstr(b.p, "prefix sharing: 16,"));
    assert_non_null(strstr(b.p, "--share-prefix on"));
    sb_release(&b);
    o.lora_dropout = 0.1f;
    ok(share_choose(&c, &d, &o, BATCH, 90, &e), &e);
    assert_true(c.mode == SHARE_MODE_NONE && c.unit == 90);
    o.share = SHARE_ON;
    ok(share_choose(&c, &d, &o, BATCH, 90, &e), &e);
    assert_true(c.mode == SHARE_MODE_GROUPS && c.computed == c.grouped);
    o.share = SHARE_OFF;
    ok(share_choose(&c, &d, &o, BATCH, 90, &e), &e);
    assert_int_equal(c.mode, SHARE_MODE_NONE);
    dataset_release(&d);
    make_samples(&d);
    d.n = 1;
    o.share = SHARE_ON;
    ok(share_choose(&c, &d, &o, BATCH, 33, &e), &e);
    assert_int_equal(c.mode, SHARE_MODE_NONE);
    dataset_release(&d);
}

int main(void)
{
    struct pool *two = pool_new(2), *one = pool_new(1);
    G = gemm_ctx_new(kern_get(cpu_detect()), two);
    ONE = gemm_ctx_new(kern_get(cpu_detect()), one);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attention), cmocka_unit_test(test_pass_of_every_architecture), cmocka_unit_test(test_states),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_packing), cmocka_unit_test(test_choice),
    };
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    gemm_ctx_free(G);
    gemm_ctx_free(ONE);
    pool_free(two);
    pool_free(one);
    return rc;
}
