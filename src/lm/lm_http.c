/* lm_http.c — a language model behind an OpenAI-style endpoint.
 *
 * Several requests go out over a few connections at once, so that a server which batches can batch them. A server of ours tells
 * the hash of its weights and takes the fields of "ilab" (prefix, skeleton, ids …); then this port loses nothing against
 * lm_local. Any other server gets the standard fields only. 503 (its queue is full) is waited out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "lm/lm.h"
#include "net/net.h"
#include "text/text.h"

#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { HTTP_LM_CONNECTIONS = 32 /* the batch of our server */, HTTP_LM_OTHER_CONNECTIONS = 8, HTTP_LM_MAX_TEXT = 16 << 20, HTTP_LM_BUSY_MS = 120000, HTTP_LM_OPEN_MS = 10000, HTTP_LM_CONNECT_MS = 3000,
       HTTP_LM_PROBE_MS = 200, HTTP_LM_PROBE_ANSWER_MS = 2000, HTTP_LM_N_CTX = 4096 /* of a server that does not tell */ };

struct lm_http {
    char base[512], model[512], key[512], hash[140];
    int ours, n_ctx;
};

/* ---- one exchange ---- */
static int check_status(struct lm_http *l, const struct http_answer *a, const json_t *doc, ilab_err *e) {
    const json_t *error = json_object_get(doc, "error");
    const char *message = json_str(error, "message"), *code = json_str(error, "code");
    if (!message && json_is_string(error)) message = json_string_value(error);
    if (a->status == 200 && doc && !error) return 0;
    if (a->status == 401) return err_set(e, ILAB_E_INVALID, "Invalid API Key. Please set it in your config file.");
    if (a->status == 429) return err_set(e, ILAB_E_INVALID, "Rate limit or maximum monthly limit exceeded");
    if (code && !strcmp(code, "context_length_exceeded")) return err_set(e, ILAB_E_LIMIT, "%s", message ? message : "the prompt is too long");
    if (a->status == 200 && !error) return err_set(e, ILAB_E_FORMAT, "the answer of '%s' is no JSON", l->base);
    return err_set(e, a->status >= 500 ? ILAB_E_IO : ILAB_E_INVALID, "'%s' answers with HTTP status %d%s%s", l->base, a->status, message ? ": " : "", message ? message : "");
}

static void authorize(struct lm_http *l, struct http_call *c, char out[600]) {
    snprintf(out, 600, "Authorization: Bearer %s", l->key);
    if (l->key[0]) c->header[0] = out;
}

/* POST base/what; *doc NULL after a stream. Waits while the server is busy. */
static int post(struct lm_http *l, const char *what, const json_t *request, int (*on_event)(void *, struct sv), void *ud, json_t **doc, ilab_err *e) {
    char url[600], key[600];
    struct sb b;
    *doc = NULL;
    snprintf(url, sizeof url, "%s/%s", l->base, what);
    sb_init(&b, HTTP_MAX_ANSWER);
    sb_add_json(&b, request);
    if (b.failed) {
        sb_release(&b);
        return err_set(e, ILAB_E_LIMIT, "a request of more than %d bytes", HTTP_MAX_ANSWER);
    }
    struct http_call c = { .url = url, .body = { b.p, b.n }, .connect_ms = HTTP_LM_CONNECT_MS, .on_event = on_event, .ud = ud };
    authorize(l, &c, key);
    int rc = 0;
    for (int waited = 0, ms = 20;; waited += ms, ms = ms < 1000 ? 2 * ms : ms) {
        struct http_answer a;
        rc = http_fetch(&c, &a, e);
        if (!rc && a.status == 503 && waited < HTTP_LM_BUSY_MS && !signal_pending()) {
            http_answer_release(&a);
            poll(NULL, 0, ms);
            continue;
        }
        int streamed = !rc && on_event && a.status == 200 && !a.n;
        if (!rc && !streamed) {
            *doc = json_parse((struct sv){ a.body, a.n }, l->base, NULL);
            rc = check_status(l, &a, *doc, e);
        }
        http_answer_release(&a);
        break;
    }
    sb_release(&b);
    if (rc) json_decref(*doc), *doc = NULL;
    return rc;
}

