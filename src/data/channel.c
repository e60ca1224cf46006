/* channel.c — which fact does a wording belong to? A noisy channel over the facts of a leaf.
 *
 * log p(wording | "write a question with this answer", a statement of the fact) is compared with the same for the rivals that come
 * nearest to the fact, and for no statement at all, only subject and value. A wording that another fact explains as well asks
 * for that one; what subject and value alone explain as well asks for something that the text does not hold. A small model
 * reads such questions wrongly, but as a writer it knows them apart. The sum also tells garbled text from fluent text.
 * Nothing is decided about facts that have no statement, or with a model that cannot score: reading must do.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"
#include "data/prompts.h"

#include <float.h>
#include <string.h>

enum { FLUSH_EVERY = 256 };
static const double FLUENT = -1.75 /* mean log-probability a token */, ENOUGH = 1.0 /* nats above every rival */, ENOUGH_TEXT = 0.5 /* above no text */;

/* log p(answer | user), from the journal where it is known. A model that cannot score sets g->no_score. */
static int score_one(struct gen *g, struct sv user, struct sv answer, double *logp, int *n_token, ilab_err *e)
{
    const char *system = g->o->system_prompt ? g->o->system_prompt : "";
    const struct lm_message both[2] = { { "system", sv_of(system) }, { "user", user } }, *m = both + !*system;
    const int n_message = *system ? 2 : 1;
    const struct lm_request q = { .message = m, .n_message = n_message, .raw = answer, .max_tokens = -1 }; /* only for its key */
    const uint64_t key = request_key(lm_hash(g->lm), &q);
    struct answer known;
    ilab_err why = { 0 };
    *logp = -DBL_MAX;
    *n_token = 1;
    if (g->no_score) return 0;
    if (journal_get(g->journal, key, &known, &g->mem)) {
        *logp = known.logp;
        *n_token = known.finished;
        return 0;
    }
    int rc = lm_score(g->lm, m, n_message, answer, logp, n_token, &why);
    if (rc) *logp = -DBL_MAX;
    g->no_score |= rc == ILAB_E_INVALID;
    if (rc == ILAB_E_INVALID || rc == ILAB_E_LIMIT) return 0; /* too long for the model: nothing explains it */
    if (rc) return err_set(e, rc, "%s", why.msg);
    const struct lm_result r = { .logp_mean = *logp, .finished = *n_token };
    rc = journal_put(g->journal, key, &q, &r, e);
    if (!rc && ++g->n_scored % FLUSH_EVERY == 0) rc = journal_flush(g->journal, e);
    return rc || !signal_pending() ? rc : err_set(e, ILAB_E_CANCEL, "interrupted");
}

static struct sv prompt_of(struct gen *g, const struct work *w, enum wording kind, struct sv said)
{
    if (kind == W_STATEMENT) return prompt_fill(g, PROMPT_REPHRASE, said, SV(""));
    return prompt_fill(g, PROMPT_ASK, said, kind == W_REVERSE ? w->f.subject : w->f.value);
}

/* Raises best[i] to what `said` gives for the wordings that are still in. */
static int explain(struct gen *g, const struct work *w, struct sv said, struct wording_score *s, size_t n, double *best, ilab_err *e)
{
    struct sv prompt[W_KINDS] = { { 0 } };
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        double logp;
        if (s[i].out) continue;
        if (!prompt[s[i].kind].p) prompt[s[i].kind] = prompt_of(g, w, s[i].kind, said);
        rc = score_one(g, prompt[s[i].kind], s[i].text, &logp, &s[i].n_token, e);
        if (logp > best[i]) best[i] = logp;
    }
    return rc;
}

/* The facts of the same leaf and subject whose statements explain this one's first question best. */
static int find_rivals(struct gen *g, size_t at, ilab_err *e)
{
    struct work *w = &g->work[at];
    double *fit = mem_calloc(g->n_work, sizeof *fit);
    int rc = fit ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for the facts");
    for (size_t k = 0; !rc && k < g->n_work; k++) {
        const struct work *o = &g->work[k];
        struct wording_score s = { .text = w->question[0], .kind = W_FORWARD };
        fit[k] = -DBL_MAX;
        if (k == at || o->leaf != w->leaf || !sv_eq(o->f.subject, w->f.subject)) continue;
        if (o->n_said) rc = explain(g, o, o->statement[0], &s, 1, &fit[k], e);
    }
    for (w->n_rival = 0; !rc && w->n_rival < WORK_MAX_RIVALS; w->n_rival++) {
        size_t top = 0;
        for (size_t k = 1; k < g->n_work; k++)
            if (fit[k] > fit[top]) top = k;
        if (fit[top] == -DBL_MAX) break;
        w->rival[w->n_rival] = (int)top;
        fit[top] = -DBL_MAX;
    }
    mem_free(fit);
    return rc;
}

static void drop(struct wording_score *s, size_t n, const double *own, const double *other, double enough)
{
    for (size_t i = 0; i < n; i++) {
        const double margin = own[i] - other[i];
        if (margin < s[i].margin) s[i].margin = margin;
        s[i].out |= margin < enough;
    }
}

int channel_own(struct gen *g, size_t at, struct wording_score *s, size_t n, ilab_err *e)
{
    const struct work *w = &g->work[at];
    double *own = mem_calloc(n + 1, sizeof *own);
    int rc = own ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for the scores");
    for (size_t i = 0; !rc && i < n; i++) own[i] = -DBL_MAX, s[i].out = 0;
    for (int i = 0; !rc && i < w->n_said; i++) rc = explain(g, w, w->statement[i], s, n, own, e);
    for (size_t i = 0; !rc && i < n; i++) s[i].own = own[i];
    mem_free(own);
    return rc;
}

int channel_score(struct gen *g, size_t at, struct wording_score *s, size_t n, ilab_err *e)
{
    struct work *w = &g->work[at];
    double *own = mem_calloc(2 * n + 1, sizeof *own), *other = own ? own + n : NULL;
    int rc = own ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for the scores");
    if (!rc && w->n_rival < 0) rc = find_rivals(g, at, e);
    if (!rc) rc = channel_own(g, at, s, n, e);
    for (size_t i = 0; !rc && i < n; i++) own[i] = s[i].own, s[i].margin = DBL_MAX, s[i].out = own[i] < FLUENT * s[i].n_token;
    for (int k = -1; !rc && k < w->n_rival; k++) { /* -1: subject and value, no text */
        const struct work *o = k < 0 ? w : &g->work[w->rival[k]];
        for (size_t i = 0; i < n; i++) other[i] = -DBL_MAX;
        if (k < 0) rc = explain(g, w, prompt_fill(g, "%1, %2.", w->f.subject, w->f.value), s, n, other, e);
        if (k >= 0) rc = explain(g, o, o->statement[0], s, n, other, e);
        if (!rc) drop(s, n, own, other, k < 0 ? ENOUGH_TEXT : ENOUGH);
    }
    mem_free(own);
    return rc;
}

int channel_surprise(struct gen *g, const struct work *w, double *nats, ilab_err *e)
{
    double logp;
    int n_token;
    const int rc = score_one(g, w->question[0], w->target, &logp, &n_token, e);
    *nats = logp > -1e4 ? -logp : 0;
    return rc;
}
