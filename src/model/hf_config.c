/* hf_config.c — config.json → GGUF's metadata keys.
 *
 * The family is found by architectures[0], else by model_type; text_config stands in front of the top level. Everything that
 * changes the maths is either written as a key, or demanded to have the value that the family's engine assumes, or refused by
 * name: a quantised checkpoint, an unknown rotary scaling, another activation, an unusual order of sliding windows.
 * Sizes are checked against caps before anything is computed with them.
 * Meaning of the values: transformers' configuration_*.py and modeling_rope_utils.py.  SPDX-License-Identifier: Apache-2.0 */
#include "model/hf.h"

#include <math.h>
#include <string.h>

/* ---- looking ---- */

/* Also finds null. */
static const json_t *raw(const struct hf_config *c, const char *name)
{
    const json_t *v = json_object_get(c->text, name);
    return v ? v : json_object_get(c->json, name);
}

const json_t *hf_config_get(const struct hf_config *c, const char *name)
{
    const json_t *v = raw(c, name);
    return json_is_null(v) ? NULL : v;
}

int hf_config_num(const struct hf_config *c, const char *const name[4], double *v)
{
    int is_null = 0;
    for (int i = 0; i < 4 && name[i]; i++) {
        const json_t *j = raw(c, name[i]);
        is_null |= json_is_null(j);
        if (!json_is_number(j)) continue;
        *v = json_number_value(j);
        return 1;
    }
    for (int i = 0; i < 4 && name[i] && !is_null; i++) /* an explicit null means "none", not "the default" */
        for (const struct hf_default *d = c->arch->defaults; d && d->name; d++)
            if (!strcmp(d->name, name[i])) {
                *v = d->v;
                return 1;
            }
    return 0;
}

static double num(const struct hf_config *c, const char *name, double fallback)
{
    const char *const names[4] = { name };
    double v;
    return hf_config_num(c, names, &v) ? v : fallback;
}

int hf_config_tied(const struct hf_config *c)
{
    const json_t *v = hf_config_get(c, "tie_word_embeddings");
    return v ? json_is_true(v) : (c->arch->flags & HF_TIED) != 0;
}

/* ---- checks ---- */

static int unknown_family(const struct hf_config *c, const char *class_name, const char *type, ilab_err *e)
{
    struct sb b;
    sb_init(&b, 4096);
    for (int i = 0; i < N_HF_ARCHS; i++)
        if (HF_ARCHS[i].class_name[0]) sb_addf(&b, "%s%s", i ? ", " : "", HF_ARCHS[i].model_type);
    const int rc = err_set(e, ILAB_E_FORMAT, "'%s': the architecture '%.80s' (model type '%.40s') is not known; known are %s", c->name, class_name ? class_name : "",
                           type ? type : "", b.p ? b.p : "");
    sb_release(&b);
    return rc;
}

/* Is the value one of the texts? Whole numbers may be written either way. */
static int allowed(const json_t *v, const char *texts)
{
    struct sb b;
    struct sv rest = sv_of(texts), one;
    int ok = 0;
    sb_init(&b, 1 << 16);
    sb_add_json(&b, v);
    while (!ok && b.p && sv_split(&rest, '|', &one)) ok = sv_eq(one, (struct sv){ b.p, b.n });
    sb_release(&b);
    return ok;
}

static int check_demands(const struct hf_config *c, ilab_err *e)
{
    const json_t *q = hf_config_get(c, "quantization_config");
    if (q)
        return err_set(e, ILAB_E_FORMAT, "'%s': the weights are quantised (%s), which is not read here: get the unquantised model, or one in GGUF", c->name,
                       json_str(q, "quant_method") ? json_str(q, "quant_method") : "quantization_config");
    for (const struct hf_demand *d = c->arch->demands; d && d->name; d++) {
        const json_t *v = hf_config_get(c, d->name);
        if (!v || allowed(v, d->allowed)) continue;
        struct sb b;
        sb_init(&b, 1 << 16);
        sb_add_json(&b, v);
        const int rc = err_set(e, ILAB_E_FORMAT, "'%s': unsupported model feature: %s is %.80s (for '%s' it must be %s)", c->name, d->name, b.p ? b.p : "?", c->arch->model_type,
                               *d->allowed ? d->allowed : "null");
        sb_release(&b);
        return rc;
    }
    return 0;
}

