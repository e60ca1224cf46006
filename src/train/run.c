/* run.c — the loop of a training run: steps, progress, validation, checkpoints, resume.
 *
 * Invariants:
 *  (1) Everything that influences the weights is in the checkpoint or follows from settings and data; so a run that was killed at
 *      any moment and resumed ends with the same bits as one that was not.
 *  (2) Settings and data that would change the result refuse to resume, by name. Runs from nothing (token_goal > 0) may change all
 *      but the model's shape; the change is logged.
 *  (3) out_dir is locked while the run works in it.
 * Does not know how a gradient is made (tape) or where samples come from (dataset).  SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

struct loop {
    struct run *r;
    struct tape *tape;
    struct param *param; int n_param;
    struct optim *optim;
    struct packing *packing, *val;
    struct run_state s;
    struct schedule_opts schedule;
    FILE *metrics;
    char *checkpoint, *stable, *metrics_path;
    int lock, resumed;
    double begun /* wall clock of this session */, before /* seconds of earlier sessions */, saved_at;
    double step_seconds, rate /* tokens/s, smoothed */, flops; int64_t session_tokens;
};

int data_shape(const struct dataset *d, int n_vocab, struct data_shape *out, ilab_err *e) {
    *out = (struct data_shape){ 0 };
    for (size_t i = 0; i < d->n; i++) {
        const struct sample *s = &d->v[i];
        int n_row = sample_n_row(s);
        out->max_row = n_row > out->max_row ? n_row : out->max_row;
        for (int k = 0; k < s->n; k++) {
            if (s->id[k] < 0 || s->id[k] >= n_vocab)
                return err_set(e, ILAB_E_INVALID, "sample %zu has token %d, the model knows %d: it was made with another tokenizer", i + 1, s->id[k], n_vocab);
            out->n_target += s->mask[k] != 0;
        }
    }
    if (!out->max_row)
        return err_set(e, ILAB_E_INVALID, "the data has no sample to learn from");
    return 0;
}

int64_t run_total_steps(struct packing *p, const struct train_opts *o) {
    int64_t total = 0;
    for (int i = 0; i < o->epochs && (!o->max_steps || total < o->max_steps); i++)
        total += packing_n_batches(p, i);
    return o->max_steps && (o->epochs < 1 || total > o->max_steps) ? o->max_steps : total;
}

double run_flops(const struct model *m, const struct adapter *ad, double rows, double rows_squared, double n_target) {
    const struct hparams *h = &m->hp;
    double c = h->n_embd, q = (double)h->n_head * h->head_dim, kv = (double)h->n_kv_head * h->head_dim, f = h->n_ff;
    double linear = c * (q + 2 * kv) + q * c + 3 * c * f, sum = 0;
    int backward = !ad;                         /* gradients reach down to the lowest adapted layer */
    for (int l = 0; l < h->n_layer; l++) {
        for (int k = 0; ad && k < LIN_COUNT; k++) {
            const struct lora *lo = &ad->lora[l * LIN_COUNT + k];
            if (!lo->on)
                continue;
            backward = 1;
            sum += 6 * rows * ad->rank * ((double)lo->n_in + lo->n_out);
        }
        sum += rows * linear * (!backward ? 2 : ad ? 4 : 6) + rows_squared * q * (backward ? 6 : 2);
    }
    return sum + n_target * c * h->n_vocab * (ad ? 4 : 6);
}

/* ---- settings ---- */

/* Value of `key` in lines key=value. */
static struct sv setting(struct sv lines, struct sv key) {
    struct sv line;
    while (sv_split(&lines, '\n', &line))
        if (line.n > key.n && line.p[key.n] == '=' && memcmp(line.p, key.p, key.n) == 0)
            return (struct sv){ line.p + key.n + 1, line.n - key.n - 1 };
    return (struct sv){ NULL, 0 };
}

