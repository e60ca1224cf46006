/* pool.c — persistent threads that work through numbered tasks.
 *
 * One 64-bit word says what there is to do: the number of the run (high half) and how many of its tasks
 * are unclaimed (low half).  A thread claims a task by a compare-and-swap that lowers the low half; when
 * it succeeds, the run cannot have ended since the word was read, so fn, ud and n_tasks that were read in
 * between belong to that run.  Threads spin for a while between runs (a forward pass is hundreds of short
 * runs with little in between; waking a thread takes 50 microseconds) and then sleep.  ILAB_PIN=1 pins the
 * threads of a pool with one thread a core, all but the caller's: that gains nothing on an idle machine, and
 * beside other programs it was half as fast, for a pinned thread cannot go to the core that is free.
 * Sleeping uses Dekker's pattern: each side writes its own flag and then reads the other's, both sequentially
 * consistent, so that no wake-up is lost.
 *
 * A thread that has nothing to do may be given an address (pool_fetch_after): it brings what lies there into its cache until there
 * is work again. Nothing is read, so it does no harm when the guess was wrong or the memory is gone.
 *
 * What it does not do: nested runs, several callers at once.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define FETCH_STEP 512
#define SPIN_SECONDS 200e-6
#define MAX_THREADS 512

struct worker { struct pool *pool; pthread_t id; int i_thread; };

/* What a thread fetches when it has nothing to do. */
struct fetch { _Alignas(64) _Atomic(const char *) at; _Atomic size_t bytes; };

struct pool {
    int n_threads;
    double spin_seconds;
    struct worker *workers; /* n_threads - 1: the caller is thread 0 */
    int n_started;
    struct fetch *fetch; /* [n_threads] */
    /* one cache line: whoever sees new work has the rest with it */
    _Alignas(64) _Atomic uint64_t work; /* run << 32 | unclaimed tasks */
    _Atomic(pool_task_fn *) fn;
    _Atomic(void *) ud;
    _Atomic int n_tasks;
    _Alignas(64) _Atomic int unfinished;
    _Alignas(64) _Atomic int n_sleeping;
    _Atomic int caller_sleeps, stop;
    pthread_mutex_t mutex;
    pthread_cond_t wake_workers, wake_caller;
};

static void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int has_work(struct pool *p) { return (uint32_t)atomic_load(&p->work) > 0; }

/* Runs tasks until none is left unclaimed. */
static void drain(struct pool *p, int i_thread) {
    uint64_t w = atomic_load(&p->work);
    while ((uint32_t)w > 0) {
        pool_task_fn *fn = atomic_load_explicit(&p->fn, memory_order_relaxed);
        void *ud = atomic_load_explicit(&p->ud, memory_order_relaxed);
        int n = atomic_load_explicit(&p->n_tasks, memory_order_relaxed);
        if (!atomic_compare_exchange_weak(&p->work, &w, w - 1)) continue;
        fn(ud, n - (int)(uint32_t)w, i_thread);
        if (atomic_fetch_sub(&p->unfinished, 1) == 1 && atomic_load(&p->caller_sleeps)) {
            pthread_mutex_lock(&p->mutex);
            pthread_cond_signal(&p->wake_caller);
            pthread_mutex_unlock(&p->mutex);
        }
        w = atomic_load(&p->work);
    }
}

static void fetch_meanwhile(struct pool *p, int i_thread, int (*done)(struct pool *)) {
    struct fetch *f = &p->fetch[i_thread];
    const char *at = atomic_load_explicit(&f->at, memory_order_relaxed);
    if (!at) return;
    atomic_store_explicit(&f->at, NULL, memory_order_relaxed);
    size_t bytes = atomic_load_explicit(&f->bytes, memory_order_relaxed);
    for (size_t i = 0; i < bytes && !done(p); i += FETCH_STEP)
        for (size_t k = 0; k < FETCH_STEP; k += 64) __builtin_prefetch(at + i + k, 0, 2);
}

/* Spins until done(p) or the time is over. */
static int spin(struct pool *p, int i_thread, int (*done)(struct pool *)) {
    if (done(p)) return 1;
    fetch_meanwhile(p, i_thread, done);
    if (p->spin_seconds <= 0) return 0;
    double end = now_seconds() + p->spin_seconds;
    do
        for (int i = 0; i < 32; i++) {
            if (done(p)) return 1;
            relax();
        }
    while (now_seconds() < end);
    return done(p);
}

static int work_or_stop(struct pool *p) { return has_work(p) || atomic_load(&p->stop); }
static int all_finished(struct pool *p) { return atomic_load(&p->unfinished) == 0; }

