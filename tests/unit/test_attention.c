/* test_attention.c — attention over pages: the scalar level against double precision; every level, number of threads and way to
 * cut the rows against each other, bit for bit; pages of every type against F32 pages that hold the dequantised numbers;
 * gradients against central differences in double. Shapes: grouped heads, odd head sizes, windows, capped scores, encoders.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern/kern.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kern_levels.h"

static struct rng R;

static float *floats(size_t n)
{
    float *p = mem_alloc((n ? n : 1) * sizeof *p);
    assert_non_null(p);
    return p;
}
static float *randoms(size_t n)
{
    float *p = floats(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)rng_normal(&R);
    return p;
}
#define SAME(a, b, n, ...) \
    do { \
        if (memcmp((a), (b), (size_t)(n) * sizeof *(a))) \
            fail_msg(__VA_ARGS__); \
    } while (0)
static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
        fail_msg("got %.9g, want %.9g", got, want);
}

/* ---- the truth ---- */
/* Row i of all heads at positions 0..n. */
static void row_in_double(const struct attn_shape *s, double *out, const double *q, const double *k, const double *v, int i, int n)
{
    int d = s->head_dim, g = s->n_head / s->n_kv_head, kw = s->n_kv_head * d;
    double by = s->scale != 0 ? (double)s->scale : 1 / sqrt(d), *p = mem_alloc((size_t)n * sizeof *p);
    for (int h = 0; h < s->n_head; h++) {
        const double *kh = k + h / g * d, *vh = v + h / g * d, *qi = q + (i * s->n_head + h) * d;
        double sum = 0, *o = out + (i * s->n_head + h) * d;
        for (int c = 0; c < d; c++)
            o[c] = 0;
        for (int j = 0; j < n; j++) {
            if ((j > i && !s->bidirectional) || (s->window && (j <= i - s->window || j >= i + s->window)))
                continue;
            p[j] = 0;
            for (int c = 0; c < d; c++)
                p[j] += qi[c] * kh[j * kw + c];
            p[j] *= by;
            if (s->softcap > 0)
                p[j] = s->softcap * tanh(p[j] / s->softcap);
            sum += p[j] = exp(p[j]);
            for (int c = 0; c < d; c++)
                o[c] += p[j] * vh[j * kw + c];
        }
        for (int c = 0; c < d; c++)
            o[c] /= sum;
    }
    mem_free(p);
}

/* ---- pages ---- */
enum { MAX_PAGES = 400 };
struct pages { void *page[MAX_PAGES]; int n; size_t step; };
/* All bits of what is not written are set: NaN, or the largest numbers of a type. */
static void pages_fill(struct pages *p, const struct attn_shape *s, const float *k, const float *v, int n, size_t layer, size_t step)
{
    size_t part = attn_page_bytes(s) / (size_t)s->n_kv_head, bytes = (layer + 1) * (size_t)s->n_kv_head * (step ? step : part);
    p->n = (n + KERN_PANEL - 1) / KERN_PANEL;
    p->step = step;
    for (int i = 0; i < p->n; i++) {
        p->page[i] = mem_aligned(bytes);
        memset(p->page[i], 0xFF, bytes);
    }
    struct attn_seq q = { p->page, layer, step };
    for (int i = 0; i < n; i++)
        attn_store(s, &q, i, k + i * s->n_kv_head * s->head_dim, v + i * s->n_kv_head * s->head_dim);
}
static void pages_release(struct pages *p)
{
    for (int i = 0; i < p->n; i++)
        mem_free(p->page[i]);
}

/* ---- forward ---- */
static const struct { struct attn_shape s; int n; double tolerance; } CASES[] = {
    { { 6, 2, 24 }, 75, 2e-6 },
    { { 4, 2, 8 }, 530, 4e-6 },
    { { 3, 3, 16, .scale = 0.7f }, 300, 1e-5 },
    { { 8, 1, 64, .softcap = 3.0f }, 290, 4e-6 },
    { { 4, 4, 32, .window = 20 }, 560, 4e-6 },
    { { 14, 2, 24, .window = 300, .softcap = 20.0f }, 640, 4e-6 },
    { { 4, 4, 33, .bidirectional = 1 }, 70, 4e-6 },
    { { 2, 1, 40, .bidirectional = 1, .window = 9 }, 290, 4e-6 },
};
static const int TYPES[] = { QT_F32, QT_F16, QT_Q8_0, QT_Q4_0 };

