/* infer.h — front header of layer 4 `infer`: KV pages, batched decoding, sampling, constraints.
 *
 * One engine (immutable: model, tokenizer, kernels), any number of sequences over one page pool.
 * An engine's sequences are used from one thread at a time.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_INFER_H
#define ILAB_INFER_H

#include "base/base.h"
#include "kern/kern.h"
#include "model/model.h"
#include "token/token.h"

/* ---- engine: everything that is loaded once (engine.c) ---- */
struct engine {
    struct pool *pool; struct gemm_ctx *gemm; struct model *model; struct tokenizer *tokenizer; struct adapter *adapter; char *path;
    int n_ctx;                      /* longest sequence; the file's context_length unless the owner sets another */
    struct pager *pager;            /* NULL: the weights fit into memory */
    int kv_type;                    /* enum kv_type of all caches of this engine; KV_DEFAULT unless the owner sets another */
    int n_lookup;                   /* for requests that do not say: ids that prompt lookup proposes a step, at most; 0: none */
    int watch;                      /* 1: long prompts, texts and benchmarks show a progress line on stderr; for a person who waits */
    struct token_table *table;      /* made on first use by engine_token_table */
    int own;                        /* engine_open: everything above is freed with the engine */
};
int engine_open(struct engine **out, const char *path, const char *adapter_path /* NULL */, int n_threads, ilab_err *e);
/* For much text of which each piece counts for little: products of small quantised models are integer products, too, as those of large ones
 * always are (activations rounded to 8 bits; the starter generates 2.4 times as fast with AVX-512 VNNI). Before anything runs. */
void engine_bulk(struct engine *en);
/* Shares model and tokenizer that the caller owns. */
int engine_wrap(struct engine **out, struct gemm_ctx *g, struct model *m, struct tokenizer *t, struct adapter *a, ilab_err *e);
void engine_free(struct engine *en);
struct token_table *engine_token_table(struct engine *en);        /* NULL: no memory */

/* ---- KV pages (kv.c) ---- */
/* Element type of keys and values. By default F32 for models whose whole context then takes at most 64 MB, F16 for others. */
enum kv_type { KV_DEFAULT, KV_F32, KV_F16, KV_Q8_0, KV_Q4_0, KV_TYPE_COUNT };
int kv_type_by_name(const char *name);                            /* auto f32 f16 q8_0 q4_0; -1: none of them */
const char *kv_type_name(int kv_type);
int kv_type_of(const struct hparams *hp, int kv_type);            /* KV_DEFAULT resolved, others as they are */
struct kv_pool;                                                   /* pages of KERN_PANEL positions, reference-counted */
struct kv_pool *kv_pool_new(const struct hparams *hp, int kv_type, int max_positions, ilab_err *e);
void kv_pool_free(struct kv_pool *p);
size_t kv_pool_bytes(const struct kv_pool *p);                    /* of the pages that are there, used or not */
int kv_pool_unused(const struct kv_pool *p);                      /* pages that could still be handed out */
void kv_pool_bind(const struct kv_pool *p, struct batch *b);      /* tells a batch how its pages are laid out */
size_t kv_position_bytes(const struct hparams *hp, int kv_type);  /* of one position of one sequence */
/* Is there memory for so many positions beside `have` bytes that are there already? ILAB_E_NOMEM says how many fit, and of which narrower type. */
int kv_room(const struct hparams *hp, int kv_type, int64_t n_pos, size_t have, ilab_err *e);
/* n_pos: positions written; whoever writes them raises it. kv_reserve must come before every write. */
struct kv_seq { void **page; int *id; int n_page, cap_page, n_pos; };
int kv_reserve(struct kv_pool *p, struct kv_seq *s, int n_pos, ilab_err *e); /* room up to n_pos; copies a shared last page before it is written */
int kv_fork(struct kv_pool *p, struct kv_seq *dst, const struct kv_seq *src, ilab_err *e); /* shares the pages of all written positions */
void kv_truncate(struct kv_pool *p, struct kv_seq *s, int n_pos);
void kv_release(struct kv_pool *p, struct kv_seq *s);

