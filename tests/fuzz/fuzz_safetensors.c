/* fuzz_safetensors.c — any bytes as a safetensors file: everything that an open one promises must be readable.
 *
 * The seeds in corpus/safetensors are written by tests/unit/test_safetensors.c (see there).  SPDX-License-Identifier: Apache-2.0 */
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static volatile unsigned sink; /* so that the compiler leaves no read out */

static void expect(int condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct safetensors *s = NULL;
    ilab_err e = { 0 };
    unsigned sum = 0;
    uint64_t total = 0;
    const int rc = safetensors_open_memory(&s, p, n, "input", &e);
    expect(rc ? rc < 0 && rc == e.code && e.msg[0] && !s : s != NULL);
    if (rc)
        return 0;
    for (int i = 0; i < safetensors_count(s); i++) {
        const struct safetensor *t = safetensors_at(s, i);
        expect(safetensors_find(s, t->name) == t && t->n_dim >= 0 && t->n_dim <= SAFETENSORS_MAX_DIMS);
        total += t->n_bytes; /* no byte is in two tensors, so the work is bounded by the input */
        for (size_t k = 0; k < t->n_bytes; k++)
            sum += ((const uint8_t *)t->data)[k];
    }
    expect(total <= n && !safetensors_at(s, safetensors_count(s)));
    safetensors_close(s);
    sink = sum;
    return 0;
}
