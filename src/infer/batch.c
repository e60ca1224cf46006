/* batch.c — many completions at once: each step feeds every running sequence its next ids.
 *
 * A sequence is a list of ids of which the first kv.n_pos are in the cache. A step feeds more of them: one for a
 * sequence that decodes, a chunk for a prompt or for text that a constraint forced. When the last id was fed,
 * its logits choose the next one. A sequence that ends gives its place to the next request and its pages to a
 * small cache, from which later prompts with the same beginning start.
 *
 * Invariants:
 *  (1) Rows are independent (kern.h), and a page's content depends only on the ids up to there. So neither what else is
 *      in the batch, nor the chunks, nor a hit in the cache changes a result.
 *  (2) A sequence is admitted only when its longest possible length fits beside those of the others; the cache
 *      lives on what they have not taken yet and is evicted first. So a running sequence never lacks pages.
 *      Prompt lookup rests on the same: rows of proposed ids are a chunk like any other, and those behind the first
 *      id that the model does not choose itself are forgotten.
 *  (3) A prompt waits only for a sequence that is being fed, so the batch always advances.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "infer/lookup.h"
#include "infer/step.h"
#include "infer/stream.h"

#include <math.h>
#include <string.h>

enum { CACHE_SEQS = 16, SHARE_MIN = KERN_PANEL / 2 /* shorter common beginnings cost more to copy than to compute */ };
enum { REQUEST_MAX_TOP = 32, REQUEST_MAX_STOP = 16, LOOKUP_ROWS = 17 /* of a step, above which proposed ids would crowd out others */ };

struct slot {
    const struct request *rq;      /* NULL: free */
    struct completion *out;
    int started;                   /* its shared beginning is decided */
    struct kv_seq kv;
    struct ids ids;                /* prompt, then generated */
    int n_given;                   /* ids of the prompt, and those that a constraint put behind it at once */
    int limit, n_pages;            /* most ids; pages set aside */
    struct rng rng;
    struct constraint *constraint;
    struct stream stream;
    struct lookup lookup;
    int n_row, row0, n_draft;      /* of this step; proposed ids among the rows */
    int stale;                     /* the rows behind the one just used were fed other ids than the sequence got */
};
struct cached { struct ids ids; struct kv_seq kv; uint64_t used; int n_given; };
/* at: prompt index whose log-probability the row gives; -1: choose the next id, when `ahead` proposed ids come before it. */
struct want { int32_t row; int slot, at, ahead; };
struct batcher {
    struct engine *en;
    struct kv_pool *kv;
    struct stepper step;
    struct slot *slot; int max_seq;
    struct cached cache[CACHE_SEQS]; int n_cache;
    uint64_t clock;
    int max_pos, n_pages, n_pages_taken;
    int given_only;                /* rows of given and of generated ids are computed differently: only the former are shared */
    int32_t id[BATCH_MAX_ROWS];
    struct want want[BATCH_MAX_ROWS]; int n_want;
    struct segment seg[BATCH_MAX_SEQ];
    struct progress watch;            /* of a single request's prompt */
};

static int pages_for(int n_pos) { return (n_pos + KERN_PANEL - 1) / KERN_PANEL; }
static int min_int(int a, int b) { return a < b ? a : b; }

/* 1: products with weights of 16-bit floats, which are faster and rounded for given text (struct batch, n_prompt) */
static int prompts_differ(const struct model *m) {
    int n = 0;
    for (int i = 0; i < m->n_weight; i++) n += m->weight[i].t.n_dim > 1 && (m->weight[i].t.type == QT_F16 || m->weight[i].t.type == QT_BF16);
    return n > 0 && m->act == GEMM_ACT_Q8;
}

