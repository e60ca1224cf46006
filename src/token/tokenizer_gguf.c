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
    int scored = t->model == VOCAB_SPM || t->model == VOCAB_UNIGRAM;
    if (scored && !score)
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
    if (rc || !scored)
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
    if (!merge)
        return err_set(e, ILAB_E_FORMAT, "key '" KEY("merges") "' is missing");
    if (merge->n > TOKEN_MAX_MERGES)
        return err_set(e, ILAB_E_LIMIT, "%llu merges: at most %d", (unsigned long long)merge->n, TOKEN_MAX_MERGES);
    return tokenizer_set_merges(t, merge->str, (int)merge->n, e);
}

static void load_strings(struct tokenizer *t, const struct gguf *g)
{
    struct sv s;

    if (!gguf_get_str(g, "tokenizer.chat_template", &s, NULL) && s.n <= TOKEN_MAX_TEMPLATE_BYTES)
        t->chat_template = mem_strndup(s.p, s.n);
    if (!gguf_get_str(g, "general.name", &s, NULL))
        tokenizer_set_name(t, s);
}

static int load_charsmap(struct tokenizer *t, const struct gguf *g, ilab_err *e)
{
    const struct gguf_array *map;
    int rc = get_array(g, KEY("precompiled_charsmap"), 0, 0, &map, e);

    if (rc || !map || !map->n)
        return rc;
    if (map->kind != GGUF_U8 && map->kind != GGUF_I8)
        return err_set(e, ILAB_E_FORMAT, "key '" KEY("precompiled_charsmap") "': wrong type");
    if ((rc = charsmap_check(map->p, map->n, e)))
        return rc;
    t->charsmap = mem_alloc(map->n);
    if (!t->charsmap)
        return err_set(e, ILAB_E_NOMEM, "no memory for the tokenizer's normalisation table");
    memcpy(t->charsmap, map->p, map->n);
    t->charsmap_n = map->n;
    return 0;
}

/* The files do not say which special tokens swallow the white space behind them; Phi-3's do (its tokenizer.json, "rstrip"). */
static int mark_strips(struct tokenizer *t, ilab_err *e)
{
    static const char *const plain[] = { "<unk>", "<s>", "<|endoftext|>" };

    if (!strstr(t->name, "phi-3") && !strstr(t->name, "phi3"))
        return 0;
    t->strip = mem_calloc((size_t)t->n, 1);
    if (!t->strip)
        return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %d tokens", t->n);
    for (int i = 0; i < t->n; i++)
        t->strip[i] = is_special(t, i) ? STRIP_RIGHT : 0;
    for (size_t k = 0; k < ARRAY_LEN(plain); k++) {
        int32_t id = vocab_find(t, sv_of(plain[k]));
        if (id >= 0)
            t->strip[id] = 0;
    }
    return 0;
}

/* A file without token types does not say which tokens are special; the named ones are. */
static void mark_named(struct tokenizer *t, int id, int32_t kind)
{
    if (id >= 0 && t->kind[id] == TOKEN_NORMAL)
        t->kind[id] = kind;
}

/* What the keys are called, and what holds when they are missing (llama.cpp's defaults), by model. */
enum { MODELS = VOCAB_WORDPIECE + 1 };
static const char *const model_names[MODELS] = { [VOCAB_SPM] = "llama", [VOCAB_BPE] = "gpt2", [VOCAB_UNIGRAM] = "t5", [VOCAB_WORDPIECE] = "bert" };

static void load_ids(struct tokenizer *t, const struct gguf *g)
{
    const struct { const char *key[2]; int *id; int fallback[MODELS]; } row[] = {
        { { KEY("bos_token_id"), KEY("cls_token_id") }, &t->bos, { 1, -1, -1, 101 } },
        { { KEY("eos_token_id") }, &t->eos, { 2, -1, 1, 102 } },
        { { KEY("unknown_token_id") }, &t->unknown, { 0, -1, 2, 100 } },
        { { KEY("padding_token_id") }, &t->padding, { -1, -1, 0, 0 } },
        { { KEY("eot_token_id") }, &t->eot, { -1, -1, -1, -1 } },
        { { KEY("mask_token_id") }, &t->mask, { -1, -1, -1, 103 } },
    };

    for (size_t k = 0; k < ARRAY_LEN(row); k++) {
        const char *key = row[k].key[1] && gguf_find(g, row[k].key[1]) ? row[k].key[1] : row[k].key[0];
        if (row[k].id == &t->eos && t->model == VOCAB_WORDPIECE)
            key = gguf_find(g, KEY("separator_token_id")) ? KEY("separator_token_id") : KEY("seperator_token_id"); /* so misspelt in files */
        *row[k].id = gguf_find(g, key) ? small_int(g, key, t->n) : row[k].fallback[t->model];
    }
}

