/* lm_local.c — a language model in this process: chat template, prefix and skeleton on one side, a batch of ids on the other.
 *
 * One batcher lives as long as the model, so prompts that begin alike share their beginning across calls.
 * Not for two threads at a time.  SPDX-License-Identifier: Apache-2.0 */
#include "infer/infer.h"
#include "lm/lm.h"

#include <string.h>

enum { LOCAL_SEQS = 32, LOCAL_KV_BYTES = 1 << 30, LOCAL_MAX_POSITIONS = 1 << 20, LOCAL_MAX_MESSAGES = 1 << 12 };

struct lm_local {
    struct engine *engine;
    int own;
    struct batcher *batcher;
    const struct chat_template *template;
    char hash[140];
};

/* What a request became: ids and a constraint that live until it was run. */
struct job {
    struct chat_ids chat;
    struct constraint *constraint;
    struct sb skeleton;
    const char *stop[4];
    int trim; /* the answer's first space belongs to the prefix or the template */
    const struct lm_request *rq;
    int begun; /* a piece was handed on */
};

static void job_release(struct job *j) {
    chat_ids_release(&j->chat);
    constraint_free(j->constraint);
    sb_release(&j->skeleton);
}

/* on_text of the engine: the piece without the one space that take_result leaves out, too. */
static int pass_text(void *ud, struct sv piece) {
    struct job *j = ud;
    if (j->trim && !j->begun && piece.n && piece.p[0] == ' ') piece.p++, piece.n--;
    j->begun = 1;
    return piece.n ? j->rq->on_text(j->rq->ud, piece) : 0;
}

static int encode_chat(struct lm_local *l, const struct lm_message *m, int n_message, const struct sv *answer, struct chat_ids *out, ilab_err *e) {
    if (n_message < 1 || n_message > LOCAL_MAX_MESSAGES) return err_set(e, ILAB_E_INVALID, "a conversation of %d messages is out of range", n_message);
    struct chat_message *chat = mem_calloc((size_t)n_message + 1, sizeof *chat);
    if (!chat) return err_set(e, ILAB_E_NOMEM, "not enough memory for a conversation");
    for (int i = 0; i < n_message; i++) chat[i] = (struct chat_message){ m[i].role, m[i].content };
    if (answer) chat[n_message] = (struct chat_message){ "assistant", *answer };
    int rc = chat_encode(l->engine->tokenizer, l->template, chat, n_message + (answer != NULL), !answer, out, e);
    mem_free(chat);
    return rc;
}

static int job_init(struct lm_local *l, struct job *j, const struct lm_request *rq, struct request *out, ilab_err *e) {
    struct tokenizer *t = l->engine->tokenizer;
    struct sv prefix = rq->prefix;
    int rc = rq->write_user  ? chat_encode_user_head(t, l->template, &j->chat, e)
             : rq->n_message ? encode_chat(l, rq->message, rq->n_message, NULL, &j->chat, e)
                             : tokenizer_encode(t, rq->raw, TOKEN_PARSE_SPECIAL | (tokenizer_adds_bos(t) ? TOKEN_ADD_BOS : 0), &j->chat.ids, e);
    int spaced = prefix.n && prefix.p[prefix.n - 1] == ' '; /* its last space goes to the answer's first token, where tokenizers have it */
    if (spaced) prefix.n--;
    if (!rc && prefix.n) rc = encode_continuation(t, prefix, &j->chat.ids, e);
    j->trim = spaced || ((rq->n_message || rq->write_user) && !prefix.n);
    if (!rc && rq->skeleton) {
        struct token_table *tt = engine_token_table(l->engine);
        sb_init(&j->skeleton, CONSTRAINT_MAX_SKELETON + 2);
        if (spaced) sb_addch(&j->skeleton, ' ');
        sb_addc(&j->skeleton, rq->skeleton);
        rc = !tt || j->skeleton.failed ? err_set(e, ILAB_E_NOMEM, "not enough memory for a constraint")
                                       : constraint_new_with(&j->constraint, j->skeleton.p, rq->source, t, tt, e);
    }
    if (rc) return rc;
    *out = (struct request){ .prompt = j->chat.ids.v, .n_prompt = (int)j->chat.ids.n, .max_tokens = rq->max_tokens, .sample = SAMPLE_OPTS_INIT,
                             .constraint = j->constraint, .stop = j->stop, .n_top = rq->n_top < LM_MAX_TOP ? rq->n_top : LM_MAX_TOP };
    for (size_t i = 0; i < ARRAY_LEN(rq->stop); i++)
        if (rq->stop[i] && *rq->stop[i]) j->stop[out->n_stop++] = rq->stop[i];
    /* templates end a user's turn by a line break, an end token, or [/INST] */
    if (rq->write_user && out->n_stop + 2 <= (int)ARRAY_LEN(j->stop)) {
        j->stop[out->n_stop++] = "\n";
        j->stop[out->n_stop++] = "[/INST]";
    }
    out->sample.temp = rq->temp;
    out->sample.top_p = rq->top_p > 0 ? rq->top_p : 1.0f;
    out->sample.top_k = rq->top_k;
    out->sample.seed = rq->seed;
    j->rq = rq;
    if (rq->on_text) out->on_text = pass_text, out->ud = j;
    return 0;
}

