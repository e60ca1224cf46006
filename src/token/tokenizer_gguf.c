/* tokenizer_gguf.c — tokenizers from and to the tokenizer.* metadata of a GGUF file.
 *
 * Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, section "Tokenizer", and what llama.cpp writes:
 * ids out of range (older files hold 0xFFFFFFFF) count as absent.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <float.h>
#include <math.h>
#include <string.h>

#define KEY(name) "tokenizer.ggml." name

static int is_int_kind(enum gguf_kind k) { return k != GGUF_F32 && k != GGUF_F64 && k != GGUF_STR && k != GGUF_ARR; }

/* Scalar id or flag; -1 when absent, of another type or not below `limit`. */
static int small_int(const struct gguf *g, const char *key, int64_t limit)
{
    const struct gguf_kv *kv = gguf_find(g, key);

    if (!kv || !is_int_kind(kv->kind) || kv->v.u >= (uint64_t)limit)
        return -1;
    return (int)kv->v.u;
}

/* The array under `key`, NULL when absent; ILAB_E_FORMAT unless it has n elements (n 0: any number). */
static int get_array(const struct gguf *g, const char *key, int strings, uint64_t n, const struct gguf_array **out, ilab_err *e)
{
    const struct gguf_kv *kv = gguf_find(g, key);

    *out = NULL;
    if (!kv)
        return 0;
    if (kv->kind != GGUF_ARR || (kv->arr.kind == GGUF_STR) != strings || kv->arr.kind == GGUF_ARR)
        return err_set(e, ILAB_E_FORMAT, "key '%s': wrong type", key);
    if (n && kv->arr.n != n)
        return err_set(e, ILAB_E_FORMAT, "key '%s': %llu elements for %llu tokens", key, (unsigned long long)kv->arr.n,
                       (unsigned long long)n);
    *out = &kv->arr;
    return 0;
}

static int load_vocab(struct tokenizer *t, const struct gguf *g, ilab_err *e)
{
    const struct gguf_array *token, *score, *type;
    int32_t *kind = NULL;
    int rc;

    if ((rc = get_array(g, KEY("tokens"), 1, 0, &token, e)))
        return rc;
    if (!token || !token->n)
        return err_set(e, ILAB_E_FORMAT, "no vocabulary: key '" KEY("tokens") "' is missing or empty");
    if (token->n > TOKEN_MAX_VOCAB)
        return err_set(e, ILAB_E_LIMIT, "vocabulary of %llu tokens: at most %d", (unsigned long long)token->n, TOKEN_MAX_VOCAB);
    if ((rc = get_array(g, KEY("scores"), 0, token->n, &score, e)) || (rc = get_array(g, KEY("token_type"), 0, token->n, &type, e)))
        return rc;
    if (t->model == VOCAB_SPM && !score)
        return err_set(e, ILAB_E_FORMAT, "key '" KEY("scores") "' is missing");
    if (type && !is_int_kind(type->kind))
        return err_set(e, ILAB_E_FORMAT, "key '" KEY("token_type") "': wrong type");
    if (type) {
        kind = mem_calloc(token->n, sizeof *kind);
        if (!kind)
            return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %llu tokens", (unsigned long long)token->n);
        for (uint64_t i = 0; i < token->n; i++) {
            int64_t k = gguf_array_int(type, i);
            kind[i] = k >= 0 && k <= TOKEN_BYTE ? (int32_t)k : TOKEN_NORMAL;
        }
    }
    rc = tokenizer_set_vocab(t, token->str, kind, (int)token->n, e);
    mem_free(kind);
    if (rc || t->model != VOCAB_SPM)
        return rc;
    t->score = mem_calloc(token->n, sizeof *t->score);
    if (!t->score)
        return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %llu tokens", (unsigned long long)token->n);
    for (uint64_t i = 0; i < token->n; i++) {
        double s = gguf_array_num(score, i);
        t->score[i] = s >= -FLT_MAX && s <= FLT_MAX ? (float)s : -FLT_MAX;
    }
    return 0;
}

static int load_merges(struct tokenizer *t, const struct gguf *g, ilab_err *e)
{
    const struct gguf_array *merge;
    struct sv pre = SV("default");
    int rc;

    if (gguf_find(g, KEY("pre")) && (rc = gguf_get_str(g, KEY("pre"), &pre, e)))
        return rc;
    if ((rc = tokenizer_set_pre(t, pre, e)) || (rc = get_array(g, KEY("merges"), 1, 0, &merge, e)))
        return rc;
    if (merge && merge->n > TOKEN_MAX_MERGES)
        return err_set(e, ILAB_E_LIMIT, "%llu merges: at most %d", (unsigned long long)merge->n, TOKEN_MAX_MERGES);
    return tokenizer_set_merges(t, merge ? merge->str : NULL, merge ? (int)merge->n : 0, e);
}

