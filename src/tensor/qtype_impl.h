/* qtype_impl.h — the functions behind the rows of the type table. Private to this folder.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_QTYPE_IMPL_H
#define ILAB_QTYPE_IMPL_H

#include "tensor/tensor.h"

#define X(NAME, suffix, elems, bytes)                               \
    void dequantize_##suffix(float *y, const void *x, int64_t n);   \
    void quantize_##suffix(void *y, const float *x, int64_t n);
QTYPES(X)
#undef X
#define X(NAME, suffix, elems, bytes) void dequantize_##suffix(float *y, const void *x, int64_t n);
PLAIN_TYPES(X)
#undef X

#endif
