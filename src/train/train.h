/* train.h — front header of layer 4 `train`: backward maths, losses, optimiser, datasets, checkpoints, the run.
 *
 * DETERMINISM: gradients are sums over tokens in ascending order of the global batch (gemm's order), so the result
 * depends neither on threads nor on how a global batch is cut into micro-batches.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TRAIN_H
#define ILAB_TRAIN_H

#include "base/base.h"
#include "kern/kern.h"
#include "model/model.h"
#include "text/text.h"
#include "token/token.h"
#include "train/communicator.h"

/* ---- one pass forward and backward (tape.c, backward.c, loss.c) ---- */
enum { TREE_MOST = 63 };
/* Is segment s of b a beginning that others share? It has no sample of its own. */
static inline int segment_is_shared(const struct batch *b, int s)
{
    return b->seg[s].pos0 == 0 && s + 1 < b->n_seg && b->seg[s + 1].pos0 > 0;
}
/* Positions that its rows attend to, times 2, about: n² for a whole sequence. */
static inline double segment_squares(const struct segment *s) { return (double)s->n_row * (s->n_row + 2.0 * s->pos0); }
struct param { char name[96]; float *w, *g; size_t n; int decay; size_t cols; /* of a matrix [n/cols, cols]; 0: a vector */ };         /* decay: weight decay applies (matrices, not norms) */
enum { SOFT_TOP = 20 };
/* Teacher's distribution for one target: top-k ids with log-probabilities; the rest of the mass is one bucket. */
struct soft_label { int n; int32_t id[SOFT_TOP]; float logp[SOFT_TOP]; };
/* Rows that pay loss, strictly ascending: row[i] predicts label[i]; soft (NULL: none) row-aligned, n = 0 where there is none. */
struct targets { int n; const int32_t *row, *label; const struct soft_label *const *soft; const float *weight; /* NULL: 1 */ };
struct loss_opts { float soft_mix; /* 0: cross-entropy only … 1: KL to the teacher only (where a soft label exists) */ };

struct tape;                                                                 /* activations and gradients for micro-batches of ≤ max_row rows */
/* adapter NULL: trains all of m (MODEL_TRAINABLE). Memory comes from one planned arena. */
int tape_new(struct tape **out, struct gemm_ctx *g, struct model *m, struct adapter *ad, int max_row, int max_target, ilab_err *e);
/* The same plan on a counting arena. One row of the table a buffer. */
struct plan_row { const char *what; size_t bytes; };
int tape_plan(const struct model *m, const struct adapter *ad, int max_row, int max_target, struct plan_row *row, int max_rows_out);
/* How a pass uses memory; results never depend on it. Zero: everything is kept, which is fastest. */
struct tape_opts {
    int recompute;         /* of so many of the trained layers, from the lowest on, only the input is kept: they run forward again before backward */
    int lean;              /* norms and activations of the others are made again (layer_can_redo) */
    int logit_rows;        /* target rows that have logits at the same time; 0: 256, fewer where the vocabulary is large */
    int logit_parts;       /* … and a part of the vocabulary at a time, computed twice (loss.c); as logit_rows 0: 256 rows */
    int keep_states;       /* room for states of some of a batch's samples: tape_set_states */
    int spans;             /* most that tape_spans will be given; 0: 1 */
    struct pager *pager;   /* weights that come from the disk layer by layer; NULL: all stay. Borrowed */
};
int tape_new_with(struct tape **out, struct gemm_ctx *g, struct model *m, struct adapter *ad, int max_row, int max_target,
                  const struct tape_opts *o, ilab_err *e);
int tape_plan_with(const struct model *m, const struct adapter *ad, int max_row, int max_target, const struct tape_opts *o,
                   struct plan_row *row, int max_rows_out);
