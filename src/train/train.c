/* train.c — a run as the commands start it: adapter or all weights, settings, results, manifest.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/plan.h"

#include <string.h>

enum { MANIFEST_MAX_BYTES = 64 << 20 };
static const char *const SHARE_NAME[] = { "none", "batch", "groups" };
static const char *const SCHEDULE_NAME[] = { "constant", "linear", "cosine", "wsd" };

struct train_opts train_opts_default(void) {
    struct train_opts o = {
        .rank = 16, .alpha = 32, .which = ADAPT_DEFAULT, .epochs = 10, .batch_tokens = 1024, .micro_tokens = 1024,
        .max_sample_tokens = 512, .optim = OPTIM_OPTS_INIT, .seed = 42, .checkpoint_seconds = 60,
        .schedule = { .kind = SCHEDULE_COSINE, .warmup_steps = 10, .final_share = 0.1f, .decay_share = 0.2f } };
    return o;
}

/* key=value with as few digits as tell the number from its neighbours. */
static void put_float(struct sb *b, const char *key, float x) {
    char text[32];
    double back = 0;
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (!parse_f64(text, -1e300, 1e300, &back) && (float)back == x)
            break;
    }
    sb_addf(b, "%s=%s\n", key, text);
}

/* What determines the result, and nothing else: threads and micro-batches are free to differ. */
static void put_settings(struct sb *b, const struct train_opts *o, const char *base, uint64_t data_hash, const struct path *path, enum share_mode share) {
    const struct { const char *key; float value; } FLOATS[] = {
        { "lr", o->optim.lr }, { "beta1", o->optim.beta1 }, { "beta2", o->optim.beta2 }, { "eps", o->optim.eps },
        { "weight_decay", o->optim.weight_decay }, { "clip_norm", o->optim.clip_norm }, { "final_share", o->schedule.final_share },
        { "decay_share", o->schedule.decay_share }, { "soft_mix", o->loss.soft_mix }, { "learnt", o->learnt } };
    sb_addf(b, "base=%s\ndata=%016llx\nfull=%d\n", base, (unsigned long long)data_hash, o->full);
    if (share)
        sb_addf(b, "share_prefix=%s\n", SHARE_NAME[share]);
    if (!o->full) {
        sb_addf(b, "precision=%s\nrank=%d\nwhich=%u\nfirst_layer=%d\n", path->name, o->rank, o->which, o->first_layer);
        put_float(b, "alpha", o->alpha);
        if (o->rslora)
            sb_addc(b, "rslora=1\n");
        if (o->lora_dropout > 0)
            put_float(b, "lora_dropout", o->lora_dropout);
    }
    sb_addf(b, "optimizer=%s\n", o->optim.kind == OPTIM_ADAFACTOR ? "adafactor" : "adamw");
    if (o->optim.storage == OPTIM_BF16)
        sb_addc(b, "moments=bf16\n");
    sb_addf(b, "epochs=%d\nmax_steps=%lld\nbatch_tokens=%d\nseed=%llu\nschedule=%s\nwarmup_steps=%lld\ntotal_steps=%lld\n", o->epochs,
            (long long)o->max_steps, o->batch_tokens, (unsigned long long)o->seed, SCHEDULE_NAME[o->schedule.kind],
            (long long)o->schedule.warmup_steps, (long long)o->schedule.total_steps);
    for (size_t i = 0; i < ARRAY_LEN(FLOATS); i++)
        put_float(b, FLOATS[i].key, FLOATS[i].value);
}

/* Weights without a file are named by their content. */
static int base_name(struct model *m, char out[96], ilab_err *e) {
    if (m->gguf) {
        const char *hash = model_hash(m, e);
        if (!hash)
            return ILAB_E_IO;
        snprintf(out, 96, "%s", hash);
        return 0;
    }
    uint64_t h = m->params ? hash64(m->params, m->n_params * sizeof(float), 0) : 0;
    snprintf(out, 96, "weights-%016llx", (unsigned long long)h);
    return 0;
}

