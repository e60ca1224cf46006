/* test_token_hf.c — vocabularies from Hugging Face directories and SentencePiece models.
 *
 * Oracles: the same vocabulary as GGUF (llama.cpp's), spm_encode, and results worked out by hand for small vocabularies. The larger
 * comparison is tools/oracle_tokenizers. The small files here are the seeds of the fuzz targets; to write them anew:
 *   HF_CORPUS=tests/fuzz/corpus build/unit/test_token_hf
 * Real files are those below ../shared/data (skipped when absent).  SPDX-License-Identifier: Apache-2.0 */
#include "tests/oom/oom.h"
#include "token/hf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SHARED "../shared/data"
#define MARK "\xe2\x96\x81"
#define LIMIT ((size_t)1 << 28)

static void need(const char *path)
{
    if (file_exists(path))
        return;
    print_message("skipped: %s is missing\n", path);
    skip();
}

static struct tokenizer *load_gguf(const char *path)
{
    struct tokenizer *t = NULL;
    struct gguf *g = NULL;
    ilab_err e = { 0 };

    need(path);
    if (gguf_open(&g, path, &e) || tokenizer_from_gguf(&t, g, &e))
        fail_msg("%s: %s", path, e.msg);
    gguf_close(g);
    return t;
}

static struct tokenizer *open_hf(const char *dir)
{
    struct tokenizer *t = NULL;
    ilab_err e = { 0 };

    need(dir);
    if (tokenizer_open_hf(&t, dir, &e))
        fail_msg("%s: %s", dir, e.msg);
    return t;
}

static void assert_ids(const struct tokenizer *t, const char *text, int flags, const char *want)
{
    struct ids l = { 0 };
    struct sb b;

    sb_init(&b, LIMIT);
    assert_int_equal(tokenizer_encode(t, sv_of(text), flags, &l, NULL), 0);
    for (size_t i = 0; i < l.n; i++)
        sb_addf(&b, i ? " %d" : "%d", l.v[i]);
    assert_string_equal(b.p ? b.p : "", want);
    ids_release(&l);
    sb_release(&b);
}

static void assert_same(const struct tokenizer *a, const struct tokenizer *b, struct sv text, int flags)
{
    struct ids x = { 0 }, y = { 0 };

    assert_int_equal(tokenizer_encode(a, text, flags, &x, NULL), 0);
    assert_int_equal(tokenizer_encode(b, text, flags, &y, NULL), 0);
    assert_int_equal(x.n, y.n);
    if (x.n)
        assert_memory_equal(x.v, y.v, x.n * sizeof *x.v);
    ids_release(&x);
    ids_release(&y);
}

/* Line by line, with and without special tokens. */
static void assert_same_lines(const struct tokenizer *a, const struct tokenizer *b, const char *path)
{
    char *text;
    size_t n;
    struct sv line;

    need(path);
    assert_int_equal(file_read(path, LIMIT, &text, &n, NULL), 0);
    struct sv rest = { text, n };
    for (int k = 0; sv_split(&rest, '\n', &line); k++)
        assert_same(a, b, line, k & 1 ? TOKEN_PARSE_SPECIAL : 0);
    mem_free(text);
}

static struct tokenizer *through_gguf(const struct tokenizer *t)
{
    char path[] = "/tmp/ilab-hf-XXXXXX";
    struct gguf_writer *w = gguf_writer_new();
    ilab_err e = { 0 };

    close(mkstemp(path));
    gguf_put_str(w, "general.name", sv_of(t->name));
    if (tokenizer_to_gguf(t, w, &e) || gguf_write(w, path, &e))
        fail_msg("%s", e.msg);
    gguf_writer_free(w);
    struct tokenizer *copy = load_gguf(path);
    unlink(path);
    return copy;
}

/* ---- real directories ---- */

