/* api.h — internal to src/serve: the server's state, requests (request.c) and answers (answer.c) of the OpenAI interface.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_SERVE_API_H
#define ILAB_SERVE_API_H

#include "infer/infer.h"
#include "lm/lm.h"
#include "net/net.h"
#include "serve/queue.h"
#include "serve/serve.h"
#include "taxonomy/taxonomy.h"
#include "text/text.h"

#include <pthread.h>
#include <stdatomic.h>

struct server {
    struct http_server *http;
    struct engine *engine;
    struct lm *lm;
    struct queue *queue;
    const struct chat_template *template;
    char *model_id, *api_key;
    finding_words_fn *words;      /* NULL: findings in English only */
    pthread_mutex_t checking;     /* one text at a time: a long one takes twenty times its size */
    int max_queue;
    int64_t created;              /* Unix time of the start */
    _Atomic uint64_t n_request;   /* part of answer ids and of seeds */
    uint64_t seed;
};

/* A completion as it was asked for. */
struct ask {
    struct job *job;
    int is_chat, stream, include_usage, extended; /* extended: the answer gets "ilab" */
    int logprobs, n_logprobs;                     /* wanted by the standard fields */
    int n_prompt;
    uint64_t number;
    double start;                                 /* monotonic */
    int64_t created;                              /* Unix time */
};
struct api_error { int status; const char *code, *param; ilab_err e; };

/* request.c: body → ask. Nonzero: *err tells why; nothing is left to release. */
int ask_parse(struct server *s, struct sv body, int is_chat, struct ask *a, struct api_error *err);

/* answer.c. Errors as OpenAI writes them. */
void reply_error(struct http_exchange *x, int status, const char *code, const char *param, const char *message);
void reply_json(struct http_exchange *x, int status, json_t *v);          /* takes v */
json_t *answer_json(struct server *s, const struct ask *a);               /* of a finished job */
/* Chunks of a stream: the first (role), a piece of text, the last; usage follows when it was asked for. */
json_t *chunk_json(struct server *s, const struct ask *a, struct sv piece, int is_first);
json_t *last_chunk_json(struct server *s, const struct ask *a);
json_t *usage_json(const struct server *s, const struct ask *a);
json_t *json_of_text(struct sv s);                                        /* stray bytes become U+FFFD */

/* routes.c */
extern const struct http_route ROUTES[];
extern const int N_ROUTES;
void refuse(struct http_exchange *x, int status, const char *why);
int is_allowed(const struct server *s, struct http_exchange *x);          /* 0 and an answer when the key is missing or wrong */

/* check.c: a qna.yaml and what the validator of `diff` says about it. */
void on_check(void *ud, struct http_exchange *x);
void on_check_page(void *ud, struct http_exchange *x);

#endif
