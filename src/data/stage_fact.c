/* stage_fact.c — from a leaf and its documents to facts that the model can find again in the text.
 *
 * First the seed examples: the shortest span of the answer that stands in the document is the value. Then spans of other
 * sentences: kept when the model, asked a question that it wrote itself for the span, reads the same span back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "data/pipeline.h"
#include "data/prompts.h"

#include <string.h>

enum { MAX_FOUND_FACTS = 24, QUESTION_TOKENS = 48, STATEMENT_TOKENS = 64, ANSWER_TOKENS = 40 };

/* All sentences as one text. */
static struct sv join(struct gen *g, const struct reading *s)
{
    struct sb b;
    sb_init(&b, (size_t)128 << 20);
    for (size_t i = 0; i < s->n; i++) {
        if (i) sb_addch(&b, ' ');
        sb_add(&b, s->v[i].text);
    }
    const char *p = b.failed ? NULL : arena_strndup(&g->mem, b.p ? b.p : "", b.n);
    const struct sv out = { p ? p : "", p ? b.n : 0 };
    sb_release(&b);
    return out;
}

/* The sentence with its subject named: "It was founded …" becomes "<subject> was founded …". */
static struct sv with_subject(struct gen *g, struct sv sentence, struct sv subject)
{
    static const struct { const char *from, *to; } LEAD[] = { { "It ", " " }, { "He ", " " }, { "She ", " " }, { "They ", " " },
                                                              { "Its ", "'s " }, { "His ", "'s " }, { "Her ", "'s " }, { "Their ", "'s " } };
    if (!subject.n || sv_find(sentence, subject, 0) >= 0) return sentence;
    for (size_t i = 0; i < ARRAY_LEN(LEAD); i++) {
        if (!sv_starts(sentence, LEAD[i].from)) continue;
        const size_t skip = strlen(LEAD[i].from);
        const struct sv part[3] = { subject, sv_of(LEAD[i].to), { sentence.p + skip, sentence.n - skip } };
        struct sb b;
        sb_init(&b, 8192);
        for (int k = 0; k < 3; k++) sb_add(&b, part[k]);
        const char *p = arena_strndup(&g->mem, b.p ? b.p : "", b.n);
        const struct sv out = { p ? p : "", p ? b.n : 0 };
        sb_release(&b);
        return out;
    }
    return sentence;
}

static int is_year(struct sv s)
{
    return s.n == 4 && (s.p[0] == '1' || s.p[0] == '2') && strspn(s.p, "0123456789") >= 4;
}

/* The last run of the answer's words that the question does not have and the text has ("elevators"). All in lower case. */
static struct sv common_run(struct sv answer, struct sv question, struct sv text)
{
    struct sv best = { "", 0 };
    for (size_t from = 0; from < answer.n; from++) {
        if (from && answer.p[from - 1] != ' ') continue;
        size_t end = from;
        for (size_t i = from; i < answer.n;) {
            size_t stop = i;
            while (stop < answer.n && answer.p[stop] != ' ') stop++;
            const struct sv word = { answer.p + i, stop - i };
            if (text_has(question, word) || (i == from && word_is_function(word))) break;
            const struct sv run = { answer.p + from, stop - from };
            if (!text_has(text, run)) break;
            end = stop;
            i = stop + 1;
        }
        if (end > from && (best.p + best.n <= answer.p + from || !best.n)) best = (struct sv){ answer.p + from, end - from };
    }
    return best;
}

/* The part of a seed's answer that is a value: its longest span that the question does not have (a year only where there is
 * nothing else: it mostly dates the value); else words of it that the text has too; else the whole answer. Capitals do not
 * count: a word that begins a sentence here may stand inside of one there. `text` is in lower case. */
