/* qgemm_wide_body.h — weights of 16-bit floats as integers of 14 bits, times activations of 14 bits: written once for the levels.
 *
 * A block of 32 columns of a row of W gets the exponent of its largest element; the others are shifted to it. The integers are
 * made from the bits of the floats, in lanes of 16 bits, after dwords (two columns) of the rows were transposed.
 * The level's file defines before: vi, VROWS (rows that a register holds a dword of), DW and load_dw, u_* operations; and
 * w_power: 0x2000 >> d in every lane of 16 bits, 0 for d > 13.  SPDX-License-Identifier: Apache-2.0 */
enum { WIDE_DW = QG_SUB / 2 };

/* VROWS rows from src on, sub-block s of a chunk; `at`: their first row in the tile */
INLINE void unpack_wide_sub(struct wtile *t, const uint8_t *src, int64_t row_bytes, int s, int at, const int bf16)
{
    const int mantissa = bf16 ? 7 : 10;
    const vi one = u_set32(0x00010001), size = u_set32(0x7fff7fff), low14 = u_set32(0x3fff3fff), lowest = u_set32(0x00010001 << mantissa);
    vi v[WIDE_DW], most = bf16 ? u_set32(0x00010001 * (WIDE_LEAST_BF16 << 7)) : lowest;
#pragma GCC unroll 4
    for (int i = 0; i < WIDE_DW; i += DW)
        load_dw(v + i, src + 4 * i, row_bytes);
#pragma GCC unroll 16
    for (int i = 0; i < WIDE_DW; i++)
        most = u_max16(most, u_and(v[i], size));
    most = u_shr16(u_max16(most, u_or(u_shr32(most, 16), u_shl32(most, 16))), mantissa); /* the exponent, in both lanes of a row */
#pragma GCC unroll 16
    for (int i = 0; i < WIDE_DW; i++) {
        const vi abs = u_and(v[i], size), e = u_shr16(u_max16(abs, lowest), mantissa), normal = u_min16(u_shr16(abs, mantissa), one);
        const vi f = u_or(u_and(u_shl16(v[i], 14 - mantissa), low14), u_shl16(normal, 14));
        const vi q = u_mulhrs(f, w_power(u_sub16(most, e))), sign = u_sar16(v[i], 15);
        put(t->q[s * WIDE_DW + i][at], u_sub16(u_xor(q, sign), sign));
    }
    const vi e = u_and(most, u_set32(0xffff)), bad = u_sub32(u_set32(bf16 ? WIDE_MOST_BF16 : WIDE_MOST_F16), e);
    put(t->shift[s] + at, u_shl32(u_add32(e, u_set32(bf16 ? WIDE_BF16 : WIDE_F16)), 23));
    put(t->bad + at, s > 0 ? u_or(u_load(t->bad + at), u_sar32(bad, 31)) : u_sar32(bad, 31));
}

INLINE void unpack_wide_chunk(struct wtile *t, const uint8_t *src, int64_t row_bytes, int n_sub, const int bf16)
{
    for (int s = 0; s < n_sub; s++)
        for (int at = 0; at < KERN_PANEL; at += VROWS)
            unpack_wide_sub(t, src + at * row_bytes + s * QG_SUB * 2, row_bytes, s, at, bf16);
}
static void unpack_wide_level(struct wtile *t, const uint8_t *src, int64_t row_bytes, int n_sub, int bf16)
{
    if (bf16)
        unpack_wide_chunk(t, src, row_bytes, n_sub, 1);
    else
        unpack_wide_chunk(t, src, row_bytes, n_sub, 0);
}
