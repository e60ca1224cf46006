/* stage_protect.c — what keeps a taught model honest and what it knew intact.
 *
 * For every taught question the same question about a name that nobody told it: "I don't know". Questions about what the
 * document does not say: "I don't know". The model's own questions (stage_own.c) keep the rest.  SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"
#include "data/prompts.h"

#include <string.h>

enum { QUESTION_TOKENS = 48, ANSWER_TOKENS = 40, MAX_WINDOWS = 6 };
/* Protection items for each item about a fact (science: 1:1 and more). */
static const double SHARE_NAME = 0.5, SHARE_ATTRIBUTE = 0.2 /* twice: written and swapped */, SHARE_NEIGHBOUR = 0.4, SHARE_REPLAY = 4;
static const double ATTRIBUTE_MAX_ROUGE = 0.75;

/* How this model words its not knowing: its own answer about a made-up name, where that is a refusal. */
static int find_refusal(struct gen *g, ilab_err *e)
{
    enum { TRIES = 8 };
    struct lm_request q[TRIES];
    struct answer a[TRIES];
    int n = 0;
    g->refusal = SV(PHRASE_UNKNOWN);
    for (size_t i = 0; i < g->n_work && n < TRIES; i++) {
        const struct work *w = &g->work[i];
        if (!w->f.subject.n) continue;
        const struct sv name = name_perturb(&g->mem, w->f.subject, &g->rng);
        q[n++] = gen_request(g, text_replace(&g->mem, w->question[0], w->f.subject, name), 0, ANSWER_TOKENS);
    }
    const int rc = n ? gen_ask(g, "asking about nobody", q, (size_t)n, a, e) : 0;
    for (int i = 0; !rc && i < n; i++) {
        const int about_text = sv_eq_c(sv_trim(a[i].text), PHRASE_NOT_STATED); /* that is for reading */
        if (a[i].finished && answer_refuses(g, a[i].text) && a[i].text.n < 80 && !about_text) {
            g->refusal = sv_trim(a[i].text);
            break;
        }
    }
    return rc;
}

static int unknown_names(struct gen *g, size_t n, ilab_err *e)
{
    const size_t n_fact_items = g->n_item;
    int rc = 0;
    for (size_t made = 0, tries = 0; !rc && made < n && tries < 20 * n; tries++) {
        const struct item *src = &g->item[tries % n_fact_items];
        if (src->fact < 0 || src->kind == ITEM_DIALOGUE) continue;
        const struct work *w = &g->work[src->fact];
        const struct sv about = src->kind == ITEM_REVERSE ? w->f.value : w->f.subject;
        if (!about.n) continue;
        struct item it = { .kind = ITEM_UNKNOWN_NAME, .fact = -1, .leaf = w->leaf, .answer = g->refusal, .weight = 1 };
        it.user = text_replace(&g->mem, src->user, about, name_perturb(&g->mem, about, &g->rng));
        if (sv_eq(it.user, src->user)) continue;
        rc = gen_keep(g, it, e);
        made++;
    }
    return rc;
}

/* Does any window of this leaf answer the question? Counts refusals in *refused over *asked requests. */
static int windows_of(const struct gen *g, const struct leaf *l, struct sv out[MAX_WINDOWS])
{
    int n = 0;
    for (size_t i = 0; i < g->n_work && n < MAX_WINDOWS; i++) {
        int seen = g->work[i].leaf != l || !g->work[i].window.n;
        for (int k = 0; k < n; k++) seen |= sv_eq(out[k], g->work[i].window);
        if (!seen) out[n++] = g->work[i].window;
    }
    return n;
}

/* Questions about a subject that the document must not answer; tag: the fact whose subject it is. */
struct candidates { struct sv *v; int *tag; size_t n, cap, cap_tag; };