static void test_granite(void **state)
{
    (void)state;
    struct tokenizer *t = open_hf(SHARED "/tokenizers/granite-7b-lab"), *llama = load_gguf(SHARED "/vocab/ggml-vocab-llama-spm.gguf"), *copy = through_gguf(t);

    assert_int_equal(tokenizer_size(t), 32008); /* config.json; the vocabulary itself has 32005 */
    assert_int_equal(tokenizer_kind(t, 32007), TOKEN_UNUSED);
    assert_int_equal(tokenizer_bos(t), 1);
    assert_int_equal(tokenizer_eos(t), 32000);
    assert_true(!tokenizer_adds_bos(t) && !tokenizer_adds_eos(t) && tokenizer_is_end(t, 32000));
    assert_int_equal(tokenizer_find(t, "<|user|>"), 32002);
    assert_string_equal(chat_template_name(chat_template_of(t)), "granite");
    assert_int_equal(tokenizer_kind(t, 0), TOKEN_UNKNOWN);
    assert_int_equal(tokenizer_kind(t, 3), TOKEN_BYTE);
    assert_same_lines(t, llama, SHARED "/eval/wikitext-2-test.txt");
    assert_same_lines(t, copy, SHARED "/taxonomy/unibi/unibi.md");
    assert_string_equal(copy->chat_template, t->chat_template);
    assert_int_equal(tokenizer_size(copy), 32008);
    tokenizer_free(copy);
    tokenizer_free(llama);
    tokenizer_free(t);
}

/* The same 32,000 pieces by way of the SentencePiece model; whatever else the directory says applies, too. */
static void test_granite_model(void **state)
{
    (void)state;
    struct tokenizer *json = open_hf(SHARED "/tokenizers/granite-7b-lab"), *model;
    char dir[] = "/tmp/ilab-hf-XXXXXX", from[128], to[128], *bytes;
    static const char *const names[] = { "tokenizer.model", "tokenizer_config.json", "added_tokens.json", "config.json" };
    size_t n;

    assert_non_null(mkdtemp(dir));
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        snprintf(from, sizeof from, SHARED "/tokenizers/granite-7b-lab/%s", names[k]);
        snprintf(to, sizeof to, "%s/%s", dir, names[k]);
        assert_int_equal(file_read(from, LIMIT, &bytes, &n, NULL), 0);
        assert_int_equal(file_write(to, bytes, n, NULL), 0);
        mem_free(bytes);
    }
    model = open_hf(dir);
    assert_int_equal(tokenizer_size(model), tokenizer_size(json));
    assert_int_equal(tokenizer_eos(model), tokenizer_eos(json));
    assert_int_equal(tokenizer_adds_bos(model), 0);
    for (int id = 0; id < tokenizer_size(json); id++) {
        assert_true(sv_eq(model->text[id], json->text[id]));
        assert_int_equal(model->kind[id], json->kind[id]);
    }
    assert_same_lines(model, json, SHARED "/taxonomy/unibi/unibi.md");
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        snprintf(to, sizeof to, "%s/%s", dir, names[k]);
        unlink(to);
    }
    rmdir(dir);
    tokenizer_free(model);
    tokenizer_free(json);
}

static void test_tinystories(void **state)
{
    (void)state;
    struct tokenizer *t = open_hf(SHARED "/weights/tinystories-656k"), *gguf = load_gguf(SHARED "/weights/tinystories-656k/tinystories-656k.f32.gguf");

    assert_int_equal(tokenizer_size(t), tokenizer_size(gguf));
    assert_int_equal(tokenizer_bos(t), tokenizer_bos(gguf));
    assert_int_equal(tokenizer_eos(t), tokenizer_eos(gguf));
    assert_true(tokenizer_adds_bos(t) && !tokenizer_adds_eos(t));
    assert_same_lines(t, gguf, SHARED "/eval/wikitext-2-test.txt");
    assert_same_lines(t, gguf, SHARED "/eval/tinystories_sample.txt");
    tokenizer_free(gguf);
    tokenizer_free(t);
}

/* ---- small vocabularies ---- */

/* Writes dir/name; with HF_CORPUS also a seed of the fuzz target. */
static void put_file(const char *dir, const char *name, const char *target, const char *seed, const void *p, size_t n)
{
    char path[256];
    ilab_err e = { 0 };

    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(file_write(path, p, n, &e), 0);
    if (!getenv("HF_CORPUS"))
        return;
    snprintf(path, sizeof path, "%s/%s", getenv("HF_CORPUS"), target);
    assert_int_equal(dir_make(path, &e), 0);
    snprintf(path, sizeof path, "%s/%s/%s", getenv("HF_CORPUS"), target, seed);
    assert_int_equal(file_write(path, p, n, &e), 0);
}

static struct tokenizer *open_json(const char *seed, const char *json, const char *config, ilab_err *e)
{
    char dir[] = "/tmp/ilab-hf-XXXXXX", path[64];
    struct tokenizer *t = NULL;

