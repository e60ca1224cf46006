/* bench_train.c — how much of the machine training uses, and how fast PyTorch trains the same models.
 *
 *   bench_train [--json] [--rounds N] [--batch N] [--threads N] [--level avx2|avx512] [--job WORD] [--no-peer] [--path NAME]
 *               [--models DIR] [--steps N] [--row-tokens N] [--memory BYTES] [--disturbed]
 * At every level of the CPU (that ILAB_CPU leaves), the best first; avx512 with VNNI where the CPU has it, as the program itself. Each round measures, one after the other: the multiply-adds a second that registers alone allow (fma_peak.h), a step
 * of ours, and a step of PyTorch's (tools/peer_torch.py, where it is installed) on the same shape, number of tokens and threads;
 * printed are medians over the rounds and medians of the rounds' own ratios. A round in which other programs took more
 * than 3 % of the cores is repeated (at most three times as many rounds are tried; the least disturbed ones count). A step is --batch tokens (samples of 256 in
 * micro-batches of 2048, each token a target), gradient clipping and AdamW included. The
 * peer's libraries are held to the level, too.
 * GFLOP = 10⁹ floating-point operations, a multiply-add counts two. Only useful ones count: 6·N·T for training all
 * weights, 4·N·T for LoRA (N: weights of the linear layers and the output; LoRA's own products do not count), and of
 * attention the half below the diagonal, two products forward and four backward.
 * Rows of real shapes (--models DIR: files that build/tools/make_model wrote; a row without its file is left out visibly) count a LoRA's
 * products, too, take --steps steps of --row-tokens tokens (512, packed from samples of half of it) a round, have their peak memory measured, and
 * recompute as many layers as --memory (7e9) asks for. PyTorch trains the same shape in F32 with a frozen base; where its weights need more memory
 * than is free, it is left out. The blog's job is 101 samples of 300 tokens, one epoch, extrapolated from steps of two such samples.
 * SPDX-License-Identifier: Apache-2.0 */
#include "fma_peak.h"
#include "train/train.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { SEQUENCE = 256, MICRO = 2048, RANK = 16, MAX_ROUNDS = 50, TRIES = 3, MAX_SEGMENTS = MICRO, JOB_SAMPLES = 101, JOB_SAMPLE = 300 };

static const struct shape { const char *name; struct hparams hp; } SHAPES[] = {
    { "512 wide", { .n_layer = 8, .n_embd = 512, .n_head = 8, .n_kv_head = 8, .head_dim = 64, .n_ff = 1536, .n_vocab = 4096, .n_ctx = 512,
                    .rope_dim = 64, .norm_eps = 1e-5f, .rope_base = 10000, .tied = 1 } },
    { "starter", { .n_layer = 4, .n_embd = 256, .n_head = 4, .n_kv_head = 2, .head_dim = 64, .n_ff = 768, .n_vocab = 4096, .n_ctx = 512,
                   .rope_dim = 64, .norm_eps = 1e-5f, .rope_base = 10000, .tied = 1 } },
};
/* base: tensor type of the file that LoRA reads its frozen weights from; -1: F32 weights in memory. file: of --models, made by
 * `make_model SHAPE MIX`; its shape is the file's. job: samples of that many tokens, two a step. */
static const struct job { const char *name; int shape, lora, base; const char *file; int job; } JOBS[] = {
    { "512 wide, all weights", 0, 0, -1 },
    { "512 wide, LoRA 16", 0, RANK, -1 },
    { "starter, all weights", 1, 0, -1 },
    { "starter, LoRA 16", 1, RANK, -1 },
    { "starter in Q8_0, LoRA 16", 1, RANK, QT_Q8_0 },
    { "7B Q4_K_M, LoRA 16", -1, RANK, -1, "7b-Q4_K_M.gguf" },
    { "7B Q4_K_M, blog's job", -1, RANK, -1, "7b-Q4_K_M.gguf", JOB_SAMPLE },
    { "1.1B Q4_K_M, LoRA 16", -1, RANK, -1, "1.1b-Q4_K_M.gguf" },
    { "135M Q8_0, LoRA 16", -1, RANK, -1, "135m-Q8_0.gguf" },
    { "135M F16, LoRA 16", -1, RANK, -1, "135m-F16.gguf" },
    { "135M, all weights", -1, 0, -1, "135m-F16.gguf" },
    { "Mixtral 2 layers, LoRA 16", -1, RANK, -1, "mixtral2l-Q4_K_M.gguf" },
};