/* Adds "rank is 16, was 8" for each setting that differs; keys without `prefix` are left out. Returns their number. */
static int settings_differ(const char *then, const char *now, const char *prefix, struct sb *out) {
    struct sv rest = sv_of(now), line;
    int n = 0;
    while (sv_split(&rest, '\n', &line)) {
        ptrdiff_t at = sv_find(line, SV("="), 0);
        if (at < 0 || !sv_starts(line, prefix))
            continue;
        struct sv key = { line.p, (size_t)at }, value = { line.p + at + 1, line.n - (size_t)at - 1 }, was = setting(sv_of(then), key);
        if (was.p && sv_eq(was, value))
            continue;
        sb_addf(out, "%s%.*s is '%.*s', was '%.*s'", n++ ? "; " : "", SV_ARG(key), SV_ARG(value), (int)was.n, was.p ? was.p : "");
    }
    return n;
}

/* ---- start and resume ---- */

static int64_t steps_for_tokens(struct loop *l, int64_t tokens) {
    double mean = (double)packing_n_rows(l->packing) / packing_n_batches(l->packing, 0);
    return tokens > 0 ? (int64_t)ceil((double)tokens / mean) : 0;
}

static int resume(struct loop *l, ilab_err *e) {
    struct run *r = l->r;
    char *then = NULL;
    struct run_state old;
    const char *path = l->checkpoint;
    int loose = r->token_goal > 0, rc = checkpoint_peek(path, &then, &old, e);
    if (rc)
        return rc;
    struct sb diff;
    sb_init(&diff, 4096);
    const int differs = settings_differ(then, r->settings, loose ? "model." : "", &diff);
    if (differs && !loose && old.step >= old.total_steps) {
        log_info("the run in '%s' is finished; a new one begins", r->o->out_dir);
        sb_release(&diff);
        mem_free(then);
        return 0;
    }
    if (differs)
        rc = err_set(e, ILAB_E_INVALID, "cannot resume the run in '%s': %s; finish it with the same settings, or take another folder (--ckpt-output-dir), or forget it (--restart)", r->o->out_dir, diff.p ? diff.p : "");
    if (!rc && loose && settings_differ(then, r->settings, "", &diff))
        log_info("resuming with other settings: %s", diff.p ? diff.p : "");
    sb_release(&diff);
    mem_free(then);
    if (rc)
        return rc;
    if (loose && r->token_goal > old.token_goal && old.decay_start >= 0 && old.step > old.decay_start && file_exists(l->stable) == 1) {
        log_info("more tokens are wanted: going on from step %lld, before the decay of the learning rate", (long long)old.decay_start);
        path = l->stable;
    }
    rc = checkpoint_read(path, &l->s, l->param, l->n_param, l->optim, e);
    if (rc)
        return rc;
    /* Another order of samples: the position in the epoch means nothing any more. */
    int other_data = l->s.data_hash != r->data_hash || l->s.seed != r->o->seed || l->s.batch_tokens != r->o->batch_tokens;
    if (other_data) {
        l->s.epoch++;
        l->s.i_batch = 0;
    }
    if (loose && (other_data || l->s.token_goal != r->token_goal))
        l->s.total_steps = l->s.step + steps_for_tokens(l, r->token_goal - l->s.tokens);
    if (l->s.i_batch > packing_n_batches(l->packing, (int)l->s.epoch))
        return err_set(e, ILAB_E_FORMAT, "'%s' does not fit the data", path);
    l->resumed = 1;
    log_info("resuming at step %lld of %lld", (long long)l->s.step, (long long)l->s.total_steps);
    return 0;
}

static int open_metrics(struct loop *l, ilab_err *e) {
    int64_t keep = l->resumed ? l->s.metrics_bytes : 0;
    if (file_exists(l->metrics_path) == 1 && file_size(l->metrics_path) > keep && truncate(l->metrics_path, keep) != 0)
        return err_set(e, ILAB_E_IO, "cannot shorten '%s'", l->metrics_path);
    l->metrics = fopen(l->metrics_path, "a");
    if (!l->metrics || fseek(l->metrics, 0, SEEK_END) != 0)
        return err_set(e, ILAB_E_IO, "cannot write '%s'", l->metrics_path);
    return 0;
}

