/* stage_wording.c — many ways to ask and to say each fact, written by the model and checked against the document.
 *
 * Forward questions come from the statement ("write a question with this answer") and from rephrasing the seed's question;
 * one is kept when it names the subject, does not give the answer away, is no near-duplicate, and its fact explains it better
 * than any other does (channel.c). A model that cannot score reads the document instead and must answer with the value.
 * More are collected than needed; the clearest and most different ones are taken.  SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"
#include "data/prompts.h"

#include <string.h>

enum { QUESTION_TOKENS = 48, STATEMENT_TOKENS = 64, ANSWER_TOKENS = 40 };
enum { TAG_KINDS = W_KINDS, MAX_ROUNDS = 8, WEIGH_CHUNK = 24, POOL = 2 /* times the questions wanted */ };
/* An answer that surprises the model by more nats than this gets more samples, by the square: tokens that it hardly ever saw
 * have short vectors in its vocabulary, and come only when everything else was pushed below them. */
static const double USUAL_NATS = 48;
static const int MOST_LESSONS = 5; /* times the usual */
static const double SPEAKS = 0.34; /* share of its key words in a fact's questions, from which on the model can say them */
/* Of the rounds in turn: the first is the model as it is, the others look elsewhere. */
static const float TEMPERATURE[] = { 1.0f, 0.8f, 1.0f, 1.2f };

/* What a round asks for. */
struct order { struct request_list list; float temp; };

static int add_n(struct gen *g, struct order *o, struct sv prompt, int n, int max_tokens, size_t fact, enum wording w, ilab_err *e)
{
    int rc = 0;
    for (int i = 0; !rc && i < n; i++) rc = request_add(&o->list, gen_request(g, prompt, o->temp, max_tokens), (int)fact * TAG_KINDS + (int)w, e);
    return rc;
}

