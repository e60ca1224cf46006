/* run.c — the loop of a training run: steps, progress, validation. Its parts: run_size, run_state, run_metrics.
 *
 * Invariants:
 *  (1) Everything that influences the weights is in the checkpoint or follows from settings and data; so a run that was killed at
 *      any moment and resumed ends with the same bits as one that was not.
 *  (2) Settings and data that would change the result refuse to resume, by name. Runs from nothing (token_goal > 0) may change all
 *      but the model's shape; the change is logged.
 *  (3) out_dir is locked while the run works in it.
 *  (4) A stop in the middle of a step saves the state before that step.
 * Does not know how a gradient is made (tape) or where samples come from (dataset).  SPDX-License-Identifier: Apache-2.0 */
#include "train/learnt.h"
#include "train/plan.h"
#include "train/states.h"
#include "train/tape.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* Hidden states are bound to what made them: base and data (in the settings), layer, the way of computing. */
static int open_states(struct loop *l, ilab_err *e) {
    const struct train_plan *p = l->plan;
    struct sb key;
    if (p->states == STATES_OFF)
        return 0;
    sb_init(&key, 1 << 16);
    struct sv rest = sv_of(l->r->settings), base = { NULL, 0 };
    while (sv_split(&rest, '\n', &base) && !sv_starts(base, "base=")) {}
    sb_addf(&key, "%.*s data=%016llx val=%016llx lowest=%d path=%s", SV_ARG(base), (unsigned long long)l->r->data_hash,
            (unsigned long long)(l->r->val ? dataset_hash(l->r->val) : 0), p->lowest, l->tape->path->name);
    char name[32] = "states.bin";                 /* each process keeps what it computes */
    if (!l->first)
        snprintf(name, sizeof name, "states-%d.bin", l->comm->rank);
    l->states_path = p->states == STATES_DISK ? path_join(l->r->o->out_dir, name) : NULL;
    int rc = key.failed || (p->states == STATES_DISK && !l->states_path) ? err_set(e, ILAB_E_NOMEM, "no memory for hidden states")
        : states_new(&l->states, l->r->d, l->r->val, l->r->m->hp.n_embd, l->states_path, key.p, e);
    sb_release(&key);
    return rc;
}

static int set_up(struct loop *l, ilab_err *e) {
    struct run *r = l->r;
    const struct train_opts *o = r->o;
    l->plan = r->plan ? r->plan : (l->own_plan = mem_calloc(1, sizeof *l->plan));
    l->clock = mem_calloc(1, sizeof *l->clock);
    if (!l->plan || !l->clock)
        return err_set(e, ILAB_E_NOMEM, "no memory for a training run");
    struct train_plan *p = l->plan;
    int rc = r->plan ? 0 : plan_make(p, r->g, r->m, r->ad, r->d, r->val, o, e);
    if (!rc && !r->plan)
        rc = plan_open(p, r->m, e);
    if (!rc)
        rc = packing_new(&l->packing, r->d, p->batch, p->micro, o->seed, e);
    if (!rc)
        rc = packing_share(l->packing, p->share.mode, p->share.unit, e);
    if (!rc && r->val && r->val->n)
        rc = packing_new(&l->val, r->val, p->micro, p->micro, o->seed, e);
    if (!rc && l->val && p->share.mode)
        rc = packing_share(l->val, SHARE_MODE_BATCH, p->share.unit, e);
    const struct epoch_rows epoch = rc ? (struct epoch_rows){ 0 } : packing_epoch_rows(l->packing, 0), val = rc || !l->val ? (struct epoch_rows){ 0 } : packing_epoch_rows(l->val, 0);
    if (!rc)
        rc = packing_split(l->packing, l->comm->rank, l->comm->size, tape_span_count(r->ad), run_cost(r->m, r->ad), e);
    if (!rc && l->val)
        rc = packing_split(l->val, l->comm->rank, l->comm->size, 1, run_cost(r->m, r->ad), e);
    if (!rc && !(l->gathered = mem_calloc((size_t)l->comm->size, sizeof(struct step_sums) > sizeof(struct blamed) ? sizeof(struct step_sums) : sizeof(struct blamed))))
        rc = err_set(e, ILAB_E_NOMEM, "no memory for %d processes", l->comm->size);
    if (!rc && l->first)
        rc = run_check_disk(r, p->states == STATES_DISK ? p->states_bytes : 0, e);
    if (!rc)
        rc = model_rope_reserve(r->m, p->longest, e);
    if (!rc)
        rc = tape_new_with(&l->tape, r->g, r->m, r->ad, p->max_row, p->max_target, &p->tape, e);
    if (rc)
        return rc;
    plan_warn(p, r->m);
    if (r->paths)
        tape_set_path(l->tape, r->paths->chosen);
    l->n_param = tape_params(l->tape, &l->param);
    rc = optim_new(&l->optim, r->g, l->param, l->n_param, &o->optim, e);
    if (!rc && o->learnt > 0)
        rc = learnt_new(&l->learnt, r->d->n, p->max_target, o->learnt, e);
    if (!rc && !(l->saved = mem_calloc((size_t)l->n_param + 1, sizeof *l->saved)))
        rc = err_set(e, ILAB_E_NOMEM, "no memory for a training run");
    if (rc)
        return rc;
    memcpy(l->saved, l->param, (size_t)l->n_param * sizeof *l->saved);
    l->n_saved = l->n_param;
    if (l->learnt)
        l->saved[l->n_saved++] = learnt_param(l->learnt);
    l->s = (struct run_state){ .token_goal = r->token_goal, .data_hash = r->data_hash, .decay_start = -1 };
    l->s.total_steps = r->token_goal > 0 ? run_steps_for_tokens(l->packing, r->token_goal) : run_total_steps(l->packing, o);
    clock_plan(l->clock, r->m, r->ad, r->d, r->val, epoch, val, o, WRITE_BYTES_A_SECOND);
    l->clock->keeps_states = p->states != STATES_OFF;
    return o->resume && l->first ? run_resume(l, e) : 0;
}