/* The result's text without the one space that only continues what stands before. */
static int take_result(struct completion *c, const struct job *j, struct lm_result *r, ilab_err *e) {
    size_t skip = j->trim && c->n_text && c->text[0] == ' ';
    int n_free = 0;
    r->text = mem_strndup(c->text + skip, c->n_text - skip);
    r->n = c->n_text - skip;
    r->n_token = c->n;
    r->n_prompt = c->n_prompt;
    r->finished = c->finish == FINISH_STOP;
    r->token = mem_calloc((size_t)c->n, sizeof *r->token);
    if (c->n_top) r->top = mem_calloc((size_t)c->n * (size_t)c->n_top, sizeof *r->top);
    if (!r->text || !r->token || (c->n_top && !r->top)) return err_set(e, ILAB_E_NOMEM, "not enough memory for a result");
    for (int i = 0; i < c->n; i++) {
        r->token[i] = (struct lm_token){ c->id[i], c->logp[i] };
        if (c->forced[i]) continue;
        r->logp_mean += c->logp[i];
        n_free++;
    }
    if (n_free) r->logp_mean /= n_free;
    for (int i = 0; i < c->n * c->n_top; i++) r->top[i] = (struct lm_token){ c->top[i].id, c->top[i].logp };
    return 0;
}

static int local_complete(void *self, const struct lm_request *rq, int n, struct lm_result *out, ilab_err *e) {
    struct lm_local *l = self;
    if (n < 1) return 0;
    memset(out, 0, (size_t)n * sizeof *out);
    struct job *job = mem_calloc((size_t)n, sizeof *job);
    struct request *req = mem_calloc((size_t)n, sizeof *req);
    struct completion *done = mem_calloc((size_t)n, sizeof *done);
    int rc = job && req && done ? 0 : err_set(e, ILAB_E_NOMEM, "not enough memory for %d requests", n);
    for (int i = 0; i < n && !rc; i++) rc = job_init(l, &job[i], &rq[i], &req[i], e);
    if (!rc) rc = batcher_run(l->batcher, req, n, done, e);
    for (int i = 0; i < n && !rc; i++) rc = take_result(&done[i], &job[i], &out[i], e);
    for (int i = 0; i < n; i++) {
        if (rc) lm_result_release(&out[i]);
        if (job) job_release(&job[i]);
        if (done) completion_release(&done[i]);
    }
    mem_free(job);
    mem_free(req);
    mem_free(done);
    return rc;
}

static int local_score(void *self, const struct lm_message *m, int n_message, struct sv answer, double *logp, int *n_token, ilab_err *e) {
    struct lm_local *l = self;
    struct chat_ids before = { 0 }, whole = { 0 };
    struct completion c = { 0 };
    *logp = 0;
    *n_token = 0;
    int rc = encode_chat(l, m, n_message, NULL, &before, e);
    if (!rc) rc = encode_chat(l, m, n_message, &answer, &whole, e);
    int from = 0; /* the answer begins where the two part; its mask tells which ids are its own */
    while (!rc && (size_t)from < before.ids.n && (size_t)from < whole.ids.n && before.ids.v[from] == whole.ids.v[from]) from++;
    struct request rq = { .prompt = whole.ids.v, .n_prompt = (int)whole.ids.n, .sample = SAMPLE_OPTS_INIT, .want_prompt_logp = 1, .logp_from = from };
    if (!rc) rc = batcher_run(l->batcher, &rq, 1, &c, e);
    for (int i = from; i < rq.n_prompt && !rc; i++) {
        if (!whole.mask[i]) continue;
        *logp += c.prompt_logp[i];
        ++*n_token;
    }
    completion_release(&c);
    chat_ids_release(&before);
    chat_ids_release(&whole);
    return rc;
}

