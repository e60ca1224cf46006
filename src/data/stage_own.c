/* stage_own.c — the model's own questions and what it answers to them today.
 *
 * Replay (self-synthesised rehearsal, Huang et al. 2024): user turns written by the model, its greedy answers, and its whole
 * distribution over them. Neighbours: the beginning of a taught question is given and the model goes on with another name; it
 * knows that one or says that it does not, and is held to either.  SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"

#include <string.h>

enum { QUESTION_TOKENS = 48, ANSWER_TOKENS = 80, REPLAY_TOP = 12 };
static const double SURE_LOGP = -0.25;

static int names_a_subject(const struct gen *g, struct sv text)
{
    for (size_t i = 0; i < g->n_work; i++)
        if (g->work[i].f.subject.n && sv_find(text, g->work[i].f.subject, 0) >= 0) return 1;
    return 0;
}

static int push(struct own_questions *q, struct sv text, ilab_err *e)
{
    if (mem_grow((void **)&q->v, &q->cap, q->n + 1, sizeof *q->v)) return err_set(e, ILAB_E_NOMEM, "no memory for the questions");
    q->v[q->n++] = text;
    return 0;
}

/* User turns that begin with prefix[i] (empty: from nothing). The texts are whole, prefix included. */
static int write_turns(struct gen *g, const char *label, const struct sv *prefix, size_t n, int max_tokens, struct own_questions *out, ilab_err *e)
{
    struct request_list ask = { 0 };
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        struct lm_request q = gen_request(g, SV(""), 1.0f, max_tokens);
        q.n_message = 0;
        q.write_user = 1;
        q.prefix = prefix ? prefix[i] : (struct sv){ "", 0 };
        rc = request_add(&ask, q, (int)i, e);
    }
    struct answer *c = mem_calloc(ask.n + 1, sizeof *c);
    if (!rc && !c) rc = err_set(e, ILAB_E_NOMEM, "no memory for the questions");
    if (!rc) rc = gen_ask(g, label, ask.v, ask.n, c, e);
    for (size_t i = 0; !rc && i < ask.n; i++) {
        const struct sv text = sv_trim(prompt_fill(g, "%1%2", ask.v[i].prefix, sv_trim(c[i].text)));
        if (c[i].finished && text.n >= 4 && !names_a_subject(g, text)) rc = push(out, text, e);
    }
    mem_free(c);
    request_list_release(&ask);
    return rc;
}

int own_write(struct gen *g, size_t n, struct own_questions *out, ilab_err *e)
{
    return write_turns(g, "own questions", NULL, n, 3 * QUESTION_TOKENS, out, e);
}

struct sv own_name(struct gen *g, struct sv question)
{
    struct sv *run = NULL, best = { "", 0 };
    size_t n = 0;
    int found = 0;
    if (name_runs(question, &g->mem, &run, &n, NULL)) return best;
    for (size_t i = 0; i < n; i++) {
        if (run[i].p == question.p && !memchr(run[i].p, ' ', run[i].n)) continue; /* the first word is a name or not */
        found++;
        best = run[i];
    }
    return found == 1 ? best : (struct sv){ "", 0 };
}

/* Greedy answers; what is refused becomes `refused`, the rest known or plain replay. */
static int answer_all(struct gen *g, const char *label, const struct own_questions *q, enum item_kind refused, ilab_err *e)
{
    struct request_list reply = { 0 };
    int rc = 0;
    for (size_t i = 0; !rc && i < q->n; i++) {
        struct lm_request r = gen_request(g, q->v[i], 0, ANSWER_TOKENS);
        r.n_top = REPLAY_TOP;
        rc = request_add(&reply, r, (int)i, e);
    }
    struct answer *a = mem_calloc(reply.n + 1, sizeof *a);
    if (!rc && !a) rc = err_set(e, ILAB_E_NOMEM, "no memory for the answers");
    if (!rc) rc = gen_ask(g, label, reply.v, reply.n, a, e);
    for (size_t i = 0; !rc && i < reply.n; i++) {
        if (!a[i].finished || !sv_trim(a[i].text).n) continue;
        /* the distribution fits only where the answer's own tokens are those that encoding it gives again */
        const size_t rows = a[i].top ? json_array_size(a[i].top) : 0;
        const int n_token = lm_count_tokens(g->lm, a[i].text);
        const int fits = rows == (size_t)n_token || rows == (size_t)n_token + 1, refuses = answer_refuses(g, a[i].text);
        rc = gen_keep(g, (struct item){ .kind = refuses ? refused : a[i].logp > SURE_LOGP ? ITEM_KNOWN : ITEM_REPLAY, .fact = -1, .leaf = g->work[0].leaf,
                                        .user = q->v[reply.tag[i]], .answer = a[i].text, .top = fits ? a[i].top : NULL, .weight = 1 }, e);
    }
    mem_free(a);
    request_list_release(&reply);
    return rc;
}

int own_replay(struct gen *g, const struct own_questions *q, ilab_err *e) { return answer_all(g, "own answers", q, ITEM_REPLAY, e); }

int own_neighbours(struct gen *g, size_t n, ilab_err *e)
{
    struct own_questions prefix = { 0 }, q = { 0 };
    int rc = 0;
    for (size_t i = 0, found = 1; !rc && found && prefix.n < n; i++) { /* the i-th question of each fact in turn */
        found = 0;
        for (size_t k = 0; !rc && k < g->n_work && prefix.n < n; k++) {
            const struct work *w = &g->work[k];
            const struct sv text = w->question[i % (size_t)w->n_question];
            const ptrdiff_t at = w->f.subject.n ? sv_find(text, w->f.subject, 0) : -1;
            if (at > 8 && i < 3 * (size_t)w->n_question) found = 1, rc = push(&prefix, (struct sv){ text.p, (size_t)at }, e);
        }
    }
    if (!rc) rc = write_turns(g, "neighbours", prefix.v, prefix.n, QUESTION_TOKENS, &q, e);
    if (!rc) rc = answer_all(g, "neighbours' answers", &q, ITEM_UNKNOWN_NAME, e);
    mem_free(prefix.v);
    mem_free(q.v);
    return rc;
}
