/* test_train_together.c — several processes that train together, connected by shared memory: whatever goes wrong in one of them, all end with
 * the same error, and none waits for ever; balanced parts.
 *
 * Processes are children with an alarm clock: one that waits too long is killed, which fails the test.  SPDX-License-Identifier: Apache-2.0 */
#include "train/balance.h"
#include "train/run.h"

#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 4, ROOM = 1 << 18, SECONDS = 300 };
struct shared {
    pthread_barrier_t all;
    char data[MOST][ROOM];
    struct said { int rc, signal; long allocations_left; char msg[1024]; int64_t steps; } said[MOST];
};
static struct shared *shared;
static char root[64];

static void meet(void) { pthread_barrier_wait(&shared->all); }

static int gather(struct communicator *c, const void *own, size_t n, void *all) {
    if (n > ROOM)
        return 1;
    memcpy(shared->data[c->rank], own, n);
    meet();
    for (int i = 0; i < c->size; i++)
        memcpy((char *)all + (size_t)i * n, shared->data[i], n);
    meet();
    return 0;
}

static int broadcast(struct communicator *c, void *p, size_t n, int from) {
    for (size_t at = 0; at < n; at += ROOM) {
        const size_t k = n - at < ROOM ? n - at : ROOM;
        if (c->rank == from)
            memcpy(shared->data[0], (char *)p + at, k);
        meet();
        memcpy((char *)p + at, shared->data[0], k);
        meet();
    }
    return 0;
}

static int sum(struct communicator *c, float *x, size_t n) {
    for (size_t at = 0, most = ROOM / sizeof *x; at < n; at += most) {
        const size_t k = n - at < most ? n - at : most;
        memcpy(shared->data[c->rank], x + at, k * sizeof *x);
        meet();
        for (size_t i = 0; i < k; i++) {
            float v[MOST] = { 0 };
            for (int r = 0; r < c->size; r++)
                v[r] = ((float *)(void *)shared->data[r])[i];
            for (int step = 1; step < c->size; step *= 2)
                for (int r = 0; r + step < c->size; r += 2 * step)
                    v[r] += v[r + step];
            x[at + i] = v[0];
        }
        meet();
    }
    return 0;
}

static void leave(struct communicator *c) { (void)c, meet(); }
static void stop_all(struct communicator *c, int code) { (void)c, _exit(code); }

static int set_up(void **state) {
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(root, sizeof root, "/tmp/ilab-together-XXXXXX");
    return shared == MAP_FAILED || mkdtemp(root) == NULL;
}

static int tear_down(void **state) {
    (void)state;
    const char *argv[] = { "rm", "-rf", root, NULL };
    int status;
    return child_run(argv, NULL, 4096, NULL, NULL, NULL, &status, NULL);
}

/* who: the process in which it happens; fail_at: this allocation of train_run fails; signal: sent to itself when the run begins; file_bytes: no file may be
 * larger; poison: a token's embedding is no number. */
struct plan { const char *name; int size, who, signal, poison, resume, full, states, bf16; long fail_at, file_bytes; };

