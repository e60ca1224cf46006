/* model.c — opening, making and releasing models; their identity; rotary tables; walking tensors.
 *
 * A model opened for inference points into the mapped file; MODEL_PACK adds F32 panels, MODEL_TRAINABLE replaces
 * every weight by an F32 copy inside one block (`params`), whose order is that of model_each_tensor.
 * Not thread-safe: model_rope_reserve and model_hash change the model and belong before it is shared.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

#include <math.h>
#include <string.h>

/* ---- binding ---- */

static void bind(struct model *m, const struct gguf *g)
{
    const struct arch *a = m->arch;
    char name[128];
    m->embedding.w = *gguf_tensor(g, a->embedding);
    m->output.w = m->hp.tied ? m->embedding.w : *gguf_tensor(g, a->output);
    m->output_norm = gguf_tensor(g, a->output_norm)->data;
    const struct tensor *rf = gguf_tensor(g, a->rope_factors);
    m->rope_factor = rf ? rf->data : NULL;
    for (int l = 0; l < m->hp.n_layer; l++) {
        struct layer *y = &m->layer[l];
        for (int k = 0; k < LIN_COUNT; k++) {
            block_tensor_name(name, l, LINEAR_NAME[k]);
            y->lin[k].w = *gguf_tensor(g, name);
        }
        block_tensor_name(name, l, a->attn_norm);
        y->attn_norm = gguf_tensor(g, name)->data;
        block_tensor_name(name, l, a->ffn_norm);
        y->ffn_norm = gguf_tensor(g, name)->data;
    }
}

/* Headers without data for a model that is made here. */
static void bind_empty(struct model *m)
{
    for (int l = -2; l < m->hp.n_layer; l++) {
        for (int k = 0; k < (l < 0 ? 1 : LIN_COUNT); k++) {
            struct tensor *t = l == -2 ? &m->embedding.w : l == -1 ? &m->output.w : &m->layer[l].lin[k].w;
            *t = (struct tensor){ .type = QT_F32, .n_dim = 2, .dim = { m->hp.n_embd, m->hp.n_vocab, 1, 1 } };
            if (l >= 0) linear_dims(&m->hp, k, t->dim);
            if (l >= 0) block_tensor_name(t->name, l, LINEAR_NAME[k]);
            else snprintf(t->name, sizeof t->name, "%s", l == -2 || m->hp.tied ? m->arch->embedding : m->arch->output);
            t->row_bytes = (size_t)t->dim[0] * sizeof(float);
            t->n_bytes = t->row_bytes * (size_t)t->dim[1];
        }
    }
}

static struct tensor norm_tensor(const struct model *m, const char *name, const float *w)
{
    struct tensor t = { .data = w, .type = QT_F32, .n_dim = 1, .dim = { m->hp.n_embd, 1, 1, 1 },
                        .row_bytes = (size_t)m->hp.n_embd * sizeof(float), .n_bytes = (size_t)m->hp.n_embd * sizeof(float) };
    snprintf(t.name, sizeof t.name, "%s", name);
    return t;
}

/* The one order of tensors; fn may repoint data of norms through t->data, which is stored back. */
int model_each_tensor(struct model *m, model_tensor_fn *fn, void *ud, ilab_err *e)
{
    int rc;
    char name[128];
    if ((rc = fn(ud, m->arch->embedding, &m->embedding.w, 0, e))) return rc;
    for (int l = 0; l < m->hp.n_layer; l++) {
        struct layer *y = &m->layer[l];
        for (int k = 0; k < LIN_COUNT; k++) {
            if (k == LIN_Q || k == LIN_GATE) { /* norms stand before the half-layer that they feed */
                const float **w = k == LIN_Q ? &y->attn_norm : &y->ffn_norm;
                block_tensor_name(name, l, k == LIN_Q ? m->arch->attn_norm : m->arch->ffn_norm);
                struct tensor t = norm_tensor(m, name, *w);
                if ((rc = fn(ud, name, &t, 1, e))) return rc;
                *w = t.data;
            }
            block_tensor_name(name, l, LINEAR_NAME[k]);
            if ((rc = fn(ud, name, &y->lin[k].w, 0, e))) return rc;
        }
    }
    struct tensor t = norm_tensor(m, m->arch->output_norm, m->output_norm);
    if ((rc = fn(ud, m->arch->output_norm, &t, 1, e))) return rc;
    m->output_norm = t.data;
    return m->hp.tied ? 0 : fn(ud, m->arch->output, &m->output.w, 0, e);
}

/* ---- F32 copies and panels ---- */

struct carve { float *at; size_t n; int copy; };
static int count_params(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e)
{
    (void)name, (void)is_norm, (void)e;
    ((struct carve *)ud)->n += (size_t)tensor_elems(t);
    return 0;
}
static int move_params(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e)
{
    (void)name, (void)is_norm, (void)e;
    struct carve *c = ud;
    if (c->copy)
        for (int64_t r = 0; r < tensor_rows(t); r++) tensor_row_f32(t, r, c->at + r * t->dim[0]);
    t->data = c->at;
    t->type = QT_F32;
    t->row_bytes = (size_t)t->dim[0] * sizeof(float);
    t->n_bytes = t->row_bytes * (size_t)tensor_rows(t);
    c->at += tensor_elems(t);
    return 0;
}

