/* hf_export_config.c — GGUF's metadata keys → config.json and generation_config.json.
 *
 * The key tables are read from right to left. Demands of the family are written with the value that it has here, so that the
 * directory says itself what the weights assume. What config.json cannot express is an error.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/hf.h"

#include <math.h>
#include <string.h>

struct job { const struct gguf *g; const struct hf_arch *a; json_t *o; };

static int get_num(const struct job *j, const char *suffix, double *v)
{
    char key[160];
    snprintf(key, sizeof key, "%s.%s", j->a->gguf, suffix);
    const struct gguf_kv *kv = gguf_find(j->g, key);
    int64_t i;
    float f;
    if (!kv) return 0;
    if (!gguf_get_f32(j->g, key, &f, NULL)) {
        *v = (double)f;
        return 1;
    }
    if (gguf_get_int(j->g, key, INT64_MIN, INT64_MAX, &i, NULL)) return 0;
    *v = (double)i;
    return 1;
}

/* Floats get as many digits as tell them apart from their neighbours, so that 1e-06 stays 1e-06. */
static json_t *short_real(double v)
{
    char text[40];
    for (int digits = 1; digits < 10; digits++) {
        double back = 0;
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (!parse_f64(text, -HUGE_VAL, HUGE_VAL, &back) && (float)back == (float)v) return json_real(back);
    }
    return json_real(v);
}

/* Which of the names of a key this family uses. */
static const char *name_for(const struct job *j, const struct hf_key *k)
{
    for (int i = 0; i < 4 && k->name[i]; i++)
        for (const struct hf_default *d = j->a->defaults; d && d->name; d++)
            if (!strcmp(d->name, k->name[i])) return k->name[i];
    for (int i = 0; i < 4 && k->name[i] && j->a->flags & HF_N_NAMES; i++)
        if (!strncmp(k->name[i], "n_", 2)) return k->name[i];
    return !strcmp(k->suffix, "expert_count") && j->a->keys && strstr(j->a->model_type, "qwen") ? k->name[1] : k->name[0];
}

static void put_keys(const struct job *j, const struct hf_key *k)
{
    double v;
    for (; k && k->suffix; k++)
        if (get_num(j, k->suffix, &v) && !(k->kind == 'z' && v == 0)) json_object_set_new(j->o, name_for(j, k), k->kind == 'f' ? short_real(v) : json_integer((json_int_t)v));
}

static void put_demands(const struct job *j)
{
    for (const struct hf_demand *d = j->a->demands; d && d->name; d++) {
        struct sv rest = sv_of(d->allowed), first;
        if (!sv_split(&rest, '|', &first)) continue;
        json_t *v = json_parse(first, d->name, NULL);
        if (v) json_object_set_new(j->o, d->name, v);
    }
}

/* ---- rotary embedding ---- */

/* The four numbers of llama3's scaling are not in the file, only the factors that they give: try what is in use. */
static int put_llama3(const struct job *j, const struct tensor *t, double base, ilab_err *e)
{
    static const double CONTEXT[] = { 8192, 4096, 2048, 16384, 32768 };
    const int half = (int)t->dim[0];
    const float *want = t->data;
    float *f = t->type == QT_F32 && t->n_dim == 1 && half < HF_MAX_WIDTH ? mem_calloc((size_t)half, sizeof *f) : NULL;
    double factor = 1;
    for (int i = 0; f && i < half; i++) factor = fmax(factor, (double)want[i]);
    for (size_t k = 0; f && k < ARRAY_LEN(CONTEXT); k++) {
        double worst = 0;
        hf_llama3_factors(f, 2 * half, base, factor, 1, 4, CONTEXT[k]);
        for (int i = 0; i < half; i++) worst = fmax(worst, fabs((double)f[i] / (double)want[i] - 1));
        if (!(worst < 1e-4)) continue;
        mem_free(f);
        json_object_set_new(j->o, "rope_scaling", json_pack("{s:o,s:f,s:f,s:i,s:s}", "factor", short_real(factor), "high_freq_factor", 4.0, "low_freq_factor", 1.0,
                                                            "original_max_position_embeddings", (int)CONTEXT[k], "rope_type", "llama3"));
        return 0;
    }
    mem_free(f);
    return err_set(e, ILAB_E_FORMAT, "the rotary factors of '%s' follow no rule that config.json can express", t->name);
}

static json_t *list_of(const struct tensor *t)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < t->dim[0]; i++) json_array_append_new(list, short_real((double)((const float *)t->data)[i]));
    return list;
}

