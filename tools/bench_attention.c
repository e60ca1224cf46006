/* bench_attention.c — how near attention comes to what the machine can do.
 *
 *   bench_attention [--json] [--seconds S] [--threads N] [--level avx2|avx512] [--shape 1.1B|7B|135M]
 * Prompt: a chunk of 512 rows that ends at position 512, 2048, 8192 of one sequence; GFLOP/s count the two products of what the rows
 * see (4·D·H operations a pair), exp and everything else for nothing, beside what registers alone reach. Generation: one row of
 * one layer at a time over a cache of many layers, so that keys and values come from memory; GB/s of pages read.
 * Times are the best of repeated runs; one thread: the time that it really had, so that other programs disturb less.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fma_peak.h"
#include "kern/kern.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds_each = 0.3;
static int json, n_json, n_thread = 1;

static double now_used(void)
{
    struct timespec t;
    if (n_thread > 1 || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t))
        return now_seconds();
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const struct { const char *name; int n_head, n_kv_head, head_dim; } SHAPES[] = {
    { "1.1B", 32, 4, 64 }, { "7B", 32, 8, 128 }, { "135M", 9, 3, 64 }, { "7B, own heads", 32, 32, 128 },
};
static const struct { const char *name; int type; } TYPES[] = { { "F32", QT_F32 }, { "F16", QT_F16 }, { "Q8_0", QT_Q8_0 }, { "Q4_0", QT_Q4_0 } };
enum { CHUNK = 512, CACHE_BYTES = 96 << 20 /* more than any cache */ };

/* Layers of one sequence in slabs, as infer/kv.c lays them out. */
struct cache { char *mem; void **page; size_t step; int n_layer, n_pos; };

static int cache_fill(struct cache *c, const struct attn_shape *s, int n_pos, int n_layer)
{
    const size_t part = attn_page_bytes(s) / (size_t)s->n_kv_head;
    const int n_page = (n_pos + KERN_PANEL - 1) / KERN_PANEL, slab = ATTN_BLOCK / KERN_PANEL, n_slab = (n_page + slab - 1) / slab;
    c->step = part * (size_t)slab;
    c->n_layer = n_layer;
    c->n_pos = n_pos;
    const size_t slab_bytes = c->step * (size_t)(n_layer * s->n_kv_head);
    c->mem = mem_aligned(slab_bytes * (size_t)n_slab);
    c->page = mem_calloc((size_t)n_page, sizeof *c->page);
    if (!c->mem || !c->page)
        return 0;
    for (int i = 0; i < n_page; i++)
        c->page[i] = c->mem + (size_t)(i / slab) * slab_bytes + (size_t)(i % slab) * part;
    float *kv = mem_alloc((size_t)(s->n_kv_head * s->head_dim) * 64 * sizeof *kv);
    for (int i = 0; kv && i < s->n_kv_head * s->head_dim * 64; i++)
        kv[i] = (float)(i * 37 % 101) * 0.02f - 1.0f;
    struct attn_seq first = { c->page, 0, c->step };
    for (int pos = 0; kv && pos < n_pos; pos++)
        attn_store(s, &first, pos, kv + pos % 63 * s->n_kv_head, kv + pos % 61 * s->n_kv_head);
    for (int i = 0; i < n_slab; i++) /* the other layers hold the same */
        for (int l = 1; l < n_layer; l++)
            memcpy(c->mem + (size_t)i * slab_bytes + (size_t)(l * s->n_kv_head) * c->step, c->mem + (size_t)i * slab_bytes, (size_t)s->n_kv_head * c->step);
    mem_free(kv);
    return 1;
}

static void cache_free(struct cache *c)
{
    mem_free(c->mem);
    mem_free(c->page);
    memset(c, 0, sizeof *c);
}

static double prompt_seconds(struct gemm_ctx *g, const struct attn_shape *s, const struct cache *c, const float *q, float *out)
{
    const int width = s->n_head * s->head_dim;
    double best = 1e30, end = now_seconds() + seconds_each;
    struct attn_seq seq = { c->page, 0, c->step };
    do {
        double t = now_used();
        attn_forward(g, s, &seq, CHUNK, c->n_pos - CHUNK, q, width, out, width);
        t = now_used() - t;
        best = t < best ? t : best;
    } while (now_seconds() < end);
    return best;
}

/* One row in every layer, as a step of generation has it; seconds of one layer. */
static double row_seconds(struct gemm_ctx *g, const struct attn_shape *s, const struct cache *c, const float *q, float *out)
{
    const int width = s->n_head * s->head_dim;
    double best = 1e30, end = now_seconds() + seconds_each;
    do {
        double t = now_used();
        for (int l = 0; l < c->n_layer; l++) {
            struct attn_seq seq = { c->page, (size_t)l, c->step };
            attn_forward(g, s, &seq, 1, c->n_pos - 1, q, width, out, width);
        }
        t = now_used() - t;
        best = t < best ? t : best;
    } while (now_seconds() < end);
    return best / c->n_layer;
}

