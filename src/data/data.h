/* data.h — front header of layer 6 `data`: facts, the generation pipeline.
 *
 * Sees a language model only through lm.h. Holds no knowledge of any subject: every wording comes from the model,
 * the qna file or the document; what this folder does itself are string operations.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_DATA_H
#define ILAB_DATA_H

#include "base/base.h"
#include "lm/lm.h"
#include "taxonomy/taxonomy.h"
#include "text/text.h"

/* ---- split.c: how a document is cut ---- */
/* Chunks of at most max_words words along headings, blank lines, sentences. Views into text. */
int chunk_split(struct sv text, int max_words, struct arena *a, struct sv **out, size_t *n, ilab_err *e);
/* Sentences without Markdown decoration (into the arena). */
int sentence_split(struct sv text, struct arena *a, struct sv **out, size_t *n, ilab_err *e);

/* ---- fact.c: candidates in sentences ---- */
struct fact { struct sv subject, value, sentence; int seed; /* index of the seed example that asks for it, -1 */ int document, line; };
/* Spans of a sentence that could be an answer: numbers, capitalised runs, quoted text, dates. */
int value_spans(struct sv sentence, struct arena *a, struct sv **out, size_t *n, ilab_err *e);
/* The name that the seeds and the document are about. Empty when there is none. */
struct sv subject_find(const struct leaf *l, struct sv text, struct arena *a);

/* ---- perturb.c ---- */
/* A name like `name` that is not it: letters of one or two words changed within their class (string operation only). */
struct sv name_perturb(struct arena *a, struct sv name, struct rng *r);

/* ---- filter.c ---- */
double rouge_l(struct sv a, struct sv b);                   /* F-measure, tokens as in instructlab-reference §3.1 */
enum discard { KEEP, DISCARD_FORMAT, DISCARD_UNSUPPORTED, DISCARD_ROUGE, DISCARD_SUBJECT, DISCARD_LEAK, DISCARD_AMBIGUOUS, DISCARD_EMPTY, DISCARD_COUNT };
extern const char *const DISCARD_REASON[DISCARD_COUNT];

/* ---- pipeline.c: generate ---- */
enum item_kind { ITEM_FORWARD, ITEM_STATEMENT, ITEM_REVERSE, ITEM_CHECK, ITEM_WRONG_PREMISE, ITEM_DIALOGUE, ITEM_UNKNOWN_NAME,
                 ITEM_UNKNOWN_ATTRIBUTE, ITEM_KNOWN, ITEM_REPLAY, ITEM_KIND_COUNT };
extern const char *const ITEM_NAME[ITEM_KIND_COUNT];
struct generate_opts {
    const char *taxonomy, *base, *out_dir, *model_name;     /* model_name: stem used in file names */
    int num_instructions;                                   /* 0: by facts (the default) */
    int chunk_words; double rouge_threshold; int per_fact;  /* forward questions a fact */
    uint64_t seed; int n_batch; int quiet, resume;
    const char *system_prompt;                              /* written into the samples; "" none */
};
struct generate_report {
    int facts, kept, by_kind[ITEM_KIND_COUNT], discarded[DISCARD_COUNT]; double seconds; int64_t tokens;
    char generated[512], train[512], test[512], messages[512], discard_log[512];
};
/* ILAB_E_CANCEL after an interrupt: what was made so far is kept in out_dir and a second run goes on. */
int pipeline_run(struct lm *lm, const struct generate_opts *o, struct generate_report *r, ilab_err *e);

#endif
