/* kern_ref.c — the scalar twin of every kernel: the specification that wider levels are compared with.
 *
 * Sums over a row use sixteen strided partial sums (element i goes to lane i mod 16) and one fixed tree over them;
 * that is what a 512-bit register or two 256-bit ones do, so all levels give the same bits.
 * SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"
#include "limits_impl.h"
#include "qgemm_impl.h"

float exp_ref(float x)
{
    x = x < EXP_LO ? EXP_LO : x;                    /* NaN stays NaN */
    x = x > EXP_HI ? EXP_HI : x;
    float t = fmaf(x, EXP_LOG2E, EXP_ROUND), n = t - EXP_ROUND;
    float r = fmaf(-n, EXP_LN2_LO, fmaf(-n, EXP_LN2_HI, x));
    float p = fmaf(EXP_C7, r, EXP_C6);
    p = fmaf(p, r, EXP_C5);
    p = fmaf(p, r, EXP_C4);
    p = fmaf(p, r, EXP_C3);
    p = fmaf(p, r, EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    if (!(x == x))
        return x;
    int32_t i = (int32_t)n, half = i >> 1;
    uint32_t u1 = (uint32_t)(half + 127) << 23, u2 = (uint32_t)(i - half + 127) << 23;
    float s1, s2;
    memcpy(&s1, &u1, sizeof s1);
    memcpy(&s2, &u2, sizeof s2);
    return p * s1 * s2;
}

float lanes_sum(float s[16])
{
    for (int w = 8; w >= 1; w /= 2)
        for (int i = 0; i < w; i++)
            s[i] += s[i + w];
    return s[0];
}

static void gemm_tile_ref(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, int64_t a_col,
                          const float *b, const float *b2, int64_t b_row, int n_row, int n_col, int64_t n_k)
{
    for (int m = 0; m < n_row; m++)
        for (int j = 0; j < n_col; j++) {
            const float *bj = j < KERN_PANEL ? b + j : b2 + (j - KERN_PANEL);
            float s = load_c ? c[m * c_row + j] : 0.0f;
            for (int64_t k = 0; k < n_k; k++)
                s = fmaf(a[m * a_row + k * a_col], bj[k * b_row], s);
            c[m * c_row + j] = s;
        }
}

static void pack_nt_ref(float *dst, const float *src, int64_t src_row, int n_col, int64_t n_k)
{
    for (int64_t k = 0; k < n_k; k++)
        for (int j = 0; j < KERN_PANEL; j++)
            dst[k * KERN_PANEL + j] = j < n_col ? src[j * src_row + k] : 0.0f;
}

static void pack_half_ref(float *dst, const void *src, int64_t row_bytes, int n_col, int64_t n_k, int bf16)
{
    for (int64_t k = 0; k < n_k; k++)
        for (int j = 0; j < KERN_PANEL; j++) {
            uint16_t v = 0;
            if (j < n_col)
                memcpy(&v, (const uint8_t *)src + j * row_bytes + k * 2, sizeof v);
            uint32_t wide = (uint32_t)v << 16;
            float f;
            memcpy(&f, &wide, sizeof f);
            dst[k * KERN_PANEL + j] = bf16 ? f : f16_to_f32(v);
        }
}

static float dot_ref(const float *a, const float *b, int64_t n)
{
    float s[16] = { 0 };
    for (int64_t i = 0; i < n; i++)
        s[i % 16] = fmaf(a[i], b[i], s[i % 16]);
    return lanes_sum(s);
}

static double sum_squares_ref(const float *x, int64_t n)
{
    double s[16] = { 0 };
    for (int64_t i = 0; i < n; i++)
        s[i % 16] += (double)x[i] * x[i];           /* the product of two floats is exact in double */
    for (int w = 8; w >= 1; w /= 2)
        for (int i = 0; i < w; i++)
            s[i] += s[i + w];
    return s[0];
}

static void rmsnorm_ref(float *y, float *inv_rms, const float *x, const float *w, int n, float eps)
{
    float inv = 1.0f / sqrtf(dot_ref(x, x, n) / (float)n + eps);
    for (int i = 0; i < n; i++)
        y[i] = x[i] * inv * w[i];
    if (inv_rms)
        *inv_rms = inv;
}

