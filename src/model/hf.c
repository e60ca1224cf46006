/* hf.c — a Hugging Face directory as a GGUF model: written as a file, or opened as if it were one.
 *
 * Every tensor of the safetensors is matched with the family's table (hf_arch.c); one that no row mentions is refused by name, and
 * so is a layer or expert that lacks what others have. The result is a list of weight maps. Writing makes the rows as the file
 * grows; opening directly points into the file maps and makes in memory only what must be reordered (q and k of the llama
 * family, experts, norms in 16 bits), told in the log. The tokenizer is not this layer's: its keys are the caller's.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/hf.h"

#include <string.h>

enum { MAX_RULES = 64, MAX_SUFFIX = 2, MAX_MODULES = 1 << 20 };
static const char *const SUFFIX[MAX_SUFFIX] = { "weight", "bias" };
static const char *const PREFIXES[] = { "model.language_model.", "language_model.model.", "language_model.", "model.", "transformer.", "bert." };
static const char *const ALWAYS_F32[] = { "ffn_gate_inp.weight", "position_embd.weight", "token_types.weight" };

struct output { char name[128]; struct weight_map map; const char *hf; int rule, suffix, layer; const struct tensor *like; /* its first source */ void *made; struct hf *h; };
struct hf {
    char *dir, *config_path;
    struct hf_config config;
    json_t *generation;                /* generation_config.json, or NULL */
    int pooling;                       /* llama.cpp's number, or -1 */
    struct safetensors *st;
    struct tensor *src;                /* [safetensors_count] */
    const struct hf_name *rule[MAX_RULES];
    int n_rule, embedding_rule, has_embedding;
    int32_t *place;                    /* [n_rule][n_layer + 1][MAX_SUFFIX] → output, or -1 */
    struct output *out;
    size_t n_out, cap_out;
    struct hf_factors factors;
    struct tensor factor[2];
    struct hf_convert how;
    int64_t done, total;               /* elements, for progress */
};

/* ---- matching ---- */

static int32_t *place_of(struct hf *h, int rule, int layer, int suffix)
{
    return &h->place[((size_t)rule * (size_t)(h->config.size.n_layer + 1) + (size_t)(layer + 1)) * MAX_SUFFIX + (size_t)suffix];
}

/* The part behind the known prefix, without ".weight" or ".bias". */
static struct sv stem_of(const char *name, int *suffix)
{
    static const struct { const char *end; int suffix; } ENDS[] = { { ".weight", 0 }, { ".bias", 1 }, { ".gamma", 0 }, { ".beta", 1 } };
    struct sv s = sv_of(name);
    for (size_t i = 0; i < ARRAY_LEN(PREFIXES); i++)
        if (sv_starts(s, PREFIXES[i])) {
            s.p += strlen(PREFIXES[i]);
            s.n -= strlen(PREFIXES[i]);
            break;
        }
    *suffix = 0;
    for (size_t i = 0; i < ARRAY_LEN(ENDS); i++)
        if (sv_ends(s, ENDS[i].end)) {
            *suffix = ENDS[i].suffix;
            s.n -= strlen(ENDS[i].end);
            break;
        }
    return s;
}

/* safetensors' description as ours: dimensions reversed, leading ones dropped. */
static int as_tensor(struct tensor *t, const struct safetensor *s, ilab_err *e)
{
    int first = 0;
    if (s->type < 0) return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s' has the element type %s; weights are read in F32, F16 and BF16", s->file, s->name, s->dtype);
    while (first < s->n_dim - 1 && s->dim[first] == 1) first++;
    *t = (struct tensor){ .data = s->data, .type = s->type, .n_dim = s->n_dim - first, .dim = { 1, 1, 1, 1 }, .n_bytes = s->n_bytes };
    if (t->n_dim < 1 || t->n_dim > 3 || !s->n_bytes)
        return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s' has %d dimensions and %zu bytes, which no weight has", s->file, s->name, s->n_dim, s->n_bytes);
    for (int i = 0; i < t->n_dim; i++) t->dim[i] = s->dim[s->n_dim - 1 - i];
    t->row_bytes = (size_t)t->dim[0] * (s->type == QT_F32 ? 4 : 2);
    return 0;
}

static int bad_shape(const struct safetensor *s, const char *why, ilab_err *e)
{
    char shape[128] = "";
    for (int i = 0, n = 0; i < s->n_dim && n < 100; i++) n += snprintf(shape + n, sizeof shape - (size_t)n, "%s%lld", i ? ", " : "", (long long)s->dim[i]);
    return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s' has shape [%s], %s", s->file, s->name, shape, why);
}

