/* cmocka.h — as much of cmocka as the tests of the kernels use, for machines that we compile for but have no cmocka of (neon.sh).
 * A test that fails ends the program. CROSS_ONLY names the tests to run (else all).  SPDX-License-Identifier: Apache-2.0 */
#ifndef ILAB_CROSS_CMOCKA_H
#define ILAB_CROSS_CMOCKA_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct CMUnitTest { const char *name; void (*run)(void **state); };
#define cmocka_unit_test(f) { #f, f }
#define print_message(...) printf(__VA_ARGS__)
#define fail_msg(...) do { printf("[  ERROR   ] %s:%d: ", __FILE__, __LINE__); printf(__VA_ARGS__); putchar('\n'); cross_fail(); } while (0)
#define assert_true(x) do { if (!(x)) fail_msg("%s is false", #x); } while (0)
#define assert_false(x) do { if (x) fail_msg("%s is true", #x); } while (0)
#define assert_null(x) assert_true((x) == NULL)
#define assert_non_null(x) assert_true((x) != NULL)
#define assert_ptr_equal(a, b) assert_true((const void *)(a) == (const void *)(b))
#define assert_int_equal(a, b) do { long long x_ = (long long)(a), y_ = (long long)(b); if (x_ != y_) fail_msg("%s is %lld, not %lld", #a, x_, y_); } while (0)
#define assert_int_not_equal(a, b) assert_true((long long)(a) != (long long)(b))
#define assert_string_equal(a, b) assert_true(strcmp((a), (b)) == 0)
#define cmocka_run_group_tests(tests, setup, teardown) cross_run((tests), sizeof(tests) / sizeof *(tests))

static const char *cross_test;
static _Noreturn void cross_fail(void)
{
    printf("[  FAILED  ] %s\n", cross_test);
    exit(1);
}
static int cross_run(const struct CMUnitTest *t, size_t n)
{
    const char *only = getenv("CROSS_ONLY");
    for (size_t i = 0; i < n; i++) {
        void *state = NULL;
        const clock_t start = clock();
        cross_test = t[i].name;
        if (only && !strstr(only, cross_test))
            continue;
        t[i].run(&state);
        printf("[       OK ] %s, %.1f s\n", cross_test, (double)(clock() - start) / CLOCKS_PER_SEC);
        fflush(stdout);
    }
    return 0;
}

#endif
