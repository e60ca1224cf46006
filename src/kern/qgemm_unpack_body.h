/* qgemm_unpack_body.h — sixteen rows of W, one chunk, from the file's layout to a tile; written once for 512, 256 and 128 bits.
 *
 * Dwords of packed bits are transposed first (load4) and expanded afterwards: that is half the shuffles or less. The level's
 * file defines before: vi, VROWS (rows of a register: 16, 8 or 4), DW (dwords of a
 * row that load_dw takes: 8 or 4), load_dw, load4, load1, u_* operations, put, put_low_halves. Layouts:
 * qblocks.h. Nothing outside a block is read: what is narrower than a load is loaded with its neighbours.
 * `full` (types with the whole range of a byte): 0x80 is added to the bytes, for levels that want them unsigned.
 * SPDX-License-Identifier: Apache-2.0 */
#define EACH_VROWS(at) for (int at = 0; at < KERN_PANEL; at += VROWS, src += VROWS * row)
#define EACH_PART(part) for (int part = 0; part < 8; part += DW) /* of a run of 32 bytes, by dwords */
#define UNROLL_DW(i) _Pragma("GCC unroll 8") for (int i = 0; i < DW; i++)
#define UNROLL4(i) _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++)

/* ---- scales of super-blocks: bytes of four sub-blocks a dword ---- */
/* Sub-blocks 4g … 4g+3 with signed (or small unsigned) scales; pairs: also for the offset (families without minima). */
INLINE void put_scales(struct qtile *t, int at, int g, vi bytes, const int pairs)
{
    const vi low = u_set32(0xffff);
    vi s[4] = { u_sar32(u_shl32(bytes, 24), 24), u_sar32(u_shl32(bytes, 16), 24), u_sar32(u_shl32(bytes, 8), 24), u_sar32(bytes, 24) };
    UNROLL4(i) put(&t->scale.i[4 * g + i][at], s[i]);
    for (int i = 0; i < 2 && pairs; i++)
        put(&t->pair[2 * g + i][at], u_or(u_and(s[2 * i], low), u_shl32(s[2 * i + 1], 16)));
}
/* Minima 0 … 63 of sub-blocks 4g … 4g+3: bytes 0 1 2 3 → pairs (0, 1), (2, 3) of 16 bits */
INLINE void put_minima(struct qtile *t, int at, int g, vi bytes)
{
    vi even = u_and(bytes, u_set32(0x00ff00ff)), odd = u_and(u_shr16(bytes, 8), u_set32(0x00ff00ff));
    put(&t->pair[2 * g][at], u_or(u_and(even, u_set32(0xffff)), u_shl32(odd, 16)));
    put(&t->pair[2 * g + 1][at], u_or(u_shr32(even, 16), u_and(odd, u_set32((int32_t)0xffff0000))));
}
/* d, dmin and twelve bytes of scales and minima: the first sixteen bytes of Q4_K and Q5_K (q4_k_scale). */
INLINE void super_header(struct qtile *t, const uint8_t *src, int64_t row, int at)
{
    const vi six = u_set8(63), four = u_set8(15), two = u_set8(48);
    vi h[4];
    load4(h, src, row);
    put_low_halves(t->d + at, h[0]);
    put_low_halves(t->dmin + at, u_shr32(h[0], 16));
    put_scales(t, at, 0, u_and(h[1], six), 0);
    put_scales(t, at, 1, u_or(u_and(h[3], four), u_and(u_shr16(h[1], 2), two)), 0);
    put_minima(t, at, 0, u_and(h[2], six));
    put_minima(t, at, 1, u_or(u_and(u_shr16(h[3], 4), four), u_and(u_shr16(h[2], 2), two)));
}

/* ---- super-blocks ---- */
static void unpack_q4_k(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub)
{
    const vi low = u_set8(15);
    EACH_VROWS(at) {
        if (s0 == 0)
            super_header(t, src, row, at);
        for (int run = s0 / 2; run < n_sub / 2; run++)
            EACH_PART(part) {
                vi r[DW];
                load_dw(r, src + 16 + 32 * run + 4 * part, row);
                UNROLL_DW(i) {
                    uint8_t (*q)[KERN_PANEL][4] = t->q + 16 * run + part + i;
                    put(q[0][at], u_and(r[i], low));
                    put(q[8][at], u_and(u_shr16(r[i], 4), low));
                }
            }
    }
}