/* The state that all processes begin with, and what follows from it. */
static int begin_steps(struct loop *l, ilab_err *e) {
    const struct run *r = l->r;
    const struct train_opts *o = r->o;
    int rc = run_share_state(l, e);
    if (rc)
        return rc;
    if (!l->resumed && l->first)
        run_forget(l);
    if (l->learnt)
        packing_leave_out(l->packing, learnt_rests, l->learnt);
    l->s.token_goal = r->token_goal;
    l->s.data_hash = r->data_hash;
    l->s.seed = o->seed;
    l->s.batch_tokens = o->batch_tokens;
    l->schedule = o->schedule;
    if (!l->schedule.total_steps)
        l->schedule.total_steps = l->s.total_steps;
    l->s.decay_start = l->schedule.kind == SCHEDULE_WSD
        ? (int64_t)floor((double)l->schedule.total_steps * (1.0 - (double)l->schedule.decay_share)) : -1;
    l->before = l->s.seconds;
    l->epoch_done = l->s.i_batch > 0 ? l->clock->epoch_work * (double)l->s.i_batch / packing_n_batches(l->packing, (int)l->s.epoch) : 0;
    rc = metrics_open(l, e);
    if (!rc)
        rc = open_states(l, e);
    return communicator_agree(l->comm, rc, e);
}

/* ---- steps ---- */

static int validate(struct loop *l, ilab_err *e) {
    struct step_sums s = { 0 };
    struct loss_opts hard = { 0 };
    int rc = 0;
    for (int i = 0; i < packing_n_batches(l->val, 0) && !s.stopped && !rc; i++)
        for (int k = 0; k < packing_n_micro(l->val, 0, i) && !s.stopped && !rc; k++) {
            struct batch b;
            struct targets y;
            packing_micro(l->val, 0, i, k, &b, &y);
            tape_set_states(l->tape, l->states, packing_micro_samples(l->val, 0, i, k), (uint32_t)l->r->d->n);
            rc = tape_step(l->tape, &b, &y, &hard, 1.0f, 0, &s.loss, &s.weight, e);
            s.stopped = signal_pending() != 0;
        }
    if ((rc = run_share_step(l, rc, &s, e)) || s.stopped)
        return rc;
    l->s.val_loss = s.weight > 0 ? s.loss / s.weight : 0;
    metrics_validation(l);
    return 0;
}

/* Enters the next epoch where one is over; 0: there is none. */
static int next_batch(struct loop *l) {
    while (l->s.i_batch >= packing_n_batches(l->packing, (int)l->s.epoch)) {
        if (l->learnt && l->r->o->epochs > 0 && l->s.epoch + 1 >= l->r->o->epochs)
            return 0;
        l->s.epoch++;
        l->s.i_batch = 0;
        l->epoch_done = 0;
        if (l->learnt)
            log_info("epoch %lld: %zu of %zu samples are learnt and rest", (long long)l->s.epoch + 1, learnt_resting(l->learnt, (int)l->s.epoch), l->r->d->n);
    }
    return 1;
}

