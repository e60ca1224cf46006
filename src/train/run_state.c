/* run_state.c — saving a run, and going on with one: what must agree, and what may differ.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/plan.h"

#include <string.h>
#include <unistd.h>

/* Settings that are hashes of a file: told in words. */
static const struct { const char *key, *says; } WHAT[] = {
    { "base", "the base model is another one, or its file changed" },
    { "data", "the training data changed" },
};

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
    struct sv rest = sv_of(then), line;
    int n = 0;
    while (sv_split(&rest, '\n', &line)) {      /* what is no longer said */
        ptrdiff_t at = sv_find(line, SV("="), 0);
        if (at < 0 || !sv_starts(line, prefix) || setting(sv_of(now), (struct sv){ line.p, (size_t)at }).p)
            continue;
        sb_addf(out, "%s%.*s is no longer set, it was '%.*s'", n++ ? "; " : "", (int)at, line.p, (int)(line.n - (size_t)at - 1), line.p + at + 1);
    }
    rest = sv_of(now);
    while (sv_split(&rest, '\n', &line)) {
        ptrdiff_t at = sv_find(line, SV("="), 0);
        if (at < 0 || !sv_starts(line, prefix))
            continue;
        struct sv key = { line.p, (size_t)at }, value = { line.p + at + 1, line.n - (size_t)at - 1 }, was = setting(sv_of(then), key);
        if (was.p && sv_eq(was, value))
            continue;
        const char *what = NULL;
        for (size_t i = 0; i < ARRAY_LEN(WHAT); i++)
            if (sv_eq_c(key, WHAT[i].key))
                what = WHAT[i].says;
        sb_addf(out, "%s", n++ ? "; " : "");
        if (what)
            sb_addf(out, "%s (%.12s, was %.12s)", what, value.p, was.p ? was.p : "none");
        else
            sb_addf(out, "%.*s is '%.*s', was '%.*s'", SV_ARG(key), SV_ARG(value), (int)was.n, was.p ? was.p : "");
    }
    return n;
}

/* ---- save and resume ---- */

int run_save(struct loop *l, const char *path, ilab_err *e) {
    if (!l->first)
        return 0;
    double begin = now_seconds();
    int newest = path == l->checkpoint, rc = 0;
    if (fflush(l->metrics) != 0 || ferror(l->metrics)) {
        clearerr(l->metrics);
        rc = err_set(e, ILAB_E_IO, "cannot write '%s': is the disk full?", l->metrics_path);
    }
    l->s.metrics_bytes = ftell(l->metrics);
    l->s.seconds = l->before + now_seconds() - l->begun;
    if (!rc)
        rc = checkpoint_write(newest ? l->next : path, l->r->settings, &l->s, l->saved, l->n_saved, l->optim, e);
    if (!rc && newest)
        rc = checkpoint_replace(l->next, path, l->previous, e);
    if (!rc && newest && l->r->on_checkpoint)
        rc = l->r->on_checkpoint(l->r->ud, e);
    l->saved_at = now_seconds();
    l->clock->save_seconds = l->save_seconds = l->saved_at - begin;
    return rc;
}

void run_forget(struct loop *l) {
    const char *const path[] = { l->checkpoint, l->previous, l->next, l->stable };
    for (size_t i = 0; i < ARRAY_LEN(path); i++)
        unlink(path[i]);
}

/* *other: the run there is finished and was another one. */
static int resume_from(struct loop *l, const char *path, int *other, ilab_err *e) {
    struct run *r = l->r;
    char *then = NULL;
    struct run_state old;
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
        *other = 1;
        return 0;
    }
    if (differs)
        rc = err_set(e, ILAB_E_INVALID, "cannot resume the run in '%s' (step %lld of %lld): %s; finish it with what it began with, take another folder (--ckpt-output-dir), or forget it (--fresh)",
                     r->o->out_dir, (long long)old.step, (long long)old.total_steps, diff.p ? diff.p : "");
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
    rc = checkpoint_read(path, &l->s, l->saved, l->n_saved, l->optim, e);
    if (rc)
        return rc;
    /* Another order of samples: the position in the epoch means nothing any more. */
    int other_data = l->s.data_hash != r->data_hash || l->s.seed != r->o->seed || l->s.batch_tokens != r->o->batch_tokens;
    if (other_data) {
        l->s.epoch++;
        l->s.i_batch = 0;
    }
    if (loose && (other_data || l->s.token_goal != r->token_goal))
        l->s.total_steps = l->s.step + run_steps_for_tokens(l->packing, r->token_goal - l->s.tokens);
    if (l->s.i_batch > packing_n_batches(l->packing, (int)l->s.epoch))
        return err_set(e, ILAB_E_INVALID, "'%s' does not fit the data", path);
    l->resumed = 1;
    if (l->s.step >= l->s.total_steps) log_info("this run is complete (%lld steps): nothing is left to train", (long long)l->s.step);
    else log_info("resuming at step %lld of %lld", (long long)l->s.step, (long long)l->s.total_steps);
    return 0;
}

int run_resume(struct loop *l, ilab_err *e) {
    const char *const path[] = { l->checkpoint, l->previous };
    int n_damaged = 0, other = 0;
    for (size_t i = 0; i < ARRAY_LEN(path); i++) {
        if (file_exists(path[i]) != 1)
            continue;
        ilab_err why = { 0 };
        int rc = resume_from(l, path[i], &other, &why);
        if (rc == ILAB_E_FORMAT) {
            log_warn("%s%s", why.msg, i ? "" : "; trying the checkpoint before it");
            n_damaged++;
            continue;
        }
        if (rc)
            return err_set(e, rc, "%s", why.msg);
        if (n_damaged && !other)
            log_warn("going on from '%s': the steps after step %lld are done again", path[i], (long long)l->s.step);
        return 0;
    }
    return n_damaged ? err_set(e, ILAB_E_FORMAT, "no checkpoint in '%s' is sound any more; --fresh begins the run anew", l->r->o->out_dir) : 0;
}

int run_stored(const char *out_dir, const char *base, uint64_t data_hash, const char *key, char *value, size_t max) {
    static const char *const FILES[] = { "checkpoint.bin", "checkpoint-previous.bin" };
    char hash[32];
    int found = 0;
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)data_hash);
    for (size_t i = 0; i < ARRAY_LEN(FILES) && out_dir && !found; i++) {
        struct run_state s;
        char *path = path_join(out_dir, FILES[i]), *settings = NULL;
        if (path && checkpoint_peek(path, &settings, &s, NULL) == 0) {
            struct sv text = sv_of(settings), at = setting(text, sv_of(key));
            found = at.p && at.n < max && sv_eq_c(setting(text, SV("base")), base) && sv_eq_c(setting(text, SV("data")), hash);
            if (found)
                snprintf(value, max, "%.*s", SV_ARG(at));
        }
        mem_free(settings);
        mem_free(path);
    }
    return found;
}

int train_find_run(const char *out_dir, struct train_found *out) {
    static const char *const FILES[] = { "checkpoint.bin", "checkpoint-previous.bin" };
    *out = (struct train_found){ 0 };
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++) {
        struct run_state s;
        char *path = path_join(out_dir, FILES[i]), *settings = NULL;
        int rc = path ? checkpoint_peek(path, &settings, &s, NULL) : ILAB_E_NOMEM;
        mem_free(settings);
        mem_free(path);
        if (rc)
            continue;
        *out = (struct train_found){ .step = s.step, .total_steps = s.total_steps, .seconds = s.seconds };
        return s.step < s.total_steps ? 1 : 2;
    }
    return 0;
}
