/* test_token_train.c — training a vocabulary, and conversations as ids.
 *
 * The vocabularies of test_seeds are the seeds of the fuzz target. To write them anew:
 *   TOKENIZER_CORPUS=tests/fuzz/corpus/tokenizer build/unit/test_token_train
 * Oracles: a naive trainer that counts every pair anew for every merge; python3-jinja2 for the templates
 * (skipped when it is not installed).  SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"
#include "token/token_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT ((size_t)1 << 28)

static const char *const specials[] = {
    "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>",
    "<|end_header_id|>", "<|eot_id|>", "<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>", "<|end|>", "<start_of_turn>", "<end_of_turn>",
    "<|im_sep|>",
};

/* Sentences over a few words, so that merges have something to find. */
static void add_text(struct sb *b, size_t n, uint64_t seed)
{
    static const char *const words[] = { "the", "university", "of", "Bielefeld", "founded", "in", "1969", "has", "24255", "students", "a", "there",
                                         "then", "chancellor", "m\xc3\xbc" "nster", "these", "aaaa", "aaaaaaa", "haha", "...", "\n", "it's" };
    struct rng r;

    rng_seed(&r, seed);
    while (b->n < n) {
        uint32_t k = rng_below(&r, ARRAY_LEN(words) * 4);
        sb_addc(b, rng_below(&r, 50) ? " " : "<|endoftext|>");
        if (k < ARRAY_LEN(words))
            sb_addc(b, words[k]);
        else
            for (uint32_t c = 1 + rng_below(&r, 6); c > 0; c--)
                sb_addch(b, "etaoinsh"[rng_below(&r, 1 + rng_below(&r, 8))]);
    }
}

static struct tokenizer *train(struct sv text, int n_vocab)
{
    struct tokenizer *t = NULL;
    ilab_err e = { 0 };

    if (bpe_train(&t, text, n_vocab, specials, ARRAY_LEN(specials), "smollm", &e))
        fail_msg("%s", e.msg);
    return t;
}

static void assert_round_trip(const struct tokenizer *t, struct sv text, int flags)
{
    struct ids l = { 0 };
    struct sb back;

    assert_int_equal(tokenizer_encode(t, text, flags, &l, NULL), 0);
    sb_init(&back, LIMIT);
    tokenizer_decode(t, l.v, l.n, 1, &back);
    assert_int_equal(back.n, text.n);
    if (text.n)
        assert_memory_equal(back.p, text.p, text.n);
    sb_release(&back);
    ids_release(&l);
}

static void test_train(void **state)
{
    (void)state;
    struct sb b, random;
    struct rng r;

    rng_seed(&r, 11);
    sb_init(&b, LIMIT);
    sb_init(&random, LIMIT);
    add_text(&b, 60000, 1);
    struct tokenizer *t = train((struct sv){ b.p, b.n }, 700), *again = train((struct sv){ b.p, b.n }, 700);
    const int n_special = ARRAY_LEN(specials);
    assert_int_equal(tokenizer_size(t), 700);
    for (int i = 0; i < n_special; i++)
        assert_int_equal(tokenizer_find(t, specials[i]), i);
    assert_string_equal(t->text[n_special + 'a'].p[0] == 'a' ? "a" : "", "a");
    assert_int_equal(t->n_merge, again->n_merge);
    for (int i = 0; i < 700; i++)
        assert_true(sv_eq(t->text[i], again->text[i]));
    for (int i = n_special + 256; i < 700; i++) { /* one word each: no space inside, digits single */
        struct sv p = t->piece[i];
        for (size_t k = 0; k < p.n; k++) {
            assert_true(p.p[k] != ' ' || k == 0 || sv_trim(p).n == 0);
            assert_true(p.p[k] < '0' || p.p[k] > '9');
        }
    }
    assert_round_trip(t, (struct sv){ b.p, b.n }, TOKEN_PARSE_SPECIAL);
    assert_round_trip(t, (struct sv){ b.p, b.n }, 0);
    for (int k = 0; k < 200; k++) {
        sb_reset(&random);
        for (uint32_t n = rng_below(&r, 300); n > 0; n--)
            sb_addch(&random, (char)rng_below(&r, 256));
        assert_round_trip(t, (struct sv){ random.p, random.n }, TOKEN_PARSE_SPECIAL);
    }
    struct ids l = { 0 };
    assert_int_equal(tokenizer_encode(t, SV(" university<|endoftext|>"), TOKEN_PARSE_SPECIAL, &l, NULL), 0);
    assert_int_equal(l.n, 2);
    assert_int_equal(l.v[1], tokenizer_eos(t));
    assert_true(tokenizer_is_end(t, l.v[1]));
    ids_release(&l);
    tokenizer_free(t);
    tokenizer_free(again);
    sb_release(&b);
    sb_release(&random);
}

