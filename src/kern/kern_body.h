/* kern_body.h — the vector kernels written once over v16, sixteen floats in one or two registers.
 *
 * A level's .c file defines v16 and its operations (v16_load … v16_exp's helpers), then includes this file; no
 * intrinsic stands here. v16_load_n / v16_store_n touch only the first n lanes (the others read as 0), which serves
 * the tails. Every function follows its twin in kern_ref.c operation by operation.
 * SPDX-License-Identifier: Apache-2.0 */
#include "v16_exp.h"

/* Runs `body` over [0, n) in steps of 16 with `c` lanes; full steps get c == 16 as a constant. */
#define FOR16(i, n, body) \
    do { \
        int64_t i = 0; \
        for (; i + 16 <= (n); i += 16) { enum { c = 16 }; body } \
        if (i < (n)) { const int c = (int)((n) - i); body } \
    } while (0)
#define LD(p) (c == 16 ? v16_load(p) : v16_load_n((p), c))
#define ST(p, v) do { if (c == 16) v16_store((p), (v)); else v16_store_n((p), (v), c); } while (0)

static float k_dot(const float *a, const float *b, int64_t n)
{
    v16 s = v16_set1(0.0f);
    FOR16(i, n, s = v16_fma(LD(a + i), LD(b + i), s););
    return v16_sum(s);
}

static void k_rmsnorm(float *y, float *inv_rms, const float *x, const float *w, int n, float eps)
{
    float inv = 1.0f / sqrtf(k_dot(x, x, n) / (float)n + eps);
    v16 vi = v16_set1(inv);
    FOR16(i, n, ST(y + i, v16_mul(v16_mul(LD(x + i), vi), LD(w + i))););
    if (inv_rms)
        *inv_rms = inv;
}

static void k_rmsnorm_back(float *dx, float *dw, const float *dy, const float *x, const float *w, float inv_rms, int n)
{
    v16 s = v16_set1(0.0f);
    FOR16(i, n, s = v16_fma(v16_mul(LD(dy + i), LD(w + i)), LD(x + i), s););
    float cs = v16_sum(s) * inv_rms * inv_rms * inv_rms / (float)n;
    v16 vc = v16_set1(cs), vi = v16_set1(inv_rms);
    FOR16(i, n,
        v16 d = LD(dy + i);
        v16 xi = LD(x + i);
        if (dw)
            ST(dw + i, v16_fma(d, v16_mul(xi, vi), LD(dw + i)));
        v16 u = v16_fnma(vc, xi, v16_mul(v16_mul(d, LD(w + i)), vi));
        ST(dx + i, v16_add(LD(dx + i), u));
    );
}

static void k_rope(float *x, int n_head, int head_dim, int rope_dim, const float *cos_sin, int inverse)
{
    for (int h = 0; h < n_head; h++, x += head_dim)
        FOR16(i, rope_dim, ST(x + i, v16_rotate(LD(x + i), LD(cos_sin + i), inverse)););
}

static float max_of(const float *x, int n)
{
    v16 m = v16_set1(-INFINITY);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        m = v16_max(v16_load(x + i), m);
    float lane[16], best = -INFINITY;
    v16_store(lane, m);
    for (int j = 0; j < 16; j++)
        best = lane[j] > best ? lane[j] : best;
    for (; i < n; i++)
        best = x[i] > best ? x[i] : best;
    return best;
}

static void k_softmax(float *x, int n)
{
    float m = max_of(x, n);
    v16 vm = v16_set1(m == -INFINITY ? 0.0f : m), s = v16_set1(0.0f);
    FOR16(i, n,
        v16 e = v16_exp(v16_sub(LD(x + i), vm));
        e = c == 16 ? e : v16_first(e, c);
        ST(x + i, e);
        s = v16_add(s, e);
    );
    float sum = v16_sum(s);
    v16 r = v16_set1(sum == 0.0f ? 0.0f : 1.0f / sum);
    FOR16(i, n, ST(x + i, v16_mul(LD(x + i), r)););
}

