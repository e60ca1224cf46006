/* test_base_pool.c — every task runs exactly once, for any number of threads and of tasks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MAX_TASKS 257
struct job { int count[MAX_TASKS], n_threads; _Atomic int bad; int slow; };

static void task(void *ud, int i_task, int i_thread) {
    struct job *j = ud;
    if (i_thread < 0 || i_thread >= j->n_threads || i_task < 0 || i_task >= MAX_TASKS) j->bad = 1;
    else j->count[i_task]++; /* no atomic: the pool orders it before pool_run returns */
    if (j->slow && i_task % 16 == 0) usleep(200);
}

static void test_pool_runs_each_task_once(void **state) {
    (void)state;
    static const int THREADS[] = { 1, 2, 3, 7 };
    for (size_t t = 0; t < ARRAY_LEN(THREADS); t++) {
        struct pool *p = pool_new(THREADS[t]);
        assert_non_null(p);
        assert_int_equal(pool_threads(p), THREADS[t]);
        for (int round = 0; round < 300; round++) {
            struct job j = { .n_threads = THREADS[t], .slow = round % 50 == 3 };
            int n = round % 7 == 0 ? round % MAX_TASKS : round % 5;
            pool_run(p, task, &j, n);
            assert_false(j.bad);
            for (int i = 0; i < MAX_TASKS; i++) assert_int_equal(j.count[i], i < n);
            if (round % 100 == 99) usleep(2000); /* let the workers fall asleep */
        }
        pool_free(p);
    }
}

static void empty_task(void *ud, int i_task, int i_thread) { (void)ud, (void)i_task, (void)i_thread; }

static void test_pool_thousands_of_short_runs(void **state) {
    (void)state;
    struct pool *p = pool_new(2);
    double start = now_seconds();
    for (int i = 0; i < 20000; i++) pool_run(p, empty_task, NULL, 2);
    print_message("          %.2f us a run of two empty tasks on two threads\n", (now_seconds() - start) / 20000 * 1e6);
    pool_free(p);
}

static void test_pool_without_memory_or_threads(void **state) {
    (void)state;
    for (long n = 1; n <= 2; n++) {
        mem_fail_at = n;
        assert_null(pool_new(2));
        mem_fail_at = -1;
    }
    struct pool *p = pool_new(0);
    assert_int_equal(pool_threads(p), cpu_count());
    pool_run(p, empty_task, NULL, 0);
    pool_free(p);
    pool_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool_runs_each_task_once),
        cmocka_unit_test(test_pool_thousands_of_short_runs),
        cmocka_unit_test(test_pool_without_memory_or_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
