/* hf_export_tokenizer.c — tokenizer.* keys of GGUF → tokenizer files of a Hugging Face directory.
 *
 * SentencePiece vocabularies ("llama", "t5") become a tokenizer.model, a protocol buffer of pieces, scores and types; byte-level
 * BPE ("gpt2") becomes a tokenizer.json with vocabulary, merges and the regular expression of its pre-tokenizer (rows of
 * PATTERNS). tokenizer_config.json has the special tokens and the chat template. What has no row is told and left out.
 * Formats: sentencepiece_model.proto (github.com/google/sentencepiece), huggingface/tokenizers' JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include "model/hf.h"

#include <string.h>

enum { MAX_TOKENS = HF_MAX_VOCAB };

/* ---- reading ---- */

struct vocabulary { const struct gguf *g; const struct gguf_array *token, *score, *type, *merge; };

static const struct gguf_array *array_of(const struct gguf *g, const char *key, int is_text)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    return kv && kv->kind == GGUF_ARR && (kv->arr.kind == GGUF_STR) == is_text ? &kv->arr : NULL;
}

static int64_t id_of(const struct gguf *g, const char *name)
{
    char key[80];
    int64_t id;
    snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", name);
    return gguf_get_int(g, key, 0, MAX_TOKENS, &id, NULL) ? -1 : id;
}

static int flag_of(const struct gguf *g, const char *key, int fallback)
{
    const struct gguf_kv *kv = gguf_find(g, key);
    return kv && kv->kind == GGUF_BOOL ? kv->v.u != 0 : fallback;
}

static int type_of(const struct vocabulary *v, uint64_t i) { return v->type ? (int)gguf_array_int(v->type, i) : 1; }

/* ---- protocol buffers ---- */

static void put_varint(struct sb *b, uint64_t v)
{
    for (; v >= 128; v >>= 7) sb_addch(b, (char)(v | 128));
    sb_addch(b, (char)v);
}
static void put_int(struct sb *b, int field, int64_t v)
{
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, (uint64_t)v);
}
static void put_bytes(struct sb *b, int field, struct sv s)
{
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, s.n);
    sb_add(b, s);
}
static void put_float(struct sb *b, int field, float f)
{
    put_varint(b, (uint64_t)field << 3 | 5);
    sb_add(b, (struct sv){ (const char *)&f, 4 });
}

/* ModelProto: pieces 1 (piece 1, score 2, type 3), trainer_spec 2, normalizer_spec 3. Types have GGUF's numbers. */
static int write_sentencepiece(const struct vocabulary *v, int is_unigram, const char *dir, ilab_err *e)
{
    struct sb file, part;
    const struct gguf *g = v->g;
    int has_bytes = 0;
    sb_init(&file, (size_t)256 << 20);
    sb_init(&part, (size_t)16 << 20);
    for (uint64_t i = 0; i < v->token->n; i++) {
        const int type = type_of(v, i);
        has_bytes |= type == 6;
        sb_reset(&part);
        put_bytes(&part, 1, v->token->str[i]);
        put_float(&part, 2, v->score ? (float)gguf_array_num(v->score, i) : 0);
        if (type != 1) put_int(&part, 3, type);
        put_bytes(&file, 1, (struct sv){ part.p, part.n });
    }
    sb_reset(&part);
    put_int(&part, 3, is_unigram ? 1 : 2);
    put_int(&part, 4, (int64_t)v->token->n);
    put_int(&part, 35, has_bytes);
    const char *const NAME[] = { "unknown", "bos", "eos", "padding" };
    for (int i = 0; i < 4; i++) {
        const int64_t id = id_of(g, NAME[i]);
        put_int(&part, 40 + i, i || id >= 0 ? id : 0);
    }
    put_bytes(&file, 2, (struct sv){ part.p, part.n });
    sb_reset(&part);
    put_bytes(&part, 1, sv_of("identity"));
    const struct gguf_array *charsmap = array_of(g, "tokenizer.ggml.precompiled_charsmap", 0);
    if (charsmap && (charsmap->kind == GGUF_U8 || charsmap->kind == GGUF_I8)) put_bytes(&part, 2, (struct sv){ (const char *)charsmap->p, (size_t)charsmap->n });
    put_int(&part, 3, flag_of(g, "tokenizer.ggml.add_space_prefix", 1));
    put_int(&part, 4, flag_of(g, "tokenizer.ggml.remove_extra_whitespaces", 0));
    put_int(&part, 5, 1);
    put_bytes(&file, 3, (struct sv){ part.p, part.n });
    char *path = path_join(dir, "tokenizer.model");
    const int rc = file.failed || part.failed ? err_set(e, ILAB_E_NOMEM, "no memory to write '%s'", path) : file_write(path, file.p, file.n, e);
    mem_free(path);
    sb_release(&part);
    sb_release(&file);
    return rc;
}

