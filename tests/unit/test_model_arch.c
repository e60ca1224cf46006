/* test_model_arch.c — every row of the table of architectures; mixtures of experts; windows; embedding models.
 *
 * That the maths is right is shown beside llama.cpp (tests/check/arch_oracle.sh). Here: the same bits however rows are cut, on
 * every CPU level, through a file written anew, from fused and split tensors; each missing tensor is named; a mixture of equal
 * experts is the dense model; a window sees what it should; row kernels equal their twins and double precision.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/arch_model.h"

#define TMP2 "/tmp/ilab_test_arch_2.gguf"
enum { N = 21, V = 97, C = 64 };
static struct gemm_ctx *G, *REF;

static void ids(int32_t *id)
{
    for (int i = 0; i < N; i++) id[i] = (i * i * 5 + 3 * i + 7) % V;
}

static int width(const struct model *m) { return m->hp.encoder ? C : V; }

/* Logits, or rows of an encoder. */
static void rows_of(struct gemm_ctx *g, struct model *m, int step, float *out)
{
    int32_t id[N];
    ilab_err e = { 0 };
    ids(id);
    if (m->hp.encoder) ok(model_embed_tokens(g, m, id, N, out, &e), &e);
    else sequence_logits(g, m, NULL, id, N, step, out);
    for (int i = 0; i < N * width(m); i++) assert_true(isfinite(out[i]));
}

static struct model *opened(const char *path)
{
    struct model *m;
    ilab_err e = { 0 };
    ok(model_open(&m, path, 0, G, &e), &e);
    return m;
}

/* Matrices in F16: rows of given text are products of 14-bit integers, the others exact, in whatever company. */
static void check_given(struct model *f32)
{
    static float want[N * V], exact[N * V], got[N * V];
    static const int STEP[] = { 1, 3, 7, N };
    ilab_err e = { 0 };
    ok(model_write(f32, NULL, QT_F16, TMP2, NULL, NULL, &e), &e);
    struct model *m = opened(TMP2);
    m->act = GEMM_ACT_Q8;
    rows_of(G, m, N, exact);
    sequence_given_from = 5;
    rows_of(G, m, N, want);
    for (size_t i = 0; i < ARRAY_LEN(STEP); i++) {
        rows_of(i == 2 ? REF : G, m, STEP[i], got);
        assert_memory_equal(want, got, sizeof want);
    }
    sequence_given_from = INT32_MAX;
    assert_memory_equal(want, exact, 5 * V * sizeof *want);
    assert_true(memcmp(want + 5 * V, exact + 5 * V, V * sizeof *want) != 0);
    model_free(m);
}

static void check_arch(const struct arch *a, struct hparams hp)
{
    static struct arch_weights x;
    static float want[N * V], got[N * V];
    ilab_err e = { 0 };
    arch_weights_make(&x, a, &hp, 7);
    struct model *m = arch_model(a, &hp, &x), *back;
    const size_t bytes = (size_t)(N * width(m)) * sizeof(float);
    print_message("%s%s: %d tensors\n", a->name, hp.n_expert ? " with experts" : "", m->n_weight);
    rows_of(G, m, N, want);
    for (int step = 1; step < N && !hp.encoder; step += 4) {
        rows_of(G, m, step, got);
        assert_memory_equal(want, got, bytes);
    }
    rows_of(REF, m, 5, got);
    assert_memory_equal(want, got, bytes);
    ok(model_write(m, NULL, QT_F32, TMP2, NULL, NULL, &e), &e);
    back = opened(TMP2);
    assert_memory_equal(&m->hp, &back->hp, sizeof m->hp);
    rows_of(G, back, N, got);
    assert_memory_equal(want, got, bytes);
    model_free(back);
    if (!hp.encoder) check_given(m);
    if (a->use[W_QKV]) {
        arch_write(TMP2, a, &hp, &x, -1, 1);
        back = opened(TMP2);
        assert_true(back->n_weight < m->n_weight);
        rows_of(G, back, 7, got);
        assert_memory_equal(want, got, bytes);
        model_free(back);
    }
    model_free(m);
    for (int i = 0; i < x.n; i++) {
        if (x.w[i].kind == W_OUTPUT) continue; /* without it the embedding serves */
        struct gguf *g = arch_write(NULL, a, &hp, &x, i, 0);
        assert_int_not_equal(model_open_gguf(&back, g, 0, G, &e), 0);
        gguf_close(g);
        if (!strstr(e.msg, x.w[i].t.name) && !strstr(e.msg, "token_embd.weight")) fail_msg("%s: does not name %s", e.msg, x.w[i].t.name);
    }
    arch_weights_free(&x);
}