/* Names that the model misspelt while copying are put right; of values only those without digits, which could be others. */
static struct sv mend(struct gen *g, const struct work *w, struct sv text)
{
    const struct sv t = name_repair(&g->mem, text, w->f.subject);
    for (size_t i = 0; i < w->f.value.n; i++)
        if (w->f.value.p[i] >= '0' && w->f.value.p[i] <= '9') return t;
    return answer_has(g, t, w->f.value) ? t : name_repair(&g->mem, t, w->f.value);
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
        const struct sv s = w->f.sentence, t = mend(g, w, sv_trim(a[i].text));
        if (a[i].finished && t.n && text_has(t, w->f.subject) && answer_has(g, t, w->f.value) && t.p[t.n - 1] != '?') w->statement[w->n_statement++] = t;
        if (s.n && (!w->f.subject.n || text_has(s, w->f.subject))) w->statement[w->n_statement++] = s;
        w->n_said = w->n_statement;
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

/* Content words of the question that the fact's own sentence or seed question has and the rival's has not. */
static int own_words(const struct work *w, const struct work *rival, struct sv question)
{
    struct sv rest = question, word;
    int n = 0;
    while (sv_split(&rest, ' ', &word)) {
        if (word.n < 4 || word_is_function(word) || text_word_alike(w->f.subject, word) || text_word_alike(w->f.value, word)) continue;
        if (!text_word_alike(w->f.sentence, word) && !text_word_alike(w->question[0], word)) continue;
        n += !rival || (!text_word_alike(rival->f.sentence, word) && !text_word_alike(rival->question[0], word));
    }
    return n;
}

/* The question has as many words of another fact as of its own: a careless reader would still answer it with ours. */
static int asks_for_rival(const struct gen *g, const struct work *w, struct sv question)
{
    for (size_t k = 0; k < g->n_work; k++) {
        const struct work *other = &g->work[k];
        if (other == w || other->leaf != w->leaf) continue;
        const int theirs = own_words(other, w, question);
        if (theirs && theirs >= own_words(w, other, question)) return 1;
    }
    return 0;
}

/* Are the wordings of this fact weighed (channel.c), or read? */
static int is_scored(const struct gen *g, const struct work *w) { return !g->no_score && w->n_said > 0; }

/* What is wrong with a candidate before the model is asked? */
static enum discard judge_wording(struct gen *g, const struct work *w, enum wording kind, const struct answer *a, struct sv text)
{
    if (!a->finished) return DISCARD_EMPTY; /* cut by the token limit */
    if (text.n < 8 || sv_find(text, SV("\n"), 0) >= 0) return DISCARD_EMPTY;
    const double same = g->o->rouge_threshold;
    if (w->window.n && text_has_foreign(text, w->window, w->f.sentence, &g->mem)) return DISCARD_UNSUPPORTED;
    switch (kind) {
    case W_FORWARD:
        if (w->f.subject.n && !text_has(text, w->f.subject)) return DISCARD_SUBJECT;
        if (answer_has(g, text, w->f.value)) return DISCARD_LEAK;
        if (!is_scored(g, w) && asks_for_rival(g, w, text)) return DISCARD_UNSUPPORTED;
        return is_known_wording(w->question, w->n_question, text, same) ? DISCARD_ROUGE : KEEP;
    case W_REVERSE:
        if (!answer_has(g, text, w->f.value)) return DISCARD_SUBJECT;
        if (text_has(text, w->f.subject)) return DISCARD_LEAK;
        return is_known_wording(w->reverse, w->n_reverse, text, same) ? DISCARD_ROUGE : KEEP;
    case W_STATEMENT:
        if (!text_has(text, w->f.subject) || !answer_has(g, text, w->f.value)) return DISCARD_SUBJECT;
        return is_known_wording(w->statement, w->n_statement, text, same) ? DISCARD_ROUGE : KEEP;
    case W_KINDS: break;
    }
    return DISCARD_FORMAT;
}

/* Is the list of accepted wordings of this kind full? */
static int is_full(const struct gen *g, const struct work *w, enum wording kind)
{
    const int p = g->o->per_fact, pool = !is_scored(g, w) ? p : w->lessons > POOL * p ? w->lessons : POOL * p;
    switch (kind) {
    case W_FORWARD: return w->n_question >= (pool < WORK_MAX_QUESTIONS ? pool : WORK_MAX_QUESTIONS);
    case W_REVERSE: return w->n_reverse >= (p + 2) / 3 || w->n_reverse >= WORK_MAX_QUESTIONS;
    case W_STATEMENT: return w->n_statement >= (p + 2) / 3 || w->n_statement >= WORK_MAX_STATEMENTS;
    case W_KINDS: break;
    }
    return 1;
}

static void accept(struct work *w, enum wording kind, struct sv text, double margin)
{
    if (kind == W_FORWARD) w->margin[w->n_question] = margin, w->question[w->n_question++] = text;
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
        if (!w->f.sentence.n || !own_words(w, s->rival[i] < 0 ? NULL : &g->work[s->rival[i]], s->text[i])) gen_discard(g, DISCARD_UNSUPPORTED, s->text[i]);
        else rc = request_add(&read, gen_request(g, prompt_fill(g, PROMPT_READ, w->f.sentence, s->text[i]), 0, ANSWER_TOKENS), (int)i, e);
    }
    if (!rc) rc = gen_ask(g, "a second look", read.v, read.n, a, e);
    for (size_t i = 0; !rc && i < read.n; i++) {
        struct work *w = &g->work[s->fact[read.tag[i]]];
        const struct sv text = s->text[read.tag[i]];
        if (!answer_has(g, a[i].text, w->f.value)) gen_discard(g, DISCARD_UNSUPPORTED, text);
        else if (is_known_wording(w->question, w->n_question, text, g->o->rouge_threshold)) gen_discard(g, DISCARD_ROUGE, text);
        else if (!is_full(g, w, W_FORWARD)) accept(w, W_FORWARD, text, 0);
    }
    mem_free(a);
    request_list_release(&read);
    return rc;
}