/* ---- the naive trainer ---- */

enum { NAIVE_MAX = 1 << 14 };
struct naive { int32_t sym[NAIVE_MAX]; int n; struct sv text[1024]; char buf[1 << 16]; size_t n_buf; int n_token; };

/* One pass: counts all pairs (symbol -1 parts words), returns the most frequent, lowest ids first. */
static int naive_best(const struct naive *v, int32_t best[2])
{
    static int count[1024][1024];
    int top = 0;

    memset(count, 0, sizeof count);
    for (int i = 0; i + 1 < v->n; i++)
        if (v->sym[i] >= 0 && v->sym[i + 1] >= 0)
            count[v->sym[i]][v->sym[i + 1]]++;
    for (int a = 0; a < v->n_token; a++)
        for (int b = 0; b < v->n_token; b++)
            if (count[a][b] > top) {
                top = count[a][b];
                best[0] = a;
                best[1] = b;
            }
    return top;
}

static void test_train_is_naive(void **state)
{
    (void)state;
    static struct naive v;
    struct tokenizer *t;
    struct sb b;
    ilab_err e = { 0 };
    int32_t best[2] = { 0 };
    struct pretok *pre = NULL;
    struct pretok_at at = { 0 };

    sb_init(&b, LIMIT);
    add_text(&b, 6000, 2);
    char *cut; /* plain text only: special tokens are the other test's matter */
    while ((cut = strstr(b.p, "<|endoftext|>")))
        memset(cut, ' ', 13);
    struct sv text = { b.p, b.n };
    assert_int_equal(pretok_new_row(&pre, pretok_find(SV("smollm")), &e), 0);
    for (size_t i = 0, end; i < text.n; i = end) {
        end = pretok_next(pre, &at, text, i);
        for (size_t k = i; k < end; k++)
            v.sym[v.n++] = (uint8_t)text.p[k];
        v.sym[v.n++] = -1;
    }
    pretok_free(pre);
    assert_int_equal(bpe_train(&t, text, 500, NULL, 0, "smollm", &e), 0);
    for (v.n_token = 0; v.n_token < 256; v.n_token++)
        v.text[v.n_token] = t->piece[v.n_token];
    for (int m = 0; m < t->n_merge; m++) {
        assert_true(naive_best(&v, best) > 0);
        struct sv left = v.text[best[0]], right = v.text[best[1]];
        char *p = v.buf + v.n_buf;
        memcpy(p, left.p, left.n);
        memcpy(p + left.n, right.p, right.n);
        struct sv joined = { p, left.n + right.n };
        v.n_buf += joined.n;
        int made = 0;
        while (made < v.n_token && !sv_eq(v.text[made], joined))
            made++;
        if (made == v.n_token) {
            v.text[v.n_token++] = joined;
            assert_true(sv_eq(t->piece[made], joined));
        }
        int n = 0;
        for (int i = 0; i < v.n; i++)
            if (i + 1 < v.n && v.sym[i] == best[0] && v.sym[i + 1] == best[1]) {
                v.sym[n++] = made;
                i++;
            } else
                v.sym[n++] = v.sym[i];
        v.n = n;
    }
    assert_int_equal(v.n_token, 500);
    tokenizer_free(t);
    sb_release(&b);
}