/* Order of sliding and full layers, and of layers without rotary embedding, must be the family's. */
static int check_layers(const struct hf_config *c, ilab_err *e)
{
    const json_t *types = hf_config_get(c, "layer_types"), *no_rope = hf_config_get(c, "no_rope_layers");
    for (size_t i = 0; json_is_array(types) && i < json_array_size(types); i++) {
        const char *t = json_string_value(json_array_get(types, i)), *first = json_string_value(json_array_get(types, 0));
        const char *want = c->arch->full_every ? ((int)(i + 1) % c->arch->full_every ? "sliding_attention" : "full_attention") : first;
        if (!t || !want || strcmp(t, want) || (!c->arch->full_every && strcmp(t, "full_attention") && !hf_config_get(c, "sliding_window")))
            return err_set(e, ILAB_E_FORMAT, "'%s': unsupported model feature: layer_types has '%.40s' for layer %zu, '%s' is expected", c->name, t ? t : "?", i, want ? want : "a name");
    }
    for (size_t i = 0; json_is_array(no_rope) && i < json_array_size(no_rope); i++)
        if (json_integer_value(json_array_get(no_rope, i)) != ((i + 1) % 4 != 0))
            return err_set(e, ILAB_E_FORMAT, "'%s': unsupported model feature: no_rope_layers leaves out layer %zu (each fourth is expected)", c->name, i);
    return 0;
}

static int read_size(const struct hf_config *c, const char *what, const char *const name[4], int lo, int hi, int *out, ilab_err *e)
{
    double v = *out;
    const int there = hf_config_num(c, name, &v);
    if (!there && *out < lo) return err_set(e, ILAB_E_FORMAT, "'%s': \"%s\" is %s", c->name, name[0], hf_config_get(c, name[0]) ? "no number" : "missing");
    if (!(v >= lo && v <= hi) || v != floor(v)) return err_set(e, ILAB_E_LIMIT, "'%s': the %s is %g, must be a whole number from %d to %d", c->name, what, v, lo, hi);
    *out = (int)v;
    return 0;
}

static int read_sizes(struct hf_config *c, ilab_err *e)
{
    struct hf_sizes *s = &c->size;
    int rc, n_ctx = 0;
    const char *const layer[4] = { "num_hidden_layers", "n_layer" }, *const embd[4] = { "hidden_size", "n_embd" }, *const head[4] = { "num_attention_heads", "n_head" },
               *const kv[4] = { "num_key_value_heads" }, *const dim[4] = { "head_dim" }, *const ff[4] = { "intermediate_size", "n_inner" },
               *const expert[4] = { "num_local_experts", "num_experts" }, *const vocab[4] = { "vocab_size" };
    if ((rc = read_size(c, "number of layers", layer, 1, HF_MAX_LAYER, &s->n_layer, e)) || (rc = read_size(c, "width", embd, 1, HF_MAX_WIDTH, &s->n_embd, e)) ||
        (rc = read_size(c, "number of heads", head, 1, HF_MAX_HEAD, &s->n_head, e)) ||
        (rc = read_size(c, "context length", HF_COMMON_KEYS[0].name, 1, HF_MAX_CONTEXT, &n_ctx, e)) ||
        (rc = read_size(c, "vocabulary", vocab, 1, HF_MAX_VOCAB, &s->n_vocab, e)))
        return rc;
    s->n_kv_head = s->n_head;
    if (hf_config_get(c, "n_embd")) s->n_ff = 4 * s->n_embd; /* GPT-2's n_inner is null by default */
    s->head_dim = s->n_embd / s->n_head;
    if (!hf_config_get(c, "head_dim") && s->n_embd % s->n_head && !num(c, "head_dim", 0))
        return err_set(e, ILAB_E_FORMAT, "'%s': the width %d is no multiple of %d heads", c->name, s->n_embd, s->n_head);
    if ((rc = read_size(c, "number of KV heads", kv, 1, HF_MAX_HEAD, &s->n_kv_head, e)) || (rc = read_size(c, "head dimension", dim, 1, HF_MAX_WIDTH, &s->head_dim, e)) ||
        (rc = read_size(c, "feed-forward width", ff, 1, HF_MAX_FF, &s->n_ff, e)) || (rc = read_size(c, "number of experts", expert, 0, HF_MAX_EXPERT, &s->n_expert, e)))
        return rc;
    const double part = num(c, "partial_rotary_factor", 1);
    if (!(part > 0 && part <= 1)) return err_set(e, ILAB_E_FORMAT, "'%s': partial_rotary_factor is %g", c->name, part);
    s->rope_dim = (int)(s->head_dim * part);
    if (c->arch->flags & HF_ROPE && (s->rope_dim < 2 || s->rope_dim % 2 || s->head_dim % 2))
        return err_set(e, ILAB_E_FORMAT, "'%s': the rotary dimension is %d of a head dimension %d: both must be even", c->name, s->rope_dim, s->head_dim);
    return 0;
}