/* Asks the model for candidates: of each kind of which a fact has too few. */
static int order_round(struct gen *g, int round, struct order *o, ilab_err *e)
{
    const int p = g->o->per_fact;
    int rc = 0;
    for (size_t i = 0; !rc && i < g->n_work; i++) {
        const struct work *w = &g->work[i];
        const struct sv st = w->n_statement ? w->statement[round % w->n_statement] : w->f.sentence;
        if (!is_full(g, w, W_FORWARD)) {
            if (st.n) rc = add_n(g, o, prompt_fill(g, PROMPT_ASK, st, w->f.value), p, QUESTION_TOKENS, i, W_FORWARD, e);
            if (!rc && w->window.n) rc = add_n(g, o, prompt_fill(g, PROMPT_ASK, w->window, w->f.value), p / 2, QUESTION_TOKENS, i, W_FORWARD, e);
            if (!rc) rc = add_n(g, o, prompt_fill(g, PROMPT_REPHRASE, w->question[round % w->n_question], SV("")), p / 2, QUESTION_TOKENS, i, W_FORWARD, e);
        }
        if (!rc && st.n && w->f.subject.n && !is_full(g, w, W_REVERSE))
            rc = add_n(g, o, prompt_fill(g, PROMPT_ASK, st, w->f.subject), p / 2, QUESTION_TOKENS, i, W_REVERSE, e);
        if (!rc && st.n && w->f.subject.n && !is_full(g, w, W_STATEMENT))
            rc = add_n(g, o, prompt_fill(g, PROMPT_REPHRASE, st, SV("")), p / 2, STATEMENT_TOKENS, i, W_STATEMENT, e);
    }
    return rc;
}

/* A candidate of a round: what the model wrote, and for whom. */
struct written { struct answer a; size_t fact; enum wording kind; enum discard why; };

/* Accepts what fact f explains best, of the candidates whose index is in at[]. */
static int weigh_some(struct gen *g, size_t f, struct written *c, const size_t *at, size_t n, ilab_err *e)
{
    struct work *w = &g->work[f];
    struct wording_score s[WEIGH_CHUNK];
    for (size_t i = 0; i < n; i++) s[i] = (struct wording_score){ .text = c[at[i]].a.text, .kind = c[at[i]].kind };
    const int rc = channel_score(g, f, s, n, e);
    if (rc || !is_scored(g, w)) return rc; /* the model turned out to be one that cannot */
    for (size_t i = 0; i < n; i++) {
        struct written *x = &c[at[i]];
        x->why = s[i].out ? DISCARD_UNSUPPORTED : judge_wording(g, w, x->kind, &x->a, x->a.text);
        if (x->why) gen_discard(g, x->why, x->a.text);
        else if (!is_full(g, w, x->kind)) accept(w, x->kind, x->a.text, s[i].margin);
        x->why = DISCARD_COUNT; /* done with */
    }
    return 0;
}

static int weigh(struct gen *g, struct written *c, size_t n, ilab_err *e)
{
    struct progress p;
    int rc = 0;
    if (g->no_score) return 0;
    progress_start(&p, "weighing questions", (int64_t)g->n_work, 0);
    for (size_t f = 0; !rc && f < g->n_work; f++) {
        size_t at[WEIGH_CHUNK], m = 0;
        for (size_t i = 0; !rc && i < n && is_scored(g, &g->work[f]); i++) {
            if (c[i].fact == f && c[i].why == KEEP && !is_full(g, &g->work[f], c[i].kind)) at[m++] = i;
            if (m < WEIGH_CHUNK) continue;
            rc = weigh_some(g, f, c, at, m, e);
            m = 0;
        }
        if (!rc && m) rc = weigh_some(g, f, c, at, m, e);
        for (size_t i = 0; i < n && is_scored(g, &g->work[f]); i++)
            if (c[i].fact == f) c[i].why = DISCARD_COUNT; /* more than needed */
        progress_at(&p, (int64_t)f + 1, "facts");
    }
    progress_end(&p);
    return rc;
}

