/* loss.c — logits of target rows only, a chunk at a time; cross-entropy and distillation; their gradients in place.
 *
 * Cross-entropy: L = lse(z) − z_y, dL/dz = p − onehot(y). Distillation from a teacher's top-k probabilities q and the rest
 * q_r = 1 − Σ q as one more class (Hinton et al. 2015 on k+1 classes): L = KL(q ‖ p) with p_r the student's mass outside;
 * dL/dz_j = p_j − q_j on the top-k, p_j·(1 − q_r/p_r) elsewhere. Losses are added in row order in double.
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/tape.h"

#include <math.h>
#include <string.h>

struct loss_job {
    struct tape *t;
    const struct targets *y;
    int first, backward;
    const struct loss_opts *o;
    float scale;
};

/* The mass outside the top-k, summed over the vocabulary: 1 − Σ p would lose what little there is. */
static double mass_outside(const float *p, int n, const struct soft_label *s)
{
    double sum[4] = { 0 }, inside = 0;
    for (int j = 0; j < n; j++) sum[j & 3] += (double)p[j];
    for (int k = 0; k < s->n; k++) inside += (double)p[s->id[k]];
    double rest = (sum[0] + sum[1]) + (sum[2] + sum[3]) - inside;
    return rest > 0 ? rest : 0;
}

/* One row: z = logits, afterwards their gradient times w. Returns (1−mix)·CE + mix·KL. tell (NULL allowed): CE, or −1. */
static double row_loss(const struct kern *kn, float *z, int n, int32_t label, const struct soft_label *s, float mix, float w, float *tell)
{
    float z_top[SOFT_TOP];
    const float z_label = z[label];
    const int top = kn->argmax(z, n);
    const float z_max = z[top];
    for (int k = 0; s && k < s->n; k++) z_top[k] = z[s->id[k]];
    kn->softmax(z, n);
    const double lse = (double)z_max - log((double)z[top]);
    double loss = lse - (double)z_label;
    if (tell) *tell = top == label ? (float)(loss > 0 ? loss : 0) : -1.0f;
    if (!s) {
        kn->scale(z, w, n);
        z[label] -= w;
        return loss;
    }
    double q_sum = 0, kl = 0;
    for (int k = 0; k < s->n; k++) {
        double q = exp((double)s->logp[k]);
        q_sum += q;
        if (q > 0) kl += q * ((double)s->logp[k] - ((double)z_top[k] - lse));
    }
    const double q_rest = q_sum < 1 ? 1 - q_sum : 0, mass = q_sum + q_rest, p_rest = mass_outside(z, n, s);
    if (q_rest > 0) kl += q_rest * (log(q_rest) - log(p_rest > 1e-30 ? p_rest : 1e-30));
    const double keep = 1 - (double)mix, on_top = keep + (double)mix * mass;
    float p_top[SOFT_TOP];
    for (int k = 0; k < s->n; k++) p_top[k] = z[s->id[k]];
    kn->scale(z, (float)((double)w * (on_top - (p_rest > 1e-30 ? (double)mix * q_rest / p_rest : 0))), n);
    for (int k = 0; k < s->n; k++)
        z[s->id[k]] = (float)((double)w * (on_top * (double)p_top[k] - (double)mix * exp((double)s->logp[k])));
    z[label] -= (float)(keep * (double)w);
    return keep * loss + (double)mix * kl;
}

static void loss_rows(void *ud, int i0, int i1)
{
    const struct loss_job *j = ud;
    const int n_vocab = j->t->m->hp.n_vocab;
    for (int i = i0; i < i1; i++) {
        const int at = j->first + i;
        const struct soft_label *s = j->y->soft && j->o->soft_mix > 0 ? j->y->soft[at] : NULL;
        const float w = (j->y->weight ? j->y->weight[at] : 1.0f) * j->scale;
        const struct kern *k = gemm_kern(j->t->g);
        float *z = j->t->logits + (size_t)i * (size_t)n_vocab, *capped = j->t->capped ? j->t->capped + (size_t)i * (size_t)n_vocab : NULL;
        if (capped) memcpy(capped, z, (size_t)n_vocab * sizeof *z);
        j->t->row_loss[i] = row_loss(k, z, n_vocab, j->y->label[at], s && s->n ? s : NULL, j->o->soft_mix, w,
                                     j->t->tell ? j->t->tell + at : NULL);
        if (capped) k->softcap_back(z, capped, j->t->m->hp.final_softcap, n_vocab);
    }
}

static void norm_rows(void *ud, int i0, int i1)
{
    const struct loss_job *j = ud;
    const struct tape *t = j->t;
    const size_t c = (size_t)t->m->hp.n_embd;
    for (int i = i0; i < i1; i++) {
        const size_t x = (size_t)t->row[i] * c;
        norm_row_backward(t, t->dx + x, t->dout_norm + (size_t)i * c, t->x_out + x, t->m->output_norm, t->out_inv_rms[i]);
    }
}

void loss_run(struct tape *t, const struct targets *y, int first, int n, int row_base, const struct loss_opts *o, float scale,
              int backward, double *loss_sum, double *weight_sum)
{
    for (int at = first; at < first + n; at += t->chunk) {
        const int n_at = first + n - at < t->chunk ? first + n - at : t->chunk;
        struct loss_job j = { t, y, at, backward, o, scale };
        for (int i = 0; i < n_at; i++) t->row[i] = y->row[at + i] - row_base;
        output_logits(t->g, t->m, t->x_out, t->row, n_at, t->out_norm, t->out_inv_rms, t->logits);
        rows_run(gemm_pool(t->g), loss_rows, &j, n_at);
        for (int i = 0; i < n_at; i++) {
            double w = y->weight ? (double)y->weight[at + i] : 1.0;
            *loss_sum += w * t->row_loss[i];
            *weight_sum += w;
        }
        if (!backward) continue;
        if (t->m->hp.logit_scale != 0) gemm_kern(t->g)->scale(t->logits, 1.0f / t->m->hp.logit_scale, (int64_t)n_at * t->m->hp.n_vocab);
        linear_backward(t, &t->m->output.w, NULL, 0, t->out_norm, NULL, t->logits, n_at, t->dout_norm, 0);
        if (tape_full(t)) gain_backward(t, tape_grad(t, t->m->output_norm), t->dout_norm, t->x_out, t->row, t->out_inv_rms, n_at);
        rows_run(gemm_pool(t->g), norm_rows, &j, n_at);
    }
}