/* How products with frozen weights are computed, forward and back to the input. The first row is exact. Within a run it never changes. */
struct path { const char *name, *what; enum gemm_act forward, backward; };
extern const struct path PATHS[];
extern const int N_PATH;
const struct path *path_by_name(const char *name);                           /* NULL: none */
void tape_set_path(struct tape *t, const struct path *p);
/* Gradients of the paths against the exact one (path_gate.c), over the adapters of a layer as one vector. */
struct path_figure { double cosine, norm /* ratio of lengths */; };
enum { PATH_PROBES = 5, PATH_MAX = 4 };
struct path_row {
    const struct path *path;
    int passed;
    double seconds;                              /* of the measured step */
    struct path_figure layer[PATH_PROBES], worst;/* the probed layers on identical inputs, and the worst of them */
    struct path_figure end;                      /* the worst layer of a whole step */
    int worst_layer, end_layer;
};
struct path_report { int n_row, tokens, n_probe, probe[PATH_PROBES] /* layers */; struct path_row row[PATH_MAX]; const struct path *chosen; };
/* A table for people; an object {"chosen", "measured": [...]}. */
void path_report_text(const struct path_report *r, struct sb *b);
void path_report_json(const struct path_report *r, struct sb *b);
extern const double PATH_LAYER_COSINE, PATH_END_COSINE;                      /* what a path must reach */
/* b: whole sequences of together ≤ max_row rows. Leaves t on the chosen path. */
int path_measure(struct tape *t, const struct batch *b, const struct targets *y, const struct loss_opts *o, struct path_report *r, ilab_err *e);
int tape_n_trained(const struct tape *t);                                    /* layers from the lowest that is trained on */
int adapter_lowest_layer(const struct adapter *ad);                          /* 0 for NULL (all weights) and for an empty adapter of one layer */
void tape_free(struct tape *t);
int tape_params(struct tape *t, struct param **out);                         /* count; array owned by the tape */
/* The same list without a tape, for sizes: g points nowhere. *out: mem_free. */
int tape_param_shapes(const struct model *m, const struct adapter *ad, struct param **out, int *n, ilab_err *e);
void tape_zero_grad(struct tape *t);
/* The adapter's dropout (adapter.dropout, set before tape_new) for the tape_steps of this step of the run; without this call there is none.
 * A number's fate depends on seed, step, matrix, its row in the global batch and its column alone. */
void tape_dropout(struct tape *t, uint64_t seed, int64_t step);
/* The gradient of an adapter is made in spans of the global batch: one chain of additions each, which add up in pairs. So as many processes,
 * each with its spans, get the bits of one process. Most spans of a global batch; a power of two. 1: all weights are trained. */
enum { SPANS_MAX = 4 };
int tape_span_count(const struct adapter *ad);
/* Until it is called again: span i ends before row end[i] of those that tape_step sees after tape_zero_grad; n ≤ tape_opts.spans. `first_row`
 * rows of the global batch come before those. Without this call there is one span from row 0. */
void tape_spans(struct tape *t, int n, const int64_t *end, int64_t first_row);
/* Adds the gradient of Σ_i weight_i·loss_i · scale to the params' g. Segments' pages are ignored (training packs its own).
 * A segment is a whole sequence (pos0 0), or, with pos0 > 0, goes on from the last one with pos0 0, which has exactly pos0 rows, a multiple of
 * KERN_PANEL: several such segments share that beginning (at most TREE_MOST of them, together with it at most max_row rows).
 * *loss_sum += Σ weight_i·loss_i in double, *weight_sum += Σ weight_i. backward = 0: loss only. */
int tape_step(struct tape *t, const struct batch *b, const struct targets *y, const struct loss_opts *o, float scale,
              int backward, double *loss_sum, double *weight_sum, ilab_err *e);
/* Call once after the last tape_step of a global batch, before the gradients are read: the two parts of a tied embedding's
 * gradient (lookup, output) are summed apart until then, because only so a cut into micro-batches keeps the bits; and spans add up. */
void tape_finish_grad(struct tape *t);