static void train(const struct plan *p, int rank) {
    struct hparams hp = { .n_layer = 3, .n_embd = 32, .n_head = 4, .n_kv_head = 2, .head_dim = 8, .n_ff = 48, .n_vocab = 64, .n_ctx = 64,
                          .rope_dim = 8, .norm_eps = 1e-5f, .rope_base = 10000, .tied = 0 };
    struct communicator c = { .rank = rank, .size = p->size, .sum = sum, .gather = gather, .broadcast = broadcast, .close = leave, .stop_all = stop_all };
    struct train_opts o = train_opts_default();
    struct train_report rep = { 0 };
    struct adapter *ad = NULL;
    struct dataset d = { 0 };
    struct model *m;
    ilab_err e = { 0 };
    struct rng r;
    char out[160];
    snprintf(out, sizeof out, "%s/%s", root, p->name);
    rng_seed(&r, 3);
    for (int i = 0; i < 24; i++) {
        int32_t id[40];
        uint8_t mask[40] = { 0 };
        const int n = 6 + (int)rng_below(&r, 30), step = 1 + (int)rng_below(&r, 3);
        for (int k = 0; k < n; k++) {
            id[k] = (i + k * step) % 60;
            mask[k] = k > 1;
        }
        if (i == 5 && p->poison)
            id[1] = 61;
        if (dataset_add_ids(&d, id, mask, n, 1, &e))
            _exit(9);
        d.v[i].line = 10 + i;
    }
    struct gemm_ctx *g = gemm_ctx_new(kern_get(cpu_detect()), NULL);
    if (!g || model_new(&m, &hp, 5, &e))
        _exit(8);
    for (int k = 0; k < hp.n_embd && p->poison; k++)
        ((float *)(uintptr_t)m->embedding.w.data)[61 * hp.n_embd + k] = NAN;
    o.comm = &c;
    o.full = p->full;
    o.rank = 4;
    o.first_layer = p->full ? 0 : 1;
    o.states = p->states ? STATES_DISK : STATES_OFF;
    o.epochs = 3;
    o.batch_tokens = 200;
    o.optim.lr = 0.02f;
    o.optim.storage = p->bf16 ? OPTIM_BF16 : OPTIM_F32;
    o.learnt = p->full ? 0 : 0.5f;
    o.precision = "exact";
    o.checkpoint_seconds = 0;
    o.checkpoint_steps = 1;
    o.out_dir = out;
    o.resume = p->resume;
    o.quiet = 1;
    log_set_level(LOG_ERROR);
    signal_install();
    if (rank == p->who && p->signal)
        raise(p->signal);
    if (rank == p->who && p->file_bytes) {
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){ (rlim_t)p->file_bytes, (rlim_t)p->file_bytes });
    }
    mem_fail_at = rank == p->who && p->fail_at ? p->fail_at : -1;
    const int rc = train_run(g, m, NULL, &d, p->states ? &d : NULL, &o, &ad, &rep, &e);
    struct said *say = &shared->said[rank];
    *say = (struct said){ .rc = rc, .signal = rep.signal, .allocations_left = mem_fail_at, .steps = rep.steps };
    snprintf(say->msg, sizeof say->msg, "%s", e.msg);
    _exit(0);
}

/* All processes; they say the same. Returns the code. */
static int together(const struct plan *p) {
    pid_t pid[MOST];
    pthread_barrierattr_t between;
    pthread_barrierattr_init(&between);
    pthread_barrierattr_setpshared(&between, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->all, &between, (unsigned)p->size);
    for (int i = 0; i < p->size; i++) {
        pid[i] = fork();
        assert_true(pid[i] >= 0);
        if (!pid[i]) {
            alarm(SECONDS);
            train(p, i);
        }
    }
    for (int i = 0; i < p->size; i++) {
        int status;
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        if (status != 0)
            fail_msg("'%s', allocation %ld: process %d ended with status %#x", p->name, p->fail_at, i, (unsigned)status);
    }
    for (int i = 1; i < p->size; i++) {
        assert_int_equal(shared->said[i].rc, shared->said[0].rc);
        assert_string_equal(shared->said[i].msg, shared->said[0].msg);
        assert_int_equal(shared->said[i].signal, shared->said[0].signal);
    }
    return shared->said[0].rc;
}

static void says(const char *what) {
    if (!strstr(shared->said[0].msg, what))
        fail_msg("'%s' is not in '%s'", what, shared->said[0].msg);
}

static void same_adapter(const char *a, const char *b) {
    char path[2][192], *text[2];
    size_t n[2];
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s/adapter.gguf", root, i ? b : a);
        assert_int_equal(file_read(path[i], 1 << 24, &text[i], &n[i], NULL), 0);
    }
    assert_true(n[0] == n[1] && !memcmp(text[0], text[1], n[0]));
    mem_free(text[0]);
    mem_free(text[1]);
}

/* One, two and four processes: the same bits, with what is learnt, kept states, BF16 moments. */
static void same_bits(void **state) {
    (void)state;
    static const char *const NAME[] = { "one", "two", "four" };
    for (int i = 0; i < 3; i++)
        assert_int_equal(together(&(struct plan){ .name = NAME[i], .size = 1 << i, .states = i, .bf16 = 1 }), 0);
    same_adapter("one", "two");
    same_adapter("one", "four");
}

