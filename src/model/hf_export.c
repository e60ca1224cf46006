/* hf_export.c — GGUF → Hugging Face: the rows of hf_arch.c read from right to left.
 *
 * Weights are dequantised to one of the three types of safetensors. Without --type the matrices' own type is kept; vectors, which
 * GGUF stores in 32 bits, get that type too where every value survives it, so that a model that came from such a directory
 * goes back bit for bit. Constants of the rotary embedding become values of config.json.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/hf.h"

#include <string.h>

static const char *const CONSTANTS[] = { "rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight" };

struct piece { char name[SAFETENSORS_MAX_NAME]; struct weight_map map; struct export_job *job; const struct tensor *src[2]; };
struct export_job { const struct gguf *g; const struct hf_arch *arch; struct hf_export how; struct piece *piece; size_t n, cap; int64_t done, total; int matrix_type; };

static const struct hf_name *rule_for(const struct hf_arch *a, struct sv stem, int *layer)
{
    int expert;
    for (const struct hf_name *const *group = a->names; *group; group++)
        for (const struct hf_name *r = *group; r->hf; r++)
            if (r->op != HF_DROP && hf_match(r->gguf, stem, layer, &expert)) return r;
    return NULL;
}

static int is_constant(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(CONSTANTS); i++)
        if (!strcmp(CONSTANTS[i], name)) return 1;
    return 0;
}

/* Would every element come back from the type? `shift`: what the way here adds again (in 32 bits, as it did before). */
static int is_exact(const struct tensor *t, int type, float shift)
{
    const struct qtype_info *q = qtype_info(type);
    float x[256], y[256];
    uint8_t bytes[sizeof x];
    if (t->type != QT_F32) return 0;
    for (int64_t i = 0; i < tensor_elems(t); i += 256) {
        const int64_t n = tensor_elems(t) - i < 256 ? tensor_elems(t) - i : 256;
        memcpy(x, (const float *)t->data + i, (size_t)n * sizeof *x);
        for (int64_t k = 0; k < n; k++) y[k] = x[k] - shift;
        q->quantize(bytes, y, n);
        q->dequantize(y, bytes, n);
        for (int64_t k = 0; k < n && shift != 0; k++) y[k] += shift;
        if (memcmp(x, y, (size_t)n * sizeof *x)) return 0;
    }
    return 1;
}

/* Without --type: the matrices' type, and 32 bits where that would lose something. */
static int target_type(const struct export_job *j, const struct hf_name *r, const struct tensor *t)
{
    if (j->how.type >= 0) return j->how.type;
    return t->type == QT_F32 && !is_exact(t, j->matrix_type, r->op == HF_PLUS_ONE ? 1.0f : 0.0f) ? QT_F32 : j->matrix_type;
}

static struct piece *new_piece(struct export_job *j, const struct hf_name *r, const struct tensor *t, int layer, int expert, const char *suffix)
{
    if (j->n >= j->cap) return NULL;
    struct piece *p = &j->piece[j->n++];
    *p = (struct piece){ .job = j, .src = { t } };
    const char *prefix = strcmp(r->hf, "lm_head") ? j->arch->prefix : "";
    const size_t n = (size_t)snprintf(p->name, sizeof p->name, "%s", prefix);
    hf_fill_name(p->name + n, sizeof p->name - n - 8, r->hf, layer, expert);
    snprintf(p->name + strlen(p->name), 8, "%s", suffix);
    p->map = (struct weight_map){ .op = MAP_COPY, .src = p->src, .n_src = 1, .n_dim = t->n_dim, .type = target_type(j, r, t) };
    memcpy(p->map.dim, t->dim, sizeof p->map.dim);
    return p;
}

/* The size of a head, for the order of rows. */
static int head_dim_of(const struct export_job *j, const struct hf_name *r, const struct tensor *t, int64_t *d, ilab_err *e)
{
    char key[160];
    int64_t n_head, n_embd;
    int rc;
    const int64_t n = t->n_dim > 1 ? t->dim[1] : t->dim[0];
    snprintf(key, sizeof key, "%s.attention.head_count", j->arch->gguf);
    if ((rc = gguf_get_int(j->g, key, 1, HF_MAX_HEAD, &n_head, e))) return rc;
    snprintf(key, sizeof key, "%s.attention.key_length", j->arch->gguf);
    if (gguf_get_int(j->g, key, 1, HF_MAX_WIDTH, d, NULL)) {
        snprintf(key, sizeof key, "%s.embedding_length", j->arch->gguf);
        if ((rc = gguf_get_int(j->g, key, 1, HF_MAX_WIDTH, &n_embd, e))) return rc;
        *d = n_embd / n_head;
    }
    if (*d < 2 || *d % 2 || n % *d || t->n_dim > 2 || (r->op == HF_ROTARY_Q && n != *d * n_head))
        return err_set(e, ILAB_E_FORMAT, "tensor '%s' does not fit heads of dimension %lld", t->name, (long long)*d);
    return 0;
}