/* GGUF has no key for the scale of Gemma's attention: readers take 1/sqrt(head_dim), for the 27B models 1/sqrt(C/H). */
static int check_scale(const struct hf_config *c, ilab_err *e)
{
    const struct hf_sizes *s = &c->size;
    const double scalar = num(c, "query_pre_attn_scalar", s->head_dim);
    if (!c->arch->wide_scale_layers || scalar == (s->n_layer == c->arch->wide_scale_layers ? s->n_embd / s->n_head : s->head_dim)) return 0;
    return err_set(e, ILAB_E_FORMAT, "'%s': unsupported model feature: query_pre_attn_scalar is %g with %d layers and a head dimension of %d", c->name, scalar, s->n_layer, s->head_dim);
}

int hf_config_read(struct hf_config *c, json_t *json, const char *name, ilab_err *e)
{
    *c = (struct hf_config){ .json = json, .text = json, .name = name };
    if (!json_is_object(json)) return err_set(e, ILAB_E_FORMAT, "'%s' is no JSON object", name);
    const char *class_name = json_string_value(json_array_get(json_object_get(json, "architectures"), 0)), *type = json_str(json, "model_type");
    c->arch = hf_arch_of(class_name, type);
    if (!c->arch) return unknown_family(c, class_name, type, e);
    if (json_is_object(json_object_get(json, "text_config"))) c->text = json_object_get(json, "text_config");
    int rc = check_demands(c, e);
    if (!rc) rc = read_sizes(c, e);
    if (!rc) rc = check_scale(c, e);
    return rc ? rc : check_layers(c, e);
}

void hf_config_release(struct hf_config *c)
{
    json_decref(c->json);
    *c = (struct hf_config){ 0 };
}

/* ---- rotary embedding ---- */

/* Long wavelengths are stretched by `factor`, short ones kept, a smooth step between: transformers' _compute_llama3_parameters,
 * as divisors of the plain frequencies. */
void hf_llama3_factors(float *f, int rope_dim, double base, double factor, double low, double high, double original_context)
{
    const double long_wave = original_context / low, short_wave = original_context / high;
    for (int i = 0; i < rope_dim / 2; i++) {
        const double wave = 2 * M_PI * pow(base, 2.0 * i / rope_dim), smooth = (original_context / wave - low) / (high - low);
        f[i] = (float)(wave < short_wave ? 1 : wave > long_wave ? factor : 1 / ((1 - smooth) / factor + smooth));
    }
}

struct rope { const struct hf_config *c; const json_t *params; struct gguf_writer *w; struct hf_factors *factors; };

static void put_f32(const struct rope *r, const char *suffix, double v)
{
    char key[160];
    snprintf(key, sizeof key, "%s.rope.%s", r->c->arch->gguf, suffix);
    gguf_put_f32(r->w, key, (float)v);
}

static int rope_linear(const struct rope *r, const char *type, ilab_err *e)
{
    char key[160];
    const double factor = json_num(r->params, "factor", 0);
    if (!(factor >= 1 && factor <= 1e6)) return err_set(e, ILAB_E_FORMAT, "'%s': rope_scaling has the factor %g", r->c->name, factor);
    snprintf(key, sizeof key, "%s.rope.scaling.type", r->c->arch->gguf);
    gguf_put_str(r->w, key, sv_of(type));
    put_f32(r, "scaling.factor", factor);
    return 0;
}