struct batcher *batcher_new(struct engine *en, int max_seq, int max_positions, ilab_err *e) {
    if (max_seq < 1 || max_seq > BATCH_MAX_SEQ || max_positions < 1 || max_positions > 1 << 25) {
        err_set(e, ILAB_E_INVALID, "a batch of %d sequences over %d positions is out of range", max_seq, max_positions);
        return NULL;
    }
    struct batcher *b = mem_calloc(1, sizeof *b);
    int rc = b ? 0 : err_set(e, ILAB_E_NOMEM, "not enough memory for a batch");
    if (b) {
        b->en = en;
        b->max_seq = max_seq;
        b->max_pos = max_positions;
        b->given_only = prompts_differ(en->model);
        b->n_pages = pages_for(max_positions) + 2 * max_seq; /* a partial page each, and its copy when shared */
        b->slot = mem_calloc((size_t)max_seq, sizeof *b->slot);
        if (!b->slot) rc = err_set(e, ILAB_E_NOMEM, "not enough memory for a batch");
    }
    if (!rc) {
        b->kv = kv_pool_new(&en->model->hp, en->kv_type, b->n_pages * KERN_PANEL, e);
        rc = b->kv ? stepper_init(&b->step, en, stepper_rows(&en->model->hp, max_seq), e) : ILAB_E_NOMEM;
    }
    if (!rc) return b;
    batcher_free(b);
    return NULL;
}

/* ---- cache of finished sequences ---- */
static void cache_drop(struct batcher *b, int i) {
    kv_release(b->kv, &b->cache[i].kv);
    ids_release(&b->cache[i].ids);
    b->cache[i] = b->cache[--b->n_cache];
    memset(&b->cache[b->n_cache], 0, sizeof b->cache[0]);
}

static void cache_drop_oldest(struct batcher *b) {
    int oldest = 0;
    for (int i = 1; i < b->n_cache; i++)
        if (b->cache[i].used < b->cache[oldest].used) oldest = i;
    cache_drop(b, oldest);
}

static int common(const struct ids *a, const struct ids *c, int max) {
    int n = min_int(max, (int)(a->n < c->n ? a->n : c->n)), i = 0;
    while (i < n && a->v[i] == c->v[i]) i++;
    return i;
}

/* Takes ids and pages of a slot that ends. An entry that the new one begins with goes; a new one that some entry
 * begins with is not needed. */
static void cache_take(struct batcher *b, struct slot *s) {
    int n = s->kv.n_pos, worth = n >= SHARE_MIN;
    kv_truncate(b->kv, &s->kv, n);
    s->ids.n = (size_t)n;
    for (int i = 0; worth && i < b->n_cache; i++) {
        int same = common(&b->cache[i].ids, &s->ids, n);
        if (same == n) {
            b->cache[i].used = ++b->clock;
            worth = 0;
        } else if (same == (int)b->cache[i].ids.n) {
            cache_drop(b, i--);
        }
    }
    if (!worth) return;
    if (b->n_cache == CACHE_SEQS) cache_drop_oldest(b);
    b->cache[b->n_cache++] = (struct cached){ s->ids, s->kv, ++b->clock, s->n_given };
    memset(&s->ids, 0, sizeof s->ids);
    memset(&s->kv, 0, sizeof s->kv);
}

static int reserve(struct batcher *b, struct slot *s, int n_pos, ilab_err *e) {
    int need = pages_for(n_pos) - s->kv.n_page + 1;
    while (b->n_cache && kv_pool_unused(b->kv) < need) cache_drop_oldest(b);
    return kv_reserve(b->kv, &s->kv, n_pos, e);
}

/* ---- life of a slot ---- */
static void slot_release(struct batcher *b, struct slot *s) {
    b->n_pages_taken -= s->n_pages;
    kv_release(b->kv, &s->kv);
    ids_release(&s->ids);
    constraint_free(s->constraint);
    stream_release(&s->stream);
    memset(s, 0, sizeof *s);
}

void batcher_free(struct batcher *b) {
    if (!b) return;
    for (int i = 0; b->slot && i < b->max_seq; i++) slot_release(b, &b->slot[i]);
    while (b->n_cache) cache_drop(b, 0);
    kv_pool_free(b->kv);
    stepper_release(&b->step);
    mem_free(b->slot);
    mem_free(b);
}

void completion_release(struct completion *c) {
    mem_free(c->id);
    mem_free(c->logp);
    mem_free(c->forced);
    mem_free(c->top);
    mem_free(c->prompt_logp);
    mem_free(c->text);
    memset(c, 0, sizeof *c);
}