static int put_rope(const struct job *j, ilab_err *e)
{
    static const struct { const char *suffix, *name; } YARN[] = {
        { "rope.scaling.original_context_length", "original_max_position_embeddings" }, { "rope.scaling.yarn_ext_factor", "extrapolation_factor" },
        { "rope.scaling.yarn_attn_factor", "attention_factor" }, { "rope.scaling.yarn_beta_fast", "beta_fast" }, { "rope.scaling.yarn_beta_slow", "beta_slow" },
    };
    double base = 10000, v;
    char key[160];
    struct sv type = { 0 };
    if (!(j->a->flags & HF_ROPE)) return 0;
    get_num(j, "rope.freq_base", &base);
    json_object_set_new(j->o, j->a->flags & HF_ENCODER ? "rotary_emb_base" : "rope_theta", short_real(base));
    const struct tensor *freqs = gguf_tensor(j->g, "rope_freqs.weight"), *far = gguf_tensor(j->g, "rope_factors_long.weight"),
                        *near = gguf_tensor(j->g, "rope_factors_short.weight");
    if (freqs) return put_llama3(j, freqs, base, e);
    if (far && near && far->type == QT_F32 && near->type == QT_F32) {
        json_t *o = json_pack("{s:s,s:o,s:o}", "type", "longrope", "long_factor", list_of(far), "short_factor", list_of(near));
        double context = 0, original = 0; /* the usual factor stays away: transformers' Phi3Config 4.x refuses a fourth key */
        const int known = get_num(j, "context_length", &context) && get_num(j, "rope.scaling.original_context_length", &original) && original >= 2;
        if (get_num(j, "rope.scaling.attn_factor", &v) && !(known && fabs(v - hf_longrope_attention(context / original, original)) < 1e-6 * v))
            json_object_set_new(o, "attention_factor", short_real(v));
        json_object_set_new(j->o, "rope_scaling", o);
        return 0;
    }
    snprintf(key, sizeof key, "%s.rope.scaling.type", j->a->gguf);
    if (gguf_get_str(j->g, key, &type, NULL) || sv_eq_c(type, "none")) return 0;
    if (!get_num(j, "rope.scaling.factor", &v)) return 0;
    json_t *o = json_pack("{s:o,s:o}", "rope_type", json_stringn(type.p, type.n), "factor", short_real(v));
    for (size_t i = 0; i < ARRAY_LEN(YARN); i++)
        if (get_num(j, YARN[i].suffix, &v)) json_object_set_new(o, YARN[i].name, i ? short_real(v) : json_integer((json_int_t)v));
    json_object_set_new(j->o, "rope_scaling", o);
    return 0;
}

/* ---- the files ---- */

static void put_token_ids(const struct gguf *g, json_t *o)
{
    static const struct { const char *key, *name; } IDS[] = { { "tokenizer.ggml.bos_token_id", "bos_token_id" }, { "tokenizer.ggml.eos_token_id", "eos_token_id" },
                                                              { "tokenizer.ggml.padding_token_id", "pad_token_id" } };
    int64_t id;
    for (size_t i = 0; i < ARRAY_LEN(IDS); i++)
        if (!gguf_get_int(g, IDS[i].key, 0, HF_MAX_VOCAB, &id, NULL)) json_object_set_new(o, IDS[i].name, json_integer(id));
}

static int put_generation(const struct gguf *g, const char *dir, ilab_err *e)
{
    static const struct { const char *key, *name; } KEYS[] = {
        { "general.sampling.temp", "temperature" }, { "general.sampling.top_k", "top_k" }, { "general.sampling.top_p", "top_p" },
        { "general.sampling.min_p", "min_p" },      { "general.sampling.penalty_repeat", "repetition_penalty" },
    };
    json_t *o = json_object();
    float f;
    int64_t i;
    put_token_ids(g, o);
    for (size_t k = 0; k < ARRAY_LEN(KEYS); k++) {
        if (!gguf_get_f32(g, KEYS[k].key, &f, NULL)) json_object_set_new(o, KEYS[k].name, short_real((double)f));
        else if (!gguf_get_int(g, KEYS[k].key, 0, INT32_MAX, &i, NULL)) json_object_set_new(o, KEYS[k].name, json_integer(i));
    }
    return hf_write_json(dir, "generation_config.json", o, e);
}

int hf_export_config(const struct gguf *g, const struct hf_arch *a, const char *dtype, const char *dir, ilab_err *e)
{
    struct job j = { g, a, json_object() };
    const struct tensor *embedding = gguf_tensor(g, "token_embd.weight");
    double v;
    json_object_set_new(j.o, "architectures", json_pack("[s]", a->class_name));
    json_object_set_new(j.o, "model_type", json_string(a->model_type));
    json_object_set_new(j.o, "torch_dtype", json_string(dtype));
    put_demands(&j);
    put_keys(&j, HF_COMMON_KEYS);
    put_keys(&j, a->keys);
    if (embedding) json_object_set_new(j.o, "vocab_size", json_integer(embedding->dim[1]));
    if (a->flags & HF_ROPE && !(a->flags & HF_ENCODER) && get_num(&j, "attention.key_length", &v)) json_object_set_new(j.o, "head_dim", json_integer((json_int_t)v));
    double head_dim = 0, rope_dim = 0;
    if (get_num(&j, "attention.key_length", &head_dim) && get_num(&j, "rope.dimension_count", &rope_dim) && rope_dim < head_dim)
        json_object_set_new(j.o, "partial_rotary_factor", short_real(rope_dim / head_dim));
    json_object_set_new(j.o, "tie_word_embeddings", json_boolean(!gguf_tensor(g, "output.weight")));
    if (a->flags & HF_ROPE && gguf_tensor(g, "blk.0.attn_q.weight") && !(a->flags & HF_ENCODER))
        json_object_set_new(j.o, "attention_bias", json_boolean(gguf_tensor(g, "blk.0.attn_q.bias") != NULL));
    if (a->flags & HF_ROPE && gguf_tensor(g, "blk.0.ffn_up.bias")) json_object_set_new(j.o, "mlp_bias", json_true());
    if (a->wide_scale_layers) {
        double layers = 0, heads = 1, width = 0;
        get_num(&j, "block_count", &layers), get_num(&j, "attention.head_count", &heads), get_num(&j, "embedding_length", &width);
        json_object_set_new(j.o, "query_pre_attn_scalar", json_integer((json_int_t)((int)layers == a->wide_scale_layers && heads >= 1 ? width / heads : head_dim)));
    }
    put_token_ids(g, j.o);
    int rc = put_rope(&j, e);
    if (rc) {
        json_decref(j.o);
        return rc;
    }
    rc = hf_write_json(dir, "config.json", j.o, e);
    return rc ? rc : put_generation(g, dir, e);
}