    assert_non_null(mkdtemp(dir));
    put_file(dir, "tokenizer.json", "tokenizer_json", seed, json, strlen(json));
    if (config)
        put_file(dir, "tokenizer_config.json", "tokenizer_json", "config", config, strlen(config));
    int rc = tokenizer_open_hf(&t, dir, e);
    assert_true(rc ? !t && e->msg[0] : t != NULL);
    snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    unlink(path);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", dir);
    unlink(path);
    rmdir(dir);
    return t;
}

#define BYTE_VOCAB "\"a\":0,\"b\":1,\"c\":2,\"\xc4\xa0\":3,\"1\":4,\"\xc4\xa0" "a\":5,\"ab\":6,\"bc\":7,\"abc\":8,\"\xc3\xa9\":9,\"\xc3\x83\":10,\"\xc2\xa9\":11"
static const char byte_bpe[] =
    "{\"added_tokens\":[{\"id\":12,\"content\":\"<s>\",\"special\":true},{\"id\":14,\"content\":\"<user>\",\"special\":false,\"rstrip\":true}],"
    "\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},"
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}]},\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]},"
    "\"model\":{\"type\":\"BPE\",\"ignore_merges\":false,\"vocab\":{" BYTE_VOCAB "},\"merges\":[\"\xc4\xa0 a\",[\"b\",\"c\"],\"a b\",\"a bc\"]}}";

static void test_byte_level(void **state)
{
    (void)state;
    ilab_err e = { 0 };
    struct tokenizer *t = open_json("bpe", byte_bpe, "{\"model_max_length\": 1000000000000000019884624838656, \"eos_token\": {\"content\": \"<s>\"}, "
                                                     "\"chat_template\": [{\"name\": \"rag\", \"template\": \"x\"}, {\"name\": \"default\", \"template\": \"<|im_start|>\"}]}", &e);
    assert_non_null(t);
    assert_string_equal(t->pre_name, "refact"); /* digits apart, then GPT-2's: the first row of that meaning */
    assert_int_equal(tokenizer_size(t), 15);
    assert_int_equal(tokenizer_kind(t, 13), TOKEN_UNUSED); /* a hole */
    assert_int_equal(tokenizer_bos(t), 12);
    assert_int_equal(tokenizer_eos(t), 12);
    assert_ids(t, "abc ab11", TOKEN_ADD_BOS, "12 8 5 1 4 4");
    assert_ids(t, "<s>a<user>  b", 0, "0 14 1"); /* the rest of "<s>" is not in this vocabulary */
    assert_ids(t, "a<s>b", TOKEN_PARSE_SPECIAL, "0 12 1");
    assert_string_equal(chat_template_name(chat_template_of(t)), "chatml");
    struct tokenizer *copy = through_gguf(t);
    assert_ids(copy, "abc ab11", TOKEN_ADD_BOS, "12 8 5 1 4 4");
    tokenizer_free(copy);
    tokenizer_free(t);
}

/* Pre-tokenizers as families publish them, and the names that they get in GGUF. */
#define SPLIT(regex, behavior) "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":" behavior "}"
#define ISOLATED "\"Isolated\",\"invert\":false"
#define BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}"
#define SEQUENCE(parts) "{\"type\":\"Sequence\",\"pretokenizers\":[" parts "]}"
#define WORDS(digits) "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" digits "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define U "[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define L "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define TAIL " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"

