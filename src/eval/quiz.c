/* quiz.c — closed-book questions: read, asked greedily in a fresh chat each, counted by kind.
 * SPDX-License-Identifier: Apache-2.0 */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

const char *const QUIZ_KIND_NAME[QUIZ_KIND_COUNT] = { "recall", "unknown", "retention" };
static const char *const HALF_NAME[2] = { "ordinary", "reserved" };
static const char *const GROUP_NAME[2] = { "unknown_name", "unknown_attribute" };

enum { QUIZ_MAX_FILE = 64 << 20, QUIZ_MAX_TOKENS = 48, QUIZ_CHUNK = 128 };

static struct sv keep(struct quiz *q, const char *s)
{
    if (!s) return (struct sv){ "", 0 };
    const size_t n = strlen(s);
    const char *p = arena_strndup(&q->mem, s, n);
    return (struct sv){ p ? p : "", p ? n : 0 };
}

struct reader { struct quiz *q; const char *path; };

static int read_line(void *ud, int line, const json_t *v, ilab_err *e)
{
    const struct reader *r = ud;
    struct quiz *q = r->q;
    const char *question = json_str(v, "user_input"), *reference = json_str(v, "reference"), *kind = json_str(v, "kind");
    int k = kind ? -1 : QUIZ_RECALL;
    for (int i = 0; kind && i < QUIZ_KIND_COUNT; i++)
        if (!strcmp(kind, QUIZ_KIND_NAME[i])) k = i;
    if (!question || !*question) return err_set(e, ILAB_E_FORMAT, "%s:%d:1: 'user_input' is missing: it holds the question", r->path, line);
    if (k < 0) return err_set(e, ILAB_E_FORMAT, "%s:%d:1: 'kind' must be recall, unknown or retention, not '%s'", r->path, line, kind);
    if (k != QUIZ_UNKNOWN && (!reference || !*reference)) return err_set(e, ILAB_E_FORMAT, "%s:%d:1: 'reference' is missing: it holds the right answer", r->path, line);
    if (mem_grow((void **)&q->v, &q->cap, q->n + 1, sizeof *q->v)) return err_set(e, ILAB_E_NOMEM, "no memory for the questions");
    q->v[q->n++] = (struct quiz_item){ .question = keep(q, question), .reference = keep(q, reference), .half = keep(q, json_str(v, "half")),
                                       .group = keep(q, json_str(v, "group")), .kind = (enum quiz_kind)k };
    return 0;
}

int quiz_read(struct quiz *q, const char *path, ilab_err *e)
{
    *q = (struct quiz){ 0 };
    arena_init(&q->mem, QUIZ_MAX_FILE);
    int rc = json_read_lines(path, QUIZ_MAX_FILE, read_line, &(struct reader){ q, path }, e);
    if (!rc && !q->n) rc = err_set(e, ILAB_E_FORMAT, "'%s' holds no question: it needs lines such as {\"user_input\": \"...\", \"reference\": \"...\", \"kind\": \"recall\"}", path);
    if (rc) quiz_release(q);
    return rc;
}

void quiz_release(struct quiz *q)
{
    mem_free(q->v);
    arena_release(&q->mem);
    *q = (struct quiz){ 0 };
}

static void count(struct quiz_report *r, const struct quiz_item *it, const struct quiz_answer *a)
{
    struct quiz_total *t[3] = { &r->kind[it->kind], NULL, NULL };
    for (int i = 0; i < 2; i++) {
        if (it->kind == QUIZ_RECALL && sv_eq_c(it->half, HALF_NAME[i])) t[1] = &r->half[i];
        if (it->kind == QUIZ_UNKNOWN && sv_eq_c(it->group, GROUP_NAME[i])) t[2] = &r->group[i];
    }
    for (int i = 0; i < 3; i++) {
        if (!t[i]) continue;
        t[i]->n++;
        t[i]->good += a->good;
        t[i]->wrong += a->verdict == ANSWER_WRONG;
        t[i]->abstained += a->verdict == ANSWER_ABSTAINED;
    }
    if (it->kind != QUIZ_UNKNOWN) {
        r->n_answerable++;
        r->false_refusals += a->verdict == ANSWER_ABSTAINED;
    }
}

