/* suggest.c — questions and answers that a model proposes for a passage.
 *
 * For spans of the passage's sentences that could be an answer the model writes a question, and answers it by reading the whole
 * passage. A pair stays when the answer has the span and the question does not, and the question keeps to the sentence's words. One pair a sentence first, the sentences in order.
 * What the model says is a proposal: somebody has to confirm it.  SPDX-License-Identifier: Apache-2.0 */
#include "data/fact.h"
#include "data/prompts.h"

#include <string.h>

enum { MAX_SPANS = 16, ROUNDS = 4, QUESTION_TOKENS = 48, ANSWER_TOKENS = 64 };

struct span { struct sv sentence, value; size_t i_sentence; int turn; /* 0: first of its sentence */ };

static struct sv fill(struct arena *a, const char *prompt, struct sv first, struct sv second)
{
    struct sb b;
    sb_init(&b, (size_t)1 << 20);
    for (const char *p = prompt; *p; p++) {
        if (p[0] == '%' && (p[1] == '1' || p[1] == '2')) sb_add(&b, *++p == '1' ? first : second);
        else sb_addch(&b, *p);
    }
    const char *s = b.failed || !b.p ? NULL : arena_strndup(a, b.p, b.n);
    const struct sv out = { s, s ? b.n : 0 };
    sb_release(&b);
    return out;
}

/* Values of all sentences; the first of each sentence before all second ones. */
static int find_spans(struct sv passage, struct arena *a, struct span out[MAX_SPANS], size_t *n_out, ilab_err *e)
{
    struct sv *s = NULL;
    size_t n = 0;
    *n_out = 0;
    int rc = passage_sentences(passage, 0, a, &s, &n, e);
    for (int turn = 0; !rc && turn < 3; turn++)
        for (size_t i = 0; !rc && i < n && *n_out < MAX_SPANS; i++) {
            struct sv *v = NULL;
            size_t m = 0;
            rc = value_spans(s[i], a, &v, &m, e);
            if (rc || (size_t)turn >= m) continue;
            const struct sv value = v[m - 1 - (size_t)turn]; /* the last is seldom the sentence's subject */
            const int opens = value.p == s[i].p && !memchr(value.p, ' ', value.n) && (value.p[0] < '0' || value.p[0] > '9');
            if (value.n < 2 || opens) continue; /* "However" has its capital from the sentence */
            int repeated = 0;
            for (size_t k = 0; k < *n_out; k++) repeated |= sv_eq(out[k].value, value);
            if (!repeated) out[(*n_out)++] = (struct span){ s[i], value, i, turn };
        }
    return rc;
}

struct batch { struct lm_request req[MAX_SPANS]; struct lm_message message[MAX_SPANS]; struct lm_result result[MAX_SPANS]; size_t n; };

/* round 0: greedy; later ones try other words. */
static int ask(struct lm *lm, struct batch *b, int max_tokens, int round, ilab_err *e)
{
    for (size_t i = 0; i < b->n; i++) {
        if (!b->message[i].content.p) return err_set(e, ILAB_E_NOMEM, "no memory for a prompt");
        b->message[i].role = "user";
        b->req[i] = (struct lm_request){ .message = &b->message[i], .n_message = 1, .max_tokens = max_tokens, .temp = round ? 0.9f : 0, .top_p = 0.95f, .seed = (uint64_t)round };
    }
    return b->n ? lm_complete(lm, b->req, (int)b->n, b->result, e) : 0;
}

static void release(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) lm_result_release(&b->result[i]);
    mem_free(b);
}

static int has_value(struct arena *a, struct sv text, struct sv value)
{
    struct sv v = utf8_normalize_answer(a, value);
    if (sv_starts(v, "the ")) v = (struct sv){ v.p + 4, v.n - 4 };
    return v.n && text_has_words(utf8_normalize_answer(a, text), v);
}

/* Is the question about this sentence? Half of its content words occur there in some form, and no name that the passage lacks. */
static int is_about(struct arena *a, struct sv question, struct sv sentence, struct sv passage)
{
    struct sv rest = question, word;
    int n = 0, found = 0;
    if (text_has_foreign(question, passage, SV(""), a)) return 0;
    while (sv_split(&rest, ' ', &word)) {
        while (word.n && strchr("?.,;:\"'()", word.p[word.n - 1])) word.n--;
        if (word.n < 4 || word_is_function(word)) continue;
        n++;
        found += text_word_alike(sentence, word);
    }
    return n && 2 * found >= n;
}

static struct sv result_text(const struct lm_result *r) { return sv_trim((struct sv){ r->text ? r->text : "", r->n }); }

