/* draft.c — a vocabulary while it is put together from files that name ids in any order.
 *
 * Ids are checked against TOKEN_MAX_VOCAB before anything grows; a text is given to one id only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "token/hf.h"

#include <string.h>

enum { DRAFT_MAX_BYTES = 1 << 28, DRAFT_MAX_HOLES = 1 << 14 };

void draft_init(struct draft *d)
{
    *d = (struct draft){ 0 };
    arena_init(&d->strings, DRAFT_MAX_BYTES);
}

void draft_release(struct draft *d)
{
    mem_free(d->text);
    mem_free(d->kind);
    mem_free(d->score);
    mem_free(d->strip);
    arena_release(&d->strings);
}

static int grow(struct draft *d, int n)
{
    size_t need = (size_t)n;

    if (mem_grow((void **)&d->text, &d->text_cap, need, sizeof *d->text) || mem_grow((void **)&d->kind, &d->kind_cap, need, sizeof *d->kind) ||
        mem_grow((void **)&d->score, &d->score_cap, need, sizeof *d->score) || mem_grow((void **)&d->strip, &d->strip_cap, need, 1))
        return ILAB_E_NOMEM;
    for (; d->n < n; d->n++) {
        d->text[d->n] = (struct sv){ NULL, 0 };
        d->kind[d->n] = TOKEN_UNUSED;
        d->score[d->n] = 0;
        d->strip[d->n] = 0;
    }
    return 0;
}

static int show(struct sv s) { return (int)(s.n < 60 ? s.n : 60); }

int draft_put(struct draft *d, int64_t id, struct sv text, int32_t kind, float score, int over, ilab_err *e)
{
    if (id < 0 || id >= TOKEN_MAX_VOCAB)
        return err_set(e, ILAB_E_FORMAT, "token '%.*s' has id %lld: must be 0 to %d", show(text), text.p, (long long)id, TOKEN_MAX_VOCAB - 1);
    if (id >= d->n && grow(d, (int)id + 1))
        return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %lld tokens", (long long)id + 1);
    if (d->text[id].p && !over && !sv_eq(d->text[id], text))
        return err_set(e, ILAB_E_FORMAT, "tokens '%.*s' and '%.*s' have the same id %lld", show(d->text[id]), d->text[id].p, show(text), text.p,
                       (long long)id);
    d->text[id] = text;
    d->kind[id] = kind;
    d->score[id] = score;
    return 0;
}

/* An id without a token gets one that no text becomes. */
static int fill_holes(struct draft *d, ilab_err *e)
{
    char name[32];

    for (int i = 0; i < d->n; i++) {
        if (d->text[i].p)
            continue;
        int n = snprintf(name, sizeof name, "[PAD%d]", i);
        const char *p = arena_strndup(&d->strings, name, (size_t)n);
        if (!p)
            return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %d tokens", d->n);
        d->text[i] = (struct sv){ p, (size_t)n };
    }
    return 0;
}

int draft_finish(struct draft *d, struct tokenizer *t, int64_t n_vocab, ilab_err *e)
{
    int rc, any_strip = 0, n_given = 0;

    for (int i = 0; i < d->n; i++)
        n_given += d->text[i].p != NULL;
    if (d->n > 2 * n_given + DRAFT_MAX_HOLES)
        return err_set(e, ILAB_E_FORMAT, "the highest id is %d, but there are only %d tokens", d->n - 1, n_given);
    if (n_vocab > TOKEN_MAX_VOCAB)
        return err_set(e, ILAB_E_LIMIT, "vocabulary of %lld tokens: at most %d", (long long)n_vocab, TOKEN_MAX_VOCAB);
    if (!n_given)
        return err_set(e, ILAB_E_FORMAT, "the vocabulary is empty");
    if (n_vocab > d->n && grow(d, (int)n_vocab))
        return err_set(e, ILAB_E_NOMEM, "no memory for a vocabulary of %lld tokens", (long long)n_vocab);
    if ((rc = fill_holes(d, e)) || (rc = tokenizer_set_vocab(t, d->text, d->kind, d->n, e)))
        return rc;
    for (int i = 0; i < d->n; i++) {
        int32_t twin = vocab_find(t, d->text[i]);
        if (twin != i && t->kind[i] != TOKEN_UNUSED)
            return err_set(e, ILAB_E_FORMAT, "token '%.*s' has two ids, %d and %d", show(d->text[i]), d->text[i].p, i, twin);
        any_strip |= d->strip[i];
    }
    if (t->model == VOCAB_SPM || t->model == VOCAB_UNIGRAM) {
        t->score = d->score;
        d->score = NULL;
    }
    if (any_strip) {
        t->strip = d->strip;
        d->strip = NULL;
    }
    return 0;
}
