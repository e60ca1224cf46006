/* routes.c — what is answered at which address.  SPDX-License-Identifier: Apache-2.0 */
#include "serve/api.h"

#include <string.h>

enum { WAIT_MS = 100 /* how often a waiting connection looks whether its client is still there */ };

void refuse(struct http_exchange *x, int status, const char *why) {
    static const struct { int status; const char *code; } CODE[] = { { 404, "not_found" }, { 405, "method_not_allowed" }, { 413, "request_too_large" } };
    const char *code = NULL;
    for (size_t i = 0; i < ARRAY_LEN(CODE); i++)
        if (CODE[i].status == status) code = CODE[i].code;
    char text[512];
    snprintf(text, sizeof text, "%s: %.300s", why, http_path(x));
    reply_error(x, status, code, NULL, text);
}

/* Takes the same time wherever they differ. */
int is_allowed(const struct server *s, struct http_exchange *x) {
    const char *got = http_header(x, "Authorization");
    if (!s->api_key) return 1;
    size_t n = strlen(s->api_key);
    unsigned differs = !got || strncmp(got, "Bearer ", 7) || strlen(got) != n + 7;
    for (size_t i = 0; !differs && i < n; i++) differs |= (unsigned char)got[7 + i] ^ (unsigned char)s->api_key[i];
    if (differs) reply_error(x, 401, "invalid_api_key", NULL, "this server asks for its API key");
    return !differs;
}

/* ---- completions ---- */
static int status_of(int rc) { return rc == ILAB_E_NOMEM || rc == ILAB_E_IO || rc == ILAB_E_FORMAT ? 500 : rc == ILAB_E_CANCEL ? 503 : 400; }

static void report(const struct server *s, const struct ask *a) {
    const struct lm_result *r = &a->job->result;
    (void)s;
    log_info("%s: %d + %d tokens in %.2f s%s", a->is_chat ? "/v1/chat/completions" : "/v1/completions", r->n_prompt, r->n_token, now_seconds() - a->start,
             a->job->rc ? " (failed)" : "");
}

struct answer_stream { struct server *s; struct ask a; size_t n_sent; int begun; };

static void add_event(struct sb *out, json_t *v) {
    sb_addc(out, "data: ");
    sb_add_json(out, v);
    sb_addc(out, "\n\n");
    json_decref(v);
}

static int stream_next(void *ud, struct sb *out) {
    struct answer_stream *w = ud;
    struct job *j = w->a.job;
    struct sb piece;
    sb_init(&piece, (size_t)64 << 20);
    int done = job_wait(j, WAIT_MS, w->n_sent, &piece);
    if (piece.n || (done && !w->begun)) {
        add_event(out, chunk_json(w->s, &w->a, (struct sv){ piece.p ? piece.p : "", piece.n }, !w->begun));
        w->begun = 1;
        w->n_sent += piece.n;
    }
    sb_release(&piece);
    if (!done) return 1;
    report(w->s, &w->a);
    if (j->rc) {
        add_event(out, json_pack("{s:{s:o,s:s}}", "error", "message", json_of_text(sv_of(j->err.msg)), "type", "server_error"));
        return 0;
    }
    add_event(out, last_chunk_json(w->s, &w->a));
    if (w->a.include_usage) {
        json_t *v = last_chunk_json(w->s, &w->a);
        json_object_set_new(v, "choices", json_array());
        json_object_set_new(v, "usage", usage_json(w->s, &w->a));
        json_object_del(v, "ilab");
        add_event(out, v);
    }
    sb_addc(out, "data: [DONE]\n\n");
    return 0;
}

static void stream_end(void *ud) {
    struct answer_stream *w = ud;
    job_cancel(w->a.job); /* nothing to cancel after a whole answer */
    job_release(w->a.job);
    mem_free(w);
}

/* Waits for the end, or in a stream for the first text: until then an error can still have a status. 0: the client left. */
static int wait_for_answer(struct http_exchange *x, struct ask *a) {
    struct sb first;
    sb_init(&first, (size_t)64 << 20);
    int ready = 0, gone = 0;
    while (!ready && !gone) {
        ready = job_wait(a->job, WAIT_MS, a->stream ? 0 : SIZE_MAX, &first) || first.n > 0;
        gone = !ready && http_client_gone(x);
    }
    sb_release(&first);
    if (gone) job_cancel(a->job);
    return !gone;
}

static void begin_stream(struct server *s, struct http_exchange *x, struct ask *a) {
    struct answer_stream *w = mem_calloc(1, sizeof *w);
    if (!w) {
        job_cancel(a->job);
        job_release(a->job);
        return;
    }
    *w = (struct answer_stream){ .s = s, .a = *a };
    const struct http_stream from = { stream_next, stream_end, w };
    http_reply_stream(x, "text/event-stream", &from);
}

