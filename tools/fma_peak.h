/* fma_peak.h — the multiply-adds a second that registers alone allow: the physical limit that products are measured by.
 *
 * Independent chains of fused multiply-adds, more than their latency hides, no memory. Included by one .c of a
 * benchmark each.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TOOLS_FMA_PEAK_H
#define ILAB_TOOLS_FMA_PEAK_H

#include "base/base.h"

#include <string.h>

enum { PEAK_STEPS = 200000, PEAK_TASKS = 8 /* a thread */ };
static float volatile peak_sink[512];

#ifdef __x86_64__
#include <immintrin.h>
__attribute__((target("avx512f"))) static float peak_avx512(void)
{
    __m512 a[16], x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
    for (int j = 0; j < 16; j++)
        a[j] = _mm512_set1_ps((float)j);
    for (int i = 0; i < PEAK_STEPS; i++)
#pragma GCC unroll 16
        for (int j = 0; j < 16; j++)
            a[j] = _mm512_fmadd_ps(a[j], x, y);
    for (int j = 1; j < 16; j++)
        a[0] = _mm512_add_ps(a[0], a[j]);
    return _mm512_cvtss_f32(a[0]);
}
__attribute__((target("avx2,fma"))) static float peak_avx2(void)
{
    __m256 a[12], x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
    for (int j = 0; j < 12; j++)
        a[j] = _mm256_set1_ps((float)j);
    for (int i = 0; i < PEAK_STEPS; i++)
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++)
            a[j] = _mm256_fmadd_ps(a[j], x, y);
    for (int j = 1; j < 12; j++)
        a[0] = _mm256_add_ps(a[0], a[j]);
    return _mm256_cvtss_f32(a[0]);
}
#endif

static void peak_task(void *isa, int i_task, int i_thread)
{
    (void)i_thread;
#ifdef __x86_64__
    peak_sink[i_task % 512] = strcmp(isa, "avx512") == 0 ? peak_avx512() : peak_avx2();
#else
    (void)isa, (void)i_task;
#endif
}

/* GFLOP/s (a multiply-add counts 2) of all threads of the pool at the level `isa`: the best run within `seconds` by the
 * clock given. 0: no loop for this level. */
static double peak_gflops(const char *isa, struct pool *pool, double seconds, double (*clock_now)(void))
{
    const int wide = strcmp(isa, "avx512") == 0, n = pool_threads(pool) * PEAK_TASKS;
    const double flop = (wide ? 16.0 * 16 : 12.0 * 8) * 2 * PEAK_STEPS * n, end = now_seconds() + seconds;
    double best = 1e30;
    if (!wide && strcmp(isa, "avx2") != 0)
        return 0;
    do {
        double t = clock_now();
        pool_run(pool, peak_task, (void *)(uintptr_t)isa, n);
        t = clock_now() - t;
        best = t < best ? t : best;
    } while (now_seconds() < end);
    return flop / best / 1e9;
}

#endif