static float k_log_sum_exp(const float *x, int n)
{
    float m = max_of(x, n);
    if (m == -INFINITY)
        return m;
    v16 vm = v16_set1(m), s = v16_set1(0.0f);
    FOR16(i, n,
        v16 e = v16_exp(v16_sub(LD(x + i), vm));
        s = v16_add(s, c == 16 ? e : v16_first(e, c));
    );
    return m + logf(v16_sum(s));
}

static inline v16 v16_sigmoid(v16 g)
{
    v16 one = v16_set1(1.0f);
    return v16_div(one, v16_add(one, v16_exp(v16_neg(g))));
}

static void k_silu_mul(float *y, const float *gate, const float *up, int64_t n)
{
    FOR16(i, n,
        v16 g = LD(gate + i);
        ST(y + i, v16_mul(v16_mul(g, v16_sigmoid(g)), LD(up + i)));
    );
}

static void k_silu_mul_back(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n)
{
    v16 one = v16_set1(1.0f);
    FOR16(i, n,
        v16 g = LD(gate + i);
        v16 d = LD(dy + i);
        v16 u = LD(up + i);
        v16 s = v16_sigmoid(g);
        ST(dup + i, v16_mul(d, v16_mul(g, s)));
        ST(dgate + i, v16_mul(v16_mul(d, u), v16_mul(s, v16_fma(g, v16_sub(one, s), one))));
    );
}

static void k_add(float *y, const float *x, int64_t n)
{
    FOR16(i, n, ST(y + i, v16_add(LD(y + i), LD(x + i))););
}

static void k_axpy(float *y, float a, const float *x, int64_t n)
{
    v16 va = v16_set1(a);
    FOR16(i, n, ST(y + i, v16_fma(va, LD(x + i), LD(y + i))););
}

static void k_scale(float *y, float a, int64_t n)
{
    v16 va = v16_set1(a);
    FOR16(i, n, ST(y + i, v16_mul(LD(y + i), va)););
}

static int k_argmax(const float *x, int n)
{
    float m = max_of(x, n);
    for (int i = 0; i < n; i++)
        if (x[i] == m)
            return i;
    return 0;
}

static void k_adamw(float *w, float *m, float *v, const float *g, int64_t n, float g_scale, float lr_t, float b1, float b2,
                    float eps_t, float lr_decay)
{
    v16 vs = v16_set1(g_scale), vb1 = v16_set1(b1), vb2 = v16_set1(b2), vc1 = v16_set1(1.0f - b1), vc2 = v16_set1(1.0f - b2);
    v16 vl = v16_set1(lr_t), ve = v16_set1(eps_t), vd = v16_set1(lr_decay);
    FOR16(i, n,
        v16 gi = v16_mul(LD(g + i), vs);
        v16 mi = v16_fma(vb1, LD(m + i), v16_mul(vc1, gi));
        v16 si = v16_fma(vb2, LD(v + i), v16_mul(vc2, v16_mul(gi, gi)));
        v16 wi = LD(w + i);
        ST(m + i, mi);
        ST(v + i, si);
        ST(w + i, v16_fnma(vl, v16_div(mi, v16_add(v16_sqrt(si), ve)), v16_fnma(vd, wi, wi)));
    );
}

#include "kern_rows_body.h"

#define KERN_BODY_SLOTS \
    KERN_ROWS_SLOTS, \
    .rmsnorm = k_rmsnorm, .rmsnorm_back = k_rmsnorm_back, .rope = k_rope, .softmax = k_softmax, \
    .log_sum_exp = k_log_sum_exp, .silu_mul = k_silu_mul, .silu_mul_back = k_silu_mul_back, .add = k_add, .axpy = k_axpy, \
    .scale = k_scale, .dot = k_dot, .argmax = k_argmax, .adamw = k_adamw
