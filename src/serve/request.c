/* request.c — a JSON body becomes a job: standard fields by table, then messages or prompt, then our extension.
 *
 * Unknown fields are ignored, as OpenAI's clients expect. Fields that would change the answer and are not offered are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "serve/api.h"

#include <string.h>
#include <time.h>

enum { ASK_MAX_MESSAGES = 1 << 12, ASK_MAX_TOKENS = 1 << 20, COMPLETION_TOKENS = 16 /* OpenAI's default of /v1/completions */ };
enum field_kind { FIELD_INT, FIELD_FLOAT };
struct field { const char *name; enum field_kind kind; size_t off; double lo, hi; };
#define F(member) offsetof(struct lm_request, member)
/* The default temperature is ours: 0, because a taught fact is the likeliest answer. */
static const struct field FIELDS[] = {
    { "max_tokens", FIELD_INT, F(max_tokens), 1, ASK_MAX_TOKENS },
    { "max_completion_tokens", FIELD_INT, F(max_tokens), 1, ASK_MAX_TOKENS },
    { "temperature", FIELD_FLOAT, F(temp), 0, 2 },
    { "top_p", FIELD_FLOAT, F(top_p), 0, 1 },
    { "top_k", FIELD_INT, F(top_k), 0, 1 << 20 },
};

static int bad(struct api_error *err, const char *param, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int bad(struct api_error *err, const char *param, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err->e.msg, sizeof err->e.msg, fmt, ap);
    va_end(ap);
    err->status = 400;
    err->param = param;
    return -1;
}

static int no_memory(struct api_error *err) {
    err->status = 500;
    return err_set(&err->e, ILAB_E_NOMEM, "not enough memory for this request");
}

static const json_t *get(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v;
}

static int take_fields(const json_t *doc, struct lm_request *rq, struct api_error *err) {
    for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++) {
        const struct field *f = &FIELDS[i];
        const json_t *v = get(doc, f->name);
        if (!v) continue;
        if (f->kind == FIELD_INT ? !json_is_integer(v) : !json_is_number(v))
            return bad(err, f->name, "'%s' is to be %s", f->name, f->kind == FIELD_INT ? "an integer" : "a number");
        double x = json_number_value(v);
        if (!(x >= f->lo && x <= f->hi)) return bad(err, f->name, "'%s' is %.10g, but must lie between %.10g and %.10g", f->name, x, f->lo, f->hi);
        char *at = (char *)rq + f->off;
        if (f->kind == FIELD_INT) *(int *)at = (int)x;
        else *(float *)at = (float)x;
    }
    return 0;
}

static int take_stop(const json_t *v, struct lm_request *rq, struct api_error *err) {
    size_t n = json_is_array(v) ? json_array_size(v) : v != NULL;
    if (n > ARRAY_LEN(rq->stop)) return bad(err, "stop", "at most %zu stop strings", ARRAY_LEN(rq->stop));
    for (size_t i = 0; i < n; i++) {
        const char *s = json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
        if (!s) return bad(err, "stop", "'stop' is to be a string or a list of strings");
        rq->stop[i] = s;
    }
    return 0;
}

static int take_flags(const json_t *doc, struct ask *a, struct api_error *err) {
    const json_t *n = get(doc, "n"), *logprobs = get(doc, "logprobs"), *top = get(doc, "top_logprobs"), *format = get(doc, "response_format");
    a->stream = json_is_true(get(doc, "stream"));
    a->include_usage = json_is_true(get(get(doc, "stream_options"), "include_usage"));
    if (n && json_integer_value(n) != 1) return bad(err, "n", "only one choice is offered: n = 1");
    if (format && json_str(format, "type") && strcmp(json_str(format, "type"), "text")) return bad(err, "response_format", "only the response format 'text' is offered");
    if (get(doc, "tools") || get(doc, "functions")) return bad(err, "tools", "tools are not offered");
    int64_t want = a->is_chat ? json_int(doc, "top_logprobs", 0) : json_int(doc, "logprobs", 0);
    if ((top && !json_is_integer(top)) || want < 0 || want > LM_MAX_TOP) return bad(err, a->is_chat ? "top_logprobs" : "logprobs", "0 to %d log-probabilities a token are offered", LM_MAX_TOP);
    a->logprobs = a->is_chat ? json_is_true(logprobs) : json_is_integer(logprobs);
    a->n_logprobs = a->logprobs ? (int)want : 0;
    return 0;
}

