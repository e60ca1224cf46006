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

/* ---- split.c: sentences ---- */
/* Of one passage, without marks of footnotes (into the arena). alone: an item, a row or a note, which is a sentence even when it
 * is short, and gets its full stop. */
int passage_sentences(struct sv text, int alone, struct arena *a, struct sv **out, size_t *n, ilab_err *e);

/* ---- fact.c: candidates in sentences ---- */
struct fact { struct sv subject, value, sentence; int seed; /* index of the seed example that asks for it, -1 */ };
/* Spans of a sentence that could be an answer: numbers, capitalised runs, quoted text, dates. */
int value_spans(struct sv sentence, struct arena *a, struct sv **out, size_t *n, ilab_err *e);
/* The name that the seeds and the document are about. Empty when there is none. */
struct sv subject_find(const struct leaf *l, struct sv text, struct arena *a);

/* ---- excerpt.c, suggest.c, draft.c: a new leaf ---- */
struct excerpt { struct sv text; int n_words; };
/* At most `want` passages from all over the documents, in their order, all different; out[want], texts in the arena. */
int excerpts_choose(const struct documents *d, int want, struct arena *a, struct excerpt *out, int *n_out, ilab_err *e);
/* What a text says about itself, each empty where it says nothing; `title` is never empty. Views and arena. */
struct document_about { struct sv title, creators, license, link, revision, summary, headings /* "A, B, C" */, body /* without front matter */; };
int document_about(const struct sv *text, const char *name, struct arena *a, struct document_about *out, ilab_err *e);
struct draft_pair { struct sv question, answer; };
/* At most `want` pairs that the model proposes for the passage and can answer by reading it; out[want], texts in the arena. */
int suggest_pairs(struct lm *lm, struct sv passage, int want, struct arena *a, struct draft_pair *out, int *n_out, ilab_err *e);
enum draft_kind { DRAFT_KNOWLEDGE, DRAFT_FREEFORM, DRAFT_GROUNDED };
enum { DRAFT_MAX_EXAMPLES = 20, DRAFT_MAX_PAIRS = 10, DRAFT_PATH_MAX = 1024 };
struct draft { /* what is empty becomes a mark, LEAF_MARK */
    enum draft_kind kind;
    struct sv created_by, domain, outline /* of the document; a skill's task */, repo, commit;
    const char *const *pattern; int n_pattern;
    int n_example, n_pair;                                  /* a skill has one pair an example */
    struct sv context[DRAFT_MAX_EXAMPLES];
    struct draft_pair pair[DRAFT_MAX_EXAMPLES][DRAFT_MAX_PAIRS];
    struct sv title, link, revision, license, creators;     /* attribution.txt */
};
/* Texts of the two files; caller mem_frees; NULL: *e. */
char *draft_qna(const struct draft *d, ilab_err *e);
char *draft_attribution(const struct draft *d, ilab_err *e);
/* The folder of a leaf below the taxonomy, from what somebody typed ("company/lamps"); ILAB_E_INVALID says what is wrong. */
int draft_path(const char *typed, enum draft_kind kind, char out[DRAFT_PATH_MAX], ilab_err *e);

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
/* What is wrong with a file: findings, or one problem (with findings NULL) that kept it from being read. */
typedef void generate_found_fn(void *ud, const char *file, struct findings *f, const char *problem);
struct generate_opts {
    const struct check_opts *check;                         /* the judge of `diff`; NULL: the default one */
    generate_found_fn *found; void *found_ud;               /* NULL: nobody is told */
    const char *taxonomy, *base, *out_dir, *model_name;     /* model_name: stem used in file names */
    int num_instructions;                                   /* 0: by facts (the default) */
    int chunk_words, chunk_tokens;                          /* most words of a chunk (1.3 tokens each), most tokens; 0: from the model's context */
    int reference_chunks, server_ctx;                       /* --compat 14, 26: InstructLab's chunks of characters; 0: ours. The context that they must leave room in */
    double rouge_threshold; int per_fact;                   /* forward questions a fact */
    uint64_t seed; int n_batch; int quiet, resume;
    const char *system_prompt;                              /* written into the samples; "" none */
};
struct generate_report {
    int facts, kept, by_kind[ITEM_KIND_COUNT], discarded[DISCARD_COUNT]; double seconds; int64_t tokens;
    char generated[512], train[512], test[512], messages[512], discard_log[512];
};
/* Before a model is opened: is there something to generate, and is it valid? The same verdict as `diff` gives, and the same
 * errors as pipeline_run. */
int pipeline_check(const struct generate_opts *o, int *n_knowledge /* leaves with a document */, ilab_err *e);
/* ILAB_E_CANCEL after an interrupt: what was made so far is kept in out_dir and a second run goes on. */
int pipeline_run(struct lm *lm, const struct generate_opts *o, struct generate_report *r, ilab_err *e);

/* ---- hand-over to GPU trainers (export.c) ---- */
struct export_opts {
    const char *trainer;              /* instructlab, axolotl, llamafactory */
    const char *form;                 /* messages, sharegpt, alpaca; NULL: messages */
    const char *train, *test;         /* JSONL as `generate` writes it; test may be NULL */
    const char *base;                 /* Hugging Face name or folder of the base model */
    const char *chat_template;        /* LLaMA-Factory's name of it; NULL: by the base's name */
    const char *out;                  /* folder: train.jsonl, test.jsonl, configuration */
    int full, rank, alpha, epochs, max_seq; double lr;
};
struct export_report { int64_t n_train, n_test, n_left_out /* what the form cannot hold */, n_weighted /* weights are not exported */; const char *file[2]; int n_file; const char *start; /* the command */ };
int data_export(const struct export_opts *o, struct export_report *r, ilab_err *e);

#endif