static int64_t n_round = 3, batch_tokens = 8192, n_thread, n_step = 1, row_tokens = 512, memory = 7000000000;
static int json, n_json, with_peer = 1, any_round;
static const char *only_job, *only_level, *python, *torch_version = "", *models, *path_name = "fast";
static char peer_script[512];

/* One thread without a peer: the time it really had, so that other programs disturb less. Else the clock on the wall. */
static double clock_now(void)
{
    struct timespec t;
    if (n_thread > 1 || python || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t))
        return now_seconds();
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct sample_row { double peak, tokens, peer, others; /* share of the cores that other programs had */ };
/* A step is n_micro parts of `micro` tokens in samples of `sequence`. */
struct trainer {
    struct model *m; struct adapter *ad; struct tape *t; struct optim *o; int32_t id[MICRO], label[MICRO], row[MICRO]; struct rng rng;
    int micro, sequence, n_micro, recompute; double flop /* useful, of a token */; size_t peak_bytes, peer_bytes;
};

static double linear_weights(const struct hparams *h)
{
    double c = h->n_embd, q = (double)h->n_head * h->head_dim, kv = (double)h->n_kv_head * h->head_dim;
    double ffn = h->n_expert ? 3 * c * h->n_ff_expert * h->n_expert_used + c * h->n_expert : 3 * c * h->n_ff;
    return h->n_layer * (2 * c * q + 2 * c * kv + ffn) + c * h->n_vocab;
}

/* Of the adapter, for a token: forward, and back to A, B and x. */
static double adapter_flop(const struct adapter *ad, const struct hparams *h)
{
    double sum = 0;
    for (int i = 0; ad && i < ad->n_layer * ADAPT_COUNT; i++) {
        const struct lora *l = &ad->lora[i];
        const double used = l->on && l->n_matrix > 1 ? h->n_expert_used : 1;
        sum += l->on ? 6.0 * used * l->rank * ((double)l->n_in + l->n_out) : 0;
    }
    return sum;
}

/* Of one token. A pair of positions costs 2·D multiply-adds a head forward and 4·D backward. */
static double token_flop(const struct hparams *h, int lora, int sequence)
{
    double pairs = (sequence + 1) / 2.0; /* a token */
    return (lora ? 4 : 6) * linear_weights(h) + 12.0 * h->n_head * h->head_dim * pairs * h->n_layer;
}

