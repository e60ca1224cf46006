/* adapter_file.c — LoRA adapters as GGUF files.
 *
 * The file is the one llama.cpp loads (src/llama-adapter.cpp: general.type "adapter", adapter.type "lora", adapter.lora.alpha,
 * <tensor>.lora_a {in, R}, <tensor>.lora_b {R, out}, experts with a third dimension; a matrix's scale is alpha / its rank), plus
 * ilab.base_hash and, for rsLoRA, ilab.lora.alpha. Tensors are named as the base has them: a fused base gets fused matrices. Where
 * scales differ from what llama.cpp computes (mixed sources), B carries the difference.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/peft.h"

#include <string.h>

/* ---- writing ---- */

/* The adapted parts of one tensor of the base: with one A, or with an own one each (A below each other, B along a diagonal). */
struct half { const struct lora *part[3]; int64_t row0[3], rows; int n, rank; float factor; };

static int fill_a(void *ud, void *buf, size_t n_bytes, ilab_err *e)
{
    const struct half *h = ud;
    float *to = buf;
    for (int i = 0; i < h->n; i++) {
        const struct lora *l = h->part[i];
        const size_t n = (size_t)l->rank * (size_t)l->n_in;
        if (i && l->a == h->part[0]->a) continue;
        memcpy(to, l->a, n * sizeof *to);
        to += n;
    }
    return (size_t)(to - (float *)buf) * sizeof *to == n_bytes ? 0 : err_set(e, ILAB_E_INVALID, "adapter changed while it was written");
}

static int fill_b(void *ud, void *buf, size_t n_bytes, ilab_err *e)
{
    const struct half *h = ud;
    float *to = buf;
    int column = 0;
    (void)e;
    memset(to, 0, n_bytes);
    for (int i = 0; i < h->n; i++) {
        const struct lora *l = h->part[i];
        if (i && l->a != h->part[i - 1]->a) column += h->part[i - 1]->rank;
        for (int64_t r = 0; r < l->n_out; r++)
            for (int k = 0; k < l->rank; k++) to[(h->row0[i] + r) * h->rank + column + k] = h->factor * l->b[r * l->rank + k];
    }
    return 0;
}

struct adapter_writer { const struct adapter *a; const struct model *m; struct gguf_writer *w; struct half *half; int n, rslora; float alpha; };

/* What the base's tensor gets; n = 0: nothing. */
static struct half half_of(const struct adapter *a, const struct model *m, const struct weight *w)
{
    struct half h = { .factor = 1 };
    int kind[3];
    int64_t row0[3];
    const int n = weight_adapted(&m->hp, w, kind, row0);
    for (int i = 0; i < n; i++) {
        const struct lora *l = &a->lora[w->layer * ADAPT_COUNT + kind[i]];
        if (!l->on) continue;
        if (!h.n || l->a != h.part[h.n - 1]->a) h.rank += l->rank;
        h.row0[h.n] = row0[i];
        h.part[h.n++] = l;
    }
    h.rows = w->t.dim[1];
    return h;
}

static int add_weight(struct adapter_writer *x, const struct weight *w, ilab_err *e)
{
    struct half *h = &x->half[x->n];
    char name[160];
    *h = half_of(x->a, x->m, w);
    if (!h->n) return 0;
    x->n++;
    const struct lora *l = h->part[0];
    if (x->alpha != 0 && !x->rslora) h->factor = l->scale / lora_scale(x->alpha, h->rank, 0);
    const int simple = h->n == 1 && l->n_out == h->rows && h->factor == 1, n_dim = l->n_matrix > 1 || w->t.n_dim > 2 ? 3 : 2;
    const int64_t da[3] = { l->n_in, h->rank, l->n_matrix }, db[3] = { h->rank, h->rows, l->n_matrix };
    if (l->n_matrix > 1 && !simple) return err_set(e, ILAB_E_INVALID, "adapters of experts with mixed ranks cannot be written as GGUF");
    snprintf(name, sizeof name, "%s.lora_a", w->t.name);
    int rc = gguf_add_tensor(x->w, name, QT_F32, n_dim, da, simple ? l->a : NULL, simple ? NULL : fill_a, h, e);
    if (rc) return rc;
    snprintf(name, sizeof name, "%s.lora_b", w->t.name);
    return gguf_add_tensor(x->w, name, QT_F32, n_dim, db, simple ? l->b : NULL, simple ? NULL : fill_b, h, e);
}