static int slot_finish(struct batcher *b, struct slot *s, enum finish why, ilab_err *e) {
    struct completion *c = s->out;
    stream_finish(&s->stream);
    c->finish = s->stream.cancelled ? FINISH_CANCEL : why;
    int failed = s->stream.raw.failed || s->stream.text.failed;
    if (!s->stream.text.p) sb_addc(&s->stream.text, "");
    c->text = sb_take(&s->stream.text, &c->n_text);
    if (!c->text) {
        c->text = mem_strndup("", 0);
        c->n_text = 0;
    }
    cache_take(b, s);
    slot_release(b, s);
    return failed || !c->text ? err_set(e, ILAB_E_NOMEM, "not enough memory for the text of a completion") : 0;
}

static void push_text(struct batcher *b, struct slot *s, int32_t id) {
    struct sb piece;
    sb_init(&piece, 1 << 20);
    tokenizer_piece(b->en->tokenizer, id, 0, &piece);
    size_t tail = s->constraint ? (size_t)constraint_tail(s->constraint) : 0;
    if (piece.failed) s->stream.raw.failed = 1;
    if (piece.n > tail) stream_push(&s->stream, (struct sv){ piece.p, piece.n - tail });
    sb_release(&piece);
}

/* Appends a generated id to the sequence and the completion (whose arrays hold limit - n_prompt). */
static int append(struct slot *s, int32_t id, float logp, int forced, ilab_err *e) {
    struct completion *c = s->out;
    if (ids_push(&s->ids, id)) return err_set(e, ILAB_E_NOMEM, "not enough memory for a sequence");
    c->id[c->n] = id;
    c->logp[c->n] = logp;
    c->forced[c->n] = (uint8_t)forced;
    for (int i = 0; forced && i < c->n_top; i++) c->top[(size_t)c->n * (size_t)c->n_top + (size_t)i] = (struct token_logprob){ -1, -INFINITY };
    c->n++;
    return 0;
}

/* Puts in what the constraint forces, as far as the limit allows; *cut: not all of it. */
static int append_forced(struct batcher *b, struct slot *s, int *cut, ilab_err *e) {
    struct ids forced = { 0 };
    int rc = constraint_forced(s->constraint, &forced);
    if (rc < 0) rc = err_set(e, rc, "not enough memory for forced text");
    else rc = 0;
    *cut = (size_t)(s->limit - (int)s->ids.n) < forced.n;
    for (size_t i = 0; i < forced.n && !rc && (int)s->ids.n < s->limit && !s->stream.stopped; i++) {
        rc = append(s, forced.v[i], 0, 1, e);
        push_text(b, s, forced.v[i]);
    }
    ids_release(&forced);
    return rc;
}

/* After ids were added: is the completion over? Then it is finished here. */
static int settle(struct batcher *b, struct slot *s, ilab_err *e) {
    int n_prompt = s->rq->n_prompt, rc = 0, cut = 0;
    if (s->constraint && !s->stream.stopped) rc = append_forced(b, s, &cut, e);
    if (rc) return rc;
    if (s->stream.cancelled || s->stream.stopped || (s->constraint && !cut && constraint_complete(s->constraint))) return slot_finish(b, s, FINISH_STOP, e);
    if ((int)s->ids.n < s->limit) return 0;
    return slot_finish(b, s, s->limit - n_prompt < s->rq->max_tokens ? FINISH_CONTEXT : FINISH_LENGTH, e);
}

/* What a row of logits gives: computed for all rows of a group at once on all threads, used in order afterwards. */
struct pick { int32_t id; float logp; int done; };
struct picks { struct batcher *b; const struct want *want; float *logits; /* [n,V] */ struct pick pick[STEP_LOGIT_ROWS]; };

