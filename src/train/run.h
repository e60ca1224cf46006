/* run.h — what the files of a training run share: the optimiser's state, checkpoints, the loop, data streaming.
 *
 * Only src/train includes it.  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TRAIN_RUN_H
#define ILAB_TRAIN_RUN_H

#include "train/train.h"

/* ---- optim.c ---- */
struct optim_view { float *state; size_t n; int64_t *step; };  /* all that the optimiser remembers */
struct optim_view optim_view(struct optim *o);
size_t optim_bytes(const struct param *p, int n_param, const struct optim_opts *o);  /* what optim_new will take; of p only the shapes are read */

/* ---- dataset.c ---- */
int sample_n_row(const struct sample *s);                      /* rows of the forward pass: up to the last one that pays loss */
/* Reads the lines of `text`, a part of the file `path` whose first line is number first_line. */
int dataset_read_lines(struct dataset *d, const char *path, struct sv text, int64_t first_line, const struct tokenizer *t,
                       const struct read_opts *o, struct read_report *report, ilab_err *e);
/* One line as JSON; errors read file:line:col. */
json_t *dataset_parse_line(struct sv line, const char *path, int64_t n_line, ilab_err *e);

/* ---- packing.c ---- */
int64_t packing_n_rows(const struct packing *p);               /* rows of an epoch */
/* Samples for which rests() is not 0 are no part of an epoch; asked when the epoch begins. */
typedef int packing_rest_fn(void *ud, uint32_t sample, int epoch);
void packing_leave_out(struct packing *p, packing_rest_fn *rests, void *ud);
const uint32_t *packing_micro_samples(struct packing *p, int epoch, int i_batch, int i_micro); /* of its segments (of a shared beginning: the sample behind it); valid as the views */
/* What rows, squares (segment_squares) and targets cost beside each other. */
struct packing_cost { int64_t row, square, target; };
/* From now on a batch is arranged in n_span spans of about equal work (n_part of them when they do not come out even), and micro-batches are
 * those of part `part` of n_part; a part may be empty. The spans depend on the batch and their number alone. At first: one part, one span. */
int packing_split(struct packing *p, int part, int n_part, int n_span, struct packing_cost cost, ilab_err *e);
/* The spans of this part: *first_row rows of the batch come before them, span i ends before row end[i] behind those (with trees, of the rows as
 * they are computed). Returns their number. */
int packing_spans(struct packing *p, int epoch, int i_batch, int64_t *end, int64_t *first_row);
int packing_max_row(const struct packing *p);                  /* most rows of a micro-batch */
/* From now on samples that begin alike share these rows (share.c): of a global batch as the shuffle made it, or, GROUPS, of an epoch's
 * order in which such samples are brought together. max_row: of a tree, at most a micro-batch. */
enum share_mode { SHARE_MODE_NONE, SHARE_MODE_BATCH, SHARE_MODE_GROUPS };
int packing_share(struct packing *p, enum share_mode mode, int max_row, ilab_err *e);
/* What an epoch computes: rows, Σ of positions that its rows attend to times 2, micro-batches, most rows of a global batch. */
struct epoch_rows { double rows, squares, micros; int most; };
struct epoch_rows packing_epoch_rows(struct packing *p, int epoch);
/* The samples of a global batch (indices into the dataset); one of them as a micro-batch. Views until the next call. */
int packing_batch_samples(struct packing *p, int epoch, int i_batch, const uint32_t **sample);
int packing_part_samples(struct packing *p, int epoch, int i_batch, const uint32_t **sample);   /* those of this part */
void packing_one_sample(struct packing *p, uint32_t sample, struct batch *b, struct targets *y);