static void test_every_architecture(void **state)
{
    (void)state;
    for (int i = 0; i < N_ARCHS; i++) {
        struct hparams hp = arch_hparams(&ARCHS[i]);
        if (ARCHS[i].use[W_GATE] || ARCHS[i].use[W_UP] || ARCHS[i].use[W_GATE_UP]) check_arch(&ARCHS[i], hp);
        arch_add_experts(&hp, &ARCHS[i]);
        if (ARCHS[i].use[W_ROUTER]) check_arch(&ARCHS[i], hp);
    }
    unlink(TMP2);
}

/* ---- experts ---- */

static float *data_of(struct arch_weights *x, int kind, int layer)
{
    for (int i = 0; i < x->n; i++)
        if (x->w[i].kind == kind && x->w[i].layer == layer) return x->data[i];
    fail();
    return NULL;
}

static void test_equal_experts_are_the_dense_model(void **state)
{
    (void)state;
    static struct arch_weights dense, sparse;
    static float want[N * V], got[N * V];
    const struct arch *a = arch_named(SV("llama"));
    struct hparams hp = arch_hparams(a), mix = hp;
    const int kind[3][2] = { { W_GATE, W_GATE_EXPERTS }, { W_UP, W_UP_EXPERTS }, { W_DOWN, W_DOWN_EXPERTS } };
    mix.n_expert = 6;
    mix.n_expert_used = 3;
    mix.n_ff_expert = hp.n_ff;
    arch_weights_make(&dense, a, &hp, 3);
    arch_weights_make(&sparse, a, &mix, 3);
    for (int i = 0; i < dense.n; i++)
        for (int k = 0; k < sparse.n; k++)
            if (!strcmp(dense.w[i].t.name, sparse.w[k].t.name)) memcpy(sparse.data[k], dense.data[i], dense.w[i].t.n_bytes);
    for (int l = 0; l < hp.n_layer; l++)
        for (int k = 0; k < 3; k++)
            for (int e = 0; e < mix.n_expert; e++)
                memcpy(data_of(&sparse, kind[k][1], l) + e * C * hp.n_ff, data_of(&dense, kind[k][0], l), sizeof(float) * C * (size_t)hp.n_ff);
    struct model *m = arch_model(a, &hp, &dense), *s = arch_model(a, &mix, &sparse);
    rows_of(G, m, N, want);
    rows_of(G, s, N, got);
    for (int i = 0; i < N * V; i++) assert_true(fabsf(want[i] - got[i]) < 1e-4f);
    model_free(m);
    model_free(s);
    arch_weights_free(&dense);
    arch_weights_free(&sparse);
}

/* One token, one layer: exactly the experts that it uses are read. */
static void test_unused_experts_are_not_touched(void **state)
{
    (void)state;
    static struct arch_weights x;
    const struct arch *a = arch_named(SV("qwen3moe"));
    struct hparams hp = arch_hparams(a);
    const int32_t id = 11;
    float z[V];
    int used = 0;
    hp.n_layer = 1;
    arch_add_experts(&hp, a);
    arch_weights_make(&x, a, &hp, 5);
    for (int e = 0; e < hp.n_expert; e++) {
        float *w = data_of(&x, W_UP_EXPERTS, 0) + e * C * hp.n_ff_expert, keep = w[0];
        w[0] = NAN;
        struct model *m = arch_model(a, &hp, &x);
        sequence_logits(G, m, NULL, &id, 1, 1, z);
        used += isnan(z[0]);
        model_free(m);
        w[0] = keep;
    }
    assert_int_equal(used, hp.n_expert_used);
    arch_weights_free(&x);
}

/* ---- windows ---- */

