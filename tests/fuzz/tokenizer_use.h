/* tokenizer_use.h — what every fuzz target of tokenizers does with one it got.
 *
 * Whatever the vocabulary claims: ids stay inside it, conversations get a mask.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TEST_TOKENIZER_USE_H
#define ILAB_TEST_TOKENIZER_USE_H

#include "token/token.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

enum { MAX_TEXT = 1 << 13 };

static inline void expect(int condition)
{
    if (!condition)
        abort();
}

static inline void check_ids(const struct tokenizer *t, const struct ids *l)
{
    for (size_t i = 0; i < l->n; i++)
        expect(l->v[i] >= 0 && l->v[i] < tokenizer_size(t));
}

static inline void use(const struct tokenizer *t, struct sv text)
{
    static const int flags[] = { 0, TOKEN_ADD_BOS | TOKEN_ADD_EOS | TOKEN_PARSE_SPECIAL };
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

#endif