/* ---- other programs ---- */
/* Seconds that the cores this process may use were busy or taken by a hypervisor, less those that it and its children used. */
static double others_seconds(void)
{
    cpu_set_t mine;
    char *text = NULL;
    double busy = 0;
    struct rusage own[2];
    FILE *f = sched_getaffinity(0, sizeof mine, &mine) ? NULL : fopen("/proc/stat", "r");
    size_t cap = 0;
    while (f && getline(&text, &cap, f) > 0) {
        unsigned long long t[8];
        int cpu;
        if (sscanf(text, "cpu%d %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, t, t + 1, t + 2, t + 3, t + 4, t + 5, t + 6, t + 7) == 9 &&
            cpu >= 0 && cpu < CPU_SETSIZE && CPU_ISSET(cpu, &mine))
            busy += (double)(t[0] + t[1] + t[2] + t[5] + t[6] + t[7]); /* not: idle, waiting for I/O */
    }
    if (f)
        fclose(f);
    free(text);
    busy /= (double)sysconf(_SC_CLK_TCK);
    getrusage(RUSAGE_SELF, &own[0]);
    getrusage(RUSAGE_CHILDREN, &own[1]);
    for (int i = 0; i < 2; i++)
        busy -= (double)(own[i].ru_utime.tv_sec + own[i].ru_stime.tv_sec) + 1e-6 * (double)(own[i].ru_utime.tv_usec + own[i].ru_stime.tv_usec);
    return busy;
}

static int less_disturbed(const void *a, const void *b)
{
    double x = ((const struct sample_row *)a)->others, y = ((const struct sample_row *)b)->others;
    return (x > y) - (x < y);
}

/* ---- ours ---- */
static int base_from_file(struct model **m, int type, struct gemm_ctx *g, ilab_err *e)
{
    char path[] = "/tmp/bench_train_XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0)
        return err_set(e, ILAB_E_IO, "no temporary file");
    close(fd);
    struct model *read = NULL;
    int rc = model_write(*m, NULL, type, path, NULL, NULL, e);
    if (!rc)
        rc = model_open(&read, path, 0, g, e);
    if (!rc) {
        model_free(*m);
        *m = read;
    }
    unlink(path); /* the map stays */
    return rc;
}

static void trainer_free(struct trainer *t)
{
    optim_free(t->o);
    tape_free(t->t);
    adapter_free(t->ad);
    model_free(t->m);
}

static int model_of(struct trainer *t, const struct job *j, struct gemm_ctx *g, ilab_err *e)
{
    if (!j->file) {
        int rc = model_new(&t->m, &SHAPES[j->shape].hp, 1, e);
        return !rc && j->base >= 0 ? base_from_file(&t->m, j->base, g, e) : rc;
    }
    char *file = path_join(models, j->file);
    int rc = model_open(&t->m, file, j->lora ? 0 : MODEL_TRAINABLE, g, e);
    mem_free(file);
    return rc;
}

/* As few layers as possible run twice, so that the rest fits --memory. */
static void fit_memory(struct trainer *t, struct tape_opts *o)
{
    struct plan_row row[32];
    const double other = (double)(t->m->gguf && t->ad ? gguf_file_bytes(t->m->gguf) : 4 * t->m->n_params) + 12.0 * (double)(t->ad ? t->ad->n_params : 0);
    for (o->recompute = 0; o->recompute < t->m->hp.n_layer; o->recompute++) {
        double bytes = other;
        int n = tape_plan_with(t->m, t->ad, t->micro, t->micro, o, row, ARRAY_LEN(row));
        for (int i = 0; i < n; i++)
            bytes += (double)row[i].bytes;
        if (bytes <= 0.97 * (double)memory)
            return;
    }
}

static int trainer_new(struct trainer *t, const struct job *j, struct gemm_ctx *g, ilab_err *e)
{
    struct optim_opts opts = OPTIM_OPTS_INIT;
    struct tape_opts tape = { 0 };
    struct param *param;
    *t = (struct trainer){ .micro = MICRO, .sequence = SEQUENCE, .n_micro = (int)(batch_tokens / MICRO) };
    rng_seed(&t->rng, 1);
    int rc = model_of(t, j, g, e);
    if (!rc && j->lora)
        rc = adapter_new(&t->ad, t->m, j->lora, 2.0f * (float)j->lora, ADAPT_DEFAULT, 0, 1, e);
    if (rc)
        return rc;
    if (j->file) {
        t->micro = j->job ? 2 * j->job : (int)row_tokens;
        t->sequence = j->job ? j->job : t->micro / 2;
        t->n_micro = 1;
        tape.lean = 1;
        fit_memory(t, &tape);
        t->recompute = tape.recompute;
    }
    t->flop = token_flop(&t->m->hp, j->lora, t->sequence) + (j->file ? adapter_flop(t->ad, &t->m->hp) : 0);
    rc = model_rope_reserve(t->m, t->sequence, e);
    if (!rc)
        rc = tape_new_with(&t->t, g, t->m, t->ad, t->micro, t->micro, &tape, e);
    if (rc)
        return rc;
    if (t->ad)
        tape_set_path(t->t, path_by_name(path_name));
    int n = tape_params(t->t, &param);
    return optim_new(&t->o, g, param, n, &opts, e);
}

static int trainer_step(struct trainer *t, int n_micro, ilab_err *e)
{
    static struct segment seg[MAX_SEGMENTS];
    double loss = 0, weight = 0;
    int n_vocab = t->m->hp.n_vocab, n_seg = t->micro / t->sequence;
    for (int s = 0; s < n_seg; s++)
        seg[s] = (struct segment){ .row0 = s * t->sequence, .n_row = t->sequence };
    tape_zero_grad(t->t);
    for (int i = 0; i < n_micro; i++) {
        for (int r = 0; r < t->micro; r++) {
            t->id[r] = (int32_t)rng_below(&t->rng, (uint32_t)n_vocab);
            t->label[r] = (int32_t)rng_below(&t->rng, (uint32_t)n_vocab);
            t->row[r] = r;
        }
        struct batch b = { t->micro, t->id, n_seg, seg };
        struct targets y = { .n = t->micro, .row = t->row, .label = t->label };
        int rc = tape_step(t->t, &b, &y, &(struct loss_opts){ 0 }, 1.0f / (float)(t->micro * n_micro), 1, &loss, &weight, e);
        if (rc)
            return rc;
    }
    tape_finish_grad(t->t);
    optim_step(t->o, 1e-4f);
    return isfinite(loss) ? 0 : err_set(e, ILAB_E_INVALID, "the loss is no number");
}

/* ---- the peer ---- */
static int run_peer(const char *const *argv, double *tokens, size_t *bytes)
{
    char *out = NULL;
    int status = 1;
    ilab_err e = { 0 };
    int rc = child_run(argv, NULL, 1 << 20, &out, NULL, NULL, &status, &e);
    const char *key = "\"tokens_per_s\": ", *at = rc || status || !out ? NULL : strstr(out, key);
    *tokens = at ? strtod(at + strlen(key), NULL) : 0;
    at = rc || status || !out ? NULL : strstr(out, "\"peak_rss_bytes\": ");
    *bytes = at ? (size_t)strtod(at + 18, NULL) : 0;
    static char version[32];
    at = rc || status || !out ? NULL : strstr(out, "\"torch\": \"");
    if (at && !*version)
        snprintf(version, sizeof version, "%.*s", (int)strcspn(at + 10, "\""), at + 10);
    torch_version = version;
    mem_free(out);
    return !rc && !status;
}

static double peer_tokens(struct trainer *t, const struct job *j)
{
    const struct hparams *h = &t->m->hp;
    const double c = h->n_embd, weights = linear_weights(h) + (h->tied ? 0 : c * h->n_vocab);
    /* what F32 weights, their gradients and moments, and activations of every product need, about */
    const double needs = weights * (j->lora ? 4 : 16) + (double)t->micro * (h->n_layer * (14.0 * c + 5.0 * h->n_ff) + 3.0 * h->n_vocab) * 4;
    if (h->n_expert || needs > (double)mem_available())
        return 0;
    const int64_t value[] = { h->n_embd, h->n_layer, h->n_head, h->n_kv_head, h->n_ff, h->n_vocab, j->lora, t->sequence, t->micro,
                              (int64_t)t->micro * t->n_micro, n_thread, j->file ? n_step : 1, h->tied };
    static const char *const name[] = { "--n-embd", "--n-layer", "--n-head", "--n-kv-head", "--n-ff", "--n-vocab", "--lora", "--sequence",
                                        "--micro", "--batch", "--threads", "--steps", "--tied" };
    char text[ARRAY_LEN(value)][24];
    const char *argv[3 + 2 * ARRAY_LEN(value)] = { python, peer_script };
    double tokens;
    for (size_t i = 0; i < ARRAY_LEN(value); i++) {
        snprintf(text[i], sizeof text[i], "%lld", (long long)value[i]);
        argv[2 + 2 * i] = name[i];
        argv[3 + 2 * i] = text[i];
    }
    run_peer(argv, &tokens, &t->peer_bytes);
    return tokens;
}

/* The first python that has PyTorch; NULL: none. */
static void find_peer(const char *program)
{
    const char *const candidates[] = { getenv("PYTHON"), "/usr/bin/python3", "python3" };
    const char *slash = strrchr(program, '/'), *beside = "tools/peer_torch.py";
    snprintf(peer_script, sizeof peer_script, "%s", beside);
    if (!file_exists(peer_script) && slash) /* build/tools/bench_train was started from elsewhere */
        snprintf(peer_script, sizeof peer_script, "%.*s/../../%s", (int)(slash - program), program, beside);
    for (size_t i = 0; i < ARRAY_LEN(candidates) && !python; i++) {
        double unused;
        size_t bytes;
        if (candidates[i] && run_peer((const char *const[]){ candidates[i], peer_script, "--check", NULL }, &unused, &bytes))
            python = candidates[i];
    }
}

/* ---- figures ---- */
static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum figure { PEAK, TOKENS, PEER_TOKENS, SHARE, PEER_SHARE, RATIO };
static double median(const struct sample_row *s, int n, enum figure what, double flop)
{
    double v[MAX_ROUNDS];
    for (int i = 0; i < n; i++) {
        double ours = s[i].tokens, peer = s[i].peer, peak = s[i].peak > 0 ? s[i].peak * 1e9 : 1e30;
        const double value[] = { s[i].peak, ours, peer, ours * flop / peak, peer * flop / peak, peer > 0 ? ours / peer : 0 };
        v[i] = value[what];
    }
    qsort(v, (size_t)n, sizeof *v, ascending);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void report(const char *isa, const struct job *j, const struct trainer *t, const struct sample_row *s, int n)
{
    double flop = t->flop, m[6];
    for (int f = PEAK; f <= RATIO; f++)
        m[f] = median(s, n, (enum figure)f, flop);
    if (!json) {
        printf("%-6s %-25s %7.1f %7.0f %8.1f %7.1f %%", isa, j->name, flop * 1e-6, m[TOKENS], m[TOKENS] * flop * 1e-9, 100 * m[SHARE]);
        if (m[PEER_TOKENS] > 0)
            printf("  %7.0f %8.1f %7.1f %%   × %.2f", m[PEER_TOKENS], m[PEER_TOKENS] * flop * 1e-9, 100 * m[PEER_SHARE], m[RATIO]);
        if (j->file)
            printf("   memory %.2f GB%s", (double)t->peak_bytes * 1e-9, t->peer_bytes ? "" : j->lora ? ", no peer" : "");
        if (t->peer_bytes && j->file)
            printf(" (%.2f)", (double)t->peer_bytes * 1e-9);
        if (t->recompute)
            printf(", %d layers twice", t->recompute);
        if (j->job)
            printf(", the job of %d × %d tokens: %.1f min", JOB_SAMPLES, j->job, JOB_SAMPLES * j->job / m[TOKENS] / 60);
        printf("   (peak %.1f", m[PEAK]);
        printf(s[n - 1].others > 0.03 ? "; DISTURBED: other programs had up to %.0f %% of the cores)\n" : ")\n", 100 * s[n - 1].others);
    } else {
        printf("%s\n {\"level\":\"%s\",\"job\":\"%s\",\"mflop_per_token\":%.3f,\"peak_gflops\":%.2f,\"tokens_per_s\":%.1f,\"gflops\":%.2f,\"share_of_peak\":%.4f,"
               "\"torch_tokens_per_s\":%.1f,\"torch_share_of_peak\":%.4f,\"ratio\":%.3f,\"peak_rss_bytes\":%zu,\"torch_peak_rss_bytes\":%zu,"
               "\"recomputed_layers\":%d,\"job_seconds\":%.0f,\"rounds\":[",
               n_json++ ? "," : "", isa, j->name, flop * 1e-6, m[PEAK], m[TOKENS], m[TOKENS] * flop * 1e-9, m[SHARE], m[PEER_TOKENS], m[PEER_SHARE], m[RATIO], t->peak_bytes, t->peer_bytes, t->recompute,
               j->job ? JOB_SAMPLES * j->job / m[TOKENS] : 0);
        for (int i = 0; i < n; i++)
            printf("%s{\"peak_gflops\":%.2f,\"tokens_per_s\":%.1f,\"torch_tokens_per_s\":%.1f,\"others\":%.3f}", i ? "," : "", s[i].peak, s[i].tokens,
                   s[i].peer, s[i].others);
        printf("]}");
    }
    fflush(stdout);
}

/* Libraries that do not know a newer CPU take less than it has; below its best level the peer has no more than we. */
static void peer_level(unsigned cpu)
{
    setenv("OPENBLAS_CORETYPE", cpu & CPU_AVX512 ? "SkylakeX" : "Haswell", 1);
    setenv("ATEN_CPU_CAPABILITY", cpu & CPU_AVX512 ? "avx512" : "avx2", 1);
}

/* The high-water mark of resident memory, which a write to clear_refs sets back. */
static void forget_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (f) {
        fputs("5", f);
        fclose(f);
    }
}
static size_t peak_since(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f) && sscanf(line, "VmHWM: %llu", &kib) != 1) {
    }
    if (f)
        fclose(f);
    return (size_t)kib * 1024;
}

