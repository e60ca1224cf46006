/* loss.c — logits of target rows only, some rows at a time; cross-entropy and distillation; their gradients in place.
 *
 * Cross-entropy: L = lse(z) − z_y, dL/dz = p − onehot(y). Distillation from a teacher's top-k probabilities q and the rest
 * q_r = 1 − Σ q as one more class (Hinton et al. 2015 on k+1 classes): L = KL(q ‖ p) with p_r the student's mass outside;
 * dL/dz_j = p_j − q_j on the top-k, p_j·(1 − q_r/p_r) elsewhere. Losses are added in row order in double.
 *
 * ORDER: the vocabulary is cut into parts of VOCAB_PART tokens. Each gives its maximum, its sum of exponentials and its mass outside
 * the top-k (the kernels' order); parts are merged in ascending order in double, and a probability is exp(z − maximum of its part)
 * over that part's sum, times the part's share. So the bits are the same whether all logits are held or (logit_parts) one part at a
 * time: then a first pass merges, and a second one computes each part's logits again for the gradient. The first pass goes downwards:
 * what it leaves is where the second one begins.
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
    int v0, n;                   /* tokens in t->logits */
    int look, merge, gradient;   /* what to do with them */
};

static int part_tokens(const struct tape *t, int v0) { return t->m->hp.n_vocab - v0 < VOCAB_PART ? t->m->hp.n_vocab - v0 : VOCAB_PART; }

/* The mass outside the top-k, summed over the part: 1 − Σ p would lose what little there is. */
static double mass_outside(const float *p, int v0, int n, const struct soft_label *s)
{
    double sum[4] = { 0 }, inside = 0;
    for (int j = 0; j < n; j++) sum[j & 3] += (double)p[j];
    for (int k = 0; k < s->n; k++)
        if (s->id[k] >= v0 && s->id[k] < v0 + n) inside += (double)p[s->id[k] - v0];
    double rest = (sum[0] + sum[1]) + (sum[2] + sum[3]) - inside;
    return rest > 0 ? rest : 0;
}

/* z: logits of tokens v0 …, afterwards their probabilities within the part. */
static void look(const struct kern *kn, float *z, int v0, int n, int32_t label, const struct soft_label *s, struct vocab_part *part, struct row_known *known)
{
    if (label >= v0 && label < v0 + n) known->z_label = z[label - v0];
    for (int k = 0; s && k < s->n; k++)
        if (s->id[k] >= v0 && s->id[k] < v0 + n) known->z_top[k] = z[s->id[k] - v0];
    const int top = kn->argmax(z, n);
    part->top = v0 + top;
    part->z_max = z[top];
    kn->softmax(z, n);
    part->p_max = z[top];
    part->rest = s ? mass_outside(z, v0, n, s) : 0;
}

/* The parts' shares, and (1−mix)·CE + mix·KL. tell (NULL allowed): CE, or −1. */
static double merge(struct vocab_part *part, int n_part, int32_t label, const struct soft_label *s, float mix, struct row_known *known, float *tell)
{
    int best = 0;
    for (int i = 1; i < n_part; i++)
        if (part[i].z_max > part[best].z_max) best = i;
    const double z_max = (double)part[best].z_max;
    double sum = 0, p_rest = 0;
    for (int i = 0; i < n_part; i++) sum += part[i].share = exp((double)part[i].z_max - z_max) / (double)part[i].p_max;
    for (int i = 0; i < n_part; i++) p_rest += part[i].rest * (part[i].share /= sum);
    const double lse = z_max + log(sum), loss = lse - (double)known->z_label;
    if (tell) *tell = part[best].top == label ? (float)(loss > 0 ? loss : 0) : -1.0f;
    if (!s) return loss;
    double q_sum = 0, kl = 0;
    for (int k = 0; k < s->n; k++) {
        double q = exp((double)s->logp[k]);
        q_sum += q;
        if (q > 0) kl += q * ((double)s->logp[k] - ((double)known->z_top[k] - lse));
    }
    const double q_rest = q_sum < 1 ? 1 - q_sum : 0, keep = 1 - (double)mix;
    if (q_rest > 0) kl += q_rest * (log(q_rest) - log(p_rest > 1e-30 ? p_rest : 1e-30));
    known->q_rest = q_rest;
    known->p_rest = p_rest;
    known->on_top = keep + (double)mix * (q_sum + q_rest);
    return keep * loss + (double)mix * kl;
}

/* z: what look left, afterwards the gradient times w. */
static void gradient(const struct kern *kn, float *z, int v0, int n, int32_t label, const struct soft_label *s, float mix, float w,
                     const struct vocab_part *part, const struct row_known *known)
{
    if (!s) {
        kn->scale(z, (float)((double)w * part->share), n);
        if (label >= v0 && label < v0 + n) z[label - v0] -= w;
        return;
    }
    float p_top[SOFT_TOP] = { 0 };
    for (int k = 0; k < s->n; k++)
        if (s->id[k] >= v0 && s->id[k] < v0 + n) p_top[k] = z[s->id[k] - v0];
    kn->scale(z, (float)((double)w * part->share * (known->on_top - (known->p_rest > 1e-30 ? (double)mix * known->q_rest / known->p_rest : 0))), n);
    for (int k = 0; k < s->n; k++)
        if (s->id[k] >= v0 && s->id[k] < v0 + n)
            z[s->id[k] - v0] = (float)((double)w * (known->on_top * part->share * (double)p_top[k] - (double)mix * exp((double)s->logp[k])));
    if (label >= v0 && label < v0 + n) z[label - v0] -= (float)((1 - (double)mix) * (double)w);
}

