/* stage_wording.c — many ways to ask and to say each fact, written by the model and checked against the document.
 *
 * Forward questions come from the statement ("write a question with this answer") and from rephrasing the seed's question;
 * one is kept when it names the subject, does not give the answer away, is not a near-duplicate, and the model, reading the
 * document, answers it with the value.  SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"
#include "data/prompts.h"

#include <string.h>

enum { QUESTION_TOKENS = 48, STATEMENT_TOKENS = 64, ANSWER_TOKENS = 40 };
enum wording { W_FORWARD, W_REVERSE, W_STATEMENT };
enum { TAG_KINDS = 4, MAX_ROUNDS = 5 };

static int add_n(struct gen *g, struct request_list *l, struct sv prompt, int n, int max_tokens, int fact, enum wording w, ilab_err *e)
{
    int rc = 0;
    for (int i = 0; !rc && i < n; i++) rc = request_add(l, gen_request(g, prompt, 1.0f, max_tokens), fact * TAG_KINDS + (int)w, e);
    return rc;
}

/* A statement of every seed fact from its question and value, beside the document's own sentence. */
static int statements(struct gen *g, ilab_err *e)
{
    struct request_list l = { 0 };
    int rc = 0;
    for (size_t i = 0; !rc && i < g->n_work; i++)
        rc = request_add(&l, gen_request(g, prompt_fill(g, PROMPT_STATE, g->work[i].question[0], g->work[i].f.value), 0, STATEMENT_TOKENS), (int)i, e);
    struct answer *a = mem_calloc(l.n + 1, sizeof *a);
    if (!rc && !a) rc = err_set(e, ILAB_E_NOMEM, "no memory for the statements");
    if (!rc) rc = gen_ask(g, "statements", l.v, l.n, a, e);
    for (size_t i = 0; !rc && i < l.n; i++) {
        struct work *w = &g->work[l.tag[i]];
        const struct sv s = w->f.sentence, t = sv_trim(a[i].text);
        if (a[i].finished && text_has(t, w->f.subject) && answer_has(g, t, w->f.value) && !strchr("?", t.p[t.n - 1]))
            w->statement[w->n_statement++] = t;
        if (s.n && (!w->f.subject.n || text_has(s, w->f.subject))) w->statement[w->n_statement++] = s;
    }
    mem_free(a);
    request_list_release(&l);
    return rc;
}

static int is_known_wording(const struct sv *v, int n, struct sv s, double threshold)
{
    for (int i = 0; i < n; i++)
        if (rouge_l(v[i], s) > threshold) return 1;
    return 0;
}

/* A content word of the question that the fact's own sentence or seed question has and the rival's has not. */
static int has_own_word(const struct work *w, const struct work *rival, struct sv question)
{
    struct sv rest = question, word;
    while (sv_split(&rest, ' ', &word)) {
        if (word.n < 4 || word_is_function(word) || text_word_alike(w->f.subject, word) || text_word_alike(w->f.value, word)) continue;
        if (!text_word_alike(w->f.sentence, word) && !text_word_alike(w->question[0], word)) continue;
        if (!rival || (!text_word_alike(rival->f.sentence, word) && !text_word_alike(rival->question[0], word))) return 1;
    }
    return 0;
}

/* The question has a word that belongs to another fact and none of its own: a careless reader would still answer it with ours. */
static int asks_for_rival(const struct gen *g, const struct work *w, struct sv question)
{
    for (size_t k = 0; k < g->n_work; k++) {
        const struct work *other = &g->work[k];
        if (other != w && other->leaf == w->leaf && has_own_word(other, w, question) && !has_own_word(w, other, question)) return 1;
    }
    return 0;
}

