/* eval.h — front header of layer 6 `eval`: closed-book quiz and its scoring.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_EVAL_H
#define ILAB_EVAL_H

#include "base/base.h"
#include "lm/lm.h"
#include "text/text.h"

enum quiz_kind { QUIZ_RECALL, QUIZ_UNKNOWN, QUIZ_RETENTION, QUIZ_KIND_COUNT };
extern const char *const QUIZ_KIND_NAME[QUIZ_KIND_COUNT];
struct quiz_item { struct sv question, reference, half, group; enum quiz_kind kind; };
struct quiz { struct arena mem; struct quiz_item *v; size_t n, cap; };
/* JSONL with user_input, reference, kind; optional half, group. */
int quiz_read(struct quiz *q, const char *path, ilab_err *e);
void quiz_release(struct quiz *q);

enum verdict { ANSWER_RIGHT, ANSWER_WRONG, ANSWER_ABSTAINED };
/* Right: the normalised reference occurs and no name or number foreign to question and reference.
 * Abstained: a phrase of not knowing and no claim. */
enum verdict quiz_judge(struct sv question, struct sv reference, struct sv answer);
struct interval { double low, high; };
struct interval wilson(int right, int n);                    /* 95 % (Wilson 1927) */

struct quiz_answer { char *text; enum verdict verdict; int good; /* the verdict its kind wants */ double logp_mean; };
struct quiz_total { int n, good, wrong, abstained; };
struct quiz_report {
    struct quiz_answer *answer;                              /* [q.n] */
    struct quiz_total kind[QUIZ_KIND_COUNT], half[2] /* recall: ordinary, reserved */, group[2] /* unknown: name, attribute */;
    int false_refusals, n_answerable;                        /* abstained where an answer was known: recall + retention */
    double seconds;
};
/* Greedy, a fresh chat each, at most 48 tokens. */
int quiz_run(struct lm *lm, const struct quiz *q, const char *system_prompt, struct quiz_report *r, ilab_err *e);
void quiz_report_release(struct quiz_report *r, size_t n);
json_t *quiz_report_json(const struct quiz *q, const struct quiz_report *r, int with_answers);
void quiz_report_text(const struct quiz *q, const struct quiz_report *r, struct sb *out);

#endif
