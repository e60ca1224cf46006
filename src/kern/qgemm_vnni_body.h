/* qgemm_vnni_body.h — the product of tiles with rounded activations for CPUs that multiply and add bytes in one instruction,
 * written once for 512 bits (two panels side by side), 256 bits (the two halves of a panel) and 128 bits (of a half panel).
 *
 * The level's file defines before: vi, vf, LANE_ROWS (most rows of A at once), PART_STEP (bytes from the first part of 16 or 8
 * columns to the second in every array of a tile), v_* operations. The sums of LANE_ROWS rows × two parts, their sums over
 * a super-block, two registers of weights and one of activations fill the registers. OWN_DOTS: the file has its own `dots`.
 * PACKED_TILES: it has v_and and v_shr4, and tiles of nibbles (super_tile, `packed`).
 * SPDX-License-Identifier: Apache-2.0 */
#define PART(ptr, p) ((const void *)((const char *)(const void *)(ptr) + (p) * PART_STEP))
#define ROWS _Pragma("GCC unroll 6") for (int m = 0; m < n; m++)
#define BOTH _Pragma("GCC unroll 2") for (int p = 0; p < 2; p++)

/* Four bytes (or two of 16 bits) of activations in every lane. */
INLINE vi spread(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return v_set1(v);
}

#ifndef OWN_DOTS
/* dot[m][p] += one sub-block of `steps` · 4 columns from byte k on */
INLINE void dots(vi dot[LANE_ROWS][2], const struct qact *const *a, const struct qtile *t, int k, const int steps, const int n)
{
#pragma GCC unroll 8
    for (int i = 0; i < steps; i++) {
        const void *w = t->q[k / 4 + i];
        vi w0 = v_load(PART(w, 0)), w1 = v_load(PART(w, 1));
        ROWS {
            vi b = spread(a[m]->q + k + 4 * i);
            dot[m][0] = v_dpbusd(dot[m][0], w0, b);
            dot[m][1] = v_dpbusd(dot[m][1], w1, b);
        }
    }
}
#endif
#ifdef PACKED_TILES
/* The same from dwords of nibbles: of 64 columns (k's) the first 32 are the low ones. */
INLINE void packed_dots(vi dot[LANE_ROWS][2], const struct qact *const *a, const struct qtile *t, int k, const int high, const int n)
{
    const vi low = v_set1(0x0f0f0f0f);
#pragma GCC unroll 8
    for (int i = 0; i < QG_SUB / 4; i++) {
        const void *w = t->q[k / 64 * (QG_SUB / 4) + i];
        vi w0 = v_load(PART(w, 0)), w1 = v_load(PART(w, 1));
        w0 = v_and(high ? v_shr4(w0) : w0, low);
        w1 = v_and(high ? v_shr4(w1) : w1, low);
        ROWS {
            vi b = spread(a[m]->q + k + 4 * i);
            dot[m][0] = v_dpbusd(dot[m][0], w0, b);
            dot[m][1] = v_dpbusd(dot[m][1], w1, b);
        }
    }
}
#else
#define packed_dots(dot, a, t, k, high, n) (void)(high) /* no tiles of this kind */
#endif
/* Sums start from what the offset of the weights would add, or from 0. */
INLINE void start_dots(vi dot[LANE_ROWS][2], const struct qact *const *a, int s, int shift, const int sub, const int with_min, const int block,
                       const int n)
{
    ROWS {
        dot[m][0] = with_min ? v_zero() : v_shift(spread(!block && sub == 16 ? &a[m]->u.neg16[s] : &a[m]->neg32[s]), shift);
        dot[m][1] = dot[m][0];
    }
}
INLINE void load_c(vf acc[LANE_ROWS][2], float *const *c, int load, const int n)
{
    ROWS BOTH acc[m][p] = load ? vf_load(c[m] + p * LANES) : vf_zero();
}
INLINE void store_c(vf acc[LANE_ROWS][2], float *const *c, const int n)
{
    ROWS BOTH vf_store(c[m] + p * LANES, acc[m][p]);
}

