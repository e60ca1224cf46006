/* score.c — log-probabilities of given text: no sampling, one sequence at a time, in chunks.
 *
 * Perplexity as docs/FORMATS.md defines it: parts between <|endoftext|>, BOS before each, each cut at ctx_size.
 * Sums are in double.  SPDX-License-Identifier: Apache-2.0 */
#include "infer/step.h"

#include <math.h>
#include <string.h>

enum { SCORE_MAX_POSITIONS = 1 << 22 };

struct part { struct progress *watch; double from, bytes; }; /* of a text; for its progress line */

/* ids[0..n) through the model; adds up -log p of ids[1..n). */
static int score_with(struct stepper *st, struct kv_pool *kv, const int32_t *id, int n, const struct part *part, double *nll, ilab_err *e) {
    struct engine *en = st->en;
    const struct kern *k = gemm_kern(en->gemm);
    int n_vocab = en->model->hp.n_vocab;
    struct kv_seq seq = { 0 };
    double sum = 0;
    int rc = model_rope_reserve(en->model, n, e);
    for (int i = 0; i < n && !rc; i++)
        if (id[i] < 0 || id[i] >= n_vocab) rc = err_set(e, ILAB_E_INVALID, "id %d at %d is outside the vocabulary of %d", (int)id[i], i, n_vocab);
    for (int pos = 0; pos < n - 1 && !rc; pos += st->max_row) { /* the last id predicts nothing */
        int n_row = n - 1 - pos < st->max_row ? n - 1 - pos : st->max_row;
        rc = kv_reserve(kv, &seq, pos + n_row, e);
        if (rc) break;
        if (signal_pending()) {
            rc = err_set(e, ILAB_E_CANCEL, "interrupted");
            break;
        }
        struct segment seg = { 0, n_row, pos, seq.page };
        rc = stepper_forward(st, kv, &(struct batch){ .n_row = n_row, .id = id + pos, .n_seg = 1, .seg = &seg, .n_prompt = n_row }, e);
        if (rc) break;
        seq.n_pos += n_row;
        if (part) progress_at(part->watch, (int64_t)(part->from + part->bytes * seq.n_pos / (n - 1)), "bytes");
        for (int r = 0; r < n_row; r += STEP_LOGIT_ROWS) {
            int32_t row[STEP_LOGIT_ROWS];
            int m = n_row - r < STEP_LOGIT_ROWS ? n_row - r : STEP_LOGIT_ROWS;
            for (int i = 0; i < m; i++) row[i] = r + i;
            const float *logits = stepper_logits(st, row, m);
            for (int i = 0; i < m; i++, logits += n_vocab) sum += (double)k->log_sum_exp(logits, n_vocab) - (double)logits[id[pos + r + i + 1]];
        }
    }
    kv_release(kv, &seq);
    *nll = sum;
    return !rc && !isfinite(sum) ? not_finite(en, e) : rc;
}

struct scorer { struct stepper step; struct kv_pool *kv; };

static int scorer_init(struct scorer *s, struct engine *en, int max_pos, ilab_err *e) {
    memset(s, 0, sizeof *s);
    if (max_pos < 1 || max_pos > SCORE_MAX_POSITIONS) return err_set(e, ILAB_E_LIMIT, "a context of %d tokens is out of range (1 to %d)", max_pos, SCORE_MAX_POSITIONS);
    s->kv = kv_pool_new(&en->model->hp, en->kv_type, max_pos, e);
    const int rows = stepper_rows(&en->model->hp, 1);
    return s->kv ? stepper_init(&s->step, en, max_pos < rows ? max_pos : rows, e) : ILAB_E_NOMEM;
}

static void scorer_release(struct scorer *s) {
    stepper_release(&s->step);
    kv_pool_free(s->kv);
}

int score_ids(struct engine *en, const int32_t *id, int n, double *nll, ilab_err *e) {
    struct scorer s;
    *nll = 0;
    if (n < 2) return 0;
    int rc = kv_room(&en->model->hp, en->kv_type, n, 0, e);
    if (rc) return rc;
    rc = scorer_init(&s, en, n, e);
    if (!rc) rc = score_with(&s.step, s.kv, id, n, NULL, nll, e);
    scorer_release(&s);
    return rc;
}

int perplexity_text(struct engine *en, struct sv text, int ctx_size, struct perplexity *out, ilab_err *e) {
    static const char SEPARATOR[] = "<|endoftext|>";
    struct scorer s;
    struct ids ids = { 0 };
    double sum = 0, begin = now_seconds();
    int bos = tokenizer_bos(en->tokenizer);
    memset(out, 0, sizeof *out);
    struct progress watch;
    watch_begin(&watch, en, "perplexity", (int64_t)text.n);
    int rc = kv_room(&en->model->hp, en->kv_type, text.n < (size_t)ctx_size ? (int64_t)text.n : ctx_size, 0, e); /* as good as no text has more tokens than bytes */
    if (rc) return rc;
    rc = scorer_init(&s, en, ctx_size, e);
    for (size_t at = 0; at < text.n && !rc;) {
        ptrdiff_t end = sv_find(text, SV(SEPARATOR), at);
        const size_t from = at;
        struct sv part = { text.p + at, (end < 0 ? text.n : (size_t)end) - at };
        at = end < 0 ? text.n : (size_t)end + sizeof SEPARATOR - 1;
        part = sv_trim(part);
        if (!part.n) continue;
        ids.n = 0;
        double nll = 0;
        if (bos >= 0 && ids_push(&ids, bos)) rc = err_set(e, ILAB_E_NOMEM, "not enough memory for ids");
        if (!rc) rc = tokenizer_encode(en->tokenizer, part, 0, &ids, e);
        int n = ids.n < (size_t)ctx_size ? (int)ids.n : ctx_size;
        if (!rc && n > 1) rc = score_with(&s.step, s.kv, ids.v, n, &(struct part){ &watch, (double)from, (double)(at - from) }, &nll, e);
        if (rc) break;
        sum += nll;
        out->n_tokens += n > 1 ? n - 1 : 0;
        out->n_parts++;
    }
    if (!rc && !out->n_tokens) rc = err_set(e, ILAB_E_INVALID, "no text to score");
    if (!rc) {
        out->nll_mean = sum / (double)out->n_tokens;
        out->perplexity = exp(out->nll_mean);
        out->seconds = now_seconds() - begin;
    }
    progress_clear(&watch);
    ids_release(&ids);
    scorer_release(&s);
    return rc;
}