/* The step that the schedule is asked for: where samples rest, the place in the epochs counts, not the number of steps. */
static int64_t schedule_step(struct loop *l) {
    if (!l->learnt || l->r->o->epochs < 1)
        return l->s.step;
    const double at = (double)l->s.epoch + (double)l->s.i_batch / packing_n_batches(l->packing, (int)l->s.epoch);
    return (int64_t)(at / l->r->o->epochs * (double)l->schedule.total_steps);
}

/* This process's part of the batch: the gradient adds up on the tape. */
static int own_part(struct loop *l, int epoch, int i_batch, struct step_sums *s, ilab_err *e) {
    float scale = (float)(1.0 / packing_weight(l->packing, epoch, i_batch));
    const struct train_opts *o = l->r->o;
    const uint32_t *sample;
    int64_t span_end[SPANS_MAX], first_row;
    const int n_span = packing_spans(l->packing, epoch, i_batch, span_end, &first_row);
    int rc = learnt_reserve(l->learnt, l->comm, (size_t)packing_batch_samples(l->packing, epoch, i_batch, &sample), e);
    if (rc)
        return rc;
    tape_dropout(l->tape, o->seed, l->s.step);
    tape_spans(l->tape, n_span, span_end, first_row);
    tape_zero_grad(l->tape);
    for (int k = 0, n_micro = packing_n_micro(l->packing, epoch, i_batch); k < n_micro; k++) {
        struct batch b;
        struct targets y;
        packing_micro(l->packing, epoch, i_batch, k, &b, &y);
        tape_set_states(l->tape, l->states, packing_micro_samples(l->packing, epoch, i_batch, k), 0);
        learnt_before(l->learnt, l->tape);
        rc = tape_step(l->tape, &b, &y, &l->r->o->loss, scale, 1, &s->loss, &s->weight, e);
        if (rc)
            return rc;
        learnt_after(l->learnt, &b, &y, packing_micro_samples(l->packing, epoch, i_batch, k), epoch);
        s->rows += b.n_row;
        s->targets += y.n;
        for (int i = 0; i < b.n_seg; i++)
            s->squares += segment_squares(&b.seg[i]);
        if (signal_pending() && k + 1 < n_micro) {      /* a step may take minutes: it is done again */
            s->stopped = 1;
            break;
        }
    }
    s->signal = signal_pending();
    return 0;
}

/* rc: what went wrong in this process since the step before; all learn of it here. */
static int one_step(struct loop *l, int rc, ilab_err *e) {
    struct run *r = l->r;
    struct step_sums s = { 0 };
    double start = now_seconds();
    const int64_t kept = tape_rows_kept(l->tape);
    const double below_before = tape_below_seconds(l->tape);
    if (!next_batch(l)) {                               /* the others rest: the run is shorter than was planned */
        l->s.total_steps = l->s.step;
        return communicator_agree(l->comm, rc, e);
    }
    int epoch = (int)l->s.epoch, i_batch = (int)l->s.i_batch;
    if (!rc)
        rc = own_part(l, epoch, i_batch, &s, e);
    rc = run_share_step(l, rc, &s, e);
    l->stop = s.signal;
    l->stopped = s.stopped;
    if (rc || l->stopped) {
        learnt_drop(l->learnt);
        return rc;
    }
    if ((rc = learnt_share(l->learnt, l->comm, e)))
        return rc;
    double loss = s.weight > 0 ? s.loss / s.weight : 0;
    float lr = schedule_lr(&l->schedule, r->o->optim.lr, schedule_step(l));
    tape_finish_grad(l->tape);
    if ((rc = run_share_gradient(l, e)))
        return rc;
    double norm = isfinite(loss) ? optim_step(l->optim, lr) : loss;
    if (!isfinite(norm))
        return run_blame(l, epoch, i_batch, e);
    int64_t rows = (int64_t)s.rows;
    double seconds = now_seconds() - start, rate = s.rows / (seconds > 1e-9 ? seconds : 1e-9);
    learnt_apply(l->learnt);
    l->s.step++;
    l->s.i_batch++;
    l->s.tokens += rows;
    if (l->s.step == 1)
        l->s.first_loss = loss;
    l->s.last_loss = loss;
    l->session_tokens += rows;
    l->step_seconds += seconds;
    l->rate = l->rate > 0 ? 0.9 * l->rate + 0.1 * rate : rate;
    const double work = run_flops(r->m, r->ad, s.rows, s.squares, s.targets), n_kept = (double)(tape_rows_kept(l->tape) - kept), row = l->clock->row_below,
                 seen = work + packing_n_micro(l->packing, epoch, i_batch) * l->comm->size * l->clock->micro;
    l->epoch_done += seen;
    l->flops += work - n_kept * row;
    clock_step(l->clock, (struct pace){ seen - n_kept * row, seconds }, (struct pace){ (s.rows - n_kept) * row, tape_below_seconds(l->tape) - below_before });
    if (r->o->metrics_steps < 2 || l->s.step % r->o->metrics_steps == 0 || l->s.step == l->s.total_steps)
        metrics_step(l, loss, (double)lr, norm, seconds, rows);
    return 0;
}

