/* fuzz_tokenizer.c — any bytes as a GGUF vocabulary, and the same bytes as text for it.
 *
 * Whatever the vocabulary claims: ids stay inside it, the pieces of a text add up, conversations get a mask.
 * Bytes that are no GGUF file are text for a small built-in vocabulary, which must give them back unchanged.
 * The seeds in corpus/tokenizer are written by tests/unit/test_token_train.c.  SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { MAX_TEXT = 1 << 13 };

static void expect(int condition)
{
    if (!condition)
        abort();
}

static void check_ids(const struct tokenizer *t, const struct ids *l)
{
    for (size_t i = 0; i < l->n; i++)
        expect(l->v[i] >= 0 && l->v[i] < tokenizer_size(t));
}

static void use(const struct tokenizer *t, struct sv text)
{
    static const int flags[] = { 0, TOKEN_ADD_BOS | TOKEN_PARSE_SPECIAL };
    struct ids l = { 0 };
    struct sb b;

    sb_init(&b, (size_t)1 << 26);
    for (size_t k = 0; k < ARRAY_LEN(flags); k++) {
        expect(!tokenizer_encode(t, text, flags[k], &l, NULL));
        check_ids(t, &l);
        for (int special = 0; special < 2; special++)
            tokenizer_decode(t, l.v, l.n, special, &b);
    }
    struct chat_message m[] = { { "system", text }, { "user", SV("Hello <|user|> 1234") }, { "assistant", SV("\xe2\x96\x81 <0x0A>") } };
    struct chat_ids c = { 0 };
    expect(!chat_encode(t, chat_template_of(t), m, 3, 1, &c, NULL));
    check_ids(t, &c.ids);
    expect(c.mask_n == c.ids.n);
    for (int id = -2; id < 40; id++)
        expect(tokenizer_kind(t, id) >= TOKEN_NORMAL && tokenizer_is_end(t, id) >= 0);
    chat_ids_release(&c);
    ids_release(&l);
    sb_release(&b);
}

static void check_round_trip(struct sv text)
{
    static const char *const special[] = { "<|endoftext|>", "<|user|>" };
    static const char *const pre[] = { "gpt2", "smollm", "llama-bpe", "qwen2", "default" };
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