static int rope_yarn(const struct rope *r, const char *type, ilab_err *e)
{
    static const struct { const char *hf, *suffix; } OPTIONAL[] = {
        { "extrapolation_factor", "scaling.yarn_ext_factor" }, { "attention_factor", "scaling.yarn_attn_factor" },
        { "beta_fast", "scaling.yarn_beta_fast" },             { "beta_slow", "scaling.yarn_beta_slow" },
    };
    char key[160];
    int rc = rope_linear(r, type, e);
    if (rc) return rc;
    const int64_t original = json_int(r->params, "original_max_position_embeddings", (int64_t)num(r->c, "max_position_embeddings", 0));
    if (original < 1 || original > HF_MAX_CONTEXT) return err_set(e, ILAB_E_FORMAT, "'%s': rope_scaling has an original context of %lld", r->c->name, (long long)original);
    if (json_is_number(json_object_get(r->params, "mscale")) || json_is_number(json_object_get(r->params, "mscale_all_dim")))
        return err_set(e, ILAB_E_FORMAT, "'%s': unsupported model feature: rope_scaling with mscale", r->c->name);
    snprintf(key, sizeof key, "%s.rope.scaling.original_context_length", r->c->arch->gguf);
    gguf_put_u32(r->w, key, (uint32_t)original);
    for (size_t i = 0; i < ARRAY_LEN(OPTIONAL); i++)
        if (json_is_number(json_object_get(r->params, OPTIONAL[i].hf))) put_f32(r, OPTIONAL[i].suffix, json_num(r->params, OPTIONAL[i].hf, 0));
    return 0;
}

static double rope_base(const struct hf_config *c, const json_t *params)
{
    return json_num(params, "rope_theta", num(c, "rope_theta", num(c, "rotary_emb_base", 10000)));
}

static int rope_llama3(const struct rope *r, const char *type, ilab_err *e)
{
    (void)type;
    const int d = r->c->size.rope_dim;
    const double factor = json_num(r->params, "factor", 8), low = json_num(r->params, "low_freq_factor", 1), high = json_num(r->params, "high_freq_factor", 4),
                 original = json_num(r->params, "original_max_position_embeddings", 8192);
    if (!(factor >= 1 && factor <= 1e6) || !(low > 0 && low < 1e6) || !(high > low && high < 1e6) || !(original >= 1 && original <= HF_MAX_CONTEXT))
        return err_set(e, ILAB_E_FORMAT, "'%s': rope_scaling of type llama3 is out of range (factor %g, %g to %g, context %g)", r->c->name, factor, low, high, original);
    r->factors->v = mem_calloc((size_t)d / 2, sizeof(float));
    if (!r->factors->v) return err_set(e, ILAB_E_NOMEM, "no memory for %d rotary factors", d / 2);
    r->factors->n_row = 1;
    hf_llama3_factors(r->factors->v, d, rope_base(r->c, r->params), factor, low, high, original);
    return 0;
}

double hf_longrope_attention(double scale, double original) { return scale > 1 ? sqrt(1 + log(scale) / log(original)) : 1; }

/* Ding et al. 2024: two lists of divisors, for short and for long contexts, and a factor on the attention. */
static int rope_longrope(const struct rope *r, const char *type, ilab_err *e)
{
    static const char *const LIST[2] = { "long_factor", "short_factor" };
    const size_t half = (size_t)r->c->size.rope_dim / 2;
    const double original = num(r->c, "original_max_position_embeddings", json_num(r->params, "original_max_position_embeddings", 0)),
                 scale = original >= 2 ? num(r->c, "max_position_embeddings", 0) / original : 0;
    (void)type;
    if (!(scale > 0 && scale < 1e6)) return err_set(e, ILAB_E_FORMAT, "'%s': rope_scaling needs original_max_position_embeddings", r->c->name);
    r->factors->v = mem_calloc(2 * half, sizeof(float));
    if (!r->factors->v) return err_set(e, ILAB_E_NOMEM, "no memory for %zu rotary factors", half);
    r->factors->n_row = 2;
    for (int k = 0; k < 2; k++) {
        const json_t *list = json_object_get(r->params, LIST[k]);
        if (!json_is_array(list) || json_array_size(list) != half)
            return err_set(e, ILAB_E_FORMAT, "'%s': rope_scaling needs %zu numbers as %s", r->c->name, half, LIST[k]);
        for (size_t i = 0; i < half; i++) {
            const double v = json_number_value(json_array_get(list, i));
            if (!(v > 0 && v < 1e6)) return err_set(e, ILAB_E_FORMAT, "'%s': number %zu of rope_scaling's %s is %g", r->c->name, i, LIST[k], v);
            r->factors->v[(size_t)k * half + i] = (float)v;
        }
    }
    put_f32(r, "scaling.attn_factor", json_num(r->params, "attention_factor", hf_longrope_attention(scale, original)));
    return 0;
}

static int rope_nothing(const struct rope *r, const char *type, ilab_err *e)
{
    (void)r, (void)type, (void)e;
    return 0;
}