static void pick_task(void *ud, int i, int i_thread) {
    struct picks *p = ud;
    const struct engine *en = p->b->en;
    const struct kern *k = gemm_kern(en->gemm);
    struct slot *s = &p->b->slot[p->want[i].slot];
    struct completion *c = s->out;
    int n_vocab = en->model->hp.n_vocab, at = p->want[i].at, ahead = p->want[i].ahead;
    if (!s->rq || (ahead && s->stale)) return;
    float *logits = p->logits + (size_t)i * (size_t)n_vocab, lse = k->log_sum_exp(logits, n_vocab), raw;
    (void)i_thread;
    if (!isfinite(lse)) {
        p->pick[i] = (struct pick){ .done = ILAB_E_FORMAT };
        return;
    }
    if (at >= 0) {
        p->pick[i] = (struct pick){ .logp = logits[s->ids.v[at]] - lse };
        return;
    }
    if (c->n_top) {
        struct token_logprob *top = c->top + (size_t)(c->n + ahead) * (size_t)c->n_top;
        for (int j = top_logprobs(logits, n_vocab, c->n_top, top); j < c->n_top; j++) top[j] = (struct token_logprob){ -1, -INFINITY };
    }
    int done = s->constraint ? constraint_mask(s->constraint, logits, n_vocab) : 0;
    p->pick[i] = (struct pick){ .done = done };
    if (done) return;
    p->pick[i].id = sample_choose(k, logits, n_vocab, &s->rq->sample, &s->rng, s->ids.v, (int)s->ids.n + ahead, &raw);
    p->pick[i].logp = raw - lse;
}

static int use_pick(struct batcher *b, struct slot *s, const struct pick *p, ilab_err *e) {
    if (p->done == ILAB_E_FORMAT) return not_finite(b->en, e);
    if (p->done < 0) return err_set(e, p->done, "not enough memory for a constraint");
    if (p->done) return slot_finish(b, s, FINISH_STOP, e);
    int rc = append(s, p->id, p->logp, 0, e);
    if (rc) return rc;
    if (s->constraint) constraint_accept(s->constraint, p->id);
    if (tokenizer_is_end(b->en->tokenizer, p->id)) return slot_finish(b, s, FINISH_STOP, e);
    push_text(b, s, p->id);
    return settle(b, s, e);
}

/* ---- admission ---- */
static int context_of(const struct batcher *b) { return min_int(b->en->n_ctx, b->max_pos); }

static int check_request(const struct batcher *b, const struct request *rq, ilab_err *e) {
    int n_ctx = context_of(b), n_vocab = b->en->model->hp.n_vocab;
    if (rq->n_prompt < 1) return err_set(e, ILAB_E_INVALID, "empty prompt: the model has no begin token, so give at least one token");
    if (rq->max_tokens < 0 || rq->n_top < 0 || rq->n_top > REQUEST_MAX_TOP || rq->n_stop < 0 || rq->n_stop > REQUEST_MAX_STOP)
        return err_set(e, ILAB_E_INVALID, "max_tokens %d, top log-probabilities %d (at most %d) or stop strings %d (at most %d) out of range", rq->max_tokens,
                       rq->n_top, REQUEST_MAX_TOP, rq->n_stop, REQUEST_MAX_STOP);
    if (rq->n_prompt + (rq->max_tokens > 0) > n_ctx)
        return err_set(e, ILAB_E_LIMIT, "the prompt has %d tokens, but the context holds %d%s: shorten the prompt%s", rq->n_prompt, n_ctx,
                       rq->max_tokens > 0 ? " with the answer" : "",
                       n_ctx < b->en->n_ctx ? " or give the batch more positions" : ", or raise the context size if the model bears it");
    int rc = kv_room(&b->en->model->hp, b->en->kv_type, rq->n_prompt, kv_pool_bytes(b->kv), e);
    if (rc) return rc;
    for (int i = 0; i < rq->n_prompt; i++)
        if (rq->prompt[i] < 0 || rq->prompt[i] >= n_vocab)
            return err_set(e, ILAB_E_INVALID, "prompt id %d at %d is outside the vocabulary of %d", (int)rq->prompt[i], i, n_vocab);
    return 0;
}

