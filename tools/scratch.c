/* scratch.c — trains a model from nothing: scratch CONFIG [--threads N] [--fresh]. A second run goes on where the first stopped.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/train.h"

#include <string.h>

int main(int argc, char **argv) {
    struct scratch_opts o = { .config = NULL };
    int64_t n_threads = 0;
    int bad = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            bad |= parse_i64(argv[++i], 1, 1024, &n_threads) != 0;
        else if (strcmp(argv[i], "--fresh") == 0)
            o.fresh = 1;
        else if (argv[i][0] != '-' && !o.config)
            o.config = argv[i];
        else
            bad = 1;
    }
    if (bad || !o.config) {
        fprintf(stderr, "usage: scratch CONFIG.yaml [--threads N] [--fresh]\n");
        return 2;
    }
    signal_install();
    ilab_err e = { 0 };
    struct train_report r;
    struct pool *pool = pool_new((int)n_threads);
    struct gemm_ctx *g = pool ? gemm_ctx_new(kern_get(cpu_detect()), pool) : NULL;
    int rc = g ? train_from_scratch(g, &o, &r, &e) : ILAB_E_NOMEM;
    if (rc)
        fprintf(stderr, "scratch: %s\n", g ? e.msg : "no memory");
    else
        printf("%lld steps, %lld tokens, loss %.4f, validation %.4f, %.0f s, %.0f tokens/s, %.1f GFLOP/s, peak %.0f MB\n", (long long)r.steps,
               (long long)r.tokens, r.last_loss, r.val_loss, r.seconds, r.tokens_per_s, r.gflops, (double)r.peak_rss_bytes * 1e-6);
    gemm_ctx_free(g);
    pool_free(pool);
    return rc == ILAB_E_CANCEL ? 130 : rc ? 1 : 0;
}