/* Which matrices the adapter has, by name. */
static void put_adapter(struct sb *b, const struct adapter *ad) {
    int n = 0, first = ad->n_layer, kinds = 0;
    unsigned seen = 0;
    for (int i = 0; i < ad->n_layer * ADAPT_COUNT; i++)
        if (ad->lora[i].on) {
            n++;
            seen |= 1u << (i % ADAPT_COUNT);
            first = first < i / ADAPT_COUNT ? first : i / ADAPT_COUNT;
        }
    sb_addf(b, "\"adapter\": {\"rank\": %d, \"alpha\": %g, \"rslora\": %s, \"parameters\": %zu, \"matrices\": %d, \"first_layer\": %d, \"modules\": [", ad->rank,
            (double)ad->alpha, ad->rslora ? "true" : "false", ad->n_params, n, first);
    for (int k = 0; k < ADAPT_COUNT; k++)
        if (seen >> k & 1)
            sb_addf(b, "%s\"%s\"", kinds++ ? ", " : "", LINEAR_NAME[k]);
    sb_addc(b, "]},\n  ");
}

int run_write_manifest(const struct run *r, const struct train_report *rep, ilab_err *e) {
    struct sb b;
    char cpu[128], when[64];
    sb_init(&b, 1 << 20);
    time_local(when, sizeof when, "%Y-%m-%dT%H:%M:%S%z");
    sb_addf(&b, "{\n  \"program\": \"ilab %s\",\n  \"finished\": \"%s\",\n  \"model\": ", ILAB_VERSION, when);
    sb_add_json_str(&b, sv_of(r->m->name));
    sb_addf(&b, ",\n  \"data\": {\"hash\": \"%016llx\", \"samples\": %zu, \"tokens\": %zu, \"targets\": %zu},\n  \"settings\": {",
            (unsigned long long)r->data_hash, r->d->n, r->d->n_tokens, r->d->n_targets);
    struct sv rest = sv_of(r->settings), line;
    for (int n = 0; sv_split(&rest, '\n', &line); n++) {
        ptrdiff_t at = sv_find(line, SV("="), 0);
        if (at < 0)
            continue;
        sb_addc(&b, n ? ", " : "");
        sb_add_json_str(&b, (struct sv){ line.p, (size_t)at });
        sb_addc(&b, ": ");
        sb_add_json_str(&b, (struct sv){ line.p + at + 1, line.n - (size_t)at - 1 });
    }
    sb_addf(&b, "},\n  \"result\": {\"steps\": %lld, \"tokens\": %lld, \"first_loss\": %.6f, \"last_loss\": %.6f",
            (long long)rep->steps, (long long)rep->tokens, rep->first_loss, rep->last_loss);
    if (rep->val_first > 0) /* else nothing was there to measure on */
        sb_addf(&b, ", \"val_first\": %.6f, \"val_loss\": %.6f", rep->val_first, rep->val_loss);
    sb_addc(&b, "},\n  ");
    if (r->ad)
        put_adapter(&b, r->ad);
    struct pool *pool = gemm_pool(r->g);
    sb_addf(&b, "\"time\": {\"seconds\": %.1f, \"tokens_per_s\": %.0f, \"gflops\": %.1f, \"threads\": %d, \"isa\": \"%s\", \"cpu\": ", rep->seconds,
            rep->tokens_per_s, rep->gflops, pool ? pool_threads(pool) : 1, gemm_kern(r->g)->isa);
    cpu_name(cpu, sizeof cpu);
    sb_add_json_str(&b, sv_of(cpu));
    if (r->paths) {
        sb_addc(&b, "},\n  \"paths\": ");
        path_report_json(r->paths, &b);
    } else {
        sb_addc(&b, "}");
    }
    sb_addf(&b, ",\n  \"peak_rss_bytes\": %zu\n}\n", rep->peak_rss_bytes);
    char *path = path_join(r->o->out_dir, "manifest.json");
    int rc = b.failed || !path ? err_set(e, ILAB_E_NOMEM, "no memory for the manifest") : file_write(path, b.p, b.n, e);
    mem_free(path);
    sb_release(&b);
    return rc;
}