/* Do all matrices of the file have the adapter's rank, so that one alpha says everything? */
static int uniform(const struct adapter *a, const struct model *m)
{
    for (int i = 0; i < m->n_weight; i++) {
        const struct half h = half_of(a, m, &m->weight[i]);
        if (h.n && h.rank != a->rank) return 0;
    }
    return 1;
}

static int write_all(struct adapter_writer *x, const char *hash, const char *path, ilab_err *e)
{
    const struct adapter *a = x->a;
    int rc = 0;
    x->rslora = a->rslora && uniform(a, x->m);
    x->alpha = a->rslora ? a->alpha * sqrtf((float)a->rank) : a->alpha;
    gguf_put_str(x->w, "general.type", SV("adapter"));
    gguf_put_str(x->w, "general.architecture", sv_of(x->m->arch->name));
    if (x->m->name[0]) gguf_put_str(x->w, "general.name", sv_of(x->m->name));
    gguf_put_str(x->w, "adapter.type", SV("lora"));
    gguf_put_f32(x->w, "adapter.lora.alpha", x->alpha);
    if (x->rslora) gguf_put_f32(x->w, "ilab.lora.alpha", a->alpha); /* divided by the root of the rank */
    gguf_put_str(x->w, "ilab.base_hash", sv_of(hash));
    for (int i = 0; i < x->m->n_weight && !rc; i++) rc = add_weight(x, &x->m->weight[i], e);
    return rc ? rc : gguf_write(x->w, path, e);
}

int adapter_write(const struct adapter *a, const struct model *m, const char *path, ilab_err *e)
{
    const char *hash = a->base_hash[0] ? a->base_hash : model_hash((struct model *)m, e);
    if (!hash) return e ? e->code : ILAB_E_IO;
    struct adapter_writer x = { .a = a, .m = m, .w = gguf_writer_new(), .half = mem_calloc((size_t)m->n_weight, sizeof *x.half) };
    int rc = x.w && x.half ? write_all(&x, hash, path, e) : err_set(e, ILAB_E_NOMEM, "no memory to write '%s'", path);
    if (x.w) gguf_writer_free(x.w);
    mem_free(x.half);
    return rc;
}

/* ---- reading ---- */

static int check_identity(const struct gguf *g, struct model *m, float *alpha, int *rslora, char base_hash[65], ilab_err *e)
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
    *rslora = gguf_find(g, "ilab.lora.alpha") != NULL;
    if ((rc = gguf_get_f32(g, *rslora ? "ilab.lora.alpha" : "adapter.lora.alpha", alpha, e))) return rc;
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

/* What a tensor of the file adapts. */
struct adapted { int layer, kind[3], n, is_b; int64_t in, out; int n_matrix; };

static int parts(const struct model *m, struct adapted *d, int first, int n)
{
    d->n = n;
    d->out = 0;
    for (int i = 0; i < n; i++) {
        const struct tensor *t = adapted_tensor(m, d->layer, d->kind[i] = first + i);
        if (!t) return d->n = 0;
        d->in = t->dim[0];
        d->out += t->dim[1];
        d->n_matrix = t->n_dim > 2 ? (int)t->dim[2] : 1;
    }
    return n;
}

/* "blk.<layer>.<what>.weight.lora_a"; what may be a fused tensor: attn_qkv, and ffn_up whose B has gate's rows, too. */
static struct adapted adapted_by(const struct gguf *g, const struct model *m, const char *name)
{
    struct adapted d = { 0 };
    struct sv s = sv_of(name);
    char other[160];
    size_t at = 4, n = 0;
    d.is_b = sv_ends(s, ".weight.lora_b");
    if (s.n >= sizeof other || !sv_starts(s, "blk.") || !(d.is_b || sv_ends(s, ".weight.lora_a"))) return d;
    for (; name[at] >= '0' && name[at] <= '9' && d.layer < m->hp.n_layer; at++) d.layer = 10 * d.layer + name[at] - '0';
    if (at == 4 || name[at] != '.' || d.layer >= m->hp.n_layer || (name[4] == '0' && at > 5)) return d;
    const char *what = name + at + 1;
    n = s.n - at - 1 - strlen(".weight.lora_a");
    if (sv_eq_c((struct sv){ what, n }, "attn_qkv")) return parts(m, &d, LIN_Q, 3), d;
    for (int k = 0; k < ADAPT_COUNT; k++) {
        if (!sv_eq_c((struct sv){ what, n }, LINEAR_NAME[k])) continue;
        snprintf(other, sizeof other, "%.*sb", (int)s.n - 1, name);
        const struct tensor *b = k == LIN_UP ? gguf_tensor(g, other) : NULL;
        if (!b || !parts(m, &d, LIN_GATE, 2) || b->dim[1] != d.out) parts(m, &d, k, 1);
    }
    return d;
}

