/* run_blame.c — when the loss is no number any more: whose fault it is.
 *
 * The samples of the batch run one by one. The optimiser did not move, so weights are those of the step before.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"
#include "train/tape.h"

#include <math.h>

enum { NAMED = ARRAY_LEN(((struct blamed *)0)->sample) };

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

/* *sum: over all processes; the names of the first bad ones. */
static int ask_all(struct loop *l, const struct blamed *own, struct blamed *sum, struct sb *who, ilab_err *e) {
    const struct blamed *all = l->gathered;
    int n_named = 0, rc = communicator_gather(l->comm, own, sizeof *own, l->gathered, e);
    for (int i = 0; i < l->comm->size && !rc; i++) {
        sum->n += all[i].n;
        sum->n_bad += all[i].n_bad;
        for (uint32_t k = 0; k < all[i].n_bad && k < NAMED && n_named < NAMED; k++, n_named++) {
            const int64_t line = l->r->d->v[all[i].sample[k]].line;
            sb_addf(who, "%s%u", n_named ? ", " : "", all[i].sample[k] + 1);
            if (line) sb_addf(who, l->comm->size > 1 ? " (line %lld, process %d)" : " (line %lld)", (long long)line, i);
            else if (l->comm->size > 1) sb_addf(who, " (process %d)", i);
        }
    }
    if (sum->n_bad > (uint32_t)n_named)
        sb_addf(who, " and %u more", sum->n_bad - (uint32_t)n_named);
    return rc;
}

int run_blame(struct loop *l, int epoch, int i_batch, ilab_err *e) {
    struct sb who;
    const uint32_t *sample;
    const double lr = (double)l->r->o->optim.lr;
    struct blamed own = { 0 }, sum = { 0 };
    const char *kept = file_exists(l->checkpoint) == 1 ? "; the last checkpoint is kept" : "";
    int n = packing_part_samples(l->packing, epoch, i_batch, &sample);
    if (!weights_finite(l))
        n = 0;
    for (int i = 0; i < n && !signal_pending(); i++) {
        own.n++;
        if (!sample_finite(l, sample[i]) && own.n_bad++ < NAMED)
            own.sample[own.n_bad - 1] = sample[i];
    }
    sb_init(&who, 4096);
    int rc = ask_all(l, &own, &sum, &who, e);
    if (rc) {
        sb_release(&who);
        return rc;
    }
    if (!sum.n_bad)
        err_set(e, ILAB_E_INVALID, "the loss is no longer a finite number at step %lld, and no sample alone is the cause: begin anew (--fresh) with a lower learning rate than %g%s",
                (long long)l->s.step + 1, lr, kept);
    else if (sum.n_bad < sum.n)
        err_set(e, ILAB_E_INVALID, "the loss is no longer a finite number at step %lld, because of sample %s: look at it or remove it, or begin anew (--fresh) with a lower learning rate than %g%s",
                (long long)l->s.step + 1, who.p ? who.p : "", lr, kept);
    else
        err_set(e, ILAB_E_INVALID, "the loss is no longer a finite number at step %lld, for every sample of the step (sample %s): %sbegin anew (--fresh) with a lower learning rate than %g%s",
                (long long)l->s.step + 1, who.p ? who.p : "", l->s.step ? "" : "is the model's file damaged (ilab model info FILE --check)? Else ", lr, kept);
    sb_release(&who);
    return ILAB_E_INVALID;
}