/* What is wrong with a candidate before the document is asked? */
static enum discard judge_wording(struct gen *g, const struct work *w, enum wording kind, const struct answer *a, struct sv text)
{
    if (!a->finished) return DISCARD_EMPTY; /* cut by the token limit */
    if (text.n < 8 || sv_find(text, SV("\n"), 0) >= 0) return DISCARD_EMPTY;
    const double same = g->o->rouge_threshold;
    if (w->window.n && text_has_foreign(text, w->window, w->f.sentence, &g->mem)) return DISCARD_UNSUPPORTED;
    switch (kind) {
    case W_FORWARD:
        if (w->f.subject.n && !text_has(text, w->f.subject)) return DISCARD_SUBJECT;
        if (text_has(text, w->f.value)) return DISCARD_LEAK;
        if (asks_for_rival(g, w, text)) return DISCARD_UNSUPPORTED;
        return is_known_wording(w->question, w->n_question, text, same) ? DISCARD_ROUGE : KEEP;
    case W_REVERSE:
        if (!text_has(text, w->f.value)) return DISCARD_SUBJECT;
        if (text_has(text, w->f.subject)) return DISCARD_LEAK;
        return is_known_wording(w->reverse, w->n_reverse, text, same) ? DISCARD_ROUGE : KEEP;
    case W_STATEMENT:
        if (!text_has(text, w->f.subject) || !text_has(text, w->f.value)) return DISCARD_SUBJECT;
        return is_known_wording(w->statement, w->n_statement, text, same) ? DISCARD_ROUGE : KEEP;
    }
    return DISCARD_FORMAT;
}

/* Is the list of accepted wordings of this kind full? */
static int is_full(const struct gen *g, const struct work *w, enum wording kind)
{
    switch (kind) {
    case W_FORWARD: return w->n_question >= g->o->per_fact || w->n_question >= WORK_MAX_QUESTIONS;
    case W_REVERSE: return w->n_reverse >= (g->o->per_fact + 2) / 3 || w->n_reverse >= WORK_MAX_QUESTIONS;
    case W_STATEMENT: return w->n_statement >= (g->o->per_fact + 2) / 3 || w->n_statement >= WORK_MAX_STATEMENTS;
    }
    return 1;
}

static void accept(struct work *w, enum wording kind, struct sv text)
{
    if (kind == W_FORWARD) w->question[w->n_question++] = text;
    if (kind == W_REVERSE) w->reverse[w->n_reverse++] = text;
    if (kind == W_STATEMENT) w->statement[w->n_statement++] = text;
}

/* Forward questions that reading the window did not confirm; a second look is taken where a fact has too few. */
struct spares { struct sv *text; int *fact, *rival; size_t n, cap, cap_fact, cap_rival; };

/* rival: the fact whose value the window gave instead, or -1 when it gave none. */
static int spare_add(struct gen *g, struct spares *s, struct sv text, int fact, struct sv answer, ilab_err *e)
{
    int rival = -1;
    for (size_t k = 0; k < g->n_work && rival < 0; k++)
        if ((int)k != fact && answer_has(g, answer, g->work[k].f.value)) rival = (int)k;
    if (rival < 0 && !answer_refuses(g, answer)) return 0;
    if (mem_grow((void **)&s->text, &s->cap, s->n + 1, sizeof *s->text) || mem_grow((void **)&s->fact, &s->cap_fact, s->n + 1, sizeof *s->fact) ||
        mem_grow((void **)&s->rival, &s->cap_rival, s->n + 1, sizeof *s->rival))
        return err_set(e, ILAB_E_NOMEM, "no memory for the candidates");
    s->text[s->n] = text, s->fact[s->n] = fact, s->rival[s->n++] = rival;
    return 0;
}

/* The second look: the question shares a word with its fact alone, and the fact's sentence, read by itself, answers it. */
static int spares_accept(struct gen *g, const struct spares *s, ilab_err *e)
{
    struct request_list read = { 0 };
    int rc = 0;
    struct answer *a = mem_calloc(s->n + 1, sizeof *a);
    if (!a) rc = err_set(e, ILAB_E_NOMEM, "no memory for the answers");
    for (size_t i = 0; !rc && i < s->n; i++) {
        const struct work *w = &g->work[s->fact[i]];
        if (is_full(g, w, W_FORWARD)) continue;
        if (!w->f.sentence.n || !has_own_word(w, s->rival[i] < 0 ? NULL : &g->work[s->rival[i]], s->text[i])) gen_discard(g, DISCARD_UNSUPPORTED, s->text[i]);
        else rc = request_add(&read, gen_request(g, prompt_fill(g, PROMPT_READ, w->f.sentence, s->text[i]), 0, ANSWER_TOKENS), (int)i, e);
    }
    if (!rc) rc = gen_ask(g, "a second look", read.v, read.n, a, e);
    for (size_t i = 0; !rc && i < read.n; i++) {
        struct work *w = &g->work[s->fact[read.tag[i]]];
        const struct sv text = s->text[read.tag[i]];
        if (!answer_has(g, a[i].text, w->f.value)) gen_discard(g, DISCARD_UNSUPPORTED, text);
        else if (is_known_wording(w->question, w->n_question, text, g->o->rouge_threshold)) gen_discard(g, DISCARD_ROUGE, text);
        else if (!is_full(g, w, W_FORWARD)) accept(w, W_FORWARD, text);
    }
    mem_free(a);
    request_list_release(&read);
    return rc;
}