static void test_window_limits_what_a_position_sees(void **state)
{
    (void)state;
    static struct arch_weights x;
    static float a[N * V], b[N * V];
    const struct arch *arch = arch_named(SV("llama"));
    struct hparams hp = arch_hparams(arch);
    int32_t id[N];
    hp.n_layer = 2;
    hp.window = 3; /* two layers: four positions back */
    arch_weights_make(&x, arch, &hp, 5);
    struct model *m = arch_model(arch, &hp, &x);
    ids(id);
    sequence_logits(G, m, NULL, id, N, 6, a);
    id[8] = (id[8] + 1) % V;
    sequence_logits(G, m, NULL, id, N, 6, b);
    for (int i = 0; i < N; i++) assert_int_equal(memcmp(a + i * V, b + i * V, V * sizeof(float)) != 0, i >= 8 && i <= 12);
    model_free(m);
    arch_weights_free(&x);
}

/* ---- embedding models ---- */

static void test_embedding_of_texts(void **state)
{
    (void)state;
    static struct arch_weights x;
    ilab_err e = { 0 };
    const int n_id[4] = { 3, 1, 12, 5 };
    for (int pooling = POOLING_NONE; pooling <= POOLING_LAST; pooling++) {
        const struct arch *a = arch_named(pooling == POOLING_CLS ? SV("bert") : SV("nomic-bert"));
        struct hparams hp = arch_hparams(a);
        float all[4 * C], one[C], rows[N * C];
        int32_t id[N];
        hp.pooling = pooling;
        arch_weights_make(&x, a, &hp, 5);
        struct model *m = arch_model(a, &hp, &x);
        assert_int_equal(m->hp.pooling, pooling);
        ids(id);
        ok(model_embed(G, m, id, n_id, 4, all, &e), &e);
        for (int i = 0, at = 0; i < 4; at += n_id[i++]) {
            double size = 0;
            ok(model_embed(REF, m, id + at, &n_id[i], 1, one, &e), &e);
            assert_memory_equal(all + i * C, one, sizeof one);
            ok(model_embed_tokens(G, m, id + at, n_id[i], rows, &e), &e);
            for (int c = 0; c < C; c++) {
                double want = 0;
                if (pooling == POOLING_CLS) want = rows[c];
                else if (pooling == POOLING_LAST) want = rows[(n_id[i] - 1) * C + c];
                else
                    for (int r = 0; r < n_id[i]; r++) want += rows[r * C + c] / (double)n_id[i];
                size += want * want;
                rows[c] = (float)want; /* rows before are not needed any more */
            }
            for (int c = 0; c < C; c++) assert_true(fabs((double)rows[c] / sqrt(size) - (double)one[c]) < 1e-5);
        }
        const int bad = 0, too_long = 65;
        assert_int_equal(model_embed(G, m, id, &bad, 1, one, &e), ILAB_E_LIMIT);
        id[0] = V;
        assert_int_equal(model_embed(G, m, id, n_id, 1, one, &e), ILAB_E_INVALID);
        if (m->positions.data) {
            int32_t many[65] = { 0 };
            assert_int_equal(model_embed(G, m, many, &too_long, 1, one, &e), ILAB_E_LIMIT);
        }
        model_free(m);
        arch_weights_free(&x);
    }
    const struct hparams hp = tiny_hparams(48, 40, 1);
    struct model *m = tiny_model(&hp);
    const int32_t id = 1;
    const int n = 1;
    float out[32];
    assert_int_equal(model_embed(G, m, &id, &n, 1, out, &e), ILAB_E_INVALID);
    model_free(m);
}

/* ---- rotary scaling ---- */

/* The table of positions at one pair against the formulas in double. */
static void test_rope_scaling(void **state)
{
    (void)state;
    const struct { int scaling, orig; float factor; } CASE[] = { { ROPE_SCALING_LINEAR, 64, 4 }, { ROPE_SCALING_YARN, 32, 4 }, { ROPE_SCALING_NONE, 64, 1 } };
    static struct arch_weights x;
    for (size_t i = 0; i < ARRAY_LEN(CASE); i++) {
        const struct arch *a = arch_named(SV("llama"));
        struct hparams hp = arch_hparams(a);
        hp.rope_scaling = CASE[i].scaling;
        hp.rope_factor = CASE[i].factor;
        hp.rope_n_ctx = CASE[i].orig;
        arch_weights_make(&x, a, &hp, 5);
        struct model *m = arch_model(a, &hp, &x);
        assert_int_equal(m->hp.rope_scaling, CASE[i].scaling);
        for (int p = 0; p < hp.rope_dim / 2; p++) {
            double f = pow(10000, -2.0 * p / hp.rope_dim), turns = CASE[i].orig * f / (2 * 3.14159265358979323846), size = 1;
            if (CASE[i].scaling == ROPE_SCALING_LINEAR) f /= 4;
            if (CASE[i].scaling == ROPE_SCALING_YARN) {
                size = 1 + 0.1 * log(4);
                if (turns < 1) f /= 4;          /* slow pairs: interpolated */
                else if (turns < 32) continue;  /* on the ramp: shown beside llama.cpp */
            }
            assert_true(fabs((double)m->rope_cos_sin[9 * hp.rope_dim + 2 * p] - size * cos(9 * f)) < 1e-6);
            assert_true(fabs((double)m->rope_cos_sin[9 * hp.rope_dim + 2 * p + 1] - size * sin(9 * f)) < 1e-6);
        }
        model_free(m);
        arch_weights_free(&x);
    }
}

