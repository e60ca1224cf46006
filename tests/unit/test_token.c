/* test_token.c — tokenizers against what others make of the same vocabularies, and round trips.
 *
 * Oracles: llama.cpp's vectors and greedy ids, and spm_encode where it is installed. Real vocabularies are those
 * below ../shared/data (skipped when absent).  SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"
#include "token/token_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SHARED "../shared/data"
#define STORIES SHARED "/weights/stories260K/stories260Ktok512.gguf"
#define LIMIT ((size_t)1 << 28)

static void need(const char *path)
{
    if (file_exists(path))
        return;
    print_message("skipped: %s is missing\n", path);
    skip();
}

static struct tokenizer *load(const char *path)
{
    struct tokenizer *t = NULL;
    struct gguf *g = NULL;
    ilab_err e = { 0 };

    need(path);
    assert_int_equal(gguf_open(&g, path, &e), 0);
    if (tokenizer_from_gguf(&t, g, &e))
        fail_msg("%s: %s", path, e.msg);
    gguf_close(g);
    return t;
}

static struct ids encode(const struct tokenizer *t, struct sv text, int flags)
{
    struct ids l = { 0 };
    ilab_err e = { 0 };

    assert_int_equal(tokenizer_encode(t, text, flags, &l, &e), 0);
    return l;
}

static void assert_round_trip(const struct tokenizer *t, struct sv text)
{
    struct ids l = encode(t, text, 0);
    struct sb back;

    sb_init(&back, LIMIT);
    tokenizer_decode(t, l.v, l.n, 0, &back);
    assert_int_equal(back.n, text.n);
    if (text.n)
        assert_memory_equal(back.p, text.p, text.n);
    sb_release(&back);
    ids_release(&l);
}

static void sb_add_ids(struct sb *b, const struct ids *l)
{
    for (size_t i = 0; i < l->n; i++)
        sb_addf(b, " %d", l->v[i]);
}

/* ---- llama.cpp's vectors ---- */

static void check_vectors(const struct tokenizer *t, const char *inp_path, const char *out_path)
{
    static const char mark[] = "\n__ggml_vocab_test__\n";
    char *inp, *out;
    size_t n_inp, n_out;
    int n = 0, bad = 0;

    need(inp_path);
    assert_int_equal(file_read(inp_path, LIMIT, &inp, &n_inp, NULL), 0);
    assert_int_equal(file_read(out_path, LIMIT, &out, &n_out, NULL), 0);
    struct sv all = { inp, n_inp }, lines = { out, n_out }, line;
    for (size_t at = 0; sv_split(&lines, '\n', &line); n++) {
        ptrdiff_t end = sv_find(all, sv_of(mark), at);
        struct sv text = { inp + at, (end < 0 ? n_inp : (size_t)end) - at };
        struct ids l = encode(t, text, 0);
        struct sb b;
        sb_init(&b, LIMIT);
        sb_add_ids(&b, &l);
        if (!sv_eq((struct sv){ b.p, b.n }, line) && bad++ < 5)
            print_error("%s: '%.*s'\n  want%.*s\n  have%s\n", out_path, SV_ARG(text), SV_ARG(line), b.p);
        sb_release(&b);
        ids_release(&l);
        assert_round_trip(t, text);
        at = end < 0 ? n_inp : (size_t)end + sizeof mark - 1;
    }
    assert_true(n >= 40);
    assert_int_equal(bad, 0);
    mem_free(inp);
    mem_free(out);
}

static void vectors_of(const char *name)
{
    char path[3][128];

    snprintf(path[0], sizeof path[0], SHARED "/vocab/ggml-vocab-%s.gguf", name);
    snprintf(path[1], sizeof path[1], SHARED "/vocab/ggml-vocab-%s.gguf.inp", name);
    snprintf(path[2], sizeof path[2], SHARED "/vocab/ggml-vocab-%s.gguf.out", name);
    struct tokenizer *t = load(path[0]);
    check_vectors(t, path[1], path[2]);
    tokenizer_free(t);
}

static void test_llama_spm(void **state) { (void)state; vectors_of("llama-spm"); }
static void test_phi3(void **state) { (void)state; vectors_of("phi-3"); }
static void test_gpt2(void **state) { (void)state; vectors_of("gpt-2"); }
static void test_starcoder(void **state) { (void)state; vectors_of("starcoder"); }

