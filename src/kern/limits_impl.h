/* limits_impl.h — the loops of a level that limits.c times.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_LIMITS_IMPL_H
#define ILAB_LIMITS_IMPL_H

#include <stddef.h>
#include <stdint.h>

enum { LIMITS_STEPS = 100000, LIMITS_AHEAD = 4096 };
struct limits_ops {
    uint64_t (*read)(const uint8_t *p, size_t n);
    uint64_t (*fp32)(void);       /* independent chains, more than their latency hides */
    uint64_t (*int8)(void);
    double fp32_op, int8_op;      /* operations of a call */
};
extern const struct limits_ops limits_ref;
#ifdef __x86_64__
extern const struct limits_ops limits_avx2, limits_avx512, limits_avx512_vnni;
#endif
#ifdef __aarch64__
extern const struct limits_ops limits_neon;
#endif
#endif