static void complete(struct server *s, struct http_exchange *x, int is_chat) {
    struct ask a;
    struct api_error err;
    ilab_err e = { 0 };
    if (!is_allowed(s, x)) return;
    if (ask_parse(s, http_body(x), is_chat, &a, &err)) {
        reply_error(x, err.status, err.code, err.param, err.e.msg);
        return;
    }
    if (queue_submit(s->queue, a.job, &e)) {
        reply_error(x, 503, "overloaded", NULL, e.msg);
        job_release(a.job);
        return;
    }
    if (!wait_for_answer(x, &a)) {
        log_info("the client left; its request is cancelled");
        reply_error(x, 503, NULL, NULL, "the client left");
        job_release(a.job);
        return;
    }
    struct job *j = a.job;
    if (job_wait(j, 0, 0, NULL) && j->rc) {
        report(s, &a);
        reply_error(x, status_of(j->rc), NULL, NULL, j->err.msg);
        job_release(j);
    } else if (a.stream && !j->is_score) {
        begin_stream(s, x, &a);
    } else {
        report(s, &a);
        reply_json(x, 200, answer_json(s, &a));
        job_release(j);
    }
}

static void on_chat(void *ud, struct http_exchange *x) { complete(ud, x, 1); }
static void on_completion(void *ud, struct http_exchange *x) { complete(ud, x, 0); }

/* ---- the small ones ---- */
static void on_models(void *ud, struct http_exchange *x) {
    struct server *s = ud;
    if (!is_allowed(s, x)) return;
    reply_json(x, 200, json_pack("{s:s,s:[{s:o,s:s,s:I,s:s,s:s,s:i,s:[]}]}", "object", "list", "data", "id", json_of_text(sv_of(s->model_id)), "object", "model",
                                 "created", (json_int_t)s->created, "owned_by", "ilab", "hash", lm_hash(s->lm), "n_ctx", lm_n_ctx(s->lm), "permissions"));
}

static void on_tokenize(void *ud, struct http_exchange *x) {
    struct server *s = ud;
    struct ids ids = { 0 };
    ilab_err e = { 0 };
    if (!is_allowed(s, x)) return;
    json_t *doc = json_parse(http_body(x), "body", &e), *list = json_array();
    const json_t *text = json_object_get(doc, "content");
    if (!doc || !json_is_string(text)) reply_error(x, 400, NULL, "content", doc ? "'content' is to be a string" : e.msg);
    else if (tokenizer_encode(s->engine->tokenizer, (struct sv){ json_string_value(text), json_string_length(text) }, 0, &ids, &e)) reply_error(x, 400, NULL, "content", e.msg);
    else {
        for (size_t i = 0; i < ids.n; i++) json_array_append_new(list, json_integer(ids.v[i]));
        reply_json(x, 200, json_pack("{s:O}", "tokens", list));
    }
    json_decref(list);
    json_decref(doc);
    ids_release(&ids);
}

static void on_root(void *ud, struct http_exchange *x) {
    (void)ud;
    reply_json(x, 200, json_pack("{s:s}", "message", "Hello from InstructLab! Visit us at https://instructlab.ai"));
}

static void on_health(void *ud, struct http_exchange *x) {
    (void)ud;
    reply_json(x, 200, json_pack("{s:s}", "status", "ok"));
}

static void on_docs(void *ud, struct http_exchange *x) {
    struct server *s = ud;
    struct sb b;
    sb_init(&b, 1 << 16);
    sb_addf(&b, "ilab %s serves %s\n\n", ILAB_VERSION, s->model_id);
    for (int i = 0; i < N_ROUTES; i++) sb_addf(&b, "%-5s %-22s %s\n", ROUTES[i].method, ROUTES[i].path, ROUTES[i].doc);
    http_reply(x, 200, "text/plain; charset=utf-8", (struct sv){ b.p ? b.p : "", b.n });
    sb_release(&b);
}

const struct http_route ROUTES[] = {
    { "GET", "/", on_root, "a greeting" },
    { "GET", "/health", on_health, "{\"status\": \"ok\"}" },
    { "GET", "/docs", on_docs, "this page" },
    { "GET", "/v1/models", on_models, "the model: id, hash (SHA-256 of its file), n_ctx" },
    { "POST", "/v1/chat/completions", on_chat,
      "messages; max_tokens, temperature (default 0), top_p, top_k, seed, stop, stream, logprobs, top_logprobs; ilab: {prefix, skeleton, source, top, score}" },
    { "POST", "/v1/completions", on_completion, "prompt (special tokens are read); max_tokens (default 16), … as above, logprobs as a number; ilab: {…, write_user}" },
    { "POST", "/v1/tokenize", on_tokenize, "content; answers with its token ids" },
    { "POST", "/v1/taxonomy/check", on_check, "text of a qna.yaml; file (its name), strict, compat, language; answers with valid, errors, warnings, findings" },
    { "GET", "/check", on_check_page, "a page that checks a qna.yaml while it is written" },
};
const int N_ROUTES = ARRAY_LEN(ROUTES);
