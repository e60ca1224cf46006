/* limits.c — what the machine can do: read bandwidth, multiply-adds and products of bytes from registers alone.
 *
 * The loops of registers are the level's own (limits_ops). Reading sums a buffer far larger than the caches; every thread
 * walks a contiguous part and fetches ahead in software, as the products do. Best of several runs: other programs only
 * make figures worse.  SPDX-License-Identifier: Apache-2.0 */
#include "kern_impl.h"
#include "limits_impl.h"

enum { READ_BYTES = 256 << 20, ROUNDS = 5, TASKS_A_THREAD = 4 };

struct job { const struct limits_ops *ops; const uint8_t *p; size_t n; int what, n_task; _Atomic uint64_t sink; };

static void task(void *ud, int i_task, int i_thread)
{
    struct job *j = ud;
    size_t part = j->n / (size_t)j->n_task / 64 * 64;
    uint64_t v = j->what == 0 ? j->ops->read(j->p + part * (size_t)i_task, part) : j->what == 1 ? j->ops->fp32() : j->ops->int8();
    (void)i_thread;
    j->sink += v;                 /* what is not used is not computed */
}

static double best_seconds(struct job *j, struct pool *pool, int n_task)
{
    double best = 1e30;
    j->n_task = n_task;
    for (int i = 0; i < ROUNDS; i++) {
        double t = now_seconds();
        pool_run(pool, task, j, n_task);
        t = now_seconds() - t;
        best = t < best ? t : best;
    }
    return best;
}

/* ---- the scalar loops ---- */
static uint64_t read_ref(const uint8_t *p, size_t n)
{
    uint64_t s = 0, v;
    for (size_t i = 0; i + sizeof v <= n; i += sizeof v) {
        memcpy(&v, p + i, sizeof v);
        s ^= v;
    }
    return s;
}
static uint64_t fp32_ref(void)
{
    float a[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    for (int i = 0; i < LIMITS_STEPS; i++)
        for (int j = 0; j < 8; j++)
            a[j] = a[j] * 0.999f + 0.001f;
    return (uint64_t)(a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + a[6] + a[7]);
}
static uint64_t int8_ref(void)
{
    uint32_t a[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    for (int i = 0; i < LIMITS_STEPS; i++)
        for (int j = 0; j < 8; j++)
            a[j] = (uint32_t)((int8_t)a[j] * (int8_t)i) + a[j];
    return a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + a[6] + a[7];
}
const struct limits_ops limits_ref = { read_ref, fp32_ref, int8_ref, 16.0 * LIMITS_STEPS, 16.0 * LIMITS_STEPS };

int limits_measure(const struct kern *k, struct pool *pool, struct machine_limits *out)
{
    struct job j = { .ops = k->limits };
    int n = pool_threads(pool);
    uint8_t *p = mem_alloc(READ_BYTES);
    *out = (struct machine_limits){ 0 };
    if (!p)
        return ILAB_E_NOMEM;
    for (size_t i = 0; i < READ_BYTES; i += 64)
        memset(p + i, (int)i, 64);
    j.p = p;
    j.n = READ_BYTES;
    out->read_gb_per_s = READ_BYTES / best_seconds(&j, pool, n) / 1e9;
    j.what = 1;
    out->fp32_gflops = k->limits->fp32_op * n * TASKS_A_THREAD / best_seconds(&j, pool, n * TASKS_A_THREAD) / 1e9;
    j.what = 2;
    out->int8_gops = k->limits->int8_op * n * TASKS_A_THREAD / best_seconds(&j, pool, n * TASKS_A_THREAD) / 1e9;
    mem_free(p);
    return ILAB_OK;
}
