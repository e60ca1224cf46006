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
    .layernorm = layernorm_ref, .rope_halves = rope_halves_ref, .gelu_mul = gelu_mul_ref, .sigmoid = sigmoid_ref, .softcap = softcap_ref

#endif