static int bad_tensor(const struct tensor *t, const char *why, ilab_err *e) { return err_set(e, ILAB_E_FORMAT, "tensor '%s' cannot be written back: %s", t->name, why); }

static int add_experts(struct export_job *j, const struct hf_name *r, const struct tensor *t, int layer, const char *suffix, ilab_err *e)
{
    if (t->n_dim != 3) return bad_tensor(t, "it holds no experts", e);
    for (int64_t x = 0; x < t->dim[2]; x++) {
        struct piece *p = new_piece(j, r, t, layer, (int)x, suffix);
        if (!p) return bad_tensor(t, "too many experts", e);
        p->map.op = MAP_UNSTACK;
        p->map.part = (int)x;
        p->map.block = t->dim[1];
        p->map.n_dim = 2;
    }
    return 0;
}

/* The up matrix goes behind the gate matrix (of each expert). */
static int add_pair(struct export_job *j, const struct hf_name *gate, const struct tensor *t, int layer, const char *suffix, ilab_err *e)
{
    char name[140];
    const struct hf_name *up = gate;
    while (up->hf && !(up->op == HF_UP && !strcmp(up->hf, gate->hf))) up++;
    if (!up->hf) return bad_tensor(t, "its other half is unknown", e);
    hf_fill_name(name, sizeof name - 8, up->gguf, layer, -1);
    snprintf(name + strlen(name), 8, "%s", suffix);
    const struct tensor *other = gguf_tensor(j->g, name);
    struct piece *p = other && other->n_dim == t->n_dim && !memcmp(other->dim, t->dim, sizeof t->dim) && t->n_dim > 1 ? new_piece(j, gate, t, layer, -1, suffix) : NULL;
    if (!p) return bad_tensor(t, "its other half is missing or of another shape", e);
    p->src[1] = other;
    p->map.op = MAP_CONCAT;
    p->map.n_src = 2;
    p->map.block = t->dim[1];
    p->map.dim[1] = 2 * t->dim[1];
    return 0;
}

static int add_pieces(struct export_job *j, const struct tensor *t, ilab_err *e)
{
    struct sv stem = sv_of(t->name);
    const char *suffix = sv_ends(stem, ".weight") ? ".weight" : sv_ends(stem, ".bias") ? ".bias" : "";
    int layer, rc = 0;
    if (is_constant(t->name)) return 0;
    stem.n -= strlen(suffix);
    const struct hf_name *r = rule_for(j->arch, stem, &layer);
    if (!r || !qtype_info(t->type)) return bad_tensor(t, r ? "its element type is not known" : "the table of names does not have it", e);
    if (r->op == HF_EXPERTS) return add_experts(j, r, t, layer, suffix, e);
    if (r->op == HF_GATE) return add_pair(j, r, t, layer, suffix, e);
    if (r->op == HF_UP) return 0;
    struct piece *p = new_piece(j, r, t, layer, -1, suffix);
    if (!p) return bad_tensor(t, "too many tensors", e);
    struct weight_map *m = &p->map;
    switch (r->op) {
    case HF_ROTARY_Q: case HF_ROTARY_K:
        m->op = MAP_UNROTARY;
        rc = head_dim_of(j, r, t, &m->head_dim, e);
        break;
    case HF_TRANSPOSE:
        if (t->n_dim != 2) break;
        if (t->type != QT_F32 && t->type != QT_F16 && t->type != QT_BF16) return bad_tensor(t, "a quantised matrix would have to be transposed; take the model in F16 or F32", e);
        m->op = MAP_TRANSPOSE;
        m->dim[0] = t->dim[1];
        m->dim[1] = t->dim[0];
        break;
    case HF_PLUS_ONE: m->add = -1; break;
    case HF_ROW: m->n_dim = 2; break;
    default: break;
    }
    return rc;
}