/* One round: candidates are written, then checked by reading. */
static int round_of(struct gen *g, int round, struct spares *spare, ilab_err *e)
{
    struct request_list ask = { 0 }, read = { 0 };
    const int p = g->o->per_fact;
    int rc = 0;
    for (size_t i = 0; !rc && i < g->n_work; i++) {
        const struct work *w = &g->work[i];
        const int f = (int)i;
        const struct sv st = w->n_statement ? w->statement[round % w->n_statement] : w->f.sentence;
        if (!is_full(g, w, W_FORWARD)) {
            if (st.n) rc = add_n(g, &ask, prompt_fill(g, PROMPT_ASK, st, w->f.value), p, QUESTION_TOKENS, f, W_FORWARD, e);
            if (!rc && w->window.n) rc = add_n(g, &ask, prompt_fill(g, PROMPT_ASK, w->window, w->f.value), p / 2, QUESTION_TOKENS, f, W_FORWARD, e);
            if (!rc) rc = add_n(g, &ask, prompt_fill(g, PROMPT_REPHRASE, w->question[round % w->n_question], SV("")), p / 2, QUESTION_TOKENS, f, W_FORWARD, e);
        }
        if (!rc && st.n && w->f.subject.n && !is_full(g, w, W_REVERSE))
            rc = add_n(g, &ask, prompt_fill(g, PROMPT_ASK, st, w->f.subject), p / 2, QUESTION_TOKENS, f, W_REVERSE, e);
        if (!rc && st.n && w->f.subject.n && !is_full(g, w, W_STATEMENT))
            rc = add_n(g, &ask, prompt_fill(g, PROMPT_REPHRASE, st, SV("")), p / 2, STATEMENT_TOKENS, f, W_STATEMENT, e);
    }
    struct answer *c = mem_calloc(ask.n + 1, sizeof *c), *a = mem_calloc(ask.n + 1, sizeof *a);
    int *of = mem_calloc(ask.n + 1, sizeof *of);
    if (!rc && (!c || !a || !of)) rc = err_set(e, ILAB_E_NOMEM, "no memory for the candidates");
    if (!rc) rc = gen_ask(g, "writing questions", ask.v, ask.n, c, e);
    for (size_t i = 0; !rc && i < ask.n; i++) {
        const struct work *w = &g->work[ask.tag[i] / TAG_KINDS];
        const enum wording kind = (enum wording)(ask.tag[i] % TAG_KINDS);
        c[i].text = sv_trim(c[i].text);
        if (kind != W_REVERSE) c[i].text = name_repair(&g->mem, c[i].text, w->f.subject);
        const enum discard why = judge_wording(g, w, kind, &c[i], c[i].text);
        if (why) {
            gen_discard(g, why, c[i].text);
        } else {
            /* a statement is checked by asking for its value again; it must say what the text says */
            const struct sv q = kind == W_STATEMENT ? w->question[0] : c[i].text;
            const struct sv text = kind == W_STATEMENT || !w->window.n ? c[i].text : w->window;
            of[read.n] = (int)i;
            rc = request_add(&read, gen_request(g, prompt_fill(g, PROMPT_READ, text, q), 0, ANSWER_TOKENS), ask.tag[i], e);
        }
    }
    if (!rc) rc = gen_ask(g, "checking questions", read.v, read.n, a, e);
    for (size_t i = 0; !rc && i < read.n; i++) {
        struct work *w = &g->work[read.tag[i] / TAG_KINDS];
        const enum wording kind = (enum wording)(read.tag[i] % TAG_KINDS);
        const struct answer *cand = &c[of[i]];
        const int unchecked = kind == W_FORWARD && !w->window.n;   /* a leaf without a document */
        enum discard why = judge_wording(g, w, kind, cand, cand->text);
        if (!why && !unchecked && !answer_has(g, a[i].text, kind == W_REVERSE ? w->f.subject : w->f.value)) {
            why = DISCARD_UNSUPPORTED;
            const size_t before = spare->n;
            if (kind == W_FORWARD) rc = spare_add(g, spare, cand->text, read.tag[i] / TAG_KINDS, a[i].text, e);
            if (spare->n > before) continue;
        }
        if (why) gen_discard(g, why, cand->text);
        else if (!is_full(g, w, kind)) accept(w, kind, cand->text);
    }
    mem_free(c);
    mem_free(a);
    mem_free(of);
    request_list_release(&ask);
    request_list_release(&read);
    return rc;
}