int train_manifest_put(const char *out_dir, const char *key, json_t *value, ilab_err *e) {
    char *path = path_join(out_dir, "manifest.json"), *text = NULL;
    size_t n = 0;
    json_t *all = NULL;
    int rc = !path || !value ? err_set(e, ILAB_E_NOMEM, "no memory for the manifest") : file_read(path, MANIFEST_MAX_BYTES, &text, &n, e);
    if (!rc && !(all = json_parse((struct sv){ text, n }, path, e)))
        rc = ILAB_E_FORMAT;
    if (!rc && json_object_set(all, key, value))
        rc = err_set(e, ILAB_E_FORMAT, "'%s' is no manifest", path);
    if (!rc) {
        struct sb b;
        sb_init(&b, 2 * MANIFEST_MAX_BYTES);
        sb_add_json_py(&b, all, 2);
        sb_addc(&b, "\n");
        rc = b.failed ? err_set(e, ILAB_E_NOMEM, "no memory for the manifest") : file_write(path, b.p, b.n, e);
        sb_release(&b);
    }
    json_decref(all);
    json_decref(value);
    mem_free(text);
    mem_free(path);
    return rc;
}

/* loss.svg beside the metrics: a picture that cannot be drawn does not fail the run. */
static void draw(const char *out_dir, const char *title) {
    struct train_curve c;
    ilab_err why = { 0 };
    char *path = path_join(out_dir, "loss.svg");
    int rc = path ? train_curve_read(&c, out_dir, &why) : ILAB_E_NOMEM;
    if (!rc) {
        rc = train_curve_svg(&c, path, title, &why);
        train_curve_release(&c);
    }
    if (rc)
        log_warn("no loss.svg: %s", why.msg);
    mem_free(path);
}

int train_adapter(struct adapter **ad, const struct model *m, const struct train_opts *o, ilab_err *e) {
    if (!(o->lora_dropout >= 0 && o->lora_dropout < 1))
        return err_set(e, ILAB_E_INVALID, "a dropout of %g: it must be 0 or more and less than 1", (double)o->lora_dropout);
    int rc = adapter_new(ad, m, o->rank, o->alpha, o->which, o->first_layer, o->seed, e);
    if (rc)
        return rc;
    (*ad)->dropout = o->lora_dropout;
    if (o->rslora)
        adapter_set_rslora(*ad);
    return 0;
}

/* The adapter for other programs, beside the GGUF file; a family without such names does not fail the run. */
static void write_peft(const struct adapter *ad, const struct model *m, const char *out_dir) {
    char *dir = path_join(out_dir, "adapter_peft");
    ilab_err why = { 0 };
    if (dir && adapter_write_peft(ad, m, dir, &why))
        log_info("no adapter for PEFT beside the GGUF file: %s", why.msg);
    mem_free(dir);
}

/* An unfinished run decided what it shares when it began. */
static struct train_opts share_as_before(const struct train_opts *o, const char *base, uint64_t data_hash) {
    struct train_opts own = *o;
    struct train_found found;
    char value[32];
    if (own.share != SHARE_AUTO || !o->resume || train_find_run(o->out_dir, &found) != 1 || !run_stored(o->out_dir, base, data_hash, "seed", value, sizeof value))
        return own;
    if (!run_stored(o->out_dir, base, data_hash, "share_prefix", value, sizeof value))
        own.share = SHARE_OFF;
    else if (!strcmp(value, SHARE_NAME[SHARE_MODE_GROUPS]))
        own.share = SHARE_ON;
    return own;
}

static void tell_share(const struct train_plan *plan) {
    struct sb b;
    sb_init(&b, 4096);
    share_describe(&plan->share, &b);
    if (b.n)
        log_info("%s", b.p);
    sb_release(&b);
}

/* A base that does not fit: said before the work starts. */
static void tell_stream(const struct train_plan *plan, const struct model *m) {
    char size[32], room[32], part[32], speed[32], time[48];
    double bytes, rate;
    if (!plan->tape.pager)
        return;
    pager_expect(plan->tape.pager, 0, &bytes, &rate);
    format_bytes(size, sizeof size, (double)gguf_file_bytes(m->gguf));
    format_bytes(room, sizeof room, (double)plan->file_budget);
    format_bytes(part, sizeof part, bytes);
    format_bytes(speed, sizeof speed, rate);
    format_duration(time, sizeof time, rate > 0 ? bytes / rate : 0);
    log_warn("the model has %s, beside the training there is room for %s of it: %s are read from the disk up to twice for each %d tokens, at %s/s about %s each time",
             size, room, part, plan->micro, speed, time);
}