static int checkpoint_due(const struct loop *l) {
    const struct train_opts *o = l->r->o;
    return (o->checkpoint_steps > 0 && l->s.step % o->checkpoint_steps == 0) ||
           (o->checkpoint_seconds > 0 && now_seconds() - l->saved_at >= clock_saves_every(o->checkpoint_seconds, l->save_seconds));
}

/* A state that cannot be saved now may be saved later: somebody may make room on the disk. */
static int save_if_possible(struct loop *l, ilab_err *e) {
    enum { TRIES = 3 };
    ilab_err why = { 0 };
    int rc = run_save(l, l->checkpoint, &why);
    if (!rc || ++l->n_failed >= TRIES) {
        l->n_failed = 0;
        return rc ? err_set(e, rc, "%s; the last good checkpoint is kept, the same command goes on from there", why.msg) : 0;
    }
    log_warn("%s; the training goes on, the state will be saved later", why.msg);
    return 0;
}

/* Estimated from the work that remains; 0: nothing is known yet. Of samples that rest, as many as in the next epoch are taken for good. */
static double seconds_left(const struct loop *l, int64_t val_steps) {
    const struct train_opts *o = l->r->o;
    const int64_t total = l->s.total_steps, left = total - l->s.step, n_val = l->val ? total / val_steps - l->s.step / val_steps + (total % val_steps && left > 0) : 0;
    const double in_epoch = packing_n_batches(l->packing, (int)l->s.epoch), here = in_epoch - (double)l->s.i_batch, n = (double)l->r->d->n;
    const double awake = l->learnt ? 1 - (double)learnt_resting(l->learnt, (int)l->s.epoch) / n : 1, later = l->learnt ? 1 - (double)learnt_resting(l->learnt, (int)l->s.epoch + 1) / n : 1;
    const int by_epochs = o->epochs > 0 && !o->max_steps && l->r->token_goal <= 0;
    const double rest = awake - l->epoch_done / l->clock->epoch_work, share = in_epoch > 0 ? (double)left / in_epoch : 0;
    double epochs = here > 0 && rest > 0 ? rest : 0;
    if (by_epochs)
        epochs += (double)(o->epochs - 1 - l->s.epoch) * later;
    else
        epochs = (double)left <= here ? share * awake : epochs + ((double)left - here) / in_epoch * later;
    const double missing = l->states ? states_missing(l->states, l->r->d->n) : epochs;
    return clock_left(l->clock, epochs, missing < epochs ? missing : epochs, (double)left, (int)n_val);
}