static double *doubles(const float *x, size_t n)
{
    double *y = mem_alloc(n * sizeof *y);
    for (size_t i = 0; i < n; i++)
        y[i] = (double)x[i];
    return y;
}

/* The same rows cut into pieces of `step` (0: of every length from 1 to 9 in turn), as one batch or one call a piece. */
static void run_cut(struct gemm_ctx *g, const struct attn_shape *s, const struct attn_seq *seq, int n, int step, const float *q, float *out)
{
    int width = s->n_head * s->head_dim, n_item = 0;
    struct attn_item *item = mem_alloc((size_t)n * sizeof *item);
    for (int pos = 0, len = step ? step : 1; pos < n; pos += len, len = step ? step : len % 9 + 1)
        item[n_item++] = (struct attn_item){ *seq, pos, len < n - pos ? len : n - pos, pos };
    memset(out, 0xFF, (size_t)(n * width) * sizeof *out);
    for (int i = 0; step && i < n_item; i++)
        attn_forward(g, s, seq, item[i].n_row, item[i].pos0, q + item[i].row0 * width, width, out + item[i].row0 * width, width);
    if (!step)
        attn_forward_batch(g, s, item, n_item, q, width, out, width);
    mem_free(item);
}

static void check_forward(const struct attn_shape *s, int n, double tolerance)
{
    static const int STEPS[] = { 0, 1, 7, 16, 512 };
    size_t nq = (size_t)(n * s->n_head * s->head_dim), nk = (size_t)(n * s->n_kv_head * s->head_dim);
    float *q = randoms(nq), *k = randoms(nk), *v = randoms(nk), *first = floats(nq), *out = floats(nq);
    double *dq = doubles(q, nq), *dk = doubles(k, nk), *dv = doubles(v, nk), *want = mem_alloc(nq * sizeof *want);
    int width = s->n_head * s->head_dim;
    struct pages pages;
    pages_fill(&pages, s, k, v, n, 1, attn_page_bytes(s) * 3);
    struct attn_seq seq = { pages.page, 1, pages.step };
    for (int l = 0; l < N_LEVEL; l++)
        for (int threads = 1; threads <= 3; threads++) {
            struct pool *pool = pool_new(threads);
            struct gemm_ctx *g = gemm_ctx_new(LEVEL[l], pool);
            if (l == 0 && threads > 1 && n > 100) { /* slow, and the levels below say the same */
                gemm_ctx_free(g);
                pool_free(pool);
                continue;
            }
            attn_forward(g, s, &seq, n, 0, q, width, out, width);
            if (l == 0 && threads == 1) {
                memcpy(first, out, nq * sizeof *out);
                for (int i = 0; i < n; i++)
                    row_in_double(s, want, dq, dk, dv, i, n);
                for (size_t i = 0; i < nq; i++)
                    near((double)out[i], want[i], tolerance);
            }
            SAME(out, first, nq, "%s, %d threads: not the bits of the scalar level", LEVEL[l]->isa, threads);
            for (size_t i = 0; i < ARRAY_LEN(STEPS) && !s->bidirectional && (l > 0 || n < 100); i++) {
                run_cut(g, s, &seq, n, STEPS[i], q, out);
                SAME(out, first, nq, "%s, %d threads, cut at %d: other bits", LEVEL[l]->isa, threads, STEPS[i]);
            }
            assert_false(gemm_failed(g));
            gemm_ctx_free(g);
            pool_free(pool);
        }
    pages_release(&pages);
    void *own[] = { q, k, v, first, out, dq, dk, dv, want };
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        mem_free(own[i]);
}

static void test_forward(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
        check_forward(&CASES[i].s, CASES[i].n, CASES[i].tolerance);
}