/* Shape and map of a result made from one source; experts: of the whole stack. */
static int make_map(struct hf *h, struct output *o, const struct hf_name *r, const struct tensor *t, const struct safetensor *s, ilab_err *e)
{
    struct weight_map *m = &o->map;
    const struct hf_sizes *z = &h->config.size;
    const int is_matrix = t->n_dim > 1;
    m->op = MAP_COPY;
    m->n_dim = t->n_dim;
    memcpy(m->dim, t->dim, sizeof m->dim);
    m->n_src = m->cap_src = 1;
    switch (r->op) {
    case HF_ROTARY_Q: case HF_ROTARY_K: {
        const int64_t n = is_matrix ? t->dim[1] : t->dim[0];
        m->op = MAP_ROTARY;
        m->head_dim = z->head_dim;
        if (t->n_dim > 2 || n != (int64_t)z->head_dim * (r->op == HF_ROTARY_Q ? z->n_head : z->n_kv_head))
            return bad_shape(s, "which does not fit the configured heads", e);
        break;
    }
    case HF_EXPERTS:
        if (z->n_expert < 1) return err_set(e, ILAB_E_FORMAT, "'%s': '%s' is an expert's, but '%s' has no number of experts", s->file, s->name, h->config_path);
        if (t->n_dim != 2) return bad_shape(s, "expected is a matrix", e);
        m->op = MAP_STACK;
        m->block = t->dim[1];
        m->n_dim = 3;
        m->dim[2] = z->n_expert;
        m->n_src = 0;
        m->cap_src = z->n_expert;
        break;
    case HF_GATE: case HF_UP:
        if (!is_matrix || t->dim[1] % 2) return bad_shape(s, "which is no pair of matrices", e);
        m->op = MAP_HALF;
        m->part = r->op == HF_UP;
        m->block = m->dim[1] = t->dim[1] / 2;
        break;
    case HF_TRANSPOSE:
        if (t->n_dim > 2) return bad_shape(s, "expected is a matrix", e);
        if (!is_matrix) break;
        m->op = MAP_TRANSPOSE;
        m->dim[0] = t->dim[1];
        m->dim[1] = t->dim[0];
        break;
    case HF_PLUS_ONE: m->add = 1; break;
    case HF_COPY: case HF_ROW: case HF_DROP: break;
    }
    m->src = mem_calloc((size_t)m->cap_src, sizeof *m->src);
    if (!m->src) return err_set(e, ILAB_E_NOMEM, "no memory for the list of tensors");
    m->type = t->type;
    if (m->n_dim == 1 || m->add != 0) m->type = QT_F32;
    for (size_t i = 0; i < ARRAY_LEN(ALWAYS_F32); i++)
        if (sv_ends(sv_of(o->name), ALWAYS_F32[i])) m->type = QT_F32;
    return 0;
}

static int add_source(struct hf *h, int rule, int layer, int expert, int suffix, const struct tensor *t, const struct safetensor *s, ilab_err *e)
{
    const struct hf_name *r = h->rule[rule];
    const struct hf_sizes *z = &h->config.size;
    if (layer >= z->n_layer) return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s' is of layer %d, '%s' says that there are %d", s->file, s->name, layer, h->config_path, z->n_layer);
    if (expert >= z->n_expert && expert >= 0)
        return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s' is of expert %d, '%s' says that there are %d", s->file, s->name, expert, h->config_path, z->n_expert);
    int32_t *at = place_of(h, rule, layer, suffix);
    if (*at < 0) {
        if (mem_grow((void **)&h->out, &h->cap_out, h->n_out + 1, sizeof *h->out)) return err_set(e, ILAB_E_NOMEM, "no memory for the list of tensors");
        struct output *o = &h->out[h->n_out];
        *o = (struct output){ .hf = s->name, .rule = rule, .suffix = suffix, .layer = layer, .like = t };
        hf_fill_name(o->name, sizeof o->name - 8, r->gguf, layer, expert);
        snprintf(o->name + strlen(o->name), 8, ".%s", SUFFIX[suffix]);
        const int rc = make_map(h, o, r, t, s, e);
        if (rc) return rc;
        *at = (int32_t)h->n_out++;
    }
    struct weight_map *m = &h->out[*at].map;
    const int k = r->op == HF_EXPERTS ? expert : 0;
    if (m->src[k]) return err_set(e, ILAB_E_FORMAT, "'%s': tensor '%s' and '%s' are the same weights", s->file, s->name, h->out[*at].hf);
    if (r->op == HF_EXPERTS && (t->n_dim != 2 || t->dim[0] != m->dim[0] || t->dim[1] != m->block || t->type != h->out[*at].like->type))
        return bad_shape(s, "other than its neighbours", e);
    m->src[k] = t;
    if (r->op == HF_EXPERTS) m->n_src++;
    return 0;
}