int quiz_run(struct lm *lm, const struct quiz *q, const char *system_prompt, struct quiz_report *r, ilab_err *e)
{
    *r = (struct quiz_report){ 0 };
    const double t0 = now_seconds();
    const int n_system = system_prompt && *system_prompt ? 1 : 0;
    r->answer = mem_calloc(q->n, sizeof *r->answer);
    struct lm_request *req = mem_calloc(QUIZ_CHUNK, sizeof *req);
    struct lm_message(*msg)[2] = mem_calloc(QUIZ_CHUNK, sizeof *msg);
    struct lm_result *res = mem_calloc(QUIZ_CHUNK, sizeof *res);
    int rc = r->answer && req && msg && res ? 0 : err_set(e, ILAB_E_NOMEM, "no memory for the answers");
    struct progress p;
    progress_start(&p, "quiz", (int64_t)q->n, 0);
    for (size_t i = 0; !rc && i < q->n;) {
        const size_t n = q->n - i < QUIZ_CHUNK ? q->n - i : QUIZ_CHUNK;
        for (size_t j = 0; j < n; j++) {
            msg[j][0] = (struct lm_message){ "system", sv_of(n_system ? system_prompt : "") };
            msg[j][n_system] = (struct lm_message){ "user", q->v[i + j].question };
            req[j] = (struct lm_request){ .message = msg[j], .n_message = 1 + n_system, .max_tokens = QUIZ_MAX_TOKENS, .top_p = 1 };
        }
        rc = lm_complete(lm, req, (int)n, res, e);
        for (size_t j = 0; !rc && j < n; j++) {
            const struct quiz_item *it = &q->v[i + j];
            struct quiz_answer *a = &r->answer[i + j];
            a->text = utf8_clean(sv_trim((struct sv){ res[j].text ? res[j].text : "", res[j].text ? res[j].n : 0 }));
            if (!a->text) rc = err_set(e, ILAB_E_NOMEM, "no memory for the answers");
            const struct sv text = sv_of(a->text ? a->text : "");
            a->verdict = quiz_judge(it->question, it->reference, text);
            a->good = a->verdict == (it->kind == QUIZ_UNKNOWN ? ANSWER_ABSTAINED : ANSWER_RIGHT);
            a->logp_mean = res[j].logp_mean;
            count(r, it, a);
        }
        for (size_t j = 0; j < n; j++) lm_result_release(&res[j]);
        i += n;
        progress_at(&p, (int64_t)i, "questions");
        if (!rc && signal_pending()) rc = err_set(e, ILAB_E_CANCEL, "interrupted after %zu of %zu questions", i, q->n);
    }
    progress_end(&p);
    mem_free(req);
    mem_free(msg);
    mem_free(res);
    r->seconds = now_seconds() - t0;
    if (rc) quiz_report_release(r, q->n);
    return rc;
}

void quiz_report_release(struct quiz_report *r, size_t n)
{
    for (size_t i = 0; r->answer && i < n; i++) mem_free(r->answer[i].text);
    mem_free(r->answer);
    r->answer = NULL;
}

static json_t *total_json(const struct quiz_total *t)
{
    const struct interval w = wilson(t->good, t->n);
    return json_pack("{s:i,s:i,s:i,s:i,s:f,s:f,s:f}", "n", t->n, "good", t->good, "wrong", t->wrong, "abstained", t->abstained, "share",
                     t->n ? (double)t->good / t->n : 0.0, "low", w.low, "high", w.high);
}

json_t *quiz_report_json(const struct quiz *q, const struct quiz_report *r, int with_answers)
{
    static const char *const VERDICT[] = { "right", "wrong", "abstained" };
    json_t *o = json_object();
    for (int i = 0; i < QUIZ_KIND_COUNT; i++)
        if (r->kind[i].n) json_object_set_new(o, QUIZ_KIND_NAME[i], total_json(&r->kind[i]));
    for (int i = 0; i < 2; i++) {
        if (r->half[i].n) json_object_set_new(o, HALF_NAME[i], total_json(&r->half[i]));
        if (r->group[i].n) json_object_set_new(o, GROUP_NAME[i], total_json(&r->group[i]));
    }
    json_object_set_new(o, "false_refusals", json_real(r->n_answerable ? (double)r->false_refusals / r->n_answerable : 0));
    json_object_set_new(o, "seconds", json_real(r->seconds));
    if (!with_answers) return o;
    json_t *list = json_array();
    for (size_t i = 0; i < q->n; i++)
        json_array_append_new(list, json_pack("{s:s%,s:s%,s:s,s:s,s:s,s:b,s:f}", "user_input", q->v[i].question.p, q->v[i].question.n,
                                              "reference", q->v[i].reference.p, q->v[i].reference.n, "kind",
                                              QUIZ_KIND_NAME[q->v[i].kind], "answer", r->answer[i].text, "verdict",
                                              VERDICT[r->answer[i].verdict], "good", r->answer[i].good, "logp_mean",
                                              isfinite(r->answer[i].logp_mean) ? r->answer[i].logp_mean : -1e4));
    json_object_set_new(o, "answers", list);
    return o;
}

static void total_text(struct sb *out, const char *name, const struct quiz_total *t)
{
    const struct interval w = wilson(t->good, t->n);
    if (t->n)
        sb_addf(out, "  %-20s %4d of %4d  %5.1f %%  (95 %%: %.1f to %.1f)\n", name, t->good, t->n, 100.0 * t->good / t->n, 100 * w.low,
                100 * w.high);
}

void quiz_report_text(const struct quiz *q, const struct quiz_report *r, struct sb *out)
{
    (void)q;
    for (int i = 0; i < QUIZ_KIND_COUNT; i++) {
        total_text(out, QUIZ_KIND_NAME[i], &r->kind[i]);
        for (int j = 0; j < 2; j++) {
            if (i == QUIZ_RECALL) total_text(out, HALF_NAME[j], &r->half[j]);
            if (i == QUIZ_UNKNOWN) total_text(out, GROUP_NAME[j], &r->group[j]);
        }
    }
    sb_addf(out, "  false refusals       %4d of %4d\n", r->false_refusals, r->n_answerable);
}
