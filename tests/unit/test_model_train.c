/* test_model_train.c — adapters on every architecture.
 *
 * Gradients: the loss itself, moved a little along the gradient (and along half of its numbers) of one kind of adapted matrix at a
 * time; the same bits however a batch is cut. Files: written and read again, and merged, against base and adapter. Encoders are
 * refused by name.  SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/arch_model.h"
#include "train/train.h"

#define TMP "/tmp/ilab_test_model_train.gguf"
#define TMP2 "/tmp/ilab_test_model_train_2.gguf"
enum { N = 18, V = 97, ALL = (1 << ADAPT_COUNT) - 1 };
static struct gemm_ctx *G, *ONE;
static int32_t IDS[N], ROWS[N], LABELS[N];
static float WEIGHTS[N];

static double loss(struct tape *t, const struct batch *b, const struct targets *y, int backward)
{
    double sum = 0, weight = 0;
    ilab_err e = { 0 };
    ok(tape_step(t, b, y, &(struct loss_opts){ 0 }, 1, backward, &sum, &weight, &e), &e);
    return sum;
}

/* Moves the parameters of one kind and half (A or B) by step times the unit gradient, all layers; half: only every second number, as
 * a hash has it. */
static double move(struct param *p, int n, const char *what, int half, double step)
{
    double norm = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < n; i++)
            for (size_t k = 0; strstr(p[i].name, what) && k < p[i].n; k++) {
                if (half && noise(5, (uint32_t)k) < 0) continue;
                if (pass) p[i].w[k] += (float)(step * (double)p[i].g[k] / sqrt(norm));
                else norm += (double)p[i].g[k] * (double)p[i].g[k];
            }
    assert_true(norm > 0);
    return sqrt(norm);
}

/* The same bits on one thread, a segment at a time, with other pieces of the vocabulary, a layer that runs forward twice. */
static void check_bits(struct model *m, struct adapter *ad, const struct batch *b, const struct targets *y, const struct param *want, int n)
{
    struct tape *t;
    struct param *p;
    ilab_err e = { 0 };
    ok(tape_new_with(&t, ONE, m, ad, 11, 3, &(struct tape_opts){ .recompute = 1, .lean = 1 }, &e), &e);
    assert_int_equal(tape_params(t, &p), n);
    tape_zero_grad(t);
    loss(t, b, y, 1);
    tape_finish_grad(t);
    for (int i = 0; i < n; i++) assert_memory_equal(p[i].g, want[i].g, p[i].n * sizeof(float));
    tape_free(t);
}

static void check_gradients(const struct arch *a, struct model *m)
{
    struct adapter *ad = tiny_adapter(m, 3, ALL, 0);
    struct tape *t;
    struct param *p;
    ilab_err e = { 0 };
    struct segment seg[2] = { { 0, 11, 0, NULL }, { 11, N - 11, 0, NULL } };
    const struct batch b = { .n_row = N, .id = IDS, .n_seg = 2, .seg = seg };
    const struct targets y = { N, ROWS, LABELS, NULL, WEIGHTS };
    ok(tape_new(&t, G, m, ad, N, N, &e), &e);
    const int n = tape_params(t, &p);
    for (int i = 0; i < N; i++) {
        IDS[i] = (7 * i * i + 3) % V;
        ROWS[i] = i;
        LABELS[i] = (5 * i + 1) % V;
        WEIGHTS[i] = 1;
    }
    tape_zero_grad(t);
    loss(t, &b, &y, 1);
    tape_finish_grad(t);
    check_bits(m, ad, &b, &y, p, n);
    double worst = 0;
    int n_checked = 0;
    for (int kind = 0; kind < 4 * ADAPT_COUNT; kind++) {
        char what[64];
        const double by = m->hp.n_expert_used < m->hp.n_expert ? 0.001 : 0.004; /* a change of the choice is a jump of the loss: none so near */
        snprintf(what, sizeof what, "%s.weight.lora_%c", LINEAR_NAME[kind / 4], "ab"[kind % 2]);
        if (kind & 2 && !strcmp(gemm_kern(G)->isa, "ref")) continue; /* slow, and the bits are the same */
        if (!ad->lora[kind / 4].on || (kind % 2 == 0 && ad->lora[kind / 4].a_of != kind / 4)) continue;
        const double norm = move(p, n, what, kind & 2, by), up = loss(t, &b, &y, 0);
        move(p, n, what, kind & 2, -2 * by);
        const double slope = (up - loss(t, &b, &y, 0)) / (2 * by);
        move(p, n, what, kind & 2, by);
        if (fabs(slope - norm) > 0.01 * norm) fail_msg("%s, %s: slope %g, gradient %g", a->name, what, slope, norm);
        worst = fmax(worst, fabs(slope - norm) / norm);
        n_checked++;
    }
    print_message("%s%s: %d directions, worst relative difference %.1e\n", a->name, m->hp.n_expert ? " with experts" : "", n_checked, worst);
    tape_free(t);
    adapter_free(ad);
}