static struct sv seed_value(struct gen *g, const struct seed *s, struct sv text)
{
    struct sv answer = sv_trim(sv_of(s->answer));
    struct sv *span = NULL, best = { "", 0 };
    size_t n = 0;
    while (answer.n && strchr(".!", answer.p[answer.n - 1])) answer.n--;
    const struct sv question = utf8_lower(&g->mem, sv_of(s->question));
    struct sv lower = utf8_lower(&g->mem, answer);
    if (lower.n != answer.n) lower = answer; /* letters whose small form is longer: places must agree */
    if (!value_spans(answer, &g->mem, &span, &n, NULL))
        for (size_t i = 0; i < n; i++) {
            const struct sv x = { lower.p + (span[i].p - answer.p), span[i].n };
            if (text_has(question, x) || (text.n && !text_has(text, x))) continue;
            if (!best.n || is_year(best) || (span[i].n > best.n && !is_year(span[i]))) best = span[i];
        }
    if (!best.n && text.n) {
        const struct sv run = common_run(lower, question, text);
        if (run.n) best = (struct sv){ answer.p + (run.p - lower.p), run.n };
    }
    if (!best.n) return answer;
    const size_t at = (size_t)(best.p - answer.p);
    if (at >= 4 && !memcmp(best.p - 4, "the ", 4)) best = (struct sv){ best.p - 4, best.n + 4 };
    return best;
}

/* The capitalised name of the question that the text has too; the leaf's subject when there is none. */
static struct sv seed_subject(struct gen *g, const struct seed *s, struct sv text, struct sv leaf_subject)
{
    struct sv *run = NULL, best = { "", 0 };
    size_t n = 0;
    if (leaf_subject.n && text_has(sv_of(s->question), leaf_subject)) return leaf_subject;
    if (!name_runs(sv_of(s->question), &g->mem, &run, &n, NULL))
        for (size_t i = 0; i < n; i++)
            if ((!text.n || text_has(text, run[i])) && run[i].n > best.n) best = run[i];
    return best.n ? best : leaf_subject;
}

static struct work *work_add(struct gen *g, ilab_err *e)
{
    if (mem_grow((void **)&g->work, &g->cap_work, g->n_work + 1, sizeof *g->work)) {
        err_set(e, ILAB_E_NOMEM, "no memory for the facts");
        return NULL;
    }
    struct work *w = &g->work[g->n_work++];
    *w = (struct work){ .n_rival = -1 };
    return w;
}

static int seed_facts(struct gen *g, const struct leaf *l, const struct reading *s, struct sv text, struct sv subject, ilab_err *e)
{
    const size_t n = s->n;
    const struct sv lower_text = utf8_lower(&g->mem, text);
    struct sv *lower = arena_alloc(&g->mem, (n + 1) * sizeof *lower, sizeof(void *));
    if (!lower) return err_set(e, ILAB_E_NOMEM, "no memory for the sentences");
    for (size_t j = 0; j < n; j++) lower[j] = utf8_lower(&g->mem, s->v[j].text);
    for (int i = 0; i < l->n_seed; i++) {
        const struct seed *seed = &l->seed[i];
        const struct sv value = seed_value(g, seed, lower_text), low = utf8_lower(&g->mem, value);
        size_t best = n;
        double best_score = -2;
        for (size_t j = 0; j < n; j++) {
            const double score = text_has(lower[j], low) ? rouge_l(s->v[j].text, sv_of(seed->question)) - s->v[j].is_code : -2;
            if (score > best_score) best = j, best_score = score;
        }
        const int in_context = seed->context && text_has(utf8_lower(&g->mem, sv_of(seed->context)), low);
        if (n && best == n && !in_context) {
            log_warn("%s:%d: the document does not contain the answer '%.*s': this seed example is not taught", l->file, seed->line,
                     SV_ARG(value));
            gen_discard(g, DISCARD_UNSUPPORTED, sv_of(seed->question));
            continue;
        }
        struct work *w = work_add(g, e);
        if (!w) return ILAB_E_NOMEM;
        w->leaf = l;
        w->f = (struct fact){ .subject = seed_subject(g, seed, text, subject), .value = value, .seed = i };
        w->cite = (struct cite){ .document = sv_of(l->file), .line = seed->line };
        w->question[w->n_question++] = sv_trim(sv_of(seed->question));
        if (best < n) {
            if (!s->v[best].is_code) w->f.sentence = with_subject(g, s->v[best].text, w->f.subject);
            w->window = reading_window(g, s, best, w->f.subject);
            w->cite = reading_cite(g, s, best);
        } else if (seed->context) {
            w->window = sv_of(seed->context);
        }
    }
    return 0;
}