static int local_count_tokens(void *self, struct sv text) {
    struct lm_local *l = self;
    struct ids ids = { 0 };
    int n = tokenizer_encode(l->engine->tokenizer, text, 0, &ids, NULL) ? -1 : (int)ids.n;
    ids_release(&ids);
    return n;
}

/* The file's hash, and that of the adapter's weights behind a '+'. */
static const char *local_hash(void *self) {
    struct lm_local *l = self;
    struct adapter *a = l->engine->adapter;
    if (l->hash[0]) return l->hash;
    const char *base = l->engine->model->gguf ? model_hash(l->engine->model, NULL) : NULL;
    struct sb text;
    sb_init(&text, sizeof l->hash - 1);
    if (base) sb_addc(&text, base);
    if (base && a) {
        struct sha256 h;
        char hex[65];
        sha256_init(&h);
        sha256_add(&h, &a->scale, sizeof a->scale);
        sha256_add(&h, a->params, a->n_params * sizeof(float));
        sha256_hex(&h, hex);
        sb_addch(&text, '+');
        sb_addc(&text, hex);
    }
    if (text.n && !text.failed) memcpy(l->hash, text.p, text.n + 1);
    sb_release(&text);
    return l->hash;
}

static int local_n_ctx(void *self) { return ((struct lm_local *)self)->engine->n_ctx; }

static void local_close(void *self) {
    struct lm_local *l = self;
    batcher_free(l->batcher);
    if (l->own) engine_free(l->engine);
    mem_free(l);
}

static void local_bulk(void *self) {
    struct lm_local *l = self;
    engine_bulk(l->engine);
}

static void local_watch(void *self) {
    struct lm_local *l = self;
    l->engine->watch = 1;
}

static const struct lm_ops LOCAL_OPS = { "local", local_complete, local_score, local_count_tokens, local_hash, local_n_ctx, local_close, local_bulk, local_watch };

/* Positions for LOCAL_SEQS full contexts, as far as memory allows; at least one whole context. */
static int positions_for(const struct engine *en) {
    size_t room = mem_available() / 4 < LOCAL_KV_BYTES ? mem_available() / 4 : LOCAL_KV_BYTES;
    size_t most = room / kv_position_bytes(&en->model->hp, en->kv_type), want = (size_t)en->n_ctx * LOCAL_SEQS;
    if (want > most) want = most;
    if (want > LOCAL_MAX_POSITIONS) want = LOCAL_MAX_POSITIONS;
    return want > (size_t)en->n_ctx ? (int)want : en->n_ctx;
}

int lm_local_new(struct lm **out, struct engine *en, int own, ilab_err *e) {
    *out = NULL;
    struct lm *lm = mem_calloc(1, sizeof *lm);
    struct lm_local *l = mem_calloc(1, sizeof *l);
    int rc = lm && l ? 0 : err_set(e, ILAB_E_NOMEM, "not enough memory for a language model");
    if (!rc) {
        l->batcher = batcher_new(en, LOCAL_SEQS, positions_for(en), e);
        if (!l->batcher) rc = e && e->code ? e->code : ILAB_E_NOMEM;
    }
    if (rc) {
        mem_free(lm);
        mem_free(l);
        return rc;
    }
    l->engine = en;
    l->own = own;
    l->template = chat_template_of(en->tokenizer);
    char warning[200];
    if (chat_template_warning(en->tokenizer, warning, sizeof warning)) log_warn("%s", warning);
    lm->ops = &LOCAL_OPS;
    lm->self = l;
    const char *name = en->path ? path_base(en->path) : en->model->name;
    size_t n = strnlen(name, sizeof lm->name - 1);
    memcpy(lm->name, name, n);
    *out = lm;
    return 0;
}

int lm_local_open(struct lm **out, const char *path, const char *adapter_path, int n_threads, ilab_err *e) {
    struct engine *en = NULL;
    *out = NULL;
    int rc = engine_open(&en, path, adapter_path, n_threads, e);
    if (!rc) rc = lm_local_new(out, en, 1, e);
    if (rc && en) engine_free(en);
    return rc;
}