/* ---- request → JSON ---- */
static json_t *text_json(struct sv s) {
    json_t *v = json_stringn(s.p ? s.p : "", s.n);
    if (v) return v;
    struct sb b; /* not UTF-8: let the writer replace the stray bytes */
    sb_init(&b, HTTP_LM_MAX_TEXT * 2u);
    sb_add_json_str(&b, s);
    v = b.failed ? NULL : json_parse((struct sv){ b.p, b.n }, "text", NULL);
    sb_release(&b);
    return v;
}

static json_t *messages_json(const struct lm_message *m, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_pack("{s:s,s:o}", "role", m[i].role, "content", text_json(m[i].content)));
    return list;
}

static int is_ours_only(const struct lm_request *q) { return q->write_user || q->prefix.n || q->skeleton; }

static json_t *extension_json(const struct lm_request *q) {
    json_t *x = json_object();
    if (q->prefix.n) json_object_set_new(x, "prefix", text_json(q->prefix));
    if (q->skeleton) json_object_set_new(x, "skeleton", json_string(q->skeleton));
    if (q->skeleton && q->source.n) json_object_set_new(x, "source", text_json(q->source));
    if (q->write_user) json_object_set_new(x, "write_user", json_true());
    if (q->n_top) json_object_set_new(x, "top", json_integer(q->n_top < LM_MAX_TOP ? q->n_top : LM_MAX_TOP));
    return x;
}

static json_t *request_json(const struct lm_http *l, const struct lm_request *q) {
    json_t *o = json_pack("{s:s}", "model", l->model), *stop = json_array();
    if (q->n_message) json_object_set_new(o, "messages", messages_json(q->message, q->n_message));
    else json_object_set_new(o, "prompt", text_json(q->raw));
    if (l->ours || (q->max_tokens < l->n_ctx && q->max_tokens > 0)) json_object_set_new(o, "max_tokens", json_integer(q->max_tokens));
    json_object_set_new(o, "temperature", json_real((double)q->temp));
    if (q->top_p > 0 && q->top_p < 1) json_object_set_new(o, "top_p", json_real((double)q->top_p));
    if (q->top_k > 0) json_object_set_new(o, "top_k", json_integer(q->top_k));
    if (q->temp > 0) json_object_set_new(o, "seed", json_integer(l->ours ? (json_int_t)q->seed : (json_int_t)(q->seed & INT32_MAX)));
    for (size_t i = 0; i < ARRAY_LEN(q->stop); i++)
        if (q->stop[i] && *q->stop[i]) json_array_append_new(stop, json_string(q->stop[i]));
    if (json_array_size(stop)) json_object_set(o, "stop", stop);
    json_decref(stop);
    if (q->on_text) json_object_set_new(o, "stream", json_true());
    if (l->ours) json_object_set_new(o, "ilab", extension_json(q));
    else if (q->n_top && q->n_message) {
        json_object_set_new(o, "logprobs", json_true());
        json_object_set_new(o, "top_logprobs", json_integer(q->n_top < LM_MAX_TOP ? q->n_top : LM_MAX_TOP));
    }
    return o;
}

/* ---- answer → result ---- */
static float logp_of(const json_t *v) { return json_is_number(v) ? (float)json_number_value(v) : -INFINITY; }

/* "ilab" of an answer: ids, logprobs, top. */
static int take_extension(const json_t *x, int n_top, struct lm_result *r, ilab_err *e) {
    const json_t *ids = json_object_get(x, "ids"), *logps = json_object_get(x, "logprobs"), *tops = json_object_get(x, "top");
    size_t n = json_array_size(ids);
    if (n > INT32_MAX / (LM_MAX_TOP * sizeof *r->top)) return err_set(e, ILAB_E_LIMIT, "an answer of %zu tokens", n);
    if (n_top > LM_MAX_TOP) n_top = LM_MAX_TOP;
    r->n_token = (int)n;
    r->token = mem_calloc(n + 1, sizeof *r->token);
    if (n_top && json_is_array(tops)) r->top = mem_calloc(n * (size_t)n_top + 1, sizeof *r->top);
    if (!r->token || (n_top && json_is_array(tops) && !r->top)) return err_set(e, ILAB_E_NOMEM, "not enough memory for a result");
    for (size_t i = 0; i < n; i++) {
        r->token[i] = (struct lm_token){ (int32_t)json_integer_value(json_array_get(ids, i)), logp_of(json_array_get(logps, i)) };
        for (int k = 0; r->top && k < n_top; k++) {
            const json_t *pair = json_array_get(json_array_get(tops, i), (size_t)k);
            const json_t *id = json_array_get(pair, 0);
            r->top[i * (size_t)n_top + (size_t)k] = (struct lm_token){ json_is_integer(id) ? (int32_t)json_integer_value(id) : -1, logp_of(json_array_get(pair, 1)) };
        }
    }
    r->logp_mean = json_num(x, "logp_mean", 0);
    return 0;
}