/* Values of sentences that no seed asks for, as candidates (accepted or dropped by found_check). */
static int found_candidates(struct gen *g, const struct leaf *l, const struct reading *s, struct sv subject, size_t first, ilab_err *e)
{
    int found = 0;
    for (size_t j = 0; j < s->n && found < MAX_FOUND_FACTS; j++) {
        const struct sv sentence = with_subject(g, s->v[j].text, subject);
        struct sv *span = NULL;
        size_t n_span = 0;
        if (!subject.n || s->v[j].is_code || sv_find(sentence, subject, 0) < 0) continue;
        const int rc = value_spans(sentence, &g->mem, &span, &n_span, e);
        if (rc) return rc;
        for (size_t k = 0; k < n_span && found < MAX_FOUND_FACTS; k++) {
            int taken = text_has(subject, span[k]) || text_has(span[k], subject) || span[k].n < 2;
            for (size_t i = first; i < g->n_work && !taken; i++)
                taken = text_has(g->work[i].f.value, span[k]) || text_has(span[k], g->work[i].f.value) ||
                        (g->work[i].f.seed >= 0 && sv_eq(g->work[i].f.sentence, sentence));
            if (taken) continue;
            struct work *w = work_add(g, e);
            if (!w) return ILAB_E_NOMEM;
            w->leaf = l;
            w->f = (struct fact){ .subject = subject, .value = span[k], .sentence = sentence, .seed = -1 };
            w->window = reading_window(g, s, j, subject);
            w->cite = reading_cite(g, s, j);
            found++;
        }
    }
    return 0;
}

/* A found value stays when the question that the model writes for it is answered by the same value. */
static int found_check(struct gen *g, size_t first, ilab_err *e)
{
    struct request_list ask = { 0 }, read = { 0 };
    int rc = 0;
    for (size_t i = first; !rc && i < g->n_work; i++)
        if (g->work[i].f.seed < 0)
            rc = request_add(&ask, gen_request(g, prompt_fill(g, PROMPT_ASK, g->work[i].f.sentence, g->work[i].f.value), 0, QUESTION_TOKENS),
                             (int)i, e);
    struct answer *q = mem_calloc(ask.n + 1, sizeof *q), *a = mem_calloc(ask.n + 1, sizeof *a);
    if (!rc && (!q || !a)) rc = err_set(e, ILAB_E_NOMEM, "no memory for the facts");
    if (!rc) rc = gen_ask(g, "finding facts", ask.v, ask.n, q, e);
    for (size_t i = 0; !rc && i < ask.n; i++)
        rc = request_add(&read, gen_request(g, prompt_fill(g, PROMPT_READ, g->work[ask.tag[i]].window, q[i].text), 0, ANSWER_TOKENS), ask.tag[i], e);
    if (!rc) rc = gen_ask(g, "checking facts", read.v, read.n, a, e);
    for (size_t i = 0; !rc && i < read.n; i++) {
        struct work *w = &g->work[read.tag[i]];
        const struct sv t = sv_trim(q[i].text);
        if (q[i].finished && !memchr(t.p, '\n', t.n) && answer_has(g, a[i].text, w->f.value) && text_has(t, w->f.subject) && !text_has(t, w->f.value))
            w->question[w->n_question++] = t;
    }
    size_t keep = first;
    for (size_t i = first; !rc && i < g->n_work; i++)
        if (g->work[i].n_question) g->work[keep++] = g->work[i];
    if (!rc) g->n_work = keep;
    mem_free(q);
    mem_free(a);
    request_list_release(&ask);
    request_list_release(&read);
    return rc;
}

/* Reading gives another part of the seed's answer than its look suggested: that part is the value, where the sentence has it. */
static void other_value(struct gen *g, struct work *w, struct sv read)
{
    while (read.n && strchr(".!", read.p[read.n - 1])) read.n--;
    if (w->f.seed < 0 || read.n < 2 || text_has(w->f.subject, read)) return;
    const struct sv wanted = utf8_lower(&g->mem, read), sentence = utf8_lower(&g->mem, w->f.sentence);
    const struct sv answer = utf8_lower(&g->mem, sv_of(w->leaf->seed[w->f.seed].answer)), question = utf8_lower(&g->mem, w->question[0]);
    const ptrdiff_t at = sv_find(sentence, wanted, 0);
    if (at < 0 || sentence.n != w->f.sentence.n || !text_has(answer, wanted) || !text_has(sentence, wanted) || text_has(question, wanted)) return;
    w->f.value = (struct sv){ w->f.sentence.p + at, wanted.n };
}