/* Notes in plan what the file adapts, with every shape checked: on is 1 with A, 2 with B, 3 with both. */
static int scan_tensors(const struct gguf *g, const struct model *m, struct lora *plan, float alpha, int rslora, ilab_err *e)
{
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        const struct adapted d = adapted_by(g, m, t->name);
        if (!d.n) return err_set(e, ILAB_E_FORMAT, "unsupported adapter tensor '%s'", t->name);
        if (!qtype_info(t->type)) return err_set(e, ILAB_E_FORMAT, "adapter tensor '%s' has the unsupported element type %d", t->name, t->type);
        const int64_t r = t->dim[d.is_b ? 0 : 1], wide = d.is_b ? d.out : d.in;
        if (t->n_dim < 2 || t->dim[d.is_b ? 1 : 0] != wide || (t->n_dim > 2 ? t->dim[2] : 1) != d.n_matrix || t->n_dim > 3)
            return err_set(e, ILAB_E_FORMAT, "adapter tensor '%s' does not fit the model", t->name);
        if (r < 1 || r > MAX_RANK) return err_set(e, ILAB_E_FORMAT, "adapter tensor '%s' has rank %lld, must be 1 to %d", t->name, (long long)r, MAX_RANK);
        for (int k = 0; k < d.n; k++) {
            struct lora *l = &plan[d.layer * ADAPT_COUNT + d.kind[k]];
            if (l->on && (l->rank != r || l->a_of != d.kind[0] || (l->on & (d.is_b ? 2 : 1))))
                return err_set(e, ILAB_E_FORMAT, "adapter tensor '%s' has rank %lld and contradicts another tensor", t->name, (long long)r);
            *l = (struct lora){ .on = l->on | (d.is_b ? 2 : 1), .rank = (int)r, .a_of = d.kind[0], .scale = lora_scale(alpha, (int)r, rslora) };
        }
    }
    int n = 0;
    for (int i = 0; i < m->hp.n_layer * ADAPT_COUNT; i++) {
        n += plan[i].on == 3;
        if (plan[i].on && plan[i].on != 3)
            return err_set(e, ILAB_E_FORMAT, "adapter lacks one half of 'blk.%d.%s'", i / ADAPT_COUNT, LINEAR_NAME[i % ADAPT_COUNT]);
    }
    return n ? 0 : err_set(e, ILAB_E_FORMAT, "adapter holds no tensors");
}

static int adapter_read(struct adapter **out, const struct gguf *g, struct model *m, struct lora *plan, ilab_err *e)
{
    int rc, rslora = 0;
    float alpha;
    char hash[65];
    if ((rc = check_identity(g, m, &alpha, &rslora, hash, e)) || (rc = scan_tensors(g, m, plan, alpha, rslora, e)) ||
        (rc = adapter_alloc(out, m, alpha, rslora, plan, e)))
        return rc;
    memcpy((*out)->base_hash, hash, sizeof hash);
    for (int i = 0; i < gguf_n_tensor(g); i++) { /* the B of parts that share an A follow each other, as in the file */
        const struct tensor *t = gguf_tensor_at(g, i);
        const struct adapted d = adapted_by(g, m, t->name);
        const struct lora *l = &(*out)->lora[d.layer * ADAPT_COUNT + d.kind[0]];
        float *to = d.is_b ? l->b : l->a;
        for (int64_t r = 0; r < tensor_rows(t); r++) tensor_row_f32(t, r, to + r * t->dim[0]);
    }
    return 0;
}

int adapter_open(struct adapter **out, const char *path, struct model *m, ilab_err *e)
{
    struct gguf *g;
    *out = NULL;
    if (file_exists(path) == 2) {
        const int rc = adapter_open_peft(out, path, m, e);
        if (rc) err_prefix(e, "'%s': ", path);
        return rc;
    }
    int rc = gguf_open(&g, path, e);
    if (rc) return rc;
    struct lora *plan = mem_calloc((size_t)m->hp.n_layer * ADAPT_COUNT, sizeof *plan);
    rc = plan ? adapter_read(out, g, m, plan, e) : err_set(e, ILAB_E_NOMEM, "no memory for an adapter");
    mem_free(plan);
    gguf_close(g);
    if (rc) err_prefix(e, "'%s': ", path);
    return rc;
}