/* Blocks of 32 as Q8_0 pages hold them: 511 levels around 0, the scale in F16. */
static void round_9(float *y, const float *x, int n)
{
    double most = 0, scale;
    for (int i = 0; i < n; i++)
        most = fmax(most, fabs((double)x[i]));
    scale = (double)f16_to_f32(f32_to_f16((float)most / 255));
    if (scale < (double)((float)most / 255))
        scale = (double)f16_to_f32((uint16_t)(f32_to_f16((float)most / 255) + 1));
    for (int i = 0; i < n; i++) {
        y[i] = (float)(scale * nearbyint((double)(x[i] * (1.0f / (float)scale))));
        assert_true(fabs((double)y[i] - (double)x[i]) <= 0.502 * scale && fabs((double)y[i]) <= 255 * scale);
    }
}

/* x as a page of the type would hold it, computed by the type's own functions. */
static float *rounded(const float *x, size_t rows, int d, int type)
{
    const struct qtype_info *t = qtype_info(type);
    float *y = floats(rows * (size_t)d), pad[32], back[32];
    unsigned char block[128];
    for (size_t r = 0; r < rows; r++)
        for (int i = 0; i < d; i += 32) {
            int n = d - i < 32 ? d - i : 32;
            if (type == QT_Q8_0) {
                round_9(y + r * (size_t)d + (size_t)i, x + r * (size_t)d + (size_t)i, n);
                continue;
            }
            memset(pad, 0, sizeof pad);
            memcpy(pad, x + r * (size_t)d + (size_t)i, (size_t)n * sizeof *x);
            t->quantize(block, pad, 32);
            t->dequantize(back, block, 32);
            memcpy(y + r * (size_t)d + (size_t)i, back, (size_t)n * sizeof *y);
        }
    return y;
}

static void check_type(const struct attn_shape *like, int type, int n)
{
    struct attn_shape narrow = *like, wide = *like;
    narrow.kv_type = type;
    int d = like->head_dim, width = like->n_head * d;
    size_t nq = (size_t)(n * width), nk = (size_t)(n * like->n_kv_head * d);
    float *q = randoms(nq), *k = randoms(nk), *v = randoms(nk), *first = floats(nq), *out = floats(nq);
    float *rk = rounded(k, nk / (size_t)d, d, type), *rv = rounded(v, nk / (size_t)d, d, type);
    struct pages pages[2];
    pages_fill(&pages[0], &wide, rk, rv, n, 0, 0);
    pages_fill(&pages[1], &narrow, k, v, n, 1, 0);
    struct attn_seq seq[2] = { { pages[0].page, 0 }, { pages[1].page, 1 } };
    for (int l = 0; l < N_LEVEL; l++) {
        struct gemm_ctx *g = gemm_ctx_new(LEVEL[l], NULL);
        if (l == 0)
            attn_forward(g, &wide, &seq[0], n, 0, q, width, first, width);
        attn_forward(g, &narrow, &seq[1], n, 0, q, width, out, width);
        SAME(out, first, nq, "%s, %s, D %d: not the bits of the rounded numbers", LEVEL[l]->isa, qtype_info(type)->name, d);
        for (int step = 1; step <= 5 && l > 0 && !like->bidirectional; step += 4) { /* few rows: pages are read as they are */
            run_cut(g, &narrow, &seq[1], n, step, q, out);
            SAME(out, first, nq, "%s, %s, D %d, rows cut at %d: other bits", LEVEL[l]->isa, qtype_info(type)->name, d, step);
        }
        gemm_ctx_free(g);
    }
    pages_release(&pages[0]);
    pages_release(&pages[1]);
    void *own[] = { q, k, v, first, out, rk, rv };
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        mem_free(own[i]);
}

static void test_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
        for (size_t t = 1; t < ARRAY_LEN(TYPES); t++) {
            assert_true(attn_type_known(TYPES[t]));
            check_type(&CASES[i].s, TYPES[t], 70);
        }
    for (int group = 1; group <= 13; group++) /* every height of a tile */
        check_type(&(struct attn_shape){ group, 1, 32 }, TYPES[1 + group % 3], 20);
    assert_false(attn_type_known(QT_Q4_K));
}