static void load_strings(struct tokenizer *t, const struct gguf *g)
{
    struct sv s;

    if (!gguf_get_str(g, "tokenizer.chat_template", &s, NULL) && s.n <= TOKEN_MAX_TEMPLATE_BYTES)
        t->chat_template = mem_strndup(s.p, s.n);
    if (!gguf_get_str(g, "general.name", &s, NULL))
        for (size_t i = 0; i < s.n && i + 1 < sizeof t->name; i++)
            t->name[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] + 32) : s.p[i];
}

/* A file without token types does not say which tokens are special; the named ones are. */
static void mark_named(struct tokenizer *t, int id, int32_t kind)
{
    if (id >= 0 && t->kind[id] == TOKEN_NORMAL)
        t->kind[id] = kind;
}

static int load(struct tokenizer *t, const struct gguf *g, ilab_err *e)
{
    int rc, flag;

    if ((rc = load_vocab(t, g, e)) || (t->model == VOCAB_BPE && (rc = load_merges(t, g, e))))
        return rc;
    t->bos = small_int(g, KEY("bos_token_id"), t->n);
    t->eos = small_int(g, KEY("eos_token_id"), t->n);
    t->unknown = small_int(g, KEY("unknown_token_id"), t->n);
    t->padding = small_int(g, KEY("padding_token_id"), t->n);
    t->eot = small_int(g, KEY("eot_token_id"), t->n);
    if ((flag = small_int(g, KEY("add_bos_token"), 2)) >= 0)
        t->adds_bos = flag;
    if ((flag = small_int(g, KEY("add_eos_token"), 2)) >= 0)
        t->adds_eos = flag;
    if (t->model == VOCAB_SPM && (flag = small_int(g, KEY("add_space_prefix"), 2)) >= 0)
        t->space_prefix = flag;
    if (!gguf_find(g, KEY("token_type"))) {
        mark_named(t, t->bos, TOKEN_CONTROL);
        mark_named(t, t->eos, TOKEN_CONTROL);
        mark_named(t, t->unknown, TOKEN_UNKNOWN);
    }
    load_strings(t, g);
    tokenizer_finish(t);
    return 0;
}

int tokenizer_from_gguf(struct tokenizer **out, const struct gguf *g, ilab_err *e)
{
    static const char *const models[] = { [VOCAB_SPM] = "llama", [VOCAB_BPE] = "gpt2" };
    struct sv model;
    int rc;

    *out = NULL;
    if ((rc = gguf_get_str(g, KEY("model"), &model, e)))
        return rc;
    for (size_t i = 0; i < ARRAY_LEN(models); i++) {
        if (!sv_eq_c(model, models[i]))
            continue;
        struct tokenizer *t = tokenizer_alloc((enum vocab_model)i);
        if (!t)
            return err_set(e, ILAB_E_NOMEM, "no memory for a tokenizer");
        if ((rc = load(t, g, e)))
            tokenizer_free(t);
        else
            *out = t;
        return rc;
    }
    return err_set(e, ILAB_E_INVALID, "tokenizer model '%.*s' is not supported (llama, gpt2)", (int)(model.n < 60 ? model.n : 60), model.p);
}

static void put_id(struct gguf_writer *w, const char *key, int id)
{
    if (id >= 0)
        gguf_put_u32(w, key, (uint32_t)id);
}

void tokenizer_put_gguf(const struct tokenizer *t, struct gguf_writer *w)
{
    gguf_put_str(w, KEY("model"), t->model == VOCAB_SPM ? SV("llama") : SV("gpt2"));
    gguf_put_str(w, KEY("pre"), t->model == VOCAB_SPM ? SV("default") : sv_of(t->pre_name));
    gguf_put_str_array(w, KEY("tokens"), t->text, (uint64_t)t->n);
    if (t->model == VOCAB_SPM)
        gguf_put_f32_array(w, KEY("scores"), t->score, (uint64_t)t->n);
    gguf_put_i32_array(w, KEY("token_type"), t->kind, (uint64_t)t->n);
    if (t->model == VOCAB_BPE)
        gguf_put_str_array(w, KEY("merges"), t->merge, (uint64_t)t->n_merge);
    put_id(w, KEY("bos_token_id"), t->bos);
    put_id(w, KEY("eos_token_id"), t->eos);
    put_id(w, KEY("unknown_token_id"), t->unknown);
    put_id(w, KEY("padding_token_id"), t->padding);
    put_id(w, KEY("eot_token_id"), t->eot);
    gguf_put_bool(w, KEY("add_bos_token"), t->adds_bos);
    gguf_put_bool(w, KEY("add_eos_token"), t->adds_eos);
    if (t->model == VOCAB_SPM)
        gguf_put_bool(w, KEY("add_space_prefix"), t->space_prefix);
    if (t->chat_template)
        gguf_put_str(w, "tokenizer.chat_template", sv_of(t->chat_template));
}
