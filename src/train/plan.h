/* plan.h — memory and time of a run, known beforehand: plan.c, work.c, clock.c. Private to `train`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_TRAIN_PLAN_H
#define ILAB_TRAIN_PLAN_H

#include "train/share.h"

/* ---- plan.c ---- */
struct train_plan {
    struct plan_row row[28]; int n_row;
    size_t total, budget;              /* most that will be in memory, the mapped file included; what may be */
    int micro, batch, max_row, max_target, longest, lowest;
    struct tape_opts tape;             /* pager: set by plan_open */
    struct share_choice share;
    size_t file_bytes, file_budget;    /* of the weights; > 0: only so many of them stay in memory */
    int states; size_t states_bytes;   /* enum states_place: OFF, RAM or DISK */
    size_t pass_bytes;                 /* see plan_pass_bytes */
    double cost;                       /* estimated work a token, 1: what has to be done anyway */
};
/* Chooses what fits; ILAB_E_LIMIT: nothing does, and who holds the memory. The adapter and the samples are there already. */
int plan_make(struct train_plan *p, struct gemm_ctx *g, const struct model *m, const struct adapter *ad, const struct dataset *d,
              const struct dataset *val /* NULL */, const struct train_opts *o, ilab_err *e);
int plan_open(struct train_plan *p, const struct model *m, ilab_err *e);                        /* the pager where one is needed: p->tape.pager */
void plan_close(struct train_plan *p);
size_t plan_pass_bytes(const struct train_plan *p);                                             /* a pass and the optimiser: free before the run begins */
void plan_describe(const struct train_plan *p, struct sb *b);                                   /* the choices, one line of words */
void plan_warn(const struct train_plan *p, const struct model *m);                              /* logs when others hold too much */

/* ---- work.c: floating-point operations, a multiply-add counts 2 ---- */
struct data_work { double rows, squares /* Σ n_row² */, targets; };
struct data_work work_of(const struct dataset *d);
double work_below(const struct model *m, const struct adapter *ad, double rows, double squares); /* forward below the lowest adapted layer */
static const double UNPACK_ROWS = 24; /* rows whose products cost as much as unpacking the weights for them */
double work_micro(const struct model *m, const struct adapter *ad); /* of a micro-batch, however few rows it has: all weights above are unpacked, those of all experts, too */
double work_layer_again(const struct model *m);                                                  /* a token's recomputation of a layer */

struct pace { double work, seconds; };
double pace_seconds(const struct pace *p, double work);                                         /* 0: nothing is known */

/* ---- clock.c: how long what remains of a run will take ---- */
static const double WRITE_BYTES_A_SECOND = 4e8; /* where the disk was not tried */
enum { CLOCK_BINS = 16 };
struct clock_bin { struct pace below /* layers below the lowest adapted one, forward alone */, rest; };
struct clock {
    double epoch_work, epoch_below;    /* of an epoch; of it, what kept hidden states save */
    double row_below, micro;           /* the same of a row; what a micro-batch costs beside its rows */
    double val_work, val_below;        /* of a validation */
    int keeps_states;                  /* set by the caller: a later validation finds its hidden states kept */
    double save_every, save_seconds, after_seconds; int64_t save_steps;
    struct clock_bin bin[CLOCK_BINS]; int n_bin; int64_t n_step, per_bin, in_bin; /* steps in all, in a full bin, in the last one */
    struct pace below_seen;            /* of the last step that had such work */
    double val_seconds; int64_t val_step; /* the last validation, after so many steps */
};
#define CLOCK_INIT { .per_bin = 1 }
/* rows, val_rows: of an epoch and of a validation (zero: there is none). */
void clock_plan(struct clock *c, const struct model *m, const struct adapter *ad, const struct dataset *d, const struct dataset *val, struct epoch_rows rows,
                struct epoch_rows val_rows, const struct train_opts *o, double bytes_per_s /* to the disk */);
void clock_step(struct clock *c, struct pace all, struct pace below);                           /* one step: all of it, and the layers below */
void clock_validated(struct clock *c, double seconds);
double clock_saves_every(double wanted, double takes);                                          /* seconds between checkpoints: they take little of the time */
double clock_seconds(const struct clock *c, double work, double below);                         /* of so much work of the two kinds */
/* Until the command ends: epochs that remain, fractions included; of them, those in which the layers below are computed; steps, validations. 0: nothing is known yet. */
double clock_left(const struct clock *c, double epochs, double computed, double steps, int n_val);

#endif
