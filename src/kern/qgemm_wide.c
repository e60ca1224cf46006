/* qgemm_wide.c — products with weights of 16-bit floats (F16, BF16) in integers of 14 bits: the scalar twins and the maths.
 *
 * Blocks are 32 columns of k. A block of W gets E, the largest exponent field in it (subnormals count as 1), and the integers
 *   q = ± (f · (0x2000 >> (E − e)) + 0x4000) >> 15,   f = significand · 2^14, e = exponent field
 * so that w ≈ q · d, d = 2^(E − bias − 12): |q| ≤ 8188, exact for elements down to a quarter (F16) or a thirty-second (BF16) of the largest,
 * the others off by half a unit at most. A block of a row of A gets q = x · 8191/amax, to nearest, ties to even. So every sum of 32 products is
 * below 32 · 8188 · 8191 < 2^31: exact, in any order. An element of C is one chain over ascending blocks that starts from 0 or C:
 *   acc = fma((float)Σ q·a, d·d_a, acc).
 * The error beside the exact product is below that of rounding A to F16 (11 bits for each element): docs/MODEL.md.
 * The product of the scales adds an exponent; that it always gives a normal number, the largest of a block counts as at least 2^-60
 * (2^-14 in F16). A row of C is NaN where one of A has an infinity, a NaN or a number beyond 2^60, a column where one of W has.
 * SPDX-License-Identifier: Apache-2.0 */
#include "qgemm_impl.h"

#include <math.h>
#include <string.h>

_Static_assert((int64_t)QG_SUB * 8188 * WIDE_MOST < INT32_MAX, "a block's sum fits 32 bits");
_Static_assert(sizeof(struct wact) == 576, "rows of a chunk stand whole cache lines apart");

void qgemm_round_wide_ref(struct wact *d, const float *x, int n)
{
    memset(d, 0, sizeof *d);
    for (int s = 0; s * QG_SUB < n; s++, x += QG_SUB) {
        int32_t most = 0;
        for (int i = 0; i < QG_SUB; i++) {
            int32_t u;
            memcpy(&u, &x[i], sizeof u);
            u &= 0x7fffffff;
            most = u > most ? u : most;
        }
        float amax;
        memcpy(&amax, &most, sizeof amax);
        const int bad = !(amax <= WIDE_HUGE);
        amax = bad ? WIDE_HUGE : amax < WIDE_TINY ? WIDE_TINY : amax;
        const float inverse = WIDE_MOST / amax;
        for (int i = 0; i < QG_SUB && !bad; i++)
            d->q[s * QG_SUB + i] = (int16_t)lrintf(x[i] * inverse);
        d->scale[s] = amax / WIDE_MOST;
        d->bad |= bad;
    }
}

static void unpack_block(struct wtile *t, const uint8_t *src, int row, int s, int bf16)
{
    const int mantissa = bf16 ? 7 : 10;
    uint16_t w[QG_SUB];
    int most = bf16 ? WIDE_LEAST_BF16 : 1;
    memcpy(w, src, sizeof w);
    for (int i = 0; i < QG_SUB; i++) {
        const int e = (w[i] & 0x7fff) >> mantissa;
        most = e > most ? e : most;
    }
    for (int i = 0; i < QG_SUB; i++) {
        const int field = (w[i] & 0x7fff) >> mantissa, e = field > 0 ? field : 1, shift = most - e;
        const int f = (w[i] << (14 - mantissa) & 0x3fff) | (field > 0) << 14;
        const int q = (f * (shift > 13 ? 0 : 0x2000 >> shift) + 0x4000) >> 15;
        t->q[(s * QG_SUB + i) / 2][row][i % 2] = (int16_t)(w[i] >> 15 ? -q : q);
    }
    t->shift[s][row] = (most + (bf16 ? WIDE_BF16 : WIDE_F16)) * (1 << 23);
    t->bad[row] |= most > (bf16 ? WIDE_MOST_BF16 : WIDE_MOST_F16);
}

void qgemm_unpack_wide_ref(struct wtile *t, const uint8_t *src, int64_t row_bytes, int n_sub, int bf16)
{
    memset(t->bad, 0, sizeof t->bad);
    for (int r = 0; r < KERN_PANEL; r++)
        for (int s = 0; s < n_sub; s++)
            unpack_block(t, src + r * row_bytes + s * QG_SUB * 2, r, s, bf16);
}

void qgemm_tile_wide_ref(float *const *c, int load, const struct wact *const *a, int n_row, const struct wtile *tiles, int n_sub)
{
    for (int i = 0; i < n_row; i++)
        for (int p = 0; p < QG_PAIR; p++) {
            const struct wtile *t = tiles + p;
            float *out = c[i] + p * KERN_PANEL;
            for (int s = 0; s < n_sub; s++) {
                int32_t dot[KERN_PANEL] = { 0 };
                for (int k = s * QG_SUB / 2; k < (s + 1) * QG_SUB / 2; k++)
                    for (int r = 0; r < KERN_PANEL; r++)
                        dot[r] += t->q[k][r][0] * a[i]->q[2 * k] + t->q[k][r][1] * a[i]->q[2 * k + 1];
                for (int r = 0; r < KERN_PANEL; r++)
                    out[r] = fmaf((float)dot[r], ldexpf(a[i]->scale[s], t->shift[s][r] / (1 << 23)), load || s > 0 ? out[r] : 0.0f);
            }
        }
}

void qgemm_spread_bad(float *const *c, const struct wact *const *a, int n_row, const struct wtile *t)
{
    for (int i = 0; i < n_row; i++)
        for (int j = 0; j < QG_PAIR * KERN_PANEL; j++)
            if (a[i]->bad || t[j / KERN_PANEL].bad[j % KERN_PANEL])
                c[i][j] = NAN;
}