static void unpack_q5_k(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub)
{
    const vi low = u_set8(15), fifth = u_set8(16);
    EACH_VROWS(at) {
        if (s0 == 0)
            super_header(t, src, row, at);
        EACH_PART(part) {
            vi h[DW];
            load_dw(h, src + 16 + 4 * part, row);
            UNROLL_DW(i) h[i] = s0 == 0 ? h[i] : u_shr16(h[i], 4);
            for (int run = s0 / 2; run < n_sub / 2; run++) {
                vi r[DW];
                load_dw(r, src + 48 + 32 * run + 4 * part, row);
                UNROLL_DW(i) { /* bits 0 and 1 of h come to bit 4, then the next two */
                    uint8_t (*q)[KERN_PANEL][4] = t->q + 16 * run + part + i;
                    put(q[0][at], u_or(u_and(r[i], low), u_and(u_shl16(h[i], 4), fifth)));
                    put(q[8][at], u_or(u_and(u_shr16(r[i], 4), low), u_and(u_shl16(h[i], 3), fifth)));
                    h[i] = u_shr16(h[i], 2);
                }
            }
        }
    }
}

static void unpack_q6_k(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub)
{
    const vi low = u_set8(15), high = u_set8(48);
    EACH_VROWS(at) {
        if (s0 == 0) {
            vi s[4], end[4];
            load4(s, src + 192, row);
            load4(end, src + 194, row); /* its last two bytes are d */
            put_low_halves(t->d + at, u_shr32(end[3], 16));
            UNROLL4(g) put_scales(t, at, g, s[g], 1);
        }
        for (int half = s0 / 4; half < n_sub / 4; half++)
            EACH_PART(part) {
                vi h[DW], r0[DW], r1[DW];
                load_dw(h, src + 128 + 32 * half + 4 * part, row);
                load_dw(r0, src + 64 * half + 4 * part, row);
                load_dw(r1, src + 64 * half + 32 + 4 * part, row);
                UNROLL_DW(i) {
                    uint8_t (*q)[KERN_PANEL][4] = t->q + 32 * half + part + i;
                    put(q[0][at], u_or(u_and(r0[i], low), u_and(u_shl16(h[i], 4), high)));
                    put(q[8][at], u_or(u_and(r1[i], low), u_and(u_shl16(h[i], 2), high)));
                    put(q[16][at], u_or(u_and(u_shr16(r0[i], 4), low), u_and(h[i], high)));
                    put(q[24][at], u_or(u_and(u_shr16(r1[i], 4), low), u_and(u_shr16(h[i], 2), high)));
                }
            }
    }
}

static void unpack_q2_k(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub)
{
    const vi two = u_set8(3), four = u_set8(15);
    EACH_VROWS(at) {
        if (s0 == 0) {
            vi s[4], end[4];
            load4(end, src + 68, row); /* its last four bytes are d, dmin */
            put_low_halves(t->d + at, end[3]);
            put_low_halves(t->dmin + at, u_shr32(end[3], 16));
            load4(s, src, row);
            UNROLL4(g) {
                put_scales(t, at, g, u_and(s[g], four), 0);
                put_minima(t, at, g, u_and(u_shr16(s[g], 4), four));
            }
        }
        for (int half = s0 / 4; half < n_sub / 4; half++)
            EACH_PART(part) {
                vi r[DW];
                load_dw(r, src + 16 + 32 * half + 4 * part, row);
                UNROLL_DW(i) {
                    uint8_t (*q)[KERN_PANEL][4] = t->q + 32 * half + part + i;
                    put(q[0][at], u_and(r[i], two));
                    put(q[8][at], u_and(u_shr16(r[i], 2), two));
                    put(q[16][at], u_and(u_shr16(r[i], 4), two));
                    put(q[24][at], u_and(u_shr16(r[i], 6), two));
                }
            }
    }
}

