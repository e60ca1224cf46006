/* path.c — the ways to compute products with frozen weights in training.
 *
 * A path is a row of PATHS. Exact: weights are dequantised and multiplied in F32. In 8 bits, forward is what inference computes (the rows
 * of activations are rounded), backward rounds gradients and weights along the sum (kern/qvalues.c). Either way an element is
 * one chain of one order, so every path gives the same bits for any number of threads, micro-batches and CPU level.
 * Adapters' own products, attention, norms and the loss are always F32.  SPDX-License-Identifier: Apache-2.0 */
#include "train/tape.h"

#include <string.h>

const struct path PATHS[] = {
    { "exact", "F32 forward and backward", GEMM_ACT_F32, GEMM_ACT_F32 },
    { "mixed", "8 bits forward, F32 backward", GEMM_ACT_Q8, GEMM_ACT_F32 },
    { "fast", "8 bits forward and backward", GEMM_ACT_Q8, GEMM_ACT_Q8 },
};
const int N_PATH = ARRAY_LEN(PATHS);

const struct path *path_by_name(const char *name)
{
    for (int i = 0; i < N_PATH; i++)
        if (!strcmp(name, PATHS[i].name)) return &PATHS[i];
    return NULL;
}