/* ---- optimiser and schedule (optim.c) ---- */
enum optim_kind { OPTIM_ADAMW, OPTIM_ADAFACTOR /* a number a row and a column instead of two an element; for all weights */ };
enum optim_storage { OPTIM_F32, OPTIM_BF16 /* AdamW's moments, rounded to nearest after each step; weights and gradients stay F32. beta2 <= 0.99 */ };
struct optim_opts { enum optim_kind kind; enum optim_storage storage; float lr, beta1, beta2, eps, weight_decay, clip_norm /* 0: off */; };
#define OPTIM_OPTS_INIT { .lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f, .weight_decay = 0.0f, .clip_norm = 1.0f }
enum schedule { SCHEDULE_CONSTANT, SCHEDULE_LINEAR, SCHEDULE_COSINE, SCHEDULE_WSD /* constant, then linear decay in the last part */ };
struct schedule_opts { enum schedule kind; int64_t warmup_steps, total_steps; float final_share /* of lr at the end */, decay_share /* WSD */; };
float schedule_lr(const struct schedule_opts *s, float lr, int64_t step);
struct optim;                                                                /* first and second moments */
int optim_new(struct optim **out, struct gemm_ctx *g, const struct param *p, int n_param, const struct optim_opts *o, ilab_err *e);
void optim_free(struct optim *o);
double optim_step(struct optim *o, float lr);                                /* clips, updates; returns the gradient norm before clipping */

/* ---- datasets (dataset.c) ---- */
struct sample { int32_t *id; uint8_t *mask; int n; struct soft_label *soft; /* NULL or [n], aligned with the predicted id */ float weight; int64_t line; /* of its file; 0: unknown */ };
struct dataset { struct sample *v; size_t n, cap; struct arena mem; size_t n_tokens, n_targets; };
/* Start from a zeroed struct dataset. Lines with `messages` [{role, content}], or {system, user, assistant}, or {text} (special tokens
 * parsed; the end token is appended when missing). Optional: "loss": "answers" (default for conversations; a text without an assistant's
 * turn: all) | "all" (default for text); "weight" (0, 1000]; "soft": a list for each target token, in order, of [id, logp] pairs (the first
 * SOFT_TOP count; fewer lists than targets: the rest has none). Errors with file:line; a sample with nothing to learn is one.
 * Samples longer than max_tokens (≤ 0: no limit) are left out or cut at their end, and counted; one that would lose all that it
 * teaches by the cut is left out. */
struct read_opts { int max_tokens, cut_long; };
struct read_report { size_t n_left_out /* too long */, n_cut, n_cut_empty /* left out: the cut left nothing to learn */; int64_t first_line /* of a long one */, longest /* tokens */;
                     size_t n_silent /* taken, with an answer that is empty or white space: its end alone is learnt */; int64_t first_silent /* line */; };
int dataset_read(struct dataset *d, const char *path, const struct tokenizer *t, const struct read_opts *o, struct read_report *r /* NULL */, ilab_err *e);
/* The same, long samples left out. */
int dataset_read_jsonl(struct dataset *d, const char *path, const struct tokenizer *t, int max_tokens, size_t *n_too_long, ilab_err *e);
/* Plain pre-training text with role markers: documents separated by `<|endoftext|>`; loss on every token, or on answers
 * only for documents that contain `<|assistant|>` when answers_only. */
int dataset_add_ids(struct dataset *d, const int32_t *id, const uint8_t *mask, int n, float weight, ilab_err *e);
void dataset_release(struct dataset *d);
uint64_t dataset_hash(const struct dataset *d);                              /* over ids, masks, weights, soft labels in order */
/* Packs samples (shuffled by seed and epoch) into global batches of ≤ batch_tokens tokens, cut into micro-batches of ≤ micro_tokens;
 * each sample is one segment, or, where samples share a beginning (packing_share), its own end. */
struct packing;
int packing_new(struct packing **out, const struct dataset *d, int batch_tokens, int micro_tokens, uint64_t seed, ilab_err *e);
void packing_free(struct packing *p);
int packing_n_batches(struct packing *p, int epoch);
int packing_n_micro(struct packing *p, int epoch, int i_batch);
/* Views valid until the next call. */
void packing_micro(struct packing *p, int epoch, int i_batch, int i_micro, struct batch *b, struct targets *y);
double packing_weight(struct packing *p, int epoch, int i_batch);            /* Σ target weights of the global batch: 1/scale */