static struct tokenizer *load_llama3(void)
{
    const char *path = SHARED "/tokenizers/llama3.2-ollama/encoder.json";
    struct tokenizer *t = NULL;
    ilab_err e = { 0 };
    char *merges;
    size_t n_bytes, n_merge = 0;

    need(path);
    json_t *vocab = json_read_file(path, LIMIT, &e);
    assert_non_null(vocab);
    assert_int_equal(file_read(SHARED "/tokenizers/llama3.2-ollama/vocab.bpe", LIMIT, &merges, &n_bytes, &e), 0);
    int n = (int)json_object_size(vocab);
    struct sv *token = mem_calloc((size_t)n, sizeof *token), *merge = mem_calloc(n_bytes, sizeof *merge);
    const char *key;
    json_t *value;
    json_object_foreach(vocab, key, value) {
        json_int_t id = json_integer_value(value);
        assert_in_range(id, 0, n - 1);
        token[id] = sv_of(key);
    }
    struct sv rest = { merges, n_bytes }, line;
    while (sv_split(&rest, '\n', &line))
        if (line.n && !sv_starts(line, "#version"))
            merge[n_merge++] = line;
    assert_int_equal(tokenizer_new_bpe(&t, token, NULL, n, merge, (int)n_merge, "llama-bpe", -1, -1, &e), 0);
    mem_free(token);
    mem_free(merge);
    mem_free(merges);
    json_decref(vocab);
    return t;
}

static void test_llama3(void **state)
{
    (void)state;
    struct tokenizer *t = load_llama3();

    check_vectors(t, SHARED "/vocab/ggml-vocab-llama-bpe.gguf.inp", SHARED "/vocab/ggml-vocab-llama-bpe.gguf.out");
    tokenizer_free(t);
}

/* ---- pre-tokenizers: words joined by '|' ---- */

static void assert_words(const char *pre, struct sv text, const char *want)
{
    struct pretok *p = NULL;
    struct pretok_at at = { 0 };
    struct sb b;
    ilab_err e = { 0 };

    sb_init(&b, LIMIT);
    if (pretok_new_row(&p, pretok_find(sv_of(pre)), &e))
        fail_msg("%s: %s", pre, e.msg);
    for (size_t i = 0, end; i < text.n; i = end) {
        end = pretok_next(p, &at, text, i);
        assert_true(end > i && end <= text.n);
        sb_addc(&b, i ? "|" : "");
        sb_add(&b, (struct sv){ text.p + i, end - i });
    }
    assert_string_equal(b.p ? b.p : "", want);
    sb_release(&b);
    pretok_free(p);
}

static void test_pretok(void **state)
{
    (void)state;
    assert_words("gpt2", SV("I'll  pay 1234\n\nx 'S's!?\n "), "I|'ll| | pay| 1234|\n|\n|x| '|S|'s|!?|\n ");
    assert_words("smollm", SV("in 1969,  42a  \t"), "in| |1|9|6|9|,|  |4|2|a|  \t");
    assert_words("starcoder", SV("½ 7x"), "½| |7|x");
    assert_words("llama-bpe", SV("I'LL (don't) 12345\r\n \n  x\t\ty.\n\n1"), "I|'LL| (|don|'t|)| |123|45|\r\n \n| | x|\t|\ty|.\n\n|1");
    assert_words("qwen2", SV("a 12  \xc3\xa9t\xc3\xa9"), "a| |1|2| | \xc3\xa9t\xc3\xa9");
    assert_words("default", SV("Hi, it's  12345678½9 `x`"), "Hi|,| it|'|s| | |123|456|78½9| `|x|`");
    assert_words("gpt2", SV("\xff\xfe a\xc3"), "\xff\xfe| a|\xc3");
    assert_words("gpt2", SV("a\xe3\x80\x80\xc2\xa0z"), "a|\xe3\x80\x80|\xc2\xa0|z");
}

/* ---- SentencePiece ---- */