static int put_rope(const struct hf_config *c, struct gguf_writer *w, struct hf_factors *factors, ilab_err *e)
{
    static const struct { const char *type; int (*put)(const struct rope *r, const char *type, ilab_err *e); } TYPES[] = {
        { "default", rope_nothing }, { "none", rope_nothing },      { "linear", rope_linear }, { "yarn", rope_yarn },
        { "llama3", rope_llama3 },   { "longrope", rope_longrope }, { "su", rope_longrope },
    };
    const json_t *all = hf_config_get(c, "rope_parameters"), *full;
    struct rope r = { c, NULL, w, factors };
    char key[160];
    if (!all) all = hf_config_get(c, "rope_scaling");
    full = json_object_get(all, "full_attention");
    r.params = full ? full : all;
    const json_t *local = json_object_get(all, "sliding_attention");
    snprintf(key, sizeof key, "%s.rope.dimension_count", c->arch->gguf);
    gguf_put_u32(w, key, (uint32_t)c->size.rope_dim);
    const double base = rope_base(c, r.params);
    if (!(base > 0 && base < 1e12)) return err_set(e, ILAB_E_FORMAT, "'%s': rope_theta is %g", c->name, base);
    put_f32(&r, "freq_base", base);
    if (json_is_number(json_object_get(local, "rope_theta"))) put_f32(&r, "freq_base_swa", json_num(local, "rope_theta", 0));
    const char *type = json_str(r.params, "rope_type");
    if (!type) type = json_str(r.params, "type");
    if (!type) return 0;
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++)
        if (!strcmp(TYPES[i].type, type)) return TYPES[i].put(&r, type, e);
    return err_set(e, ILAB_E_FORMAT, "'%s': unsupported model feature: rope_scaling of type '%.40s'", c->name, type);
}

/* ---- all keys ---- */

static int put_key(const struct hf_config *c, const struct hf_key *k, struct gguf_writer *w, ilab_err *e)
{
    double v = 0;
    char key[160];
    const int there = hf_config_num(c, k->name, &v);
    if (!there && k->kind != 'z') return 0;
    snprintf(key, sizeof key, "%s.%s", c->arch->gguf, k->suffix);
    if (k->kind == 'f') {
        if (!(fabs(v) < 1e30)) return err_set(e, ILAB_E_FORMAT, "'%s': %s is %g", c->name, k->name[0], v);
        gguf_put_f32(w, key, (float)v);
        return 0;
    }
    if (!(v >= 0 && v <= INT32_MAX) || v != floor(v)) return err_set(e, ILAB_E_FORMAT, "'%s': %s is %g, must be a whole number from 0 to %d", c->name, k->name[0], v, INT32_MAX);
    double context = 0;
    if (k->kind == 'w' && hf_config_num(c, HF_COMMON_KEYS[0].name, &context) && v >= context) return 0;
    gguf_put_u32(w, key, (uint32_t)v);
    return 0;
}

int hf_config_put(const struct hf_config *c, struct gguf_writer *w, struct hf_factors *factors, ilab_err *e)
{
    char key[160];
    int rc = 0;
    const struct hf_sizes *s = &c->size;
    for (const struct hf_key *k = HF_COMMON_KEYS; !rc && k->suffix; k++) rc = put_key(c, k, w, e);
    for (const struct hf_key *k = c->arch->keys; !rc && k && k->suffix; k++) rc = put_key(c, k, w, e);
    if (rc) return rc;
    const struct { const char *suffix; int v, on; } derived[] = {
        { "feed_forward_length", s->n_ff, 1 },
        { "attention.head_count_kv", s->n_kv_head, 1 },
        { "attention.key_length", s->head_dim, (c->arch->flags & HF_ROPE) != 0 },
        { "attention.value_length", s->head_dim, (c->arch->flags & HF_ROPE) != 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(derived); i++) {
        snprintf(key, sizeof key, "%s.%s", c->arch->gguf, derived[i].suffix);
        if (derived[i].on) gguf_put_u32(w, key, (uint32_t)derived[i].v);
    }
    if (c->arch->flags & HF_ENCODER) {
        snprintf(key, sizeof key, "%s.attention.causal", c->arch->gguf);
        gguf_put_bool(w, key, 0);
        const double types = num(c, "type_vocab_size", 2);
        if (!(types >= 0 && types <= HF_MAX_VOCAB)) return err_set(e, ILAB_E_FORMAT, "'%s': type_vocab_size is %g", c->name, types);
        gguf_put_u32(w, "tokenizer.ggml.token_type_count", (uint32_t)types);
    }
    return c->arch->flags & HF_ROPE ? put_rope(c, w, factors, e) : 0;
}