/* Accepts what the model, reading the document, answers with the value. A statement is checked by asking for its value. */
static int read_back(struct gen *g, const struct written *c, size_t n, struct spares *spare, ilab_err *e)
{
    struct request_list read = { 0 };
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        const struct work *w = &g->work[c[i].fact];
        const struct sv q = c[i].kind == W_STATEMENT ? w->question[0] : c[i].a.text;
        const struct sv text = c[i].kind == W_STATEMENT || !w->window.n ? c[i].a.text : w->window;
        if (c[i].why == KEEP) rc = request_add(&read, gen_request(g, prompt_fill(g, PROMPT_READ, text, q), 0, ANSWER_TOKENS), (int)i, e);
    }
    struct answer *a = mem_calloc(read.n + 1, sizeof *a);
    if (!rc && !a) rc = err_set(e, ILAB_E_NOMEM, "no memory for the answers");
    if (!rc) rc = gen_ask(g, "checking questions", read.v, read.n, a, e);
    for (size_t i = 0; !rc && i < read.n; i++) {
        const struct written *x = &c[read.tag[i]];
        struct work *w = &g->work[x->fact];
        const int unchecked = x->kind == W_FORWARD && !w->window.n;   /* a leaf without a document */
        enum discard why = judge_wording(g, w, x->kind, &x->a, x->a.text);
        if (!why && !unchecked && !answer_has(g, a[i].text, x->kind == W_REVERSE ? w->f.subject : w->f.value)) {
            why = DISCARD_UNSUPPORTED;
            const size_t before = spare->n;
            if (x->kind == W_FORWARD) rc = spare_add(g, spare, x->a.text, (int)x->fact, a[i].text, e);
            if (spare->n > before) continue;
        }
        if (why) gen_discard(g, why, x->a.text);
        else if (!is_full(g, w, x->kind)) accept(w, x->kind, x->a.text, 0);
    }
    mem_free(a);
    request_list_release(&read);
    return rc;
}

/* Where the questions of a fact hardly ever have the words by which it is asked, the model cannot say them: they are put in. */
static int reword_round(struct gen *g, struct written *c, size_t n, ilab_err *e)
{
    int rc = 0;
    for (size_t f = 0; !rc && f < g->n_work; f++) {
        const struct work *w = &g->work[f];
        struct reword_keys keys = { .n = 0 };
        double all = 0, with = 0;
        if (is_scored(g, w) && w->f.sentence.n) reword_keys(w, &keys);
        for (size_t i = 0; keys.n && i < n; i++)
            if (c[i].fact == f && c[i].kind == W_FORWARD && c[i].why == KEEP) all++, with += reword_share(c[i].a.text, &keys);
        if (with >= SPEAKS * all) continue;
        for (size_t i = 0; !rc && i < n; i++)
            if (c[i].fact == f && c[i].kind == W_FORWARD && c[i].why == KEEP && !reword_has(c[i].a.text, &keys)) rc = reword(g, f, &keys, &c[i].a.text, e);
    }
    return rc;
}

