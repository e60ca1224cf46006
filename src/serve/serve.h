/* serve.h — front header of layer 6 `serve`: the OpenAI-style HTTP interface of one model, and the page that checks a qna.yaml.
 *
 * One worker thread owns the model and takes what waits in a bounded queue, several requests at a time; connection threads parse,
 * wait and write. So answers are those of `lm_local`, whatever else is asked at the same moment.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_SERVE_H
#define ILAB_SERVE_H

#include "base/base.h"
#include "taxonomy/taxonomy.h"

enum { SERVE_MAX_QUEUE = 64 };
struct engine;
struct server;
struct serve_opts {
    const char *host; int port;      /* 0: any free one */
    const char *api_key;             /* NULL: none is asked for; beyond loopback addresses one is demanded */
    const char *model_id;            /* how /v1/models names it */
    finding_words_fn *words;         /* findings in the other language, for requests that ask so; NULL: none */
    int max_queue;                   /* requests that may wait; 0: SERVE_MAX_QUEUE. More get 503 */
};
/* Takes the address before the model is loaded. */
int serve_bind(struct server **out, const struct serve_opts *o, ilab_err *e);
int serve_port(const struct server *s);
/* Answers until a signal is pending; `ready` is called once when connections are accepted. The engine stays the caller's. */
int serve_run(struct server *s, struct engine *en, void (*ready)(void *ud, int port), void *ud, ilab_err *e);
void serve_free(struct server *s);   /* NULL is fine */

#endif
