/* adapter.c — LoRA adapters: making, writing, opening.
 *
 * The file is the one llama.cpp loads (src/llama-adapter.cpp: general.type "adapter", adapter.type "lora",
 * adapter.lora.alpha, <tensor>.lora_a {in, R}, <tensor>.lora_b {R, out}), plus ilab.base_hash. All A and B lie in one
 * block in layer, kind, A, B order. One rank for all tensors; other files are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/arch.h"

#include <math.h>
#include <string.h>

enum { MAX_RANK = 4096 };

/* which[l·LIN_COUNT + k] ≠ 0: adapted. */
static int adapter_alloc(struct adapter **out, const struct model *m, int rank, float alpha, const uint8_t *which, ilab_err *e)
{
    const int n = m->hp.n_layer * LIN_COUNT;
    struct adapter *a = mem_calloc(1, sizeof *a);
    if (a) a->lora = mem_calloc((size_t)n, sizeof *a->lora);
    if (!a || !a->lora) goto fail;
    a->rank = rank;
    a->alpha = alpha;
    a->scale = alpha != 0 ? alpha / (float)rank : 1.0f; /* as llama.cpp: alpha 0 means unscaled */
    a->n_layer = m->hp.n_layer;
    for (int i = 0; i < n; i++) {
        if (!which[i]) continue;
        int64_t dim[2];
        linear_dims(&m->hp, i % LIN_COUNT, dim);
        a->lora[i] = (struct lora){ .on = 1, .n_in = (int)dim[0], .n_out = (int)dim[1] };
        a->n_params += (size_t)rank * (size_t)(dim[0] + dim[1]);
    }
    a->params = mem_aligned(a->n_params * sizeof(float));
    if (!a->params) goto fail;
    float *at = a->params;
    for (int i = 0; i < n; i++) {
        struct lora *l = &a->lora[i];
        if (!l->on) continue;
        l->a = at;
        l->b = at + (size_t)rank * (size_t)l->n_in;
        at = l->b + (size_t)rank * (size_t)l->n_out;
    }
    *out = a;
    return 0;
fail:
    adapter_free(a);
    return err_set(e, ILAB_E_NOMEM, "no memory for an adapter of rank %d", rank);
}

int adapter_new(struct adapter **out, const struct model *m, int rank, float alpha, unsigned which, int first_layer,
                uint64_t seed, ilab_err *e)
{
    const int n = m->hp.n_layer * LIN_COUNT;
    *out = NULL;
    if (rank < 1 || rank > MAX_RANK) return err_set(e, ILAB_E_INVALID, "adapter rank %d, must be 1 to %d", rank, MAX_RANK);
    if (!isfinite(alpha) || alpha < 0) return err_set(e, ILAB_E_INVALID, "adapter alpha %g must not be negative", (double)alpha);
    if (!(which & ((1u << LIN_COUNT) - 1))) return err_set(e, ILAB_E_INVALID, "adapter changes no linear layer");
    if (first_layer < 0 || first_layer >= m->hp.n_layer)
        return err_set(e, ILAB_E_INVALID, "first adapted layer %d, the model has layers 0 to %d", first_layer, m->hp.n_layer - 1);
    uint8_t *on = mem_calloc((size_t)n, 1);
    if (!on) return err_set(e, ILAB_E_NOMEM, "no memory for an adapter");
    for (int i = first_layer * LIN_COUNT; i < n; i++) /* what a layer lacks (a gate, a dense feed-forward) is left out */
        on[i] = ((which >> (i % LIN_COUNT)) & 1) && m->layer[i / LIN_COUNT].lin[i % LIN_COUNT].w.dim[0];
    int rc = adapter_alloc(out, m, rank, alpha, on, e);
    mem_free(on);
    if (rc) return rc;
    struct rng r;
    rng_seed(&r, seed);
    for (int i = 0; i < n; i++) { /* B stays zero: the first step starts from the base model */
        struct lora *l = &(*out)->lora[i];
        for (int64_t j = 0; l->on && j < (int64_t)rank * l->n_in; j++) l->a[j] = (float)(rng_normal(&r) / sqrt((double)l->n_in));
    }
    memcpy((*out)->base_hash, m->hash, sizeof m->hash);
    return 0;
}

