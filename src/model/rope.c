/* rope.c — tables of the rotary embedding and its ways to stretch (docs/MODEL.md, "Positions").
 *
 * Angles are computed in double, stored as cosines and sines: one row of rope_dim floats a position, in the order in which the
 * kernel of the model's kind reads them.  SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

#include <math.h>

#define PI 3.14159265358979323846

/* YaRN (Peng et al. 2023, §3.2): pair i is interpolated when it turns fewer than beta_slow times within the first context,
 * left alone when it turns more than beta_fast times; between, a ramp over i. */
static double yarn_ramp(const struct hparams *hp, double base, int i)
{
    const double fast = hp->yarn_beta_fast > 0 ? (double)hp->yarn_beta_fast : 32, slow = hp->yarn_beta_slow > 0 ? (double)hp->yarn_beta_slow : 1;
    const double log_base = 2 * log(base);
    double low = floor(hp->rope_dim * log(hp->rope_n_ctx / (fast * 2 * PI)) / log_base);
    double high = ceil(hp->rope_dim * log(hp->rope_n_ctx / (slow * 2 * PI)) / log_base);
    low = fmax(low, 0);
    high = fmin(high, hp->rope_dim - 1);
    double y = (i - low) / fmax(0.001, high - low);
    return 1 - fmin(1, fmax(0, y)); /* 1: left alone */
}

struct rope_plan { double base; const float *factor; int scaled; };

static void fill(const struct hparams *hp, const struct rope_plan *p, float *t, int from, int to)
{
    const int half = hp->rope_dim / 2;
    const double stretch = p->scaled && hp->rope_factor > 0 ? (double)hp->rope_factor : 1;
    double size = p->scaled && hp->rope_attn_factor > 0 ? (double)hp->rope_attn_factor : 1;
    const int yarn = p->scaled && hp->rope_scaling == ROPE_SCALING_YARN;
    if (yarn && stretch > 1) size *= 1 + 0.1 * log(stretch); /* YaRN, equation 15's temperature, on q and k each */
    for (int i = 0; i < half; i++) { /* Su et al. 2021, equation 15 */
        double freq = pow(p->base, -2.0 * i / hp->rope_dim);
        if (p->factor) freq /= (double)p->factor[i];
        const double keep = yarn ? yarn_ramp(hp, p->base, i) : 0;
        freq = freq / stretch * (1 - keep) + freq * keep;
        for (int pos = from; pos < to; pos++) {
            float *row = t + (size_t)pos * (size_t)hp->rope_dim;
            float *c = hp->rope == ROPE_HALVES ? row + i : row + 2 * i, *s = hp->rope == ROPE_HALVES ? row + half + i : row + 2 * i + 1;
            *c = (float)(cos(pos * freq) * size);
            *s = (float)(sin(pos * freq) * size);
        }
    }
}

static int grow(const struct hparams *hp, const struct rope_plan *p, float **table, int from, int to, ilab_err *e)
{
    float *t = mem_realloc(*table, (size_t)to * (size_t)hp->rope_dim * sizeof(float));
    if (!t) return err_set(e, ILAB_E_NOMEM, "no memory for a rotary table of %d positions", to);
    *table = t;
    fill(hp, p, t, from, to);
    return 0;
}

int model_rope_reserve(struct model *m, int n_pos, ilab_err *e)
{
    const struct hparams *hp = &m->hp;
    if (m->positions.data && n_pos > m->positions.dim[1])
        return err_set(e, ILAB_E_LIMIT, "the model has %lld learned positions, %d are needed", (long long)m->positions.dim[1], n_pos);
    if (n_pos <= m->rope_n_pos || hp->rope == ROPE_NONE) return 0;
    const int is_long = m->rope_long && n_pos > hp->rope_n_ctx;
    int from = m->rope_n_pos, rc;
    if (is_long != m->rope_is_long) from = 0;
    const struct rope_plan all = { (double)hp->rope_base, m->rope_factor ? m->rope_factor : is_long ? m->rope_long : m->rope_short, 1 };
    if ((rc = grow(hp, &all, &m->rope_cos_sin, from, n_pos, e))) return rc;
    if (hp->own_window_rope && hp->window) {
        const struct rope_plan local = { (double)(hp->rope_base_window > 0 ? hp->rope_base_window : hp->rope_base), NULL, 0 };
        if ((rc = grow(hp, &local, &m->rope_window, from, n_pos, e))) return rc;
    }
    m->rope_n_pos = n_pos;
    m->rope_is_long = is_long;
    return 0;
}

const float *layer_rope_row(const struct model *m, int layer, int pos)
{
    const size_t at = (size_t)pos * (size_t)m->hp.rope_dim;
    switch (m->layer[layer].rope) {
    case LAYER_ROPE: return m->rope_cos_sin + at;
    case LAYER_ROPE_WINDOW: return m->rope_window + at;
    default: return NULL;
    }
}