static int make_trainable(struct model *m, int copy, ilab_err *e)
{
    struct carve c = { .copy = copy };
    model_each_tensor(m, count_params, &c, NULL);
    m->params = mem_aligned(c.n * sizeof(float));
    if (!m->params) return err_set(e, ILAB_E_NOMEM, "no memory for %zu F32 parameters", c.n);
    m->n_params = c.n;
    c.at = m->params;
    model_each_tensor(m, move_params, &c, NULL);
    if (m->hp.tied) m->output = m->embedding;
    return 0;
}

static int pack_linear(struct model *m, struct linear *l, struct gemm_ctx *gc, ilab_err *e)
{
    size_t n = gemm_packed_floats(l->w.dim[1], l->w.dim[0]);
    l->packed = arena_alloc(&m->mem, n * sizeof(float), 64);
    if (!l->packed) return err_set(e, ILAB_E_NOMEM, "no memory for F32 panels of '%s'", l->w.name);
    gemm_pack(gc, l->packed, &l->w);
    return 0;
}

static int pack_all(struct model *m, struct gemm_ctx *gc, ilab_err *e)
{
    int rc;
    for (int l = 0; l < m->hp.n_layer; l++)
        for (int k = 0; k < LIN_COUNT; k++)
            if ((rc = pack_linear(m, &m->layer[l].lin[k], gc, e))) return rc;
    if ((rc = pack_linear(m, &m->output, gc, e))) return rc;
    if (m->hp.tied) m->embedding.packed = m->output.packed;
    return 0;
}

/* ---- life ---- */

static struct model *model_alloc(const struct hparams *hp, const struct arch *a)
{
    struct model *m = mem_calloc(1, sizeof *m);
    if (!m) return NULL;
    m->hp = *hp;
    m->arch = a;
    arena_init(&m->mem, SIZE_MAX);
    m->layer = arena_alloc(&m->mem, (size_t)hp->n_layer * sizeof *m->layer, 64);
    if (m->layer) return m;
    mem_free(m);
    return NULL;
}

void model_free(struct model *m)
{
    if (!m) return;
    if (m->gguf) gguf_close(m->gguf);
    arena_release(&m->mem);
    mem_free(m->params);
    mem_free(m->rope_cos_sin);
    mem_free(m->path);
    mem_free(m);
}

int model_open_gguf(struct model **out, struct gguf *g, int flags, struct gemm_ctx *gc, ilab_err *e)
{
    const struct arch *a;
    struct hparams hp;
    int rc;
    *out = NULL;
    if ((rc = arch_read_hparams(g, &a, &hp, e)) || (rc = arch_check_tensors(g, a, &hp, e))) return rc;
    struct model *m = model_alloc(&hp, a);
    if (!m) return err_set(e, ILAB_E_NOMEM, "no memory for a model of %d layers", hp.n_layer);
    struct sv name;
    if (!gguf_get_str(g, "general.name", &name, NULL)) snprintf(m->name, sizeof m->name, "%.*s", SV_ARG(name));
    bind(m, g);
    rc = flags & MODEL_TRAINABLE ? make_trainable(m, 1, e) : flags & MODEL_PACK ? pack_all(m, gc, e) : 0;
    if (!rc) rc = model_rope_reserve(m, hp.n_ctx < 512 ? hp.n_ctx : 512, e);
    if (rc) { /* g stays the caller's */
        model_free(m);
        return rc;
    }
    m->gguf = g;
    *out = m;
    return 0;
}

int model_open(struct model **out, const char *path, int flags, struct gemm_ctx *gc, ilab_err *e)
{
    struct gguf *g;
    *out = NULL;
    int rc = gguf_open(&g, path, e);
    if (rc) return rc;
    if ((rc = model_open_gguf(out, g, flags, gc, e))) {
        gguf_close(g);
        return err_prefix(e, "'%s': ", path), rc;
    }
    (*out)->path = mem_strndup(path, strlen(path));
    return 0;
}

static void fill_normal(const struct tensor *t, struct rng *r, double std)
{
    float *w = (float *)t->data; /* inside m->params, which the model owns */
    for (int64_t i = 0; i < tensor_elems(t); i++) w[i] = (float)(std * rng_normal(r));
}