void adapter_free(struct adapter *a)
{
    if (!a) return;
    mem_free(a->params);
    mem_free(a->lora);
    mem_free(a);
}

/* ---- file ---- */

int adapter_write(const struct adapter *a, const struct model *m, const char *path, ilab_err *e)
{
    const char *hash = a->base_hash[0] ? a->base_hash : model_hash((struct model *)m, e);
    if (!hash) return e ? e->code : ILAB_E_IO;
    struct gguf_writer *w = gguf_writer_new();
    if (!w) return err_set(e, ILAB_E_NOMEM, "no memory to write '%s'", path);
    gguf_put_str(w, "general.type", SV("adapter"));
    gguf_put_str(w, "general.architecture", sv_of(m->arch->name));
    if (m->name[0]) gguf_put_str(w, "general.name", sv_of(m->name));
    gguf_put_str(w, "adapter.type", SV("lora"));
    gguf_put_f32(w, "adapter.lora.alpha", a->alpha);
    gguf_put_str(w, "ilab.base_hash", sv_of(hash));
    int rc = 0;
    for (int i = 0; i < a->n_layer * LIN_COUNT && !rc; i++) {
        const struct lora *l = &a->lora[i];
        char base[128], name[160];
        if (!l->on) continue;
        block_tensor_name(base, i / LIN_COUNT, LINEAR_NAME[i % LIN_COUNT]);
        const int64_t da[2] = { l->n_in, a->rank }, db[2] = { a->rank, l->n_out };
        snprintf(name, sizeof name, "%s.lora_a", base);
        if ((rc = gguf_add_tensor(w, name, QT_F32, 2, da, l->a, NULL, NULL, e))) break;
        snprintf(name, sizeof name, "%s.lora_b", base);
        rc = gguf_add_tensor(w, name, QT_F32, 2, db, l->b, NULL, NULL, e);
    }
    if (!rc) rc = gguf_write(w, path, e);
    gguf_writer_free(w);
    return rc;
}

/* Which linear layer `name` adapts; -1: none. *is_b tells .lora_b from .lora_a. */
static int adapted_layer(const char *name, int n_layer, int *is_b)
{
    struct sv s = sv_of(name);
    char want[160];
    *is_b = sv_ends(s, ".lora_b");
    for (int i = 0; i < n_layer * LIN_COUNT; i++) {
        block_tensor_name(want, i / LIN_COUNT, LINEAR_NAME[i % LIN_COUNT]);
        size_t n = strlen(want);
        if (!strncmp(name, want, n) && (!strcmp(name + n, ".lora_a") || !strcmp(name + n, ".lora_b"))) return i;
    }
    return -1;
}

static int check_identity(const struct gguf *g, struct model *m, float *alpha, char base_hash[65], ilab_err *e)
{
    struct sv s;
    int rc;
    if ((rc = gguf_get_str(g, "general.type", &s, e))) return rc;
    if (!sv_eq_c(s, "adapter")) return err_set(e, ILAB_E_FORMAT, "this is a %.*s, no adapter", SV_ARG(s));
    if ((rc = gguf_get_str(g, "adapter.type", &s, e))) return rc;
    if (!sv_eq_c(s, "lora")) return err_set(e, ILAB_E_FORMAT, "unsupported adapter type '%.*s'", SV_ARG(s));
    if ((rc = gguf_get_str(g, "general.architecture", &s, e))) return rc;
    if (!sv_eq_c(s, m->arch->name))
        return err_set(e, ILAB_E_FORMAT, "adapter is for architecture '%.*s', the model is '%s'", SV_ARG(s), m->arch->name);
    if ((rc = gguf_get_f32(g, "adapter.lora.alpha", alpha, e))) return rc;
    if (!isfinite(*alpha) || *alpha < 0) return err_set(e, ILAB_E_FORMAT, "adapter.lora.alpha is %g", (double)*alpha);
    base_hash[0] = 0;
    if (gguf_find(g, "ilab.base_hash")) { /* absent in adapters of other programs: shapes must do */
        if ((rc = gguf_get_str(g, "ilab.base_hash", &s, e))) return rc;
        const char *hash = model_hash(m, e);
        if (!hash) return e ? e->code : ILAB_E_IO;
        if (!sv_eq_c(s, hash))
            return err_set(e, ILAB_E_INVALID, "adapter was made for the base model %.*s, this model '%s' is %s", SV_ARG(s),
                           m->name[0] ? m->name : m->path ? path_base(m->path) : "", hash);
        snprintf(base_hash, 65, "%s", hash);
    }
    return 0;
}

