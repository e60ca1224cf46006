/* bench_kern.c — how near the matrix products come to what the machine can do.
 *
 *   bench_kern [--json] [--seconds S] [--threads N] [--level avx2|avx512] [--only f32|quantised] [--type T] [--rows N]
 * For every level of the CPU and 1..n threads: the multiply-adds a second that registers alone allow (the physical
 * limit), then gemm_run on the shapes of training, LoRA and decoding, and, where libopenblas.so.0 is installed, its
 * sgemm in the same run (the best level only). GFLOP = 10⁹ floating-point operations; a multiply-add counts two.
 * Then products of quantised weights with activations in 8 bits, beside read bandwidth and 8-bit peak of the same run.
 * Times are the best of repeated runs; decoding shapes also say GB/s of weights read.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fma_peak.h"
#include "kern/kern.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double seconds_each = 0.4;
static int json, n_json, n_thread = 1;

/* One thread: the time it really had, so that other programs disturb less. Several: the clock on the wall. */
static double now_used(void)
{
    struct timespec t;
    if (n_thread > 1 || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t))
        return now_seconds();
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- shapes ---- */
struct shape { const char *what; int m, n, k, form, a_transposed; };
static const struct shape SHAPES[] = {
    { "square", 512, 512, 2048, GEMM_B_PACKED, 0 },
    { "square, packs B", 512, 512, 2048, GEMM_B_TENSOR, 0 },
    { "forward", 1024, 576, 576, GEMM_B_PACKED, 0 },
    { "forward, packs B", 1024, 576, 576, GEMM_B_TENSOR, 0 },
    { "forward up", 2048, 1536, 576, GEMM_B_PACKED, 0 },
    { "forward down", 2048, 576, 1536, GEMM_B_PACKED, 0 },
    { "small forward", 512, 256, 256, GEMM_B_TENSOR, 0 },
    { "backward dX", 1024, 576, 1536, GEMM_B_ROWS, 0 },
    { "dW", 576, 576, 2048, GEMM_B_ROWS, 1 },
    { "dW small", 256, 256, 1024, GEMM_B_ROWS, 1 },
    { "dW 768", 768, 768, 4096, GEMM_B_ROWS, 1 },
    { "vocabulary", 256, 8192, 256, GEMM_B_TENSOR, 0 },
    { "512: q k v o", 2048, 512, 512, GEMM_B_TENSOR, 0 },
    { "512: gate up", 2048, 1536, 512, GEMM_B_TENSOR, 0 },
    { "512: down", 2048, 512, 1536, GEMM_B_TENSOR, 0 },
    { "512: dX gate up", 2048, 512, 1536, GEMM_B_ROWS, 0 },
    { "512: dW gate up", 1536, 512, 2048, GEMM_B_ROWS, 1 },
    { "512: dW down", 512, 1536, 2048, GEMM_B_ROWS, 1 },
    { "256: gate up", 2048, 768, 256, GEMM_B_TENSOR, 0 },
    { "256: dW gate up", 768, 256, 2048, GEMM_B_ROWS, 1 },
    { "LoRA down", 1024, 16, 576, GEMM_B_TENSOR, 0 },
    { "LoRA up", 1024, 576, 16, GEMM_B_TENSOR, 0 },
    { "LoRA dA", 16, 576, 2048, GEMM_B_ROWS, 1 },
    { "LoRA dB", 576, 16, 2048, GEMM_B_ROWS, 1 },
    { "prompt of 24", 24, 1536, 576, GEMM_B_PACKED, 0 },
    { "decode 8 rows", 8, 1536, 576, GEMM_B_PACKED, 0 },
    { "decode", 1, 1536, 576, GEMM_B_PACKED, 0 },
    { "decode, big", 1, 32768, 576, GEMM_B_PACKED, 0 },
};

typedef void sgemm_fn(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                      float beta, float *c, int ldc);
static sgemm_fn *blas;
static void (*blas_threads)(int n);

static double blas_gflops(const struct shape *s, const float *a, const float *b, float *c)
{
    int rows = s->form == GEMM_B_ROWS;
    double best = 1e30, end = now_seconds() + seconds_each;
    do {
        double t = now_used();
        blas(101, s->a_transposed ? 112 : 111, rows ? 111 : 112, s->m, s->n, s->k, 1, a, s->a_transposed ? s->m : s->k, b,
             rows ? s->n : s->k, 0, c, s->n);
        t = now_used() - t;
        best = t < best ? t : best;
    } while (now_seconds() < end);
    return 2.0 * s->m * s->n * s->k / best / 1e9;
}

