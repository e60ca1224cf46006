/* kern_halves_body.h — the slots of weights that lie as F32, F16 or BF16, over the inline functions `pack_halves` and `gemv` of a level.
 *
 * Included once by a level after them; each call has the type as a constant.
 * SPDX-License-Identifier: Apache-2.0 */
static void pack_half_level(float *dst, const void *src, int64_t row_bytes, int n_col, int64_t n_k, int bf16)
{
    if (bf16)
        pack_halves(dst, src, row_bytes, n_col, n_k, FROM_BF16);
    else
        pack_halves(dst, src, row_bytes, n_col, n_k, FROM_F16);
}

static void gemv_tile_level(float *c, int load_c, const float *a, const void *src, int64_t row_bytes, int64_t n_k, int type,
                            const uint8_t *ahead, int64_t n_ahead)
{
    if (type == QT_F32)
        gemv(c, load_c, a, src, row_bytes, n_k, ahead, n_ahead, FROM_F32);
    else if (type == QT_F16)
        gemv(c, load_c, a, src, row_bytes, n_k, ahead, n_ahead, FROM_F16);
    else
        gemv(c, load_c, a, src, row_bytes, n_k, ahead, n_ahead, FROM_BF16);
}