static void test_stories_prompts(void **state)
{
    (void)state;
    struct tokenizer *t = load(STORIES);
    char *text;
    size_t n;
    int n_line = 0;
    ilab_err e = { 0 };

    assert_int_equal(tokenizer_size(t), 512);
    assert_int_equal(tokenizer_bos(t), 1);
    assert_int_equal(tokenizer_eos(t), 2);
    assert_true(tokenizer_adds_bos(t) && tokenizer_is_end(t, 2) && !tokenizer_is_end(t, 1));
    assert_int_equal(tokenizer_kind(t, 3), TOKEN_BYTE);
    assert_int_equal(file_read(SHARED "/reference/llama.cpp-greedy.jsonl", LIMIT, &text, &n, &e), 0);
    struct sv rest = { text, n }, line;
    while (sv_split(&rest, '\n', &line)) {
        json_t *j = line.n ? json_parse(line, "greedy", &e) : NULL;
        if (!j || strncmp(json_str(j, "file"), "stories260K", 11)) {
            json_decref(j);
            continue;
        }
        struct ids l = encode(t, sv_of(json_str(j, "prompt")), TOKEN_ADD_BOS);
        const json_t *want = json_object_get(j, "prompt_ids"), *greedy = json_object_get(j, "greedy");
        assert_int_equal(l.n, json_array_size(want));
        for (size_t i = 0; i < l.n; i++)
            assert_int_equal(l.v[i], json_integer_value(json_array_get(want, i)));
        l.n = 0;
        for (size_t i = 0; i < json_array_size(greedy); i++)
            ids_push(&l, (int32_t)json_integer_value(json_array_get(greedy, i)));
        struct sb b;
        sb_init(&b, LIMIT);
        tokenizer_decode(t, l.v, l.n, 0, &b);
        assert_string_equal(sv_trim((struct sv){ b.p, b.n }).p, sv_trim(sv_of(json_str(j, "text"))).p);
        sb_release(&b);
        ids_release(&l);
        json_decref(j);
        n_line++;
    }
    assert_true(n_line >= 8);
    mem_free(text);
    tokenizer_free(t);
}

/* The reference figures count the ids of each story, curly quotes written as '"'. */
static void check_story_counts(const struct tokenizer *t, const size_t want[5])
{
    char *text;
    size_t n, at = 0;
    struct sb ascii;

    assert_int_equal(file_read(SHARED "/eval/tinystories_sample.txt", LIMIT, &text, &n, NULL), 0);
    sb_init(&ascii, LIMIT);
    for (size_t i = 0; i < n;) {
        struct sv rest = { text + i, n - i };
        int quote = sv_starts(rest, "\xe2\x80\x9c") || sv_starts(rest, "\xe2\x80\x9d");
        sb_addch(&ascii, quote ? '"' : text[i]);
        i += quote ? 3 : 1;
    }
    struct sv all = { ascii.p, ascii.n };
    for (int k = 0; k < 5; k++) {
        ptrdiff_t end = sv_find(all, SV("<|endoftext|>"), at);
        struct sv story = sv_trim((struct sv){ all.p + at, (end < 0 ? all.n : (size_t)end) - at });
        struct ids l = encode(t, story, 0);
        assert_int_equal(l.n, want[k]);
        assert_round_trip(t, story);
        ids_release(&l);
        at = end < 0 ? all.n : (size_t)end + 13;
    }
    sb_release(&ascii);
    mem_free(text);
}

static void test_story_counts(void **state)
{
    (void)state;
    static const size_t want[5] = { 371, 329, 222, 424, 456 };
    struct tokenizer *t = load(STORIES);

    check_story_counts(t, want);
    tokenizer_free(t);
}

/* Tokens with inner ▁, no byte tokens: one unknown token for a run of unknown characters. */
static void test_656k(void **state)
{
    (void)state;
    static const size_t counts[5] = { 184, 157, 84, 207, 213 };
    static const int32_t want[] = { 1, 80, 147, 201, 282, 215, 286, 123, 158, 1822, 67, 1177, 241, 40, 1644, 619, 1049, 132, 531, 461, 1382, 77, 916, 436 };
    struct tokenizer *t = load(SHARED "/weights/tinystories-656k/tinystories-656k.f32.gguf");
    struct ids l = encode(t, SV("Once upon a time, there was a reliable otter named Ollie. He lived in a river with his family. They all loved to "), TOKEN_ADD_BOS);

    check_story_counts(t, counts);
    assert_int_equal(l.n, ARRAY_LEN(want));
    assert_memory_equal(l.v, want, sizeof want);
    ids_release(&l);
    l = encode(t, SV("\xe2\x88\x80\xe2\x88\x83\xe2\x88\x80 a"), 0);
    int n_unknown = 0;
    for (size_t i = 0; i < l.n; i++)
        n_unknown += l.v[i] == 0;
    assert_int_equal(n_unknown, 1);
    ids_release(&l);
    tokenizer_free(t);
}

