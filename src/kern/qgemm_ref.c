/* qgemm_ref.c — scalar twins of the quantised products: the specification of the order in qgemm_impl.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "qgemm_impl.h"

#include <math.h>
#include <string.h>

enum { FINITE_BITS = 0x7f7fffff };

static int32_t magnitude_bits(float f)
{
    int32_t u;
    memcpy(&u, &f, sizeof u);
    return u & 0x7fffffff;
}

/* Rounds n elements with one scale. A block with an infinity or a NaN gets the scale NaN and zeros. */
static float round_block(int8_t *q, const float *x, int n)
{
    int32_t most = 0;
    for (int i = 0; i < n; i++) {
        int32_t u = magnitude_bits(x[i]);
        most = u > most ? u : most;
    }
    float amax;
    memcpy(&amax, &most, sizeof amax);
    int zero = most > FINITE_BITS || amax < QG_TINY;
    float inverse = zero ? 0.0f : 127.0f / amax;
    for (int i = 0; i < n; i++)
        q[i] = zero ? 0 : (int8_t)lrintf(x[i] * inverse);
    return most > FINITE_BITS ? NAN : zero ? 0.0f : amax / 127.0f;
}

static void quantize_ref(struct qact *d, const float *x, int n, int super_block)
{
    memset(d, 0, sizeof *d);
    if (super_block)
        d->scale = round_block(d->q, x, n);
    for (int s = 0; s * QG_SUB < n; s++) {
        int8_t *q = d->q + s * QG_SUB;
        int sum[2] = { 0, 0 };
        if (!super_block)
            d->u.b.scale[s] = round_block(q, x + s * QG_SUB, QG_SUB);
        for (int i = 0; i < QG_SUB; i++)
            sum[i / 16] += q[i];
        d->neg32[s] = -8 * (sum[0] + sum[1]);
        if (!super_block) {
            d->u.b.sum[s] = d->u.b.scale[s] * (float)(sum[0] + sum[1]);
            continue;
        }
        d->sum32[s] = (int16_t)(sum[0] + sum[1]);
        for (int h = 0; h < 2; h++) {
            d->sum16[2 * s + h] = (int16_t)sum[h];
            d->u.neg16[2 * s + h] = -8 * sum[h];
        }
    }
}

void qtile_scales(struct qtile *t, const struct qrow *rows, const struct qkind *k)
{
    const int with_min = k->family == QF_SUPER32_MIN || k->family == QF_SUPER16_MIN;
    const int n_scale = k->family == QF_SUPER16 || k->family == QF_SUPER16_MIN ? 16 : 8;
    for (int r = 0; r < KERN_PANEL; r++) {
        const struct qrow *row = &rows[r];
        if (!qkind_super(k)) {
            for (int s = 0; s < 8; s++) {
                t->scale.f.d[s][r] = row->bd[s];
                t->scale.f.m[s][r] = row->bm[s];
            }
            continue;
        }
        t->d[r] = row->d;
        t->dmin[r] = row->dmin;
        for (int s = 0; s < n_scale; s++) {
            t->scale.i[s][r] = row->scale[s];
            t->pair[s / 2][r][s % 2] = with_min ? row->min[s] : row->scale[s];
        }
    }
}

void qtile_interleave_ref(struct qtile *t, const struct qrow *rows, const struct qkind *k)
{
    for (int r = 0; r < KERN_PANEL; r++)
        for (int i = 0; i < QG_CHUNK; i++)
            t->q[i / 4][r][i % 4] = rows[r].q[i];
    qtile_scales(t, rows, k);
}

/* Σ q·a over n elements from k0 on, the offset taken off. */
static int32_t dot(const struct qtile *t, int row, const struct qact *a, int k0, int n, int offset)
{
    int32_t s = 0;
    for (int k = k0; k < k0 + n; k++)
        s += ((int32_t)t->q[k / 4][row][k % 4] - offset) * a->q[k];
    return s;
}

static float one(float acc, const struct qact *a, const struct qtile *t, int r, int n_sub, const struct qkind *k)
{
    const int with_min = k->family == QF_SUPER32_MIN || k->family == QF_SUPER16_MIN || k->family == QF_BLOCK_MIN;
    const int offset = with_min ? 0 : 8 << k->shift;
    if (!qkind_super(k)) {
        for (int s = 0; s < n_sub; s++) {
            acc = fmaf((float)dot(t, r, a, s * QG_SUB, QG_SUB, offset), t->scale.f.d[s][r] * a->u.b.scale[s], acc);
            if (with_min)
                acc = fmaf(t->scale.f.m[s][r], a->u.b.sum[s], acc);
        }
        return acc;
    }
    const int sub = k->family == QF_SUPER16 || k->family == QF_SUPER16_MIN ? 16 : 32;
    int32_t sum = 0, low = 0;
    for (int s = 0; s < QG_CHUNK / sub; s++) {
        sum += t->scale.i[s][r] * dot(t, r, a, s * sub, sub, offset);
        low += with_min ? t->pair[s / 2][r][s % 2] * (sub == 16 ? a->sum16[s] : a->sum32[s]) : 0;
    }
    acc = fmaf((float)sum, t->d[r] * a->scale, acc);
    return with_min ? fmaf(-(float)low, t->dmin[r] * a->scale, acc) : acc;
}

static void tile_ref(float *const *c, int load, const struct qact *const *a, int n_row, const struct qtile *t, int n_sub, const struct qkind *k)
{
    for (int i = 0; i < n_row; i++)
        for (int j = 0; j < QG_PAIR * KERN_PANEL; j++)
            c[i][j] = one(load ? c[i][j] : 0.0f, a[i], &t[j / KERN_PANEL], j % KERN_PANEL, n_sub, k);
}

void qtile_round_ref(struct qtile *t, int s, const float *v0, const float *v1, int keep_signed)
{
    for (int c = 0; c < KERN_PANEL; c++) {
        float x[QG_SUB];
        int8_t q[QG_SUB];
        memcpy(x, v0 + c * KERN_PANEL, KERN_PANEL * sizeof *x);
        memcpy(x + KERN_PANEL, v1 + c * KERN_PANEL, KERN_PANEL * sizeof *x);
        t->scale.f.d[s][c] = round_block(q, x, QG_SUB);
        for (int i = 0; i < QG_SUB; i++)
            t->q[s * QG_SUB / 4 + i / 4][c][i % 4] = (uint8_t)(q[i] ^ (keep_signed ? 0 : 0x80));
    }
}
static void round_ref(struct qtile *t, int n_panel, int s, const float *const v[2])
{
    for (int p = 0; p < n_panel; p++)
        qtile_round_ref(t + p, s, v[0] + p * KERN_PANEL * KERN_PANEL, v[1] + p * KERN_PANEL * KERN_PANEL, 0);
}

const struct qgemm_ops qgemm_ref = { .quantize = quantize_ref, .interleave = qtile_interleave_ref, .tile = tile_ref, .round = round_ref,
                                     .round_wide = qgemm_round_wide_ref, .unpack_wide = qgemm_unpack_wide_ref, .tile_wide = qgemm_tile_wide_ref };