static struct sv keep(struct arena *a, struct sv s)
{
    const char *p = arena_strndup(a, s.p, s.n);
    return (struct sv){ p ? p : "", p ? s.n : 0 };
}

/* What became of one span. */
struct proposal { struct span span; struct sv question, answer; int done; };

/* One question for each span that has none yet, read back, and said as a statement. */
static int one_round(struct lm *lm, struct sv passage, struct proposal *p, size_t n, int round, struct arena *a, ilab_err *e)
{
    struct batch *q = mem_calloc(1, sizeof *q), *r = mem_calloc(1, sizeof *r), *st = mem_calloc(1, sizeof *st);
    size_t from_q[MAX_SPANS], from_r[MAX_SPANS], from_s[MAX_SPANS];
    struct sv question[MAX_SPANS];
    int rc = q && r && st ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for suggestions");
    for (size_t i = 0; !rc && i < n; i++) {
        if (p[i].done) continue;
        from_q[q->n] = i;
        q->message[q->n++].content = fill(a, PROMPT_ASK, p[i].span.sentence, p[i].span.value);
    }
    if (!rc) rc = ask(lm, q, QUESTION_TOKENS, round, e);
    for (size_t k = 0; !rc && k < q->n; k++) {
        const struct span *s = &p[from_q[k]].span;
        const struct sv t = result_text(&q->result[k]);
        int bad = !q->result[k].finished || t.n < 8 || memchr(t.p, '\n', t.n) || t.p[t.n - 1] != '?' || has_value(a, t, s->value) || !is_about(a, t, s->sentence, passage);
        for (size_t i = 0; i < n && !bad; i++) bad = p[i].done && sv_eq(t, p[i].question);
        if (bad) continue;
        from_r[r->n] = from_q[k];
        question[r->n] = t;
        r->message[r->n++].content = fill(a, PROMPT_READ, passage, t);
    }
    if (!rc) rc = ask(lm, r, ANSWER_TOKENS, 0, e);
    for (size_t k = 0; !rc && k < r->n; k++) {
        const struct sv t = result_text(&r->result[k]);
        if (!r->result[k].finished || !has_value(a, t, p[from_r[k]].span.value) || text_is_refusal(utf8_normalize_answer(a, t))) continue;
        from_s[st->n] = k;
        st->message[st->n++].content = fill(a, PROMPT_STATE, question[k], t);
    }
    if (!rc) rc = ask(lm, st, ANSWER_TOKENS, 0, e);
    for (size_t k = 0; !rc && k < st->n; k++) {
        struct proposal *w = &p[from_r[from_s[k]]];
        const struct sv said = result_text(&st->result[k]);
        const int whole = st->result[k].finished && has_value(a, said, w->span.value) && !memchr(said.p, '\n', said.n) && said.n < 400 && !text_has_foreign(said, passage, SV(""), a);
        w->question = keep(a, question[from_s[k]]);
        w->answer = keep(a, whole ? said : result_text(&r->result[from_s[k]]));
        w->done = 1;
    }
    if (q) release(q);
    if (r) release(r);
    if (st) release(st);
    return rc;
}

int suggest_pairs(struct lm *lm, struct sv passage, int want, struct arena *a, struct draft_pair *out, int *n_out, ilab_err *e)
{
    struct span span[MAX_SPANS];
    struct proposal p[MAX_SPANS];
    int used[MAX_SPANS] = { 0 }, n_done = 0;
    size_t n = 0;
    *n_out = 0;
    int rc = find_spans(passage, a, span, &n, e);
    for (size_t i = 0; i < n; i++) p[i] = (struct proposal){ .span = span[i] };
    const size_t few = (size_t)want + 2 < n ? (size_t)want + 2 : n; /* first those of different sentences; all when too few of them succeed */
    for (int round = 0; !rc && round < ROUNDS && n_done < want && !signal_pending(); round++) {
        rc = one_round(lm, passage, p, round ? n : few, round, a, e);
        n_done = 0;
        for (size_t i = 0; i < n; i++) n_done += p[i].done;
    }
    for (int turn = 0; !rc && turn < 2; turn++) /* one pair a sentence, then more of the same sentences */
        for (size_t i = 0; i < n && *n_out < want; i++) {
            int taken = used[i] || !p[i].done;
            for (size_t j = 0; j < n && !turn; j++) taken |= used[j] && p[j].span.i_sentence == p[i].span.i_sentence;
            if (taken) continue;
            out[(*n_out)++] = (struct draft_pair){ p[i].question, p[i].answer };
            used[i] = 1;
        }
    return rc;
}