/* Memory that one process does not get, at any allocation of a run (here every 17th). */
static void out_of_memory(void **state) {
    (void)state;
    int n_failed = 0;
    for (int who = 0; who < 2; who++) {
        struct plan p = { .name = "memory", .size = 2, .who = who, .states = 1 };
        for (p.fail_at = 1 + 5 * who;; p.fail_at += 17) {
            const int rc = together(&p);
            if (shared->said[who].allocations_left > 0)
                break;
            n_failed += rc == ILAB_E_NOMEM;
            if (rc == ILAB_E_NOMEM && who)
                says("process 1: ");
        }
    }
    print_message("%d runs ended for want of memory, together\n", n_failed);
    assert_true(n_failed > 8);
}

static void not_a_number(void **state) {
    (void)state;
    for (int size = 1; size <= 4; size *= 2) {
        char want[80];
        assert_int_equal(together(&(struct plan){ .name = "poison", .size = size, .poison = 1 }), ILAB_E_INVALID);
        says("because of sample 6 (line 15");
        snprintf(want, sizeof want, size > 1 ? ", process " : "(line 15):");
        says(want);
    }
}

/* The disk of process 0 is full. */
static void cannot_write(void **state) {
    (void)state;
    assert_true(together(&(struct plan){ .name = "full", .size = 2, .who = 0, .file_bytes = 4096 }));
    says("the last good checkpoint is kept");
    assert_true(shared->said[1].steps > 1);
}

/* A signal to one of them: all save and stop; any number of processes goes on. */
static void one_is_told_to_stop(void **state) {
    (void)state;
    assert_int_equal(together(&(struct plan){ .name = "whole", .size = 1 }), 0);
    for (int who = 0; who < 2; who++) {
        char name[8];
        snprintf(name, sizeof name, "stop%d", who);
        assert_int_equal(together(&(struct plan){ .name = name, .size = 2, .who = who, .signal = SIGTERM }), ILAB_E_CANCEL);
        assert_int_equal(shared->said[0].signal, SIGTERM);
        assert_true(shared->said[0].steps < 4);
        assert_int_equal(together(&(struct plan){ .name = name, .size = who ? 4 : 1, .resume = 1 }), 0);
        same_adapter("whole", name);
    }
}

static void bins_of_equal_work(void **state) {
    (void)state;
    static const int N[] = { 1, 3, 7, 12, 40, 300 };
    struct rng r;
    rng_seed(&r, 4);
    double worst = 0;
    for (size_t c = 0; c < ARRAY_LEN(N); c++)
        for (int n_bin = 1; n_bin <= 6; n_bin++) {
            struct unit u[300];
            int64_t load[6] = { 0 }, scratch[6], all = 0;
            int seen[300] = { 0 };
            for (int i = 0; i < N[c]; i++) {
                u[i] = (struct unit){ .from = (uint32_t)i, .to = (uint32_t)i + 1, .cost = 60 + (int64_t)rng_below(&r, 160) };
                all += u[i].cost;
            }
            balance(u, (uint32_t)N[c], n_bin, scratch);
            for (int i = 0; i < N[c]; i++) {
                assert_true(!i || u[i].bin > u[i - 1].bin || (u[i].bin == u[i - 1].bin && u[i].from > u[i - 1].from));
                assert_in_range(u[i].bin, 0, n_bin - 1);
                load[u[i].bin] += u[i].cost;
                seen[u[i].from]++;
            }
            for (int i = 0; i < N[c]; i++)
                assert_int_equal(seen[i], 1);
            if (N[c] >= 12 && n_bin == 2)
                worst = fmax(worst, fabs(2.0 * (double)load[0] / (double)all - 1));
            for (int i = 0; i < n_bin && N[c] >= 40; i++)
                assert_true(fabs((double)load[i] * n_bin / (double)all - 1) < 0.12);
        }
    print_message("halves of 12 and more samples: %.2g uneven\n", worst);
    assert_true(worst < 0.01);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bins_of_equal_work), cmocka_unit_test(same_bits), cmocka_unit_test(not_a_number), cmocka_unit_test(one_is_told_to_stop),
        cmocka_unit_test(cannot_write), cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
