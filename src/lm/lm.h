/* lm.h — front header of layer 5 `lm`: one port, "a language model", local or behind an OpenAI endpoint.
 *
 * `data` and `eval` see only this: they never know where the model runs, and are tested with a scripted fake.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_LM_H
#define ILAB_LM_H

#include "base/base.h"

struct lm_message { const char *role; struct sv content; };
struct lm_token { int32_t id; float logp; };
enum { LM_MAX_TOP = 20 };
struct lm_request {
    const struct lm_message *message; int n_message; /* chat; the model's template is applied */
    int write_user;                     /* the model writes the next user's turn (self-made questions) instead of an answer */
    struct sv raw;                      /* n_message 0: raw prompt with special tokens parsed, no template (e.g. "<|user|>\n": the model writes the user's turn) */
    struct sv prefix;                   /* text that the answer starts with (forced, not part of the result) */
    int max_tokens;
    float temp, top_p; int top_k; uint64_t seed;   /* temp 0: greedy */
    const char *skeleton; struct sv source;        /* constraint (infer.h) or NULL */
    const char *stop[4];
    int n_top;                          /* teacher's top log-probabilities a token to return */
    /* Called for each piece of the text as it comes; nonzero ends the request with what there is. NULL allowed. Several
     * requests of one call may be answered at once, each from one thread. */
    int (*on_text)(void *ud, struct sv piece); void *ud;
};
struct lm_result {
    char *text; size_t n;
    int n_token; struct lm_token *token;           /* generated ids, log-probabilities (0 when the endpoint gives none) */
    struct lm_token *top;                          /* [n_token][n_top] or NULL */
    double logp_mean;                              /* mean log-probability of the generated ids */
    int finished;                                  /* 1: ended by itself, 0: cut by max_tokens */
    int n_prompt;                                  /* ids before the answer; 0 when the endpoint does not tell */
};
void lm_result_release(struct lm_result *r);

struct lm;
struct lm_ops {
    const char *kind;
    int (*complete)(void *self, const struct lm_request *req, int n, struct lm_result *out, ilab_err *e);
    /* log p(answer | conversation), summed over the answer's tokens; *n_token their count */
    int (*score)(void *self, const struct lm_message *m, int n_message, struct sv answer, double *logp, int *n_token, ilab_err *e);
    int (*count_tokens)(void *self, struct sv text);
    const char *(*hash)(void *self);               /* identity of the weights, "" when unknown */
    int (*n_ctx)(void *self);
    void (*close)(void *self);
    void (*bulk)(void *self);                      /* NULL: nothing to choose */
    void (*watch)(void *self);                     /* NULL: nothing to show */
};
struct lm { const struct lm_ops *ops; void *self; char name[256]; };
static inline int lm_complete(struct lm *l, const struct lm_request *r, int n, struct lm_result *out, ilab_err *e) { return l->ops->complete(l->self, r, n, out, e); }
static inline int lm_score(struct lm *l, const struct lm_message *m, int nm, struct sv a, double *lp, int *nt, ilab_err *e) { return l->ops->score(l->self, m, nm, a, lp, nt, e); }
static inline int lm_count_tokens(struct lm *l, struct sv t) { return l->ops->count_tokens(l->self, t); }
static inline int lm_n_ctx(struct lm *l) { return l->ops->n_ctx(l->self); }
static inline const char *lm_hash(struct lm *l) { return l->ops->hash(l->self); }
/* Much text of which each piece counts for little is wanted: faster, rounded products (engine_bulk). Before the first request. */
static inline void lm_bulk(struct lm *l) { if (l->ops->bulk) l->ops->bulk(l->self); }
/* Somebody waits for each answer: a long prompt shows a progress line on stderr. */
static inline void lm_watch(struct lm *l) { if (l->ops->watch) l->ops->watch(l->self); }
void lm_close(struct lm *l);                       /* NULL is fine; frees l */

/* lm_local.c: over an engine (owned by the lm when `own`). */
struct engine;
int lm_local_new(struct lm **out, struct engine *en, int own, ilab_err *e);
int lm_local_open(struct lm **out, const char *path, const char *adapter_path, int n_threads, ilab_err *e);
/* lm_http.c: an OpenAI-style endpoint (base URL such as http://127.0.0.1:8000/v1). */
/* A server of ours (`ilab serve`) does everything that a local model does. Others know no prefix, skeleton, write_user, score
 * (ILAB_E_INVALID) and tell no ids (-1; `top` is NULL). A prompt that is too long for the model is ILAB_E_LIMIT. */
int lm_http_probe(const char *base_url);              /* 1: something answers GET base_url/models; quick and silent */
int lm_http_open(struct lm **out, const char *base_url, const char *model, const char *api_key, ilab_err *e);

#endif
