/* lora_drop.c — dropout in front of an adapter's A (Srivastava et al. 2014; as PEFT places it): in training only.
 *
 * Which numbers fall out is a hash of seed, layer, matrix, the row's place in the global batch and the column: so it depends neither on
 * threads nor on cuts, and a second forward pass finds the same again. Probabilities are multiples of 1/65536.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/forward.h"

/* splitmix64's finaliser (Steele et al. 2014, "Fast splittable pseudorandom number generators"). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
}

static uint32_t limit_of(float p) { return (uint32_t)(p * 65536.0f + 0.5f); }

static void drop_row(const struct lora_drop *d, uint64_t key, const float *x, float *y, int64_t n)
{
    const uint32_t limit = limit_of(d->p);
    const float scale = 65536.0f / (65536.0f - (float)limit);
    for (int64_t i = 0; i < n; i += 4) {
        const uint64_t u = mix(key + (uint64_t)i * 0x9E3779B97F4A7C15u);
        for (int64_t k = 0; k < 4 && i + k < n; k++) y[i + k] = ((u >> (16 * k)) & 0xFFFF) < limit ? 0.0f : x[i + k] * scale;
    }
}

struct drop_job { const struct lora_drop *d; struct lora_dropped w; const float *x; const int32_t *x_row; float *y; int64_t n; };
static void drop_rows(void *ud, int r0, int r1)
{
    const struct drop_job *j = ud;
    const uint64_t key = mix(j->d->seed + mix((((uint64_t)j->w.layer * ADAPT_COUNT + (uint64_t)j->w.kind) << 16) + (uint64_t)j->w.matrix + 1));
    for (int r = r0; r < r1; r++) {
        const int64_t row = j->d->row0 + (j->w.row ? j->w.row[r] : r);
        drop_row(j->d, mix(key + (uint64_t)row * 0xD1B54A32D192ED03u), j->x + (j->x_row ? j->x_row[r] : r) * j->n, j->y + r * j->n, j->n);
    }
}

void lora_drop(struct gemm_ctx *g, const struct lora_drop *d, struct lora_dropped what, const float *x, const int32_t *x_row, float *y, int n_row, int64_t n)
{
    struct drop_job j = { d, what, x, x_row, y, n };
    rows_run(gemm_pool(g), drop_rows, &j, n_row);
}
