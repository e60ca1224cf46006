/* stage_protect.c — what keeps a taught model honest and what it knew intact.
 *
 * For every taught question the same question about a name that nobody told it: "I don't know". Questions about what the
 * document does not say: "I don't know". And questions that the model writes for itself, with the answers it gives today
 * and its whole distribution over them (self-made replay).  SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"
#include "data/prompts.h"

#include <string.h>

enum { QUESTION_TOKENS = 48, ANSWER_TOKENS = 40, REPLAY_TOP = 12, MAX_WINDOWS = 6 };
/* Protection items for each item about a fact (science: 1:1 and more). */
static const double SHARE_NAME = 0.45, SHARE_ATTRIBUTE = 0.25, SHARE_REPLAY = 0.8;
static const double ATTRIBUTE_MAX_ROUGE = 0.75, SURE_LOGP = -0.25;

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

static int unknown_attributes(struct gen *g, size_t n, ilab_err *e)
{
    struct request_list ask = { 0 }, read = { 0 };
    int rc = 0;
    for (size_t i = 0; !rc && g->n_work && i < 3 * n; i++) {
        const int f = (int)(i % g->n_work);
        const struct work *w = &g->work[f];
        if (w->window.n && w->f.subject.n)
            rc = request_add(&ask, gen_request(g, prompt_fill(g, PROMPT_ASK_MISSING, w->window, w->f.subject), 1.0f, QUESTION_TOKENS), f, e);
    }
    struct answer *c = mem_calloc(ask.n + 1, sizeof *c), *a = mem_calloc(ask.n * MAX_WINDOWS + 1, sizeof *a);
    uint8_t *bad = mem_calloc(ask.n + 1, 1);
    if (!rc && (!c || !a || !bad)) rc = err_set(e, ILAB_E_NOMEM, "no memory for the candidates");
    if (!rc) rc = gen_ask(g, "asking what is not said", ask.v, ask.n, c, e);
    for (size_t i = 0; !rc && i < ask.n; i++) {
        const struct work *w = &g->work[ask.tag[i]];
        c[i].text = sv_trim(c[i].text);
        enum discard why = !c[i].finished || c[i].text.n < 8 ? DISCARD_EMPTY : !text_has(c[i].text, w->f.subject) ? DISCARD_SUBJECT : KEEP;
        for (size_t k = 0; !why && k < g->n_work; k++)
            for (int q = 0; !why && q < g->work[k].n_question; q++)
                if (rouge_l(g->work[k].question[q], c[i].text) > ATTRIBUTE_MAX_ROUGE) why = DISCARD_AMBIGUOUS;
        for (size_t k = 0; !why && k < i; k++)
            if (!bad[k] && rouge_l(c[k].text, c[i].text) > g->o->rouge_threshold) why = DISCARD_ROUGE;
        bad[i] = why != KEEP;
        if (why) {
            gen_discard(g, why, c[i].text);
            continue;
        }
        struct sv window[MAX_WINDOWS];
        const int n_window = windows_of(g, w->leaf, window);
        for (int k = 0; !rc && k < n_window; k++)
            rc = request_add(&read, gen_request(g, prompt_fill(g, PROMPT_READ, window[k], c[i].text), 0, ANSWER_TOKENS), (int)i, e);
    }
    if (!rc) rc = gen_ask(g, "checking what is not said", read.v, read.n, a, e);
    for (size_t i = 0; !rc && i < read.n; i++)
        if (!bad[read.tag[i]] && !answer_refuses(g, a[i].text)) {
            bad[read.tag[i]] = 1;
            gen_discard(g, DISCARD_AMBIGUOUS, c[read.tag[i]].text);
        }
    for (size_t i = 0, made = 0; !rc && i < ask.n && made < n; i++) {
        if (bad[i]) continue;
        rc = gen_keep(g, (struct item){ .kind = ITEM_UNKNOWN_ATTRIBUTE, .fact = -1, .leaf = g->work[ask.tag[i]].leaf, .user = c[i].text,
                                        .answer = g->refusal, .weight = 1 }, e);
        made++;
    }
    mem_free(c);
    mem_free(a);
    mem_free(bad);
    request_list_release(&ask);
    request_list_release(&read);
    return rc;
}

static int names_a_subject(const struct gen *g, struct sv text)
{
    for (size_t i = 0; i < g->n_work; i++)
        if (g->work[i].f.subject.n && text_has(text, g->work[i].f.subject)) return 1;
    return 0;
}

/* The model writes a user's turn, then answers it as it does today. */
static int replay(struct gen *g, size_t n, ilab_err *e)
{
    struct request_list ask = { 0 }, reply = { 0 };
    int rc = 0;
    for (size_t i = 0; !rc && i < n + n / 4; i++) {
        struct lm_request q = gen_request(g, SV(""), 1.0f, 3 * QUESTION_TOKENS);
        q.n_message = 0;
        q.write_user = 1;
        rc = request_add(&ask, q, 0, e);
    }
    struct answer *c = mem_calloc(ask.n + 1, sizeof *c), *a = mem_calloc(ask.n + 1, sizeof *a);
    int *of = mem_calloc(ask.n + 1, sizeof *of);
    if (!rc && (!c || !a || !of)) rc = err_set(e, ILAB_E_NOMEM, "no memory for the replay");
    if (!rc) rc = gen_ask(g, "own questions", ask.v, ask.n, c, e);
    for (size_t i = 0; !rc && i < ask.n && reply.n < n; i++) {
        c[i].text = sv_trim(c[i].text);
        if (!c[i].finished || c[i].text.n < 4 || names_a_subject(g, c[i].text)) continue;
        struct lm_request q = gen_request(g, c[i].text, 0, 2 * ANSWER_TOKENS);
        q.n_top = REPLAY_TOP;
        of[reply.n] = (int)i;
        rc = request_add(&reply, q, 0, e);
    }
    if (!rc) rc = gen_ask(g, "own answers", reply.v, reply.n, a, e);
    for (size_t i = 0; !rc && i < reply.n; i++) {
        if (!a[i].finished || !sv_trim(a[i].text).n) continue;
        /* the distribution fits only where the answer's own tokens are those that encoding it gives again */
        const size_t rows = a[i].top ? json_array_size(a[i].top) : 0;
        const int n_token = lm_count_tokens(g->lm, a[i].text);
        if (rows != (size_t)n_token && rows != (size_t)n_token + 1) a[i].top = NULL;
        const int sure = a[i].logp > SURE_LOGP && !answer_refuses(g, a[i].text);
        rc = gen_keep(g, (struct item){ .kind = sure ? ITEM_KNOWN : ITEM_REPLAY, .fact = -1, .leaf = g->work[0].leaf, .user = c[of[i]].text,
                                        .answer = a[i].text, .top = a[i].top, .weight = 1 }, e);
    }
    mem_free(c);
    mem_free(a);
    mem_free(of);
    request_list_release(&ask);
    request_list_release(&reply);
    return rc;
}

int stage_protect(struct gen *g, ilab_err *e)
{
    const double n = (double)g->n_item;
    int rc = find_refusal(g, e);
    if (!rc) rc = unknown_names(g, (size_t)(n * SHARE_NAME), e);
    if (!rc) rc = unknown_attributes(g, (size_t)(n * SHARE_ATTRIBUTE), e);
    if (!rc) rc = replay(g, (size_t)(n * SHARE_REPLAY), e);
    return rc;
}