static int admit(struct batcher *b, struct slot *s, const struct request *rq, struct completion *out, ilab_err *e) {
    s->rq = rq;
    s->out = out;
    s->limit = rq->max_tokens < context_of(b) - rq->n_prompt ? rq->n_prompt + rq->max_tokens : context_of(b);
    s->n_pages = pages_for(s->limit) + 1;
    b->n_pages_taken += s->n_pages;
    rng_seed(&s->rng, rq->sample.seed);
    stream_init(&s->stream, rq);
    size_t n_new = (size_t)(s->limit - rq->n_prompt) + 1;
    out->n_prompt = rq->n_prompt;
    out->n_top = rq->n_top;
    out->id = mem_calloc(n_new, sizeof *out->id);
    out->logp = mem_calloc(n_new, sizeof *out->logp);
    out->forced = mem_calloc(n_new, 1);
    if (rq->n_top) out->top = mem_calloc(n_new * (size_t)rq->n_top, sizeof *out->top);
    if (rq->want_prompt_logp) out->prompt_logp = mem_calloc((size_t)rq->n_prompt, sizeof *out->prompt_logp);
    if (rq->constraint) s->constraint = constraint_copy(rq->constraint);
    int ok = out->id && out->logp && out->forced && (out->top || !rq->n_top) && (out->prompt_logp || !rq->want_prompt_logp) &&
             (s->constraint || !rq->constraint);
    for (int i = 0; i < rq->n_prompt && ok; i++) ok = !ids_push(&s->ids, rq->prompt[i]);
    if (!ok) return err_set(e, ILAB_E_NOMEM, "not enough memory for a sequence of %d tokens", s->limit);
    int rc = model_rope_reserve(b->en->model, s->limit, e);
    if (!rc && s->constraint && rq->max_tokens > 0) rc = settle(b, s, e);
    s->n_given = (int)s->ids.n;
    return rc;
}

/* Ids at the beginning of s that another sequence has, too, and whose pages would be the very same. */
static int shared(const struct batcher *b, const struct ids *other, int n_given, const struct slot *s, int most) {
    return common(other, &s->ids, b->given_only ? min_int(most, n_given) : most);
}

/* Starts a slot from the longest beginning that another sequence or the cache holds. 0: rather wait a step, because a running
 * sequence is about to compute more of it. */
static int start(struct batcher *b, struct slot *s, ilab_err *e) {
    int most = s->rq->n_prompt - 1, best = 0, coming = 0;
    if (s->rq->want_prompt_logp) most = min_int(most, s->rq->logp_from - 1);
    const struct kv_seq *from = NULL;
    for (int i = 0; i < b->n_cache; i++) {
        int n = shared(b, &b->cache[i].ids, b->cache[i].n_given, s, most);
        if (n > best) {
            best = n;
            from = &b->cache[i].kv;
            b->cache[i].used = ++b->clock;
        }
    }
    for (int i = 0; i < b->max_seq; i++) {
        struct slot *t = &b->slot[i];
        if (!t->rq || !t->started) continue;
        int n = shared(b, &t->ids, t->n_given, s, most), have = min_int(n, t->kv.n_pos);
        if (n > coming) coming = n;
        if (have > best) {
            best = have;
            from = &t->kv;
        }
    }
    if (coming >= best + KERN_PANEL) return 0;
    s->started = 1;
    if (best < SHARE_MIN) return 1;
    int rc = kv_fork(b->kv, &s->kv, from, e);
    if (rc) return rc;
    kv_truncate(b->kv, &s->kv, best);
    s->out->n_prompt_cached = best;
    return 1;
}

/* ---- a step ---- */
/* Ids that lookup proposes for a slot that decodes, behind those it has; their number. `room`: rows that the step has left for it. */
static int propose(const struct batcher *b, struct slot *s, int room) {
    int most = s->rq->n_lookup ? s->rq->n_lookup : b->en->n_lookup, n = (int)s->ids.n;
    if (most <= 0 || s->rq->sample.temp > 0 || s->constraint) return 0;
    most = min_int(min_int(most, LOOKUP_MAX), min_int(room, s->limit - 1 - n));
    int32_t id[LOOKUP_MAX];
    int n_draft = lookup_propose(&s->lookup, s->ids.v, n, most, id), kept = 0;
    while (kept < n_draft && !ids_push(&s->ids, id[kept])) kept++;
    s->ids.n = (size_t)n;
    s->out->n_proposed += kept;
    return kept;
}