static void check_arch(const struct arch *a, const struct hparams *hp)
{
    static struct arch_weights x;
    ilab_err e = { 0 };
    arch_weights_make(&x, a, hp, 9);
    struct model *m = arch_model(a, hp, &x);
    if (!hp->encoder) {
        ok(model_trainable(m, 0, &e), &e);
        check_gradients(a, m);
    } else {
        struct tape *t;
        assert_int_equal(model_trainable(m, 0, &e), ILAB_E_INVALID);
        assert_non_null(strstr(e.msg, a->name));
        assert_int_equal(tape_new(&t, G, m, NULL, N, N, &e), ILAB_E_INVALID);
    }
    model_free(m);
    arch_weights_free(&x);
}

static void test_gradients_of_adapters(void **state)
{
    (void)state;
    for (int i = 0; i < N_ARCHS; i++) {
        const struct arch *a = &ARCHS[i];
        struct hparams hp = arch_hparams(a);
        if (!hp.rope_skip && hp.window_period < 3) hp.n_layer = 2;
        if (a->use[W_GATE] || a->use[W_UP] || a->use[W_GATE_UP]) check_arch(a, &hp);
        arch_add_experts(&hp, a);
        if (!a->use[W_ROUTER]) continue;
        check_arch(a, &hp);
        hp.n_expert_used = hp.n_expert; /* smooth */
        check_arch(a, &hp);
    }
}

/* ---- dropout ---- */

static double dropped(struct tape *t, const struct batch *b, const struct targets *y, int64_t step)
{
    tape_dropout(t, 5, step);
    tape_zero_grad(t);
    return loss(t, b, y, 1);
}

/* All numbers of the adapter along the gradient; the same bits for cuts, threads and a layer that runs twice; another step is another
 * choice; without a step there is none. */
static void test_dropout(void **state)
{
    (void)state;
    static struct arch_weights x;
    static const char *const NAME[2] = { "phi3", "qwen2moe" };
    for (int i = 0; i < 2; i++) {
        const struct arch *a = arch_named(sv_of(NAME[i]));
        struct hparams hp = arch_hparams(a);
        struct segment seg[2] = { { 0, 11, 0, NULL }, { 11, N - 11, 0, NULL } };
        const struct batch b = { .n_row = N, .id = IDS, .n_seg = 2, .seg = seg };
        const struct targets y = { N, ROWS, LABELS, NULL, WEIGHTS };
        struct tape *t, *cut;
        struct param *p;
        ilab_err e = { 0 };
        hp.n_layer = 2;
        if (i) arch_add_experts(&hp, a), hp.n_expert_used = hp.n_expert;
        arch_weights_make(&x, a, &hp, 9);
        struct model *m = arch_model(a, &hp, &x);
        struct adapter *ad = tiny_adapter(m, 3, ALL, 0);
        ad->dropout = 0.3f;
        ok(tape_new(&t, G, m, ad, N, N, &e), &e);
        ok(tape_new_with(&cut, ONE, m, ad, 11, 5, &(struct tape_opts){ .recompute = 1, .lean = 1 }, &e), &e);
        tape_params(t, &p);
        float *g = mem_calloc(ad->n_params, sizeof *g), *g2 = mem_calloc(ad->n_params, sizeof *g2), *keep = mem_calloc(ad->n_params, sizeof *keep);
        const size_t bytes = ad->n_params * sizeof *g;
        const double plain = loss(t, &b, &y, 1), first = dropped(t, &b, &y, 3), none = loss(t, &b, &y, 0);
        memcpy(g, p[0].g, bytes); /* one block, in the order of the adapter */
        assert_true(plain == none && fabs(first - none) > 1e-3 && dropped(t, &b, &y, 4) != first);
        tape_params(cut, &p);
        assert_true(dropped(cut, &b, &y, 3) == first);
        memcpy(g2, p[0].g, bytes);
        assert_memory_equal(g, g2, bytes);
        double norm = 0, by = 0.004, side[2];
        for (size_t k = 0; k < ad->n_params; k++) norm += (double)g[k] * (double)g[k];
        memcpy(keep, ad->params, bytes);
        for (int s = 0; s < 2; s++) {
            for (size_t k = 0; k < ad->n_params; k++) ad->params[k] = keep[k] + (float)((s ? -by : by) * (double)g[k] / sqrt(norm));
            side[s] = dropped(t, &b, &y, 3);
        }
        const double slope = (side[0] - side[1]) / (2 * by);
        if (fabs(slope - sqrt(norm)) > 0.01 * sqrt(norm)) fail_msg("%s: slope %g, gradient %g", a->name, slope, sqrt(norm));
        mem_free(g);
        mem_free(g2);
        mem_free(keep);
        tape_free(t);
        tape_free(cut);
        adapter_free(ad);
        model_free(m);
        arch_weights_free(&x);
    }
}

