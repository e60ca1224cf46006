/* gemm_tile_body.h — the matrix tile of 6 rows × 16 columns, and of few rows × 32, over the inline function `tile` of a level.
 *
 * Included once by a level, which defines before: tile(…, rows, vecs, masked), TILE_REGISTERS (vectors across 16 columns) and
 * WIDE_ROWS (up to so many rows two panels are taken at once; 3 at most).
 * SPDX-License-Identifier: Apache-2.0 */
typedef void tile_fn(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, int64_t a_col, const float *b,
                     const float *b2, int64_t b_row, int n_col, int64_t n_k);

#define TILE(name, rows, vecs, masked) \
    static void name(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, int64_t a_col, const float *b, \
        const float *b2, int64_t b_row, int n_col, int64_t n_k) \
    { tile(c, c_row, load_c, a, a_row, a_col, b, b2, b_row, n_col, n_k, rows, vecs, masked); }
#define TILES(rows) TILE(tile_##rows, rows, TILE_REGISTERS, 0) TILE(tile_part_##rows, rows, TILE_REGISTERS, 1)
#define WIDE(rows) TILE(tile_wide_##rows, rows, 2 * TILE_REGISTERS, 0)
TILES(1) TILES(2) TILES(3) TILES(4) TILES(5) TILES(6) WIDE(1) WIDE(2) WIDE(3)
#define ENTRY(rows) { tile_##rows, tile_part_##rows }
static tile_fn *const TILE_TABLE[7][2] = { { NULL, NULL }, ENTRY(1), ENTRY(2), ENTRY(3), ENTRY(4), ENTRY(5), ENTRY(6) };
static tile_fn *const WIDE_TABLE[4] = { NULL, tile_wide_1, tile_wide_2, tile_wide_3 };

static void gemm_tile_level(float *c, int64_t c_row, int load_c, const float *a, int64_t a_row, int64_t a_col, const float *b,
                            const float *b2, int64_t b_row, int n_row, int n_col, int64_t n_k)
{
    if (n_row <= WIDE_ROWS && n_col == 2 * KERN_PANEL) {
        WIDE_TABLE[n_row](c, c_row, load_c, a, a_row, a_col, b, b2, b_row, n_col, n_k);
        return;
    }
    for (int j = 0; j < n_col; j += KERN_PANEL) {
        const int cols = n_col - j < KERN_PANEL ? n_col - j : KERN_PANEL;
        for (int m = 0; m < n_row; m += 6) {
            const int rows = n_row - m < 6 ? n_row - m : 6;
            TILE_TABLE[rows][cols < KERN_PANEL](c + m * c_row + j, c_row, load_c, a + m * a_row, a_row, a_col, j ? b2 : b, NULL, b_row,
                                                cols, n_k);
        }
    }
}
