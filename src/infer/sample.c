/* sample.c — from logits to an id.
 *
 * After the temperature the row holds weights p_i = exp((l_i - max) / T), so top-k, top-p and min-p all are
 * "which weights stay": the first two are the same search, a radix selection over the weights' bits from the
 * largest down until a budget (a count, or a share of the mass) is spent. No sorting, no memory.
 * Equal weights stay in the order of their ids. Everything here is scalar: one thread, one order.
 * top-p: Holtzman et al. 2020; min-p: Nguyen et al. 2024; repeat penalty: Keskar et al. 2019.
 * SPDX-License-Identifier: Apache-2.0 */
#include "infer/infer.h"

#include <math.h>
#include <string.h>

struct saved { int32_t id; float logit; };

/* Each id of the last ids counts once, however often it occurred. Returns how many logits were changed. */
static int penalize(float *logits, int n_vocab, const struct sample_opts *o, const int32_t *history, int n_history,
                    struct saved *saved) {
    int n_last = o->repeat_last_n < SAMPLE_MAX_REPEAT ? o->repeat_last_n : SAMPLE_MAX_REPEAT, n = 0;
    if (n_last > n_history) n_last = n_history;
    for (int i = n_history - n_last; i < n_history; i++) {
        int32_t id = history[i];
        int seen = id < 0 || id >= n_vocab;
        for (int j = 0; j < n && !seen; j++) seen = saved[j].id == id;
        if (seen) continue;
        saved[n++] = (struct saved){ id, logits[id] };
        logits[id] = logits[id] > 0 ? logits[id] / o->repeat_penalty : logits[id] * o->repeat_penalty;
    }
    return n;
}

/* Weights are ≥ 0, so their bits order as integers. */
static uint32_t bits_of(float p) {
    uint32_t u;
    memcpy(&u, &p, 4);
    return u;
}

/* Keeps the largest weights until their number (by_mass 0) or sum (by_mass 1) reaches budget; the rest becomes 0. */
static void keep_largest(float *p, int n, int by_mass, double budget) {
    uint32_t prefix = 0, mask = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        double bin[256] = { 0 };
        for (int i = 0; i < n; i++) {
            uint32_t u = bits_of(p[i]);
            if (p[i] > 0 && (u & mask) == prefix) bin[u >> shift & 255] += by_mass ? (double)p[i] : 1.0;
        }
        int b = 255;
        while (b > 0 && bin[b] < budget) budget -= bin[b--];
        prefix |= (uint32_t)b << shift;
        mask |= 255u << shift;
    }
    for (int i = 0; i < n; i++) { /* weights equal to the last one kept: the first ones, while budget is left */
        uint32_t u = bits_of(p[i]);
        if (u > prefix) continue;
        if (u == prefix && budget > 0) budget -= by_mass ? (double)p[i] : 1.0;
        else p[i] = 0;
    }
}

static int draw(const struct kern *k, float *p, int n, const struct sample_opts *o, struct rng *r) {
    int best = k->argmax(p, n);
    double max = p[best], sum = 0;
    for (int i = 0; i < n; i++) p[i] = p[i] == -INFINITY ? 0.0f : expf((float)((p[i] - max) / o->temp));
    if (o->top_k > 0 && o->top_k < n) keep_largest(p, n, 0, o->top_k);
    if (o->top_p < 1.0f) {
        for (int i = 0; i < n; i++) sum += p[i];
        keep_largest(p, n, 1, sum * (o->top_p > 0 ? o->top_p : 1e-9));
    }
    sum = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] < o->min_p) p[i] = 0;
        sum += p[i];
    }
    double u = rng_unit(r) * sum;
    if (!(sum > 0) || !isfinite(sum)) return best;
    int last = best;
    for (int i = 0; i < n; i++) {
        if (!(p[i] > 0)) continue;
        last = i;
        u -= p[i];
        if (u < 0) break;
    }
    return last;
}

int sample_choose(const struct kern *k, float *logits, int n_vocab, const struct sample_opts *o, struct rng *r,
                  const int32_t *history, int n_history, float *raw_logit) {
    struct saved saved[SAMPLE_MAX_REPEAT];
    int n_saved = 0;
    if (o->repeat_penalty > 0 && o->repeat_penalty != 1.0f) n_saved = penalize(logits, n_vocab, o, history, n_history, saved);
    int id = k->argmax(logits, n_vocab);
    if (!raw_logit && !(o->temp > 0)) return id;
    float max = logits[id], chosen = max;
    if (o->temp > 0) {
        id = draw(k, logits, n_vocab, o, r);
        chosen = max + o->temp * logf(logits[id]); /* the weight keeps 24 bits of it */
    }
    for (int i = 0; i < n_saved; i++)
        if (saved[i].id == id) chosen = saved[i].logit;
    if (raw_logit) *raw_logit = chosen;
    return id;
}

int sample_next(const struct kern *k, float *logits, int n_vocab, const struct sample_opts *o, struct rng *r,
                const int32_t *history, int n_history, float *logp) {
    float raw, lse = logp ? k->log_sum_exp(logits, n_vocab) : 0;
    int id = sample_choose(k, logits, n_vocab, o, r, history, n_history, &raw);
    if (logp) *logp = raw - lse;
    return id;
}

int top_logprobs(const float *logits, int n_vocab, int n, struct token_logprob *out) {
    float max = -INFINITY;
    double sum = 0;
    int m = 0;
    for (int i = 0; i < n_vocab; i++)
        if (logits[i] > max) max = logits[i];
    for (int i = 0; i < n_vocab; i++) sum += expf(logits[i] - max);
    double lse = max + log(sum);
    for (int i = 0; i < n_vocab; i++) {
        if (n < 1 || (m == n && !(logits[i] > out[m - 1].logp)) || !(logits[i] > -INFINITY)) continue;
        int at = m < n ? m++ : m - 1;
        for (; at > 0 && out[at - 1].logp < logits[i]; at--) out[at] = out[at - 1];
        out[at] = (struct token_logprob){ i, logits[i] };
    }
    for (int i = 0; i < m; i++) out[i].logp = (float)(out[i].logp - lse);
    return m;
}