static int match_tensor(struct hf *h, const struct safetensor *s, struct tensor *t, ilab_err *e)
{
    int suffix, layer, expert, found = 0, rc = 0;
    const struct sv stem = stem_of(s->name, &suffix);
    for (int i = 0; !rc && i < h->n_rule; i++) {
        const struct hf_name *r = h->rule[i];
        if (!hf_match(r->hf, stem, &layer, &expert)) continue;
        found = 1;
        if (r->op == HF_DROP) continue;
        int rule = i;
        if (!strcmp(r->gguf, "output") && hf_config_tied(&h->config)) { /* the same weights under another name: of such, one may be left out */
            if (h->has_embedding) continue;
            rule = h->embedding_rule;
        }
        if (!t->data) rc = as_tensor(t, s, e);
        if (!rc) rc = add_source(h, rule, layer, expert, suffix, t, s, e);
    }
    if (!found && !rc)
        rc = err_set(e, ILAB_E_FORMAT, "'%s': the tensor '%s' is not known for the architecture '%s'", s->file, s->name, h->config.arch->class_name);
    return rc;
}

/* What one layer has, all have; every stack is full; the embedding fits. */
static int check_complete(struct hf *h, ilab_err *e)
{
    int n_block = 0, has_embedding = 0;
    for (size_t i = 0; i < h->n_out; i++) {
        const struct output *o = &h->out[i];
        for (int k = 0; k < o->map.cap_src; k++)
            if (!o->map.src[k]) return err_set(e, ILAB_E_FORMAT, "'%s': expert %d of the %d that belong to '%s' is missing", h->dir, k, o->map.cap_src, o->name);
        for (int l = 0; o->layer >= 0 && l < h->config.size.n_layer; l++)
            if (*place_of(h, o->rule, l, o->suffix) < 0)
                return err_set(e, ILAB_E_FORMAT, "'%s': layer %d lacks a tensor that layer %d has: '%s'", h->dir, l, o->layer, o->hf);
        n_block += o->layer >= 0;
        if (strcmp(o->name, "token_embd.weight")) continue;
        has_embedding = 1;
        if (o->map.dim[1] != h->config.size.n_vocab || o->map.dim[0] != h->config.size.n_embd)
            return err_set(e, ILAB_E_FORMAT, "'%s': the embedding '%s' is [%lld, %lld], '%s' says [%d, %d]", h->dir, o->hf, (long long)o->map.dim[1], (long long)o->map.dim[0],
                           h->config_path, h->config.size.n_vocab, h->config.size.n_embd);
    }
    if (!n_block || !has_embedding) return err_set(e, ILAB_E_FORMAT, "'%s' holds no %s", h->dir, n_block ? "embedding" : "layers");
    return 0;
}

/* Is the embedding there under its own name? */
static void find_embedding(struct hf *h)
{
    int suffix, layer, expert;
    while (h->embedding_rule < h->n_rule - 1 && strcmp(h->rule[h->embedding_rule]->gguf ? h->rule[h->embedding_rule]->gguf : "", "token_embd")) h->embedding_rule++;
    for (int i = 0; i < safetensors_count(h->st); i++)
        if (hf_match(h->rule[h->embedding_rule]->hf, stem_of(safetensors_at(h->st, i)->name, &suffix), &layer, &expert)) h->has_embedding = 1;
}

static int match_all(struct hf *h, ilab_err *e)
{
    const int n = safetensors_count(h->st);
    for (const struct hf_name *const *g = h->config.arch->names; *g; g++)
        for (const struct hf_name *r = *g; r->hf && h->n_rule < MAX_RULES; r++) h->rule[h->n_rule++] = r;
    find_embedding(h);
    const size_t n_place = (size_t)h->n_rule * (size_t)(h->config.size.n_layer + 1) * MAX_SUFFIX;
    h->place = mem_alloc(n_place * sizeof *h->place);
    h->src = mem_calloc((size_t)n + 1, sizeof *h->src);
    if (!h->place || !h->src) return err_set(e, ILAB_E_NOMEM, "no memory for %d tensors", n);
    for (size_t i = 0; i < n_place; i++) h->place[i] = -1;
    for (int i = 0; i < n; i++) {
        const int rc = match_tensor(h, safetensors_at(h->st, i), &h->src[i], e);
        if (rc) return rc;
    }
    return check_complete(h, e);
}