/* A long sequence, as one chunk of rows at its end and as single rows; with several threads its blocks are computed apart. */
static void test_long(void **state)
{
    (void)state;
    enum { N = 5000, ROWS = 23, D = 32 };
    for (int window = 0; window <= 2100; window += 2100)
        for (size_t t = 0; t < ARRAY_LEN(TYPES); t++) {
            struct attn_shape s = { 4, 2, D, .kv_type = TYPES[t], .window = window };
            float *k = randoms(N * 2 * D), *v = randoms(N * 2 * D), *q = randoms(ROWS * 4 * D), first[ROWS * 4 * D], out[ROWS * 4 * D];
            for (int i = 0; i < N * 2 * D; i += 1 + (int)rng_below(&R, 900))
                k[i] *= 30;                         /* maxima that come late */
            struct pages pages;
            pages_fill(&pages, &s, k, v, N, 0, 0);
            struct attn_seq seq = { pages.page, 0 };
            for (int l = N_LEVEL > 1; l < N_LEVEL; l++)
                for (int threads = 1; threads <= 3; threads++) {
                    struct pool *pool = pool_new(threads);
                    struct gemm_ctx *g = gemm_ctx_new(LEVEL[l], pool);
                    attn_forward(g, &s, &seq, ROWS, N - ROWS, q, 4 * D, out, 4 * D);
                    if (threads == 1 && l == (N_LEVEL > 1))
                        memcpy(first, out, sizeof out);
                    SAME(out, first, ROWS * 4 * D, "%s, %d threads, %s", LEVEL[l]->isa, threads, qtype_info(TYPES[t])->name);
                    for (int r = 0; r < ROWS; r++)
                        attn_forward(g, &s, &seq, 1, N - ROWS + r, q + r * 4 * D, 4 * D, out + r * 4 * D, 4 * D);
                    SAME(out, first, ROWS * 4 * D, "%s, %d threads, %s, single rows", LEVEL[l]->isa, threads, qtype_info(TYPES[t])->name);
                    struct attn_item items[2] = { { seq, 0, ROWS - 1, N - ROWS }, { seq, ROWS - 1, 1, N - 1 } };
                    mem_fail_at = 1;                /* no memory for partial results: other tasks, the same bits */
                    attn_forward_batch(g, &s, items, 2, q, 4 * D, out, 4 * D);
                    mem_fail_at = -1;
                    SAME(out, first, ROWS * 4 * D, "%s, %d threads, no memory", LEVEL[l]->isa, threads);
                    assert_false(gemm_failed(g));
                    gemm_ctx_free(g);
                    pool_free(pool);
                }
            pages_release(&pages);
            mem_free(k);
            mem_free(v);
            mem_free(q);
        }
}

/* Pages that sequence i shares with the first: three blocks, one block and a page, or none. */
static int shared(int i) { return i == 0 ? 0 : i < 5 ? 48 : i < 7 ? 17 : 0; }

/* Sequences that begin with the same pages, some also with the same second part, in one call: each as if it were alone. */
static void test_common_beginnings(void **state)
{
    (void)state;
    enum { N = 900, SEQS = 9, D = 32 };
    for (size_t t = 0; t < ARRAY_LEN(TYPES); t++)
        for (int heads = 2; heads <= 32; heads += 30) {
            struct attn_shape s = { heads, 2, D, .kv_type = TYPES[t] };
            int width = heads * D;
            float *k = randoms(N * 2 * D), *v = randoms(N * 2 * D), *q = randoms((size_t)(SEQS * width)), *alone = floats((size_t)(SEQS * width)),
                  *out = floats((size_t)(SEQS * width));
            struct pages pages[SEQS];
            struct attn_item item[SEQS];
            for (int i = 0; i < SEQS; i++) {
                pages_fill(&pages[i], &s, k, v, N, 0, 0);
                for (int p = 0; p < shared(i); p++) {
                    mem_free(pages[i].page[p]);
                    pages[i].page[p] = pages[0].page[p];
                }
                item[i] = (struct attn_item){ { pages[i].page, 0 }, i, 1, i == 6 ? 256 : i == 4 ? 767 : N - 1 - 16 * i };
            }
            for (int l = N_LEVEL > 1; l < N_LEVEL; l++)
                for (int threads = 1; threads <= 3; threads++) {
                    struct pool *pool = pool_new(threads);
                    struct gemm_ctx *g = gemm_ctx_new(LEVEL[l], pool);
                    for (int i = 0; i < SEQS; i++)
                        attn_forward(g, &s, &item[i].seq, 1, item[i].pos0, q + i * width, width, alone + i * width, width);
                    attn_forward_batch(g, &s, item, SEQS, q, width, out, width);
                    SAME(out, alone, SEQS * width, "%s, %d threads, %s, %d heads", LEVEL[l]->isa, threads, qtype_info(TYPES[t])->name, heads);
                    mem_fail_at = 1;                /* partial results have their room by now */
                    attn_forward_batch(g, &s, item, SEQS, q, width, out, width);
                    mem_fail_at = -1;
                    SAME(out, alone, SEQS * width, "%s, %d threads, no memory", LEVEL[l]->isa, threads);
                    gemm_ctx_free(g);
                    pool_free(pool);
                }
            for (int i = 0; i < SEQS; i++)
                for (int p = shared(i); p < pages[i].n; p++)
                    mem_free(pages[i].page[p]);
            void *own[] = { k, v, q, alone, out };
            for (size_t i = 0; i < ARRAY_LEN(own); i++)
                mem_free(own[i]);
        }
}