/* ---- tokenizer.json ---- */

/* Named pre-tokenizers of llama.cpp and the expressions that their makers' tokenizer.json has; "" is GPT-2's own, built into ByteLevel. */
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORDS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
static const struct { const char *pre, *regex; int digits; } PATTERNS[] = {
    { "default", "", 0 },
    { "gpt-2", "", 0 },
    { "gpt2", "", 0 },
    { "smollm", "", 1 },
    { "refact", "", 1 },
    { "starcoder", "", 1 },
    { "llama-bpe", CONTRACTIONS WORDS "|\\p{N}{1,3}" REST, 0 },
    { "llama3", CONTRACTIONS WORDS "|\\p{N}{1,3}" REST, 0 },
    { "qwen2", CONTRACTIONS WORDS "|\\p{N}" REST, 0 },
};

static json_t *byte_level(int use_regex) { return json_pack("{s:s,s:b,s:b,s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex", use_regex); }

static json_t *pre_tokenizer(struct sv pre)
{
    for (size_t i = 0; i < ARRAY_LEN(PATTERNS); i++) {
        if (!sv_eq_c(pre, PATTERNS[i].pre)) continue;
        json_t *list = json_array();
        if (PATTERNS[i].digits) json_array_append_new(list, json_pack("{s:s,s:b}", "type", "Digits", "individual_digits", 1));
        if (*PATTERNS[i].regex)
            json_array_append_new(list, json_pack("{s:s,s:{s:s},s:s,s:b}", "type", "Split", "pattern", "Regex", PATTERNS[i].regex, "behavior", "Isolated", "invert", 0));
        json_array_append_new(list, byte_level(!*PATTERNS[i].regex));
        return json_pack("{s:s,s:o}", "type", "Sequence", "pretokenizers", list);
    }
    return NULL;
}

static json_t *added_tokens(const struct vocabulary *v, int as_object)
{
    json_t *out = as_object ? json_object() : json_array();
    for (uint64_t i = 0; i < v->token->n; i++) {
        const int type = type_of(v, i);
        char id[24];
        if (type == 1 || type == 5 || type == 6) continue;
        json_t *t = json_pack("{s:s%,s:b,s:b,s:b,s:b,s:b}", "content", v->token->str[i].p, v->token->str[i].n, "lstrip", 0, "normalized", 0, "rstrip", 0, "single_word", 0,
                              "special", type != 4);
        snprintf(id, sizeof id, "%llu", (unsigned long long)i);
        if (!t) continue; /* a token that is no UTF-8 cannot be named in JSON */
        if (as_object) json_object_set_new(out, id, t);
        else {
            json_object_set_new(t, "id", json_integer((json_int_t)i));
            json_array_append_new(out, t);
        }
    }
    return out;
}

