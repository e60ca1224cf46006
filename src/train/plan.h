/* plan.h — memory and time of a run, known beforehand: plan.c, work.c. Private to `train`.
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
double work_layer_again(const struct model *m);                                                  /* a token's recomputation of a layer */

/* What remains of a run, from what was measured in it: work, validations, checkpoints. */
struct pace { double work, seconds; };
struct clock {
    double epoch_work, epoch_rows;     /* of an epoch */
    double below_work;                 /* of a row, what kept hidden states save from the second epoch on */
    double val_work;
    /* Of the last steps, older ones fading: the layers below the lowest adapted one (forward alone), and the rest, which has another pace. */
    struct pace below, rest;
    int n_step;
    double val_seconds, save_seconds;
};
/* One step: work and seconds of all, and those of the layers below. A first step that was slower than the second (it brings weights
 * and buffers into memory) is forgotten. */
void clock_step(struct clock *c, struct pace all, struct pace below);
double pace_seconds(const struct pace *p, double work);                                         /* 0: nothing is known */
/* epochs: those that remain, fractions included; kept: of them, those that find hidden states kept; n_val validations; save_every
 * seconds between checkpoints. */
double clock_left(const struct clock *c, double epochs, double kept, int n_val, double save_every);

#endif
