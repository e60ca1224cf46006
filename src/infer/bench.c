/* bench.c — how fast a model runs: prompt, generation, several sequences together, without sampling or text.
 *
 * Counted as the common bench programs count, so that figures can be laid side by side: a prompt in the chunks of a batch with
 * the logits of its last token; generation token by token from an empty context, each with its logits; a batch: every sequence has
 * its own prompt (not shared, not timed), then all generate one token a step.
 * SPDX-License-Identifier: Apache-2.0 */
#include "infer/step.h"

#include <string.h>

struct bench_state { struct stepper step; struct kv_pool *kv; struct kv_seq *seq; int n_seq; struct rng rng; };

static void state_release(struct bench_state *s) {
    for (int i = 0; s->seq && i < s->n_seq; i++) kv_release(s->kv, &s->seq[i]);
    stepper_release(&s->step);
    kv_pool_free(s->kv);
    mem_free(s->seq);
}

static int state_init(struct bench_state *s, struct engine *en, int n_seq, int n_pos, ilab_err *e) {
    memset(s, 0, sizeof *s);
    rng_seed(&s->rng, 1);
    s->n_seq = n_seq;
    s->seq = mem_calloc((size_t)n_seq, sizeof *s->seq);
    if (!s->seq) return err_set(e, ILAB_E_NOMEM, "not enough memory for %d sequences", n_seq);
    int64_t positions = (int64_t)n_seq * (n_pos + KERN_PANEL);
    if (positions > INT32_MAX) return err_set(e, ILAB_E_LIMIT, "%d sequences of %d tokens are too many", n_seq, n_pos);
    if (kv_room(&en->model->hp, en->kv_type, positions, 0, e)) return ILAB_E_NOMEM;
    s->kv = kv_pool_new(&en->model->hp, en->kv_type, (int)positions, e);
    if (!s->kv) return ILAB_E_NOMEM;
    int rc = model_rope_reserve(en->model, n_pos, e);
    return rc ? rc : stepper_init(&s->step, en, stepper_rows(&en->model->hp, n_seq), e);
}

/* n_row random ids for each of the sequences [first, first + n); logits of each one's last row when asked. */
static int feed(struct bench_state *s, int first, int n, int n_row, int prompt, int logits, ilab_err *e) {
    int32_t id[BATCH_MAX_ROWS];
    struct segment seg[BATCH_MAX_SEQ];
    const int n_vocab = s->step.en->model->hp.n_vocab;
    for (int i = 0; i < n; i++) {
        struct kv_seq *q = &s->seq[first + i];
        int rc = kv_reserve(s->kv, q, q->n_pos + n_row, e);
        if (rc) return rc;
        seg[i] = (struct segment){ i * n_row, n_row, q->n_pos, q->page };
        q->n_pos += n_row;
    }
    for (int i = 0; i < n * n_row; i++) id[i] = (int32_t)rng_below(&s->rng, (uint32_t)n_vocab);
    int failed = stepper_forward(&s->step, s->kv, &(struct batch){ .n_row = n * n_row, .id = id, .n_seg = n, .seg = seg, .n_prompt = prompt ? n * n_row : 0 }, e);
    if (failed) return failed;
    for (int at = 0; logits && at < n; at += STEP_LOGIT_ROWS) {
        int32_t row[STEP_LOGIT_ROWS];
        const int m = n - at < STEP_LOGIT_ROWS ? n - at : STEP_LOGIT_ROWS;
        for (int i = 0; i < m; i++) row[i] = (at + i + 1) * n_row - 1;
        stepper_logits(&s->step, row, m);
    }
    return signal_pending() ? err_set(e, ILAB_E_CANCEL, "interrupted") : 0;
}

/* A prompt of n tokens for each of the first n_seq sequences, one after the other. */
static int feed_prompts(struct bench_state *s, int n_seq, int n, ilab_err *e) {
    int rc = 0;
    struct progress watch;
    watch_begin(&watch, s->step.en, n_seq > 1 ? "prompts of the batch" : "prompt", (int64_t)n_seq * n);
    const int most = s->step.max_row;
    for (int i = 0; i < n_seq && !rc; i++)
        for (int at = 0; at < n && !rc; at += most) {
            const int rows = n - at < most ? n - at : most;
            rc = feed(s, i, 1, rows, 1, at + rows == n, e);
            progress_at(&watch, (int64_t)i * n + at + rows, "tokens");
        }
    progress_clear(&watch);
    return rc;
}