/* ---- checkpoint.c ---- */
enum { CHECKPOINT_BUFFER = 1 << 20 /* while one is written */ };
/* All that a run needs to go on beside weights and moments. No random state: shuffles follow from seed and epoch. */
struct run_state {
    int64_t step, total_steps, decay_start; /* decay_start: first step of the WSD decay, -1: none */
    int64_t epoch, i_batch;                 /* the next batch */
    int64_t tokens, token_goal;
    int64_t metrics_bytes;                  /* length of metrics.jsonl: later lines are from steps that are repeated */
    uint64_t data_hash, seed; int64_t batch_tokens; /* what the position in an epoch means */
    double seconds, first_loss, last_loss, val_loss, val_first;
};
int checkpoint_write(const char *path, const char *settings, const struct run_state *s, const struct param *p, int n_param,
                     struct optim *o, ilab_err *e);
/* `next` becomes `path`, and what was `path` becomes `previous`; at no moment is there no newest file. */
int checkpoint_replace(const char *next, const char *path, const char *previous, ilab_err *e);
/* Settings text and state only, after the whole file's hash was proved (ILAB_E_FORMAT: damaged); *settings is the caller's (mem_free). ILAB_E_NOTFOUND: no such file. */
int checkpoint_peek(const char *path, char **settings, struct run_state *s, ilab_err *e);
/* Changes weights and the optimiser's state only when the whole file is sound. */
int checkpoint_read(const char *path, struct run_state *s, const struct param *p, int n_param, struct optim *o, ilab_err *e);

/* ---- run.c: the loop ---- */
struct run {
    struct gemm_ctx *g; struct model *m; struct adapter *ad;   /* ad NULL: all weights */
    const struct dataset *d, *val;
    const struct train_opts *o;
    const struct path_report *paths; /* NULL: exact */
    struct train_plan *plan;         /* made and open; NULL: the loop makes its own */
    const char *settings;            /* lines key=value: what must agree for a resume */
    uint64_t data_hash;
    int64_t token_goal;              /* > 0: the run ends after about so many tokens, and may be continued with other settings */
    int (*on_checkpoint)(void *ud, ilab_err *e); void *ud;
};
int run_steps(struct run *r, struct train_report *rep, ilab_err *e);
int run_write_manifest(const struct run *r, const struct train_report *rep, ilab_err *e);   /* train.c */
struct train_plan; struct clock;
/* Everything that a running loop has open. */
struct loop {
    struct run *r;
    struct communicator *comm, alone; int first, stop;         /* first: rank 0, which writes; stop: the signal that some process got */
    void *gathered;                                            /* of all processes: step_sums, blamed */
    struct train_plan *plan, *own_plan; struct clock *clock; struct states *states; char *states_path;
    struct learnt *learnt; struct param *saved; int n_saved; /* what checkpoints hold: the parameters, and what is learnt */
    struct tape *tape;
    struct param *param; int n_param;
    struct optim *optim;
    struct packing *packing, *val;
    struct run_state s;
    struct schedule_opts schedule;
    FILE *metrics;
    char *checkpoint, *previous, *next, *stable, *metrics_path;
    int lock, resumed, stopped /* in the middle of a step, which is not counted */, n_failed /* saves in a row */;
    double begun /* wall clock of this session */, before /* seconds of earlier sessions */, saved_at, save_seconds /* the last took */, epoch_done /* work of this epoch */;
    double step_seconds, rate /* tokens/s, smoothed */, flops; int64_t session_tokens;
};

/* ---- mean_loss.c ---- */
enum { MEAN_LOSS_ROWS = 512 /* that pass together, or the longest sample's */ };
struct tape_opts mean_loss_opts(const struct model *m);

/* ---- run_size.c, work.c: how much there is to do, and whether there is room for it ---- */
/* Multiply-adds count 2. rows, Σ over segments of n_row², targets. */
/* A fresh adapter as the options want it. */
int train_adapter(struct adapter **ad, const struct model *m, const struct train_opts *o, ilab_err *e);
double run_flops(const struct model *m, const struct adapter *ad, double rows, double rows_squared, double n_target);
struct packing_cost run_cost(const struct model *m, const struct adapter *ad); /* the same, in millionths of a row */
/* Longest sample in rows, number of target ids; checks every id against the vocabulary. */
struct data_shape { int max_row; size_t n_rows, n_target; };
int data_shape(const struct dataset *d, int n_vocab, struct data_shape *out, ilab_err *e);
/* Total steps of a run by epochs and max_steps; the steps that make about so many tokens. */
int64_t run_total_steps(struct packing *p, const struct train_opts *o);
int64_t run_steps_for_tokens(struct packing *p, int64_t tokens);
/* Room for checkpoints, the result, and `more` bytes. */
int run_check_disk(const struct run *r, size_t more, ilab_err *e);