static void test_train_edges(void **state)
{
    (void)state;
    struct tokenizer *t = NULL;
    ilab_err e = { 0 };
    static const char *const twice[] = { "<a>", "<a>" }, *const byte[] = { "a" };
    char *run = mem_alloc(100000);

    assert_int_equal(bpe_train(&t, SV("x"), 255, NULL, 0, "gpt2", &e), ILAB_E_INVALID);
    assert_int_equal(bpe_train(&t, SV("x"), 300, twice, 2, "gpt2", &e), ILAB_E_INVALID);
    assert_int_equal(bpe_train(&t, SV("x"), 300, byte, 1, "gpt2", &e), ILAB_E_INVALID);
    assert_int_equal(bpe_train(&t, SV("x"), 300, NULL, 0, "none", &e), ILAB_E_INVALID);
    assert_null(t);
    assert_int_equal(bpe_train(&t, SV(""), 300, NULL, 0, "gpt2", &e), 0); /* nothing to merge */
    assert_int_equal(tokenizer_size(t), 256);
    assert_int_equal(tokenizer_bos(t), -1);
    tokenizer_free(t);
    memset(run, 'a', 100000); /* a word over the cap; overlapping pairs */
    assert_int_equal(bpe_train(&t, (struct sv){ run, 100000 }, 300, NULL, 0, "gpt2", &e), 0);
    assert_round_trip(t, (struct sv){ run, 100000 }, 0);
    for (int i = 0; i < tokenizer_size(t); i++)
        assert_true(t->piece[i].n <= 64);
    tokenizer_free(t);
    mem_free(run);
    for (long k = 1; k < 120; k += 1) { /* each failing allocation is reported, nothing leaks */
        mem_fail_at = k;
        int rc = bpe_train(&t, SV("ab ab abc abcd"), 262, NULL, 0, "gpt2", &e);
        mem_fail_at = -1;
        assert_true(rc == 0 || rc == ILAB_E_NOMEM);
        tokenizer_free(t);
    }
}

/* ---- conversations ---- */

static const char *const families[] = { "granite", "granite3", "chatml", "llama2", "llama3", "mistral", "zephyr", "phi3",
                                      "phi4", "qwen2.5", "qwen2", "qwen2-0", "smollm2", "gemma", "mistral-v3", "mistral-v3-tekken", "mistral-v7",
                                      "mistral-v7-tekken", "olmo2", "granite-code", "phi3-small", "deepseek" };

static const struct chat_message talk[] = {
    { "system", { "Be brief.", 9 } }, { "user", { "Who is it?", 10 } }, { "assistant", { "It's <|user|> 42.", 17 } },
    { "user", { " And\nnow? ", 10 } },   { "assistant", { "Nobody", 6 } },
};

static struct tokenizer *chat_tokenizer(void)
{
    struct sb b;

    sb_init(&b, LIMIT);
    add_text(&b, 20000, 4);
    struct tokenizer *t = train((struct sv){ b.p, b.n }, 500);
    sb_release(&b);
    return t;
}

static char *chat_text(const struct tokenizer *t, const char *family, const struct chat_message *m, int n, int add_prompt, struct chat_ids *out)
{
    struct sb b;
    ilab_err e = { 0 };

    if (chat_encode(t, chat_template_named(family), m, n, add_prompt, out, &e))
        fail_msg("%s: %s", family, e.msg);
    assert_int_equal(out->ids.n, out->mask_n);
    sb_init(&b, LIMIT);
    tokenizer_decode(t, out->ids.v, out->ids.n, 1, &b);
    return sb_take(&b, NULL);
}

static void test_granite(void **state)
{
    (void)state;
    struct tokenizer *t = chat_tokenizer();
    struct chat_ids c = { 0 };
    struct sb learned;

    char *text = chat_text(t, "granite", talk, 3, 0, &c);
    assert_string_equal(text, "<s><|system|>\nBe brief.\n<|user|>\nWho is it?\n<|assistant|>\nIt's <|user|> 42.<|endoftext|>");
    sb_init(&learned, LIMIT);
    int n_user = 0;
    for (size_t i = 0; i < c.ids.n; i++) {
        n_user += c.ids.v[i] == tokenizer_find(t, "<|user|>");
        if (c.mask[i])
            tokenizer_piece(t, c.ids.v[i], 1, &learned);
    }
    assert_string_equal(learned.p, "It's <|user|> 42.<|endoftext|>");
    assert_int_equal(n_user, 1); /* content does not open a turn */
    assert_int_equal(c.mask[c.ids.n - 1], 1);
    mem_free(text);
    text = chat_text(t, "granite", talk + 1, 1, 1, &c);
    assert_string_equal(text, "<s><|user|>\nWho is it?\n<|assistant|>\n");
    for (size_t i = 0; i < c.ids.n; i++)
        assert_int_equal(c.mask[i], 0);
    mem_free(text);
    ilab_err e = { 0 };
    struct chat_message odd = { "wizard", { "x", 1 } };
    assert_int_equal(chat_encode(t, chat_template_named("granite"), &odd, 1, 0, &c, &e), ILAB_E_INVALID);
    assert_non_null(strstr(e.msg, "'wizard'"));
    assert_int_equal(c.ids.n, 0);
    chat_ids_release(&c);
    sb_release(&learned);
    tokenizer_free(t);
}