int model_new(struct model **out, const struct hparams *hp, uint64_t seed, ilab_err *e)
{
    *out = NULL;
    int rc = hparams_check(hp, e);
    if (rc) return rc;
    struct model *m = model_alloc(hp, &ARCHS[0]);
    if (!m) return err_set(e, ILAB_E_NOMEM, "no memory for a model of %d layers", hp->n_layer);
    bind_empty(m);
    if ((rc = make_trainable(m, 0, e)) || (rc = model_rope_reserve(m, hp->n_ctx < 512 ? hp->n_ctx : 512, e))) {
        model_free(m);
        return rc;
    }
    struct rng r;
    rng_seed(&r, seed);
    const double std = 0.02, std_residual = 0.02 / sqrt(2.0 * hp->n_layer); /* GPT-2 (Radford et al. 2019) §2.3 */
    fill_normal(&m->embedding.w, &r, std);
    for (int l = 0; l < hp->n_layer; l++) {
        for (int k = 0; k < LIN_COUNT; k++)
            fill_normal(&m->layer[l].lin[k].w, &r, k == LIN_O || k == LIN_DOWN ? std_residual : std);
        for (int i = 0; i < hp->n_embd; i++)
            ((float *)m->layer[l].attn_norm)[i] = ((float *)m->layer[l].ffn_norm)[i] = 1.0f;
    }
    for (int i = 0; i < hp->n_embd; i++) ((float *)m->output_norm)[i] = 1.0f;
    if (!hp->tied) fill_normal(&m->output.w, &r, std);
    *out = m;
    return 0;
}

/* ---- identity ---- */

struct hash_walk { struct sha256 s; };
static int hash_tensor(void *ud, const char *name, struct tensor *t, int is_norm, ilab_err *e)
{
    (void)is_norm, (void)e;
    struct hash_walk *w = ud;
    sha256_add(&w->s, name, strlen(name));
    sha256_add(&w->s, t->dim, sizeof t->dim);
    sha256_add(&w->s, t->data, t->n_bytes);
    return 0;
}

const char *model_hash(struct model *m, ilab_err *e)
{
    if (m->gguf && m->hash[0]) return m->hash;
    if (m->path) return sha256_file(m->path, m->hash, e) ? NULL : m->hash;
    struct hash_walk w;
    sha256_init(&w.s);
    if (m->gguf) { /* the very bytes of the file, which lies in memory: its first key starts at byte 32 (gguf.md: magic,
                    * version, two counts, the key's length) and all views point into the file */
        sha256_add(&w.s, gguf_kv_at(m->gguf, 0)->key.p - 32, gguf_file_bytes(m->gguf));
    } else {       /* without a file: the weights as they are now */
        model_each_tensor(m, hash_tensor, &w, NULL);
    }
    sha256_hex(&w.s, m->hash);
    return m->hash;
}

/* ---- rotary table ---- */

int model_rope_reserve(struct model *m, int n_pos, ilab_err *e)
{
    if (n_pos <= m->rope_n_pos) return 0;
    int half = m->hp.rope_dim / 2;
    size_t n = (size_t)n_pos * (size_t)half * 2;
    float *t = mem_realloc(m->rope_cos_sin, n * sizeof(float));
    if (!t) return err_set(e, ILAB_E_NOMEM, "no memory for a rotary table of %d positions", n_pos);
    m->rope_cos_sin = t;
    for (int i = 0; i < half; i++) { /* Su et al. 2021, equation 15; factors: Llama 3.1's stretched frequencies */
        double freq = pow((double)m->hp.rope_base, -2.0 * i / m->hp.rope_dim);
        if (m->rope_factor) freq /= (double)m->rope_factor[i];
        for (int p = m->rope_n_pos; p < n_pos; p++) {
            float *cs = t + ((size_t)p * (size_t)half + (size_t)i) * 2;
            cs[0] = (float)cos(p * freq);
            cs[1] = (float)sin(p * freq);
        }
    }
    m->rope_n_pos = n_pos;
    return 0;
}

/* ---- metadata of a new file ---- */

void model_put_gguf(const struct model *m, struct gguf_writer *w)
{
    const struct hparams *hp = &m->hp;
    const struct { const char *suffix; int v; } num[] = {
        { "context_length", hp->n_ctx }, { "embedding_length", hp->n_embd }, { "block_count", hp->n_layer },
        { "feed_forward_length", hp->n_ff }, { "attention.head_count", hp->n_head },
        { "attention.head_count_kv", hp->n_kv_head }, { "attention.key_length", hp->head_dim },
        { "attention.value_length", hp->head_dim }, { "rope.dimension_count", hp->rope_dim }, { "vocab_size", hp->n_vocab },
    };
    char key[160];
    gguf_put_str(w, "general.architecture", sv_of(m->arch->name));
    gguf_put_str(w, "general.type", SV("model"));
    if (m->name[0]) gguf_put_str(w, "general.name", sv_of(m->name));
    for (size_t i = 0; i < ARRAY_LEN(num); i++) {
        snprintf(key, sizeof key, "%s.%s", m->arch->name, num[i].suffix);
        gguf_put_u32(w, key, (uint32_t)num[i].v);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", m->arch->name);
    gguf_put_f32(w, key, hp->norm_eps);
    snprintf(key, sizeof key, "%s.rope.freq_base", m->arch->name);
    gguf_put_f32(w, key, hp->rope_base);
}