/* choices[0].logprobs.content of other servers. */
static int take_logprobs(const json_t *content, struct lm_result *r, ilab_err *e) {
    size_t n = json_array_size(content);
    if (!n) return 0;
    r->token = mem_calloc(n, sizeof *r->token);
    if (!r->token) return err_set(e, ILAB_E_NOMEM, "not enough memory for a result");
    r->n_token = (int)n;
    for (size_t i = 0; i < n; i++) {
        r->token[i] = (struct lm_token){ -1, (float)json_num(json_array_get(content, i), "logprob", 0) };
        r->logp_mean += (double)r->token[i].logp / (double)n;
    }
    return 0;
}

struct reading { struct lm_http *l; const struct lm_request *q; struct lm_result *r; struct sb text; int cancelled, rc; ilab_err *e; };

/* One chunk of a stream, or the whole answer (where the text stands in `message` or `text`). */
static int take_chunk(struct reading *w, const json_t *doc) {
    const json_t *choice = json_array_get(json_object_get(doc, "choices"), 0), *x = json_object_get(doc, "ilab");
    const json_t *delta = json_object_get(choice, "delta"), *message = json_object_get(choice, "message");
    const json_t *text = json_object_get(choice, "text");
    const char *finish = json_str(choice, "finish_reason");
    if (delta) text = json_object_get(delta, "content");
    if (message) text = json_object_get(message, "content");
    int rc = 0;
    if (json_is_string(text)) {
        struct sv piece = { json_string_value(text), json_string_length(text) };
        sb_add(&w->text, piece);
        if (w->q->on_text && piece.n && w->q->on_text(w->q->ud, piece)) w->cancelled = 1;
    }
    if (finish) w->r->finished = !strcmp(finish, "stop");
    if (x) rc = take_extension(x, w->q->n_top, w->r, w->e);
    else if (!w->l->ours && !w->r->token) rc = take_logprobs(json_object_get(json_object_get(choice, "logprobs"), "content"), w->r, w->e);
    const json_t *usage = json_object_get(doc, "usage");
    if (usage) w->r->n_prompt = (int)json_int(usage, "prompt_tokens", 0);
    return rc;
}

static int on_event(void *ud, struct sv data) {
    struct reading *w = ud;
    if (sv_eq_c(data, "[DONE]")) return 0;
    json_t *doc = json_parse(data, w->l->base, NULL);
    const json_t *error = json_object_get(doc, "error");
    if (!doc) w->rc = err_set(w->e, ILAB_E_FORMAT, "a piece of the answer of '%s' is no JSON", w->l->base);
    else if (error) w->rc = err_set(w->e, ILAB_E_IO, "the server broke off: %s", json_str(error, "message") ? json_str(error, "message") : "no reason given");
    else w->rc = take_chunk(w, doc);
    json_decref(doc);
    return w->rc || w->cancelled;
}

