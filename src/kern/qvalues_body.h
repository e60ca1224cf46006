/* qvalues_body.h — tiles of weights back to floats, and floats to tiles of rounded weights; written once for 512, 256 and 128 bits.
 *
 * What a backward pass needs: the weights of a tile the other way round. Included after qgemm_unpack_body.h by a level's file, which
 * defines before: f_* operations on VROWS floats, columns_most (the largest of each of 16 columns), round_row (32 floats to bytes).
 * SPDX-License-Identifier: Apache-2.0 */

enum value_add { ADD_NONE, ADD_MIN /* − dmin·min */, ADD_OFFSET /* + m */ };

/* One sub-block: `steps` dwords from byte k on. The products and sums are those of dequantize.c. */
INLINE void sub_values(float *v, const struct qtile *t, int at, int k, int steps, vf scale, vf low, int32_t offset, const enum value_add add, const int is_signed)
{
    for (int i = 0; i < steps; i++) {
        vi w = u_load(&t->q[k / 4 + i][at]);
        vi q[4] = { u_shl32(w, 24), u_shl32(w, 16), u_shl32(w, 8), w };
        float *to = v + (k + 4 * i) * KERN_PANEL + at;
        UNROLL4(b) {
            vi x = is_signed ? u_sar32(q[b], 24) : u_shr32(q[b], 24);
            if (!is_signed && add == ADD_NONE)
                x = u_sub32(x, u_set32(offset));
            vf y = f_mul(scale, f_of(x));
            f_store(to + b * KERN_PANEL, add == ADD_MIN ? f_sub(y, low) : add == ADD_OFFSET ? f_add(y, low) : y);
        }
    }
}

INLINE void tile_values(float *v, const struct qtile *t, const struct qkind *k, int n_sub, const int keep_signed)
{
    const int super = qkind_super(k), sub = k->family == QF_SUPER16 || k->family == QF_SUPER16_MIN ? 16 : 32;
    const enum value_add add = k->family == QF_BLOCK_MIN ? ADD_OFFSET : k->family == QF_SUPER32_MIN || k->family == QF_SUPER16_MIN ? ADD_MIN : ADD_NONE;
    const int is_signed = keep_signed && k->steps == 0, offset = 8 << k->shift;
    for (int at = 0; at < KERN_PANEL; at += VROWS)
        for (int s = 0; s < n_sub * QG_SUB / sub; s++) {
            vf scale, low = f_load(super ? t->dmin + at : t->scale.f.m[s] + at);
            scale = super ? f_mul(f_load(t->d + at), f_of(u_load(&t->scale.i[s][at]))) : f_load(t->scale.f.d[s] + at);
            if (add == ADD_MIN) {
                vi pair = u_load(t->pair[s / 2][at]);
                low = f_mul(low, f_of(u_sar32(s % 2 ? pair : u_shl32(pair, 16), 16)));
            }
            if (add == ADD_MIN)
                sub_values(v, t, at, s * sub, sub / 4, scale, low, 0, ADD_MIN, 0);
            else if (add == ADD_OFFSET)
                sub_values(v, t, at, s * sub, sub / 4, scale, low, 0, ADD_OFFSET, 0);
            else if (is_signed)
                sub_values(v, t, at, s * sub, sub / 4, scale, low, 0, ADD_NONE, 1);
            else
                sub_values(v, t, at, s * sub, sub / 4, scale, low, offset, ADD_NONE, 0);
        }
}

/* Sub-block s of n_panel tiles from 32 numbers of each of their columns: v[half][column][16]. */
INLINE void round_columns(struct qtile *tile, int n_panel, int s, const float *const v[2], const int keep_signed)
{
    const vi flip = u_set8(keep_signed ? 0 : (char)0x80);
    for (int p = 0; p < n_panel; p++) {
        const float *v0 = v[0] + p * KERN_PANEL * KERN_PANEL, *v1 = v[1] + p * KERN_PANEL * KERN_PANEL;
        struct qtile *t = tile + p;
        float most[KERN_PANEL] __attribute__((aligned(64))), inverse[KERN_PANEL] __attribute__((aligned(64)));
        uint8_t bytes[KERN_PANEL][QG_SUB] __attribute__((aligned(64)));
        int plain = 1;
        columns_most(most, v0, v1);
        for (int c = 0; c < KERN_PANEL; c++)
            plain &= most[c] >= QG_TINY && most[c] <= QG_LARGEST; /* not so for NaN */
        if (!plain) {
            qtile_round_ref(t, s, v0, v1, keep_signed);
            continue;
        }
        for (int c = 0; c < KERN_PANEL; c += VROWS) {
            vf amax = f_load(most + c), full = f_set1(127.0f);
            f_store(inverse + c, f_div(full, amax));
            f_store(t->scale.f.d[s] + c, f_div(amax, full));
        }
#pragma GCC unroll 4
        for (int c = 0; c < KERN_PANEL; c++)
            round_row(bytes[c], v0 + c * KERN_PANEL, v1 + c * KERN_PANEL, inverse[c]);
        const uint8_t *src = bytes[0];
        const int64_t row = QG_SUB;
        EACH_VROWS(at)
            EACH_PART(part) {
                vi r[DW];
                load_dw(r, src + 4 * part, row);
                UNROLL_DW(i) put(t->q[8 * s + part + i][at], u_xor(r[i], flip));
            }
    }
}
