/* data.h — front header of layer 6 `data`: taxonomy, qna files, documents, facts, the generation pipeline.
 *
 * Sees a language model only through lm.h. Holds no knowledge of any subject: every wording comes from the model,
 * the qna file or the document; what this folder does itself are string operations.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_DATA_H
#define ILAB_DATA_H

#include "base/base.h"
#include "lm/lm.h"
#include "text/text.h"

/* ---- taxonomy.c: which leaves changed ---- */
struct leaf_list { char **path; size_t n, cap; };          /* relative to the taxonomy folder, sorted */
/* Untracked and changed *.yaml leaves against `base` (instructlab-reference §2.4); base "empty": every leaf, no git needed;
 * path may be one file. */
int taxonomy_changed(const char *taxonomy, const char *base, struct leaf_list *out, ilab_err *e);
void leaf_list_release(struct leaf_list *l);

/* ---- qna.c: one leaf ---- */
struct seed { const char *question, *answer, *context; int line; };
struct leaf {
    struct arena mem;
    const char *file;                                       /* as given */
    char *path;                                             /* knowledge->university->… */
    int is_knowledge, version;
    const char *created_by, *domain, *task_description;
    struct seed *seed; int n_seed;
    const char *repo, *commit; const char **pattern; int n_pattern;
    int document_line;                                      /* of the keys below `document:` */
};
/* One finding; `error` 0 = warning. text: MESSAGE as the reference words it, remedy: what to do. */
struct finding { int line, col, error; const char *where /* .seed_examples[2].answer */, *text, *remedy; };
struct findings { struct arena mem; struct finding *v; size_t n, cap; int n_errors; };
void findings_release(struct findings *f);
/* Reads, lints and checks a file against the schema of its folder; *out only when there is no error (else NULL, with
 * findings, sorted by place). Returns nonzero only when the file cannot be read, or for lack of memory. */
int leaf_read(const char *file, const char *taxonomy, struct leaf **out, struct findings *f, ilab_err *e);
/* The same for a text that is in memory already; `file` is its name. */
int leaf_read_text(struct sv text, const char *file, const char *taxonomy, struct leaf **out, struct findings *f, ilab_err *e);
void leaf_free(struct leaf *l);

/* ---- document.c: where a document lies; split.c: how it is cut ---- */
struct document { char *name; char *text; size_t n; };
struct documents { struct document *v; size_t n; };
/* document.repo: a folder (relative to the qna file, to the taxonomy or absolute) or anything that git clones. */
int documents_load(const struct leaf *l, const char *taxonomy, struct documents *out, ilab_err *e);
void documents_release(struct documents *d);
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
