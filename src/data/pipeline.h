/* pipeline.h — internal to src/data: what the stages of a generation share.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_DATA_PIPELINE_H
#define ILAB_DATA_PIPELINE_H

#include "data/data.h"
#include "data/fact.h"

/* ---- journal.c ---- */
struct journal;
struct answer { struct sv text; int finished; double logp; const json_t *top; /* borrowed from the journal */ };
int journal_open(struct journal **out, const char *dir, int resume, ilab_err *e);
void journal_close(struct journal *j, int complete);        /* complete: removes the file */
uint64_t request_key(const char *model_hash, const struct lm_request *r);
int journal_get(struct journal *j, uint64_t key, struct answer *out, struct arena *a); /* 1: found */
int journal_put(struct journal *j, uint64_t key, const struct lm_request *q, const struct lm_result *r, ilab_err *e);
int journal_flush(struct journal *j, ilab_err *e);

/* ---- one generation ---- */
enum { WORK_MAX_QUESTIONS = 192 /* before the best are chosen */, WORK_MAX_STATEMENTS = 16, WORK_MAX_RIVALS = 4 };
enum wording { W_FORWARD, W_REVERSE, W_STATEMENT, W_KINDS };
/* Where a fact stands: the document's name, the file inside of an archive, path of headings; numbers from 1, 0: not told. */
struct cite { struct sv document, part, heading; int page, line, paragraph; };
/* A fact with what was made of it so far. */
struct work {
    struct fact f;
    const struct leaf *leaf;
    struct sv window;            /* the chunk of the document that answers its questions */
    struct cite cite;
    struct sv target;            /* the answer that is taught: the model's own when it reads the window */
    struct sv statement[WORK_MAX_STATEMENTS]; int n_statement;
    int n_said;                  /* the first statements: written from the seed's question, and the document's own sentence */
    struct sv question[WORK_MAX_QUESTIONS]; int n_question;     /* accepted forward wordings */
    double margin[WORK_MAX_QUESTIONS];                          /* of each: how much better this fact explains it than any other */
    int lessons;                 /* forward samples wanted: more for an answer that the model finds strange */
    int rival[WORK_MAX_RIVALS], n_rival;                        /* the facts that come nearest; n_rival -1: not looked for yet */
    struct sv reverse[WORK_MAX_QUESTIONS]; int n_reverse;
};
struct item {
    enum item_kind kind;
    int fact;                    /* index in gen.work, -1 */
    const struct leaf *leaf;
    struct sv before_user, before_answer;   /* an earlier turn; empty when there is none */
    struct sv user, answer;
    const json_t *top;           /* the model's own distribution over the answer's tokens, or NULL */
    float weight;
};
struct gen {
    struct lm *lm;
    const struct generate_opts *o;
    struct generate_report *r;
    struct arena mem;
    struct journal *journal;
    struct rng rng;
    struct work *work; size_t n_work, cap_work;
    struct item *item; size_t n_item, cap_item;
    struct sb discard_log;
    struct sv refusal;           /* how this model says that it does not know */
    int chunk;                   /* requests that are computed together */
    int no_memory;               /* a prompt could not be built: the next gen_ask fails */
    int no_score;                /* the model cannot tell log-probabilities of given text */
    int64_t n_scored;
};
/* Two-argument prompt of prompts.h. */
struct sv prompt_fill(struct gen *g, const char *prompt, struct sv a1, struct sv a2);
/* One-turn request; the message lives in the generation's arena. */
struct lm_request gen_request(struct gen *g, struct sv user, float temp, int max_tokens);
/* Answers n requests, from the journal where they are known; shows progress under `label`. ILAB_E_CANCEL after a signal. */
int gen_ask(struct gen *g, const char *label, struct lm_request *req, size_t n, struct answer *out, ilab_err *e);
void gen_discard(struct gen *g, enum discard why, struct sv text);
int gen_keep(struct gen *g, struct item it, ilab_err *e);
int answer_has(struct gen *g, struct sv answer, struct sv value);
int answer_refuses(struct gen *g, struct sv answer);
struct request_list { struct lm_request *v; size_t n, cap; int *tag; size_t cap_tag; };  /* tag: whose request it is */
int request_add(struct request_list *l, struct lm_request q, int tag, ilab_err *e);
void request_list_release(struct request_list *l);

/* reading.c: a leaf's documents as sentences in chunks */
struct reading_chunk { struct sv heading, text; int n_tokens; };
struct sentence { struct sv text; size_t document, passage, chunk; int is_code; /* may hold a seed's answer, is no sentence */ };
struct reading { const struct documents *d; struct sentence *v; size_t n, cap; struct reading_chunk *chunk; size_t n_chunk, cap_chunk; };
int reading_make(struct gen *g, const struct documents *d, struct reading *out, ilab_err *e); /* release it also after an error */
void reading_free(struct reading *s);
struct sv reading_window(struct gen *g, const struct reading *s, size_t at, struct sv subject); /* the chunk around sentence `at`; names the subject where the document does */
struct cite reading_cite(struct gen *g, const struct reading *s, size_t at);
/* stage_fact.c, stage_wording.c, stage_protect.c: each appends to g */
int stage_facts(struct gen *g, const struct leaf *l, const struct documents *d, ilab_err *e);
int stage_wordings(struct gen *g, ilab_err *e);
int stage_protect(struct gen *g, ilab_err *e);
/* channel.c: does this fact, and no other, explain these wordings? */
struct wording_score { struct sv text; enum wording kind; double own /* log p given the fact */, margin /* above the best other */; int n_token, out; };
int channel_score(struct gen *g, size_t fact, struct wording_score *s, size_t n, ilab_err *e);
int channel_own(struct gen *g, size_t fact, struct wording_score *s, size_t n, ilab_err *e); /* only s.own */
int channel_surprise(struct gen *g, const struct work *w, double *nats, ilab_err *e); /* -log p(what is taught | its question) today */
/* reword.c: the words by which a fact is asked (the seed's question and the sentence share them), as either of them spells them */
struct reword_keys { struct sv form[2]; int n; };
void reword_keys(const struct work *w, struct reword_keys *out);
double reword_share(struct sv text, const struct reword_keys *keys); /* of the words, those that the text has in some form */
int reword_has(struct sv text, const struct reword_keys *keys);     /* has them */
int reword(struct gen *g, size_t fact, const struct reword_keys *keys, struct sv *text, ilab_err *e); /* puts them in the likeliest place */
/* stage_own.c: questions that the model writes for itself, with the answers that it gives today */
struct own_questions { struct sv *v; size_t n, cap; };      /* texts in the generation's arena; v: mem_free */
int own_write(struct gen *g, size_t n, struct own_questions *out, ilab_err *e);
struct sv own_name(struct gen *g, struct sv question);      /* the name that a question is about; empty: none or several */
int own_replay(struct gen *g, const struct own_questions *q, ilab_err *e);
int own_neighbours(struct gen *g, size_t n, ilab_err *e);   /* the taught questions, asked of other names */
/* mix.c */
int mix_write(struct gen *g, struct leaf *const *leaf, size_t n_leaf, ilab_err *e);

#endif