static int bench_job(const struct job *j, struct gemm_ctx *g, ilab_err *e)
{
    static struct trainer t;
    struct sample_row s[TRIES * MAX_ROUNDS];
    forget_peak();
    int n = 0, rc = trainer_new(&t, j, g, e);
    const int64_t steps = j->file ? n_step : 1;
    if (!rc)
        rc = trainer_step(&t, 1, e); /* touches all memory */
    for (int quiet = 0; !rc && quiet < n_round && n < TRIES * n_round; n++) {
        double others = others_seconds(), start = now_seconds();
        s[n].peak = peak_gflops(gemm_kern(g)->isa, gemm_pool(g), 0.3, clock_now);
        double begin = clock_now();
        for (int64_t i = 0; !rc && i < steps; i++)
            rc = trainer_step(&t, t.n_micro, e);
        s[n].tokens = (double)t.micro * t.n_micro * (double)steps / (clock_now() - begin);
        if (n == 0)
            t.peak_bytes = peak_since();
        s[n].peer = python ? peer_tokens(&t, j) : 0;
        s[n].others = (others_seconds() - others) / ((now_seconds() - start) * cpu_count());
        quiet += any_round || s[n].others < 0.03;
    }
    qsort(s, (size_t)n, sizeof *s, less_disturbed);
    if (!rc)
        report(gemm_kern(g)->isa, j, &t, s, (int)n_round);
    trainer_free(&t);
    return rc;
}