/* An error of this process alone is told with the next step, or by the caller when there is none. */
static int all_steps(struct loop *l, struct progress *p, ilab_err *e) {
    const struct train_opts *o = l->r->o;
    int64_t val_steps = o->val_steps > 0 ? o->val_steps : l->s.total_steps / 10 + 1;
    int rc = 0, end = 0;
    const double before_first = now_seconds();
    if (l->val && !l->resumed) {
        if ((rc = validate(l, e)))
            return rc;
        clock_validated(l->clock, now_seconds() - before_first);
    }
    l->s.val_first = l->resumed ? l->s.val_first : l->s.val_loss;
    while (!end && l->s.step < l->s.total_steps) {
        /* The last state at the full rate: more tokens may be wanted later. */
        if (!rc && l->r->token_goal > 0 && l->s.step == l->s.decay_start && l->s.step > 0)
            rc = run_save(l, l->stable, e);
        rc = one_step(l, rc, e);
        int last = l->s.step == l->s.total_steps;
        const double before_val = now_seconds();
        if (!rc && !l->stopped && l->val && (last || l->s.step % val_steps == 0)) {
            rc = validate(l, e);
            clock_validated(l->clock, now_seconds() - before_val);
        }
        if (rc)
            break;
        p->left = seconds_left(l, val_steps);
        if (l->val && (last || val_steps <= l->s.total_steps)) /* else it is the one from before the first step */
            progress_at(p, l->s.step, "loss %.3f, validation %.3f, %.0f tokens/s", l->s.last_loss, l->s.val_loss, l->rate);
        else
            progress_at(p, l->s.step, "loss %.3f, %.0f tokens/s", l->s.last_loss, l->rate);
        l->stop = l->comm->size > 1 ? l->stop : signal_pending();          /* all processes stop after the same step */
        end = last || l->stop;
        if (end)
            rc = run_save(l, l->checkpoint, e);
        else if (checkpoint_due(l))
            rc = save_if_possible(l, e);
        if (!rc && l->stop && !last)
            rc = err_set(e, ILAB_E_CANCEL, "stopped after step %lld of %lld; the state is saved in '%s', the same command goes on from there",
                         (long long)l->s.step, (long long)l->s.total_steps, o->out_dir);
    }
    return rc;
}

static void tear_down(struct loop *l) {
    if (l->metrics)
        fclose(l->metrics);
    optim_free(l->optim);
    tape_free(l->tape);
    if (l->own_plan)
        plan_close(l->own_plan);
    states_free(l->states);
    if (l->states_path && l->s.step == l->s.total_steps)
        unlink(l->states_path);                 /* only a run that goes on needs it */
    mem_free(l->states_path);
    mem_free(l->own_plan);
    learnt_free(l->learnt);
    mem_free(l->saved);
    mem_free(l->gathered);
    mem_free(l->clock);
    packing_free(l->packing);
    packing_free(l->val);
    mem_free(l->checkpoint);
    mem_free(l->previous);
    mem_free(l->next);
    mem_free(l->stable);
    mem_free(l->metrics_path);
    if (l->lock >= 0)
        dir_unlock(l->lock);
}

int run_steps(struct run *r, struct train_report *rep, ilab_err *e) {
    struct loop l = { .r = r, .lock = -1, .alone = COMMUNICATOR_ONE };
    *rep = (struct train_report){ 0 };
    if (!r->o->out_dir)
        return err_set(e, ILAB_E_INVALID, "a training run needs a folder for its state");
    l.comm = r->o->comm ? r->o->comm : &l.alone;
    l.first = l.comm->rank == 0;
    int rc = l.first ? dir_make(r->o->out_dir, e) : 0;
    if (!rc && l.first)
        rc = dir_lock(r->o->out_dir, &l.lock, e);
    l.checkpoint = path_join(r->o->out_dir, "checkpoint.bin");
    l.previous = path_join(r->o->out_dir, "checkpoint-previous.bin");
    l.next = path_join(r->o->out_dir, "checkpoint-next.bin");
    l.stable = path_join(r->o->out_dir, "checkpoint-stable.bin");
    l.metrics_path = path_join(r->o->out_dir, "metrics.jsonl");
    if (!rc)
        rc = l.checkpoint && l.previous && l.next && l.stable && l.metrics_path ? set_up(&l, e) : err_set(e, ILAB_E_NOMEM, "no memory for a training run");
    rc = communicator_agree(l.comm, rc, e);
    if (!rc)
        rc = begin_steps(&l, e);
    if (!rc) {
        struct progress p = { .plain_seconds = 30 };
        progress_start(&p, "training", l.s.total_steps, l.s.step);
        p.quiet = r->o->quiet || !l.first;
        l.begun = l.saved_at = now_seconds();
        rc = communicator_agree(l.comm, all_steps(&l, &p, e), e);
        progress_end(&p);
        *rep = (struct train_report){
            .steps = l.s.step, .first_loss = l.s.first_loss, .last_loss = l.s.last_loss, .val_loss = l.s.val_loss, .val_first = l.s.val_first,
            .seconds = l.before + now_seconds() - l.begun, .tokens = l.s.tokens, .resumed = l.resumed, .signal = l.stop, .peak_rss_bytes = mem_peak_rss(),
            .tokens_per_s = l.step_seconds > 0 ? (double)l.session_tokens / l.step_seconds : 0,
            .gflops = l.step_seconds > 0 ? l.flops / l.step_seconds * 1e-9 : 0 };
    }
    tear_down(&l);
    return rc;
}