/* ---- opening ---- */

int hf_is_dir(const char *path)
{
    if (file_exists(path) != 2) return 0;
    char *p = path_join(path, "config.json");
    const int yes = file_exists(p) == 1;
    mem_free(p);
    return yes;
}

/* A JSON file that may be missing. */
static int read_optional(json_t **out, const char *dir, const char *file, ilab_err *e)
{
    char *p = path_join(dir, file);
    *out = NULL;
    int rc = 0;
    if (file_exists(p) == 1 && !(*out = json_read_file(p, HF_MAX_CONFIG, e))) rc = e && e->code ? e->code : ILAB_E_FORMAT;
    mem_free(p);
    return rc;
}

/* sentence-transformers: modules.json names the folder of the pooling module, whose config.json says how. */
static int read_pooling(struct hf *h, ilab_err *e)
{
    static const struct { const char *name; int value; } MODES[] = { { "pooling_mode_mean_tokens", 1 }, { "pooling_mode_cls_token", 2 }, { "pooling_mode_lasttoken", 3 } };
    json_t *modules, *config = NULL;
    int rc = read_optional(&modules, h->dir, "modules.json", e);
    h->pooling = -1;
    for (size_t i = 0; !rc && i < json_array_size(modules) && !config; i++) {
        const json_t *m = json_array_get(modules, i);
        const char *type = json_str(m, "type"), *path = json_str(m, "path");
        if (!type || !path || !sv_ends(sv_of(type), ".Pooling") || strchr(path, '/') || path[0] == '.') continue;
        char *dir = path_join(h->dir, path);
        rc = read_optional(&config, dir, "config.json", e);
        mem_free(dir);
    }
    for (size_t i = 0; config && i < ARRAY_LEN(MODES) && h->pooling < 0; i++)
        if (json_is_true(json_object_get(config, MODES[i].name))) h->pooling = MODES[i].value;
    json_decref(config);
    json_decref(modules);
    return rc;
}

void hf_close(struct hf *h)
{
    if (!h) return;
    for (size_t i = 0; i < h->n_out; i++) {
        mem_free(h->out[i].map.src);
        mem_free(h->out[i].made);
    }
    mem_free(h->out);
    mem_free(h->place);
    mem_free(h->src);
    mem_free(h->factors.v);
    safetensors_close(h->st);
    hf_config_release(&h->config);
    json_decref(h->generation);
    mem_free(h->config_path);
    mem_free(h->dir);
    mem_free(h);
}

static struct hf *new_hf(const char *dir, ilab_err *e)
{
    struct hf *h = mem_calloc(1, sizeof *h);
    if (!h || !(h->dir = mem_strndup(dir, strlen(dir)))) {
        mem_free(h);
        err_set(e, ILAB_E_NOMEM, "no memory to open '%s'", dir);
        return NULL;
    }
    h->pooling = -1;
    h->config_path = path_join(dir, "config.json");
    return h;
}

int hf_open(struct hf **out, const char *dir, ilab_err *e)
{
    *out = NULL;
    ilab_err local = { 0 };
    if (!e) e = &local;
    struct hf *h = new_hf(dir, e);
    if (!h) return ILAB_E_NOMEM;
    json_t *config = json_read_file(h->config_path, HF_MAX_CONFIG, e);
    int rc = config ? hf_config_read(&h->config, config, h->config_path, e) : e->code;
    if (!rc) rc = read_optional(&h->generation, dir, "generation_config.json", e);
    if (!rc && h->config.arch->flags & HF_ENCODER) rc = read_pooling(h, e);
    if (!rc) rc = safetensors_open_dir(&h->st, dir, e);
    if (!rc) rc = match_all(h, e);
    if (rc) hf_close(h);
    else *out = h;
    return rc;
}

int hf_open_memory(struct hf **out, struct sv config, const void *weights, size_t n, ilab_err *e)
{
    *out = NULL;
    struct hf *h = new_hf("input", e);
    if (!h) return ILAB_E_NOMEM;
    json_t *v = json_parse_unique(config, h->config_path, e);
    int rc = v ? hf_config_read(&h->config, v, h->config_path, e) : e ? e->code : ILAB_E_FORMAT;
    if (!rc) rc = safetensors_open_memory(&h->st, weights, n, "input/model.safetensors", e);
    if (!rc) rc = match_all(h, e);
    if (rc) hf_close(h);
    else *out = h;
    return rc;
}