/* 1: the row's file is there, or it needs none. */
static int has_file(const struct job *j)
{
    if (!j->file)
        return 1;
    char *file = models ? path_join(models, j->file) : NULL;
    int there = file && file_exists(file) == 1;
    if (!there && (models || only_job))
        fprintf(stderr, "bench_train: SKIPPED '%s': %s is not in %s (build/tools/make_model makes it)\n", j->name, j->file, models ? models : "--models DIR");
    mem_free(file);
    return there;
}

static int parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *next = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--json") == 0)
            json = 1;
        else if (strcmp(argv[i], "--no-peer") == 0)
            with_peer = 0;
        else if (strcmp(argv[i], "--disturbed") == 0)
            any_round = 1;
        else if (strcmp(argv[i], "--job") == 0 && *next)
            only_job = argv[++i];
        else if (strcmp(argv[i], "--models") == 0 && *next)
            models = argv[++i];
        else if (strcmp(argv[i], "--path") == 0 && path_by_name(next))
            path_name = argv[++i];
        else if (strcmp(argv[i], "--level") == 0 && *next)
            only_level = argv[++i];
        else if ((strcmp(argv[i], "--rounds") == 0 && parse_i64(next, 1, MAX_ROUNDS, &n_round) == 0) ||
                 (strcmp(argv[i], "--batch") == 0 && parse_i64(next, MICRO, 1 << 24, &batch_tokens) == 0) ||
                 (strcmp(argv[i], "--steps") == 0 && parse_i64(next, 1, 1000, &n_step) == 0) ||
                 (strcmp(argv[i], "--row-tokens") == 0 && parse_i64(next, 32, MICRO, &row_tokens) == 0) ||
                 (strcmp(argv[i], "--memory") == 0 && parse_i64(next, 1 << 20, INT64_MAX, &memory) == 0) ||
                 (strcmp(argv[i], "--threads") == 0 && parse_i64(next, 1, 512, &n_thread) == 0))
            i++;
        else
            return -1;
    }
    batch_tokens = batch_tokens / MICRO * MICRO;
    return 0;
}

