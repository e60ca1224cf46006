/* encode.c — text to ids: special tokens are cut out first, the rest goes to the vocabulary's algorithm.
 *
 * Special tokens are found leftmost first, the longest at a place. User-defined tokens always count,
 * control tokens only on request (text of a user must not become a role marker).
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/token_internal.h"

/* Longest special token at i, or -1. */
static int32_t special_at(const struct tokenizer *t, struct sv text, size_t i, int control)
{
    const uint64_t *set = t->special_len[(uint8_t)text.p[i]];

    for (int word = 3; word >= 0; word--)
        for (uint64_t bits = set[word]; bits;) {
            int bit = 63 - __builtin_clzll(bits);
            size_t n = (size_t)(word * 64 + bit);
            bits &= ~((uint64_t)1 << bit);
            if (n > text.n - i)
                continue;
            int32_t id = vocab_find(t, (struct sv){ text.p + i, n });
            if (id >= 0 && (t->kind[id] == TOKEN_USER || (control && (t->kind[id] == TOKEN_CONTROL || t->kind[id] == TOKEN_UNKNOWN))))
                return id;
        }
    return -1;
}

size_t special_next(const struct tokenizer *t, struct sv text, size_t from, int control, int32_t *id)
{
    int wanted = control ? 3 : 1;

    for (size_t i = from; i < text.n; i++)
        if ((t->special_first[(uint8_t)text.p[i]] & wanted) && (*id = special_at(t, text, i, control)) >= 0)
            return i;
    return text.n;
}

static encode_text_fn *const encoders[] = {
    [VOCAB_SPM] = sentence_encode_text, [VOCAB_BPE] = bpe_encode_text, [VOCAB_UNIGRAM] = sentence_encode_text,
    [VOCAB_WORDPIECE] = wordpiece_encode_text,
};

static int is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static int encode_stretches(const struct tokenizer *t, struct encode_work *w, struct sv text, int flags, int *after_special,
                            struct ids *out)
{
    int32_t id = -1;

    for (size_t at = 0; at < text.n;) {
        size_t special = special_next(t, text, at, flags & TOKEN_PARSE_SPECIAL, &id), end = special;
        int strip = special < text.n && t->strip ? t->strip[id] : 0;
        while ((strip & STRIP_LEFT) && end > at && is_blank(text.p[end - 1]))
            end--;
        if (end > at) {
            int rc = encoders[t->model](t, w, (struct sv){ text.p + at, end - at }, t->space_prefix && *after_special, out);
            if (rc)
                return rc;
            *after_special = 0;
        }
        if (special == text.n)
            break;
        if (ids_push(out, id))
            return ILAB_E_NOMEM;
        *after_special = 1;
        at = special + t->text[id].n;
        while ((strip & STRIP_RIGHT) && at < text.n && is_blank(text.p[at]))
            at++;
    }
    return 0;
}

void encode_work_release(struct encode_work *w)
{
    mem_free(w->node);
    mem_free(w->heap);
    sb_release(&w->normal);
    sb_release(&w->escaped);
}

int encode_part(const struct tokenizer *t, struct sv text, int flags, int *after_special, struct ids *out, ilab_err *e)
{
    size_t n_before = out->n;

    if (text.n > TOKEN_MAX_TEXT_BYTES)
        return err_set(e, ILAB_E_LIMIT, "text of %zu bytes: at most %d can be encoded at once", text.n, TOKEN_MAX_TEXT_BYTES);
    struct encode_work w = { 0 };
    sb_init(&w.normal, SIZE_MAX / 2);
    sb_init(&w.escaped, SIZE_MAX / 2);
    int locked = !pthread_mutex_trylock(t->cache_lock);
    if (locked)
        w.cache = t->cache;
    int rc = encode_stretches(t, &w, text, flags, after_special, out);
    if (locked)
        pthread_mutex_unlock(t->cache_lock);
    encode_work_release(&w);
    if (!rc)
        return 0;
    out->n = n_before;
    return err_set(e, rc, "no memory to encode a text of %zu bytes", text.n);
}

int tokenizer_encode(const struct tokenizer *t, struct sv text, int flags, struct ids *out, ilab_err *e)
{
    size_t n_before = out->n;
    int after_special = 1, rc = 0;

    if ((flags & TOKEN_ADD_BOS) && t->adds_bos)
        rc = ids_push(out, t->bos);
    if (!rc)
        rc = encode_part(t, text, flags, &after_special, out, e);
    else
        err_set(e, rc, "no memory to encode a text of %zu bytes", text.n);
    if (!rc && (flags & TOKEN_ADD_EOS) && t->adds_eos && (rc = ids_push(out, t->eos)))
        err_set(e, rc, "no memory to encode a text of %zu bytes", text.n);
    if (rc)
        out->n = n_before;
    return rc;
}