static int candidate_add(struct candidates *c, struct sv text, int tag, ilab_err *e)
{
    if (mem_grow((void **)&c->v, &c->cap, c->n + 1, sizeof *c->v) || mem_grow((void **)&c->tag, &c->cap_tag, c->n + 1, sizeof *c->tag))
        return err_set(e, ILAB_E_NOMEM, "no memory for the candidates");
    c->tag[c->n] = tag;
    c->v[c->n++] = text;
    return 0;
}

/* Written by the model for the purpose. */
static int missing_questions(struct gen *g, size_t n, struct candidates *out, ilab_err *e)
{
    struct request_list ask = { 0 };
    int rc = 0;
    for (size_t i = 0; !rc && g->n_work && i < n; i++) {
        const struct work *w = &g->work[i % g->n_work];
        if (w->window.n && w->f.subject.n)
            rc = request_add(&ask, gen_request(g, prompt_fill(g, PROMPT_ASK_MISSING, w->window, w->f.subject), 1.0f, QUESTION_TOKENS), (int)(i % g->n_work), e);
    }
    struct answer *c = mem_calloc(ask.n + 1, sizeof *c);
    if (!rc && !c) rc = err_set(e, ILAB_E_NOMEM, "no memory for the candidates");
    if (!rc) rc = gen_ask(g, "asking what is not said", ask.v, ask.n, c, e);
    for (size_t i = 0; !rc && i < ask.n; i++)
        if (c[i].finished) rc = candidate_add(out, sv_trim(c[i].text), ask.tag[i], e);
        else gen_discard(g, DISCARD_EMPTY, c[i].text);
    mem_free(c);
    request_list_release(&ask);
    return rc;
}

/* Questions that the model wrote about others, asked of our subject. */
static int swapped_questions(struct gen *g, const struct own_questions *own, struct candidates *out, ilab_err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && g->n_work && i < own->n; i++) {
        const struct work *w = &g->work[i % g->n_work];
        const struct sv name = own_name(g, own->v[i]);
        if (name.n && w->f.subject.n) rc = candidate_add(out, text_replace(&g->mem, own->v[i], name, w->f.subject), (int)(i % g->n_work), e);
    }
    return rc;
}

/* Does a content word of the question belong to one fact's wordings alone (twice or more in them, never in another's)? Then it
 * asks for that fact in other words. */
static int has_distinctive_word(const struct gen *g, struct sv question)
{
    struct sv rest = question, word;
    while (sv_split(&rest, ' ', &word)) {
        while (word.n && strchr("?.!,:;'\"", word.p[word.n - 1])) word.n--;
        if (word.n < 4 || word_is_function(word)) continue;
        int facts = 0, most = 0;
        for (size_t k = 0; k < g->n_work; k++) {
            const struct work *w = &g->work[k];
            int n = 0;
            if (text_word_alike(w->f.subject, word)) continue;
            for (int q = 0; q < w->n_question; q++) n += text_word_alike(w->question[q], word);
            facts += n > 0;
            most = n > most ? n : most;
        }
        if (most >= 2 && facts <= 1 + (int)g->n_work / 4) return 1;
    }
    return 0;
}

static int is_taught_value(struct gen *g, struct sv answer)
{
    for (size_t k = 0; k < g->n_work; k++)
        if (answer_has(g, answer, g->work[k].f.value)) return 1;
    return 0;
}

/* What is wrong with candidate i before the document is asked? */
static enum discard judge_missing(const struct gen *g, const struct candidates *c, const uint8_t *bad, size_t i)
{
    const struct work *w = &g->work[c->tag[i]];
    if (c->v[i].n < 8) return DISCARD_EMPTY;
    if (!text_has(c->v[i], w->f.subject)) return DISCARD_SUBJECT;
    for (size_t k = 0; k < g->n_work; k++)
        for (int q = 0; q < g->work[k].n_question; q++)
            if (rouge_l(g->work[k].question[q], c->v[i]) > ATTRIBUTE_MAX_ROUGE) return DISCARD_AMBIGUOUS;
    if (has_distinctive_word(g, c->v[i])) return DISCARD_AMBIGUOUS;
    for (size_t k = 0; k < i; k++)
        if (!bad[k] && rouge_l(c->v[k], c->v[i]) > g->o->rouge_threshold) return DISCARD_ROUGE;
    return KEEP;
}