/* ---- kernels ---- */

static void check_rows(const struct kern *k, int n)
{
    enum { MAX = 300 };
    float x[MAX], w[MAX], b[MAX], y[2][MAX], cs[MAX];
    for (int i = 0; i < n; i++) {
        x[i] = (float)(4 * noise(1, (uint32_t)i));
        w[i] = (float)noise(2, (uint32_t)i);
        b[i] = (float)noise(3, (uint32_t)i);
        cs[i] = (float)noise(4, (uint32_t)i);
    }
    x[n / 2] = n % 2 ? -60 : 60;
    const struct kern *both[2] = { kern_get(0), k };
    for (int job = 0; job < 8; job++) {
        for (int i = 0; i < 2; i++) {
            memcpy(y[i], x, sizeof x);
            switch (job) {
            case 0: both[i]->layernorm(y[i], x, w, b, n, 1e-5f); break;
            case 1: both[i]->layernorm(y[i], y[i], w, NULL, n, 1e-5f); break;
            case 2: both[i]->gelu_mul(y[i], x, NULL, n); break;
            case 3: both[i]->gelu_mul(y[i], y[i], w, n); break;
            case 4: both[i]->sigmoid(y[i], x, n); break;
            case 5: both[i]->softcap(y[i], 3.5f, n); break;
            default: both[i]->rope_halves(y[i], 1, n, n / 2 * 2, cs, job - 6);
            }
        }
        assert_memory_equal(y[0], y[1], (size_t)n * sizeof(float));
        double mean = 0, var = 0;
        for (int i = 0; i < n; i++) mean += (double)x[i] / n;
        for (int i = 0; i < n; i++) var += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
        for (int i = 0; i < n; i++) {
            const double v = x[i], gelu = 0.5 * v * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (v + 0.044715 * v * v * v)));
            const double ln = (v - mean) / sqrt(var + 1e-5) * (double)w[i], half = n / 2;
            const double cosine = cs[i % (int)(half > 0 ? half : 1)];
            const double want[6] = { ln + (double)b[i], ln, gelu, gelu * (double)w[i], 1 / (1 + exp(-v)), 3.5 * tanh(v / 3.5) };
            if (job < 6 && fabs(want[job] - (double)y[0][i]) > 1e-5 * (1 + fabs(want[job])))
                fail_msg("kernel %d, n %d, element %d: %g, expected %g", job, n, i, (double)y[0][i], want[job]);
            if (job == 6 && i < (int)half)
                assert_true(fabs(v * cosine - (double)x[i + (int)half] * (double)cs[i + (int)half] - (double)y[0][i]) < 1e-4);
        }
    }
}

static void test_row_kernels_equal_their_twins_and_double_precision(void **state)
{
    (void)state;
    for (int n = 1; n < 300; n += n < 40 ? 1 : 37) check_rows(gemm_kern(G), n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_architecture),
        cmocka_unit_test(test_equal_experts_are_the_dense_model),
        cmocka_unit_test(test_unused_experts_are_not_touched),
        cmocka_unit_test(test_window_limits_what_a_position_sees),
        cmocka_unit_test(test_embedding_of_texts),
        cmocka_unit_test(test_rope_scaling),
        cmocka_unit_test(test_row_kernels_equal_their_twins_and_double_precision),
    };
    struct pool *pool = pool_new(2);
    G = gemm_ctx_new(kern_get(cpu_detect()), pool);
    REF = gemm_ctx_new(kern_get(0), NULL);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    gemm_ctx_free(G);
    gemm_ctx_free(REF);
    pool_free(pool);
    unlink(TMP2);
    return failed;
}