INLINE void q3_k_header(struct qtile *t, const uint8_t *src, int64_t row, int at)
{
    const vi four = u_set8(15), high = u_set8(48);
    vi s[4], g[4];
    load4(s, src + 94, row); /* two bytes before the twelve of the scales, and d behind them */
    put_low_halves(t->d + at, u_shr32(s[3], 16));
    UNROLL4(i) g[i] = i < 3 ? u_or(u_shr32(s[i], 16), u_shl32(s[i + 1], 16)) : s[i];
    vi part[4] = { u_or(u_and(g[0], four), u_and(u_shl16(g[2], 4), high)), u_or(u_and(g[1], four), u_and(u_shl16(g[2], 2), high)),
                   u_or(u_and(u_shr16(g[0], 4), four), u_and(g[2], high)), u_or(u_and(u_shr16(g[1], 4), four), u_and(u_shr16(g[2], 2), high)) };
    UNROLL4(i) put_scales(t, at, i, u_sub8(part[i], u_set8(32)), 1);
}

static void unpack_q3_k(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub)
{
    const vi two = u_set8(3), bit2 = u_set8(4);
    EACH_VROWS(at) {
        if (s0 == 0)
            q3_k_header(t, src, row, at);
        EACH_PART(p) {
            vi h[DW];
            load_dw(h, src + 4 * p, row);
            UNROLL_DW(i) h[i] = s0 == 0 ? h[i] : u_shr16(h[i], 4);
            for (int half = s0 / 4; half < n_sub / 4; half++) {
                vi r[DW];
                load_dw(r, src + 32 + 32 * half + 4 * p, row);
                UNROLL_DW(i) { /* four bits of h in turn come to bit 2; 4 is added, so that the offset is 8 */
                    uint8_t (*q)[KERN_PANEL][4] = t->q + 32 * half + p + i;
                    put(q[0][at], u_add8(u_or(u_and(r[i], two), u_and(u_shl16(h[i], 2), bit2)), bit2));
                    put(q[8][at], u_add8(u_or(u_and(u_shr16(r[i], 2), two), u_and(u_shl16(h[i], 1), bit2)), bit2));
                    put(q[16][at], u_add8(u_or(u_and(u_shr16(r[i], 4), two), u_and(h[i], bit2)), bit2));
                    put(q[24][at], u_add8(u_or(u_and(u_shr16(r[i], 6), two), u_and(u_shr16(h[i], 1), bit2)), bit2));
                    h[i] = u_shr16(h[i], 4);
                }
            }
        }
    }
}

/* Sixteen bytes a block of 32: element i in the low nibble of byte i, 16+i in the high one; through a table of bytes. */
INLINE void put_levels(struct qtile *t, int at, int s, const uint8_t *src, int64_t row, vi level)
{
    const vi low = u_set8(15);
    vi r[4];
    load4(r, src, row);
    UNROLL4(i) {
        put(t->q[8 * s + i][at], u_lookup(level, u_and(r[i], low)));
        put(t->q[8 * s + 4 + i][at], u_lookup(level, u_and(u_shr16(r[i], 4), low)));
    }
}

INLINE void iq4_xs(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub, const int full)
{
    const vi level = u_xor(u_table(IQ4_LEVEL), u_set8(full ? (char)0x80 : 0)), offset = u_set32(32);
    EACH_VROWS(at) {
        vi h[4];
        load4(h, src, row); /* d and the high bits of the scales, the low bits, the first eight bytes */
        put_low_halves(t->d + at, h[0]);
#pragma GCC unroll 8
        for (int j = 0; j < 8 && s0 == 0; j++) {
            vi scale = u_or(u_and(u_shr32(h[1], 4 * j), u_set32(15)), u_shl32(u_and(u_shr32(h[0], 16 + 2 * j), u_set32(3)), 4));
            put(&t->scale.i[j][at], u_sub32(scale, offset));
        }
        for (int s = s0; s < n_sub; s++)
            put_levels(t, at, s, src + 8 + 16 * s, row, level);
    }
}

/* ---- blocks of 32 ---- */
INLINE void q8_0(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub, const int full)
{
    const vi offset = u_set8(full ? (char)0x80 : 0);
    EACH_VROWS(at)
        for (int s = s0; s < n_sub; s++) {
            const uint8_t *b = src + 34 * s;
            put_low_halves(t->scale.f.d[s] + at, load1(b, row));
            EACH_PART(part) {
                vi r[DW];
                load_dw(r, b + 2 + 4 * part, row);
                UNROLL_DW(i) put(t->q[8 * s + part + i][at], u_xor(r[i], offset));
            }
        }
}

