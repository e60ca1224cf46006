/* test_recompute.c — a training pass on less memory: the same bits, and the plan says less.
 *
 * Oracle: the pass that keeps everything (test_backward.c compares that one with PyTorch).  SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tiny_model.h"
#include "train/train.h"

enum { N_ROW = 52, V = 40 };

struct result { double loss; float *grad; size_t n; };
static struct result step(struct model *m, struct adapter *ad, int max_row, const struct tape_opts *o)
{
    int32_t id[N_ROW], row[N_ROW], label[N_ROW];
    const int cut[4] = { 0, 20, 27, N_ROW };
    struct segment seg[3];
    struct targets y = { 0, row, label };
    struct result r = { 0 };
    double weight = 0;
    ilab_err e = { 0 };
    struct tape *t;
    struct param *p;
    for (int i = 0; i < N_ROW; i++) {
        id[i] = (7 * i * i + 3) % V;
        if (i % 3 == 1) continue;
        row[y.n] = i, label[y.n++] = (5 * i + 1) % V;
    }
    for (int i = 0; i < 3; i++) seg[i] = (struct segment){ cut[i], cut[i + 1] - cut[i], 0, NULL };
    const struct batch b = { N_ROW, id, 3, seg };
    struct pool *pool = pool_new(2);
    struct gemm_ctx *g = gemm_ctx_new(kern_get(cpu_detect()), pool);
    ok(tape_new_with(&t, g, m, ad, max_row, 64, o, &e), &e);
    tape_zero_grad(t);
    for (int twice = 0; twice < 2; twice++) ok(tape_step(t, &b, &y, &(struct loss_opts){ 0 }, 0.1f, 1, &r.loss, &weight, &e), &e);
    tape_finish_grad(t);
    const int n_p = tape_params(t, &p);
    for (int i = 0; i < n_p; i++) r.n += p[i].n;
    r.grad = test_malloc(r.n * sizeof(float));
    size_t at = 0;
    for (int i = 0; i < n_p; at += p[i++].n) memcpy(r.grad + at, p[i].g, p[i].n * sizeof(float));
    tape_free(t);
    gemm_ctx_free(g);
    pool_free(pool);
    return r;
}

static void test_the_same_bits_whatever_is_kept(void **state)
{
    (void)state;
    const struct tape_opts opts[] = { { .lean = 1 }, { .recompute = 1 }, { .recompute = 2 }, { .recompute = 99 }, { .recompute = 3, .lean = 1 },
                                      { .logit_rows = 1 }, { .recompute = 99, .logit_rows = 7 } };
    const struct { unsigned which; int first_layer; float residual_scale; int wide_norm, rope; } kind[] = {
        { 0, 0, 0, 0, ROPE_PAIRS }, { 127, 0, 0, 0, ROPE_PAIRS }, { 127, 3, 0.5f, 0, ROPE_PAIRS }, { 1u << LIN_UP | 1u << LIN_Q, 2, 0, 0, ROPE_HALVES }, { 1u << LIN_DOWN, 5, 0, 0, ROPE_PAIRS } };
    for (size_t k = 0; k < ARRAY_LEN(kind); k++) {
        struct hparams hp = tiny_hparams(48, V, 1);
        hp.n_layer = 6;
        hp.residual_scale = kind[k].residual_scale;
        hp.rope = kind[k].rope;
        struct model *m = tiny_model(&hp);
        struct adapter *ad = kind[k].which ? tiny_adapter(m, 4, kind[k].which, kind[k].first_layer) : NULL;
        struct result want = step(m, ad, 64, NULL);
        assert_true(want.loss > 0);
        for (size_t i = 0; i < 2 * ARRAY_LEN(opts); i++) {
            struct result got = step(m, ad, i % 2 ? 28 : 64, &opts[i / 2]);
            assert_int_equal(want.n, got.n);
            assert_true(memcmp(&want.loss, &got.loss, sizeof want.loss) == 0);
            for (size_t j = 0; j < want.n; j++)
                if (want.grad[j] != got.grad[j]) fail_msg("kind %zu, options %zu: gradient %zu is %g, was %g", k, i, j, (double)got.grad[j], (double)want.grad[j]);
            test_free(got.grad);
        }
        test_free(want.grad);
        adapter_free(ad);
        model_free(m);
    }
}

static size_t planned(const struct model *m, const struct adapter *ad, const struct tape_opts *o)
{
    struct plan_row row[16];
    size_t sum = 0;
    for (int n = tape_plan_with(m, ad, 512, 512, o, row, 16); n--;) sum += row[n].bytes;
    return sum;
}

static void test_the_plan_counts_what_is_kept(void **state)
{
    (void)state;
    struct hparams hp = tiny_hparams(48, V, 1);
    hp.n_layer = 12;
    struct model *m = tiny_model(&hp);
    struct adapter *all = tiny_adapter(m, 4, 127, 0), *upper = tiny_adapter(m, 4, 127, 6);
    size_t before = planned(m, all, NULL), lean = planned(m, all, &(struct tape_opts){ .lean = 1 });
    assert_true(lean < before && planned(m, upper, NULL) < before);
    for (int i = 2; i <= 12; i++) { /* each layer that is computed again leaves its input */
        size_t now = planned(m, all, &(struct tape_opts){ .recompute = i });
        assert_true(now < before || i == 2);
        before = now;
    }
    assert_true(before * 3 < planned(m, all, NULL));
    adapter_free(all);
    adapter_free(upper);
    model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_the_same_bits_whatever_is_kept), cmocka_unit_test(test_the_plan_counts_what_is_kept) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