/* What inference asks with is what training showed: the ids of a prompt begin the ids of the conversation. */
static void test_prompt_is_prefix(void **state)
{
    (void)state;
    struct tokenizer *t = chat_tokenizer();

    for (size_t f = 0; f < ARRAY_LEN(families); f++)
        for (int n = 2; n <= 4; n += 2) {
            struct chat_ids whole = { 0 }, prompt = { 0 };
            mem_free(chat_text(t, families[f], talk, n + 1, 0, &whole));
            mem_free(chat_text(t, families[f], talk, n, 1, &prompt));
            assert_true(prompt.ids.n < whole.ids.n);
            assert_memory_equal(prompt.ids.v, whole.ids.v, prompt.ids.n * sizeof *prompt.ids.v);
            assert_int_equal(whole.mask[prompt.ids.n], 1);
            assert_int_equal(whole.mask[prompt.ids.n - 1], 0);
            chat_ids_release(&whole);
            chat_ids_release(&prompt);
        }
    tokenizer_free(t);
}

static void test_jinja(void **state)
{
    (void)state;
    static const char script[] =
        "import sys, json, jinja2\n"
        "for line in open(sys.argv[1]):\n"
        "    j = json.loads(line)\n"
        "    t = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(j['jinja'])\n"
        "    s = t.render(messages=j['messages'], add_generation_prompt=j['prompt'], bos_token='<s>', eos_token='<|endoftext|>')\n"
        "    if not s.startswith('<s>'): s = '<s>' + s\n" /* this vocabulary adds BOS by itself */
        "    if s != j['text']: sys.exit('%s\\nwant %r\\nhave %r' % (j['jinja'], s, j['text']))\n"
        "print('same')\n";
    struct tokenizer *t = chat_tokenizer();
    struct chat_ids c = { 0 };
    struct sb lines;
    char path[] = "/tmp/ilab-jinja-XXXXXX", *out = NULL, *err = NULL;
    int status = -1;
    ilab_err e = { 0 };

    assert_int_equal(tokenizer_bos(t), tokenizer_find(t, "<s>"));
    assert_int_equal(tokenizer_eos(t), tokenizer_find(t, "<|endoftext|>"));
    sb_init(&lines, LIMIT);
    for (size_t f = 0; f < ARRAY_LEN(families); f++)
        for (int first = 0; first < 2; first++)
            for (int n = 1; n + first <= 5; n++) {
                int prompt = !strcmp(talk[first + n - 1].role, "user");
                char *text = chat_text(t, families[f], talk + first, n, prompt, &c);
                sb_addc(&lines, "{\"jinja\":");
                sb_add_json_str(&lines, sv_of(chat_template_jinja(chat_template_named(families[f]))));
                sb_addf(&lines, ",\"prompt\":%s,\"text\":", prompt ? "true" : "false");
                sb_add_json_str(&lines, sv_of(text));
                sb_addc(&lines, ",\"messages\":[");
                for (int k = first; k < first + n; k++) {
                    sb_addf(&lines, "%s{\"role\":\"%s\",\"content\":", k > first ? "," : "", talk[k].role);
                    sb_add_json_str(&lines, talk[k].content);
                    sb_addch(&lines, '}');
                }
                sb_addc(&lines, "]}\n");
                mem_free(text);
            }
    close(mkstemp(path));
    assert_int_equal(file_write(path, lines.p, lines.n, &e), 0);
    const char *const argv[] = { "python3", "-c", script, path, NULL };
    int rc = child_run(argv, NULL, LIMIT, &out, NULL, &err, &status, &e);
    unlink(path);
    int missing = rc || (err && strstr(err, "No module named"));
    if (!missing && (status || strcmp(out, "same\n")))
        fail_msg("%s", err);
    mem_free(out);
    mem_free(err);
    sb_release(&lines);
    chat_ids_release(&c);
    tokenizer_free(t);
    if (missing) {
        print_message("skipped: python3 with jinja2 is missing\n");
        skip();
    }
}