static double our_gflops(struct gemm_ctx *g, const struct shape *s, const float *a, const float *b, float *c)
{
    struct tensor t = { .data = b, .type = QT_F32, .n_dim = 2, .dim = { s->k, s->n, 1, 1 }, .row_bytes = (size_t)s->k * 4 };
    struct gemm p = { .n_row = s->m, .n_col = s->n, .n_k = s->k, .c = c, .c_row = s->n, .a = a, .a_row = s->a_transposed ? 1 : s->k,
                      .a_col = s->a_transposed ? s->m : 1, .form = (enum gemm_b)s->form, .b = b, .b_row = s->n, .t = &t };
    float *packed = NULL;
    if (s->form == GEMM_B_PACKED) {
        packed = mem_aligned(gemm_packed_floats(s->n, s->k) * sizeof *packed);
        if (!packed)
            return 0;
        gemm_pack(g, packed, &t);
        p.b = packed;
    }
    double best = 1e30, end = now_seconds() + seconds_each;
    do {
        double t0 = now_used();
        gemm_run(g, &p);
        t0 = now_used() - t0;
        best = t0 < best ? t0 : best;
    } while (now_seconds() < end);
    mem_free(packed);
    return 2.0 * s->m * s->n * s->k / best / 1e9;
}

static void report(const char *isa, int threads, const struct shape *s, double ours, double peak, double other)
{
    if (json) {
        printf("%s\n {\"level\":\"%s\",\"threads\":%d,\"shape\":\"%s\",\"rows\":%d,\"columns\":%d,\"k\":%d,\"gflops\":%.2f,\"peak\":%.2f,\"openblas\":%.2f}",
               n_json++ ? "," : "", isa, threads, s->what, s->m, s->n, s->k, ours, peak, other);
        return;
    }
    printf("%-7s %d  %-17s %5d %5d %5d  %8.1f", isa, threads, s->what, s->m, s->n, s->k, ours);
    if (peak > 0)
        printf("  %5.1f %%", 100 * ours / peak);
    if (other > 0)
        printf("  %8.1f  × %.2f", other, ours / other);
    if (s->m == 1)
        printf("  (%.1f GB/s)", 2 * ours);
    printf("\n");
}

static void bench_level(const struct kern *k, int threads, int with_blas)
{
    struct pool *pool = pool_new(threads);
    n_thread = threads;
    struct gemm_ctx *g = pool ? gemm_ctx_new(k, pool) : NULL;
    double peak = g ? peak_gflops(k->isa, pool, seconds_each, now_used) : 0;
    if (!json)
        printf("\n%s, %d thread%s: registers alone reach %.1f GFLOP/s\n"
               "level   t  shape              rows  cols     k   GFLOP/s  of peak  OpenBLAS\n", k->isa, threads, threads > 1 ? "s" : "", peak);
    for (size_t i = 0; g && i < ARRAY_LEN(SHAPES); i++) {
        const struct shape *s = &SHAPES[i];
        size_t n_a = (size_t)s->m * (size_t)s->k, n_b = (size_t)s->n * (size_t)s->k, n_c = (size_t)s->m * (size_t)s->n;
        float *a = mem_aligned(n_a * 4), *b = mem_aligned(n_b * 4), *c = mem_aligned(n_c * 4);
        if (a && b && c) {
            for (size_t j = 0; j < n_a; j++)
                a[j] = (float)(j % 97) * 0.01f - 0.5f;
            for (size_t j = 0; j < n_b; j++)
                b[j] = (float)(j % 89) * 0.01f - 0.4f;
            double ours = our_gflops(g, s, a, b, c), other = 0;
            if (with_blas && blas) {
                if (blas_threads)
                    blas_threads(threads);
                other = blas_gflops(s, a, b, c);
            }
            report(k->isa, threads, s, ours, peak, other);
        }
        mem_free(a);
        mem_free(b);
        mem_free(c);
    }
    gemm_ctx_free(g);
    pool_free(pool);
}

