/* test_base_memory.c — sizes with units, this process's memory, and who else holds some: a child that allocates is found by name.
 * SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <cmocka.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_sizes_with_units(void **state)
{
    (void)state;
    const struct { const char *text; size_t bytes; } good[] = { { "4096", 4096 }, { "6G", 6000000000u }, { "1.5 GB", 1500000000u }, { "800m", 800000000u },
                                                                { "2GiB", 2147483648u }, { "1k", 1000 }, { "0.5K", 500 }, { "3TB", 3000000000000u } };
    const char *const bad[] = { "", "G", "-1G", "6X", "6G!", "6 G B", "0", "1e3G", "nan", "9999999999T", " 6G" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        size_t n = 0;
        if (parse_bytes(good[i].text, &n) || n != good[i].bytes) fail_msg("'%s' gave %zu", good[i].text, n);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        size_t n = 7;
        if (!parse_bytes(bad[i], &n) || n != 7) fail_msg("'%s' was taken", bad[i]);
    }
    setenv("ILAB_MEMORY", "300M", 1);
    assert_int_equal(mem_limit(), 300000000);
    assert_true(mem_available() <= 300000000);
    unsetenv("ILAB_MEMORY");
    assert_int_equal(mem_limit(), 0);
}

enum { BYTES = 48 << 20 };
static void test_who_holds_memory(void **state)
{
    (void)state;
    char name[] = "/tmp/ilab-held-XXXXXX";
    int pipes[2], found = 0, maps = 0;
    ilab_err e = { 0 };
    close(mkstemp(name));
    char *zeros = test_calloc(1, 1 << 20);
    assert_int_equal(file_write(name, zeros, 1 << 20, &e), 0);
    test_free(zeros);
    assert_int_equal(pipe(pipes), 0);
    const pid_t child = fork();
    if (!child) {
        struct file_map m;
        char *p = mem_alloc(BYTES);
        volatile uint8_t sum = 0;
        memset(p, 1, BYTES);
        if (file_map_open(&m, name, NULL)) _exit(1);
        for (size_t i = 0; i < m.n; i += 4096) sum = (uint8_t)(sum + m.p[i]);
        const int ready = write(pipes[1], "x", 1) == 1;
        pause();
        _exit(ready && p[5] ? 0 : 1);
    }
    char c;
    assert_int_equal(read(pipes[0], &c, 1), 1);
    struct mem_holder h[64];
    const int n = mem_holders(name, BYTES, h, 64);
    for (int i = 0; i < n; i++) {
        assert_true(h[i].pid != getpid() && h[i].name[0]);
        assert_true(i == 0 || h[i - 1].own_bytes >= h[i].own_bytes);
        if (h[i].pid != child) continue;
        found = h[i].own_bytes >= BYTES && strstr(h[i].name, "test_base_memory") != NULL;
        maps = h[i].maps_file;
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    assert_true(found);
    assert_true(maps);
    assert_int_equal(mem_holders(NULL, (size_t)1 << 60, h, 64), 0);
    /* Our own: the map of the file counts as the file's. */
    struct file_map m;
    size_t of_file = 1;
    assert_true(mem_rss(name, &of_file) > 0 && of_file == 0);
    assert_int_equal(file_map_open(&m, name, &e), 0);
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < m.n; i += 4096) sum = (uint8_t)(sum + m.p[i]);
    assert_true(mem_rss(name, &of_file) > (1 << 20) && of_file == 1 << 20);
    file_map_close(&m);
    unlink(name);
}

static void test_energy_is_a_figure_or_absent(void **state)
{
    (void)state;
    double a, b;
    if (energy_joules(&a)) return;
    assert_true(a >= 0 && !energy_joules(&b) && b >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_sizes_with_units), cmocka_unit_test(test_who_holds_memory), cmocka_unit_test(test_energy_is_a_figure_or_absent) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