/* What no row sees is not read, and keys too large for F16 do not become infinite. */
static void test_extremes(void **state)
{
    (void)state;
    enum { N = 40, D = 16 };
    struct attn_shape s = { 1, 1, D, .kv_type = QT_F16, .window = 3 };
    float *k = randoms(N * D), *v = randoms(N * D), *q = randoms(D), out[D];
    for (int i = 0; i < (N - 3) * D; i++)
        k[i] = v[i] = NAN;                          /* before the window */
    for (int i = (N - 3) * D; i < N * D; i++)
        k[i] = i / D == N - 2 ? 1e9f : 0;
    for (int i = 0; i < D; i++)
        q[i] = 0.0f;
    struct pages pages;
    pages_fill(&pages, &s, k, v, N, 0, 0);
    struct attn_seq seq = { pages.page, 0 };
    for (int l = 0; l < N_LEVEL; l++) {
        struct gemm_ctx *g = gemm_ctx_new(LEVEL[l], NULL);
        attn_forward(g, &s, &seq, 1, N - 1, q, D, out, D);
        for (int i = 0; i < D; i++)
            near((double)out[i], (double)(v[(N - 3) * D + i] + v[(N - 2) * D + i] + v[(N - 1) * D + i]) / 3, 1e-3);
        gemm_ctx_free(g);
    }
    pages_release(&pages);
    mem_free(k);
    mem_free(v);
    mem_free(q);
}

/* ---- backward ---- */
enum { H = 6, HKV = 2, D = 24, QD = H * D, KD = HKV * D };

static double loss_of(const struct attn_shape *s, const double *x, const double *dout, int n, double *out)
{
    double l = 0;
    for (int i = 0; i < n; i++)
        row_in_double(s, out, x, x + n * QD, x + n * (QD + KD), i, i + 1);
    for (int i = 0; i < n * QD; i++)
        l += out[i] * dout[i];
    return l;
}