static void add_random_cp(struct sb *b, struct rng *r)
{
    static const uint32_t top[] = { 0x7f, 0x7f, 0x7f, 0x24f, 0x7ff, 0xffff, 0x10ffff };
    int32_t cp;
    char u[4];

    do
        cp = (int32_t)rng_below(r, top[rng_below(r, ARRAY_LEN(top))] + 1);
    while ((cp >= 0xd800 && cp < 0xe000) || cp == 0);
    sb_add(b, (struct sv){ u, (size_t)utf8_put(u, cp) });
}

/* spm_encode works on lines and folds white space, so lines are words with single spaces. */
static void test_spm_encode(void **state)
{
    (void)state;
    char path[] = "/tmp/ilab-spm-XXXXXX", *out = NULL, *err = NULL;
    int fd = mkstemp(path), status = -1;
    struct tokenizer *t = load(STORIES);
    struct sb in, have;
    struct rng r;
    ilab_err e = { 0 };

    rng_seed(&r, 7);
    sb_init(&in, LIMIT);
    sb_init(&have, LIMIT);
    for (int line = 0; line < 400; line++) {
        int n_word = 1 + (int)rng_below(&r, 12);
        for (int k = 0; k < n_word; k++) {
            sb_addc(&in, k ? " " : "");
            for (int c = 1 + (int)rng_below(&r, 9); c > 0; c--)
                if (rng_below(&r, 8) || line % 4 == 0)
                    sb_addch(&in, line % 2 ? (char)('a' + rng_below(&r, 26)) : (char)('!' + rng_below(&r, 94)));
                else {
                    char u[4];
                    sb_add(&in, (struct sv){ u, (size_t)utf8_put(u, (int32_t)(0x400 + rng_below(&r, 0x100))) });
                }
        }
        sb_addch(&in, '\n');
    }
    assert_int_equal(write(fd, in.p, in.n), (ssize_t)in.n);
    close(fd);
    const char *const argv[] = { "spm_encode", "--model=" SHARED "/weights/stories260K/tok512.model", "--output_format=id", path, NULL };
    int rc = child_run(argv, NULL, LIMIT, &out, NULL, &err, &status, &e);
    unlink(path);
    if (rc || status) {
        print_message("skipped: spm_encode does not run\n");
        mem_free(out);
        mem_free(err);
        sb_release(&in);
        tokenizer_free(t);
        skip();
    }
    struct sv rest = { in.p, in.n }, line, theirs = sv_of(out), want;
    int bad = 0;
    while (sv_split(&rest, '\n', &line)) {
        assert_true(sv_split(&theirs, '\n', &want));
        struct ids l = encode(t, line, 0);
        sb_reset(&have);
        sb_add_ids(&have, &l);
        if (!sv_eq((struct sv){ have.p + 1, have.n - 1 }, want) && bad++ < 3)
            print_error("'%.*s'\n  want %.*s\n  have%s\n", SV_ARG(line), SV_ARG(want), have.p);
        ids_release(&l);
        assert_round_trip(t, line);
    }
    assert_int_equal(bad, 0);
    mem_free(out);
    mem_free(err);
    sb_release(&in);
    sb_release(&have);
    tokenizer_free(t);
}

/* ---- round trips, special tokens, files ---- */

static void test_round_trips(void **state)
{
    (void)state;
    static const char *const files[] = { STORIES, SHARED "/vocab/ggml-vocab-gpt-2.gguf" }; /* these have a token for every byte */
    struct rng r;
    struct sb b;

    rng_seed(&r, 3);
    sb_init(&b, LIMIT);
    for (size_t f = 0; f < ARRAY_LEN(files); f++) {
        struct tokenizer *t = load(files[f]);
        for (int k = 0; k < 300; k++) {
            sb_reset(&b);
            for (uint32_t n = rng_below(&r, 200); n > 0; n--)
                if (k % 3)
                    add_random_cp(&b, &r);
                else
                    sb_addch(&b, (char)rng_below(&r, 256));
            assert_round_trip(t, (struct sv){ b.p, b.n });
        }
        sb_reset(&b); /* long words take the heap */
        for (int k = 0; k < 20000; k++)
            sb_addch(&b, (char)('a' + rng_below(&r, 3)));
        assert_round_trip(t, (struct sv){ b.p, b.n });
        tokenizer_free(t);
    }
    sb_release(&b);
}