static int write_bpe(const struct vocabulary *v, const char *dir, ilab_err *e)
{
    struct sv pre = SV("default");
    gguf_get_str(v->g, "tokenizer.ggml.pre", &pre, NULL);
    json_t *pt = pre_tokenizer(pre);
    if (!pt || !v->merge) {
        json_decref(pt);
        log_warn("the tokenizer is not written: %s '%.*s'", pt ? "merges are missing with the pre-tokenizer" : "no expression is known here for the pre-tokenizer", SV_ARG(pre));
        return 0;
    }
    json_t *vocab = json_object(), *merges = json_array();
    int rc = 0;
    for (uint64_t i = 0; !rc && i < v->token->n; i++) {
        char *text = mem_strndup(v->token->str[i].p, v->token->str[i].n);
        const int type = type_of(v, i);
        if (!text || (type != 5 && json_object_set_new(vocab, text, json_integer((json_int_t)i)) && json_object_get(vocab, text) == NULL))
            rc = err_set(e, text ? ILAB_E_FORMAT : ILAB_E_NOMEM, "token %llu cannot be written to tokenizer.json", (unsigned long long)i);
        mem_free(text);
    }
    for (uint64_t i = 0; !rc && i < v->merge->n; i++) json_array_append_new(merges, json_stringn(v->merge->str[i].p, v->merge->str[i].n));
    json_t *model = json_pack("{s:s,s:n,s:n,s:n,s:n,s:b,s:b,s:b,s:o,s:o}", "type", "BPE", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0,
                              "byte_fallback", 0, "ignore_merges", sv_eq_c(pre, "llama-bpe") || sv_eq_c(pre, "llama3"), "vocab", vocab, "merges", merges);
    json_t *o = json_pack("{s:s,s:n,s:n,s:o,s:n,s:o,s:n,s:o,s:o}", "version", "1.0", "truncation", "padding", "added_tokens", added_tokens(v, 0), "normalizer", "pre_tokenizer", pt,
                          "post_processor", "decoder", byte_level(1), "model", model);
    if (!rc && !o) rc = err_set(e, ILAB_E_NOMEM, "no memory for tokenizer.json");
    if (rc) json_decref(o);
    else rc = hf_write_json(dir, "tokenizer.json", o, e);
    return rc;
}

/* ---- tokenizer_config.json ---- */

static int write_config(const struct vocabulary *v, const char *class_name, int adds_bos, const char *dir, ilab_err *e)
{
    static const struct { const char *id, *name; } TOKENS[] = { { "bos", "bos_token" }, { "eos", "eos_token" }, { "unknown", "unk_token" }, { "padding", "pad_token" } };
    json_t *o = json_object();
    struct sv chat;
    json_object_set_new(o, "tokenizer_class", json_string(class_name));
    json_object_set_new(o, "add_bos_token", json_boolean(flag_of(v->g, "tokenizer.ggml.add_bos_token", adds_bos)));
    json_object_set_new(o, "add_eos_token", json_boolean(flag_of(v->g, "tokenizer.ggml.add_eos_token", 0)));
    if (gguf_find(v->g, "tokenizer.ggml.add_space_prefix")) json_object_set_new(o, "add_prefix_space", json_boolean(flag_of(v->g, "tokenizer.ggml.add_space_prefix", 1)));
    for (size_t i = 0; i < ARRAY_LEN(TOKENS); i++) {
        const int64_t id = id_of(v->g, TOKENS[i].id);
        json_t *text = id >= 0 && (uint64_t)id < v->token->n ? json_stringn(v->token->str[id].p, v->token->str[id].n) : NULL;
        if (text) json_object_set_new(o, TOKENS[i].name, text);
    }
    json_object_set_new(o, "added_tokens_decoder", added_tokens(v, 1));
    if (!gguf_get_str(v->g, "tokenizer.chat_template", &chat, NULL)) {
        json_t *text = json_stringn(chat.p, chat.n);
        if (text) json_object_set_new(o, "chat_template", text);
    }
    return hf_write_json(dir, "tokenizer_config.json", o, e);
}

int hf_export_tokenizer(const struct gguf *g, const char *dir, ilab_err *e)
{
    struct vocabulary v = { g, array_of(g, "tokenizer.ggml.tokens", 1), array_of(g, "tokenizer.ggml.scores", 0), array_of(g, "tokenizer.ggml.token_type", 0),
                            array_of(g, "tokenizer.ggml.merges", 1) };
    struct sv model;
    if (!v.token || gguf_get_str(g, "tokenizer.ggml.model", &model, NULL)) {
        log_warn("the file has no tokenizer: none is written");
        return 0;
    }
    if (v.type && v.type->n < v.token->n) v.type = NULL;
    if (sv_eq_c(model, "llama") || sv_eq_c(model, "t5")) {
        const int rc = write_sentencepiece(&v, sv_eq_c(model, "t5"), dir, e);
        return rc ? rc : write_config(&v, "LlamaTokenizer", 1, dir, e);
    }
    if (sv_eq_c(model, "gpt2")) {
        const int rc = write_bpe(&v, dir, e);
        return rc ? rc : write_config(&v, "PreTrainedTokenizerFast", 0, dir, e);
    }
    log_warn("the tokenizer is not written: vocabularies of the kind '%.*s' have no form here", SV_ARG(model));
    return 0;
}