/* What is taught as the answer: the model's own when it reads the text (so the style is its own), if it is right. */
static int targets(struct gen *g, size_t first, ilab_err *e)
{
    struct request_list read = { 0 };
    int rc = 0;
    for (size_t i = first; !rc && i < g->n_work; i++)
        if (g->work[i].window.n)
            rc = request_add(&read, gen_request(g, prompt_fill(g, PROMPT_READ, g->work[i].window, g->work[i].question[0]), 0, ANSWER_TOKENS),
                             (int)i, e);
    struct answer *a = mem_calloc(read.n + 1, sizeof *a);
    if (!rc && !a) rc = err_set(e, ILAB_E_NOMEM, "no memory for the answers");
    if (!rc) rc = gen_ask(g, "reading answers", read.v, read.n, a, e);
    for (size_t i = 0; !rc && i < read.n; i++) {
        struct work *w = &g->work[read.tag[i]];
        const struct sv t = sv_trim(a[i].text);
        if (a[i].finished && !answer_has(g, t, w->f.value) && !answer_refuses(g, t)) other_value(g, w, t);
        const int whole = !sv_starts(w->f.value, "the ") || text_has(utf8_lower(&g->mem, t), utf8_lower(&g->mem, w->f.value));
        if (a[i].finished && whole && answer_has(g, t, w->f.value) && t.n <= 2 * w->f.value.n + 40 && !answer_refuses(g, t)) w->target = t;
    }
    for (size_t i = first; !rc && i < g->n_work; i++) {
        struct work *w = &g->work[i];
        if (w->target.n) continue;
        struct sb b;
        sb_init(&b, 1 << 16);
        sb_add(&b, w->f.value);
        if (b.n && b.p[0] >= 'a' && b.p[0] <= 'z') b.p[0] = (char)(b.p[0] & ~0x20);
        if (w->f.value.n && w->f.value.p[w->f.value.n - 1] != '.') sb_addch(&b, '.');
        const char *p = arena_strndup(&g->mem, b.p ? b.p : "", b.n);
        w->target = (struct sv){ p ? p : "", p ? b.n : 0 };
        sb_release(&b);
    }
    mem_free(a);
    request_list_release(&read);
    return rc;
}

/* The heading that most seed questions have whole ("Laqesh and Company"), where it is longer than the name found by its look. */
static struct sv heading_subject(struct gen *g, const struct leaf *l, const struct documents *d)
{
    struct sv best = { "", 0 };
    int best_count = 0;
    for (size_t k = 0; k < d->n; k++) {
        const struct extract *x = d->v[k].extract;
        for (size_t j = 0; j < x->n; j++) {
            struct sv h = x->v[j].text;
            if (x->v[j].kind != PASSAGE_HEADING) continue;
            if (sv_starts(h, "the ") || sv_starts(h, "The ")) h = (struct sv){ h.p + 4, h.n - 4 };
            int count = 0;
            for (int i = 0; h.n && i < l->n_seed; i++) count += text_has(sv_of(l->seed[i].question), h);
            if (count && count >= best_count && h.n > best.n) {
                const char *p = arena_strndup(&g->mem, h.p, h.n);
                if (p) best = (struct sv){ p, h.n }, best_count = count;
            }
        }
    }
    return best;
}

int stage_facts(struct gen *g, const struct leaf *l, const struct documents *d, ilab_err *e)
{
    const size_t first = g->n_work;
    struct reading s = { 0 };
    struct sv text = { "", 0 };
    int rc = d->n ? reading_make(g, d, &s, e) : 0;
    if (!rc && s.n) text = join(g, &s);
    if (!rc && d->n && !s.n) rc = err_set(e, ILAB_E_FORMAT, "%s:%d:1: no sentence was found in the documents: they need plain sentences that state the facts", l->file, l->document_line);
    else if (!rc && s.n && !text.n) rc = err_set(e, ILAB_E_NOMEM, "no memory for the documents of '%s'", l->file);
    struct sv subject = subject_find(l, text, &g->mem);
    const struct sv heading = heading_subject(g, l, d);
    if (heading.n > subject.n && (!subject.n || text_has(heading, subject))) subject = heading;
    if (!rc) rc = seed_facts(g, l, &s, text, subject, e);
    if (!rc && s.n) rc = found_candidates(g, l, &s, subject, first, e);
    if (!rc) rc = found_check(g, first, e);
    if (!rc) rc = targets(g, first, e);
    reading_free(&s);
    return rc;
}
