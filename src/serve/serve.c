/* serve.c — the life of a server: take the address, start the worker, wait for a signal, stop in order.
 *
 * Order of stopping: the queue first, so that every waiting connection gets its end; then the connections; then the model.
 * SPDX-License-Identifier: Apache-2.0 */
#include "serve/api.h"

#include <poll.h>
#include <string.h>
#include <time.h>

enum { SIGNAL_POLL_MS = 200 };

static int is_loopback(const char *host) { return !strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "::1"); }

int serve_bind(struct server **out, const struct serve_opts *o, ilab_err *e) {
    *out = NULL;
    if (!is_loopback(o->host) && !(o->api_key && *o->api_key))
        return err_set(e, ILAB_E_INVALID, "the address '%s' can be reached from other computers: give an --api-key, or serve on 127.0.0.1", o->host);
    struct server *s = mem_calloc(1, sizeof *s);
    if (!s) return err_set(e, ILAB_E_NOMEM, "not enough memory for a server");
    s->model_id = mem_strndup(o->model_id, strlen(o->model_id));
    if (o->api_key && *o->api_key) s->api_key = mem_strndup(o->api_key, strlen(o->api_key));
    s->max_queue = o->max_queue > 0 ? o->max_queue : SERVE_MAX_QUEUE;
    s->words = o->words;
    pthread_mutex_init(&s->checking, NULL);
    s->created = (int64_t)time(NULL);
    s->seed = hash64(&s->created, sizeof s->created, (uint64_t)(now_seconds() * 1e6));
    int rc = s->model_id && (s->api_key || !o->api_key || !*o->api_key) ? 0 : err_set(e, ILAB_E_NOMEM, "not enough memory for a server");
    const struct http_server_opts http = { .host = o->host, .port = o->port, .route = ROUTES, .n_route = N_ROUTES, .ud = s, .refuse = refuse };
    if (!rc) rc = http_server_bind(&s->http, &http, e);
    if (rc) serve_free(s);
    else *out = s;
    return rc;
}

int serve_port(const struct server *s) { return http_server_port(s->http); }

int serve_run(struct server *s, struct engine *en, void (*ready)(void *ud, int port), void *ud, ilab_err *e) {
    ilab_err local;
    if (!e) e = &local;
    s->engine = en;
    s->template = chat_template_of(en->tokenizer);
    int rc = lm_local_new(&s->lm, en, 0, e);
    if (rc) return rc;
    lm_hash(s->lm); /* now, in one thread: /v1/models only reads it */
    s->queue = queue_new(s->lm, s->max_queue, e);
    rc = s->queue ? http_server_start(s->http, e) : ILAB_E_NOMEM;
    if (!rc && ready) ready(ud, http_server_port(s->http));
    while (!rc && !signal_pending()) poll(NULL, 0, SIGNAL_POLL_MS);
    if (s->queue) queue_stop(s->queue);
    http_server_stop(s->http);
    s->http = NULL;
    queue_free(s->queue);
    s->queue = NULL;
    lm_close(s->lm);
    s->lm = NULL;
    return rc;
}

void serve_free(struct server *s) {
    if (!s) return;
    http_server_stop(s->http);
    mem_free(s->model_id);
    mem_free(s->api_key);
    pthread_mutex_destroy(&s->checking);
    mem_free(s);
}