/* y_i = x_i·w_i·s, s = (Σx²/n + eps)^-1/2:  dx_i = s·w_i·dy_i − x_i·s³/n·Σ_j dy_j·w_j·x_j;  dw_i = dy_i·x_i·s */
static void rmsnorm_back_ref(float *dx, float *dw, const float *dy, const float *x, const float *w, float inv_rms, int n)
{
    float s[16] = { 0 };
    for (int i = 0; i < n; i++)
        s[i % 16] = fmaf(dy[i] * w[i], x[i], s[i % 16]);
    float c = lanes_sum(s) * inv_rms * inv_rms * inv_rms / (float)n;
    for (int i = 0; i < n; i++) {
        if (dw)
            dw[i] = fmaf(dy[i], x[i] * inv_rms, dw[i]);
        dx[i] += fmaf(-c, x[i], dy[i] * w[i] * inv_rms);
    }
}

static void rope_ref(float *x, int n_head, int head_dim, int rope_dim, const float *cos_sin, int inverse)
{
    for (int h = 0; h < n_head; h++, x += head_dim)
        for (int i = 0; i < rope_dim; i += 2) {
            float c = cos_sin[i], s = inverse ? -cos_sin[i + 1] : cos_sin[i + 1], x0 = x[i], x1 = x[i + 1];
            x[i] = fmaf(x0, c, -(x1 * s));
            x[i + 1] = fmaf(x1, c, x0 * s);
        }
}

static float max_ref(const float *x, int n)
{
    float m = -INFINITY;
    for (int i = 0; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m;
}

static void softmax_ref(float *x, int n)
{
    float m = max_ref(x, n), s[16] = { 0 };
    if (m == -INFINITY)                             /* nothing is allowed: all probabilities are 0 */
        m = 0.0f;
    for (int i = 0; i < n; i++) {
        x[i] = exp_ref(x[i] - m);
        s[i % 16] += x[i];
    }
    float sum = lanes_sum(s), r = sum == 0.0f ? 0.0f : 1.0f / sum;
    for (int i = 0; i < n; i++)
        x[i] *= r;
}

static float log_sum_exp_ref(const float *x, int n)
{
    float m = max_ref(x, n), s[16] = { 0 };
    if (m == -INFINITY)
        return m;
    for (int i = 0; i < n; i++)
        s[i % 16] += exp_ref(x[i] - m);
    return m + logf(lanes_sum(s));
}

static void silu_mul_ref(float *y, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float s = 1.0f / (1.0f + exp_ref(-gate[i]));
        y[i] = gate[i] * s * up[i];
    }
}

static void silu_mul_back_ref(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float g = gate[i], d = dy[i], u = up[i], s = 1.0f / (1.0f + exp_ref(-g));
        dup[i] = d * (g * s);
        dgate[i] = d * u * (s * fmaf(g, 1.0f - s, 1.0f));
    }
}

static void add_ref(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void axpy_ref(float *y, float a, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = fmaf(a, x[i], y[i]);
}

static void scale_ref(float *y, float a, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] *= a;
}

static int argmax_ref(const float *x, int n)
{
    float m = max_ref(x, n);
    for (int i = 0; i < n; i++)
        if (x[i] == m)
            return i;
    return 0;
}

static void adamw_ref(float *w, float *m, float *v, const float *g, int64_t n, float g_scale, float lr_t, float b1, float b2,
                      float eps_t, float lr_decay)
{
    for (int64_t i = 0; i < n; i++) {
        float gi = g[i] * g_scale;
        m[i] = fmaf(b1, m[i], (1.0f - b1) * gi);
        v[i] = fmaf(b2, v[i], (1.0f - b2) * (gi * gi));
        w[i] = fmaf(-lr_t, m[i] / (sqrtf(v[i]) + eps_t), fmaf(-lr_decay, w[i], w[i]));
    }
}

#include "kern_rows_ref.h"

const struct kern kern_ref = {
    .isa = "ref", .q = &qgemm_ref, .limits = &limits_ref, .gemm_tile = gemm_tile_ref, .pack_nt = pack_nt_ref, .pack_half = pack_half_ref, .rmsnorm = rmsnorm_ref,
    .rmsnorm_back = rmsnorm_back_ref, .rope = rope_ref, .softmax = softmax_ref, .log_sum_exp = log_sum_exp_ref,
    .silu_mul = silu_mul_ref, .silu_mul_back = silu_mul_back_ref, .add = add_ref, .axpy = axpy_ref, .scale = scale_ref,
    .dot = dot_ref, .sum_squares = sum_squares_ref, .argmax = argmax_ref, .adamw = adamw_ref, KERN_ROWS_REF_SLOTS,
};
