/* run_blame.c — when the loss is no number any more: whose fault it is.
 *
 * The samples of the batch run one by one. The optimiser did not move, so weights are those of the step before.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"
#include "train/tape.h"

#include <math.h>

enum { NAMED = 5 };

static int weights_finite(const struct loop *l) {
    for (int i = 0; i < l->n_param; i++)
        if (!isfinite(gemm_kern(l->r->g)->sum_squares(l->param[i].w, (int64_t)l->param[i].n)))
            for (size_t k = 0; k < l->param[i].n; k++)
                if (!isfinite(l->param[i].w[k]))
                    return 0;
    return 1;
}

static int sample_finite(struct loop *l, uint32_t sample) {
    struct batch b;
    struct targets y;
    double sum = 0, weight = 0;
    tape_spans(l->tape, 1, &(int64_t){ INT64_MAX }, 0);
    tape_zero_grad(l->tape);
    tape_set_states(l->tape, NULL, NULL, 0);
    packing_one_sample(l->packing, sample, &b, &y);
    if (tape_step(l->tape, &b, &y, &l->r->o->loss, 1.0f, 1, &sum, &weight, NULL))
        return 1;
    tape_finish_grad(l->tape);
    for (int i = 0; i < l->n_param && isfinite(sum); i++)
        sum += gemm_kern(l->r->g)->sum_squares(l->param[i].g, (int64_t)l->param[i].n);
    return isfinite(sum);
}

int run_blame(struct loop *l, int epoch, int i_batch, ilab_err *e) {
    struct sb who;
    const uint32_t *sample;
    const double lr = (double)l->r->o->optim.lr;
    const char *kept = file_exists(l->checkpoint) == 1 ? "; the last checkpoint is kept" : "";
    int n = packing_batch_samples(l->packing, epoch, i_batch, &sample), n_bad = 0;
    sb_init(&who, 4096);
    if (!weights_finite(l))
        n = 0;
    for (int i = 0; i < n && !signal_pending(); i++) {
        if (sample_finite(l, sample[i]))
            continue;
        int64_t line = l->r->d->v[sample[i]].line;
        if (n_bad++ < NAMED)
            sb_addf(&who, line ? "%s%u (line %lld)" : "%s%u", n_bad > 1 ? ", " : "", sample[i] + 1, (long long)line);
    }
    if (n_bad > NAMED)
        sb_addf(&who, " and %d more", n_bad - NAMED);
    if (!n_bad)
        err_set(e, ILAB_E_INVALID, "the loss is no longer a finite number at step %lld, and no sample alone is the cause: begin anew (--fresh) with a lower learning rate than %g%s",
                (long long)l->s.step + 1, lr, kept);
    else if (n_bad < n)
        err_set(e, ILAB_E_INVALID, "the loss is no longer a finite number at step %lld, because of sample %s: look at it or remove it, or begin anew (--fresh) with a lower learning rate than %g%s",
                (long long)l->s.step + 1, who.p ? who.p : "", lr, kept);
    else
        err_set(e, ILAB_E_INVALID, "the loss is no longer a finite number at step %lld, for every sample of the step (sample %s): begin anew (--fresh) with a lower learning rate than %g%s",
                (long long)l->s.step + 1, who.p ? who.p : "", lr, kept);
    sb_release(&who);
    return ILAB_E_INVALID;
}
