/* test_train_data.c — schedules, JSONL samples with masks, errors with file:line, packing's invariants.
 *
 * SPDX-License-Identifier: Apache-2.0 */
#include "train/run.h"

#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const SPECIAL[] = { "<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>" };
static struct tokenizer *tok;
static char dir[64];

static int set_up(void **state) {
    (void)state;
    ilab_err e;
    snprintf(dir, sizeof dir, "/tmp/ilab-train-data-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(bpe_train(&tok, SV("who founded the town of Velm? Anna founded it. I don't know."), 300, SPECIAL, 4, "smollm", &e), 0);
    tokenizer_set_chat_template(tok, chat_template_jinja(chat_template_named("granite")));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char path[96];
    snprintf(path, sizeof path, "%s/d.jsonl", dir);
    unlink(path);
    rmdir(dir);
    tokenizer_free(tok);
    return 0;
}

static int read_text(struct dataset *d, const char *text, int max_tokens, size_t *n_too_long, ilab_err *e) {
    char path[96];
    snprintf(path, sizeof path, "%s/d.jsonl", dir);
    *d = (struct dataset){ 0 };
    assert_int_equal(file_write(path, text, strlen(text), e), 0);
    return dataset_read_jsonl(d, path, tok, max_tokens, n_too_long, e);
}

static int near(double a, double b) { return fabs(a - b) < 1e-6; }

static void schedules(void **state) {
    (void)state;
    struct schedule_opts s = { .kind = SCHEDULE_CONSTANT, .warmup_steps = 4, .total_steps = 104, .final_share = 0.1f, .decay_share = 0.25f };
    assert_true(near(schedule_lr(&s, 1, 0), 0.25) && near(schedule_lr(&s, 1, 3), 1) && near(schedule_lr(&s, 1, 103), 1));
    s.kind = SCHEDULE_LINEAR;
    assert_true(near(schedule_lr(&s, 1, 4), 1) && near(schedule_lr(&s, 1, 54), 0.55) && near(schedule_lr(&s, 1, 104), 0.1));
    s.kind = SCHEDULE_COSINE;
    assert_true(near(schedule_lr(&s, 2, 54), 2 * 0.55) && near(schedule_lr(&s, 2, 1000), 0.2));
    s.kind = SCHEDULE_WSD;
    assert_true(near(schedule_lr(&s, 1, 77), 1) && near(schedule_lr(&s, 1, 78), 1) && near(schedule_lr(&s, 1, 91), 0.55));
    assert_true(near(schedule_lr(&s, 1, 104), 0.1));
    s = (struct schedule_opts){ .kind = SCHEDULE_COSINE };
    assert_true(near(schedule_lr(&s, 0.5f, 7), 0.5)); /* no total: constant */
}

static void decoded_targets(const struct sample *s, char *out, size_t cap) {
    struct sb b;
    sb_init(&b, 4096);
    for (int i = 0; i < s->n; i++)
        if (s->mask[i])
            tokenizer_piece(tok, s->id[i], 1, &b);
    snprintf(out, cap, "%s", b.p ? b.p : "");
    sb_release(&b);
}

static void sample_formats(void **state) {
    (void)state;
    static const struct { const char *line, *targets; } CASES[] = {
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"who?\"},{\"role\":\"assistant\",\"content\":\"Anna\"}]}", "Anna<|endoftext|>" },
        { "{\"system\":\"be short\",\"user\":\"who?\",\"assistant\":\"Anna\",\"text\":\"ignored\"}", "Anna<|endoftext|>" },
        { "{\"system\":null,\"user\":\"who?\",\"assistant\":\"Anna\"}", "Anna<|endoftext|>" },
        { "{\"text\":\"Anna founded it.\"}", "nna founded it.<|endoftext|>" },
        { "{\"text\":\"<|user|>\\nwho?\\n<|assistant|>\\nAnna<|endoftext|>\",\"loss\":\"answers\"}", "Anna<|endoftext|>" },
        { "{\"text\":\"<|user|>\\na?\\n<|assistant|>\\nb<|endoftext|>\\n<|user|>\\nc?\\n<|assistant|>\\nd<|endoftext|>\",\"loss\":\"answers\"}",
          "b<|endoftext|>d<|endoftext|>" },
        { "{\"text\":\"town\",\"loss\":\"answers\"}", "<|endoftext|>" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct dataset d;
        ilab_err e = { 0 };
        char got[256];
        int rc = read_text(&d, CASES[i].line, 0, NULL, &e);
        if (rc)
            fail_msg("%s: %s", CASES[i].line, e.msg);
        assert_int_equal(d.n, 1);
        decoded_targets(&d.v[0], got, sizeof got);
        if (i == 3 || i == 6) {                /* how the first token splits is the vocabulary's business */
            size_t n = strlen(got), m = strlen(CASES[i].targets);
            assert_true(n <= m ? strcmp(CASES[i].targets + m - n, got) == 0 : strcmp(got + n - m, CASES[i].targets) == 0);
        } else {
            assert_string_equal(got, CASES[i].targets);
        }
        dataset_release(&d);
    }
}

static void bad_lines(void **state) {
    (void)state;
    static const struct { const char *line, *says; } CASES[] = {
        { "{\"user\":\"a\",", "d.jsonl:2:" },
        { "[1]", "d.jsonl:2: a line must be a JSON object" },
        { "{\"user\":\"a\"}", "d.jsonl:2: neither" },
        { "{\"user\":\"a\",\"assistant\":3}", "d.jsonl:2: 'assistant' must be a string" },
        { "{\"messages\":[]}", "d.jsonl:2: 'messages'" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":null}]}", "d.jsonl:2: message 1" },
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", "d.jsonl:2: no assistant" },
        { "{\"messages\":[{\"role\":\"robot\",\"content\":\"a\"}]}", "d.jsonl:2: " },
        { "{\"text\":\"a b c\",\"loss\":\"some\"}", "d.jsonl:2: 'loss'" },
        { "{\"text\":\"a b c\",\"weight\":-1}", "d.jsonl:2: 'weight'" },
        { "{\"text\":\"a b c\",\"weight\":\"2\"}", "d.jsonl:2: 'weight'" },
        { "{\"user\":\"a\",\"assistant\":\"b\",\"soft\":[[[99999,-0.1]]]}", "d.jsonl:2: 'soft'" },
        { "{\"user\":\"a\",\"assistant\":\"b\",\"soft\":[[],[],[],[],[]]}", "d.jsonl:2: 'soft'" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct dataset d;
        ilab_err e = { 0 };
        char text[512];
        snprintf(text, sizeof text, "{\"user\":\"q\",\"assistant\":\"a\"}\n%s\n", CASES[i].line);
        int rc = read_text(&d, text, 0, NULL, &e);
        if (!rc || !strstr(e.msg, CASES[i].says))
            fail_msg("%s: rc %d, \"%s\" lacks \"%s\"", CASES[i].line, rc, e.msg, CASES[i].says);
        assert_int_equal(d.n >= 1, 1);
        dataset_release(&d);
    }
    ilab_err e;
    struct dataset d = { 0 };
    assert_int_not_equal(dataset_read_jsonl(&d, "/nonexistent/x.jsonl", tok, 0, NULL, &e), 0);
    dataset_release(&d);
}

/* An answer of nothing is taken, and counted. */
static void silent_answers(void **state) {
    (void)state;
    static const char text[] = "{\"user\":\"a\",\"assistant\":\"b\"}\n\n{\"text\":\"<|user|>\\na?\\n<|assistant|>\\n<|endoftext|>\",\"loss\":\"answers\"}\n"
                               "{\"user\":\"a\",\"assistant\":\"\"}\n{\"text\":\"<|user|>\\na?\\n<|assistant|>\\nb<|endoftext|>\",\"loss\":\"answers\"}\n";
    struct dataset d = { 0 };
    struct read_report r = { 0 };
    ilab_err e = { 0 };
    assert_int_equal(dataset_read_lines(&d, "d.jsonl", SV(text), 1, tok, &(struct read_opts){ 0 }, &r, &e), 0);
    assert_true(d.n == 4 && r.n_silent == 2 && r.first_silent == 3);
    dataset_release(&d);
}

/* A sample of 9 tokens and more, limits that cut the answer, all of it, or nothing. */
static void long_samples(void **state) {
    (void)state;
    static const char text[] = "{\"user\":\"a\",\"assistant\":\"b\"}\n{\"user\":\"who?\",\"assistant\":\"one two three four five\",\"soft\":[[[7,-0.5]],[[8,-0.5]],[[9,-0.5]]]}\n";
    ilab_err e = { 0 };
    char path[64] = "/tmp/ilab-long-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(file_write(path, text, sizeof text - 1, &e), 0);
    struct dataset all = { 0 };
    assert_int_equal(dataset_read(&all, path, tok, &(struct read_opts){ 0 }, NULL, &e), 0);
    assert_int_equal(all.n, 2);
    int n_short = all.v[0].n, n_long = all.v[1].n, first = 0;
    while (!all.v[1].mask[first])
        first++;
    for (int limit = n_short; limit <= n_long; limit++)
        for (int cut = 0; cut < 2; cut++) {
            struct dataset d = { 0 };
            struct read_report r;
            assert_int_equal(dataset_read(&d, path, tok, &(struct read_opts){ limit, cut }, &r, &e), 0);
            assert_int_equal(d.v[0].line, 1);
            assert_int_equal(r.n_left_out, !cut && limit < n_long);
            assert_int_equal(r.n_cut, cut && limit < n_long && limit > first);
            assert_int_equal(r.n_cut_empty, cut && limit <= first);
            assert_int_equal(d.n, 2 - r.n_left_out - r.n_cut_empty);
            if (r.n_cut) {
                assert_int_equal(d.v[1].n, limit);
                assert_int_equal(r.first_line, 2);
                assert_int_equal(r.longest, n_long);
                assert_int_equal(d.v[1].soft[first].id[0], 7);
            }
            dataset_release(&d);
        }
    dataset_release(&all);
    unlink(path);
}

static void soft_weight_and_length(void **state) {
    (void)state;
    struct dataset d;
    ilab_err e = { 0 };
    size_t n_too_long = 9;
    int rc = read_text(&d, "{\"user\":\"who?\",\"assistant\":\"b\",\"weight\":2.5,\"soft\":[[[7,-0.5],[8,-1.5]]]}\n\n"
                           "{\"user\":\"who founded the town of Velm? who founded the town of Velm? who?\",\"assistant\":\"b\"}\n", 16, &n_too_long, &e);
    assert_int_equal(rc, 0);
    assert_int_equal(d.n, 1);
    assert_int_equal(n_too_long, 1);
    assert_true(d.v[0].weight == 2.5f);
    int k = 0;
    while (!d.v[0].mask[k])
        k++;
    assert_int_equal(d.v[0].soft[k].n, 2);
    assert_int_equal(d.v[0].soft[k].id[1], 8);
    assert_true(d.v[0].soft[k].logp[0] == -0.5f);
    assert_int_equal(d.v[0].soft[k + 1].n, 0);
    struct packing *p;
    struct batch b;
    struct targets y;
    assert_int_equal(packing_new(&p, &d, 64, 64, 1, &e), 0);
    packing_micro(p, 0, 0, 0, &b, &y);
    assert_int_equal(y.n, 2);
    assert_int_equal(y.label[0], d.v[0].id[k]);
    assert_int_equal(y.row[0], k - 1);
    assert_int_equal(y.soft[0]->n, 2);
    assert_true(y.weight[1] == 2.5f && packing_weight(p, 0, 0) == 5.0);
    packing_free(p);
    uint64_t h = dataset_hash(&d);
    d.v[0].soft[k].logp[0] = -0.6f;
    assert_true(h != dataset_hash(&d));
    dataset_release(&d);
}

/* ---- packing ---- */

/* Sample i holds only the id i: so every row tells where it comes from. */
static void make_samples(struct dataset *d, int n) {
    struct rng r;
    rng_seed(&r, 5);
    *d = (struct dataset){ 0 };
    for (int i = 0; i < n; i++) {
        int32_t id[64];
        uint8_t mask[64];
        int len = 2 + (int)rng_below(&r, 40);
        for (int k = 0; k < len; k++) {
            id[k] = i;
            mask[k] = k == 1 || rng_below(&r, 2);
        }
        assert_int_equal(dataset_add_ids(d, id, mask, len, 1, NULL), 0);
    }
}

static int last_target(const struct sample *s) {
    int k = s->n - 1;
    while (!s->mask[k])
        k--;
    return k;
}

static void packing_invariants(void **state) {
    (void)state;
    enum { N = 300, BATCH = 256 };
    static const int MICRO[] = { 256, 64, 41 };
    const struct packing_cost cost = { .row = 1000, .square = 1, .target = 300 };
    struct dataset d;
    make_samples(&d, N);
    int64_t n_rows = 0;
    for (int i = 0; i < N; i++)
        n_rows += last_target(&d.v[i]);
    static int32_t order[3][2][N * 64];
    int n_order[3][2] = { { 0 } }, first_batches = 0;
    for (size_t c = 0; c < ARRAY_LEN(MICRO); c++) {
        struct packing *p;
        assert_int_equal(packing_new(&p, &d, BATCH, MICRO[c], 7, NULL), 0);
        for (int epoch = 1; epoch >= 0; epoch--) {      /* any order of epochs gives the same */
            int seen[N] = { 0 }, n_batch = packing_n_batches(p, epoch);
            if (epoch == 0)
                first_batches = first_batches ? first_batches : n_batch;
            for (int i = 0; i < n_batch; i++) {
                int rows = 0;
                double weight = 0;
                for (int k = 0; k < packing_n_micro(p, epoch, i); k++) {
                    struct batch b;
                    struct targets y;
                    packing_micro(p, epoch, i, k, &b, &y);
                    assert_in_range(b.n_row, 1, MICRO[c]);
                    rows += b.n_row;
                    weight += y.n;
                    int row = 0, target = 0;
                    for (int s = 0; s < b.n_seg; s++) {
                        int id = b.id[b.seg[s].row0];
                        const struct sample *v = &d.v[id];
                        assert_int_equal(b.seg[s].row0, row);
                        assert_int_equal(b.seg[s].pos0, 0);
                        assert_int_equal(b.seg[s].n_row, last_target(v));
                        seen[id]++;
                        for (int j = 0; j < b.seg[s].n_row; j++, row++) {
                            assert_int_equal(b.id[row], id);
                            order[c][epoch][n_order[c][epoch]++] = id;
                            if (v->mask[j + 1]) {
                                assert_int_equal(y.row[target], row);
                                assert_int_equal(y.label[target], id);
                                target++;
                            }
                        }
                    }
                    assert_int_equal(row, b.n_row);
                    assert_int_equal(target, y.n);
                    assert_null(y.weight);
                    assert_null(y.soft);
                }
                assert_in_range(rows, 1, BATCH);
                assert_true(rows > BATCH - 64 || i == n_batch - 1);
                assert_true(weight == packing_weight(p, epoch, i));
            }
            for (int i = 0; i < N; i++)
                assert_int_equal(seen[i], 1);
            assert_int_equal(n_order[c][epoch], n_rows);
        }
        assert_int_equal(packing_n_batches(p, 0), first_batches);
        /* Spans of a batch: those of two parts are those of the whole. */
        for (int i = 0; i < first_batches; i++) {
            int64_t whole[4], end[4], before, at = 0;
            assert_int_equal(packing_split(p, 0, 1, 4, cost, NULL), 0);
            assert_int_equal(packing_spans(p, 0, i, whole, &before), 4);
            assert_true(before == 0 && whole[3] > 0 && whole[3] <= BATCH);
            for (int part = 0; part < 2; part++) {
                assert_int_equal(packing_split(p, part, 2, 4, cost, NULL), 0);
                assert_int_equal(packing_spans(p, 0, i, end, &before), 2);
                assert_true(before == at && before + end[0] == whole[2 * part] && before + end[1] == whole[2 * part + 1]);
                for (int k = 0; k < packing_n_micro(p, 0, i); k++) {
                    struct batch b;
                    struct targets y;
                    packing_micro(p, 0, i, k, &b, &y);
                    at += b.n_row;
                }
                assert_true(at == before + end[1]);
            }
            assert_int_equal(packing_split(p, 0, 3, 4, cost, NULL), 0);
            assert_int_equal(packing_spans(p, 0, i, end, &before), 1);
        }
        packing_free(p);
    }
    for (int c = 1; c < 3; c++)
        for (int epoch = 0; epoch < 2; epoch++)
            assert_memory_equal(order[0][epoch], order[c][epoch], (size_t)n_rows * sizeof(int32_t));
    assert_memory_not_equal(order[0][0], order[0][1], (size_t)n_rows * sizeof(int32_t));
    struct packing *p;
    ilab_err e;
    assert_int_equal(packing_new(&p, &d, 256, 20, 7, &e), ILAB_E_LIMIT);
    struct dataset empty = { 0 };
    assert_int_equal(packing_new(&p, &empty, 256, 20, 7, &e), ILAB_E_INVALID);
    dataset_release(&d);
}

/* One AdamW step against the formulas of the paper, written out in double. */
static void adamw_step(void **state) {
    (void)state;
    enum { N = 70001 };
    struct optim_opts o = { .lr = 0.01f, .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f, .weight_decay = 0.1f, .clip_norm = 1 };
    float *w = mem_aligned(N * sizeof *w), *g = mem_aligned(N * sizeof *g), *w0 = mem_aligned(N * sizeof *w);
    struct param p[2] = { { .w = w, .g = g, .n = N - 1, .decay = 1 }, { .w = w + N - 1, .g = g + N - 1, .n = 1, .decay = 0 } };
    struct rng r;
    rng_seed(&r, 3);
    for (int i = 0; i < N; i++) {
        w0[i] = w[i] = (float)rng_normal(&r);
        g[i] = (float)rng_normal(&r);
    }
    struct pool *pool = pool_new(2);
    struct gemm_ctx *gc = gemm_ctx_new(kern_get(cpu_detect()), pool);
    struct optim *op;
    assert_int_equal(optim_new(&op, gc, p, 2, &o, NULL), 0);
    double squares = 0, worst = 0;
    for (int i = 0; i < N; i++)
        squares += (double)g[i] * (double)g[i];
    double *m = mem_calloc(N, sizeof *m), *v = mem_calloc(N, sizeof *v), *want = mem_calloc(N, sizeof *want);
    for (int i = 0; i < N; i++)
        want[i] = (double)w0[i];
    for (int step = 1; step <= 3; step++) {
        assert_true(fabs(optim_step(op, o.lr) / sqrt(squares) - 1) < 1e-9);
        for (int i = 0; i < N; i++) {
            double gi = (double)g[i] / sqrt(squares);
            m[i] = 0.9 * m[i] + 0.1 * gi;
            v[i] = 0.99 * v[i] + 0.01 * gi * gi;
            want[i] -= 0.01 * (m[i] / (1 - pow(0.9, step)) / (sqrt(v[i] / (1 - pow(0.99, step))) + 1e-8) + (i < N - 1 ? 0.1 * want[i] : 0));
        }
    }
    for (int i = 0; i < N; i++)
        worst = fmax(worst, fabs((double)w[i] - want[i]));
    assert_true(worst < 1e-5);
    g[5] = NAN;
    float before = w[0];
    assert_false(isfinite(optim_step(op, o.lr)));
    assert_true(w[0] == before);
    optim_free(op);
    gemm_ctx_free(gc);
    pool_free(pool);
    mem_free(w);
    mem_free(g);
    mem_free(w0);
    mem_free(m);
    mem_free(v);
    mem_free(want);
}

/* Moments in BF16: least squares of 40,001 numbers ends where F32 moments end; one thread and two give the same bits; half the state. */
static void bf16_moments(void **state) {
    (void)state;
    enum { N = 40001, STEPS = 150 };
    float *w[3], *g[3], *goal = mem_aligned(N * sizeof *goal);
    double loss[3] = { 0 }, first = 0;
    struct rng r;
    ilab_err e;
    rng_seed(&r, 3);
    for (int i = 0; i < N; i++)
        goal[i] = (float)rng_normal(&r);
    struct pool *pool = pool_new(2);
    for (int k = 0; k < 3; k++) { /* F32; BF16; BF16 with two threads */
        struct optim_opts o = { .storage = k ? OPTIM_BF16 : OPTIM_F32, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-8f };
        struct gemm_ctx *ctx = gemm_ctx_new(kern_get(cpu_detect()), k == 2 ? pool : NULL);
        w[k] = mem_aligned(N * sizeof(float));
        g[k] = mem_aligned(N * sizeof(float));
        struct param p = { .w = w[k], .g = g[k], .n = N };
        struct optim *op;
        assert_int_equal(optim_new(&op, ctx, &p, 1, &o, &e), 0);
        assert_int_equal(optim_bytes(&p, 1, &o) - optim_bytes(&p, 1, &(struct optim_opts){ .storage = OPTIM_BF16 }), k ? 0 : 4 * N);
        rng_seed(&r, 5);
        for (int t = 0; t <= STEPS; t++) {
            loss[k] = 0;
            for (int i = 0; i < N; i++) {
                const float d = w[k][i] - goal[i];
                loss[k] += (double)d * (double)d / N;
                g[k][i] = d + 0.3f * (float)rng_normal(&r);
            }
            if (!k && !t) first = loss[k];
            (void)optim_step(op, 0.03f * (float)(STEPS - t) / STEPS);
        }
        optim_free(op);
        gemm_ctx_free(ctx);
    }
    assert_true(loss[0] < 0.05 * first && fabs(loss[1] - loss[0]) < 0.02 * loss[0]);
    assert_memory_equal(w[1], w[2], N * sizeof(float));
    assert_true(memcmp(w[0], w[1], N * sizeof(float)) != 0);
    const struct optim_opts slow = { .storage = OPTIM_BF16, .beta1 = 0.9f, .beta2 = 0.999f }, other = { .storage = OPTIM_BF16, .kind = OPTIM_ADAFACTOR };
    struct optim *none;
    assert_int_equal(optim_new(&none, NULL, NULL, 0, &slow, &e), ILAB_E_INVALID);
    assert_int_equal(optim_new(&none, NULL, NULL, 0, &other, &e), ILAB_E_INVALID);
    for (int k = 0; k < 3; k++) {
        mem_free(w[k]);
        mem_free(g[k]);
    }
    mem_free(goal);
    pool_free(pool);
}

/* Adafactor beside the paper's formulas in double: a matrix, a vector, a row that never has a gradient; one thread and two. */
static void adafactor_steps(void **state) {
    (void)state;
    enum { R = 300, C = 260, V = 70, STEPS = 4 };
    static float w[2][R * C + V], g[2][R * C + V];
    static double want[R * C + V], row[R], col[C], vec[V], u[R * C + V];
    const float lr = 0.01f, decay = 0.1f;
    ilab_err e;
    struct rng r;
    rng_seed(&r, 3);
    for (int i = 0; i < R * C + V; i++)
        want[i] = w[0][i] = w[1][i] = (float)rng_normal(&r);
    struct optim *o[2];
    struct param p[2][2];
    struct pool *pool = pool_new(2);
    struct gemm_ctx *ctx[2] = { gemm_ctx_new(kern_get(cpu_detect()), NULL), gemm_ctx_new(kern_get(cpu_detect()), pool) };
    struct optim_opts opts = { .kind = OPTIM_ADAFACTOR, .weight_decay = decay };
    for (int k = 0; k < 2; k++) {
        p[k][0] = (struct param){ .w = w[k], .g = g[k], .n = R * C, .decay = 1, .cols = C };
        p[k][1] = (struct param){ .w = w[k] + R * C, .g = g[k] + R * C, .n = V };
        assert_int_equal(optim_new(&o[k], ctx[k], p[k], 2, &opts, &e), 0);
    }
    for (int t = 1; t <= STEPS; t++) {
        for (int i = 0; i < R * C + V; i++)
            g[0][i] = g[1][i] = i / C == 7 ? 0 : (float)(rng_normal(&r) * (1 + i % 5));
        const double beta = 1 - pow(t, -0.8);
        double mean = 0, ss[2] = { 0 };
        for (int i = 0; i < R; i++) {
            double s = 0;
            for (int k = 0; k < C; k++)
                s += (double)g[0][i * C + k] * (double)g[0][i * C + k] + 1e-30;
            row[i] = beta * row[i] + (1 - beta) * s / C;
            mean += row[i] / R;
        }
        for (int k = 0; k < C; k++) {
            double s = 0;
            for (int i = 0; i < R; i++)
                s += (double)g[0][i * C + k] * (double)g[0][i * C + k] + 1e-30;
            col[k] = beta * col[k] + (1 - beta) * s / R;
        }
        for (int i = 0; i < R * C; i++) {
            u[i] = (double)g[0][i] / sqrt(row[i / C] * col[i % C] / mean);
            ss[0] += u[i] * u[i] / (R * C);
        }
        for (int i = 0; i < V; i++) {
            double x = (double)g[0][R * C + i];
            vec[i] = beta * vec[i] + (1 - beta) * (x * x + 1e-30);
            u[R * C + i] = x / sqrt(vec[i]);
            ss[1] += u[R * C + i] * u[R * C + i] / V;
        }
        for (int i = 0; i < R * C + V; i++) {
            double rms = sqrt(ss[i >= R * C]);
            want[i] -= (i < R * C ? (double)lr * (double)decay * want[i] : 0) + (double)lr * u[i] / (rms > 1 ? rms : 1);
        }
        for (int k = 0; k < 2; k++)
            optim_step(o[k], lr);
    }
    assert_memory_equal(w[0], w[1], sizeof w[0]);
    for (int i = 0; i < R * C + V; i++)
        if (!(fabs(want[i] - (double)w[0][i]) < 2e-6 * (1 + fabs(want[i]))))
            fail_msg("element %d: %g instead of %g", i, (double)w[0][i], want[i]);
    for (int k = 0; k < 2; k++) {
        optim_free(o[k]);
        gemm_ctx_free(ctx[k]);
    }
    pool_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules), cmocka_unit_test(sample_formats), cmocka_unit_test(bad_lines), cmocka_unit_test(soft_weight_and_length), cmocka_unit_test(long_samples), cmocka_unit_test(silent_answers), cmocka_unit_test(adafactor_steps),
        cmocka_unit_test(packing_invariants), cmocka_unit_test(adamw_step), cmocka_unit_test(bf16_moments),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