/* ---- quantised weights ---- */
static const struct { int rows, columns, k; } Q_SHAPES[] = {
    { 0, 4096, 4096 }, { 0, 14336, 4096 }, { 0, 4096, 14336 }, { 0, 2048, 5632 }, { 0, 576, 1536 },
};
static const int Q_ROWS[] = { 1, 2, 4, 8, 16, 512 };
static const int Q_TYPES[] = { QT_Q4_K, QT_Q6_K, QT_Q8_0, QT_Q5_K, QT_Q4_0, QT_Q4_1, QT_Q5_0, QT_Q5_1, QT_Q2_K, QT_Q3_K, QT_IQ4_NL, QT_IQ4_XS,
                               QT_MXFP4, QT_F16, QT_BF16, QT_F32 };
enum { Q_MEMORY = 400 << 20 };    /* the matrices together are far larger than any cache */

/* Best time of a product, of matrices one after the other so that each comes from memory. */
static double quantised_seconds(struct gemm_ctx *g, int type, uint8_t *memory, int rows, int columns, int k, const float *a, float *c)
{
    const struct qtype_info *q = qtype_info(type);
    size_t row_bytes = (size_t)(k / q->elems) * (size_t)q->bytes, one = row_bytes * (size_t)columns;
    int n = (int)(Q_MEMORY / one) < 1 ? 1 : (int)(Q_MEMORY / one), i = 0;
    double best = 1e30, end = now_seconds() + seconds_each;
    int calls = rows > 32 ? 1 : n < 16 ? n : (int)(32e6 / (double)one) + 1; /* 32 MB at least between two looks at the clock */
    do {
        double t0 = now_used();
        for (int m = 0; m < calls; m++, i = (i + 1) % n) {
            struct tensor t = { .data = memory + one * (size_t)i, .type = type, .n_dim = 2, .dim = { k, columns, 1, 1 }, .row_bytes = row_bytes };
            struct gemm p = { .n_row = rows, .n_col = columns, .n_k = k, .c = c, .c_row = columns, .a = a, .a_row = k, .a_col = 1,
                              .form = GEMM_B_TENSOR, .t = &t, .act = GEMM_ACT_Q8 };
            gemm_run(g, &p);
        }
        t0 = (now_used() - t0) / calls;
        best = t0 < best ? t0 : best;
    } while (now_seconds() < end);
    return best;
}

static void bench_quantised(const struct kern *k, int threads, const char *only_type, int only_rows)
{
    n_thread = threads;
    struct pool *pool = pool_new(threads);
    struct gemm_ctx *g = pool ? gemm_ctx_new(k, pool) : NULL;
    struct machine_limits limit = { 0 };
    if (g)
        limits_measure(k, pool, &limit);
    if (!json)
        printf("\n%s, %d thread%s: memory reads at %.1f GB/s, registers alone reach %.0f GFLOP/s and %.0f GOP/s of 8 bits\n"
               "level   t  type    rows  columns      k      GB/s  of read      GOP/s  of 8-bit peak\n", k->isa, threads, threads > 1 ? "s" : "",
               limit.read_gb_per_s, limit.fp32_gflops, limit.int8_gops);
    uint8_t *memory = mem_aligned((size_t)Q_MEMORY + (128 << 20));
    size_t n_c = 512 * 14336;
    float *a = mem_aligned(n_c * 4), *c = mem_aligned(n_c * 4);
    struct rng r;
    rng_seed(&r, 1);
    for (size_t i = 0; a && i < n_c; i++)
        a[i] = (float)(i % 97) * 0.01f - 0.5f;
    for (size_t i = 0; g && memory && a && c && i < ARRAY_LEN(Q_TYPES); i++) {
        const struct qtype_info *q = qtype_info(Q_TYPES[i]);
        if (!q || (only_type && strcmp(only_type, q->name) != 0))
            continue;
        for (size_t b = 0; b < (size_t)Q_MEMORY + (128 << 20); b += 2) {
            uint16_t v = (uint16_t)(rng_u64(&r) & 0x83ff); /* any pattern is a finite scale: the exponent is small */
            memcpy(memory + b, &v, 2);
        }
        for (size_t s = 0; s < ARRAY_LEN(Q_SHAPES); s++)
            for (size_t m = 0; m < ARRAY_LEN(Q_ROWS); m++) {
                int rows = Q_ROWS[m], columns = Q_SHAPES[s].columns, depth = Q_SHAPES[s].k;
                if (depth % q->elems || (only_rows && rows != only_rows))
                    continue;
                double t = quantised_seconds(g, Q_TYPES[i], memory, rows, columns, depth, a, c);
                double gb = (double)(depth / q->elems) * q->bytes * columns / t / 1e9, gop = 2.0 * rows * columns * depth / t / 1e9;
                if (json)
                    printf("%s\n {\"level\":\"%s\",\"threads\":%d,\"type\":\"%s\",\"rows\":%d,\"columns\":%d,\"k\":%d,\"gb_per_s\":%.2f,"
                           "\"read_gb_per_s\":%.2f,\"gops\":%.1f,\"int8_gops\":%.1f}", n_json++ ? "," : "", k->isa, threads, q->name, rows,
                           columns, depth, gb, limit.read_gb_per_s, gop, limit.int8_gops);
                else
                    printf("%-7s %d  %-6s  %4d  %7d  %5d  %8.1f  %5.1f %%  %9.1f  %5.1f %%\n", k->isa, threads, q->name, rows, columns, depth,
                           gb, 100 * gb / limit.read_gb_per_s, gop, 100 * gop / limit.int8_gops);
                fflush(stdout);
            }
    }
    mem_free(memory);
    mem_free(a);
    mem_free(c);
    gemm_ctx_free(g);
    pool_free(pool);
}

