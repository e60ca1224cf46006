/* test_train_run.c — whole runs on tiny models: kill and resume, threads, micro-batches, refusals, a model from nothing.
 *
 * Every run is a child process, so that it can be killed for real and starts from a clean state.  SPDX-License-Identifier: Apache-2.0 */
#include "train/train.h"

#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static char root[64];

static int set_up(void **state) {
    (void)state;
    snprintf(root, sizeof root, "/tmp/ilab-train-run-XXXXXX");
    return mkdtemp(root) == NULL;
}

static int tear_down(void **state) {
    (void)state;
    const char *argv[] = { "rm", "-rf", root, NULL };
    int status;
    return child_run(argv, NULL, 4096, NULL, NULL, NULL, &status, NULL);
}

struct plan { const char *name; int full, tied, threads, micro, resume, steps, stop_at; float lr; int64_t checkpoint_steps; int scratch, adafactor, alike /* samples begin alike */, share; };

/* Sequences that a model can learn: id[i+1] = id[i] + step, modulo the vocabulary. alike: behind one of two beginnings. */
static void make_data(struct dataset *d, int alike) {
    struct rng r;
    rng_seed(&r, 11);
    *d = (struct dataset){ 0 };
    for (int i = 0; i < 60; i++) {
        int32_t id[64];
        uint8_t mask[64] = { 0 };
        const int common = alike ? 20 : 0;
        int n = 6 + (int)rng_below(&r, 20), step = 1 + (int)rng_below(&r, 3), at = (int)rng_below(&r, 64);
        for (int k = 0; k < common; k++)
            id[k] = (i % 2 + 5 * k * k) % 64;
        for (int k = 0; k < n; k++) {
            id[common + k] = (at + k * step) % 64;
            mask[common + k] = k > 1;
        }
        if (dataset_add_ids(d, id, mask, common + n, i % 5 ? 1.0f : 0.5f, NULL))
            _exit(9);
    }
}

static int run_scratch(const char *name, int threads, struct train_report *rep, ilab_err *e);

/* The body of a child: 0, or the error's code as a positive number. The message goes to NAME.err. */
static int run(const struct plan *p) {
    struct hparams hp = { .n_layer = 2, .n_embd = 32, .n_head = 4, .n_kv_head = 2, .head_dim = 8, .n_ff = 48, .n_vocab = 64, .n_ctx = 64,
                          .rope_dim = 8, .norm_eps = 1e-5f, .rope_base = 10000, .tied = p->tied };
    struct train_opts o = train_opts_default();
    struct train_report rep;
    struct adapter *ad = NULL;
    struct dataset d;
    struct model *m;
    ilab_err e = { 0 };
    char out[160], path[192];
    snprintf(out, sizeof out, "%s/%s", root, p->name);
    make_data(&d, p->alike);
    struct pool *pool = pool_new(p->threads ? p->threads : 1);
    struct gemm_ctx *g = gemm_ctx_new(kern_get(cpu_detect()), pool);
    if (model_new(&m, &hp, 5, &e))
        return 8;
    o.full = p->full;
    o.optim.kind = p->adafactor ? OPTIM_ADAFACTOR : OPTIM_ADAMW;
    o.rank = 4;
    o.alpha = 8;
    o.epochs = 0;
    o.max_steps = p->steps ? p->steps : 120;
    o.batch_tokens = p->alike ? 400 : 160;
    o.micro_tokens = p->micro ? p->micro : o.batch_tokens;
    o.share = (enum share_prefix)p->share;
    o.optim.lr = p->lr > 0 ? p->lr : 0.01f;
    o.checkpoint_seconds = 0;
    o.checkpoint_steps = p->checkpoint_steps;
    o.out_dir = out;
    o.resume = p->resume;
    o.quiet = 1;
    log_set_level(LOG_ERROR);
    int rc = train_run(g, m, NULL, &d, p->stop_at ? &d : NULL, &o, &ad, &rep, &e);
    if (rc) {
        snprintf(path, sizeof path, "%s.err", out);
        file_write(path, e.msg, strlen(e.msg), NULL);
    } else if (p->full) {
        snprintf(path, sizeof path, "%s/weights.bin", out);
        file_write(path, m->params, m->n_params * sizeof(float), NULL);
    }
    if (!rc && !(rep.last_loss < rep.first_loss))
        rc = -90;
    adapter_free(ad);
    model_free(m);
    dataset_release(&d);
    gemm_ctx_free(g);
    pool_free(pool);
    return -rc;
}