/* Process 0 alone looks at the folder and measures; all take what it chose. */
static int decide_together(const struct run *r, const char *base, struct train_opts *o, struct train_plan *plan, struct path_report *paths, struct communicator *c, ilab_err *e) {
    int rc = plan_make(plan, r->g, r->m, r->ad, r->d, r->val, o, e);
    if (!rc && c->rank == 0)
        tell_share(plan);
    if (!rc)
        rc = plan_open(plan, r->m, e);
    if (!rc && c->rank == 0)
        tell_stream(plan, r->m);
    if (!rc && c->rank == 0) /* before the paths are measured, which takes minutes with a large model */
        rc = run_check_disk(r, plan->states == STATES_DISK ? plan->states_bytes : 0, e);
    *paths = (struct path_report){ .chosen = &PATHS[0] };
    if (!rc && c->rank == 0)
        rc = path_decide(r->g, r->m, r->ad, r->d, o, base, r->data_hash, plan, paths, e);
    rc = communicator_agree(c, rc, e);
    int32_t chosen = rc ? 0 : (int32_t)(paths->chosen - PATHS);
    if (!rc)
        rc = communicator_share(c, &chosen, sizeof chosen, e);
    paths->chosen = &PATHS[chosen];
    return rc;
}

int train_run(struct gemm_ctx *g, struct model *m, const struct tokenizer *t, const struct dataset *d, const struct dataset *val,
              const struct train_opts *o, struct adapter **ad, struct train_report *rep, ilab_err *e) {
    (void)t;
    struct train_report own;
    struct run r = { .g = g, .m = m, .d = d, .val = val, .o = o, .data_hash = dataset_hash(d) };
    struct sb settings;
    struct path_report paths;
    struct train_plan plan;
    char base[96];
    rep = rep ? rep : &own;
    *rep = (struct train_report){ 0 };
    if (ad)
        *ad = NULL;
    if (o->full && !m->params)
        return err_set(e, ILAB_E_INVALID, "model '%s' was not opened for training of all weights", m->name);
    if (!o->full && !ad)
        return err_set(e, ILAB_E_INVALID, "an adapter run needs a place for the adapter");
    if (!o->out_dir)
        return err_set(e, ILAB_E_INVALID, "a training run needs a folder for its state");
    struct communicator one = COMMUNICATOR_ONE, *comm = o->comm ? o->comm : &one;
    int rc = base_name(m, base, e);
    if (!rc && !o->full)
        rc = train_adapter(&r.ad, m, o, e);
    rc = communicator_agree(comm, rc, e);
    if (rc) {
        adapter_free(r.ad);
        return rc;
    }
    struct train_opts resolved = comm->rank == 0 ? share_as_before(o, base, r.data_hash) : *o;
    rc = communicator_share(comm, &resolved.share, sizeof resolved.share, e);
    plan = (struct train_plan){ 0 };
    if (!rc)
        rc = decide_together(&r, base, &resolved, &plan, &paths, comm, e);
    if (rc) {
        rep->signal = signal_pending();
        plan_close(&plan);
        adapter_free(r.ad);
        return rc;
    }
    r.paths = &paths;
    r.plan = &plan;
    sb_init(&settings, 1 << 16);
    put_settings(&settings, o, base, r.data_hash, paths.chosen, plan.share.mode);
    r.settings = settings.p;
    rc = communicator_agree(comm, settings.failed ? err_set(e, ILAB_E_NOMEM, "no memory for a training run") : 0, e);
    if (!rc)
        rc = run_steps(&r, rep, e);
    plan_close(&plan);
    const int writes = comm->rank == 0;
    if (!rc && r.ad && writes) {
        char *path = path_join(o->out_dir, "adapter.gguf");
        rc = path ? adapter_write(r.ad, m, path, e) : err_set(e, ILAB_E_NOMEM, "no memory for a path");
        mem_free(path);
    }
    if (!rc && writes && r.ad)
        write_peft(r.ad, m, o->out_dir);
    if (!rc && writes)
        rc = run_write_manifest(&r, rep, e);
    if (!rc && writes)
        draw(o->out_dir, m->name);
    rc = communicator_agree(comm, rc, e);
    sb_release(&settings);
    if (rc)
        adapter_free(r.ad);
    else if (ad)
        *ad = r.ad;
    return rc;
}
