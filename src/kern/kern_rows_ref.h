/* kern_rows_ref.h — scalar twins of the row kernels that architectures beyond llama need; part of kern_ref.c, which has the
 * order of sums and exp.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_KERN_ROWS_REF_H
#define ILAB_KERN_ROWS_REF_H

static void layernorm_ref(float *y, const float *x, const float *w, const float *b, int n, float eps)
{
    float s[16] = { 0 };
    for (int i = 0; i < n; i++)
        s[i % 16] += x[i];
    float mean = lanes_sum(s) / (float)n;
    memset(s, 0, sizeof s);
    for (int i = 0; i < n; i++)
        s[i % 16] = fmaf(x[i] - mean, x[i] - mean, s[i % 16]);
    float inv = 1.0f / sqrtf(lanes_sum(s) / (float)n + eps);
    for (int i = 0; i < n; i++)
        y[i] = b ? fmaf((x[i] - mean) * inv, w[i], b[i]) : (x[i] - mean) * inv * w[i];
}

static void rope_halves_ref(float *x, int n_head, int head_dim, int rope_dim, const float *cos_sin, int inverse)
{
    const int half = rope_dim / 2;
    for (int h = 0; h < n_head; h++, x += head_dim)
        for (int i = 0; i < half; i++) {
            float c = cos_sin[i], s = inverse ? -cos_sin[half + i] : cos_sin[half + i], x0 = x[i], x1 = x[half + i];
            x[i] = fmaf(x0, c, -(x1 * s));
            x[half + i] = fmaf(x1, c, x0 * s);
        }
}

static void gelu_mul_ref(float *y, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float x = gate[i], z = x * fmaf(GELU_C3, x * x, GELU_C1), g = x * (1.0f / (1.0f + exp_ref(-z)));
        y[i] = up ? g * up[i] : g;
    }
}

/* g(x) = x·s, s = σ(z), z = x·(c1 + c3·x²): g' = s·(1 + x·(1 − s)·(c1 + 3·c3·x²)) */
static void gelu_mul_back_ref(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        float x = gate[i], d = dy[i], xx = x * x, s = 1.0f / (1.0f + exp_ref(-(x * fmaf(GELU_C3, xx, GELU_C1))));
        float slope = s * fmaf(x * (1.0f - s), fmaf(3.0f * GELU_C3, xx, GELU_C1), 1.0f);
        if (up) dup[i] = d * (x * s);
        dgate[i] = (up ? d * up[i] : d) * slope;
    }
}

/* y = n·w + b, n = (x − mean)·r, r = (var + eps)^-1/2, g = dy·w: dx = r·(g − mean(g) − n·mean(g·n)) */
static void layernorm_back_ref(float *dx, const float *dy, const float *x, const float *w, int n, float eps)
{
    float s[16] = { 0 }, t[16] = { 0 };
    for (int i = 0; i < n; i++)
        s[i % 16] += x[i];
    float mean = lanes_sum(s) / (float)n;
    memset(s, 0, sizeof s);
    for (int i = 0; i < n; i++)
        s[i % 16] = fmaf(x[i] - mean, x[i] - mean, s[i % 16]);
    float inv = 1.0f / sqrtf(lanes_sum(s) / (float)n + eps);
    memset(s, 0, sizeof s);
    for (int i = 0; i < n; i++) {
        s[i % 16] = fmaf(dy[i], w[i], s[i % 16]);
        t[i % 16] = fmaf(dy[i] * w[i], (x[i] - mean) * inv, t[i % 16]);
    }
    float g = lanes_sum(s) / (float)n, gn = lanes_sum(t) / (float)n;
    for (int i = 0; i < n; i++)
        dx[i] += inv * fmaf(-gn, (x[i] - mean) * inv, fmaf(dy[i], w[i], -g));
}

static void softcap_back_ref(float *d, const float *y, float cap, int64_t n)
{
    float r = 1.0f / cap;
    for (int64_t i = 0; i < n; i++)
        d[i] *= fmaf(-(y[i] * r), y[i] * r, 1.0f);
}

static void sigmoid_ref(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = 1.0f / (1.0f + exp_ref(-x[i]));
}

static void softcap_ref(float *x, float cap, int64_t n)
{
    float twice = 2.0f / cap;
    for (int64_t i = 0; i < n; i++)
        x[i] = cap * (1.0f - 2.0f / (1.0f + exp_ref(x[i] * twice)));
}

#define KERN_ROWS_REF_SLOTS \
    .layernorm = layernorm_ref, .rope_halves = rope_halves_ref, .gelu_mul = gelu_mul_ref, .sigmoid = sigmoid_ref, .softcap = softcap_ref, \
    .gelu_mul_back = gelu_mul_back_ref, .layernorm_back = layernorm_back_ref, .softcap_back = softcap_back_ref

#endif