/* Piecewise encoding gives the ids that the conversation's text has as a whole. */
static void check_whole(const struct tokenizer *t, const char *family)
{
    static const struct chat_message plain[] = {
        { "system", { "Be brief.", 9 } }, { "user", { "Who is it?", 10 } }, { "assistant", { "It's 42 of them", 15 } }, { "user", { "Why so", 6 } },
    };
    struct chat_ids c = { 0 };
    struct ids whole = { 0 };

    for (int first = 0; first < 2; first++) {
        char *text = chat_text(t, family, plain + first, 4 - first, 1, &c);
        whole.n = 0;
        assert_int_equal(tokenizer_encode(t, sv_of(text), TOKEN_PARSE_SPECIAL, &whole, NULL), 0); /* holds BOS as text */
        assert_int_equal(whole.n, c.ids.n);
        assert_memory_equal(whole.v, c.ids.v, whole.n * sizeof *whole.v);
        mem_free(text);
    }
    ids_release(&whole);
    chat_ids_release(&c);
}

static void test_whole_text(void **state)
{
    (void)state;
    static const struct { const char *path, *family; } spm[] = {
        { "../shared/data/vocab/ggml-vocab-phi-3.gguf", "phi3" }, { "../shared/data/vocab/ggml-vocab-phi-3.gguf", "granite" },
        { "../shared/data/vocab/ggml-vocab-llama-spm.gguf", "llama2" }, { "../shared/data/vocab/ggml-vocab-llama-spm.gguf", "mistral" },
        { "../shared/data/vocab/ggml-vocab-llama-spm.gguf", "zephyr" },
    };
    struct tokenizer *t = chat_tokenizer();

    for (size_t f = 0; f < ARRAY_LEN(families); f++)
        check_whole(t, families[f]);
    tokenizer_free(t);
    for (size_t k = 0; k < ARRAY_LEN(spm); k++) {
        struct gguf *g = NULL;
        if (!file_exists(spm[k].path)) {
            print_message("skipped: %s is missing\n", spm[k].path);
            skip();
        }
        assert_int_equal(gguf_open(&g, spm[k].path, NULL), 0);
        assert_int_equal(tokenizer_from_gguf(&t, g, NULL), 0);
        check_whole(t, spm[k].family);
        tokenizer_free(t);
        gguf_close(g);
    }
}

static void test_template_choice(void **state)
{
    (void)state;
    struct tokenizer *t = chat_tokenizer();

    assert_ptr_equal(chat_template_of(t), chat_template_named("granite"));
    for (size_t f = 0; f < ARRAY_LEN(families); f++) { /* each row recognises its own text */
        tokenizer_set_chat_template(t, chat_template_jinja(chat_template_named(families[f])));
        assert_ptr_equal(chat_template_of(t), chat_template_named(families[f]));
    }
    char warning[200];
    assert_int_equal(chat_template_warning(t, warning, sizeof warning), 0);
    tokenizer_set_chat_template(t, "{{ nothing that is known }}");
    assert_ptr_equal(chat_template_of(t), chat_template_named("chatml"));
    assert_int_equal(chat_template_warning(t, warning, sizeof warning), 1);
    assert_non_null(strstr(warning, "'chatml'"));
    tokenizer_set_chat_template(t, NULL);
    assert_int_equal(chat_template_warning(t, warning, sizeof warning), 0);
    snprintf(t->name, sizeof t->name, "mixtral-8x7b");
    assert_ptr_equal(chat_template_of(t), chat_template_named("mistral"));
    assert_null(chat_template_named("nobody"));
    tokenizer_free(t);
}

/* ---- files ---- */