/* ---- a run (run.c, checkpoint.c) ---- */
enum recompute { RECOMPUTE_AUTO /* as much as memory needs */, RECOMPUTE_ON, RECOMPUTE_OFF };
enum share_prefix { SHARE_AUTO /* what samples of one step have in common */, SHARE_ON /* and samples that begin alike come into the same steps */, SHARE_OFF };
enum states_place { STATES_AUTO /* memory, else the disk, where it pays */, STATES_OFF, STATES_RAM, STATES_DISK };
struct train_opts {
    int full;                       /* all weights instead of an adapter */
    int rank; float alpha; unsigned which; int first_layer;
    float lora_dropout; int rslora; /* scale alpha/sqrt(rank) */
    int epochs; int64_t max_steps;  /* 0: by epochs */
    int batch_tokens, micro_tokens, max_sample_tokens;
    struct optim_opts optim; struct schedule_opts schedule; struct loss_opts loss;
    uint64_t seed;
    double checkpoint_seconds; int64_t checkpoint_steps;
    const char *out_dir;            /* checkpoint.bin and the one before it, metrics.jsonl, manifest.json, adapter.gguf */
    const char *precision;          /* a path's name; "auto" or NULL: what path_gate.c measures, or what an unfinished run has */
    int resume;                     /* continue an unfinished run found there; another base, data or setting is refused */
    int quiet;
    struct communicator *comm;      /* NULL: one process. Each takes a part of every global batch; rank 0 alone reads and writes out_dir. One that fails stops all */
    int64_t val_steps;              /* validation loss every so many steps, and before the first and after the last; 0: ten times a run */
    int64_t metrics_steps;          /* one line of metrics.jsonl every so many steps; 0: each */
    size_t memory_bytes;            /* most that may be in memory, the mapped model included; 0: ILAB_MEMORY, else what is free */
    float learnt;                   /* > 0: samples whose targets all lose less (nats) and are right rest for some epochs (learnt.c); 0: none does */
    enum recompute recompute; enum states_place states; /* neither changes the result */
    struct { double seconds, bytes; int measures; } after; /* what the caller does afterwards: seconds, bytes of a merged file, whether its loss is measured */
    enum share_prefix share;        /* tokens that samples begin with are computed once (share.c): the same gradients up to rounding */
};
struct train_opts train_opts_default(void);
struct train_report { int64_t steps; double first_loss, last_loss, val_first /* before the first step */, val_loss; double seconds, tokens_per_s, gflops; int64_t tokens; size_t peak_rss_bytes; int resumed; int signal /* that stopped it; of any process */; struct path_report paths; };
/* ---- several processes (communicator.c): `mpirun -n 2 ilab train …` ---- */
extern const struct communicator COMMUNICATOR_ONE;
/* One process, or the plug-in's table when mpirun or srun started several; an error when those cannot be connected. */
int communicator_open(struct communicator *c, ilab_err *e);
/* All close; one that lost the connection does not wait for the others. */
void communicator_close(struct communicator *c);
/* All call these at the same points, and all get the same: 0, or the code and message of the first process (by rank) whose rc is not 0, "process 2: …"
 * unless it is process 0; a lost connection is ILAB_E_IO and sets c->lost. With one process: rc, nothing. */
int communicator_agree(struct communicator *c, int rc, ilab_err *e);
int communicator_share(struct communicator *c, void *p, size_t n_bytes, ilab_err *e);      /* process 0's bytes */
int communicator_gather(struct communicator *c, const void *own, size_t n_bytes, void *all, ilab_err *e);