/* The scan and the heap must agree, and so must a warm and a cold cache. */
static void test_scan_is_heap(void **state)
{
    (void)state;
    struct tokenizer *t = load(SHARED "/vocab/ggml-vocab-gpt-2.gguf");
    char word[48];
    struct rng r;

    rng_seed(&r, 5);
    for (int k = 0; k < 2000; k++) {
        size_t n = 1 + rng_below(&r, sizeof word - 1);
        for (size_t i = 0; i < n; i++)
            word[i] = "etaoinshrdlu"[rng_below(&r, 12)];
        struct ids a = encode(t, (struct sv){ word, n }, 0), b = { 0 };
        struct encode_work w = { 0 };
        assert_int_equal(bpe_encode_text(t, &w, (struct sv){ word, n }, 0, &b), 0);
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.v, b.v, a.n * sizeof *a.v);
        b.n = 0;
        assert_int_equal(bpe_encode_long(t, &w, (struct sv){ word, n }, &b), 0);
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.v, b.v, a.n * sizeof *a.v);
        mem_free(w.node);
        mem_free(w.heap);
        ids_release(&a);
        ids_release(&b);
    }
    tokenizer_free(t);
}

static void test_special(void **state)
{
    (void)state;
    struct tokenizer *t = load(SHARED "/vocab/ggml-vocab-phi-3.gguf");
    struct ids l = encode(t, SV("<|user|>\nHi<|end|>"), TOKEN_PARSE_SPECIAL | TOKEN_ADD_BOS);
    struct sb b;

    assert_int_equal(l.v[0], 1);
    assert_int_equal(l.v[1], 32010);
    assert_int_equal(l.v[l.n - 1], 32007);
    assert_true(tokenizer_is_end(t, 32007) && tokenizer_is_end(t, 32000) && !tokenizer_is_end(t, 32010));
    sb_init(&b, LIMIT);
    tokenizer_decode(t, l.v, l.n, 1, &b);
    assert_string_equal(b.p, "<s><|user|>Hi<|end|>"); /* Phi-3's special tokens take the white space behind them */
    sb_reset(&b);
    tokenizer_decode(t, l.v, l.n, 0, &b);
    assert_string_equal(b.p, "Hi");
    ids_release(&l);
    l = encode(t, SV("<|user|> <|end|>"), 0);
    for (size_t i = 0; i < l.n; i++)
        assert_int_not_equal(tokenizer_kind(t, l.v[i]), TOKEN_CONTROL);
    assert_int_equal(tokenizer_find(t, "<|assistant|>"), 32001);
    assert_int_equal(tokenizer_find(t, "<|nobody|>"), -1);
    assert_ptr_equal(chat_template_of(t), chat_template_named("phi3"));
    ids_release(&l);
    sb_release(&b);
    tokenizer_free(t);
}

static struct tokenizer *through_file(const struct tokenizer *t)
{
    char path[] = "/tmp/ilab-tok-XXXXXX";
    struct gguf_writer *w = gguf_writer_new();
    ilab_err e = { 0 };

    close(mkstemp(path));
    gguf_put_str(w, "general.name", sv_of(t->name));
    assert_int_equal(tokenizer_to_gguf(t, w, &e), 0);
    if (gguf_write(w, path, &e))
        fail_msg("%s", e.msg);
    gguf_writer_free(w);
    struct tokenizer *copy = load(path);
    unlink(path);
    return copy;
}

