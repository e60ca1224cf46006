/* wordpiece.c — WordPiece as BERT uses it (Devlin et al. 2019; Wu et al. 2016).
 *
 * Text is cut at white space; control characters vanish; punctuation, ASCII symbols and CJK ideographs stand alone; uncased
 * models lose accents (canonical decomposition without marks) and case. Each word is then the longest token that begins it,
 * the longest that goes on, and so on; a word with a rest that no token begins is one unknown token.
 * The vocabulary is kept as GGUF files have it: ▁ begins a word, what goes on has no mark.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <string.h>

#define WORD_START "\xe2\x96\x81" /* ▁ U+2581 */

static int is_space(int32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == 0x85 || utf8_category(cp)[0] == 'Z';
}

/* CJK Unified Ideographs and their compatibility forms, by the blocks that BERT's tokenizer lists. */
static int is_ideograph(int32_t cp)
{
    static const struct { int32_t lo, hi; } block[] = { { 0x4e00, 0x9fff },   { 0x3400, 0x4dbf },   { 0x20000, 0x2a6df }, { 0x2a700, 0x2b73f },
                                                        { 0x2b740, 0x2b81f }, { 0x2b920, 0x2ceaf }, { 0xf900, 0xfaff },   { 0x2f800, 0x2fa1f } };

    for (size_t k = 0; k < ARRAY_LEN(block); k++)
        if (cp >= block[k].lo && cp <= block[k].hi)
            return 1;
    return 0;
}

/* w->escaped: ▁ and a word. */
static int put_word(const struct tokenizer *t, struct encode_work *w, struct ids *out)
{
    struct sv word = { w->escaped.p, w->escaped.n };
    size_t from = out->n, i = 0, longest = t->max_text < TOKEN_MAX_PIECE_BYTES ? t->max_text : TOKEN_MAX_PIECE_BYTES;
    int rc = w->escaped.failed ? ILAB_E_NOMEM : 0;

    while (i < word.n && !rc) {
        size_t n = word.n - i < longest ? word.n - i : longest;
        int32_t id = -1;
        for (; n && (id = vocab_find(t, (struct sv){ word.p + i, n })) < 0; n--)
            ;
        if (id < 0)
            break;
        rc = ids_push(out, id);
        i += n;
    }
    if (!rc && i < word.n) {
        out->n = from;
        rc = t->unknown >= 0 ? ids_push(out, t->unknown) : 0;
    }
    sb_reset(&w->escaped);
    return rc;
}

static int end_word(const struct tokenizer *t, struct encode_work *w, struct ids *out)
{
    return w->escaped.failed || w->escaped.n > sizeof WORD_START - 1 ? put_word(t, w, out) : 0;
}

static void add_char(struct encode_work *w, int32_t cp)
{
    char u[4];

    if (!w->escaped.n)
        sb_addc(&w->escaped, WORD_START);
    sb_add(&w->escaped, (struct sv){ u, (size_t)utf8_put(u, cp) });
}

static int encode_char(const struct tokenizer *t, struct encode_work *w, int32_t cp, struct ids *out)
{
    const char *category = utf8_category(cp);
    int rc;

    if (is_space(cp))
        return end_word(t, w, out);
    if (cp == 0 || cp == 0xfffd || (category[0] == 'C' && category[1] != 'n') || (t->strips_accents && category[0] == 'M'))
        return 0;
    int32_t low = t->lowercase ? utf8_lower_one(cp) : cp;
    if (category[0] != 'P' && !(cp < 0x7f && category[0] == 'S') && !is_ideograph(cp)) {
        add_char(w, low);
        return 0;
    }
    if ((rc = end_word(t, w, out)))
        return rc;
    add_char(w, low);
    return put_word(t, w, out);
}

static int encode_run(const struct tokenizer *t, struct encode_work *w, struct sv s, struct ids *out)
{
    int32_t part[UTF8_DECOMPOSED];
    int rc = 0;

    sb_reset(&w->escaped);
    for (size_t i = 0; i < s.n && !rc;) {
        part[0] = utf8_next(s, &i);
        if (part[0] < 0)
            continue;
        int n = t->strips_accents ? utf8_decompose_one(part[0], part) : 1;
        for (int k = 0; k < n && !rc; k++)
            rc = encode_char(t, w, part[k], out);
    }
    return rc ? rc : end_word(t, w, out);
}

int wordpiece_encode_text(const struct tokenizer *t, struct encode_work *w, struct sv text, int prefix, struct ids *out)
{
    int rc = 0;

    (void)prefix;
    for (size_t i = 0, end; i < text.n && !rc; i = end + 1) {
        const char *space = memchr(text.p + i, ' ', text.n - i);
        end = space ? (size_t)(space - text.p) : text.n;
        struct sv run = { text.p + i, end - i };
        struct word_entry *slot = run.n ? word_cache_slot(w->cache, run) : NULL;
        size_t from = out->n;
        if (slot && word_cache_hit(slot, run)) {
            rc = ids_append(out, slot->id, slot->n_id);
            continue;
        }
        rc = encode_run(t, w, run, out);
        if (slot && !rc)
            word_cache_store(slot, run, out, from);
    }
    return rc;
}