/* Is there a run in out_dir? 0: none (or none that is sound), 1: unfinished, 2: finished. */
struct train_found { int64_t step, total_steps; double seconds; };
int train_find_run(const char *out_dir, struct train_found *out);
/* With several processes all return the same. Trains on d (val may be NULL). For an adapter run *ad is created (or restored) and returned; for a full run m changes.
 * ILAB_E_CANCEL after SIGINT or SIGTERM: the checkpoint was written. A loss that is no number ends the run, says which samples do
 * it, and keeps the last checkpoint. A checkpoint that cannot be written (full disk) is tried again twice before that ends the run. */
int train_run(struct gemm_ctx *g, struct model *m, const struct tokenizer *t, const struct dataset *d, const struct dataset *val,
              const struct train_opts *o, struct adapter **ad, struct train_report *r, ilab_err *e);
/* Mean loss of the first samples of d (about max_tokens), forward only. ad NULL: the model by itself. memory: weights that do not fit into so many bytes stream (0: all stay). */
int train_mean_loss(struct gemm_ctx *g, struct model *m, struct adapter *ad, const struct dataset *d, int max_tokens, size_t memory, double *loss, ilab_err *e);
/* Puts value (which is taken) as `key` into out_dir/manifest.json. */
int train_manifest_put(const char *out_dir, const char *key, json_t *value, ilab_err *e);

/* ---- the curves of a run (run_plot.c) ---- */
struct train_point { double step, y, lr; };
struct train_curve { struct train_point *v, *val; size_t n, cap, n_val, cap_val; };   /* loss a step, validation loss */
int train_curve_read(struct train_curve *c, const char *run_dir, ilab_err *e);        /* of run_dir/metrics.jsonl; at least one step */
void train_curve_release(struct train_curve *c);
int train_curve_svg(const struct train_curve *c, const char *path, const char *title, ilab_err *e);
/* Lines for a terminal of `width` columns; unicode 0: ASCII only. */
void train_curve_text(const struct train_curve *c, struct sb *out, int width, int height, int unicode);

/* ---- a model from nothing (scratch.c; the keys of CONFIG: docs/FORMATS.md and examples in models/) ---- */
/* Vocabulary, encoded data and state live in the folder `out` of the configuration and are reused; a run that was stopped, or whose
 * `tokens`, lr, decay or data were changed, goes on from its checkpoint. Paths are relative to the current folder. */
struct scratch_opts { const char *config; int quiet; int fresh; /* forget the state of an earlier run */ };
int train_from_scratch(struct gemm_ctx *g, const struct scratch_opts *o, struct train_report *r, ilab_err *e);

/* Memory by buffer and time from real steps on copies; changes nothing. seconds_total: all that train_run does, an upper bound
 * where learnt items are left out. joules 0: the machine does not report energy. */
struct train_estimate {
    struct plan_row row[28]; int n_row;
    size_t total_bytes /* planned */, peak_rss_bytes /* of the run: measured here, and what is still to come */;
    double tokens_per_s, seconds_total, share_of_peak, joules;
    double seconds_before;          /* of seconds_total: what a run does before its first step (gate, buffers) */
    double bytes_per_s;             /* that the disk of out_dir takes; 0: little is to be written, it was not measured */
    size_t end_bytes;               /* when the merged model is written and measured; 0: none is */
    int64_t steps, tokens;
    int micro_tokens, recomputed_layers, states, streams; /* what the plan chose; enum states_place */
    double sample_tokens;           /* of an epoch; `tokens` counts shared beginnings once */
    double share_saved;             /* of them, what shared beginnings save */
    char choices[512];              /* the same in words */
    struct path_report paths;       /* what the path was chosen by */
};
int train_estimate(struct gemm_ctx *g, struct model *m, const struct dataset *d, const struct dataset *val /* NULL */, const struct train_opts *o,
                   struct train_estimate *out, ilab_err *e);
/* For train_opts.after. To merge m's weights with an adapter (rank 0: none) into a mix: seconds of computing (a moment is measured), bytes. */
double train_merge_seconds(const struct model *m, int mix, struct gemm_ctx *g, int rank, double *bytes);
double train_forward_work(const struct model *m, const struct dataset *d, int64_t max_tokens); /* operations of a pass over the first samples */

#endif