static void test_names(void **state)
{
    (void)state;
    static const struct { const char *pre, *ignore, *name; } row[] = {
        { "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}", "false", "gpt-2" },
        { SEQUENCE("{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":\"ByteLevel\"}"), "false", "refact" },
        { SEQUENCE(SPLIT(WORDS("\\\\p{N}{1,3}"), ISOLATED) "," BYTES), "true", "llama-bpe" },
        { SEQUENCE(SPLIT(WORDS("\\\\p{N}{1,3}"), "\"Removed\",\"invert\":true") "," BYTES), "false", "dbrx" },
        { SEQUENCE(SPLIT(WORDS("\\\\p{N}"), ISOLATED) "," BYTES), "false", "qwen2" },
        { SEQUENCE(SPLIT("[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" U "*" L "+|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" U "+" L "*|\\\\p{N}|" TAIL, ISOLATED) "," BYTES), "true", "tekken" },
        { SEQUENCE(SPLIT("\\\\p{N}{1,3}", ISOLATED) "," SPLIT("[\\u4e00-\\u9fa5\\u3040-\\u309f\\u30a0-\\u30ff]+", ISOLATED) "," SPLIT(
              "[!\\\"#$%&'()*+,\\\\-./:;<=>?@\\\\[\\\\\\\\\\\\]^_`{|}~][A-Za-z]+|[^\\\\r\\\\n\\\\p{L}\\\\p{P}\\\\p{S}]?[\\\\p{L}\\\\p{M}]+| ?[\\\\p{P}\\\\p{S}]+[\\\\r\\\\n]*"
              "|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+", ISOLATED) "," BYTES), "false", "deepseek-v3" },
        { SEQUENCE(SPLIT("[a-f]+", ISOLATED) "," BYTES), "false", "" },
    };

    for (size_t k = 0; k < ARRAY_LEN(row); k++) {
        struct sb b;
        ilab_err e = { 0 };
        sb_init(&b, LIMIT);
        sb_addf(&b, "{\"pre_tokenizer\":%s,\"model\":{\"type\":\"BPE\",\"ignore_merges\":%s,\"vocab\":{" BYTE_VOCAB "},\"merges\":[\"a b\"]}}", row[k].pre, row[k].ignore);
        char seed[32];
        snprintf(seed, sizeof seed, "pre_%zu", k);
        struct tokenizer *t = open_json(seed, b.p, NULL, &e);
        if (!t)
            fail_msg("%s: %s", row[k].name, e.msg);
        assert_string_equal(t->pre_name, row[k].name);
        struct gguf_writer *w = gguf_writer_new();
        assert_int_equal(tokenizer_to_gguf(t, w, &e), *row[k].name ? 0 : ILAB_E_INVALID);
        gguf_writer_free(w);
        tokenizer_free(t);
        sb_release(&b);
    }
}

/* GPT-2's vocabulary as its tokenizer.json has it. */
static void test_gpt2_json(void **state)
{
    (void)state;
    struct tokenizer *gguf = load_gguf(SHARED "/vocab/ggml-vocab-gpt-2.gguf"), *t = NULL;
    struct hf_facts f = { .n_vocab = -1, .add_bos = -1, .add_eos = -1 };
    struct sb b;
    ilab_err e = { 0 };

    sb_init(&b, LIMIT);
    sb_addc(&b, "{\"added_tokens\":[{\"id\":50256,\"content\":\"<|endoftext|>\",\"special\":true}],\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"vocab\":{");
    for (int i = 0; i < gguf->n; i++) {
        sb_addc(&b, i ? "," : "");
        sb_add_json_str(&b, gguf->text[i]);
        sb_addf(&b, ":%d", i);
    }
    sb_addc(&b, "},\"merges\":[");
    for (int i = 0; i < gguf->n_merge; i++) {
        sb_addc(&b, i ? "," : "");
        sb_add_json_str(&b, gguf->merge[i]);
    }
    sb_addc(&b, "]}}");
    json_t *root = json_parse_unique((struct sv){ b.p, b.n }, "made", &e);
    if (!root || tokenizer_from_hf_json(&t, root, &f, &e))
        fail_msg("%s", e.msg);
    json_decref(root);
    assert_string_equal(t->pre_name, "gpt-2");
    assert_int_equal(t->n_merge, gguf->n_merge);
    assert_same_lines(t, gguf, SHARED "/eval/wikitext-2-test.txt");
    sb_release(&b);
    tokenizer_free(t);
    tokenizer_free(gguf);
}

/* ▁ in the vocabulary: SentencePiece BPE, scores from the order of merges. */
static void test_sentence_bpe(void **state)
{
    (void)state;
    static const char json[] =
        "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true}],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["
        "{\"type\":\"Prepend\",\"prepend\":\"" MARK "\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}]},\"pre_tokenizer\":null,"
        "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"byte_fallback\":true,\"vocab\":{\"<unk>\":0,\"" MARK "\":1,\"a\":2,\"b\":3,\"ab\":4,\"" MARK "a\":5,"
        "\"ba\":6,\"<0xC3>\":7,\"<0xA9>\":8},\"merges\":[\"a b\",\"" MARK " a\",\"b a\"]}}";
    ilab_err e = { 0 };
    struct tokenizer *t = open_json("sentence", json, NULL, &e);

    assert_non_null(t);
    assert_ids(t, "ab aba", 0, "1 4 1 4 2");      /* "a b" comes before "▁ a" */
    assert_ids(t, "a\xc3\xa9x", 0, "5 7 8 0");      /* bytes; an unknown one */
    assert_int_equal(t->unknown, 0);
    tokenizer_free(t);
}