/* Marks in on[] what the file adapts, with every shape checked; all ranks must be equal. */
static int scan_tensors(const struct gguf *g, const struct model *m, uint8_t *on, int *rank, ilab_err *e)
{
    *rank = 0;
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        int is_b, at = adapted_layer(t->name, m->hp.n_layer, &is_b);
        if (at < 0 || !m->layer[at / LIN_COUNT].lin[at % LIN_COUNT].w.dim[0])
            return err_set(e, ILAB_E_FORMAT, "unsupported adapter tensor '%s'", t->name);
        if (!qtype_info(t->type)) return err_set(e, ILAB_E_FORMAT, "adapter tensor '%s' has the unsupported element type %d", t->name, t->type);
        int64_t dim[2], r = t->dim[is_b ? 0 : 1];
        linear_dims(&m->hp, at % LIN_COUNT, dim);
        if (t->n_dim != 2 || t->dim[is_b ? 1 : 0] != dim[is_b ? 1 : 0])
            return err_set(e, ILAB_E_FORMAT, "adapter tensor '%s' does not fit the model", t->name);
        if (r < 1 || r > MAX_RANK || (*rank && r != *rank))
            return err_set(e, ILAB_E_FORMAT, "adapter tensor '%s' has rank %lld, the adapter %d", t->name, (long long)r, *rank);
        *rank = (int)r;
        on[at] |= is_b ? 2 : 1;
    }
    for (int i = 0; i < m->hp.n_layer * LIN_COUNT; i++)
        if (on[i] && on[i] != 3)
            return err_set(e, ILAB_E_FORMAT, "adapter lacks one half of 'blk.%d.%s'", i / LIN_COUNT, LINEAR_NAME[i % LIN_COUNT]);
    return *rank ? 0 : err_set(e, ILAB_E_FORMAT, "adapter holds no tensors");
}

static int adapter_read(struct adapter **out, const struct gguf *g, struct model *m, uint8_t *on, ilab_err *e)
{
    int rc, rank, is_b;
    float alpha;
    char hash[65];
    if ((rc = check_identity(g, m, &alpha, hash, e)) || (rc = scan_tensors(g, m, on, &rank, e)) ||
        (rc = adapter_alloc(out, m, rank, alpha, on, e)))
        return rc;
    memcpy((*out)->base_hash, hash, sizeof hash);
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        struct lora *l = &(*out)->lora[adapted_layer(t->name, m->hp.n_layer, &is_b)];
        float *to = is_b ? l->b : l->a;
        for (int64_t r = 0; r < t->dim[1]; r++) tensor_row_f32(t, r, to + r * t->dim[0]);
    }
    return 0;
}

int adapter_open(struct adapter **out, const char *path, struct model *m, ilab_err *e)
{
    struct gguf *g;
    *out = NULL;
    int rc = gguf_open(&g, path, e);
    if (rc) return rc;
    uint8_t *on = mem_calloc((size_t)m->hp.n_layer * LIN_COUNT, 1);
    rc = on ? adapter_read(out, g, m, on, e) : err_set(e, ILAB_E_NOMEM, "no memory for an adapter");
    mem_free(on);
    gguf_close(g);
    if (rc) err_prefix(e, "'%s': ", path);
    return rc;
}