int main(int argc, char **argv)
{
    int64_t only_threads = 0, only_rows = 0;
    const char *only_level = NULL, *only_type = NULL, *only_part = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = 1;
        } else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc && parse_f64(argv[i + 1], 0.001, 60, &seconds_each) == 0) {
            i++;
        } else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc && parse_i64(argv[i + 1], 1, 512, &only_threads) == 0) {
            i++;
        } else if (strcmp(argv[i], "--level") == 0 && i + 1 < argc) {
            only_level = argv[++i];
        } else if (strcmp(argv[i], "--type") == 0 && i + 1 < argc) {
            only_type = argv[++i];
        } else if (strcmp(argv[i], "--rows") == 0 && i + 1 < argc && parse_i64(argv[i + 1], 1, 4096, &only_rows) == 0) {
            i++;
        } else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            only_part = argv[++i];
        } else {
            fprintf(stderr, "usage: bench_kern [--json] [--seconds S] [--threads N] [--level avx2|avx512] [--only f32|quantised] [--type T] [--rows N]\n");
            return 2;
        }
    }
    unsigned cpu = cpu_detect();
    if (cpu & CPU_AVX512)
        setenv("OPENBLAS_CORETYPE", "SkylakeX", 1); /* its AVX-512 kernels: versions that do not know a newer CPU take AVX2 */
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW);
    if (lib) {
        *(void **)&blas = dlsym(lib, "cblas_sgemm");
        *(void **)&blas_threads = dlsym(lib, "openblas_set_num_threads");
        char *(*core)(void);
        *(void **)&core = dlsym(lib, "openblas_get_corename");
        if (core && !json)
            printf("OpenBLAS uses its kernels for %s\n", core());
    }
    const struct kern *best = kern_get(cpu);
    char name[128];
    cpu_name(name, sizeof name);
    printf(json ? "{\"cpu\":\"%s\",\"results\":[" : "%s\n", name);
    const unsigned levels[] = { CPU_AVX2, CPU_AVX2 | CPU_AVX512 | (cpu & CPU_AVX512_VNNI) };
    for (int part = 0; part < 2; part++)
        for (size_t l = 0; l < ARRAY_LEN(levels); l++)
            for (int t = 1; (cpu & levels[l]) == levels[l] && t <= cpu_count(); t *= 2) {
                const struct kern *k = kern_get(levels[l]);
                if ((only_part && strcmp(only_part, part ? "quantised" : "f32") != 0) || (only_threads && only_threads != t) ||
                    (only_level && strcmp(only_level, k->isa) != 0))
                    continue;
                if (part)
                    bench_quantised(k, t, only_type, (int)only_rows);
                else
                    bench_level(k, t, k == best);
            }
    if (json)
        printf("\n]}\n");
    return 0;
}