static const char unigram[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true}],\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Replace\","
    "\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\" \"}]},\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\",\"prepend_scheme\":\"always\"},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"</s>\"}}]},"
    "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":false,\"vocab\":[[\"<unk>\",0],[\"</s>\",0],[\"" MARK "\",-2.0],[\"a\",-3],[\"b\",-3.5],[\"ab\",-6],"
    "[\"aab\",-12],[\"" MARK "a\",-4.5]]}}";

static void test_unigram(void **state)
{
    (void)state;
    ilab_err e = { 0 };
    struct tokenizer *t = open_json("unigram", unigram, NULL, &e);

    assert_non_null(t);
    /* ▁aab: ▁a(-4.5) ab(-6) = -10.5; ▁ aab = -14; ▁ a ab = -11 */
    assert_ids(t, "aab", TOKEN_ADD_EOS, "7 5 1");
    assert_ids(t, "  b   xyz ", 0, "2 4 2 0");      /* spaces folded; one unknown token for a run */
    assert_ids(t, "", TOKEN_ADD_EOS | TOKEN_ADD_BOS, "1");
    assert_true(tokenizer_adds_eos(t) && !tokenizer_adds_bos(t));
    struct tokenizer *copy = through_gguf(t);
    assert_ids(copy, "  b   xyz ", TOKEN_ADD_EOS, "2 4 2 0 1");
    tokenizer_free(copy);
    tokenizer_free(t);
}

static const char wordpiece[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"[PAD]\"},{\"id\":1,\"content\":\"[UNK]\"},{\"id\":2,\"content\":\"[CLS]\"},{\"id\":3,\"content\":\"[SEP]\"}],"
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":true,\"strip_accents\":null},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"[CLS]\"}},{\"Sequence\":{\"id\":\"A\"}},{\"SpecialToken\":{\"id\":\"[SEP]\"}}]},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"vocab\":{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"play\":4,\"##ing\":5,\"##in\":6,\"cafe\":7,"
    "\".\":8,\"\xe4\xb8\xad\":9,\"##s\":10,\"s\":11}}}";

static void test_wordpiece(void **state)
{
    (void)state;
    ilab_err e = { 0 };
    struct tokenizer *t = open_json("wordpiece", wordpiece, NULL, &e);
    struct sb b;
    struct ids l = { 0 };

    assert_non_null(t);
    assert_ids(t, "Playing caf\xc3\xa9s.", TOKEN_ADD_BOS | TOKEN_ADD_EOS, "2 4 5 7 10 8 3");
    assert_ids(t, "play\x01s\tplayx\xe4\xb8\xad" "s CAFE\xcc\x81", 0, "4 10 1 9 11 7"); /* control characters vanish; no rest: unknown; CJK alone */
    assert_int_equal(tokenizer_encode(t, SV("playing cafes"), 0, &l, NULL), 0);
    sb_init(&b, LIMIT);
    tokenizer_decode(t, l.v, l.n, 0, &b);
    assert_string_equal(b.p, "playing cafes");
    struct tokenizer *copy = through_gguf(t);
    assert_ids(copy, "Playing caf\xc3\xa9s.", TOKEN_ADD_BOS | TOKEN_ADD_EOS, "2 4 5 7 10 8 3");
    tokenizer_free(copy);
    sb_release(&b);
    ids_release(&l);
    tokenizer_free(t);
}

/* ---- SentencePiece models, by our own bytes and by spm_train's ---- */

static void put_varint(struct sb *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        sb_addch(b, (char)(v | 0x80));
    sb_addch(b, (char)v);
}

static void put_bytes(struct sb *b, int field, const void *p, size_t n)
{
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, n);
    sb_add(b, (struct sv){ p, n });
}