/* ---- path_gate.c: which path a run takes; in the memory of the plan (NULL: free) ---- */
struct train_plan;
/* Measures on the first samples that the run will see; `ad` is as before afterwards. */
int path_choose(struct gemm_ctx *g, struct model *m, struct adapter *ad, const struct dataset *d, const struct train_opts *o,
                const struct train_plan *plan, struct path_report *r, ilab_err *e);
/* r->chosen by o->precision: the name given; else that of an unfinished run with this base and data; else path_choose. */
enum { PATH_NAME_MAX = 32 };
int path_decide(struct gemm_ctx *g, struct model *m, struct adapter *ad, const struct dataset *d, const struct train_opts *o, const char *base,
                uint64_t data_hash, const struct train_plan *plan, struct path_report *r, ilab_err *e);

/* ---- communicator.c: what processes share ---- */
struct step_sums { double loss, weight, rows, squares, targets; int stopped, signal, failed; };
int run_share_state(struct loop *l, ilab_err *e);              /* rank 0's, before the first step; all must have the same settings */
/* Sums over the processes, in order of ranks; rc: how it went here. All return the same, as communicator_agree. */
int run_share_step(struct loop *l, int rc, struct step_sums *s, ilab_err *e);
int run_share_gradient(struct loop *l, ilab_err *e);

/* ---- run_state.c: saving and going on ---- */
int run_save(struct loop *l, const char *path, ilab_err *e);
/* Continues from l->checkpoint, or from the generation before when that one is damaged; ILAB_E_INVALID: settings, base or data
 * differ. A finished run of other settings is left behind. Nothing there: 0, and l->resumed stays 0. */
int run_resume(struct loop *l, ilab_err *e);
/* The value of a setting of the run in out_dir, if it has this base and data; 0: none. */
int run_stored(const char *out_dir, const char *base, uint64_t data_hash, const char *key, char *value, size_t max);
void run_forget(struct loop *l);                               /* removes the checkpoints of an earlier run */

/* ---- run_blame.c: a loss that is no number ---- */
struct blamed { uint32_t n, n_bad, sample[5]; };               /* of a process: samples tried, bad ones, the first of them */
/* Sets e after running the samples of the batch one by one, each process those of its part: which of them do it, or whether the weights do.
 * Returns ILAB_E_INVALID. */
int run_blame(struct loop *l, int epoch, int i_batch, ilab_err *e);

/* ---- run_metrics.c: metrics.jsonl ---- */
int metrics_open(struct loop *l, ilab_err *e);                 /* drops lines of steps that will be repeated */
void metrics_step(struct loop *l, double loss, double lr, double norm, double seconds, int64_t rows);
void metrics_validation(struct loop *l);

/* ---- scratch_data.c ---- */
/* Encodes the files in parallel into `bin` unless it is there with the same key; opens it as a dataset over the map. */
struct scratch_data { struct dataset d; struct file_map map; };
int scratch_data_open(struct scratch_data *s, const char *const *file, int n_file, const char *bin, const char *key,
                      const struct tokenizer *t, int max_tokens, struct pool *pool, int quiet, ilab_err *e);
void scratch_data_close(struct scratch_data *s);
/* A sample of ≤ max_bytes of the data's text with the special tokens taken out; caller mem_frees. */
int scratch_sample_text(const char *const *file, int n_file, size_t max_bytes, const char *const *special, int n_special,
                        char **out, size_t *n_out, ilab_err *e);

#endif