INLINE void super_tile(float *const *c, int load, const struct qact *const *a, const struct qtile *t, int shift, const int n, const int sub,
                       const int with_min, const int packed)
{
    vi sum[LANE_ROWS][2], dot[LANE_ROWS][2];
    vf acc[LANE_ROWS][2];
    ROWS BOTH sum[m][p] = v_zero();
    for (int pair = 0; pair < QG_CHUNK / sub; pair += 1 + packed)
_Pragma("GCC unroll 2")
        for (int s = pair; s <= pair + packed; s++) {
            start_dots(dot, a, s, shift, sub, with_min, 0, n);
            if (packed)
                packed_dots(dot, a, t, s * sub, s - pair, n);
            else
                dots(dot, a, t, s * sub, sub / 4, n);
            BOTH {
                vi scale = v_load(PART(t->scale.i[s], p));
                ROWS sum[m][p] = v_add(sum[m][p], v_mul(dot[m][p], scale));
            }
        }
    load_c(acc, c, load, n);
    BOTH {
        vf d = vf_load(PART(t->d, p));
        ROWS acc[m][p] = vf_fma(vf_of(sum[m][p]), vf_mul(d, vf_set1(a[m]->scale)), acc[m][p]);
    }
    if (with_min) {
        ROWS BOTH sum[m][p] = v_zero();
#pragma GCC unroll 8
        for (int s = 0; s < QG_CHUNK / sub / 2; s++)
            BOTH {
                vi low = v_load(PART(t->pair[s], p));
                ROWS sum[m][p] = v_dpwssd(sum[m][p], low, spread(sub == 16 ? &a[m]->sum16[2 * s] : &a[m]->sum32[2 * s]));
            }
        BOTH {
            vf d = vf_load(PART(t->dmin, p));
            ROWS acc[m][p] = vf_fnma(vf_of(sum[m][p]), vf_mul(d, vf_set1(a[m]->scale)), acc[m][p]);
        }
    }
    store_c(acc, c, n);
}

INLINE void block_tile(float *const *c, int load, const struct qact *const *a, const struct qtile *t, int shift, int n_sub, const int n,
                       const int with_min)
{
    vf acc[LANE_ROWS][2];
    vi dot[LANE_ROWS][2];
    load_c(acc, c, load, n);
    for (int s = 0; s < n_sub; s++) {
        start_dots(dot, a, s, shift, QG_SUB, with_min, 1, n);
        dots(dot, a, t, s * QG_SUB, QG_SUB / 4, n);
        BOTH {
            vf d = vf_load(PART(t->scale.f.d[s], p));
            ROWS acc[m][p] = vf_fma(vf_of(dot[m][p]), vf_mul(d, vf_set1(a[m]->u.b.scale[s])), acc[m][p]);
            if (with_min) {
                vf low = vf_load(PART(t->scale.f.m[s], p));
                ROWS acc[m][p] = vf_fma(low, vf_set1(a[m]->u.b.sum[s]), acc[m][p]);
            }
        }
    }
    store_c(acc, c, n);
}

typedef void tile_fn(float *const *c, int load, const struct qact *const *a, const struct qtile *t, int shift, int n_sub);
#define TILE_FN(family, n, call) \
    static void tile_##family##_##n(float *const *c, int load, const struct qact *const *a, const struct qtile *t, int shift, int n_sub) \
    { (void)n_sub; call; }
#define FAMILIES(n) \
    TILE_FN(QF_SUPER32_MIN, n, super_tile(c, load, a, t, shift, n, 32, 1, 0)) \
    TILE_FN(QF_SUPER32, n, super_tile(c, load, a, t, shift, n, 32, 0, 0)) \
    TILE_FN(QF_SUPER16_MIN, n, super_tile(c, load, a, t, shift, n, 16, 1, 0)) \
    TILE_FN(QF_SUPER16, n, super_tile(c, load, a, t, shift, n, 16, 0, 0)) \
    TILE_FN(QF_BLOCK_MIN, n, block_tile(c, load, a, t, shift, n_sub, n, 1)) \
    TILE_FN(QF_BLOCK, n, block_tile(c, load, a, t, shift, n_sub, n, 0))
#define ROW_OF_TILES(family, ENTRY) [family] = { NULL, ENTRY(family) }
#define TABLE_OF_TILES(ENTRY) { ROW_OF_TILES(QF_SUPER32_MIN, ENTRY), ROW_OF_TILES(QF_SUPER32, ENTRY), ROW_OF_TILES(QF_SUPER16_MIN, ENTRY), \
                                ROW_OF_TILES(QF_SUPER16, ENTRY), ROW_OF_TILES(QF_BLOCK_MIN, ENTRY), ROW_OF_TILES(QF_BLOCK, ENTRY) }