/* ---- sampling (sample.c) ---- */
struct sample_opts { float temp, top_p, min_p, repeat_penalty; int top_k, repeat_last_n; uint64_t seed; };
#define SAMPLE_OPTS_INIT { .temp = 0.0f, .top_p = 1.0f, .min_p = 0.0f, .repeat_penalty = 1.0f, .top_k = 0, .repeat_last_n = 64, .seed = 42 }
struct token_logprob { int32_t id; float logp; };
enum { SAMPLE_MAX_REPEAT = 1024 };                                /* repeat_last_n is cut here */
/* Order: repeat penalty, (mask by the caller,) temperature, top-k, top-p, min-p. temp 0: the first maximum.
 * Chooses the next id from logits[V] (changed in place by penalties and masks). *logp: log-probability under the unmodified softmax. */
int sample_next(const struct kern *k, float *logits, int n_vocab, const struct sample_opts *o, struct rng *r,
                const int32_t *history, int n_history, float *logp);
/* The same, but tells the chosen id's logit before penalties, so that a caller that masks can take the softmax before that. */
int sample_choose(const struct kern *k, float *logits, int n_vocab, const struct sample_opts *o, struct rng *r,
                  const int32_t *history, int n_history, float *raw_logit);
int top_logprobs(const float *logits, int n_vocab, int n, struct token_logprob *out); /* descending, over the whole softmax */

/* ---- token bytes (token_table.c): what each id spells, in lexicographic order; shared by all constraints of a tokenizer ---- */
struct token_table;
struct token_table *token_table_new(const struct tokenizer *t);   /* NULL: no memory */
struct token_table *token_table_ref(struct token_table *tt);
void token_table_free(struct token_table *tt);                    /* drops one reference */
/* Ids of text in the middle of a text: the space that SentencePiece vocabularies put in front of everything is left out. Appends. */
int encode_continuation(const struct tokenizer *t, struct sv text, struct ids *out, ilab_err *e);

/* ---- constraints (constrain.c): what the next bytes may be ---- */
/* A constraint is a small state machine over text. forced: text that must come next (appended without decoding);
 * allowed: may this token's bytes follow? Built from a skeleton such as
 *   "Question: {line}\nAnswer: {span}"   with
 *   {line}      text up to a newline, not blank; at the end of a skeleton the newline ends the text and is no part of it
 *   {span}      any run of words of `source` (white space folded; not across an empty line; punctuation at its ends may be left out)
 *   {number}    1969  24,255  -3.5
 *   {choice:a|b|c}
 *   {text:N}    1 to N bytes.     Literal braces are doubled.
 * A space between a literal and a field is left to the field's first token ("Answer:" is forced, " Becker" chosen), as
 * tokenizers cut text there. Free text is valid UTF-8. */
enum { CONSTRAINT_MAX_PARTS = 64, CONSTRAINT_MAX_SKELETON = 1 << 16, CONSTRAINT_MAX_SOURCE = 1 << 20 };
struct constraint;
int constraint_new(struct constraint **out, const char *skeleton, struct sv source, const struct tokenizer *t, ilab_err *e);
/* With the table of t at hand (engine_token_table); takes a reference. */
int constraint_new_with(struct constraint **out, const char *skeleton, struct sv source, const struct tokenizer *t,
                        struct token_table *tt, ilab_err *e);
struct constraint *constraint_copy(const struct constraint *c);   /* NULL: no memory */
void constraint_free(struct constraint *c);
/* Mask: logits of tokens that may not come are set to -INFINITY. Returns 1 when the constraint is complete (only the end
 * token remains), else 0, or ILAB_E_NOMEM. */
int constraint_mask(struct constraint *c, float *logits, int n_vocab);
void constraint_accept(struct constraint *c, int32_t id);
/* Ids that are forced now (literal text): appended to out and accepted; the caller feeds them as if they had been sampled.
 * Returns their number or a negative code. */
