/* qgemm_wide_tile_body.h — the product of a tile of 16-bit integers with rounded rows of A, written once for the levels.
 *
 * The level's file defines before: vi, vf, WIDE_LANES (columns of a register), WIDE_ROWS (most rows of A at once), WIDE_STEP (bytes
 * from the first part of the columns to the second in every array of a tile), WIDE_NAME(n), v_* operations; v_pairs(s, w, a): s plus
 * both products of the pairs of 16 bits in each lane. OWN_WIDE_SUM: s has a type of its own, wsum.
 * SPDX-License-Identifier: Apache-2.0 */
#define WROWS _Pragma("GCC unroll 6") for (int m = 0; m < n; m++)
#define WBOTH _Pragma("GCC unroll 2") for (int p = 0; p < 2; p++)
#define WPART(ptr, p) ((const void *)((const char *)(const void *)(ptr) + (p) * WIDE_STEP))
#ifndef OWN_WIDE_SUM
typedef vi wsum;
INLINE wsum wsum_zero(void) { return v_zero(); }
INLINE vf wsum_float(wsum s) { return vf_of(s); }
#endif
INLINE vi wide_spread(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v_set1(v);
}
INLINE void wide_tile(float *const *c, int load, const struct wact *const *a, const struct wtile *t, int n_sub, const int n)
{
    vf acc[WIDE_ROWS][2];
    WROWS WBOTH acc[m][p] = load ? vf_load(c[m] + p * WIDE_LANES) : vf_zero();
    for (int s = 0; s < n_sub; s++) {
        wsum dot[WIDE_ROWS][2];
        WROWS WBOTH dot[m][p] = wsum_zero();
        const int16_t (*q)[KERN_PANEL][2] = t->q + s * (QG_SUB / 2);
#pragma GCC unroll 16
        for (int i = 0; i < QG_SUB / 2; i++) {
            const vi w0 = v_load(WPART(q[i], 0)), w1 = v_load(WPART(q[i], 1));
            WROWS {
                const vi b = wide_spread(a[m]->q + s * QG_SUB + 2 * i);
                dot[m][0] = v_pairs(dot[m][0], w0, b);
                dot[m][1] = v_pairs(dot[m][1], w1, b);
            }
        }
        WBOTH {
            const vi shift = v_load(WPART(t->shift[s], p));
            WROWS acc[m][p] = vf_fma(wsum_float(dot[m][p]), (vf)v_add(shift, wide_spread(&a[m]->scale[s])), acc[m][p]);
        }
    }
    WROWS WBOTH vf_store(c[m] + p * WIDE_LANES, acc[m][p]);
}
typedef void wide_fn(float *const *c, int load, const struct wact *const *a, const struct wtile *t, int n_sub);
#define WIDE_FN(n) \
    static void WIDE_NAME(n)(float *const *c, int load, const struct wact *const *a, const struct wtile *t, int n_sub) { wide_tile(c, load, a, t, n_sub, n); }