static int complete_one(struct lm_http *l, const struct lm_request *q, struct lm_result *r, ilab_err *e) {
    if (!l->ours && is_ours_only(q))
        return err_set(e, ILAB_E_INVALID, "the server at '%s' cannot be told the form of an answer: use `ilab serve`, or the model in this process", l->base);
    struct reading w = { .l = l, .q = q, .r = r, .e = e };
    sb_init(&w.text, HTTP_LM_MAX_TEXT);
    sb_addc(&w.text, "");
    json_t *request = request_json(l, q), *doc = NULL;
    int rc = post(l, q->n_message ? "chat/completions" : "completions", request, q->on_text ? on_event : NULL, &w, &doc, e);
    if (!rc && doc) rc = take_chunk(&w, doc);
    if (w.rc) rc = w.rc; /* why the stream was ended */
    else if (w.cancelled) rc = 0;
    json_decref(request);
    json_decref(doc);
    if (!rc) {
        r->n = w.text.n;
        r->text = w.text.n ? sb_take(&w.text, NULL) : mem_strndup("", 0);
        if (!r->text) rc = err_set(e, ILAB_E_NOMEM, "not enough memory for an answer");
    }
    sb_release(&w.text);
    return rc;
}

/* ---- many at once ---- */
struct fan { struct lm_http *l; const struct lm_request *q; struct lm_result *r; int n; _Atomic int next, failed; pthread_mutex_t lock; ilab_err *e; };

static void *fan_thread(void *ud) {
    struct fan *f = ud;
    for (int i; !atomic_load(&f->failed) && (i = atomic_fetch_add(&f->next, 1)) < f->n;) {
        ilab_err local = { 0 };
        int rc = complete_one(f->l, &f->q[i], &f->r[i], &local);
        if (!rc) continue;
        pthread_mutex_lock(&f->lock);
        if (!atomic_load(&f->failed) && f->e) *f->e = local;
        if (!atomic_load(&f->failed)) atomic_store(&f->failed, rc);
        pthread_mutex_unlock(&f->lock);
    }
    return NULL;
}

static int http_complete(void *self, const struct lm_request *q, int n, struct lm_result *out, ilab_err *e) {
    if (n < 1) return 0;
    memset(out, 0, (size_t)n * sizeof *out);
    struct fan f = { .l = self, .q = q, .r = out, .n = n, .lock = PTHREAD_MUTEX_INITIALIZER, .e = e };
    pthread_t thread[HTTP_LM_CONNECTIONS];
    int n_thread = 0, most = f.l->ours ? HTTP_LM_CONNECTIONS : HTTP_LM_OTHER_CONNECTIONS;
    while (n_thread < most - 1 && n_thread < n - 1 && !pthread_create(&thread[n_thread], NULL, fan_thread, &f)) n_thread++;
    fan_thread(&f);
    for (int i = 0; i < n_thread; i++) pthread_join(thread[i], NULL);
    int rc = atomic_load(&f.failed);
    for (int i = 0; rc && i < n; i++) lm_result_release(&out[i]);
    return rc;
}

static int http_score(void *self, const struct lm_message *m, int n_message, struct sv answer, double *logp, int *n_token, ilab_err *e) {
    struct lm_http *l = self;
    *logp = 0;
    *n_token = 0;
    if (!l->ours) return err_set(e, ILAB_E_INVALID, "the server at '%s' cannot score an answer: use `ilab serve`, or the model in this process", l->base);
    json_t *doc, *q = json_pack("{s:s,s:o,s:{s:o}}", "model", l->model, "messages", messages_json(m, n_message), "ilab", "score", text_json(answer));
    int rc = post(l, "chat/completions", q, NULL, NULL, &doc, e);
    const json_t *x = json_object_get(doc, "ilab");
    if (!rc && !x) rc = err_set(e, ILAB_E_FORMAT, "the answer of '%s' has no score", l->base);
    *logp = json_num(x, "logp", 0);
    *n_token = (int)json_int(x, "n_token", 0);
    json_decref(q);
    json_decref(doc);
    return rc;
}

/* Of other servers a guess: four bytes a token. */
static int http_count_tokens(void *self, struct sv text) {
    struct lm_http *l = self;
    if (!l->ours) return (int)(text.n / 4 + 1);
    json_t *doc, *q = json_pack("{s:o}", "content", text_json(text));
    int n = post(l, "tokenize", q, NULL, NULL, &doc, NULL) ? -1 : (int)json_array_size(json_object_get(doc, "tokens"));
    json_decref(q);
    json_decref(doc);
    return n;
}