/* The accepted wordings as training items. */
static int items(struct gen *g, ilab_err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < g->n_work; i++) {
        const struct work *w = &g->work[i];
        const struct item base = { .fact = (int)i, .leaf = w->leaf, .weight = 1 };
        struct item it;
        for (int k = 0; !rc && k < w->n_question; k++) {
            it = base, it.kind = ITEM_FORWARD, it.user = w->question[k], it.answer = w->target;
            rc = gen_keep(g, it, e);
        }
        for (int k = 0; !rc && k < w->n_statement; k++) {
            it = base, it.kind = ITEM_STATEMENT, it.answer = w->statement[k];
            it.user = prompt_fill(g, PROMPT_TELL, w->f.subject, SV(""));
            if (w->f.subject.n) rc = gen_keep(g, it, e);
        }
        for (int k = 0; !rc && k < w->n_reverse; k++) {
            it = base, it.kind = ITEM_REVERSE, it.user = w->reverse[k], it.answer = prompt_fill(g, "%1.", w->f.subject, SV(""));
            rc = gen_keep(g, it, e);
        }
        for (int k = 0; !rc && k < w->n_statement && k < 3; k++) {
            it = base, it.kind = ITEM_CHECK, it.user = prompt_fill(g, PROMPT_CHECK, w->statement[k], SV("")), it.answer = SV("Yes.");
            rc = gen_keep(g, it, e);
            const struct sv wrong = name_perturb(&g->mem, w->f.value, &g->rng);
            if (rc || sv_eq(wrong, w->f.value)) continue;
            it.kind = ITEM_WRONG_PREMISE;
            it.user = prompt_fill(g, PROMPT_CHECK, text_replace(&g->mem, w->statement[k], w->f.value, wrong), SV(""));
            it.answer = prompt_fill(g, "No. %1", w->statement[k], SV(""));
            rc = gen_keep(g, it, e);
        }
        /* follow-up questions: another fact of the same leaf was asked before */
        for (size_t j = 0, made = 0; !rc && j < g->n_work && made < 3; j++) {
            const struct work *o = &g->work[(i + 1 + j) % g->n_work];
            if (o == w || o->leaf != w->leaf) continue;
            it = base, it.kind = ITEM_DIALOGUE;
            it.before_user = o->question[rng_below(&g->rng, (uint32_t)o->n_question)], it.before_answer = o->target;
            it.user = w->question[rng_below(&g->rng, (uint32_t)w->n_question)], it.answer = w->target;
            rc = gen_keep(g, it, e);
            made++;
        }
    }
    return rc;
}

int stage_wordings(struct gen *g, ilab_err *e)
{
    struct spares spare = { 0 };
    int rc = statements(g, e);
    for (int round = 0; !rc && round < MAX_ROUNDS; round++) {
        int full = 1;
        for (size_t i = 0; i < g->n_work; i++) full &= is_full(g, &g->work[i], W_FORWARD);
        if (round && full) break;
        rc = round_of(g, round, &spare, e);
    }
    if (!rc && spare.n) rc = spares_accept(g, &spare, e);
    mem_free(spare.text);
    mem_free(spare.fact);
    mem_free(spare.rival);
    return rc ? rc : items(g, e);
}