INLINE void iq4_nl(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub, const int full)
{
    const vi level = u_xor(u_table(IQ4_LEVEL), u_set8(full ? (char)0x80 : 0));
    EACH_VROWS(at)
        for (int s = s0; s < n_sub; s++) {
            put_low_halves(t->scale.f.d[s] + at, load1(src + 18 * s, row));
            put_levels(t, at, s, src + 18 * s + 2, row, level);
        }
}
/* The exponent's byte to the bits of mxfp4_scale: (e-1)·2^23, but 2^21 and 2^22 for 0 and 1. */
static void unpack_mxfp4(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub)
{
    const vi level = u_add8(u_table(MXFP4_LEVEL), u_set8(16)), one = u_set32(1);
    EACH_VROWS(at)
        for (int s = s0; s < n_sub; s++) {
            vi e = u_and(load1(src + 17 * s, row), u_set32(255));
            put(t->scale.f.d[s] + at, u_max32(u_shl32(u_sub32(e, one), 23), u_shl32(u_add32(one, u_min32(e, one)), 21)));
            put_levels(t, at, s, src + 17 * s + 1, row, level);
        }
}

/* Nibbles; before them d, with_m: m, high: a fifth bit of each element in four bytes. */
INLINE void nibble_blocks(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub, const int high, const int with_m)
{
    const vi low = u_set8(15), bits = u_set32((int32_t)0x80402010), fifth = u_set8(16);
    const int first = 2 + 2 * with_m + 4 * high;
    EACH_VROWS(at)
        for (int s = s0; s < n_sub; s++) {
            const uint8_t *b = src + (first + 16) * s;
            vi r[4], h[4], odd = low, even = low;
            if (high)
                load4(h, b, row);
            else
                h[0] = load1(b, row);
            put_low_halves(t->scale.f.d[s] + at, h[0]);
            if (with_m)
                put_low_halves(t->scale.f.m[s] + at, u_shr32(h[0], 16));
            if (high) { /* dword j of the elements takes bits 4j … 4j+3: they come to the high nibble of a byte */
                odd = with_m ? h[1] : u_or(u_shr32(h[0], 16), u_shl32(h[1], 16));
                even = u_shl16(odd, 4);
            }
            load4(r, b + first, row);
            UNROLL4(i) {
                vi q0 = u_and(r[i], low), q1 = u_and(u_shr16(r[i], 4), low);
                if (high) { /* … the byte to all four, a bit to each */
                    q0 = u_or(q0, u_min8(u_and(u_spread_byte(i % 2 ? odd : even, i / 2), bits), fifth));
                    q1 = u_or(q1, u_min8(u_and(u_spread_byte(i % 2 ? odd : even, 2 + i / 2), bits), fifth));
                }
                put(t->q[8 * s + i][at], q0);
                put(t->q[8 * s + 4 + i][at], q1);
            }
        }
}
#define UNPACK_NIBBLES(suffix, high, with_m) \
    static void unpack_##suffix(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub) \
    { nibble_blocks(t, src, row, s0, n_sub, high, with_m); }
UNPACK_NIBBLES(q4_0, 0, 0)
UNPACK_NIBBLES(q4_1, 0, 1)
UNPACK_NIBBLES(q5_0, 1, 0)
UNPACK_NIBBLES(q5_1, 1, 1)

#define UNPACK_FULL(suffix, full) \
    static void unpack_q8_0##suffix(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub) { q8_0(t, src, row, s0, n_sub, full); } \
    static void unpack_iq4_nl##suffix(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub) { iq4_nl(t, src, row, s0, n_sub, full); } \
    static void unpack_iq4_xs##suffix(struct qtile *t, const uint8_t *src, int64_t row, int s0, int n_sub) { iq4_xs(t, src, row, s0, n_sub, full); }
#define UNPACK_TABLE(suffix) { \
    [QT_Q4_K] = unpack_q4_k, [QT_Q5_K] = unpack_q5_k, [QT_Q6_K] = unpack_q6_k, [QT_Q2_K] = unpack_q2_k, [QT_Q3_K] = unpack_q3_k, \
    [QT_IQ4_XS] = unpack_iq4_xs##suffix, [QT_Q8_0] = unpack_q8_0##suffix, [QT_IQ4_NL] = unpack_iq4_nl##suffix, [QT_MXFP4] = unpack_mxfp4, \
    [QT_Q4_0] = unpack_q4_0, [QT_Q4_1] = unpack_q4_1, [QT_Q5_0] = unpack_q5_0, [QT_Q5_1] = unpack_q5_1 }