static void *worker_main(void *arg) {
    struct worker *me = arg;
    struct pool *p = me->pool;
    for (;;) {
        if (!spin(p, me->i_thread, work_or_stop)) {
            pthread_mutex_lock(&p->mutex);
            atomic_fetch_add(&p->n_sleeping, 1);
            while (!work_or_stop(p)) pthread_cond_wait(&p->wake_workers, &p->mutex);
            atomic_fetch_sub(&p->n_sleeping, 1);
            pthread_mutex_unlock(&p->mutex);
        }
        if (atomic_load(&p->stop)) return NULL;
        drain(p, me->i_thread);
    }
}

/* Worker i goes to the i-th processor of those that this process may use; the caller is left free. */
static void pin(struct pool *p) {
    const char *wanted = getenv("ILAB_PIN");
    cpu_set_t all;
    if (!wanted || strcmp(wanted, "1") != 0 || sched_getaffinity(0, sizeof all, &all) || CPU_COUNT(&all) != p->n_threads) return;
    for (int cpu = 0, i = 0; cpu < CPU_SETSIZE && i <= p->n_started; cpu++) {
        if (!CPU_ISSET(cpu, &all)) continue;
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        if (i > 0) pthread_setaffinity_np(p->workers[i - 1].id, sizeof one, &one); /* refused: it runs where it may */
        i++;
    }
}

struct pool *pool_new(int n_threads) {
    int cores = cpu_count();
    if (n_threads <= 0) n_threads = cores;
    if (n_threads > MAX_THREADS) n_threads = MAX_THREADS;
    struct pool *p = mem_aligned(sizeof *p);
    if (!p) return NULL;
    p->n_threads = n_threads;
    p->spin_seconds = n_threads <= cores ? SPIN_SECONDS : 0; /* spinning on a core that others need only harms */
    pthread_mutex_init(&p->mutex, NULL);
    pthread_cond_init(&p->wake_workers, NULL);
    pthread_cond_init(&p->wake_caller, NULL);
    p->workers = mem_calloc((size_t)n_threads, sizeof *p->workers);
    p->fetch = mem_aligned((size_t)n_threads * sizeof *p->fetch);
    if (p->fetch) memset(p->fetch, 0, (size_t)n_threads * sizeof *p->fetch);
    if (!p->workers || !p->fetch) {
        pool_free(p);
        return NULL;
    }
    for (int i = 1; i < n_threads; i++) {
        struct worker *w = &p->workers[i - 1];
        *w = (struct worker){ .pool = p, .i_thread = i };
        if (pthread_create(&w->id, NULL, worker_main, w)) break; /* the system gives no more: fewer do the same work */
        p->n_started++;
    }
    p->n_threads = p->n_started + 1;
    pin(p);
    return p;
}

void pool_free(struct pool *p) {
    if (!p) return;
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->stop, 1);
    pthread_cond_broadcast(&p->wake_workers);
    pthread_mutex_unlock(&p->mutex);
    for (int i = 0; i < p->n_started; i++) pthread_join(p->workers[i].id, NULL);
    pthread_cond_destroy(&p->wake_caller);
    pthread_cond_destroy(&p->wake_workers);
    pthread_mutex_destroy(&p->mutex);
    mem_free(p->fetch);
    mem_free(p->workers);
    mem_free(p);
}

void pool_fetch_after(struct pool *p, int i_thread, const void *at, size_t bytes) {
    atomic_store_explicit(&p->fetch[i_thread].bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&p->fetch[i_thread].at, at, memory_order_relaxed);
}

int pool_threads(const struct pool *p) { return p ? p->n_threads : 1; }

void pool_run(struct pool *p, pool_task_fn *fn, void *ud, int n_tasks) {
    if (!p || p->n_threads == 1 || n_tasks <= 1) {
        for (int i = 0; i < n_tasks; i++) fn(ud, i, 0);
        return;
    }
    atomic_store_explicit(&p->fn, fn, memory_order_relaxed);
    atomic_store_explicit(&p->ud, ud, memory_order_relaxed);
    atomic_store_explicit(&p->n_tasks, n_tasks, memory_order_relaxed);
    atomic_store_explicit(&p->unfinished, n_tasks, memory_order_relaxed);
    uint64_t run = (atomic_load_explicit(&p->work, memory_order_relaxed) >> 32) + 1;
    atomic_store(&p->work, run << 32 | (uint32_t)n_tasks);
    if (atomic_load(&p->n_sleeping) > 0) {
        pthread_mutex_lock(&p->mutex);
        pthread_cond_broadcast(&p->wake_workers);
        pthread_mutex_unlock(&p->mutex);
    }
    drain(p, 0);
    if (spin(p, 0, all_finished)) return;
    pthread_mutex_lock(&p->mutex);
    atomic_store(&p->caller_sleeps, 1);
    while (!all_finished(p)) pthread_cond_wait(&p->wake_caller, &p->mutex);
    atomic_store(&p->caller_sleeps, 0);
    pthread_mutex_unlock(&p->mutex);
}