static void put_piece(struct sb *b, const char *text, float score, int kind)
{
    struct sb piece;

    sb_init(&piece, LIMIT);
    put_bytes(&piece, 1, text, strlen(text));
    put_varint(&piece, 2 << 3 | 5);
    sb_add(&piece, (struct sv){ (const char *)&score, 4 });
    put_varint(&piece, 3 << 3);
    put_varint(&piece, (uint64_t)kind);
    put_bytes(b, 1, piece.p, piece.n);
    sb_release(&piece);
}

static void make_model(struct sb *b, int type)
{
    static const char *const text[] = { "<unk>", "<s>", "</s>", MARK, "a", "b", "ab", MARK "ab", MARK MARK };
    static const int kind[] = { 2, 3, 3, 1, 1, 1, 1, 1, 4 };
    char trainer[] = { 3 << 3, (char)type }, normalizer[] = { 3 << 3, 1, 4 << 3, 0 };

    for (size_t k = 0; k < ARRAY_LEN(text); k++)
        put_piece(b, text[k], -(float)k, kind[k]);
    put_bytes(b, 2, trainer, sizeof trainer);
    put_bytes(b, 3, normalizer, sizeof normalizer);
}

static void test_spm_model(void **state)
{
    (void)state;
    for (int type = 1; type <= 2; type++) {
        char dir[] = "/tmp/ilab-hf-XXXXXX", path[64];
        struct sb b;
        sb_init(&b, LIMIT);
        make_model(&b, type);
        assert_non_null(mkdtemp(dir));
        put_file(dir, "tokenizer.model", "tokenizer_model", type == 1 ? "unigram" : "bpe", b.p, b.n);
        struct tokenizer *t = open_hf(dir);
        assert_int_equal(t->model, type == 1 ? VOCAB_UNIGRAM : VOCAB_SPM);
        assert_ids(t, "ab ab", 0, "7 7");
        assert_ids(t, "ab  b", 0, "7 8 3 5"); /* two spaces are a user-defined token; behind it the prefix comes again */
        tokenizer_free(t);
        snprintf(path, sizeof path, "%s/tokenizer.model", dir);
        for (size_t n = 0; n < b.n; n++) { /* every shorter file is an error or a smaller vocabulary, never more */
            ilab_err e = { 0 };
            struct hf_facts f = { .n_vocab = -1, .add_bos = -1, .add_eos = -1 };
            int rc = tokenizer_from_spm_model(&t, (const uint8_t *)b.p, n, &f, &e);
            assert_true(rc ? !t && e.msg[0] : t != NULL);
            tokenizer_free(t);
        }
        unlink(path);
        rmdir(dir);
        sb_release(&b);
    }
}

/* Unigram: sentencepiece adds scores as floats, so which of two equally good segmentations it takes is a matter of rounding. */
static int as_good(const struct tokenizer *t, struct sv want, const struct ids *l)
{
    double sum = 0;
    struct sv word;
    int64_t id;

    for (size_t i = 0; i < l->n; i++)
        sum += (double)t->score[l->v[i]];
    while (sv_split(&want, ' ', &word)) {
        char digits[16];
        snprintf(digits, sizeof digits, "%.*s", SV_ARG(word));
        assert_int_equal(parse_i64(digits, 0, t->n - 1, &id), 0);
        sum -= (double)t->score[id];
    }
    return t->model == VOCAB_UNIGRAM && sum < 1e-3 && sum > -1e-3;
}