/* A string, or the text parts of a list joined. The joined text is put into the message, which owns it. */
static int content_of(json_t *message, struct sv *out, struct api_error *err) {
    json_t *v = json_object_get(message, "content");
    if (json_is_array(v)) {
        struct sb b;
        size_t i;
        json_t *part;
        sb_init(&b, HTTP_MAX_BODY);
        json_array_foreach(v, i, part) {
            const char *type = json_str(part, "type"), *text = json_str(part, "text");
            if (!type || strcmp(type, "text") || !text) {
                sb_release(&b);
                return bad(err, "messages", "only parts of type 'text' are offered");
            }
            sb_addc(&b, text);
        }
        json_object_set_new(message, "content", json_stringn(b.p ? b.p : "", b.n));
        sb_release(&b);
        v = json_object_get(message, "content");
    }
    if (v && !json_is_string(v) && !json_is_null(v)) return bad(err, "messages", "the content of a message is to be a string");
    *out = json_is_string(v) ? (struct sv){ json_string_value(v), json_string_length(v) } : SV("");
    return 0;
}

static int take_messages(struct job *j, struct api_error *err) {
    static const char *const ROLES[][2] = { { "system", "system" }, { "developer", "system" }, { "user", "user" }, { "assistant", "assistant" } };
    json_t *list = json_object_get(j->doc, "messages"), *m;
    size_t n = json_array_size(list), i;
    if (!n) return bad(err, "messages", "'messages' is to be a list with at least one message");
    if (n > ASK_MAX_MESSAGES) return bad(err, "messages", "at most %d messages", ASK_MAX_MESSAGES);
    j->message = mem_calloc(n, sizeof *j->message);
    if (!j->message) return no_memory(err);
    json_array_foreach(list, i, m) {
        const char *role = json_str(m, "role");
        for (size_t k = 0; role && k < ARRAY_LEN(ROLES); k++)
            if (!strcmp(role, ROLES[k][0])) j->message[i].role = ROLES[k][1];
        if (!j->message[i].role) return bad(err, "messages", "message %zu has the role '%s'; known are system, user and assistant", i, role ? role : "");
        if (content_of(m, &j->message[i].content, err)) return -1;
    }
    j->rq.message = j->message;
    j->rq.n_message = (int)n;
    return 0;
}

static int take_prompt(struct job *j, struct api_error *err) {
    const json_t *v = json_object_get(j->doc, "prompt");
    if (json_is_array(v) && json_array_size(v) == 1) v = json_array_get(v, 0);
    if (!json_is_string(v)) return bad(err, "prompt", "'prompt' is to be a string");
    j->rq.raw = (struct sv){ json_string_value(v), json_string_length(v) };
    return 0;
}

static struct sv text_of(const json_t *o, const char *key) {
    const json_t *v = json_object_get(o, key);
    return json_is_string(v) ? (struct sv){ json_string_value(v), json_string_length(v) } : (struct sv){ NULL, 0 };
}

/* "ilab": what lm_request can say and OpenAI's fields cannot. */
static int take_extension(const json_t *x, struct ask *a, struct api_error *err) {
    struct job *j = a->job;
    if (!x) return 0;
    int64_t top = json_int(x, "top", 0);
    if (top < 0 || top > LM_MAX_TOP) return bad(err, "ilab", "'ilab.top' must lie between 0 and %d", LM_MAX_TOP);
    a->extended = 1;
    j->rq.n_top = (int)top;
    j->rq.prefix = text_of(x, "prefix");
    j->rq.skeleton = json_str(x, "skeleton");
    j->rq.source = text_of(x, "source");
    j->rq.write_user = json_is_true(json_object_get(x, "write_user"));
    j->answer = text_of(x, "score");
    j->is_score = j->answer.p != NULL;
    if (j->is_score && !a->is_chat) return bad(err, "ilab", "'ilab.score' needs messages");
    return 0;
}