static int check_room(struct loop *l, int max_row, int max_target, ilab_err *e) {
    struct plan_row row[32];
    struct run *r = l->r;
    char need[32], have[32];
    size_t n_param = r->ad ? r->ad->n_params : r->m->n_params, bytes = 2 * sizeof(float) * n_param, free_bytes = mem_available();
    int n = tape_plan(r->m, r->ad, max_row, max_target, row, ARRAY_LEN(row));
    for (int i = 0; i < n && i < (int)ARRAY_LEN(row); i++)
        bytes += row[i].bytes;
    format_bytes(need, sizeof need, (double)bytes);
    format_bytes(have, sizeof have, (double)free_bytes);
    if (free_bytes && bytes > free_bytes)
        return err_set(e, ILAB_E_LIMIT, "training needs %s of memory, %s are free; choose a smaller micro-batch", need, have);
    uint64_t disk = disk_free(r->o->out_dir), files = 8 * sizeof(float) * (uint64_t)n_param; /* two checkpoints and the result */
    format_bytes(need, sizeof need, (double)files);
    format_bytes(have, sizeof have, (double)disk);
    if (files > disk)
        return err_set(e, ILAB_E_LIMIT, "'%s' needs %s of disk space, %s are free", r->o->out_dir, need, have);
    return 0;
}

static int set_up(struct loop *l, ilab_err *e) {
    struct run *r = l->r;
    const struct train_opts *o = r->o;
    struct data_shape shape, val_shape = { 0 };
    int rc = data_shape(r->d, r->m->hp.n_vocab, &shape, e);
    if (!rc && r->val && r->val->n)
        rc = data_shape(r->val, r->m->hp.n_vocab, &val_shape, e);
    if (rc)
        return rc;
    int longest = shape.max_row > val_shape.max_row ? shape.max_row : val_shape.max_row;
    int micro = o->micro_tokens > longest ? o->micro_tokens : longest, batch = o->batch_tokens > longest ? o->batch_tokens : longest;
    rc = packing_new(&l->packing, r->d, batch, micro, o->seed, e);
    if (!rc && r->val && r->val->n)
        rc = packing_new(&l->val, r->val, micro, micro, o->seed, e);
    if (rc)
        return rc;
    int max_row = packing_max_row(l->packing);
    if (l->val && packing_max_row(l->val) > max_row)
        max_row = packing_max_row(l->val);
    size_t n_target = shape.n_target > val_shape.n_target ? shape.n_target : val_shape.n_target;
    int max_target = n_target < (size_t)max_row ? (int)n_target : max_row;
    rc = check_room(l, max_row, max_target, e);
    if (!rc)
        rc = model_rope_reserve(r->m, longest, e);
    if (!rc)
        rc = tape_new(&l->tape, r->g, r->m, r->ad, max_row, max_target, e);
    if (rc)
        return rc;
    l->n_param = tape_params(l->tape, &l->param);
    rc = optim_new(&l->optim, r->g, l->param, l->n_param, &o->optim, e);
    if (rc)
        return rc;
    l->s = (struct run_state){ .token_goal = r->token_goal, .data_hash = r->data_hash, .decay_start = -1 };
    l->s.total_steps = r->token_goal > 0 ? steps_for_tokens(l, r->token_goal) : run_total_steps(l->packing, o);
    if (o->resume && file_exists(l->checkpoint) == 1)
        rc = resume(l, e);
    if (rc)
        return rc;
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
    return open_metrics(l, e);
}

/* ---- steps ---- */

static int save(struct loop *l, const char *path, ilab_err *e) {
    if (fflush(l->metrics) != 0)
        return err_set(e, ILAB_E_IO, "cannot write '%s'", l->metrics_path);
    l->s.metrics_bytes = ftell(l->metrics);
    l->s.seconds = l->before + now_seconds() - l->begun;
    int rc = checkpoint_write(path, l->r->settings, &l->s, l->param, l->n_param, l->optim, e);
    if (!rc && path == l->checkpoint && l->r->on_checkpoint)
        rc = l->r->on_checkpoint(l->r->ud, e);
    l->saved_at = now_seconds();
    return rc;
}