/* Two items in one batch; item 1 against central differences of the double-precision forward. */
static void check_backward(const struct attn_shape *s)
{
    enum { N0 = 19, N1 = 70, T = N0 + N1 };
    float *q = randoms(T * QD), *k = randoms(T * KD), *v = randoms(T * KD), *go = randoms(T * QD), *out = floats(T * QD);
    float *first = floats(T * (QD + 2 * KD)), *grad = floats(T * (QD + 2 * KD)), *dq = grad, *dk = dq + T * QD, *dv = dk + T * KD;
    struct pages pages[2];
    pages_fill(&pages[0], s, k, v, N0, 0, 0);
    pages_fill(&pages[1], s, k + N0 * KD, v + N0 * KD, N1, 0, 0);
    struct attn_item items[2] = { { { pages[0].page, 0 }, 0, N0, 0 }, { { pages[1].page, 0 }, N0, N1, 0 } };
    for (int l = 0; l < N_LEVEL; l++)
        for (int threads = 1; threads <= 3; threads++) {
            struct pool *pool = pool_new(threads);
            struct gemm_ctx *g = gemm_ctx_new(LEVEL[l], pool);
            assert_int_equal(attn_reserve(g, s, N1, 1), 0);
            attn_forward_batch(g, s, items, 2, q, QD, out, QD);
            memset(grad, 0xFF, T * (QD + 2 * KD) * sizeof *grad);
            attn_backward_batch(g, s, items, 2, q, k, v, QD, KD, out, go, QD, dq, dk, dv);
            if (l == 0 && threads == 1)
                memcpy(first, grad, T * (QD + 2 * KD) * sizeof *grad);
            SAME(grad, first, T * (QD + 2 * KD), "%s, %d threads", LEVEL[l]->isa, threads);
            attn_backward_batch(g, s, items + 1, 1, q, k, v, QD, KD, out, go, QD, dq, dk, dv); /* alone: the same */
            SAME(grad, first, T * (QD + 2 * KD), "%s, %d threads, alone", LEVEL[l]->isa, threads);
            gemm_ctx_free(g);
            pool_free(pool);
        }
    double *x = mem_calloc(N1 * (QD + 2 * KD), 8), *dgo = mem_alloc(N1 * QD * 8), *tmp = mem_alloc(N1 * QD * 8);
    for (int i = 0; i < N1 * QD; i++)
        x[i] = (double)q[N0 * QD + i], dgo[i] = (double)go[N0 * QD + i];
    for (int i = 0; i < N1 * KD; i++)
        x[N1 * QD + i] = (double)k[N0 * KD + i], x[N1 * (QD + KD) + i] = (double)v[N0 * KD + i];
    for (int i = 0; i < 45; i++) {
        int what = i % 3, at = (int)rng_below(&R, N1 * (what ? KD : QD));
        double *xi = x + (what == 0 ? 0 : what == 1 ? N1 * QD : N1 * (QD + KD)) + at, keep = *xi;
        float got = what == 0 ? dq[N0 * QD + at] : what == 1 ? dk[N0 * KD + at] : dv[N0 * KD + at];
        *xi = keep + 1e-4;
        double up = loss_of(s, x, dgo, N1, tmp);
        *xi = keep - 1e-4;
        double down = loss_of(s, x, dgo, N1, tmp);
        *xi = keep;
        near((double)got, (up - down) / 2e-4, 2e-5);
    }
    pages_release(&pages[0]);
    pages_release(&pages[1]);
    void *own[] = { q, k, v, go, out, first, grad, x, dgo, tmp };
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        mem_free(own[i]);
}

static void test_backward(void **state)
{
    (void)state;
    check_backward(&(struct attn_shape){ H, HKV, D });
    check_backward(&(struct attn_shape){ H, HKV, D, .window = 13, .scale = 0.31f });
    check_backward(&(struct attn_shape){ H, HKV, D, .softcap = 2.5f });
}

/* No memory for scratch: reported by attn_reserve, and by the flag with zeros as the result. */
static void test_no_memory(void **state)
{
    (void)state;
    struct attn_shape s = { H, HKV, D };
    struct gemm_ctx *g = gemm_ctx_new(LEVEL[0], NULL);
    float q[2 * QD] = { 1 }, out[2 * QD], *kv = randoms(2 * KD);
    struct pages pages;
    pages_fill(&pages, &s, kv, kv, 2, 0, 0);
    struct attn_seq seq = { pages.page, 0 };
    mem_fail_at = 1;
    int r = attn_reserve(g, &s, 100, 0);
    mem_fail_at = 1;
    out[3] = 5;
    attn_forward(g, &s, &seq, 2, 0, q, QD, out, QD);
    mem_fail_at = -1;
    assert_int_equal(r, ILAB_E_NOMEM);
    assert_true(gemm_failed(g) && !gemm_failed(g) && out[3] == 0);
    gemm_ctx_free(g);
    pages_release(&pages);
    mem_free(kv);
}

int main(void)
{
    levels_find();
    rng_seed(&R, 20240607);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward), cmocka_unit_test(test_types), cmocka_unit_test(test_long), cmocka_unit_test(test_common_beginnings),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_backward), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
