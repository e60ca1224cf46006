/* run_metrics.c — metrics.jsonl: one line a step, one a validation. Lines are complete at every checkpoint.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

#include <unistd.h>

int metrics_open(struct loop *l, ilab_err *e) {
    if (!l->first)
        return 0;
    int64_t keep = l->resumed ? l->s.metrics_bytes : 0;
    if (file_exists(l->metrics_path) == 1 && file_size(l->metrics_path) > keep && truncate(l->metrics_path, keep) != 0)
        return err_set(e, ILAB_E_IO, "cannot shorten '%s'", l->metrics_path);
    l->metrics = fopen(l->metrics_path, "a");
    if (!l->metrics || fseek(l->metrics, 0, SEEK_END) != 0)
        return err_set(e, ILAB_E_IO, "cannot write '%s'", l->metrics_path);
    return 0;
}

void metrics_step(struct loop *l, double loss, double lr, double norm, double seconds, int64_t rows) {
    if (!l->first)
        return;
    fprintf(l->metrics, "{\"step\":%lld,\"epoch\":%lld,\"loss\":%.6f,\"lr\":%.6g,\"grad_norm\":%.5g,\"tokens\":%lld,\"seconds\":%.1f,\"tokens_per_s\":%.0f}\n",
            (long long)l->s.step, (long long)l->s.epoch, loss, lr, norm, (long long)l->s.tokens, l->before + now_seconds() - l->begun,
            seconds > 0 ? (double)rows / seconds : 0.0);
    fflush(l->metrics);
}

void metrics_validation(struct loop *l) {
    if (!l->first)
        return;
    fprintf(l->metrics, "{\"step\":%lld,\"val_loss\":%.6f}\n", (long long)l->s.step, l->s.val_loss);
    fflush(l->metrics);
}