static int feed(struct batcher *b, int i_slot, int room, struct batch *batch, ilab_err *e) {
    struct slot *s = &b->slot[i_slot];
    int pos = s->kv.n_pos, n = min_int((int)s->ids.n - pos, b->step.max_row - batch->n_row), n_prompt = s->rq->n_prompt;
    s->n_draft = n == 1 && (int)s->ids.n == pos + 1 && pos >= s->n_given && room > 0 ? propose(b, s, min_int(room, b->step.max_row - batch->n_row - n)) : 0;
    s->stale = 0;
    n += s->n_draft;
    int rc = n > 0 ? reserve(b, s, pos + n, e) : 0;
    if (rc || n <= 0) return rc;
    s->row0 = batch->n_row;
    s->n_row = n;
    for (int i = 0; i < n; i++) {
        int at = pos + i + 1; /* the row predicts ids[at] */
        int32_t row = s->row0 + i;
        b->id[row] = s->ids.v[pos + i];
        if (at >= (int)s->ids.n && s->rq->max_tokens > 0) b->want[b->n_want++] = (struct want){ row, i_slot, -1, at - (int)s->ids.n };
        else if (s->rq->want_prompt_logp && at < n_prompt && at >= s->rq->logp_from) b->want[b->n_want++] = (struct want){ row, i_slot, at, 0 };
    }
    b->seg[batch->n_seg++] = (struct segment){ s->row0, n, pos, s->kv.page };
    batch->n_row += n;
    return 0;
}

/* Generated ids one by one, several at once (put there by a constraint), given ones. */
enum { DECODES, FORCED, GIVEN, N_PASS };
static int pass_of(const struct slot *s) { return s->kv.n_pos < s->n_given ? GIVEN : (int)s->ids.n - s->kv.n_pos > 1 ? FORCED : DECODES; }

/* Rows of all running sequences, pass by pass. */
static int gather(struct batcher *b, struct batch *batch, ilab_err *e) {
    *batch = (struct batch){ .id = b->id, .seg = b->seg };
    b->n_want = 0;
    for (int i = 0; i < b->max_seq; i++) {
        struct slot *s = &b->slot[i];
        s->n_row = s->n_draft = 0;
        if (!s->rq || s->started) continue;
        int rc = start(b, s, e);
        if (rc < 0) return rc;
    }
    int n_running = 0;
    for (int i = 0; i < b->max_seq; i++) n_running += b->slot[i].rq && b->slot[i].started;
    int n_generated = 0;
    for (int pass = 0; pass < N_PASS; pass++) {
        n_generated = batch->n_row;
        for (int i = 0; i < b->max_seq; i++) {
            struct slot *s = &b->slot[i];
            if (!s->rq || !s->started || pass_of(s) != pass) continue;
            int rc = feed(b, i, LOOKUP_ROWS / n_running - 1, batch, e);
            if (rc) return rc;
        }
    }
    batch->n_prompt = batch->n_row - n_generated;
    return 0;
}

/* A chosen id: the sequence grows; the row of a proposed id counts when the model chose that id itself. */
static int use_row(struct batcher *b, const struct want *w, const struct pick *p, ilab_err *e) {
    struct slot *s = &b->slot[w->slot];
    struct completion *c = s->out;
    if (!s->rq || (w->ahead && s->stale)) return 0;
    const int more = w->ahead < s->n_draft, hit = more && !p->done && p->id == b->id[w->row + 1];
    if (hit) c->n_accepted++;
    else if (s->n_draft) lookup_result(&s->lookup, s->n_draft, w->ahead);
    int rc = use_pick(b, s, p, e);
    if (rc || !s->rq) return rc;
    s->kv.n_pos += hit;
    s->stale = !hit;
    return 0;
}