static void test_file_round_trip(void **state)
{
    (void)state;
    static const char *const files[] = { STORIES, SHARED "/vocab/ggml-vocab-phi-3.gguf", SHARED "/vocab/ggml-vocab-starcoder.gguf" };

    for (size_t f = 0; f < ARRAY_LEN(files); f++) {
        struct tokenizer *t = load(files[f]), *copy = through_file(t);
        struct sv text = SV("Hello <|end|> w\xc3\xb6rld 123\n");
        struct ids a = encode(t, text, TOKEN_ADD_BOS | TOKEN_PARSE_SPECIAL), b = encode(copy, text, TOKEN_ADD_BOS | TOKEN_PARSE_SPECIAL);
        assert_int_equal(a.n, b.n);
        assert_memory_equal(a.v, b.v, a.n * sizeof *a.v);
        assert_int_equal(tokenizer_eos(t), tokenizer_eos(copy));
        assert_int_equal(tokenizer_adds_bos(t), tokenizer_adds_bos(copy));
        assert_ptr_equal(chat_template_of(t), chat_template_of(copy));
        ids_release(&a);
        ids_release(&b);
        tokenizer_free(t);
        tokenizer_free(copy);
    }
}

static void test_errors(void **state)
{
    (void)state;
    struct sv token[] = { SV("a"), SV("b"), SV("ab") }, merge[] = { SV("a b"), SV("x y"), SV(" "), SV("") };
    struct tokenizer *t = NULL;
    struct ids l = { 0 };
    ilab_err e = { 0 };

    assert_int_equal(tokenizer_new_bpe(&t, token, NULL, 3, merge, 4, "klingon", -1, -1, &e), ILAB_E_INVALID);
    assert_non_null(strstr(e.msg, "'klingon'"));
    assert_null(t);
    assert_int_equal(tokenizer_new_bpe(&t, token, NULL, 0, NULL, 0, "gpt2", -1, -1, &e), ILAB_E_LIMIT);
    assert_int_equal(tokenizer_new_bpe(&t, token, NULL, 3, merge, 4, "gpt2", 99, -5, &e), 0);
    assert_int_equal(tokenizer_bos(t), -1);
    assert_false(tokenizer_adds_bos(t));
    l = encode(t, SV("abz"), TOKEN_ADD_BOS); /* no token for 'z', no unknown token */
    assert_int_equal(l.n, 1);
    assert_int_equal(l.v[0], 2);
    mem_fail_at = 1;
    assert_int_equal(tokenizer_encode(t, SV("abababababababababababababababababababababababababababababababab"), 0, &l, &e), ILAB_E_NOMEM);
    mem_fail_at = -1;
    assert_int_equal(l.n, 1);
    ids_release(&l);
    tokenizer_free(t);
    for (long k = 1; k < 40; k++) { /* construction survives each failing allocation */
        mem_fail_at = k;
        if (!tokenizer_new_bpe(&t, token, NULL, 3, merge, 4, "gpt2", 0, 0, &e))
            tokenizer_free(t);
        mem_fail_at = -1;
    }
}

static void test_speed(void **state)
{
    (void)state;
    static const char *const files[] = { SHARED "/vocab/ggml-vocab-gpt-2.gguf", SHARED "/vocab/ggml-vocab-llama-spm.gguf" };
    char *text;
    size_t n;

    need(SHARED "/eval/wikitext-2-test.txt");
    assert_int_equal(file_read(SHARED "/eval/wikitext-2-test.txt", LIMIT, &text, &n, NULL), 0);
    for (size_t f = 0; f < ARRAY_LEN(files); f++) {
        struct tokenizer *t = load(files[f]);
        double start = now_seconds();
        struct ids l = encode(t, (struct sv){ text, n }, 0);
        double seconds = now_seconds() - start;
        print_message("%s: %.1f MB/s, %.2f bytes a token\n", path_base(files[f]), (double)n / 1e6 / seconds, (double)n / (double)l.n);
        ids_release(&l);
        assert_round_trip(t, (struct sv){ text, n });
        tokenizer_free(t);
    }
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pretok),        cmocka_unit_test(test_llama_spm),   cmocka_unit_test(test_phi3),
        cmocka_unit_test(test_gpt2),          cmocka_unit_test(test_starcoder),   cmocka_unit_test(test_llama3),
        cmocka_unit_test(test_stories_prompts), cmocka_unit_test(test_story_counts), cmocka_unit_test(test_656k), cmocka_unit_test(test_spm_encode),
        cmocka_unit_test(test_round_trips),   cmocka_unit_test(test_scan_is_heap), cmocka_unit_test(test_special),
        cmocka_unit_test(test_file_round_trip), cmocka_unit_test(test_errors),    cmocka_unit_test(test_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