static void spm_lines(const char *type, const char *rule, const char *fallback)
{
    char dir[] = "/tmp/ilab-spm-XXXXXX", option[5][128], path[128], *out = NULL, *text;
    int status = -1, bad = 0;
    size_t n;
    struct sb all, have;
    struct sv line, want;
    ilab_err e = { 0 };

    need(SHARED "/taxonomy/unibi/unibi.md");
    assert_non_null(mkdtemp(dir));
    snprintf(option[0], sizeof option[0], "--model_prefix=%s/tokenizer", dir);
    snprintf(option[1], sizeof option[1], "--model_type=%s", type);
    snprintf(option[2], sizeof option[2], "--normalization_rule_name=%s", rule);
    snprintf(option[3], sizeof option[3], "--byte_fallback=%s", fallback);
    const char *const train[] = { "spm_train", "--input=" SHARED "/taxonomy/unibi/unibi.md", "--vocab_size=600", option[0], option[1], option[2], option[3], NULL };
    if (child_run(train, NULL, LIMIT, NULL, NULL, NULL, &status, &e) || status) {
        rmdir(dir);
        print_message("skipped: spm_train does not run\n");
        skip();
    }
    struct tokenizer *t = open_hf(dir);
    sb_init(&all, LIMIT);
    sb_init(&have, LIMIT);
    assert_int_equal(file_read(SHARED "/taxonomy/unibi/unibi.md", LIMIT, &text, &n, &e), 0);
    sb_add(&all, (struct sv){ text, n });
    sb_addc(&all, "\n  \xef\xbc\xa1\xef\xbd\x82  \xe2\x85\xa7\xc2\xbd\xe2\x84\xab  \xe3\x8d\xbb \xef\xac\x81ne \t x\xcc\x81\xcc\xa7 \xf0\x9f\x98\x80\xe3\x80\x80" "end \n"); /* NFKC has work here */
    mem_free(text);
    snprintf(path, sizeof path, "%s/text", dir);
    assert_int_equal(file_write(path, all.p, all.n, &e), 0);
    snprintf(option[4], sizeof option[4], "--model=%s/tokenizer.model", dir);
    const char *const encode[] = { "spm_encode", option[4], "--output_format=id", path, NULL };
    assert_int_equal(child_run(encode, NULL, LIMIT, &out, NULL, NULL, &status, &e), 0);
    struct sv rest = { all.p, all.n }, theirs = sv_of(out);
    while (sv_split(&rest, '\n', &line) && sv_split(&theirs, '\n', &want)) {
        struct ids l = { 0 };
        assert_int_equal(tokenizer_encode(t, line, 0, &l, NULL), 0);
        sb_reset(&have);
        for (size_t i = 0; i < l.n; i++)
            sb_addf(&have, i ? " %d" : "%d", l.v[i]);
        if (!sv_eq((struct sv){ have.p, have.n }, want) && !as_good(t, want, &l) && bad++ < 3)
            print_error("%s %s '%.*s'\n  want %.*s\n  have %s\n", type, rule, SV_ARG(line), SV_ARG(want), have.p);
        ids_release(&l);
    }
    mem_free(out);
    sb_release(&all);
    sb_release(&have);
    tokenizer_free(t);
    const char *const clean[] = { "rm", "-r", dir, NULL };
    child_run(clean, NULL, LIMIT, NULL, NULL, NULL, &status, &e);
    assert_int_equal(bad, 0);
}

/* spm_train's model of a text, and spm_encode's ids for it. */
static void test_spm_train(void **state)
{
    (void)state;
    spm_lines("bpe", "nmt_nfkc", "false");
    spm_lines("bpe", "identity", "true");
    spm_lines("unigram", "nmt_nfkc_cf", "false");
    spm_lines("unigram", "identity", "true");
}

/* ---- damaged files ---- */