static int fill(void *ud, void *buf, size_t n_bytes, ilab_err *e)
{
    struct piece *p = ud;
    struct export_job *j = p->job;
    int64_t rows = 1;
    (void)n_bytes;
    for (int k = 1; k < p->map.n_dim; k++) rows *= p->map.dim[k];
    const int rc = weight_map_rows(&p->map, buf, 0, rows, j->how.pool, e);
    j->done += rows * p->map.dim[0];
    if (!rc && j->how.progress && j->how.progress(j->how.ud, p->name, j->done, j->total)) return err_set(e, ILAB_E_CANCEL, "interrupted while writing '%s'", p->name);
    return rc;
}

/* Room for all pieces: they must not move once they point into themselves. */
static int count_pieces(struct export_job *j, ilab_err *e)
{
    int64_t n_bytes[QT_COUNT] = { 0 };
    for (int i = 0; i < gguf_n_tensor(j->g); i++) {
        const struct tensor *t = gguf_tensor_at(j->g, i);
        j->cap += t->n_dim == 3 ? (size_t)t->dim[2] + 1 : 1;
        if (t->type >= 0 && t->type < QT_COUNT) n_bytes[t->type] += (int64_t)t->n_bytes;
        if (j->cap > SAFETENSORS_MAX_TENSORS) return err_set(e, ILAB_E_LIMIT, "more than %d tensors", SAFETENSORS_MAX_TENSORS);
    }
    int best = QT_F32;
    for (int i = 0; i < QT_COUNT; i++)
        if (n_bytes[i] > n_bytes[best]) best = i;
    j->matrix_type = best == QT_F32 || best == QT_BF16 ? best : QT_F16;
    j->piece = mem_calloc(j->cap + 1, sizeof *j->piece);
    return j->piece ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for %zu tensors", j->cap);
}

static int write_weights(struct export_job *j, const char *dir, ilab_err *e)
{
    struct safetensors_writer *w = safetensors_writer_new();
    int rc = 0;
    for (size_t i = 0; !rc && i < j->n; i++) {
        struct piece *p = &j->piece[i];
        int64_t shape[4], elems = 1;
        for (int k = 0; k < p->map.n_dim; k++) elems *= shape[k] = p->map.dim[p->map.n_dim - 1 - k];
        j->total += elems;
        rc = safetensors_add(w, p->name, p->map.type, p->map.n_dim, shape, NULL, fill, p, e);
    }
    if (!rc) rc = safetensors_write_dir(w, dir, j->how.shard_bytes, e);
    safetensors_writer_free(w);
    return rc;
}

int hf_write_json(const char *dir, const char *file, json_t *v, ilab_err *e)
{
    struct sb b;
    char *path = path_join(dir, file);
    sb_init(&b, (size_t)512 << 20);
    sb_add_json_py(&b, v, 2);
    sb_addch(&b, '\n');
    const int rc = b.failed ? err_set(e, ILAB_E_NOMEM, "no memory to write '%s'", path) : file_write(path, b.p, b.n, e);
    sb_release(&b);
    json_decref(v);
    mem_free(path);
    return rc;
}

int hf_export(const struct gguf *g, const char *dir, const struct hf_export *how, ilab_err *e)
{
    struct export_job j = { .g = g, .how = *how };
    struct sv architecture;
    int rc = gguf_get_str(g, "general.architecture", &architecture, e);
    if (rc) return rc;
    if (!(j.arch = hf_arch_of_gguf(g, architecture))) return err_set(e, ILAB_E_FORMAT, "the architecture '%.*s' cannot be written as a Hugging Face directory", SV_ARG(architecture));
    rc = count_pieces(&j, e);
    for (int i = 0; !rc && i < gguf_n_tensor(g); i++) rc = add_pieces(&j, gguf_tensor_at(g, i), e);
    if (!rc) rc = dir_make(dir, e);
    if (!rc) { /* the small files first: what cannot be expressed is known before gigabytes are written */
        const int type = how->type >= 0 ? how->type : j.matrix_type;
        rc = hf_export_config(g, j.arch, type == QT_F32 ? "float32" : type == QT_F16 ? "float16" : "bfloat16", dir, e);
    }
    if (!rc) rc = hf_export_tokenizer(g, dir, e);
    if (!rc) rc = write_weights(&j, dir, e);
    mem_free(j.piece);
    return rc;
}