static void load_flags(struct tokenizer *t, const struct gguf *g)
{
    const struct { const char *key; int *flag; } row[] = {
        { KEY("add_bos_token"), &t->adds_bos },
        { t->model == VOCAB_WORDPIECE ? KEY("add_sep_token") : KEY("add_eos_token"), &t->adds_eos },
        { KEY("add_space_prefix"), &t->space_prefix },
        { KEY("remove_extra_whitespaces"), &t->removes_spaces },
        { KEY("normalizer.lowercase"), &t->lowercase },
    };
    int value;

    for (size_t k = 0; k < ARRAY_LEN(row); k++)
        if ((value = small_int(g, row[k].key, 2)) >= 0)
            *row[k].flag = value;
    t->strips_accents = t->lowercase;
    if ((value = small_int(g, KEY("normalizer.strip_accents"), 2)) >= 0)
        t->strips_accents = value;
}

static int load(struct tokenizer *t, const struct gguf *g, ilab_err *e)
{
    int rc;

    if ((rc = load_vocab(t, g, e)) || (t->model == VOCAB_BPE && (rc = load_merges(t, g, e))) ||
        ((t->model == VOCAB_SPM || t->model == VOCAB_UNIGRAM) && (rc = load_charsmap(t, g, e))))
        return rc;
    load_ids(t, g);
    load_flags(t, g);
    if (!gguf_find(g, KEY("token_type"))) {
        mark_named(t, t->bos, TOKEN_CONTROL);
        mark_named(t, t->eos, TOKEN_CONTROL);
        mark_named(t, t->unknown, TOKEN_UNKNOWN);
    }
    load_strings(t, g);
    rc = mark_strips(t, e);
    return rc ? rc : tokenizer_finish(t, e);
}

int tokenizer_from_gguf(struct tokenizer **out, const struct gguf *g, ilab_err *e)
{
    struct sv model;
    int rc;

    *out = NULL;
    if ((rc = gguf_get_str(g, KEY("model"), &model, e)))
        return rc;
    for (int i = 0; i < MODELS; i++) {
        if (!sv_eq_c(model, model_names[i]))
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
    return err_set(e, ILAB_E_INVALID, "tokenizer model '%.*s' is not supported (llama, gpt2, t5, bert)", (int)(model.n < 60 ? model.n : 60),
                   model.p);
}

static void put_id(struct gguf_writer *w, const char *key, int id)
{
    if (id >= 0)
        gguf_put_u32(w, key, (uint32_t)id);
}

int tokenizer_to_gguf(const struct tokenizer *t, struct gguf_writer *w, ilab_err *e)
{
    int sentence = t->model == VOCAB_SPM || t->model == VOCAB_UNIGRAM, wordpiece = t->model == VOCAB_WORDPIECE;

    if (t->model == VOCAB_BPE && !t->pre_name[0])
        return err_set(e, ILAB_E_INVALID, "the pre-tokenizer's patterns have no name in GGUF: this tokenizer cannot be written there");
    gguf_put_str(w, KEY("model"), sv_of(model_names[t->model]));
    gguf_put_str(w, KEY("pre"), t->model == VOCAB_BPE ? sv_of(t->pre_name) : SV("default"));
    gguf_put_str_array(w, KEY("tokens"), t->text, (uint64_t)t->n);
    if (sentence)
        gguf_put_f32_array(w, KEY("scores"), t->score, (uint64_t)t->n);
    gguf_put_i32_array(w, KEY("token_type"), t->kind, (uint64_t)t->n);
    if (t->model == VOCAB_BPE)
        gguf_put_str_array(w, KEY("merges"), t->merge, (uint64_t)t->n_merge);
    put_id(w, KEY("bos_token_id"), t->bos);
    put_id(w, wordpiece ? KEY("seperator_token_id") : KEY("eos_token_id"), t->eos);
    put_id(w, KEY("unknown_token_id"), t->unknown);
    put_id(w, KEY("padding_token_id"), t->padding);
    put_id(w, KEY("eot_token_id"), t->eot);
    put_id(w, KEY("mask_token_id"), t->mask);
    gguf_put_bool(w, KEY("add_bos_token"), t->adds_bos);
    gguf_put_bool(w, wordpiece ? KEY("add_sep_token") : KEY("add_eos_token"), t->adds_eos);
    if (sentence) {
        gguf_put_bool(w, KEY("add_space_prefix"), t->space_prefix);
        gguf_put_bool(w, KEY("remove_extra_whitespaces"), t->removes_spaces);
    }
    if (wordpiece) {
        gguf_put_bool(w, KEY("normalizer.lowercase"), t->lowercase);
        gguf_put_bool(w, KEY("normalizer.strip_accents"), t->strips_accents);
    }
    if (t->charsmap)
        gguf_put_kv(w, &(struct gguf_kv){ .key = SV(KEY("precompiled_charsmap")), .kind = GGUF_ARR,
                                          .arr = { GGUF_U8, t->charsmap_n, t->charsmap, NULL } });
    if (t->chat_template)
        gguf_put_str(w, "tokenizer.chat_template", sv_of(t->chat_template));
    return 0;
}