/* A SentencePiece vocabulary of a few pieces, with or without byte tokens and a space prefix. */
static void put_spm(struct gguf_writer *w, int with_bytes)
{
    static const char *const piece[] = { "<unk>", "<s>", "</s>", "\xe2\x96\x81", "a", "b", "ab", "\xe2\x96\x81" "ab", "aba", "<|user|>" };
    static const int32_t piece_kind[] = { 2, 3, 3, 1, 1, 1, 1, 1, 1, 4 };
    struct sv token[ARRAY_LEN(piece) + 256];
    int32_t kind[ARRAY_LEN(token)];
    float score[ARRAY_LEN(token)];
    char name[256][8];
    size_t n = 0;

    for (; n < ARRAY_LEN(piece); n++) {
        token[n] = sv_of(piece[n]);
        kind[n] = piece_kind[n];
        score[n] = -(float)n;
    }
    for (int b = 0; b < 256 && with_bytes; b++, n++) {
        snprintf(name[b], sizeof name[b], "<0x%02X>", (unsigned)b);
        token[n] = sv_of(name[b]);
        kind[n] = TOKEN_BYTE;
        score[n] = 0;
    }
    gguf_put_str(w, "tokenizer.ggml.model", SV("llama"));
    gguf_put_str_array(w, "tokenizer.ggml.tokens", token, n);
    gguf_put_f32_array(w, "tokenizer.ggml.scores", score, n);
    gguf_put_i32_array(w, "tokenizer.ggml.token_type", kind, n);
    gguf_put_u32(w, "tokenizer.ggml.bos_token_id", 1);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", with_bytes ? 2 : UINT32_MAX);
    gguf_put_u32(w, "tokenizer.ggml.unknown_token_id", 0);
    gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", with_bytes);
}

static struct tokenizer *write_and_load(struct gguf_writer *w, const char *dir, const char *name)
{
    char path[256];
    struct gguf *g = NULL;
    struct tokenizer *t = NULL;
    ilab_err e = { 0 };

    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (gguf_write(w, path, &e) || gguf_open(&g, path, &e) || tokenizer_from_gguf(&t, g, &e))
        fail_msg("%s", e.msg);
    gguf_writer_free(w);
    gguf_close(g);
    if (!getenv("TOKENIZER_CORPUS"))
        unlink(path);
    return t;
}

static void test_seeds(void **state)
{
    (void)state;
    const char *dir = getenv("TOKENIZER_CORPUS") ? getenv("TOKENIZER_CORPUS") : "/tmp";
    struct tokenizer *t = chat_tokenizer();
    struct gguf_writer *w = gguf_writer_new();
    struct ids a = { 0 }, b = { 0 };
    struct sv text = SV("<s>the university\n 1969 \xff<|user|>");

    tokenizer_set_chat_template(t, chat_template_jinja(chat_template_named("chatml")));
    (void)tokenizer_to_gguf(t, w, NULL);
    struct tokenizer *copy = write_and_load(w, dir, "bpe.gguf");
    assert_int_equal(tokenizer_encode(t, text, TOKEN_ADD_BOS | TOKEN_PARSE_SPECIAL, &a, NULL), 0);
    assert_int_equal(tokenizer_encode(copy, text, TOKEN_ADD_BOS | TOKEN_PARSE_SPECIAL, &b, NULL), 0);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.v, b.v, a.n * sizeof *a.v);
    assert_ptr_equal(chat_template_of(copy), chat_template_named("chatml"));
    tokenizer_free(t);
    tokenizer_free(copy);
    static const int32_t want[2][7] = { { 7, 6, 0, 3, 9, 4, 0 }, { 7, 6, 205, 3, 9, 3, 4 } };
    for (int with_bytes = 0; with_bytes < 2; with_bytes++) { /* best score first; the prefix space behind a special token, too */
        w = gguf_writer_new();
        put_spm(w, with_bytes);
        t = write_and_load(w, dir, with_bytes ? "spm_bytes.gguf" : "spm_unknown.gguf");
        a.n = 0;
        assert_int_equal(tokenizer_encode(t, with_bytes ? SV("abab\xc3 <|user|>a") : SV(" abab\xc3\xa4\xc3 <|user|>az"), 0, &a, NULL), 0);
        assert_int_equal(a.n, 7);
        assert_memory_equal(a.v, want[with_bytes], sizeof want[0]);
        assert_int_equal(tokenizer_eos(t), with_bytes ? 2 : -1);
        tokenizer_free(t);
    }
    ids_release(&a);
    ids_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_train),   cmocka_unit_test(test_train_is_naive),   cmocka_unit_test(test_train_edges),
        cmocka_unit_test(test_granite), cmocka_unit_test(test_prompt_is_prefix), cmocka_unit_test(test_jinja),
        cmocka_unit_test(test_template_choice), cmocka_unit_test(test_seeds), cmocka_unit_test(test_whole_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