static void bench(struct gemm_ctx *g, const char *isa, int threads, const char *name, const struct attn_shape *s, const char *type, double peak)
{
    const int POSITIONS[] = { 512, 2048, 8192 };
    const int width = s->n_head * s->head_dim;
    float *q = mem_aligned(CHUNK * (size_t)width * sizeof *q), *out = mem_aligned(CHUNK * (size_t)width * sizeof *out);
    for (int i = 0; q && i < CHUNK * width; i++)
        q[i] = (float)(i * 31 % 97) * 0.02f - 1.0f;
    for (size_t i = 0; q && out && i < ARRAY_LEN(POSITIONS); i++) {
        const int n = POSITIONS[i];
        const double page_bytes = (double)attn_page_bytes(s) / KERN_PANEL * n;
        struct cache c;
        if (cache_fill(&c, s, n, (int)(CACHE_BYTES / page_bytes) + 1)) {
            double seen = (double)CHUNK * (n - CHUNK) + CHUNK * (CHUNK + 1) / 2.0;
            double t = prompt_seconds(g, s, &c, q, out), gflops = 4e-9 * seen * s->n_head * s->head_dim / t;
            double row = row_seconds(g, s, &c, q, out), gb = page_bytes / row * 1e-9;
            if (json)
                printf("%s\n {\"level\":\"%s\",\"threads\":%d,\"shape\":\"%s\",\"type\":\"%s\",\"positions\":%d,\"prompt_gflops\":%.2f,\"peak\":%.2f,"
                       "\"row_seconds\":%.3g,\"row_gb_per_s\":%.2f}", n_json++ ? "," : "", isa, threads, name, type, n, gflops, peak, row, gb);
            else
                printf("%-7s %d  %-14s %-5s %6d  %8.1f  %5.1f %%  %9.1f µs  %6.1f GB/s\n", isa, threads, name, type, n, gflops, 100 * gflops / peak,
                       row * 1e6, gb);
        }
        cache_free(&c);
    }
    mem_free(q);
    mem_free(out);
}

static void bench_level(const struct kern *k, int threads, const char *only_shape, const char *only_type)
{
    struct pool *pool = pool_new(threads);
    n_thread = threads;
    struct gemm_ctx *g = pool ? gemm_ctx_new(k, pool) : NULL;
    double peak = g ? peak_gflops(k->isa, pool, seconds_each, now_used) : 0;
    if (!json)
        printf("\n%s, %d thread%s: registers alone reach %.1f GFLOP/s\n"
               "level   t  shape          type  positions  prompt GFLOP/s of peak   one row, a layer\n", k->isa, threads, threads > 1 ? "s" : "", peak);
    for (size_t i = 0; g && i < ARRAY_LEN(SHAPES); i++)
        for (size_t t = 0; t < ARRAY_LEN(TYPES); t++) {
            struct attn_shape s = { SHAPES[i].n_head, SHAPES[i].n_kv_head, SHAPES[i].head_dim, .kv_type = TYPES[t].type };
            if ((!only_shape || !strcmp(only_shape, SHAPES[i].name)) && (!only_type || !strcmp(only_type, TYPES[t].name)))
                bench(g, k->isa, threads, SHAPES[i].name, &s, TYPES[t].name, peak);
        }
    gemm_ctx_free(g);
    pool_free(pool);
}

int main(int argc, char **argv)
{
    int64_t only_threads = 0;
    const char *only_level = NULL, *only_shape = NULL, *only_type = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = 1;
        } else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc && parse_f64(argv[i + 1], 0.001, 60, &seconds_each) == 0) {
            i++;
        } else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc && parse_i64(argv[i + 1], 1, 512, &only_threads) == 0) {
            i++;
        } else if (strcmp(argv[i], "--level") == 0 && i + 1 < argc) {
            only_level = argv[++i];
        } else if (strcmp(argv[i], "--shape") == 0 && i + 1 < argc) {
            only_shape = argv[++i];
        } else if (strcmp(argv[i], "--type") == 0 && i + 1 < argc) {
            only_type = argv[++i];
        } else {
            fprintf(stderr, "usage: bench_attention [--json] [--seconds S] [--threads N] [--level avx2|avx512] [--shape NAME] [--type NAME]\n");
            return 2;
        }
    }
    unsigned cpu = cpu_detect();
    char name[128];
    cpu_name(name, sizeof name);
    printf(json ? "{\"cpu\":\"%s\",\"results\":[" : "%s\n", name);
    const unsigned levels[] = { CPU_AVX2, CPU_AVX2 | CPU_AVX512 };
    for (size_t l = 0; l < ARRAY_LEN(levels); l++)
        for (int t = 1; (cpu & levels[l]) == levels[l] && t <= cpu_count(); t *= 2)
            if ((!only_threads || only_threads == t) && (!only_level || strcmp(only_level, kern_get(levels[l])->isa) == 0))
                bench_level(kern_get(levels[l]), t, only_shape, only_type);
    if (json)
        printf("\n]}\n");
    return 0;
}