static const char *http_hash(void *self) { return ((struct lm_http *)self)->hash; }
static int http_n_ctx(void *self) { return ((struct lm_http *)self)->n_ctx; }
static void http_close(void *self) { mem_free(self); }

static const struct lm_ops HTTP_OPS = { "http", http_complete, http_score, http_count_tokens, http_hash, http_n_ctx, http_close, NULL };

/* ---- opening ---- */
static void copy_text(char *out, size_t cap, const char *s) { snprintf(out, cap, "%s", s ? s : ""); }

/* What the server lists decides, as in the reference: the model of that name, else its first. */
static void take_models(struct lm_http *l, const json_t *doc) {
    const json_t *list = json_object_get(doc, "data"), *use = json_array_get(list, 0), *row;
    size_t i;
    json_array_foreach(list, i, row) if (json_str(row, "id") && !strcmp(json_str(row, "id"), l->model)) use = row;
    if (json_str(use, "id")) copy_text(l->model, sizeof l->model, json_str(use, "id"));
    copy_text(l->hash, sizeof l->hash, json_str(use, "hash"));
    int64_t n_ctx = json_int(use, "n_ctx", HTTP_LM_N_CTX);
    l->n_ctx = n_ctx > 0 && n_ctx < INT32_MAX ? (int)n_ctx : HTTP_LM_N_CTX;
    l->ours = json_str(use, "owned_by") && !strcmp(json_str(use, "owned_by"), "ilab");
}

static int get_models(struct lm_http *l, int ms, ilab_err *e) {
    char url[600], key[600];
    struct http_answer a;
    snprintf(url, sizeof url, "%s/models", l->base);
    struct http_call c = { .url = url, .connect_ms = HTTP_LM_CONNECT_MS, .total_ms = ms };
    authorize(l, &c, key);
    int rc = http_fetch(&c, &a, e);
    if (rc) return rc;
    json_t *doc = json_parse((struct sv){ a.body, a.n }, l->base, NULL);
    if (a.status != 404) rc = check_status(l, &a, doc, e); /* some servers list nothing */
    if (!rc) take_models(l, doc);
    json_decref(doc);
    http_answer_release(&a);
    return rc;
}

int lm_http_probe(const char *base_url) {
    char url[600];
    struct http_answer a;
    if (!http_reachable(base_url, HTTP_LM_PROBE_MS)) return 0; /* before libcurl is loaded */
    snprintf(url, sizeof url, "%s/models", base_url);
    struct http_call c = { .url = url, .connect_ms = HTTP_LM_PROBE_MS, .total_ms = HTTP_LM_PROBE_ANSWER_MS };
    int ok = !http_fetch(&c, &a, NULL) && (a.status == 200 || a.status == 401);
    http_answer_release(&a);
    return ok;
}

int lm_http_open(struct lm **out, const char *base_url, const char *model, const char *api_key, ilab_err *e) {
    *out = NULL;
    struct lm *lm = mem_calloc(1, sizeof *lm);
    struct lm_http *l = mem_calloc(1, sizeof *l);
    int rc = lm && l ? 0 : err_set(e, ILAB_E_NOMEM, "not enough memory for a language model");
    if (!rc && strlen(base_url) >= sizeof l->base) rc = err_set(e, ILAB_E_INVALID, "the address of the server is too long");
    if (!rc && api_key && strlen(api_key) >= sizeof l->key) rc = err_set(e, ILAB_E_INVALID, "the API key is too long");
    if (!rc) {
        copy_text(l->base, sizeof l->base, base_url);
        for (size_t n = strlen(l->base); n && l->base[n - 1] == '/'; n--) l->base[n - 1] = 0;
        copy_text(l->model, sizeof l->model, model);
        copy_text(l->key, sizeof l->key, api_key);
        l->n_ctx = HTTP_LM_N_CTX;
        rc = get_models(l, HTTP_LM_OPEN_MS, e);
    }
    if (rc) {
        mem_free(lm);
        mem_free(l);
        return rc;
    }
    lm->ops = &HTTP_OPS;
    lm->self = l;
    size_t n = strnlen(l->base, sizeof lm->name - 1);
    memcpy(lm->name, l->base, n);
    *out = lm;
    return 0;
}