static int validate(struct loop *l, ilab_err *e) {
    double sum = 0, weight = 0;
    struct loss_opts hard = { 0 };
    for (int i = 0; i < packing_n_batches(l->val, 0); i++)
        for (int k = 0; k < packing_n_micro(l->val, 0, i); k++) {
            struct batch b;
            struct targets y;
            packing_micro(l->val, 0, i, k, &b, &y);
            int rc = tape_step(l->tape, &b, &y, &hard, 1.0f, 0, &sum, &weight, e);
            if (rc)
                return rc;
        }
    l->s.val_loss = weight > 0 ? sum / weight : 0;
    fprintf(l->metrics, "{\"step\":%lld,\"val_loss\":%.6f}\n", (long long)l->s.step, l->s.val_loss);
    fflush(l->metrics);
    return 0;
}

static void write_metrics(struct loop *l, double loss, double lr, double norm, double seconds, int64_t rows) {
    fprintf(l->metrics, "{\"step\":%lld,\"epoch\":%lld,\"loss\":%.6f,\"lr\":%.6g,\"grad_norm\":%.5g,\"tokens\":%lld,\"seconds\":%.1f,\"tokens_per_s\":%.0f}\n",
            (long long)l->s.step, (long long)l->s.epoch, loss, lr, norm, (long long)l->s.tokens, l->before + now_seconds() - l->begun,
            seconds > 0 ? (double)rows / seconds : 0.0);
    fflush(l->metrics);
}

static int one_step(struct loop *l, ilab_err *e) {
    struct run *r = l->r;
    double start = now_seconds(), sum = 0, weight = 0, squares = 0;
    int64_t rows = 0, n_target = 0;
    while (l->s.i_batch >= packing_n_batches(l->packing, (int)l->s.epoch)) {
        l->s.epoch++;
        l->s.i_batch = 0;
    }
    int epoch = (int)l->s.epoch, i_batch = (int)l->s.i_batch;
    float scale = (float)(1.0 / packing_weight(l->packing, epoch, i_batch));
    tape_zero_grad(l->tape);
    for (int k = 0; k < packing_n_micro(l->packing, epoch, i_batch); k++) {
        struct batch b;
        struct targets y;
        packing_micro(l->packing, epoch, i_batch, k, &b, &y);
        int rc = tape_step(l->tape, &b, &y, &r->o->loss, scale, 1, &sum, &weight, e);
        if (rc)
            return rc;
        rows += b.n_row;
        n_target += y.n;
        for (int i = 0; i < b.n_seg; i++)
            squares += (double)b.seg[i].n_row * b.seg[i].n_row;
    }
    double loss = weight > 0 ? sum / weight : 0;
    float lr = schedule_lr(&l->schedule, r->o->optim.lr, l->s.step);
    tape_finish_grad(l->tape);
    double norm = isfinite(loss) ? optim_step(l->optim, lr) : loss;
    if (!isfinite(norm))
        return err_set(e, ILAB_E_INVALID, "the loss is no longer a finite number at step %lld; start again with a lower learning rate than %g",
                       (long long)l->s.step + 1, (double)r->o->optim.lr);
    double seconds = now_seconds() - start, rate = (double)rows / (seconds > 1e-9 ? seconds : 1e-9);
    l->s.step++;
    l->s.i_batch++;
    l->s.tokens += rows;
    if (l->s.step == 1)
        l->s.first_loss = loss;
    l->s.last_loss = loss;
    l->session_tokens += rows;
    l->step_seconds += seconds;
    l->rate = l->rate > 0 ? 0.9 * l->rate + 0.1 * rate : rate;
    l->flops += run_flops(r->m, r->ad, (double)rows, squares, (double)n_target);
    if (r->o->metrics_steps < 2 || l->s.step % r->o->metrics_steps == 0 || l->s.step == l->s.total_steps)
        write_metrics(l, loss, (double)lr, norm, seconds, rows);
    return 0;
}

