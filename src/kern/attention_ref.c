/* attention_ref.c — the scalar twin of the attention slots: the specification that the vector forms are compared with.
 * SPDX-License-Identifier: Apache-2.0 */
#include "attention_impl.h"

enum { TILE = 12 };

const struct attn_kern *attn_kern_of(const struct kern *k)
{
#ifdef __x86_64__
    if (strncmp(k->isa, "avx512", 6) == 0)
        return &attn_kern_avx512;
    if (strncmp(k->isa, "avx2", 4) == 0)
        return &attn_kern_avx2;
#endif
#ifdef __aarch64__
    if (strcmp(k->isa, "neon") == 0)
        return &attn_kern_neon;
#endif
    (void)k;
    return &attn_kern_ref;
}

static float key_ref(const struct attn_view *v, int page, int i, int j)
{
    const char *keys = (const char *)v->page[page] + v->key_at, *q = keys + attn_scale_bytes(v->type, v->d);
    const uint16_t *half = (const uint16_t *)(const void *)keys;
    float scale = v->type < ATTN_Q8_0 ? 0 : f16_to_f32(half[i / QK * KERN_PANEL + j]);
    switch (v->type) {
    case ATTN_F16: return f16_to_f32(half[i * KERN_PANEL + j]);
    case ATTN_Q8_0: return scale * (float)(2 * ((const int8_t *)q)[i * KERN_PANEL + j] + (keys[attn_low_at(ATTN_Q8_0, v->d, v->d) + (size_t)(i / 8 * KERN_PANEL + j)] >> i % 8 & 1));
    case ATTN_Q4_0: return scale * (float)((((const uint8_t *)q)[i / 2 * KERN_PANEL + j] >> (i % 2 * 4) & 15) - 8);
    default: return ((const float *)(const void *)keys)[i * KERN_PANEL + j];
    }
}

static float value_ref(const struct attn_view *v, int page, int j, int i)
{
    const char *values = (const char *)v->page[page] + v->value_at, *q = values + attn_scale_bytes(v->type, v->d);
    const uint16_t *half = (const uint16_t *)(const void *)values;
    int dp = attn_padded(v->d), nb = attn_blocks(v->d);
    float scale = v->type < ATTN_Q8_0 ? 0 : f16_to_f32(half[j * nb + i / QK]);
    switch (v->type) {
    case ATTN_F16: return f16_to_f32(half[j * dp + i]);
    case ATTN_Q8_0: return scale * (float)(2 * ((const int8_t *)q)[j * dp + i] + (values[attn_low_at(ATTN_Q8_0, v->d, dp) + (size_t)(j * (dp / 8) + i / 8)] >> i % 8 & 1));
    case ATTN_Q4_0: return scale * (float)((((const uint8_t *)q)[(j * nb + i / QK) * 16 + i % 16] >> (i % QK / 16 * 4) & 15) - 8);
    default: return ((const float *)(const void *)values)[j * dp + i];
    }
}

static void scores_ref(float *c, const float *strip, int n_row, const struct attn_view *v, int page0, int n_page)
{
    for (int m = 0; m < n_row; m++, c += ATTN_P_ROW) {
        const float *a = strip + m / TILE * v->d * ATTN_STRIP + m % TILE;
        for (int j = 0; j < n_page * KERN_PANEL; j++) {
            float s = 0;
            for (int i = 0; i < v->d; i++)
                s = fmaf(a[i * ATTN_STRIP], key_ref(v, page0 + j / KERN_PANEL, i, j % KERN_PANEL), s);
            c[j] = s;
        }
    }
}

static void values_ref(float *c, const float *p, int n_row, const struct attn_view *v, int pos0, int pos1)
{
    for (int m = 0; m < n_row; m++, c += attn_padded(v->d), p += ATTN_P_ROW)
        for (int i = 0; i < v->d; i++)
            for (int pos = pos0; pos < pos1; pos++)
                c[i] = fmaf(p[pos - pos0], value_ref(v, pos / KERN_PANEL, pos % KERN_PANEL, i), c[i]);
}

static void expand_keys_ref(float *dst, const struct attn_view *v, int page)
{
    for (int i = 0; i < v->d * KERN_PANEL; i++)
        dst[i] = key_ref(v, page, i / KERN_PANEL, i % KERN_PANEL);
}

static void expand_values_ref(float *dst, const struct attn_view *v, int page)
{
    for (int j = 0; j < KERN_PANEL; j++)
        for (int i = 0; i < v->d; i++)
            dst[j * attn_padded(v->d) + i] = value_ref(v, page, j, i);
}

static struct attn_sum softmax_ref(float *x, int n, float softcap)
{
    float m = -INFINITY, s[16] = { 0 };
    for (int i = 0; i < n && softcap > 0; i++) /* tanh(y) = 1 - 2/(exp(2y) + 1) */
        x[i] = softcap * (1.0f - 2.0f / (exp_ref(x[i] * (2.0f / softcap)) + 1.0f));
    for (int i = 0; i < n; i++)
        m = x[i] > m ? x[i] : m;
    if (m == -INFINITY)
        m = 0;
    for (int i = 0; i < n; i++) {
        x[i] = exp_ref(x[i] - m);
        s[i % 16] += x[i];
    }
    return (struct attn_sum){ m, lanes_sum(s) };
}

static void merge_ref(float *acc, struct attn_sum *s, const float *part, struct attn_sum p, int n)
{
    if (p.sum == 0)
        return;
    if (s->sum == 0) {
        memcpy(acc, part, (size_t)n * sizeof *acc);
        *s = p;
        return;
    }
    float e = exp_ref(-fabsf(s->max - p.max)), es = p.max > s->max ? e : 1.0f, ep = p.max > s->max ? 1.0f : e;
    for (int i = 0; i < n; i++)
        acc[i] = fmaf(part[i], ep, acc[i] * es);
    s->sum = fmaf(p.sum, ep, s->sum * es);
    s->max = p.max > s->max ? p.max : s->max;
}

const struct attn_kern attn_kern_ref = {
    .tile = TILE, .direct = TILE, .scores = scores_ref, .values = values_ref, .expand_keys = expand_keys_ref, .expand_values = expand_values_ref,
    .softmax = softmax_ref, .merge = merge_ref,
};