/* Before the logits are used: they may write the first piece of the answer. */
static void tell(struct batcher *b) {
    for (int i = 0; i < b->max_seq && !b->watch.quiet; i++) {
        const struct slot *s = &b->slot[i];
        if (!s->rq) continue;
        progress_at(&b->watch, min_int(s->kv.n_pos, s->rq->n_prompt), "tokens");
        if (s->kv.n_pos >= s->rq->n_prompt) {
            progress_clear(&b->watch);
            b->watch.quiet = 1;
        }
    }
}

static int use_logits(struct batcher *b, ilab_err *e) {
    int rc = 0;
    for (int i = 0; i < b->n_want && !rc; i += STEP_LOGIT_ROWS) {
        int32_t row[STEP_LOGIT_ROWS];
        int n = min_int(STEP_LOGIT_ROWS, b->n_want - i);
        for (int j = 0; j < n; j++) row[j] = b->want[i + j].row;
        struct picks p = { .b = b, .want = b->want + i, .logits = stepper_logits(&b->step, row, n) };
        if (n > 1 && b->en->pool) pool_run(b->en->pool, pick_task, &p, n);
        else for (int j = 0; j < n; j++) pick_task(&p, j, 0);
        for (int j = 0; j < n && !rc; j++) {
            const struct want *w = &p.want[j];
            if (w->at < 0) rc = use_row(b, w, &p.pick[j], e);
            else if (p.pick[j].done) rc = not_finite(b->en, e);
            else b->slot[w->slot].out->prompt_logp[w->at] = p.pick[j].logp;
        }
    }
    return rc;
}

static int step(struct batcher *b, ilab_err *e) {
    struct batch batch;
    int rc = gather(b, &batch, e);
    if (rc) return rc;
    if (!batch.n_row) return 0;
    rc = stepper_forward(&b->step, b->kv, &batch, e);
    if (rc) return rc;
    for (int i = 0; i < b->max_seq; i++)
        if (b->slot[i].rq) b->slot[i].kv.n_pos += b->slot[i].n_row - b->slot[i].n_draft;
    tell(b);
    rc = use_logits(b, e);
    for (int i = 0; i < b->max_seq && !rc; i++) { /* scoring only */
        struct slot *s = &b->slot[i];
        if (s->rq && s->rq->max_tokens == 0 && s->kv.n_pos == s->rq->n_prompt) rc = slot_finish(b, s, FINISH_LENGTH, e);
    }
    return rc;
}

static int run(struct batcher *b, const struct request *req, int n, struct completion *out, ilab_err *e) {
    int next = 0, n_running = 0, rc = 0;
    while (!rc) {
        n_running = 0;
        for (int i = 0; i < b->max_seq && !rc; i++) {
            struct slot *s = &b->slot[i];
            while (!rc && !s->rq && next < n) { /* a constraint without a field ends on admission: the place is free again */
                int room = min_int(req[next].max_tokens, context_of(b) - req[next].n_prompt) + req[next].n_prompt;
                if (b->n_pages_taken + pages_for(room) + 1 > b->n_pages) break;
                rc = admit(b, s, &req[next], &out[next], e);
                next++;
            }
            n_running += s->rq != NULL;
        }
        if (rc || (!n_running && next == n)) break;
        if (signal_pending()) rc = err_set(e, ILAB_E_CANCEL, "interrupted");
        else rc = step(b, e);
    }
    return rc;
}

int batcher_run(struct batcher *b, const struct request *req, int n, struct completion *out, ilab_err *e) {
    ilab_err local;
    if (!e) e = &local;
    int rc = 0;
    memset(out, 0, (size_t)(n > 0 ? n : 0) * sizeof *out);
    for (int i = 0; i < n && !rc; i++) rc = check_request(b, &req[i], e);
    b->watch = (struct progress){ .quiet = 1 };
    if (n == 1 && b->en->watch) watch_begin(&b->watch, b->en, "reading the prompt", req->n_prompt);
    if (!rc) rc = run(b, req, n, out, e);
    progress_clear(&b->watch);
    if (!rc) return 0;
    for (int i = 0; i < b->max_seq; i++) slot_release(b, &b->slot[i]);
    for (int i = 0; i < n; i++) completion_release(&out[i]);
    return rc;
}