static int checkpoint_due(const struct loop *l) {
    const struct train_opts *o = l->r->o;
    return (o->checkpoint_steps > 0 && l->s.step % o->checkpoint_steps == 0) ||
           (o->checkpoint_seconds > 0 && now_seconds() - l->saved_at >= o->checkpoint_seconds);
}

static int all_steps(struct loop *l, struct progress *p, ilab_err *e) {
    const struct train_opts *o = l->r->o;
    int64_t val_steps = o->val_steps > 0 ? o->val_steps : l->s.total_steps / 10 + 1;
    int rc = l->val && !l->resumed ? validate(l, e) : 0;
    while (!rc && l->s.step < l->s.total_steps) {
        /* The last state at the full rate: more tokens may be wanted later. */
        if (l->r->token_goal > 0 && l->s.step == l->s.decay_start && l->s.step > 0)
            rc = save(l, l->stable, e);
        if (!rc)
            rc = one_step(l, e);
        int last = l->s.step == l->s.total_steps;
        if (!rc && l->val && (last || l->s.step % val_steps == 0))
            rc = validate(l, e);
        if (rc)
            break;
        if (l->val)
            progress_at(p, l->s.step, "loss %.3f, validation %.3f, %.0f tokens/s", l->s.last_loss, l->s.val_loss, l->rate);
        else
            progress_at(p, l->s.step, "loss %.3f, %.0f tokens/s", l->s.last_loss, l->rate);
        int stop = signal_pending() != 0;
        if (last || stop || checkpoint_due(l))
            rc = save(l, l->checkpoint, e);
        if (!rc && stop && !last)
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
    packing_free(l->packing);
    packing_free(l->val);
    mem_free(l->checkpoint);
    mem_free(l->stable);
    mem_free(l->metrics_path);
    if (l->lock >= 0)
        dir_unlock(l->lock);
}

int run_steps(struct run *r, struct train_report *rep, ilab_err *e) {
    struct loop l = { .r = r, .lock = -1 };
    *rep = (struct train_report){ 0 };
    if (!r->o->out_dir)
        return err_set(e, ILAB_E_INVALID, "a training run needs a folder for its state");
    int rc = dir_make(r->o->out_dir, e);
    if (rc)
        return rc;
    rc = dir_lock(r->o->out_dir, &l.lock, e);
    if (rc)
        return rc == ILAB_E_LIMIT ? err_set(e, rc, "another run works in '%s'", r->o->out_dir) : rc;
    l.checkpoint = path_join(r->o->out_dir, "checkpoint.bin");
    l.stable = path_join(r->o->out_dir, "checkpoint-stable.bin");
    l.metrics_path = path_join(r->o->out_dir, "metrics.jsonl");
    rc = l.checkpoint && l.stable && l.metrics_path ? set_up(&l, e) : err_set(e, ILAB_E_NOMEM, "no memory for a training run");
    if (!rc) {
        struct progress p = { .quiet = r->o->quiet, .plain_seconds = 30 };
        progress_start(&p, "training", l.s.total_steps, l.s.step);
        p.quiet = r->o->quiet;
        l.begun = l.saved_at = now_seconds();
        rc = all_steps(&l, &p, e);
        progress_end(&p);
        *rep = (struct train_report){
            .steps = l.s.step, .first_loss = l.s.first_loss, .last_loss = l.s.last_loss, .val_loss = l.s.val_loss,
            .seconds = l.before + now_seconds() - l.begun, .tokens = l.s.tokens, .resumed = l.resumed, .peak_rss_bytes = mem_peak_rss(),
            .tokens_per_s = l.step_seconds > 0 ? (double)l.session_tokens / l.step_seconds : 0,
            .gflops = l.step_seconds > 0 ? l.flops / l.step_seconds * 1e-9 : 0 };
    }
    tear_down(&l);
    return rc;
}