/* One fault each: what is replaced in a sound file, by what, and what the message names. */
static void test_damaged(void **state)
{
    (void)state;
    static const struct { const char *in, *from, *to, *says; } row[] = {
        { byte_bpe, "\"abc\":8", "\"abc\":7", "same id 7" },
        { byte_bpe, "\"abc\":8", "\"abc\":-1", "id -1" },
        { byte_bpe, "\"abc\":8", "\"abc\":99999999", "id 99999999" },
        { byte_bpe, "\"abc\":8", "\"abc\":\"8\"", "no whole number" },
        { byte_bpe, "\"id\":12", "\"id\":16777216", "id 16777216" },
        { byte_bpe, "\"id\":12,", "", "id -1" },
        { byte_bpe, "\"content\":\"<s>\"", "\"content\":5", "added token 0" },
        { byte_bpe, "\"merges\":[", "\"mergers\":[", "merges is missing" },
        { byte_bpe, "[\"b\",\"c\"]", "[\"b\",\"c\",\"d\"]", "merge 1" },
        { byte_bpe, "\"a b\"", "\"ab\"", "merge 2" },
        { byte_bpe, "\"type\":\"BPE\"", "\"type\":\"WordLevel\"", "'WordLevel'" },
        { byte_bpe, "\"type\":\"Digits\"", "\"type\":\"Unheard\"", "'Unheard'" },
        { byte_bpe, "\"type\":\"NFC\"", "\"type\":\"Lowercase\"", "'Lowercase'" },
        { byte_bpe, "\"add_prefix_space\":false", "\"add_prefix_space\":true", "add_prefix_space" },
        { byte_bpe, "\"vocab\":{", "\"voc\":{", "vocab is missing" },
        { byte_bpe, "\"vocab\":{", "\"vocab\":{}, \"v\":{", "vocab is missing, empty" },
        { byte_bpe, "\"id\":12,\"content\":\"<s>\"", "\"id\":12,\"content\":\"a\"", "two ids" },
        { unigram, "[\"a\",-3]", "[\"a\"]", "piece 3" },
        { unigram, "\"unk_id\":0", "\"unk_id\":8", "unk_id 8" },
        { unigram, "\"type\":\"Metaspace\"", "\"type\":5", "without type" },
        { wordpiece, "\"##in\":6", "\"##in\":5", "same id 5" },
        { wordpiece, "}}}", "}}", "tokenizer.json:1:" },
    };

    for (size_t k = 0; k < ARRAY_LEN(row); k++) {
        const char *at = strstr(row[k].in, row[k].from);
        struct sb b;
        char seed[32];
        ilab_err e = { 0 };
        assert_non_null(at);
        sb_init(&b, LIMIT);
        sb_add(&b, (struct sv){ row[k].in, (size_t)(at - row[k].in) });
        sb_addc(&b, row[k].to);
        sb_addc(&b, at + strlen(row[k].from));
        snprintf(seed, sizeof seed, "bad_%02zu", k);
        struct tokenizer *t = open_json(seed, b.p, NULL, &e);
        if (t || !strstr(e.msg, row[k].says))
            fail_msg("row %zu (%s): '%s'", k, row[k].says, t ? "taken" : e.msg);
        sb_release(&b);
    }
    ilab_err e = { 0 };
    struct tokenizer *t;
    assert_int_equal(tokenizer_open_hf(&t, "/nonexistent", &e), ILAB_E_NOTFOUND);
    assert_int_equal(tokenizer_open_hf(&t, "tests/unit", &e), ILAB_E_NOTFOUND);
    assert_non_null(strstr(e.msg, "neither tokenizer.json nor tokenizer.model"));
}

/* ---- no memory ---- */

static int json_job(void *ud, ilab_err *e)
{
    struct hf_facts f = { .n_vocab = 20, .add_bos = -1, .add_eos = -1 };
    struct tokenizer *t = NULL;
    json_t *root = json_parse_unique(sv_of(ud), "input", e);
    struct ids l = { 0 };

    if (!root)
        return e->code;
    int rc = tokenizer_from_hf_json(&t, root, &f, e);
    json_decref(root);
    if (!rc)
        rc = tokenizer_encode(t, SV("ab  abc \xc3\xa9x playing<s>"), TOKEN_PARSE_SPECIAL | TOKEN_ADD_BOS | TOKEN_ADD_EOS, &l, e);
    ids_release(&l);
    tokenizer_free(t);
    return rc;
}

static int model_job(void *ud, ilab_err *e)
{
    struct hf_facts f = { .n_vocab = -1, .add_bos = -1, .add_eos = -1 };
    struct tokenizer *t = NULL;
    const struct sb *b = ud;
    int rc = tokenizer_from_spm_model(&t, (const uint8_t *)b->p, b->n, &f, e);

    tokenizer_free(t);
    return rc;
}

static void test_no_memory(void **state)
{
    (void)state;
    static const char *const json[] = { byte_bpe, unigram, wordpiece };
    ilab_err e = { 0 };
    struct sb b;

    for (size_t k = 0; k < ARRAY_LEN(json); k++)
        if (oom_loop(json_job, (void *)(uintptr_t)json[k], &e))
            fail_msg("%zu: %s", k, e.msg);
    sb_init(&b, LIMIT);
    make_model(&b, 1);
    if (oom_loop(model_job, &b, &e))
        fail_msg("%s", e.msg);
    sb_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_granite),    cmocka_unit_test(test_granite_model), cmocka_unit_test(test_tinystories), cmocka_unit_test(test_byte_level),
        cmocka_unit_test(test_names),      cmocka_unit_test(test_gpt2_json),
        cmocka_unit_test(test_sentence_bpe), cmocka_unit_test(test_unigram),     cmocka_unit_test(test_wordpiece),   cmocka_unit_test(test_spm_model),
        cmocka_unit_test(test_spm_train),  cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