/* n tokens for each of n_seq sequences. */
static int generate(struct bench_state *s, int n_seq, int n, ilab_err *e) {
    int rc = 0;
    struct progress watch;
    watch_begin(&watch, s->step.en, n_seq > 1 ? "batch" : "generation", n);
    for (int i = 0; i < n && !rc; i++) {
        rc = feed(s, 0, n_seq, 1, 0, 1, e);
        progress_at(&watch, i + 1, "tokens");
    }
    progress_clear(&watch);
    return rc;
}

static void forget(struct bench_state *s) {
    for (int i = 0; i < s->n_seq; i++) kv_release(s->kv, &s->seq[i]);
}

/* Tokens a second of the median of `rounds`. */
struct timed { double v[BENCH_MAX_ROUNDS]; int n; };
static void note(struct timed *t, double tokens, double seconds) {
    double x = seconds > 0 ? tokens / seconds : 0;
    int i = t->n++;
    for (; i > 0 && t->v[i - 1] > x; i--) t->v[i] = t->v[i - 1];
    t->v[i] = x;
}
static double median(const struct timed *t) { return t->n ? (t->v[(t->n - 1) / 2] + t->v[t->n / 2]) / 2 : 0; }

int engine_bench(struct engine *en, const struct bench_opts *o, struct bench_result *out, ilab_err *e) {
    memset(out, 0, sizeof *out);
    if (o->n_prompt < 0 || o->n_gen < 0 || o->n_batch < 0 || o->n_batch > BATCH_MAX_SEQ || o->rounds < 1 || o->rounds > BENCH_MAX_ROUNDS)
        return err_set(e, ILAB_E_INVALID, "bench: a batch of %d or %d rounds is out of range (1 to %d; 1 to %d)", o->n_batch, o->rounds, BATCH_MAX_SEQ, BENCH_MAX_ROUNDS);
    struct bench_state s;
    struct timed prompt = { .n = 0 }, gen = { .n = 0 }, batch = { .n = 0 };
    const int n_seq = o->n_batch > 1 ? o->n_batch : 1, n_pos = o->n_prompt + o->n_gen + 1;
    int rc = state_init(&s, en, n_seq, n_pos, e);
    if (!rc) rc = feed(&s, 0, 1, 1, 0, 1, e); /* weights into memory, threads awake */
    for (int round = 0; !rc && round < o->rounds; round++) {
        forget(&s);
        double t0 = now_seconds();
        if (o->n_prompt) rc = feed_prompts(&s, 1, o->n_prompt, e);
        if (o->n_prompt && !rc) note(&prompt, o->n_prompt, now_seconds() - t0);
        forget(&s);
        t0 = now_seconds();
        if (!rc) rc = generate(&s, 1, o->n_gen, e);
        if (o->n_gen && !rc) note(&gen, o->n_gen, now_seconds() - t0);
        if (o->n_batch < 2 || !o->n_gen) continue;
        forget(&s);
        if (!rc) rc = feed_prompts(&s, n_seq, o->n_prompt ? o->n_prompt : 1, e);
        t0 = now_seconds();
        if (!rc) rc = generate(&s, n_seq, o->n_gen, e);
        if (!rc) note(&batch, (double)o->n_gen * n_seq, now_seconds() - t0);
    }
    out->prompt_tokens_per_s = median(&prompt);
    out->generation_tokens_per_s = median(&gen);
    out->batch_tokens_per_s = median(&batch);
    state_release(&s);
    return rc;
}

/* Of a mixture's experts only the ones in use are read for one token; the embedding is a row unless it is the output as well. */
void engine_token_work(const struct engine *en, double *bytes, double *weights) {
    const struct gguf *g = en->model->gguf;
    int64_t n_expert = 0, n_used = 0;
    char key[128];
    struct sv arch = { 0 };
    ilab_err ignored = { 0 };
    *bytes = *weights = 0;
    if (!g) return;
    gguf_get_str(g, "general.architecture", &arch, &ignored);
    snprintf(key, sizeof key, "%.*s.expert_count", SV_ARG(arch));
    if (gguf_find(g, key)) gguf_get_int(g, key, 0, 1 << 16, &n_expert, &ignored);
    snprintf(key, sizeof key, "%.*s.expert_used_count", SV_ARG(arch));
    if (gguf_find(g, key)) gguf_get_int(g, key, 0, 1 << 16, &n_used, &ignored);
    const int tied = !gguf_tensor(g, "output.weight");
    for (int i = 0; i < gguf_n_tensor(g); i++) {
        const struct tensor *t = gguf_tensor_at(g, i);
        if (t->n_dim < 2 || (!tied && !strcmp(t->name, "token_embd.weight"))) continue;
        const double share = strstr(t->name, "_exps.") && n_expert > 0 ? (double)n_used / (double)n_expert : 1;
        *bytes += share * (double)t->n_bytes;
        *weights += share * (double)tensor_elems(t);
    }
}