/* An adapter through its file and merged into the base, against base and adapter: fused tensors (q, k and v; gate and up), experts,
 * shared experts, only some parts of a fused tensor. */
static void check_files(const struct arch *a, const struct hparams *hp, int fuse, unsigned which)
{
    static struct arch_weights x;
    static float with[N * V], other[N * V], plain[N * V];
    struct model *m, *back;
    struct adapter *ad, *read;
    ilab_err e = { 0 };
    arch_weights_make(&x, a, hp, 9);
    arch_write(TMP, a, hp, &x, -1, fuse);
    ok(model_open(&m, TMP, 0, G, &e), &e);
    ad = tiny_adapter(m, 3, which, 0);
    sequence_logits(G, m, NULL, IDS, N, N, plain);
    sequence_logits(G, m, ad, IDS, N, N, with);
    for (int rslora = 0; rslora < 2; rslora++) {
        if (rslora) adapter_set_rslora(ad);
        ok(adapter_write(ad, m, TMP2, &e), &e);
        ok(adapter_open(&read, TMP2, m, &e), &e);
        sequence_logits(G, m, ad, IDS, N, N, with);
        sequence_logits(G, m, read, IDS, N, N, other);
        assert_memory_equal(with, other, sizeof with);
        adapter_free(read);
    }
    ok(model_write(m, ad, QT_F32, TMP2, NULL, NULL, &e), &e);
    ok(model_open(&back, TMP2, 0, G, &e), &e);
    sequence_logits(G, back, NULL, IDS, N, N, other);
    double worst = 0, change = 0;
    for (int i = 0; i < N * V; i++) {
        worst = fmax(worst, fabs((double)with[i] - (double)other[i]));
        change = fmax(change, fabs((double)with[i] - (double)plain[i]));
    }
    if (!(change > 0.1 && worst < 2e-3)) fail_msg("%s: merged differs by %g, the adapter changes %g", a->name, worst, change);
    model_free(back);
    adapter_free(ad);
    model_free(m);
    arch_weights_free(&x);
}

static void test_adapters_in_files_and_merged(void **state)
{
    (void)state;
    for (int i = 0; i < N_ARCHS; i++) {
        const struct arch *a = &ARCHS[i];
        struct hparams hp = arch_hparams(a);
        hp.n_layer = 2;
        if (hp.encoder) continue;
        if (a->use[W_GATE] || a->use[W_UP] || a->use[W_GATE_UP])
            for (int fuse = 0; fuse < 2; fuse++) check_files(a, &hp, fuse, fuse ? 1u << LIN_Q | 1u << LIN_V | 1u << LIN_UP | 1u << LIN_DOWN : ALL);
        arch_add_experts(&hp, a);
        if (a->use[W_ROUTER]) check_files(a, &hp, 0, ALL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_gradients_of_adapters), cmocka_unit_test(test_dropout), cmocka_unit_test(test_adapters_in_files_and_merged) };
    struct pool *pool = pool_new(2);
    G = gemm_ctx_new(kern_get(cpu_detect()), pool);
    ONE = gemm_ctx_new(kern_get(cpu_detect()), NULL);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    gemm_ctx_free(G);
    gemm_ctx_free(ONE);
    pool_free(pool);
    unlink(TMP);
    unlink(TMP2);
    return failed;
}
