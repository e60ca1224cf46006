/* test_model_train.c — training adapters on the architectures that have a backward pass.
 *
 * Oracle: the loss itself, moved a little along the gradient of one kind of adapted matrix at a time; and an adapter merged into
 * (fused) tensors against base and adapter. What cannot be trained is named.  SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/arch_model.h"
#include "train/train.h"

#define TMP "/tmp/ilab_test_model_train.gguf"
enum { N = 18, V = 97, ALL = (1 << LIN_COUNT) - 1 };
static struct gemm_ctx *G;
static int32_t IDS[N], ROWS[N], LABELS[N];
static float WEIGHTS[N];

static double loss(struct tape *t, const struct batch *b, const struct targets *y, int backward)
{
    double sum = 0, weight = 0;
    ilab_err e = { 0 };
    ok(tape_step(t, b, y, &(struct loss_opts){ 0 }, 1, backward, &sum, &weight, &e), &e);
    return sum;
}

/* Moves the parameters of one kind and half (A or B) by step times the unit gradient, all layers. */
static double move(struct param *p, int n, const char *what, double step)
{
    double norm = 0;
    for (int i = 0; i < n; i++)
        for (size_t k = 0; strstr(p[i].name, what) && k < p[i].n; k++) norm += (double)p[i].g[k] * (double)p[i].g[k];
    norm = sqrt(norm);
    for (int i = 0; i < n && norm > 0; i++)
        for (size_t k = 0; strstr(p[i].name, what) && k < p[i].n; k++) p[i].w[k] += (float)(step * (double)p[i].g[k] / norm);
    return norm;
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
    double worst = 0;
    for (int kind = 0; kind < 2 * LIN_COUNT; kind++) {
        char what[64];
        const double by = 0.02;
        snprintf(what, sizeof what, "%s.weight.lora_%c", LINEAR_NAME[kind / 2], "ab"[kind % 2]);
        const double norm = move(p, n, what, by), up = loss(t, &b, &y, 0);
        move(p, n, what, -2 * by);
        const double slope = (up - loss(t, &b, &y, 0)) / (2 * by);
        move(p, n, what, by);
        assert_true(norm > 0);
        if (fabs(slope - norm) > 0.01 * norm) fail_msg("%s, %s: slope %g, gradient %g", a->name, what, slope, norm);
        worst = fmax(worst, fabs(slope - norm) / norm);
    }
    print_message("%s: worst relative difference %.1e\n", a->name, worst);
    tape_free(t);
    adapter_free(ad);
}

static void test_gradients_of_adapters(void **state)
{
    (void)state;
    static struct arch_weights x;
    static const char *const TRAINABLE[] = { "llama", "granite", "qwen2", "qwen3", "phi3", "smollm3" };
    for (int i = 0; i < N_ARCHS; i++) {
        const struct arch *a = &ARCHS[i];
        struct hparams hp = arch_hparams(a);
        ilab_err e = { 0 };
        int want = 0;
        for (size_t k = 0; k < ARRAY_LEN(TRAINABLE); k++) want |= !strcmp(a->name, TRAINABLE[k]);
        if (a->use[W_ROUTER] && !want) arch_add_experts(&hp, a);
        arch_weights_make(&x, a, &hp, 9);
        struct model *m = arch_model(a, &hp, &x);
        if (want) {
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
}

/* The adapter's rows land in the right place of attn_qkv and of gate and up in one. */
static void test_merge_into_fused_tensors(void **state)
{
    (void)state;
    static struct arch_weights x;
    static float with[N * V], merged[N * V], plain[N * V];
    for (int fuse = 0; fuse < 2; fuse++) {
        const struct arch *a = arch_named(SV("phi3"));
        const struct hparams hp = arch_hparams(a);
        struct model *m, *back;
        ilab_err e = { 0 };
        arch_weights_make(&x, a, &hp, 9);
        arch_write(TMP, a, &hp, &x, -1, fuse);
        ok(model_open(&m, TMP, 0, G, &e), &e);
        struct adapter *ad = tiny_adapter(m, 3, ALL, 0);
        sequence_logits(G, m, NULL, IDS, N, N, plain);
        sequence_logits(G, m, ad, IDS, N, N, with);
        ok(model_write(m, ad, QT_F32, TMP, NULL, NULL, &e), &e);
        ok(model_open(&back, TMP, 0, G, &e), &e);
        sequence_logits(G, back, NULL, IDS, N, N, merged);
        double worst = 0, change = 0;
        for (int i = 0; i < N * V; i++) {
            worst = fmax(worst, fabs((double)with[i] - (double)merged[i]));
            change = fmax(change, fabs((double)with[i] - (double)plain[i]));
        }
        assert_true(change > 0.5 && worst < 1e-3);
        model_free(back);
        adapter_free(ad);
        model_free(m);
        arch_weights_free(&x);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_gradients_of_adapters), cmocka_unit_test(test_merge_into_fused_tensors) };
    struct pool *pool = pool_new(2);
    G = gemm_ctx_new(kern_get(cpu_detect()), pool);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    gemm_ctx_free(G);
    pool_free(pool);
    unlink(TMP);
    return failed;
}