/* One round: candidates are written, then checked. */
static int round_of(struct gen *g, int round, struct spares *spare, ilab_err *e)
{
    struct order o = { .temp = TEMPERATURE[(size_t)round % ARRAY_LEN(TEMPERATURE)] };
    int rc = order_round(g, round, &o, e);
    const size_t n = o.list.n;
    struct answer *a = mem_calloc(n + 1, sizeof *a);
    struct written *c = mem_calloc(n + 1, sizeof *c);
    if (!rc && (!a || !c)) rc = err_set(e, ILAB_E_NOMEM, "no memory for the candidates");
    if (!rc) rc = gen_ask(g, "writing questions", o.list.v, n, a, e);
    for (size_t i = 0; !rc && i < n; i++) {
        c[i] = (struct written){ .a = a[i], .fact = (size_t)o.list.tag[i] / TAG_KINDS, .kind = (enum wording)(o.list.tag[i] % TAG_KINDS) };
        const struct work *w = &g->work[c[i].fact];
        c[i].a.text = sv_trim(c[i].a.text);
        if (c[i].kind == W_FORWARD) c[i].a.text = name_repair(&g->mem, c[i].a.text, w->f.subject);
        if (c[i].kind == W_STATEMENT) c[i].a.text = mend(g, w, c[i].a.text);
        c[i].why = judge_wording(g, w, c[i].kind, &c[i].a, c[i].a.text);
        for (size_t k = 0; k < i && !c[i].why; k++)
            if (c[k].fact == c[i].fact && c[k].kind == c[i].kind && !c[k].why && sv_eq(c[k].a.text, c[i].a.text)) c[i].why = DISCARD_ROUGE;
        if (c[i].why) gen_discard(g, c[i].why, c[i].a.text);
    }
    if (!rc) rc = reword_round(g, c, n, e);
    if (!rc) rc = weigh(g, c, n, e);
    if (!rc) rc = read_back(g, c, n, spare, e);
    mem_free(a);
    mem_free(c);
    request_list_release(&o.list);
    return rc;
}

/* Of the collected questions the first one, then always the one that is clearest and least like those taken. */
static void choose_questions(struct work *w)
{
    const double clear = 4; /* nats: above, no question is clearer than another */
    double alike[WORK_MAX_QUESTIONS] = { 0 };
    for (int taken = 1; taken < w->n_question && taken < w->lessons; taken++) {
        int best = taken;
        double best_score = -1e9;
        for (int i = taken; i < w->n_question; i++) {
            const double r = rouge_l(w->question[i], w->question[taken - 1]), m = w->margin[i] < clear ? w->margin[i] : clear;
            if (r > alike[i]) alike[i] = r;
            if (m / clear - alike[i] > best_score) best = i, best_score = m / clear - alike[i];
        }
        const struct sv q = w->question[best];
        const double m = w->margin[best], r = alike[best];
        w->question[best] = w->question[taken], w->margin[best] = w->margin[taken], alike[best] = alike[taken];
        w->question[taken] = q, w->margin[taken] = m, alike[taken] = r;
    }
    if (w->n_question > w->lessons) w->n_question = w->lessons;
}

static int plan_lessons(struct gen *g, ilab_err *e)
{
    int rc = 0;
    for (size_t i = 0; !rc && i < g->n_work; i++) {
        double nats = 0, times;
        rc = channel_surprise(g, &g->work[i], &nats, e);
        times = nats / USUAL_NATS * (nats / USUAL_NATS);
        times = times < 1 ? 1 : times > MOST_LESSONS ? MOST_LESSONS : times;
        g->work[i].lessons = (int)(times * g->o->per_fact + 0.5);
    }
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
        for (int k = 0; !rc && k < w->lessons; k++) { /* few wordings are repeated: every fact gets its share */
            it = base, it.kind = ITEM_FORWARD, it.user = w->question[k % w->n_question], it.answer = w->target;
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
            const struct sv untrue = text_replace(&g->mem, w->statement[k], w->f.value, wrong);
            if (sv_eq(untrue, w->statement[k])) continue; /* it spells the value in another way */
            it.kind = ITEM_WRONG_PREMISE;
            it.user = prompt_fill(g, PROMPT_CHECK, untrue, SV(""));
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
    if (!rc) rc = plan_lessons(g, e);
    for (int round = 0; !rc && round < MAX_ROUNDS; round++) {
        int full = 1;
        for (size_t i = 0; i < g->n_work; i++) full &= is_full(g, &g->work[i], W_FORWARD);
        if (round && full) break;
        rc = round_of(g, round, &spare, e);
    }
    if (!rc && spare.n) rc = spares_accept(g, &spare, e);
    for (size_t i = 0; i < g->n_work; i++) choose_questions(&g->work[i]);
    mem_free(spare.text);
    mem_free(spare.fact);
    mem_free(spare.rival);
    return rc ? rc : items(g, e);
}