int constraint_forced(struct constraint *c, struct ids *out);
int constraint_complete(const struct constraint *c);               /* 1: nothing but the end may come */
int constraint_tail(const struct constraint *c);                   /* bytes at the end of the last accepted id that are no part of the text */

/* ---- batched decoding (batch.c) ---- */
enum finish { FINISH_STOP, FINISH_LENGTH, FINISH_CONTEXT, FINISH_CANCEL };
struct request {
    const int32_t *prompt; int n_prompt;
    int max_tokens;                           /* generated ids, forced ones included; 0: only prompt_logp */
    struct sample_opts sample;
    const char *const *stop; int n_stop;      /* stop strings; the text ends before them */
    const struct constraint *constraint;      /* NULL: free; copied */
    int n_top;                                /* top log-probabilities to keep a token (≤ 32) */
    int n_lookup;                             /* ids that prompt lookup may propose a step (at most LOOKUP_MAX); 0: the engine's, -1: none */
    int want_prompt_logp;
    int logp_from;                            /* first prompt index whose log-probability is wanted; the ids before may come from the cache */
    /* Called for each piece of valid UTF-8; nonzero cancels. NULL allowed. */
    int (*on_text)(void *ud, struct sv piece); void *ud;
};
struct completion {
    int32_t *id; float *logp; int n;          /* generated ids (the end token too) and their log-probabilities */
    uint8_t *forced;                          /* [n] 1: put there by the constraint; logp 0, top ids -1 */
    struct token_logprob *top; int n_top;     /* [n][n_top] */
    float *prompt_logp;                       /* [n_prompt] of each prompt id given those before it; [0] is 0 */
    char *text; size_t n_text;                /* decoded, without stop string and end token; always UTF-8 (U+FFFD for stray bytes) */
    enum finish finish;
    int n_prompt, n_prompt_cached;
    int n_proposed, n_accepted;               /* ids by prompt lookup */
};
void completion_release(struct completion *c);
enum { BATCH_MAX_SEQ = 256, BATCH_MAX_ROWS = 512 /* a step: rows of all sequences, and of a prefill chunk */ };
/* Prompt lookup (lookup.c): where the last ids occurred before, what followed there is proposed, and checked in one step with the
 * next id. Only for temperature 0 without a constraint; the text is the same with and without. */
enum { LOOKUP_MAX = 16 };
struct batcher;                                /* at most max_seq sequences decoded together, KV for max_positions in all */
struct batcher *batcher_new(struct engine *en, int max_seq, int max_positions, ilab_err *e);
void batcher_free(struct batcher *b);
/* Completes n requests, max_seq at a time; prompts with a common prefix share its pages. Results do not depend on what
 * else is in the batch. ILAB_E_CANCEL when a signal is pending. A prompt that leaves no room in the context is ILAB_E_LIMIT. */
int batcher_run(struct batcher *b, const struct request *req, int n, struct completion *out, ilab_err *e);

/* ---- scoring (score.c) ---- */
/* Σ −log p over ids[1..n), each given those before it. */
int score_ids(struct engine *en, const int32_t *id, int n, double *nll, ilab_err *e);
/* docs/FORMATS: text split at <|endoftext|>, BOS before each part, each cut at ctx_size. */
struct perplexity { double nll_mean, perplexity; int64_t n_tokens; int n_parts; double seconds; };
int perplexity_text(struct engine *en, struct sv text, int ctx_size, struct perplexity *out, ilab_err *e);

/* ---- speed (bench.c): random ids, medians over rounds; 0 where not asked for ---- */
enum { BENCH_MAX_ROUNDS = 101 };
struct bench_opts { int n_prompt, n_gen, n_batch /* sequences together; < 2: none */, rounds; };
struct bench_result { double prompt_tokens_per_s, generation_tokens_per_s, batch_tokens_per_s; };
int engine_bench(struct engine *en, const struct bench_opts *o, struct bench_result *out, ilab_err *e);
/* What one generated token takes: bytes of weights read and weights multiplied (two operations each). */
void engine_token_work(const struct engine *en, double *bytes, double *weights);

#endif