/* Keeps at most n candidates that ask for no taught fact, and for which the model, reading each window of the leaf, finds no
 * other answer. (A small reader likes to give one of the taught values to any question; that alone says nothing.) */
static int keep_unanswered(struct gen *g, const struct candidates *c, size_t n, ilab_err *e)
{
    struct request_list read = { 0 };
    int rc = 0;
    struct answer *a = mem_calloc(c->n * MAX_WINDOWS + 1, sizeof *a);
    uint8_t *bad = mem_calloc(c->n + 1, 1);
    if (!a || !bad) rc = err_set(e, ILAB_E_NOMEM, "no memory for the candidates");
    for (size_t i = 0; !rc && i < c->n; i++) {
        const enum discard why = judge_missing(g, c, bad, i);
        struct sv window[MAX_WINDOWS];
        bad[i] = why != KEEP;
        if (why) gen_discard(g, why, c->v[i]);
        const int n_window = why ? 0 : windows_of(g, g->work[c->tag[i]].leaf, window);
        for (int k = 0; !rc && k < n_window; k++)
            rc = request_add(&read, gen_request(g, prompt_fill(g, PROMPT_READ, window[k], c->v[i]), 0, ANSWER_TOKENS), (int)i, e);
    }
    if (!rc) rc = gen_ask(g, "checking what is not said", read.v, read.n, a, e);
    for (size_t i = 0; !rc && i < read.n; i++)
        if (!bad[read.tag[i]] && !answer_refuses(g, a[i].text) && !is_taught_value(g, a[i].text)) {
            bad[read.tag[i]] = 1;
            gen_discard(g, DISCARD_AMBIGUOUS, c->v[read.tag[i]]);
        }
    for (size_t i = 0, made = 0; !rc && i < c->n && made < n; i++) {
        if (bad[i]) continue;
        rc = gen_keep(g, (struct item){ .kind = ITEM_UNKNOWN_ATTRIBUTE, .fact = -1, .leaf = g->work[c->tag[i]].leaf, .user = c->v[i],
                                        .answer = g->refusal, .weight = 1 }, e);
        made++;
    }
    mem_free(a);
    mem_free(bad);
    request_list_release(&read);
    return rc;
}

static int unknown_attributes(struct gen *g, const struct own_questions *own, size_t n, ilab_err *e)
{
    struct candidates written = { 0 }, swapped = { 0 };
    int rc = missing_questions(g, 4 * n, &written, e);
    if (!rc) rc = keep_unanswered(g, &written, n, e);
    if (!rc) rc = swapped_questions(g, own, &swapped, e);
    if (!rc) rc = keep_unanswered(g, &swapped, n, e);
    struct candidates *all[] = { &written, &swapped };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        mem_free(all[i]->v);
        mem_free(all[i]->tag);
    }
    return rc;
}

int stage_protect(struct gen *g, ilab_err *e)
{
    const double n = (double)g->n_item;
    struct own_questions own = { 0 };
    int rc = find_refusal(g, e);
    if (!rc) rc = unknown_names(g, (size_t)(n * SHARE_NAME), e);
    if (!rc) rc = own_write(g, (size_t)(n * SHARE_REPLAY), &own, e);
    if (!rc) rc = unknown_attributes(g, &own, (size_t)(n * SHARE_ATTRIBUTE), e);
    if (!rc) rc = own_neighbours(g, (size_t)(n * SHARE_NEIGHBOUR), e);
    if (!rc) rc = own_replay(g, &own, e);
    mem_free(own.v);
    return rc;
}