static int bench_level(unsigned cpu, struct pool *pool, ilab_err *e)
{
    struct gemm_ctx *g = gemm_ctx_new(kern_get(cpu), pool);
    int rc = g ? 0 : err_set(e, ILAB_E_NOMEM, "no memory");
    peer_level(cpu);
    for (size_t i = 0; !rc && i < ARRAY_LEN(JOBS); i++)
        if ((!only_job || strstr(JOBS[i].name, only_job)) && has_file(&JOBS[i]))
            rc = bench_job(&JOBS[i], g, e);
    gemm_ctx_free(g);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct { const char *isa; unsigned cpu; } LEVELS[] = { { "avx512", CPU_AVX2 | CPU_AVX512 }, { "avx2", CPU_AVX2 }, { "ref", 0 } };
    if (parse(argc, argv)) {
        fprintf(stderr, "usage: bench_train [--json] [--rounds N] [--batch TOKENS] [--threads N] [--level avx2|avx512] [--job WORD] [--no-peer] [--path NAME]\n"
                        "                   [--models DIR] [--steps N] [--row-tokens N] [--memory BYTES] [--disturbed]\n");
        return 2;
    }
    unsigned cpu = cpu_detect();
    char name[128];
    ilab_err e = { 0 };
    struct pool *pool = pool_new((int)n_thread);
    if (!pool) {
        fprintf(stderr, "bench_train: no memory\n");
        return 1;
    }
    n_thread = pool_threads(pool);
    if (with_peer)
        find_peer(argv[0]);
    cpu_name(name, sizeof name);
    if (json)
        printf("{\"cpu\":\"%s\",\"threads\":%d,\"batch\":%lld,\"torch\":\"%s\",\"results\":[", name, (int)n_thread, (long long)batch_tokens,
               python ? torch_version : "");
    else
        printf("%s, %d threads; steps of %lld tokens, medians of %lld rounds; PyTorch: %s\n%-6s %-25s %7s %7s %8s %9s  %7s %8s %9s   %s\n", name,
               (int)n_thread, (long long)batch_tokens, (long long)n_round, python ? torch_version : with_peer ? "SKIPPED, not installed" : "left out",
               "level", "", "MFLOP/t", "ours/s", "GFLOP/s", "of peak", python ? "torch/s" : "", python ? "GFLOP/s" : "", python ? "of peak" : "",
               python ? "ratio" : "");
    int rc = 0;
    for (size_t l = 0; !rc && l < ARRAY_LEN(LEVELS); l++) /* the scalar twin only when asked for: it has no peak loop */
        if ((cpu & LEVELS[l].cpu) == LEVELS[l].cpu && (only_level ? strcmp(only_level, LEVELS[l].isa) == 0 : LEVELS[l].cpu != 0))
            rc = bench_level(LEVELS[l].cpu | (LEVELS[l].cpu & CPU_AVX512 ? cpu & CPU_AVX512_VNNI : 0), pool, &e);
    if (json)
        printf("\n]}\n");
    if (rc)
        fprintf(stderr, "bench_train: %s\n", e.msg);
    pool_free(pool);
    return rc != 0;
}
