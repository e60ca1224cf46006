/* sentence.c — what SentencePiece does to a text before its algorithm sees it (Kudo and Richardson 2018), for BPE and unigram.
 *
 * Normalisation by the model's own table, if it has one; spaces folded, if it says so; a space in front; ▁ for spaces.
 * When no token holds ▁ behind another character, text can be cut in front of ▁: pieces never cross there. Each such
 * stretch is a word of the cache, under its unescaped bytes. Else BPE cuts where no piece of this text spans the place (cuts.c), unigram
 * around bytes that are in no longer piece.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

#include <string.h>

/* Bytes of the space at i, ' ' or ▁; 0: none. */
static inline size_t space_at(struct sv s, size_t i)
{
    if (s.p[i] == ' ')
        return 1;
    return s.p[i] == SPACE[0] && s.n - i >= SPACE_BYTES && s.p[i + 1] == SPACE[1] && s.p[i + 2] == SPACE[2] ? SPACE_BYTES : 0;
}

/* End of the stretch at i that can be encoded alone: a run of spaces and what follows up to the next space; where pieces may hold
 * spaces inside, up to a byte that is in no longer piece. */
static size_t stretch_end(const struct tokenizer *t, struct sv s, size_t i)
{
    size_t limit = s.n - i > TOKEN_MAX_WORD_BYTES ? i + TOKEN_MAX_WORD_BYTES : s.n, k = i, n;

    if (t->splits_words) {
        while (k < limit && (n = space_at(s, k)))
            k += n;
        while (k < limit && !space_at(s, k))
            k++;
        limit = k < limit ? k : limit;
    } else if (t->cuts) {
        limit = cuts_next(t->cuts, s, i);
    } else {
        while (k < limit && !t->alone[(uint8_t)s.p[k]])
            k++;
        limit = k > i ? k : i + 1;
    }
    if (limit < s.n) /* a cut by length must not part a character */
        while (limit > i + 4 && ((uint8_t)s.p[limit] & 0xc0) == 0x80)
            limit--;
    return limit;
}

static int encode_stretch(const struct tokenizer *t, struct encode_work *w, struct sv s, int *was_unknown, struct ids *out)
{
    sb_reset(&w->escaped);
    for (size_t i = 0, end; i < s.n; i = end) {
        const char *space = memchr(s.p + i, ' ', s.n - i);
        end = space ? (size_t)(space - s.p) : s.n;
        sb_add(&w->escaped, (struct sv){ s.p + i, end - i });
        if (space) {
            sb_addc(&w->escaped, SPACE);
            end++;
        }
    }
    if (w->escaped.failed)
        return ILAB_E_NOMEM;
    struct sv text = { w->escaped.p, w->escaped.n };
    return t->model == VOCAB_SPM ? spm_encode_escaped(t, w, text, was_unknown, out) : unigram_encode_escaped(t, w, text, was_unknown, out);
}

/* A stretch, by the cache if it can be. */
static int encode_word(const struct tokenizer *t, struct encode_work *w, struct sv s, int *was_unknown, struct ids *out)
{
    struct word_entry *slot = *was_unknown ? NULL : word_cache_slot(w->cache, s);
    size_t from = out->n;

    if (slot && word_cache_hit(slot, s))
        return ids_append(out, slot->id, slot->n_id);
    int rc = encode_stretch(t, w, s, was_unknown, out);
    if (!rc && slot && !*was_unknown)
        word_cache_store(slot, s, out, from);
    return rc;
}

/* Runs of spaces become one, none stays at the ends; in place. */
static void fold_spaces(struct sb *b)
{
    size_t n = 0;

    for (size_t i = 0; i < b->n; i++)
        if (b->p[i] != ' ' || (n && b->p[n - 1] != ' '))
            b->p[n++] = b->p[i];
    b->n = n - (n && b->p[n - 1] == ' ');
}

/* ▁ becomes the space that it stands for, and the space in front is written: what cuts.c wants. */
static void plain_spaces(struct sb *b, int prefix)
{
    const struct sv s = { b->p, b->n };
    size_t n = 0, k;

    for (size_t i = 0; i < s.n; i += k) {
        k = space_at(s, i);
        b->p[n++] = k ? ' ' : b->p[i];
        k += !k;
    }
    b->n = n;
    if (!prefix || !n)
        return;
    sb_addch(b, ' ');
    if (b->failed)
        return;
    memmove(b->p + 1, b->p, n);
    b->p[0] = ' ';
}

static int normalize(const struct tokenizer *t, struct encode_work *w, int *prefix, struct sv *text)
{
    sb_reset(&w->normal);
    if (t->charsmap)
        charsmap_apply(t, *text, &w->normal);
    else
        sb_add(&w->normal, *text);
    if (w->normal.failed)
        return ILAB_E_NOMEM;
    if (t->removes_spaces)
        fold_spaces(&w->normal);
    if (t->cuts) {
        plain_spaces(&w->normal, *prefix);
        *prefix = 0;
    }
    if (w->normal.failed)
        return ILAB_E_NOMEM;
    *text = (struct sv){ w->normal.p, w->normal.n };
    return 0;
}

int sentence_encode_text(const struct tokenizer *t, struct encode_work *w, struct sv text, int prefix, struct ids *out)
{
    int was_unknown = 0, rc = 0;
    size_t at = 0;

    const int rewrites = t->charsmap || t->removes_spaces || (t->cuts && (prefix || memmem(text.p, text.n, SPACE, SPACE_BYTES)));
    if (rewrites && normalize(t, w, &prefix, &text))
        return ILAB_E_NOMEM;
    if (prefix && text.n) {
        struct sb first;
        at = stretch_end(t, text, 0);
        sb_init(&first, SIZE_MAX / 2);
        sb_addch(&first, ' ');
        sb_add(&first, (struct sv){ text.p, at });
        rc = first.failed ? ILAB_E_NOMEM : encode_word(t, w, (struct sv){ first.p, first.n }, &was_unknown, out);
        sb_release(&first);
    }
    for (size_t end; at < text.n && !rc; at = end) {
        end = stretch_end(t, text, at);
        rc = encode_word(t, w, (struct sv){ text.p + at, end - at }, &was_unknown, out);
    }
    return rc;
}