/* kill_at > 0: SIGKILL as soon as metrics.jsonl has so many lines; signal: that signal instead. Returns the exit code or 128 + signal. */
static int in_child(const struct plan *p, int kill_at, int with) {
    char path[192];
    int status = 0;
    snprintf(path, sizeof path, "%s/%s/metrics.jsonl", root, p->name);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal_install();
        _exit(p->scratch ? -run_scratch(p->name, 1, NULL, NULL) : run(p));
    }
    while (kill_at) {
        char *text = NULL;
        size_t n = 0;
        int lines = 0;
        if (waitpid(pid, &status, WNOHANG) == pid)  /* a busy machine: it ended before it could be killed */
            return WEXITSTATUS(status);
        if (!file_read(path, 1 << 20, &text, &n, NULL))
            for (size_t i = 0; i < n; i++)
                lines += text[i] == '\n';
        mem_free(text);
        if (lines >= kill_at) {
            kill(pid, with);
            break;
        }
        usleep(200);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void assert_same_file(const char *a, const char *b, const char *file) {
    char path[2][192], *text[2];
    size_t n[2];
    for (int i = 0; i < 2; i++) {
        ilab_err e;
        snprintf(path[i], sizeof path[i], "%s/%s/%s", root, i ? b : a, file);
        if (file_read(path[i], 1 << 26, &text[i], &n[i], &e))
            fail_msg("%s", e.msg);
    }
    if (n[0] != n[1] || memcmp(text[0], text[1], n[0]) != 0)
        fail_msg("'%s' and '%s' differ", path[0], path[1]);
    mem_free(text[0]);
    mem_free(text[1]);
}

static void assert_error(const char *name, const char *says) {
    char path[192], *text;
    size_t n;
    snprintf(path, sizeof path, "%s/%s.err", root, name);
    assert_int_equal(file_read(path, 1 << 16, &text, &n, NULL), 0);
    if (!strstr(text, says))
        fail_msg("\"%s\" lacks \"%s\"", text, says);
    mem_free(text);
}

static int count_lines(const char *name, const char *file) {
    char path[192], *text;
    size_t n;
    int lines = 0;
    snprintf(path, sizeof path, "%s/%s/%s", root, name, file);
    assert_int_equal(file_read(path, 1 << 24, &text, &n, NULL), 0);
    for (size_t i = 0; i < n; i++)
        lines += text[i] == '\n';
    mem_free(text);
    return lines;
}

static void assert_killed_or_done(int rc) { assert_true(rc == 0 || rc == 128 + SIGKILL); }

static void killed_and_resumed(void **state) {
    (void)state;
    static const int AT[] = { 9, 40, 101 };
    struct plan whole = { .name = "whole", .checkpoint_steps = 7 }, cut = { .name = "cut", .checkpoint_steps = 7, .resume = 1 };
    assert_int_equal(in_child(&whole, 0, 0), 0);
    assert_int_equal(in_child(&cut, AT[0], SIGKILL), 128 + SIGKILL);
    for (size_t i = 1; i < ARRAY_LEN(AT); i++)
        assert_killed_or_done(in_child(&cut, AT[i], SIGKILL));
    assert_int_equal(in_child(&cut, 0, 0), 0);
    assert_same_file("whole", "cut", "adapter.gguf");
    assert_int_equal(count_lines("cut", "metrics.jsonl"), 120);
    assert_int_equal(in_child(&cut, 0, 0), 0);              /* finished: nothing is trained again */
    assert_same_file("whole", "cut", "adapter.gguf");
}

static void killed_full_run(void **state) {
    (void)state;
    struct plan whole = { .name = "fwhole", .full = 1, .tied = 1 }, cut = { .name = "fcut", .full = 1, .tied = 1, .checkpoint_steps = 11, .resume = 1 };
    assert_int_equal(in_child(&whole, 0, 0), 0);
    assert_int_equal(in_child(&cut, 50, SIGKILL), 128 + SIGKILL);
    assert_int_equal(in_child(&cut, 0, 0), 0);
    assert_same_file("fwhole", "fcut", "weights.bin");
    struct plan a = { .name = "awhole", .full = 1, .tied = 1, .adafactor = 1 }, b = a;
    b.name = "acut";
    b.checkpoint_steps = 11;
    b.resume = 1;
    b.threads = 2;
    b.micro = 57;
    assert_int_equal(in_child(&a, 0, 0), 0);
    assert_killed_or_done(in_child(&b, 50, SIGKILL));
    assert_int_equal(in_child(&b, 0, 0), 0);
    assert_same_file("awhole", "acut", "weights.bin");
}

static void interrupted(void **state) {
    (void)state;
    struct plan p = { .name = "int", .resume = 1, .steps = 4000, .stop_at = 1 };
    assert_int_equal(in_child(&p, 20, SIGINT), -ILAB_E_CANCEL);
    assert_error("int", "the state is saved in");
    p.lr = 0.5f;
    assert_int_equal(in_child(&p, 0, 0), -ILAB_E_INVALID);
    assert_error("int", "lr is '0.5', was '0.01");
}

static void threads_and_micro_batches(void **state) {
    (void)state;
    struct plan p[] = { { .name = "t1" }, { .name = "t2", .threads = 2 }, { .name = "m4", .micro = 40 }, { .name = "t2m3", .threads = 2, .micro = 57 } };
    for (int full = 0; full < 2; full++)
        for (size_t i = 0; i < ARRAY_LEN(p); i++) {
            p[i].full = p[i].tied = full;
            assert_int_equal(in_child(&p[i], 0, 0), 0);
            if (i)
                assert_same_file("t1", p[i].name, full ? "weights.bin" : "adapter.gguf");
        }
}

static void estimate_changes_nothing(void **state) {
    (void)state;
    struct hparams hp = { .n_layer = 2, .n_embd = 32, .n_head = 4, .n_kv_head = 2, .head_dim = 8, .n_ff = 48, .n_vocab = 64, .n_ctx = 64,
                          .rope_dim = 8, .norm_eps = 1e-5f, .rope_base = 10000, .tied = 1 };
    struct model *m;
    struct dataset d;
    ilab_err e = { 0 };
    struct gemm_ctx *g = gemm_ctx_new(kern_get(cpu_detect()), NULL);
    assert_int_equal(model_new(&m, &hp, 5, &e), 0);
    make_data(&d, 0);
    uint64_t h = hash64(m->params, m->n_params * sizeof(float), 1);
    for (int full = 0; full < 2; full++) {
        struct train_opts o = train_opts_default();
        struct train_estimate est;
        o.full = full;
        assert_int_equal(train_estimate(g, m, &d, full ? &d : NULL, &o, &est, &e), 0);
        assert_true(est.n_row > 4 && est.tokens_per_s > 0 && est.seconds_total > 0 && est.share_of_peak > 0);
        size_t sum = 0;
        for (int i = 0; i < est.n_row; i++)
            sum += est.row[i].bytes;
        assert_int_equal(sum, est.total_bytes);
    }
    assert_true(h == hash64(m->params, m->n_params * sizeof(float), 1));
    model_free(m);
    dataset_release(&d);
    gemm_ctx_free(g);
}

/* Beginnings that samples share: the same bits for threads, micro-batches and a kill; the unfinished run's choice is kept, another one is refused. */
static void shared_beginnings(void **state) {
    (void)state;
    static const char *const NAME[2][2] = { { "swhole", "scut" }, { "gwhole", "gcut" } };
    for (int share = SHARE_AUTO; share <= SHARE_ON; share++) {
        struct plan whole = { .name = NAME[share][0], .steps = 40, .alike = 1, .share = share }, cut = whole;
        cut.name = NAME[share][1], cut.threads = 2, cut.micro = 256, cut.checkpoint_steps = 3, cut.resume = 1;
        assert_int_equal(in_child(&whole, 0, 0), 0);
        int rc = in_child(&cut, 15, SIGKILL);
        assert_killed_or_done(rc);
        cut.share = SHARE_OFF;
        if (rc) {
            assert_int_equal(in_child(&cut, 0, 0), -ILAB_E_INVALID);
            assert_error(cut.name, "share_prefix");
        }
        cut.share = rc ? SHARE_AUTO : share;
        assert_int_equal(in_child(&cut, 0, 0), 0);
        assert_same_file(whole.name, cut.name, "adapter.gguf");
    }
}

/* ---- a model from nothing ---- */

static void write_scratch(const char *name, const char *data, long tokens, double lr, const char *more) {
    char text[2048], path[192];
    snprintf(text, sizeof text,
             "name: toy\nn_embd: 32\nn_layer: 2\nn_head: 2\nn_kv_head: 1\nhead_dim: 16\nn_ff: 64\nn_ctx: 64\nvocab_size: 300\n"
             "special_tokens: ['<|endoftext|>', '<|system|>', '<|user|>', '<|assistant|>']\ndata: [%s]\nvalidation: %s\ntokens: %ld\n"
             "batch_tokens: 256\nmicro_tokens: 128\nlr: %g\nwarmup_steps: 5\ndecay_share: 0.25\nout: %s/%s\noutput: %s/%s.gguf\n"
             "output_type: F32\n%s", data, data, tokens, lr, root, name, root, name, more);
    snprintf(path, sizeof path, "%s/%s.yaml", root, name);
    assert_int_equal(file_write(path, text, strlen(text), NULL), 0);
}

static int run_scratch(const char *name, int threads, struct train_report *rep, ilab_err *e) {
    char path[192];
    snprintf(path, sizeof path, "%s/%s.yaml", root, name);
    struct scratch_opts o = { .config = path, .quiet = 1 };
    struct pool *pool = pool_new(threads);
    struct gemm_ctx *g = gemm_ctx_new(kern_get(cpu_detect()), pool);
    log_set_level(LOG_ERROR);
    int rc = train_from_scratch(g, &o, rep, e);
    gemm_ctx_free(g);
    pool_free(pool);
    return rc;
}

static void from_nothing(void **state) {
    (void)state;
    static const char *const TOWN[] = { "Velm", "Arko", "Bint", "Cass", "Dorn", "Emst", "Fahr", "Gorl" };
    char data[160], a[192], b[192];
    struct sb text;
    struct train_report rep;
    ilab_err e = { 0 };
    const long tokens = cpu_detect() == 0 ? 48000 : 150000; /* the scalar level needs thirty times as long for one */
    sb_init(&text, 1 << 20);
    for (int i = 0; i < 64; i++)
        sb_addf(&text, i % 2 ? "{\"text\":\"The town %s lies on river %d.\"}\n" : "{\"user\":\"Where is %s?\",\"assistant\":\"On river %d.\"}\n",
                TOWN[i / 2 % 8], i / 2 % 8);
    snprintf(data, sizeof data, "%s/towns.jsonl", root);
    assert_int_equal(file_write(data, text.p, text.n, &e), 0);
    sb_release(&text);

    write_scratch("s1", data, tokens, 0.01, "");
    if (run_scratch("s1", 1, &rep, &e))
        fail_msg("%s", e.msg);
    assert_true(rep.first_loss > 5 && rep.val_loss < 0.5);
    assert_in_range(rep.tokens, tokens - 2000, tokens + 2000);

    /* The file opens as a model of its own, with its vocabulary and template. */
    struct model *m;
    struct tokenizer *t;
    snprintf(a, sizeof a, "%s/s1.gguf", root);
    assert_int_equal(model_open(&m, a, 0, NULL, &e), 0);
    assert_int_equal(tokenizer_from_gguf(&t, m->gguf, &e), 0);
    assert_int_equal(tokenizer_size(t), m->hp.n_vocab);
    tokenizer_free(t);
    model_free(m);

    /* Two threads and a second command: the same bits; nothing is trained twice. */
    write_scratch("s2", data, tokens, 0.01, "");
    assert_int_equal(run_scratch("s2", 2, &rep, &e), 0);
    assert_int_equal(run_scratch("s2", 2, &rep, &e), 0);
    assert_true(rep.resumed);
    snprintf(b, sizeof b, "%s/s2.gguf", root);
    char hex[2][65];
    assert_int_equal(sha256_file(a, hex[0], &e) || sha256_file(b, hex[1], &e), 0);
    assert_string_equal(hex[0], hex[1]);

    /* Killed twice, the second time in the decay. */
    struct plan cut = { .name = "s5", .scratch = 1 };
    write_scratch("s5", data, tokens, 0.01, "checkpoint_minutes: 0.001\n");
    assert_int_equal(in_child(&cut, 200, SIGKILL), 128 + SIGKILL);
    assert_killed_or_done(in_child(&cut, 500, SIGKILL));
    assert_int_equal(in_child(&cut, 0, 0), 0);
    snprintf(b, sizeof b, "%s/s5.gguf", root);
    assert_int_equal(sha256_file(b, hex[1], &e), 0);
    assert_string_equal(hex[0], hex[1]);

    /* A little more: on from before the decay. */
    write_scratch("s5", data, tokens + 10000, 0.01, "checkpoint_minutes: 1\n");
    assert_int_equal(run_scratch("s5", 1, &rep, &e), 0);
    assert_true(rep.resumed);

    /* More tokens: on from before the decay. */
    int64_t before = rep.steps;
    write_scratch("s2", data, tokens + tokens / 3, 0.005, "");
    assert_int_equal(run_scratch("s2", 2, &rep, &e), 0);
    assert_true(rep.resumed && rep.steps > before);
    assert_in_range(rep.tokens, tokens + tokens / 3 - 2000, tokens + tokens / 3 + 2000);

    write_scratch("s2", data, tokens + tokens / 3, 0.005, "rope_base: 5000\n");
    assert_int_equal(run_scratch("s2", 1, &rep, &e), ILAB_E_INVALID);
    assert_non_null(strstr(e.msg, "model.rope_base is '5000', was '10000'"));
    write_scratch("s3", data, 1000, 0.005, "n_layers: 3\n");
    assert_int_equal(run_scratch("s3", 1, &rep, &e), ILAB_E_FORMAT);
    assert_non_null(strstr(e.msg, "s3.yaml:22:1: unknown key 'n_layers'; did you mean 'n_layer'?"));
    snprintf(b, sizeof b, "%s/bad.jsonl", root);
    assert_int_equal(file_write(b, "{\"text\":\"Velm\"}\n{\"text\":3}\n", 27, &e), 0);
    write_scratch("s4", b, 1000, 0.005, "");
    assert_int_equal(run_scratch("s4", 1, &rep, &e), ILAB_E_FORMAT);
    assert_non_null(strstr(e.msg, "bad.jsonl:2: neither"));
}

/* ---- two generations, damage, blame, long samples ---- */

/* Flips a byte in the middle of a file, or cuts it. */
static void damage(const char *name, const char *file, int cut) {
    char path[192], *text;
    size_t n;
    snprintf(path, sizeof path, "%s/%s/%s", root, name, file);
    assert_int_equal(file_read(path, 1 << 26, &text, &n, NULL), 0);
    text[n / 2] ^= 1;
    assert_int_equal(file_write(path, text, cut ? n / 3 : n, NULL), 0);
    mem_free(text);
}

static void damaged_checkpoint(void **state) {
    (void)state;
    struct plan whole = { .name = "dwhole" }, p = { .name = "dam", .checkpoint_steps = 9, .resume = 1, .steps = 120 };
    struct train_found f;
    char dir[160];
    snprintf(dir, sizeof dir, "%s/dam", root);
    assert_int_equal(in_child(&whole, 0, 0), 0);
    assert_int_equal(train_find_run(dir, &f), 0);
    for (int cut = 0; cut < 2; cut++) {
        p.resume = cut;                                        /* the first begins anew */
        assert_killed_or_done(in_child(&p, 50, SIGKILL));
        assert_true(train_find_run(dir, &f) > 0);
        assert_true(f.step >= 18 && f.total_steps == 120);
        int64_t newest = f.step;
        damage("dam", "checkpoint.bin", cut);
        assert_true(train_find_run(dir, &f) > 0);
        assert_int_equal(f.step, newest - (newest == 120 ? 3 : 9));
        p.resume = 1;
        assert_int_equal(in_child(&p, 0, 0), 0);
        assert_same_file("dwhole", "dam", "adapter.gguf");
        assert_int_equal(count_lines("dam", "metrics.jsonl"), 120);
    }
    damage("dam", "checkpoint.bin", 0);
    damage("dam", "checkpoint-previous.bin", 1);
    assert_int_equal(in_child(&p, 0, 0), -ILAB_E_FORMAT);
    assert_error("dam", "--fresh begins the run anew");
    p.resume = 0;
    assert_int_equal(in_child(&p, 0, 0), 0);
    assert_same_file("dwhole", "dam", "adapter.gguf");
}

/* An embedding that is no number: whoever uses that token is named. */
static void blames_samples(void **state) {
    (void)state;
    struct hparams hp = { .n_layer = 2, .n_embd = 32, .n_head = 4, .n_kv_head = 2, .head_dim = 8, .n_ff = 48, .n_vocab = 64, .n_ctx = 64,
                          .rope_dim = 8, .norm_eps = 1e-5f, .rope_base = 10000, .tied = 0 };
    struct model *m;
    struct dataset d = { 0 };
    struct adapter *ad = NULL;
    ilab_err e = { 0 };
    char out[160];
    snprintf(out, sizeof out, "%s/blame", root);
    struct gemm_ctx *g = gemm_ctx_new(kern_get(cpu_detect()), NULL);
    struct train_opts o = train_opts_default();
    assert_int_equal(model_new(&m, &hp, 5, &e), 0);
    for (int i = 0; i < 8; i++) {
        int32_t id[] = { 1, 2, i == 5 ? 60 : 3, 4 };
        assert_int_equal(dataset_add_ids(&d, id, (uint8_t[]){ 0, 1, 1, 1 }, 4, 1, &e), 0);
        d.v[i].line = 10 + i;
    }
    for (int c = 0; c < hp.n_embd; c++)
        ((float *)(uintptr_t)m->embedding.w.data)[60 * hp.n_embd + c] = NAN;
    o.out_dir = out;
    o.quiet = 1;
    o.max_steps = 5;
    log_set_level(LOG_ERROR);
    assert_int_equal(train_run(g, m, NULL, &d, NULL, &o, &ad, NULL, &e), ILAB_E_INVALID);
    if (!strstr(e.msg, "at step 1, because of sample 6 (line 15):"))
        fail_msg("%s", e.msg);
    /* In the middle of a run: named, and the state before it stays, sound and with the same end. */
    struct train_found found;
    snprintf(out, sizeof out, "%s/blame2", root);
    o.batch_tokens = o.micro_tokens = 4;
    o.checkpoint_steps = 1;
    o.max_steps = 0, o.epochs = 2, o.seed = 3;
    for (int again = 0; again < 2; again++) {
        assert_int_equal(train_run(g, m, NULL, &d, NULL, &o, &ad, NULL, &e), ILAB_E_INVALID);
        if (!strstr(e.msg, "(sample 6 (line 15)): begin anew") || !strstr(e.msg, "; the last checkpoint is kept"))
            fail_msg("%s", e.msg);
        assert_int_equal(train_find_run(out, &found), 1);
        assert_true(found.step > 0 && found.step < 8);
        char step[32];
        snprintf(step, sizeof step, "at step %d,", (int)found.step + 1);
        assert_non_null(strstr(e.msg, step));
        o.resume = 1;
    }
    o.batch_tokens = o.micro_tokens = 64, o.max_steps = 5, o.resume = 0;
    o.optim.lr = 1e30f;                                        /* the rate, not a sample */
    d.n = 5;
    assert_int_equal(train_run(g, m, NULL, &d, NULL, &o, &ad, NULL, &e), ILAB_E_INVALID);
    if (!strstr(e.msg, "lower learning rate than 1e+30"))
        fail_msg("%s", e.msg);
    model_free(m);
    dataset_release(&d);
    gemm_ctx_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_checkpoint), cmocka_unit_test(blames_samples),
        cmocka_unit_test(killed_and_resumed), cmocka_unit_test(killed_full_run), cmocka_unit_test(interrupted),
        cmocka_unit_test(shared_beginnings), cmocka_unit_test(threads_and_micro_batches), cmocka_unit_test(estimate_changes_nothing), cmocka_unit_test(from_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
