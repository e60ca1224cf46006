/* answer.c — results as the JSON that OpenAI's clients expect; the field "ilab" carries what lm_result holds beyond that.
 * SPDX-License-Identifier: Apache-2.0 */
#include "serve/api.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { ANSWER_MAX_BYTES = 256 << 20 };

json_t *json_of_text(struct sv s) {
    json_t *v = json_stringn(s.p ? s.p : "", s.n);
    if (v) return v;
    struct sb b;
    sb_init(&b, ANSWER_MAX_BYTES);
    sb_add_json_str(&b, s);
    v = b.failed ? NULL : json_parse((struct sv){ b.p, b.n }, "text", NULL);
    sb_release(&b);
    return v ? v : json_string("");
}

void reply_json(struct http_exchange *x, int status, json_t *v) {
    struct sb b;
    sb_init(&b, ANSWER_MAX_BYTES);
    sb_add_json(&b, v);
    if (b.failed || !v) http_reply(x, 500, "application/json", SV("{\"error\":{\"message\":\"not enough memory\",\"type\":\"server_error\"}}"));
    else http_reply(x, status, "application/json", (struct sv){ b.p, b.n });
    sb_release(&b);
    json_decref(v);
}

void reply_error(struct http_exchange *x, int status, const char *code, const char *param, const char *message) {
    reply_json(x, status, json_pack("{s:{s:o,s:s,s:s?,s:s?}}", "error", "message", json_of_text(sv_of(message)), "type",
                                    status < 500 ? "invalid_request_error" : "server_error", "param", param, "code", code));
}

/* ---- log-probabilities ---- */
static json_t *token_json(struct server *s, int id, json_t **bytes) {
    struct sb b;
    sb_init(&b, 1 << 20);
    tokenizer_piece(s->engine->tokenizer, id, 1, &b);
    struct sv text = { b.p ? b.p : "", b.n };
    json_t *v = json_of_text(text);
    if (bytes) *bytes = json_array();
    for (size_t i = 0; bytes && i < text.n; i++) json_array_append_new(*bytes, json_integer((unsigned char)text.p[i]));
    sb_release(&b);
    return v;
}

/* JSON knows no infinity. */
static json_t *logp_json(float x) { return isfinite(x) ? json_real((double)x) : json_real(-9999.0); }

/* Tokens that are text: without the end token. */
static int n_text_token(const struct server *s, const struct lm_result *r) {
    int n = r->n_token;
    return n && tokenizer_is_end(s->engine->tokenizer, r->token[n - 1].id) ? n - 1 : n;
}

static json_t *entry_json(struct server *s, struct lm_token t) {
    json_t *bytes, *text = token_json(s, t.id, &bytes);
    return json_pack("{s:o,s:o,s:o}", "token", text, "logprob", logp_json(t.logp), "bytes", bytes);
}

static json_t *chat_logprobs(struct server *s, const struct ask *a) {
    const struct lm_result *r = &a->job->result;
    json_t *content = json_array();
    for (int i = 0; i < n_text_token(s, r); i++) {
        json_t *row = entry_json(s, r->token[i]), *top = json_array();
        for (int k = 0; k < a->n_logprobs && r->top; k++) {
            struct lm_token t = r->top[i * a->job->rq.n_top + k];
            if (t.id >= 0) json_array_append_new(top, entry_json(s, t));
        }
        json_object_set_new(row, "top_logprobs", top);
        json_array_append_new(content, row);
    }
    return json_pack("{s:o}", "content", content);
}

/* The older form of /v1/completions. */
static json_t *text_logprobs(struct server *s, const struct ask *a) {
    const struct lm_result *r = &a->job->result;
    json_t *tokens = json_array(), *logps = json_array(), *tops = json_array();
    for (int i = 0; i < n_text_token(s, r); i++) {
        json_t *row = json_object();
        for (int k = 0; k < a->n_logprobs && r->top; k++) {
            struct lm_token t = r->top[i * a->job->rq.n_top + k];
            json_t *name = t.id >= 0 ? token_json(s, t.id, NULL) : NULL;
            if (name) json_object_set_new(row, json_string_value(name), logp_json(t.logp));
            json_decref(name);
        }
        json_array_append_new(tokens, token_json(s, r->token[i].id, NULL));
        json_array_append_new(logps, logp_json(r->token[i].logp));
        json_array_append_new(tops, row);
    }
    return json_pack("{s:o,s:o,s:o}", "tokens", tokens, "token_logprobs", logps, "top_logprobs", tops);
}

static json_t *logprobs_json(struct server *s, const struct ask *a) {
    return !a->logprobs ? json_null() : a->is_chat ? chat_logprobs(s, a) : text_logprobs(s, a);
}