/* Counts the prompt here, in the connection's thread: one that is too long need not wait for the worker. */
static int check_length(struct server *s, struct ask *a, int max_tokens, struct api_error *err) {
    struct lm_request *rq = &a->job->rq;
    struct chat_ids chat = { 0 };
    struct tokenizer *t = s->engine->tokenizer;
    int rc = 0, n_ctx = lm_n_ctx(s->lm);
    if (rq->n_message) {
        struct chat_message *m = mem_calloc((size_t)rq->n_message, sizeof *m);
        if (!m) return no_memory(err);
        for (int i = 0; i < rq->n_message; i++) m[i] = (struct chat_message){ rq->message[i].role, rq->message[i].content };
        rc = chat_encode(t, s->template, m, rq->n_message, 1, &chat, &err->e);
        mem_free(m);
    } else {
        rc = tokenizer_encode(t, rq->raw, TOKEN_PARSE_SPECIAL | (tokenizer_adds_bos(t) ? TOKEN_ADD_BOS : 0), &chat.ids, &err->e);
    }
    if (!rc && rq->prefix.n) rc = encode_continuation(t, rq->prefix, &chat.ids, &err->e);
    a->n_prompt = (int)chat.ids.n;
    chat_ids_release(&chat);
    if (rc) {
        err->status = rc == ILAB_E_NOMEM ? 500 : 400;
        return rc;
    }
    if (a->n_prompt < n_ctx) return 0;
    log_error("Requested tokens (%d) exceed context window of %d", a->n_prompt + max_tokens, n_ctx);
    err->code = "context_length_exceeded";
    return bad(err, "messages",
               "This model's maximum context length is %d tokens. However, you requested %d tokens (%d in the messages, %d in the completion). "
               "Please reduce the length of the messages or completion.", n_ctx, a->n_prompt + max_tokens, a->n_prompt, max_tokens);
}

static int parse(struct server *s, struct sv body, struct ask *a, struct api_error *err) {
    struct job *j = a->job;
    j->doc = json_parse(body, "body", &err->e);
    if (!j->doc) {
        err->status = 400;
        return -1;
    }
    if (!json_is_object(j->doc)) return bad(err, NULL, "the body is to be a JSON object");
    j->rq.top_p = 1;
    const json_t *seed = get(j->doc, "seed");
    j->rq.seed = json_is_integer(seed) ? (uint64_t)json_integer_value(seed) : s->seed + a->number;
    int rc = take_fields(j->doc, &j->rq, err);
    if (!rc) rc = take_stop(get(j->doc, "stop"), &j->rq, err);
    if (!rc) rc = take_flags(j->doc, a, err);
    if (!rc) rc = take_extension(get(j->doc, "ilab"), a, err);
    if (!rc) rc = a->is_chat ? take_messages(j, err) : take_prompt(j, err);
    if (!rc && !j->rq.write_user) rc = check_length(s, a, j->rq.max_tokens, err);
    if (rc) return rc;
    if (j->rq.n_top < a->n_logprobs) j->rq.n_top = a->n_logprobs;
    if (!j->rq.max_tokens) j->rq.max_tokens = a->is_chat ? lm_n_ctx(s->lm) : COMPLETION_TOKENS;
    return 0;
}

int ask_parse(struct server *s, struct sv body, int is_chat, struct ask *a, struct api_error *err) {
    *a = (struct ask){ .job = job_new(), .is_chat = is_chat, .number = atomic_fetch_add(&s->n_request, 1), .start = now_seconds(), .created = (int64_t)time(NULL) };
    *err = (struct api_error){ 0 };
    if (!a->job) return no_memory(err);
    int rc = parse(s, body, a, err);
    if (!rc) return 0;
    job_release(a->job);
    a->job = NULL;
    return rc;
}
