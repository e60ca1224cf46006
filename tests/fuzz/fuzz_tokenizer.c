/* fuzz_tokenizer.c — any bytes as a GGUF vocabulary, and the same bytes as text for it.
 *
 * Whatever the vocabulary claims: ids stay inside it, the pieces of a text add up, conversations get a mask.
 * Bytes that are no GGUF file are text for a small built-in vocabulary, which must give them back unchanged.
 * The seeds in corpus/tokenizer are written by tests/unit/test_token_train.c.  SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/tokenizer_use.h"

static void check_round_trip(struct sv text)
{
    static const char *const special[] = { "<|endoftext|>", "<|user|>" };
    static const char *const pre[] = { "gpt2", "smollm", "llama-bpe", "qwen2", "default", "tekken", "gpt-4o", "deepseek-llm", "deepseek-v3", "bloom" };
    struct tokenizer *t = NULL;
    struct ids l = { 0 };
    struct sb b;

    expect(!bpe_train(&t, text, 280, special, 2, pre[text.n % ARRAY_LEN(pre)], NULL));
    expect(!tokenizer_encode(t, text, TOKEN_PARSE_SPECIAL, &l, NULL));
    sb_init(&b, (size_t)1 << 26);
    tokenizer_decode(t, l.v, l.n, 1, &b);
    expect(b.n == text.n && (!b.n || !memcmp(b.p, text.p, b.n)));
    use(t, text);
    sb_release(&b);
    ids_release(&l);
    tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    struct sv text = { (const char *)p, n < MAX_TEXT ? n : MAX_TEXT };
    struct gguf *g = NULL;
    struct tokenizer *t = NULL;
    ilab_err e = { 0 };

    if (gguf_open_memory(&g, p, n, "input", &e)) {
        check_round_trip(text);
        return 0;
    }
    int rc = tokenizer_from_gguf(&t, g, &e);
    expect(rc ? rc < 0 && e.msg[0] && !t : t != NULL);
    gguf_close(g);
    if (!rc)
        use(t, text);
    tokenizer_free(t);
    return 0;
}