/* ---- the extension: everything of lm_result (lm_http.c reads it) ---- */
static json_t *extension_json(const struct ask *a) {
    const struct job *j = a->job;
    const struct lm_result *r = &j->result;
    if (j->is_score) return json_pack("{s:f,s:i}", "logp", j->logp, "n_token", j->n_scored);
    json_t *ids = json_array(), *logps = json_array(), *x = json_pack("{s:f}", "logp_mean", r->logp_mean);
    for (int i = 0; i < r->n_token; i++) {
        json_array_append_new(ids, json_integer(r->token[i].id));
        json_array_append_new(logps, isfinite(r->token[i].logp) ? json_real((double)r->token[i].logp) : json_null());
    }
    json_object_set_new(x, "ids", ids);
    json_object_set_new(x, "logprobs", logps);
    if (!r->top) return x;
    json_t *tops = json_array();
    for (int i = 0; i < r->n_token; i++) {
        json_t *row = json_array();
        for (int k = 0; k < j->rq.n_top; k++) {
            struct lm_token t = r->top[i * j->rq.n_top + k];
            json_array_append_new(row, json_pack("[i,o]", t.id, isfinite(t.logp) ? json_real((double)t.logp) : json_null()));
        }
        json_array_append_new(tops, row);
    }
    json_object_set_new(x, "top", tops);
    return x;
}

/* ---- whole answers and chunks ---- */
static json_t *envelope(const struct server *s, const struct ask *a, const char *object) {
    char id[64];
    snprintf(id, sizeof id, "%s-%08" PRIx64 "%06" PRIx64, a->is_chat ? "chatcmpl" : "cmpl", s->seed & 0xffffffffu, a->number);
    return json_pack("{s:s,s:s,s:I,s:o}", "id", id, "object", object, "created", (json_int_t)a->created, "model",
                     json_of_text(sv_of(s->model_id)));
}

static const char *finish_reason(const struct ask *a) { return a->job->result.finished ? "stop" : "length"; }

json_t *usage_json(const struct server *s, const struct ask *a) {
    int n_prompt = a->job->result.n_prompt ? a->job->result.n_prompt : a->n_prompt, n = n_text_token(s, &a->job->result);
    return json_pack("{s:i,s:i,s:i}", "prompt_tokens", n_prompt, "completion_tokens", n, "total_tokens", n_prompt + n);
}

json_t *answer_json(struct server *s, const struct ask *a) {
    const struct lm_result *r = &a->job->result;
    json_t *o = envelope(s, a, a->is_chat ? "chat.completion" : "text_completion"), *choice = json_pack("{s:i}", "index", 0);
    json_t *text = json_of_text((struct sv){ r->text, r->n });
    if (a->is_chat) json_object_set_new(choice, "message", json_pack("{s:s,s:o}", "role", "assistant", "content", text));
    else json_object_set_new(choice, "text", text);
    json_object_set_new(choice, "logprobs", logprobs_json(s, a));
    json_object_set_new(choice, "finish_reason", json_string(finish_reason(a)));
    json_object_set_new(o, "choices", json_pack("[o]", choice));
    json_object_set_new(o, "usage", usage_json(s, a));
    if (a->extended) json_object_set_new(o, "ilab", extension_json(a));
    return o;
}

static json_t *chunk(struct server *s, const struct ask *a, json_t *delta, json_t *logprobs, json_t *finish) {
    json_t *o = envelope(s, a, a->is_chat ? "chat.completion.chunk" : "text_completion");
    json_object_set_new(o, "choices", json_pack("[{s:i,s:o,s:o,s:o}]", "index", 0, a->is_chat ? "delta" : "text", delta, "logprobs", logprobs, "finish_reason", finish));
    return o;
}

json_t *chunk_json(struct server *s, const struct ask *a, struct sv piece, int is_first) {
    json_t *text = json_of_text(piece);
    if (!a->is_chat) return chunk(s, a, text, json_null(), json_null());
    json_t *delta = is_first ? json_pack("{s:s,s:o}", "role", "assistant", "content", text) : json_pack("{s:o}", "content", text);
    return chunk(s, a, delta, json_null(), json_null());
}

json_t *last_chunk_json(struct server *s, const struct ask *a) {
    json_t *o = chunk(s, a, a->is_chat ? json_object() : json_string(""), logprobs_json(s, a), json_string(finish_reason(a)));
    if (a->extended) {
        json_object_set_new(o, "ilab", extension_json(a));
        json_object_set_new(o, "usage", usage_json(s, a));
    }
    return o;
}