/* ---- as GGUF ---- */

/* llama.cpp's keys for the sampling that a model's makers recommend. */
static void put_generation(const struct hf *h, struct gguf_writer *w)
{
    static const struct { const char *hf, *key; int whole; } KEYS[] = {
        { "temperature", "general.sampling.temp", 0 }, { "top_k", "general.sampling.top_k", 1 }, { "top_p", "general.sampling.top_p", 0 },
        { "min_p", "general.sampling.min_p", 0 },      { "repetition_penalty", "general.sampling.penalty_repeat", 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(KEYS); i++) {
        const json_t *j = json_object_get(h->generation, KEYS[i].hf);
        const double v = json_number_value(j);
        if (!json_is_number(j) || !(v >= 0 && v < 1e6)) continue;
        if (!KEYS[i].whole) gguf_put_f32(w, KEYS[i].key, (float)v);
        else {
            const struct gguf_kv kv = { .key = sv_of(KEYS[i].key), .kind = GGUF_I32, .v.i = (int64_t)v };
            gguf_put_kv(w, &kv);
        }
    }
}

static void put_general(const struct hf *h, struct gguf_writer *w, int mix)
{
    struct sv name = sv_of(h->dir);
    int64_t n[3] = { 0 };
    while (name.n > 1 && name.p[name.n - 1] == '/') name.n--;
    for (size_t i = name.n; i > 0; i--)
        if (name.p[i - 1] == '/') {
            name.p += i;
            name.n -= i;
            break;
        }
    gguf_put_str(w, "general.architecture", sv_of(h->config.arch->gguf));
    gguf_put_str(w, "general.type", SV("model"));
    if (name.n && name.p[0] != '.') gguf_put_str(w, "general.name", name);
    for (size_t i = 0; i < h->n_out; i++)
        if (h->out[i].map.n_dim > 1) n[h->out[i].map.type == QT_F32 ? 0 : h->out[i].map.type == QT_F16 ? 1 : 2] += (int64_t)weight_map_bytes(&h->out[i].map);
    const char *stored = n[2] > n[1] && n[2] > n[0] ? "BF16" : n[1] > n[0] ? "F16" : "F32";
    gguf_put_u32(w, "general.file_type", mix_file_type(mix >= 0 ? mix : mix_by_name(stored)));
    put_generation(h, w);
    if (h->pooling >= 0) {
        char key[160];
        snprintf(key, sizeof key, "%s.pooling_type", h->config.arch->gguf);
        gguf_put_u32(w, key, (uint32_t)h->pooling);
    }
}

static int rows_of(void *ud, void *buf, int64_t row, int64_t n, ilab_err *e)
{
    const struct output *o = ud;
    struct hf *h = o->h;
    int rc = weight_map_rows(&o->map, buf, row, n, h->how.pool, e);
    if (!rc) rc = safetensors_check(h->st, e);
    if (!rc && qtype_check_rows(o->map.type, buf, n * o->map.dim[0]) >= 0)
        rc = err_set(e, ILAB_E_FORMAT, "tensor '%s' has a value that is not a number, infinite, or too large for %s%s", o->hf, qtype_info(o->map.type)->name,
                     o->map.type == QT_F16 ? ": try BF16" : "");
    h->done += n * o->map.dim[0];
    if (!rc && h->how.progress && h->how.progress(h->how.ud, o->name, h->done, h->total)) return err_set(e, ILAB_E_CANCEL, "interrupted while writing '%s'", o->name);
    return rc;
}

static int add_factors(struct hf *h, struct gguf_writer *w, ilab_err *e)
{
    static const char *const NAME[2][2] = { { "rope_freqs.weight", NULL }, { "rope_factors_long.weight", "rope_factors_short.weight" } };
    const int64_t half = h->config.size.rope_dim / 2;
    int rc = 0;
    for (int i = 0; !rc && i < h->factors.n_row; i++)
        rc = gguf_add_tensor(w, NAME[h->factors.n_row - 1][i], QT_F32, 1, &half, h->factors.v + (size_t)i * (size_t)half, NULL, NULL, e);
    return rc;
}

static int put_keys(struct hf *h, struct gguf_writer *w, int mix, ilab_err *e)
{
    put_general(h, w, mix);
    mem_free(h->factors.v);
    h->factors = (struct hf_factors){ 0 };
    const int rc = hf_config_put(&h->config, w, &h->factors, e);
    return rc ? rc : add_factors(h, w, e);
}

int hf_put_gguf(struct hf *h, struct gguf_writer *w, const struct hf_convert *how, ilab_err *e)
{
    const struct hf_sizes *z = &h->config.size;
    struct mix_model mm = { z->n_layer, z->n_expert, z->n_head / z->n_kv_head, 0 };
    h->how = *how;
    h->done = h->total = 0;
    int rc = put_keys(h, w, how->mix, e);
    for (size_t i = 0; i < h->n_out; i++) mm.has_output |= !strcmp(h->out[i].name, "output.weight");
    for (size_t i = 0; !rc && i < h->n_out; i++) {
        struct output *o = &h->out[i];
        struct weight_map *m = &o->map;
        o->h = h;
        if (how->mix >= 0) m->type = mix_type(how->mix, 0, &mm, o->name, m->type, m->n_dim, m->dim);
        rc = gguf_add_tensor_rows(w, o->name, m->type, m->n_dim, m->dim, rows_of, o, e);
        int64_t n = m->dim[0];
        for (int k = 1; k < m->n_dim; k++) n *= m->dim[k];
        h->total += n;
    }
    return rc;
}

/* Every tensor gets memory or a place in the file map; shapes_only: any place, nothing is made. */
static int lay_out(struct hf *h, struct gguf_writer *w, int shapes_only, ilab_err *e)
{
    size_t made = 0;
    char a[32], b[32];
    int rc = 0;
    for (size_t i = 0; i < h->n_out && !shapes_only; i++)
        if (!weight_map_is_view(&h->out[i].map)) made += weight_map_bytes(&h->out[i].map);
    format_bytes(a, sizeof a, (double)made);
    format_bytes(b, sizeof b, (double)mem_available());
    if (made > mem_available())
        return err_set(e, ILAB_E_NOMEM, "opening '%s' as it is needs %s of memory for weights in another order, %s are free: write a GGUF file once with `ilab model convert`",
                       h->dir, a, b);
    if (made > (size_t)64 << 20) log_info("'%s': %s of weights are reordered in memory; `ilab model convert` saves that", h->dir, a);
    for (size_t i = 0; !rc && i < h->n_out; i++) {
        struct output *o = &h->out[i];
        const struct weight_map *m = &o->map;
        const void *data = m->src[0]->data;
        if (!shapes_only && !weight_map_is_view(m)) {
            if (!(o->made = mem_aligned(weight_map_bytes(m)))) return err_set(e, ILAB_E_NOMEM, "no memory for '%s'", o->name);
            int64_t rows = 1;
            for (int k = 1; k < m->n_dim; k++) rows *= m->dim[k];
            if ((rc = weight_map_rows(m, o->made, 0, rows, NULL, e))) break;
            data = o->made;
        }
        rc = gguf_add_tensor(w, o->name, m->type, m->n_dim, m->dim, data, NULL, NULL, e);
    }
    return rc;
}

static void release(void *h) { hf_close(h); }
static int check(void *h, ilab_err *e) { return safetensors_check(((struct hf *)h)->st, e); }

static int to_gguf(struct gguf **out, struct hf *h, int shapes_only, ilab_err *e)
{
    struct gguf_writer *w = gguf_writer_new();
    *out = NULL;
    int rc = put_keys(h, w, -1, e);
    if (!rc) rc = lay_out(h, w, shapes_only, e);
    if (!rc) rc = gguf_from_writer(out, w, h->dir, e);
    gguf_writer_free(w);
    if (!rc) gguf_own(*out, h, release, check);
    return rc;
}

int hf_to_gguf(struct gguf **out, struct hf *h, ilab_err *e) { return to_gguf(out, h, 0, e); }
int hf_shapes(struct gguf **out, struct hf *h, ilab_err *e) { return to_gguf(out, h, 1, e); }

int model_gguf_open(struct gguf **out, const char *path, ilab_err *e)
{
    struct hf *h;
    *out = NULL;
    if (!hf_is_dir(path)) return gguf_open(out, path, e);
    int rc = hf_open(&h, path, e);
    if (!rc && (rc = hf_to_gguf(out, h, e))) hf_close(h);
    return rc;
}

/* ---- facts ---- */

const char *hf_architecture(const struct hf *h) { return h->config.arch->gguf; }
int hf_vocabulary(const struct hf *h) { return h->config.size.n_vocab; }