static void loss_rows(void *ud, int i0, int i1)
{
    const struct loss_job *j = ud;
    struct tape *t = j->t;
    const struct kern *k = gemm_kern(t->g);
    for (int i = i0; i < i1; i++) {
        const int at = j->first + i;
        const int32_t label = j->y->label[at];
        const struct soft_label *s = j->y->soft && j->o->soft_mix > 0 && j->y->soft[at] && j->y->soft[at]->n ? j->y->soft[at] : NULL;
        const float w = (j->y->weight ? j->y->weight[at] : 1.0f) * j->scale;
        const size_t row = (size_t)i * (size_t)j->n;
        float *z = t->logits + row, *capped = t->capped ? t->capped + row : NULL;
        struct vocab_part *part = t->part + (size_t)i * (size_t)t->n_part;
        if (capped && j->look) memcpy(capped, z, (size_t)j->n * sizeof *z);
        for (int v = 0; j->look && v < j->n; v += VOCAB_PART)
            look(k, z + v, j->v0 + v, part_tokens(t, j->v0 + v), label, s, &part[(j->v0 + v) / VOCAB_PART], &t->known[i]);
        if (j->merge) t->row_loss[i] = merge(part, t->n_part, label, s, j->o->soft_mix, &t->known[i], t->tell ? t->tell + at : NULL);
        for (int v = 0; j->gradient && v < j->n; v += VOCAB_PART)
            gradient(k, z + v, j->v0 + v, part_tokens(t, j->v0 + v), label, s, j->o->soft_mix, w, &part[(j->v0 + v) / VOCAB_PART], &t->known[i]);
        if (capped && j->gradient) k->softcap_back(z, capped, t->m->hp.final_softcap, j->n);
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

/* Logits of some tokens for n rows, and what j says about them. again: they are still there. */
static void tokens_run(struct loss_job *j, int n, int again)
{
    struct tape *t = j->t;
    if (!again) output_part_logits(t->g, t->m, t->out_norm, n, j->v0, j->n, t->logits);
    rows_run(gemm_pool(t->g), loss_rows, j, n);
}

/* From the gradient of logits to those of the output matrix and of its input. */
static void tokens_backward(struct loss_job *j, int n)
{
    struct tape *t = j->t;
    const struct linear w = output_part(t->m, j->v0, j->n);
    if (t->m->hp.logit_scale != 0) gemm_kern(t->g)->scale(t->logits, 1.0f / t->m->hp.logit_scale, (int64_t)n * j->n);
    linear_backward(t, &w.w, NULL, 0, t->out_norm, NULL, t->logits, n, t->dout_norm, j->v0 > 0);
}

static void chunk_run(struct loss_job *j, int n)
{
    struct tape *t = j->t;
    if (t->held == t->m->hp.n_vocab) {
        j->v0 = 0, j->n = t->held, j->look = j->merge = 1, j->gradient = j->backward;
        tokens_run(j, n, 0);
        if (j->backward) tokens_backward(j, n);
        return;
    }
    j->look = 1, j->gradient = 0;
    for (int p = t->n_part - 1; p >= 0; p--) {
        j->v0 = p * VOCAB_PART, j->n = part_tokens(t, j->v0), j->merge = p == 0;
        tokens_run(j, n, 0);
    }
    j->gradient = 1, j->merge = 0;
    for (int p = 0; j->backward && p < t->n_part; p++) {
        j->v0 = p * VOCAB_PART, j->n = part_tokens(t, j->v0), j->look = p > 0;
        tokens_run(j, n, p == 0);
        tokens_backward(j, n);
    }
}

void loss_run(struct tape *t, const struct targets *y, int first, int n, int row_base, const struct loss_opts *o, float scale,
              int backward, double *loss_sum, double *weight_sum)
{
    for (int at = first; at < first + n; at += t->chunk) {
        const int n_at = first + n - at < t->chunk ? first + n - at : t->chunk;
        struct loss_job j = { .t = t, .y = y, .first = at, .backward = backward, .o = o, .scale = scale };
        for (int i = 0; i < n_at; i++) t->row[i] = y->row[at + i] - row_base;
        output_norms(t->g, t->m, t->x_out, t->row, n_at, t->out_norm, t->out_inv_rms);
        chunk_run(&j, n_at);
        for (int i = 0; i < n_at; i++) {
            double w = y->weight ? (double)y->weight[at + i] : 1.0;
            *loss_sum += w * t->row_loss[i];
            *weight_sum += w;
        }
        if (!backward) continue;
        if (tape_full(t)) gain_backward(t, tape_grad(t, t->m->output_norm), t->dout_norm, t->x_out, t->row, t->out_inv_rms, n_at);
        rows_run(gemm_pool(t->g), norm_rows, &j, n_at);
    }
}
